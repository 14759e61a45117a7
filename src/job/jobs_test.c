#include "job/jobs_fixture.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

static struct world world;
static struct buf before, after;

static const struct slice queue_a = {"alpha", 5}, queue_b = {"beta", 4}, none = {0};

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

static void expect_unchanged(void)
{
	world_dump(&world, &after);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.ptr, after.ptr, before.len);
}

static size_t length(const struct list *list)
{
	size_t count = 0;

	list_each (node, list)
		count++;
	return count;
}

/* An event of that type about the job, with fields that make sense. */
static struct event event_about(enum event_type type, uint64_t number)
{
	struct event e = {.type = type, .number = number};

	switch ((unsigned)type) {
	case EVENT_OFFERED:
	case EVENT_BEAT:
	case EVENT_LEASED:
		e.lease_ms = 2000;
		e.until_ms = world.time_ms + 2000;
		e.message = SLICE("half way");
		e.progress = 500001;
		e.token = 99;
		e.worker = SLICE("worker");
		e.attempt_id = SLICE("attempt");
		break;
	case EVENT_RETRIED:
	case EVENT_FAILED:
		e.error = SLICE("\"no\"");
		break;
	case EVENT_DONE:
		e.content_type = SLICE("text/html");
		break;
	default:
		break;
	}
	return e;
}

static struct slice body_of(enum event_type type)
{
	return type == EVENT_DONE || type == EVENT_BODY_MOVED || type == EVENT_RESULT_MOVED ? SLICE("bytes") : none;
}

/* --- which event may find which state, and where it leads --- */

enum { NO = -1, SAME = -2, LEFT = -3 };

static const struct {
	enum event_type type;
	int to[JOB_STATE_COUNT]; /* from delayed, ready, offered, running, done, failed, canceled */
} moves[] = {
	{EVENT_READY, {JOB_READY, NO, NO, NO, NO, NO, NO}},
	{EVENT_OFFERED, {NO, JOB_OFFERED, NO, NO, NO, NO, NO}},
	{EVENT_LEASED, {NO, NO, JOB_RUNNING, NO, NO, NO, NO}},
	{EVENT_UNOFFERED, {NO, NO, JOB_READY, NO, NO, NO, NO}},
	{EVENT_BEAT, {NO, NO, JOB_RUNNING, JOB_RUNNING, NO, NO, NO}},
	{EVENT_RELEASED, {NO, NO, JOB_READY, JOB_READY, NO, NO, NO}},
	{EVENT_RETRIED, {NO, NO, JOB_READY, JOB_READY, NO, NO, NO}},
	{EVENT_TIMED_OUT, {NO, NO, JOB_READY, JOB_READY, NO, NO, NO}},
	{EVENT_DONE, {NO, NO, JOB_DONE, JOB_DONE, NO, NO, NO}},
	{EVENT_FAILED, {NO, NO, JOB_FAILED, JOB_FAILED, NO, NO, NO}},
	{EVENT_CANCELED, {JOB_CANCELED, JOB_CANCELED, JOB_CANCELED, JOB_CANCELED, NO, NO, NO}},
	{EVENT_KICKED, {NO, NO, NO, NO, NO, JOB_READY, NO}},
	{EVENT_EXPIRED, {NO, NO, NO, NO, SAME, SAME, SAME}},
	{EVENT_FORGOTTEN, {LEFT, LEFT, LEFT, LEFT, LEFT, LEFT, LEFT}},
};

static void expect_move(enum event_type type, enum job_state from, int to)
{
	struct job *job = world_job(&world, queue_a, from);
	struct event e = event_about(type, job->number);
	uint64_t number = job->number;
	uint32_t revision = job->revision;

	world_dump(&world, &before);
	if (to == NO) {
		assert_int_equal(world_try(&world, &e, body_of(type)), -EBADMSG);
		expect_unchanged();
		world_plain(&world, EVENT_FORGOTTEN, number);
		return;
	}
	assert_int_equal(world_try(&world, &e, body_of(type)), 0);
	if (to == LEFT) {
		assert_null(jobs_find(&world.jobs, number));
		return;
	}
	assert_int_equal(job->state, to == SAME ? from : (enum job_state)to);
	assert_int_equal(job->revision, revision + 1);
	assert_true(job->changed_end == e.end);
	assert_int_equal(job->expired, type == EVENT_EXPIRED);
	world_plain(&world, EVENT_FORGOTTEN, number);
}

