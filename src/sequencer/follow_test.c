/* Who waits at partitions hears what comes there, once a turn, as long as somebody waits; no more, and nothing is left out. */
#include "sequencer/topic_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

enum { BATCH_BYTES = 1 << 20 };

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 20;
	f.config.transactional_ids_max = 3;
	f.config.transaction_ms_max = 60000;
	fixture_start(&f);
	assert_int_equal(make_topic(T_NAME, 2), OUTCOME_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	assert_int_equal(f.pins, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

static struct fetch_partition p[2];

/* Of both partitions, of the first from `offset` on, by a thread that waits for so many bytes. */
static enum outcome ask_for(struct fetch_in in, uint64_t offset, unsigned thread)
{
	struct ask ask = {.c = {.kind = COMMAND_FETCH, .in.fetch = in}};
	enum outcome outcome;

	for (uint32_t i = 0; i < 2; i++)
		p[i] = (struct fetch_partition){.topic.name = T_NAME, .partition = i, .max_bytes = BATCH_BYTES};
	p[0].offset = offset;
	ask.c.in.fetch.partitions = p;
	ask.c.in.fetch.count = 2;
	ask.c.in.fetch.max_bytes = BATCH_BYTES;
	outcome = fixture_ask(&f, &ask, thread);
	p[0].bytes = outcome == OUTCOME_PARKED ? ask.c.in.fetch.missing_bytes : 0;
	ask_deinit(&ask);
	return outcome;
}

static enum outcome wait_for(uint64_t min_bytes, uint64_t offset, unsigned thread)
{
	return ask_for((struct fetch_in){.min_bytes = min_bytes, .watch = true}, offset, thread);
}

/* The next growth of that thread; `deleted` and without a number: there is none. */
static struct stream_growth take(unsigned thread)
{
	struct stream_growth growth = {.deleted = true};

	for (size_t i = 0; i < f.sent_count; i++) {
		struct message *message = f.sent[i].message;

		if (!message || f.sent[i].kind != MESSAGE_STREAM_GREW || f.sent[i].thread != thread)
			continue;
		growth = *container_of(message, struct stream_growth, message);
		message_free(message);
		f.sent[i].message = NULL;
		break;
	}
	return growth;
}

static void expect_nothing(unsigned thread)
{
	assert_true(take(thread).number == 0);
}

/* Nobody is there. */
static void send_back(struct stream_growth growth)
{
	struct stream_growth *back = mem_alloc(sizeof(*back));

	assert_non_null(back);
	*back = growth;
	sequencer_message(f.s, &back->message);
	sequencer_check(f.s);
}

static void it_waits_and_hears_what_comes(void **state)
{
	struct produce_partition one = batch_of(0, 3, "abc");
	struct stream_growth growth;

	(void)state;
	assert_int_equal(wait_for(1000, 0, 1), OUTCOME_PARKED);
	assert_true(p[0].bytes == 1000 && p[0].stream && p[1].stream && p[1].high_watermark == 0);
	assert_int_equal(produce_as(&one), OUTCOME_OK);
	growth = take(1);
	assert_true(growth.number == p[0].stream && growth.key == stream_key(p[0].stream));
	assert_true(growth.next_offset == 3 && growth.stable_offset == 3 && !growth.deleted && !growth.trimmed);
	assert_true(growth.bytes == one.batch.size_bytes && growth.stable_bytes == growth.bytes);
	expect_nothing(1);
	expect_nothing(0);
	assert_int_equal(wait_for(growth.bytes, 0, 1), OUTCOME_OK);
	assert_int_equal(wait_for(growth.bytes + 7, 0, 1), OUTCOME_PARKED);
	assert_true(p[0].bytes == 7);
	/* What is answered at once is followed only if that is asked for, and what is in error, too. */
	assert_int_equal(wait_for(1, 4, 2), OUTCOME_OK);
	assert_int_equal(p[0].outcome, OUTCOME_RANGE);
	assert_int_equal(ask_for((struct fetch_in){.follow = true}, 3, 3), OUTCOME_OK);
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	assert_true(take(1).next_offset == 4);
	assert_true(take(3).next_offset == 4);
	expect_nothing(2);
}

static void a_turn_is_told_once_and_not_before_it_is_durable(void **state)
{
	struct produce_partition many[3] = {batch_of(0, 1, "a"), batch_of(1, 1, "b"), batch_of(0, 2, "c")};
	struct ask ask = {.c = {.kind = COMMAND_PRODUCE, .in.produce = {.partitions = many, .count = 3}}};
	struct stream_growth growth;

	(void)state;
	assert_int_equal(wait_for(1, 0, 1), OUTCOME_PARKED);
	f.hold = true;
	fixture_send(&f, &ask, 0);
	fixture_settle(&f);
	expect_nothing(1);
	fixture_sync(&f);
	f.hold = false;
	assert_true(take(1).number == p[1].stream);
	growth = take(1);
	assert_true(growth.next_offset == 3 && growth.bytes == many[0].batch.size_bytes + many[2].batch.size_bytes);
	expect_nothing(1);
	ask_deinit(&ask);
}

static void who_is_not_there_is_told_no_more(void **state)
{
	struct stream_growth growth;

	(void)state;
	assert_int_equal(wait_for(1, 0, 1), OUTCOME_PARKED);
	assert_int_equal(wait_for(1, 0, 2), OUTCOME_PARKED);
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	growth = take(1);
	(void)take(2);
	send_back(growth);
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	expect_nothing(1);
	/* It asked again before what it sent back came: it goes on. */
	growth = take(2);
	assert_int_equal(wait_for(1, 2, 2), OUTCOME_PARKED);
	send_back(growth);
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	growth = take(2);
	assert_true(growth.next_offset == 3);
	send_back(growth);
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	expect_nothing(2);
	assert_true(!stream_find_number(&f.s->streams, p[0].stream)->followed);
}

static void what_goes_is_told(void **state)
{
	struct delete_records_partition cut = {.topic.name = T_NAME, .offset = -1};
	struct ask ask = {.c = {.kind = COMMAND_DELETE_RECORDS, .in.delete_records = {.partitions = &cut, .count = 1}}};
	struct stream_growth growth;

	(void)state;
	assert_int_equal(produce("x", NULL), OUTCOME_OK);
	assert_int_equal(wait_for(10000, 0, 1), OUTCOME_PARKED);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	growth = take(1);
	assert_true(growth.trimmed && growth.earliest_offset == 1 && growth.bytes == 0);
	assert_int_equal(drop_topic(T_NAME), OUTCOME_OK);
	for (unsigned i = 0; i < 2; i++) {
		growth = take(1);
		assert_true(growth.deleted && (growth.number == p[0].stream || growth.number == p[1].stream));
		send_back(growth);
	}
	expect_nothing(1);
}

/* --- transactions --- */

static void in_transaction(struct slice id, int64_t producer, bool begins, bool commit)
{
	struct txn_partition part = {.topic.name = T_NAME};
	struct ask ask = {.c = {.kind = begins ? COMMAND_TXN_ADD : COMMAND_TXN_END,
				.in.txn = {.transactional_id = id,
					   .producer_id = producer,
					   .partitions = &part,
					   .partition_count = 1,
					   .commit = commit}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
}

static void committed_readers_count_what_is_committed(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_PRODUCER_ID,
				.in.producer_id = {.transactional_id = SLICE_INIT("x"), .timeout_ms = 10000, .producer_id = -1}}};
	struct produce_partition open = batch_of(0, 2, "open"), other = batch_of(0, 1, "other");
	struct stream_growth growth;

	(void)state;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	open.batch.producer_id = ask.c.out.producer_id.producer_id;
	open.batch.producer_epoch = 0;
	open.batch.base_sequence = 0;
	open.batch.transactional = true;
	ask_deinit(&ask);
	assert_int_equal(ask_for((struct fetch_in){.min_bytes = 1, .watch = true, .committed = true}, 0, 1), OUTCOME_PARKED);
	in_transaction(SLICE("x"), open.batch.producer_id, true, false);
	assert_int_equal(produce_as(&open), OUTCOME_OK);
	growth = take(1);
	assert_true(growth.bytes && growth.stable_bytes == 0 && growth.next_offset == 2 && growth.stable_offset == 0);
	assert_int_equal(produce_as(&other), OUTCOME_OK);
	growth = take(1);
	assert_true(growth.bytes == other.batch.size_bytes && growth.stable_bytes == 0);
	in_transaction(SLICE("x"), open.batch.producer_id, false, true);
	growth = take(1);
	assert_true(growth.stable_offset == 4 && growth.next_offset == 4);
	assert_true(growth.stable_bytes == open.batch.size_bytes + other.batch.size_bytes + growth.bytes);
}

/* --- without memory --- */

static void a_growth_that_had_no_memory_comes_later(void **state)
{
	uint64_t told = 0;

	(void)state;
	assert_int_equal(wait_for(1, 0, 1), OUTCOME_PARKED);
	assert_int_equal(wait_for(1, 0, 2), OUTCOME_PARKED);
	for (uint64_t k = 1; k < 60; k++) {
		enum outcome outcome;
		struct produce_partition one = batch_of(0, 1, "x");
		struct ask ask = {.c = {.kind = COMMAND_PRODUCE, .in.produce = {.partitions = &one, .count = 1}}};

		mem_fail_nth(k);
		outcome = fixture_ask(&f, &ask, 0);
		mem_fail_nth(0);
		assert_int_equal(outcome, OUTCOME_OK);
		told = one.outcome == OUTCOME_OK ? one.base_offset + 1 : told;
		ask_deinit(&ask);
		fixture_settle(&f);
		if (one.outcome != OUTCOME_OK)
			continue;
		for (unsigned thread = 1; thread <= 2; thread++) {
			struct stream_growth growth, last = {0};

			while ((growth = take(thread)).number)
				last = growth;
			assert_true(last.next_offset == told);
		}
		fixture_drop_sent(&f);
	}
	assert_true(told > 10);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_waits_and_hears_what_comes),
		TEST(a_turn_is_told_once_and_not_before_it_is_durable),
		TEST(who_is_not_there_is_told_no_more),
		TEST(what_goes_is_told),
		TEST(committed_readers_count_what_is_committed),
		TEST(a_growth_that_had_no_memory_comes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
