/* Work comes in: what a handle is, names and keys, delay, priority, limits. */
#include "sequencer/sequencer_fixture.h"

#include "base/mem.h"
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

static bool same_job(const struct job_ref *a, const struct job_ref *b)
{
	return a->number == b->number && memcmp(a->handle, b->handle, JOB_HANDLE_CHARS) == 0;
}

static void the_view(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct ask ask = {.c = {.kind = COMMAND_SUBMIT, .in.submit = in}};
	struct job_view *view;

	(void)state;
	ask.c.in.submit.name = SLICE("name");
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	view = ask.c.out.view;
	assert_true(view->state == JOB_READY && view->revision == 1 && view->attempt == 0 && !view->expired &&
		    view->progress < 0);
	assert_true(view->max_attempts == 3 && view->lease_ms == 10000 && view->priority == 100 && view->retain_ms == 60000);
	assert_true(view->created_ms == f.now_ms && view->updated_ms == f.now_ms && !view->deadline_ms && !view->delay_until_ms);
	assert_true(slice_eq(view->queue, q) && slice_eq(view->name, SLICE("name")) &&
		    slice_eq(view->content_type, SLICE("text/plain")));
	assert_true(view->body.size_bytes == 4 && view->result.kind == BODY_NONE && view->pin == NULL);
	assert_true(view->key != 0 && view->key == handle_key(slice_from(view->handle, JOB_HANDLE_CHARS)));
	ask_deinit(&ask);
}

static void handles_differ_and_are_known(void **state)
{
	struct job_ref jobs[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
		jobs[i] = fixture_job(&f, q);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(jobs[i].handle, jobs[j].handle, JOB_HANDLE_CHARS);
	}
	for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
		assert_int_equal(fixture_look(&f, &jobs[i]).number, jobs[i].number);
}

/* Whatever character is changed: it is no handle of ours. */
static void handles_cannot_be_guessed(void **state)
{
	struct job_ref job = fixture_job(&f, q), other;

	(void)state;
	for (size_t i = 0; i < JOB_HANDLE_CHARS; i++) {
		other = job;
		other.handle[i] = job.handle[i] == 'a' ? 'b' : 'a';
		assert_int_equal(fixture_cancel(&f, &other, true), OUTCOME_NOT_FOUND);
	}
	assert_true(handle_key(SLICE("")) == 0 && handle_key(slice_from(job.handle, JOB_HANDLE_CHARS - 1)) == 0);
	other.handle[5] = '!';
	assert_true(handle_key(handle_of(&other)) == 0);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
}

static void the_same_key(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref first, again;

	(void)state;
	in.key = SLICE("key");
	first = fixture_submit(&f, in);
	again = fixture_submit(&f, in);
	assert_int_equal(first.outcome, OUTCOME_OK);
	assert_int_equal(again.outcome, OUTCOME_SAME);
	assert_true(same_job(&first, &again));
	assert_int_equal(fixture_queue(&f, q).submitted, 1);
	/* Another queue's keys are its own. */
	in.queue = SLICE("other");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_OK);
	in.queue = q;
	in.key = SLICE("key2");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_OK);
}

/* Each thing that makes a request another one. */
static void the_same_key_for_another_request(void **state)
{
	struct submit_in first = submit_of(q, body), in;

	(void)state;
	first.key = SLICE("key");
	assert_int_equal(fixture_submit(&f, first).outcome, OUTCOME_OK);
	for (int i = 0; i < 10; i++) {
		in = first;
		in.body = i == 0 ? SLICE("bodY") : i == 1 ? SLICE("bod") : body;
		in.content_type = i == 2 ? SLICE("text/html") : i == 3 ? SLICE("") : first.content_type;
		in.delay_ms += i == 4;
		in.retain_ms += i == 5;
		in.cancel_after_ms += i == 6;
		in.lease_ms += i == 7;
		in.priority += i == 8;
		in.max_attempts += i == 9;
		assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_MISMATCH);
	}
	assert_int_equal(fixture_submit(&f, first).outcome, OUTCOME_SAME);
	assert_int_equal(fixture_queue(&f, q).submitted, 1);
}

static void the_same_name(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref first, again;

	(void)state;
	in.name = SLICE("name");
	first = fixture_submit(&f, in);
	again = fixture_submit(&f, in);
	assert_int_equal(again.outcome, OUTCOME_SAME);
	assert_true(same_job(&first, &again));
	in.body = SLICE("other");
	again = fixture_submit(&f, in);
	assert_int_equal(again.outcome, OUTCOME_CONFLICT);
	assert_true(same_job(&first, &again));
}

/* A key is that of one request; under another name it is another request. */
static void names_and_keys_together(void **state)
{
	struct submit_in in = submit_of(q, body);

	(void)state;
	in.key = SLICE("key");
	in.name = SLICE("a");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_OK);
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_SAME);
	in.name = SLICE("b");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_MISMATCH);
	in.name = SLICE("");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_MISMATCH);
	in.name = SLICE("b");
	in.key = SLICE("key2");
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_OK);
	in.key = SLICE("key"); /* the name of one, the key of another */
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_CONFLICT);
}

