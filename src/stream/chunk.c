/* A stream's chunks: where records are found, and which of them go.
 *
 * The array is in the order of offsets. One that goes from the middle stays as a dead entry until there are more dead than living
 * ones; so nothing is moved for each. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

static bool is_dead(const struct chunk *chunk)
{
	return chunk->kind == BODY_NONE;
}

uint32_t chunk_cap(const struct stream *stream)
{
	return stream->many ? stream->array->cap : 1;
}

uint32_t chunk_index(const struct stream *stream, uint64_t offset)
{
	uint32_t low = 0, high = stream->chunk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (chunk_end(&stream_chunks(stream)[middle]) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* --- finding --- */

/* In [offset, end) of what the stream has, whatever it still tells: the first chunk with a record not before `time_ms`. The depth
 * of forks bounds the recursion. */
static bool find_since(const struct stream *stream, uint64_t offset, uint64_t end, uint64_t time_ms, struct chunk_place *place)
{
	const struct stream_more *more = stream_more(stream);
	const struct chunk *chunk;
	uint32_t i;

	if (more->source && offset < more->own_offset) {
		if (find_since(more->source, offset, end < more->own_offset ? end : more->own_offset, time_ms, place)) {
			if (place->from >= more->fork_offset)
				place->value_bytes = more->fork_sub < place->value_bytes ? more->fork_sub : place->value_bytes;
			else if (place->end > more->fork_offset)
				place->end = more->fork_offset;
			return true;
		}
		offset = more->own_offset;
	}
	chunk = stream_chunks(stream);
	for (i = chunk_index(stream, offset); i < stream->chunk_count && (is_dead(&chunk[i]) || chunk[i].max_time_ms < time_ms);
	     i++)
		;
	if (i == stream->chunk_count || stream_chunks(stream)[i].offset >= end)
		return false;
	chunk = &stream_chunks(stream)[i];
	*place = (struct chunk_place){
		.chunk = chunk,
		.from = offset > chunk->offset ? offset : chunk->offset,
		.end = chunk_end(chunk) < end ? chunk_end(chunk) : end,
		.value_bytes = UINT64_MAX,
	};
	return true;
}

static bool chunk_find(const struct stream *stream, uint64_t offset, struct chunk_place *place)
{
	return find_since(stream, offset, UINT64_MAX, 0, place);
}

bool stream_chunk_since(const struct stream *stream, uint64_t offset, uint64_t time_ms, struct chunk_place *ret_place)
{
	uint64_t earliest = stream_earliest(stream);

	return find_since(stream, offset > earliest ? offset : earliest, UINT64_MAX, time_ms, ret_place);
}

bool stream_chunk_from(const struct stream *stream, uint64_t offset, struct chunk_place *ret_place)
{
	return stream_chunk_since(stream, offset, 0, ret_place);
}

bool stream_own_chunk(const struct stream *stream, uint64_t offset, struct chunk_place *ret_place)
{
	uint32_t i = chunk_index(stream, offset);
	const struct chunk *chunk = &stream_chunks(stream)[i];

	if (i == stream->chunk_count || chunk->offset != offset || is_dead(chunk))
		return false;
	*ret_place = (struct chunk_place){chunk, offset, chunk_end(chunk), UINT64_MAX};
	return true;
}

uint64_t stream_offset_before_end(const struct stream *stream, uint64_t count)
{
	const struct stream_more *more = stream_more(stream);
	uint64_t offset;

	if (count >= stream->next_offset - more->earliest_offset)
		return more->earliest_offset;
	for (uint32_t i = stream->chunk_count; i > 0; i--) {
		const struct chunk *chunk = &stream_chunks(stream)[i - 1];

		if (is_dead(chunk))
			continue;
		if (chunk->count >= count) {
			offset = chunk_end(chunk) - count;
			return offset > more->earliest_offset ? offset : more->earliest_offset;
		}
		count -= chunk->count;
	}
	offset = more->own_offset > count ? more->own_offset - count : 0;
	return offset > more->earliest_offset ? offset : more->earliest_offset;
}

/* --- changing --- */

