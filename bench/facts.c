/*
 * What the machine itself gives: the time of an fdatasync on the data directory, of a round trip over loopback, and of both
 * together (sent, written, synced, answered: the least that a durable append can take). One after the other as fast as they go,
 * or, with --rate, so many a second for --duration-ms: a machine that was idle in between takes longer to answer.
 */
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
#include <time.h>
#include <unistd.h>

#define SYNC_ROUNDS 400
#define SYNC_BYTES  4096
#define PING_ROUNDS 10000
#define PING_BYTES  64
#define WARM_ROUNDS 50

struct facts {
	const struct options *options;
	uint32_t sync_rounds;
	uint32_t ping_rounds;
	int file;
};

/* A file whose blocks are there already, as a preallocated journal. */
static int facts_file(const char *dir, uint32_t blocks_count)
{
	char path[4096];
	static const char block[SYNC_BYTES];
	if (snprintf(path, sizeof(path), "%s/facts.%d", dir, (int)getpid()) >= (int)sizeof(path))
		loop_die("path too long: %s", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		loop_die("%s: %s", path, strerror(errno));
	unlink(path);
	for (uint32_t i = 0; i < blocks_count; i++)
		if (pwrite(fd, block, sizeof(block), (off_t)i * SYNC_BYTES) != SYNC_BYTES)
			loop_die("%s: %s", path, strerror(errno));
	if (fsync(fd) < 0)
		loop_die("fsync: %s", strerror(errno));
	return fd;
}

static void facts_write(int fd, uint32_t block_index)
{
	static const char block[SYNC_BYTES];
	if (pwrite(fd, block, sizeof(block), (off_t)block_index * SYNC_BYTES) != SYNC_BYTES || fdatasync(fd) < 0)
		loop_die("write and sync: %s", strerror(errno));
}

/* Until round `i` of a row that began at `start_ns` is due; at once when there is no rate. */
static void facts_pace(const struct facts *facts, uint64_t start_ns, uint32_t i)
{
	if (facts->options->rate == 0)
		return;
	uint64_t due_ns = start_ns + i * (1000000000ull / facts->options->rate);
	uint64_t now_ns = loop_now_ns();
	if (due_ns <= now_ns)
		return;
	struct timespec left = {.tv_sec = (time_t)((due_ns - now_ns) / 1000000000ull),
				.tv_nsec = (long)((due_ns - now_ns) % 1000000000ull)};
	nanosleep(&left, NULL);
}

/* 4 KiB written and synced, one after the other. */
static void facts_sync(const struct facts *facts, struct hist *ret_hist)
{
	uint64_t begin_ns = loop_now_ns();
	hist_reset(ret_hist);
	for (uint32_t i = 0; i < facts->sync_rounds + WARM_ROUNDS; i++) {
		facts_pace(facts, begin_ns, i);
		uint64_t start_ns = loop_now_ns();
		facts_write(facts->file, i);
		if (i >= WARM_ROUNDS)
			hist_add(ret_hist, loop_now_ns() - start_ns);
	}
}

static void ping_send(int fd)
{
	static const char block[PING_BYTES];
	if (send(fd, block, sizeof(block), MSG_NOSIGNAL) != sizeof(block))
		loop_die("send: %s", strerror(errno));
}

static void ping_receive(int fd)
{
	char block[PING_BYTES];
	if (recv(fd, block, sizeof(block), MSG_WAITALL) != sizeof(block))
		loop_die("recv: %s", strerror(errno));
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

/* Answers each; with a file, when 4 KiB are synced. */
static void ping_child(const struct sockaddr_in *address, uint32_t rounds, int file)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		loop_die("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (uint32_t i = 0; i < rounds; i++) {
		ping_receive(fd);
		if (file >= 0)
			facts_write(file, i);
		ping_send(fd);
	}
	_exit(0);
}

/* 64 bytes there and back between two processes that block in recv. */
static void facts_ping(const struct facts *facts, uint32_t rounds, int file, struct hist *ret_hist)
{
	struct sockaddr_in address;
	int listener = ping_listen(&address);
	pid_t child = fork();
	if (child < 0)
		loop_die("fork: %s", strerror(errno));
	if (child == 0)
		ping_child(&address, rounds + WARM_ROUNDS, file);
	int one = 1;
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		loop_die("accept: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	hist_reset(ret_hist);
	uint64_t begin_ns = loop_now_ns();
	for (uint32_t i = 0; i < rounds + WARM_ROUNDS; i++) {
		facts_pace(facts, begin_ns, i);
		uint64_t start_ns = loop_now_ns();
		ping_send(fd);
		ping_receive(fd);
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
	static struct hist both_hist;
	uint32_t paced = (uint32_t)((uint64_t)options->rate * options->duration_ms / 1000);
	struct facts facts = {
		.options = options, .sync_rounds = paced ? paced : SYNC_ROUNDS, .ping_rounds = paced ? paced : PING_ROUNDS};
	facts.file = facts_file(options->dir, facts.sync_rounds + WARM_ROUNDS);
	facts_sync(&facts, &sync_hist);
	facts_ping(&facts, facts.ping_rounds, -1, &ping_hist);
	facts_ping(&facts, facts.sync_rounds, facts.file, &both_hist);
	close(facts.file);
	report_begin();
	report_hist("fdatasync", &sync_hist);
	report_hist("loopback", &ping_hist);
	report_hist("both", &both_hist);
	report_end();
	return 0;
}
