/* What the files of the journal share.
 *
 * Three kinds of threads: the sequencer's (S), whichever runs commits (C; one at a time, possibly S), and two of the journal's
 * own, `io` and `sealer` (W). Each member says who may touch it; what several touch is atomic or under the mutex that is named.
 *
 * Invariants:
 *  1. nothing is written to a segment before the segment has its name in the directory, durably;
 *  2. `synced` never passes what an fdatasync has returned for, and entries carry it as their `durable`: an entry found on the
 *     disk proves that everything before its `durable` was there, so damage before that is damage and not a torn tail;
 *  3. a file is removed only when nothing in it lives, the release of the last thing in it is synced, a durable checkpoint has
 *     made replaying it unnecessary (segments), and the last pin is gone;
 *  4. once `failed`, nothing is appended, and `durable` never moves again. */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "journal/entry.h"
#include "journal/fault.h"
#include "journal/io.h"
#include "journal/journal.h"

enum {
	JOURNAL_ZERO_BYTES = 1 << 20, /* zero-written at a time */
	JOURNAL_OPEN_MAX = 128,       /* descriptors of sealed segments that are kept open without a pin */
	JOURNAL_NAME_BYTES = 40,
	CHECKPOINT_PIECE_BYTES = 256 * 1024,
};

#define JOURNAL_MAPPED_MAX  ((uint64_t)512 << 20)
#define JOURNAL_SEGMENT_MIN ((uint64_t)2 << 20)
_Static_assert((2 << 20) - FILE_HEADER_BYTES - ENTRY_HEADER_BYTES - ENTRY_FIELDS_MAX - ENTRY_ALIGN_BYTES >= (int)STORE_BODY_MAX,
	       "the shortest segment takes what any store promises to take");
#define JOURNAL_SEGMENT_MAX ((uint64_t)1 << 30)

/* A file with bodies in it (a segment, a blob), counted by those who need it. */
struct held {
	struct io_job job; /* its removal */
	struct journal *journal;
	uint64_t number;
	uint64_t size_bytes;
	/* Under held_mutex: */
	uint32_t refs;       /* the journal's own, pins, and jobs under way */
	int fd;              /* -1: closed */
	const char *mapped;  /* all of it, for reading, as long as it is open; NULL: not */
	struct list resting; /* in the journal's: mapped, and nobody needs it */
	bool keep_open;      /* being written */
	bool doomed;         /* removed when the last reference goes */
	bool blob;
};

struct segment {
	struct held held; /* first */
	uint64_t salt;
	/* S: bodies in it that live, and the position that must be synced before it may go. */
	uint64_t live_bytes;
	uint64_t live_count;
	uint64_t free_after;
	uint64_t written_to;   /* recovery: behind the last byte that is not zero, from where it stopped on */
	bool walked;           /* the tidier went through it since the last checkpoint */
	atomic_bool published; /* has its name */
	/* Under zero_mutex, offsets: zero-written (or being so) below zeroed; [busy_from, busy_to) is being so now; the writer
	 * has written, or is about to, below claimed. */
	uint64_t zeroed, busy_from, busy_to, claimed;
	struct io_job zero_job;
};

struct blob_record {
	struct held held; /* first */
	struct hash_node node;
	struct list dying; /* linked: waits for free_after to be synced */
	uint64_t refs;
	uint64_t free_after;
	bool present;           /* recovery: there is such a file */
	atomic_bool sums_right; /* its sums were held against a reference */
};

/* A stretch of a batch that goes into one segment. */
struct piece {
	struct segment *segment;
	uint64_t offset; /* in the segment's file */
	size_t from;     /* in the batch's bytes */
	size_t len;
};

struct batch {
	char *bytes;
	size_t len, cap;
	struct piece *pieces;
	size_t piece_count, piece_cap;
	uint64_t end; /* position behind its last entry */
};

struct checkpoint;

struct journal {
	struct store store; /* first */
	struct faults faults;
	void (*diag)(void *ctx, const char *line);
	void *diag_ctx;
	enum journal_sync sync;
	uint64_t sync_interval_ms;
	uint64_t segment_bytes;
	bool salvage;
	bool recovered;
	int dir_fd, segments_fd, blobs_fd, blob_tmp_fd, lock_fd;
	struct io io, sealer;

