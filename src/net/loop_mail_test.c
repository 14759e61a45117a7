/* The loop's mailbox across threads. A lost wake-up is a test that never ends: an alarm kills it. How often the loop was woken
 * can be read off from outside, since its eventfd is never read: /proc tells the counter, and that is the number of writes. */
#include "base/mem.h"
#include "base/testing.h"
#include "net/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
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

/* How often anybody wrote into the eventfd of the process's only loop. */
static unsigned wakes(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	struct dirent *at;
	unsigned count = UINT32_MAX;

	assert_non_null(dir);
	while ((at = readdir(dir))) {
		int fd = openat(dirfd(dir), at->d_name, O_RDONLY | O_CLOEXEC);
		char text[1024];
		ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		const char *found;

		if (fd >= 0)
			close(fd);
		if (len <= 0)
			continue;
		text[len] = '\0';
		found = strstr(text, "eventfd-count:");
		if (found) {
			assert_int_equal(count, UINT32_MAX); /* one loop at a time, please */
			count = (unsigned)strtoul(found + strlen("eventfd-count:"), NULL, 16);
		}
	}
	closedir(dir);
	assert_true(count != UINT32_MAX);
	return count;
}

struct letter {
	struct mail mail;
	unsigned sender, number;
};

static void mail_in_order(void **state)
{
	struct loop *loop = loop_start();
	struct letter letters[10];
	struct mail_list list = {0}, got;
	struct mail *mail;
	unsigned count = 0;

	(void)state;
	assert_null(loop_take_mail(loop).first);
	loop_send_list(loop, &list); /* an empty one is no mail */
	assert_null(loop_take_mail(loop).first);
	for (unsigned i = 0; i < 10; i++) {
		letters[i].number = i;
		if (i < 2 || i == 9) {
			loop_send(loop, &letters[i].mail);
			continue;
		}
		mail_push(&list, &letters[i].mail);
		if (i == 5 || i == 8)
			loop_send_list(loop, &list);
		assert_int_equal(list.first == NULL, i == 5 || i == 8);
		assert_int_equal(list.last == NULL, i == 5 || i == 8);
	}
	assert_int_equal(loop_poll(loop, UINT64_MAX), 0); /* mail is there: no waiting */
	assert_int_equal(wakes(), 0);                     /* and a loop that is awake was not woken */
	for (got = loop_take_mail(loop); (mail = mail_pop(&got)); count++)
		assert_int_equal(container_of(mail, struct letter, mail)->number, count);
	assert_int_equal(count, 10);
	assert_null(got.last);
	assert_null(loop_take_mail(loop).first);
	loop_free(loop);
}

enum { SENDERS = 6, LETTERS = 4000 };

struct sender {
	pthread_t thread;
	struct loop *loop;
	unsigned number;
	struct letter letters[LETTERS];
};

/* Singly, and in lists of all lengths. */
static void *sender_run(void *ctx)
{
	struct sender *sender = ctx;
	struct test_random random = {sender->number};

	for (unsigned i = 0; i < LETTERS;) {
		size_t length = test_random_below(&random, 6);
		struct mail_list list = {0};

		for (size_t n = 0; n <= length && i < LETTERS; n++, i++) {
			sender->letters[i] = (struct letter){.sender = sender->number, .number = i};
			if (length == 0)
				loop_send(sender->loop, &sender->letters[i].mail);
			else
				mail_push(&list, &sender->letters[i].mail);
		}
		loop_send_list(sender->loop, &list);
	}
	return NULL;
}

static void many_senders(void **state)
{
	struct loop *loop = loop_start();
	struct sender *senders = mem_zalloc(SENDERS * sizeof(*senders));
	unsigned next[SENDERS] = {0}, got = 0, polls = 0;

	(void)state;
	assert_non_null(senders);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].loop = loop;
		senders[i].number = i;
		assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_run, &senders[i]), 0);
	}
	for (; got < SENDERS * LETTERS; polls++) {
		struct mail_list list;
		struct mail *mail;

		assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
		list = loop_take_mail(loop);
		while ((mail = mail_pop(&list))) {
			const struct letter *letter = container_of(mail, struct letter, mail);

			assert_in_range(letter->sender, 0, SENDERS - 1);
			assert_int_equal(letter->number, next[letter->sender]++); /* in the order of its sender */
			got++;
		}
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	assert_null(loop_take_mail(loop).first);
	assert_true(wakes() <= polls); /* the first of many pays, nobody else */
	mem_free(senders);
	loop_free(loop);
}

enum { ROUNDS = 10000 };

struct player {
	struct loop *own, *other;
	struct mail ball;
	unsigned caught;
};

/* Catches a ball, throws his own: both sleep again and again, and either one's next turn hangs on one wake-up. */
static void *player_run(void *ctx)
{
	struct player *player = ctx;

	while (player->caught < ROUNDS) {
		if (loop_poll(player->own, UINT64_MAX))
			return NULL;
		if (!loop_take_mail(player->own).first)
			continue; /* woken late for a ball that was caught already */
		player->caught++;
		loop_send(player->other, &player->ball);
	}
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	struct loop *one = loop_start(), *other = loop_start();
	struct player players[2] = {{.own = one, .other = other}, {.own = other, .other = one}};
	struct mail first;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, player_run, &players[1]), 0);
	loop_send(one, &first);
	player_run(&players[0]);
	pthread_join(thread, NULL);
	assert_int_equal(players[0].caught, ROUNDS);
	assert_int_equal(players[1].caught, ROUNDS);
	assert_ptr_equal(loop_take_mail(one).first, &players[1].ball);
	loop_free(one);
	loop_free(other);
}

static void *send_one(void *ctx)
{
	struct sender *sender = ctx;

	loop_send(sender->loop, &sender->letters[0].mail);
	return NULL;
}

/* The eventfd, once written, is readable for ever; it must not keep anybody from sleeping. */
static void a_wake_up_is_over_when_it_is_over(void **state)
{
	struct loop *loop = loop_start();
	struct sender *sender = mem_zalloc(sizeof(*sender));
	uint64_t until;

	(void)state;
	assert_non_null(sender);
	sender->loop = loop;
	while (wakes() == 0) { /* until a letter finds the loop asleep */
		assert_int_equal(pthread_create(&sender->thread, NULL, send_one, sender), 0);
		do
			assert_int_equal(loop_poll(loop, UINT64_MAX), 0);
		while (!loop_take_mail(loop).first);
		pthread_join(sender->thread, NULL);
	}
	poll_once(loop);
	for (int i = 0; i < 3; i++) {
		until = now_ms() + 10;
		assert_int_equal(loop_poll(loop, until), 0);
		assert_true(now_ms() >= until);
	}
	mem_free(sender);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_in_order),
		cmocka_unit_test(many_senders),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(a_wake_up_is_over_when_it_is_over),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
