/* What the oracle says to a command about streams, and whether the answer is what the model holds. */
#include "sim/world.h"

#include <inttypes.h>

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

static enum outcome expect_create(const struct world *world, const struct stream_create_in *in, const struct model_stream *stream)
{
	uint64_t flags = (in->json ? STREAM_JSON : 0u) | (in->closed ? STREAM_CLOSED : 0u) | (in->has_ttl ? STREAM_HAS_TTL : 0u);

	if (stream)
		return stream->flags == flags && stream->ttl_s == in->ttl_s && stream->expires_at_ms == in->expires_at_ms &&
				       slice_eq_nocase(slice_str(stream->type), in->content_type)
			       ? OUTCOME_SAME
			       : OUTCOME_CONFLICT;
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
	if (in->from == STREAM_FROM_START)
		return 0;
	return in->from == STREAM_FROM_NOW || in->offset > stream->next_offset ? stream->next_offset : in->offset;
}

static enum outcome expect_read(const struct stream_read_in *in, const struct model_stream *stream)
{
	if (!stream)
		return OUTCOME_NOT_FOUND;
	if (in->look)
		return OUTCOME_OK;
	/* (0, 0) is the beginning of every stream. */
	if (in->from == STREAM_FROM_OFFSET && in->number != stream->number && (in->number || in->offset))
		return OUTCOME_OTHER;
	return in->watch && !stream->closed_end && read_offset(in, stream) == stream->next_offset ? OUTCOME_PARKED : OUTCOME_OK;
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
	return (struct expected){.outcome = stream ? OUTCOME_OK : OUTCOME_NOT_FOUND};
}

/* A stream's absence rests on the end of the last one that was there. */
uint64_t stream_rests_on(struct world *world, const struct ask *ask)
{
	const struct model_stream *stream = stream_of(world, &ask->command);

	if (ask->command.outcome == OUTCOME_FULL)
		return 0;
	if (!stream)
		stream = model_stream_gone(&world->model.streams, path_of(&ask->command));
	return !stream ? 0 : stream->deleted_end ? stream->deleted_end : stream->changed_end;
}

/* --- answers, right after the command was applied --- */

void stream_check_view(struct world *world, const struct stream_view *view, const struct model_stream *stream)
{
	CHECK(world, view->number == stream->number && view->key == stream_key(stream->number), "another stream's view");
	CHECK(world, view->next_offset == stream->next_offset && view->earliest_offset == 0,
	      "stream %" PRIu64 " ends at %" PRIu64 ", it is said to at %" PRIu64, stream->number, stream->next_offset,
	      view->next_offset);
	CHECK(world, view->closed == (stream->closed_end != 0), "stream %" PRIu64 ": closed or not", stream->number);
	CHECK(world,
	      view->created_ms == stream->created_ms && view->expires_at_ms == stream->expires_at_ms &&
		      view->ttl_s == stream->ttl_s && view->has_ttl == ((stream->flags & STREAM_HAS_TTL) != 0) &&
		      view->json == ((stream->flags & STREAM_JSON) != 0),
	      "stream %" PRIu64 ": its times", stream->number);
	CHECK(world, slice_eq(view->path, slice_str(stream->path)) && slice_eq(view->content_type, slice_str(stream->type)),
	      "stream %" PRIu64 ": its path and type", stream->number);
}

size_t stream_expect_chunks(const struct model_stream *stream, uint64_t offset, uint64_t max_bytes, size_t *ret_first)
{
	size_t first = 0, count = 0;
	uint64_t bytes = 0;

	while (first < stream->count && stream->chunks[first].offset + stream->chunks[first].count <= offset)
		first++;
	*ret_first = first;
	while (first + count < stream->count && count < STREAM_CHUNKS_MAX) {
		bytes += stream->chunks[first + count].ref.size_bytes;
		if (count && bytes > max_bytes)
			break;
		count++;
	}
	return count;
}

static void check_read(struct world *world, const struct stream_read_in *in, enum outcome outcome, const struct stream_view *view,
		       const struct model_stream *stream)
{
	uint64_t offset = outcome == OUTCOME_OTHER ? stream->next_offset : read_offset(in, stream), after = offset;
	size_t first = 0, count = 0;

	if (!in->look)
		count = stream_expect_chunks(stream, offset, in->max_bytes, &first);
	CHECK(world, view->chunk_count == count, "stream %" PRIu64 ": %zu appends from %" PRIu64 " on, the oracle says %zu",
	      stream->number, view->chunk_count, offset, count);
	for (size_t i = 0; i < count; i++) {
		const struct stream_chunk_view *is = &view->chunks[i];
		const struct model_chunk *should = &stream->chunks[first + i];

		CHECK(world, is->first_offset == should->offset && is->count == should->count, "stream %" PRIu64 ": an append",
		      stream->number);
		CHECK(world, is->ref.place == should->ref.place && is->ref.kind == should->ref.kind && is->pin,
		      "stream %" PRIu64 ": an append's bytes", stream->number);
		after = should->offset + should->count;
	}
	if (!in->look)
		CHECK(world, view->from_offset == offset && view->after_offset == after,
		      "stream %" PRIu64 ": from %" PRIu64 " until %" PRIu64 ", should be from %" PRIu64 " until %" PRIu64,
		      stream->number, view->from_offset, view->after_offset, offset, after);
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
	CHECK(world, view || !stream || c->kind == COMMAND_STREAM_DELETE || c->outcome == OUTCOME_NO_SPACE,
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
		ask->numbers[0] = model_stream_gone(&world->model.streams, path_of(c))->number;
	if (!stream || c->outcome == OUTCOME_STORAGE)
		return;
	if ((c->kind == COMMAND_STREAM_READ && !c->in.stream_read.look) || c->kind == COMMAND_STREAM_CREATE)
		stream->touched_ms = world->now_ms;
}
