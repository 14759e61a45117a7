/* Which partitions are compacted, and when; and what the steps of that (compact_step.h) bring about.
 *
 * A partition of a topic with cleanup.policy=compact is looked at some time after an append, and when something in it is due. It
 * is compacted when enough of it is dirty: lies behind its clean_offset, which is as far as the last pass has got. One pass is
 * under way at a time, one step of it at a time, and between two of them the world goes on: what a step brings back counts only
 * if the chunks are still those that it read.
 *
 * Left alone are the last chunk (though what lies before it goes for its sake, once max.compaction.lag.ms is over), what belongs
 * to a transaction that is open, or lies behind its beginning, what is younger than min.compaction.lag.ms, and what is not
 * durable yet.
 *
 * Invariants:
 *  1. the last record with a key that is committed stays, but for a null value whose time is over;
 *  2. an offset never stands for another record than before;
 *  3. a null value gets its horizon in a step behind all those that left out what came before it with its key, and clean_offset
 *     moves when all of a pass is done: so nothing that was deleted comes back, whatever is cut off where;
 *  4. an aborted transaction is told to readers as long as its marker is there. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <errno.h>

enum { STEP_BYTES = 512 * 1024, JOIN_CHUNKS = 16, RETRY_COMPACT_MS = 1000 };

void compact_step_free(struct compact_step *step)
{
	if (!step)
		return;
	for (size_t i = 0; i < step->chunk_count; i++) {
		if (step->chunks[i].pin)
			step->chunks[i].pin->ops->unpin(step->chunks[i].pin);
	}
	buf_deinit(&step->bytes);
	buf_deinit(&step->gone);
	mem_free(step);
}

/* --- when --- */

/* What there is to be done in a partition. */
struct outlook {
	uint64_t until;       /* what lies behind may not be touched */
	uint64_t dirty_bytes; /* up to there */
	uint64_t clean_bytes;
	uint64_t first_ms; /* of the dirty part and the last chunk; UINT64_MAX: there is neither */
	uint64_t keys;     /* up to there keys count: `until`, or the end of the last chunk, whose time is over */
	uint64_t lag_ms;   /* when more of it may be touched; UINT64_MAX: not by time alone */
};

/* When a record of that time is to be compacted whatever the ratio is. */
static uint64_t lag_end_ms(const struct topic_limits *limits, uint64_t time_ms)
{
	return time_ms >= UINT64_MAX / 8 || limits->compaction_lag_max_ms >= UINT64_MAX / 8
		       ? UINT64_MAX
		       : time_ms + limits->compaction_lag_max_ms;
}

static void look_out(const struct sequencer *s, const struct stream *stream, const struct topic_limits *limits,
		     struct outlook *ret)
{
	uint64_t stable = stream_stable(stream), durable = s->store->ops->durable_position(s->store);

	uint32_t first = chunk_index(stream, stream->more->clean_offset);

	*ret = (struct outlook){
		.until = stream->more->clean_offset,
		.keys = stream->more->clean_offset,
		.clean_bytes = stream->bytes,
		.first_ms = UINT64_MAX,
		.lag_ms = UINT64_MAX,
	};
	for (uint32_t i = first; i < stream->chunk_count; i++)
		ret->clean_bytes -= stream_chunks(stream)[i].size_bytes;
	for (uint32_t i = first; i < stream->chunk_count; i++) {
		const struct chunk *chunk = &stream_chunks(stream)[i];

		if (chunk->kind != BODY_INLINE || chunk_end(chunk) > stable)
			return;
		if (chunk->place + chunk->size_bytes > durable) {
			ret->lag_ms = s->now_ms; /* soon */
			return;
		}
		if (chunk->max_time_ms + limits->compaction_lag_ms > s->now_ms) {
			ret->lag_ms = chunk->max_time_ms + limits->compaction_lag_ms;
			return;
		}
		if (ret->first_ms == UINT64_MAX)
			ret->first_ms = chunk->max_time_ms;
		if (i + 1 < stream->chunk_count) {
			ret->dirty_bytes += chunk->size_bytes;
			ret->until = ret->keys = chunk_end(chunk);
		} else if (lag_end_ms(limits, chunk->max_time_ms) <= s->now_ms) {
			ret->keys = chunk_end(chunk);
		}
	}
}

