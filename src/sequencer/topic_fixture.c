#include "sequencer/topic_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

/* --- topics --- */

enum outcome topic_change_as(enum command_kind kind, struct topic_change change, bool validate_only)
{
	struct ask ask = {
		.c = {.kind = kind,
		      .in.topics_change = {.changes = &change, .count = 1, .validate_only = validate_only, .incremental = true}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome == OUTCOME_OK ? change.outcome : outcome;
}

enum outcome make_topic(struct slice name, uint32_t partitions)
{
	return topic_change_as(COMMAND_TOPIC_CREATE, (struct topic_change){.topic.name = name, .partitions = partitions}, false);
}

enum outcome drop_topic(struct slice name)
{
	return topic_change_as(COMMAND_TOPIC_DELETE, (struct topic_change){.topic.name = name}, false);
}

enum outcome set_topic(struct slice name, struct slice key, struct slice value)
{
	struct topic_setting_change setting = {{key, value}, SETTING_SET};

	return topic_change_as(COMMAND_TOPIC_CONFIG,
			       (struct topic_change){.topic.name = name, .settings = &setting, .setting_count = 1}, false);
}

const struct topic_view *look_topic(struct slice name, struct ask *ask)
{
	struct topic_ref ref = {.name = name};

	*ask = (struct ask){.c = {.kind = COMMAND_TOPICS, .in.topics = {.topics = &ref, .count = 1, .settings = true}}};
	assert_int_equal(fixture_ask(&f, ask, 0), OUTCOME_OK);
	assert_true(ask->c.out.topic_count == 1);
	return ask->c.out.topics[0];
}

/* --- produce --- */

/* Batches that were not sent yet; the sequencer changes them in place. */
static struct buf batches[8];
static unsigned batch_at;

struct produce_partition batch_of(uint32_t partition, uint32_t count, const char *text)
{
	struct buf *bytes = &batches[batch_at++ % 8];
	struct batch_record records[64];

	assert_true(count <= 64);
	for (uint32_t i = 0; i < count; i++)
		records[i] = (struct batch_record){.value = slice_str(text)};
	buf_clear(bytes);
	batch_encode(bytes, f.now_ms, records, count);
	assert_false(bytes->failed);
	return (struct produce_partition){
		.topic.name = T_NAME,
		.partition = partition,
		.batch = {.bytes = bytes->ptr,
			  .size_bytes = bytes->len,
			  .count = count,
			  .first_time_ms = (int64_t)f.now_ms,
			  .max_time_ms = (int64_t)f.now_ms,
			  .producer_id = -1,
			  .producer_epoch = -1,
			  .base_sequence = -1},
	};
}

struct produce_partition batch_by(uint64_t producer_id, int16_t epoch, uint64_t seq, uint32_t count)
{
	struct produce_partition p = batch_of(0, count, "p");

	p.batch.producer_id = (int64_t)producer_id;
	p.batch.producer_epoch = epoch;
	p.batch.base_sequence = (int32_t)seq;
	return p;
}

enum outcome produce_as(struct produce_partition *p)
{
	struct ask ask = {.c = {.kind = COMMAND_PRODUCE, .in.produce = {.partitions = p, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return p->outcome;
}

enum outcome produce(const char *text, uint64_t *ret_offset)
{
	struct produce_partition p = batch_of(0, 1, text);
	enum outcome outcome = produce_as(&p);

	if (ret_offset)
		*ret_offset = p.base_offset;
	return outcome;
}

static size_t records_read(const char *text, struct batch_record *records)
{
	size_t count = 0;

	while (*text) {
		size_t len = strcspn(text, " "), key = strcspn(text, "= ");

		records[count++] = (struct batch_record){
			.key = key ? slice_from(text, key) : (struct slice){0},
			.value = key < len ? slice_from(text + key + 1, len - key - 1) : (struct slice){0},
		};
		text += len + (text[len] == ' ');
	}
	return count;
}

struct produce_partition keyed(const char *text)
{
	struct buf *bytes = &batches[batch_at++ % 8];
	struct batch_record records[256];
	size_t count = records_read(text, records);
	struct produce_partition p = batch_of(0, 1, "");

