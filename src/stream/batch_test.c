/* The known bytes are what kafka-python 3.0.12 makes (DefaultRecordBatchBuilder) at TIME_MS. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/testing.h"
#include "stream/batch.h"

#include <errno.h>

#define TIME_MS UINT64_C(1700000000123)
#define NONE                                                                                                                     \
	{                                                                                                                        \
		NULL, 0                                                                                                          \
	}

/* clang-format off */
static const uint8_t one[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3e, 0x00, 0x00, 0x00, 0x00, 0x02, 0x83, 0x3b, 0x04,
	0x8f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x68, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
	0x01, 0x18, 0x00, 0x00, 0x00, 0x02, 0x6b, 0x0a, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
};

static const uint8_t three[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x02, 0x01, 0xb7, 0x9e,
	0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x68, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
	0x03, 0x1a, 0x00, 0x00, 0x00, 0x01, 0x0e, 0x7b, 0x22, 0x61, 0x22, 0x3a, 0x31, 0x7d, 0x00, 0x0c, 0x00, 0x00, 0x02, 0x00,
	0x00, 0x00, 0x12, 0x00, 0x00, 0x04, 0x06, 0x6b, 0x65, 0x79, 0x01, 0x00,
};

static const uint8_t headers[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x48, 0x00, 0x00, 0x00, 0x00, 0x02, 0xf4, 0xbd, 0xf3,
	0x8a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x68, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
	0x02, 0x1e, 0x00, 0x00, 0x00, 0x02, 0x6b, 0x02, 0x76, 0x04, 0x02, 0x68, 0x02, 0x78, 0x02, 0x6e, 0x01, 0x0c, 0x00, 0x00,
	0x02, 0x01, 0x01, 0x00,
};

static const uint8_t wide[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xca, 0x00, 0x00, 0x00, 0x00, 0x02, 0x0f, 0x58, 0x86,
	0xdd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x68, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
	0x02, 0x8e, 0x01, 0x00, 0x00, 0x00, 0x01, 0x80, 0x01, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x00, 0x9c, 0x01, 0x00, 0x00, 0x02, 0x8c,
	0x01, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x02, 0x7a, 0x00,
};

static const uint8_t producer[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x43, 0x00, 0x00, 0x00, 0x00, 0x02, 0xeb, 0x79, 0x0b,
	0x11, 0x00, 0x10, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x69, 0xc8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4d, 0x00, 0x03, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,
	0x02, 0x10, 0x00, 0x00, 0x00, 0x02, 0x6b, 0x02, 0x76, 0x00, 0x10, 0x00, 0x9a, 0x05, 0x02, 0x01, 0x02, 0x77, 0x00,
};

static const uint8_t gzip[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x59, 0x00, 0x00, 0x00, 0x00, 0x02, 0xa3, 0x81, 0xf4,
	0xea, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0x00, 0x00, 0x01, 0x8b, 0xcf,
	0xe5, 0x68, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
	0x02, 0x1f, 0x8b, 0x08, 0x00, 0x70, 0xec, 0x06, 0x6b, 0x02, 0xff, 0xdb, 0xc4, 0xcc, 0xc0, 0xc0, 0xc0, 0xb8, 0x84, 0x39,
	0x71, 0xd8, 0x01, 0x86, 0x4d, 0x40, 0xaf, 0x31, 0x0d, 0x4f, 0xaf, 0x01, 0x00, 0x4c, 0x96, 0xcc, 0xc6, 0xb6, 0x01, 0x00,
	0x00,
};
/* clang-format on */

static const struct batch_record one_records[] = {{SLICE_INIT("k"), SLICE_INIT("hello")}};
static const struct batch_record three_records[] = {
	{NONE, SLICE_INIT("{\"a\":1}")}, {SLICE_INIT(""), SLICE_INIT("")}, {SLICE_INIT("key"), NONE}};
