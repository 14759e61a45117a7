/* First step of an event: is it possible, and is there memory for it? Nothing that can be seen changes here. */
#include "job/job_priv.h"

#include "base/mem.h"

#include <errno.h>

#define FROM(state) (1u << (state))
#define OPEN_STATES (FROM(JOB_DELAYED) | FROM(JOB_READY) | FROM(JOB_OFFERED) | FROM(JOB_RUNNING))
#define HELD_STATES (FROM(JOB_OFFERED) | FROM(JOB_RUNNING))
#define END_STATES  (FROM(JOB_DONE) | FROM(JOB_FAILED) | FROM(JOB_CANCELED))

/* The states that each event about a known job may find. */
static const uint8_t allowed_from[EVENT_TYPE_COUNT] = {
	[EVENT_READY] = FROM(JOB_DELAYED),
	[EVENT_OFFERED] = FROM(JOB_READY),
	[EVENT_LEASED] = FROM(JOB_OFFERED),
	[EVENT_UNOFFERED] = FROM(JOB_OFFERED),
	[EVENT_BEAT] = HELD_STATES,
	[EVENT_RELEASED] = HELD_STATES,
	[EVENT_RETRIED] = HELD_STATES,
	[EVENT_TIMED_OUT] = HELD_STATES,
	[EVENT_DONE] = HELD_STATES,
	[EVENT_FAILED] = HELD_STATES,
	[EVENT_CANCELED] = OPEN_STATES,
	[EVENT_KICKED] = FROM(JOB_FAILED),
	[EVENT_EXPIRED] = END_STATES,
	[EVENT_FORGOTTEN] = OPEN_STATES | END_STATES,
	[EVENT_BODY_MOVED] = OPEN_STATES | END_STATES,
	[EVENT_RESULT_MOVED] = OPEN_STATES | END_STATES,
};

static const struct slice timeout_error = {"\"the lease ran out on the last attempt\"", 39};

static int prepare_queue(struct jobs *jobs, struct slice name, struct prepared *p)
{
	p->new_queue = !queue_find(jobs, name);
	p->queue = queue_get(jobs, name);
	return p->queue ? 0 : -ENOMEM;
}

/* Room in the heaps, so that the second step cannot fail. */
static int prepare_room(struct jobs *jobs, struct queue *queue)
{
	if (heap_reserve(&queue->ready, queue->ready.count + 1))
		return -ENOMEM;
	return heap_reserve(&jobs->deadlines, jobs->deadlines.count + 1);
}

static int prepare_new_job(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *known = jobs_find(jobs, e->number);
	int r;

	if (known) {
		p->job = known;
		p->queue = known->queue;
		p->skip = e->end != 0 && known->changed_end >= e->end;
		return p->skip ? 0 : -EBADMSG;
	}
	if (e->number == 0 || e->queue.len == 0)
		return -EBADMSG;
	r = number_reserve(jobs, e->number);
	if (!r)
		r = prepare_queue(jobs, e->queue, p);
	if (!r)
		r = prepare_room(jobs, p->queue);
	if (!r)
		r = atom_take(jobs, e->content_type, &p->atom_a);
	if (!r && !e->expired)
		r = index_new(e->name, &p->name);
	if (!r && !e->expired)
		r = index_new(e->key, &p->key);
	if (r)
		return r;
	p->job = pool_take(&jobs->pool);
	p->new_job = p->job != NULL;
	return p->job ? 0 : -ENOMEM;
}

static int prepare_snapshot_job(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	int r = prepare_new_job(jobs, e, p);

	if (!r)
		r = atom_take(jobs, e->result_type, &p->atom_b);
	if (!r)
		r = atom_take(jobs, e->worker, &p->atom_c);
	if (!r)
		r = text_new(e->message, &p->text_a);
	if (!r)
		r = text_new(e->error, &p->text_b);
	if (!r && (FROM(e->state) & HELD_STATES))
		r = index_new(e->attempt_id, &p->attempt_id);
	return r;
}

static int prepare_known(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *job = jobs_find(jobs, e->number);

	if (!job) {
		p->skip = true;
		return 0;
	}
	p->job = job;
	p->queue = job->queue;
	p->skip = e->end != 0 && job->changed_end >= e->end;
	if (p->skip)
		return 0;
	if (!(allowed_from[e->type] & FROM(job->state)) || (job->expired && e->type != EVENT_FORGOTTEN))
		return -EBADMSG;
	if (prepare_room(jobs, job->queue))
		return -ENOMEM;
	switch ((unsigned)e->type) {
	case EVENT_OFFERED:
		if (atom_take(jobs, e->worker, &p->atom_a))
			return -ENOMEM;
		return index_new(e->attempt_id, &p->attempt_id);
	case EVENT_BEAT:
		return text_new(e->message, &p->text_a);
	case EVENT_RETRIED:
	case EVENT_FAILED:
		return text_new(e->error, &p->text_b);
	case EVENT_TIMED_OUT:
		return job->attempt >= job->max_attempts ? text_new(timeout_error, &p->text_b) : 0;
	case EVENT_DONE:
		return atom_take(jobs, e->content_type, &p->atom_a);
	default:
		return 0;
	}
}

static int prepare(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	switch (e->type) {
	case EVENT_INIT:
	case EVENT_SNAP_META:
		return e->secret.len == EVENT_SECRET_BYTES ? 0 : -EBADMSG;
	case EVENT_QUEUE_SET:
	case EVENT_SNAP_QUEUE:
		return e->queue.len ? prepare_queue(jobs, e->queue, p) : -EBADMSG;
	case EVENT_SUBMITTED:
		return prepare_new_job(jobs, e, p);
	case EVENT_SNAP_JOB:
		return prepare_snapshot_job(jobs, e, p);
	case EVENT_READY:
	case EVENT_OFFERED:
	case EVENT_LEASED:
	case EVENT_UNOFFERED:
	case EVENT_BEAT:
	case EVENT_RELEASED:
	case EVENT_RETRIED:
	case EVENT_TIMED_OUT:
	case EVENT_DONE:
	case EVENT_FAILED:
	case EVENT_CANCELED:
	case EVENT_KICKED:
	case EVENT_EXPIRED:
	case EVENT_FORGOTTEN:
	case EVENT_BODY_MOVED:
	case EVENT_RESULT_MOVED:
		return prepare_known(jobs, e, p);
	}
	return -EBADMSG;
}

int jobs_prepare(struct jobs *jobs, const struct event *event, struct prepared *ret_prepared)
{
	struct prepared prepared = {0};
	int r = prepare(jobs, event, &prepared);

	if (r) {
		jobs_unprepare(jobs, &prepared);
		return r;
	}
	*ret_prepared = prepared;
	return 0;
}

void jobs_unprepare(struct jobs *jobs, struct prepared *p)
{
	if (p->new_job)
		pool_give(&jobs->pool, p->job);
	atom_give(jobs, p->atom_a);
	atom_give(jobs, p->atom_b);
	atom_give(jobs, p->atom_c);
	mem_free(p->text_a);
	mem_free(p->text_b);
	mem_free(p->name);
	mem_free(p->key);
	mem_free(p->attempt_id);
	if (p->new_queue && p->queue)
		queue_settle(jobs, p->queue);
	*p = (struct prepared){0};
}
