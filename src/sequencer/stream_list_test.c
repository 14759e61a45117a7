/* Listing streams: each once and in order, however the pages lie; what is the server's own, or gone, is left out. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	mine = (struct buf){0};
	return 0;
}

/* The paths of one page, a blank behind each; `next` in *after. */
static size_t page(const char *prefix, uint32_t limit, uint64_t *after, struct buf *out)
{
	struct ask ask = {.c = {.kind = COMMAND_STREAM_LIST}};
	size_t count;

	ask.c.in.stream_list = (struct stream_list_in){.prefix = slice_str(prefix), .limit = limit, .after = *after};
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	count = ask.c.out.stream_count;
	assert_true(count <= limit);
	for (size_t i = 0; i < count; i++) {
		buf_append_slice(out, ask.c.out.streams[i]->path);
		buf_append_char(out, ' ');
	}
	*after = ask.c.out.next;
	ask_deinit(&ask);
	return count;
}

static size_t expect_list(const char *prefix, uint32_t limit, const char *paths)
{
	uint64_t after = 0;
	size_t pages = 0;

	buf_clear(&mine);
	do {
		page(prefix, limit, &after, &mine);
		pages++;
		assert_true(pages < 1000);
	} while (after);
	buf_append_char(&mine, 0);
	assert_string_equal(mine.ptr, paths);
	return pages;
}

static void each_once_in_pages(void **state)
{
	static const char *const names[] = {"b", "a/1", "a/2", "a", "c/a/1"};

	(void)state;
	assert_int_equal(expect_list("", 10, ""), 1);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		create(slice_str(names[i]));
	for (uint32_t limit = 1; limit <= 7; limit++)
		assert_int_equal(expect_list("", limit, "b a/1 a/2 a c/a/1 "), (5 + limit - 1) / limit);
	expect_list("a", 2, "a/1 a/2 a ");
	expect_list("a/", 2, "a/1 a/2 ");
	expect_list("a/1x", 2, "");
}

static void the_servers_own_are_left_out(void **state)
{
	(void)state;
	create(SLICE("__ds/x"));
	create(SLICE("_a"));
	create(SLICE("__"));
	create(SLICE("a/__b"));
	expect_list("", 10, "_a a/__b ");
	expect_list("__", 10, "");
}

/* Between two pages the stream at which the first one ended goes, and others are made. */
static void what_comes_and_goes_between_pages(void **state)
{
	uint64_t after = 0;

	(void)state;
	create(SLICE("a"));
	create(SLICE("b"));
	create(SLICE("c"));
	assert_int_equal(page("", 2, &after, &mine), 2);
	assert_int_equal(delete (SLICE("b")), OUTCOME_OK);
	create(SLICE("d"));
	create(SLICE("b"));
	assert_int_equal(page("", 10, &after, &mine), 3);
	assert_int_equal(after, 0);
	buf_append_char(&mine, 0);
	assert_string_equal(mine.ptr, "a b c d b ");
}

/* From any number on, be it of a stream that went with all that stood near it, or of none yet. */
static void on_from_where_nothing_is(void **state)
{
	enum { MANY = 400, GAP_FIRST = 70, GAP_END = 330 };
	char name[8];

	(void)state;
	for (int i = 1; i <= MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(create(slice_str(name)), OUTCOME_OK);
	}
	for (int i = GAP_FIRST; i < GAP_END; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(delete (slice_str(name)), OUTCOME_OK);
	}
	for (uint64_t number = 0; number <= MANY + 100; number++) {
		const struct stream *stream = stream_next_after(&f.s->streams, number);
		uint64_t next = number + 1 >= GAP_FIRST && number + 1 < GAP_END ? GAP_END : number + 1;

		assert_true(next > MANY ? !stream : stream && stream->number == next);
	}
	assert_null(stream_next_after(&f.s->streams, UINT64_MAX));
}

/* One that only its forks still read is no stream any more. */
static void deleted_sources_are_left_out(void **state)
{
	struct stream_create_in fork = {.path = SLICE("fork"), .source = a_path};

	(void)state;
	create(a_path);
	append(1, "x");
	assert_int_equal(create_as(fork), OUTCOME_OK);
	assert_int_equal(delete (a_path), OUTCOME_OK);
	expect_list("", 10, "fork ");
}

/* A question over very many streams is answered in pieces, none of which stops the house; together they are the whole. */
static void long_lists_in_pieces(void **state)
{
	char name[16];

	(void)state;
	create(SLICE("first"));
	f.unchecked = true;
	for (int i = 0; i < 12000; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		create(slice_str(name));
		fixture_drop_sent(&f);
	}
	f.unchecked = false;
	create(SLICE("last"));
	assert_int_equal(expect_list("last", 100, "last "), 3);
	assert_int_equal(expect_list("first", 100, "first "), 3);
}

/* What a page tells, by those it leaves out, too, is durable. */
static void pages_are_held(void **state)
{
	struct ask list = {.c = {.kind = COMMAND_STREAM_LIST, .in.stream_list = {.limit = 10}}};
	struct ask gone = {.c = {.kind = COMMAND_STREAM_DELETE, .in.stream_read.path = a_path}};

	(void)state;
	create(a_path);
	f.hold = true;
	fixture_send(&f, &gone, 0);
	fixture_send(&f, &list, 0);
	fixture_settle(&f);
	assert_true(!gone.back && !list.back);
	fixture_sync(&f);
	assert_true(gone.back && list.back && list.c.out.stream_count == 0);
	ask_deinit(&gone);
	ask_deinit(&list);
}

/* All of a page or nothing. */
static void without_memory(void **state)
{
	uint64_t k = 0;
	bool failed;

	(void)state;
	create(SLICE("a"));
	create(SLICE("b"));
	do {
		struct ask ask = {.c = {.kind = COMMAND_STREAM_LIST, .in.stream_list = {.limit = 10}}};

		mem_fail_nth(++k);
		fixture_send(&f, &ask, 0);
		mem_fail_nth(0);
		fixture_settle(&f);
		failed = ask.c.outcome == OUTCOME_NO_MEMORY;
		assert_true(ask.c.out.stream_count == (failed ? 0 : 2));
		ask_deinit(&ask);
	} while (failed);
	assert_int_equal(k, 4); /* the array, two views */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_once_in_pages),
		TEST(the_servers_own_are_left_out),
		TEST(what_comes_and_goes_between_pages),
		TEST(on_from_where_nothing_is),
		TEST(deleted_sources_are_left_out),
		TEST(long_lists_in_pieces),
		TEST(pages_are_held),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
