/* Inside many.c and many_json.c only: a request that waits for many. */
#pragma once

#include "http/api/stream_priv.h"

enum item_state {
	ITEM_PENDING,
	ITEM_OVER,    /* of a stream: there is something to tell, be it that there is no such stream */
	ITEM_MISSING, /* of a job: over, too */
};

/* Of one stream. */
struct many_stream {
	struct slice path;        /* decoded */
	struct stream_view *view; /* as last looked at; NULL while parked, and where there is no stream */
	uint64_t number, offset;  /* STREAM_FROM_OFFSET: where it is read on */
	enum stream_from from;
	enum outcome outcome; /* of the last look */
	bool watched;         /* … and no wake has come since: the stream counts this wait */
};

struct many_item {
	struct waiter waiter;
	struct many *many;
	struct slice name; /* as the client says it: a handle, or a path as in a URL */
	union {
		struct job_view *job; /* ITEM_OVER: one reference */
		struct many_stream stream;
	};
	uint8_t state;
};

struct many {
	struct exchange *ex;
	size_t job_count, count, over_count; /* items: first the jobs, then the streams */
	uint64_t max_bytes;                  /* of records in the answer */
	enum format format;
	uint16_t told_s;
	bool all;
	bool with_streams;        /* the answer tells of streams, even if there are none */
	struct many_item items[]; /* names and paths behind them */
};

static inline bool many_is_over(const struct many *many)
{
	return many->all ? many->over_count == many->count : many->over_count > 0;
}

/* The answer's body: 0 or -ENOMEM. */
int many_json(struct buf *out, const struct many *many) MUST_USE;
