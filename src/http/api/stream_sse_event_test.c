/* Events, read back as the format says (WHATWG HTML §9.2.6), whole and in pieces cut anywhere. */
#include "base/testing.h"

#include "http/api/stream_priv.h"

#include "base/mem.h"

#include <string.h>

/* The pieces end at each place where a bit of `cuts` is set. */
static void make(struct buf *out, struct slice bytes, uint32_t cuts, bool base64)
{
	struct sse_data data;
	size_t from = 0;

	buf_clear(out);
	sse_data_begin(&data, out, base64);
	for (size_t i = 0; i <= bytes.len; i++) {
		if (i < bytes.len && !(cuts >> i & 1))
			continue;
		sse_data_add(&data, out, slice_from(bytes.ptr + from, i - from));
		from = i;
	}
	sse_data_end(&data, out);
	assert_false(out->failed);
}

/* As a reader does: lines end with CR, LF or CRLF; one blank behind the colon is dropped; a blank line is the end, and must be
 * the only one. What it understood as data; `ret_type` is the event's name. */
static size_t read_event(struct slice in, char *ret_data, char *ret_type)
{
	size_t at = 0, len = 0;

	while (at < in.len) {
		size_t end = at;
		const char *line = in.ptr + at;

		while (end < in.len && in.ptr[end] != '\n' && in.ptr[end] != '\r')
			end++;
		assert_true(end < in.len);
		if (end == at) {
			assert_int_equal(end + 1, in.len);
			return len ? len - 1 : 0; /* the last LF */
		}
		if (strncmp(line, "event: ", 7) == 0) {
			memcpy(ret_type, line + 7, end - at - 7);
			ret_type[end - at - 7] = '\0';
		} else {
			size_t skip = line[5] == ' ' ? 6 : 5;

			assert_memory_equal(line, "data:", 5);
			memcpy(ret_data + len, line + skip, end - at - skip);
			len += end - at - skip;
			ret_data[len++] = '\n';
		}
		at = end + (in.ptr[end] == '\r' && end + 1 < in.len && in.ptr[end + 1] == '\n' ? 2 : 1);
	}
	fail_msg("no end of the event");
	return 0;
}

static size_t as_lf(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' && i && text[i - 1] == '\r')
			continue;
		out[n++] = text[i] == '\r' ? '\n' : text[i];
	}
	return n;
}

static void texts_are_as_the_protocol_shows_them(void **state)
{
	static const struct {
		const char *text, *event;
	} cases[] = {
		{"x", "event: data\ndata:x\n\n"},
		{"line1\nline2\r\nline3\rline4", "event: data\ndata:line1\ndata:line2\ndata:line3\ndata:line4\n\n"},
		{"end\n", "event: data\ndata:end\ndata:\n\n"},
		{" a\n  b", "event: data\ndata:  a\ndata:   b\n\n"},
		{"\r\n\n\r", "event: data\ndata:\ndata:\ndata:\ndata:\n\n"},
		{"data:x", "event: data\ndata:data:x\n\n"},
		{"[{\"a\":1},2]", "event: data\ndata:[{\"a\":1},2]\n\n"},
	};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		make(&out, slice_str(cases[i].text), 0, false);
		assert_true(slice_eq(buf_slice(&out), slice_str(cases[i].event)));
	}
	buf_deinit(&out);
}

/* Each text of up to 6 of these characters, cut at each set of places. */
static void no_text_leaves_its_event(void **state)
{
	static const char alphabet[] = "\r\n a:";
	enum { N = sizeof(alphabet) - 1, LEN = 6 };
	struct buf whole = {0}, cut = {0};

	(void)state;
	for (size_t len = 1; len <= LEN; len++) {
		size_t count = 1;

		for (size_t i = 0; i < len; i++)
			count *= N;
		for (size_t k = 0; k < count; k++) {
			char text[LEN], data[64], want[LEN], type[16] = "";
			size_t rest = k, got, wanted;

			for (size_t i = 0; i < len; i++, rest /= N)
				text[i] = alphabet[rest % N];
			make(&whole, slice_from(text, len), 0, false);
			got = read_event(buf_slice(&whole), data, type);
			wanted = as_lf(text, len, want);
			assert_int_equal(got, wanted);
			assert_memory_equal(data, want, wanted);
			assert_string_equal(type, "data");
			for (uint32_t cuts = 2; cuts < 1u << len; cuts += 2) {
				make(&cut, slice_from(text, len), cuts, false);
				assert_true(slice_eq(buf_slice(&cut), buf_slice(&whole)));
			}
		}
	}
	buf_deinit(&whole);
	buf_deinit(&cut);
}

