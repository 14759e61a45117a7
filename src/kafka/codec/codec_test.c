/* Every message in every version that is offered: there and back, cut off anywhere, with lies in the place of lengths, in too
 * little memory. Bytes to be read lie in memory of exactly their length, so that a sanitizer sees a step too far. */
#include "base/mem.h"
#include "base/testing.h"
#include "kafka/codec/bytes.h"
#include "kafka/codec/codec_fixture.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_consumer.h"
#include "kafka/codec/messages_group.h"
#include "kafka/codec/messages_records.h"

#include <errno.h>

enum { ROUNDS = 8, PLENTY_BYTES = 1 << 22 };

struct world {
	struct test_random random;
};

static uint64_t draw(void *context)
{
	return test_random_u64(context);
}

/* Big enough for any message. */
union message {
	char bytes[512];
	uint64_t align;
};

static struct slice copy_of(struct slice bytes)
{
	char *copy = malloc(bytes.len ? bytes.len : 1);

	assert_non_null(copy);
	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return slice_from(copy, bytes.len);
}

static void drop(struct slice copy)
{
	free((void *)(uintptr_t)copy.ptr);
}

static void draw_encoded(struct world *world, const struct kafka_table *table, struct kafka_format format, struct buf *out)
{
	struct arena arena = {0};
	struct codec_random random = {draw, &world->random, &arena};
	union message message;

	assert_true(table->size_bytes <= sizeof(message));
	codec_fill(&random, table, format, &message);
	kafka_encode(table, format, &message, out, NULL);
	assert_false(out->failed);
	arena_deinit(&arena);
}

/* Reads a copy and drops all again. */
static int decode_only(const struct kafka_table *table, struct kafka_format format, struct slice bytes, size_t room_bytes)
{
	struct slice copy = copy_of(bytes);
	struct arena arena = {0};
	struct kafka_room room = {&arena, room_bytes};
	union message message;
	int r = kafka_decode(table, format, copy, &room, &message);

	arena_deinit(&arena);
	drop(copy);
	return r;
}

static void there_and_back(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format,
			   void *context)
{
	struct world *world = context;

	(void)api;
	for (int round = 0; round < ROUNDS; round++) {
		struct arena arena = {0};
		struct codec_random random = {draw, &world->random, &arena};
		struct kafka_room room = {&arena, PLENTY_BYTES};
		struct buf first = {0}, second = {0};
		union message sent, came;
		struct slice copy;

		codec_fill(&random, table, format, &sent);
		kafka_encode(table, format, &sent, &first, NULL);
		assert_false(first.failed);
		copy = copy_of(buf_slice(&first));
		if (kafka_decode(table, format, copy, &room, &came))
			fail_msg("%s version %d cannot be read", table->name, format.version);
		if (!codec_same(table, &sent, &came))
			fail_msg("%s version %d came back otherwise", table->name, format.version);
		kafka_encode(table, format, &came, &second, NULL);
		assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
		drop(copy);
		buf_deinit(&first);
		buf_deinit(&second);
		arena_deinit(&arena);
	}
}

static void test_there_and_back(void **state)
{
	struct world world = {test_random_start(__func__)};

	(void)state;
	codec_for_all(there_and_back, &world);
}

static void cut_off(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format, void *context)
{
	struct buf out = {0};

	(void)api;
	draw_encoded(context, table, format, &out);
	for (size_t len = 0; len < out.len; len++)
		assert_int_equal(decode_only(table, format, slice_from(out.ptr, len), PLENTY_BYTES), -EBADMSG);
	assert_int_equal(decode_only(table, format, buf_slice(&out), PLENTY_BYTES), 0);
	buf_append_char(&out, '\0');
	assert_int_equal(decode_only(table, format, buf_slice(&out), PLENTY_BYTES), -EBADMSG);
	buf_deinit(&out);
}

static void test_cut_off_anywhere(void **state)
{
	struct world world = {test_random_start(__func__)};

	(void)state;
	codec_for_all(cut_off, &world);
}

