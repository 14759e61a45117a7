/* Who of those to whom the server assigns is in, and what each may have, from what it was told and said alone:
 *
 *  1. a partition is one's from when it may have heard that it has it until it said that it has not, or is out; and nobody
 * else's;
 *  2. one is put out when it was silent for its session, or did not give up something for its rebalance timeout, and by no more
 *     than a little later; or somebody takes it out;
 *  3. left alone, all come to rest within a few beats of each: everything that they subscribe to is somebody's. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

enum {
	LATE_MS = 1200, /* as in group_words.c */
	LATE_CALM_MS = 200,
	REST_BEATS = 3, /* to hear what to give up, to have given it up, to hear that another has */
	ROUND_TURNS = 400,
};

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct assignee *client_of(struct world *world, unsigned group, struct slice id)
{
	for (unsigned i = 0; i < ASSIGNEES && id.len; i++) {
		struct assignee *a = &world->groups.assignees.each[i];

		if (a->group == group && slice_eq(slice_str(a->id), id))
			return a;
	}
	return NULL;
}

static bool is_needed(struct world *world, const struct seen_assignee *m)
{
	const struct model_group *group = model_group(&world->model.groups, slice_str(group_name_of(m->group)));

	return model_assignee(group, slice_str(m->id)) || client_of(world, m->group, slice_str(m->id));
}

struct seen_assignee *assignee_seen(struct world *world, unsigned group, struct slice id)
{
	struct seen_assignee *m = world->groups.assignees.seen, *end = m + ASSIGNEES_SEEN;

	for (; m < end; m++) {
		if (m->id[0] && m->group == group && slice_eq(slice_str(m->id), id))
			return m;
	}
	for (m = world->groups.assignees.seen; m < end && m->id[0] && is_needed(world, m);)
		m++;
	ENSURE(m < end && id.len < sizeof(m->id));
	*m = (struct seen_assignee){
		.group = group, .unsure = true, .unsure_ms = world->now_ms, .heard_ms = world->now_ms, .words_ms = world->now_ms};
	memcpy(m->id, id.ptr, id.len);
	return m;
}

void assignee_is_dead(struct world *world, const struct assignee *a)
{
	if (a->id[0])
		assignee_seen(world, a->group, slice_str(a->id))->owns = (struct place_set){0};
}

/* --- each event: who made it --- */

static bool says_of_itself(const struct world *world, const struct group_event *e)
{
	const struct ask *ask = world->cause == CAUSE_COMMAND ? world->applying : NULL;
	struct slice said = ask && ask->command.kind == COMMAND_CONSUMER_BEAT ? question_of(ask)->member : (struct slice){0};

	/* Who joins without an id gets one. */
	return ask && ask->command.kind == COMMAND_CONSUMER_BEAT && (!said.len || slice_eq(said, e->member));
}

static bool is_taken_out(const struct world *world, const struct model_assignee *m)
{
	const struct ask *ask = world->cause == CAUSE_COMMAND ? world->applying : NULL;
	const struct group_leaving *leaving;

	if (!ask || ask->command.kind != COMMAND_GROUP_LEAVE)
		return false;
	leaving = &question_of(ask)->leaving;
	return leaving->instance.len ? slice_eq(leaving->instance, slice_str(m->instance))
				     : slice_eq(leaving->member, slice_str(m->id));
}

static bool is_overdue(const struct world *world, const struct seen_assignee *m)
{
	uint64_t started = world->groups.assignees.started_ms;

	return later(m->heard_ms, started) + ASSIGNEE_SESSION_MS <= world->now_ms ||
	       (m->moving_ms && later(m->moving_ms, started) + m->rebalance_ms <= world->now_ms) ||
	       (m->unsure && m->unsure_ms + ASSIGNEE_REBALANCE_LEAST_MS <= world->now_ms);
}

