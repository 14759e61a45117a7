/* What is let in as a batch. */
#include "kafka/api/batch_in.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/testing.h"
#include "kafka/codec/bytes.h"
#include "kafka/codec/compression.h"
#include "stream/batch.h"

static struct buf bytes;

static struct slice fresh(bool key)
{
	struct batch_record records[] = {{.value = SLICE("one"), .key = SLICE("k")},
					 {.value = SLICE("two"), .key = key ? SLICE("k") : (struct slice){0}}};

	buf_clear(&bytes);
	batch_encode(&bytes, 1000, records, ARRAY_COUNT(records));
	assert_false(bytes.failed);
	return buf_slice(&bytes);
}

/* Its checksum again, over what was changed in it. */
static void seal(void)
{
	wire_store_u32(bytes.ptr + 17, __builtin_bswap32(crc32c(0, bytes.ptr + 21, bytes.len - 21)));
}

static enum kafka_error judged(void)
{
	struct produce_batch batch;

	return batch_in(buf_slice(&bytes), &batch);
}

static void test_a_good_one(void **state)
{
	struct produce_batch batch;

	(void)state;
	assert_int_equal(batch_in(fresh(true), &batch), KAFKA_NONE);
	assert_ptr_equal(batch.bytes, bytes.ptr);
	assert_int_equal(batch.size_bytes, bytes.len);
	assert_int_equal(batch.count, 2);
	assert_int_equal(batch.max_time_ms, 1000);
	assert_int_equal(batch.producer_id, -1);
	assert_false(batch.transactional);
	assert_false(batch.no_key);
	assert_int_equal(batch_in(fresh(false), &batch), KAFKA_NONE);
	assert_true(batch.no_key);
}

static void test_any_part_of_one_is_none(void **state)
{
	struct produce_batch batch;

	(void)state;
	fresh(true);
	assert_int_equal(batch_in(slice_from(bytes.ptr, 0), &batch), KAFKA_INVALID_RECORD);
	for (size_t len = 1; len < bytes.len; len++)
		assert_int_equal(batch_in(slice_from(bytes.ptr, len), &batch), KAFKA_CORRUPT_MESSAGE);
	buf_append_char(&bytes, 'x');
	assert_int_equal(judged(), KAFKA_INVALID_RECORD);
}

/* But for base offset and leader epoch, whatever byte is another is seen. */
static void test_every_byte_counts(void **state)
{
	(void)state;
	fresh(true);
	for (size_t at = 8; at < bytes.len; at++) {
		enum kafka_error expected = at >= 12 && at < 16 ? KAFKA_NONE : KAFKA_CORRUPT_MESSAGE;

		if (at == 16)
			continue; /* the magic, which says whether the rest means anything */
		bytes.ptr[at] ^= 1;
		if (at == 11)
			assert_true(judged() != KAFKA_NONE);
		else
			assert_int_equal(judged(), expected);
		bytes.ptr[at] ^= 1;
	}
	assert_int_equal(judged(), KAFKA_NONE);
}

static void test_what_says_what_cannot_be(void **state)
{
	static const struct {
		size_t at;
		char value;
		enum kafka_error error;
	} rows[] = {
		{16, 1, KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT},
		{16, 3, KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT},
		{22, 5, KAFKA_UNSUPPORTED_COMPRESSION_TYPE},
		{22, 7, KAFKA_UNSUPPORTED_COMPRESSION_TYPE},
		{22, 32, KAFKA_INVALID_RECORD}, /* a control batch */
		{22, 16, KAFKA_INVALID_RECORD}, /* transactional, of nobody */
		{26, 2, KAFKA_INVALID_RECORD},  /* last offset delta */
		{60, 3, KAFKA_INVALID_RECORD},  /* count */
		{60, 0, KAFKA_INVALID_RECORD},
		{BATCH_HEAD_BYTES, 0, KAFKA_INVALID_RECORD}, /* a record without length */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		fresh(true);
		bytes.ptr[rows[i].at] = rows[i].value;
		seal();
		assert_int_equal(judged(), rows[i].error);
	}
}

