/* Tables of fields: what the interpreter (codec.h) knows about messages, and the only place that does. The fields of a structure
 * stand in their order on the wire; those with a tag travel behind the others. How tables are written: tables_priv.h. */
#pragma once

#include "base/attr.h"
#include "kafka/codec/message.h"

enum kafka_kind {
	KAFKA_BOOL,
	KAFKA_INT8,
	KAFKA_INT16,
	KAFKA_INT32,
	KAFKA_INT64,
	KAFKA_UUID,
	KAFKA_STRING,
	KAFKA_BYTES,
	KAFKA_RECORDS,
	KAFKA_STRUCT,
	KAFKA_ARRAY_OF, /* its elements: `element` */
};

/* Versions `from` … `before` - 1. Zero: none. */
struct kafka_span {
	uint8_t from, before;
};

enum { KAFKA_FOREVER = UINT8_MAX };

static inline bool kafka_span_has(struct kafka_span span, int version)
{
	return version >= span.from && version < span.before;
}

struct kafka_table;

struct kafka_field {
	const char *name;
	const struct kafka_table *of; /* the structure: KAFKA_STRUCT, or an array of those */
	int32_t preset;               /* what a reader takes who was told nothing */
	struct kafka_span versions, nulls;
	uint16_t offset, size_bytes; /* of the member */
	uint8_t kind, element;
	uint8_t tag;
	bool tagged, preset_null; /* null, where others are empty when nobody spoke of them */
	bool plain;               /* never in the compact form, not even in flexible versions */
};

struct kafka_table {
	const char *name; /* of the structure */
	const struct kafka_field *fields;
	size_t count, size_bytes;
};
