/* Topics and their settings: CreateTopics, DeleteTopics, CreatePartitions, DescribeConfigs, AlterConfigs,
 * IncrementalAlterConfigs. */
#pragma once

#include "kafka/codec/message.h"

/* CreateTopics */

struct kafka_new_assignment {
	int32_t partition_index;
	KAFKA_ARRAY(int32_t) broker_ids;
};

struct kafka_new_config {
	struct slice name;
	struct slice value;
};

struct kafka_new_topic {
	struct slice name;
	int32_t num_partitions;
	int16_t replication_factor;
	KAFKA_ARRAY(struct kafka_new_assignment) assignments;
	KAFKA_ARRAY(struct kafka_new_config) configs;
};

struct kafka_create_topics_request {
	KAFKA_ARRAY(struct kafka_new_topic) topics;
	int32_t timeout_ms;
	bool validate_only;
};

struct kafka_created_config {
	struct slice name;
	struct slice value;
	bool read_only;
	int8_t config_source;
	bool is_sensitive;
};

struct kafka_created_topic {
	struct slice name;
	struct kafka_uuid topic_id;
	int16_t error_code;
	struct slice error_message;
	int16_t topic_config_error_code;
	int32_t num_partitions;
	int16_t replication_factor;
	KAFKA_ARRAY(struct kafka_created_config) configs;
};

struct kafka_create_topics_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_created_topic) topics;
};

/* DeleteTopics */

struct kafka_delete_topic {
	struct slice name; /* null: by its id */
	struct kafka_uuid topic_id;
};

struct kafka_delete_topics_request {
	KAFKA_ARRAY(struct kafka_delete_topic) topics;
	KAFKA_ARRAY(struct slice) topic_names; /* until version 5, then `topics` */
	int32_t timeout_ms;
};

struct kafka_deleted_topic {
	struct slice name;
	struct kafka_uuid topic_id;
	int16_t error_code;
	struct slice error_message;
};

struct kafka_delete_topics_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_deleted_topic) responses;
};

/* CreatePartitions */

struct kafka_new_partition_assignment {
	KAFKA_ARRAY(int32_t) broker_ids;
};

struct kafka_new_partitions {
	struct slice name;
	int32_t count;
	KAFKA_ARRAY(struct kafka_new_partition_assignment) assignments; /* null: the server chooses */
};

struct kafka_create_partitions_request {
	KAFKA_ARRAY(struct kafka_new_partitions) topics;
	int32_t timeout_ms;
	bool validate_only;
};

struct kafka_created_partitions {
	struct slice name;
	int16_t error_code;
	struct slice error_message;
};

struct kafka_create_partitions_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_created_partitions) results;
};

/* DescribeConfigs */

struct kafka_describe_resource {
	int8_t resource_type;
	struct slice resource_name;
	KAFKA_ARRAY(struct slice) configuration_keys; /* null: all */
};

struct kafka_describe_configs_request {
	KAFKA_ARRAY(struct kafka_describe_resource) resources;
	bool include_synonyms;
	bool include_documentation;
};

struct kafka_config_synonym {
	struct slice name;
	struct slice value;
	int8_t source;
};

struct kafka_described_config {
	struct slice name;
	struct slice value;
	bool read_only;
	bool is_default;
	int8_t config_source;
	bool is_sensitive;
	KAFKA_ARRAY(struct kafka_config_synonym) synonyms;
	int8_t config_type;
	struct slice documentation;
};

struct kafka_described_resource {
	int16_t error_code;
	struct slice error_message;
	int8_t resource_type;
	struct slice resource_name;
	KAFKA_ARRAY(struct kafka_described_config) configs;
};

struct kafka_describe_configs_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_described_resource) results;
};

/* AlterConfigs */

struct kafka_alter_config {
	struct slice name;
	struct slice value;
};

struct kafka_alter_resource {
	int8_t resource_type;
	struct slice resource_name;
	KAFKA_ARRAY(struct kafka_alter_config) configs;
};

struct kafka_alter_configs_request {
	KAFKA_ARRAY(struct kafka_alter_resource) resources;
	bool validate_only;
};

struct kafka_altered_resource {
	int16_t error_code;
	struct slice error_message;
	int8_t resource_type;
	struct slice resource_name;
};

struct kafka_alter_configs_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_altered_resource) responses;
};

/* IncrementalAlterConfigs */

struct kafka_change_config {
	struct slice name;
	int8_t config_operation;
	struct slice value;
};

struct kafka_change_resource {
	int8_t resource_type;
	struct slice resource_name;
	KAFKA_ARRAY(struct kafka_change_config) configs;
};

struct kafka_incremental_alter_configs_request {
	KAFKA_ARRAY(struct kafka_change_resource) resources;
	bool validate_only;
};

struct kafka_incremental_alter_configs_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_altered_resource) responses;
};
