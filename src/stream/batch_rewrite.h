/* A batch with fewer records, in the place of the one it is made from: offsets, times, producer and sequence are the same, and so
 * are base offset and last offset delta, so whoever counts on offsets finds no difference but what is missing (KIP-58). With a
 * horizon, the time from which on null values may go stands where the base timestamp did, and the records' time deltas count
 * from there (KIP-534). Pure. */
#pragma once

#include "stream/batch.h"

struct batch_rewrite {
	struct buf records; /* what was kept, not compressed */
	int64_t old_base_ms, new_base_ms, max_time_ms;
	uint32_t count;
	bool set_horizon;
};

/* From the batch with that head. `horizon_ms`: what is to be said; -1: as the batch says it. */
void batch_rewrite_begin(struct batch_rewrite *rewrite, struct slice batch, int64_t horizon_ms);
/* The record that the reader read last is kept. */
void batch_rewrite_keep(struct batch_rewrite *rewrite, const struct batch_reader *reader);
/* Appends the batch to `out`; `records`: those of the rewrite, compressed as the batch's head says. The sticky failure of `out`
 * is the only error. */
void batch_rewrite_end(const struct batch_rewrite *rewrite, struct slice batch, struct slice records, struct buf *out);
void batch_rewrite_deinit(struct batch_rewrite *rewrite);

/* A marker, which has no records to be read, with a horizon. */
void batch_rewrite_marker(struct slice batch, int64_t horizon_ms, struct buf *out);
