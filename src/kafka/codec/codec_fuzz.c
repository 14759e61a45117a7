/* Any bytes read as a request's frame (first byte even) or as an answer (odd; then key and version, a byte each). What can be
 * read, written again and read once more is the same; written with the records left out, it is as long without them. */
#include "kafka/codec/codec_fixture.h"
#include "kafka/codec/codec_priv.h"
#include "kafka/codec/request.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM_BYTES = 1 << 20, GAPS_MAX = 4096 };

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

union message {
	char bytes[512];
	uint64_t align;
};

static void leave_records_out(const struct kafka_table *table, struct kafka_format format, const union message *message,
			      size_t len)
{
	static struct kafka_gap places[GAPS_MAX];
	struct kafka_gaps gaps = {places, 0, GAPS_MAX};
	struct buf out = {0};

	kafka_encode(table, format, message, &out, &gaps);
	if (!out.failed) {
		size_t at = 0;

		for (size_t i = 0; i < gaps.count; i++) {
			MUST(places[i].at >= at && places[i].at <= out.len && places[i].records_len > 0);
			at = places[i].at;
			len -= places[i].records_len;
		}
		MUST(out.len == len);
	}
	MUST(!out.failed || gaps.count == GAPS_MAX);
	buf_deinit(&out);
}

static void look(const struct kafka_table *table, struct kafka_format format, struct slice bytes)
{
	struct arena arena = {0};
	struct kafka_room room = {&arena, ROOM_BYTES}, more = {&arena, ROOM_BYTES};
	union message first, second;
	struct buf out = {0};

	MUST(table->size_bytes <= sizeof(first));
	if (kafka_decode(table, format, bytes, &room, &first) == 0) {
		kafka_encode(table, format, &first, &out, NULL);
		MUST(!out.failed);
		MUST(kafka_decode(table, format, buf_slice(&out), &more, &second) == 0);
		MUST(codec_same(table, &first, &second));
		leave_records_out(table, format, &first, out.len);
	}
	buf_deinit(&out);
	arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kafka_request request;

	if (size < 1)
		return 0;
	if (data[0] % 2 == 0) {
		if (kafka_request_open(slice_from(data + 1, size - 1), KAFKA_OFFER_ALL, &request) == 0)
			look(request.api->request, request.format, request.message);
	} else if (size >= 3) {
		const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, data[1]);

		if (api && data[2] >= api->first && data[2] <= api->last[KAFKA_OFFER_ALL])
			look(api->response, kafka_api_format(api, data[2]), slice_from(data + 3, size - 3));
	}
	return 0;
}
