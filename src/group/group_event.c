#include "group/group_event.h"

#include "base/fields.h"

#include <errno.h>

enum field_id {
	F_NONE,
	F_NUMBER,
	F_ID,
	F_GENERATION,
	F_MEMBERS,
	F_SESSION,
	F_PROTOCOL_TYPE,
	F_PROTOCOL,
	F_OFFSETS,
	F_USED,
	F_CHANGED_END,
	F_NEXT_NUMBER,
	F_MEMBER,
	F_INSTANCE,
	F_RACK,
	F_CLIENT_ID,
	F_CLIENT_HOST,
	F_REBALANCE,
	F_TOPICS,
	F_REGEX,
	F_ASSIGNOR,
	F_ASSIGNMENT_EPOCH,
	F_EPOCH,
	F_PREVIOUS_EPOCH,
	F_STATE,
	F_ASSIGNED,
	F_REVOKING,
	F_SINCE,
	F_TARGETS,
	FIELD_COUNT
};

#define FIELD(member, kind) FIELD_OF(struct group_event, member, kind)
static const struct field fields[FIELD_COUNT] = {
	[F_NUMBER] = FIELD(number, VARINT),
	[F_ID] = FIELD(id, STRING),
	[F_GENERATION] = FIELD(generation, VARINT),
	[F_MEMBERS] = FIELD(members, VARINT),
	[F_SESSION] = FIELD(session_ms, VARINT),
	[F_PROTOCOL_TYPE] = FIELD(protocol_type, STRING),
	[F_PROTOCOL] = FIELD(protocol, STRING),
	[F_OFFSETS] = FIELD(offsets, STRING),
	[F_USED] = FIELD(used_ms, VARINT),
	[F_CHANGED_END] = FIELD(changed_end, VARINT),
	[F_NEXT_NUMBER] = FIELD(next_number, VARINT),
	[F_MEMBER] = FIELD(member, STRING),
	[F_INSTANCE] = FIELD(instance, STRING),
	[F_RACK] = FIELD(rack, STRING),
	[F_CLIENT_ID] = FIELD(client_id, STRING),
	[F_CLIENT_HOST] = FIELD(client_host, STRING),
	[F_REBALANCE] = FIELD(rebalance_ms, VARINT),
	[F_TOPICS] = FIELD(topics, STRING),
	[F_REGEX] = FIELD(regex, STRING),
	[F_ASSIGNOR] = FIELD(assignor, STRING),
	[F_ASSIGNMENT_EPOCH] = FIELD(assignment_epoch, VARINT),
	[F_EPOCH] = FIELD(epoch, VARINT),
	[F_PREVIOUS_EPOCH] = FIELD(previous_epoch, VARINT),
	[F_STATE] = FIELD(state, VARINT),
	[F_ASSIGNED] = FIELD(assigned, STRING),
	[F_REVOKING] = FIELD(revoking, STRING),
	[F_SINCE] = FIELD(since, STRING),
	[F_TARGETS] = FIELD(targets, STRING),
};

enum { FIELDS_MAX = 12 };

