/* Runs a fuzz target's committed corpus in an ordinary build: every input as it is, then cut short and with single bytes
 * changed, always in the same order, for about VARIANT_BUDGET_NS.
 *
 *     NAME_fuzz CORPUS_DIRECTORY         exit 0: all went through; 2: there is no corpus, or it cannot be read
 *     REPLAY_TRACE=1 NAME_fuzz …         says before each run which one it is: the last line names what crashed
 *
 * Each input lies in memory of exactly its own length, so that a sanitizer sees a read beyond it. What a target finds wrong it
 * reports by ending the program. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static const uint64_t VARIANT_BUDGET_NS = 5000000000;

enum { CUTS_MAX = 512, CHANGES_MAX = 4096, EXIT_UNUSABLE = 2 };

struct input {
	char *path;
	uint8_t *bytes;
	size_t len;
};

struct corpus {
	struct input *inputs;
	size_t count;
};

static bool trace;

static void out_of_memory(void)
{
	fputs("replay: out of memory\n", stderr);
	exit(EXIT_UNUSABLE);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

/* 0 or -errno */
static int input_read(struct input *input, size_t size)
{
	FILE *file = fopen(input->path, "rb");
	int r = 0;

	if (!file)
		return -errno;
	input->bytes = malloc(size ? size : 1);
	if (!input->bytes)
		out_of_memory();
	input->len = fread(input->bytes, 1, size, file);
	if (input->len != size)
		r = -EIO;
	fclose(file);
	return r;
}

/* Takes a regular file into the corpus, passes over anything else. 0 or -errno. */
static int corpus_add(struct corpus *corpus, const char *dir, const char *name)
{
	struct input input = {0};
	struct stat st;
	int r;

	if (asprintf(&input.path, "%s/%s", dir, name) < 0)
		out_of_memory();
	if (stat(input.path, &st)) {
		r = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		free(input.path);
		return 0;
	} else {
		r = input_read(&input, (size_t)st.st_size);
	}
	if (r) {
		fprintf(stderr, "replay: %s: %s\n", input.path, strerror(-r));
		return r;
	}
	corpus->inputs = reallocarray(corpus->inputs, corpus->count + 1, sizeof(input));
	if (!corpus->inputs)
		out_of_memory();
	corpus->inputs[corpus->count++] = input;
	return 0;
}

static int corpus_load(struct corpus *corpus, const char *dir)
{
	DIR *entries = opendir(dir);
	const struct dirent *entry;
	int r = 0;

	if (!entries) {
		r = -errno;
		fprintf(stderr, "replay: %s: %s\n", dir, strerror(-r));
		return r;
	}
	while (!r && (entry = readdir(entries)))
		r = entry->d_name[0] == '.' ? 0 : corpus_add(corpus, dir, entry->d_name);
	closedir(entries);
	if (!r && corpus->count == 0) {
		fprintf(stderr, "replay: %s: the corpus is empty\n", dir);
		r = -ENOENT;
	}
	if (!r)
		qsort(corpus->inputs, corpus->count, sizeof(*corpus->inputs), by_path);
	return r;
}

static void run(const struct input *input, size_t len, size_t change_at, uint8_t change)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		out_of_memory();
	memcpy(exact, input->bytes, len);
	if (change)
		exact[change_at] ^= change;
	if (trace) {
		fprintf(stderr, "replay: %s, %zu of %zu bytes, byte %zu ^ 0x%02x\n", input->path, len, input->len, change_at,
			change);
		fflush(stderr);
	}
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The n-th of `count` places spread over `len`. */
static size_t spread(size_t n, size_t count, size_t len)
{
	return count == len ? n : (size_t)((double)n * (double)len / (double)count);
}

/* How many variants an input has: cuts first, then changes. */
static size_t variant_count(const struct input *input)
{
	return at_most(input->len, CUTS_MAX) + at_most(8 * input->len, CHANGES_MAX);
}

static void run_variant(const struct input *input, size_t n)
{
	/* A bit, the case of a letter, the top bit, all bits, … */
	static const uint8_t changes[8] = {0x01, 0x20, 0x80, 0xff, 0x02, 0x10, 0x04, 0x0d};
	size_t cuts = at_most(input->len, CUTS_MAX), places;

	if (n < cuts) {
		run(input, spread(n, cuts, input->len), 0, 0);
		return;
	}
	n -= cuts;
	places = at_most(input->len, CHANGES_MAX / 8);
	run(input, input->len, spread(n / 8, places, input->len), changes[n % 8]);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* All inputs in turn, one variant each, so that a budget that runs out has passed over none of them. The stride is a prime
 * larger than any count of variants: each comes once, and the first ones lie all over the input. */
static size_t run_variants(const struct corpus *corpus)
{
	static const size_t stride = 1000003;
	uint64_t until_ns = now_ns() + VARIANT_BUDGET_NS;
	size_t ran = 0;
	bool more = true;

	for (size_t round = 0; more; round++) {
		more = false;
		for (size_t i = 0; i < corpus->count; i++) {
			size_t count = variant_count(&corpus->inputs[i]);

			if (round >= count)
				continue;
			if (now_ns() > until_ns)
				return ran;
			run_variant(&corpus->inputs[i], round * stride % count);
			ran++;
			more = true;
		}
	}
	return ran;
}

int main(int argc, char **argv)
{
	struct corpus corpus = {0};
	size_t variants;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argc ? argv[0] : "replay");
		return EXIT_UNUSABLE;
	}
	trace = getenv("REPLAY_TRACE") != NULL;
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (corpus_load(&corpus, argv[1]))
		return EXIT_UNUSABLE;
	for (size_t i = 0; i < corpus.count; i++)
		run(&corpus.inputs[i], corpus.inputs[i].len, 0, 0);
	variants = run_variants(&corpus);
	printf("%zu inputs and %zu variants of them from %s\n", corpus.count, variants, argv[1]);
	for (size_t i = 0; i < corpus.count; i++) {
		free(corpus.inputs[i].path);
		free(corpus.inputs[i].bytes);
	}
	free(corpus.inputs);
	return 0;
}
