/* How the tables are written, and which there are: one for every message listed in api_keys.h, in messages_*.c.
 *
 * FIELD, LIST (an array of plain values), ARRAY (of structures) and STRUCT name the structure without "kafka_", its member, the
 * kind or structure, and the versions that have it. Behind that may follow NULLS(versions): where it may be null; TAG(n);
 * PRESET(value) or PRESET_NULL: what a reader takes when the version has no such field or nothing was said (else zero or empty).
 * Versions are those that are offered: what all of them have is there in ALL. */
#pragma once

#include "kafka/codec/api_keys.h"

/* clang-format off */
#define ALL                  {0, KAFKA_FOREVER}
#define FROM(first)          {first, KAFKA_FOREVER}
#define UNTIL(last)          {0, last + 1}
#define BETWEEN(first, last) {first, last + 1}

#define NULLS(which)  .nulls = which
#define TAG(number)   .tagged = true, .tag = number
#define PRESET(value) .preset = value
#define PRESET_NULL   .preset_null = true
#define PLAIN         .plain = true

#define MEMBER(structure, member) \
	.name = #member, .offset = offsetof(struct kafka_##structure, member), \
	.size_bytes = sizeof(((struct kafka_##structure *)NULL)->member)
#define FIELD(structure, member, a_kind, which, ...) \
	{MEMBER(structure, member), .kind = KAFKA_##a_kind, .versions = which, __VA_ARGS__}
#define LIST(structure, member, a_kind, which, ...) \
	{MEMBER(structure, member), .kind = KAFKA_ARRAY_OF, .element = KAFKA_##a_kind, .versions = which, __VA_ARGS__}
#define STRUCT(structure, member, inner, which, ...) \
	{MEMBER(structure, member), .kind = KAFKA_STRUCT, .of = &inner##_table, .versions = which, __VA_ARGS__}
#define ARRAY(structure, member, inner, which, ...) \
	{MEMBER(structure, member), .kind = KAFKA_ARRAY_OF, .element = KAFKA_STRUCT, .of = &inner##_table, .versions = which, \
	 __VA_ARGS__}

#define TABLE_OF(structure) {#structure, structure, ARRAY_COUNT(structure), sizeof(struct kafka_##structure)}
/* clang-format on */
/* Of a structure inside messages, for its file only; and of a message. */
#define TABLE(structure)   static const struct kafka_table structure##_table = TABLE_OF(structure)
#define MESSAGE(structure) const struct kafka_table kafka_##structure##_table = TABLE_OF(structure)

#define KAFKA_TABLES(key, number, structures, ...)                                                                               \
	extern const struct kafka_table kafka_##structures##_request_table;                                                      \
	extern const struct kafka_table kafka_##structures##_response_table;
KAFKA_APIS(KAFKA_TABLES)
#undef KAFKA_TABLES

extern const struct kafka_table kafka_request_header_table, kafka_response_header_table;
