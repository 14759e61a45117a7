/* Against hashes that Apache Kafka's own tests name (UtilsTest.testMurmur2), by what is left of them modulo a prime that tells
 * them apart. */
#include "topic/partitioner.h"

#include "base/testing.h"

static const struct {
	struct slice key;
	int32_t hash;
} known[] = {
	{{"21", 2}, -973932308},
	{{"foobar", 6}, -790332482},
	{{"a-little-bit-long-string", 24}, -985981536},
	{{"a-little-bit-longer-string", 26}, -1486304829},
	{{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 48}, -58897971},
	{{"abc", 3}, 479470107},
};

static void keys_go_where_java_sends_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		uint32_t positive = (uint32_t)known[i].hash & 0x7fffffff;

		assert_int_equal(partition_of_key(known[i].key, 0x7fffffff), positive % 0x7fffffff);
		assert_int_equal(partition_of_key(known[i].key, 1), 0);
		assert_int_equal(partition_of_key(known[i].key, 12), positive % 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keys_go_where_java_sends_them)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
