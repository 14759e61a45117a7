/* Transactions as newer clients do them (KIP-890): partitions come into them by being written to, and each has an epoch of its
 * own; and what is told of them. */
#include "sequencer/txn_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

/* What comes late is never taken for the next transaction, and who asks again hears the same again. */
static void each_transaction_has_its_epoch(void **state)
{
	struct writer a = {0}, before, old;

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(write_adding(&a, 0, "a", false), OUTCOME_TXN);
	assert_int_equal(write_adding(&a, 0, "a", true), OUTCOME_OK);
	assert_int_equal(write_adding(&a, 1, "b", true), OUTCOME_OK);
	before = old = a;
	assert_int_equal(end_renewing(&a, true), OUTCOME_OK);
	assert_true(a.producer_id == before.producer_id && a.epoch == before.epoch + 1);
	expect_committed(0, "a ");
	expect_committed(1, "b ");
	assert_int_equal(write_adding(&old, 0, "late", true), OUTCOME_STALE);
	expect_same_after_replay(false);
	/* Again, as if the answer had been lost; with another wish, or another epoch, never. */
	old = before;
	assert_int_equal(end_renewing(&old, false), OUTCOME_TXN);
	assert_int_equal(end_renewing(&old, true), OUTCOME_OK);
	assert_true(old.epoch == a.epoch);
	old.epoch = (int16_t)(before.epoch - 1);
	assert_int_equal(end_renewing(&old, true), OUTCOME_FENCED);
	/* Nothing was written: it may be aborted, and is not committed. */
	assert_int_equal(end_renewing(&a, true), OUTCOME_TXN);
	old = a;
	assert_int_equal(end_renewing(&a, false), OUTCOME_OK);
	assert_true(a.epoch == old.epoch + 1);
	/* Once the next one has begun, the earlier ones are over. */
	assert_int_equal(write_adding(&a, 2, "c", true), OUTCOME_OK);
	assert_int_equal(end_renewing(&old, false), OUTCOME_FENCED);
	assert_int_equal(end(&before, true), OUTCOME_FENCED);
	assert_int_equal(end_renewing(&a, false), OUTCOME_OK);
	expect_committed(2, "");
	expect_same_after_replay(true);
	/* Of somebody who took the id over nobody is told that he ended something. */
	before = a;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(end_renewing(&before, false), OUTCOME_FENCED);
}

/* Between the decision and what follows from it there is no other epoch yet, and nobody is told of one. */
static void the_next_epoch_comes_with_the_end(void **state)
{
	struct writer a = {0}, asked;
	struct txn *txn;
	bool done = false;

	(void)state;
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	for (uint64_t n = 1; !done; n++) {
		enum outcome outcome;

		assert_int_equal(write_adding(&a, 0, "a", true), OUTCOME_OK);
		asked = a;
		mem_fail_nth(n);
		outcome = end_renewing(&a, true);
		mem_fail_nth(0);
		sequencer_check(f.s);
		done = outcome == OUTCOME_OK;
		txn = txn_find(&f.s->topics, SLICE("a"));
		if (outcome == OUTCOME_BUSY) {
			assert_true(txn_is_open(txn) && txn->epoch == asked.epoch);
			assert_int_equal(write_adding(&a, 0, "b", true), OUTCOME_BUSY);
			assert_int_equal(end_renewing(&a, true), OUTCOME_BUSY);
			expect_same_after_replay(false);
			fixture_later(&f, 1000);
		}
		if (!done)
			assert_int_equal(end_renewing(&a, true), OUTCOME_OK);
		assert_true(a.epoch == asked.epoch + 1 && !txn_is_open(txn));
	}
	/* After the last epoch it is another id, and who asks again hears of that one. */
	txn->epoch = INT16_MAX - 1;
	a.epoch = INT16_MAX - 1;
	assert_int_equal(write_adding(&a, 0, "z", true), OUTCOME_OK);
	asked = a;
	assert_int_equal(end_renewing(&a, true), OUTCOME_OK);
	assert_true(a.producer_id > asked.producer_id && a.epoch == 0);
	assert_int_equal(end_renewing(&asked, true), OUTCOME_OK);
	assert_true(a.producer_id == asked.producer_id && asked.epoch == 0);
}

static void told_of(struct slice id, struct buf *out)
{
	struct ask ask = {.c = {.kind = COMMAND_TXNS, .in.txns = {.ids = id.len ? &id : NULL, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	buf_clear(out);
	for (size_t i = 0; i < ask.c.out.txns->count; i++) {
		const struct txn_view *view = &ask.c.out.txns->at[i];

		buf_printf(out, "%.*s:%d", (int)view->id.len, view->id.ptr, view->found ? (int)view->state : -1);
		for (uint32_t p = 0; p < view->partition_count; p++)
			buf_printf(out, ",%.*s/%u", (int)view->partitions[p].topic.len, view->partitions[p].topic.ptr,
				   view->partitions[p].partition);
		buf_append_char(out, ' ');
	}
	buf_append_char(out, '\0');
	ask_deinit(&ask);
}

static void looked_at(void **state)
{
	struct producers_partition places[] = {{.topic.name = T_NAME, .partition = 2}, {.topic.name = T_NAME, .partition = 3}};
	struct ask ask = {.c = {.kind = COMMAND_PRODUCERS, .in.producers = {.partitions = places, .count = 2}}};
	struct writer a = {0}, b = {0};

	(void)state;
	told_of((struct slice){0}, &mine);
	assert_string_equal(mine.ptr, "");
	assert_int_equal(init(&a, SLICE("a")), OUTCOME_OK);
	assert_int_equal(init(&b, SLICE("b")), OUTCOME_OK);
	assert_int_equal(write_adding(&a, 2, "x", true), OUTCOME_OK);
	assert_int_equal(write_adding(&a, 0, "x", true), OUTCOME_OK);
	told_of((struct slice){0}, &mine);
	assert_string_equal(mine.ptr, "a:1 b:0 ");
	told_of(SLICE("a"), &mine);
	assert_string_equal(mine.ptr, "a:1,t/2,t/0 ");
	told_of(SLICE("c"), &mine);
	assert_string_equal(mine.ptr, "c:-1 ");
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(places[0].outcome, OUTCOME_OK);
	assert_int_equal(places[1].outcome, OUTCOME_NOT_FOUND);
	assert_true(places[0].count == 1 && places[0].producers[0].producer_id == a.producer_id);
	assert_true(places[0].producers[0].last_sequence == 0 && places[0].producers[0].txn_first == 0);
	ask_deinit(&ask);
	assert_int_equal(end_renewing(&a, true), OUTCOME_OK);
	for (uint64_t n = 1;; n++) {
		enum outcome outcome;

		mem_fail_nth(n);
		ask.c = (struct command){.kind = COMMAND_PRODUCERS, .in.producers = {.partitions = places, .count = 1}};
		outcome = fixture_ask(&f, &ask, 0);
		mem_fail_nth(0);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		ask_deinit(&ask);
	}
	assert_true(places[0].producers[0].txn_first == -1);
	ask_deinit(&ask);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, txn_setup, txn_teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_transaction_has_its_epoch),
		TEST(the_next_epoch_comes_with_the_end),
		TEST(looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
