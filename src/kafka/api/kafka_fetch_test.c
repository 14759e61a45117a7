/* Fetch as the long poll it is: what is asked of the sequencer for a wait, what a parked call keeps, and what is answered. */
#include "base/mem.h"
#include "base/testing.h"
#include "kafka/api/fetch_priv.h"
#include "kafka/api/kafka_door_fixture.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_topic.h"
#include "stream/batch.h"

#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNS_MAX = 200000, PARTITIONS = 40 };

/* A client, and the answer it had last. */
struct talk {
	int fd;
	struct buf in;
	struct arena arena;
	struct kafka_fetch_response *answer;
};

static struct talk reader, writer;
static struct buf bytes, batch;
static int16_t fetch_version = 12;

static int setup(void **state)
{
	(void)state;
	door_init();
	return 0;
}

static void begin(void)
{
	static struct kafka_new_topic topic = {.name = SLICE_INIT("t"), .num_partitions = PARTITIONS, .replication_factor = 1};
	static const struct kafka_create_topics_request make = {.topics = {.at = &topic, .count = 1}};
	size_t had;

	door_begin();
	reader.fd = door_connect();
	writer.fd = door_connect();
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_CREATE_TOPICS, 5, &make});
	assert_true(send(writer.fd, bytes.ptr, bytes.len, 0) > 0);
	for (had = door.commands; door.commands == had;)
		door_turn();
	door_turn();
}

static int teardown(void **state)
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

static struct kafka_fetch_partition asked[PARTITIONS];
static struct kafka_fetch_topic asked_topic = {.topic = SLICE_INIT("t"), .partitions = {.at = asked, .count = PARTITIONS}};

/* Of all partitions, at their beginning. */
static struct kafka_fetch_request all(int32_t wait_ms, int32_t min_bytes)
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

static void ask(const struct kafka_fetch_request *request)
{
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_FETCH, fetch_version, request});
	assert_true(send(reader.fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
}

static void until_parked(void)
{
	for (int turns = 0; !door_stats().parked; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
}

/* The next answer to the reader. */
static const struct kafka_fetch_response *hear(void)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_FETCH);
	struct kafka_room room = {&reader.arena, SIZE_MAX};
	size_t len = 0;

	arena_deinit(&reader.arena);
	buf_clear(&reader.in);
	for (int turns = 0; reader.in.len < 4 || reader.in.len < len; turns++) {
		char *at = buf_reserve(&reader.in, 1 << 16);
		ssize_t got;

		assert_true(turns < TURNS_MAX && at);
		door_turn();
		got = recv(reader.fd, at, 1 << 16, 0);
		reader.in.len += got > 0 ? (size_t)got : 0;
		len = reader.in.len < 4 ? 0 : 4 + __builtin_bswap32(wire_load_u32(reader.in.ptr));
	}
	assert_true(reader.in.len == len);
	reader.answer = arena_alloc(&reader.arena, sizeof(*reader.answer));
	/* Behind the size there is a header of 4 bytes and no tags. */
	assert_int_equal(kafka_decode(api->response, kafka_api_format(api, fetch_version), slice_from(reader.in.ptr + 9, len - 9),
				      &room, reader.answer),
			 0);
	return reader.answer;
}

static const struct kafka_fetched_partition *heard(int32_t partition)
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

