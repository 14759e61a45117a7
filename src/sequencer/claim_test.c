/* Workers ask for work: order, batches, several queues, and claims that wait. */
#include "sequencer/sequencer_fixture.h"

#include "base/testing.h"

static struct fixture f;
static const struct slice q = {"q", 1}, p = {"p", 1};

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

/* Claims on that thread; leases stay in `ask`. */
static enum outcome claim(struct ask *ask, struct claim_in in, unsigned thread)
{
	*ask = (struct ask){.c = {.kind = COMMAND_CLAIM, .in.claim = in}};
	return fixture_ask(&f, ask, thread);
}

static void park(const struct slice *queues, size_t count, uint32_t max, unsigned thread, uint64_t claim_id)
{
	struct claim_in in = {queues, count, SLICE("worker"), {0}, max, 0, true, claim_id};
	struct ask ask;

	assert_int_equal(claim(&ask, in, thread), OUTCOME_PARKED);
	assert_int_equal(ask.c.out.lease_count, 0);
	ask_deinit(&ask);
}

static enum outcome cancel_claim(unsigned thread, uint64_t claim_id)
{
	struct ask ask = {.c = {.kind = COMMAND_CLAIM_CANCEL, .in.claim_cancel.claim_id = claim_id}};

	return fixture_ask(&f, &ask, thread);
}

/* The next offer of that thread is for this claim, and has these jobs, in this order. */
static void expect_offer(unsigned thread, uint64_t claim_id, const uint64_t *numbers, size_t count)
{
	struct offer *offer = fixture_take_offer(&f, thread);

	assert_non_null(offer);
	assert_true(offer->claim_id == claim_id && offer->lease_count == count);
	for (size_t i = 0; i < count; i++) {
		const struct lease *lease = &offer->leases[i];

		assert_true(lease->number == numbers[i] && lease->view->number == numbers[i] && lease->view->pin);
		assert_true(lease->view->state == JOB_OFFERED && lease->attempt == 1 && strlen(lease->token) == TOKEN_CHARS);
		assert_true(lease->deadline_ms == f.now_ms + 10000 && lease->view->deadline_ms == lease->deadline_ms);
	}
	message_free(&offer->message);
}

static void expect_no_offer(void)
{
	for (unsigned t = 0; t < FIXTURE_THREADS; t++)
		assert_null(fixture_take_offer(&f, t));
}

static void the_lease(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct ask ask;
	struct lease *lease;
	char bytes[4];

	(void)state;
	assert_int_equal(claim(&ask, claim_of(&q), 0), OUTCOME_OK);
	lease = &ask.c.out.leases[0];
	assert_true(ask.c.out.lease_count == 1 && lease->number == job.number && lease->attempt == 1);
	assert_true(lease->deadline_ms == f.now_ms + 10000 && slice_eq(lease->view->worker, SLICE("worker")));
	assert_true(lease->view->pin && lease->view->pin->ref.size_bytes == 4);
	assert_int_equal(lease->view->pin->ops->read_whole(lease->view->pin, bytes), 0);
	assert_memory_equal(bytes, "body", 4);
	ask_deinit(&ask);
	assert_int_equal(f.pins, 0);
	assert_int_equal(claim(&ask, claim_of(&q), 0), OUTCOME_EMPTY);
	ask_deinit(&ask);
}

static void a_lease_of_the_workers_choice(void **state)
{
	struct claim_in in = claim_of(&q);
	struct ask ask;

	(void)state;
	fixture_job(&f, q);
	in.lease_ms = 77000;
	assert_int_equal(claim(&ask, in, 0), OUTCOME_OK);
	assert_true(ask.c.out.leases[0].deadline_ms == f.now_ms + 77000 && ask.c.out.leases[0].view->lease_ms == 77000);
	ask_deinit(&ask);
}

static void nothing_there(void **state)
{
	struct ask ask;

	(void)state;
	assert_int_equal(claim(&ask, claim_of(&q), 0), OUTCOME_EMPTY);
	ask_deinit(&ask);
	assert_int_equal(f.s ? fixture_queue(&f, q).waiting_workers : 1, 0);
}

