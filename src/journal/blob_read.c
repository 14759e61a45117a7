/* Reading blobs: nothing is given out that was not held against its sum. Whole chunks are read to where they are wanted; of a
 * part, the rest of its chunk goes through a small buffer and is summed up only, so that no memory is needed. */
#include "journal/blob.h"

#include "base/crc32c.h"
#include "base/wire.h"
#include "journal/disk.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

enum { PASS_BYTES = 8192 };

static int read_exactly(int fd, void *out, size_t len, uint64_t place)
{
	size_t got;

	return disk_read(fd, out, len, place, &got) < 0 || got != len ? -EIO : 0;
}

/* --- the sums together --- */

/* What `crc`, of what stands before, changes in the CRC of `len` bytes that follow: the zero bytes' own one drops out. */
static uint32_t crc_past(uint32_t crc, size_t len)
{
	static char zeros[PASS_BYTES]; /* never written */
	uint32_t with = crc, without = 0;

	while (len) {
		size_t part = len < sizeof(zeros) ? len : sizeof(zeros);

		with = crc32c(with, zeros, part);
		without = crc32c(without, zeros, part);
		len -= part;
	}
	return with ^ without;
}

static uint32_t past_chunk[4][256]; /* crc_past for a whole chunk, by each byte of the crc */

static void past_chunk_init(void)
{
	for (unsigned i = 0; i < 4; i++)
		for (unsigned byte = 1; byte < 256; byte++) {
			unsigned lowest = byte & -byte;

			past_chunk[i][byte] = byte == lowest ? crc_past((uint32_t)byte << 8 * i, BLOB_CHUNK_BYTES)
							     : past_chunk[i][lowest] ^ past_chunk[i][byte ^ lowest];
		}
}

static uint32_t crc_join(uint32_t crc, uint32_t sum, uint32_t len)
{
	if (len != BLOB_CHUNK_BYTES)
		return crc_past(crc, len) ^ sum;
	return past_chunk[0][crc & 0xff] ^ past_chunk[1][crc >> 8 & 0xff] ^ past_chunk[2][crc >> 16 & 0xff] ^
	       past_chunk[3][crc >> 24] ^ sum;
}

int blob_check_size(int fd, const struct body_ref *ref)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (uint64_t)st.st_size != blob_file_bytes(ref->size_bytes) ? -EIO : 0;
}

int blob_check_sums(int fd, const struct body_ref *ref)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint64_t size = ref->size_bytes, offset = 0;
	char sums[BLOB_SUMS_BYTES];
	uint32_t crc = 0;

	pthread_once(&once, past_chunk_init);
	while (offset < size) {
		uint32_t len = blob_stretch_bytes(size, offset);
		size_t count = (len + BLOB_CHUNK_BYTES - 1) / BLOB_CHUNK_BYTES;

		if (read_exactly(fd, sums, count * BLOB_SUM_BYTES, blob_sum_place(size, offset)) < 0)
			return -EIO;
		for (size_t i = 0; i < count; i++) {
			uint32_t part = blob_chunk_bytes(size, offset);

			crc = crc_join(crc, wire_load_u32(sums + i * BLOB_SUM_BYTES), part);
			offset += part;
		}
	}
	return crc == ref->crc ? 0 : -EIO;
}

/* --- chunks --- */

/* Bytes of a chunk that nobody wants. */
static int sum_past(int fd, size_t len, uint64_t place, uint32_t *crc)
{
	char bytes[PASS_BYTES];

	while (len) {
		size_t part = len < sizeof(bytes) ? len : sizeof(bytes);

		if (read_exactly(fd, bytes, part, place) < 0)
			return -EIO;
		*crc = crc32c(*crc, bytes, part);
		place += part;
		len -= part;
	}
	return 0;
}

/* [from, from + len) of the chunk that begins at `offset`. */
static int chunk_read(int fd, uint64_t size, uint64_t offset, size_t from, void *out, size_t len)
{
	size_t whole = blob_chunk_bytes(size, offset);
	uint64_t place = blob_place(offset);
	char sum[BLOB_SUM_BYTES];
	uint32_t crc = 0;

	if (sum_past(fd, from, place, &crc) < 0 || read_exactly(fd, out, len, place + from) < 0)
		return -EIO;
	crc = crc32c(crc, out, len);
	if (sum_past(fd, whole - from - len, place + from + len, &crc) < 0 ||
	    read_exactly(fd, sum, sizeof(sum), blob_sum_place(size, offset)) < 0)
		return -EIO;
	return crc == wire_load_u32(sum) ? 0 : -EIO;
}

int blob_read(int fd, uint64_t size_bytes, uint64_t offset, void *out, size_t len)
{
	char *at = out;

	while (len) {
		size_t from = (size_t)(offset % BLOB_CHUNK_BYTES);
		size_t left = blob_chunk_bytes(size_bytes, offset - from) - from, part = len < left ? len : left;
		int r = chunk_read(fd, size_bytes, offset - from, from, at, part);

		if (r < 0)
			return r;
		at += part;
		offset += part;
		len -= part;
	}
	return 0;
}