/* To change one of these is to change the format. */
static const uint8_t layouts[GROUP_EVENT_END - GROUP_EVENT_FIRST][FIELDS_MAX] = {
	[GROUP_CREATED - GROUP_EVENT_FIRST] = {F_NUMBER, F_ID},
	[GROUP_DELETED - GROUP_EVENT_FIRST] = {F_NUMBER},
	[GROUP_BEGUN - GROUP_EVENT_FIRST] = {F_NUMBER, F_GENERATION, F_MEMBERS, F_SESSION, F_PROTOCOL_TYPE, F_PROTOCOL},
	[GROUP_COMMITTED - GROUP_EVENT_FIRST] = {F_NUMBER, F_OFFSETS},
	[GROUP_FORGOT - GROUP_EVENT_FIRST] = {F_NUMBER, F_OFFSETS},
	[GROUP_SNAP_META - GROUP_EVENT_FIRST] = {F_NEXT_NUMBER},
	[GROUP_SNAP - GROUP_EVENT_FIRST] = {F_NUMBER, F_ID, F_GENERATION, F_MEMBERS, F_SESSION, F_PROTOCOL_TYPE, F_PROTOCOL,
					    F_USED, F_CHANGED_END, F_OFFSETS},
	[GROUP_SNAP_OFFSETS - GROUP_EVENT_FIRST] = {F_NUMBER, F_OFFSETS},
	[GROUP_MEMBER - GROUP_EVENT_FIRST] = {F_NUMBER, F_GENERATION, F_MEMBER, F_INSTANCE, F_RACK, F_CLIENT_ID, F_CLIENT_HOST,
					      F_REBALANCE, F_TOPICS, F_REGEX, F_ASSIGNOR},
	[GROUP_LEFT - GROUP_EVENT_FIRST] = {F_NUMBER, F_GENERATION, F_MEMBER},
	[GROUP_TARGET - GROUP_EVENT_FIRST] = {F_NUMBER, F_TARGETS},
	[GROUP_EPOCH - GROUP_EVENT_FIRST] = {F_NUMBER, F_GENERATION, F_ASSIGNMENT_EPOCH, F_ASSIGNOR},
	[GROUP_HELD -
		GROUP_EVENT_FIRST] = {F_NUMBER, F_MEMBER, F_EPOCH, F_PREVIOUS_EPOCH, F_STATE, F_ASSIGNED, F_REVOKING, F_SINCE},
};

static const uint8_t *layout_of(enum group_event_type type)
{
	return layouts[(int)type - GROUP_EVENT_FIRST];
}

void group_event_encode(const struct group_event *event, struct buf *out)
{
	fields_put(out, fields, layout_of(event->type), event);
}

/* What no journal of ours holds: values that would overflow further on. */
static bool in_range(const struct group_event *e)
{
	const uint64_t most = UINT64_MAX / 4;

	return e->number < most && e->generation <= INT32_MAX && e->members <= UINT32_MAX && e->session_ms <= UINT32_MAX &&
	       e->used_ms < most && e->next_number < most && e->time_ms < most && e->id.len <= UINT32_MAX &&
	       e->protocol_type.len + e->protocol.len <= UINT32_MAX && e->rebalance_ms <= UINT32_MAX &&
	       e->assignment_epoch <= INT32_MAX && e->epoch <= INT32_MAX && e->previous_epoch <= INT32_MAX;
}

int group_event_decode(struct group_event *event, struct slice bytes)
{
	if ((int)event->type < GROUP_EVENT_FIRST || (int)event->type >= GROUP_EVENT_END)
		return -EBADMSG;
	return fields_get(bytes, fields, layout_of(event->type), event) && in_range(event) ? 0 : -EBADMSG;
}

void offset_put(struct buf *out, const struct offset_item *item, struct slice *before)
{
	wire_put_string(out, slice_eq(item->topic, *before) ? (struct slice){0} : item->topic);
	wire_put_varint(out, item->partition);
	wire_put_varint(out, item->offset);
	wire_put_varint(out, (uint64_t)((int64_t)item->leader_epoch + 1));
	wire_put_varint(out, item->committed_ms);
	wire_put_string(out, item->metadata);
	*before = item->topic;
}

int offset_get(struct slice *items, struct slice *before, struct offset_item *ret_item)
{
	struct wire_reader r = wire_reader_of(*items);
	struct offset_item item = {.topic = wire_string(&r)};
	uint64_t partition = wire_varint(&r), epoch;

	item.offset = wire_varint(&r);
	epoch = wire_varint(&r);
	item.committed_ms = wire_varint(&r);
	item.metadata = wire_string(&r);
	if (!item.topic.len)
		item.topic = *before;
	if (r.failed || !item.topic.len || item.topic.len > UINT16_MAX || item.metadata.len > UINT32_MAX ||
	    partition > INT32_MAX || item.offset > INT64_MAX || epoch > (uint64_t)INT32_MAX + 1 ||
	    item.committed_ms >= UINT64_MAX / 4)
		return -EBADMSG;
	item.partition = (uint32_t)partition;
	item.leader_epoch = (int32_t)((int64_t)epoch - 1);
	*items = slice_from(r.at, (size_t)(r.end - r.at));
	*before = item.topic;
	*ret_item = item;
	return 0;
}