	/* S: the segments by number, from table_first on; NULL where one is gone. */
	struct segment **table;
	uint64_t table_first;
	size_t table_count, table_cap;
	size_t segment_count;
	uint64_t settled; /* segments below this number may be closed */

	/* S: where the next entry goes. */
	struct segment *active;
	uint64_t end;
	uint64_t durable;
	struct batch batches[2];
	struct batch *filling;
	struct batch *running; /* NULL: no commit under way */
	int run_error;         /* C, then S */
	uint64_t commit_count, commit_bytes;
	bool failure_told;
	uint64_t turn_ms; /* monotonic, of the last journal_turn */

	_Atomic uint64_t synced; /* really on the disk up to here */
	_Atomic int failed;      /* 0 or the first -errno: final */
	_Atomic uint64_t sync_count, sync_ns_total, sync_ns;

	/* The segment after the active one, made ahead. */
	pthread_mutex_t prepare_mutex;
	struct segment *_Atomic next; /* set and taken under prepare_mutex, looked at anywhere */
	uint64_t made_number;         /* under prepare_mutex: of the last segment made */
	struct io_job prepare_job;
	atomic_bool prepare_posted;
	atomic_bool full;
	_Atomic int full_error;         /* why */
	_Atomic uint64_t reserve_bytes; /* of the file that keeps room for a checkpoint; 0: there is none */
	bool full_told;                 /* S */
	uint64_t retry_at_ms;           /* S: of the preparation, while full */
	pthread_mutex_t publish_mutex;
	pthread_mutex_t zero_mutex;
	pthread_cond_t zero_done;
	atomic_bool closing;

	pthread_mutex_t held_mutex;
	size_t open_count; /* under held_mutex: sealed segments that are open */
	/* Under held_mutex: segments that are mapped though nobody needs them now, longest first; how many, and how many bytes
	 * there may be of them. */
	struct list resting;
	size_t resting_count;
	uint64_t mapped_max;

	/* S: what waits to be let go. */
	uint64_t reap_at;  /* look through the segments once this is synced; UINT64_MAX: nothing to look for */
	struct list dying; /* blobs, by free_after */
	struct hash blobs;
	struct hash_key blob_key;
	bool blobs_lost;            /* a retain lacked memory: unknown blobs are left to the next start */
	_Atomic uint64_t blob_next; /* number of the next blob */
	_Atomic uint64_t blob_count, blob_bytes;

	/* S: checkpoints. */
	struct checkpoint *checkpoint;
	uint64_t checkpoint_start; /* replay begins here; segments wholly before it are not replayed */
	uint64_t checkpoint_bytes; /* size of the last one; 0: there is none */
	uint64_t checkpoint_from;  /* end when the last one was begun, for the next one's turn */
	uint64_t checkpoint_not_before_ms;
	bool checkpoint_forced; /* salvage left a hole: get it out of the way */

	/* S: syncs for those modes that do not sync at every commit. */
	bool interval_running;
	atomic_bool interval_done;
	uint64_t interval_at_ms;
};

/* --- journal.c --- */
void journal_say(struct journal *journal, const char *fmt, ...) PRINTF_LIKE(2, 3);
void journal_fail(struct journal *journal, int error); /* any thread */
uint64_t journal_clock_ns(void);                       /* monotonic */
uint64_t journal_clock_ms(void);                       /* unix */
/* The fdatasync that acknowledgements rest on: counted, timed, with faults. -errno; fails the journal. */
int journal_fdatasync(struct journal *journal, int fd) MUST_USE;

/* --- segment.c --- */
void journal_set_segment(struct journal *journal, uint64_t segment_bytes); /* and what fits in one */
static inline uint64_t journal_number(const struct journal *journal, uint64_t position)
{
	return position / journal->segment_bytes;
}

static inline uint64_t segment_first(const struct segment *segment)
{
	return segment->held.number * segment->held.journal->segment_bytes;
}

/* Where an entry after `position` can first stand: behind a segment's header, not where no entry fits. */
uint64_t journal_place(const struct journal *journal, uint64_t position);

struct held *held_init(struct held *held, struct journal *journal, uint64_t number);
void held_ref(struct held *held);
void held_unref(struct held *held); /* may remove the file, on the io thread */
void held_doom(struct held *held);  /* gives up the journal's own reference, and the file with the last one */
int held_fd(struct held *held);     /* opened when it is not; -errno. Only with a reference of one's own */
/* Its bytes in memory, as long as one's own reference; NULL: they cannot be had so. Segments. */
const char *held_map(struct held *held);
void held_settle(struct held *held); /* no longer written: may be closed when nobody needs it */

