/* Every request about subscriptions with the k-th allocation failing, for every k: it is answered as it should be, or with 503,
 * or loses its connection; nothing is left behind, and what was asked for can be had afterwards. */
#include "http/api/door_fixture.h"

#include "base/mem.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"
#define SUB  "/v1/stream/__ds/subscriptions/"

enum { PROBE = 100000, LEAST = 4, MOST = 300 };

/* Two subscriptions, hook and pull, to all streams below e/, and one of these with a record, so that both are woken. */
struct script {
	const char *method, *below; /* of the subscriptions */
	const char *token;          /* whose: "hook", "pull"; NULL: none */
	const char *body;           /* with this, "%s" is what names the token's wake */
	int status;
	int again; /* the same once more, when it was done before; 0: the same status */
	bool claimed;
};

#define WAKE "{\"wake_id\":\"%s\",\"generation\":1"
#define ACKS ",\"done\":true,\"acks\":[{\"stream\":\"e/a\",\"offset\":\"0000000000000002_0000000000000001\"}]}"

static const struct script scripts[] = {
	{"PUT", "new", NULL,
	 "{\"type\":\"webhook\",\"streams\":[\"e/a\",\"e/b\"],\"webhook\":{\"url\":\"http://localhost/\"},\"description\":\"d\"}",
	 201, 200, false},
	{"PUT", "new", NULL, "{\"type\":\"pull-wake\",\"pattern\":\"**\",\"wake_stream\":\"w\"}", 201, 200, false},
	{"PUT", "new", NULL, "{\"type\":\"webhook\",\"pattern\":\"a\",\"webhook\":{\"url\":\"http://10.0.0.1/\"}}", 400, 0,
	 false},
	{"PUT", "pull", NULL, "{\"type\":\"pull-wake\",\"pattern\":\"other\",\"wake_stream\":\"w\"}", 409, 0, false},
	{"PUT", "new", NULL, "{\"type\":\"webhook\"", 400, 0, false},
	{"GET", "hook", NULL, NULL, 200, 0, false},
	{"GET", "pull", NULL, NULL, 200, 0, true},
	{"GET", "none", NULL, NULL, 404, 0, false},
	{"DELETE", "hook", NULL, NULL, 204, 0, false},
	{"POST", "pull/streams", NULL, "{\"streams\":[\"x\",\"y/z\"]}", 204, 0, false},
	{"DELETE", "pull/streams/x%2Fy%20z", NULL, NULL, 204, 0, false},
	{"POST", "pull/claim", NULL, "{\"worker\":\"v\"}", 200, 409, false},
	{"POST", "pull/claim", NULL, "{\"worker\":\"v\"}", 409, 0, true},
	{"POST", "pull/ack", "pull", WAKE ACKS, 200, 409, true},
	{"POST", "pull/ack", "pull", WAKE "}", 200, 0, true},
	{"POST", "pull/release", "pull", WAKE "}", 204, 409, true},
	{"POST", "hook/callback", "hook", WAKE ACKS, 200, 409, false},
	{"POST", "hook/callback", NULL, WAKE ACKS, 401, 0, false},
	{"POST", "hook/callback", "pull", WAKE ACKS, 401, 0, true},
};

static struct {
	char wake_id[64], token[64];
} hook_wake, pull_wake;

/* 0: the connection ended without an answer. */
static int say(struct stage *stage, const char *request, struct heard *ret_heard)
{
	struct peer *peer = peer_open(stage);

	*ret_heard = (struct heard){0};
	peer_say(stage, peer, request);
	UNTIL(stage, peer_look(peer, false, ret_heard) || peer->ended);
	if (!ret_heard->status || !ret_heard->body)
		ret_heard->body = "";
	peer_close(peer);
	return ret_heard->status;
}

static void request_write(char *out, size_t size, const char *method, const char *path, const char *token, const char *body)
{
	char authorization[128] = "";

	if (token)
		snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s\r\n", token);
	snprintf(out, size, "%s %s" HOST "%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", method, path,
		 authorization, body ? strlen(body) : 0, body ? body : "");
}

static void must(struct stage *stage, const char *method, const char *path, const char *body, int status)
{
	char request[1024];
	struct heard heard;

	request_write(request, sizeof(request), method, path, NULL, body);
	assert_int_equal(say(stage, request, &heard), status);
}