/* Whatever stands where a length may stand: no crash, and never more memory than there may be. */
static void lie(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format, void *context)
{
	static const struct slice lies[] = {SLICE_INIT("\x7f\xff\xff\xff"),     SLICE_INIT("\x80\x00\x00\x00"),
					    SLICE_INIT("\xff\xff\xff\xff\x07"), SLICE_INIT("\xff\xff\xff\xff\x0f"),
					    SLICE_INIT("\xff\xff\xff\xff\xff"), SLICE_INIT("\x00\x01\x00\x00")};
	struct buf out = {0};

	(void)api;
	draw_encoded(context, table, format, &out);
	for (size_t at = 0; at < out.len; at++)
		for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
			struct slice copy = copy_of(buf_slice(&out));
			size_t rest = copy.len - at;
			int r;

			memcpy((char *)(uintptr_t)copy.ptr + at, lies[i].ptr, rest < lies[i].len ? rest : lies[i].len);
			r = decode_only(table, format, copy, 4096);
			assert_true(r == 0 || r == -EBADMSG || r == -E2BIG);
			drop(copy);
		}
	buf_deinit(&out);
}

static void test_lies(void **state)
{
	struct world world = {test_random_start(__func__)};

	(void)state;
	codec_for_all(lie, &world);
}

static void too_little_memory(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format,
			      void *context)
{
	struct arena sent_arena = {0};
	struct codec_random random = {draw, &((struct world *)context)->random, &sent_arena};
	union message sent;
	struct buf out = {0};
	uint64_t k;

	(void)api;
	codec_fill(&random, table, format, &sent);
	for (k = 1;; k++) {
		buf_deinit(&out);
		mem_fail_nth(k);
		kafka_encode(table, format, &sent, &out, NULL);
		mem_fail_nth(0);
		if (!out.failed)
			break;
	}
	for (k = 1;; k++) {
		int r;

		mem_fail_nth(k);
		r = decode_only(table, format, buf_slice(&out), PLENTY_BYTES);
		mem_fail_nth(0);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
	}
	buf_deinit(&out);
	arena_deinit(&sent_arena);
}

static void test_too_little_memory(void **state)
{
	struct world world = {test_random_start(__func__)};

	(void)state;
	codec_for_all(too_little_memory, &world);
}

/* 21 elements of two bytes that would be read as structures of some hundred. */
static void test_memory_is_charged(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_LEAVE_GROUP);
	struct kafka_format format = kafka_api_format(api, 3);
	struct kafka_leave_group_request request, came;
	struct kafka_leaving_member members[21] = {0};
	struct arena arena = {0};
	struct kafka_room room = {&arena, sizeof(members)};
	struct buf out = {0};

	(void)state;
	kafka_defaults(api->request, &request);
	request.members.at = members;
	request.members.count = ARRAY_COUNT(members);
	kafka_encode(api->request, format, &request, &out, NULL);
	assert_int_equal(kafka_decode(api->request, format, buf_slice(&out), &room, &came), 0);
	assert_int_equal(room.left_bytes, 0);
	arena_deinit(&arena);
	room.left_bytes = sizeof(members) - 1;
	assert_int_equal(kafka_decode(api->request, format, buf_slice(&out), &room, &came), -E2BIG);
	assert_null(arena.blocks);
	buf_deinit(&out);
}

static int decode_bytes(int key, int16_t version, struct slice bytes)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, key);

	return decode_only(api->request, kafka_api_format(api, version), bytes, PLENTY_BYTES);
}

/* ApiVersions 3 is two compact strings and tagged fields, none of which is known. */
static void test_unknown_tags(void **state)
{
	(void)state;
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x00")), 0);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x02\x05\x03xyz\x80\x01\x00")), 0);
	/* the same tag twice; out of order; the highest number there is; more than there are; longer than there is */
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x02\x05\x01x\x05\x01y")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x02\x05\x01x\x04\x01y")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x01\xff\xff\xff\xff\x0f\x01y")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x02\x05\x01x")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, SLICE("\x01\x01\x01\x05\x02y")), -EBADMSG);
}