struct segment *segment_new(struct journal *journal, uint64_t number);
void segment_name(uint64_t number, const char *suffix, char out[JOURNAL_NAME_BYTES]);
struct segment *segment_find(const struct journal *journal, uint64_t number); /* S; NULL: gone, or never was */
int segment_table_reserve(struct journal *journal, uint64_t number) MUST_USE; /* room for that number; 0 or -ENOMEM */
void segment_table_put(struct journal *journal, struct segment *segment);
void segment_table_drop(struct journal *journal, struct segment *segment);

/* Makes the file under a temporary name, allocated and with its header. 0 or -errno (-ENOSPC: no room). */
int segment_make(struct journal *journal, uint64_t number, struct segment **ret_segment) MUST_USE;
int segment_publish(struct segment *segment) MUST_USE; /* syncs, gives it its name, durably; once; any thread */
void segment_discard(struct segment *segment);         /* one that was made and is not in the table */

int segment_write_zeros(int fd, uint64_t from, uint64_t to) MUST_USE;
/* Zero-writes the next stretch; true when there is more to do. io thread, or before it runs. */
bool segment_zero(struct segment *segment);
void segment_zero_post(struct segment *segment); /* all of it, piece by piece, on the io thread */
/* The writer is about to write [from, to) of the file: waits for zeros on their way there, and keeps later ones away. */
void segment_claim(struct segment *segment, uint64_t from, uint64_t to);

/* --- prepare.c: the segment after this one --- */
void prepare_init(struct journal *journal);
void prepare_post(struct journal *journal); /* on the io thread, unless under way */
/* The next segment, made here and now if it must be. 0, STORE_NO_SPACE or -errno. It stays `next` until prepare_take. */
int prepare_now(struct journal *journal) MUST_USE;
struct segment *prepare_take(struct journal *journal); /* the caller knows there is one */
void prepare_spend_reserve(struct journal *journal);   /* io thread: gives the room to whoever asks next */
bool prepare_publish(struct segment *segment);         /* io thread: gives it its name; false when that failed */

/* --- append.c --- */
int journal_append(struct store *store, const struct store_entry *entry, struct store_appended *ret_appended);
void batch_deinit(struct batch *batch);

/* --- interval.c --- */
bool interval_request(struct journal *journal); /* S: everything written so far is to be synced; false: could not begin */

/* --- pin.c, blob.c, live.c --- */
struct store_pin *journal_pin(struct store *store, const struct body_ref *ref);
int journal_blob_open(struct store *store, struct blob **ret_blob);
void journal_retain(struct store *store, const struct body_ref *ref);
void journal_release(struct store *store, const struct body_ref *ref);
void blob_path(uint64_t number, char out[JOURNAL_NAME_BYTES]); /* relative to blobs_fd */
struct blob_record *blob_find(const struct journal *journal, uint64_t number);
int blobs_recover(struct journal *journal) MUST_USE; /* after replay: removes those that nobody retained; 0 or -errno */
void live_reap(struct journal *journal);             /* S: lets go of what may go now */

/* --- segments_load.c --- */
/* Fills the table from the directory: headers are checked, `next` and leftovers are not looked at yet. 0, JOURNAL_CORRUPT,
 * JOURNAL_VERSION or -errno. */
int segments_load(struct journal *journal) MUST_USE;

/* --- tidy.c --- */
void tidy_again(struct journal *journal); /* S: segments that were walked may be victims again */

/* --- checkpoint.c --- */
void checkpoint_turn(struct journal *journal);
bool checkpoint_waits(const struct journal *journal); /* for a sync or the io thread */
void checkpoint_drop(struct journal *journal);        /* at the end, the io thread being stopped */

/* Reads the file `checkpoint`: all of it is checked before the first entry is handed out. 0 (ret: start and end position, file
 * size), 1 = there is none, JOURNAL_CORRUPT, JOURNAL_VERSION, -errno, or what `replay` returned. */
struct checkpoint_found {
	uint64_t start;
	uint64_t end;
	uint64_t bytes;
};
enum { CHECKPOINT_NONE = 10 };
int checkpoint_check(struct journal *journal, struct checkpoint_found *ret_found) MUST_USE;
int checkpoint_load(struct journal *journal, const struct journal_replay *replay) MUST_USE;
