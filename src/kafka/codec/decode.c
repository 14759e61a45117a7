/* Reading. The cursor's error is sticky, so a value is read to its end and looked at once; loops alone look at it, since they
 * must not go on for as long as a lie says. */
#include "kafka/codec/bytes.h"
#include "kafka/codec/codec_priv.h"

#include <errno.h>

struct decoder {
	struct wire_reader in;
	struct kafka_room *room;
	struct kafka_format format;
	int error; /* when it is not what was read */
};

static void struct_decode(struct decoder *d, const struct kafka_table *table, void *at);

uint32_t kafka_get_uvarint(struct wire_reader *r)
{
	uint32_t value = 0;

	for (unsigned shift = 0; shift < 32; shift += 7) {
		uint8_t byte = wire_u8(r);

		if (shift == 28 && byte > 0x0f)
			break;
		value |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return r->failed ? 0 : value;
	}
	r->failed = true;
	return 0;
}

static size_t left(const struct decoder *d)
{
	return (size_t)(d->in.end - d->in.at);
}

static void fail(struct decoder *d, int error)
{
	if (!d->in.failed)
		d->error = error;
	d->in.failed = true;
}

static void *take(struct decoder *d, uint64_t size_bytes)
{
	void *at;

	if (size_bytes > d->room->left_bytes) {
		fail(d, -E2BIG);
		return NULL;
	}
	at = arena_alloc(d->room->arena, (size_t)size_bytes);
	if (!at) {
		fail(d, -ENOMEM);
		return NULL;
	}
	d->room->left_bytes -= (size_t)size_bytes;
	return at;
}

/* What comes before a string, bytes, records or an array: how much follows, or that it is null. */
struct extent {
	uint32_t n;
	bool null;
};

static struct extent extent_of(struct decoder *d, const struct kafka_field *field, uint8_t kind)
{
	struct extent extent = {0};

	if (d->format.flexible && !field->plain) {
		uint32_t n = kafka_get_uvarint(&d->in);

		extent.null = n == 0;
		extent.n = n ? n - 1 : 0;
	} else {
		int32_t n = kind == KAFKA_STRING ? (int16_t)kafka_get_u16(&d->in) : (int32_t)kafka_get_u32(&d->in);

		extent.null = n == -1;
		extent.n = n < 0 ? 0 : (uint32_t)n;
		if (n < -1)
			d->in.failed = true;
	}
	/* No element is shorter than a byte. */
	if (extent.n > left(d))
		d->in.failed = true;
	if (d->in.failed)
		return (struct extent){0};
	return extent;
}

static struct slice slice_decode(struct decoder *d, const struct kafka_field *field, uint8_t kind, bool may_be_null)
{
	struct extent extent = extent_of(d, field, kind);

	if ((extent.null && !may_be_null) || (kind == KAFKA_STRING && extent.n > KAFKA_STRING_BYTES_MAX))
		d->in.failed = true;
	return extent.null ? (struct slice){0} : wire_bytes(&d->in, extent.n);
}

static void plain_decode(struct decoder *d, uint8_t kind, void *at)
{
	struct slice bytes;

	switch (kind) {
	case KAFKA_BOOL:
	case KAFKA_INT8:
		kafka_number_store(kind, at, (int8_t)wire_u8(&d->in));
		return;
	case KAFKA_INT16:
		kafka_number_store(kind, at, (int16_t)kafka_get_u16(&d->in));
		return;
	case KAFKA_INT32:
		kafka_number_store(kind, at, (int32_t)kafka_get_u32(&d->in));
		return;
	case KAFKA_INT64:
		kafka_number_store(kind, at, (int64_t)kafka_get_u64(&d->in));
		return;
	case KAFKA_UUID:
		bytes = wire_bytes(&d->in, sizeof(struct kafka_uuid));
		if (bytes.len)
			memcpy(at, bytes.ptr, bytes.len);
		return;
	}
}

static void element_decode(struct decoder *d, const struct kafka_field *field, void *at)
{
	if (field->element == KAFKA_STRUCT)
		struct_decode(d, field->of, at);
	else if (field->element == KAFKA_STRING)
		*(struct slice *)at = slice_decode(d, field, KAFKA_STRING, false);
	else
		plain_decode(d, field->element, at);
}

