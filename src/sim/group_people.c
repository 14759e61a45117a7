/* Consumers: dynamic and static ones, some of which share an instance and fence each other. They join, divide what there is if
 * they lead, beat, commit, and ask again as whom they were after a crash; they fall silent, leave, and give up waiting. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLEEP_MS = 6000 };

const char *group_name_of(unsigned group)
{
	static const char *const names[GROUP_NAMES] = {"readers", "others", "few", "given", "turning"};

	return names[group % GROUP_NAMES];
}

static bool is_seldom(unsigned group)
{
	return group == GROUP_SELDOM;
}

unsigned group_of_name(struct slice name)
{
	for (unsigned i = 0; i < GROUP_NAMES; i++) {
		if (slice_eq(name, slice_str(group_name_of(i))))
			return i;
	}
	return GROUP_NAMES;
}

_Static_assert((int)ASSIGNEE_GROUPS == (int)GROUP_NAMES, "as many");

void groups_begin(struct world *world)
{
	for (unsigned i = 0; i < GROUP_CONSUMERS; i++) {
		struct consumer *c = &world->groups.consumers[i];

		*c = (struct consumer){.index = i,
				       .group = i >= 15      ? GROUP_TURNING
						: i % 8 == 7 ? GROUP_SELDOM
							     : i % 2,
				       .generation = -1,
				       .odd = i % 5 == 4,
				       .session_ms = 300 + i % 15 * 40,
				       .rebalance_ms = GROUP_REBALANCE_LEAST_MS + i % 6 * 100};
		ENSURE(c->session_ms <= GROUP_SESSION_MOST_MS && c->rebalance_ms <= GROUP_REBALANCE_MOST_MS);
		if (i % 3 == 2)
			snprintf(c->instance, sizeof(c->instance), "i%u", i % 12);
	}
	world->groups.started_ms = world->now_ms;
	assignees_begin(world);
}

void groups_end(struct world *world)
{
	free(world->groups.members);
	free(world->groups.rounds);
	free(world->groups.commits);
	free(world->groups.generations);
}

void groups_crash(struct world *world)
{
	for (unsigned i = 0; i < GROUP_CONSUMERS; i++)
		world->groups.consumers[i].ask = NULL;
	assignees_crash(world);
}

void groups_say(const struct world *world)
{
	const struct group_world *g = &world->groups;

	printf("sim:   groups: %" PRIu64 " joins, %" PRIu64 " generations, %" PRIu64 " divided, %" PRIu64 " beats, %" PRIu64
	       " rebalances heard of, %" PRIu64 " offsets, %" PRIu64 " refused, %" PRIu64 " fenced, %" PRIu64 " silent, %" PRIu64
	       " given up, %" PRIu64 " deleted, %" PRIu64 " let go, %" PRIu64 " looked at, %zu ids\n",
	       g->joins, g->begun, g->assigned, g->beats, g->rebalances, g->committed, g->refused, g->fenced, g->silent,
	       g->canceled, g->deleted, g->let_go, g->looked, g->member_count);
	assignees_say(world);
}

/* --- asking --- */

static struct group_who who_of(struct ask *ask, const struct consumer *c)
{
	return (struct group_who){.group = slice_str(group_name_of(c->group)),
				  .member = ask_text(ask, "%s", c->id),
				  .instance = slice_str(c->instance),
				  .generation = c->generation};
}

/* Some go on with a generation that is over, or that never was. */
static struct group_who lying(struct world *world, struct group_who who)
{
	if (random_permille(&world->random, 30))
		who.generation += random_permille(&world->random, 700) ? -1 : 1;
	return who;
}

static struct ask *consumer_asks(struct world *world, struct consumer *c, enum command_kind kind,
				 void (*returned)(struct world *world, struct ask *ask))
{
	struct ask *ask = question_new(world, any_loop(world), kind);

	question_of(ask)->consumer = c->index;
	ask->who = c;
	ask->returned = returned;
	c->ask = ask;
	return ask;
}

