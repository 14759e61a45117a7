/*
 * NATS JetStream, by its own text protocol. A work-queue stream for the jobs with one pull consumer that the workers share, a
 * stream for the results with a push consumer for each client, both on file storage. Publishing is acknowledged by the server;
 * a worker publishes the result and acknowledges the job in one write. JetStream writes to its files and syncs every two
 * minutes: what it acknowledges survives its own death, not the machine's.
 */
#include "jobs.h"

#include "nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PULL_SECONDS 30

enum nats_sid {
	SID_ACK = NATS_SID_ACK, /* acknowledgements of what was published */
	SID_RESULT,             /* results to a client, jobs to a worker */
};

struct nats_worker {
	struct conn conn;
	uint32_t credit_count; /* jobs asked for and not yet come */
	uint32_t acks_count;   /* published and not yet acknowledged */
	uint32_t tags_first;
	char tags[JOBS_DEPTH_MAX * 2][JOBS_TAG_BYTES]; /* plain: of the acknowledgements under way, a ring */
};

struct nats_state {
	struct jobs *jobs;
	struct conn *clients;
	struct nats_worker *workers;
};

/* ---- clients ---- */

static void nats_submit(struct jobs *jobs, uint32_t slot)
{
	struct nats_state *state = jobs->state;
	uint32_t client = slot / jobs->depth;
	char inbox[32];
	snprintf(inbox, sizeof(inbox), "ack.c%u", client);
	nats_publish(&state->clients[client], "jobs", inbox, jobs_body(jobs, slot), jobs->body_bytes);
}

static void nats_client_input(struct conn *conn, uint64_t now_ns)
{
	struct nats_state *state = conn->owner;
	struct nats_message message;
	size_t len;
	while ((len = nats_parse(conn, &message)) > 0) {
		if (message.sid == SID_ACK)
			nats_check_ack(&message);
		if (message.sid == SID_RESULT)
			jobs_finish(state->jobs, message.payload, message.payload_len, now_ns);
		bytes_consume(&conn->in, len);
	}
}

/* ---- workers ---- */

static void nats_worker_pull(struct nats_state *state, struct nats_worker *worker)
{
	char request[96];
	uint32_t batch = state->jobs->depth - worker->credit_count;
	int len = snprintf(request, sizeof(request), "{\"batch\":%u,\"expires\":%d000000000}", batch, PULL_SECONDS);
	char inbox[32];
	snprintf(inbox, sizeof(inbox), "job.w%u", worker->conn.index);
	nats_publish(&worker->conn, "$JS.API.CONSUMER.MSG.NEXT.JOBS.W", inbox, request, (size_t)len);
	worker->credit_count += batch;
}

static void nats_worker_finish(struct nats_state *state, struct nats_worker *worker, const struct nats_message *message)
{
	struct jobs *jobs = state->jobs;
	char inbox[32];
	char subject[256];
	snprintf(inbox, sizeof(inbox), "ack.w%u", worker->conn.index);
	if (!jobs->plain) {
		snprintf(subject, sizeof(subject), "results.%u", jobs_client(jobs, message->payload));
		nats_publish(&worker->conn, subject, inbox, jobs_result(jobs, message->payload), jobs->body_bytes);
	}
	snprintf(subject, sizeof(subject), "%.*s", (int)message->reply_len, message->reply);
	nats_publish(&worker->conn, subject, jobs->plain ? inbox : "", "+ACK", 4);
	uint32_t tags_max = sizeof(worker->tags) / sizeof(worker->tags[0]);
	memcpy(worker->tags[(worker->tags_first + worker->acks_count++) % tags_max], message->payload, JOBS_TAG_BYTES);
}

static void nats_worker_message(struct nats_state *state, struct nats_worker *worker, const struct nats_message *message,
				uint64_t now_ns)
{
	struct jobs *jobs = state->jobs;
	if (message->sid == SID_RESULT && message->headers_len > 0) {
		worker->credit_count = 0; /* the pull ran out */
	} else if (message->sid == SID_RESULT) {
		worker->credit_count--;
		nats_worker_finish(state, worker, message);
	} else if (message->sid == SID_ACK) {
		nats_check_ack(message);
		const char *tag = worker->tags[worker->tags_first];
		worker->tags_first = (worker->tags_first + 1) % (sizeof(worker->tags) / sizeof(worker->tags[0]));
		worker->acks_count--;
		if (jobs->plain)
			jobs_finish(jobs, tag, JOBS_TAG_BYTES, now_ns);
	}
}

