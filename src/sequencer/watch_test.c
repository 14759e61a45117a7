/* Watching jobs: a watch is one bit for each thread in the job, used up by the wake it causes. */
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

/* Exactly one wake for the thread, about this job, which tells of that state. */
static void expect_wake(unsigned thread, const struct job_ref *job, enum job_state state)
{
	struct wake *wake = fixture_take_wake(&f, thread);

	assert_non_null(wake);
	assert_true(wake->key == handle_key(handle_of(job)));
	assert_true(wake->view && wake->view->number == job->number && wake->view->key == wake->key);
	assert_int_equal(wake->view->state, state);
	assert_int_equal(wake->view->pin != NULL, wake->view->result.kind != BODY_NONE);
	message_free(&wake->message);
	assert_null(fixture_take_wake(&f, thread));
}

static void expect_silence(void)
{
	for (unsigned t = 0; t < FIXTURE_THREADS; t++)
		assert_null(fixture_take_wake(&f, t));
}

static void done(struct grant *grant)
{
	struct worker_in in = worker_of(grant);

	in.body = SLICE("result");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_OK);
}

static void until_done(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant;

	(void)state;
	assert_int_equal(fixture_watch(&f, &job, UNTIL_DONE, 0, 1), OUTCOME_PARKED);
	assert_int_equal(fixture_watch(&f, &job, UNTIL_DONE, 0, 1), OUTCOME_PARKED); /* many wait on one thread */
	assert_int_equal(fixture_watch(&f, &job, UNTIL_DONE, 0, 2), OUTCOME_PARKED);
	grant = fixture_run(&f, q);
	expect_silence();
	done(&grant);
	expect_wake(1, &job, JOB_DONE);
	expect_wake(2, &job, JOB_DONE);
	expect_silence();
	assert_int_equal(fixture_watch(&f, &job, UNTIL_DONE, 0, 1), OUTCOME_OK);
	fixture_later(&f, 60000); /* it expires: nobody watches any more */
	expect_silence();
}

static void until_changed(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	uint32_t revision = fixture_look(&f, &job).revision;
	struct worker_in beat;
	struct grant grant;

	(void)state;
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, revision - 1, 1), OUTCOME_OK);
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, revision, 1), OUTCOME_PARKED);
	grant = fixture_claim(&f, q);
	expect_wake(1, &job, JOB_OFFERED);
	fixture_delivered(&f, &grant, true);
	expect_silence(); /* the watch was used up */
	revision = fixture_look(&f, &job).revision;
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, revision, 1), OUTCOME_PARKED);
	beat = worker_of(&grant);
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, beat), OUTCOME_OK);
	expect_silence(); /* the lease alone is nothing new */
	assert_int_equal(fixture_look(&f, &job).revision, revision);
	beat.progress = 0.5;
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, beat), OUTCOME_OK);
	expect_wake(1, &job, JOB_RUNNING);
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, revision, 1), OUTCOME_OK);
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, revision + 1, 1), OUTCOME_PARKED);
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, beat), OUTCOME_OK);
	expect_silence(); /* the same progress again */
	beat.message = SLICE("half");
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, beat), OUTCOME_OK);
	expect_wake(1, &job, JOB_RUNNING);
}

static void until_started(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant;

	(void)state;
	assert_int_equal(fixture_watch(&f, &job, UNTIL_STARTED, 0, 3), OUTCOME_PARKED);
	grant = fixture_claim(&f, q);
	expect_wake(3, &job, JOB_OFFERED); /* a change: who wants more watches again */
	assert_int_equal(fixture_watch(&f, &job, UNTIL_STARTED, 0, 3), OUTCOME_PARKED);
	fixture_delivered(&f, &grant, true);
	expect_wake(3, &job, JOB_RUNNING);
	assert_int_equal(fixture_watch(&f, &job, UNTIL_STARTED, 0, 3), OUTCOME_OK);
	done(&grant);
	expect_silence();
	assert_int_equal(fixture_watch(&f, &job, UNTIL_STARTED, 0, 3), OUTCOME_OK);
}

/* A thread whose waits want different things is woken once by the end, and needs no second time. */
static void both_kinds_at_once(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, 1);
	fixture_watch(&f, &job, UNTIL_CHANGED, 1, 1);
	assert_int_equal(fixture_cancel(&f, &job, false), OUTCOME_OK);
	expect_wake(1, &job, JOB_CANCELED);
	assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
	expect_silence();
}

/* The change of one kind leaves the watch of the other. */
static void a_change_leaves_the_watch_for_the_end(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant;

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, 1);
	fixture_watch(&f, &job, UNTIL_CHANGED, 1, 1);
	grant = fixture_run(&f, q);
	expect_wake(1, &job, JOB_OFFERED);
	done(&grant);
	expect_wake(1, &job, JOB_DONE);
}

