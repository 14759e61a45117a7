#pragma once
/* The options of every subcommand; each reads those that concern it. Parsed by the table in main.c. */
#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *peer;
	const char *dir;
	const char *style;
	const char *prefix;
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
	uint32_t streams_count;
	uint32_t records_count;
	uint32_t burst;
	uint32_t slow_count;
	uint32_t stay;
	uint32_t total_count;
};

int facts_main(const struct options *options);
int floor_main(const struct options *options);
int park_main(const struct options *options);
int jobs_main(const struct options *options);
int polling_main(const struct options *options);
int bytes_floor_main(const struct options *options);
int stream_append_main(const struct options *options);
int stream_tail_main(const struct options *options);
int stream_fill_main(const struct options *options);
int stream_read_main(const struct options *options);
int stream_idle_main(const struct options *options);
int stream_pull_main(const struct options *options);
int kafka_produce_main(const struct options *options);
int kafka_read_main(const struct options *options);
int kafka_tail_main(const struct options *options);
int kafka_idle_main(const struct options *options);
int kafka_wake_main(const struct options *options);
int kafka_client_main(const struct options *options);
