/* What wakes the loop but mail (loop_mail_test.c): deadlines and descriptors, which come and go. What hangs is killed by an
 * alarm. */
#include "base/mem.h"
#include "base/testing.h"
#include "net/loop.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_S = 100 };

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct loop *loop_start(void)
{
	struct loop *loop = NULL;

	assert_int_equal(loop_new(&loop), 0);
	assert_non_null(loop);
	return loop;
}

static void poll_once(struct loop *loop)
{
	assert_int_equal(loop_poll(loop, 0), 0);
}

static size_t open_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* One end of a pair of sockets in the loop, the other one in the test's hand. */
struct end {
	struct loop_source source;
	struct loop *loop;
	int fd, peer;
	unsigned called;
	uint32_t events; /* of the last call */
	void (*then)(struct end *end);
};

static void end_ready(struct loop_source *source, uint32_t events)
{
	struct end *end = container_of(source, struct end, source);

	end->called++;
	end->events = events;
	if (end->then)
		end->then(end);
}

static struct end *end_new(struct loop *loop)
{
	struct end *end = mem_zalloc(sizeof(*end));
	int pair[2];

	assert_non_null(end);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	*end = (struct end){.source.ready = end_ready, .loop = loop, .fd = pair[0], .peer = pair[1]};
	return end;
}

static struct end *end_free(struct end *end)
{
	loop_forget(end->loop, &end->source);
	close(end->fd);
	if (end->peer >= 0)
		close(end->peer);
	return mem_free(end);
}

static void end_say(struct end *end)
{
	assert_int_equal(write(end->peer, "x", 1), 1);
}

static void end_drain(struct end *end)
{
	char bytes[65536];

	while (read(end->fd, bytes, sizeof(bytes)) > 0)
		;
}

struct alarm_entry {
	struct wheel_entry entry;
	struct loop *loop;
	unsigned *called;
	bool again; /* once more, at once */
};

static void alarm_expired(struct wheel_entry *entry)
{
	struct alarm_entry *at = container_of(entry, struct alarm_entry, entry);

	assert_true(loop_now_ms(at->loop) >= entry->deadline_ms);
	++*at->called;
	if (at->again) {
		at->again = false;
		wheel_add(loop_wheel(at->loop), entry);
	}
}

static void deadlines_are_kept(void **state)
{
	struct loop *loop = loop_start();
	uint64_t best_ms = UINT64_MAX;
	unsigned called = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct alarm_entry one = {{.expired = alarm_expired}, loop, &called, false};
		uint64_t late;

		one.entry.deadline_ms = now_ms() + 3 + i % 5;
		wheel_add(loop_wheel(loop), &one.entry);
		assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
		assert_int_equal(called, i + 1); /* one sleep, not a spin towards it */
		late = loop_now_ms(loop) - one.entry.deadline_ms;
		best_ms = late < best_ms ? late : best_ms;
	}
	/* A tick of 4 ms, and what the machine adds to its sleep: seldom 20 times in a row much. */
	assert_true(best_ms <= 8);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t until = now_ms() + i;

		assert_int_equal(loop_poll(loop, until), 0);
		assert_true(now_ms() >= until);
		assert_true(loop_now_ms(loop) >= until);
	}
	loop_free(loop);
}

/* Of many deadlines far away none costs a turn before its time; the thread sleeps but once. */
static void nothing_ticks(void **state)
{
	enum { FAR = 20000 };
	struct loop *loop = loop_start();
	struct alarm_entry *entries = mem_zalloc(FAR * sizeof(*entries)), soon;
	unsigned called = 0, called_far = 0;
	struct rusage before, after;
	uint64_t start = now_ms();

	(void)state;
	assert_non_null(entries);
	for (unsigned i = 0; i < FAR; i++) {
		entries[i] = (struct alarm_entry){
			{.expired = alarm_expired, .deadline_ms = start + 600000 + i}, loop, &called_far, false};
		wheel_add(loop_wheel(loop), &entries[i].entry);
	}
	soon = (struct alarm_entry){{.expired = alarm_expired, .deadline_ms = now_ms() + 100}, loop, &called, false};
	wheel_add(loop_wheel(loop), &soon.entry);
	getrusage(RUSAGE_THREAD, &before);
	assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
	getrusage(RUSAGE_THREAD, &after);
	assert_int_equal(called, 1);
	assert_int_equal(called_far, 0);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 2);
	loop_free(loop);
	mem_free(entries);
}