static void let_go(struct streams *streams, const struct chunk *chunk)
{
	struct body_ref ref = chunk_ref(chunk);

	streams->store->ops->body_release(streams->store, &ref);
}

void chunk_add(struct streams *streams, struct stream *stream, const struct chunk *chunk)
{
	struct body_ref ref = chunk_ref(chunk);

	ENSURE(stream->chunk_count < chunk_cap(stream));
	stream_chunks(stream)[stream->chunk_count++] = *chunk;
	streams->store->ops->body_retain(streams->store, &ref);
	if (chunk_end(chunk) > stream_earliest(stream))
		stream->bytes += chunk->size_bytes;
	if (chunk->expires_s)
		stream->more->expiring_count++;
}

/* `count` of them from `first` on are no longer in the array. */
static void take_out(struct stream *stream, uint32_t first, uint32_t count)
{
	memmove(&stream_chunks(stream)[first], &stream_chunks(stream)[first + count],
		(stream->chunk_count - first - count) * sizeof(struct chunk));
	stream->chunk_count -= count;
	if (stream->many && stream->array->gathered > first)
		stream->array->gathered = stream->array->gathered > first + count ? stream->array->gathered - count : first;
}

static void bury(struct stream *stream)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < stream->chunk_count; i++) {
		if (!is_dead(&stream_chunks(stream)[i]))
			stream_chunks(stream)[kept++] = stream_chunks(stream)[i];
	}
	stream->chunk_count = kept;
	if (!stream->many)
		return;
	stream->array->dead_count = 0;
	stream->array->gathered = 0;
}

static void uncount(struct stream *stream, const struct chunk *chunk)
{
	if (chunk_end(chunk) > stream_earliest(stream))
		stream->bytes -= chunk->size_bytes;
	if (chunk->expires_s)
		stream->more->expiring_count--;
}

void chunk_drop(struct streams *streams, struct stream *stream, uint32_t index)
{
	struct chunk *chunk = &stream_chunks(stream)[index];

	uncount(stream, chunk);
	let_go(streams, chunk);
	*chunk = (struct chunk){.offset = chunk->offset, .count = chunk->count};
	if (!stream->many || ++stream->array->dead_count * 2 > stream->chunk_count)
		bury(stream);
}

bool chunks_can_gather(const struct stream *stream, const struct stream_event *e)
{
	uint32_t i = chunk_index(stream, e->offset);
	uint64_t at = e->offset, end = e->offset + e->count;

	for (; at < end && i < stream->chunk_count; i++) {
		const struct chunk *chunk = &stream_chunks(stream)[i];

		if (chunk->offset != at || chunk->kind != BODY_INLINE || chunk->keyed || chunk->expires_s)
			return false;
		at = chunk_end(chunk);
	}
	return e->count && at == end;
}

/* Those in [offset, end), which are whole, and there; `whole` in their place, retained before. NULL: nothing. */
static void replace(struct streams *streams, struct stream *stream, uint64_t offset, uint64_t end, const struct chunk *whole)
{
	uint32_t first = chunk_index(stream, offset), last = first, kept = whole != NULL;

	for (; last < stream->chunk_count && stream_chunks(stream)[last].offset < end; last++) {
		if (is_dead(&stream_chunks(stream)[last])) {
			stream->array->dead_count--;
			continue;
		}
		uncount(stream, &stream_chunks(stream)[last]);
		let_go(streams, &stream_chunks(stream)[last]);
	}
	if (whole)
		stream_chunks(stream)[first] = *whole;
	if (whole && chunk_end(whole) > stream_earliest(stream))
		stream->bytes += whole->size_bytes;
	take_out(stream, first + kept, last - first - kept);
}