static void batches(void **state)
{
	struct claim_in in = claim_of(&q);
	struct ask ask;

	(void)state;
	for (int i = 0; i < 5; i++)
		fixture_job(&f, q);
	in.max = 3;
	assert_int_equal(claim(&ask, in, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.lease_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ask.c.out.leases[i].number, i + 1);
	ask_deinit(&ask);
	in.max = COMMAND_CLAIM_MAX;
	assert_int_equal(claim(&ask, in, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.lease_count, 2);
	ask_deinit(&ask);
}

static void queues_in_order_of_preference(void **state)
{
	const struct slice queues[] = {p, SLICE("none"), q};
	struct claim_in in = {.queues = queues, .queue_count = 3, .max = 3};
	struct ask ask;

	(void)state;
	fixture_job(&f, q);
	fixture_job(&f, q);
	fixture_job(&f, p);
	fixture_job(&f, q);
	assert_int_equal(claim(&ask, in, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.lease_count, 3);
	assert_int_equal(ask.c.out.leases[0].number, 3);
	assert_int_equal(ask.c.out.leases[1].number, 1);
	assert_int_equal(ask.c.out.leases[2].number, 2);
	ask_deinit(&ask);
	assert_null(fixture_queue(&f, SLICE("none")).name.ptr);
}

static void parked_then_offered(void **state)
{
	(void)state;
	park(&q, 1, 1, 2, 42);
	assert_int_equal(fixture_queue(&f, q).waiting_workers, 1);
	expect_no_offer();
	fixture_job(&f, p);
	expect_no_offer();
	fixture_job(&f, q);
	expect_offer(2, 42, (const uint64_t[]){2}, 1);
	assert_int_equal(fixture_queue(&f, q).waiting_workers, 0);
	fixture_job(&f, q);
	expect_no_offer();
}

/* A claim that waits is served once, with all that came in the turn, up to what it asked for. */
static void a_batch_for_who_waits(void **state)
{
	struct ask asks[4];

	(void)state;
	park(&q, 1, 3, 1, 7);
	park(&q, 1, 3, 1, 8);
	for (size_t i = 0; i < 4; i++) {
		asks[i] = (struct ask){.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, SLICE("body"))}};
		fixture_send(&f, &asks[i], 0);
	}
	fixture_settle(&f);
	expect_offer(1, 7, (const uint64_t[]){1, 2, 3}, 3);
	expect_offer(1, 8, (const uint64_t[]){4}, 1);
	expect_no_offer();
	for (size_t i = 0; i < 4; i++)
		ask_deinit(&asks[i]);
}

static void first_come_first_served_across_threads(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 12; i++)
		park(&q, 1, 1, (i * 5 + 1) % FIXTURE_THREADS, 100 + i);
	for (unsigned i = 0; i < 12; i++) {
		uint64_t number = fixture_job(&f, q).number;

		expect_offer((i * 5 + 1) % FIXTURE_THREADS, 100 + i, &number, 1);
		expect_no_offer();
	}
}

/* Who asks for the first time does not overtake who waits, also within a turn. */
static void no_overtaking(void **state)
{
	struct ask submit = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, SLICE("body"))}};
	struct ask late = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};

	(void)state;
	park(&q, 1, 1, 1, 5);
	fixture_send(&f, &submit, 0);
	fixture_send(&f, &late, 0); /* before anything was settled */
	fixture_settle(&f);
	assert_int_equal(late.c.outcome, OUTCOME_EMPTY);
	expect_offer(1, 5, (const uint64_t[]){1}, 1);
	ask_deinit(&submit);
	ask_deinit(&late);
}

static void waiting_at_several_queues(void **state)
{
	const struct slice queues[] = {q, p};

	(void)state;
	park(queues, 2, 1, 0, 1);
	park(&p, 1, 1, 0, 2);
	assert_int_equal(fixture_queue(&f, p).waiting_workers, 2);
	fixture_job(&f, p);
	expect_offer(0, 1, (const uint64_t[]){1}, 1); /* it waits longest */
	assert_int_equal(fixture_queue(&f, q).waiting_workers, 0);
	fixture_job(&f, q);
	expect_no_offer();
	fixture_job(&f, p);
	expect_offer(0, 2, (const uint64_t[]){3}, 1);
}

/* The same queue named twice, for what that is worth. */
static void one_queue_twice(void **state)
{
	const struct slice queues[] = {q, q};

	(void)state;
	park(queues, 2, 2, 0, 1);
	fixture_job(&f, q);
	expect_offer(0, 1, (const uint64_t[]){1}, 1);
	park(queues, 2, 2, 0, 2);
	assert_int_equal(cancel_claim(0, 2), OUTCOME_OK);
	assert_int_equal(fixture_queue(&f, q).waiting_workers, 0);
}

static void canceled_claims(void **state)
{
	(void)state;
	park(&q, 1, 1, 1, 9);
	park(&q, 1, 1, 2, 9); /* another thread's numbers are its own */
	assert_int_equal(cancel_claim(1, 9), OUTCOME_OK);
	assert_int_equal(cancel_claim(1, 9), OUTCOME_OFFERED); /* not there any more: as if it had been offered */
	fixture_job(&f, q);
	expect_offer(2, 9, (const uint64_t[]){1}, 1);
	expect_no_offer();
}

