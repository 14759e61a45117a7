/* What the oracle says to a command of the Kafka door, and whether that is what became of it. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

bool topic_command(const struct ask *ask)
{
	return ask->command.kind >= COMMAND_TOPIC_CREATE && ask->command.kind <= COMMAND_GROUPS;
}

struct question *question_of(const struct ask *ask)
{
	ENSURE(ask->more);
	return ask->more;
}

bool topic_excused(const struct world *world, enum outcome outcome)
{
	return (outcome == OUTCOME_NO_MEMORY && world->memory_failed) || (outcome == OUTCOME_NO_SPACE && world->full) ||
	       (outcome == OUTCOME_STORAGE && world->failed);
}

/* --- produce --- */

static enum outcome expect_transaction(struct world *world, const struct produce_batch *batch, uint64_t stream)
{
	const struct model_txn *txn =
		batch->producer_id >= 0 ? model_txn_producer(&world->model.topics, (uint64_t)batch->producer_id) : NULL;
	bool in = txn && txn->state == TXN_ONGOING && model_txn_has(txn, stream);

	if (!batch->transactional)
		return in ? OUTCOME_TXN : OUTCOME_OK;
	if (txn && (uint64_t)batch->producer_epoch != txn->epoch)
		return OUTCOME_STALE;
	return in ? OUTCOME_OK : OUTCOME_TXN;
}

static enum outcome expect_sequence(const struct model_sequence *sequence, const struct produce_batch *batch,
				    uint64_t *ret_offset)
{
	if (!sequence)
		return OUTCOME_OK;
	if ((uint64_t)batch->producer_epoch != sequence->epoch) {
		if ((uint64_t)batch->producer_epoch < sequence->epoch)
			return OUTCOME_STALE;
		return batch->base_sequence == 0 ? OUTCOME_OK : OUTCOME_GAP;
	}
	for (unsigned i = 0; i < sequence->count; i++) {
		const struct sequence_batch *last = &sequence->last[i];

		if (last->seq != (uint32_t)batch->base_sequence || last->count != batch->count)
			continue;
		if (batch->transactional && last->offset < sequence->txn_first) /* of an earlier one; UINT64_MAX: none is open */
			return OUTCOME_GAP;
		*ret_offset = last->offset;
		return OUTCOME_SAME;
	}
	return model_sequence_next(sequence) == (uint64_t)batch->base_sequence ? OUTCOME_OK : OUTCOME_GAP;
}

static void expect_produce(struct world *world, struct question *q, size_t i)
{
	struct produce_partition *p = &q->produce[i];
	const struct produce_batch *batch = &p->batch;
	const struct model_topic *topic = model_topic(&world->model.topics, &p->topic);
	struct model_partition *partition = model_partition_of(&world->model.topics, &p->topic, p->partition);
	enum outcome *should = &q->should[i];

	q->streams[i] = partition ? partition->stream->number : 0;
	if (!partition) {
		*should = OUTCOME_NOT_FOUND;
		return;
	}
	q->should_offset[i] = partition->stream->next_offset;
	if (batch->size_bytes > topic->max_message_bytes)
		*should = OUTCOME_TOO_LARGE;
	else if (batch->no_key && topic->compact)
		*should = OUTCOME_RECORD;
	else
		*should = expect_transaction(world, batch, partition->stream->number);
	if (*should == OUTCOME_OK && batch->producer_id >= 0)
		*should = expect_sequence(model_sequence(partition, (uint64_t)batch->producer_id), batch, &q->should_offset[i]);
}

