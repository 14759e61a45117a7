/* How jobs end: canceled, by hand or by time; kept for their retention, then a tombstone, then nothing; forgotten. */
#include "sequencer/sequencer_fixture.h"

#include "base/testing.h"

static struct fixture f;
static const struct slice q = {"q", 1}, body = {"body", 4};

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	return 0;
}

/* A job led to that state. The lease is zeroed where there is none. */
static struct job_ref job_in(enum job_state state, struct grant *ret_grant)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;

	*ret_grant = (struct grant){0};
	in.delay_ms = state == JOB_DELAYED ? 100 : 0;
	job = fixture_submit(&f, in);
	if (state == JOB_OFFERED)
		*ret_grant = fixture_claim(&f, q);
	if (state == JOB_RUNNING || state == JOB_DONE || state == JOB_FAILED)
		*ret_grant = fixture_run(&f, q);
	if (state == JOB_DONE)
		assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(ret_grant)), OUTCOME_OK);
	if (state == JOB_FAILED)
		assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(ret_grant)), OUTCOME_OK);
	if (state == JOB_CANCELED)
		assert_int_equal(fixture_cancel(&f, &job, false), OUTCOME_OK);
	assert_int_equal(fixture_look(&f, &job).state, state);
	return job;
}

static enum outcome look_outcome(const struct job_ref *job)
{
	struct slice handle = handle_of(job);
	struct ask ask = {.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &handle, .count = 1, .pin_result = true}}};

	fixture_ask(&f, &ask, 0);
	ask_deinit(&ask);
	return ask.c.outcome;
}

static void cancel_each_state(void **state)
{
	static const enum outcome outcomes[JOB_STATE_COUNT] = {
		[JOB_DELAYED] = OUTCOME_OK,  [JOB_READY] = OUTCOME_OK,      [JOB_OFFERED] = OUTCOME_OK,
		[JOB_RUNNING] = OUTCOME_OK,  [JOB_DONE] = OUTCOME_CONFLICT, [JOB_FAILED] = OUTCOME_CONFLICT,
		[JOB_CANCELED] = OUTCOME_OK,
	};
	struct grant grant;

	(void)state;
	for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
		struct job_ref job = job_in((enum job_state)s, &grant);
		uint32_t revision = fixture_look(&f, &job).revision;
		bool changes = s < JOB_DONE;

		assert_int_equal(fixture_cancel(&f, &job, false), outcomes[s]);
		assert_int_equal(fixture_look(&f, &job).state, s == JOB_DONE || s == JOB_FAILED ? s : JOB_CANCELED);
		assert_int_equal(fixture_look(&f, &job).revision, revision + changes);
		assert_int_equal(fixture_cancel(&f, &job, false), outcomes[s]);
		assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
	}
	assert_int_equal(f.body_count, 0);
}

static void forget_each_state(void **state)
{
	struct grant grant;

	(void)state;
	for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
		struct job_ref job = job_in((enum job_state)s, &grant);

		assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
		assert_int_equal(look_outcome(&job), OUTCOME_NOT_FOUND);
		assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_NOT_FOUND);
		assert_int_equal(f.body_count, 0);
		if (grant.outcome == OUTCOME_OK && grant.job.number)
			assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_NOT_FOUND);
	}
}

/* The worker of a canceled job hears of it in each of its words. */
static void canceled_under_a_worker(void **state)
{
	static const enum job_state states[] = {JOB_OFFERED, JOB_RUNNING};
	struct grant grant;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		struct job_ref job = job_in(states[i], &grant);
		struct ask beat = {.c = {.kind = COMMAND_BEAT}};

		assert_int_equal(fixture_cancel(&f, &job, false), OUTCOME_OK);
		beat.c.in.worker = worker_of(&grant);
		assert_int_equal(fixture_ask(&f, &beat, 0), OUTCOME_OK);
		assert_true(beat.c.out.cancel && beat.c.out.view->state == JOB_CANCELED);
		ask_deinit(&beat);
		assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_CANCELED);
		assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(&grant)), OUTCOME_CANCELED);
		assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&grant)), OUTCOME_CANCELED);
		assert_int_equal(fixture_tell(&f, COMMAND_BODY, worker_of(&grant)), OUTCOME_CANCELED);
		assert_int_equal(fixture_delivered(&f, &grant, true), OUTCOME_OK);
		assert_int_equal(fixture_look(&f, &job).state, JOB_CANCELED);
	}
}

static void cancel_after(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref ready, running, done;
	struct grant grant;

	(void)state;
	in.cancel_after_ms = 1000;
	done = fixture_submit(&f, in);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	running = fixture_submit(&f, in);
	fixture_run(&f, q);
	ready = fixture_submit(&f, in);
	fixture_later(&f, 999);
	assert_int_equal(fixture_look(&f, &ready).state, JOB_READY);
	assert_int_equal(fixture_look(&f, &running).state, JOB_RUNNING);
	fixture_later(&f, 1);
	assert_int_equal(fixture_look(&f, &ready).state, JOB_CANCELED);
	assert_int_equal(fixture_look(&f, &running).state, JOB_CANCELED);
	assert_int_equal(fixture_look(&f, &done).state, JOB_DONE);
	assert_int_equal(fixture_queue(&f, q).canceled, 2);
}

