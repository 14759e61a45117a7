/* The state as bytes, by what it is and not by how it is kept. */
#include "sequencer/sequencer_fixture.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"
#include "job/event.h"
#include "sequencer/sequencer_priv.h"

#include <stdlib.h>

struct records {
	struct buf bytes;
	size_t at[FIXTURE_ENTRIES + 1];
	size_t count;
};

static void record_add(struct records *records, const struct event *e)
{
	wire_put_u8(&records->bytes, (uint8_t)e->type);
	event_encode(e, &records->bytes);
	ENSURE(records->count < FIXTURE_ENTRIES && !records->bytes.failed);
	records->at[++records->count] = records->bytes.len;
}

/* Not by way of sequencer_snapshot, which is under test. A queue that only claims keep is no part of the state. */
static void records_fill(struct records *records, const struct jobs *jobs)
{
	struct event e;

	for (struct job *job = jobs_from(jobs, 0); job; job = jobs_from(jobs, job->number + 1)) {
		job_snapshot(job, &e);
		record_add(records, &e);
	}
	list_each (node, &jobs->queues) {
		const struct queue *queue = container_of(node, struct queue, peers);
		uint64_t held = queue->expired_count + queue->paused;

		for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
			held += queue->count[i];
		queue_snapshot(queue, &e);
		if (held)
			record_add(records, &e);
	}
}

