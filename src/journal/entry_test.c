#include "journal/entry.h"

#include "base/crc32c.h"
#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SALT = 0x1234, POSITION = 4096 };

static size_t sample(char out[256])
{
	struct entry entry = {.fields = SLICE("the fields"), .body = SLICE("the body"), .time_ms = 77, .shard = 3, .type = 9};
	size_t len;

	entry.body_crc = crc32c(0, entry.body.ptr, entry.body.len);
	memset(out, 0xff, 256);
	len = entry_encode(&entry, out);
	assert_int_equal(len, 56); /* 36 + 10 + 8, padded */
	assert_int_equal(entry_seal(out, SALT, POSITION, 1000), len);
	return len;
}

static void encodes_and_decodes(void **state)
{
	char bytes[256];
	size_t len = sample(bytes);
	struct entry entry;
	uint32_t length = 0;

	(void)state;
	assert_int_equal(entry_peek(slice_from(bytes, 36), len, POSITION, &length), ENTRY_VALID);
	assert_int_equal(length, 54);
	assert_int_equal(entry_decode(slice_from(bytes, len), SALT, POSITION, &entry), ENTRY_VALID);
	assert_true(slice_eq(entry.fields, SLICE("the fields")));
	assert_true(slice_eq(entry.body, SLICE("the body")));
	assert_int_equal(entry.time_ms, 77);
	assert_int_equal(entry.durable, 1000);
	assert_int_equal(entry.shard, 3);
	assert_int_equal(entry.type, 9);
	assert_int_equal(entry.flags, 0);
	assert_int_equal(bytes[54] | bytes[55], 0);
}

static void layout_is_as_documented(void **state)
{
	char bytes[256];
	uint64_t seed[2] = {SALT, POSITION};

	(void)state;
	sample(bytes);
	assert_int_equal(wire_load_u32(bytes), 54);
	assert_int_equal(wire_load_u32(bytes + 4), crc32c(crc32c(0, seed, 16), bytes + 8, 28 + 10));
	assert_int_equal(wire_load_u32(bytes + 8), crc32c(0, "the body", 8));
	assert_int_equal(wire_load_u32(bytes + 12), 10);
	assert_int_equal(wire_load_u64(bytes + 16), 77);
	assert_int_equal(wire_load_u64(bytes + 24), 1000);
	assert_int_equal(bytes[32] | bytes[33] << 8, 3);
	assert_int_equal(bytes[34], 9);
	assert_int_equal(bytes[35], 0);
	assert_memory_equal(bytes + 36, "the fieldsthe body", 18);
}

static void every_flipped_bit_is_noticed(void **state)
{
	char bytes[256];
	struct entry entry;

	(void)state;
	sample(bytes);
	for (size_t bit = 0; bit < 54 * 8; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		assert_int_not_equal(entry_decode(slice_from(bytes, 56), SALT, POSITION, &entry), ENTRY_VALID);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
	}
}

static void every_cut_is_noticed(void **state)
{
	char bytes[256];
	struct entry entry;

	(void)state;
	sample(bytes);
	for (size_t len = 0; len < 54; len++) {
		char *exact = malloc(len + 1);

		memcpy(exact, bytes, len);
		assert_int_not_equal(entry_decode(slice_from(exact, len), SALT, POSITION, &entry), ENTRY_VALID);
		free(exact);
	}
	assert_int_equal(entry_decode(slice_from(bytes, 54), SALT, POSITION, &entry), ENTRY_VALID);
}

static void the_wrong_place_is_noticed(void **state)
{
	char bytes[256];
	struct entry entry;

	(void)state;
	sample(bytes);
	assert_int_equal(entry_decode(slice_from(bytes, 56), SALT + 1, POSITION, &entry), ENTRY_BAD);
	assert_int_equal(entry_decode(slice_from(bytes, 56), SALT, POSITION + 8, &entry), ENTRY_BAD);
	/* Whoever claims a durable position beyond himself lies, whatever the checksum says. */
	entry_seal(bytes, SALT, POSITION, POSITION + 1);
	assert_int_equal(entry_decode(slice_from(bytes, 56), SALT, POSITION, &entry), ENTRY_BAD);
}

static void zeros_are_nothing(void **state)
{
	char zeros[64] = {0};
	struct entry entry;

	(void)state;
	for (size_t len = 0; len <= sizeof(zeros); len++)
		assert_int_equal(entry_decode(slice_from(zeros, len), SALT, POSITION, &entry), ENTRY_NONE);
}

