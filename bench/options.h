#pragma once
/* The options of every subcommand; each reads those that concern it. Parsed by the table in main.c. */
#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *peer;
	const char *dir;
	const char *style;
	uint32_t port;
	uint32_t pid;
	uint32_t waiters_count;
	uint32_t clients_count;
	uint32_t workers_count;
	uint32_t depth;
	uint32_t rate;
	uint32_t interval_ms;
	uint32_t duration_ms;
	uint32_t warmup_ms;
	uint32_t body_bytes;
	uint32_t answer_bytes;
	uint32_t rounds_count;
	uint32_t plain;
};

int facts_main(const struct options *options);
int floor_main(const struct options *options);
int park_main(const struct options *options);
int jobs_main(const struct options *options);
int polling_main(const struct options *options);
