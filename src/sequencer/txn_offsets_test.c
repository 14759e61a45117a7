/* Offsets of groups that are committed with a transaction: all or none, and not before. */
#include "sequencer/group_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static const struct slice other_group = {"others", 6};
static struct fixture twin;
static struct buf other;
static struct producer_id_out producer;

static enum outcome txn_tell(enum command_kind kind, bool commit)
{
	struct ask ask = {.c = {.kind = kind,
				.in.txn = {.transactional_id = SLICE("w"),
					   .producer_id = producer.producer_id,
					   .producer_epoch = producer.producer_epoch,
					   .commit = commit}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static enum outcome take_over(void)
{
	struct ask ask = {
		.c = {.kind = COMMAND_PRODUCER_ID,
		      .in.producer_id = {
			      .transactional_id = SLICE("w"), .timeout_ms = 10000, .producer_id = -1, .producer_epoch = -1}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	producer = ask.c.out.producer_id;
	ask_deinit(&ask);
	return outcome;
}

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	assert_int_equal(topic_tell(COMMAND_TOPIC_CREATE), OUTCOME_OK);
	assert_int_equal(take_over(), OUTCOME_OK);
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
	sequencer_check(twin.s);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

static enum outcome offsets_as(struct group_who who, struct group_place *places, size_t count)
{
	struct ask ask = {.c = {.kind = COMMAND_TXN_OFFSETS,
				.in.txn_offsets = {.txn = {.transactional_id = SLICE("w"),
							   .producer_id = producer.producer_id,
							   .producer_epoch = producer.producer_epoch},
						   .commit = {.who = who, .places = places, .count = count}}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static struct group_place place_of(uint32_t partition, uint64_t offset)
{
	return (struct group_place){.topic = a_topic, .partition = partition, .offset = offset, .leader_epoch = -1};
}

static enum outcome offset_to(struct slice group, uint32_t partition, uint64_t offset)
{
	struct group_place place = place_of(partition, offset);
	enum outcome outcome = offsets_as((struct group_who){.group = group, .generation = -1}, &place, 1);

	return outcome == OUTCOME_OK ? place.outcome : outcome;
}

static bool is_unstable(struct slice group, uint32_t partition)
{
	/* Others before and behind it, and itself twice. */
	struct group_place places[] = {place_of(9, 0), place_of(partition, 0), place_of(8, 0), place_of(partition, 0)};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_OFFSETS,
				.in.group_offsets = {.group = group, .places = places, .count = 4, .stable = true}}};
	bool unstable;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	unstable = ask.c.out.offsets->at[1].unstable;
	assert_true(ask.c.out.offsets->at[3].unstable == unstable);
	assert_false(ask.c.out.offsets->at[0].unstable || ask.c.out.offsets->at[2].unstable);
	ask_deinit(&ask);
	return unstable;
}

static void committed_with_it(void **state)
{
	(void)state;
	assert_int_equal(txn_tell(COMMAND_TXN_ADD, false), OUTCOME_OK);
	assert_int_equal(offset_to(a_group, 0, 5), OUTCOME_OK);
	assert_int_equal(offset_to(other_group, 0, 7), OUTCOME_OK);
	assert_int_equal(offset_to(a_group, 1, 3), OUTCOME_OK);
	assert_int_equal(offset_to(a_group, 0, 6), OUTCOME_OK); /* the last word counts */
	expect_offsets(a_group, "");
	assert_true(is_unstable(a_group, 0) && is_unstable(other_group, 0) && !is_unstable(other_group, 1));
	expect_same_state(false);
	assert_int_equal(txn_tell(COMMAND_TXN_END, true), OUTCOME_OK);
	assert_false(is_unstable(a_group, 0));
	expect_offsets(a_group, "t/0=6 t/1=3 ");
	expect_offsets(other_group, "t/0=7 ");
	while (fixture_checkpoint(&f, 1))
		;
	expect_same_state(true);
}

static void not_with_one_that_is_aborted(void **state)
{
	(void)state;
	assert_int_equal(offset_to(a_group, 0, 5), OUTCOME_OK); /* begins it, too */
	assert_int_equal(txn_tell(COMMAND_TXN_END, false), OUTCOME_OK);
	expect_offsets(a_group, "");
	assert_int_equal(offset_to(a_group, 0, 6), OUTCOME_OK);
	fixture_later(&f, 10000); /* for too long */
	expect_offsets(a_group, "");
	assert_int_equal(offset_to(a_group, 0, 7), OUTCOME_FENCED);
	assert_int_equal(take_over(), OUTCOME_OK);
	assert_int_equal(offset_to(a_group, 0, 8), OUTCOME_OK);
	assert_int_equal(txn_tell(COMMAND_TXN_END, true), OUTCOME_OK);
	expect_offsets(a_group, "t/0=8 ");
	expect_same_state(false);
}

static void each_is_judged(void **state)
{
	struct group_place places[] = {place_of(0, 1), place_of(9, 1), place_of(0, 2), place_of(1, (uint64_t)-1)};
	struct group_who who = {.group = a_group, .generation = -1};

	(void)state;
	assert_int_equal(offsets_as(who, places, 4), OUTCOME_OK);
	assert_int_equal(places[1].outcome, OUTCOME_NOT_FOUND);
	assert_int_equal(places[2].outcome, OUTCOME_OK);
	assert_int_equal(places[3].outcome, OUTCOME_RANGE);
	who.generation = 3;
	assert_int_equal(offsets_as(who, places, 1), OUTCOME_GENERATION);
	who = (struct group_who){.group = SLICE(""), .generation = -1};
	assert_int_equal(offsets_as(who, places, 1), OUTCOME_NAME);
	who.group = a_group;
	assert_int_equal(offsets_as(who, places, TXN_OFFSETS_MAX + 1), OUTCOME_FULL);
	assert_int_equal(txn_tell(COMMAND_TXN_END, true), OUTCOME_OK);
	expect_offsets(a_group, "t/0=2 ");
}

/* A topic that goes meanwhile takes its offsets along. */
static void a_topic_goes(void **state)
{
	(void)state;
	assert_int_equal(offset_to(a_group, 0, 5), OUTCOME_OK);
	assert_int_equal(topic_tell(COMMAND_TOPIC_DELETE), OUTCOME_OK);
	assert_int_equal(txn_tell(COMMAND_TXN_END, true), OUTCOME_OK);
	expect_offsets(a_group, "");
	expect_same_state(false);
}

static void every_allocation(void **state)
{
	(void)state;
	for (uint64_t n = 1, done = 0; done < 3; n++) {
		enum outcome outcome;

		mem_fail_nth(n);
		outcome = offset_to(a_group, 0, n);
		mem_fail_nth(0);
		if (outcome != OUTCOME_OK) {
			assert_int_equal(outcome, OUTCOME_NO_MEMORY);
			assert_int_equal(offset_to(a_group, 0, n), OUTCOME_OK);
		}
		mem_fail_nth(n);
		outcome = txn_tell(COMMAND_TXN_END, true);
		mem_fail_nth(0);
		sequencer_check(f.s);
		done = outcome == OUTCOME_OK ? done + 1 : 0;
		if (outcome != OUTCOME_OK)
			assert_int_equal(txn_tell(COMMAND_TXN_END, true), OUTCOME_OK);
		fixture_later(&f, 1000); /* what was decided and could not be done is done now */
		buf_clear(&other);
		buf_printf(&other, "t/0=%llu ", (unsigned long long)n);
		buf_append_char(&other, '\0');
		expect_offsets(a_group, other.ptr);
	}
	expect_same_state(false);
}

/* Sent while nothing becomes durable, and then everything does. */
static enum outcome told_when_durable(enum command_kind kind, bool commit)
{
	struct ask ask = {.c = {.kind = kind,
				.in.txn = {.transactional_id = SLICE("w"),
					   .producer_id = producer.producer_id,
					   .producer_epoch = producer.producer_epoch,
					   .commit = commit}}};

	f.hold = true;
	fixture_send(&f, &ask, 0);
	fixture_settle(&f);
	assert_int_equal(ask.back, 0);
	f.hold = false;
	fixture_sync(&f);
	assert_int_equal(ask.back, 1);
	return ask.c.outcome;
}

static void not_told_before_it_is_durable(void **state)
{
	(void)state;
	assert_int_equal(told_when_durable(COMMAND_TXN_ADD, false), OUTCOME_OK);
	assert_int_equal(told_when_durable(COMMAND_TXN_END, true), OUTCOME_OK);
	assert_int_equal(told_when_durable(COMMAND_TXN_ADD, false), OUTCOME_OK);
	assert_int_equal(told_when_durable(COMMAND_TXN_END, false), OUTCOME_OK);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(committed_with_it), TEST(not_with_one_that_is_aborted),  TEST(each_is_judged), TEST(a_topic_goes),
		TEST(every_allocation),  TEST(not_told_before_it_is_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
