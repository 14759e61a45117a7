/* Clients are sockets of this very process: the kernel completes their handshake by itself, so that they wait in the backlog
 * before anybody accepts. Descriptors run out because the test lowers the limit. */
#include "base/mem.h"
#include "base/testing.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_S = 100, CLIENTS = 200 };

struct door {
	struct loop *loop;
	struct listener *listener;
	int fds[CLIENTS];
	unsigned accepted, paused;
	int error; /* of the last pause */
};

static void on_accept(void *ctx, int fd)
{
	struct door *door = ctx;

	assert_true(fd >= 0);
	assert_in_range(door->accepted, 0, CLIENTS - 1);
	door->fds[door->accepted++] = fd;
}

static void on_pause(void *ctx, int error)
{
	struct door *door = ctx;

	door->paused++;
	door->error = error;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int listen_at(struct door *door, const char *address)
{
	struct listener_config config = {
		.address = slice_str(address), .on_accept = on_accept, .on_pause = on_pause, .ctx = door};

	return listener_new(door->loop, &config, &door->listener);
}

static void door_open(struct door *door, const char *address)
{
	*door = (struct door){0};
	assert_int_equal(loop_new(&door->loop), 0);
	assert_int_equal(listen_at(door, address), 0);
	assert_int_equal(listener_start(door->listener), 0);
}

static void door_close(struct door *door)
{
	for (unsigned i = 0; i < door->accepted; i++) {
		if (door->fds[i] >= 0)
			close(door->fds[i]);
	}
	assert_null(listener_free(door->listener));
	loop_free(door->loop);
}

static void accept_until(struct door *door, unsigned count)
{
	while (door->accepted < count)
		assert_int_equal(loop_poll(door->loop, UINT64_MAX), 0);
	assert_int_equal(door->accepted, count);
}

static unsigned port_of(const struct door *door)
{
	struct slice address = listener_address(door->listener);
	const char *colon = memrchr(address.ptr, ':', address.len);
	uint64_t port;

	assert_non_null(colon);
	assert_int_equal(slice_u64(slice_from(colon + 1, address.len - (size_t)(colon + 1 - address.ptr)), &port), 0);
	assert_in_range(port, 1, UINT16_MAX);
	return (unsigned)port;
}

/* A client of that host (as numbers) and port; -errno when there is nobody. */
static int client_try(const char *host, unsigned port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *info;
	char number[8];
	int fd, error = 0;

	snprintf(number, sizeof(number), "%u", port);
	assert_int_equal(getaddrinfo(host, number, &hints, &info), 0);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, info->ai_addr, info->ai_addrlen) < 0)
		error = -errno;
	freeaddrinfo(info);
	if (error && fd >= 0)
		close(fd);
	return error ? error : fd;
}

static int client_new(const struct door *door)
{
	int fd = client_try("127.0.0.1", port_of(door));

	assert_true(fd >= 0);
	return fd;
}

static bool have_ipv6(void)
{
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool have = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;

	if (fd >= 0)
		close(fd);
	return have;
}

