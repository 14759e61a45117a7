/* The head of an answer as bytes (RFC 9112 §4). Pure. */
#pragma once

#include "base/buf.h"

/* One header of an answer. */
struct answer_header {
	struct slice name;
	struct slice value;
};

/* How the end of the body is known (RFC 9112 §6.3). */
enum answer_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct answer_head {
	int status;
	struct slice date;         /* IMF-fixdate */
	struct slice content_type; /* empty: none */
	const struct answer_header *headers;
	size_t header_count;
	enum answer_framing framing;
	uint64_t content_length; /* left out for 1xx, 204 and 304 */
	struct slice extra;      /* whole header lines, CR LF and all */
	bool no_store;
};

enum answer_connection { CONNECTION_DEFAULT, CONNECTION_CLOSE, CONNECTION_KEEP_ALIVE, CONNECTION_KINDS };

/* All but the Connection field and the blank line. A value with CR, LF or NUL in it would let its author write headers: the field
 * is left out. */
void encode_head(struct buf *out, const struct answer_head *head);

/* What ends a head. */
struct slice encode_tail(enum answer_connection connection);

bool encode_has_body(int status); /* not for 1xx, 204 and 304 */

/* "OK", "Not Found"; "" for what is not registered. */
struct slice encode_reason(int status);
