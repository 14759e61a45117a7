/* Writes JSON (RFC 8259) into a buffer, a field at a time. Reading is jansson's. The buffer's sticky failure is the only
 * error. Strings that are not UTF-8 have the offending bytes replaced by U+FFFD. json_str and json_nil have short names
 * because jansson owns json_string and json_null. The buffer holds nothing but the JSON: the commas look at what is in it. */
#pragma once

#include "base/buf.h"

/* The comma is put where one is needed: before a key or an element that does not follow an opening bracket. */
void json_open(struct buf *out, char bracket);   /* '{' or '[' as a value or element */
void json_close(struct buf *out, char bracket);  /* '}' or ']' */
void json_key(struct buf *out, const char *key); /* a literal that needs no escapes */
void json_str(struct buf *out, struct slice s);
void json_u64(struct buf *out, uint64_t v);
void json_fixed(struct buf *out, double v, int decimals); /* finite; trailing zeros dropped */
void json_bool(struct buf *out, bool v);
void json_nil(struct buf *out);
void json_raw(struct buf *out, struct slice json);     /* a whole value that is JSON already */
void json_time(struct buf *out, uint64_t unix_ms);     /* RFC 3339, UTC, milliseconds */
void json_base64(struct buf *out, struct slice bytes); /* RFC 4648 §4, as a string */
