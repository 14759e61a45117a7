/* Commands there and back: each comes back once, with the outcome the oracle expects, and not before what it tells is durable. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct ask *ask_new(struct world *world, struct loop *loop, enum command_kind kind)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	ENSURE(ask);
	list_init(&ask->node);
	ask->command.message = (struct message){.kind = MESSAGE_COMMAND, .thread = (uint8_t)loop->index};
	ask->command.kind = kind;
	ask->command.outcome = OUTCOME_ANY;
	ask->sent_ms = world->now_ms;
	return ask;
}

struct slice ask_text(struct ask *ask, const char *format, ...)
{
	char *at = ask->text + ask->used;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(at, TEXT_MAX - ask->used, format, args);
	va_end(args);
	ENSURE(len >= 0 && ask->used + (size_t)len < TEXT_MAX);
	ask->used += (size_t)len + 1;
	return slice_from(at, (size_t)len);
}

void ask_handle(struct ask *ask, size_t i, const struct known *job)
{
	ENSURE(i < ASK_SLICES);
	ask->numbers[i] = job->number;
	ask->slices[i] = ask_text(ask, "%.*s", JOB_HANDLE_CHARS, job->handle);
}

void ask_send(struct world *world, struct ask *ask)
{
	list_push_back(&world->asks, &ask->node);
	mail_push(&world->mailbox, &ask->command.message.mail);
}

/* A blob that no event names goes back, as a door would send it. */
static void blob_back(struct world *world, struct ask *ask)
{
	const struct body_ref *blob = NULL;
	struct blob_release *release;

	if (ask->command.kind == COMMAND_SUBMIT)
		blob = &ask->command.in.submit.blob;
	else if (ask->command.kind == COMMAND_DONE)
		blob = &ask->command.in.worker.blob;
	else if (ask->command.kind == COMMAND_STREAM_CREATE)
		blob = &ask->command.in.stream_create.records.blob;
	else if (ask->command.kind == COMMAND_STREAM_APPEND || ask->command.kind == COMMAND_OUTPUT_APPEND)
		blob = &ask->command.in.stream_append.records.blob;
	if (!blob || blob->kind != BODY_BLOB || ask->command.outcome == OUTCOME_OK || ask->command.outcome == OUTCOME_STORAGE)
		return;
	release = calloc(1, sizeof(*release));
	ENSURE(release);
	release->message.kind = MESSAGE_RELEASE;
	release->blob = *blob;
	mail_push(&world->mailbox, &release->message.mail);
}

static bool lacks_memory(const struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	bool job_short = false;

	for (size_t i = 0; c->out.outcomes && i < c->out.view_count; i++)
		job_short = job_short || c->out.outcomes[i] == OUTCOME_NO_MEMORY;
	return world->memory_failed && (c->outcome == OUTCOME_NO_MEMORY || job_short);
}

static void check_view_is(struct world *world, const struct job_view *view, uint64_t number)
{
	CHECK(world, view->number == number, "the answer is about job %" PRIu64 ", not %" PRIu64, view->number, number);
	check_view(world, view, UINT64_MAX);
}

/* What a worker may not do without a view, memory or not; errors about a known job may lack one only when memory is short. */
static void check_answer(struct world *world, struct ask *ask, const struct expected *should)
{
	struct command *c = &ask->command;

	CHECK(world, should->outcome == OUTCOME_ANY || c->outcome == should->outcome,
	      "command of kind %d came to outcome %d, the oracle says %d", (int)c->kind, (int)c->outcome, (int)should->outcome);
	if (topic_command(ask))
		topic_check_answer(world, ask);
	else if (stream_command(ask))
		stream_check_answer(world, ask);
	else if (c->kind == COMMAND_STREAM_LIST)
		stream_check_list(world, c);
	else if (c->kind == COMMAND_OUTPUT_APPEND)
		output_check_answer(world, ask);
	if (c->out.view && should->number)
		check_view_is(world, c->out.view, should->number);
	for (size_t i = 0; i < c->out.view_count; i++) {
		if (c->kind == COMMAND_LIST || c->out.views[i])
			check_view(world, c->out.views[i], UINT64_MAX);
		if (c->kind != COMMAND_JOBS)
			continue;
		CHECK(world, c->out.outcomes[i] == expect_job(world, &c->in.jobs, ask->numbers[i]),
		      "job %" PRIu64 " has outcome %d", ask->numbers[i], (int)c->out.outcomes[i]);
		CHECK(world, !c->out.views[i] || c->out.views[i]->number == ask->numbers[i], "another job's view");
	}
	if (c->kind == COMMAND_KICK && !world->memory_failed)
		CHECK(world, c->out.count == should->count, "kicked %u, the oracle says %" PRIu64, c->out.count, should->count);
	for (size_t i = 0; i < c->out.queue_count; i++) {
		const struct queue_view *view = &c->out.queues[i];
		unsigned q = model_queue(&world->model, view->name);

		CHECK(world, view->paused == world->model.queues[q].paused, "%s: paused", queue_name(q));
		for (int state = 0; state < JOB_STATE_COUNT; state++)
			CHECK(world, view->count[state] == model_queue_jobs(&world->model, q, state), "%s: %s jobs",
			      queue_name(q), job_state_name((enum job_state)state));
		CHECK(world, view->submitted == world->model.queues[q].total[0], "%s: submitted in all", queue_name(q));
	}
}