/* The cancel crosses the offer, which wins: it is on its way already. */
static void cancel_against_offer(void **state)
{
	struct ask cancel = {.c = {.kind = COMMAND_CLAIM_CANCEL, .in.claim_cancel.claim_id = 3}};
	struct ask submit = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(q, SLICE("body"))}};

	(void)state;
	park(&q, 1, 1, 1, 3);
	f.hold = true;
	fixture_send(&f, &submit, 0);
	fixture_settle(&f);
	assert_null(fixture_take_offer(&f, 1)); /* it is not durable yet */
	assert_int_equal(fixture_ask(&f, &cancel, 1), OUTCOME_OFFERED);
	fixture_sync(&f);
	expect_offer(1, 3, (const uint64_t[]){1}, 1);
	ask_deinit(&submit);
	/* In the turn of the submit, but before waiting claims are served: the cancel wins. */
	f.hold = false;
	park(&q, 1, 1, 1, 3);
	fixture_send(&f, &submit, 0);
	fixture_send(&f, &cancel, 1);
	fixture_settle(&f);
	assert_int_equal(cancel.c.outcome, OUTCOME_OK);
	expect_no_offer();
	assert_int_equal(fixture_claim(&f, q).job.number, 2);
	ask_deinit(&submit);
}

static void too_many_claims(void **state)
{
	struct sequencer_config config = f.config;
	struct claim_in in = claim_of(&q);
	struct ask ask;

	(void)state;
	config.claims_max = 2;
	sequencer_configure(f.s, &config);
	park(&q, 1, 1, 0, 1);
	park(&q, 1, 1, 0, 2);
	in.wait = true;
	in.claim_id = 3;
	assert_int_equal(claim(&ask, in, 0), OUTCOME_FULL);
	cancel_claim(0, 1);
	assert_int_equal(claim(&ask, in, 0), OUTCOME_PARKED);
}

static void what_makes_work_wakes_who_waits(void **state)
{
	struct submit_in in = submit_of(q, SLICE("body"));
	struct grant grant;
	struct worker_in word;
	struct offer *offer;

	(void)state;
	in.delay_ms = 100;
	in.max_attempts = 2;
	park(&q, 1, 1, 0, 1);
	fixture_submit(&f, in);
	expect_no_offer();
	fixture_later(&f, 100);
	expect_offer(0, 1, (const uint64_t[]){1}, 1); /* its delay is over */
	park(&q, 1, 1, 0, 2);
	fixture_later(&f, 5000);
	expect_offer(0, 2, (const uint64_t[]){1}, 1); /* the first one never confirmed */
	fixture_later(&f, 5000);
	grant = fixture_run(&f, q);
	park(&q, 1, 1, 0, 3);
	assert_int_equal(fixture_tell(&f, COMMAND_RELEASE, worker_of(&grant)), OUTCOME_OK);
	expect_offer(0, 3, (const uint64_t[]){1}, 1); /* given back */
	fixture_later(&f, 5000);
	grant = fixture_run(&f, q);
	park(&q, 1, 1, 0, 4);
	word = worker_of(&grant);
	word.retry = true;
	word.delay_ms = 0;
	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, word), OUTCOME_OK);
	offer = fixture_take_offer(&f, 0);
	assert_true(offer && offer->claim_id == 4 && offer->leases[0].attempt == 2); /* to be tried again at once */
	message_free(&offer->message);
}

static void the_lease_ran_out(void **state)
{
	struct offer *offer;

	(void)state;
	fixture_job(&f, q);
	fixture_run(&f, q);
	park(&q, 1, 1, 3, 1);
	fixture_later(&f, 9999);
	expect_no_offer();
	fixture_later(&f, 1);
	offer = fixture_take_offer(&f, 3);
	assert_true(offer && offer->leases[0].attempt == 2 && offer->leases[0].view->timeouts == 1);
	message_free(&offer->message);
}

static void kicked(void **state)
{
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	fixture_tell(&f, COMMAND_FAIL, worker_of(&grant));
	park(&q, 1, 1, 3, 1);
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	expect_offer(3, 1, (const uint64_t[]){1}, 1);
}

static void paused(void **state)
{
	struct ask ask;

	(void)state;
	assert_int_equal(fixture_pause(&f, q, true), OUTCOME_OK);
	fixture_job(&f, q);
	assert_int_equal(claim(&ask, claim_of(&q), 0), OUTCOME_EMPTY);
	ask_deinit(&ask);
	park(&q, 1, 1, 1, 1);
	expect_no_offer();
	assert_int_equal(fixture_pause(&f, q, false), OUTCOME_OK);
	expect_offer(1, 1, (const uint64_t[]){1}, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_lease),
		TEST(a_lease_of_the_workers_choice),
		TEST(nothing_there),
		TEST(batches),
		TEST(queues_in_order_of_preference),
		TEST(parked_then_offered),
		TEST(a_batch_for_who_waits),
		TEST(first_come_first_served_across_threads),
		TEST(no_overtaking),
		TEST(waiting_at_several_queues),
		TEST(one_queue_twice),
		TEST(canceled_claims),
		TEST(cancel_against_offer),
		TEST(too_many_claims),
		TEST(what_makes_work_wakes_who_waits),
		TEST(the_lease_ran_out),
		TEST(kicked),
		TEST(paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