static int lowest_free(void)
{
	int fd = dup(STDIN_FILENO);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void an_address_is_told(void **state)
{
	struct addrinfo *found;
	struct door door;
	char expected[32];

	(void)state;
	door_open(&door, "127.0.0.1:0");
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", port_of(&door));
	assert_true(slice_eq(listener_address(door.listener), slice_str(expected)));
	close(client_new(&door));
	accept_until(&door, 1);
	door_close(&door);
	if (getaddrinfo("localhost", NULL, NULL, &found))
		return; /* a machine that does not know its own name */
	freeaddrinfo(found);
	door_open(&door, "localhost:0");
	assert_in_range(port_of(&door), 1, UINT16_MAX);
	door_close(&door);
}

static void ipv6(void **state)
{
	struct door door, all = {0};
	char expected[32];
	int client;

	(void)state;
	if (!have_ipv6())
		skip();
	door_open(&door, "[::1]:0");
	snprintf(expected, sizeof(expected), "[::1]:%u", port_of(&door));
	assert_true(slice_eq(listener_address(door.listener), slice_str(expected)));
	assert_int_equal(client_try("127.0.0.1", port_of(&door)), -ECONNREFUSED);
	client = client_try("::1", port_of(&door));
	assert_true(client >= 0);
	accept_until(&door, 1);
	close(client);
	all.loop = door.loop;
	snprintf(expected, sizeof(expected), "*:%u", port_of(&door));
	assert_int_equal(listen_at(&all, expected), -EADDRINUSE); /* not: IPv4 alone, without a word */
	door_close(&door);
}

static void star_means_all_addresses(void **state)
{
	struct door door;
	int client;

	(void)state;
	door_open(&door, "*:0");
	client = client_new(&door);
	accept_until(&door, 1);
	close(client);
	if (have_ipv6()) {
		client = client_try("::1", port_of(&door));
		assert_true(client >= 0);
		accept_until(&door, 2);
		close(client);
	}
	door_close(&door);
}

static void bad_addresses(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		":80",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:99999999999999999999",
		"127.0.0.1:-1",
		"127.0.0.1:+80",
		"127.0.0.1:http",
		"127.0.0.1: 80",
		"127.0.0.1:80 ",
		"127.0.0.256:0",
		"::1:80",
		"[]:80",
		"[:]:80",
		"[::1:80",
		"::1]:80",
		"[::g]:80",
		"[::1]80",
		"no such host:80",
		"a-name-that-is-longer-than-any-numeric-address-can-be-in-any-notation.invalid:80",
	};
	struct door door = {0};
	int before;

	(void)state;
	assert_int_equal(loop_new(&door.loop), 0);
	before = lowest_free();
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		int error = listen_at(&door, bad[i]);

		if (error != -EINVAL)
			fail_msg("\"%s\": %d", bad[i], error);
		assert_null(door.listener);
	}
	assert_int_equal(lowest_free(), before);
	loop_free(door.loop);
}

/* Errors of bind itself are told as they are; nothing stays open. */
static void addresses_that_cannot_be_had(void **state)
{
	struct door door, second = {0};
	char address[64];
	int before, client;

	(void)state;
	door_open(&door, "127.0.0.1:0");
	second.loop = door.loop;
	before = lowest_free();
	snprintf(address, sizeof(address), "127.0.0.1:%u", port_of(&door));
	assert_int_equal(listen_at(&second, address), -EADDRINUSE);
	assert_null(second.listener);
	snprintf(address, sizeof(address), "*:%u", port_of(&door));
	assert_int_equal(listen_at(&second, address), -EADDRINUSE);
	assert_int_equal(listen_at(&second, "203.0.113.1:0"), -EADDRNOTAVAIL); /* RFC 5737: nobody's */
	mem_fail_nth(1);
	assert_int_equal(listen_at(&second, "127.0.0.1:0"), -ENOMEM);
	mem_fail_nth(0);
	assert_null(second.listener);
	assert_int_equal(lowest_free(), before);

	/* A connection in TIME_WAIT does not keep a successor out. */
	client = client_new(&door);
	accept_until(&door, 1);
	close(door.fds[0]); /* who closes first has it */
	door.accepted = 0;
	close(client);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port_of(&door));
	listener_free(door.listener);
	assert_int_equal(listen_at(&door, address), 0);
	door_close(&door);
}

