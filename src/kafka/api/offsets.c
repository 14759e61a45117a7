/* Where records stand: ListOffsets, OffsetForLeaderEpoch, DeleteRecords. */
#include "kafka/api/api_priv.h"

#include "base/mem.h"
#include "kafka/api/batch_look.h"
#include "kafka/codec/messages_records.h"

#include <errno.h>

/* Where a log that lies here and elsewhere begins to be here (KIP-405), and ends to be elsewhere (KIP-1005): this one is all
 * here. */
enum { AT_EARLIEST_HERE = -4, AT_LATEST_ELSEWHERE = -5 };

/* One of the request's partitions. */
struct asked {
	struct offset_partition *partition; /* NULL: refused */
	enum kafka_error error;
	bool elsewhere;
};

struct offsets {
	const void *request;
	struct asked *asked; /* one for each partition of the request, in its order */
	struct offset_partition *partitions;
	size_t count;
	uint64_t left; /* of what batches may become that are looked into */
};

static struct offsets *offsets_new(struct kafka_call *call, const void *request, size_t count)
{
	struct offsets *offsets = kafka_call_alloc(call, sizeof(*offsets));

	if (!offsets)
		return NULL;
	offsets->request = request;
	offsets->left = REQUEST_OPENED_BYTES;
	offsets->asked = kafka_call_alloc(call, count * sizeof(*offsets->asked));
	offsets->partitions = offsets->asked ? kafka_call_alloc(call, count * sizeof(*offsets->partitions)) : NULL;
	call->own = offsets;
	return offsets->partitions ? offsets : NULL;
}

/* The next one of the request. */
static void offsets_add(struct offsets *offsets, struct asked *asked, struct slice topic, int32_t partition, int32_t epoch,
			int64_t at)
{
	struct offset_partition *one = &offsets->partitions[offsets->count];

	if (partition < 0) {
		asked->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	if (epoch > TOPIC_LEADER_EPOCH) {
		asked->error = KAFKA_UNKNOWN_LEADER_EPOCH;
		return;
	}
	*one = (struct offset_partition){.topic.name = topic, .partition = (uint32_t)partition, .at = at};
	asked->partition = one;
	offsets->count++;
}

static void offsets_send(struct kafka_call *call, struct offsets *offsets, bool committed,
			 void (*answered)(struct kafka_call *call, struct kafka_ask *ask))
{
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_LIST_OFFSETS, answered);

	if (!ask)
		return;
	ask->command.in.list_offsets =
		(struct list_offsets_in){.partitions = offsets->partitions, .count = offsets->count, .committed = committed};
	if (offsets->count)
		kafka_ask_send(call, ask);
	else
		answered(call, ask);
}

/* --- ListOffsets --- */

static enum kafka_error listed_error(const struct kafka_ask *ask, const struct asked *asked)
{
	enum outcome outcome = ask->command.outcome;

	if (!asked->partition)
		return asked->error;
	if (outcome == OUTCOME_OK)
		outcome = asked->partition->outcome;
	/* It was too much for one question: clients ask again for what they are told is the storage's fault. */
	return outcome == OUTCOME_BUSY ? KAFKA_STORAGE_ERROR : kafka_error_of(outcome);
}

/* In the thread's buffer, or, of one that is longer, in memory of its own. */
static int look(struct kafka_call *call, struct store_pin *pin, struct batch_wanted *wanted)
{
	size_t len = (size_t)pin->ref.size_bytes;
	char *room;
	int r;

	if (len <= WRITE_BYTES)
		return batch_look(pin, call->thread->write_buffer, WRITE_BYTES, wanted);
	room = mem_alloc(len);
	r = room ? batch_look(pin, room, len, wanted) : -ENOMEM;
	mem_free(room);
	return r;
}

static enum kafka_error listed_inside(struct kafka_call *call, struct offset_partition *partition)
{
	struct offsets *offsets = call->own;
	struct batch_wanted wanted = {.batch_offset = (uint64_t)partition->offset,
				      .latest = partition->at == OFFSET_MAX_TIME,
				      .time_ms = partition->at};
	struct stream_chunk_view *chunk = partition->view->chunk_count ? &partition->view->chunks[0] : NULL;

	bool found;

	if (!offsets->left || !chunk || !chunk->pin)
		return KAFKA_STORAGE_ERROR;
	found = look(call, chunk->pin, &wanted) == 0;
	offsets->left -= wanted.opened_bytes < offsets->left ? wanted.opened_bytes : offsets->left;
	if (!found)
		return KAFKA_STORAGE_ERROR;
	partition->offset = wanted.found_offset;
	partition->time_ms = wanted.found_time_ms;
	return KAFKA_NONE;
}

static void listed_fill(struct kafka_call *call, const struct kafka_ask *ask, const struct asked *asked,
			struct kafka_listed_offsets_partition *listed)
{
	enum kafka_error error = listed_error(ask, asked);

	if (error == KAFKA_NONE && asked->partition->view)
		error = listed_inside(call, asked->partition);
	listed->error_code = (int16_t)error;
	listed->timestamp = listed->offset = -1;
	listed->leader_epoch = -1;
	if (error || asked->elsewhere)
		return;
	listed->offset = asked->partition->offset;
	listed->timestamp = asked->partition->at >= 0 || asked->partition->at == OFFSET_MAX_TIME ? asked->partition->time_ms : -1;
	listed->leader_epoch = listed->offset >= 0 ? TOPIC_LEADER_EPOCH : -1;
	/* What the oldest version has in place of it. */
	listed->old_style_offsets.at = &listed->offset;
	listed->old_style_offsets.count = listed->offset >= 0;
}

