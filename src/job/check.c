/* The invariants of job.h, walked. */
#include "job/job_priv.h"

#include "base/panic.h"

static void check_job(const struct job *job)
{
	bool ready = !job->expired && job->state == JOB_READY;
	bool dead = !job->expired && job->state == JOB_FAILED;

	ENSURE(heap_holds(&job->ready) == ready);
	ENSURE(list_empty(&job->place) == !(ready || dead));
	ENSURE(heap_holds(&job->deadline) == (job->deadline_ms != UINT64_MAX));
	ENSURE(!job->attempt_id || job->state == JOB_OFFERED || job->state == JOB_RUNNING);
	ENSURE(!job->expired || (job_state_is_terminal((enum job_state)job->state) && !job->name && !job->key));
	ENSURE(job->attempt <= job->max_attempts);
	ENSURE((job->state != JOB_OFFERED && job->state != JOB_RUNNING) || (job->token != 0 && job->until_ms != 0));
	ENSURE(!job->name || job->name->job == job);
	ENSURE(!job->key || job->key->job == job);
}

static void check_queue(const struct queue *queue, uint64_t *sum)
{
	ENSURE(queue->ready.count == queue->count[JOB_READY]);
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
		*sum += queue->count[i];
	*sum += queue->expired_count;
}

void jobs_check(const struct jobs *jobs)
{
	uint64_t counted = 0, in_queues = 0;

	for (struct job *job = jobs_from(jobs, 0); job; job = jobs_from(jobs, job->number + 1)) {
		check_job(job);
		counted++;
	}
	list_each (node, &jobs->queues)
		check_queue(container_of(node, struct queue, peers), &in_queues);
	ENSURE(counted == jobs->count && counted == in_queues);
	for (uint32_t i = 1; i < jobs->deadlines.count; i++)
		ENSURE(!jobs->deadlines.before(jobs->deadlines.nodes[i], jobs->deadlines.nodes[(i - 1) / 2]));
}
