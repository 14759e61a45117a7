/* The k-th allocation fails, for every k: whoever it hits may hear 503 or lose the connection; nothing leaks, nobody is
 * forgotten, and the others do not notice. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"
#define END  "GET /close/z" HOST "\r\n"

enum { BODY_BYTES = BODY_INLINE_MAX + 5, PROBE = 100000 };

/* Each ends its connection, one way or another. */
static const char *const scripts[] = {
	"GET /now/a" HOST "\r\nHEAD /now/b" HOST "\r\nGET /big/100000" HOST "\r\n" END,
	"POST /memory/9000" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nPOST /store/9" HOST
	"Content-Length: 3\r\n\r\nabc" END,
	"GET /pin/0/9/9/i" HOST "\r\nGET /pin/3/5/9/i" HOST "\r\nGET /pin/4/90000/100000/i" HOST
	"\r\nGET /pin/0/200000/200000/b" HOST "\r\n" END,
	"GET /hold/a" HOST "\r\nGET /pin/0/9/9/i" HOST "\r\nGET /pin/5/200000/300000/b" HOST "\r\nGET /tell/b" HOST
	"\r\nGET /now/c" HOST "\r\n" END,
	"GET /park/50000/a" HOST "\r\nGET /hold/b" HOST "\r\nGET /park/50000/c HTTP/1.0\r\nHost: x\r\n\r\n",
	"POST /memory/9" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc" END,
	"POST /memory/2" HOST "Content-Length: 3\r\n\r\nabc",
	"OPTIONS /x" HOST "Origin: a\r\nAccess-Control-Request-Method: PUT\r\n\r\nnonsense\r\n\r\n",
	"POST /hold/a" HOST "Content-Length: 3\r\n\r\nabc" END,
};

static bool is_over(struct peer *peer)
{
	peer_pull(peer);
	return peer->ended;
}

/* Whatever the door still holds is answered, in a way that needs memory. */
static void answer_all(struct stage *stage)
{
	static const struct answer answer = {.status = 200, .body = {"woken", 5}, .flags = EXCHANGE_TELL};
	struct shared_answer *shared = shared_answer_new(stage->http, &answer);

	for (size_t i = 1; i < stage->entry_count; i++) {
		struct exchange *ex = stage->entries[i].ex;

		if (!ex || strncmp(stage->entries[i].path, "/tell/", 6) == 0 || ex->state == EX_ANSWERED)
			continue;
		if (shared)
			exchange_answer_shared(ex, shared);
		else
			exchange_answer(ex, &answer);
	}
	shared_answer_unref(shared);
}

static void play(struct stage *stage, const char *script)
{
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, script);
	for (uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS; !is_over(peer);) {
		assert_true(stage_now_ms() < end_ms);
		stage_turn(stage, 1);
		answer_all(stage);
	}
	peer_close(peer);
}

static void play_blob(struct stage *stage)
{
	static char body[BODY_BYTES];
	struct peer *peer = peer_open(stage);
	char head[100];

	snprintf(head, sizeof(head), "POST /store/9999999" HOST "Content-Length: %d\r\n\r\n", BODY_BYTES);
	peer_say(stage, peer, head);
	peer_say_bytes(stage, peer, body, sizeof(body));
	peer_say(stage, peer, END);
	UNTIL(stage, is_over(peer));
	peer_close(peer);
}

static struct peer *bystander(struct stage *stage)
{
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, "GET /park/50000/bystander" HOST "\r\n");
	UNTIL(stage, stage_stats(stage).parked == 1);
	return peer;
}

static void expect_unharmed(struct stage *stage, struct peer *peer)
{
	UNTIL(stage, stage_stats(stage).connections_open == 1);
	for (size_t i = 1; i < stage->entry_count; i++)
		assert_null(stage->entries[i].ex);
	assert_int_equal(stage->pins_open, 0);
	assert_int_equal(stage->blobs_open, stage->blobs_discarded + stage->blobs_sealed);
	assert_int_equal(stage->http->body_memory_bytes, 0);
	assert_true(list_empty(&stage->http->gone));
	door_answer(stage, "/park/50000/bystander", "unharmed");
	expect_heard(stage, peer, 200, "unharmed");
	peer_close(peer);
}

/* How many allocations one round makes, and with `fails_at` which of them fails. */
static uint64_t round_of(struct stage *stage, size_t script, uint64_t fails_at)
{
	uint64_t left = 0;
	struct peer *other;
	void *probe;

	stage_reset(stage);
	other = bystander(stage);
	mem_fail_nth(fails_at);
	if (script < ARRAY_COUNT(scripts))
		play(stage, scripts[script]);
	else
		play_blob(stage);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	expect_unharmed(stage, other);
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	stage->quiet = true;
	stage->config.cors_origin = SLICE("*");
	for (size_t script = 0; script <= ARRAY_COUNT(scripts); script++) {
		/* How the bytes come in differs from round to round; a few more do no harm. */
		uint64_t count = round_of(stage, script, PROBE) + 3;

		assert_true(count > 4 && count < 1000);
		for (uint64_t k = 1; k <= count; k++)
			round_of(stage, script, k);
	}
}

static void a_thread_needs_memory_to_begin(void **state)
{
	struct stage *stage = *state;
	struct http_thread *thread = NULL;
	int error;

	stage->config.cors_origin = SLICE("https://app.example");
	for (uint64_t k = 1;; k++) {
		mem_fail_nth(k);
		error = http_thread_new(stage->loop, 0, &stage->config, stage, &thread);
		mem_fail_nth(0);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		assert_null(thread);
		assert_true(k < 20);
	}
	http_thread_free(thread);
}

static void a_new_configuration_needs_memory_for_cors_alone(void **state)
{
	struct stage *stage = *state;
	struct peer *peer = peer_open(stage);
	struct heard heard;

	stage->config.cors_origin = SLICE("https://app.example");
	stage->config.limits.target_bytes = 20;
	mem_fail_nth(1);
	stage_configure(stage);
	mem_fail_nth(0);
	peer_say(stage, peer, "GET /now/a" HOST "\r\n");
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_null(strstr(heard.head, "Access-Control"));
	peer_say(stage, peer, "GET /now/aaaaaaaaaaaaaaaa" HOST "\r\n");
	expect_status(stage, peer, 414);
	peer_close(peer);
}

static void a_connection_needs_memory(void **state)
{
	struct stage *stage = *state;
	struct peer *peer;

	mem_fail_nth(1);
	peer = peer_open(stage);
	mem_fail_nth(0);
	expect_status(stage, peer, 503);
	expect_end(stage, peer);
	peer_close(peer);
	assert_int_equal(stage_stats(stage).connections_refused, 1);
	peer = peer_open(stage);
	peer_say(stage, peer, "GET /now/a" HOST "\r\n");
	expect_status(stage, peer, 200);
	peer_close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
		T(any_allocation_may_fail),
		T(a_thread_needs_memory_to_begin),
		T(a_new_configuration_needs_memory_for_cors_alone),
		T(a_connection_needs_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
