/* Who is in a group, and what each brought. A member's protocols are kept as one piece: name, metadata, name, metadata … */
#include "group/group_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"

void slice_drop(struct slice *owned)
{
	mem_free((void *)(uintptr_t)owned->ptr);
	*owned = (struct slice){0};
}

struct member *member_find(const struct groups *groups, const struct group *group, struct slice id)
{
	struct hash_node *node = hash_first(&groups->members, group_hash(groups, group->number, id, 0));

	for (; node; node = hash_next(&groups->members, node)) {
		struct member *member = container_of(node, struct member, by_id);

		if (member->group == group && slice_eq(member->id, id))
			return member;
	}
	return NULL;
}

struct member *member_find_instance(const struct groups *groups, const struct group *group, struct slice instance)
{
	struct hash_node *node = hash_first(&groups->instances, group_hash(groups, group->number, instance, 0));

	for (; node; node = hash_next(&groups->instances, node)) {
		struct member *member = container_of(node, struct member, by_instance);

		if (member->group == group && slice_eq(member->instance, instance))
			return member;
	}
	return NULL;
}

/* --- protocols --- */

static bool next_protocol(struct wire_reader *r, struct group_protocol *ret)
{
	if (r->at == r->end)
		return false;
	ret->name = wire_string(r);
	ret->metadata = wire_string(r);
	return !r->failed;
}

bool member_protocol(const struct member *member, struct slice name, struct slice *ret_metadata)
{
	struct wire_reader r = wire_reader_of(member->protocols);
	struct group_protocol protocol;

	while (next_protocol(&r, &protocol)) {
		if (slice_eq(protocol.name, name)) {
			*ret_metadata = protocol.metadata;
			return true;
		}
	}
	return false;
}

static bool all_know(const struct group *group, struct slice name, const struct member *but)
{
	struct slice metadata;

	list_each (node, &group->members) {
		const struct member *member = container_of(node, struct member, peers);

		if (member != but && !member_protocol(member, name, &metadata))
			return false;
	}
	return true;
}

bool group_supports(const struct group *group, const struct group_join *join, const struct member *but)
{
	if (group->member_count == 0)
		return true;
	if (!slice_eq(list_first(&group->members, struct member, peers)->protocol_type, join->protocol_type))
		return false;
	for (size_t i = 0; i < join->protocol_count; i++) {
		if (all_know(group, join->protocols[i].name, but))
			return true;
	}
	return false;
}

struct candidates {
	struct slice names[GROUP_PROTOCOLS_MAX];
	uint32_t votes[GROUP_PROTOCOLS_MAX];
	size_t count;
};

/* The first it named that all know gets its vote. */
static void vote(const struct member *member, struct candidates *candidates)
{
	struct wire_reader r = wire_reader_of(member->protocols);
	struct group_protocol protocol;

	while (next_protocol(&r, &protocol)) {
		for (size_t i = 0; i < candidates->count; i++) {
			if (slice_eq(candidates->names[i], protocol.name)) {
				candidates->votes[i]++;
				return;
			}
		}
	}
}

struct slice group_choose(const struct group *group)
{
	struct candidates candidates = {0};
	struct group_protocol protocol;
	struct wire_reader r;
	size_t best = 0;

	if (list_empty(&group->members))
		return (struct slice){0};
	r = wire_reader_of(list_first(&group->members, struct member, peers)->protocols);
	while (candidates.count < GROUP_PROTOCOLS_MAX && next_protocol(&r, &protocol)) {
		if (all_know(group, protocol.name, NULL))
			candidates.names[candidates.count++] = protocol.name;
	}
	list_each (node, &group->members)
		vote(container_of(node, struct member, peers), &candidates);
	for (size_t i = 1; i < candidates.count; i++) {
		if (candidates.votes[i] > candidates.votes[best])
			best = i;
	}
	return candidates.count ? candidates.names[best] : (struct slice){0};
}

static void put_protocols(const struct group_join *join, struct buf *out)
{
	for (size_t i = 0; i < join->protocol_count; i++) {
		wire_put_string(out, join->protocols[i].name);
		wire_put_string(out, join->protocols[i].metadata);
	}
}

