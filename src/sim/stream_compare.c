/* The streams of the sequencer's state, as its own snapshot tells them, against the model's. */
#include "sim/stream_model.h"

#include "base/panic.h"
#include "sim/model.h"

#include <inttypes.h>
#include <stdio.h>

static void differ(struct stream_comparison *c, const char *what, uint64_t number, uint64_t is, uint64_t should)
{
	if (!c->wrong[0])
		snprintf(c->wrong, sizeof(c->wrong), "stream %" PRIu64 ": %s is %" PRIu64 ", should be %" PRIu64, number, what,
			 is, should);
}

#define SAME(what, is, should)                                                                                                   \
	do {                                                                                                                     \
		if ((uint64_t)(is) != (uint64_t)(should))                                                                        \
			differ(c, what, e->number, (uint64_t)(is), (uint64_t)(should));                                          \
	} while (0)

static bool is_told(const struct stream_comparison *c, const struct model_chunk *chunk)
{
	return !chunk->dropped && chunk->offset + chunk->count > model_read_from(c->model, c->stream);
}

/* What is kept between two offsets, and was not told. */
static void compare_gap(struct stream_comparison *c, uint64_t from, uint64_t end)
{
	for (size_t i = 0; i < c->stream->count; i++) {
		const struct model_chunk *chunk = &c->stream->chunks[i];

		if (chunk->offset >= from && chunk->offset < end && is_told(c, chunk))
			differ(c, "an append that it does not hold", c->stream->number, chunk->offset, 0);
	}
}

static size_t keys_kept(const struct model_stream *stream)
{
	size_t count = 0;

	for (size_t i = 0; i < stream->count; i++) {
		const struct model_chunk *chunk = &stream->chunks[i];

		count += chunk->key && !chunk->dropped && chunk->offset >= stream->earliest;
	}
	return count;
}

/* All of a stream was told before the next begins. */
static void compare_whole(struct stream_comparison *c)
{
	const struct model_stream *stream = c->stream;

	if (!stream)
		return;
	compare_gap(c, c->chunks_end, UINT64_MAX);
	if (c->producers != stream->producer_count)
		differ(c, "how many producers it knows", stream->number, c->producers, stream->producer_count);
	if (c->keys != keys_kept(stream))
		differ(c, "how many keys it knows", stream->number, c->keys, keys_kept(stream));
	c->stream = NULL;
}

static void compare_chunk(struct stream_comparison *c, const struct stream_event *e, const struct chunk *is)
{
	const struct model_chunk *chunk = model_chunk(c->stream, is->offset);
	struct body_ref ref = chunk_ref(is);
	uint64_t first, end;

	c->bodies++;
	SAME("named and retained", sim_store_lives(c->store, &ref), 1);
	/* What nobody reads any more may stay as long as there are forks. */
	if (!chunk || (chunk_end(is) <= model_read_from(c->model, c->stream) && c->stream->forks))
		return;
	model_extent(c->stream, chunk, &first, &end);
	compare_gap(c, c->chunks_end, is->offset);
	c->chunks_end = chunk_end(is);
	SAME("a chunk that is kept", chunk->dropped, 0);
	SAME("a chunk's offset", is->offset, first);
	SAME("a chunk's end", chunk_end(is), end);
	SAME("a chunk's kind", ref.kind, chunk->ref.kind);
	SAME("a chunk's place", ref.place, chunk->ref.place);
	SAME("a chunk's length", ref.size_bytes, chunk->ref.size_bytes);
	SAME("a chunk's checksum", ref.crc, chunk->ref.crc);
	SAME("a chunk's own time", is->expires_s * 1000ULL, chunk->expires_ms);
	SAME("whether it may be replaced", is->keyed, chunk->key != 0);
}

static void compare_chunks(struct stream_comparison *c, const struct stream_event *e)
{
	struct slice rest = e->chunks;
	struct chunk is = {0};

	while (rest.len) {
		ENSURE(stream_chunk_get(&rest, &is) == 0);
		compare_chunk(c, e, &is);
	}
}

static void compare_stream(struct stream_comparison *c, const struct stream_event *e)
{
	const struct model_stream *stream = model_stream(c->model, e->number);

	compare_whole(c);
	c->streams++;
	if (!stream || stream->freed_end) {
		differ(c, "it is there", e->number, 1, 0);
		return;
	}
	c->stream = stream;
	c->chunks_end = c->producers = c->keys = 0;
	SAME("path", slice_eq(e->path, slice_str(stream->path)), 1);
	SAME("content type", slice_eq(e->content_type, slice_str(stream->type)), 1);
	SAME("Stream-Seq", slice_eq(e->stream_seq, slice_str(stream->stream_seq)), 1);
	SAME("flags", e->flags, stream->flags);
	SAME("ttl", e->ttl_s, stream->ttl_s);
	SAME("expires at", e->expires_at_ms, stream->expires_at_ms);
	SAME("created", e->created_ms, stream->created_ms);
	SAME("its records' age", e->max_age_ms, stream->max_age_ms);
	SAME("its length at most", e->max_bytes, stream->max_bytes);
	SAME("its source", e->source, stream->source ? stream->source->number : 0);
	SAME("where it parts from its source", e->fork_offset, stream->fork_offset);
	SAME("what it has besides", e->fork_sub, stream->fork_sub);
	SAME("its end", e->next_offset, stream->next_offset);
	SAME("its beginning", e->earliest_offset, stream->earliest);
	SAME("changed_end", e->changed_end, stream->changed_end);
	SAME("who closed it", model_string(e->producer), stream->closer);
	SAME("the epoch that closed it", e->epoch, stream->closer_epoch);
	SAME("the number that closed it", e->seq, stream->closer_seq);
	compare_chunks(c, e);
}

static void compare_producer(struct stream_comparison *c, const struct stream_event *e)
{
	const struct model_producer *producer = model_producer((struct model_stream *)(uintptr_t)c->stream, e->producer);

	c->producers++;
	if (!producer) {
		differ(c, "a producer is known", e->number, 1, 0);
		return;
	}
	SAME("a producer's epoch", e->epoch, producer->epoch);
	SAME("a producer's number", e->seq, producer->seq);
}

static void compare_key(struct stream_comparison *c, const struct stream_event *e)
{
	const struct model_chunk *chunk = model_chunk(c->stream, e->offset);

	c->keys++;
	if (!chunk || chunk->dropped || chunk->offset != e->offset || chunk->offset < c->stream->earliest)
		differ(c, "a key of a record that is not kept", e->number, e->offset, 0);
	else
		SAME("a key", model_string(e->key), chunk->key);
}

void stream_compare(struct stream_comparison *c, uint8_t type, struct slice fields)
{
	struct stream_event event = {.type = (enum stream_event_type)type}, *e = &event;

	ENSURE(stream_event_decode(e, fields) == 0);
	if (type == STREAM_SNAP_META)
		SAME("the next number", e->next_number, c->model->next_number ? c->model->next_number : 1);
	else if (type == STREAM_SNAP)
		compare_stream(c, e);
	else if (!c->stream || c->stream->number != e->number)
		differ(c, "a part of no stream", e->number, 1, 0);
	else if (type == STREAM_SNAP_CHUNKS)
		compare_chunks(c, e);
	else if (type == STREAM_SNAP_KEY)
		compare_key(c, e);
	else
		compare_producer(c, e);
}

void stream_compare_end(struct stream_comparison *c)
{
	compare_whole(c);
	if (c->streams != c->model->live)
		differ(c, "how many streams there are", 0, c->streams, c->model->live);
}
