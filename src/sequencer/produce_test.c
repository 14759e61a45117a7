/* What Kafka clients send to a partition and ask of it: every record once and in order, from any offset, over restarts and
 * checkpoints; producers that repeat themselves. */
#include "sequencer/topic_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 20;
	f.config.topics_max = 4;
	f.config.topic_partitions_max = 8;
	f.config.producers_max = 3;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	assert_int_equal(f.pins, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	sequencer_check(twin.s);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

static void checkpoint(void)
{
	while (fixture_checkpoint(&f, 2))
		;
}

static void what_is_produced_is_fetched(void **state)
{
	struct produce_partition p;
	uint64_t offset;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 2), OUTCOME_OK);
	expect_fetch(0, 0, "");
	assert_int_equal(produce("a", &offset), OUTCOME_OK);
	assert_true(offset == 0);
	p = batch_of(0, 3, "b");
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_true(p.base_offset == 1 && p.log_start_offset == 0 && p.append_time_ms == -1);
	assert_int_equal(produce("c", &offset), OUTCOME_OK);
	assert_true(offset == 4);
	expect_fetch(0, 0, "0=a 1=b 2=b 3=b 4=c ");
	expect_fetch(0, 2, "2=b 3=b 4=c ");
	expect_fetch(0, 5, "");
	assert_int_equal(fetch_all(0, 6, false), OUTCOME_RANGE);
	assert_int_equal(fetch_all(2, 0, false), OUTCOME_NOT_FOUND);
	expect_fetch(1, 0, "");
	expect_same_state(false);
}

static void too_long_or_without_a_key(void **state)
{
	struct produce_partition p;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	p = batch_of(0, 1, "a text of some length");
	p.batch.no_key = true;
	assert_int_equal(set_topic(T_NAME, SLICE("max.message.bytes"), SLICE("80")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_TOO_LARGE);
	assert_int_equal(set_topic(T_NAME, SLICE("max.message.bytes"), SLICE("100")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("compact")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_RECORD);
	p.batch.no_key = false;
	p.batch.packed = true; /* the asker has to look */
	assert_int_equal(produce_as(&p), OUTCOME_PACKED);
	p.batch.packed = false;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
}

static void a_time_too_far_off(void **state)
{
	struct produce_partition p;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	p = batch_of(0, 1, "x");
	p.batch.first_time_ms = (int64_t)f.now_ms - 10000;
	p.batch.max_time_ms = (int64_t)f.now_ms + 20000;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.before.max.ms"), SLICE("9999")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_TIME);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.before.max.ms"), SLICE("10000")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.after.max.ms"), SLICE("19999")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_TIME);
	p.batch.first_time_ms = p.batch.max_time_ms = -1;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	p.batch.first_time_ms = p.batch.max_time_ms = (int64_t)f.now_ms + 20000;
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.after.max.ms"), (struct slice){0}), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.difference.max.ms"), SLICE("5000")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_TIME);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.type"), SLICE("LogAppendTime")), OUTCOME_OK);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
}

static void the_time_of_the_append(void **state)
{
	struct batch_reader reader;
	struct batch_record record;
	struct produce_partition p;
	uint64_t offset;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("message.timestamp.type"), SLICE("LogAppendTime")), OUTCOME_OK);
	p = batch_of(0, 1, "x");
	fixture_later(&f, 5000);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	assert_true(p.append_time_ms == (int64_t)f.now_ms);
	assert_int_equal(batch_open(&reader, slice_from(p.batch.bytes, p.batch.size_bytes)), 0);
	assert_int_equal(batch_next(&reader, &record, &offset), 1);
	assert_true(reader.record_time_ms == f.now_ms);
}

/* --- producers --- */

static uint64_t new_producer(void)
{
	struct ask ask = {.c = {.kind = COMMAND_PRODUCER_ID, .in.producer_id = {.producer_id = -1, .producer_epoch = -1}}};
	uint64_t id;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	id = (uint64_t)ask.c.out.producer_id.producer_id;
	assert_int_equal(ask.c.out.producer_id.producer_epoch, 0);
	ask_deinit(&ask);
	return id;
}

static enum outcome by(uint64_t id, int16_t epoch, uint64_t seq, uint32_t count, uint64_t *ret_offset)
{
	struct produce_partition p = batch_by(id, epoch, seq, count);
	enum outcome outcome = produce_as(&p);

	if (ret_offset)
		*ret_offset = p.base_offset;
	return outcome;
}