static void check_produced(struct world *world, const struct question *q, size_t i)
{
	const struct produce_partition *p = &q->produce[i];
	const struct model_partition *partition = model_partition(&world->model.topics, q->streams[i]);
	const struct model_batch *batch;

	if (topic_excused(world, p->outcome)) {
		CHECK(world, !q->done[i], "a batch was refused and is there");
		return;
	}
	CHECK(world, p->outcome == q->should[i], "a batch came to outcome %d, the oracle says %d", (int)p->outcome,
	      (int)q->should[i]);
	CHECK(world, q->done[i] == (p->outcome == OUTCOME_OK), "a batch with outcome %d is %s", (int)p->outcome,
	      q->done[i] ? "there" : "not there");
	if (p->outcome == OUTCOME_NOT_FOUND)
		return;
	CHECK(world, p->log_start_offset == partition->stream->earliest, "another begin of partition %" PRIu64, q->streams[i]);
	if (p->outcome != OUTCOME_OK && p->outcome != OUTCOME_SAME)
		return;
	batch = model_batch(partition, p->base_offset);
	CHECK(world, p->base_offset == q->should_offset[i] && batch && batch->offset == p->base_offset,
	      "a batch was said to lie at %" PRIu64 ", it lies at %" PRIu64, p->base_offset, q->should_offset[i]);
	CHECK(world, batch->content == topic_batch_content(slice_from(p->batch.bytes, p->batch.size_bytes)),
	      "what lies at %" PRIu64 " is another batch than was sent", p->base_offset);
}

/* --- producers' ids and transactions --- */

static enum outcome expect_producer_id(struct world *world, const struct command *c, struct question *q)
{
	const struct producer_id_in *in = &c->in.producer_id;
	const struct model_txn *txn = model_txn(&world->model.topics, in->transactional_id);

	q->producer_id = txn ? txn->producer_id : 0;
	if (!in->transactional_id.len)
		return OUTCOME_OK;
	if (in->timeout_ms == 0 || in->timeout_ms > world->config.transaction_ms_max)
		return OUTCOME_TIMEOUT;
	if (txn && in->producer_id >= 0 &&
	    ((uint64_t)in->producer_id != txn->producer_id || (uint64_t)in->producer_epoch != txn->epoch))
		return OUTCOME_FENCED;
	return OUTCOME_OK;
}

static void check_producer_id(struct world *world, const struct ask *ask, const struct question *q)
{
	const struct command *c = &ask->command;
	const struct producer_id_out *out = &c->out.producer_id;
	const struct model_txn *txn = model_txn(&world->model.topics, c->in.producer_id.transactional_id);

	/* What had to be ended first could not be. */
	if (topic_excused(world, c->outcome) || (c->outcome == OUTCOME_BUSY && (world->memory_failed || world->full)))
		return;
	CHECK(world, c->outcome == q->should_all, "an id of a producer: outcome %d, the oracle says %d", (int)c->outcome,
	      (int)q->should_all);
	if (c->outcome != OUTCOME_OK)
		return;
	if (!txn) {
		CHECK(world, (uint64_t)out->producer_id == world->model.topics.next_producer_id - 1 && out->producer_epoch == 0,
		      "a new producer got another's id");
		return;
	}
	CHECK(world, (uint64_t)out->producer_id == txn->producer_id && (uint64_t)out->producer_epoch == txn->epoch,
	      "a producer was told another id than it has");
	CHECK(world, txn->state == TXN_EMPTY && txn->changed_end > world->step_end,
	      "whoever takes a transactional id over finds it used");
}

static enum outcome expect_txn(struct world *world, const struct txn_in *in, struct model_txn **ret_txn)
{
	struct model_txn *txn = model_txn(&world->model.topics, in->transactional_id);

	*ret_txn = txn;
	if (!txn || in->producer_id < 0 || (uint64_t)in->producer_id != txn->producer_id)
		return OUTCOME_NOT_FOUND;
	if ((uint64_t)in->producer_epoch != txn->epoch)
		return OUTCOME_FENCED;
	return txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING ? OUTCOME_BUSY : OUTCOME_OK;
}

static enum outcome expect_txn_add(struct world *world, const struct command *c, struct question *q)
{
	struct model_txn *txn;
	enum outcome outcome = expect_txn(world, &c->in.txn, &txn);

	for (size_t i = 0; i < c->in.txn.partition_count; i++) {
		bool there = model_partition_of(&world->model.topics, &q->parts[i].topic, q->parts[i].partition);

		q->should[i] = there ? OUTCOME_OK : OUTCOME_NOT_FOUND;
		if (!there && outcome == OUTCOME_OK)
			outcome = OUTCOME_PARTITIONS;
	}
	return outcome;
}

