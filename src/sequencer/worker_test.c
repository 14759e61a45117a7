/* A worker about its job: fencing, beats, results told twice, failures and their back-off, giving back. */
#include "sequencer/sequencer_fixture.h"

#include "base/crc32c.h"
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

static const enum command_kind words[] = {COMMAND_BODY, COMMAND_BEAT, COMMAND_DONE, COMMAND_FAIL, COMMAND_RELEASE};

/* Each word with that token is fenced, and nothing changes. */
static void expect_fenced(const struct grant *grant)
{
	struct job_view before = fixture_look(&f, &grant->job), after;
	size_t entries = f.entry_count;

	for (size_t i = 0; i < ARRAY_COUNT(words); i++)
		assert_int_equal(fixture_tell(&f, words[i], worker_of(grant)), OUTCOME_FENCED);
	after = fixture_look(&f, &grant->job);
	assert_true(before.revision == after.revision && before.state == after.state && f.entry_count == entries);
}

static void done(const struct grant *grant)
{
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(grant)), OUTCOME_OK);
}

static void fencing(void **state)
{
	struct worker_in retry;
	struct grant old, now;

	(void)state;
	fixture_job(&f, q);
	old = fixture_run(&f, q);
	fixture_later(&f, 10000); /* the lease runs out */
	expect_fenced(&old);
	now = fixture_run(&f, q);
	expect_fenced(&old);
	assert_string_not_equal(old.lease.token, now.lease.token);
	assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&now)), OUTCOME_OK);
	old = now;
	now = fixture_run(&f, q);
	expect_fenced(&old);
	retry = worker_of(&now);
	retry.retry = true;
	retry.delay_ms = 0;
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, retry), OUTCOME_OK);
	old = now;
	now = fixture_run(&f, q);
	expect_fenced(&old);
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(&now)), OUTCOME_OK);
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	expect_fenced(&now);
	old = now;
	now = fixture_run(&f, q);
	expect_fenced(&old);
	done(&now);
}

static void foreign_tokens(void **state)
{
	static const char *const tokens[] = {"",
					     "0",
					     "0000000000000",
					     "zzzzzzzzzzzzz",
					     "fzzzzzzzzzzzz",
					     "ABCDEFGHJKMNP",
					     "01234567890123456789",
					     "0123456789ilo"};
	struct grant grant, other;
	struct worker_in in;

	(void)state;
	fixture_job(&f, q);
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	other = fixture_run(&f, q);
	memcpy(other.job.handle, grant.job.handle, JOB_HANDLE_CHARS); /* the other job's token for this one */
	other.job.number = grant.job.number;
	expect_fenced(&other);
	for (size_t i = 0; i < ARRAY_COUNT(tokens); i++) {
		in = worker_of(&grant);
		in.token = slice_str(tokens[i]);
		assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_FENCED);
	}
	in = worker_of(&grant);
	in.handle = SLICE("no handle");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_NOT_FOUND);
	/* Nobody's lease has the token that means none. */
	fixture_job(&f, q);
	done(&grant);
}

static void bodies(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_BODY}};
	struct grant grant;
	char bytes[4];

	(void)state;
	fixture_job(&f, q);
	grant = fixture_claim(&f, q);
	ask.c.in.worker = worker_of(&grant);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK); /* offered is enough: it may ask before the door has told */
	assert_int_equal(ask.c.out.view->pin->ops->read_whole(ask.c.out.view->pin, bytes), 0);
	assert_memory_equal(bytes, "body", 4);
	ask_deinit(&ask);
	done(&grant);
	assert_int_equal(fixture_tell(&f, COMMAND_BODY, worker_of(&grant)), OUTCOME_ALREADY);
}

