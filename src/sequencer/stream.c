/* Streams: created, appended to, deleted. Reading is stream_read.c's; stream_keep.c lets go what is too old or too much. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>

/* --- events --- */

/* What keeps or ends a stream may use the reserve; what fills the disk may not. */
static bool uses_reserve(const struct stream_event *e)
{
	return e->type == STREAM_DELETED || e->type == STREAM_TRIMMED || e->type == STREAM_DROPPED ||
	       (e->type == STREAM_APPENDED && e->count == 0) || (e->type == STREAM_PRODUCED && e->txn > STREAM_TXN_RECORDS);
}

static int append(struct sequencer *s, struct stream_event *e, struct slice body)
{
	struct store_appended appended;
	int r;

	buf_clear(&s->fields);
	stream_event_encode(e, &s->fields);
	r = append_entry(
		s,
		&(struct store_entry){.time_ms = e->time_ms, .body = body, .type = (uint8_t)e->type, .reserve = uses_reserve(e)},
		&appended);
	if (r)
		return r;
	e->position = appended.position;
	e->end = appended.end;
	e->bytes = appended.body;
	return 0;
}

enum outcome stream_emit(struct sequencer *s, struct stream_event *e, struct stream *stream, struct slice body)
{
	struct stream_waking waking = {.from = stream ? stream_readable(stream) : 0, .deleted = e->type == STREAM_DELETED};
	bool followed = stream && stream->followed;
	struct stream_prepared prepared;
	int r;

	if (s->failed)
		return OUTCOME_STORAGE;
	e->time_ms = s->now_ms;
	e->end = UINT64_MAX;
	if (stream)
		e->number = stream->number;
	r = streams_prepare(&s->streams, e, &prepared);
	if (r)
		return outcome_of(r);
	r = append(s, e, body);
	if (r) {
		streams_unprepare(&s->streams, &prepared);
		return outcome_of(r);
	}
	s->stats.events_total++;
	waking.gate = e->end;
	if (e->type == STREAM_DELETED) {
		s->forgotten_end = e->end;
		stream_wake_watchers(s, stream, &waking);
	}
	streams_commit(&s->streams, e, &prepared);
	/* Of a partition what came may be told later, or never. */
	if (stream && (e->type == STREAM_APPENDED || e->type == STREAM_PRODUCED) &&
	    (!(stream->flags & STREAM_TOPIC) || stream_shows(stream, waking.from))) {
		stream_wake_watchers(s, stream, &waking);
		if (stream->watch) /* memory was short */
			stream_not_shown(stream, waking.from);
	}
	if (followed)
		follow_event(s, e, body.len);
	subscriptions_follow(s, e);
	return OUTCOME_OK;
}

/* --- answers --- */

static void reply_stream(struct sequencer *s, struct command *c, enum outcome outcome, const struct stream *stream, uint64_t gate)
{
	c->out.stream = stream_view_new(s, stream, 0);
	reply(s, c, c->out.stream ? outcome : OUTCOME_NO_MEMORY, gate);
}

/* The bytes of an append as an entry has them. */
static struct slice records_body(const struct records_in *in, uint64_t base_offset)
{
	if (!in->batch)
		return (struct slice){0};
	batch_set_base(in->batch, base_offset);
	return slice_from(in->batch, in->batch_bytes);
}

/* Doors read the clock before they send, and on other threads than this. 0: now, which the journal need not say. */
static uint64_t records_time(const struct sequencer *s, const struct records_in *in)
{
	return in->max_time_ms == s->now_ms ? 0 : in->max_time_ms;
}

/* --- create --- */

static bool same_config(const struct stream *stream, const struct stream_event *e)
{
	const struct stream_more *more = stream_more(stream);

	return stream->flags == e->flags && slice_eq_nocase(stream_type_slice(stream), e->content_type) &&
	       more->ttl_s == e->ttl_s && more->expires_at_ms == e->expires_at_ms && more->max_age_ms == e->max_age_ms &&
	       more->max_bytes == e->max_bytes && (more->source ? more->source->number : 0) == e->source &&
	       more->fork_offset == e->fork_offset && more->fork_sub == e->fork_sub;
}

/* The stream is there already: the same, or another? A fork at the source's end is the same wherever that end is by now. */
static enum outcome create_again(struct sequencer *s, const struct stream_create_in *in, struct stream *stream,
				 struct stream_event *e)
{
	if (stream->flags & STREAM_GONE)
		return OUTCOME_CONFLICT;
	if (in->source.len && !in->has_fork_offset) {
		e->fork_offset = stream_more(stream)->fork_offset;
		e->fork_sub = stream_more(stream)->fork_sub;
	}
	stream_touch(&s->streams, stream, s->now_ms);
	return same_config(stream, e) ? OUTCOME_SAME : OUTCOME_CONFLICT;
}