static const struct batch_record headers_records[] = {{SLICE_INIT("k"), SLICE_INIT("v")}, {NONE, NONE}};
static const struct batch_record wide_records[] = {
	{NONE, SLICE_INIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")},
	{SLICE_INIT("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), SLICE_INIT("z")},
};
static const struct batch_record producer_records[] = {{SLICE_INIT("k"), SLICE_INIT("v")}, {NONE, SLICE_INIT("w")}};

static const struct known {
	struct slice bytes;
	const struct batch_record *records;
	size_t count;
	bool ours; /* encoded here, the same bytes come out */
} knowns[] = {
	{{(const char *)one, sizeof(one)}, one_records, ARRAY_COUNT(one_records), true},
	{{(const char *)three, sizeof(three)}, three_records, ARRAY_COUNT(three_records), true},
	{{(const char *)wide, sizeof(wide)}, wide_records, ARRAY_COUNT(wide_records), true},
	{{(const char *)headers, sizeof(headers)}, headers_records, ARRAY_COUNT(headers_records), false},
	{{(const char *)producer, sizeof(producer)}, producer_records, ARRAY_COUNT(producer_records), false},
};

/* Bytes of one's own, in memory of exactly their length: a sanitizer sees a read too far. */
static struct slice copy_of(struct slice bytes)
{
	char *copy = malloc(bytes.len ? bytes.len : 1);

	assert_non_null(copy);
	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return slice_from(copy, bytes.len);
}

static void drop(struct slice copy)
{
	free((void *)(uintptr_t)copy.ptr);
}

static int open_only(struct slice bytes)
{
	struct slice copy = copy_of(bytes);
	struct batch_reader reader;
	int r = batch_open(&reader, copy);

	drop(copy);
	return r;
}

/* To the end or the first fault: 0 or -EBADMSG. */
static int read_through(struct slice bytes, uint32_t *ret_read)
{
	struct slice copy = copy_of(bytes);
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset;
	int r = batch_open(&reader, copy);

	for (*ret_read = 0; !r; ++*ret_read) {
		int got = batch_next(&reader, &record, &offset);

		if (got == 0)
			break;
		if (got < 0) {
			assert_int_equal(batch_next(&reader, &record, &offset), got); /* a fault stays */
			r = got;
			break;
		}
	}
	drop(copy);
	return r;
}

static int read_all(struct slice bytes)
{
	uint32_t read;

	return read_through(bytes, &read);
}

static void assert_same(struct slice a, struct slice b)
{
	assert_true(!a.ptr == !b.ptr); /* none is not empty */
	assert_true(slice_eq(a, b));
}

static void expect_records(struct slice bytes, uint64_t base, const struct batch_record *records, size_t count)
{
	struct slice copy = copy_of(bytes);
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset;

	assert_int_equal(batch_open(&reader, copy), 0);
	assert_true(reader.base_offset == base);
	assert_true(reader.time_ms == TIME_MS);
	assert_int_equal(reader.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(reader.left, count - i);
		assert_int_equal(batch_next(&reader, &record, &offset), 1);
		assert_true(offset == base + i);
		assert_same(record.key, records[i].key);
		assert_same(record.value, records[i].value);
	}
	assert_int_equal(batch_next(&reader, &record, &offset), 0);
	assert_int_equal(batch_next(&reader, &record, &offset), 0);
	drop(copy);
}

static void known_bytes_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(knowns); i++)
		expect_records(knowns[i].bytes, 0, knowns[i].records, knowns[i].count);
}

static void known_bytes_are_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(knowns); i++) {
		struct buf out = {0};

		if (!knowns[i].ours)
			continue;
		buf_append_str(&out, "before");
		batch_encode(&out, TIME_MS, knowns[i].records, knowns[i].count);
		assert_false(out.failed);
		assert_int_equal(out.len, 6 + knowns[i].bytes.len);
		assert_memory_equal(out.ptr + 6, knowns[i].bytes.ptr, knowns[i].bytes.len);
		assert_memory_equal(out.ptr, "before", 6);
		buf_deinit(&out);
	}
}

static void compressed_is_refused(void **state)
{
	(void)state;
	assert_int_equal(open_only(slice_from(gzip, sizeof(gzip))), -EBADMSG);
}

static void base_lies_outside_the_checksum(void **state)
{
	static const uint64_t bases[] = {1, 0x0102030405060708, INT64_MAX - 3};
	struct slice copy = copy_of(slice_from(three, sizeof(three)));
	char *bytes = (char *)(uintptr_t)copy.ptr;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bases); i++) {
		batch_set_base(bytes, bases[i]);
		expect_records(copy, bases[i], three_records, 3);
		assert_memory_equal(bytes + 8, three + 8, sizeof(three) - 8);
	}
	batch_set_base(bytes, 0x0102030405060708);
	assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", 8);
	bytes[15] = 7; /* leader epoch */
	expect_records(copy, 0x0102030405060708, three_records, 3);
	batch_set_base(bytes, (uint64_t)INT64_MAX - 2); /* no offset behind the last record */
	assert_int_equal(open_only(copy), -EBADMSG);
	batch_set_base(bytes, UINT64_MAX);
	assert_int_equal(open_only(copy), -EBADMSG);
	drop(copy);
}

