#include "journal/journal_priv.h"

#include "base/mem.h"
#include "journal/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 1000, LAZY_SYNC_MS = 1000, POLL_MS = 10, SAY_BYTES = 512 };

void journal_say(struct journal *journal, const char *fmt, ...)
{
	char line[SAY_BYTES];
	va_list args;

	if (!journal->diag)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	journal->diag(journal->diag_ctx, line);
}

void journal_fail(struct journal *journal, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&journal->failed, &none, -error);
}

uint64_t journal_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t journal_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int journal_fdatasync(struct journal *journal, int fd)
{
	uint64_t begin = journal_clock_ns();
	int r = faults_sync(&journal->faults);

	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	atomic_fetch_add(&journal->sync_ns_total, journal_clock_ns() - begin);
	atomic_fetch_add(&journal->sync_count, 1);
	if (r < 0)
		journal_fail(journal, r);
	return r;
}

static uint64_t store_durable(const struct store *store)
{
	return ((const struct journal *)(const void *)store)->durable;
}

static const struct store_ops journal_ops = {
	.append = journal_append,
	.durable_position = store_durable,
	.body_retain = journal_retain,
	.body_release = journal_release,
	.pin = journal_pin,
	.blob_open = journal_blob_open,
};

static int open_dirs(struct journal *journal, const char *dir)
{
	int r = disk_open_dir(AT_FDCWD, dir, &journal->dir_fd);

	if (r < 0)
		return r;
	journal->lock_fd = openat(journal->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (journal->lock_fd < 0)
		return -errno;
	if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? JOURNAL_LOCKED : -errno;
	r = disk_open_dir(journal->dir_fd, "journal", &journal->segments_fd);
	if (r == 0)
		r = disk_open_dir(journal->dir_fd, "blobs", &journal->blobs_fd);
	if (r == 0)
		r = disk_open_dir(journal->blobs_fd, "tmp", &journal->blob_tmp_fd);
	return r;
}

static int configure(struct journal *journal, const struct journal_config *config)
{
	struct slice bad;

	journal->diag = config->diag;
	journal->diag_ctx = config->diag_ctx;
	journal->sync = config->sync;
	journal->sync_interval_ms = config->sync_interval_ms ? config->sync_interval_ms : 1;
	journal_set_segment(journal, config->segment_bytes);
	journal->salvage = config->salvage;
	if (journal->segment_bytes < JOURNAL_SEGMENT_MIN || journal->segment_bytes > JOURNAL_SEGMENT_MAX ||
	    journal->segment_bytes % 4096 != 0) {
		journal_say(journal, "segments must have 2 MiB to 1 GiB, a multiple of 4096 bytes");
		return -EINVAL;
	}
	if (config->faults && faults_parse(slice_str(config->faults), &journal->faults, &bad) < 0) {
		journal_say(journal, "unknown fault: %.*s", (int)bad.len, bad.ptr);
		return -EINVAL;
	}
	if (journal->faults.alloc_fail_at)
		mem_fail_nth(journal->faults.alloc_fail_at);
	return 0;
}

static void journal_init(struct journal *journal)
{
	journal->store.ops = &journal_ops;
	journal->dir_fd = journal->lock_fd = journal->segments_fd = journal->blobs_fd = journal->blob_tmp_fd = -1;
	journal->filling = &journal->batches[0];
	journal->reap_at = UINT64_MAX;
	list_init(&journal->dying);
	list_init(&journal->resting);
	journal->mapped_max = JOURNAL_MAPPED_MAX;
	hash_init(&journal->blobs);
	atomic_store(&journal->blob_next, 1);
	pthread_mutex_init(&journal->prepare_mutex, NULL);
	pthread_mutex_init(&journal->publish_mutex, NULL);
	pthread_mutex_init(&journal->zero_mutex, NULL);
	pthread_mutex_init(&journal->held_mutex, NULL);
	pthread_cond_init(&journal->zero_done, NULL);
	prepare_init(journal);
}

int journal_open(const struct journal_config *config, struct journal **ret_journal)
{
	struct journal *journal = mem_zalloc(sizeof(*journal));
	int r;

	if (!journal)
		return -ENOMEM;
	journal_init(journal);
	r = configure(journal, config);
	if (r == 0 && getrandom(&journal->blob_key, sizeof(journal->blob_key), 0) != sizeof(journal->blob_key))
		r = -EIO;
	if (r == 0)
		r = open_dirs(journal, config->dir);
	if (r != 0) {
		journal_close(journal);
		return r;
	}
	*ret_journal = journal;
	return 0;
}

struct store *journal_store(struct journal *journal)
{
	return &journal->store;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_held(struct journal *journal)
{
	struct segment *next = atomic_load(&journal->next);

	for (size_t i = 0; i < journal->table_count; i++)
		if (journal->table[i])
			held_unref(&journal->table[i]->held);
	mem_free(journal->table);
	if (next)
		held_unref(&next->held);
	for (size_t table = 0; table < 2; table++) {
		struct hash_node **buckets = table ? journal->blobs.old : journal->blobs.buckets;
		size_t mask = table ? journal->blobs.old_mask : journal->blobs.mask;

		for (size_t i = 0; buckets && i <= mask; i++)
			for (struct hash_node *node = buckets[i], *after; node; node = after) {
				after = node->next;
				held_unref(&container_of(node, struct blob_record, node)->held);
			}
	}
	hash_deinit(&journal->blobs);
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	atomic_store(&journal->closing, true);
	/* What was written is left on the disk, not in the kernel's memory. */
	if (journal->recovered && !journal->failure_told && !atomic_load(&journal->failed) &&
	    journal->durable > atomic_load(&journal->synced))
		(void)interval_request(journal);
	io_stop(&journal->sealer);
	io_stop(&journal->io);
	checkpoint_drop(journal);
	free_held(journal);
	batch_deinit(&journal->batches[0]);
	batch_deinit(&journal->batches[1]);
	close_fd(journal->blob_tmp_fd);
	close_fd(journal->blobs_fd);
	close_fd(journal->segments_fd);
	close_fd(journal->dir_fd);
	close_fd(journal->lock_fd);
	pthread_cond_destroy(&journal->zero_done);
	pthread_mutex_destroy(&journal->held_mutex);
	pthread_mutex_destroy(&journal->zero_mutex);
	pthread_mutex_destroy(&journal->publish_mutex);
	pthread_mutex_destroy(&journal->prepare_mutex);
	mem_free(journal);
}

uint64_t journal_end_position(const struct journal *journal)
{
	return journal->end;
}

uint64_t journal_sync_ns(const struct journal *journal)
{
	return atomic_load(&journal->sync_ns);
}

/* --- the turn --- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t turn_full(struct journal *journal, uint64_t now_ms)
{
	bool full = atomic_load(&journal->full);

	if (full != journal->full_told) {
		journal->full_told = full;
		if (full)
			journal_say(journal, "no room for the next segment: %s; submits are refused until there is",
				    strerror(atomic_load(&journal->full_error)));
		else
			journal_say(journal, "there is room again");
		journal->retry_at_ms = now_ms + RETRY_MS;
	}
	if (!full)
		return UINT64_MAX;
	if (now_ms >= journal->retry_at_ms) {
		prepare_post(journal);
		journal->retry_at_ms = now_ms + RETRY_MS;
	}
	return journal->retry_at_ms;
}

/* Something waits for a sync that no commit will bring. */
static bool wants_sync(const struct journal *journal)
{
	uint64_t synced = atomic_load(&journal->synced);

	return journal->sync == JOURNAL_SYNC_INTERVAL || !list_empty(&journal->dying) || journal->reap_at <= journal->durable ||
	       checkpoint_waits(journal) || journal_number(journal, synced) != journal_number(journal, journal->durable);
}

static uint64_t turn_sync(struct journal *journal, uint64_t now_ms)
{
	uint64_t every = journal->sync == JOURNAL_SYNC_INTERVAL ? journal->sync_interval_ms : LAZY_SYNC_MS;

	if (journal->sync == JOURNAL_SYNC_ALWAYS)
		return UINT64_MAX;
	if (journal->interval_running && atomic_load(&journal->interval_done))
		journal->interval_running = false;
	if (journal->interval_running)
		return now_ms + POLL_MS;
	if (journal->durable <= atomic_load(&journal->synced) || atomic_load(&journal->failed) || !wants_sync(journal))
		return UINT64_MAX;
	if (now_ms >= journal->interval_at_ms) {
		(void)interval_request(journal);
		journal->interval_at_ms = now_ms + every;
	}
	return journal->interval_at_ms;
}

/* Segments that are neither written nor synced any more may be closed. */
static void turn_settle(struct journal *journal)
{
	uint64_t synced = journal_number(journal, atomic_load(&journal->synced));

	while (journal->settled < synced && journal->settled < journal->active->held.number) {
		struct segment *segment = segment_find(journal, journal->settled++);

		if (segment)
			held_settle(&segment->held);
	}
}

uint64_t journal_turn(struct journal *journal, uint64_t now_ms)
{
	uint64_t next;

	journal->turn_ms = now_ms;
	checkpoint_turn(journal);
	live_reap(journal);
	turn_settle(journal);
	next = earlier(turn_full(journal, now_ms), turn_sync(journal, now_ms));
	if (checkpoint_waits(journal))
		next = earlier(next, now_ms + POLL_MS);
	return next;
}

void journal_stats(const struct journal *journal, struct journal_stats *ret_stats)
{
	*ret_stats = (struct journal_stats){
		.durable_position = journal->durable,
		.end_position = journal->end,
		.segment_count = journal->segment_count,
		.disk_bytes = (journal->segment_count + (atomic_load(&journal->next) != NULL)) * journal->segment_bytes +
			      atomic_load(&journal->blob_bytes) + atomic_load(&journal->reserve_bytes) +
			      journal->checkpoint_bytes,
		.blob_count = atomic_load(&journal->blob_count),
		.commit_count = journal->commit_count,
		.commit_bytes = journal->commit_bytes,
		.sync_count = atomic_load(&journal->sync_count),
		.sync_ns_total = atomic_load(&journal->sync_ns_total),
		.full = atomic_load(&journal->full),
		.failed = atomic_load(&journal->failed) != 0,
	};
}