void command_stream_create(struct sequencer *s, struct command *c)
{
	const struct stream_create_in *in = &c->in.stream_create;
	struct stream *stream = stream_find(&s->streams, in->path);
	struct stream_event e = {
		.type = STREAM_CREATED,
		.number = s->streams.next_number,
		.path = in->path,
		.content_type = in->content_type,
		.flags = (in->json ? STREAM_JSON : 0u) | (in->closed ? STREAM_CLOSED : 0u) | (in->has_ttl ? STREAM_HAS_TTL : 0u),
		.ttl_s = in->ttl_s,
		.expires_at_ms = in->expires_at_ms,
		.max_age_ms = in->max_age_ms,
		.max_bytes = in->max_bytes,
		.count = in->records.count,
		.max_time_ms = records_time(s, &in->records),
		.blob = in->records.blob,
	};
	struct stream_view *room = NULL;
	enum outcome outcome = in->source.len ? fork_from(s, in, stream, &e) : OUTCOME_OK;

	if (stream && (outcome == OUTCOME_OK || stream->flags & STREAM_GONE)) {
		reply_stream(s, c, create_again(s, in, stream, &e), stream, stream->changed_end);
		return;
	}
	if (outcome == OUTCOME_OK && s->streams.count >= s->config.streams_max)
		outcome = OUTCOME_FULL;
	/* The answer's memory comes first: who hears of a failure must be sure that no stream, and no blob, is left behind. */
	if (outcome == OUTCOME_OK) {
		room = stream_view_room(in->path.len + e.content_type.len, 0);
		outcome = room ? stream_emit(s, &e, NULL, records_body(&in->records, e.fork_offset + (e.fork_sub > 0)))
			       : OUTCOME_NO_MEMORY;
	}
	if (outcome != OUTCOME_OK) {
		mem_free(room);
		reply(s, c, outcome, s->appended_end);
		return;
	}
	stream = stream_find_number(&s->streams, e.number);
	stream_view_fill(room, stream, 0);
	c->out.stream = room;
	reply(s, c, OUTCOME_OK, stream->changed_end);
}

/* --- append --- */

static bool seq_rises(const struct stream *stream, struct slice seq)
{
	const struct stream_more *more = stream_more(stream);
	size_t len = seq.len < more->stream_seq_len ? seq.len : more->stream_seq_len;
	int order = len ? memcmp(seq.ptr, more->stream_seq, len) : 0;

	return !more->stream_seq || order > 0 || (order == 0 && seq.len > more->stream_seq_len);
}

/* Where a producer stands, for those whose append is not to be done; OUTCOME_OK: it is to be done. */
static enum outcome judge_producer(const struct sequencer *s, const struct stream *stream, const struct producer_in *in)
{
	const struct producer *producer = in->id.len ? producer_find(&s->streams, stream, in->id) : NULL;

	if (!in->id.len)
		return OUTCOME_OK;
	if (!producer)
		return in->seq == 0 ? OUTCOME_OK : OUTCOME_GAP;
	if (in->epoch < producer->epoch)
		return OUTCOME_STALE;
	if (in->epoch > producer->epoch)
		return in->seq == 0 ? OUTCOME_OK : OUTCOME_EPOCH_START;
	if (in->seq <= producer->seq)
		return OUTCOME_SAME;
	return in->seq == producer->seq + 1 ? OUTCOME_OK : OUTCOME_GAP;
}

bool producer_repeats(const struct sequencer *s, const struct stream *stream, const struct producer_in *in)
{
	return judge_producer(s, stream, in) == OUTCOME_SAME;
}

/* Of a topic's partition every chunk is batches that a Kafka client can be sent, and nothing goes from the middle of it. */
static enum outcome judge_topic(const struct sequencer *s, const struct stream *stream, const struct stream_append_in *in)
{
	const struct topic *topic = topic_of_stream(s, stream);

	if (!in->records.batch || in->close || in->replace || in->ttl_ms)
		return OUTCOME_TOPIC;
	if (topic && in->records.batch_bytes > topic->limits.max_message_bytes)
		return OUTCOME_TOO_LARGE;
	return topic && topic->limits.compact && !in->key.ptr ? OUTCOME_RECORD : OUTCOME_OK;
}

static enum outcome judge(const struct sequencer *s, const struct stream *stream, const struct stream_append_in *in)
{
	enum outcome outcome;

