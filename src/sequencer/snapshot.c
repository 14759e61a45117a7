/* The state as snapshot events, a piece at a time while the world goes on; and the rescue of bytes from old segments.
 *
 * The cursor is the next job's number; the secret comes first, the queues in one go behind the last job, because their totals
 * count events about jobs: whatever happens to a job after its snapshot happens before its queue's, or is counted by the replay.
 * Streams follow in the order of their numbers, each whole, then subscriptions, topics, transactional ids and groups; the cursor
 * then has bits that no job's number has. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <errno.h>

struct sink {
	int (*add)(void *ctx, uint8_t type, struct slice fields);
	void *ctx;
};

static int put(struct sequencer *s, const struct event *e, const struct sink *sink)
{
	buf_clear(&s->fields);
	event_encode(e, &s->fields);
	return s->fields.failed ? -ENOMEM : sink->add(sink->ctx, (uint8_t)e->type, buf_slice(&s->fields));
}

static int put_queues(struct sequencer *s, const struct sink *sink)
{
	struct event e;
	int r = 0;

	list_each (node, &s->jobs.queues) {
		queue_snapshot(container_of(node, struct queue, peers), &e);
		if (!r)
			r = put(s, &e, sink);
	}
	return r;
}

#define CURSOR_STREAMS       (1ULL << 63)
#define CURSOR_SUBSCRIPTIONS (CURSOR_STREAMS | 1ULL << 62)
#define CURSOR_TOPICS        (CURSOR_SUBSCRIPTIONS | 1ULL << 61)
#define CURSOR_TXNS          (CURSOR_TOPICS | 1ULL << 60)
#define CURSOR_GROUPS        (CURSOR_TXNS | 1ULL << 59)

static int snapshot_streams(struct sequencer *s, uint64_t *cursor, unsigned limit, const struct stream_sink *sink)
{
	struct stream *stream;
	int r = 0;

	while (!r && limit-- > 0) {
		stream = stream_next_after(&s->streams, *cursor & ~CURSOR_STREAMS);
		if (!stream) {
			*cursor = CURSOR_SUBSCRIPTIONS;
			r = subscription_snapshot_meta(s, sink);
			return r ? r : 1;
		}
		r = stream_snapshot(s, stream, sink);
		*cursor = CURSOR_STREAMS | stream->number;
	}
	return r ? r : 1;
}

static int snapshot_subscriptions(struct sequencer *s, uint64_t *cursor, unsigned limit, const struct stream_sink *sink)
{
	int r = 0;

	list_each (node, &s->subs.all) {
		const struct subscription *subscription = container_of(node, struct subscription, peers);

		if (subscription->number <= *cursor - CURSOR_SUBSCRIPTIONS)
			continue;
		if (limit-- == 0)
			return 1;
		r = subscription_snapshot(s, subscription, sink);
		if (r)
			return r;
		*cursor = CURSOR_SUBSCRIPTIONS + subscription->number;
	}
	*cursor = CURSOR_TOPICS;
	r = topics_snapshot_meta(s, sink);
	return r ? r : 1;
}

static int snapshot_topics(struct sequencer *s, uint64_t *cursor, unsigned limit, const struct stream_sink *sink)
{
	int r = 0;

	list_each (node, &s->topics.all) {
		const struct topic *topic = container_of(node, struct topic, peers);

		if (topic->number <= *cursor - CURSOR_TOPICS)
			continue;
		if (limit-- == 0)
			return 1;
		r = topic_snapshot_put(s, topic, sink);
		if (r)
			return r;
		*cursor = CURSOR_TOPICS + topic->number;
	}
	*cursor = CURSOR_TXNS;
	return 1;
}

static int snapshot_txns(struct sequencer *s, uint64_t *cursor, unsigned limit, const struct stream_sink *sink)
{
	int r = 0;

	list_each (node, &s->topics.txns) {
		const struct txn *txn = container_of(node, struct txn, peers);

		if (txn->place <= *cursor - CURSOR_TXNS)
			continue;
		if (limit-- == 0)
			return 1;
		r = txn_snapshot_put(s, txn, sink);
		if (r)
			return r;
		*cursor = CURSOR_TXNS + txn->place;
	}
	*cursor = CURSOR_GROUPS;
	r = group_snapshot_meta(s, sink);
	return r ? r : 1;
}

static int snapshot_groups(struct sequencer *s, uint64_t *cursor, unsigned limit, const struct stream_sink *sink)
{
	list_each (node, &s->groups.all) {
		const struct group *group = container_of(node, struct group, peers);
		int r;

		if (group->number <= *cursor - CURSOR_GROUPS)
			continue;
		if (limit-- == 0)
			return 1;
		r = group_snapshot(s, group, sink);
		if (r)
			return r;
		*cursor = CURSOR_GROUPS + group->number;
	}
	return 0;
}

int sequencer_snapshot(struct sequencer *s, uint64_t *cursor, unsigned limit,
		       int (*add)(void *ctx, uint8_t type, struct slice fields), void *ctx)
{
	struct sink sink = {add, ctx};
	struct stream_sink stream_sink = {add, ctx};
	struct event e = {
		.type = EVENT_SNAP_META,
		.secret = slice_from(s->jobs.secret, EVENT_SECRET_BYTES),
		.next_number = s->jobs.next_number,
	};
	struct job *job;
	int r = *cursor == 0 ? put(s, &e, &sink) : 0;

	if (*cursor >= CURSOR_GROUPS)
		return snapshot_groups(s, cursor, limit, &stream_sink);
	if (*cursor >= CURSOR_TXNS)
		return snapshot_txns(s, cursor, limit, &stream_sink);
	if (*cursor >= CURSOR_TOPICS)
		return snapshot_topics(s, cursor, limit, &stream_sink);
	if (*cursor >= CURSOR_SUBSCRIPTIONS)
		return snapshot_subscriptions(s, cursor, limit, &stream_sink);
	if (*cursor & CURSOR_STREAMS)
		return snapshot_streams(s, cursor, limit, &stream_sink);
	while (!r && limit-- > 0) {
		job = jobs_from(&s->jobs, *cursor);
		if (!job) {
			*cursor = CURSOR_STREAMS;
			r = put_queues(s, &sink);
			if (!r)
				r = stream_snapshot_meta(s, &stream_sink);
			return r ? r : 1;
		}
		job_snapshot(job, &e);
		r = put(s, &e, &sink);
		*cursor = job->number + 1;
	}
	return r ? r : 1;
}

int sequencer_snapshot_whole(struct sequencer *s, int (*add)(void *ctx, uint8_t type, struct slice fields), void *ctx)
{
	uint64_t cursor = 0;
	int r;

	while ((r = sequencer_snapshot(s, &cursor, 1000, add, ctx)) == 1)
		;
	return r;
}

static bool names(const struct body_ref *ref, const struct store_replay *entry)
{
	return ref->kind == BODY_INLINE && ref->place == entry->body_place;
}

static int rescue_stream(struct sequencer *s, const struct store_replay *entry)
{
	char *bytes = mem_alloc(entry->body_bytes);
	int r = bytes ? stream_rescue(s, entry, bytes) : -ENOMEM;

	mem_free(bytes);
	return r;
}

int sequencer_rescue(struct sequencer *s, const struct store_replay *entry)
{
	struct event old = {.type = (enum event_type)entry->type};
	struct event e = {0};
	struct store_pin *pin;
	struct job *job;
	char *bytes;
	int r;

	if (entry->body_bytes && entry->type >= STREAM_EVENT_FIRST)
		return rescue_stream(s, entry);
	if (entry->body_bytes == 0 || event_decode(&old, entry->fields))
		return 0;
	job = jobs_find(&s->jobs, old.number);
	if (!job || (!names(&job->body, entry) && !names(&job->result, entry)))
		return 0;
	e.type = names(&job->body, entry) ? EVENT_BODY_MOVED : EVENT_RESULT_MOVED;
	bytes = mem_alloc(entry->body_bytes);
	pin = s->store->ops->pin(s->store, e.type == EVENT_BODY_MOVED ? &job->body : &job->result);
	r = bytes && pin ? pin->ops->read_whole(pin, bytes) : -ENOMEM;
	if (!r)
		r = emit(s, &e, job, slice_from(bytes, entry->body_bytes)) == OUTCOME_OK ? 0 : STORE_NO_SPACE;
	if (pin)
		pin->ops->unpin(pin);
	mem_free(bytes);
	return r;
}
