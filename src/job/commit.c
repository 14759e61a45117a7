/* Second step of an event: the state changes. Nothing here can fail. */
#include "job/job_priv.h"

#include "base/mem.h"
#include "base/panic.h"

static void retain(struct jobs *jobs, struct body_ref *at, const struct body_ref *ref)
{
	*at = *ref;
	jobs->store->ops->body_retain(jobs->store, at);
}

static void release(struct jobs *jobs, struct body_ref *at)
{
	if (at->kind != BODY_NONE)
		jobs->store->ops->body_release(jobs->store, at);
	*at = (struct body_ref){0};
}

static void text_set(struct text **at, struct text **from)
{
	mem_free(*at);
	*at = *from;
	*from = NULL;
}

static void atom_set(struct jobs *jobs, struct atom **at, struct atom **from)
{
	atom_give(jobs, *at);
	*at = *from;
	*from = NULL;
}

static void index_set(struct hash *table, struct job *job, struct job_index **from, uint64_t hash, struct job_index **ret_at)
{
	if (*from)
		ENSURE(index_put(table, *from, job, hash) == 0);
	*ret_at = *from;
	*from = NULL;
}

/* Ready, behind all that are ready already with its priority; or delayed first. */
static void make_ready(struct job *job, const struct event *e)
{
	job->ready_position = e->position;
	job->ready_ms = e->time_ms;
	job->until_ms = 0;
	job_set_state(job, JOB_READY);
}

static void make_delayed_or_ready(struct job *job, const struct event *e)
{
	if (e->until_ms > e->time_ms) {
		job->until_ms = e->until_ms;
		job_set_state(job, JOB_DELAYED);
	} else {
		make_ready(job, e);
	}
}

static void new_job(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *job = p->job;
	struct queue *queue = p->queue;

	list_init(&job->place);
	job->queue = queue;
	job->number = e->number;
	job->deadline_ms = UINT64_MAX;
	job->fingerprint = e->fingerprint;
	job->priority = (uint32_t)e->priority;
	job->max_attempts = (uint32_t)e->max_attempts;
	job->lease_ms = (uint32_t)e->lease_ms;
	job->own_lease_ms = (uint32_t)(e->type == EVENT_SNAP_JOB ? e->own_lease_ms : e->lease_ms);
	job->retain_ms = e->retain_ms;
	job->cancel_at_ms = e->cancel_at_ms;
	atom_set(jobs, &job->content_type, &p->atom_a);
	index_set(&jobs->names, job, &p->name, queue_string_hash(jobs, queue, e->name), &job->name);
	index_set(&jobs->keys, job, &p->key, queue_string_hash(jobs, queue, e->key), &job->key);
	number_put(jobs, job);
	p->new_job = p->new_queue = false;
}

static void commit_submitted(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *job = p->job;

	new_job(jobs, e, p);
	job->created_ms = e->time_ms;
	retain(jobs, &job->body, e->blob.kind ? &e->blob : &e->bytes);
	count_add(job->queue, JOB_DELAYED); /* where a zeroed job stands; make_… moves it on */
	make_delayed_or_ready(job, e);
}

static void commit_snapshot_job(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *job = p->job;

	new_job(jobs, e, p);
	job->created_ms = e->created_ms;
	job->updated_ms = e->updated_ms;
	job->changed_end = e->changed_end;
	job->until_ms = e->until_ms;
	job->ready_position = e->ready_position;
	job->ready_ms = e->ready_ms;
	job->token = e->token;
	job->attempt = (uint32_t)e->attempt;
	job->revision = (uint32_t)e->revision;
	job->timeouts = (uint32_t)e->timeouts;
	job->failures = (uint32_t)e->failures;
	job->releases = (uint32_t)e->releases;
	job->lost_handoffs = (uint32_t)e->lost_handoffs;
	job->progress = (uint32_t)e->progress;
	retain(jobs, &job->body, &e->body);
	retain(jobs, &job->result, &e->result);
	atom_set(jobs, &job->result_type, &p->atom_b);
	atom_set(jobs, &job->worker, &p->atom_c);
	text_set(&job->message, &p->text_a);
	text_set(&job->error, &p->text_b);
	index_set(&jobs->attempts, job, &p->attempt_id, attempt_hash(jobs, e->attempt_id), &job->attempt_id);
	if (e->expired) {
		job->state = (uint8_t)e->state;
		job->expired = true;
		job->queue->expired_count++;
	} else {
		count_add(job->queue, JOB_DELAYED);
		job_set_state(job, (enum job_state)e->state);
	}
	job_set_deadline(jobs, job);
}

static void commit_ended(struct jobs *jobs, struct job *job, enum job_state state)
{
	job->attempt_id = index_drop(&jobs->attempts, job->attempt_id);
	job->until_ms = 0;
	/* A failed job may be kicked and needs its body again; the others never. */
	if (state != JOB_FAILED)
		release(jobs, &job->body);
	job_set_state(job, state);
}

