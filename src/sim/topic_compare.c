/* Topics, producers and transactions of the sequencer's state, as its own snapshot tells them, against the model's. */
#include "sim/topic_model.h"

#include "base/panic.h"
#include "sim/model.h"

#include <inttypes.h>
#include <stdio.h>

static void differ(struct topic_comparison *c, const char *what, uint64_t number, uint64_t is, uint64_t should)
{
	if (!c->wrong[0])
		snprintf(c->wrong, sizeof(c->wrong), "topic or partition %" PRIu64 ": %s is %" PRIu64 ", should be %" PRIu64,
			 number, what, is, should);
}

#define SAME(what, is, should)                                                                                                   \
	do {                                                                                                                     \
		if ((uint64_t)(is) != (uint64_t)(should))                                                                        \
			differ(c, what, e->number, (uint64_t)(is), (uint64_t)(should));                                          \
	} while (0)

/* --- of a partition --- */

void topic_compare_stream(struct topic_comparison *c, uint64_t stream)
{
	const struct model_partition *before = c->partition;

	if (before && c->sequences != before->sequence_count)
		differ(c, "how many producers it knows", before->stream->number, c->sequences, before->sequence_count);
	if (before && c->aborted != before->aborted_count)
		differ(c, "how many were aborted", before->stream->number, c->aborted, before->aborted_count);
	if (before && !c->clean && (before->clean_offset || before->horizon_ms))
		differ(c, "that it is compacted", before->stream->number, 0, 1);
	c->clean = false;
	c->partition = stream ? model_partition(&c->model->topics, stream) : NULL;
	c->sequences = c->aborted = 0;
}

static void compare_sequence(struct topic_comparison *c, const struct stream_event *e)
{
	const struct model_sequence *sequence = model_sequence(c->partition, e->producer_id);
	struct slice rest = e->batches;
	unsigned count = 0;

	c->sequences++;
	SAME("that it knows a producer", 1, sequence != NULL);
	if (!sequence)
		return;
	SAME("a producer's epoch", e->epoch, sequence->epoch);
	SAME("when a producer was heard", e->last_ms, sequence->last_ms);
	SAME("where a transaction begins", e->txn_first, sequence->txn_first + 1);
	for (; rest.len && count < sequence->count; count++) {
		struct sequence_batch batch;

		ENSURE(sequence_batch_get(&rest, &batch) == 0);
		SAME("a batch's sequence", batch.seq, sequence->last[count].seq);
		SAME("a batch's length", batch.count, sequence->last[count].count);
		SAME("a batch's offset", batch.offset, sequence->last[count].offset);
	}
	SAME("how many batches it knows", count + (rest.len > 0), sequence->count);
}

static void compare_aborted(struct topic_comparison *c, const struct stream_event *e)
{
	struct slice rest = e->aborted;
	struct aborted is;

	for (; rest.len; c->aborted++) {
		const struct aborted *should = &c->partition->aborted[c->aborted];

		ENSURE(aborted_get(&rest, &is) == 0);
		if (c->aborted >= c->partition->aborted_count)
			continue; /* their number will be told */
		SAME("who aborted", is.producer_id, should->producer_id);
		SAME("where what was aborted begins", is.first, should->first);
		SAME("where what was aborted ends", is.last, should->last);
	}
}

static void compare_clean(struct topic_comparison *c, const struct stream_event *e)
{
	c->clean = true;
	SAME("chunks in a checkpoint that are compacted", e->count, 0);
	SAME("how far it is compacted", e->clean_offset, c->partition->clean_offset);
	SAME("when something may go", e->horizon_ms, c->partition->horizon_ms);
}

static void compare_part(struct topic_comparison *c, uint8_t type, struct slice fields)
{
	struct stream_event event = {.type = (enum stream_event_type)type}, *e = &event;

	ENSURE(stream_event_decode(e, fields) == 0);
	SAME("what this is a part of", c->partition ? c->partition->stream->number : 0, e->number);
	if (!c->partition)
		return;
	if (type == STREAM_COMPACTED)
		compare_clean(c, e);
	else if (type == STREAM_SNAP_SEQUENCE)
		compare_sequence(c, e);
	else
		compare_aborted(c, e);
}

/* --- topics, transactions --- */

static void compare_topic(struct topic_comparison *c, const struct topic_event *e)
{
	const struct model_topics *topics = &c->model->topics;
	const struct model_topic *topic = e->number < topics->cap ? topics->at[e->number] : NULL;
	struct slice rest = e->partitions;
	struct partition_run run;
	uint32_t count = 0;

	c->topics++;
	SAME("that it is there", 1, topic && !topic->deleted_end);
	if (!topic)
		return;
	SAME("its name", slice_eq(e->name, slice_str(topic->name)), 1);
	SAME("its id", slice_eq(e->id, slice_from(&topic->id, sizeof(topic->id))), 1);
	SAME("what is set of it", slice_eq(e->settings, slice_from(topic->settings, topic->settings_len)), 1);
	SAME("changed_end", e->changed_end, topic->changed_end);
	while (partition_run_get(&rest, &run) == 1) {
		for (uint64_t i = 0; i < run.count && count < topic->partition_count; i++)
			SAME("a partition", run.stream + i, topic->partitions[count++]);
	}
	SAME("how many partitions it has", count, topic->partition_count);
}

static void compare_txn(struct topic_comparison *c, const struct topic_event *e)
{
	const struct model_txn *txn = model_txn(&c->model->topics, e->transactional_id);
	struct slice rest = e->streams;
	uint64_t stream;
	size_t count = 0;

	c->txns++;
	SAME("that there is a transactional id", 1, txn != NULL);
	if (!txn)
		return;
	SAME("a transaction's producer", e->producer_id, txn->producer_id);
	SAME("a transaction's epoch", e->epoch, txn->epoch);
	SAME("a transaction's state", e->state, txn->state);
	SAME("a transaction's timeout", e->timeout_ms, txn->timeout_ms);
	SAME("when a transaction began", e->started_ms, txn->started_ms);
	SAME("when a transaction changed", e->changed_ms, txn->changed_ms);
	SAME("a transaction's offsets", slice_eq(e->offsets, slice_from(txn->offsets, txn->offsets_len)), 1);
	for (; count < txn->stream_count && txn_stream_get(&rest, &stream) == 1; count++)
		SAME("a transaction's partition", stream, txn->streams[count]);
	SAME("how many partitions a transaction has", count + (rest.len > 0), txn->stream_count);
}

void topic_compare(struct topic_comparison *c, uint8_t type, struct slice fields)
{
	struct topic_event event = {.type = (enum topic_event_type)type}, *e = &event;
	const struct model_topics *topics = &c->model->topics;

	if (type < TOPIC_EVENT_FIRST) {
		compare_part(c, type, fields);
		return;
	}
	ENSURE(topic_event_decode(e, fields) == 0);
	if (type == TOPIC_SNAP) {
		compare_topic(c, e);
	} else if (type == TOPIC_TXN) {
		compare_txn(c, e);
	} else {
		SAME("the next topic", e->next_number, topics->next_number ? topics->next_number : 1);
		SAME("the next producer", e->next_producer_id, topics->next_producer_id ? topics->next_producer_id : 1);
	}
}

void topic_compare_end(struct topic_comparison *c)
{
	topic_compare_stream(c, 0);
	if (c->topics != c->model->topics.live)
		differ(c, "how many topics there are", 0, c->topics, c->model->topics.live);
	if (c->txns != c->model->topics.txn_count)
		differ(c, "how many transactional ids there are", 0, c->txns, c->model->topics.txn_count);
}
