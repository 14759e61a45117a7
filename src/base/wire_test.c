#include "base/mem.h"
#include "base/testing.h"
#include "base/wire.h"

static void put_all(struct buf *buf, struct slice text)
{
	wire_put_u8(buf, 0xfe);
	wire_put_u16(buf, 0xfedc);
	wire_put_u32(buf, 0xfedcba98);
	wire_put_u64(buf, 0xfedcba9876543210);
	wire_put_varint(buf, 300);
	wire_put_string(buf, text);
}

static void get_all(struct wire_reader *r, struct slice *ret_text)
{
	assert_int_equal(wire_u8(r), 0xfe);
	assert_int_equal(wire_u16(r), 0xfedc);
	assert_int_equal(wire_u32(r), 0xfedcba98);
	assert_true(wire_u64(r) == 0xfedcba9876543210);
	assert_int_equal(wire_varint(r), 300);
	*ret_text = wire_string(r);
}

static void bytes_on_disk(void **state)
{
	static const uint8_t expected[] = {0xfe, 0xdc, 0xfe, 0x98, 0xba, 0xdc, 0xfe, 0x10, 0x32, 0x54, 0x76,
					   0x98, 0xba, 0xdc, 0xfe, 0xac, 0x02, 3,    'a',  'b',  'c'};
	struct buf buf = {0};
	struct wire_reader r;
	struct slice text;

	(void)state;
	put_all(&buf, SLICE("abc"));
	assert_int_equal(buf.len, sizeof(expected));
	assert_memory_equal(buf.ptr, expected, sizeof(expected));
	r = wire_reader_of(buf_slice(&buf));
	get_all(&r, &text);
	assert_true(slice_eq(text, SLICE("abc")));
	assert_true(wire_ok(&r));
	buf_deinit(&buf);
}

/* The error stays, and everything read from there on is zero or empty, in whatever order. */
static void truncated_everywhere(void **state)
{
	struct buf buf = {0};

	(void)state;
	put_all(&buf, SLICE("abc"));
	for (size_t len = 0; len < buf.len; len++) {
		char *exact = mem_dup(buf.ptr, len); /* so that a sanitizer sees a read too far */
		struct wire_reader r = wire_reader_of(slice_from(exact, len));

		(void)wire_u8(&r), (void)wire_u16(&r), (void)wire_u32(&r), (void)wire_u64(&r), (void)wire_varint(&r);
		assert_int_equal(wire_string(&r).len, 0);
		assert_true(r.failed);
		assert_false(wire_ok(&r));
		assert_true(r.at <= r.end);
		assert_int_equal(wire_u8(&r) + wire_u16(&r) + wire_u32(&r), 0);
		assert_true(wire_u64(&r) == 0 && wire_varint(&r) == 0);
		assert_int_equal(wire_bytes(&r, 0).len + wire_bytes(&r, 1).len + wire_string(&r).len, 0);
		mem_free(exact);
	}
	buf_deinit(&buf);
}

static void nothing_is_fine(void **state)
{
	struct wire_reader r = wire_reader_of((struct slice){NULL, 0});

	(void)state;
	assert_true(wire_ok(&r));
	assert_int_equal(wire_bytes(&r, 0).len, 0);
	assert_true(wire_ok(&r));
	assert_int_equal(wire_u8(&r), 0);
	assert_false(wire_ok(&r));
	r = wire_reader_of(SLICE("x"));
	assert_false(wire_ok(&r)); /* something is left over */
	assert_int_equal(wire_bytes(&r, SIZE_MAX).len, 0);
	assert_true(r.failed);
}

