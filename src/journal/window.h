/* A window on a file of entries: bytes by offset, read in large pieces, whole entries even where they straddle pieces. */
#pragma once

#include "journal/entry.h"

struct window {
	int fd;
	uint64_t size; /* of the file */
	uint64_t end;  /* of what entries may lie in: as much, unless it is set to less */
	uint64_t start;
	size_t len;
	char *bytes;
	size_t cap;
};

/* Looks at another file; the memory is kept. 0 or -errno. */
int window_open(struct window *window, int fd) MUST_USE;
void window_deinit(struct window *window); /* the descriptor is not closed */

/* Up to `len` bytes at `offset`, fewer only at the end of the file; good until the next call. 0, -ENOMEM or -errno. */
int window_get(struct window *window, uint64_t offset, size_t len, struct slice *ret_bytes) MUST_USE;

/* The entry at `offset`, whose position is base + offset. An entry_verdict, -ENOMEM or -errno. */
int window_entry(struct window *window, uint64_t salt, uint64_t base, uint64_t offset, struct entry *ret_entry) MUST_USE;

struct window_range {
	uint64_t from, to; /* offsets in the file */
};

/* The first valid entry that begins in the range. 0, 1 = there is none, -ENOMEM or -errno. */
int window_search(struct window *window, const struct window_range *range, uint64_t salt, uint64_t base, struct entry *ret_entry,
		  uint64_t *ret_offset) MUST_USE;

/* Behind the last byte that is not zero, at `from` or later; `from` when all are. 0, -ENOMEM or -errno. */
int window_last_byte(struct window *window, uint64_t from, uint64_t *ret_end) MUST_USE;
