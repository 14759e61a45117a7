#include "subscription/subscription_event.h"

#include "base/fields.h"

#include <errno.h>

enum field_id {
	F_NONE,
	F_NUMBER,
	F_ID,
	F_KIND,
	F_PATTERN,
	F_URL,
	F_ORIGIN,
	F_WAKE_STREAM,
	F_DESCRIPTION,
	F_LEASE_TTL,
	F_FINGERPRINT,
	F_FLAGS,
	F_LINKS,
	F_PATH,
	F_LINK_FLAGS,
	F_GENERATION,
	F_UNTIL,
	F_HOLDER,
	F_PLACES,
	F_ATTEMPTS,
	F_NEXT_ATTEMPT,
	F_CREATED,
	F_CHANGED_END,
	F_NEXT_NUMBER,
	FIELD_COUNT
};

#define FIELD(member, kind) FIELD_OF(struct subscription_event, member, kind)
static const struct field fields[FIELD_COUNT] = {
	[F_NUMBER] = FIELD(number, VARINT),
	[F_ID] = FIELD(id, STRING),
	[F_KIND] = FIELD(kind, VARINT),
	[F_PATTERN] = FIELD(pattern, STRING),
	[F_URL] = FIELD(url, STRING),
	[F_ORIGIN] = FIELD(origin, STRING),
	[F_WAKE_STREAM] = FIELD(wake_stream, STRING),
	[F_DESCRIPTION] = FIELD(description, STRING),
	[F_LEASE_TTL] = FIELD(lease_ttl_ms, VARINT),
	[F_FINGERPRINT] = FIELD(fingerprint, FIXED64),
	[F_FLAGS] = FIELD(flags, VARINT),
	[F_LINKS] = FIELD(links, STRING),
	[F_PATH] = FIELD(path, STRING),
	[F_LINK_FLAGS] = FIELD(link_flags, VARINT),
	[F_GENERATION] = FIELD(generation, VARINT),
	[F_UNTIL] = FIELD(until_ms, VARINT),
	[F_HOLDER] = FIELD(holder, STRING),
	[F_PLACES] = FIELD(places, STRING),
	[F_ATTEMPTS] = FIELD(attempts, VARINT),
	[F_NEXT_ATTEMPT] = FIELD(next_attempt_ms, VARINT),
	[F_CREATED] = FIELD(created_ms, VARINT),
	[F_CHANGED_END] = FIELD(changed_end, VARINT),
	[F_NEXT_NUMBER] = FIELD(next_number, VARINT),
};

enum { FIELDS_MAX = 20 };

/* To change one of these is to change the format. */
static const uint8_t layouts[SUB_EVENT_END - SUB_EVENT_FIRST][FIELDS_MAX] = {
	[SUB_CREATED - SUB_EVENT_FIRST] = {F_NUMBER, F_ID, F_KIND, F_PATTERN, F_URL, F_ORIGIN, F_WAKE_STREAM, F_DESCRIPTION,
					   F_LEASE_TTL, F_FINGERPRINT, F_FLAGS, F_LINKS},
	[SUB_DELETED - SUB_EVENT_FIRST] = {F_NUMBER},
	[SUB_LINKED - SUB_EVENT_FIRST] = {F_NUMBER, F_FLAGS, F_LINKS},
	[SUB_UNLINKED - SUB_EVENT_FIRST] = {F_NUMBER, F_PATH, F_LINK_FLAGS},
	[SUB_WOKEN - SUB_EVENT_FIRST] = {F_NUMBER, F_GENERATION, F_UNTIL, F_FLAGS, F_ATTEMPTS, F_NEXT_ATTEMPT, F_PLACES},
	[SUB_CLAIMED - SUB_EVENT_FIRST] = {F_NUMBER, F_UNTIL, F_HOLDER},
	[SUB_ACKED - SUB_EVENT_FIRST] = {F_NUMBER, F_UNTIL, F_FLAGS, F_PLACES},
	[SUB_ENDED - SUB_EVENT_FIRST] = {F_NUMBER, F_ATTEMPTS, F_NEXT_ATTEMPT},
	[SUB_HOOKED - SUB_EVENT_FIRST] = {F_NUMBER, F_FLAGS, F_ATTEMPTS, F_NEXT_ATTEMPT},
	[SUB_SNAP_META - SUB_EVENT_FIRST] = {F_NEXT_NUMBER},
	[SUB_SNAP - SUB_EVENT_FIRST] = {F_NUMBER, F_ID, F_KIND, F_PATTERN, F_URL, F_ORIGIN, F_WAKE_STREAM, F_DESCRIPTION,
					F_LEASE_TTL, F_FINGERPRINT, F_FLAGS, F_GENERATION, F_UNTIL, F_HOLDER, F_ATTEMPTS,
					F_NEXT_ATTEMPT, F_CREATED, F_CHANGED_END, F_LINKS},
	[SUB_SNAP_LINKS - SUB_EVENT_FIRST] = {F_NUMBER, F_LINKS},
};

