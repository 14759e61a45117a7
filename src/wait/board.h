/* The board: who waits for what on one thread. A wait hangs under a key (a job's number); a wake takes all that hang under it.
 * O(1), no memory but the waits' own and one table of buckets. Pure. */
#pragma once

#include "base/hash.h"
#include "base/list.h"

/* Zeroed: hangs nowhere. */
struct wait {
	struct hash_node node; /* first of its key: in the table */
	struct list peers;     /* the others of the same key */
	uint64_t key;
};

struct board {
	struct hash table;
	struct hash_key secret;
	size_t count;
};

void board_init(struct board *board, const struct hash_key *secret);
void board_deinit(struct board *board);
int board_add(struct board *board, struct wait *wait, uint64_t key) MUST_USE; /* -ENOMEM; behind the others of its key */
void board_remove(struct board *board, struct wait *wait);                    /* harmless when it hangs nowhere */
struct wait *board_find(const struct board *board, uint64_t key); /* the oldest of the key; the rest through board_next */
struct wait *board_next(const struct wait *first, const struct wait *wait); /* NULL behind the last */
