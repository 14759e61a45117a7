/* What a client asks first, and about the server itself: ApiVersions, SASL, Metadata, DescribeCluster, DescribeLogDirs. */
#pragma once

#include "kafka/codec/message.h"

/* Metadata */

struct kafka_metadata_request_topic {
	struct kafka_uuid topic_id;
	struct slice name;
};

struct kafka_metadata_request {
	KAFKA_ARRAY(struct kafka_metadata_request_topic) topics; /* null: all; version 0: empty is all */
	bool allow_auto_topic_creation;
	bool include_cluster_authorized_operations;
	bool include_topic_authorized_operations;
};

struct kafka_metadata_broker {
	int32_t node_id;
	struct slice host;
	int32_t port;
	struct slice rack;
};

struct kafka_metadata_partition {
	int16_t error_code;
	int32_t partition_index;
	int32_t leader_id;
	int32_t leader_epoch;
	KAFKA_ARRAY(int32_t) replica_nodes;
	KAFKA_ARRAY(int32_t) isr_nodes;
	KAFKA_ARRAY(int32_t) offline_replicas;
};

struct kafka_metadata_topic {
	int16_t error_code;
	struct slice name;
	struct kafka_uuid topic_id;
	bool is_internal;
	KAFKA_ARRAY(struct kafka_metadata_partition) partitions;
	int32_t topic_authorized_operations;
};

struct kafka_metadata_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_metadata_broker) brokers;
	struct slice cluster_id;
	int32_t controller_id;
	KAFKA_ARRAY(struct kafka_metadata_topic) topics;
	int32_t cluster_authorized_operations;
};

/* ApiVersions */

struct kafka_api_versions_request {
	struct slice client_software_name;
	struct slice client_software_version;
};

struct kafka_api_version {
	int16_t api_key;
	int16_t min_version;
	int16_t max_version;
};

struct kafka_supported_feature {
	struct slice name;
	int16_t min_version;
	int16_t max_version;
};

struct kafka_finalized_feature {
	struct slice name;
	int16_t max_version_level;
	int16_t min_version_level;
};

struct kafka_api_versions_response {
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_api_version) api_keys;
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_supported_feature) supported_features;
	int64_t finalized_features_epoch;
	KAFKA_ARRAY(struct kafka_finalized_feature) finalized_features;
	bool zk_migration_ready;
};

/* DescribeCluster */

struct kafka_describe_cluster_request {
	bool include_cluster_authorized_operations;
	int8_t endpoint_type;
};

struct kafka_cluster_broker {
	int32_t broker_id;
	struct slice host;
	int32_t port;
	struct slice rack;
};

struct kafka_describe_cluster_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct slice error_message;
	int8_t endpoint_type;
	struct slice cluster_id;
	int32_t controller_id;
	KAFKA_ARRAY(struct kafka_cluster_broker) brokers;
	int32_t cluster_authorized_operations;
};

/* DescribeLogDirs */

struct kafka_log_dirs_request_topic {
	struct slice topic;
	KAFKA_ARRAY(int32_t) partitions;
};

struct kafka_describe_log_dirs_request {
	KAFKA_ARRAY(struct kafka_log_dirs_request_topic) topics; /* null: all */
};

struct kafka_log_dir_partition {
	int32_t partition_index;
	int64_t partition_size;
	int64_t offset_lag;
	bool is_future_key;
};

struct kafka_log_dir_topic {
	struct slice name;
	KAFKA_ARRAY(struct kafka_log_dir_partition) partitions;
};

struct kafka_log_dir {
	int16_t error_code;
	struct slice log_dir;
	KAFKA_ARRAY(struct kafka_log_dir_topic) topics;
	int64_t total_bytes;
	int64_t usable_bytes;
};

struct kafka_describe_log_dirs_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	KAFKA_ARRAY(struct kafka_log_dir) results;
};

/* SaslHandshake */

struct kafka_sasl_handshake_request {
	struct slice mechanism;
};

struct kafka_sasl_handshake_response {
	int16_t error_code;
	KAFKA_ARRAY(struct slice) mechanisms;
};

/* SaslAuthenticate */

struct kafka_sasl_authenticate_request {
	struct slice auth_bytes;
};

struct kafka_sasl_authenticate_response {
	int16_t error_code;
	struct slice error_message;
	struct slice auth_bytes;
	int64_t session_lifetime_ms;
};
