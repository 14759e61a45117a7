/* Answers that go on: their bytes, their place among others, readers who are slow or leave, and what they cost at rest. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include "base/mem.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

enum { SHORT_MS = 40, LONG_BYTES = 3000000 };

static struct exchange *find(struct stage *stage, const char *path)
{
	struct exchange *ex;

	UNTIL(stage, (ex = door_find(stage, path)) != NULL);
	return ex;
}

static void tell(struct stage *stage, const char *path, const char *text)
{
	exchange_stream_write(find(stage, path), slice_str(text));
}

static void end(struct stage *stage, const char *path)
{
	struct exchange *ex = find(stage, path);

	door_forget(stage, ex);
	exchange_stream_end(ex);
}

/* Exactly these bytes come next. */
static void expect_bytes(struct stage *stage, struct peer *peer, const char *text)
{
	size_t len = strlen(text);

	UNTIL(stage, (peer_pull(peer), peer->len >= len || peer->ended));
	assert_true(peer->len >= len);
	assert_memory_equal(peer->in, text, len);
	peer->len -= len;
	memmove(peer->in, peer->in + len, peer->len);
}

static void expect_nothing(struct stage *stage, struct peer *peer)
{
	stage_rest(stage);
	peer_pull(peer);
	assert_int_equal(peer->len, 0);
	assert_false(peer->ended);
}

static struct http_conn *only_conn(struct stage *stage)
{
	assert_int_equal(stage_stats(stage).connections_open, 1);
	return list_first(&stage->http->conns, struct http_conn, all);
}

/* The chunks that are there, joined in place; false: the last one has not come. */
static bool unchunk(struct peer *peer, size_t *ret_len)
{
	size_t at = 0, len = 0;

	for (;;) {
		const char *line = memmem(peer->in + at, peer->len - at, "\r\n", 2);
		size_t size = line ? strtoull(peer->in + at, NULL, 16) : 0, body = line ? (size_t)(line - peer->in) + 2 : 0;

		if (!line || body + size + 2 > peer->len)
			return false;
		assert_memory_equal(peer->in + body + size, "\r\n", 2);
		if (size == 0)
			break;
		len += size;
		at = body + size + 2;
	}
	*ret_len = len;
	for (size_t from = 0, to = 0; to < len;) {
		char *line = memmem(peer->in + from, peer->len - from, "\r\n", 2);
		size_t size = strtoull(peer->in + from, NULL, 16), body = (size_t)(line - peer->in) + 2;

		memmove(peer->in + to, peer->in + body, size);
		to += size;
		from = body + size + 2;
	}
	return true;
}

static void chunks_go_out_as_they_are_given(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /stream/a" HOST "\r\n");
	peer_hear_head(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_true(heard_has(&heard, "Transfer-Encoding: chunked") && heard_has(&heard, "Content-Type: text/plain"));
	assert_null(strstr(heard.head, "Content-Length"));
	expect_nothing(stage, peer);
	tell(stage, "/stream/a", "hello, ");
	expect_bytes(stage, peer, "7\r\nhello, \r\n");
	tell(stage, "/stream/a", "");
	tell(stage, "/stream/a", "one");
	tell(stage, "/stream/a", "0123456789abcdef");
	expect_bytes(stage, peer, "3\r\none\r\n10\r\n0123456789abcdef\r\n");
	expect_nothing(stage, peer);
	end(stage, "/stream/a");
	expect_bytes(stage, peer, "0\r\n\r\n");
	peer_say(stage, peer, "GET /now/b" HOST "\r\n");
	expect_heard(stage, peer, 200, "/now/b");
	expect_said(stage, "head /stream/a\nhead /now/b\n");
	peer_close(peer);
}

static void its_place_in_the_line_is_kept(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer,
		 "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\nGET /now/c" HOST "\r\nGET /stream/d" HOST "\r\nGET /now/e" HOST
		 "\r\n");
	expect_said(stage, "head /hold/a\nhead /stream/b\nhead /now/c\nhead /stream/d\nhead /now/e\n");
	tell(stage, "/stream/b", "b1");
	tell(stage, "/stream/d", "d1");
	expect_nothing(stage, peer);
	door_answer(stage, "/hold/a", "a");
	expect_heard(stage, peer, 200, "a");
	peer_hear_head(stage, peer, &heard);
	expect_bytes(stage, peer, "2\r\nb1\r\n");
	/* One ends before its turn has come. */
	tell(stage, "/stream/d", "d2");
	end(stage, "/stream/d");
	expect_nothing(stage, peer);
	tell(stage, "/stream/b", "b2");
	end(stage, "/stream/b");
	expect_bytes(stage, peer, "2\r\nb2\r\n0\r\n\r\n");
	expect_heard(stage, peer, 200, "/now/c");
	peer_hear_head(stage, peer, &heard);
	expect_bytes(stage, peer, "2\r\nd1\r\n2\r\nd2\r\n0\r\n\r\n");
	expect_heard(stage, peer, 200, "/now/e");
	peer_close(peer);
}

