#include "topic/topic_event.h"

#include "base/fields.h"
#include "base/wire.h"
#include "topic/txn.h"

#include <errno.h>

enum field_name {
	F_NONE,
	F_NUMBER,
	F_NAME,
	F_ID,
	F_STREAM,
	F_COUNT,
	F_SETTINGS,
	F_PRODUCER_ID,
	F_PARTITIONS,
	F_CHANGED_END,
	F_NEXT_NUMBER,
	F_NEXT_PRODUCER_ID,
	F_TRANSACTIONAL_ID,
	F_EPOCH,
	F_STATE,
	F_TIMEOUT,
	F_STARTED,
	F_CHANGED,
	F_STREAMS,
	F_OFFSETS,
	F_ENDED_BY,
	F_ENDED_EPOCH,
	FIELD_COUNT
};

#define FIELD(member, kind) FIELD_OF(struct topic_event, member, kind)
static const struct field fields[FIELD_COUNT] = {
	[F_NUMBER] = FIELD(number, VARINT),
	[F_NAME] = FIELD(name, STRING),
	[F_ID] = FIELD(id, STRING),
	[F_STREAM] = FIELD(stream, VARINT),
	[F_COUNT] = FIELD(count, VARINT),
	[F_SETTINGS] = FIELD(settings, STRING),
	[F_PRODUCER_ID] = FIELD(producer_id, VARINT),
	[F_PARTITIONS] = FIELD(partitions, STRING),
	[F_CHANGED_END] = FIELD(changed_end, VARINT),
	[F_NEXT_NUMBER] = FIELD(next_number, VARINT),
	[F_NEXT_PRODUCER_ID] = FIELD(next_producer_id, VARINT),
	[F_TRANSACTIONAL_ID] = FIELD(transactional_id, STRING),
	[F_EPOCH] = FIELD(epoch, VARINT),
	[F_STATE] = FIELD(state, VARINT),
	[F_TIMEOUT] = FIELD(timeout_ms, VARINT),
	[F_STARTED] = FIELD(started_ms, VARINT),
	[F_CHANGED] = FIELD(changed_ms, VARINT),
	[F_STREAMS] = FIELD(streams, STRING),
	[F_OFFSETS] = FIELD(offsets, STRING),
	[F_ENDED_BY] = FIELD(ended_by, VARINT),
	[F_ENDED_EPOCH] = FIELD(ended_epoch, VARINT),
};

enum { FIELDS_MAX = 12 };

#define LAYOUT(type, ...) [(type)-TOPIC_EVENT_FIRST] = {__VA_ARGS__}

/* To change one of these is to change the format. */
static const uint8_t layouts[TOPIC_EVENT_END - TOPIC_EVENT_FIRST][FIELDS_MAX] = {
	LAYOUT(TOPIC_CREATED, F_NUMBER, F_NAME, F_ID, F_STREAM, F_COUNT, F_SETTINGS),
	LAYOUT(TOPIC_GROWN, F_NUMBER, F_STREAM, F_COUNT),
	LAYOUT(TOPIC_CONFIGURED, F_NUMBER, F_SETTINGS),
	LAYOUT(TOPIC_DELETED, F_NUMBER),
	LAYOUT(TOPIC_PRODUCER, F_PRODUCER_ID),
	LAYOUT(TOPIC_SNAP_META, F_NEXT_NUMBER, F_NEXT_PRODUCER_ID),
	LAYOUT(TOPIC_SNAP, F_NUMBER, F_NAME, F_ID, F_PARTITIONS, F_SETTINGS, F_CHANGED_END),
	LAYOUT(TOPIC_TXN, F_TRANSACTIONAL_ID, F_PRODUCER_ID, F_EPOCH, F_STATE, F_TIMEOUT, F_STARTED, F_CHANGED, F_STREAMS,
	       F_OFFSETS, F_ENDED_BY, F_ENDED_EPOCH),
};

static const uint8_t *layout_of(enum topic_event_type type)
{
	return layouts[(int)type - TOPIC_EVENT_FIRST];
}

void topic_event_encode(const struct topic_event *event, struct buf *out)
{
	fields_put(out, fields, layout_of(event->type), event);
}

static bool in_range(const struct topic_event *e)
{
	const uint64_t most = UINT64_MAX / 4;

	return e->time_ms < most && e->number < most && e->stream < most && e->count <= TOPIC_PARTITIONS_MAX &&
	       e->name.len <= TOPIC_NAME_MAX && e->producer_id < most && e->changed_end < most && e->next_number < most &&
	       e->next_producer_id < most && e->epoch <= INT16_MAX && e->state < TXN_STATE_COUNT && e->timeout_ms <= UINT32_MAX &&
	       e->started_ms < most && e->changed_ms < most && e->ended_by < most && e->ended_epoch <= INT16_MAX;
}

int topic_event_decode(struct topic_event *event, struct slice bytes)
{
	if ((int)event->type < TOPIC_EVENT_FIRST || (int)event->type >= TOPIC_EVENT_END)
		return -EBADMSG;
	return fields_get(bytes, fields, layout_of(event->type), event) && in_range(event) ? 0 : -EBADMSG;
}

void partition_run_put(struct buf *out, const struct partition_run *run)
{
	wire_put_varint(out, run->stream);
	wire_put_varint(out, run->count);
}

int partition_run_get(struct slice *runs, struct partition_run *ret_run)
{
	struct wire_reader r = wire_reader_of(*runs);
	struct partition_run run;

	if (!runs->len)
		return 0;
	run.stream = wire_varint(&r);
	run.count = wire_varint(&r);
	if (r.failed || run.stream > UINT64_MAX / 4 || run.count == 0 || run.count > TOPIC_PARTITIONS_MAX)
		return -EBADMSG;
	*runs = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_run = run;
	return 1;
}
