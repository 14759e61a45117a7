/* Partitions are compacted: of each key the last record stays where it was, and what is left out is let go. */
#include "compaction/compaction_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "stream/stream.h"

#include <errno.h>

static const struct stream *partition(void)
{
	return stream_at(SLICE("t/0"));
}

static void the_last_of_each_key_stays(void **state)
{
	size_t before;

	(void)state;
	put("a=1 b=1 c=1");
	put("a=2 b=2");
	put("a=3");
	put("d=1 a=4");
	before = f.body_count;
	put_last();
	expect_kept("0:a=1 1:b=1 2:c=1 3:a=2 4:b=2 5:a=3 6:d=1 7:a=4 ");
	assert_int_equal(compact_now(), 0); /* not before its time */
	compact_later(1000);
	expect_kept("2:c=1 4:b=2 6:d=1 7:a=4 ");
	/* From any offset, one that is gone too, reading goes on behind it. */
	expect_kept_from(3, "4:b=2 6:d=1 7:a=4 ");
	expect_kept_from(5, "6:d=1 7:a=4 ");
	assert_true(f.body_count < before);
	assert_int_equal(partition()->chunk_count, 2);
	assert_int_equal(partition()->more->clean_offset, 8);
	assert_int_equal(passes(), 1);
	expect_same_after_replay(false);
	/* Nothing new: nothing is done. */
	compact_later(10000000);
	assert_int_equal(passes(), 1);
}

static void what_is_clean_is_compacted_again_with_what_came(void **state)
{
	(void)state;
	put("a=1 b=1");
	put("c=1");
	put_last();
	compact_later(1000);
	put("a=2");
	put("a=3 b=2 c=2 d=2 e=2 f=2 g=2 h=2");
	put_last();
	compact_later(1000);
	expect_kept("5:a=3 6:b=2 7:c=2 8:d=2 9:e=2 10:f=2 11:g=2 12:h=2 ");
	expect_same_after_replay(false);
}

static void too_little_is_dirty(void **state)
{
	(void)state;
	assert_int_equal(set_topic(T_NAME, SLICE("min.cleanable.dirty.ratio"), SLICE("0.9")), OUTCOME_OK);
	put("a=1 b=1 c=1 d=1 e=1 f=1");
	put_last();
	compact_later(1000);
	assert_int_equal(partition()->more->clean_offset, 6);
	put("a=2");
	put_last();
	compact_later(1000);
	assert_int_equal(partition()->more->clean_offset, 6);
	assert_int_equal(set_topic(T_NAME, SLICE("min.cleanable.dirty.ratio"), SLICE("0")), OUTCOME_OK);
	compact_later(1000);
	assert_int_equal(partition()->more->clean_offset, 8);
	expect_kept("1:b=1 2:c=1 3:d=1 4:e=1 5:f=1 7:a=2 ");
}

static void not_before_and_not_after(void **state)
{
	(void)state;
	assert_int_equal(set_topic(T_NAME, SLICE("min.cleanable.dirty.ratio"), SLICE("1")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("min.compaction.lag.ms"), SLICE("6000")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("max.compaction.lag.ms"), SLICE("20000")), OUTCOME_OK);
	put("a=1");
	put("a=2");
	put_last();
	compact_later(5999);
	expect_kept("0:a=1 1:a=2 ");
	compact_later(10000);
	expect_kept("0:a=1 1:a=2 "); /* the ratio says no */
	put("a=3");                  /* too young */
	put_last();
	compact_later(4002);
	expect_kept("1:a=2 3:a=3 ");
	expect_same_after_replay(false);
}

/* A null value that nothing follows makes what it deletes go in time all the same. */
static void the_last_one_counts_in_time(void **state)
{
	(void)state;
	assert_int_equal(set_topic(T_NAME, SLICE("max.compaction.lag.ms"), SLICE("20000")), OUTCOME_OK);
	put("a=1 b=1");
	put("c=1");
	put("a b=2 b=3");
	compact_later(1000);
	expect_kept("0:a=1 1:b=1 2:c=1 3:a 4:b=2 5:b=3 ");
	compact_later(18000);
	expect_kept("0:a=1 1:b=1 2:c=1 3:a 4:b=2 5:b=3 ");
	compact_later(1000);
	expect_kept("2:c=1 3:a 4:b=2 5:b=3 ");
	assert_int_equal(partition()->more->clean_offset, 3);
	expect_same_after_replay(false);
	assert_int_equal(compact_now(), 0);
	compact_later(1000000); /* that was all */
	assert_true(passes() <= 2);
	put_last();
	compact_later(1000);
	expect_kept("2:c=1 3:a 5:b=3 ");
	compact_later(61000);
	expect_kept("2:c=1 5:b=3 ");
}

