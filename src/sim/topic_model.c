#include "sim/topic_model.h"

#include "base/panic.h"
#include "sim/model.h"
#include "stream/batch.h"

#include <stdio.h>
#include <stdlib.h>

/* --- finding --- */

void model_topics_deinit(struct model_topics *topics)
{
	for (uint64_t i = 0; i < topics->partition_cap; i++) {
		if (topics->partitions[i]) {
			free(topics->partitions[i]->batches);
			free(topics->partitions[i]->records);
			free(topics->partitions[i]->aborted);
			free(topics->partitions[i]);
		}
	}
	for (uint64_t i = 0; i < topics->cap; i++)
		free(topics->at[i]);
	free(topics->partitions);
	free(topics->at);
	free(topics->fates);
	*topics = (struct model_topics){0};
}

struct model_partition *model_partition(const struct model_topics *topics, uint64_t stream)
{
	return stream < topics->partition_cap ? topics->partitions[stream] : NULL;
}

struct model_topic *model_topic(const struct model_topics *topics, const struct topic_ref *ref)
{
	for (uint64_t i = 0; i < topics->cap; i++) {
		struct model_topic *topic = topics->at[i];
		bool same = topic && (ref->name.len ? slice_eq(slice_str(topic->name), ref->name)
						    : memcmp(&topic->id, &ref->id, sizeof(ref->id)) == 0);

		if (same && !topic->deleted_end)
			return topic;
	}
	return NULL;
}

struct model_partition *model_partition_of(const struct model_topics *topics, const struct topic_ref *ref, uint32_t partition)
{
	const struct model_topic *topic = model_topic(topics, ref);

	return topic && partition < topic->partition_count ? model_partition(topics, topic->partitions[partition]) : NULL;
}

struct model_txn *model_txn(struct model_topics *topics, struct slice id)
{
	for (size_t i = 0; i < topics->txn_count; i++) {
		if (slice_eq(slice_str(topics->txns[i].id), id))
			return &topics->txns[i];
	}
	return NULL;
}

struct model_txn *model_txn_producer(struct model_topics *topics, uint64_t producer_id)
{
	for (size_t i = 0; i < topics->txn_count; i++) {
		if (topics->txns[i].producer_id == producer_id)
			return &topics->txns[i];
	}
	return NULL;
}

bool model_txn_has(const struct model_txn *txn, uint64_t stream)
{
	for (size_t i = 0; i < txn->stream_count; i++) {
		if (txn->streams[i] == stream)
			return true;
	}
	return false;
}

struct model_sequence *model_sequence(struct model_partition *partition, uint64_t producer_id)
{
	for (size_t i = 0; i < partition->sequence_count; i++) {
		if (partition->sequences[i].producer_id == producer_id)
			return &partition->sequences[i];
	}
	return NULL;
}

uint64_t model_sequence_next(const struct model_sequence *sequence)
{
	const struct sequence_batch *last = &sequence->last[sequence->count - 1];

	return sequence->count ? ((uint64_t)last->seq + last->count) % (1ULL << 31) : 0;
}

uint64_t model_stable(const struct model_partition *partition)
{
	uint64_t stable = partition->stream->next_offset;

	for (size_t i = 0; i < partition->count; i++) {
		if (partition->batches[i].fate == FATE_OPEN && partition->batches[i].offset < stable)
			stable = partition->batches[i].offset;
	}
	return stable > partition->stream->earliest ? stable : partition->stream->earliest;
}

