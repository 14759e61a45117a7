/* Requests and answers: order, framing, what a head may be, when a connection ends. */
#include "http/exchange/exchange_fixture.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

static void requests_follow_each_other_on_one_connection(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	for (int i = 0; i < 3; i++) {
		peer_say(stage, peer, "GET /now/a" HOST "\r\n");
		peer_hear(stage, peer, &heard);
		assert_int_equal(heard.status, 200);
		assert_string_equal(heard.body, "/now/a");
		assert_true(heard_has(&heard, "Content-Type: text/plain"));
		assert_true(heard_has(&heard, "Content-Length: 6"));
		assert_true(heard_has(&heard, "Cache-Control: no-store"));
		assert_non_null(strstr(heard.head, "\r\nDate: "));
		assert_null(strstr(heard.head, "Connection:"));
		assert_null(strstr(heard.head, "Access-Control"));
	}
	assert_int_equal(stage_stats(stage).requests_total, 3);
	assert_int_equal(stage_stats(stage).connections_open, 1);
	expect_said(stage, "head /now/a\nhead /now/a\nhead /now/a\n");
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void answers_leave_in_the_order_of_the_requests(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "GET /hold/1" HOST "\r\nGET /hold/2" HOST "\r\nGET /now/3" HOST "\r\nGET /hold/4" HOST "\r\n");
	expect_said(stage, "head /hold/1\nhead /hold/2\nhead /now/3\nhead /hold/4\n");
	door_answer(stage, "/hold/4", "four");
	door_answer(stage, "/hold/2", "two");
	stage_rest(stage);
	peer_pull(peer);
	assert_int_equal(peer->len, 0);
	door_answer(stage, "/hold/1", "one");
	expect_heard(stage, peer, 200, "one");
	expect_heard(stage, peer, 200, "two");
	expect_heard(stage, peer, 200, "/now/3");
	expect_heard(stage, peer, 200, "four");
	peer_close(peer);
}

static void many_answers_of_one_turn_leave_in_one_write(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	uint64_t before;

	for (int i = 0; i < 60; i++)
		peer_say(stage, peer, "GET /hold/x" HOST "\r\n");
	UNTIL(stage, stage->entry_count == 60);
	before = stage_stats(stage).bytes_out_total;
	for (int i = 0; i < 60; i++)
		door_answer(stage, "/hold/x", "y");
	assert_int_equal(stage_stats(stage).bytes_out_total, before); /* nothing before the flush */
	for (int i = 0; i < 60; i++)
		expect_heard(stage, peer, 200, "y");
	peer_close(peer);
}

static void the_pipeline_has_a_limit(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;

	stage->config.limits.pipeline = 4;
	stage_configure(stage);
	peer = peer_open(stage);
	for (int i = 0; i < 9; i++)
		peer_say(stage, peer, "GET /hold/x" HOST "\r\n");
	UNTIL(stage, stage->entry_count == 4);
	stage_rest(stage);
	assert_int_equal(stage->entry_count, 4);
	for (size_t i = 0; i < 9; i++) {
		UNTIL(stage, stage->entry_count >= (i + 4 < 9 ? i + 4 : 9));
		stage_turn(stage, 0);
		assert_int_equal(stage->entry_count, i + 4 < 9 ? i + 4 : 9);
		door_answer(stage, "/hold/x", "y");
		expect_heard(stage, peer, 200, "y");
	}
	peer_close(peer);
}

/* What the scripts below are cut into must not matter. */
static void say_in_pieces(struct stage *stage, struct peer *peer, const char *text, size_t cut, bool each_byte)
{
	size_t len = strlen(text);

	if (!each_byte) {
		peer_say_bytes(stage, peer, text, cut);
		stage_turn(stage, 0);
		peer_say_bytes(stage, peer, text + cut, len - cut);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		peer_say_bytes(stage, peer, text + i, 1);
		stage_turn(stage, 0);
	}
}

static void requests_may_be_cut_anywhere(void **state)
{
	static const char script[] =
		"POST /memory/100" HOST "Content-Length: 5\r\n\r\nhello"
		"\r\nGET /now/b" HOST "\r\n"
		"POST /store/100" HOST "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nworld\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
		"POST /now/c" HOST "Content-Length: 3\r\n\r\nabc"
		"GET /close/d" HOST "\r\n";
	struct stage *stage = *state;

	stage->quiet = true;
	for (size_t cut = 0; cut < sizeof(script); cut++) {
		struct peer *peer = peer_open(stage);

		stage->entry_count = 0;
		say_in_pieces(stage, peer, script, cut, cut == sizeof(script) - 1);
		expect_heard(stage, peer, 200, " 5 9a71bb4c");
		expect_heard(stage, peer, 200, "/now/b");
		expect_heard(stage, peer, 200, " 6 6d995696");
		expect_heard(stage, peer, 200, "/now/c");
		expect_heard(stage, peer, 200, "/close/d");
		expect_end(stage, peer);
		peer_close(peer);
	}
}