static void null_values_stay_for_a_while(void **state)
{
	(void)state;
	put("a=1 b=1");
	put("a c=1");
	put_last();
	compact_later(1000);
	expect_kept("1:b=1 2:a 3:c=1 ");
	assert_true(partition()->more->horizon_ms > f.now_ms);
	expect_same_after_replay(false);
	compact_later(59000);
	expect_kept("1:b=1 2:a 3:c=1 ");
	fixture_restart(&f);
	compact_later(2000);
	expect_kept("1:b=1 3:c=1 ");
	assert_true(partition()->more->horizon_ms == 0);
	expect_same_after_replay(false);
	/* With all that is left of it. */
	put("b");
	put_last();
	put_last();
	compact_later(1000);
	compact_later(62000);
	expect_kept("3:c=1 ");
}

static void what_has_no_key_goes(void **state)
{
	struct produce_partition p = keyed("a=1 =x b=1");

	(void)state;
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("delete")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("compact")), OUTCOME_OK);
	put_last();
	compact_later(1000);
	expect_kept("0:a=1 2:b=1 ");
}

static void compressed_ones_stay_compressed(void **state)
{
	struct produce_partition p;

	(void)state;
	for (unsigned kind = 1; kind <= 4; kind++) {
		p = keyed_packed("a=1 b=1111111111111111111111111111 c=1", kind);
		assert_int_equal(produce_as(&p), OUTCOME_OK);
	}
	p = keyed_packed("a=2 c=2 a=3", 3);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	put_last();
	compact_later(1000);
	expect_kept("10:b=1111111111111111111111111111 13:c=2 14:a=3 ");
	assert_int_equal(compression_at(10), 4);
	assert_int_equal(compression_at(13), 3);
}

static void what_does_not_open_stays(void **state)
{
	struct produce_partition p = keyed_packed("a=1 b=1", 4);
	uint64_t bytes;

	(void)state;
	p.batch.bytes[70] ^= 0x55;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	bytes = p.batch.size_bytes;
	put("a=2");
	put("a=3");
	put_last();
	compact_later(1000);
	assert_int_equal(partition()->chunk_count, 2);
	assert_int_equal(partition()->more->clean_offset, 4);
	assert_true(partition()->bytes > bytes);
	expect_kept_from(2, "3:a=3 ");
}

/* --- transactions --- */

static void transactions_are_respected(void **state)
{
	struct txn_writer one, two;

	(void)state;
	txn_init(&one, "one");
	txn_init(&two, "two");
	put("a=0 b=0 c=0");
	txn_put(&one, "a=1 b=1");
	txn_put(&two, "b=2 c=2");
	txn_finish(&one, false);
	txn_finish(&two, true);
	put_last();
	assert_int_equal(aborted_told(), 1);
	compact_later(1000);
	expect_kept("0:a=0 5:b=2 6:c=2 ");
	assert_int_equal(aborted_told(), 1);
	expect_same_after_replay(false);
	/* Nothing of the first is left: its marker goes, and it is told no more. The second one's stays. */
	compact_later(62000);
	assert_int_equal(aborted_told(), 0);
	expect_kept("0:a=0 5:b=2 6:c=2 ");
	expect_same_after_replay(false);
	assert_int_equal(partition()->more->horizon_ms, 0);
	/* The same producer goes on, and is not taken for what it was. */
	txn_put(&one, "d=3");
	txn_finish(&one, true);
	put("b=4 c=4");
	put_last();
	compact_later(1000);
	expect_kept("0:a=0 10:d=3 12:b=4 13:c=4 ");
	compact_later(62000);
	expect_kept("0:a=0 10:d=3 12:b=4 13:c=4 ");
	expect_same_after_replay(false);
}

static void what_is_open_is_left_alone(void **state)
{
	struct txn_writer one;

	(void)state;
	txn_init(&one, "one");
	put("a=0");
	put("a=1");
	txn_put(&one, "a=2");
	put("a=3");
	put("a=4");
	put_last();
	compact_later(1000);
	assert_int_equal(partition()->more->clean_offset, 2);
	expect_kept("1:a=1 ");
	txn_finish(&one, false);
	put_last();
	compact_later(1000);
	expect_kept("4:a=4 ");
}

/* A transaction that was open when it was looked at ends, and nobody appends any more. */
static void the_end_of_a_transaction_is_looked_at(void **state)
{
	struct txn_writer one;

	(void)state;
	txn_init(&one, "one");
	txn_put(&one, "a=1");
	put("a=2");
	put_last();
	compact_later(1000);
	assert_int_equal(passes(), 0);
	txn_finish(&one, true);
	compact_later(1000);
	expect_kept("1:a=2 ");
}

