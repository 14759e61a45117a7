/* An exchange: one HTTP request and its answer, whatever version carries it. It lives on the loop thread that owns its
 * connection; the door (http/api) sees exchanges and never a socket.
 *
 * Life: head → (body) → handled → [parked] → answered → written. The door is called through `struct exchange_handler` and calls
 * back the functions below. Rules:
 *  1. exchange_answer… is called exactly once for each exchange, unless on_gone came first; then exchange_done is called once,
 *     when the door has no more use for it (a command that is still under way keeps a gone exchange alive as long as needed).
 *  2. A handler may answer at once, inside the callback, or later on the same thread.
 *  3. Answers of pipelined requests leave in the order of the requests; the engine holds back what is early. While
 *     `limits.pipeline` exchanges of a connection are unanswered the engine stops reading from it, but still notices FIN and RST.
 *  4. A parked exchange keeps its record (struct exchange with `app`) and nothing else: exchange_park frees the arena with the
 *     request in it.
 *  5. Nothing calls back into the door from inside exchange_answer, exchange_park or exchange_take_body: what follows from them
 *     comes behind the callback they were called in, or in http_thread_flush.
 *  6. An answer that goes on (exchange_stream_begin) keeps its exchange, and its exchange its place in the line, until
 *     exchange_stream_end; that counts as the one answer of rule 1.
 *  7. What the engine answers by itself once on_head was called (413, 400 for a broken body, 408 for a slow one) is on_gone to
 * the door: the exchange is over. exchange_answer frees the exchange (unless EXCHANGE_TELL), its arena and its request. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "http/codec/encode.h"
#include "http/codec/request.h"
#include "sequencer/store.h"
#include "wait/wheel.h"

struct exchange;
struct http_conn;
struct http_thread;

enum body_mode {
	BODY_TO_MEMORY, /* up to `limit` bytes in the arena; more: the engine answers 413 by itself (on_gone) */
	BODY_TO_STORE,  /* up to BODY_INLINE_MAX in memory; beyond that it flows into a blob of the store; more than `limit`: 413
			 */
	BODY_DISCARD,   /* read and thrown away (bounded), so that the connection can go on */
};

/* The whole body: in memory, or a blob that is on the disk, sealed. */
struct request_body {
	struct slice bytes;   /* BODY_INLINE or BODY_NONE: in the arena */
	struct body_ref blob; /* kind == BODY_BLOB when it went to the store; the door must make an event name it or release it
			       * (see struct exchange_config.blob_release) */
};

enum { EXCHANGE_APP_BYTES = 88 };

struct exchange {
	/* The engine's own. */
	struct list siblings; /* of its connection, in order */
	struct http_conn *conn;
	struct wheel_entry deadline; /* in the thread's wheel while parked */
	struct arena arena;
	struct request *request; /* NULL once parked */
	void *answer;            /* early answers waiting for their turn */
	uint16_t flags;
	uint8_t state;
	uint8_t thread;
	/* The door's own: zeroed at the start, kept while parked. 8-aligned. */
	uint64_t app[EXCHANGE_APP_BYTES / 8];
};

struct exchange_handler {
	/* The head is whole. Answer at once, or call exchange_take_body (also when there is none: on_body follows at once). The
	 * engine sends `100 Continue` when a body is taken that waits for it. An answer without taking: the rest of a body is
	 * discarded up to a limit, else the connection closes behind the answer. */
	void (*on_head)(struct exchange *ex);
	void (*on_body)(struct exchange *ex, const struct request_body *body);
	/* The body could not be kept: STORE_NO_SPACE or -EIO or -ENOMEM; answer with an error. */
	void (*on_body_failed)(struct exchange *ex, int error);
	/* exchange_park's deadline has come; the exchange is no longer parked (park it again or answer). */
	void (*on_deadline)(struct exchange *ex);
	/* The client is gone (FIN, RST, error, cut for slowness) before its answer was complete, at any time after on_head and
	 * before on_written. Called by http_thread_flush alone. Call exchange_done when no one refers to it any more, at once or
	 * later. */
	void (*on_gone)(struct exchange *ex);
	/* For exchanges answered with EXCHANGE_TELL only: all bytes were accepted by the socket and the connection still stands
	 * (the client has ended its side in no way, or only after all bytes had come to it). The exchange is gone when this
	 * returns. */
	void (*on_written)(struct exchange *ex);
	/* Of an answer that goes on, after exchange_stream_is_full was true: it is so no more. Called by http_thread_flush alone.
	 * May be NULL for a door that begins none. */
	void (*on_drained)(struct exchange *ex);
	/* An error that the engine answers by itself (400, 408, 413, 414, 431, 417, 501 …): the door gives it a body. `name` is
	 * the problem's name ("bad-request", "headers-too-large", …); append a whole problem+json document to `out`. */
	void (*problem)(struct buf *out, int status, const char *name, const char *detail);
};

