#include "topic/partitioner.h"

enum { M = 0x5bd1e995, R = 24 };

static uint32_t byte_at(struct slice s, size_t i)
{
	return (unsigned char)s.ptr[i];
}

static uint32_t murmur2(struct slice key)
{
	uint32_t h = 0x9747b28c ^ (uint32_t)key.len;
	size_t i = 0;

	for (; key.len - i >= 4; i += 4) {
		uint32_t k = byte_at(key, i) | byte_at(key, i + 1) << 8 | byte_at(key, i + 2) << 16 | byte_at(key, i + 3) << 24;

		k *= M;
		k ^= k >> R;
		h = h * M ^ k * M;
	}
	if (i < key.len) {
		for (size_t j = key.len - i; j-- > 0;)
			h ^= byte_at(key, i + j) << (8 * j);
		h *= M;
	}
	h ^= h >> 13;
	h *= M;
	return h ^ h >> 15;
}

uint32_t partition_of_key(struct slice key, uint32_t partition_count)
{
	return (murmur2(key) & 0x7fffffff) % partition_count;
}