/* Fetch 12 begins its tagged fields with the cluster's id, a string; it has to be as long as its field. */
static void test_known_tags(void **state)
{
	static const char head[] = "\xff\xff\xff\xff\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\x04\0\0\0\x05\x01\x01\x01";
	static const struct {
		struct slice tags;
		int result;
	} rows[] = {
		{SLICE_INIT("\x00"), 0},
		{SLICE_INIT("\x01\x00\x02\x02x"), 0},
		{SLICE_INIT("\x01\x00\x01\x00"), 0}, /* null */
		{SLICE_INIT("\x01\x00\x03\x02xy"), -EBADMSG},
		{SLICE_INIT("\x01\x00\x01\x02x"), -EBADMSG},
		{SLICE_INIT("\x01\x00\x00"), -EBADMSG},
		{SLICE_INIT("\x01\x01\x03xyz"), 0}, /* version 15 knows 1, this one not */
	};
	struct buf bytes = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		buf_clear(&bytes);
		buf_append(&bytes, head, sizeof(head) - 1);
		buf_append_slice(&bytes, rows[i].tags);
		assert_int_equal(decode_bytes(KAFKA_FETCH, 12, buf_slice(&bytes)), rows[i].result);
	}
	buf_deinit(&bytes);
}

static void test_null_is_not_empty(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_METADATA);
	struct kafka_metadata_request request;
	struct arena arena = {0};
	struct kafka_room room = {&arena, 0};

	(void)state;
	assert_int_equal(kafka_decode(api->request, kafka_api_format(api, 1), SLICE("\xff\xff\xff\xff"), &room, &request), 0);
	assert_null(request.topics.at);
	assert_true(request.allow_auto_topic_creation);
	assert_int_equal(kafka_decode(api->request, kafka_api_format(api, 1), SLICE("\0\0\0\0"), &room, &request), 0);
	assert_non_null(request.topics.at);
	assert_int_equal(request.topics.count, 0);
	/* version 0 has no null; nothing is shorter than null */
	assert_int_equal(decode_bytes(KAFKA_METADATA, 0, SLICE("\xff\xff\xff\xff")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_METADATA, 1, SLICE("\xff\xff\xff\xfe")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_DESCRIBE_GROUPS, 0, SLICE("\0\0\0\1\xff\xff")), -EBADMSG);
	assert_int_equal(decode_bytes(KAFKA_DESCRIBE_GROUPS, 5, SLICE("\x02\x00\x00\x00")), -EBADMSG);
}

/* A member left zero is empty where the version knows no null: JoinGroup's protocol before version 7. */
static void test_null_where_there_is_none(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_JOIN_GROUP);
	struct kafka_join_group_response response, came;
	struct kafka_room room = {0};

	(void)state;
	for (int16_t version = 0; version <= 9; version++) {
		struct buf out = {0};

		memset(&response, 0, sizeof(response));
		kafka_encode(api->response, kafka_api_format(api, version), &response, &out, NULL);
		assert_int_equal(kafka_decode(api->response, kafka_api_format(api, version), buf_slice(&out), &room, &came), 0);
		assert_true(!came.protocol_name.ptr == (version >= 7));
		assert_non_null(came.leader.ptr);
		buf_deinit(&out);
	}
}

static void test_a_structure_may_be_null(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_CONSUMER_GROUP_HEARTBEAT);
	struct kafka_consumer_assignment assignment = {0};
	struct kafka_consumer_group_heartbeat_response response, came;
	struct arena arena = {0};
	struct kafka_room room = {&arena, PLENTY_BYTES};
	struct buf out = {0};

	(void)state;
	kafka_defaults(api->response, &response);
	kafka_encode(api->response, kafka_api_format(api, 0), &response, &out, NULL);
	assert_int_equal(kafka_decode(api->response, kafka_api_format(api, 0), buf_slice(&out), &room, &came), 0);
	assert_null(came.assignment);
	buf_clear(&out);
	response.assignment = &assignment;
	kafka_encode(api->response, kafka_api_format(api, 0), &response, &out, NULL);
	assert_int_equal(kafka_decode(api->response, kafka_api_format(api, 0), buf_slice(&out), &room, &came), 0);
	assert_non_null(came.assignment);
	assert_int_equal(came.assignment->topic_partitions.count, 0);
	buf_deinit(&out);
	arena_deinit(&arena);
}

