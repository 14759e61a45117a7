/*
 * Redis, two ways. Lists: LPUSH jobs, BRPOP by the worker, LPUSH to a list of the client's, BLPOP by the client. That is the
 * fastest Redis can do and less than the others promise: a job popped by a worker that dies is gone. Streams: XADD, XREADGROUP,
 * and the worker's XADD of the result and XACK; lost jobs can be claimed back, as from a lease. Streams are trimmed to about
 * 1,000 entries, so that they do not grow without end.
 *
 * A client with one job under way writes its push and the blocking read behind it at once; one with many reads results on a
 * second connection, up to 64 at a time. So do workers.
 */
#include "jobs.h"

#include "resp.h"

#include <stdio.h>
#include <string.h>

struct redis_client {
	struct conn push;
	struct conn wait;
	char last_id[48]; /* streams: the last result read */
	char key[32];
};

struct redis_worker {
	struct conn conn;
	bool taking;            /* the reply after those to the results is a take's */
	uint32_t replies_count; /* to results and acknowledgements, still to come */
	uint32_t tags_count;
	char tags[JOBS_DEPTH_MAX][JOBS_TAG_BYTES]; /* plain: jobs acknowledged when all these replies are here */
	char name[32];
};

struct redis_state {
	struct jobs *jobs;
	bool streams;
	struct redis_client *clients;
	struct redis_worker *workers;
};

/* A command whose last word is a job's body or result. */
static void redis_command_body(struct conn *conn, const char *const *words, uint32_t count, const char *body, uint32_t body_bytes)
{
	conn_printf(conn, "*%u\r\n", count + 1);
	for (uint32_t i = 0; i < count; i++)
		conn_printf(conn, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
	conn_printf(conn, "$%u\r\n", body_bytes);
	conn_write(conn, body, body_bytes);
	conn_write(conn, "\r\n", 2);
}

static void redis_push(struct redis_state *state, struct conn *conn, const char *key, const char *body)
{
	uint32_t body_bytes = state->jobs->body_bytes;
	if (state->streams)
		redis_command_body(conn, (const char *[]){"XADD", key, "MAXLEN", "~", "1000", "*", "b"}, 7, body, body_bytes);
	else
		redis_command_body(conn, (const char *[]){"LPUSH", key}, 2, body, body_bytes);
}

/* ---- clients ---- */

static void redis_client_wait(struct redis_state *state, struct redis_client *client, struct conn *conn)
{
	if (state->streams)
		resp_command(conn,
			     (const char *[]){"XREAD", "COUNT", "64", "BLOCK", "0", "STREAMS", client->key, client->last_id}, 8);
	else if (state->jobs->depth > 1)
		resp_command(conn, (const char *[]){"BLMPOP", "0", "1", client->key, "RIGHT", "COUNT", "64"}, 7);
	else
		resp_command(conn, (const char *[]){"BRPOP", client->key, "0"}, 3);
}

static void redis_submit(struct jobs *jobs, uint32_t slot)
{
	struct redis_state *state = jobs->state;
	struct redis_client *client = &state->clients[slot / jobs->depth];
	redis_push(state, &client->push, "jobs", jobs_body(jobs, slot));
	if (jobs->depth == 1 && !jobs->plain)
		redis_client_wait(state, client, &client->push);
}

/*
 * Walks the jobs or results in a reply to BRPOP (key, body), BLMPOP (key, body…) or XREAD (key, id, "b", body, id, …): the
 * bodies, and for streams the id before each.
 */
struct redis_walk {
	const char *reply;
	size_t len;
	size_t at;
	bool streams;
	const char *body;
	size_t body_len;
	const char *id;
	size_t id_len;
};

static struct redis_walk redis_walk_start(bool streams, const char *reply, size_t len)
{
	struct redis_walk walk = {.reply = reply, .len = len, .streams = streams};
	resp_string(reply, len, &walk.at, &walk.body, &walk.body_len); /* the key */
	return walk;
}

static bool redis_walk_next(struct redis_walk *walk)
{
	if (walk->streams &&
	    (!resp_string(walk->reply, walk->len, &walk->at, &walk->id, &walk->id_len) ||
	     !resp_string(walk->reply, walk->len, &walk->at, &walk->body, &walk->body_len))) /* the field's name */
		return false;
	return resp_string(walk->reply, walk->len, &walk->at, &walk->body, &walk->body_len);
}

static void redis_client_results(struct redis_state *state, struct redis_client *client, const char *reply, size_t len,
				 uint64_t now_ns)
{
	struct redis_walk walk = redis_walk_start(state->streams, reply, len);
	while (redis_walk_next(&walk)) {
		if (state->streams)
			snprintf(client->last_id, sizeof(client->last_id), "%.*s", (int)walk.id_len, walk.id);
		jobs_finish(state->jobs, walk.body, walk.body_len, now_ns);
	}
}

/* On a client's pushing connection a push is answered by a number or an id, a wait by an array. */
static void redis_push_input(struct conn *conn, uint64_t now_ns)
{
	struct redis_state *state = conn->owner;
	struct redis_client *client = &state->clients[conn->index];
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in))) > 0) {
		if (*bytes_head(&conn->in) == '*')
			redis_client_results(state, client, bytes_head(&conn->in), len, now_ns);
		bytes_consume(&conn->in, len);
	}
}

