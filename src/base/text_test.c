#include "base/testing.h"
#include "base/text.h"

#include <errno.h>

struct number_case {
	const char *text;
	uint64_t value;
};

static void expect_numbers(int (*parse)(struct slice, uint64_t *), const struct number_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 0;

		if (parse(slice_str(cases[i].text), &value) || value != cases[i].value)
			fail_msg("\"%s\" gave %llu", cases[i].text, (unsigned long long)value);
	}
}

static void expect_refused(int (*parse)(struct slice, uint64_t *), const char *const *texts, size_t count)
{
	uint64_t value = 4711;

	for (size_t i = 0; i < count; i++) {
		if (parse(slice_str(texts[i]), &value) != -EINVAL || value != 4711)
			fail_msg("\"%s\" was not refused, or left %llu", texts[i], (unsigned long long)value);
	}
	assert_int_equal(parse((struct slice){NULL, 0}, &value), -EINVAL);
	assert_int_equal(parse(SLICE("1s\0"), &value), -EINVAL);
	assert_int_equal(parse(SLICE("1\0s"), &value), -EINVAL);
	assert_int_equal(value, 4711);
}

static const struct number_case good_durations[] = {
	{"0", 0},
	{"30", 30000},
	{"30s", 30000},
	{"1500ms", 1500},
	{"5m", 300000},
	{"2h", 7200000},
	{"7d", 604800000},
	{"1.5s", 1500},
	{"0.25", 250},
	{"1.001s", 1001},
	{"1.5h", 5400000},
	{"0.5d", 43200000},
	{"007s", 7000},
	/* The largest of each unit. */
	{"18446744073709551ms", 18446744073709551},
	{"18446744073709.551s", 18446744073709551},
	{"307445734561m", 18446744073660000},
	{"5124095576h", 18446744073600000},
	{"213503982d", 18446744044800000},
};

static const char *const bad_durations[] = {
	"",
	" ",
	"s",
	"ms",
	".5s",
	"-1s",
	"+1s",
	"1 s",
	" 1s",
	"1s ",
	"1x",
	"1sec",
	"1.s",
	"1.0000s",
	"1..5s",
	"1.5.5s",
	"1e3",
	"0x10",
	"inf",
	"nan",
	"1m30s",
	"1,5s",
	"1mss",
	/* One more than that. */
	"18446744073709552ms",
	"18446744073709.552s",
	"18446744073710s",
	"307445734562m",
	"5124095577h",
	"213503983d",
	"18446744073709551615",
	"18446744073709551616",
	"99999999999999999999d",
};

static void durations(void **state)
{
	(void)state;
	expect_numbers(text_duration_ms, good_durations, ARRAY_COUNT(good_durations));
	expect_refused(text_duration_ms, bad_durations, ARRAY_COUNT(bad_durations));
}

static void sizes(void **state)
{
	static const struct number_case good[] = {
		{"0", 0},
		{"4096", 4096},
		{"4096B", 4096},
		{"64k", 65536},
		{"64K", 65536},
		{"64kB", 65536},
		{"64KiB", 65536},
		{"16M", 16777216},
		{"2G", 2147483648},
		{"2gib", 2147483648},
		{"1T", 1099511627776},
		{"1.5M", 1572864},
		{"0.5k", 512},
		{"18446744073709551", 18446744073709551},
		{"16777T", 16777 * 1099511627776},
	};
	static const char *const bad[] = {"",
					  "k",
					  "B",
					  "iB",
					  "5i",
					  "5iB",
					  "5ki",
					  "5KK",
					  "5BB",
					  "5kBB",
					  "5Bk",
					  "-1k",
					  "1 k",
					  "1P",
					  "1.2345k",
					  "16778T",
					  "18446744073709552",
					  "18446744073709551615"};

	(void)state;
	expect_numbers(text_size, good, ARRAY_COUNT(good));
	expect_refused(text_size, bad, ARRAY_COUNT(bad));
}

static void expect_time(uint64_t unix_ms, const char *text)
{
	char out[TEXT_TIME_BYTES];
	struct slice s = text_time(unix_ms, out);

	assert_string_equal(out, text);
	assert_int_equal(s.len, strlen(text));
	assert_ptr_equal(s.ptr, out);
}

