/* A connection with the k-th allocation failing, for every k: its client is answered or loses the connection, nothing is left
 * behind, and the next one finds the door as it was. What else connections do is told by test/e2e/test_kafka_frames.py. */
#include "kafka/api/kafka_thread.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAR = 100000, ROUNDS_MAX = 100 };

static struct loop *loop;
static struct kafka_thread *thread;

static void send_nothing(void *ctx, struct command *command)
{
	(void)ctx;
	(void)command;
	fail();
}

static int setup(void **state)
{
	static const struct kafka_config config = {
		.limits = {.answer_bytes = 1 << 20,
			   .frame_bytes = 1 << 20,
			   .memory_bytes = 1 << 20,
			   .pipeline = 4,
			   .read_timeout_ms = 60000,
			   .idle_timeout_ms = 60000,
			   .write_timeout_ms = 60000,
			   .output_bytes = 1 << 16},
		.send = send_nothing,
	};

	(void)state;
	return loop_new(&loop) || kafka_thread_new(loop, 0, &config, NULL, &thread);
}

static int teardown(void **state)
{
	(void)state;
	kafka_thread_free(thread);
	loop_free(loop);
	return 0;
}

static uint64_t connections(void)
{
	struct kafka_thread_stats stats;

	kafka_thread_stats(thread, &stats);
	return stats.connections_open;
}

static void turn(void)
{
	assert_int_equal(loop_poll(loop, 0), 0);
	kafka_thread_flush(thread);
}

/* Six requests in one piece, more than are taken up at once, and the end of it. How many were answered. */
static size_t ask(void)
{
	static const char request[] = "\0\0\0\x0e\0\x12\0\0\0\0\0\7\0\4test";
	int ends[2];
	char answers[16 * 1024];
	size_t len = 0, count = 0;
	ssize_t got = -1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(write(ends[1], request, sizeof(request) - 1), sizeof(request) - 1);
	shutdown(ends[1], SHUT_WR);
	kafka_thread_accept(thread, ends[0]);
	for (int round = 0; got && round < ROUNDS_MAX; round++) {
		turn();
		got = read(ends[1], answers + len, sizeof(answers) - len);
		if (got < 0 && errno == ECONNRESET)
			got = 0;
		len += got > 0 ? (size_t)got : 0;
	}
	assert_int_equal(got, 0); /* it has ended */
	close(ends[1]);
	assert_int_equal(connections(), 0);
	for (size_t at = 0; at + 4 <= len; count++)
		at += 4 + (size_t)((uint8_t)answers[at + 2] << 8 | (uint8_t)answers[at + 3]);
	return count;
}

static void any_allocation_may_fail(void **state)
{
	uint64_t left = 0;
	void *probe;

	(void)state;
	assert_int_equal(ask(), 6);
	mem_fail_nth(FAR);
	assert_int_equal(ask(), 6);
	while ((probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	for (uint64_t k = 1; k <= FAR - left + 2; k++) {
		mem_fail_nth(k);
		(void)ask();
		mem_fail_nth(0);
		assert_int_equal(ask(), 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
