/* Consumers to whom the server assigns: dynamic and static ones. They join, beat, take up and give up what they are told, at once
 * or slowly; want something else, commit, leave, crash, lose answers, and come back as whom they were.
 *
 * As clients do, one says what it owns when that is not what it said last, or when it cannot know what became of its last word.
 * It has one word under way at a time. Who lost two answers in a row takes up nothing until he has another: what he was told
 * before may not hold any more, and nobody can know that he did not hear of it. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>

enum { ASSIGNEE_REGEXES = 4, REGEX_WRONG = 3, ASSIGNEE_ASSIGNORS = 4, ASSIGNOR_WRONG = 3 };

static const char *const regexes[ASSIGNEE_REGEXES] = {"", "[ab].*", ".*a", "(a"};
static const char *const assignors[ASSIGNEE_ASSIGNORS] = {"", "uniform", "range", "best"};

bool assignee_regex_is_sane(struct slice regex)
{
	return !slice_eq(regex, slice_str(regexes[REGEX_WRONG]));
}

void assignees_begin(struct world *world)
{
	for (unsigned i = 0; i < ASSIGNEES; i++) {
		struct assignee *a = &world->groups.assignees.each[i];

		*a = (struct assignee){.index = i,
				       .group = i % 3 == 2 ? GROUP_TURNING : GROUP_ASSIGNED,
				       .rebalance_ms = ASSIGNEE_REBALANCE_LEAST_MS + i % 4 * 150,
				       .topics = 1 + i % 7};
		if (i % 4 == 3) /* two share one */
			snprintf(a->instance, sizeof(a->instance), "s%u", i % 8);
	}
	world->groups.assignees.started_ms = world->now_ms;
}

void assignees_say(const struct world *world)
{
	const struct assignee_world *w = &world->groups.assignees;

	printf("sim:   assigned: %" PRIu64 " joins, %" PRIu64 " beats, %" PRIu64 " moves, %" PRIu64 " to give up, %" PRIu64
	       " stale, %" PRIu64 " not in, %" PRIu64 " commits, %" PRIu64 " refused, %" PRIu64 " answers lost, %" PRIu64
	       " instances in use, %" PRIu64 " put out, %" PRIu64 " turned, %" PRIu64 " rests\n",
	       w->joins, w->beats, w->moves, w->given_up, w->stale, w->gone, w->committed, w->refused, w->lost, w->unreleased,
	       w->out, w->turned, w->rests);
}

bool assignees_have_shift(const struct world *world, unsigned group)
{
	return group != GROUP_TURNING || world->now_ms / SHIFT_MS % 2;
}

/* It abandons what it had. */
static void is_out(struct world *world, struct assignee *a, bool as_nobody)
{
	assignee_is_dead(world, a);
	a->has = a->told = a->said = (struct place_set){0};
	a->epoch = 0;
	a->is_in = a->says_all = false;
	a->lost = 0;
	if (as_nobody)
		a->id[0] = '\0';
}

void assignees_crash(struct world *world)
{
	for (unsigned i = 0; i < ASSIGNEES; i++) {
		struct assignee *a = &world->groups.assignees.each[i];

		a->says_all = true;
		a->lost++;
		a->ask = NULL;
	}
}

/* --- what it does with what it is told --- */

static bool may_take_up(const struct assignee *a)
{
	return a->lost < 2;
}

static void takes_up(struct assignee *a)
{
	for (size_t i = 0; i < a->told.count && may_take_up(a); i++)
		place_set_add(&a->has, a->told.at[i], 0);
}

static void gives_up(struct assignee *a)
{
	struct place_set kept = {0};

	for (size_t i = 0; i < a->has.count; i++) {
		if (place_set_has(&a->told, a->has.at[i]))
			place_set_add(&kept, a->has.at[i], 0);
	}
	a->has = kept;
}

static void obeys(struct world *world, struct assignee *a)
{
	if (random_permille(&world->random, 750))
		gives_up(a);
	if (random_permille(&world->random, 800))
		takes_up(a);
}

