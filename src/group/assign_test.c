/* The assignors: cases by hand, and random ones with what must hold of each. */
#include "group/assign.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

enum { TOPICS_MAX = 12, MEMBERS_MAX = 20, PARTITIONS_MAX = 15, ROUNDS = 4000 };

static struct assign_topic topics[TOPICS_MAX];
static struct assign_member members[MEMBERS_MAX];
static uint32_t subscribed[MEMBERS_MAX][TOPICS_MAX];
static struct place had[MEMBERS_MAX][TOPICS_MAX * PARTITIONS_MAX];
static struct assign assign;
static struct arena arena;
static struct test_random dice;

static uint32_t below(uint32_t bound)
{
	return (uint32_t)test_random_below(&dice, bound);
}

static void begin(uint32_t topic_count, uint32_t partitions, uint32_t member_count)
{
	memset(members, 0, sizeof(members));
	for (uint32_t t = 0; t < topic_count; t++)
		topics[t] = (struct assign_topic){10 + 3 * t, partitions};
	for (uint32_t m = 0; m < member_count; m++) {
		for (uint32_t t = 0; t < topic_count; t++)
			subscribed[m][t] = t;
		members[m] = (struct assign_member){.topics = subscribed[m], .topic_count = topic_count, .had = {had[m], 0}};
	}
	assign = (struct assign){topics, topic_count, members, member_count};
}

static void make(enum assignor assignor)
{
	assert_int_equal(assign_make(&assign, assignor, &arena), 0);
}

/* What each got is what it has, and the memory of it is over. */
static void settle(void)
{
	for (uint32_t m = 0; m < assign.member_count; m++) {
		memcpy(had[m], members[m].gets.at, members[m].gets.count * sizeof(struct place));
		members[m].had.count = members[m].gets.count;
	}
	arena_deinit(&arena);
}

static uint32_t owners_of(struct place place)
{
	uint32_t count = 0;

	for (uint32_t m = 0; m < assign.member_count; m++)
		count += places_have(&members[m].gets, place);
	return count;
}

static bool subscribes(uint32_t m, uint64_t topic)
{
	for (uint32_t i = 0; i < members[m].topic_count; i++) {
		if (topics[members[m].topics[i]].number == topic)
			return true;
	}
	return false;
}

/* Each partition is one member's, who subscribes to it. */
static void expect_whole(void)
{
	uint32_t got = 0;

	for (uint32_t t = 0; t < assign.topic_count; t++) {
		for (uint32_t p = 0; p < topics[t].partition_count; p++)
			assert_int_equal(owners_of((struct place){topics[t].number, p}), 1);
	}
	for (uint32_t m = 0; m < assign.member_count; m++) {
		struct places sorted = members[m].gets;

		places_sort(&sorted);
		assert_int_equal(sorted.count, members[m].gets.count);
		for (uint32_t i = 0; i < sorted.count; i++)
			assert_true(subscribes(m, sorted.at[i].topic));
		got += sorted.count;
	}
	assert_int_equal(got, assign_partitions(&assign));
}

static uint32_t moved(void)
{
	uint32_t count = 0;

	for (uint32_t m = 0; m < assign.member_count; m++) {
		for (uint32_t i = 0; i < members[m].gets.count; i++)
			count += !places_have(&members[m].had, members[m].gets.at[i]);
	}
	return count;
}

static bool is_there(struct place place)
{
	for (uint32_t t = 0; t < assign.topic_count; t++) {
		if (topics[t].number == place.topic)
			return place.partition < topics[t].partition_count;
	}
	return false;
}

/* How many must move, when all subscribe to the same: those of nobody, and what each has beyond its share. */
static uint32_t least_moves(void)
{
	uint32_t total = (uint32_t)assign_partitions(&assign), least = total / assign.member_count;
	uint32_t more = total % assign.member_count, kept = 0;

	for (uint32_t m = 0; m < assign.member_count; m++) {
		uint32_t has = 0;

		for (uint32_t i = 0; i < members[m].had.count; i++)
			has += is_there(members[m].had.at[i]);
		if (has > least && more) {
			kept += least + 1;
			more--;
		} else {
			kept += has < least ? has : least;
		}
	}
	return total - kept;
}

static void expect_even(void)
{
	uint32_t least = UINT32_MAX, most = 0;

	for (uint32_t m = 0; m < assign.member_count; m++) {
		least = members[m].gets.count < least ? members[m].gets.count : least;
		most = members[m].gets.count > most ? members[m].gets.count : most;
	}
	assert_true(most - least <= 1);
}

/* No partition could move to somebody who has two less. */
static void expect_none_could_move(void)
{
	for (uint32_t m = 0; m < assign.member_count; m++) {
		for (uint32_t i = 0; i < members[m].gets.count; i++) {
			for (uint32_t to = 0; to < assign.member_count; to++) {
				if (subscribes(to, members[m].gets.at[i].topic))
					assert_true(members[to].gets.count + 1 >= members[m].gets.count);
			}
		}
	}
}

