/* The mailbox is a stack that any thread pushes to (one compare-and-swap for a whole list) and its owner takes as a whole, which
 * is why a link can never be read half made; taking turns it round again.
 *
 * Sleeping and sending meet like this, in one total order: the owner sets `asleep`, then looks into the box, then sleeps; a
 * sender puts its mail into the box, then looks at `asleep`. One of the two sees the other. So a loop that is awake costs a
 * sender no system call, and a loop that sleeps costs the first sender one. */
#include "net/loop.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { LOOP_EVENTS_MAX = 256, LOOP_EXPIRED_MAX = 1024 };

struct loop {
	/* Touched by senders. */
	_Alignas(64) _Atomic(struct mail *) box;
	atomic_bool asleep;
	int wake_fd;

	/* The owner's. */
	_Alignas(64) int epoll_fd;
	struct wheel *wheel;
	uint64_t now_ms;
	bool more_expired;
	int event_count, event_at; /* of the turn's dispatch */
	struct epoll_event events[LOOP_EVENTS_MAX];
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int loop_new(struct loop **ret_loop)
{
	struct loop *loop = aligned_alloc(64, sizeof(*loop));
	struct epoll_event wake = {.events = EPOLLIN | EPOLLET};
	int error;

	if (!loop)
		return -ENOMEM;
	memset(loop, 0, sizeof(*loop));
	loop->now_ms = monotonic_ms();
	loop->wheel = wheel_new(loop->now_ms);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!loop->wheel)
		error = -ENOMEM;
	else if (loop->wake_fd < 0 || loop->epoll_fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) < 0)
		error = -errno;
	else
		error = 0;
	if (error) {
		loop_free(loop);
		return error;
	}
	*ret_loop = loop;
	return 0;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	wheel_free(loop->wheel);
	free(loop);
	return NULL;
}

int loop_add_level(struct loop *loop, int fd, uint32_t events, struct loop_source *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, struct loop_source *source)
{
	return loop_add_level(loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, source);
}

int loop_change(struct loop *loop, int fd, uint32_t events, struct loop_source *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void loop_forget(struct loop *loop, struct loop_source *source)
{
	for (int i = loop->event_at; i < loop->event_count; i++) {
		if (loop->events[i].data.ptr == source)
			loop->events[i].data.ptr = NULL;
	}
}

/* How long to sleep: 0 when something is there already. */
static int sleep_ms(const struct loop *loop, uint64_t until_ms)
{
	uint64_t next_ms = wheel_next_ms(loop->wheel), now_ms;

	if (loop->more_expired)
		return 0;
	if (next_ms < until_ms)
		until_ms = next_ms;
	if (until_ms == UINT64_MAX)
		return -1;
	if (until_ms <= loop->now_ms)
		return 0;
	now_ms = monotonic_ms();
	if (until_ms <= now_ms)
		return 0;
	return until_ms - now_ms > INT_MAX ? INT_MAX : (int)(until_ms - now_ms);
}

static int loop_wait(struct loop *loop, uint64_t until_ms)
{
	int timeout_ms = sleep_ms(loop, until_ms), count;

	if (timeout_ms != 0) {
		atomic_store(&loop->asleep, true);
		if (atomic_load(&loop->box))
			timeout_ms = 0;
	}
	count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX, timeout_ms);
	atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	return count;
}

int loop_poll(struct loop *loop, uint64_t until_ms)
{
	int count = loop_wait(loop, until_ms);

	if (count < 0)
		return count;
	loop->now_ms = monotonic_ms();
	loop->event_count = count;
	for (loop->event_at = 0; loop->event_at < count;) {
		/* One behind the current one: loop_forget looks at what is still to come. */
		const struct epoll_event *event = &loop->events[loop->event_at++];
		struct loop_source *source = event->data.ptr;

		/* The eventfd, which has no source, is edge-triggered and never read: every write is an edge of its own. */
		if (source)
			source->ready(source, event->events);
	}
	loop->event_count = loop->event_at = 0;
	loop->more_expired = wheel_advance(loop->wheel, loop->now_ms, LOOP_EXPIRED_MAX);
	return 0;
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

struct wheel *loop_wheel(struct loop *loop)
{
	return loop->wheel;
}

/* first … last: newest first, as the box keeps them. */
static void box_push(struct loop *loop, struct mail *first, struct mail *last)
{
	struct mail *top = atomic_load_explicit(&loop->box, memory_order_relaxed);
	uint64_t one = 1;

	do
		last->next = top;
	while (!atomic_compare_exchange_weak(&loop->box, &top, first));
	/* Only the first of many senders pays for the write. A full counter (never, at one a write) would still be an edge. */
	if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false) && write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void loop_send(struct loop *loop, struct mail *mail)
{
	box_push(loop, mail, mail);
}

void loop_send_list(struct loop *loop, struct mail_list *list)
{
	struct mail *first = NULL, *last = list->first, *mail;

	while ((mail = mail_pop(list))) {
		mail->next = first;
		first = mail;
	}
	if (first)
		box_push(loop, first, last);
}

struct mail_list loop_take_mail(struct loop *loop)
{
	struct mail *mail = NULL;
	struct mail_list list = {0};

	if (atomic_load_explicit(&loop->box, memory_order_relaxed))
		mail = atomic_exchange_explicit(&loop->box, NULL, memory_order_acquire);
	list.last = mail;
	while (mail) {
		struct mail *next = mail->next;

		mail->next = list.first;
		list.first = mail;
		mail = next;
	}
	return list;
}
