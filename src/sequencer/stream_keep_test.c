/* What a stream keeps, and what goes: by age, by size, by a record's own time, by its key; how small chunks come together; where
 * reading may begin; who waits. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.now_ms = 1700000000000;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	expect_same_after_replay(false);
	while (fixture_checkpoint(&f, 1))
		;
	expect_same_after_replay(true);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

static void create_keeping(uint64_t max_age_ms, uint64_t max_bytes)
{
	struct stream_create_in in = {.path = a_path, .content_type = a_type, .max_age_ms = max_age_ms, .max_bytes = max_bytes};

	assert_int_equal(create_as(in), OUTCOME_OK);
	assert_int_equal(create_as(in), OUTCOME_SAME);
	in.max_bytes++;
	assert_int_equal(create_as(in), OUTCOME_CONFLICT);
	in.max_bytes--;
	in.max_age_ms++;
	assert_int_equal(create_as(in), OUTCOME_CONFLICT);
}

static enum outcome append_more(const char *words, struct stream_append_in in)
{
	in.path = a_path;
	in.content_type = a_type;
	in.records = words_of(words, in.key.len ? *in.key.ptr : 0, 0);
	return append_as(in, NULL);
}

static void append_keyed(const char *word, const char *key, bool replace)
{
	assert_int_equal(append_more(word, (struct stream_append_in){.key = slice_str(key), .replace = replace}), OUTCOME_OK);
}

static enum outcome read_at(uint64_t offset)
{
	struct stream_read_in in = read_of(STREAM_FROM_OFFSET);
	enum outcome outcome;
	struct ask ask;

	in.number = number_of(a_path);
	in.offset = offset;
	outcome = read_as(in, &ask, 0);
	ask_deinit(&ask);
	return outcome;
}

/* --- what goes --- */

static void old_records_go_a_sixteenth_late(void **state)
{
	(void)state;
	create_keeping(16000, 0);
	append_words(a_path, "one two");
	fixture_later(&f, 10000);
	append_words(a_path, "three");
	fixture_later(&f, 6999);
	expect_words_at(a_path, "0:one 1:two 2:three ");
	fixture_later(&f, 1);
	expect_words_at(a_path, "2:three ");
	assert_int_equal(f.body_count, 1);
	assert_int_equal(read_at(1), OUTCOME_OTHER);
	assert_int_equal(read_at(2), OUTCOME_OK);
	fixture_later(&f, 10000);
	expect_words_at(a_path, "");
	assert_int_equal(f.body_count, 0);
	append_words(a_path, "four");
	expect_words_at(a_path, "3:four ");
}

static void too_much_goes_down_to_what_may_be(void **state)
{
	uint64_t one = words_of("12345", 0, 0).batch_bytes;

	(void)state;
	create_keeping(0, 16 * one);
	for (unsigned i = 0; i < 17; i++)
		append_words(a_path, "12345");
	assert_int_equal(f.body_count, 17); /* a sixteenth more may be */
	append_words(a_path, "12345");
	assert_int_equal(f.body_count, 16);
	assert_int_equal(events_of(STREAM_TRIMMED), 1);
	assert_int_equal(read_at(1), OUTCOME_OTHER);
	assert_int_equal(read_at(2), OUTCOME_OK);
}

static void the_last_stays_however_long(void **state)
{
	(void)state;
	create_keeping(0, 1);
	append_words(a_path, "one");
	append_words(a_path, "a b c d e f g h i j k l m n o p");
	assert_int_equal(f.body_count, 1);
	assert_int_equal(read_at(1), OUTCOME_OK);
	append_words(a_path, "z");
	expect_words_at(a_path, "17:z ");
}

