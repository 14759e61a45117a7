#include "compaction/compaction_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "kafka/codec/compression.h"
#include "stream/batch.h"
#include "stream/stream.h"

struct compaction *worker;

static struct buf batches[8];
static unsigned batch_at;

int compaction_setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.compaction_interval_ms = 1000;
	f.config.gather_chunks = 1000;
	f.config.transaction_ms_max = 1000000000;
	fixture_start(&f);
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("compact")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("delete.retention.ms"), SLICE("60000")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("min.cleanable.dirty.ratio"), SLICE("0")), OUTCOME_OK);
	return 0;
}

int compaction_teardown(void **state)
{
	(void)state;
	worker = compaction_free(worker);
	for (size_t i = 0; i < ARRAY_COUNT(batches); i++)
		buf_deinit(&batches[i]);
	fixture_drop_sent(&f);
	fixture_deinit(&f);
	buf_deinit(&mine);
	return 0;
}

struct produce_partition keyed_packed(const char *records, unsigned compression)
{
	struct produce_partition p = keyed(records);
	struct buf *bytes = &batches[batch_at++ % ARRAY_COUNT(batches)];

	buf_clear(bytes);
	buf_append(bytes, p.batch.bytes, BATCH_HEAD_BYTES);
	assert_int_equal(kafka_compress(compression,
					slice_from(p.batch.bytes + BATCH_HEAD_BYTES, p.batch.size_bytes - BATCH_HEAD_BYTES),
					bytes),
			 0);
	batch_set_plain(bytes->ptr, bytes->len); /* for its length */
	bytes->ptr[22] = (char)compression;
	batch_set_append_time(bytes->ptr, bytes->len, f.now_ms);
	p.batch.bytes = bytes->ptr;
	p.batch.size_bytes = bytes->len;
	return p;
}

uint64_t put(const char *records)
{
	struct produce_partition p = keyed(records);

	assert_int_equal(produce_as(&p), OUTCOME_OK);
	return p.base_offset;
}

void put_last(void)
{
	put("-=.");
}

void compact_step_once(void)
{
	struct compact_step *step = sequencer_compact_take(f.s);

	assert_non_null(step);
	if (!worker)
		worker = compaction_new(16 << 20);
	compaction_run(worker, step);
	sequencer_compact_give(f.s, step);
	sequencer_check(f.s);
	fixture_settle(&f);
}

uint64_t passes(void)
{
	struct sequencer_stats stats;

	sequencer_stats(f.s, &stats);
	return stats.compactions_total;
}

unsigned compact_now(void)
{
	struct compact_step *step;
	unsigned count = 0;
	uint64_t before;

	if (!worker)
		worker = compaction_new(16 << 20);
	do {
		fixture_later(&f, 0);
		before = passes();
		step = sequencer_compact_take(f.s);
		if (step) {
			compaction_run(worker, step);
			assert_int_equal(step->error, 0);
			sequencer_compact_give(f.s, step);
			sequencer_check(f.s);
			count++;
		}
		assert_true(count < 10000);
	} while (step || before != passes());
	assert_int_equal(f.pins, 0);
	return count;
}

void compact_later(uint64_t ms)
{
	fixture_later(&f, ms);
	compact_now();
}

static void say_batch(struct slice batch, uint64_t from, uint64_t end)
{
	struct buf opened = {0};
	struct batch_reader reader;
	struct batch_record record;
	struct batch_head head;
	uint64_t offset;

	assert_int_equal(batch_head_read(batch, &head), 0);
	if (head.control || head.base_offset + head.count <= from)
		return;
	assert_int_equal(kafka_decompress(head.compression,
					  slice_from(batch.ptr + BATCH_HEAD_BYTES, batch.len - BATCH_HEAD_BYTES), 1 << 20,
					  &opened),
			 0);
	if (!head.compression)
		assert_int_equal(batch_open(&reader, batch), 0);
	assert_int_equal(batch_open_unpacked(&reader, slice_from(batch.ptr, BATCH_HEAD_BYTES), buf_slice(&opened)), 0);
	while (batch_next(&reader, &record, &offset) == 1) {
		if (offset < from || offset >= end || slice_eq(record.key, SLICE("-")))
			continue;
		buf_printf(&mine, "%llu:%.*s", (unsigned long long)offset, (int)record.key.len, record.key.ptr);
		if (record.value.ptr)
			buf_printf(&mine, "=%.*s", (int)record.value.len, record.value.ptr);
		buf_append_char(&mine, ' ');
	}
	assert_int_equal(reader.left, 0);
	buf_deinit(&opened);
}

