/* State is a fold of the journal: the recorded events, or a checkpoint taken in the middle of it all and the events behind it,
 * give the same state; and the tidier moves bytes without changing it. */
#include "sequencer/sequencer_fixture.h"

#include "base/testing.h"

static struct fixture f, twin;
static struct buf mine, other;
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
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	assert_true(sequencer_last_ms(twin.s) <= f.now_ms);
	fixture_deinit(&twin);
}

/* --- a random life --- */

enum { HANDS = 8 };

struct life {
	struct test_random random;
	struct grant hands[HANDS]; /* jobs that workers have, or had */
	struct job_ref jobs[HANDS];
};

static struct slice some_queue(struct life *life)
{
	static const struct slice queues[] = {{"a", 1}, {"b", 1}, {"c", 1}};

	return queues[test_random_below(&life->random, ARRAY_COUNT(queues))];
}

static void some_submit(struct life *life)
{
	struct submit_in in = submit_of(some_queue(life), slice_from("some body", test_random_below(&life->random, 10)));
	char name[4] = {(char)('a' + test_random_below(&life->random, 20))};

	in.delay_ms = test_random_below(&life->random, 3) ? 0 : test_random_below(&life->random, 3000);
	in.cancel_after_ms = test_random_below(&life->random, 5) ? 0 : 1 + test_random_below(&life->random, 20000);
	in.retain_ms = test_random_below(&life->random, 20000);
	in.lease_ms = 100 + (uint32_t)test_random_below(&life->random, 6000);
	in.priority = (uint32_t)test_random_below(&life->random, 3);
	in.max_attempts = 1 + (uint32_t)test_random_below(&life->random, 3);
	if (test_random_below(&life->random, 3) == 0)
		in.name = slice_from(name, 1);
	if (test_random_below(&life->random, 3) == 0)
		in.key = slice_from(name, 1);
	life->jobs[test_random_below(&life->random, HANDS)] = fixture_submit(&f, in);
}

static void some_claim(struct life *life)
{
	struct slice queue = some_queue(life);
	struct ask ask = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&queue)}};
	struct grant *hand = &life->hands[test_random_below(&life->random, HANDS)];

	if (test_random_below(&life->random, 3) == 0)
		ask.c.in.claim.attempt_id = slice_from("xyz", 1 + test_random_below(&life->random, 3));
	if (fixture_ask(&f, &ask, 0) == OUTCOME_OK) {
		memcpy(hand->job.handle, ask.c.out.leases[0].view->handle, JOB_HANDLE_CHARS);
		hand->job.number = ask.c.out.leases[0].number;
		hand->lease = ask.c.out.leases[0];
		hand->lease.view = NULL;
		if (test_random_below(&life->random, 2))
			fixture_delivered(&f, hand, test_random_below(&life->random, 4) > 0);
	}
	ask_deinit(&ask);
}

static void some_word(struct life *life)
{
	static const enum command_kind words[] = {COMMAND_BEAT, COMMAND_DONE, COMMAND_FAIL, COMMAND_RELEASE};
	struct worker_in in = worker_of(&life->hands[test_random_below(&life->random, HANDS)]);

	in.progress = test_random_below(&life->random, 2) ? -1 : 0.5;
	in.message = test_random_below(&life->random, 2) ? (struct slice){0} : SLICE("message");
	in.body = slice_from("some result", test_random_below(&life->random, 12));
	in.content_type = SLICE("text/html");
	in.error = SLICE("\"error\"");
	in.retry = test_random_below(&life->random, 2);
	in.delay_ms = test_random_below(&life->random, 2) ? UINT64_MAX : test_random_below(&life->random, 1000);
	fixture_tell(&f, words[test_random_below(&life->random, ARRAY_COUNT(words))], in);
}

static void some_rescue(struct life *life)
{
	size_t last = f.entry_count < 60 ? f.entry_count : 60; /* those in which something may live */
	size_t at = f.entry_count - 1 - test_random_below(&life->random, last);

	assert_int_equal(sequencer_rescue(f.s, &f.entries[at].replay), 0);
	fixture_settle(&f);
}

static void step(struct life *life)
{
	struct job_ref *job = &life->jobs[test_random_below(&life->random, HANDS)];
	struct slice queue = some_queue(life);
	struct ask kick = {.c = {.kind = COMMAND_KICK, .in.kick = {queue, 2}}};

	switch (test_random_below(&life->random, 16)) {
	case 0:
	case 1:
	case 2:
		some_submit(life);
		return;
	case 3:
	case 4:
	case 5:
	case 6:
		some_claim(life);
		return;
	case 7:
	case 8:
	case 9:
	case 10:
		some_word(life);
		return;
	case 11:
		fixture_cancel(&f, job, test_random_below(&life->random, 2));
		return;
	case 12:
		fixture_pause(&f, queue, test_random_below(&life->random, 3) == 0);
		return;
	case 13:
		some_rescue(life);
		return;
	case 14:
		fixture_ask(&f, &kick, 0);
		return;
	default:
		fixture_later(&f, test_random_below(&life->random, 2000));
		return;
	}
}

