/* The hand-over in two steps: offered, then leased; and what happens when the bytes never came to the worker. */
#include "sequencer/sequencer_fixture.h"

#include "base/testing.h"

static struct fixture f;
static const struct slice q = {"q", 1};

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

static enum outcome goes_on(const struct grant *grant)
{
	struct ask ask = {.c = {.kind = COMMAND_DELIVERED, .in.delivered = {&grant->lease, 1, false, true}}};

	return fixture_ask(&f, &ask, 0);
}

static void delivered(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_claim(&f, q);
	struct job_view view = fixture_look(&f, &job);

	(void)state;
	assert_true(view.state == JOB_OFFERED && view.attempt == 1 && view.deadline_ms == f.now_ms + 10000);
	fixture_later(&f, 4999);
	fixture_delivered(&f, &grant, true);
	view = fixture_look(&f, &job);
	assert_true(view.state == JOB_RUNNING && view.attempt == 1 &&
		    view.deadline_ms == f.now_ms + 10000);                 /* counted from here */
	assert_int_equal(fixture_delivered(&f, &grant, true), OUTCOME_OK); /* twice changes nothing */
	assert_int_equal(fixture_delivered(&f, &grant, false), OUTCOME_OK);
	assert_int_equal(fixture_look(&f, &job).revision, view.revision);
}

static void lost_goes_to_the_next_at_once(void **state)
{
	struct claim_in in = {&q, 1, SLICE("second"), {0}, 1, 0, true, 5};
	struct ask park = {.c = {.kind = COMMAND_CLAIM, .in.claim = in}};
	struct job_ref job = fixture_job(&f, q);
	struct grant lost;
	struct offer *offer;

	(void)state;
	fixture_job(&f, q);
	lost = fixture_claim(&f, q);
	fixture_claim(&f, q);
	assert_int_equal(fixture_ask(&f, &park, 3), OUTCOME_PARKED);
	fixture_delivered(&f, &lost, false);
	offer = fixture_take_offer(&f, 3);
	assert_true(offer && offer->lease_count == 1 && offer->leases[0].number == job.number);
	assert_true(offer->leases[0].attempt == 1 && offer->leases[0].view->lost_handoffs == 1);
	assert_true(strcmp(offer->leases[0].token, lost.lease.token) != 0);
	message_free(&offer->message);
	/* What the first one says now is fenced. */
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&lost)), OUTCOME_FENCED);
	fixture_delivered(&f, &lost, true);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
}

/* It comes back to where it stood: before those that came after it. */
static void lost_keeps_its_place(void **state)
{
	struct job_ref first = fixture_job(&f, q);
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_claim(&f, q);
	assert_int_equal(grant.job.number, first.number);
	fixture_delivered(&f, &grant, false);
	assert_int_equal(fixture_look(&f, &first).attempt, 0);
	assert_int_equal(fixture_claim(&f, q).job.number, first.number);
}

/* However often the hand-over is lost, the attempts do not run out. */
static void lost_costs_no_attempt(void **state)
{
	struct submit_in in = submit_of(q, SLICE("body"));
	struct job_ref job;

	(void)state;
	in.max_attempts = 1;
	job = fixture_submit(&f, in);
	for (int i = 0; i < 20; i++) {
		struct grant grant = fixture_claim(&f, q);

		assert_int_equal(grant.lease.attempt, 1);
		if (i % 2)
			fixture_delivered(&f, &grant, false);
		else
			fixture_later(&f, 5000);
	}
	assert_true(fixture_look(&f, &job).state == JOB_READY && fixture_look(&f, &job).lost_handoffs == 20);
	assert_int_equal(fixture_queue(&f, q).lost_handoffs, 20);
}

static void delivery_lease(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_claim(&f, q);

	(void)state;
	assert_true(sequencer_next_ms(f.s) == f.now_ms + 5000);
	fixture_later(&f, 4999);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
	fixture_later(&f, 1);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
	assert_true(fixture_look(&f, &job).attempt == 0 && fixture_look(&f, &job).lost_handoffs == 1);
	fixture_delivered(&f, &grant, true); /* too late */
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
}