/* One batch of so many records; returns its length. */
static size_t write_to(int32_t partition, unsigned count)
{
	struct kafka_produce_partition part = {.index = partition};
	struct kafka_produce_topic topic = {.name = SLICE_INIT("t"), .partition_data = {.at = &part, .count = 1}};
	struct kafka_produce_request request = {.acks = -1, .topic_data = {.at = &topic, .count = 1}};
	struct batch_record records[16];
	char answer[256];

	assert_true(count <= 16);
	for (unsigned i = 0; i < count; i++)
		records[i] = (struct batch_record){.value = SLICE("a record, and not a very long one")};
	buf_clear(&batch);
	batch_encode(&batch, door.f.now_ms, records, count);
	part.records = buf_slice(&batch);
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_PRODUCE, 9, &request});
	assert_true(send(writer.fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
	for (int turns = 0; recv(writer.fd, answer, sizeof(answer), 0) <= 0; turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	return batch.len;
}

/* --- waiting --- */

static void an_append_costs_a_waiter_no_question(void **state)
{
	struct kafka_fetch_request request = all(60000, 10000);
	uint64_t before;
	size_t size = 0;

	(void)state;
	begin();
	ask(&request);
	until_parked();
	assert_true(door.thread->hung_spots == PARTITIONS);
	for (unsigned i = 0; size < 8000; i++) {
		before = door.commands;
		size += write_to((int32_t)(i % PARTITIONS), 1);
		door_turn();
		assert_true(door.commands == before + 1 && door_stats().parked == 1); /* the writer's */
	}
	before = door.commands;
	while (size < 10000)
		size += write_to(3, 1);
	hear();
	assert_true(size < 10200 && reader.answer->error_code == 0);
	assert_true(heard(3)->records.len && heard(3)->high_watermark > 0 && heard(PARTITIONS - 1)->error_code == 0);
}

static uint64_t growths(void)
{
	struct sequencer_stats stats;

	sequencer_stats(door.f.s, &stats);
	return stats.wakes_total;
}

static void nobody_there_and_no_more_growths_come(void **state)
{
	struct kafka_fetch_request request = all(60000, 1);
	uint64_t wakes;

	(void)state;
	begin();
	ask(&request);
	until_parked();
	write_to(0, 1);
	hear();
	assert_true(door.thread->hung_spots == 0);
	wakes = growths();
	for (int i = 0; i < 5; i++)
		write_to(1, 1);
	door_turn();
	assert_true(growths() == wakes + 1);
}

static void a_parked_fetch_is_small(void **state)
{
	struct kafka_fetch_request request = all(60000, 1);
	struct mallinfo2 before, after;
	int clients[32];
	size_t each;

	(void)state;
	begin();
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		clients[i] = door_connect();
	asked_topic.partitions.count = 1;
	buf_clear(&bytes);
	request_put(&bytes, &(struct request){KAFKA_FETCH, fetch_version, &request});
	for (int i = 0; i < 3; i++)
		door_turn();
	before = mallinfo2();
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		assert_true(send(clients[i], bytes.ptr, bytes.len, 0) > 0);
	for (int turns = 0; door_stats().parked < ARRAY_COUNT(clients); turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / ARRAY_COUNT(clients);
	/* The first spots' and the board's memory comes in one piece; sanitizers' allocators tell nothing. */
	assert_true(each < 768 + (64 * 1024 + 4096) / ARRAY_COUNT(clients));
	assert_true(sizeof(struct kafka_call) + sizeof(struct fetch_set) + sizeof(struct fetch_topic) <= 512);
	assert_true(sizeof(struct fetch_spot) <= 96);
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		close(clients[i]);
}

static void too_many_partitions_wait_and_are_looked_at_in_the_end(void **state)
{
	struct kafka_fetch_request request = all(200, 1);

	(void)state;
	door.config.limits.wait_items = 3;
	begin();
	ask(&request);
	until_parked();
	assert_true(door.thread->hung_spots == 3);
	write_to(PARTITIONS - 1, 1);
	assert_true(door_stats().parked == 1);
	hear();
	assert_true(heard(PARTITIONS - 1)->records.len > 0);
}

/* --- how much --- */

static void batches_come_whole_and_within_the_limits(void **state)
{
	struct kafka_fetch_request request = all(0, 0);
	size_t size;

	(void)state;
	begin();
	size = write_to(0, 2);
	for (int i = 0; i < 5; i++)
		write_to(0, 2);
	write_to(1, 2);
	/* Two of them and a part of the third. */
	asked[0].partition_max_bytes = (int32_t)(2 * size + size / 2);
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == 2 * size && heard(1)->records.len == size);
	/* The first one comes, however long it is; those of others do not. */
	asked[0].partition_max_bytes = asked[1].partition_max_bytes = 1;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0 && heard(1)->records.ptr);
	assert_true(heard(1)->high_watermark == 2);
	/* So it is with the whole answer: the partitions in the order of the request. */
	asked[0].partition_max_bytes = asked[1].partition_max_bytes = 1 << 20;
	request.max_bytes = (int32_t)(size + 1);
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0);
	asked[0].fetch_offset = 12;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == 0 && heard(1)->records.len == size);
	/* In the middle of a batch: all of it. */
	asked[0].fetch_offset = 11;
	request.max_bytes = 1;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0);
}

