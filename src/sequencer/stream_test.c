/* Streams as the sequencer keeps them: every record once and in order, from any offset, over restarts and checkpoints; producers
 * that repeat themselves; ends by closing, deleting and time. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 8;
	f.config.producers_max = 3;
	fixture_start(&f);
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

static void create_once(void **state)
{
	struct stream_create_in in = {.path = a_path, .content_type = a_type};

	(void)state;
	assert_int_equal(create_as(in), OUTCOME_OK);
	assert_int_equal(create_as(in), OUTCOME_SAME);
	in.closed = true;
	assert_int_equal(create_as(in), OUTCOME_CONFLICT);
	in.closed = false;
	in.content_type = SLICE("text/other");
	assert_int_equal(create_as(in), OUTCOME_CONFLICT);
	in.content_type = SLICE("Text/Plain");
	assert_int_equal(create_as(in), OUTCOME_SAME);
	in.has_ttl = true;
	assert_int_equal(create_as(in), OUTCOME_CONFLICT);
	assert_int_equal(
		append_as((struct stream_append_in){.path = SLICE("x"), .content_type = a_type, .records = records_of(1, "x")},
			  NULL),
		OUTCOME_NOT_FOUND);
}

static void read_what_follows(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_START);

	(void)state;
	create(a_path);
	expect_read(in, "", 0);
	append(1, "one");
	append(3, "two");
	append(1, "three");
	expect_read(in, "0:1=one 1:3=two 4:1=three ", 5);
	in.from = STREAM_FROM_OFFSET;
	in.number = number_of(a_path);
	in.offset = 1;
	expect_read(in, "1:3=two 4:1=three ", 5);
	in.offset = 3; /* within a batch: the batch comes whole */
	expect_read(in, "1:3=two 4:1=three ", 5);
	in.max_bytes = 1; /* at least one */
	expect_read(in, "1:3=two ", 4);
	in.offset = 5;
	expect_read(in, "", 5);
	in.offset = 500; /* beyond the end: the end */
	expect_read(in, "", 5);
	expect_read(read_of(STREAM_FROM_NOW), "", 5);
}

static void a_cursor_of_another_time(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_OFFSET);
	struct ask ask;

	(void)state;
	create(a_path);
	append(1, "old");
	in.number = number_of(a_path);
	assert_int_equal(delete (a_path), OUTCOME_OK);
	assert_int_equal(delete (a_path), OUTCOME_NOT_FOUND);
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_NOT_FOUND);
	ask_deinit(&ask);
	create(a_path);
	append(1, "new");
	assert_true(number_of(a_path) != in.number);
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OTHER);
	ask_deinit(&ask);
}

static void watch_and_wake(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_NOW);
	struct message *message;
	struct ask ask;

	(void)state;
	create(a_path);
	append(2, "before");
	in.watch = true;
	for (unsigned thread = 0; thread < 2; thread++) {
		assert_int_equal(read_as(in, &ask, thread), OUTCOME_PARKED);
		ask_deinit(&ask);
	}
	fixture_drop_sent(&f);
	append(1, "after");
	append(1, "later");
	for (unsigned thread = 0; thread < 2; thread++) {
		struct stream_wake *wake = NULL;

		for (size_t i = 0; i < f.sent_count; i++) {
			message = f.sent[i].message;
			if (!message || f.sent[i].kind != MESSAGE_STREAM_WAKE || f.sent[i].thread != thread)
				continue;
			assert_null(wake); /* one for each thread, and one only */
			wake = container_of(message, struct stream_wake, message);
			assert_true(wake->key == stream_key(number_of(a_path)) && wake->key == wake->view->key);
			say(wake->view, &mine);
			assert_string_equal(mine.ptr, "2:1=after ");
			assert_true(wake->view->after_offset == 3);
		}
		assert_non_null(wake);
	}
	fixture_drop_sent(&f);
}

static size_t wakes_sent(void)
{
	size_t count = 0;

	for (size_t i = 0; i < f.sent_count; i++)
		count += f.sent[i].kind == MESSAGE_STREAM_WAKE;
	return count;
}

