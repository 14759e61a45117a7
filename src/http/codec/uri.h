/* Percent-encoding and queries (RFC 3986 §2.1, §3.4). '+' is a plus. Pure. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* Decodes; without a '%' the slice itself comes back. 0, -EINVAL (broken escape, or an escaped NUL) or -ENOMEM. */
int uri_decode(struct slice s, struct arena *arena, struct slice *ret_decoded) MUST_USE;

/* Appends `s` with all encoded that is not unreserved (RFC 3986 §2.3), but for those in `kept`. */
void uri_encode(struct slice s, const char *kept, struct buf *out);

enum uri_found { URI_FOUND = 0, URI_ABSENT = 1 };

/* The decoded value of the first `name=value` between '&'s whose name, decoded, is `name`; "name" alone has an empty value.
 * URI_FOUND, URI_ABSENT, -EINVAL (its name or value is broken) or -ENOMEM. */
int uri_query_get(struct slice query, struct slice name, struct arena *arena, struct slice *ret_value) MUST_USE;

/* The next `name=value` of a query, neither decoded. False at the end. */
bool uri_query_next(struct slice *query, struct slice *ret_name, struct slice *ret_value);
