/* Values in memory: how large, loaded and stored, and what a member is that nobody spoke of. */
#include "base/panic.h"
#include "kafka/codec/codec_priv.h"

size_t kafka_kind_bytes(uint8_t kind, const struct kafka_table *of)
{
	switch ((enum kafka_kind)kind) {
	case KAFKA_BOOL:
		return sizeof(bool);
	case KAFKA_INT8:
		return sizeof(int8_t);
	case KAFKA_INT16:
		return sizeof(int16_t);
	case KAFKA_INT32:
		return sizeof(int32_t);
	case KAFKA_INT64:
		return sizeof(int64_t);
	case KAFKA_UUID:
		return sizeof(struct kafka_uuid);
	case KAFKA_STRING:
	case KAFKA_BYTES:
	case KAFKA_RECORDS:
		return sizeof(struct slice);
	case KAFKA_STRUCT:
		return of->size_bytes;
	case KAFKA_ARRAY_OF:
		return sizeof(struct kafka_array);
	}
	ENSURE(false); /* no such kind */
	return 0;
}

int64_t kafka_number_load(uint8_t kind, const void *at)
{
	switch (kind) {
	case KAFKA_BOOL:
		return *(const bool *)at;
	case KAFKA_INT8:
		return *(const int8_t *)at;
	case KAFKA_INT16:
		return *(const int16_t *)at;
	case KAFKA_INT32:
		return *(const int32_t *)at;
	default:
		return *(const int64_t *)at;
	}
}

void kafka_number_store(uint8_t kind, void *at, int64_t value)
{
	switch (kind) {
	case KAFKA_BOOL:
		*(bool *)at = value != 0;
		return;
	case KAFKA_INT8:
		*(int8_t *)at = (int8_t)value;
		return;
	case KAFKA_INT16:
		*(int16_t *)at = (int16_t)value;
		return;
	case KAFKA_INT32:
		*(int32_t *)at = (int32_t)value;
		return;
	default:
		*(int64_t *)at = value;
		return;
	}
}

void kafka_default(const struct kafka_field *field, void *at)
{
	if (kafka_kind_is_number(field->kind))
		kafka_number_store(field->kind, at, field->preset);
	else if (field->kind == KAFKA_STRUCT && !kafka_is_pointer(field))
		kafka_defaults(field->of, at);
	else
		memset(at, 0, field->size_bytes);
	if (field->kind == KAFKA_STRING && !field->preset_null)
		*(struct slice *)at = KAFKA_EMPTY;
}

void kafka_defaults(const struct kafka_table *table, void *message)
{
	memset(message, 0, table->size_bytes);
	for (size_t i = 0; i < table->count; i++)
		kafka_default(&table->fields[i], kafka_member(&table->fields[i], message));
}

static bool struct_is_default(const struct kafka_table *table, const void *at)
{
	for (size_t i = 0; i < table->count; i++)
		if (!kafka_is_default(&table->fields[i], kafka_member_const(&table->fields[i], at)))
			return false;
	return true;
}

bool kafka_is_default(const struct kafka_field *field, const void *at)
{
	static const struct kafka_uuid zero;

	switch ((enum kafka_kind)field->kind) {
	case KAFKA_BOOL:
	case KAFKA_INT8:
	case KAFKA_INT16:
	case KAFKA_INT32:
	case KAFKA_INT64:
		return kafka_number_load(field->kind, at) == field->preset;
	case KAFKA_UUID:
		return memcmp(at, &zero, sizeof(zero)) == 0;
	case KAFKA_STRING:
	case KAFKA_BYTES:
	case KAFKA_RECORDS:
		return field->preset_null ? !((const struct slice *)at)->ptr : ((const struct slice *)at)->len == 0;
	case KAFKA_ARRAY_OF:
		return field->preset_null ? !((const struct kafka_array *)at)->at : ((const struct kafka_array *)at)->count == 0;
	case KAFKA_STRUCT:
		return kafka_is_pointer(field) ? !*(void *const *)at : struct_is_default(field->of, at);
	}
	ENSURE(false); /* no such kind */
	return 0;
}