static void nothing_is_said_before_it_is_durable(void **state)
{
	struct stream_read_in in = read_of(STREAM_FROM_NOW);
	struct ask watcher, writer = {.c = {.kind = COMMAND_STREAM_APPEND, .in.stream_append = append_of(1, "x")}}, reader;

	(void)state;
	create(a_path);
	in.watch = true;
	assert_int_equal(read_as(in, &watcher, 1), OUTCOME_PARKED);
	ask_deinit(&watcher);
	f.hold = true;
	fixture_send(&f, &writer, 0);
	reader = (struct ask){.c = {.kind = COMMAND_STREAM_READ, .in.stream_read = read_of(STREAM_FROM_START)}};
	fixture_send(&f, &reader, 1);
	fixture_settle(&f);
	assert_int_equal(writer.back + reader.back + wakes_sent(), 0);
	fixture_sync(&f);
	assert_int_equal(writer.back + reader.back + wakes_sent(), 3);
	assert_int_equal(reader.c.out.stream->chunk_count, 1);
	ask_deinit(&writer);
	ask_deinit(&reader);
	fixture_drop_sent(&f);
}

static void producers_repeat_themselves(void **state)
{
	static const struct {
		uint64_t epoch, seq;
		enum outcome outcome;
	} steps[] = {
		{0, 1, OUTCOME_GAP},   {0, 0, OUTCOME_OK},   {0, 0, OUTCOME_SAME},        {0, 1, OUTCOME_OK},
		{0, 3, OUTCOME_GAP},   {0, 0, OUTCOME_SAME}, {2, 1, OUTCOME_EPOCH_START}, {2, 0, OUTCOME_OK},
		{1, 0, OUTCOME_STALE}, {2, 1, OUTCOME_OK},
	};
	struct stream_view view;
	uint64_t records = 0;

	(void)state;
	create(a_path);
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		assert_int_equal(append_by("p", steps[i].epoch, steps[i].seq, &view), steps[i].outcome);
		records += steps[i].outcome == OUTCOME_OK;
		assert_true(view.next_offset == records);
	}
	assert_true(view.producer_known && view.producer_epoch == 2 && view.producer_seq == 1);
	assert_int_equal(append_by("q", 0, 0, NULL), OUTCOME_OK);
	assert_int_equal(append_by("r", 0, 0, NULL), OUTCOME_OK);
	assert_int_equal(append_by("s", 0, 0, NULL), OUTCOME_FULL);
	assert_int_equal(append_by("q", 0, 1, NULL), OUTCOME_OK);
}

static void a_sequence_rises_byte_by_byte(void **state)
{
	static const struct {
		const char *seq;
		enum outcome outcome;
	} steps[] = {{"a", OUTCOME_OK},  {"a", OUTCOME_SEQ}, {"B", OUTCOME_SEQ},  {"aa", OUTCOME_OK},
		     {"a", OUTCOME_SEQ}, {"b", OUTCOME_OK},  {"10", OUTCOME_SEQ}, {"\xc3\xa9", OUTCOME_OK}};

	(void)state;
	create(a_path);
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		struct stream_append_in in = append_of(1, "x");

		in.stream_seq = slice_str(steps[i].seq);
		assert_int_equal(append_as(in, NULL), steps[i].outcome);
	}
	assert_int_equal(append(1, "without"), OUTCOME_OK);
}

static void closed_is_closed(void **state)
{
	struct stream_append_in last = append_of(1, "last"), end = {.path = a_path, .close = true};
	struct stream_view view;

	(void)state;
	create(a_path);
	last.close = true;
	last.producer = (struct producer_in){SLICE("p"), 0, 0};
	assert_int_equal(append_as(last, &view), OUTCOME_OK);
	assert_true(view.closed && view.next_offset == 1);
	assert_int_equal(append_as(last, NULL), OUTCOME_SAME); /* the very append that closed it */
	last.producer.seq = 1;
	assert_int_equal(append_as(last, &view), OUTCOME_CLOSED);
	assert_true(view.closed && view.next_offset == 1);
	assert_int_equal(append(1, "x"), OUTCOME_CLOSED);
	assert_int_equal(append_by("q", 0, 0, NULL), OUTCOME_CLOSED);
	assert_int_equal(append_as(end, NULL), OUTCOME_SAME);
	expect_read(read_of(STREAM_FROM_START), "0:1=last ", 1);
}

