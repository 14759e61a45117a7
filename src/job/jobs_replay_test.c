/* The fold: what a checkpoint holds already is not done twice, what is gone stays gone, and a snapshot is the whole state. */
#include "job/jobs_fixture.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

static struct world world, other;
static struct buf before, after;
static const struct slice none = {0};

static int setup(void **state)
{
	(void)state;
	world_init(&world);
	world_init(&other);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_deinit(&world);
	world_deinit(&other);
	buf_deinit(&before);
	buf_deinit(&after);
	before = after = (struct buf){0};
	return 0;
}

static void replay(struct world *w, const struct event *e)
{
	struct prepared prepared;

	assert_int_equal(jobs_prepare(&w->jobs, e, &prepared), 0);
	jobs_commit(&w->jobs, e, &prepared);
	jobs_check(&w->jobs);
}

static int refuse(struct world *w, const struct event *e)
{
	struct prepared prepared;
	int r;

	world_dump(w, &before);
	r = jobs_prepare(&w->jobs, e, &prepared);
	world_dump(w, &after);
	assert_true(before.len == after.len && memcmp(before.ptr, after.ptr, before.len) == 0);
	return r;
}

/* Through the bytes of a checkpoint into another world. */
static void copy_event(const struct event *e)
{
	struct event read = {.type = e->type};
	struct buf bytes = {0};

	event_encode(e, &bytes);
	assert_int_equal(event_decode(&read, buf_slice(&bytes)), 0);
	replay(&other, &read);
	buf_deinit(&bytes);
}

static void copy_world(void)
{
	struct event e;

	for (struct job *job = jobs_from(&world.jobs, 0); job; job = jobs_from(&world.jobs, job->number + 1)) {
		job_snapshot(job, &e);
		copy_event(&e);
	}
	list_each (node, &world.jobs.queues) {
		queue_snapshot(container_of(node, struct queue, peers), &e);
		copy_event(&e);
	}
	other.position = world.position;
	other.time_ms = world.time_ms;
}

static void expect_copy(void)
{
	world_dump(&world, &before);
	world_dump(&other, &after);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.ptr, after.ptr, before.len);
}

static void make_one_of_each(void)
{
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = 500,
		.queue = SLICE("q"),
		.name = SLICE("name"),
		.key = SLICE("key"),
		.fingerprint = 9,
		.content_type = SLICE("a/b"),
		.priority = 3,
		.max_attempts = 4,
		.lease_ms = 5,
		.retain_ms = 6,
		.cancel_at_ms = world.time_ms + 7,
	};

	for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
		world.time_ms++;
		world_job(&world, s % 2 ? SLICE("p") : SLICE("q"), (enum job_state)s);
	}
	world_plain(&world, EVENT_EXPIRED, world_job(&world, SLICE("r"), JOB_DONE)->number);
	world_apply(&world, &e, SLICE("body"));
	world_offer(&world, 500, SLICE("id"));
	e = (struct event){
		.type = EVENT_BEAT, .number = 500, .until_ms = world.time_ms + 9, .lease_ms = 9, .message = SLICE("m")};
	world_apply(&world, &e, none);
	e = (struct event){.type = EVENT_DONE, .number = world_job(&world, SLICE("q"), JOB_RUNNING)->number};
	e.blob = (struct body_ref){77, 1 << 30, 5, BODY_BLOB};
	world_apply(&world, &e, none);
	world_apply(&world, &(struct event){.type = EVENT_QUEUE_SET, .queue = SLICE("paused"), .paused = 1}, none);
}

static void snapshot_is_everything(void **state)
{
	(void)state;
	make_one_of_each();
	copy_world();
	expect_copy();
	assert_int_equal(jobs_find_name(&other.jobs, SLICE("q"), SLICE("name"))->number, 500);
	assert_int_equal(jobs_find_key(&other.jobs, SLICE("q"), SLICE("key"))->number, 500);
	assert_int_equal(jobs_find_attempt(&other.jobs, SLICE("id"), NULL)->number, 500);
	assert_true(queue_find(&other.jobs, SLICE("paused"))->paused);
	/* And from here on both go the same way. */
	for (int i = 0; i < 2; i++) {
		struct world *w = i ? &other : &world;

		world_apply(w, &(struct event){.type = EVENT_DONE, .number = 500}, SLICE("result"));
		world_job(w, SLICE("p"), JOB_FAILED);
	}
	expect_copy();
}

/* Jobs that became ready, or failed, in another order than that of their numbers. */
static void order_survives(void **state)
{
	uint64_t numbers[6];
	struct queue *queue;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		numbers[i] = world_job(&world, SLICE("q"), JOB_RUNNING)->number;
	for (size_t i = 0; i < 3; i++) {
		world.time_ms++;
		world_plain(&world, EVENT_RELEASED, numbers[2 - i]);
		world_plain(&world, EVENT_FAILED, numbers[5 - i]);
	}
	copy_world();
	jobs_restore_order(&other.jobs);
	expect_copy();
	queue = queue_find(&other.jobs, SLICE("q"));
	assert_int_equal(list_first(&queue->waiting, struct job, place)->number, numbers[2]);
	assert_int_equal(list_first(&queue->dead, struct job, place)->number, numbers[5]);
}