static void claim(struct stage *stage)
{
	struct peer *peer = peer_open(stage);
	char request[512], text[1024];
	struct heard heard;

	request_write(request, sizeof(request), "POST", SUB "pull/claim", NULL, "{\"worker\":\"w\"}");
	peer_say(stage, peer, request);
	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, 200);
	snprintf(text, sizeof(text), "%.*s", (int)heard.body_len, heard.body);
	assert_int_equal(sscanf(text, "{\"wake_id\":\"%63[^\"]\",\"generation\":1,\"token\":\"%63[^\"]\"", pull_wake.wake_id,
				pull_wake.token),
			 2);
	peer_close(peer);
}

static void scene(struct stage *stage, bool claimed)
{
	door_reset(stage, 1);
	must(stage, "PUT", "/v1/stream/w", NULL, 201);
	must(stage, "PUT", SUB "hook", "{\"type\":\"webhook\",\"pattern\":\"e/*\",\"webhook\":{\"url\":\"http://localhost/\"}}",
	     201);
	must(stage, "PUT", SUB "pull", "{\"type\":\"pull-wake\",\"pattern\":\"e/*\",\"wake_stream\":\"w\"}", 201);
	must(stage, "PUT", "/v1/stream/e/a", "[1]", 201);
	UNTIL(stage, door_hook()->count == 1);
	snprintf(hook_wake.wake_id, sizeof(hook_wake.wake_id), "%s", door_hook()->wake_id);
	snprintf(hook_wake.token, sizeof(hook_wake.token), "%s", door_hook()->token);
	if (claimed)
		claim(stage);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
}

static void script_write(const struct script *script, char *out, size_t size)
{
	bool pull = script->token && strcmp(script->token, "pull") == 0;
	const char *wake_id = pull ? pull_wake.wake_id : hook_wake.wake_id,
		   *mark = script->body ? strstr(script->body, "%s") : NULL;
	char body[512], path[128];

	if (mark)
		snprintf(body, sizeof(body), "%.*s%s%s", (int)(mark - script->body), script->body, wake_id, mark + 2);
	snprintf(path, sizeof(path), SUB "%s", script->below);
	request_write(out, size, script->method, path, script->token ? pull ? pull_wake.token : hook_wake.token : NULL,
		      mark ? body : script->body);
}

/* How many allocations it makes, and with `fails_at` which of them fails. */
static uint64_t play(struct stage *stage, const struct script *script, uint64_t fails_at)
{
	char request[1024];
	struct heard heard;
	uint64_t left = 0;
	void *probe;
	int status;

	scene(stage, script->claimed);
	script_write(script, request, sizeof(request));
	mem_fail_nth(fails_at);
	status = say(stage, request, &heard);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	if (status != script->status && (fails_at == PROBE || (status != 503 && status != 0)))
		fail_msg("%s %s, allocation %llu: %d", script->method, script->below, (unsigned long long)fails_at, status);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	assert_int_equal(door_parked(), 0);
	assert_int_equal(door_pins(), 0);
	door_later(1500);
	status = say(stage, request, &heard);
	if (status != script->status && (!script->again || status != script->again))
		fail_msg("%s %s after allocation %llu: %d", script->method, script->below, (unsigned long long)fails_at, status);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
		uint64_t count = play(stage, &scripts[i], PROBE) + 2;

		assert_true(count >= LEAST && count < MOST);
		for (uint64_t k = 1; k <= count; k++)
			play(stage, &scripts[i], k);
	}
}

/* What became of a webhook may be lost on its way: it is called again when the lease is over. */
static void an_outcome_that_is_lost(void **state)
{
	struct stage *stage = *state;

	for (uint64_t k = 0; k <= 8; k++) {
		scene(stage, false);
		mem_fail_nth(k);
		door_hooked(HOOK_FAILED);
		stage_rest(stage);
		mem_fail_nth(0);
		for (unsigned i = 0; i < 20 && door_hook()->count < 2; i++) {
			door_later(2000);
			stage_rest(stage);
		}
		assert_int_equal(door_hook()->count, 2);
		door_hooked(HOOK_DONE);
		stage_rest(stage);
		must(stage, "GET", SUB "hook", NULL, 200);
		UNTIL(stage, stage_stats(stage).connections_open == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, door_setup, door_teardown),
		cmocka_unit_test_setup_teardown(an_outcome_that_is_lost, door_setup, door_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
