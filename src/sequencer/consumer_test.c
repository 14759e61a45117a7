/* Consumers, rule by rule. */
#include "sequencer/consumer_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static struct reader a, b, c;
static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.consumer_session_ms = SESSION_MS;
	fixture_start(&f);
	a = reader_of("a", "t");
	b = reader_of("b", "t");
	c = reader_of("c", "t");
	assert_int_equal(topic_make("t", 4), OUTCOME_OK);
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

static void expect_replays(void)
{
	for (int from_checkpoint = 0; from_checkpoint < 2; from_checkpoint++) {
		if (from_checkpoint) {
			fixture_checkpoint_drop(&f);
			while (fixture_checkpoint(&f, 1))
				;
		}
		fixture_twin(&f, &twin, from_checkpoint);
		fixture_dump(&f, &mine);
		fixture_dump(&twin, &other);
		assert_int_equal(mine.len, other.len);
		assert_memory_equal(mine.ptr, other.ptr, mine.len);
		fixture_deinit(&twin);
	}
}

static void ok(enum outcome outcome)
{
	assert_int_equal(outcome, OUTCOME_OK);
}

/* a and b, two partitions each. */
static void two_in(void)
{
	ok(reader_join(&a));
	ok(reader_join(&b));
	ok(reader_beat(&a));
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	assert_int_equal(a.has | b.has, all_of(0, 4));
	assert_int_equal(a.has & b.has, 0);
	assert_int_equal(count_of(a.has), 2);
	expect_group(GROUP_STABLE, 0);
}

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

/* --- assignors, subscriptions --- */

static void the_assignor_is_what_most_want(void **state)
{
	(void)state;
	a.assignor = SLICE("no such");
	assert_int_equal(reader_join(&a), OUTCOME_ASSIGNOR);
	a.assignor = b.assignor = SLICE("range");
	two_in();
	assert_true(a.has == all_of(0, 2) || b.has == all_of(0, 2));
}

static void topics_come_grow_and_go(void **state)
{
	(void)state;
	a.topics = "t,u";
	ok(reader_join(&a));
	assert_int_equal(a.has, all_of(0, 4));
	ok(topic_make("u", 2));
	ok(reader_beat(&a));
	assert_int_equal(a.has, all_of(0, 4) | all_of(1, 2));
	assert_int_equal(a.epoch, 2);
	ok(topic_make("u", 5));
	ok(reader_beat(&a));
	assert_int_equal(a.has, all_of(0, 4) | all_of(1, 5));
	ok(topic_make("v", 2)); /* nobody wants that */
	ok(reader_beat(&a));
	assert_int_equal(a.epoch, 3);
	ok(topic_drop("u"));
	ok(reader_beat(&a));
	assert_int_equal(a.told, all_of(0, 4));
	ok(reader_obey(&a));
	assert_int_equal(a.epoch, 4);
	ok(topic_make("u", 1));
	ok(reader_beat(&a));
	assert_int_equal(a.has, all_of(0, 4) | all_of(1, 1));
	expect_replays();
}

static void a_subscription_changes(void **state)
{
	struct slice topics[] = {SLICE("u")};
	struct consumer_beat beat;

	(void)state;
	ok(topic_make("u", 2));
	ok(reader_join(&a));
	beat = beat_of(&a);
	beat.topics = topics;
	beat.topic_count = 1;
	beat.has_topics = true;
	ok(reader_say(&a, beat, false));
	assert_int_equal(a.told, 0);
	ok(reader_obey(&a));
	assert_int_equal(a.has, all_of(1, 2));
	assert_int_equal(a.epoch, 2);
	beat = beat_of(&a);
	beat.has_topics = true;
	ok(reader_say(&a, beat, false));
	ok(reader_obey(&a));
	assert_int_equal(a.has, 0);
	expect_group(GROUP_STABLE, 3);
}

