/* What can happen to streams, as the journal keeps it. The state is a fold of these; doc/journal-format.md lists their fields.
 *
 * The frame's type tells them from the events of jobs: they begin at STREAM_EVENT_FIRST. */
#pragma once

#include "base/buf.h"
#include "sequencer/store.h"

enum stream_event_type {
	STREAM_EVENT_FIRST = 32,
	STREAM_CREATED = 32,
	STREAM_APPENDED = 33, /* the entry's body is a record batch, unless `blob` holds one record's value; may close, too */
	STREAM_DELETED = 34,
	STREAM_MOVED = 35, /* the tidier wrote the same bytes anew */
	STREAM_GATHERED =
		36, /* what lies in `count` offsets from `offset` on is the entry's body now: batches, one behind the other */
	STREAM_TRIMMED = 37,  /* what lies before `offset` is no longer kept */
	STREAM_DROPPED = 38,  /* the chunk at `offset` is no longer kept */
	STREAM_PRODUCED = 39, /* as APPENDED, one batch by a Kafka producer with an id; or the marker that ends a transaction */
	/* Only in checkpoints: */
	STREAM_SNAP_META = 40,
	STREAM_SNAP = 41,
	STREAM_SNAP_CHUNKS = 42, /* further chunks of the stream before */
	STREAM_SNAP_PRODUCER = 43,
	STREAM_SNAP_KEY = 44,
	STREAM_SNAP_SEQUENCE = 45,
	STREAM_SNAP_ABORTED = 46, /* further aborted transactions */
	/* In both: */
	STREAM_COMPACTED = 47, /* the entry's body is what is left of some chunks; or, without chunks, how far that has got */
};
enum { STREAM_EVENT_END = 48, STREAM_SNAP_CHUNKS_MAX = 128 };

enum stream_flag {
	STREAM_JSON = 1,
	STREAM_CLOSED = 2,
	STREAM_HAS_TTL = 4,
	STREAM_GONE = 8,   /* deleted, but forks still read it: only they do */
	STREAM_TOPIC = 16, /* a topic's partition */
	STREAM_FLAGS = 31,
};

/* Of PRODUCED. */
enum stream_txn {
	STREAM_TXN_NONE,
	STREAM_TXN_RECORDS, /* belongs to the producer's transaction */
	STREAM_TXN_COMMIT,  /* a marker: it ends */
	STREAM_TXN_ABORT,   /* the same, and its records are void */
	STREAM_TXN_COUNT
};

struct stream_event {
	/* From the entry's frame. */
	enum stream_event_type type;
	uint64_t time_ms, position, end;
	struct body_ref bytes; /* what came as the entry's body */

	uint64_t number;
	struct slice path, content_type, stream_seq, producer;
	uint64_t flags;                         /* enum stream_flag; of APPENDED: STREAM_CLOSED alone */
	uint64_t ttl_s, expires_at_ms;          /* the stream's; of APPENDED expires_at_ms is its records' */
	uint64_t max_age_ms, max_bytes;         /* retention; 0: none */
	uint64_t source, fork_offset, fork_sub; /* of a fork: the source's number, what of it is inherited (struct stream) */
	uint64_t offset, count;                 /* of the first record; APPENDED 0 records: closed without a word */
	uint64_t epoch, seq;                    /* of the producer */
	uint64_t max_time_ms;                   /* the latest time of these records; 0: the entry's own */
	struct slice key; /* of the one record appended, which replaces the last with that key; empty: none does */
	struct body_ref blob;
	uint64_t producer_id; /* PRODUCED, with epoch and seq (of its first record) */
	uint64_t txn;         /* enum stream_txn */
	/* COMPACTED: `count` offsets from `offset` on go; the body's batches are kept_count of them from kept_offset on, 0:
	 * nothing is left. With a count of 0 these two hold from now on: */
	uint64_t kept_offset, kept_count;
	uint64_t clean_offset, horizon_ms;
	uint64_t forgotten; /* PRODUCED: id + 1 of the producer that makes room for it; 0: none */
	/* Snapshots. */
	uint64_t next_offset, earliest_offset, changed_end, created_ms, next_number;
	struct slice chunks;         /* encoded: stream_chunks_get */
	uint64_t last_ms, txn_first; /* of a sequence; txn_first + 1, 0: none is open */
	struct slice batches;        /* encoded: sequence_batch_put */
	struct slice aborted;        /* encoded: aborted_put; COMPACTED: of which nothing is left */
};

void stream_event_encode(const struct stream_event *event, struct buf *out);
/* What no journal of ours holds: counts and offsets that would overflow further on. */
bool stream_event_is_in_range(const struct stream_event *event);
int stream_event_decode(struct stream_event *event, struct slice fields) MUST_USE; /* 0 or -EBADMSG; event->type is set */

#define CHUNK_BYTES_MAX ((1ULL << 56) - 1)
#define EXPIRES_MAX_MS  (UINT32_MAX * 1000ULL) /* of a record */

/* Where the bytes of some records of a stream lie. */
struct chunk {
	uint64_t offset;   /* of the first */
	uint64_t place;    /* as in struct body_ref */
	uint64_t kind : 8; /* enum body_kind; BODY_NONE: these records are no longer kept */
	uint64_t size_bytes : 56;
	uint64_t max_time_ms; /* the latest time of a record */
	uint32_t crc, count;  /* count: offsets from the first record's to behind the last one's */
	uint32_t expires_s;   /* unix; when these records are no longer kept; 0: as long as the others */
	bool keyed;           /* one record, which may be replaced */
};

static inline struct body_ref chunk_ref(const struct chunk *chunk)
{
	return (struct body_ref){chunk->place, chunk->size_bytes, chunk->crc, (enum body_kind)chunk->kind};
}

static inline uint64_t chunk_end(const struct chunk *chunk)
{
	return chunk->offset + chunk->count;
}

struct sequence_batch;
struct aborted;
void sequence_batch_put(struct buf *out, const struct sequence_batch *batch);
int sequence_batch_get(struct slice *batches, struct sequence_batch *ret_batch) MUST_USE; /* 0 or -EBADMSG */
void aborted_put(struct buf *out, const struct aborted *aborted);
int aborted_get(struct slice *list, struct aborted *ret_aborted) MUST_USE;

/* One chunk of a snapshot, appended to and read from `chunks`. */
void stream_chunk_put(struct buf *out, const struct chunk *chunk);
int stream_chunk_get(struct slice *chunks, struct chunk *ret_chunk) MUST_USE;
