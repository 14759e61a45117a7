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
	STREAM_MOVED = 35, /* the tidier wrote the same batch anew */
	/* Only in checkpoints: */
	STREAM_SNAP_META = 36,
	STREAM_SNAP = 37,
	STREAM_SNAP_CHUNKS = 38, /* further chunks of the stream before */
	STREAM_SNAP_PRODUCER = 39,
};
enum { STREAM_EVENT_END = 40, STREAM_SNAP_CHUNKS_MAX = 128 };

enum stream_flag {
	STREAM_JSON = 1,
	STREAM_CLOSED = 2,
	STREAM_HAS_TTL = 4,
	STREAM_GONE = 8, /* deleted, but forks still read it: only they do */
	STREAM_FLAGS = 15,
};

struct stream_event {
	/* From the entry's frame. */
	enum stream_event_type type;
	uint64_t time_ms, position, end;
	struct body_ref bytes; /* what came as the entry's body */

	uint64_t number;
	struct slice path, content_type, stream_seq, producer;
	uint64_t flags; /* enum stream_flag; of APPENDED: STREAM_CLOSED alone */
	uint64_t ttl_s, expires_at_ms;
	uint64_t source, fork_offset, fork_sub; /* of a fork: the source's number, what of it is inherited (struct stream) */
	uint64_t offset, count;                 /* of the first record; APPENDED 0 records: closed without a word */
	uint64_t epoch, seq;                    /* of the producer */
	struct body_ref blob;
	/* Snapshots. */
	uint64_t next_offset, earliest_offset, changed_end, created_ms, next_number;
	struct slice chunks; /* encoded: stream_chunks_get */
};

void stream_event_encode(const struct stream_event *event, struct buf *out);
int stream_event_decode(struct stream_event *event, struct slice fields) MUST_USE; /* 0 or -EBADMSG; event->type is set */

/* One chunk of a snapshot, appended to and read from `chunks`. */
void stream_chunk_put(struct buf *out, uint64_t offset, uint64_t count, const struct body_ref *ref);
int stream_chunk_get(struct slice *chunks, uint64_t *ret_offset, uint64_t *ret_count, struct body_ref *ret_ref) MUST_USE;
