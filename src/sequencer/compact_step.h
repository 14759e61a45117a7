/* Compaction, a step at a time: what the sequencer hands out, and what comes back (src/compaction does the work, on whichever
 * thread). A step reads a run of a partition's chunks, through pins. Those of a pass first tell which offset is the last of each
 * key; then come those that leave out what is not needed any more, from the beginning of the partition on. */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "sequencer/store.h"
#include "stream/sequence.h"

enum compact_phase { COMPACT_MAP, COMPACT_FILTER };

struct compact_chunk {
	struct store_pin *pin;
	uint64_t offset, end; /* of the chunk; as it is when the step comes back, too, or what came of it is void */
};

struct compact_step {
	enum compact_phase phase;
	bool begins; /* a pass: what was known of another is forgotten */
	bool anew;   /* FILTER: from the beginning of the partition on, be it once more: what stayed before is forgotten */
	/* Of the pass: keys come from records at [from, until), and whatever lies before `until` may be left out. */
	uint64_t from, until;
	uint64_t earliest_offset; /* what lies before it is no longer kept */
	uint64_t now_ms, retention_ms;
	struct hash_key keys[2];       /* of two hashes, which together stand for a record's key */
	const struct aborted *aborted; /* those with records or marker in the chunks; by marker */
	size_t aborted_count;
	uint64_t stream; /* its number */
	/* What came of it. */
	int error;       /* 0; -ENOMEM; -EIO: bytes that cannot be read, or batches that open to too much */
	uint64_t mapped; /* MAP: no key of a record at or behind it is known, since there was no more room; `until`: all are */
	bool changed;    /* FILTER: something is left out, or was given a horizon; what follows takes the chunks' place */
	struct buf bytes;
	uint64_t kept_offset, kept_count; /* where the first batch of `bytes` begins, and how many offsets on the last one ends */
	uint64_t max_time_ms;             /* of a record in it; UINT64_MAX: some have no time */
	uint64_t horizon_ms; /* FILTER: when the first null value or marker of all that is kept may go; 0: there is none */
	struct buf gone;     /* aborted transactions of which nothing is left, not even the marker (aborted_put) */
	size_t chunk_count;
	struct compact_chunk chunks[];
};

void compact_step_free(struct compact_step *step); /* gives pins back; NULL is fine */
