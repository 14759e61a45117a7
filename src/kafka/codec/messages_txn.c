#include "kafka/codec/messages_txn.h"

#include "kafka/codec/tables_priv.h"

/* InitProducerId */

static const struct kafka_field init_producer_id_request[] = {
	FIELD(init_producer_id_request, transactional_id, STRING, ALL, NULLS(ALL)),
	FIELD(init_producer_id_request, transaction_timeout_ms, INT32, ALL),
	FIELD(init_producer_id_request, producer_id, INT64, FROM(3), PRESET(-1)),
	FIELD(init_producer_id_request, producer_epoch, INT16, FROM(3), PRESET(-1)),
};
MESSAGE(init_producer_id_request);

static const struct kafka_field init_producer_id_response[] = {
	FIELD(init_producer_id_response, throttle_time_ms, INT32, ALL),
	FIELD(init_producer_id_response, error_code, INT16, ALL),
	FIELD(init_producer_id_response, producer_id, INT64, ALL, PRESET(-1)),
	FIELD(init_producer_id_response, producer_epoch, INT16, ALL),
};
MESSAGE(init_producer_id_response);

/* AddPartitionsToTxn */

static const struct kafka_field txn_topic[] = {
	FIELD(txn_topic, name, STRING, ALL),
	LIST(txn_topic, partitions, INT32, ALL),
};
TABLE(txn_topic);

static const struct kafka_field txn_addition[] = {
	FIELD(txn_addition, transactional_id, STRING, ALL), FIELD(txn_addition, producer_id, INT64, ALL),
	FIELD(txn_addition, producer_epoch, INT16, ALL),    FIELD(txn_addition, verify_only, BOOL, ALL),
	ARRAY(txn_addition, topics, txn_topic, ALL),
};
TABLE(txn_addition);

static const struct kafka_field add_partitions_to_txn_request[] = {
	ARRAY(add_partitions_to_txn_request, transactions, txn_addition, FROM(4)),
	FIELD(add_partitions_to_txn_request, v3_and_below_transactional_id, STRING, UNTIL(3)),
	FIELD(add_partitions_to_txn_request, v3_and_below_producer_id, INT64, UNTIL(3)),
	FIELD(add_partitions_to_txn_request, v3_and_below_producer_epoch, INT16, UNTIL(3)),
	ARRAY(add_partitions_to_txn_request, v3_and_below_topics, txn_topic, UNTIL(3)),
};
MESSAGE(add_partitions_to_txn_request);

static const struct kafka_field txn_added_partition[] = {
	FIELD(txn_added_partition, partition_index, INT32, ALL),
	FIELD(txn_added_partition, partition_error_code, INT16, ALL),
};
TABLE(txn_added_partition);

static const struct kafka_field txn_added_topic[] = {
	FIELD(txn_added_topic, name, STRING, ALL),
	ARRAY(txn_added_topic, results_by_partition, txn_added_partition, ALL),
};
TABLE(txn_added_topic);

static const struct kafka_field txn_added[] = {
	FIELD(txn_added, transactional_id, STRING, ALL),
	ARRAY(txn_added, topic_results, txn_added_topic, ALL),
};
TABLE(txn_added);

static const struct kafka_field add_partitions_to_txn_response[] = {
	FIELD(add_partitions_to_txn_response, throttle_time_ms, INT32, ALL),
	FIELD(add_partitions_to_txn_response, error_code, INT16, FROM(4)),
	ARRAY(add_partitions_to_txn_response, results_by_transaction, txn_added, FROM(4)),
	ARRAY(add_partitions_to_txn_response, results_by_topic_v3_and_below, txn_added_topic, UNTIL(3)),
};
MESSAGE(add_partitions_to_txn_response);

/* AddOffsetsToTxn */

