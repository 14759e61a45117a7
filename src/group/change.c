/* Events become state: prepare allocates and judges, commit cannot fail. */
#include "group/consumer.h"
#include "group/group_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static bool is_new(const struct group_event *e)
{
	return e->type == GROUP_CREATED || e->type == GROUP_SNAP;
}

/* --- prepare --- */

static int prepare_new(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	const struct group *other = group_find(groups, e->id);
	struct group *group;

	/* A checkpoint holds it already; or it is gone since, and the checkpoint holds another one of that id. */
	if (group_find_number(groups, e->number) || (other && other->number > e->number)) {
		p->skip = true;
		return 0;
	}
	if (!e->id.len || e->id.len > UINT32_MAX || !e->number)
		return -EBADMSG;
	group = mem_zalloc(sizeof(*group) + e->id.len);
	if (!group)
		return -ENOMEM;
	p->group = group;
	p->new_group = true;
	list_init(&group->peers);
	list_init(&group->offsets);
	list_init(&group->members);
	list_init(&group->consumers);
	group->deadline_ms = UINT64_MAX;
	group->number = e->number;
	group->id_len = (uint32_t)e->id.len;
	memcpy(group->id, e->id.ptr, e->id.len);
	return groups->count >= UINT32_MAX - 1 || heap_reserve(&groups->deadlines, (uint32_t)groups->count + 1) ? -ENOMEM : 0;
}

static void prepare_known(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	p->group = group_find_number(groups, e->number);
	/* Gone since, or in the checkpoint already. An event that is being made now has no end yet (UINT64_MAX). */
	if (!p->group || (e->end && e->end <= p->group->changed_end))
		p->skip = true;
}

static struct group_offset *offset_new(const struct offset_item *item, uint64_t committed_ms)
{
	struct group_offset *offset = mem_zalloc(sizeof(*offset) + item->topic.len + item->metadata.len);

	if (!offset)
		return NULL;
	list_init(&offset->peers);
	offset->offset = item->offset;
	offset->committed_ms = committed_ms;
	offset->partition = item->partition;
	offset->leader_epoch = item->leader_epoch;
	offset->topic_len = (uint32_t)item->topic.len;
	offset->metadata_len = (uint32_t)item->metadata.len;
	memcpy(offset->strings, item->topic.ptr, item->topic.len);
	if (item->metadata.len)
		memcpy(offset->strings + item->topic.len, item->metadata.ptr, item->metadata.len);
	return offset;
}

static int prepare_offsets(const struct group_event *e, struct group_prepared *p)
{
	struct slice rest = e->offsets, topic = {0};
	struct offset_item item;

	while (rest.len) {
		struct group_offset *offset;

		if (offset_get(&rest, &topic, &item))
			return -EBADMSG;
		if (e->type == GROUP_FORGOT)
			continue;
		offset = offset_new(&item, e->type == GROUP_COMMITTED ? e->time_ms : item.committed_ms);
		if (!offset)
			return -ENOMEM;
		list_push_back(&p->offsets, &offset->peers);
	}
	return 0;
}

static int prepare_change(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	size_t len = e->protocol_type.len + e->protocol.len;

	if (e->type >= GROUP_MEMBER)
		return consumers_prepare(groups, e, p);
	if ((e->type == GROUP_BEGUN || e->type == GROUP_DELETED) && p->group->consumer_count)
		return -EBADMSG;
	if (e->type == GROUP_BEGUN && e->generation <= p->group->generation)
		return -EBADMSG;
	if (e->type == GROUP_DELETED && p->group->member_count)
		return -EBADMSG;
	if (len) {
		p->protocols = mem_alloc(len);
		if (!p->protocols)
			return -ENOMEM;
		memcpy(p->protocols, e->protocol_type.len ? e->protocol_type.ptr : "", e->protocol_type.len);
		memcpy(p->protocols + e->protocol_type.len, e->protocol.len ? e->protocol.ptr : "", e->protocol.len);
	}
	return prepare_offsets(e, p);
}

int groups_prepare(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	int r = 0;

	*p = (struct group_prepared){0};
	list_init(&p->offsets);
	if (e->type == GROUP_SNAP_META)
		return 0;
	if (is_new(e))
		r = prepare_new(groups, e, p);
	else
		prepare_known(groups, e, p);
	if (!r && !p->skip)
		r = prepare_change(groups, e, p);
	if (r)
		groups_unprepare(p);
	return r;
}

void groups_unprepare(struct group_prepared *p)
{
	list_each_safe (node, &p->offsets)
		mem_free(container_of(node, struct group_offset, peers));
	list_init(&p->offsets);
	consumers_unprepare(p);
	if (p->new_group)
		mem_free(p->group);
	mem_free(p->protocols);
	p->protocols = NULL;
	p->new_group = false;
}

/* --- commit --- */

static void offset_leave(struct groups *groups, struct group_offset *offset)
{
	hash_remove(&groups->places, &offset->by_place);
	list_remove(&offset->peers);
	offset->group->offset_count--;
	groups->offset_count--;
	mem_free(offset);
}

static void let_go(struct groups *groups, struct group *group)
{
	while (!list_empty(&group->offsets))
		offset_leave(groups, list_first(&group->offsets, struct group_offset, peers));
	hash_remove(&groups->ids, &group->by_id);
	hash_remove(&groups->numbers, &group->by_number);
	heap_remove(&groups->deadlines, &group->deadline);
	list_remove(&group->peers);
	groups->count--;
	group_patterns_free(group->patterns);
	mem_free(group->protocols);
	mem_free(group);
}

