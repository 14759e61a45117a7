#include "sim/stream_model.h"

#include "base/panic.h"
#include "sim/model.h"

#include <stdlib.h>

/* --- bytes --- */

enum { BASE_BYTES = 8 };

uint64_t stream_batch_content(struct slice batch)
{
	ENSURE(batch.len >= BASE_BYTES);
	return model_string(slice_from(batch.ptr + BASE_BYTES, batch.len - BASE_BYTES));
}

uint64_t stream_blob_content(const struct body_ref *ref)
{
	return (uint64_t)ref->crc | ref->size_bytes << 32;
}

uint64_t stream_batch_base(struct slice batch)
{
	uint64_t base = 0;

	for (size_t i = 0; i < BASE_BYTES; i++)
		base = base << 8 | (uint8_t)batch.ptr[i];
	return base;
}

/* --- finding --- */

void model_streams_deinit(struct model_streams *streams)
{
	for (uint64_t i = 0; i < streams->cap; i++) {
		if (streams->at[i]) {
			free(streams->at[i]->chunks);
			free(streams->at[i]);
		}
	}
	free(streams->at);
	*streams = (struct model_streams){0};
}

struct model_stream *model_stream(const struct model_streams *streams, uint64_t number)
{
	return number < streams->cap ? streams->at[number] : NULL;
}

struct model_stream *model_stream_at(const struct model_streams *streams, struct slice path)
{
	for (uint64_t i = 0; i < streams->cap; i++) {
		struct model_stream *stream = streams->at[i];

		if (stream && !stream->deleted_end && slice_eq(slice_str(stream->path), path))
			return stream;
	}
	return NULL;
}

struct model_stream *model_stream_gone(const struct model_streams *streams, struct slice path)
{
	struct model_stream *last = NULL;

	for (uint64_t i = 0; i < streams->cap; i++) {
		struct model_stream *stream = streams->at[i];

		if (stream && stream->deleted_end && slice_eq(slice_str(stream->path), path) &&
		    (!last || stream->deleted_end > last->deleted_end))
			last = stream;
	}
	return last;
}

struct model_producer *model_producer(struct model_stream *stream, struct slice id)
{
	for (size_t i = 0; i < stream->producer_count; i++) {
		if (stream->producers[i].id == model_string(id))
			return &stream->producers[i];
	}
	return NULL;
}

const struct model_chunk *model_chunk(const struct model_stream *stream, uint64_t offset)
{
	for (size_t i = 0; i < stream->count; i++) {
		if (stream->chunks[i].offset <= offset && offset - stream->chunks[i].offset < stream->chunks[i].count)
			return &stream->chunks[i];
	}
	return NULL;
}

const struct model_chunk *model_chunk_content(const struct model_stream *stream, uint64_t content)
{
	for (size_t i = 0; i < stream->count; i++) {
		if (stream->chunks[i].content == content)
			return &stream->chunks[i];
	}
	return NULL;
}

uint64_t model_stream_due_ms(const struct model_stream *stream)
{
	if (stream->flags & STREAM_HAS_TTL)
		return stream->touched_ms + stream->ttl_s * 1000;
	return stream->expires_at_ms ? stream->expires_at_ms : UINT64_MAX;
}

void model_streams_started(struct model_streams *streams, uint64_t now_ms)
{
	for (uint64_t i = 0; i < streams->cap; i++) {
		if (streams->at[i])
			streams->at[i]->touched_ms = now_ms;
	}
}

/* --- folding --- */

static void keep(char to[MODEL_STREAM_CHARS], struct slice s)
{
	ENSURE(s.len < MODEL_STREAM_CHARS);
	memset(to, 0, MODEL_STREAM_CHARS);
	memcpy(to, s.ptr, s.len);
}

static const char *add_chunk(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	const struct body_ref *ref = e->blob.kind ? &e->blob : &e->bytes;
	uint64_t content;

	if (!e->count)
		return ref->kind ? "bytes without records" : NULL;
	if (!ref->kind || (e->blob.kind && (e->bytes.kind || e->count != 1)))
		return "not the bytes of these records";
	content = e->blob.kind ? stream_blob_content(ref) : stream_batch_content(body);
	if (!e->blob.kind && stream_batch_base(body) != stream->next_offset)
		return "a batch with a wrong base offset";
	if (model_chunk_content(stream, content))
		return "the same append was stored twice";
	if (stream->count == stream->cap) {
		stream->cap = stream->cap ? stream->cap * 2 : 16;
		stream->chunks = realloc(stream->chunks, stream->cap * sizeof(*stream->chunks));
		ENSURE(stream->chunks);
	}
	stream->chunks[stream->count++] = (struct model_chunk){stream->next_offset, e->count, e->end, content, *ref};
	stream->next_offset += e->count;
	return NULL;
}

