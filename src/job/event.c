#include "job/event.h"

#include "base/wire.h"

#include <errno.h>

enum field_kind { VARINT, FIXED64, STRING, REF, TOTALS };

struct field {
	uint16_t offset;
	uint8_t kind;
};

enum field_id {
	NUMBER = 1,
	QUEUE,
	NAME,
	KEY,
	CONTENT_TYPE,
	MESSAGE,
	ERROR,
	WORKER,
	ATTEMPT_ID,
	SECRET,
	FINGERPRINT,
	TOKEN,
	UNTIL,
	RETAIN,
	CANCEL_AT,
	PRIORITY,
	MAX_ATTEMPTS,
	LEASE,
	PROGRESS,
	PAUSED,
	BLOB,
	BODY,
	RESULT,
	RESULT_TYPE,
	STATE,
	REVISION,
	ATTEMPT,
	EXPIRED,
	TIMEOUTS,
	FAILURES,
	RELEASES,
	LOST_HANDOFFS,
	CREATED,
	UPDATED,
	CHANGED_END,
	READY_POSITION,
	READY_TIME,
	OWN_LEASE,
	NEXT_NUMBER,
	TOTAL,
	FIELD_COUNT
};

#define FIELD(member, kind)                                                                                                      \
	{                                                                                                                        \
		offsetof(struct event, member), kind                                                                             \
	}
static const struct field fields[FIELD_COUNT] = {
	[NUMBER] = FIELD(number, VARINT),
	[QUEUE] = FIELD(queue, STRING),
	[NAME] = FIELD(name, STRING),
	[KEY] = FIELD(key, STRING),
	[CONTENT_TYPE] = FIELD(content_type, STRING),
	[MESSAGE] = FIELD(message, STRING),
	[ERROR] = FIELD(error, STRING),
	[WORKER] = FIELD(worker, STRING),
	[ATTEMPT_ID] = FIELD(attempt_id, STRING),
	[SECRET] = FIELD(secret, STRING),
	[FINGERPRINT] = FIELD(fingerprint, FIXED64),
	[TOKEN] = FIELD(token, FIXED64),
	[UNTIL] = FIELD(until_ms, VARINT),
	[RETAIN] = FIELD(retain_ms, VARINT),
	[CANCEL_AT] = FIELD(cancel_at_ms, VARINT),
	[PRIORITY] = FIELD(priority, VARINT),
	[MAX_ATTEMPTS] = FIELD(max_attempts, VARINT),
	[LEASE] = FIELD(lease_ms, VARINT),
	[PROGRESS] = FIELD(progress, VARINT),
	[PAUSED] = FIELD(paused, VARINT),
	[BLOB] = FIELD(blob, REF),
	[BODY] = FIELD(body, REF),
	[RESULT] = FIELD(result, REF),
	[RESULT_TYPE] = FIELD(result_type, STRING),
	[STATE] = FIELD(state, VARINT),
	[REVISION] = FIELD(revision, VARINT),
	[ATTEMPT] = FIELD(attempt, VARINT),
	[EXPIRED] = FIELD(expired, VARINT),
	[TIMEOUTS] = FIELD(timeouts, VARINT),
	[FAILURES] = FIELD(failures, VARINT),
	[RELEASES] = FIELD(releases, VARINT),
	[LOST_HANDOFFS] = FIELD(lost_handoffs, VARINT),
	[CREATED] = FIELD(created_ms, VARINT),
	[UPDATED] = FIELD(updated_ms, VARINT),
	[CHANGED_END] = FIELD(changed_end, VARINT),
	[READY_POSITION] = FIELD(ready_position, VARINT),
	[READY_TIME] = FIELD(ready_ms, VARINT),
	[OWN_LEASE] = FIELD(own_lease_ms, VARINT),
	[NEXT_NUMBER] = FIELD(next_number, VARINT),
	[TOTAL] = FIELD(total, TOTALS),
};

/* Which fields a type has, in their order on disk; 0 ends the list. To change one of these is to change the format. */
static const uint8_t layouts[EVENT_TYPE_COUNT][EVENT_FIELDS_MAX] = {
	[EVENT_INIT] = {SECRET},
	[EVENT_SUBMITTED] = {NUMBER, QUEUE, NAME, KEY, FINGERPRINT, CONTENT_TYPE, PRIORITY, MAX_ATTEMPTS, LEASE, RETAIN, UNTIL,
			     CANCEL_AT, BLOB},
	[EVENT_READY] = {NUMBER},
	[EVENT_OFFERED] = {NUMBER, TOKEN, LEASE, UNTIL, WORKER, ATTEMPT_ID},
	[EVENT_LEASED] = {NUMBER, UNTIL},
	[EVENT_UNOFFERED] = {NUMBER},
	[EVENT_BEAT] = {NUMBER, UNTIL, LEASE, PROGRESS, MESSAGE},
	[EVENT_RELEASED] = {NUMBER, UNTIL},
	[EVENT_RETRIED] = {NUMBER, UNTIL, ERROR},
	[EVENT_TIMED_OUT] = {NUMBER},
	[EVENT_DONE] = {NUMBER, CONTENT_TYPE, BLOB},
	[EVENT_FAILED] = {NUMBER, ERROR},
	[EVENT_CANCELED] = {NUMBER},
	[EVENT_KICKED] = {NUMBER},
	[EVENT_EXPIRED] = {NUMBER},
	[EVENT_FORGOTTEN] = {NUMBER},
	[EVENT_QUEUE_SET] = {QUEUE, PAUSED},
	[EVENT_BODY_MOVED] = {NUMBER},
	[EVENT_RESULT_MOVED] = {NUMBER},
	[EVENT_SNAP_META] = {SECRET, NEXT_NUMBER},
	[EVENT_SNAP_QUEUE] = {QUEUE, PAUSED, CHANGED_END, TOTAL},
	[EVENT_SNAP_JOB] = {NUMBER,        QUEUE,       NAME,    KEY,         FINGERPRINT,    CONTENT_TYPE, PRIORITY,
			    MAX_ATTEMPTS,  LEASE,       RETAIN,  UNTIL,       CANCEL_AT,      STATE,        EXPIRED,
			    REVISION,      ATTEMPT,     TOKEN,   WORKER,      ATTEMPT_ID,     PROGRESS,     MESSAGE,
			    ERROR,         RESULT_TYPE, BODY,    RESULT,      TIMEOUTS,       FAILURES,     RELEASES,
			    LOST_HANDOFFS, CREATED,     UPDATED, CHANGED_END, READY_POSITION, READY_TIME,   OWN_LEASE},
};