static void transitions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(moves); i++) {
		for (unsigned from = 0; from < JOB_STATE_COUNT; from++)
			expect_move(moves[i].type, (enum job_state)from, moves[i].to[from]);
	}
	assert_int_equal(world.jobs.count, 0);
	assert_int_equal(world.jobs.queue_count, 0);
	assert_int_equal(world.jobs.atoms.count, 0);
	assert_int_equal(world.jobs.pool.live_count, 0);
}

/* A tombstone takes nothing but to be forgotten. */
static void tombstones_take_nothing(void **state)
{
	static const enum job_state ends[] = {JOB_DONE, JOB_FAILED, JOB_CANCELED};

	(void)state;
	for (size_t n = 0; n < ARRAY_COUNT(ends); n++) {
		struct job *job = world_job(&world, queue_a, ends[n]);

		world_plain(&world, EVENT_EXPIRED, job->number);
		assert_int_equal(world.body_count, 0);
		world_dump(&world, &before);
		for (size_t i = 0; i < ARRAY_COUNT(moves); i++) {
			struct event e = event_about(moves[i].type, job->number);

			if (e.type == EVENT_FORGOTTEN)
				continue;
			assert_int_equal(world_try(&world, &e, body_of(e.type)), -EBADMSG);
			expect_unchanged();
		}
		world_plain(&world, EVENT_FORGOTTEN, job->number);
	}
	assert_int_equal(world.jobs.queue_count, 0);
}

/* --- what the events do --- */

static void a_life(void **state)
{
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = 1,
		.queue = queue_a,
		.name = SLICE("name"),
		.key = SLICE("key"),
		.fingerprint = 77,
		.content_type = SLICE("text/plain"),
		.priority = 5,
		.max_attempts = 2,
		.lease_ms = 3000,
		.retain_ms = 4000,
		.until_ms = world.time_ms + 500,
	};
	struct job *job;

	(void)state;
	world_apply(&world, &e, SLICE("body"));
	job = jobs_find(&world.jobs, 1);
	assert_true(job->state == JOB_DELAYED && job->deadline_ms == world.time_ms + 500 && job->created_ms == world.time_ms);
	assert_true(job->priority == 5 && job->max_attempts == 2 && job->lease_ms == 3000 && job->fingerprint == 77);
	assert_int_equal(job->body.size_bytes, 4);
	world.time_ms += 500;
	world_plain(&world, EVENT_READY, 1);
	assert_true(job->deadline_ms == UINT64_MAX && job->ready_ms == world.time_ms && job->until_ms == 0);
	world_offer(&world, 1, SLICE("id"));
	assert_true(job->attempt == 1 && job->token && job->deadline_ms == world.time_ms + 1000 && job->attempt_id);
	job_offer_until(&world.jobs, job, world.time_ms + 10);
	assert_true(job->deadline_ms == world.time_ms + 10);
	e = (struct event){.type = EVENT_LEASED, .number = 1, .until_ms = world.time_ms + 1001};
	world_apply(&world, &e, none);
	assert_true(job->deadline_ms == world.time_ms + 1001);
	e = (struct event){.type = EVENT_BEAT, .number = 1, .until_ms = world.time_ms + 9, .lease_ms = 9, .progress = 8};
	world_apply(&world, &e, none);
	assert_true(job->deadline_ms == world.time_ms + 9 && job->lease_ms == 9 && job->progress == 8);
	world_plain(&world, EVENT_TIMED_OUT, 1);
	assert_true(job->state == JOB_READY && job->attempt == 1 && job->timeouts == 1 && !job->token && !job->progress &&
		    !job->attempt_id);
	world_offer(&world, 1, none);
	world_plain(&world, EVENT_TIMED_OUT, 1); /* the last attempt */
	assert_true(job->state == JOB_FAILED && job->timeouts == 2 && job->error && job->body.kind);
	assert_true(job->deadline_ms == world.time_ms + 4000);
	world_plain(&world, EVENT_KICKED, 1);
	assert_true(job->state == JOB_READY && job->attempt == 0 && job->deadline_ms == UINT64_MAX);
	world_offer(&world, 1, none);
	e = (struct event){.type = EVENT_DONE, .number = 1, .content_type = SLICE("image/png")};
	world_apply(&world, &e, SLICE("result"));
	assert_true(job->state == JOB_DONE && !job->body.kind && job->result.size_bytes == 6 && job->progress == 1000001 &&
		    !job->error);
	assert_true(slice_eq(atom_slice(job->result_type), SLICE("image/png")));
	world.time_ms += 4000;
	world_plain(&world, EVENT_EXPIRED, 1);
	assert_true(job->expired && !job->result.kind && job->deadline_ms == world.time_ms + WORLD_TOMBSTONE_MS);
	assert_null(jobs_find_name(&world.jobs, queue_a, SLICE("name")));
	assert_int_equal(world.jobs.names.count + world.jobs.keys.count, 0);
	world_plain(&world, EVENT_FORGOTTEN, 1);
	assert_int_equal(world.jobs.count + world.jobs.queue_count + world.jobs.atoms.count, 0);
}