void chunks_gather(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	uint32_t first = chunk_index(stream, e->offset);
	struct chunk whole = {
		.offset = e->offset,
		.place = e->bytes.place,
		.kind = BODY_INLINE,
		.size_bytes = e->bytes.size_bytes & CHUNK_BYTES_MAX,
		.crc = e->bytes.crc,
		.count = (uint32_t)e->count,
	};

	streams->store->ops->body_retain(streams->store, &e->bytes);
	for (uint32_t i = first; i < stream->chunk_count && stream_chunks(stream)[i].offset < e->offset + e->count; i++) {
		if (stream_chunks(stream)[i].max_time_ms > whole.max_time_ms)
			whole.max_time_ms = stream_chunks(stream)[i].max_time_ms;
	}
	replace(streams, stream, e->offset, e->offset + e->count, &whole);
	if (stream->many && stream->array->gathered <= first)
		stream->array->gathered = first + 1;
}

bool chunks_can_compact(const struct stream *stream, const struct stream_event *e)
{
	uint32_t i = chunk_index(stream, e->offset);
	uint64_t at = e->offset, end = e->offset + e->count;

	if (i == stream->chunk_count || stream_chunks(stream)[i].offset != e->offset)
		return false;
	for (; i < stream->chunk_count && stream_chunks(stream)[i].offset < end; i++) {
		if (stream_chunks(stream)[i].kind == BODY_BLOB)
			return false;
		at = chunk_end(&stream_chunks(stream)[i]);
	}
	if (at != end)
		return false;
	return !e->kept_count || (e->kept_offset >= e->offset && e->kept_offset + e->kept_count <= end &&
				  e->kept_offset + e->kept_count > stream_earliest(stream));
}

void chunks_compact(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	struct chunk whole = {
		.offset = e->kept_offset,
		.place = e->bytes.place,
		.kind = BODY_INLINE,
		.size_bytes = e->bytes.size_bytes & CHUNK_BYTES_MAX,
		.max_time_ms = e->max_time_ms,
		.crc = e->bytes.crc,
		.count = (uint32_t)e->kept_count,
	};

	if (e->kept_count)
		streams->store->ops->body_retain(streams->store, &e->bytes);
	replace(streams, stream, e->offset, e->offset + e->count, e->kept_count ? &whole : NULL);
}

void chunks_shed(struct streams *streams, struct stream *stream)
{
	uint64_t earliest = stream_earliest(stream);
	uint32_t n = 0;

	while (n < stream->chunk_count &&
	       (is_dead(&stream_chunks(stream)[n]) || chunk_end(&stream_chunks(stream)[n]) <= earliest)) {
		if (is_dead(&stream_chunks(stream)[n])) {
			stream->array->dead_count--;
		} else {
			if (stream_chunks(stream)[n].expires_s)
				stream->more->expiring_count--;
			let_go(streams, &stream_chunks(stream)[n]);
		}
		n++;
	}
	take_out(stream, 0, n);
}

void chunks_trim(struct streams *streams, struct stream *stream, uint64_t earliest)
{
	uint64_t before = stream_earliest(stream);

	if (earliest <= before)
		return;
	for (uint32_t i = chunk_index(stream, before);
	     i < stream->chunk_count && chunk_end(&stream_chunks(stream)[i]) <= earliest; i++)
		stream->bytes -= stream_chunks(stream)[i].size_bytes;
	stream->more->earliest_offset = earliest;
	if (!stream->fork_count)
		chunks_shed(streams, stream);
}

void chunks_release(struct streams *streams, struct stream *stream)
{
	for (uint32_t i = 0; i < stream->chunk_count; i++) {
		if (!is_dead(&stream_chunks(stream)[i]))
			let_go(streams, &stream_chunks(stream)[i]);
	}
}

/* --- retention --- */

static bool is_overdue(const struct chunk *chunk, uint64_t now_ms)
{
	return chunk->expires_s && (uint64_t)chunk->expires_s * 1000 <= now_ms;
}

static bool too_old(const struct stream_more *more, const struct chunk *chunk, uint64_t now_ms)
{
	return is_overdue(chunk, now_ms) || (more->max_age_ms && chunk->max_time_ms + more->max_age_ms <= now_ms);
}

