/* What a stream keeps: the bytes behind its chunks, when they go, how small ones become a longer one, how all of it comes into a
 * checkpoint, and how the tidier moves them.
 *
 * When records go is decided here, with the time and the limits of now, and then told by an event; so the fold of the journal
 * knows no policy. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>

enum { DROPS_A_TURN = 2048 };

/* --- bytes --- */

int chunk_read(struct sequencer *s, const struct chunk *chunk, char **ret_bytes)
{
	struct body_ref ref = chunk_ref(chunk);
	struct store_pin *pin = s->store->ops->pin(s->store, &ref);
	char *bytes = mem_alloc((size_t)ref.size_bytes + 1);
	int r = pin && bytes ? pin->ops->read_whole(pin, bytes) : -ENOMEM;

	if (pin)
		pin->ops->unpin(pin);
	if (r)
		mem_free(bytes);
	else
		*ret_bytes = bytes;
	return r;
}

/* The first record of the batch from `from` on, not before `time_ms`: 1. Of one that is compressed only its latest time is known
 * here, so it is all of it. */
static int batch_offset_at(struct slice batch, uint64_t from, uint64_t time_ms, uint64_t *ret_offset)
{
	struct batch_reader reader;
	struct batch_record record;
	struct batch_head head;
	int r = batch_head_read(batch, &head);

	if (r)
		return r;
	if (head.compression) {
		*ret_offset = head.base_offset > from ? head.base_offset : from;
		return head.base_offset + head.count > from && head.max_time_ms >= 0 && (uint64_t)head.max_time_ms >= time_ms;
	}
	r = batch_open_checked(&reader, batch);
	if (r)
		return r;
	while ((r = batch_next(&reader, &record, ret_offset)) == 1 && (*ret_offset < from || reader.record_time_ms < time_ms))
		;
	return r;
}

int chunk_offset_at(struct sequencer *s, const struct chunk_place *place, uint64_t time_ms, uint64_t *ret_offset)
{
	struct slice rest, batch;
	uint64_t offset = 0;
	char *bytes;
	int r = chunk_read(s, place->chunk, &bytes);

	if (r)
		return r;
	rest = slice_from(bytes, (size_t)place->chunk->size_bytes);
	while (r == 0 && batch_cut(&rest, &batch) == 1)
		r = batch_offset_at(batch, place->from, time_ms, &offset);
	mem_free(bytes);
	if (r <= 0 || offset >= place->end)
		return 1;
	*ret_offset = offset;
	return 0;
}

/* --- letting go --- */

/* By age at `now_ms`, 0: not by age; and by size. */
static enum outcome trim(struct sequencer *s, struct stream *stream, uint64_t now_ms)
{
	uint64_t point = stream_trim_point(stream, now_ms);

	if (point == stream_earliest(stream))
		return OUTCOME_OK;
	return stream_emit(s, &(struct stream_event){.type = STREAM_TRIMMED, .offset = point}, stream, (struct slice){0});
}

/* Records whose own time is over, a share of them: *ret_more: there are more. */
static enum outcome drop_overdue(struct sequencer *s, struct stream *stream, bool *ret_more)
{
	const struct chunk *chunk;
	enum outcome outcome = OUTCOME_OK;
	uint64_t offset = 0;

	for (unsigned n = 0; n < DROPS_A_TURN && outcome == OUTCOME_OK; n++) {
		chunk = stream_overdue(stream, offset, s->now_ms);
		if (!chunk)
			return OUTCOME_OK;
		offset = chunk->offset;
		outcome = stream_emit(s, &(struct stream_event){.type = STREAM_DROPPED, .offset = offset}, stream,
				      (struct slice){0});
	}
	*ret_more = true;
	return outcome;
}

enum outcome stream_came_due(struct sequencer *s, struct stream *stream)
{
	enum outcome outcome;
	bool more = false;

	if (stream->more->life_ms <= s->now_ms)
		return stream_emit(s, &(struct stream_event){.type = STREAM_DELETED}, stream, (struct slice){0});
	if (stream->more->compact_ms <= s->now_ms)
		stream_compact_due(s, stream);
	outcome = stream->flags & STREAM_GONE ? OUTCOME_OK : trim(s, stream, s->now_ms);
	if (outcome == OUTCOME_OK)
		outcome = drop_overdue(s, stream, &more);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (more) /* when others had their turn */
		stream_postpone(&s->streams, stream, s->now_ms + 1);
	else
		stream_plan_trim(&s->streams, stream);
	return OUTCOME_OK;
}

/* --- gathering --- */

