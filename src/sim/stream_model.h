/* The oracle of streams: folded from the same events as the core's state, by other code, with everything kept that was ever
 * appended, also of streams that are gone. A record batch is known by what it says behind its base offset, a blob by its checksum
 * and length; writers never say the same in two messages. */
#pragma once

#include "sim/sim_store.h"
#include "stream/stream_event.h"

enum { MODEL_PRODUCERS_MAX = 8, MODEL_STREAM_CHARS = 64 };

struct model_chunk {
	uint64_t offset, count;
	uint64_t end; /* of the event that brought it: it may be told once that is durable */
	uint64_t content;
	struct body_ref ref; /* where it lies now */
};

struct model_producer {
	uint64_t id, epoch, seq;
};

struct model_stream {
	uint64_t number;
	char path[MODEL_STREAM_CHARS], type[MODEL_STREAM_CHARS], stream_seq[MODEL_STREAM_CHARS];
	uint64_t flags, ttl_s, expires_at_ms, created_ms;
	uint64_t next_offset;
	struct model_chunk *chunks;
	size_t count, cap;
	struct model_producer producers[MODEL_PRODUCERS_MAX];
	size_t producer_count;
	uint64_t closer, closer_epoch, closer_seq;
	uint64_t closed_end, deleted_end, changed_end; /* 0: it is not */
	uint64_t touched_ms;                           /* not journalled: a sign of life */
	uint64_t wake_short_end; /* memory was short when watchers should have been woken of the event that ends here */
};

struct model_streams {
	struct model_stream **at; /* by number; NULL: never was */
	uint64_t cap, next_number;
	uint64_t live;
};

void model_streams_deinit(struct model_streams *streams);

/* One entry of the journal. NULL, or what is wrong with it. */
const char *model_stream_apply(struct model_streams *streams, const struct store_replay *entry) MUST_USE;

/* A start is a sign of life of all. */
void model_streams_started(struct model_streams *streams, uint64_t now_ms);

struct model_stream *model_stream(const struct model_streams *streams, uint64_t number); /* also one that is gone */
struct model_stream *model_stream_at(const struct model_streams *streams, struct slice path);
struct model_producer *model_producer(struct model_stream *stream, struct slice id);
const struct model_chunk *model_chunk(const struct model_stream *stream, uint64_t offset); /* that holds it; NULL: none */
const struct model_chunk *model_chunk_content(const struct model_stream *stream, uint64_t content);
uint64_t model_stream_due_ms(const struct model_stream *stream); /* UINT64_MAX: it never expires */
/* The last one that was deleted there; NULL: none. */
struct model_stream *model_stream_gone(const struct model_streams *streams, struct slice path);

uint64_t stream_batch_content(struct slice batch);
uint64_t stream_blob_content(const struct body_ref *ref);
uint64_t stream_batch_base(struct slice batch);

/* --- stream_compare.c: the sequencer's snapshot events, one by one, against the model --- */
struct stream_comparison {
	const struct model_streams *model;
	const struct sim_store *store;
	const struct model_stream *stream; /* the last one */
	size_t chunk, producers;           /* … and how far it was told */
	uint64_t streams, bodies;
	char wrong[256];
};
void stream_compare(struct stream_comparison *c, uint8_t type, struct slice fields);
void stream_compare_end(struct stream_comparison *c);
