/* Blobs: long bodies, each in a file of its own: blobs/XX/NNNNNNNNNNNNNNNN, a number in hexadecimal of which XX are the last
 * two digits. What is in it stands at the head of blob.h. A blob is written under blobs/tmp by the thread that receives it, sums
 * and all, and sealed on the sealer thread: synced, renamed, directory synced. Numbers grow and are not used again while anything
 * could still name them. */
#include "journal/journal_priv.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/wire.h"
#include "journal/blob.h"
#include "journal/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written back from time to time, so that sealing a long blob has little left to sync. */
enum { BLOB_WRITEBACK_BYTES = 8 << 20 };

struct blob_writer {
	struct blob blob; /* first */
	struct io_job job;
	struct journal *journal;
	uint64_t number;
	uint64_t file_bytes; /* content and sums */
	uint64_t written_back;
	int fd;
	int error;      /* sticky: 0, STORE_NO_SPACE or -EIO */
	uint32_t chunk; /* the sum of the chunk that is being written */
	uint32_t sums_len;
	char sums[BLOB_SUMS_BYTES]; /* of the chunks of this stretch so far */
	void (*done)(void *ctx, int error, const struct body_ref *ref);
	void *ctx;
};

void blob_path(uint64_t number, char out[JOURNAL_NAME_BYTES])
{
	snprintf(out, JOURNAL_NAME_BYTES, "%02x/%016" PRIx64, (unsigned)(number & 0xff), number);
}

static void blob_tmp_name(uint64_t number, char out[JOURNAL_NAME_BYTES])
{
	snprintf(out, JOURNAL_NAME_BYTES, "%016" PRIx64, number);
}

static int blob_error(int r)
{
	if (r == -ENOSPC || r == -EDQUOT)
		return STORE_NO_SPACE;
	return r < 0 ? -EIO : 0;
}

static int writer_append(struct blob_writer *w, const void *ptr, size_t len)
{
	int r = faults_space(&w->journal->faults);

	if (r == 0)
		r = disk_write(w->fd, ptr, len, w->file_bytes);
	if (r == 0)
		w->file_bytes += len;
	w->error = blob_error(r);
	return w->error;
}

static void writer_end_chunk(struct blob_writer *w)
{
	wire_store_u32(w->sums + w->sums_len, w->chunk);
	w->sums_len += BLOB_SUM_BYTES;
	w->chunk = 0;
}

static int writer_end_stretch(struct blob_writer *w)
{
	int r = writer_append(w, w->sums, w->sums_len);

	w->sums_len = 0;
	return r;
}

/* Bytes that were written, of one stretch. */
static void writer_sum(struct blob_writer *w, struct slice bytes)
{
	struct blob *blob = &w->blob;

	blob->crc = crc32c(blob->crc, bytes.ptr, bytes.len);
	while (bytes.len) {
		size_t left = BLOB_CHUNK_BYTES - (size_t)(blob->size_bytes % BLOB_CHUNK_BYTES);
		size_t part = bytes.len < left ? bytes.len : left;

		w->chunk = crc32c(w->chunk, bytes.ptr, part);
		blob->size_bytes += part;
		if (part == left)
			writer_end_chunk(w);
		bytes = slice_from(bytes.ptr + part, bytes.len - part);
	}
}

static int writer_write(struct blob *blob, struct slice bytes)
{
	struct blob_writer *w = container_of(blob, struct blob_writer, blob);

	while (bytes.len && !w->error) {
		size_t left = BLOB_STRETCH_BYTES - (size_t)(blob->size_bytes % BLOB_STRETCH_BYTES);
		size_t part = bytes.len < left ? bytes.len : left;

		if (writer_append(w, bytes.ptr, part) != 0)
			break;
		writer_sum(w, slice_from(bytes.ptr, part));
		if (part == left)
			(void)writer_end_stretch(w);
		bytes = slice_from(bytes.ptr + part, bytes.len - part);
	}
	if (!w->error && w->file_bytes - w->written_back >= BLOB_WRITEBACK_BYTES) {
		/* Advice: what it does not do, the sync at the end will. */
		(void)sync_file_range(w->fd, (off_t)w->written_back, (off_t)(w->file_bytes - w->written_back),
				      SYNC_FILE_RANGE_WRITE);
		w->written_back = w->file_bytes;
	}
	return w->error;
}