static void ref_encode(const struct body_ref *ref, struct buf *out)
{
	wire_put_u8(out, (uint8_t)ref->kind);
	if (ref->kind == BODY_NONE)
		return;
	wire_put_varint(out, ref->place);
	wire_put_varint(out, ref->size_bytes);
	wire_put_u32(out, ref->crc);
}

static struct body_ref ref_decode(struct wire_reader *r)
{
	struct body_ref ref = {0};
	uint8_t kind = wire_u8(r);

	if (kind == BODY_NONE)
		return ref;
	if (kind > BODY_BLOB)
		r->failed = true;
	ref.kind = (enum body_kind)kind;
	ref.place = wire_varint(r);
	ref.size_bytes = wire_varint(r);
	ref.crc = wire_u32(r);
	if (ref.kind == BODY_INLINE && ref.size_bytes > BODY_INLINE_MAX)
		r->failed = true;
	return ref;
}

static void field_encode(const struct field *field, const char *at, struct buf *out)
{
	switch ((enum field_kind)field->kind) {
	case VARINT:
		wire_put_varint(out, *(const uint64_t *)(const void *)at);
		return;
	case FIXED64:
		wire_put_u64(out, *(const uint64_t *)(const void *)at);
		return;
	case STRING:
		wire_put_string(out, *(const struct slice *)(const void *)at);
		return;
	case REF:
		ref_encode((const struct body_ref *)(const void *)at, out);
		return;
	case TOTALS:
		for (size_t i = 0; i < QUEUE_TOTAL_COUNT; i++)
			wire_put_varint(out, ((const uint64_t *)(const void *)at)[i]);
		return;
	}
}

static void field_decode(const struct field *field, char *at, struct wire_reader *r)
{
	switch ((enum field_kind)field->kind) {
	case VARINT:
		*(uint64_t *)(void *)at = wire_varint(r);
		return;
	case FIXED64:
		*(uint64_t *)(void *)at = wire_u64(r);
		return;
	case STRING:
		*(struct slice *)(void *)at = wire_string(r);
		return;
	case REF:
		*(struct body_ref *)(void *)at = ref_decode(r);
		return;
	case TOTALS:
		for (size_t i = 0; i < QUEUE_TOTAL_COUNT; i++)
			((uint64_t *)(void *)at)[i] = wire_varint(r);
		return;
	}
}

void event_encode(const struct event *event, struct buf *out)
{
	for (const uint8_t *id = layouts[event->type]; *id; id++)
		field_encode(&fields[*id], (const char *)event + fields[*id].offset, out);
}

/* Values that later code takes for granted, so that no byte on a disk can lead it astray. */
static bool values_sane(const struct event *event)
{
	return event->state < JOB_STATE_COUNT && event->priority <= UINT32_MAX && event->max_attempts <= UINT32_MAX &&
	       event->lease_ms <= UINT32_MAX && event->own_lease_ms <= UINT32_MAX && event->revision <= UINT32_MAX &&
	       event->attempt <= UINT32_MAX && event->timeouts <= UINT32_MAX && event->failures <= UINT32_MAX &&
	       event->releases <= UINT32_MAX && event->lost_handoffs <= UINT32_MAX && event->progress <= 1000001 &&
	       event->number < UINT64_MAX / 2 && event->retain_ms < UINT64_MAX / 4 && event->until_ms < UINT64_MAX / 4 &&
	       event->time_ms < UINT64_MAX / 4 && event->cancel_at_ms < UINT64_MAX / 4 && event->updated_ms < UINT64_MAX / 4 &&
	       (event->secret.len == 0 || event->secret.len == EVENT_SECRET_BYTES);
}

int event_decode(struct event *event, struct slice slice)
{
	struct wire_reader r = wire_reader_of(slice);

	if ((unsigned)event->type >= EVENT_TYPE_COUNT || layouts[event->type][0] == 0)
		return -EBADMSG;
	for (const uint8_t *id = layouts[event->type]; *id; id++)
		field_decode(&fields[*id], (char *)event + fields[*id].offset, &r);
	if (!wire_ok(&r) || !values_sane(event))
		return -EBADMSG;
	return 0;
}
