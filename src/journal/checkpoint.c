/* Checkpoints: the state as entries in a file of its own, beside the journal. It is written as checkpoint.new on the io thread,
 * in pieces, while the world goes on; synced; and takes the name `checkpoint` once everything it may rest on is synced, too.
 * From then on segments wholly before its start position are not replayed any more. */
#include "journal/journal_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"
#include "journal/disk.h"
#include "journal/window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHECKPOINT_RETRY_MS = 10000, CHECKPOINT_CLOSE_FIELDS = 16, CHECKPOINT_MIN_BYTES = 64 << 20, CHECKPOINT_SEGMENTS = 8 };

static const char checkpoint_name[] = "checkpoint", checkpoint_new_name[] = "checkpoint.new";

enum checkpoint_phase {
	PHASE_FILLING, /* S adds */
	PHASE_WRITING, /* all added; the io thread writes and syncs */
	PHASE_WRITTEN, /* waits for `end` to be synced */
	PHASE_NAMING,  /* the io thread renames */
	PHASE_NAMED,
};

struct checkpoint {
	struct io_job begin_job;
	struct io_job job; /* finish, name, close: one at a time */
	struct journal *journal;
	_Atomic enum checkpoint_phase phase;
	_Atomic int error; /* 0, STORE_NO_SPACE or -errno */
	int fd;            /* io thread's */
	uint64_t salt;
	uint64_t start;
	uint64_t end;
	uint64_t count;
	uint64_t size; /* bytes added, header included */
	struct piece_out *piece;
};

/* Bytes on their way to the file. */
struct piece_out {
	struct io_job job;
	struct checkpoint *checkpoint;
	uint64_t offset;
	struct buf bytes;
};

static int checkpoint_error(int r)
{
	return r == -ENOSPC || r == -EDQUOT ? STORE_NO_SPACE : r;
}

static void checkpoint_set_error(struct checkpoint *c, int r)
{
	int none = 0;

	atomic_compare_exchange_strong(&c->error, &none, checkpoint_error(r));
}

/* --- io thread --- */

static void begin_run(struct io_job *job)
{
	struct checkpoint *c = container_of(job, struct checkpoint, begin_job);
	char header[FILE_HEADER_BYTES];
	int r;

	if (atomic_load(&c->journal->full))
		prepare_spend_reserve(c->journal);
	c->fd = openat(c->journal->dir_fd, checkpoint_new_name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->fd < 0) {
		checkpoint_set_error(c, -errno);
		return;
	}
	file_header_encode(
		&(struct file_header){
			.magic = FILE_CHECKPOINT, .position = c->start, .salt = c->salt, .made_ms = journal_clock_ms()},
		header);
	r = disk_write(c->fd, header, sizeof(header), 0);
	if (r < 0)
		checkpoint_set_error(c, r);
}

static void piece_run(struct io_job *job)
{
	struct piece_out *piece = container_of(job, struct piece_out, job);
	struct checkpoint *c = piece->checkpoint;
	int r = faults_space(&c->journal->faults);

	if (r == 0 && atomic_load(&c->error) == 0)
		r = disk_write(c->fd, piece->bytes.ptr, piece->bytes.len, piece->offset);
	if (r < 0)
		checkpoint_set_error(c, r);
	buf_deinit(&piece->bytes);
	mem_free(piece);
}

static void finish_run(struct io_job *job)
{
	struct checkpoint *c = container_of(job, struct checkpoint, job);

	if (atomic_load(&c->error) == 0 && fdatasync(c->fd) < 0)
		checkpoint_set_error(c, -errno);
	atomic_store(&c->phase, PHASE_WRITTEN);
}

static void name_run(struct io_job *job)
{
	struct checkpoint *c = container_of(job, struct checkpoint, job);
	int dir_fd = c->journal->dir_fd;

	if (renameat(dir_fd, checkpoint_new_name, dir_fd, checkpoint_name) < 0 || fsync(dir_fd) < 0)
		checkpoint_set_error(c, -errno);
	atomic_store(&c->phase, PHASE_NAMED);
}

static void close_run(struct io_job *job)
{
	struct checkpoint *c = container_of(job, struct checkpoint, job);

	if (c->fd >= 0)
		close(c->fd);
	/* Not there any more when it has its name. */
	unlinkat(c->journal->dir_fd, checkpoint_new_name, 0);
	mem_free(c);
}

/* --- sequencer's thread --- */

bool journal_checkpoint_wanted(const struct journal *journal)
{
	uint64_t floor = CHECKPOINT_SEGMENTS * journal->segment_bytes, appended = journal->end - journal->checkpoint_from;

	if (journal->checkpoint || atomic_load(&journal->failed) || journal->turn_ms < journal->checkpoint_not_before_ms)
		return false;
	if (journal->checkpoint_forced)
		return true;
	if (floor > CHECKPOINT_MIN_BYTES)
		floor = CHECKPOINT_MIN_BYTES;
	/* A full disk is what a checkpoint may help against. */
	if (atomic_load(&journal->full))
		return appended > journal->segment_bytes / 8;
	return appended > floor && appended > 2 * journal->checkpoint_bytes;
}

