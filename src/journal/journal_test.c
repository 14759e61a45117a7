/* The journal as its users see it: append, commit, recover, read. */
#include "base/mem.h"
#include "journal/journal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fixture_init(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_deinit(*state);
	free(*state);
	return 0;
}

static void empty_starts_and_starts_again(void **state)
{
	struct fixture *f = *state;

	fixture_start(f);
	assert_int_equal(f->seen_count, 0);
	assert_false(journal_commit_begin(f->journal));
	fixture_restart(f);
	assert_int_equal(f->seen_count, 0);
	assert_int_equal(f->said.len, 0);
}

static void round_trip(void **state)
{
	struct fixture *f = *state;
	struct store_appended a, b, c;

	fixture_start(f);
	a = fixture_append(f, 1, "first", (struct slice){0});
	b = fixture_append(f, 2, "second", SLICE("a body"));
	assert_int_equal(a.body.kind, BODY_NONE);
	assert_int_equal(b.body.kind, BODY_INLINE);
	assert_true(a.end <= b.position && b.position < b.end);
	assert_true(f->store->ops->durable_position(f->store) < a.end);
	assert_int_equal(journal_end_position(f->journal), b.end);
	fixture_commit(f);
	assert_int_equal(f->store->ops->durable_position(f->store), b.end);
	c = fixture_append(f, 3, "", SLICE("x"));
	fixture_commit(f);
	fixture_expect_body(f, &b.body, SLICE("a body"));
	fixture_restart(f);
	assert_int_equal(f->seen_count, 3);
	assert_int_equal(f->seen[0].entry.position, a.position);
	assert_int_equal(f->seen[0].entry.end, a.end);
	assert_int_equal(f->seen[0].entry.time_ms, 1000);
	assert_int_equal(f->seen[0].entry.shard, 7);
	assert_int_equal(f->seen[0].entry.body_bytes, 0);
	assert_memory_equal(f->seen[0].fields, "first", 5);
	assert_int_equal(f->seen[1].entry.type, 2);
	assert_int_equal(f->seen[1].entry.body_place, b.body.place);
	assert_int_equal(f->seen[1].entry.body_crc, b.body.crc);
	assert_int_equal(f->seen[2].fields_len, 0);
	fixture_expect_body(f, &b.body, SLICE("a body"));
	fixture_expect_body(f, &c.body, SLICE("x"));
	assert_int_equal(journal_end_position(f->journal), c.end);
	assert_int_equal(f->said.len, 0);
}

static void uncommitted_is_forgotten(void **state)
{
	struct fixture *f = *state;

	fixture_start(f);
	fixture_append(f, 1, "kept", (struct slice){0});
	fixture_commit(f);
	fixture_append(f, 1, "lost", (struct slice){0});
	fixture_restart(f);
	assert_int_equal(f->seen_count, 1);
}

/* Appends go on while a commit is under way, and belong to the next one. */
static void appends_during_a_commit(void **state)
{
	struct fixture *f = *state;
	struct store_appended a, b;

	fixture_start(f);
	a = fixture_append(f, 1, "a", (struct slice){0});
	assert_true(journal_commit_begin(f->journal));
	b = fixture_append(f, 1, "b", (struct slice){0});
	assert_false(journal_commit_begin(f->journal));
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), 0);
	assert_int_equal(f->store->ops->durable_position(f->store), a.end);
	fixture_commit(f);
	assert_int_equal(f->store->ops->durable_position(f->store), b.end);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 2);
}

