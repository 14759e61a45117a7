/*
 * beanstalkd. Jobs go into the tube "jobs"; each client has a tube of its own for results. A worker finishes a job by putting
 * the result and then deleting the job, and the client deletes the result once it has it: with the binlog that makes four
 * synced writes a job, which is what it takes to lose nothing. To spare round trips, a put and the reserve behind it, and the
 * two halves of finishing, leave in one write.
 *
 * A reserve blocks everything behind it on its connection, so whoever takes many at once asks first for one and then, without
 * waiting, for as many more as the generator knows to be there.
 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Someone who takes jobs from a tube: a worker, or a client waiting for results. */
struct taker {
	struct conn conn;
	uint32_t reserves_count; /* asked for and not answered */
	uint32_t deletes_count;  /* jobs deleted and not acknowledged */
	uint32_t used_client;    /* the tube it puts to */
	uint32_t tags_first;
	char tags[JOBS_DEPTH_MAX][JOBS_TAG_BYTES]; /* of the deletes not acknowledged: a ring */
};

struct tube_state {
	struct jobs *jobs;
	struct conn *puts;     /* clients with many jobs under way: their submits */
	struct taker *clients; /* their results; with one job under way, the submits too */
	struct taker *workers;
	uint32_t jobs_ready;     /* put, acknowledged and not taken */
	uint32_t *results_ready; /* the same for each client's results */
};

struct reply {
	char word; /* its first letter tells: I U W D T R */
	const char *id;
	size_t id_len;
	const char *data;
	size_t data_len;
};

static size_t reply_parse(const char *text, size_t len, struct reply *ret_reply)
{
	const char *end = len > 0 ? memchr(text, '\n', len) : NULL;
	if (!end)
		return 0;
	size_t line_len = (size_t)(end - text) + 1;
	struct reply reply = {.word = text[0]};
	static const char *const known[] = {"INSERTED ", "USING ", "WATCHING ", "DELETED\r", "TIMED_OUT\r", "RESERVED "};
	bool fine = false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		fine = fine || (line_len > strlen(known[i]) && memcmp(text, known[i], strlen(known[i])) == 0);
	if (!fine)
		loop_die("beanstalkd: %.*s", (int)line_len, text);
	if (reply.word != 'R') {
		*ret_reply = reply;
		return line_len;
	}
	char *after;
	reply.id = text + strlen("RESERVED ");
	strtoull(reply.id, &after, 10);
	reply.id_len = (size_t)(after - reply.id);
	reply.data_len = strtoull(after, NULL, 10);
	reply.data = end + 1;
	if (line_len + reply.data_len + 2 > len)
		return 0;
	*ret_reply = reply;
	return line_len + reply.data_len + 2;
}

static void tube_put(struct jobs *jobs, struct conn *conn, const char *body)
{
	conn_printf(conn, "put 1000 0 60 %u\r\n", jobs->body_bytes);
	conn_write(conn, body, jobs->body_bytes);
	conn_write(conn, "\r\n", 2);
}

/* Asks for one job, and for the others that are known to be there. */
static void taker_reserve(struct taker *taker, uint32_t ready)
{
	static const char more[] = "reserve-with-timeout 0\r\n";
	uint32_t want = ready < 1 ? 1 : ready > JOBS_DEPTH_MAX ? JOBS_DEPTH_MAX : ready;
	conn_write(&taker->conn, "reserve\r\n", 9);
	for (uint32_t i = 1; i < want; i++)
		conn_write(&taker->conn, more, sizeof(more) - 1);
	taker->reserves_count = want;
}

static void taker_delete(struct taker *taker, const struct reply *reply)
{
	conn_printf(&taker->conn, "delete %.*s\r\n", (int)reply->id_len, reply->id);
}

/* ---- clients ---- */

static void tube_submit(struct jobs *jobs, uint32_t slot)
{
	struct tube_state *state = jobs->state;
	uint32_t client = slot / jobs->depth;
	if (jobs->depth > 1 || jobs->plain) {
		tube_put(jobs, &state->puts[client], jobs_body(jobs, slot));
		return;
	}
	tube_put(jobs, &state->clients[client].conn, jobs_body(jobs, slot));
	taker_reserve(&state->clients[client], 1);
}

static void puts_input(struct conn *conn, uint64_t now_ns)
{
	struct tube_state *state = conn->owner;
	struct reply reply;
	size_t len;
	(void)now_ns;
	while ((len = reply_parse(bytes_head(&conn->in), bytes_len(&conn->in), &reply)) > 0) {
		if (reply.word == 'I')
			state->jobs_ready++;
		bytes_consume(&conn->in, len);
	}
}

