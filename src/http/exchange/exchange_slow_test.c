/* Those who are slow: to ask, to send, to read, to leave. And what the engine does meanwhile: nothing. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

enum { SHORT_MS = 40 };

static struct http_conn *only_conn(struct stage *stage)
{
	assert_int_equal(stage_stats(stage).connections_open, 1);
	return list_first(&stage->http->conns, struct http_conn, all);
}

/* Nothing is left to do before the world says something. */
static void assert_still(struct stage *stage)
{
	stage_rest(stage);
	assert_false(http_thread_flush(stage->http));
	assert_true(list_empty(&stage->http->work));
}

static void a_slow_head_is_cut(void **state)
{
	struct stage *stage = *state;
	struct peer *peer, *parked;
	uint64_t begun;

	stage->config.limits.header_timeout_ms = SHORT_MS;
	stage_configure(stage);
	peer = peer_open(stage);
	begun = stage_now_ms();
	peer_say(stage, peer, "GET /now/a");
	/* Bytes do not help: the whole head has the time. */
	while (stage_now_ms() < begun + SHORT_MS / 2) {
		peer_say(stage, peer, "a");
		stage_turn(stage, 5);
	}
	expect_status(stage, peer, 408);
	assert_true(stage_now_ms() - begun >= SHORT_MS);
	expect_end(stage, peer);
	peer_close(peer);
	assert_int_equal(stage_stats(stage).timeouts_total, 1);
	expect_said(stage, "");
	/* Behind one who waits; a blank line alone begins nothing. */
	parked = peer_open(stage);
	peer_say(stage, parked, "GET /park/50000/a" HOST "\r\n\r\nGET");
	expect_said(stage, "head /park/50000/a\n");
	UNTIL(stage, stage_stats(stage).timeouts_total == 2);
	door_answer(stage, "/park/50000/a", "a");
	expect_heard(stage, parked, 200, "a");
	expect_status(stage, parked, 408);
	expect_end(stage, parked);
	peer_close(parked);
}

/* Each head has its own time, however close it comes behind the one before. */
static void every_head_has_its_own_time(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	uint64_t end_ms;

	stage->config.limits.header_timeout_ms = 2 * SHORT_MS;
	stage_configure(stage);
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /now/a");
	for (end_ms = stage_now_ms() + 5 * SHORT_MS; stage_now_ms() < end_ms;) {
		stage_turn(stage, 10);
		peer_say(stage, peer, HOST "\r\nGET /now/a");
		expect_heard(stage, peer, 200, "/now/a");
	}
	assert_int_equal(stage_stats(stage).timeouts_total, 0);
	expect_status(stage, peer, 408);
	peer_close(peer);
}

static void a_slow_body_is_cut(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	uint64_t end_ms;

	stage->config.limits.body_timeout_ms = SHORT_MS;
	stage_configure(stage);
	peer = peer_open(stage);
	peer_say(stage, peer, "POST /discard/1000000000" HOST "Content-Length: 1000000000\r\n\r\n");
	/* One that keeps coming may take as long as it likes. */
	for (end_ms = stage_now_ms() + 4 * SHORT_MS; stage_now_ms() < end_ms;) {
		peer_say(stage, peer, "a");
		stage_turn(stage, 5);
	}
	expect_said(stage, "head /discard/1000000000\n");
	expect_status(stage, peer, 408);
	expect_said(stage, "gone /discard/1000000000\n");
	expect_end(stage, peer);
	peer_close(peer);
	assert_int_equal(stage_stats(stage).timeouts_total, 1);
	/* One that nobody wants is cut without a word. */
	peer = peer_open(stage);
	peer_say(stage, peer, "POST /now/a" HOST "Content-Length: 1000\r\n\r\n");
	expect_heard(stage, peer, 200, "/now/a");
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(stage_stats(stage).timeouts_total, 2);
	peer_close(peer);
}