static void tap_left(struct world *world, const struct group_event *e, const struct model_assignee *is)
{
	struct seen_assignee *m =
		assignee_seen(world, group_of_name(slice_str(world->model.groups.at[e->number]->id)), e->member);
	bool itself = says_of_itself(world, e) && world->applying->command.in.consumer_beat.beat.epoch < 0;

	CHECK(world, is, "somebody left who was not there");
	CHECK(world, itself || is_taken_out(world, is) || (world->cause == CAUSE_TURN && is_overdue(world, m)),
	      "%s was put out, and was heard %" PRIu64 " ms ago", m->id, world->now_ms - m->heard_ms);
	world->groups.assignees.out += !itself;
	m->owns = m->told = m->pending = (struct place_set){0};
	m->moving_ms = 0;
	m->away = false;
}

/* What it holds no more it has given up: it said so, or it begins anew. */
static void tap_held(struct world *world, const struct group_event *e, const struct model_assignee *is)
{
	const struct place_set *before[] = {&is->assigned, &is->revoking};
	const struct question *q = question_of(world->applying);
	struct place after[2 * ASSIGNEE_PLACES_MAX];
	uint32_t assigned = 0, revoking = 0;

	ENSURE(places_measure(e->assigned, &assigned) == 0 && places_measure(e->revoking, &revoking) == 0 &&
	       assigned + revoking <= ARRAY_COUNT(after));
	places_get(e->assigned, after);
	places_get(e->revoking, after + assigned);
	for (unsigned s = 0; s < ARRAY_COUNT(before); s++) {
		for (size_t i = 0; i < before[s]->count; i++) {
			bool stays = false;

			for (uint32_t n = 0; n < assigned + revoking; n++)
				stays = stays || place_order(before[s]->at[i], after[n]) == 0;
			CHECK(world,
			      stays || world->model.topics.at[before[s]->at[i].topic]->deleted_end ||
				      !place_set_has(&q->may_own, before[s]->at[i]),
			      "%s lost partition %u of topic %" PRIu64 " before it was given up", is->id,
			      before[s]->at[i].partition, before[s]->at[i].topic);
		}
	}
}

static void tap_member(struct world *world, const struct group_event *e, const struct model_group *group)
{
	const struct model_assignee *old = model_assignee_instance(group, e->instance);
	struct seen_assignee *m, *before;

	/* Who was in before a restart may leave after it: then the journal does not say that nobody is. */
	CHECK(world, !group->members || world->groups.assignees.has_left[group_of_name(slice_str(group->id))],
	      "group %s: the server assigns in it, and members of the classic protocol began the generation", group->id);
	if (!group->assignee_count && !group->is_assigned && group->generation)
		world->groups.assignees.turned++;
	list_each (node, &world->asks) {
		const struct ask *ask = container_of(node, struct ask, node);

		CHECK(world,
		      ask->command.kind != COMMAND_GROUP_JOIN || !ask->applied || !group_waits(ask) ||
			      !slice_eq(ask->command.in.group_join.join.who.group, slice_str(group->id)),
		      "group %s: the server assigns in it, and somebody of the classic protocol joins", group->id);
	}
	m = assignee_seen(world, group_of_name(slice_str(group->id)), e->member);
	if (!old || slice_eq(slice_str(old->id), e->member))
		return;
	before = assignee_seen(world, m->group, slice_str(old->id));
	CHECK(world, !before->owns.count, "%s was taken over, and has something", before->id);
	m->told = before->told; /* with since when it has it */
	before->told = (struct place_set){0};
}

/* What is owned is as of what was said by now, from the first event on that follows from it. */
void assignee_tap(struct world *world, const struct group_event *e)
{
	const struct model_group *group = model_group_number(&world->model.groups, e->number);
	const struct model_assignee *is = model_assignee(group, e->member);

	if (!group)
		return; /* the oracle will say so */
	if (e->type != GROUP_LEFT)
		CHECK(world, world->cause == CAUSE_COMMAND && world->applying->command.kind == COMMAND_CONSUMER_BEAT,
		      "group %s: event %d by nobody", group->id, (int)e->type);
	if (e->type == GROUP_MEMBER || e->type == GROUP_HELD)
		CHECK(world, says_of_itself(world, e), "group %s: an event about somebody who said nothing", group->id);
	if (e->type == GROUP_LEFT)
		tap_left(world, e, is);
	else if (e->type == GROUP_HELD && is)
		tap_held(world, e, is);
	else if (e->type == GROUP_MEMBER)
		tap_member(world, e, group);
}

