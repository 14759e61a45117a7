/* Transactions of Kafka producers: what is committed is read, what is aborted is told so, and each ends once, whatever happens
 * between. */
#include "sequencer/txn_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

static struct fixture twin;

static int64_t stable_end(uint32_t partition)
{
	struct offset_partition p = {.topic.name = T_NAME, .partition = partition, .at = OFFSET_LATEST};
	struct ask ask = {
		.c = {.kind = COMMAND_LIST_OFFSETS, .in.list_offsets = {.partitions = &p, .count = 1, .committed = true}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return p.offset;
}

/* --- */

static void committed_or_aborted(void **state)
{
	struct writer a = {0}, b = {0};

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(init(&b, SLICE("b")), OUTCOME_OK);
	assert_int_equal(write_to(&a, 0, "x"), OUTCOME_TXN); /* not in it */
	assert_int_equal(end(&a, true), OUTCOME_TXN);
	assert_int_equal(add(&a, 0), OUTCOME_OK);
	assert_int_equal(add(&b, 0), OUTCOME_OK);
	assert_int_equal(add(&b, 3), OUTCOME_PARTITIONS);
	assert_int_equal(write_to(&a, 0, "a1"), OUTCOME_OK);
	assert_int_equal(write_to(&b, 0, "b1"), OUTCOME_OK);
	assert_int_equal(write_to(&a, 0, "a2"), OUTCOME_OK);
	assert_true(stable_end(0) == 0);
	expect_committed(0, "");
	assert_int_equal(end(&a, true), OUTCOME_OK);
	assert_true(stable_end(0) == 1);
	expect_committed(0, "a1 ");
	assert_int_equal(end(&b, false), OUTCOME_OK);
	assert_true(stable_end(0) == 5);
	expect_committed(0, "a1 a2 ");
	assert_int_equal(end(&b, false), OUTCOME_OK); /* repeated */
	assert_int_equal(end(&b, true), OUTCOME_TXN);
	/* The next ones go on where these ended. */
	assert_int_equal(add(&b, 0), OUTCOME_OK);
	assert_int_equal(write_to(&b, 0, "b2"), OUTCOME_OK);
	assert_int_equal(end(&b, true), OUTCOME_OK);
	expect_committed(0, "a1 a2 b2 ");
	expect_same_after_replay(false);
	while (fixture_checkpoint(&f, 2))
		;
	expect_same_after_replay(true);
}

/* librdkafka 2.0 gives up a batch whose answer it did not hear when it aborts, and gives its number to the next one. */
static void a_number_used_again_in_the_next_transaction_is_no_repetition(void **state)
{
	struct writer a = {0};

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(add(&a, 0), OUTCOME_OK);
	assert_int_equal(write_to(&a, 0, "given up"), OUTCOME_OK);
	a.seq[0]--;
	assert_int_equal(write_to(&a, 0, "given up"), OUTCOME_SAME);
	assert_int_equal(end(&a, false), OUTCOME_OK);
	assert_int_equal(add(&a, 0), OUTCOME_OK);
	a.seq[0] = 0;
	assert_int_equal(write_to(&a, 0, "another"), OUTCOME_GAP);
	a.seq[0] = 1;
	assert_int_equal(write_to(&a, 0, "next"), OUTCOME_OK);
	a.seq[0] = 0;
	assert_int_equal(write_to(&a, 0, "another"), OUTCOME_GAP);
	a.seq[0] = 1;
	assert_int_equal(write_to(&a, 0, "next"), OUTCOME_SAME);
	assert_int_equal(end(&a, true), OUTCOME_OK);
	expect_committed(0, "next ");
}

static void a_marker_wakes_who_waits(void **state)
{
	struct fetch_partition p = {.topic.name = T_NAME, .max_bytes = 1 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH,
				.in.fetch = {.partitions = &p,
					     .count = 1,
					     .min_bytes = 1,
					     .max_bytes = 1 << 20,
					     .committed = true,
					     .watch = true}}};
	struct writer a = {0};

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(add(&a, 0), OUTCOME_OK);
	assert_int_equal(write_to(&a, 0, "a1"), OUTCOME_OK);
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_PARKED);
	ask_deinit(&ask);
	assert_int_equal(end(&a, true), OUTCOME_OK);
	assert_true(f.sent_count > 0 && f.s->stats.wakes_total == 1);
	ask.back = 0;
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_OK);
	assert_non_null(p.view);
	ask_deinit(&ask);
	fixture_drop_sent(&f);
}

