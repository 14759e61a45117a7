/* Waiting: parked and woken, deadlines, clients that leave, answers for many, being told what became of an answer. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

static struct peer *open_parked(struct stage *stage, const char *request)
{
	uint64_t parked = stage_stats(stage).parked;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, request);
	UNTIL(stage, stage_stats(stage).parked > parked);
	return peer;
}

static void parked_and_woken(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = open_parked(stage, "GET /park/50000/a" HOST "\r\n");
	struct exchange *ex = door_find(stage, "/park/50000/a");

	assert_true(exchange_is_parked(ex));
	assert_null(ex->request);
	assert_null(ex->arena.blocks);
	exchange_unpark(ex);
	assert_false(exchange_is_parked(ex));
	exchange_park(ex, 40000);
	exchange_park(ex, 45000);
	assert_int_equal(stage_stats(stage).parked, 1);
	door_answer(stage, "/park/50000/a", "woken");
	assert_int_equal(stage_stats(stage).parked, 0);
	expect_heard(stage, peer, 200, "woken");
	peer_say(stage, peer, "GET /now/b" HOST "\r\n");
	expect_heard(stage, peer, 200, "/now/b");
	peer_close(peer);
}

static void answered_at_the_deadline(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	uint64_t begun;

	begun = stage_now_ms();
	peer_say(stage, peer, "GET /park/30/a" HOST "\r\n");
	expect_status(stage, peer, 204);
	assert_true(stage_now_ms() - begun >= 30);
	peer_say(stage, peer, "GET /again/5/b" HOST "\r\n");
	expect_said(stage, "head /park/30/a\ndeadline /park/30/a\nhead /again/5/b\ndeadline /again/5/b\n");
	assert_true(exchange_is_parked(door_find(stage, "/again/5/b")));
	door_answer(stage, "/again/5/b", "at last");
	expect_heard(stage, peer, 200, "at last");
	peer_close(peer);
	/* Deadlines one behind the other, in the same turn, in one connection. */
	peer = peer_open(stage);
	for (int i = 0; i < 20; i++)
		peer_say(stage, peer, "GET /park/5/a" HOST "\r\n");
	for (int i = 0; i < 20; i++)
		expect_status(stage, peer, 204);
	peer_close(peer);
}

/* DESIGN: at most 512 bytes of user memory, connection included. Here it is the two records in their pools and nothing else. */
static void a_parked_wait_is_small(void **state)
{
	enum { COUNT = 420, CHUNK_BYTES = 64 * 1024 + 16, CHUNKS = 4 };
	static struct peer *peers[COUNT];
	struct stage *stage = *state;
	struct mallinfo2 before = mallinfo2();
	size_t kept;

	assert_true(sizeof(struct http_conn) + sizeof(struct exchange) <= 448);
	for (int i = 0; i < COUNT; i++) {
		peers[i] =
			open_parked(stage, "POST /park/50000/a" HOST "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc");
		if (i == 0)
			before = mallinfo2(); /* what is kept for the next request is there now */
	}
	stage_rest(stage);
	kept = mallinfo2().uordblks - before.uordblks;
	assert_true(kept <= CHUNKS * (size_t)CHUNK_BYTES + COUNT * (sizeof(struct peer) + 16));
	list_each (node, &stage->http->conns) {
		const struct http_conn *conn = container_of(node, struct http_conn, all);

		assert_true(!conn->intake && !conn->leftover && !conn->out.first && conn->timer_kind == TIMER_NONE);
	}
	for (int i = 0; i < COUNT; i++)
		peer_close(peers[i]);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(stage_stats(stage).gone_total, COUNT);
}

/* One deadline a wait, none for its connection. */
static void nothing_ticks_while_all_are_parked(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	uint64_t next_ms;

	stage->config.limits.idle_timeout_ms = 20;
	stage->config.limits.header_timeout_ms = 20;
	stage_configure(stage);
	peer = open_parked(stage, "GET /park/40000/a" HOST "\r\n");
	stage_rest(stage);
	/* A removed entry may cost one idle turn. */
	UNTIL(stage, wheel_next_ms(loop_wheel(stage->loop)) > stage_now_ms() + 30000);
	next_ms = wheel_next_ms(loop_wheel(stage->loop));
	assert_true(next_ms < stage_now_ms() + 41000);
	/* Blank lines behind a request are no request that is late. */
	peer_say(stage, peer, "\r\n");
	stage_rest(stage);
	assert_int_equal(wheel_next_ms(loop_wheel(stage->loop)), next_ms);
	door_answer(stage, "/park/40000/a", "woken");
	expect_heard(stage, peer, 200, "woken");
	expect_end(stage, peer); /* idle for too long */
	peer_close(peer);
}