static void check_txn_add(struct world *world, const struct ask *ask, const struct question *q)
{
	const struct txn_in *in = &ask->command.in.txn;
	const struct model_txn *txn = model_txn(&world->model.topics, in->transactional_id);

	for (size_t i = 0; i < in->partition_count; i++) {
		const struct txn_partition *p = &q->parts[i];
		const struct model_partition *partition = model_partition_of(&world->model.topics, &p->topic, p->partition);

		if (ask->command.outcome != OUTCOME_OK && ask->command.outcome != OUTCOME_PARTITIONS)
			continue;
		CHECK(world, p->outcome == q->should[i], "a partition of a transaction: outcome %d, the oracle says %d",
		      (int)p->outcome, (int)q->should[i]);
		CHECK(world, ask->command.outcome != OUTCOME_OK || model_txn_has(txn, partition->stream->number),
		      "a partition was said to be in the transaction, and is not");
	}
	CHECK(world, ask->command.outcome != OUTCOME_OK || txn->state == TXN_ONGOING, "a transaction was begun and is not open");
}

static enum outcome expect_txn_end(struct world *world, const struct txn_in *in)
{
	struct model_txn *txn;
	enum outcome outcome = expect_txn(world, in, &txn);

	if (outcome != OUTCOME_OK || txn->state == TXN_ONGOING)
		return outcome;
	return txn->state == (in->commit ? TXN_COMMITTED : TXN_ABORTED) ? OUTCOME_OK : OUTCOME_TXN;
}

static void check_txn_end(struct world *world, const struct command *c)
{
	const struct model_txn *txn = model_txn(&world->model.topics, c->in.txn.transactional_id);
	uint64_t done = c->in.txn.commit ? TXN_COMMITTED : TXN_ABORTED,
		 decided = c->in.txn.commit ? TXN_COMMITTING : TXN_ABORTING;

	CHECK(world,
	      c->outcome != OUTCOME_OK || txn->state == done || (world->memory_failed && txn->state == decided) ||
		      (world->full && txn->state == decided),
	      "a transaction was said to be over, its state is %" PRIu64, txn->state);
}

/* --- topics --- */

static enum outcome expect_setting(const struct topic_change *change)
{
	for (size_t i = 0; i < change->setting_count; i++) {
		const struct topic_setting_change *one = &change->settings[i];

		if (slice_eq(one->setting.key, SLICE("no.such.setting")) ||
		    (one->op == SETTING_SET && slice_eq(one->setting.value, SLICE("nonsense"))))
			return OUTCOME_SETTING;
	}
	return OUTCOME_OK;
}

static enum outcome expect_change(struct world *world, const struct command *c)
{
	const struct topic_change *change = c->in.topics_change.changes;
	const struct model_topic *topic = model_topic(&world->model.topics, &change->topic);

	switch ((unsigned)c->kind) {
	case COMMAND_TOPIC_CREATE:
		if (slice_eq(change->topic.name, SLICE("no/name")))
			return OUTCOME_NAME;
		if (topic)
			return OUTCOME_CONFLICT;
		if (change->partitions == 0)
			return OUTCOME_PARTITIONS;
		if (world->model.topics.live >= world->config.topics_max)
			return OUTCOME_FULL;
		if (change->partitions > world->config.topic_partitions_max)
			return OUTCOME_PARTITIONS;
		return expect_setting(change);
	case COMMAND_TOPIC_PARTITIONS:
		if (!topic)
			return OUTCOME_NOT_FOUND;
		return change->partitions <= topic->partition_count || change->partitions > world->config.topic_partitions_max
			       ? OUTCOME_PARTITIONS
			       : OUTCOME_OK;
	case COMMAND_TOPIC_CONFIG:
		return topic ? expect_setting(change) : OUTCOME_NOT_FOUND;
	default:
		return topic ? OUTCOME_OK : OUTCOME_NOT_FOUND;
	}
}

