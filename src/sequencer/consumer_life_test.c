/* A random life of a group of consumers in virtual time: readers join, beat, give up, leave, crash, lose answers, fall silent and
 * come back; topics are made, grow and go; the server restarts, and lacks memory now and then. What must hold meanwhile:
 *
 *  1. no partition is had by two readers, of those that do as they are told in time;
 *  2. a reader that does is never told to join anew, restart or not;
 *  3. the journal and a checkpoint, replayed, are the state;
 *  4. left alone, they come to rest: everything that is subscribed to is somebody's, evenly. */
#include "sequencer/consumer_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

enum { READERS = 6, STEPS = 5000, STEP_MS = 400, RESTS = 60 };

struct life {
	struct reader reader;
	bool in;
	uint64_t heard_ms;  /* when it was last told something */
	uint64_t moving_ms; /* since when it has something to give up; 0: nothing */
	uint64_t rests_ms;  /* crashed: until then */
};

static struct life lives[READERS];
static uint64_t joins, refused, restarts, moves;
static struct test_random dice;
static bool short_of_memory;

static size_t below(size_t bound)
{
	return test_random_below(&dice, bound);
}

static void forget(struct life *life, bool keeps_id)
{
	struct reader *reader = &life->reader;

	reader->has = reader->told = 0;
	life->in = false;
	life->moving_ms = 0;
	if (!keeps_id && !reader->instance.len)
		snprintf(reader->id, sizeof(reader->id), "%s-%u", reader->name, (unsigned)joins);
}

static void expect_one_owner_each(void)
{
	places_mask all = 0;

	for (size_t i = 0; i < READERS; i++) {
		assert_int_equal(all & lives[i].reader.has, 0);
		all |= lives[i].reader.has;
	}
}

/* How late it may be told what it did not do in time. */
static bool is_overdue(const struct life *life)
{
	return f.now_ms - life->heard_ms >= SESSION_MS || (life->moving_ms && f.now_ms - life->moving_ms >= REBALANCE_MS);
}

static void on_answer(struct life *life, enum outcome outcome)
{
	struct reader *reader = &life->reader;

	if (outcome == OUTCOME_NO_MEMORY) {
		assert_true(short_of_memory);
		return;
	}
	if (outcome != OUTCOME_OK) {
		refused++;
		assert_true(is_overdue(life));
		assert_true(outcome == OUTCOME_NO_MEMBER || outcome == OUTCOME_MEMBER_EPOCH);
		forget(life, true);
		return;
	}
	life->heard_ms = f.now_ms;
	moves += reader->moved;
	if (reader->has & ~reader->told)
		life->moving_ms = life->moving_ms ? life->moving_ms : f.now_ms;
	else
		life->moving_ms = 0;
	expect_one_owner_each();
}

static void come(struct life *life)
{
	enum outcome outcome;

	joins++;
	if (!life->reader.instance.len && below(2))
		forget(life, false);
	life->reader.regex = below(4) ? (struct slice){0} : SLICE("[t-v]");
	outcome = reader_join(&life->reader);
	assert_true(outcome == OUTCOME_OK || outcome == OUTCOME_NO_MEMORY || outcome == OUTCOME_UNRELEASED);
	life->in = outcome == OUTCOME_OK;
	if (life->in) {
		life->heard_ms = f.now_ms;
		on_answer(life, outcome);
	}
}

/* What it would be told is lost: it asks again, with all that it has, as clients do. */
static void lose_an_answer(struct life *life)
{
	struct reader before = life->reader;
	enum outcome outcome = reader_beat(&life->reader);

	if (outcome != OUTCOME_OK) {
		on_answer(life, outcome);
		return;
	}
	life->reader = before;
	on_answer(life, reader_repeat(&life->reader));
}

static void go(struct life *life)
{
	enum outcome outcome = below(2) ? reader_leave(&life->reader) : reader_quit(&life->reader);

	assert_true(outcome == OUTCOME_OK || outcome == OUTCOME_NO_MEMORY || (outcome == OUTCOME_NO_MEMBER && is_overdue(life)));
	forget(life, below(2));
}

static void act(struct life *life)
{
	if (life->rests_ms > f.now_ms)
		return;
	if (!life->in) {
		come(life);
		return;
	}
	switch (below(40)) {
	case 0:
		go(life);
		break;
	case 1: /* it crashes: what it had is nobody's */
		forget(life, true);
		life->rests_ms = f.now_ms + below(3 * SESSION_MS);
		break;
	case 2:
	case 3:
		lose_an_answer(life);
		break;
	default:
		on_answer(life, below(2) ? reader_obey(&life->reader) : reader_beat(&life->reader));
	}
}

