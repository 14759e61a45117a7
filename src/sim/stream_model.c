#include "sim/stream_model.h"

#include "base/panic.h"
#include "sim/model.h"
#include "stream/batch.h"

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

		if (stream && !stream->freed_end && slice_eq(slice_str(stream->path), path))
			return stream;
	}
	return NULL;
}

struct model_stream *model_stream_last(const struct model_streams *streams, struct slice path)
{
	struct model_stream *last = NULL;

	for (uint64_t i = 0; i < streams->cap; i++) {
		if (streams->at[i] && slice_eq(slice_str(streams->at[i]->path), path))
			last = streams->at[i];
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

static bool is_marker(const struct stream_event *e)
{
	return e->type == STREAM_PRODUCED && e->txn > STREAM_TXN_RECORDS;
}

static const char *read_values(struct model_chunk *chunk, struct slice body)
{
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset;

	if (batch_open(&reader, body) || reader.count != chunk->count || reader.count > MODEL_RECORDS_MAX)
		return "not a batch of so many records";
	for (uint32_t i = 0; batch_next(&reader, &record, &offset) == 1; i++)
		chunk->value_bytes[i] = (uint32_t)record.value.len;
	return NULL;
}

static const char *add_chunk(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	const struct body_ref *ref = e->blob.kind ? &e->blob : &e->bytes;
	struct model_chunk *chunk;
	uint64_t content;

	if (!e->count)
		return ref->kind ? "bytes without records" : NULL;
	if (!ref->kind || (e->blob.kind && (e->bytes.kind || e->count != 1)))
		return "not the bytes of these records";
	content = e->blob.kind ? stream_blob_content(ref) : stream_batch_content(body);
	if (!e->blob.kind && stream_batch_base(body) != stream->next_offset)
		return "a batch with a wrong base offset";
	/* What producers may send twice the topic's oracle knows. */
	if (!(stream->flags & STREAM_TOPIC) && model_chunk_content(stream, content))
		return "the same append was stored twice";
	if (stream->count == stream->cap) {
		stream->cap = stream->cap ? stream->cap * 2 : 16;
		stream->chunks = realloc(stream->chunks, stream->cap * sizeof(*stream->chunks));
		ENSURE(stream->chunks);
	}
	chunk = &stream->chunks[stream->count++];
	*chunk = (struct model_chunk){
		.offset = stream->next_offset,
		.count = e->count,
		.end = e->end,
		.content = content,
		.content_now = content,
		.time_ms = e->max_time_ms ? e->max_time_ms : e->time_ms,
		.ref = *ref,
	};
	if (e->type == STREAM_APPENDED)
		chunk->expires_ms = (e->expires_at_ms + 999) / 1000 * 1000;
	stream->next_offset += e->count;
	if (is_marker(e))
		return NULL;
	return e->blob.kind ? (chunk->value_bytes[0] = (uint32_t)ref->size_bytes, NULL) : read_values(chunk, body);
}

/* The last one with its key goes, if it can still be read. */
static void replace(struct model_stream *stream, struct slice key)
{
	for (size_t i = 0; i < stream->count; i++) {
		struct model_chunk *chunk = &stream->chunks[i];

		if (chunk->key == model_string(key) && !chunk->dropped && chunk->offset >= stream->earliest)
			chunk->dropped = true;
	}
}

static const char *forked(const struct model_streams *streams, struct model_stream *fork, const struct stream_event *e)
{
	struct model_stream *source = model_stream(streams, e->source);

	if (!source || source->deleted_end)
		return "a fork of nothing";
	if (e->fork_offset + (e->fork_sub > 0) > source->next_offset)
		return "a fork of what its source has not";
	fork->source = source;
	fork->fork_offset = e->fork_offset;
	fork->fork_sub = e->fork_sub;
	fork->own_offset = fork->next_offset = e->fork_offset + (e->fork_sub > 0);
	fork->earliest = source->earliest < e->fork_offset ? source->earliest : e->fork_offset;
	fork->depth = source->depth + 1;
	source->forks++;
	return NULL;
}

static const char *created(struct model_streams *streams, const struct stream_event *e, struct slice body)
{
	struct model_stream *stream = calloc(1, sizeof(*stream));
	const char *wrong;

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
		.max_age_ms = e->max_age_ms,
		.max_bytes = e->max_bytes,
		.changed_end = e->end,
		.closed_end = e->flags & STREAM_CLOSED ? e->end : 0,
		.touched_ms = e->time_ms,
	};
	keep(stream->path, e->path);
	keep(stream->type, e->content_type);
	wrong = e->source ? forked(streams, stream, e) : NULL;
	return wrong ? wrong : add_chunk(stream, e, body);
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
	if (!wrong && e->key.len)
		replace(stream, e->key);
	if (!wrong)
		wrong = add_chunk(stream, e, body);
	if (!wrong && e->key.len)
		stream->chunks[stream->count - 1].key = model_string(e->key);
	stream->flags |= e->flags & STREAM_CLOSED;
	if (e->flags & STREAM_CLOSED)
		stream->closed_end = e->end;
	stream->touched_ms = e->time_ms;
	return wrong;
}

/* The bytes that lie somewhere new are those of the appends from the i-th on that are kept: behind the last of these; 0: they are
 * not. */
static size_t same_bytes(const struct model_stream *stream, size_t i, struct slice body)
{
	struct slice batch;

	while (batch_cut(&body, &batch) == 1) {
		const struct model_chunk *chunk;

		while (stream->flags & STREAM_TOPIC && i < stream->count && stream->chunks[i].dropped)
			i++;
		chunk = &stream->chunks[i++];
		if (i > stream->count || chunk->dropped || chunk->ref.kind != BODY_INLINE ||
		    stream_batch_content(batch) != chunk->content_now || stream_batch_base(batch) != chunk->offset)
			return 0;
	}
	return body.len ? 0 : i;
}

/* Moved by the tidier, or gathered. */
static const char *placed(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	size_t i = 0, end;

	while (i < stream->count && stream->chunks[i].offset != e->offset)
		i++;
	end = e->bytes.kind == BODY_INLINE && i < stream->count ? same_bytes(stream, i, body) : 0;
	if (!end)
		return "other bytes than before";
	if (e->type == STREAM_GATHERED && stream->chunks[end - 1].offset + stream->chunks[end - 1].count != e->offset + e->count)
		return "other records than were told";
	for (; i < end; i++) {
		if (e->type == STREAM_GATHERED && (stream->chunks[i].key || stream->chunks[i].expires_ms))
			return "gathered what may go alone";
		if (!stream->chunks[i].dropped)
			stream->chunks[i].ref = e->bytes;
	}
	return NULL;
}

static const char *dropped(struct model_stream *stream, const struct stream_event *e)
{
	struct model_chunk *chunk = (struct model_chunk *)(uintptr_t)model_chunk(stream, e->offset);

	if (!chunk || chunk->offset != e->offset || chunk->dropped)
		return "nothing that could be dropped";
	chunk->dropped = true;
	return NULL;
}

static const char *deleted(struct model_streams *streams, struct model_stream *stream, const struct stream_event *e)
{
	stream->deleted_end = e->end;
	if (stream->forks)
		stream->flags |= STREAM_GONE;
	for (; stream && stream->deleted_end && !stream->forks; stream = stream->source) {
		stream->freed_end = e->end;
		streams->live--;
		if (stream->source)
			stream->source->forks--;
	}
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
	if (!stream || stream->freed_end)
		return "there is no such stream";
	stream->changed_end = e.end;
	if (e.type == STREAM_MOVED)
		return placed(stream, &e, body);
	if (e.type == STREAM_DROPPED)
		return dropped(stream, &e);
	if (stream->deleted_end)
		return "it is deleted";
	if (e.type == STREAM_APPENDED || (e.type == STREAM_PRODUCED && stream->flags & STREAM_TOPIC))
		return appended(stream, &e, body);
	if (e.type == STREAM_GATHERED)
		return placed(stream, &e, body);
	if (e.type == STREAM_COMPACTED)
		return stream->flags & STREAM_TOPIC ? model_stream_compacted(stream, &e, body)
						    : "what is compacted is no partition";
	if (e.type == STREAM_DELETED)
		return deleted(streams, stream, &e);
	if (e.type != STREAM_TRIMMED || e.offset <= stream->earliest || e.offset > stream->next_offset)
		return "not an event of the journal";
	stream->earliest = e.offset;
	return NULL;
}
