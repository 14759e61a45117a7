/* Checkpoints, what lives and what is let go, pins, blobs, the tidier. */
#include "base/crc32c.h"
#include "journal/journal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 300000, BIGS = 40 };

struct live {
	struct fixture f;
	char *bytes;
	struct store_appended big[BIGS];
};

static int setup(void **state)
{
	struct live *l = calloc(1, sizeof(*l));

	fixture_init(&l->f);
	fixture_start(&l->f);
	l->bytes = malloc(BIG);
	fixture_fill(l->bytes, BIG, 42);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct live *l = *state;

	fixture_deinit(&l->f);
	free(l->bytes);
	free(l);
	return 0;
}

/* Six big bodies to a segment. */
static void append_bigs(struct live *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		l->big[i] = fixture_append(&l->f, 1, "big", slice_from(l->bytes, BIG));
		fixture_commit(&l->f);
	}
}

static void release(struct fixture *f, const struct body_ref *ref)
{
	f->store->ops->body_release(f->store, ref);
}

static uint64_t segments(struct fixture *f)
{
	struct journal_stats stats;

	journal_stats(f->journal, &stats);
	return stats.segment_count;
}

static bool one_segment_left(struct fixture *f)
{
	return segments(f) <= 2 && fixture_files(f, "journal") <= 3;
}

/* --- checkpoints --- */

static void a_checkpoint_comes_first_and_saves_replay(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	static const char *const snapshot[] = {"one", "two", "three"};

	append_bigs(l, 0, 10);
	fixture_checkpoint(f, snapshot, 3);
	fixture_append(f, 2, "after", (struct slice){0});
	fixture_commit(f);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 4);
	for (size_t i = 0; i < 3; i++) {
		assert_true(f->seen[i].checkpoint);
		assert_int_equal(f->seen[i].entry.end, 0);
		assert_int_equal(f->seen[i].entry.type, 50);
		assert_memory_equal(f->seen[i].fields, snapshot[i], strlen(snapshot[i]));
	}
	assert_int_equal(f->seen[3].entry.type, 2);
	assert_false(f->seen[3].checkpoint);
}

static bool reserve_made(struct fixture *f)
{
	return fixture_files(f, "") == 4; /* lock, journal, blobs, reserve */
}

/* Entries between begin and end are in both; one that was never ended counts for nothing. */
static void a_checkpoint_starts_where_it_was_begun(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;

	fixture_append(f, 1, "before", (struct slice){0});
	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	assert_false(journal_checkpoint_wanted(f->journal));
	fixture_append(f, 1, "while", (struct slice){0});
	assert_int_equal(journal_checkpoint_add(f->journal, 50, SLICE("state")), 0);
	fixture_commit(f);
	fixture_restart(f); /* never ended */
	assert_int_equal(f->seen_count, 2);
	assert_int_equal(f->seen[0].entry.type, 1);

	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	fixture_append(f, 1, "while", (struct slice){0});
	fixture_commit(f);
	journal_checkpoint_abort(f->journal);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 3);
	fixture_until(f, reserve_made); /* and nothing of the checkpoint is left */
}

static bool wait_for_turns(struct fixture *f)
{
	return f->now_ms % 64 == 0;
}

/* Everything a checkpoint may rest on must be safe before it counts. */
static void a_checkpoint_waits_for_durability(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	char path[512];

	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	assert_int_equal(journal_checkpoint_add(f->journal, 50, SLICE("rests on it")), 0);
	fixture_append(f, 1, "not yet committed", (struct slice){0});
	assert_int_equal(journal_checkpoint_end(f->journal), 0);
	fixture_until(f, wait_for_turns);
	fixture_path(f, "checkpoint", path);
	assert_int_not_equal(access(path, F_OK), 0);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 0);
}

static void a_large_checkpoint(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	enum { COUNT = 20000 };
	char text[100];

	memset(text, 'x', sizeof(text));
	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(journal_checkpoint_add(f->journal, 50, slice_from(text, (size_t)(i % 100))), 0);
	assert_int_equal(journal_checkpoint_add(f->journal, 51, slice_from(l->bytes, 256 * 1024)), 0);
	assert_int_equal(journal_checkpoint_end(f->journal), 0);
	fixture_until(f, wait_for_turns);
	fixture_stop(f);
	fixture_start(f);
	/* Whether it was named before the end or not, nothing else can have come of it. */
	if (f->seen_count)
		assert_int_equal(f->seen_count, COUNT + 1);
}

