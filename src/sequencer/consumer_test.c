/* Consumers, rule by rule: partitions that move, epochs, static members, restarts, and memory that is short. */
#include "sequencer/consumer_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

/* --- moving --- */

static void the_first_gets_all(void **state)
{
	(void)state;
	ok(reader_join(&a));
	assert_true(strlen(a.id) > 0);
	assert_int_equal(a.epoch, 1);
	assert_int_equal(a.has, all_of(0, 4));
	expect_group(GROUP_STABLE, 1);
	ok(reader_beat(&a));
	assert_false(a.moved);
	expect_replays();
}

static void a_partition_moves_when_it_was_given_up(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	assert_int_equal(b.epoch, 2);
	assert_int_equal(b.has, 0);
	expect_group(GROUP_RECONCILING, 2);
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_beat(&a));
	assert_int_equal(a.epoch, 1); /* until it has given up */
	assert_int_equal(count_of(a.told), 2);
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_say(&a, beat_of(&a), true)); /* it still has all */
	assert_int_equal(a.epoch, 1);
	expect_replays();
	ok(reader_obey(&a));
	assert_int_equal(a.epoch, 2);
	ok(reader_beat(&b));
	assert_int_equal(a.has | b.has, all_of(0, 4));
	assert_int_equal(a.has & b.has, 0);
	expect_group(GROUP_STABLE, 2);
	expect_replays();
}

/* It says that it has nothing, while it is just taking up what it was told: that it gave something up it can say only when it
 * knows that it is to. */
static void what_was_said_before_does_not_count(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	a.has = 0;
	ok(reader_say(&a, beat_of(&a), true));
	assert_int_equal(count_of(a.told), 2);
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	a.has = all_of(0, 4);
	ok(reader_say(&a, beat_of(&a), true));
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
}

/* … and when it then says that it has, and after that nothing, it still has. */
static void who_took_it_up_after_all_has_it(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	a.has = 0;
	ok(reader_say(&a, beat_of(&a), true));
	a.has = all_of(0, 4);
	ok(reader_say(&a, beat_of(&a), true));
	ok(reader_beat(&a));
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
}

/* The answer that told it to give something up did not come; it says everything, and that it has nothing, while it is just taking
 * up what it was told before. */
static void what_was_said_without_an_answer_does_not_count(void **state)
{
	struct reader before;

	(void)state;
	ok(reader_join(&a));
	a.has = 0;
	before = a;
	ok(reader_join(&b));
	ok(reader_beat(&a));
	a = before;
	ok(reader_repeat(&a));
	assert_int_equal(count_of(a.told), 2);
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	a.has = all_of(0, 4);
	ok(reader_say(&a, beat_of(&a), true));
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
}

/* The same, but it says so again, now that it was told; or it says nothing of it, since nothing has changed. */
static void who_repeats_himself_is_believed(void **state)
{
	struct reader before;

	(void)state;
	for (int quietly = 0; quietly < 2; quietly++) {
		ok(reader_join(&a));
		a.has = 0;
		before = a;
		ok(reader_join(&b));
		ok(reader_beat(&a));
		a = before;
		a.has = 0;
		ok(reader_repeat(&a));
		a.has = 0;
		ok(quietly ? reader_beat(&a) : reader_repeat(&a));
		ok(reader_beat(&b));
		assert_int_equal(count_of(b.has), 2);
		ok(reader_quit(&a));
		ok(reader_quit(&b));
	}
}

/* It had said that it has all: that it lacks some is new. */
static void who_has_taken_it_up_gives_it_up_by_one_word(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_say(&a, beat_of(&a), true));
	ok(reader_join(&b));
	ok(reader_beat(&a));
	ok(reader_repeat(&a));
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
}

/* Who begins anew has nothing, whatever he was told. */
static void who_joins_again_has_given_up_all(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	ok(reader_beat(&a));
	expect_group(GROUP_RECONCILING, 2);
	ok(reader_join(&a));
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
	expect_group(GROUP_STABLE, 2);
}

/* It had nothing indeed, and says nothing more: nothing has changed. */
static void who_had_nothing_need_not_say_it_twice(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	a.has = 0;
	ok(reader_say(&a, beat_of(&a), true));
	ok(reader_beat(&b));
	assert_int_equal(b.has, 0);
	ok(reader_beat(&a));
	assert_int_equal(a.epoch, 2);
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
}

static void who_leaves_leaves_its_partitions(void **state)
{
	(void)state;
	two_in();
	ok(reader_leave(&a));
	assert_int_equal(reader_beat(&a), OUTCOME_NO_MEMBER);
	expect_group(GROUP_ASSIGNING, 3);
	ok(reader_beat(&b));
	assert_int_equal(b.has, all_of(0, 4));
	assert_int_equal(b.epoch, 3);
	ok(reader_leave(&b));
	expect_group(GROUP_EMPTY, 4);
	expect_replays();
}

