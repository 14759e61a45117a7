#include "kafka/codec/request.h"

#include "kafka/codec/bytes.h"
#include "kafka/codec/codec_priv.h"
#include "kafka/codec/messages_cluster.h"
#include "kafka/codec/messages_header.h"
#include "kafka/codec/tables_priv.h"

#include <errno.h>

enum { FRAME_LEAST_BYTES = 8 }; /* key, version, correlation id */

int kafka_frame_size(const char size[KAFKA_SIZE_BYTES], size_t max_bytes, size_t *ret_bytes)
{
	struct wire_reader r = wire_reader_of(slice_from(size, KAFKA_SIZE_BYTES));
	int32_t bytes = (int32_t)kafka_get_u32(&r);

	if (bytes < FRAME_LEAST_BYTES)
		return -EBADMSG;
	if ((size_t)bytes > max_bytes)
		return -E2BIG;
	*ret_bytes = (size_t)bytes;
	return 0;
}

int kafka_request_open(struct slice frame, enum kafka_offer offer, struct kafka_request *ret_request)
{
	struct wire_reader r = wire_reader_of(frame);
	int16_t key = (int16_t)kafka_get_u16(&r);
	int16_t version = (int16_t)kafka_get_u16(&r);
	int32_t correlation_id = (int32_t)kafka_get_u32(&r);
	const struct kafka_api *api = kafka_api_find(offer, key);
	struct kafka_room none = {0};
	struct kafka_request_header header;
	struct kafka_format format;
	int err;

	if (r.failed)
		return -EBADMSG;
	if (!api)
		return -ENOTSUP;
	if (version < api->first || version > api->last[offer]) {
		if (key != KAFKA_API_VERSIONS)
			return -ENOTSUP;
		*ret_request = (struct kafka_request){.api = api, .correlation_id = correlation_id};
		return KAFKA_REQUEST_REFUSE;
	}
	format = kafka_api_format(api, version);
	err = kafka_decode_front(&kafka_request_header_table, (struct kafka_format){format.flexible ? 2 : 1, format.flexible},
				 &frame, &none, &header);
	if (err)
		return err;
	*ret_request = (struct kafka_request){api, format, header.correlation_id, header.client_id, frame};
	return 0;
}

int kafka_request_decode(const struct kafka_request *request, struct kafka_room *room, void *ret_message)
{
	struct slice message = request->message;

	return kafka_decode_front(request->api->request, request->format, &message, room, ret_message);
}

void kafka_response_encode(const struct kafka_request *request, const void *response, struct buf *out, struct kafka_gaps *gaps)
{
	bool flexible = request->format.flexible && request->api->key != KAFKA_API_VERSIONS;
	struct kafka_response_header header = {request->correlation_id};
	size_t start = out->len, gap = gaps ? gaps->count : 0;
	uint64_t size;

	kafka_put_u32(out, 0);
	kafka_encode(&kafka_response_header_table, (struct kafka_format){flexible, flexible}, &header, out, NULL);
	kafka_encode(request->api->response, request->format, response, out, gaps);
	if (out->failed)
		return;
	size = out->len - start - KAFKA_SIZE_BYTES;
	for (; gaps && gap < gaps->count; gap++)
		size += gaps->at[gap].records_len;
	if (size > INT32_MAX) {
		out->failed = true;
		return;
	}
	wire_store_u32(out->ptr + start, __builtin_bswap32((uint32_t)size));
}

void kafka_refusal_encode(const struct kafka_request *request, enum kafka_offer offer, struct buf *out)
{
	struct kafka_api_version versions = {KAFKA_API_VERSIONS, request->api->first, request->api->last[offer]};
	struct kafka_api_versions_response response;

	kafka_defaults(request->api->response, &response);
	response.error_code = KAFKA_ERROR_UNSUPPORTED_VERSION;
	response.api_keys.at = &versions;
	response.api_keys.count = 1;
	kafka_response_encode(request, &response, out, NULL);
}
