/* Where bytes lie that are too many for memory: a job's body or result, a stream's records. What the numbers mean is the store's
 * (sequencer/store.h); the form on disk is doc/journal-format.md's. */
#pragma once

#include "base/wire.h"

enum body_kind {
	BODY_NONE = 0,
	BODY_INLINE = 1, /* `place` = journal position of the first byte */
	BODY_BLOB = 2,   /* `place` = number of a blob file */
};

struct body_ref {
	uint64_t place;
	uint64_t size_bytes;
	uint32_t crc; /* CRC-32C over all its bytes */
	enum body_kind kind;
};

void body_ref_put(struct buf *out, const struct body_ref *ref);
struct body_ref body_ref_get(struct wire_reader *r); /* the reader's failure is the only error */
