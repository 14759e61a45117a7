/* Transactions and producers as tools look at them: DescribeTransactions, ListTransactions, DescribeProducers (KIP-664). */
#include "kafka/api/api_priv.h"

#include "kafka/codec/messages_txn.h"

#include <stdlib.h>

/* Those that a client may know; the other numbers have no name here since they are never told. */
static const char *const states[TXN_STATE_COUNT] = {
	[TXN_EMPTY] = "Empty",           [TXN_ONGOING] = "Ongoing",          [TXN_COMMITTING] = "PrepareCommit",
	[TXN_ABORTING] = "PrepareAbort", [TXN_COMMITTED] = "CompleteCommit", [TXN_ABORTED] = "CompleteAbort",
};
static const char *const never[] = {"Dead", "PrepareEpochFence"}; /* Kafka's, which nothing here ever is in */

static bool is_open(const struct txn_view *view)
{
	return view->state == TXN_ONGOING || view->state == TXN_COMMITTING || view->state == TXN_ABORTING;
}

/* --- DescribeTransactions --- */

/* Partitions that lie one behind the other are told as those of one topic. */
static bool topics_fill(struct kafka_call *call, const struct txn_view *view, struct kafka_transaction *transaction)
{
	struct kafka_transaction_topic *topics = kafka_call_alloc(call, (view->partition_count + 1) * sizeof(*topics));
	int32_t *partitions = topics ? kafka_call_alloc(call, (view->partition_count + 1) * sizeof(*partitions)) : NULL;
	struct kafka_transaction_topic *topic = NULL;
	uint32_t count = 0;

	if (!partitions)
		return false;
	for (uint32_t i = 0; i < view->partition_count; i++) {
		if (!topic || !slice_eq(topic->topic, view->partitions[i].topic)) {
			topic = &topics[count++];
			topic->topic = view->partitions[i].topic;
			topic->partitions.at = &partitions[i];
		}
		partitions[i] = (int32_t)view->partitions[i].partition;
		topic->partitions.count++;
	}
	transaction->topics.at = topics;
	transaction->topics.count = count;
	return true;
}

static bool transaction_fill(struct kafka_call *call, const struct txn_view *view, struct kafka_transaction *transaction)
{
	*transaction = (struct kafka_transaction){.transactional_id = view->id, .producer_id = -1, .producer_epoch = -1};
	if (!view->found) {
		transaction->error_code = KAFKA_TRANSACTIONAL_ID_NOT_FOUND;
		return true;
	}
	transaction->transaction_state = slice_str(states[view->state]);
	transaction->transaction_timeout_ms = (int32_t)view->timeout_ms;
	transaction->transaction_start_time_ms = is_open(view) ? (int64_t)view->started_ms : -1;
	transaction->producer_id = (int64_t)view->producer_id;
	transaction->producer_epoch = (int16_t)view->epoch;
	return topics_fill(call, view, transaction);
}

static void transactions_described(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct txns_view *view = ask->command.out.txns;
	size_t count = ask->command.in.txns.count;
	struct kafka_describe_transactions_response *response = kafka_call_response(call);
	struct kafka_transaction *transactions = response ? kafka_call_alloc(call, (count + 1) * sizeof(*transactions)) : NULL;

	if (!transactions)
		return;
	for (size_t i = 0; i < count; i++) {
		if (!view)
			transactions[i] = (struct kafka_transaction){.transactional_id = ask->command.in.txns.ids[i],
								     .error_code = KAFKA_COORDINATOR_NOT_AVAILABLE};
		else if (!transaction_fill(call, &view->at[i], &transactions[i]))
			return;
	}
	response->transaction_states.at = transactions;
	response->transaction_states.count = (uint32_t)count;
	kafka_call_answer(call, response);
}

void describe_transactions_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_transactions_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TXNS, transactions_described);
	static const struct slice none;

	if (!ask)
		return;
	ask->command.in.txns = (struct txns_in){.ids = request->transactional_ids.count ? request->transactional_ids.at : &none,
						.count = request->transactional_ids.count};
	kafka_ask_send(call, ask);
}

/* --- ListTransactions --- */

/* What is to be told; a filter that is not there leaves all. */
struct wanted {
	uint32_t states;    /* bits */
	int64_t *producers; /* sorted */
	uint32_t producer_count;
	int64_t duration_ms; /* less than 0: any */
	uint64_t now_ms;
};

/* Its bit; 0: one of those that nothing here ever is in; less than 0: there is none of that name. */
static int64_t state_bit(struct slice name)
{
	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		if (states[i] && slice_eq(name, slice_str(states[i])))
			return (int64_t)1 << i;
	}
	for (size_t i = 0; i < ARRAY_COUNT(never); i++) {
		if (slice_eq(name, slice_str(never[i])))
			return 0;
	}
	return -1;
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool is_wanted(const struct wanted *wanted, const struct txn_view *view)
{
	int64_t id = (int64_t)view->producer_id;

	if (!(wanted->states >> view->state & 1))
		return false;
	if (wanted->producer_count && !bsearch(&id, wanted->producers, wanted->producer_count, sizeof(id), by_number))
		return false;
	if (wanted->duration_ms < 0)
		return true;
	return is_open(view) && view->started_ms < wanted->now_ms &&
	       wanted->now_ms - view->started_ms > (uint64_t)wanted->duration_ms;
}

