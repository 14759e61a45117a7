/* The invariants of topics: who caused an event, who waits in vain, and what was told once for all. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdlib.h>

enum { OVERDUE_MS = 2500 }; /* a deadline that could not be handled comes again a second later */

/* --- each event as it is appended: who made it, and was it right? --- */

static bool asks(const struct world *world, enum command_kind kind)
{
	return world->cause == CAUSE_COMMAND && world->applying->command.kind == kind;
}

/* Ends of transactions: by who ends his own or takes it over, or when time is over. */
static bool may_end(const struct world *world)
{
	return asks(world, COMMAND_TXN_END) || asks(world, COMMAND_PRODUCER_ID) || world->cause == CAUSE_TURN;
}

static void tap_records(struct world *world, const struct stream_event *e, struct slice body)
{
	struct question *q = world->cause == CAUSE_COMMAND ? question_of(world->applying) : NULL;

	CHECK(world, asks(world, COMMAND_PRODUCE), "partition %" PRIu64 ": records by nobody", e->number);
	for (size_t i = 0; i < world->applying->command.in.produce.count; i++) {
		const struct produce_batch *batch = &q->produce[i].batch;

		if (q->done[i] || q->streams[i] != e->number || q->should[i] != OUTCOME_OK || batch->size_bytes != body.len ||
		    topic_batch_content(body) != topic_batch_content(slice_from(batch->bytes, batch->size_bytes)))
			continue;
		CHECK(world, batch->producer_id < 0 ? e->type == STREAM_APPENDED : e->type == STREAM_PRODUCED,
		      "partition %" PRIu64 ": another kind of append", e->number);
		q->done[i] = true;
		world->topics.produced++;
		return;
	}
	CHECK(world, false, "partition %" PRIu64 ": a batch was appended that should not be", e->number);
}

static void tap_deleted_records(struct world *world, const struct stream_event *e)
{
	const struct question *q = question_of(world->applying);

	for (size_t i = 0; i < world->applying->command.in.delete_records.count; i++) {
		if (q->streams[i] == e->number && q->should[i] == OUTCOME_OK && q->should_offset[i] == e->offset) {
			world->topics.dropped++;
			return;
		}
	}
	CHECK(world, false, "partition %" PRIu64 ": let go until %" PRIu64 " by nobody", e->number, e->offset);
}

void topic_stream_tap(struct world *world, const struct stream_event *e, struct slice body, const struct model_stream *stream)
{
	switch ((unsigned)e->type) {
	case STREAM_CREATED:
		CHECK(world, asks(world, COMMAND_TOPIC_CREATE) || asks(world, COMMAND_TOPIC_PARTITIONS),
		      "partition %" PRIu64 " was made by nobody", e->number);
		return;
	case STREAM_DELETED:
		CHECK(world,
		      asks(world, COMMAND_TOPIC_CREATE) || asks(world, COMMAND_TOPIC_PARTITIONS) ||
			      asks(world, COMMAND_TOPIC_DELETE) || world->cause == CAUSE_START,
		      "partition %" PRIu64 " was deleted by nobody", e->number);
		return;
	case STREAM_PRODUCED:
		if (e->txn > STREAM_TXN_RECORDS) {
			CHECK(world, may_end(world), "partition %" PRIu64 ": a marker by nobody", e->number);
			return;
		}
		tap_records(world, e, body);
		return;
	case STREAM_APPENDED:
		tap_records(world, e, body);
		return;
	case STREAM_TRIMMED:
		if (asks(world, COMMAND_DELETE_RECORDS))
			tap_deleted_records(world, e);
		else
			tap_kept(world, e, stream);
		return;
	case STREAM_COMPACTED:
		compactor_tap(world, e, stream);
		return;
	default:
		tap_kept(world, e, stream);
	}
}

static void tap_txn(struct world *world, const struct topic_event *e)
{
	const struct model_txn *txn = model_txn(&world->model.topics, e->transactional_id);

	switch (e->state) {
	case TXN_ONGOING:
		CHECK(world, asks(world, COMMAND_TXN_ADD) || asks(world, COMMAND_TXN_OFFSETS),
		      "a transaction was begun by nobody");
		return;
	case TXN_COMMITTING:
		CHECK(world, asks(world, COMMAND_TXN_END) && world->applying->command.in.txn.commit, "committed by nobody");
		return;
	case TXN_ABORTING:
		CHECK(world, may_end(world), "aborted by nobody");
		CHECK(world, world->cause != CAUSE_TURN || txn->started_ms + txn->timeout_ms <= world->now_ms,
		      "a transaction was aborted %" PRIu64 " ms too early", txn->started_ms + txn->timeout_ms - world->now_ms);
		CHECK(world, asks(world, COMMAND_TXN_END) || e->epoch > txn->epoch, "aborted by another, who fences nobody");
		world->topics.timed_out += world->cause == CAUSE_TURN;
		return;
	case TXN_COMMITTED:
		world->topics.committed++;
		return;
	case TXN_ABORTED:
		world->topics.aborted++;
		return;
	default:
		CHECK(world, asks(world, COMMAND_PRODUCER_ID), "a transactional id was given by nobody");
	}
}