/* --- by hand --- */

static void one_has_all_until_another_comes(void **state)
{
	(void)state;
	begin(2, 3, 1);
	make(ASSIGN_UNIFORM);
	expect_whole();
	assert_int_equal(members[0].gets.count, 6);
	settle();
	members[1] = (struct assign_member){.topics = subscribed[0], .topic_count = 2, .had = {had[1], 0}};
	assign.member_count = 2;
	make(ASSIGN_UNIFORM);
	expect_whole();
	expect_even();
	assert_int_equal(moved(), 3);
	settle();
}

static void more_members_than_partitions(void **state)
{
	(void)state;
	for (int assignor = 0; assignor < ASSIGNOR_COUNT; assignor++) {
		begin(1, 2, 5);
		make((enum assignor)assignor);
		expect_whole();
		settle();
	}
}

static void without_topics_there_is_nothing(void **state)
{
	(void)state;
	begin(0, 0, 3);
	make(ASSIGN_UNIFORM);
	expect_whole();
	settle();
	assign.member_count = 0;
	make(ASSIGN_RANGE);
}

static void range_gives_runs_and_topics_lie_alike(void **state)
{
	(void)state;
	begin(3, 7, 3);
	make(ASSIGN_RANGE);
	expect_whole();
	for (uint32_t t = 0; t < 3; t++) {
		for (uint32_t p = 0; p < 7; p++)
			assert_true(places_have(&members[p < 3 ? 0 : p < 5 ? 1 : 2].gets, (struct place){topics[t].number, p}));
	}
	settle();
}

static void who_may_have_little_gets_it(void **state)
{
	(void)state;
	begin(2, 4, 2);
	members[1].topic_count = 1; /* the first topic only; the second is the other's alone */
	make(ASSIGN_UNIFORM);
	expect_whole();
	assert_int_equal(members[0].gets.count, 4);
	assert_int_equal(members[1].gets.count, 4);
	settle();
}

static void assignors_have_names(void **state)
{
	enum assignor found;

	(void)state;
	assert_true(assignor_find(SLICE("uniform"), &found) && found == ASSIGN_UNIFORM);
	assert_true(assignor_find(SLICE("range"), &found) && found == ASSIGN_RANGE);
	assert_false(assignor_find(SLICE("Range"), &found));
	assert_false(assignor_find(SLICE(""), &found));
}

static void memory_may_be_short(void **state)
{
	uint64_t k = 0;
	int r;

	(void)state;
	begin(3, 5, 4);
	members[2].topic_count = 1;
	do {
		mem_fail_nth(++k);
		r = assign_make(&assign, ASSIGN_UNIFORM, &arena);
		mem_fail_nth(0);
		if (r)
			assert_int_equal(r, -ENOMEM);
		else
			expect_whole();
		arena_deinit(&arena);
	} while (r);
}

/* --- at random --- */

/* Of so many kinds; those of one share an array, or each has its own. */
static void subscribe(uint32_t kinds, bool shared)
{
	for (uint32_t m = 0; m < assign.member_count; m++) {
		uint32_t count = 0;

		for (uint32_t t = 0; t < assign.topic_count && m < kinds; t++) {
			if (kinds == 1 || t % kinds == m || below(2))
				subscribed[m][count++] = t;
		}
		if (m >= kinds) {
			count = members[m % kinds].topic_count;
			memcpy(subscribed[m], subscribed[m % kinds], sizeof(subscribed[m]));
		}
		members[m].topic_count = count;
		members[m].topics = subscribed[shared ? m % kinds : m];
	}
}

static void change_something(bool alike)
{
	uint32_t m = below(MEMBERS_MAX);

	for (uint32_t t = 0; t < assign.topic_count; t++) {
		if (below(4) == 0)
			topics[t].partition_count = 1 + below(PARTITIONS_MAX);
	}
	assign.member_count = 1 + below(MEMBERS_MAX);
	if (assign.member_count > m && below(2))
		members[m].had.count = 0; /* another one in its place */
	for (m = assign.member_count; m < MEMBERS_MAX; m++)
		members[m].had.count = 0;
	subscribe(alike ? 1 : 1 + below(assign.member_count < 4 || below(2) ? assign.member_count : 4), below(2));
}

static void expect_all(bool alike)
{
	expect_whole();
	if (alike) {
		expect_even();
		assert_int_equal(moved(), least_moves());
	}
	expect_none_could_move();
}