static void redis_wait_input(struct conn *conn, uint64_t now_ns)
{
	struct redis_state *state = conn->owner;
	struct redis_client *client = &state->clients[conn->index];
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in))) > 0) {
		redis_client_results(state, client, bytes_head(&conn->in), len, now_ns);
		bytes_consume(&conn->in, len);
		redis_client_wait(state, client, conn);
	}
}

/* ---- workers ---- */

static void redis_worker_take(struct redis_state *state, struct redis_worker *worker)
{
	const char *count = state->jobs->depth > 1 ? "64" : "1";
	if (state->streams)
		resp_command(&worker->conn,
			     (const char *[]){"XREADGROUP", "GROUP", "workers", worker->name, "COUNT", count, "BLOCK", "0",
					      "STREAMS", "jobs", ">"},
			     11);
	else if (state->jobs->depth > 1)
		resp_command(&worker->conn, (const char *[]){"BLMPOP", "0", "1", "jobs", "RIGHT", "COUNT", count}, 7);
	else
		resp_command(&worker->conn, (const char *[]){"BRPOP", "jobs", "0"}, 3);
	worker->taking = true;
}

static void redis_worker_finish(struct redis_state *state, struct redis_worker *worker, const struct redis_walk *walk)
{
	struct jobs *jobs = state->jobs;
	if (!jobs->plain) {
		const struct redis_client *client = &state->clients[jobs_client(jobs, walk->body)];
		redis_push(state, &worker->conn, client->key, jobs_result(jobs, walk->body));
		worker->replies_count++;
	}
	if (state->streams) {
		char id[48];
		snprintf(id, sizeof(id), "%.*s", (int)walk->id_len, walk->id);
		resp_command(&worker->conn, (const char *[]){"XACK", "jobs", "workers", id}, 4);
		worker->replies_count++;
	}
	if (worker->tags_count == JOBS_DEPTH_MAX)
		loop_die("more jobs than were asked for");
	memcpy(worker->tags[worker->tags_count++], walk->body, JOBS_TAG_BYTES);
}

static void redis_worker_idle(struct redis_state *state, struct redis_worker *worker, uint64_t now_ns)
{
	for (uint32_t i = 0; state->jobs->plain && i < worker->tags_count; i++)
		jobs_finish(state->jobs, worker->tags[i], JOBS_TAG_BYTES, now_ns);
	worker->tags_count = 0;
	if (!worker->taking)
		redis_worker_take(state, worker);
}

