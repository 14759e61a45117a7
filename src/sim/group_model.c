#include "sim/group_model.h"

#include "base/panic.h"
#include "sim/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void model_groups_deinit(struct model_groups *groups)
{
	for (uint64_t i = 0; i < groups->cap; i++) {
		for (size_t n = 0; groups->at[i] && n < groups->at[i]->assignee_count; n++)
			free(groups->at[i]->assignees[n]);
		free(groups->at[i]);
	}
	free(groups->at);
	*groups = (struct model_groups){0};
}

struct model_group *model_group_number(const struct model_groups *groups, uint64_t number)
{
	struct model_group *group = number < groups->cap ? groups->at[number] : NULL;

	return group && !group->deleted_end ? group : NULL;
}

struct model_group *model_group(const struct model_groups *groups, struct slice id)
{
	for (uint64_t i = 0; i < groups->cap; i++) {
		struct model_group *group = model_group_number(groups, i);

		if (group && slice_eq(slice_str(group->id), id))
			return group;
	}
	return NULL;
}

static struct model_offset *offset_in(struct model_group *group, struct slice topic, uint32_t partition)
{
	for (size_t i = 0; group && i < group->offset_count; i++) {
		if (group->offsets[i].partition == partition && slice_eq(slice_str(group->offsets[i].topic), topic))
			return &group->offsets[i];
	}
	return NULL;
}

struct model_offset *model_offset(const struct model_groups *groups, struct slice group, struct slice topic, uint32_t partition)
{
	return offset_in(model_group(groups, group), topic, partition);
}

void model_groups_forget(struct model_groups *groups, struct slice topic)
{
	for (uint64_t i = 0; i < groups->cap; i++) {
		struct model_group *group = groups->at[i];

		for (size_t n = group ? group->offset_count : 0; n > 0; n--) {
			if (slice_eq(slice_str(group->offsets[n - 1].topic), topic))
				group->offsets[n - 1] = group->offsets[--group->offset_count];
		}
	}
}

/* --- folding --- */

static void keep(char *to, size_t size, struct slice s)
{
	ENSURE(s.len < size);
	memset(to, 0, size);
	if (s.len)
		memcpy(to, s.ptr, s.len);
}

static const char *created(struct model_groups *groups, const struct group_event *e)
{
	struct model_group *group;

	if (e->number < groups->next_number || model_group(groups, e->id))
		return "a group whose number or id is taken";
	if (e->number >= groups->cap) {
		uint64_t cap = (e->number + 1) * 2;

		groups->at = realloc(groups->at, cap * sizeof(struct model_group *));
		ENSURE(groups->at);
		memset(groups->at + groups->cap, 0, (cap - groups->cap) * sizeof(struct model_group *));
		groups->cap = cap;
	}
	group = groups->at[e->number] = calloc(1, sizeof(*group));
	ENSURE(group);
	group->number = e->number;
	group->used_ms = e->time_ms;
	group->changed_end = e->end;
	keep(group->id, sizeof(group->id), e->id);
	groups->next_number = e->number + 1;
	groups->live++;
	return NULL;
}

/* "T12": committed with the client's transaction of that number. */
static const char *transaction_committed(struct model *model, struct slice metadata)
{
	uint64_t txn = 0;
	uint8_t *fate;

	if (metadata.len < 2 || metadata.ptr[0] != 'T')
		return NULL;
	if (slice_u64(slice_from(metadata.ptr + 1, metadata.len - 1), &txn))
		return "metadata that nobody wrote";
	fate = model_fate(&model->topics, txn);
	if (*fate == FATE_ABORTED)
		return "a transaction was done in part: its offsets are committed";
	*fate = FATE_COMMITTED;
	return NULL;
}

