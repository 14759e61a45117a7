#include "kafka/codec/messages_records.h"

#include "kafka/codec/tables_priv.h"

/* Produce */

static const struct kafka_field produce_partition[] = {
	FIELD(produce_partition, index, INT32, ALL),
	FIELD(produce_partition, records, RECORDS, ALL, NULLS(ALL)),
};
TABLE(produce_partition);

static const struct kafka_field produce_topic[] = {
	FIELD(produce_topic, name, STRING, ALL),
	ARRAY(produce_topic, partition_data, produce_partition, ALL),
};
TABLE(produce_topic);

static const struct kafka_field produce_request[] = {
	FIELD(produce_request, transactional_id, STRING, FROM(3), NULLS(ALL), PRESET_NULL),
	FIELD(produce_request, acks, INT16, ALL),
	FIELD(produce_request, timeout_ms, INT32, ALL),
	ARRAY(produce_request, topic_data, produce_topic, ALL),
};
MESSAGE(produce_request);

static const struct kafka_field record_error[] = {
	FIELD(record_error, batch_index, INT32, ALL),
	FIELD(record_error, batch_index_error_message, STRING, ALL, NULLS(ALL), PRESET_NULL),
};
TABLE(record_error);

static const struct kafka_field leader[] = {
	FIELD(leader, leader_id, INT32, ALL, PRESET(-1)),
	FIELD(leader, leader_epoch, INT32, ALL, PRESET(-1)),
};
TABLE(leader);

static const struct kafka_field produced_partition[] = {
	FIELD(produced_partition, index, INT32, ALL),
	FIELD(produced_partition, error_code, INT16, ALL),
	FIELD(produced_partition, base_offset, INT64, ALL),
	FIELD(produced_partition, log_append_time_ms, INT64, FROM(2), PRESET(-1)),
	FIELD(produced_partition, log_start_offset, INT64, FROM(5), PRESET(-1)),
	ARRAY(produced_partition, record_errors, record_error, FROM(8)),
	FIELD(produced_partition, error_message, STRING, FROM(8), NULLS(ALL), PRESET_NULL),
	STRUCT(produced_partition, current_leader, leader, FROM(10), TAG(0)),
};
TABLE(produced_partition);

static const struct kafka_field produced_topic[] = {
	FIELD(produced_topic, name, STRING, ALL),
	ARRAY(produced_topic, partition_responses, produced_partition, ALL),
};
TABLE(produced_topic);

static const struct kafka_field endpoint[] = {
	FIELD(endpoint, node_id, INT32, ALL),
	FIELD(endpoint, host, STRING, ALL),
	FIELD(endpoint, port, INT32, ALL),
	FIELD(endpoint, rack, STRING, ALL, NULLS(ALL), PRESET_NULL),
};
TABLE(endpoint);

static const struct kafka_field produce_response[] = {
	ARRAY(produce_response, responses, produced_topic, ALL),
	FIELD(produce_response, throttle_time_ms, INT32, FROM(1)),
	ARRAY(produce_response, node_endpoints, endpoint, FROM(10), TAG(0)),
};
MESSAGE(produce_response);

/* Fetch */

static const struct kafka_field replica_state[] = {
	FIELD(replica_state, replica_id, INT32, ALL, PRESET(-1)),
	FIELD(replica_state, replica_epoch, INT64, ALL, PRESET(-1)),
};
TABLE(replica_state);

static const struct kafka_field fetch_partition[] = {
	FIELD(fetch_partition, partition, INT32, ALL),
	FIELD(fetch_partition, current_leader_epoch, INT32, FROM(9), PRESET(-1)),
	FIELD(fetch_partition, fetch_offset, INT64, ALL),
	FIELD(fetch_partition, last_fetched_epoch, INT32, FROM(12), PRESET(-1)),
	FIELD(fetch_partition, log_start_offset, INT64, FROM(5), PRESET(-1)),
	FIELD(fetch_partition, partition_max_bytes, INT32, ALL),
};
TABLE(fetch_partition);

static const struct kafka_field fetch_topic[] = {
	FIELD(fetch_topic, topic, STRING, UNTIL(12)),
	FIELD(fetch_topic, topic_id, UUID, FROM(13)),
	ARRAY(fetch_topic, partitions, fetch_partition, ALL),
};
TABLE(fetch_topic);

static const struct kafka_field forgotten_topic[] = {
	FIELD(forgotten_topic, topic, STRING, UNTIL(12)),
	FIELD(forgotten_topic, topic_id, UUID, FROM(13)),
	LIST(forgotten_topic, partitions, INT32, ALL),
};
TABLE(forgotten_topic);

