/* Bodies: of requests, to memory, to the store, to nowhere, of every size and shape; of answers, out of the store. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

enum { LONG = BODY_INLINE_MAX };

static const char *long_bytes(void)
{
	static char bytes[3 * LONG];

	if (!bytes[0])
		pattern_fill(bytes, sizeof(bytes));
	return bytes;
}

/* What the door answers when it got these bytes. */
static const char *as_told(size_t len, bool blob)
{
	static char text[80];
	uint32_t crc = crc32c(0, long_bytes(), len);

	if (blob)
		snprintf(text, sizeof(text), " blob %zu %08x", len, crc);
	else
		snprintf(text, sizeof(text), " %zu %08x", len, crc);
	return text;
}

static void say_sized(struct stage *stage, struct peer *peer, const char *path, size_t len)
{
	char head[200];

	snprintf(head, sizeof(head), "POST %s" HOST "Content-Length: %zu\r\n\r\n", path, len);
	peer_say(stage, peer, head);
	peer_say_bytes(stage, peer, long_bytes(), len);
}

static void say_chunked(struct stage *stage, struct peer *peer, const char *path, size_t len, size_t chunk)
{
	char line[200];

	snprintf(line, sizeof(line), "POST %s" HOST "Transfer-Encoding: chunked\r\n\r\n", path);
	peer_say(stage, peer, line);
	for (size_t at = 0; at < len; at += chunk) {
		if (chunk > len - at)
			chunk = len - at;
		snprintf(line, sizeof(line), "%zx\r\n", chunk);
		peer_say(stage, peer, line);
		peer_say_bytes(stage, peer, long_bytes() + at, chunk);
		peer_say(stage, peer, "\r\n");
	}
	peer_say(stage, peer, "0\r\n\r\n");
}

static void bodies_of_every_size_arrive(void **state)
{
	static const size_t sizes[] = {0, 1, 255, 16383, 16384, 16385, 65536, 200000, LONG - 1, LONG, LONG + 1, 2 * LONG + 12345};
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	stage->quiet = true;
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		bool blob = sizes[i] > LONG;

		say_sized(stage, peer, "/memory/9999999", sizes[i]);
		expect_heard(stage, peer, 200, as_told(sizes[i], false));
		say_sized(stage, peer, "/store/9999999", sizes[i]);
		expect_heard(stage, peer, 200, as_told(sizes[i], blob));
		say_chunked(stage, peer, "/store/9999999", sizes[i], 50000);
		expect_heard(stage, peer, 200, as_told(sizes[i], blob));
		say_chunked(stage, peer, "/memory/9999999", sizes[i], sizes[i] > 2000 ? sizes[i] / 7 : 3);
		expect_heard(stage, peer, 200, as_told(sizes[i], false));
		say_sized(stage, peer, "/discard/9999999", sizes[i]);
		expect_heard(stage, peer, 200, " 0 00000000");
		say_sized(stage, peer, "/now/early", sizes[i]);
		expect_heard(stage, peer, 200, "/now/early");
		/* A body that is too long to be read for nothing ends the connection. */
		if (sizes[i] > DISCARD_BYTES) {
			UNTIL(stage, (peer_pull(peer), peer->ended));
			peer_close(peer);
			peer = peer_open(stage);
		}
	}
	peer_close(peer);
	stage_rest(stage);
	assert_int_equal(stage->http->body_memory_bytes, 0);
	assert_int_equal(stage->blobs_sealed, 4);
}

static void a_door_may_take_its_time(void **state)
{
	static const enum body_mode modes[] = {BODY_TO_MEMORY, BODY_TO_STORE, BODY_DISCARD};
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
		/* With a body, the body already there; without one; chunked and already there. */
		say_sized(stage, peer, "/hold/a", 100);
		UNTIL(stage, door_find(stage, "/hold/a"));
		stage_rest(stage);
		exchange_take_body(door_find(stage, "/hold/a"), modes[i], 100);
		expect_heard(stage, peer, 200, as_told(modes[i] == BODY_DISCARD ? 0 : 100, false));
		say_sized(stage, peer, "/hold/b", 0);
		UNTIL(stage, door_find(stage, "/hold/b"));
		stage_rest(stage);
		exchange_take_body(door_find(stage, "/hold/b"), modes[i], 100);
		expect_heard(stage, peer, 200, as_told(0, false));
		say_chunked(stage, peer, "/hold/c", 100, 30);
		UNTIL(stage, door_find(stage, "/hold/c"));
		stage_rest(stage);
		exchange_take_body(door_find(stage, "/hold/c"), modes[i], 100);
		expect_heard(stage, peer, 200, as_told(modes[i] == BODY_DISCARD ? 0 : 100, false));
		/* Never asked for, answered late; the next request is found behind it. */
		say_sized(stage, peer, "/hold/d", 30000);
		UNTIL(stage, door_find(stage, "/hold/d"));
		stage_rest(stage);
		door_answer(stage, "/hold/d", "d");
		expect_heard(stage, peer, 200, "d");
	}
	peer_close(peer);
}

