/* Recovery: the checkpoint, then the journal from its position on, entry by entry, until one is not valid.
 *
 * What stands there then is a torn tail (a batch that was being written when the machine stopped) or damage. It is damage iff
 *   - a valid entry behind it says that the disk was safe beyond it (entry.h: `durable`), or
 *   - the checkpoint rests on positions beyond it, or
 *   - a closing entry came before it, so that its segment had been there, and the segment is not.
 * A torn tail is cut: overwritten with zeros, durably, before anything is appended, so that no piece of it comes back behind
 * new entries. Damage refuses the start; with --salvage it is skipped up to the next valid entry, and what was lost is said.
 *
 * All of it that was found is synced before it is believed: it may be in the kernel's memory only. */
#include "journal/journal_priv.h"

#include "journal/window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { FIRST_ZERO_PIECES = 1 };

struct recovery {
	struct journal *journal;
	const struct journal_replay *replay;
	struct checkpoint_found checkpoint;
	struct window window;
	struct segment *segment; /* that the window is on; NULL: none */
	uint64_t position;
	uint64_t durable; /* the largest that an entry claimed */
	uint64_t entry_count;
	bool promised; /* the segment at `position` was promised by a closing entry */
};

static uint64_t segment_end(const struct segment *segment)
{
	return segment_first(segment) + segment->held.journal->segment_bytes;
}

static uint64_t last_number(const struct journal *journal)
{
	return journal->table_first + journal->table_count - 1;
}

static void window_leave(struct recovery *r)
{
	if (r->segment)
		held_settle(&r->segment->held);
	r->segment = NULL;
}

/* Puts the window on the segment that holds `position`. 0, 1 = there is no such segment, -errno. */
static int window_enter(struct recovery *r, uint64_t position)
{
	struct segment *segment = segment_find(r->journal, journal_number(r->journal, position));
	int fd, e;

	if (!segment)
		return 1;
	if (segment == r->segment)
		return 0;
	fd = held_fd(&segment->held);
	if (fd < 0)
		return fd;
	r->segment = segment;
	e = window_open(&r->window, fd);
	if (e == 0 && r->window.end > r->journal->segment_bytes)
		r->window.end = r->journal->segment_bytes; /* a file that has grown is not believed for that */
	return e;
}

/* In the window's segment, behind `offset`. 1 = an entry proves that `position` was safe, 0 = none does, -errno. */
static int recover_search_segment(struct recovery *r, uint64_t offset, uint64_t position, uint64_t *next)
{
	struct segment *segment = r->segment;
	struct window_range range = {.from = offset};
	int e = window_last_byte(&r->window, offset, &range.to);

	if (e < 0)
		return e;
	segment->written_to = range.to;
	for (;;) {
		struct entry entry;
		uint64_t at;

		e = window_search(&r->window, &range, segment->salt, segment_first(segment), &entry, &at);
		if (e != 0)
			return e < 0 ? e : 0;
		if (*next == UINT64_MAX)
			*next = segment_first(segment) + at;
		if (entry.durable > position)
			return 1;
		range.from = at + entry_aligned(entry.length);
	}
}

/* Looks behind `position` for a sign that the disk was safe beyond it. 1 = there is one, 0 = no, -errno. *ret_next: the first
 * valid entry behind it, or UINT64_MAX. */
static int recover_search(struct recovery *r, uint64_t position, uint64_t *ret_next)
{
	struct journal *journal = r->journal;
	uint64_t next = UINT64_MAX, number = journal_number(journal, position);

	for (; journal->table_count && number <= last_number(journal); number++) {
		uint64_t base = number * journal->segment_bytes;
		int e = window_enter(r, base);

		if (e < 0)
			return e;
		if (e > 0)
			continue;
		e = recover_search_segment(r, position > base ? position - base : FILE_HEADER_BYTES, position, &next);
		if (e != 0) {
			*ret_next = next;
			return e;
		}
	}
	*ret_next = next;
	return 0;
}

