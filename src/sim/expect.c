/* What the oracle says to a command, before the sequencer does; and what its answer rests on, after. */
#include "sim/world.h"

#include "base/crc32c.h"

bool version_far_enough(const struct version *v, enum job_until until, uint32_t revision)
{
	if (v->forgotten || job_state_is_terminal((enum job_state)v->state))
		return true;
	switch (until) {
	case UNTIL_DONE:
		return false;
	case UNTIL_STARTED:
		return v->state == JOB_RUNNING;
	case UNTIL_CHANGED:
		return v->revision > revision;
	}
	return false;
}

enum outcome expect_job(const struct world *world, const struct jobs_in *in, uint64_t number)
{
	const struct model_job *job = model_live(&world->model, number);

	if (!job)
		return OUTCOME_NOT_FOUND;
	if (model_last(job)->expired)
		return OUTCOME_GONE;
	return version_far_enough(model_last(job), in->until, in->revision) ? OUTCOME_OK : OUTCOME_PARKED;
}

static struct expected expect_submit(struct world *world, const struct submit_in *in)
{
	struct model *model = &world->model;
	struct model_job *named = in->name.len ? model_by_name(model, in->queue, in->name) : NULL;
	struct model_job *keyed = in->key.len ? model_by_key(model, in->queue, in->key) : NULL;
	struct model_job *job = named ? named : keyed;
	unsigned queue = model_queue(model, in->queue);

	if (job && job->request == model_request(in) && (!keyed || keyed == job))
		return (struct expected){OUTCOME_SAME, job->number, 0};
	if (job)
		return (struct expected){named ? OUTCOME_CONFLICT : OUTCOME_MISMATCH, job->number, 0};
	if (model->live_count >= world->config.jobs_max)
		return (struct expected){.outcome = OUTCOME_FULL};
	if (model_queue_jobs(model, queue, -1) >= world->config.queue_jobs_max)
		return (struct expected){.outcome = OUTCOME_QUEUE_FULL};
	if (world->full)
		return (struct expected){.outcome = OUTCOME_NO_SPACE};
	return (struct expected){OUTCOME_OK, model->next_number, 0};
}

static enum outcome too_late(const struct version *v)
{
	if (v->state == JOB_CANCELED)
		return OUTCOME_CANCELED;
	return v->state == JOB_DONE || v->state == JOB_FAILED ? OUTCOME_ALREADY : OUTCOME_FENCED;
}

static bool same_result(const struct version *v, const struct worker_in *in)
{
	uint64_t size = in->blob.kind ? in->blob.size_bytes : in->body.len;
	uint32_t crc = in->blob.kind ? in->blob.crc : crc32c(0, in->body.ptr, in->body.len);

	return v->result.size_bytes == size && (size == 0 || v->result.crc == crc) &&
	       v->result_type == model_string(in->content_type);
}

static enum outcome expect_worker(const struct world *world, const struct ask *ask)
{
	const struct model_job *job = model_live(&world->model, ask->numbers[0]);
	const struct version *v = job ? model_last(job) : NULL;

	if (!v)
		return OUTCOME_NOT_FOUND;
	if (ask->token == 0 || v->token != ask->token)
		return OUTCOME_FENCED;
	if (v->expired)
		return OUTCOME_GONE;
	if (version_is_held(v))
		return ask->command.kind == COMMAND_OUTPUT_APPEND ? output_expect(world, ask) : OUTCOME_OK;
	if (ask->command.kind == COMMAND_BEAT && v->state == JOB_CANCELED)
		return OUTCOME_OK;
	if (ask->command.kind == COMMAND_DONE && v->state == JOB_DONE && same_result(v, &ask->command.in.worker))
		return OUTCOME_SAME;
	if (ask->command.kind == COMMAND_FAIL)
		return v->state == JOB_DONE || v->state == JOB_CANCELED ? too_late(v) : OUTCOME_SAME;
	if (ask->command.kind == COMMAND_RELEASE)
		return job_state_is_terminal((enum job_state)v->state) ? too_late(v) : OUTCOME_SAME;
	return too_late(v);
}