static void producers_repeat_themselves(void **state)
{
	uint64_t id, offset;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	id = new_producer();
	assert_true(new_producer() == id + 1);
	for (uint64_t i = 0; i < 7; i++)
		assert_int_equal(by(id, 0, i * 2, 2, NULL), OUTCOME_OK);
	for (uint64_t i = 2; i < 7; i++) {
		assert_int_equal(by(id, 0, i * 2, 2, &offset), OUTCOME_SAME);
		assert_true(offset == i * 2);
	}
	assert_int_equal(by(id, 0, 2, 2, NULL), OUTCOME_GAP);  /* too long ago */
	assert_int_equal(by(id, 0, 12, 3, NULL), OUTCOME_GAP); /* another batch */
	assert_int_equal(by(id, 0, 15, 1, NULL), OUTCOME_GAP);
	assert_int_equal(by(id, 1, 14, 1, NULL), OUTCOME_GAP);
	assert_int_equal(by(id, 1, 0, 1, NULL), OUTCOME_OK);
	assert_int_equal(by(id, 0, 14, 1, NULL), OUTCOME_STALE);
	expect_same_state(false);
	checkpoint();
	expect_same_state(true);
}

static void sequences_begin_again(void **state)
{
	const uint64_t last = SEQUENCE_MODULO - 1;
	uint64_t offset;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(by(9, 0, last - 1, 1, NULL), OUTCOME_OK); /* nobody knows it: it may begin anywhere */
	assert_int_equal(by(9, 0, last, 3, NULL), OUTCOME_OK);
	assert_int_equal(by(9, 0, last, 3, &offset), OUTCOME_SAME);
	assert_true(offset == 1);
	assert_int_equal(by(9, 0, 2, 1, NULL), OUTCOME_OK);
	assert_int_equal(by(9, 0, 3, 1, NULL), OUTCOME_OK);
}

static void producers_are_forgotten(void **state)
{
	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	for (uint64_t id = 1; id <= 4; id++)
		assert_int_equal(by(id, 0, 0, 1, NULL), OUTCOME_OK); /* three are kept */
	assert_int_equal(by(2, 0, 0, 1, NULL), OUTCOME_SAME);
	assert_int_equal(by(1, 0, 0, 1, NULL), OUTCOME_OK); /* it had been forgotten; 2 is now, who was used before 3 */
	expect_same_state(false);
	checkpoint();
	expect_same_state(true);
}

/* --- offsets --- */

static struct offset_partition offset_at(int64_t at)
{
	struct offset_partition p = {.topic.name = T_NAME, .at = at};
	struct ask ask = {.c = {.kind = COMMAND_LIST_OFFSETS, .in.list_offsets = {.partitions = &p, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(p.outcome, OUTCOME_OK);
	assert_null(p.view);
	ask_deinit(&ask);
	return p;
}

static struct delete_records_partition delete_before(int64_t offset)
{
	struct delete_records_partition p = {.topic.name = T_NAME, .offset = offset};
	struct ask ask = {.c = {.kind = COMMAND_DELETE_RECORDS, .in.delete_records = {.partitions = &p, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return p;
}

static void offsets_by_time(void **state)
{
	int64_t start_ms;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_true(offset_at(OFFSET_LATEST).offset == 0 && offset_at(OFFSET_MAX_TIME).offset == -1);
	start_ms = (int64_t)f.now_ms;
	for (unsigned i = 0; i < 4; i++) {
		struct produce_partition p = batch_of(0, 2, "x");

		assert_int_equal(produce_as(&p), OUTCOME_OK);
		fixture_later(&f, 10);
	}
	assert_true(offset_at(OFFSET_LATEST).offset == 8 && offset_at(OFFSET_EARLIEST).offset == 0);
	assert_true(offset_at(start_ms).offset == 0 && offset_at(start_ms + 1).offset == 2 &&
		    offset_at(start_ms + 20).offset == 4);
	assert_true(offset_at(start_ms + 11).time_ms == start_ms + 20);
	assert_true(offset_at(start_ms + 31).offset == -1 && offset_at(start_ms + 31).time_ms == -1);
	assert_true(offset_at(OFFSET_MAX_TIME).offset == 6 && offset_at(OFFSET_MAX_TIME).time_ms == start_ms + 30);
	assert_true(delete_before(3).log_start_offset == 3);
	assert_true(offset_at(OFFSET_EARLIEST).offset == 3 && offset_at(0).offset == 3);
	assert_int_equal(fetch_all(0, 2, false), OUTCOME_RANGE);
	expect_fetch(0, 3, "3=x 4=x 5=x 6=x 7=x ");
	assert_int_equal(delete_before(9).outcome, OUTCOME_RANGE);
	assert_true(delete_before(2).log_start_offset == 3);
	assert_true(delete_before(-1).log_start_offset == 8);
	expect_fetch(0, 8, "");
	assert_true(offset_at(0).offset == -1);
	expect_same_state(false);
}

static enum outcome in_transaction(enum command_kind kind, struct ask *ask)
{
	struct txn_partition p = {.topic.name = T_NAME};
	struct txn_in *in = &ask->c.in.txn;