/* The bytes of `count` chunks from `first` on, one behind the other: 0, -ENOMEM or -EIO. */
static int read_run(struct sequencer *s, const struct stream *stream, uint32_t first, uint32_t count, struct buf *out)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct body_ref ref = chunk_ref(&stream_chunks(stream)[i]);
		struct store_pin *pin = s->store->ops->pin(s->store, &ref);
		char *at = buf_reserve(out, (size_t)ref.size_bytes);
		int r = pin && at ? pin->ops->read_whole(pin, at) : -ENOMEM;

		if (pin)
			pin->ops->unpin(pin);
		if (r)
			return r;
		out->len += (size_t)ref.size_bytes;
	}
	return 0;
}

/* When it cannot be they stay as they are, and are not looked at again. */
static void gather(struct sequencer *s, struct stream *stream)
{
	const struct gather_limits limits = {s->config.gather_chunks, s->config.gather_bytes};
	uint32_t first, count = stream_gather_run(stream, &limits, s->store->ops->durable_position(s->store), &first);
	struct buf bytes = {0};
	uint64_t offset, end;

	if (!count)
		return;
	offset = stream_chunks(stream)[first].offset;
	end = chunk_end(&stream_chunks(stream)[first + count - 1]);
	stream->array->gathered = first + count;
	if (read_run(s, stream, first, count, &bytes) == 0) {
		struct stream_event e = {.type = STREAM_GATHERED, .offset = offset, .count = end - offset};

		(void)!stream_emit(s, &e, stream, buf_slice(&bytes));
	}
	buf_deinit(&bytes);
}

void stream_keep(struct sequencer *s, struct stream *stream)
{
	/* Too much is let go at once, for it may be much; small ones are looked for when there may be enough of them. */
	if (stream_more(stream)->max_bytes)
		(void)!trim(s, stream, stream->flags & STREAM_TOPIC ? 0 : s->now_ms);
	if (stream->many && stream->chunk_count - stream->array->gathered >= s->config.gather_chunks &&
	    stream->chunk_count % 4 == 0)
		gather(s, stream);
	if (stream_more(stream)->compacted)
		stream_compact_soon(s, stream);
}

/* --- checkpoint --- */

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
		for (uint32_t n = 0; n < STREAM_SNAP_CHUNKS_MAX && i < stream->chunk_count; i++) {
			if (stream_chunks(stream)[i].kind == BODY_NONE)
				continue;
			stream_chunk_put(&chunks, &stream_chunks(stream)[i]);
			n++;
		}
		e->chunks = buf_slice(&chunks);
		r = chunks.failed ? -ENOMEM : put(s, e, sink);
		*e = (struct stream_event){.type = STREAM_SNAP_CHUNKS, .number = stream->number};
	} while (!r && i < stream->chunk_count);
	buf_deinit(&chunks);
	return r;
}

/* Producers, and the records that may be replaced. */
static int put_names(struct sequencer *s, const struct stream *stream, const struct stream_sink *sink)
{
	struct stream_event e;
	int r = 0;

	if (!stream->more)
		return 0;
	list_each (node, &stream->more->producers) {
		const struct producer *producer = container_of(node, struct producer, peers);

		e = (struct stream_event){.type = STREAM_SNAP_PRODUCER,
					  .number = stream->number,
					  .producer = slice_from(producer->id, producer->len),
					  .epoch = producer->epoch,
					  .seq = producer->seq};
		if (!r)
			r = put(s, &e, sink);
	}
	list_each (node, &stream->more->keys) {
		const struct stream_keyed *keyed = container_of(node, struct stream_keyed, peers);

		e = (struct stream_event){.type = STREAM_SNAP_KEY,
					  .number = stream->number,
					  .key = slice_from(keyed->key, keyed->len),
					  .offset = keyed->offset};
		if (!r)
			r = put(s, &e, sink);
	}
	return r;
}

static int put_sequence(struct sequencer *s, const struct sequence *sequence, struct buf *batches, const struct stream_sink *sink)
{
	struct stream_event e = {
		.type = STREAM_SNAP_SEQUENCE,
		.number = sequence->stream->number,
		.producer_id = sequence->producer_id,
		.epoch = sequence->epoch,
		.last_ms = sequence->last_ms,
		.txn_first = sequence->txn_first + 1, /* none: 0 */
	};

	buf_clear(batches);
	for (unsigned i = 0; i < sequence->batch_count; i++)
		sequence_batch_put(batches, &sequence->batches[i]);
	e.batches = buf_slice(batches);
	return batches->failed ? -ENOMEM : put(s, &e, sink);
}

