#pragma once
/*
 * The client's half of HTTP/1.1, as far as the servers under test use it: answers framed by Content-Length (or without a body
 * by their status), or chunked where that is said, on connections that stay open. An answer framed otherwise ends the run with a
 * message.
 */
#include "loop.h"

struct http_answer {
	int status;
	const char *head; /* status line and header lines, CRLFs included */
	size_t head_len;
	const char *body;
	size_t body_len;
};

/* One whole answer at the head of `data`: how many bytes it takes, or 0 when it is not all there yet. */
size_t http_parse(const char *data, size_t len, struct http_answer *ret_answer);

/*
 * The same for an answer that may also be chunked: once it is all there, its body is joined in place. Bytes that are taken off
 * the front of `in` afterwards are as many as are returned.
 */
size_t http_take(struct bytes *in, struct http_answer *ret_answer);

/* Status line and header lines alone, as soon as they are there: their length with the blank line, or 0. */
size_t http_head_parse(const char *data, size_t len, struct http_answer *ret_answer);

/* The head of a chunk at `data`: its length, 0 when it is not all there; the chunk's own length in *ret_chunk_len. */
size_t http_chunk_head(const char *data, size_t len, size_t *ret_chunk_len);

/* The value of header `name` (case-insensitive), not terminated; 0 length when there is none. */
size_t http_header(const struct http_answer *answer, const char *name, const char **ret_value);

/* Copies a header's value, terminated; false when it is missing or does not fit. */
bool http_header_copy(const struct http_answer *answer, const char *name, char *ret_text, size_t capacity);

/* Ends the run unless `status` is the answer's, showing what came instead. */
void http_expect(const struct http_answer *answer, int status, const char *what);

/*
 * Blocking question on a connection of its own: writes `request`, turns the loop until the answer is there and returns it.
 * The answer's bytes stay valid until the next call on that connection.
 */
struct http_answer http_ask(struct conn *conn, const char *request, size_t request_len);