/* --- after each answer, each turn --- */

void assignees_check_owners(struct world *world, unsigned index)
{
	const struct model_group *group = model_group(&world->model.groups, slice_str(group_name_of(index)));

	for (size_t i = 0; group && i < group->assignee_count; i++) {
		const struct seen_assignee *m = assignee_seen(world, index, slice_str(group->assignees[i]->id));

		for (size_t n = 0; n < i; n++) {
			const struct seen_assignee *other = assignee_seen(world, index, slice_str(group->assignees[n]->id));

			CHECK(world, !place_set_meets(&m->owns, &other->owns), "%s and %s own the same", m->id, other->id);
		}
	}
}

void assignees_check_turn(struct world *world)
{
	const struct assignee_world *w = &world->groups.assignees;
	uint64_t late_ms = world_is_calm(world) ? LATE_CALM_MS : LATE_MS;

	for (unsigned index = GROUP_ASSIGNED; index < GROUP_NAMES; index++) {
		const struct model_group *group = model_group(&world->model.groups, slice_str(group_name_of(index)));

		for (size_t i = 0; group && i < group->assignee_count; i++) {
			const struct seen_assignee *m = assignee_seen(world, index, slice_str(group->assignees[i]->id));
			uint64_t since = later(later(m->words_ms, w->started_ms), world->topics.short_ms);
			uint64_t moving = later(later(m->moving_since_ms, w->started_ms), world->topics.short_ms);

			CHECK(world, since + ASSIGNEE_SESSION_MS + late_ms > world->now_ms, "%s is silent, and still in", m->id);
			CHECK(world, !m->moving_ms || m->unsure || moving + m->rebalance_ms + late_ms > world->now_ms,
			      "%s does not give up what it is to, and is still in", m->id);
		}
	}
}

/* Since when it has each, the journal tells. */
static void since_as_kept(const struct world *world, struct seen_assignee *m)
{
	const struct model_assignee *is =
		model_assignee(model_group(&world->model.groups, slice_str(group_name_of(m->group))), slice_str(m->id));

	for (size_t i = 0; i < m->told.count; i++) {
		for (size_t n = 0; is && n < is->assigned.count; n++) {
			if (place_order(is->assigned.at[n], m->told.at[i]) == 0)
				m->told.since[i] = is->assigned.since[n];
		}
	}
}

/* What was not durable is taken back: of answers that nobody got nobody knows. */
void assignees_crashed(struct world *world)
{
	struct assignee_world *w = &world->groups.assignees;

	w->started_ms = world->now_ms;
	memset(w->has_left, 0, sizeof(w->has_left));
	for (unsigned i = 0; i < ASSIGNEES_SEEN; i++) {
		struct seen_assignee *m = &w->seen[i];
		const struct assignee *a = m->id[0] ? client_of(world, m->group, slice_str(m->id)) : NULL;

		m->owns = m->told = m->pending = (struct place_set){0};
		m->epoch = m->before = 0;
		m->moving_ms = 0;
		m->away = false;
		m->unsure = true;
		m->unsure_ms = world->now_ms;
		if (!a || !a->is_in)
			continue;
		m->owns = a->has;
		for (size_t n = 0; n < a->told.count && a->lost < 2; n++)
			place_set_add(&m->owns, a->told.at[n], 0);
		m->told = a->told;
		since_as_kept(world, m);
		m->epoch = m->before = (uint32_t)a->epoch;
	}
	for (unsigned index = GROUP_ASSIGNED; index < GROUP_NAMES; index++)
		assignees_check_owners(world, index);
}