/* Held back, then free to go on: both in one turn. */
static void what_was_held_back_comes_first(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n");
	exchange_park(find(stage, "/stream/b"), 50000);
	tell(stage, "/stream/b", "1");
	door_answer(stage, "/hold/a", "a");
	tell(stage, "/stream/b", "2");
	expect_heard(stage, peer, 200, "a");
	tell(stage, "/stream/b", "3");
	peer_hear_head(stage, peer, &heard);
	expect_bytes(stage, peer, "1\r\n1\r\n1\r\n2\r\n1\r\n3\r\n");
	peer_close(peer);
}

static void http_1_0_closes_behind_it(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /stream/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_hear_head(stage, peer, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	assert_null(strstr(heard.head, "Transfer-Encoding"));
	assert_null(strstr(heard.head, "Content-Length"));
	tell(stage, "/stream/a", "as ");
	tell(stage, "/stream/a", "it is");
	expect_bytes(stage, peer, "as it is");
	expect_nothing(stage, peer);
	end(stage, "/stream/a");
	expect_end(stage, peer);
	peer_close(peer);
}

static void head_has_the_head_alone(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "HEAD /stream/a" HOST "\r\nGET /now/b" HOST "\r\n");
	peer_hear_head(stage, peer, &heard);
	assert_true(heard_has(&heard, "Transfer-Encoding: chunked"));
	tell(stage, "/stream/a", "never said");
	expect_nothing(stage, peer);
	end(stage, "/stream/a");
	expect_heard(stage, peer, 200, "/now/b");
	peer_close(peer);
}

/* At rest: no piece, no buffer, no request; a deadline of its own; and still written to. */
static void parked_it_costs_a_wait(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct exchange *ex;
	struct heard heard;

	peer_say(stage, peer, "GET /stream/a" HOST "\r\n");
	peer_hear_head(stage, peer, &heard);
	ex = find(stage, "/stream/a");
	exchange_park(ex, SHORT_MS);
	assert_null(ex->request);
	assert_int_equal(stage_stats(stage).parked, 1);
	for (int i = 0; i < 3; i++) {
		mem_fail_nth(1); /* no memory is asked for */
		tell(stage, "/stream/a", "x");
		mem_fail_nth(0);
		assert_true(exchange_is_parked(ex));
		assert_null(only_conn(stage)->out.first);
		assert_null(ex->answer);
		expect_bytes(stage, peer, "1\r\nx\r\n");
	}
	expect_said(stage, "head /stream/a\ndeadline /stream/a\n"); /* where it is parked anew */
	assert_true(exchange_is_parked(ex));
	end(stage, "/stream/a");
	assert_int_equal(stage_stats(stage).parked, 0);
	expect_bytes(stage, peer, "0\r\n\r\n");
	peer_close(peer);
}

static void the_reader_sets_the_pace(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open_slow(stage);
	struct heard heard;
	uint64_t most = 0;
	size_t len;
	char request[80];

	snprintf(request, sizeof(request), "GET /pace/%d" HOST "\r\n", LONG_BYTES);
	peer_say(stage, peer, request);
	peer_hear_head(stage, peer, &heard);
	/* Nothing is taken: nothing more is made. */
	stage_rest(stage);
	assert_true(only_conn(stage)->out_bytes < 2 * EXCHANGE_DRAIN_BYTES);
	for (uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS; !unchunk(peer, &len);) {
		struct http_conn *conn = only_conn(stage);

		assert_true(stage_now_ms() < end_ms);
		if (conn->out_bytes > most)
			most = conn->out_bytes;
		peer_pull(peer);
		stage_turn(stage, 1);
	}
	assert_true(most < 2 * EXCHANGE_DRAIN_BYTES);
	assert_int_equal(len, LONG_BYTES);
	expect_pattern(peer->in, 0, len);
	peer_close(peer);
}

static bool is_full(struct stage *stage, const char *path)
{
	return exchange_stream_is_full(find(stage, path));
}

