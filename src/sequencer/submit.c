/* Work comes in. */
#include "sequencer/sequencer_priv.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/wire.h"

/* Whether two submits are the same request. Not secret, but the same before and after a restart. Never 0; 0: no memory. */
static uint64_t fingerprint(struct sequencer *s, const struct submit_in *in)
{
	static const struct hash_key fixed = {0x62696465, 1};
	bool blob = in->blob.kind == BODY_BLOB;
	uint64_t print;

	buf_clear(&s->fields);
	wire_put_string(&s->fields, in->name);
	wire_put_string(&s->fields, in->content_type);
	wire_put_u64(&s->fields, blob ? in->blob.size_bytes : in->body.len);
	wire_put_u32(&s->fields, blob ? in->blob.crc : crc32c(0, in->body.ptr, in->body.len));
	wire_put_u64(&s->fields, in->delay_ms);
	wire_put_u64(&s->fields, in->retain_ms);
	wire_put_u64(&s->fields, in->cancel_after_ms);
	wire_put_u32(&s->fields, in->lease_ms);
	wire_put_u32(&s->fields, in->priority);
	wire_put_u32(&s->fields, in->max_attempts);
	if (s->fields.failed)
		return 0;
	print = hash_bytes(&fixed, s->fields.ptr, s->fields.len);
	return print ? print : 1;
}

static void reply_job(struct sequencer *s, struct command *c, enum outcome outcome, struct job *job)
{
	bool ended = job_state_is_terminal((enum job_state)job->state);

	if (c->in.submit.watch && !ended)
		watch(job, UNTIL_DONE, c->message.thread);
	c->out.view = view_new(s, job, c->in.submit.watch && job->state == JOB_DONE ? PIN_RESULT : PIN_NONE);
	reply(s, c, c->out.view ? outcome : OUTCOME_NO_MEMORY, job->changed_end);
}

/* true when the name or the key is known already, and the command is answered. */
static bool repeated(struct sequencer *s, struct command *c, uint64_t print)
{
	const struct submit_in *in = &c->in.submit;
	struct job *named = in->name.len ? jobs_find_name(&s->jobs, in->queue, in->name) : NULL;
	struct job *keyed = in->key.len ? jobs_find_key(&s->jobs, in->queue, in->key) : NULL;
	struct job *job = named ? named : keyed;

	if (!job)
		return false;
	if (job->fingerprint == print && (!keyed || keyed == job))
		reply_job(s, c, OUTCOME_SAME, job);
	else
		reply_job(s, c, named ? OUTCOME_CONFLICT : OUTCOME_MISMATCH, job);
	return true;
}

static enum outcome allowed(const struct sequencer *s, struct slice queue_name)
{
	const struct queue *queue = queue_find(&s->jobs, queue_name);
	uint64_t jobs = 0;

	if (s->jobs.count >= s->config.jobs_max || (!queue && s->jobs.queue_count >= s->config.queues_max))
		return OUTCOME_FULL;
	for (unsigned i = 0; queue && i < JOB_STATE_COUNT; i++)
		jobs += queue->count[i];
	return jobs >= s->config.queue_jobs_max ? OUTCOME_QUEUE_FULL : OUTCOME_OK;
}

void command_submit(struct sequencer *s, struct command *c)
{
	const struct submit_in *in = &c->in.submit;
	bool once = in->name.len || in->key.len;
	uint64_t print = once ? fingerprint(s, in) : 0;
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = s->jobs.next_number,
		.queue = in->queue,
		.name = in->name,
		.key = in->key,
		.fingerprint = print,
		.content_type = in->content_type,
		.priority = in->priority,
		.max_attempts = in->max_attempts,
		.lease_ms = in->lease_ms,
		.retain_ms = in->retain_ms,
		.until_ms = in->delay_ms ? s->now_ms + in->delay_ms : 0,
		.cancel_at_ms = in->cancel_after_ms ? s->now_ms + in->cancel_after_ms : 0,
		.blob = in->blob,
	};
	struct job_view *room;
	enum outcome outcome;
	struct job *job;

	if (print && repeated(s, c, print))
		return;
	outcome = allowed(s, in->queue);
	/* The answer's memory comes first: who hears of a failure must be sure that no job, and no blob, is left behind. */
	room = mem_alloc(sizeof(*room) + in->queue.len + in->name.len + in->content_type.len);
	if (outcome == OUTCOME_OK)
		outcome = room ? emit(s, &e, NULL, in->body) : OUTCOME_NO_MEMORY;
	if (outcome != OUTCOME_OK) {
		mem_free(room);
		reply(s, c, outcome, 0);
		return;
	}
	job = jobs_find(&s->jobs, e.number);
	queue_touch(s, job->queue);
	if (in->watch)
		watch(job, UNTIL_DONE, c->message.thread);
	c->out.view = view_fill(s, job, PIN_NONE, room);
	reply(s, c, OUTCOME_OK, job->changed_end);
}