static void is_out(struct consumer *c, bool as_nobody)
{
	c->state = CONSUMER_OUT;
	c->generation = -1;
	if (as_nobody)
		c->id[0] = '\0';
}

/* What a member is told of its place: go on, join again, or begin anew. */
static void told(struct world *world, struct consumer *c, enum outcome outcome)
{
	if (outcome == OUTCOME_FENCED) /* another has its instance: both would go on for ever */
		c->rests_until_ms = world->now_ms + random_below(&world->random, 3000);
	if (outcome == OUTCOME_NO_MEMBER || outcome == OUTCOME_FENCED)
		is_out(c, true);
	else if (outcome == OUTCOME_GENERATION || outcome == OUTCOME_REBALANCING || outcome == OUTCOME_PROTOCOL)
		is_out(c, false);
}

/* --- join --- */

void group_epoch_told(struct world *world, uint64_t number, uint64_t generation)
{
	struct group_world *groups = &world->groups;

	if (number >= groups->generation_cap) {
		uint64_t cap = (number + 1) * 2;

		groups->generations = realloc(groups->generations, cap * sizeof(*groups->generations));
		ENSURE(groups->generations);
		memset(groups->generations + groups->generation_cap, 0,
		       (cap - groups->generation_cap) * sizeof(*groups->generations));
		groups->generation_cap = cap;
	}
	if (generation > groups->generations[number])
		groups->generations[number] = generation;
}

static void keep_id(char to[MEMBER_ID_CHARS], struct slice id)
{
	ENSURE(id.len < MEMBER_ID_CHARS);
	memset(to, 0, MEMBER_ID_CHARS);
	memcpy(to, id.ptr, id.len);
}

static void joined(struct world *world, struct ask *ask)
{
	const struct group_view *view = ask->command.out.group;
	struct consumer *c = ask->who;

	if (ask->command.outcome == OUTCOME_OK)
		group_epoch_told(world, view->number, view->generation);
	if (!c)
		return;
	c->ask = NULL;
	told(world, c, ask->command.outcome);
	if (ask->command.outcome == OUTCOME_MEMBER_ID)
		keep_id(c->id, view->member_id);
	if (ask->command.outcome != OUTCOME_OK)
		return;
	keep_id(c->id, view->member_id);
	c->generation = (int32_t)view->generation;
	c->state = CONSUMER_JOINED;
	c->member_count = view->skip_assignment ? 0 : view->member_count;
	CHECK(world, c->member_count <= GROUP_MEMBERS_MOST, "more members than may be");
	for (size_t i = 0; i < c->member_count; i++)
		keep_id(c->members[i], view->members[i].id);
}

static void joins(struct world *world, struct consumer *c)
{
	struct ask *ask = consumer_asks(world, c, COMMAND_GROUP_JOIN, joined);
	struct question *q = question_of(ask);
	struct group_join *join = &ask->command.in.group_join.join;

	c->version += random_permille(&world->random, 300);
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i == (c->odd ? 0 : 1) ? "sticky" : "range";

		q->protocols[i] =
			(struct group_protocol){slice_str(name), ask_text(ask, "%s of %u, %u", name, c->index, c->version)};
	}
	*join = (struct group_join){.who = who_of(ask, c),
				    .protocol_type = SLICE("sim"),
				    .protocols = q->protocols,
				    .protocol_count = c->odd ? 1 : 2,
				    .client_id = SLICE("client"),
				    .client_host = SLICE("/127.0.0.1"),
				    .session_ms = c->session_ms,
				    .rebalance_ms = c->rebalance_ms,
				    .knows_skip = random_permille(&world->random, 500)};
	ask->command.in.group_join.needs_id = random_permille(&world->random, 800);
	ask_send(world, ask);
}

/* --- sync --- */

