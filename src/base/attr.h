/* The compiler extensions this project uses, under names of their own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MUST_USE                __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define CLEANUP(fn)             __attribute__((cleanup(fn)))
#define NO_RETURN               __attribute__((noreturn))
#define LIKELY(x)               __builtin_expect(!!(x), 1)
#define UNLIKELY(x)             __builtin_expect(!!(x), 0)
#define ARRAY_COUNT(a)          (sizeof(a) / sizeof((a)[0]))

/* The structure that holds `ptr` as its member; `ptr` must not be NULL. */
#define container_of(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))
