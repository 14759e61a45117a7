/*
 * The floor under a fan-out: nothing a server could leave away is left in. It keeps the sockets of everyone who asked (GET) in
 * an array and, when told (POST), writes the same answer to each with one write(), in one loop. HTTP-shaped, so that the same
 * generator measures it; each request must come in one segment, which ours do. GET /parked answers how many are parked.
 * With --stay 1 everyone is answered with a head at once and stays: what is written is one more chunk, an event.
 */
#include "floor.h"

#include "loop.h"
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_COUNT 256

struct bare {
	struct floor_server server;
	int *parked; /* owned */
	uint32_t parked_count;
	uint32_t parked_capacity;
	bool stay;
	char *answer; /* owned */
	size_t answer_bytes;
};

/* ---- what the floors have in common ---- */

void floor_say(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) != (ssize_t)len && errno != EPIPE && errno != ECONNRESET)
		loop_die("write: %s", strerror(errno));
}

static void floor_accept(const struct floor_server *server)
{
	int one = 1;
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | (server->blocking ? 0 : SOCK_NONBLOCK));
	if (fd < 0)
		loop_die("accept: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		loop_die("epoll_ctl: %s", strerror(errno));
}

static void floor_listen(struct floor_server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = server->listen_fd};
	if (server->listen_fd < 0 || bind(server->listen_fd, (struct sockaddr *)&address, len) < 0 ||
	    listen(server->listen_fd, 4096) < 0 || getsockname(server->listen_fd, (struct sockaddr *)&address, &len) < 0 ||
	    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &event) < 0)
		loop_die("listen: %s", strerror(errno));
	printf("listening http 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
}

_Noreturn void floor_serve(struct floor_server *server)
{
	struct epoll_event events[EVENTS_COUNT];
	signal(SIGTERM, SIG_DFL);
	floor_listen(server);
	for (;;) {
		int count = epoll_wait(server->epoll_fd, events, EVENTS_COUNT, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == server->listen_fd)
				floor_accept(server);
			else
				server->on_readable(server, events[i].data.fd);
		}
	}
}

/* ---- the floor under a fan-out ---- */

static void bare_answer_count(const struct bare *bare, int fd)
{
	char text[128];
	char number[16];
	int number_len = snprintf(number, sizeof(number), "%u", bare->parked_count);
	int len = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", number_len, number);
	floor_say(fd, text, (size_t)len);
}

static void bare_release(struct bare *bare)
{
	for (uint32_t i = 0; i < bare->parked_count; i++)
		floor_say(bare->parked[i], bare->answer, bare->answer_bytes);
	if (!bare->stay)
		bare->parked_count = 0;
}

static void bare_park(struct bare *bare, int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
	if (bare->parked_count == bare->parked_capacity)
		loop_die("more than %u wait", bare->parked_capacity);
	bare->parked[bare->parked_count++] = fd;
	if (bare->stay)
		floor_say(fd, head, sizeof(head) - 1);
}

static void bare_request(struct floor_server *server, int fd)
{
	struct bare *bare = (struct bare *)server;
	static const char done[] = "HTTP/1.1 204 No Content\r\n\r\n";
	char request[4096];
	ssize_t got = read(fd, request, sizeof(request));
	if (got <= 0) {
		close(fd);
		return;
	}
	if (request[0] == 'P') {
		bare_release(bare);
		floor_say(fd, done, sizeof(done) - 1);
	} else if (got > 11 && memcmp(request, "GET /parked", 11) == 0) {
		bare_answer_count(bare, fd);
	} else {
		bare_park(bare, fd);
	}
}

/* An answer of exactly the wanted size, headers included. */
static void bare_make_answer(struct bare *bare, uint32_t answer_bytes)
{
	char head[96];
	int head_len = 0;
	uint32_t body_len = answer_bytes;
	do {
		head_len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", body_len--);
	} while ((uint32_t)head_len + body_len + 1 > answer_bytes && body_len > 0);
	bare->answer_bytes = (size_t)head_len + body_len + 1;
	bare->answer = malloc(bare->answer_bytes);
	if (!bare->answer)
		loop_die("out of memory");
	memset(bare->answer, '.', bare->answer_bytes);
	memcpy(bare->answer, head, (size_t)head_len);
}

/* An event in a chunk of its own, of exactly the wanted size. */
static void bare_make_event(struct bare *bare, uint32_t answer_bytes)
{
	static const char begin[] = "data:";
	char head[16];
	int head_len = 0;
	uint32_t chunk_bytes = answer_bytes > 32 ? answer_bytes : 32;
	while (chunk_bytes + (uint32_t)head_len + 2 > answer_bytes && chunk_bytes > 16)
		head_len = snprintf(head, sizeof(head), "%x\r\n", --chunk_bytes);
	bare->answer_bytes = (size_t)head_len + chunk_bytes + 2;
	bare->answer = malloc(bare->answer_bytes);
	if (!bare->answer)
		loop_die("out of memory");
	memset(bare->answer, '.', bare->answer_bytes);
	memcpy(bare->answer, head, (size_t)head_len);
	memcpy(bare->answer + head_len, begin, sizeof(begin) - 1);
	memcpy(bare->answer + bare->answer_bytes - 4, "\n\n\r\n", 4);
}

int floor_main(const struct options *options)
{
	struct bare bare = {
		.server.on_readable = bare_request, .parked_capacity = options->waiters_count, .stay = options->stay != 0};
	bare.parked = calloc(bare.parked_capacity, sizeof(*bare.parked));
	if (!bare.parked)
		loop_die("out of memory");
	if (bare.stay)
		bare_make_event(&bare, options->answer_bytes);
	else
		bare_make_answer(&bare, options->answer_bytes);
	floor_serve(&bare.server);
}
