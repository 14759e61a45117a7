/* The wait that parks against the event that ends it, many times over: no wait may ever be lost.
 *
 * A round has two races on one job, each started in either order with a random gap of a few microseconds, so that the two
 * requests meet at every point of the server's turn, on one loop thread or on two:
 *   claim:  a worker's claim that parks       against  the submit that ends it
 *   wait:   a client's wait for the job       against  the worker's `done` that ends it
 * With `gone`, a round is another race: a claim whose client leaves (RST) against the submit; the job must reach whoever asks
 * next under the same attempt id, at once and not only when a lease is over.
 *
 * With `stream`, a round races an append against a reader at the end of the stream (a long poll, or one poll for many), and
 * against another one who wants a certain key and hears of no other; small appends are gathered and old ones go meanwhile.
 *
 * A request that is not answered in ANSWER_S is a lost wait: the program says round, seed and order, and ends with 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_S = 10,
	LANES = 2,
	JITTER_NS = 40000,
	RECONNECT_ROUNDS = 500, /* new connections land on other loop threads */
	BUFFER_BYTES = 64 * 1024,
	TEXT_BYTES = 160,
};

/* One keep-alive connection and the last answer on it. */
struct peer {
	int fd;
	size_t have;  /* bytes in `bytes` */
	size_t taken; /* of them, those of the answer before */
	int status;
	const char *body;
	size_t body_bytes;
	char bytes[BUFFER_BYTES + 1];
};

struct lane {
	pthread_t thread;
	unsigned index;
	uint64_t random;
	uint64_t rounds;
	uint64_t round;
	const char *what; /* where the lane is, for the message about a failure */
	struct peer client, worker, waiter;
	/* stream: where the two readers stand, and whether the second has asked and not been answered yet */
	char place[TEXT_BYTES], key_place[TEXT_BYTES];
	bool key_waits;
};

static struct sockaddr_in server_address;
static uint64_t seed;
static bool gone_mode, stream_mode;

