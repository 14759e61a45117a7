/* Consumers, rule by rule: what they subscribe to, who assigns, what they commit, the other kind of groups, and limits. */
#include "sequencer/consumer_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

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
	/* It may not know of its epoch yet; and t/0 has been its own all along, or is not its own any more. */
	assert_int_equal(reader_commit(&old, 7), a.has & place_bit(0, 0) ? OUTCOME_OK : OUTCOME_STALE);
	old.epoch = a.epoch + 1;
	assert_int_equal(reader_commit(&old, 7), OUTCOME_STALE);
	ok(reader_commit(&a, 8));
	old = b;
	old.epoch = 1; /* before it had anything */
	assert_int_equal(reader_commit(&old, 9), OUTCOME_STALE);
	old = a;
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

#define T(test) cmocka_unit_test_setup_teardown(test, readers_setup, readers_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
