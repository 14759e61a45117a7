/* What the oracle says to a command about streams, and whether the answer is what the model holds. */
#include "sim/world.h"
#include "stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>

bool stream_command(const struct ask *ask)
{
	enum command_kind kind = ask->command.kind;

	return kind == COMMAND_STREAM_CREATE || kind == COMMAND_STREAM_APPEND || kind == COMMAND_STREAM_DELETE ||
	       kind == COMMAND_STREAM_READ;
}

static struct slice path_of(const struct command *c)
{
	if (c->kind == COMMAND_STREAM_CREATE)
		return c->in.stream_create.path;
	return c->kind == COMMAND_STREAM_APPEND ? c->in.stream_append.path : c->in.stream_read.path;
}

static struct model_stream *stream_of(const struct world *world, const struct command *c)
{
	return model_stream_at(&world->model.streams, path_of(c));
}

/* --- outcomes --- */

struct fork {
	const struct model_stream *source;
	uint64_t offset, sub;
};

/* Whether (number, offset) is a place of the stream: its own, or one of those it has from its sources. */
static bool is_place(const struct model_stream *stream, uint64_t number, uint64_t offset)
{
	const struct model_stream *at = stream;
	uint64_t most = UINT64_MAX;

	for (; at && at->number != number; at = at->source)
		most = at->source && at->fork_offset < most ? at->fork_offset : most;
	return at && offset <= most && offset >= stream->earliest;
}

static enum outcome expect_within(const struct model_stream *source, uint64_t sub, struct fork *fork)
{
	struct model_piece *pieces, piece = {0};
	uint64_t value_bytes = 0;

	if (model_pieces(source, fork->offset, &pieces))
		piece = pieces[0];
	free(pieces);
	if (!piece.chunk || piece.from > fork->offset)
		return OUTCOME_RANGE;
	if (source->flags & STREAM_JSON) {
		fork->offset += sub;
		return fork->offset <= piece.end ? OUTCOME_OK : OUTCOME_RANGE;
	}
	value_bytes = piece.chunk->value_bytes[fork->offset - piece.chunk->offset];
	value_bytes = value_bytes < piece.value_bytes ? value_bytes : piece.value_bytes;
	fork->offset += sub == value_bytes;
	fork->sub = sub == value_bytes ? 0 : sub;
	return sub <= value_bytes ? OUTCOME_OK : OUTCOME_RANGE;
}

/* `stream`: what is at the fork's path already, if anything. */
static enum outcome expect_fork(const struct world *world, const struct stream_create_in *in, const struct model_stream *stream,
				struct fork *fork)
{
	const struct model_stream *source = model_stream_at(&world->model.streams, in->source);

	fork->source = source;
	if (!source)
		return OUTCOME_NO_SOURCE;
	if (source->deleted_end && !(stream && stream->source == source))
		return OUTCOME_CONFLICT;
	if (in->content_type.len && !slice_eq_nocase(in->content_type, slice_str(source->type)))
		return OUTCOME_TYPE;
	fork->offset = source->next_offset;
	if (in->has_fork_offset) {
		bool start = !in->fork_number && !in->fork_offset;

		fork->offset = start ? source->earliest : in->fork_offset;
		if ((!start && !is_place(source, in->fork_number, in->fork_offset)) || fork->offset > source->next_offset)
			return OUTCOME_RANGE;
	}
	if (source->depth >= FORK_DEPTH_MAX)
		return OUTCOME_RANGE;
	return in->fork_sub ? expect_within(source, in->fork_sub, fork) : OUTCOME_OK;
}

static bool same_life(const struct stream_create_in *in, const struct model_stream *stream, const struct model_stream *source)
{
	bool inherits = source && !in->has_ttl && !in->expires_at_ms;
	uint64_t flags =
		(in->closed ? STREAM_CLOSED : 0u) | ((source ? source->flags & STREAM_JSON : in->json) ? STREAM_JSON : 0u);

	flags |= (inherits ? source->flags & STREAM_HAS_TTL : in->has_ttl) ? STREAM_HAS_TTL : 0u;
	return stream->flags == flags && stream->ttl_s == (inherits ? source->ttl_s : in->ttl_s) &&
	       stream->expires_at_ms == (inherits ? source->expires_at_ms : in->expires_at_ms) &&
	       stream->max_age_ms == in->max_age_ms && stream->max_bytes == in->max_bytes;
}

