#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES   16384
#define EVENTS_COUNT 256

uint64_t loop_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void loop_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("bide-bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void loop_init(struct loop *loop, uint16_t port)
{
	*loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .port = port, .read_bytes = READ_BYTES};
	if (loop->epoll_fd < 0)
		loop_die("epoll_create1: %s", strerror(errno));
}

void loop_deinit(struct loop *loop)
{
	close(loop->epoll_fd);
	free(loop->timers);
}

/* ---- connections ---- */

static int conn_connect(const struct loop *loop, uint32_t source)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		loop_die("socket: %s (open files: ulimit -n)", strerror(errno));
	int one = 1;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (source)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
	if (source && bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		loop_die("bind: %s", strerror(errno));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(loop->port)};
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		loop_die("connect to port %u: %s", loop->port, strerror(errno));
	return fd;
}

void conn_open(struct conn *conn, struct loop *loop, uint32_t source)
{
	conn->loop = loop;
	conn->fd = conn_connect(loop, source);
	if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) < 0)
		loop_die("fcntl: %s", strerror(errno));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		loop_die("epoll_ctl: %s", strerror(errno));
}

void conn_close(struct conn *conn)
{
	conn_flush(conn);
	close(conn->fd);
	bytes_free(&conn->in);
	bytes_free(&conn->out);
	conn->fd = -1;
}

static void conn_mark_dirty(struct conn *conn)
{
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->next_dirty = conn->loop->dirty;
	conn->loop->dirty = conn;
}

void conn_write(struct conn *conn, const void *data, size_t len)
{
	bytes_append(&conn->out, data, len);
	conn_mark_dirty(conn);
}

void conn_printf(struct conn *conn, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(text))
		loop_die("a request does not fit in %zu bytes", sizeof(text));
	conn_write(conn, text, (size_t)len);
}

static void conn_poll(struct conn *conn, bool out, bool paused)
{
	if (conn->polls_out == out && conn->paused == paused)
		return;
	conn->polls_out = out;
	conn->paused = paused;
	struct epoll_event event = {.events = (paused ? 0u : EPOLLIN) | (out ? EPOLLOUT : 0u), .data.ptr = conn};
	if (epoll_ctl(conn->loop->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) < 0)
		loop_die("epoll_ctl: %s", strerror(errno));
}

void conn_pause(struct conn *conn, bool paused)
{
	conn_poll(conn, conn->polls_out, paused);
}

void conn_flush(struct conn *conn)
{
	while (bytes_len(&conn->out) > 0) {
		ssize_t sent = send(conn->fd, bytes_head(&conn->out), bytes_len(&conn->out), MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			loop_die("write to the server: %s", strerror(errno));
		conn->bytes_out += (uint64_t)sent;
		bytes_consume(&conn->out, (size_t)sent);
	}
	conn_poll(conn, bytes_len(&conn->out) > 0, conn->paused);
}

static void conn_read(struct conn *conn)
{
	uint64_t now_ns = loop_now_ns();
	size_t want = conn->read_max ? conn->read_max : conn->loop->read_bytes;
	ssize_t got = recv(conn->fd, bytes_room(&conn->in, want), want, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		loop_die("read from the server: %s", strerror(errno));
	if (got == 0)
		loop_die("the server closed a connection (%zu bytes unread: %.*s)", bytes_len(&conn->in),
			 (int)(bytes_len(&conn->in) > 300 ? 300 : bytes_len(&conn->in)),
			 conn->in.data ? bytes_head(&conn->in) : "");
	bytes_grew(&conn->in, (size_t)got);
	conn->bytes_in += (uint64_t)got;
	conn->on_input(conn, now_ns);
	/* Idle connections keep no buffer: 15,000 of them would otherwise cost the cache more than the test. */
	if (bytes_len(&conn->in) == 0 && conn->in.capacity > conn->loop->read_bytes * 4)
		bytes_free(&conn->in);
}

/* ---- timers ---- */

static void timers_sift_down(struct loop *loop)
{
	struct timer *timers = loop->timers;
	for (uint32_t at = 0;;) {
		uint32_t least = at;
		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < loop->timers_count; child++)
			if (timers[child].due_ns < timers[least].due_ns)
				least = child;
		if (least == at)
			return;
		struct timer swap = timers[at];
		timers[at] = timers[least];
		timers[least] = swap;
		at = least;
	}
}

void loop_timer(struct loop *loop, struct timer timer)
{
	if (loop->timers_count == loop->timers_capacity) {
		loop->timers_capacity = loop->timers_capacity ? loop->timers_capacity * 2 : 64;
		loop->timers = realloc(loop->timers, loop->timers_capacity * sizeof(*loop->timers));
		if (!loop->timers)
			loop_die("out of memory");
	}
	uint32_t at = loop->timers_count++;
	while (at > 0 && loop->timers[(at - 1) / 2].due_ns > timer.due_ns) {
		loop->timers[at] = loop->timers[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	loop->timers[at] = timer;
}

static void timers_run(struct loop *loop)
{
	while (loop->timers_count > 0) {
		uint64_t now_ns = loop_now_ns();
		if (loop->timers[0].due_ns > now_ns)
			return;
		struct timer timer = loop->timers[0];
		loop->timers[0] = loop->timers[--loop->timers_count];
		timers_sift_down(loop);
		timer.fire(timer.arg, now_ns);
	}
}

/* ---- turns ---- */

static void loop_flush(struct loop *loop)
{
	while (loop->dirty) {
		struct conn *conn = loop->dirty;
		loop->dirty = conn->next_dirty;
		conn->dirty = false;
		conn_flush(conn);
	}
}

void loop_turn(struct loop *loop, uint64_t deadline_ns)
{
	struct epoll_event events[EVENTS_COUNT];
	timers_run(loop);
	loop_flush(loop);
	if (loop->timers_count > 0 && loop->timers[0].due_ns < deadline_ns)
		deadline_ns = loop->timers[0].due_ns;
	uint64_t now_ns = loop_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000ull), .tv_nsec = (long)(left_ns % 1000000000ull)};
	int count = epoll_pwait2(loop->epoll_fd, events, EVENTS_COUNT, &left, NULL);
	if (count < 0 && errno != EINTR)
		loop_die("epoll_pwait2: %s", strerror(errno));
	for (int i = 0; i < count; i++) {
		struct conn *conn = events[i].data.ptr;
		if (events[i].events & EPOLLOUT)
			conn_flush(conn);
		if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			conn_read(conn);
	}
	timers_run(loop);
	loop_flush(loop);
}

bool loop_until(struct loop *loop, const bool *flag, uint64_t deadline_ns)
{
	while (!*flag && loop_now_ns() < deadline_ns)
		loop_turn(loop, deadline_ns);
	return *flag;
}
