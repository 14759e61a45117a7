#pragma once

#include "base/buf.h"

/* The length of the UTF-8 sequence (RFC 3629 §4) that `s` begins with; 0 when it begins with none. `s` is not empty. */
size_t utf8_sequence(struct slice s);

/* Appends `s` with what is not UTF-8, and NUL, replaced by "?"; a sequence cut off at either end is left out. */
void utf8_append(struct buf *out, struct slice s);
