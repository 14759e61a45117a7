/* Streams: the state that the journal's events about them fold into.
 *
 * A stream's records lie in *chunks*: where in the journal (or in which blob) the bytes of some of them are. An append makes a
 * chunk; many small ones are gathered into a longer one later, so that what is kept in memory grows with the bytes kept and not
 * with the number of appends.
 *
 * Invariants (checked by streams_check; the last clauses of 1 and 5 hold once the journal has been replayed):
 *  1. chunks lie one behind the other and do not overlap; between them may be gaps, whose records are no longer kept; none lies
 *     behind next_offset, and none wholly before the earliest offset unless forks read it;
 *  2. a stream is in its page, and by its path in `table`; in `deadlines` iff it can expire or grow too old, or is to be looked
 *     at for compaction;
 *  3. the bytes of every chunk that lives are retained in the store exactly once;
 *  4. a closed stream never grows and never opens again;
 *  5. fork_count counts the streams whose source it is; one that is STREAM_GONE has at least one of them;
 *  6. an entry of `keys` names a living chunk of one record that lies at or behind the earliest offset;
 *  7. a sequence is in `all` and, iff its transaction is open, in `open`; the lists are in their order.
 *
 * A fork has the records of its source before fork_offset, and, where fork_sub is not 0, as many bytes of the record there; its
 * own begin behind that, at own_offset. Nothing is copied: what is inherited is found through the source, and through its.
 *
 * Most streams are many and small: what few of them need stands apart, in `more`, and the first chunk needs no array.
 *
 * As with jobs a change is made in two steps: streams_prepare allocates and can fail, streams_commit cannot. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/pool.h"
#include "stream/sequence.h"
#include "stream/stream_event.h"

enum { FORK_DEPTH_MAX = 64, TOPIC_LATE_MS = 300000 };

/* A string kept once however many streams name it. */
struct stream_type {
	struct hash_node node;
	uint32_t refs, len;
	char bytes[];
};

struct producer {
	struct hash_node node; /* by stream and id */
	struct list peers;     /* in more->producers */
	struct stream *stream;
	uint64_t epoch, seq;
	uint32_t len;
	char id[];
};

/* The last record with a key, of those that replace the one before. */
struct stream_keyed {
	struct hash_node node;     /* by stream and key */
	struct hash_node by_place; /* by stream and offset */
	struct list peers;         /* in more->keys, by offset */
	struct stream *stream;
	uint64_t offset;
	uint32_t len;
	char key[];
};

struct stream_more {
	struct stream *stream;
	struct heap_node deadline;
	uint64_t deadline_ms; /* the earliest of those below; UINT64_MAX: none */
	uint64_t life_ms;     /* when it is over with the stream; UINT64_MAX: never */
	uint64_t trim_ms;     /* when a record gets too old; UINT64_MAX: none */
	uint64_t compact_ms;  /* when to look whether it is to be compacted; UINT64_MAX: not by itself. Not journalled */
	uint64_t earliest_offset;
	uint64_t expires_at_ms, ttl_s;
	uint64_t max_age_ms, max_bytes; /* retention; 0: none */
	struct stream *source;          /* NULL: it is no fork */
	uint64_t fork_offset, fork_sub, own_offset;
	uint32_t fork_depth; /* how many sources there are in all, one behind the other */
	uint32_t producer_count, stream_seq_len;
	uint32_t expiring_count; /* living chunks with a time of their own */
	struct list producers, keys;
	struct list compacting; /* linked: it is to be compacted, or is being so; not journalled */
	uint64_t clean_offset;  /* of what lies before it each key has one record left */
	uint64_t mapped_offset; /* so far keys have been looked at; not journalled */
	uint64_t horizon_ms;    /* when the first null value that is left may go; 0: there is none, as far as is known */
	bool compacted;         /* by its topic's settings; not journalled */
	struct stream_sequences *sequences; /* NULL: no Kafka producer with an id has been here */
	char *stream_seq;                   /* NUL-terminated; NULL: none yet */
	uint64_t closer_epoch, closer_seq;  /* of the producer whose append closed it */
	struct producer *closer;
};
/* What a stream is that needs no more. */
extern const struct stream_more stream_more_none;

