/* Segment files: made, named, zeroed, counted. */
#include "journal/journal_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "journal/disk.h"
#include "journal/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* From the first segment to the last, with those between them that are gone: a position that no journal reaches, read from a
 * disk, must not take all memory for a table of nothing. */
enum { SEGMENT_SPAN_MAX = 1 << 24 };

static char zeros[JOURNAL_ZERO_BYTES]; /* never written: not const, so that it costs no room in the program's file */

void journal_set_segment(struct journal *journal, uint64_t segment_bytes)
{
	const uint64_t around = FILE_HEADER_BYTES + ENTRY_HEADER_BYTES + ENTRY_FIELDS_MAX + ENTRY_ALIGN_BYTES;

	journal->segment_bytes = segment_bytes;
	journal->store.body_max = segment_bytes > around ? segment_bytes - around : 0;
}

uint64_t journal_place(const struct journal *journal, uint64_t position)
{
	uint64_t offset = position % journal->segment_bytes, first = position - offset;

	if (journal->segment_bytes - offset < ENTRY_ROOM_MIN_BYTES) {
		first += journal->segment_bytes;
		offset = 0;
	}
	return first + (offset < FILE_HEADER_BYTES ? FILE_HEADER_BYTES : offset);
}

void segment_name(uint64_t number, const char *suffix, char out[JOURNAL_NAME_BYTES])
{
	snprintf(out, JOURNAL_NAME_BYTES, "%016" PRIx64 ".seg%s", number, suffix);
}

/* --- held --- */

struct held *held_init(struct held *held, struct journal *journal, uint64_t number)
{
	held->journal = journal;
	held->number = number;
	held->refs = 1;
	held->fd = -1;
	list_init(&held->resting);
	return held;
}

void held_ref(struct held *held)
{
	pthread_mutex_lock(&held->journal->held_mutex);
	held->refs++;
	pthread_mutex_unlock(&held->journal->held_mutex);
}

/* Under held_mutex. */
static void held_wake(struct held *held)
{
	if (list_empty(&held->resting))
		return;
	list_remove(&held->resting);
	held->journal->resting_count--;
}

/* Under held_mutex. Nobody has a pin. */
static void held_close(struct held *held)
{
	held_wake(held);
	mapped_free(held->mapped, held->journal->segment_bytes);
	held->mapped = NULL;
	if (held->fd < 0)
		return;
	close(held->fd);
	held->fd = -1;
	if (!held->blob)
		held->journal->open_count--;
}

/* Under held_mutex: the last pin is gone. Its mapping stays for whoever comes next, since to make one and to fill it costs as
 * much as what it saves; the one that was not needed for longest goes when there are too many. That is returned, to be unmapped
 * without the mutex, which takes a while. */
static const char *held_rest(struct held *held)
{
	struct journal *journal = held->journal;
	const char *mapped = NULL;

	if (held->mapped && list_empty(&held->resting)) {
		list_push_back(&journal->resting, &held->resting);
		journal->resting_count++;
	}
	if (journal->resting_count > 1 && journal->resting_count * journal->segment_bytes > journal->mapped_max) {
		struct held *oldest = list_first(&journal->resting, struct held, resting);

		held_wake(oldest);
		mapped = oldest->mapped;
		oldest->mapped = NULL;
	}
	if (!held->keep_open && (held->blob || journal->open_count > JOURNAL_OPEN_MAX))
		held_close(held);
	return mapped;
}

/* On the io thread: the last reference to a doomed file is gone. Its name may outlive a crash; recovery finds nothing living in
 * it then and removes it again, so the directory needs no sync. */
static void held_remove(struct io_job *job)
{
	struct held *held = container_of(job, struct held, job);
	struct journal *journal = held->journal;
	char name[JOURNAL_NAME_BYTES];
	bool gone;

	if (held->blob) {
		blob_path(held->number, name);
		gone = unlinkat(journal->blobs_fd, name, 0) == 0;
	} else {
		segment_name(held->number * journal->segment_bytes, "", name);
		gone = unlinkat(journal->segments_fd, name, 0) == 0;
	}
	pthread_mutex_lock(&journal->held_mutex);
	held_close(held);
	pthread_mutex_unlock(&journal->held_mutex);
	if (held->blob && gone) {
		atomic_fetch_sub(&journal->blob_count, 1);
		atomic_fetch_sub(&journal->blob_bytes, held->size_bytes);
	}
	mem_free(held);
}

void held_unref(struct held *held)
{
	struct journal *journal = held->journal;
	const char *mapped = NULL;
	bool last, doomed;

	pthread_mutex_lock(&journal->held_mutex);
	ENSURE(held->refs > 0);
	held->refs--;
	last = held->refs == 0;
	doomed = held->doomed;
	if (last && !doomed)
		held_close(held);
	else if (held->refs == 1 && !doomed)
		mapped = held_rest(held);
	pthread_mutex_unlock(&journal->held_mutex);
	mapped_free(mapped, journal->segment_bytes);
	if (!last)
		return;
	if (!doomed) {
		mem_free(held);
		return;
	}
	held->job.run = held_remove;
	io_post(&journal->io, &held->job);
}

