/* Groups whose members divide the partitions among themselves, and who coordinates them: FindCoordinator, JoinGroup, SyncGroup,
 * Heartbeat, LeaveGroup, DescribeGroups, ListGroups, DeleteGroups. What members tell each other is opaque here. */
#pragma once

#include "kafka/codec/message.h"

/* FindCoordinator */

struct kafka_find_coordinator_request {
	struct slice key; /* until version 3, then `coordinator_keys` */
	int8_t key_type;
	KAFKA_ARRAY(struct slice) coordinator_keys;
};

struct kafka_coordinator {
	struct slice key;
	int32_t node_id;
	struct slice host;
	int32_t port;
	int16_t error_code;
	struct slice error_message;
};

struct kafka_find_coordinator_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct slice error_message;
	int32_t node_id;
	struct slice host;
	int32_t port;
	KAFKA_ARRAY(struct kafka_coordinator) coordinators;
};

/* JoinGroup */

struct kafka_join_protocol {
	struct slice name;
	struct slice metadata;
};

struct kafka_join_group_request {
	struct slice group_id;
	int32_t session_timeout_ms;
	int32_t rebalance_timeout_ms;
	struct slice member_id;
	struct slice group_instance_id;
	struct slice protocol_type;
	KAFKA_ARRAY(struct kafka_join_protocol) protocols;
	struct slice reason;
};

struct kafka_joined_member {
	struct slice member_id;
	struct slice group_instance_id;
	struct slice metadata;
};

struct kafka_join_group_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	int32_t generation_id;
	struct slice protocol_type;
	struct slice protocol_name;
	struct slice leader;
	bool skip_assignment;
	struct slice member_id;
	KAFKA_ARRAY(struct kafka_joined_member) members;
};

/* SyncGroup */

struct kafka_sync_assignment {
	struct slice member_id;
	struct slice assignment;
};

struct kafka_sync_group_request {
	struct slice group_id;
	int32_t generation_id;
	struct slice member_id;
	struct slice group_instance_id;
	struct slice protocol_type;
	struct slice protocol_name;
	KAFKA_ARRAY(struct kafka_sync_assignment) assignments;
};

struct kafka_sync_group_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct slice protocol_type;
	struct slice protocol_name;
	struct slice assignment;
};

/* Heartbeat */

struct kafka_heartbeat_request {
	struct slice group_id;
	int32_t generation_id;
	struct slice member_id;
	struct slice group_instance_id;
};

struct kafka_heartbeat_response {
	int32_t throttle_time_ms;
	int16_t error_code;
};

/* LeaveGroup */

struct kafka_leaving_member {
	struct slice member_id;
	struct slice group_instance_id;
	struct slice reason;
};

struct kafka_leave_group_request {
	struct slice group_id;
	struct slice member_id; /* until version 2, then `members` */
	KAFKA_ARRAY(struct kafka_leaving_member) members;
};

struct kafka_left_member {
	struct slice member_id;
	struct slice group_instance_id;
	int16_t error_code;
};

struct kafka_leave_group_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_left_member) members;
};

/* DescribeGroups */

struct kafka_describe_groups_request {
	KAFKA_ARRAY(struct slice) groups;
	bool include_authorized_operations;
};

struct kafka_described_member {
	struct slice member_id;
	struct slice group_instance_id;
	struct slice client_id;
	struct slice client_host;
	struct slice member_metadata;
	struct slice member_assignment;
};

struct kafka_described_group {
	int16_t error_code;
	struct slice group_id;
	struct slice group_state;
	struct slice protocol_type;
	struct slice protocol_data;
	KAFKA_ARRAY(struct kafka_described_member) members;
	int32_t authorized_operations;
};

struct kafka_describe_groups_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_described_group) groups;
};

/* ListGroups */

struct kafka_list_groups_request {
	KAFKA_ARRAY(struct slice) states_filter;
	KAFKA_ARRAY(struct slice) types_filter;
};

struct kafka_listed_group {
	struct slice group_id;
	struct slice protocol_type;
	struct slice group_state;
	struct slice group_type;
};

struct kafka_list_groups_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_listed_group) groups;
};

/* DeleteGroups */

struct kafka_delete_groups_request {
	KAFKA_ARRAY(struct slice) groups_names;
};

struct kafka_deleted_group {
	struct slice group_id;
	int16_t error_code;
};

struct kafka_delete_groups_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_deleted_group) results;
};
