/* One job's places, its deadline and its snapshot. */
#include "job/job_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <math.h>

void job_set_state(struct job *job, enum job_state state)
{
	struct queue *queue = job->queue;

	if (job->state == state && (state != JOB_READY || heap_holds(&job->ready)))
		return;
	count_drop(queue, job->state);
	count_add(queue, state);
	heap_remove(&queue->ready, &job->ready);
	list_remove(&job->place);
	job->state = (uint8_t)state;
	if (state == JOB_READY) {
		ENSURE(heap_push(&queue->ready, &job->ready) == 0);
		list_push_back(&queue->waiting, &job->place);
	} else if (state == JOB_FAILED) {
		list_push_back(&queue->dead, &job->place);
	}
}

static uint64_t deadline_of(const struct job *job)
{
	uint64_t at = UINT64_MAX;

	switch ((enum job_state)job->state) {
	case JOB_DELAYED:
	case JOB_RUNNING:
		at = job->until_ms;
		break;
	case JOB_OFFERED:
		/* Of an offer made before this start nobody will say whether it arrived: it counts as leased. */
		at = job->offer_until_ms ? job->offer_until_ms : job->until_ms;
		break;
	case JOB_READY:
		break;
	case JOB_DONE:
	case JOB_FAILED:
	case JOB_CANCELED:
		return job->expired ? job->until_ms : job->updated_ms + job->retain_ms;
	}
	return job->cancel_at_ms && job->cancel_at_ms < at ? job->cancel_at_ms : at;
}

void job_set_deadline(struct jobs *jobs, struct job *job)
{
	uint64_t at = deadline_of(job);

	if (at == job->deadline_ms)
		return;
	job->deadline_ms = at;
	if (at == UINT64_MAX)
		heap_remove(&jobs->deadlines, &job->deadline);
	else if (heap_holds(&job->deadline))
		heap_moved(&jobs->deadlines, &job->deadline);
	else
		ENSURE(heap_push(&jobs->deadlines, &job->deadline) == 0);
}

void job_offer_until(struct jobs *jobs, struct job *job, uint64_t until_ms)
{
	job->offer_until_ms = until_ms;
	job_set_deadline(jobs, job);
}

void job_postpone(struct jobs *jobs, struct job *job, uint64_t at_ms)
{
	job->deadline_ms = at_ms;
	heap_moved(&jobs->deadlines, &job->deadline);
}

void job_snapshot(const struct job *job, struct event *e)
{
	*e = (struct event){
		.type = EVENT_SNAP_JOB,
		.number = job->number,
		.queue = atom_slice(job->queue->name),
		.name = index_slice(job->name),
		.key = index_slice(job->key),
		.fingerprint = job->fingerprint,
		.content_type = atom_slice(job->content_type),
		.priority = job->priority,
		.max_attempts = job->max_attempts,
		.lease_ms = job->lease_ms,
		.own_lease_ms = job->own_lease_ms,
		.retain_ms = job->retain_ms,
		.until_ms = job->until_ms,
		.cancel_at_ms = job->cancel_at_ms,
		.state = job->state,
		.expired = job->expired,
		.revision = job->revision,
		.attempt = job->attempt,
		.token = job->token,
		.worker = atom_slice(job->worker),
		.attempt_id = index_slice(job->attempt_id),
		.progress = job->progress,
		.message = text_slice(job->message),
		.error = text_slice(job->error),
		.result_type = atom_slice(job->result_type),
		.body = job->body,
		.result = job->result,
		.timeouts = job->timeouts,
		.failures = job->failures,
		.releases = job->releases,
		.lost_handoffs = job->lost_handoffs,
		.created_ms = job->created_ms,
		.updated_ms = job->updated_ms,
		.changed_end = job->changed_end,
		.ready_position = job->ready_position,
		.ready_ms = job->ready_ms,
	};
}

void queue_snapshot(const struct queue *queue, struct event *e)
{
	*e = (struct event){
		.type = EVENT_SNAP_QUEUE,
		.queue = atom_slice(queue->name),
		.paused = queue->paused,
		.changed_end = queue->changed_end,
	};
	memcpy(e->total, queue->total, sizeof(e->total));
}

/* --- the order of the lists, after a checkpoint --- */

static bool waited_longer(const struct job *a, const struct job *b)
{
	if (a->state == JOB_READY)
		return a->ready_position < b->ready_position;
	return a->updated_ms != b->updated_ms ? a->updated_ms < b->updated_ms : a->changed_end < b->changed_end;
}

/* Two sorted lists become one, in `to`; of equals the one in `to` comes first. */
static void merge(struct list *to, struct list *from)
{
	struct list merged;

	list_init(&merged);
	while (!list_empty(to) && !list_empty(from)) {
		struct job *a = list_first(to, struct job, place), *b = list_first(from, struct job, place);
		struct list *next = waited_longer(b, a) ? &b->place : &a->place;

		list_remove(next);
		list_push_back(&merged, next);
	}
	list_splice(&merged, to);
	list_splice(&merged, from);
	list_splice(to, &merged);
}

/* Merge sort; runs[i] is empty or holds 2^i jobs, all before those of the runs below it. */
static void sort(struct list *list)
{
	struct list runs[64], carry;

	for (unsigned i = 0; i < 64; i++)
		list_init(&runs[i]);
	list_init(&carry);
	while (!list_empty(list)) {
		struct list *node = list->next;
		unsigned i = 0;

		list_remove(node);
		list_push_back(&carry, node);
		for (; !list_empty(&runs[i]); i++) {
			merge(&runs[i], &carry);
			list_splice(&carry, &runs[i]);
		}
		list_splice(&runs[i], &carry);
	}
	for (unsigned i = 0; i < 64; i++) {
		merge(&runs[i], list);
		list_splice(list, &runs[i]);
	}
}

void jobs_restore_order(struct jobs *jobs)
{
	list_each (node, &jobs->queues) {
		struct queue *queue = container_of(node, struct queue, peers);

		sort(&queue->waiting);
		sort(&queue->dead);
	}
}

enum { RATE_SMOOTH_MS = 60000 };

double rate_now(const struct rate *rate, uint64_t now_ms)
{
	if (now_ms <= rate->at_ms)
		return rate->per_second;
	return rate->per_second * exp(-(double)(now_ms - rate->at_ms) / RATE_SMOOTH_MS);
}

void rate_count(struct rate *rate, uint64_t now_ms)
{
	/* One event adds what decays to a sum of one over the smoothing time. */
	rate->per_second = (now_ms == rate->at_ms ? rate->per_second : rate_now(rate, now_ms)) + 1000.0 / RATE_SMOOTH_MS;
	if (now_ms > rate->at_ms)
		rate->at_ms = now_ms;
}