/* Nothing valid stands at r->position. 1 = go on (salvaged, r->position has moved), 0 = the tail is here, JOURNAL_CORRUPT or
 * -errno. */
static int recover_break(struct recovery *r)
{
	struct journal *journal = r->journal;
	uint64_t at = r->position, number = journal_number(journal, at), next = UINT64_MAX;
	char name[JOURNAL_NAME_BYTES];
	int proven = recover_search(r, at, &next);
	bool halfway = !segment_find(journal, number) && at % journal->segment_bytes > FILE_HEADER_BYTES;
	bool damage = proven > 0 || r->checkpoint.end > at || r->promised || halfway;

	if (proven < 0)
		return proven;
	if (!damage)
		return 0;
	segment_name(number * journal->segment_bytes, "", name);
	if (!journal->salvage) {
		if (next != UINT64_MAX)
			journal_say(journal,
				    "journal/%s: %s at offset %" PRIu64 ", position %" PRIu64
				    ": it was safe on the disk once, and valid entries follow at position %" PRIu64,
				    name, segment_find(journal, number) ? "corrupt" : "missing, expected an entry",
				    at % journal->segment_bytes, at, next);
		else
			journal_say(journal,
				    "journal/%s: %s at offset %" PRIu64 ", position %" PRIu64 ": it was safe on the disk once",
				    name, segment_find(journal, number) ? "corrupt" : "missing, expected an entry",
				    at % journal->segment_bytes, at);
		return JOURNAL_CORRUPT;
	}
	journal->checkpoint_forced = true;
	r->promised = false;
	if (next == UINT64_MAX) {
		/* Positions that something may still name are not used again. */
		r->position = at > r->checkpoint.end ? at : r->checkpoint.end;
		journal_say(journal, "salvage: positions from %" PRIu64 " on are lost", at);
		return 0;
	}
	journal_say(journal, "salvage: positions %" PRIu64 " to %" PRIu64 " are lost (%" PRIu64 " bytes)", at, next, next - at);
	r->position = next;
	return 1;
}

/* 0; 1 = a closing entry; -EBADMSG = the fields make no sense; or the replay's error. */
static int recover_replay(struct recovery *r, const struct entry *entry)
{
	struct store_replay out;

	if (entry->durable > r->durable)
		r->durable = entry->durable;
	if (entry->flags & ENTRY_CLOSE) {
		r->position = segment_end(r->segment);
		r->promised = true;
		return 0;
	}
	out = (struct store_replay){
		.position = r->position,
		.end = r->position + entry_aligned(entry->length),
		.body_place = r->position + ENTRY_HEADER_BYTES + entry->fields.len,
		.body_bytes = entry->body.len,
		.body_crc = entry->body_crc,
		.time_ms = entry->time_ms,
		.fields = entry->fields,
		.type = entry->type,
		.shard = entry->shard,
	};
	r->entry_count++;
	r->position = out.end;
	r->promised = false;
	return r->replay->entry(r->replay->ctx, &out);
}

static int recover_bad_fields(struct recovery *r, uint64_t at, uint8_t type)
{
	struct journal *journal = r->journal;

	if (!journal->salvage) {
		journal_say(journal, "position %" PRIu64 ": an entry of type %u with fields that make no sense", at, type);
		return JOURNAL_CORRUPT;
	}
	journal_say(journal, "salvage: the entry of type %u at position %" PRIu64 " is lost: its fields make no sense", type, at);
	journal->checkpoint_forced = true;
	return 0;
}

