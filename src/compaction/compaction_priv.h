/* Inside src/compaction only. */
#pragma once

#include "base/hash.h"
#include "compaction/compaction.h"
#include "compaction/key_map.h"
#include "stream/batch_rewrite.h"

/* A producer of whose transaction, not ended yet in the order of offsets, something stays. */
struct kept_producer {
	struct hash_node node;
	struct list peers;
	uint64_t id;
};

struct compaction {
	uint64_t memory_bytes;
	struct key_map map;
	struct hash producers;
	struct list kept; /* the same */
	/* Of the step: */
	struct compact_step *step;
	struct buf chunk, opened, packed;
	struct batch_rewrite rewrite;
};

/* A batch that is to be read: 0; 1: there is nothing in it that can be; -ENOMEM, -EIO. */
int compaction_open(struct compaction *c, struct slice batch, const struct batch_head *head,
		    struct batch_reader *ret_reader) MUST_USE;
/* The records of that batch are void. */
bool compaction_is_aborted(const struct compact_step *step, const struct batch_head *head);
struct key_hash {
	uint64_t high, low;
};
struct key_hash compaction_hash(const struct compact_step *step, struct slice key);

/* --- filter.c --- */
int compaction_filter(struct compaction *c, struct slice batches) MUST_USE; /* of one chunk: 0, -ENOMEM or -EIO */
void compaction_forget_producers(struct compaction *c);
