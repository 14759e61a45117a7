/* The deliverer against a receiver that does what it should not. The receiver is the test itself: it accepts, reads, answers. */
#include "base/testing.h"

#include "base/mem.h"
#include "http/api/json_in.h"
#include "server/webhook.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static const uint8_t secret[HOOK_SECRET_BYTES] = "0123456789abcdef";

/* --- what the server would be --- */

static struct {
	int listener;
	unsigned port;
	char url[64];
	int reports[2]; /* a pipe: what was reported comes out */
	struct hook_signer *signer;
	struct webhooks *webhooks;
} w;

static void report(void *ctx, const struct hooked_in *hooked)
{
	(void)ctx;
	assert_int_equal(write(w.reports[1], hooked, sizeof(*hooked)), sizeof(*hooked));
}

static uint64_t unix_ms(void *ctx)
{
	(void)ctx;
	return 1000000;
}

static void start_at(in_addr_t at, enum hook_allow allow, unsigned at_once, uint64_t timeout_ms)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(at)};
	socklen_t len = sizeof(address);

	w.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w.listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(w.listener, 16), 0);
	assert_int_equal(getsockname(w.listener, (struct sockaddr *)&address, &len), 0);
	w.port = ntohs(address.sin_port);
	snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%u/hook", w.port);
	assert_int_equal(pipe(w.reports), 0);
	w.signer = hook_signer_new(secret);
	w.webhooks = webhooks_new(&(struct webhooks_config){.allow = allow,
							    .at_once_max = at_once,
							    .timeout_ms = timeout_ms,
							    .ca_file = "",
							    .signer = w.signer,
							    .unix_ms = unix_ms,
							    .report = report});
	assert_non_null(w.webhooks);
}

static void start(enum hook_allow allow, unsigned at_once, uint64_t timeout_ms)
{
	start_at(INADDR_LOOPBACK, allow, at_once, timeout_ms);
}

static void stop(void)
{
	webhooks_free(w.webhooks);
	hook_signer_free(w.signer);
	close(w.listener);
	close(w.reports[0]);
	close(w.reports[1]);
}

static struct hook *hook_new(uint64_t number, const char *url)
{
	struct hook *hook = mem_zalloc(sizeof(*hook));
	struct subscription_view *view = mem_zalloc(sizeof(*view) + sizeof(view->streams[0]));

	hook->message.kind = MESSAGE_HOOK;
	hook->view = view;
	*view = (struct subscription_view){
		.number = number,
		.type = SUBSCRIPTION_WEBHOOK,
		.id = SLICE("sub 1/a"),
		.url = slice_str(url),
		.origin = SLICE("http://bide:7080"),
		.lease_ttl_ms = 30000,
		.generation = 7,
		.wake_id = "w_0123456789abc",
		.token = "token",
		.stream_count = 1,
	};
	view->streams[0] = (struct subscription_stream_view){
		.path = SLICE("events/a"), .has_pending = true, .number = 3, .acked_offset = 1, .tail_offset = 2};
	return hook;
}

static void send_to(uint64_t number, const char *url)
{
	webhooks_send(w.webhooks, hook_new(number, url));
}

static void send_here(uint64_t number)
{
	send_to(number, w.url);
}

static bool is_ready(int fd, int timeout_ms)
{
	return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, timeout_ms) == 1;
}

static struct hooked_in reported(void)
{
	struct hooked_in hooked;

	assert_true(is_ready(w.reports[0], PATIENCE_MS));
	assert_int_equal(read(w.reports[0], &hooked, sizeof(hooked)), sizeof(hooked));
	return hooked;
}

static void expect(uint64_t number, enum hook_result result)
{
	struct hooked_in hooked = reported();

	assert_int_equal(hooked.number, number);
	assert_int_equal(hooked.generation, 7);
	assert_int_equal(hooked.result, result);
}

/* --- the receiver --- */

static char got[16384];

/* Takes one connection and reads its request whole. */
static int take(void)
{
	size_t len = 0, want = SIZE_MAX;
	int fd;

	assert_true(is_ready(w.listener, PATIENCE_MS));
	fd = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	while (len < want) {
		const char *end, *length;
		ssize_t n;

		assert_true(is_ready(fd, PATIENCE_MS));
		n = read(fd, got + len, sizeof(got) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		got[len] = '\0';
		end = strstr(got, "\r\n\r\n");
		length = strstr(got, "Content-Length: ");
		if (end && length)
			want = (size_t)(end + 4 - got) + strtoul(length + 16, NULL, 10);
	}
	return fd;
}

static void say(int fd, const char *status, const char *headers, const char *body)
{
	char text[1024];
	int len = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s", status,
			   strlen(body), headers, body);

	assert_int_equal(write(fd, text, (size_t)len), len);
	close(fd);
}

/* --- the tests --- */