static void events_give_the_state(void **state)
{
	struct life life = {.random = test_random_start("replay")};

	(void)state;
	f.config.tombstone_ms = 5000;
	sequencer_configure(f.s, &f.config);
	for (int n = 0; n < 3000; n++) {
		step(&life);
		if (n % 100 == 0)
			expect_same_state(false);
		if (f.sent_count > FIXTURE_SENT / 2)
			fixture_drop_sent(&f);
	}
	expect_same_state(false);
}

/* The checkpoint goes on a few jobs at a time while everything changes under it. */
static void checkpoint_in_the_middle(void **state)
{
	struct life life = {.random = test_random_start("checkpoint")};

	(void)state;
	f.config.tombstone_ms = 5000;
	sequencer_configure(f.s, &f.config);
	for (int round = 0; round < 40; round++) {
		for (size_t n = test_random_below(&life.random, 120); n > 0; n--)
			step(&life);
		fixture_checkpoint_drop(&f);
		while (fixture_checkpoint(&f, 1 + (unsigned)test_random_below(&life.random, 4))) {
			for (size_t n = test_random_below(&life.random, 6); n > 0; n--)
				step(&life);
		}
		expect_same_state(true);
		for (size_t n = test_random_below(&life.random, 60); n > 0; n--)
			step(&life);
		expect_same_state(true);
		fixture_drop_sent(&f);
	}
}

/* --- single things --- */

static void handles_and_leases_outlive_a_restart(void **state)
{
	struct job_ref ready = fixture_job(&f, SLICE("p"));
	struct grant running, offered;
	struct worker_in in;

	(void)state;
	fixture_job(&f, q);
	running = fixture_run(&f, q);
	fixture_job(&f, q);
	offered = fixture_claim(&f, q);
	fixture_twin(&f, &twin, false);
	assert_int_equal(fixture_look(&twin, &ready).state, JOB_READY);
	in = worker_of(&running);
	in.body = SLICE("result");
	assert_int_equal(fixture_tell(&twin, COMMAND_DONE, in), OUTCOME_OK);
	/* Whether the offer arrived nobody knows: it counts as a lease, and lasts as long. */
	assert_true(sequencer_next_ms(twin.s) == f.now_ms + 10000);
	fixture_later(&twin, 9999);
	assert_int_equal(fixture_look(&twin, &offered.job).state, JOB_OFFERED);
	assert_int_equal(fixture_tell(&twin, COMMAND_BEAT, worker_of(&offered)), OUTCOME_OK);
	assert_int_equal(fixture_look(&twin, &offered.job).state, JOB_RUNNING);
	fixture_deinit(&twin);
	fixture_twin(&f, &twin, false);
	fixture_later(&twin, 10000);
	assert_true(fixture_look(&twin, &offered.job).state == JOB_READY && fixture_look(&twin, &offered.job).timeouts == 1);
	fixture_deinit(&twin);
}

static void keys_outlive_a_restart(void **state)
{
	struct submit_in in = submit_of(q, body);
	struct job_ref job;

	(void)state;
	in.key = SLICE("key");
	job = fixture_submit(&f, in);
	while (fixture_checkpoint(&f, 10))
		;
	for (int from_checkpoint = 0; from_checkpoint < 2; from_checkpoint++) {
		struct job_ref again;

		fixture_twin(&f, &twin, from_checkpoint);
		again = fixture_submit(&twin, in);
		assert_true(again.outcome == OUTCOME_SAME && again.number == job.number);
		in.priority++;
		assert_int_equal(fixture_submit(&twin, in).outcome, OUTCOME_MISMATCH);
		in.priority--;
		fixture_deinit(&twin);
	}
}

/* No number is given twice, though all jobs are gone. */
static void numbers_go_on(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_cancel(&f, &job, true);
	while (fixture_checkpoint(&f, 10))
		;
	fixture_twin(&f, &twin, true);
	assert_int_equal(fixture_job(&twin, q).number, job.number + 1);
	assert_int_equal(fixture_look(&twin, &job).revision, 0);
	fixture_deinit(&twin);
}

/* The clock may have been set back: time in the journal does not run backwards. */
static void time_goes_on(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	fixture_later(&f, 5000);
	fixture_cancel(&f, &job, false);
	fixture_twin(&f, &twin, false);
	assert_true(sequencer_last_ms(twin.s) == f.now_ms);
	fixture_deinit(&twin);
	f.now_ms -= 100000;
	fixture_twin(&f, &twin, false);
	job = fixture_job(&twin, q);
	assert_true(fixture_look(&twin, &job).created_ms == f.now_ms + 100000);
	fixture_deinit(&twin);
	f.now_ms += 100000;
}