static void synced(struct world *world, struct ask *ask)
{
	struct consumer *c = ask->who;

	if (!c)
		return;
	c->ask = NULL;
	told(world, c, ask->command.outcome);
	if (ask->command.outcome == OUTCOME_OK)
		c->state = CONSUMER_IN;
}

/* Sometimes one is left out, who then has nothing; and a leader may forget all of them. */
static void syncs(struct world *world, struct consumer *c)
{
	struct ask *ask = consumer_asks(world, c, COMMAND_GROUP_SYNC, synced);
	struct question *q = question_of(ask);
	struct group_sync *sync = &ask->command.in.group_sync.sync;
	size_t count = 0;

	*sync = (struct group_sync){.who = who_of(ask, c), .assignments = q->assignments};
	for (size_t i = 0; i < c->member_count; i++) {
		if (random_permille(&world->random, 50))
			continue;
		snprintf(q->ids[count], sizeof(q->ids[count]), "%s", c->members[i]);
		snprintf(q->whats[count], sizeof(q->whats[count]), "part %" PRIu64 " of %d", ++world->groups.serial,
			 c->generation);
		q->assignments[count] = (struct group_assignment){slice_str(q->ids[count]), slice_str(q->whats[count])};
		count++;
	}
	sync->assignment_count = count;
	ask_send(world, ask);
}

/* --- giving up --- */

static void canceled(struct world *world, struct ask *ask)
{
	struct ask *of = ask->who;

	CHECK(world, of->is_back, "a cancel came back before what it is about");
	of->is_held = false;
	ask_free(of);
}

/* Its memory stays until both are back. */
static void gives_up(struct world *world, struct consumer *c)
{
	struct ask *of = c->ask, *ask = question_new(world, &world->loops[of->command.message.thread], COMMAND_GROUP_CANCEL);

	of->is_held = true;
	of->who = NULL;
	c->ask = NULL;
	is_out(c, random_permille(&world->random, 300));
	ask->command.in.group_cancel.of = &of->command;
	ask->who = of;
	ask->returned = canceled;
	world->groups.canceled++;
	ask_send(world, ask);
}

void groups_leave(struct world *world)
{
	for (unsigned i = 0; i < GROUP_CONSUMERS; i++) {
		if (world->groups.consumers[i].ask && world->groups.consumers[i].ask->applied &&
		    group_waits(world->groups.consumers[i].ask))
			gives_up(world, &world->groups.consumers[i]);
		world->groups.consumers[i].rests_until_ms = UINT64_MAX;
	}
}

/* --- beats, commits --- */

static void beaten(struct world *world, struct ask *ask)
{
	struct consumer *c = ask->who;

	c->ask = NULL;
	/* Some do not listen, and go on in a generation that is over. */
	if (!random_permille(&world->random, 100))
		told(world, c, ask->command.outcome);
}

static void commit_told(struct world *world, const struct ask *ask, const struct group_place *place, uint64_t end)
{
	struct group_world *groups = &world->groups;
	struct told_commit *told_one;

	if (groups->commit_count == groups->commit_cap) {
		groups->commit_cap = groups->commit_cap ? groups->commit_cap * 2 : 64;
		groups->commits = realloc(groups->commits, groups->commit_cap * sizeof(*groups->commits));
		ENSURE(groups->commits);
	}
	told_one = &groups->commits[groups->commit_count++];
	*told_one = (struct told_commit){.partition = place->partition,
					 .number = question_of(ask)->group_number,
					 .offset = place->offset,
					 .end = end,
					 .topic_number = question_of(ask)->topic_number};
	memcpy(told_one->group, ask->command.in.group_commit.who.group.ptr, ask->command.in.group_commit.who.group.len);
	memcpy(told_one->topic, place->topic.ptr, place->topic.len);
}

void group_committed(struct world *world, const struct ask *ask)
{
	const struct group_commit_in *in = &ask->command.in.group_commit;

	for (size_t i = 0; i < in->count && ask->command.outcome == OUTCOME_OK; i++) {
		if (in->places[i].outcome == OUTCOME_OK)
			commit_told(world, ask, &in->places[i], question_of(ask)->commit_end);
	}
}