static void test_compressed_ones(void **state)
{
	uint64_t left = 100 << 20, before;
	static const char zeros[1 << 20];
	struct buf packed = {0}, plain = {0};
	struct produce_batch batch;

	(void)state;
	for (unsigned kind = KAFKA_COMPRESSION_GZIP; kind <= KAFKA_COMPRESSION_ZSTD; kind++)
		for (int key = 0; key < 2; key++) {
			fresh(key);
			buf_clear(&packed);
			assert_int_equal(kafka_compress(kind, slice_from(bytes.ptr + 61, bytes.len - 61), &packed), 0);
			bytes.len = 61;
			buf_append_slice(&bytes, buf_slice(&packed));
			batch_set_plain(bytes.ptr, bytes.len); /* for its length */
			bytes.ptr[22] = (char)kind;
			seal();
			assert_int_equal(batch_in(buf_slice(&bytes), &batch), KAFKA_NONE);
			assert_true(batch.packed && !batch.no_key);
			assert_int_equal(batch_in_open(&batch, &left), KAFKA_NONE);
			assert_true(!batch.packed && batch.no_key == !key);
			mem_fail_nth(1);
			assert_int_equal(batch_in_open(&batch, &left), KAFKA_STORAGE_ERROR);
			mem_fail_nth(0);
			bytes.ptr[bytes.len - 5] ^= 0x55;
			bytes.ptr[64] ^= 0x55;
			assert_int_not_equal(batch_in_open(&batch, &left), KAFKA_NONE);
		}
	/* Something else is in it; much is in it. */
	for (int much = 0; much < 2; much++) {
		fresh(true);
		buf_clear(&packed);
		buf_clear(&plain);
		for (int i = 0; i < (much ? 65 : 1); i++)
			buf_append(&plain, zeros, sizeof(zeros));
		assert_int_equal(kafka_compress(KAFKA_COMPRESSION_ZSTD, buf_slice(&plain), &packed), 0);
		bytes.len = 61;
		buf_append_slice(&bytes, buf_slice(&packed));
		batch_set_plain(bytes.ptr, bytes.len);
		bytes.ptr[22] = KAFKA_COMPRESSION_ZSTD;
		seal();
		assert_int_equal(batch_in(buf_slice(&bytes), &batch), KAFKA_NONE);
		before = left;
		assert_int_equal(batch_in_open(&batch, &left), much ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_INVALID_RECORD);
		assert_true(batch.packed);
		assert_true(before - left == (much ? BATCH_IN_OPENED_MAX : sizeof(zeros)));
	}
	/* What is left may be gone beyond with the last one, and then it is over. */
	left = 1;
	assert_int_equal(batch_in_open(&batch, &left), KAFKA_MESSAGE_TOO_LARGE);
	assert_true(left == 0);
	assert_int_equal(batch_in_open(&batch, &left), KAFKA_STORAGE_ERROR);
	buf_deinit(&packed);
	buf_deinit(&plain);
}

static void test_producers(void **state)
{
	struct produce_batch batch;

	(void)state;
	fresh(true);
	bytes.ptr[51] = bytes.ptr[52] = 0; /* an epoch and a sequence, but no producer */
	wire_store_u32(bytes.ptr + 53, 0);
	seal();
	assert_int_equal(batch_in(buf_slice(&bytes), &batch), KAFKA_NONE);
	assert_int_equal(batch.producer_id, -1);
	fresh(true);
	wire_store_u64(bytes.ptr + 43, __builtin_bswap64(77));
	seal();
	assert_int_equal(judged(), KAFKA_INVALID_RECORD); /* without an epoch */
	bytes.ptr[51] = 0;
	bytes.ptr[52] = 3;
	seal();
	assert_int_equal(judged(), KAFKA_INVALID_RECORD); /* without a sequence */
	wire_store_u32(bytes.ptr + 53, __builtin_bswap32(9));
	bytes.ptr[22] = 16;
	seal();
	assert_int_equal(batch_in(buf_slice(&bytes), &batch), KAFKA_NONE);
	assert_int_equal(batch.producer_id, 77);
	assert_int_equal(batch.producer_epoch, 3);
	assert_int_equal(batch.base_sequence, 9);
	assert_true(batch.transactional);
}

static int teardown(void **state)
{
	(void)state;
	buf_deinit(&bytes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_one),        cmocka_unit_test(test_any_part_of_one_is_none),
		cmocka_unit_test(test_every_byte_counts), cmocka_unit_test(test_what_says_what_cannot_be),
		cmocka_unit_test(test_compressed_ones),   cmocka_unit_test(test_producers),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
