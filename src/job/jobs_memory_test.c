/* Each kind of event with the k-th allocation failing, for every k: nothing changes, and the next attempt works. */
#include "job/jobs_fixture.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

static struct world world;
static struct buf before, after;

static int setup(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_deinit(&world);
	buf_deinit(&before);
	buf_deinit(&after);
	before = after = (struct buf){0};
	return 0;
}

/* The world before the event, and the event; anew for each k, since room that was made stays. */
typedef struct event (*scene)(unsigned variant);

/* How many allocations it takes. Afterwards it has worked. */
static uint64_t expect_all_or_nothing(scene make, unsigned variant, struct slice body)
{
	for (uint64_t k = 1;; k++) {
		struct event e = make(variant);
		uint64_t position = world.position;
		int r;

		world_dump(&world, &before);
		mem_fail_nth(k);
		r = world_try(&world, &e, body);
		mem_fail_nth(0);
		if (!r)
			return k - 1;
		assert_int_equal(r, -ENOMEM);
		assert_true(world.position == position && k < 100);
		jobs_check(&world.jobs);
		world_dump(&world, &after);
		assert_int_equal(before.len, after.len);
		assert_memory_equal(before.ptr, after.ptr, before.len);
		world_deinit(&world);
		world_init(&world);
	}
}

/* The heap of deadlines and this queue's of ready jobs are full, so that one more place in them costs memory. */
static void fill_heaps(struct slice queue)
{
	while (!queue_find(&world.jobs, queue) || queue_find(&world.jobs, queue)->ready.count < 16)
		world_job(&world, queue, JOB_READY);
	while (world.jobs.deadlines.count < 16)
		world_job(&world, SLICE("others"), JOB_DELAYED);
}

static struct event scene_submit(unsigned full)
{
	struct event e = {.type = EVENT_SUBMITTED, .number = 1, .queue = SLICE("q"), .max_attempts = 1};

	if (!full)
		return e;
	fill_heaps(SLICE("old"));
	e.number = 100000; /* far from the others, so that the directory grows */
	e.name = SLICE("name");
	e.key = SLICE("key");
	e.content_type = SLICE("text/x-new");
	e.until_ms = world.time_ms + 5;
	return e;
}

static void submitted(void **state)
{
	(void)state;
	/* Directory, chunk, queue, its name, its heap, the deadlines' heap, pool. */
	assert_int_equal(expect_all_or_nothing(scene_submit, 0, SLICE("body")), 7);
	world_deinit(&world);
	world_init(&world);
	/* The same without the pool, which has room; and type, name, key. */
	assert_int_equal(expect_all_or_nothing(scene_submit, 1, SLICE("body")), 9);
	assert_int_equal(jobs_find_name(&world.jobs, SLICE("q"), SLICE("name"))->number, 100000);
}

static struct event scene_offer(unsigned variant)
{
	struct event e = {
		.type = EVENT_OFFERED,
		.token = 5,
		.lease_ms = 1000,
		.until_ms = world.time_ms + 1000,
		.worker = SLICE("a new worker"),
		.attempt_id = SLICE("id"),
	};

	(void)variant;
	fill_heaps(SLICE("q"));
	e.number = queue_first_ready(queue_find(&world.jobs, SLICE("q")))->number;
	return e;
}

static void offered(void **state)
{
	(void)state;
	/* Two heaps, worker, attempt id. */
	assert_int_equal(expect_all_or_nothing(scene_offer, 0, (struct slice){0}), 4);
}

static struct event scene_text(unsigned type)
{
	return (struct event){
		.type = (enum event_type)type,
		.number = world_job(&world, SLICE("q"), JOB_RUNNING)->number,
		.until_ms = world.time_ms + 1,
		.message = SLICE("message"),
		.error = SLICE("\"error\""),
		.content_type = SLICE("text/x-other"),
	};
}

static void those_with_text(void **state)
{
	static const enum event_type types[] = {EVENT_BEAT, EVENT_RETRIED, EVENT_FAILED, EVENT_DONE};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(types); i++)
		assert_int_equal(
			expect_all_or_nothing(scene_text, types[i], types[i] == EVENT_DONE ? SLICE("result") : (struct slice){0}),
			1);
}

static struct event scene_time_out(unsigned variant)
{
	struct job *job = world_job(&world, SLICE("q"), JOB_RUNNING);

	(void)variant;
	job->max_attempts = 1;
	return (struct event){.type = EVENT_TIMED_OUT, .number = job->number};
}

