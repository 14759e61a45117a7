/* A worker about its job: every word carries the token of its lease, and a stale one changes nothing. */
#include "sequencer/sequencer_priv.h"

#include "base/crc32c.h"

/* The job the worker means. Another outcome than OK: what to answer, from *ret_gate on. */
static enum outcome worker_job(struct sequencer *s, const struct worker_in *in, struct job **ret_job, uint64_t *ret_gate)
{
	struct job *job = handle_find(s, in->handle);
	uint64_t token = token_parse(in->token);

	*ret_gate = s->forgotten_end;
	if (!job)
		return OUTCOME_NOT_FOUND;
	*ret_gate = job->changed_end;
	*ret_job = job;
	if (token == 0 || token != job->token)
		return OUTCOME_FENCED;
	return job->expired ? OUTCOME_GONE : OUTCOME_OK;
}

static bool leased(const struct job *job)
{
	return job->state == JOB_OFFERED || job->state == JOB_RUNNING;
}

/* What a lease that is over says to a word that comes late with the right token. */
static enum outcome too_late(const struct job *job)
{
	switch ((enum job_state)job->state) {
	case JOB_CANCELED:
		return OUTCOME_CANCELED;
	case JOB_DONE:
	case JOB_FAILED:
		return OUTCOME_ALREADY;
	case JOB_DELAYED:
	case JOB_READY:
	case JOB_OFFERED:
	case JOB_RUNNING:
		break;
	}
	return OUTCOME_FENCED;
}

enum outcome worker_leased(struct sequencer *s, const struct worker_in *in, struct job **ret_job, uint64_t *ret_gate)
{
	enum outcome outcome = worker_job(s, in, ret_job, ret_gate);

	return outcome == OUTCOME_OK && !leased(*ret_job) ? too_late(*ret_job) : outcome;
}

static void answer(struct sequencer *s, struct command *c, enum outcome outcome, struct job *job, uint64_t gate)
{
	if (job && outcome != OUTCOME_FENCED)
		c->out.view = view_new(s, job, PIN_NONE);
	reply(s, c, outcome, gate);
}

void command_body(struct sequencer *s, struct command *c)
{
	struct job *job = NULL;
	uint64_t gate;
	enum outcome outcome = worker_leased(s, &c->in.worker, &job, &gate);

	if (outcome == OUTCOME_OK) {
		c->out.view = view_new(s, job, PIN_BODY);
		outcome = c->out.view ? OUTCOME_OK : OUTCOME_NO_MEMORY;
	}
	reply(s, c, outcome, gate);
}

void command_beat(struct sequencer *s, struct command *c)
{
	const struct worker_in *in = &c->in.worker;
	struct event e = {.type = EVENT_BEAT};
	struct job *job = NULL;
	uint64_t gate;
	enum outcome outcome = worker_job(s, in, &job, &gate);

	if (outcome == OUTCOME_OK && job->state == JOB_CANCELED) {
		c->out.cancel = true;
		answer(s, c, OUTCOME_OK, job, gate);
		return;
	}
	if (outcome == OUTCOME_OK && !leased(job))
		outcome = too_late(job);
	if (outcome == OUTCOME_OK) {
		e.lease_ms = in->lease_ms ? in->lease_ms : job->lease_ms;
		e.until_ms = s->now_ms + e.lease_ms;
		e.progress = in->progress < 0 ? job->progress : (uint64_t)(in->progress * 1e6 + 0.5) + 1;
		e.message = in->message.ptr ? in->message : text_slice(job->message);
		outcome = emit(s, &e, job, (struct slice){0});
		gate = s->appended_end;
		c->out.deadline_ms = e.until_ms;
	}
	answer(s, c, outcome, job, gate);
}

static bool same_result(const struct job *job, const struct worker_in *in)
{
	bool blob = in->blob.kind == BODY_BLOB;
	uint64_t size = blob ? in->blob.size_bytes : in->body.len;

	if (job->result.size_bytes != size || !slice_eq(atom_slice(job->result_type), in->content_type))
		return false;
	return size == 0 || job->result.crc == (blob ? in->blob.crc : crc32c(0, in->body.ptr, in->body.len));
}

void command_done(struct sequencer *s, struct command *c)
{
	const struct worker_in *in = &c->in.worker;
	struct event e = {.type = EVENT_DONE, .content_type = in->content_type, .blob = in->blob};
	struct job *job = NULL;
	uint64_t gate;
	enum outcome outcome = worker_job(s, in, &job, &gate);

	if (outcome == OUTCOME_OK && job->state == JOB_DONE && same_result(job, in))
		outcome = OUTCOME_SAME;
	else if (outcome == OUTCOME_OK && !leased(job))
		outcome = too_late(job);
	if (outcome == OUTCOME_OK) {
		outcome = emit(s, &e, job, in->body);
		gate = s->appended_end;
	}
	answer(s, c, outcome, outcome == OUTCOME_OK ? NULL : job, gate);
}