static void nats_worker_input(struct conn *conn, uint64_t now_ns)
{
	struct nats_state *state = conn->owner;
	struct nats_worker *worker = &state->workers[conn->index];
	struct nats_message message;
	size_t len;
	while ((len = nats_parse(conn, &message)) > 0) {
		nats_worker_message(state, worker, &message, now_ns);
		bytes_consume(&conn->in, len);
	}
	/* One at a time: the next job is asked for when the last is acknowledged. Many: when half are used up. */
	uint32_t depth = state->jobs->depth;
	if (depth == 1 ? worker->credit_count == 0 && worker->acks_count == 0 : worker->credit_count <= depth / 2)
		nats_worker_pull(state, worker);
}

/* ---- setup ---- */

static void nats_prepare(struct jobs *jobs)
{
	static const char jobs_stream[] =
		"{\"name\":\"JOBS\",\"subjects\":[\"jobs\"],\"retention\":\"workqueue\",\"storage\":\"file\"}";
	static const char results_stream[] =
		"{\"name\":\"RESULTS\",\"subjects\":[\"results.*\"],\"retention\":\"limits\",\"storage\":\"file\"}";
	static const char pull[] = "{\"stream_name\":\"JOBS\",\"config\":{\"durable_name\":\"W\",\"ack_policy\":\"explicit\","
				   "\"ack_wait\":60000000000,\"max_ack_pending\":100000,\"deliver_policy\":\"all\"}}";
	struct nats_setup setup;
	struct conn conn;
	nats_setup_open(&conn, &setup, &jobs->loop);
	nats_api(&conn, "STREAM.DELETE.JOBS", "");
	nats_api(&conn, "STREAM.DELETE.RESULTS", "");
	nats_api(&conn, "STREAM.CREATE.JOBS", jobs_stream);
	nats_api(&conn, "STREAM.CREATE.RESULTS", results_stream);
	nats_api(&conn, "CONSUMER.DURABLE.CREATE.JOBS.W", pull);
	for (uint32_t i = 0; i < jobs->clients_count; i++) {
		char push[256];
		snprintf(push, sizeof(push),
			 "{\"stream_name\":\"RESULTS\",\"config\":{\"deliver_subject\":\"result.c%u\",\"filter_subject\":"
			 "\"results.%u\",\"ack_policy\":\"none\",\"deliver_policy\":\"all\"}}",
			 i, i);
		nats_api(&conn, "CONSUMER.CREATE.RESULTS", push);
	}
	conn_close(&conn);
}

static void nats_setup(struct jobs *jobs)
{
	struct nats_state *state = jobs_alloc(1, sizeof(*state));
	jobs->state = state;
	state->jobs = jobs;
	state->clients = jobs_alloc(jobs->clients_count, sizeof(*state->clients));
	state->workers = jobs_alloc(jobs->workers_count, sizeof(*state->workers));
	/* Clients first: a push consumer without anyone who listens is taken away. */
	for (uint32_t i = 0; i < jobs->clients_count; i++) {
		struct conn *conn = &state->clients[i];
		*conn = (struct conn){.owner = state, .index = i, .on_input = nats_client_input};
		nats_open(conn, &jobs->loop);
		conn_printf(conn, "SUB result.c%u %d\r\nSUB ack.c%u %d\r\n", i, SID_RESULT, i, SID_ACK);
	}
	nats_prepare(jobs);
	for (uint32_t i = 0; i < jobs->workers_count; i++) {
		struct nats_worker *worker = &state->workers[i];
		worker->conn = (struct conn){.owner = state, .index = i, .on_input = nats_worker_input};
		nats_open(&worker->conn, &jobs->loop);
		conn_printf(&worker->conn, "SUB job.w%u %d\r\nSUB ack.w%u %d\r\n", i, SID_RESULT, i, SID_ACK);
		nats_worker_pull(state, worker);
	}
}

const struct jobs_driver jobs_nats = {"nats", nats_setup, nats_submit};