static enum outcome expect_again(const struct stream_create_in *in, const struct model_stream *stream, const struct fork *fork)
{
	struct slice type = fork->source && !in->content_type.len ? slice_str(fork->source->type) : in->content_type;
	bool anywhere = fork->source && !in->has_fork_offset;

	if (stream->deleted_end || stream->source != fork->source || !same_life(in, stream, fork->source) ||
	    !slice_eq_nocase(slice_str(stream->type), type))
		return OUTCOME_CONFLICT;
	return anywhere || (stream->fork_offset == fork->offset && stream->fork_sub == fork->sub) ? OUTCOME_SAME
												  : OUTCOME_CONFLICT;
}

static enum outcome expect_create(const struct world *world, const struct stream_create_in *in, const struct model_stream *stream)
{
	struct fork fork = {0};
	enum outcome outcome = in->source.len ? expect_fork(world, in, stream, &fork) : OUTCOME_OK;

	if (stream && (outcome == OUTCOME_OK || stream->deleted_end))
		return expect_again(in, stream, &fork);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (world->model.streams.live >= world->config.streams_max)
		return OUTCOME_FULL;
	return world->full ? OUTCOME_NO_SPACE : OUTCOME_OK;
}

static enum outcome expect_producer(const struct producer_in *in, const struct model_producer *known)
{
	if (!known)
		return in->seq ? OUTCOME_GAP : OUTCOME_OK;
	if (in->epoch != known->epoch)
		return in->epoch < known->epoch ? OUTCOME_STALE : in->seq ? OUTCOME_EPOCH_START : OUTCOME_OK;
	if (in->seq <= known->seq)
		return OUTCOME_SAME;
	return in->seq == known->seq + 1 ? OUTCOME_OK : OUTCOME_GAP;
}

static enum outcome expect_closed(const struct stream_append_in *in, const struct model_producer *known)
{
	bool before = known && expect_producer(&in->producer, known) == OUTCOME_SAME;

	return before || (in->close && in->records.count == 0) ? OUTCOME_SAME : OUTCOME_CLOSED;
}

enum outcome stream_expect_append(const struct world *world, const struct stream_append_in *in, struct model_stream *stream)
{
	const struct model_producer *known;
	enum outcome outcome;

	if (!stream)
		return OUTCOME_NOT_FOUND;
	if (stream->deleted_end)
		return OUTCOME_GONE;
	known = in->producer.id.len ? model_producer(stream, in->producer.id) : NULL;
	if (stream->closed_end)
		return expect_closed(in, known);
	if (in->records.count && !slice_eq_nocase(slice_str(stream->type), in->content_type))
		return OUTCOME_TYPE;
	outcome = in->producer.id.len ? expect_producer(&in->producer, known) : OUTCOME_OK;
	if (outcome != OUTCOME_OK)
		return outcome;
	/* All of one length. */
	if (in->stream_seq.len && stream->stream_seq[0] &&
	    memcmp(in->stream_seq.ptr, stream->stream_seq, in->stream_seq.len) <= 0)
		return OUTCOME_SEQ;
	if (in->producer.id.len && !known && stream->producer_count >= world->config.producers_max)
		return OUTCOME_FULL;
	return world->full && in->records.count ? OUTCOME_NO_SPACE : OUTCOME_OK;
}

static uint64_t read_offset(const struct stream_read_in *in, const struct model_stream *stream)
{
	if (in->from == STREAM_FROM_START || (in->from == STREAM_FROM_OFFSET && !in->number && !in->offset))
		return stream->earliest;
	return in->from == STREAM_FROM_NOW || in->offset > stream->next_offset ? stream->next_offset : in->offset;
}

static enum outcome expect_read(const struct stream_read_in *in, const struct model_stream *stream)
{
	if (!stream)
		return OUTCOME_NOT_FOUND;
	if (stream->deleted_end)
		return OUTCOME_GONE;
	if (in->look)
		return OUTCOME_OK;
	/* (0, 0) is the beginning of every stream. */
	if (in->from == STREAM_FROM_OFFSET && (in->number || in->offset) && !is_place(stream, in->number, in->offset))
		return OUTCOME_OTHER;
	return in->watch && !stream->closed_end && !model_has(stream, read_offset(in, stream), UINT64_MAX) ? OUTCOME_PARKED
													   : OUTCOME_OK;
}