/* Random sizes over many segments, committed at random, against a list of what was appended. */
static void many_segments(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 300, BODY_MAX = 120000 };
	struct store_appended *appended = calloc(COUNT, sizeof(*appended));
	size_t *sizes = calloc(COUNT, sizeof(*sizes));
	char *body = malloc(BODY_MAX), fields[32];
	struct journal_stats stats;

	fixture_start(f);
	srand(1);
	for (size_t i = 0; i < COUNT; i++) {
		sizes[i] = rand() % 3 ? (size_t)rand() % BODY_MAX : 0;
		fixture_fill(body, sizes[i], (uint32_t)i);
		snprintf(fields, sizeof(fields), "entry %zu", i);
		appended[i] = fixture_append(f, 1, fields, slice_from(body, sizes[i]));
		if (rand() % 20 == 0)
			fixture_commit(f);
		if (i == COUNT / 2) {
			fixture_commit(f);
			fixture_restart(f);
			assert_int_equal(f->seen_count, i + 1);
		}
	}
	fixture_commit(f);
	fixture_restart(f);
	assert_int_equal(f->seen_count, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(f->seen[i].entry.position, appended[i].position);
		assert_int_equal(f->seen[i].entry.body_bytes, sizes[i]);
		fixture_fill(body, sizes[i], (uint32_t)i);
		if (sizes[i])
			fixture_expect_body(f, &appended[i].body, slice_from(body, sizes[i]));
	}
	journal_stats(f->journal, &stats);
	assert_true(stats.segment_count > 4);
	assert_int_equal(f->said.len, 0);
	free(body);
	free(sizes);
	free(appended);
}

/* Entries of every length modulo 8 up to the very end of a segment: where one fits exactly, and where it just does not. */
static void segment_ends(void **state)
{
	struct fixture *f = *state;
	char *body = calloc(1, FIXTURE_SEGMENT_BYTES);
	size_t entries = 0;

	fixture_start(f);
	for (size_t left = 0; left < 96; left += 8) {
		uint64_t end = journal_end_position(f->journal), room = FIXTURE_SEGMENT_BYTES - end % FIXTURE_SEGMENT_BYTES;

		if (room < 1000) {
			fixture_append(f, 1, "", slice_from(body, 1000)); /* to the next one */
			entries++;
			room = FIXTURE_SEGMENT_BYTES - journal_end_position(f->journal) % FIXTURE_SEGMENT_BYTES;
		}
		/* Fill the segment up to `left` bytes. */
		while (room > BODY_INLINE_MAX / 2 + 200) {
			fixture_append(f, 1, "", slice_from(body, BODY_INLINE_MAX / 2));
			entries++;
			room = FIXTURE_SEGMENT_BYTES - journal_end_position(f->journal) % FIXTURE_SEGMENT_BYTES;
		}
		fixture_append(f, 1, "", slice_from(body, room - 36 - left - left % 7 % 4));
		fixture_append(f, 1, "behind", (struct slice){0});
		entries += 2;
		fixture_commit(f);
	}
	fixture_restart(f);
	assert_int_equal(f->seen_count, entries);
	assert_int_equal(f->said.len, 0);
	free(body);
}

static void largest_and_too_large(void **state)
{
	struct fixture *f = *state;
	enum { LONG = FIXTURE_SEGMENT_BYTES };
	char *body = malloc(LONG);
	struct store_appended appended[4];
	struct store_entry entry = {.type = 1};
	size_t most;

	fixture_start(f);
	most = (size_t)store_body_max(f->store);
	assert_true(most >= STORE_BODY_MAX && most < LONG);
	entry.body = slice_from(body, most + 1);
	fixture_fill(body, LONG, 3);
	for (int i = 0; i < 4; i++)
		appended[i] = fixture_append(f, 1, "", slice_from(body, most));
	fixture_commit(f);
	assert_int_equal(f->store->ops->append(f->store, &entry, &appended[0]), -EMSGSIZE);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 4);
	fixture_expect_body(f, &appended[3].body, slice_from(body, most));
	free(body);
}

static void one_process_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct journal *other = NULL;

	fixture_start(f);
	assert_int_equal(journal_open(&f->config, &other), JOURNAL_LOCKED);
	assert_null(other);
}