static void commit_new(struct groups *groups, struct group_prepared *p)
{
	struct group *group = p->group;

	p->new_group = false;
	ENSURE(hash_insert(&groups->ids, &group->by_id, group_hash(groups, 0, group_id(group), 0)) == 0);
	ENSURE(hash_insert(&groups->numbers, &group->by_number, group_hash(groups, group->number, (struct slice){0}, 0)) == 0);
	list_push_back(&groups->all, &group->peers);
	groups->count++;
	if (group->number >= groups->next_number)
		groups->next_number = group->number + 1;
}

/* Committed again, mostly with as much beside it: it stays where it is found. false: it has no room for that. */
static bool offset_renew(struct group_offset *old, struct group_offset *offset)
{
	if (old->metadata_len != offset->metadata_len)
		return false;
	memcpy(old->strings + old->topic_len, offset->strings + offset->topic_len, offset->metadata_len);
	old->offset = offset->offset;
	old->committed_ms = offset->committed_ms;
	old->leader_epoch = offset->leader_epoch;
	list_remove(&old->peers);
	list_push_back(&old->group->offsets, &old->peers);
	list_remove(&offset->peers);
	mem_free(offset);
	return true;
}

static void commit_offsets(struct groups *groups, struct group_prepared *p)
{
	list_each_safe (node, &p->offsets) {
		struct group_offset *offset = container_of(node, struct group_offset, peers);
		struct group_offset *old = offset_find(groups, p->group, offset_topic(offset), offset->partition);

		if (old && offset_renew(old, offset))
			continue;
		if (old)
			offset_leave(groups, old);
		list_remove(&offset->peers);
		list_push_back(&p->group->offsets, &offset->peers);
		offset->group = p->group;
		p->group->offset_count++;
		groups->offset_count++;
		ENSURE(hash_insert(&groups->places, &offset->by_place,
				   group_hash(groups, p->group->number, offset_topic(offset), offset->partition)) == 0);
	}
}

static void commit_forgot(struct groups *groups, const struct group_event *e, struct group *group)
{
	struct slice rest = e->offsets, topic = {0};
	struct offset_item item;

	while (rest.len && offset_get(&rest, &topic, &item) == 0) {
		struct group_offset *offset = offset_find(groups, group, item.topic, item.partition);

		if (offset)
			offset_leave(groups, offset);
	}
}

static void commit_protocols(const struct group_event *e, struct group_prepared *p)
{
	struct group *group = p->group;

	mem_free(group->protocols);
	group->protocols = p->protocols;
	p->protocols = NULL;
	group->protocol_type = slice_from(group->protocols, e->protocol_type.len);
	group->protocol = slice_from(group->protocols ? group->protocols + e->protocol_type.len : NULL, e->protocol.len);
	group->generation = (uint32_t)e->generation;
	group->begun_members = (uint32_t)e->members;
	group->begun_session_ms = (uint32_t)e->session_ms;
	group->is_consumer = false;
	group->assignment_epoch = 0;
	group->assignor = 0;
}

/* It becomes a group of consumers: of the classic protocol nothing holds any more. */
static void commit_consumers(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct group *group = p->group;

	if (!group->is_consumer && (e->type == GROUP_MEMBER || e->type == GROUP_EPOCH))
		commit_protocols(&(struct group_event){.generation = group->generation}, p);
	consumers_commit(groups, e, p);
}

static void commit_change(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	switch (e->type) {
	case GROUP_SNAP:
		p->group->used_ms = e->used_ms;
		p->group->changed_end = e->changed_end;
		commit_protocols(e, p);
		commit_offsets(groups, p);
		break;
	case GROUP_BEGUN:
		commit_protocols(e, p);
		break;
	case GROUP_COMMITTED:
	case GROUP_SNAP_OFFSETS:
		commit_offsets(groups, p);
		break;
	case GROUP_FORGOT:
		commit_forgot(groups, e, p->group);
		break;
	case GROUP_MEMBER:
	case GROUP_LEFT:
	case GROUP_TARGET:
	case GROUP_EPOCH:
	case GROUP_HELD:
		commit_consumers(groups, e, p);
		break;
	case GROUP_CREATED:
	case GROUP_DELETED:
	case GROUP_SNAP_META:
		break;
	}
}

void groups_commit(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	if (e->type == GROUP_SNAP_META && e->next_number > groups->next_number)
		groups->next_number = e->next_number;
	if (p->skip || e->type == GROUP_SNAP_META) {
		groups_unprepare(p);
		return;
	}
	if (p->new_group)
		commit_new(groups, p);
	if (e->type == GROUP_DELETED) {
		let_go(groups, p->group);
	} else {
		commit_change(groups, e, p);
		if (e->type <= GROUP_FORGOT || (e->type >= GROUP_MEMBER && e->end)) {
			p->group->used_ms = e->time_ms;
			if (e->end)
				p->group->changed_end = e->end;
		}
	}
	groups_unprepare(p);
}

void groups_forget_topic(struct groups *groups, struct slice topic, uint64_t end)
{
	list_each (node, &groups->all) {
		struct group *group = container_of(node, struct group, peers);

		if (group->changed_end >= end)
			continue; /* out of a checkpoint that was made later: what it has is of another topic of that name */
		list_each_safe (peer, &group->offsets) {
			struct group_offset *offset = container_of(peer, struct group_offset, peers);

			if (slice_eq(offset_topic(offset), topic))
				offset_leave(groups, offset);
		}
	}
}
