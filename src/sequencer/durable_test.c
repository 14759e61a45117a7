/* Nothing is said before it is durable: the store is held back, and we look. And what a full or a broken disk does. */
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

/* Sent while nothing becomes durable. */
static struct ask *hold_back(struct ask *ask, unsigned thread)
{
	f.hold = true;
	fixture_send(&f, ask, thread);
	fixture_settle(&f);
	return ask;
}

static void expect_held(struct ask *ask, enum outcome outcome)
{
	uint64_t at_ms;

	hold_back(ask, 0);
	assert_int_equal(ask->back, 0);
	assert_true(sequencer_wants_commit(f.s, &at_ms));
	f.durable = f.end - 8; /* all but the last entry, or half of it */
	fixture_settle(&f);
	assert_int_equal(ask->back, 0);
	fixture_sync(&f);
	assert_int_equal(ask->back, 1);
	assert_int_equal(ask->c.outcome, outcome);
	assert_false(sequencer_wants_commit(f.s, &at_ms));
	f.hold = false;
}

static void expect_at_once(struct ask *ask, enum outcome outcome)
{
	hold_back(ask, 0);
	assert_int_equal(ask->back, 1);
	assert_int_equal(ask->c.outcome, outcome);
	f.hold = false;
}

static void changes_are_held(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, body)}};
	struct grant grant;

	(void)state;
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	ask = (struct ask){.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	fixture_later(&f, 5000);
	grant = fixture_run(&f, q);
	ask = (struct ask){.c = {.kind = COMMAND_BEAT, .in.worker = worker_of(&grant)}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	ask = (struct ask){.c = {.kind = COMMAND_RELEASE, .in.worker = worker_of(&grant)}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	grant = fixture_run(&f, q);
	ask = (struct ask){.c = {.kind = COMMAND_FAIL, .in.worker = worker_of(&grant)}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	ask = (struct ask){.c = {.kind = COMMAND_KICK, .in.kick = {q, 1}}};
	expect_held(&ask, OUTCOME_OK);
	grant = fixture_run(&f, q);
	ask = (struct ask){.c = {.kind = COMMAND_DONE, .in.worker = worker_of(&grant)}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	ask = (struct ask){.c = {.kind = COMMAND_QUEUE_SET, .in.queue = {q, true}}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
	fixture_pause(&f, q, false);
	ask = (struct ask){.c = {.kind = COMMAND_CANCEL, .in.cancel = {handle_of(&grant.job), true}}};
	expect_held(&ask, OUTCOME_OK);
	ask_deinit(&ask);
}

/* A repetition tells of what the first one did, and waits with it. */
static void repetitions_are_held(void **state)
{
	struct ask submit = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, body)}}, again;
	struct grant grant;
	struct ask done, twice;

	(void)state;
	submit.c.in.submit.key = SLICE("key");
	again = submit;
	hold_back(&submit, 0);
	expect_held(&again, OUTCOME_SAME);
	ask_deinit(&submit);
	ask_deinit(&again);
	grant = fixture_run(&f, q);
	done = twice = (struct ask){.c = {.kind = COMMAND_DONE, .in.worker = worker_of(&grant)}};
	hold_back(&done, 0);
	expect_held(&twice, OUTCOME_SAME);
	ask_deinit(&done);
	ask_deinit(&twice);
}

/* Each way of looking at a job that has just been canceled, and at one beside it. */
static void answers_are_held(void **state)
{
	struct job_ref job = fixture_job(&f, q), other = fixture_job(&f, SLICE("p"));
	struct slice handle = handle_of(&job), beside = handle_of(&other);
	struct ask looks[] = {
		{.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &handle, .count = 1}}},
		{.c = {.kind = COMMAND_CANCEL, .in.cancel = {handle, false}}},
		{.c = {.kind = COMMAND_LIST, .in.list.limit = 10}},
		{.c = {.kind = COMMAND_LIST,
		       .in.list = {.limit = 10, .state_mask = 1u << JOB_READY}}}, /* it is not there any more */
		{.c = {.kind = COMMAND_QUEUE, .in.queue.queue = q}},
		{.c = {.kind = COMMAND_QUEUES}},
	};
	struct ask look = {.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &beside, .count = 1}}};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(looks); i++) {
		struct ask cancel = {.c = {.kind = COMMAND_CANCEL}};

		job = fixture_job(&f, q);
		handle = handle_of(&job);
		if (looks[i].c.kind == COMMAND_CANCEL)
			looks[i].c.in.cancel.handle = handle;
		cancel.c.in.cancel.handle = handle;
		hold_back(&cancel, 0);
		expect_at_once(&look, OUTCOME_PARKED);
		ask_deinit(&look);
		expect_held(&looks[i], OUTCOME_OK);
		ask_deinit(&looks[i]);
		ask_deinit(&cancel);
	}
}