static void many_are_accepted(void **state)
{
	struct door door = {0};
	int clients[CLIENTS];

	(void)state;
	assert_int_equal(loop_new(&door.loop), 0);
	assert_int_equal(listen_at(&door, "127.0.0.1:0"), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = client_new(&door);
	assert_int_equal(loop_poll(door.loop, 0), 0);
	assert_int_equal(door.accepted, 0); /* not started */
	assert_int_equal(listener_start(door.listener), 0);
	assert_int_equal(loop_poll(door.loop, UINT64_MAX), 0);
	assert_in_range(door.accepted, 1, CLIENTS - 1); /* a turn is not for them alone */
	accept_until(&door, CLIENTS);
	for (unsigned i = 0; i < CLIENTS; i++) {
		assert_true(fcntl(door.fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(door.fds[i], F_GETFD) & FD_CLOEXEC);
		close(clients[i]);
	}
	assert_int_equal(door.paused, 0);
	door_close(&door);
}

/* Those who left the backlog before their turn, politely or not, keep nobody else out. */
static void clients_that_left(void **state)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};
	struct door door = {0};
	int client;
	char byte;

	(void)state;
	assert_int_equal(loop_new(&door.loop), 0);
	assert_int_equal(listen_at(&door, "127.0.0.1:0"), 0);
	for (int i = 0; i < 10; i++) {
		client = client_new(&door);
		if (i % 2)
			assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
		close(client);
	}
	client = client_new(&door);
	assert_int_equal(write(client, "!", 1), 1);
	assert_int_equal(listener_start(door.listener), 0);
	do
		assert_int_equal(loop_poll(door.loop, UINT64_MAX), 0);
	while (door.accepted == 0 || read(door.fds[door.accepted - 1], &byte, 1) != 1 || byte != '!');
	close(client);
	door_close(&door);
}

enum { ALL = 20, SPARE = 6 };

/* ALL clients said something each; `have` of them are in; then descriptors ran out. */
struct shortage {
	struct door door;
	int clients[ALL];
	unsigned have;
	struct rlimit limit;
};

static void shortage_begin(struct shortage *shortage)
{
	struct door *door = &shortage->door;
	struct rlimit low;

	door_open(door, "127.0.0.1:0");
	for (unsigned i = 0; i < ALL; i++) {
		char byte = (char)('a' + i);

		shortage->clients[i] = client_new(door);
		assert_int_equal(write(shortage->clients[i], &byte, 1), 1);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage->limit), 0);
	low = shortage->limit;
	low.rlim_cur = (rlim_t)lowest_free() + SPARE;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (!door->paused)
		assert_int_equal(loop_poll(door->loop, UINT64_MAX), 0);
	assert_int_equal(door->error, -EMFILE);
	shortage->have = door->accepted;
	assert_in_range(shortage->have, 1, SPARE); /* fewer when some numbers above the lowest are in use already */
}

static void shortage_over(struct shortage *shortage)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage->limit), 0);
}

/* Nobody was lost: each has what his client said, in the order of connecting, and is heard. */
static void shortage_end(struct shortage *shortage)
{
	struct door *door = &shortage->door;

	assert_int_equal(door->accepted, ALL);
	for (unsigned i = 0; i < ALL; i++) {
		char byte = 0;

		if (door->fds[i] >= 0) {
			assert_int_equal(read(door->fds[i], &byte, 1), 1);
			assert_int_equal(byte, 'a' + i);
			assert_int_equal(write(door->fds[i], "z", 1), 1);
			assert_int_equal(read(shortage->clients[i], &byte, 1), 1);
			assert_int_equal(byte, 'z');
		}
		close(shortage->clients[i]);
	}
	door_close(door);
}

/* While nothing is given back: a look every 100 ms, no spinning, one complaint, and those who are in go on. What is given back
 * then lets the next one in, all by itself. */