static void every_truncation(void **state)
{
	struct batch_reader reader;

	(void)state;
	assert_int_equal(batch_open(&reader, (struct slice){NULL, 0}), -EBADMSG);
	for (size_t i = 0; i < ARRAY_COUNT(knowns); i++) {
		struct buf longer = {0};

		for (size_t len = 0; len < knowns[i].bytes.len; len++)
			assert_int_equal(open_only(slice_from(knowns[i].bytes.ptr, len)), -EBADMSG);
		buf_append_slice(&longer, knowns[i].bytes);
		buf_append_char(&longer, 0);
		assert_int_equal(open_only(buf_slice(&longer)), -EBADMSG);
		buf_append_slice(&longer, knowns[i].bytes);
		assert_int_equal(open_only(buf_slice(&longer)), -EBADMSG);
		buf_deinit(&longer);
	}
}

/* All but base offset and leader epoch is guarded: by the checksum, or by being checked. */
static void every_bit(void **state)
{
	struct slice copy = copy_of(slice_from(three, sizeof(three)));
	char *bytes = (char *)(uintptr_t)copy.ptr;

	(void)state;
	for (size_t bit = 0; bit < 8 * copy.len; bit++) {
		bool free_to_change = bit / 8 < 8 || (bit / 8 >= 12 && bit / 8 < 16);

		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(open_only(copy), free_to_change && bit != 7 ? 0 : -EBADMSG); /* bit 7: a negative offset */
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
	}
	assert_int_equal(open_only(copy), 0);
	drop(copy);
}

/* --- batches that lie under a checksum that is right --- */

static void put_be(char *at, size_t bytes, uint64_t v)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (char)(v >> 8 * (bytes - 1 - i));
}

static void seal(char *batch, size_t len)
{
	put_be(batch + 8, 4, len - 12);
	put_be(batch + 17, 4, crc32c(0, batch + 21, len - 21));
}

/* `count` records in `records`, whatever they are. */
static void craft(struct buf *out, uint64_t count, struct slice records)
{
	buf_clear(out);
	buf_append(out, one, BATCH_HEAD_BYTES);
	buf_append_slice(out, records);
	assert_false(out->failed);
	put_be(out->ptr + 23, 4, count - 1);
	put_be(out->ptr + 57, 4, count);
	seal(out->ptr, out->len);
}

static int craft_and_read(uint64_t count, struct slice records, uint32_t *ret_read)
{
	struct buf out = {0};
	int r;

	craft(&out, count, records);
	r = read_through(buf_slice(&out), ret_read);
	buf_deinit(&out);
	return r;
}

