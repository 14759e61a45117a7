/* Requests of every kind with the k-th allocation failing, for every k: each is answered or its connection ends, nothing is left
 * behind, and what is asked afterwards is answered as ever. The door stands before a real sequencer on a journal in memory. */
#include "base/mem.h"
#include "kafka/api/kafka_door_fixture.h"
#include "kafka/codec/messages_acl.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_consumer.h"
#include "kafka/codec/messages_group.h"
#include "kafka/codec/messages_offset.h"
#include "kafka/codec/messages_records.h"
#include "kafka/codec/messages_topic.h"
#include "kafka/codec/messages_txn.h"
#include "stream/batch.h"

#include "base/testing.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBE = 100000, TURNS_MAX = 2000000, REQUESTS_MAX = 3 };

#define ONE(pointer)                                                                                                             \
	{                                                                                                                        \
		.at = (pointer), .count = 1                                                                                      \
	}
#define NAMED(type, string) ONE(((type[]){{.name = SLICE_INIT(string)}}))

static struct buf batch;

/* --- clients --- */

/* Needs no memory: what is the door's alone shall fail. */
struct client {
	int fd;
	size_t asked, len;
	bool ended;
	char in[64 * 1024];
};

/* Requests as bytes, made while memory is there. */
struct spoken {
	struct buf bytes;
	size_t count;
};

static void speak(struct spoken *spoken, const struct request *requests)
{
	buf_clear(&spoken->bytes);
	for (spoken->count = 0; spoken->count < REQUESTS_MAX && requests[spoken->count].message; spoken->count++)
		request_put(&spoken->bytes, &requests[spoken->count]);
}

static void client_open(struct client *client, const struct spoken *spoken)
{
	client->fd = door_connect();
	client->asked = spoken->count;
	client->len = 0;
	client->ended = false;
	(void)send(client->fd, spoken->bytes.ptr, spoken->bytes.len, MSG_NOSIGNAL);
}

static bool is_over(struct client *client)
{
	size_t at = 0, answers = 0;
	ssize_t got = recv(client->fd, client->in + client->len, sizeof(client->in) - client->len, 0);

	if (got == 0 || (got < 0 && errno == ECONNRESET))
		client->ended = true;
	if (got > 0)
		client->len += (size_t)got;
	while (at + 4 <= client->len) {
		at += 4 + __builtin_bswap32(wire_load_u32(client->in + at));
		answers += at <= client->len;
	}
	return client->ended || answers == client->asked;
}

/* --- what is asked --- */

#define FETCH(wait_ms)                                                                                                           \
	&(struct kafka_fetch_request)                                                                                            \
	{                                                                                                                        \
		.max_wait_ms = (wait_ms), .min_bytes = 1, .max_bytes = 1 << 20, .session_epoch = -1,                             \
		.topics = ONE(((struct kafka_fetch_topic[]){                                                                     \
			{.topic = SLICE_INIT("t"),                                                                               \
			 .partitions = ONE(((struct kafka_fetch_partition[]){                                                    \
				 {.current_leader_epoch = -1, .fetch_offset = fetch_from, .partition_max_bytes = 1 << 20}}))}})) \
	}

struct script {
	struct request reader[REQUESTS_MAX];
	bool wakes; /* a batch is written when the reader is parked */
};

static struct kafka_produce_request writing = {
	.acks = -1,
	.topic_data = ONE(((struct kafka_produce_topic[]){
		{.name = SLICE_INIT("t"), .partition_data = ONE(((struct kafka_produce_partition[]){{.index = 0}}))}})),
};

enum { fetch_from = 1 };
static const struct kafka_api_versions_request versions;
static const struct kafka_metadata_request all_topics = {.topics = {.at = NULL}};
static const struct kafka_metadata_request new_topic = {.topics = NAMED(struct kafka_metadata_request_topic, "new"),
							.allow_auto_topic_creation = true};
