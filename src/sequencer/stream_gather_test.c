/* Small appends come to lie together in a longer chunk, in front of everyone's eyes: what is read is the same, there is less of
 * it to keep in mind, and a restart knows no other state. */
#include "sequencer/stream_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

enum { APPENDS = 40, TOGETHER = 8 };

static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.gather_chunks = TOGETHER;
	f.config.gather_bytes = 4096;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

/* Record i is a letter behind the 8 bytes of its batch's base offset. */
static void expect_letters(const struct stream_view *view)
{
	size_t record = 0;

	for (size_t c = 0; c < view->chunk_count; c++) {
		const struct stream_chunk_view *chunk = &view->chunks[c];
		char bytes[9 * APPENDS];

		assert_int_equal(chunk->first_offset, record);
		assert_int_equal(chunk->ref.size_bytes, 9 * chunk->count);
		assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
		for (uint32_t i = 0; i < chunk->count; i++, record++)
			assert_int_equal(bytes[9 * i + 8], 'A' + (int)record);
	}
	assert_int_equal(record, APPENDS);
}

static void expect_twin(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	buf_clear(&mine);
	buf_clear(&other);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

static void small_appends_lie_together(void **state)
{
	struct ask ask;

	(void)state;
	create(a_path);
	for (int i = 0; i < APPENDS; i++)
		assert_int_equal(append(1, (char[]){(char)('A' + i), 0}), OUTCOME_OK);
	assert_int_equal(read_as(read_of(STREAM_FROM_START), &ask, 0), OUTCOME_OK);
	assert_in_range(ask.c.out.stream->chunk_count, APPENDS / TOGETHER, APPENDS / TOGETHER + 2 * TOGETHER);
	assert_true(ask.c.out.stream->chunks[0].count >= TOGETHER);
	expect_letters(ask.c.out.stream);
	ask_deinit(&ask);
	expect_twin(false);
	expect_twin(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(small_appends_lie_together, setup, teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