static const struct kafka_field add_offsets_to_txn_request[] = {
	FIELD(add_offsets_to_txn_request, transactional_id, STRING, ALL),
	FIELD(add_offsets_to_txn_request, producer_id, INT64, ALL),
	FIELD(add_offsets_to_txn_request, producer_epoch, INT16, ALL),
	FIELD(add_offsets_to_txn_request, group_id, STRING, ALL),
};
MESSAGE(add_offsets_to_txn_request);

static const struct kafka_field add_offsets_to_txn_response[] = {
	FIELD(add_offsets_to_txn_response, throttle_time_ms, INT32, ALL),
	FIELD(add_offsets_to_txn_response, error_code, INT16, ALL),
};
MESSAGE(add_offsets_to_txn_response);

/* EndTxn */

static const struct kafka_field end_txn_request[] = {
	FIELD(end_txn_request, transactional_id, STRING, ALL),
	FIELD(end_txn_request, producer_id, INT64, ALL),
	FIELD(end_txn_request, producer_epoch, INT16, ALL),
	FIELD(end_txn_request, committed, BOOL, ALL),
};
MESSAGE(end_txn_request);

static const struct kafka_field end_txn_response[] = {
	FIELD(end_txn_response, throttle_time_ms, INT32, ALL),
	FIELD(end_txn_response, error_code, INT16, ALL),
	FIELD(end_txn_response, producer_id, INT64, FROM(5), PRESET(-1)),
	FIELD(end_txn_response, producer_epoch, INT16, FROM(5), PRESET(-1)),
};
MESSAGE(end_txn_response);

/* TxnOffsetCommit */

static const struct kafka_field txn_commit_partition[] = {
	FIELD(txn_commit_partition, partition_index, INT32, ALL),
	FIELD(txn_commit_partition, committed_offset, INT64, ALL),
	FIELD(txn_commit_partition, committed_leader_epoch, INT32, FROM(2), PRESET(-1)),
	FIELD(txn_commit_partition, committed_metadata, STRING, ALL, NULLS(ALL)),
};
TABLE(txn_commit_partition);

static const struct kafka_field txn_commit_topic[] = {
	FIELD(txn_commit_topic, name, STRING, ALL),
	ARRAY(txn_commit_topic, partitions, txn_commit_partition, ALL),
};
TABLE(txn_commit_topic);

static const struct kafka_field txn_offset_commit_request[] = {
	FIELD(txn_offset_commit_request, transactional_id, STRING, ALL),
	FIELD(txn_offset_commit_request, group_id, STRING, ALL),
	FIELD(txn_offset_commit_request, producer_id, INT64, ALL),
	FIELD(txn_offset_commit_request, producer_epoch, INT16, ALL),
	FIELD(txn_offset_commit_request, generation_id, INT32, FROM(3), PRESET(-1)),
	FIELD(txn_offset_commit_request, member_id, STRING, FROM(3)),
	FIELD(txn_offset_commit_request, group_instance_id, STRING, FROM(3), NULLS(ALL), PRESET_NULL),
	ARRAY(txn_offset_commit_request, topics, txn_commit_topic, ALL),
};
MESSAGE(txn_offset_commit_request);

static const struct kafka_field txn_committed_partition[] = {
	FIELD(txn_committed_partition, partition_index, INT32, ALL),
	FIELD(txn_committed_partition, error_code, INT16, ALL),
};
TABLE(txn_committed_partition);

static const struct kafka_field txn_committed_topic[] = {
	FIELD(txn_committed_topic, name, STRING, ALL),
	ARRAY(txn_committed_topic, partitions, txn_committed_partition, ALL),
};
TABLE(txn_committed_topic);

static const struct kafka_field txn_offset_commit_response[] = {
	FIELD(txn_offset_commit_response, throttle_time_ms, INT32, ALL),
	ARRAY(txn_offset_commit_response, topics, txn_committed_topic, ALL),
};
MESSAGE(txn_offset_commit_response);

/* DescribeProducers */

static const struct kafka_field describe_producers_topic[] = {
	FIELD(describe_producers_topic, name, STRING, ALL),
	LIST(describe_producers_topic, partition_indexes, INT32, ALL),
};
TABLE(describe_producers_topic);