static const struct kafka_field fetch_request[] = {
	FIELD(fetch_request, cluster_id, STRING, FROM(12), NULLS(ALL), TAG(0), PRESET_NULL),
	FIELD(fetch_request, replica_id, INT32, UNTIL(14), PRESET(-1)),
	STRUCT(fetch_request, replica_state, replica_state, FROM(15), TAG(1)),
	FIELD(fetch_request, max_wait_ms, INT32, ALL),
	FIELD(fetch_request, min_bytes, INT32, ALL),
	FIELD(fetch_request, max_bytes, INT32, ALL, PRESET(INT32_MAX)),
	FIELD(fetch_request, isolation_level, INT8, ALL),
	FIELD(fetch_request, session_id, INT32, FROM(7)),
	FIELD(fetch_request, session_epoch, INT32, FROM(7), PRESET(-1)),
	ARRAY(fetch_request, topics, fetch_topic, ALL),
	ARRAY(fetch_request, forgotten_topics_data, forgotten_topic, FROM(7)),
	FIELD(fetch_request, rack_id, STRING, FROM(11)),
};
MESSAGE(fetch_request);

static const struct kafka_field epoch_end[] = {
	FIELD(epoch_end, epoch, INT32, ALL, PRESET(-1)),
	FIELD(epoch_end, end_offset, INT64, ALL, PRESET(-1)),
};
TABLE(epoch_end);

static const struct kafka_field snapshot[] = {
	FIELD(snapshot, end_offset, INT64, ALL, PRESET(-1)),
	FIELD(snapshot, epoch, INT32, ALL, PRESET(-1)),
};
TABLE(snapshot);

static const struct kafka_field aborted_transaction[] = {
	FIELD(aborted_transaction, producer_id, INT64, ALL),
	FIELD(aborted_transaction, first_offset, INT64, ALL),
};
TABLE(aborted_transaction);

static const struct kafka_field fetched_partition[] = {
	FIELD(fetched_partition, partition_index, INT32, ALL),
	FIELD(fetched_partition, error_code, INT16, ALL),
	FIELD(fetched_partition, high_watermark, INT64, ALL),
	FIELD(fetched_partition, last_stable_offset, INT64, ALL, PRESET(-1)),
	FIELD(fetched_partition, log_start_offset, INT64, FROM(5), PRESET(-1)),
	STRUCT(fetched_partition, diverging_epoch, epoch_end, FROM(12), TAG(0)),
	STRUCT(fetched_partition, current_leader, leader, FROM(12), TAG(1)),
	STRUCT(fetched_partition, snapshot_id, snapshot, FROM(12), TAG(2)),
	ARRAY(fetched_partition, aborted_transactions, aborted_transaction, ALL, NULLS(ALL)),
	FIELD(fetched_partition, preferred_read_replica, INT32, FROM(11), PRESET(-1)),
	FIELD(fetched_partition, records, RECORDS, ALL, NULLS(ALL)),
};
TABLE(fetched_partition);

static const struct kafka_field fetched_topic[] = {
	FIELD(fetched_topic, topic, STRING, UNTIL(12)),
	FIELD(fetched_topic, topic_id, UUID, FROM(13)),
	ARRAY(fetched_topic, partitions, fetched_partition, ALL),
};
TABLE(fetched_topic);

static const struct kafka_field fetch_response[] = {
	FIELD(fetch_response, throttle_time_ms, INT32, ALL),
	FIELD(fetch_response, error_code, INT16, FROM(7)),
	FIELD(fetch_response, session_id, INT32, FROM(7)),
	ARRAY(fetch_response, responses, fetched_topic, ALL),
	ARRAY(fetch_response, node_endpoints, endpoint, FROM(16), TAG(0)),
};
MESSAGE(fetch_response);

/* ListOffsets */

static const struct kafka_field list_offsets_partition[] = {
	FIELD(list_offsets_partition, partition_index, INT32, ALL),
	FIELD(list_offsets_partition, current_leader_epoch, INT32, FROM(4), PRESET(-1)),
	FIELD(list_offsets_partition, timestamp, INT64, ALL),
	FIELD(list_offsets_partition, max_num_offsets, INT32, UNTIL(0), PRESET(1)),
};
TABLE(list_offsets_partition);

static const struct kafka_field list_offsets_topic[] = {
	FIELD(list_offsets_topic, name, STRING, ALL),
	ARRAY(list_offsets_topic, partitions, list_offsets_partition, ALL),
};
TABLE(list_offsets_topic);

static const struct kafka_field list_offsets_request[] = {
	FIELD(list_offsets_request, replica_id, INT32, ALL),
	FIELD(list_offsets_request, isolation_level, INT8, FROM(2)),
	ARRAY(list_offsets_request, topics, list_offsets_topic, ALL),
};
MESSAGE(list_offsets_request);