/* --- sessions --- */

/* Of the partitions from the `from`-th on, `count` of them, in the session at that epoch. */
static struct kafka_fetch_request on(int32_t session, int32_t epoch, uint32_t from, uint32_t count)
{
	struct kafka_fetch_request request = all(60000, 1);

	request.session_id = session;
	request.session_epoch = epoch;
	asked_topic.partitions.at = asked + from;
	asked_topic.partitions.count = count;
	request.topics.count = count ? 1 : 0;
	return request;
}

static uint32_t told_count(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < reader.answer->responses.count; i++)
		count += reader.answer->responses.at[i].partitions.count;
	return count;
}

/* Of all partitions, which are answered at once. */
static int32_t open_session(uint32_t count)
{
	struct kafka_fetch_request request = on(0, 0, 0, count);

	request.max_wait_ms = 0;
	ask(&request);
	hear();
	assert_true(reader.answer->error_code == 0 && told_count() == count);
	return reader.answer->session_id;
}

static void a_session_is_asked_and_told_only_what_is_new(void **state)
{
	struct kafka_fetch_request request;
	uint64_t before;
	int32_t id;

	(void)state;
	begin();
	id = open_session(PARTITIONS);
	assert_true(id > 0 && door_stats().sessions == 1 && door_stats().session_partitions == PARTITIONS);
	/* Nothing is new: nobody is asked. */
	before = door.commands;
	request = on(id, 1, 0, 0);
	ask(&request);
	until_parked();
	assert_true(door.commands == before);
	write_to(5, 1);
	hear();
	assert_true(reader.answer->session_id == id && told_count() == 1 && heard(5)->records.len > 0);
	assert_true(heard(5)->high_watermark == 1);
	/* It comes again until its offset moves on. */
	request = on(id, 2, 0, 0);
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(5)->records.len > 0);
	request = on(id, 3, 5, 1);
	asked[5].fetch_offset = 1;
	ask(&request);
	until_parked();
	/* What came between two polls is there at once. */
	request = on(id, 4, 0, 0);
	ask(&request); /* ends the one before */
	hear();
	assert_true(told_count() == 0 && reader.answer->error_code == 0);
	until_parked();
	write_to(6, 1);
	hear();
	assert_true(told_count() == 1 && heard(6));
	write_to(7, 1);
	request = on(id, 5, 6, 1);
	asked[6].fetch_offset = 1;
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(7)->records.len > 0);
}

static void a_session_forgets_and_learns(void **state)
{
	int32_t gone[] = {0, 1, 39};
	struct kafka_forgotten_topic forgotten = {.topic = SLICE_INIT("t"), .partitions = {.at = gone, .count = 3}};
	struct kafka_fetch_request request;
	int32_t id;

	(void)state;
	begin();
	id = open_session(PARTITIONS);
	request = on(id, 1, 0, 0);
	request.forgotten_topics_data.at = &forgotten;
	request.forgotten_topics_data.count = 1;
	ask(&request);
	until_parked();
	assert_true(door_stats().session_partitions == PARTITIONS - 3);
	write_to(1, 1);
	write_to(39, 1);
	write_to(2, 1);
	hear();
	assert_true(told_count() == 1 && heard(2));
	request = on(id, 2, 1, 2);
	asked[2].fetch_offset = 1;
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(1)->records.len > 0);
	assert_true(door_stats().session_partitions == PARTITIONS - 2);
	/* A new one in error is told at once, again and again; then it is put right. */
	asked[0].fetch_offset = 7;
	for (int32_t epoch = 3; epoch < 5; epoch++) {
		request = on(id, epoch, 0, 2);
		asked[0].fetch_offset = 7;
		asked[1].fetch_offset = 1;
		ask(&request);
		hear();
		assert_true(told_count() == 1 && heard(0)->error_code == KAFKA_OFFSET_OUT_OF_RANGE);
	}
	request = on(id, 5, 0, 1);
	ask(&request);
	until_parked();
}