	if (stream->flags & STREAM_GONE)
		return OUTCOME_GONE;
	outcome = stream->flags & STREAM_TOPIC ? judge_topic(s, stream, in) : OUTCOME_OK;
	if (outcome != OUTCOME_OK)
		return outcome;
	if (stream->flags & STREAM_CLOSED) {
		/* Nothing more is asked of it: it is to be closed, or what is repeated was taken before somebody closed it. */
		if ((in->close && in->records.count == 0) || producer_repeats(s, stream, &in->producer))
			return OUTCOME_SAME;
		return OUTCOME_CLOSED;
	}
	if (in->records.count && !slice_eq_nocase(stream_type_slice(stream), in->content_type))
		return OUTCOME_TYPE;
	outcome = judge_producer(s, stream, &in->producer);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (in->stream_seq.len && !seq_rises(stream, in->stream_seq))
		return OUTCOME_SEQ;
	if (in->producer.id.len && stream_more(stream)->producer_count >= s->config.producers_max &&
	    !producer_find(&s->streams, stream, in->producer.id))
		return OUTCOME_FULL;
	return in->if_waiting && !stream->waits && !stream->watch ? OUTCOME_EMPTY : OUTCOME_OK;
}

static void tell_producer(const struct sequencer *s, struct command *c, const struct stream *stream)
{
	const struct producer_in *in = &c->in.stream_append.producer;
	const struct producer *producer = in->id.len ? producer_find(&s->streams, stream, in->id) : NULL;

	if (!producer || !c->out.stream)
		return;
	c->out.stream->producer_known = true;
	c->out.stream->producer_epoch = producer->epoch;
	c->out.stream->producer_seq = producer->seq;
}

static uint64_t expires_at(const struct sequencer *s, const struct stream_append_in *in)
{
	if (!in->ttl_ms || !in->records.count)
		return 0;
	return in->ttl_ms < EXPIRES_MAX_MS - s->now_ms ? s->now_ms + in->ttl_ms : EXPIRES_MAX_MS;
}

static struct stream_event appended_event(const struct sequencer *s, const struct stream_append_in *in)
{
	return (struct stream_event){
		.type = STREAM_APPENDED,
		.count = in->records.count,
		.blob = in->records.blob,
		.flags = in->close ? STREAM_CLOSED : 0,
		.stream_seq = in->stream_seq,
		.producer = in->producer.id,
		.epoch = in->producer.epoch,
		.seq = in->producer.seq,
		.max_time_ms = records_time(s, &in->records),
		.key = in->replace ? in->key : (struct slice){0},
		.expires_at_ms = expires_at(s, in),
	};
}

void command_stream_append(struct sequencer *s, struct command *c)
{
	const struct stream_append_in *in = &c->in.stream_append;
	struct stream *stream = stream_find(&s->streams, in->path);
	struct stream_event e = appended_event(s, in);
	enum outcome outcome;
	uint32_t waits;

	if (!stream) {
		stream = topic_choose(s, in->path, in->key, &c->out.partition);
		c->out.chosen = stream != NULL;
	}
	if (!stream) {
		reply(s, c, OUTCOME_NOT_FOUND, s->forgotten_end);
		return;
	}
	outcome = judge(s, stream, in);
	waits = stream->waits;
	/* As above: no memory for the answer, no append. */
	c->out.stream = stream_view_room(stream->path_len + stream_type_slice(stream).len, 0);
	if (!c->out.stream) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	if (outcome == OUTCOME_OK) {
		e.offset = stream->next_offset;
		outcome = stream_emit(s, &e, stream, records_body(&in->records, stream->next_offset));
		c->out.woken = waits - stream->waits;
	}
	if (outcome == OUTCOME_OK)
		stream_keep(s, stream);
	stream_view_fill(c->out.stream, stream, 0);
	tell_producer(s, c, stream);
	reply(s, c, outcome, stream->changed_end);
}

/* --- delete --- */

void command_stream_delete(struct sequencer *s, struct command *c)
{
	struct stream *stream = stream_find(&s->streams, c->in.stream_read.path);
	enum outcome outcome = OUTCOME_NOT_FOUND;

	if (stream && stream->flags & STREAM_GONE)
		outcome = OUTCOME_GONE;
	else if (stream && stream->flags & STREAM_TOPIC)
		outcome = OUTCOME_TOPIC;
	else if (stream)
		outcome = stream_emit(s, &(struct stream_event){.type = STREAM_DELETED}, stream, (struct slice){0});
	reply(s, c, outcome, s->forgotten_end);
}
