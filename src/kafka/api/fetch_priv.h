/* Of fetch.c, fetch_answer.c. */
#pragma once

#include "kafka/api/api_priv.h"
#include "kafka/codec/messages_records.h"

/* A place on the board. */
struct fetch_wait {
	struct wait wait; /* first */
	struct kafka_call *call;
};

struct fetch {
	const struct kafka_fetch_request *request;
	struct kafka_ask ask;
	int16_t *errors;                    /* one for each partition of the request: what was wrong before it was looked at */
	struct fetch_partition *partitions; /* the others, in the request's order */
	struct fetch_wait *waits;           /* … */
	size_t count;                       /* of these */
	uint64_t until_ms, min_bytes, max_bytes;
};

/* From what was seen when it was looked at last. Views in it are used up; without any, no records are told. */
void fetch_answer(struct kafka_call *call);
