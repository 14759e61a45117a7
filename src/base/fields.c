#include "base/fields.h"

void body_ref_put(struct buf *out, const struct body_ref *ref)
{
	wire_put_u8(out, (uint8_t)ref->kind);
	if (ref->kind == BODY_NONE)
		return;
	wire_put_varint(out, ref->place);
	wire_put_varint(out, ref->size_bytes);
	wire_put_u32(out, ref->crc);
}

struct body_ref body_ref_get(struct wire_reader *r)
{
	struct body_ref ref = {0};
	uint8_t kind = wire_u8(r);

	if (kind == BODY_NONE)
		return ref;
	if (kind > BODY_BLOB)
		r->failed = true;
	ref.kind = (enum body_kind)kind;
	ref.place = wire_varint(r);
	ref.size_bytes = wire_varint(r);
	ref.crc = wire_u32(r);
	return ref;
}

static void put_one(struct buf *out, const struct field *field, const char *at)
{
	switch ((enum field_kind)field->kind) {
	case FIELD_VARINT:
		for (unsigned i = 0; i <= field->more; i++)
			wire_put_varint(out, ((const uint64_t *)(const void *)at)[i]);
		return;
	case FIELD_FIXED64:
		wire_put_u64(out, *(const uint64_t *)(const void *)at);
		return;
	case FIELD_STRING:
		wire_put_string(out, *(const struct slice *)(const void *)at);
		return;
	case FIELD_REF:
		body_ref_put(out, (const struct body_ref *)(const void *)at);
		return;
	}
}

static void get_one(struct wire_reader *r, const struct field *field, char *at)
{
	switch ((enum field_kind)field->kind) {
	case FIELD_VARINT:
		for (unsigned i = 0; i <= field->more; i++)
			((uint64_t *)(void *)at)[i] = wire_varint(r);
		return;
	case FIELD_FIXED64:
		*(uint64_t *)(void *)at = wire_u64(r);
		return;
	case FIELD_STRING:
		*(struct slice *)(void *)at = wire_string(r);
		return;
	case FIELD_REF:
		*(struct body_ref *)(void *)at = body_ref_get(r);
		return;
	}
}

void fields_put(struct buf *out, const struct field *fields, const uint8_t *layout, const void *record)
{
	for (const uint8_t *f = layout; *f; f++)
		put_one(out, &fields[*f], (const char *)record + fields[*f].offset);
}

bool fields_get(struct slice bytes, const struct field *fields, const uint8_t *layout, void *record)
{
	struct wire_reader r = wire_reader_of(bytes);

	for (const uint8_t *f = layout; *f; f++)
		get_one(&r, &fields[*f], (char *)record + fields[*f].offset);
	return wire_ok(&r);
}
