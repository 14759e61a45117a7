/* A run: themes, steps, the end. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PEOPLE  .submit = 14, .poll = 12, .claim = 12, .work = 16, .cancel = 2, .operate = 2, .leave = 3
#define STREAMS .append = 16, .read = 14, .stream = 1, .idle_permille = 300
#define MOVES   .turn = 24, .loop = 24, .time = 24, .replay = 1, .steps = 20000

const struct theme themes[] = {
	{.name = "plain", PEOPLE, MOVES, .loops = 4, .jobs = 60, .keep_ms = 300, .snapshot = 8},
	{.name = "crash",
	 PEOPLE,
	 MOVES,
	 .loops = 3,
	 .jobs = 60,
	 .keep_ms = 500,
	 .snapshot = 8,
	 .checkpoint = 2,
	 .tidy = 1,
	 .crash_permyriad = 40,
	 .sync_ms = 8},
	{.name = "sync",
	 PEOPLE,
	 MOVES,
	 .loops = 3,
	 .jobs = 60,
	 .keep_ms = 500,
	 .snapshot = 8,
	 .checkpoint = 1,
	 .sync_ms = 80,
	 .sync_fail_permille = 120},
	{.name = "full",
	 PEOPLE,
	 MOVES,
	 .loops = 2,
	 .jobs = 60,
	 .keep_ms = 300,
	 .snapshot = 8,
	 .tidy = 4,
	 .full_permille = 10,
	 .sync_ms = 4,
	 .crash_permyriad = 5},
	{.name = "memory",
	 PEOPLE,
	 MOVES,
	 .loops = 2,
	 .jobs = 60,
	 .keep_ms = 300,
	 .snapshot = 8,
	 .checkpoint = 2,
	 .tidy = 2,
	 .memory_permille = 100,
	 .sync_ms = 4,
	 .crash_permyriad = 5},
	{.name = "checkpoint",
	 PEOPLE,
	 MOVES,
	 .loops = 2,
	 .jobs = 80,
	 .keep_ms = 500,
	 .snapshot = 3,
	 .checkpoint = 20,
	 .tidy = 8,
	 .sync_ms = 4,
	 .crash_permyriad = 20},
	/* Jobs come and go so quickly that a checkpoint sees few of them. */
	{.name = "churn",
	 .submit = 60,
	 .poll = 6,
	 .claim = 20,
	 .work = 30,
	 .cancel = 40,
	 .operate = 2,
	 .leave = 2,
	 MOVES,
	 .loops = 2,
	 .jobs = 120,
	 .keep_ms = 60,
	 .snapshot = 3,
	 .checkpoint = 16,
	 .crash_permyriad = 10},
	{.name = "mixed",
	 PEOPLE,
	 MOVES,
	 .loops = 4,
	 .jobs = 70,
	 .keep_ms = 500,
	 .snapshot = 6,
	 .checkpoint = 4,
	 .tidy = 3,
	 .crash_permyriad = 15,
	 .sync_fail_permille = 3,
	 .full_permille = 3,
	 .memory_permille = 15,
	 .sync_ms = 20,
	 STREAMS},
	/* Streams alone, and all that is bad. */
	{.name = "streams",
	 .append = 40,
	 .read = 34,
	 .stream = 3,
	 .idle_permille = 300,
	 .leave = 4,
	 .turn = 36,
	 .loop = 72,
	 .time = 24,
	 .replay = 1,
	 .steps = 80000,
	 .loops = 3,
	 .jobs = 10,
	 .keep_ms = 300,
	 .snapshot = 2,
	 .checkpoint = 8,
	 .tidy = 6,
	 .crash_permyriad = 15,
	 .sync_fail_permille = 3,
	 .full_permille = 3,
	 .memory_permille = 15,
	 .sync_ms = 20},
	/* Streams come and go, most of them forks, under checkpoints that take long. */
	{.name = "forks",
	 .append = 30,
	 .read = 20,
	 .stream = 24,
	 .idle_permille = 30,
	 .leave = 4,
	 .turn = 36,
	 .loop = 60,
	 .time = 20,
	 .replay = 2,
	 .steps = 80000,
	 .loops = 2,
	 .jobs = 10,
	 .keep_ms = 300,
	 .snapshot = 1,
	 .checkpoint = 6,
	 .tidy = 6,
	 .crash_permyriad = 15,
	 .sync_fail_permille = 2,
	 .memory_permille = 10,
	 .sync_ms = 10},
	/* What the Kafka door asks of topics, their producers and transactions. */
	{.name = "topics",
	 .topic = 6,
	 .produce = 50,
	 .fetch = 30,
	 .compact = 20,
	 .leave = 2,
	 .turn = 40,
	 .loop = 70,
	 .time = 24,
	 .replay = 1,
	 .steps = 60000,
	 .loops = 3,
	 .jobs = 10,
	 .keep_ms = 300,
	 .snapshot = 2,
	 .checkpoint = 6,
	 .tidy = 6,
	 .crash_permyriad = 15,
	 .sync_fail_permille = 3,
	 .full_permille = 2,
	 .memory_permille = 15,
	 .sync_ms = 15},
	/* Consumers in groups, and what they read is produced in transactions that commit their offsets. */
	{.name = "groups",
	 .topic = 2,
	 .produce = 12,
	 .fetch = 2,
	 .group = 80,
	 .compact = 3,
	 .turn = 40,
	 .loop = 70,
	 .time = 60,
	 .replay = 1,
	 .steps = 60000,
	 .loops = 3,
	 .jobs = 10,
	 .keep_ms = 300,
	 .snapshot = 2,
	 .checkpoint = 6,
	 .tidy = 2,
	 .crash_permyriad = 3,
	 .sync_fail_permille = 2,
	 .full_permille = 1,
	 .memory_permille = 10,
	 .sync_ms = 15},
};
const unsigned theme_count = ARRAY_COUNT(themes);