static void heads_that_lie(void **state)
{
	static const struct {
		size_t at, bytes;
		uint64_t value;
		int expected;
	} lies[] = {
		{21, 2, 0, 0},
		{21, 2, 1, -EBADMSG}, /* gzip, snappy, lz4, zstd, and what is none */
		{21, 2, 2, -EBADMSG},
		{21, 2, 3, -EBADMSG},
		{21, 2, 4, -EBADMSG},
		{21, 2, 7, -EBADMSG},
		{21, 2, 0x10, 0}, /* transactional */
		{23, 4, 1, -EBADMSG},
		{23, 4, 3, 0}, /* the last one is missing */
		{23, 4, 0xffffffff, -EBADMSG},
		{27, 8, UINT64_MAX, 0}, /* no time */
		{27, 8, UINT64_C(1) << 63, 0},
		{57, 4, 0, -EBADMSG},
		{57, 4, 2, 0}, /* one is missing: so it says, until it is read */
		{57, 4, 4, -EBADMSG},
		{57, 4, 0x7fffffff, -EBADMSG},
		{57, 4, 0x80000000, -EBADMSG},
		{57, 4, 0xffffffff, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
		struct slice copy = copy_of(slice_from(three, sizeof(three)));
		char *bytes = (char *)(uintptr_t)copy.ptr;

		put_be(bytes + lies[i].at, lies[i].bytes, lies[i].value);
		seal(bytes, copy.len);
		assert_int_equal(open_only(copy), lies[i].expected);
		drop(copy);
	}
	for (unsigned magic = 0; magic < 256; magic++) {
		struct slice copy = copy_of(slice_from(three, sizeof(three)));

		((char *)(uintptr_t)copy.ptr)[16] = (char)magic;
		assert_int_equal(open_only(copy), magic == 2 ? 0 : -EBADMSG);
		drop(copy);
	}
}

static void counts_that_lie(void **state)
{
	static const struct slice three_behind = {(const char *)three + BATCH_HEAD_BYTES, sizeof(three) - BATCH_HEAD_BYTES};
	struct buf out = {0};
	uint32_t read;

	(void)state;
	assert_int_equal(craft_and_read(3, three_behind, &read), 0);
	assert_int_equal(read, 3);
	assert_int_equal(craft_and_read(2, three_behind, &read), -EBADMSG); /* one is left over */
	assert_int_equal(read, 2);
	assert_int_equal(craft_and_read(4, three_behind, &read), -EBADMSG);
	for (uint64_t count = 5; count <= UINT32_MAX; count = count * 3 / 2) {
		craft(&out, count, three_behind);
		assert_int_equal(open_only(buf_slice(&out)), -EBADMSG); /* before anybody makes room for so many */
	}
	craft(&out, 0, three_behind);
	assert_int_equal(open_only(buf_slice(&out)), -EBADMSG);
	craft(&out, 0, (struct slice){NULL, 0});
	assert_int_equal(open_only(buf_slice(&out)), -EBADMSG);
	buf_deinit(&out);
	/* room for as many, and they are not there: the first takes it all */
	assert_int_equal(craft_and_read(2, SLICE("\x1a\0\0\0\x01\x0e{\"a\":1}\0"), &read), -EBADMSG);
	assert_int_equal(read, 1);
}

/* One record each. */
static void records_that_lie(void **state)
{
#define RECORD(expected, literal)                                                                                                \
	{                                                                                                                        \
		SLICE_INIT(literal), expected                                                                                    \
	}
	static const struct {
		struct slice bytes;
		int expected;
	} cases[] = {
		RECORD(0, "\x0e\0\0\0\x02k\x01\0"), /* length 7, key "k" */
		RECORD(-EBADMSG, "\x0c\0\0\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x10\0\0\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x10\0\0\0\x02k\x01\0\0"), /* a byte behind the headers */
		RECORD(-EBADMSG, "\x0d\0\0\0\x02k\x01\0"),   /* length -7 */
		RECORD(-EBADMSG, "\x01\0\0\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\0\0\0\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x0e\0\0\x02\x02k\x01\0"), /* offset delta 1, -1 */
		RECORD(-EBADMSG, "\x0e\0\0\x01\x02k\x01\0"),
		RECORD(0, "\x0e\xff\x7f\0\x02k\x01\0"),    /* attributes and timestamp delta say nothing */
		RECORD(-EBADMSG, "\x0e\0\0\0\x03k\x01\0"), /* lengths -2 of key and value */
		RECORD(-EBADMSG, "\x0e\0\0\0\x02k\x03\0"),
		RECORD(-EBADMSG, "\x0e\0\0\0\x08k\x01\0"), /* lengths beyond the record */
		RECORD(-EBADMSG, "\x0e\0\0\0\x02k\x04\0"),
		RECORD(-EBADMSG, "\x16\0\0\0\xfe\xff\xff\xff\x0fk\x01\0"),
		RECORD(-EBADMSG, "\x0e\0\0\0\x02k\x01\x01"), /* -1 headers */
		RECORD(-EBADMSG, "\x0e\0\0\0\x02k\x01\x02"), /* one that is not there */
		RECORD(0, "\x12\0\0\0\x02k\x01\x02\0\0"),
		RECORD(0, "\x12\0\0\0\x02k\x01\x02\0\x01"),
		RECORD(-EBADMSG, "\x12\0\0\0\x02k\x01\x02\x01\0"), /* a header without a key */
		RECORD(-EBADMSG, "\x12\0\0\0\x02k\x01\x02\0\x03"),
		RECORD(-EBADMSG, "\x12\0\0\0\x02k\x01\x02\0\x02"),
		RECORD(-EBADMSG, "\x16\0\0\0\x02k\x01\xfe\xff\xff\xff\x0f"), /* headers without end */
		/* varints in more bytes than they need, and in more than they may have */
		RECORD(0, "\x8e\0\0\0\0\x02k\x01\0"),
		RECORD(0, "\x8e\x80\x80\x80\0\0\0\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x8e\x80\x80\x80\x10\0\0\0\x02k\x01\0"), /* bit 32 */
		RECORD(-EBADMSG, "\x8e\x80\x80\x80\x80\0\0\0\0\x02k\x01\0"),
		RECORD(0, "\x20\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x20\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\0\x02k\x01\0"), /* bit 64 */
		RECORD(-EBADMSG, "\x22\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\0\x02k\x01\0"),
		RECORD(0, "\x16\0\0\x80\x80\x80\x80\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x18\0\0\x80\x80\x80\x80\x80\0\x02k\x01\0"),
		RECORD(-EBADMSG, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"),
		RECORD(-EBADMSG, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	};
#undef RECORD

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint32_t read;
		int r = craft_and_read(1, cases[i].bytes, &read);

		if (r != cases[i].expected || (!r && read != 1))
			fail_msg("case %zu: %d, %u records", i, r, read);
	}
}

/* Where the checksum does not help: whatever the records' bytes are, nothing is read outside, and the end comes. */
static void any_records(void **state)
{
	struct test_random random = test_random_start("any_records");
	struct buf out = {0};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		const struct known *known = &knowns[test_random_below(&random, ARRAY_COUNT(knowns))];
		size_t changes = 1 + test_random_below(&random, 3);

		buf_clear(&out);
		buf_append_slice(&out, known->bytes);
		if (test_random_below(&random, 4) == 0)
			out.len -= test_random_below(&random, out.len - BATCH_HEAD_BYTES);
		while (changes-- > 0)
			test_random_bytes(&random, out.ptr + 21 + test_random_below(&random, out.len - 21), 1);
		seal(out.ptr, out.len);
		(void)read_all(buf_slice(&out));
	}
	buf_deinit(&out);
}

/* --- there and back --- */

static struct slice random_field(struct test_random *random, const char *pool, size_t max)
{
	if (test_random_below(random, 5) == 0)
		return (struct slice)NONE;
	return slice_from(pool, test_random_below(random, max));
}

static void round_trips(void **state)
{
	enum { RECORDS = 300, POOL = 20000 };
	struct test_random random = test_random_start("round_trips");
	struct batch_record records[RECORDS];
	char *pool = malloc(POOL);

	(void)state;
	assert_non_null(pool);
	test_random_bytes(&random, pool, POOL);
	for (int round = 0; round < 100; round++) {
		size_t count = 1 + test_random_below(&random, RECORDS), max = round % 10 ? 70 : POOL;
		uint64_t base = test_random_u64(&random) >> 2;
		struct buf out = {0};

		for (size_t i = 0; i < count; i++)
			records[i] = (struct batch_record){random_field(&random, pool, max), random_field(&random, pool, max)};
		batch_encode(&out, TIME_MS, records, count);
		assert_false(out.failed);
		batch_set_base(out.ptr, base);
		expect_records(buf_slice(&out), base, records, count);
		buf_deinit(&out);
	}
	free(pool);
}

static void lengths_where_varints_grow(void **state)
{
	static const size_t lens[] = {0, 1, 57, 58, 63, 64, 127, 128, 8185, 8191, 8192, 16384, 1048575, 1048576};
	char *pool = calloc(1, 1 << 21);

	(void)state;
	assert_non_null(pool);
	for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
		struct batch_record record = {slice_from(pool, lens[i]), slice_from(pool, lens[ARRAY_COUNT(lens) - 1 - i])};
		struct buf out = {0};

		batch_encode(&out, TIME_MS, &record, 1);
		expect_records(buf_slice(&out), 0, &record, 1);
		buf_deinit(&out);
	}
	free(pool);
}

