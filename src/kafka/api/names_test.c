#include "kafka/api/names.h"

#include "base/testing.h"

static void test_names(void **state)
{
	struct kafka_name names[] = {{SLICE("b"), 0}, {SLICE("aa"), 1}, {{0}, 2},
				     {SLICE("b"), 3}, {SLICE("a"), 4},  {SLICE("b"), 5}};

	(void)state;
	kafka_names_sort(names, 0);
	kafka_names_sort(names, ARRAY_COUNT(names));
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE("b"))->place, 0);
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE("b"))[1].place, 3);
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE("b"))[2].place, 5);
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE("aa"))->place, 1);
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE("a"))->place, 4);
	assert_int_equal(kafka_names_find(names, ARRAY_COUNT(names), SLICE(""))->place, 2);
	assert_null(kafka_names_find(names, ARRAY_COUNT(names), SLICE("c")));
	assert_null(kafka_names_find(names, ARRAY_COUNT(names), SLICE("zz")));
	assert_null(kafka_names_find(names, 0, SLICE("b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