/* Doubles with each failure up to the cap; half of it is by chance, so that what failed together does not come back together. */
static uint64_t back_off(const struct sequencer *s, const struct job *job)
{
	uint64_t span = s->config.retry_base_ms;

	for (uint32_t i = 0; i < job->failures && span < s->config.retry_cap_ms; i++)
		span *= 2;
	if (span > s->config.retry_cap_ms)
		span = s->config.retry_cap_ms;
	return span / 2 + jitter(s, job, span - span / 2);
}

static enum outcome fail_or_retry(struct sequencer *s, struct job *job, const struct worker_in *in)
{
	struct event e = {.type = EVENT_FAILED, .error = in->error};
	enum outcome outcome;

	if (in->retry && job->attempt < job->max_attempts) {
		e.type = EVENT_RETRIED;
		e.until_ms = s->now_ms + (in->delay_ms == UINT64_MAX ? back_off(s, job) : in->delay_ms);
	}
	outcome = emit(s, &e, job, (struct slice){0});
	if (outcome == OUTCOME_OK && job->state == JOB_READY)
		queue_touch(s, job->queue);
	return outcome;
}

void command_fail(struct sequencer *s, struct command *c)
{
	struct job *job = NULL;
	uint64_t gate;
	enum outcome outcome = worker_job(s, &c->in.worker, &job, &gate);

	if (outcome == OUTCOME_OK && leased(job)) {
		outcome = fail_or_retry(s, job, &c->in.worker);
		gate = s->appended_end;
	} else if (outcome == OUTCOME_OK && (job->state == JOB_DONE || job->state == JOB_CANCELED)) {
		outcome = too_late(job);
	} else if (outcome == OUTCOME_OK) {
		outcome = OUTCOME_SAME; /* the token is still the last one, so this failure was heard before */
	}
	answer(s, c, outcome, job, gate);
}

void command_release(struct sequencer *s, struct command *c)
{
	const struct worker_in *in = &c->in.worker;
	struct event e = {.type = EVENT_RELEASED};
	struct job *job = NULL;
	uint64_t gate;
	enum outcome outcome = worker_job(s, in, &job, &gate);

	if (outcome == OUTCOME_OK && leased(job)) {
		e.until_ms = in->delay_ms == UINT64_MAX ? 0 : s->now_ms + in->delay_ms;
		outcome = emit(s, &e, job, (struct slice){0});
		gate = s->appended_end;
		if (outcome == OUTCOME_OK && job->state == JOB_READY)
			queue_touch(s, job->queue);
	} else if (outcome == OUTCOME_OK && job_state_is_terminal((enum job_state)job->state)) {
		outcome = too_late(job);
	} else if (outcome == OUTCOME_OK) {
		outcome = OUTCOME_SAME;
	}
	answer(s, c, outcome, job, gate);
}

static enum outcome cancel(struct sequencer *s, struct job *job, bool forget)
{
	enum outcome outcome = OUTCOME_OK;

	if (!job_state_is_terminal((enum job_state)job->state))
		outcome = emit_plain(s, EVENT_CANCELED, job);
	else if (job->state != JOB_CANCELED && !forget)
		return job->expired ? OUTCOME_GONE : OUTCOME_CONFLICT;
	if (outcome == OUTCOME_OK && forget)
		outcome = emit_plain(s, EVENT_FORGOTTEN, job);
	return outcome;
}

void command_cancel(struct sequencer *s, struct command *c)
{
	struct job *job = handle_find(s, c->in.cancel.handle);
	bool forget = c->in.cancel.forget;
	enum outcome outcome = job ? cancel(s, job, forget) : OUTCOME_NOT_FOUND;
	uint64_t gate = job && !(forget && outcome == OUTCOME_OK) ? job->changed_end : s->forgotten_end;

	answer(s, c, outcome, forget && outcome == OUTCOME_OK ? NULL : job, gate);
}

enum outcome lease_timed_out(struct sequencer *s, struct job *job)
{
	enum outcome outcome = emit_plain(s, EVENT_TIMED_OUT, job);

	if (outcome == OUTCOME_OK) {
		s->stats.timeouts_total++;
		if (job->state == JOB_READY)
			queue_touch(s, job->queue);
	}
	return outcome;
}
