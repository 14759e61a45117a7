#include "kafka/codec/messages_topic.h"

#include "kafka/codec/tables_priv.h"

/* CreateTopics */

static const struct kafka_field new_assignment[] = {
	FIELD(new_assignment, partition_index, INT32, ALL),
	LIST(new_assignment, broker_ids, INT32, ALL),
};
TABLE(new_assignment);

static const struct kafka_field new_config[] = {
	FIELD(new_config, name, STRING, ALL),
	FIELD(new_config, value, STRING, ALL, NULLS(ALL)),
};
TABLE(new_config);

static const struct kafka_field new_topic[] = {
	FIELD(new_topic, name, STRING, ALL),
	FIELD(new_topic, num_partitions, INT32, ALL),
	FIELD(new_topic, replication_factor, INT16, ALL),
	ARRAY(new_topic, assignments, new_assignment, ALL),
	ARRAY(new_topic, configs, new_config, ALL),
};
TABLE(new_topic);

static const struct kafka_field create_topics_request[] = {
	ARRAY(create_topics_request, topics, new_topic, ALL),
	FIELD(create_topics_request, timeout_ms, INT32, ALL, PRESET(60000)),
	FIELD(create_topics_request, validate_only, BOOL, FROM(1)),
};
MESSAGE(create_topics_request);

static const struct kafka_field created_config[] = {
	FIELD(created_config, name, STRING, ALL),       FIELD(created_config, value, STRING, ALL, NULLS(ALL)),
	FIELD(created_config, read_only, BOOL, ALL),    FIELD(created_config, config_source, INT8, ALL, PRESET(-1)),
	FIELD(created_config, is_sensitive, BOOL, ALL),
};
TABLE(created_config);

static const struct kafka_field created_topic[] = {
	FIELD(created_topic, name, STRING, ALL),
	FIELD(created_topic, topic_id, UUID, FROM(7)),
	FIELD(created_topic, error_code, INT16, ALL),
	FIELD(created_topic, error_message, STRING, FROM(1), NULLS(ALL)),
	FIELD(created_topic, topic_config_error_code, INT16, FROM(5), TAG(0)),
	FIELD(created_topic, num_partitions, INT32, FROM(5), PRESET(-1)),
	FIELD(created_topic, replication_factor, INT16, FROM(5), PRESET(-1)),
	ARRAY(created_topic, configs, created_config, FROM(5), NULLS(ALL)),
};
TABLE(created_topic);

static const struct kafka_field create_topics_response[] = {
	FIELD(create_topics_response, throttle_time_ms, INT32, FROM(2)),
	ARRAY(create_topics_response, topics, created_topic, ALL),
};
MESSAGE(create_topics_response);

/* DeleteTopics */

