/* `bide tail`: one reader of a stream, and how what it reads is written: as bytes (tail_print.c), or record by record
 * (tail_records.c). */
#pragma once

#include "cli/output.h"
#include "cli/stream.h"

enum { TAIL_RETRY_MS = 60000 };

struct tail {
	struct session *session;
	const char *path; /* as it was given */
	struct stream_at at;
	struct output output;
	char last;          /* byte written */
	const char *key;    /* only records that have it; NULL: all */
	const char *format; /* of a record; NULL: none */
	bool records;       /* with format, or as objects: each record is told by itself */
	bool follow;
	int signal_fd;
	uint64_t deadline_ns; /* read no further then; UINT64_MAX: none */
	bool of_job;          /* a job's output: what is wrong with it is told by who waits for the job */

	/* Where to begin, until the server has told what offset that is: a query and its value. NULL: the offset is known. */
	const char *start, *start_value;
	char start_text[40];
	char offset[72];  /* everything before it has been written */
	char cursor[40];  /* what caches on the way want back; "" for none */
	uint64_t written; /* bytes that follow the offset and have been written already, of an answer that was cut */
	bool alone;       /* the record there is so long that it is read by itself, as it is */
	bool ended, stopped;

	/* The answer at hand. */
	struct buf body; /* as a whole, where it is not written as it comes */
	uint64_t taken;  /* its bytes so far */
	char type[128];  /* of the stream */
	bool json;       /* it is one of JSON values */
	bool refused;    /* not fit for a terminal */
	bool too_long;
};

/* Reads until the stream has ended, the time is over, or a signal came: 0, or the exit code, told. */
int tail_read(struct tail *tail);

/* What a job's workers write, on stderr, as it comes and until the job is over: for commands that wait for the job and tell what
 * became of it themselves. Whatever is wrong with the output is theirs to find. */
void tail_job_output(struct session *session, const struct handle *handle, uint64_t deadline_ns);

/* Takes bytes of an answer, for its sink: 0, or -1 when they cannot be taken. */
int tail_take(struct tail *tail, struct http_call *call, const char *ptr, size_t len);

/* The answer is whole, and `offset` is behind it: writes what is not written yet. 0, or -1 with output.error. */
int tail_take_end(struct tail *tail, const char *offset);

/* The answer broke off, and is asked for once more. */
void tail_take_again(struct tail *tail);

/* --- tail_records.c --- */

/* Says what is wrong with a format: CLI_USAGE, told; or 0. */
int tail_format_check(const struct session *session, const char *format) MUST_USE;
/* The answer at hand is an array of records: appends what is to be written of them. A record that is too long to be among them
 * sets tail->alone, and the offset to where it lies. */
void tail_records_put(struct tail *tail, struct buf *out);
/* The answer at hand is one record's value; `next` is behind it. */
void tail_alone_put(struct tail *tail, struct buf *out, const char *next);
/* The answer at hand tells where the start is. */
void tail_start_found(struct tail *tail, const char *otherwise);
/* A JSON text on one line. A line end in JSON is a blank between tokens, so another blank does as well. */
void tail_json_line(struct buf *out, struct slice json);
