/* A blob's file. The content is cut into chunks of 64 KiB and these into stretches of 1024 chunks, 64 MiB; only the last of each
 * may be shorter. Behind each stretch stand its sums: one CRC-32C for each of its chunks, little-endian.
 *
 *     OFFSET         SIZE
 *     0              what the stretch has, up to 64 MiB: the content's next bytes
 *     behind that    4 for each chunk of the stretch: its CRC-32C
 *
 * and so on with the next stretch: up to 64 MiB that is the content and a trailer. Were all sums in one trailer, the writer of a
 * body of max-body's 64 GiB would have to keep 4 MiB of them, or to reread what it wrote; so it keeps one stretch's, 4 KiB, and
 * only ever appends. Were each sum beside its chunk, no chunk but the first would begin at a page.
 *
 * A blob is valid iff
 *  1. its size is blob_file_bytes() of the size in its reference;
 *  2. all sums, joined to that of a whole (CRCs are linear: those of two parts and the length of the second make that of both),
 * are the reference's CRC: so the sums are whole, and this is the file that the reference means and not another sound one;
 *  3. each chunk has its sum.
 *
 * 1 is looked at by each pin before its first byte, 2 once after each start, 3 whenever a byte of the chunk is read. */
#pragma once

#include "sequencer/store.h"

#include <stdint.h>

enum {
	BLOB_SUM_BYTES = 4,
	BLOB_STRETCH_CHUNKS = 1024,
	BLOB_SUMS_BYTES = BLOB_STRETCH_CHUNKS * BLOB_SUM_BYTES,
	BLOB_STRETCH_BYTES = BLOB_STRETCH_CHUNKS * BLOB_CHUNK_BYTES,
};

static inline uint64_t blob_file_bytes(uint64_t size_bytes)
{
	uint64_t chunks = size_bytes / BLOB_CHUNK_BYTES + (size_bytes % BLOB_CHUNK_BYTES != 0);

	return size_bytes + chunks * BLOB_SUM_BYTES;
}

/* Where in the file the content's byte `offset` lies. */
static inline uint64_t blob_place(uint64_t offset)
{
	return offset + offset / BLOB_STRETCH_BYTES * BLOB_SUMS_BYTES;
}

/* Bytes of content in the stretch that begins at `offset`, and in the chunk. */
static inline uint32_t blob_stretch_bytes(uint64_t size_bytes, uint64_t offset)
{
	return size_bytes - offset < BLOB_STRETCH_BYTES ? (uint32_t)(size_bytes - offset) : BLOB_STRETCH_BYTES;
}

static inline uint32_t blob_chunk_bytes(uint64_t size_bytes, uint64_t offset)
{
	return size_bytes - offset < BLOB_CHUNK_BYTES ? (uint32_t)(size_bytes - offset) : BLOB_CHUNK_BYTES;
}

/* Where the sum of the chunk that begins at `offset` lies. */
static inline uint64_t blob_sum_place(uint64_t size_bytes, uint64_t offset)
{
	uint64_t stretch = offset - offset % BLOB_STRETCH_BYTES;

	return blob_place(stretch) + blob_stretch_bytes(size_bytes, stretch) +
	       offset % BLOB_STRETCH_BYTES / BLOB_CHUNK_BYTES * BLOB_SUM_BYTES;
}

/* An open blob's size and sums are those of the reference (1 and 2 above). 0 or -EIO. */
int blob_check_size(int fd, const struct body_ref *ref) MUST_USE;
int blob_check_sums(int fd, const struct body_ref *ref) MUST_USE;

/* Bytes of the content, every chunk that they lie in being held against its sum. The range is inside. 0 or -EIO: then `out` holds
 * nothing that may be used. */
int blob_read(int fd, uint64_t size_bytes, uint64_t offset, void *out, size_t len) MUST_USE;
