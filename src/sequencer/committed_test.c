/* A topic's partition as readers see it who are no Kafka consumers: up to the first open transaction, and woken when something
 * has been committed. */
#include "sequencer/subscription_fixture.h"
#include "sequencer/topic_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "stream/stream.h"

#define PARTITION SLICE("t/0")

static struct txn_writer one, two;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.transaction_ms_max = 1000000000;
	f.config.gather_chunks = 4;
	f.config.gather_bytes = 4096;
	fixture_start(&f);
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	txn_init(&one, "one");
	txn_init(&two, "two");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_drop_sent(&f);
	assert_int_equal(f.pins, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

static void plain(const char *text)
{
	struct produce_partition p = keyed(text);

	assert_int_equal(produce_as(&p), OUTCOME_OK);
}

static enum outcome read_from(enum stream_from from, uint64_t offset, bool watch, struct ask *ask)
{
	struct stream_read_in in = {.path = PARTITION,
				    .from = from,
				    .number = number_of(PARTITION),
				    .offset = offset,
				    .count = 2,
				    .max_bytes = UINT64_MAX,
				    .watch = watch};

	return read_as(in, ask, 1);
}

/* Where it begins, where it ends, the view's end, and how many aborted transactions are told. */
static void expect(enum stream_from from, uint64_t offset, const uint64_t said[4])
{
	const struct stream_view *view;
	struct ask ask;

	assert_int_equal(read_from(from, offset, false, &ask), OUTCOME_OK);
	view = ask.c.out.stream;
	assert_true(view->topic);
	assert_int_equal(view->from_offset, said[0]);
	assert_int_equal(view->after_offset, said[1]);
	assert_int_equal(view->next_offset, said[2]);
	assert_int_equal(view->aborted_count, said[3]);
	for (size_t i = 0; i < view->chunk_count; i++)
		assert_true(view->chunks[i].first_offset + view->chunks[i].count <= view->next_offset);
	ask_deinit(&ask);
}

static size_t wakes(void)
{
	size_t count = 0;

	for (size_t i = 0; i < f.sent_count; i++)
		count += f.sent[i].kind == MESSAGE_STREAM_WAKE;
	return count;
}

static void up_to_what_is_open(void **state)
{
	struct ask ask;

	(void)state;
	plain("a=1 b=1");
	txn_put(&one, "a=2");
	plain("c=1");
	expect(STREAM_FROM_START, 0, (uint64_t[]){0, 2, 2, 0});
	expect(STREAM_FROM_NOW, 0, (uint64_t[]){2, 2, 2, 0});
	expect(STREAM_FROM_TAIL, 0, (uint64_t[]){0, 2, 2, 0});
	expect(STREAM_FROM_OFFSET, 1, (uint64_t[]){1, 2, 2, 0});
	/* A place behind it, which the answer to an append has told. */
	expect(STREAM_FROM_OFFSET, 4, (uint64_t[]){4, 4, 4, 0});
	assert_int_equal(read_as((struct stream_read_in){.path = PARTITION, .look = true}, &ask, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.stream->next_offset, 2);
	ask_deinit(&ask);
	txn_finish(&one, false);
	expect(STREAM_FROM_START, 0, (uint64_t[]){0, 5, 5, 1});
	expect(STREAM_FROM_OFFSET, 5, (uint64_t[]){5, 5, 5, 0});
}

/* A chunk with what is decided and what is open would be shown to who may see only what of it was compacted away. */
static void what_is_open_is_gathered_when_it_has_ended(void **state)
{
	(void)state;
	plain("a=1");
	plain("b=1");
	txn_put(&one, "a=2");
	for (int i = 0; i < 8; i++)
		plain("c=1");
	assert_int_equal(events_of(STREAM_GATHERED), 0);
	expect(STREAM_FROM_START, 0, (uint64_t[]){0, 2, 2, 0});
	txn_finish(&one, true);
	for (int i = 0; i < 4; i++)
		plain("c=1");
	assert_true(events_of(STREAM_GATHERED) > 0);
	expect(STREAM_FROM_START, 0, (uint64_t[]){0, 16, 16, 0});
}

static void woken_by_what_is_committed(void **state)
{
	struct ask ask;

	(void)state;
	plain("a=1");
	assert_int_equal(read_from(STREAM_FROM_OFFSET, 1, true, &ask), OUTCOME_PARKED);
	ask_deinit(&ask);
	txn_put(&one, "a=2");
	txn_put(&two, "b=2");
	assert_int_equal(wakes(), 0);
	txn_finish(&two, true); /* behind what is open */
	assert_int_equal(wakes(), 0);
	txn_finish(&one, false);
	assert_int_equal(wakes(), 1);
	for (size_t i = 0; i < f.sent_count; i++) {
		if (f.sent[i].kind == MESSAGE_STREAM_WAKE) {
			const struct stream_view *view = container_of(f.sent[i].message, struct stream_wake, message)->view;

			assert_true(view->from_offset == 1 && view->after_offset == 5 && view->aborted_count == 1);
		}
	}
	fixture_drop_sent(&f);
}

static void not_woken_by_what_is_aborted(void **state)
{
	struct ask ask;

	(void)state;
	plain("a=1");
	assert_int_equal(read_from(STREAM_FROM_OFFSET, 1, true, &ask), OUTCOME_PARKED);
	ask_deinit(&ask);
	for (int i = 0; i < 5; i++) {
		txn_put(&one, "a=2");
		txn_put(&two, "a=3");
		txn_finish(&one, false);
		txn_finish(&two, false);
	}
	assert_int_equal(wakes(), 0);
	plain("b=1");
	assert_int_equal(wakes(), 1);
}

/* A wake that lacked memory is made up for by the next end of a transaction, though that is an abort. */
static void a_wake_that_lacked_memory(void **state)
{
	struct produce_partition p = keyed("b=1");
	struct ask ask;

	(void)state;
	plain("a=1");
	txn_put(&one, "a=2");
	txn_finish(&one, true);
	assert_int_equal(read_from(STREAM_FROM_NOW, 0, true, &ask), OUTCOME_PARKED);
	ask_deinit(&ask);
	for (uint64_t n = 1; wakes() == 0; n++) {
		assert_true(n < 20);
		p = keyed("b=1");
		mem_fail_nth(n);
		(void)produce_as(&p);
		mem_fail_nth(0);
		if (p.outcome != OUTCOME_OK || wakes())
			continue;
		txn_put(&one, "a=3");
		txn_finish(&one, false);
		assert_int_equal(wakes(), 1);
	}
}

/* Who is told that there is something must be able to read it, or would be told again at once. */
static void subscriptions_hear_of_what_can_be_read(void **state)
{
	(void)state;
	plain("a=1");
	make_stream(SLICE("wake"));
	assert_int_equal(sub_create(pull_of(SLICE("sub"))), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, SLICE("sub"), PARTITION), OUTCOME_OK);
	sub_expect(SLICE("sub"), "t/0:e1/1 ");
	txn_put(&one, "a=2");
	plain("b=2");
	sub_expect(SLICE("sub"), "t/0:e1/1 ");
	assert_true(last_of(SLICE("wake"), &mine) == 0);
	txn_finish(&one, true);
	sub_expect(SLICE("sub"), "t/0:e1/4 ");
	fixture_later(&f, 0);
	assert_true(last_of(SLICE("wake"), &mine) == 1);
	expect_same_after_replay(false);
}

static void without_memory(void **state)
{
	struct stream_read_in in = {.path = PARTITION, .from = STREAM_FROM_START, .max_bytes = UINT64_MAX};
	struct ask ask;
	enum outcome outcome;
	unsigned failed = 0;

	(void)state;
	txn_put(&one, "a=1");
	txn_finish(&one, false);
	for (uint64_t n = 1;; n++) {
		mem_fail_nth(n);
		outcome = read_as(in, &ask, 0);
		mem_fail_nth(0);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		ask_deinit(&ask);
		assert_int_equal(f.pins, 0);
		failed++;
	}
	ask_deinit(&ask);
	assert_true(failed >= 4);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(up_to_what_is_open),
		TEST(what_is_open_is_gathered_when_it_has_ended),
		TEST(woken_by_what_is_committed),
		TEST(not_woken_by_what_is_aborted),
		TEST(a_wake_that_lacked_memory),
		TEST(subscriptions_hear_of_what_can_be_read),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