static void beats(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_BEAT}};
	struct grant grant;
	struct job_view view;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	fixture_later(&f, 9000);
	ask.c.in.worker = worker_of(&grant);
	ask.c.in.worker.progress = 0.25;
	ask.c.in.worker.message = SLICE("quarter");
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.deadline_ms == f.now_ms + 10000 && !ask.c.out.cancel);
	assert_true(slice_eq(ask.c.out.view->message, SLICE("quarter")) && ask.c.out.view->progress == 0.25);
	ask_deinit(&ask);
	/* What is not told stays; a lease told stays for the next ones. */
	ask.c.in.worker = worker_of(&grant);
	ask.c.in.worker.lease_ms = 500;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.deadline_ms == f.now_ms + 500 && slice_eq(ask.c.out.view->message, SLICE("quarter")));
	ask_deinit(&ask);
	ask.c.in.worker = worker_of(&grant);
	ask.c.in.worker.message = SLICE("");
	ask.c.in.worker.progress = 1;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.deadline_ms == f.now_ms + 500 && ask.c.out.view->message.len == 0 &&
		    ask.c.out.view->progress == 1.0);
	ask_deinit(&ask);
	ask.c.in.worker.progress = 0;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.view->progress == 0.0);
	ask_deinit(&ask);
	fixture_later(&f, 500);
	view = fixture_look(&f, &grant.job);
	assert_true(view.state == JOB_READY && view.timeouts == 1 && view.progress < 0);
}

/* --- done --- */

static void done_twice(void **state)
{
	struct worker_in in;
	struct grant grant;
	struct ask look = {.c = {.kind = COMMAND_JOBS}};
	struct slice handle;
	char bytes[6];

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	in = worker_of(&grant);
	in.body = SLICE("result");
	in.content_type = SLICE("image/png");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_OK);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_SAME);
	in.body = SLICE("Result");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_ALREADY);
	in.body = SLICE("result");
	in.content_type = SLICE("image/gif");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_ALREADY);
	in.content_type = SLICE("image/png");
	in.blob = (struct body_ref){9, 6, crc32c(0, "result", 6), BODY_BLOB}; /* the same bytes by another way */
	in.body = (struct slice){0};
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_SAME);
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(&grant)), OUTCOME_ALREADY);
	assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&grant)), OUTCOME_ALREADY);
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, worker_of(&grant)), OUTCOME_ALREADY);
	handle = handle_of(&grant.job);
	look.c.in.jobs = (struct jobs_in){.handles = &handle, .count = 1, .pin_result = true};
	assert_int_equal(fixture_ask(&f, &look, 0), OUTCOME_OK);
	assert_int_equal(look.c.out.views[0]->pin->ops->read_whole(look.c.out.views[0]->pin, bytes), 0);
	assert_memory_equal(bytes, "result", 6);
	assert_true(slice_eq(look.c.out.views[0]->result_type, SLICE("image/png")));
	ask_deinit(&look);
	assert_int_equal(f.body_count, 1);
}

static void done_with_nothing_and_with_a_blob(void **state)
{
	struct worker_in in;
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	done(&grant);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_SAME);
	assert_true(fixture_look(&f, &grant.job).result.kind == BODY_NONE && fixture_look(&f, &grant.job).progress == 1.0);
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	in = worker_of(&grant);
	in.blob = (struct body_ref){9, 5 << 20, 77, BODY_BLOB};
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_OK);
	assert_true(fixture_look(&f, &grant.job).result.place == 9 && f.body_count == 1);
}

/* --- fail --- */

static void fail_for_good(void **state)
{
	struct worker_in in;
	struct grant grant;
	struct job_view view;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	in = worker_of(&grant);
	in.error = SLICE("\"broken\"");
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_OK);
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_SAME);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_ALREADY);
	view = fixture_look(&f, &grant.job);
	assert_true(view.state == JOB_FAILED && view.failures == 1 && view.attempt == 1 && view.body.kind != BODY_NONE);
}

