/* A job's output: what its workers write while they run, as a stream.
 *
 * It is an ordinary stream, at OUTPUT_ROOT and the job's handle, so it is read, followed, kept and rescued like every other;
 * doors refuse that path to everyone else. What makes it a job's stands here:
 *
 *  1. It is there from the first append on, and has that one's content type. Before, readers see an empty stream at the place
 *     (0, 0), which is the beginning of any; whose thread waits there is noted in the job's `struct output`.
 *  2. It is closed iff its job is over, and deleted when the job expires or is forgotten. A failed job that is kicked begins a
 * new one. `settle` makes it so behind each event about the job; at the start, since the journal may end between the two; and,
 *     when memory was short, again after a while.
 *  3. A job without output costs nothing but a look into a table when it changes.
 *
 * Nothing here is journalled but the stream itself. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

enum { OUTPUT_ROOT_CHARS = sizeof(OUTPUT_ROOT) - 1, OUTPUT_PATH_CHARS = OUTPUT_ROOT_CHARS + JOB_HANDLE_CHARS, LATE_MS = 1000 };

static const struct slice untold_type = {OUTPUT_TYPE, sizeof(OUTPUT_TYPE) - 1};

struct output {
	struct hash_node node; /* in s->outputs, by the job's number */
	struct list peers;     /* in s->outputs_settled, or in s->outputs_late */
	uint64_t job;
	struct stream *stream; /* NULL: nothing was appended yet, and somebody waits */
	uint32_t watch;        /* loop threads whose readers wait for the first append, a bit each */
};

/* --- where they are found --- */

static uint64_t output_hash(const struct sequencer *s, uint64_t job)
{
	return hash_u64(&s->jobs.hash_key, job, 2);
}

static struct output *output_find(const struct sequencer *s, uint64_t job)
{
	uint64_t hash;

	if (s->outputs.count == 0)
		return NULL;
	hash = output_hash(s, job);
	for (struct hash_node *n = hash_first(&s->outputs, hash); n; n = hash_next(&s->outputs, n)) {
		struct output *output = container_of(n, struct output, node);

		if (output->job == job)
			return output;
	}
	return NULL;
}

/* Finds or makes; NULL: no memory. */
static struct output *output_get(struct sequencer *s, uint64_t job)
{
	struct output *output = output_find(s, job);

	if (output)
		return output;
	output = mem_zalloc(sizeof(*output));
	if (!output || hash_insert(&s->outputs, &output->node, output_hash(s, job)))
		return mem_free(output);
	output->job = job;
	list_push_back(&s->outputs_settled, &output->peers);
	return output;
}

static void output_free(struct sequencer *s, struct output *output)
{
	hash_remove(&s->outputs, &output->node);
	list_remove(&output->peers);
	mem_free(output);
}

/* The number of the job whose output lies there; 0: it is no such path. */
static uint64_t job_of_path(const struct sequencer *s, struct slice path)
{
	if (path.len != OUTPUT_PATH_CHARS || !path_is_output(path))
		return 0;
	return handle_number(s, slice_from(path.ptr + OUTPUT_ROOT_CHARS, JOB_HANDLE_CHARS));
}

static uint64_t path_make(const struct sequencer *s, uint64_t job, char ret_path[OUTPUT_PATH_CHARS])
{
	memcpy(ret_path, OUTPUT_ROOT, OUTPUT_ROOT_CHARS);
	return handle_make(s, job, ret_path + OUTPUT_ROOT_CHARS);
}

static bool is_over(const struct job *job)
{
	return job_state_is_terminal((enum job_state)job->state);
}

/* --- who waits for the first append --- */

/* The empty stream that readers see until there is one; NULL: no memory. */
static struct stream_view *view_untold(struct slice path, uint64_t key, bool closed)
{
	struct stream_view *view = stream_view_room(path.len + untold_type.len, 0);
	char *strings = (char *)(view + 1);

	if (!view)
		return NULL;
	memcpy(strings, path.ptr, path.len);
	memcpy(strings + path.len, untold_type.ptr, untold_type.len);
	view->refs = 1;
	view->key = key;
	view->closed = closed;
	view->path = slice_from(strings, path.len);
	view->content_type = slice_from(strings + path.len, untold_type.len);
	return view;
}

