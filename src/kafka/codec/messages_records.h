/* Records and where they stand: Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords. */
#pragma once

#include "kafka/codec/message.h"

/* Produce */

struct kafka_produce_partition {
	int32_t index;
	struct slice records;
};

struct kafka_produce_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_produce_partition) partition_data;
};

struct kafka_produce_request {
	struct slice transactional_id;
	int16_t acks; /* 0: no answer is wanted; 1; -1: all */
	int32_t timeout_ms;
	KAFKA_ARRAY(struct kafka_produce_topic) topic_data;
};

struct kafka_record_error {
	int32_t batch_index;
	struct slice batch_index_error_message;
};

struct kafka_leader {
	int32_t leader_id;
	int32_t leader_epoch;
};

struct kafka_produced_partition {
	int32_t index;
	int16_t error_code;
	int64_t base_offset;
	int64_t log_append_time_ms;
	int64_t log_start_offset;
	KAFKA_ARRAY(struct kafka_record_error) record_errors;
	struct slice error_message;
	struct kafka_leader current_leader;
};

struct kafka_produced_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_produced_partition) partition_responses;
};

struct kafka_endpoint {
	int32_t node_id;
	struct slice host;
	int32_t port;
	struct slice rack;
};

struct kafka_produce_response {
	KAFKA_ARRAY(struct kafka_produced_topic) responses;
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_endpoint) node_endpoints;
};

/* Fetch */

struct kafka_replica_state {
	int32_t replica_id;
	int64_t replica_epoch;
};

struct kafka_fetch_partition {
	int32_t partition;
	int32_t current_leader_epoch;
	int64_t fetch_offset;
	int32_t last_fetched_epoch;
	int64_t log_start_offset;
	int32_t partition_max_bytes;
};

struct kafka_fetch_topic {
	struct slice topic;
	struct kafka_uuid topic_id;
	KAFKA_ARRAY(struct kafka_fetch_partition) partitions;
};

struct kafka_forgotten_topic {
	struct slice topic;
	struct kafka_uuid topic_id;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_fetch_request {
	struct slice cluster_id;
	int32_t replica_id;
	struct kafka_replica_state replica_state;
	int32_t max_wait_ms;
	int32_t min_bytes;
	int32_t max_bytes;
	int8_t isolation_level;
	int32_t session_id;
	int32_t session_epoch;
	KAFKA_ARRAY(struct kafka_fetch_topic) topics;
	KAFKA_ARRAY(struct kafka_forgotten_topic) forgotten_topics_data;
	struct slice rack_id;
};

struct kafka_epoch_end {
	int32_t epoch;
	int64_t end_offset;
};

struct kafka_snapshot {
	int64_t end_offset;
	int32_t epoch;
};

struct kafka_aborted_transaction {
	int64_t producer_id;
	int64_t first_offset;
};

struct kafka_fetched_partition {
	int32_t partition_index;
	int16_t error_code;
	int64_t high_watermark;
	int64_t last_stable_offset;
	int64_t log_start_offset;
	struct kafka_epoch_end diverging_epoch;
	struct kafka_leader current_leader;
	struct kafka_snapshot snapshot_id;
	KAFKA_ARRAY(struct kafka_aborted_transaction) aborted_transactions;
	int32_t preferred_read_replica;
	struct slice records; /* never null to a client: KAFKA_EMPTY */
};

struct kafka_fetched_topic {
	struct slice topic;
	struct kafka_uuid topic_id;
	KAFKA_ARRAY(struct kafka_fetched_partition) partitions;
};

struct kafka_fetch_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	int32_t session_id;
	KAFKA_ARRAY(struct kafka_fetched_topic) responses;
	KAFKA_ARRAY(struct kafka_endpoint) node_endpoints;
};

/* ListOffsets */

struct kafka_list_offsets_partition {
	int32_t partition_index;
	int32_t current_leader_epoch;
	int64_t timestamp;
	int32_t max_num_offsets; /* version 0 only */
};

struct kafka_list_offsets_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_list_offsets_partition) partitions;
};

struct kafka_list_offsets_request {
	int32_t replica_id;
	int8_t isolation_level;
	KAFKA_ARRAY(struct kafka_list_offsets_topic) topics;
};

struct kafka_listed_offsets_partition {
	int32_t partition_index;
	int16_t error_code;
	KAFKA_ARRAY(int64_t) old_style_offsets; /* version 0 only */
	int64_t timestamp;
	int64_t offset;
	int32_t leader_epoch;
};

struct kafka_listed_offsets_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_listed_offsets_partition) partitions;
};

struct kafka_list_offsets_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_listed_offsets_topic) topics;
};

/* OffsetForLeaderEpoch */

struct kafka_leader_epoch_partition {
	int32_t partition;
	int32_t current_leader_epoch;
	int32_t leader_epoch;
};

struct kafka_leader_epoch_topic {
	struct slice topic;
	KAFKA_ARRAY(struct kafka_leader_epoch_partition) partitions;
};

struct kafka_offset_for_leader_epoch_request {
	int32_t replica_id;
	KAFKA_ARRAY(struct kafka_leader_epoch_topic) topics;
};

struct kafka_leader_epoch_end {
	int16_t error_code;
	int32_t partition;
	int32_t leader_epoch;
	int64_t end_offset;
};

struct kafka_leader_epoch_end_topic {
	struct slice topic;
	KAFKA_ARRAY(struct kafka_leader_epoch_end) partitions;
};

struct kafka_offset_for_leader_epoch_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_leader_epoch_end_topic) topics;
};

/* DeleteRecords */

struct kafka_delete_records_partition {
	int32_t partition_index;
	int64_t offset;
};

struct kafka_delete_records_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_delete_records_partition) partitions;
};

struct kafka_delete_records_request {
	KAFKA_ARRAY(struct kafka_delete_records_topic) topics;
	int32_t timeout_ms;
};

struct kafka_deleted_records_partition {
	int32_t partition_index;
	int64_t low_watermark;
	int16_t error_code;
};

struct kafka_deleted_records_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_deleted_records_partition) partitions;
};

struct kafka_delete_records_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_deleted_records_topic) topics;
};