/* More are due than a turn calls: the turn goes on to its sockets and mail, the next one does not wait. */
static void a_crowd_expires(void **state)
{
	enum { CROWD = 3000 };
	struct loop *loop = loop_start();
	struct alarm_entry *entries = mem_zalloc(CROWD * sizeof(*entries));
	struct end *end = end_new(loop);
	unsigned called = 0, polls = 0;

	(void)state;
	assert_non_null(entries);
	for (unsigned i = 0; i < CROWD; i++) {
		entries[i] = (struct alarm_entry){
			{.expired = alarm_expired, .deadline_ms = loop_now_ms(loop) - 10}, loop, &called, i == 0};
		wheel_add(loop_wheel(loop), &entries[i].entry);
	}
	assert_int_equal(loop_add_level(loop, end->fd, EPOLLIN, &end->source), 0);
	end_say(end);
	for (; called < CROWD + 1; polls++) { /* the first one comes anew: as the last of all */
		unsigned before = called;

		assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
		assert_in_range(called - before, 1, 1024);
		assert_int_equal(end->called, polls + 1);
	}
	assert_int_equal(polls, 3);
	end_free(end);
	loop_free(loop);
	mem_free(entries);
}

static void level_and_change(void **state)
{
	struct loop *loop = loop_start();
	struct end *end = end_new(loop);

	(void)state;
	assert_int_equal(loop_change(loop, end->fd, EPOLLIN, &end->source), -ENOENT);
	assert_int_equal(loop_add_level(loop, -1, EPOLLIN, &end->source), -EBADF);
	assert_int_equal(loop_add_level(loop, end->fd, EPOLLIN, &end->source), 0);
	assert_int_equal(loop_add(loop, end->fd, &end->source), -EEXIST);
	poll_once(loop);
	assert_int_equal(end->called, 0);
	end_say(end);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
		assert_int_equal(end->called, i); /* again and again, until it is read */
		assert_int_equal(end->events, EPOLLIN);
	}
	assert_int_equal(loop_change(loop, end->fd, 0, &end->source), 0);
	poll_once(loop);
	assert_int_equal(end->called, 3);
	assert_int_equal(loop_change(loop, end->fd, EPOLLIN, &end->source), 0);
	poll_once(loop);
	assert_int_equal(end->called, 4);
	end_drain(end);
	poll_once(loop);
	assert_int_equal(end->called, 4);
	end_free(end);
	loop_free(loop);
}

