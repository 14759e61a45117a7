/* Producers with an identity, and their transactions: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn,
 * TxnOffsetCommit, DescribeProducers, DescribeTransactions, ListTransactions. */
#pragma once

#include "kafka/codec/message.h"

/* InitProducerId */

struct kafka_init_producer_id_request {
	struct slice transactional_id;
	int32_t transaction_timeout_ms;
	int64_t producer_id;
	int16_t producer_epoch;
};

struct kafka_init_producer_id_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	int64_t producer_id;
	int16_t producer_epoch;
};

/* AddPartitionsToTxn */

struct kafka_txn_topic {
	struct slice name;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_txn_addition {
	struct slice transactional_id;
	int64_t producer_id;
	int16_t producer_epoch;
	bool verify_only;
	KAFKA_ARRAY(struct kafka_txn_topic) topics;
};

struct kafka_add_partitions_to_txn_request {
	KAFKA_ARRAY(struct kafka_txn_addition) transactions;
	struct slice v3_and_below_transactional_id;
	int64_t v3_and_below_producer_id;
	int16_t v3_and_below_producer_epoch;
	KAFKA_ARRAY(struct kafka_txn_topic) v3_and_below_topics;
};

struct kafka_txn_added_partition {
	int32_t partition_index;
	int16_t partition_error_code;
};

struct kafka_txn_added_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_txn_added_partition) results_by_partition;
};

struct kafka_txn_added {
	struct slice transactional_id;
	KAFKA_ARRAY(struct kafka_txn_added_topic) topic_results;
};

struct kafka_add_partitions_to_txn_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_txn_added) results_by_transaction;
	KAFKA_ARRAY(struct kafka_txn_added_topic) results_by_topic_v3_and_below;
};

/* AddOffsetsToTxn */

struct kafka_add_offsets_to_txn_request {
	struct slice transactional_id;
	int64_t producer_id;
	int16_t producer_epoch;
	struct slice group_id;
};

struct kafka_add_offsets_to_txn_response {
	int32_t throttle_time_ms;
	int16_t error_code;
};

/* EndTxn */

struct kafka_end_txn_request {
	struct slice transactional_id;
	int64_t producer_id;
	int16_t producer_epoch;
	bool committed;
};

struct kafka_end_txn_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	int64_t producer_id; /* -1 before version 5 */
	int16_t producer_epoch;
};

/* TxnOffsetCommit */

struct kafka_txn_commit_partition {
	int32_t partition_index;
	int64_t committed_offset;
	int32_t committed_leader_epoch;
	struct slice committed_metadata;
};

struct kafka_txn_commit_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_txn_commit_partition) partitions;
};

struct kafka_txn_offset_commit_request {
	struct slice transactional_id;
	struct slice group_id;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t generation_id;
	struct slice member_id;
	struct slice group_instance_id;
	KAFKA_ARRAY(struct kafka_txn_commit_topic) topics;
};

struct kafka_txn_committed_partition {
	int32_t partition_index;
	int16_t error_code;
};

struct kafka_txn_committed_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_txn_committed_partition) partitions;
};

struct kafka_txn_offset_commit_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_txn_committed_topic) topics;
};

/* DescribeProducers */

struct kafka_describe_producers_topic {
	struct slice name;
	KAFKA_ARRAY(int32_t) partition_indexes;
};

struct kafka_describe_producers_request {
	KAFKA_ARRAY(struct kafka_describe_producers_topic) topics;
};

struct kafka_producer_state {
	int64_t producer_id;
	int32_t producer_epoch;
	int32_t last_sequence;
	int64_t last_timestamp;
	int32_t coordinator_epoch;
	int64_t current_txn_start_offset;
};

struct kafka_producers_partition {
	int32_t partition_index;
	int16_t error_code;
	struct slice error_message;
	KAFKA_ARRAY(struct kafka_producer_state) active_producers;
};

struct kafka_producers_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_producers_partition) partitions;
};

struct kafka_describe_producers_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_producers_topic) topics;
};

/* DescribeTransactions */

struct kafka_describe_transactions_request {
	KAFKA_ARRAY(struct slice) transactional_ids;
};

struct kafka_transaction_topic {
	struct slice topic;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_transaction {
	int16_t error_code;
	struct slice transactional_id;
	struct slice transaction_state;
	int32_t transaction_timeout_ms;
	int64_t transaction_start_time_ms;
	int64_t producer_id;
	int16_t producer_epoch;
	KAFKA_ARRAY(struct kafka_transaction_topic) topics;
};

struct kafka_describe_transactions_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_transaction) transaction_states;
};

/* ListTransactions */

struct kafka_list_transactions_request {
	KAFKA_ARRAY(struct slice) state_filters;
	KAFKA_ARRAY(int64_t) producer_id_filters;
	int64_t duration_filter;
};

struct kafka_listed_transaction {
	struct slice transactional_id;
	int64_t producer_id;
	struct slice transaction_state;
};

struct kafka_list_transactions_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	KAFKA_ARRAY(struct slice) unknown_state_filters;
	KAFKA_ARRAY(struct kafka_listed_transaction) transaction_states;
};
