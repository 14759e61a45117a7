/* What stands before every message. */
#pragma once

#include "kafka/codec/message.h"

/* Version 1, or 2 when the request's version is flexible. */
struct kafka_request_header {
	int16_t request_api_key;
	int16_t request_api_version;
	int32_t correlation_id;
	struct slice client_id; /* may be null */
};

/* Version 0, or 1 when the answer's version is flexible; but ApiVersions always has 0, since its reader knows no more yet. */
struct kafka_response_header {
	int32_t correlation_id;
};
