/* Most tests run over TCP and over a pair of AF_UNIX sockets: the contract is that of any stream socket. */
#include "base/mem.h"
#include "base/testing.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_S = 100, BULK = 3000000 };

struct pair {
	struct stream one, other;
};

static void tcp_pair(int fds[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fds[0] >= 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
	close(listener);
}

/* kind: what the test was given, "tcp" or "local" */
static struct pair pair_new(void **kind)
{
	struct pair pair;
	int fds[2], buffer = 65536;

	if (strcmp(*kind, "tcp") == 0)
		tcp_pair(fds);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	/* Small buffers: or else a kernel that means well takes all the bulk in one go. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
	}
	stream_init_plain(&pair.one, fds[0]);
	stream_init_plain(&pair.other, fds[1]);
	assert_int_equal(pair.one.fd, fds[0]);
	return pair;
}

static void stream_close(struct stream *stream)
{
	int fd = stream->fd;

	stream->ops->close(stream);
	assert_int_equal(stream->fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void await(const struct stream *stream, short events)
{
	struct pollfd at = {.fd = stream->fd, .events = events};

	assert_int_equal(poll(&at, 1, HANG_S * 1000), 1);
}

static ssize_t write_text(struct stream *stream, const char *text)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};

	return stream->ops->write(stream, &part, 1, false);
}

static void expect_text(struct stream *stream, const char *text)
{
	char got[64];
	size_t len = 0, want = strlen(text);

	while (len < want) {
		ssize_t count;

		await(stream, POLLIN);
		count = stream->ops->read(stream, got + len, want - len);
		assert_true(count > 0);
		len += (size_t)count;
	}
	assert_memory_equal(got, text, want);
}

static void expect_end(struct stream *stream)
{
	char byte;

	await(stream, POLLIN);
	assert_int_equal(stream->ops->read(stream, &byte, 1), 0);
	assert_int_equal(stream->ops->read(stream, &byte, 1), 0); /* and stays so */
}

static void expect_nothing(struct stream *stream)
{
	char byte;

	assert_int_equal(stream->ops->read(stream, &byte, 1), -EAGAIN);
}

/* Bytes that tell where they belong. */
static uint8_t *bulk_new(void)
{
	uint8_t *bulk = mem_alloc(BULK);
	struct test_random random = {7};

	assert_non_null(bulk);
	test_random_bytes(&random, bulk, BULK);
	return bulk;
}

/* Reads some of the bulk that arrived; compares it. */
static void bulk_read(struct stream *stream, const uint8_t *bulk, size_t *at)
{
	uint8_t got[70000];
	ssize_t count = stream->ops->read(stream, got, sizeof(got));

	assert_true(count > 0 || count == -EAGAIN);
	if (count > 0) {
		assert_true(*at + (size_t)count <= BULK);
		assert_memory_equal(got, bulk + *at, (size_t)count);
		*at += (size_t)count;
	}
}

/* One to 20 parts of all sizes, empty ones among them; what was not taken is offered again, cut anew. */
static void writes_in_parts(void **state)
{
	struct test_random random = test_random_start("stream, parts");
	struct pair pair = pair_new(state);
	uint8_t *bulk = bulk_new();
	size_t sent = 0, got = 0;
	unsigned partly = 0, full = 0;

	while (got < BULK) {
		struct iovec parts[20];
		int part_count = 1 + (int)test_random_below(&random, 20);
		size_t offered = 0;
		ssize_t count;

		for (int i = 0; i < part_count; i++) {
			size_t len = test_random_below(&random, i % 3 ? 30000 : 100);

			if (len > BULK - sent - offered)
				len = BULK - sent - offered;
			parts[i] = (struct iovec){bulk + sent + offered, len};
			offered += len;
		}
		count = pair.one.ops->write(&pair.one, parts, part_count, test_random_below(&random, 2) && sent < BULK / 2);
		assert_true(count >= 0 || count == -EAGAIN);
		if (count == -EAGAIN) {
			full++;
			await(&pair.other, POLLIN);
			bulk_read(&pair.other, bulk, &got);
			continue;
		}
		assert_true((size_t)count <= offered);
		partly += (size_t)count < offered;
		sent += (size_t)count;
		if (sent == BULK) {
			await(&pair.other, POLLIN);
			bulk_read(&pair.other, bulk, &got);
		}
	}
	assert_true(partly > 0);
	assert_true(full > 0);
	expect_nothing(&pair.other);
	stream_close(&pair.one);
	expect_end(&pair.other);
	stream_close(&pair.other);
	mem_free(bulk);
}

static void half_closed(void **state)
{
	struct pair pair = pair_new(state);
	char text[] = "question";
	const struct iovec parts[] = {{text, 1}, {text + 1, 0}, {text + 1, 3}, {text + 4, 4}};

	expect_nothing(&pair.one);
	assert_int_equal(pair.one.ops->write(&pair.one, parts, 4, false), 8); /* there is room: all of it */
	assert_false(pair.other.ops->peer_left(&pair.other));
	pair.one.ops->end(&pair.one);
	await(&pair.other, POLLRDHUP);
	assert_true(pair.other.ops->peer_left(&pair.other)); /* known before it is read */
	expect_text(&pair.other, "question");
	expect_end(&pair.other);
	assert_true(pair.other.ops->peer_left(&pair.other));
	assert_false(pair.one.ops->peer_left(&pair.one)); /* who has ended himself is not left */
	assert_int_equal(write_text(&pair.one, "more"), -EPIPE);
	expect_nothing(&pair.one); /* the other direction stands */
	assert_int_equal(write_text(&pair.other, "answer"), 6);
	expect_text(&pair.one, "answer");
	pair.other.ops->end(&pair.other);
	pair.other.ops->end(&pair.other); /* twice is no harm */
	expect_end(&pair.one);
	stream_close(&pair.one);
	stream_close(&pair.other);
}

/* Who reads everything and leaves has it; who left before it came, or leaves it unread, has not. */
static void who_has_all(void **state)
{
	struct pair pair = pair_new(state);

	assert_int_equal(write_text(&pair.one, "answer"), 6);
	expect_text(&pair.other, "answer");
	stream_close(&pair.other);
	await(&pair.one, POLLRDHUP);
	assert_true(pair.one.ops->peer_left(&pair.one));
	/* A local socket says no more than that the other one is closed. */
	assert_int_equal(pair.one.ops->peer_has_all(&pair.one), strcmp(*state, "tcp") == 0);
	stream_close(&pair.one);

	pair = pair_new(state);
	assert_int_equal(write_text(&pair.one, "answer"), 6);
	await(&pair.other, POLLIN);
	stream_close(&pair.other);
	await(&pair.one, POLLHUP);
	assert_false(pair.one.ops->peer_has_all(&pair.one));
	stream_close(&pair.one);

	pair = pair_new(state);
	stream_close(&pair.other);
	await(&pair.one, POLLRDHUP);
	(void)write_text(&pair.one, "answer");
	assert_true(pair.one.ops->peer_left(&pair.one));
	assert_false(pair.one.ops->peer_has_all(&pair.one));
	stream_close(&pair.one);
}

/* Writing to who has left is an error, and no signal: the program would be dead. */
static void peers_that_left(void **state)
{
	struct pair pair = pair_new(state);
	char text[] = "abcd";
	const struct iovec parts[] = {{text, 2}, {text + 2, 2}};
	ssize_t count;
	char byte;

	assert_int_equal(write_text(&pair.other, "unread"), 6);
	assert_int_equal(write_text(&pair.one, "unread"), 6);
	await(&pair.other, POLLIN);
	assert_false(pair.one.ops->peer_left(&pair.one));
	stream_close(&pair.other); /* with something unread: a reset */
	await(&pair.one, POLLHUP);
	assert_true(pair.one.ops->peer_left(&pair.one));
	while ((count = write_text(&pair.one, "x")) > 0)
		;
	assert_true(count == -EPIPE || count == -ECONNRESET);
	assert_int_equal(pair.one.ops->write(&pair.one, parts, 2, false), -EPIPE);
	while ((count = pair.one.ops->read(&pair.one, &byte, 1)) > 0)
		;
	assert_true(count == 0 || count == -ECONNRESET);
	stream_close(&pair.one);
}

static int file_new(const uint8_t *bytes, size_t len)
{
	int file = memfd_create("stream_test", MFD_CLOEXEC);
	size_t at = 0;

	assert_true(file >= 0);
	while (at < len) {
		ssize_t count = write(file, bytes + at, len - at);

		assert_true(count > 0);
		at += (size_t)count;
	}
	return file;
}

static void files_are_sent(void **state)
{
	struct pair pair = pair_new(state);
	uint8_t *bulk = bulk_new();
	int file = file_new(bulk, BULK);
	size_t sent = 12345, got = 12345; /* not from its beginning */
	unsigned full = 0;
	ssize_t count;

	assert_int_equal(lseek(file, 77, SEEK_SET), 77);
	while (got < BULK) {
		/* The length goes beyond the end at last. */
		count = sent < BULK ? pair.one.ops->send_file(&pair.one, file, sent, 400000) : -EAGAIN;
		assert_true(count > 0 || count == -EAGAIN);
		if (count > 0) {
			sent += (size_t)count;
			continue;
		}
		full += sent < BULK;
		await(&pair.other, POLLIN);
		bulk_read(&pair.other, bulk, &got);
	}
	assert_int_equal(sent, BULK);
	assert_true(full > 0);
	assert_int_equal(pair.one.ops->send_file(&pair.one, file, BULK, 1), 0); /* the file ends there */
	assert_int_equal(pair.one.ops->send_file(&pair.one, file, BULK + 1, 1), 0);
	assert_int_equal(lseek(file, 0, SEEK_CUR), 77); /* its own position is left alone: others may read it, too */
	expect_nothing(&pair.other);
	assert_int_equal(pair.one.ops->send_file(&pair.one, file, 5, 10), 10); /* not more than asked for */
	await(&pair.other, POLLIN);
	got = 5;
	bulk_read(&pair.other, bulk, &got);
	assert_int_equal(got, 15);
	close(file);
	stream_close(&pair.one);
	stream_close(&pair.other);
	mem_free(bulk);
}

/* What sendfile cannot read from is the caller's to read; a peer that left is still an error of the stream. */
static void files_that_cannot_be_sent(void **state)
{
	struct pair pair = pair_new(state);
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), file = file_new((const uint8_t *)"text", 4);
	ssize_t count;

	assert_true(directory >= 0);
	assert_int_equal(pair.one.ops->send_file(&pair.one, directory, 0, 8), -ENOTSUP);
	expect_nothing(&pair.other);
	assert_int_equal(pair.one.ops->send_file(&pair.one, -1, 0, 8), -EBADF);
	stream_close(&pair.other);
	signal(SIGPIPE, SIG_IGN); /* as the header wants it */
	while ((count = pair.one.ops->send_file(&pair.one, file, 0, 4)) > 0)
		;
	assert_true(count == -EPIPE || count == -ECONNRESET);
	signal(SIGPIPE, SIG_DFL);
	close(directory);
	close(file);
	stream_close(&pair.one);
}