	buf_clear(bytes);
	batch_encode(bytes, f.now_ms, records, count);
	assert_false(bytes->failed);
	p.batch.bytes = bytes->ptr;
	p.batch.size_bytes = bytes->len;
	p.batch.count = (uint32_t)count;
	return p;
}

/* --- transactions --- */

void txn_init(struct txn_writer *writer, const char *id)
{
	struct ask ask = {.c = {.kind = COMMAND_PRODUCER_ID,
				.in.producer_id = {.transactional_id = slice_str(id),
						   .timeout_ms = 1000000000,
						   .producer_id = -1,
						   .producer_epoch = -1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	*writer = (struct txn_writer){slice_str(id), ask.c.out.producer_id.producer_id, ask.c.out.producer_id.producer_epoch, 0};
	ask_deinit(&ask);
}

static struct txn_in txn_of(const struct txn_writer *writer)
{
	return (struct txn_in){
		.transactional_id = writer->id, .producer_id = writer->producer_id, .producer_epoch = writer->epoch};
}

void txn_put(struct txn_writer *writer, const char *records)
{
	struct txn_partition partition = {.topic.name = T_NAME};
	struct ask ask = {.c = {.kind = COMMAND_TXN_ADD, .in.txn = txn_of(writer)}};
	struct produce_partition p = keyed(records);

	ask.c.in.txn.partitions = &partition;
	ask.c.in.txn.partition_count = 1;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	p.batch.producer_id = writer->producer_id;
	p.batch.producer_epoch = writer->epoch;
	p.batch.base_sequence = (int32_t)writer->seq;
	p.batch.transactional = true;
	for (unsigned i = 0; i < 8; i++)
		p.batch.bytes[43 + i] = (char)((uint64_t)writer->producer_id >> (56 - 8 * i));
	p.batch.bytes[22] |= 16;
	batch_set_append_time(p.batch.bytes, p.batch.size_bytes, f.now_ms); /* and the checksum */
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	writer->seq += p.batch.count;
}

void txn_finish(struct txn_writer *writer, bool commit)
{
	struct ask ask = {.c = {.kind = COMMAND_TXN_END, .in.txn = txn_of(writer)}};

	ask.c.in.txn.commit = commit;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
}

/* --- fetch --- */

static void say_chunk(const struct stream_chunk_view *chunk, uint64_t offset, uint64_t end)
{
	char *bytes = mem_alloc(chunk->ref.size_bytes);
	struct slice rest = slice_from(bytes, chunk->ref.size_bytes), batch;
	struct batch_reader reader;
	struct batch_record record;
	uint64_t at;

	assert_non_null(bytes);
	assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
	while (batch_cut(&rest, &batch) == 1) {
		assert_int_equal(batch_open(&reader, batch), 0);
		while (batch_next(&reader, &record, &at) == 1) {
			if (at >= offset && at < end)
				buf_printf(&mine, "%llu=%.*s ", (unsigned long long)at, (int)record.value.len, record.value.ptr);
		}
	}
	mem_free(bytes);
}

enum outcome fetch_all(uint32_t partition, uint64_t offset, bool committed)
{
	struct fetch_partition p = {.topic.name = T_NAME, .partition = partition, .offset = offset, .max_bytes = 1 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH,
				.in.fetch = {.partitions = &p, .count = 1, .max_bytes = 1 << 20, .committed = committed}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	buf_clear(&mine);
	for (size_t i = 0; p.view && i < p.view->chunk_count; i++)
		say_chunk(&p.view->chunks[i], offset, committed ? p.stable_offset : p.high_watermark);
	buf_append_char(&mine, '\0');
	ask_deinit(&ask);
	return p.outcome;
}

void expect_fetch(uint32_t partition, uint64_t offset, const char *said)
{
	assert_int_equal(fetch_all(partition, offset, false), OUTCOME_OK);
	assert_string_equal(mine.ptr, said);
}
