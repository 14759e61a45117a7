/* Frames, headers, and the answer to ApiVersions that everybody must be able to read. */
#include "base/arena.h"
#include "base/mem.h"
#include "base/testing.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_group.h"
#include "kafka/codec/messages_records.h"
#include "kafka/codec/request.h"

#include <errno.h>

static void expect_bytes(const struct buf *out, struct slice bytes)
{
	assert_int_equal(out->len, bytes.len);
	assert_memory_equal(out->ptr, bytes.ptr, bytes.len);
}

static void test_frame_sizes(void **state)
{
	static const struct {
		char size[KAFKA_SIZE_BYTES];
		int result;
		size_t bytes;
	} rows[] = {
		{{0, 0, 0, 8}, 0, 8},
		{{0, 0, 0, 7}, -EBADMSG, 0},
		{{0, 0, 0, 0}, -EBADMSG, 0},
		{{'\xff', '\xff', '\xff', '\xff'}, -EBADMSG, 0},
		{{'\x80', 0, 0, 0}, -EBADMSG, 0},
		{{0, 1, 0, 0}, 0, 65536},
		{{0, 1, 0, 1}, -E2BIG, 0},
		{{'\x7f', '\xff', '\xff', '\xff'}, -E2BIG, 0},
		{{'G', 'E', 'T', ' '}, -E2BIG, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		size_t bytes = 0;

		assert_int_equal(kafka_frame_size(rows[i].size, KAFKA_FRAME_EARLY_MAX_BYTES, &bytes), rows[i].result);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

static void test_headers(void **state)
{
	struct kafka_request request;

	(void)state;
	/* Heartbeat 3: header 1 */
	assert_int_equal(kafka_request_open(SLICE("\0\x0c\0\3\0\0\0\7\0\2me!"), KAFKA_OFFER_CLASSIC, &request), 0);
	assert_int_equal(request.api->key, KAFKA_HEARTBEAT);
	assert_int_equal(request.format.version, 3);
	assert_false(request.format.flexible);
	assert_int_equal(request.correlation_id, 7);
	assert_true(slice_eq(request.client_id, SLICE("me")));
	assert_true(slice_eq(request.message, SLICE("!")));
	/* no client id; an empty one */
	assert_int_equal(kafka_request_open(SLICE("\0\x0c\0\3\0\0\0\7\xff\xff"), KAFKA_OFFER_CLASSIC, &request), 0);
	assert_null(request.client_id.ptr);
	assert_int_equal(request.message.len, 0);
	assert_int_equal(kafka_request_open(SLICE("\0\x0c\0\3\0\0\0\7\0\0"), KAFKA_OFFER_CLASSIC, &request), 0);
	assert_non_null(request.client_id.ptr);
	/* Heartbeat 4: header 2, where the client id is written as ever and tagged fields follow */
	assert_int_equal(kafka_request_open(SLICE("\0\x0c\0\4\xff\xff\xff\xff\0\2me\1\7\1x!"), KAFKA_OFFER_CLASSIC, &request), 0);
	assert_true(request.format.flexible);
	assert_int_equal(request.correlation_id, -1);
	assert_true(slice_eq(request.client_id, SLICE("me")));
	assert_true(slice_eq(request.message, SLICE("!")));
}

static void test_what_closes_the_connection(void **state)
{
	static const struct {
		struct slice frame;
		int result;
	} rows[] = {
		{SLICE_INIT(""), -EBADMSG},
		{SLICE_INIT("\0\x0c\0\3\0\0\0"), -EBADMSG},
		{SLICE_INIT("\0\x0c\0\3\0\0\0\7"), -EBADMSG},           /* where is the client id? */
		{SLICE_INIT("\0\x0c\0\3\0\0\0\7\0\3me"), -EBADMSG},     /* cut off */
		{SLICE_INIT("\0\x0c\0\3\0\0\0\7\xff\xfe"), -EBADMSG},   /* a length below null */
		{SLICE_INIT("\0\x0c\0\4\0\0\0\7\0\2me"), -EBADMSG},     /* where are the tags? */
		{SLICE_INIT("\0\x0c\0\5\0\0\0\7\xff\xff\0"), -ENOTSUP}, /* Heartbeat 5 */
		{SLICE_INIT("\0\x0c\xff\xff\0\0\0\7\xff\xff"), -ENOTSUP},
		{SLICE_INIT("\0\1\0\3\0\0\0\7\xff\xff"), -ENOTSUP},   /* Fetch 3 */
		{SLICE_INIT("\0\4\0\0\0\0\0\7\xff\xff"), -ENOTSUP},   /* LeaderAndIsr */
		{SLICE_INIT("\0\x44\0\0\0\0\0\7\xff\xff"), -ENOTSUP}, /* ConsumerGroupHeartbeat */
		{SLICE_INIT("\xff\xff\0\0\0\0\0\7\xff\xff"), -ENOTSUP},
		{SLICE_INIT("\x7f\xff\0\0\0\0\0\7\xff\xff"), -ENOTSUP},
	};
	struct kafka_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		assert_int_equal(kafka_request_open(rows[i].frame, KAFKA_OFFER_CLASSIC, &request), rows[i].result);
	assert_int_equal(kafka_request_open(rows[10].frame, KAFKA_OFFER_ALL, &request),
			 -EBADMSG); /* flexible: tags are missing */
}

static void test_bytes_behind_a_message(void **state)
{
	/* Metadata 12 as librdkafka 2.15 asks for all topics: their number takes four bytes in place of one. */
	static const struct slice frame = SLICE_INIT("\0\3\0\x0c\0\0\0\3\0\2me\0\0\0\0\0\1\0\0");
	struct arena arena = {0};
	struct kafka_room room = {&arena, 4096};
	struct kafka_request request;
	struct kafka_metadata_request message;

	(void)state;
	assert_int_equal(kafka_request_open(frame, KAFKA_OFFER_ALL, &request), 0);
	assert_int_equal(kafka_request_decode(&request, &room, &message), 0);
	assert_null(message.topics.at);
	assert_false(message.allow_auto_topic_creation);
	request.message.len = 1;
	assert_int_equal(kafka_request_decode(&request, &room, &message), -EBADMSG);
	arena_deinit(&arena);
}

/* KIP-511: a client that is newer than we are asks in its own version and can read version 0. */
static void test_an_unknown_version_of_api_versions(void **state)
{
	static const struct slice frames[] = {
		SLICE_INIT("\0\x12\0\4\0\0\0\7\0\2me\0\5what\1\0"),
		SLICE_INIT("\0\x12\x7f\xff\0\0\0\7and nobody knows what"),
		SLICE_INIT("\0\x12\xff\xff\0\0\0\7"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
		struct kafka_request request;
		struct buf out = {0};

		assert_int_equal(kafka_request_open(frames[i], KAFKA_OFFER_CLASSIC, &request), KAFKA_REQUEST_REFUSE);
		kafka_refusal_encode(&request, KAFKA_OFFER_CLASSIC, &out);
		expect_bytes(&out, SLICE("\0\0\0\x10\0\0\0\7\0\x23\0\0\0\1\0\x12\0\0\0\3"));
		buf_deinit(&out);
	}
}

static void answer(struct slice frame, const void *response, struct slice bytes)
{
	struct kafka_request request;
	struct buf out = {0};

	assert_int_equal(kafka_request_open(frame, KAFKA_OFFER_CLASSIC, &request), 0);
	kafka_response_encode(&request, response, &out, NULL);
	expect_bytes(&out, bytes);
	buf_deinit(&out);
}

static void test_answers(void **state)
{
	struct kafka_heartbeat_response beat = {.throttle_time_ms = 1, .error_code = 27};
	struct kafka_api_version version = {18, 0, 3};
	struct kafka_api_versions_response versions = {.api_keys = {&version, 1}, .finalized_features_epoch = -1};

	(void)state;
	answer(SLICE("\0\x0c\0\0\0\0\0\7\xff\xff"), &beat, SLICE("\0\0\0\6\0\0\0\7\0\x1b"));
	answer(SLICE("\0\x0c\0\1\0\0\0\7\xff\xff"), &beat, SLICE("\0\0\0\x0a\0\0\0\7\0\0\0\1\0\x1b"));
	answer(SLICE("\0\x0c\0\4\0\0\0\7\xff\xff\0"), &beat, SLICE("\0\0\0\x0c\0\0\0\7\0\0\0\0\1\0\x1b\0"));
	/* ApiVersions: no tags in the header, in no version */
	answer(SLICE("\0\x12\0\3\0\0\0\7\xff\xff\0\1\1\0"), &versions,
	       SLICE("\0\0\0\x13\0\0\0\7\0\0\2\0\x12\0\0\0\3\0\0\0\0\0\0"));
}

static void test_the_size_counts_what_is_sent_from_elsewhere(void **state)
{
	struct kafka_fetched_partition partition = {.records = SLICE_INIT("0123456789")};
	struct kafka_fetched_topic topic = {.partitions = {&partition, 1}};
	struct kafka_fetch_response response = {.responses = {&topic, 1}};
	struct kafka_gap place;
	struct kafka_gaps gaps = {&place, 0, 1};
	struct kafka_request request;
	struct buf whole = {0}, apart = {0};

	(void)state;
	assert_int_equal(kafka_request_open(SLICE("\0\1\0\4\0\0\0\7\xff\xff"), KAFKA_OFFER_CLASSIC, &request), 0);
	buf_append(&whole, "before", 6);
	buf_append(&apart, "before", 6);
	kafka_response_encode(&request, &response, &whole, NULL);
	kafka_response_encode(&request, &response, &apart, &gaps);
	assert_int_equal(gaps.count, 1);
	assert_int_equal(place.at, apart.len);
	assert_int_equal(whole.len, apart.len + 10);
	assert_memory_equal(whole.ptr, apart.ptr, apart.len);

	/* more than a frame can be */
	partition.records.len = INT32_MAX;
	gaps.count = 0;
	kafka_response_encode(&request, &response, &apart, &gaps);
	assert_true(apart.failed);
	buf_deinit(&whole);
	buf_deinit(&apart);
}

static void test_too_little_memory(void **state)
{
	struct kafka_heartbeat_response beat = {0};
	struct kafka_request request;
	struct buf out = {0};

	(void)state;
	assert_int_equal(kafka_request_open(SLICE("\0\x0c\0\0\0\0\0\7\xff\xff"), KAFKA_OFFER_CLASSIC, &request), 0);
	mem_fail_nth(1);
	kafka_response_encode(&request, &beat, &out, NULL);
	mem_fail_nth(0);
	assert_true(out.failed);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_sizes),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_what_closes_the_connection),
		cmocka_unit_test(test_bytes_behind_a_message),
		cmocka_unit_test(test_an_unknown_version_of_api_versions),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_the_size_counts_what_is_sent_from_elsewhere),
		cmocka_unit_test(test_too_little_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
