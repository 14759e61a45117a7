#include "kafka/codec/messages_cluster.h"

#include "kafka/codec/tables_priv.h"

/* Metadata */

static const struct kafka_field metadata_request_topic[] = {
	FIELD(metadata_request_topic, topic_id, UUID, FROM(10)),
	FIELD(metadata_request_topic, name, STRING, ALL, NULLS(FROM(10))),
};
TABLE(metadata_request_topic);

static const struct kafka_field metadata_request[] = {
	ARRAY(metadata_request, topics, metadata_request_topic, ALL, NULLS(FROM(1))),
	FIELD(metadata_request, allow_auto_topic_creation, BOOL, FROM(4), PRESET(true)),
	FIELD(metadata_request, include_cluster_authorized_operations, BOOL, BETWEEN(8, 10)),
	FIELD(metadata_request, include_topic_authorized_operations, BOOL, FROM(8)),
};
MESSAGE(metadata_request);

static const struct kafka_field metadata_broker[] = {
	FIELD(metadata_broker, node_id, INT32, ALL),
	FIELD(metadata_broker, host, STRING, ALL),
	FIELD(metadata_broker, port, INT32, ALL),
	FIELD(metadata_broker, rack, STRING, FROM(1), NULLS(ALL), PRESET_NULL),
};
TABLE(metadata_broker);

static const struct kafka_field metadata_partition[] = {
	FIELD(metadata_partition, error_code, INT16, ALL),
	FIELD(metadata_partition, partition_index, INT32, ALL),
	FIELD(metadata_partition, leader_id, INT32, ALL),
	FIELD(metadata_partition, leader_epoch, INT32, FROM(7), PRESET(-1)),
	LIST(metadata_partition, replica_nodes, INT32, ALL),
	LIST(metadata_partition, isr_nodes, INT32, ALL),
	LIST(metadata_partition, offline_replicas, INT32, FROM(5)),
};
TABLE(metadata_partition);

static const struct kafka_field metadata_topic[] = {
	FIELD(metadata_topic, error_code, INT16, ALL),
	FIELD(metadata_topic, name, STRING, ALL, NULLS(FROM(12))),
	FIELD(metadata_topic, topic_id, UUID, FROM(10)),
	FIELD(metadata_topic, is_internal, BOOL, FROM(1)),
	ARRAY(metadata_topic, partitions, metadata_partition, ALL),
	FIELD(metadata_topic, topic_authorized_operations, INT32, FROM(8), PRESET(INT32_MIN)),
};
TABLE(metadata_topic);

static const struct kafka_field metadata_response[] = {
	FIELD(metadata_response, throttle_time_ms, INT32, FROM(3)),
	ARRAY(metadata_response, brokers, metadata_broker, ALL),
	FIELD(metadata_response, cluster_id, STRING, FROM(2), NULLS(ALL), PRESET_NULL),
	FIELD(metadata_response, controller_id, INT32, FROM(1), PRESET(-1)),
	ARRAY(metadata_response, topics, metadata_topic, ALL),
	FIELD(metadata_response, cluster_authorized_operations, INT32, BETWEEN(8, 10), PRESET(INT32_MIN)),
};
MESSAGE(metadata_response);

/* ApiVersions */

static const struct kafka_field api_versions_request[] = {
	FIELD(api_versions_request, client_software_name, STRING, FROM(3)),
	FIELD(api_versions_request, client_software_version, STRING, FROM(3)),
};
MESSAGE(api_versions_request);

static const struct kafka_field api_version[] = {
	FIELD(api_version, api_key, INT16, ALL),
	FIELD(api_version, min_version, INT16, ALL),
	FIELD(api_version, max_version, INT16, ALL),
};
TABLE(api_version);

static const struct kafka_field supported_feature[] = {
	FIELD(supported_feature, name, STRING, ALL),
	FIELD(supported_feature, min_version, INT16, ALL),
	FIELD(supported_feature, max_version, INT16, ALL),
};
TABLE(supported_feature);

static const struct kafka_field finalized_feature[] = {
	FIELD(finalized_feature, name, STRING, ALL),
	FIELD(finalized_feature, max_version_level, INT16, ALL),
	FIELD(finalized_feature, min_version_level, INT16, ALL),
};
TABLE(finalized_feature);

static const struct kafka_field api_versions_response[] = {
	FIELD(api_versions_response, error_code, INT16, ALL),
	ARRAY(api_versions_response, api_keys, api_version, ALL),
	FIELD(api_versions_response, throttle_time_ms, INT32, FROM(1)),
	ARRAY(api_versions_response, supported_features, supported_feature, FROM(3), TAG(0)),
	FIELD(api_versions_response, finalized_features_epoch, INT64, FROM(3), TAG(1), PRESET(-1)),
	ARRAY(api_versions_response, finalized_features, finalized_feature, FROM(3), TAG(2)),
	FIELD(api_versions_response, zk_migration_ready, BOOL, FROM(3), TAG(3)),
};
MESSAGE(api_versions_response);

