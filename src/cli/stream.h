/* What the commands for streams share: where a stream is, the bytes that go into one, and how a refusal is told. */
#pragma once

#include "cli/session.h"

/* A stream: a path at the session's server, or a whole URL that names its own. */
struct stream_at {
	char *base; /* the server */
	char *path; /* "/v1/stream/…", percent-encoded */
};

/* `text` is a stream's path as people write it, or its URL, as it is sent. 0, or CLI_USAGE, told. */
int stream_at_init(struct stream_at *at, const struct session *session, const char *text) MUST_USE;
void stream_at_deinit(struct stream_at *at);

void stream_call(const struct stream_at *at, struct http_call *call, const char *method);

/* An option that is a duration, as a header in whole seconds, rounded up; none when it is not given. 0, or CLI_USAGE, told. */
int stream_duration_header(const struct session *session, struct http_call *call, const char *option,
			   const char *header) MUST_USE;

/* What an answer tells of the stream. */
const char *stream_offset(struct http_call *call); /* Stream-Next-Offset, "" when there is none */
bool stream_flag(struct http_call *call, const char *header);

/* session_report, which has no words of the server to tell when it was a HEAD. */
int stream_report(const struct session *session, struct http_call *call, const char *doing);

/* Bytes to send. What comes through a pipe is read to its end first, into a file without a name: then it can be sent again. */
struct stream_body {
	const char *path; /* NULL: stdin */
	int fd;           /* -1: there are none */
	bool owned;
	off_t start, size;
};

/* Opens FILE, or stdin for "-" and NULL, as a stream of bytes or, when `whole`, as a body. 0, or the exit code, told. */
int stream_body_open(struct stream_body *body, const struct session *session, const char *path, bool whole) MUST_USE;
void stream_body_close(struct stream_body *body);