static bool is_due(const struct sequencer *s, const struct stream *stream, const struct topic_limits *limits,
		   const struct outlook *outlook)
{
	double dirty = (double)outlook->dirty_bytes, all = dirty + (double)outlook->clean_bytes;

	if (stream->more->horizon_ms && stream->more->horizon_ms <= s->now_ms)
		return true;
	return (lag_end_ms(limits, outlook->first_ms) <= s->now_ms && outlook->keys > stream->more->mapped_offset) ||
	       (outlook->dirty_bytes && dirty * TOPIC_RATIO_ONE > all * limits->dirty_ratio);
}

/* The next time at which it may be due without another append. */
static uint64_t next_ms(const struct sequencer *s, const struct stream *stream, const struct topic_limits *limits,
			const struct outlook *outlook)
{
	uint64_t at_ms = lag_end_ms(limits, outlook->first_ms), soon_ms = s->now_ms + s->config.compaction_interval_ms;

	if (at_ms <= s->now_ms) /* what there was to be done for that has been done */
		at_ms = UINT64_MAX;
	if (stream->more->horizon_ms && stream->more->horizon_ms < at_ms)
		at_ms = stream->more->horizon_ms;
	if (outlook->lag_ms < at_ms)
		at_ms = outlook->lag_ms;
	return at_ms == UINT64_MAX || at_ms > soon_ms ? at_ms : soon_ms;
}

static const struct topic_limits *limits_of(const struct sequencer *s, const struct stream *stream)
{
	const struct topic *topic = stream->flags & STREAM_TOPIC ? topic_of_stream(s, stream) : NULL;

	return topic && topic->limits.compact ? &topic->limits : NULL;
}

void stream_compact_due(struct sequencer *s, struct stream *stream)
{
	const struct topic_limits *limits = limits_of(s, stream);
	struct outlook outlook;

	stream_set_compact(&s->streams, stream, UINT64_MAX);
	if (!limits || !list_empty(&stream->more->compacting))
		return;
	look_out(s, stream, limits, &outlook);
	if (is_due(s, stream, limits, &outlook))
		list_push_back(&s->compacting.queue, &stream->more->compacting);
	else
		stream_set_compact(&s->streams, stream, next_ms(s, stream, limits, &outlook));
}

void stream_compact_soon(struct sequencer *s, struct stream *stream)
{
	uint64_t at_ms = s->now_ms + s->config.compaction_interval_ms;

	if (stream->more->compact_ms > at_ms && list_empty(&stream->more->compacting))
		stream_set_compact(&s->streams, stream, at_ms);
}

void stream_compact_follow(struct sequencer *s, struct stream *stream, bool compacted)
{
	s->streams.compacted_changes += compacted != stream->more->compacted;
	stream->more->compacted = compacted;
	if (compacted) {
		stream_compact_soon(s, stream);
	} else {
		list_remove(&stream->more->compacting);
		stream_set_compact(&s->streams, stream, UINT64_MAX);
		if (s->compacting.stream == stream->number)
			s->compacting.stream = 0;
	}
}

/* --- steps --- */

/* The first in line; NULL: nobody. */
static struct stream *compacting_stream(const struct sequencer *s)
{
	if (list_empty(&s->compacting.queue))
		return NULL;
	return list_first(&s->compacting.queue, struct stream_more, compacting)->stream;
}

/* The pass is over, or not to be; it is looked at again after that time, UINT64_MAX: after the next append. */
static void leave(struct sequencer *s, struct stream *stream, uint64_t again_ms)
{
	s->compacting.stream = 0;
	list_remove(&stream->more->compacting);
	stream_set_compact(&s->streams, stream, again_ms);
}

