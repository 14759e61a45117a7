/* One thread's readiness loop: raw epoll, edge-triggered, one epoll_ctl a descriptor; a deadline wheel; a mailbox.
 *
 * The loop does not run itself: the order of work in a turn is written by its owner (src/server/turn.c), who calls loop_poll for
 * the first step. An idle loop makes no system call but the epoll_wait it sleeps in, however many deadlines lie in the wheel. */
#pragma once

#include "base/attr.h"
#include "base/mail.h"
#include "wait/wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* Embedded in whatever owns a descriptor. Called with the EPOLL… bits; may close and free itself. */
struct loop_source {
	void (*ready)(struct loop_source *source, uint32_t events);
};

int loop_new(struct loop **ret_loop) MUST_USE; /* 0 or -errno */
struct loop *loop_free(struct loop *loop);

/* Edge-triggered for reading, writing and hang-up. 0 or -errno. The descriptor leaves the loop when it is closed; events already
 * fetched for it in this turn are not delivered once loop_forget was called. */
int loop_add(struct loop *loop, int fd, struct loop_source *source) MUST_USE;
int loop_add_level(struct loop *loop, int fd, uint32_t events, struct loop_source *source) MUST_USE; /* listeners, signalfd */
int loop_change(struct loop *loop, int fd, uint32_t events, struct loop_source *source) MUST_USE;    /* of one added by level */
void loop_forget(struct loop *loop, struct loop_source *source);

/* Waits until something is ready, mail has come, or `until_ms` (monotonic; UINT64_MAX = for ever; in the past = do not wait),
 * then dispatches. Also wakes for the wheel's next deadline. 0 or -errno. */
int loop_poll(struct loop *loop, uint64_t until_ms) MUST_USE;

/* Monotonic milliseconds, read once a turn by loop_poll. */
uint64_t loop_now_ms(const struct loop *loop);

/* The wheel, for all deadlines of this thread; loop_poll advances it and calls expired entries. */
struct wheel *loop_wheel(struct loop *loop);

/* Any thread: puts mail into the loop's box; wakes it (one eventfd write) only if it may be asleep. */
void loop_send(struct loop *loop, struct mail *mail);
/* A whole list in one go, order kept; the list is empty afterwards. */
void loop_send_list(struct loop *loop, struct mail_list *list);
/* The owner's thread: takes all that has come, oldest first. */
struct mail_list loop_take_mail(struct loop *loop);
