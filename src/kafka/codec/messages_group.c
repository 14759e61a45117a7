#include "kafka/codec/messages_group.h"

#include "kafka/codec/tables_priv.h"

/* FindCoordinator */

static const struct kafka_field find_coordinator_request[] = {
	FIELD(find_coordinator_request, key, STRING, UNTIL(3)),
	FIELD(find_coordinator_request, key_type, INT8, FROM(1)),
	LIST(find_coordinator_request, coordinator_keys, STRING, FROM(4)),
};
MESSAGE(find_coordinator_request);

static const struct kafka_field coordinator[] = {
	FIELD(coordinator, key, STRING, ALL),       FIELD(coordinator, node_id, INT32, ALL),
	FIELD(coordinator, host, STRING, ALL),      FIELD(coordinator, port, INT32, ALL),
	FIELD(coordinator, error_code, INT16, ALL), FIELD(coordinator, error_message, STRING, ALL, NULLS(ALL)),
};
TABLE(coordinator);

static const struct kafka_field find_coordinator_response[] = {
	FIELD(find_coordinator_response, throttle_time_ms, INT32, FROM(1)),
	FIELD(find_coordinator_response, error_code, INT16, UNTIL(3)),
	FIELD(find_coordinator_response, error_message, STRING, BETWEEN(1, 3), NULLS(ALL)),
	FIELD(find_coordinator_response, node_id, INT32, UNTIL(3)),
	FIELD(find_coordinator_response, host, STRING, UNTIL(3)),
	FIELD(find_coordinator_response, port, INT32, UNTIL(3)),
	ARRAY(find_coordinator_response, coordinators, coordinator, FROM(4)),
};
MESSAGE(find_coordinator_response);

/* JoinGroup */

static const struct kafka_field join_protocol[] = {
	FIELD(join_protocol, name, STRING, ALL),
	FIELD(join_protocol, metadata, BYTES, ALL),
};
TABLE(join_protocol);