enum answer_flags {
	EXCHANGE_TELL = 1,      /* call on_written when it has gone out, on_gone when it could not */
	EXCHANGE_CLOSE = 2,     /* close the connection behind it */
	EXCHANGE_CACHEABLE = 4, /* do not add `Cache-Control: no-store` */
};

/* An answer. Content-Length, Date, Connection, Cache-Control and CORS headers are the engine's; HEAD leaves out the body but
 * not its length; 204 and 304 have none. */
struct answer {
	int status;
	struct slice content_type; /* empty: none */
	const struct answer_header *headers;
	size_t header_count;
	struct slice body;     /* copied, unless `pin` is set */
	struct store_pin *pin; /* the body's bytes come from here: [range_from, range_from + range_bytes); taken over, unpinned
				* when all is sent. Small inline bodies are read whole and checked; long ones flow in pieces as
				* the reader takes them, constant memory. */
	uint64_t range_from;
	uint64_t range_bytes;
	unsigned flags;
};

void exchange_take_body(struct exchange *ex, enum body_mode mode, uint64_t limit);
void exchange_answer(struct exchange *ex, const struct answer *answer);

/* Frees the request's memory and waits. `timeout_ms` counts from this turn's now. What must outlive this lies in ex->app. */
void exchange_park(struct exchange *ex, uint64_t timeout_ms);
/* Takes it out of the wheel (a wake came); then answer or park again. */
void exchange_unpark(struct exchange *ex);
bool exchange_is_parked(const struct exchange *ex);
void exchange_done(struct exchange *ex); /* after on_gone only */

/* Of one that was answered with EXCHANGE_TELL, or whose answer goes on, and that is neither written nor gone: how much of the
 * answer, and of what stands before it, the socket has not taken yet. */
uint64_t exchange_left_bytes(const struct exchange *ex);

/* An answer made once for many exchanges: status line, headers and body as bytes, for keep-alive connections and for closing
 * ones, without and with the body (HEAD). Counted by the caller's thread; not shared between threads. */
struct shared_answer;
struct shared_answer *shared_answer_new(struct http_thread *thread,
					const struct answer *answer); /* body in memory only; NULL: no memory */
struct shared_answer *shared_answer_ref(struct shared_answer *shared);
struct shared_answer *shared_answer_unref(struct shared_answer *shared);
/* Written straight from the shared bytes when the socket takes them at once; only what it does not take keeps a reference. */
void exchange_answer_shared(struct exchange *ex, struct shared_answer *shared);

/* --- an answer that goes on ---
 *
 * begin, any number of writes, end. HTTP/1.1 gets chunks (RFC 9112 §7.1), HTTP/1.0 a connection that closes behind the answer;
 * HEAD gets the head alone, what is written to it is dropped. The head has no Content-Length, and its body, pin and EXCHANGE_TELL
 * mean nothing here.
 *  - While requests before it are unanswered, head and bytes are held back. What comes behind it waits until exchange_stream_end.
 *  - The engine holds whatever it is given: the door paces itself. When exchange_stream_is_full it writes nothing that can wait,
 *    until on_drained. A reader that takes nothing is cut by write_timeout_ms, as any other.
 *  - Between writes it may be parked, which frees the request and sets a deadline; at rest it costs no more than a parked wait.
 *    Parked or not, it may be written to and ended; writing leaves it parked. Bytes for a parked one go to the socket at once.
 *  - FIN and RST are on_gone, as soon as they are seen. So is a lack of memory: the answer breaks off, and the connection with
 * it.
 *  - Until on_gone comes, all of this is allowed and does nothing. After exchange_stream_end the exchange is no longer the
 * door's.
 *  - When the server drains, connections close behind the end; the door ends what goes on. */
enum { EXCHANGE_DRAIN_BYTES = 32 * 1024 };
void exchange_stream_begin(struct exchange *ex, const struct answer *head);
void exchange_stream_write(struct exchange *ex, struct slice bytes); /* copied; one chunk */
/* More than EXCHANGE_DRAIN_BYTES are left to be sent of it, or of what stands before it: on_drained will come, once. */
bool exchange_stream_is_full(struct exchange *ex);
void exchange_stream_end(struct exchange *ex);

/* The thread an exchange lives on, and the door's own state for that thread. */
struct http_thread *exchange_thread(const struct exchange *ex);
void *http_thread_door(const struct http_thread *thread);
uint64_t http_thread_now_ms(const struct http_thread *thread); /* monotonic, read once a turn */
struct wheel *http_thread_wheel(const struct http_thread *thread);
