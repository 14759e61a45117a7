#include "kafka/codec/messages_header.h"

#include "kafka/codec/tables_priv.h"

static const struct kafka_field request_header[] = {
	FIELD(request_header, request_api_key, INT16, ALL),
	FIELD(request_header, request_api_version, INT16, ALL),
	FIELD(request_header, correlation_id, INT32, ALL),
	FIELD(request_header, client_id, STRING, ALL, NULLS(ALL), PLAIN),
};
MESSAGE(request_header);

static const struct kafka_field response_header[] = {
	FIELD(response_header, correlation_id, INT32, ALL),
};
MESSAGE(response_header);
