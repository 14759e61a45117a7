#include "kafka/api/kafka_fetch_fixture.h"

#include "base/testing.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_topic.h"
#include "stream/batch.h"

#include <sys/socket.h>
#include <unistd.h>

struct talk reader, writer;
static struct buf bytes, batch;
int16_t fetch_version = 12;

int fetch_setup(void **state)
{
	(void)state;
	door_init();
	return 0;
}

/* One answer. */
static void writer_hears(void)
{
	static char answer[1 << 16];

	for (int turns = 0; recv(writer.fd, answer, sizeof(answer), 0) <= 0; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
}

void fetch_begin(void)
{
	static struct kafka_new_topic topic = {.name = SLICE_INIT("t"), .num_partitions = PARTITIONS, .replication_factor = 1};
	static const struct kafka_create_topics_request make = {.topics = {.at = &topic, .count = 1}};

	door_begin();
	reader.fd = door_connect();
	writer.fd = door_connect();
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_CREATE_TOPICS, 5, &make});
	assert_true(send(writer.fd, bytes.ptr, bytes.len, 0) > 0);
	writer_hears();
}

int fetch_teardown(void **state)
{
	(void)state;
	close(reader.fd);
	close(writer.fd);
	for (int turns = 0; door_stats().connections_open; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	assert_int_equal(door_stats().parked, 0);
	assert_int_equal(door.f.pins, 0);
	assert_true(door.thread->hung_spots == 0 && door.thread->spot_pool.live_count == 0);
	door_end();
	buf_deinit(&reader.in);
	arena_deinit(&reader.arena);
	buf_deinit(&bytes);
	buf_deinit(&batch);
	memset(&reader, 0, sizeof(reader));
	bytes = batch = (struct buf){0};
	return 0;
}

/* --- asking --- */

struct kafka_fetch_partition asked[PARTITIONS];
struct kafka_fetch_topic asked_topic = {.topic = SLICE_INIT("t"), .partitions = {.at = asked, .count = PARTITIONS}};

struct kafka_fetch_request ask_all(int32_t wait_ms, int32_t min_bytes)
{
	for (int32_t i = 0; i < PARTITIONS; i++)
		asked[i] = (struct kafka_fetch_partition){
			.partition = i, .current_leader_epoch = -1, .last_fetched_epoch = -1, .partition_max_bytes = 1 << 20};
	asked_topic.partitions.at = asked;
	asked_topic.partitions.count = PARTITIONS;
	return (struct kafka_fetch_request){.max_wait_ms = wait_ms,
					    .min_bytes = min_bytes,
					    .max_bytes = 1 << 20,
					    .session_epoch = -1,
					    .topics = {.at = &asked_topic, .count = 1}};
}

void ask_put(struct buf *out, const struct kafka_fetch_request *request)
{
	request_put(out, &(struct request){KAFKA_FETCH, fetch_version, request});
}

void ask(const struct kafka_fetch_request *request)
{
	buf_clear(&bytes);
	ask_put(&bytes, request);
	assert_true(send(reader.fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
}

void until_parked(void)
{
	for (int turns = 0; !door_stats().parked; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
}

const struct kafka_fetch_response *heard_now(void)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_FETCH);
	struct kafka_room room = {&reader.arena, SIZE_MAX};
	char *at;
	ssize_t got;
	size_t len;

	if (reader.answer) { /* the one before */
		arena_deinit(&reader.arena);
		buf_clear(&reader.in);
		reader.answer = NULL;
	}
	at = buf_reserve(&reader.in, 1 << 16);
	assert_non_null(at);
	got = recv(reader.fd, at, 1 << 16, 0);
	reader.in.len += got > 0 ? (size_t)got : 0;
	len = reader.in.len < 4 ? SIZE_MAX : 4 + __builtin_bswap32(wire_load_u32(reader.in.ptr));
	if (reader.in.len < len)
		return NULL;
	assert_true(reader.in.len == len);
	reader.answer = arena_alloc(&reader.arena, sizeof(*reader.answer));
	/* Behind the size there is a header of 4 bytes and no tags. */
	assert_int_equal(kafka_decode(api->response, kafka_api_format(api, fetch_version), slice_from(reader.in.ptr + 9, len - 9),
				      &room, reader.answer),
			 0);
	return reader.answer;
}

const struct kafka_fetch_response *hear(void)
{
	for (int turns = 0; !heard_now(); turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	return reader.answer;
}

const struct kafka_fetched_partition *heard(int32_t partition)
{
	for (uint32_t i = 0; i < reader.answer->responses.count; i++) {
		const struct kafka_fetched_topic *topic = &reader.answer->responses.at[i];

		for (uint32_t j = 0; j < topic->partitions.count; j++) {
			if (topic->partitions.at[j].partition_index == partition)
				return &topic->partitions.at[j];
		}
	}
	return NULL;
}

size_t write_to(int32_t partition, unsigned count)
{
	struct kafka_produce_partition part = {.index = partition};
	struct kafka_produce_topic topic = {.name = SLICE_INIT("t"), .partition_data = {.at = &part, .count = 1}};
	struct kafka_produce_request request = {.acks = -1, .topic_data = {.at = &topic, .count = 1}};
	struct batch_record records[16];

	assert_true(count <= 16);
	for (unsigned i = 0; i < count; i++)
		records[i] = (struct batch_record){.value = SLICE("a record, and not a very long one")};
	buf_clear(&batch);
	batch_encode(&batch, door.f.now_ms, records, count);
	part.records = buf_slice(&batch);
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_PRODUCE, 9, &request});
	assert_true(send(writer.fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
	writer_hears();
	return batch.len;
}
