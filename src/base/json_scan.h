/* Looks whether bytes are JSON (RFC 8259, in UTF-8) without making anything of them, and where the elements of a top-level array
 * lie, so that each can be kept as it was sent. No memory, constant depth of the stack. Pure. */
#pragma once

#include "base/slice.h"

enum { JSON_DEPTH_MAX = 128 }; /* brackets within brackets; deeper ones are refused */

/* One value with blanks around it: 0, or -EBADMSG. */
int json_scan(struct slice text) MUST_USE;

/* The elements of what json_scan has accepted: those of an array, one level deep; of any other value, the value itself. Without
 * blanks around them. Begin with *at == 0; false at the end. */
bool json_scan_next(struct slice text, size_t *at, struct slice *ret_element);