static void records_have_a_time_of_their_own(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_OFFSET);
	struct ask ask;

	(void)state;
	create(a_path);
	append_words(a_path, "stays");
	assert_int_equal(append_more("short lived", (struct stream_append_in){.ttl_ms = 1500}), OUTCOME_OK);
	append_words(a_path, "too");
	assert_int_equal(append_more("longer", (struct stream_append_in){.ttl_ms = 2500}), OUTCOME_OK);
	fixture_later(&f, 1999);
	expect_words_at(a_path, "0:stays 1:short 2:lived 3:too 4:longer ");
	fixture_later(&f, 1); /* whole seconds */
	expect_words_at(a_path, "0:stays 3:too 4:longer ");
	fixture_later(&f, 1000);
	expect_words_at(a_path, "0:stays 3:too ");
	assert_int_equal(f.body_count, 2);
	/* Behind the last is a gap up to the end: who stands there waits. */
	in.number = number_of(a_path);
	in.offset = 4;
	in.watch = true;
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_PARKED);
	assert_true(ask.c.out.stream->after_offset == 5);
	ask_deinit(&ask);
	append_words(a_path, "end");
	expect_words_at(a_path, "0:stays 3:too 5:end ");
	fixture_drop_sent(&f);
}

static void very_many_go_at_the_same_second(void **state)
{
	(void)state;
	create(a_path);
	for (unsigned i = 0; i < 600; i++) {
		assert_int_equal(append_more("x", (struct stream_append_in){.ttl_ms = 1000}), OUTCOME_OK);
		fixture_drop_sent(&f);
	}
	fixture_later(&f, 500);
	assert_int_equal(f.body_count, 600);
	fixture_later(&f, 500);
	assert_int_equal(f.body_count, 0);
	assert_int_equal(read_at(600), OUTCOME_OK);
	assert_true(read_at(0) == OUTCOME_OTHER || events_of(STREAM_TRIMMED) == 0);
}

static void the_last_with_a_key_replaces_the_one_before(void **state)
{
	(void)state;
	create(a_path);
	append_keyed("a1", "a", true);
	append_keyed("b1", "b", true);
	append_keyed("plain", "a", false);
	append_keyed("a2", "a", true);
	append_words(a_path, "other");
	append_keyed("a3", "a", true);
	expect_words_at(a_path, "1:b1 2:plain 4:other 5:a3 ");
	assert_int_equal(f.body_count, 4);
	for (unsigned i = 0; i < 100; i++)
		append_keyed("b", "b", true);
	expect_words_at(a_path, "2:plain 4:other 5:a3 105:b ");
	assert_int_equal(f.body_count, 4);
}

static void a_key_whose_record_is_gone_replaces_nothing(void **state)
{
	(void)state;
	create_keeping(16000, 0);
	append_keyed("a1", "a", true);
	assert_int_equal(append_more("b1", (struct stream_append_in){.key = SLICE("b"), .replace = true, .ttl_ms = 1000}),
			 OUTCOME_OK);
	fixture_later(&f, 5000);
	append_words(a_path, "mid");
	append_keyed("b2", "b", true);
	fixture_later(&f, 12000);
	append_keyed("a2", "a", true);
	expect_words_at(a_path, "2:mid 3:b2 4:a2 ");
}

static void space_is_given_back_when_the_disk_is_full(void **state)
{
	(void)state;
	create_keeping(16000, 0);
	append_words(a_path, "old");
	assert_int_equal(append_more("short", (struct stream_append_in){.ttl_ms = 30000}), OUTCOME_OK);
	f.full = true;
	fixture_later(&f, 40000);
	assert_int_equal(f.body_count, 0);
	f.full = false;
}

static void what_could_not_go_for_want_of_memory_goes_later(void **state)
{
	(void)state;
	create_keeping(16000, 0);
	append_words(a_path, "old");
	f.now_ms += 17000;
	mem_fail_nth(1);
	sequencer_turn(f.s, f.now_ms, 10);
	mem_fail_nth(0);
	fixture_settle(&f);
	assert_int_equal(f.body_count, 1);
	fixture_later(&f, 1000);
	assert_int_equal(f.body_count, 0);
}

/* --- gathering --- */

static void gather_at(uint32_t chunks)
{
	f.config.gather_chunks = chunks;
	f.config.gather_bytes = 4096;
	sequencer_configure(f.s, &f.config);
}

static size_t chunks_read(void)
{
	struct ask ask;
	size_t count;

	assert_int_equal(read_as(read_of(STREAM_FROM_START), &ask, 0), OUTCOME_OK);
	count = ask.c.out.stream->chunk_count;
	ask_deinit(&ask);
	return count;
}

