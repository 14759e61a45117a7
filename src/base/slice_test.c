#include "base/slice.h"
#include "base/testing.h"

#include <errno.h>

static void equality(void **state)
{
	struct slice none = {NULL, 0};

	(void)state;
	assert_true(slice_eq(none, SLICE("")));
	assert_true(slice_eq(SLICE("abc"), slice_str("abc")));
	assert_false(slice_eq(SLICE("abc"), SLICE("ab")));
	assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
	assert_true(slice_eq(slice_str(NULL), none));
	assert_true(slice_starts_with(SLICE("abc"), none));
	assert_true(slice_starts_with(none, none));
	assert_true(slice_starts_with(SLICE("abc"), SLICE("ab")));
	assert_false(slice_starts_with(SLICE("ab"), SLICE("abc")));
	assert_false(slice_starts_with(SLICE("abc"), SLICE("b")));
}

/* Every pair of bytes: equal exactly when equal or the two cases of one ASCII letter. */
static void equality_without_case(void **state)
{
	struct slice none = {NULL, 0};

	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char x = (char)a, y = (char)b;
			bool letters = (a | 32) >= 'a' && (a | 32) <= 'z' && (a ^ b) == 32;

			assert_int_equal(slice_eq_nocase(slice_from(&x, 1), slice_from(&y, 1)), a == b || letters);
		}
	}
	assert_true(slice_eq_nocase(none, SLICE("")));
	assert_true(slice_eq_nocase(SLICE("Content-LENGTH"), SLICE("content-length")));
	assert_false(slice_eq_nocase(SLICE("te"), SLICE("tee")));
}

static void a_nul_does_not_end_the_comparison(void **state)
{
	(void)state;
	assert_false(slice_eq_nocase(SLICE("a\0b"), SLICE("a\0c")));
	assert_true(slice_eq_nocase(SLICE("a\0b"), SLICE("A\0B")));
}

static void trim(void **state)
{
	(void)state;
	assert_true(slice_eq(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
	assert_true(slice_eq(slice_trim(SLICE("a")), SLICE("a")));
	assert_int_equal(slice_trim(SLICE(" \t\t ")).len, 0);
	assert_int_equal(slice_trim((struct slice){NULL, 0}).len, 0);
	assert_true(slice_eq(slice_trim(SLICE("\r\na\n")), SLICE("\r\na\n")));
}

static void cut(void **state)
{
	struct slice rest = SLICE("a,,bc");
	struct slice none = {NULL, 0};

	(void)state;
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("a")));
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("")));
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE("bc")));
	assert_int_equal(rest.len, 0);
	assert_int_equal(slice_cut(&rest, ',').len, 0);
	rest = SLICE(",");
	assert_int_equal(slice_cut(&rest, ',').len, 0);
	assert_int_equal(rest.len, 0);
	assert_int_equal(slice_cut(&none, ',').len, 0);
}

static void numbers(void **state)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "1a",
					  "0x1",
					  "1.",
					  "１",
					  "1_",
					  "18446744073709551616",
					  "99999999999999999999",
					  "184467440737095516150"};
	uint64_t value;

	(void)state;
	assert_int_equal(slice_u64(SLICE("0"), &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(slice_u64(SLICE("00042"), &value), 0);
	assert_int_equal(value, 42);
	assert_int_equal(slice_u64(SLICE("18446744073709551615"), &value), 0);
	assert_true(value == UINT64_MAX);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		value = 7;
		assert_int_equal(slice_u64(slice_str(bad[i]), &value), -EINVAL);
		assert_int_equal(value, 7);
	}
	assert_int_equal(slice_u64((struct slice){NULL, 0}, &value), -EINVAL);
	assert_int_equal(slice_u64(SLICE("1\0"), &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality),
		cmocka_unit_test(equality_without_case),
		cmocka_unit_test(a_nul_does_not_end_the_comparison),
		cmocka_unit_test(trim),
		cmocka_unit_test(cut),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