static const char *offsets_told(struct model *model, struct model_group *group, const struct group_event *e)
{
	struct slice rest = e->offsets, topic = {0};
	struct offset_item item;

	while (rest.len) {
		struct model_offset *offset;
		const char *wrong;

		if (offset_get(&rest, &topic, &item))
			return "offsets that nobody can read";
		offset = offset_in(group, item.topic, item.partition);
		if (e->type == GROUP_FORGOT) {
			if (offset)
				*offset = group->offsets[--group->offset_count];
			continue;
		}
		if (!offset) {
			ENSURE(group->offset_count < MODEL_OFFSETS_MAX);
			offset = &group->offsets[group->offset_count++];
		}
		*offset = (struct model_offset){.partition = item.partition,
						.offset = item.offset,
						.leader_epoch = item.leader_epoch,
						.committed_ms = e->time_ms,
						.end = e->end};
		keep(offset->topic, sizeof(offset->topic), item.topic);
		keep(offset->metadata, sizeof(offset->metadata), item.metadata);
		wrong = transaction_committed(model, item.metadata);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const char *begun(struct model_group *group, const struct group_event *e)
{
	if (e->generation != group->generation + 1)
		return "a generation that is not the next";
	if (group->assignee_count)
		return "a generation in a group of consumers to whom the server assigns";
	group->generation = e->generation;
	group->is_assigned = false;
	group->members = e->members;
	group->session_ms = e->session_ms;
	group->begun_end = e->end;
	group->begun_ms = e->time_ms;
	keep(group->protocol_type, sizeof(group->protocol_type), e->protocol_type);
	keep(group->protocol, sizeof(group->protocol), e->protocol);
	return NULL;
}

const char *model_group_apply(struct model *model, const struct store_replay *entry)
{
	struct group_event e = {.type = (enum group_event_type)entry->type, .time_ms = entry->time_ms, .end = entry->end};
	struct model_group *group;

	if (group_event_decode(&e, entry->fields))
		return "an event that nobody can read";
	if (e.type == GROUP_CREATED)
		return created(&model->groups, &e);
	group = model_group_number(&model->groups, e.number);
	if (!group)
		return "there is no such group";
	group->changed_end = e.end;
	group->used_ms = e.time_ms;
	switch (e.type) {
	case GROUP_BEGUN:
		return begun(group, &e);
	case GROUP_COMMITTED:
	case GROUP_FORGOT:
		if (e.type == GROUP_FORGOT)
			group->forgot_end = e.end;
		return offsets_told(model, group, &e);
	case GROUP_DELETED:
		if (group->assignee_count)
			return "a group is deleted, and somebody is in it";
		group->deleted_end = model->groups.deleted_end = e.end;
		model->groups.live--;
		return NULL;
	case GROUP_CREATED:
	case GROUP_SNAP_META:
	case GROUP_SNAP:
	case GROUP_SNAP_OFFSETS:
		break;
	case GROUP_MEMBER:
	case GROUP_LEFT:
	case GROUP_TARGET:
	case GROUP_EPOCH:
	case GROUP_HELD:
		return model_assignee_apply(model, group, &e);
	}
	return "not an event of this world";
}

/* --- against the core's state --- */

static void differ(struct group_comparison *c, const char *what, uint64_t number, uint64_t is, uint64_t should)
{
	if (!c->wrong[0])
		snprintf(c->wrong, sizeof(c->wrong), "group %" PRIu64 ": %s is %" PRIu64 ", should be %" PRIu64, number, what, is,
			 should);
}

#define SAME(what, is, should)                                                                                                   \
	do {                                                                                                                     \
		if ((uint64_t)(is) != (uint64_t)(should))                                                                        \
			differ(c, what, e->number, (uint64_t)(is), (uint64_t)(should));                                          \
	} while (0)

static void compare_offsets(struct group_comparison *c, const struct group_event *e)
{
	struct slice rest = e->offsets, topic = {0};
	struct offset_item item;

	while (rest.len && c->group) {
		const struct model_offset *offset;

		ENSURE(offset_get(&rest, &topic, &item) == 0);
		offset = offset_in((struct model_group *)(uintptr_t)c->group, item.topic, item.partition);
		c->offsets++;
		SAME("that there is such an offset", 1, offset != NULL);
		if (!offset)
			continue;
		SAME("an offset", item.offset, offset->offset);
		SAME("an offset's leader epoch", item.leader_epoch, offset->leader_epoch);
		SAME("when it was committed", item.committed_ms, offset->committed_ms);
		SAME("its metadata", slice_eq(item.metadata, slice_str(offset->metadata)), 1);
	}
}

static void compare_whole(struct group_comparison *c)
{
	if (c->group && c->offsets != c->group->offset_count)
		differ(c, "how many offsets it has", c->group->number, c->offsets, c->group->offset_count);
	if (c->group && (c->assignees != c->group->assignee_count || c->epochs != c->group->is_assigned))
		differ(c, "how many the server assigns to", c->group->number, c->assignees, c->group->assignee_count);
	c->group = NULL;
	c->assignee = NULL;
	c->offsets = c->assignees = c->epochs = 0;
}

void group_compare(struct group_comparison *c, uint8_t type, struct slice fields)
{
	struct group_event event = {.type = (enum group_event_type)type}, *e = &event;
	const struct model_group *group;

	ENSURE(group_event_decode(e, fields) == 0);
	if (type == GROUP_SNAP_META) {
		SAME("the next number", e->next_number, c->model->next_number ? c->model->next_number : 1);
		return;
	}
	if (type == GROUP_SNAP_OFFSETS) {
		compare_offsets(c, e);
		return;
	}
	if (type >= GROUP_MEMBER) {
		assignee_compare(c, e);
		return;
	}
	compare_whole(c);
	c->groups++;
	group = c->group = model_group_number(c->model, e->number);
	SAME("that it is there", 1, group != NULL);
	if (!group)
		return;
	SAME("its id", slice_eq(e->id, slice_str(group->id)), 1);
	SAME("its generation", e->generation, group->generation);
	SAME("how many began it", e->members, group->members);
	SAME("its longest session", e->session_ms, group->session_ms);
	SAME("its protocol's type", slice_eq(e->protocol_type, slice_str(group->protocol_type)), 1);
	SAME("its protocol", slice_eq(e->protocol, slice_str(group->protocol)), 1);
	SAME("when it was used", e->used_ms, group->used_ms);
	SAME("changed_end", e->changed_end, group->changed_end);
	compare_offsets(c, e);
}

void group_compare_end(struct group_comparison *c)
{
	compare_whole(c);
	if (c->groups != c->model->live)
		differ(c, "how many groups there are", 0, c->groups, c->model->live);
}