static uint64_t topic_of(const struct world *world, const struct topic_id *id)
{
	for (uint64_t i = 0; i < world->model.topics.cap; i++) {
		if (world->model.topics.at[i] && memcmp(&world->model.topics.at[i]->id, id, sizeof(*id)) == 0)
			return i;
	}
	return 0;
}

struct place_set assignee_places(const struct world *world, const struct consumer_places_view *view)
{
	struct place_set set = {0};

	for (uint32_t t = 0; t < view->count; t++) {
		uint64_t number = topic_of(world, &view->topics[t].id);

		for (uint32_t p = 0; p < view->topics[t].count; p++)
			place_set_add(&set, (struct place){number, (uint32_t)view->topics[t].partitions[p]}, 0);
	}
	return set;
}

static void refused(struct world *world, struct assignee *a, enum outcome outcome)
{
	switch ((unsigned)outcome) {
	case OUTCOME_FENCED:
		a->rests_until_ms = world->now_ms + random_below(&world->random, 2000);
		is_out(world, a, true);
		return;
	case OUTCOME_NO_MEMBER:
	case OUTCOME_MEMBER_EPOCH:
		is_out(world, a, random_permille(&world->random, 300));
		return;
	case OUTCOME_NOT_FOUND:
	case OUTCOME_FULL:
	case OUTCOME_UNRELEASED:
		a->rests_until_ms = world->now_ms + random_below(&world->random, 400);
		if (!a->is_in || outcome == OUTCOME_NOT_FOUND)
			is_out(world, a, false);
		return;
	case OUTCOME_REGEX:
		a->regex = 0;
		a->wants_new = true;
		return;
	case OUTCOME_ASSIGNOR:
		a->assignor = 0;
		return;
	default: /* it is not known what became of it */
		a->says_all = true;
		a->lost++;
	}
}

static void beaten(struct world *world, struct ask *ask)
{
	const struct consumers_view *view = ask->command.out.consumers;
	struct assignee *a = ask->who;

	a->ask = NULL;
	if (!world->groups.assignees.is_quiet && random_permille(&world->random, 25)) {
		world->groups.assignees.lost++;
		a->says_all = true;
		a->lost++;
		return;
	}
	if (ask->command.outcome != OUTCOME_OK) {
		refused(world, a, ask->command.outcome);
		return;
	}
	ENSURE(view->at[0].id.len < ASSIGNEE_ID_CHARS);
	memset(a->id, 0, sizeof(a->id));
	memcpy(a->id, view->at[0].id.ptr, view->at[0].id.len);
	a->epoch = (int32_t)view->at[0].epoch;
	a->is_in = true;
	a->says_all = false;
	a->lost = 0;
	group_epoch_told(world, question_of(ask)->group_number, view->at[0].epoch);
	if (!view->has_assigned)
		return;
	a->told = assignee_places(world, &view->at[0].assigned);
	if (random_permille(&world->random, 500))
		obeys(world, a);
}

/* --- what it says --- */

static struct ask *assignee_asks(struct world *world, struct assignee *a, enum command_kind kind,
				 void (*returned)(struct world *world, struct ask *ask))
{
	struct ask *ask = question_new(world, any_loop(world), kind);
	struct question *q = question_of(ask);

	q->is_assignee = true;
	q->consumer = a->index;
	q->may_own = a->has;
	for (size_t i = 0; i < a->told.count && may_take_up(a); i++)
		place_set_add(&q->may_own, a->told.at[i], 0);
	ask->who = a;
	ask->returned = returned;
	a->ask = ask;
	return ask;
}

