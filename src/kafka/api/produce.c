/* Produce: batches are looked at, appended by one command, and answered when they are durable. */
#include "kafka/api/api_priv.h"

#include "kafka/api/batch_in.h"
#include "kafka/codec/messages_records.h"
#include "stream/batch.h"

enum { ADDS_FROM = 12 }; /* from that version on partitions need not be named to the transaction before (KIP-890) */

/* One of the request's partitions; those that are refused at once never get to the sequencer. */
struct produced {
	struct produce_partition *asked; /* NULL: refused */
	enum kafka_error error;
};

struct produce {
	const struct kafka_produce_request *request;
	struct produced *produced; /* one for each partition of the request, in its order */
	uint32_t throttle_ms;
};

static size_t partition_count(const struct kafka_produce_request *request)
{
	size_t count = 0;

	for (uint32_t i = 0; i < request->topic_data.count; i++)
		count += request->topic_data.at[i].partition_data.count;
	return count;
}

static enum kafka_error outcome_error(const struct kafka_ask *ask, enum outcome outcome)
{
	if (ask && ask->command.outcome != OUTCOME_OK)
		outcome = ask->command.outcome;
	/* Producers try again what they are told is the storage's fault; next time it will be known what to look for. */
	return outcome == OUTCOME_NO_MEMORY || outcome == OUTCOME_PACKED ? KAFKA_STORAGE_ERROR : kafka_error_of(outcome);
}

/* Which records a compacted topic does not take (KIP-467): clients may write the others again. */
static bool keyless_fill(struct kafka_call *call, const struct produce_partition *asked, struct kafka_produced_partition *ret)
{
	struct slice bytes = slice_from(asked->batch.bytes, asked->batch.size_bytes);
	struct kafka_record_error *errors;
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset, base;

	if (asked->outcome != OUTCOME_RECORD || !asked->batch.no_key || batch_open_checked(&reader, bytes))
		return true;
	errors = kafka_call_alloc(call, reader.count * sizeof(*errors));
	if (!errors)
		return false;
	base = reader.base_offset;
	while (batch_next(&reader, &record, &offset) == 1) {
		if (!record.key.ptr)
			errors[ret->record_errors.count++].batch_index = (int32_t)(offset - base);
	}
	ret->record_errors.at = errors;
	ret->error_message = SLICE("records of a compacted topic need a key");
	return true;
}

static bool partitions_fill(struct kafka_call *call, const struct kafka_ask *ask, const struct kafka_produce_topic *topic,
			    const struct produced *produced, struct kafka_produced_topic *ret_topic)
{
	uint32_t count = topic->partition_data.count;
	struct kafka_produced_partition *partitions = kafka_call_alloc(call, count * sizeof(*partitions));

	if (!partitions)
		return false;
	ret_topic->name = topic->name;
	ret_topic->partition_responses.at = partitions;
	ret_topic->partition_responses.count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct produce_partition *asked = produced[i].asked;
		enum kafka_error error = asked ? outcome_error(ask, asked->outcome) : produced[i].error;
		bool ok = error == KAFKA_NONE;

		partitions[i] = (struct kafka_produced_partition){
			.index = topic->partition_data.at[i].index,
			.error_code = (int16_t)error,
			.base_offset = ok ? (int64_t)asked->base_offset : -1,
			.log_append_time_ms = ok ? asked->append_time_ms : -1,
			.log_start_offset = ok ? (int64_t)asked->log_start_offset : -1,
			.current_leader = {-1, -1},
		};
		if (asked && !keyless_fill(call, asked, &partitions[i]))
			return false;
	}
	return true;
}

/* Who wants no answer learns of an error by the end of the connection. */
static void answer_none(struct kafka_call *call, const struct kafka_ask *ask, const struct produce *produce)
{
	size_t count = partition_count(produce->request);

	for (size_t i = 0; i < count; i++) {
		const struct produced *produced = &produce->produced[i];

		if (produced->asked ? outcome_error(ask, produced->asked->outcome) : produced->error) {
			kafka_call_close(call);
			return;
		}
	}
	kafka_call_unasked(call);
}

static void answer(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct produce *produce = call->own;
	const struct kafka_produce_request *request = produce->request;
	const struct produced *produced = produce->produced;
	struct kafka_produce_response *response;
	struct kafka_produced_topic *topics;

	if (request->acks == 0) {
		answer_none(call, ask, produce);
		return;
	}
	response = kafka_call_response(call);
	topics = response ? kafka_call_alloc(call, request->topic_data.count * sizeof(*topics)) : NULL;
	if (!topics)
		return;
	response->throttle_time_ms = (int32_t)produce->throttle_ms;
	response->responses.at = topics;
	response->responses.count = request->topic_data.count;
	for (uint32_t i = 0; i < request->topic_data.count; i++) {
		const struct kafka_produce_topic *topic = &request->topic_data.at[i];

		if (!partitions_fill(call, ask, topic, produced, &topics[i]))
			return;
		produced += topic->partition_data.count;
	}
	kafka_call_answer(call, response);
}

/* Looks at all batches; how many of them the sequencer is asked about. */
static size_t take_batches(const struct kafka_produce_request *request, struct produced *produced,
			   struct produce_partition *asked, const struct kafka_thread *kafka)
{
	uint64_t left = REQUEST_OPENED_BYTES;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topic_data.count; i++) {
		const struct kafka_produce_topic *topic = &request->topic_data.at[i];
		bool open = kafka->config.keys_count(kafka->ctx, topic->name);

		for (uint32_t j = 0; j < topic->partition_data.count; j++, produced++) {
			const struct kafka_produce_partition *partition = &topic->partition_data.at[j];
			struct produce_partition *one = &asked[count];

			produced->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			if (partition->index >= 0)
				produced->error = batch_in(partition->records, &one->batch);
			if (!produced->error && open && one->batch.packed)
				produced->error = batch_in_open(&one->batch, &left);
			if (produced->error)
				continue;
			one->topic.name = topic->name;
			one->partition = (uint32_t)partition->index;
			produced->asked = one;
			count++;
		}
	}
	return count;
}

static void refuse_all(struct kafka_call *call, struct produce *produce, size_t count, enum kafka_error error)
{
	for (size_t i = 0; i < count; i++)
		produce->produced[i].error = error;
	answer(call, NULL);
}

void produce_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_produce_request *request = message;
	const struct kafka_thread *kafka = call->thread;
	size_t count = partition_count(request);
	struct produce *produce = kafka_call_alloc(call, sizeof(*produce));
	struct produced *produced = produce ? kafka_call_alloc(call, count * sizeof(*produced)) : NULL;
	struct produce_partition *asked = produced ? kafka_call_alloc(call, count * sizeof(*asked)) : NULL;
	struct kafka_ask *ask = asked ? kafka_ask_new(call, COMMAND_PRODUCE, answer) : NULL;

	if (!ask)
		return;
	call->own = produce;
	produce->request = request;
	produce->produced = produced;
	produce->throttle_ms = kafka_call_charge(call, QUOTA_PRODUCE, call->frame_bytes);
	if (request->acks < -1 || request->acks > 1) {
		refuse_all(call, produce, count, KAFKA_INVALID_REQUIRED_ACKS);
		return;
	}
	count = take_batches(request, produced, asked, kafka);
	if (count == 0) {
		answer(call, NULL);
		return;
	}
	ask->command.in.produce = (struct produce_in){.partitions = asked,
						      .count = count,
						      .transactional_id = request->transactional_id,
						      .adds = call->request.format.version >= ADDS_FROM};
	kafka_ask_send(call, ask);
}
