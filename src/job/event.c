#include "job/event.h"

#include "base/fields.h"

#include <errno.h>

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

#define FIELD(member, kind) FIELD_OF(struct event, member, kind)
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
	[TOTAL] = {offsetof(struct event, total), FIELD_VARINT, QUEUE_TOTAL_COUNT - 1},
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

void event_encode(const struct event *event, struct buf *out)
{
	fields_put(out, fields, layouts[event->type], event);
}

static bool ref_sane(const struct body_ref *ref)
{
	return ref->kind != BODY_INLINE || ref->size_bytes <= BODY_INLINE_MAX;
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
	       ref_sane(&event->blob) && ref_sane(&event->body) && ref_sane(&event->result) &&
	       (event->secret.len == 0 || event->secret.len == EVENT_SECRET_BYTES);
}

int event_decode(struct event *event, struct slice slice)
{
	if ((unsigned)event->type >= EVENT_TYPE_COUNT || layouts[event->type][0] == 0)
		return -EBADMSG;
	if (!fields_get(slice, fields, layouts[event->type], event) || !values_sane(event))
		return -EBADMSG;
	return 0;
}
