/* Jobs and queues: the state that the journal's events fold into.
 *
 * Invariants (checked by jobs_check, after every step of the simulator):
 *  1. a job is in exactly one of: its queue's `ready` heap and `waiting` list (JOB_READY), its queue's `dead` list
 *     (JOB_FAILED), neither (all else); and queue->count[state] agrees;
 *  2. a job has one deadline at most, the earliest of all that concern it (job_deadline), and is in `deadlines` iff it has one;
 *  3. names and keys point to jobs that are not expired; attempt ids to jobs that are offered or running;
 *  4. a terminal state is left by KICKED only (from JOB_FAILED), and expiry;
 *  5. every body and result a job names is retained in the store exactly once.
 *
 * A change is made in two steps, so that lack of memory never leaves it half done: `jobs_prepare` allocates whatever the event
 * needs and can fail; `jobs_commit` cannot. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/pool.h"
#include "job/event.h"

/* A string kept once however many jobs name it: content types, workers. */
struct atom {
	struct hash_node node;
	uint32_t refs;
	uint32_t len;
	char bytes[];
};

/* A string of one job's own. */
struct text {
	uint32_t len;
	char bytes[];
};

enum { TOTAL_SUBMITTED, TOTAL_DONE, TOTAL_FAILED, TOTAL_CANCELED, TOTAL_TIMEOUTS, TOTAL_RETRIES, TOTAL_RELEASES, TOTAL_LOST };

/* Events a second, smoothed over a minute. Not journalled. */
struct rate {
	double per_second;
	uint64_t at_ms;
};

struct queue {
	struct hash_node node;
	struct list peers;   /* in jobs->queues */
	struct list dirty;   /* the sequencer's: has work and waiters */
	struct list claims;  /* the sequencer's: parked claims, first come first served */
	struct heap ready;   /* by priority, then by the position that made them ready */
	struct list waiting; /* the same jobs, longest ready first */
	struct list dead;    /* failed jobs, longest failed first */
	struct atom *name;
	uint64_t *all_count; /* jobs->count_by_state */
	uint64_t count[JOB_STATE_COUNT];
	uint64_t expired_count; /* tombstones, not in count[] */
	uint64_t total[QUEUE_TOTAL_COUNT];
	uint64_t changed_end;
	uint64_t claim_count;
	struct rate submitted, done;
	bool paused;
};

struct job {
	struct heap_node deadline; /* in jobs->deadlines */
	struct heap_node ready;    /* in queue->ready */
	uint64_t deadline_ms;      /* its key there; UINT64_MAX: none */
	struct list place;         /* in queue->waiting or queue->dead */
	struct queue *queue;
	uint64_t number;
	uint64_t changed_end; /* end of the last event that changed it */
	uint64_t created_ms, updated_ms;
	uint64_t ready_position, ready_ms;
	uint64_t until_ms;       /* delayed: until then; offered, running: the lease's deadline */
	uint64_t offer_until_ms; /* offered, since this start: the delivery lease; not journalled */
	uint32_t deliveries;     /* offered: answers under way with this lease (a claim may be repeated); not journalled */
	uint64_t retain_ms, cancel_at_ms;
	uint64_t token; /* of the last lease; 0: none, or void */
	uint64_t fingerprint;
	struct body_ref body, result;
	struct atom *content_type, *result_type, *worker;
	struct text *message, *error;
	struct job_index *name, *key, *attempt_id;
	uint32_t watch_done, watch_any; /* loop threads to wake, a bit each; not journalled */
	uint32_t priority, max_attempts;
	uint32_t own_lease_ms; /* as submitted */
	uint32_t lease_ms;     /* of the last lease; before the first, its own */
	uint32_t attempt, revision;
	uint32_t timeouts, failures, releases, lost_handoffs;
	uint32_t progress; /* millionths + 1; 0: none */
	uint8_t state;     /* enum job_state */
	bool expired;
};

/* A string by which a job can be found. */
struct job_index {
	struct hash_node node;
	struct job *job;
	uint32_t len;
	char bytes[];
};

struct jobs {
	struct store *store;
	struct hash_key hash_key;
	struct pool pool;
	struct job_chunk **chunks; /* by number, from chunk_base on; an empty one is NULL */
	uint64_t chunk_base;
	size_t chunk_count, chunk_cap;
	uint64_t next_number;
	uint64_t count;                           /* tombstones too */
	uint64_t count_by_state[JOB_STATE_COUNT]; /* of all queues; tombstones not */
	struct hash queue_table, atoms, names, keys, attempts;
	struct list queues;
	size_t queue_count;
	struct heap deadlines;
	uint64_t tombstone_ms;
	uint8_t secret[EVENT_SECRET_BYTES];
	bool has_secret;
};

