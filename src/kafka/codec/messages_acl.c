#include "kafka/codec/messages_acl.h"

#include "kafka/codec/tables_priv.h"

/* DescribeAcls */

static const struct kafka_field describe_acls_request[] = {
	FIELD(describe_acls_request, resource_type_filter, INT8, ALL),
	FIELD(describe_acls_request, resource_name_filter, STRING, ALL, NULLS(ALL)),
	FIELD(describe_acls_request, pattern_type_filter, INT8, FROM(1), PRESET(3)),
	FIELD(describe_acls_request, principal_filter, STRING, ALL, NULLS(ALL)),
	FIELD(describe_acls_request, host_filter, STRING, ALL, NULLS(ALL)),
	FIELD(describe_acls_request, operation, INT8, ALL),
	FIELD(describe_acls_request, permission_type, INT8, ALL),
};
MESSAGE(describe_acls_request);

static const struct kafka_field acl[] = {
	FIELD(acl, principal, STRING, ALL),
	FIELD(acl, host, STRING, ALL),
	FIELD(acl, operation, INT8, ALL),
	FIELD(acl, permission_type, INT8, ALL),
};
TABLE(acl);

static const struct kafka_field acl_resource[] = {
	FIELD(acl_resource, resource_type, INT8, ALL),
	FIELD(acl_resource, resource_name, STRING, ALL),
	FIELD(acl_resource, pattern_type, INT8, FROM(1), PRESET(3)),
	ARRAY(acl_resource, acls, acl, ALL),
};
TABLE(acl_resource);

static const struct kafka_field describe_acls_response[] = {
	FIELD(describe_acls_response, throttle_time_ms, INT32, ALL),
	FIELD(describe_acls_response, error_code, INT16, ALL),
	FIELD(describe_acls_response, error_message, STRING, ALL, NULLS(ALL)),
	ARRAY(describe_acls_response, resources, acl_resource, ALL),
};
MESSAGE(describe_acls_response);

/* CreateAcls */

static const struct kafka_field new_acl[] = {
	FIELD(new_acl, resource_type, INT8, ALL),
	FIELD(new_acl, resource_name, STRING, ALL),
	FIELD(new_acl, resource_pattern_type, INT8, FROM(1), PRESET(3)),
	FIELD(new_acl, principal, STRING, ALL),
	FIELD(new_acl, host, STRING, ALL),
	FIELD(new_acl, operation, INT8, ALL),
	FIELD(new_acl, permission_type, INT8, ALL),
};
TABLE(new_acl);

static const struct kafka_field create_acls_request[] = {
	ARRAY(create_acls_request, creations, new_acl, ALL),
};
MESSAGE(create_acls_request);

static const struct kafka_field created_acl[] = {
	FIELD(created_acl, error_code, INT16, ALL),
	FIELD(created_acl, error_message, STRING, ALL, NULLS(ALL)),
};
TABLE(created_acl);

static const struct kafka_field create_acls_response[] = {
	FIELD(create_acls_response, throttle_time_ms, INT32, ALL),
	ARRAY(create_acls_response, results, created_acl, ALL),
};
MESSAGE(create_acls_response);

/* DeleteAcls */

static const struct kafka_field acl_filter[] = {
	FIELD(acl_filter, resource_type_filter, INT8, ALL),
	FIELD(acl_filter, resource_name_filter, STRING, ALL, NULLS(ALL)),
	FIELD(acl_filter, pattern_type_filter, INT8, FROM(1), PRESET(3)),
	FIELD(acl_filter, principal_filter, STRING, ALL, NULLS(ALL)),
	FIELD(acl_filter, host_filter, STRING, ALL, NULLS(ALL)),
	FIELD(acl_filter, operation, INT8, ALL),
	FIELD(acl_filter, permission_type, INT8, ALL),
};
TABLE(acl_filter);

static const struct kafka_field delete_acls_request[] = {
	ARRAY(delete_acls_request, filters, acl_filter, ALL),
};
MESSAGE(delete_acls_request);

static const struct kafka_field matching_acl[] = {
	FIELD(matching_acl, error_code, INT16, ALL),
	FIELD(matching_acl, error_message, STRING, ALL, NULLS(ALL)),
	FIELD(matching_acl, resource_type, INT8, ALL),
	FIELD(matching_acl, resource_name, STRING, ALL),
	FIELD(matching_acl, pattern_type, INT8, FROM(1), PRESET(3)),
	FIELD(matching_acl, principal, STRING, ALL),
	FIELD(matching_acl, host, STRING, ALL),
	FIELD(matching_acl, operation, INT8, ALL),
	FIELD(matching_acl, permission_type, INT8, ALL),
};
TABLE(matching_acl);

static const struct kafka_field acl_filter_result[] = {
	FIELD(acl_filter_result, error_code, INT16, ALL),
	FIELD(acl_filter_result, error_message, STRING, ALL, NULLS(ALL)),
	ARRAY(acl_filter_result, matching_acls, matching_acl, ALL),
};
TABLE(acl_filter_result);

static const struct kafka_field delete_acls_response[] = {
	FIELD(delete_acls_response, throttle_time_ms, INT32, ALL),
	ARRAY(delete_acls_response, filter_results, acl_filter_result, ALL),
};
MESSAGE(delete_acls_response);
