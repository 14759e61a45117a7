/* Clients, door and disk do anything in any order. A naive list of what each client asked says what it must hear: its answers,
 * each once, in order and whole; and all of them, as long as it stays. After every step what a connection counts is counted
 * again. */
#include "http/exchange/engine_priv.h"
#include "http/exchange/exchange_fixture.h"

#include "base/crc32c.h"

#include <string.h>

#define HOST " HTTP/1.1\r\nHost: x\r\n"

enum { PEERS = 10, ASKED_MAX = 400, STEPS = 3000, ROUNDS = 6, OUT_BYTES = 3 << 20, WAYS = 3 };

/* An answer that is due. */
struct asked {
	char bodies[WAYS][120]; /* one of these; empty ones do not count */
	size_t from, bytes;     /* or this much of the pattern */
	bool pattern, head, may_expire;
};

struct client {
	struct peer *peer;
	struct asked asked[ASKED_MAX];
	size_t asked_count, heard_count;
	char *out; /* said, not sent */
	size_t out_len;
	bool finished, closes;
};

static struct play {
	struct stage *stage;
	struct test_random random;
	struct client clients[PEERS];
	struct exchange *gone[STAGE_ENTRIES_MAX]; /* and not done with */
	size_t gone_count;
	unsigned names;
	uint64_t heard_total;
} play;

static size_t below(size_t bound)
{
	return test_random_below(&play.random, bound);
}

/* --- clients --- */

static void client_open(struct client *client)
{
	char *out = client->out ? client->out : malloc(OUT_BYTES);

	assert_non_null(out);
	*client = (struct client){.out = out, .peer = below(3) ? peer_open(play.stage) : peer_open_slow(play.stage)};
}

static void say_text(struct client *client, const char *text)
{
	size_t len = strlen(text);

	assert_true(client->out_len + len < OUT_BYTES);
	memcpy(client->out + client->out_len, text, len);
	client->out_len += len;
}

static void say_body(struct client *client, size_t from, size_t len)
{
	assert_true(client->out_len + len < OUT_BYTES);
	for (size_t i = 0; i < len; i++)
		client->out[client->out_len++] = pattern_at(from + i);
}

static void say_post(struct client *client, const char *path, size_t len)
{
	bool chunked = below(2);
	char text[300];

	if (chunked)
		snprintf(text, sizeof(text), "POST %s" HOST "Transfer-Encoding: chunked\r\n\r\n", path);
	else
		snprintf(text, sizeof(text), "POST %s" HOST "Content-Length: %zu\r\n\r\n", path, len);
	say_text(client, text);
	for (size_t at = 0; chunked && at < len;) {
		size_t piece = 1 + below(len - at);

		snprintf(text, sizeof(text), "%zx\r\n", piece);
		say_text(client, text);
		say_body(client, at, piece);
		say_text(client, "\r\n");
		at += piece;
	}
	if (chunked)
		say_text(client, "0\r\n\r\n");
	else
		say_body(client, 0, len);
}

static void told(char out[120], size_t len, bool blob)
{
	uint32_t crc = 0;

	for (size_t i = 0; i < len; i++)
		crc = crc32c(crc, &(char){pattern_at(i)}, 1);
	if (blob)
		snprintf(out, 120, " blob %zu %08x", len, crc);
	else
		snprintf(out, 120, " %zu %08x", len, crc);
}

static void ask_with_body(struct client *client, struct asked *asked, unsigned name)
{
	size_t len = below(12) ? below(3000) : below(60000);
	char path[120];

	switch (below(4)) {
	case 0:
		snprintf(path, sizeof(path), "/memory/2000000/%u", name);
		told(asked->bodies[0], len, false);
		break;
	case 1:
		if (!below(4))
			len = BODY_INLINE_MAX + 1 + below(20000);
		snprintf(path, sizeof(path), "/store/2000000/%u", name);
		told(asked->bodies[0], len, len > BODY_INLINE_MAX);
		break;
	case 2:
		snprintf(path, sizeof(path), "/now/%u", name);
		snprintf(asked->bodies[0], sizeof(asked->bodies[0]), "%s", path);
		break;
	default: /* the door may want the body, or not */
		snprintf(path, sizeof(path), "/hold/%u", name);
		snprintf(asked->bodies[0], sizeof(asked->bodies[0]), "%s", path);
		told(asked->bodies[1], len, false);
		told(asked->bodies[2], 0, false);
		asked->may_expire = true;
		break;
	}
	say_post(client, path, len);
}

static void ask_pattern(struct client *client, struct asked *asked, unsigned name)
{
	char text[200];
	size_t size = below(6) ? below(100000) : below(500000);

	asked->pattern = true;
	if (below(2)) {
		asked->bytes = size;
		snprintf(text, sizeof(text), "GET /big/%zu/%u" HOST "\r\n", size, name);
	} else {
		asked->from = below(size + 1);
		asked->bytes = below(size - asked->from + 1);
		snprintf(text, sizeof(text), "GET /pin/%zu/%zu/%zu/%c" HOST "\r\n", asked->from, asked->bytes, size,
			 below(2) ? 'i' : 'b');
	}
	say_text(client, text);
}

