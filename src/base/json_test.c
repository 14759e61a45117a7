#include "base/json.h"
#include "base/mem.h"
#include "base/testing.h"

#include <jansson.h>

static void expect(struct buf *buf, const char *text)
{
	assert_false(buf->failed);
	assert_true(slice_eq(buf_slice(buf), slice_str(text)));
	buf_deinit(buf);
}

static void commas(void **state)
{
	struct buf out = {0};

	(void)state;
	json_open(&out, '{');
	json_key(&out, "a");
	json_open(&out, '[');
	json_close(&out, ']');
	json_key(&out, "b");
	json_open(&out, '[');
	json_u64(&out, 1);
	json_open(&out, '{');
	json_close(&out, '}');
	json_open(&out, '[');
	json_nil(&out);
	json_close(&out, ']');
	json_str(&out, SLICE("["));
	json_str(&out, SLICE(":"));
	json_bool(&out, true);
	json_raw(&out, SLICE("{\"x\":1}\n"));
	json_bool(&out, false);
	json_close(&out, ']');
	json_key(&out, "c");
	json_str(&out, (struct slice){NULL, 0});
	json_key(&out, "d");
	json_base64(&out, SLICE("d"));
	json_key(&out, "e");
	json_time(&out, 0);
	json_close(&out, '}');
	expect(&out, "{\"a\":[],\"b\":[1,{},[null],\"[\",\":\",true,{\"x\":1}\n,false],\"c\":\"\",\"d\":\"ZA==\","
		     "\"e\":\"1970-01-01T00:00:00.000Z\"}");
}

static void numbers(void **state)
{
	static const struct {
		double value;
		int decimals;
		const char *text;
	} cases[] = {{0, 3, "0"},
		     {0.5, 3, "0.5"},
		     {100, 3, "100"},
		     {0.125, 2, "0.12"},
		     {1.0 / 3, 4, "0.3333"},
		     {0.9999, 2, "1"},
		     {1234.50, 2, "1234.5"},
		     {10, 0, "10"},
		     {-2.50, 2, "-2.5"},
		     {0.0001, 3, "0"},
		     {1e15, 1, "1000000000000000"}};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		json_fixed(&out, cases[i].value, cases[i].decimals);
		expect(&out, cases[i].text);
	}
	json_u64(&out, UINT64_MAX);
	expect(&out, "18446744073709551615");
}

static void escapes(void **state)
{
	struct buf out = {0};

	(void)state;
	json_str(&out, SLICE("a\"b\\c/\n\r\t\b\f\x01\x1f\x7f\0z"));
	expect(&out, "\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u0001\\u001f\\u007f\\u0000z\"");
}

#define BAD "\xef\xbf\xbd"

