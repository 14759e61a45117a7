#include "kafka/codec/codec_fixture.h"

#include "base/panic.h"
#include "kafka/codec/codec_priv.h"

void codec_for_all(codec_each *each, void *context)
{
	for (int key = 0; key < KAFKA_KEY_END; key++) {
		const struct kafka_api *api = kafka_api_find(KAFKA_OFFER_ALL, key);

		for (int16_t version = api ? api->first : 0; api && version <= api->last[KAFKA_OFFER_ALL]; version++) {
			each(api, api->request, kafka_api_format(api, version), context);
			each(api, api->response, kafka_api_format(api, version), context);
		}
	}
}

static size_t below(struct codec_random *random, size_t bound)
{
	return (size_t)(random->draw(random->context) % bound);
}

static void *room_for(struct codec_random *random, size_t size)
{
	void *at = arena_alloc(random->arena, size ? size : 1);

	ENSURE(at);
	return at;
}

/* Mostly short, sometimes so long that its length takes two bytes. */
static struct slice draw_slice(struct codec_random *random)
{
	size_t len = below(random, 8) ? below(random, 12) : below(random, 300);
	char *at = room_for(random, len);

	for (size_t i = 0; i < len; i++)
		at[i] = (char)random->draw(random->context);
	return slice_from(at, len);
}

static void draw_value(struct codec_random *random, const struct kafka_field *field, struct kafka_format format, void *at)
{
	uint8_t kind = field->kind == KAFKA_ARRAY_OF ? field->element : field->kind;

	if (kafka_kind_is_number(kind)) {
		kafka_number_store(kind, at, (int64_t)random->draw(random->context));
		if (kind == KAFKA_BOOL)
			*(bool *)at = below(random, 2);
	} else if (kind == KAFKA_UUID) {
		for (size_t i = 0; i < sizeof(struct kafka_uuid); i++)
			((uint8_t *)at)[i] = (uint8_t)random->draw(random->context);
	} else if (kind == KAFKA_STRUCT) {
		codec_fill(random, field->of, format, at);
	} else {
		*(struct slice *)at = draw_slice(random);
	}
}

static void draw_array(struct codec_random *random, const struct kafka_field *field, struct kafka_format format,
		       struct kafka_array *array)
{
	size_t size = kafka_kind_bytes(field->element, field->of);
	uint32_t count = (uint32_t)(below(random, 16) ? below(random, 3) : below(random, 20));

	array->at = room_for(random, count * size);
	array->count = count;
	for (uint32_t i = 0; i < count; i++)
		draw_value(random, field, format, (char *)array->at + i * size);
}

static void draw_member(struct codec_random *random, const struct kafka_field *field, struct kafka_format format, void *at)
{
	if (kafka_span_has(field->nulls, format.version) && below(random, 3) == 0) {
		memset(at, 0, field->size_bytes);
	} else if (field->kind == KAFKA_ARRAY_OF) {
		draw_array(random, field, format, at);
	} else if (kafka_is_pointer(field)) {
		*(void **)at = room_for(random, field->of->size_bytes);
		codec_fill(random, field->of, format, *(void **)at);
	} else {
		draw_value(random, field, format, at);
	}
}

void codec_fill(struct codec_random *random, const struct kafka_table *table, struct kafka_format format, void *ret_message)
{
	kafka_defaults(table, ret_message);
	for (size_t i = 0; i < table->count; i++) {
		const struct kafka_field *field = &table->fields[i];

		if (kafka_span_has(field->versions, format.version) && !(field->tagged && below(random, 2)))
			draw_member(random, field, format, kafka_member(field, ret_message));
	}
}

static bool same_slice(struct slice a, struct slice b)
{
	return !a.ptr == !b.ptr && slice_eq(a, b);
}

static bool same_array(const struct kafka_field *field, const struct kafka_array *a, const struct kafka_array *b)
{
	size_t size = kafka_kind_bytes(field->element, field->of);

	if (a->count != b->count || (field->nulls.before && !a->at != !b->at))
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const void *left = (const char *)a->at + i * size, *right = (const char *)b->at + i * size;

		if (field->element == KAFKA_STRUCT) {
			if (!codec_same(field->of, left, right))
				return false;
		} else if (field->element == KAFKA_STRING) {
			if (!same_slice(*(const struct slice *)left, *(const struct slice *)right))
				return false;
		} else if (memcmp(left, right, size) != 0) {
			return false;
		}
	}
	return true;
}

static bool same_member(const struct kafka_field *field, const void *a, const void *b)
{
	switch (field->kind) {
	case KAFKA_STRING:
	case KAFKA_BYTES:
	case KAFKA_RECORDS:
		return same_slice(*(const struct slice *)a, *(const struct slice *)b);
	case KAFKA_ARRAY_OF:
		return same_array(field, a, b);
	case KAFKA_STRUCT:
		if (!kafka_is_pointer(field))
			return codec_same(field->of, a, b);
		if (!*(void *const *)a || !*(void *const *)b)
			return !*(void *const *)a == !*(void *const *)b;
		return codec_same(field->of, *(void *const *)a, *(void *const *)b);
	default:
		return memcmp(a, b, field->size_bytes) == 0;
	}
}

bool codec_same(const struct kafka_table *table, const void *a, const void *b)
{
	for (size_t i = 0; i < table->count; i++)
		if (!same_member(&table->fields[i], kafka_member_const(&table->fields[i], a),
				 kafka_member_const(&table->fields[i], b)))
			return false;
	return true;
}
