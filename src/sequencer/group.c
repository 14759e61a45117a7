/* Groups in time: generations begin, silent members are out, unused groups are gone, and whoever waits is answered.
 *
 * Whatever may end a wait or move a group's deadline is followed by group_settle. A generation begins with an event, since it
 * must never be begun twice under the same number; when that cannot be written, all wait on, and it is tried again a second
 * later. */
#include "sequencer/sequencer_priv.h"

#include <errno.h>

enum {
	RETRY_MS = 1000,
	UNUSED_MS = 600000, /* a group without offsets, in which nobody is, is gone then */
};

/* --- events --- */

static int append(struct sequencer *s, struct group_event *e)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	group_event_encode(e, &s->fields);
	/* Those who are there go on when the disk is full; new groups and offsets are refused. */
	r = append_entry(s,
			 &(struct store_entry){.time_ms = e->time_ms,
					       .type = (uint8_t)e->type,
					       .reserve = e->type != GROUP_CREATED && e->type != GROUP_COMMITTED &&
							  e->type != GROUP_MEMBER},
			 &appended);
	if (r)
		return r;
	e->end = appended.end;
	return 0;
}

enum outcome group_emit(struct sequencer *s, struct group_event *e, struct group *group)
{
	struct group_prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (group)
		e->number = group->number;
	r = groups_prepare(&s->groups, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e);
	if (r) {
		groups_unprepare(&prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	groups_commit(&s->groups, e, &prepared);
	return OUTCOME_OK;
}

enum outcome group_get(struct sequencer *s, struct slice id, struct group **ret_group)
{
	struct group_event e = {.type = GROUP_CREATED, .number = s->groups.next_number, .id = id};
	struct group *group = group_find(&s->groups, id);
	enum outcome outcome = OUTCOME_OK;

	if (!group) {
		if (s->groups.count >= s->config.groups_max)
			return OUTCOME_FULL;
		outcome = group_emit(s, &e, NULL);
		group = group_find_number(&s->groups, e.number);
	}
	if (outcome == OUTCOME_OK)
		*ret_group = group;
	return outcome;
}

/* --- settling --- */

static uint64_t unused_at(const struct sequencer *s, const struct group *group)
{
	uint64_t since_ms = group->used_ms > group->idle_ms ? group->used_ms : group->idle_ms;

	if (group->offset_count == 0)
		return since_ms + UNUSED_MS;
	return s->config.group_retention_ms ? since_ms + s->config.group_retention_ms : UINT64_MAX;
}

/* When it must be looked at next. */
static void arm(struct sequencer *s, struct group *group)
{
	uint64_t at_ms = UINT64_MAX;

	switch (group->state) {
	case GROUP_EMPTY:
		at_ms = group->awaited ? group->awaited_until_ms : unused_at(s, group);
		break;
	case GROUP_PREPARING:
		at_ms = group->until_ms;
		if (group->not_before_ms > s->now_ms && group->not_before_ms < at_ms)
			at_ms = group->not_before_ms;
		break;
	case GROUP_COMPLETING:
		at_ms = group->until_ms;
		break;
	case GROUP_STABLE:
	case GROUP_ASSIGNING:
	case GROUP_RECONCILING:
		break;
	}
	if (group->consumer_count)
		at_ms = UINT64_MAX;
	group_set_deadline(&s->groups, group, at_ms);
}

static struct command *command_of(struct group_wait *wait)
{
	/* SYNC has its wait at the same place. */
	_Static_assert(offsetof(struct command, in.group_join.wait) == offsetof(struct command, in.group_sync.wait), "not alike");
	return container_of(wait, struct command, in.group_join.wait);
}

static void answer(struct sequencer *s)
{
	struct group_wait *wait;

	while ((wait = groups_over(&s->groups))) {
		struct command *c = command_of(wait);
		enum outcome outcome = wait->outcome;

		if (outcome == OUTCOME_OK) {
			c->out.group =
				group_view_new(wait->member->group, wait->member,
					       c->kind == COMMAND_GROUP_JOIN && wait->member == wait->member->group->leader);
			if (!c->out.group)
				outcome = OUTCOME_NO_MEMORY;
		}
		reply(s, c, outcome, s->appended_end);
	}
}

static enum outcome begin(struct sequencer *s, struct group *group)
{
	struct group_event e = {
		.type = GROUP_BEGUN,
		.generation = group->generation == INT32_MAX ? 1 : group->generation + 1,
		.members = group->member_count,
		.protocol_type = group->protocol_type,
		.protocol = group_choose(group),
	};
	enum outcome outcome;

	if (group->member_count)
		e.protocol_type = list_first(&group->members, struct member, peers)->protocol_type;
	list_each (node, &group->members) {
		const struct member *member = container_of(node, struct member, peers);

		if (member->session_ms > e.session_ms)
			e.session_ms = member->session_ms;
	}
	outcome = group_emit(s, &e, group);
	if (outcome == OUTCOME_OK)
		group_begin(&s->groups, group, s->now_ms);
	return outcome;
}

void group_settle(struct sequencer *s, struct group *group)
{
	if (group->state == GROUP_COMPLETING && s->now_ms >= group->until_ms)
		group_drop_unsynced(&s->groups, group, s->now_ms);
	if (group_is_ready(group, s->now_ms) && group_close_joins(&s->groups, group, s->now_ms) && begin(s, group) != OUTCOME_OK)
		group->until_ms = s->now_ms + RETRY_MS;
	arm(s, group);
	answer(s);
}

/* --- time --- */

void groups_start(struct sequencer *s)
{
	list_each (node, &s->groups.all) {
		struct group *group = container_of(node, struct group, peers);

		if (group->begun_members)
			group_await(group, s->now_ms);
		consumers_start(s, group);
		arm(s, group);
	}
}

/* EMPTY: nobody came back, or nobody uses it. */
static enum outcome empty_came_due(struct sequencer *s, struct group *group)
{
	enum outcome outcome;

	if (!group->awaited)
		return group_emit(s, &(struct group_event){.type = GROUP_DELETED}, group);
	outcome = begin(s, group);
	if (outcome == OUTCOME_OK)
		arm(s, group);
	return outcome;
}

static bool deadlines_turn(struct sequencer *s, unsigned *limit)
{
	struct group *group;

	while ((group = groups_next_deadline(&s->groups)) && group->deadline_ms <= s->now_ms) {
		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		if (group->state != GROUP_EMPTY)
			group_settle(s, group);
		else if (empty_came_due(s, group) != OUTCOME_OK)
			group_set_deadline(&s->groups, group, s->now_ms + RETRY_MS);
	}
	return false;
}

bool groups_turn(struct sequencer *s, unsigned *limit)
{
	struct member *member;

	if (deadlines_turn(s, limit))
		return true;
	while ((member = groups_next_session(&s->groups)) && member->session_at_ms <= s->now_ms) {
		struct group *group = member->group;

		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		if (member_look(&s->groups, member, s->now_ms))
			group_settle(s, group);
	}
	return consumers_turn(s, limit);
}

uint64_t groups_next_ms(const struct sequencer *s)
{
	const struct group *group = groups_next_deadline(&s->groups);
	const struct member *member = groups_next_session(&s->groups);
	uint64_t at_ms = group ? group->deadline_ms : UINT64_MAX;

	if (consumers_next_ms(s) < at_ms)
		at_ms = consumers_next_ms(s);
	return member && member->session_at_ms < at_ms ? member->session_at_ms : at_ms;
}

void groups_fail(struct sequencer *s)
{
	list_each (node, &s->groups.all)
		group_wait_fail(&s->groups, container_of(node, struct group, peers));
	answer(s);
}
