#include "kafka/codec/messages_consumer.h"

#include "kafka/codec/tables_priv.h"

/* ConsumerGroupHeartbeat */

static const struct kafka_field consumer_partitions[] = {
	FIELD(consumer_partitions, topic_id, UUID, ALL),
	LIST(consumer_partitions, partitions, INT32, ALL),
};
TABLE(consumer_partitions);

static const struct kafka_field consumer_group_heartbeat_request[] = {
	FIELD(consumer_group_heartbeat_request, group_id, STRING, ALL),
	FIELD(consumer_group_heartbeat_request, member_id, STRING, ALL),
	FIELD(consumer_group_heartbeat_request, member_epoch, INT32, ALL),
	FIELD(consumer_group_heartbeat_request, instance_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_request, rack_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_request, rebalance_timeout_ms, INT32, ALL, PRESET(-1)),
	LIST(consumer_group_heartbeat_request, subscribed_topic_names, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_request, subscribed_topic_regex, STRING, FROM(1), NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_request, server_assignor, STRING, ALL, NULLS(ALL), PRESET_NULL),
	ARRAY(consumer_group_heartbeat_request, topic_partitions, consumer_partitions, ALL, NULLS(ALL), PRESET_NULL),
};
MESSAGE(consumer_group_heartbeat_request);

static const struct kafka_field consumer_assignment[] = {
	ARRAY(consumer_assignment, topic_partitions, consumer_partitions, ALL),
};
TABLE(consumer_assignment);

static const struct kafka_field consumer_group_heartbeat_response[] = {
	FIELD(consumer_group_heartbeat_response, throttle_time_ms, INT32, ALL),
	FIELD(consumer_group_heartbeat_response, error_code, INT16, ALL),
	FIELD(consumer_group_heartbeat_response, error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_response, member_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group_heartbeat_response, member_epoch, INT32, ALL),
	FIELD(consumer_group_heartbeat_response, heartbeat_interval_ms, INT32, ALL),
	STRUCT(consumer_group_heartbeat_response, assignment, consumer_assignment, ALL, NULLS(ALL), PRESET_NULL),
};
MESSAGE(consumer_group_heartbeat_response);

/* ConsumerGroupDescribe */

static const struct kafka_field consumer_group_describe_request[] = {
	LIST(consumer_group_describe_request, group_ids, STRING, ALL),
	FIELD(consumer_group_describe_request, include_authorized_operations, BOOL, ALL),
};
MESSAGE(consumer_group_describe_request);

static const struct kafka_field member_partitions[] = {
	FIELD(member_partitions, topic_id, UUID, ALL),
	FIELD(member_partitions, topic_name, STRING, ALL),
	LIST(member_partitions, partitions, INT32, ALL),
};
TABLE(member_partitions);

static const struct kafka_field member_assignment[] = {
	ARRAY(member_assignment, topic_partitions, member_partitions, ALL),
};
TABLE(member_assignment);

static const struct kafka_field consumer_member[] = {
	FIELD(consumer_member, member_id, STRING, ALL),
	FIELD(consumer_member, instance_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_member, rack_id, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_member, member_epoch, INT32, ALL),
	FIELD(consumer_member, client_id, STRING, ALL),
	FIELD(consumer_member, client_host, STRING, ALL),
	LIST(consumer_member, subscribed_topic_names, STRING, ALL),
	FIELD(consumer_member, subscribed_topic_regex, STRING, ALL, NULLS(ALL), PRESET_NULL),
	STRUCT(consumer_member, assignment, member_assignment, ALL),
	STRUCT(consumer_member, target_assignment, member_assignment, ALL),
	FIELD(consumer_member, member_type, INT8, FROM(1), PRESET(-1)),
};
TABLE(consumer_member);

static const struct kafka_field consumer_group[] = {
	FIELD(consumer_group, error_code, INT16, ALL),
	FIELD(consumer_group, error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(consumer_group, group_id, STRING, ALL),
	FIELD(consumer_group, group_state, STRING, ALL),
	FIELD(consumer_group, group_epoch, INT32, ALL),
	FIELD(consumer_group, assignment_epoch, INT32, ALL),
	FIELD(consumer_group, assignor_name, STRING, ALL),
	ARRAY(consumer_group, members, consumer_member, ALL),
	FIELD(consumer_group, authorized_operations, INT32, ALL, PRESET(INT32_MIN)),
};
TABLE(consumer_group);

static const struct kafka_field consumer_group_describe_response[] = {
	FIELD(consumer_group_describe_response, throttle_time_ms, INT32, ALL),
	ARRAY(consumer_group_describe_response, groups, consumer_group, ALL),
};
MESSAGE(consumer_group_describe_response);