/* Whoever has not heard that his append was taken must hear it from the repeat, whoever has closed the stream since. */
static void taken_before_it_was_closed(void **state)
{
	struct stream_append_in end = {.path = a_path, .close = true, .producer = {SLICE("q"), 3, 0}};
	struct stream_view view;

	(void)state;
	create(a_path);
	assert_int_equal(append_by("p", 0, 0, NULL), OUTCOME_OK);
	assert_int_equal(append_by("p", 0, 1, NULL), OUTCOME_OK);
	assert_int_equal(append_as(end, NULL), OUTCOME_OK);
	assert_int_equal(append_by("p", 0, 1, &view), OUTCOME_SAME);
	assert_true(view.closed && view.next_offset == 2 && view.producer_seq == 1);
	assert_int_equal(append_by("p", 0, 0, NULL), OUTCOME_SAME);
	assert_int_equal(append_by("p", 0, 2, NULL), OUTCOME_CLOSED);
	assert_int_equal(append_by("p", 1, 0, NULL), OUTCOME_CLOSED);
	assert_int_equal(append_by("q", 3, 1, NULL), OUTCOME_CLOSED);
	assert_int_equal(append_by("q", 3, 0, NULL), OUTCOME_SAME);
}

static void closing_wakes_who_waits(void **state)
{
	struct stream_append_in end = {.path = a_path, .close = true};
	struct stream_read_in in = read_of(STREAM_FROM_NOW);
	struct ask ask;

	(void)state;
	create(a_path);
	in.watch = true;
	assert_int_equal(read_as(in, &ask, 1), OUTCOME_PARKED);
	ask_deinit(&ask);
	assert_int_equal(append_as(end, NULL), OUTCOME_OK);
	assert_int_equal(wakes_sent(), 1);
	assert_int_equal(read_as(in, &ask, 1), OUTCOME_OK); /* nothing more will come: no wait */
	ask_deinit(&ask);
	fixture_drop_sent(&f);
}

static void another_type_is_refused_but_not_of_nothing(void **state)
{
	struct stream_append_in in = append_of(1, "x");

	(void)state;
	create(a_path);
	in.content_type = SLICE("application/json");
	assert_int_equal(append_as(in, NULL), OUTCOME_TYPE);
	in.records = (struct records_in){0};
	in.close = true;
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	in.records = records_of(1, "x");
	assert_int_equal(append_as(in, NULL), OUTCOME_CLOSED); /* that it is closed goes first */
}

static void time_lets_go_of_it(void **state)
{
	struct stream_read_in look = {.path = a_path, .look = true};
	struct ask ask;

	(void)state;
	create_as((struct stream_create_in){.path = a_path, .content_type = a_type, .has_ttl = true, .ttl_s = 10});
	fixture_later(&f, 9000);
	expect_read(read_of(STREAM_FROM_START), "", 0); /* a sign of life */
	fixture_later(&f, 9000);
	assert_int_equal(append(1, "x"), OUTCOME_OK); /* another */
	fixture_later(&f, 9000);
	assert_int_equal(read_as(look, &ask, 0), OUTCOME_OK); /* none */
	ask_deinit(&ask);
	fixture_later(&f, 1001);
	assert_int_equal(number_of(a_path), 0);
	assert_int_equal(f.body_count, 0);
	create_as((struct stream_create_in){.path = a_path, .content_type = a_type, .expires_at_ms = f.now_ms + 5000});
	fixture_later(&f, 4999);
	expect_read(read_of(STREAM_FROM_START), "", 0);
	fixture_later(&f, 1);
	assert_int_equal(number_of(a_path), 0);
}

/* A share of them at a time, with others' turns between. */
static void very_many_go_by_their_own_time(void **state)
{
	enum { MANY = 3000 };
	unsigned turns = 0;
	char key[8];

	(void)state;
	create(a_path);
	append(1, "stays");
	for (int i = 0; i < MANY; i++) {
		struct stream_append_in in = append_of(1, "x");

		in.ttl_ms = 1000;
		in.replace = i % 3 == 0;
		snprintf(key, sizeof(key), "%d", i);
		in.key = in.replace ? slice_str(key) : (struct slice){0};
		assert_int_equal(append_as(in, NULL), OUTCOME_OK);
		fixture_drop_sent(&f);
	}
	assert_int_equal(f.s->streams.keys.count, MANY / 3);
	fixture_later(&f, 2000);
	while (f.body_count > 1) {
		fixture_later(&f, 1);
		assert_true(++turns < 10);
	}
	assert_true(turns > 0);
	assert_int_equal(f.s->streams.keys.count, 0);
	sequencer_check(f.s);
	expect_read(read_of(STREAM_FROM_START), "0:1=stays ", MANY + 1);
}

