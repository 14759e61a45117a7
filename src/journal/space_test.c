/* Bad days: full disks, failed syncs and writes, no memory. Faults are asked for as a user of the program would. */
#include "base/mem.h"
#include "journal/journal_fixture.h"
#include "journal/journal_priv.h"

#include <errno.h>
#include <pthread.h>
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

static int append(struct fixture *f, size_t body_len, bool reserve, struct store_appended *ret_appended)
{
	char *body = calloc(1, body_len + 1);
	struct store_entry entry = {.type = 1, .fields = SLICE("fields"), .body = {body, body_len}, .reserve = reserve};
	int r = f->store->ops->append(f->store, &entry, ret_appended);

	free(body);
	return r;
}

static bool prepared(struct fixture *f)
{
	return atomic_load(&f->journal->next) != NULL;
}

static bool is_full(struct fixture *f)
{
	return atomic_load(&f->journal->full);
}

static bool not_full(struct fixture *f)
{
	f->now_ms += 1000; /* the retry comes once a second */
	return !atomic_load(&f->journal->full) && prepared(f);
}

/* --- the disk is full --- */

/* Submits are refused first, while there is still room for what has the reserve; when there is room again they go on. */
static void full_and_back(void **state)
{
	struct fixture *f = *state;
	struct store_appended appended = {0}, untouched;
	size_t submits = 0, others = 0;
	uint64_t end;
	int r;

	/* The first segment and the second are made; the next tries fail. */
	f->config.faults = "write:enospc@3-8";
	fixture_start(f);
	fixture_until(f, prepared);
	while (journal_end_position(f->journal) < FIXTURE_SEGMENT_BYTES) {
		assert_int_equal(append(f, 100000, false, &appended), 0);
		submits++;
		fixture_commit(f);
	}
	fixture_until(f, is_full);
	assert_true(fixture_said(f, "no room for the next segment: No space left on device"));
	while ((r = append(f, 100000, false, &appended)) == 0) {
		submits++;
		fixture_commit(f);
	}
	assert_int_equal(r, STORE_NO_SPACE);
	end = journal_end_position(f->journal);
	assert_true(2 * FIXTURE_SEGMENT_BYTES - end >= FIXTURE_SEGMENT_BYTES / 4);
	assert_true(2 * FIXTURE_SEGMENT_BYTES - end < FIXTURE_SEGMENT_BYTES / 4 + 110000);
	memset(&untouched, 0xaa, sizeof(untouched));
	appended = untouched;
	assert_int_equal(append(f, 100000, false, &appended), STORE_NO_SPACE);
	assert_memory_equal(&appended, &untouched, sizeof(untouched));
	assert_int_equal(journal_end_position(f->journal), end);
	/* What has the reserve goes on until the very end. */
	while ((r = append(f, 1000, true, &appended)) == 0)
		others++;
	assert_int_equal(r, STORE_NO_SPACE);
	assert_true(others > FIXTURE_SEGMENT_BYTES / 4 / 1100);
	fixture_commit(f);
	/* And back, by itself. */
	fixture_until(f, not_full);
	assert_int_equal(append(f, 100000, false, &appended), 0);
	submits++;
	fixture_commit(f);
	journal_turn(f->journal, f->now_ms);
	assert_true(fixture_said(f, "there is room again"));
	fixture_until(f, prepared);
	f->config.faults = NULL;
	fixture_restart(f);
	assert_int_equal(f->seen_count, submits + others);
}

static void blobs_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct blob *blob;

	f->config.faults = "write:enospc@3-4";
	fixture_start(f);
	fixture_until(f, prepared);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	assert_int_equal(blob->ops->write(blob, SLICE("no room")), STORE_NO_SPACE);
	assert_int_equal(blob->ops->write(blob, SLICE("after an error")), STORE_NO_SPACE);
	assert_int_equal(blob->size_bytes, 0);
	blob->ops->discard(blob);
	/* While the journal itself lacks room none is begun. */
	atomic_store(&f->journal->full, true);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), STORE_NO_SPACE);
	atomic_store(&f->journal->full, false);
}

static bool checkpoint_over(struct fixture *f)
{
	return !f->journal->checkpoint;
}