static void another_segment_size_is_told_and_not_used(void **state)
{
	struct fixture *f = *state;
	struct store_appended a;

	fixture_start(f);
	a = fixture_append(f, 1, "a", SLICE("body"));
	fixture_commit(f);
	f->config.segment_bytes *= 2;
	fixture_restart(f);
	assert_true(fixture_said(f, "not 4194304 as configured"));
	fixture_expect_body(f, &a.body, SLICE("body"));
}

static void refuses_bad_configuration(void **state)
{
	struct fixture *f = *state;

	f->config.segment_bytes = 12345;
	assert_int_equal(fixture_try(f), -EINVAL);
	f->config.segment_bytes = FIXTURE_SEGMENT_BYTES;
	f->config.faults = "sync:fail@3, nonsense@4";
	assert_int_equal(fixture_try(f), -EINVAL);
	assert_true(fixture_said(f, "unknown fault: nonsense@4"));
	f->config.faults = "write:enospc@5-4";
	assert_int_equal(fixture_try(f), -EINVAL);
	f->config.faults = "";
	assert_int_equal(fixture_try(f), 0);
}

static void later_version_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[512], header[64];
	int fd;

	fixture_start(f);
	fixture_stop(f);
	fixture_path(f, "journal/0000000000000000.seg", path);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
	/* Sound, but of version 2: the checksum is made anew by the codec's own function in entry_test.c; here one that is known.
	 */
	header[8] = 2;
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT); /* the checksum does not agree */
	assert_true(fixture_said(f, "corrupt header"));
}

/* With --sync=os and --sync=<interval> a commit is durable when it is written; the disk follows. */
static void os_and_interval(void **state)
{
	static const enum journal_sync modes[] = {JOURNAL_SYNC_OS, JOURNAL_SYNC_INTERVAL};
	struct fixture *f = *state;
	struct journal_stats stats;
	char *body = calloc(1, 100000);

	for (size_t m = 0; m < ARRAY_COUNT(modes); m++) {
		f->config.sync = modes[m];
		fixture_start(f);
		for (int i = 0; i < 50; i++) {
			struct store_appended a = fixture_append(f, 1, "x", slice_from(body, 100000));

			fixture_commit(f);
			assert_int_equal(f->store->ops->durable_position(f->store), a.end);
			f->now_ms += 100;
			journal_turn(f->journal, f->now_ms);
		}
		journal_stats(f->journal, &stats);
		assert_false(stats.failed);
		fixture_restart(f);
		assert_int_equal(f->seen_count, 50 * (m + 1));
		fixture_stop(f);
	}
	free(body);
}

/* A commit is one write and one sync, and nothing is allocated once the batches have their size. */
static void steady_state_allocates_nothing(void **state)
{
	struct fixture *f = *state;
	struct journal_stats before, after;

	fixture_start(f);
	for (int i = 0; i < 4; i++) {
		fixture_append(f, 1, "warm", SLICE("up"));
		fixture_commit(f);
	}
	journal_stats(f->journal, &before);
	mem_fail_nth(1);
	for (int i = 0; i < 100; i++) {
		fixture_append(f, 1, "steady", SLICE("state"));
		fixture_append(f, 1, "steady", SLICE("state"));
		fixture_commit(f);
	}
	mem_fail_nth(0);
	journal_stats(f->journal, &after);
	assert_int_equal(after.sync_count - before.sync_count, 100);
	assert_int_equal(after.commit_count - before.commit_count, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(empty_starts_and_starts_again),
		TEST(round_trip),
		TEST(uncommitted_is_forgotten),
		TEST(appends_during_a_commit),
		TEST(many_segments),
		TEST(segment_ends),
		TEST(largest_and_too_large),
		TEST(one_process_at_a_time),
		TEST(another_segment_size_is_told_and_not_used),
		TEST(refuses_bad_configuration),
		TEST(later_version_is_refused),
		TEST(os_and_interval),
		TEST(steady_state_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
