/* Values of fields: tokens, lists, Prefer (RFC 7240) and Range (RFC 9110 §14). Pure. */
#pragma once

#include "base/slice.h"

bool field_is_token(struct slice s); /* RFC 9110 §5.6.2; not empty */

/* The next element of a comma-separated list, trimmed; quoted strings are respected, empty elements passed over
 * (RFC 9110 §5.6.1). False at the end. */
bool field_list_next(struct slice *list, struct slice *ret_item);

/* A quoted-string's content without quotes and backslashes, written to `out` (room for s.len bytes); a token is taken as it is.
 * 0, or -EINVAL with nothing said about `out`. */
int field_unquote(struct slice s, char *out, size_t *ret_len) MUST_USE;

struct prefer {
	bool has_wait;
	uint64_t wait_s;
	bool respond_async;
};

/* One Prefer field's value; call it for each such field, the first mention of a preference wins. What is unknown or malformed is
 * ignored, as the RFC wants. */
void prefer_parse(struct slice value, struct prefer *prefer);

enum range_kind {
	RANGE_NONE,          /* none, malformed, another unit, or several: send the whole */
	RANGE_PART,          /* [ret_from, ret_from + ret_bytes) */
	RANGE_UNSATISFIABLE, /* 416, whose Content-Range tells the size alone */
};

/* A Range field's value against a representation of size_bytes. Several ranges are answered with the whole (RFC 9110 §14.2 allows
 * to ignore the field), unless none of them can be satisfied. */
enum range_kind range_parse(struct slice value, uint64_t size_bytes, uint64_t *ret_from, uint64_t *ret_bytes);