/* Nothing waits for Nagle's algorithm, and what is followed by more waits for that. */
static void segments(void **state)
{
	struct pair pair = pair_new(state);
	char text[] = "head body";
	const struct iovec head = {text, 5}, body = {text + 5, 4};
	bool held = false;
	socklen_t len = sizeof(int);
	int on = 0;

	assert_int_equal(getsockopt(pair.one.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_true(on);
	/* The kernel holds the head back for 200 ms; a machine may be slower than that once, not always. */
	for (int i = 0; i < 20 && !held; i++) {
		struct pollfd at = {.fd = pair.other.fd, .events = POLLIN};

		assert_int_equal(pair.one.ops->write(&pair.one, &head, 1, true), 5);
		held = poll(&at, 1, 0) == 0;
		assert_int_equal(pair.one.ops->write(&pair.one, &body, 1, false), 4);
		expect_text(&pair.other, "head body");
	}
	assert_true(held);
	stream_close(&pair.one);
	stream_close(&pair.other);
}

int main(void)
{
	static char tcp[] = "tcp", local[] = "local";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(writes_in_parts, tcp),
		cmocka_unit_test_prestate(writes_in_parts, local),
		cmocka_unit_test_prestate(half_closed, tcp),
		cmocka_unit_test_prestate(half_closed, local),
		cmocka_unit_test_prestate(who_has_all, tcp),
		cmocka_unit_test_prestate(who_has_all, local),
		cmocka_unit_test_prestate(peers_that_left, tcp),
		cmocka_unit_test_prestate(peers_that_left, local),
		cmocka_unit_test_prestate(files_are_sent, tcp),
		cmocka_unit_test_prestate(files_are_sent, local),
		cmocka_unit_test_prestate(files_that_cannot_be_sent, tcp),
		cmocka_unit_test_prestate(files_that_cannot_be_sent, local),
		cmocka_unit_test_prestate(segments, tcp),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
