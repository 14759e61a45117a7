/* Inside src/job only: the index by number, strings, and the places a job hangs in. */
#pragma once

#include "job/job.h"

enum { CHUNK_JOBS = 256 };

struct job_chunk {
	uint32_t used;
	struct job *jobs[CHUNK_JOBS];
};

/* Room for `number` in the index, so that number_put cannot fail. -ENOMEM. */
int number_reserve(struct jobs *jobs, uint64_t number) MUST_USE;
void number_put(struct jobs *jobs, struct job *job);
void number_remove(struct jobs *jobs, uint64_t number);

/* One more reference to the string; an empty one gives NULL and no error. -ENOMEM. */
int atom_take(struct jobs *jobs, struct slice s, struct atom **ret_atom) MUST_USE;
void atom_give(struct jobs *jobs, struct atom *atom); /* NULL is fine */
int index_new(struct slice s, struct job_index **ret_index) MUST_USE;
int index_put(struct hash *table, struct job_index *index, struct job *job, uint64_t hash) MUST_USE;
struct job_index *index_drop(struct hash *table, struct job_index *index); /* NULL is fine; returns NULL */
uint64_t queue_string_hash(const struct jobs *jobs, const struct queue *queue, struct slice s);
uint64_t attempt_hash(const struct jobs *jobs, struct slice s);

/* The state's only door: keeps counts, heaps and lists (invariant 1). Room in the ready heap must be there. */
void job_set_state(struct job *job, enum job_state state);
/* Puts the job's deadline where its state says (invariant 2). Room in the heap must be there. */
void job_set_deadline(struct jobs *jobs, struct job *job);

/* A job enters or leaves the counts of its queue. */
static inline void count_add(struct queue *queue, unsigned state)
{
	queue->count[state]++;
	queue->all_count[state]++;
}

static inline void count_drop(struct queue *queue, unsigned state)
{
	queue->count[state]--;
	queue->all_count[state]--;
}

void rate_count(struct rate *rate, uint64_t now_ms);
