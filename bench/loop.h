#pragma once
/*
 * The generator's event loop: level-triggered epoll over TCP connections on loopback, and timers to the nanosecond.
 * One thread. All that was appended to connections during a turn is written at its end, one write per connection.
 * Anything unexpected (a connection cut, a malformed answer) ends the program: a figure from a broken run is worth nothing.
 */
#include "bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct conn {
	int fd;
	uint32_t index; /* the user's */
	void *owner;    /* the user's */
	struct bytes in;
	struct bytes out;
	/* Called with all unconsumed bytes in `in`; consumes what it understood. `now_ns`: just before they were read. */
	void (*on_input)(struct conn *conn, uint64_t now_ns);
	struct loop *loop;
	struct conn *next_dirty;
	bool dirty;
	bool polls_out;
	bool paused;       /* nothing is read; see conn_pause */
	uint32_t read_max; /* the most that one read takes; 0: the loop's */
	uint64_t bytes_in;
	uint64_t bytes_out;
};

struct timer {
	uint64_t due_ns;
	void (*fire)(void *arg, uint64_t now_ns);
	void *arg;
};

struct loop {
	int epoll_fd;
	struct conn *dirty;
	struct timer *timers; /* a binary heap, owned */
	uint32_t timers_count;
	uint32_t timers_capacity;
	uint16_t port;       /* of the server under test */
	uint32_t read_bytes; /* the most that one read takes */
};

uint64_t loop_now_ns(void);
_Noreturn void loop_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void loop_init(struct loop *loop, uint16_t port);
void loop_deinit(struct loop *loop);

/*
 * A connection to 127.0.0.1:port, from 127.0.0.(1 + source): several sources give more than one range of ephemeral ports.
 * With a source above 0 it closes with a reset, so that 15,000 of them leave no TIME_WAIT to trouble the next run.
 */
void conn_open(struct conn *conn, struct loop *loop, uint32_t source);
void conn_close(struct conn *conn);

/* Queue bytes; they leave at the end of the turn, or at conn_flush. */
void conn_write(struct conn *conn, const void *data, size_t len);
void conn_printf(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
void conn_flush(struct conn *conn);

/* A paused connection leaves what comes where it is, as a reader does that is not ready for more. */
void conn_pause(struct conn *conn, bool paused);

/* Call fire(arg) at `due_ns`, from a turn, as close after it as the machine allows. */
void loop_timer(struct loop *loop, struct timer timer);

/* Flush, wait for events until `deadline_ns` at most, and handle them once. */
void loop_turn(struct loop *loop, uint64_t deadline_ns);

/* Turns until *flag, or until `deadline_ns`; says whether the flag is set. */
bool loop_until(struct loop *loop, const bool *flag, uint64_t deadline_ns);
