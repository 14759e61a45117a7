#include "base/pool.h"

#include "base/mem.h"
#include "base/panic.h"

#include <string.h>

enum { POOL_CHUNK_BYTES = 64 * 1024 };

struct pool_chunk {
	struct pool_chunk *next;
	_Alignas(16) char bytes[];
};

void pool_init(struct pool *pool, size_t object_bytes)
{
	*pool = (struct pool){.object_bytes = (object_bytes + 15) & ~(size_t)15};
	ENSURE(object_bytes > 0 && object_bytes <= POOL_CHUNK_BYTES / 2 - sizeof(struct pool_chunk));
}

void pool_deinit(struct pool *pool)
{
	while (pool->chunks) {
		struct pool_chunk *next = pool->chunks->next;

		mem_free(pool->chunks);
		pool->chunks = next;
	}
	pool->free = NULL;
	pool->live_count = 0;
}

static bool pool_grow(struct pool *pool)
{
	struct pool_chunk *chunk = mem_alloc(POOL_CHUNK_BYTES);
	size_t count = (POOL_CHUNK_BYTES - sizeof(struct pool_chunk)) / pool->object_bytes;

	if (!chunk)
		return false;
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	for (size_t i = count; i-- > 0;) {
		void *object = chunk->bytes + i * pool->object_bytes;

		memcpy(object, &pool->free, sizeof(void *));
		pool->free = object;
	}
	return true;
}

void *pool_take(struct pool *pool)
{
	void *object;

	if (!pool->free && !pool_grow(pool))
		return NULL;
	object = pool->free;
	memcpy(&pool->free, object, sizeof(void *));
	pool->live_count++;
	return memset(object, 0, pool->object_bytes);
}

void pool_give(struct pool *pool, void *object)
{
	ENSURE(pool->live_count > 0);
	memcpy(object, &pool->free, sizeof(void *));
	pool->free = object;
	pool->live_count--;
}