static void fail(const struct lane *lane, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void fail(const struct lane *lane, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fprintf(stderr, "race: seed %" PRIu64 " lane %u round %" PRIu64 " (%s): ", seed, lane->index, lane->round, lane->what);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static uint64_t random_next(struct lane *lane)
{
	uint64_t x = lane->random;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	lane->random = x;
	return x * 0x2545f4914f6cdd1dULL >> 16;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Lets a random gap pass by turning round and round: a gap of microseconds is too short for anything that yields. */
static void jitter(struct lane *lane)
{
	uint64_t until = now_ns() + random_next(lane) % JITTER_NS;
	while (now_ns() < until) {
	}
}

static void peer_open(struct lane *lane, struct peer *peer)
{
	int one = 1;
	struct timeval limit = {.tv_sec = ANSWER_S};
	peer->have = peer->taken = 0;
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&server_address, sizeof server_address) != 0)
		fail(lane, "connect: %s", strerror(errno));
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

static void peer_close(struct peer *peer, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	if (reset)
		setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(peer->fd);
	peer->fd = -1;
}

static void peer_send(struct lane *lane, struct peer *peer, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void peer_send(struct lane *lane, struct peer *peer, const char *format, ...)
{
	char request[1024];
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(request, sizeof request, format, arguments);
	va_end(arguments);
	if (len < 0 || (size_t)len >= sizeof request)
		fail(lane, "request too long");
	if (send(peer->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		fail(lane, "send: %s", strerror(errno));
}

static void peer_fill(struct lane *lane, struct peer *peer)
{
	if (peer->have == BUFFER_BYTES)
		fail(lane, "answer too long");
	ssize_t got = recv(peer->fd, peer->bytes + peer->have, BUFFER_BYTES - peer->have, 0);
	if (got < 0 && errno == EAGAIN)
		fail(lane, "LOST: no answer in %d s", ANSWER_S);
	if (got <= 0)
		fail(lane, "connection ended: %s", got == 0 ? "end of stream" : strerror(errno));
	peer->have += (size_t)got;
	peer->bytes[peer->have] = '\0';
}

/* Copies a header field's value; fails when there is none. Field names are compared without case. */
static void peer_field(struct lane *lane, const struct peer *peer, const char *name, char ret_value[TEXT_BYTES])
{
	size_t name_len = strlen(name);
	for (const char *line = strstr(peer->bytes, "\r\n"); line && line + 2 < peer->body; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, name_len) != 0 || line[2 + name_len] != ':')
			continue;
		const char *value = line + 3 + name_len + strspn(line + 3 + name_len, " ");
		size_t len = strcspn(value, "\r");
		if (len >= TEXT_BYTES)
			break;
		memcpy(ret_value, value, len);
		ret_value[len] = '\0';
		return;
	}
	fail(lane, "no field %s in %.300s", name, peer->bytes);
}

/* Reads the next answer and checks its status. */
static void peer_answer(struct lane *lane, struct peer *peer, int status)
{
	memmove(peer->bytes, peer->bytes + peer->taken, peer->have - peer->taken);
	peer->have -= peer->taken;
	peer->bytes[peer->have] = '\0';
	const char *end;
	while (!(end = strstr(peer->bytes, "\r\n\r\n")))
		peer_fill(lane, peer);
	peer->body = end + 4;
	peer->body_bytes = 0;
	peer->status = (int)strtol(peer->bytes + sizeof "HTTP/1.1", NULL, 10);
	if (peer->status != 204) {
		char length[TEXT_BYTES];
		peer_field(lane, peer, "content-length", length);
		peer->body_bytes = strtoul(length, NULL, 10);
	}
	peer->taken = (size_t)(peer->body - peer->bytes) + peer->body_bytes;
	while (peer->have < peer->taken)
		peer_fill(lane, peer);
	if (peer->status != status)
		fail(lane, "expected %d, got %.500s", status, peer->bytes);
}

static bool body_holds(const struct peer *peer, const char *text)
{
	return memmem(peer->body, peer->body_bytes, text, strlen(text)) != NULL;
}

/* The job's id: the end of Location. */
static void submitted_id(struct lane *lane, char ret_id[TEXT_BYTES])
{
	char location[TEXT_BYTES];
	peer_field(lane, &lane->client, "location", location);
	const char *id = strrchr(location, '/');
	if (!id || strlen(id + 1) != 32)
		fail(lane, "strange location %s", location);
	memcpy(ret_id, id + 1, 33);
}

static void send_submit(struct lane *lane)
{
	peer_send(lane, &lane->client, "POST /v1/queues/race%u/jobs HTTP/1.1\r\nHost: r\r\nContent-Length: 1\r\n\r\nx",
		  lane->index);
}

static void send_claim(struct lane *lane)
{
	peer_send(lane, &lane->worker,
		  "POST /v1/queues/race%u/claim?wait=50s&lease=1h HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n", lane->index);
}

static void race_claim(struct lane *lane, char ret_id[TEXT_BYTES], char ret_token[TEXT_BYTES])
{
	char claimed[TEXT_BYTES];
	bool claim_first = random_next(lane) & 1;
	lane->what = claim_first ? "claim, then submit" : "submit, then claim";
	claim_first ? send_claim(lane) : send_submit(lane);
	jitter(lane);
	claim_first ? send_submit(lane) : send_claim(lane);
	peer_answer(lane, &lane->client, 202);
	peer_answer(lane, &lane->worker, 200);
	submitted_id(lane, ret_id);
	peer_field(lane, &lane->worker, "job-id", claimed);
	peer_field(lane, &lane->worker, "job-token", ret_token);
	if (strcmp(claimed, ret_id) != 0)
		fail(lane, "submitted %s, claimed %s", ret_id, claimed);
}

enum wait_kind { WAIT_JOB, WAIT_RESULT, WAIT_CHANGE, WAIT_MANY, WAIT_KINDS };

static void send_wait(struct lane *lane, enum wait_kind kind, const char *id)
{
	char body[TEXT_BYTES];
	switch (kind) {
	case WAIT_JOB:
		peer_send(lane, &lane->waiter, "GET /v1/jobs/%s?wait=50s HTTP/1.1\r\nHost: r\r\n\r\n", id);
		break;
	case WAIT_RESULT:
		peer_send(lane, &lane->waiter, "GET /v1/jobs/%s/result?wait=50s HTTP/1.1\r\nHost: r\r\n\r\n", id);
		break;
	case WAIT_CHANGE: /* whatever it sees first, it must not see the end too late: it asks on until there is an end */
		peer_send(lane, &lane->waiter, "GET /v1/jobs/%s?wait=50s&revision=0 HTTP/1.1\r\nHost: r\r\n\r\n", id);
		break;
	case WAIT_MANY:
	case WAIT_KINDS:
	default:
		snprintf(body, sizeof body, "{\"ids\":[\"%s\"],\"mode\":\"all\",\"wait\":\"50s\"}", id);
		peer_send(lane, &lane->waiter,
			  "POST /v1/jobs/wait HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\n"
			  "Content-Length: %zu\r\n\r\n%s",
			  strlen(body), body);
		break;
	}
}

/* Follows a job by its revisions until its end is seen. */
static void follow_changes(struct lane *lane, const char *id)
{
	while (!body_holds(&lane->waiter, "\"state\":\"done\"")) {
		const char *revision = memmem(lane->waiter.body, lane->waiter.body_bytes, "\"revision\":", 11);
		if (!revision)
			fail(lane, "no revision in %.300s", lane->waiter.body);
		peer_send(lane, &lane->waiter, "GET /v1/jobs/%s?wait=50s&revision=%ld HTTP/1.1\r\nHost: r\r\n\r\n", id,
			  strtol(revision + 11, NULL, 10));
		peer_answer(lane, &lane->waiter, 200);
	}
}

static void race_wait(struct lane *lane, const char *id, const char *token)
{
	static const char *const names[WAIT_KINDS][2] = {
		{"done, then wait", "wait, then done"},
		{"done, then result", "result, then done"},
		{"done, then change", "change, then done"},
		{"done, then many", "many, then done"},
	};
	enum wait_kind kind = (enum wait_kind)(random_next(lane) % WAIT_KINDS);
	bool wait_first = random_next(lane) & 1;
	lane->what = names[kind][wait_first];
	if (wait_first) {
		send_wait(lane, kind, id);
		jitter(lane);
	}
	peer_send(lane, &lane->worker,
		  "POST /v1/jobs/%s/done HTTP/1.1\r\nHost: r\r\nJob-Token: %s\r\nContent-Length: 32\r\n\r\n%s", id, token, id);
	if (!wait_first) {
		jitter(lane);
		send_wait(lane, kind, id);
	}
	peer_answer(lane, &lane->worker, 204);
	peer_answer(lane, &lane->waiter, 200);
	if (kind == WAIT_CHANGE)
		follow_changes(lane, id);
	if (kind == WAIT_RESULT ? !body_holds(&lane->waiter, id) : !body_holds(&lane->waiter, "\"state\":\"done\""))
		fail(lane, "job %s is done, told %.500s", id, lane->waiter.body);
}

static void send_claim_under(struct lane *lane, struct peer *peer)
{
	char body[TEXT_BYTES];
	snprintf(body, sizeof body,
		 "{\"queues\":[\"race%u\"],\"max\":1,\"wait\":\"50s\",\"lease\":\"1h\",\"attempt_id\":\"%u-%" PRIu64 "\"}",
		 lane->index, lane->index, lane->round);
	peer_send(lane, peer,
		  "POST /v1/claim HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		  strlen(body), body);
}

static void race_gone(struct lane *lane, char ret_id[TEXT_BYTES], char ret_token[TEXT_BYTES])
{
	bool leave_first = random_next(lane) & 1;
	lane->what = leave_first ? "leave, then submit" : "submit, then leave";
	peer_open(lane, &lane->waiter);
	send_claim_under(lane, &lane->waiter);
	jitter(lane);
	if (leave_first) {
		peer_close(&lane->waiter, random_next(lane) & 1);
		jitter(lane);
	}
	send_submit(lane);
	if (!leave_first) {
		jitter(lane);
		peer_close(&lane->waiter, random_next(lane) & 1);
	}
	send_claim_under(lane, &lane->worker);
	peer_answer(lane, &lane->client, 202);
	submitted_id(lane, ret_id);
	peer_answer(lane, &lane->worker, 200);
	if (!body_holds(&lane->worker, ret_id))
		fail(lane, "submitted %s, claimed %.300s", ret_id, lane->worker.body);
	if (!body_holds(&lane->worker, "\"attempt\":1,") && !body_holds(&lane->worker, "\"attempt\":1}"))
		fail(lane, "an attempt was counted: %.300s", lane->worker.body);
	const char *token = memmem(lane->worker.body, lane->worker.body_bytes, "\"token\":\"", 9);
	if (!token)
		fail(lane, "no token in %.300s", lane->worker.body);
	memcpy(ret_token, token + 9, 13);
	ret_token[13] = '\0';
}

static void stream_make(struct lane *lane)
{
	lane->what = "make";
	peer_send(lane, &lane->client,
		  "PUT /v1/stream/race/%u HTTP/1.1\r\nHost: r\r\nContent-Type: text/plain\r\nStream-Max-Bytes: 100000\r\n"
		  "Content-Length: 0\r\n\r\n",
		  lane->index);
	peer_answer(lane, &lane->client, lane->round ? 200 : 201);
	peer_field(lane, &lane->client, "stream-next-offset", lane->place);
	memcpy(lane->key_place, lane->place, TEXT_BYTES);
	lane->key_waits = false;
}

static void send_poll(struct lane *lane, bool many)
{
	char body[TEXT_BYTES];
	if (!many) {
		peer_send(lane, &lane->waiter,
			  "GET /v1/stream/race/%u?offset=%s&live=long-poll&wait=50s HTTP/1.1\r\nHost: r\r\n\r\n", lane->index,
			  lane->place);
		return;
	}
	snprintf(body, sizeof body, "{\"streams\":{\"race/%u\":\"%.40s\"},\"wait\":\"50s\"}", lane->index, lane->place);
	peer_send(lane, &lane->waiter,
		  "POST /v1/wait HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		  strlen(body), body);
}

static void send_key_poll(struct lane *lane)
{
	if (lane->key_waits)
		return;
	peer_send(lane, &lane->worker,
		  "GET /v1/stream/race/%u?offset=%s&live=long-poll&key=mine&wait=50s HTTP/1.1\r\nHost: r\r\n\r\n", lane->index,
		  lane->key_place);
	lane->key_waits = true;
}

static void race_stream(struct lane *lane)
{
	char text[TEXT_BYTES];
	bool wait_first = random_next(lane) & 1, key_first = random_next(lane) & 1, many = random_next(lane) % 4 == 0;
	bool mine = random_next(lane) % 3 == 0;
	lane->what = wait_first ? "poll, then append" : "append, then poll";
	snprintf(text, sizeof text, "r%" PRIu64 ".", lane->round);
	if (key_first)
		send_key_poll(lane);
	if (wait_first) {
		send_poll(lane, many);
		jitter(lane);
	}
	peer_send(lane, &lane->client,
		  "POST /v1/stream/race/%u HTTP/1.1\r\nHost: r\r\nContent-Type: text/plain\r\nRecord-Key: %s\r\n"
		  "Content-Length: %zu\r\n\r\n%s",
		  lane->index, mine ? "mine" : "other", strlen(text), text);
	if (!wait_first) {
		jitter(lane);
		send_poll(lane, many);
	}
	send_key_poll(lane);
	peer_answer(lane, &lane->client, 204);
	peer_answer(lane, &lane->waiter, 200);
	if (many ? !body_holds(&lane->waiter, text)
		 : lane->waiter.body_bytes != strlen(text) || memcmp(lane->waiter.body, text, strlen(text)) != 0)
		fail(lane, "appended %s, told %.500s", text, lane->waiter.bytes);
	peer_field(lane, &lane->client, "stream-next-offset", lane->place);
	if (!mine)
		return;
	lane->what = "a key";
	peer_answer(lane, &lane->worker, 200);
	if (lane->worker.body_bytes != strlen(text) || memcmp(lane->worker.body, text, strlen(text)) != 0)
		fail(lane, "appended %s under the key, told %.500s", text, lane->worker.bytes);
	peer_field(lane, &lane->worker, "stream-next-offset", lane->key_place);
	lane->key_waits = false;
}

static void *lane_run(void *argument)
{
	struct lane *lane = argument;
	char id[TEXT_BYTES], token[TEXT_BYTES];
	for (lane->round = 0; lane->round < lane->rounds; lane->round++) {
		if (lane->round % RECONNECT_ROUNDS == 0) {
			lane->what = "connect";
			if (lane->round > 0) {
				peer_close(&lane->client, false);
				peer_close(&lane->worker, false);
				if (!gone_mode)
					peer_close(&lane->waiter, false);
			}
			peer_open(lane, &lane->client);
			peer_open(lane, &lane->worker);
			if (!gone_mode)
				peer_open(lane, &lane->waiter);
		}
		if (stream_mode) {
			if (lane->round % RECONNECT_ROUNDS == 0)
				stream_make(lane);
			race_stream(lane);
		} else if (gone_mode) {
			race_gone(lane, id, token);
			peer_send(lane, &lane->worker,
				  "POST /v1/jobs/%s/done HTTP/1.1\r\nHost: r\r\nJob-Token: %s\r\nContent-Length: 0\r\n\r\n", id,
				  token);
			peer_answer(lane, &lane->worker, 204);
		} else {
			race_claim(lane, id, token);
			race_wait(lane, id, token);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct lane lanes[LANES];
	if (argc < 4) {
		fprintf(stderr, "usage: race PORT park|gone|stream ROUNDS [SEED]\n");
		return 2;
	}
	server_address = (struct sockaddr_in){.sin_family = AF_INET,
					      .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
					      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	gone_mode = strcmp(argv[2], "gone") == 0;
	stream_mode = strcmp(argv[2], "stream") == 0;
	uint64_t rounds = strtoull(argv[3], NULL, 10), begin = now_ns();
	seed = argc > 4 ? strtoull(argv[4], NULL, 10) : begin;
	for (unsigned i = 0; i < LANES; i++) {
		lanes[i] = (struct lane){.index = i, .random = seed * 0x9e3779b97f4a7c15ULL + i + 1, .rounds = rounds / LANES};
		if (pthread_create(&lanes[i].thread, NULL, lane_run, &lanes[i]) != 0)
			return 2;
	}
	for (unsigned i = 0; i < LANES; i++)
		pthread_join(lanes[i].thread, NULL);
	printf("%" PRIu64 " rounds %s, seed %" PRIu64 ", %.1f s, none lost\n", rounds, argv[2], seed,
	       (double)(now_ns() - begin) / 1e9);
	return 0;
}
