/* Streams: created, appended to, deleted. Reading is stream_read.c's. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>

/* --- events --- */

/* What keeps or ends a stream may use the reserve; what fills the disk may not. */
static bool uses_reserve(const struct stream_event *e)
{
	return e->type == STREAM_DELETED || (e->type == STREAM_APPENDED && e->count == 0);
}

static int append(struct sequencer *s, struct stream_event *e, struct slice body)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	stream_event_encode(e, &s->fields);
	if (s->fields.failed)
		return -ENOMEM;
	r = s->store->ops->append(s->store,
				  &(struct store_entry){
					  .time_ms = e->time_ms,
					  .fields = buf_slice(&s->fields),
					  .body = body,
					  .type = (uint8_t)e->type,
					  .reserve = uses_reserve(e),
				  },
				  &appended);
	if (r)
		return r;
	e->position = appended.position;
	e->end = appended.end;
	e->bytes = appended.body;
	appended_until(s, appended.end);
	return 0;
}

enum outcome stream_emit(struct sequencer *s, struct stream_event *e, struct stream *stream, struct slice body)
{
	struct stream_prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (stream)
		e->number = stream->number;
	r = streams_prepare(&s->streams, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e, body);
	if (r) {
		streams_unprepare(&s->streams, &prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	if (e->type == STREAM_DELETED) {
		s->forgotten_end = e->end;
		stream_wake_watchers(s, stream, e->end, true);
		streams_commit(&s->streams, e, &prepared);
		return OUTCOME_OK;
	}
	streams_commit(&s->streams, e, &prepared);
	if (stream && e->type == STREAM_APPENDED)
		stream_wake_watchers(s, stream, e->end, false);
	return OUTCOME_OK;
}

enum outcome stream_expired(struct sequencer *s, struct stream *stream)
{
	return stream_emit(s, &(struct stream_event){.type = STREAM_DELETED}, stream, (struct slice){0});
}

/* --- answers --- */

static void reply_stream(struct sequencer *s, struct command *c, enum outcome outcome, const struct stream *stream, uint64_t gate)
{
	c->out.stream = stream_view_new(s, stream, 0);
	reply(s, c, c->out.stream ? outcome : OUTCOME_NO_MEMORY, gate);
}

/* The bytes of an append as an entry has them. */
static struct slice records_body(const struct records_in *in, uint64_t base_offset)
{
	if (!in->batch)
		return (struct slice){0};
	batch_set_base(in->batch, base_offset);
	return slice_from(in->batch, in->batch_bytes);
}

/* --- create --- */

/* How long the value of the record at `offset` is, which lies in this chunk: 0, -ENOMEM or -EIO. */
static int record_bytes(struct sequencer *s, const struct chunk_place *place, uint64_t offset, uint64_t *ret_bytes)
{
	const struct body_ref *ref = &place->chunk->ref;
	struct batch_reader reader;
	struct batch_record record;
	struct store_pin *pin;
	uint64_t at = 0;
	char *bytes;
	int r;

	*ret_bytes = ref->size_bytes;
	if (ref->kind == BODY_BLOB)
		return 0;
	pin = s->store->ops->pin(s->store, ref);
	bytes = mem_alloc((size_t)ref->size_bytes);
	r = pin && bytes ? pin->ops->read_whole(pin, bytes) : -ENOMEM;
	if (!r && batch_open(&reader, slice_from(bytes, (size_t)ref->size_bytes)))
		r = -EIO;
	while (!r && batch_next(&reader, &record, &at) == 1 && at < offset)
		;
	if (!r)
		r = at == offset ? 0 : -EIO;
	if (!r)
		*ret_bytes = record.value.len;
	if (pin)
		pin->ops->unpin(pin);
	mem_free(bytes);
	return r;
}

/* Within the one record at its beginning, of which the fork is to have some bytes. */
static enum outcome fork_within(struct sequencer *s, const struct chunk_place *place, uint64_t bytes, struct stream_event *e)
{
	uint64_t value_bytes;
	int r = record_bytes(s, place, e->fork_offset, &value_bytes);

	if (r)
		return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_STORAGE;
	if (value_bytes > place->value_bytes)
		value_bytes = place->value_bytes;
	if (bytes > value_bytes)
		return OUTCOME_RANGE;
	if (bytes == value_bytes)
		e->fork_offset++;
	else
		e->fork_sub = bytes;
	return OUTCOME_OK;
}

/* What a fork has from its source where the request does not say otherwise; what lies at its beginning. OUTCOME_OK: filled in. */
static enum outcome fork_from(struct sequencer *s, const struct stream_create_in *in, struct stream_event *e)
{
	const struct stream *source = stream_find(&s->streams, in->source);
	struct chunk_place place;

	if (!source)
		return OUTCOME_NO_SOURCE;
	if (source->flags & STREAM_GONE)
		return OUTCOME_CONFLICT;
	if (!in->content_type.len)
		e->content_type = stream_type_slice(source);
	else if (!slice_eq_nocase(in->content_type, stream_type_slice(source)))
		return OUTCOME_TYPE;
	e->flags = (e->flags & ~(uint64_t)STREAM_JSON) | (source->flags & STREAM_JSON);
	if (!in->has_ttl && !in->expires_at_ms) {
		e->flags |= source->flags & STREAM_HAS_TTL;
		e->ttl_s = source->ttl_s;
		e->expires_at_ms = source->expires_at_ms;
	}
	e->source = source->number;
	e->fork_offset = in->has_fork_offset ? in->fork_offset : source->next_offset;
	if ((in->has_fork_offset && !stream_place_find(source, in->fork_number, &e->fork_offset)) ||
	    e->fork_offset > source->next_offset)
		return OUTCOME_RANGE;
	if (in->fork_sub == 0)
		return OUTCOME_OK;
	if (e->fork_offset == source->next_offset)
		return OUTCOME_RANGE;
	place = stream_chunk_at(source, e->fork_offset);
	if (source->flags & STREAM_JSON) {
		if (in->fork_sub > place.end - e->fork_offset)
			return OUTCOME_RANGE;
		e->fork_offset += in->fork_sub;
		return OUTCOME_OK;
	}
	return fork_within(s, &place, in->fork_sub, e);
}

static bool same_config(const struct stream *stream, const struct stream_event *e)
{
	return stream->flags == e->flags && slice_eq_nocase(stream_type_slice(stream), e->content_type) &&
	       stream->ttl_s == e->ttl_s && stream->expires_at_ms == e->expires_at_ms &&
	       (stream->source ? stream->source->number : 0) == e->source && stream->fork_offset == e->fork_offset &&
	       stream->fork_sub == e->fork_sub;
}

/* The stream is there already: the same, or another? A fork at the source's end is the same wherever that end is by now. */
static enum outcome create_again(struct sequencer *s, const struct stream_create_in *in, struct stream *stream,
				 struct stream_event *e)
{
	if (stream->flags & STREAM_GONE)
		return OUTCOME_CONFLICT;
	if (in->source.len && !in->has_fork_offset) {
		e->fork_offset = stream->fork_offset;
		e->fork_sub = stream->fork_sub;
	}
	stream_touch(&s->streams, stream, s->now_ms);
	return same_config(stream, e) ? OUTCOME_SAME : OUTCOME_CONFLICT;
}

void command_stream_create(struct sequencer *s, struct command *c)
{
	const struct stream_create_in *in = &c->in.stream_create;
	struct stream *stream = stream_find(&s->streams, in->path);
	struct stream_event e = {
		.type = STREAM_CREATED,
		.number = s->streams.next_number,
		.path = in->path,
		.content_type = in->content_type,
		.flags = (in->json ? STREAM_JSON : 0u) | (in->closed ? STREAM_CLOSED : 0u) | (in->has_ttl ? STREAM_HAS_TTL : 0u),
		.ttl_s = in->ttl_s,
		.expires_at_ms = in->expires_at_ms,
		.count = in->records.count,
		.blob = in->records.blob,
	};
	struct stream_view *room = NULL;
	enum outcome outcome = in->source.len ? fork_from(s, in, &e) : OUTCOME_OK;

	if (stream && (outcome == OUTCOME_OK || stream->flags & STREAM_GONE)) {
		reply_stream(s, c, create_again(s, in, stream, &e), stream, stream->changed_end);
		return;
	}
	if (outcome == OUTCOME_OK && s->streams.count >= s->config.streams_max)
		outcome = OUTCOME_FULL;
	/* The answer's memory comes first: who hears of a failure must be sure that no stream, and no blob, is left behind. */
	if (outcome == OUTCOME_OK) {
		room = stream_view_room(in->path.len + e.content_type.len, 0);
		outcome = room ? stream_emit(s, &e, NULL, records_body(&in->records, e.fork_offset + (e.fork_sub > 0)))
			       : OUTCOME_NO_MEMORY;
	}
	if (outcome != OUTCOME_OK) {
		mem_free(room);
		reply(s, c, outcome, s->appended_end);
		return;
	}
	stream = stream_find_number(&s->streams, e.number);
	stream_view_fill(room, stream, 0);
	c->out.stream = room;
	reply(s, c, OUTCOME_OK, stream->changed_end);
}

/* --- append --- */

static bool seq_rises(const struct stream *stream, struct slice seq)
{
	size_t len = seq.len < stream->stream_seq_len ? seq.len : stream->stream_seq_len;
	int order = len ? memcmp(seq.ptr, stream->stream_seq, len) : 0;

	return !stream->stream_seq || order > 0 || (order == 0 && seq.len > stream->stream_seq_len);
}

/* Where a producer stands, for those whose append is not to be done; OUTCOME_OK: it is to be done. */
static enum outcome judge_producer(const struct sequencer *s, const struct stream *stream, const struct producer_in *in)
{
	const struct producer *producer = in->id.len ? producer_find(&s->streams, stream, in->id) : NULL;

	if (!in->id.len)
		return OUTCOME_OK;
	if (!producer)
		return in->seq == 0 ? OUTCOME_OK : OUTCOME_GAP;
	if (in->epoch < producer->epoch)
		return OUTCOME_STALE;
	if (in->epoch > producer->epoch)
		return in->seq == 0 ? OUTCOME_OK : OUTCOME_EPOCH_START;
	if (in->seq <= producer->seq)
		return OUTCOME_SAME;
	return in->seq == producer->seq + 1 ? OUTCOME_OK : OUTCOME_GAP;
}

static bool closed_by(const struct stream *stream, const struct producer_in *in)
{
	return stream->closer && slice_eq(slice_from(stream->closer->id, stream->closer->len), in->id) &&
	       stream->closer_epoch == in->epoch && stream->closer_seq == in->seq;
}

static enum outcome judge(const struct sequencer *s, const struct stream *stream, const struct stream_append_in *in)
{
	enum outcome outcome;

	if (stream->flags & STREAM_GONE)
		return OUTCOME_GONE;
	if (stream->flags & STREAM_CLOSED) {
		if (in->producer.id.len ? closed_by(stream, &in->producer) : in->close && in->records.count == 0)
			return OUTCOME_SAME;
		return in->close && in->records.count == 0 ? OUTCOME_SAME : OUTCOME_CLOSED;
	}
	if (in->records.count && !slice_eq_nocase(stream_type_slice(stream), in->content_type))
		return OUTCOME_TYPE;
	outcome = judge_producer(s, stream, &in->producer);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (in->stream_seq.len && !seq_rises(stream, in->stream_seq))
		return OUTCOME_SEQ;
	if (in->producer.id.len && stream->producer_count >= s->config.producers_max &&
	    !producer_find(&s->streams, stream, in->producer.id))
		return OUTCOME_FULL;
	return OUTCOME_OK;
}

static void tell_producer(const struct sequencer *s, struct command *c, const struct stream *stream)
{
	const struct producer_in *in = &c->in.stream_append.producer;
	const struct producer *producer = in->id.len ? producer_find(&s->streams, stream, in->id) : NULL;

	if (!producer || !c->out.stream)
		return;
	c->out.stream->producer_known = true;
	c->out.stream->producer_epoch = producer->epoch;
	c->out.stream->producer_seq = producer->seq;
}

void command_stream_append(struct sequencer *s, struct command *c)
{
	const struct stream_append_in *in = &c->in.stream_append;
	struct stream *stream = stream_find(&s->streams, in->path);
	enum outcome outcome = stream ? judge(s, stream, in) : OUTCOME_NOT_FOUND;
	struct stream_event e = {
		.type = STREAM_APPENDED,
		.count = in->records.count,
		.blob = in->records.blob,
		.flags = in->close ? STREAM_CLOSED : 0,
		.stream_seq = in->stream_seq,
		.producer = in->producer.id,
		.epoch = in->producer.epoch,
		.seq = in->producer.seq,
	};

	if (!stream) {
		reply(s, c, outcome, s->forgotten_end);
		return;
	}
	/* As above: no memory for the answer, no append. */
	c->out.stream = stream_view_room(stream->path_len + stream_type_slice(stream).len, 0);
	if (!c->out.stream) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	if (outcome == OUTCOME_OK) {
		e.offset = stream->next_offset;
		outcome = stream_emit(s, &e, stream, records_body(&in->records, stream->next_offset));
	}
	stream_view_fill(c->out.stream, stream, 0);
	tell_producer(s, c, stream);
	reply(s, c, outcome, stream->changed_end);
}

/* --- delete --- */

void command_stream_delete(struct sequencer *s, struct command *c)
{
	struct stream *stream = stream_find(&s->streams, c->in.stream_read.path);
	enum outcome outcome = OUTCOME_NOT_FOUND;

	if (stream && stream->flags & STREAM_GONE)
		outcome = OUTCOME_GONE;
	else if (stream)
		outcome = stream_emit(s, &(struct stream_event){.type = STREAM_DELETED}, stream, (struct slice){0});
	reply(s, c, outcome, s->forgotten_end);
}

/* --- snapshot and rescue --- */

static int put(struct sequencer *s, const struct stream_event *e, const struct stream_sink *sink)
{
	buf_clear(&s->fields);
	stream_event_encode(e, &s->fields);
	return s->fields.failed ? -ENOMEM : sink->add(sink->ctx, (uint8_t)e->type, buf_slice(&s->fields));
}

static int put_chunks(struct sequencer *s, const struct stream *stream, struct stream_event *e, const struct stream_sink *sink)
{
	struct buf chunks = {0};
	uint32_t i = 0;
	int r = 0;

	do {
		buf_clear(&chunks);
		for (uint32_t n = 0; n < STREAM_SNAP_CHUNKS_MAX && i < stream->chunk_count; n++, i++)
			stream_chunk_put(&chunks, stream->chunks[i].offset, stream->chunks[i].count, &stream->chunks[i].ref);
		e->chunks = buf_slice(&chunks);
		r = chunks.failed ? -ENOMEM : put(s, e, sink);
		*e = (struct stream_event){.type = STREAM_SNAP_CHUNKS, .number = stream->number};
	} while (!r && i < stream->chunk_count);
	buf_deinit(&chunks);
	return r;
}

int stream_snapshot(struct sequencer *s, const struct stream *stream, const struct stream_sink *sink)
{
	struct stream_event e = {
		.type = STREAM_SNAP,
		.number = stream->number,
		.path = stream_path(stream),
		.content_type = stream_type_slice(stream),
		.flags = stream->flags,
		.ttl_s = stream->ttl_s,
		.expires_at_ms = stream->expires_at_ms,
		.source = stream->source ? stream->source->number : 0,
		.fork_offset = stream->fork_offset,
		.fork_sub = stream->fork_sub,
		.stream_seq = slice_from(stream->stream_seq, stream->stream_seq_len),
		.next_offset = stream->next_offset,
		.earliest_offset = stream->earliest_offset,
		.changed_end = stream->changed_end,
		.created_ms = stream->created_ms,
		.epoch = stream->closer_epoch,
		.seq = stream->closer_seq,
	};
	int r;

	if (stream->closer)
		e.producer = slice_from(stream->closer->id, stream->closer->len);
	r = put_chunks(s, stream, &e, sink);
	list_each (node, &stream->producers) {
		const struct producer *producer = container_of(node, struct producer, peers);

		e = (struct stream_event){.type = STREAM_SNAP_PRODUCER,
					  .number = stream->number,
					  .producer = slice_from(producer->id, producer->len),
					  .epoch = producer->epoch,
					  .seq = producer->seq};
		if (!r)
			r = put(s, &e, sink);
	}
	return r;
}

int stream_snapshot_meta(struct sequencer *s, const struct stream_sink *sink)
{
	return put(s, &(struct stream_event){.type = STREAM_SNAP_META, .next_number = s->streams.next_number}, sink);
}

/* The chunk whose batch these bytes are; NULL: nobody names them any more. */
static const struct chunk *chunk_of(struct sequencer *s, const struct store_replay *entry, struct stream **ret_stream)
{
	struct stream_event old = {.type = (enum stream_event_type)entry->type};
	const struct chunk *chunk;
	struct stream *stream;

	if (entry->body_bytes == 0 || stream_event_decode(&old, entry->fields))
		return NULL;
	stream = stream_find_number(&s->streams, old.number);
	if (stream && old.type == STREAM_CREATED)
		old.offset = stream->own_offset;
	if (!stream || old.offset < stream->earliest_offset || old.offset >= stream->next_offset)
		return NULL;
	chunk = stream_chunk_at(stream, old.offset).chunk;
	*ret_stream = stream;
	return chunk->ref.kind == BODY_INLINE && chunk->ref.place == entry->body_place ? chunk : NULL;
}

int stream_rescue(struct sequencer *s, const struct store_replay *entry, char *bytes)
{
	struct stream *stream = NULL;
	const struct chunk *chunk = chunk_of(s, entry, &stream);
	struct stream_event e = {.type = STREAM_MOVED};
	struct store_pin *pin;
	int r;

	if (!chunk)
		return 0;
	e.offset = chunk->offset;
	pin = s->store->ops->pin(s->store, &chunk->ref);
	r = pin ? pin->ops->read_whole(pin, bytes) : -ENOMEM;
	if (!r)
		r = stream_emit(s, &e, stream, slice_from(bytes, entry->body_bytes)) == OUTCOME_OK ? 0 : STORE_NO_SPACE;
	if (pin)
		pin->ops->unpin(pin);
	return r;
}