static void a_shortage_is_sat_out(void **state)
{
	struct shortage shortage = {0};
	struct door *door = &shortage.door;
	uint64_t start;
	char byte;

	(void)state;
	start = now_ms();
	shortage_begin(&shortage);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(loop_poll(door->loop, UINT64_MAX), 0); /* the time has come */
		assert_int_equal(loop_poll(door->loop, UINT64_MAX), 0); /* to look in vain */
		assert_true(now_ms() >= start + (i + 1) * 100);
	}
	assert_int_equal(door->accepted, shortage.have);
	assert_int_equal(door->paused, 1);
	for (unsigned i = 0; i < shortage.have; i++) {
		assert_int_equal(recv(door->fds[i], &byte, 1, MSG_PEEK), 1);
		assert_int_equal(byte, 'a' + i);
		assert_int_equal(write(door->fds[i], "y", 1), 1);
		assert_int_equal(read(shortage.clients[i], &byte, 1), 1);
		assert_int_equal(byte, 'y');
	}
	close(door->fds[0]);
	door->fds[0] = -1;
	while (door->paused < 2)
		assert_int_equal(loop_poll(door->loop, UINT64_MAX), 0);
	assert_int_equal(door->accepted, shortage.have + 1);
	shortage_over(&shortage);
	accept_until(door, ALL);
	assert_int_equal(door->paused, 2);
	shortage_end(&shortage);
}

/* Who gives a descriptor back may say so, and nobody waits for the 100 ms. */
static void retry_ends_a_pause(void **state)
{
	struct shortage shortage = {0};
	struct door *door = &shortage.door;

	(void)state;
	shortage_begin(&shortage);
	assert_int_equal(loop_poll(door->loop, 0), 0); /* not listened to */
	assert_int_equal(door->accepted, shortage.have);
	shortage_over(&shortage);
	listener_retry(door->listener);
	listener_retry(door->listener); /* of one that does not pause */
	assert_int_equal(loop_poll(door->loop, 0), 0);
	assert_int_equal(door->accepted, ALL);
	assert_int_equal(door->paused, 1);
	shortage_end(&shortage);
}

/* Freed in a pause it leaves no deadline behind (memory checkers would see it). */
static void freed_in_a_pause(void **state)
{
	struct shortage shortage = {0};
	struct door *door = &shortage.door;

	(void)state;
	shortage_begin(&shortage);
	door->listener = listener_free(door->listener);
	assert_int_equal(loop_poll(door->loop, now_ms() + 120), 0);
	assert_int_equal(door->accepted, shortage.have);
	shortage_over(&shortage);
	for (unsigned i = 0; i < ALL; i++)
		close(shortage.clients[i]);
	door_close(door);
}

/* Another source of the same turn takes the listener down while it has something to report. */
struct killer {
	struct loop_source source;
	struct door *door;
	bool done;
};

static void killer_ready(struct loop_source *source, uint32_t events)
{
	struct killer *killer = container_of(source, struct killer, source);

	(void)events;
	if (killer->done)
		return;
	killer->done = true;
	killer->door->listener = listener_free(killer->door->listener);
}

static void freed_while_it_is_ready(void **state)
{
	struct door door = {0};
	struct killer killer = {.source.ready = killer_ready, .door = &door};
	int pair[2], client;

	(void)state;
	assert_int_equal(loop_new(&door.loop), 0);
	assert_int_equal(listen_at(&door, "127.0.0.1:0"), 0);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(loop_add_level(door.loop, pair[0], EPOLLIN, &killer.source), 0); /* the first to be ready */
	assert_int_equal(listener_start(door.listener), 0);
	client = client_new(&door);
	assert_int_equal(loop_poll(door.loop, UINT64_MAX), 0);
	assert_true(killer.done);
	assert_int_equal(door.accepted, 0);
	close(client);
	close(pair[0]);
	close(pair[1]);
	door_close(&door);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_told),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(star_means_all_addresses),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(addresses_that_cannot_be_had),
		cmocka_unit_test(many_are_accepted),
		cmocka_unit_test(clients_that_left),
		cmocka_unit_test(a_shortage_is_sat_out),
		cmocka_unit_test(retry_ends_a_pause),
		cmocka_unit_test(freed_in_a_pause),
		cmocka_unit_test(freed_while_it_is_ready),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
