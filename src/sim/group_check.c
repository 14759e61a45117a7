/* Who is in a group, by the oracle: everybody was told so. Each generation is told to each member once, as the leader divided it;
 * whoever waits is answered in time; and what was acknowledged no crash takes back. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A rebalance, the sessions of silent static members, and one more; each looked at no later than at the next turn. */
enum {
	WAIT_MOST_MS = 3 * GROUP_REBALANCE_MOST_MS + 2 * GROUP_SESSION_MOST_MS + 1500,
	EMPTY_MOST_MS = GROUP_REBALANCE_MOST_MS + GROUP_SESSION_MOST_MS + 500, /* until it is, once nobody is heard */
};

bool group_command(const struct ask *ask)
{
	return ask->command.kind >= COMMAND_GROUP_JOIN && ask->command.kind <= COMMAND_GROUPS;
}

bool group_waits(const struct ask *ask)
{
	return (ask->command.kind == COMMAND_GROUP_JOIN || ask->command.kind == COMMAND_GROUP_SYNC) &&
	       ask->command.outcome == OUTCOME_ANY;
}

static struct slice group_said(const struct ask *ask)
{
	return ask->command.kind == COMMAND_GROUP_JOIN ? ask->command.in.group_join.join.who.group
						       : ask->command.in.group_sync.sync.who.group;
}

static const struct group_who *who_of(const struct ask *ask)
{
	return ask->command.kind == COMMAND_GROUP_JOIN ? &ask->command.in.group_join.join.who
						       : &ask->command.in.group_sync.sync.who;
}

/* --- who was seen --- */

struct seen_member *seen_member(struct world *world, struct slice id, unsigned group)
{
	for (size_t i = world->groups.member_count; i > 0 && id.len; i--) {
		struct seen_member *m = &world->groups.members[i - 1];

		if (m->group == group && slice_eq(slice_str(m->id), id))
			return m;
	}
	return NULL;
}

static struct seen_member *member_seen(struct world *world, const struct ask *ask, struct slice id)
{
	const struct consumer *consumer = &world->groups.consumers[question_of(ask)->consumer];
	struct group_world *groups = &world->groups;
	struct seen_member *m = seen_member(world, id, consumer->group);

	if (m) {
		CHECK(world, m->consumer == consumer->index, "member %s was given away twice", m->id);
		return m;
	}
	if (groups->member_count == groups->member_cap) {
		groups->member_cap = groups->member_cap ? groups->member_cap * 2 : 64;
		groups->members = realloc(groups->members, groups->member_cap * sizeof(*groups->members));
		ENSURE(groups->members);
	}
	ENSURE(id.len < MEMBER_ID_CHARS);
	m = &groups->members[groups->member_count++];
	*m = (struct seen_member){.group = consumer->group, .consumer = consumer->index, .session_ms = consumer->session_ms};
	memcpy(m->id, id.ptr, id.len);
	memcpy(m->instance, consumer->instance, sizeof(m->instance));
	return m;
}

static struct seen_round *round_of(struct world *world, uint64_t number, uint64_t generation)
{
	for (size_t i = world->groups.round_count; i > 0; i--) {
		struct seen_round *round = &world->groups.rounds[i - 1];

		if (round->number == number && round->generation == generation)
			return round;
	}
	return NULL;
}

void group_tap(struct world *world, const struct group_event *e)
{
	struct group_world *groups = &world->groups;
	const struct model_group *group = model_group_number(&world->model.groups, e->number);

	if (e->type == GROUP_DELETED) {
		for (size_t i = 0; i < groups->member_count; i++)
			CHECK(world, !member_must_be_in(world, &groups->members[i], group),
			      "group %s is deleted, and %s is in it", group->id, groups->members[i].id);
		CHECK(world, world->cause == CAUSE_COMMAND || group->used_ms + GROUP_KEPT_MS <= world->now_ms,
		      "group %s was let go too early", group->id);
		groups->deleted += world->cause == CAUSE_COMMAND;
		groups->let_go += world->cause != CAUSE_COMMAND;
	}
	if (e->type >= GROUP_MEMBER)
		assignee_tap(world, e);
	if (e->type != GROUP_BEGUN)
		return;
	if (groups->round_count == groups->round_cap) {
		groups->round_cap = groups->round_cap ? groups->round_cap * 2 : 64;
		groups->rounds = realloc(groups->rounds, groups->round_cap * sizeof(*groups->rounds));
		ENSURE(groups->rounds);
	}
	groups->rounds[groups->round_count++] = (struct seen_round){.number = e->number, .generation = e->generation};
	groups->begun++;
}

