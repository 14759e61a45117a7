/* What doors ask about streams, and what comes back; part of command.h.
 *
 * A record's offset counts from 0 in its stream. A stream's number is never used twice, so a cursor (number, offset) of a stream
 * that was deleted and made again is told from one of the present stream. */
#pragma once

#include "base/slice.h"
#include "sequencer/store.h"

enum { STREAM_CHUNKS_MAX = 1024, STREAM_PATH_MAX = 1024, STREAM_SEQ_MAX = 256, PRODUCER_ID_MAX = 256 };

/* A job's output is a stream at this and the job's handle. Only COMMAND_OUTPUT_APPEND writes there, and whoever lists streams
 * leaves these out: the handle is the secret of who asked for the job. */
#define OUTPUT_ROOT "__jobs/"
#define OUTPUT_TYPE "text/plain; charset=utf-8" /* of an output whose first append has not come, or did not say */

static inline bool path_is_output(struct slice path)
{
	return slice_starts_with(path, SLICE(OUTPUT_ROOT));
}

/* The handle of the job whose output lies there. */
static inline struct slice output_handle(struct slice path)
{
	return slice_from(path.ptr + sizeof(OUTPUT_ROOT) - 1, path.len - (sizeof(OUTPUT_ROOT) - 1));
}

/* Bytes to append. Either a finished batch (stream/batch.h) whose base offset the sequencer sets in place, or, for one long
 * record, a sealed blob that holds its value as it is. */
struct records_in {
	char *batch; /* NULL: none */
	size_t batch_bytes;
	struct body_ref blob; /* kind BODY_BLOB, or BODY_NONE */
	uint32_t count;       /* 0: nothing to append */
	uint64_t max_time_ms; /* the latest time of these records; 0: now */
};

struct producer_in {
	struct slice id; /* empty: none */
	uint64_t epoch, seq;
};

struct stream_create_in {
	struct slice path, content_type;
	struct records_in records;
	bool json; /* records are JSON texts */
	bool closed;
	bool has_ttl;
	uint64_t ttl_s;
	uint64_t expires_at_ms;         /* unix; 0: never */
	uint64_t max_age_ms, max_bytes; /* what is older, or more, is let go; 0: nothing is */
	/* A fork: what is not said (content type, life) it has from its source. */
	struct slice source; /* path; empty: no fork */
	bool has_fork_offset;
	uint64_t fork_number, fork_offset; /* a cursor of the source */
	uint64_t fork_sub;                 /* JSON: messages, else bytes, behind it */
};

struct stream_append_in {
	struct slice path;
	struct slice content_type; /* held against the stream's unless there is nothing to append */
	struct records_in records;
	struct slice stream_seq; /* empty: none */
	struct producer_in producer;
	bool close;
	struct slice key; /* of the one record, as in its batch */
	bool replace;     /* the last record appended so with the same key is no longer kept */
	bool if_waiting;  /* kept only if somebody waits: else OUTCOME_EMPTY, and nothing has changed */
	uint64_t ttl_ms;  /* these records are kept so long; 0: as the stream's others */
	/* Of a job's output (COMMAND_OUTPUT_APPEND), which the first append makes. */
	struct slice token;
	bool json;
};

enum stream_from {
	STREAM_FROM_START,
	STREAM_FROM_OFFSET,
	STREAM_FROM_NOW,
	STREAM_FROM_TAIL, /* the last `count` records */
	STREAM_FROM_TIME, /* the first record not before `time_ms` */
};

struct stream_read_in {
	struct slice path;
	enum stream_from from;
	uint64_t number, offset; /* STREAM_FROM_OFFSET */
	uint64_t count;          /* STREAM_FROM_TAIL */
	uint64_t time_ms;        /* STREAM_FROM_TIME: unix */
	uint64_t min_bytes;      /* with `watch`: there is nothing before there are so many */
	uint64_t max_bytes;      /* at least one chunk comes, however long, unless `strict` */
	uint64_t until_offset;   /* no chunk that begins at or behind it; 0: no such bound */
	size_t max_chunks;       /* 0: as many as may be, which is STREAM_CHUNKS_MAX */
	bool strict;             /* none rather than one that is too long, but for a blob */
	bool across;             /* the one with which max_bytes are reached comes, too */
	bool watch;              /* at the end of an open stream: OUTCOME_PARKED, and a wake follows to the asker's thread */
	uint32_t waits;          /* for how many waits it is watched; 0: one */
	bool committed; /* of the view alone: up to the readable end, and what was aborted is told; stream_look sets it */
	bool look;      /* no records, and no sign of life for its TTL: HEAD */
};

/* Of MANY. What fits into one answer is shared out among those that have something, and one of them has its first chunk however
 * long that is: the first that has something from `turn` on (any number; a chance), so that none waits for ever. Blobs do not
 * count. */
struct streams_in {
	const struct stream_read_in *reads; /* their max_bytes, max_chunks and strict are not looked at */
	size_t count;
	uint64_t max_bytes; /* of all together; at most MANY_CHUNKS_MAX chunks, but one at least of each that has its share */
	uint64_t turn;
};
enum { MANY_CHUNKS_MAX = 4096 };

/* In the order in which they were made. Paths whose first segment begins with "__" are the server's own, and left out. */
struct stream_list_in {
	struct slice prefix; /* of the path */
	uint32_t limit;      /* 1 … COMMAND_LIST_MAX */
	uint64_t after;      /* `next` of the page before, which may have held fewer; 0: the first */
};

/* Some records as they lie in the store: those at offsets from first_offset on, `count` of them where none is missing. */
struct stream_chunk_view {
	uint64_t first_offset;
	uint32_t count;
	struct body_ref
		ref; /* BODY_BLOB: one record's value; BODY_INLINE: batches, with more records before and behind perhaps */
	uint64_t value_bytes;  /* of its one record no more than so many; UINT64_MAX: all */
	struct store_pin *pin; /* whoever uses it takes it over and sets NULL here */
};

/* A stream as it was at one moment, with the chunks that were asked for; counted, one thread at a time. */
struct stream_view {
	uint32_t refs;
	uint64_t number;
	uint64_t key;         /* of waits on the board */
	uint64_t next_offset; /* the end */
	uint64_t earliest_offset;
	uint64_t stable_offset; /* what lies before it belongs to no open transaction */
	uint64_t from_offset;   /* where the chunks asked for begin: an offset within the first chunk, or the end */
	uint64_t after_offset;  /* behind the last of these chunks */
	uint64_t created_ms, expires_at_ms, ttl_s, max_age_ms, max_bytes;
	uint64_t bytes; /* that its own records take */
	uint32_t waits; /* how many wait there */
	bool has_ttl, closed, json;
	bool topic;              /* a topic's partition */
	struct aborted *aborted; /* whose records in the chunks are void (stream/sequence.h) */
	size_t aborted_count;
	struct slice path, content_type;       /* in this same memory */
	bool producer_known;                   /* APPEND with a producer that has been here before */
	uint64_t producer_epoch, producer_seq; /* … and what holds of it now */
	size_t chunk_count;
	struct stream_chunk_view chunks[];
};

struct stream_view *stream_view_ref(struct stream_view *view);
struct stream_view *stream_view_unref(struct stream_view *view); /* NULL is fine; returns NULL; unpins what nobody took */