static void a_checkpoint_on_a_full_disk(void **state)
{
	struct fixture *f = *state;

	f->config.faults = "write:enospc@3-3";
	fixture_start(f);
	fixture_until(f, prepared);
	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	assert_int_equal(journal_checkpoint_add(f->journal, 50, SLICE("state")), 0);
	assert_int_equal(journal_checkpoint_end(f->journal), 0);
	fixture_until(f, checkpoint_over);
	assert_true(fixture_said(f, "checkpoint failed: no space"));
	/* The next one works. */
	buf_clear(&f->said);
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	fixture_restart(f);
	assert_int_equal(f->seen_count, 1);
}

/* A full disk wants a checkpoint sooner, and the reserve makes room for it. */
static void the_reserve_is_spent_on_a_checkpoint(void **state)
{
	struct fixture *f = *state;
	struct store_appended appended;
	char path[512];

	fixture_start(f);
	fixture_until(f, prepared);
	fixture_path(f, "reserve", path);
	while (access(path, F_OK) != 0 || !atomic_load(&f->journal->reserve_bytes))
		journal_turn(f->journal, f->now_ms);
	assert_int_equal(append(f, FIXTURE_SEGMENT_BYTES / 4, false, &appended), 0);
	fixture_commit(f);
	assert_false(journal_checkpoint_wanted(f->journal));
	atomic_store(&f->journal->full, true);
	assert_true(journal_checkpoint_wanted(f->journal));
	assert_int_equal(journal_checkpoint_begin(f->journal), 0);
	while (atomic_load(&f->journal->reserve_bytes))
		journal_turn(f->journal, f->now_ms);
	journal_checkpoint_abort(f->journal);
	atomic_store(&f->journal->full, false);
}

/* --- failures that are final --- */

static void expect_failed(struct fixture *f)
{
	struct store_appended appended;
	struct journal_stats stats;
	struct blob *blob;

	assert_int_equal(append(f, 10, false, &appended), -EIO);
	assert_int_equal(append(f, 10, true, &appended), -EIO);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), -EIO);
	journal_stats(f->journal, &stats);
	assert_true(stats.failed);
	assert_false(journal_commit_begin(f->journal));
}

static void a_failed_sync_is_final(void **state)
{
	struct fixture *f = *state;
	struct store_appended a, b;

	f->config.faults = "sync:fail@2";
	fixture_start(f);
	a = fixture_append(f, 1, "safe", (struct slice){0});
	fixture_commit(f);
	b = fixture_append(f, 1, "not safe", (struct slice){0});
	assert_true(journal_commit_begin(f->journal));
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), -EIO);
	assert_int_equal(f->store->ops->durable_position(f->store), a.end);
	assert_true(b.end > a.end);
	expect_failed(f);
	assert_true(fixture_said(f, "writing the journal failed"));
	f->config.faults = NULL;
	fixture_restart(f);
	assert_true(f->seen_count >= 1);
	assert_int_equal(f->seen[0].entry.position, a.position);
}

static void a_write_that_stops_half_way(void **state)
{
	struct fixture *f = *state;

	f->config.faults = "write:short@2";
	fixture_start(f);
	fixture_append(f, 1, "safe", (struct slice){0});
	fixture_commit(f);
	for (int i = 0; i < 10; i++)
		fixture_append(f, 1, "half of these", (struct slice){0});
	assert_true(journal_commit_begin(f->journal));
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), -EIO);
	expect_failed(f);
	f->config.faults = NULL;
	fixture_restart(f);
	assert_true(f->seen_count >= 1 && f->seen_count < 11);
}

/* A sync that fails in the background comes out at the next commit, once. */
static bool has_failed(struct fixture *f)
{
	return atomic_load(&f->journal->failed) != 0;
}

static void a_failed_interval_sync_is_final(void **state)
{
	struct fixture *f = *state;

	f->config.faults = "sync:fail@1";
	f->config.sync = JOURNAL_SYNC_INTERVAL;
	fixture_start(f);
	fixture_append(f, 1, "written", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, has_failed);
	assert_true(journal_commit_begin(f->journal));
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), -EIO);
	expect_failed(f);
}

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int error;
	bool done;
};

static void on_sealed(void *ctx, int error, const struct body_ref *ref)
{
	struct waiter *waiter = ctx;

	pthread_mutex_lock(&waiter->mutex);
	assert_true((ref == NULL) == (error != 0));
	waiter->error = error;
	waiter->done = true;
	pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&waiter->mutex);
}

