/* `bide tail`: one reader of a stream, and how what it reads is written (tail_print.c). */
#pragma once

#include "cli/output.h"
#include "cli/stream.h"

enum { TAIL_RETRY_MS = 60000 };

struct tail {
	struct session *session;
	const char *path; /* as it was given */
	struct stream_at at;
	struct output output;
	bool follow;
	int signal_fd;

	char offset[72];  /* everything before it has been written */
	char cursor[40];  /* what caches on the way want back; "" for none */
	uint64_t written; /* bytes that follow the offset and have been written already, of an answer that was cut */
	bool ended, stopped;

	/* The answer at hand. */
	struct buf body; /* as a whole, where it is not written as it comes */
	uint64_t taken;  /* its bytes so far */
	bool json;       /* of a stream of JSON values */
	bool refused;    /* not fit for a terminal */
	bool too_long;
};

/* Takes bytes of an answer, for its sink: 0, or -1 when they cannot be taken. */
int tail_take(struct tail *tail, struct http_call *call, const char *ptr, size_t len);

/* The answer is whole, and `offset` is behind it: writes what is not written yet. 0, or -1 with output.error. */
int tail_take_end(struct tail *tail, const char *offset);

/* The answer broke off, and is asked for once more. */
void tail_take_again(struct tail *tail);
