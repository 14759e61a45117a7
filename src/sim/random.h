/* SplitMix64 (Steele, Lea, Flood 2014): a run is decided by its seed alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_u64(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 … bound - 1; 0 when bound is 0 */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
	return bound ? random_u64(random) % bound : 0;
}

static inline uint64_t random_between(struct random *random, uint64_t low, uint64_t high)
{
	return low + random_below(random, high - low + 1);
}

static inline bool random_permille(struct random *random, uint64_t permille)
{
	return random_below(random, 1000) < permille;
}
