/* Writing. A field that the version lacks is left out, whatever is in it. */
#include "kafka/codec/bytes.h"
#include "kafka/codec/codec_priv.h"

#include <limits.h>

struct encoder {
	struct buf *out;
	struct kafka_gaps *gaps;
	struct kafka_format format;
};

static void struct_encode(struct encoder *e, const struct kafka_table *table, const void *at);

static void extent_encode(struct encoder *e, const struct kafka_field *field, uint8_t kind, size_t n)
{
	if (n > (kind == KAFKA_STRING ? (size_t)KAFKA_STRING_BYTES_MAX : INT32_MAX))
		e->out->failed = true;
	else if (e->format.flexible && !field->plain)
		kafka_put_uvarint(e->out, (uint32_t)n + 1);
	else if (kind == KAFKA_STRING)
		kafka_put_u16(e->out, (uint16_t)n);
	else
		kafka_put_u32(e->out, (uint32_t)n);
}

static void null_encode(struct encoder *e, const struct kafka_field *field, uint8_t kind)
{
	if (e->format.flexible && !field->plain)
		kafka_put_uvarint(e->out, 0);
	else if (kind == KAFKA_STRING)
		kafka_put_u16(e->out, UINT16_MAX);
	else
		kafka_put_u32(e->out, UINT32_MAX);
}

static void records_encode(struct encoder *e, struct slice records)
{
	if (!e->gaps) {
		buf_append_slice(e->out, records);
		return;
	}
	if (!records.len)
		return;
	if (e->gaps->count == e->gaps->max) {
		e->out->failed = true;
		return;
	}
	e->gaps->at[e->gaps->count++] = (struct kafka_gap){e->out->len, records.len};
}

static void slice_encode(struct encoder *e, const struct kafka_field *field, uint8_t kind, struct slice s)
{
	extent_encode(e, field, kind, s.len);
	if (kind == KAFKA_RECORDS)
		records_encode(e, s);
	else
		buf_append_slice(e->out, s);
}

static void plain_encode(struct encoder *e, uint8_t kind, const void *at)
{
	int64_t number = kafka_kind_is_number(kind) ? kafka_number_load(kind, at) : 0;

	switch (kind) {
	case KAFKA_BOOL:
	case KAFKA_INT8:
		wire_put_u8(e->out, (uint8_t)number);
		return;
	case KAFKA_INT16:
		kafka_put_u16(e->out, (uint16_t)number);
		return;
	case KAFKA_INT32:
		kafka_put_u32(e->out, (uint32_t)number);
		return;
	case KAFKA_INT64:
		kafka_put_u64(e->out, (uint64_t)number);
		return;
	case KAFKA_UUID:
		buf_append(e->out, at, sizeof(struct kafka_uuid));
		return;
	}
}

static void array_encode(struct encoder *e, const struct kafka_field *field, const struct kafka_array *array)
{
	size_t size = kafka_kind_bytes(field->element, field->of);

	extent_encode(e, field, KAFKA_ARRAY_OF, array->count);
	for (uint32_t i = 0; i < array->count && !e->out->failed; i++) {
		const void *at = (const char *)array->at + i * size;

		if (field->element == KAFKA_STRUCT)
			struct_encode(e, field->of, at);
		else if (field->element == KAFKA_STRING)
			slice_encode(e, field, KAFKA_STRING, *(const struct slice *)at);
		else
			plain_encode(e, field->element, at);
	}
}

static void pointer_encode(struct encoder *e, const struct kafka_field *field, const void *at)
{
	wire_put_u8(e->out, at ? 1 : UINT8_MAX);
	if (at)
		struct_encode(e, field->of, at);
}

static void field_encode(struct encoder *e, const struct kafka_field *field, const void *at)
{
	bool may_be_null = kafka_span_has(field->nulls, e->format.version);

	switch (field->kind) {
	case KAFKA_STRING:
	case KAFKA_BYTES:
	case KAFKA_RECORDS:
		if (may_be_null && !((const struct slice *)at)->ptr)
			null_encode(e, field, field->kind);
		else
			slice_encode(e, field, field->kind, *(const struct slice *)at);
		return;
	case KAFKA_ARRAY_OF:
		if (may_be_null && !((const struct kafka_array *)at)->at)
			null_encode(e, field, KAFKA_ARRAY_OF);
		else
			array_encode(e, field, at);
		return;
	case KAFKA_STRUCT:
		if (kafka_is_pointer(field))
			pointer_encode(e, field, *(void *const *)at);
		else
			struct_encode(e, field->of, at);
		return;
	default:
		plain_encode(e, field->kind, at);
		return;
	}
}

/* A tagged field's length comes before it, and is known behind it. */
static void tagged_encode(struct encoder *e, const struct kafka_field *field, const void *at)
{
	struct buf *out = e->out;
	size_t start, len, prefix_len;
	char prefix[5];

	kafka_put_uvarint(out, field->tag);
	start = out->len;
	field_encode(e, field, at);
	len = out->len - start;
	kafka_put_uvarint(out, (uint32_t)len);
	if (out->failed)
		return;
	prefix_len = out->len - start - len;
	memcpy(prefix, out->ptr + start + len, prefix_len);
	memmove(out->ptr + start + prefix_len, out->ptr + start, len);
	memcpy(out->ptr + start, prefix, prefix_len);
}

static bool tagged_is_sent(const struct encoder *e, const struct kafka_field *field, const void *message)
{
	return field->tagged && kafka_span_has(field->versions, e->format.version) &&
	       !kafka_is_default(field, kafka_member_const(field, message));
}

static void tags_encode(struct encoder *e, const struct kafka_table *table, const void *message)
{
	uint32_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += tagged_is_sent(e, &table->fields[i], message);
	kafka_put_uvarint(e->out, count);
	for (size_t i = 0; i < table->count; i++)
		if (tagged_is_sent(e, &table->fields[i], message))
			tagged_encode(e, &table->fields[i], kafka_member_const(&table->fields[i], message));
}

static void struct_encode(struct encoder *e, const struct kafka_table *table, const void *at)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct kafka_field *field = &table->fields[i];

		if (!field->tagged && kafka_span_has(field->versions, e->format.version))
			field_encode(e, field, kafka_member_const(field, at));
	}
	if (e->format.flexible)
		tags_encode(e, table, at);
}

void kafka_encode(const struct kafka_table *table, struct kafka_format format, const void *message, struct buf *out,
		  struct kafka_gaps *gaps)
{
	struct encoder e = {out, gaps, format};

	struct_encode(&e, table, message);
}
