#include "hist.h"

#include <string.h>

/*
 * Values below 128 have a slot each. Above, a value with its highest bit at position b (b >= 7) lies in row b - 6, in the
 * column its next seven bits name; row 0 is the exact one.
 */
static uint32_t hist_slot(uint64_t value_ns)
{
	if (value_ns < HIST_SUB_COUNT)
		return (uint32_t)value_ns;
	if (value_ns >> HIST_MAX_BITS)
		return HIST_SLOTS_COUNT - 1;
	uint32_t bit = 63u - (uint32_t)__builtin_clzll(value_ns);
	uint32_t shift = bit - HIST_SUB_BITS;
	return (shift + 1) * HIST_SUB_COUNT + (uint32_t)((value_ns >> shift) & (HIST_SUB_COUNT - 1));
}

/* The middle of a slot, so that rounding favours neither side. */
static uint64_t hist_slot_value_ns(uint32_t slot)
{
	uint32_t row = slot / HIST_SUB_COUNT;
	uint64_t column = slot % HIST_SUB_COUNT;
	if (row == 0)
		return column;
	uint32_t shift = row - 1;
	return ((HIST_SUB_COUNT + column) << shift) + ((1ull << shift) >> 1);
}

void hist_reset(struct hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min_ns = UINT64_MAX;
}

void hist_add(struct hist *hist, uint64_t value_ns)
{
	hist->slots[hist_slot(value_ns)]++;
	hist->count++;
	hist->sum_ns += value_ns;
	if (value_ns < hist->min_ns)
		hist->min_ns = value_ns;
	if (value_ns > hist->max_ns)
		hist->max_ns = value_ns;
}

uint64_t hist_quantile_ns(const struct hist *hist, double fraction)
{
	if (hist->count == 0)
		return 0;
	uint64_t wanted = (uint64_t)(fraction * (double)hist->count + 0.5);
	if (wanted == 0)
		wanted = 1;
	uint64_t seen = 0;
	for (uint32_t slot = 0; slot < HIST_SLOTS_COUNT; slot++) {
		seen += hist->slots[slot];
		if (seen >= wanted) {
			uint64_t value_ns = hist_slot_value_ns(slot);
			return value_ns > hist->max_ns ? hist->max_ns : value_ns;
		}
	}
	return hist->max_ns;
}
