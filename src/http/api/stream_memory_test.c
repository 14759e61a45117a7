/* Readers of streams, and who waits for many, with the k-th allocation failing, for every k: whoever it hits hears 503 or loses
 * its connection; nobody waits longer than to its deadline, nothing is left behind, and the stream still tells everything. */
#include "http/api/door_fixture.h"

#include "base/mem.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"
#define WAIT "wait=60ms"

enum { PROBE = 100000, MANY_ITEMS = 2, READERS = 2, LEAST = 6, MOST = 1500 };

/* Two streams: /t of text, that holds "old", and /j of JSON, that holds [1]. */
struct script {
	const char *reader; /* each of READERS asks for this */
	const char *body;   /* with this, "%s" is a job that is not over; NULL: none */
	const char *writer; /* this is done when they are parked; NULL: they do not wait */
};

#define MANY         "POST /v1/wait?" WAIT HOST
#define APPEND(what) "POST /v1/stream/t" HOST "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n" what

static const struct script scripts[] = {
	{.reader = "GET /v1/stream/t?offset=-1" HOST "\r\n"},
	{.reader = "GET /v1/stream/j?offset=-1" HOST "\r\n"},
	{.reader = "GET /v1/stream/t?offset=-1&format=records" HOST "\r\n"},
	{.reader = "HEAD /v1/stream/t" HOST "\r\n"},
	{.reader = "GET /v1/stream/t?offset=-1&live=sse&" WAIT HOST "\r\n"},
	{.reader = "GET /v1/stream/t?offset=now&live=long-poll&" WAIT HOST "\r\n", .writer = APPEND("new")},
	{.reader = "GET /v1/stream/t?offset=now&live=long-poll&format=records&" WAIT HOST "\r\n", .writer = APPEND("new")},
	{.reader = "GET /v1/stream/t?offset=now&live=sse&" WAIT HOST "\r\n", .writer = APPEND("new")},
	{.reader = "GET /v1/stream/t?offset=now&live=long-poll&" WAIT HOST "\r\n", .writer = "DELETE /v1/stream/t" HOST "\r\n"},
	{.reader = MANY, .body = "{\"streams\":{\"t\":\"start\",\"j\":\"-1\"}}"},
	{.reader = MANY, .body = "{\"streams\":{\"t\":\"now\",\"j\":\"now\"}}", .writer = APPEND("new")},
	{.reader = MANY, .body = "{\"streams\":{\"t\":\"now\",\"j\":\"start\"},\"mode\":\"all\"}", .writer = APPEND("new")},
	{.reader = MANY, .body = "{\"streams\":{\"t\":\"now\"},\"jobs\":[\"%s\"]}", .writer = APPEND("new")},
	{.reader = MANY, /* until its deadline */
	 .body = "{\"streams\":{\"t\":\"now\"},\"jobs\":[\"%s\"],\"mode\":\"all\"}",
	 .writer = APPEND("new")},
	{.reader = MANY,
	 .body = "{\"streams\":{\"t\":\"now\",\"j\":\"now\"},\"format\":\"records\"}",
	 .writer = "DELETE /v1/stream/t" HOST "\r\n"},
};

static struct slice handle;

static void ask(struct stage *stage, const char *request, int status)
{
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, request);
	expect_status(stage, peer, status);
	peer_close(peer);
}

/* A request with a body. */
static void say_with(struct stage *stage, struct peer *peer, const char *head, const char *body)
{
	const char *job = strstr(body, "%s");
	char text[512], length[64];

	snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(job ? job - body : 0), body, job ? (int)handle.len : 0, handle.ptr,
		 job ? job + 2 : body);
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", strlen(text));
	peer_say(stage, peer, head);
	peer_say(stage, peer, length);
	peer_say(stage, peer, text);
}