static void ask(struct client *client)
{
	static const char *const kinds[] = {"/now/", "/hold/", "/tell/", "/park/50000/", "/park/3/", "/close/"};
	struct asked *asked = &client->asked[client->asked_count];
	size_t kind = below(40) ? below(ARRAY_COUNT(kinds) - 1) : ARRAY_COUNT(kinds) - 1;
	unsigned name = play.names++;
	char path[100], text[200];

	if (client->asked_count == ASKED_MAX || client->finished || client->closes || client->out_len > 100000)
		return;
	client->asked_count++;
	*asked = (struct asked){0};
	if (!below(4)) {
		ask_with_body(client, asked, name);
	} else if (!below(4)) {
		ask_pattern(client, asked, name);
	} else {
		snprintf(path, sizeof(path), "%s%u", kinds[kind], name);
		snprintf(asked->bodies[0], sizeof(asked->bodies[0]), "%s", path);
		asked->head = !below(5);
		asked->may_expire = kind == 1 || kind == 3 || kind == 4;
		client->closes = kind == ARRAY_COUNT(kinds) - 1;
		snprintf(text, sizeof(text), "%s %s" HOST "\r\n", asked->head ? "HEAD" : "GET", path);
		say_text(client, text);
	}
}

static void client_send(struct client *client, size_t most)
{
	size_t len = client->out_len < most ? client->out_len : most, sent = len ? peer_try(client->peer, client->out, len) : 0;

	memmove(client->out, client->out + sent, client->out_len - sent);
	client->out_len -= sent;
}

static void check(const struct asked *asked, const struct heard *heard)
{
	if (asked->may_expire && heard->status == 204)
		return;
	assert_int_equal(heard->status, 200);
	if (asked->head)
		return;
	if (asked->pattern) {
		assert_int_equal(heard->body_len, asked->bytes);
		expect_pattern(heard->body, asked->from, asked->bytes);
		return;
	}
	for (int way = 0; way < WAYS; way++) {
		if (asked->bodies[way][0] && strcmp(heard->body, asked->bodies[way]) == 0)
			return;
	}
	fail_msg("heard %s instead of %s", heard->body, asked->bodies[0]);
}

static void client_hear(struct client *client)
{
	struct heard heard;

	while (client->heard_count < client->asked_count) {
		const struct asked *asked = &client->asked[client->heard_count];

		if (!peer_look(client->peer, asked->head, &heard))
			break;
		check(asked, &heard);
		client->heard_count++;
		play.heard_total++;
	}
	peer_pull(client->peer);
	if (client->heard_count == client->asked_count)
		assert_int_equal(client->peer->len, 0);
	if (client->peer->ended && !client->finished && !(client->closes && client->heard_count == client->asked_count))
		fail_msg("a connection ended that should stand (%s)", strerror(client->peer->error));
}

static void client_leave(struct client *client)
{
	switch (below(3)) {
	case 0:
		peer_reset(client->peer);
		client_open(client);
		break;
	case 1:
		peer_close(client->peer);
		client_open(client);
		break;
	default:
		if (client->finished || client->peer->ended)
			break;
		peer_finish(client->peer);
		client->finished = true;
		client->out_len = 0;
		break;
	}
}

static void client_step(struct client *client)
{
	size_t what = below(100);

	if (what < 35)
		ask(client);
	else if (what < 70)
		client_send(client, below(2) ? 1 + below(100) : 1 + below(100000));
	else if (what < 98)
		client_hear(client);
	else
		client_leave(client);
	if (client->peer->ended && (client->finished || client->closes)) {
		peer_close(client->peer);
		client_open(client);
	}
}

/* --- the door --- */

static void answer_shared(struct exchange *ex, const char *path, unsigned flags)
{
	struct answer answer = {.status = 200, .body = slice_str(path), .flags = flags};
	struct shared_answer *shared = shared_answer_new(play.stage->http, &answer);

	assert_non_null(shared);
	if (!(flags & EXCHANGE_TELL))
		door_forget(play.stage, ex);
	exchange_answer_shared(ex, shared);
	shared_answer_unref(shared);
}

static void door_decide(struct entry *entry, bool end)
{
	struct exchange *ex = entry->ex;
	size_t what = below(10);

	if (!ex || (ex->state != EX_OPEN && ex->state != EX_PARKED) || ex->flags & EX_TAKEN)
		return;
	if (what < 3)
		door_answer_flags(play.stage, entry->path, entry->path, what == 0 ? EXCHANGE_TELL : 0);
	else if (what < 6 || end)
		answer_shared(ex, entry->path, what == 4 ? EXCHANGE_TELL : 0);
	else if (ex->request && ex->request->content_length && ex->conn->intake && ex->conn->intake->ex == ex)
		exchange_take_body(ex, (enum body_mode)below(3), 2000000);
	else
		exchange_park(ex, below(2) ? below(5) : 50000);
}

