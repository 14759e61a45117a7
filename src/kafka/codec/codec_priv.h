/* Shared by reading and writing. */
#pragma once

#include "kafka/codec/codec.h"

enum { KAFKA_STRING_BYTES_MAX = INT16_MAX };

/* kafka_decode of what `bytes` begin with; what is behind stays in them. */
int kafka_decode_front(const struct kafka_table *table, struct kafka_format format, struct slice *bytes, struct kafka_room *room,
		       void *ret_message) MUST_USE;

/* Every KAFKA_ARRAY looks like this. */
struct kafka_array {
	void *at;
	uint32_t count;
};

/* What a value of the kind takes in memory. */
size_t kafka_kind_bytes(uint8_t kind, const struct kafka_table *of);

static inline bool kafka_kind_is_number(uint8_t kind)
{
	return kind <= KAFKA_INT64;
}

int64_t kafka_number_load(uint8_t kind, const void *at);
void kafka_number_store(uint8_t kind, void *at, int64_t value);

void kafka_default(const struct kafka_field *field, void *at);
bool kafka_is_default(const struct kafka_field *field, const void *at);

/* A member that is a structure lies there, or, when it may be null, a pointer to one: which it may then in all versions. */
static inline bool kafka_is_pointer(const struct kafka_field *field)
{
	return field->kind == KAFKA_STRUCT && field->nulls.before > 0;
}

static inline void *kafka_member(const struct kafka_field *field, void *message)
{
	return (char *)message + field->offset;
}

static inline const void *kafka_member_const(const struct kafka_field *field, const void *message)
{
	return (const char *)message + field->offset;
}
