/* Batches as Kafka producers send them.
 *
 * A producer with an id counts its records, partition by partition. What it sends twice is appended once: the stream knows its
 * last batches (stream/sequence.h), and the second time it is told where the first one lies. One that is not known here, perhaps
 * since it was forgotten, may begin anywhere (KIP-360).
 *
 * Nobody repeats a batch of a transaction that is over: its producer has had an answer to it, or has given it up. A producer that
 * counts as if it had never sent one that it gave up (librdkafka does, when it aborts while a connection is down) sends another
 * batch under its number; called a repetition, that one would be acknowledged, and lost. */
#include "sequencer/sequencer_priv.h"

#include "stream/batch.h"

enum { PRODUCER_IDLE_MS = 24 * 3600 * 1000 }; /* whoever was silent for so long may be forgotten */

static enum outcome judge_sequence(const struct sequence *sequence, const struct produce_batch *batch, uint64_t *ret_offset)
{
	const struct sequence_batch *repeated;

	if (!sequence)
		return OUTCOME_OK;
	if (batch->producer_epoch < sequence->epoch)
		return OUTCOME_STALE;
	if (batch->producer_epoch > sequence->epoch)
		return batch->base_sequence == 0 ? OUTCOME_OK : OUTCOME_GAP;
	repeated = sequence_repeated(sequence, (uint32_t)batch->base_sequence, batch->count);
	if (repeated) {
		if (batch->transactional && repeated->offset < sequence->txn_first)
			return OUTCOME_GAP; /* of an earlier transaction; UINT64_MAX: none is open */
		*ret_offset = repeated->offset;
		return OUTCOME_SAME;
	}
	return (uint64_t)batch->base_sequence == sequence_next(sequence) ? OUTCOME_OK : OUTCOME_GAP;
}

/* Where the producer's time counts, and the topic says how far it may be from the server's. */
static bool time_fits(const struct sequencer *s, const struct topic *topic, const struct produce_batch *batch)
{
	uint64_t first_ms = (uint64_t)batch->first_time_ms, max_ms = (uint64_t)batch->max_time_ms;

	if (topic->limits.append_time)
		return true;
	if (batch->first_time_ms >= 0 && first_ms < s->now_ms && s->now_ms - first_ms > topic->limits.time_before_ms)
		return false;
	return batch->max_time_ms < 0 || max_ms <= s->now_ms || max_ms - s->now_ms <= topic->limits.time_after_ms;
}

static enum outcome judge(const struct sequencer *s, const struct topic *topic, const struct produce_batch *batch)
{
	if (batch->size_bytes > topic->limits.max_message_bytes || batch->size_bytes > topic_message_max(s))
		return OUTCOME_TOO_LARGE;
	if (!time_fits(s, topic, batch))
		return OUTCOME_TIME;
	if (batch->no_key && topic->limits.compact)
		return OUTCOME_RECORD;
	if (batch->packed && topic->limits.compact)
		return OUTCOME_PACKED;
	return OUTCOME_OK;
}

/* Who makes room for a producer that is new here: id + 1; 0: nobody has to. */
static uint64_t to_forget(const struct sequencer *s, const struct stream *stream)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	const struct sequence *oldest;

	if (!sequences)
		return 0;
	list_each (node, &sequences->all) {
		oldest = container_of(node, struct sequence, peers);
		if (oldest->txn_first != UINT64_MAX)
			continue;
		if (sequences->count < s->config.producers_max && oldest->last_ms + PRODUCER_IDLE_MS > s->now_ms)
			return 0;
		return oldest->producer_id + 1;
	}
	return 0;
}

static uint64_t max_time(const struct sequencer *s, const struct topic *topic, const struct produce_batch *batch)
{
	const uint64_t most = UINT64_MAX / 8;

	if (topic->limits.append_time || batch->max_time_ms < 0)
		return s->now_ms;
	return (uint64_t)batch->max_time_ms < most ? (uint64_t)batch->max_time_ms : most;
}

static enum outcome append(struct sequencer *s, const struct topic *topic, struct stream *stream,
			   const struct produce_batch *batch)
{
	struct stream_event e = {
		.type = STREAM_APPENDED,
		.offset = stream->next_offset,
		.count = batch->count,
		.max_time_ms = max_time(s, topic, batch),
	};

	if (batch->producer_id >= 0) {
		e.type = STREAM_PRODUCED;
		e.producer_id = (uint64_t)batch->producer_id;
		e.epoch = (uint64_t)batch->producer_epoch;
		e.seq = (uint64_t)batch->base_sequence;
		e.txn = batch->transactional ? STREAM_TXN_RECORDS : STREAM_TXN_NONE;
		if (!sequence_find(&s->streams, stream, e.producer_id))
			e.forgotten = to_forget(s, stream);
	}
	batch_set_base(batch->bytes, stream->next_offset);
	batch_set_epoch(batch->bytes, TOPIC_LEADER_EPOCH);
	if (topic->limits.append_time)
		batch_set_append_time(batch->bytes, batch->size_bytes, s->now_ms);
	return stream_emit(s, &e, stream, slice_from(batch->bytes, batch->size_bytes));
}

static enum outcome produce(struct sequencer *s, const struct produce_in *in, struct produce_partition *p)
{
	const struct topic *topic = topic_of(s, &p->topic);
	struct stream *stream = partition_find(s, topic, p->partition);
	const struct produce_batch *batch = &p->batch;
	enum outcome outcome;

	p->append_time_ms = -1;
	if (!stream)
		return OUTCOME_NOT_FOUND;
	p->base_offset = stream->next_offset;
	outcome = judge(s, topic, batch);
	if (outcome == OUTCOME_OK)
		outcome = txn_may_produce(s, in, batch, stream);
	if (outcome == OUTCOME_OK && batch->producer_id >= 0)
		outcome =
			judge_sequence(sequence_find(&s->streams, stream, (uint64_t)batch->producer_id), batch, &p->base_offset);
	if (outcome == OUTCOME_OK)
		outcome = append(s, topic, stream, batch);
	if (outcome == OUTCOME_OK) {
		stream_keep(s, stream);
		if (topic->limits.append_time)
			p->append_time_ms = (int64_t)s->now_ms;
	}
	p->log_start_offset = stream_earliest(stream);
	return outcome;
}

void command_produce(struct sequencer *s, struct command *c)
{
	const struct produce_in *in = &c->in.produce;

	for (size_t i = 0; i < in->count; i++)
		in->partitions[i].outcome = produce(s, in, &in->partitions[i]);
	reply(s, c, OUTCOME_OK, s->appended_end);
}
