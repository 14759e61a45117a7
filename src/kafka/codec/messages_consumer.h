/* Groups whose partitions the server divides (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe. */
#pragma once

#include "kafka/codec/message.h"

/* ConsumerGroupHeartbeat */

struct kafka_consumer_partitions {
	struct kafka_uuid topic_id;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_consumer_group_heartbeat_request {
	struct slice group_id;
	struct slice member_id;
	int32_t member_epoch; /* 0: joins; -1: leaves; -2: leaves and will be back (static) */
	struct slice instance_id;
	struct slice rack_id;
	int32_t rebalance_timeout_ms;
	KAFKA_ARRAY(struct slice) subscribed_topic_names; /* null, here and below: as it was */
	struct slice subscribed_topic_regex;
	struct slice server_assignor;
	KAFKA_ARRAY(struct kafka_consumer_partitions) topic_partitions;
};

struct kafka_consumer_assignment {
	KAFKA_ARRAY(struct kafka_consumer_partitions) topic_partitions;
};

struct kafka_consumer_group_heartbeat_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct slice error_message;
	struct slice member_id;
	int32_t member_epoch;
	int32_t heartbeat_interval_ms;
	struct kafka_consumer_assignment *assignment; /* NULL: as it was */
};

/* ConsumerGroupDescribe */

struct kafka_consumer_group_describe_request {
	KAFKA_ARRAY(struct slice) group_ids;
	bool include_authorized_operations;
};

struct kafka_member_partitions {
	struct kafka_uuid topic_id;
	struct slice topic_name;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_member_assignment {
	KAFKA_ARRAY(struct kafka_member_partitions) topic_partitions;
};

struct kafka_consumer_member {
	struct slice member_id;
	struct slice instance_id;
	struct slice rack_id;
	int32_t member_epoch;
	struct slice client_id;
	struct slice client_host;
	KAFKA_ARRAY(struct slice) subscribed_topic_names;
	struct slice subscribed_topic_regex;
	struct kafka_member_assignment assignment;
	struct kafka_member_assignment target_assignment;
	int8_t member_type; /* -1: unknown; 0: of the classic protocol; 1: of this one */
};

struct kafka_consumer_group {
	int16_t error_code;
	struct slice error_message;
	struct slice group_id;
	struct slice group_state;
	int32_t group_epoch;
	int32_t assignment_epoch;
	struct slice assignor_name;
	KAFKA_ARRAY(struct kafka_consumer_member) members;
	int32_t authorized_operations;
};

struct kafka_consumer_group_describe_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_consumer_group) groups;
};
