/* A slice: bytes that somebody else owns. Never NUL-terminated, never NULL-checked: an empty slice has len 0. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
/* The same where an initialiser must be constant. */
#define SLICE_INIT(literal)                                                                                                      \
	{                                                                                                                        \
		(literal), sizeof(literal) - 1                                                                                   \
	}

static inline struct slice slice_from(const void *ptr, size_t len)
{
	return (struct slice){ptr, len};
}

/* NULL gives an empty slice. */
static inline struct slice slice_str(const char *str)
{
	return (struct slice){str, str ? strlen(str) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case is ignored, as RFC 9110 §5.1 asks for field names. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);

/* Without blanks and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Cuts `*s` at the first `c`: returns what stood before it, leaves in `*s` what follows; without `c`, takes all. */
struct slice slice_cut(struct slice *s, char c);

/* Decimal digits only, no sign, no blanks, no overflow: 0, or -EINVAL with *ret untouched. */
int slice_u64(struct slice s, uint64_t *ret_value) MUST_USE;
