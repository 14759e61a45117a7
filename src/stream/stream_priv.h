/* Inside src/stream only. */
#pragma once

#include "stream/stream.h"

/* --- streams.c --- */
uint64_t path_hash(const struct streams *streams, struct slice path);
uint64_t producer_hash(const struct streams *streams, uint64_t stream_number, struct slice id);
uint64_t place_hash(const struct streams *streams, uint64_t stream_number, uint64_t offset);
struct stream_keyed *keyed_at(const struct streams *streams, const struct stream *stream, uint64_t offset); /* NULL: none */
/* One more reference to the string; an empty one gives NULL and no error. -ENOMEM. */
int type_take(struct streams *streams, struct slice s, struct stream_type **ret_type) MUST_USE;
void type_give(struct streams *streams, struct stream_type *type);
struct stream *stream_new(struct streams *streams, struct slice path); /* zeroed but for its path; NULL: no memory */
void stream_free(struct streams *streams, struct stream *stream);      /* its memory and what hangs in no table */
struct stream_page *page_find(const struct streams *streams, uint64_t number);
void page_add(struct streams *streams, struct stream_page *page); /* a new one, base set */
void page_put(struct stream_page *page, struct stream *stream);
void page_remove(struct streams *streams, const struct stream *stream);
/* Its life or its next record's time has changed. */
void stream_set_life(struct streams *streams, struct stream *stream, uint64_t at_ms);
void stream_set_trim(struct streams *streams, struct stream *stream, uint64_t at_ms);

/* --- sequence.c: a change in two steps, as all of them --- */
int sequence_prepare(struct streams *streams, const struct stream_event *e, struct stream_prepared *p) MUST_USE;
void sequence_commit(struct streams *streams, const struct stream_event *e, struct stream_prepared *p);
void aborted_commit(const struct stream_event *e, struct stream_prepared *p); /* SNAP_ABORTED */
void aborted_trim(struct stream *stream);
void aborted_forget(struct stream *stream, struct slice list); /* these, which are in the order of their markers */
void sequences_shown(struct stream_sequences *sequences, uint64_t offset, uint64_t end); /* once nothing before them is open */
void sequences_leave(struct streams *streams, struct stream *stream);                    /* its tables */
void sequences_free(struct stream_sequences *sequences);                                 /* NULL is fine */
void sequences_check(const struct streams *streams, const struct stream *stream);

/* --- chunk.c: a stream's chunks, and their bytes in the store --- */
uint32_t chunk_cap(const struct stream *stream);
void chunk_add(struct streams *streams, struct stream *stream,
	       const struct chunk *chunk); /* room is there; next_offset is not set */
void chunk_drop(struct streams *streams, struct stream *stream, uint32_t index);
void chunks_gather(struct streams *streams, struct stream *stream, const struct stream_event *e);
bool chunks_can_gather(const struct stream *stream, const struct stream_event *e);
void chunks_compact(struct streams *streams, struct stream *stream, const struct stream_event *e);
bool chunks_can_compact(const struct stream *stream, const struct stream_event *e);
void chunks_trim(struct streams *streams, struct stream *stream, uint64_t earliest); /* what forks do not read is let go */
void chunks_shed(struct streams *streams, struct stream *stream);                    /* what the last fork has left behind */
uint64_t chunk_ends_ms(const struct stream_more *more, const struct chunk *chunk);   /* unix; UINT64_MAX: never by itself */
void chunks_release(struct streams *streams, struct stream *stream);                 /* all of them */
