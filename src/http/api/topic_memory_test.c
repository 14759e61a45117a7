/* Topics and groups over HTTP with the k-th allocation failing, for every k: whoever it hits hears 503 or loses its connection,
 * and what it asked for is done or not done; asked again it is done, and nothing is left behind. */
#include "http/api/door_fixture.h"

#include "base/mem.h"

#include <string.h>

#define HOST    " HTTP/1.1\r\nHost: x\r\n"
#define NO_BODY HOST "\r\n"

enum { PROBE = 100000, LEAST = 4, MOST = 1500 };

/* One step: what is asked, and what is heard where memory is there; `again`: also where it was done already. */
struct step {
	const char *request, *body;
	int status, again;
};

/* In this order, so that each finds what the ones before have made. */
static const struct step steps[] = {
	{"PUT /v1/topics/t" HOST, "{\"partitions\":2,\"settings\":{\"retention.ms\":\"5000\"}}", 201, 200},
	{"PUT /v1/topics/t" HOST, "{\"partitions\":2}", 200, 200},
	{"PUT /v1/topics/t" HOST, "{\"partitions\":3}", 409, 409},
	{"PUT /v1/topics/u" HOST, "{\"settings\":{\"no.such\":\"1\"}}", 400, 400},
	{"GET /v1/topics/t" NO_BODY, NULL, 200, 200},
	{"GET /v1/topics?limit=1" NO_BODY, NULL, 200, 200},
	{"PATCH /v1/topics/t" HOST, "{\"partitions\":4,\"settings\":{\"retention.ms\":\"6000\"},\"unset\":[\"segment.ms\"]}", 204,
	 204},
	{"POST /v1/stream/t" HOST "Content-Type: application/octet-stream\r\nRecord-Key: k\r\n", "record", 204, 204},
	{"PATCH /v1/groups/g" HOST, "{\"topic\":\"t\",\"to\":\"latest\"}", 204, 204},
	{"GET /v1/groups/g" NO_BODY, NULL, 200, 200},
	{"GET /v1/groups" NO_BODY, NULL, 200, 200},
	{"DELETE /v1/groups/g" NO_BODY, NULL, 204, 404},
	{"DELETE /v1/topics/t" NO_BODY, NULL, 204, 404},
};

/* 0: the connection ended without an answer. */
static int ask(struct stage *stage, const struct step *step)
{
	struct heard heard = {0};
	struct peer *peer = peer_open(stage);
	char length[64];

	peer_say(stage, peer, step->request);
	if (step->body) {
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", strlen(step->body));
		peer_say(stage, peer, length);
		peer_say(stage, peer, step->body);
	}
	UNTIL(stage, peer_look(peer, false, &heard) || peer->ended);
	peer_close(peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	return heard.status;
}

static void take(struct stage *stage, const struct step *step)
{
	int status = ask(stage, step);

	if (status == step->status)
		return;
	assert_true(status == 0 || status == 503 || status == step->again);
	if (status == step->again)
		return;
	mem_fail_nth(0);
	status = ask(stage, step);
	assert_true(status == step->status || status == step->again);
}

/* How many allocations step `i` makes, and with `fails_at` which of them fails. */
static uint64_t round_of(struct stage *stage, size_t i, uint64_t fails_at)
{
	uint64_t left = 0;
	void *probe;

	door_reset(stage, 4);
	for (size_t before = 0; before < i; before++)
		take(stage, &steps[before]);
	mem_fail_nth(fails_at);
	take(stage, &steps[i]);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	for (size_t after = i + 1; after < ARRAY_COUNT(steps); after++)
		take(stage, &steps[after]);
	assert_int_equal(door_parked(), 0);
	assert_int_equal(door_pins(), 0);
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		uint64_t count = round_of(stage, i, PROBE) + 3;

		assert_true(count > LEAST && count < MOST);
		for (uint64_t k = 1; k <= count; k++)
			round_of(stage, i, k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, door_setup, door_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
