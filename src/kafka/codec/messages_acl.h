/* Who may do what: DescribeAcls, CreateAcls, DeleteAcls. */
#pragma once

#include "kafka/codec/message.h"

/* DescribeAcls */

struct kafka_describe_acls_request {
	int8_t resource_type_filter;
	struct slice resource_name_filter;
	int8_t pattern_type_filter;
	struct slice principal_filter;
	struct slice host_filter;
	int8_t operation;
	int8_t permission_type;
};

struct kafka_acl {
	struct slice principal;
	struct slice host;
	int8_t operation;
	int8_t permission_type;
};

struct kafka_acl_resource {
	int8_t resource_type;
	struct slice resource_name;
	int8_t pattern_type;
	KAFKA_ARRAY(struct kafka_acl) acls;
};

struct kafka_describe_acls_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct slice error_message;
	KAFKA_ARRAY(struct kafka_acl_resource) resources;
};

/* CreateAcls */

struct kafka_new_acl {
	int8_t resource_type;
	struct slice resource_name;
	int8_t resource_pattern_type;
	struct slice principal;
	struct slice host;
	int8_t operation;
	int8_t permission_type;
};

struct kafka_create_acls_request {
	KAFKA_ARRAY(struct kafka_new_acl) creations;
};

struct kafka_created_acl {
	int16_t error_code;
	struct slice error_message;
};

struct kafka_create_acls_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_created_acl) results;
};

/* DeleteAcls */

struct kafka_acl_filter {
	int8_t resource_type_filter;
	struct slice resource_name_filter;
	int8_t pattern_type_filter;
	struct slice principal_filter;
	struct slice host_filter;
	int8_t operation;
	int8_t permission_type;
};

struct kafka_delete_acls_request {
	KAFKA_ARRAY(struct kafka_acl_filter) filters;
};

struct kafka_matching_acl {
	int16_t error_code;
	struct slice error_message;
	int8_t resource_type;
	struct slice resource_name;
	int8_t pattern_type;
	struct slice principal;
	struct slice host;
	int8_t operation;
	int8_t permission_type;
};

struct kafka_acl_filter_result {
	int16_t error_code;
	struct slice error_message;
	KAFKA_ARRAY(struct kafka_matching_acl) matching_acls;
};

struct kafka_delete_acls_response {
	int32_t throttle_time_ms;
	KAFKA_ARRAY(struct kafka_acl_filter_result) filter_results;
};