static void edges(void **state)
{
	struct loop *loop = loop_start();
	struct end *end = end_new(loop);
	char bytes[4096] = {0};

	(void)state;
	assert_int_equal(loop_add(loop, end->fd, &end->source), 0);
	poll_once(loop);
	assert_int_equal(end->called, 1);
	assert_int_equal(end->events, EPOLLOUT);
	end_say(end);
	poll_once(loop);
	assert_int_equal(end->called, 2);
	assert_true(end->events & EPOLLIN);
	poll_once(loop); /* not read: no edge */
	assert_int_equal(end->called, 2);
	end_say(end);
	poll_once(loop); /* more came: an edge */
	assert_int_equal(end->called, 3);
	while (write(end->fd, bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	end_drain(end);
	poll_once(loop);
	end->called = 0;
	while (read(end->peer, bytes, sizeof(bytes)) > 0)
		;
	poll_once(loop);
	assert_int_equal(end->called, 1);
	assert_true(end->events & EPOLLOUT);
	assert_int_equal(shutdown(end->peer, SHUT_WR), 0);
	poll_once(loop);
	assert_int_equal(end->called, 2);
	assert_true(end->events & EPOLLRDHUP);
	assert_false(end->events & EPOLLHUP);
	close(end->peer);
	end->peer = -1;
	poll_once(loop);
	assert_int_equal(end->called, 3);
	assert_true(end->events & EPOLLHUP);
	close(end->fd); /* it leaves the loop by this */
	end->fd = dup(STDIN_FILENO);
	poll_once(loop);
	assert_int_equal(end->called, 3);
	end_free(end);
	loop_free(loop);
}

enum { ENDS = 100 };

struct ends {
	struct end *ends[ENDS];
	struct test_random random;
	unsigned calls, freed;
	size_t kill; /* at each call */
} crowd;

/* Whoever is called takes some others with it, whether their turn is over or still to come, and perhaps itself. */
static void kill_some(struct end *end)
{
	(void)end;
	crowd.calls++;
	for (size_t i = 0; i < crowd.kill; i++) {
		struct end **victim = &crowd.ends[test_random_below(&crowd.random, ENDS)];

		if (*victim) {
			*victim = end_free(*victim);
			crowd.freed++;
		}
	}
}

static void sources_leave_while_they_are_ready(void **state)
{
	(void)state;
	crowd.random = test_random_start("loop, leaving");
	for (crowd.kill = 0; crowd.kill < 6; crowd.kill++) {
		struct loop *loop = loop_start();
		unsigned alive = 0;

		crowd.calls = crowd.freed = 0;
		for (size_t i = 0; i < ENDS; i++) {
			crowd.ends[i] = end_new(loop);
			crowd.ends[i]->then = kill_some;
			assert_int_equal(loop_add_level(loop, crowd.ends[i]->fd, EPOLLIN, &crowd.ends[i]->source), 0);
			end_say(crowd.ends[i]);
		}
		poll_once(loop); /* memory checkers see a call of one that is gone */
		for (size_t i = 0; i < ENDS; i++) {
			if (!crowd.ends[i])
				continue;
			alive++;
			assert_int_equal(crowd.ends[i]->called, 1); /* nobody was left out */
			crowd.ends[i] = end_free(crowd.ends[i]);
		}
		assert_int_equal(alive + crowd.freed, ENDS);
		assert_in_range(crowd.calls, alive, ENDS);
		assert_true(crowd.kill < 2 || crowd.calls < ENDS); /* else nobody's turn was still to come */
		loop_free(loop);
	}
}

/* More are ready than one turn fetches; the next one has the rest. */
static void more_ready_than_a_turn_takes(void **state)
{
	enum { MANY = 400 };
	static struct end *ends[MANY];
	struct rlimit limit, high;
	struct loop *loop = loop_start();

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	high = limit;
	high.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &high), 0);
	for (size_t i = 0; i < MANY; i++) {
		ends[i] = end_new(loop);
		assert_int_equal(loop_add_level(loop, ends[i]->fd, EPOLLIN, &ends[i]->source), 0);
		end_say(ends[i]);
		ends[i]->then = end_drain;
	}
	poll_once(loop);
	assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(ends[i]->called, 1);
		end_free(ends[i]);
	}
	loop_free(loop);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void on_signal(int number)
{
	(void)number;
}

/* A signal ends the sleep like anything else; nothing else ends one that is to last for longer than an int has milliseconds. */
static void signals_are_no_errors(void **state)
{
	struct loop *loop = loop_start();
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	const struct itimerspec often = {.it_interval.tv_nsec = 50000000, .it_value.tv_nsec = 50000000};
	uint64_t start = now_ms();
	timer_t timer;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
	assert_int_equal(loop_poll(loop, start + ((uint64_t)1 << 32) + 10), 0);
	assert_true(now_ms() >= start + 49);
	assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
	timer_delete(timer);
	loop_free(loop);
}

/* Without memory, or with too few descriptors for its two: an error, and nothing kept. */
static void new_fails_cleanly(void **state)
{
	size_t before = open_count();
	struct loop *loop = NULL;
	struct rlimit limit, low;
	int lowest = dup(STDIN_FILENO);

	(void)state;
	assert_true(lowest >= 0);
	close(lowest);
	mem_fail_nth(1);
	assert_int_equal(loop_new(&loop), -ENOMEM);
	mem_fail_nth(0);
	assert_null(loop);
	getrlimit(RLIMIT_NOFILE, &limit);
	for (int spare = 0; spare < 2; spare++) {
		int error;

		low = limit;
		low.rlim_cur = (rlim_t)(lowest + spare);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		error = loop_new(&loop);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(error, -EMFILE);
		assert_null(loop);
	}
	assert_int_equal(open_count(), before);
	loop = loop_start();
	assert_null(loop_free(loop));
	assert_null(loop_free(NULL));
	assert_int_equal(open_count(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_are_kept),
		cmocka_unit_test(nothing_ticks),
		cmocka_unit_test(a_crowd_expires),
		cmocka_unit_test(level_and_change),
		cmocka_unit_test(edges),
		cmocka_unit_test(sources_leave_while_they_are_ready),
		cmocka_unit_test(more_ready_than_a_turn_takes),
		cmocka_unit_test(signals_are_no_errors),
		cmocka_unit_test(new_fails_cleanly),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
