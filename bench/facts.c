/* What the machine itself gives: the time of an fdatasync on the data directory and of a round trip over loopback. */
#include "loop.h"
#include "options.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYNC_ROUNDS 400
#define SYNC_BYTES  4096
#define PING_ROUNDS 10000
#define PING_BYTES  64
#define WARM_ROUNDS 50

/* 4 KiB written and synced, one after the other, into a file whose blocks are there already, as a preallocated journal. */
static void facts_sync(const char *dir, struct hist *ret_hist)
{
	char path[4096];
	static const char block[SYNC_BYTES];
	if (snprintf(path, sizeof(path), "%s/facts.%d", dir, (int)getpid()) >= (int)sizeof(path))
		loop_die("path too long: %s", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		loop_die("%s: %s", path, strerror(errno));
	unlink(path);
	for (off_t i = 0; i < SYNC_ROUNDS + WARM_ROUNDS; i++)
		if (pwrite(fd, block, sizeof(block), i * SYNC_BYTES) != SYNC_BYTES)
			loop_die("%s: %s", path, strerror(errno));
	if (fsync(fd) < 0)
		loop_die("fsync: %s", strerror(errno));
	hist_reset(ret_hist);
	for (off_t i = 0; i < SYNC_ROUNDS + WARM_ROUNDS; i++) {
		uint64_t start_ns = loop_now_ns();
		if (pwrite(fd, block, sizeof(block), i * SYNC_BYTES) != SYNC_BYTES || fdatasync(fd) < 0)
			loop_die("%s: %s", path, strerror(errno));
		if (i >= WARM_ROUNDS)
			hist_add(ret_hist, loop_now_ns() - start_ns);
	}
	close(fd);
}

static void ping_exchange(int fd, bool first)
{
	char block[PING_BYTES] = {0};
	if (first && send(fd, block, sizeof(block), MSG_NOSIGNAL) != sizeof(block))
		loop_die("send: %s", strerror(errno));
	if (recv(fd, block, sizeof(block), MSG_WAITALL) != sizeof(block))
		loop_die("recv: %s", strerror(errno));
	if (!first && send(fd, block, sizeof(block), MSG_NOSIGNAL) != sizeof(block))
		loop_die("send: %s", strerror(errno));
}

static int ping_listen(struct sockaddr_in *ret_address)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		loop_die("listen: %s", strerror(errno));
	*ret_address = address;
	return fd;
}

static void ping_child(const struct sockaddr_in *address)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		loop_die("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (int i = 0; i < PING_ROUNDS + WARM_ROUNDS; i++)
		ping_exchange(fd, false);
	_exit(0);
}

/* 64 bytes there and back between two processes that block in recv. */
static void facts_ping(struct hist *ret_hist)
{
	struct sockaddr_in address;
	int listener = ping_listen(&address);
	pid_t child = fork();
	if (child < 0)
		loop_die("fork: %s", strerror(errno));
	if (child == 0)
		ping_child(&address);
	int one = 1;
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		loop_die("accept: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	hist_reset(ret_hist);
	for (int i = 0; i < PING_ROUNDS + WARM_ROUNDS; i++) {
		uint64_t start_ns = loop_now_ns();
		ping_exchange(fd, true);
		if (i >= WARM_ROUNDS)
			hist_add(ret_hist, loop_now_ns() - start_ns);
	}
	waitpid(child, NULL, 0);
	close(fd);
	close(listener);
}

int facts_main(const struct options *options)
{
	static struct hist sync_hist;
	static struct hist ping_hist;
	facts_sync(options->dir, &sync_hist);
	facts_ping(&ping_hist);
	report_begin();
	report_hist("fdatasync", &sync_hist);
	report_hist("loopback", &ping_hist);
	report_end();
	return 0;
}
