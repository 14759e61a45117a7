/* What every unit test starts with: cmocka with the headers it wants before it, and random numbers that can be had again.
 * Only *_test.c includes this. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
struct test_random {
	uint64_t state;
};

/* A seed that differs each time, printed; BIDE_TEST_SEED=N in the environment plays one again. */
static inline struct test_random test_random_start(const char *who)
{
	const char *given = getenv("BIDE_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	print_message("%s: BIDE_TEST_SEED=%llu\n", who, (unsigned long long)seed);
	return (struct test_random){seed};
}

static inline uint64_t test_random_u64(struct test_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 … bound - 1 */
static inline size_t test_random_below(struct test_random *random, size_t bound)
{
	return (size_t)(test_random_u64(random) % bound);
}

static inline void test_random_bytes(struct test_random *random, void *ptr, size_t len)
{
	uint8_t *at = ptr;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(test_random_u64(random) >> 32);
}
