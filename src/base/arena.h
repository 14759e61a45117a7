/* Memory of one request: many small allocations, freed together. Zero-initialised is empty. */
#pragma once

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

/* Aligned to 8; NULL when memory is short. Lives until arena_deinit. */
void *arena_alloc(struct arena *arena, size_t size_bytes) MUST_USE;
void *arena_zalloc(struct arena *arena, size_t size_bytes) MUST_USE;

/* A copy with a NUL behind it; ptr is NULL when memory is short. */
struct slice arena_dup(struct arena *arena, struct slice s) MUST_USE;

void arena_deinit(struct arena *arena);
