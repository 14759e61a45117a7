/* Streams: the state that the journal's events about them fold into.
 *
 * Invariants (checked by streams_check):
 *  1. chunks lie one behind the other without gaps, from earliest_offset (of a fork: own_offset) to next_offset;
 *  2. a stream is in `numbers` and in `all`, by its path in `table`; in `deadlines` iff it can expire;
 *  3. every chunk's bytes are retained in the store exactly once;
 *  4. a closed stream never grows and never opens again;
 *  5. fork_count counts the streams whose source it is; one that is STREAM_GONE has at least one of them.
 *
 * A fork has the records of its source before fork_offset, and, where fork_sub is not 0, as many bytes of the record there; its
 * own begin behind that, at own_offset. Nothing is copied: what is inherited is found through the source, and through its.
 *
 * As with jobs a change is made in two steps: streams_prepare allocates and can fail, streams_commit cannot. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "stream/stream_event.h"

/* One append. */
struct chunk {
	uint64_t offset;
	struct body_ref ref;
	uint32_t count;
};

/* A string kept once however many streams name it. */
struct stream_type {
	struct hash_node node;
	uint32_t refs, len;
	char bytes[];
};

struct producer {
	struct hash_node node; /* by stream and id */
	struct list peers;     /* in stream->producers */
	struct stream *stream;
	uint64_t epoch, seq;
	uint32_t len;
	char id[];
};

struct stream {
	struct hash_node node; /* by path */
	struct hash_node by_number;
	struct list peers; /* in streams->all, by number */
	struct heap_node deadline;
	uint64_t deadline_ms; /* UINT64_MAX: none */
	uint64_t number, next_offset, earliest_offset;
	uint64_t created_ms, changed_end, expires_at_ms, ttl_s;
	struct stream *source; /* NULL: it is no fork */
	uint64_t fork_offset, fork_sub, own_offset;
	uint32_t fork_count;
	struct stream_type *content_type;
	struct chunk *chunks;
	uint32_t chunk_count, chunk_cap;
	uint32_t watch; /* loop threads to wake, a bit each; not journalled */
	uint32_t producer_count;
	struct list producers;
	char *stream_seq; /* NUL-terminated; NULL: none yet */
	uint32_t stream_seq_len;
	uint32_t path_len;
	uint64_t closer_epoch, closer_seq; /* of the producer whose append closed it */
	struct producer *closer;
	uint8_t flags; /* enum stream_flag */
	bool nameless; /* in replay only: another has its path since */
	char path[];
};

struct streams {
	struct store *store;
	struct hash_key hash_key;
	struct hash table, numbers, types, producers;
	struct list all;
	struct list *snapped; /* in `all`: a checkpoint goes on behind this one */
	struct heap deadlines;
	uint64_t count, next_number;
};

struct stream_prepared {
	struct stream *stream;   /* the stream it is about, new or known */
	struct stream *source;   /* of a fork */
	struct stream *replaced; /* of a checkpoint: it had the path before, and is gone since */
	struct stream_type *type;
	struct producer *producer; /* new */
	struct chunk *chunks;      /* a larger array */
	uint32_t chunk_cap;
	char *stream_seq;
	bool new_stream, skip;
};

int streams_init(struct streams *streams, struct store *store, const struct hash_key *hash_key) MUST_USE;
void streams_deinit(struct streams *streams);

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state. After 0 call exactly one of the other two. */
int streams_prepare(struct streams *streams, const struct stream_event *event, struct stream_prepared *ret_prepared) MUST_USE;
void streams_commit(struct streams *streams, const struct stream_event *event, struct stream_prepared *prepared);
void streams_unprepare(struct streams *streams, struct stream_prepared *prepared);

struct stream *stream_find(const struct streams *streams, struct slice path);
struct stream *stream_find_number(const struct streams *streams, uint64_t number);
/* The one with the next higher number; NULL: there is none. */
struct stream *stream_next_after(const struct streams *streams, uint64_t number);
struct producer *producer_find(const struct streams *streams, const struct stream *stream, struct slice id);

/* Where the oldest record lies that can be read, inherited ones too. */
uint64_t stream_earliest(const struct stream *stream);

/* What lies at an offset, as far as this stream has it. */
struct chunk_place {
	const struct chunk *chunk; /* its own, or one of a source */
	uint64_t end;              /* behind the last record of it that belongs to this stream */
	uint64_t value_bytes;      /* no more of its (only) record's value than this; UINT64_MAX: all */
};

/* From stream_earliest to next_offset - 1. */
struct chunk_place stream_chunk_at(const struct stream *stream, uint64_t offset);

/* A sign of life: a sliding TTL begins anew. */
void stream_touch(struct streams *streams, struct stream *stream, uint64_t now_ms);
/* Its deadline could not be handled; it comes again at `at_ms`. */
void stream_postpone(struct streams *streams, struct stream *stream, uint64_t at_ms);

static inline struct stream *streams_next_deadline(const struct streams *streams)
{
	struct heap_node *top = heap_top(&streams->deadlines);

	return top ? container_of(top, struct stream, deadline) : NULL;
}

static inline struct slice stream_path(const struct stream *stream)
{
	return slice_from(stream->path, stream->path_len);
}

static inline struct slice stream_type_slice(const struct stream *stream)
{
	return stream->content_type ? slice_from(stream->content_type->bytes, stream->content_type->len) : (struct slice){0};
}

/* Walks everything and panics at the first broken invariant. For tests and the simulator. */
void streams_check(const struct streams *streams);