static void who_takes_over_fences_who_was_there(void **state)
{
	struct writer a = {0}, again = {0};

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(add(&a, 0), OUTCOME_OK);
	assert_int_equal(write_to(&a, 0, "old"), OUTCOME_OK);
	assert_int_equal(init(&again, SLICE("a")), OUTCOME_OK);
	assert_true(again.producer_id == a.producer_id && again.epoch > a.epoch);
	assert_true(stable_end(0) == 2); /* what was open is aborted */
	assert_int_equal(write_to(&a, 0, "old"), OUTCOME_STALE);
	assert_int_equal(add(&a, 0), OUTCOME_FENCED);
	assert_int_equal(end(&a, true), OUTCOME_FENCED);
	assert_int_equal(add(&again, 0), OUTCOME_OK);
	assert_int_equal(write_to(&again, 0, "new"), OUTCOME_OK);
	assert_int_equal(end(&again, true), OUTCOME_OK);
	expect_committed(0, "new ");
	/* One that says who it is, and is not any more. */
	assert_int_equal(init_as(&a, (struct producer_id_in){.transactional_id = SLICE("a"),
							     .timeout_ms = 1,
							     .producer_id = a.producer_id,
							     .producer_epoch = a.epoch}),
			 OUTCOME_FENCED);
	assert_int_equal(init_as(&again, (struct producer_id_in){.transactional_id = SLICE("a"),
								 .timeout_ms = 1,
								 .producer_id = again.producer_id,
								 .producer_epoch = again.epoch}),
			 OUTCOME_OK);
	again.producer_id++;
	assert_int_equal(add(&again, 0), OUTCOME_NOT_FOUND);
	expect_same_after_replay(false);
}

static void what_takes_too_long_is_aborted(void **state)
{
	struct writer a = {0};

	(void)state;
	assert_int_equal(init_as(&a, (struct producer_id_in){.transactional_id = SLICE("a"), .timeout_ms = 60001}),
			 OUTCOME_TIMEOUT);
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(add(&a, 1), OUTCOME_OK);
	assert_int_equal(write_to(&a, 1, "x"), OUTCOME_OK);
	fixture_later(&f, 9999);
	assert_true(stable_end(1) == 0);
	fixture_later(&f, 1);
	assert_true(stable_end(1) == 2);
	expect_committed(1, "");
	assert_int_equal(end(&a, true), OUTCOME_FENCED);
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_true(sequencer_next_ms(f.s) > f.now_ms + 60000);
	expect_same_after_replay(false);
}

static void epochs_come_to_an_end(void **state)
{
	struct writer a = {0};
	int64_t first;

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	first = a.producer_id;
	for (unsigned i = 1; i <= INT16_MAX; i++) {
		assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
		fixture_drop_sent(&f);
		f.entry_count = 100; /* there is no room for all of them */
	}
	assert_true(a.producer_id > first && a.epoch == 0);
}

