/* What the interpreter believes of the tables, and what of each key is offered. */
#include "base/testing.h"
#include "kafka/codec/codec_fixture.h"
#include "kafka/codec/codec_priv.h"
#include "kafka/codec/messages_cluster.h"

#define EXPECT(condition, in, of_field)                                                                                          \
	do {                                                                                                                     \
		if (!(condition))                                                                                                \
			fail_msg("%s: %s: %s", (in)->name, (of_field)->name, #condition);                                        \
	} while (0)

enum { DEPTH_MAX = 5 };

static void table_is_sound(const struct kafka_table *table, int depth, bool inside_tag)
{
	size_t end = 0;
	int tag = -1;

	assert_true(depth <= DEPTH_MAX);
	for (size_t i = 0; i < table->count; i++) {
		const struct kafka_field *field = &table->fields[i];
		bool pointer = kafka_is_pointer(field);

		EXPECT(field->offset >= end, table, field);
		EXPECT(field->size_bytes == (pointer ? sizeof(void *) : kafka_kind_bytes(field->kind, field->of)), table, field);
		end = (size_t)field->offset + field->size_bytes;
		EXPECT(field->versions.before > field->versions.from, table, field);
		EXPECT(!kafka_kind_is_number(field->kind) || (!field->nulls.before && !field->preset_null), table, field);
		EXPECT(!pointer || (field->nulls.from <= field->versions.from && field->nulls.before >= field->versions.before),
		       table, field);
		EXPECT(!pointer || !field->tagged, table, field);
		EXPECT(!field->tagged || field->tag > tag, table, field);
		tag = field->tagged ? field->tag : tag;
		/* gaps are found again by their place in the buffer, which writing a tag's length moves */
		EXPECT(field->kind != KAFKA_RECORDS || !(inside_tag || field->tagged), table, field);
		EXPECT(field->kind != KAFKA_ARRAY_OF || (field->element != KAFKA_BYTES && field->element != KAFKA_RECORDS &&
							 field->element != KAFKA_ARRAY_OF),
		       table, field);
		if (field->of)
			table_is_sound(field->of, depth + 1, inside_tag || field->tagged);
	}
	assert_true(end <= table->size_bytes);
}

static void sound(const struct kafka_api *api, const struct kafka_table *table, struct kafka_format format, void *context)
{
	(void)api;
	(void)format;
	(void)context;
	table_is_sound(table, 1, false);
}

static void test_tables_are_sound(void **state)
{
	(void)state;
	codec_for_all(sound, NULL);
}

struct range {
	int key, first, last;
};

/* Written out once more, so that nothing is offered or withdrawn by a slip. */
static const struct range classic[] = {
	{0, 0, 9},  {1, 4, 12}, {2, 0, 7},  {3, 0, 9},  {8, 1, 8},  {9, 1, 8},  {10, 0, 4}, {11, 0, 9}, {12, 0, 4}, {13, 0, 5},
	{14, 0, 5}, {15, 0, 5}, {16, 0, 4}, {17, 0, 1}, {18, 0, 3}, {19, 0, 7}, {20, 0, 5}, {21, 0, 2}, {22, 0, 4}, {23, 0, 4},
	{24, 0, 3}, {25, 0, 3}, {26, 0, 3}, {28, 0, 3}, {29, 0, 3}, {30, 0, 3}, {31, 0, 3}, {32, 0, 4}, {33, 0, 2}, {35, 0, 4},
	{36, 0, 2}, {37, 0, 3}, {42, 0, 2}, {44, 0, 1}, {47, 0, 0}, {60, 0, 1}, {61, 0, 0}, {65, 0, 0}, {66, 0, 1},
};
/* Where all that is offered is more. */
static const struct range more[] = {
	{0, 0, 12}, {1, 4, 16}, {3, 0, 12}, {8, 1, 9},  {9, 1, 9},  {10, 0, 5}, {16, 0, 5}, {20, 0, 6}, {2, 0, 9},
	{22, 0, 5}, {24, 0, 5}, {25, 0, 4}, {26, 0, 5}, {28, 0, 5}, {18, 0, 4}, {68, 0, 1}, {69, 0, 1},
};

static const struct range *range_find(const struct range *ranges, size_t count, int key)
{
	for (size_t i = 0; i < count; i++)
		if (ranges[i].key == key)
			return &ranges[i];
	return NULL;
}

static void offers(enum kafka_offer offer, int key, const struct range *range)
{
	const struct kafka_api *api = kafka_api_find(offer, key);

	assert_int_equal(api != NULL, range != NULL);
	if (!api)
		return;
	assert_int_equal(api->key, key);
	assert_int_equal(api->first, range->first);
	assert_int_equal(api->last[offer], range->last);
}

static void test_what_is_offered(void **state)
{
	(void)state;
	for (int key = -1; key < 100; key++) {
		const struct range *least = range_find(classic, ARRAY_COUNT(classic), key);
		const struct range *all = range_find(more, ARRAY_COUNT(more), key);

		offers(KAFKA_OFFER_CLASSIC, key, least);
		offers(KAFKA_OFFER_ALL, key, all ? all : least);
	}
}

/* Each key once, in order, as clients read them. */
static void test_the_list_for_clients(void **state)
{
	struct kafka_api_version versions[KAFKA_API_COUNT];
	uint32_t count = kafka_api_versions(KAFKA_OFFER_CLASSIC, versions);

	(void)state;
	assert_int_equal(count, ARRAY_COUNT(classic));
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(versions[i].api_key, classic[i].key);
		assert_int_equal(versions[i].min_version, classic[i].first);
		assert_int_equal(versions[i].max_version, classic[i].last);
	}
	assert_int_equal(kafka_api_versions(KAFKA_OFFER_ALL, versions), KAFKA_API_COUNT);
	assert_int_equal(versions[KAFKA_API_COUNT - 1].api_key, KAFKA_CONSUMER_GROUP_DESCRIBE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_are_sound),
		cmocka_unit_test(test_what_is_offered),
		cmocka_unit_test(test_the_list_for_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