/* What lay between two small ones is gone, and its place with it. */
static void small_ones_come_together_behind_a_gap(void **state)
{
	(void)state;
	gather_at(8);
	create(a_path);
	append_words(a_path, "a");
	for (unsigned round = 0; round < 3; round++) {
		for (const char *key = "1\0002\0003\0004\000"; *key; key += 2)
			append_keyed("k", key, true);
		if (!round)
			append_words(a_path, "b");
	}
	for (unsigned i = 0; i < 40; i++)
		append_words(a_path, "x y");
	assert_true(events_of(STREAM_GATHERED) >= 3);
	assert_in_range(chunks_read(), 1, 16);
}

static void what_may_go_alone_is_left_alone(void **state)
{
	(void)state;
	gather_at(4);
	create(a_path);
	for (unsigned i = 0; i < 12; i++) {
		char key[2] = {(char)('a' + i), 0};

		append_keyed("k", key, true);
		assert_int_equal(append_more("t", (struct stream_append_in){.ttl_ms = 5000}), OUTCOME_OK);
	}
	assert_int_equal(events_of(STREAM_GATHERED), 0);
	fixture_later(&f, 5000);
	assert_int_equal(f.body_count, 12);
}

static void gathering_waits_until_it_is_durable(void **state)
{
	struct ask asks[20];

	(void)state;
	gather_at(4);
	create(a_path);
	f.hold = true;
	for (size_t i = 0; i < ARRAY_COUNT(asks); i++) {
		asks[i] = (struct ask){
			.c = {.kind = COMMAND_STREAM_APPEND,
			      .in.stream_append = {.path = a_path, .content_type = a_type, .records = words_of("w", 0, 0)}}};
		fixture_send(&f, &asks[i], 0);
	}
	assert_int_equal(events_of(STREAM_GATHERED), 0);
	f.hold = false;
	fixture_settle(&f);
	for (size_t i = 0; i < ARRAY_COUNT(asks); i++)
		ask_deinit(&asks[i]);
	for (unsigned i = 0; i < 4; i++)
		append_words(a_path, "w");
	assert_true(events_of(STREAM_GATHERED) > 0);
}

/* --- where reading begins --- */

static void from_a_time_on(void **state)
{
	struct stream_append_in past = {.path = a_path, .content_type = a_type};
	struct stream_read_in in = read_of(STREAM_FROM_TIME);

	(void)state;
	gather_at(4);
	create(a_path);
	for (unsigned i = 0; i < 12; i++) {
		append_words(a_path, "w");
		fixture_later(&f, 100);
	}
	past.records = words_of("past", 0, f.now_ms - 100000);
	assert_int_equal(append_as(past, NULL), OUTCOME_OK);
	assert_true(events_of(STREAM_GATHERED) > 0);
	in.time_ms = f.now_ms - 250;
	expect_words(in, "10:w 11:w 12:past ");
	in.time_ms = f.now_ms - 100; /* that very time */
	expect_words(in, "11:w 12:past ");
	in.time_ms = f.now_ms;
	expect_words(in, "");
	in.time_ms = 0;
	expect_words(in, "0:w 1:w 2:w 3:w 4:w 5:w 6:w 7:w 8:w 9:w 10:w 11:w 12:past ");
}

static void from_the_last_records_on(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_TAIL);

	(void)state;
	create(a_path);
	append_words(a_path, "a b c");
	append_keyed("k", "k", true);
	append_keyed("l", "k", true);
	append_words(a_path, "d");
	in.count = 1;
	expect_words(in, "5:d ");
	in.count = 3; /* over the gap */
	expect_words(in, "2:c 4:l 5:d ");
	in.count = 4;
	expect_words(in, "1:b 2:c 4:l 5:d ");
	in.count = 400;
	expect_words(in, "0:a 1:b 2:c 4:l 5:d ");
}

/* --- who waits --- */

static enum outcome watch_from_start(unsigned thread, uint64_t min_bytes, uint32_t waits)
{
	struct stream_read_in in = read_of(STREAM_FROM_START);
	enum outcome outcome;
	struct ask ask;

	in.watch = true;
	in.min_bytes = min_bytes;
	in.waits = waits;
	outcome = read_as(in, &ask, thread);
	ask_deinit(&ask);
	return outcome;
}