static void scene(struct stage *stage)
{
	door_reset(stage, MANY_ITEMS * READERS);
	handle = door_job();
	ask(stage, "PUT /v1/stream/t" HOST "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nold", 201);
	ask(stage, "PUT /v1/stream/j" HOST "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]", 201);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* Answered, by length or by chunks, or cut off. */
static bool is_over(struct peer *peer, bool head)
{
	struct heard heard;
	bool whole;

	peer_pull(peer);
	if (peer->len >= 7 && memcmp(peer->in + peer->len - 7, "\r\n0\r\n\r\n", 7) == 0)
		return true;
	if (peer->len && memmem(peer->in, peer->len, "Transfer-Encoding: chunked", 26))
		return peer->ended;
	whole = peer_look(peer, head, &heard);
	assert_true(!whole || heard.status == 200 || heard.status == 204 || heard.status == 404 || heard.status == 503);
	return whole || peer->ended;
}

/* 0: the connection ended without an answer. */
static int status_of(struct stage *stage, const char *request)
{
	struct heard heard = {0};
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, request);
	UNTIL(stage, peer_look(peer, false, &heard) || peer->ended);
	peer_close(peer);
	return heard.status;
}

/* Done once, whatever the one failure hits. Who hears 503 is right that nothing was changed; who hears nothing has to look. */
static void write_once(struct stage *stage, const char *request)
{
	int status = status_of(stage, request);
	struct peer *peer;
	struct heard heard;
	bool done;

	if (status == 204)
		return;
	if (status == 0) {
		peer = peer_open(stage);
		peer_say(stage, peer, "GET /v1/stream/t" HOST "\r\n");
		peer_hear(stage, peer, &heard);
		done = heard.status == 404 || heard.body_len > 3;
		peer_close(peer);
		if (done)
			return;
	}
	assert_true(status == 0 || status == 503);
	assert_int_equal(status_of(stage, request), 204);
}

struct reader {
	struct peer *peer;
	bool over;
};

static size_t not_over(struct reader *readers, bool head)
{
	size_t count = 0;

	for (size_t i = 0; i < READERS; i++) {
		readers[i].over = readers[i].over || is_over(readers[i].peer, head);
		count += !readers[i].over;
	}
	return count;
}

static void play(struct stage *stage, const struct script *script)
{
	bool head = strncmp(script->reader, "HEAD", 4) == 0;
	struct reader readers[READERS] = {0};

	for (size_t i = 0; i < READERS; i++) {
		readers[i].peer = peer_open(stage);
		if (script->body)
			say_with(stage, readers[i].peer, script->reader, script->body);
		else
			peer_say(stage, readers[i].peer, script->reader);
	}
	if (script->writer) {
		UNTIL(stage, door_parked() >= not_over(readers, head));
		write_once(stage, script->writer);
	}
	UNTIL(stage, not_over(readers, head) == 0);
	for (size_t i = 0; i < READERS; i++)
		peer_close(readers[i].peer);
}

static void expect_told(struct stage *stage, const char *request, const char *body)
{
	struct peer *peer = peer_open(stage);

	peer_say(stage, peer, request);
	expect_heard(stage, peer, 200, body);
	peer_close(peer);
}

static void expect_unharmed(struct stage *stage, const struct script *script)
{
	struct peer *peer;
	bool gone = script->writer && script->writer[0] == 'D';

	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(door_parked(), 0);
	assert_int_equal(door_pins(), 0);
	if (gone)
		ask(stage, "GET /v1/stream/t" HOST "\r\n", 404);
	else
		expect_told(stage, "GET /v1/stream/t" HOST "\r\n", script->writer ? "oldnew" : "old");
	expect_told(stage, "GET /v1/stream/j" HOST "\r\n", "[1]");
	/* Nobody keeps a place: as many can wait as before. */
	peer = peer_open(stage);
	say_with(stage, peer, "POST /v1/wait?wait=0" HOST,
		 "{\"streams\":{\"1\":\"now\",\"2\":\"now\",\"3\":\"now\",\"4\":\"now\"}}");
	expect_status(stage, peer, 200);
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

/* How many allocations one round makes, and with `fails_at` which of them fails. */
static uint64_t round_of(struct stage *stage, const struct script *script, uint64_t fails_at)
{
	uint64_t left = 0;
	void *probe;

	scene(stage);
	mem_fail_nth(fails_at);
	play(stage, script);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	expect_unharmed(stage, script);
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
		uint64_t count = round_of(stage, &scripts[i], PROBE) + 3;

		assert_true(count > LEAST && count < MOST);
		for (uint64_t k = 1; k <= count; k++)
			round_of(stage, &scripts[i], k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, door_setup, door_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
