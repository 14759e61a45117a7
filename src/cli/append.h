/* `bide append`: what the two ways of it share, one body as one append, and each line as one (append_lines.c). */
#pragma once

#include "cli/stream.h"

enum { APPEND_LINES_RETRY_MS = 60000 };

struct append {
	struct session *session;
	const char *path; /* as it was given */
	struct stream_at at;
	struct stream_body body;
	char *type;
	const char *producer; /* NULL: appends are not numbered */
	char drawn[40];       /* a producer of our own */
	uint64_t epoch, seq;  /* of the first append */
	bool close;

	/* What became of it. */
	char offset[72];
	uint64_t count; /* appends taken */
	bool closed, duplicate;
};

/* A call that appends as number `seq`, without its body. */
void append_call(const struct append *append, struct http_call *call, uint64_t seq);
/* Takes note of an answer that is not a refusal. */
void append_taken(struct append *append, struct http_call *call);
bool append_ok(const struct http_call *call);
void append_draw_producer(struct append *append);

/* Every line of append->body as one append, in order. 0, or the exit code, told. */
int append_lines(struct append *append);
