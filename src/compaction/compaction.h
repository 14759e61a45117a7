/* The work of compaction: what stays of a partition's batches. The sequencer says which (sequencer/compact_step.h).
 *
 * Of each key the record with the highest offset stays; of a transaction that was aborted none, and of a record without a key
 * nothing. A null value that is the last of its key gets a horizon, as its batch's attribute, the first time it is found so, and
 * goes in a pass after that time; so does a transaction's marker once no record of it is left. Batches keep their base offset and
 * last offset delta; those of which nothing is left go. Compressed ones are opened, and compressed again as they were.
 *
 * A key is known by two hashes of it, 128 bits, keyed; the map of keys has a fixed size. When it is full it says so, and the pass
 * goes as far as that.
 *
 * Pure: bytes come through pins. */
#pragma once

#include "sequencer/compact_step.h"

struct compaction;

enum { COMPACTION_OPENED_MAX = 64 << 20 /* what a compressed batch may become */ };

/* What the map of keys may take. NULL: no memory. */
struct compaction *compaction_new(uint64_t memory_bytes);
struct compaction *compaction_free(struct compaction *compaction); /* NULL is fine; returns NULL */

/* Does a step; those of a pass one behind the other. */
void compaction_run(struct compaction *compaction, struct compact_step *step);
/* What it holds for a pass is given back: nothing is to be done for a while. */
void compaction_rest(struct compaction *compaction);
