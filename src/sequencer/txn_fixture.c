#include "sequencer/txn_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

int txn_setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 20;
	f.config.transactional_ids_max = 3;
	f.config.transaction_ms_max = 60000;
	fixture_start(&f);
	assert_int_equal(make_topic(T_NAME, 3), OUTCOME_OK);
	return 0;
}

int txn_teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	assert_int_equal(f.pins, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

/* --- asking --- */

enum outcome init_as(struct writer *writer, struct producer_id_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_PRODUCER_ID, .in.producer_id = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	if (outcome == OUTCOME_OK) {
		writer->producer_id = ask.c.out.producer_id.producer_id;
		writer->epoch = ask.c.out.producer_id.producer_epoch;
		memset(writer->seq, 0, sizeof(writer->seq));
	}
	ask_deinit(&ask);
	return outcome;
}

enum outcome init(struct writer *writer, struct slice id)
{
	writer->id = id;
	return init_as(writer, (struct producer_id_in){
				       .transactional_id = id, .timeout_ms = 10000, .producer_id = -1, .producer_epoch = -1});
}

enum outcome add(const struct writer *writer, uint32_t partition)
{
	struct txn_partition p = {.topic.name = T_NAME, .partition = partition};
	struct ask ask = {.c = {.kind = COMMAND_TXN_ADD,
				.in.txn = {.transactional_id = writer->id,
					   .producer_id = writer->producer_id,
					   .producer_epoch = writer->epoch,
					   .partitions = &p,
					   .partition_count = 1}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

enum outcome end_renewing(struct writer *writer, bool commit)
{
	struct ask ask = {.c = {.kind = COMMAND_TXN_END,
				.in.txn = {.transactional_id = writer->id,
					   .producer_id = writer->producer_id,
					   .producer_epoch = writer->epoch,
					   .commit = commit,
					   .renews = true}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	if (outcome == OUTCOME_OK) {
		writer->producer_id = ask.c.out.producer_id.producer_id;
		writer->epoch = ask.c.out.producer_id.producer_epoch;
		memset(writer->seq, 0, sizeof(writer->seq));
	}
	ask_deinit(&ask);
	return outcome;
}

enum outcome end(const struct writer *writer, bool commit)
{
	struct ask ask = {.c = {.kind = COMMAND_TXN_END,
				.in.txn = {.transactional_id = writer->id,
					   .producer_id = writer->producer_id,
					   .producer_epoch = writer->epoch,
					   .commit = commit}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

/* As a producer sends it: with its id in the batch. */
static void stamp(char *bytes, size_t len, const struct writer *writer)
{
	for (unsigned i = 0; i < 8; i++)
		bytes[43 + i] = (char)((uint64_t)writer->producer_id >> (56 - 8 * i));
	batch_set_append_time(bytes, len, f.now_ms); /* and the checksum */
}

enum outcome write_adding(struct writer *writer, uint32_t partition, const char *text, bool adds)
{
	struct produce_partition p = batch_of(partition, 1, text);
	struct ask ask = {.c = {.kind = COMMAND_PRODUCE,
				.in.produce = {.partitions = &p, .count = 1, .transactional_id = writer->id, .adds = adds}}};

	p.batch.producer_id = writer->producer_id;
	p.batch.producer_epoch = writer->epoch;
	p.batch.base_sequence = (int32_t)writer->seq[partition];
	p.batch.transactional = true;
	stamp(p.batch.bytes, p.batch.size_bytes, writer);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	writer->seq[partition] += p.outcome == OUTCOME_OK;
	return p.outcome;
}

enum outcome write_to(struct writer *writer, uint32_t partition, const char *text)
{
	return write_adding(writer, partition, text, false);
}

/* --- reading as a client does: what is aborted is left out --- */

/* The aborted transaction that the batch is of, or -1. */
static int aborted_of(const struct fetch_partition *p, const struct batch_head *head, const bool *open)
{
	for (size_t i = 0; i < p->aborted_count; i++) {
		if (p->aborted[i].producer_id == head->producer_id && head->base_offset >= p->aborted[i].first_offset && open[i])
			return (int)i;
	}
	return -1;
}

static void say_committed(const struct fetch_partition *p, struct slice rest, bool *open)
{
	struct batch_reader reader;
	struct batch_record record;
	struct batch_head head;
	struct slice batch;
	uint64_t at;
	int aborted;

	while (batch_cut(&rest, &batch) == 1) {
		assert_int_equal(batch_head_read(batch, &head), 0);
		if (head.base_offset >= p->stable_offset)
			return;
		aborted = aborted_of(p, &head, open);
		if (head.control && aborted >= 0)
			open[aborted] = false;
		if (head.control || aborted >= 0)
			continue;
		assert_int_equal(batch_open(&reader, batch), 0);
		while (batch_next(&reader, &record, &at) == 1)
			buf_printf(&mine, "%.*s ", (int)record.value.len, record.value.ptr);
	}
}

void read_committed(uint32_t partition)
{
	struct fetch_partition p = {.topic.name = T_NAME, .partition = partition, .max_bytes = 1 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH,
				.in.fetch = {.partitions = &p, .count = 1, .max_bytes = 1 << 20, .committed = true}}};
	bool open[1024];

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(p.outcome, OUTCOME_OK);
	assert_true(p.aborted_count <= ARRAY_COUNT(open));
	memset(open, true, sizeof(open));
	buf_clear(&mine);
	for (size_t i = 0; p.view && i < p.view->chunk_count; i++) {
		const struct stream_chunk_view *chunk = &p.view->chunks[i];
		char *bytes = mem_alloc(chunk->ref.size_bytes);

		assert_non_null(bytes);
		assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
		say_committed(&p, slice_from(bytes, chunk->ref.size_bytes), open);
		mem_free(bytes);
	}
	buf_append_char(&mine, '\0');
	ask_deinit(&ask);
}

void expect_committed(uint32_t partition, const char *said)
{
	read_committed(partition);
	assert_string_equal(mine.ptr, said);
}
