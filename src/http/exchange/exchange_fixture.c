#include "http/exchange/exchange_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the turn --- */

uint64_t stage_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void stage_turn(struct stage *stage, unsigned wait_ms)
{
	struct mail_list list;
	struct mail *mail;
	bool busy = true;
	int turns = 0;

	assert_int_equal(loop_poll(stage->loop, wait_ms ? stage_now_ms() + wait_ms : 0), 0);
	list = loop_take_mail(stage->loop);
	while ((mail = mail_pop(&list)))
		http_thread_mail(stage->http, mail);
	while (busy) {
		busy = stage->turn && stage->turn(stage);
		busy = http_thread_flush(stage->http) || busy;
		assert_true(++turns < 10000); /* else it spins */
	}
}

void stage_wait(struct stage *stage, uint64_t end_ms)
{
	assert_true(stage_now_ms() < end_ms);
	stage_turn(stage, 10);
}

void stage_rest(struct stage *stage)
{
	/* Loopback delivers before send returns, or in the next soft interrupt; some turns leave room for both. */
	for (int quiet = 0; quiet < 5; quiet++)
		stage_turn(stage, 1);
}

struct http_thread_stats stage_stats(const struct stage *stage)
{
	struct http_thread_stats stats;

	http_thread_stats(stage->http, &stats);
	return stats;
}

/* --- setting it --- */

static void blob_release(void *ctx, const struct body_ref *blob)
{
	struct stage *stage = ctx;

	assert_int_equal(blob->kind, BODY_BLOB);
	stage->blobs_released++;
}

static void listen_on(struct stage *stage)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	stage->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(stage->listen_fd >= 0);
	assert_int_equal(bind(stage->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(stage->listen_fd, 1024), 0);
}

int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	signal(SIGPIPE, SIG_IGN); /* net/stream.h */
	assert_int_equal(loop_new(&stage->loop), 0);
	listen_on(stage);
	stage->store.ops = &stage_store;
	stage->config = (struct http_config){
		.limits = {.header_count = 64,
			   .header_bytes = 16 * 1024,
			   .target_bytes = 8 * 1024,
			   .pipeline = 64,
			   .header_timeout_ms = 10000,
			   .body_timeout_ms = 30000,
			   .idle_timeout_ms = 75000,
			   .write_timeout_ms = 30000,
			   .output_bytes = 256 * 1024,
			   .body_bytes = (uint64_t)64 << 30},
		.handler = &stage_door,
		.store = &stage->store,
		.blob_release = blob_release,
		.ctx = stage,
		.cors_origin = SLICE(""),
	};
	assert_int_equal(http_thread_new(stage->loop, 3, &stage->config, stage, &stage->http), 0);
	*state = stage;
	return 0;
}

void stage_configure(struct stage *stage)
{
	http_thread_configure(stage->http, &stage->config);
}

void stage_reset(struct stage *stage)
{
	http_thread_free(stage->http);
	assert_int_equal(http_thread_new(stage->loop, 3, &stage->config, stage, &stage->http), 0);
	stage->entry_count = 0;
	stage->said_len = 0;
}

int stage_teardown(void **state)
{
	struct stage *stage = *state;

	http_thread_free(stage->http);
	assert_int_equal(stage->pins_open, 0);
	assert_int_equal(stage->blobs_open, stage->blobs_discarded + stage->blobs_sealed);
	loop_free(stage->loop);
	close(stage->listen_fd);
	free(stage);
	return 0;
}

void expect_said(struct stage *stage, const char *text)
{
	UNTIL(stage, stage->said_len >= strlen(text));
	stage->said[stage->said_len] = '\0';
	assert_string_equal(stage->said, text);
	stage->said_len = 0;
}

/* --- clients --- */

static struct peer *open_with(struct stage *stage, int buffer_bytes)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd;

	assert_non_null(peer);
	assert_int_equal(getsockname(stage->listen_fd, (struct sockaddr *)&address, &len), 0);
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (buffer_bytes)
		assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
	assert_int_equal(connect(peer->fd, (struct sockaddr *)&address, len), 0);
	fd = accept4(stage->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	if (buffer_bytes)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
	http_thread_accept(stage->http, fd);
	return peer;
}

struct peer *peer_open(struct stage *stage)
{
	return open_with(stage, 0);
}

struct peer *peer_open_slow(struct stage *stage)
{
	return open_with(stage, 4096);
}

size_t peer_try(struct peer *peer, const void *bytes, size_t len)
{
	ssize_t sent = send(peer->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN) {
		peer->ended = true;
		peer->error = errno;
	}
	return sent > 0 ? (size_t)sent : 0;
}