/* What is kept of a transaction tells whether its marker is: so it goes from the beginning on, and nothing is read twice. */
static void filter_begins(struct compacting *c, const struct stream *stream)
{
	c->filtering = c->anew = true;
	c->at = stream_earliest(stream);
	c->horizon_ms = 0;
}

static bool begin(struct sequencer *s, struct stream *stream)
{
	const struct topic_limits *limits = limits_of(s, stream);
	struct compacting *c = &s->compacting;
	struct outlook outlook;

	if (!limits) {
		leave(s, stream, UINT64_MAX);
		return false;
	}
	look_out(s, stream, limits, &outlook);
	if (!is_due(s, stream, limits, &outlook)) {
		leave(s, stream, next_ms(s, stream, limits, &outlook));
		return false;
	}
	*c = (struct compacting){
		.queue = c->queue,
		.stream = stream->number,
		.from = stream->more->clean_offset,
		.until = outlook.keys,
		.retention_ms = limits->delete_retention_ms,
		.fresh = true,
	};
	if (c->from < stream_earliest(stream))
		c->from = stream_earliest(stream);
	c->at = c->from;
	if (c->from >= c->until)
		filter_begins(c, stream);
	return true;
}

/* Nothing is left to be left out. */
static void finish(struct sequencer *s, struct stream *stream)
{
	struct compacting *c = &s->compacting;
	struct stream_event e = {.type = STREAM_COMPACTED, .clean_offset = c->until, .horizon_ms = c->horizon_ms};
	enum outcome outcome;

	if (c->at < c->until) /* the last chunk is as it was */
		e.clean_offset = c->at > stream->more->clean_offset ? c->at : stream->more->clean_offset;
	if (e.horizon_ms && e.horizon_ms <= s->now_ms) /* it may go by now, but not in the pass that has just told so */
		e.horizon_ms = s->now_ms + s->config.compaction_interval_ms;
	outcome = stream_emit(s, &e, stream, (struct slice){0});
	s->stats.compactions_total += outcome == OUTCOME_OK;
	if (outcome == OUTCOME_OK)
		stream->more->mapped_offset = c->until;
	/* There may be more: what did not fit in the map, or came meanwhile. */
	leave(s, stream, s->now_ms + (outcome == OUTCOME_OK ? 0 : RETRY_COMPACT_MS));
}

/* How many chunks from `first` on belong to the next step; 0: one of them is not durable yet. */
static uint32_t step_chunks(const struct sequencer *s, const struct stream *stream, uint32_t first)
{
	uint64_t bytes = 0, durable = s->store->ops->durable_position(s->store);
	uint32_t n = 0;

	for (; first + n + s->compacting.filtering < stream->chunk_count && n < s->config.compaction_chunks; n++) {
		const struct chunk *chunk = &stream_chunks(stream)[first + n];

		bytes += chunk->size_bytes;
		if (chunk->offset >= s->compacting.until || (n && bytes > STEP_BYTES) || chunk->kind != BODY_INLINE ||
		    chunk->place + chunk->size_bytes > durable ||
		    chunk_end(chunk) - stream_chunks(stream)[first].offset > UINT32_MAX)
			break;
	}
	return n;
}

/* Those of the aborted transactions that the step has to know. */
static size_t step_aborted(const struct stream *stream, uint64_t from, uint64_t end, struct aborted *out)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	size_t count = 0;

	for (uint32_t i = 0; sequences && i < sequences->aborted_count; i++) {
		const struct aborted *aborted = &sequences->aborted->items[i];

		if (aborted->last < from || aborted->first >= end)
			continue;
		if (out)
			out[count] = *aborted;
		count++;
	}
	return count;
}