static void who_is_silent_is_out(void **state)
{
	(void)state;
	two_in();
	fixture_later(&f, SESSION_MS - 1);
	ok(reader_beat(&b));
	fixture_later(&f, 1);
	assert_int_equal(reader_beat(&a), OUTCOME_NO_MEMBER);
	ok(reader_beat(&b));
	assert_int_equal(b.has, all_of(0, 4));
	expect_replays();
}

static void who_gives_nothing_up_is_out(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_join(&b));
	for (unsigned i = 0; i < REBALANCE_MS / 5000; i++) {
		ok(reader_beat(&a));
		ok(reader_beat(&b));
		assert_int_equal(b.has, 0);
		fixture_later(&f, 5000);
	}
	assert_int_equal(reader_beat(&a), OUTCOME_NO_MEMBER);
	ok(reader_beat(&b));
	assert_int_equal(b.has, all_of(0, 4));
}

/* --- epochs --- */

static void an_epoch_must_be_its_own(void **state)
{
	struct consumer_beat beat;

	(void)state;
	a.epoch = 1;
	assert_int_equal(reader_beat(&a), OUTCOME_NO_MEMBER);
	two_in();
	beat = beat_of(&b);
	beat.epoch = b.epoch + 1;
	assert_int_equal(reader_say(&b, beat, true), OUTCOME_MEMBER_EPOCH);
	beat = beat_of(&a);
	beat.epoch = a.epoch - 1;
	assert_int_equal(reader_say(&a, beat, false), OUTCOME_MEMBER_EPOCH);
	/* The answer was lost: it says what it was told before, and that it has no more than it should. */
	ok(reader_say(&a, beat, true));
	assert_true(a.moved);
	assert_int_equal(a.epoch, beat.epoch + 1);
	a.has = all_of(0, 4);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_MEMBER_EPOCH);
	/* So it gives up all, and joins again, as who it was. */
	ok(reader_join(&a));
	assert_int_equal(count_of(a.has), 2);
	expect_group(GROUP_STABLE, 2);
}

static void the_same_word_changes_nothing(void **state)
{
	uint64_t events;

	(void)state;
	two_in();
	events = f.s->stats.events_total;
	ok(reader_beat(&a));
	ok(reader_obey(&b));
	ok(reader_join(&a));
	assert_int_equal(f.s->stats.events_total, events);
}

/* --- static members --- */

static void a_static_member_comes_back(void **state)
{
	struct reader next;
	char before[GROUP_MEMBER_ID_MAX + 1];
	places_mask had;

	(void)state;
	a.instance = SLICE("one");
	two_in();
	memcpy(before, a.id, sizeof(before));
	had = a.has;
	next = a;
	memset(next.id, 0, sizeof(next.id));
	assert_int_equal(reader_join(&next), OUTCOME_UNRELEASED);
	ok(reader_leave(&a));
	assert_int_equal(reader_beat(&a), OUTCOME_MEMBER_EPOCH);
	assert_int_equal(reader_commit(&a, 1), OUTCOME_STALE);
	ok(reader_beat(&b));
	assert_int_equal(count_of(b.has), 2);
	expect_replays();
	ok(reader_join(&next));
	assert_string_not_equal(next.id, before);
	assert_int_equal(next.has, had);
	assert_int_equal(reader_beat(&a), OUTCOME_FENCED);
	expect_group(GROUP_STABLE, 2);
	expect_replays();
	/* The instance is another member's: nobody may leave for it. */
	assert_int_equal(reader_leave(&a), OUTCOME_FENCED);
}

static void a_static_member_does_not_come_back(void **state)
{
	(void)state;
	a.instance = SLICE("one");
	two_in();
	ok(reader_leave(&a));
	for (unsigned i = 0; i < 2; i++) {
		fixture_later(&f, SESSION_MS / 2);
		ok(reader_beat(&b));
	}
	assert_int_equal(b.has, all_of(0, 4));
	expect_replays();
}

static void members_are_taken_out(void **state)
{
	struct group_leaving leaving[] = {{.instance = SLICE("one")}, {.member = SLICE("nobody")}};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_LEAVE, .in.group_leave = {a_group, leaving, 2}}};

	(void)state;
	a.instance = SLICE("one");
	two_in();
	ok(fixture_ask(&f, &ask, 0));
	assert_int_equal(leaving[0].outcome, OUTCOME_OK);
	assert_int_equal(leaving[1].outcome, OUTCOME_NO_MEMBER);
	ok(reader_beat(&b));
	assert_int_equal(b.has, all_of(0, 4));
}