/* Lost hand-off: the old place, and no attempt. Given back or failed: behind the others, or delayed. */
static void places_in_the_queue(void **state)
{
	uint64_t first = world_job(&world, queue_a, JOB_READY)->number, second = world_job(&world, queue_a, JOB_READY)->number;
	struct queue *queue = queue_find(&world.jobs, queue_a);
	struct job *job = jobs_find(&world.jobs, first);
	struct event e;

	(void)state;
	assert_ptr_equal(queue_first_ready(queue), job);
	world_offer(&world, first, SLICE("id"));
	assert_int_equal(queue_first_ready(queue)->number, second);
	world_plain(&world, EVENT_UNOFFERED, first);
	assert_ptr_equal(queue_first_ready(queue), job);
	assert_ptr_equal(list_first(&queue->waiting, struct job, place), job);
	assert_true(job->attempt == 0 && job->lost_handoffs == 1 && job->token == 0 && !job->attempt_id && job->until_ms == 0);
	world_offer(&world, first, none);
	world_plain(&world, EVENT_RELEASED, first);
	assert_true(job->attempt == 0 && job->releases == 1 && queue_first_ready(queue)->number == second);
	world_offer(&world, second, none);
	e = (struct event){.type = EVENT_RETRIED, .number = second, .until_ms = world.time_ms + 50, .error = SLICE("1")};
	world_apply(&world, &e, none);
	assert_true(jobs_find(&world.jobs, second)->state == JOB_DELAYED && jobs_find(&world.jobs, second)->failures == 1);
	assert_int_equal(jobs_find(&world.jobs, second)->attempt, 1);
	e = (struct event){.type = EVENT_SUBMITTED, .number = 9, .queue = queue_a, .priority = 0, .max_attempts = 1};
	world_apply(&world, &e, none);
	e = (struct event){.type = EVENT_SUBMITTED, .number = 10, .queue = queue_a, .priority = 4000000000, .max_attempts = 1};
	world_apply(&world, &e, none);
	assert_ptr_equal(queue_first_ready(queue), job); /* the same priority, and earlier */
	world_plain(&world, EVENT_CANCELED, first);
	assert_int_equal(queue_first_ready(queue)->number, 9);
	world_plain(&world, EVENT_CANCELED, 9);
	assert_int_equal(queue_first_ready(queue)->number, 10);
}

/* Cancel-after is a deadline of every open state, and of no other. */
static void cancel_after(void **state)
{
	struct event e = {.type = EVENT_SUBMITTED, .number = 1, .queue = queue_a, .max_attempts = 1, .retain_ms = 1000000};
	uint64_t at = world.time_ms + 500;
	struct job *job;

	(void)state;
	e.cancel_at_ms = at;
	world_apply(&world, &e, none);
	job = jobs_next_deadline(&world.jobs);
	assert_true(job && job->number == 1 && job->deadline_ms == at);
	world_offer(&world, 1, none);
	assert_true(job->deadline_ms == at);
	job_offer_until(&world.jobs, job, world.time_ms + 100);
	assert_true(job->deadline_ms == world.time_ms + 100);
	job_postpone(&world.jobs, job, world.time_ms + 150);
	assert_true(jobs_next_deadline(&world.jobs)->deadline_ms == world.time_ms + 150);
	world_plain(&world, EVENT_UNOFFERED, 1);
	assert_true(job->deadline_ms == at);
	world_plain(&world, EVENT_CANCELED, 1);
	assert_true(job->deadline_ms == world.time_ms + 1000000);
}

