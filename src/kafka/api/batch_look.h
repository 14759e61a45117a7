/* Looks into a batch that lies in the store, compressed or not, for a record by its time. */
#pragma once

#include "sequencer/store.h"

struct batch_wanted {
	uint64_t batch_offset; /* base offset of the batch */
	bool latest;           /* the record with the latest time; else the first one not before time_ms */
	int64_t time_ms;
	int64_t found_offset, found_time_ms; /* -1: there is none */
	uint64_t opened_bytes;               /* what it became, or would have */
};

enum { BATCH_OPENED_MAX = 64 << 20 }; /* what a compressed one may become */

/* `buffer` has room for all that the pin holds. 0, -EIO, -EBADMSG, -E2BIG or -ENOMEM. */
int batch_look(struct store_pin *pin, char *buffer, size_t buffer_bytes, struct batch_wanted *wanted) MUST_USE;
