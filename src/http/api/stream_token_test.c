#include "base/testing.h"

#include "http/api/stream_priv.h"

#include <string.h>

#define EPOCH_MS 1728432000000ULL /* 2024-10-09T00:00:00Z */

static void places_come_back_and_sort_as_they_lie(void **state)
{
	static const uint64_t values[] = {0, 1, 9, 10, 15, 16, 255, 1ULL << 32, (1ULL << 53) + 1, UINT64_MAX / 4, UINT64_MAX};
	char before[PLACE_CHARS + 1] = "", now[PLACE_CHARS + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		for (size_t j = 0; j < ARRAY_COUNT(values); j++) {
			uint64_t number = 7, offset = 7;

			place_write(values[i], values[j], now);
			assert_int_equal(strlen(now), PLACE_CHARS);
			assert_true(strcmp(before, now) < 0);
			assert_int_equal(place_read(slice_str(now), &number, &offset), 0);
			assert_true(number == values[i] && offset == values[j]);
			memcpy(before, now, sizeof(now));
		}
	}
}

/* Each byte of a token changed to each other one: either it is refused, or it is another place. */
static void other_texts_are_no_places(void **state)
{
	static const char *const bad[] = {
		"", "-1", "now", "0", "0000000000000001_000000000000000", "0000000000000001_00000000000000000"};
	char text[PLACE_CHARS + 1];
	uint64_t number, offset;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_not_equal(place_read(slice_str(bad[i]), &number, &offset), 0);
	for (size_t i = 0; i < PLACE_CHARS; i++) {
		for (int c = 0; c < 256; c++) {
			bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			place_write(0x123456789abcdef0ULL, 42, text);
			text[i] = (char)c;
			assert_int_equal(place_read(slice_from(text, PLACE_CHARS), &number, &offset) == 0,
					 i == 16 ? c == '_' : digit);
		}
	}
}

static void where_reading_begins(void **state)
{
	struct stream_read_in in = {0};
	char text[PLACE_CHARS + 1];

	(void)state;
	assert_int_equal(offset_read(SLICE("now"), &in), 0);
	assert_int_equal(in.from, STREAM_FROM_NOW);
	assert_int_equal(offset_read(SLICE("-1"), &in), 0);
	assert_int_equal(in.from, STREAM_FROM_START);
	place_write(7, 9, text);
	assert_int_equal(offset_read(slice_str(text), &in), 0);
	assert_true(in.from == STREAM_FROM_OFFSET && in.number == 7 && in.offset == 9);
	assert_int_not_equal(offset_read(SLICE("start"), &in), 0);
	assert_int_not_equal(offset_read(SLICE(""), &in), 0);
}

static void cursors_count_intervals_and_never_stand_still(void **state)
{
	(void)state;
	assert_int_equal(cursor_next(EPOCH_MS + 19999, 0, 0), 1); /* 0 is what says nothing */
	assert_int_equal(cursor_next(EPOCH_MS + 20000 * 1000, 0, 5), 1000);
	assert_int_equal(cursor_next(EPOCH_MS + 20000 * 1000, 999, 5), 1000);
	assert_int_equal(cursor_next(0, 0, 0), 1);
	for (uint64_t chance = 0; chance < 1000; chance++) {
		uint64_t next = cursor_next(EPOCH_MS + 20000 * 1000, 1000, chance);

		assert_true(next > 1000 && next <= 1180);
		assert_true(cursor_next(EPOCH_MS + 20000 * 1000, 5000, chance) > 5000);
	}
	assert_int_equal(cursor_read(SLICE("123")), 123);
	assert_int_equal(cursor_read(SLICE("")), 0);
	assert_int_equal(cursor_read(SLICE("12x")), 0);
	assert_int_equal(cursor_read(SLICE("18446744073709551615")), 0); /* beyond it nothing would follow */
}

static void etags_differ_in_all_that_matters(void **state)
{
	char a[ETAG_BYTES], b[ETAG_BYTES];
	struct slice tag = etag_write(a, 1, 2, 3, false);

	(void)state;
	assert_true(tag.ptr[0] == '"' && tag.ptr[tag.len - 1] == '"');
	assert_true(etag_matches(tag, tag));
	assert_false(etag_matches(etag_write(b, 2, 2, 3, false), tag));
	assert_false(etag_matches(etag_write(b, 1, 1, 3, false), tag));
	assert_false(etag_matches(etag_write(b, 1, 2, 4, false), tag));
	assert_false(etag_matches(etag_write(b, 1, 2, 3, true), tag));
	assert_true(etag_write(b, UINT64_MAX, UINT64_MAX, UINT64_MAX, true).len < ETAG_BYTES);
	assert_true(etag_matches(SLICE("*"), tag));
	assert_true(etag_matches(SLICE("\"x\" , W/\"1:2:3\""), tag));
	assert_false(etag_matches(SLICE("\"1:2:3"), tag));
	assert_false(etag_matches(SLICE(""), tag));
}

static void only_the_media_type_says_json(void **state)
{
	(void)state;
	assert_true(type_is_json(SLICE("application/json")));
	assert_true(type_is_json(SLICE("Application/JSON ; charset=utf-8")));
	assert_false(type_is_json(SLICE("application/json2")));
	assert_false(type_is_json(SLICE("application/jsonl")));
	assert_false(type_is_json(SLICE("text/plain; application/json")));
	assert_false(type_is_json(SLICE("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_come_back_and_sort_as_they_lie),
		cmocka_unit_test(other_texts_are_no_places),
		cmocka_unit_test(where_reading_begins),
		cmocka_unit_test(cursors_count_intervals_and_never_stand_still),
		cmocka_unit_test(etags_differ_in_all_that_matters),
		cmocka_unit_test(only_the_media_type_says_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