bool member_says_same(const struct member *member, const struct group_join *join)
{
	struct wire_reader r = wire_reader_of(member->protocols);
	struct group_protocol protocol;

	for (size_t i = 0; i < join->protocol_count; i++) {
		if (!next_protocol(&r, &protocol) || !slice_eq(protocol.name, join->protocols[i].name) ||
		    !slice_eq(protocol.metadata, join->protocols[i].metadata))
			return false;
	}
	return r.at == r.end;
}

bool member_update(struct member *member, const struct group_join *join)
{
	struct buf buf = {0};

	put_protocols(join, &buf);
	if (buf.failed) {
		buf_deinit(&buf);
		return false;
	}
	slice_drop(&member->protocols);
	member->protocols = buf_slice(&buf);
	member->session_ms = join->session_ms;
	member->rebalance_ms = join->rebalance_ms;
	return true;
}

/* --- coming and going --- */

static struct slice copy_to(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct slice cut(struct slice s)
{
	return slice_from(s.ptr, s.len < GROUP_CLIENT_MAX ? s.len : GROUP_CLIENT_MAX);
}

struct member *member_alloc(const struct group_join *join, struct slice id)
{
	struct slice client_id = cut(join->client_id), client_host = cut(join->client_host);
	struct member *member = mem_zalloc(sizeof(*member) + id.len + join->who.instance.len + client_id.len + client_host.len +
					   join->protocol_type.len);
	char *at;

	if (!member)
		return NULL;
	list_init(&member->peers);
	at = member->strings;
	member->id = copy_to(&at, id);
	member->instance = copy_to(&at, join->who.instance);
	member->client_id = copy_to(&at, client_id);
	member->client_host = copy_to(&at, client_host);
	member->protocol_type = copy_to(&at, join->protocol_type);
	if (member_update(member, join))
		return member;
	return mem_free(member);
}

void member_free(struct member *member)
{
	slice_drop(&member->protocols);
	slice_drop(&member->assignment);
	slice_drop(&member->next_assignment);
	mem_free(member);
}

static void into_tables(struct groups *groups, struct member *member)
{
	uint64_t number = member->group->number;

	ENSURE(hash_insert(&groups->members, &member->by_id, group_hash(groups, number, member->id, 0)) == 0);
	if (member->instance.len)
		ENSURE(hash_insert(&groups->instances, &member->by_instance, group_hash(groups, number, member->instance, 0)) ==
		       0);
	ENSURE(heap_push(&groups->sessions, &member->session) == 0);
}

static void out_of_tables(struct groups *groups, struct member *member)
{
	hash_remove(&groups->members, &member->by_id);
	if (member->instance.len)
		hash_remove(&groups->instances, &member->by_instance);
	heap_remove(&groups->sessions, &member->session);
}

struct member *member_new(struct groups *groups, struct group *group, const struct group_join *join, struct slice id)
{
	struct member *member;

	if (groups->member_count >= UINT32_MAX - 1 || heap_reserve(&groups->sessions, (uint32_t)groups->member_count + 1))
		return NULL;
	member = member_alloc(join, id);
	if (!member)
		return NULL;
	member->group = group;
	into_tables(groups, member);
	list_push_back(&group->members, &member->peers);
	group->member_count++;
	groups->member_count++;
	return member;
}

void member_leave(struct groups *groups, struct member *member)
{
	struct group *group = member->group;

	ENSURE(!member->join && !member->sync);
	out_of_tables(groups, member);
	list_remove(&member->peers);
	group->member_count--;
	groups->member_count--;
	if (group->leader == member)
		group->leader = NULL;
	member_free(member);
}

void member_replace(struct groups *groups, struct member *old, struct member *member)
{
	ENSURE(!old->join && !old->sync);
	member->group = old->group;
	member->is_synced = old->is_synced;
	member->assignment = old->assignment;
	old->assignment = (struct slice){0};
	out_of_tables(groups, old);
	into_tables(groups, member);
	list_push_front(&old->peers, &member->peers); /* behind the old one */
	list_remove(&old->peers);
	if (member->group->leader == old)
		member->group->leader = member;
	member_free(old);
}