static void topics_by_expression(void **state)
{
	(void)state;
	a.topics = NULL;
	a.regex = SLICE("[uv");
	assert_int_equal(reader_join(&a), OUTCOME_REGEX);
	assert_int_equal(f.s->groups.consumer_count, 0);
	a.regex = SLICE("[uv]");
	ok(reader_join(&a));
	assert_int_equal(a.has, 0);
	ok(topic_make("u", 2));
	ok(topic_make("v", 1));
	ok(topic_make("w", 1));
	ok(reader_join(&b)); /* by name */
	assert_int_equal(b.has, all_of(0, 4));
	ok(reader_beat(&a));
	assert_int_equal(a.has, all_of(1, 2) | all_of(2, 1));
	ok(topic_drop("v"));
	ok(reader_beat(&a));
	ok(reader_obey(&a));
	assert_int_equal(a.has, all_of(1, 2));
	expect_replays();
	fixture_restart(&f);
	ok(topic_make("v", 1));
	ok(reader_beat(&a));
	assert_int_equal(a.has, all_of(1, 2) | all_of(2, 1));
}

static void an_expression_that_takes_too_long(void **state)
{
	(void)state;
	ok(topic_make("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb", 1));
	a.topics = NULL;
	a.regex = SLICE("(a+)+b");
	assert_int_equal(reader_join(&a), OUTCOME_REGEX);
	assert_int_equal(reader_join(&a), OUTCOME_REGEX);
	ok(topic_drop("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb"));
	ok(reader_join(&a));
	ok(topic_make("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb", 1));
	ok(reader_beat(&a));
	assert_int_equal(a.has, 0);
	fixture_restart(&f);
	ok(reader_beat(&a));
}

/* --- offsets --- */

static enum outcome fetch_as(struct slice member, int32_t epoch)
{
	struct ask ask = {
		.c = {.kind = COMMAND_GROUP_OFFSETS, .in.group_offsets = {.group = a_group, .member = member, .epoch = epoch}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static void commits_are_of_an_epoch(void **state)
{
	struct reader old;

	(void)state;
	ok(reader_join(&a));
	old = a;
	ok(reader_commit(&a, 5));
	ok(reader_join(&b));
	ok(reader_beat(&a));
	ok(reader_commit(&a, 6)); /* before it gives up */
	ok(reader_obey(&a));
	assert_int_equal(reader_commit(&old, 7), OUTCOME_STALE);
	ok(reader_commit(&a, 8));
	assert_int_equal(reader_commit(&c, 9), OUTCOME_NO_MEMBER);
	old.epoch = -1;
	assert_int_equal(reader_commit(&old, 9), OUTCOME_STALE);
	expect_offsets(a_group, "t/0=8 ");
	ok(fetch_as((struct slice){0}, -1));
	ok(fetch_as(slice_str(a.id), a.epoch));
	assert_int_equal(fetch_as(slice_str(a.id), a.epoch - 1), OUTCOME_STALE);
	assert_int_equal(fetch_as(SLICE("nobody"), 1), OUTCOME_NO_MEMBER);
	ok(reader_leave(&a));
	ok(reader_leave(&b));
	c.epoch = -1;
	ok(reader_commit(&c, 9)); /* nobody is in it */
	expect_offsets(a_group, "t/0=9 ");
}

static void what_is_followed_is_kept(void **state)
{
	struct group_place place = {.topic = a_topic};
	struct group_commit_in in = {.who.group = a_group, .places = &place, .count = 1};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_FORGET, .in.group_commit = in}};

	(void)state;
	ok(reader_join(&a));
	ok(reader_commit(&a, 5));
	ok(fixture_ask(&f, &ask, 0));
	assert_int_equal(place.outcome, OUTCOME_BUSY);
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_BUSY);
	ok(reader_leave(&a));
	ask.back = 0;
	ok(fixture_ask(&f, &ask, 0));
	assert_int_equal(place.outcome, OUTCOME_OK);
	ok(group_tell(COMMAND_GROUP_DELETE, a_group));
	assert_int_equal(reader_beat(&a), OUTCOME_NO_MEMBER);
}

static void an_unused_group_goes(void **state)
{
	(void)state;
	ok(reader_join(&a));
	ok(reader_leave(&a));
	fixture_later(&f, 599999);
	assert_int_equal(f.s->groups.count, 1);
	fixture_later(&f, 2);
	assert_int_equal(f.s->groups.count, 0);
	expect_replays();
}

/* --- the other protocol --- */