/* --- joins that are over --- */

/* An id of a static member begins with its instance; who waited and gave up was never told his. */
static bool is_of_instance(const char *id, const struct seen_member *m)
{
	size_t len = strlen(m->instance);

	return strncmp(id, m->instance, len) == 0 && id[len] == '-';
}

/* A static member that came back with nothing has another id from now on; what was assigned stays with it. */
static void instance_taken(struct world *world, struct seen_member *m, struct seen_round *round)
{
	if (!m->instance[0])
		return;
	for (size_t i = 0; i < world->groups.member_count; i++) {
		struct seen_member *old = &world->groups.members[i];

		if (old != m && old->group == m->group && strcmp(old->instance, m->instance) == 0)
			old->replaced = true;
	}
	if (is_of_instance(round->leader, m))
		memcpy(round->leader, m->id, sizeof(m->id));
	for (size_t n = 0; n < round->assignment_count; n++) {
		if (is_of_instance(round->assignments[n].id, m))
			memcpy(round->assignments[n].id, m->id, sizeof(m->id));
	}
}

static void check_led(struct world *world, const struct group_view *view, const struct model_group *group, bool waited)
{
	bool present = false;

	for (size_t i = 0; i < view->member_count; i++) {
		struct slice id = view->members[i].id;
		const struct seen_member *m = seen_member(world, id, group_of_name(view->id));

		present = present || slice_eq(id, view->member_id);
		for (size_t n = 0; n < i; n++)
			CHECK(world, !slice_eq(id, view->members[n].id), "group %s: a member is in it twice", group->id);
		CHECK(world, !m || member_may_be_in(world, m, group), "group %s: the leader hears of %s, which is not in it",
		      group->id, m->id);
		CHECK(world, slice_starts_with(view->members[i].metadata, slice_str(group->protocol)),
		      "group %s: a member is said to have said something else", group->id);
	}
	CHECK(world, present, "group %s: a leader that is not in it", group->id);
	CHECK(world, !waited || view->member_count == group->members,
	      "group %s: the leader hears of %zu members, it has %" PRIu64, group->id, view->member_count, group->members);
}

static void joined(struct world *world, struct ask *ask, bool waited)
{
	const struct group_view *view = ask->command.out.group;
	const struct group_who *who = who_of(ask);
	const struct model_group *group = model_group(&world->model.groups, who->group);
	struct seen_round *round = group ? round_of(world, group->number, group->generation) : NULL;
	struct seen_member *m;

	CHECK(world, view && round && view->number == group->number && view->generation == group->generation,
	      "a join came to another generation than the group's");
	CHECK(world, slice_eq(view->protocol, slice_str(group->protocol)), "group %s: another protocol", group->id);
	CHECK(world, !who->member.len || slice_eq(who->member, view->member_id), "group %s: a member got another id", group->id);
	m = member_seen(world, ask, view->member_id);
	m->synced = m->synced && m->generation == group->generation && m->number == group->number;
	m->number = group->number;
	m->generation = group->generation;
	m->life_ms = m->words_ms = m->told_ms = m->ok_ms = world->now_ms;
	m->left = m->restarted = m->replaced = false;
	m->waits = NULL;
	instance_taken(world, m, round);
	if (view->leader.len && !round->leader[0])
		memcpy(round->leader, view->leader.ptr, view->leader.len);
	CHECK(world, !view->leader.len || slice_eq(view->leader, slice_str(round->leader)),
	      "group %s: two of generation %" PRIu64 " were told of different leaders", group->id, group->generation);
	CHECK(world, !slice_eq(view->leader, view->member_id) || view->member_count, "group %s: a leader of nobody", group->id);
	if (view->member_count)
		check_led(world, view, group, waited);
	ask->rests_on = group->begun_end;
	world->groups.joins++;
}

/* --- syncs that are over --- */

static void divided(struct world *world, const struct ask *ask, struct seen_round *round)
{
	const struct group_sync *sync = &ask->command.in.group_sync.sync;

	CHECK(world, slice_eq(sync->who.member, slice_str(round->leader)), "somebody is synced, and its leader has not divided");
	round->assigned = true;
	round->assignment_count = 0;
	for (size_t i = 0; i < sync->assignment_count; i++) {
		const struct group_assignment *one = &sync->assignments[i];

		memset(&round->assignments[i], 0, sizeof(round->assignments[i]));
		memcpy(round->assignments[i].id, one->member.ptr, one->member.len);
		memcpy(round->assignments[i].what, one->assignment.ptr, one->assignment.len);
		round->assignment_count++;
	}
	world->groups.assigned++;
}

