/*
 * NATS JetStream, by its own text protocol. A work-queue stream for the jobs with one pull consumer that the workers share, a
 * stream for the results with a push consumer for each client, both on file storage. Publishing is acknowledged by the server;
 * a worker publishes the result and acknowledges the job in one write. JetStream writes to its files and syncs every two
 * minutes: what it acknowledges survives its own death, not the machine's.
 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_TIMEOUT_NS 10000000000ull
#define PULL_SECONDS     30

enum nats_sid {
	SID_RESULT = 1, /* results to a client, jobs to a worker */
	SID_ACK = 2,    /* acknowledgements of what was published */
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

/* One message, or one line of the protocol without a payload (sid 0). */
struct nats_message {
	uint32_t sid;
	const char *line;
	size_t line_len;
	const char *reply; /* where to answer; reply_len 0 when nowhere */
	size_t reply_len;
	const char *payload;
	size_t payload_len;
	size_t headers_len; /* a message with headers is a status: no job, no result */
};

/* MSG subject sid [reply] bytes, HMSG subject sid [reply] header-bytes bytes */
static size_t nats_message_parse(struct nats_message *message, size_t available)
{
	const char *words[6];
	size_t lens[6];
	uint32_t count = 0;
	const char *at = message->line;
	const char *end = message->line + message->line_len - 2;
	while (at < end && count < 6) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		words[count] = at;
		lens[count++] = (size_t)((space ? space : end) - at);
		at = space ? space + 1 : end;
	}
	bool headers = message->line[0] == 'H';
	uint32_t fixed = headers ? 5 : 4;
	if (count != fixed && count != fixed + 1)
		loop_die("nats: %.*s", (int)message->line_len, message->line);
	message->sid = (uint32_t)strtoul(words[2], NULL, 10);
	if (count == fixed + 1) {
		message->reply = words[3];
		message->reply_len = lens[3];
	}
	message->headers_len = headers ? strtoul(words[count - 2], NULL, 10) : 0;
	message->payload = end + 2;
	message->payload_len = strtoul(words[count - 1], NULL, 10);
	size_t total = message->line_len + message->payload_len + 2;
	return total <= available ? total : 0;
}

static size_t nats_parse(struct conn *conn, struct nats_message *ret_message)
{
	const char *data = bytes_head(&conn->in);
	size_t len = bytes_len(&conn->in);
	const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
	if (!end)
		return 0;
	*ret_message = (struct nats_message){.line = data, .line_len = (size_t)(end - data) + 1};
	if (memcmp(data, "-ERR", 4) == 0)
		loop_die("nats: %.*s", (int)ret_message->line_len, data);
	if (memcmp(data, "PING", 4) == 0)
		conn_write(conn, "PONG\r\n", 6);
	if (memcmp(data, "MSG ", 4) == 0 || memcmp(data, "HMSG", 4) == 0)
		return nats_message_parse(ret_message, len);
	return ret_message->line_len;
}

static void nats_open(struct jobs *jobs, struct conn *conn)
{
	conn_open(conn, &jobs->loop, 0);
	conn_printf(conn, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"lang\":\"c\",\"version\":\"1\"}\r\n");
}

static void nats_publish(struct conn *conn, const char *subject, const char *reply, const char *payload, size_t payload_len)
{
	conn_printf(conn, "PUB %s %s %zu\r\n", subject, reply, payload_len);
	conn_write(conn, payload, payload_len);
	conn_write(conn, "\r\n", 2);
}

static void nats_check_ack(const struct nats_message *message)
{
	if (message->headers_len > 0 || memmem(message->payload, message->payload_len, "\"error\"", 7))
		loop_die("nats refused: %.*s", (int)message->payload_len, message->payload);
}

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

struct nats_setup {
	bool answered;
};

static void nats_setup_input(struct conn *conn, uint64_t now_ns)
{
	struct nats_setup *setup = conn->owner;
	struct nats_message message;
	size_t len;
	(void)now_ns;
	while ((len = nats_parse(conn, &message)) > 0) {
		if (message.sid == SID_ACK) {
			/* Deleting what is not there is the one refusal to expect. */
			if (!memmem(message.payload, message.payload_len, "stream not found", 16))
				nats_check_ack(&message);
			setup->answered = true;
		}
		bytes_consume(&conn->in, len);
	}
}

static void nats_api(struct conn *conn, const char *call, const char *request)
{
	struct nats_setup *setup = conn->owner;
	char subject[128];
	snprintf(subject, sizeof(subject), "$JS.API.%s", call);
	setup->answered = false;
	nats_publish(conn, subject, "api", request, strlen(request));
	if (!loop_until(conn->loop, &setup->answered, loop_now_ns() + SETUP_TIMEOUT_NS))
		loop_die("nats does not answer to %s", call);
}

static void nats_prepare(struct jobs *jobs)
{
	static const char jobs_stream[] =
		"{\"name\":\"JOBS\",\"subjects\":[\"jobs\"],\"retention\":\"workqueue\",\"storage\":\"file\"}";
	static const char results_stream[] =
		"{\"name\":\"RESULTS\",\"subjects\":[\"results.*\"],\"retention\":\"limits\",\"storage\":\"file\"}";
	static const char pull[] = "{\"stream_name\":\"JOBS\",\"config\":{\"durable_name\":\"W\",\"ack_policy\":\"explicit\","
				   "\"ack_wait\":60000000000,\"max_ack_pending\":100000,\"deliver_policy\":\"all\"}}";
	struct nats_setup setup = {0};
	struct conn conn = {.owner = &setup, .on_input = nats_setup_input};
	nats_open(jobs, &conn);
	conn_printf(&conn, "SUB api %d\r\n", SID_ACK);
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
		nats_open(jobs, conn);
		conn_printf(conn, "SUB result.c%u %d\r\nSUB ack.c%u %d\r\n", i, SID_RESULT, i, SID_ACK);
	}
	nats_prepare(jobs);
	for (uint32_t i = 0; i < jobs->workers_count; i++) {
		struct nats_worker *worker = &state->workers[i];
		worker->conn = (struct conn){.owner = state, .index = i, .on_input = nats_worker_input};
		nats_open(jobs, &worker->conn);
		conn_printf(&worker->conn, "SUB job.w%u %d\r\nSUB ack.w%u %d\r\n", i, SID_RESULT, i, SID_ACK);
		nats_worker_pull(state, worker);
	}
}

const struct jobs_driver jobs_nats = {"nats", nats_setup, nats_submit};
