/* Each kind has its library. gzip and LZ4 come out piece by piece. zstd does not: its pieces would need a window as large as a
 * frame says, while all in one go the output is the window; so it is tried with more and more room. Snappy says how long its
 * output is, and cannot make more than 22 times of its input. */
#include "kafka/codec/compression.h"

#include "base/mem.h"
#include "kafka/codec/bytes.h"

#include <errno.h>
#include <limits.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { PIECE_BYTES = 64 << 10, SNAPPY_RATIO_MAX = 22, ZSTD_FIRST_RATIO = 16, ZSTD_MORE_ROOM = 4 };

/* Where it goes: `left_bytes` more are allowed. */
struct sink {
	struct buf *out;
	size_t left_bytes;
};

/* Room for a piece, and for one byte more than is allowed, so that too much shows. */
static char *sink_room(struct sink *sink, size_t *ret_len)
{
	*ret_len = sink->left_bytes < PIECE_BYTES ? sink->left_bytes + 1 : PIECE_BYTES;
	return buf_reserve(sink->out, *ret_len);
}

static int sink_took(struct sink *sink, size_t len)
{
	if (len > sink->left_bytes)
		return -E2BIG;
	sink->out->len += len;
	sink->left_bytes -= len;
	return 0;
}

static int plain_run(struct slice in, struct sink *sink)
{
	if (in.len > sink->left_bytes)
		return -E2BIG;
	buf_append_slice(sink->out, in);
	return sink->out->failed ? -ENOMEM : 0;
}

static void *zlib_take(void *opaque, unsigned items, unsigned size)
{
	(void)opaque;
	return mem_alloc((size_t)items * size);
}

static void zlib_free(void *opaque, void *at)
{
	(void)opaque;
	mem_free(at);
}

static int gzip_steps(z_stream *z, struct sink *sink)
{
	for (;;) {
		size_t room;
		char *at = sink_room(sink, &room);
		int r, err;

		if (!at)
			return -ENOMEM;
		z->next_out = (Bytef *)at;
		z->avail_out = (uInt)room;
		r = inflate(z, Z_NO_FLUSH);
		err = sink_took(sink, room - z->avail_out);
		if (err)
			return err;
		if (r == Z_MEM_ERROR)
			return -ENOMEM;
		if (r == Z_STREAM_END && z->avail_in == 0)
			return 0;
		if (r == Z_STREAM_END)
			r = inflateReset(z); /* one may follow on the other, RFC 1952 §2.2 */
		if (r != Z_OK)
			return -EBADMSG;
	}
}

static int gzip_run(struct slice in, struct sink *sink)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len, .zalloc = zlib_take, .zfree = zlib_free};
	int err;

	if (in.len > UINT_MAX)
		return -E2BIG;
	if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK) /* 16: with gzip's head, nothing else */
		return -ENOMEM;
	err = gzip_steps(&z, sink);
	inflateEnd(&z);
	return err;
}

static int snappy_block(struct slice in, struct sink *sink)
{
	size_t len;
	char *at;

	if (snappy_uncompressed_length(in.ptr, in.len, &len) != SNAPPY_OK || len / SNAPPY_RATIO_MAX > in.len)
		return -EBADMSG;
	if (len > sink->left_bytes)
		return -E2BIG;
	at = buf_reserve(sink->out, len ? len : 1);
	if (!at)
		return -ENOMEM;
	if (snappy_uncompress(in.ptr, in.len, at, &len) != SNAPPY_OK)
		return -EBADMSG;
	return sink_took(sink, len);
}

/* After a head of 16 bytes, blocks with their lengths; the head may come again. */
static int snappy_run(struct slice in, struct sink *sink)
{
	static const struct slice head = SLICE_INIT("\x82SNAPPY\0");
	enum { HEAD_BYTES = 16 };
	struct wire_reader r = wire_reader_of(in);

	if (!slice_starts_with(in, head))
		return snappy_block(in, sink);
	while (!r.failed && r.at < r.end) {
		if (slice_starts_with(slice_from(r.at, (size_t)(r.end - r.at)), head)) {
			wire_bytes(&r, HEAD_BYTES);
		} else {
			uint32_t len = kafka_get_u32(&r);
			struct slice block = wire_bytes(&r, len);
			int err = r.failed ? -EBADMSG : snappy_block(block, sink);

			if (err)
				return err;
		}
	}
	return r.failed ? -EBADMSG : 0;
}

static int lz4_steps(LZ4F_dctx *lz4, struct slice in, struct sink *sink)
{
	for (;;) {
		size_t room, used = in.len, r;
		char *at = sink_room(sink, &room);
		int err;

		if (!at)
			return -ENOMEM;
		r = LZ4F_decompress(lz4, at, &room, in.ptr, &used, NULL);
		if (LZ4F_isError(r))
			return strcmp(LZ4F_getErrorName(r), "ERROR_allocation_failed") == 0 ? -ENOMEM : -EBADMSG;
		err = sink_took(sink, room);
		if (err)
			return err;
		in = slice_from(in.ptr + used, in.len - used);
		if (r == 0 && in.len == 0)
			return 0;
		if (!used && !room) /* it waits for more */
			return -EBADMSG;
	}
}

static int lz4_run(struct slice in, struct sink *sink)
{
	LZ4F_dctx *lz4;
	int err;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION)))
		return -ENOMEM;
	err = lz4_steps(lz4, in, sink);
	LZ4F_freeDecompressionContext(lz4);
	return err;
}

static int zstd_run(struct slice in, struct sink *sink)
{
	size_t room = in.len > sink->left_bytes / ZSTD_FIRST_RATIO ? sink->left_bytes : in.len * ZSTD_FIRST_RATIO;

	for (;;) {
		char *at = buf_reserve(sink->out, room ? room : 1);
		size_t r;

		if (!at)
			return -ENOMEM;
		r = ZSTD_decompress(at, room, in.ptr, in.len);
		if (!ZSTD_isError(r))
			return sink_took(sink, r);
		if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
			return -ENOMEM;
		if (ZSTD_getErrorCode(r) != ZSTD_error_dstSize_tooSmall)
			return -EBADMSG;
		if (room == sink->left_bytes)
			return -E2BIG;
		room = room > sink->left_bytes / ZSTD_MORE_ROOM ? sink->left_bytes : room * ZSTD_MORE_ROOM;
	}
}

int kafka_decompress(unsigned compression, struct slice bytes, size_t max_bytes, struct buf *out)
{
	static int (*const kinds[])(struct slice, struct sink *) = {
		[KAFKA_COMPRESSION_NONE] = plain_run,    [KAFKA_COMPRESSION_GZIP] = gzip_run,
		[KAFKA_COMPRESSION_SNAPPY] = snappy_run, [KAFKA_COMPRESSION_LZ4] = lz4_run,
		[KAFKA_COMPRESSION_ZSTD] = zstd_run,
	};
	struct sink sink = {out, max_bytes};
	size_t len = out->len;
	int err;

	if (out->failed)
		return -ENOMEM;
	if (compression >= ARRAY_COUNT(kinds) || (!bytes.len && compression != KAFKA_COMPRESSION_NONE))
		return -EBADMSG;
	err = kinds[compression](bytes, &sink);
	if (err) {
		out->len = len;
		out->failed = false;
	}
	return err;
}
