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

/* All of a stream was told before the next begins. */
static void compare_whole(struct stream_comparison *c)
{
	const struct model_stream *stream = c->stream;

	if (!stream)
		return;
	if (c->chunk != stream->count)
		differ(c, "how many appends it holds", stream->number, c->chunk, stream->count);
	if (c->producers != stream->producer_count)
		differ(c, "how many producers it knows", stream->number, c->producers, stream->producer_count);
	c->stream = NULL;
}

static void compare_chunks(struct stream_comparison *c, const struct stream_event *e)
{
	struct slice rest = e->chunks;
	struct chunk is = {0};

	while (rest.len && c->chunk < c->stream->count) {
		const struct model_chunk *chunk = &c->stream->chunks[c->chunk++];

		struct body_ref ref;

		ENSURE(stream_chunk_get(&rest, &is) == 0);
		ref = chunk_ref(&is);
		SAME("an append's offset", is.offset, chunk->offset);
		SAME("an append's count", is.count, chunk->count);
		SAME("an append's kind", ref.kind, chunk->ref.kind);
		SAME("an append's place", ref.place, chunk->ref.place);
		SAME("an append's length", ref.size_bytes, chunk->ref.size_bytes);
		SAME("an append's checksum", ref.crc, chunk->ref.crc);
		c->bodies++;
		SAME("named and retained", sim_store_lives(c->store, &ref), 1);
	}
	SAME("bytes of further appends", rest.len, 0);
}

static void compare_stream(struct stream_comparison *c, const struct stream_event *e)
{
	const struct model_stream *stream = model_stream(c->model, e->number);

	compare_whole(c);
	c->streams++;
	if (!stream || stream->deleted_end) {
		differ(c, "it is there", e->number, 1, 0);
		return;
	}
	c->stream = stream;
	c->chunk = c->producers = 0;
	SAME("path", slice_eq(e->path, slice_str(stream->path)), 1);
	SAME("content type", slice_eq(e->content_type, slice_str(stream->type)), 1);
	SAME("Stream-Seq", slice_eq(e->stream_seq, slice_str(stream->stream_seq)), 1);
	SAME("flags", e->flags, stream->flags);
	SAME("ttl", e->ttl_s, stream->ttl_s);
	SAME("expires at", e->expires_at_ms, stream->expires_at_ms);
	SAME("created", e->created_ms, stream->created_ms);
	SAME("its end", e->next_offset, stream->next_offset);
	SAME("its beginning", e->earliest_offset, 0);
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
	else
		compare_producer(c, e);
}

void stream_compare_end(struct stream_comparison *c)
{
	compare_whole(c);
	if (c->streams != c->model->live)
		differ(c, "how many streams there are", 0, c->streams, c->model->live);
}