static void not_before_there_is_enough(void **state)
{
	uint64_t one = words_of("w", 0, 0).batch_bytes;

	(void)state;
	create(a_path);
	append_words(a_path, "w");
	assert_int_equal(watch_from_start(0, one, 0), OUTCOME_OK);
	assert_int_equal(watch_from_start(0, one + 1, 0), OUTCOME_PARKED);
	append_words(a_path, "w");
	assert_int_equal(watch_from_start(0, 2 * one, 0), OUTCOME_OK);
	assert_int_equal(watch_from_start(0, 2 * one + 1, 0), OUTCOME_PARKED);
	assert_int_equal(append_as((struct stream_append_in){.path = a_path, .close = true}, NULL), OUTCOME_OK);
	assert_int_equal(watch_from_start(0, UINT64_MAX, 0), OUTCOME_OK); /* nothing more will come */
	fixture_drop_sent(&f);
}

static uint32_t append_waking(bool if_waiting, enum outcome should)
{
	struct ask ask = {
		.c = {.kind = COMMAND_STREAM_APPEND,
		      .in.stream_append = {
			      .path = a_path, .content_type = a_type, .records = words_of("w", 0, 0), .if_waiting = if_waiting}}};
	uint32_t woken;

	assert_int_equal(fixture_ask(&f, &ask, 0), should);
	woken = ask.c.out.woken;
	ask_deinit(&ask);
	fixture_drop_sent(&f);
	return woken;
}

static void leave(uint32_t waits)
{
	struct stream_left *left = mem_zalloc(sizeof(*left));

	assert_non_null(left);
	left->message.kind = MESSAGE_STREAM_LEFT;
	left->number = number_of(a_path);
	left->waits = waits;
	sequencer_message(f.s, &left->message);
}

static void who_waits_is_counted(void **state)
{
	uint64_t end;

	(void)state;
	create(a_path);
	end = f.end;
	assert_int_equal(append_waking(true, OUTCOME_EMPTY), 0);
	assert_true(f.end == end);
	assert_int_equal(watch_from_start(0, 0, 0), OUTCOME_PARKED);
	assert_int_equal(watch_from_start(1, 0, 3), OUTCOME_PARKED);
	assert_int_equal(watch_from_start(1, 0, 1), OUTCOME_PARKED);
	leave(2);
	assert_int_equal(append_waking(true, OUTCOME_OK), 3);
	expect_words_at(a_path, "0:w ");
	assert_int_equal(append_waking(true, OUTCOME_EMPTY), 0);
	leave(5); /* who was woken at the same moment says so, too */
	assert_int_equal(append_waking(false, OUTCOME_OK), 0);
}

/* --- */

static void appends_that_replace_with_every_allocation_failing(void **state)
{
	(void)state;
	gather_at(4);
	create_keeping(0, 600);
	for (unsigned i = 0; i < 20; i++) {
		struct stream_append_in in = {
			.path = a_path, .content_type = a_type, .key = SLICE("k"), .replace = i % 3 == 0, .ttl_ms = i % 5 * 1000};
		enum outcome outcome = OUTCOME_NO_MEMORY;

		for (uint64_t n = 1; outcome == OUTCOME_NO_MEMORY; n++) {
			uint64_t end = f.end;

			in.records = words_of("w", 'k', 0);
			mem_fail_nth(n);
			outcome = append_as(in, NULL);
			mem_fail_nth(0);
			sequencer_check(f.s);
			assert_true(outcome == OUTCOME_OK || (outcome == OUTCOME_NO_MEMORY && f.end == end));
		}
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(old_records_go_a_sixteenth_late),
		TEST(too_much_goes_down_to_what_may_be),
		TEST(the_last_stays_however_long),
		TEST(records_have_a_time_of_their_own),
		TEST(very_many_go_at_the_same_second),
		TEST(the_last_with_a_key_replaces_the_one_before),
		TEST(a_key_whose_record_is_gone_replaces_nothing),
		TEST(space_is_given_back_when_the_disk_is_full),
		TEST(what_could_not_go_for_want_of_memory_goes_later),
		TEST(small_ones_come_together_behind_a_gap),
		TEST(what_may_go_alone_is_left_alone),
		TEST(gathering_waits_until_it_is_durable),
		TEST(from_a_time_on),
		TEST(from_the_last_records_on),
		TEST(not_before_there_is_enough),
		TEST(who_waits_is_counted),
		TEST(appends_that_replace_with_every_allocation_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
