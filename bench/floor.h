#pragma once
/* What the bare servers (floor.c, floor_bytes.c) have in common: listening, and a loop. */
#include <stdbool.h>
#include <stddef.h>

struct floor_server {
	int listen_fd;
	int epoll_fd;
	bool blocking; /* its sockets */
	/* A request has come, or the client has left. */
	void (*on_readable)(struct floor_server *server, int fd);
};

/* Says where it listens, on stdout, and serves until it is killed. */
_Noreturn void floor_serve(struct floor_server *server);

/* One write of all, to a socket with room for it. */
void floor_say(int fd, const char *text, size_t len);