static void check_change(struct world *world, const struct ask *ask, const struct question *q)
{
	const struct topics_change_in *in = &ask->command.in.topics_change;
	const struct topic_change *change = in->changes;
	const struct model_topic *topic = model_topic(&world->model.topics, &change->topic);

	if (ask->command.outcome != OUTCOME_OK || topic_excused(world, change->outcome))
		return;
	CHECK(world, change->outcome == q->should_all, "a change of a topic (kind %d): outcome %d, the oracle says %d",
	      (int)ask->command.kind, (int)change->outcome, (int)q->should_all);
	if (change->outcome != OUTCOME_OK || in->validate_only)
		return;
	CHECK(world, (topic != NULL) == (ask->command.kind != COMMAND_TOPIC_DELETE), "a topic is there that was deleted, or not");
	if (!topic)
		return;
	CHECK(world, memcmp(&topic->id, &change->id, sizeof(topic->id)) == 0, "another id of a topic");
	if (ask->command.kind != COMMAND_TOPIC_CONFIG)
		CHECK(world, topic->partition_count == change->partitions, "a topic has %u partitions, not %u",
		      topic->partition_count, change->partitions);
}

static void check_topic_view(struct world *world, const struct topic_view *view, const struct model_topic *topic)
{
	CHECK(world, (view != NULL) == (topic != NULL), "a topic that is there, or not");
	if (!view)
		return;
	CHECK(world,
	      slice_eq(view->name, slice_str(topic->name)) && memcmp(&view->id, &topic->id, sizeof(view->id)) == 0 &&
		      view->partition_count == topic->partition_count,
	      "a view of another topic");
	for (uint32_t i = 0; i < view->partition_count; i++) {
		const struct partition_view *p = &view->partitions[i];
		const struct model_partition *partition = model_partition(&world->model.topics, topic->partitions[i]);

		CHECK(world,
		      p->stream == topic->partitions[i] && p->next_offset == partition->stream->next_offset &&
			      p->earliest_offset == partition->stream->earliest && p->stable_offset == model_stable(partition),
		      "a view of another partition than %" PRIu64, topic->partitions[i]);
	}
}

static void check_topics(struct world *world, const struct command *c)
{
	const struct topics_in *in = &c->in.topics;
	size_t count = 0;

	if (c->outcome != OUTCOME_OK)
		return;
	for (size_t i = 0; in->topics && i < in->count; i++)
		check_topic_view(world, c->out.topics[i], model_topic(&world->model.topics, &in->topics[i]));
	for (uint64_t i = 0; !in->topics && i < world->model.topics.cap; i++) {
		const struct model_topic *topic = world->model.topics.at[i];

		if (topic && !topic->deleted_end)
			check_topic_view(world, c->out.topics[count++], topic);
	}
	CHECK(world, in->topics || count == c->out.topic_count, "more topics than there are");
}

/* --- letting go --- */

static void expect_delete(struct world *world, struct question *q, size_t i)
{
	const struct delete_records_partition *p = &q->deletes[i];
	const struct model_partition *partition = model_partition_of(&world->model.topics, &p->topic, p->partition);
	uint64_t end = partition ? partition->stream->next_offset : 0;

	q->streams[i] = partition ? partition->stream->number : 0;
	q->should[i] = !partition                                                        ? OUTCOME_NOT_FOUND
		       : p->offset < -1 || (p->offset >= 0 && (uint64_t)p->offset > end) ? OUTCOME_RANGE
											 : OUTCOME_OK;
	if (!partition)
		return;
	q->should_offset[i] = p->offset < 0 ? end : (uint64_t)p->offset;
	if (q->should_offset[i] < partition->stream->earliest)
		q->should_offset[i] = partition->stream->earliest;
}

static void check_deleted(struct world *world, const struct question *q, size_t i)
{
	const struct delete_records_partition *p = &q->deletes[i];

	if (topic_excused(world, p->outcome))
		return;
	CHECK(world, p->outcome == q->should[i], "letting records go: outcome %d, the oracle says %d", (int)p->outcome,
	      (int)q->should[i]);
	CHECK(world, p->outcome != OUTCOME_OK || p->log_start_offset == q->should_offset[i],
	      "records were let go until %" PRIu64 ", not %" PRIu64, p->log_start_offset, q->should_offset[i]);
}

/* --- all of them --- */