/* What is lost, and not told yet, may still be answered: in vain. */
static void a_lost_exchange_may_be_answered(void **state)
{
	struct stage *stage = *state;

	stage->config.limits.body_timeout_ms = SHORT_MS;
	stage_configure(stage);
	for (int way = 0; way < 2; way++) {
		struct peer *peer = peer_open(stage);
		struct exchange *ex;

		peer_say(stage, peer, "POST /memory/1000" HOST "Content-Length: 1000\r\n\r\n");
		UNTIL(stage, (ex = door_find(stage, "/memory/1000")) != NULL);
		/* The timer runs out in a turn of which the flush is still to come. */
		for (uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS; ex->state != EX_LOST;) {
			assert_true(stage_now_ms() < end_ms);
			assert_int_equal(loop_poll(stage->loop, end_ms), 0);
		}
		assert_ptr_equal(ex->conn, &stage->http->limbo);
		exchange_park(ex, 50000);
		exchange_take_body(ex, BODY_DISCARD, 1);
		door_answer_flags(stage, "/memory/1000", "void", way ? EXCHANGE_TELL : 0);
		assert_int_equal(only_conn(stage)->exchange_count, 0);
		expect_said(stage, way ? "head /memory/1000\ngone /memory/1000\n" : "head /memory/1000\n");
		expect_status(stage, peer, 408);
		expect_end(stage, peer);
		peer_close(peer);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		assert_int_equal(stage->http->exchange_pool.live_count, 0);
	}
}

/* Nobody who waits for the door, for the disk or for `100 Continue` is late. */
static void who_waits_for_us_is_not_late(void **state)
{
	struct stage *stage = *state;
	struct peer *peers[3];
	uint64_t end_ms;

	stage->config.limits.body_timeout_ms = SHORT_MS / 2;
	stage->config.limits.header_timeout_ms = SHORT_MS / 2;
	stage->config.limits.idle_timeout_ms = SHORT_MS / 2;
	stage_configure(stage);
	stage->hold_seals = true;
	for (int i = 0; i < 3; i++)
		peers[i] = peer_open(stage);
	peer_say(stage, peers[0], "POST /hold/a" HOST "Content-Length: 5\r\n\r\n");
	peer_say(stage, peers[1],
		 "GET /hold/b" HOST "\r\nPOST /memory/10" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	peer_say(stage, peers[2], "POST /store/9999999" HOST "Content-Length: 1048577\r\n\r\n");
	for (int i = 0; i < 1024; i++) {
		static char kilobyte[1024];

		peer_say_bytes(stage, peers[2], kilobyte, sizeof(kilobyte));
	}
	peer_say(stage, peers[2], "x");
	UNTIL(stage, stage->sealing && stage->entry_count == 4);
	for (end_ms = stage_now_ms() + 3 * SHORT_MS; stage_now_ms() < end_ms;)
		stage_turn(stage, 10);
	assert_int_equal(stage_stats(stage).timeouts_total, 0);
	assert_int_equal(stage_stats(stage).connections_open, 3);
	door_answer(stage, "/hold/a", "a");
	door_answer(stage, "/hold/b", "b");
	stage_seal(stage);
	expect_heard(stage, peers[0], 200, "a");
	expect_heard(stage, peers[1], 200, "b");
	expect_status(stage, peers[1], 100);
	expect_status(stage, peers[2], 200);
	for (int i = 0; i < 3; i++)
		peer_close(peers[i]);
}

static void the_idle_are_let_go(void **state)
{
	struct stage *stage = *state;
	struct peer *fresh, *used;
	uint64_t begun;

	stage->config.limits.idle_timeout_ms = SHORT_MS;
	stage_configure(stage);
	fresh = peer_open(stage);
	used = peer_open(stage);
	stage_turn(stage, 0);
	begun = stage_now_ms();
	expect_end(stage, fresh);
	assert_true(stage_now_ms() - begun >= SHORT_MS - 2);
	expect_end(stage, used);
	peer_close(used);
	used = peer_open(stage);
	for (int i = 0; i < 6; i++) {
		uint64_t end_ms = stage_now_ms() + SHORT_MS / 2;

		while (stage_now_ms() < end_ms)
			stage_turn(stage, 5);
		peer_say(stage, used, "GET /now/a" HOST "\r\n");
		expect_status(stage, used, 200);
	}
	expect_end(stage, used);
	peer_close(fresh);
	peer_close(used);
	assert_int_equal(stage_stats(stage).timeouts_total, 0);
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
	static const char *const requests[] = {"GET /big/3000000" HOST "\r\n", "GET /pin/0/9000000/9000000/b" HOST "\r\n"};
	struct stage *stage = *state;

	stage->config.limits.write_timeout_ms = 10 * SHORT_MS; /* not over before we have looked, however slow this machine */
	stage->config.limits.idle_timeout_ms = 1;
	stage_configure(stage);
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
		struct peer *peer = peer_open_slow(stage);

		peer_say(stage, peer, requests[i]);
		UNTIL(stage, stage->entry_count == i + 1);
		assert_still(stage);
		assert_true(only_conn(stage)->flags & CONN_BLOCKED);
		/* Asking more does not help. */
		peer_say(stage, peer, "GET /hold/");
		for (uint64_t begun = stage_now_ms(), said_ms = 0; stage_stats(stage).connections_open;
		     stage_wait(stage, begun + STAGE_PATIENCE_MS)) {
			if (stage_now_ms() < said_ms + SHORT_MS / 2)
				continue;
			peer_try(peer, "a", 1);
			said_ms = stage_now_ms();
		}
		assert_int_equal(stage_stats(stage).timeouts_total, i + 1);
		assert_int_equal(stage->pins_open, 0);
		peer_close(peer);
	}
}

