/* What a stream knows of Kafka producers with an id: where each stands, so that what is sent twice is appended once, and which
 * transactions are open in it, or were aborted. Part of stream.h.
 *
 * A sequence counts records modulo 2^31. Of each producer the last batches are known, so a repeated one is answered with where it
 * lies. */
#pragma once

#include "base/hash.h"
#include "base/list.h"

enum { SEQUENCE_BATCHES = 5 };
#define SEQUENCE_MODULO (1ULL << 31)

struct stream;

struct sequence_batch {
	uint64_t offset;
	uint32_t seq, count;
};

struct sequence {
	struct hash_node node; /* by stream and producer */
	struct list peers;     /* in sequences->all, the one first that was used longest ago */
	struct list open;      /* in sequences->open, while its transaction is open here */
	struct stream *stream;
	uint64_t producer_id, last_ms;
	uint64_t txn_first; /* where its open transaction begins; UINT64_MAX: none is open */
	uint16_t epoch;
	uint8_t batch_count;                             /* of this epoch; 0 right after a marker with a new one */
	struct sequence_batch batches[SEQUENCE_BATCHES]; /* the oldest first */
};

/* A transaction that was aborted: its records lie from `first` on, and `last` is the marker. */
struct aborted {
	uint64_t producer_id, first, last;
};

struct aborted_array {
	uint32_t cap;
	struct aborted items[];
};

struct stream_sequences {
	struct list all;
	struct list open; /* by txn_first */
	/* Of the records that readers of committed ones see, as far as they have not been shown yet: none lies before, none at or
	 * behind. Not journalled. */
	uint64_t shown_first, shown_end;
	uint32_t count;
	uint32_t aborted_count;
	struct aborted_array *aborted; /* by last; NULL: there never was one */
};

/* The next number that may come from it. */
static inline uint64_t sequence_next(const struct sequence *sequence)
{
	const struct sequence_batch *last = sequence->batches + sequence->batch_count;

	return sequence->batch_count ? (last[-1].seq + (uint64_t)last[-1].count) % SEQUENCE_MODULO : 0;
}

/* The same batch, from before; NULL: it is none of the last. */
static inline const struct sequence_batch *sequence_repeated(const struct sequence *sequence, uint64_t seq, uint64_t count)
{
	for (unsigned i = sequence->batch_count; i > 0; i--) {
		if (sequence->batches[i - 1].seq == seq && sequence->batches[i - 1].count == count)
			return &sequence->batches[i - 1];
	}
	return NULL;
}
