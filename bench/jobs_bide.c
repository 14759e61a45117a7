/*
 * bide. A client with one job under way submits with `Prefer: wait` and is answered with the result. One with many pipelines its
 * submits on one connection and its waits for the results on another. A worker that takes one job at a time uses the one-job
 * claim; one that takes many uses POST /v1/claim and pipelines its completions with the next claim behind them.
 */
#include "jobs.h"

#include "http.h"
#include "json.h"

#include <stdio.h>
#include <string.h>

struct bide_client {
	struct conn submit;
	struct conn wait;
};

struct bide_worker {
	struct conn conn;
	bool claiming; /* the answer after those to the completions is a claim's */
	uint32_t dones_count;
	uint32_t acked_count;
	char tags[JOBS_DEPTH_MAX][JOBS_TAG_BYTES]; /* of the completions not yet acknowledged, in order */
	char claim[256];
	int claim_len;
};

struct bide_state {
	struct jobs *jobs;
	struct bide_client *clients;
	struct bide_worker *workers;
};

static void bide_submit(struct jobs *jobs, uint32_t slot)
{
	struct bide_state *state = jobs->state;
	struct conn *conn = &state->clients[slot / jobs->depth].submit;
	bool waits = jobs->depth == 1 && !jobs->plain;
	conn_printf(conn, "POST /v1/queues/bench/jobs HTTP/1.1\r\nHost: bench\r\n%sContent-Length: %u\r\n\r\n",
		    waits ? "Prefer: wait=30\r\n" : "", jobs->body_bytes);
	conn_write(conn, jobs_body(jobs, slot), jobs->body_bytes);
}

static void bide_client_answer(struct jobs *jobs, struct bide_client *client, const struct http_answer *answer, uint64_t now_ns)
{
	const char *location;
	if (jobs->depth == 1 && !jobs->plain) {
		http_expect(answer, 200, "submit and wait");
		jobs_finish(jobs, answer->body, answer->body_len, now_ns);
		return;
	}
	http_expect(answer, 202, "submit");
	if (jobs->plain)
		return;
	size_t location_len = http_header(answer, "Location", &location);
	if (location_len == 0)
		loop_die("a submit's answer without Location: %.*s", (int)answer->head_len, answer->head);
	conn_printf(&client->wait, "GET %.*s/result?wait=30s HTTP/1.1\r\nHost: bench\r\n\r\n", (int)location_len, location);
}

static void bide_submit_input(struct conn *conn, uint64_t now_ns)
{
	struct bide_state *state = conn->owner;
	struct http_answer answer;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer)) > 0) {
		bide_client_answer(state->jobs, &state->clients[conn->index], &answer, now_ns);
		bytes_consume(&conn->in, len);
	}
}

static void bide_wait_input(struct conn *conn, uint64_t now_ns)
{
	struct bide_state *state = conn->owner;
	struct http_answer answer;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer)) > 0) {
		http_expect(&answer, 200, "wait for a result");
		jobs_finish(state->jobs, answer.body, answer.body_len, now_ns);
		bytes_consume(&conn->in, len);
	}
}

static void bide_worker_claim(struct bide_worker *worker)
{
	conn_write(&worker->conn, worker->claim, (size_t)worker->claim_len);
	worker->claiming = true;
}

static void bide_worker_done(struct jobs *jobs, struct bide_worker *worker, const char *id, const char *token, const char *tag)
{
	if (worker->dones_count == JOBS_DEPTH_MAX)
		loop_die("more jobs in a claim than were asked for");
	memcpy(worker->tags[worker->dones_count++], tag, JOBS_TAG_BYTES);
	uint32_t result_bytes = jobs->plain ? 0 : jobs->body_bytes;
	conn_printf(&worker->conn, "POST /v1/jobs/%s/done HTTP/1.1\r\nHost: bench\r\nJob-Token: %s\r\nContent-Length: %u\r\n\r\n",
		    id, token, result_bytes);
	conn_write(&worker->conn, jobs_result(jobs, tag), result_bytes);
}

static void bide_claimed_one(struct jobs *jobs, struct bide_worker *worker, const struct http_answer *answer)
{
	char id[64];
	char token[64];
	if (answer->body_len < JOBS_TAG_BYTES || !http_header_copy(answer, "Job-Id", id, sizeof(id)) ||
	    !http_header_copy(answer, "Job-Token", token, sizeof(token)))
		loop_die("a claim without Job-Id, Job-Token or body: %.*s", (int)answer->head_len, answer->head);
	bide_worker_done(jobs, worker, id, token, answer->body);
}