	if (kind == COMMAND_PRODUCER_ID)
		ask->c.in.producer_id =
			(struct producer_id_in){.transactional_id = SLICE("w"), .timeout_ms = 1000, .producer_id = -1};
	else
		*in = (struct txn_in){.transactional_id = SLICE("w"),
				      .producer_id = 1,
				      .partitions = &p,
				      .partition_count = kind == COMMAND_TXN_ADD,
				      .commit = true};
	ask->c.kind = kind;
	return fixture_ask(&f, ask, 0);
}

/* The marker's time is later than any record's, and there may be no record with it. */
/* Nobody stops the house by naming one partition again and again. */
static void looked_for_by_time_very_often(void **state)
{
	enum { MANY = 300, RECORDS = 50 };
	static char text[20000];
	static struct offset_partition asked[MANY];
	struct ask ask = {.c = {.kind = COMMAND_LIST_OFFSETS, .in.list_offsets = {.partitions = asked, .count = MANY}}};
	struct produce_partition p;
	unsigned found = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	p = batch_of(0, RECORDS, text);
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	for (unsigned i = 0; i < MANY; i++)
		asked[i] = (struct offset_partition){.topic.name = T_NAME, .at = i % 2 ? OFFSET_MAX_TIME : 0};
	asked[MANY - 1].at = OFFSET_LATEST;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	for (unsigned i = 0; i < MANY - 1; i++) {
		assert_int_equal(asked[i].outcome, found == i ? asked[i].outcome : OUTCOME_BUSY);
		found += asked[i].outcome == OUTCOME_OK;
	}
	assert_in_range(found, 100, 200);
	assert_true(asked[MANY - 1].outcome == OUTCOME_OK && asked[MANY - 1].offset == RECORDS);
	ask_deinit(&ask);
}

static void the_latest_time_is_no_markers(void **state)
{
	struct produce_partition p;
	struct ask ask = {0};
	int64_t start_ms;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(in_transaction(COMMAND_PRODUCER_ID, &ask), OUTCOME_OK);
	assert_int_equal(in_transaction(COMMAND_TXN_ADD, &(struct ask){0}), OUTCOME_OK);
	start_ms = (int64_t)f.now_ms;
	p = batch_by((uint64_t)ask.c.out.producer_id.producer_id, ask.c.out.producer_id.producer_epoch, 0, 2);
	p.batch.transactional = true;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	fixture_later(&f, 10);
	assert_int_equal(in_transaction(COMMAND_TXN_END, &(struct ask){0}), OUTCOME_OK);
	assert_true(offset_at(OFFSET_LATEST).offset == 3);
	assert_true(offset_at(OFFSET_MAX_TIME).offset == 0 && offset_at(OFFSET_MAX_TIME).time_ms == start_ms);
	fixture_later(&f, 10);
	assert_int_equal(produce("late", NULL), OUTCOME_OK);
	assert_true(offset_at(OFFSET_MAX_TIME).offset == 3);
	assert_true(delete_before(4).log_start_offset == 4 && offset_at(OFFSET_MAX_TIME).offset == -1);
}

static void old_ones_go(void **state)
{
	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.ms"), SLICE("1000")), OUTCOME_OK);
	assert_int_equal(produce("a", NULL), OUTCOME_OK);
	fixture_later(&f, 800);
	assert_int_equal(produce("b", NULL), OUTCOME_OK);
	fixture_later(&f, 300);
	expect_fetch(0, 1, "1=b ");
	assert_int_equal(fetch_all(0, 0, false), OUTCOME_RANGE);
	expect_same_state(false);
}

/* A producer's time is its own: what is old when it comes can be read for a while. */
static void old_when_they_came(void **state)
{
	struct produce_partition p;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	p = batch_of(0, 1, "x");
	p.batch.max_time_ms = 1000;
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	fixture_later(&f, TOPIC_LATE_MS - 1000);
	expect_fetch(0, 0, "0=x ");
	fixture_later(&f, 2000);
	assert_int_equal(fetch_all(0, 0, false), OUTCOME_RANGE);
}

/* --- random lives --- */

enum { STEPS = 3000, PRODUCERS = 4, NAIVE_MAX = 4096 };

struct naive_producer {
	uint64_t seq, sent[SEQUENCE_BATCHES + 1], offset[SEQUENCE_BATCHES + 1];
	uint32_t count[SEQUENCE_BATCHES + 1];
	unsigned sent_count;
};

static struct {
	uint64_t end;
	struct naive_producer producers[PRODUCERS];
} naive;

static void naive_sends(struct test_random *random, struct naive_producer *producer, uint64_t id)
{
	uint32_t count = 1 + (uint32_t)test_random_below(random, 5);
	uint64_t offset;

	if (producer->sent_count && test_random_below(random, 4) == 0) {
		unsigned i = producer->sent_count - 1 - (unsigned)test_random_below(random, producer->sent_count);

		assert_int_equal(by(id, 0, producer->sent[i], producer->count[i], &offset), OUTCOME_SAME);
		assert_true(offset == producer->offset[i]);
		return;
	}
	if (test_random_below(random, 16) == 0) {
		assert_int_equal(by(id, 0, (producer->seq + 1) % SEQUENCE_MODULO, count, NULL),
				 producer->sent_count ? OUTCOME_GAP : OUTCOME_OK);
		if (producer->sent_count)
			return;
		producer->seq++;
	} else {
		assert_int_equal(by(id, 0, producer->seq, count, &offset), OUTCOME_OK);
		assert_true(offset == naive.end);
	}
	if (producer->sent_count == SEQUENCE_BATCHES) {
		memmove(producer->sent, producer->sent + 1, sizeof(producer->sent[0]) * SEQUENCE_BATCHES);
		memmove(producer->offset, producer->offset + 1, sizeof(producer->offset[0]) * SEQUENCE_BATCHES);
		memmove(producer->count, producer->count + 1, sizeof(producer->count[0]) * SEQUENCE_BATCHES);
		producer->sent_count--;
	}
	producer->sent[producer->sent_count] = producer->seq;
	producer->offset[producer->sent_count] = naive.end;
	producer->count[producer->sent_count++] = count;
	producer->seq = (producer->seq + count) % SEQUENCE_MODULO;
	naive.end += count;
}

static void naive_reads(struct test_random *random)
{
	uint64_t earliest = (uint64_t)offset_at(OFFSET_EARLIEST).offset;
	uint64_t from = earliest + test_random_below(random, naive.end - earliest + 1);

	buf_clear(&other);
	for (uint64_t at = from; at < naive.end; at++)
		buf_printf(&other, "%llu=p ", (unsigned long long)at);
	buf_append_char(&other, '\0');
	expect_fetch(0, from, other.ptr);
}

static void a_random_life(void **state)
{
	struct test_random random = test_random_start("topics");

	(void)state;
	memset(&naive, 0, sizeof(naive));
	f.config.producers_max = 100;
	f.config.gather_chunks = 16;
	sequencer_configure(f.s, &f.config);
	naive.producers[1].seq = SEQUENCE_MODULO - 20;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)test_random_below(&random, PRODUCERS);

		if (test_random_below(&random, 8) == 0)
			naive_reads(&random);
		else
			naive_sends(&random, &naive.producers[i], i + 1);
		if (step % 200 == 199)
			(void)delete_before((int64_t)naive.end - 50);
		if (step % 16 == 0)
			sequencer_check(f.s);
		if (step % 7 == 0)
			(void)fixture_checkpoint(&f, 1);
		if (step % 1000 == 999) {
			expect_same_state(false);
			checkpoint();
			naive_sends(&random, &naive.producers[i], i + 1);
			expect_same_state(true);
			fixture_checkpoint_drop(&f);
		}
		fixture_drop_sent(&f);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_produced_is_fetched),
		TEST(too_long_or_without_a_key),
		TEST(a_time_too_far_off),
		TEST(the_time_of_the_append),
		TEST(producers_repeat_themselves),
		TEST(sequences_begin_again),
		TEST(producers_are_forgotten),
		TEST(offsets_by_time),
		TEST(looked_for_by_time_very_often),
		TEST(the_latest_time_is_no_markers),
		TEST(old_ones_go),
		TEST(old_when_they_came),
		TEST(a_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