static void on_drained_comes_once_each_time_it_was_asked_for(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	static char bytes[EXCHANGE_DRAIN_BYTES + 1];
	struct heard heard;

	memset(bytes, 'x', sizeof(bytes) - 1);
	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n");
	tell(stage, "/stream/b", "little");
	assert_false(is_full(stage, "/stream/b"));
	tell(stage, "/stream/b", bytes);
	assert_true(is_full(stage, "/stream/b") && is_full(stage, "/stream/b"));
	expect_nothing(stage, peer);
	door_answer(stage, "/hold/a", "a");
	expect_said(stage, "head /hold/a\nhead /stream/b\ndrained /stream/b\n");
	assert_int_equal(exchange_left_bytes(find(stage, "/stream/b")), 0);
	/* Nobody asked. */
	tell(stage, "/stream/b", bytes);
	stage_rest(stage);
	expect_said(stage, "");
	tell(stage, "/stream/b", bytes);
	assert_true(is_full(stage, "/stream/b"));
	expect_said(stage, "drained /stream/b\n");
	end(stage, "/stream/b");
	stage_rest(stage);
	expect_said(stage, "");
	expect_heard(stage, peer, 200, "a");
	peer_hear_head(stage, peer, &heard);
	expect_bytes(stage, peer, "6\r\nlittle\r\n8000\r\nxxx");
	peer_close(peer);
}

/* What fills it may be another's, too, and come when it has said its last for now. */
static void what_stands_before_it_counts(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open_slow(stage);
	struct heard heard;
	struct exchange *ex;

	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n");
	exchange_park(find(stage, "/stream/b"), 50000);
	tell(stage, "/stream/b", "x");
	assert_false(is_full(stage, "/stream/b"));
	ex = find(stage, "/hold/a");
	door_forget(stage, ex);
	exchange_answer(ex, &(struct answer){.status = 200,
					     .pin = stage_pin(stage, LONG_BYTES, BODY_BLOB),
					     .range_from = 0,
					     .range_bytes = LONG_BYTES});
	stage_rest(stage);
	assert_true(is_full(stage, "/stream/b"));
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.body_len, LONG_BYTES);
	expect_said(stage, "head /hold/a\nhead /stream/b\ndrained /stream/b\n");
	peer_hear_head(stage, peer, &heard);
	expect_bytes(stage, peer, "1\r\nx\r\n");
	peer_close(peer);
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	char request[80];

	stage->config.limits.write_timeout_ms = SHORT_MS;
	stage_configure(stage);
	peer = peer_open_slow(stage);
	snprintf(request, sizeof(request), "GET /pace/%d" HOST "\r\n", LONG_BYTES);
	peer_say(stage, peer, request);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(stage_stats(stage).timeouts_total, 1);
	assert_null(door_find(stage, "/pace/3000000"));
	expect_said(stage, "head /pace/3000000\ngone /pace/3000000\n");
	peer_close(peer);
}

/* FIN or RST, parked or not, first in line or not. */
static void whoever_leaves_is_gone_at_once(void **state)
{
	struct stage *stage = *state;

	for (int way = 0; way < 8; way++) {
		struct peer *peer = peer_open(stage);
		struct heard heard;

		peer_say(stage, peer, way & 1 ? "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n" : "GET /stream/b" HOST "\r\n");
		find(stage, "/stream/b");
		if (way & 2)
			exchange_park(find(stage, "/stream/b"), 50000);
		tell(stage, "/stream/b", "x");
		if (!(way & 1))
			peer_hear_head(stage, peer, &heard);
		if (way & 4)
			peer_finish(peer);
		else
			peer_reset(peer);
		UNTIL(stage, !door_find(stage, "/stream/b"));
		if (way & 1 && way & 4) {
			/* What came before it is still answered; it itself was never begun. */
			door_answer(stage, "/hold/a", "a");
			expect_heard(stage, peer, 200, "a");
			expect_end(stage, peer);
		}
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		if (way & 4)
			peer_close(peer);
		assert_int_equal(stage_stats(stage).parked, 0);
		assert_int_equal(stage->http->exchange_pool.live_count, 0);
	}
}

/* Between the loss and on_gone the door may go on as if nothing were. */
static void a_lost_one_may_be_told_more(void **state)
{
	struct stage *stage = *state;

	for (int ends = 0; ends < 2; ends++) {
		struct peer *peer = peer_open(stage);
		struct exchange *ex;

		peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n");
		ex = find(stage, "/stream/b");
		tell(stage, "/stream/b", "held back");
		peer_reset(peer);
		for (uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS; !(ex->conn->flags & CONN_BROKEN);) {
			assert_true(stage_now_ms() < end_ms);
			assert_int_equal(loop_poll(stage->loop, end_ms), 0);
		}
		tell(stage, "/stream/b", "void");
		exchange_park(ex, 50000);
		tell(stage, "/stream/b", "void");
		if (ends)
			end(stage, "/stream/b");
		expect_said(stage, ends ? "head /hold/a\nhead /stream/b\ngone /hold/a\n"
					: "head /hold/a\nhead /stream/b\ngone /hold/a\ngone /stream/b\n");
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		assert_int_equal(stage->http->exchange_pool.live_count, 0);
		assert_int_equal(stage->http->piece_pool.live_count, stage->http->spare_piece_count);
	}
}