static void synced(struct world *world, struct ask *ask)
{
	const struct group_view *view = ask->command.out.group;
	const struct group_who *who = who_of(ask);
	const struct model_group *group = model_group(&world->model.groups, who->group);
	struct seen_round *round = group ? round_of(world, group->number, group->generation) : NULL;
	struct seen_member *m = seen_member(world, who->member, group_of_name(who->group));
	struct slice should = {0};

	CHECK(world, round && (uint64_t)who->generation == group->generation, "a sync of another generation than the group's");
	CHECK(world, m && m->generation == group->generation && member_may_be_in(world, m, group),
	      "group %s: somebody is synced who is not in it", group->id);
	if (!round->assigned && !round->unsure)
		divided(world, ask, round);
	for (size_t i = 0; i < round->assignment_count; i++) {
		if (slice_eq(slice_str(round->assignments[i].id), who->member))
			should = slice_str(round->assignments[i].what);
	}
	CHECK(world, round->unsure || slice_eq(view->assignment, should), "group %s: another assignment than the leader gave",
	      group->id);
	m->synced = true;
	m->life_ms = m->words_ms = m->ok_ms = world->now_ms;
	m->waits = NULL;
	ask->rests_on = group->begun_end;
}

/* A word may have been taken, though memory for its answer was short: a join, or that of the leader. */
static void may_be_heard(struct world *world, const struct ask *ask, struct seen_member *m)
{
	const struct group_who *who = who_of(ask);
	const struct model_group *group = model_group(&world->model.groups, who->group);
	struct seen_round *round = group ? round_of(world, group->number, group->generation) : NULL;

	if (round && !round->assigned && ask->command.kind == COMMAND_GROUP_SYNC)
		round->unsure = true;
	if (!group || !m || ask->command.kind != COMMAND_GROUP_JOIN)
		return;
	m->left = m->restarted = m->replaced = false;
	m->number = group->number;
	m->words_ms = world->now_ms;
}

/* --- what any of both comes to --- */

static void over(struct world *world, struct ask *ask, bool waited)
{
	struct question *q = question_of(ask);
	enum outcome outcome = ask->command.outcome;
	struct seen_member *m = seen_member(world, who_of(ask)->member, group_of_name(group_said(ask)));

	q->seen = true;
	if (m && m->waits == ask) {
		m->waits = NULL;
		m->life_ms = m->words_ms = world->now_ms;
	}
	if (topic_excused(world, outcome))
		may_be_heard(world, ask, m);
	if (topic_excused(world, outcome) || outcome == OUTCOME_CANCELED)
		return;
	if (outcome == OUTCOME_OK && ask->command.kind == COMMAND_GROUP_JOIN)
		joined(world, ask, waited);
	else if (outcome == OUTCOME_OK)
		synced(world, ask);
	else
		group_check_word(world, ask);
	if (outcome == OUTCOME_MEMBER_ID) {
		CHECK(world, !seen_member(world, ask->command.out.group->member_id, group_of_name(group_said(ask))),
		      "an id of a member was given twice");
		(void)member_seen(world, ask, ask->command.out.group->member_id);
	}
}

void group_waits_over(struct world *world)
{
	list_each (node, &world->asks) {
		struct ask *ask = container_of(node, struct ask, node);
		bool mine = ask->command.kind == COMMAND_GROUP_JOIN || ask->command.kind == COMMAND_GROUP_SYNC;

		if (mine && ask->applied && !group_waits(ask) && !question_of(ask)->seen)
			over(world, ask, true);
	}
}

static void parked(struct world *world, struct ask *ask)
{
	const struct group_who *who = who_of(ask);
	const struct model_group *group = model_group(&world->model.groups, who->group);
	struct seen_member *m = seen_member(world, who->member, group_of_name(who->group));

	question_of(ask)->parked_ms = world->now_ms;
	CHECK(world, group, "somebody waits in a group that there is not");
	CHECK(world, !group->assignee_count, "group %s: somebody of the classic protocol waits, and the server assigns in it",
	      group->id);
	for (size_t i = 0; i < world->groups.member_count && who->instance.len && !who->member.len; i++) {
		struct seen_member *old = &world->groups.members[i];

		if (old->group == group_of_name(who->group) && slice_eq(slice_str(old->instance), who->instance))
			old->replaced = true;
	}
	if (!m)
		return;
	if (ask->command.kind == COMMAND_GROUP_JOIN) {
		m->left = m->restarted = m->replaced = false;
		m->number = group->number;
	}
	m->life_ms = m->words_ms = world->now_ms;
	m->waits = ask;
}