static void array_decode(struct decoder *d, const struct kafka_field *field, struct kafka_array *array)
{
	static _Alignas(8) char nothing[8]; /* where empty arrays lie; never read or written */
	struct extent extent = extent_of(d, field, KAFKA_ARRAY_OF);
	size_t size = kafka_kind_bytes(field->element, field->of);

	*array = (struct kafka_array){0};
	if (extent.null) {
		if (!kafka_span_has(field->nulls, d->format.version))
			d->in.failed = true;
		return;
	}
	array->at = extent.n ? take(d, (uint64_t)extent.n * size) : nothing;
	if (!array->at)
		return;
	array->count = extent.n;
	for (uint32_t i = 0; i < extent.n && !d->in.failed; i++)
		element_decode(d, field, (char *)array->at + i * size);
}

static void pointer_decode(struct decoder *d, const struct kafka_field *field, void **ret)
{
	*ret = NULL;
	if ((int8_t)wire_u8(&d->in) < 0)
		return;
	*ret = take(d, field->of->size_bytes);
	if (*ret)
		struct_decode(d, field->of, *ret);
}

static void field_decode(struct decoder *d, const struct kafka_field *field, void *at)
{
	switch (field->kind) {
	case KAFKA_STRING:
	case KAFKA_BYTES:
	case KAFKA_RECORDS:
		*(struct slice *)at = slice_decode(d, field, field->kind, kafka_span_has(field->nulls, d->format.version));
		return;
	case KAFKA_ARRAY_OF:
		array_decode(d, field, at);
		return;
	case KAFKA_STRUCT:
		if (kafka_is_pointer(field))
			pointer_decode(d, field, at);
		else
			struct_decode(d, field->of, at);
		return;
	default:
		plain_decode(d, field->kind, at);
		return;
	}
}

static const struct kafka_field *tagged_find(const struct decoder *d, const struct kafka_table *table, uint32_t tag)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct kafka_field *field = &table->fields[i];

		if (field->tagged && field->tag == tag && kafka_span_has(field->versions, d->format.version))
			return field;
	}
	return NULL;
}

/* A tagged field says how long it is, and has to be just that long. */
static void tagged_decode(struct decoder *d, const struct kafka_field *field, struct slice bytes, void *message)
{
	struct wire_reader outer = d->in;

	d->in = wire_reader_of(bytes);
	field_decode(d, field, kafka_member(field, message));
	outer.failed = !wire_ok(&d->in);
	d->in = outer;
}

static void tags_decode(struct decoder *d, const struct kafka_table *table, void *message)
{
	uint32_t count = kafka_get_uvarint(&d->in), least = 0;

	for (uint32_t i = 0; i < count && !d->in.failed; i++) {
		uint32_t tag = kafka_get_uvarint(&d->in);
		uint32_t len = kafka_get_uvarint(&d->in);
		struct slice bytes = wire_bytes(&d->in, len);
		const struct kafka_field *field = tagged_find(d, table, tag);

		if (tag < least || tag == UINT32_MAX) /* they come in order, each once */
			d->in.failed = true;
		least = tag + 1;
		if (field && !d->in.failed)
			tagged_decode(d, field, bytes, message);
	}
}

static void struct_decode(struct decoder *d, const struct kafka_table *table, void *at)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct kafka_field *field = &table->fields[i];

		if (field->tagged || !kafka_span_has(field->versions, d->format.version))
			kafka_default(field, kafka_member(field, at));
		else
			field_decode(d, field, kafka_member(field, at));
	}
	if (d->format.flexible)
		tags_decode(d, table, at);
}

int kafka_decode_front(const struct kafka_table *table, struct kafka_format format, struct slice *bytes, struct kafka_room *room,
		       void *ret_message)
{
	struct decoder d = {wire_reader_of(*bytes), room, format, 0};

	struct_decode(&d, table, ret_message);
	if (d.in.failed)
		return d.error ? d.error : -EBADMSG;
	*bytes = slice_from(d.in.at, left(&d));
	return 0;
}

int kafka_decode(const struct kafka_table *table, struct kafka_format format, struct slice bytes, struct kafka_room *room,
		 void *ret_message)
{
	int err = kafka_decode_front(table, format, &bytes, room, ret_message);

	if (err)
		return err;
	return bytes.len ? -EBADMSG : 0;
}