static void committed(struct world *world, struct ask *ask)
{
	group_committed(world, ask);
	if (ask->who)
		beaten(world, ask);
}

/* All of one topic. */
size_t group_some_places(struct world *world, struct ask *ask, uint64_t txn)
{
	struct question *q = question_of(ask);
	struct random *random = &world->random;
	struct slice topic = slice_str(topic_name_of((unsigned)random_below(random, TOPIC_NAMES)));
	size_t count = random_between(random, 1, 3);

	for (size_t i = 0; i < count; i++) {
		q->places[i] = (struct group_place){.topic = topic,
						    .partition = (uint32_t)i,
						    .offset = random_below(random, 1000),
						    .leader_epoch = (int32_t)random_below(random, 3) - 1};
		if (txn)
			q->places[i].metadata = ask_text(ask, "T%" PRIu64, txn);
		else if (random_permille(random, 500))
			q->places[i].metadata = ask_text(ask, "%.*s", (int)random_below(random, 44),
							 "it has come so far, and may go on from there as it likes");
	}
	return count;
}

static void commits(struct world *world, struct consumer *c)
{
	struct ask *ask = consumer_asks(world, c, COMMAND_GROUP_COMMIT, committed);
	struct question *q = question_of(ask);

	ask->command.in.group_commit = (struct group_commit_in){
		.who = lying(world, who_of(ask, c)), .places = q->places, .count = group_some_places(world, ask, 0)};
	ask_send(world, ask);
}

void offsets_in_transaction(struct world *world, struct ask *ask, uint64_t txn)
{
	struct question *q = question_of(ask);
	const struct consumer *c = &world->groups.consumers[random_below(&world->random, GROUP_CONSUMERS)];
	struct group_commit_in *in = &ask->command.in.txn_offsets.commit;

	if (is_seldom(c->group))
		c = &world->groups.consumers[0];
	if (random_permille(&world->random, 400)) {
		unsigned group = random_permille(&world->random, 700) ? GROUP_ASSIGNED : GROUP_TURNING;

		*in = (struct group_commit_in){assignee_who(world, ask, group), q->places, group_some_places(world, ask, txn)};
		return;
	}
	*in = (struct group_commit_in){.who = who_of(ask, c), .places = q->places, .count = group_some_places(world, ask, txn)};
	if (random_permille(&world->random, 400))
		in->who = (struct group_who){.group = slice_str(group_name_of(c->group)), .generation = -1};
}

static void beats(struct world *world, struct consumer *c)
{
	struct ask *ask = consumer_asks(world, c, COMMAND_GROUP_BEAT, beaten);

	ask->command.in.group_who = lying(world, who_of(ask, c));
	ask_send(world, ask);
}

static void left(struct world *world, struct ask *ask)
{
	struct consumer *c = ask->who;

	(void)world;
	c->ask = NULL;
	is_out(c, true);
}

static void leaves(struct world *world, struct consumer *c)
{
	struct ask *ask = consumer_asks(world, c, COMMAND_GROUP_LEAVE, left);
	struct question *q = question_of(ask);

	q->leaving = (struct group_leaving){.member = ask_text(ask, "%s", c->id), .instance = slice_str(c->instance)};
	if (c->instance[0] && random_permille(&world->random, 300))
		q->leaving.member = (struct slice){0};
	ask->command.in.group_leave = (struct group_leave_in){slice_str(group_name_of(c->group)), &q->leaving, 1};
	ask_send(world, ask);
}

/* --- who looks from outside --- */

/* One to whom the server assigns is put out. */
static void takes_out(struct world *world, struct ask *ask, unsigned group)
{
	struct question *q = question_of(ask);

	ask->command.kind = COMMAND_GROUP_LEAVE;
	q->leaving = (struct group_leaving){.member = assignee_who(world, ask, group).member};
	ask->command.in.group_leave = (struct group_leave_in){slice_str(group_name_of(group)), &q->leaving, 1};
	ask_send(world, ask);
}

