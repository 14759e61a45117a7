/* Batches with fewer records: offsets, times and whatever else a client sees are as they were. */
#include "base/mem.h"
#include "base/testing.h"
#include "stream/batch_rewrite.h"

enum { TIME_MS = 1700000000, COUNT = 5 };

static struct buf batch, out;
static struct batch_rewrite rewrite;

static int setup(void **state)
{
	struct batch_record records[COUNT];
	static const char *const keys[COUNT] = {"a", "b", "c", "d", "e"};

	(void)state;
	for (int i = 0; i < COUNT; i++)
		records[i] = (struct batch_record){slice_str(keys[i]), i == 3 ? (struct slice){0} : SLICE("value")};
	batch_encode(&batch, TIME_MS, records, COUNT);
	batch_set_base(batch.ptr, 100);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_deinit(&batch);
	buf_deinit(&out);
	batch_rewrite_deinit(&rewrite);
	rewrite = (struct batch_rewrite){0};
	return 0;
}

/* Those with a bit in `kept` stay. */
static void make(struct slice from, unsigned kept, int64_t horizon_ms)
{
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset;

	assert_int_equal(batch_open(&reader, from), 0);
	batch_rewrite_begin(&rewrite, from, horizon_ms);
	while (batch_next(&reader, &record, &offset) == 1) {
		if (kept >> (offset - 100) & 1)
			batch_rewrite_keep(&rewrite, &reader);
	}
	batch_rewrite_end(&rewrite, from, buf_slice(&rewrite.records), &out);
}

static void expect(struct slice made, unsigned kept, int64_t horizon_ms)
{
	struct batch_reader reader;
	struct batch_record record;
	struct batch_head head;
	uint64_t offset;

	assert_int_equal(batch_head_read(made, &head), 0);
	assert_true(head.base_offset == 100 && head.count == COUNT && head.horizon_ms == horizon_ms);
	assert_true(head.max_time_ms == TIME_MS);
	assert_int_equal(batch_open(&reader, made), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		if (!(kept >> i & 1))
			continue;
		assert_int_equal(batch_next(&reader, &record, &offset), 1);
		assert_int_equal(offset, 100 + i);
		assert_int_equal(reader.record_time_ms, TIME_MS);
		assert_int_equal(record.key.ptr[0], 'a' + (int)i);
		assert_true(i == 3 ? !record.value.ptr : slice_eq(record.value, SLICE("value")));
	}
	assert_int_equal(batch_next(&reader, &record, &offset), 0);
}

static void any_of_them_stay(void **state)
{
	(void)state;
	for (unsigned kept = 1; kept < 1 << COUNT; kept++) {
		buf_clear(&out);
		make(buf_slice(&batch), kept, -1);
		expect(buf_slice(&out), kept, -1);
	}
}

/* The horizon takes the base time's place, be it before or behind the records' times; a second one, too. */
static void a_horizon_changes_no_time(void **state)
{
	static const int64_t horizons[] = {0, TIME_MS - 1, TIME_MS + 86400000, INT64_MAX / 4};
	struct buf again = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(horizons); i++) {
		buf_clear(&out);
		make(buf_slice(&batch), 0x1a, horizons[i]);
		expect(buf_slice(&out), 0x1a, horizons[i]);
		buf_clear(&again);
		buf_append_slice(&again, buf_slice(&out));
		buf_clear(&out);
		make(buf_slice(&again), 0x12, -1);
		expect(buf_slice(&out), 0x12, horizons[i]);
	}
	buf_deinit(&again);
}

static void a_marker_with_a_horizon(void **state)
{
	struct buf marker = {0};
	struct batch_reader reader;
	struct batch_head head;

	(void)state;
	batch_encode_marker(&marker, TIME_MS, &(struct batch_marker){7, 2, true});
	batch_rewrite_marker(buf_slice(&marker), 12345, &out);
	assert_int_equal(batch_open(&reader, buf_slice(&out)), 0);
	assert_int_equal(batch_head_read(buf_slice(&out), &head), 0);
	assert_true(head.control && head.transactional && head.horizon_ms == 12345 && head.producer_id == 7);
	assert_true(out.len == marker.len && reader.left == 0);
	buf_deinit(&marker);
}

static void headers_are_read(void **state)
{
	/* Two headers: "h" = "x", "n" without a value. */
	static const char bytes[] = {4, 2, 'h', 2, 'x', 2, 'n', 1};
	struct slice rest = slice_from(bytes, sizeof(bytes));
	struct batch_header header;
	uint32_t left = UINT32_MAX;

	(void)state;
	assert_int_equal(batch_header_next(&rest, &left, &header), 1);
	assert_true(slice_eq(header.key, SLICE("h")) && slice_eq(header.value, SLICE("x")));
	assert_int_equal(batch_header_next(&rest, &left, &header), 1);
	assert_true(slice_eq(header.key, SLICE("n")) && !header.value.ptr);
	assert_int_equal(batch_header_next(&rest, &left, &header), 0);
}

static void without_memory(void **state)
{
	(void)state;
	mem_fail_nth(1);
	make(buf_slice(&batch), 0x1f, -1);
	mem_fail_nth(0);
	assert_true(rewrite.records.failed);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(any_of_them_stay), TEST(a_horizon_changes_no_time), TEST(a_marker_with_a_horizon), TEST(headers_are_read),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
