/* What can be read of a stream, by the oracle: append by append, those of sources too. */
#include "sim/stream_model.h"

#include "base/panic.h"

#include <stdlib.h>

struct pieces {
	struct model_piece *at;
	size_t count, cap;
};

static void add(struct pieces *pieces, struct model_piece piece)
{
	if (piece.from >= piece.end)
		return;
	if (pieces->count == pieces->cap) {
		pieces->cap = pieces->cap ? pieces->cap * 2 : 64;
		pieces->at = realloc(pieces->at, pieces->cap * sizeof(*pieces->at));
		ENSURE(pieces->at);
	}
	pieces->at[pieces->count++] = piece;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* All it has, whatever it still tells: what it inherits first. */
static void collect(const struct model_stream *stream, struct pieces *out)
{
	struct pieces inherited = {0};

	if (stream->source)
		collect(stream->source, &inherited);
	for (size_t i = 0; i < inherited.count; i++) {
		struct model_piece before = inherited.at[i], within = inherited.at[i];

		before.end = smaller(before.end, stream->fork_offset);
		add(out, before);
		within.from = within.from > stream->fork_offset ? within.from : stream->fork_offset;
		within.end = smaller(within.end, stream->own_offset);
		within.value_bytes = smaller(within.value_bytes, stream->fork_sub);
		add(out, within);
	}
	free(inherited.at);
	for (size_t i = 0; i < stream->count; i++) {
		const struct model_chunk *chunk = &stream->chunks[i];

		if (!chunk->dropped)
			add(out, (struct model_piece){stream, chunk, chunk->offset, chunk->offset + chunk->count, UINT64_MAX});
	}
}

size_t model_pieces(const struct model_stream *stream, uint64_t offset, struct model_piece **ret_pieces)
{
	uint64_t from = offset > stream->earliest ? offset : stream->earliest;
	struct pieces pieces = {0};
	size_t count = 0;

	collect(stream, &pieces);
	for (size_t i = 0; i < pieces.count; i++) {
		if (pieces.at[i].end > from)
			pieces.at[count++] = pieces.at[i];
	}
	*ret_pieces = pieces.at;
	return count;
}

void model_extent(const struct model_stream *owner, const struct model_chunk *chunk, uint64_t *ret_first, uint64_t *ret_end)
{
	*ret_first = chunk->offset;
	*ret_end = chunk->offset + chunk->count;
	for (size_t i = 0; i < owner->count && chunk->ref.kind == BODY_INLINE; i++) {
		const struct model_chunk *other = &owner->chunks[i];

		if (other->ref.kind != BODY_INLINE || other->ref.place != chunk->ref.place)
			continue;
		*ret_first = smaller(*ret_first, other->offset);
		if (other->offset + other->count > *ret_end)
			*ret_end = other->offset + other->count;
	}
}

static uint64_t latest_ms(const struct model_run *run)
{
	uint64_t latest = 0;

	for (size_t i = 0; i < run->owner->count; i++) {
		const struct model_chunk *chunk = &run->owner->chunks[i];

		if (chunk->ref.place == run->ref.place && chunk->ref.kind == run->ref.kind && chunk->time_ms > latest)
			latest = chunk->time_ms;
	}
	return latest;
}

size_t model_runs(const struct model_stream *stream, uint64_t offset, struct model_run **ret_runs)
{
	struct model_piece *pieces;
	size_t count = model_pieces(stream, offset, &pieces), n = 0;
	struct model_run *runs = calloc(count + 1, sizeof(*runs));

	ENSURE(runs);
	for (size_t i = 0; i < count; i++) {
		const struct model_piece *piece = &pieces[i];
		struct model_run *run = n ? &runs[n - 1] : NULL;
		uint64_t first, end;

		if (run && run->owner == piece->owner && run->ref.kind == BODY_INLINE &&
		    run->ref.place == piece->chunk->ref.place && piece->chunk->ref.kind == BODY_INLINE &&
		    run->value_bytes == piece->value_bytes) {
			run->end = piece->end;
			continue;
		}
		model_extent(piece->owner, piece->chunk, &first, &end);
		runs[n] = (struct model_run){piece->owner, piece->chunk->ref,  first, piece->from,
					     piece->end,   piece->value_bytes, 0};
		runs[n].time_ms = latest_ms(&runs[n]);
		n++;
	}
	free(pieces);
	*ret_runs = runs;
	return n;
}

bool model_has(const struct model_stream *stream, uint64_t from, uint64_t end)
{
	struct model_piece *pieces;
	bool has = model_pieces(stream, from, &pieces) > 0 && pieces[0].from < end;

	free(pieces);
	return has;
}

const struct model_stream *model_owner(const struct model_stream *stream, uint64_t offset)
{
	while (stream->source && offset < stream->own_offset)
		stream = stream->source;
	return stream;
}

uint64_t model_bytes(const struct model_stream *stream)
{
	struct model_run *runs;
	size_t count = model_runs(stream, stream->earliest, &runs);
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += runs[i].owner == stream ? runs[i].ref.size_bytes : 0;
	free(runs);
	return bytes;
}

uint64_t model_read_from(const struct model_streams *streams, const struct model_stream *stream)
{
	uint64_t from = stream->earliest;

	for (uint64_t number = stream->number + 1; number < streams->next_number; number++) {
		const struct model_stream *fork = model_stream(streams, number);

		if (fork && fork->source == stream && !fork->freed_end)
			from = smaller(from, model_read_from(streams, fork));
	}
	return from;
}