const struct model_batch *model_batch(const struct model_partition *partition, uint64_t offset)
{
	size_t low = 0, high = partition->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (partition->batches[middle].offset + partition->batches[middle].count <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < partition->count && partition->batches[low].offset <= offset ? &partition->batches[low] : NULL;
}

uint8_t *model_fate(struct model_topics *topics, uint64_t txn)
{
	if (txn >= topics->fate_cap) {
		uint64_t cap = (txn + 1) * 2;

		topics->fates = realloc(topics->fates, cap);
		ENSURE(topics->fates);
		memset(topics->fates + topics->fate_cap, 0, cap - topics->fate_cap);
		topics->fate_cap = cap;
	}
	return &topics->fates[txn];
}

uint64_t topic_batch_content(struct slice batch)
{
	ENSURE(batch.len > CONTENT_FROM);
	return model_string(slice_from(batch.ptr + CONTENT_FROM, batch.len - CONTENT_FROM));
}

/* --- producers --- */

/* The one that was used longest ago and has no open transaction here: it alone may make room. */
static const struct model_sequence *oldest(const struct model_partition *partition)
{
	const struct model_sequence *found = NULL;

	for (size_t i = 0; i < partition->sequence_count; i++) {
		const struct model_sequence *sequence = &partition->sequences[i];

		if (sequence->txn_first == UINT64_MAX && (!found || sequence->used < found->used))
			found = sequence;
	}
	return found;
}

static const char *forget(struct model_partition *partition, uint64_t producer_id)
{
	const struct model_sequence *sequence = oldest(partition);

	if (!sequence || sequence->producer_id != producer_id)
		return "another producer is forgotten than the one that was silent longest";
	partition->sequences[sequence - partition->sequences] = partition->sequences[--partition->sequence_count];
	return NULL;
}

static const char *goes_on(const struct model_sequence *sequence, const struct stream_event *e)
{
	if (e->epoch < sequence->epoch)
		return "a producer whose epoch is over was heard";
	if (e->txn > STREAM_TXN_RECORDS)
		return NULL;
	if (e->epoch > sequence->epoch)
		return e->seq ? "a new epoch that does not begin with 0" : NULL;
	return e->seq == model_sequence_next(sequence) ? NULL : "a sequence that does not follow";
}

static const char *in_transaction(struct model *model, const struct stream_event *e)
{
	const struct model_txn *txn = model_txn_producer(&model->topics, e->producer_id);
	bool member = txn && txn->state == TXN_ONGOING && model_txn_has(txn, e->number);

	switch ((enum stream_txn)e->txn) {
	case STREAM_TXN_NONE:
		return member ? "not in the transaction that is open there" : NULL;
	case STREAM_TXN_RECORDS:
		return member && txn->epoch == e->epoch ? NULL : "in a transaction that is not open there";
	case STREAM_TXN_COMMIT:
		return txn && txn->state == TXN_COMMITTING && txn->epoch == e->epoch ? NULL : "committed, and nobody decided so";
	case STREAM_TXN_ABORT:
		return txn && txn->state == TXN_ABORTING && txn->epoch == e->epoch ? NULL : "aborted, and nobody decided so";
	case STREAM_TXN_COUNT:
		break;
	}
	return "a kind of batch that there is not";
}

static const char *transaction_ends(struct model *model, struct model_partition *partition, struct model_sequence *sequence,
				    const struct stream_event *e)
{
	uint8_t fate = e->txn == STREAM_TXN_COMMIT ? FATE_COMMITTED : FATE_ABORTED;

	if (sequence->txn_first == UINT64_MAX)
		return "a marker, and no transaction is open there";
	for (size_t i = 0; i < partition->count; i++) {
		struct model_batch *batch = &partition->batches[i];
		uint8_t *as_a_whole = model_fate(&model->topics, batch->txn);

		if (batch->fate != FATE_OPEN || (uint64_t)batch->producer_id != e->producer_id)
			continue;
		batch->fate = fate;
		if (*as_a_whole > FATE_OPEN && *as_a_whole != fate)
			return "a transaction was done in part";
		*as_a_whole = fate;
	}
	if (fate == FATE_ABORTED) {
		if (partition->aborted_count == partition->aborted_cap) {
			partition->aborted_cap = partition->aborted_cap ? partition->aborted_cap * 2 : 16;
			partition->aborted = realloc(partition->aborted, partition->aborted_cap * sizeof(*partition->aborted));
			ENSURE(partition->aborted);
		}
		partition->aborted[partition->aborted_count++] = (struct aborted){e->producer_id, sequence->txn_first, e->offset};
	}
	sequence->txn_first = UINT64_MAX;
	return NULL;
}

static bool is_there(const struct model_partition *partition, uint64_t content, uint64_t since)
{
	for (size_t i = 0; i < partition->count; i++) {
		if (partition->batches[i].content == content && partition->batches[i].offset >= since)
			return true;
	}
	return false;
}

static const char *producer_says(struct model *model, struct model_partition *partition, const struct stream_event *e,
				 struct model_batch *batch)
{
	struct model_sequence *sequence = model_sequence(partition, e->producer_id);
	const char *wrong = sequence ? goes_on(sequence, e) : NULL;

	if (!wrong)
		wrong = in_transaction(model, e);
	if (!wrong && e->forgotten)
		wrong = sequence ? "somebody makes room for a producer that is known" : forget(partition, e->forgotten - 1);
	if (wrong)
		return wrong;
	if (sequence && batch->kind <= STREAM_TXN_RECORDS && is_there(partition, batch->content, sequence->since))
		return "the same batch was appended twice";
	if (!sequence) {
		ENSURE(partition->sequence_count < MODEL_SEQUENCES_MAX);
		sequence = &partition->sequences[partition->sequence_count++];
		*sequence = (struct model_sequence){.producer_id = e->producer_id, .txn_first = UINT64_MAX, .since = e->offset};
	}
	if (sequence->epoch != e->epoch)
		sequence->count = 0;
	sequence->epoch = e->epoch;
	sequence->last_ms = e->time_ms;
	sequence->used = ++model->topics.used;
	if (e->txn > STREAM_TXN_RECORDS)
		return transaction_ends(model, partition, sequence, e);
	if (sequence->count == SEQUENCE_BATCHES)
		memmove(sequence->last, sequence->last + 1, --sequence->count * sizeof(sequence->last[0]));
	sequence->last[sequence->count++] = (struct sequence_batch){e->offset, (uint32_t)e->seq, (uint32_t)e->count};
	if (e->txn == STREAM_TXN_RECORDS) {
		uint8_t *fate = model_fate(&model->topics, batch->txn);

		if (*fate > FATE_OPEN)
			return "records of a transaction that is over";
		*fate = batch->fate = FATE_OPEN;
		if (sequence->txn_first == UINT64_MAX)
			sequence->txn_first = e->offset;
	}
	return NULL;
}

/* --- partitions --- */

/* "T12 …" in the only header: what a client says in a transaction. */
static uint64_t txn_of(struct slice body)
{
	struct batch_reader reader;
	struct batch_record record;
	struct batch_header header;
	uint64_t offset, txn = 0;
	uint32_t left = UINT32_MAX;

	if (batch_open(&reader, body) || batch_next(&reader, &record, &offset) != 1 ||
	    batch_header_next(&reader.record_headers, &left, &header) != 1)
		return 0;
	for (size_t i = 1; i < header.value.len && header.value.ptr[i] >= '0' && header.value.ptr[i] <= '9'; i++)
		txn = txn * 10 + (uint64_t)(header.value.ptr[i] - '0');
	return txn;
}

static struct model_batch *batch_room(struct model_partition *partition)
{
	if (partition->count == partition->cap) {
		partition->cap = partition->cap ? partition->cap * 2 : 64;
		partition->batches = realloc(partition->batches, partition->cap * sizeof(*partition->batches));
		partition->records = realloc(partition->records, partition->cap * sizeof(*partition->records));
		ENSURE(partition->batches && partition->records);
	}
	memset(partition->records[partition->count], 0, sizeof(*partition->records));
	return &partition->batches[partition->count++];
}

static const char *batch_added(struct model *model, struct model_partition *partition, const struct stream_event *e,
			       struct slice body)
{
	struct model_batch batch = {.offset = e->offset,
				    .count = e->count,
				    .end = e->end,
				    .time_ms = e->max_time_ms ? e->max_time_ms : e->time_ms,
				    .size_bytes = body.len,
				    .producer_id = -1,
				    .horizon_ms = UINT64_MAX,
				    .kind = e->type == STREAM_PRODUCED ? (uint8_t)e->txn : STREAM_TXN_NONE};
	struct batch_head head;
	const char *wrong = NULL;

	if (batch_head_read(body, &head) || head.base_offset != e->offset || head.count != e->count)
		return "a batch with another head than its event";
	if (head.control != (batch.kind > STREAM_TXN_RECORDS) || head.transactional != (batch.kind != STREAM_TXN_NONE))
		return "a batch of another kind than its event says";
	batch.content = batch.content_now = topic_batch_content(body);
	batch.append_time = head.append_time;
	batch.txn = batch.kind == STREAM_TXN_RECORDS ? txn_of(body) : 0;
	if (e->type == STREAM_PRODUCED) {
		batch.producer_id = (int64_t)e->producer_id;
		batch.epoch = e->epoch;
		batch.seq = e->seq;
		if (head.producer_id != batch.producer_id || (uint64_t)head.producer_epoch != e->epoch)
			return "a batch of another producer than its event says";
		wrong = producer_says(model, partition, e, &batch);
	} else if (is_there(partition, batch.content, 0)) {
		return "a batch that was sent once was appended twice";
	}
	*batch_room(partition) = batch;
	if (batch.kind <= STREAM_TXN_RECORDS && !model_records_read(partition->records[partition->count - 1], e, body))
		return "records that nobody can read";
	return wrong;
}

static void let_go_aborted(struct model_partition *partition)
{
	size_t gone = 0;

	while (gone < partition->aborted_count && partition->aborted[gone].last < partition->stream->earliest)
		gone++;
	partition->aborted_count -= gone;
	if (gone)
		memmove(partition->aborted, partition->aborted + gone, partition->aborted_count * sizeof(*partition->aborted));
}

static void *grown(void *array, uint64_t *cap, uint64_t index)
{
	uint64_t more = (index + 1) * 2;
	void **grown_array = array;

	if (index < *cap)
		return array;
	grown_array = realloc(array, more * sizeof(void *));
	ENSURE(grown_array);
	memset(grown_array + *cap, 0, (more - *cap) * sizeof(void *));
	*cap = more;
	return grown_array;
}

const char *model_partition_apply(struct model *model, const struct stream_event *e, struct slice body)
{
	struct model_topics *topics = &model->topics;
	struct model_partition *partition;

	if (e->type == STREAM_CREATED) {
		topics->partitions = grown(topics->partitions, &topics->partition_cap, e->number);
		topics->partitions[e->number] = calloc(1, sizeof(struct model_partition));
		ENSURE(topics->partitions[e->number]);
		topics->partitions[e->number]->stream = model_stream(&model->streams, e->number);
		return NULL;
	}
	partition = model_partition(topics, e->number);
	if (!partition)
		return "no partition";
	if (e->type == STREAM_TRIMMED)
		let_go_aborted(partition);
	if (e->type == STREAM_COMPACTED)
		return model_compacted(model, partition, e, body);
	if (e->type == STREAM_APPENDED || e->type == STREAM_PRODUCED)
		return batch_added(model, partition, e, body);
	return NULL;
}

/* --- topics --- */

static uint64_t number_or(struct slice value, uint64_t minus_one)
{
	uint64_t number = 0;

	if (value.len && value.ptr[0] == '-')
		return minus_one;
	ENSURE(slice_u64(value, &number) == 0);
	return number;
}

static double ratio_of(struct slice value)
{
	char text[16] = "";

	ENSURE(value.len < sizeof(text));
	memcpy(text, value.ptr, value.len);
	return strtod(text, NULL);
}

static void settings_set(struct model_topic *topic, struct slice settings)
{
	struct topic_setting one;
	bool deletes = true;

	ENSURE(settings.len <= MODEL_SETTINGS_BYTES);
	if (settings.len)
		memcpy(topic->settings, settings.ptr, settings.len);
	topic->settings_len = settings.len;
	topic->compact = topic->append_time = false;
	topic->retention_ms = 604800000;
	topic->retention_bytes = 0;
	topic->max_message_bytes = 1048588;
	topic->delete_retention_ms = 86400000;
	topic->lag_ms = 0;
	topic->dirty_ratio = 0.5;
	while (topic_setting_get(&settings, &one) == 1) {
		if (slice_eq(one.key, SLICE("retention.ms")))
			topic->retention_ms = number_or(one.value, 0);
		else if (slice_eq(one.key, SLICE("retention.bytes")))
			topic->retention_bytes = number_or(one.value, 0);
		else if (slice_eq(one.key, SLICE("max.message.bytes")))
			topic->max_message_bytes = number_or(one.value, 0);
		else if (slice_eq(one.key, SLICE("delete.retention.ms")))
			topic->delete_retention_ms = number_or(one.value, 0);
		else if (slice_eq(one.key, SLICE("min.compaction.lag.ms")))
			topic->lag_ms = number_or(one.value, 0);
		else if (slice_eq(one.key, SLICE("min.cleanable.dirty.ratio")))
			topic->dirty_ratio = ratio_of(one.value);
		else if (slice_eq(one.key, SLICE("message.timestamp.type")))
			topic->append_time = slice_eq(one.value, SLICE("LogAppendTime"));
		else if (slice_eq(one.key, SLICE("cleanup.policy"))) {
			topic->compact = one.value.len && one.value.ptr[0] == 'c';
			deletes = !slice_eq(one.value, SLICE("compact"));
		}
	}
	if (!deletes)
		topic->retention_ms = topic->retention_bytes = 0;
}

/* Each of its partitions keeps what the topic says. */
static void retain(struct model *model, const struct model_topic *topic)
{
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		struct model_stream *stream = model_stream(&model->streams, topic->partitions[i]);

		stream->max_age_ms = topic->retention_ms;
		stream->max_bytes = topic->retention_bytes;
	}
}

