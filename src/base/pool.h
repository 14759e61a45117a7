/* Objects of one size without the allocator's overhead an object: chunks of 64 KiB, a free list. One thread only. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct pool_chunk;

struct pool {
	struct pool_chunk *chunks;
	void *free;
	size_t object_bytes;
	size_t live_count;
};

void pool_init(struct pool *pool, size_t object_bytes);
void pool_deinit(struct pool *pool);         /* frees all, whatever is still in use */
void *pool_take(struct pool *pool) MUST_USE; /* zeroed; NULL when memory is short */
void pool_give(struct pool *pool, void *object);