void held_doom(struct held *held)
{
	pthread_mutex_lock(&held->journal->held_mutex);
	held->doomed = true;
	pthread_mutex_unlock(&held->journal->held_mutex);
	held_unref(held);
}

int held_fd(struct held *held)
{
	struct journal *journal = held->journal;
	char name[JOURNAL_NAME_BYTES];
	int fd;

	pthread_mutex_lock(&journal->held_mutex);
	if (held->fd < 0) {
		if (held->blob) {
			blob_path(held->number, name);
			held->fd = openat(journal->blobs_fd, name, O_RDONLY | O_CLOEXEC);
		} else {
			segment_name(held->number * journal->segment_bytes, "", name);
			held->fd = openat(journal->segments_fd, name, O_RDWR | O_CLOEXEC);
			if (held->fd >= 0)
				journal->open_count++;
		}
	}
	fd = held->fd < 0 ? -errno : held->fd;
	pthread_mutex_unlock(&journal->held_mutex);
	return fd;
}

void held_settle(struct held *held)
{
	const char *mapped = NULL;

	pthread_mutex_lock(&held->journal->held_mutex);
	held->keep_open = false;
	if (held->refs == 1)
		mapped = held_rest(held);
	pthread_mutex_unlock(&held->journal->held_mutex);
	mapped_free(mapped, held->journal->segment_bytes);
}

const char *held_map(struct held *held)
{
	int fd = held_fd(held);
	const char *mapped;

	if (fd < 0)
		return NULL;
	pthread_mutex_lock(&held->journal->held_mutex);
	if (!held->mapped)
		held->mapped = mapped_new(fd, held->journal->segment_bytes);
	held_wake(held);
	mapped = held->mapped;
	pthread_mutex_unlock(&held->journal->held_mutex);
	return mapped;
}

/* --- the table --- */

struct segment *segment_new(struct journal *journal, uint64_t number)
{
	struct segment *segment = mem_zalloc(sizeof(*segment));

	if (!segment)
		return NULL;
	held_init(&segment->held, journal, number);
	segment->held.size_bytes = journal->segment_bytes;
	return segment;
}

struct segment *segment_find(const struct journal *journal, uint64_t number)
{
	if (number < journal->table_first || number - journal->table_first >= journal->table_count)
		return NULL;
	return journal->table[number - journal->table_first];
}

int segment_table_reserve(struct journal *journal, uint64_t number)
{
	size_t need, cap = journal->table_cap ? journal->table_cap : 16;
	struct segment **table;

	if (journal->table_count == 0)
		journal->table_first = number;
	ENSURE(number >= journal->table_first);
	need = (size_t)(number - journal->table_first) + 1;
	if (need > SEGMENT_SPAN_MAX)
		return -ENOMEM;
	if (need <= journal->table_cap)
		return 0;
	while (cap < need)
		cap *= 2;
	table = mem_realloc(journal->table, cap * sizeof(*table));
	if (!table)
		return -ENOMEM;
	journal->table = table;
	journal->table_cap = cap;
	return 0;
}

void segment_table_put(struct journal *journal, struct segment *segment)
{
	size_t at = (size_t)(segment->held.number - journal->table_first);

	ENSURE(at < journal->table_cap);
	while (journal->table_count <= at)
		journal->table[journal->table_count++] = NULL;
	journal->table[at] = segment;
	journal->segment_count++;
}

void segment_table_drop(struct journal *journal, struct segment *segment)
{
	size_t gone = 0;

	journal->table[segment->held.number - journal->table_first] = NULL;
	journal->segment_count--;
	while (gone < journal->table_count && !journal->table[gone])
		gone++;
	if (gone == 0)
		return;
	memmove(journal->table, journal->table + gone, (journal->table_count - gone) * sizeof(*journal->table));
	journal->table_count -= gone;
	journal->table_first += gone;
}

/* --- files --- */

int segment_write_zeros(int fd, uint64_t from, uint64_t to)
{
	int r = 0;

	for (; r == 0 && from < to; from += JOURNAL_ZERO_BYTES)
		r = disk_write(fd, zeros, to - from < sizeof(zeros) ? (size_t)(to - from) : sizeof(zeros), from);
	return r;
}