static void commit_returned(struct jobs *jobs, struct job *job, const struct event *e)
{
	job->attempt_id = index_drop(&jobs->attempts, job->attempt_id);
	job->progress = 0;
	make_delayed_or_ready(job, e);
}

static void commit_expired(struct jobs *jobs, struct job *job, const struct event *e)
{
	list_remove(&job->place);
	count_drop(job->queue, job->state);
	job->queue->expired_count++;
	job->expired = true;
	job->until_ms = e->time_ms + jobs->tombstone_ms;
	release(jobs, &job->body);
	release(jobs, &job->result);
	job->name = index_drop(&jobs->names, job->name);
	job->key = index_drop(&jobs->keys, job->key);
	job->message = mem_free(job->message);
	job->error = mem_free(job->error);
}

static void commit_forgotten(struct jobs *jobs, struct job *job)
{
	struct queue *queue = job->queue;

	if (job->expired)
		queue->expired_count--;
	else {
		/* Out of the heap and lists by way of a state that hangs nowhere. */
		job_set_state(job, JOB_CANCELED);
		count_drop(queue, JOB_CANCELED);
	}
	heap_remove(&jobs->deadlines, &job->deadline);
	release(jobs, &job->body);
	release(jobs, &job->result);
	index_drop(&jobs->names, job->name);
	index_drop(&jobs->keys, job->key);
	index_drop(&jobs->attempts, job->attempt_id);
	atom_give(jobs, job->content_type);
	atom_give(jobs, job->result_type);
	atom_give(jobs, job->worker);
	mem_free(job->message);
	mem_free(job->error);
	number_remove(jobs, job->number);
	pool_give(&jobs->pool, job);
	queue_settle(jobs, queue);
}

static void commit_offered(struct jobs *jobs, struct job *job, const struct event *e, struct prepared *p)
{
	job->attempt++;
	job->token = e->token;
	job->until_ms = e->until_ms;
	job->offer_until_ms = 0;
	job->lease_ms = (uint32_t)e->lease_ms;
	atom_set(jobs, &job->worker, &p->atom_a);
	index_set(&jobs->attempts, job, &p->attempt_id, attempt_hash(jobs, e->attempt_id), &job->attempt_id);
	job_set_state(job, JOB_OFFERED);
}

static void commit_unoffered(struct jobs *jobs, struct job *job)
{
	job->attempt_id = index_drop(&jobs->attempts, job->attempt_id);
	job->attempt--;
	job->lost_handoffs++;
	job->token = 0;
	job->until_ms = 0;
	job_set_state(job, JOB_READY);
	list_remove(&job->place); /* it has waited longest, or nearly */
	list_push_front(&job->queue->waiting, &job->place);
}

static void commit_timed_out(struct jobs *jobs, struct job *job, const struct event *e, struct prepared *p)
{
	job->timeouts++;
	job->token = 0;
	if (job->attempt >= job->max_attempts) {
		text_set(&job->error, &p->text_b);
		commit_ended(jobs, job, JOB_FAILED);
	} else {
		commit_returned(jobs, job, e);
	}
}

/* True when more than the lease has changed: whoever follows the job wants to know. */
static bool commit_beat(struct job *job, const struct event *e, struct prepared *p)
{
	bool told = job->state != JOB_RUNNING || job->progress != e->progress || !slice_eq(text_slice(job->message), e->message);

	job->until_ms = e->until_ms;
	job->lease_ms = (uint32_t)e->lease_ms;
	job->progress = (uint32_t)e->progress;
	text_set(&job->message, &p->text_a);
	job_set_state(job, JOB_RUNNING);
	return told;
}

static void commit_done(struct jobs *jobs, struct job *job, const struct event *e, struct prepared *p)
{
	retain(jobs, &job->result, e->blob.kind ? &e->blob : &e->bytes);
	atom_set(jobs, &job->result_type, &p->atom_a);
	job->error = mem_free(job->error);
	job->progress = 1000001;
	commit_ended(jobs, job, JOB_DONE);
}

static void commit_moved(struct jobs *jobs, struct body_ref *at, const struct event *e)
{
	release(jobs, at);
	retain(jobs, at, &e->bytes);
}

static void commit_failed(struct jobs *jobs, struct job *job, struct prepared *p)
{
	job->failures++;
	text_set(&job->error, &p->text_b);
	commit_ended(jobs, job, JOB_FAILED);
}

static void commit_kicked(struct job *job, const struct event *e)
{
	job->attempt = 0;
	job->token = 0;
	job->progress = 0;
	make_ready(job, e);
}

static void commit_released(struct jobs *jobs, struct job *job, const struct event *e)
{
	job->releases++;
	job->attempt--;
	commit_returned(jobs, job, e);
}

