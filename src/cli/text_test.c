/* The small text forms: base64, UTF-8, times, sizes, what is safe for a terminal, content types, patience. */
#include "base/testing.h"
#include "cli/base64.h"
#include "cli/fmt.h"
#include "cli/live.h"
#include "cli/mime.h"
#include "cli/session.h"
#include "cli/utf8.h"

#include <errno.h>
#include <string.h>

static void expect_text(struct buf *out, const char *want)
{
	assert_string_equal(cli_text(out), want);
	buf_deinit(out);
}

static void base64_of_the_standard(void **state)
{
	static const char *const pairs[][2] = {{"", ""},
					       {"Zg==", "f"},
					       {"Zm8=", "fo"},
					       {"Zm9v", "foo"},
					       {"Zm9vYg==", "foob"},
					       {"Zm9vYmE=", "fooba"},
					       {"Zm9vYmFy", "foobar"}};
	static const char *const wrong[] = {"Z", "Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zg=g", "Zm_v"};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
		assert_int_equal(base64_decode(&out, slice_str(pairs[i][0])), 0);
		expect_text(&out, pairs[i][1]);
	}
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		if (base64_decode(&out, slice_str(wrong[i])) != -EINVAL)
			fail_msg("%s was taken", wrong[i]);
		buf_deinit(&out);
	}
}

static void base64_of_anything(void **state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct test_random random = test_random_start("cli base64");
	uint8_t bytes[48];

	(void)state;
	for (int round = 0; round < 1000; round++) {
		size_t len = test_random_below(&random, sizeof(bytes) + 1);
		struct buf text = {0}, out = {0};

		test_random_bytes(&random, bytes, len);
		for (size_t i = 0; i < len; i += 3) {
			uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)(i + 1 < len ? bytes[i + 1] : 0) << 8 |
					 (i + 2 < len ? bytes[i + 2] : 0);

			for (size_t d = 0; d < 4; d++)
				buf_append_char(&text, i + d <= len ? digits[group >> (18 - 6 * d) & 63] : '=');
		}
		assert_int_equal(base64_decode(&out, buf_slice(&text)), 0);
		assert_int_equal(out.len, len);
		assert_true(!len || !memcmp(out.ptr, bytes, len));
		buf_deinit(&text);
		buf_deinit(&out);
	}
}

static void utf8_is_made_whole(void **state)
{
	static const char *const pairs[][2] = {
		{"plain", "plain"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xa4x", "x"},                   /* begins in the middle */
		{"x\xe2\x82", "x"},               /* ends in the middle */
		{"a\xc0\x80z", "a??z"},           /* overlong */
		{"a\xed\xa0\x80z", "a???z"},      /* a surrogate */
		{"a\xf5\x80\x80\x80z", "a????z"}, /* beyond U+10FFFF */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
		struct buf out = {0};

		utf8_append(&out, slice_str(pairs[i][0]));
		expect_text(&out, pairs[i][1]);
	}
}

/* Whatever a command writes, what becomes of it can be sent as JSON. */
static void utf8_is_what_jansson_takes(void **state)
{
	struct test_random random = test_random_start("cli utf8");

	(void)state;
	for (int round = 0; round < 5000; round++) {
		static const uint8_t likely[] = {0x00, 0x41, 0x80, 0xa0, 0xbf, 0xc0, 0xc3, 0xe0,
						 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff};
		char bytes[12];
		struct buf out = {0};
		json_t *packed;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)likely[test_random_below(&random, sizeof(likely))];
		utf8_append(&out, slice_from(bytes, sizeof(bytes)));
		packed = json_pack("s", cli_text(&out));
		assert_non_null(packed);
		assert_int_equal(json_string_length(packed), out.len);
		json_decref(packed);
		buf_deinit(&out);
	}
}

static void a_terminal_gets_no_commands(void **state)
{
	struct buf out = {0};

	(void)state;
	live_text(&out, "a\033[2Jb\nc\td\x7f\xc2\x9b"
			"e\xff");
	expect_text(&out, "a [2Jb c d  e?");
}