static size_t unbase64(const char *text, size_t len, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t group = 0;
	size_t n = 0, bits = 0, chars = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			continue;
		chars++;
		if (text[i] == '=')
			continue;
		assert_non_null(memchr(digits, text[i], 64));
		group = group << 6 | (uint32_t)((const char *)memchr(digits, text[i], 64) - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(group >> bits);
		}
	}
	assert_int_equal(chars % 4, 0);
	return n;
}

static void bytes_come_back_from_base64(void **state)
{
	enum { LEN = 11 };
	struct buf out = {0};
	char bytes[LEN], data[100], type[16];
	uint8_t got[LEN + 3];

	(void)state;
	for (size_t len = 0; len <= LEN; len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(251 - 37 * i);
		for (uint32_t cuts = 0; cuts < 1u << len; cuts += 2) {
			size_t chars;

			make(&out, slice_from(bytes, len), cuts, true);
			chars = read_event(buf_slice(&out), data, type);
			assert_int_equal(unbase64(data, chars, got), len);
			assert_memory_equal(got, bytes, len);
		}
	}
	make(&out, SLICE("Hello"), 0, true);
	assert_true(slice_eq(buf_slice(&out), SLICE("event: data\ndata:SGVsbG8=\n\n")));
	make(&out, SLICE("Hello!!"), 1 << 3, true);
	assert_true(slice_eq(buf_slice(&out), SLICE("event: data\ndata:SGVs\ndata:bG8hIQ==\n\n")));
	buf_deinit(&out);
}

static void control_events_say_where_to_go_on(void **state)
{
	struct sse_control at = {.number = 1, .offset = 0x2a, .cursor = 77};
	struct buf out = {0};

	(void)state;
	sse_control(&out, &at);
	assert_true(slice_eq(buf_slice(&out),
			     SLICE("event: control\ndata:{\"streamNextOffset\":\"0000000000000001_000000000000002a\","
				   "\"streamCursor\":\"77\"}\n\n")));
	buf_clear(&out);
	at.up_to_date = true;
	sse_control(&out, &at);
	assert_true(slice_eq(buf_slice(&out),
			     SLICE("event: control\ndata:{\"streamNextOffset\":\"0000000000000001_000000000000002a\","
				   "\"streamCursor\":\"77\",\"upToDate\":true}\n\n")));
	buf_clear(&out);
	at.closed = true;
	sse_control(&out, &at);
	assert_true(slice_eq(buf_slice(&out),
			     SLICE("event: control\ndata:{\"streamNextOffset\":\"0000000000000001_000000000000002a\","
				   "\"upToDate\":true,\"streamClosed\":true}\n\n")));
	buf_deinit(&out);
}

static void what_is_text_is_said_by_the_type(void **state)
{
	static const char *const texts[] = {"text/plain", "TEXT/html; charset=utf-8", "application/json",
					    "application/json; a=b"};
	static const char *const others[] = {"",          "text",    "application/octet-stream", "application/jsonx",
					     "image/png", "x-text/a"};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_true(sse_is_text(slice_str(texts[i])));
	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		assert_false(sse_is_text(slice_str(others[i])));
}

/* A lack of memory sticks to the buffer. */
static void memory_may_lack(void **state)
{
	(void)state;
	for (int base64 = 0; base64 < 2; base64++) {
		static char bytes[10000];
		bool failed = true;

		for (uint64_t k = 1; failed; k++) {
			struct buf out = {0};
			struct sse_data data;

			assert_true(k < 20);
			mem_fail_nth(k);
			sse_data_begin(&data, &out, base64);
			sse_data_add(&data, &out, slice_from(bytes, sizeof(bytes)));
			sse_data_end(&data, &out);
			mem_fail_nth(0);
			failed = out.failed;
			assert_true(k > 1 || failed);
			buf_deinit(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_as_the_protocol_shows_them), cmocka_unit_test(no_text_leaves_its_event),
		cmocka_unit_test(bytes_come_back_from_base64),          cmocka_unit_test(control_events_say_where_to_go_on),
		cmocka_unit_test(what_is_text_is_said_by_the_type),     cmocka_unit_test(memory_may_lack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