/* Of a stream that ever had more than one. */
struct chunk_array {
	uint32_t cap;
	uint32_t dead_count; /* in the middle; they have no bytes any more */
	uint32_t gathered;   /* those before this one need not be looked at again for gathering; not journalled */
	struct chunk chunks[];
};

struct stream {
	struct hash_node node; /* by path */
	struct stream_more *more;
	uint64_t number, next_offset, changed_end;
	uint64_t bytes; /* of its living chunks at or behind the earliest offset */
	struct stream_type *content_type;
	uint32_t chunk_count;
	uint32_t fork_count;
	uint32_t watch; /* loop threads to wake, a bit each; not journalled */
	uint32_t waits; /* how many wait there, as far as they have told; not journalled */
	uint32_t created_s;
	uint16_t path_len;
	uint8_t flags;     /* enum stream_flag */
	bool nameless : 1; /* in replay only: another has its path since */
	bool many : 1;     /* chunks are in an array */
	bool followed : 1; /* sequencer/follow.c; not journalled */
	union {
		struct chunk first;
		struct chunk_array *array;
	};
	char path[];
};

enum { STREAM_PAGE = 32 };

/* Streams by number, so many together. */
struct stream_page {
	struct hash_node node;
	struct list peers; /* by number */
	uint64_t base;     /* the first number in it */
	uint32_t count;
	struct stream *streams[STREAM_PAGE];
};

enum { STREAM_SIZES = 8 };

struct streams {
	struct store *store;
	struct pool pools[STREAM_SIZES]; /* for streams with paths that are not long, by their size */
	struct hash_key hash_key;
	struct hash table, pages, types, producers, keys, key_places, sequences;
	struct list page_list;
	struct heap deadlines;
	uint64_t count, more_count, next_number;
	uint64_t compacted_changes; /* how often one began to be compacted, or ended; not journalled */
	uint64_t last_ms;           /* of an event */
};

struct stream_prepared {
	struct stream *stream;   /* the stream it is about, new or known */
	struct stream *source;   /* of a fork */
	struct stream *replaced; /* of a checkpoint: it had the path before, and is gone since */
	struct stream_more *more;
	struct stream_page *page;
	struct stream_type *type;
	struct producer *producer;  /* new */
	struct stream_keyed *keyed; /* new */
	struct chunk_array *array;  /* a larger one */
	struct stream_sequences *sequences;
	struct sequence *sequence;     /* new */
	struct aborted_array *aborted; /* a larger one */
	char *stream_seq;
	bool new_stream, skip;
};

int streams_init(struct streams *streams, struct store *store, const struct hash_key *hash_key) MUST_USE;
void streams_deinit(struct streams *streams);

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state. After 0 call exactly one of the other two. */
int streams_prepare(struct streams *streams, const struct stream_event *event, struct stream_prepared *ret_prepared) MUST_USE;
void streams_commit(struct streams *streams, const struct stream_event *event, struct stream_prepared *prepared);
void streams_unprepare(struct streams *streams, struct stream_prepared *prepared);

/* All of the journal has been replayed. A checkpoint that was taken while the world went on may have held a source, and not the
 * forks that were gone when their turn came: what was there for them alone is let go. And it is found when records get too old.
 * 0, or -EBADMSG: a fork has what its source has not. */
int streams_replayed(struct streams *streams) MUST_USE;

struct stream *stream_find(const struct streams *streams, struct slice path);
struct stream *stream_find_number(const struct streams *streams, uint64_t number);
struct producer *producer_find(const struct streams *streams, const struct stream *stream, struct slice id);
struct stream_keyed *stream_keyed_find(const struct streams *streams, const struct stream *stream, struct slice key);

struct sequence *sequence_find(const struct streams *streams, const struct stream *stream, uint64_t producer_id);

/* Where the first open transaction begins; the end when none is open. */
uint64_t stream_stable(const struct stream *stream);

/* Where what has been decided ends: of a topic's partition readers other than Kafka's are told no more than that. */
static inline uint64_t stream_readable(const struct stream *stream)
{
	return stream->flags & STREAM_TOPIC ? stream_stable(stream) : stream->next_offset;
}

/* That end was at `from` and may have moved: whether there is something to be seen between (true also where that is not known).
 * To be asked after each append, once. */
