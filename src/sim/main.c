/* sim [--theme NAME] [--seed N] [--steps M] [--trace]: without a seed, some that are always the same and one that never is. With
 * BIDE_SOAK=1 many of the latter. */
#include "sim/world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIXED_SEEDS = 4, SOAK_SEEDS = 300 };

static void aborted(int signal_number)
{
	world_say_replay();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static uint64_t fresh_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) % 1000000000000u;
}

static const struct theme *theme_find(const char *name)
{
	for (unsigned i = 0; i < theme_count; i++) {
		if (slice_eq(slice_str(themes[i].name), slice_str(name)))
			return &themes[i];
	}
	return NULL;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--theme NAME] [--seed N] [--steps M] [--trace]\nthemes:");
	for (unsigned i = 0; i < theme_count; i++)
		fprintf(stderr, " %s", themes[i].name);
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	const struct theme *theme = theme_find("mixed");
	const char *soak = getenv("BIDE_SOAK");
	uint64_t seed = 0, steps = 0, fresh;
	bool given = false, trace = false;

	for (int i = 1; i < argc; i++) {
		struct slice arg = slice_str(argv[i]), value = slice_str(i + 1 < argc ? argv[i + 1] : "");

		if (slice_eq(arg, SLICE("--trace")))
			trace = true;
		else if (slice_eq(arg, SLICE("--theme")) && theme_find(value.ptr))
			theme = theme_find(argv[++i]);
		else if (slice_eq(arg, SLICE("--seed")) && slice_u64(value, &seed) == 0)
			given = ++i > 0;
		else if (slice_eq(arg, SLICE("--steps")) && slice_u64(value, &steps) == 0)
			i++;
		else
			return usage();
	}
	signal(SIGABRT, aborted);
	signal(SIGSEGV, aborted);
	if (given) {
		world_run(theme, seed, steps, trace);
		return 0;
	}
	for (seed = 1; seed <= FIXED_SEEDS; seed++)
		world_run(theme, seed, steps, trace);
	fresh = fresh_seed();
	for (uint64_t i = 0; i < (soak && *soak && *soak != '0' ? SOAK_SEEDS : 1); i++)
		world_run(theme, fresh + i, steps, trace);
	return 0;
}
