/* Inside the HTTP engine: a connection, a request on its way in, an answer on its way out.
 *
 *  1. A connection is freed in conn_attend only, which http_thread_flush calls: whatever a callback of the door brings about, the
 *     connection it is called for still stands when it returns. Until then a dead one is CONN_BROKEN.
 *  2. `exchanges` holds, in the order of the requests, those whose answer has not been moved to `out` as a whole. Only the first
 *     may move.
 *  3. The door is told that an exchange is over, on_gone or on_written, by http_thread_flush alone. Until then it is in one of
 * the thread's lists, and its connection, which may be no more, is the thread's `limbo`: no callback of the door's runs while a
 * line is walked, and an answer to a lost exchange finds out that it is void.
 *  4. Whatever has to be done later for a connection (write, read on, end) puts it into its thread's `work`; once is enough.
 *  5. At rest, and while everything is parked, a connection has no intake, no piece and no leftover. */
#pragma once

#include "base/pool.h"
#include "http/codec/h1.h"
#include "http/exchange/http_thread.h"
#include "net/stream.h"
#include "sequencer/command.h"

enum {
	READ_HEAD_BYTES = 16 * 1024,      /* one read, while a head is expected: what cannot be used at once has to be kept */
	READ_BODY_BYTES = 64 * 1024,      /* one read, within a body */
	READS_A_TURN = 8,                 /* of one connection */
	PIECE_BYTES = BLOB_CHUNK_BYTES,   /* of a pinned body, at a time */
	PIECES_A_TURN = 8,                /* of one connection's pinned bodies */
	INLINE_AT_ONCE_BYTES = 64 * 1024, /* a stored body up to this is read whole into the answer */
	DISCARD_BYTES = 256 * 1024,       /* of a body that nobody wants */
	LINGER_MS = 2000,                 /* after our last word, for the client to hear it */
	CONNS_A_TURN = 4096,              /* attended to in one flush */
	SPARE_PIECES = 64,
	SPARE_BUF_BYTES = 16 * 1024, /* buffers up to this are kept for the next answer */
};

enum conn_flag {
	CONN_FIN = 1,       /* read to its end: the client sends no more */
	CONN_RDHUP = 2,     /* the client sends no more, but not everything was read */
	CONN_BROKEN = 4,    /* neither read nor written any more; ends at the next attention */
	CONN_CLOSING = 8,   /* no further request is taken from it */
	CONN_LAST = 16,     /* the answer that closes it is in `out`: nothing comes behind it */
	CONN_READABLE = 32, /* the socket may have more for us */
	CONN_BLOCKED = 64,  /* the socket takes no more until it says so */
	CONN_LINGER = 128,  /* our side is ended; what still comes is dropped */
	CONN_GOT = 256,     /* bytes came since the timer was set */
	CONN_SENT = 512,    /* bytes went since the timer was set */
	CONN_CUT = 1024,    /* a body that nobody wants was left unread: closing at once would reset what was answered */
};

enum timer_kind { TIMER_NONE /* and not in the wheel */, TIMER_HEAD, TIMER_BODY, TIMER_WRITE, TIMER_IDLE, TIMER_LINGER };

enum exchange_state {
	EX_OPEN, /* with the door */
	EX_PARKED,
	EX_ANSWERED, /* its answer waits for its turn, or for being written (EX_TELL) */
	EX_LOST,     /* in the thread's list `lost`: on_gone is due */
	EX_GONE,     /* in the thread's list `gone`: the door was told, and is not done with it */
};

enum exchange_flag {
	EX_HEAD = 1, /* the method: no body in the answer */
	EX_HTTP10 = 2,
	EX_CLOSE = 4,  /* the connection closes behind the answer */
	EX_ENGINE = 8, /* the door never heard of it, or no more */
	EX_TELL = 16,
	EX_CONTINUE = 32, /* 100 Continue is due when its turn comes */
	EX_TAKEN = 64,    /* the door wants the body */
	EX_EMPTY = 128,   /* on_body with an empty body is due */
	EX_STREAM = 256,  /* the answer has begun and goes on: what is in `answer` is held back */
	EX_CHUNKED = 512, /* … in chunks */
	EX_FULL = 1024,   /* … and on_drained is due when the socket has taken most of what is left */
};

enum piece_kind { PIECE_COPY, PIECE_SHARED, PIECE_PINNED };

/* A part of what a connection has to write. */
struct piece {
	struct piece *next;
	struct exchange *tell; /* the exchange whose last part this is, when it wants to know */
	uint8_t kind;
	uint8_t connection; /* SHARED: enum answer_connection */
	bool without_body;  /* SHARED */
	uint64_t at;        /* sent so far; PINNED: the offset of the next byte */
	union {
		struct buf buf;
		struct shared_answer *shared;
		struct {
			struct store_pin *pin;
			uint64_t left;
		} pinned;
	};
};

struct chain {
	struct piece *first, *last;
};

struct leftover {
	size_t at, len;
	char bytes[];
};

enum intake_mode {
	INTAKE_HEAD,
	INTAKE_WAITING, /* for the door to say what it wants */
	INTAKE_MEMORY,
	INTAKE_STORE, /* in memory as long as it is short */
	INTAKE_BLOB,
	INTAKE_SEALING, /* complete, on its way to the disk */
	INTAKE_DISCARD,
	INTAKE_TOO_LARGE, /* 413 is due */
};

/* One request on its way in. */
struct intake {
	struct intake *next_spare;
	struct h1 *h1;
	struct exchange *ex; /* NULL: before the head is complete; and when nobody wants the body any more */
	struct arena arena;  /* until it is the exchange's */
	struct blob *blob;
	struct seal *seal;
	struct buf body;
	struct buf scratch;
	uint64_t length; /* announced; UINT64_MAX: not */
	uint64_t limit;
	uint64_t got_bytes;
	int error; /* why the body cannot be kept */
	uint8_t mode;
	bool expect; /* 100 Continue was asked for and not said */
	struct h1_space space;
};