static void a_group_is_of_one_kind_at_a_time(void **state)
{
	struct client classic = client_of("x", "range");

	(void)state;
	assert_int_equal(client_come(&classic), OUTCOME_OK);
	assert_int_equal(reader_join(&a), OUTCOME_NOT_FOUND);
	ok(client_sync(&classic, ""));
	ok(client_commit(&classic, 0, 7));
	ok(client_leave(&classic));
	ok(reader_join(&a));
	assert_true(a.epoch > classic.generation);
	expect_group(GROUP_STABLE, 0);
	expect_offsets(a_group, "t/0=7 ");
	assert_int_equal(client_join(&classic), OUTCOME_PROTOCOL);
	expect_replays();
	ok(reader_leave(&a));
	memset(classic.id, 0, sizeof(classic.id));
	assert_int_equal(client_come(&classic), OUTCOME_OK);
	assert_int_equal(reader_join(&a), OUTCOME_NOT_FOUND);
	expect_replays();
	client_gone(&classic);
	client_deinit(&classic);
}

/* --- limits --- */

static void limits_hold(void **state)
{
	char regex[] = "aaaaaaaaa";

	(void)state;
	f.config.group_members_max = 1;
	f.config.group_topics_max = 2;
	f.config.group_regex_max = sizeof(regex) - 2;
	f.config.group_partitions_max = 5;
	sequencer_configure(f.s, &f.config);
	a.topics = "t,u,v";
	assert_int_equal(reader_join(&a), OUTCOME_TOO_LARGE);
	a.topics = "t,u";
	a.regex = slice_str(regex);
	assert_int_equal(reader_join(&a), OUTCOME_TOO_LARGE);
	a.regex.len--;
	ok(reader_join(&a));
	assert_int_equal(reader_join(&b), OUTCOME_FULL);
	ok(topic_make("u", 2));
	assert_int_equal(reader_beat(&a), OUTCOME_FULL);
	f.config.group_partitions_max = 6;
	f.config.group_member_bytes_max = 10;
	sequencer_configure(f.s, &f.config);
	ok(reader_quit(&a));
	assert_int_equal(reader_join(&a), OUTCOME_TOO_LARGE);
	f.config.group_member_bytes_max = 1 << 20;
	sequencer_configure(f.s, &f.config);
	ok(reader_join(&a));
	assert_int_equal(a.has, all_of(0, 4) | all_of(1, 2));
}

static void ids_have_a_length(void **state)
{
	static char text[CONSUMER_SAID_BYTES + 1];
	struct consumer_beat beat = beat_of(&a);
	struct slice topics[3];

	(void)state;
	memset(text, 'x', sizeof(text));
	beat.has_topics = true;
	beat.group = slice_from(text, GROUP_ID_MAX + 1);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_NAME);
	beat.group = a_group;
	beat.member = slice_from(text, CONSUMER_ID_MAX + 1);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_NAME);
	beat.member = slice_from(text, 1);
	beat.instance = slice_from(text, GROUP_INSTANCE_MAX + 1);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_NAME);
	beat.instance = (struct slice){0};
	beat.rack = slice_from(text, CONSUMER_ID_MAX + 1);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_NAME);
	beat.rack = (struct slice){0};
	for (size_t i = 0; i < ARRAY_COUNT(topics); i++)
		topics[i] = slice_from(text, sizeof(text) / 3);
	beat.topics = topics;
	beat.topic_count = ARRAY_COUNT(topics);
	assert_int_equal(reader_say(&a, beat, true), OUTCOME_TOO_LARGE); /* more than an event holds */
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
		teardown(state);
		setup(state);
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

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_first_gets_all),
		T(a_partition_moves_when_it_was_given_up),
		T(who_leaves_leaves_its_partitions),
		T(who_is_silent_is_out),
		T(who_gives_nothing_up_is_out),
		T(an_epoch_must_be_its_own),
		T(the_same_word_changes_nothing),
		T(a_static_member_comes_back),
		T(a_static_member_does_not_come_back),
		T(members_are_taken_out),
		T(the_assignor_is_what_most_want),
		T(topics_come_grow_and_go),
		T(a_subscription_changes),
		T(topics_by_expression),
		T(an_expression_that_takes_too_long),
		T(commits_are_of_an_epoch),
		T(what_is_followed_is_kept),
		T(an_unused_group_goes),
		T(a_group_is_of_one_kind_at_a_time),
		T(limits_hold),
		T(ids_have_a_length),
		T(a_restart_is_not_noticed),
		T(every_allocation),
		T(a_view_shows_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
