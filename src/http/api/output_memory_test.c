/* A job's output with the k-th allocation failing, for every k: two follow it from before its first word to its end, a worker
 * writes with a number and so says everything until it is heard. Whoever it hits hears 503 or loses his connection; nobody waits
 * longer than to his deadline, nothing is left behind, and the output is there, once, and closed. */
#include "http/api/door_fixture.h"

#include "base/mem.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

enum { PROBE = 100000, READERS = 2, LEAST = 12, MOST = 1500 };

static char job[64], token[64];

/* --- saying and hearing --- */

/* 0: the connection ended without an answer. */
static int say(struct stage *stage, const char *request, struct heard *ret_heard)
{
	struct peer *peer = peer_open(stage);

	*ret_heard = (struct heard){0};
	peer_say(stage, peer, request);
	UNTIL(stage, peer_look(peer, false, ret_heard) || peer->ended);
	peer_close(peer);
	return ret_heard->status;
}

/* Until it is heard: each of these may be said twice. */
static void word(struct stage *stage, const char *verb, const char *headers, const char *body)
{
	char request[512];
	struct heard heard;
	int status;

	snprintf(request, sizeof(request), "POST %s/%s" HOST "Job-Token: %s\r\n%sContent-Length: %zu\r\n\r\n%s", job, verb, token,
		 headers, strlen(body), body);
	do {
		status = say(stage, request, &heard);
		assert_true(status == 0 || status == 200 || status == 204 || status == 503);
	} while (status == 0 || status == 503);
}

static void scene(struct stage *stage)
{
	const char *at, *end;
	struct slice handle;
	struct heard heard;

	door_reset(stage, 1);
	handle = door_job();
	snprintf(job, sizeof(job), "/v1/jobs/%.*s", (int)handle.len, handle.ptr);
	assert_int_equal(say(stage, "POST /v1/queues/q/claim?wait=0" HOST "Content-Length: 0\r\n\r\n", &heard), 200);
	at = strstr(heard.head, "Job-Token: ");
	assert_non_null(at);
	at += strlen("Job-Token: ");
	end = strchr(at, '\r');
	assert_non_null(end);
	snprintf(token, sizeof(token), "%.*s", (int)(end - at), at);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* Answered, by length or by chunks, or cut off. */
static bool is_over(struct peer *peer)
{
	struct heard heard;

	peer_pull(peer);
	if (peer->len >= 7 && memcmp(peer->in + peer->len - 7, "\r\n0\r\n\r\n", 7) == 0)
		return true;
	if (peer->len && memmem(peer->in, peer->len, "Transfer-Encoding: chunked", 26))
		return peer->ended;
	if (!peer_look(peer, false, &heard))
		return peer->ended;
	assert_true(heard.status == 200 || heard.status == 204 || heard.status == 503);
	return true;
}

struct reader {
	struct peer *peer;
	bool over;
};

static size_t not_over(struct reader *readers)
{
	size_t count = 0;

	for (size_t i = 0; i < READERS; i++) {
		readers[i].over = readers[i].over || is_over(readers[i].peer);
		count += !readers[i].over;
	}
	return count;
}

static void play(struct stage *stage, const char *live, bool says)
{
	struct reader readers[READERS] = {0};
	char request[256];

	snprintf(request, sizeof(request), "GET %s/output?offset=-1&live=%s&wait=60ms" HOST "\r\n", job, live);
	for (size_t i = 0; i < READERS; i++) {
		readers[i].peer = peer_open(stage);
		peer_say(stage, readers[i].peer, request);
	}
	UNTIL(stage, door_parked() >= not_over(readers));
	if (says)
		word(stage, "output", "Content-Type: text/plain\r\nProducer-Id: w\r\nProducer-Epoch: 0\r\nProducer-Seq: 0\r\n",
		     "new");
	word(stage, "done", "Content-Type: text/plain\r\n", "result");
	UNTIL(stage, not_over(readers) == 0);
	for (size_t i = 0; i < READERS; i++)
		peer_close(readers[i].peer);
}

static void expect_unharmed(struct stage *stage, bool says)
{
	char request[256];
	struct peer *peer;
	struct heard heard;

	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(door_parked(), 0);
	assert_int_equal(door_pins(), 0);
	door_later(2000); /* what could not be closed for want of memory is closed by then */
	snprintf(request, sizeof(request), "GET %s/output?offset=-1" HOST "\r\n", job);
	peer = peer_open(stage);
	peer_say(stage, peer, request);
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	assert_int_equal(heard.body_len, says ? 3 : 0);
	assert_true(heard_has(&heard, "Stream-Closed: true"));
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* How many allocations one round makes, and with `fails_at` which of them fails. */
static uint64_t round_of(struct stage *stage, const char *live, bool says, uint64_t fails_at)
{
	uint64_t left = 0;
	void *probe;

	scene(stage);
	mem_fail_nth(fails_at);
	play(stage, live, says);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	expect_unharmed(stage, says);
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	static const char *const lives[] = {"long-poll", "sse"};
	struct stage *stage = *state;

	for (size_t i = 0; i < 2 * ARRAY_COUNT(lives); i++) {
		uint64_t count = round_of(stage, lives[i / 2], i % 2, PROBE) + 3;

		assert_true(count > LEAST && count < MOST);
		for (uint64_t k = 1; k <= count; k++)
			round_of(stage, lives[i / 2], i % 2, k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, door_setup, door_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
