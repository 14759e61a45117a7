/* `bide append`: what the two ways of it share, one body as one append, and each line as one (append_lines.c). */
#pragma once

#include "cli/stream.h"

enum { APPEND_LINES_RETRY_MS = 60000, APPEND_HEADERS = 4 };

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
	char *headers[APPEND_HEADERS]; /* "Name: value", of each append; what is said of its records */
	size_t header_count;

	/* What became of it. */
	char offset[72];
	uint64_t count; /* appends taken */
	bool closed, duplicate;
	uint64_t woken; /* waits, as far as the server tells */
};

/* A call that appends as number `seq`, without its body. */
void append_call(const struct append *append, struct http_call *call, uint64_t seq);
/* Takes note of what an answer that is not a refusal tells; `woken` is Stream-Woken, NULL where it is not there. */
void append_taken(struct append *append, const char *offset, bool closed, const char *woken);
bool append_ok(const struct http_call *call);
void append_draw_producer(struct append *append);

/* Every line of append->body as one append, in order. 0, or the exit code, told. */
int append_lines(struct append *append);

/* --- append_pipe.c: many appends on their way over one connection, in order ---------------------------------------------------
 */

/* It understands nothing but success. Whatever else happens to it, the caller sends what was not taken with an ordinary call:
 * that tells what is wrong, and numbered appends may be sent twice. */
struct append_pipe {
	struct http_call call; /* holds the connection */
	bool open;
	bool broken; /* of no use any more */
	int fd;
	struct buf out, in;
	size_t out_at;  /* up to here it has been written */
	uint64_t taken; /* appends, since it was opened */
	uint64_t moved_ns;
};

int append_pipe_open(struct append_pipe *line, const struct append *append) MUST_USE; /* 0, or -1: it cannot be had */
void append_pipe_close(struct append_pipe *line);
void append_pipe_put(struct append_pipe *line, const struct append *append, uint64_t seq, struct slice text);
void append_pipe_write(struct append_pipe *line); /* what can be written now */
/* Reads what there is; returns how many appends were taken, in their order. */
uint64_t append_pipe_read(struct append_pipe *line, struct append *append);
