/* The one allocator. It can be told to fail, so that tests see every path that a lack of memory takes. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* As malloc, calloc(1, size) and realloc; NULL when memory is short. Sizes of 0 give a unique pointer. */
void *mem_alloc(size_t size_bytes) MUST_USE;
void *mem_zalloc(size_t size_bytes) MUST_USE;
void *mem_realloc(void *ptr, size_t size_bytes) MUST_USE;

/* Frees what the above gave; NULL is fine. Returns NULL, for `p = mem_free(p)`. */
void *mem_free(void *ptr);

/* A copy of `len` bytes with a NUL behind them; NULL when memory is short. The caller owns it. */
char *mem_dup(const void *ptr, size_t len) MUST_USE;

/* For tests: the n-th allocation from now (1 = the next one) fails, once; 0 switches that off. All threads count. */
void mem_fail_nth(uint64_t n);