static enum outcome expect_cancel(const struct world *world, const struct ask *ask)
{
	const struct model_job *job = model_live(&world->model, ask->numbers[0]);
	const struct version *v = job ? model_last(job) : NULL;

	if (!v)
		return OUTCOME_NOT_FOUND;
	if (!job_state_is_terminal((enum job_state)v->state) || v->state == JOB_CANCELED || ask->command.in.cancel.forget)
		return OUTCOME_OK;
	return v->expired ? OUTCOME_GONE : OUTCOME_CONFLICT;
}

/* A claim that is served while it is canceled has left the line. */
static enum outcome expect_claim_cancel(struct world *world, const struct ask *ask)
{
	const struct claim_wait *claim = claim_find(world, ask->command.in.claim_cancel.claim_id);

	if (!claim || claim->uncertain)
		return OUTCOME_ANY;
	return claim->parked && !claim->served ? OUTCOME_OK : OUTCOME_OFFERED;
}

static struct expected expect_claim(struct world *world, const struct claim_in *in)
{
	struct expected should = {.outcome = OUTCOME_ANY};
	uint64_t attempt_id = model_string(in->attempt_id);

	for (size_t i = 0; attempt_id && i < world->model.live_count; i++)
		should.count += model_last(world->model.live[i])->attempt_id == attempt_id;
	if (should.count)
		should.outcome = OUTCOME_OK;
	return should;
}

static struct expected expect_queue(struct world *world, const struct ask *ask)
{
	bool set = ask->command.kind == COMMAND_QUEUE_SET;
	struct slice name = ask->command.kind == COMMAND_KICK ? ask->command.in.kick.queue : ask->command.in.queue.queue;
	unsigned q = model_queue(&world->model, name);
	struct expected should = {.outcome = OUTCOME_OK};
	bool stands = model_queue_stands(&world->model, q) || (check_claimed(world) & 1u << q);

	if (set && !ask->command.in.queue.paused && world->model.queues[q].paused) {
		world->model.queues[q].paused = false; /* what would be left of it? */
		stands = model_queue_stands(&world->model, q) || (check_claimed(world) & 1u << q);
		world->model.queues[q].paused = true;
	}
	if (!stands && !(set && ask->command.in.queue.paused))
		should.outcome = OUTCOME_NOT_FOUND;
	for (struct list *node = world->claims.next; node != &world->claims; node = node->next) {
		if (container_of(node, struct claim_wait, node)->uncertain)
			should.outcome = OUTCOME_ANY;
	}
	if (ask->command.kind == COMMAND_KICK) {
		should.count = model_queue_jobs(&world->model, q, JOB_FAILED);
		if (should.count > ask->command.in.kick.count)
			should.count = ask->command.in.kick.count;
	}
	return should;
}

struct expected expect(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	struct expected should = {.outcome = OUTCOME_OK, .number = ask->numbers[0]};

	if (world->failed)
		return (struct expected){.outcome = OUTCOME_STORAGE};
	if (topic_command(ask))
		return topic_expect(world, ask);
	switch ((unsigned)c->kind) {
	case COMMAND_SUBMIT:
		return expect_submit(world, &c->in.submit);
	case COMMAND_JOBS:
		should.number = 0;
		if (c->in.jobs.count == 1)
			should.outcome = expect_job(world, &c->in.jobs, ask->numbers[0]);
		return should;
	case COMMAND_CANCEL:
		should.outcome = expect_cancel(world, ask);
		return should;
	case COMMAND_CLAIM:
		return expect_claim(world, &c->in.claim);
	case COMMAND_CLAIM_CANCEL:
		return (struct expected){.outcome = expect_claim_cancel(world, ask)};
	case COMMAND_BODY:
	case COMMAND_BEAT:
	case COMMAND_DONE:
	case COMMAND_FAIL:
	case COMMAND_RELEASE:
	case COMMAND_OUTPUT_APPEND:
		should.outcome = expect_worker(world, ask);
		return should;
	case COMMAND_KICK:
	case COMMAND_QUEUE:
	case COMMAND_QUEUE_SET:
		return expect_queue(world, ask);
	case COMMAND_STREAM_CREATE:
	case COMMAND_STREAM_APPEND:
	case COMMAND_STREAM_DELETE:
	case COMMAND_STREAM_READ:
		return stream_expect(world, ask);
	default: /* never refused, or not asked in this world */
		return (struct expected){.outcome = OUTCOME_OK};
	}
}