/* They hang elsewhere than the stream's own readers, and stand at (0, 0): told that it has begun, each reads for itself. */
static bool wake(struct sequencer *s, const struct output *output, unsigned thread, uint64_t gate)
{
	const struct job *job = jobs_find(&s->jobs, output->job);
	struct stream_wake *wake = mem_zalloc(sizeof(*wake));
	char path[OUTPUT_PATH_CHARS];

	if (!wake)
		return false;
	wake->message = (struct message){.kind = MESSAGE_STREAM_WAKE, .thread = (uint8_t)thread};
	wake->key = path_make(s, output->job, path);
	if (output->stream)
		wake->view = stream_view_new(s, output->stream, 0);
	else if (job && !job->expired)
		wake->view = view_untold(slice_from(path, sizeof(path)), wake->key, is_over(job));
	if (!wake->view && job && !job->expired) {
		mem_free(wake);
		return false;
	}
	s->stats.wakes_total++;
	message_send(s, &wake->message, gate);
	return true;
}

/* Without memory the watch stays, as that of a stream does. */
static void wake_waiting(struct sequencer *s, struct output *output)
{
	for (unsigned t = 0; output->watch >> t; t++) {
		if ((output->watch >> t & 1) && wake(s, output, t, s->appended_end))
			output->watch &= ~(1u << t);
	}
}

/* --- the job's end is the output's --- */

static enum outcome settle_stream(struct sequencer *s, struct output *output, const struct job *job)
{
	struct stream_event e = {.type = STREAM_DELETED};
	struct stream *stream = output->stream;
	bool closed = stream->flags & STREAM_CLOSED, over = job && is_over(job);
	enum outcome outcome;

	if (!job || job->expired || (closed && !over)) {
		outcome = stream_emit(s, &e, stream, (struct slice){0});
		if (outcome == OUTCOME_OK)
			output->stream = NULL;
		return outcome;
	}
	if (closed || !over)
		return OUTCOME_OK;
	e = (struct stream_event){.type = STREAM_APPENDED, .offset = stream->next_offset, .flags = STREAM_CLOSED};
	return stream_emit(s, &e, stream, (struct slice){0});
}

/* `output` is void afterwards unless there is a stream. */
static enum outcome settle(struct sequencer *s, struct output *output)
{
	const struct job *job = jobs_find(&s->jobs, output->job);
	enum outcome outcome = output->stream ? settle_stream(s, output, job) : OUTCOME_OK;

	list_remove(&output->peers);
	if (outcome != OUTCOME_OK) {
		s->outputs_late_ms = s->now_ms + LATE_MS;
		list_push_back(&s->outputs_late, &output->peers);
		return outcome;
	}
	list_push_back(&s->outputs_settled, &output->peers);
	if (!job || job->expired || is_over(job))
		wake_waiting(s, output);
	/* Who could not be woken for want of memory looks again when his own time is over. */
	if (!output->stream && (!job || is_over(job) || !output->watch))
		output_free(s, output);
	return OUTCOME_OK;
}

void output_follow(struct sequencer *s, uint64_t job)
{
	struct output *output = output_find(s, job);

	if (output)
		(void)settle(s, output);
}

void outputs_turn(struct sequencer *s)
{
	struct list late;

	if (list_empty(&s->outputs_late) || s->outputs_late_ms > s->now_ms || s->failed)
		return;
	list_init(&late);
	list_splice(&late, &s->outputs_late);
	while (!list_empty(&late))
		(void)settle(s, list_first(&late, struct output, peers));
}

uint64_t outputs_next_ms(const struct sequencer *s)
{
	return list_empty(&s->outputs_late) ? UINT64_MAX : s->outputs_late_ms;
}

/* --- the start, the end --- */

int outputs_restore(struct sequencer *s)
{
	struct stream *stream;

	for (uint64_t number = 0; (stream = stream_next_after(&s->streams, number));) {
		uint64_t job = job_of_path(s, stream_path(stream));
		struct output *output = job ? output_get(s, job) : NULL;

		if (job && !output)
			return -ENOMEM;
		number = stream->number;
		if (!job)
			continue;
		output->stream = stream;
		(void)settle(s, output); /* what lacks room or memory now comes again */
	}
	return 0;
}

void outputs_init(struct sequencer *s)
{
	hash_init(&s->outputs);
	list_init(&s->outputs_settled);
	list_init(&s->outputs_late);
}

void outputs_free(struct sequencer *s)
{
	list_splice(&s->outputs_settled, &s->outputs_late);
	while (!list_empty(&s->outputs_settled))
		output_free(s, list_first(&s->outputs_settled, struct output, peers));
	hash_deinit(&s->outputs);
}

static bool is_settled(const struct output *output, const struct job *job)
{
	bool closed = output->stream && output->stream->flags & STREAM_CLOSED;

	if (!output->stream)
		return job && !is_over(job) && output->watch;
	return job && !job->expired && closed == is_over(job);
}

