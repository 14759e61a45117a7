/* What the sequencer needs of a journal, as an interface: the real one (src/journal) keeps segments on a disk, the
 * simulator's one loses unsynced tails on purpose, and a partition of another log may stand behind it one day.
 *
 * A position is a byte position in the journal: it grows with every entry and is never used twice. `durable` is the
 * position up to which everything is safe; whoever says something that rests on position P waits until durable >= P.
 *
 * Threads: the store's own operations belong to the sequencer's thread; those of pins and blobs may be called on any. */
#pragma once

#include "base/body_ref.h"

enum {
	BODY_INLINE_MAX = 1 << 20, /* the longest body that lies in the journal itself; longer ones are blobs */
	/* Of an entry, whatever the store: what was sent may have got frames around it. Some take longer ones (store_body_max).
	 */
	STORE_BODY_MAX = BODY_INLINE_MAX + (1 << 16),
	BLOB_CHUNK_BYTES = 1 << 16, /* a blob is held against checksums chunk by chunk; the last one may be shorter */
};

/* One entry to append. Fields and body are copied before append returns. */
struct store_entry {
	uint64_t time_ms;
	struct slice fields;
	struct slice body; /* at most store_body_max bytes; may be empty */
	uint8_t type;
	uint16_t shard;
	bool reserve; /* may use the space kept back for leases, completions and deletes */
};

/* One entry as it is read back, in journal order. */
struct store_replay {
	uint64_t position;   /* of the entry */
	uint64_t end;        /* of what follows it */
	uint64_t body_place; /* position of the body's first byte */
	uint64_t body_bytes;
	uint32_t body_crc;
	uint64_t time_ms;
	struct slice fields;
	uint8_t type;
	uint16_t shard;
};

enum store_error { STORE_NO_SPACE = 1 }; /* the disk is full: nothing was appended */

struct store_appended {
	uint64_t position;    /* of the entry */
	uint64_t end;         /* the position that `durable` must reach before anyone hears of the entry */
	struct body_ref body; /* BODY_NONE when the entry has none */
};

/* Keeps the bytes of one body readable although their owner may let go of them. Made on the sequencer's thread, used and
 * given back on any; one thread at a time. */
struct store_pin {
	const struct store_pin_ops *ops;
	struct body_ref ref;
};

struct store_pin_ops {
	/* Exactly `len` bytes from `offset` into `out`: 0 or -EIO, also when a chunk of a blob that they lie in is not as it was
	 * written, or the blob is missing or has another length; `out` is not to be used then. Reading whole chunks is cheapest:
	 * a part costs as much. Bytes of an inline body are not held against its checksum. */
	int (*read)(struct store_pin *pin, uint64_t offset, void *out, size_t len);

	/* All of a body, held against its CRC-32C: 0, or -EIO also when the bytes are not those that were written (wrong bytes
	 * are never served). `out` has room for ref.size_bytes. */
	int (*read_whole)(struct store_pin *pin, void *out);

	/* A descriptor and the offset in it of the first byte, for sendfile; open while pinned. Negative: -errno; -ENOTSUP: the
	 * bytes must be read, because that is what checks them. */
	int (*file)(struct store_pin *pin, uint64_t *ret_offset);

	/* All of a body where it lies in memory that the system fills from the file, having held it against its CRC-32C; while
	 * pinned. Only for the system to read (write, sendmsg), which answers -EFAULT where the disk does not give the bytes any
	 * more: whoever reads them himself may be ended by SIGBUS. NULL: read_whole has it, or tells what is wrong. The function
	 * may be missing. */
	const char *(*view)(struct store_pin *pin);

	void (*unpin)(struct store_pin *pin);
};

/* A long body on its way to the disk, in constant memory. Any thread, one at a time. */
struct blob {
	const struct blob_ops *ops;
	uint64_t size_bytes; /* written so far */
	uint32_t crc;        /* of what was written so far */
};

struct blob_ops {
	/* 0, STORE_NO_SPACE or -EIO; after an error only discard is left. */
	int (*write)(struct blob *blob, struct slice bytes);

	/* Syncs, renames and syncs the directory on a thread of the store's own, then calls `done` THERE with 0 and the body's
	 * ref, or with STORE_NO_SPACE or -EIO. The blob is gone then. A sealed blob that no event ever names is removed at the
	 * next start; `done` must therefore lead to an event or to body_release. */
	void (*seal)(struct blob *blob, void (*done)(void *ctx, int error, const struct body_ref *ref), void *ctx);

	void (*discard)(struct blob *blob);
};

struct store {
	const struct store_ops *ops;
	uint64_t body_max; /* the longest body of an entry, if that is more than STORE_BODY_MAX */
};

static inline uint64_t store_body_max(const struct store *store)
{
	return store->body_max > STORE_BODY_MAX ? store->body_max : STORE_BODY_MAX;
}

struct store_ops {
	/* Never blocks on the disk. 0, STORE_NO_SPACE, -ENOMEM, or -EIO once a sync has failed (then nothing more will ever
	 * be appended). */
	int (*append)(struct store *store, const struct store_entry *entry, struct store_appended *ret_appended);

	uint64_t (*durable_position)(const struct store *store);

	/* A body that the state names begins to live (called for each one during replay and from a checkpoint, too), or lives
	 * no longer. Space in which nothing lives is given back, but not before everything appended up to the release is durable:
	 * a crash may bring the owner back. During replay a checkpoint may name bodies that are gone, whose release follows
	 * later in the journal: that is no error. BODY_NONE is ignored. */
	void (*body_retain)(struct store *store, const struct body_ref *ref);
	void (*body_release)(struct store *store, const struct body_ref *ref);

	/* NULL when memory is short or the bytes are gone. For a ref that lives and is durable (or will be when it is used). */
	struct store_pin *(*pin)(struct store *store, const struct body_ref *ref);

	/* Begins a blob; any thread. 0, STORE_NO_SPACE, -ENOMEM or -EIO. */
	int (*blob_open)(struct store *store, struct blob **ret_blob);
};
