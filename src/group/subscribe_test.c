/* What a group subscribes to: found with little work, however many members it has, and whatever comes and goes. Work is counted
 * in questions to who knows the topics. */
#include "group/consumer.h"

#include "base/testing.h"

#include <stdio.h>

enum { MEMBERS = 300, TOPICS = 500, NAME_CHARS = 16 };

static const struct hash_key key = {1, 2};
static struct groups groups;
static struct group *group;
static struct arena arena;
static struct assign assign;
static struct {
	char names[2 * TOPICS][NAME_CHARS];
	bool is_there[2 * TOPICS]; /* the topic with that number */
	uint64_t asked;
} world;

static bool tell(uint64_t number, struct group_topic *ret_topic)
{
	world.asked++;
	if (number >= ARRAY_COUNT(world.is_there) || !world.is_there[number])
		return false;
	*ret_topic = (struct group_topic){number, slice_str(world.names[number]), 3};
	return true;
}

static bool find(void *ctx, struct slice name, struct group_topic *ret_topic)
{
	uint64_t number = 0;

	(void)ctx;
	return name.len > 2 && slice_u64(slice_from(name.ptr + 2, name.len - 2), &number) == 0 && tell(number, ret_topic);
}

static bool get(void *ctx, uint64_t number, struct group_topic *ret_topic)
{
	(void)ctx;
	return tell(number, ret_topic);
}

static bool next(void *ctx, uint64_t after, struct group_topic *ret_topic)
{
	(void)ctx;
	for (uint64_t number = after + 1; number < ARRAY_COUNT(world.is_there); number++) {
		if (world.is_there[number])
			return tell(number, ret_topic);
	}
	world.asked++;
	return false;
}

static struct topic_source topics = {find, get, next, NULL, 0};

static void make(uint64_t number)
{
	snprintf(world.names[number], NAME_CHARS, "t-%u", (unsigned)number);
	world.is_there[number] = true;
	topics.version++;
}

static void drop(uint64_t number)
{
	world.is_there[number] = false;
	topics.version++;
}

static void emit(struct group_event e)
{
	struct group_prepared prepared;

	e.number = 1;
	assert_int_equal(groups_prepare(&groups, &e, &prepared), 0);
	groups_commit(&groups, &e, &prepared);
}

static void enter(unsigned nth, struct slice names, struct slice regex)
{
	char id[NAME_CHARS];

	snprintf(id, sizeof(id), "member-%u", nth);
	emit((struct group_event){.type = GROUP_MEMBER, .member = slice_str(id), .topics = names, .regex = regex});
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	topics.version = 1;
	for (uint64_t number = 1; number <= TOPICS; number++)
		make(number);
	assert_int_equal(groups_init(&groups, &key), 0);
	emit((struct group_event){.type = GROUP_CREATED, .id = SLICE("group")});
	group = group_find(&groups, SLICE("group"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_deinit(&arena);
	groups_deinit(&groups);
	return 0;
}

/* How often it asked. */
static uint64_t look(void)
{
	world.asked = 0;
	arena_deinit(&arena);
	assert_int_equal(group_subscriptions(group, &topics, &arena, &assign), 0);
	assert_int_equal(assign.member_count, group->consumer_count);
	return world.asked;
}

static void expect_all(uint32_t topic_count)
{
	assert_int_equal(assign.topic_count, topic_count);
	for (uint32_t m = 0; m < assign.member_count; m++) {
		assert_int_equal(assign.members[m].topic_count, topic_count);
		assert_true(assign.members[m].topics == assign.members[0].topics);
	}
}

/* Neighbours differ, but there are two kinds of them. */
static void patterns_are_looked_at_once_for_all(void **state)
{
	(void)state;
	for (unsigned m = 0; m < MEMBERS; m++)
		enter(m, (struct slice){0}, m % 2 ? SLICE("t-.*") : SLICE("t-[0-9]+"));
	assert_true(look() <= 2 * (TOPICS + 1) + 3 * TOPICS); /* each held against each; let go; told */
	expect_all(TOPICS);
	assert_true(look() <= TOPICS + 2); /* now it is known which match */
	make(TOPICS + 1);
	assert_true(look() <= 3 * (TOPICS + 1) + 4);
	expect_all(TOPICS + 1);
}

/* Topics that are gone do not stay with the pattern. */
static void what_is_gone_is_let_go(void **state)
{
	(void)state;
	enter(0, (struct slice){0}, SLICE("t-.*"));
	look();
	for (uint64_t number = 1; number < TOPICS; number++)
		drop(number);
	look();
	expect_all(1);
	assert_true(look() <= 2);
	drop(TOPICS);
	look();
	expect_all(0);
}

static void names_are_looked_up_once_for_all(void **state)
{
	static const char three[] = {3, 't', '-', '1', 3, 't', '-', '2', 3, 't', '-', '9'};
	static const char two[] = {3, 't', '-', '2', 5, 't', '-', '9', '9', '9'}; /* one of which there is not */

	(void)state;
	for (unsigned m = 0; m < MEMBERS; m++)
		enter(m, m % 2 ? slice_from(three, sizeof(three)) : slice_from(two, sizeof(two)), (struct slice){0});
	assert_true(look() <= 3 + 2 + 3);
	assert_int_equal(assign.topic_count, 3);
	for (uint32_t m = 0; m < MEMBERS; m++) {
		assert_int_equal(assign.members[m].topic_count, m % 2 ? 3 : 1);
		assert_int_equal(assign.topics[assign.members[m].topics[0]].number, m % 2 ? 1 : 2);
		assert_true(assign.members[m].topics == assign.members[m % 2].topics);
	}
}

/* Many kinds: each has some of its own, all together have each once. */
static void each_may_have_its_own(void **state)
{
	char regex[NAME_CHARS];

	(void)state;
	for (unsigned m = 0; m < 30; m++) {
		snprintf(regex, sizeof(regex), "t-%u.?|t-7", m);
		enter(m, (struct slice){0}, slice_str(regex));
	}
	look();
	for (uint32_t t = 1; t < assign.topic_count; t++)
		assert_true(assign.topics[t - 1].number < assign.topics[t].number);
	for (uint32_t m = 0; m < 30; m++) {
		const struct assign_member *member = &assign.members[m];
		bool has_seven = false;

		for (uint32_t i = 0; i < member->topic_count; i++) {
			uint64_t number = assign.topics[member->topics[i]].number;

			assert_true(i == 0 || member->topics[i - 1] < member->topics[i]);
			assert_true(number == 7 || number == m || number / 10 == m);
			has_seven |= number == 7;
		}
		assert_true(has_seven);
		assert_int_equal(member->topic_count, m == 0 ? 1 : m == 7 ? 11 : 12);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(patterns_are_looked_at_once_for_all),
		T(what_is_gone_is_let_go),
		T(names_are_looked_up_once_for_all),
		T(each_may_have_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
