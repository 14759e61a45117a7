/* What compressed batches hold: to look into them, and to make shorter ones of them. A peer chooses what is in here, and a few
 * bytes may stand for very many, so whoever asks says how much it may become. */
#pragma once

#include "base/buf.h"

/* The three lowest bits of a batch's attributes; 5 to 7 are none. */
enum kafka_compression {
	KAFKA_COMPRESSION_NONE,
	KAFKA_COMPRESSION_GZIP,
	KAFKA_COMPRESSION_SNAPPY, /* bare, or in the framing of xerial's snappy-java, as Java clients send it */
	KAFKA_COMPRESSION_LZ4,    /* the frame format */
	KAFKA_COMPRESSION_ZSTD,
};
enum { KAFKA_COMPRESSION_MASK = 7 };

/* Appends to `out` what `bytes` hold, at most `max_bytes`. 0; -EBADMSG: they are damaged, cut off, not of this kind, or there is
 * no such kind; -E2BIG: it would be more than that; -ENOMEM. Appends nothing in case of an error. Meanwhile it takes a bit more
 * than `max_bytes` for the buffer and, whatever `bytes` say, no more than 9 MiB for itself. */
int kafka_decompress(unsigned compression, struct slice bytes, size_t max_bytes, struct buf *out) MUST_USE;

/* Appends `bytes` compressed, as all Kafka clients can read it: 0; -EBADMSG: there is no such kind; -ENOMEM, and nothing is
 * appended. Snappy is bare; what is lz4 has blocks that stand alone, since Java clients read no others. */
int kafka_compress(unsigned compression, struct slice bytes, struct buf *out) MUST_USE;
