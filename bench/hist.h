#pragma once
/*
 * A log-linear histogram of nanoseconds: every power of two is cut into 128 equal steps, so a recorded value is known to
 * better than 0.8 % whatever its size, in constant memory and without allocation.
 */
#include <stdint.h>

#define HIST_SUB_BITS    7
#define HIST_SUB_COUNT   (1u << HIST_SUB_BITS)
#define HIST_MAX_BITS    40 /* about 18 minutes; anything longer is counted as that */
#define HIST_SLOTS_COUNT ((HIST_MAX_BITS - HIST_SUB_BITS + 1) * HIST_SUB_COUNT)

struct hist {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t min_ns;
	uint64_t max_ns;
	uint32_t slots[HIST_SLOTS_COUNT];
};

void hist_reset(struct hist *hist);
void hist_add(struct hist *hist, uint64_t value_ns);

/* The smallest recorded step below or at which `fraction` (0..1) of the values lie; 0 when nothing was recorded. */
uint64_t hist_quantile_ns(const struct hist *hist, double fraction);
