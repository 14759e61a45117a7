/* What the decoder's header promises; each case whole, cut in two, and byte by byte. */
#include "base/mem.h"
#include "base/testing.h"
#include "http/codec/h1_trace.h"

static const struct h1_limits usual = {.header_count = 64, .header_bytes = 16 * 1024, .target_bytes = 8 * 1024};

static struct h1_trace play(const struct h1_limits *limits, struct slice bytes, const char *name)
{
	struct h1_trace whole;

	if (!h1_trace_play_all(&whole, limits, bytes))
		fail_msg("%s: it matters how the bytes are cut", name);
	return whole;
}

static void expect_trace(const struct h1_limits *limits, struct slice bytes, const char *expected)
{
	struct h1_trace trace = play(limits, bytes, expected);

	if (!slice_eq(buf_slice(&trace.text), slice_str(expected)))
		fail_msg("got:\n%.*s\nexpected:\n%s", (int)trace.text.len, trace.text.ptr, expected);
	h1_trace_deinit(&trace);
}

static void expect_error_at(const struct h1_limits *limits, struct slice bytes, int status)
{
	struct h1_trace trace = play(limits, bytes, bytes.len < 200 ? bytes.ptr : "long");

	if (trace.last != H1_ERROR || trace.error.status != status)
		fail_msg("%.200s\ngot, expecting %d:\n%.*s", bytes.ptr, status, (int)trace.text.len, trace.text.ptr);
	assert_true(trace.error.name[0] && trace.error.detail[0]);
	h1_trace_deinit(&trace);
}

static void expect_error(struct slice bytes, int status)
{
	expect_error_at(&usual, bytes, status);
}

/* Nothing is wrong yet, and more is wanted. */
static void expect_more(struct slice bytes)
{
	struct h1_trace trace = play(&usual, bytes, "more");

	assert_int_equal(trace.last, H1_MORE);
	h1_trace_deinit(&trace);
}

static struct slice repeat(struct buf *out, const char *before, const char *text, size_t count, const char *after)
{
	buf_clear(out);
	buf_append_str(out, before);
	while (count--)
		buf_append_str(out, text);
	buf_append_str(out, after);
	assert_false(out->failed);
	return buf_slice(out);
}

/* --- heads --- */

static void heads(void **state)
{
	(void)state;
	expect_trace(
		&usual, SLICE("PATCH /a%2fb?x=1?y HTTP/1.1\r\nhOst:a.b:80\r\nX-Empty:\r\nX-V: \t a \tb\t \r\n\r\n"),
		"HEAD PATCH /a%2fb ? x=1?y method=4 minor=1 length=0 keep=1 expect=0\n hOst: a.b:80\n X-Empty: \n X-V: a \tb\n\n"
		"HEAD PATCH /a%2fb ? x=1?y method=4 minor=1 length=0 keep=1 expect=0\n hOst: a.b:80\n X-Empty: \n X-V: a \tb\n"
		"END\n");
	expect_trace(&usual, SLICE("BREW hTTps://u@h:1?q HTTP/1.0\r\n\r\n"),
		     "HEAD BREW / ? q method=7 minor=0 length=0 keep=0 expect=0\n\n"
		     "HEAD BREW / ? q method=7 minor=0 length=0 keep=0 expect=0\nEND\n");
	expect_trace(&usual, SLICE("\r\n\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"),
		     "HEAD OPTIONS * ?  method=6 minor=1 length=0 keep=1 expect=0\n Host: \n\n"
		     "HEAD OPTIONS * ?  method=6 minor=1 length=0 keep=1 expect=0\n Host: \nEND\n");
}