static void bytes_that_move(void **state)
{
	struct job *job = world_job(&world, queue_a, JOB_READY);
	uint64_t old = job->body.place;
	struct event e = {.type = EVENT_BODY_MOVED, .number = job->number};
	uint32_t revision = job->revision;

	(void)state;
	world_apply(&world, &e, SLICE("body"));
	assert_true(job->body.place != old && job->body.place == e.bytes.place);
	assert_int_equal(job->revision, revision); /* nothing that anyone waits for */
	job = world_job(&world, queue_a, JOB_DONE);
	e = (struct event){.type = EVENT_RESULT_MOVED, .number = job->number};
	world_apply(&world, &e, SLICE("result"));
	assert_true(job->result.place == e.bytes.place);
	assert_int_equal(world.body_count, 2);
}

static void totals(void **state)
{
	struct job *job = world_job(&world, queue_a, JOB_RUNNING);
	struct event e = {.type = EVENT_RETRIED, .number = job->number};
	const uint64_t *total = job->queue->total;

	(void)state;
	world_apply(&world, &e, none);
	world_offer(&world, e.number, none);
	world_plain(&world, EVENT_UNOFFERED, e.number);
	world_offer(&world, e.number, none);
	world_plain(&world, EVENT_RELEASED, e.number);
	world_offer(&world, e.number, none);
	world_plain(&world, EVENT_TIMED_OUT, e.number);
	world_offer(&world, e.number, none);
	world_plain(&world, EVENT_TIMED_OUT, e.number);
	assert_int_equal(job->state, JOB_FAILED);
	world_job(&world, queue_a, JOB_DONE);
	world_job(&world, queue_a, JOB_CANCELED);
	world_job(&world, queue_a, JOB_FAILED);
	assert_true(total[TOTAL_SUBMITTED] == 4 && total[TOTAL_DONE] == 1 && total[TOTAL_CANCELED] == 1 &&
		    total[TOTAL_FAILED] == 2);
	assert_true(total[TOTAL_TIMEOUTS] == 2 && total[TOTAL_RETRIES] == 1 && total[TOTAL_RELEASES] == 1 &&
		    total[TOTAL_LOST] == 1);
	assert_true(job->queue->count[JOB_FAILED] == 2 && world.jobs.count_by_state[JOB_FAILED] == 2);
	assert_ptr_equal(list_first(&job->queue->dead, struct job, place), job);
}

static void rates(void **state)
{
	struct queue *queue;
	double per_second;

	(void)state;
	for (int i = 0; i < 600; i++, world.time_ms += 1000)
		world_job(&world, queue_a, JOB_DONE);
	queue = queue_find(&world.jobs, queue_a);
	per_second = rate_now(&queue->submitted, world.time_ms);
	assert_true(per_second > 0.9 && per_second < 1.1);
	assert_true(rate_now(&queue->done, world.time_ms + 600000) < 0.001);
}

/* --- finding --- */

static void names_and_keys(void **state)
{
	struct event e = {.type = EVENT_SUBMITTED, .max_attempts = 3, .name = SLICE("n"), .key = SLICE("k")};

	(void)state;
	for (uint64_t n = 1; n <= 2; n++) {
		e.number = n;
		e.queue = n == 1 ? queue_a : queue_b;
		world_apply(&world, &e, none);
	}
	assert_int_equal(jobs_find_name(&world.jobs, queue_a, SLICE("n"))->number, 1);
	assert_int_equal(jobs_find_name(&world.jobs, queue_b, SLICE("n"))->number, 2);
	assert_int_equal(jobs_find_key(&world.jobs, queue_b, SLICE("k"))->number, 2);
	assert_null(jobs_find_key(&world.jobs, queue_b, SLICE("n")));
	assert_null(jobs_find_name(&world.jobs, SLICE("gamma"), SLICE("n")));
	world_plain(&world, EVENT_FORGOTTEN, 1);
	assert_null(jobs_find_name(&world.jobs, queue_a, SLICE("n")));
	assert_int_equal(jobs_find_name(&world.jobs, queue_b, SLICE("n"))->number, 2);
}

static void attempts(void **state)
{
	struct job *found[4] = {0};
	size_t count = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_offer(&world, world_job(&world, queue_a, JOB_READY)->number, i < 2 ? SLICE("x") : SLICE("y"));
	for (struct job *j = jobs_find_attempt(&world.jobs, SLICE("x"), NULL); j;
	     j = jobs_find_attempt(&world.jobs, SLICE("x"), j)) {
		assert_true(count < 2);
		found[count++] = j;
	}
	assert_int_equal(count, 2);
	assert_int_equal(found[0]->number + found[1]->number, 3);
	world_plain(&world, EVENT_CANCELED, 1);
	assert_int_equal(jobs_find_attempt(&world.jobs, SLICE("x"), NULL)->number, 2);
	world_apply(&world, &(struct event){.type = EVENT_DONE, .number = 2}, none);
	assert_null(jobs_find_attempt(&world.jobs, SLICE("x"), NULL));
	assert_int_equal(jobs_find_attempt(&world.jobs, SLICE("y"), NULL)->number, 3);
}

