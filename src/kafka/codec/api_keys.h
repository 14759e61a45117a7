/* What is offered: the keys of requests, and which versions of each. The one list; tables, ApiVersions' answer and the headers'
 * versions come from it.
 *
 * Clients choose from it, and some look for exact versions: old librdkafka for Produce 0, 3 and 7, Fetch 4 and 10,
 * FindCoordinator 0, InitProducerId 0, SaslHandshake 0 and 1, SaslAuthenticate 0, ListOffsets 1; kafka-go fixes 0 for
 * FindCoordinator, Heartbeat, LeaveGroup and SyncGroup; @platformatic/kafka knows no DeleteTopics but 6. */
#pragma once

#include "kafka/codec/codec.h"

/* How much is offered. */
enum kafka_offer {
	KAFKA_OFFER_CLASSIC, /* topics by their names, groups whose members divide the partitions */
	KAFKA_OFFER_ALL,     /* topic ids too, groups whose partitions the server divides (KIP-848), KIP-890 */
};
enum { KAFKA_OFFER_COUNT = 2, KAFKA_NOT = -1 };

/* key, its number, its structures, first flexible version (99: none), first version, last one: classic, all */
#define KAFKA_APIS(API)                                                                                                          \
	API(PRODUCE, 0, produce, 9, 0, 9, 12)                                                                                    \
	API(FETCH, 1, fetch, 12, 4, 12, 16)                                                                                      \
	API(LIST_OFFSETS, 2, list_offsets, 6, 0, 7, 9)                                                                           \
	API(METADATA, 3, metadata, 9, 0, 9, 12)                                                                                  \
	API(OFFSET_COMMIT, 8, offset_commit, 8, 1, 8, 9)                                                                         \
	API(OFFSET_FETCH, 9, offset_fetch, 6, 1, 8, 9)                                                                           \
	API(FIND_COORDINATOR, 10, find_coordinator, 3, 0, 4, 5)                                                                  \
	API(JOIN_GROUP, 11, join_group, 6, 0, 9, 9)                                                                              \
	API(HEARTBEAT, 12, heartbeat, 4, 0, 4, 4)                                                                                \
	API(LEAVE_GROUP, 13, leave_group, 4, 0, 5, 5)                                                                            \
	API(SYNC_GROUP, 14, sync_group, 4, 0, 5, 5)                                                                              \
	API(DESCRIBE_GROUPS, 15, describe_groups, 5, 0, 5, 5)                                                                    \
	API(LIST_GROUPS, 16, list_groups, 3, 0, 4, 5)                                                                            \
	API(SASL_HANDSHAKE, 17, sasl_handshake, 99, 0, 1, 1)                                                                     \
	API(API_VERSIONS, 18, api_versions, 3, 0, 3, 4)                                                                          \
	API(CREATE_TOPICS, 19, create_topics, 5, 0, 7, 7)                                                                        \
	API(DELETE_TOPICS, 20, delete_topics, 4, 0, 5, 6)                                                                        \
	API(DELETE_RECORDS, 21, delete_records, 2, 0, 2, 2)                                                                      \
	API(INIT_PRODUCER_ID, 22, init_producer_id, 2, 0, 4, 5)                                                                  \
	API(OFFSET_FOR_LEADER_EPOCH, 23, offset_for_leader_epoch, 4, 0, 4, 4)                                                    \
	API(ADD_PARTITIONS_TO_TXN, 24, add_partitions_to_txn, 3, 0, 3, 5)                                                        \
	API(ADD_OFFSETS_TO_TXN, 25, add_offsets_to_txn, 3, 0, 3, 4)                                                              \
	API(END_TXN, 26, end_txn, 3, 0, 3, 5)                                                                                    \
	API(TXN_OFFSET_COMMIT, 28, txn_offset_commit, 3, 0, 3, 5)                                                                \
	API(DESCRIBE_ACLS, 29, describe_acls, 2, 0, 3, 3)                                                                        \
	API(CREATE_ACLS, 30, create_acls, 2, 0, 3, 3)                                                                            \
	API(DELETE_ACLS, 31, delete_acls, 2, 0, 3, 3)                                                                            \
	API(DESCRIBE_CONFIGS, 32, describe_configs, 4, 0, 4, 4)                                                                  \
	API(ALTER_CONFIGS, 33, alter_configs, 2, 0, 2, 2)                                                                        \
	API(DESCRIBE_LOG_DIRS, 35, describe_log_dirs, 2, 0, 4, 4)                                                                \
	API(SASL_AUTHENTICATE, 36, sasl_authenticate, 2, 0, 2, 2)                                                                \
	API(CREATE_PARTITIONS, 37, create_partitions, 2, 0, 3, 3)                                                                \
	API(DELETE_GROUPS, 42, delete_groups, 2, 0, 2, 2)                                                                        \
	API(INCREMENTAL_ALTER_CONFIGS, 44, incremental_alter_configs, 1, 0, 1, 1)                                                \
	API(OFFSET_DELETE, 47, offset_delete, 99, 0, 0, 0)                                                                       \
	API(DESCRIBE_CLUSTER, 60, describe_cluster, 0, 0, 1, 1)                                                                  \
	API(DESCRIBE_PRODUCERS, 61, describe_producers, 0, 0, 0, 0)                                                              \
	API(DESCRIBE_TRANSACTIONS, 65, describe_transactions, 0, 0, 0, 0)                                                        \
	API(LIST_TRANSACTIONS, 66, list_transactions, 0, 0, 1, 1)                                                                \
	API(CONSUMER_GROUP_HEARTBEAT, 68, consumer_group_heartbeat, 0, 0, KAFKA_NOT, 1)                                          \
	API(CONSUMER_GROUP_DESCRIBE, 69, consumer_group_describe, 0, 0, KAFKA_NOT, 1)

#define KAFKA_KEY(key, number, ...) KAFKA_##key = number,
enum kafka_key { KAFKA_APIS(KAFKA_KEY) };
#undef KAFKA_KEY

#define KAFKA_ONE(...) +1
enum { KAFKA_API_COUNT = 0 KAFKA_APIS(KAFKA_ONE), KAFKA_KEY_END = KAFKA_CONSUMER_GROUP_DESCRIBE + 1 };
#undef KAFKA_ONE

struct kafka_api {
	const char *name; /* for diagnostics and metrics */
	int16_t key;
	int16_t flexible; /* from this version on */
	int16_t first, last[KAFKA_OFFER_COUNT];
	const struct kafka_table *request, *response;
};

/* NULL: nobody knows that key, or it is not offered. */
const struct kafka_api *kafka_api_find(enum kafka_offer offer, int key);

static inline struct kafka_format kafka_api_format(const struct kafka_api *api, int16_t version)
{
	return (struct kafka_format){version, version >= api->flexible};
}

struct kafka_api_version;

/* The list for an answer to ApiVersions, in the order of keys: how many were written to `ret_versions`, which has room for
 * KAFKA_API_COUNT. */
uint32_t kafka_api_versions(enum kafka_offer offer, struct kafka_api_version *ret_versions);