static const struct kafka_field describe_producers_request[] = {
	ARRAY(describe_producers_request, topics, describe_producers_topic, ALL),
};
MESSAGE(describe_producers_request);

static const struct kafka_field producer_state[] = {
	FIELD(producer_state, producer_id, INT64, ALL),
	FIELD(producer_state, producer_epoch, INT32, ALL),
	FIELD(producer_state, last_sequence, INT32, ALL, PRESET(-1)),
	FIELD(producer_state, last_timestamp, INT64, ALL, PRESET(-1)),
	FIELD(producer_state, coordinator_epoch, INT32, ALL),
	FIELD(producer_state, current_txn_start_offset, INT64, ALL, PRESET(-1)),
};
TABLE(producer_state);

static const struct kafka_field producers_partition[] = {
	FIELD(producers_partition, partition_index, INT32, ALL),
	FIELD(producers_partition, error_code, INT16, ALL),
	FIELD(producers_partition, error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
	ARRAY(producers_partition, active_producers, producer_state, ALL),
};
TABLE(producers_partition);

static const struct kafka_field producers_topic[] = {
	FIELD(producers_topic, name, STRING, ALL),
	ARRAY(producers_topic, partitions, producers_partition, ALL),
};
TABLE(producers_topic);

static const struct kafka_field describe_producers_response[] = {
	FIELD(describe_producers_response, throttle_time_ms, INT32, ALL),
	ARRAY(describe_producers_response, topics, producers_topic, ALL),
};
MESSAGE(describe_producers_response);

/* DescribeTransactions */

static const struct kafka_field describe_transactions_request[] = {
	LIST(describe_transactions_request, transactional_ids, STRING, ALL),
};
MESSAGE(describe_transactions_request);

static const struct kafka_field transaction_topic[] = {
	FIELD(transaction_topic, topic, STRING, ALL),
	LIST(transaction_topic, partitions, INT32, ALL),
};
TABLE(transaction_topic);

static const struct kafka_field transaction[] = {
	FIELD(transaction, error_code, INT16, ALL),
	FIELD(transaction, transactional_id, STRING, ALL),
	FIELD(transaction, transaction_state, STRING, ALL),
	FIELD(transaction, transaction_timeout_ms, INT32, ALL),
	FIELD(transaction, transaction_start_time_ms, INT64, ALL),
	FIELD(transaction, producer_id, INT64, ALL),
	FIELD(transaction, producer_epoch, INT16, ALL),
	ARRAY(transaction, topics, transaction_topic, ALL),
};
TABLE(transaction);

static const struct kafka_field describe_transactions_response[] = {
	FIELD(describe_transactions_response, throttle_time_ms, INT32, ALL),
	ARRAY(describe_transactions_response, transaction_states, transaction, ALL),
};
MESSAGE(describe_transactions_response);

/* ListTransactions */

static const struct kafka_field list_transactions_request[] = {
	LIST(list_transactions_request, state_filters, STRING, ALL),
	LIST(list_transactions_request, producer_id_filters, INT64, ALL),
	FIELD(list_transactions_request, duration_filter, INT64, FROM(1), PRESET(-1)),
};
MESSAGE(list_transactions_request);

static const struct kafka_field listed_transaction[] = {
	FIELD(listed_transaction, transactional_id, STRING, ALL),
	FIELD(listed_transaction, producer_id, INT64, ALL),
	FIELD(listed_transaction, transaction_state, STRING, ALL),
};
TABLE(listed_transaction);

static const struct kafka_field list_transactions_response[] = {
	FIELD(list_transactions_response, throttle_time_ms, INT32, ALL),
	FIELD(list_transactions_response, error_code, INT16, ALL),
	LIST(list_transactions_response, unknown_state_filters, STRING, ALL),
	ARRAY(list_transactions_response, transaction_states, listed_transaction, ALL),
};
MESSAGE(list_transactions_response);