static void claim_applied(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct claim_wait *claim = claim_find(world, c->in.claim.claim_id);

	if (!claim)
		return;
	CHECK(world, c->outcome != (c->in.claim.wait ? OUTCOME_EMPTY : OUTCOME_PARKED), "a claim that %s",
	      c->in.claim.wait ? "waits heard that there is nothing" : "does not wait was parked");
	if (c->outcome == OUTCOME_PARKED)
		claim->parked = ++world->line;
	if ((c->outcome == OUTCOME_PARKED || c->outcome == OUTCOME_EMPTY) && !world->memory_failed) {
		for (unsigned i = 0; i < claim->queue_count; i++)
			CHECK(world, !model_next_ready(&world->model, claim->queues[i]),
			      "claim %" PRIu64 " got nothing, and %s has work", claim->id, queue_name(claim->queues[i]));
	}
}

static void left_the_line(struct world *world, uint64_t id)
{
	struct claim_wait *claim = claim_find(world, id);

	if (claim) {
		claim->parked = 0;
		claim->uncertain = false;
	}
}

void ask_applied(struct world *world, struct ask *ask, uint64_t end_before)
{
	struct command *c = &ask->command;

	ask->applied = true;
	CHECK(world, (unsigned)c->outcome < OUTCOME_COUNT || group_waits(ask),
	      "a command of kind %d was applied and has no outcome", (int)c->kind);
	if (c->kind == COMMAND_CLAIM)
		claim_applied(world, ask);
	if (c->kind == COMMAND_CLAIM_CANCEL && c->outcome == OUTCOME_OK)
		left_the_line(world, c->in.claim_cancel.claim_id);
	if (stream_command(ask))
		stream_applied(world, ask, end_before);
	if (!group_waits(ask))
		ask->rests_on = expect_rests_on(world, ask, end_before);
	if (world->theme->group)
		group_applied(world, ask);
	world_trace(world, "applied: kind %d, job %" PRIu64 ", outcome %d, rests on %" PRIu64, (int)c->kind, ask->numbers[0],
		    (int)c->outcome, ask->rests_on);
}

void ask_check(struct world *world, struct ask *ask, const struct expected *should)
{
	if (group_waits(ask))
		return;
	if (lacks_memory(world, ask))
		world->refused_memory++;
	else
		check_answer(world, ask, should);
}

void ask_free(struct ask *ask)
{
	command_answer_deinit(&ask->command);
	free(ask->more);
	free(ask);
}

void ask_returned(struct world *world, struct ask *ask)
{
	world->returned++;
	list_remove(&ask->node);
	blob_back(world, ask);
	if (ask->returned)
		ask->returned(world, ask);
	ask->is_back = true;
	if (!ask->is_held)
		ask_free(ask);
}

void asks_drop(struct world *world)
{
	/* What waits for somebody's cancel alone lies in no list. */
	list_each (node, &world->asks) {
		struct ask *ask = container_of(node, struct ask, node), *of = ask->who;

		if (ask->command.kind == COMMAND_GROUP_CANCEL && of->is_back)
			ask_free(of);
	}
	list_each_safe (node, &world->asks) {
		list_remove(node);
		ask_free(container_of(node, struct ask, node));
	}
}