static const struct kafka_fetch_request fetch_old = {
	.max_bytes = 1 << 20,
	.session_epoch = -1,
	.isolation_level = 1,
	.topics = ONE(((struct kafka_fetch_topic[]){{.topic = SLICE_INIT("t"),
						     .partitions = ONE(((struct kafka_fetch_partition[]){
							     {.current_leader_epoch = -1, .partition_max_bytes = 1 << 20}}))}})),
};
static const struct kafka_fetch_request fetch_session = {
	.max_bytes = 1 << 20,
	.topics = ONE(((struct kafka_fetch_topic[]){{.topic = SLICE_INIT("t"),
						     .partitions = ONE(((struct kafka_fetch_partition[]){
							     {.current_leader_epoch = -1, .partition_max_bytes = 1 << 20}}))}})),
};
static const struct kafka_list_offsets_request by_time = {
	.replica_id = -1,
	.topics = ONE(((struct kafka_list_offsets_topic[]){
		{.name = SLICE_INIT("t"),
		 .partitions = ONE(((struct kafka_list_offsets_partition[]){{.current_leader_epoch = -1, .timestamp = 1}}))}})),
};
static const struct kafka_offset_for_leader_epoch_request by_epoch = {
	.topics = ONE(((struct kafka_leader_epoch_topic[]){
		{.topic = SLICE_INIT("t"),
		 .partitions = ONE(((struct kafka_leader_epoch_partition[]){{.current_leader_epoch = -1}}))}})),
};
static const struct kafka_delete_records_request trim = {
	.topics = ONE(((struct kafka_delete_records_topic[]){
		{.name = SLICE_INIT("t"), .partitions = ONE(((struct kafka_delete_records_partition[]){{.offset = -1}}))}})),
};
static const struct kafka_create_topics_request create = {
	.topics = ONE(((struct kafka_new_topic[]){
		{.name = SLICE_INIT("made"),
		 .num_partitions = 2,
		 .replication_factor = 1,
		 .configs = ONE(((struct kafka_new_config[]){{SLICE_INIT("retention.ms"), SLICE_INIT("1000")}}))}})),
};
static const struct kafka_delete_topics_request drop = {.topics = NAMED(struct kafka_delete_topic, "t")};
static const struct kafka_create_partitions_request grow = {
	.topics = ONE(((struct kafka_new_partitions[]){{.name = SLICE_INIT("t"), .count = 5}})),
};
static const struct kafka_describe_configs_request describe = {
	.resources = ONE(((struct kafka_describe_resource[]){{.resource_type = 2, .resource_name = SLICE_INIT("t")}})),
	.include_synonyms = true,
};
static const struct kafka_describe_configs_request describe_group = {
	.resources = ONE(((struct kafka_describe_resource[]){{.resource_type = 32, .resource_name = SLICE_INIT("g")}})),
};
static const struct kafka_describe_configs_request describe_server = {
	.resources = ONE(((struct kafka_describe_resource[]){{.resource_type = 4, .resource_name = SLICE_INIT("1")}})),
};
static const struct kafka_alter_configs_request alter = {
	.resources = ONE(((struct kafka_alter_resource[]){
		{.resource_type = 2,
		 .resource_name = SLICE_INIT("t"),
		 .configs = ONE(((struct kafka_alter_config[]){{SLICE_INIT("no.such"), SLICE_INIT("1")}}))}})),
};
static const struct kafka_alter_configs_request compact = {
	.resources = ONE(((struct kafka_alter_resource[]){
		{.resource_type = 2,
		 .resource_name = SLICE_INIT("t"),
		 .configs = ONE(((struct kafka_alter_config[]){{SLICE_INIT("cleanup.policy"), SLICE_INIT("compact")}}))}})),
};
static const struct kafka_incremental_alter_configs_request change = {
	.resources = ONE(((struct kafka_change_resource[]){
		{.resource_type = 2,
		 .resource_name = SLICE_INIT("t"),
		 .configs = ONE(((struct kafka_change_config[]){{SLICE_INIT("retention.ms"), 0, SLICE_INIT("5000")}}))}})),
};
static const struct kafka_describe_cluster_request cluster = {.endpoint_type = 1};
static const struct kafka_describe_log_dirs_request log_dirs;
static const struct kafka_init_producer_id_request producer = {.producer_id = -1, .producer_epoch = -1};
static const struct kafka_sasl_handshake_request handshake = {.mechanism = SLICE_INIT("PLAIN")};
static const struct kafka_sasl_authenticate_request authenticate;
static const struct kafka_describe_acls_request acls = {.resource_type_filter = 1};
static const struct kafka_create_acls_request allow = {.creations = ONE(((struct kafka_new_acl[]){{.resource_type = 2}}))};
static const struct kafka_delete_acls_request forbid = {.filters =
								ONE(((struct kafka_acl_filter[]){{.resource_type_filter = 2}}))};