/* Else what is before it might go, and whoever reads up to there be told a chunk with nothing for him, again and again. */
static void what_is_open_is_not_gathered(void **state)
{
	struct txn_writer one;

	(void)state;
	f.config.gather_chunks = 4;
	f.config.gather_bytes = 4000;
	fixture_restart(&f);
	txn_init(&one, "one");
	put("a=1");
	put("a=2");
	txn_put(&one, "b=1");
	for (unsigned i = 0; i < 9; i++)
		put("c=1");
	assert_int_equal(partition()->chunk_count, 12);
	txn_finish(&one, true);
	for (unsigned i = 0; i < 4; i++)
		put("c=1");
	assert_true(partition()->chunk_count < 8);
}

/* A step comes too late, since what it read was gathered meanwhile; the one that takes its place knows no less. */
static void a_marker_stays_when_a_step_is_done_again(void **state)
{
	char text[400] = "a=";
	struct txn_writer one;
	struct compact_step *step;
	uint64_t horizon_ms = 0;

	(void)state;
	memset(text + 2, 'x', sizeof(text) - 3);
	f.config.compaction_chunks = 1;
	f.config.gather_chunks = 4;
	f.config.gather_bytes = 1000;
	fixture_restart(&f);
	txn_init(&one, "one");
	txn_put(&one, text); /* so long that it is not gathered */
	txn_finish(&one, true);
	put("b=1");
	put("c=1");
	put_last();
	worker = compaction_new(1 << 16);
	fixture_later(&f, 1000);
	for (unsigned i = 0; i < 4 + 1; i++) /* keys of four; then the record stays */
		compact_step_once();
	step = sequencer_compact_take(f.s);
	assert_non_null(step);
	assert_int_equal(step->chunks[0].offset, 1);
	compaction_run(worker, step);
	for (unsigned i = 0; partition()->chunk_count != 3 && i < 20; i++)
		put("d=1");
	sequencer_compact_give(f.s, step);
	assert_int_equal(partition()->chunk_count, 3);
	while ((step = sequencer_compact_take(f.s))) {
		compaction_run(worker, step);
		horizon_ms |= step->horizon_ms;
		sequencer_compact_give(f.s, step);
		fixture_settle(&f);
	}
	assert_int_equal(passes(), 1);
	assert_int_equal(horizon_ms, 0);
}

/* What was not durable when it was looked at is looked at again, without another append. */
static void what_becomes_durable_later_is_looked_at(void **state)
{
	uint64_t durable = f.durable;

	(void)state;
	put("a=1");
	put("a=2");
	put_last();
	f.hold = true;
	f.durable = durable;
	compact_later(1000);
	assert_int_equal(passes(), 0);
	f.hold = false;
	fixture_sync(&f);
	compact_later(1000);
	expect_kept("1:a=2 ");
}

/* --- a little at a time --- */

static void in_several_passes_where_memory_is_little(void **state)
{
	char text[64];

	(void)state;
	worker = compaction_new(1); /* for as few keys as may be: 12 */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i += 2) {
			snprintf(text, sizeof(text), "k%02d=%d k%02d=%d", i, round, i + 1, round);
			put(text);
		}
	}
	put_last();
	compact_later(1000);
	assert_true(passes() >= 10);
	assert_int_equal(partition()->more->clean_offset, 120);
	expect_kept_from(0,
			 "80:k00=2 81:k01=2 82:k02=2 83:k03=2 84:k04=2 85:k05=2 86:k06=2 87:k07=2 88:k08=2 89:k09=2 90:k10=2 "
			 "91:k11=2 92:k12=2 93:k13=2 94:k14=2 95:k15=2 96:k16=2 97:k17=2 98:k18=2 99:k19=2 100:k20=2 101:k21=2 "
			 "102:k22=2 103:k23=2 104:k24=2 105:k25=2 106:k26=2 107:k27=2 108:k28=2 109:k29=2 110:k30=2 111:k31=2 "
			 "112:k32=2 113:k33=2 114:k34=2 115:k35=2 116:k36=2 117:k37=2 118:k38=2 119:k39=2 ");
	expect_same_after_replay(false);
}

