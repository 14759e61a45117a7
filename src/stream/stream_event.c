#include "stream/stream_event.h"

#include "base/fields.h"

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
	F_SOURCE,
	F_FORK_OFFSET,
	F_FORK_SUB,
	F_OFFSET,
	F_COUNT,
	F_EPOCH,
	F_SEQ,
	F_BLOB,
	F_NEXT_OFFSET,
	F_EARLIEST,
	F_CHANGED_END,
	F_CREATED,
	F_NEXT_NUMBER,
	F_CHUNKS,
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
	[F_SOURCE] = FIELD(source, VARINT),
	[F_FORK_OFFSET] = FIELD(fork_offset, VARINT),
	[F_FORK_SUB] = FIELD(fork_sub, VARINT),
	[F_OFFSET] = FIELD(offset, VARINT),
	[F_COUNT] = FIELD(count, VARINT),
	[F_EPOCH] = FIELD(epoch, VARINT),
	[F_SEQ] = FIELD(seq, VARINT),
	[F_BLOB] = FIELD(blob, REF),
	[F_NEXT_OFFSET] = FIELD(next_offset, VARINT),
	[F_EARLIEST] = FIELD(earliest_offset, VARINT),
	[F_CHANGED_END] = FIELD(changed_end, VARINT),
	[F_CREATED] = FIELD(created_ms, VARINT),
	[F_NEXT_NUMBER] = FIELD(next_number, VARINT),
	[F_CHUNKS] = FIELD(chunks, STRING),
};

enum { FIELDS_MAX = 20 };

/* To change one of these is to change the format. */
static const uint8_t layouts[STREAM_EVENT_END - STREAM_EVENT_FIRST][FIELDS_MAX] = {
	[STREAM_CREATED - STREAM_EVENT_FIRST] = {F_NUMBER, F_PATH, F_TYPE, F_FLAGS, F_TTL, F_EXPIRES_AT, F_SOURCE, F_FORK_OFFSET,
						 F_FORK_SUB, F_COUNT, F_BLOB},
	[STREAM_APPENDED -
		STREAM_EVENT_FIRST] = {F_NUMBER, F_OFFSET, F_COUNT, F_FLAGS, F_STREAM_SEQ, F_PRODUCER, F_EPOCH, F_SEQ, F_BLOB},
	[STREAM_DELETED - STREAM_EVENT_FIRST] = {F_NUMBER},
	[STREAM_MOVED - STREAM_EVENT_FIRST] = {F_NUMBER, F_OFFSET},
	[STREAM_SNAP_META - STREAM_EVENT_FIRST] = {F_NEXT_NUMBER},
	[STREAM_SNAP - STREAM_EVENT_FIRST] = {F_NUMBER, F_PATH, F_TYPE, F_FLAGS, F_TTL, F_EXPIRES_AT, F_SOURCE, F_FORK_OFFSET,
					      F_FORK_SUB, F_STREAM_SEQ, F_NEXT_OFFSET, F_EARLIEST, F_CHANGED_END, F_CREATED,
					      F_PRODUCER, F_EPOCH, F_SEQ, F_CHUNKS},
	[STREAM_SNAP_CHUNKS - STREAM_EVENT_FIRST] = {F_NUMBER, F_CHUNKS},
	[STREAM_SNAP_PRODUCER - STREAM_EVENT_FIRST] = {F_NUMBER, F_PRODUCER, F_EPOCH, F_SEQ},
};

static const uint8_t *layout_of(enum stream_event_type type)
{
	return layouts[(int)type - STREAM_EVENT_FIRST];
}

void stream_event_encode(const struct stream_event *event, struct buf *out)
{
	fields_put(out, fields, layout_of(event->type), event);
}

/* What no journal of ours holds: counts and offsets that would overflow further on. */
static bool in_range(const struct stream_event *e)
{
	const uint64_t most = UINT64_MAX / 4;

	return e->number < most && e->offset < most && e->count <= UINT32_MAX && e->flags <= STREAM_FLAGS &&
	       e->ttl_s < most / 1000 && e->expires_at_ms < most && e->next_offset < most && e->earliest_offset <= most &&
	       e->time_ms < most && e->source < most && e->fork_offset < most && e->fork_sub < most && e->next_number < most &&
	       e->epoch < most && e->seq < most;
}

int stream_event_decode(struct stream_event *event, struct slice bytes)
{
	if ((int)event->type < STREAM_EVENT_FIRST || (int)event->type >= STREAM_EVENT_END)
		return -EBADMSG;
	return fields_get(bytes, fields, layout_of(event->type), event) && in_range(event) ? 0 : -EBADMSG;
}

void stream_chunk_put(struct buf *out, uint64_t offset, uint64_t count, const struct body_ref *ref)
{
	wire_put_varint(out, offset);
	wire_put_varint(out, count);
	body_ref_put(out, ref);
}

int stream_chunk_get(struct slice *chunks, uint64_t *ret_offset, uint64_t *ret_count, struct body_ref *ret_ref)
{
	struct wire_reader r = wire_reader_of(*chunks);
	uint64_t offset = wire_varint(&r), count = wire_varint(&r);
	struct body_ref ref = body_ref_get(&r);

	if (r.failed || ref.kind == BODY_NONE || count == 0 || count > UINT32_MAX || offset > UINT64_MAX / 4)
		return -EBADMSG;
	*chunks = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_offset = offset;
	*ret_count = count;
	*ret_ref = ref;
	return 0;
}