static const struct kafka_find_coordinator_request coordinator = {.coordinator_keys = ONE(((struct slice[]){SLICE_INIT("g")}))};
#define JOIN(group)                                                                                                              \
	{                                                                                                                        \
		.group_id = SLICE_INIT(group), .session_timeout_ms = 10000, .rebalance_timeout_ms = 10000,                       \
		.protocol_type = SLICE_INIT("consumer"),                                                                         \
		.protocols = ONE(((struct kafka_join_protocol[]){{SLICE_INIT("range"), SLICE_INIT("x")}}))                       \
	}
static const struct kafka_join_group_request join = JOIN("g");
static const struct kafka_sync_group_request sync_stranger = {.group_id = SLICE_INIT("g"), .member_id = SLICE_INIT("nobody")};
static const struct kafka_heartbeat_request beat_stranger = {.group_id = SLICE_INIT("g"), .member_id = SLICE_INIT("nobody")};
static const struct kafka_leave_group_request leave_stranger = {
	.group_id = SLICE_INIT("g"),
	.members = ONE(((struct kafka_leaving_member[]){{.member_id = SLICE_INIT("nobody")}})),
};
static const struct kafka_offset_commit_request commit = {
	.group_id = SLICE_INIT("g"),
	.generation_id_or_member_epoch = -1,
	.topics = ONE(((struct kafka_commit_topic[]){
		{.name = SLICE_INIT("t"),
		 .partitions = ONE(((struct kafka_commit_partition[]){
			 {.committed_offset = 1, .committed_leader_epoch = -1, .committed_metadata = SLICE_INIT("so far")}}))}})),
};
static const struct kafka_offset_fetch_request fetch_offsets = {
	.groups = {.at = (struct kafka_offset_fetch_group[]){{.group_id = SLICE_INIT("g")}, {.group_id = SLICE_INIT("h")}},
		   .count = 2},
};
static const struct kafka_offset_fetch_request fetch_one = {
	.group_id = SLICE_INIT("g"),
	.topics =
		ONE(((struct kafka_offset_fetch_topic[]){{.name = SLICE_INIT("t"), .partition_indexes = ONE(((int32_t[]){0}))}})),
};
static const struct kafka_offset_delete_request forget = {
	.group_id = SLICE_INIT("g"),
	.topics = ONE(((struct kafka_offset_delete_topic[]){
		{.name = SLICE_INIT("t"), .partitions = ONE(((struct kafka_offset_delete_partition[]){{0}}))}})),
};
static const struct kafka_describe_groups_request describe_groups = {
	.groups = {.at = (struct slice[]){SLICE_INIT("g"), SLICE_INIT("h")}, .count = 2}};
static const struct kafka_list_groups_request list_groups;
static const struct kafka_delete_groups_request delete_groups = {
	.groups_names = {.at = (struct slice[]){SLICE_INIT("g"), SLICE_INIT("h")}, .count = 2}};

static const struct kafka_init_producer_id_request transactional = {
	.transactional_id = SLICE_INIT("tx"), .transaction_timeout_ms = 10000, .producer_id = -1, .producer_epoch = -1};
static const struct kafka_add_partitions_to_txn_request add = {
	.v3_and_below_transactional_id = SLICE_INIT("tx"),
	.v3_and_below_topics = ONE(((struct kafka_txn_topic[]){{.name = SLICE_INIT("t"), .partitions = ONE(((int32_t[]){0}))}})),
};
static const struct kafka_end_txn_request finish = {.transactional_id = SLICE_INIT("tx"), .committed = true};