static void bad_utf8(void **state)
{
	static const struct {
		struct slice in;
		const char *out;
	} cases[] = {
		{SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{SLICE("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf"}, /* U+10FFFF, the last */
		{SLICE("\xf4\x90\x80\x80"), BAD BAD BAD BAD},    /* one beyond */
		{SLICE("\xed\x9f\xbf"), "\xed\x9f\xbf"},         /* U+D7FF */
		{SLICE("\xed\xa0\x80"), BAD BAD BAD},            /* a surrogate */
		{SLICE("\xee\x80\x80"), "\xee\x80\x80"},         /* U+E000 */
		{SLICE("\xc0\x80"), BAD BAD},                    /* overlong NUL */
		{SLICE("\xc1\xbf"), BAD BAD},                    /* overlong */
		{SLICE("\xe0\x9f\xbf"), BAD BAD BAD},            /* overlong */
		{SLICE("\xf0\x8f\xbf\xbf"), BAD BAD BAD BAD},    /* overlong */
		{SLICE("a\x80z"), "a" BAD "z"},                  /* a continuation of nothing */
		{SLICE("a\xc3z"), "a" BAD "z"},                  /* without its continuation */
		{SLICE("\xe2\x82"), BAD BAD},                    /* cut at the end */
		{SLICE("\xf0\x9f\x98"), BAD BAD BAD},            /* cut at the end */
		{SLICE("\xff\xfe\xf5\xf8"), BAD BAD BAD BAD},    /* never in UTF-8 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		/* In memory of exactly that length, so that a sanitizer sees a read too far. */
		char *exact = mem_dup(cases[i].in.ptr, cases[i].in.len);
		struct buf out = {0}, quoted = {0};

		buf_printf(&quoted, "\"%s\"", cases[i].out);
		buf_append_char(&quoted, '\0');
		exact = mem_realloc(exact, cases[i].in.len);
		json_str(&out, slice_from(exact, cases[i].in.len));
		expect(&out, quoted.ptr);
		buf_deinit(&quoted);
		mem_free(exact);
	}
}

/* A code point as RFC 3629 says, surrogates and all. */
static size_t utf8_put(char *at, uint32_t c)
{
	if (c < 0x80) {
		at[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		at[0] = (char)(0xc0 | c >> 6);
		at[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		at[0] = (char)(0xe0 | c >> 12);
		at[1] = (char)(0x80 | (c >> 6 & 63));
		at[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	at[0] = (char)(0xf0 | c >> 18);
	at[1] = (char)(0x80 | (c >> 12 & 63));
	at[2] = (char)(0x80 | (c >> 6 & 63));
	at[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* What a parser that is not ours makes of a string as we write it. */
static json_t *parsed(struct slice s)
{
	struct buf out = {0};
	json_error_t error;
	json_t *value;

	json_str(&out, s);
	assert_false(out.failed);
	value = json_loadb(out.ptr, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	assert_non_null(value);
	assert_true(json_is_string(value));
	buf_deinit(&out);
	return value;
}

static void every_code_point_comes_back(void **state)
{
	static char text[4 * 1024];

	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff;) {
		json_t *value;
		size_t len = 0;

		for (int i = 0; i < 1024 && c <= 0x10ffff; i++, c++) {
			if (c < 0xd800 || c > 0xdfff)
				len += utf8_put(text + len, c);
		}
		value = parsed(slice_from(text, len));
		assert_int_equal(json_string_length(value), len);
		assert_memory_equal(json_string_value(value), text, len);
		json_decref(value);
	}
}

/* Whatever the bytes, the result is JSON. Mostly bytes that begin or continue something. */
static void any_bytes_make_json(void **state)
{
	static const uint8_t often[] = {0xc2, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, '"', '\\', 0};
	struct test_random random = test_random_start("json");
	uint8_t bytes[40];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t len = test_random_below(&random, sizeof(bytes));

		test_random_bytes(&random, bytes, len);
		for (size_t i = 0; i < len; i++) {
			if (bytes[i] % 4)
				bytes[i] = often[test_random_below(&random, sizeof(often))];
		}
		json_decref(parsed(slice_from(bytes, len)));
	}
}

static void base64_vectors(void **state)
{
	/* RFC 4648 §10 */
	static const char *const vectors[][2] = {{"", ""},
						 {"f", "Zg=="},
						 {"fo", "Zm8="},
						 {"foo", "Zm9v"},
						 {"foob", "Zm9vYg=="},
						 {"fooba", "Zm9vYmE="},
						 {"foobar", "Zm9vYmFy"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		struct buf out = {0}, quoted = {0};

		buf_printf(&quoted, "\"%s\"", vectors[i][1]);
		buf_append_char(&quoted, '\0');
		json_base64(&out, slice_str(vectors[i][0]));
		expect(&out, quoted.ptr);
		buf_deinit(&quoted);
	}
}

static size_t base64_decode(const char *text, size_t len, uint8_t *ret_bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0, have = 0;
	size_t count = 0;

	for (size_t i = 0; i < len && text[i] != '='; i++) {
		const char *digit = strchr(digits, text[i]);

		assert_non_null(digit);
		bits = bits << 6 | (uint32_t)(digit - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			ret_bytes[count++] = (uint8_t)(bits >> have);
		}
	}
	return count;
}

static void base64_round_trip(void **state)
{
	struct test_random random = test_random_start("base64");
	static uint8_t bytes[700], back[710];

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		struct buf out = {0};

		test_random_bytes(&random, bytes, len);
		json_base64(&out, slice_from(bytes, len));
		assert_int_equal(out.len, 2 + (len + 2) / 3 * 4);
		assert_int_equal(base64_decode(out.ptr + 1, out.len - 2, back), len);
		assert_memory_equal(back, bytes, len);
		buf_deinit(&out);
	}
}

static void write_all(struct buf *out)
{
	static const char bytes[2000] = {0};

	json_open(out, '[');
	for (int i = 0; i < 100; i++) {
		json_open(out, '{');
		json_key(out, "a");
		json_str(out, SLICE("caf\xc3\xa9\n\xff"));
		json_key(out, "b");
		json_fixed(out, 0.25, 3);
		json_key(out, "c");
		json_base64(out, slice_from(bytes, (size_t)i));
		json_key(out, "d");
		json_time(out, 1);
		json_close(out, '}');
	}
	json_base64(out, slice_from(bytes, sizeof(bytes)));
	json_close(out, ']');
}

static void without_memory(void **state)
{
	struct buf whole = {0};
	uint64_t n = 0;
	bool failed;

	(void)state;
	write_all(&whole);
	assert_false(whole.failed);
	do {
		struct buf out = {0};

		mem_fail_nth(++n);
		write_all(&out);
		mem_fail_nth(0);
		failed = out.failed;
		assert_true(out.len <= whole.len);
		if (out.len)
			assert_memory_equal(out.ptr, whole.ptr, out.len);
		assert_int_equal(failed, out.len != whole.len);
		buf_deinit(&out);
	} while (failed);
	assert_true(n > 4);
	buf_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas),
		cmocka_unit_test(numbers),
		cmocka_unit_test(escapes),
		cmocka_unit_test(bad_utf8),
		cmocka_unit_test(every_code_point_comes_back),
		cmocka_unit_test(any_bytes_make_json),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_round_trip),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