void outputs_check(const struct sequencer *s)
{
	size_t count = 0, streams = 0;

	list_each (node, &s->outputs_settled) {
		const struct output *output = container_of(node, struct output, peers);

		ENSURE(is_settled(output, jobs_find(&s->jobs, output->job)));
		count++;
	}
	list_each (node, &s->outputs_late)
		count += container_of(node, struct output, peers)->stream != NULL;
	ENSURE(count == s->outputs.count);
	for (const struct stream *stream = stream_next_after(&s->streams, 0); stream;
	     stream = stream_next_after(&s->streams, stream->number)) {
		uint64_t job = job_of_path(s, stream_path(stream));

		streams += job != 0;
		ENSURE(!job || output_find(s, job)->stream == stream);
	}
	ENSURE(streams <= count);
}

/* --- reading what is not there yet --- */

enum outcome output_look(struct sequencer *s, const struct stream_read_in *in, unsigned thread, struct stream_view **ret_view,
			 uint64_t *gate)
{
	const struct job *job = jobs_find(&s->jobs, job_of_path(s, in->path));
	struct output *output;
	char path[OUTPUT_PATH_CHARS];

	if (!job)
		return OUTCOME_NOT_FOUND;
	if (job->changed_end > *gate)
		*gate = job->changed_end;
	*ret_view = view_untold(in->path, path_make(s, job->number, path), is_over(job));
	if (!*ret_view)
		return OUTCOME_NO_MEMORY;
	if (job->expired)
		return OUTCOME_GONE;
	if (in->from == STREAM_FROM_OFFSET && (in->number || in->offset))
		return OUTCOME_OTHER;
	if (is_over(job) || in->look || !in->watch)
		return OUTCOME_OK;
	output = output_get(s, job->number);
	if (!output) {
		*ret_view = stream_view_unref(*ret_view);
		return OUTCOME_NO_MEMORY;
	}
	output->watch |= 1u << thread;
	return OUTCOME_PARKED;
}

/* --- appending --- */

static enum outcome stream_begin(struct sequencer *s, struct output *output, const struct stream_append_in *in)
{
	struct stream_event e = {
		.type = STREAM_CREATED,
		.number = s->streams.next_number,
		.path = in->path,
		.content_type = in->content_type,
		.flags = in->json ? STREAM_JSON : 0,
	};
	enum outcome outcome = s->streams.count < s->config.streams_max ? OUTCOME_OK : OUTCOME_FULL;

	if (outcome == OUTCOME_OK)
		outcome = stream_emit(s, &e, NULL, (struct slice){0});
	if (outcome == OUTCOME_OK)
		output->stream = stream_find_number(&s->streams, e.number);
	else if (!output->watch)
		output_free(s, output);
	return outcome;
}

static uint64_t bytes_of(const struct records_in *records)
{
	return records->batch ? records->batch_bytes : records->blob.size_bytes;
}

/* The output with a stream that takes these records. */
static enum outcome output_open(struct sequencer *s, const struct job *job, const struct stream_append_in *in,
				struct output **ret_output)
{
	struct output *output = output_find(s, job->number);
	enum outcome outcome = output ? settle(s, output) : OUTCOME_OK;

	if (outcome != OUTCOME_OK)
		return outcome;
	if (bytes_of(&in->records) > s->config.output_bytes_max)
		return OUTCOME_OUTPUT_FULL;
	output = output_get(s, job->number);
	if (!output)
		return OUTCOME_NO_MEMORY;
	*ret_output = output;
	if (!output->stream)
		return stream_begin(s, output, in);
	if (output->stream->bytes + bytes_of(&in->records) > s->config.output_bytes_max &&
	    !producer_repeats(s, output->stream, &in->producer)) /* what was appended before is no more of it */
		return OUTCOME_OUTPUT_FULL;
	return OUTCOME_OK;
}

void command_output_append(struct sequencer *s, struct command *c)
{
	const struct stream_append_in *in = &c->in.stream_append;
	struct worker_in worker = {.handle = output_handle(in->path), .token = in->token};
	struct output *output = NULL;
	struct job *job = NULL;
	uint64_t gate, end;
	enum outcome outcome = worker_leased(s, &worker, &job, &gate);

	if (outcome == OUTCOME_OK) {
		outcome = output_open(s, job, in, &output);
		gate = s->appended_end;
	}
	if (outcome != OUTCOME_OK) {
		reply(s, c, outcome, gate);
		return;
	}
	end = output->stream->next_offset;
	command_stream_append(s, c);
	if (output->stream->next_offset != end)
		wake_waiting(s, output);
}