static void ids_are_forgotten(void **state)
{
	struct writer writers[4] = {0};

	(void)state;
	assert_int_equal(init(&writers[0], SLICE("0")), OUTCOME_OK);
	assert_int_equal(add(&writers[0], 0), OUTCOME_OK);
	fixture_later(&f, 1);
	assert_int_equal(init(&writers[1], SLICE("1")), OUTCOME_OK);
	fixture_later(&f, 1);
	assert_int_equal(init(&writers[2], SLICE("2")), OUTCOME_OK);
	assert_int_equal(init(&writers[3], SLICE("3")), OUTCOME_OK);
	assert_int_equal(add(&writers[1], 0), OUTCOME_NOT_FOUND); /* 0 is open, so 1 went */
	assert_int_equal(add(&writers[2], 0), OUTCOME_OK);
	assert_int_equal(add(&writers[3], 0), OUTCOME_OK);
	assert_int_equal(init(&writers[1], SLICE("1")), OUTCOME_FULL);
	expect_same_after_replay(false);
}

static size_t open_ones_of(const struct fixture *fixture)
{
	size_t count = 0;

	list_each (node, &fixture->s->topics.txns)
		count += txn_is_open(container_of(node, struct txn, peers));
	return count;
}

/* The journal ends between the decision and what follows from it: the next start goes on. */
static void a_crash_amid_the_end(void **state)
{
	struct writer a = {0};
	size_t decided, whole;

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(add(&a, i), OUTCOME_OK);
		assert_int_equal(write_to(&a, i, "x"), OUTCOME_OK);
	}
	decided = f.entry_count;
	assert_int_equal(end(&a, true), OUTCOME_OK);
	whole = f.entry_count;
	assert_true(whole == decided + 5);
	for (size_t i = decided + 1; i <= whole; i++) {
		f.entry_count = i;
		fixture_twin(&f, &twin, false);
		f.entry_count = whole;
		sequencer_turn(twin.s, f.now_ms, 100);
		assert_true(open_ones_of(&twin) == 0);
		for (uint32_t n = 0; n < 3; n++)
			assert_true(stream_stable(stream_find_number(&twin.s->streams, n + 1)) == 2);
		sequencer_check(twin.s);
		fixture_deinit(&twin);
	}
}

/* --- random lives --- */

enum { STEPS = 2000, WRITERS = 3 };

struct life {
	struct writer writer;
	struct buf pending[3]; /* what its open transaction has written, by partition */
	bool open;
};

static struct life lives[WRITERS];
static struct buf committed[3];
static const char *const ids[WRITERS] = {"one", "two", "three"};

static void life_writes(struct test_random *random, struct life *life)
{
	uint32_t partition = (uint32_t)test_random_below(random, 3);
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)test_random_below(random, 1000000));
	assert_int_equal(add(&life->writer, partition), OUTCOME_OK);
	assert_int_equal(write_to(&life->writer, partition, text), OUTCOME_OK);
	buf_printf(&life->pending[partition], "%s ", text);
	life->open = true;
}

static void life_ends(struct life *life, bool commit)
{
	for (unsigned i = 0; i < 3; i++) {
		if (commit)
			buf_append_slice(&committed[i], buf_slice(&life->pending[i]));
		buf_clear(&life->pending[i]);
	}
	life->open = false;
}

static void life_step(struct test_random *random, unsigned i)
{
	struct life *life = &lives[i];
	bool commit = test_random_below(random, 3) > 0;

	switch (test_random_below(random, 8)) {
	case 0:
	case 1:
		assert_int_equal(end(&life->writer, commit), life->open ? OUTCOME_OK : OUTCOME_TXN);
		if (life->open) {
			life_ends(life, commit);
			assert_int_equal(init(&life->writer, slice_str(ids[i])), OUTCOME_OK);
		}
		break;
	case 2:
		if (test_random_below(random, 4))
			break;
		assert_int_equal(init(&life->writer, slice_str(ids[i])), OUTCOME_OK);
		life_ends(life, false);
		break;
	default:
		life_writes(random, life);
		break;
	}
}

/* Transactions are committed in the order of their records only where nobody else writes between: as sets they are the same. */
static uint64_t sum_of(const char *words)
{
	uint64_t sum = 0, number = 0;

	for (; *words; words++) {
		if (*words != ' ') {
			number = number * 10 + (uint64_t)(*words - '0');
			continue;
		}
		sum += number * number + 1;
		number = 0;
	}
	return sum;
}

