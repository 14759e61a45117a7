/* Frames that real clients and servers sent (test/vectors/kafka/frames.txt): each is read, and written again it is the same, byte
 * for byte. */
#include "base/testing.h"
#include "kafka/codec/messages_header.h"
#include "kafka/codec/request.h"
#include "kafka/codec/tables_priv.h"

enum { PLENTY_BYTES = 1 << 20 };

union message {
	char bytes[512];
	uint64_t align;
};

static size_t unhex(const char *hex, char *to)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		to[i] = (char)byte;
	}
	return len;
}

static void request_holds(struct slice frame, struct buf *out)
{
	struct arena arena = {0};
	struct kafka_room room = {&arena, PLENTY_BYTES};
	struct kafka_request request;
	struct kafka_request_header header;
	union message message;

	assert_int_equal(kafka_request_open(frame, KAFKA_OFFER_ALL, &request), 0);
	assert_int_equal(kafka_request_decode(&request, &room, &message), 0);
	header = (struct kafka_request_header){request.api->key, request.format.version, request.correlation_id,
					       request.client_id};
	kafka_encode(&kafka_request_header_table, (struct kafka_format){request.format.flexible ? 2 : 1, request.format.flexible},
		     &header, out, NULL);
	kafka_encode(request.api->request, request.format, &message, out, NULL);
	arena_deinit(&arena);
}

static void response_holds(const struct kafka_api *api, int16_t version, struct slice frame, struct buf *out)
{
	struct kafka_request request = {.api = api, .format = kafka_api_format(api, version)};
	size_t header_len = request.format.flexible && api->key != KAFKA_API_VERSIONS ? 5 : 4;
	struct slice body = {frame.ptr + header_len, frame.len - header_len};
	struct arena arena = {0};
	struct kafka_room room = {&arena, PLENTY_BYTES};
	union message message;

	assert_true(frame.len > header_len);
	for (size_t i = 0; i < 4; i++)
		request.correlation_id = (int32_t)((uint32_t)request.correlation_id << 8 | (uint8_t)frame.ptr[i]);
	assert_int_equal(kafka_decode(api->response, request.format, body, &room, &message), 0);
	kafka_response_encode(&request, &message, out, NULL);
	buf_consume(out, KAFKA_SIZE_BYTES);
	arena_deinit(&arena);
}

static void frame_holds(const char *what, const struct kafka_api *api, int16_t version, struct slice frame)
{
	struct buf out = {0};

	if (strcmp(what, "request") == 0)
		request_holds(frame, &out);
	else
		response_holds(api, version, frame, &out);
	assert_false(out.failed);
	if (!slice_eq(buf_slice(&out), frame))
		fail_msg("%s %s %d is not the same when written again", what, api->name, version);
	buf_deinit(&out);
}

static void test_frames(void **state)
{
	FILE *file = fopen("test/vectors/kafka/frames.txt", "r");
	char *line = NULL, what[16];
	size_t room = 0, frames = 0, frame_bytes;
	int key, version, at;

	(void)state;
	assert_non_null(file);
	while (getline(&line, &room, file) >= 0) {
		struct slice frame;
		char *bytes;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		assert_int_equal(sscanf(line, "%15s %d %d %n", what, &key, &version, &at), 3);
		line[strcspn(line, "\n")] = '\0';
		bytes = malloc(strlen(line + at));
		assert_non_null(bytes);
		frame = slice_from(bytes + KAFKA_SIZE_BYTES, unhex(line + at, bytes) - KAFKA_SIZE_BYTES);
		assert_int_equal(kafka_frame_size(bytes, KAFKA_FRAME_EARLY_MAX_BYTES, &frame_bytes), 0);
		assert_int_equal(frame_bytes, frame.len);
		assert_non_null(kafka_api_find(KAFKA_OFFER_ALL, key));
		frame_holds(what, kafka_api_find(KAFKA_OFFER_ALL, key), (int16_t)version, frame);
		free(bytes);
		frames++;
	}
	free(line);
	fclose(file);
	print_message("frames: %zu\n", frames);
	assert_true(frames > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