static void leaves(struct stage *stage, void (*leave)(struct peer *peer))
{
	struct peer *peer = open_parked(stage, "GET /park/50000/a" HOST "\r\n"),
		    *other = open_parked(stage, "GET /park/50000/b" HOST "\r\n");

	stage->said_len = 0;
	leave(peer);
	expect_said(stage, "gone /park/50000/a\n");
	assert_int_equal(stage_stats(stage).parked, 1);
	UNTIL(stage, stage_stats(stage).connections_open == 1);
	door_answer(stage, "/park/50000/b", "still here");
	expect_heard(stage, other, 200, "still here");
	peer_close(other);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void leave_by_close(struct peer *peer)
{
	peer_close(peer);
}

static struct peer *half_closed;

static void leave_by_half(struct peer *peer)
{
	peer_finish(peer);
	half_closed = peer;
}

static void who_leaves_while_parked_is_gone_at_once(void **state)
{
	struct stage *stage = *state;

	leaves(stage, leave_by_close);
	leaves(stage, peer_reset);
	leaves(stage, leave_by_half);
	expect_end(stage, half_closed);
	peer_close(half_closed);
	assert_int_equal(stage_stats(stage).gone_total, 3);
}

/* The request and the FIN come in one go, as `nc -N` sends them. */
static void a_half_closed_client_is_answered_but_does_not_wait(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /now/a" HOST "\r\nGET /hold/b" HOST "\r\n");
	peer_finish(peer);
	expect_heard(stage, peer, 200, "/now/a");
	expect_said(stage, "head /now/a\nhead /hold/b\n");
	stage_rest(stage);
	door_answer(stage, "/hold/b", "b");
	peer_hear(stage, peer, &heard);
	assert_string_equal(heard.body, "b");
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, peer);
	peer_close(peer);

	peer = peer_open(stage);
	peer_say(stage, peer, "GET /park/50000/a" HOST "\r\n");
	peer_finish(peer);
	expect_said(stage, "head /park/50000/a\ngone /park/50000/a\n");
	expect_end(stage, peer);
	peer_close(peer);

	/* Half closed first, parked later. */
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /hold/c" HOST "\r\nGET /hold/d" HOST "\r\n");
	peer_finish(peer);
	expect_said(stage, "head /hold/c\nhead /hold/d\n");
	stage_rest(stage);
	exchange_park(door_find(stage, "/hold/d"), 50000);
	expect_said(stage, "gone /hold/d\n");
	door_answer(stage, "/hold/c", "c");
	expect_heard(stage, peer, 200, "c");
	expect_end(stage, peer);
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void who_leaves_with_more_in_the_pipeline_is_gone_too(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	stage->config.limits.pipeline = 3;
	stage_configure(stage);
	peer_say(stage, peer, "GET /hold/1" HOST "\r\nGET /park/50000/2" HOST "\r\nGET /now/3" HOST "\r\n");
	for (int i = 0; i < 20; i++)
		peer_say(stage, peer, "GET /hold/more" HOST "\r\n");
	expect_said(stage, "head /hold/1\nhead /park/50000/2\nhead /now/3\n");
	peer_finish(peer);
	expect_said(stage, "gone /park/50000/2\n");
	door_answer(stage, "/hold/1", "one");
	expect_heard(stage, peer, 200, "one");
	UNTIL(stage, (peer_pull(peer), peer->ended)); /* what it had asked besides makes it a reset */
	assert_int_equal(peer->len, 0);
	peer_close(peer);
	expect_said(stage, "");
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* What a door does in on_gone must not matter: it may answer the very next in the line. */
static void answer_the_others(struct stage *stage, struct exchange *ex, const char *path)
{
	(void)ex;
	(void)path;
	for (size_t i = 0; i < stage->entry_count; i++) {
		if (stage->entries[i].ex) {
			struct exchange *other = stage->entries[i].ex;

			stage->entries[i].ex = NULL;
			exchange_answer(other, &(struct answer){.status = 200, .body = SLICE("from on_gone")});
		}
	}
}

static void on_gone_may_answer_whoever_is_left(void **state)
{
	struct stage *stage = *state;

	for (int way = 0; way < 2; way++) {
		struct peer *other = open_parked(stage, "GET /park/50000/o" HOST "\r\n"), *peer = peer_open(stage);

		stage->on_gone = NULL;
		for (int i = 0; i < 10; i++)
			peer_say(stage, peer, "GET /park/50000/a" HOST "\r\n");
		UNTIL(stage, stage_stats(stage).parked == 11);
		stage->on_gone = answer_the_others;
		if (way)
			peer_reset(peer);
		else
			peer_close(peer);
		expect_heard(stage, other, 200, "from on_gone");
		peer_close(other);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
		assert_int_equal(stage_stats(stage).parked, 0);
	}
}

static void a_gone_exchange_lives_until_it_is_done(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct exchange *ex;

	stage->keep_gone = true;
	peer_say(stage, peer, "GET /hold/a" HOST "\r\n");
	expect_said(stage, "head /hold/a\n");
	ex = door_find(stage, "/hold/a");
	peer_reset(peer);
	expect_said(stage, "gone /hold/a\n");
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	/* A command that is under way still reads its request. */
	assert_true(slice_eq(ex->request->path, SLICE("/hold/a")));
	assert_ptr_equal(exchange_thread(ex), stage->http);
	assert_false(exchange_is_parked(ex));
	exchange_done(ex);
	/* One that nobody is done with goes with its thread. */
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /hold/b" HOST "\r\n");
	expect_said(stage, "head /hold/b\n");
	peer_reset(peer);
	expect_said(stage, "gone /hold/b\n");
}

static void an_answer_meets_a_connection_that_just_broke(void **state)
{
	struct stage *stage = *state;
	struct peer *peer =
		open_parked(stage, "GET /park/50000/a" HOST "\r\nGET /park/50000/b" HOST "\r\nGET /park/50000/c" HOST "\r\n");

	UNTIL(stage, stage_stats(stage).parked == 3);
	stage->said_len = 0;
	peer_reset(peer);
	/* The loop has seen it, the flush not yet. */
	UNTIL(stage, (assert_int_equal(loop_poll(stage->loop, stage_now_ms() + 10), 0), !list_empty(&stage->http->work)) ||
			     stage->said_len);
	door_answer(stage, "/park/50000/a", "void");
	door_answer_flags(stage, "/park/50000/b", "void", EXCHANGE_TELL);
	expect_said(stage, "gone /park/50000/b\ngone /park/50000/c\n");
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static struct shared_answer *share(struct stage *stage, const char *body, size_t len, unsigned flags)
{
	struct answer answer = {
		.status = 200, .content_type = SLICE("text/plain"), .body = slice_from(body, len), .flags = flags};
	struct shared_answer *shared = shared_answer_new(stage->http, &answer);

	assert_non_null(shared);
	return shared;
}

static void wake_all(struct stage *stage, struct shared_answer *shared)
{
	for (size_t i = 0; i < stage->entry_count; i++) {
		struct exchange *ex = stage->entries[i].ex;

		if (!ex || !exchange_is_parked(ex))
			continue;
		if (!(shared_flags(shared) & EXCHANGE_TELL))
			stage->entries[i].ex = NULL;
		exchange_answer_shared(ex, shared);
	}
}

static void one_answer_wakes_many(void **state)
{
	static const char *const requests[] = {
		"GET /park/50000/a" HOST "\r\n",
		"HEAD /park/50000/a" HOST "\r\n",
		"GET /park/50000/a" HOST "Connection: close\r\n\r\n",
		"GET /park/50000/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET /park/50000/a" HOST "\r\nGET /park/50000/a" HOST "\r\n",
		"GET /hold/first" HOST "\r\nGET /park/50000/a" HOST "\r\n",
	};
	struct stage *stage = *state;
	struct peer *peers[ARRAY_COUNT(requests)];
	struct shared_answer *shared = share(stage, "shared body", 11, 0);
	struct heard heard;

	for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
		peers[i] = open_parked(stage, requests[i]);
	UNTIL(stage, stage_stats(stage).parked == 7);
	wake_all(stage, shared);
	assert_int_equal(stage_stats(stage).parked, 0);
	shared_answer_unref(shared_answer_ref(shared));
	shared_answer_unref(shared);
	expect_heard(stage, peers[0], 200, "shared body");
	peer_hear_head(stage, peers[1], &heard);
	assert_true(heard_has(&heard, "Content-Length: 11"));
	assert_int_equal(peers[1]->len, 0);
	peer_hear(stage, peers[2], &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	assert_string_equal(heard.body, "shared body");
	expect_end(stage, peers[2]);
	peer_hear(stage, peers[3], &heard);
	assert_true(heard_has(&heard, "Connection: keep-alive"));
	assert_string_equal(heard.body, "shared body");
	expect_heard(stage, peers[4], 200, "shared body");
	expect_heard(stage, peers[4], 200, "shared body");
	door_answer(stage, "/hold/first", "first");
	expect_heard(stage, peers[5], 200, "first");
	expect_heard(stage, peers[5], 200, "shared body");
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
		peer_close(peers[i]);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void a_shared_answer_waits_for_slow_readers(void **state)
{
	enum { COUNT = 12, LEN = 300000 };
	static char body[LEN];
	struct stage *stage = *state;
	struct peer *peers[COUNT];
	struct shared_answer *shared;
	struct heard heard;

	pattern_fill(body, LEN);
	shared = share(stage, body, LEN, 0);
	for (int i = 0; i < COUNT; i++) {
		peers[i] = i % 2 ? peer_open_slow(stage) : peer_open(stage);
		peer_say(stage, peers[i], i % 3 ? "GET /park/50000/a" HOST "\r\n" : "GET /park/50000/a HTTP/1.0\r\n\r\n");
	}
	UNTIL(stage, stage_stats(stage).parked == COUNT);
	wake_all(stage, shared);
	shared_answer_unref(shared);
	stage_rest(stage);
	/* One leaves in the middle. */
	peer_reset(peers[1]);
	for (int i = 0; i < COUNT; i++) {
		if (i == 1)
			continue;
		peer_hear(stage, peers[i], &heard);
		assert_int_equal(heard.body_len, LEN);
		expect_pattern(heard.body, 0, LEN);
		peer_close(peers[i]);
	}
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void who_wants_to_know_is_told(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct shared_answer *shared = share(stage, "s", 1, EXCHANGE_TELL);

	peer_say(stage, peer, "GET /tell/a" HOST "\r\n");
	expect_heard(stage, peer, 200, "/tell/a");
	expect_said(stage, "head /tell/a\nwritten /tell/a\n");
	/* In the order of the requests, also when the connection ends with it. */
	peer_say(stage, peer, "GET /hold/b" HOST "\r\nGET /tell/c" HOST "\r\nGET /park/50000/d" HOST "Connection: close\r\n\r\n");
	expect_said(stage, "head /hold/b\nhead /tell/c\nhead /park/50000/d\n");
	wake_all(stage, shared);
	shared_answer_unref(shared);
	door_answer_flags(stage, "/hold/b", "b", EXCHANGE_TELL);
	expect_said(stage, "written /hold/b\nwritten /tell/c\nwritten /park/50000/d\n");
	expect_heard(stage, peer, 200, "b");
	expect_heard(stage, peer, 200, "/tell/c");
	expect_heard(stage, peer, 200, "s");
	expect_end(stage, peer);
	peer_close(peer);
}

/* Its connection is no more when the door is told. */
static void told_and_ended_in_one_turn(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct exchange *ex;

	peer_say(stage, peer, "GET /hold/a" HOST "\r\n");
	expect_said(stage, "head /hold/a\n");
	ex = door_find(stage, "/hold/a");
	door_answer_flags(stage, "/hold/a", "a", EXCHANGE_TELL);
	output_write(ex->conn);
	conn_end(list_first(&stage->http->conns, struct http_conn, all));
	assert_int_equal(stage_stats(stage).connections_open, 0);
	assert_ptr_equal(ex->conn, &stage->http->limbo);
	expect_said(stage, "written /hold/a\n");
	expect_heard(stage, peer, 200, "a");
	peer_close(peer);
}

/* The socket took it all, but for one who has ended its side: who is handed work must be there to do it. */
static void a_half_closed_client_counts_as_not_told(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "GET /hold/a" HOST "\r\n");
	peer_finish(peer);
	expect_said(stage, "head /hold/a\n");
	stage_rest(stage);
	door_answer_flags(stage, "/hold/a", "a", EXCHANGE_TELL);
	expect_said(stage, "gone /hold/a\n");
	assert_int_equal(stage_stats(stage).gone_total, 1);
	expect_heard(stage, peer, 200, "a");
	expect_end(stage, peer);
	peer_close(peer);
}

static void who_wants_to_know_is_told_that_it_could_not(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	/* Early, and the client leaves before its turn. */
	peer_say(stage, peer, "GET /hold/a" HOST "\r\nGET /tell/b" HOST "\r\n");
	expect_said(stage, "head /hold/a\nhead /tell/b\n");
	peer_reset(peer);
	expect_said(stage, "gone /hold/a\ngone /tell/b\n");
	/* Behind what a slow reader does not take. */
	peer = peer_open_slow(stage);
	peer_say(stage, peer, "GET /big/200000" HOST "\r\nGET /tell/c" HOST "\r\nGET /pin/0/9/9/b" HOST "\r\n");
	expect_said(stage, "head /big/200000\nhead /tell/c\nhead /pin/0/9/9/b\n");
	stage_rest(stage);
	peer_reset(peer);
	expect_said(stage, "gone /tell/c\n");
	assert_int_equal(stage->pins_open, 0);
	/* Without the wish nobody is told. */
	peer = peer_open_slow(stage);
	peer_say(stage, peer, "GET /big/2000000" HOST "\r\n");
	expect_said(stage, "head /big/2000000\n");
	peer_reset(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	expect_said(stage, "");
}

static void answer_drained(struct exchange *ex, void *ctx)
{
	struct stage *stage = ctx;

	door_forget(stage, ex);
	exchange_answer(ex, &(struct answer){.status = 204});
}

static void drain_answers_whoever_is_parked(void **state)
{
	struct stage *stage = *state;
	struct peer *peers[10];

	for (int i = 0; i < 10; i++) {
		peers[i] = peer_open(stage);
		peer_say(stage, peers[i],
			 "GET /park/50000/a" HOST "\r\nGET /park/50000/b" HOST "\r\nGET /park/50000/c" HOST "\r\n");
	}
	UNTIL(stage, stage_stats(stage).parked == 30);
	http_thread_drain(stage->http);
	stage_rest(stage);
	assert_int_equal(stage_stats(stage).parked, 30);
	http_thread_each_parked(stage->http, answer_drained, stage);
	assert_int_equal(stage_stats(stage).parked, 0);
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < 3; j++)
			expect_status(stage, peers[i], 204);
		expect_end(stage, peers[i]);
		peer_close(peers[i]);
	}
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(parked_and_woken),
		T(answered_at_the_deadline),
		T(a_parked_wait_is_small),
		T(nothing_ticks_while_all_are_parked),
		T(who_leaves_while_parked_is_gone_at_once),
		T(a_half_closed_client_is_answered_but_does_not_wait),
		T(who_leaves_with_more_in_the_pipeline_is_gone_too),
		T(on_gone_may_answer_whoever_is_left),
		T(a_gone_exchange_lives_until_it_is_done),
		T(an_answer_meets_a_connection_that_just_broke),
		T(one_answer_wakes_many),
		T(a_shared_answer_waits_for_slow_readers),
		T(who_wants_to_know_is_told),
		T(told_and_ended_in_one_turn),
		T(a_half_closed_client_counts_as_not_told),
		T(who_wants_to_know_is_told_that_it_could_not),
		T(drain_answers_whoever_is_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