static void expect_all_committed(void)
{
	for (uint32_t i = 0; i < 3; i++) {
		read_committed(i);
		buf_append_char(&committed[i], '\0');
		assert_true(sum_of(mine.ptr) == sum_of(committed[i].ptr));
		committed[i].len--;
	}
}

static void a_random_life(void **state)
{
	struct test_random random = test_random_start("transactions");

	(void)state;
	f.config.gather_chunks = 16;
	sequencer_configure(f.s, &f.config);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(init(&lives[i].writer, slice_str(ids[i])), OUTCOME_OK);
	for (unsigned step = 0; step < STEPS; step++) {
		life_step(&random, (unsigned)test_random_below(&random, WRITERS));
		if (step % 16 == 0)
			sequencer_check(f.s);
		if (step % 7 == 0)
			(void)fixture_checkpoint(&f, 1);
		if (step % 500 == 499) {
			expect_same_after_replay(false);
			while (fixture_checkpoint(&f, 100))
				;
			life_step(&random, 0);
			expect_same_after_replay(true);
			fixture_checkpoint_drop(&f);
		}
		fixture_drop_sent(&f);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		if (lives[i].open) {
			assert_int_equal(end(&lives[i].writer, true), OUTCOME_OK);
			life_ends(&lives[i], true);
		}
		for (unsigned n = 0; n < 3; n++)
			buf_deinit(&lives[i].pending[n]);
	}
	expect_all_committed();
	for (unsigned i = 0; i < 3; i++)
		buf_deinit(&committed[i]);
}

/* --- without memory --- */

static enum outcome try_init(struct writer *writer)
{
	return init(writer, SLICE("a"));
}

static enum outcome try_add(struct writer *writer)
{
	return add(writer, 0);
}

static void until_ok(struct writer *writer, enum outcome (*once)(struct writer *writer))
{
	enum outcome outcome = OUTCOME_NO_MEMORY;

	for (uint64_t n = 1; outcome != OUTCOME_OK; n++) {
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		mem_fail_nth(n);
		outcome = once(writer);
		mem_fail_nth(0);
		sequencer_check(f.s);
	}
}

static void every_allocation(void **state)
{
	struct writer a = {0};

	(void)state;
	until_ok(&a, try_init);
	until_ok(&a, try_add);
	/* Once decided it is done, now or a bit later. */
	for (uint64_t n = 1, done = 0; done < 3; n++) {
		enum outcome outcome;
		size_t open;

		assert_int_equal(add(&a, 0), OUTCOME_OK);
		assert_int_equal(write_to(&a, 0, "x"), OUTCOME_OK);
		mem_fail_nth(n);
		outcome = end(&a, true);
		mem_fail_nth(0);
		sequencer_check(f.s);
		if (outcome != OUTCOME_OK) {
			assert_int_equal(outcome, OUTCOME_NO_MEMORY);
			assert_int_equal(end(&a, true), OUTCOME_OK);
		}
		open = open_ones_of(&f);
		done = open ? 0 : done + 1;
		if (open)
			assert_int_equal(add(&a, 0), OUTCOME_BUSY);
		fixture_later(&f, 1000);
		assert_true(open_ones_of(&f) == 0);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, txn_setup, txn_teardown)
	const struct CMUnitTest tests[] = {
		TEST(committed_or_aborted),
		TEST(a_number_used_again_in_the_next_transaction_is_no_repetition),
		TEST(a_marker_wakes_who_waits),
		TEST(who_takes_over_fences_who_was_there),
		TEST(what_takes_too_long_is_aborted),
		TEST(epochs_come_to_an_end),
		TEST(ids_are_forgotten),
		TEST(a_crash_amid_the_end),
		TEST(a_random_life),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