/* What waits behind one that closes is never answered. */
static void one_that_closes_is_the_last(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;
	struct exchange *ex;

	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\n");
	ex = find(stage, "/hold/a");
	find(stage, "/stream/b");
	exchange_stream_begin(ex, &(struct answer){.status = 200, .flags = EXCHANGE_CLOSE});
	peer_hear_head(stage, peer, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	exchange_stream_write(ex, SLICE("last"));
	end(stage, "/hold/a");
	expect_bytes(stage, peer, "4\r\nlast\r\n0\r\n\r\n");
	expect_end(stage, peer);
	expect_said(stage, "head /hold/a\nhead /stream/b\ngone /stream/b\n");
	peer_close(peer);
}

static void park_again(struct exchange *ex, void *ctx)
{
	int *count = ctx;

	++*count;
	exchange_park(ex, SHORT_MS);
}

/* A server that leaves: parked ones are found as other waits are, and the connection closes behind the end. */
static void a_drained_connection_closes_behind_the_end(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;
	int count = 0;

	peer_say(stage, peer, "GET /stream/a" HOST "\r\n");
	peer_hear_head(stage, peer, &heard);
	exchange_park(find(stage, "/stream/a"), 50000);
	http_thread_drain(stage->http);
	http_thread_each_parked(stage->http, park_again, &count);
	assert_int_equal(count, 1);
	tell(stage, "/stream/a", "still here");
	expect_bytes(stage, peer, "a\r\nstill here\r\n");
	expect_said(stage, "head /stream/a\ndeadline /stream/a\n");
	expect_nothing(stage, peer);
	end(stage, "/stream/a");
	expect_bytes(stage, peer, "0\r\n\r\n");
	expect_end(stage, peer);
	peer_close(peer);
}

/* The k-th allocation fails: the reader loses the connection, and nothing stays behind. */
static void any_allocation_may_fail(void **state)
{
	static const char script[] = "GET /hold/a" HOST "\r\nGET /stream/b" HOST "\r\nGET /pace/90000" HOST "\r\n";
	static char bytes[EXCHANGE_DRAIN_BYTES + 1];
	struct stage *stage = *state;
	bool whole = false;

	stage->quiet = true;
	memset(bytes, 'x', sizeof(bytes) - 1);
	for (uint64_t k = 1; !whole; k++) {
		struct peer *peer;
		struct exchange *ex;
		size_t heard = 0;

		assert_true(k < 200);
		stage_reset(stage);
		peer = peer_open(stage);
		mem_fail_nth(k);
		peer_say(stage, peer, script);
		stage_rest(stage);
		for (int i = 0; i < 3 && (ex = door_find(stage, "/stream/b")); i++)
			exchange_stream_write(ex, slice_str(bytes));
		if (door_find(stage, "/hold/a"))
			door_answer(stage, "/hold/a", "a");
		stage_rest(stage);
		if ((ex = door_find(stage, "/stream/b"))) {
			exchange_park(ex, 50000);
			exchange_stream_write(ex, slice_str(bytes));
			end(stage, "/stream/b");
		}
		for (uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS; !peer->ended && !whole; stage_turn(stage, 1)) {
			assert_true(stage_now_ms() < end_ms);
			peer_pull(peer);
			heard = peer->len;
			whole = heard > 4 * sizeof(bytes) + 90000 && memcmp(peer->in + heard - 5, "0\r\n\r\n", 5) == 0;
		}
		mem_fail_nth(0);
		peer_close(peer);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		for (size_t i = 0; i < stage->entry_count; i++)
			assert_null(stage->entries[i].ex);
		assert_int_equal(stage->http->exchange_pool.live_count, 0);
		assert_true(list_empty(&stage->http->gone));
		assert_true(k > 3 || !whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(chunks_go_out_as_they_are_given), T(its_place_in_the_line_is_kept),
		T(what_was_held_back_comes_first),  T(http_1_0_closes_behind_it),
		T(head_has_the_head_alone),         T(parked_it_costs_a_wait),
		T(the_reader_sets_the_pace),        T(on_drained_comes_once_each_time_it_was_asked_for),
		T(what_stands_before_it_counts),    T(a_reader_that_takes_nothing_is_cut),
		T(whoever_leaves_is_gone_at_once),  T(a_lost_one_may_be_told_more),
		T(one_that_closes_is_the_last),     T(a_drained_connection_closes_behind_the_end),
		T(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
