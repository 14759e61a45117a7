#pragma once

#include "base/buf.h"

/* RFC 4648 §4, padded, nothing else in between. 0, or -EINVAL with part of it appended. */
int base64_decode(struct buf *out, struct slice text) MUST_USE;