/* While bytes of a long body move, the offer stands; its lease goes on. */
static void delivery_that_takes_long(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_claim(&f, q);

	(void)state;
	for (int i = 0; i < 5; i++) { /* longer than the lease itself, too */
		fixture_later(&f, 4000);
		assert_int_equal(goes_on(&grant), OUTCOME_OK);
		assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
	}
	fixture_delivered(&f, &grant, true);
	assert_true(fixture_look(&f, &job).state == JOB_RUNNING && fixture_look(&f, &job).deadline_ms == f.now_ms + 10000);
	assert_int_equal(goes_on(&grant), OUTCOME_OK);
	assert_int_equal(fixture_look(&f, &job).state, JOB_RUNNING);
}

/* A lease shorter than the delivery lease does not begin before it is confirmed: what was not, costs no attempt. */
static void a_short_lease(void **state)
{
	struct submit_in in = submit_of(q, SLICE("body"));
	struct job_ref job;

	(void)state;
	in.lease_ms = 1000;
	in.max_attempts = 1;
	job = fixture_submit(&f, in);
	fixture_claim(&f, q);
	fixture_later(&f, 4999);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
	fixture_later(&f, 1);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
	assert_true(fixture_look(&f, &job).attempt == 0 && fixture_look(&f, &job).lost_handoffs == 1);
}