/* Both its delay and its end come at once: it does not become ready first. */
static void cancel_after_before_the_delay(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;

	(void)state;
	in.cancel_after_ms = 1000;
	in.delay_ms = 1000;
	job = fixture_submit(&f, in);
	fixture_later(&f, 5000);
	assert_int_equal(fixture_look(&f, &job).state, JOB_CANCELED);
	assert_int_equal(fixture_look(&f, &job).revision, 2);
}

static void retention(void **state)
{
	static const enum job_state ends[] = {JOB_DONE, JOB_FAILED, JOB_CANCELED};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		struct grant grant;
		struct job_ref job = job_in(ends[i], &grant);
		struct job_view view;

		fixture_later(&f, 59999);
		assert_int_equal(look_outcome(&job), OUTCOME_OK);
		fixture_later(&f, 1);
		assert_int_equal(look_outcome(&job), OUTCOME_GONE);
		view = fixture_look(&f, &job);
		assert_true(view.expired && view.state == ends[i] && view.body.kind == BODY_NONE &&
			    view.result.kind == BODY_NONE);
		assert_int_equal(f.body_count, 0);
		if (grant.outcome == OUTCOME_OK && grant.job.number)
			assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_GONE);
		if (ends[i] != JOB_CANCELED)
			assert_int_equal(fixture_cancel(&f, &job, false), OUTCOME_GONE);
		fixture_later(&f, 29999);
		assert_int_equal(look_outcome(&job), OUTCOME_GONE);
		fixture_later(&f, 1);
		assert_int_equal(look_outcome(&job), OUTCOME_NOT_FOUND);
		assert_true(sequencer_next_ms(f.s) == UINT64_MAX);
	}
	assert_int_equal(fixture_queue(&f, q).submitted, 0); /* the queue is gone with its last job */
}

static void a_tombstone_is_forgotten(void **state)
{
	struct grant grant;
	struct job_ref job = job_in(JOB_DONE, &grant);

	(void)state;
	fixture_later(&f, 60000);
	assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
	assert_int_equal(look_outcome(&job), OUTCOME_NOT_FOUND);
}

/* However late the clock is looked at, each step happens. */
static void a_long_sleep(void **state)
{
	struct grant grant;
	struct job_ref job = job_in(JOB_RUNNING, &grant);
	struct sequencer_stats stats;

	(void)state;
	fixture_later(&f, 10000000); /* the lease is over: ready again, from now on */
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
	job = job_in(JOB_CANCELED, &grant);
	fixture_later(&f, 10000000);
	assert_int_equal(look_outcome(&job), OUTCOME_GONE); /* its time as a tombstone begins when it is made one */
	fixture_later(&f, 10000000);
	assert_int_equal(look_outcome(&job), OUTCOME_NOT_FOUND);
	sequencer_stats(f.s, &stats);
	assert_true(stats.jobs == 1 && stats.timeouts_total == 1);
}

/* A turn handles no more deadlines than it may, and says that there are more. */
static void deadlines_in_small_pieces(void **state)
{
	struct submit_in in = submit_of(q, body);

	(void)state;
	in.delay_ms = 10;
	for (int i = 0; i < 25; i++)
		fixture_submit(&f, in);
	f.now_ms += 10;
	assert_true(sequencer_turn(f.s, f.now_ms, 10));
	assert_true(sequencer_turn(f.s, f.now_ms, 10));
	assert_false(sequencer_turn(f.s, f.now_ms, 10));
	fixture_settle(&f);
	assert_int_equal(fixture_queue(&f, q).count[JOB_READY], 25);
}

/* Time never runs backwards, whatever it is told. */
static void backwards(void **state)
{
	struct job_ref job;

	(void)state;
	sequencer_turn(f.s, 1000, 10);
	job = fixture_job(&f, q);
	assert_true(fixture_look(&f, &job).created_ms == f.now_ms);
}

/* What a full disk or a lack of memory kept from happening at its time happens a little later. */
static void a_deadline_that_could_not_be_handled(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;

	(void)state;
	in.delay_ms = 10;
	job = fixture_submit(&f, in);
	f.broken = true;
	fixture_later(&f, 10);
	assert_int_equal(fixture_look(&f, &job).state, JOB_DELAYED);
	assert_true(sequencer_next_ms(f.s) > f.now_ms && sequencer_next_ms(f.s) <= f.now_ms + 1000);
	f.broken = false;
	fixture_later(&f, 1000);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(cancel_each_state),
		TEST(forget_each_state),
		TEST(canceled_under_a_worker),
		TEST(cancel_after),
		TEST(cancel_after_before_the_delay),
		TEST(retention),
		TEST(a_tombstone_is_forgotten),
		TEST(a_long_sleep),
		TEST(deadlines_in_small_pieces),
		TEST(backwards),
		TEST(a_deadline_that_could_not_be_handled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