static void attempts_run_out(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	for (uint32_t attempt = 1; attempt <= 3; attempt++) {
		struct grant grant = fixture_run(&f, q);
		struct worker_in in = worker_of(&grant);

		assert_int_equal(grant.lease.attempt, attempt);
		in.retry = true;
		in.delay_ms = 0;
		assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_OK);
		assert_int_equal(fixture_look(&f, &job).state, attempt < 3 ? JOB_READY : JOB_FAILED);
		assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_SAME);
	}
	assert_true(fixture_look(&f, &job).failures == 3 && fixture_queue(&f, q).retries == 2 &&
		    fixture_queue(&f, q).failed == 1);
}

static void timeouts_run_out(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	for (int i = 0; i < 3; i++) {
		fixture_run(&f, q);
		fixture_later(&f, 10000);
	}
	assert_true(fixture_look(&f, &job).state == JOB_FAILED && fixture_look(&f, &job).timeouts == 3);
	assert_true(fixture_queue(&f, q).timeouts == 3 && fixture_queue(&f, q).failed == 1);
}

static void a_delay_of_the_workers_choice(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_run(&f, q);
	struct worker_in in = worker_of(&grant);

	(void)state;
	in.retry = true;
	in.delay_ms = 1234;
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_OK);
	assert_true(fixture_look(&f, &job).state == JOB_DELAYED && fixture_look(&f, &job).delay_until_ms == f.now_ms + 1234);
	fixture_later(&f, 1234);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
}

/* Doubling, half of it by chance, and never above the cap. */
static void back_off(void **state)
{
	uint64_t span = 1000, least[12] = {0}, most[12] = {0};
	struct submit_in in = submit_of(q, body);
	struct grant grant;

	(void)state;
	in.max_attempts = 100;
	in.lease_ms = 1000000;
	for (int job = 0; job < 40; job++) {
		fixture_submit(&f, in);
		for (int i = 0; i < 12; i++) {
			struct worker_in word;
			uint64_t delay_ms;

			grant = fixture_run(&f, q);
			word = worker_of(&grant);
			word.retry = true;
			assert_int_equal(fixture_tell(&f, COMMAND_FAIL, word), OUTCOME_OK);
			delay_ms = fixture_look(&f, &grant.job).delay_until_ms - f.now_ms;
			least[i] = job == 0 || delay_ms < least[i] ? delay_ms : least[i];
			most[i] = delay_ms > most[i] ? delay_ms : most[i];
			fixture_later(&f, delay_ms);
		}
		grant = fixture_run(&f, q); /* out of the way of the next */
		done(&grant);
	}
	for (int i = 0; i<12; i++, span = span * 2> 600000 ? 600000 : span * 2) {
		assert_true(least[i] >= span / 2 && most[i] <= span);
		assert_true(most[i] - least[i] > span / 4); /* forty of them do not come back together */
	}
}

/* --- release --- */

static void given_back(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;
	struct worker_in word;
	struct grant grant;

	(void)state;
	in.max_attempts = 1;
	job = fixture_submit(&f, in);
	for (uint32_t i = 1; i <= 10; i++) {
		grant = fixture_run(&f, q);
		word = worker_of(&grant);
		if (i == 10)
			word.delay_ms = 100;
		assert_int_equal(grant.lease.attempt, 1);
		assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, word), OUTCOME_OK);
		assert_int_equal(fixture_look(&f, &job).state, i == 10 ? JOB_DELAYED : JOB_READY);
		assert_true(fixture_look(&f, &job).releases == i && fixture_look(&f, &job).attempt == 0);
		assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, word), OUTCOME_SAME);
	}
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, word), OUTCOME_FENCED);
	fixture_later(&f, 100);
	assert_int_equal(fixture_claim(&f, q).job.number, job.number);
}

static void given_back_goes_behind(void **state)
{
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(fixture_claim(&f, q).job.number, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(fencing),
		TEST(foreign_tokens),
		TEST(bodies),
		TEST(beats),
		TEST(done_twice),
		TEST(done_with_nothing_and_with_a_blob),
		TEST(fail_for_good),
		TEST(attempts_run_out),
		TEST(timeouts_run_out),
		TEST(a_delay_of_the_workers_choice),
		TEST(back_off),
		TEST(given_back),
		TEST(given_back_goes_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