static void test_strings_have_an_end(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_API_VERSIONS);
	struct kafka_api_versions_request request = {{NULL, 0}, {NULL, 0}};
	char *name = calloc(1, INT16_MAX + 1);
	struct buf out = {0};

	(void)state;
	assert_non_null(name);
	request.client_software_name = slice_from(name, INT16_MAX);
	kafka_encode(api->request, kafka_api_format(api, 3), &request, &out, NULL);
	assert_false(out.failed);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, buf_slice(&out)), 0);
	request.client_software_name.len++;
	kafka_encode(api->request, kafka_api_format(api, 3), &request, &out, NULL);
	assert_true(out.failed);
	buf_clear(&out);
	kafka_put_uvarint(&out, INT16_MAX + 2);
	buf_append(&out, name, INT16_MAX + 1);
	buf_append(&out, "\x01\x00", 2);
	assert_int_equal(decode_bytes(KAFKA_API_VERSIONS, 3, buf_slice(&out)), -EBADMSG);
	buf_deinit(&out);
	free(name);
}

static void test_records_are_sent_from_where_they_lie(void **state)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, KAFKA_FETCH);
	struct kafka_fetched_partition partitions[3];
	struct kafka_fetched_topic topic = {.partitions = {partitions, ARRAY_COUNT(partitions)}};
	struct kafka_fetch_response response;
	struct kafka_gap places[2];
	struct kafka_gaps gaps = {places, 0, ARRAY_COUNT(places)};
	struct buf whole = {0}, apart = {0}, woven = {0};
	size_t at = 0;

	(void)state;
	kafka_defaults(api->response, &response);
	for (size_t i = 0; i < ARRAY_COUNT(partitions); i++) {
		partitions[i] = (struct kafka_fetched_partition){.records = KAFKA_EMPTY};
		partitions[i].aborted_transactions.at = NULL;
	}
	partitions[0].records = SLICE("what lies there");
	partitions[2].records = SLICE("and there");
	response.responses.at = &topic;
	response.responses.count = 1;
	kafka_encode(api->response, kafka_api_format(api, 12), &response, &whole, NULL);
	kafka_encode(api->response, kafka_api_format(api, 12), &response, &apart, &gaps);
	assert_int_equal(gaps.count, 2);
	for (size_t i = 0; i < gaps.count; i++) {
		buf_append(&woven, apart.ptr + at, places[i].at - at);
		buf_append_slice(&woven, partitions[i * 2].records);
		assert_int_equal(places[i].records_len, partitions[i * 2].records.len);
		at = places[i].at;
	}
	buf_append(&woven, apart.ptr + at, apart.len - at);
	assert_true(slice_eq(buf_slice(&whole), buf_slice(&woven)));

	partitions[1].records = SLICE("one too many");
	gaps.count = 0;
	kafka_encode(api->response, kafka_api_format(api, 12), &response, &apart, &gaps);
	assert_true(apart.failed);
	buf_deinit(&whole);
	buf_deinit(&apart);
	buf_deinit(&woven);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut_off_anywhere),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_too_little_memory),
		cmocka_unit_test(test_memory_is_charged),
		cmocka_unit_test(test_unknown_tags),
		cmocka_unit_test(test_known_tags),
		cmocka_unit_test(test_null_is_not_empty),
		cmocka_unit_test(test_null_where_there_is_none),
		cmocka_unit_test(test_a_structure_may_be_null),
		cmocka_unit_test(test_strings_have_an_end),
		cmocka_unit_test(test_records_are_sent_from_where_they_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
