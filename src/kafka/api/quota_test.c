/* Clients that have as much as they may, and more; each is counted by itself. */
#include "kafka/api/quota.h"

#include "base/mem.h"
#include "base/testing.h"

static struct kafka_quotas *quotas;

static int setup(void **state)
{
	(void)state;
	quotas = kafka_quotas_new();
	return quotas ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	quotas = kafka_quotas_free(quotas);
	return 0;
}

static uint32_t charge(const char *client, enum quota_kind kind, uint64_t bytes, uint64_t now_ms)
{
	return kafka_quota_charge(quotas, &(struct quota_charge){.client = kafka_quota_client(quotas, slice_str(client)),
								 .kind = kind,
								 .rate_bytes = 1000,
								 .bytes = bytes,
								 .now_ms = now_ms,
								 .clients_max = 3});
}

static void who_has_too_much_waits_for_as_long_as_that_is_worth(void **state)
{
	(void)state;
	/* A second's worth is free, what goes beyond it is not. */
	assert_int_equal(charge("a", QUOTA_PRODUCE, 1000, 100000), 0);
	assert_int_equal(charge("a", QUOTA_PRODUCE, 500, 100000), 500);
	assert_int_equal(charge("a", QUOTA_PRODUCE, 1, 100000), 501);
	assert_int_equal(charge("b", QUOTA_PRODUCE, 1001, 100000), 1);
	assert_int_equal(charge("a", QUOTA_FETCH, 1000, 100000), 0);
	/* It is paid for by waiting, and saved for a second at most. */
	assert_int_equal(charge("a", QUOTA_PRODUCE, 100, 100501), 100);
	assert_int_equal(charge("a", QUOTA_PRODUCE, 1000, 200000), 0);
	assert_int_equal(charge("a", QUOTA_PRODUCE, 10, 200000), 10);
	/* At a steady pace nobody waits. */
	for (uint64_t at = 300000; at < 310000; at += 100)
		assert_int_equal(charge("c", QUOTA_FETCH, 100, at), 0);
}

static void nobody_waits_for_ever_but_nothing_is_given(void **state)
{
	(void)state;
	assert_int_equal(charge("a", QUOTA_FETCH, 101000, 100000), QUOTA_WAIT_MAX_MS);
	assert_int_equal(charge("a", QUOTA_FETCH, 0, 130000), QUOTA_WAIT_MAX_MS);
	assert_int_equal(charge("a", QUOTA_FETCH, 0, 190000), 10000);
}

static void the_most_silent_are_forgotten(void **state)
{
	(void)state;
	assert_int_equal(charge("a", QUOTA_FETCH, 2000, 100000), 1000);
	assert_int_equal(charge("b", QUOTA_FETCH, 2000, 100000), 1000);
	assert_int_equal(charge("", QUOTA_FETCH, 2000, 100000), 1000);
	assert_int_equal(charge("a", QUOTA_FETCH, 0, 100000), 1000);
	assert_int_equal(charge("c", QUOTA_FETCH, 2000, 100000), 1000);
	assert_int_equal(charge("a", QUOTA_FETCH, 0, 100000), 1000);
	assert_int_equal(charge("b", QUOTA_FETCH, 0, 100000), 0);
}

static void without_memory_nobody_waits(void **state)
{
	(void)state;
	for (uint64_t k = 1; k <= 2; k++) {
		mem_fail_nth(k);
		assert_int_equal(charge("a", QUOTA_FETCH, 2000, 100000), 0);
		mem_fail_nth(0);
	}
	assert_int_equal(charge("a", QUOTA_FETCH, 2000, 100000), 1000);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(who_has_too_much_waits_for_as_long_as_that_is_worth),
		TEST(nobody_waits_for_ever_but_nothing_is_given),
		TEST(the_most_silent_are_forgotten),
		TEST(without_memory_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