static const char *created(struct model_streams *streams, const struct stream_event *e, struct slice body)
{
	struct model_stream *stream = calloc(1, sizeof(*stream));

	ENSURE(stream);
	if (e->number >= streams->cap) {
		uint64_t cap = (e->number + 1) * 2;

		streams->at = realloc(streams->at, cap * sizeof(struct model_stream *));
		ENSURE(streams->at);
		memset(streams->at + streams->cap, 0, (cap - streams->cap) * sizeof(struct model_stream *));
		streams->cap = cap;
	}
	if (streams->at[e->number] || e->number < streams->next_number || model_stream_at(streams, e->path)) {
		free(stream);
		return "its number or its path is taken";
	}
	streams->at[e->number] = stream;
	streams->next_number = e->number + 1;
	streams->live++;
	*stream = (struct model_stream){
		.number = e->number,
		.flags = e->flags,
		.ttl_s = e->ttl_s,
		.expires_at_ms = e->expires_at_ms,
		.created_ms = e->time_ms / 1000 * 1000,
		.changed_end = e->end,
		.closed_end = e->flags & STREAM_CLOSED ? e->end : 0,
		.touched_ms = e->time_ms,
	};
	keep(stream->path, e->path);
	keep(stream->type, e->content_type);
	return add_chunk(stream, e, body);
}

static const char *producer_goes_on(struct model_stream *stream, const struct stream_event *e)
{
	struct model_producer *producer = model_producer(stream, e->producer);

	if (!e->producer.len)
		return NULL;
	if (!producer) {
		ENSURE(stream->producer_count < MODEL_PRODUCERS_MAX);
		producer = &stream->producers[stream->producer_count++];
		*producer = (struct model_producer){.id = model_string(e->producer)};
		if (e->seq != 0)
			return "a producer that does not begin with 0";
	} else if (e->epoch != producer->epoch ? e->epoch < producer->epoch || e->seq != 0 : e->seq != producer->seq + 1) {
		return "a producer's number that is not the next";
	}
	producer->epoch = e->epoch;
	producer->seq = e->seq;
	if (e->flags & STREAM_CLOSED) {
		stream->closer = producer->id;
		stream->closer_epoch = e->epoch;
		stream->closer_seq = e->seq;
	}
	return NULL;
}

static const char *appended(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	const char *wrong;

	if (stream->closed_end)
		return "a closed stream grows";
	if (e->offset != stream->next_offset)
		return "not at the end";
	if (e->stream_seq.len) {
		if (strcmp(stream->stream_seq, "") != 0 && strncmp(stream->stream_seq, e->stream_seq.ptr, e->stream_seq.len) >= 0)
			return "a Stream-Seq that does not rise";
		keep(stream->stream_seq, e->stream_seq);
	}
	wrong = producer_goes_on(stream, e);
	if (!wrong)
		wrong = add_chunk(stream, e, body);
	stream->flags |= e->flags & STREAM_CLOSED;
	if (e->flags & STREAM_CLOSED)
		stream->closed_end = e->end;
	stream->touched_ms = e->time_ms;
	return wrong;
}

static const char *moved(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	struct model_chunk *chunk = (struct model_chunk *)(uintptr_t)model_chunk(stream, e->offset);

	if (!chunk || chunk->offset != e->offset || chunk->ref.kind != BODY_INLINE)
		return "nothing that could be moved";
	if (e->bytes.kind != BODY_INLINE || e->bytes.crc != chunk->ref.crc || e->bytes.size_bytes != chunk->ref.size_bytes ||
	    stream_batch_content(body) != chunk->content)
		return "other bytes than before";
	chunk->ref = e->bytes;
	return NULL;
}

const char *model_stream_apply(struct model_streams *streams, const struct store_replay *entry)
{
	struct stream_event e = {.type = (enum stream_event_type)entry->type,
				 .time_ms = entry->time_ms,
				 .position = entry->position,
				 .end = entry->end};
	struct slice body = sim_store_body(entry);
	struct model_stream *stream;

	if (entry->body_bytes)
		e.bytes = (struct body_ref){entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	if (stream_event_decode(&e, entry->fields))
		return "an event that nobody can read";
	if (e.type == STREAM_CREATED)
		return created(streams, &e, body);
	stream = model_stream(streams, e.number);
	if (!stream || stream->deleted_end)
		return "there is no such stream";
	stream->changed_end = e.end;
	if (e.type == STREAM_APPENDED)
		return appended(stream, &e, body);
	if (e.type == STREAM_MOVED)
		return moved(stream, &e, body);
	if (e.type != STREAM_DELETED)
		return "not an event of the journal";
	stream->deleted_end = e.end;
	streams->live--;
	return NULL;
}