static void client_reply(struct tube_state *state, struct taker *client, const struct reply *reply, uint64_t now_ns)
{
	struct jobs *jobs = state->jobs;
	uint32_t *ready = &state->results_ready[client->conn.index];
	if (reply->word == 'T')
		client->reserves_count--;
	if (reply->word == 'I')
		state->jobs_ready++;
	if (reply->word == 'R') {
		client->reserves_count--;
		if (*ready > 0)
			(*ready)--;
		taker_delete(client, reply);
		jobs_finish(jobs, reply->data, reply->data_len, now_ns);
	}
}

static void client_input(struct conn *conn, uint64_t now_ns)
{
	struct tube_state *state = conn->owner;
	struct taker *client = &state->clients[conn->index];
	struct reply reply;
	size_t len;
	while ((len = reply_parse(bytes_head(&conn->in), bytes_len(&conn->in), &reply)) > 0) {
		client_reply(state, client, &reply, now_ns);
		bytes_consume(&conn->in, len);
	}
	if (state->jobs->depth > 1 && client->reserves_count == 0)
		taker_reserve(client, state->results_ready[conn->index]);
}

/* ---- workers ---- */

static void worker_finish(struct tube_state *state, struct taker *worker, const struct reply *reply)
{
	struct jobs *jobs = state->jobs;
	uint32_t client = jobs_client(jobs, reply->data);
	uint32_t last = (worker->tags_first + worker->deletes_count++) % JOBS_DEPTH_MAX;
	memcpy(worker->tags[last], reply->data, JOBS_TAG_BYTES);
	if (!jobs->plain) {
		if (worker->used_client != client)
			conn_printf(&worker->conn, "use results-%u\r\n", client);
		worker->used_client = client;
		tube_put(jobs, &worker->conn, jobs_result(jobs, reply->data));
	}
	taker_delete(worker, reply);
}

static void worker_reply(struct tube_state *state, struct taker *worker, const struct reply *reply, uint64_t now_ns)
{
	if (reply->word == 'T')
		worker->reserves_count--;
	if (reply->word == 'R') {
		worker->reserves_count--;
		if (state->jobs_ready > 0)
			state->jobs_ready--;
		worker_finish(state, worker, reply);
	}
	const char *tag = worker->tags[worker->tags_first];
	if (reply->word == 'I')
		state->results_ready[jobs_client(state->jobs, tag)]++;
	if (reply->word == 'D') {
		worker->tags_first = (worker->tags_first + 1) % JOBS_DEPTH_MAX;
		worker->deletes_count--;
		if (state->jobs->plain)
			jobs_finish(state->jobs, tag, JOBS_TAG_BYTES, now_ns);
	}
}

static void worker_input(struct conn *conn, uint64_t now_ns)
{
	struct tube_state *state = conn->owner;
	struct taker *worker = &state->workers[conn->index];
	struct reply reply;
	size_t len;
	while ((len = reply_parse(bytes_head(&conn->in), bytes_len(&conn->in), &reply)) > 0) {
		worker_reply(state, worker, &reply, now_ns);
		bytes_consume(&conn->in, len);
	}
	if (worker->reserves_count == 0 && worker->deletes_count == 0)
		taker_reserve(worker, state->jobs->depth > 1 ? state->jobs_ready : 1);
}

static void tube_setup(struct jobs *jobs)
{
	struct tube_state *state = jobs_alloc(1, sizeof(*state));
	jobs->state = state;
	state->jobs = jobs;
	state->puts = jobs_alloc(jobs->clients_count, sizeof(*state->puts));
	state->clients = jobs_alloc(jobs->clients_count, sizeof(*state->clients));
	state->workers = jobs_alloc(jobs->workers_count, sizeof(*state->workers));
	state->results_ready = jobs_alloc(jobs->clients_count, sizeof(*state->results_ready));
	for (uint32_t i = 0; i < jobs->workers_count; i++) {
		struct conn *conn = &state->workers[i].conn;
		*conn = (struct conn){.owner = state, .index = i, .on_input = worker_input};
		state->workers[i].used_client = UINT32_MAX;
		conn_open(conn, &jobs->loop, 0);
		conn_printf(conn, "watch jobs\r\nignore default\r\n");
		taker_reserve(&state->workers[i], 1);
	}
	for (uint32_t i = 0; i < jobs->clients_count; i++) {
		struct conn *conn = &state->clients[i].conn;
		*conn = (struct conn){.owner = state, .index = i, .on_input = client_input};
		state->puts[i] = (struct conn){.owner = state, .index = i, .on_input = puts_input};
		conn_open(conn, &jobs->loop, 0);
		conn_open(&state->puts[i], &jobs->loop, 0);
		conn_printf(conn, "use jobs\r\nwatch results-%u\r\nignore default\r\n", i);
		conn_printf(&state->puts[i], "use jobs\r\n");
		if (jobs->depth > 1 && !jobs->plain)
			taker_reserve(&state->clients[i], 1);
	}
}

const struct jobs_driver jobs_beanstalkd = {"beanstalkd", tube_setup, tube_submit};