static int sync_dir_of(struct journal *journal, unsigned low)
{
	char name[3];
	int fd, r = 0;

	snprintf(name, sizeof(name), "%02x", low & 0xff);
	fd = openat(journal->blobs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int writer_name_it(struct blob_writer *w)
{
	struct journal *journal = w->journal;
	char from[JOURNAL_NAME_BYTES], to[JOURNAL_NAME_BYTES], dir[3];

	blob_tmp_name(w->number, from);
	blob_path(w->number, to);
	if (renameat(journal->blob_tmp_fd, from, journal->blobs_fd, to) < 0) {
		if (errno != ENOENT)
			return -errno;
		snprintf(dir, sizeof(dir), "%.2s", to);
		if (mkdirat(journal->blobs_fd, dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		if (fsync(journal->blobs_fd) < 0)
			return -errno;
		if (renameat(journal->blob_tmp_fd, from, journal->blobs_fd, to) < 0)
			return -errno;
	}
	return sync_dir_of(journal, (unsigned)(w->number & 0xff));
}

static void writer_free(struct blob_writer *w, bool unlink_it)
{
	char name[JOURNAL_NAME_BYTES];

	close(w->fd);
	if (unlink_it) {
		blob_tmp_name(w->number, name);
		unlinkat(w->journal->blob_tmp_fd, name, 0);
	}
	mem_free(w);
}

static void writer_seal_run(struct io_job *job)
{
	struct blob_writer *w = container_of(job, struct blob_writer, job);
	struct journal *journal = w->journal;
	struct body_ref ref = {.place = w->number, .size_bytes = w->blob.size_bytes, .crc = w->blob.crc, .kind = BODY_BLOB};
	int r = w->error;

	if (w->blob.size_bytes % BLOB_CHUNK_BYTES)
		writer_end_chunk(w);
	if (r == 0 && w->sums_len)
		r = writer_end_stretch(w);
	if (r == 0)
		r = blob_error(journal_fdatasync(journal, w->fd));
	if (r == 0)
		r = blob_error(writer_name_it(w));
	if (r == 0) {
		atomic_fetch_add(&journal->blob_count, 1);
		atomic_fetch_add(&journal->blob_bytes, w->file_bytes);
	}
	w->done(w->ctx, r, r == 0 ? &ref : NULL);
	writer_free(w, r != 0);
}

static void writer_seal(struct blob *blob, void (*done)(void *ctx, int error, const struct body_ref *ref), void *ctx)
{
	struct blob_writer *w = container_of(blob, struct blob_writer, blob);

	w->done = done;
	w->ctx = ctx;
	w->job.run = writer_seal_run;
	io_post(&w->journal->sealer, &w->job);
}

static void writer_discard_run(struct io_job *job)
{
	writer_free(container_of(job, struct blob_writer, job), true);
}

/* Not here: removing a long file takes its time. */
static void writer_discard(struct blob *blob)
{
	struct blob_writer *w = container_of(blob, struct blob_writer, blob);

	w->job.run = writer_discard_run;
	io_post(&w->journal->sealer, &w->job);
}

static const struct blob_ops writer_ops = {.write = writer_write, .seal = writer_seal, .discard = writer_discard};

int journal_blob_open(struct store *store, struct blob **ret_blob)
{
	struct journal *journal = container_of(store, struct journal, store);
	char name[JOURNAL_NAME_BYTES];
	struct blob_writer *w;
	int r;

	if (atomic_load(&journal->failed))
		return -EIO;
	if (atomic_load(&journal->full))
		return STORE_NO_SPACE; /* what room there is belongs to the next segment */
	w = mem_zalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->blob.ops = &writer_ops;
	w->journal = journal;
	w->number = atomic_fetch_add(&journal->blob_next, 1);
	blob_tmp_name(w->number, name);
	w->fd = openat(journal->blob_tmp_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		r = errno == ENOSPC || errno == EDQUOT ? STORE_NO_SPACE : errno == ENOMEM ? -ENOMEM : -EIO;
		mem_free(w);
		return r;
	}
	*ret_blob = &w->blob;
	return 0;
}

/* --- recovery --- */

struct blob_sweep {
	struct journal *journal;
	int dir_fd; /* the one that is listed */
	unsigned removed;
};

static int sweep_tmp(void *ctx, const char *name)
{
	struct blob_sweep *sweep = ctx;

	unlinkat(sweep->dir_fd, name, 0);
	return 0;
}

static int sweep_blob(void *ctx, const char *name)
{
	struct blob_sweep *sweep = ctx;
	struct journal *journal = sweep->journal;
	struct blob_record *record;
	struct stat st;
	uint64_t number;

	if (!disk_name_parse(name, "", &number))
		return 0; /* not ours */
	if (number >= atomic_load(&journal->blob_next))
		atomic_store(&journal->blob_next, number + 1);
	record = blob_find(journal, number);
	if (!record) {
		unlinkat(sweep->dir_fd, name, 0);
		sweep->removed++;
		return 0;
	}
	if (fstatat(sweep->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (record->refs && (uint64_t)st.st_size != record->held.size_bytes)
		journal_say(journal, "blob %016" PRIx64 " has %llu bytes, not %llu: reading it will fail", number,
			    (unsigned long long)st.st_size, (unsigned long long)record->held.size_bytes);
	record->present = true; /* without references: the reaper's, which is about to come */
	record->held.size_bytes = (uint64_t)st.st_size;
	atomic_fetch_add(&journal->blob_count, 1);
	atomic_fetch_add(&journal->blob_bytes, (uint64_t)st.st_size);
	return 0;
}

static int sweep_dir(void *ctx, const char *name)
{
	struct blob_sweep *outer = ctx, inner = {.journal = outer->journal};
	int r;

	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return 0; /* tmp */
	inner.dir_fd = openat(outer->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (inner.dir_fd < 0)
		return -errno;
	r = disk_list(inner.dir_fd, sweep_blob, &inner);
	close(inner.dir_fd);
	outer->removed += inner.removed;
	return r;
}

static void blobs_tell_missing(struct journal *journal)
{
	for (size_t table = 0; table < 2; table++) {
		struct hash_node **buckets = table ? journal->blobs.old : journal->blobs.buckets;
		size_t mask = table ? journal->blobs.old_mask : journal->blobs.mask;

		for (size_t i = 0; buckets && i <= mask; i++)
			for (struct hash_node *node = buckets[i]; node; node = node->next) {
				struct blob_record *record = container_of(node, struct blob_record, node);

				if (!record->present && record->refs)
					journal_say(journal, "blob %016" PRIx64 " is missing: reading it will fail",
						    record->held.number);
			}
	}
}

int blobs_recover(struct journal *journal)
{
	struct blob_sweep tmp = {.journal = journal, .dir_fd = journal->blob_tmp_fd};
	struct blob_sweep all = {.journal = journal, .dir_fd = journal->blobs_fd};
	int r;

	if (journal->blobs_lost)
		return -ENOMEM; /* a retain was lost: nothing may be called an orphan */
	r = disk_list(tmp.dir_fd, sweep_tmp, &tmp);
	if (r == 0)
		r = disk_list(all.dir_fd, sweep_dir, &all);
	if (r < 0)
		return r;
	blobs_tell_missing(journal);
	if (all.removed)
		journal_say(journal, "removed %u blobs that nothing names", all.removed);
	return 0;
}