static const struct kafka_field listed_offsets_partition[] = {
	FIELD(listed_offsets_partition, partition_index, INT32, ALL),
	FIELD(listed_offsets_partition, error_code, INT16, ALL),
	LIST(listed_offsets_partition, old_style_offsets, INT64, UNTIL(0)),
	FIELD(listed_offsets_partition, timestamp, INT64, FROM(1), PRESET(-1)),
	FIELD(listed_offsets_partition, offset, INT64, FROM(1), PRESET(-1)),
	FIELD(listed_offsets_partition, leader_epoch, INT32, FROM(4), PRESET(-1)),
};
TABLE(listed_offsets_partition);

static const struct kafka_field listed_offsets_topic[] = {
	FIELD(listed_offsets_topic, name, STRING, ALL),
	ARRAY(listed_offsets_topic, partitions, listed_offsets_partition, ALL),
};
TABLE(listed_offsets_topic);

static const struct kafka_field list_offsets_response[] = {
	FIELD(list_offsets_response, throttle_time_ms, INT32, FROM(2)),
	ARRAY(list_offsets_response, topics, listed_offsets_topic, ALL),
};
MESSAGE(list_offsets_response);

/* OffsetForLeaderEpoch */

static const struct kafka_field leader_epoch_partition[] = {
	FIELD(leader_epoch_partition, partition, INT32, ALL),
	FIELD(leader_epoch_partition, current_leader_epoch, INT32, FROM(2), PRESET(-1)),
	FIELD(leader_epoch_partition, leader_epoch, INT32, ALL),
};
TABLE(leader_epoch_partition);

static const struct kafka_field leader_epoch_topic[] = {
	FIELD(leader_epoch_topic, topic, STRING, ALL),
	ARRAY(leader_epoch_topic, partitions, leader_epoch_partition, ALL),
};
TABLE(leader_epoch_topic);

static const struct kafka_field offset_for_leader_epoch_request[] = {
	FIELD(offset_for_leader_epoch_request, replica_id, INT32, FROM(3), PRESET(-2)),
	ARRAY(offset_for_leader_epoch_request, topics, leader_epoch_topic, ALL),
};
MESSAGE(offset_for_leader_epoch_request);

static const struct kafka_field leader_epoch_end[] = {
	FIELD(leader_epoch_end, error_code, INT16, ALL),
	FIELD(leader_epoch_end, partition, INT32, ALL),
	FIELD(leader_epoch_end, leader_epoch, INT32, FROM(1), PRESET(-1)),
	FIELD(leader_epoch_end, end_offset, INT64, ALL, PRESET(-1)),
};
TABLE(leader_epoch_end);

static const struct kafka_field leader_epoch_end_topic[] = {
	FIELD(leader_epoch_end_topic, topic, STRING, ALL),
	ARRAY(leader_epoch_end_topic, partitions, leader_epoch_end, ALL),
};
TABLE(leader_epoch_end_topic);

static const struct kafka_field offset_for_leader_epoch_response[] = {
	FIELD(offset_for_leader_epoch_response, throttle_time_ms, INT32, FROM(2)),
	ARRAY(offset_for_leader_epoch_response, topics, leader_epoch_end_topic, ALL),
};
MESSAGE(offset_for_leader_epoch_response);

/* DeleteRecords */

static const struct kafka_field delete_records_partition[] = {
	FIELD(delete_records_partition, partition_index, INT32, ALL),
	FIELD(delete_records_partition, offset, INT64, ALL),
};
TABLE(delete_records_partition);

static const struct kafka_field delete_records_topic[] = {
	FIELD(delete_records_topic, name, STRING, ALL),
	ARRAY(delete_records_topic, partitions, delete_records_partition, ALL),
};
TABLE(delete_records_topic);

static const struct kafka_field delete_records_request[] = {
	ARRAY(delete_records_request, topics, delete_records_topic, ALL),
	FIELD(delete_records_request, timeout_ms, INT32, ALL),
};
MESSAGE(delete_records_request);

static const struct kafka_field deleted_records_partition[] = {
	FIELD(deleted_records_partition, partition_index, INT32, ALL),
	FIELD(deleted_records_partition, low_watermark, INT64, ALL),
	FIELD(deleted_records_partition, error_code, INT16, ALL),
};
TABLE(deleted_records_partition);

static const struct kafka_field deleted_records_topic[] = {
	FIELD(deleted_records_topic, name, STRING, ALL),
	ARRAY(deleted_records_topic, partitions, deleted_records_partition, ALL),
};
TABLE(deleted_records_topic);

static const struct kafka_field delete_records_response[] = {
	FIELD(delete_records_response, throttle_time_ms, INT32, ALL),
	ARRAY(delete_records_response, topics, deleted_records_topic, ALL),
};
MESSAGE(delete_records_response);