/* From r->position to the tail. 0, JOURNAL_CORRUPT, -errno, or the replay's error. */
static int recover_scan(struct recovery *r)
{
	struct journal *journal = r->journal;

	for (;;) {
		struct entry entry;
		uint64_t at, base;
		int e;

		at = r->position = journal_place(journal, r->position);
		base = journal_number(journal, at) * journal->segment_bytes;
		if (r->segment && segment_first(r->segment) != base)
			window_leave(r);
		e = window_enter(r, at);
		if (e < 0)
			return e;
		if (e == 0) {
			r->promised = false; /* kept */
			e = window_entry(&r->window, r->segment->salt, base, at - base, &entry);
			if (e < 0)
				return e;
		} else {
			e = ENTRY_NONE;
		}
		if (e == (int)ENTRY_VALID) {
			e = recover_replay(r, &entry);
			if (e == -EBADMSG)
				e = recover_bad_fields(r, at, entry.type);
			if (e != 0)
				return e;
			continue;
		}
		e = recover_break(r);
		window_leave(r);
		if (e != 1)
			return e;
	}
}

/* Where replay begins. A checkpoint that is not sound can be done without while the journal reaches back to its beginning. */
static int recover_checkpoint(struct recovery *r)
{
	struct journal *journal = r->journal;
	bool whole = journal->table_count == 0 || journal->table_first == 0;
	int e = checkpoint_check(journal, &r->checkpoint);

	if (e == CHECKPOINT_NONE || e == JOURNAL_CORRUPT) {
		r->checkpoint = (struct checkpoint_found){0};
		r->position = 0;
		if (e == JOURNAL_CORRUPT && journal->table_count == 0)
			whole = false;
		if (whole && e == JOURNAL_CORRUPT)
			journal_say(journal,
				    "the checkpoint is corrupt; the journal is whole and is replayed from its beginning");
		if (whole)
			return 0;
		journal_say(journal, "%sthe checkpoint is %s, and the journal begins at position %" PRIu64,
			    journal->salvage ? "salvage: " : "", e == CHECKPOINT_NONE ? "missing" : "corrupt",
			    journal->table_first * journal->segment_bytes);
		if (!journal->salvage)
			return JOURNAL_CORRUPT;
		r->position = journal->table_first * journal->segment_bytes;
		journal->checkpoint_forced = true;
		return 0;
	}
	if (e != 0)
		return e;
	r->position = r->checkpoint.start;
	journal->checkpoint_start = journal->checkpoint_from = r->checkpoint.start;
	journal->checkpoint_bytes = r->checkpoint.bytes;
	e = checkpoint_load(journal, r->replay);
	if (e == -EBADMSG) {
		journal_say(journal, "the checkpoint has an entry with fields that make no sense");
		e = JOURNAL_CORRUPT;
	}
	return e;
}

/* Segments behind the tail's: an empty one that follows at once becomes `next`; the others hold nothing that counts. */
static int recover_leftovers(struct recovery *r, uint64_t tail_number)
{
	struct journal *journal = r->journal;

	while (journal->table_count && last_number(journal) > tail_number) {
		struct segment *segment = segment_find(journal, last_number(journal));
		int e = window_enter(r, segment_first(segment));

		if (e < 0)
			return e;
		r->segment = NULL;
		journal->table_count--;
		journal->segment_count--;
		while (journal->table_count && !journal->table[journal->table_count - 1])
			journal->table_count--;
		if (segment->held.number == tail_number + 1 && segment->written_to == FILE_HEADER_BYTES &&
		    r->window.size == journal->segment_bytes) {
			segment->held.keep_open = true;
			segment->claimed = FILE_HEADER_BYTES;
			atomic_store(&journal->next, segment);
		} else {
			segment_discard(segment);
		}
	}
	return fsync(journal->segments_fd) < 0 ? -errno : 0;
}

/* Makes the tail durable, clean and as long as a segment. */
static int recover_cut(struct recovery *r, struct segment *tail, uint64_t offset)
{
	struct journal *journal = r->journal;
	uint64_t end = tail->written_to;
	off_t hole;
	int e = window_enter(r, segment_first(tail)), fd;

	if (e < 0)
		return e;
	fd = tail->held.fd;
	tail->held.keep_open = true;
	r->segment = NULL;
	if (r->window.size != journal->segment_bytes) {
		if (ftruncate(fd, (off_t)journal->segment_bytes) < 0)
			return -errno;
		/* Without the space, which may be lacking, the commit that needs it will fail. */
		(void)fallocate(fd, 0, 0, (off_t)journal->segment_bytes);
	}
	if (end > offset) {
		e = segment_write_zeros(fd, offset, end);
		if (e < 0)
			return e;
		journal_say(journal, "cut a torn tail: %" PRIu64 " bytes at position %" PRIu64 " that were never acknowledged",
			    end - offset, segment_first(tail) + offset);
	}
	if (fdatasync(fd) < 0)
		return -errno;
	hole = lseek(fd, 0, SEEK_HOLE);
	tail->zeroed = hole < 0 ? journal->segment_bytes : (uint64_t)hole;
	tail->claimed = offset;
	return 0;
}

