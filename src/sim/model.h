/* The oracle: what jobs and queues must be, folded from the same events by other code: naive, with the whole past kept. Every
 * event a job has seen makes a version of it; so what somebody is told can be held against what was durable at that time, and a
 * crash is to fold anew what the disk kept. Strings are remembered by their hash. */
#pragma once

#include "sim/group_model.h"
#include "sim/sim_store.h"
#include "sim/stream_model.h"
#include "sim/topic_model.h"

enum { MODEL_QUEUES_MAX = 16, MODEL_TOTALS = 8, MODEL_QUEUE_CHARS = 16, MODEL_LOOPS_MAX = 4 };

struct model_queue {
	char name[MODEL_QUEUE_CHARS];
	bool paused;
	uint64_t total[MODEL_TOTALS]; /* as enum TOTAL_… of job.h has them */
	uint64_t changed_end;         /* of the last event about it or a job of it */
};

struct version {
	uint64_t end, position, time_ms;
	uint8_t state, type; /* enum job_state, enum event_type */
	bool expired, forgotten;
	uint32_t revision;
	uint32_t spent;  /* leases since the last kick that ended in a timeout or a failure */
	bool attempting; /* one more attempt is under way, or ended the job */
	uint32_t timeouts, failures, releases, lost_handoffs;
	uint32_t lease_ms, progress;
	uint64_t token, until_ms, updated_ms, ready_position, ready_ms;
	uint64_t name, key, message, error, worker, attempt_id, result_type;
	struct body_ref body, result;
};

struct model_job {
	uint64_t number;
	unsigned queue;
	uint64_t content_type, request; /* request: what makes two submits the same */
	uint64_t created_ms, retain_ms, cancel_at_ms;
	uint32_t priority, max_attempts, own_lease_ms;
	struct version *versions;
	size_t count, cap;
	size_t place;                   /* in model->live */
	uint32_t told[MODEL_LOOPS_MAX]; /* the last revision that each loop thread heard of */
	uint32_t wake_short_revision;   /* memory was short when watchers should have been woken of it, or of one before */
};

struct model {
	struct model_job **jobs; /* by number; NULL: never submitted */
	uint64_t cap;
	struct model_job **live; /* not forgotten */
	size_t live_count;
	struct model_queue queues[MODEL_QUEUES_MAX];
	uint64_t next_number, tombstone_ms;
	uint64_t last_end;
	struct model_streams streams;
	struct model_topics topics;
	struct model_groups groups;
};

void model_init(struct model *model, uint64_t tombstone_ms);
void model_deinit(struct model *model);

/* One entry of the journal. NULL, or what is wrong with it. */
const char *model_apply(struct model *model, const struct store_replay *entry) MUST_USE;

uint64_t model_string(struct slice s); /* as versions keep strings; 0: empty */
unsigned model_queue(struct model *model, struct slice name);
struct model_job *model_job(const struct model *model, uint64_t number);  /* NULL: never was */
struct model_job *model_live(const struct model *model, uint64_t number); /* NULL: forgotten, or never was */
struct model_job *model_by_name(struct model *model, struct slice queue, struct slice name);
struct model_job *model_by_key(struct model *model, struct slice queue, struct slice key);
bool model_queue_stands(const struct model *model, unsigned queue);              /* something but waiting claims holds it */
uint64_t model_queue_jobs(const struct model *model, unsigned queue, int state); /* tombstones not; state < 0: all */
/* The job that a claim of this queue must get; NULL: none is ready, or it is paused. */
struct model_job *model_next_ready(const struct model *model, unsigned queue);
uint64_t model_request(const struct submit_in *in);

static inline struct version *model_last(const struct model_job *job)
{
	return &job->versions[job->count - 1];
}

static inline bool version_is_held(const struct version *v)
{
	return v->state == JOB_OFFERED || v->state == JOB_RUNNING;
}

static inline uint32_t version_attempt(const struct version *v)
{
	return v->spent + v->attempting;
}

/* The job as it was with everything up to `end` applied; NULL: it was not yet. */
const struct version *model_at(const struct model_job *job, uint64_t end);

/* The first version of that revision; NULL: none. */
const struct version *model_revision(const struct model_job *job, uint32_t revision);

/* Holds the sequencer's whole state against the model's. `claimed`: a bit for each queue that waiting claims may keep alive.
 * Also counts the bodies that are named, and asks the store whether each lives. NULL, or the first difference, in a buffer that
 * the next call overwrites. */
const char *model_compare(struct model *model, struct sequencer *s, uint32_t claimed, const struct sim_store *store) MUST_USE;