uint64_t stream_trim_point(const struct stream *stream, uint64_t now_ms)
{
	const struct stream_more *more = stream_more(stream);
	uint64_t bytes = stream->bytes, at = more->earliest_offset, point = at;
	bool too_long = more->max_bytes && bytes > more->max_bytes + more->max_bytes / 16;
	struct chunk_place place;

	while (chunk_find(stream, at, &place)) {
		bool own = place.from >= more->own_offset, last = place.end == stream->next_offset;

		if (!too_old(more, place.chunk, now_ms) && !(too_long && !last && bytes > more->max_bytes))
			return point == more->earliest_offset ? point : place.from;
		if (own)
			bytes -= place.chunk->size_bytes;
		at = point = place.end;
	}
	return point;
}

const struct chunk *stream_overdue(const struct stream *stream, uint64_t offset, uint64_t now_ms)
{
	if (!stream_more(stream)->expiring_count)
		return NULL;
	for (uint32_t i = chunk_index(stream, offset); i < stream->chunk_count; i++) {
		if (is_overdue(&stream_chunks(stream)[i], now_ms))
			return &stream_chunks(stream)[i];
	}
	return NULL;
}

/* By age it is late by a sixteenth, so that many go at once. */
uint64_t chunk_ends_ms(const struct stream_more *more, const struct chunk *chunk)
{
	uint64_t own_ms = chunk->expires_s ? (uint64_t)chunk->expires_s * 1000 : UINT64_MAX;
	uint64_t age_ms = more->max_age_ms ? chunk->max_time_ms + more->max_age_ms + more->max_age_ms / 16 : UINT64_MAX;

	return own_ms < age_ms ? own_ms : age_ms;
}

void stream_plan_trim(struct streams *streams, struct stream *stream)
{
	const struct stream_more *more = stream_more(stream);
	struct chunk_place place;
	uint64_t at_ms = UINT64_MAX;

	if (!stream->more)
		return;
	if (more->max_age_ms && !(stream->flags & STREAM_GONE) && chunk_find(stream, more->earliest_offset, &place))
		at_ms = chunk_ends_ms(more, place.chunk);
	for (uint32_t i = 0; i < stream->chunk_count && more->expiring_count; i++) {
		if (stream_chunks(stream)[i].expires_s && (uint64_t)stream_chunks(stream)[i].expires_s * 1000 < at_ms)
			at_ms = (uint64_t)stream_chunks(stream)[i].expires_s * 1000;
	}
	stream_set_trim(streams, stream, at_ms);
}

/* --- gathering --- */

static bool is_small(const struct chunk *chunk, const struct gather_limits *limits)
{
	return chunk->kind == BODY_INLINE && !chunk->keyed && !chunk->expires_s &&
	       chunk->size_bytes <= limits->bytes_max / limits->chunks_min;
}

uint32_t stream_gather_run(struct stream *stream, const struct gather_limits *limits, uint64_t durable, uint32_t *ret_first)
{
	uint32_t begin = chunk_index(stream, stream_earliest(stream));
	uint64_t stable = stream_stable(stream);

	/* What forks alone still read goes with the last of them, of which a replay may not know. */
	if (stream->many && stream->array->gathered < begin)
		stream->array->gathered = begin;
	while (stream->many && stream->array->gathered < stream->chunk_count) {
		uint32_t first = stream->array->gathered, i = first;
		uint64_t bytes = 0, at = stream_chunks(stream)[first].offset;
		bool early = false;

		for (; i < stream->chunk_count; i++) {
			const struct chunk *chunk = &stream_chunks(stream)[i];

			if (!is_small(chunk, limits) || chunk->offset != at || bytes + chunk->size_bytes > limits->bytes_max)
				break;
			/* One that lies across the stable end would be told to who may see only what of it was left out. */
			early = chunk->place + chunk->size_bytes > durable || chunk_end(chunk) > stable;
			if (early)
				break;
			bytes += chunk->size_bytes;
			at = chunk_end(chunk);
		}
		/* Of small ones fewer never are too long together. */
		if (i - first >= limits->chunks_min) {
			*ret_first = first;
			return i - first;
		}
		if (i == stream->chunk_count || early)
			return 0;
		stream->array->gathered = i > first ? i : i + 1;
	}
	return 0;
}