static const struct kafka_consumer_group_heartbeat_request consumer_join = {
	.group_id = SLICE_INIT("c"),
	.member_id = SLICE_INIT("m"),
	.rebalance_timeout_ms = 1000,
	.subscribed_topic_names = ONE(((struct slice[]){SLICE_INIT("t")})),
	.topic_partitions = {.at = (struct kafka_consumer_partitions[]){{.partitions = {0}}}},
};
static const struct kafka_consumer_group_heartbeat_request consumer_beat = {
	.group_id = SLICE_INIT("c"), .member_id = SLICE_INIT("m"), .member_epoch = 1, .rebalance_timeout_ms = -1};
static const struct kafka_consumer_group_describe_request describe_consumers = {.group_ids =
											ONE(((struct slice[]){SLICE_INIT("c")}))};

static const struct script scripts[] = {
	{.reader = {{KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &consumer_join},
		    {KAFKA_CONSUMER_GROUP_HEARTBEAT, 0, &consumer_beat},
		    {KAFKA_CONSUMER_GROUP_DESCRIBE, 1, &describe_consumers}}},
	{.reader = {{KAFKA_INIT_PRODUCER_ID, 4, &transactional},
		    {KAFKA_ADD_PARTITIONS_TO_TXN, 3, &add},
		    {KAFKA_END_TXN, 3, &finish}}},
	{.reader = {{KAFKA_API_VERSIONS, 3, &versions}}},
	{.reader = {{KAFKA_METADATA, 12, &all_topics}, {KAFKA_METADATA, 9, &new_topic}}},
	{.reader = {{KAFKA_PRODUCE, 9, &writing}, {KAFKA_PRODUCE, 3, &writing}}},
	{.reader = {{KAFKA_ALTER_CONFIGS, 2, &compact}, {KAFKA_PRODUCE, 8, &writing}}}, /* its record lacks a key */
	{.reader = {{KAFKA_FETCH, 12, &fetch_old}}},
	{.reader = {{KAFKA_FETCH, 12, FETCH(3)}}},
	{.reader = {{KAFKA_FETCH, 12, &fetch_session}, {KAFKA_FETCH, 12, FETCH(3)}}},
	{.reader = {{KAFKA_FETCH, 4, FETCH(60000)}, {KAFKA_API_VERSIONS, 0, &versions}}},
	{.reader = {{KAFKA_FETCH, 11, FETCH(60000)}}, .wakes = true},
	{.reader = {{KAFKA_LIST_OFFSETS, 7, &by_time}, {KAFKA_OFFSET_FOR_LEADER_EPOCH, 4, &by_epoch}}},
	{.reader = {{KAFKA_DELETE_RECORDS, 2, &trim}}},
	{.reader = {{KAFKA_CREATE_TOPICS, 7, &create}, {KAFKA_CREATE_PARTITIONS, 3, &grow}}},
	{.reader = {{KAFKA_DELETE_TOPICS, 6, &drop}}},
	{.reader = {{KAFKA_DESCRIBE_CONFIGS, 4, &describe}, {KAFKA_DESCRIBE_CONFIGS, 1, &describe_server}}},
	{.reader = {{KAFKA_DESCRIBE_CONFIGS, 4, &describe_group}}},
	{.reader = {{KAFKA_ALTER_CONFIGS, 2, &alter}, {KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &change}}},
	{.reader = {{KAFKA_DESCRIBE_CLUSTER, 1, &cluster}, {KAFKA_DESCRIBE_LOG_DIRS, 4, &log_dirs}}},
	{.reader = {{KAFKA_INIT_PRODUCER_ID, 4, &producer}}},
	{.reader = {{KAFKA_SASL_HANDSHAKE, 1, &handshake}, {KAFKA_SASL_AUTHENTICATE, 2, &authenticate}}},
	{.reader = {{KAFKA_FIND_COORDINATOR, 4, &coordinator}, {KAFKA_JOIN_GROUP, 9, &join}}},
	{.reader = {{KAFKA_JOIN_GROUP, 3, &join},
		    {KAFKA_DESCRIBE_GROUPS, 5, &describe_groups},
		    {KAFKA_LIST_GROUPS, 4, &list_groups}}},
	{.reader = {{KAFKA_SYNC_GROUP, 5, &sync_stranger},
		    {KAFKA_HEARTBEAT, 4, &beat_stranger},
		    {KAFKA_LEAVE_GROUP, 5, &leave_stranger}}},
	{.reader = {{KAFKA_OFFSET_COMMIT, 8, &commit},
		    {KAFKA_OFFSET_FETCH, 8, &fetch_offsets},
		    {KAFKA_OFFSET_FETCH, 7, &fetch_one}}},
	{.reader = {{KAFKA_OFFSET_COMMIT, 8, &commit},
		    {KAFKA_OFFSET_DELETE, 0, &forget},
		    {KAFKA_DELETE_GROUPS, 2, &delete_groups}}},
	{.reader = {{KAFKA_DESCRIBE_ACLS, 3, &acls}, {KAFKA_CREATE_ACLS, 3, &allow}, {KAFKA_DELETE_ACLS, 3, &forbid}}},
};