static void damage_checkpoint(struct fixture *f, off_t at)
{
	char path[512], byte;
	int fd;

	fixture_path(f, "checkpoint", path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* While the journal reaches back to its beginning a bad checkpoint is not missed; afterwards it is. */
static void a_corrupt_checkpoint(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;

	append_bigs(l, 0, 14);
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	for (off_t at = 0; at < 64 + 48 + 52; at += 5) {
		if (at >= 64 + 41 && at < 64 + 48)
			continue; /* padding */
		fixture_stop(f);
		damage_checkpoint(f, at);
		fixture_start(f);
		assert_true(fixture_said(f, "the checkpoint is corrupt; the journal is whole"));
		assert_int_equal(f->seen_count, 14);
		damage_checkpoint(f, at); /* back to what it was */
	}
	fixture_restart(f);
	assert_int_equal(f->seen_count, 1);
	/* The state that it holds names no bodies, so the first segments go now. */
	fixture_until(f, one_segment_left);
	fixture_stop(f);
	damage_checkpoint(f, 70);
	assert_int_equal(fixture_try(f), JOURNAL_CORRUPT);
	assert_true(fixture_said(f, "the checkpoint is corrupt, and the journal begins at"));
	f->config.salvage = true;
	fixture_start(f);
}

static void checkpoints_are_wanted_when_enough_was_appended(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;

	assert_false(journal_checkpoint_wanted(f->journal));
	while (journal_end_position(f->journal) <= 8 * FIXTURE_SEGMENT_BYTES) {
		assert_false(journal_checkpoint_wanted(f->journal));
		append_bigs(l, 0, 1);
	}
	append_bigs(l, 0, 1);
	assert_true(journal_checkpoint_wanted(f->journal));
	fixture_checkpoint(f, NULL, 0);
	assert_false(journal_checkpoint_wanted(f->journal));
}

/* --- letting go --- */

static void segments_go_when_nothing_lives_in_them(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	uint64_t before;

	append_bigs(l, 0, BIGS);
	before = segments(f);
	assert_true(before >= 6);
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	assert_int_equal(segments(f), before);
	for (size_t i = 0; i < BIGS; i++)
		if (i != 20)
			release(f, &l->big[i].body);
	/* Not before the release is durable. */
	fixture_until(f, wait_for_turns);
	fixture_append(f, 2, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, wait_for_turns);
	assert_int_equal(segments(f), 2); /* the one with number 20, and the active one */
	fixture_expect_body(f, &l->big[20].body, slice_from(l->bytes, BIG));
	release(f, &l->big[20].body);
	fixture_append(f, 2, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, one_segment_left);
	/* And it starts with what is left. */
	fixture_restart(f);
	assert_true(f->seen_count >= 2);
	assert_true(f->seen[0].checkpoint);
}

static void nothing_goes_without_a_checkpoint(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;

	append_bigs(l, 0, BIGS);
	for (size_t i = 0; i < BIGS; i++)
		release(f, &l->big[i].body);
	fixture_append(f, 2, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, wait_for_turns);
	assert_true(segments(f) >= 6);
	fixture_restart(f);
	assert_int_equal(f->seen_count, BIGS + 1);
}

static void a_release_that_is_not_durable_frees_nothing(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;

	append_bigs(l, 0, 14);
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	fixture_append(f, 2, "the release's event", (struct slice){0});
	for (size_t i = 0; i < 14; i++)
		release(f, &l->big[i].body);
	fixture_until(f, wait_for_turns);
	fixture_until(f, wait_for_turns);
	assert_true(segments(f) >= 3);
	fixture_commit(f);
	fixture_until(f, one_segment_left);
}

static void pins_hold_what_nobody_else_does(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	struct store_pin *pin;
	uint64_t offset = 0;
	char head[16];
	int fd;

	append_bigs(l, 0, 14);
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	pin = f->store->ops->pin(f->store, &l->big[3].body);
	assert_non_null(pin);
	for (size_t i = 0; i < 14; i++)
		release(f, &l->big[i].body);
	fixture_append(f, 2, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, wait_for_turns);
	assert_null(f->store->ops->pin(f->store, &l->big[3].body));
	assert_int_equal(pin->ops->read(pin, 1000, head, sizeof(head)), 0);
	assert_memory_equal(head, l->bytes + 1000, sizeof(head));
	assert_int_equal(pin->ops->read(pin, BIG - 8, head, 8), 0);
	assert_int_equal(pin->ops->read(pin, BIG - 8, head, 9), -EIO);
	assert_int_equal(pin->ops->read(pin, BIG + 1, head, 0), -EIO);
	fd = pin->ops->file(pin, &offset);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, head, sizeof(head), (off_t)offset), sizeof(head));
	assert_memory_equal(head, l->bytes, sizeof(head));
	pin->ops->unpin(pin);
	fixture_until(f, one_segment_left);
}