/* A worker's word proves that it has the job, whatever the door has told so far. */
static void a_word_confirms(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_claim(&f, q);

	(void)state;
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(fixture_look(&f, &job).state, JOB_RUNNING);
	fixture_delivered(&f, &grant, false);
	assert_int_equal(fixture_look(&f, &job).state, JOB_RUNNING);
	fixture_later(&f, 9999);
	assert_int_equal(fixture_look(&f, &job).state, JOB_RUNNING);
	job = fixture_job(&f, q);
	grant = fixture_claim(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	fixture_delivered(&f, &grant, false);
	assert_int_equal(fixture_look(&f, &job).state, JOB_DONE);
}

static void a_forged_confirmation(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = fixture_claim(&f, q), forged = grant;

	(void)state;
	forged.lease.token[3] = grant.lease.token[3] == 'a' ? 'b' : 'a';
	fixture_delivered(&f, &forged, true);
	fixture_delivered(&f, &forged, false);
	forged = grant;
	forged.lease.number += 5;
	fixture_delivered(&f, &forged, true);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
}

/* --- the same attempt again --- */

static enum outcome attempt(struct ask *ask, struct slice id, uint32_t max)
{
	*ask = (struct ask){.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	ask->c.in.claim.attempt_id = id;
	ask->c.in.claim.max = max;
	return fixture_ask(&f, ask, 0);
}

static void the_same_attempt(void **state)
{
	struct ask first, again;

	(void)state;
	for (int i = 0; i < 5; i++)
		fixture_job(&f, q);
	assert_int_equal(attempt(&first, SLICE("id"), 3), OUTCOME_OK);
	assert_int_equal(attempt(&again, SLICE("id"), 1), OUTCOME_OK);
	assert_true(first.c.out.lease_count == 3 && again.c.out.lease_count == 3);
	for (size_t i = 0; i < 3; i++) {
		const struct lease *a = &first.c.out.leases[i], *b = &again.c.out.leases[i];

		assert_true(a->number == b->number && a->attempt == b->attempt && a->deadline_ms == b->deadline_ms);
		assert_string_equal(a->token, b->token);
		assert_true(b->view->pin && b->view->number == b->number);
	}
	ask_deinit(&first);
	ask_deinit(&again);
	assert_int_equal(fixture_queue(&f, q).count[JOB_READY], 2);
	assert_int_equal(attempt(&again, SLICE("other"), 3), OUTCOME_OK);
	assert_int_equal(again.c.out.lease_count, 2);
	ask_deinit(&again);
}

/* What has ended is not given again; when all has, the id is as good as new. */
static void the_same_attempt_later(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = {.job = job};
	struct ask ask;

	(void)state;
	fixture_job(&f, q);
	assert_int_equal(attempt(&ask, SLICE("id"), 2), OUTCOME_OK);
	assert_int_equal(ask.c.out.lease_count, 2);
	grant.lease = ask.c.out.leases[0];
	ask_deinit(&ask);
	fixture_delivered(&f, &grant, true);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(attempt(&ask, SLICE("id"), 2), OUTCOME_OK);
	assert_true(ask.c.out.lease_count == 1 && ask.c.out.leases[0].number == 2);
	ask_deinit(&ask);
	fixture_later(&f, 5000); /* never confirmed */
	assert_int_equal(fixture_queue(&f, q).count[JOB_READY], 1);
	fixture_job(&f, q);
	assert_int_equal(attempt(&ask, SLICE("id"), 2), OUTCOME_OK);
	assert_int_equal(ask.c.out.lease_count, 2);
	ask_deinit(&ask);
}

/* Repeating the claim begins the delivery lease anew, since the answer is on its way once more. */
static void the_same_attempt_is_delivered_anew(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct ask ask;

	(void)state;
	assert_int_equal(attempt(&ask, SLICE("id"), 1), OUTCOME_OK);
	ask_deinit(&ask);
	fixture_later(&f, 4000);
	assert_int_equal(attempt(&ask, SLICE("id"), 1), OUTCOME_OK);
	ask_deinit(&ask);
	fixture_later(&f, 4000);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
}

/* The worker asked again on a new connection while the old one died: what the old one lost is not lost. */
static void one_of_two_answers_is_lost(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct grant grant = {.job = job};
	struct ask ask;

	(void)state;
	assert_int_equal(attempt(&ask, SLICE("id"), 1), OUTCOME_OK);
	grant.lease = ask.c.out.leases[0];
	ask_deinit(&ask);
	assert_int_equal(attempt(&ask, SLICE("id"), 1), OUTCOME_OK);
	ask_deinit(&ask);
	fixture_delivered(&f, &grant, false);
	assert_int_equal(fixture_look(&f, &job).state, JOB_OFFERED);
	fixture_delivered(&f, &grant, true);
	assert_int_equal(fixture_look(&f, &job).state, JOB_RUNNING);
	/* Both lost: ready again. */
	job = fixture_job(&f, q);
	assert_int_equal(attempt(&ask, SLICE("id2"), 1), OUTCOME_OK);
	grant.lease = ask.c.out.leases[0];
	ask_deinit(&ask);
	assert_int_equal(attempt(&ask, SLICE("id2"), 1), OUTCOME_OK);
	ask_deinit(&ask);
	fixture_delivered(&f, &grant, false);
	fixture_delivered(&f, &grant, false);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
}

/* The lease that the worker asked for is its own: the next worker gets the job's. */
static void each_lease_by_itself(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	ask.c.in.claim.lease_ms = 500;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.leases[0].deadline_ms == f.now_ms + 500);
	ask_deinit(&ask);
	fixture_later(&f, 5000);
	grant = fixture_claim(&f, q);
	assert_true(grant.lease.deadline_ms == f.now_ms + 10000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_lease_by_itself),
		TEST(delivered),
		TEST(lost_goes_to_the_next_at_once),
		TEST(lost_keeps_its_place),
		TEST(lost_costs_no_attempt),
		TEST(delivery_lease),
		TEST(delivery_that_takes_long),
		TEST(a_short_lease),
		TEST(a_word_confirms),
		TEST(a_forged_confirmation),
		TEST(the_same_attempt),
		TEST(the_same_attempt_later),
		TEST(the_same_attempt_is_delivered_anew),
		TEST(one_of_two_answers_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
