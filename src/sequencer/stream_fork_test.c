/* Forks: where they begin, what they have, and that it stays, whatever becomes of those before them; and that a checkpoint taken
 * while all this comes and goes leaves nothing behind and refuses nothing. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static const struct slice fork_path = {"f", 1}, json_type = {"application/json", 16};

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.gather_chunks = 4;
	f.config.gather_bytes = 4096;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	expect_same_after_replay(false);
	fixture_checkpoint_drop(&f);
	while (fixture_checkpoint(&f, 1))
		;
	expect_same_after_replay(true);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

static enum outcome fork_at(struct slice source, struct slice path, uint64_t offset, uint64_t sub)
{
	return create_as((struct stream_create_in){.path = path,
						   .source = source,
						   .has_fork_offset = true,
						   .fork_number = number_of(source),
						   .fork_offset = offset,
						   .fork_sub = sub});
}

static enum outcome fork_end(struct slice source, struct slice path)
{
	return create_as((struct stream_create_in){.path = path, .source = source});
}

static void it_begins_anywhere(void **state)
{
	static const struct {
		uint64_t offset, sub;
		enum outcome outcome;
		const char *said;
	} points[] = {
		{0, 0, OUTCOME_OK, "0:! "},
		{1, 0, OUTCOME_OK, "0:one 1:! "},
		{2, 0, OUTCOME_OK, "0:one 1:two 2:! "},
		{5, 0, OUTCOME_OK, "0:one 1:two 2:three 3:four 4:five 5:! "},
		{6, 0, OUTCOME_RANGE, NULL},
		{0, 1, OUTCOME_OK, "0:o 1:! "},
		{2, 4, OUTCOME_OK, "0:one 1:two 2:thre 3:! "},
		{2, 5, OUTCOME_OK, "0:one 1:two 2:three 3:! "},
		{2, 6, OUTCOME_RANGE, NULL},
		{5, 1, OUTCOME_RANGE, NULL},
	};

	(void)state;
	create(a_path);
	append_words(a_path, "one two three");
	append_words(a_path, "four");
	append_words(a_path, "five");
	for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
		assert_int_equal(fork_at(a_path, fork_path, points[i].offset, points[i].sub), points[i].outcome);
		if (points[i].outcome != OUTCOME_OK)
			continue;
		assert_int_equal(append_words(fork_path, "!"), OUTCOME_OK);
		expect_words_at(fork_path, points[i].said);
		assert_int_equal(delete (fork_path), OUTCOME_OK);
	}
}

static void parts_of_records_that_lie_together(void **state)
{
	(void)state;
	create(a_path);
	for (unsigned i = 0; i < 12; i++)
		append_words(a_path, "word");
	assert_true(events_of(STREAM_GATHERED) > 0);
	assert_int_equal(fork_at(a_path, fork_path, 2, 3), OUTCOME_OK);
	append_words(fork_path, "!");
	expect_words_at(fork_path, "0:word 1:word 2:wor 3:! ");
	/* Of the part no more than there is of it. */
	assert_int_equal(fork_at(fork_path, SLICE("g"), 2, 4), OUTCOME_RANGE);
	assert_int_equal(fork_at(fork_path, SLICE("g"), 2, 2), OUTCOME_OK);
	expect_words_at(SLICE("g"), "0:word 1:word 2:wo ");
	assert_int_equal(fork_at(fork_path, SLICE("h"), 2, 3), OUTCOME_OK);
	expect_words_at(SLICE("h"), "0:word 1:word 2:wor ");
}

