/* The journal: everything that happened, in order, in segments on a disk; and the blobs beside it. The only folder that
 * touches files. The format is written down in doc/journal-format.md and at the head of entry.h.
 *
 * A turn of the sequencer's thread appends entries (memory only), then commits: one write and one fdatasync for all of them.
 *
 *     store->ops->append(…)  …                         sequencer's thread
 *     if (journal_commit_begin(j)) {                    sequencer's thread: what was appended so far becomes a batch
 *             journal_commit_run(j);                    any one thread: blocks on the disk
 *             journal_commit_end(j);                    sequencer's thread: the durable position moves
 *     }
 *
 * While a batch runs, appends go on into the next one. A failed fdatasync is final: commit_end says -EIO, as does every append
 * after it; the process must stop (DESIGN: no retry after a failed sync). */
#pragma once

#include "sequencer/store.h"

struct journal;

enum journal_sync {
	JOURNAL_SYNC_ALWAYS = 0,   /* durable = on the disk */
	JOURNAL_SYNC_INTERVAL = 1, /* durable = written; the disk is synced every interval */
	JOURNAL_SYNC_OS = 2,       /* durable = written; the disk is synced when the kernel likes */
};

struct journal_config {
	const char *dir; /* made when missing; its parent must exist */
	enum journal_sync sync;
	uint64_t sync_interval_ms;
	uint64_t segment_bytes; /* 2 MiB … 1 GiB, a multiple of 4096; fixed when the directory is made: later ones are told, not
				   used */
	bool salvage;           /* go on behind corruption and say what was lost */
	const char *faults;     /* fault injection for tests (doc/testing.md), or NULL */
	/* What happened, for the operator: recovery's cut tail, what salvage lost, … One line without a newline. */
	void (*diag)(void *ctx, const char *line);
	void *diag_ctx;
};

enum journal_open_error {
	JOURNAL_LOCKED = 1,  /* another process has the directory */
	JOURNAL_CORRUPT = 2, /* a bad entry with valid ones behind it, a bad checkpoint or header; diag said where */
	JOURNAL_VERSION = 3, /* made by a later version */
};

/* Locks the directory (made if need be). 0, JOURNAL_LOCKED, JOURNAL_VERSION or -errno. */
int journal_open(const struct journal_config *config, struct journal **ret_journal) MUST_USE;

struct store *journal_store(struct journal *journal);

/* Once, before the first append: loads the newest valid checkpoint and calls `replay` for each of its entries (position and end
 * = 0 for these), then for every journal entry from the checkpoint's position on. `replay` retains and releases bodies as the
 * state says; it returns 0 or an error that ends the recovery and is returned (-EBADMSG when fields do not decode, which counts
 * as corruption). Entries after the checkpoint's position may already be in the checkpoint, which is
 * taken while the world goes on; the state tells by the position that each record carries. Blobs that nobody retained are removed
 * at the end. 0, JOURNAL_CORRUPT, JOURNAL_VERSION or -errno. */
struct journal_replay {
	void *ctx;
	int (*entry)(void *ctx, const struct store_replay *entry);
};
int journal_recover(struct journal *journal, const struct journal_replay *replay) MUST_USE;

/* Commits nothing, but syncs what was written. Every pin and every blob must have been given back. NULL is fine. */
void journal_close(struct journal *journal);

/* true when there is something to commit and no commit under way. */
bool journal_commit_begin(struct journal *journal) MUST_USE;
void journal_commit_run(struct journal *journal);
int journal_commit_end(struct journal *journal) MUST_USE; /* 0, STORE_NO_SPACE is impossible here, -EIO */

/* Position behind the last appended entry, and how long the last commits took (write and sync, smoothed), for the choice between
 * committing in place and on a thread of its own. */
uint64_t journal_end_position(const struct journal *journal);
uint64_t journal_sync_ns(const struct journal *journal);

/* Sequencer's thread, once a turn: hands out prepared segments, finishes deletions, closes a finished checkpoint. Cheap. Does
 * the interval's sync request, too. Returns the monotonic ms at which it wants to be called again, UINT64_MAX for never. */
uint64_t journal_turn(struct journal *journal, uint64_t now_ms);

/* --- checkpoint: the state, written as snapshot events beside the journal while the world goes on --- */

/* true when enough was appended since the last one and none is under way. */
bool journal_checkpoint_wanted(const struct journal *journal);
int journal_checkpoint_begin(
	struct journal *journal) MUST_USE; /* remembers the end position as the start of replay; 0 or -errno */
/* Adds one snapshot event (memory, handed to the io thread in pieces). 0, STORE_NO_SPACE or -errno: then it is abandoned. */
int journal_checkpoint_add(struct journal *journal, uint8_t type, struct slice fields) MUST_USE;
/* Everything was added: it becomes valid once durable >= the present end position, and its file is synced and renamed. */
int journal_checkpoint_end(struct journal *journal) MUST_USE;
void journal_checkpoint_abort(struct journal *journal);

/* --- tidier: segments in which little lives --- */

/* The position of the mostly dead segment that is best worth emptying, before the last checkpoint's position; false when there
 * is none. Names each segment at most once between two checkpoints, so a walk that achieves nothing is not repeated at once. */
bool journal_victim(struct journal *journal, uint64_t *ret_position);

/* Walks the entries of a sealed segment from *position on (which moves), at most `limit_bytes` of them a call. 1 = more to
 * come, 0 = the end, -EIO. */
int journal_walk(struct journal *journal, uint64_t *position, size_t limit_bytes,
		 void (*each)(void *ctx, const struct store_replay *entry), void *ctx) MUST_USE;

struct journal_stats {
	uint64_t durable_position;
	uint64_t end_position;
	uint64_t segment_count;
	uint64_t disk_bytes; /* segments, blobs and checkpoint */
	uint64_t blob_count;
	uint64_t commit_count;
	uint64_t commit_bytes;
	uint64_t sync_count;
	uint64_t sync_ns_total;
	bool full; /* the disk has no room for another segment: submits are refused */
	bool failed;
};

/* Sequencer's thread. */
void journal_stats(const struct journal *journal, struct journal_stats *ret_stats);