static void says_owned(struct world *world, struct ask *ask, struct assignee *a)
{
	struct consumer_beat_in *in = &ask->command.in.consumer_beat;
	struct question *q = question_of(ask);

	for (size_t i = 0; i < a->has.count; i++) {
		q->owned_partitions[i] = (int32_t)a->has.at[i].partition;
		q->owned[i] = (struct consumer_owned){world->model.topics.at[a->has.at[i].topic]->id, &q->owned_partitions[i], 1};
	}
	in->owned = q->owned;
	in->owned_count = a->has.count;
	in->beat.has_owned = true;
	q->said_owned = a->said = a->has;
}

static void says_subscription(struct ask *ask, struct assignee *a)
{
	struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	struct question *q = question_of(ask);

	for (unsigned i = 0; i < TOPIC_NAMES; i++) {
		if (a->topics & 1u << i)
			q->names[beat->topic_count++] = slice_str(topic_name_of(i));
	}
	beat->topics = q->names;
	beat->has_topics = true;
	beat->regex = slice_str(regexes[a->regex]);
	a->wants_new = false;
}

static void says(struct world *world, struct assignee *a, int32_t epoch, bool all)
{
	struct ask *ask = assignee_asks(world, a, COMMAND_CONSUMER_BEAT, beaten);
	struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;

	*beat = (struct consumer_beat){.group = slice_str(group_name_of(a->group)),
				       .member = question_of(ask)->member = ask_text(ask, "%s", a->id),
				       .epoch = epoch,
				       .client_id = SLICE("client"),
				       .client_host = SLICE("/127.0.0.1"),
				       .rebalance_ms = all ? (int32_t)a->rebalance_ms : -1};
	if (a->instance[0])
		beat->instance = slice_str(a->instance);
	if (epoch >= 0 && (all || a->wants_new)) {
		beat->assignor = slice_str(assignors[a->assignor]);
		if (!a->assignor)
			beat->assignor.ptr = NULL;
		says_subscription(ask, a);
	}
	if (epoch >= 0 &&
	    (all || a->has.count != a->said.count || !place_set_holds(&a->has, &a->said) || random_permille(&world->random, 300)))
		says_owned(world, ask, a);
	world_trace(world, "%s says %s at epoch %d%s", a->id, epoch < 0 ? "that it leaves" : "something", epoch,
		    beat->has_owned ? ", and what it has" : "");
	ask_send(world, ask);
}

static void joins(struct world *world, struct assignee *a)
{
	is_out(world, a, false);
	if (!a->id[0] && random_permille(&world->random, 850))
		snprintf(a->id, sizeof(a->id), "a%u-%" PRIu64, a->index, ++world->groups.assignees.serial);
	says(world, a, CONSUMER_JOINS, true);
}

void assignee_obeys(struct assignee *a)
{
	gives_up(a);
	takes_up(a);
}

void assignee_beats(struct world *world, struct assignee *a)
{
	assignee_obeys(a);
	says(world, a, a->epoch, a->says_all);
}

static void beats(struct world *world, struct assignee *a)
{
	int32_t epoch = a->epoch;

	if (random_permille(&world->random, 500))
		obeys(world, a);
	if (random_permille(&world->random, 15))
		epoch += random_permille(&world->random, 700) && epoch > 1 ? -1 : 1;
	says(world, a, epoch, a->says_all || random_permille(&world->random, 30));
}

static void left(struct world *world, struct ask *ask)
{
	struct assignee *a = ask->who;

	a->ask = NULL;
	/* Some go on as if they had not. */
	if (!random_permille(&world->random, 150))
		is_out(world, a, random_permille(&world->random, 700));
}

static void leaves(struct world *world, struct assignee *a)
{
	struct place_set nothing = {0};

	a->has = a->told = a->said = nothing; /* before it says so */
	says(world, a, a->instance[0] && random_permille(&world->random, 700) ? CONSUMER_PAUSES : CONSUMER_LEAVES, false);
	a->ask->returned = left;
}