static const struct kafka_field delete_topic[] = {
	FIELD(delete_topic, name, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(delete_topic, topic_id, UUID, ALL),
};
TABLE(delete_topic);

static const struct kafka_field delete_topics_request[] = {
	ARRAY(delete_topics_request, topics, delete_topic, FROM(6)),
	LIST(delete_topics_request, topic_names, STRING, UNTIL(5)),
	FIELD(delete_topics_request, timeout_ms, INT32, ALL),
};
MESSAGE(delete_topics_request);

static const struct kafka_field deleted_topic[] = {
	FIELD(deleted_topic, name, STRING, ALL, NULLS(FROM(6))),
	FIELD(deleted_topic, topic_id, UUID, FROM(6)),
	FIELD(deleted_topic, error_code, INT16, ALL),
	FIELD(deleted_topic, error_message, STRING, FROM(5), NULLS(ALL), PRESET_NULL),
};
TABLE(deleted_topic);

static const struct kafka_field delete_topics_response[] = {
	FIELD(delete_topics_response, throttle_time_ms, INT32, FROM(1)),
	ARRAY(delete_topics_response, responses, deleted_topic, ALL),
};
MESSAGE(delete_topics_response);

/* CreatePartitions */

static const struct kafka_field new_partition_assignment[] = {
	LIST(new_partition_assignment, broker_ids, INT32, ALL),
};
TABLE(new_partition_assignment);

static const struct kafka_field new_partitions[] = {
	FIELD(new_partitions, name, STRING, ALL),
	FIELD(new_partitions, count, INT32, ALL),
	ARRAY(new_partitions, assignments, new_partition_assignment, ALL, NULLS(ALL)),
};
TABLE(new_partitions);

static const struct kafka_field create_partitions_request[] = {
	ARRAY(create_partitions_request, topics, new_partitions, ALL),
	FIELD(create_partitions_request, timeout_ms, INT32, ALL),
	FIELD(create_partitions_request, validate_only, BOOL, ALL),
};
MESSAGE(create_partitions_request);

static const struct kafka_field created_partitions[] = {
	FIELD(created_partitions, name, STRING, ALL),
	FIELD(created_partitions, error_code, INT16, ALL),
	FIELD(created_partitions, error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
};
TABLE(created_partitions);

static const struct kafka_field create_partitions_response[] = {
	FIELD(create_partitions_response, throttle_time_ms, INT32, ALL),
	ARRAY(create_partitions_response, results, created_partitions, ALL),
};
MESSAGE(create_partitions_response);

/* DescribeConfigs */

static const struct kafka_field describe_resource[] = {
	FIELD(describe_resource, resource_type, INT8, ALL),
	FIELD(describe_resource, resource_name, STRING, ALL),
	LIST(describe_resource, configuration_keys, STRING, ALL, NULLS(ALL)),
};
TABLE(describe_resource);

static const struct kafka_field describe_configs_request[] = {
	ARRAY(describe_configs_request, resources, describe_resource, ALL),
	FIELD(describe_configs_request, include_synonyms, BOOL, FROM(1)),
	FIELD(describe_configs_request, include_documentation, BOOL, FROM(3)),
};
MESSAGE(describe_configs_request);

static const struct kafka_field config_synonym[] = {
	FIELD(config_synonym, name, STRING, ALL),
	FIELD(config_synonym, value, STRING, ALL, NULLS(ALL)),
	FIELD(config_synonym, source, INT8, ALL),
};
TABLE(config_synonym);

static const struct kafka_field described_config[] = {
	FIELD(described_config, name, STRING, ALL),
	FIELD(described_config, value, STRING, ALL, NULLS(ALL)),
	FIELD(described_config, read_only, BOOL, ALL),
	FIELD(described_config, is_default, BOOL, UNTIL(0)),
	FIELD(described_config, config_source, INT8, FROM(1), PRESET(-1)),
	FIELD(described_config, is_sensitive, BOOL, ALL),
	ARRAY(described_config, synonyms, config_synonym, FROM(1)),
	FIELD(described_config, config_type, INT8, FROM(3)),
	FIELD(described_config, documentation, STRING, FROM(3), NULLS(ALL)),
};
TABLE(described_config);

static const struct kafka_field described_resource[] = {
	FIELD(described_resource, error_code, INT16, ALL),
	FIELD(described_resource, error_message, STRING, ALL, NULLS(ALL)),
	FIELD(described_resource, resource_type, INT8, ALL),
	FIELD(described_resource, resource_name, STRING, ALL),
	ARRAY(described_resource, configs, described_config, ALL),
};
TABLE(described_resource);

static const struct kafka_field describe_configs_response[] = {
	FIELD(describe_configs_response, throttle_time_ms, INT32, ALL),
	ARRAY(describe_configs_response, results, described_resource, ALL),
};
MESSAGE(describe_configs_response);

/* AlterConfigs */

static const struct kafka_field alter_config[] = {
	FIELD(alter_config, name, STRING, ALL),
	FIELD(alter_config, value, STRING, ALL, NULLS(ALL)),
};
TABLE(alter_config);

static const struct kafka_field alter_resource[] = {
	FIELD(alter_resource, resource_type, INT8, ALL),
	FIELD(alter_resource, resource_name, STRING, ALL),
	ARRAY(alter_resource, configs, alter_config, ALL),
};
TABLE(alter_resource);

static const struct kafka_field alter_configs_request[] = {
	ARRAY(alter_configs_request, resources, alter_resource, ALL),
	FIELD(alter_configs_request, validate_only, BOOL, ALL),
};
MESSAGE(alter_configs_request);

static const struct kafka_field altered_resource[] = {
	FIELD(altered_resource, error_code, INT16, ALL),
	FIELD(altered_resource, error_message, STRING, ALL, NULLS(ALL)),
	FIELD(altered_resource, resource_type, INT8, ALL),
	FIELD(altered_resource, resource_name, STRING, ALL),
};
TABLE(altered_resource);

static const struct kafka_field alter_configs_response[] = {
	FIELD(alter_configs_response, throttle_time_ms, INT32, ALL),
	ARRAY(alter_configs_response, responses, altered_resource, ALL),
};
MESSAGE(alter_configs_response);

/* IncrementalAlterConfigs */

static const struct kafka_field change_config[] = {
	FIELD(change_config, name, STRING, ALL),
	FIELD(change_config, config_operation, INT8, ALL),
	FIELD(change_config, value, STRING, ALL, NULLS(ALL)),
};
TABLE(change_config);

static const struct kafka_field change_resource[] = {
	FIELD(change_resource, resource_type, INT8, ALL),
	FIELD(change_resource, resource_name, STRING, ALL),
	ARRAY(change_resource, configs, change_config, ALL),
};
TABLE(change_resource);

static const struct kafka_field incremental_alter_configs_request[] = {
	ARRAY(incremental_alter_configs_request, resources, change_resource, ALL),
	FIELD(incremental_alter_configs_request, validate_only, BOOL, ALL),
};
MESSAGE(incremental_alter_configs_request);

static const struct kafka_field incremental_alter_configs_response[] = {
	FIELD(incremental_alter_configs_response, throttle_time_ms, INT32, ALL),
	ARRAY(incremental_alter_configs_response, responses, altered_resource, ALL),
};
MESSAGE(incremental_alter_configs_response);