/* --- the rounds --- */

static void until_over(struct client *client)
{
	for (int turns = 0; !is_over(client); turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
}

/* Asked on a connection of its own; whether all of it was answered. */
static bool ask(const struct spoken *spoken)
{
	static struct client client;

	client_open(&client, spoken);
	until_over(&client);
	close(client.fd);
	return !client.ended;
}

static struct spoken made, reading, written, looked;

static const struct kafka_metadata_request topic = {.topics = NAMED(struct kafka_metadata_request_topic, "t"),
						    .allow_auto_topic_creation = true};

static void scene(const struct script *script)
{
	const struct request make[REQUESTS_MAX] = {{KAFKA_METADATA, 4, &topic}, {KAFKA_PRODUCE, 3, &writing}};
	const struct request write[REQUESTS_MAX] = {{KAFKA_PRODUCE, 3, &writing}};
	const struct request look[REQUESTS_MAX] = {{KAFKA_METADATA, 12, &all_topics}, {KAFKA_API_VERSIONS, 0, &versions}};
	const struct batch_record record = {.value = SLICE("record")};

	door_init();
	door_begin();
	buf_clear(&batch);
	batch_encode(&batch, door.f.now_ms, &record, 1);
	writing.topic_data.at[0].partition_data.at[0].records = buf_slice(&batch);
	speak(&made, make);
	speak(&reading, script->reader);
	speak(&written, write);
	speak(&looked, look);
	assert_true(ask(&made));
}

static void play(const struct script *script, uint64_t fails_at)
{
	static struct client reader;

	mem_fail_nth(fails_at);
	client_open(&reader, &reading);
	for (int turns = 0; script->wakes && !is_over(&reader) && door_stats().parked == 0; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	assert_true(!script->wakes || fails_at < PROBE || door_stats().parked == 1);
	if (script->wakes)
		(void)ask(&written);
	/* When the wake was what failed, the next one tells. */
	for (int turns = 0; !is_over(&reader); turns++) {
		assert_true(turns < TURNS_MAX);
		if (script->wakes && turns % 100 == 99)
			(void)ask(&written);
		door_turn();
	}
	close(reader.fd);
}

static uint64_t round_of(const struct script *script, uint64_t fails_at)
{
	uint64_t left = 0;
	void *probe;

	scene(script);
	play(script, fails_at);
	while (fails_at == PROBE && (probe = mem_alloc(1))) {
		mem_free(probe);
		left++;
	}
	mem_fail_nth(0);
	for (int turns = 0; door_stats().connections_open; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	assert_int_equal(door_stats().parked, 0);
	assert_int_equal(door.f.pins, 0);
	assert_true(ask(&looked));
	door_end();
	return PROBE - left;
}

static void any_allocation_may_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
		uint64_t count = round_of(&scripts[i], PROBE) + 3;

		assert_true(count > 3 && count < 500);
		for (uint64_t k = 1; k <= count; k++)
			round_of(&scripts[i], k);
	}
	buf_deinit(&made.bytes);
	buf_deinit(&reading.bytes);
	buf_deinit(&written.bytes);
	buf_deinit(&looked.bytes);
	buf_deinit(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
