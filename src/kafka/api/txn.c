/* Transactions: AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_txn.h"

enum {
	FENCED_FROM = 2, /* before that version a fenced producer is told that its epoch is over */
	RENEWS_FROM = 5, /* from that version of EndTxn on the end of a transaction brings the next epoch */
};

/* What is wrong with the transactional id, or with who says to be its producer. */
static enum kafka_error txn_error_of(const struct kafka_call *call, enum outcome outcome)
{
	switch ((int)outcome) {
	case OUTCOME_NOT_FOUND:
		return KAFKA_INVALID_PRODUCER_ID_MAPPING;
	case OUTCOME_FENCED:
		return call->request.format.version >= FENCED_FROM ? KAFKA_PRODUCER_FENCED : KAFKA_INVALID_PRODUCER_EPOCH;
	case OUTCOME_FULL:
		return KAFKA_POLICY_VIOLATION;
	case OUTCOME_NO_SPACE:
	case OUTCOME_NO_MEMORY:
		return KAFKA_COORDINATOR_NOT_AVAILABLE; /* clients ask again */
	case OUTCOME_STORAGE:
		return KAFKA_NOT_COORDINATOR;
	default:
		return kafka_error_of(outcome);
	}
}

/* --- AddPartitionsToTxn --- */

static enum kafka_error added_error(const struct kafka_call *call, const struct kafka_ask *ask,
				    const struct txn_partition *partition)
{
	enum outcome outcome = ask->command.outcome;

	if (outcome != OUTCOME_PARTITIONS)
		return txn_error_of(call, outcome);
	return partition->outcome == OUTCOME_OK ? KAFKA_OPERATION_NOT_ATTEMPTED : kafka_error_of(partition->outcome);
}

/* One transaction: a list of them is between brokers. */
static bool addition_of(const struct kafka_add_partitions_to_txn_request *request, struct kafka_txn_addition *ret_addition)
{
	if (request->transactions.at) {
		if (request->transactions.count != 1 || request->transactions.at[0].verify_only)
			return false;
		*ret_addition = request->transactions.at[0];
		return true;
	}
	*ret_addition = (struct kafka_txn_addition){
		.transactional_id = request->v3_and_below_transactional_id,
		.producer_id = request->v3_and_below_producer_id,
		.producer_epoch = request->v3_and_below_producer_epoch,
	};
	ret_addition->topics.at = request->v3_and_below_topics.at;
	ret_addition->topics.count = request->v3_and_below_topics.count;
	return true;
}

static void added(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_txn_addition *addition = call->own;
	const struct txn_partition *partition = ask->command.in.txn.partitions;
	struct kafka_add_partitions_to_txn_response *response = kafka_call_response(call);
	struct kafka_txn_added *one = response ? kafka_call_alloc(call, sizeof(*one)) : NULL;
	struct kafka_txn_added_topic *topics =
		one ? kafka_call_alloc(call, (addition->topics.count + 1) * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (uint32_t i = 0; i < addition->topics.count; i++) {
		const struct kafka_txn_topic *topic = &addition->topics.at[i];
		struct kafka_txn_added_partition *results =
			kafka_call_alloc(call, (topic->partitions.count + 1) * sizeof(*results));

		if (!results)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++)
			results[j] = (struct kafka_txn_added_partition){topic->partitions.at[j],
									(int16_t)added_error(call, ask, partition++)};
		topics[i].name = topic->name;
		topics[i].results_by_partition.at = results;
		topics[i].results_by_partition.count = topic->partitions.count;
	}
	one->transactional_id = addition->transactional_id;
	one->topic_results.at = topics;
	one->topic_results.count = addition->topics.count;
	response->results_by_transaction.at = one;
	response->results_by_transaction.count = 1;
	response->results_by_topic_v3_and_below.at = topics;
	response->results_by_topic_v3_and_below.count = addition->topics.count;
	kafka_call_answer(call, response);
}

static void refuse_addition(struct kafka_call *call)
{
	struct kafka_add_partitions_to_txn_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = KAFKA_INVALID_REQUEST;
	kafka_call_answer(call, response);
}

void add_partitions_to_txn_handle(struct kafka_call *call, const void *message)
{
	struct kafka_txn_addition *addition = kafka_call_alloc(call, sizeof(*addition));
	struct kafka_ask *ask = addition ? kafka_ask_new(call, COMMAND_TXN_ADD, added) : NULL;
	struct txn_partition *partitions, *partition;
	size_t count = 0;

	if (!ask)
		return;
	if (!addition_of(message, addition)) {
		refuse_addition(call);
		return;
	}
	for (uint32_t i = 0; i < addition->topics.count; i++)
		count += addition->topics.at[i].partitions.count;
	partitions = partition = kafka_call_alloc(call, (count + 1) * sizeof(*partitions));
	if (!partitions)
		return;
	for (uint32_t i = 0; i < addition->topics.count; i++) {
		const struct kafka_txn_topic *topic = &addition->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++)
			*partition++ =
				(struct txn_partition){.topic.name = topic->name, .partition = (uint32_t)topic->partitions.at[j]};
	}
	call->own = addition;
	ask->command.in.txn = (struct txn_in){
		.transactional_id = addition->transactional_id,
		.producer_id = addition->producer_id,
		.producer_epoch = addition->producer_epoch,
		.partitions = partitions,
		.partition_count = count,
	};
	kafka_ask_send(call, ask);
}