struct expected stream_expect(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	struct model_stream *stream = stream_of(world, c);

	if (c->kind == COMMAND_STREAM_CREATE)
		return (struct expected){.outcome = expect_create(world, &c->in.stream_create, stream)};
	if (c->kind == COMMAND_STREAM_APPEND)
		return (struct expected){.outcome = stream_expect_append(world, &c->in.stream_append, stream)};
	if (c->kind == COMMAND_STREAM_READ && !stream && path_is_output(c->in.stream_read.path))
		return (struct expected){.outcome = output_expect_read(world, ask)};
	if (c->kind == COMMAND_STREAM_READ)
		return (struct expected){.outcome = expect_read(&c->in.stream_read, stream)};
	return (struct expected){.outcome = !stream ? OUTCOME_NOT_FOUND : stream->deleted_end ? OUTCOME_GONE : OUTCOME_OK};
}

/* A stream's absence rests on the end of the last one that was there. */
uint64_t stream_rests_on(struct world *world, const struct ask *ask)
{
	const struct model_stream *stream = stream_of(world, &ask->command);

	if (ask->command.outcome == OUTCOME_FULL)
		return 0;
	if (!stream)
		stream = model_stream_last(&world->model.streams, path_of(&ask->command));
	if (!stream || stream->freed_end)
		return stream ? stream->freed_end : 0;
	return stream->deleted_end ? stream->deleted_end : stream->changed_end;
}

/* --- answers, right after the command was applied --- */

void stream_check_view(struct world *world, const struct stream_view *view, const struct model_stream *stream)
{
	CHECK(world, view->number == stream->number && view->key == stream_key(stream->number), "another stream's view");
	CHECK(world, view->next_offset == stream->next_offset && view->earliest_offset == stream->earliest,
	      "stream %" PRIu64 " goes from %" PRIu64 " to %" PRIu64 ", it is said from %" PRIu64 " to %" PRIu64, stream->number,
	      stream->earliest, stream->next_offset, view->earliest_offset, view->next_offset);
	CHECK(world, view->bytes == model_bytes(stream), "stream %" PRIu64 ": %" PRIu64 " bytes, the oracle says %" PRIu64,
	      stream->number, view->bytes, model_bytes(stream));
	CHECK(world, view->closed == (stream->closed_end != 0), "stream %" PRIu64 ": closed or not", stream->number);
	CHECK(world,
	      view->created_ms == stream->created_ms && view->expires_at_ms == stream->expires_at_ms &&
		      view->ttl_s == stream->ttl_s && view->has_ttl == ((stream->flags & STREAM_HAS_TTL) != 0) &&
		      view->json == ((stream->flags & STREAM_JSON) != 0) && view->max_age_ms == stream->max_age_ms &&
		      view->max_bytes == stream->max_bytes,
	      "stream %" PRIu64 ": its times", stream->number);
	CHECK(world, slice_eq(view->path, slice_str(stream->path)) && slice_eq(view->content_type, slice_str(stream->type)),
	      "stream %" PRIu64 ": its path and type", stream->number);
}

/* A page has all there are from where it begins to where the next one does, in their order. */
void stream_check_list(struct world *world, const struct command *c)
{
	const struct stream_list_in *in = &c->in.stream_list;
	size_t count = 0;

	if (c->outcome != OUTCOME_OK)
		return;
	CHECK(world, c->out.stream_count <= in->limit, "more streams than were asked for");
	for (uint64_t number = in->after + 1; number < world->model.streams.next_number; number++) {
		const struct model_stream *stream = model_stream(&world->model.streams, number);

		if (c->out.next && number > c->out.next)
			break;
		if (!stream || stream->deleted_end || strncmp(stream->path, "__", 2) == 0 ||
		    !slice_starts_with(slice_str(stream->path), in->prefix))
			continue;
		CHECK(world, count < c->out.stream_count, "stream %" PRIu64 " is not listed", number);
		stream_check_view(world, c->out.streams[count++], stream);
	}
	CHECK(world, count == c->out.stream_count, "%zu streams are listed, there are %zu", c->out.stream_count, count);
}

/* How many of the runs are told. */
static size_t runs_wanted(const struct model_run *runs, size_t count, uint64_t max_bytes)
{
	size_t n = 0;
	uint64_t bytes = 0;

	while (n < count && n < STREAM_CHUNKS_MAX) {
		bytes += runs[n].ref.size_bytes;
		if (n && bytes > max_bytes)
			break;
		n++;
	}
	return n;
}

