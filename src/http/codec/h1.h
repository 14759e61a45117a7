/* An HTTP/1.1 request decoder without I/O: bytes in, events out (RFC 9112; RFC 9110 for the fields).
 *
 * The caller gives it bytes and takes one event after the other until the bytes are used up; the events are the same however the
 * bytes are cut. Behind the end of a message it stops, so that a pipelined request is looked at when the caller wants it.
 *
 * It is stricter than RFC 9112 asks where leniency has let requests be smuggled: no obsolete folding, no bare CR or LF, no
 * repeated Content-Length, no Content-Length beside Transfer-Encoding, no coding but exactly `chunked`, no blank before a colon.
 * Whatever is refused is refused for good: the connection has to close, since nobody knows where the next request begins. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "http/codec/request.h"

struct h1_limits {
	uint32_t header_count;
	uint32_t header_bytes; /* request line and fields */
	uint32_t target_bytes;
	uint64_t body_bytes; /* that chunks may announce together; 0: any number. What Content-Length says is the caller's to
				judge */
};

enum h1_event {
	H1_MORE,  /* everything given was used; more bytes are needed */
	H1_HEAD,  /* `head` */
	H1_BODY,  /* `body`: a piece of it, pointing into the input */
	H1_END,   /* the message is complete; h1_init before the next one */
	H1_ERROR, /* `error` */
};

struct h1_head {
	struct request *request; /* in the arena */
	bool keep_alive;         /* the client's wish, defaults of its version applied */
	bool expect_continue;
};

struct h1_error {
	int status;         /* 400, 413, 414, 417, 431, 501, 505; 503: no memory */
	const char *name;   /* the problem's name */
	const char *detail; /* a sentence, constant */
};

struct h1_out {
	union {
		struct h1_head head;
		struct slice body;
		struct h1_error error;
	};
};

struct h1; /* one message on its way in */

enum { H1_BYTES = 216 };

/* Room for a struct h1, which knows llhttp. Must not move once begun. */
struct h1_space {
	_Alignas(8) char bytes[H1_BYTES];
};

/* Begins a message. The head goes to `arena` (which the caller may replace until H1_HEAD came) and what is collected until then
 * to `scratch`; both and `limits` are the caller's and must stay. Nothing needs to be undone. */
struct h1 *h1_init(struct h1_space *space, const struct h1_limits *limits, struct buf *scratch, struct arena *arena);

/* True once a byte of the request line has come (the blank line that may stand before it does not count). */
bool h1_begun(const struct h1 *h1);

/* The next event; moves `input` behind what was used. */
enum h1_event h1_next(struct h1 *h1, struct slice *input, struct h1_out *ret_out);