struct expected topic_expect(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	struct question *q = question_of(ask);
	struct model_txn *txn;

	switch ((unsigned)c->kind) {
	case COMMAND_PRODUCE:
		for (size_t i = 0; i < c->in.produce.count; i++)
			expect_produce(world, q, i);
		break;
	case COMMAND_DELETE_RECORDS:
		for (size_t i = 0; i < c->in.delete_records.count; i++)
			expect_delete(world, q, i);
		break;
	case COMMAND_TOPIC_CREATE:
	case COMMAND_TOPIC_PARTITIONS:
	case COMMAND_TOPIC_CONFIG:
	case COMMAND_TOPIC_DELETE:
		q->should_all = expect_change(world, c);
		break;
	case COMMAND_PRODUCER_ID:
		q->should_all = expect_producer_id(world, c, q);
		break;
	case COMMAND_TXN_ADD:
		q->should_all = expect_txn_add(world, c, q);
		break;
	case COMMAND_TXN_END:
		q->should_all = expect_txn_end(world, &c->in.txn);
		break;
	case COMMAND_CONSUMER_BEAT:
		assignee_expect(world, (struct ask *)(uintptr_t)ask);
		break;
	case COMMAND_TXN_OFFSETS:
		q->should_all = expect_txn(world, &c->in.txn_offsets.txn, &txn);
		break;
	default:
		break;
	}
	return (struct expected){.outcome = OUTCOME_ANY};
}

void topic_check_answer(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct question *q = question_of(ask);

	switch ((unsigned)c->kind) {
	case COMMAND_PRODUCE:
		for (size_t i = 0; i < c->in.produce.count && c->outcome == OUTCOME_OK; i++)
			check_produced(world, q, i);
		return;
	case COMMAND_DELETE_RECORDS:
		for (size_t i = 0; i < c->in.delete_records.count && c->outcome == OUTCOME_OK; i++)
			check_deleted(world, q, i);
		return;
	case COMMAND_FETCH:
		fetch_check(world, ask);
		return;
	case COMMAND_LIST_OFFSETS:
		list_offsets_check(world, ask);
		return;
	case COMMAND_TOPIC_CREATE:
	case COMMAND_TOPIC_PARTITIONS:
	case COMMAND_TOPIC_CONFIG:
	case COMMAND_TOPIC_DELETE:
		check_change(world, ask, q);
		return;
	case COMMAND_TOPICS:
		check_topics(world, c);
		return;
	case COMMAND_PRODUCER_ID:
		check_producer_id(world, ask, q);
		return;
	case COMMAND_TXN_ADD:
	case COMMAND_TXN_END:
		CHECK(world, topic_excused(world, c->outcome) || c->outcome == q->should_all,
		      "a word about a transaction (kind %d): outcome %d, the oracle says %d", (int)c->kind, (int)c->outcome,
		      (int)q->should_all);
		if (c->kind == COMMAND_TXN_ADD)
			check_txn_add(world, ask, q);
		else
			check_txn_end(world, c);
		return;
	case COMMAND_GROUP_JOIN:
	case COMMAND_GROUP_SYNC:
		return; /* once it is over */
	default:
		group_check_word(world, ask);
	}
}

/* A reader is told of his partitions alone; whoever changes something, of all that was changed so far. */
uint64_t topic_rests_on(struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct question *q = question_of(ask);
	size_t count = c->kind == COMMAND_FETCH ? c->in.fetch.count : c->in.list_offsets.count;
	uint64_t end = 0;

	if (c->outcome == OUTCOME_NO_MEMORY || c->outcome == OUTCOME_STORAGE || c->outcome == OUTCOME_NO_SPACE)
		return 0;
	if (group_command(ask))
		return group_rests_on(world, ask);
	if (c->kind != COMMAND_FETCH && c->kind != COMMAND_LIST_OFFSETS)
		return sim_store_end(world->store);
	for (size_t i = 0; i < count; i++) {
		const struct topic_ref *ref = c->kind == COMMAND_FETCH ? &q->fetch[i].topic : &q->offsets[i].topic;
		uint32_t number = c->kind == COMMAND_FETCH ? q->fetch[i].partition : q->offsets[i].partition;
		const struct model_partition *partition = model_partition_of(&world->model.topics, ref, number);
		uint64_t rests = partition ? partition->stream->changed_end : world->model.topics.forgotten_end;

		end = rests > end ? rests : end;
	}
	return end;
}