/* Each topic's partitions in runs, in the order of those who subscribe to it, the first of whom have one more. */
static void expect_range(void)
{
	expect_whole();
	for (uint32_t t = 0; t < assign.topic_count; t++) {
		uint32_t partitions = topics[t].partition_count, count = 0, nth = 0, p = 0;

		for (uint32_t m = 0; m < assign.member_count; m++)
			count += subscribes(m, topics[t].number);
		for (uint32_t m = 0; m < assign.member_count; m++) {
			if (!subscribes(m, topics[t].number))
				continue;
			for (uint32_t i = 0; i < partitions / count + (nth < partitions % count); i++)
				assert_true(places_have(&members[m].gets, (struct place){topics[t].number, p++}));
			nth++;
		}
		assert_int_equal(p, partitions);
	}
}

static void random_groups(void **state)
{
	(void)state;
	dice = test_random_start("assign");
	for (int round = 0; round < ROUNDS; round++) {
		bool alike = below(2);

		if (round % 10 == 0)
			begin(1 + below(TOPICS_MAX), 1 + below(PARTITIONS_MAX), MEMBERS_MAX);
		change_something(alike);
		make(ASSIGN_UNIFORM);
		expect_all(alike);
		settle();
		/* Nothing has changed, so nothing moves. */
		make(ASSIGN_UNIFORM);
		assert_int_equal(moved(), 0);
		settle();
		make(ASSIGN_RANGE);
		expect_range();
		arena_deinit(&arena);
	}
}

/* --- places as bytes --- */

static void places_are_read_as_they_were_written(void **state)
{
	struct place at[] =
		{{1, 0}, {1, 1}, {1, 9}, {2, 5}, {2, 6}, {2, 7}, {2, 8}, {2, 10}, {2, 11}, {2, 12}, {1000000, INT32_MAX}},
		     copy[ARRAY_COUNT(at)];
	struct places places = {at, ARRAY_COUNT(at)}, read = {copy, 0};
	struct buf buf = {0};

	(void)state;
	places_put(&buf, &places);
	assert_int_equal(places_measure(buf_slice(&buf), &read.count), 0);
	assert_int_equal(read.count, places.count);
	places_get(buf_slice(&buf), copy);
	assert_true(places_eq(&places, &read));
	for (size_t len = 1; len < buf.len; len++) { /* what is cut is a shorter set or none */
		uint32_t count = 0;

		if (places_measure(slice_from(buf.ptr, len), &count) == 0)
			assert_true(count < places.count);
	}
	assert_int_equal(places_measure(SLICE("\x01\x02\x00\x00"), &read.count), -EBADMSG); /* twice the same */
	assert_int_equal(places_measure(SLICE("\x00\x01\x00"), &read.count), -EBADMSG);     /* no topic has 0 */
	assert_int_equal(places_measure(SLICE("\x01\x00"), &read.count), -EBADMSG);         /* none of it */
	assert_int_equal(places_measure(SLICE("\x01\x04\x00\x00\x03"), &read.count), 0);    /* 0 to 3 */
	assert_int_equal(read.count, 4);
	assert_int_equal(places_measure(SLICE("\x01\x04\x00\x00\x04"), &read.count), -EBADMSG); /* more than there are */
	assert_int_equal(places_measure(SLICE("\x01\x02\xff\xff\xff\xff\x07\x00\x01"), &read.count), -EBADMSG);
	assert_int_equal(places_measure(SLICE("\x01\xa1\x8d\x06\x00\x00\xa0\x8d\x06"), &read.count), -EBADMSG); /* 100,001 */
	assert_int_equal(places_measure(SLICE("\x01\xa0\x8d\x06\x00\x00\x9f\x8d\x06"), &read.count), 0);
	assert_int_equal(read.count, PLACES_MAX);
	buf_deinit(&buf);
}

/* As many as one may have are a few bytes, if they lie side by side, so that an event holds them. */
static void the_most_is_short(void **state)
{
	enum { TOPICS = 10 };
	static struct place at[PLACES_MAX], copy[PLACES_MAX];
	struct places places = {at, PLACES_MAX}, read = {copy, 0};
	struct buf buf = {0};

	(void)state;
	for (uint32_t i = 0; i < PLACES_MAX; i++)
		at[i] = (struct place){1 + i / (PLACES_MAX / TOPICS), i % (PLACES_MAX / TOPICS)};
	places_put(&buf, &places);
	assert_true(buf.len <= TOPICS * 8);
	assert_int_equal(places_measure(buf_slice(&buf), &read.count), 0);
	places_get(buf_slice(&buf), copy);
	assert_true(places_eq(&places, &read));
	buf_deinit(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_has_all_until_another_comes),
		cmocka_unit_test(more_members_than_partitions),
		cmocka_unit_test(without_topics_there_is_nothing),
		cmocka_unit_test(range_gives_runs_and_topics_lie_alike),
		cmocka_unit_test(who_may_have_little_gets_it),
		cmocka_unit_test(assignors_have_names),
		cmocka_unit_test(memory_may_be_short),
		cmocka_unit_test(random_groups),
		cmocka_unit_test(places_are_read_as_they_were_written),
		cmocka_unit_test(the_most_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
