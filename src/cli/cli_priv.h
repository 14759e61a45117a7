/* Shared inside the folder. Memory that runs out ends a client command: there is nothing it could still do. */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"

#include <stdint.h>

extern const struct cli_command submit_command, wait_command, result_command, cancel_command, jobs_command, queues_command,
	work_command, stream_command, streams_command, append_command, tail_command, groups_command, group_command,
	topics_command, topic_command, top_command, completion_command, help_command, version_command;

/* Ours, then the extra ones: what help and completion are made of. */
struct cli_registry {
	const struct cli_command *const *own;
	size_t own_count;
	const struct cli_command *extra;
	size_t extra_count;
};

size_t cli_command_count(void);
const struct cli_command *cli_command_at(size_t place);
const struct cli_command *cli_command_find(const char *name); /* NULL when there is none */
const char *cli_command_nearest(const char *name);

/* The tables a command understands, its own first: up to 3, NULL behind the last. */
enum { CLI_TABLES = 3 };
void cli_command_tables(const struct cli_command *command, const struct cli_option *ret_tables[CLI_TABLES + 1]);

/* Help on a command, or with NULL on all. */
void help_print(FILE *out, const struct cli_command *command);
int help_unknown_command(const char *name); /* says so; CLI_USAGE */

NO_RETURN void cli_out_of_memory(void);
void *cli_alloc(size_t size_bytes); /* zeroed, never NULL; mem_free */
char *cli_dup(const char *str);     /* never NULL; mem_free */
/* The content as a C string, which the buffer keeps owning; ends the program when an append had failed. */
const char *cli_text(struct buf *buf);

uint64_t cli_now_ns(void); /* monotonic */
uint64_t cli_random(void);
