/* What recovery makes of journals that were cut, torn and damaged. */
#include "base/crc32c.h"
#include "base/wire.h"
#include "journal/entry.h"
#include "journal/journal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SMALL_ENTRIES = 8, SMALL_MAX = 4096 };

/* A small journal in one segment, each entry committed by itself; its bytes, and where each entry ends. */
struct small {
	struct fixture f;
	char path[512];
	char bytes[SMALL_MAX];
	size_t len;
	uint64_t ends[SMALL_ENTRIES];
	struct store_appended appended[SMALL_ENTRIES];
	char bodies[SMALL_ENTRIES][64];
};

static void segment_path(const struct fixture *f, uint64_t number, char out[512])
{
	char name[64];

	snprintf(name, sizeof(name), "journal/%016llx.seg", (unsigned long long)(number * FIXTURE_SEGMENT_BYTES));
	fixture_path(f, name, out);
}

static void read_at(const char *path, void *out, size_t len, uint64_t offset)
{
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, out, len, (off_t)offset), len);
	close(fd);
}

static void write_at(const char *path, const void *bytes, size_t len, uint64_t offset)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	close(fd);
}

static int setup(void **state)
{
	struct small *s = calloc(1, sizeof(*s));

	fixture_init(&s->f);
	fixture_start(&s->f);
	for (size_t i = 0; i < SMALL_ENTRIES; i++) {
		char fields[48];

		snprintf(fields, sizeof(fields), "entry number %zu", i);
		fixture_fill(s->bodies[i], sizeof(s->bodies[i]), (uint32_t)i);
		s->appended[i] = fixture_append(&s->f, 1, fields, slice_from(s->bodies[i], 5 * i));
		s->ends[i] = s->appended[i].end;
		fixture_commit(&s->f);
	}
	fixture_stop(&s->f);
	s->len = (size_t)s->ends[SMALL_ENTRIES - 1];
	assert_true(s->len < SMALL_MAX);
	segment_path(&s->f, 0, s->path);
	read_at(s->path, s->bytes, SMALL_MAX, 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct small *s = *state;

	fixture_deinit(&s->f);
	free(s);
	return 0;
}

/* The first `count` entries, as they were written, and nothing else. */
static void expect_prefix(struct small *s, size_t count)
{
	struct fixture *f = &s->f;

	assert_int_equal(f->seen_count, count);
	for (size_t i = 0; i < count; i++) {
		char fields[48];

		snprintf(fields, sizeof(fields), "entry number %zu", i);
		assert_int_equal(f->seen[i].entry.position, s->appended[i].position);
		assert_int_equal(f->seen[i].fields_len, strlen(fields));
		assert_memory_equal(f->seen[i].fields, fields, strlen(fields));
		if (i)
			fixture_expect_body(f, &s->appended[i].body, slice_from(s->bodies[i], 5 * i));
	}
}

static size_t whole_entries(const struct small *s, uint64_t len)
{
	size_t count = 0;

	while (count < SMALL_ENTRIES && s->appended[count].position + 36 <= len &&
	       s->appended[count].position + wire_load_u32(s->bytes + s->appended[count].position) <= len)
		count++;
	return count;
}

/* As after a crash in the middle of the last write: everything behind some byte is zeros. Anything that was acknowledged after
 * the cut is then gone, too, which the disk cannot do; so only what was not acknowledged is cut, the last entry. */
static void torn_at_every_byte_of_the_last_entry(void **state)
{
	struct small *s = *state;
	uint64_t from = s->appended[SMALL_ENTRIES - 1].position;

	for (uint64_t len = from; len <= s->len; len++) {
		char torn[SMALL_MAX] = {0};
		struct store_appended again;

		memcpy(torn, s->bytes, len);
		write_at(s->path, torn, SMALL_MAX, 0);
		fixture_start(&s->f);
		expect_prefix(s, whole_entries(s, len));
		/* It goes on there, and what is appended survives as well. */
		again = fixture_append(&s->f, 2, "again", (struct slice){0});
		fixture_commit(&s->f);
		fixture_restart(&s->f);
		assert_int_equal(s->f.seen_count, whole_entries(s, len) + 1);
		assert_int_equal(s->f.seen[s->f.seen_count - 1].entry.position, again.position);
		fixture_stop(&s->f);
	}
}

/* The file itself cut short at every length. What was safe and is missing cannot be seen when nothing is left behind it;
 * but never is anything else recovered than a prefix. */
static void truncated_at_every_length(void **state)
{
	struct small *s = *state;

	for (uint64_t len = FILE_HEADER_BYTES; len <= s->len; len++) {
		write_at(s->path, s->bytes, SMALL_MAX, 0);
		assert_int_equal(truncate(s->path, (off_t)len), 0);
		fixture_start(&s->f);
		expect_prefix(s, whole_entries(s, len));
		fixture_append(&s->f, 2, "again", (struct slice){0});
		fixture_commit(&s->f);
		fixture_restart(&s->f);
		assert_int_equal(s->f.seen_count, whole_entries(s, len) + 1);
		fixture_stop(&s->f);
	}
	for (int len = 0; len < FILE_HEADER_BYTES; len += 7) {
		write_at(s->path, s->bytes, SMALL_MAX, 0);
		assert_int_equal(truncate(s->path, len), 0);
		assert_int_equal(fixture_try(&s->f), JOURNAL_CORRUPT);
	}
}

/* A bit flipped in any byte: refused, or a prefix that lacks only what no later entry proves (the last two: the last one itself,
 * and the one before it when the last one is what its damage looks like). Never other bytes. */
static void flipped_bits(void **state)
{
	struct small *s = *state;

	for (size_t at = 0; at < s->len; at++) {
		char flipped[SMALL_MAX];
		size_t entry = 0;
		int r;

		memcpy(flipped, s->bytes, SMALL_MAX);
		flipped[at] = (char)(flipped[at] ^ 1 << at % 8);
		write_at(s->path, flipped, SMALL_MAX, 0);
		r = fixture_try(&s->f);
		while (entry < SMALL_ENTRIES && s->ends[entry] <= at)
			entry++;
		if (at < FILE_HEADER_BYTES) {
			assert_int_equal(r, JOURNAL_CORRUPT);
		} else if (at >= s->appended[entry].position + wire_load_u32(s->bytes + s->appended[entry].position)) {
			/* Padding: covered by nothing, believed by nobody. */
			assert_int_equal(r, 0);
			expect_prefix(s, SMALL_ENTRIES);
		} else if (entry < SMALL_ENTRIES - 1) {
			assert_int_equal(r, JOURNAL_CORRUPT);
		} else {
			assert_int_equal(r, 0);
			expect_prefix(s, SMALL_ENTRIES - 1);
		}
		if (r == 0)
			fixture_stop(&s->f);
	}
}

/* The same with --salvage: everything but the damaged entry is there. */
static void flipped_bits_salvaged(void **state)
{
	struct small *s = *state;

	s->f.config.salvage = true;
	for (size_t hit = 0; hit < SMALL_ENTRIES - 1; hit++) {
		char flipped[SMALL_MAX], lost[64];

		memcpy(flipped, s->bytes, SMALL_MAX);
		flipped[s->appended[hit].position + 40] ^= 4;
		write_at(s->path, flipped, SMALL_MAX, 0);
		buf_clear(&s->f.said);
		fixture_start(&s->f);
		assert_int_equal(s->f.seen_count, SMALL_ENTRIES - 1);
		for (size_t i = 0; i < s->f.seen_count; i++)
			assert_int_equal(s->f.seen[i].entry.position, s->appended[i < hit ? i : i + 1].position);
		snprintf(lost, sizeof(lost), "salvage: positions %llu to %llu are lost",
			 (unsigned long long)s->appended[hit].position, (unsigned long long)s->ends[hit]);
		assert_true(fixture_said(&s->f, lost));
		/* The hole is got out of the way as soon as may be. */
		assert_true(journal_checkpoint_wanted(s->f.journal));
		fixture_stop(&s->f);
	}
}

static void damage_is_told_with_its_place(void **state)
{
	struct small *s = *state;
	char bad = 0x55, place[64];

	write_at(s->path, &bad, 1, s->appended[2].position + 3);
	assert_int_equal(fixture_try(&s->f), JOURNAL_CORRUPT);
	snprintf(place, sizeof(place), "corrupt at offset %llu, position %llu", (unsigned long long)s->appended[2].position,
		 (unsigned long long)s->appended[2].position);
	assert_true(fixture_said(&s->f, "journal/0000000000000000.seg"));
	assert_true(fixture_said(&s->f, place));
}

/* A batch of three of which the disk kept the third only. It was never acknowledged, and must not come back when the two before
 * it are written anew, of the same lengths. */
static void torn_pieces_do_not_come_back(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	struct store_appended a, b, c;
	char zeros[512] = {0};

	fixture_start(f);
	a = fixture_append(f, 3, "aaaaaaaa", (struct slice){0});
	b = fixture_append(f, 3, "bbbbbbbb", (struct slice){0});
	c = fixture_append(f, 3, "cccccccc", (struct slice){0});
	fixture_commit(f);
	fixture_stop(f);
	write_at(s->path, zeros, (size_t)(c.position - a.position), a.position);
	fixture_start(f);
	expect_prefix(s, SMALL_ENTRIES);
	assert_true(fixture_said(f, "cut a torn tail"));
	assert_int_equal(fixture_append(f, 3, "dddddddd", (struct slice){0}).position, a.position);
	assert_int_equal(fixture_append(f, 3, "eeeeeeee", (struct slice){0}).position, b.position);
	fixture_commit(f);
	fixture_restart(f);
	assert_int_equal(f->seen_count, SMALL_ENTRIES + 2);
}

/* Two batches, the second of which was written, so the first had been safe: missing pieces of the first are damage. */
static void a_lost_batch_with_a_later_one_is_damage(void **state)
{
	struct small *s = *state;
	char zeros[SMALL_MAX] = {0};

	write_at(s->path, zeros, (size_t)(s->ends[6] - s->ends[5]), s->ends[5]);
	assert_int_equal(fixture_try(&s->f), JOURNAL_CORRUPT);
}

/* Bytes of another file with the same positions are not taken for entries. */
static void bytes_of_another_segment_are_not_believed(void **state)
{
	struct small *s = *state;
	struct small *other = NULL;

	setup((void **)&other);
	write_at(s->path, other->bytes + s->ends[3], s->len - s->ends[3], s->ends[3]);
	fixture_start(&s->f);
	expect_prefix(s, 4);
	teardown((void **)&other);
}

/* A body that looks like an entry is a body. */
static void a_body_that_looks_like_an_entry(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char zero = 0;
	struct store_appended a;

	fixture_start(f);
	a = fixture_append(f, 1, "trap!!!!", slice_from(s->bytes + s->appended[1].position, 400));
	fixture_commit(f);
	fixture_stop(f);
	write_at(s->path, &zero, 1, a.position);
	fixture_start(f);
	expect_prefix(s, SMALL_ENTRIES);
}

static void fields_that_make_no_sense(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;

	fixture_start(f);
	fixture_append(f, 99, "nonsense", (struct slice){0});
	fixture_append(f, 1, "behind", (struct slice){0});
	fixture_commit(f);
	fixture_stop(f);
	f->replay_error = -EBADMSG;
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	assert_true(fixture_said(f, "an entry of type 99 with fields that make no sense"));
	f->config.salvage = true;
	fixture_start(f);
	assert_int_equal(f->seen_count, SMALL_ENTRIES + 1);
	fixture_stop(f);
	f->replay_error = -ENOMEM;
	assert_int_equal(fixture_try(f), -ENOMEM);
}

/* --- several segments --- */

static void fill_segments(struct fixture *f, uint64_t until)
{
	char *body = calloc(1, 300000);

	while (journal_end_position(f->journal) / FIXTURE_SEGMENT_BYTES < until) {
		fixture_append(f, 1, "filler", slice_from(body, 300000));
		fixture_commit(f);
	}
	free(body);
}

static void a_missing_segment_is_damage(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char path[512];
	size_t before;

	fixture_start(f);
	fill_segments(f, 3);
	fixture_restart(f);
	before = f->seen_count;
	fixture_stop(f);
	segment_path(f, 1, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	assert_true(fixture_said(f, "missing, expected an entry at offset 64, position 2097216"));
	f->config.salvage = true;
	fixture_start(f);
	assert_true(f->seen_count < before && f->seen_count > SMALL_ENTRIES);
	/* Rid of the hole by a checkpoint, it starts without. */
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	fixture_stop(f);
	f->config.salvage = false;
	fixture_start(f);
}

static void the_last_segment_missing_is_damage(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char path[512];

	fixture_start(f);
	fill_segments(f, 2);
	fixture_stop(f);
	segment_path(f, 3, path); /* prepared, and empty: nobody misses it */
	unlink(path);
	segment_path(f, 2, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
}

static void the_first_segment_missing_is_damage(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;

	fixture_start(f);
	fill_segments(f, 2);
	fixture_stop(f);
	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	assert_true(fixture_said(f, "the checkpoint is missing, and the journal begins at position 2097152"));
	f->config.salvage = true;
	fixture_start(f);
	assert_true(f->seen_count > 0);
}

static void a_bad_header_can_be_salvaged(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char path[512], bad = 'x';

	fixture_start(f);
	fill_segments(f, 3);
	fixture_stop(f);
	segment_path(f, 1, path);
	write_at(path, &bad, 1, 40);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	f->config.salvage = true;
	fixture_start(f);
	assert_true(fixture_said(f, "the file is kept as 0000000000200000.seg.bad"));
}

/* Damage in one segment is proven by an entry in a later one, even when the rest of its own is gone. */
static void damage_proven_by_a_later_segment(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char *zeros = calloc(1, FIXTURE_SEGMENT_BYTES);

	fixture_start(f);
	fill_segments(f, 1);
	fixture_append(f, 1, "more", (struct slice){0});
	fixture_commit(f);
	fixture_append(f, 1, "and more", (struct slice){0});
	fixture_commit(f);
	fixture_stop(f);
	write_at(s->path, zeros, FIXTURE_SEGMENT_BYTES - 1000, 1000);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	free(zeros);
}

static void leftovers_of_preparation_go(void **state)
{
	struct small *s = *state;
	struct fixture *f = &s->f;
	char path[512];

	fixture_path(f, "journal/0000000000400000.seg.new", path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	fixture_path(f, "checkpoint.new", path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	fixture_start(f);
	expect_prefix(s, SMALL_ENTRIES);
	assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(torn_at_every_byte_of_the_last_entry),
		TEST(truncated_at_every_length),
		TEST(flipped_bits),
		TEST(flipped_bits_salvaged),
		TEST(damage_is_told_with_its_place),
		TEST(torn_pieces_do_not_come_back),
		TEST(a_lost_batch_with_a_later_one_is_damage),
		TEST(bytes_of_another_segment_are_not_believed),
		TEST(a_body_that_looks_like_an_entry),
		TEST(fields_that_make_no_sense),
		TEST(a_missing_segment_is_damage),
		TEST(the_last_segment_missing_is_damage),
		TEST(the_first_segment_missing_is_damage),
		TEST(a_bad_header_can_be_salvaged),
		TEST(damage_proven_by_a_later_segment),
		TEST(leftovers_of_preparation_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
