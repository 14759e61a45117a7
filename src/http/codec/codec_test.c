/* The small pure parts: dates, heads of answers, values of fields, URIs. */
#include "base/mem.h"
#include "base/testing.h"
#include "http/codec/date.h"
#include "http/codec/encode.h"
#include "http/codec/field.h"
#include "http/codec/request.h"
#include "http/codec/uri.h"

#include <errno.h>

static void expect_slice(struct slice s, const char *expected)
{
	if (!slice_eq(s, slice_str(expected)))
		fail_msg("\"%.*s\", expected \"%s\"", (int)s.len, s.ptr, expected);
}

/* A copy in memory of its own length: a sanitizer sees a read beyond it. */
static struct slice exact(struct slice s)
{
	char *copy = malloc(s.len ? s.len : 1);

	assert_non_null(copy);
	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return slice_from(copy, s.len);
}

static void exact_free(struct slice s)
{
	char *ptr;

	memcpy(&ptr, &s.ptr, sizeof(ptr));
	free(ptr);
}

/* --- date --- */

static void dates(void **state)
{
	static const struct {
		uint64_t unix_s;
		const char *text;
	} cases[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110's own */
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{1709164799, "Wed, 28 Feb 2024 23:59:59 GMT"},
		{2147483648, "Tue, 19 Jan 2038 03:14:08 GMT"},
		{4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
		{4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
		/* A clock that is beyond all reason still gives a date of 29 bytes. */
		{253402300800, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{UINT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char out[DATE_BYTES];

		date_format(cases[i].unix_s, out);
		expect_slice(slice_from(out, DATE_BYTES), cases[i].text);
	}
}

/* --- encode --- */

static void a_head_of_an_answer(void **state)
{
	static const struct answer_header headers[] = {
		{{"Location", 8}, {"/v1/jobs/x", 10}},
		{{"X-Evil", 6}, {"a\r\nSet-Cookie: b", 16}},
		{{"X-CR", 4}, {"\r", 1}},
		{{"X-LF", 4}, {"a\n", 2}},
		{{"X-NUL", 5}, {"\0a", 2}},
		{{"X\r\nY", 4}, {"a", 1}},
		{{"X-Empty", 7}, {NULL, 0}},
	};
	struct answer_head head = {.status = 202,
				   .date = SLICE("D"),
				   .content_type = SLICE("text/plain"),
				   .headers = headers,
				   .header_count = ARRAY_COUNT(headers),
				   .content_length = UINT64_MAX,
				   .extra = SLICE("A: b\r\n"),
				   .no_store = true};
	struct buf out = {0};

	(void)state;
	encode_head(&out, &head);
	expect_slice(buf_slice(&out), "HTTP/1.1 202 Accepted\r\nDate: D\r\nContent-Type: text/plain\r\nLocation: /v1/jobs/x\r\n"
				      "X-Empty: \r\nCache-Control: no-store\r\nA: b\r\nContent-Length: 18446744073709551615\r\n");
	buf_clear(&out);
	head = (struct answer_head){.status = 599, .date = SLICE("D"), .content_type = SLICE("a\nb")};
	encode_head(&out, &head);
	expect_slice(buf_slice(&out), "HTTP/1.1 599 \r\nDate: D\r\nContent-Length: 0\r\n");
	buf_deinit(&out);
}

static void no_length_where_there_is_no_body(void **state)
{
	static const int without[] = {100, 101, 103, 199, 204, 304},
			 with[] = {200, 201, 203, 205, 206, 303, 305, 400, 404, 500, 599};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(without); i++) {
		struct answer_head head = {.status = without[i], .content_length = 5};

		buf_clear(&out);
		encode_head(&out, &head);
		buf_append_char(&out, '\0');
		assert_null(strstr(out.ptr, "Content-Length"));
		assert_false(encode_has_body(without[i]));
	}
	for (size_t i = 0; i < ARRAY_COUNT(with); i++) {
		struct answer_head head = {.status = with[i], .content_length = 5};

		buf_clear(&out);
		encode_head(&out, &head);
		buf_append_char(&out, '\0');
		assert_non_null(strstr(out.ptr, "\r\nContent-Length: 5\r\n"));
		assert_true(encode_has_body(with[i]));
	}
	buf_deinit(&out);
}

static void tails_and_reasons(void **state)
{
	(void)state;
	expect_slice(encode_tail(CONNECTION_DEFAULT), "\r\n");
	expect_slice(encode_tail(CONNECTION_CLOSE), "Connection: close\r\n\r\n");
	expect_slice(encode_tail(CONNECTION_KEEP_ALIVE), "Connection: keep-alive\r\n\r\n");
	expect_slice(encode_reason(200), "OK");
	expect_slice(encode_reason(404), "Not Found");
	expect_slice(encode_reason(507), "Insufficient Storage");
	expect_slice(encode_reason(299), "");
	expect_slice(encode_reason(0), "");
	expect_slice(encode_reason(-1), "");
}

static void a_head_without_memory(void **state)
{
	struct answer_head head = {.status = 200, .date = SLICE("D"), .content_type = SLICE("text/plain")};
	struct buf out = {0};

	(void)state;
	mem_fail_nth(1);
	encode_head(&out, &head);
	mem_fail_nth(0);
	assert_true(out.failed);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

/* --- request --- */

static void a_request_s_fields(void **state)
{
	static const struct http_header headers[] = {{{"a", 1}, {"1", 1}}, {{"B", 1}, {"", 0}}, {{"A", 1}, {"2", 1}}};
	struct request request = {.headers = headers, .header_count = ARRAY_COUNT(headers)};

	(void)state;
	expect_slice(request_header(&request, SLICE("A")), "1");
	assert_non_null(request_header(&request, SLICE("b")).ptr);
	assert_null(request_header(&request, SLICE("c")).ptr);
	assert_null(request_header(&request, SLICE("")).ptr);
}

/* --- tokens and lists --- */

static void tokens(void **state)
{
	static const char chars[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	(void)state;
	assert_false(field_is_token((struct slice){NULL, 0}));
	assert_true(field_is_token(slice_str(chars)));
	for (int c = 0; c < 256; c++) {
		char text[2] = {'a', (char)c};

		if (field_is_token(slice_from(text, 2)) != (c && strchr(chars, c)))
			fail_msg("%d", c);
	}
}

static void lists(void **state)
{
	static const struct {
		const char *list, *items; /* each in brackets */
	} cases[] = {
		{"", ""},
		{",", ""},
		{" , \t,,", ""},
		{"a", "[a]"},
		{"a,b", "[a][b]"},
		{" a b\t,\t,c ", "[a b][c]"},
		{"\"a,b\",c", "[\"a,b\"][c]"},
		{"x=\"a\\\",b\",c", "[x=\"a\\\",b\"][c]"},
		{"x=\"a\\\\\",b", "[x=\"a\\\\\"][b]"},
		{"\"a,b", "[\"a,b]"},
		{"\"a\\", "[\"a\\]"},
		{"a\\,b", "[a\\][b]"},
		{"a\"b\"\"c,d\",e", "[a\"b\"\"c,d\"][e]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice list = exact(slice_str(cases[i].list)), rest = list, item;
		struct buf items = {0};

		while (field_list_next(&rest, &item)) {
			buf_append_char(&items, '[');
			buf_append_slice(&items, item);
			buf_append_char(&items, ']');
		}
		expect_slice(buf_slice(&items), cases[i].items);
		buf_deinit(&items);
		exact_free(list);
	}
	assert_false(field_list_next(&(struct slice){NULL, 0}, &(struct slice){0}));
}

static void unquoting(void **state)
{
	static const struct {
		const char *text, *plain; /* NULL: -EINVAL */
	} cases[] = {
		{"a", "a"},       {"\"\"", ""},       {"\"a b\"", "a b"}, {"\"\\\"\\\\\\a\"", "\"\\a"},
		{"", NULL},       {"\"", NULL},       {"\"a", NULL},      {"a\"", NULL},
		{"a b", NULL},    {"\"a\"b\"", NULL}, {"\"\\\"", NULL},   {"\"a\\\"", NULL},
		{"\"a\" ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice s = exact(slice_str(cases[i].text));
		char *out = malloc(s.len ? s.len : 1);
		size_t len = 4711;

		assert_non_null(out);
		assert_int_equal(field_unquote(s, out, &len), cases[i].plain ? 0 : -EINVAL);
		if (cases[i].plain)
			expect_slice(slice_from(out, len), cases[i].plain);
		else
			assert_int_equal(len, 4711);
		free(out);
		exact_free(s);
	}
}

/* --- Prefer --- */

static void preferences(void **state)
{
	static const struct {
		const char *value;
		struct prefer prefer;
	} cases[] = {
		{"", {0}},
		{"wait=10", {true, 10, false}},
		{"respond-async", {false, 0, true}},
		{"respond-async, wait=10", {true, 10, true}},
		{" WAIT = 10 ;x=y , Respond-Async;a", {true, 10, true}},
		{"wait=\"10\"", {true, 10, false}},
		{"wait=1, wait=2", {true, 1, false}},
		{"wait=x, wait=2", {true, 2, false}},
		{"wait", {0}},
		{"wait=", {0}},
		{"wait=-1", {0}},
		{"wait=1.5", {0}},
		{"wait=10s", {0}},
		{"wait=\"", {0}},
		{"wait=\"1", {0}},
		{"wait=18446744073709551615", {true, UINT64_MAX, false}},
		{"wait=18446744073709551616", {0}},
		{"x=\"a, wait=5\", wait=6", {true, 6, false}},
		{"x=\";wait=5\"", {0}},
		{"x;wait=5", {0}},
		{"await=5", {0}},
		{";;,wait=", {0}},
		{"=5,=,;", {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice value = exact(slice_str(cases[i].value));
		struct prefer prefer = {0}, expected = cases[i].prefer;

		prefer_parse(value, &prefer);
		if (prefer.has_wait != expected.has_wait || prefer.wait_s != expected.wait_s ||
		    prefer.respond_async != expected.respond_async)
			fail_msg("%s: %d %llu %d", cases[i].value, prefer.has_wait, (unsigned long long)prefer.wait_s,
				 prefer.respond_async);
		exact_free(value);
	}
}

static void preferences_of_several_fields(void **state)
{
	struct prefer prefer = {0};

	(void)state;
	prefer_parse(SLICE("wait=3"), &prefer);
	prefer_parse(SLICE("wait=4, respond-async"), &prefer);
	assert_true(prefer.has_wait && prefer.wait_s == 3 && prefer.respond_async);
}

/* --- Range --- */

static const struct {
	const char *value;
	uint64_t size;
	enum range_kind kind;
	uint64_t from, bytes;
} range_cases[] = {
	{"bytes=0-0", 10, RANGE_PART, 0, 1},
	{"bytes=0-9", 10, RANGE_PART, 0, 10},
	{"bytes=0-10", 10, RANGE_PART, 0, 10},
	{"bytes=3-", 10, RANGE_PART, 3, 7},
	{"bytes=9-", 10, RANGE_PART, 9, 1},
	{"bytes=-1", 10, RANGE_PART, 9, 1},
	{"bytes=-10", 10, RANGE_PART, 0, 10},
	{"bytes=-11", 10, RANGE_PART, 0, 10},
	{"BYTES = 1-2 ,", 10, RANGE_PART, 1, 2},
	{"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
	{"bytes=0-", UINT64_MAX, RANGE_PART, 0, UINT64_MAX},
	{"bytes=-18446744073709551615", UINT64_MAX, RANGE_PART, 0, UINT64_MAX},
	{"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=18446744073709551615-", 10, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=10-,11-", 10, RANGE_UNSATISFIABLE, 0, 0},
	{"bytes=0-1,3-4", 10, RANGE_NONE, 0, 0},
	{"bytes=0-1,10-", 10, RANGE_NONE, 0, 0},
	{"bytes=1-0", 10, RANGE_NONE, 0, 0},
	{"bytes=0-1,x", 10, RANGE_NONE, 0, 0},
	{"bytes=0-18446744073709551616", 10, RANGE_NONE, 0, 0},
	{"bytes=18446744073709551616-", 10, RANGE_NONE, 0, 0},
	{"bytes=", 10, RANGE_NONE, 0, 0},
	{"bytes=,", 10, RANGE_NONE, 0, 0},
	{"bytes=-", 10, RANGE_NONE, 0, 0},
	{"bytes=--1", 10, RANGE_NONE, 0, 0},
	{"bytes=1", 10, RANGE_NONE, 0, 0},
	{"bytes=1-2-3", 10, RANGE_NONE, 0, 0},
	{"bytes=+1-2", 10, RANGE_NONE, 0, 0},
	{"bytes=1 - 2", 10, RANGE_NONE, 0, 0},
	{"bytes=0x1-2", 10, RANGE_NONE, 0, 0},
	{"bytes", 10, RANGE_NONE, 0, 0},
	{"bytes ", 10, RANGE_NONE, 0, 0},
	{"bytes 0-1", 10, RANGE_NONE, 0, 0},
	{"items=0-1", 10, RANGE_NONE, 0, 0},
	{"=0-1", 10, RANGE_NONE, 0, 0},
	{"", 10, RANGE_NONE, 0, 0},
};

static void ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(range_cases); i++) {
		struct slice value = exact(slice_str(range_cases[i].value));
		uint64_t from = 4711, bytes = 4712;
		enum range_kind kind = range_parse(value, range_cases[i].size, &from, &bytes);
		bool part = kind == RANGE_PART;

		if (kind != range_cases[i].kind || from != (part ? range_cases[i].from : 4711) ||
		    bytes != (part ? range_cases[i].bytes : 4712))
			fail_msg("%s of %llu: %d, %llu + %llu", range_cases[i].value, (unsigned long long)range_cases[i].size,
				 (int)kind, (unsigned long long)from, (unsigned long long)bytes);
		exact_free(value);
	}
}

/* --- URIs --- */

static void decoding(void **state)
{
	static const struct {
		const char *text, *plain; /* NULL: -EINVAL */
	} cases[] = {
		{"", ""},
		{"a+b", "a+b"},
		{"%41", "A"},
		{"a%2Fb%2f", "a/b/"},
		{"%25%2541", "%%41"},
		{"%ff%FF", "\xff\xff"},
		{"%01", "\x01"},
		{"%10", "\x10"},
		{"%", NULL},
		{"%4", NULL},
		{"a%", NULL},
		{"%%41", NULL},
		{"%4%", NULL},
		{"%4g", NULL},
		{"%g4", NULL},
		{"%00", NULL},
		{"a%00b", NULL},
		{"%0", NULL},
		{"%@1", NULL},
		{"%`1", NULL},
		{"%/1", NULL},
		{"%:1", NULL},
		{"%+1", NULL},
		{"% 1", NULL},
		{"%\x11"
		 "1",
		 NULL}, /* 0x11 | 0x20 is '1' */
	};
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice text = exact(slice_str(cases[i].text)), plain = SLICE("untouched");
		int r = uri_decode(text, &arena, &plain);

		if (r != (cases[i].plain ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, r);
		expect_slice(plain, cases[i].plain ? cases[i].plain : "untouched");
		exact_free(text);
	}
	arena_deinit(&arena);
}

/* All 65,536 pairs behind a '%'. */
static void every_escape(void **state)
{
	static const char digits[] = "0123456789abcdef";
	struct arena arena = {0};

	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		char text[3] = {'%', (char)(pair >> 8), (char)(pair & 0xff)}, high = text[1], low = text[2];
		const char *h, *l;
		struct slice plain = {0};
		int r = uri_decode(slice_from(text, 3), &arena, &plain);

		high = (char)(high >= 'A' && high <= 'F' ? high + 32 : high);
		low = (char)(low >= 'A' && low <= 'F' ? low + 32 : low);
		h = high ? strchr(digits, high) : NULL;
		l = low ? strchr(digits, low) : NULL;
		if (h && l && h - digits + l - digits > 0) {
			assert_int_equal(r, 0);
			assert_int_equal(plain.len, 1);
			assert_int_equal((unsigned char)plain.ptr[0], (h - digits) * 16 + (l - digits));
		} else {
			assert_int_equal(r, -EINVAL);
		}
		if (pair % 256 == 255)
			arena_deinit(&arena);
	}
}

static void queries(void **state)
{
	static const struct {
		const char *query, *name;
		int r;
		const char *value;
	} cases[] = {
		{"a=1", "a", URI_FOUND, "1"},
		{"a=1&a=2", "a", URI_FOUND, "1"},
		{"b=1&&a=2", "a", URI_FOUND, "2"},
		{"a", "a", URI_FOUND, ""},
		{"a=", "a", URI_FOUND, ""},
		{"a=b=c", "a", URI_FOUND, "b=c"},
		{"a=b?c/d", "a", URI_FOUND, "b?c/d"},
		{"%61=%31", "a", URI_FOUND, "1"},
		{"a=1+2", "a", URI_FOUND, "1+2"},
		{"=x", "", URI_FOUND, "x"},
		{"a=%3d%26&b=2", "a", URI_FOUND, "=&"},
		{"a%3d=1", "a", URI_ABSENT, NULL},
		{"A=1", "a", URI_ABSENT, NULL},
		{"aa=1", "a", URI_ABSENT, NULL},
		{"a=1", "aa", URI_ABSENT, NULL},
		{"", "a", URI_ABSENT, NULL},
		{"&&&", "a", URI_ABSENT, NULL},
		{"a=%", "a", -EINVAL, NULL},
		{"a=%00", "a", -EINVAL, NULL},
		{"%=1&a=2", "a", -EINVAL, NULL},
		{"a%4", "a4", -EINVAL, NULL},
		{"b=%&a=1", "a", URI_FOUND, "1"},
	};
	struct arena arena = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice query = exact(slice_str(cases[i].query)), value = SLICE("untouched");
		int r = uri_query_get(query, slice_str(cases[i].name), &arena, &value);

		if (r != cases[i].r)
			fail_msg("%s, %s: %d", cases[i].query, cases[i].name, r);
		expect_slice(value, cases[i].value ? cases[i].value : "untouched");
		exact_free(query);
	}
	arena_deinit(&arena);
}

static void decoding_without_memory(void **state)
{
	struct arena arena = {0};
	struct slice out = SLICE("untouched");

	(void)state;
	mem_fail_nth(1);
	assert_int_equal(uri_decode(SLICE("plain"), &arena, &out), 0); /* needs none */
	assert_int_equal(uri_decode(SLICE("%41"), &arena, &out), -ENOMEM);
	mem_fail_nth(1);
	out = SLICE("untouched");
	assert_int_equal(uri_query_get(SLICE("a=%41"), SLICE("a"), &arena, &out), -ENOMEM);
	mem_fail_nth(0);
	expect_slice(out, "untouched");
	arena_deinit(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates),
		cmocka_unit_test(a_head_of_an_answer),
		cmocka_unit_test(no_length_where_there_is_no_body),
		cmocka_unit_test(tails_and_reasons),
		cmocka_unit_test(a_head_without_memory),
		cmocka_unit_test(a_request_s_fields),
		cmocka_unit_test(tokens),
		cmocka_unit_test(lists),
		cmocka_unit_test(unquoting),
		cmocka_unit_test(preferences),
		cmocka_unit_test(preferences_of_several_fields),
		cmocka_unit_test(ranges),
		cmocka_unit_test(decoding),
		cmocka_unit_test(every_escape),
		cmocka_unit_test(queries),
		cmocka_unit_test(decoding_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
