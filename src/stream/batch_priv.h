/* Inside src/stream only: the places in a batch (batch.c tells what stands there) and its numbers. */
#pragma once

#include "stream/batch.h"

#include <endian.h>

enum {
	AT_LENGTH = 8,
	AT_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_DELTA = 23,
	AT_BASE_TIME = 27,
	AT_MAX_TIME = 35,
	AT_PRODUCER_ID = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_BASE_SEQUENCE = 53,
	AT_COUNT = 57,

	MAGIC = 2,
	COMPRESSION = 7, /* in the attributes */
	APPEND_TIME = 8,
	TRANSACTIONAL = 16,
	CONTROL = 32,
	HORIZON = 64,
	RECORD_BYTES_MIN = 7,
	VARINT_BYTES_MAX = 5,
	VARLONG_BYTES_MAX = 10,
};

static inline void put_u32(char *at, uint32_t v)
{
	v = htobe32(v);
	memcpy(at, &v, sizeof(v));
}

static inline void put_u64(char *at, uint64_t v)
{
	v = htobe64(v);
	memcpy(at, &v, sizeof(v));
}

static inline uint32_t get_u32(const char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return be32toh(v);
}

static inline uint64_t get_u64(const char *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return be64toh(v);
}

static inline uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline size_t varint_bytes(int64_t v)
{
	size_t len = 1;

	for (uint64_t rest = zigzag(v); rest >= 0x80; rest >>= 7)
		len++;
	return len;
}

static inline char *put_varint(char *at, int64_t v)
{
	uint64_t rest = zigzag(v);

	for (; rest >= 0x80; rest >>= 7)
		*at++ = (char)(rest | 0x80);
	*at++ = (char)rest;
	return at;
}