static struct compact_step *step_new(struct sequencer *s, const struct stream *stream, uint32_t first, uint32_t count)
{
	const struct chunk *chunks = &stream_chunks(stream)[first];
	uint64_t from = chunks[0].offset, end = chunk_end(&chunks[count - 1]);
	size_t aborted_count = step_aborted(stream, from, end, NULL);
	size_t size = sizeof(struct compact_step) + count * sizeof(struct compact_chunk);
	struct compact_step *step = mem_zalloc(size + aborted_count * sizeof(struct aborted));
	struct aborted *aborted;

	if (!step)
		return NULL;
	aborted = (struct aborted *)(void *)((char *)step + size);
	step->aborted = aborted;
	step->aborted_count = step_aborted(stream, from, end, aborted);
	step->stream = stream->number;
	for (uint32_t i = 0; i < count; i++) {
		struct body_ref ref = chunk_ref(&chunks[i]);

		step->chunks[i] =
			(struct compact_chunk){s->store->ops->pin(s->store, &ref), chunks[i].offset, chunk_end(&chunks[i])};
		step->chunk_count++;
		if (!step->chunks[i].pin) {
			compact_step_free(step);
			return NULL;
		}
	}
	return step;
}

/* The next step of the pass; NULL: not now. */
static struct compact_step *step_next(struct sequencer *s, struct stream *stream, uint32_t first)
{
	struct compacting *c = &s->compacting;
	uint32_t count = step_chunks(s, stream, first);
	struct compact_step *step;

	if (!count)
		return NULL;
	step = step_new(s, stream, first, count);
	if (!step) {
		leave(s, stream, s->now_ms + RETRY_COMPACT_MS);
		return NULL;
	}
	step->phase = c->filtering ? COMPACT_FILTER : COMPACT_MAP;
	step->begins = c->fresh;
	step->anew = c->filtering && c->anew;
	step->from = c->from;
	step->until = c->until;
	step->earliest_offset = stream_earliest(stream);
	step->now_ms = s->now_ms;
	step->retention_ms = c->retention_ms;
	step->keys[0] = (struct hash_key){s->topic_key.k0, stream->number};
	step->keys[1] = (struct hash_key){s->topic_key.k1, stream->number};
	c->fresh = false;
	c->anew = c->anew && !c->filtering;
	c->out = true;
	return step;
}

struct compact_step *sequencer_compact_take(struct sequencer *s)
{
	struct compacting *c = &s->compacting;
	struct stream *stream;
	const struct chunk *chunk;
	bool more;
	uint32_t i;

	while (!c->out && !s->failed && (stream = compacting_stream(s))) {
		if (c->stream != stream->number && !begin(s, stream))
			continue;
		i = chunk_index(stream, c->at);
		chunk = &stream_chunks(stream)[i];
		/* The last chunk has keys, but is left alone. */
		more = i + c->filtering < stream->chunk_count && chunk->offset < c->until;
		if (more && chunk->kind == BODY_INLINE && c->filtering && !c->anew && chunk->offset < c->at) {
			filter_begins(c, stream); /* gathered with some that were read already */
			continue;
		}
		if (more && chunk->kind == BODY_INLINE)
			return step_next(s, stream, i);
		if (more) {
			c->at = chunk_end(chunk);
		} else if (c->filtering) {
			finish(s, stream);
		} else {
			filter_begins(c, stream);
		}
	}
	return NULL;
}

/* The chunks that a step read, as they lie now: what it found is of them. */
static bool still_there(const struct stream *stream, const struct compact_step *step)
{
	uint32_t first = chunk_index(stream, step->chunks[0].offset);

	if (first + step->chunk_count >= stream->chunk_count) /* the last one is not touched */
		return false;
	for (size_t i = 0; i < step->chunk_count; i++) {
		const struct chunk *chunk = &stream_chunks(stream)[first + i];
		const struct body_ref *ref = &step->chunks[i].pin->ref;

		if (chunk->offset != step->chunks[i].offset || chunk_end(chunk) != step->chunks[i].end ||
		    chunk->kind != BODY_INLINE || chunk->size_bytes != ref->size_bytes || chunk->crc != ref->crc)
			return false;
	}
	return !step->kept_count || step->kept_offset + step->kept_count > stream_earliest(stream);
}