static void outsider_acts(struct world *world)
{
	static const enum command_kind kinds[] = {COMMAND_GROUP_OFFSETS, COMMAND_GROUP_OFFSETS, COMMAND_GROUP_GET,
						  COMMAND_GROUP_GET,     COMMAND_GROUPS,        COMMAND_GROUP_FORGET,
						  COMMAND_GROUP_DELETE,  COMMAND_GROUP_COMMIT};
	struct ask *ask = question_new(world, any_loop(world), kinds[random_below(&world->random, ARRAY_COUNT(kinds))]);
	struct question *q = question_of(ask);
	struct slice group = slice_str(group_name_of((unsigned)random_below(&world->random, GROUP_NAMES)));

	if (group_of_name(group) >= GROUP_ASSIGNED && random_permille(&world->random, 20)) {
		takes_out(world, ask, group_of_name(group));
		return;
	}
	if (is_seldom(group_of_name(group)) && ask->command.kind != COMMAND_GROUP_GET && !random_permille(&world->random, 20))
		group = slice_str(group_name_of(0));
	switch ((unsigned)ask->command.kind) {
	case COMMAND_GROUP_OFFSETS:
		ask->command.in.group_offsets =
			(struct group_offsets_in){.group = group, .stable = random_permille(&world->random, 500)};
		if (random_permille(&world->random, 500)) {
			ask->command.in.group_offsets.count = group_some_places(world, ask, 0);
			ask->command.in.group_offsets.places = q->places;
		}
		break;
	case COMMAND_GROUP_COMMIT:
	case COMMAND_GROUP_FORGET:
		if (ask->command.kind == COMMAND_GROUP_COMMIT)
			ask->returned = committed;
		ask->command.in.group_commit =
			(struct group_commit_in){{.group = group, .generation = -1}, q->places, group_some_places(world, ask, 0)};
		break;
	case COMMAND_GROUPS:
		break;
	default:
		ask->command.in.group = (struct group_in){.group = group, .offsets = random_permille(&world->random, 500)};
	}
	ask_send(world, ask);
}

void consumer_acts(struct world *world)
{
	struct random *random = &world->random;
	struct consumer *c = &world->groups.consumers[random_below(random, GROUP_CONSUMERS)];
	uint64_t drawn = random_below(random, 1000);
	bool works = c->group != GROUP_TURNING || !assignees_have_shift(world, c->group) || random_permille(random, 20);

	if (random_permille(random, 450)) {
		assignee_acts(world);
		return;
	}

	if (random_permille(random, 60))
		outsider_acts(world);
	if (c->ask && c->ask->applied && group_waits(c->ask) && random_permille(random, 15))
		gives_up(world, c);
	if (c->ask || c->rests_until_ms > world->now_ms || (!works && c->state == CONSUMER_OUT))
		return;
	if (drawn < (is_seldom(c->group) ? 40 : 8)) { /* silent for a while, or for ever as who it was */
		uint64_t sleep_ms = is_seldom(c->group) ? SLEEP_MS * 4 : SLEEP_MS;

		world->groups.silent++;
		c->rests_until_ms =
			world->now_ms + random_below(random, random_permille(random, 500) ? sleep_ms : GROUP_SESSION_MOST_MS);
		if (random_permille(random, 300))
			is_out(c, true);
	} else if (c->state == CONSUMER_OUT) {
		joins(world, c);
	} else if (c->state == CONSUMER_JOINED && drawn < 900) {
		syncs(world, c);
	} else if (drawn < (works ? 20 : 400)) {
		leaves(world, c);
	} else if (drawn < 28) {
		joins(world, c);
	} else if (drawn < 250) {
		commits(world, c);
	} else {
		beats(world, c);
	}
}