void group_applied(struct world *world, struct ask *ask)
{
	if (ask->command.kind == COMMAND_CONSUMER_BEAT)
		assignee_applied(world, ask);
	if (ask->command.kind == COMMAND_GROUP_JOIN || ask->command.kind == COMMAND_GROUP_SYNC) {
		if (group_waits(ask))
			parked(world, ask);
		else
			over(world, ask, false);
	}
	group_waits_over(world);
}

/* --- after each turn --- */

void group_check_turn(struct world *world)
{
	uint64_t short_ms = world->topics.short_ms;

	assignees_check_turn(world);
	list_each (node, &world->asks) {
		const struct ask *ask = container_of(node, struct ask, node);
		uint64_t since = group_waits(ask) ? question_of(ask)->parked_ms : 0;

		if (!ask->applied || !group_waits(ask))
			continue;
		CHECK(world, (since > short_ms ? since : short_ms) + WAIT_MOST_MS > world->now_ms,
		      "a member of %.*s waits for ever (kind %d)", (int)group_said(ask).len, group_said(ask).ptr,
		      (int)ask->command.kind);
	}
	for (uint64_t i = 0; i < world->model.groups.cap; i++) {
		const struct model_group *group = model_group_number(&world->model.groups, i);
		uint64_t used = group ? group->used_ms : 0;

		if (!group || !group->offset_count || group->assignee_count)
			continue;
		used = used > world->groups.started_ms ? used : world->groups.started_ms;
		used = used > short_ms ? used : short_ms;
		for (size_t n = 0; n < world->groups.member_count; n++) {
			const struct seen_member *m = &world->groups.members[n];

			if (m->number == i && m->words_ms > used)
				used = m->words_ms;
		}
		CHECK(world, used + GROUP_KEPT_MS + EMPTY_MOST_MS > world->now_ms, "group %s is kept, and nobody uses it",
		      group->id);
	}
}

/* --- crashes --- */

/* Who was in a group nobody knows any more; the generations of which nobody can have heard may come again. */
void group_crashed(struct world *world)
{
	struct group_world *groups = &world->groups;
	size_t kept = 0;

	groups->started_ms = world->now_ms;
	for (size_t i = 0; i < groups->round_count; i++) {
		const struct seen_round *round = &groups->rounds[i];
		const struct model_group *group =
			round->number < world->model.groups.cap ? world->model.groups.at[round->number] : NULL;

		if (group && round->generation <= group->generation)
			groups->rounds[kept++] = groups->rounds[i];
	}
	groups->round_count = kept;
	for (size_t i = 0; i < groups->member_count; i++) {
		groups->members[i].restarted = true;
		groups->members[i].waits = NULL;
	}
	assignees_crashed(world);
}

static void check_commit(struct world *world, const struct told_commit *told)
{
	const struct model_groups *groups = &world->model.groups;
	const struct model_group *group = told->number < groups->cap ? groups->at[told->number] : NULL;
	const struct model_topic *topic =
		told->topic_number < world->model.topics.cap ? world->model.topics.at[told->topic_number] : NULL;
	const struct model_offset *offset = model_offset(groups, slice_str(told->group), slice_str(told->topic), told->partition);

	CHECK(world, group && topic, "group %s: an offset was acknowledged, and all of it is lost", told->group);
	if (group->deleted_end || group->forgot_end > told->end || topic->deleted_end)
		return;
	CHECK(world, offset && offset->end >= told->end, "group %s: an offset of %s/%u was acknowledged, and is lost",
	      told->group, told->topic, told->partition);
	CHECK(world, offset->end != told->end || offset->offset == told->offset, "group %s: another offset than was acknowledged",
	      told->group);
}

void group_told_check(struct world *world)
{
	const struct model_groups *model = &world->model.groups;

	for (uint64_t number = 0; number < world->groups.generation_cap; number++) {
		const struct model_group *group = number < model->cap ? model->at[number] : NULL;

		CHECK(world,
		      !world->groups.generations[number] || (group && group->generation >= world->groups.generations[number]),
		      "generation %" PRIu64 " of a group was told, and is lost", world->groups.generations[number]);
	}
	for (size_t i = 0; i < world->groups.commit_count; i++)
		check_commit(world, &world->groups.commits[i]);
}
