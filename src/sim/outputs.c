/* Jobs' outputs in the simulated world: workers write to them under their lease, whoever has a handle looks, and an output is
 * closed iff its job is over. Whose a stream is, is remembered with what was told of it, from the event that made it on. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

/* --- those who write and those who look --- */

static void written(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct records_in *records = &c->in.stream_append.records;
	uint64_t content = records->batch ? stream_batch_content(slice_from(records->batch, records->batch_bytes))
					  : stream_blob_content(&records->blob);
	const struct model_stream *stream;
	const struct model_chunk *chunk;

	if (c->outcome != OUTCOME_OK)
		return;
	stream = model_stream(&world->model.streams, c->out.stream->number);
	chunk = stream ? model_chunk_content(stream, content) : NULL;
	CHECK(world, chunk && chunk->end <= sim_store_durable(world->store),
	      "job %" PRIu64 ": output was acknowledged, and is not there", ask->numbers[0]);
	told_chunk(world, stream->number, chunk->offset, chunk->count, content);
	world->streams.outputs++;
}

void output_write(struct world *world, struct ask *ask)
{
	struct stream_append_in *in = &ask->command.in.stream_append;
	struct random *random = &world->random;
	uint64_t serial = ++world->streams.serial;

	in->path = ask_text(ask, OUTPUT_ROOT "%.*s", (int)ask->slices[0].len, ask->slices[0].ptr);
	in->content_type = random_permille(random, 950) ? SLICE("text/plain") : SLICE("text/other");
	if (random_permille(random, 100)) {
		in->records = (struct records_in){.blob = sim_store_blob(world->store, ask_text(ask, "output %" PRIu64, serial)),
						  .count = 1};
	} else {
		in->records = stream_records(ask, ask_text(ask, "output %" PRIu64, serial), 1, (struct slice){0});
	}
	if (random_permille(random, 300))
		in->producer = (struct producer_in){SLICE("o"), random_between(random, 1, 4), 0};
	ask->returned = written;
}

static void looked(struct world *world, struct ask *ask)
{
	const struct stream_view *view = ask->command.out.stream;

	if (view && view->number && ask->command.outcome != OUTCOME_STORAGE)
		check_stream_bytes(world, view);
}

void output_looks(struct world *world)
{
	struct ask *ask;
	struct known job;

	if (!known_any(world, &job))
		return;
	ask = ask_new(world, any_loop(world), COMMAND_STREAM_READ);
	ask->numbers[0] = job.number;
	ask->command.in.stream_read = (struct stream_read_in){
		.path = ask_text(ask, OUTPUT_ROOT "%.*s", JOB_HANDLE_CHARS, job.handle),
		.max_bytes = 1000,
		.watch = random_permille(&world->random, 700),
	};
	ask->returned = looked;
	ask_send(world, ask);
}

/* --- what the oracle says --- */

static const struct version *version_of(const struct world *world, uint64_t job)
{
	const struct model_job *model = model_live(&world->model, job);

	return model ? model_last(model) : NULL;
}

static bool is_over(const struct version *v)
{
	return job_state_is_terminal((enum job_state)v->state);
}

/* To somebody with a valid lease. */
enum outcome output_expect(const struct world *world, const struct ask *ask)
{
	const struct stream_append_in *in = &ask->command.in.stream_append;
	struct model_stream *stream = model_stream_at(&world->model.streams, in->path);

	if (stream && stream->closed_end) /* that of the life before a kick, when memory was short */
		return OUTCOME_ANY;
	if (stream)
		return stream_expect_append(world, in, stream);
	if (world->model.streams.live >= world->config.streams_max)
		return OUTCOME_FULL;
	return world->full ? OUTCOME_NO_SPACE : OUTCOME_OK;
}

/* Where there is no stream. */
enum outcome output_expect_read(const struct world *world, const struct ask *ask)
{
	const struct version *v = version_of(world, ask->numbers[0]);

	if (!v)
		return OUTCOME_NOT_FOUND;
	if (v->expired)
		return OUTCOME_GONE;
	return is_over(v) || !ask->command.in.stream_read.watch ? OUTCOME_OK : OUTCOME_PARKED;
}

