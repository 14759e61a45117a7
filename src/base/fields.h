/* Events on disk as tables: a struct's members by their places, and for each type of event a list of those it carries, in their
 * order. One behind the other, nothing between them; a type always has all its fields. */
#pragma once

#include "base/body_ref.h"

#include <stddef.h>

enum field_kind {
	FIELD_VARINT,  /* uint64_t */
	FIELD_FIXED64, /* uint64_t in 8 bytes */
	FIELD_STRING,  /* struct slice, which lies in the bytes read */
	FIELD_REF,     /* struct body_ref */
};

struct field {
	uint16_t offset; /* in the struct */
	uint8_t kind;    /* enum field_kind */
	uint8_t more;    /* an array's further elements */
};

#define FIELD_OF(type, member, kind)                                                                                             \
	{                                                                                                                        \
		offsetof(type, member), FIELD_##kind, 0                                                                          \
	}

/* `layout`: places in `fields`, ended by 0. */
void fields_put(struct buf *out, const struct field *fields, const uint8_t *layout, const void *record);
bool fields_get(struct slice bytes, const struct field *fields, const uint8_t *layout,
		void *record) MUST_USE; /* all, and no more */