static void varints(void **state)
{
	static const struct {
		struct slice bytes;
		uint64_t value;
		bool ok;
	} cases[] = {
		{SLICE("\x00"), 0, true},
		{SLICE("\x7f"), 127, true},
		{SLICE("\x80\x01"), 128, true},
		{SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), UINT64_MAX, true},
		{SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX, true},
		{SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), 0, false},     /* 65 bits */
		{SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81"), 0, false},     /* an eleventh byte to come */
		{SLICE("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), 0, false}, /* eleven bytes */
		{SLICE(""), 0, false},
		{SLICE("\x81"), 0, false}, /* cut: not 1 */
		{SLICE("\xff\xff\xff"), 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct wire_reader r = wire_reader_of(cases[i].bytes);

		assert_true(wire_varint(&r) == cases[i].value);
		assert_int_equal(wire_ok(&r), cases[i].ok);
	}
	for (unsigned bits = 0; bits < 64; bits++) {
		for (uint64_t near = 0; near < 3; near++) {
			uint64_t value = ((uint64_t)1 << bits) + near - 1;
			struct buf buf = {0};
			struct wire_reader r;

			wire_put_varint(&buf, value);
			r = wire_reader_of(buf_slice(&buf));
			assert_true(wire_varint(&r) == value);
			assert_true(wire_ok(&r));
			buf_deinit(&buf);
		}
	}
}

/* A length that lies must neither overflow nor read beyond. */
static void lying_lengths(void **state)
{
	static const uint64_t lies[] = {4, 127, 128, UINT32_MAX, (uint64_t)UINT32_MAX + 4, INT64_MAX, UINT64_MAX - 3, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
		struct buf buf = {0};
		struct wire_reader r;

		wire_put_varint(&buf, lies[i]);
		buf_append_str(&buf, "abc");
		r = wire_reader_of(buf_slice(&buf));
		assert_int_equal(wire_string(&r).len, 0);
		assert_true(r.failed);
		buf_deinit(&buf);
	}
}

static void fixed_places(void **state)
{
	char at[13] = {0};

	(void)state;
	wire_store_u32(at + 1, 0x01020304);
	wire_store_u64(at + 5, 0x0102030405060708);
	assert_memory_equal(at, "\0\4\3\2\1\x8\7\6\5\4\3\2\1", 13);
	assert_int_equal(wire_load_u32(at + 1), 0x01020304);
	assert_true(wire_load_u64(at + 5) == 0x0102030405060708);
}

static uint64_t of_any_size(struct test_random *random)
{
	uint64_t value = test_random_u64(random);

	return value >> test_random_below(random, 64);
}

static void put(struct buf *buf, uint64_t v)
{
	static const char zeros[64];

	if (v % 6 == 0)
		wire_put_u8(buf, (uint8_t)v);
	else if (v % 6 == 1)
		wire_put_u16(buf, (uint16_t)v);
	else if (v % 6 == 2)
		wire_put_u32(buf, (uint32_t)v);
	else if (v % 6 == 3)
		wire_put_u64(buf, v);
	else if (v % 6 == 4)
		wire_put_varint(buf, v);
	else
		wire_put_string(buf, slice_from(zeros, v % 64));
}

static void expect(struct wire_reader *r, uint64_t v)
{
	if (v % 6 == 0)
		assert_int_equal(wire_u8(r), (uint8_t)v);
	else if (v % 6 == 1)
		assert_int_equal(wire_u16(r), (uint16_t)v);
	else if (v % 6 == 2)
		assert_int_equal(wire_u32(r), (uint32_t)v);
	else if (v % 6 == 3)
		assert_true(wire_u64(r) == v);
	else if (v % 6 == 4)
		assert_true(wire_varint(r) == v);
	else
		assert_int_equal(wire_string(r).len, v % 64);
}

/* Random fields, written and read back by the same script. */
static void model(void **state)
{
	struct test_random random = test_random_start("wire");

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t fields = test_random_below(&random, 30);
		struct test_random again = random;
		struct buf buf = {0};
		struct wire_reader r;

		for (size_t i = 0; i < fields; i++)
			put(&buf, of_any_size(&random));
		r = wire_reader_of(buf_slice(&buf));
		for (size_t i = 0; i < fields; i++)
			expect(&r, of_any_size(&again));
		assert_true(wire_ok(&r));
		buf_deinit(&buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_on_disk), cmocka_unit_test(truncated_everywhere), cmocka_unit_test(nothing_is_fine),
		cmocka_unit_test(varints),       cmocka_unit_test(lying_lengths),        cmocka_unit_test(fixed_places),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