/* What the request wants, and which states it names that there are not. */
static bool filters_read(struct kafka_call *call, struct wanted *wanted, struct kafka_list_transactions_response *response)
{
	const struct kafka_list_transactions_request *request = call->own;
	uint32_t count = request->producer_id_filters.count;
	struct slice *unknown = kafka_call_alloc(call, (request->state_filters.count + 1) * sizeof(*unknown));

	wanted->producers = unknown ? kafka_call_alloc(call, (count + 1) * sizeof(*wanted->producers)) : NULL;
	if (!wanted->producers)
		return false;
	response->unknown_state_filters.at = unknown;
	wanted->states = request->state_filters.count ? 0 : UINT32_MAX;
	for (uint32_t i = 0; i < request->state_filters.count; i++) {
		int64_t bit = state_bit(request->state_filters.at[i]);

		if (bit < 0)
			unknown[response->unknown_state_filters.count++] = request->state_filters.at[i];
		else
			wanted->states |= (uint32_t)bit;
	}
	if (count) {
		memcpy(wanted->producers, request->producer_id_filters.at, count * sizeof(*wanted->producers));
		qsort(wanted->producers, count, sizeof(*wanted->producers), by_number);
	}
	wanted->producer_count = count;
	wanted->duration_ms = request->duration_filter;
	wanted->now_ms = call->thread->config.unix_ms(call->thread->ctx);
	return true;
}

static void transactions_listed(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct txns_view *view = ask->command.out.txns;
	struct kafka_list_transactions_response *response = kafka_call_response(call);
	size_t count = view ? view->count : 0;
	struct kafka_listed_transaction *transactions =
		response ? kafka_call_alloc(call, (count + 1) * sizeof(*transactions)) : NULL;
	struct wanted wanted;

	if (!transactions || !filters_read(call, &wanted, response))
		return;
	response->error_code = view ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
	response->transaction_states.at = transactions;
	for (size_t i = 0; i < count; i++) {
		if (is_wanted(&wanted, &view->at[i]))
			transactions[response->transaction_states.count++] = (struct kafka_listed_transaction){
				view->at[i].id, (int64_t)view->at[i].producer_id, slice_str(states[view->at[i].state])};
	}
	kafka_call_answer(call, response);
}

void list_transactions_handle(struct kafka_call *call, const void *message)
{
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_TXNS, transactions_listed);

	if (!ask)
		return;
	call->own = (void *)(uintptr_t)message;
	kafka_ask_send(call, ask);
}

/* --- DescribeProducers --- */

static bool producers_fill(struct kafka_call *call, const struct kafka_ask *ask, const struct producers_partition *from,
			   struct kafka_producers_partition *partition)
{
	struct kafka_producer_state *producers = kafka_call_alloc(call, (from->count + 1) * sizeof(*producers));
	enum outcome outcome = ask->command.outcome == OUTCOME_OK ? from->outcome : ask->command.outcome;

	if (!producers)
		return false;
	partition->partition_index = (int32_t)from->partition;
	partition->error_code = (int16_t)kafka_error_of(outcome);
	partition->active_producers.at = producers;
	partition->active_producers.count = (uint32_t)from->count;
	for (size_t i = 0; i < from->count; i++) {
		const struct producer_view *view = &from->producers[i];

		producers[i] = (struct kafka_producer_state){
			.producer_id = view->producer_id,
			.producer_epoch = view->epoch,
			.last_sequence = view->last_sequence,
			.last_timestamp = view->last_ms,
			.coordinator_epoch = TOPIC_LEADER_EPOCH,
			.current_txn_start_offset = view->txn_first,
		};
	}
	return true;
}

static void producers_described(struct kafka_call *call, struct kafka_ask *ask)
{
	const struct kafka_describe_producers_request *request = call->own;
	const struct producers_partition *from = ask->command.in.producers.partitions;
	struct kafka_describe_producers_response *response = kafka_call_response(call);
	struct kafka_producers_topic *topics =
		response ? kafka_call_alloc(call, (request->topics.count + 1) * sizeof(*topics)) : NULL;

	if (!topics)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		uint32_t count = request->topics.at[i].partition_indexes.count;
		struct kafka_producers_partition *partitions = kafka_call_alloc(call, (count + 1) * sizeof(*partitions));

		if (!partitions)
			return;
		for (uint32_t j = 0; j < count; j++) {
			if (!producers_fill(call, ask, from++, &partitions[j]))
				return;
		}
		topics[i].name = request->topics.at[i].name;
		topics[i].partitions.at = partitions;
		topics[i].partitions.count = count;
	}
	response->topics.at = topics;
	response->topics.count = request->topics.count;
	kafka_call_answer(call, response);
}

void describe_producers_handle(struct kafka_call *call, const void *message)
{
	const struct kafka_describe_producers_request *request = message;
	struct kafka_ask *ask = kafka_ask_new(call, COMMAND_PRODUCERS, producers_described);
	struct producers_partition *partitions, *partition;
	size_t count = 0;

	for (uint32_t i = 0; i < request->topics.count; i++)
		count += request->topics.at[i].partition_indexes.count;
	partitions = partition = ask ? kafka_call_alloc(call, (count + 1) * sizeof(*partitions)) : NULL;
	if (!partitions)
		return;
	for (uint32_t i = 0; i < request->topics.count; i++) {
		const struct kafka_describe_producers_topic *topic = &request->topics.at[i];

		for (uint32_t j = 0; j < topic->partition_indexes.count; j++)
			*partition++ = (struct producers_partition){.topic.name = topic->name,
								    .partition = (uint32_t)topic->partition_indexes.at[j]};
	}
	call->own = (void *)(uintptr_t)message;
	ask->command.in.producers = (struct producers_in){.partitions = partitions, .count = count};
	kafka_ask_send(call, ask);
}