bool stream_shows(struct stream *stream, uint64_t from);
/* What lies from there on could not be shown to all: the next time there is something. */
void stream_not_shown(struct stream *stream, uint64_t from);

/* Another retention. Of a topic's partition only; cannot fail. */
void stream_retain(struct streams *streams, struct stream *stream, uint64_t max_age_ms, uint64_t max_bytes);

/* The stream with the next greater number, whichever there is; NULL: none. */
struct stream *stream_next_after(const struct streams *streams, uint64_t number);

static inline const struct stream_more *stream_more(const struct stream *stream)
{
	return stream->more ? stream->more : &stream_more_none;
}

static inline struct chunk *stream_chunks(const struct stream *stream)
{
	return stream->many ? stream->array->chunks : (struct chunk *)(uintptr_t)&stream->first;
}

static inline uint64_t stream_created_ms(const struct stream *stream)
{
	return (uint64_t)stream->created_s * 1000;
}

/* Where the oldest record lies that can be read, inherited ones too. */
static inline uint64_t stream_earliest(const struct stream *stream)
{
	return stream_more(stream)->earliest_offset;
}

/* Of the first of its own chunks that ends behind the offset, living or not; chunk_count: there is none. */
uint32_t chunk_index(const struct stream *stream, uint64_t offset);

/* What lies at or behind an offset, as far as this stream has it. */
struct chunk_place {
	const struct chunk *chunk; /* its own, or one of a source */
	uint64_t from;             /* the offset asked for, or that of the chunk's first record if it lies behind */
	uint64_t end;              /* behind the last record of the chunk that belongs to this stream */
	uint64_t value_bytes;      /* no more of its (only) record's value than this; UINT64_MAX: all */
};

/* The first chunk with records at `offset` or behind it. False: there are none. */
bool stream_chunk_from(const struct stream *stream, uint64_t offset, struct chunk_place *ret_place);

/* The same of chunks with a record that is not before `time_ms`. */
bool stream_chunk_since(const struct stream *stream, uint64_t offset, uint64_t time_ms, struct chunk_place *ret_place);

/* The same in its own chunks, inherited ones left out, and only one that begins at `offset`. */
bool stream_own_chunk(const struct stream *stream, uint64_t offset, struct chunk_place *ret_place);

/* Where the last `count` records begin, counted in offsets over gaps that are known. */
uint64_t stream_offset_before_end(const struct stream *stream, uint64_t count);

/* Where the oldest record will be once the stream is no longer than its retention allows at `now_ms`: by age, then by size, whole
 * chunks. The last chunk goes by age alone. The earliest offset: nothing is to go. */
uint64_t stream_trim_point(const struct stream *stream, uint64_t now_ms);
/* A chunk at or behind `offset` whose own time is over; NULL: none. */
const struct chunk *stream_overdue(const struct stream *stream, uint64_t offset, uint64_t now_ms);

/* A run of small chunks worth one longer: how many from *ret_first on; 0: none. Those that end behind `durable`, or behind the
 * stable end, are left alone. What was looked at is not looked at again. */
struct gather_limits {
	uint32_t chunks_min; /* so many small ones at least */
	uint64_t bytes_max;  /* of the longer one; small are those of which chunks_min fit in it */
};
uint32_t stream_gather_run(struct stream *stream, const struct gather_limits *limits, uint64_t durable, uint32_t *ret_first);

/* When to look whether it is to be compacted. Of a topic's partition only. */
void stream_set_compact(struct streams *streams, struct stream *stream, uint64_t at_ms);

/* A sign of life: a sliding TTL begins anew. */
void stream_touch(struct streams *streams, struct stream *stream, uint64_t now_ms);
/* When its next record gets too old is found anew. */
void stream_plan_trim(struct streams *streams, struct stream *stream);
/* Its deadline could not be handled; it comes again at `at_ms`. */
void stream_postpone(struct streams *streams, struct stream *stream, uint64_t at_ms);

static inline struct stream *streams_next_deadline(const struct streams *streams)
{
	struct heap_node *top = heap_top(&streams->deadlines);

	return top ? container_of(top, struct stream_more, deadline)->stream : NULL;
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
