/* Answers as the generator takes them apart: chunked ones and events must come out the same however they are cut on the way. */
#include "http.h"
#include "sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char chunked[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
			      "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
static const char events[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "1b\r\nevent: data\ndata:one\n\nevent\r\n11\r\n: control\ndata: {\r\n4\r\n}\n\n:\r\n"
			     "8\r\nhi\n\ndata\r\n9\r\n: two\n\n: \r\n0\r\n\r\n";

static void chunks_are_joined(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < sizeof(chunked) - 1; cut++) {
		struct bytes in = {0};
		struct http_answer answer;
		bytes_append(&in, chunked, cut);
		assert_int_equal(http_take(&in, &answer), 0);
		bytes_append(&in, chunked + cut, sizeof(chunked) - 1 - cut);
		bytes_append(&in, "HTTP", 4); /* the next one */
		assert_int_equal(http_take(&in, &answer), sizeof(chunked) - 1);
		assert_int_equal(answer.status, 200);
		assert_int_equal(answer.body_len, 12);
		assert_memory_equal(answer.body, "hello, world", 12);
		bytes_consume(&in, sizeof(chunked) - 1);
		assert_memory_equal(bytes_head(&in), "HTTP", 4);
		bytes_free(&in);
	}
}

static void lengths_are_as_before(void **state)
{
	static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct bytes in = {0};
	struct http_answer answer;
	(void)state;
	bytes_append(&in, plain, sizeof(plain) - 1);
	assert_int_equal(http_take(&in, &answer), sizeof(plain) - 1);
	assert_int_equal(answer.body_len, 2);
	bytes_free(&in);
}

/* What the events said, in short: "name=data;" each. */
static void events_take(struct sse *sse, struct bytes *said)
{
	struct sse_event event;
	size_t len;
	while ((len = sse_next(sse, &event)) > 0) {
		bytes_append(said, event.name, event.name_len);
		bytes_append(said, "=", 1);
		bytes_append(said, event.data, event.data_len);
		bytes_append(said, ";", 1);
		bytes_consume(&sse->text, len);
	}
}

static void events_come_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t step = 1; step < sizeof(events); step++) {
		struct sse sse = {0};
		struct conn conn = {0};
		struct bytes said = {0};
		for (size_t at = 0; at < sizeof(events) - 1; at += step) {
			size_t left = sizeof(events) - 1 - at;
			bytes_append(&conn.in, events + at, left < step ? left : step);
			sse_feed(&sse, &conn);
			events_take(&sse, &said);
		}
		bytes_append(&said, "", 1);
		assert_string_equal(bytes_head(&said), "data=one;control={};message=;message=two;");
		bytes_free(&said);
		assert_true(sse.ended);
		assert_int_equal(bytes_len(&conn.in), 0);
		bytes_free(&conn.in);
		sse_reset(&sse);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(chunks_are_joined), cmocka_unit_test(lengths_are_as_before),
					   cmocka_unit_test(events_come_however_they_are_cut)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