/* The journal from the checkpoint's start on tells again what the checkpoint's jobs and totals know. */
static void what_is_known_is_skipped(void **state)
{
	struct event submitted, offered, done = {.type = EVENT_DONE, .number = 1};

	(void)state;
	submitted = (struct event){.type = EVENT_SUBMITTED, .number = 1, .queue = SLICE("q"), .max_attempts = 1};
	world_apply(&world, &submitted, SLICE("body"));
	offered = (struct event){
		.type = EVENT_OFFERED, .number = 1, .token = 1, .until_ms = world.time_ms + 5, .attempt_id = SLICE("id")};
	world_apply(&world, &offered, none);
	copy_world();
	world_apply(&world, &done, SLICE("result"));
	replay(&other, &submitted);
	replay(&other, &offered);
	assert_int_equal(jobs_find(&other.jobs, 1)->attempt, 1);
	replay(&other, &done);
	replay(&other, &done);
	expect_copy();
	assert_true(queue_find(&other.jobs, SLICE("q"))->total[TOTAL_DONE] == 1);
	assert_int_equal(
		refuse(&other, &(struct event){.type = EVENT_SUBMITTED, .number = 1, .queue = SLICE("q"), .end = 1 << 20}),
		-EBADMSG);
}

/* A job may be younger in the checkpoint than its queue, whose totals are taken last; and the other way round. */
static void totals_count_once(void **state)
{
	struct event first = {.type = EVENT_SUBMITTED, .number = 1, .queue = SLICE("q"), .max_attempts = 1};
	struct event canceled = {.type = EVENT_CANCELED, .number = 1}, second = first, snapshot;

	(void)state;
	second.number = 2;
	world_apply(&world, &first, none);
	job_snapshot(jobs_find(&world.jobs, 1), &snapshot);
	copy_event(&snapshot);
	world_apply(&world, &canceled, none); /* behind the job's snapshot, before the queue's */
	world_apply(&world, &second, none);
	job_snapshot(jobs_find(&world.jobs, 2), &snapshot);
	copy_event(&snapshot);
	queue_snapshot(queue_find(&world.jobs, SLICE("q")), &snapshot);
	copy_event(&snapshot);
	replay(&other, &first);
	replay(&other, &canceled);
	replay(&other, &second);
	expect_copy();
}

static void what_is_gone_is_skipped(void **state)
{
	struct event e = {.type = EVENT_READY, .number = 12, .end = 100};

	(void)state;
	for (unsigned type = EVENT_READY; type <= EVENT_RESULT_MOVED; type++) {
		e.type = (enum event_type)type;
		if (e.type != EVENT_QUEUE_SET)
			replay(&world, &e);
	}
	assert_int_equal(world.jobs.count + world.jobs.queue_count, 0);
}

/* An old word about a queue does not undo a newer one. */
static void queues_skip_too(void **state)
{
	struct event set = {.type = EVENT_QUEUE_SET, .queue = SLICE("q"), .paused = 1}, unset = set;

	(void)state;
	world_apply(&world, &set, none);
	world_job(&world, SLICE("q"), JOB_READY);
	unset.paused = 0;
	world_apply(&world, &unset, none);
	copy_world();
	replay(&other, &set);
	assert_false(queue_find(&other.jobs, SLICE("q"))->paused);
	replay(&other, &unset);
	expect_copy();
}

static void secret_and_next_number(void **state)
{
	struct event e = {.type = EVENT_SNAP_META, .secret = SLICE("0123456789abcdef"), .next_number = 40};

	(void)state;
	replay(&world, &e);
	assert_true(world.jobs.has_secret && memcmp(world.jobs.secret, "0123456789abcdef", 16) == 0);
	assert_true(world.jobs.next_number == 40);
	e.next_number = 7;
	replay(&world, &e);
	assert_true(world.jobs.next_number == 40);
	e.secret = none;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = EVENT_INIT;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
}

static void what_cannot_be(void **state)
{
	struct event e = {.type = EVENT_SUBMITTED, .queue = SLICE("q"), .end = 100};

	(void)state;
	assert_int_equal(refuse(&world, &e), -EBADMSG); /* number 0 */
	e.number = 1;
	e.queue = none;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = EVENT_SNAP_JOB;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = EVENT_SNAP_QUEUE;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = EVENT_QUEUE_SET;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = (enum event_type)EVENT_TYPE_COUNT;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	e.type = (enum event_type)0;
	assert_int_equal(refuse(&world, &e), -EBADMSG);
	/* A number so far away that the directory would eat the memory is damage. */
	world_job(&world, SLICE("q"), JOB_READY);
	e = (struct event){.type = EVENT_SUBMITTED, .number = UINT64_MAX / 2 - 1, .queue = SLICE("q"), .end = 1 << 20};
	assert_int_equal(refuse(&world, &e), -EBADMSG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(snapshot_is_everything),  TEST(order_survives),  TEST(what_is_known_is_skipped), TEST(totals_count_once),
		TEST(what_is_gone_is_skipped), TEST(queues_skip_too), TEST(secret_and_next_number),   TEST(what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
