/* The other way, each by its library at the level that it has by itself. */
#include "kafka/codec/compression.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

static int plain_run(struct slice in, struct buf *out)
{
	buf_append_slice(out, in);
	return 0;
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

static int gzip_run(struct slice in, struct buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len, .zalloc = zlib_take, .zfree = zlib_free};
	size_t bound;
	char *at;
	int r;

	if (in.len > INT_MAX ||
	    deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	bound = deflateBound(&z, (uLong)in.len);
	at = buf_reserve(out, bound);
	z.next_out = (Bytef *)at;
	z.avail_out = (uInt)bound;
	r = at ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	if (r == Z_STREAM_END)
		out->len += bound - z.avail_out;
	deflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -ENOMEM;
}

static int snappy_run(struct slice in, struct buf *out)
{
	size_t len = snappy_max_compressed_length(in.len);
	char *at = buf_reserve(out, len);

	if (!at || snappy_compress(in.ptr, in.len, at, &len) != SNAPPY_OK)
		return -ENOMEM;
	out->len += len;
	return 0;
}

static int lz4_run(struct slice in, struct buf *out)
{
	const LZ4F_preferences_t as = {.frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};
	size_t len = LZ4F_compressFrameBound(in.len, &as);
	char *at = buf_reserve(out, len);

	if (!at)
		return -ENOMEM;
	len = LZ4F_compressFrame(at, len, in.ptr, in.len, &as);
	if (LZ4F_isError(len))
		return -ENOMEM;
	out->len += len;
	return 0;
}

static int zstd_run(struct slice in, struct buf *out)
{
	size_t len = ZSTD_compressBound(in.len);
	char *at = buf_reserve(out, len);

	if (!at)
		return -ENOMEM;
	len = ZSTD_compress(at, len, in.ptr, in.len, ZSTD_CLEVEL_DEFAULT);
	if (ZSTD_isError(len))
		return -ENOMEM;
	out->len += len;
	return 0;
}

int kafka_compress(unsigned compression, struct slice bytes, struct buf *out)
{
	static int (*const kinds[])(struct slice, struct buf *) = {
		[KAFKA_COMPRESSION_NONE] = plain_run,    [KAFKA_COMPRESSION_GZIP] = gzip_run,
		[KAFKA_COMPRESSION_SNAPPY] = snappy_run, [KAFKA_COMPRESSION_LZ4] = lz4_run,
		[KAFKA_COMPRESSION_ZSTD] = zstd_run,
	};
	int error;

	if (out->failed)
		return -ENOMEM;
	if (compression >= ARRAY_COUNT(kinds))
		return -EBADMSG;
	error = kinds[compression](bytes, out);
	if (out->failed) {
		out->failed = false;
		error = -ENOMEM;
	}
	return error;
}
