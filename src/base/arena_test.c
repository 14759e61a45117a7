#include "base/arena.h"
#include "base/mem.h"
#include "base/testing.h"

enum { PIECES = 400 };

/* Pieces of all sizes keep what was written into them: none overlaps another, all are aligned. */
static void model(void **state)
{
	struct test_random random = test_random_start("arena");

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct arena arena = {0};
		uint8_t *pieces[PIECES];
		size_t sizes[PIECES];

		for (size_t i = 0; i < PIECES; i++) {
			size_t bound = test_random_below(&random, 8) ? 200 : 9000;

			sizes[i] = test_random_below(&random, bound);
			pieces[i] = i % 2 ? arena_alloc(&arena, sizes[i]) : arena_zalloc(&arena, sizes[i]);
			assert_non_null(pieces[i]);
			assert_int_equal((uintptr_t)pieces[i] % 8, 0);
			for (size_t k = 0; i % 2 == 0 && k < sizes[i]; k++)
				assert_int_equal(pieces[i][k], 0);
			memset(pieces[i], (int)(i & 0xff), sizes[i]);
		}
		for (size_t i = 0; i < PIECES; i++) {
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(pieces[i][k], i & 0xff);
		}
		arena_deinit(&arena);
		arena_deinit(&arena);
	}
}

static void copies(void **state)
{
	struct arena arena = {0};
	struct slice copy = arena_dup(&arena, SLICE("a\0b"));

	(void)state;
	assert_true(slice_eq(copy, SLICE("a\0b")));
	assert_int_equal(copy.ptr[3], 0);
	copy = arena_dup(&arena, (struct slice){NULL, 0});
	assert_non_null(copy.ptr);
	assert_int_equal(copy.ptr[0], 0);
	arena_deinit(&arena);
}

/* A large piece does not make the arena forget the room it still has: small ones after it need no new block. */
static void a_large_piece_wastes_nothing(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_non_null(arena_alloc(&arena, 100));
	assert_non_null(arena_alloc(&arena, 100000));
	mem_fail_nth(1);
	for (int i = 0; i < 15; i++)
		assert_non_null(arena_alloc(&arena, 100));
	mem_fail_nth(0);
	arena_deinit(&arena);
}

static void without_memory(void **state)
{
	struct arena arena = {0};
	char *first;

	(void)state;
	mem_fail_nth(1);
	assert_null(arena_alloc(&arena, 10));
	assert_null(arena.blocks);
	mem_fail_nth(1);
	assert_null(arena_dup(&arena, SLICE("abc")).ptr);
	first = arena_alloc(&arena, 8);
	assert_non_null(first);
	memcpy(first, "unharmed", 8);
	mem_fail_nth(1);
	assert_null(arena_zalloc(&arena, 5000));
	assert_non_null(arena_alloc(&arena, 8)); /* there is room left */
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_alloc(&arena, SIZE_MAX - 7));
	assert_null(arena_alloc(&arena, SIZE_MAX - 16));
	assert_memory_equal(first, "unharmed", 8);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(copies),
		cmocka_unit_test(a_large_piece_wastes_nothing),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
