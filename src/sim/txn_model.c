/* What events say of transactional ids: how one state follows the other, and that what is said to be done is. */
#include "sim/topic_model.h"

#include "base/panic.h"
#include "sim/model.h"

static bool may_follow(const struct model_txn *txn, const struct topic_event *e)
{
	switch ((enum txn_state)e->state) {
	case TXN_ONGOING:
		return txn->state != TXN_COMMITTING && txn->state != TXN_ABORTING && txn->epoch == e->epoch;
	case TXN_COMMITTING:
		return txn->state == TXN_ONGOING && txn->epoch == e->epoch;
	case TXN_ABORTING:
		return txn->state == TXN_ONGOING;
	case TXN_COMMITTED:
		return txn->state == TXN_COMMITTING && txn->epoch == e->epoch;
	case TXN_ABORTED:
		return txn->state == TXN_ABORTING && txn->epoch == e->epoch;
	case TXN_EMPTY:
	case TXN_FORGOTTEN:
		return txn->state != TXN_ONGOING && txn->state != TXN_COMMITTING && txn->state != TXN_ABORTING;
	case TXN_STATE_COUNT:
		break;
	}
	return false;
}

/* Before it is done each partition has its marker, and each offset is committed. */
static const char *is_done(struct model *model, const struct model_txn *txn)
{
	struct slice rest = slice_from(txn->offsets, txn->offsets_len);
	struct txn_offset one;

	for (size_t i = 0; i < txn->stream_count; i++) {
		struct model_partition *partition = model_partition(&model->topics, txn->streams[i]);
		const struct model_sequence *sequence = model_sequence(partition, txn->producer_id);

		if (!partition->stream->deleted_end && sequence && sequence->txn_first != UINT64_MAX)
			return "it is done, and a partition has no marker";
	}
	while (txn->state == TXN_COMMITTING && txn_offset_get(&rest, &one) == 1) {
		const struct topic_ref ref = {.name = one.topic};
		const struct model_offset *offset = model_offset(&model->groups, one.group, one.topic, (uint32_t)one.partition);

		if (model_partition_of(&model->topics, &ref, (uint32_t)one.partition) &&
		    (!offset || offset->end <= txn->changed_end))
			return "it is committed, and an offset is not";
	}
	return NULL;
}

const char *model_txn_apply(struct model *model, const struct topic_event *e)
{
	struct model_topics *topics = &model->topics;
	struct model_txn *txn = model_txn(topics, e->transactional_id);
	struct slice rest = e->streams;
	const char *wrong = NULL;

	if (!txn) {
		if (e->state != TXN_EMPTY || e->epoch || e->producer_id < topics->next_producer_id)
			return "a new transactional id that does not begin";
		ENSURE(topics->txn_count < MODEL_TXNS_MAX && e->transactional_id.len < MODEL_STREAM_CHARS);
		txn = &topics->txns[topics->txn_count++];
		*txn = (struct model_txn){0};
		memcpy(txn->id, e->transactional_id.ptr, e->transactional_id.len);
	} else {
		bool same = e->producer_id == txn->producer_id;

		if (!may_follow(txn, e) || (same && e->state == TXN_EMPTY && e->epoch <= txn->epoch) ||
		    (same ? e->epoch < txn->epoch : e->producer_id < topics->next_producer_id || e->epoch))
			return "a transaction does not go so";
		if (e->state == TXN_COMMITTED || e->state == TXN_ABORTED)
			wrong = is_done(model, txn);
	}
	if (e->producer_id >= topics->next_producer_id)
		topics->next_producer_id = e->producer_id + 1;
	if (e->state == TXN_FORGOTTEN) {
		*txn = topics->txns[--topics->txn_count];
		return NULL;
	}
	txn->producer_id = e->producer_id;
	txn->epoch = e->epoch;
	txn->state = e->state;
	txn->timeout_ms = e->timeout_ms;
	txn->started_ms = e->started_ms;
	txn->changed_ms = e->changed_ms;
	txn->changed_end = e->end;
	for (txn->stream_count = 0; rest.len && txn->stream_count < MODEL_PARTITIONS_MAX; txn->stream_count++)
		ENSURE(txn_stream_get(&rest, &txn->streams[txn->stream_count]) == 1);
	ENSURE(!rest.len && e->offsets.len <= MODEL_TXN_BYTES);
	if (e->offsets.len)
		memcpy(txn->offsets, e->offsets.ptr, e->offsets.len);
	txn->offsets_len = e->offsets.len;
	return wrong;
}

bool model_txn_holds(const struct model_topics *topics, struct slice group, struct slice topic, uint32_t partition)
{
	for (size_t i = 0; i < topics->txn_count; i++) {
		const struct model_txn *txn = &topics->txns[i];
		struct slice rest = slice_from(txn->offsets, txn->offsets_len);
		struct txn_offset one;

		if (txn->state != TXN_ONGOING && txn->state != TXN_COMMITTING && txn->state != TXN_ABORTING)
			continue;
		while (txn_offset_get(&rest, &one) == 1) {
			if (slice_eq(one.group, group) && slice_eq(one.topic, topic) && one.partition == partition)
				return true;
		}
	}
	return false;
}