void peer_say_bytes(struct stage *stage, struct peer *peer, const void *bytes, size_t len)
{
	uint64_t end_ms = stage_now_ms() + STAGE_PATIENCE_MS;
	size_t at = 0;

	while (at < len && !peer->ended) {
		size_t sent = peer_try(peer, (const char *)bytes + at, len - at);

		at += sent;
		if (!sent)
			stage_turn(stage, 1);
		assert_true(stage_now_ms() < end_ms);
	}
}

void peer_say(struct stage *stage, struct peer *peer, const char *text)
{
	peer_say_bytes(stage, peer, text, strlen(text));
}

void peer_pull(struct peer *peer)
{
	ssize_t count;

	do {
		if (peer->cap - peer->len < 65536) {
			peer->cap = peer->cap * 2 + 65536;
			peer->in = realloc(peer->in, peer->cap);
			assert_non_null(peer->in);
		}
		count = recv(peer->fd, peer->in + peer->len, peer->cap - peer->len, MSG_DONTWAIT);
		if (count > 0)
			peer->len += (size_t)count;
	} while (count > 0);
	if (count == 0 || errno != EAGAIN) {
		peer->ended = true;
		peer->error = count < 0 ? errno : 0;
	}
}

/* The length of the answer that stands first, body and all; 0: it is not whole yet. */
static size_t answer_len(const struct peer *peer, bool without_body, struct heard *ret_heard)
{
	const char *end = peer->len ? memmem(peer->in, peer->len, "\r\n\r\n", 4) : NULL, *length;
	size_t head_len;

	if (!end)
		return 0;
	head_len = (size_t)(end - peer->in) + 4;
	assert_true(head_len < sizeof(ret_heard->head));
	memcpy(ret_heard->head, peer->in, head_len);
	ret_heard->head[head_len] = '\0';
	assert_memory_equal(ret_heard->head, "HTTP/1.1 ", 9);
	ret_heard->status = (int)strtol(ret_heard->head + 9, NULL, 10);
	length = strstr(ret_heard->head, "\r\nContent-Length: ");
	ret_heard->body_len = length && !without_body ? strtoull(length + 18, NULL, 10) : 0;
	return peer->len - head_len >= ret_heard->body_len ? head_len + ret_heard->body_len : 0;
}

bool peer_look(struct peer *peer, bool without_body, struct heard *ret_heard)
{
	size_t len;

	peer_pull(peer);
	len = answer_len(peer, without_body, ret_heard);
	if (!len)
		return false;
	free(peer->body);
	peer->body = malloc(ret_heard->body_len + 1);
	assert_non_null(peer->body);
	memcpy(peer->body, peer->in + len - ret_heard->body_len, ret_heard->body_len);
	peer->body[ret_heard->body_len] = '\0';
	ret_heard->body = peer->body;
	peer->len -= len;
	memmove(peer->in, peer->in + len, peer->len);
	return true;
}

static bool look(struct peer *peer, bool without_body, struct heard *ret_heard)
{
	bool whole = peer_look(peer, without_body, ret_heard);

	if (!whole && peer->ended)
		fail_msg("the connection ended before the answer: %s", strerror(peer->error));
	return whole;
}

static void hear(struct stage *stage, struct peer *peer, bool without_body, struct heard *ret_heard)
{
	UNTIL(stage, look(peer, without_body, ret_heard));
}

void peer_hear(struct stage *stage, struct peer *peer, struct heard *ret_heard)
{
	hear(stage, peer, false, ret_heard);
}

void peer_hear_head(struct stage *stage, struct peer *peer, struct heard *ret_heard)
{
	hear(stage, peer, true, ret_heard);
}

void expect_heard(struct stage *stage, struct peer *peer, int status, const char *body)
{
	struct heard heard;

	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, status);
	assert_int_equal(heard.body_len, strlen(body));
	assert_memory_equal(heard.body, body, heard.body_len);
}

void expect_status(struct stage *stage, struct peer *peer, int status)
{
	struct heard heard;

	peer_hear(stage, peer, &heard);
	assert_int_equal(heard.status, status);
}

bool heard_has(const struct heard *heard, const char *line)
{
	const char *at = strstr(heard->head, line);

	return at && at > heard->head && at[-1] == '\n' && strncmp(at + strlen(line), "\r\n", 2) == 0;
}

void expect_end(struct stage *stage, struct peer *peer)
{
	UNTIL(stage, (peer_pull(peer), peer->ended));
	assert_int_equal(peer->error, 0);
	assert_int_equal(peer->len, 0);
}

void peer_finish(struct peer *peer)
{
	assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
}

struct peer *peer_close(struct peer *peer)
{
	if (!peer)
		return NULL;
	close(peer->fd);
	free(peer->in);
	free(peer->body);
	free(peer);
	return NULL;
}

void peer_reset(struct peer *peer)
{
	struct linger linger = {.l_onoff = 1};

	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	peer_close(peer);
}