static void a_failed_blob_sync_is_final(void **state)
{
	struct fixture *f = *state;
	struct waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct blob *blob;

	f->config.faults = "sync:fail@1";
	fixture_start(f);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	assert_int_equal(blob->ops->write(blob, SLICE("bytes")), 0);
	blob->ops->seal(blob, on_sealed, &waiter);
	pthread_mutex_lock(&waiter.mutex);
	while (!waiter.done)
		pthread_cond_wait(&waiter.cond, &waiter.mutex);
	pthread_mutex_unlock(&waiter.mutex);
	assert_int_equal(waiter.error, -EIO);
	assert_true(journal_commit_begin(f->journal));
	journal_commit_run(f->journal);
	assert_int_equal(journal_commit_end(f->journal), -EIO);
	expect_failed(f);
}

/* --- no memory --- */

/* The k-th allocation fails, for every k: an append says so and changes nothing, and the same thing works afterwards. */
static void appends_without_memory(void **state)
{
	struct fixture *f = *state;
	bool failed = true;

	for (uint64_t k = 1; failed; k++) {
		struct store_appended appended;
		uint64_t end;
		int r;

		fixture_start(f);
		fixture_until(f, prepared);
		end = journal_end_position(f->journal);
		mem_fail_nth(k);
		r = append(f, 300000, false, &appended);
		mem_fail_nth(0);
		failed = r != 0;
		if (failed) {
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(journal_end_position(f->journal), end);
		}
		assert_int_equal(append(f, 300000, false, &appended), 0);
		fixture_commit(f);
		fixture_stop(f);
	}
	fixture_start(f);
	assert_true(f->seen_count >= 3);
}

/* The same for opening and recovering: it fails as a whole and leaves nothing behind, or it works. */
static void recovery_without_memory(void **state)
{
	struct fixture *f = *state;
	struct store_appended appended;
	bool failed = true;

	fixture_start(f);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(append(f, 200000, false, &appended), 0);
		fixture_commit(f);
	}
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
	fixture_append(f, 1, "behind", (struct slice){0});
	fixture_commit(f);
	fixture_stop(f);
	for (uint64_t k = 1; failed && k < 1000; k++) {
		int r;

		mem_fail_nth(k);
		r = fixture_try(f);
		mem_fail_nth(0);
		failed = r != 0;
		if (failed)
			assert_int_equal(r, -ENOMEM);
		else
			assert_int_equal(f->seen_count, 2);
	}
	assert_false(failed);
}

static void pins_and_checkpoints_without_memory(void **state)
{
	struct fixture *f = *state;
	struct store_appended appended;
	struct blob *blob;

	fixture_start(f);
	fixture_until(f, prepared);
	appended = fixture_append(f, 1, "x", SLICE("body"));
	fixture_commit(f);
	while (!atomic_load(&f->journal->reserve_bytes))
		journal_turn(f->journal, f->now_ms);
	mem_fail_nth(1);
	assert_null(f->store->ops->pin(f->store, &appended.body));
	mem_fail_nth(1);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), -ENOMEM);
	mem_fail_nth(1);
	assert_int_equal(journal_checkpoint_begin(f->journal), -ENOMEM);
	for (uint64_t k = 1; k <= 2; k++) {
		assert_int_equal(journal_checkpoint_begin(f->journal), 0);
		mem_fail_nth(k);
		assert_int_equal(journal_checkpoint_add(f->journal, 50, SLICE("state")), -ENOMEM);
		mem_fail_nth(0);
		assert_null(f->journal->checkpoint);
	}
	fixture_checkpoint(f, (const char *const[]){"state"}, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(full_and_back),
		TEST(blobs_on_a_full_disk),
		TEST(a_checkpoint_on_a_full_disk),
		TEST(the_reserve_is_spent_on_a_checkpoint),
		TEST(a_failed_sync_is_final),
		TEST(a_write_that_stops_half_way),
		TEST(a_failed_interval_sync_is_final),
		TEST(a_failed_blob_sync_is_final),
		TEST(appends_without_memory),
		TEST(recovery_without_memory),
		TEST(pins_and_checkpoints_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
