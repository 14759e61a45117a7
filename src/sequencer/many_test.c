/* Jobs and streams looked at in one go: each as by itself, at one moment, watched where nothing is there; and the room in the
 * answer shared so that none waits for ever. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

enum { MOST = 8, CHUNK = 40, ROUNDS = 800, WRITTEN = 200 };

static struct buf other;
static struct stream_read_in reads[MOST];
static char names[MOST][2];
static struct slice handles[2];
static const struct slice q = {"q", 1};

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	for (size_t i = 0; i < MOST; i++) {
		names[i][0] = (char)('a' + i);
		reads[i] = (struct stream_read_in){.path = slice_from(names[i], 1), .from = STREAM_FROM_START};
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

/* One chunk of so many bytes. */
static void append_to(size_t i, size_t bytes)
{
	static char batch[FIXTURE_BODIES];
	struct stream_append_in in = {.path = reads[i].path, .content_type = a_type};

	assert_true(bytes <= sizeof(batch));
	in.records = (struct records_in){.batch = batch, .batch_bytes = bytes, .count = 1};
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
}

static void make(size_t streams, size_t chunks)
{
	for (size_t i = 0; i < streams; i++) {
		create(reads[i].path);
		for (size_t k = 0; k < chunks; k++)
			append_to(i, CHUNK);
	}
}

static struct ask ask_of(size_t jobs, size_t streams, uint64_t max_bytes, uint64_t turn)
{
	struct ask ask = {.c = {.kind = COMMAND_MANY}};

	ask.c.in.many.jobs = (struct jobs_in){.handles = handles, .count = jobs, .watch = true};
	ask.c.in.many.streams = (struct streams_in){.reads = reads, .count = streams, .max_bytes = max_bytes, .turn = turn};
	return ask;
}

static void each_as_by_itself(void **state)
{
	struct job_ref job = fixture_job(&f, q), canceled = fixture_job(&f, q);
	struct ask ask;

	(void)state;
	fixture_cancel(&f, &canceled, false);
	handles[0] = handle_of(&job);
	handles[1] = handle_of(&canceled);
	create(reads[0].path);
	make(2, 1);
	reads[0].from = STREAM_FROM_NOW;
	reads[0].watch = true;
	reads[3] = reads[1];
	reads[3].from = STREAM_FROM_OFFSET;
	reads[3].number = 12345;
	ask = ask_of(2, 4, 1000, 0);
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_OK);
	assert_true(ask.c.out.view_count == 2 && ask.c.out.stream_count == 4);
	assert_int_equal(ask.c.out.outcomes[0], OUTCOME_PARKED);
	assert_int_equal(ask.c.out.outcomes[1], OUTCOME_OK);
	assert_int_equal(ask.c.out.outcomes[2], OUTCOME_PARKED);
	assert_int_equal(ask.c.out.outcomes[3], OUTCOME_OK);
	assert_true(ask.c.out.streams[1]->chunk_count == 1);
	assert_int_equal(ask.c.out.outcomes[4], OUTCOME_NOT_FOUND);
	assert_null(ask.c.out.streams[2]);
	assert_int_equal(ask.c.out.outcomes[5], OUTCOME_OTHER);
	ask_deinit(&ask);
	ask = ask_of(0, 0, 0, 7);
	assert_int_equal(fixture_ask(&f, &ask, 1), OUTCOME_OK);
	ask_deinit(&ask);
	fixture_drop_sent(&f);
}

static size_t stream_wakes(void)
{
	size_t count = 0;

	for (size_t i = 0; i < f.sent_count; i++)
		count += f.sent[i].message && f.sent[i].kind == MESSAGE_STREAM_WAKE && f.sent[i].thread == 2;
	return count;
}

static void what_has_nothing_is_watched(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct wake *wake;
	struct ask ask;

	(void)state;
	handles[0] = handle_of(&job);
	make(3, 0);
	reads[0].watch = reads[1].watch = reads[2].watch = true;
	ask = ask_of(1, 3, 1000, 1);
	assert_int_equal(fixture_ask(&f, &ask, 2), OUTCOME_OK);
	ask_deinit(&ask);
	append_to(0, CHUNK);
	append_to(0, CHUNK);
	append_to(2, CHUNK);
	assert_int_equal(stream_wakes(), 2);
	fixture_cancel(&f, &job, false);
	wake = fixture_take_wake(&f, 2);
	assert_non_null(wake);
	message_free(&wake->message);
	fixture_drop_sent(&f);
	append_to(1, CHUNK);
	assert_int_equal(stream_wakes(), 1);
	fixture_drop_sent(&f);
}

/* It rests on the last of all that it tells. */
static void not_before_all_of_it_is_durable(void **state)
{
	struct ask writer = {.c = {.kind = COMMAND_STREAM_APPEND, .in.stream_append = append_of(1, "x")}}, ask;

	(void)state;
	make(3, 1);
	writer.c.in.stream_append.path = reads[1].path;
	f.hold = true;
	fixture_send(&f, &writer, 0);
	ask = ask_of(0, 3, 1000, 0);
	fixture_send(&f, &ask, 1);
	fixture_settle(&f);
	assert_int_equal(writer.back + ask.back, 0);
	fixture_sync(&f);
	assert_int_equal(writer.back + ask.back, 2);
	assert_true(ask.c.out.streams[1]->chunk_count == 2);
	ask_deinit(&writer);
	ask_deinit(&ask);
	fixture_drop_sent(&f);
}

