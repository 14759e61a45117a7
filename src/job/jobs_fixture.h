/* Jobs with a store that only keeps count of what lives, for the tests: events get positions and times, go through both steps,
 * and after each the invariants are walked. */
#pragma once

#include "base/buf.h"
#include "job/job.h"

enum { WORLD_BODIES_MAX = 8192, WORLD_TOMBSTONE_MS = 5000 };

struct world {
	struct store store;
	struct jobs jobs;
	struct body_ref bodies[WORLD_BODIES_MAX]; /* those that live */
	size_t body_count;
	uint64_t position; /* end of the last event */
	uint64_t time_ms;
};

void world_init(struct world *w);
void world_deinit(struct world *w);

/* One event, whose type and fields are set, at the present time; `body` is its entry's. What jobs_prepare said. */
int world_try(struct world *w, struct event *e, struct slice body);
void world_apply(struct world *w, struct event *e, struct slice body);    /* must work */
void world_plain(struct world *w, enum event_type type, uint64_t number); /* must work; no fields */

/* A new job of that queue, led to that state; three attempts, retained for 1000 ms. */
struct job *world_job(struct world *w, struct slice queue, enum job_state state);
void world_offer(struct world *w, uint64_t number, struct slice attempt_id); /* for 1000 ms */

/* All that can be seen, as bytes; two states are the same iff these are. `out` is cleared. */
void world_dump(const struct world *w, struct buf *out);