static const uint8_t *layout_of(enum subscription_event_type type)
{
	return layouts[(int)type - SUB_EVENT_FIRST];
}

void subscription_event_encode(const struct subscription_event *event, struct buf *out)
{
	fields_put(out, fields, layout_of(event->type), event);
}

/* What no journal of ours holds: values that would overflow further on. */
static bool in_range(const struct subscription_event *e)
{
	const uint64_t most = UINT64_MAX / 4;

	return e->number < most && e->kind <= UINT8_MAX && e->lease_ttl_ms <= UINT32_MAX && e->flags <= SUB_FLAGS &&
	       e->link_flags <= LINK_FLAGS && e->generation < most && e->until_ms < most && e->attempts < most &&
	       e->next_attempt_ms < most && e->created_ms < most && e->next_number < most && e->time_ms < most;
}

int subscription_event_decode(struct subscription_event *event, struct slice bytes)
{
	if ((int)event->type < SUB_EVENT_FIRST || (int)event->type >= SUB_EVENT_END)
		return -EBADMSG;
	return fields_get(bytes, fields, layout_of(event->type), event) && in_range(event) ? 0 : -EBADMSG;
}

static struct slice rest_of(const struct wire_reader *r)
{
	return slice_from(r->at, (size_t)(r->end - r->at));
}

void link_put(struct buf *out, const struct link_item *item)
{
	wire_put_varint(out, item->flags);
	wire_put_varint(out, item->stream);
	wire_put_varint(out, item->acked);
	wire_put_varint(out, item->waked);
	wire_put_string(out, item->path);
}

int link_get(struct slice *links, struct link_item *ret_item)
{
	const uint64_t most = UINT64_MAX / 4;
	struct wire_reader r = wire_reader_of(*links);
	struct link_item item;

	item.flags = wire_varint(&r);
	item.stream = wire_varint(&r);
	item.acked = wire_varint(&r);
	item.waked = wire_varint(&r);
	item.path = wire_string(&r);
	if (r.failed || !item.flags || item.flags > LINK_FLAGS || item.stream >= most || item.acked >= most ||
	    item.waked >= most || !item.path.len || item.path.len > UINT32_MAX)
		return -EBADMSG;
	if (!item.stream && (item.flags != LINK_EXPLICIT || item.acked || item.waked))
		return -EBADMSG;
	*links = rest_of(&r);
	*ret_item = item;
	return 0;
}

void place_put(struct buf *out, const struct place_item *item)
{
	wire_put_varint(out, item->stream);
	wire_put_varint(out, item->offset);
}

int place_get(struct slice *places, struct place_item *ret_item)
{
	struct wire_reader r = wire_reader_of(*places);
	uint64_t stream = wire_varint(&r), offset = wire_varint(&r);

	if (r.failed || stream == 0 || offset >= UINT64_MAX / 4)
		return -EBADMSG;
	*places = rest_of(&r);
	*ret_item = (struct place_item){stream, offset};
	return 0;
}
