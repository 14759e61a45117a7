/* Who handles which request: what has no row here is not offered. */
#include "kafka/api/api_priv.h"

static kafka_handler *const handlers[KAFKA_KEY_END] = {
	[KAFKA_PRODUCE] = produce_handle,
	[KAFKA_FETCH] = fetch_handle,
	[KAFKA_LIST_OFFSETS] = list_offsets_handle,
	[KAFKA_METADATA] = metadata_handle,
	[KAFKA_OFFSET_COMMIT] = offset_commit_handle,
	[KAFKA_OFFSET_FETCH] = offset_fetch_handle,
	[KAFKA_FIND_COORDINATOR] = find_coordinator_handle,
	[KAFKA_JOIN_GROUP] = join_group_handle,
	[KAFKA_HEARTBEAT] = heartbeat_handle,
	[KAFKA_LEAVE_GROUP] = leave_group_handle,
	[KAFKA_SYNC_GROUP] = sync_group_handle,
	[KAFKA_DESCRIBE_GROUPS] = describe_groups_handle,
	[KAFKA_LIST_GROUPS] = list_groups_handle,
	[KAFKA_SASL_HANDSHAKE] = sasl_handshake_handle,
	[KAFKA_API_VERSIONS] = api_versions_handle,
	[KAFKA_CREATE_TOPICS] = create_topics_handle,
	[KAFKA_DELETE_TOPICS] = delete_topics_handle,
	[KAFKA_DELETE_RECORDS] = delete_records_handle,
	[KAFKA_INIT_PRODUCER_ID] = init_producer_id_handle,
	[KAFKA_OFFSET_FOR_LEADER_EPOCH] = offset_for_leader_epoch_handle,
	[KAFKA_ADD_PARTITIONS_TO_TXN] = add_partitions_to_txn_handle,
	[KAFKA_ADD_OFFSETS_TO_TXN] = add_offsets_to_txn_handle,
	[KAFKA_END_TXN] = end_txn_handle,
	[KAFKA_TXN_OFFSET_COMMIT] = txn_offset_commit_handle,
	[KAFKA_DESCRIBE_ACLS] = describe_acls_handle,
	[KAFKA_CREATE_ACLS] = create_acls_handle,
	[KAFKA_DELETE_ACLS] = delete_acls_handle,
	[KAFKA_DESCRIBE_CONFIGS] = describe_configs_handle,
	[KAFKA_ALTER_CONFIGS] = alter_configs_handle,
	[KAFKA_DESCRIBE_LOG_DIRS] = describe_log_dirs_handle,
	[KAFKA_SASL_AUTHENTICATE] = sasl_authenticate_handle,
	[KAFKA_CREATE_PARTITIONS] = create_partitions_handle,
	[KAFKA_DELETE_GROUPS] = delete_groups_handle,
	[KAFKA_INCREMENTAL_ALTER_CONFIGS] = incremental_alter_configs_handle,
	[KAFKA_OFFSET_DELETE] = offset_delete_handle,
	[KAFKA_DESCRIBE_CLUSTER] = describe_cluster_handle,
	[KAFKA_DESCRIBE_PRODUCERS] = describe_producers_handle,
	[KAFKA_DESCRIBE_TRANSACTIONS] = describe_transactions_handle,
	[KAFKA_LIST_TRANSACTIONS] = list_transactions_handle,
	[KAFKA_CONSUMER_GROUP_HEARTBEAT] = consumer_group_heartbeat_handle,
	[KAFKA_CONSUMER_GROUP_DESCRIBE] = consumer_group_describe_handle,
};

kafka_handler *kafka_handler_find(int16_t key)
{
	return key >= 0 && key < KAFKA_KEY_END ? handlers[key] : NULL;
}