/* What an event needs, allocated beforehand. */
struct prepared {
	struct job *job; /* the job it is about, new or known; NULL for queues */
	struct queue *queue;
	struct atom *atom_a, *atom_b, *atom_c;
	struct text *text_a, *text_b;
	struct job_index *name, *key, *attempt_id;
	bool new_job, new_queue, skip;
};

int jobs_init(struct jobs *jobs, struct store *store, const struct hash_key *hash_key, uint64_t tombstone_ms) MUST_USE;
void jobs_deinit(struct jobs *jobs);

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state (only a damaged journal can). After 0 call exactly one of
 * jobs_commit and jobs_unprepare. An event about something that a checkpoint already holds, or that is gone since, is prepared
 * as `skip` and commits to nothing. */
int jobs_prepare(struct jobs *jobs, const struct event *event, struct prepared *ret_prepared) MUST_USE;
void jobs_commit(struct jobs *jobs, const struct event *event, struct prepared *prepared);
void jobs_unprepare(struct jobs *jobs, struct prepared *prepared);

struct job *jobs_find(const struct jobs *jobs, uint64_t number);
struct job *jobs_find_name(const struct jobs *jobs, struct slice queue, struct slice name);
struct job *jobs_find_key(const struct jobs *jobs, struct slice queue, struct slice key);
/* Jobs offered or running under an attempt id; `after` NULL: the first. */
struct job *jobs_find_attempt(const struct jobs *jobs, struct slice attempt_id, const struct job *after);
/* The job with the largest number below *number, which becomes its number, looking at no more than *limit numbers, which falls.
 * NULL: there is none (*limit > 0), or the limit is used up and *number says where to go on. */
struct job *jobs_before(const struct jobs *jobs, uint64_t *number, uint64_t *limit);
/* The job with the smallest number at or above `number`; NULL at the end. */
struct job *jobs_from(const struct jobs *jobs, uint64_t number);

struct queue *queue_find(const struct jobs *jobs, struct slice name);
/* Finds or makes; NULL: no memory. A queue that nothing holds (no job, claim or pause) leaves by queue_settle. */
struct queue *queue_get(struct jobs *jobs, struct slice name);
void queue_settle(struct jobs *jobs, struct queue *queue);

static inline struct job *queue_first_ready(const struct queue *queue)
{
	struct heap_node *top = heap_top(&queue->ready);

	return top ? container_of(top, struct job, ready) : NULL;
}

/* The job whose deadline comes first; NULL: none has one. */
static inline struct job *jobs_next_deadline(const struct jobs *jobs)
{
	struct heap_node *top = heap_top(&jobs->deadlines);

	return top ? container_of(top, struct job, deadline) : NULL;
}

/* The offer made to this job's worker must be confirmed by then, or it is taken back. */
void job_offer_until(struct jobs *jobs, struct job *job, uint64_t until_ms);

/* Its deadline could not be handled; it comes again at `at_ms`. */
void job_postpone(struct jobs *jobs, struct job *job, uint64_t at_ms);

/* The snapshot event of a job or queue; slices point into the state. */
void job_snapshot(const struct job *job, struct event *ret_event);
void queue_snapshot(const struct queue *queue, struct event *ret_event);

/* A checkpoint holds jobs by number: call this once it and the journal are replayed, and the lists of queues are again in the
 * order of their waiting. Harmless at any time. */
void jobs_restore_order(struct jobs *jobs);

/* An empty string gives NULL and no error. The caller owns it (mem_free). -ENOMEM. */
int text_new(struct slice s, struct text **ret_text) MUST_USE;

double rate_now(const struct rate *rate, uint64_t now_ms);

/* Walks everything and panics at the first broken invariant. For tests and the simulator. */
void jobs_check(const struct jobs *jobs);

static inline struct slice atom_slice(const struct atom *atom)
{
	return atom ? slice_from(atom->bytes, atom->len) : (struct slice){0};
}

static inline struct slice text_slice(const struct text *text)
{
	return text ? slice_from(text->bytes, text->len) : (struct slice){0};
}

static inline struct slice index_slice(const struct job_index *index)
{
	return index ? slice_from(index->bytes, index->len) : (struct slice){0};
}