static void what_is_posted(void **state)
{
	static const char body[] =
		"{\"subscription_id\":\"sub 1/a\",\"wake_id\":\"w_0123456789abc\",\"generation\":7,\"streams\":[{\"path\":"
		"\"events/a\",\"link_type\":\"glob\",\"acked_offset\":\"0000000000000003_0000000000000001\",\"tail_offset\":"
		"\"0000000000000003_0000000000000002\",\"has_pending\":true}],\"callback_url\":"
		"\"http://bide:7080/v1/stream/__ds/subscriptions/sub%201%2Fa/callback\",\"callback_token\":\"token\"}";
	struct buf signature = {0};
	struct webhooks_stats stats;
	const char *at;
	int fd;

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	send_here(1);
	fd = take();
	assert_memory_equal(got, "POST /hook HTTP/1.1\r\n", 21);
	assert_non_null(strstr(got, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(got, "Expect"));
	assert_string_equal(strstr(got, "\r\n\r\n") + 4, body);
	at = strstr(got, "\r\nWebhook-Signature: t=");
	assert_non_null(at);
	assert_int_equal(hook_sign(w.signer, strtoull(at + 23, NULL, 10), slice_str(body), &signature), 0);
	assert_memory_equal(at + 21, signature.ptr, signature.len);
	buf_deinit(&signature);
	webhooks_stats(w.webhooks, &stats);
	assert_int_equal(stats.pending, 1);
	say(fd, "200 OK", "", "{\"done\":true}");
	expect(1, HOOK_DONE);
	webhooks_stats(w.webhooks, &stats);
	assert_true(stats.pending == 0 && stats.done_total == 1 && stats.answered_total + stats.failed_total == 0);
	stop();
}

static void what_answers_mean(void **state)
{
	static const struct {
		const char *status, *body;
		enum hook_result result;
	} cases[] = {
		{"200 OK", "{\"done\":true}", HOOK_DONE},
		{"201 Created", " {\"done\": true, \"more\":[1]} ", HOOK_DONE},
		{"200 OK", "{\"done\":false}", HOOK_ANSWERED},
		{"200 OK", "{\"done\":1}", HOOK_ANSWERED},
		{"200 OK", "{\"done\":\"true\"}", HOOK_ANSWERED},
		{"200 OK", "[{\"done\":true}]", HOOK_ANSWERED},
		{"200 OK", "", HOOK_ANSWERED},
		{"202 Accepted", "fine", HOOK_ANSWERED},
		{"204 No Content", "", HOOK_ANSWERED},
		{"304 Not Modified", "", HOOK_FAILED},
		{"400 Bad Request", "{\"done\":true}", HOOK_FAILED},
		{"410 Gone", "", HOOK_FAILED},
		{"500 Internal Server Error", "{\"done\":true}", HOOK_FAILED},
	};

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		send_here(i);
		say(take(), cases[i].status, "", cases[i].body);
		expect(i, cases[i].result);
	}
	stop();
}

static void redirects_are_not_followed(void **state)
{
	char location[96];

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	snprintf(location, sizeof(location), "Location: http://127.0.0.1:%u/elsewhere\r\n", w.port);
	send_here(1);
	say(take(), "307 Temporary Redirect", location, "");
	expect(1, HOOK_FAILED);
	assert_false(is_ready(w.listener, 0));
	stop();
}

/* 64 KiB are read of an answer; a longer one was taken all the same. */
static void long_answers_are_not_read_to_their_end(void **state)
{
	static const size_t lengths[] = {64 * 1024, 64 * 1024 + 1, 64 * 1024 * 1024};
	static char piece[64 * 1024];

	(void)state;
	memset(piece, ' ', sizeof(piece));
	memcpy(piece, "{\"done\":true}", 13);
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		char head[64];
		size_t left = lengths[i];
		int fd, len;

		send_here(i);
		fd = take();
		len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", left);
		assert_int_equal(write(fd, head, (size_t)len), len);
		while (left) {
			ssize_t n = send(fd, piece, left < sizeof(piece) ? left : sizeof(piece), MSG_NOSIGNAL);

			if (n < 0)
				break; /* it has heard enough */
			left -= (size_t)n;
			memset(piece, ' ', 13);
		}
		assert_int_equal(left == 0, lengths[i] <= 64 * 1024 + 1);
		close(fd);
		expect(i, i == 0 ? HOOK_DONE : HOOK_ANSWERED);
		memcpy(piece, "{\"done\":true}", 13);
	}
	stop();
}

static void who_does_not_answer_has_failed(void **state)
{
	int fd;

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, 50);
	send_here(1);
	fd = take();
	expect(1, HOOK_FAILED);
	close(fd);
	send_here(2);
	close(take());
	expect(2, HOOK_FAILED);
	shutdown(w.listener, SHUT_RDWR);
	close(w.listener);
	send_here(3);
	expect(3, HOOK_FAILED);
	w.listener = dup(0);
	stop();
}

/* What would be refused is refused before anything is sent. */
static void places_where_webhooks_may_not_go(void **state)
{
	(void)state;
	start(HOOK_ALLOW_PUBLIC, 4, PATIENCE_MS);
	send_here(1);
	expect(1, HOOK_FAILED);
	send_to(2, "https://10.0.0.1/");
	expect(2, HOOK_FAILED);
	assert_false(is_ready(w.listener, 0));
	stop();
}