static void head_has_the_length_and_no_body(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "HEAD /now/a" HOST "\r\nHEAD /pin/2/5/50/i" HOST "\r\nGET /now/b" HOST "\r\n");
	peer_hear_head(stage, peer, &heard);
	assert_true(heard_has(&heard, "Content-Length: 6"));
	peer_hear_head(stage, peer, &heard);
	assert_true(heard_has(&heard, "Content-Length: 5"));
	expect_heard(stage, peer, 200, "/now/b");
	assert_int_equal(stage->pins_open, 0);
	peer_close(peer);
}

static void http_1_0_closes_unless_asked(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	peer_say(stage, peer, "GET /now/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_true(heard_has(&heard, "Connection: keep-alive"));
	peer_say(stage, peer, "GET /now/b HTTP/1.0\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, peer);
	peer_close(peer);
}

static void nothing_is_looked_at_behind_a_close(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	/* The client's wish; the door's; and the door's while others stand before and behind it. */
	peer_say(stage, peer, "GET /now/a" HOST "Connection: close\r\n\r\nGET /now/b" HOST "\r\n");
	peer_hear(stage, peer, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, peer);
	peer_close(peer);
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /close/a" HOST "\r\nGET /now/b" HOST "\r\n");
	expect_heard(stage, peer, 200, "/close/a");
	expect_end(stage, peer);
	peer_close(peer);
	expect_said(stage, "head /now/a\nhead /close/a\n");

	peer = peer_open(stage);
	peer_say(stage, peer, "GET /hold/1" HOST "\r\nGET /hold/2" HOST "\r\nGET /hold/3" HOST "\r\nGET /hold");
	expect_said(stage, "head /hold/1\nhead /hold/2\nhead /hold/3\n");
	door_answer_flags(stage, "/hold/2", "two", EXCHANGE_CLOSE);
	peer_say(stage, peer, "/4" HOST "\r\nGET /hold/5" HOST "\r\n");
	stage_rest(stage);
	door_answer(stage, "/hold/1", "one");
	expect_heard(stage, peer, 200, "one");
	expect_heard(stage, peer, 200, "two");
	expect_end(stage, peer);
	expect_said(stage, "gone /hold/3\n");
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void bad_heads_are_answered_and_end_the_connection(void **state)
{
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{"hello\r\n", 400},
		{"GET / HTTP/2.0\r\n\r\n", 505},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"GET /now/a" HOST "Bad Header: x\r\n\r\n", 400},
		{"GET /now/a" HOST "Expect: something\r\n\r\n", 417},
		{"POST /now/a" HOST "Transfer-Encoding: gzip\r\n\r\n", 501},
		{"POST /now/a" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	};
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct peer *peer = peer_open(stage);
		struct heard heard;

		peer_say(stage, peer, cases[i].request);
		peer_hear(stage, peer, &heard);
		assert_int_equal(heard.status, cases[i].status);
		assert_true(heard_has(&heard, "Connection: close"));
		assert_true(heard_has(&heard, "Content-Type: application/problem+json"));
		assert_true(heard_has(&heard, "Cache-Control: no-store"));
		expect_end(stage, peer);
		peer_close(peer);
	}
	expect_said(stage, "");
	assert_int_equal(stage->entry_count, 0);
}

static void an_error_waits_for_its_turn(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "GET /hold/1" HOST "\r\nnonsense \r\n\r\n");
	expect_said(stage, "head /hold/1\n");
	stage_rest(stage);
	peer_pull(peer);
	assert_int_equal(peer->len, 0);
	door_answer(stage, "/hold/1", "one");
	expect_heard(stage, peer, 200, "one");
	expect_status(stage, peer, 400);
	expect_end(stage, peer);
	peer_close(peer);
}

static void say_long(struct stage *stage, struct peer *peer, const char *before, size_t len, const char *after)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'a', len);
	peer_say(stage, peer, before);
	peer_say_bytes(stage, peer, text, len);
	peer_say(stage, peer, after);
	free(text);
}

static void heads_have_limits(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;

	stage->config.limits.header_bytes = 1000;
	stage->config.limits.target_bytes = 100;
	stage->config.limits.header_count = 5;
	stage_configure(stage);

	peer = peer_open(stage);
	say_long(stage, peer, "GET /now/", 95, HOST "\r\n");
	expect_status(stage, peer, 200);
	say_long(stage, peer, "GET /now/", 96, HOST "\r\n");
	expect_status(stage, peer, 414);
	expect_end(stage, peer);
	peer_close(peer);

	peer = peer_open(stage);
	say_long(stage, peer, "GET /now/a" HOST "X: ", 900, "\r\n\r\n");
	expect_status(stage, peer, 200);
	say_long(stage, peer, "GET /now/a" HOST "X: ", 1000, "\r\n\r\n");
	expect_status(stage, peer, 431);
	expect_end(stage, peer);
	peer_close(peer);

	peer = peer_open(stage);
	peer_say(stage, peer, "GET /now/a" HOST "A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n\r\n");
	expect_status(stage, peer, 200);
	peer_say(stage, peer, "GET /now/a" HOST "A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n\r\n");
	expect_status(stage, peer, 431);
	expect_end(stage, peer);
	peer_close(peer);
}