/* A slow reader is not cut as long as it reads. */
static void a_reader_that_takes_a_little_is_not_cut(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	struct heard heard;

	stage->config.limits.write_timeout_ms = 20 * SHORT_MS;
	stage_configure(stage);
	peer = peer_open_slow(stage);
	peer_say(stage, peer, "GET /pin/0/600000/600000/b" HOST "\r\n");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.body_len, 600000);
	assert_int_equal(stage_stats(stage).timeouts_total, 0);
	peer_close(peer);
}

/* While too much waits for a reader nothing more is taken from it; nothing is lost. */
static void output_pushes_back(void **state)
{
	enum { COUNT = 40, BYTES = 30000 };
	struct stage *stage = *state;
	struct peer *peer;
	struct heard heard;
	size_t before;

	stage->config.limits.output_bytes = 50000;
	stage_configure(stage);
	peer = peer_open_slow(stage);
	for (int i = 0; i < COUNT; i++)
		peer_say(stage, peer, "GET /big/30000" HOST "\r\n");
	UNTIL(stage, only_conn(stage)->out_bytes > 50000);
	assert_still(stage);
	before = stage->entry_count;
	assert_true(before < COUNT);
	assert_true(only_conn(stage)->out_bytes <= 50000 + BYTES + 1000);
	assert_null(only_conn(stage)->intake);
	for (int i = 0; i < COUNT; i++) {
		peer_hear(stage, peer, &heard);
		assert_int_equal(heard.body_len, BYTES);
		expect_pattern(heard.body, 0, BYTES);
	}
	assert_int_equal(stage->entry_count, COUNT);
	assert_still(stage);
	assert_int_equal(only_conn(stage)->out_bytes, 0);
	/* Early answers count as well. */
	peer_say(stage, peer, "GET /hold/first" HOST "\r\n");
	for (int i = 0; i < 10; i++)
		peer_say(stage, peer, "GET /big/30000" HOST "\r\n");
	UNTIL(stage, only_conn(stage)->out_bytes > 50000);
	assert_still(stage);
	assert_true(only_conn(stage)->out_bytes <= 50000 + BYTES + 1000);
	door_answer(stage, "/hold/first", "first");
	expect_heard(stage, peer, 200, "first");
	for (int i = 0; i < 10; i++)
		expect_status(stage, peer, 200);
	assert_still(stage);
	assert_int_equal(only_conn(stage)->out_bytes, 0);
	peer_close(peer);
}

/* A door that does not decide, and a disk that is slow, hold the client back. */
static void input_pushes_back(void **state)
{
	static char chunk[65536];
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	size_t sent = 0;
	uint64_t in;

	peer_say(stage, peer, "POST /hold/a" HOST "Content-Length: 50000000\r\n\r\n");
	UNTIL(stage, stage->entry_count == 1);
	for (int quiet = 0; quiet < 5;) {
		size_t now = peer_try(peer, chunk, sizeof(chunk));

		sent += now;
		quiet = now ? 0 : quiet + 1;
		stage_turn(stage, 1);
	}
	assert_still(stage);
	in = stage_stats(stage).bytes_in_total;
	assert_true(sent < 50000000);
	assert_true(in <= READ_HEAD_BYTES + 100); /* it lies in the kernel, not here */
	exchange_take_body(door_find(stage, "/hold/a"), BODY_TO_STORE, 50000000);
	for (; sent < 50000000; stage_turn(stage, 0))
		sent += peer_try(peer, chunk, 50000000 - sent < sizeof(chunk) ? 50000000 - sent : sizeof(chunk));
	expect_status(stage, peer, 200);
	assert_true(stage->http->body_memory_bytes == 0);
	peer_close(peer);
}