static void check_chunk(struct world *world, const struct stream_chunk_view *is, const struct model_run *should)
{
	CHECK(world, is->first_offset == should->first_offset && is->first_offset + is->count == should->end,
	      "records from %" PRIu64 " to %" PRIu64 ", should be from %" PRIu64 " to %" PRIu64, is->first_offset,
	      is->first_offset + is->count, should->first_offset, should->end);
	CHECK(world, is->ref.place == should->ref.place && is->ref.kind == should->ref.kind && is->pin,
	      "stream %" PRIu64 ": the bytes of %" PRIu64, should->owner->number, should->first_offset);
	CHECK(world, is->value_bytes == should->value_bytes, "stream %" PRIu64 ": how much of the record at %" PRIu64,
	      should->owner->number, should->from);
}

static void check_read(struct world *world, const struct stream_read_in *in, enum outcome outcome, const struct stream_view *view,
		       const struct model_stream *stream)
{
	uint64_t offset = outcome == OUTCOME_OTHER ? stream->next_offset : read_offset(in, stream), after = offset;
	struct model_run *runs;
	size_t all, count;

	if (in->look || stream->deleted_end) {
		CHECK(world, view->chunk_count == 0, "stream %" PRIu64 ": records for who did not ask", stream->number);
		return;
	}
	all = model_runs(stream, offset, &runs);
	count = runs_wanted(runs, all, in->max_bytes);
	CHECK(world, view->chunk_count == count, "stream %" PRIu64 ": %zu chunks from %" PRIu64 " on, the oracle says %zu",
	      stream->number, view->chunk_count, offset, count);
	for (size_t i = 0; i < count; i++) {
		check_chunk(world, &view->chunks[i], &runs[i]);
		after = runs[i].end;
	}
	if (count == all)
		after = stream->next_offset;
	free(runs);
	CHECK(world, view->from_offset == offset && view->after_offset == after,
	      "stream %" PRIu64 ": from %" PRIu64 " until %" PRIu64 ", should be from %" PRIu64 " until %" PRIu64, stream->number,
	      view->from_offset, view->after_offset, offset, after);
}

void stream_check_answer(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct stream_view *view = c->out.stream;
	struct model_stream *stream = stream_of(world, c);
	const struct model_producer *known;

	if (c->outcome == OUTCOME_STORAGE)
		return;
	if (!stream && path_is_output(path_of(c))) {
		output_check_answer(world, ask);
		return;
	}
	if (view)
		stream_check_view(world, view, stream);
	CHECK(world,
	      view || !stream || c->kind == COMMAND_STREAM_DELETE || c->outcome == OUTCOME_NO_SPACE ||
		      (c->kind == COMMAND_STREAM_CREATE && c->in.stream_create.source.len),
	      "an answer of kind %d, outcome %d, that tells nothing", (int)c->kind, (int)c->outcome);
	if (c->kind == COMMAND_STREAM_READ && view)
		check_read(world, &c->in.stream_read, c->outcome, view, stream);
	if (c->kind != COMMAND_STREAM_APPEND || !view || !c->in.stream_append.producer.id.len)
		return;
	known = model_producer(stream, c->in.stream_append.producer.id);
	CHECK(world, view->producer_known == (known != NULL), "whether the producer is known");
	CHECK(world, !known || (view->producer_epoch == known->epoch && view->producer_seq == known->seq),
	      "where the producer stands");
}

/* Who hears that there was no memory, or no space, may be sure that nothing has happened. */
void stream_applied(struct world *world, struct ask *ask, uint64_t end_before)
{
	const struct command *c = &ask->command;
	struct model_stream *stream = stream_of(world, c);

	if (c->outcome == OUTCOME_NO_MEMORY || c->outcome == OUTCOME_NO_SPACE) {
		CHECK(world, sim_store_end(world->store) == end_before,
		      "a command of kind %d was refused with outcome %d, and done", (int)c->kind, (int)c->outcome);
		return;
	}
	if (c->kind == COMMAND_STREAM_DELETE && c->outcome == OUTCOME_OK)
		ask->numbers[0] = model_stream_last(&world->model.streams, path_of(c))->number;
	if (!stream || c->outcome == OUTCOME_STORAGE)
		return;
	if ((c->kind == COMMAND_STREAM_READ && !c->in.stream_read.look) || (c->kind == COMMAND_STREAM_CREATE && c->out.stream))
		stream->touched_ms = world->now_ms;
}