/* Reserves the space; where the file system cannot, zeros do. */
static int segment_allocate(struct segment *segment)
{
	struct journal *journal = segment->held.journal;
	int fd = segment->held.fd;

	if (fallocate(fd, 0, 0, (off_t)journal->segment_bytes) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	segment->zeroed = journal->segment_bytes;
	return segment_write_zeros(fd, 0, journal->segment_bytes);
}

static int segment_write_header(struct segment *segment)
{
	struct journal *journal = segment->held.journal;
	char bytes[FILE_HEADER_BYTES];

	if (getrandom(&segment->salt, sizeof(segment->salt), 0) != sizeof(segment->salt))
		return errno ? -errno : -EIO;
	file_header_encode(&(struct file_header){.magic = FILE_SEGMENT,
						 .segment_bytes = journal->segment_bytes,
						 .position = segment_first(segment),
						 .salt = segment->salt,
						 .made_ms = journal_clock_ms()},
			   bytes);
	return disk_write(segment->held.fd, bytes, sizeof(bytes), 0);
}

int segment_make(struct journal *journal, uint64_t number, struct segment **ret_segment)
{
	struct segment *segment;
	char name[JOURNAL_NAME_BYTES];
	int r = faults_space(&journal->faults);

	if (r < 0)
		return r;
	segment = segment_new(journal, number);
	if (!segment)
		return -ENOMEM;
	segment_name(segment_first(segment), ".new", name);
	segment->held.fd = openat(journal->segments_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (segment->held.fd < 0) {
		r = -errno;
		mem_free(segment);
		return r;
	}
	pthread_mutex_lock(&journal->held_mutex);
	segment->held.keep_open = true;
	journal->open_count++;
	pthread_mutex_unlock(&journal->held_mutex);
	r = segment_allocate(segment);
	if (r == 0)
		r = segment_write_header(segment);
	if (r < 0) {
		segment_discard(segment);
		return r;
	}
	segment->claimed = FILE_HEADER_BYTES;
	*ret_segment = segment;
	return 0;
}

void segment_discard(struct segment *segment)
{
	char name[JOURNAL_NAME_BYTES];

	segment_name(segment_first(segment), atomic_load(&segment->published) ? "" : ".new", name);
	unlinkat(segment->held.journal->segments_fd, name, 0);
	held_unref(&segment->held);
}

int segment_publish(struct segment *segment)
{
	struct journal *journal = segment->held.journal;
	char from[JOURNAL_NAME_BYTES], to[JOURNAL_NAME_BYTES];
	int r = 0;

	if (atomic_load_explicit(&segment->published, memory_order_acquire))
		return 0;
	segment_name(segment_first(segment), ".new", from);
	segment_name(segment_first(segment), "", to);
	pthread_mutex_lock(&journal->publish_mutex);
	if (!atomic_load(&segment->published)) {
		if (fdatasync(segment->held.fd) < 0 || renameat(journal->segments_fd, from, journal->segments_fd, to) < 0 ||
		    fsync(journal->segments_fd) < 0)
			r = -errno;
		else
			atomic_store_explicit(&segment->published, true, memory_order_release);
	}
	pthread_mutex_unlock(&journal->publish_mutex);
	return r;
}

/* --- zeroing ---
 *
 * An allocated but never written block costs the file system a change of its own records at the first sync after it was
 * written; one that was written before does not (90 µs against 212 µs a 4 KiB sync, ext4). So zeros go ahead of the writer. */

bool segment_zero(struct segment *segment)
{
	struct journal *journal = segment->held.journal;
	uint64_t from, to;
	int r;

	pthread_mutex_lock(&journal->zero_mutex);
	from = segment->zeroed > segment->claimed ? segment->zeroed : segment->claimed;
	from = (from + 4095) & ~(uint64_t)4095;
	to = from + JOURNAL_ZERO_BYTES;
	if (to > journal->segment_bytes)
		to = journal->segment_bytes;
	if (from >= to || atomic_load(&journal->closing)) {
		pthread_mutex_unlock(&journal->zero_mutex);
		return false;
	}
	segment->busy_from = from;
	segment->busy_to = to;
	pthread_mutex_unlock(&journal->zero_mutex);

	r = segment_write_zeros(segment->held.fd, from, to);
	if (r == 0 && fdatasync(segment->held.fd) < 0)
		r = -errno;
	if (r < 0)
		journal_fail(journal, r);

	pthread_mutex_lock(&journal->zero_mutex);
	segment->zeroed = to;
	segment->busy_from = segment->busy_to = 0;
	pthread_cond_broadcast(&journal->zero_done);
	pthread_mutex_unlock(&journal->zero_mutex);
	return r == 0 && to < journal->segment_bytes;
}

static void segment_zero_run(struct io_job *job)
{
	struct segment *segment = container_of(job, struct segment, zero_job);

	/* Posted again rather than looped, so that what came meanwhile has its turn. */
	if (prepare_publish(segment) && segment_zero(segment))
		io_post(&segment->held.journal->io, job);
	else
		held_unref(&segment->held);
}

void segment_zero_post(struct segment *segment)
{
	held_ref(&segment->held);
	segment->zero_job.run = segment_zero_run;
	io_post(&segment->held.journal->io, &segment->zero_job);
}

void segment_claim(struct segment *segment, uint64_t from, uint64_t to)
{
	struct journal *journal = segment->held.journal;

	pthread_mutex_lock(&journal->zero_mutex);
	while (segment->busy_to > from && segment->busy_from < to)
		pthread_cond_wait(&journal->zero_done, &journal->zero_mutex);
	if (to > segment->claimed)
		segment->claimed = to;
	pthread_mutex_unlock(&journal->zero_mutex);
}