/* DescribeCluster */

static const struct kafka_field describe_cluster_request[] = {
	FIELD(describe_cluster_request, include_cluster_authorized_operations, BOOL, ALL),
	FIELD(describe_cluster_request, endpoint_type, INT8, FROM(1), PRESET(1)),
};
MESSAGE(describe_cluster_request);

static const struct kafka_field cluster_broker[] = {
	FIELD(cluster_broker, broker_id, INT32, ALL),
	FIELD(cluster_broker, host, STRING, ALL),
	FIELD(cluster_broker, port, INT32, ALL),
	FIELD(cluster_broker, rack, STRING, ALL, NULLS(ALL), PRESET_NULL),
};
TABLE(cluster_broker);

static const struct kafka_field describe_cluster_response[] = {
	FIELD(describe_cluster_response, throttle_time_ms, INT32, ALL),
	FIELD(describe_cluster_response, error_code, INT16, ALL),
	FIELD(describe_cluster_response, error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
	FIELD(describe_cluster_response, endpoint_type, INT8, FROM(1), PRESET(1)),
	FIELD(describe_cluster_response, cluster_id, STRING, ALL),
	FIELD(describe_cluster_response, controller_id, INT32, ALL, PRESET(-1)),
	ARRAY(describe_cluster_response, brokers, cluster_broker, ALL),
	FIELD(describe_cluster_response, cluster_authorized_operations, INT32, ALL, PRESET(INT32_MIN)),
};
MESSAGE(describe_cluster_response);

/* DescribeLogDirs */

static const struct kafka_field log_dirs_request_topic[] = {
	FIELD(log_dirs_request_topic, topic, STRING, ALL),
	LIST(log_dirs_request_topic, partitions, INT32, ALL),
};
TABLE(log_dirs_request_topic);

static const struct kafka_field describe_log_dirs_request[] = {
	ARRAY(describe_log_dirs_request, topics, log_dirs_request_topic, ALL, NULLS(ALL)),
};
MESSAGE(describe_log_dirs_request);

static const struct kafka_field log_dir_partition[] = {
	FIELD(log_dir_partition, partition_index, INT32, ALL),
	FIELD(log_dir_partition, partition_size, INT64, ALL),
	FIELD(log_dir_partition, offset_lag, INT64, ALL),
	FIELD(log_dir_partition, is_future_key, BOOL, ALL),
};
TABLE(log_dir_partition);

static const struct kafka_field log_dir_topic[] = {
	FIELD(log_dir_topic, name, STRING, ALL),
	ARRAY(log_dir_topic, partitions, log_dir_partition, ALL),
};
TABLE(log_dir_topic);

static const struct kafka_field log_dir[] = {
	FIELD(log_dir, error_code, INT16, ALL),
	FIELD(log_dir, log_dir, STRING, ALL),
	ARRAY(log_dir, topics, log_dir_topic, ALL),
	FIELD(log_dir, total_bytes, INT64, FROM(4), PRESET(-1)),
	FIELD(log_dir, usable_bytes, INT64, FROM(4), PRESET(-1)),
};
TABLE(log_dir);

static const struct kafka_field describe_log_dirs_response[] = {
	FIELD(describe_log_dirs_response, throttle_time_ms, INT32, ALL),
	FIELD(describe_log_dirs_response, error_code, INT16, FROM(3)),
	ARRAY(describe_log_dirs_response, results, log_dir, ALL),
};
MESSAGE(describe_log_dirs_response);

/* SaslHandshake */

static const struct kafka_field sasl_handshake_request[] = {
	FIELD(sasl_handshake_request, mechanism, STRING, ALL),
};
MESSAGE(sasl_handshake_request);

static const struct kafka_field sasl_handshake_response[] = {
	FIELD(sasl_handshake_response, error_code, INT16, ALL),
	LIST(sasl_handshake_response, mechanisms, STRING, ALL),
};
MESSAGE(sasl_handshake_response);

/* SaslAuthenticate */

static const struct kafka_field sasl_authenticate_request[] = {
	FIELD(sasl_authenticate_request, auth_bytes, BYTES, ALL),
};
MESSAGE(sasl_authenticate_request);

static const struct kafka_field sasl_authenticate_response[] = {
	FIELD(sasl_authenticate_response, error_code, INT16, ALL),
	FIELD(sasl_authenticate_response, error_message, STRING, ALL, NULLS(ALL)),
	FIELD(sasl_authenticate_response, auth_bytes, BYTES, ALL),
	FIELD(sasl_authenticate_response, session_lifetime_ms, INT64, FROM(1)),
};
MESSAGE(sasl_authenticate_response);