/* A finished job still answers for its key; past its retention the key is free again. */
static void keys_live_as_long_as_their_job(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref first, again;
	struct grant grant;

	(void)state;
	in.key = SLICE("key");
	in.name = SLICE("name");
	first = fixture_submit(&f, in);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	again = fixture_submit(&f, in);
	assert_true(again.outcome == OUTCOME_SAME && same_job(&first, &again));
	fixture_later(&f, 60000);
	again = fixture_submit(&f, in);
	assert_true(again.outcome == OUTCOME_OK && !same_job(&first, &again));
}

static void delayed(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;
	struct job_view view;

	(void)state;
	in.delay_ms = 500;
	job = fixture_submit(&f, in);
	view = fixture_look(&f, &job);
	assert_true(view.state == JOB_DELAYED && view.delay_until_ms == f.now_ms + 500);
	assert_true(sequencer_next_ms(f.s) == f.now_ms + 500);
	fixture_later(&f, 499);
	assert_int_equal(fixture_look(&f, &job).state, JOB_DELAYED);
	fixture_later(&f, 1);
	view = fixture_look(&f, &job);
	assert_true(view.state == JOB_READY && view.delay_until_ms == 0);
	assert_true(sequencer_next_ms(f.s) == UINT64_MAX);
	assert_true(fixture_queue(&f, q).oldest_ready_ms == f.now_ms);
}

static void by_priority(void **state)
{
	static const uint32_t priorities[] = {100, 5, 100, 0, UINT32_MAX, 5};
	static const size_t order[] = {3, 1, 5, 0, 2, 4};
	struct job_ref jobs[ARRAY_COUNT(priorities)];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(priorities); i++) {
		struct submit_in in = submit_of(q, body);

		in.priority = priorities[i];
		jobs[i] = fixture_submit(&f, in);
	}
	for (size_t i = 0; i < ARRAY_COUNT(order); i++)
		assert_int_equal(fixture_claim(&f, q).job.number, jobs[order[i]].number);
}

static void a_blob(void **state)
{
	struct submit_in in = submit_of(q, (struct slice){0});
	struct job_ref job;

	(void)state;
	in.blob = (struct body_ref){7, 5 << 20, 99, BODY_BLOB};
	in.key = SLICE("key");
	job = fixture_submit(&f, in);
	assert_true(fixture_look(&f, &job).body.kind == BODY_BLOB && f.body_count == 1);
	in.blob.place = 8; /* the same bytes, sent again */
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_SAME);
	in.blob.crc++;
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_MISMATCH);
	assert_int_equal(f.body_count, 1);
	assert_int_equal(fixture_cancel(&f, &job, false), OUTCOME_OK);
	assert_int_equal(f.body_count, 0);
}

/* A blob that no event named: the door says so. */
static void a_blob_nobody_wanted(void **state)
{
	struct blob_release *release = mem_zalloc(sizeof(*release));

	(void)state;
	assert_non_null(release);
	release->message.kind = MESSAGE_RELEASE;
	release->blob = (struct body_ref){7, 5 << 20, 99, BODY_BLOB};
	sequencer_message(f.s, &release->message);
	assert_int_equal(f.entry_count, 1); /* the secret's, no more */
}

static void full(void **state)
{
	struct sequencer_config config = f.config;
	struct submit_in in = submit_of(q, body);
	struct job_ref first;

	(void)state;
	config.queue_jobs_max = 2;
	config.jobs_max = 3;
	sequencer_configure(f.s, &config);
	in.key = SLICE("key");
	first = fixture_submit(&f, in);
	fixture_job(&f, q);
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_QUEUE_FULL);
	assert_int_equal(fixture_submit(&f, in).outcome, OUTCOME_SAME); /* that one is in already */
	fixture_job(&f, SLICE("p"));
	assert_int_equal(fixture_submit(&f, submit_of(SLICE("p"), body)).outcome, OUTCOME_FULL);
	/* A tombstone takes no place in its queue, but one of the server's. */
	fixture_cancel(&f, &first, false);
	fixture_later(&f, 60000);
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_FULL);
	fixture_later(&f, 30000);
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_OK);
}

static void too_many_queues(void **state)
{
	struct sequencer_config config = f.config;
	struct slice queues[] = {SLICE("p"), SLICE("x")};
	struct ask ask = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(queues)}};

	(void)state;
	config.queues_max = 2;
	sequencer_configure(f.s, &config);
	fixture_job(&f, q);
	fixture_job(&f, SLICE("p"));
	assert_int_equal(fixture_submit(&f, submit_of(SLICE("x"), body)).outcome, OUTCOME_FULL);
	assert_int_equal(fixture_pause(&f, SLICE("x"), true), OUTCOME_FULL);
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_OK);
	fixture_claim(&f, SLICE("p"));
	/* Nor may those who wait make queues without end. */
	ask.c.in.claim.wait = true;
	ask.c.in.claim.queue_count = 2;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_FULL);
	ask.c.in.claim.queue_count = 1;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_PARKED);
	assert_int_equal(fixture_queue(&f, SLICE("p")).waiting_workers, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_view),
		TEST(handles_differ_and_are_known),
		TEST(handles_cannot_be_guessed),
		TEST(the_same_key),
		TEST(the_same_key_for_another_request),
		TEST(the_same_name),
		TEST(names_and_keys_together),
		TEST(keys_live_as_long_as_their_job),
		TEST(delayed),
		TEST(by_priority),
		TEST(a_blob),
		TEST(a_blob_nobody_wanted),
		TEST(full),
		TEST(too_many_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