/* --- restarts, memory --- */

static void a_restart_is_not_noticed(void **state)
{
	struct reader before;

	(void)state;
	a.instance = SLICE("one");
	two_in();
	ok(reader_join(&c));
	ok(reader_beat(&a));
	expect_replays();
	before = a;
	fixture_restart(&f);
	ok(reader_beat(&a)); /* it goes on where it was: to give one up */
	assert_int_equal(a.epoch, before.epoch);
	assert_int_equal(a.told, before.told);
	ok(reader_commit(&a, 3));
	fixture_restart(&f);
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	ok(reader_obey(&b));
	ok(reader_beat(&c));
	assert_int_equal(a.has | b.has | c.has, all_of(0, 4));
	assert_int_equal(count_of(a.has) + count_of(b.has) + count_of(c.has), 4);
	expect_group(GROUP_STABLE, 3);
	fixture_restart(&f);
	fixture_later(&f, SESSION_MS - 1); /* sessions begin anew */
	ok(reader_beat(&a));
	ok(reader_beat(&b));
	ok(reader_beat(&c));
	expect_group(GROUP_STABLE, 3);
}

/* What is told to be out of memory is asked again, and then is as if it had not been. */
static bool works_without_the(uint64_t k)
{
	enum outcome outcome;
	bool failed = false;

	for (unsigned i = 0; i < 2; i++) {
		mem_fail_nth(i == 0 ? k : 0);
		outcome = reader_join(&b);
		if (outcome == OUTCOME_OK)
			outcome = i == 0 ? reader_beat(&a) : reader_obey(&a); /* after an error it says all */
		if (outcome == OUTCOME_OK)
			outcome = reader_obey(&a);
		if (outcome == OUTCOME_OK)
			outcome = i == 0 ? reader_beat(&b) : reader_obey(&b);
		mem_fail_nth(0);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		sequencer_check(f.s);
		expect_replays();
		failed = true;
	}
	return failed;
}

static void every_allocation(void **state)
{
	uint64_t k = 0;
	bool failed = true;

	while (failed) {
		a.regex = SLICE("[uv]");
		memcpy(b.id, "b", 2); /* who is given one may never hear of it */
		ok(reader_join(&a));
		failed = works_without_the(++k);
		ok(reader_obey(&a));
		ok(reader_obey(&b));
		assert_int_equal(a.has | b.has, all_of(0, 4));
		assert_int_equal(a.has & b.has, 0);
		sequencer_check(f.s);
		readers_teardown(state);
		readers_setup(state);
	}
	assert_true(k > 10);
}

static void a_view_shows_all_of_it(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_GET, .in.group.group = a_group}};
	const struct consumer_view *view;

	(void)state;
	a.regex = SLICE("u+");
	two_in();
	ok(reader_join(&c));
	ok(reader_beat(&a));
	ok(fixture_ask(&f, &ask, 0));
	assert_int_equal(ask.c.out.group->generation, 3);
	assert_int_equal(ask.c.out.consumers->assignment_epoch, 3);
	assert_int_equal(ask.c.out.consumers->count, 3);
	assert_true(slice_eq(ask.c.out.group->protocol, SLICE("uniform")));
	view = &ask.c.out.consumers->at[0];
	assert_true(slice_eq(view->id, slice_str(a.id)) && slice_eq(view->regex, SLICE("u+")));
	assert_true(slice_eq(view->client_id, SLICE("a")) && slice_eq(view->client_host, SLICE("/127.0.0.1")));
	assert_int_equal(view->epoch, a.epoch);
	assert_int_equal(view->topic_count, 1);
	assert_true(slice_eq(view->topics[0], SLICE("t")));
	assert_int_equal(view->target.count, 1);
	ask_deinit(&ask);
}

#define T(test) cmocka_unit_test_setup_teardown(test, readers_setup, readers_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_first_gets_all),
		T(a_partition_moves_when_it_was_given_up),
		T(what_was_said_before_does_not_count),
		T(who_took_it_up_after_all_has_it),
		T(what_was_said_without_an_answer_does_not_count),
		T(who_repeats_himself_is_believed),
		T(who_has_taken_it_up_gives_it_up_by_one_word),
		T(who_joins_again_has_given_up_all),
		T(who_had_nothing_need_not_say_it_twice),
		T(who_leaves_leaves_its_partitions),
		T(who_is_silent_is_out),
		T(who_gives_nothing_up_is_out),
		T(an_epoch_must_be_its_own),
		T(the_same_word_changes_nothing),
		T(a_static_member_comes_back),
		T(a_static_member_does_not_come_back),
		T(members_are_taken_out),
		T(a_restart_is_not_noticed),
		T(every_allocation),
		T(a_view_shows_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
