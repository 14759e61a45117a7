/* Where a fork begins. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>

/* What lies at an offset: how long that record's value is, and where the append that it came with ends. */
struct boundary {
	uint64_t value_bytes, append_end;
};

/* Among the batches of a chunk: 0 or -EIO. */
static int boundary_find(struct slice batches, uint64_t offset, struct boundary *ret)
{
	struct batch_reader reader;
	struct batch_record record;
	struct slice batch;
	uint64_t at;

	while (batch_cut(&batches, &batch) == 1 && !batch_open_checked(&reader, batch)) {
		ret->append_end = reader.base_offset + reader.last_delta + 1;
		if (offset >= ret->append_end)
			continue;
		while (batch_next(&reader, &record, &at) == 1) {
			ret->value_bytes = record.value.len;
			if (at >= offset)
				return 0;
		}
		return -EIO;
	}
	return -EIO;
}

/* 0, -ENOMEM or -EIO. */
static int boundary_of(struct sequencer *s, const struct chunk_place *place, struct boundary *ret)
{
	char *bytes = NULL;
	int r = 0;

	*ret = (struct boundary){place->chunk->size_bytes, place->end};
	if (place->chunk->kind == BODY_INLINE) {
		r = chunk_read(s, place->chunk, &bytes);
		if (r)
			return r;
		r = boundary_find(slice_from(bytes, (size_t)place->chunk->size_bytes), place->from, ret);
		mem_free(bytes);
	}
	if (ret->value_bytes > place->value_bytes)
		ret->value_bytes = place->value_bytes;
	if (ret->append_end > place->end)
		ret->append_end = place->end;
	return r;
}

/* So many records of the append at its beginning, or bytes of the record there, the fork is to have besides. */
static enum outcome fork_within(struct sequencer *s, const struct stream *source, uint64_t sub, struct stream_event *e)
{
	struct chunk_place place;
	struct boundary boundary;
	int r;

	if (!stream_chunk_from(source, e->fork_offset, &place) || place.from != e->fork_offset)
		return OUTCOME_RANGE;
	r = boundary_of(s, &place, &boundary);
	if (r)
		return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_STORAGE;
	if (source->flags & STREAM_JSON) {
		if (sub > boundary.append_end - e->fork_offset)
			return OUTCOME_RANGE;
		e->fork_offset += sub;
		return OUTCOME_OK;
	}
	if (sub > boundary.value_bytes)
		return OUTCOME_RANGE;
	if (sub == boundary.value_bytes)
		e->fork_offset++;
	else
		e->fork_sub = sub;
	return OUTCOME_OK;
}

enum outcome fork_from(struct sequencer *s, const struct stream_create_in *in, const struct stream *fork, struct stream_event *e)
{
	const struct stream *source = stream_find(&s->streams, in->source);
	const struct stream_more *more = source ? stream_more(source) : NULL;

	if (!source)
		return OUTCOME_NO_SOURCE;
	if (source->flags & STREAM_GONE && !(fork && stream_more(fork)->source == source))
		return OUTCOME_CONFLICT;
	if (source->flags & STREAM_TOPIC)
		return OUTCOME_TOPIC;
	if (!in->content_type.len)
		e->content_type = stream_type_slice(source);
	else if (!slice_eq_nocase(in->content_type, stream_type_slice(source)))
		return OUTCOME_TYPE;
	e->flags = (e->flags & ~(uint64_t)STREAM_JSON) | (source->flags & STREAM_JSON);
	if (!in->has_ttl && !in->expires_at_ms) {
		e->flags |= source->flags & STREAM_HAS_TTL;
		e->ttl_s = more->ttl_s;
		e->expires_at_ms = more->expires_at_ms;
	}
	e->source = source->number;
	e->fork_offset = in->has_fork_offset ? in->fork_offset : source->next_offset;
	if ((in->has_fork_offset && !stream_place_find(source, in->fork_number, &e->fork_offset)) ||
	    e->fork_offset > source->next_offset || more->fork_depth >= FORK_DEPTH_MAX)
		return OUTCOME_RANGE;
	return in->fork_sub ? fork_within(s, source, in->fork_sub, e) : OUTCOME_OK;
}