static void a_body_may_be_answered_later(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	stage->hold_bodies = true;
	say_sized(stage, peer, "/store/999", 5);
	say_sized(stage, peer, "/store/9999999", LONG + 5);
	say_sized(stage, peer, "/memory/999", 7);
	UNTIL(stage, stage->entry_count == 3);
	stage_rest(stage);
	door_answer(stage, "/memory/999", "third");
	door_answer(stage, "/store/9999999", "second");
	door_answer(stage, "/store/999", "first");
	expect_heard(stage, peer, 200, "first");
	expect_heard(stage, peer, 200, "second");
	expect_heard(stage, peer, 200, "third");
	peer_close(peer);
}

/* What had come of it is given back then, not when the rest has come. */
static void a_body_may_be_answered_before_it_is_whole(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	for (int way = 0; way < 2; way++) {
		const char *path = way ? "/store/9999999" : "/memory/9999999";
		char head[200];

		snprintf(head, sizeof(head), "POST %s" HOST "Content-Length: 100000\r\n\r\n", path);
		peer_say(stage, peer, head);
		peer_say_bytes(stage, peer, long_bytes(), 50000);
		UNTIL(stage, stage->http->body_memory_bytes >= 50000);
		door_answer(stage, path, "enough");
		assert_int_equal(stage->http->body_memory_bytes, 0);
		expect_heard(stage, peer, 200, "enough");
		peer_say_bytes(stage, peer, long_bytes(), 50000);
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		expect_heard(stage, peer, 200, "/now/a");
		assert_int_equal(stage->http->body_memory_bytes, 0);
	}
	peer_close(peer);
}

static void what_is_too_long_is_refused(void **state)
{
	struct stage *stage = *state;
	struct heard heard;

	for (int way = 0; way < 7; way++) {
		struct peer *peer = peer_open(stage);

		if (way == 0)
			say_sized(stage, peer, "/memory/100", 101);
		else if (way == 1)
			say_chunked(stage, peer, "/memory/100", 101, 10);
		else if (way == 2)
			say_sized(stage, peer, "/store/1100000", 1100001);
		else if (way == 3)
			say_chunked(stage, peer, "/store/1100000", 1100001, 1000);
		else if (way == 4)
			say_chunked(stage, peer, "/discard/100", 101, 101);
		else if (way == 5)
			peer_say(stage, peer,
				 "POST /memory/100" HOST "Content-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n");
		if (way == 6) {
			peer_say(stage, peer, "POST /hold/100" HOST "Content-Length: 101\r\n\r\n");
			UNTIL(stage, door_find(stage, "/hold/100"));
			exchange_take_body(door_find(stage, "/hold/100"), BODY_TO_MEMORY, 100);
		}
		peer_hear(stage, peer, &heard);
		assert_int_equal(heard.status, 413);
		assert_true(heard_has(&heard, "Connection: close"));
		expect_end(stage, peer);
		peer_close(peer);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		assert_null(strstr(stage->said, "body"));
		assert_non_null(strstr(stage->said, "gone"));
		stage->said_len = 0;
		memset(stage->said, 0, 1000);
	}
	/* The server's own limit holds for whatever the door wants. */
	stage->config.limits.body_bytes = 50;
	stage_configure(stage);
	{
		struct peer *peer = peer_open(stage);

		say_sized(stage, peer, "/store/100", 50);
		expect_heard(stage, peer, 200, as_told(50, false));
		say_sized(stage, peer, "/store/100", 51);
		expect_status(stage, peer, 413);
		expect_end(stage, peer);
		peer_close(peer);
	}
}