static struct world *present; /* for whoever has to say how to play it again */

void world_say_replay(void)
{
	char text[160];
	int len;

	if (!present)
		return;
	len = snprintf(text, sizeof(text),
		       "sim: step %" PRIu64 "; play it again: sim --theme %s --seed %" PRIu64 " --steps %" PRIu64 " --trace\n",
		       present->step, present->theme->name, present->seed, present->steps);
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
		return;
}

void world_fail(struct world *world, const char *file, int line, const char *format, ...)
{
	va_list args;

	(void)world;
	fflush(stdout);
	fprintf(stderr, "sim: %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	world_say_replay();
	_exit(1);
}

void world_trace(struct world *world, const char *format, ...)
{
	va_list args;

	if (!world->trace)
		return;
	printf("%" PRIu64 " [%" PRIu64 "] ", world->step, world->now_ms % 100000000);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void any_loop_runs(struct world *world)
{
	machine_loop(world, any_loop(world));
}

static void somebody_leaves(struct world *world)
{
	if (world->theme->fetch)
		fetcher_leaves(world);
	else if (world->theme->read && random_permille(&world->random, 500))
		reader_leaves(world);
	else if (random_permille(&world->random, 500))
		poller_leaves(world);
	else
		worker_leaves(world);
}

static void step(struct world *world)
{
	const struct theme *t = world->theme;
	const struct {
		const char *what;
		unsigned weight;
		void (*act)(struct world *world);
	} acts[] = {
		{"submit", t->submit, submitter_acts},
		{"poll", t->poll, poller_acts},
		{"claim", t->claim, worker_claims},
		{"work", t->work, worker_works},
		{"cancel", t->cancel, canceler_acts},
		{"operate", t->operate, operator_acts},
		{"leave", t->leave, somebody_leaves},
		{"turn", t->turn, machine_turn},
		{"loop", t->loop, any_loop_runs},
		{"time", t->time, machine_time},
		{"topic", t->topic, topic_operator_acts},
		{"produce", t->produce, producer_acts},
		{"fetch", t->fetch, fetcher_acts},
		{"group", t->group, consumer_acts},
		{"append", t->append, writer_acts},
		{"read", t->read, reader_acts},
		{"stream", t->stream, stream_operator_acts},
		{"compact", t->compact, compactor_acts},
		{"tidy", t->tidy, machine_tidy},
		{"checkpoint", t->checkpoint, machine_checkpoint},
	};
	uint64_t sum = 0, drawn;
	unsigned i = 0;

	for (i = 0; i < ARRAY_COUNT(acts); i++)
		sum += acts[i].weight;
	drawn = random_below(&world->random, sum);
	for (i = 0; drawn >= acts[i].weight; i++)
		drawn -= acts[i].weight;
	world_trace(world, "%s", acts[i].what);
	acts[i].act(world);
}

void world_moves(struct world *world)
{
	world->step++;
	world->memory_failed = false;
	world->step_end = sim_store_end(world->store);
	machine_turn(world);
	for (unsigned i = 0; i < world->theme->loops; i++)
		machine_loop(world, &world->loops[i]);
}

/* Before a server whose journal has failed goes, everybody has heard of it. */
static void failure_is_told(struct world *world)
{
	for (unsigned round = 0; round < 200 && !list_empty(&world->asks); round++)
		world_moves(world);
	CHECK(world, list_empty(&world->asks), "the journal has failed, and a command of kind %d never comes back",
	      (int)container_of(world->asks.next, struct ask, node)->command.kind);
}

/* In every other run with topics nothing is ever short: what is due is due then, to the millisecond. */
bool world_is_calm(const struct world *world)
{
	return world->theme->produce && world->seed % 2;
}

/* … and in half of those crashes are so rare that what takes long is seen to happen. */
static unsigned world_crashes(const struct world *world)
{
	return world_is_calm(world) && world->seed % 4 == 1 ? (world->theme->crash_permyriad + 7) / 8
							    : world->theme->crash_permyriad;
}

static void bad_luck(struct world *world)
{
	struct random *random = &world->random;

	if (!world_is_calm(world) && random_permille(random, world->theme->full_permille)) {
		world->full = !world->full;
		sim_store_set_full(world->store, world->full);
	}
	/* Who has failed says so to all who still ask, and is then started again. */
	if (world->failed ? random_permille(random, 30) : random_below(random, 10000) < world_crashes(world)) {
		if (world->failed)
			failure_is_told(world);
		machine_crash(world);
	}
}

static void step_checked(struct world *world)
{
	world->step++;
	world->memory_failed = false;
	world->step_end = sim_store_end(world->store);
	bad_luck(world);
	step(world);
	if (world->checked_end != world->model.last_end || world->memory_failed || world->step % 16 == 0)
		check_step(world);
	world->checked_end = world->model.last_end;
	if (random_permille(&world->random, world->theme->replay))
		check_replay(world);
}

/* Nobody asks anything more: each command comes back, within the time that syncs take. */
static void quiesce(struct world *world)
{
	uint64_t until = world->now_ms + 4 * world->theme->sync_ms + 400;

	while (!list_empty(&world->asks) && world->now_ms < until) {
		groups_leave(world);
		world_moves(world);
		machine_time(world);
		check_step(world);
	}
	/* Waits that end in that time ask anew; what is older must be back. */
	list_each (node, &world->asks) {
		const struct ask *ask = container_of(node, struct ask, node);

		CHECK(world, ask->sent_ms + 4 * world->theme->sync_ms + 200 > until,
		      "a command of kind %d, sent at %" PRIu64 ", did not come back", (int)ask->command.kind, ask->sent_ms);
	}
}

static void say_what_was(const struct world *world)
{
	const struct stream_world *streams = &world->streams;

	printf("sim: %s seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " jobs, %" PRIu64 " commands, %" PRIu64
	       " waits answered, %" PRIu64 " expired, %" PRIu64 " hand-offs, %" PRIu64 " done, %" PRIu64 " outputs, %" PRIu64
	       " crashes, %" PRIu64 " checkpoints, %" PRIu64 " rescues, %" PRIu64 " refused for memory\n",
	       world->theme->name, world->seed, world->steps, world->model.next_number - 1, world->returned,
	       world->waits_answered, world->waits_expired, world->offers, world->dones, world->streams.outputs, world->crashes,
	       world->checkpoints, world->rescues, world->refused_memory);
	if (world->theme->append)
		printf("sim:   streams: %" PRIu64 " made, %" PRIu64 " appends (of one: %" PRIu64 "), %" PRIu64
		       " repeats, %" PRIu64 " reads, %" PRIu64 " records read, %" PRIu64 " woken, %" PRIu64
		       " cursors of another, %" PRIu64 " expired, %" PRIu64 " moved, %" PRIu64 " forks, %" PRIu64
		       " trimmed, %" PRIu64 " dropped, %" PRIu64 " gathered, %" PRIu64 " cursors left behind\n",
		       world->model.streams.next_number, streams->appends, streams->longest, streams->repeats, streams->reads,
		       streams->records, streams->wakes, streams->others, streams->expired, streams->moved, streams->forks,
		       streams->trimmed, streams->dropped, streams->gathered, streams->behind);
	if (world->theme->produce)
		topics_say(world);
	if (world->theme->compact)
		compactor_say(world);
	if (world->theme->group)
		groups_say(world);
	fflush(stdout);
}

static void config_set(struct world *world)
{
	world->config = sequencer_defaults;
	world->config.delivery_lease_ms = random_between(&world->random, 20, 300);
	world->config.tombstone_ms = random_below(&world->random, world->theme->keep_ms);
	world->config.retry_base_ms = random_between(&world->random, 1, 50);
	world->config.retry_cap_ms = 400;
	world->config.jobs_max = world->theme->jobs * 4;
	world->config.queue_jobs_max = world->theme->jobs;
	world->config.streams_max = STREAM_COUNT_MAX;
	world->config.producers_max = STREAM_PRODUCERS;
	if (world->theme->produce) {
		world->config.streams_max = 1000;
		world->config.producers_max = TOPIC_PRODUCERS_KNOWN;
		world->config.topic_partitions_max = TOPIC_PARTITIONS_ASKED;
		world->config.topics_max = TOPIC_NAMES - 1;
		world->config.transaction_ms_max = 5000;
		world->config.compaction_interval_ms = world->seed % 5 * 40 + 10;
		world->config.compaction_chunks = world->seed % 3 ? (uint32_t)random_between(&world->random, 1, 6) : 1024;
		world->config.group_session_min_ms = 100;
		world->config.consumer_session_ms = ASSIGNEE_SESSION_MS;
		world->config.group_members_max = GROUP_MEMBERS_MOST;
		world->config.group_first_delay_ms = world->seed % 3 * 50;
		world->config.group_retention_ms = GROUP_KEPT_MS;
		world->config.group_metadata_max = 40;
		world->config.group_offsets_max = 40;
	}
	if (world->seed % 4) { /* else as the server does */
		world->config.gather_chunks = (uint32_t)random_between(&world->random, 2, 12);
		world->config.gather_bytes = (uint32_t)random_between(&world->random, 600, 4000);
	}
}

void world_run(const struct theme *theme, uint64_t seed, uint64_t steps, bool trace)
{
	struct world *world = calloc(1, sizeof(*world));

	ENSURE(world);
	*world = (struct world){.theme = theme, .seed = seed, .steps = steps ? steps : theme->steps, .trace = trace};
	world->random.state = seed;
	world->now_ms = 1700000000000;
	list_init(&world->asks);
	list_init(&world->polls);
	list_init(&world->claims);
	list_init(&world->deliveries);
	list_init(&world->holdings);
	config_set(world);
	model_init(&world->model, world->config.tombstone_ms);
	world->store = sim_store_new();
	sim_store_tap(world->store, check_tap, world);
	present = world;
	streams_begin(world);
	topics_begin(world);
	groups_begin(world);
	machine_start(world, false);
	while (world->step < world->steps)
		step_checked(world);
	if (theme->group)
		assignees_rest(world);
	quiesce(world);
	if (world->theme->compact && world_is_calm(world))
		compactor_rests(world);
	topic_told_check(world, !world->failed);
	check_replay(world);
	machine_crash(world);
	check_replay(world);
	say_what_was(world);
	machine_free(world);
	list_each_safe (node, &world->holdings) {
		list_remove(node);
		free(container_of(node, struct holding, node));
	}
	streams_end(world);
	topics_end(world);
	groups_end(world);
	sim_store_free(world->store);
	model_deinit(&world->model);
	present = NULL;
	free(world);
}