/* The counts by state rest on events that are no totals, too. */
static void figures_are_held(void **state)
{
	struct ask claim = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	struct ask queue = {.c = {.kind = COMMAND_QUEUE, .in.queue.queue = q}};
	struct ask list = {.c = {.kind = COMMAND_LIST, .in.list = {.limit = 10, .state_mask = 1u << JOB_READY}}};

	(void)state;
	fixture_job(&f, q);
	hold_back(&claim, 0);
	expect_held(&queue, OUTCOME_OK);
	ask_deinit(&queue);
	ask_deinit(&claim);
	fixture_job(&f, q);
	hold_back(&claim, 0);
	expect_held(&list, OUTCOME_OK);
	ask_deinit(&list);
	ask_deinit(&claim);
}

static void what_is_gone_is_held(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct slice handle = handle_of(&job);
	struct ask forget = {.c = {.kind = COMMAND_CANCEL, .in.cancel = {handle, true}}};
	struct ask look = {.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &handle, .count = 1}}}, queue;

	(void)state;
	hold_back(&forget, 0);
	expect_held(&look, OUTCOME_NOT_FOUND);
	ask_deinit(&look);
	job = fixture_job(&f, q);
	forget.c.in.cancel.handle = handle_of(&job);
	hold_back(&forget, 0);
	queue = (struct ask){.c = {.kind = COMMAND_QUEUE, .in.queue.queue = q}};
	expect_held(&queue, OUTCOME_NOT_FOUND);
}

static void wakes_and_offers_are_held(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct claim_in in = {&q, 1, SLICE("worker"), {0}, 1, 0, true, 5};
	struct ask park = {.c = {.kind = COMMAND_CLAIM, .in.claim = in}};
	struct ask submit = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, body)}};
	struct ask cancel = {.c = {.kind = COMMAND_CANCEL, .in.cancel.handle = handle_of(&job)}};
	struct wake *wake;
	struct offer *offer;

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, 1);
	hold_back(&cancel, 0);
	assert_null(fixture_take_wake(&f, 1));
	fixture_sync(&f);
	wake = fixture_take_wake(&f, 1);
	assert_non_null(wake);
	message_free(&wake->message);
	ask_deinit(&cancel);
	hold_back(&park, 2);
	assert_int_equal(park.back, 1); /* that it waits is no secret */
	hold_back(&submit, 0);
	assert_null(fixture_take_offer(&f, 2));
	fixture_sync(&f);
	offer = fixture_take_offer(&f, 2);
	assert_non_null(offer);
	message_free(&offer->message);
	ask_deinit(&submit);
}

/* Each leaves with its own part of the journal, in order. */
static void part_by_part(void **state)
{
	struct ask asks[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		asks[i] = (struct ask){.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, body)}};
		hold_back(&asks[i], (unsigned)i);
	}
	for (size_t i = 0; i < 4; i++) {
		f.durable = f.entries[1 + i].replay.end;
		fixture_settle(&f);
		for (size_t j = 0; j < 4; j++)
			assert_int_equal(asks[j].back, j <= i);
		ask_deinit(&asks[i]);
	}
}

/* A later answer about a job does not overtake its wake, also when both are durable by then. */
static void no_overtaking(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct slice handle = handle_of(&job);
	struct ask cancel = {.c = {.kind = COMMAND_CANCEL, .in.cancel.handle = handle}};
	struct ask look = {.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &handle, .count = 1}}};

	(void)state;
	fixture_watch(&f, &job, UNTIL_DONE, 0, 1);
	hold_back(&cancel, 0);
	fixture_drop_sent(&f);
	f.durable = f.end;
	hold_back(&look, 1);
	assert_int_equal(f.sent_count, 3);
	for (size_t i = 0; i < 3; i++) {
		if (f.sent[i].thread == 1) {
			assert_int_equal(f.sent[i].kind, MESSAGE_WAKE);
			break;
		}
	}
	ask_deinit(&cancel);
	ask_deinit(&look);
}

/* Nobody waits for LEASED: it rides with the next commit, or after a while by itself. */
static void lazy_events(void **state)
{
	struct ask delivered = {.c = {.kind = COMMAND_DELIVERED}};
	struct grant grant;
	uint64_t at_ms;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_claim(&f, q);
	delivered.c.in.delivered = (struct delivered_in){&grant.lease, 1, true, false};
	expect_at_once(&delivered, OUTCOME_OK);
	assert_true(f.end > f.durable);
	assert_false(sequencer_wants_commit(f.s, &at_ms));
	assert_true(at_ms == f.now_ms + f.config.lazy_ms);
	f.hold = true;
	fixture_later(&f, f.config.lazy_ms - 1);
	assert_false(sequencer_wants_commit(f.s, &at_ms));
	fixture_later(&f, 1);
	assert_true(sequencer_wants_commit(f.s, &at_ms));
	fixture_sync(&f);
	assert_false(sequencer_wants_commit(f.s, &at_ms));
	assert_true(at_ms == UINT64_MAX);
}

/* --- the disk is full --- */