static void broken_framing_is_on_gone(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "POST /store/100" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello");
	expect_said(stage, "head /store/100\n");
	peer_say(stage, peer, "nonsense\r\n");
	expect_status(stage, peer, 400);
	expect_end(stage, peer);
	expect_said(stage, "gone /store/100\n");
	peer_close(peer);
	/* A body that breaks off. */
	peer = peer_open(stage);
	peer_say(stage, peer, "POST /store/9999999" HOST "Content-Length: 2000000\r\n\r\nhello");
	UNTIL(stage, stage->blobs_open == 1);
	peer_finish(peer);
	expect_said(stage, "head /store/9999999\ngone /store/9999999\n");
	expect_end(stage, peer);
	assert_int_equal(stage->blobs_discarded, 1);
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void continue_is_said_when_the_body_is_wanted(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "POST /memory/10" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	expect_status(stage, peer, 100);
	peer_say_bytes(stage, peer, long_bytes(), 5);
	expect_heard(stage, peer, 200, as_told(5, false));
	/* In its turn only. */
	peer_say(stage, peer, "GET /hold/a" HOST "\r\nPOST /store/10" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	UNTIL(stage, door_find(stage, "/store/10"));
	stage_rest(stage);
	peer_pull(peer);
	assert_int_equal(peer->len, 0);
	door_answer(stage, "/hold/a", "a");
	expect_heard(stage, peer, 200, "a");
	expect_status(stage, peer, 100);
	peer_say_bytes(stage, peer, long_bytes(), 5);
	expect_heard(stage, peer, 200, as_told(5, false));
	/* Who does not wait for it need not hear it; who has it thrown away does. */
	peer_say(stage, peer, "POST /hold/b" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
	UNTIL(stage, door_find(stage, "/hold/b"));
	stage_rest(stage);
	exchange_take_body(door_find(stage, "/hold/b"), BODY_DISCARD, 10);
	expect_status(stage, peer, 100);
	expect_status(stage, peer, 200);
	peer_say(stage, peer, "POST /discard/9" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	expect_status(stage, peer, 100);
	peer_say(stage, peer, "hello");
	expect_status(stage, peer, 200);
	/* An answer in place of it ends the connection: the client may send the body, or not. */
	peer_say(stage, peer, "POST /now/c" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, peer);
	peer_close(peer);
}

/* It was to be said, but an answer came first. */
static void a_continue_that_was_not_said_ends_the_connection(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /hold/a" HOST "\r\nPOST /store/10" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	UNTIL(stage, door_find(stage, "/store/10"));
	stage_rest(stage);
	door_answer(stage, "/store/10", "never mind");
	door_answer(stage, "/hold/a", "a");
	expect_heard(stage, peer, 200, "a");
	peer_hear(stage, peer, &heard);
	assert_string_equal(heard.body, "never mind");
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, peer);
	peer_close(peer);
}

static void a_full_disk_is_told(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	for (int way = 0; way < 3; way++) {
		stage->open_error = way == 0 ? STORE_NO_SPACE : 0;
		stage->write_error = way == 1 ? STORE_NO_SPACE : 0;
		stage->write_fails_at = LONG + 100000;
		stage->seal_error = way == 2 ? STORE_NO_SPACE : 0;
		say_sized(stage, peer, "/store/9999999", LONG + 100001);
		expect_heard(stage, peer, 507, "no");
		if (way == 0) {
			UNTIL(stage, (peer_pull(peer), peer->ended));
			peer_close(peer);
			peer = peer_open(stage);
		}
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		expect_heard(stage, peer, 200, "/now/a");
		expect_said(stage, "head /store/9999999\nfailed /store/9999999\nhead /now/a\n");
	}
	/* The door may be slow to say it; the last byte was the one too many. */
	stage->seal_error = 0;
	stage->write_error = -EIO;
	stage->hold_bodies = true;
	say_sized(stage, peer, "/store/9999999", LONG + 100001);
	expect_said(stage, "head /store/9999999\nfailed /store/9999999\n");
	stage_rest(stage);
	door_answer(stage, "/store/9999999", "sorry");
	expect_heard(stage, peer, 200, "sorry");
	stage_rest(stage);
	assert_null(list_first(&stage->http->conns, struct http_conn, all)->intake);
	peer_say(stage, peer, "GET /now/a" HOST "\r\n");
	expect_heard(stage, peer, 200, "/now/a");
	peer_close(peer);
}

static void bodies_in_memory_have_a_limit_together(void **state)
{
	struct stage *stage = *state;
	struct peer *one, *two;

	stage->config.limits.body_memory_bytes = 60000;
	stage_configure(stage);
	one = peer_open(stage);
	two = peer_open(stage);
	peer_say(stage, one, "POST /store/999999" HOST "Content-Length: 500000\r\n\r\n");
	peer_say_bytes(stage, one, long_bytes(), 100000);
	UNTIL(stage, stage->http->body_memory_bytes > 60000 || stage->blobs_open);
	peer_say_bytes(stage, one, long_bytes() + 100000, 100000);
	UNTIL(stage, stage->blobs_open == 1);
	assert_int_equal(stage->http->body_memory_bytes, 0);
	peer_say_bytes(stage, one, long_bytes() + 200000, 300000);
	expect_heard(stage, one, 200, as_told(500000, true));
	/* What has to stay in memory is refused. */
	say_sized(stage, two, "/memory/999999", 500000);
	expect_heard(stage, two, 503, "no");
	peer_close(one);
	peer_close(two);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(stage->http->body_memory_bytes, 0);
}

static void who_leaves_while_its_body_is_sealed_leaves_nothing(void **state)
{
	struct stage *stage = *state;

	stage->hold_seals = true;
	for (int way = 0; way < 4; way++) {
		struct peer *peer = peer_open(stage);

		stage->seal_error = way == 3 ? -EIO : 0;
		say_sized(stage, peer, "/store/9999999", LONG + 1);
		UNTIL(stage, stage->sealing);
		/* Whatever comes behind it waits. */
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		stage_rest(stage);
		expect_said(stage, "head /store/9999999\n");
		if (way == 0) {
			stage_seal(stage);
			expect_heard(stage, peer, 200, as_told(LONG + 1, true));
			expect_heard(stage, peer, 200, "/now/a");
			stage->said_len = 0;
		} else if (way == 1) {
			/* Both in one turn: the loop has seen it, the flush not. */
			struct exchange *ex = door_find(stage, "/store/9999999");

			conn_break(ex->conn);
			door_answer(stage, "/store/9999999", "void");
			stage_seal(stage);
			stage_turn(stage, 0);
			UNTIL(stage, stage->blobs_released == 1);
		} else {
			peer_reset(peer);
			peer = NULL;
			expect_said(stage, "gone /store/9999999\n");
			assert_int_equal(stage_stats(stage).connections_open, 0);
			stage_seal(stage);
			stage_rest(stage);
			assert_int_equal(stage->blobs_released, 2);
		}
		peer_close(peer);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
	}
}

static void a_half_closed_client_hears_of_its_sealed_body(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	stage->hold_seals = true;
	say_sized(stage, peer, "/store/9999999", LONG + 1);
	peer_finish(peer);
	UNTIL(stage, stage->sealing);
	stage_rest(stage);
	stage_seal(stage);
	expect_heard(stage, peer, 200, as_told(LONG + 1, true));
	expect_end(stage, peer);
	peer_close(peer);
}

/* --- out of the store --- */

static void hear_pinned(struct stage *stage, struct peer *peer, size_t from, size_t bytes, size_t size, char kind)
{
	char request[200];
	struct heard heard;

	snprintf(request, sizeof(request), "GET /pin/%zu/%zu/%zu/%c" HOST "\r\n", from, bytes, size, kind);
	peer_say(stage, peer, request);
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_int_equal(heard.body_len, bytes);
	expect_pattern(heard.body, from, bytes);
}

static void stored_bodies_go_out(void **state)
{
	static const struct {
		size_t from, bytes, size;
		char kind;
	} cases[] = {
		{0, 0, 0, 'i'},
		{0, 10, 10, 'i'},
		{3, 4, 10, 'i'},
		{0, 65536, 65536, 'i'},
		{0, 65537, 65537, 'i'},
		{65000, 1000, LONG, 'i'},
		{0, LONG, LONG, 'i'},
		{0, 1, 1, 'b'},
		{0, 3000000, 3000000, 'b'},
		{1234567, 1000000, 3000000, 'b'},
		{2999999, 1, 3000000, 'b'},
		{5, 0, 3000000, 'b'},
	};
	struct stage *stage = *state;

	stage->quiet = true;
	for (int way = 0; way < 4; way++) {
		struct peer *peer = way & 1 ? peer_open_slow(stage) : peer_open(stage);

		stage->pin_without_file = way >= 2;
		for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
			hear_pinned(stage, peer, cases[i].from, cases[i].bytes, cases[i].size, cases[i].kind);
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		expect_heard(stage, peer, 200, "/now/a");
		assert_int_equal(stage->pins_open, 0);
		peer_close(peer);
	}
}

static void stored_bodies_keep_their_place_in_the_line(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open_slow(stage);
	struct heard heard;

	peer_say(stage, peer,
		 "GET /hold/a" HOST "\r\nGET /pin/0/500000/500000/b" HOST "\r\nGET /now/b" HOST "\r\n"
		 "GET /pin/7/20/40/i" HOST "\r\nGET /pin/1/300000/400000/i" HOST "\r\nGET /tell/c" HOST "\r\n");
	UNTIL(stage, stage->entry_count == 6);
	stage_rest(stage);
	assert_int_equal(stage->pins_open, 2);
	door_answer(stage, "/hold/a", "a");
	expect_heard(stage, peer, 200, "a");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.body_len, 500000);
	expect_pattern(heard.body, 0, 500000);
	expect_heard(stage, peer, 200, "/now/b");
	peer_hear(stage, peer, &heard);
	expect_pattern(heard.body, 7, 20);
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.body_len, 300000);
	expect_pattern(heard.body, 1, 300000);
	expect_heard(stage, peer, 200, "/tell/c");
	assert_int_equal(stage->pins_open, 0);
	peer_close(peer);
}

static void wrong_bytes_are_never_served(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	for (int way = 0; way < 3; way++) {
		stage->pin_bad = true;
		peer_say(stage, peer,
			 way == 0   ? "GET /pin/0/10/10/i" HOST "\r\n"
			 : way == 1 ? "GET /pin/3/4/10/i" HOST "\r\n"
				    : "GET /pin/0/100000/100000/i" HOST "\r\n");
		expect_status(stage, peer, 503);
		assert_int_equal(stage->pins_open, 0);
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		expect_status(stage, peer, 200);
	}
	peer_close(peer);
}

/* Told while there is a status to say; later the connection breaks before the length that was promised. */
static void a_long_body_that_cannot_be_read_is_told_or_breaks_off(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	stage->pin_without_file = true;
	stage->pin_fails_at = 200000;
	peer_say(stage, peer, "GET /pin/250000/1000/500000/b" HOST "\r\n");
	expect_status(stage, peer, 503);
	assert_int_equal(stage->pins_open, 0);
	peer_say(stage, peer, "GET /pin/0/500000/500000/b" HOST "\r\n");
	UNTIL(stage, (peer_pull(peer), peer->ended));
	assert_true(peer->len < 201000);
	assert_int_equal(stage->pins_open, 0);
	assert_int_equal(stage_stats(stage).connections_open, 0);
	peer_close(peer);
}

static void who_leaves_lets_go_of_what_was_pinned(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open_slow(stage);

	peer_say(stage, peer, "GET /pin/0/9000000/9000000/b" HOST "\r\nGET /pin/0/9000000/9000000/b" HOST "\r\n");
	UNTIL(stage, stage->pins_open == 2);
	stage_rest(stage);
	peer_reset(peer);
	UNTIL(stage, stage->pins_open == 0);
	/* Early ones, too. */
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /pin/0/90000/90000/b" HOST "\r\n");
	UNTIL(stage, stage->pins_open == 1);
	peer_reset(peer);
	UNTIL(stage, stage->pins_open == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(bodies_of_every_size_arrive),
		T(a_door_may_take_its_time),
		T(a_body_may_be_answered_later),
		T(a_body_may_be_answered_before_it_is_whole),
		T(what_is_too_long_is_refused),
		T(broken_framing_is_on_gone),
		T(continue_is_said_when_the_body_is_wanted),
		T(a_continue_that_was_not_said_ends_the_connection),
		T(a_full_disk_is_told),
		T(bodies_in_memory_have_a_limit_together),
		T(who_leaves_while_its_body_is_sealed_leaves_nothing),
		T(a_half_closed_client_hears_of_its_sealed_body),
		T(stored_bodies_go_out),
		T(stored_bodies_keep_their_place_in_the_line),
		T(wrong_bytes_are_never_served),
		T(a_long_body_that_cannot_be_read_is_told_or_breaks_off),
		T(who_leaves_lets_go_of_what_was_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