static void too_long_or_no_memory(void **state)
{
	/* never read: the length alone says that it cannot be */
	struct batch_record too_long = {NONE, {"", (size_t)INT32_MAX - 60}};
	struct batch_record half = {NONE, {"", (size_t)1 << 30}};
	struct batch_record halves[2] = {half, half};
	struct batch_record far_too_long = {{"", SIZE_MAX / 2}, {"", SIZE_MAX / 2}};
	const struct {
		const struct batch_record *records;
		size_t count;
	} cases[] = {{&too_long, 1}, {halves, 2}, {&far_too_long, 1}};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		buf_clear(&out);
		buf_append_str(&out, "kept");
		batch_encode(&out, TIME_MS, cases[i].records, cases[i].count);
		assert_true(out.failed);
		assert_true(slice_eq(buf_slice(&out), SLICE("kept")));
	}
	buf_deinit(&out);
	mem_fail_nth(1);
	batch_encode(&out, TIME_MS, three_records, 3);
	mem_fail_nth(0);
	assert_true(out.failed);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes_are_read),  cmocka_unit_test(known_bytes_are_written),
		cmocka_unit_test(compressed_is_refused), cmocka_unit_test(base_lies_outside_the_checksum),
		cmocka_unit_test(every_truncation),      cmocka_unit_test(every_bit),
		cmocka_unit_test(heads_that_lie),        cmocka_unit_test(counts_that_lie),
		cmocka_unit_test(records_that_lie),      cmocka_unit_test(any_records),
		cmocka_unit_test(round_trips),           cmocka_unit_test(lengths_where_varints_grow),
		cmocka_unit_test(too_long_or_no_memory),
	};

	return cmocka_run_group_tests_name("stream/batch", tests, NULL, NULL);
}