struct http_conn {
	struct loop_source source;
	struct stream stream;
	struct http_thread *thread;
	struct list all;
	struct list work;
	struct list exchanges;
	struct wheel_entry timer;
	struct intake *intake;
	struct leftover *leftover;
	struct chain out;
	uint32_t out_bytes; /* in `out` and in early answers; pinned ones count as nothing */
	uint32_t exchange_count;
	uint16_t flags;
	uint8_t timer_kind;
	uint8_t lingered; /* reads, in units of a buffer */
};

/* A blob that is being sealed. Sent back through the loop's mailbox. */
struct seal {
	struct message message;
	struct loop *loop;
	struct http_conn *conn; /* NULL: the client left meanwhile */
	struct body_ref ref;
	int error;
};

struct http_thread {
	struct loop *loop;
	struct wheel *wheel;
	struct http_config config;
	void *door;
	unsigned index;
	bool draining;
	struct list conns;
	struct list work;
	struct pool conn_pool, exchange_pool, piece_pool;
	struct intake *spare_intake;
	struct piece *spare_pieces;
	unsigned spare_piece_count;
	uint64_t body_memory_bytes; /* in intakes */
	struct list lost;           /* exchanges that are over before the door knows it */
	struct list told;           /* exchanges whose answer has gone out: on_written is due */
	struct list gone;           /* exchanges that the door knows to be over and is not done with */
	struct http_conn limbo;     /* the connection of exchanges that have none */
	struct buf cors;            /* header lines for every answer */
	uint64_t date_ms;           /* loop time at which `date` has to be made anew */
	char date[32];
	struct http_thread_stats stats;
	struct h1_limits h1_limits;
	char read_buffer[READ_BODY_BYTES];
};

/* conn.c */
void conn_new(struct http_thread *thread, int fd);
void conn_need(struct http_conn *conn);  /* attention, at the next flush */
void conn_break(struct http_conn *conn); /* no word more in either direction; attention */
void conn_attend(struct http_conn *conn);
void conn_end(struct http_conn *conn);    /* closes and frees it; its exchanges are lost */
void conn_settle(struct http_conn *conn); /* sets the timer that is right now */
void conn_stop_timer(struct http_conn *conn);
bool conn_wants_input(const struct http_conn *conn);

/* intake.c */
size_t intake_take(struct http_conn *conn, struct slice input); /* what was used of it: less when input is not wanted now */
void intake_drop(struct http_conn *conn);                       /* ends what is on its way in; its exchange is left alone */
void intake_leave(struct http_conn *conn, struct exchange *ex); /* the exchange is answered or parked: its body is not wanted */
void intake_go_on(struct http_conn *conn);                      /* what the door's decision brings about */
void intake_fail(struct http_conn *conn,
		 const struct h1_error *error);    /* answers and closes; what the door knows of it is gone */
bool intake_is_held(const struct http_conn *conn); /* waits for someone other than the client */
void intake_sealed(struct http_thread *thread, struct seal *seal);

/* exchange.c */
struct exchange *exchange_new(struct http_conn *conn); /* last in line; NULL: no memory */
void exchange_free(struct exchange *ex);               /* in no line */
void exchange_leave_line(struct exchange *ex);
void exchange_gone(struct exchange *ex); /* out of the line and lost; freed when the door has nothing to do with it (any more) */
struct exchange *exchange_replace(struct exchange *ex); /* an engine's one in its place; `ex` is lost. NULL: broken instead */
void line_advance(struct http_conn *conn);              /* moves to `out` whatever has its turn */
bool answer_is_void(struct exchange *ex, struct store_pin *pin, unsigned flags);
void answer_decides_close(struct exchange *ex, unsigned flags);
void answer_made(struct exchange *ex, struct chain *chain);

/* ongoing.c */
void ongoing_release(struct http_conn *conn, struct exchange *ex); /* it is first: what was held back may go */
void ongoing_drained(struct http_conn *conn);                      /* on_drained, if it is due */

/* answer.c */
int answer_encode(struct exchange *ex, const struct answer *answer, struct chain *chain); /* 0 or -ENOMEM */
int answer_encode_ongoing(struct exchange *ex, const struct answer *head, struct chain *chain);
void answer_problem(struct exchange *ex, int status, const char *name, const char *detail);
bool answer_is_preflight(const struct exchange *ex);
void answer_preflight(struct exchange *ex);
int answer_configure(struct http_thread *thread) MUST_USE;        /* CORS; -ENOMEM: it stays as it was */
void answer_refusal(struct http_thread *thread, struct buf *out); /* 503 and close, for a connection too many */
enum answer_connection answer_connection(const struct exchange *ex);
int shared_parts(const struct piece *piece, struct iovec parts[3]); /* of what is still to be sent */
unsigned shared_flags(const struct shared_answer *shared);
size_t shared_bytes(const struct shared_answer *shared, enum answer_connection connection, bool without_body);

/* output.c */
struct piece *piece_new(struct http_thread *thread, enum piece_kind kind); /* NULL: no memory */
void piece_free(struct http_thread *thread, struct piece *piece);
struct buf *chain_buf(struct http_thread *thread, struct chain *chain); /* to append to; NULL: no memory */
void chain_add(struct chain *chain, struct piece *piece);
uint64_t chain_bytes(const struct chain *chain);
void chain_drop(struct http_conn *conn, struct chain *chain); /* exchanges to be told are gone */
void output_write(struct http_conn *conn);                    /* until the socket takes no more, or enough is done for one turn */