/* --- what an answer rests on --- */

static uint64_t job_end(const struct world *world, uint64_t number)
{
	const struct model_job *job = model_job(&world->model, number);

	return job ? model_last(job)->end : 0;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A page tells as much by those it leaves out. */
static uint64_t list_end(struct world *world, const struct command *c)
{
	uint64_t end = 0, from = c->out.next ? c->out.next : 1, to = c->in.list.after ? c->in.list.after : UINT64_MAX;

	for (uint64_t number = from; number < to && number < world->model.next_number; number++) {
		const struct model_job *job = model_job(&world->model, number);

		if (job && (!c->in.list.queue.len || slice_eq(slice_str(queue_name(job->queue)), c->in.list.queue)))
			end = max(end, model_last(job)->end);
	}
	return end;
}

static uint64_t submit_end(struct world *world, const struct ask *ask, uint64_t end_before)
{
	if (ask->command.outcome == OUTCOME_OK)
		return max(end_before + 1, sim_store_end(world->store));
	return ask->command.out.view ? job_end(world, ask->command.out.view->number) : 0;
}

uint64_t expect_rests_on(struct world *world, const struct ask *ask, uint64_t end_before)
{
	const struct command *c = &ask->command;
	uint64_t end = 0;

	if (c->outcome == OUTCOME_NO_MEMORY || c->outcome == OUTCOME_STORAGE || c->outcome == OUTCOME_NO_SPACE)
		return 0;
	if (topic_command(ask))
		return topic_rests_on(world, ask);
	switch ((unsigned)c->kind) {
	case COMMAND_SUBMIT:
		return submit_end(world, ask, end_before);
	case COMMAND_JOBS:
		for (size_t i = 0; i < c->in.jobs.count; i++)
			end = max(end, job_end(world, ask->numbers[i]));
		return end;
	case COMMAND_CLAIM:
		for (size_t i = 0; i < c->out.lease_count; i++)
			end = max(end, job_end(world, c->out.leases[i].number));
		return end;
	case COMMAND_CANCEL:
	case COMMAND_BODY:
	case COMMAND_BEAT:
	case COMMAND_DONE:
	case COMMAND_FAIL:
	case COMMAND_RELEASE:
		return job_end(world, ask->numbers[0]);
	case COMMAND_LIST:
		return list_end(world, c);
	case COMMAND_KICK:
		return world->model.queues[model_queue(&world->model, c->in.kick.queue)].changed_end;
	case COMMAND_QUEUE:
	case COMMAND_QUEUES:
	case COMMAND_QUEUE_SET:
		for (size_t i = 0; i < c->out.queue_count; i++)
			end = max(end, world->model.queues[model_queue(&world->model, c->out.queues[i].name)].changed_end);
		return end;
	case COMMAND_STREAM_CREATE:
	case COMMAND_STREAM_APPEND:
	case COMMAND_STREAM_DELETE:
	case COMMAND_STREAM_READ:
		return stream_rests_on(world, ask);
	case COMMAND_STREAM_LIST:
		for (size_t i = 0; i < c->out.stream_count; i++)
			end = max(end, model_stream(&world->model.streams, c->out.streams[i]->number)->changed_end);
		return end;
	case COMMAND_OUTPUT_APPEND:
		return output_rests_on(world, ask);
	default:
		return 0;
	}
}