static void redis_worker_reply(struct redis_state *state, struct redis_worker *worker, const char *reply, size_t len,
			       uint64_t now_ns)
{
	if (worker->replies_count > 0) {
		if (--worker->replies_count == 0)
			redis_worker_idle(state, worker, now_ns);
		return;
	}
	worker->taking = false;
	struct redis_walk walk = redis_walk_start(state->streams, reply, len);
	while (redis_walk_next(&walk))
		redis_worker_finish(state, worker, &walk);
	if (worker->replies_count == 0)
		redis_worker_idle(state, worker, now_ns); /* lists, plain: popped is done */
	else if (state->jobs->depth > 1)
		redis_worker_take(state, worker);
}

static void redis_worker_input(struct conn *conn, uint64_t now_ns)
{
	struct redis_state *state = conn->owner;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in))) > 0) {
		redis_worker_reply(state, &state->workers[conn->index], bytes_head(&conn->in), len, now_ns);
		bytes_consume(&conn->in, len);
	}
}

/* ---- setup ---- */

struct redis_ready {
	uint32_t wanted;
	bool done;
};

static void redis_ready_input(struct conn *conn, uint64_t now_ns)
{
	struct redis_ready *ready = conn->owner;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in))) > 0) {
		bytes_consume(&conn->in, len);
		ready->done = --ready->wanted == 0;
	}
}

static void redis_prepare(struct redis_state *state)
{
	struct redis_ready ready = {.wanted = state->streams ? 2 : 1};
	struct conn conn = {.owner = &ready, .on_input = redis_ready_input};
	conn_open(&conn, &state->jobs->loop, 0);
	resp_command(&conn, (const char *[]){"FLUSHALL", "SYNC"}, 2);
	if (state->streams)
		resp_command(&conn, (const char *[]){"XGROUP", "CREATE", "jobs", "workers", "0", "MKSTREAM"}, 6);
	if (!loop_until(&state->jobs->loop, &ready.done, loop_now_ns() + 10000000000ull))
		loop_die("redis does not answer");
	conn_close(&conn);
}

static void redis_setup(struct jobs *jobs, bool streams)
{
	struct redis_state *state = jobs_alloc(1, sizeof(*state));
	jobs->state = state;
	state->jobs = jobs;
	state->streams = streams;
	state->clients = jobs_alloc(jobs->clients_count, sizeof(*state->clients));
	state->workers = jobs_alloc(jobs->workers_count, sizeof(*state->workers));
	redis_prepare(state);
	for (uint32_t i = 0; i < jobs->workers_count; i++) {
		struct redis_worker *worker = &state->workers[i];
		worker->conn = (struct conn){.owner = state, .index = i, .on_input = redis_worker_input};
		snprintf(worker->name, sizeof(worker->name), "worker-%u", i);
		conn_open(&worker->conn, &jobs->loop, 0);
		redis_worker_take(state, worker);
	}
	for (uint32_t i = 0; i < jobs->clients_count; i++) {
		struct redis_client *client = &state->clients[i];
		client->push = (struct conn){.owner = state, .index = i, .on_input = redis_push_input};
		client->wait = (struct conn){.owner = state, .index = i, .on_input = redis_wait_input};
		snprintf(client->key, sizeof(client->key), "results-%u", i);
		snprintf(client->last_id, sizeof(client->last_id), "0");
		conn_open(&client->push, &jobs->loop, 0);
		if (jobs->depth == 1 || jobs->plain)
			continue;
		conn_open(&client->wait, &jobs->loop, 0);
		redis_client_wait(state, client, &client->wait);
	}
}

static void redis_list_setup(struct jobs *jobs)
{
	redis_setup(jobs, false);
}

static void redis_stream_setup(struct jobs *jobs)
{
	redis_setup(jobs, true);
}

const struct jobs_driver jobs_redis_list = {"redis-list", redis_list_setup, redis_submit};
const struct jobs_driver jobs_redis_stream = {"redis-stream", redis_stream_setup, redis_submit};