/* This machine's own name leads to an address that is not public. */
static void a_name_says_nothing_of_its_address(void **state)
{
	static const enum hook_allow allowed[] = {HOOK_ALLOW_ANY, HOOK_ALLOW_PUBLIC, HOOK_ALLOW_LOOPBACK};
	char name[256] = "", url[300];

	(void)state;
	assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
	for (size_t i = 0; i < ARRAY_COUNT(allowed); i++) {
		start_at(INADDR_ANY, allowed[i], 4, PATIENCE_MS);
		snprintf(url, sizeof(url), "https://%s:%u/", name, w.port);
		send_to(i, url);
		if (allowed[i] == HOOK_ALLOW_ANY) {
			while (!is_ready(w.listener, 1) && !is_ready(w.reports[0], 0))
				;
			if (!is_ready(w.listener, 0)) {
				stop();
				skip(); /* it has no address */
			}
			close(accept4(w.listener, NULL, NULL, SOCK_CLOEXEC));
		}
		expect(i, HOOK_FAILED);
		assert_false(is_ready(w.listener, 0));
		stop();
	}
}

static void so_many_at_once_and_the_others_in_line(void **state)
{
	int fd[3];

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 2, PATIENCE_MS);
	for (uint64_t i = 1; i <= 3; i++)
		send_here(i);
	fd[0] = take();
	fd[1] = take();
	assert_false(is_ready(w.listener, 50));
	say(fd[0], "204 No Content", "", "");
	fd[2] = take();
	say(fd[1], "204 No Content", "", "");
	say(fd[2], "204 No Content", "", "");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(reported().result, HOOK_ANSWERED);
	stop();
}

/* The living are called however many dead there are. */
static void who_failed_before_has_half_of_the_places(void **state)
{
	int fd[4];

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	for (uint64_t i = 1; i <= 3; i++) {
		struct hook *hook = hook_new(i, w.url);

		hook->view->attempts = 1;
		webhooks_send(w.webhooks, hook);
	}
	fd[0] = take();
	fd[1] = take();
	assert_false(is_ready(w.listener, 50));
	send_here(4);
	send_here(5);
	fd[2] = take();
	fd[3] = take();
	say(fd[2], "204 No Content", "", "");
	say(fd[3], "204 No Content", "", "");
	assert_int_equal(reported().number + reported().number, 4 + 5);
	assert_false(is_ready(w.listener, 0));
	say(fd[0], "204 No Content", "", "");
	(void)reported();
	say(take(), "204 No Content", "", "");
	(void)reported();
	say(fd[1], "204 No Content", "", "");
	(void)reported();
	stop();
}

static void who_waited_in_line_until_its_lease_was_over(void **state)
{
	struct hook *late, *hurried;
	int fd;

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 1, PATIENCE_MS);
	send_here(1);
	fd = take();
	late = hook_new(2, w.url);
	late->view->lease_until_ms = unix_ms(NULL);
	webhooks_send(w.webhooks, late);
	say(fd, "204 No Content", "", "");
	expect(1, HOOK_ANSWERED);
	expect(2, HOOK_FAILED);
	assert_false(is_ready(w.listener, 0));
	hurried = hook_new(3, w.url);
	hurried->view->lease_until_ms = unix_ms(NULL) + 50;
	webhooks_send(w.webhooks, hurried);
	fd = take();
	expect(3, HOOK_FAILED);
	close(fd);
	stop();
}

/* Leaving waits neither for those under way nor for those in line. */
static void leaving_breaks_off(void **state)
{
	int fd;

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 1, 1000 * PATIENCE_MS);
	send_here(1);
	send_here(2);
	fd = take();
	stop();
	close(fd);
}

static void without_memory_it_has_failed(void **state)
{
	bool failed = true;

	(void)state;
	start(HOOK_ALLOW_LOOPBACK, 4, PATIENCE_MS);
	send_here(0); /* curl and the thread are there afterwards */
	say(take(), "204 No Content", "", "");
	expect(0, HOOK_ANSWERED);
	for (uint64_t nth = 3; failed && nth < 200; nth++) { /* two are the test's own */
		mem_fail_nth(nth);
		send_here(nth);
		while (!is_ready(w.listener, 1)) {
			if (is_ready(w.reports[0], 0))
				break;
		}
		mem_fail_nth(0);
		failed = is_ready(w.reports[0], 0);
		if (!failed)
			say(take(), "200 OK", "", "{\"done\":true}");
		expect(nth, failed ? HOOK_FAILED : HOOK_DONE);
	}
	assert_false(failed);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_posted),
		cmocka_unit_test(what_answers_mean),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(long_answers_are_not_read_to_their_end),
		cmocka_unit_test(who_does_not_answer_has_failed),
		cmocka_unit_test(places_where_webhooks_may_not_go),
		cmocka_unit_test(a_name_says_nothing_of_its_address),
		cmocka_unit_test(so_many_at_once_and_the_others_in_line),
		cmocka_unit_test(who_failed_before_has_half_of_the_places),
		cmocka_unit_test(who_waited_in_line_until_its_lease_was_over),
		cmocka_unit_test(leaving_breaks_off),
		cmocka_unit_test(without_memory_it_has_failed),
	};

	json_in_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