static const struct kafka_field join_group_request[] = {
	FIELD(join_group_request, group_id, STRING, ALL),
	FIELD(join_group_request, session_timeout_ms, INT32, ALL),
	FIELD(join_group_request, rebalance_timeout_ms, INT32, FROM(1), PRESET(-1)),
	FIELD(join_group_request, member_id, STRING, ALL),
	FIELD(join_group_request, group_instance_id, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	FIELD(join_group_request, protocol_type, STRING, ALL),
	ARRAY(join_group_request, protocols, join_protocol, ALL),
	FIELD(join_group_request, reason, STRING, FROM(8), NULLS(ALL), PRESET_NULL),
};
MESSAGE(join_group_request);

static const struct kafka_field joined_member[] = {
	FIELD(joined_member, member_id, STRING, ALL),
	FIELD(joined_member, group_instance_id, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	FIELD(joined_member, metadata, BYTES, ALL),
};
TABLE(joined_member);

static const struct kafka_field join_group_response[] = {
	FIELD(join_group_response, throttle_time_ms, INT32, FROM(2)),
	FIELD(join_group_response, error_code, INT16, ALL),
	FIELD(join_group_response, generation_id, INT32, ALL, PRESET(-1)),
	FIELD(join_group_response, protocol_type, STRING, FROM(7), NULLS(ALL), PRESET_NULL),
	FIELD(join_group_response, protocol_name, STRING, ALL, NULLS(FROM(7))),
	FIELD(join_group_response, leader, STRING, ALL),
	FIELD(join_group_response, skip_assignment, BOOL, FROM(9)),
	FIELD(join_group_response, member_id, STRING, ALL),
	ARRAY(join_group_response, members, joined_member, ALL),
};
MESSAGE(join_group_response);

/* SyncGroup */

static const struct kafka_field sync_assignment[] = {
	FIELD(sync_assignment, member_id, STRING, ALL),
	FIELD(sync_assignment, assignment, BYTES, ALL),
};
TABLE(sync_assignment);

static const struct kafka_field sync_group_request[] = {
	FIELD(sync_group_request, group_id, STRING, ALL),
	FIELD(sync_group_request, generation_id, INT32, ALL),
	FIELD(sync_group_request, member_id, STRING, ALL),
	FIELD(sync_group_request, group_instance_id, STRING, FROM(3), NULLS(ALL), PRESET_NULL),
	FIELD(sync_group_request, protocol_type, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	FIELD(sync_group_request, protocol_name, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	ARRAY(sync_group_request, assignments, sync_assignment, ALL),
};
MESSAGE(sync_group_request);

static const struct kafka_field sync_group_response[] = {
	FIELD(sync_group_response, throttle_time_ms, INT32, FROM(1)),
	FIELD(sync_group_response, error_code, INT16, ALL),
	FIELD(sync_group_response, protocol_type, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	FIELD(sync_group_response, protocol_name, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
	FIELD(sync_group_response, assignment, BYTES, ALL),
};
MESSAGE(sync_group_response);

/* Heartbeat */

static const struct kafka_field heartbeat_request[] = {
	FIELD(heartbeat_request, group_id, STRING, ALL),
	FIELD(heartbeat_request, generation_id, INT32, ALL),
	FIELD(heartbeat_request, member_id, STRING, ALL),
	FIELD(heartbeat_request, group_instance_id, STRING, FROM(3), NULLS(ALL), PRESET_NULL),
};
MESSAGE(heartbeat_request);

static const struct kafka_field heartbeat_response[] = {
	FIELD(heartbeat_response, throttle_time_ms, INT32, FROM(1)),
	FIELD(heartbeat_response, error_code, INT16, ALL),
};
MESSAGE(heartbeat_response);

/* LeaveGroup */

static const struct kafka_field leaving_member[] = {
	FIELD(leaving_member, member_id, STRING, ALL),
	FIELD(leaving_member, group_instance_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(leaving_member, reason, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
};
TABLE(leaving_member);

static const struct kafka_field leave_group_request[] = {
	FIELD(leave_group_request, group_id, STRING, ALL),
	FIELD(leave_group_request, member_id, STRING, UNTIL(2)),
	ARRAY(leave_group_request, members, leaving_member, FROM(3)),
};
MESSAGE(leave_group_request);

static const struct kafka_field left_member[] = {
	FIELD(left_member, member_id, STRING, ALL),
	FIELD(left_member, group_instance_id, STRING, ALL, NULLS(ALL)),
	FIELD(left_member, error_code, INT16, ALL),
};
TABLE(left_member);

static const struct kafka_field leave_group_response[] = {
	FIELD(leave_group_response, throttle_time_ms, INT32, FROM(1)),
	FIELD(leave_group_response, error_code, INT16, ALL),
	ARRAY(leave_group_response, members, left_member, FROM(3)),
};
MESSAGE(leave_group_response);

/* DescribeGroups */

static const struct kafka_field describe_groups_request[] = {
	LIST(describe_groups_request, groups, STRING, ALL),
	FIELD(describe_groups_request, include_authorized_operations, BOOL, FROM(3)),
};
MESSAGE(describe_groups_request);

static const struct kafka_field described_member[] = {
	FIELD(described_member, member_id, STRING, ALL),
	FIELD(described_member, group_instance_id, STRING, FROM(4), NULLS(ALL), PRESET_NULL),
	FIELD(described_member, client_id, STRING, ALL),
	FIELD(described_member, client_host, STRING, ALL),
	FIELD(described_member, member_metadata, BYTES, ALL),
	FIELD(described_member, member_assignment, BYTES, ALL),
};
TABLE(described_member);

static const struct kafka_field described_group[] = {
	FIELD(described_group, error_code, INT16, ALL),
	FIELD(described_group, group_id, STRING, ALL),
	FIELD(described_group, group_state, STRING, ALL),
	FIELD(described_group, protocol_type, STRING, ALL),
	FIELD(described_group, protocol_data, STRING, ALL),
	ARRAY(described_group, members, described_member, ALL),
	FIELD(described_group, authorized_operations, INT32, FROM(3), PRESET(INT32_MIN)),
};
TABLE(described_group);

static const struct kafka_field describe_groups_response[] = {
	FIELD(describe_groups_response, throttle_time_ms, INT32, FROM(1)),
	ARRAY(describe_groups_response, groups, described_group, ALL),
};
MESSAGE(describe_groups_response);

/* ListGroups */

static const struct kafka_field list_groups_request[] = {
	LIST(list_groups_request, states_filter, STRING, FROM(4)),
	LIST(list_groups_request, types_filter, STRING, FROM(5)),
};
MESSAGE(list_groups_request);

static const struct kafka_field listed_group[] = {
	FIELD(listed_group, group_id, STRING, ALL),
	FIELD(listed_group, protocol_type, STRING, ALL),
	FIELD(listed_group, group_state, STRING, FROM(4)),
	FIELD(listed_group, group_type, STRING, FROM(5)),
};
TABLE(listed_group);

static const struct kafka_field list_groups_response[] = {
	FIELD(list_groups_response, throttle_time_ms, INT32, FROM(1)),
	FIELD(list_groups_response, error_code, INT16, ALL),
	ARRAY(list_groups_response, groups, listed_group, ALL),
};
MESSAGE(list_groups_response);

/* DeleteGroups */

static const struct kafka_field delete_groups_request[] = {
	LIST(delete_groups_request, groups_names, STRING, ALL),
};
MESSAGE(delete_groups_request);

static const struct kafka_field deleted_group[] = {
	FIELD(deleted_group, group_id, STRING, ALL),
	FIELD(deleted_group, error_code, INT16, ALL),
};
TABLE(deleted_group);

static const struct kafka_field delete_groups_response[] = {
	FIELD(delete_groups_response, throttle_time_ms, INT32, ALL),
	ARRAY(delete_groups_response, results, deleted_group, ALL),
};
MESSAGE(delete_groups_response);