/* --- AddOffsetsToTxn: what TxnOffsetCommit brings is in the transaction anyway --- */

static void offsets_added(struct kafka_call *call, struct kafka_ask *ask)
{
	struct kafka_add_offsets_to_txn_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)txn_error_of(call, ask->command.outcome);
	kafka_call_answer(call, response);
}

void add_offsets_to_txn_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_add_offsets_to_txn_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TXN_ADD, offsets_added);

	if (!ask)
		return;
	ask->command.in.txn = (struct txn_in){
		.transactional_id = request->transactional_id,
		.producer_id = request->producer_id,
		.producer_epoch = request->producer_epoch,
	};
	kafka_ask_send(call, ask);
}

/* --- TxnOffsetCommit --- */

static enum kafka_error committed_error(const struct kafka_call *call, const struct kafka_ask *ask,
					const struct group_place *place)
{
	enum outcome outcome = ask->command.outcome;

	switch ((int)outcome) {
	case OUTCOME_OK:
		return place->outcome == OUTCOME_TOO_LARGE ? KAFKA_OFFSET_METADATA_TOO_LARGE : kafka_error_of(place->outcome);
	case OUTCOME_FULL:
		return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
	case OUTCOME_FENCED:
		return KAFKA_INVALID_PRODUCER_EPOCH;
	case OUTCOME_NO_MEMBER:
	case OUTCOME_GENERATION:
	case OUTCOME_REBALANCING:
	case OUTCOME_NAME:
		return kafka_group_error_of(outcome);
	default:
		return txn_error_of(call, outcome);
	}
}

static void offsets_committed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_txn_offset_commit_request *request = call->own;
	const struct group_place *place = ask->command.in.txn_offsets.commit.places;
	struct kafka_txn_offset_commit_response *response = kafka_call_response(call);
	struct kafka_txn_committed_topic *topics =
		response ? kafka_call_alloc(call, (request->topics.count + 1) * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_txn_commit_topic *topic = &request->topics.at[i];
		struct kafka_txn_committed_partition *results =
			kafka_call_alloc(call, (topic->partitions.count + 1) * sizeof(*results));

		if (!results)
			return;
		for (uint32_t j = 0; j < topic->partitions.count; j++)
			results[j] = (struct kafka_txn_committed_partition){topic->partitions.at[j].partition_index,
									    (int16_t)committed_error(call, ask, place++)};
		topics[i].name = topic->name;
		topics[i].partitions.at = results;
		topics[i].partitions.count = topic->partitions.count;
	}
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	kafka_call_answer(call, response);
}

/* Negative numbers become some that are too large to be any. */
static void fill_places(const struct kafka_txn_offset_commit_request *request, struct group_place *place)
{
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_txn_commit_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			const struct kafka_txn_commit_partition *partition = &topic->partitions.at[j];

			*place++ = (struct group_place){.topic = topic->name,
							.partition = (uint32_t)partition->partition_index,
							.offset = (uint64_t)partition->committed_offset,
							.leader_epoch = partition->committed_leader_epoch,
							.metadata = partition->committed_metadata};
		}
	}
}

void txn_offset_commit_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_txn_offset_commit_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TXN_OFFSETS, offsets_committed);
	struct group_place *places;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partitions.count;
	places = ask ? kafka_call_alloc(call, (count + 1) * sizeof(*places)) : NULL;
	if (!places)
		return;
	fill_places(request, places);
	call->own = (void *)(uintptr_t)request;
	ask->command.in.txn_offsets = (struct txn_offsets_in){
		.txn = {.transactional_id = request->transactional_id,
			.producer_id = request->producer_id,
			.producer_epoch = request->producer_epoch},
		.commit = {.who = {request->group_id, request->member_id, request->group_instance_id, request->generation_id,
				   false},
			   .places = places,
			   .count = count},
	};
	kafka_ask_send(call, ask);
}

/* --- EndTxn --- */

static void ended(struct kafka_call *call, struct kafka_ask *ask)
{
	struct kafka_end_txn_response *response = kafka_call_response(call);

	if (!response)
		return;
	response->error_code = (int16_t)txn_error_of(call, ask->command.outcome);
	response->producer_id = ask->command.out.producer_id.producer_id;
	response->producer_epoch = ask->command.out.producer_id.producer_epoch;
	kafka_call_answer(call, response);
}

void end_txn_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_end_txn_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TXN_END, ended);

	if (!ask)
		return;
	ask->command.in.txn = (struct txn_in){
		.transactional_id = request->transactional_id,
		.producer_id = request->producer_id,
		.producer_epoch = request->producer_epoch,
		.commit = request->committed,
		.renews = call->request.format.version >= RENEWS_FROM,
	};
	kafka_ask_send(call, ask);
}