/* A job that stays. */
static void commit_known(struct jobs *jobs, struct job *job, const struct event *e, struct prepared *p)
{
	switch ((unsigned)e->type) {
	case EVENT_READY:
		make_ready(job, e);
		break;
	case EVENT_OFFERED:
		commit_offered(jobs, job, e, p);
		break;
	case EVENT_LEASED:
		job->until_ms = e->until_ms;
		job_set_state(job, JOB_RUNNING);
		break;
	case EVENT_UNOFFERED:
		commit_unoffered(jobs, job);
		break;
	case EVENT_BEAT:
		if (!commit_beat(job, e, p))
			return;
		break;
	case EVENT_RELEASED:
		commit_released(jobs, job, e);
		break;
	case EVENT_RETRIED:
		job->failures++;
		text_set(&job->error, &p->text_b);
		commit_returned(jobs, job, e);
		break;
	case EVENT_TIMED_OUT:
		commit_timed_out(jobs, job, e, p);
		break;
	case EVENT_DONE:
		commit_done(jobs, job, e, p);
		break;
	case EVENT_FAILED:
		commit_failed(jobs, job, p);
		break;
	case EVENT_CANCELED:
		commit_ended(jobs, job, JOB_CANCELED);
		break;
	case EVENT_KICKED:
		commit_kicked(job, e);
		break;
	case EVENT_EXPIRED:
		commit_expired(jobs, job, e);
		break;
	case EVENT_BODY_MOVED:
		commit_moved(jobs, &job->body, e);
		return;
	case EVENT_RESULT_MOVED:
		commit_moved(jobs, &job->result, e);
		return;
	default:
		break;
	}
	if (e->type != EVENT_EXPIRED)
		job->updated_ms = e->time_ms;
	job->revision++;
}

static void count_total(struct queue *queue, const struct event *e, const struct job *job)
{
	static const uint8_t total_of[EVENT_TYPE_COUNT] = {
		[EVENT_SUBMITTED] = 1 + TOTAL_SUBMITTED, [EVENT_DONE] = 1 + TOTAL_DONE,
		[EVENT_FAILED] = 1 + TOTAL_FAILED,       [EVENT_CANCELED] = 1 + TOTAL_CANCELED,
		[EVENT_TIMED_OUT] = 1 + TOTAL_TIMEOUTS,  [EVENT_RETRIED] = 1 + TOTAL_RETRIES,
		[EVENT_RELEASED] = 1 + TOTAL_RELEASES,   [EVENT_UNOFFERED] = 1 + TOTAL_LOST,
	};

	if (queue->changed_end >= e->end)
		return;
	queue->changed_end = e->end; /* of any event: the counts by state have changed, too */
	if (total_of[e->type] == 0)
		return;
	queue->total[total_of[e->type] - 1]++;
	if (e->type == EVENT_TIMED_OUT && job->attempt >= job->max_attempts)
		queue->total[TOTAL_FAILED]++;
	if (e->type == EVENT_SUBMITTED)
		rate_count(&queue->submitted, e->time_ms);
	if (e->type == EVENT_DONE)
		rate_count(&queue->done, e->time_ms);
}

static void commit_queue(struct queue *queue, const struct event *e)
{
	if (e->end != 0 && queue->changed_end >= e->end)
		return;
	queue->paused = e->paused != 0;
	if (e->type == EVENT_SNAP_QUEUE) {
		memcpy(queue->total, e->total, sizeof(queue->total));
		queue->changed_end = e->changed_end;
	} else {
		queue->changed_end = e->end;
	}
}

static void commit_meta(struct jobs *jobs, const struct event *e)
{
	memcpy(jobs->secret, e->secret.ptr, EVENT_SECRET_BYTES);
	jobs->has_secret = true;
	if (e->next_number > jobs->next_number)
		jobs->next_number = e->next_number;
}

void jobs_commit(struct jobs *jobs, const struct event *e, struct prepared *p)
{
	struct job *job = p->job;

	if (p->queue && e->end != 0 && e->type != EVENT_QUEUE_SET)
		count_total(p->queue, e, job);
	if (p->skip) {
		jobs_unprepare(jobs, p);
		return;
	}
	switch ((unsigned)e->type) {
	case EVENT_INIT:
	case EVENT_SNAP_META:
		commit_meta(jobs, e);
		break;
	case EVENT_QUEUE_SET:
	case EVENT_SNAP_QUEUE:
		p->new_queue = false;
		commit_queue(p->queue, e);
		queue_settle(jobs, p->queue);
		break;
	case EVENT_SNAP_JOB:
		commit_snapshot_job(jobs, e, p);
		break;
	case EVENT_FORGOTTEN:
		commit_forgotten(jobs, job);
		break;
	default:
		if (e->type == EVENT_SUBMITTED)
			commit_submitted(jobs, e, p);
		commit_known(jobs, job, e, p);
		job->changed_end = e->end;
		job_set_deadline(jobs, job);
		break;
	}
	jobs_unprepare(jobs, p);
}