/* RFC 9112 §9.6: closing with unread bytes in the socket would reset the connection, and with it the answer. */
static void an_answer_is_heard_although_the_client_still_sends(void **state)
{
	static char chunk[65536];
	static const char *const heads[] = {
		"POST /now/a" HOST "Content-Length: 3000000\r\n\r\n",
		"POST /close/a" HOST "Content-Length: 3000000\r\n\r\n",
		"POST /memory/10" HOST "Content-Length: 3000000\r\n\r\n",
		"nonsense\r\n\r\n",
	};
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
		struct peer *peer = peer_open(stage);
		size_t sent = 0;

		peer_say(stage, peer, heads[i]);
		while (sent < 3000000) {
			size_t now = peer_try(peer, chunk, 3000000 - sent < sizeof(chunk) ? 3000000 - sent : sizeof(chunk));

			assert_false(peer->ended);
			sent += now;
			stage_turn(stage, now ? 0 : 1);
		}
		expect_status(stage, peer, i < 2 ? 200 : i == 2 ? 413 : 400);
		expect_end(stage, peer);
		peer_close(peer);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
	}
}

/* One whose chunked body does not end: an early answer, then the connection closes, behind the answer. */
static void an_endless_body_that_nobody_wants_ends(void **state)
{
	static char chunk[65536];
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS;

	peer_say(stage, peer, "POST /now/a" HOST "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
	while (!peer->ended) {
		peer_try(peer, chunk, sizeof(chunk));
		stage_turn(stage, 0);
		if (stage->http->conns.next != &stage->http->conns && only_conn(stage)->flags & CONN_LINGER)
			break;
		assert_true(stage_now_ms() < end_ms);
	}
	assert_false(peer->ended); /* else it may never have read the answer */
	expect_heard(stage, peer, 200, "/now/a");
	expect_end(stage, peer);
	/* It does not stop: we do. */
	while (stage_stats(stage).connections_open) {
		peer_try(peer, chunk, sizeof(chunk));
		stage_turn(stage, 0);
		assert_true(stage_now_ms() < end_ms);
	}
	peer_close(peer);
}

/* An answer that went before the server leaves, a body behind it that is still being thrown away. */
static void a_discarded_body_does_not_hold_up_the_drain(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "POST /now/a" HOST "Content-Length: 10\r\n\r\n");
	expect_heard(stage, peer, 200, "/now/a");
	http_thread_drain(stage->http);
	assert_still(stage);
	assert_int_equal(stage_stats(stage).connections_open, 1);
	peer_say(stage, peer, "0123456789");
	expect_end(stage, peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	peer_close(peer);
}

static void lingering_ends(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	uint64_t begun = stage_now_ms();

	peer_say(stage, peer, "GET /close/a" HOST "\r\n");
	expect_heard(stage, peer, 200, "/close/a");
	expect_end(stage, peer);
	assert_still(stage);
	assert_int_equal(stage_stats(stage).connections_open, 1);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_true(stage_now_ms() - begun >= LINGER_MS - 10);
	assert_int_equal(stage_stats(stage).timeouts_total, 0);
	peer_close(peer);
}

/* A request without a body whose answer alone is more than may wait: its end must not be left lying about. */
static void a_large_answer_leaves_nothing_behind(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;

	stage->config.limits.output_bytes = 1000;
	stage_configure(stage);
	peer = peer_open_slow(stage);
	peer_say(stage, peer,
		 "GET /big/300000" HOST "\r\nPOST /big/300001" HOST "Content-Length: 3\r\n\r\nabcPOST /big/300002" HOST
		 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	for (int i = 0; i < 3; i++)
		expect_status(stage, peer, 200);
	assert_still(stage);
	assert_null(only_conn(stage)->intake);
	assert_null(only_conn(stage)->leftover);
	assert_int_equal(only_conn(stage)->timer_kind, TIMER_IDLE);
	peer_close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(a_slow_head_is_cut),
		T(every_head_has_its_own_time),
		T(a_slow_body_is_cut),
		T(a_lost_exchange_may_be_answered),
		T(who_waits_for_us_is_not_late),
		T(the_idle_are_let_go),
		T(a_reader_that_takes_nothing_is_cut),
		T(a_reader_that_takes_a_little_is_not_cut),
		T(output_pushes_back),
		T(input_pushes_back),
		T(an_answer_is_heard_although_the_client_still_sends),
		T(an_endless_body_that_nobody_wants_ends),
		T(a_discarded_body_does_not_hold_up_the_drain),
		T(lingering_ends),
		T(a_large_answer_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
