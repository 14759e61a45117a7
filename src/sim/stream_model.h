/* The oracle of streams: folded from the same events as the core's state, by other code, with everything kept that was ever
 * appended, also of streams that are gone. A record batch is known by what it says behind its base offset, a blob by its checksum
 * and length; writers never say the same in two messages.
 *
 * What the core lets go the oracle marks; where small appends were gathered they have the same place. What a fork inherits it
 * finds through its source, append by append (stream_pieces.c). */
#pragma once

#include "sim/sim_store.h"
#include "stream/stream_event.h"

enum { MODEL_PRODUCERS_MAX = 8, MODEL_STREAM_CHARS = 64, MODEL_RECORDS_MAX = 4 };

/* An append. */
struct model_chunk {
	uint64_t offset, count;
	uint64_t end;         /* of the event that brought it: it may be told once that is durable */
	uint64_t content;     /* as it was sent */
	uint64_t content_now; /* … and as compaction has made it */
	uint64_t time_ms;
	uint64_t expires_ms; /* when it is to go by itself; 0: as the others */
	uint64_t key;        /* the next one with that key replaces it; 0: none does */
	bool dropped;
	uint32_t value_bytes[MODEL_RECORDS_MAX];
	struct body_ref ref; /* where it lies now, alone or among others */
};

struct model_producer {
	uint64_t id, epoch, seq;
};

struct model_stream {
	uint64_t number;
	char path[MODEL_STREAM_CHARS], type[MODEL_STREAM_CHARS], stream_seq[MODEL_STREAM_CHARS];
	uint64_t flags, ttl_s, expires_at_ms, created_ms, max_age_ms, max_bytes;
	uint64_t next_offset, earliest;
	struct model_stream *source; /* NULL: it is no fork */
	uint64_t fork_offset, fork_sub, own_offset;
	unsigned depth, forks;
	struct model_chunk *chunks;
	size_t count, cap;
	struct model_producer producers[MODEL_PRODUCERS_MAX];
	size_t producer_count;
	uint64_t closer, closer_epoch, closer_seq;
	uint64_t closed_end, deleted_end, changed_end; /* 0: it is not */
	uint64_t freed_end;                            /* of the event with which its path was free; forks may keep it for long */
	uint64_t touched_ms;                           /* not journalled: a sign of life */
	uint64_t wake_short_end; /* memory was short when watchers should have been woken of the event that ends here */
};

struct model_streams {
	struct model_stream **at; /* by number; NULL: never was */
	uint64_t cap, next_number;
	uint64_t live; /* those that have their path */
};

void model_streams_deinit(struct model_streams *streams);

/* One entry of the journal. NULL, or what is wrong with it. */
const char *model_stream_apply(struct model_streams *streams, const struct store_replay *entry) MUST_USE;

/* A start is a sign of life of all. */
void model_streams_started(struct model_streams *streams, uint64_t now_ms);

struct model_stream *model_stream(const struct model_streams *streams, uint64_t number); /* also one that is gone */
/* Also one that is deleted and there for its forks. */
struct model_stream *model_stream_at(const struct model_streams *streams, struct slice path);
struct model_producer *model_producer(struct model_stream *stream, struct slice id);
const struct model_chunk *model_chunk(const struct model_stream *stream, uint64_t offset); /* that holds it; NULL: none */
const struct model_chunk *model_chunk_content(const struct model_stream *stream, uint64_t content);
uint64_t model_stream_due_ms(const struct model_stream *stream); /* UINT64_MAX: it never expires */
/* The last one that was there, gone or not; NULL: none. */
struct model_stream *model_stream_last(const struct model_streams *streams, struct slice path);

/* --- stream_pieces.c: what can be read --- */

/* So much of an append as a stream has: the offsets from `from` to before `end`. */
struct model_piece {
	const struct model_stream *owner; /* who was appended to */
	const struct model_chunk *chunk;
	uint64_t from, end;
	uint64_t value_bytes; /* of its one record no more; UINT64_MAX: all */
};

/* Pieces whose bytes lie together, as the core has and tells them. */
struct model_run {
	const struct model_stream *owner;
	struct body_ref ref;
	uint64_t first_offset; /* of these bytes */
	uint64_t from, end, value_bytes;
	uint64_t time_ms; /* the latest in these bytes */
};

/* Of what is at `offset` and behind it. The caller frees them. */
size_t model_pieces(const struct model_stream *stream, uint64_t offset, struct model_piece **ret_pieces);
size_t model_runs(const struct model_stream *stream, uint64_t offset, struct model_run **ret_runs);
bool model_has(const struct model_stream *stream, uint64_t from, uint64_t end); /* something between the two */
const struct model_stream *model_owner(const struct model_stream *stream, uint64_t offset);
uint64_t model_bytes(const struct model_stream *stream); /* that its own take, as far as they can be read */
uint64_t model_read_from(const struct model_streams *streams, const struct model_stream *stream); /* by it and its forks */
/* Where the bytes that lie at a chunk's place begin and end. */
void model_extent(const struct model_stream *owner, const struct model_chunk *chunk, uint64_t *ret_first, uint64_t *ret_end);

/* Chunks of a partition that are replaced by what is left of them. */
const char *model_stream_compacted(struct model_stream *stream, const struct stream_event *e, struct slice body) MUST_USE;

uint64_t stream_batch_content(struct slice batch);
uint64_t stream_blob_content(const struct body_ref *ref);
uint64_t stream_batch_base(struct slice batch);

/* --- stream_compare.c: the sequencer's snapshot events, one by one, against the model --- */
struct stream_comparison {
	const struct model_streams *model;
	const struct sim_store *store;
	const struct model_stream *stream; /* the last one */
	uint64_t chunks_end;               /* … and how far it was told */
	size_t producers, keys;
	uint64_t streams, bodies;
	char wrong[256];
};
void stream_compare(struct stream_comparison *c, uint8_t type, struct slice fields);
void stream_compare_end(struct stream_comparison *c);