static const char *partitions_added(struct model *model, struct model_topic *topic, const struct topic_event *e)
{
	if (topic->partition_count + e->count > MODEL_PARTITIONS_MAX)
		return "more partitions than anybody asked for";
	for (uint64_t i = 0; i < e->count; i++) {
		const struct model_partition *partition = model_partition(&model->topics, e->stream + i);
		char path[MODEL_STREAM_CHARS * 2];

		snprintf(path, sizeof(path), "%s/%u", topic->name, topic->partition_count);
		if (!partition || partition->stream->deleted_end ||
		    !slice_eq(slice_str(partition->stream->path), slice_str(path)))
			return "a partition that is no stream of its name";
		topic->partitions[topic->partition_count++] = e->stream + i;
	}
	retain(model, topic);
	return NULL;
}

static const char *topic_created(struct model *model, const struct topic_event *e)
{
	struct model_topics *topics = &model->topics;
	struct topic_ref ref = {.name = e->name};
	struct model_topic *topic;

	if (e->number < topics->next_number || model_topic(topics, &ref) || e->id.len != sizeof(topic->id) || !e->count)
		return "a topic whose number or name is taken";
	topics->at = grown(topics->at, &topics->cap, e->number);
	topic = topics->at[e->number] = calloc(1, sizeof(*topic));
	ENSURE(topic && e->name.len < MODEL_STREAM_CHARS);
	topic->number = e->number;
	topic->changed_end = e->end;
	memcpy(topic->name, e->name.ptr, e->name.len);
	memcpy(&topic->id, e->id.ptr, e->id.len);
	for (uint64_t i = 0; i < e->number; i++) {
		if (topics->at[i] && memcmp(&topics->at[i]->id, &topic->id, sizeof(topic->id)) == 0)
			return "a topic's id that another had";
	}
	topics->next_number = e->number + 1;
	topics->live++;
	settings_set(topic, e->settings);
	return partitions_added(model, topic, e);
}