static void times(void **state)
{
	(void)state;
	expect_time(0, "1970-01-01T00:00:00.000Z");
	expect_time(951782399999, "2000-02-28T23:59:59.999Z");
	expect_time(951782400000, "2000-02-29T00:00:00.000Z"); /* divisible by 400: a leap year */
	expect_time(951868800000, "2000-03-01T00:00:00.000Z");
	expect_time(1709164800000, "2024-02-29T00:00:00.000Z");
	expect_time(1735689599999, "2024-12-31T23:59:59.999Z");
	expect_time(4107542399999, "2100-02-28T23:59:59.999Z");
	expect_time(4107542400000, "2100-03-01T00:00:00.000Z"); /* divisible by 100: none */
	expect_time(2147483648000, "2038-01-19T03:14:08.000Z");
	expect_time(253402300799999, "9999-12-31T23:59:59.999Z");
	expect_time(253402300800000, "9999-12-31T23:59:59.999Z");
	expect_time(UINT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void expect_as_libc(uint64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	char libc[40], whole[50];
	struct tm tm;

	assert_non_null(gmtime_r(&seconds, &tm));
	assert_true(strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%S", &tm) > 0);
	snprintf(whole, sizeof(whole), "%s.%03uZ", libc, (unsigned)(unix_ms % 1000));
	expect_time(unix_ms, whole);
}

/* The first and the last millisecond of every day for 440 years, then any moment there is. */
static void times_as_libc_says(void **state)
{
	struct test_random random = test_random_start("times");

	(void)state;
	for (uint64_t day = 0; day < 440 * 366; day++) {
		expect_as_libc(day * 86400000);
		expect_as_libc(day * 86400000 + 86399999);
	}
	for (int i = 0; i < 100000; i++)
		expect_as_libc(test_random_u64(&random) % 253402300800000);
}

static void base32_round_trip(void **state)
{
	struct test_random random = test_random_start("base32");
	uint8_t bytes[100], back[100];
	char text[160];

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len += 5) {
		test_random_bytes(&random, bytes, len);
		memset(text, '#', sizeof(text));
		text_base32(bytes, len, text);
		for (size_t i = 0; i < sizeof(text); i++)
			assert_int_equal(strchr("0123456789abcdefghjkmnpqrstvwxyz", text[i]) != NULL, i < len / 5 * 8);
		assert_int_equal(text_base32_decode(slice_from(text, len / 5 * 8), back), 0);
		assert_memory_equal(back, bytes, len);
	}
	text_base32((const uint8_t *)"\x00\x44\x32\x14\xc7\x42\x54\xb6\x35\xcf", 10, text);
	assert_memory_equal(text, "0123456789abcdef", 16);
	text_base32((const uint8_t *)"\x84\x65\x3a\x56\xd7\xc6\x75\xbe\x77\xdf", 10, text);
	assert_memory_equal(text, "ghjkmnpqrstvwxyz", 16);
}

/* Of all bytes only the 32 digits pass, wherever they stand; and a refusal leaves the output alone. */
static void base32_is_strict(void **state)
{
	uint8_t out[10], untouched[10];

	(void)state;
	memset(untouched, 0xa5, sizeof(untouched));
	for (size_t at = 0; at < 16; at++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[17] = "0000000000000000";
			bool digit = c && strchr("0123456789abcdefghjkmnpqrstvwxyz", (int)c);

			text[at] = (char)c;
			memset(out, 0xa5, sizeof(out));
			assert_int_equal(text_base32_decode(slice_from(text, 16), out), digit ? 0 : -EINVAL);
			if (!digit)
				assert_memory_equal(out, untouched, sizeof(out));
		}
	}
	for (size_t len = 1; len < 16; len++)
		assert_int_equal(text_base32_decode(slice_from("0000000000000000", len), out), len == 8 ? 0 : -EINVAL);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* The definition, without a table: for short words only. */
static unsigned distance_by_definition(struct slice a, struct slice b)
{
	struct slice a1 = {a.ptr + 1, a.len - 1}, b1 = {b.ptr + 1, b.len - 1};

	if (a.len == 0 || b.len == 0)
		return (unsigned)(a.len + b.len);
	return least(least(distance_by_definition(a1, b) + 1, distance_by_definition(a, b1) + 1),
		     distance_by_definition(a1, b1) + (a.ptr[0] != b.ptr[0]));
}

static void distances(void **state)
{
	struct test_random random = test_random_start("distance");
	char words[2][6], longer[100];

	(void)state;
	assert_int_equal(text_distance(SLICE("kitten"), SLICE("sitting")), 3);
	assert_int_equal(text_distance(SLICE("wiat"), SLICE("wait")), 2);
	assert_int_equal(text_distance(SLICE("thread"), SLICE("threads")), 1);
	assert_int_equal(text_distance((struct slice){NULL, 0}, SLICE("abc")), 3);
	assert_int_equal(text_distance((struct slice){NULL, 0}, (struct slice){NULL, 0}), 0);
	for (int i = 0; i < 2000; i++) {
		struct slice a = {words[0], test_random_below(&random, 6)}, b = {words[1], test_random_below(&random, 6)};

		for (size_t k = 0; k < sizeof(words); k++)
			(&words[0][0])[k] = (char)('a' + test_random_below(&random, 3));
		assert_int_equal(text_distance(a, b), distance_by_definition(a, b));
	}
	memset(longer, 'x', sizeof(longer));
	assert_int_equal(text_distance(slice_from(longer, 100), SLICE("")), 64);
	assert_int_equal(text_distance(slice_from(longer, 100), slice_from(longer, 64)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(times),
		cmocka_unit_test(times_as_libc_says),
		cmocka_unit_test(base32_round_trip),
		cmocka_unit_test(base32_is_strict),
		cmocka_unit_test(distances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
