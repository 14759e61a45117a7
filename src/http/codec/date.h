/* IMF-fixdate (RFC 9110 §5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". Pure. */
#pragma once

#include "base/slice.h"

enum { DATE_BYTES = 29 };

void date_format(uint64_t unix_s, char out[DATE_BYTES]);