static void door_step(bool end)
{
	struct stage *stage = play.stage;
	size_t first = stage->entry_count ? below(stage->entry_count) : 0;

	for (size_t i = 0; i < stage->entry_count; i++) {
		struct entry *entry = &stage->entries[(first + i) % stage->entry_count];

		if (!entry->ex)
			continue;
		door_decide(entry, end);
		if (!end)
			break;
	}
}

static void on_gone(struct stage *stage, struct exchange *ex, const char *path)
{
	(void)stage;
	(void)path;
	play.gone[play.gone_count++] = ex;
	if (!below(3))
		door_step(false);
}

static void done_step(void)
{
	size_t i;

	if (!play.gone_count)
		return;
	i = below(play.gone_count);
	exchange_done(play.gone[i]);
	play.gone[i] = play.gone[--play.gone_count];
}

/* --- what must hold --- */

static void check_conn(const struct http_conn *conn)
{
	uint64_t bytes = chain_bytes(&conn->out);
	bool in_wheel = conn->timer.node.next && !list_empty(&conn->timer.node);
	uint32_t count = 0;

	list_each (node, &conn->exchanges) {
		const struct exchange *ex = container_of(node, struct exchange, siblings);
		const struct chain early = {.first = ex->answer};

		bytes += chain_bytes(&early);
		count++;
		assert_true(ex->state == EX_OPEN || ex->state == EX_PARKED || ex->state == EX_ANSWERED);
		assert_true(!ex->answer || ex->state == EX_ANSWERED);
	}
	assert_int_equal(conn->exchange_count, count);
	assert_true(count <= conn->thread->config.limits.pipeline + 1);
	assert_int_equal(in_wheel, conn->timer_kind != TIMER_NONE);
	if (!(conn->flags & (CONN_BROKEN | CONN_CLOSING)))
		assert_int_equal(conn->out_bytes, bytes);
}

static void check_all(void)
{
	const struct stage *stage = play.stage;
	uint64_t conns = 0, parked = 0;

	list_each (node, &stage->http->conns) {
		check_conn(container_of(node, struct http_conn, all));
		conns++;
	}
	for (size_t i = 0; i < stage->entry_count; i++)
		parked += stage->entries[i].ex && exchange_is_parked(stage->entries[i].ex);
	assert_int_equal(stage_stats(stage).connections_open, conns);
	assert_int_equal(stage_stats(stage).parked, parked);
}

/* --- the play --- */

static void play_step(void)
{
	size_t what = below(20);

	if (what < 12)
		client_step(&play.clients[below(PEERS)]);
	else if (what < 14)
		door_step(false);
	else if (what == 14 && play.stage->sealing)
		stage_seal(play.stage);
	else if (what == 15)
		done_step();
	else
		stage_turn(play.stage, 0);
	check_all();
}

static bool all_heard(void)
{
	bool all = true;

	door_step(true);
	for (int i = 0; i < PEERS; i++) {
		struct client *client = &play.clients[i];

		client_send(client, SIZE_MAX);
		client_hear(client);
		if (client->finished || client->closes)
			all = all && client->peer->ended;
		else
			all = all && client->heard_count == client->asked_count && !client->out_len;
	}
	check_all();
	return all;
}

static void play_round(void)
{
	struct stage *stage = play.stage;

	stage->hold_seals = true;
	for (int i = 0; i < PEERS; i++)
		client_open(&play.clients[i]);
	for (int step = 0; step < STEPS && stage->entry_count < STAGE_ENTRIES_MAX - 1000; step++)
		play_step();
	stage->hold_seals = false;
	while (stage->sealing)
		stage_seal(stage);
	UNTIL(stage, all_heard());
	for (int i = 0; i < PEERS; i++)
		peer_close(play.clients[i].peer);
	UNTIL(stage, stage_stats(stage).connections_open == 0);
	while (play.gone_count)
		done_step();
	for (size_t i = 0; i < stage->entry_count; i++)
		assert_null(stage->entries[i].ex);
	assert_int_equal(stage->pins_open, 0);
	assert_int_equal(stage->http->body_memory_bytes, 0);
	assert_int_equal(stage->http->exchange_pool.live_count, 0);
	assert_int_equal(stage->http->conn_pool.live_count, 0);
}

static void anything_in_any_order(void **state)
{
	play = (struct play){.stage = *state, .random = test_random_start("exchange")};
	play.stage->quiet = true;
	play.stage->keep_gone = true;
	play.stage->on_gone = on_gone;
	for (int round = 0; round < ROUNDS; round++) {
		play.stage->config.limits.pipeline = (uint32_t)(1 + below(8));
		play.stage->config.limits.output_bytes = (uint32_t)(1000 + below(300000));
		stage_reset(play.stage);
		play_round();
	}
	print_message("%llu answers heard\n", (unsigned long long)play.heard_total);
	for (int i = 0; i < PEERS; i++)
		free(play.clients[i].out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(anything_in_any_order, stage_setup, stage_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