/* Kafka producers, and the transactions that were aborted. */
static int put_sequences(struct sequencer *s, const struct stream *stream, const struct stream_sink *sink)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	struct buf bytes = {0};
	uint32_t i = 0;
	int r = 0;

	if (!sequences)
		return 0;
	list_each (node, &sequences->all)
		r = r ? r : put_sequence(s, container_of(node, struct sequence, peers), &bytes, sink);
	while (!r && i < sequences->aborted_count) {
		struct stream_event e = {.type = STREAM_SNAP_ABORTED, .number = stream->number};

		buf_clear(&bytes);
		for (uint32_t n = 0; n < STREAM_SNAP_CHUNKS_MAX && i < sequences->aborted_count; n++)
			aborted_put(&bytes, &sequences->aborted->items[i++]);
		e.aborted = buf_slice(&bytes);
		r = bytes.failed ? -ENOMEM : put(s, &e, sink);
	}
	buf_deinit(&bytes);
	return r;
}

/* How far it is compacted. */
static int put_clean(struct sequencer *s, const struct stream *stream, const struct stream_sink *sink)
{
	const struct stream_more *more = stream_more(stream);
	struct stream_event e = {
		.type = STREAM_COMPACTED,
		.number = stream->number,
		.clean_offset = more->clean_offset,
		.horizon_ms = more->horizon_ms,
	};

	return more->clean_offset || more->horizon_ms ? put(s, &e, sink) : 0;
}

int stream_snapshot(struct sequencer *s, const struct stream *stream, const struct stream_sink *sink)
{
	const struct stream_more *more = stream_more(stream);
	struct stream_event e = {
		.type = STREAM_SNAP,
		.number = stream->number,
		.path = stream_path(stream),
		.content_type = stream_type_slice(stream),
		.flags = stream->flags,
		.ttl_s = more->ttl_s,
		.expires_at_ms = more->expires_at_ms,
		.max_age_ms = more->max_age_ms,
		.max_bytes = more->max_bytes,
		.source = more->source ? more->source->number : 0,
		.fork_offset = more->fork_offset,
		.fork_sub = more->fork_sub,
		.stream_seq = slice_from(more->stream_seq, more->stream_seq_len),
		.next_offset = stream->next_offset,
		.earliest_offset = more->earliest_offset,
		.changed_end = stream->changed_end,
		.created_ms = stream_created_ms(stream),
		.epoch = more->closer_epoch,
		.seq = more->closer_seq,
	};
	int r;

	if (more->closer)
		e.producer = slice_from(more->closer->id, more->closer->len);
	r = put_chunks(s, stream, &e, sink);
	if (!r)
		r = put_names(s, stream, sink);
	if (!r)
		r = put_sequences(s, stream, sink);
	return r ? r : put_clean(s, stream, sink);
}

int stream_snapshot_meta(struct sequencer *s, const struct stream_sink *sink)
{
	return put(s, &(struct stream_event){.type = STREAM_SNAP_META, .next_number = s->streams.next_number}, sink);
}

/* --- the tidier --- */

/* The chunk whose bytes these are; NULL: nobody names them any more. */
static const struct chunk *chunk_of(struct sequencer *s, const struct store_replay *entry, struct stream **ret_stream)
{
	struct stream_event old = {.type = (enum stream_event_type)entry->type};
	struct chunk_place place;
	struct stream *stream;

	if (entry->body_bytes == 0 || stream_event_decode(&old, entry->fields))
		return NULL;
	stream = stream_find_number(&s->streams, old.number);
	if (!stream)
		return NULL;
	if (old.type == STREAM_CREATED)
		old.offset = stream_more(stream)->own_offset;
	if (old.type == STREAM_COMPACTED)
		old.offset = old.kept_offset;
	*ret_stream = stream;
	if (!stream_own_chunk(stream, old.offset, &place) || place.chunk->kind != BODY_INLINE)
		return NULL;
	return place.chunk->place == entry->body_place ? place.chunk : NULL;
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
	pin = s->store->ops->pin(s->store, &(struct body_ref){chunk->place, chunk->size_bytes, chunk->crc, BODY_INLINE});
	r = pin ? pin->ops->read_whole(pin, bytes) : -ENOMEM;
	if (!r)
		r = stream_emit(s, &e, stream, slice_from(bytes, entry->body_bytes)) == OUTCOME_OK ? 0 : STORE_NO_SPACE;
	if (pin)
		pin->ops->unpin(pin);
	return r;
}