/* What was had of it is nothing any more, though another topic may get its name. */
static void drop_topic(const char *name, unsigned number)
{
	assert_int_equal(topic_drop(name), OUTCOME_OK);
	for (size_t i = 0; i < READERS; i++) {
		lives[i].reader.has &= ~all_of(number, READER_PARTITIONS);
		lives[i].reader.told &= ~all_of(number, READER_PARTITIONS);
	}
}

static void change_topics(void)
{
	static const char *const names[READER_TOPICS] = {"t", "u", "v", "w"};
	unsigned number = (unsigned)below(READER_TOPICS);
	const char *name = names[number];
	const struct topic *topic = topic_find(&f.s->topics, slice_str(name));

	if (topic && below(3) == 0)
		drop_topic(name, number);
	else if (!topic || topic->partition_count < READER_PARTITIONS / 2)
		assert_int_equal(topic_make(name, (topic ? topic->partition_count : 0) + 1 + (uint32_t)below(3)), OUTCOME_OK);
}

static void restart(void)
{
	expect_replays();
	fixture_restart(&f);
	restarts++;
	for (size_t i = 0; i < READERS; i++) {
		lives[i].heard_ms = f.now_ms;
		lives[i].moving_ms = lives[i].moving_ms ? f.now_ms : 0;
	}
}

/* Those who would be out for silence alone say something. */
static void be_in_time(void)
{
	for (size_t i = 0; i < READERS; i++) {
		struct life *life = &lives[i];

		if (life->in && f.now_ms - life->heard_ms > SESSION_MS / 2)
			on_answer(life, reader_obey(&life->reader));
	}
}

static void step(unsigned number)
{
	struct life *life = &lives[below(READERS)];

	short_of_memory = below(20) == 0;
	if (short_of_memory)
		mem_fail_nth(1 + below(60));
	act(life);
	mem_fail_nth(0);
	if (short_of_memory && life->in)
		on_answer(life, reader_repeat(&life->reader));
	short_of_memory = false;
	if (below(60) == 0)
		change_topics();
	if (below(3) == 0)
		fixture_later(&f, below(STEP_MS));
	be_in_time();
	if (number % 50 == 0) {
		fixture_checkpoint(&f, 1);
		sequencer_check(f.s);
	}
	if (below(500) == 0)
		restart();
	fixture_drop_sent(&f);
}

static void come_to_rest(void)
{
	places_mask all = 0;
	unsigned least = UINT32_MAX, most = 0;

	for (unsigned i = 0; i < RESTS * READERS; i++) {
		struct life *life = &lives[i % READERS];

		life->rests_ms = 0;
		if (!life->in) {
			life->reader.regex = (struct slice){0};
			life->in = reader_join(&life->reader) == OUTCOME_OK;
		} else {
			struct consumer_beat beat = beat_of(&life->reader);

			beat.regex = SLICE("");
			life->reader.has &= life->reader.told;
			assert_int_equal(reader_say(&life->reader, beat, true), OUTCOME_OK);
		}
		if (i % READERS == 0)
			fixture_later(&f, 500);
	}
	expect_one_owner_each();
	expect_group(GROUP_STABLE, 0);
	for (size_t i = 0; i < READERS; i++) {
		unsigned count = count_of(lives[i].reader.has);

		assert_true(lives[i].in);
		all |= lives[i].reader.has;
		least = count < least ? count : least;
		most = count > most ? count : most;
	}
	assert_true(most - least <= 2); /* one a topic, by range */
	for (unsigned t = 0; t < 2; t++) {
		const struct topic *topic = topic_find(&f.s->topics, t ? SLICE("u") : SLICE("t"));

		if (topic)
			assert_int_equal(all & all_of(t, READER_PARTITIONS), all_of(t, topic->partition_count));
	}
	assert_int_equal(all & ~(all_of(0, READER_PARTITIONS) | all_of(1, READER_PARTITIONS)), 0);
}

static void a_random_life(void **state)
{
	static const char *const names[READERS] = {"a", "b", "c", "d", "e", "f"};

	(void)state;
	dice = test_random_start("consumer_life");
	for (size_t i = 0; i < READERS; i++) {
		lives[i].reader = reader_of(names[i], "t,u");
		lives[i].reader.rebalance_ms = REBALANCE_MS;
		forget(&lives[i], false);
	}
	lives[0].reader.instance = SLICE("first");
	lives[1].reader.instance = SLICE("second");
	snprintf(lives[0].reader.id, sizeof(lives[0].reader.id), "one");
	snprintf(lives[1].reader.id, sizeof(lives[1].reader.id), "two");
	lives[2].reader.assignor = SLICE("range");
	for (unsigned i = 1; i <= STEPS; i++)
		step(i);
	print_message("%u joins, %u moves, %u refused, %u restarts\n", (unsigned)joins, (unsigned)moves, (unsigned)refused,
		      (unsigned)restarts);
	assert_true(moves > 100);
	come_to_rest();
	expect_replays();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(a_random_life, readers_setup, readers_teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
