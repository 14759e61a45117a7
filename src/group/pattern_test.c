#include "group/pattern.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

static int matches(struct slice text, struct slice name)
{
	struct pattern *pattern;
	int r;

	assert_int_equal(pattern_new(text, &pattern), 0);
	assert_true(slice_eq(pattern_text(pattern), text));
	r = pattern_matches(pattern, name);
	pattern_free(pattern);
	return r;
}

static void a_name_is_matched_as_a_whole(void **state)
{
	(void)state;
	assert_int_equal(matches(SLICE("orders"), SLICE("orders")), 1);
	assert_int_equal(matches(SLICE("orders"), SLICE("orders-2")), 0);
	assert_int_equal(matches(SLICE("orders"), SLICE("my-orders")), 0);
	assert_int_equal(matches(SLICE("^orders.*$"), SLICE("orders-2")), 1);
	assert_int_equal(matches(SLICE("(a|ab)(c|bcd)"), SLICE("abcd")), 1);
	assert_int_equal(matches(SLICE("a|ab"), SLICE("ab")), 1);
	assert_int_equal(matches(SLICE(""), SLICE("a")), 0);
}

static void what_re2_knows_is_known(void **state)
{
	(void)state;
	assert_int_equal(matches(SLICE("(?i)ORD[[:alpha:]]+"), SLICE("orders")), 1);
	assert_int_equal(matches(SLICE("(?P<kind>a+)-\\d{2,3}"), SLICE("aa-123")), 1);
	assert_int_equal(matches(SLICE("\\Qa.b\\E"), SLICE("a.b")), 1);
	assert_int_equal(matches(SLICE("\\Qa.b\\E"), SLICE("axb")), 0);
	assert_int_equal(matches(SLICE("\\Aa+?\\z"), SLICE("aaa")), 1);
	assert_int_equal(matches(SLICE("[^-_]*"), SLICE("a-b")), 0);
}

static void what_is_no_expression_is_refused(void **state)
{
	static const struct slice wrong[] = {
		SLICE_INIT("("),      SLICE_INIT("[a"),  SLICE_INIT("*a"),
		SLICE_INIT("a{2,1}"), SLICE_INIT("\\C"), SLICE_INIT("(((a{1000}){1000}){1000})"),
	};
	char deep[400];
	struct pattern *pattern;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(pattern_new(wrong[i], &pattern), -EINVAL);
	memset(deep, '(', 200);
	memset(deep + 200, ')', 200);
	assert_int_equal(pattern_new(slice_from(deep, sizeof(deep)), &pattern), -EINVAL);
}

static void no_match_takes_for_ever(void **state)
{
	(void)state;
	assert_int_equal(matches(SLICE("(a+)+b"), SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb")), -E2BIG);
}

static void memory_may_be_short(void **state)
{
	struct pattern *pattern;
	uint64_t k = 0;
	int r;

	(void)state;
	do {
		mem_fail_nth(++k);
		r = pattern_new(SLICE("a(b|c)*"), &pattern);
		if (!r) {
			r = pattern_matches(pattern, SLICE("abcbc"));
			pattern_free(pattern);
		}
		mem_fail_nth(0);
		assert_true(r == 1 || r == -ENOMEM);
	} while (r != 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_matched_as_a_whole),
		cmocka_unit_test(what_re2_knows_is_known),
		cmocka_unit_test(what_is_no_expression_is_refused),
		cmocka_unit_test(no_match_takes_for_ever),
		cmocka_unit_test(memory_may_be_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