static void limits(void **state)
{
	char name[2] = "a";

	(void)state;
	for (unsigned i = 0; i < 8; i++, name[0]++)
		assert_int_equal(create(slice_str(name)), OUTCOME_OK);
	assert_int_equal(create(a_path), OUTCOME_FULL);
	assert_int_equal(delete (SLICE("c")), OUTCOME_OK);
	assert_int_equal(create(a_path), OUTCOME_OK);
	f.full = true;
	assert_int_equal(append(1, "x"), OUTCOME_NO_SPACE);
	assert_int_equal(append_as((struct stream_append_in){.path = a_path, .close = true}, NULL),
			 OUTCOME_OK); /* an end needs no room */
	assert_int_equal(delete (SLICE("a")), OUTCOME_OK);
	f.full = false;
}

/* What a restart would refuse is refused before it is written. */
static void what_cannot_be_read_back_is_not_written(void **state)
{
	const uint64_t too_much = UINT64_MAX / 4;
	struct stream_create_in in = {.path = a_path, .content_type = a_type, .has_ttl = true, .ttl_s = too_much / 1000};
	size_t entries = f.entry_count;

	(void)state;
	assert_int_equal(create_as(in), OUTCOME_STORAGE);
	in.ttl_s = 1;
	in.max_bytes = too_much;
	assert_int_equal(create_as(in), OUTCOME_STORAGE);
	in.max_bytes = 0;
	assert_int_equal(f.entry_count, entries);
	assert_int_equal(create_as(in), OUTCOME_OK);
	entries = f.entry_count;
	assert_int_equal(append_by("p", too_much, 0, NULL), OUTCOME_STORAGE);
	assert_int_equal(f.entry_count, entries);
	fixture_twin(&f, &twin, false);
	fixture_deinit(&twin);
}

/* --- a random life, against a list --- */

enum { PATHS = 4, STEPS = 3000, RECORDS = 8192 };

struct naive {
	bool there, closed;
	uint64_t number;
	uint32_t count;
	char records[RECORDS];
};

static struct naive naives[PATHS];
static const struct slice paths[PATHS] = {{"p", 1}, {"q/r", 3}, {"s", 1}, {"t/u/v", 5}};

static void naive_reads(size_t i, uint64_t offset)
{
	struct naive *naive = &naives[i];
	struct stream_read_in in = {
		.path = paths[i], .from = STREAM_FROM_OFFSET, .number = naive->number, .offset = offset, .max_bytes = 60};
	struct ask ask;

	/* From its cursor on: every record once, in order, to the end. */
	for (;;) {
		assert_int_equal(read_as(in, &ask, 0), OUTCOME_OK);
		if (!ask.c.out.stream->chunk_count)
			break;
		for (size_t c = 0; c < ask.c.out.stream->chunk_count; c++) {
			const struct stream_chunk_view *chunk = &ask.c.out.stream->chunks[c];
			char bytes[64] = {0};

			assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
			assert_true(chunk->first_offset <= in.offset || c > 0);
			assert_int_equal(strlen(bytes + 8), chunk->count);
			assert_memory_equal(bytes + 8, naive->records + chunk->first_offset, chunk->count);
		}
		assert_true(ask.c.out.stream->after_offset > in.offset);
		in.offset = ask.c.out.stream->after_offset;
		ask_deinit(&ask);
	}
	assert_true(in.offset == naive->count && ask.c.out.stream->closed == naive->closed);
	ask_deinit(&ask);
}