/* Segments before the tail's that may hold bytes the disk does not have yet. */
static int recover_sync(struct recovery *r, uint64_t tail_number)
{
	struct journal *journal = r->journal;
	uint64_t number = journal_number(journal, r->durable > r->checkpoint.end ? r->durable : r->checkpoint.end);

	for (; number < tail_number; number++) {
		struct segment *segment = segment_find(journal, number);
		int fd;

		if (!segment)
			continue;
		fd = held_fd(&segment->held);
		if (fd < 0)
			return fd;
		if (fdatasync(fd) < 0)
			return -errno;
		held_settle(&segment->held);
	}
	return 0;
}

/* The segment that the next entry goes into, when there is none. */
static int recover_make(struct journal *journal, uint64_t number, struct segment **ret_segment)
{
	struct segment *segment;
	int e = segment_table_reserve(journal, number);

	if (e == 0)
		e = segment_make(journal, number, &segment);
	if (e < 0)
		return e;
	for (int i = 0; i < FIRST_ZERO_PIECES; i++)
		(void)segment_zero(segment);
	e = segment_publish(segment);
	if (e < 0) {
		segment_discard(segment);
		return e;
	}
	segment_table_put(journal, segment);
	*ret_segment = segment;
	return 0;
}

static int recover_tail(struct recovery *r)
{
	struct journal *journal = r->journal;
	uint64_t position = journal_place(journal, r->position), number = journal_number(journal, position);
	struct segment *tail, *next;
	int e = recover_sync(r, number);

	if (e == 0)
		e = recover_leftovers(r, number);
	if (e < 0)
		return e;
	tail = segment_find(journal, number);
	if (tail)
		e = recover_cut(r, tail, position % journal->segment_bytes);
	else
		e = recover_make(journal, number, &tail);
	if (e < 0)
		return e;
	journal->active = tail;
	journal->end = journal->durable = position;
	atomic_store(&journal->synced, position);
	journal->settled = journal->table_first;
	next = atomic_load(&journal->next);
	journal->made_number = next ? number + 1 : number;
	if (next) {
		off_t hole = lseek(next->held.fd, 0, SEEK_HOLE);

		next->zeroed = hole < 0 ? journal->segment_bytes : (uint64_t)hole;
	}
	return 0;
}

static int recover_start(struct journal *journal)
{
	struct segment *next = atomic_load(&journal->next);
	int e = io_start(&journal->io, "journal-io");

	if (e == 0)
		e = io_start(&journal->sealer, "journal-seal");
	if (e < 0)
		return e;
	segment_zero_post(journal->active);
	if (next)
		segment_zero_post(next);
	prepare_post(journal);
	journal->recovered = true;
	journal->reap_at = 0;
	live_reap(journal);
	return 0;
}

int journal_recover(struct journal *journal, const struct journal_replay *replay)
{
	struct recovery r = {.journal = journal, .replay = replay, .window = {.fd = -1}};
	int e;

	unlinkat(journal->dir_fd, "checkpoint.new", 0);
	e = segments_load(journal);
	if (e == 0)
		e = recover_checkpoint(&r);
	if (e == 0)
		e = recover_scan(&r);
	if (e == 0)
		e = recover_tail(&r);
	if (e == 0)
		e = blobs_recover(journal);
	if (e == 0)
		e = recover_start(journal);
	window_deinit(&r.window);
	return e;
}