static void a_preflight_is_answered_by_the_engine(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;
	struct heard heard;

	stage->config.cors_origin = SLICE("https://app.example");
	stage_configure(stage);
	peer = peer_open(stage);
	peer_say(stage, peer, "OPTIONS /now/a" HOST "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 204);
	assert_true(heard_has(&heard, "Access-Control-Allow-Origin: https://app.example"));
	assert_true(heard_has(&heard, "Vary: Origin"));
	assert_true(heard_has(&heard, "Access-Control-Max-Age: 86400"));
	assert_non_null(strstr(heard.head, "\r\nAccess-Control-Allow-Methods: GET, "));
	assert_non_null(strstr(heard.head, "\r\nAccess-Control-Allow-Headers: "));
	assert_null(strstr(heard.head, "Content-Length"));
	expect_said(stage, "");
	peer_say(stage, peer, "GET /now/a" HOST "Origin: https://app.example\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_true(heard_has(&heard, "Access-Control-Allow-Origin: https://app.example"));
	assert_non_null(strstr(heard.head, "\r\nAccess-Control-Expose-Headers: "));
	/* Without CORS, OPTIONS is the door's. */
	stage->config.cors_origin = SLICE("");
	stage_configure(stage);
	peer_say(stage, peer, "OPTIONS /now/a" HOST "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_null(strstr(heard.head, "Access-Control"));
	peer_close(peer);
}

static void connections_have_a_limit(void **state)
{
	struct stage *stage = *state;
	struct peer *peers[4], *over;

	stage->config.limits.connections = 4;
	stage_configure(stage);
	for (int i = 0; i < 4; i++)
		peers[i] = peer_open(stage);
	over = peer_open(stage);
	expect_status(stage, over, 503);
	expect_end(stage, over);
	peer_close(over);
	assert_int_equal(stage_stats(stage).connections_refused, 1);
	assert_int_equal(stage_stats(stage).connections_open, 4);
	peer_close(peers[0]);
	UNTIL(stage, stage_stats(stage).connections_open == 3);
	peers[0] = peer_open(stage);
	peer_say(stage, peers[0], "GET /now/a" HOST "\r\n");
	expect_status(stage, peers[0], 200);
	for (int i = 0; i < 4; i++)
		peer_close(peers[i]);
}

static void drain_ends_what_is_idle_and_lets_the_rest_end(void **state)
{
	struct stage *stage = *state;
	struct peer *idle = peer_open(stage), *busy = peer_open(stage), *half = peer_open(stage), *late;
	struct heard heard;

	peer_say(stage, idle, "GET /now/a" HOST "\r\n");
	expect_status(stage, idle, 200);
	peer_say(stage, busy, "GET /hold/1" HOST "\r\nGET /hold/2" HOST "\r\n");
	peer_say(stage, half, "GET /now/b HTTP/1.1\r\n");
	UNTIL(stage, stage->entry_count == 3);
	stage_rest(stage);
	http_thread_drain(stage->http);
	expect_end(stage, idle);
	late = peer_open(stage);
	expect_status(stage, late, 503);
	door_answer(stage, "/hold/2", "two");
	door_answer(stage, "/hold/1", "one");
	peer_hear(stage, busy, &heard);
	assert_null(strstr(heard.head, "Connection"));
	peer_hear(stage, busy, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, busy);
	peer_say(stage, half, "Host: x\r\n\r\n");
	peer_hear(stage, half, &heard);
	assert_true(heard_has(&heard, "Connection: close"));
	expect_end(stage, half);
	peer_close(idle);
	peer_close(busy);
	peer_close(half);
	peer_close(late);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* A request that was read behind the pipeline's limit has to be let go, too. */
static void drain_forgets_what_was_not_looked_at(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;

	stage->config.limits.pipeline = 2;
	stage_configure(stage);
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /hold/1" HOST "\r\nGET /hold/2" HOST "\r\nGET /hold/3" HOST "\r\n");
	expect_said(stage, "head /hold/1\nhead /hold/2\n");
	http_thread_drain(stage->http);
	door_answer(stage, "/hold/1", "one");
	door_answer(stage, "/hold/2", "two");
	expect_heard(stage, peer, 200, "one");
	expect_heard(stage, peer, 200, "two");
	expect_end(stage, peer);
	peer_close(peer);
	expect_said(stage, "");
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(requests_follow_each_other_on_one_connection),
		T(answers_leave_in_the_order_of_the_requests),
		T(many_answers_of_one_turn_leave_in_one_write),
		T(the_pipeline_has_a_limit),
		T(requests_may_be_cut_anywhere),
		T(head_has_the_length_and_no_body),
		T(http_1_0_closes_unless_asked),
		T(nothing_is_looked_at_behind_a_close),
		T(bad_heads_are_answered_and_end_the_connection),
		T(an_error_waits_for_its_turn),
		T(heads_have_limits),
		T(a_preflight_is_answered_by_the_engine),
		T(connections_have_a_limit),
		T(drain_ends_what_is_idle_and_lets_the_rest_end),
		T(drain_forgets_what_was_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