static void naive_appends(struct test_random *random, size_t i)
{
	struct naive *naive = &naives[i];
	uint32_t count = 1 + (uint32_t)test_random_below(random, 5);
	struct stream_append_in in = {.path = paths[i], .content_type = a_type};
	char what[8] = {0};

	if (naive->count + count > RECORDS)
		return;
	memset(what, (int)('a' + test_random_below(random, 26)), count);
	in.records = records_of(count, what);
	in.close = test_random_below(random, 40) == 0;
	if (test_random_below(random, 2))
		in.producer = (struct producer_in){SLICE("p"), naive->count + 1, 0}; /* a new epoch each time */
	assert_int_equal(append_as(in, NULL), !naive->there ? OUTCOME_NOT_FOUND : naive->closed ? OUTCOME_CLOSED : OUTCOME_OK);
	if (!naive->there || naive->closed)
		return;
	memcpy(naive->records + naive->count, what, count);
	naive->count += count;
	naive->closed = in.close;
}

static void naive_step(struct test_random *random)
{
	size_t i = test_random_below(random, PATHS);
	struct naive *naive = &naives[i];

	switch (test_random_below(random, 12)) {
	case 0:
		assert_int_equal(create(paths[i]), !naive->there ? OUTCOME_OK : naive->closed ? OUTCOME_CONFLICT : OUTCOME_SAME);
		if (!naive->there)
			*naive = (struct naive){.there = true, .number = number_of(paths[i])};
		break;
	case 1:
		if (test_random_below(random, 4) == 0) {
			assert_int_equal(delete (paths[i]), naive->there ? OUTCOME_OK : OUTCOME_NOT_FOUND);
			naive->there = false;
		}
		break;
	case 2:
		if (naive->there)
			naive_reads(i, test_random_below(random, naive->count + 1));
		break;
	default:
		naive_appends(random, i);
		break;
	}
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	sequencer_check(twin.s);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

static void a_random_life(void **state)
{
	struct test_random random = test_random_start("streams");
	bool checkpoint = false;

	(void)state;
	memset(naives, 0, sizeof(naives));
	for (unsigned step = 0; step < STEPS; step++) {
		naive_step(&random);
		if (step % 16 == 0)
			sequencer_check(f.s);
		/* Taken a piece at a time amid all this, again and again. */
		if (step % 7 == 0)
			checkpoint = !fixture_checkpoint(&f, 1 + (unsigned)test_random_below(&random, 2)) || checkpoint;
		if (step % 300 == 299) {
			expect_same_state(false);
			while (fixture_checkpoint(&f, 100))
				;
			naive_step(&random);
			expect_same_state(true);
			fixture_checkpoint_drop(&f);
		}
		fixture_drop_sent(&f);
	}
	for (size_t i = 0; i < PATHS; i++) {
		if (naives[i].there)
			naive_reads(i, 0);
	}
}

/* --- without memory --- */

static void every_allocation(void **state)
{
	struct stream_append_in in = append_of(1, "x");
	uint64_t failed = 0;

	(void)state;
	create(a_path);
	in.producer = (struct producer_in){SLICE("p"), 0, 0};
	in.stream_seq = SLICE("s");
	/* Whoever hears that there was no memory gives his blob back, and may say the same again without a producer's number:
	 * nothing may have happened. */
	for (uint64_t n = 1;; n++) {
		enum outcome outcome;
		struct stream_view view;

		fixture_dump(&f, &mine);
		mem_fail_nth(n);
		outcome = append_as(in, &view);
		mem_fail_nth(0);
		sequencer_check(f.s);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		fixture_dump(&f, &other);
		assert_int_equal(mine.len, other.len);
		assert_memory_equal(mine.ptr, other.ptr, mine.len);
		failed++;
	}
	assert_true(failed >= 3);
	for (uint64_t n = 1;; n++) {
		enum outcome outcome;

		mem_fail_nth(n);
		outcome = create(SLICE("new"));
		mem_fail_nth(0);
		sequencer_check(f.s);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		assert_true(number_of(SLICE("new")) == 0);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(create_once),
		TEST(read_what_follows),
		TEST(a_cursor_of_another_time),
		TEST(watch_and_wake),
		TEST(nothing_is_said_before_it_is_durable),
		TEST(producers_repeat_themselves),
		TEST(a_sequence_rises_byte_by_byte),
		TEST(closed_is_closed),
		TEST(taken_before_it_was_closed),
		TEST(closing_wakes_who_waits),
		TEST(another_type_is_refused_but_not_of_nothing),
		TEST(time_lets_go_of_it),
		TEST(very_many_go_by_their_own_time),
		TEST(limits),
		TEST(what_cannot_be_read_back_is_not_written),
		TEST(a_random_life),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
