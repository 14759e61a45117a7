/* A view: one job as it was at one moment, made by the sequencer, counted; it belongs to one thread
 * at a time (the one its message went to). Nobody changes it but for the count and the pin. */
#pragma once

#include "sequencer/store.h"

enum job_state {
	JOB_DELAYED = 0,
	JOB_READY = 1,
	JOB_OFFERED = 2,
	JOB_RUNNING = 3,
	JOB_DONE = 4,
	JOB_FAILED = 5,
	JOB_CANCELED = 6,
};
enum { JOB_STATE_COUNT = 7 };

const char *job_state_name(enum job_state state);
int job_state_from(struct slice name, enum job_state *ret_state) MUST_USE; /* 0 or -EINVAL */

static inline bool job_state_is_terminal(enum job_state state)
{
	return state >= JOB_DONE;
}

enum { JOB_HANDLE_CHARS = 32 };

struct job_view {
	uint32_t refs;
	enum job_state state;
	uint64_t number; /* paging cursor of lists */
	uint64_t key;    /* handle_key of its handle */
	char handle[JOB_HANDLE_CHARS];
	struct slice queue, name, content_type, message, error, result_type, worker; /* in this same memory */
	uint64_t created_ms, updated_ms, deadline_ms; /* unix; deadline: while offered or running, else 0 */
	uint64_t delay_until_ms;                      /* while delayed */
	uint64_t retain_ms;
	double progress; /* negative: none told */
	uint32_t revision;
	uint32_t attempt, max_attempts, priority, lease_ms;
	uint32_t timeouts, failures, releases, lost_handoffs;
	struct body_ref body, result;
	bool expired;          /* past its retention: only a tombstone is left */
	struct store_pin *pin; /* of the body or the result, as the answer that carries the view says; NULL else. Whoever uses it
				* takes it over and sets NULL here */
};

struct job_view *job_view_ref(struct job_view *view);
struct job_view *job_view_unref(struct job_view *view); /* NULL is fine; returns NULL; unpins what nobody took */