int journal_checkpoint_begin(struct journal *journal)
{
	struct checkpoint *c;

	ENSURE(!journal->checkpoint);
	c = mem_zalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->journal = journal;
	c->fd = -1;
	c->start = journal->end;
	c->size = FILE_HEADER_BYTES;
	if (getrandom(&c->salt, sizeof(c->salt), 0) != sizeof(c->salt)) {
		mem_free(c);
		return -EIO;
	}
	c->begin_job.run = begin_run;
	io_post(&journal->io, &c->begin_job);
	journal->checkpoint = c;
	return 0;
}

static void checkpoint_flush(struct checkpoint *c)
{
	if (!c->piece)
		return;
	io_post(&c->journal->io, &c->piece->job);
	c->piece = NULL;
}

static int checkpoint_put(struct checkpoint *c, const struct entry *entry)
{
	size_t total = entry_aligned(ENTRY_HEADER_BYTES + entry->fields.len);
	char *at;

	if (!c->piece) {
		c->piece = mem_zalloc(sizeof(*c->piece));
		if (!c->piece)
			return -ENOMEM;
		c->piece->job.run = piece_run;
		c->piece->checkpoint = c;
		c->piece->offset = c->size;
		buf_reserve(&c->piece->bytes, CHECKPOINT_PIECE_BYTES);
	}
	at = buf_reserve(&c->piece->bytes, total);
	if (!at)
		return -ENOMEM;
	entry_encode(entry, at);
	entry_seal(at, c->salt, c->size, 0);
	c->piece->bytes.len += total;
	c->size += total;
	/* Short of a whole piece, so that the last entry seldom makes it grow. */
	if (c->piece->bytes.len > CHECKPOINT_PIECE_BYTES - CHECKPOINT_PIECE_BYTES / 8)
		checkpoint_flush(c);
	return 0;
}

int journal_checkpoint_add(struct journal *journal, uint8_t type, struct slice fields)
{
	struct checkpoint *c = journal->checkpoint;
	struct entry entry = {.type = type, .fields = fields};
	int r;

	ENSURE(c && atomic_load(&c->phase) == PHASE_FILLING && type != 0);
	r = atomic_load(&c->error);
	if (r == 0)
		r = fields.len > ENTRY_FIELDS_MAX ? -EMSGSIZE : checkpoint_put(c, &entry);
	if (r != 0) {
		journal_checkpoint_abort(journal);
		return r;
	}
	c->count++;
	return 0;
}

int journal_checkpoint_end(struct journal *journal)
{
	struct checkpoint *c = journal->checkpoint;
	char fields[CHECKPOINT_CLOSE_FIELDS];
	struct entry entry = {.flags = ENTRY_CLOSE, .fields = {fields, sizeof(fields)}};
	int r;

	ENSURE(c && atomic_load(&c->phase) == PHASE_FILLING);
	c->end = journal->end;
	wire_store_u64(fields, c->count);
	wire_store_u64(fields + 8, c->end);
	r = atomic_load(&c->error);
	if (r == 0)
		r = checkpoint_put(c, &entry);
	if (r != 0) {
		journal_checkpoint_abort(journal);
		return r;
	}
	checkpoint_flush(c);
	atomic_store(&c->phase, PHASE_WRITING);
	c->job.run = finish_run;
	io_post(&journal->io, &c->job);
	return 0;
}

/* The queue of the io thread keeps the order: pieces still on their way are written, or passed over, before. */
static void checkpoint_close(struct journal *journal)
{
	struct checkpoint *c = journal->checkpoint;

	if (c->piece) {
		buf_deinit(&c->piece->bytes);
		c->piece = mem_free(c->piece);
	}
	journal->checkpoint = NULL;
	c->job.run = close_run;
	io_post(&journal->io, &c->job);
}

void journal_checkpoint_abort(struct journal *journal)
{
	struct checkpoint *c = journal->checkpoint;

	if (!c || atomic_load(&c->phase) != PHASE_FILLING)
		return;
	checkpoint_set_error(c, -ECANCELED);
	journal->checkpoint_not_before_ms = journal->turn_ms + CHECKPOINT_RETRY_MS;
	checkpoint_close(journal);
}

bool checkpoint_waits(const struct journal *journal)
{
	return journal->checkpoint && atomic_load(&journal->checkpoint->phase) != PHASE_FILLING;
}

