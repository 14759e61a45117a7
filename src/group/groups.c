/* Where groups, offsets and members are found, and their invariants. */
#include "group/consumer.h"
#include "group/group_priv.h"
#include "group/holders.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct group, deadline)->deadline_ms <
	       container_of(b, const struct group, deadline)->deadline_ms;
}

static bool session_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct member, session)->session_at_ms <
	       container_of(b, const struct member, session)->session_at_ms;
}

static bool look_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct consumer, session)->look_at_ms <
	       container_of(b, const struct consumer, session)->look_at_ms;
}

int groups_init(struct groups *groups, const struct hash_key *hash_key)
{
	*groups = (struct groups){.hash_key = *hash_key, .next_number = 1};
	list_init(&groups->all);
	list_init(&groups->over);
	heap_init(&groups->deadlines, deadline_before);
	heap_init(&groups->sessions, session_before);
	heap_init(&groups->consumer_sessions, look_before);
	if (hash_init_sure(&groups->ids) || hash_init_sure(&groups->numbers) || hash_init_sure(&groups->places) ||
	    hash_init_sure(&groups->members) || hash_init_sure(&groups->instances) || hash_init_sure(&groups->consumers) ||
	    hash_init_sure(&groups->consumer_instances) || hash_init_sure(&groups->held)) {
		groups_deinit(groups);
		return -ENOMEM;
	}
	return 0;
}

void groups_deinit(struct groups *groups)
{
	list_each_safe (node, &groups->all) {
		struct group *group = container_of(node, struct group, peers);

		list_each_safe (peer, &group->offsets)
			mem_free(container_of(peer, struct group_offset, peers));
		list_each_safe (peer, &group->members)
			member_free(container_of(peer, struct member, peers));
		list_each_safe (peer, &group->consumers) {
			struct consumer *consumer = container_of(peer, struct consumer, peers);
			struct stretch *none = NULL;

			holders_set(groups, consumer, NULL, &none);
			consumer_free(consumer);
		}
		group_patterns_free(group->patterns);
		mem_free(group->protocols);
		mem_free(group);
	}
	hash_deinit(&groups->ids);
	hash_deinit(&groups->numbers);
	hash_deinit(&groups->places);
	hash_deinit(&groups->members);
	hash_deinit(&groups->instances);
	hash_deinit(&groups->consumers);
	hash_deinit(&groups->consumer_instances);
	hash_deinit(&groups->held);
	heap_deinit(&groups->deadlines);
	heap_deinit(&groups->sessions);
	heap_deinit(&groups->consumer_sessions);
}

uint64_t group_hash(const struct groups *groups, uint64_t number, struct slice name, uint64_t more)
{
	return hash_u64(&groups->hash_key, hash_u64(&groups->hash_key, number, more),
			hash_bytes(&groups->hash_key, name.ptr, name.len));
}

struct group *group_find(const struct groups *groups, struct slice id)
{
	struct hash_node *node = hash_first(&groups->ids, group_hash(groups, 0, id, 0));

	for (; node; node = hash_next(&groups->ids, node)) {
		struct group *group = container_of(node, struct group, by_id);

		if (slice_eq(group_id(group), id))
			return group;
	}
	return NULL;
}

struct group *group_find_number(const struct groups *groups, uint64_t number)
{
	struct hash_node *node = hash_first(&groups->numbers, group_hash(groups, number, (struct slice){0}, 0));

	for (; node; node = hash_next(&groups->numbers, node)) {
		struct group *group = container_of(node, struct group, by_number);

		if (group->number == number)
			return group;
	}
	return NULL;
}

struct group_offset *offset_find(const struct groups *groups, const struct group *group, struct slice topic, uint32_t partition)
{
	struct hash_node *node = hash_first(&groups->places, group_hash(groups, group->number, topic, partition));

	for (; node; node = hash_next(&groups->places, node)) {
		struct group_offset *offset = container_of(node, struct group_offset, by_place);

		if (offset->group == group && offset->partition == partition && slice_eq(offset_topic(offset), topic))
			return offset;
	}
	return NULL;
}

void group_set_deadline(struct groups *groups, struct group *group, uint64_t at_ms)
{
	group->deadline_ms = at_ms;
	if (at_ms == UINT64_MAX)
		heap_remove(&groups->deadlines, &group->deadline);
	else if (heap_holds(&group->deadline))
		heap_moved(&groups->deadlines, &group->deadline);
	else /* room was made when the group was */
		ENSURE(heap_push(&groups->deadlines, &group->deadline) == 0);
}

struct group *groups_next_deadline(const struct groups *groups)
{
	struct heap_node *top = heap_top(&groups->deadlines);

	return top ? container_of(top, struct group, deadline) : NULL;
}

struct member *groups_next_session(const struct groups *groups)
{
	struct heap_node *top = heap_top(&groups->sessions);

	return top ? container_of(top, struct member, session) : NULL;
}

/* --- invariants --- */

static void check_wait(const struct group_wait *wait, const struct member *member, bool may_be)
{
	ENSURE(!wait || (may_be && wait->member == member && !wait->is_over));
}

static void check_members(const struct groups *groups, const struct group *group)
{
	uint32_t count = 0, joins = 0;
	bool leads = false;

	list_each (node, &group->members) {
		const struct member *member = container_of(node, struct member, peers);

		ENSURE(member->group == group && heap_holds(&member->session));
		ENSURE(member_find(groups, group, member->id) == member);
		ENSURE(!member->instance.len || member_find_instance(groups, group, member->instance) == member);
		ENSURE(member->session_at_ms <= member->alive_until_ms || member->join || member->sync);
		check_wait(member->join, member, group->state == GROUP_PREPARING);
		check_wait(member->sync, member, group->state == GROUP_COMPLETING);
		count++;
		joins += member->join != NULL;
		leads |= member == group->leader;
	}
	ENSURE(count == group->member_count && joins == group->join_count);
	ENSURE(!group->leader || leads);
	ENSURE(group->state == GROUP_PREPARING || leads == (group->state != GROUP_EMPTY));
	ENSURE(group->state != GROUP_EMPTY || count == 0);
}

void groups_check(const struct groups *groups)
{
	uint64_t count = 0, offsets = 0, members = 0, consumers = 0;

	list_each (node, &groups->all) {
		const struct group *group = container_of(node, struct group, peers);
		uint64_t here = 0;

		ENSURE(group_find(groups, group_id(group)) == group);
		ENSURE(group_find_number(groups, group->number) == group);
		ENSURE(group->number < groups->next_number);
		ENSURE(heap_holds(&group->deadline) == (group->deadline_ms != UINT64_MAX));
		list_each (peer, &group->offsets) {
			const struct group_offset *offset = container_of(peer, struct group_offset, peers);

			ENSURE(offset->group == group);
			ENSURE(offset_find(groups, group, offset_topic(offset), offset->partition) == offset);
			here++;
		}
		ENSURE(here == group->offset_count);
		check_members(groups, group);
		consumers_check(groups, group);
		consumers += group->consumer_count;
		offsets += here;
		members += group->member_count;
		count++;
	}
	ENSURE(count == groups->count && offsets == groups->offset_count && members == groups->member_count);
	ENSURE(groups->ids.count == count && groups->numbers.count == count && groups->places.count == offsets);
	ENSURE(groups->members.count == members && groups->sessions.count == members);
	ENSURE(groups->consumers.count == consumers && groups->consumer_sessions.count == consumers);
	ENSURE(groups->consumer_count == consumers);
}
