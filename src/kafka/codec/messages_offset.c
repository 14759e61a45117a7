#include "kafka/codec/messages_offset.h"

#include "kafka/codec/tables_priv.h"

/* OffsetCommit */

static const struct kafka_field commit_partition[] = {
	FIELD(commit_partition, partition_index, INT32, ALL),
	FIELD(commit_partition, committed_offset, INT64, ALL),
	FIELD(commit_partition, committed_leader_epoch, INT32, FROM(6), PRESET(-1)),
	FIELD(commit_partition, commit_timestamp, INT64, UNTIL(1), PRESET(-1)),
	FIELD(commit_partition, committed_metadata, STRING, ALL, NULLS(ALL)),
};
TABLE(commit_partition);

static const struct kafka_field commit_topic[] = {
	FIELD(commit_topic, name, STRING, ALL),
	ARRAY(commit_topic, partitions, commit_partition, ALL),
};
TABLE(commit_topic);

static const struct kafka_field offset_commit_request[] = {
	FIELD(offset_commit_request, group_id, STRING, ALL),
	FIELD(offset_commit_request, generation_id_or_member_epoch, INT32, ALL, PRESET(-1)),
	FIELD(offset_commit_request, member_id, STRING, ALL),
	FIELD(offset_commit_request, group_instance_id, STRING, FROM(7), NULLS(ALL), PRESET_NULL),
	FIELD(offset_commit_request, retention_time_ms, INT64, BETWEEN(2, 4), PRESET(-1)),
	ARRAY(offset_commit_request, topics, commit_topic, ALL),
};
MESSAGE(offset_commit_request);

static const struct kafka_field committed_partition[] = {
	FIELD(committed_partition, partition_index, INT32, ALL),
	FIELD(committed_partition, error_code, INT16, ALL),
};
TABLE(committed_partition);

static const struct kafka_field committed_topic[] = {
	FIELD(committed_topic, name, STRING, ALL),
	ARRAY(committed_topic, partitions, committed_partition, ALL),
};
TABLE(committed_topic);

static const struct kafka_field offset_commit_response[] = {
	FIELD(offset_commit_response, throttle_time_ms, INT32, FROM(3)),
	ARRAY(offset_commit_response, topics, committed_topic, ALL),
};
MESSAGE(offset_commit_response);

/* OffsetFetch */

static const struct kafka_field offset_fetch_topic[] = {
	FIELD(offset_fetch_topic, name, STRING, ALL),
	LIST(offset_fetch_topic, partition_indexes, INT32, ALL),
};
TABLE(offset_fetch_topic);

static const struct kafka_field offset_fetch_group[] = {
	FIELD(offset_fetch_group, group_id, STRING, ALL),
	FIELD(offset_fetch_group, member_id, STRING, FROM(9), NULLS(ALL), PRESET_NULL),
	FIELD(offset_fetch_group, member_epoch, INT32, FROM(9), PRESET(-1)),
	ARRAY(offset_fetch_group, topics, offset_fetch_topic, ALL, NULLS(ALL)),
};
TABLE(offset_fetch_group);

static const struct kafka_field offset_fetch_request[] = {
	FIELD(offset_fetch_request, group_id, STRING, UNTIL(7)),
	ARRAY(offset_fetch_request, topics, offset_fetch_topic, UNTIL(7), NULLS(FROM(2))),
	ARRAY(offset_fetch_request, groups, offset_fetch_group, FROM(8)),
	FIELD(offset_fetch_request, require_stable, BOOL, FROM(7)),
};
MESSAGE(offset_fetch_request);

static const struct kafka_field offset_fetched_partition[] = {
	FIELD(offset_fetched_partition, partition_index, INT32, ALL),
	FIELD(offset_fetched_partition, committed_offset, INT64, ALL),
	FIELD(offset_fetched_partition, committed_leader_epoch, INT32, FROM(5), PRESET(-1)),
	FIELD(offset_fetched_partition, metadata, STRING, ALL, NULLS(ALL)),
	FIELD(offset_fetched_partition, error_code, INT16, ALL),
};
TABLE(offset_fetched_partition);

static const struct kafka_field offset_fetched_topic[] = {
	FIELD(offset_fetched_topic, name, STRING, ALL),
	ARRAY(offset_fetched_topic, partitions, offset_fetched_partition, ALL),
};
TABLE(offset_fetched_topic);

static const struct kafka_field offset_fetched_group[] = {
	FIELD(offset_fetched_group, group_id, STRING, ALL),
	ARRAY(offset_fetched_group, topics, offset_fetched_topic, ALL),
	FIELD(offset_fetched_group, error_code, INT16, ALL),
};
TABLE(offset_fetched_group);

static const struct kafka_field offset_fetch_response[] = {
	FIELD(offset_fetch_response, throttle_time_ms, INT32, FROM(3)),
	ARRAY(offset_fetch_response, topics, offset_fetched_topic, UNTIL(7)),
	FIELD(offset_fetch_response, error_code, INT16, BETWEEN(2, 7)),
	ARRAY(offset_fetch_response, groups, offset_fetched_group, FROM(8)),
};
MESSAGE(offset_fetch_response);

/* OffsetDelete */

static const struct kafka_field offset_delete_partition[] = {
	FIELD(offset_delete_partition, partition_index, INT32, ALL),
};
TABLE(offset_delete_partition);

static const struct kafka_field offset_delete_topic[] = {
	FIELD(offset_delete_topic, name, STRING, ALL),
	ARRAY(offset_delete_topic, partitions, offset_delete_partition, ALL),
};
TABLE(offset_delete_topic);

static const struct kafka_field offset_delete_request[] = {
	FIELD(offset_delete_request, group_id, STRING, ALL),
	ARRAY(offset_delete_request, topics, offset_delete_topic, ALL),
};
MESSAGE(offset_delete_request);

static const struct kafka_field offset_deleted_partition[] = {
	FIELD(offset_deleted_partition, partition_index, INT32, ALL),
	FIELD(offset_deleted_partition, error_code, INT16, ALL),
};
TABLE(offset_deleted_partition);

static const struct kafka_field offset_deleted_topic[] = {
	FIELD(offset_deleted_topic, name, STRING, ALL),
	ARRAY(offset_deleted_topic, partitions, offset_deleted_partition, ALL),
};
TABLE(offset_deleted_topic);

static const struct kafka_field offset_delete_response[] = {
	FIELD(offset_delete_response, error_code, INT16, ALL),
	FIELD(offset_delete_response, throttle_time_ms, INT32, ALL),
	ARRAY(offset_delete_response, topics, offset_deleted_topic, ALL),
};
MESSAGE(offset_delete_response);