static int by_bytes(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void dump_producer(struct buf *out, const struct producer *producer)
{
	wire_put_string(out, slice_from(producer->id, producer->len));
	wire_put_u64(out, producer->epoch);
	wire_put_u64(out, producer->seq);
}

static void dump_sequences(struct buf *out, const struct stream_sequences *sequences)
{
	list_each (node, &sequences->all) {
		const struct sequence *sequence = container_of(node, struct sequence, peers);

		wire_put_u64(out, sequence->producer_id);
		wire_put_u64(out, sequence->last_ms);
		wire_put_u64(out, sequence->txn_first);
		wire_put_u16(out, sequence->epoch);
		for (unsigned i = 0; i < sequence->batch_count; i++)
			sequence_batch_put(out, &sequence->batches[i]);
	}
	list_each (node, &sequences->open)
		wire_put_u64(out, container_of(node, struct sequence, open)->producer_id);
	for (uint32_t i = 0; i < sequences->aborted_count; i++)
		aborted_put(out, &sequences->aborted->items[i]);
}

static void dump_more(struct buf *out, const struct stream_more *more)
{
	const uint64_t numbers[] = {more->earliest_offset, more->expires_at_ms,  more->ttl_s,        more->max_age_ms,
				    more->max_bytes,       more->fork_offset,    more->fork_sub,     more->own_offset,
				    more->fork_depth,      more->producer_count, more->clean_offset, more->horizon_ms};

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		wire_put_u64(out, numbers[i]);
	wire_put_u64(out, more->source ? more->source->number : 0);
	wire_put_string(out, slice_from(more->stream_seq, more->stream_seq_len));
	if (more->closer)
		dump_producer(out, &(struct producer){.epoch = more->closer_epoch, .seq = more->closer_seq});
	if (!more->stream)
		return;
	if (more->sequences)
		dump_sequences(out, more->sequences);
	list_each (node, &more->producers)
		dump_producer(out, container_of(node, struct producer, peers));
	list_each (node, &more->keys) {
		const struct stream_keyed *keyed = container_of(node, struct stream_keyed, peers);

		wire_put_string(out, slice_from(keyed->key, keyed->len));
		wire_put_u64(out, keyed->offset);
	}
}

/* The first offset that it or a fork reads. */
static uint64_t read_from(const struct streams *streams, const struct stream *stream)
{
	uint64_t from = stream_earliest(stream);

	for (struct stream *fork = stream_next_after(streams, stream->number); fork && stream->fork_count;
	     fork = stream_next_after(streams, fork->number)) {
		uint64_t least = stream_more(fork)->source == stream ? read_from(streams, fork) : from;

		from = least < from ? least : from;
	}
	return from;
}

/* What nobody reads any more may stay as long as there are forks, in a replay longer than at first: left out. How many. */
static size_t dump_stream(struct buf *out, const struct streams *streams, const struct stream *stream)
{
	const uint64_t numbers[] = {stream->number, stream->next_offset, stream->created_s, stream->changed_end,
				    stream->flags,  stream->fork_count,  stream->bytes};
	uint64_t from = read_from(streams, stream);
	size_t left_out = 0;

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		wire_put_u64(out, numbers[i]);
	wire_put_string(out, stream_path(stream));
	wire_put_string(out, stream_type_slice(stream));
	for (uint32_t i = 0; i < stream->chunk_count; i++) {
		const struct chunk *chunk = &stream_chunks(stream)[i];

		if (chunk->kind == BODY_NONE)
			continue;
		if (chunk_end(chunk) > from)
			stream_chunk_put(out, chunk);
		else
			left_out++;
	}
	dump_more(out, stream_more(stream));
	return left_out;
}

static void dump_topics(struct buf *out, const struct topics *topics)
{
	wire_put_u64(out, topics->next_number);
	wire_put_u64(out, topics->next_producer_id);
	list_each (node, &topics->txns) {
		const struct txn *txn = container_of(node, struct txn, peers);
		const uint64_t numbers[] = {txn->producer_id, txn->epoch,      txn->state,    txn->timeout_ms,
					    txn->started_ms,  txn->changed_ms, txn->ended_by, txn->ended_epoch};

		wire_put_string(out, txn_id(txn));
		wire_put_string(out, txn_offsets(txn));
		for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
			wire_put_u64(out, numbers[i]);
		for (uint32_t i = 0; i < txn->stream_count; i++)
			wire_put_u64(out, txn->streams[i]);
	}
	list_each (node, &topics->all) {
		const struct topic *topic = container_of(node, struct topic, peers);

		wire_put_u64(out, topic->number);
		wire_put_u64(out, topic->changed_end);
		wire_put_string(out, topic_name(topic));
		buf_append(out, topic->id.bytes, sizeof(topic->id.bytes));
		wire_put_string(out, topic_settings(topic));
		for (uint32_t i = 0; i < topic->partition_count; i++)
			wire_put_u64(out, topic->partitions[i]);
	}
}

static void dump_subscription(struct buf *out, const struct subscription *subscription)
{
	const uint64_t numbers[] = {
		subscription->number,       subscription->kind,
		subscription->flags,        subscription->generation,
		subscription->lease_ttl_ms, subscription->lease_until_ms,
		subscription->attempts,     subscription->next_attempt_ms,
		subscription->created_ms,   subscription->changed_end,
		subscription->fingerprint,  subscription->link_count,
	};
	const struct slice strings[] = {subscription->id,     subscription->pattern,     subscription->url,
					subscription->origin, subscription->wake_stream, subscription->description};

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		wire_put_u64(out, numbers[i]);
	for (size_t i = 0; i < ARRAY_COUNT(strings); i++)
		wire_put_string(out, strings[i]);
	wire_put_string(out, subscription_holder(subscription));
	list_each (node, &subscription->links) {
		const struct subscription_link *link = container_of(node, struct subscription_link, peers);

		link_put(out, &(struct link_item){link->flags, link->stream, link->acked, link->waked, link_path(link)});
		wire_put_u64(out, link->tail);
	}
}

static void dump_consumer(struct buf *out, const struct consumer *consumer)
{
	const struct consumer_said *said = consumer->said;
	const struct slice strings[] = {said->id,          said->instance, said->rack,     said->client_id,
					said->client_host, said->regex,    said->assignor, said->topics};

	for (size_t i = 0; i < ARRAY_COUNT(strings); i++)
		wire_put_string(out, strings[i]);
	wire_put_u64(out, said->rebalance_ms);
	wire_put_u64(out, consumer->epoch);
	wire_put_u64(out, consumer->previous_epoch);
	wire_put_u64(out, consumer->state);
	places_put(out, &consumer->target);
	for (uint32_t i = 0; consumer->holding && i < consumer->holding->count; i++) {
		const struct held *held = &consumer->holding->at[i];

		wire_put_u64(out, held->place.topic);
		wire_put_u64(out, held->place.partition);
		wire_put_u32(out, held->since);
		wire_put_u8(out, held->revoking);
	}
}

static void dump_group(struct buf *out, const struct group *group)
{
	wire_put_u8(out, group->is_consumer);
	wire_put_u8(out, group->assignor);
	wire_put_u64(out, group->assignment_epoch);
	list_each (node, &group->consumers)
		dump_consumer(out, container_of(node, struct consumer, peers));
	wire_put_u64(out, group->number);
	wire_put_u64(out, group->used_ms);
	wire_put_u64(out, group->changed_end);
	wire_put_u64(out, group->generation);
	wire_put_u64(out, group->begun_members);
	wire_put_u64(out, group->begun_session_ms);
	wire_put_string(out, group_id(group));
	wire_put_string(out, group->protocol_type);
	wire_put_string(out, group->protocol);
	list_each (node, &group->offsets) {
		const struct group_offset *offset = container_of(node, struct group_offset, peers);

		wire_put_string(out, offset_topic(offset));
		wire_put_u64(out, offset->partition);
		wire_put_u64(out, offset->offset);
		wire_put_u64(out, (uint64_t)offset->leader_epoch);
		wire_put_u64(out, offset->committed_ms);
		wire_put_string(out, offset_metadata(offset));
	}
}

void fixture_dump(struct fixture *f, struct buf *out)
{
	struct records *records = mem_zalloc(sizeof(*records));
	struct slice *slices = mem_alloc((FIXTURE_ENTRIES + 1) * sizeof(*slices));
	size_t left_out = 0;

	ENSURE(records && slices);
	records_fill(records, &f->s->jobs);
	for (size_t i = 0; i < records->count; i++)
		slices[i] = slice_from(records->bytes.ptr + records->at[i], records->at[i + 1] - records->at[i]);
	qsort(slices, records->count, sizeof(*slices), by_bytes);
	buf_clear(out);
	for (size_t i = 0; i < records->count; i++)
		buf_append_slice(out, slices[i]);
	wire_put_u64(out, f->s->jobs.next_number);
	wire_put_u64(out, f->s->streams.next_number);
	for (struct stream *stream = stream_next_after(&f->s->streams, 0); stream;
	     stream = stream_next_after(&f->s->streams, stream->number))
		left_out += dump_stream(out, &f->s->streams, stream);
	wire_put_u64(out, f->body_count - left_out);
	dump_topics(out, &f->s->topics);
	wire_put_u64(out, f->s->subs.next_number);
	list_each (node, &f->s->subs.all)
		dump_subscription(out, container_of(node, struct subscription, peers));
	wire_put_u64(out, f->s->groups.next_number);
	list_each (node, &f->s->groups.all)
		dump_group(out, container_of(node, struct group, peers));
	buf_append(out, f->s->jobs.secret, EVENT_SECRET_BYTES);
	ENSURE(!out->failed);
	buf_deinit(&records->bytes);
	mem_free(records);
	mem_free(slices);
}