static void each_end_wakes(void **state)
{
	struct grant grant;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct submit_in in = submit_of(q, body);
		struct job_ref job;

		in.max_attempts = 1;
		job = fixture_submit(&f, in);
		fixture_watch(&f, &job, UNTIL_DONE, 0, 2);
		if (i == 0) {
			fixture_cancel(&f, &job, false);
			expect_wake(2, &job, JOB_CANCELED);
			continue;
		}
		grant = fixture_run(&f, q);
		if (i == 1)
			done(&grant);
		else if (i == 2)
			fixture_tell(&f, COMMAND_FAIL, worker_of(&grant));
		else
			fixture_later(&f, 10000);
		expect_wake(2, &job, i == 1 ? JOB_DONE : JOB_FAILED);
	}
}

static void forgetting_wakes_once(void **state)
{
	struct grant grant;
	struct job_ref job = fixture_job(&f, q);
	struct wake *wake;

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, 0);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
	expect_wake(0, &job, JOB_CANCELED); /* first its end, which used up the watch */
	job = fixture_job(&f, q);
	grant = fixture_run(&f, q);
	done(&grant);
	/* Of a job that has ended nobody waits for more; and one that is gone wakes nobody. */
	assert_int_equal(fixture_watch(&f, &job, UNTIL_CHANGED, 1000, 0), OUTCOME_OK);
	assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_OK);
	wake = fixture_take_wake(&f, 0);
	assert_null(wake);
}

static void submit_and_watch(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct ask ask = {.c = {.kind = COMMAND_SUBMIT}};
	struct grant grant;
	struct job_ref job;

	(void)state;
	in.watch = true;
	in.key = SLICE("key");
	job = fixture_submit(&f, in); /* thread 0 */
	grant = fixture_run(&f, q);
	ask.c.in.submit = in;
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_SAME); /* repeated on thread 1, which watches too */
	assert_null(ask.c.out.view->pin);
	ask_deinit(&ask);
	done(&grant);
	expect_wake(0, &job, JOB_DONE);
	expect_wake(1, &job, JOB_DONE);
	/* Repeated when it is done: the answer carries the result. */
	assert_int_equal(fixture_ask(&f, &ask, 2), OUTCOME_SAME);
	assert_true(ask.c.out.view->state == JOB_DONE && ask.c.out.view->pin);
	ask_deinit(&ask);
	fixture_later(&f, 60000);
	expect_silence();
}

static void looking_does_not_watch(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_look(&f, &job);
	fixture_cancel(&f, &job, false);
	expect_silence();
}

static void many_at_once(void **state)
{
	struct job_ref jobs[3] = {fixture_job(&f, q), fixture_job(&f, q), fixture_job(&f, q)};
	struct grant grant = fixture_run(&f, q);
	struct job_ref strange = jobs[0];
	struct slice handles[5];
	struct ask ask = {.c = {.kind = COMMAND_JOBS, .in.jobs = {handles, 5, UNTIL_DONE, 0, true, true}}};

	(void)state;
	done(&grant);
	fixture_cancel(&f, &jobs[2], true);
	strange.handle[0] = strange.handle[0] == 'a' ? 'b' : 'a';
	for (size_t i = 0; i < 3; i++)
		handles[i] = handle_of(&jobs[i]);
	handles[3] = handle_of(&strange);
	handles[4] = SLICE("no handle");
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_OK);
	assert_int_equal(ask.c.out.view_count, 5);
	assert_int_equal(ask.c.out.outcomes[0], OUTCOME_OK);
	assert_true(ask.c.out.views[0]->state == JOB_DONE && ask.c.out.views[0]->pin);
	assert_int_equal(ask.c.out.outcomes[1], OUTCOME_PARKED);
	assert_true(ask.c.out.views[1]->state == JOB_READY && !ask.c.out.views[1]->pin);
	for (size_t i = 2; i < 5; i++) {
		assert_int_equal(ask.c.out.outcomes[i], OUTCOME_NOT_FOUND);
		assert_null(ask.c.out.views[i]);
	}
	ask_deinit(&ask);
	fixture_cancel(&f, &jobs[1], false);
	expect_wake(1, &jobs[1], JOB_CANCELED);
	expect_silence();
}

/* The last of the threads has a bit, too. */
static void the_last_thread(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, COMMAND_THREADS_MAX - 1);
	fixture_watch(&f, &job, UNTIL_CHANGED, 1, 0);
	fixture_cancel(&f, &job, false);
	expect_wake(COMMAND_THREADS_MAX - 1, &job, JOB_CANCELED);
	expect_wake(0, &job, JOB_CANCELED);
}

/* The tidier's work on its bytes is no change of a job. */
static void moved_bytes_wake_nobody(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_watch(&f, &job, UNTIL_CHANGED, 1, 1);
	assert_int_equal(sequencer_rescue(f.s, &f.entries[1].replay), 0);
	fixture_settle(&f);
	assert_int_equal(f.entry_count, 3);
	expect_silence();
	fixture_cancel(&f, &job, false);
	expect_wake(1, &job, JOB_CANCELED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(until_done),
		TEST(until_changed),
		TEST(until_started),
		TEST(both_kinds_at_once),
		TEST(a_change_leaves_the_watch_for_the_end),
		TEST(each_end_wakes),
		TEST(forgetting_wakes_once),
		TEST(submit_and_watch),
		TEST(looking_does_not_watch),
		TEST(many_at_once),
		TEST(the_last_thread),
		TEST(moved_bytes_wake_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