uint64_t output_rests_on(const struct world *world, const struct ask *ask)
{
	const struct model_stream *stream = model_stream_at(&world->model.streams, ask->command.in.stream_append.path);
	const struct model_job *job = model_job(&world->model, ask->numbers[0]);

	switch ((unsigned)ask->command.outcome) {
	case OUTCOME_NOT_FOUND:
	case OUTCOME_FENCED:
	case OUTCOME_GONE:
	case OUTCOME_CANCELED:
	case OUTCOME_ALREADY:
		return job ? model_last(job)->end : 0;
	default:
		return stream ? stream->changed_end : 0;
	}
}

void output_check_answer(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct stream_view *view = c->out.stream;
	const struct version *v = version_of(world, ask->numbers[0]);

	CHECK(world, view || c->kind == COMMAND_OUTPUT_APPEND || c->outcome == OUTCOME_NOT_FOUND, "a look that sees nothing");
	if (!view)
		return;
	if (c->kind == COMMAND_OUTPUT_APPEND)
		stream_check_view(world, view, model_stream_at(&world->model.streams, c->in.stream_append.path));
	else
		CHECK(world, v && view->number == 0 && view->next_offset == 0 && view->closed == is_over(v),
		      "job %" PRIu64 ": an output that is not there", ask->numbers[0]);
}

/* --- events --- */

static void tap_written(struct world *world, const struct stream_event *e, uint64_t job)
{
	const struct ask *ask = world->applying;
	const struct version *v = version_of(world, job);

	CHECK(world, world->cause == CAUSE_COMMAND && ask->command.kind == COMMAND_OUTPUT_APPEND && ask->numbers[0] == job,
	      "job %" PRIu64 ": output by nobody", job);
	CHECK(world, v && version_is_held(v) && v->token != 0 && v->token == ask->token,
	      "job %" PRIu64 ": output by somebody without the valid token", job);
	CHECK(world, e->type == STREAM_CREATED || slice_eq(e->producer, ask->command.in.stream_append.producer.id),
	      "job %" PRIu64 ": output by somebody else", job);
}

bool output_tap(struct world *world, const struct stream_event *e)
{
	struct told *told = told_of(world, e->number);
	const struct model_stream *stream = model_stream(&world->model.streams, e->number);
	const struct version *v;

	if (e->type == STREAM_CREATED) {
		told->job = path_is_output(e->path) && world->applying ? world->applying->numbers[0] : 0;
		if (told->job)
			tap_written(world, e, told->job);
		return told->job;
	}
	if (!told->job || (e->type != STREAM_APPENDED && e->type != STREAM_DELETED))
		return false;
	v = version_of(world, told->job);
	if (e->type == STREAM_DELETED)
		CHECK(world, !v || v->expired || (stream->closed_end && !is_over(v)), "job %" PRIu64 ": its output was deleted",
		      told->job);
	else if (e->count == 0)
		CHECK(world, v && !v->expired && is_over(v) && e->flags & STREAM_CLOSED, "job %" PRIu64 ": its output was closed",
		      told->job);
	else
		tap_written(world, e, told->job);
	return true;
}

/* Whoever waited for the first word hangs under the job's key. */
bool output_wake(struct world *world, const struct stream_wake *wake, uint64_t durable)
{
	const struct stream_view *view = wake->view;

	if (view && wake->key == view->key && view->number)
		return false;
	if (view) {
		CHECK(world, path_is_output(view->path) && wake->key == handle_key(output_handle(view->path)),
		      "a wake for no stream and no job");
		CHECK(world, view->number || view->closed, "a wake for nothing");
		return view->number == 0;
	}
	for (uint64_t number = 1; number < world->model.next_number; number++) {
		const struct model_job *job = model_job(&world->model, number);
		const struct version *v = job ? model_last(job) : NULL;

		if (v && (v->forgotten || v->expired) && v->end <= durable)
			return true;
	}
	return false;
}

/* After a turn, unless memory was short a moment ago. */
void output_check(struct world *world, const struct model_stream *stream)
{
	uint64_t job = told_of(world, stream->number)->job;
	const struct version *v = job ? version_of(world, job) : NULL;

	if (!job)
		return;
	CHECK(world, v && !v->expired, "job %" PRIu64 " is gone, and its output is there", job);
	CHECK(world, (stream->closed_end != 0) == is_over(v), "job %" PRIu64 " is %s, and its output is %s", job,
	      job_state_name((enum job_state)v->state), stream->closed_end ? "closed" : "open");
}