static void times_and_sizes(void **state)
{
	struct buf out = {0};
	uint64_t ms = 7;

	(void)state;
	assert_int_equal(fmt_time_parse("1970-01-01T00:00:01.500Z", &ms), 0);
	assert_int_equal(ms, 1500);
	assert_int_equal(fmt_time_parse("2026-11-24T14:14:04Z", &ms), 0);
	assert_int_equal(ms, 1795529644000);
	assert_int_equal(fmt_time_parse("2026-11-24 14:14:04Z", &ms), -EINVAL);
	assert_int_equal(fmt_time_parse("2026-11-24T14:14:04+01:00", &ms), -EINVAL);
	assert_int_equal(fmt_time_parse("", &ms), -EINVAL);
	assert_int_equal(ms, 1795529644000);
	fmt_bytes(&out, 0);
	buf_append_char(&out, ' ');
	fmt_bytes(&out, 4300000);
	buf_append_char(&out, ' ');
	fmt_bytes(&out, UINT64_MAX);
	expect_text(&out, "0 B 4.1 MiB 16777216 TiB");
	fmt_duration(&out, 0.44);
	buf_append_char(&out, ' ');
	fmt_duration(&out, 185);
	buf_append_char(&out, ' ');
	fmt_duration(&out, 7500);
	buf_append_char(&out, ' ');
	fmt_duration(&out, -3);
	expect_text(&out, "0.4 s 3 min 5 s 2 h 5 min 0.0 s");
}

static void bars_and_cuts(void **state)
{
	struct buf out = {0};
	struct slice cut;

	(void)state;
	setenv("LC_ALL", "C", 1);
	live_bar(&out, 0.5, 10);
	live_bar(&out, 7, 2);
	live_bar(&out, -1, 2);
	expect_text(&out, "[#####.....][##][..]");
	setenv("LC_ALL", "C.UTF-8", 1);
	live_bar(&out, 0.55, 10);
	cut = live_cut(buf_slice(&out), 4);
	assert_int_equal(cut.len, 1 + 3 * 3);
	buf_deinit(&out);
	cut = live_cut(SLICE("\033[1mab\033[0mcd"), 3);
	assert_int_equal(cut.len, 11);
}

static void expect_table(unsigned fit, const char *expected)
{
	static const unsigned char spare[] = {2, 1};
	static const char *const cells[] = {"NAME", "N", "MORE", "SAID", "ü", "12", "x", "a long message that may be cut"};
	struct table table = {.columns = 4, .right = {[1] = true}, .fit = fit, .spare = spare, .spare_count = ARRAY_COUNT(spare)};
	struct buf out = {0};

	for (size_t i = 0; i < ARRAY_COUNT(cells); i++)
		table_cell(&table, "%s", cells[i]);
	table_print(&table, &out, true, false);
	table_deinit(&table);
	expect_text(&out, expected);
}

static void tables_leave_out_what_does_not_fit(void **state)
{
	static const char all[] = "NAME   N  MORE  SAID\nü     12  x     a long message that may be cut\n";

	(void)state;
	expect_table(0, all);
	expect_table(4 + 2 + 2 + 2 + 4 + 2 + 16, all);
	expect_table(31, "NAME   N  SAID\nü     12  a long message that may be cut\n");
	expect_table(26, "NAME   N  SAID\nü     12  a long message that may be cut\n");
	expect_table(25, "NAME  SAID\nü     a long message that may be cut\n");
	expect_table(1, "NAME  SAID\nü     a long message that may be cut\n");
}

static void types_by_name(void **state)
{
	(void)state;
	assert_string_equal(mime_of("a/b.MP4"), "video/mp4");
	assert_string_equal(mime_of("x.tar.gz"), "application/gzip");
	assert_string_equal(mime_of("dir.txt/file"), "application/octet-stream");
	assert_string_equal(mime_of(""), "application/octet-stream");
}

static void patience_ends(void **state)
{
	struct retry none = {0}, some = {.budget_ms = 60000}, always = {.budget_ms = SESSION_FOREVER_MS};
	int64_t last = 0;

	(void)state;
	assert_int_equal(retry_next_ms(&none, 0), -1);
	for (int i = 0; i < 20; i++) {
		last = retry_next_ms(&always, 0);
		assert_in_range(last, i == 0 ? 50 : 100, i == 0 ? 100 : 5000);
	}
	assert_in_range(last, 2500, 5000);
	assert_in_range(retry_next_ms(&always, 10000), 10000, 12500);
	assert_in_range(retry_next_ms(&some, 3600000), 59000, 60000); /* the last try comes when patience ends */
	some.first_ns -= 61000000000ULL;
	assert_int_equal(retry_next_ms(&some, 0), -1);
	retry_reset(&some);
	assert_in_range(retry_next_ms(&some, 0), 50, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_of_the_standard),
		cmocka_unit_test(base64_of_anything),
		cmocka_unit_test(utf8_is_made_whole),
		cmocka_unit_test(utf8_is_what_jansson_takes),
		cmocka_unit_test(a_terminal_gets_no_commands),
		cmocka_unit_test(times_and_sizes),
		cmocka_unit_test(bars_and_cuts),
		cmocka_unit_test(tables_leave_out_what_does_not_fit),
		cmocka_unit_test(types_by_name),
		cmocka_unit_test(patience_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
