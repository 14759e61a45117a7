#include "base/buf.h"
#include "base/mem.h"
#include "base/testing.h"

static void starts_empty(void **state)
{
	struct buf buf = {0};

	(void)state;
	assert_int_equal(buf_slice(&buf).len, 0);
	buf_append(&buf, NULL, 0);
	buf_append_slice(&buf, (struct slice){NULL, 0});
	buf_append_str(&buf, "");
	buf_consume(&buf, 0);
	assert_null(buf.ptr); /* nothing costs nothing */
	assert_non_null(buf_reserve(&buf, 0));
	buf_deinit(&buf);
	buf_deinit(&buf);
	assert_null(buf.ptr);
}

static void appends(void **state)
{
	struct buf buf = {0};

	(void)state;
	buf_append_str(&buf, "a=");
	buf_append_u64(&buf, 0);
	buf_append_char(&buf, ' ');
	buf_append_u64(&buf, UINT64_MAX);
	buf_append_slice(&buf, SLICE("\0x"));
	buf_printf(&buf, "%s-%05d", "y", 42);
	assert_false(buf.failed);
	assert_true(slice_eq(buf_slice(&buf), SLICE("a=0 18446744073709551615\0xy-00042")));
	buf_clear(&buf);
	assert_int_equal(buf.len, 0);
	assert_non_null(buf.ptr);
	buf_deinit(&buf);
}

/* Around the first capacity and each doubling, where printf's NUL has to find room too. */
static void printf_at_every_fill(void **state)
{
	(void)state;
	for (size_t fill = 0; fill < 1100; fill++) {
		struct buf buf = {0};

		for (size_t i = 0; i < fill; i++)
			buf_append_char(&buf, 'x');
		buf_printf(&buf, "%d|%s", 123, "abc");
		assert_int_equal(buf.len, fill + 7);
		assert_memory_equal(buf.ptr + fill, "123|abc", 7);
		assert_true(buf.cap >= buf.len);
		buf_deinit(&buf);
	}
}

static void absurd_lengths_fail(void **state)
{
	struct buf buf = {0};

	(void)state;
	buf_append_char(&buf, 'a');
	assert_null(buf_reserve(&buf, SIZE_MAX));
	assert_true(buf.failed);
	assert_int_equal(buf.len, 1);
	buf_clear(&buf);
	assert_null(buf_reserve(&buf, SIZE_MAX / 2 + 1));
	assert_true(buf.failed);
	buf_deinit(&buf);
}

static void model(void **state)
{
	struct test_random random = test_random_start("buf");
	struct buf buf = {0};
	static char oracle[1 << 20], bytes[700];
	size_t len = 0;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		size_t n = test_random_below(&random, sizeof(bytes));

		if (len + n > sizeof(oracle) || test_random_below(&random, 3) == 0) {
			n = test_random_below(&random, len + 1);
			buf_consume(&buf, n);
			memmove(oracle, oracle + n, len -= n);
		} else {
			test_random_bytes(&random, bytes, n);
			buf_append(&buf, bytes, n);
			memcpy(oracle + len, bytes, n);
			len += n;
		}
		assert_false(buf.failed);
		assert_true(slice_eq(buf_slice(&buf), slice_from(oracle, len)));
	}
	buf_deinit(&buf);
}

static void fill_some(struct buf *buf)
{
	for (unsigned i = 0; i < 200; i++)
		buf_printf(buf, "%u: a line\n", i);
}

/* Whichever allocation fails: what came before it is whole, and nothing comes after it until the failure is cleared. */
static void failure_is_sticky(void **state)
{
	struct buf whole = {0};
	uint64_t n = 0;
	bool failed;

	(void)state;
	fill_some(&whole);
	do {
		struct buf buf = {0};
		size_t len;

		mem_fail_nth(++n);
		fill_some(&buf);
		mem_fail_nth(0);
		failed = buf.failed;
		len = buf.len;
		assert_true(failed ? len < whole.len : len == whole.len);
		if (len)
			assert_memory_equal(buf.ptr, whole.ptr, len);
		if (failed) {
			buf_append_char(&buf, 'x');
			assert_null(buf_reserve(&buf, 1));
			assert_int_equal(buf.len, len);
			buf_clear(&buf);
			fill_some(&buf);
			assert_true(slice_eq(buf_slice(&buf), buf_slice(&whole)));
		}
		buf_deinit(&buf);
	} while (failed);
	assert_true(n > 3);
	buf_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty),        cmocka_unit_test(appends), cmocka_unit_test(printf_at_every_fill),
		cmocka_unit_test(absurd_lengths_fail), cmocka_unit_test(model),   cmocka_unit_test(failure_is_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
