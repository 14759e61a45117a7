#include "hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct hist hist;

/* Every value alone comes back to better than 0.8 %, small ones exactly. */
static void each_value_is_kept(void **state)
{
	(void)state;
	for (uint64_t value_ns = 1; value_ns < 1ull << 39; value_ns += 1 + value_ns / 37) {
		hist_reset(&hist);
		hist_add(&hist, value_ns);
		hist_add(&hist, 1ull << 39); /* so that the largest value does not bound the answer */
		uint64_t got_ns = hist_quantile_ns(&hist, 0.5);
		uint64_t off_ns = got_ns > value_ns ? got_ns - value_ns : value_ns - got_ns;
		assert_true(off_ns * 1000 <= value_ns * 8);
		if (value_ns < 128)
			assert_int_equal(got_ns, value_ns);
	}
}

static void quantiles_of_an_even_spread(void **state)
{
	(void)state;
	hist_reset(&hist);
	for (uint64_t i = 1; i <= 100000; i++)
		hist_add(&hist, i * 100);
	assert_in_range(hist_quantile_ns(&hist, 0.5), 4960000, 5040000);
	assert_in_range(hist_quantile_ns(&hist, 0.99), 9820000, 9980000);
	assert_int_equal(hist.min_ns, 100);
	assert_int_equal(hist.max_ns, 10000000);
	assert_int_equal(hist.count, 100000);
}

static void nothing_and_too_much(void **state)
{
	(void)state;
	hist_reset(&hist);
	assert_int_equal(hist_quantile_ns(&hist, 0.99), 0);
	hist_add(&hist, UINT64_MAX);
	assert_int_equal(hist.max_ns, UINT64_MAX);
	assert_true(hist_quantile_ns(&hist, 1.0) >= 1ull << 39);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_value_is_kept),
		cmocka_unit_test(quantiles_of_an_even_spread),
		cmocka_unit_test(nothing_and_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
