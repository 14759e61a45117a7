#pragma once
/*
 * Streams, the same for every server: who appends, who follows, and what was read. How a server is spoken to is its dialect
 * (streams_http.c, streams_redis.c, streams_nats.c).
 *
 * A record carries a tag (its writer and its number, 16 hex digits) at its start; what follows is filling. Readers check the
 * tags: a record that comes twice, out of order or never ends the run. Streams are numbered, and named by the run's --prefix, so
 * that runs against one server do not meet.
 */
#include "hist.h"
#include "loop.h"
#include "options.h"
#include "proc.h"
#include "sse.h"

#define STREAM_TAG_BYTES    16
#define STREAM_BODY_MAX     (1u << 20)
#define STREAM_CURSOR_BYTES 96
#define STREAM_TIMEOUT_NS   60000000000ull

enum stream_how {
	STREAM_NOW,    /* what is there */
	STREAM_WAIT,   /* what is there, or else what comes (long poll) */
	STREAM_EVENTS, /* one answer that goes on (server-sent events) */
};

struct stream_reader {
	struct conn conn;
	const struct stream_peer *peer;
	const char *prefix;
	uint32_t stream;
	enum stream_how how;
	char cursor[STREAM_CURSOR_BYTES]; /* empty: the start */
	struct sse sse;
	bool asking; /* a request is under way */
	bool at_end; /* the last answer was up to date */
	uint64_t asked_ns;
	uint64_t requests_count;
	void *owner; /* the user's */
	/* The bytes of one or more records, as they lie in the stream. */
	void (*on_records)(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns);
	/* An answer is over; whoever wants more asks. NULL: asks at once. */
	void (*on_answer)(struct stream_reader *reader, uint64_t now_ns);
};

/* What an acknowledgement says of how many records are kept. */
enum stream_tells {
	STREAM_TELLS_NOTHING, /* it is read back */
	STREAM_TELLS_STREAM,  /* in the stream */
	STREAM_TELLS_ALL,     /* in all streams of the run */
};

struct stream_peer {
	const char *name;
	enum stream_tells tells;
	bool shuffles; /* requests sent one behind the other on a connection may be handled in another order: one at a time, then
			*/
	/* Makes streams [0, count). NULL: appending makes them. */
	void (*create)(struct conn *conn, const char *prefix, uint32_t count);
	/* Before the first append of a connection. NULL: nothing is to be said. */
	void (*greet)(struct conn *conn);
	/* Makes a stream with its first record; acknowledged as an append. NULL: as an append. */
	void (*make_with)(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes);
	void (*append)(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes);
	/* The first whole acknowledgement: its length, or 0; *ret_kept: what it `tells`. */
	size_t (*ack)(struct conn *conn, uint64_t *ret_kept);
	/* Reading. NULL: this server is not read. */
	void (*ask)(struct stream_reader *reader);
	/* The first whole answer, told to the reader: its length, or 0. Not for STREAM_EVENTS. */
	size_t (*answer)(struct stream_reader *reader, uint64_t now_ns);
	/* Drops the streams [0, count) of a run, to make room. NULL: not needed. */
	void (*forget)(struct conn *conn, const char *prefix, uint32_t count);
	/* The cursor that means the end. NULL: there is none. */
	const char *end;
	/* How many reads are parked now; NULL: it cannot tell. */
	uint32_t (*parked)(struct conn *conn);
};

extern const struct stream_peer stream_bide;
extern const struct stream_peer stream_durable;
extern const struct stream_peer stream_nchan;
extern const struct stream_peer stream_redis;
extern const struct stream_peer stream_nats;

const struct stream_peer *stream_peer_find(const char *name);
enum stream_how stream_how_of(const char *style);

/* ---- records ---- */

void stream_tag_write(char *tag, uint32_t writer, uint32_t number);
void stream_tag_read(const char *tag, uint32_t *ret_writer, uint32_t *ret_number);

/* Numbers of a pseudorandom row, the same in every run. */
uint64_t stream_random(uint64_t *state);

/* Zeroed memory or the end of the run. */
void *stream_alloc(size_t count, size_t size);

/* A connection for questions; what comes unasked is passed over. */
void stream_control_open(struct conn *conn, struct loop *loop);

/* ---- readers ---- */

/* Connects; from which source address as conn_open. The caller has set peer, prefix, stream, how, and what is called. */
void stream_reader_open(struct stream_reader *reader, struct loop *loop, uint32_t source);
void stream_reader_ask(struct stream_reader *reader);
void stream_reader_close(struct stream_reader *reader);

/* Reads a stream from its start to its end: the records are given to on_records, with `owner` in the reader. */
struct stream_whole {
	const struct stream_peer *peer;
	const char *prefix;
	uint32_t stream;
	void *owner;
	void (*on_records)(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns);
};
/* Returns how many requests it took. */
uint64_t stream_read_whole(struct loop *loop, const struct stream_whole *whole);

/* ---- filling ---- */

struct stream_fill {
	const struct stream_peer *peer;
	const char *prefix;
	uint32_t streams_count;
	uint64_t records_count; /* in all: record i goes to stream i % streams_count, as number i / streams_count of writer 0 */
	uint32_t body_bytes;
	bool together; /* the first record of a stream comes with its making, where the protocol allows it */
};

/* Fills as fast as the server takes it, over a few connections; returns when all is acknowledged. */
void stream_fill(struct loop *loop, const struct stream_fill *fill);

/* A writer's record: `body` has its tag written at its start. */
const char *stream_body(char *body, uint32_t writer, uint32_t number);
