/*
 * The floor under reading a long stream: the same records (streams.h) in one file, sent as answers of --answer-bytes each, head
 * and all, by sendfile (--style sendfile) or by writev from memory (--style writev). It speaks as much of the Durable Streams
 * protocol as its reader needs; nothing is looked up, nothing is checked.
 */
#include "floor.h"
#include "loop.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct bytes_floor {
	struct floor_server server;
	int file;
	const char *mapped; /* for writev; NULL: sendfile */
	size_t total;
	size_t answer_bytes;
};

static void bytes_floor_file(struct bytes_floor *floor, const struct options *options)
{
	char path[4096];
	char *body = stream_alloc(1, options->body_bytes);
	if (snprintf(path, sizeof(path), "%s/bytes.%d", options->dir, (int)getpid()) >= (int)sizeof(path))
		loop_die("path too long: %s", options->dir);
	floor->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (floor->file < 0)
		loop_die("%s: %s", path, strerror(errno));
	unlink(path);
	memset(body, 'r', options->body_bytes);
	for (uint32_t i = 0; i < options->records_count; i++)
		if (write(floor->file, stream_body(body, 0, i), options->body_bytes) != (ssize_t)options->body_bytes)
			loop_die("%s: %s", path, strerror(errno));
	free(body);
	floor->total = (size_t)options->records_count * options->body_bytes;
	if (strcmp(options->style, "writev") != 0)
		return;
	void *mapped = mmap(NULL, floor->total, PROT_READ, MAP_SHARED | MAP_POPULATE, floor->file, 0);
	if (mapped == MAP_FAILED)
		loop_die("mmap: %s", strerror(errno));
	floor->mapped = mapped;
}

static void bytes_floor_sendfile(const struct bytes_floor *floor, int fd, size_t from, size_t count)
{
	off_t at = (off_t)from;
	while (count > 0) {
		ssize_t sent = sendfile(fd, floor->file, &at, count);
		if (sent <= 0)
			loop_die("sendfile: %s", strerror(errno));
		count -= (size_t)sent;
	}
}

static void bytes_floor_writev(struct iovec *parts, int count, int fd)
{
	while (count > 0) {
		ssize_t sent = writev(fd, parts, count);
		if (sent < 0)
			loop_die("writev: %s", strerror(errno));
		while (count > 0 && (size_t)sent >= parts->iov_len) {
			sent -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + sent;
			parts->iov_len -= (size_t)sent;
		}
	}
}

/* GET …?offset=N: what follows byte N. "-1" is the start. */
static void bytes_floor_request(struct floor_server *server, int fd)
{
	const struct bytes_floor *floor = (struct bytes_floor *)server;
	char request[4096];
	ssize_t got = read(fd, request, sizeof(request) - 1);
	if (got <= 0) {
		close(fd);
		return;
	}
	request[got] = 0;
	const char *offset = strstr(request, "offset=");
	size_t from = offset && offset[7] != '-' ? strtoul(offset + 7, NULL, 10) : 0;
	if (from > floor->total)
		loop_die("an offset past the end");
	size_t left = floor->total - from;
	size_t count = left < floor->answer_bytes ? left : floor->answer_bytes;
	char head[256];
	int head_len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nStream-Next-Offset: %zu\r\n%sContent-Length: %zu\r\n\r\n",
				from + count, count == left ? "Stream-Up-To-Date: true\r\n" : "", count);
	if (floor->mapped) {
		struct iovec parts[] = {{head, (size_t)head_len}, {(char *)(uintptr_t)(floor->mapped + from), count}};
		bytes_floor_writev(parts, 2, fd);
		return;
	}
	if (send(fd, head, (size_t)head_len, MSG_MORE | MSG_NOSIGNAL) != head_len)
		loop_die("send: %s", strerror(errno));
	bytes_floor_sendfile(floor, fd, from, count);
}

int bytes_floor_main(const struct options *options)
{
	struct bytes_floor floor = {.server = {.blocking = true, .on_readable = bytes_floor_request}};
	if (options->body_bytes < STREAM_TAG_BYTES || options->records_count == 0)
		loop_die("bytes wants --records and --body-bytes");
	floor.answer_bytes = options->answer_bytes - options->answer_bytes % options->body_bytes;
	bytes_floor_file(&floor, options);
	floor_serve(&floor.server);
}