static void a_sessions_partitions_take_turns(void **state)
{
	struct kafka_fetch_request request;
	unsigned seen = 0;
	size_t size;
	int32_t id;

	(void)state;
	begin();
	id = open_session(3);
	for (int32_t i = 0; i < 3; i++)
		size = write_to(i, 1);
	for (int32_t epoch = 1; epoch <= 3; epoch++) {
		request = on(id, epoch, 0, 0);
		request.max_bytes = (int32_t)size;
		ask(&request);
		hear();
		for (int32_t i = 0; i < 3; i++)
			seen |= heard(i) && heard(i)->records.len ? 1u << i : 0;
	}
	assert_int_equal(seen, 7);
}

static int16_t error_of(int32_t session, int32_t epoch)
{
	struct kafka_fetch_request request = on(session, epoch, 0, 1);

	request.max_wait_ms = 0;
	ask(&request);
	return hear()->error_code;
}

static void what_is_wrong_with_a_session(void **state)
{
	int32_t id, other;

	(void)state;
	begin();
	assert_int_equal(error_of(0, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(77, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	id = open_session(1);
	assert_int_equal(error_of(id, 2), KAFKA_INVALID_FETCH_SESSION_EPOCH);
	assert_true(reader.answer->session_id == 0 && told_count() == 0);
	assert_int_equal(error_of(id, 1), KAFKA_NONE);
	assert_int_equal(error_of(id + 1, 2), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(id, 2), KAFKA_NONE);
	fetch_version = 13;
	assert_int_equal(error_of(id, 3), KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);
	fetch_version = 12;
	/* A new one ends the one before; without a session none is ended, unless it is named. */
	other = open_session(2);
	assert_true(other != id && door_stats().sessions == 1 && door_stats().session_partitions == 2);
	assert_int_equal(error_of(id, 3), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(0, -1), KAFKA_NONE);
	assert_true(door_stats().sessions == 1);
	assert_int_equal(error_of(other, -1), KAFKA_NONE);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
	assert_int_equal(error_of(other, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
}

static void there_are_so_many_sessions_and_partitions_in_them(void **state)
{
	struct kafka_fetch_request request;
	int32_t id;
	int first;

	(void)state;
	door.config.limits.sessions = 1;
	door.config.limits.session_partitions = 10;
	begin();
	assert_int_equal(open_session(11), 0);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
	id = open_session(8);
	assert_true(id > 0);
	first = reader.fd;
	reader.fd = door_connect();
	assert_int_equal(open_session(1), 0);
	close(reader.fd);
	reader.fd = first;
	request = on(id, 1, 8, 3);
	ask(&request);
	assert_int_equal(hear()->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_append_costs_a_waiter_no_question),
		TEST(nobody_there_and_no_more_growths_come),
		TEST(a_parked_fetch_is_small),
		TEST(too_many_partitions_wait_and_are_looked_at_in_the_end),
		TEST(batches_come_whole_and_within_the_limits),
		TEST(a_session_is_asked_and_told_only_what_is_new),
		TEST(a_session_forgets_and_learns),
		TEST(a_sessions_partitions_take_turns),
		TEST(what_is_wrong_with_a_session),
		TEST(there_are_so_many_sessions_and_partitions_in_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
