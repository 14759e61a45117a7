/* The oracle: each wait knows its key and when it came; who is first and who follows is looked up from end to end. */
#include "base/mem.h"
#include "base/testing.h"
#include "wait/board.h"

#include <errno.h>

enum { WAITS = 300, KEYS = 40 };

static const struct hash_key secret = {0x0123456789abcdef, 0xfedcba9876543210};

struct item {
	struct wait wait;
	uint64_t key, came;
	bool in;
};

/* Neighbours, and keys that differ in the highest bits only; number 0 is a key like any other. */
static uint64_t key_number(size_t i)
{
	return i % 3 ? i : (uint64_t)i << 56;
}

static struct item *oldest_after(struct item items[WAITS], uint64_t key, uint64_t came)
{
	struct item *oldest = NULL;

	for (size_t i = 0; i < WAITS; i++) {
		if (items[i].in && items[i].key == key && items[i].came > came && (!oldest || items[i].came < oldest->came))
			oldest = &items[i];
	}
	return oldest;
}

static size_t check_key(const struct board *board, struct item items[WAITS], uint64_t key)
{
	struct item *expected = oldest_after(items, key, 0);
	struct wait *first = board_find(board, key), *wait = first;
	size_t count = 0;

	for (; expected; expected = oldest_after(items, key, expected->came), count++) {
		assert_ptr_equal(wait, &expected->wait);
		assert_true(wait->key == key);
		wait = board_next(first, wait);
	}
	assert_null(wait);
	return count;
}

static void check_all(const struct board *board, struct item items[WAITS])
{
	size_t count = 0;

	for (size_t i = 0; i < KEYS; i++)
		count += check_key(board, items, key_number(i));
	assert_int_equal(board->count, count);
}

static void item_add(struct board *board, struct item *item, uint64_t key, uint64_t came)
{
	item->key = key;
	item->came = came;
	item->in = true;
	assert_int_equal(board_add(board, &item->wait, key), 0);
}

static void item_remove(struct board *board, struct item *item)
{
	board_remove(board, &item->wait);
	board_remove(board, &item->wait); /* harmless */
	item->in = false;
}

/* A wake: all of the key leave, the oldest first, each while the walk goes on. */
static void wake(struct board *board, struct item items[WAITS], uint64_t key)
{
	struct wait *wait;

	while ((wait = board_find(board, key))) {
		struct item *item = container_of(wait, struct item, wait);

		assert_ptr_equal(item, oldest_after(items, key, 0));
		item_remove(board, item);
	}
	assert_null(oldest_after(items, key, 0));
}

static void model(void **state)
{
	struct test_random random = test_random_start("board");
	struct item *items = mem_zalloc(WAITS * sizeof(*items));
	struct board board;

	(void)state;
	assert_non_null(items);
	board_init(&board, &secret);
	assert_null(board_find(&board, 0));
	for (uint64_t step = 1; step < 40000; step++) {
		struct item *item = &items[test_random_below(&random, WAITS)];
		/* In turn crowds on few keys and few on many. */
		uint64_t key = key_number(test_random_below(&random, step / 2000 % 2 ? 3 : KEYS));

		if (test_random_below(&random, 200) == 0)
			wake(&board, items, key);
		else if (!item->in)
			item_add(&board, item, key, step);
		else
			item_remove(&board, item);
		check_key(&board, items, item->key);
		check_key(&board, items, key);
		if (step % 500 == 0)
			check_all(&board, items);
	}
	for (size_t i = 0; i < KEYS; i++)
		wake(&board, items, key_number(i));
	check_all(&board, items);
	assert_int_equal(board.count, 0);
	board_deinit(&board);
	mem_free(items);
}

static void without_memory(void **state)
{
	struct item *items = mem_zalloc(WAITS * sizeof(*items));
	struct board board;

	(void)state;
	assert_non_null(items);
	board_init(&board, &secret);
	mem_fail_nth(1);
	assert_int_equal(board_add(&board, &items[0].wait, 1), -ENOMEM);
	mem_fail_nth(0);
	assert_int_equal(board.count, 0);
	assert_null(board_find(&board, 1));
	board_remove(&board, &items[0].wait); /* it hangs nowhere */
	item_add(&board, &items[0], 0, 1);

	/* From here on nothing can fail: neither more keys than buckets, nor an oldest whose place is taken by the next. */
	for (size_t i = 1; i < WAITS; i++) {
		mem_fail_nth(1);
		item_add(&board, &items[i], i % 2 ? key_number(1) : 1000 + i, 1 + i);
	}
	for (size_t i = 1; i < WAITS; i += 2) {
		mem_fail_nth(1);
		item_remove(&board, &items[i]);
		check_key(&board, items, key_number(1));
	}
	mem_fail_nth(0);
	for (size_t i = 2; i < WAITS; i += 2)
		assert_ptr_equal(board_find(&board, 1000 + i), &items[i].wait);
	assert_int_equal(board.count, WAITS / 2);
	board_deinit(&board);
	mem_free(items);
}

/* Two boards with other secrets know nothing of one another, and a wait that left one may hang on the other. */
static void from_board_to_board(void **state)
{
	struct board one, other;
	struct wait wait = {0}, next = {0};

	(void)state;
	board_init(&one, &secret);
	board_init(&other, &(struct hash_key){1, 2});
	assert_int_equal(board_add(&one, &wait, 7), 0);
	assert_int_equal(board_add(&one, &next, 7), 0);
	assert_null(board_find(&other, 7));
	board_remove(&one, &wait);
	assert_ptr_equal(board_find(&one, 7), &next);
	assert_int_equal(board_add(&other, &wait, 8), 0);
	assert_ptr_equal(board_find(&other, 8), &wait);
	assert_null(board_next(&wait, &wait));
	assert_null(board_find(&one, 8));
	board_remove(&other, &wait);
	board_remove(&one, &next);
	board_deinit(&one);
	board_deinit(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(without_memory),
		cmocka_unit_test(from_board_to_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