static void no_space(void **state)
{
	struct job_ref jobs[6];
	struct grant grant;
	struct worker_in in;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		jobs[i] = fixture_job(&f, q);
	f.full = true;
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_NO_SPACE);
	assert_int_equal(fixture_submit(&f, submit_of(SLICE("new"), body)).outcome, OUTCOME_NO_SPACE);
	assert_int_equal(fixture_queue(&f, q).submitted, 6);
	/* What ends work, or keeps it alive, goes on. */
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, worker_of(&grant)), OUTCOME_OK);
	in = worker_of(&grant);
	in.body = SLICE("result");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_OK);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(fixture_cancel(&f, &jobs[5], false), OUTCOME_OK);
	assert_int_equal(fixture_cancel(&f, &jobs[4], true), OUTCOME_OK);
	assert_int_equal(fixture_pause(&f, q, true), OUTCOME_OK);
	assert_int_equal(sequencer_rescue(f.s, &f.entries[4].replay), STORE_NO_SPACE);
	fixture_later(&f, 60000);
	fixture_later(&f, 30000);
	assert_true(fixture_look(&f, &jobs[0]).revision == 0); /* it was forgotten at its time */
	/* It heals by itself. */
	f.full = false;
	assert_int_equal(fixture_submit(&f, submit_of(q, body)).outcome, OUTCOME_OK);
}

/* --- the disk is broken --- */

static void nothing_changes_on_a_broken_disk(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_run(&f, q);
	struct buf before = {0}, after = {0};
	const enum command_kind kinds[] = {COMMAND_BEAT, COMMAND_DONE, COMMAND_FAIL, COMMAND_RELEASE};

	(void)state;
	fixture_job(&f, q);
	fixture_dump(&f, &before);
	f.broken = true;
	assert_int_equal(fixture_submit(&f, submit_of(SLICE("new"), body)).outcome, OUTCOME_STORAGE);
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		assert_int_equal(fixture_tell(&f, kinds[i], worker_of(&grant)), OUTCOME_STORAGE);
	assert_int_equal(fixture_cancel(&f, &job, true), OUTCOME_STORAGE);
	assert_int_equal(fixture_pause(&f, q, true), OUTCOME_STORAGE);
	assert_int_equal(fixture_pause(&f, SLICE("new"), true), OUTCOME_STORAGE);
	fixture_dump(&f, &after);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.ptr, after.ptr, before.len);
	buf_deinit(&before);
	buf_deinit(&after);
}

/* All that waits inside comes out, and nothing of what can never become durable is told. */
static void the_journal_fails(void **state)
{
	struct job_ref watched = fixture_job(&f, SLICE("p")), job;
	struct claim_in in = {&q, 1, SLICE("worker"), {0}, 1, 0, true, 5};
	struct ask park = {.c = {.kind = COMMAND_CLAIM, .in.claim = in}};
	struct ask submit = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, body)}};
	struct ask cancel = {.c = {.kind = COMMAND_CANCEL, .in.cancel.handle = handle_of(&watched)}};
	struct ask claim = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};

	(void)state;
	fixture_watch(&f, &watched, UNTIL_DONE, 0, 1);
	job = fixture_job(&f, q);
	hold_back(&claim, 0);
	hold_back(&park, 2);
	hold_back(&submit, 0);
	hold_back(&cancel, 0);
	assert_true(claim.back == 0 && submit.back == 0 && cancel.back == 0);
	f.broken = true;
	sequencer_fail(f.s);
	fixture_settle(&f);
	assert_true(claim.back == 1 && claim.c.outcome == OUTCOME_STORAGE && !claim.c.out.leases);
	assert_true(submit.back == 1 && submit.c.outcome == OUTCOME_STORAGE && !submit.c.out.view);
	assert_true(cancel.back == 1 && cancel.c.outcome == OUTCOME_STORAGE && !cancel.c.out.view);
	assert_null(fixture_take_wake(&f, 1));
	assert_null(fixture_take_offer(&f, 2));
	assert_int_equal(f.pins, 0);
	/* And every command from now on, also one that would only look at what was not durable. */
	for (unsigned kind = COMMAND_SUBMIT; kind <= COMMAND_QUEUE_SET; kind++) {
		struct slice handle = handle_of(&job);
		struct ask ask = {.c = {.kind = (enum command_kind)kind}};

		if (kind == COMMAND_SUBMIT)
			ask.c.in.submit = submit_of(q, body);
		else if (kind == COMMAND_JOBS)
			ask.c.in.jobs = (struct jobs_in){.handles = &handle, .count = 1};
		else if (kind == COMMAND_CLAIM)
			ask.c.in.claim = claim_of(&q);
		else if (kind == COMMAND_LIST)
			ask.c.in.list.limit = 10;
		assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_STORAGE);
		ask_deinit(&ask);
	}
	fixture_later(&f, 1000000);
	assert_true(sequencer_next_ms(f.s) == UINT64_MAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(changes_are_held),
		TEST(repetitions_are_held),
		TEST(answers_are_held),
		TEST(figures_are_held),
		TEST(what_is_gone_is_held),
		TEST(wakes_and_offers_are_held),
		TEST(part_by_part),
		TEST(no_overtaking),
		TEST(lazy_events),
		TEST(no_space),
		TEST(nothing_changes_on_a_broken_disk),
		TEST(the_journal_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
