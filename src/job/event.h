/* Events: what happened to jobs and queues, as the journal keeps it. The state is a fold of these and of nothing else.
 *
 * One structure holds the fields of all of them; a table says which fields each type has and in which order they are encoded
 * (doc/journal-format.md is written from it). Numbers are LEB128 varints unless the field's kind says otherwise; strings are a
 * varint length and the bytes. A type that lacks a field leaves it zero. */
#pragma once

#include "base/buf.h"
#include "job/job_view.h"

enum event_type {
	EVENT_INIT = 1,      /* the journal's secret, once */
	EVENT_SUBMITTED = 2, /* a job begins; its body is the entry's body, or a blob */
	EVENT_READY = 3,     /* its delay is over */
	EVENT_OFFERED = 4,   /* on its way to a worker; counts as an attempt unless UNOFFERED follows */
	EVENT_LEASED = 5,    /* the worker has it */
	EVENT_UNOFFERED = 6, /* lost hand-off: ready again in its old place */
	EVENT_BEAT = 7,
	EVENT_RELEASED = 8,   /* given back; the attempt does not count */
	EVENT_RETRIED = 9,    /* failed, and will be tried again */
	EVENT_TIMED_OUT = 10, /* the lease ran out: ready again, or failed when it was the last attempt */
	EVENT_DONE = 11,      /* the result is the entry's body, or a blob */
	EVENT_FAILED = 12,
	EVENT_CANCELED = 13,
	EVENT_KICKED = 14,  /* a failed job is ready again, its attempts counted anew */
	EVENT_EXPIRED = 15, /* past its retention: bytes, name and key are let go, a tombstone stays */
	EVENT_FORGOTTEN = 16,
	EVENT_QUEUE_SET = 17,
	EVENT_BODY_MOVED = 18, /* the tidier wrote the same bytes anew */
	EVENT_RESULT_MOVED = 19,
	/* Only in checkpoints: */
	EVENT_SNAP_META = 20,
	EVENT_SNAP_QUEUE = 21,
	EVENT_SNAP_JOB = 22,
};
enum { EVENT_TYPE_COUNT = 23, EVENT_FIELDS_MAX = 40, EVENT_SECRET_BYTES = 16 };

enum { QUEUE_TOTAL_COUNT = 8 };

struct event {
	/* From the entry's frame. */
	enum event_type type;
	uint64_t time_ms;      /* unix */
	uint64_t position;     /* of the entry: the order of ready jobs */
	uint64_t end;          /* behind it; 0 from a checkpoint */
	struct body_ref bytes; /* what came as the entry's body */

	/* Fields. */
	uint64_t number;
	struct slice queue, name, key, content_type, message, error, worker, attempt_id, secret;
	uint64_t fingerprint, token;
	uint64_t until_ms; /* delayed until; or the lease's deadline */
	uint64_t retain_ms, cancel_at_ms;
	uint64_t priority, max_attempts;
	uint64_t lease_ms; /* of the job; from OFFERED or BEAT on, of the lease */
	uint64_t progress; /* in millionths, plus 1; 0: none */
	uint64_t paused;
	struct body_ref blob; /* a body or result that is not the entry's */
	/* Snapshots. */
	struct body_ref body, result;
	struct slice result_type;
	uint64_t state, revision, attempt, expired;
	uint64_t timeouts, failures, releases, lost_handoffs;
	uint64_t own_lease_ms; /* of the job, while lease_ms is that of its last lease */
	uint64_t created_ms, updated_ms, changed_end, ready_position, ready_ms, next_number;
	uint64_t total[QUEUE_TOTAL_COUNT];
};

/* Appends the fields (not the frame) to `out`; its sticky failure is the only error. */
void event_encode(const struct event *event, struct buf *out);

/* Reads the fields of `event->type`, which is set, as are the others of the frame; slices point into `fields`. 0, or -EBADMSG
 * for an unknown type, missing or left-over bytes, or values out of range. */
int event_decode(struct event *event, struct slice fields) MUST_USE;
