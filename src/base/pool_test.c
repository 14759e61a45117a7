#include "base/mem.h"
#include "base/pool.h"
#include "base/testing.h"

#include <string.h>

enum { OBJECTS = 3000 };

static bool all_are(const uint8_t *at, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] != value)
			return false;
	}
	return true;
}

static void run_model(struct test_random *random, size_t object_bytes, size_t steps)
{
	static uint8_t *held[OBJECTS];
	struct pool pool;
	size_t live = 0;

	memset(held, 0, sizeof(held));
	pool_init(&pool, object_bytes);
	for (size_t step = 0; step < steps; step++) {
		size_t i = test_random_below(random, OBJECTS);

		if (held[i]) {
			assert_true(all_are(held[i], object_bytes, (uint8_t)i));
			pool_give(&pool, held[i]);
			held[i] = NULL;
			live--;
		} else {
			held[i] = pool_take(&pool);
			assert_non_null(held[i]);
			assert_int_equal((uintptr_t)held[i] % 16, 0);
			assert_true(all_are(held[i], object_bytes, 0));
			memset(held[i], (uint8_t)i, object_bytes);
			live++;
		}
		assert_int_equal(pool.live_count, live);
	}
	pool_deinit(&pool); /* with objects still out */
	assert_int_equal(pool.live_count, 0);
	pool_deinit(&pool);
}

static void model(void **state)
{
	static const size_t sizes[] = {1, 8, 16, 17, 200, 4096, 32 * 1024 - 16};
	struct test_random random = test_random_start("pool");

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run_model(&random, sizes[i], sizes[i] < 4096 ? 20000 : 500);
}

static void without_memory(void **state)
{
	struct pool pool;
	void *object;
	size_t count = 1;

	(void)state;
	pool_init(&pool, 64);
	mem_fail_nth(1);
	assert_null(pool_take(&pool));
	assert_int_equal(pool.live_count, 0);
	object = pool_take(&pool);
	assert_non_null(object);
	mem_fail_nth(1); /* what the chunk holds needs no memory */
	while (pool_take(&pool))
		count++;
	assert_int_equal(count, (64 * 1024 - 16) / 64);
	assert_int_equal(pool.live_count, count);
	pool_give(&pool, object);
	mem_fail_nth(1);
	assert_ptr_equal(pool_take(&pool), object);
	mem_fail_nth(0);
	pool_deinit(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
