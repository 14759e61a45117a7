/* The fixture's short ways of asking. */
#include "sequencer/sequencer_fixture.h"

#include "base/mem.h"
#include "base/panic.h"

static struct job_ref ref_of(const struct job_view *view, enum outcome outcome)
{
	struct job_ref ref = {.outcome = outcome};

	if (view) {
		memcpy(ref.handle, view->handle, JOB_HANDLE_CHARS);
		ref.number = view->number;
	}
	return ref;
}

struct submit_in submit_of(struct slice queue, struct slice body)
{
	return (struct submit_in){
		.queue = queue,
		.content_type = SLICE("text/plain"),
		.body = body,
		.retain_ms = 60000,
		.lease_ms = 10000,
		.priority = 100,
		.max_attempts = 3,
	};
}

struct job_ref fixture_submit(struct fixture *f, struct submit_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_SUBMIT, .in.submit = in}};
	struct job_ref ref;

	fixture_ask(f, &ask, 0);
	ref = ref_of(ask.c.out.view, ask.c.outcome);
	ask_deinit(&ask);
	return ref;
}

struct job_ref fixture_job(struct fixture *f, struct slice queue)
{
	struct job_ref ref = fixture_submit(f, submit_of(queue, SLICE("body")));

	ENSURE(ref.outcome == OUTCOME_OK);
	return ref;
}

enum outcome fixture_cancel(struct fixture *f, const struct job_ref *job, bool forget)
{
	struct ask ask = {.c = {.kind = COMMAND_CANCEL, .in.cancel = {handle_of(job), forget}}};

	fixture_ask(f, &ask, 0);
	ask_deinit(&ask);
	return ask.c.outcome;
}

struct claim_in claim_of(const struct slice *queue)
{
	return (struct claim_in){.queues = queue, .queue_count = 1, .worker = SLICE("worker"), .max = 1};
}

struct grant fixture_claim(struct fixture *f, struct slice queue)
{
	struct ask ask = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&queue)}};
	struct grant grant;

	fixture_ask(f, &ask, 0);
	ENSURE(ask.c.outcome == OUTCOME_OK && ask.c.out.lease_count == 1);
	grant = (struct grant){ref_of(ask.c.out.leases[0].view, OUTCOME_OK), ask.c.out.leases[0], OUTCOME_OK};
	grant.lease.view = NULL;
	ask_deinit(&ask);
	return grant;
}

struct grant fixture_run(struct fixture *f, struct slice queue)
{
	struct grant grant = fixture_claim(f, queue);

	ENSURE(fixture_delivered(f, &grant, true) == OUTCOME_OK);
	return grant;
}

enum outcome fixture_delivered(struct fixture *f, const struct grant *grant, bool delivered)
{
	struct ask ask = {.c = {.kind = COMMAND_DELIVERED, .in.delivered = {&grant->lease, 1, delivered, false}}};

	return fixture_ask(f, &ask, 0);
}

struct worker_in worker_of(const struct grant *grant)
{
	return (struct worker_in){
		.handle = handle_of(&grant->job),
		.token = slice_str(grant->lease.token),
		.progress = -1,
		.delay_ms = UINT64_MAX,
	};
}

enum outcome fixture_tell(struct fixture *f, enum command_kind kind, struct worker_in in)
{
	struct ask ask = {.c = {.kind = kind, .in.worker = in}};

	fixture_ask(f, &ask, 0);
	ask_deinit(&ask);
	return ask.c.outcome;
}

static struct job_view without_strings(const struct job_view *view)
{
	struct job_view copy = view ? *view : (struct job_view){0};

	copy.queue = copy.name = copy.content_type = copy.message = copy.error = copy.result_type = copy.worker =
		(struct slice){0};
	copy.pin = NULL;
	return copy;
}

struct job_view fixture_look(struct fixture *f, const struct job_ref *job)
{
	struct slice handle = handle_of(job);
	struct ask ask = {.c = {.kind = COMMAND_JOBS, .in.jobs = {.handles = &handle, .count = 1}}};
	struct job_view view;

	fixture_ask(f, &ask, 0);
	view = without_strings(ask.c.out.views[0]);
	ask_deinit(&ask);
	return view;
}

enum outcome fixture_watch(struct fixture *f, const struct job_ref *job, enum job_until until, uint32_t revision, unsigned thread)
{
	struct slice handle = handle_of(job);
	struct ask ask = {.c = {.kind = COMMAND_JOBS, .in.jobs = {&handle, 1, until, revision, true, true}}};

	fixture_ask(f, &ask, thread);
	ask_deinit(&ask);
	return ask.c.outcome;
}

struct queue_view fixture_queue(struct fixture *f, struct slice queue)
{
	struct ask ask = {.c = {.kind = COMMAND_QUEUE, .in.queue.queue = queue}};
	struct queue_view view = {0};

	if (fixture_ask(f, &ask, 0) == OUTCOME_OK)
		view = ask.c.out.queues[0];
	view.name = (struct slice){0};
	ask_deinit(&ask);
	return view;
}

enum outcome fixture_pause(struct fixture *f, struct slice queue, bool paused)
{
	struct ask ask = {.c = {.kind = COMMAND_QUEUE_SET, .in.queue = {queue, paused}}};

	fixture_ask(f, &ask, 0);
	ask_deinit(&ask);
	return ask.c.outcome;
}

uint32_t fixture_kick(struct fixture *f, struct slice queue, uint32_t count)
{
	struct ask ask = {.c = {.kind = COMMAND_KICK, .in.kick = {queue, count}}};

	ENSURE(fixture_ask(f, &ask, 0) == OUTCOME_OK);
	return ask.c.out.count;
}

void fixture_restart(struct fixture *f)
{
	fixture_drop_sent(f);
	sequencer_free(f->s);
	ENSURE(f->pins == 0);
	f->body_count = f->commands_out = 0;
	f->s = sequencer_new(&f->config, &f->store, (const uint8_t *)"another seed now");
	ENSURE(f->s);
	for (size_t i = 0; i < f->entry_count; i++)
		ENSURE(sequencer_replay(f->s, &f->entries[i].replay) == 0);
	ENSURE(sequencer_start(f->s, f->now_ms) == 0);
	fixture_sync(f);
	sequencer_check(f->s);
}