static const char *topic_changed(struct model *model, const struct topic_event *e)
{
	struct model_topic *topic = e->number < model->topics.cap ? model->topics.at[e->number] : NULL;

	if (!topic || topic->deleted_end)
		return "there is no such topic";
	topic->changed_end = e->end;
	if (e->type == TOPIC_GROWN)
		return partitions_added(model, topic, e);
	if (e->type == TOPIC_CONFIGURED) {
		settings_set(topic, e->settings);
		retain(model, topic);
		return NULL;
	}
	topic->deleted_end = model->topics.forgotten_end = e->end;
	model->topics.live--;
	model_groups_forget(&model->groups, slice_str(topic->name));
	return NULL;
}

const char *model_topic_apply(struct model *model, const struct store_replay *entry)
{
	struct topic_event e = {.type = (enum topic_event_type)entry->type, .time_ms = entry->time_ms, .end = entry->end};

	if (topic_event_decode(&e, entry->fields))
		return "an event that nobody can read";
	switch (e.type) {
	case TOPIC_CREATED:
		return topic_created(model, &e);
	case TOPIC_GROWN:
	case TOPIC_CONFIGURED:
	case TOPIC_DELETED:
		return topic_changed(model, &e);
	case TOPIC_PRODUCER:
		if (e.producer_id < model->topics.next_producer_id)
			return "a producer's id was given twice";
		model->topics.next_producer_id = e.producer_id + 1;
		return NULL;
	case TOPIC_TXN:
		return model_txn_apply(model, &e);
	case TOPIC_SNAP_META:
	case TOPIC_SNAP:
		break;
	}
	return "not an event of the journal";
}