static void targets(void **state)
{
	static const char *const bad[] = {"*",    "a",  "http:/a", "ftp://a/", "httpx://a/",
					  "://a", "?q", "/#f",     "/\"\x80",  "http:a://b/"};
	char bytes[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
		expect_error(slice_str(bytes), 400);
	}
	expect_error(SLICE("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
	expect_error(SLICE("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
	expect_error(SLICE("GET / HTTP/11.\r\nHost: a\r\n\r\n"), 400);
}

static void blank_lines_before_a_request(void **state)
{
	(void)state;
	expect_more(SLICE("\r\n"));
	expect_more(SLICE("\r\n\r\n"));
	expect_error(SLICE("\r\n\r\n\r\n"), 400);
	expect_error(SLICE("\n"), 400);
	expect_error(SLICE("\r\r\n"), 400);
	expect_error(SLICE("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
	expect_error(SLICE(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

static void keep_alive(void **state)
{
	static const struct {
		const char *version, *field;
		bool keep;
	} cases[] = {
		{"1.1", "X: y", true},
		{"1.1", "Connection: close", false},
		{"1.1", "Connection: x,, CLOSE ,y", false},
		{"1.1", "Connection: keep-alive, close", false},
		{"1.1", "Connection: \"close\"", true},
		{"1.1", "Connection: closed", true},
		{"1.1", "Connection: x\r\nConnection: close", false},
		{"1.0", "X: y", false},
		{"1.0", "Connection: keep-alive", true},
		{"1.0", "Connection: Keep-Alive, close", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char bytes[200];
		struct h1_trace trace;

		snprintf(bytes, sizeof(bytes), "GET / HTTP/%s\r\nHost: a\r\n%s\r\n\r\n", cases[i].version, cases[i].field);
		trace = play(&usual, slice_str(bytes), bytes);
		assert_int_equal(trace.message_count, 1);
		if (trace.keep_alive != cases[i].keep)
			fail_msg("%s", bytes);
		h1_trace_deinit(&trace);
	}
}

static void expect_field(void **state)
{
	(void)state;
	expect_trace(&usual, SLICE("POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-CONTINUE\r\nContent-Length: 2\r\n\r\n"),
		     "HEAD POST / ?  method=2 minor=1 length=2 keep=1 expect=1\n Host: a\n expect: 100-CONTINUE\n "
		     "Content-Length: 2\n");
	expect_trace(
		&usual, SLICE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
		"HEAD POST / ?  method=2 minor=0 length=1 keep=0 expect=0\n Expect: 100-continue\n Content-Length: 1\nBODY x\n"
		"HEAD POST / ?  method=2 minor=0 length=1 keep=0 expect=0\n Expect: 100-continue\n Content-Length: 1\nEND\n");
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n"), 417);
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n"), 417);
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n"), 417);
}

/* --- bodies --- */

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_SAID                                                                                                             \
	"HEAD POST / ?  method=2 minor=1 length=18446744073709551615 keep=1 expect=0\n Host: a\n Transfer-Encoding: chunked\n"

static void chunks(void **state)
{
	(void)state;
	expect_trace(&usual,
		     SLICE(CHUNKED "3\r\nabc\r\n00a;x=\"y z\"\r\n\r\n0\r\n\r\nxxx\r\n0;last\r\nX-Sum: 1\r\nHost: evil\r\n\r\n"),
		     CHUNKED_SAID "BODY abc\r\n0\r\n\r\nxxx\n" CHUNKED_SAID "END\n");
	expect_trace(&usual, SLICE(CHUNKED "0\r\n\r\n"), CHUNKED_SAID "\n" CHUNKED_SAID "END\n");
	/* What stood before the fault was given out, however it came. */
	expect_trace(&usual, SLICE(CHUNKED "5\r\nhello!\r\n0\r\n\r\n"),
		     CHUNKED_SAID "BODY hello\nERROR 400 bad-request The body's framing is broken.\n");
	expect_trace(&usual, SLICE(CHUNKED "5\r\nhel"), CHUNKED_SAID "BODY hel\n");
	expect_more(SLICE(CHUNKED "7fffffffffffffff\r\n"));
	expect_error(SLICE(CHUNKED "8000000000000000\r\n"), 400);
	expect_error(SLICE(CHUNKED "ffffffffffffffff\r\n"), 400);
	expect_error(SLICE(CHUNKED "fffffffffffffffe\r\n"), 400);
	expect_error(SLICE(CHUNKED "10000000000000001\r\nx\r\n"), 400);
	expect_error(SLICE(CHUNKED "@\r\n"), 400); /* 'A' - 1, '`', 'G', ':', '/': next to what is a digit */
	expect_error(SLICE(CHUNKED "`\r\n"), 400);
	expect_error(SLICE(CHUNKED "G\r\n"), 400);
	expect_error(SLICE(CHUNKED ":\r\n"), 400);
	expect_error(SLICE(CHUNKED "/\r\n"), 400);
	expect_error(SLICE(CHUNKED "!\r\n"), 400);
	expect_error(SLICE(CHUNKED "3\r\nabc\n\n0\r\n\r\n"), 400);
	expect_error(SLICE(CHUNKED "3\r\nabc\r\r0\r\n\r\n"), 400);
	expect_error(SLICE(CHUNKED "3\r\nabc0\r\n\r\n"), 400);
	expect_error(SLICE(CHUNKED "0\r\n X: y\r\n\r\n"), 400);
	expect_error(SLICE(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), 400);
	expect_error(SLICE(CHUNKED "0\r\n\nX"), 400);
	expect_error(SLICE(CHUNKED "0\r\n\rX"), 400);
}

static void limits_of_chunk_lines_and_trailers(void **state)
{
	struct h1_limits small = {.header_count = 64, .header_bytes = 100, .target_bytes = 20};
	struct buf buf = {0};
	struct h1_trace trace;

	(void)state;
	expect_more(repeat(&buf, CHUNKED "1;", "a", 252, "\r\n")); /* 256 bytes with the line end */
	expect_error(repeat(&buf, CHUNKED "1;", "a", 253, "\r\n"), 400);
	expect_error(repeat(&buf, CHUNKED "1", "0", 300, ""), 400);
	expect_more(repeat(&buf, CHUNKED, "0", 200, "1\r\n"));
	trace = play(&small, repeat(&buf, CHUNKED "0\r\nX:", "a", 94, "\r\n\r\n"), "trailers, 100 bytes");
	assert_int_equal(trace.message_count, 1);
	h1_trace_deinit(&trace);
	expect_error_at(&small, repeat(&buf, CHUNKED "0\r\nX:", "a", 95, "\r\n\r\n"), 431);
	expect_error_at(&small, repeat(&buf, CHUNKED "0\r\n", "X:\r\n", 25, "\r\n"), 431);
	buf_deinit(&buf);
}

static void lengths(void **state)
{
	struct h1_trace trace;
	struct slice largest = SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551614\r\n\r\nx");

	(void)state;
	trace = play(&usual, largest, "largest length");
	assert_int_equal(trace.last, H1_MORE);
	assert_true(trace.begun);
	h1_trace_deinit(&trace);
	expect_error(SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n"), 400);
	expect_error(SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"), 400);
	expect_error(SLICE("PUT / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"), 400);
	expect_error(SLICE("PUT / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"), 400);
	expect_trace(&usual, SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n\r\n\r\nG"),
		     "HEAD PUT / ?  method=3 minor=1 length=6 keep=1 expect=0\n Host: a\n Content-Length: 6\nBODY \r\n\r\nG\n");
}

static void pipelined(void **state)
{
	static const char first[] = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET",
			  second[] = "\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n", third[] = "GET /3 HTTP/1.0\r\n\r\n",
			  fourth[] = "GET /4 HTTP/1.1\r\nHost: d\r\n\r\n";
	static const char told[] = "HEAD GET /2 ?  method=0 minor=1 length=0 keep=1 expect=0\n Host: b\n";
	char bytes[300];
	struct h1_trace trace;

	(void)state;
	snprintf(bytes, sizeof(bytes), "%s%s%s%s", first, second, third, fourth);
	trace = play(&usual, slice_str(bytes), "pipelined");
	assert_int_equal(trace.message_count, 3);
	assert_int_equal(trace.last, H1_END);
	assert_int_equal(trace.used, strlen(bytes) - strlen(fourth));
	assert_non_null(memmem(trace.text.ptr, trace.text.len, told, sizeof(told) - 1));
	h1_trace_deinit(&trace);
}

/* --- limits --- */

static void limits(void **state)
{
	/* "GET / HTTP/1.1\r\n" 16, "Host: a\r\n" 9, "\r\n" 2 */
	struct h1_limits small = {.header_count = 3, .header_bytes = 60, .target_bytes = 20};
	struct buf buf = {0};
	struct h1_trace trace;

	(void)state;
	trace = play(&small, repeat(&buf, "GET / HTTP/1.1\r\nHost: a\r\n", "X:\r\n", 2, "\r\n"), "three fields");
	assert_int_equal(trace.message_count, 1);
	h1_trace_deinit(&trace);
	expect_error_at(&small, repeat(&buf, "GET / HTTP/1.1\r\nHost: a\r\n", "X:\r\n", 3, "\r\n"), 431);
	trace = play(&small, repeat(&buf, "GET / HTTP/1.1\r\nHost: a\r\nX:", "y", 29, "\r\n\r\n"), "60 bytes");
	assert_int_equal(trace.message_count, 1);
	h1_trace_deinit(&trace);
	expect_error_at(&small, repeat(&buf, "GET / HTTP/1.1\r\nHost: a\r\nX:", "y", 30, "\r\n\r\n"), 431);
	trace = play(&small, repeat(&buf, "GET /", "y", 19, " HTTP/1.1\r\nHost: a\r\n\r\n"), "target of 20");
	assert_int_equal(trace.message_count, 1);
	h1_trace_deinit(&trace);
	expect_error_at(&small, repeat(&buf, "GET /", "y", 20, " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
	expect_error_at(&small, repeat(&buf, "GET /", "y", 2000, ""), 414);
	/* A head limit below the line's: told at the first field. */
	small.header_bytes = 10;
	expect_error_at(&small, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 431);
	buf_deinit(&buf);
}

/* Two faults in one piece: told is the one that stands first. Once that depended on how the bytes were cut. */
static void the_first_fault_counts(void **state)
{
	struct h1_limits small = {.header_count = 1, .header_bytes = 80, .target_bytes = 20};
	struct buf buf = {0};

	(void)state;
	expect_error_at(&small, repeat(&buf, "GET /", "y", 100, "\rx"), 414);
	expect_error_at(&small,
			repeat(&buf, "GET /", "y", 10,
			       "\rx" /* and far too long */ "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
			       "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
			400);
	expect_error_at(&small, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX Y: b\rc\r\n\r\n"), 431);
	expect_error_at(&small, repeat(&buf, "GET / HTTP/1.1\r\nHo st:", "a", 200, "\r\n"), 400);
	expect_error_at(&small, repeat(&buf, "GET / HTTP/1.1\r\nHost:", "a", 200, "\r\r\n"), 431);
	expect_error_at(&usual, repeat(&buf, CHUNKED "1g;", "a", 400, "\n"), 400);
	buf_deinit(&buf);
}

/* --- smuggling --- */

/* Forms that two parsers may read differently. */
static const char *const ambiguous[] = {
	"Content-Length: 5\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r\nContent-Length: 0",
	"Transfer-Encoding: chunked\r\ncontent-length: 5",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
	"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked, chunked",
	"Transfer-Encoding: chunked,",
	"Transfer-Encoding: ,chunked",
	"Transfer-Encoding: \x0b"
	"chunked",
	"Transfer-Encoding: chunked\x0c",
	"Transfer-Encoding: x\r\n\tchunked",
	"Transfer-Encoding : chunked",
	"Transfer-Encoding\t: chunked",
	" Transfer-Encoding: chunked",
	"X: y\r\n Transfer-Encoding: chunked",
	"X: y\rTransfer-Encoding: chunked",
	"X: y\nTransfer-Encoding: chunked",
	"X: y\r\rTransfer-Encoding: chunked",
	"\rTransfer-Encoding: chunked",
	"Transfer-Encoding: chunked\r",
	"Transfer-Encoding: chunke\xc4\x91",
	"Transfer-Encoding: chunked;",
	"Content-Length: 5\r\nContent-Length: 05",
	"Content-Length: 5,5",
	"Content-Length: 5\x0b",
	"Content-Length: 0x5",
	"Content-Length: 5e0",
	"Content-Length: 5_0",
	"Content-Length: \xd9\xa5",
	"Content-Length:\x0b"
	"5",
	"Content-Length: 5\rX: y",
	"Content\rLength: 5",
	"Content-Length: 5;q=1",
	"Content-Length",
	"X: y\r\n: z",
	"Host: b",
	"Host:",
};

/* None is taken, each with a request hidden behind it. */
static void smuggling(void **state)
{
	char bytes[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(ambiguous); i++) {
		struct h1_trace trace;

		snprintf(bytes, sizeof(bytes),
			 "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n", ambiguous[i]);
		trace = play(&usual, slice_str(bytes), ambiguous[i]);
		if (trace.last != H1_ERROR || trace.message_count != 0)
			fail_msg("taken: %s\n%.*s", ambiguous[i], (int)trace.text.len, trace.text.ptr);
		h1_trace_deinit(&trace);
	}
	/* NUL, which the above cannot hold. */
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"), 400);
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n"), 400);
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\0b\r\n\r\n"), 400);
	expect_error(SLICE("POST /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

/* llhttp before 8.1.1, built without its strict mode, took a bare CR for the end of a field: CVE-2023-30589. */
static void cve_2023_30589(void **state)
{
	(void)state;
	expect_error(SLICE("POST / HTTP/1.1\r\nHost: a\r\nX-A: x\rContent-Length: 5\r\n\r\nhello"), 400);
	expect_error(SLICE("GET / HTTP/1.1\r\nHost: a\r\nDummy: x\rContent-Length: 23\r\n\r\nGET / HTTP/1.1\r\nDummy: GET /admin "
			   "HTTP/1.1\r\nHost: a\r\n\r\n"),
		     400);
	expect_error(SLICE("GET / HTTP/1.1\r\nHost: a\r\nX:\rY: z\r\n\r\n"), 400);
}

/* Every byte in every place of a field: taken are exactly those that RFC 9110 §5.5 and §5.6.2 have. */
static void every_byte(void **state)
{
	static const char tokens[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char name[] = "GET / HTTP/1.1\r\nHost: a\r\nX?Y: b\r\n\r\n",
		     value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a?b\r\n\r\n";
		bool token = c && strchr(tokens, c), in_value = c == '\t' || (c >= ' ' && c != 0x7f);
		struct h1_trace trace;

		*strchr(name, '?') = (char)c;
		*strchr(value, '?') = (char)c;
		trace = play(&usual, slice_from(name, sizeof(name) - 1), "a byte in a name");
		assert_int_equal(trace.message_count, token || c == ':'); /* "X" with the value "Y: b" */
		h1_trace_deinit(&trace);
		trace = play(&usual, slice_from(value, sizeof(value) - 1), "a byte in a value");
		assert_int_equal(trace.message_count, in_value);
		h1_trace_deinit(&trace);
	}
}

/* --- memory --- */

/* Decodes one message without the help of a trace, which needs memory, too. */
static enum h1_event decode(struct slice bytes, struct h1_out *ret_out, size_t *ret_body)
{
	struct h1_space space;
	struct buf scratch = {0};
	struct arena arena = {0};
	struct h1 *h1 = h1_init(&space, &usual, &scratch, &arena);
	enum h1_event event;

	*ret_body = 0;
	do {
		event = h1_next(h1, &bytes, ret_out);
		*ret_body += event == H1_BODY ? ret_out->body.len : 0;
	} while (event == H1_HEAD || event == H1_BODY);
	mem_fail_nth(0);
	buf_deinit(&scratch);
	arena_deinit(&arena);
	return event;
}

static void memory_runs_out(void **state)
{
	struct buf buf = {0};
	struct slice bytes = repeat(
		&buf, "POST /0123456789012345678901234567890123456789 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: ", "a", 3000,
		"\r\n\r\nhello");
	uint64_t k = 0;
	enum h1_event event;

	(void)state;
	do {
		struct h1_out out = {0};
		size_t body;

		mem_fail_nth(++k);
		event = decode(bytes, &out, &body);
		if (event == H1_ERROR) {
			assert_int_equal(out.error.status, 503);
			assert_string_equal(out.error.name, "server-full");
		} else {
			assert_int_equal(event, H1_END);
			assert_int_equal(body, 5);
		}
	} while (event == H1_ERROR);
	assert_true(k > 3); /* the scratch, the scratch that grows, and the arena */
	buf_deinit(&buf);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(targets),
		cmocka_unit_test(blank_lines_before_a_request),
		cmocka_unit_test(keep_alive),
		cmocka_unit_test(expect_field),
		cmocka_unit_test(chunks),
		cmocka_unit_test(limits_of_chunk_lines_and_trailers),
		cmocka_unit_test(lengths),
		cmocka_unit_test(pipelined),
		cmocka_unit_test(limits),
		cmocka_unit_test(the_first_fault_counts),
		cmocka_unit_test(smuggling),
		cmocka_unit_test(cve_2023_30589),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