static void bytes_that_changed_are_not_served(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	struct store_pin *pin;
	char path[512], out[8];
	struct store_appended a;
	int fd;

	a = fixture_append(f, 1, "a", SLICE("12345678"));
	fixture_commit(f);
	fixture_path(f, "journal/0000000000000000.seg", path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)a.body.place + 3), 1);
	close(fd);
	pin = f->store->ops->pin(f->store, &a.body);
	assert_int_equal(pin->ops->read_whole(pin, out), -EIO);
	pin->ops->unpin(pin);
}

/* References that a disk may make up. */
static void impossible_references(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	const struct body_ref refs[] = {
		{.kind = BODY_INLINE, .place = UINT64_MAX, .size_bytes = 1},
		{.kind = BODY_INLINE, .place = 100, .size_bytes = FIXTURE_SEGMENT_BYTES},
		{.kind = BODY_INLINE, .place = 100, .size_bytes = UINT64_MAX},
		{.kind = BODY_BLOB, .place = 12345, .size_bytes = 1},
		{.kind = BODY_NONE},
	};

	for (size_t i = 0; i < ARRAY_COUNT(refs); i++) {
		assert_null(f->store->ops->pin(f->store, &refs[i]));
		f->store->ops->body_release(f->store, &refs[i]);
	}
}

/* --- the tidier --- */

struct walk {
	struct fixture *f;
	size_t count;
	struct store_replay last;
};

static void walked(void *ctx, const struct store_replay *entry)
{
	struct walk *walk = ctx;

	walk->count++;
	walk->last = *entry;
}

static void the_emptiest_segment_is_the_victim(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	struct walk walk = {.f = f};
	uint64_t position = 0;
	int r;

	append_bigs(l, 0, BIGS);
	assert_false(journal_victim(f->journal, &position));
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	assert_false(journal_victim(f->journal, &position)); /* all full */
	for (size_t i = 6; i < 9; i++)
		release(f, &l->big[i].body); /* half of the second */
	for (size_t i = 12; i < 17; i++)
		release(f, &l->big[i].body); /* most of the third */
	assert_true(journal_victim(f->journal, &position));
	assert_int_equal(position / FIXTURE_SEGMENT_BYTES, 2);
	do {
		uint64_t before = position;

		r = journal_walk(f->journal, &position, 100, walked, &walk);
		assert_true(r == 0 || position > before);
	} while (r == 1);
	assert_int_equal(r, 0);
	assert_int_equal(walk.count, 6);
	assert_int_equal(walk.last.body_place, l->big[17].body.place);
	assert_int_equal(walk.last.body_crc, l->big[17].body.crc);
	/* The next best one then; and neither again before the next checkpoint. */
	assert_true(journal_victim(f->journal, &position));
	assert_int_equal(position / FIXTURE_SEGMENT_BYTES, 1);
	assert_false(journal_victim(f->journal, &position));
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	assert_true(journal_victim(f->journal, &position));
	position = 0;
	while ((r = journal_walk(f->journal, &position, SIZE_MAX, walked, &walk)) == 1)
		;
	assert_int_equal(r, -EIO); /* not where entries begin */
}

/* --- blobs --- */

struct sealed {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
	int error;
	struct body_ref ref;
};

static void on_sealed(void *ctx, int error, const struct body_ref *ref)
{
	struct sealed *sealed = ctx;

	pthread_mutex_lock(&sealed->mutex);
	sealed->done = true;
	sealed->error = error;
	if (ref)
		sealed->ref = *ref;
	pthread_cond_signal(&sealed->cond);
	pthread_mutex_unlock(&sealed->mutex);
}