static void tap_topic(struct world *world, const struct store_replay *entry)
{
	struct topic_event e = {.type = (enum topic_event_type)entry->type};

	CHECK(world, topic_event_decode(&e, entry->fields) == 0, "an event of a topic that nobody can read");
	switch ((unsigned)e.type) {
	case TOPIC_CREATED:
		CHECK(world, asks(world, COMMAND_TOPIC_CREATE), "a topic was made by nobody");
		world->topics.made++;
		return;
	case TOPIC_GROWN:
		CHECK(world, asks(world, COMMAND_TOPIC_PARTITIONS), "a topic grew by itself");
		world->topics.grown++;
		return;
	case TOPIC_CONFIGURED:
		CHECK(world, asks(world, COMMAND_TOPIC_CONFIG), "a topic was changed by nobody");
		return;
	case TOPIC_DELETED:
		CHECK(world, asks(world, COMMAND_TOPIC_DELETE), "a topic was deleted by nobody");
		world->topics.deleted++;
		return;
	case TOPIC_TXN:
		tap_txn(world, &e);
		return;
	default:
		CHECK(world, asks(world, COMMAND_PRODUCER_ID), "a producer's id was given to nobody");
	}
}

static void tap_group(struct world *world, const struct store_replay *entry)
{
	struct group_event e = {.type = (enum group_event_type)entry->type};

	CHECK(world, group_event_decode(&e, entry->fields) == 0, "an event of a group that nobody can read");
	group_tap(world, &e);
	if (e.type == GROUP_COMMITTED) {
		CHECK(world, asks(world, COMMAND_GROUP_COMMIT) || may_end(world), "offsets were committed by nobody");
		world->topics.offsets++;
	}
}

void topic_tap(struct world *world, const struct store_replay *entry)
{
	const char *wrong;

	world_trace(world, "event %u, until position %" PRIu64, entry->type, entry->end);
	if (entry->type >= GROUP_EVENT_FIRST)
		tap_group(world, entry);
	else if (entry->type >= TOPIC_EVENT_FIRST)
		tap_topic(world, entry);
	wrong = model_apply(&world->model, entry);
	CHECK(world, !wrong, "event %u: %s", entry->type, wrong);
}

/* --- who waits --- */

/* What is told of a partition is durable. */
void check_growth(struct world *world, const struct stream_growth *growth, uint64_t durable)
{
	const struct model_partition *partition = model_partition(&world->model.topics, growth->number);
	const struct model_batch *last;

	CHECK(world, partition && growth->key == stream_key(growth->number), "a partition that never was has grown");
	CHECK(world, !growth->deleted || (partition->stream->deleted_end && partition->stream->deleted_end <= durable),
	      "partition %" PRIu64 " was said to be gone, and is not, durably", growth->number);
	if (growth->deleted)
		return;
	last = growth->next_offset ? model_batch(partition, growth->next_offset - 1) : NULL;
	CHECK(world, !growth->next_offset || (last && last->end <= durable && last->offset + last->count == growth->next_offset),
	      "partition %" PRIu64 " was said to have grown to %" PRIu64 ", which is not durable", growth->number,
	      growth->next_offset);
	CHECK(world, growth->earliest_offset <= partition->stream->earliest && growth->stable_offset <= growth->next_offset,
	      "partition %" PRIu64 ": its ends as it grew", growth->number);
}

static bool wake_is_near(const struct fetcher *fetcher)
{
	for (const struct mail *mail = fetcher->loop->inbox.first; mail; mail = mail->next) {
		struct message *message = container_of(mail, struct message, mail);

		for (size_t i = 0; message->kind == MESSAGE_STREAM_GREW && i < fetcher->count; i++) {
			if (fetcher->streams[i] &&
			    container_of(message, struct stream_growth, message)->number == fetcher->streams[i])
				return true;
		}
	}
	return false;
}

/* The end of the last durable event with which somebody who waits there, for one byte, has what he waits for; 0: there is none.
 */