/* Between a step's two ends the world goes on. */
static void what_changes_meanwhile(void **state)
{
	struct compact_step *step;

	(void)state;
	worker = compaction_new(1 << 16);
	put("a=1 b=1");
	put("c=1");
	put("a=2");
	put_last();
	fixture_later(&f, 1000);
	compact_step_once(); /* keys */
	step = sequencer_compact_take(f.s);
	assert_null(sequencer_compact_take(f.s)); /* one at a time */
	compaction_run(worker, step);
	assert_true(step->changed);
	assert_int_equal(delete_before(2), OUTCOME_OK);
	sequencer_compact_give(f.s, step);
	assert_int_equal(events_of(STREAM_COMPACTED), 0);
	compact_now(); /* once more, with what is there */
	assert_int_equal(partition()->more->clean_offset, 4);
	expect_kept_from(2, "2:c=1 3:a=2 ");
	/* The topic goes. */
	put("a=3");
	put_last();
	fixture_later(&f, 1000);
	compact_step_once();
	step = sequencer_compact_take(f.s);
	assert_int_equal(drop_topic(T_NAME), OUTCOME_OK);
	compaction_run(worker, step);
	sequencer_compact_give(f.s, step);
	assert_null(sequencer_compact_take(f.s));
	assert_int_equal(f.body_count, 0);
}

static void it_is_compacted_no_more(void **state)
{
	struct compact_step *step;

	(void)state;
	worker = compaction_new(1 << 16);
	put("a=1");
	put("a=2");
	put_last();
	fixture_later(&f, 1000);
	compact_step_once();
	step = sequencer_compact_take(f.s);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("delete")), OUTCOME_OK);
	compaction_run(worker, step);
	sequencer_compact_give(f.s, step);
	assert_null(sequencer_compact_take(f.s));
	expect_kept("0:a=1 1:a=2 ");
}

/* A crash between any two steps: what was deleted does not come back, and the next start goes on. */
static void a_crash_at_each_step(void **state)
{
	unsigned steps = 0;

	(void)state;
	for (unsigned stop = 0;; stop++) {
		uint64_t first = put("a=1 b=1 x=1");
		char said[64];

		put("a=2");
		put("b");
		put_last();
		fixture_later(&f, 1000);
		for (steps = 0; steps < stop; steps++) {
			struct compact_step *step = sequencer_compact_take(f.s);

			if (!step)
				break;
			if (!worker)
				worker = compaction_new(1 << 16);
			compaction_run(worker, step);
			sequencer_compact_give(f.s, step);
			fixture_settle(&f);
		}
		expect_same_after_replay(false);
		fixture_restart(&f);
		compact_later(1000);
		snprintf(said, sizeof(said), "%d:x=1 %d:a=2 %d:b ", (int)first + 2, (int)first + 3, (int)first + 4);
		expect_kept(said);
		if (steps < stop)
			break;
	}
	assert_true(steps >= 2);
}

static void a_full_disk(void **state)
{
	(void)state;
	put("a=1");
	put("a=2");
	put_last();
	f.full = true;
	compact_later(1000);
	expect_kept("0:a=1 1:a=2 ");
	f.full = false;
	compact_later(1000);
	expect_kept("1:a=2 ");
}

static void every_allocation(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (uint64_t n = 1;; n++) {
		struct compact_step *step;
		unsigned turns = 0;

		put("a=1 b=1");
		put("a=2 c");
		put_last();
		fixture_later(&f, 1000);
		if (!worker)
			worker = compaction_new(1 << 16);
		compaction_rest(worker);
		mem_fail_nth(n);
		while ((step = sequencer_compact_take(f.s)) && turns++ < 100) {
			compaction_run(worker, step);
			failed += step->error == -ENOMEM;
			sequencer_compact_give(f.s, step);
		}
		mem_fail_nth(0);
		sequencer_check(f.s);
		fixture_settle(&f);
		expect_same_after_replay(false);
		fixture_later(&f, 1000);
		compact_now();
		if (n > 60)
			break;
	}
	assert_true(failed >= 3);
	assert_int_equal(f.pins, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, compaction_setup, compaction_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_last_of_each_key_stays),
		TEST(what_is_clean_is_compacted_again_with_what_came),
		TEST(too_little_is_dirty),
		TEST(not_before_and_not_after),
		TEST(the_last_one_counts_in_time),
		TEST(null_values_stay_for_a_while),
		TEST(what_has_no_key_goes),
		TEST(compressed_ones_stay_compressed),
		TEST(what_does_not_open_stays),
		TEST(transactions_are_respected),
		TEST(what_is_open_is_left_alone),
		TEST(the_end_of_a_transaction_is_looked_at),
		TEST(what_becomes_durable_later_is_looked_at),
		TEST(a_marker_stays_when_a_step_is_done_again),
		TEST(what_is_open_is_not_gathered),
		TEST(in_several_passes_where_memory_is_little),
		TEST(what_changes_meanwhile),
		TEST(it_is_compacted_no_more),
		TEST(a_crash_at_each_step),
		TEST(a_full_disk),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