/* As a client does it: of a transaction that was aborted what lies before its marker is left out. */
static void say_view(const struct fetch_partition *p, uint64_t from)
{
	uint64_t void_of[16];
	size_t voids = 0, next = 0;

	for (size_t i = 0; p->view && i < p->view->chunk_count; i++) {
		struct stream_chunk_view *chunk = &p->view->chunks[i];
		char *bytes = mem_alloc(chunk->ref.size_bytes);
		struct slice rest = slice_from(bytes, chunk->ref.size_bytes), batch;

		assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
		while (batch_cut(&rest, &batch) == 1) {
			struct batch_head head;
			bool is_void = false;

			assert_int_equal(batch_head_read(batch, &head), 0);
			while (next < p->aborted_count && p->aborted[next].first_offset <= head.base_offset + head.count - 1)
				void_of[voids++] = (uint64_t)p->aborted[next++].producer_id;
			for (size_t v = 0; v < voids && head.transactional; v++) {
				if (void_of[v] != (uint64_t)head.producer_id)
					continue;
				is_void = true;
				if (head.control)
					void_of[v] = void_of[--voids];
			}
			if (!is_void)
				say_batch(batch, from, p->stable_offset);
		}
		mem_free(bytes);
	}
}

static size_t say_from(uint64_t offset)
{
	struct fetch_partition p = {.topic.name = T_NAME, .offset = offset, .max_bytes = 8 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH,
				.in.fetch = {.partitions = &p, .count = 1, .max_bytes = 8 << 20, .committed = true}}};
	size_t aborted;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(p.outcome, OUTCOME_OK);
	buf_clear(&mine);
	say_view(&p, offset);
	buf_append_char(&mine, '\0');
	aborted = p.aborted_count;
	ask_deinit(&ask);
	return aborted;
}

void expect_kept_from(uint64_t offset, const char *said)
{
	say_from(offset);
	assert_string_equal(mine.ptr, said);
}

void expect_kept(const char *said)
{
	expect_kept_from(0, said);
}

void read_all(void)
{
	say_from(0);
}

size_t aborted_told(void)
{
	return say_from(0);
}

unsigned compression_at(uint64_t offset)
{
	struct fetch_partition p = {.topic.name = T_NAME, .offset = offset, .max_bytes = 8 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH, .in.fetch = {.partitions = &p, .count = 1, .max_bytes = 8 << 20}}};
	unsigned compression = 99;
	struct batch_head head;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	for (size_t i = 0; i < p.view->chunk_count; i++) {
		char *bytes = mem_alloc(p.view->chunks[i].ref.size_bytes);
		struct slice rest = slice_from(bytes, p.view->chunks[i].ref.size_bytes), batch;

		assert_int_equal(p.view->chunks[i].pin->ops->read_whole(p.view->chunks[i].pin, bytes), 0);
		while (compression == 99 && batch_cut(&rest, &batch) == 1) {
			assert_int_equal(batch_head_read(batch, &head), 0);
			if (head.base_offset + head.count > offset)
				compression = head.compression;
		}
		mem_free(bytes);
	}
	ask_deinit(&ask);
	return compression;
}

enum outcome delete_before(uint64_t offset)
{
	struct delete_records_partition p = {.topic.name = T_NAME, .offset = (int64_t)offset};
	struct ask ask = {.c = {.kind = COMMAND_DELETE_RECORDS, .in.delete_records = {.partitions = &p, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return p.outcome;
}
