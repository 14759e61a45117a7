#include "base/arena.h"

#include "base/mem.h"

enum { ARENA_BLOCK_BYTES = 2048 };

struct arena_block {
	struct arena_block *next;
	size_t used, cap;
	_Alignas(8) char bytes[];
};

/* The block with more room left stands first: a large allocation does not waste what the block before it still has. */
static void arena_link(struct arena *arena, struct arena_block *block, size_t cap, size_t need)
{
	struct arena_block *first = arena->blocks;

	*block = (struct arena_block){.cap = cap};
	if (first && first->cap - first->used > cap - need) {
		block->next = first->next;
		first->next = block;
	} else {
		block->next = first;
		arena->blocks = block;
	}
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
	struct arena_block *block = arena->blocks;
	size_t need = (size_bytes + 7) & ~(size_t)7;
	void *at;

	if (need < size_bytes)
		return NULL;
	if (!block || block->cap - block->used < need) {
		size_t cap = need > ARENA_BLOCK_BYTES ? need : ARENA_BLOCK_BYTES;

		if (cap > SIZE_MAX - sizeof(*block))
			return NULL;
		block = mem_alloc(sizeof(*block) + cap);
		if (!block)
			return NULL;
		arena_link(arena, block, cap, need);
	}
	at = block->bytes + block->used;
	block->used += need;
	return at;
}

void *arena_zalloc(struct arena *arena, size_t size_bytes)
{
	void *at = arena_alloc(arena, size_bytes);

	if (at)
		memset(at, 0, size_bytes);
	return at;
}

struct slice arena_dup(struct arena *arena, struct slice s)
{
	char *copy = arena_alloc(arena, s.len + 1);

	if (!copy)
		return (struct slice){0};
	if (s.len)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return slice_from(copy, s.len);
}

void arena_deinit(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *next = block->next;

		mem_free(block);
		block = next;
	}
	arena->blocks = NULL;
}