static uint64_t wait_ended(const struct model_partition *partition, uint64_t offset, bool committed, uint64_t durable)
{
	uint64_t stable = committed ? model_stable(partition) : UINT64_MAX, end = 0;
	bool has = false;

	if (partition->stream->deleted_end && partition->stream->deleted_end <= durable)
		return partition->stream->deleted_end;
	if (offset < partition->stream->earliest) /* let go while he waited: he is told when his time is over */
		return 0;
	for (size_t i = partition->count; i > 0 && partition->batches[i - 1].offset >= offset; i--) {
		const struct model_batch *batch = &partition->batches[i - 1];

		if (batch->gone)
			continue;
		if (committed && batch->end > durable && batch->kind > STREAM_TXN_RECORDS)
			return 0; /* what it ends is not over for him yet */
		has = has || (batch->end <= durable && batch->offset < stable);
		if (batch->end <= durable && batch->end > end)
			end = batch->end;
	}
	return has ? end : 0;
}

static void check_fetcher(struct world *world, const struct fetcher *fetcher)
{
	uint64_t durable = sim_store_durable(world->store);

	for (size_t i = 0; i < fetcher->count && fetcher->state == FETCHER_PARKED; i++) {
		const struct model_partition *partition = model_partition(&world->model.topics, fetcher->streams[i]);
		uint64_t end = wait_ended(partition, fetcher->offsets[i], fetcher->committed, durable);

		if (!end || (fetcher->min_bytes > 1 && end != partition->stream->deleted_end))
			continue;
		CHECK(world, end <= partition->stream->wake_short_end || world->memory_failed || wake_is_near(fetcher),
		      "a wake of fetcher %u is lost: partition %" PRIu64 ", offset %" PRIu64,
		      (unsigned)(fetcher - world->topics.fetchers), fetcher->streams[i], fetcher->offsets[i]);
	}
}

/* What is decided is done at once, unless memory or space was short; what is not decided ends in time. */
static void check_txn(struct world *world, const struct model_txn *txn)
{
	uint64_t since = txn->changed_ms > world->topics.short_ms ? txn->changed_ms : world->topics.short_ms;
	uint64_t due = txn->started_ms + txn->timeout_ms;

	if (txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING)
		CHECK(world, since + OVERDUE_MS > world->now_ms, "a transaction is decided, and not done");
	if (txn->state == TXN_ONGOING)
		CHECK(world, (due > world->topics.short_ms ? due : world->topics.short_ms) + OVERDUE_MS > world->now_ms,
		      "a transaction lasts longer than it may");
}

void topic_check_turn(struct world *world)
{
	if (world->memory_failed || world->full)
		world->topics.short_ms = world->now_ms;
	for (unsigned i = 0; i < TOPIC_FETCHERS; i++)
		check_fetcher(world, &world->topics.fetchers[i]);
	for (size_t i = 0; i < world->model.topics.txn_count; i++)
		check_txn(world, &world->model.topics.txns[i]);
}

/* --- what was told --- */

void fate_told(struct world *world, uint64_t txn, enum fate fate)
{
	struct topic_world *topics = &world->topics;

	if (txn >= topics->fates_cap) {
		uint64_t cap = (txn + 1) * 2;

		topics->fates = realloc(topics->fates, cap);
		ENSURE(topics->fates);
		memset(topics->fates + topics->fates_cap, 0, cap - topics->fates_cap);
		topics->fates_cap = cap;
	}
	CHECK(world, topics->fates[txn] == FATE_NONE || topics->fates[txn] == fate, "a transaction was said to end in two ways");
	topics->fates[txn] = (uint8_t)fate;
}

static void check_all_over(struct world *world, const struct model_partition *partition)
{
	for (size_t i = 0; i < partition->sequence_count; i++) {
		const struct model_sequence *sequence = &partition->sequences[i];
		const struct model_txn *txn = model_txn_producer(&world->model.topics, sequence->producer_id);

		/* What is decided is done later when memory or space is short. */
		bool late = txn && (txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING) &&
			    world->topics.short_ms + OVERDUE_MS > world->now_ms;

		CHECK(world, sequence->txn_first == UINT64_MAX || late || (txn && txn->state == TXN_ONGOING),
		      "partition %" PRIu64 ": a transaction is open there, and nowhere else", partition->stream->number);
	}
}

void topic_told_check(struct world *world, bool finished)
{
	struct model_topics *model = &world->model.topics;

	ends_check(world);
	for (uint64_t txn = 1; txn < world->topics.fates_cap; txn++) {
		uint8_t told = world->topics.fates[txn], is = *model_fate(model, txn);

		CHECK(world, !told || !is || is == told || is == FATE_OPEN,
		      "transaction %" PRIu64 " was said to be %s, and is not", txn,
		      told == FATE_COMMITTED ? "committed" : "aborted");
	}
	for (uint64_t stream = 0; stream < model->partition_cap; stream++) {
		const struct model_partition *partition = model->partitions[stream];
		const char *wrong = partition && !partition->stream->deleted_end ? model_compact_check(partition) : NULL;

		CHECK(world, !wrong, "partition %" PRIu64 ": %s", stream, wrong);
		if (finished && partition && !partition->stream->deleted_end)
			check_all_over(world, partition);
	}
}
