#pragma once
/* Events from a server (text/event-stream) as they come: over one answer that goes on, chunked or until the connection ends. */
#include "loop.h"

struct sse {
	bool begun;   /* the answer's head was there */
	bool chunked; /* else what follows the head is all text */
	bool ended;   /* by its last chunk: the next request may follow */
	size_t chunk_left;
	struct bytes text; /* owned: decoded and not yet taken */
};

struct sse_event {
	const char *name; /* "message" unless said */
	size_t name_len;
	const char *data; /* of the only data line; what we append holds no line ends */
	size_t data_len;
};

/* Moves what has come on `conn` into the text. An answer other than 200 with events ends the run. */
void sse_feed(struct sse *sse, struct conn *conn);

/* The next whole event: its length, to be taken off the text, or 0. Comments count as events without data. */
size_t sse_next(const struct sse *sse, struct sse_event *ret_event);

void sse_reset(struct sse *sse);