/* --- at rest --- */

static bool somebody_asks(const struct world *world)
{
	for (unsigned i = 0; i < ASSIGNEES; i++) {
		if (world->groups.assignees.each[i].ask)
			return true;
	}
	return false;
}

static void all_hear(struct world *world)
{
	for (unsigned i = 0; somebody_asks(world); i++) {
		CHECK(world, i < ROUND_TURNS, "a beat is not answered");
		world_moves(world);
		machine_time(world);
	}
}

/* All that are in say one word, and hear the answer. */
static void all_beat(struct world *world)
{
	for (unsigned i = 0; i < ASSIGNEES; i++) {
		struct assignee *a = &world->groups.assignees.each[i];

		if (a->is_in && !a->ask)
			assignee_beats(world, a);
	}
	all_hear(world);
}

/* The last thing that happens: one of each group subscribes to something else. */
static void some_want_something_else(struct world *world)
{
	unsigned first = (unsigned)random_below(&world->random, ASSIGNEES);
	bool done[GROUP_NAMES] = {0};

	for (unsigned i = 0; i < ASSIGNEES; i++) {
		struct assignee *a = &world->groups.assignees.each[(first + i) % ASSIGNEES];

		if (!a->is_in || a->ask || done[a->group])
			continue;
		a->topics = (unsigned)random_below(&world->random, 1u << TOPIC_NAMES);
		a->wants_new = done[a->group] = true;
		assignee_beats(world, a);
	}
	all_hear(world);
}

static void check_rest(struct world *world, const struct model_group *group, unsigned index)
{
	size_t wanted = 0, had = 0;

	for (uint64_t n = 0; n < world->model.topics.cap; n++) {
		const struct model_topic *topic = world->model.topics.at[n];
		bool is_followed = false;

		for (size_t i = 0; i < group->assignee_count && topic && !topic->deleted_end; i++)
			is_followed = is_followed || model_assignee_follows(group->assignees[i], topic);
		wanted += is_followed ? topic->partition_count : 0;
	}
	for (size_t i = 0; i < group->assignee_count; i++) {
		const struct seen_assignee *m = assignee_seen(world, index, slice_str(group->assignees[i]->id));
		struct assignee *a = client_of(world, index, slice_str(m->id));

		CHECK(world, a && a->is_in, "%s is in, and nobody is it", m->id);
		assignee_obeys(a);
		CHECK(world, !m->pending.count && place_set_holds(&a->has, &m->told) && place_set_holds(&m->told, &a->has),
		      "%s has not come to rest", m->id);
		CHECK(world, m->epoch == group->generation, "%s rests at epoch %u, its group is at %" PRIu64, m->id, m->epoch,
		      group->generation);
		had += a->has.count;
	}
	CHECK(world, had == wanted, "group %s rests, and of %zu partitions %zu are somebody's", group->id, wanted, had);
}

/* Those who are silent for long are out first; then each says as many words as it takes. */
void assignees_rest(struct world *world)
{
	struct assignee_world *w = &world->groups.assignees;
	uint64_t until_ms = world->now_ms + ASSIGNEE_SESSION_MS + LATE_MS + 4 * world->theme->sync_ms;

	if (world->failed || world->full)
		return;
	w->is_quiet = true;
	while (world->now_ms < until_ms) {
		all_beat(world);
		for (unsigned i = 0; i < 8; i++) {
			world_moves(world);
			machine_time(world);
		}
	}
	some_want_something_else(world);
	for (unsigned i = 0; i < REST_BEATS; i++)
		all_beat(world);
	for (unsigned index = GROUP_ASSIGNED; index < GROUP_NAMES; index++) {
		const struct model_group *group = model_group(&world->model.groups, slice_str(group_name_of(index)));

		if (group && group->assignee_count)
			check_rest(world, group, index);
		w->rests += group && group->assignee_count;
	}
	w->is_quiet = false;
}