static void limits_hold(void **state)
{
	enum { BODY = 3 << 20, WHOLE = ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX + BODY };
	static char bytes[WHOLE + 8];
	struct entry entry = {.type = 1, .fields = {bytes, ENTRY_FIELDS_MAX}, .body = {bytes, BODY}}, back;
	char *out = malloc(sizeof(bytes));
	size_t len;

	(void)state;
	entry.body_crc = crc32c(0, bytes, BODY);
	len = entry_encode(&entry, out);
	assert_int_equal(len, entry_aligned(WHOLE));
	entry_seal(out, SALT, POSITION, 0);
	assert_int_equal(entry_decode(slice_from(out, len), SALT, POSITION, &back), ENTRY_VALID);
	assert_int_equal(
		entry_peek_fields(slice_from(out, ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX), len, SALT, POSITION, &back.length),
		ENTRY_VALID);
	assert_int_equal(
		entry_peek_fields(slice_from(out, ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX - 1), len, SALT, POSITION, &back.length),
		ENTRY_BAD);
	assert_int_equal(
		entry_peek_fields(slice_from(out, ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX), len, SALT, POSITION + 8, &back.length),
		ENTRY_BAD);
	/* One byte more in the fields, one less, a length that wraps round. */
	wire_store_u32(out + 12, ENTRY_FIELDS_MAX + 1);
	assert_int_equal(entry_peek(slice_from(out, 36), len, POSITION, &back.length), ENTRY_BAD);
	wire_store_u32(out + 12, ENTRY_FIELDS_MAX - 1);
	assert_int_equal(entry_decode(slice_from(out, len), SALT, POSITION, &back), ENTRY_BAD);
	wire_store_u32(out, 0xfffffff8u);
	wire_store_u32(out + 12, 0xffffffffu);
	assert_int_equal(entry_peek(slice_from(out, 36), len, POSITION, &back.length), ENTRY_BAD);
	free(out);
}

static void closing_entries_have_no_type(void **state)
{
	struct entry entry = {.flags = ENTRY_CLOSE}, back;
	char bytes[64];

	(void)state;
	assert_int_equal(entry_encode(&entry, bytes), 40);
	entry_seal(bytes, SALT, POSITION, 8);
	assert_int_equal(entry_decode(slice_from(bytes, 40), SALT, POSITION, &back), ENTRY_VALID);
	assert_int_equal(back.flags, ENTRY_CLOSE);
	bytes[34] = 1;
	entry_seal(bytes, SALT, POSITION, 8);
	assert_int_equal(entry_decode(slice_from(bytes, 40), SALT, POSITION, &back), ENTRY_BAD);
	bytes[34] = 0;
	bytes[35] = 0;
	entry_seal(bytes, SALT, POSITION, 8);
	assert_int_equal(entry_decode(slice_from(bytes, 40), SALT, POSITION, &back), ENTRY_BAD);
	bytes[35] = 3;
	entry_seal(bytes, SALT, POSITION, 8);
	assert_int_equal(entry_decode(slice_from(bytes, 40), SALT, POSITION, &back), ENTRY_BAD);
}

static void file_headers(void **state)
{
	struct file_header header = {
		.magic = FILE_SEGMENT, .segment_bytes = 1 << 21, .position = 3 << 21, .salt = 5, .made_ms = 6};
	struct file_header back;
	char bytes[FILE_HEADER_BYTES];

	(void)state;
	file_header_encode(&header, bytes);
	assert_int_equal(file_header_decode(slice_from(bytes, 64), FILE_SEGMENT, &back), 0);
	assert_int_equal(back.segment_bytes, header.segment_bytes);
	assert_int_equal(back.position, header.position);
	assert_int_equal(back.salt, header.salt);
	assert_int_equal(back.made_ms, header.made_ms);
	assert_int_equal(file_header_decode(slice_from(bytes, 64), FILE_CHECKPOINT, &back), FILE_HEADER_BAD);
	assert_int_equal(file_header_decode(slice_from(bytes, 63), FILE_SEGMENT, &back), FILE_HEADER_BAD);
	for (size_t bit = 0; bit < 64 * 8; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(file_header_decode(slice_from(bytes, 64), FILE_SEGMENT, &back), FILE_HEADER_BAD);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
	}
	wire_store_u32(bytes + 8, 2);
	wire_store_u32(bytes + 60, crc32c(0, bytes, 60));
	assert_int_equal(file_header_decode(slice_from(bytes, 64), FILE_SEGMENT, &back), FILE_HEADER_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_and_decodes),
		cmocka_unit_test(layout_is_as_documented),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(the_wrong_place_is_noticed),
		cmocka_unit_test(zeros_are_nothing),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(closing_entries_have_no_type),
		cmocka_unit_test(file_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