static void timed_out(void **state)
{
	(void)state;
	assert_int_equal(expect_all_or_nothing(scene_time_out, 0, (struct slice){0}), 1);
	assert_int_equal(jobs_find(&world.jobs, 1)->state, JOB_FAILED);
}

/* Those that need nothing but room in the heaps. */
static const struct {
	enum event_type type;
	enum job_state from;
} plain_rows[] = {
	{EVENT_READY, JOB_DELAYED},    {EVENT_LEASED, JOB_OFFERED}, {EVENT_UNOFFERED, JOB_OFFERED}, {EVENT_RELEASED, JOB_RUNNING},
	{EVENT_CANCELED, JOB_RUNNING}, {EVENT_KICKED, JOB_FAILED},  {EVENT_EXPIRED, JOB_DONE},      {EVENT_FORGOTTEN, JOB_DONE},
};

static struct event scene_plain(unsigned row)
{
	uint64_t number = world_job(&world, SLICE("q"), plain_rows[row].from)->number;

	fill_heaps(SLICE("q"));
	return (struct event){.type = plain_rows[row].type, .number = number, .until_ms = world.time_ms};
}

static void plain(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(plain_rows); i++) {
		assert_int_equal(expect_all_or_nothing(scene_plain, i, (struct slice){0}), 2);
		world_deinit(&world);
		world_init(&world);
	}
}

static struct event scene_queue(unsigned type)
{
	return (struct event){.type = (enum event_type)type, .queue = SLICE("new"), .paused = 1};
}

static void queues(void **state)
{
	(void)state;
	assert_int_equal(expect_all_or_nothing(scene_queue, EVENT_QUEUE_SET, (struct slice){0}), 2);
	world_deinit(&world);
	world_init(&world);
	assert_int_equal(expect_all_or_nothing(scene_queue, EVENT_SNAP_QUEUE, (struct slice){0}), 2);
}

static struct event scene_snapshot(unsigned variant)
{
	(void)variant;
	return (struct event){
		.type = EVENT_SNAP_JOB,
		.number = 1,
		.queue = SLICE("q"),
		.name = SLICE("name"),
		.key = SLICE("key"),
		.content_type = SLICE("text/a"),
		.result_type = SLICE("text/b"),
		.worker = SLICE("worker"),
		.message = SLICE("message"),
		.error = SLICE("\"error\""),
		.attempt_id = SLICE("id"),
		.state = JOB_RUNNING,
		.attempt = 1,
		.max_attempts = 1,
		.token = 1,
		.until_ms = 1,
	};
}

static void snapshot_of_a_job(void **state)
{
	(void)state;
	/* Directory, chunk, queue, its name, two heaps, three atoms, two texts, three indexes, pool. */
	assert_int_equal(expect_all_or_nothing(scene_snapshot, 0, (struct slice){0}), 15);
	assert_non_null(jobs_find_attempt(&world.jobs, SLICE("id"), NULL));
}

static void the_beginning(void **state)
{
	struct jobs jobs;
	uint64_t k = 1;

	(void)state;
	for (;; k++) {
		int r;

		mem_fail_nth(k);
		r = jobs_init(&jobs, &world.store, &(struct hash_key){1, 2}, 0);
		mem_fail_nth(0);
		if (!r)
			break;
		assert_int_equal(r, -ENOMEM);
	}
	assert_int_equal(k - 1, 5);
	jobs_deinit(&jobs);
}

/* What was prepared and not committed leaves no trace. */
static void prepared_in_vain(void **state)
{
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = 70,
		.queue = SLICE("new"),
		.name = SLICE("name"),
		.key = SLICE("key"),
		.content_type = SLICE("text/x-new"),
		.max_attempts = 1,
		.end = UINT64_MAX,
	};
	struct prepared prepared;

	(void)state;
	world_job(&world, SLICE("q"), JOB_READY);
	world_dump(&world, &before);
	assert_int_equal(jobs_prepare(&world.jobs, &e, &prepared), 0);
	assert_true(prepared.new_job && prepared.new_queue && !prepared.skip);
	jobs_unprepare(&world.jobs, &prepared);
	e = (struct event){
		.type = EVENT_OFFERED, .number = 1, .worker = SLICE("w"), .attempt_id = SLICE("id"), .end = UINT64_MAX};
	assert_int_equal(jobs_prepare(&world.jobs, &e, &prepared), 0);
	jobs_unprepare(&world.jobs, &prepared);
	world_dump(&world, &after);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.ptr, after.ptr, before.len);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(submitted), TEST(offered),           TEST(those_with_text), TEST(timed_out),        TEST(plain),
		TEST(queues),    TEST(snapshot_of_a_job), TEST(the_beginning),   TEST(prepared_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