static void numbers_far_apart(void **state)
{
	static const uint64_t numbers[] = {3, 255, 256, 257, 5000, 1000000};
	struct event e = {.type = EVENT_SUBMITTED, .queue = queue_a, .max_attempts = 1};
	uint64_t number = UINT64_MAX, limit = UINT64_MAX, looks = 0;
	struct job *job;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		e.number = numbers[i];
		world_apply(&world, &e, none);
		assert_true(world.jobs.next_number == numbers[i] + 1);
	}
	job = jobs_from(&world.jobs, 0);
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++, job = jobs_from(&world.jobs, job->number + 1))
		assert_true(job && job->number == numbers[i]);
	assert_null(job);
	for (size_t i = ARRAY_COUNT(numbers); i-- > 0;)
		assert_int_equal(jobs_before(&world.jobs, &number, &limit)->number, numbers[i]);
	assert_null(jobs_before(&world.jobs, &number, &limit));
	/* With a limit the walk goes on where it stopped, and finds the same. */
	number = UINT64_MAX;
	for (size_t i = ARRAY_COUNT(numbers); i-- > 0;) {
		do {
			limit = 7;
			job = jobs_before(&world.jobs, &number, &limit);
			looks++;
		} while (!job && looks < 10000);
		assert_true(job && job->number == numbers[i] && number == numbers[i]);
	}
	assert_null(jobs_find(&world.jobs, 4));
	assert_null(jobs_find(&world.jobs, UINT64_MAX));
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		world_plain(&world, EVENT_FORGOTTEN, numbers[i]);
	assert_null(jobs_from(&world.jobs, 0));
	assert_int_equal(world_job(&world, queue_a, JOB_READY)->number, 1000001);
}

/* The directory by number does not grow with every number ever given. */
static void many_that_come_and_go(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++)
		world_plain(&world, EVENT_FORGOTTEN, world_job(&world, queue_a, JOB_READY)->number);
	assert_true(world.jobs.chunk_cap <= 128);
}

static void queues_come_and_go(void **state)
{
	struct event e = {.type = EVENT_QUEUE_SET, .queue = queue_a};
	struct queue *queue;

	(void)state;
	world_apply(&world, &e, none);
	assert_null(queue_find(&world.jobs, queue_a)); /* not paused, so there is nothing to keep */
	e.paused = 1;
	world_apply(&world, &e, none);
	queue = queue_find(&world.jobs, queue_a);
	assert_true(queue && queue->paused && world.jobs.queue_count == 1);
	world_plain(&world, EVENT_FORGOTTEN, world_job(&world, queue_a, JOB_DONE)->number);
	assert_ptr_equal(queue_find(&world.jobs, queue_a), queue);
	queue->claim_count++;
	e.paused = 0;
	world_apply(&world, &e, none);
	assert_ptr_equal(queue_find(&world.jobs, queue_a), queue);
	queue->claim_count--;
	queue_settle(&world.jobs, queue);
	assert_null(queue_find(&world.jobs, queue_a));
	assert_int_equal(length(&world.jobs.queues), 0);
}

static void state_names(void **state)
{
	enum job_state found;

	(void)state;
	for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
		assert_int_equal(job_state_from(slice_str(job_state_name((enum job_state)s)), &found), 0);
		assert_int_equal(found, s);
		assert_int_equal(job_state_is_terminal((enum job_state)s), s == JOB_DONE || s == JOB_FAILED || s == JOB_CANCELED);
	}
	assert_int_equal(job_state_from(SLICE("read"), &found), -EINVAL);
	assert_int_equal(job_state_from(none, &found), -EINVAL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(transitions),
		TEST(tombstones_take_nothing),
		TEST(a_life),
		TEST(places_in_the_queue),
		TEST(cancel_after),
		TEST(bytes_that_move),
		TEST(totals),
		TEST(rates),
		TEST(names_and_keys),
		TEST(attempts),
		TEST(numbers_far_apart),
		TEST(many_that_come_and_go),
		TEST(queues_come_and_go),
		TEST(state_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