void checkpoint_turn(struct journal *journal)
{
	struct checkpoint *c = journal->checkpoint;
	enum checkpoint_phase phase;
	int error;

	if (!c)
		return;
	phase = atomic_load(&c->phase);
	if (phase != PHASE_WRITTEN && phase != PHASE_NAMED)
		return;
	error = atomic_load(&c->error);
	if (error) {
		journal_say(journal, "checkpoint failed: %s; it will be tried again",
			    error == STORE_NO_SPACE ? "no space" : strerror(-error));
		journal->checkpoint_not_before_ms = journal->turn_ms + CHECKPOINT_RETRY_MS;
		checkpoint_close(journal);
	} else if (phase == PHASE_WRITTEN) {
		if (atomic_load(&journal->synced) < c->end)
			return;
		atomic_store(&c->phase, PHASE_NAMING);
		c->job.run = name_run;
		io_post(&journal->io, &c->job);
	} else {
		journal->checkpoint_start = journal->checkpoint_from = c->start;
		journal->checkpoint_bytes = c->size;
		journal->checkpoint_forced = false;
		journal->reap_at = 0;
		tidy_again(journal);
		checkpoint_close(journal);
	}
}

void checkpoint_drop(struct journal *journal)
{
	struct checkpoint *c = journal->checkpoint;

	if (!c)
		return;
	if (c->piece) {
		buf_deinit(&c->piece->bytes);
		mem_free(c->piece);
	}
	journal->checkpoint = NULL;
	close_run(&c->job);
}

/* --- reading --- */

static int checkpoint_open(struct journal *journal, struct window *window, struct file_header *ret_header)
{
	int fd = openat(journal->dir_fd, checkpoint_name, O_RDONLY | O_CLOEXEC), r;
	struct slice bytes;

	if (fd < 0)
		return errno == ENOENT ? CHECKPOINT_NONE : -errno;
	r = window_open(window, fd);
	if (r == 0)
		r = window_get(window, 0, FILE_HEADER_BYTES, &bytes);
	if (r == 0) {
		r = file_header_decode(bytes, FILE_CHECKPOINT, ret_header);
		if (r)
			r = r == FILE_HEADER_VERSION ? JOURNAL_VERSION : JOURNAL_CORRUPT;
	}
	if (r != 0)
		close(fd);
	return r;
}

/* Walks the entries up to the closing one, which is handed out, too. 0, JOURNAL_CORRUPT, -errno, or what `each` returned. */
static int checkpoint_walk(struct window *window, uint64_t salt, int (*each)(void *ctx, const struct entry *entry), void *ctx,
			   uint64_t *ret_end)
{
	uint64_t offset = FILE_HEADER_BYTES;

	for (;;) {
		struct entry entry;
		int r = window_entry(window, salt, 0, offset, &entry);

		if (r < 0)
			return r;
		if (r != (int)ENTRY_VALID)
			return JOURNAL_CORRUPT;
		r = each(ctx, &entry);
		if (r != 0)
			return r;
		offset += entry_aligned(entry.length);
		if (entry.flags & ENTRY_CLOSE)
			break;
	}
	*ret_end = offset;
	return 0;
}

struct checkpoint_count {
	uint64_t count;
	uint64_t claimed;
	uint64_t end;
};

static int count_entry(void *ctx, const struct entry *entry)
{
	struct checkpoint_count *count = ctx;

	if (!(entry->flags & ENTRY_CLOSE)) {
		count->count++;
		return 0;
	}
	if (entry->fields.len != CHECKPOINT_CLOSE_FIELDS)
		return JOURNAL_CORRUPT;
	count->claimed = wire_load_u64(entry->fields.ptr);
	count->end = wire_load_u64(entry->fields.ptr + 8);
	return 0;
}

/* Of an entry, or of where the next one goes: recovery goes on there, and entries that stand elsewhere are not found again. */
static bool is_position(uint64_t position)
{
	return position % ENTRY_ALIGN_BYTES == 0 && position <= INT64_MAX;
}

int checkpoint_check(struct journal *journal, struct checkpoint_found *ret_found)
{
	struct window window = {.fd = -1};
	struct checkpoint_count count = {0};
	struct file_header header;
	uint64_t end = 0;
	int r = checkpoint_open(journal, &window, &header);

	if (r != 0)
		goto out;
	r = checkpoint_walk(&window, header.salt, count_entry, &count, &end);
	if (r == 0 && (count.count != count.claimed || end != window.size || header.position > count.end ||
		       !is_position(header.position) || !is_position(count.end)))
		r = JOURNAL_CORRUPT;
	if (r == 0)
		*ret_found = (struct checkpoint_found){.start = header.position, .end = count.end, .bytes = window.size};
	close(window.fd);
out:
	window_deinit(&window);
	return r;
}

static int replay_entry(void *ctx, const struct entry *entry)
{
	const struct journal_replay *replay = ctx;
	struct store_replay out = {
		.time_ms = entry->time_ms, .fields = entry->fields, .type = entry->type, .shard = entry->shard};

	return entry->flags & ENTRY_CLOSE ? 0 : replay->entry(replay->ctx, &out);
}

int checkpoint_load(struct journal *journal, const struct journal_replay *replay)
{
	struct window window = {.fd = -1};
	struct journal_replay copy = *replay;
	struct file_header header;
	uint64_t end;
	int r = checkpoint_open(journal, &window, &header);

	if (r != 0)
		goto out;
	r = checkpoint_walk(&window, header.salt, replay_entry, &copy, &end);
	close(window.fd);
out:
	window_deinit(&window);
	return r;
}
