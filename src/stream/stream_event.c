#include "stream/stream_event.h"

#include "base/fields.h"
#include "stream/sequence.h"

#include <errno.h>

enum field_name {
	F_NONE,
	F_NUMBER,
	F_PATH,
	F_TYPE,
	F_STREAM_SEQ,
	F_PRODUCER,
	F_FLAGS,
	F_TTL,
	F_EXPIRES_AT,
	F_MAX_AGE,
	F_MAX_BYTES,
	F_SOURCE,
	F_FORK_OFFSET,
	F_FORK_SUB,
	F_OFFSET,
	F_COUNT,
	F_MAX_TIME,
	F_KEY,
	F_EPOCH,
	F_SEQ,
	F_BLOB,
	F_NEXT_OFFSET,
	F_EARLIEST,
	F_CHANGED_END,
	F_CREATED,
	F_NEXT_NUMBER,
	F_CHUNKS,
	F_PRODUCER_ID,
	F_TXN,
	F_FORGOTTEN,
	F_LAST,
	F_TXN_FIRST,
	F_BATCHES,
	F_ABORTED,
	F_KEPT_OFFSET,
	F_KEPT_COUNT,
	F_CLEAN_OFFSET,
	F_HORIZON,
	FIELD_COUNT
};

#define FIELD(member, kind) FIELD_OF(struct stream_event, member, kind)
static const struct field fields[FIELD_COUNT] = {
	[F_NUMBER] = FIELD(number, VARINT),
	[F_PATH] = FIELD(path, STRING),
	[F_TYPE] = FIELD(content_type, STRING),
	[F_STREAM_SEQ] = FIELD(stream_seq, STRING),
	[F_PRODUCER] = FIELD(producer, STRING),
	[F_FLAGS] = FIELD(flags, VARINT),
	[F_TTL] = FIELD(ttl_s, VARINT),
	[F_EXPIRES_AT] = FIELD(expires_at_ms, VARINT),
	[F_MAX_AGE] = FIELD(max_age_ms, VARINT),
	[F_MAX_BYTES] = FIELD(max_bytes, VARINT),
	[F_SOURCE] = FIELD(source, VARINT),
	[F_FORK_OFFSET] = FIELD(fork_offset, VARINT),
	[F_FORK_SUB] = FIELD(fork_sub, VARINT),
	[F_OFFSET] = FIELD(offset, VARINT),
	[F_COUNT] = FIELD(count, VARINT),
	[F_MAX_TIME] = FIELD(max_time_ms, VARINT),
	[F_KEY] = FIELD(key, STRING),
	[F_EPOCH] = FIELD(epoch, VARINT),
	[F_SEQ] = FIELD(seq, VARINT),
	[F_BLOB] = FIELD(blob, REF),
	[F_NEXT_OFFSET] = FIELD(next_offset, VARINT),
	[F_EARLIEST] = FIELD(earliest_offset, VARINT),
	[F_CHANGED_END] = FIELD(changed_end, VARINT),
	[F_CREATED] = FIELD(created_ms, VARINT),
	[F_NEXT_NUMBER] = FIELD(next_number, VARINT),
	[F_CHUNKS] = FIELD(chunks, STRING),
	[F_PRODUCER_ID] = FIELD(producer_id, VARINT),
	[F_TXN] = FIELD(txn, VARINT),
	[F_FORGOTTEN] = FIELD(forgotten, VARINT),
	[F_LAST] = FIELD(last_ms, VARINT),
	[F_TXN_FIRST] = FIELD(txn_first, VARINT),
	[F_BATCHES] = FIELD(batches, STRING),
	[F_ABORTED] = FIELD(aborted, STRING),
	[F_KEPT_OFFSET] = FIELD(kept_offset, VARINT),
	[F_KEPT_COUNT] = FIELD(kept_count, VARINT),
	[F_CLEAN_OFFSET] = FIELD(clean_offset, VARINT),
	[F_HORIZON] = FIELD(horizon_ms, VARINT),
};

enum { FIELDS_MAX = 24 };

