/* Numbers as the Kafka protocol writes them: big-endian, and lengths in flexible versions as LEB128 of at most 32 bits. Readers
 * have the sticky error of base/wire.h. */
#pragma once

#include "base/wire.h"

static inline uint16_t kafka_get_u16(struct wire_reader *r)
{
	return __builtin_bswap16(wire_u16(r));
}

static inline uint32_t kafka_get_u32(struct wire_reader *r)
{
	return __builtin_bswap32(wire_u32(r));
}

static inline uint64_t kafka_get_u64(struct wire_reader *r)
{
	return __builtin_bswap64(wire_u64(r));
}

/* 0 after an error. */
uint32_t kafka_get_uvarint(struct wire_reader *r);

static inline void kafka_put_u16(struct buf *buf, uint16_t v)
{
	wire_put_u16(buf, __builtin_bswap16(v));
}

static inline void kafka_put_u32(struct buf *buf, uint32_t v)
{
	wire_put_u32(buf, __builtin_bswap32(v));
}

static inline void kafka_put_u64(struct buf *buf, uint64_t v)
{
	wire_put_u64(buf, __builtin_bswap64(v));
}

static inline void kafka_put_uvarint(struct buf *buf, uint32_t v)
{
	wire_put_varint(buf, v);
}
