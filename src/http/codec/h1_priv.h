/* Inside the HTTP/1.1 decoder. */
#pragma once

#include "http/codec/h1.h"

/* llhttp names its methods as we name ours. */
#define HTTP_GET     LLHTTP_GET
#define HTTP_HEAD    LLHTTP_HEAD
#define HTTP_POST    LLHTTP_POST
#define HTTP_PUT     LLHTTP_PUT
#define HTTP_PATCH   LLHTTP_PATCH
#define HTTP_DELETE  LLHTTP_DELETE
#define HTTP_OPTIONS LLHTTP_OPTIONS
#include <llhttp.h>
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_PATCH
#undef HTTP_DELETE
#undef HTTP_OPTIONS

enum h1_state {
	H1_STATE_START, /* a blank line may come first */
	H1_STATE_LINE,  /* request line */
	H1_STATE_FIELDS,
	H1_STATE_SIZED, /* body of known length */
	H1_STATE_CHUNK, /* the line before a chunk */
	H1_STATE_DATA,  /* a chunk's bytes and the line end behind them */
	H1_STATE_TRAILER,
	H1_STATE_END,
	H1_STATE_ERROR,
};

struct h1 {
	llhttp_t llhttp;
	const struct h1_limits *limits;
	struct buf *scratch; /* method, target; then name and value of each field; each with a NUL behind it */
	struct arena *arena;
	struct slice body; /* llhttp's, from the piece just fed */
	struct h1_error error;
	uint64_t left;            /* of a sized body; of a chunk with the line end behind it */
	uint64_t announced_bytes; /* by chunks, so far */
	uint32_t head_bytes;      /* so far, against limits */
	uint32_t line_bytes;      /* of the present line, so far */
	uint32_t field_count;
	uint8_t state;
	uint8_t minor;
	uint8_t blank_lines;
	bool after_cr; /* the last byte was a CR */
	bool in_value; /* a field's name is complete */
	bool head_done, complete;
	bool keep_alive, expect_continue;
	struct request *request;
};

/* The request line stands in `scratch` without its end: checks it and replaces it by "method\0target\0". False: error set. */
bool h1_parse_line(struct h1 *h1);

/* All fields stand in `scratch`: makes the request in the arena and checks what they say about framing. False: error set. */
bool h1_finish_head(struct h1 *h1);

bool h1_fail(struct h1 *h1, int status, const char *name, const char *detail); /* false */

bool h1_is_token(struct slice s); /* RFC 9110 §5.6.2, not empty */
