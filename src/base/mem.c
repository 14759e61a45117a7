#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t fail_countdown;

void mem_fail_nth(uint64_t n)
{
	atomic_store(&fail_countdown, n);
}

/* True when this allocation is the one that was told to fail. The common case costs one relaxed load. */
static bool mem_must_fail(void)
{
	uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);

	/* Not a plain subtraction: two threads at 1 would count below 0, and every allocation from there on would count, too. */
	while (UNLIKELY(left != 0)) {
		if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1))
			return left == 1;
	}
	return false;
}

void *mem_alloc(size_t size_bytes)
{
	if (mem_must_fail())
		return NULL;
	return malloc(size_bytes ? size_bytes : 1);
}

void *mem_zalloc(size_t size_bytes)
{
	if (mem_must_fail())
		return NULL;
	return calloc(1, size_bytes ? size_bytes : 1);
}

void *mem_realloc(void *ptr, size_t size_bytes)
{
	if (mem_must_fail())
		return NULL;
	return realloc(ptr, size_bytes ? size_bytes : 1);
}

void *mem_free(void *ptr)
{
	free(ptr);
	return NULL;
}

char *mem_dup(const void *ptr, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, ptr, len);
	copy[len] = '\0';
	return copy;
}
