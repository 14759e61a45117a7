#include "net/listener.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LISTENER_BACKLOG = 16384,  /* the kernel cuts it to net.core.somaxconn */
	LISTENER_ACCEPT_MAX = 128, /* a turn; the rest is reported again, level-triggered */
	LISTENER_RETRY_MS = 100,
	ADDRESS_BYTES = INET6_ADDRSTRLEN + 16,
};

struct listener {
	struct loop_source source;
	struct wheel_entry retry;
	struct loop *loop;
	struct listener_config config;
	int fd;
	bool started, paused;
	bool told; /* of a pause, and nobody was let in since */
	char address[ADDRESS_BYTES];
};

/* host and port apart, NUL-terminated. -EINVAL when the form is wrong. */
static int split_address(struct slice address, char host[ADDRESS_BYTES], char port[8])
{
	const char *colon = address.len ? memrchr(address.ptr, ':', address.len) : NULL;
	struct slice name, number;
	uint64_t value;

	if (!colon)
		return -EINVAL;
	name = slice_from(address.ptr, (size_t)(colon - address.ptr));
	number = slice_from(colon + 1, address.len - name.len - 1);
	if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
		name = slice_from(name.ptr + 1, name.len - 2);
	else if (memchr(name.ptr, ':', name.len))
		return -EINVAL;
	if (name.len == 0 || name.len >= ADDRESS_BYTES || slice_u64(number, &value) || value > UINT16_MAX)
		return -EINVAL;
	memcpy(host, name.ptr, name.len);
	host[name.len] = '\0';
	snprintf(port, 8, "%u", (unsigned)value);
	return 0;
}

static int bind_to(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0, error;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (info->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int open_host(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *infos;
	int fd;

	if (getaddrinfo(host, port, &hints, &infos) != 0)
		return -EINVAL;
	fd = -EINVAL;
	for (const struct addrinfo *info = infos; info && fd < 0; info = info->ai_next)
		fd = bind_to(info);
	freeaddrinfo(infos);
	return fd;
}

/* Numeric addresses, "localhost" and the like, and "*" for all. The last is one IPv6 socket that takes IPv4 as well;
 * getaddrinfo's own idea of all, with no name, begins with IPv4, and there it would have ended. */
static int open_address(struct slice address)
{
	char host[ADDRESS_BYTES], port[8];
	int fd = split_address(address, host, port);

	if (fd < 0)
		return fd;
	if (strcmp(host, "*") != 0)
		return open_host(host, port);
	fd = open_host("::", port);
	return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL ? open_host("0.0.0.0", port) : fd;
}

static int name_address(struct listener *listener)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char host[INET6_ADDRSTRLEN];
	unsigned port;

	if (getsockname(listener->fd, (struct sockaddr *)&bound, &len) < 0)
		return -errno;
	if (bound.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&bound;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		port = ntohs(in6->sin6_port);
		snprintf(listener->address, sizeof(listener->address), "[%s]:%u", host, port);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&bound;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		port = ntohs(in->sin_port);
		snprintf(listener->address, sizeof(listener->address), "%s:%u", host, port);
	}
	return 0;
}

static void listener_pause(struct listener *listener, int error)
{
	if (loop_change(listener->loop, listener->fd, 0, &listener->source))
		return;
	listener->paused = true;
	listener->retry.deadline_ms = loop_now_ms(listener->loop) + LISTENER_RETRY_MS;
	wheel_add(loop_wheel(listener->loop), &listener->retry);
	if (listener->config.on_pause && !listener->told)
		listener->config.on_pause(listener->config.ctx, error);
	listener->told = true;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct listener *listener = container_of(source, struct listener, source);

	(void)events;
	for (int i = 0; i < LISTENER_ACCEPT_MAX; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			listener->told = false;
			listener->config.on_accept(listener->config.ctx, fd);
			continue;
		}
		/* A connection that died in the backlog reports its own error here (accept(2)): the next one may be fine. */
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			listener_pause(listener, -errno);
			return;
		}
	}
}

void listener_retry(struct listener *listener)
{
	if (!listener->paused)
		return;
	wheel_remove(loop_wheel(listener->loop), &listener->retry);
	if (loop_change(listener->loop, listener->fd, EPOLLIN, &listener->source) == 0) {
		listener->paused = false;
		return;
	}
	listener->retry.deadline_ms = loop_now_ms(listener->loop) + LISTENER_RETRY_MS;
	wheel_add(loop_wheel(listener->loop), &listener->retry);
}

static void retry_expired(struct wheel_entry *entry)
{
	listener_retry(container_of(entry, struct listener, retry));
}

int listener_new(struct loop *loop, const struct listener_config *config, struct listener **ret_listener)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));
	int error;

	if (!listener)
		return -ENOMEM;
	*listener = (struct listener){
		.source.ready = listener_ready, .retry.expired = retry_expired, .loop = loop, .config = *config};
	listener->fd = open_address(config->address);
	error = listener->fd < 0 ? listener->fd : name_address(listener);
	if (error) {
		listener_free(listener);
		return error;
	}
	*ret_listener = listener;
	return 0;
}

int listener_start(struct listener *listener)
{
	int error = loop_add_level(listener->loop, listener->fd, EPOLLIN, &listener->source);

	if (!error)
		listener->started = true;
	return error;
}

struct listener *listener_free(struct listener *listener)
{
	if (!listener)
		return NULL;
	wheel_remove(loop_wheel(listener->loop), &listener->retry);
	if (listener->started)
		loop_forget(listener->loop, &listener->source);
	if (listener->fd >= 0)
		close(listener->fd);
	mem_free(listener);
	return NULL;
}

struct slice listener_address(const struct listener *listener)
{
	return slice_str(listener->address);
}