static void damage_is_refused(void **state)
{
	struct store_replay entry = {.type = 200, .position = 1, .end = 1 << 20};

	(void)state;
	fixture_twin(&f, &twin, false);
	assert_true(sequencer_replay(twin.s, &entry) < 0);
	entry.type = 2;
	entry.fields = SLICE("\x01\x01q");
	assert_true(sequencer_replay(twin.s, &entry) < 0);
	fixture_deinit(&twin);
}

/* A queue that only a waiting claim keeps has no past: after a restart, in which there are no claims, it would have none. */
static void claims_keep_no_figures(void **state)
{
	struct ask park = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	struct submit_in in = submit_of(q, body);
	struct job_ref job;

	(void)state;
	in.delay_ms = 1000;
	park.c.in.claim.wait = true;
	assert_int_equal(fixture_ask(&f, &park, 0), OUTCOME_PARKED);
	job = fixture_submit(&f, in);
	fixture_cancel(&f, &job, true);
	assert_int_equal(fixture_queue(&f, q).submitted, 0);
	fixture_submit(&f, in);
	assert_int_equal(fixture_queue(&f, q).submitted, 1);
	expect_same_state(false);
	while (fixture_checkpoint(&f, 10))
		;
	expect_same_state(true);
}

/* --- rescue --- */

static const struct store_replay *last_entry(void)
{
	return &f.entries[f.entry_count - 1].replay;
}

static void rescue_moves_bodies(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct store_replay submitted = *last_entry(), done;
	struct job_view view = fixture_look(&f, &job);
	struct grant grant;
	struct worker_in in;
	size_t entries;

	(void)state;
	assert_int_equal(sequencer_rescue(f.s, &submitted), 0);
	fixture_settle(&f);
	assert_true(fixture_look(&f, &job).body.place == last_entry()->body_place && f.body_count == 1);
	assert_true(fixture_look(&f, &job).revision == view.revision && fixture_look(&f, &job).body.crc == view.body.crc);
	entries = f.entry_count;
	assert_int_equal(sequencer_rescue(f.s, &submitted), 0); /* nothing there is alive any more */
	assert_int_equal(f.entry_count, entries);
	submitted = *last_entry();
	assert_int_equal(sequencer_rescue(f.s, &submitted), 0); /* what was moved can be moved again */
	fixture_settle(&f);
	assert_true(f.entry_count == entries + 1 && f.body_count == 1);
	grant = fixture_run(&f, q);
	in = worker_of(&grant);
	in.body = SLICE("result");
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, in), OUTCOME_OK);
	done = *last_entry();
	entries = f.entry_count;
	assert_int_equal(sequencer_rescue(f.s, &submitted), 0); /* the body of a finished job is dead */
	assert_int_equal(f.entry_count, entries);
	assert_int_equal(sequencer_rescue(f.s, &done), 0);
	fixture_settle(&f);
	assert_true(fixture_look(&f, &job).result.place == last_entry()->body_place && f.body_count == 1);
	expect_same_state(false);
}

/* The bytes themselves, after all that moving. */
static void rescued_bytes_are_the_same(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&q)}};
	char bytes[4];

	(void)state;
	fixture_job(&f, q);
	for (int i = 0; i < 3; i++) {
		struct store_replay entry = *last_entry();

		assert_int_equal(sequencer_rescue(f.s, &entry), 0);
		fixture_settle(&f);
	}
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.leases[0].view->pin->ops->read_whole(ask.c.out.leases[0].view->pin, bytes), 0);
	assert_memory_equal(bytes, "body", 4);
	ask_deinit(&ask);
}

static void rescue_leaves_the_rest_alone(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct store_replay entry = *last_entry(), strange;
	size_t entries = f.entry_count;

	(void)state;
	strange = entry;
	strange.body_bytes = 0;
	assert_int_equal(sequencer_rescue(f.s, &strange), 0);
	strange = entry;
	strange.body_place += 8;
	assert_int_equal(sequencer_rescue(f.s, &strange), 0);
	fixture_cancel(&f, &job, true);
	entries = f.entry_count;
	assert_int_equal(sequencer_rescue(f.s, &entry), 0);
	assert_int_equal(f.entry_count, entries);
	/* Without a disk: later. */
	fixture_job(&f, q);
	entry = *last_entry();
	f.broken = true;
	assert_int_not_equal(sequencer_rescue(f.s, &entry), 0);
	f.broken = false;
	assert_int_equal(sequencer_rescue(f.s, &entry), 0);
	fixture_settle(&f);
	assert_int_equal(f.pins, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(events_give_the_state),
		TEST(checkpoint_in_the_middle),
		TEST(handles_and_leases_outlive_a_restart),
		TEST(keys_outlive_a_restart),
		TEST(numbers_go_on),
		TEST(time_goes_on),
		TEST(damage_is_refused),
		TEST(claims_keep_no_figures),
		TEST(rescue_moves_bodies),
		TEST(rescued_bytes_are_the_same),
		TEST(rescue_leaves_the_rest_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