#define LAYOUT(type, ...) [(type)-STREAM_EVENT_FIRST] = {__VA_ARGS__}

/* To change one of these is to change the format. */
static const uint8_t layouts[STREAM_EVENT_END - STREAM_EVENT_FIRST][FIELDS_MAX] = {
	LAYOUT(STREAM_CREATED, F_NUMBER, F_PATH, F_TYPE, F_FLAGS, F_TTL, F_EXPIRES_AT, F_MAX_AGE, F_MAX_BYTES, F_SOURCE,
	       F_FORK_OFFSET, F_FORK_SUB, F_COUNT, F_MAX_TIME, F_BLOB),
	LAYOUT(STREAM_APPENDED, F_NUMBER, F_OFFSET, F_COUNT, F_FLAGS, F_STREAM_SEQ, F_PRODUCER, F_EPOCH, F_SEQ, F_MAX_TIME, F_KEY,
	       F_EXPIRES_AT, F_BLOB),
	LAYOUT(STREAM_DELETED, F_NUMBER),
	LAYOUT(STREAM_MOVED, F_NUMBER, F_OFFSET),
	LAYOUT(STREAM_GATHERED, F_NUMBER, F_OFFSET, F_COUNT),
	LAYOUT(STREAM_TRIMMED, F_NUMBER, F_OFFSET),
	LAYOUT(STREAM_DROPPED, F_NUMBER, F_OFFSET),
	LAYOUT(STREAM_PRODUCED, F_NUMBER, F_OFFSET, F_COUNT, F_MAX_TIME, F_PRODUCER_ID, F_EPOCH, F_SEQ, F_TXN, F_FORGOTTEN),
	LAYOUT(STREAM_SNAP_META, F_NEXT_NUMBER),
	LAYOUT(STREAM_SNAP, F_NUMBER, F_PATH, F_TYPE, F_FLAGS, F_TTL, F_EXPIRES_AT, F_MAX_AGE, F_MAX_BYTES, F_SOURCE,
	       F_FORK_OFFSET, F_FORK_SUB, F_STREAM_SEQ, F_NEXT_OFFSET, F_EARLIEST, F_CHANGED_END, F_CREATED, F_PRODUCER, F_EPOCH,
	       F_SEQ, F_CHUNKS),
	LAYOUT(STREAM_SNAP_CHUNKS, F_NUMBER, F_CHUNKS),
	LAYOUT(STREAM_SNAP_PRODUCER, F_NUMBER, F_PRODUCER, F_EPOCH, F_SEQ),
	LAYOUT(STREAM_SNAP_KEY, F_NUMBER, F_KEY, F_OFFSET),
	LAYOUT(STREAM_SNAP_SEQUENCE, F_NUMBER, F_PRODUCER_ID, F_EPOCH, F_LAST, F_TXN_FIRST, F_BATCHES),
	LAYOUT(STREAM_SNAP_ABORTED, F_NUMBER, F_ABORTED),
	LAYOUT(STREAM_COMPACTED, F_NUMBER, F_OFFSET, F_COUNT, F_KEPT_OFFSET, F_KEPT_COUNT, F_MAX_TIME, F_ABORTED, F_CLEAN_OFFSET,
	       F_HORIZON),
};

static const uint8_t *layout_of(enum stream_event_type type)
{
	return layouts[(int)type - STREAM_EVENT_FIRST];
}

void stream_event_encode(const struct stream_event *event, struct buf *out)
{
	fields_put(out, fields, layout_of(event->type), event);
}

