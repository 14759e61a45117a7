/* Plays bytes to the decoder in given pieces and writes down what it said, one line an event, for tests that compare. What the
 * decoder may never do, whatever the bytes, ends the program. */
#pragma once

#include "http/codec/h1.h"

struct h1_trace {
	struct buf text;       /* the events; pieces of a body are joined */
	enum h1_event last;    /* H1_MORE: within a message, or before one; H1_END: behind one that closes; H1_ERROR */
	struct h1_error error; /* with H1_ERROR */
	size_t message_count;  /* complete ones */
	size_t used;           /* bytes of complete messages */
	bool keep_alive;       /* of the last complete one */
	bool begun;            /* a message was under way at the end of the bytes */
};

/* `cuts`: ascending, below bytes.len. Messages that follow each other are all decoded, up to one that is refused or closes. Every
 * piece lies in memory of its own size, which is gone when the next one comes. */
void h1_trace_play(struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes, const size_t *cuts,
		   size_t cut_count);

/* Whole; then cut in two at every byte (long ones: at the edges and at some points between), and byte by byte. True: always the
 * same; else the difference is printed. The trace is that of the whole. */
bool h1_trace_play_all(struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes) MUST_USE;

/* Played in these pieces it is the same, too; else the difference is printed. */
bool h1_trace_same(const struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes, const size_t *cuts,
		   size_t cut_count) MUST_USE;

void h1_trace_deinit(struct h1_trace *trace);