static void listed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct offsets *offsets = call->own;
	const struct kafka_list_offsets_request *request = offsets->request;
	struct kafka_list_offsets_response *response = kafka_call_response(call);
	struct kafka_listed_offsets_topic *topics =
		response ? kafka_call_alloc(call, request->topics.count * sizeof(*topics)) : NULL;
	const struct asked *asked = offsets->asked;

	if (!topics)
		return;
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_list_offsets_topic *topic = &request->topics.at[i];

		topics[i].name = topic->name;
		topics[i].partitions.count = topic->partitions.count;
		topics[i].partitions.at = kafka_call_alloc(call, topic->partitions.count * sizeof(*topics[i].partitions.at));
		if (!topics[i].partitions.at)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			topics[i].partitions.at[j].partition_index = topic->partitions.at[j].partition_index;
			listed_fill(call, ask, asked++, &topics[i].partitions.at[j]);
		}
	}
	kafka_call_answer(call, response);
}

void list_offsets_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_list_offsets_request *request = message;
	struct offsets *offsets;
	struct asked *asked;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	offsets = offsets_new(call, request, count);
	if (!offsets)
		return;
	asked = offsets->asked;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_list_offsets_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			const struct kafka_list_offsets_partition *one = &topic->partitions.at[j];
			int64_t at = one->timestamp;

			asked->elsewhere = at == AT_LATEST_ELSEWHERE;
			if (at == AT_EARLIEST_HERE || at == AT_LATEST_ELSEWHERE)
				at = OFFSET_EARLIEST;
			if (at < OFFSET_MAX_TIME)
				asked->error = KAFKA_UNSUPPORTED_VERSION;
			else
				offsets_add(offsets, asked, topic->name, one->partition_index, one->current_leader_epoch, at);
			asked++;
		}
	}
	offsets_send(call, offsets, request->isolation_level == 1, listed);
}

/* --- OffsetForLeaderEpoch --- */

static void epoch_ends(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct offsets *offsets = call->own;
	const struct kafka_offset_for_leader_epoch_request *request = offsets->request;
	struct kafka_offset_for_leader_epoch_response *response = kafka_call_response(call);
	struct kafka_leader_epoch_end_topic *topics =
		response ? kafka_call_alloc(call, request->topics.count * sizeof(*topics)) : NULL;
	const struct asked *asked = offsets->asked;

	if (!topics)
		return;
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_leader_epoch_topic *topic = &request->topics.at[i];
		struct kafka_leader_epoch_end *ends = kafka_call_alloc(call, topic->partitions.count * sizeof(*ends));

		topics[i].topic = topic->topic;
		topics[i].partitions.count = topic->partitions.count;
		topics[i].partitions.at = ends;
		if (!ends)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++, asked++) {
			enum kafka_error error = listed_error(ask, asked);
			/* There is one epoch, and it ends where the partition does. */
			bool known = error == KAFKA_NONE && topic->partitions.at[j].leader_epoch == TOPIC_LEADER_EPOCH;

			ends[j] = (struct kafka_leader_epoch_end){
				.error_code = (int16_t)error,
				.partition = topic->partitions.at[j].partition,
				.leader_epoch = known ? TOPIC_LEADER_EPOCH : -1,
				.end_offset = known ? asked->partition->offset : -1,
			};
		}
	}
	kafka_call_answer(call, response);
}

void offset_for_leader_epoch_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_offset_for_leader_epoch_request *request = message;
	struct offsets *offsets;
	struct asked *asked;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	offsets = offsets_new(call, request, count);
	if (!offsets)
		return;
	asked = offsets->asked;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_leader_epoch_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			const struct kafka_leader_epoch_partition *one = &topic->partitions.at[j];

			offsets_add(offsets, asked++, topic->topic, one->partition, one->current_leader_epoch, OFFSET_LATEST);
		}
	}
	offsets_send(call, offsets, false, epoch_ends);
}

/* --- DeleteRecords --- */

static void records_deleted(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_delete_records_request *request = call->own;
	const struct delete_records_partition *done = ask->command.in.delete_records.partitions;
	struct kafka_delete_records_response *response = kafka_call_response(call);
	struct kafka_deleted_records_topic *topics =
		response ? kafka_call_alloc(call, request->topics.count * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_delete_records_topic *topic = &request->topics.at[i];
		struct kafka_deleted_records_partition *partitions =
			kafka_call_alloc(call, topic->partitions.count * sizeof(*partitions));

		topics[i].name = topic->name;
		topics[i].partitions.count = topic->partitions.count;
		topics[i].partitions.at = partitions;
		if (!partitions)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++, done++) {
			enum outcome outcome = ask->command.outcome == OUTCOME_OK ? done->outcome : ask->command.outcome;

			partitions[j] = (struct kafka_deleted_records_partition){
				.partition_index = topic->partitions.at[j].partition_index,
				.low_watermark = outcome == OUTCOME_OK ? (int64_t)done->log_start_offset : -1,
				.error_code = (int16_t)kafka_error_of(outcome),
			};
		}
	}
	kafka_call_answer(call, response);
}

void delete_records_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_delete_records_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_DELETE_RECORDS, records_deleted);
	struct delete_records_partition *partitions, *one;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	partitions = one = ask ? kafka_call_alloc(call, count * sizeof(*partitions)) : NULL;
	if (!partitions)
		return;
	call->own = (void *)(uintptr_t)request;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_delete_records_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++, one++) {
			/* A negative one is none that there is. */
			one->topic.name = topic->name;
			one->partition = (uint32_t)topic->partitions.at[j].partition_index;
			one->offset = topic->partitions.at[j].offset;
		}
	}
	ask->command.in.delete_records = (struct delete_records_in){.partitions = partitions, .count = count};
	kafka_ask_send(call, ask);
}