static struct body_ref blob_made(struct live *l, size_t pieces)
{
	struct fixture *f = &l->f;
	struct sealed sealed = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct blob *blob;

	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	for (size_t i = 0; i < pieces; i++)
		assert_int_equal(blob->ops->write(blob, slice_from(l->bytes, BIG)), 0);
	assert_int_equal(blob->size_bytes, pieces * BIG);
	blob->ops->seal(blob, on_sealed, &sealed);
	pthread_mutex_lock(&sealed.mutex);
	while (!sealed.done)
		pthread_cond_wait(&sealed.cond, &sealed.mutex);
	pthread_mutex_unlock(&sealed.mutex);
	assert_int_equal(sealed.error, 0);
	assert_int_equal(sealed.ref.kind, BODY_BLOB);
	return sealed.ref;
}

static uint64_t blob_count(struct fixture *f)
{
	struct journal_stats stats;

	journal_stats(f->journal, &stats);
	return stats.blob_count;
}

static bool no_blobs(struct fixture *f)
{
	return blob_count(f) == 0;
}

static void blobs_are_read_and_let_go(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	struct body_ref ref = blob_made(l, 40), second = blob_made(l, 1);
	struct store_pin *pin;
	char part[64];
	uint32_t crc = 0;

	assert_int_equal(blob_count(f), 2);
	assert_int_not_equal(ref.place, second.place);
	f->store->ops->body_retain(f->store, &ref);
	f->store->ops->body_retain(f->store, &ref); /* two owners */
	f->store->ops->body_retain(f->store, &second);
	for (int i = 0; i < 40; i++)
		crc = crc32c(crc, l->bytes, BIG);
	assert_int_equal(ref.crc, crc);
	pin = f->store->ops->pin(f->store, &ref);
	assert_int_equal(pin->ops->read(pin, 39 * BIG + 7, part, sizeof(part)), 0);
	assert_memory_equal(part, l->bytes + 7, sizeof(part));
	fixture_append(f, 1, "released", (struct slice){0}); /* what lets go of them comes first, as in life */
	release(f, &ref);
	release(f, &ref);
	release(f, &second);
	fixture_until(f, wait_for_turns);
	assert_int_equal(blob_count(f), 2); /* not durable yet */
	fixture_commit(f);
	fixture_until(f, wait_for_turns);
	assert_int_equal(pin->ops->read(pin, 0, part, sizeof(part)), 0); /* pinned */
	assert_memory_equal(part, l->bytes, sizeof(part));
	pin->ops->unpin(pin);
	fixture_until(f, no_blobs);
	assert_null(f->store->ops->pin(f->store, &ref));
}

static void a_blob_that_no_event_names(void **state)
{
	struct live *l = *state;
	struct fixture *f = &l->f;
	struct body_ref kept, ref = blob_made(l, 1);
	struct blob *blob;
	char path[512];

	release(f, &ref); /* never retained: refused by the sequencer */
	fixture_until(f, no_blobs);
	(void)blob_made(l, 2); /* orphaned by a crash */
	kept = blob_made(l, 1);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	assert_int_equal(blob->ops->write(blob, SLICE("abc")), 0);
	blob->ops->discard(blob);
	fixture_stop(f);
	fixture_path(f, "blobs/tmp/0000000000000077", path); /* left by a crash */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(fixture_files(f, "blobs/tmp"), 1);
	fixture_start(f); /* nothing retains anything: all go */
	assert_int_equal(blob_count(f), 0);
	assert_int_equal(fixture_files(f, "blobs/tmp"), 0);
	assert_true(fixture_said(f, "removed 2 blobs that nothing names"));
	assert_null(f->store->ops->pin(f->store, &kept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_checkpoint_comes_first_and_saves_replay),
		TEST(a_checkpoint_starts_where_it_was_begun),
		TEST(a_checkpoint_waits_for_durability),
		TEST(a_large_checkpoint),
		TEST(a_corrupt_checkpoint),
		TEST(checkpoints_are_wanted_when_enough_was_appended),
		TEST(segments_go_when_nothing_lives_in_them),
		TEST(nothing_goes_without_a_checkpoint),
		TEST(a_release_that_is_not_durable_frees_nothing),
		TEST(pins_hold_what_nobody_else_does),
		TEST(bytes_that_changed_are_not_served),
		TEST(impossible_references),
		TEST(the_emptiest_segment_is_the_victim),
		TEST(blobs_are_read_and_let_go),
		TEST(a_blob_that_no_event_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