/* No later than that of what was there: records without a time have that of their append, which their chunk alone knows. */
static uint64_t max_time(const struct stream *stream, const struct compact_step *step)
{
	uint32_t first = chunk_index(stream, step->chunks[0].offset);
	uint64_t max_ms = 0;

	for (size_t i = 0; i < step->chunk_count; i++) {
		if (stream_chunks(stream)[first + i].max_time_ms > max_ms)
			max_ms = stream_chunks(stream)[first + i].max_time_ms;
	}
	return step->max_time_ms < max_ms ? step->max_time_ms : max_ms;
}

static enum outcome apply(struct sequencer *s, struct stream *stream, const struct compact_step *step)
{
	uint64_t offset = step->chunks[0].offset, before = stream->bytes;
	struct stream_event e = {
		.type = STREAM_COMPACTED,
		.offset = offset,
		.count = step->chunks[step->chunk_count - 1].end - offset,
		.kept_offset = step->kept_offset,
		.kept_count = step->kept_count,
		.max_time_ms = max_time(stream, step),
		.aborted = buf_slice(&step->gone),
	};
	enum outcome outcome = OUTCOME_OK;

	if (step->changed || step->chunk_count >= JOIN_CHUNKS)
		outcome = stream_emit(s, &e, stream, buf_slice(&step->bytes));
	if (outcome == OUTCOME_OK && before > stream->bytes)
		s->stats.compacted_bytes_total += before - stream->bytes;
	return outcome;
}

static void mapped(struct sequencer *s, const struct stream *stream, const struct compact_step *step)
{
	struct compacting *c = &s->compacting;

	c->at = step->chunks[step->chunk_count - 1].end;
	if (step->mapped >= step->until)
		return;
	c->until = step->mapped;
	filter_begins(c, stream);
}

static void filtered(struct sequencer *s, struct stream *stream, const struct compact_step *step)
{
	struct compacting *c = &s->compacting;

	if (!still_there(stream, step)) {
		filter_begins(c, stream); /* once more, with those that are there */
		return;
	}
	if (apply(s, stream, step) != OUTCOME_OK) {
		leave(s, stream, s->now_ms + RETRY_COMPACT_MS);
		return;
	}
	if (step->horizon_ms && (!c->horizon_ms || step->horizon_ms < c->horizon_ms))
		c->horizon_ms = step->horizon_ms;
	c->at = step->chunks[step->chunk_count - 1].end;
}

uint64_t sequencer_compacted_changes(const struct sequencer *s)
{
	return s->streams.compacted_changes;
}

void sequencer_compacted_each(const struct sequencer *s, void (*each)(void *ctx, struct slice topic), void *ctx)
{
	list_each (node, &s->topics.all) {
		const struct topic *topic = container_of(node, struct topic, peers);

		if (topic->limits.compact)
			each(ctx, topic_name(topic));
	}
}

bool sequencer_compact_is_idle(const struct sequencer *s)
{
	return list_empty(&s->compacting.queue);
}

void sequencer_compact_give(struct sequencer *s, struct compact_step *step)
{
	struct compacting *c = &s->compacting;
	struct stream *stream = compacting_stream(s);

	c->out = false;
	if (stream && c->stream == step->stream && stream->number == step->stream && !s->failed) {
		if (step->error == -ENOMEM) {
			leave(s, stream, s->now_ms + RETRY_COMPACT_MS);
		} else if (step->error || step->bytes.len > store_body_max(s->store)) {
			s->stats.compactions_failed_total++;
			leave(s, stream, UINT64_MAX);
		} else if (step->phase == COMPACT_MAP) {
			mapped(s, stream, step);
		} else {
			filtered(s, stream, step);
		}
	}
	compact_step_free(step);
}