bool stream_event_is_in_range(const struct stream_event *e)
{
	const uint64_t most = UINT64_MAX / 4;

	return e->number < most && e->offset < most && e->count <= UINT32_MAX && e->flags <= STREAM_FLAGS &&
	       e->ttl_s < most / 1000 && e->expires_at_ms < most && e->next_offset < most && e->earliest_offset <= most &&
	       e->time_ms < most && e->source < most && e->fork_offset < most && e->fork_sub < most && e->next_number < most &&
	       e->epoch < most && e->seq < most && e->max_age_ms < most && e->max_bytes < most && e->max_time_ms < most &&
	       e->blob.size_bytes <= CHUNK_BYTES_MAX && e->producer_id < most && e->txn < STREAM_TXN_COUNT &&
	       e->forgotten <= most && e->last_ms < most && e->txn_first <= most && e->kept_offset < most &&
	       e->kept_count <= UINT32_MAX && e->clean_offset < most && e->horizon_ms < most;
}

int stream_event_decode(struct stream_event *event, struct slice bytes)
{
	if ((int)event->type < STREAM_EVENT_FIRST || (int)event->type >= STREAM_EVENT_END)
		return -EBADMSG;
	return fields_get(bytes, fields, layout_of(event->type), event) && stream_event_is_in_range(event) ? 0 : -EBADMSG;
}

void sequence_batch_put(struct buf *out, const struct sequence_batch *batch)
{
	wire_put_varint(out, batch->offset);
	wire_put_varint(out, batch->seq);
	wire_put_varint(out, batch->count);
}

int sequence_batch_get(struct slice *batches, struct sequence_batch *ret_batch)
{
	struct wire_reader r = wire_reader_of(*batches);
	uint64_t offset = wire_varint(&r), seq = wire_varint(&r), count = wire_varint(&r);

	if (r.failed || offset > UINT64_MAX / 4 || seq >= SEQUENCE_MODULO || count == 0 || count > SEQUENCE_MODULO)
		return -EBADMSG;
	*batches = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_batch = (struct sequence_batch){offset, (uint32_t)seq, (uint32_t)count};
	return 0;
}

void aborted_put(struct buf *out, const struct aborted *aborted)
{
	wire_put_varint(out, aborted->producer_id);
	wire_put_varint(out, aborted->first);
	wire_put_varint(out, aborted->last);
}

int aborted_get(struct slice *list, struct aborted *ret_aborted)
{
	struct wire_reader r = wire_reader_of(*list);
	struct aborted aborted;

	aborted.producer_id = wire_varint(&r);
	aborted.first = wire_varint(&r);
	aborted.last = wire_varint(&r);
	if (r.failed || aborted.producer_id > UINT64_MAX / 4 || aborted.last > UINT64_MAX / 4 || aborted.first > aborted.last)
		return -EBADMSG;
	*list = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_aborted = aborted;
	return 0;
}

void stream_chunk_put(struct buf *out, const struct chunk *chunk)
{
	struct body_ref ref = chunk_ref(chunk);

	wire_put_varint(out, chunk->offset);
	wire_put_varint(out, chunk->count);
	wire_put_varint(out, chunk->max_time_ms);
	wire_put_varint(out, chunk->expires_s);
	wire_put_u8(out, chunk->keyed);
	body_ref_put(out, &ref);
}

int stream_chunk_get(struct slice *chunks, struct chunk *ret_chunk)
{
	struct wire_reader r = wire_reader_of(*chunks);
	const uint64_t most = UINT64_MAX / 4;
	uint64_t offset = wire_varint(&r), count = wire_varint(&r), time_ms = wire_varint(&r), expires_s = wire_varint(&r);
	uint8_t keyed = wire_u8(&r);
	struct body_ref ref = body_ref_get(&r);

	if (r.failed || ref.kind == BODY_NONE || count == 0 || count > UINT32_MAX || offset > most || time_ms > most ||
	    expires_s > UINT32_MAX || keyed > 1 || ref.size_bytes > CHUNK_BYTES_MAX)
		return -EBADMSG;
	*chunks = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_chunk = (struct chunk){
		.offset = offset,
		.place = ref.place,
		.kind = (uint8_t)ref.kind,
		.size_bytes = ref.size_bytes & CHUNK_BYTES_MAX,
		.max_time_ms = time_ms,
		.crc = ref.crc,
		.count = (uint32_t)count,
		.expires_s = (uint32_t)expires_s,
		.keyed = keyed,
	};
	return 0;
}