/* How many chunks came of each: "2 0 1 ". */
static void expect_shares(size_t streams, uint64_t max_bytes, uint64_t turn, const char *shares)
{
	struct ask ask = ask_of(0, streams, max_bytes, turn);

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	buf_clear(&mine);
	for (size_t i = 0; i < streams; i++)
		buf_printf(&mine, "%zu ", ask.c.out.streams[i]->chunk_count);
	buf_append_char(&mine, '\0');
	assert_string_equal(mine.ptr, shares);
	ask_deinit(&ask);
}

static void the_room_is_shared(void **state)
{
	(void)state;
	make(3, 10);
	create(reads[3].path); /* has nothing, and takes no share */
	expect_shares(4, 10000, 0, "10 10 10 0 ");
	expect_shares(4, 9 * CHUNK, 0, "3 3 3 0 ");
	expect_shares(4, 10 * CHUNK, 0, "3 3 4 0 "); /* what one leaves goes to those behind it */
	expect_shares(4, 10 * CHUNK, 1, "4 3 3 0 ");
	expect_shares(4, CHUNK, 0, "1 0 0 0 ");
	expect_shares(4, CHUNK, 2, "0 0 1 0 ");
	expect_shares(4, CHUNK, 3, "1 0 0 0 "); /* whose turn it would be has nothing */
	expect_shares(4, 1, 5, "0 1 0 0 ");     /* one has its chunk, however long */
	append_to(3, 1000);
	expect_shares(4, 8 * CHUNK, 0, "2 2 2 0 ");
	expect_shares(4, 8 * CHUNK, 3, "0 0 0 1 ");
}

static void a_blob_takes_no_room(void **state)
{
	struct stream_append_in in = {.path = reads[1].path, .content_type = a_type};

	(void)state;
	make(2, 0);
	append_to(0, CHUNK);
	in.records = (struct records_in){.count = 1, .blob = {.kind = BODY_BLOB, .place = 77, .size_bytes = 1 << 30}};
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	append_to(1, CHUNK);
	expect_shares(2, 2 * CHUNK, 0, "1 1 ");
	expect_shares(2, 2 * CHUNK, 1, "1 1 ");
}

static void so_many_chunks_and_no_more(void **state)
{
	struct ask ask;

	(void)state;
	make(MOST, 0);
	for (unsigned k = 0; k < 650; k++) {
		for (size_t i = 0; i < 6; i++)
			append_to(i, CHUNK);
	}
	append_to(6, CHUNK);
	ask = ask_of(0, MOST, 1 << 30, 0);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(ask.c.out.streams[i]->chunk_count, MANY_CHUNKS_MAX / 7);
	ask_deinit(&ask);
}

/* Streams of any lengths, read on and on with little room while some of them never end: each comes whole and in order. */
static void none_waits_for_ever(void **state)
{
	struct test_random random = test_random_start("many");
	uint64_t written[MOST] = {0}, seen[MOST] = {0};

	(void)state;
	make(MOST, 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct ask ask;

		for (size_t i = 0; i < 3 && round < WRITTEN; i++, written[i - 1]++)
			append_to(i, 8 + test_random_below(&random, 30));
		for (size_t i = 3; i < MOST && round < 5; i++, written[i - 1]++)
			append_to(i, 8 + test_random_below(&random, 500));
		ask = ask_of(0, MOST, 1 + test_random_below(&random, 200), test_random_u64(&random));
		assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
		for (size_t i = 0; i < MOST; i++) {
			const struct stream_view *view = ask.c.out.streams[i];

			assert_true(view->from_offset == seen[i] && view->after_offset == seen[i] + view->chunk_count);
			seen[i] = view->after_offset;
			reads[i].from = STREAM_FROM_OFFSET;
			reads[i].number = view->number;
			reads[i].offset = seen[i];
		}
		ask_deinit(&ask);
		for (size_t i = 3; i < MOST && round == WRITTEN; i++)
			assert_true(seen[i] == written[i]); /* though the others had something all the time */
	}
	assert_memory_equal(seen, written, sizeof(seen));
}

static void every_allocation(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	bool done = false;

	(void)state;
	handles[0] = handle_of(&job);
	make(3, 2);
	reads[1].from = STREAM_FROM_NOW;
	reads[1].watch = true;
	fixture_dump(&f, &other);
	for (uint64_t k = 1; !done; k++) {
		struct ask ask = ask_of(1, 3, 1000, k);
		size_t missing = 0;

		assert_true(k < 30);
		mem_fail_nth(k);
		fixture_send(&f, &ask, 0);
		mem_fail_nth(0);
		fixture_settle(&f);
		assert_int_equal(ask.back, 1);
		for (size_t i = 0; ask.c.outcome == OUTCOME_OK && i < 4; i++)
			missing += ask.c.out.outcomes[i] == OUTCOME_NO_MEMORY;
		done = ask.c.outcome == OUTCOME_OK && !missing;
		assert_true(done || missing == 1 || ask.c.outcome == OUTCOME_NO_MEMORY);
		ask_deinit(&ask);
		fixture_dump(&f, &mine);
		assert_true(mine.len == other.len && memcmp(mine.ptr, other.ptr, mine.len) == 0);
	}
	fixture_drop_sent(&f);
	assert_int_equal(f.pins, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_as_by_itself),
		TEST(what_has_nothing_is_watched),
		TEST(not_before_all_of_it_is_durable),
		TEST(the_room_is_shared),
		TEST(a_blob_takes_no_room),
		TEST(so_many_chunks_and_no_more),
		TEST(none_waits_for_ever),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
