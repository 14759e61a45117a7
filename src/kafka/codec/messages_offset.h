/* The offsets a group has come to: OffsetCommit, OffsetFetch, OffsetDelete. */
#pragma once

#include "kafka/codec/message.h"

/* OffsetCommit */

struct kafka_commit_partition {
	int32_t partition_index;
	int64_t committed_offset;
	int32_t committed_leader_epoch;
	int64_t commit_timestamp;
	struct slice committed_metadata;
};

struct kafka_commit_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_commit_partition) partitions;
};

struct kafka_offset_commit_request {
	struct slice group_id;
	int32_t generation_id_or_member_epoch;
	struct slice member_id;
	struct slice group_instance_id;
	int64_t retention_time_ms;
	KAFKA_ARRAY(struct kafka_commit_topic) topics;
};

struct kafka_committed_partition {
	int32_t partition_index;
	int16_t error_code;
};

struct kafka_committed_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_committed_partition) partitions;
};

struct kafka_offset_commit_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_committed_topic) topics;
};

/* OffsetFetch */

struct kafka_offset_fetch_topic {
	struct slice name;
	KAFKA_ARRAY(int32_t) partition_indexes;
};

struct kafka_offset_fetch_group {
	struct slice group_id;
	struct slice member_id;
	int32_t member_epoch;
	KAFKA_ARRAY(struct kafka_offset_fetch_topic) topics; /* null: all */
};

struct kafka_offset_fetch_request {
	struct slice group_id;
	KAFKA_ARRAY(struct kafka_offset_fetch_topic) topics; /* null: all; until version 7 */
	KAFKA_ARRAY(struct kafka_offset_fetch_group) groups;
	bool require_stable;
};

struct kafka_offset_fetched_partition {
	int32_t partition_index;
	int64_t committed_offset;
	int32_t committed_leader_epoch;
	struct slice metadata;
	int16_t error_code;
};

struct kafka_offset_fetched_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_offset_fetched_partition) partitions;
};

struct kafka_offset_fetched_group {
	struct slice group_id;
	KAFKA_ARRAY(struct kafka_offset_fetched_topic) topics;
	int16_t error_code;
};

struct kafka_offset_fetch_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_offset_fetched_topic) topics;
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_offset_fetched_group) groups;
};

/* OffsetDelete */

struct kafka_offset_delete_partition {
	int32_t partition_index;
};

struct kafka_offset_delete_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_offset_delete_partition) partitions;
};

struct kafka_offset_delete_request {
	struct slice group_id;
	KAFKA_ARRAY(struct kafka_offset_delete_topic) topics;
};

struct kafka_offset_deleted_partition {
	int32_t partition_index;
	int16_t error_code;
};

struct kafka_offset_deleted_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_offset_deleted_partition) partitions;
};

struct kafka_offset_delete_response {
	int16_t error_code;
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_offset_deleted_topic) topics;
};