static void wants_something_else(struct world *world, struct assignee *a)
{
	a->topics = (unsigned)random_below(&world->random, 1u << TOPIC_NAMES);
	a->regex = (unsigned)random_below(&world->random, random_permille(&world->random, 950) ? REGEX_WRONG : ASSIGNEE_REGEXES);
	if (random_permille(&world->random, 300))
		a->assignor = (unsigned)random_below(&world->random,
						     random_permille(&world->random, 900) ? ASSIGNOR_WRONG : ASSIGNEE_ASSIGNORS);
	a->wants_new = true;
}

/* --- offsets --- */

static void committed(struct world *world, struct ask *ask)
{
	((struct assignee *)ask->who)->ask = NULL;
	group_committed(world, ask);
}

static struct group_who who_of(struct world *world, struct ask *ask, const struct assignee *a)
{
	int32_t back = random_permille(&world->random, 200) ? (int32_t)random_below(&world->random, 5) - 1 : 0;

	return (struct group_who){.group = slice_str(group_name_of(a->group)),
				  .member = ask_text(ask, "%s", a->id),
				  .instance = slice_str(a->instance),
				  .generation = a->epoch > back ? a->epoch - back : a->epoch};
}

struct group_who assignee_who(struct world *world, struct ask *ask, unsigned group)
{
	const struct assignee *a = &world->groups.assignees.each[random_below(&world->random, ASSIGNEES)];

	while (a->group != group)
		a = a == world->groups.assignees.each ? a + ASSIGNEES - 1 : a - 1;
	question_of(ask)->is_assignee = true;
	return who_of(world, ask, a);
}

static void commits(struct world *world, struct assignee *a)
{
	struct ask *ask = assignee_asks(world, a, COMMAND_GROUP_COMMIT, committed);
	struct question *q = question_of(ask);

	ask->command.in.group_commit = (struct group_commit_in){
		.who = who_of(world, ask, a), .places = q->places, .count = group_some_places(world, ask, 0)};
	/* Mostly of what it has. */
	if (a->has.count && random_permille(&world->random, 700)) {
		const struct place place = a->has.at[random_below(&world->random, a->has.count)];

		q->places[0].topic = ask_text(ask, "%s", world->model.topics.at[place.topic]->name);
		q->places[0].partition = place.partition;
		ask->command.in.group_commit.count = 1;
	}
	ask_send(world, ask);
}

static void offsets_told(struct world *world, struct ask *ask)
{
	(void)world;
	((struct assignee *)ask->who)->ask = NULL;
}

static void asks_offsets(struct world *world, struct assignee *a)
{
	struct ask *ask = assignee_asks(world, a, COMMAND_GROUP_OFFSETS, offsets_told);
	struct group_who who = who_of(world, ask, a);

	ask->command.in.group_offsets =
		(struct group_offsets_in){.group = who.group, .member = who.member, .epoch = who.generation};
	ask_send(world, ask);
}

/* --- what comes to its mind --- */

static void falls_silent(struct world *world, struct assignee *a)
{
	a->rests_until_ms = world->now_ms + random_below(&world->random, 2 * ASSIGNEE_SESSION_MS);
	if (random_permille(&world->random, 500)) /* it has crashed */
		is_out(world, a, true);
}

void assignee_acts(struct world *world)
{
	struct random *random = &world->random;
	struct assignee *a = &world->groups.assignees.each[random_below(random, ASSIGNEES)];
	uint64_t drawn = random_below(random, 1000);
	bool works = assignees_have_shift(world, a->group) || random_permille(random, 20);

	if (a->is_in && random_permille(random, 50))
		takes_up(a); /* be a word under way or not */
	if (a->ask || a->rests_until_ms > world->now_ms || (!works && !a->is_in))
		return;
	if (drawn < 8)
		falls_silent(world, a);
	else if (!a->is_in || drawn < 14)
		joins(world, a);
	else if (drawn < 28 || (!works && drawn < 400))
		leaves(world, a);
	else if (drawn < 50)
		wants_something_else(world, a);
	else if (drawn < 130)
		commits(world, a);
	else if (drawn < 160)
		asks_offsets(world, a);
	else
		beats(world, a);
}