static void bide_claimed_many(struct jobs *jobs, struct bide_worker *worker, const struct http_answer *answer)
{
	struct json_cursor cursor = {answer->body, answer->body + answer->body_len};
	char id[64];
	char token[64];
	char tag[JOBS_TAG_BYTES];
	const char *text;
	size_t text_len;
	while (json_next_copy(&cursor, "id", id, sizeof(id))) {
		if (!json_next_copy(&cursor, "token", token, sizeof(token)) ||
		    !json_next_text(&cursor, "body_base64", &text, &text_len) ||
		    json_base64(text, text_len, tag, sizeof(tag)) != sizeof(tag))
			loop_die("a claim without token or body: %.*s", (int)answer->body_len, answer->body);
		bide_worker_done(jobs, worker, id, token, tag);
	}
	if (worker->dones_count == 0)
		loop_die("a claim without jobs: %.*s", (int)answer->body_len, answer->body);
	bide_worker_claim(worker);
}

/* Completions are answered first, then the claim behind them. */
static void bide_worker_answer(struct bide_state *state, struct bide_worker *worker, const struct http_answer *answer,
			       uint64_t now_ns)
{
	struct jobs *jobs = state->jobs;
	if (worker->acked_count < worker->dones_count) {
		http_expect(answer, 204, "completion");
		const char *tag = worker->tags[worker->acked_count++];
		if (jobs->plain)
			jobs_finish(jobs, tag, JOBS_TAG_BYTES, now_ns);
		if (worker->acked_count == worker->dones_count) {
			worker->dones_count = 0;
			worker->acked_count = 0;
			if (!worker->claiming)
				bide_worker_claim(worker);
		}
		return;
	}
	worker->claiming = false;
	if (answer->status == 204) {
		bide_worker_claim(worker);
		return;
	}
	http_expect(answer, 200, "claim");
	if (jobs->depth == 1)
		bide_claimed_one(jobs, worker, answer);
	else
		bide_claimed_many(jobs, worker, answer);
}

static void bide_worker_input(struct conn *conn, uint64_t now_ns)
{
	struct bide_state *state = conn->owner;
	struct bide_worker *worker = &state->workers[conn->index];
	struct http_answer answer;
	size_t len;
	while (bytes_len(&conn->in) > 0 && (len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer)) > 0) {
		bide_worker_answer(state, worker, &answer, now_ns);
		bytes_consume(&conn->in, len);
	}
}

static void bide_worker_init(struct bide_state *state, uint32_t index)
{
	struct bide_worker *worker = &state->workers[index];
	static const char one[] = "POST /v1/queues/bench/claim?wait=30s HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n";
	static const char body[] = "{\"queues\":[\"bench\"],\"max\":64,\"wait\":\"30s\"}";
	if (state->jobs->depth == 1)
		worker->claim_len = snprintf(worker->claim, sizeof(worker->claim), "%s", one);
	else
		worker->claim_len = snprintf(worker->claim, sizeof(worker->claim),
					     "POST /v1/claim HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
					     "Content-Length: %zu\r\n\r\n%s",
					     sizeof(body) - 1, body);
	worker->conn = (struct conn){.owner = state, .index = index, .on_input = bide_worker_input};
	conn_open(&worker->conn, &state->jobs->loop, 0);
	bide_worker_claim(worker);
}

static void bide_setup(struct jobs *jobs)
{
	struct bide_state *state = jobs_alloc(1, sizeof(*state));
	jobs->state = state;
	state->jobs = jobs;
	state->clients = jobs_alloc(jobs->clients_count, sizeof(*state->clients));
	state->workers = jobs_alloc(jobs->workers_count, sizeof(*state->workers));
	for (uint32_t i = 0; i < jobs->workers_count; i++)
		bide_worker_init(state, i);
	for (uint32_t i = 0; i < jobs->clients_count; i++) {
		state->clients[i].submit = (struct conn){.owner = state, .index = i, .on_input = bide_submit_input};
		state->clients[i].wait = (struct conn){.owner = state, .index = i, .on_input = bide_wait_input};
		conn_open(&state->clients[i].submit, &jobs->loop, 0);
		if (jobs->depth > 1 && !jobs->plain)
			conn_open(&state->clients[i].wait, &jobs->loop, 0);
	}
}

const struct jobs_driver jobs_bide = {"bide", bide_setup, bide_submit};
