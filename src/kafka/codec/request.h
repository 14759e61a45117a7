/* Requests and answers on a connection: a size of 4 bytes, a header, a message. */
#pragma once

#include "kafka/codec/api_keys.h"

enum {
	KAFKA_SIZE_BYTES = 4,
	KAFKA_FRAME_MAX_BYTES = 100 << 20,      /* what Apache Kafka's socket.request.max.bytes is when nobody sets it */
	KAFKA_FRAME_EARLY_MAX_BYTES = 64 << 10, /* of a frame that has not said what it asks for */
	KAFKA_ERROR_UNSUPPORTED_VERSION = 35,
};

struct kafka_request {
	const struct kafka_api *api;
	struct kafka_format format; /* of this message and of its answer */
	int32_t correlation_id;
	struct slice client_id; /* may be null */
	struct slice message;   /* to be read with api->request */
};

enum { KAFKA_REQUEST_REFUSE = 1 };

/* How long the frame is whose first 4 bytes these are. 0; -EBADMSG: shorter than any request; -E2BIG: longer than `max_bytes`. */
int kafka_frame_size(const char size[KAFKA_SIZE_BYTES], size_t max_bytes, size_t *ret_bytes) MUST_USE;

/* Reads the header of a frame, given without its size; what it gives lies in the frame. 0; KAFKA_REQUEST_REFUSE: it asks for an
 * unknown version of ApiVersions, so kafka_refusal_encode is the answer; else the connection is to be closed: -ENOTSUP: a key or
 * version that is not offered; -EBADMSG. */
int kafka_request_open(struct slice frame, enum kafka_offer offer, struct kafka_request *ret_request) MUST_USE;

/* Reads its message: see kafka_decode. Bytes behind it are left alone, as Apache Kafka leaves them: librdkafka 2.15 writes three
 * too many when it asks for the metadata of all topics. */
int kafka_request_decode(const struct kafka_request *request, struct kafka_room *room, void *ret_message) MUST_USE;

/* Appends the whole frame of an answer: size, header, message; the size counts the gaps. See kafka_encode. */
void kafka_response_encode(const struct kafka_request *request, const void *response, struct buf *out, struct kafka_gaps *gaps);

/* Appends what a client gets that asked for a version of ApiVersions nobody knows: version 0, and what it may ask for instead. */
void kafka_refusal_encode(const struct kafka_request *request, enum kafka_offer offer, struct buf *out);