static void parts_of_a_long_record(void **state)
{
	struct stream_append_in in = {
		.path = a_path, .content_type = a_type, .records = {.blob = {7, 100, 0, BODY_BLOB}, .count = 1}};
	struct ask ask;

	(void)state;
	create(a_path);
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	assert_int_equal(fork_at(a_path, fork_path, 0, 101), OUTCOME_RANGE);
	assert_int_equal(fork_at(a_path, fork_path, 0, 60), OUTCOME_OK);
	assert_int_equal(fork_at(fork_path, SLICE("g"), 0, 61), OUTCOME_RANGE);
	assert_int_equal(fork_at(fork_path, SLICE("g"), 0, 50), OUTCOME_OK);
	assert_int_equal(read_as((struct stream_read_in){.path = SLICE("g"), .max_bytes = 1}, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.stream->chunk_count == 1 && ask.c.out.stream->chunks[0].value_bytes == 50);
	ask_deinit(&ask);
}

/* Messages of JSON are counted within what came with one append. */
static void messages_of_an_append(void **state)
{
	struct stream_append_in in = {.path = a_path, .content_type = json_type};

	(void)state;
	create_as((struct stream_create_in){.path = a_path, .content_type = json_type, .json = true});
	for (unsigned i = 0; i < 2; i++) {
		in.records = words_of("1 2 3", 0, 0);
		assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	}
	assert_int_equal(fork_at(a_path, fork_path, 0, 4), OUTCOME_RANGE);
	assert_int_equal(fork_at(a_path, fork_path, 1, 2), OUTCOME_OK);
	expect_words_at(fork_path, "0:1 1:2 2:3 ");
	assert_int_equal(fork_at(a_path, SLICE("g"), 3, 1), OUTCOME_OK);
	expect_words_at(SLICE("g"), "0:1 1:2 2:3 3:1 ");
	assert_int_equal(fork_at(SLICE("g"), SLICE("h"), 3, 2), OUTCOME_RANGE); /* it has one of them */
	assert_int_equal(fork_at(SLICE("g"), SLICE("h"), 3, 1), OUTCOME_OK);
}

static void sources_that_are_none(void **state)
{
	struct stream_create_in in = {.path = fork_path, .source = a_path, .content_type = SLICE("text/other")};
	char path[] = "d1";

	(void)state;
	assert_int_equal(fork_end(a_path, fork_path), OUTCOME_NO_SOURCE);
	create(a_path);
	append_words(a_path, "one");
	assert_int_equal(create_as(in), OUTCOME_TYPE);
	in.content_type = SLICE("Text/Plain");
	assert_int_equal(create_as(in), OUTCOME_OK);
	assert_int_equal(create_as(in), OUTCOME_SAME);
	append_words(a_path, "two");
	assert_int_equal(create_as(in), OUTCOME_SAME); /* the end was elsewhere then */
	assert_int_equal(fork_at(a_path, fork_path, 1, 0), OUTCOME_SAME);
	assert_int_equal(fork_at(a_path, fork_path, 2, 0), OUTCOME_CONFLICT);
	assert_int_equal(create(fork_path), OUTCOME_CONFLICT);
	assert_int_equal(fork_end(fork_path, slice_str(path)), OUTCOME_OK);
	for (unsigned depth = 2; depth < FORK_DEPTH_MAX; depth++, path[1]++) {
		char next[] = {'d', (char)(path[1] + 1), 0};

		assert_int_equal(fork_end(slice_str(path), slice_str(next)), OUTCOME_OK);
	}
	assert_int_equal(fork_end(slice_str(path), SLICE("one too many")), OUTCOME_RANGE);
	expect_words_at(slice_str(path), "0:one ");
}

static void who_wrote_to_the_source_is_not_known(void **state)
{
	struct stream_append_in last = append_of(0, "");
	struct stream_view view;

	(void)state;
	create(a_path);
	assert_int_equal(append_by("p", 0, 0, NULL), OUTCOME_OK);
	last.records = (struct records_in){0};
	last.close = true;
	assert_int_equal(append_as(last, &view), OUTCOME_OK);
	assert_int_equal(fork_end(a_path, fork_path), OUTCOME_OK);
	last = (struct stream_append_in){
		.path = fork_path, .content_type = a_type, .records = records_of(1, "x"), .producer = {SLICE("p"), 0, 1}};
	assert_int_equal(append_as(last, NULL), OUTCOME_GAP);
	last.producer.seq = 0;
	assert_int_equal(append_as(last, &view), OUTCOME_OK);
	assert_true(!view.closed && view.next_offset == 2);
}

static void deleted_it_stays_for_its_forks(void **state)
{
	struct stream_read_in look = {.path = a_path, .look = true};
	struct ask ask;

	(void)state;
	create(a_path);
	append_words(a_path, "one");
	fork_end(a_path, fork_path);
	assert_int_equal(delete (a_path), OUTCOME_OK);
	assert_int_equal(delete (a_path), OUTCOME_GONE);
	assert_int_equal(read_as(look, &ask, 0), OUTCOME_GONE);
	ask_deinit(&ask);
	assert_int_equal(append_words(a_path, "x"), OUTCOME_GONE);
	assert_int_equal(create(a_path), OUTCOME_CONFLICT);
	assert_int_equal(fork_end(a_path, SLICE("g")), OUTCOME_CONFLICT);
	expect_words_at(fork_path, "0:one ");
	expect_same_after_replay(false);
	assert_int_equal(delete (fork_path), OUTCOME_OK);
	assert_int_equal(read_as(look, &ask, 0), OUTCOME_NOT_FOUND);
	ask_deinit(&ask);
	assert_int_equal(create(a_path), OUTCOME_OK);
	assert_int_equal(f.body_count, 0);
}

/* --- every order --- */

enum { FAMILY = 5 };

static const struct slice family[FAMILY] = {{"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}, {"5", 1}};

/* 1 ← 2 ← 3 ← 4, and 2 ← 5. */
static void family_make(void)
{
	assert_int_equal(create(family[0]), OUTCOME_OK);
	append_words(family[0], "a");
	append_words(family[0], "bcd e");
	assert_int_equal(fork_at(family[0], family[1], 1, 2), OUTCOME_OK);
	append_words(family[1], "f");
	assert_int_equal(fork_end(family[1], family[2]), OUTCOME_OK);
	append_words(family[2], "g");
	assert_int_equal(fork_end(family[2], family[3]), OUTCOME_OK);
	assert_int_equal(fork_at(family[1], family[4], 2, 0), OUTCOME_OK);
}

static void family_expect(const bool *gone)
{
	static const char *const said[FAMILY] = {"0:a 1:bcd 2:e ", "0:a 1:bc 2:f ", "0:a 1:bc 2:f 3:g ", "0:a 1:bc 2:f 3:g ",
						 "0:a 1:bc "};

	for (size_t i = 0; i < FAMILY; i++) {
		if (!gone[i])
			expect_words_at(family[i], said[i]);
	}
}

static void delete_in_order(unsigned order)
{
	bool gone[FAMILY] = {0};
	bool checkpoint = true;

	family_make();
	fixture_checkpoint_drop(&f);
	for (unsigned left = FAMILY; left > 0; left--) {
		unsigned n = order % left;
		size_t i = 0;

		order /= left;
		for (; gone[i] || n > 0; i++)
			n -= !gone[i];
		/* Begun before the first, and at its end behind the last but one. */
		checkpoint = checkpoint && fixture_checkpoint(&f, left == 1 ? 100 : 2);
		assert_int_equal(delete (family[i]), OUTCOME_OK);
		gone[i] = true;
		family_expect(gone);
	}
	while (checkpoint && fixture_checkpoint(&f, 100))
		;
	assert_int_equal(f.s->streams.count, 0);
	assert_int_equal(f.body_count, 0);
	expect_same_after_replay(true);
}

static void in_every_order(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 120; order++) {
		delete_in_order(order);
		fixture_drop_sent(&f);
	}
	expect_same_after_replay(false);
}

/* --- while a checkpoint is taken --- */

/* What lies before the streams, and the first of them. */
static void checkpoint_first_stream(void)
{
	assert_true(fixture_checkpoint(&f, 1));
	assert_true(fixture_checkpoint(&f, 1));
}

static void checkpoint_rest(void)
{
	while (fixture_checkpoint(&f, 100))
		;
}

/* The checkpoint has the source, deleted, and not the fork, whose end comes before its turn. */
static void the_last_fork_goes_before_its_turn(void **state)
{
	(void)state;
	create(a_path);
	append_words(a_path, "one");
	fork_end(a_path, fork_path);
	fork_end(fork_path, SLICE("g"));
	assert_int_equal(delete (a_path), OUTCOME_OK);
	assert_int_equal(delete (fork_path), OUTCOME_OK);
	checkpoint_first_stream();
	assert_int_equal(delete (SLICE("g")), OUTCOME_OK);
	checkpoint_rest();
	expect_same_after_replay(true);
	/* The path is another's now. */
	assert_int_equal(create(a_path), OUTCOME_OK);
	expect_same_after_replay(true);
	append_words(a_path, "new");
	expect_words_at(a_path, "0:new ");
	expect_same_after_replay(true);
}

static void the_fork_begins_where_the_source_had_not_come(void **state)
{
	(void)state;
	create(a_path);
	checkpoint_first_stream();
	append_words(a_path, "one two");
	fork_at(a_path, fork_path, 1, 2);
	append_words(fork_path, "!");
	checkpoint_rest();
	expect_same_after_replay(true);
}

static void its_number_is_not_given_twice(void **state)
{
	uint64_t number;

	(void)state;
	create(a_path);
	assert_true(fixture_checkpoint(&f, 1)); /* no stream yet */
	fork_end(a_path, fork_path);
	number = number_of(fork_path);
	assert_int_equal(delete (fork_path), OUTCOME_OK);
	assert_int_equal(delete (a_path), OUTCOME_OK);
	checkpoint_rest();
	expect_same_after_replay(true); /* the next number is part of it */
	create(a_path);
	assert_true(number_of(a_path) > number);
}

static void a_trim_before_the_sources_own(void **state)
{
	struct stream_create_in in = {.path = fork_path, .source = a_path, .max_age_ms = 1600};

	(void)state;
	create_as((struct stream_create_in){.path = a_path, .content_type = a_type, .max_age_ms = 16000});
	append_words(a_path, "one");
	fixture_later(&f, 1000);
	append_words(a_path, "two");
	assert_true(fixture_checkpoint(&f, 1));
	create_as(in);
	fixture_later(&f, 700);
	expect_words_at(fork_path, "1:two ");
	fixture_later(&f, 17000);
	expect_words_at(a_path, "");
	assert_true(fixture_checkpoint(&f, 1));
	assert_int_equal(delete (fork_path), OUTCOME_OK);
	checkpoint_rest();
	expect_same_after_replay(true);
}

/* Only what its fork still reads lies before the source's beginning; that is not gathered with what lies behind. */
static void what_stays_for_a_fork_is_not_gathered(void **state)
{
	(void)state;
	create_as((struct stream_create_in){.path = a_path, .content_type = a_type, .max_bytes = 500});
	append_words(a_path, "a");
	append_words(a_path, "b");
	append_words(a_path, "c");
	fork_end(a_path, fork_path);
	assert_true(fixture_checkpoint(&f, 1));
	assert_true(fixture_checkpoint(&f, 1));
	for (unsigned i = 0; i < 30; i++)
		append_words(a_path, "d");
	assert_true(events_of(STREAM_TRIMMED) > 0 && events_of(STREAM_GATHERED) > 0);
	expect_words_at(fork_path, "0:a 1:b 2:c ");
	assert_int_equal(delete (fork_path), OUTCOME_OK);
	checkpoint_rest();
	expect_same_after_replay(true);
}

/* --- what goes of what is inherited --- */

static void records_go_by_their_own_time_for_forks_too(void **state)
{
	struct stream_append_in in = {.path = a_path, .content_type = a_type, .ttl_ms = 2000};

	(void)state;
	create(a_path);
	append_words(a_path, "one");
	in.records = words_of("two", 0, 0);
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	append_words(a_path, "three");
	fork_end(a_path, fork_path);
	assert_int_equal(delete (a_path), OUTCOME_OK);
	fixture_later(&f, 1999);
	expect_words_at(fork_path, "0:one 1:two 2:three ");
	expect_same_after_replay(false);
	fixture_later(&f, 1);
	expect_words_at(fork_path, "0:one 2:three ");
	assert_int_equal(f.body_count, 2);
}

static void what_is_inherited_gets_too_old(void **state)
{
	(void)state;
	create(a_path);
	append_words(a_path, "one");
	create_as((struct stream_create_in){.path = fork_path, .source = a_path, .max_age_ms = 1600});
	fixture_later(&f, 1700);
	expect_words_at(fork_path, "");
	expect_words_at(a_path, "0:one ");
}

/* A source's run of bytes may hold younger records than its fork has. */
static void a_time_is_not_found_behind_the_forks_own_part(void **state)
{
	struct stream_read_in in = {.path = fork_path, .from = STREAM_FROM_TIME, .max_bytes = 1000};

	(void)state;
	create(a_path);
	for (unsigned i = 0; i < 12; i++) {
		append_words(a_path, "w");
		fixture_later(&f, 100);
	}
	assert_true(events_of(STREAM_GATHERED) > 0);
	assert_int_equal(fork_at(a_path, fork_path, 2, 0), OUTCOME_OK);
	assert_int_equal(append_as((struct stream_append_in){.path = fork_path,
							     .content_type = a_type,
							     .records = words_of("old", 0, f.now_ms - 5000)},
				   NULL),
			 OUTCOME_OK);
	append_words(fork_path, "new");
	in.time_ms = f.now_ms - 1000; /* younger than what is inherited, older than the rest of those bytes */
	expect_words(in, "3:new ");
}

static void every_allocation(void **state)
{
	enum outcome outcome = OUTCOME_NO_MEMORY;

	(void)state;
	create(a_path);
	append_words(a_path, "one two");
	for (uint64_t n = 1; outcome == OUTCOME_NO_MEMORY; n++) {
		uint64_t end = f.end, number = number_of(a_path);
		struct stream_create_in in = {.path = fork_path,
					      .source = a_path,
					      .has_fork_offset = true,
					      .fork_number = number,
					      .fork_offset = 1,
					      .fork_sub = 2,
					      .max_age_ms = 1000};

		mem_fail_nth(n);
		outcome = create_as(in);
		mem_fail_nth(0);
		sequencer_check(f.s);
		assert_true(outcome == OUTCOME_OK || (outcome == OUTCOME_NO_MEMORY && f.end == end));
		assert_true(f.pins == 0);
	}
	expect_words_at(fork_path, "0:one 1:tw ");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_begins_anywhere),
		TEST(parts_of_records_that_lie_together),
		TEST(parts_of_a_long_record),
		TEST(messages_of_an_append),
		TEST(sources_that_are_none),
		TEST(who_wrote_to_the_source_is_not_known),
		TEST(deleted_it_stays_for_its_forks),
		TEST(in_every_order),
		TEST(the_last_fork_goes_before_its_turn),
		TEST(the_fork_begins_where_the_source_had_not_come),
		TEST(its_number_is_not_given_twice),
		TEST(a_trim_before_the_sources_own),
		TEST(what_stays_for_a_fork_is_not_gathered),
		TEST(records_go_by_their_own_time_for_forks_too),
		TEST(what_is_inherited_gets_too_old),
		TEST(a_time_is_not_found_behind_the_forks_own_part),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
