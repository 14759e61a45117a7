/* The command line of bide: dispatch, help, completion, and the client commands. The server's commands (serve, doctor,
 * config) come in from outside as `extra`, with their option tables, so that this folder depends on nothing but base. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What the exit code of every command means. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_NOT_ALLOWED = 4,
	CLI_CONFLICT = 5,
	CLI_TIMED_OUT = 6, /* timed out, or nothing there */
	CLI_UNREACHABLE = 7,
	CLI_JOB_FAILED = 10,
	CLI_CANCELED = 11,
	CLI_EXPIRED = 12,
};

/* A row of an option table; a row without a name ends the table. `arg` is the name of the option's argument as help shows
 * it, NULL for a flag, "[=DUR]" for one that may be left out; "FILE" and "DIR" make completion offer files, and "a|b|c" offers
 * these words. An option of the same name takes an argument in all commands or in none (`bide --name x submit …` must be readable
 * before the command is known). */
struct cli_option {
	const char *name; /* long, without dashes */
	char letter;      /* or 0 */
	const char *arg;
	const char *help;
};

struct cli_command {
	const char *name;
	const char *summary; /* one line */
	const char *usage;   /* the operands: "QUEUE [FILE|-]"; NULL or "" for none */
	const struct cli_option *options;
	/* argv[0] is the command's name, argv[argc] is NULL; options that stood before the command come with it. Returns the
	 * exit code. --help is answered before this is called. */
	int (*run)(int argc, char **argv);
	const char *detail; /* paragraphs below the usage; NULL for none */
	const char *group;  /* the heading it stands under in `bide help`; NULL: "Server" */
	bool client;        /* speaks to a server: --server, --json, --quiet and --retry are understood too */
};

/* The whole program: finds the command among ours and `extra` (kept by reference while this runs), runs it and returns its
 * exit code. Ends the program by itself only when memory runs out. */
int cli_main(int argc, char **argv, const struct cli_command *extra, size_t extra_count);

/* --- parsing, for the extra commands as well ------------------------------------------------------------------------- */

struct cli_given {
	const struct cli_option *option;
	const char *value; /* NULL for a flag */
};

/* Everything points into argv and the tables. */
struct cli_args {
	struct cli_given *given; /* in the order of the command line */
	size_t given_count;
	char **operands; /* NULL-terminated */
	size_t operand_count;
	size_t rest; /* the first operand that stood behind "--"; operand_count when there was none */
};

/* Options may stand anywhere before "--": --name value, --name=value, -n value, -nvalue, -abc. 0, or CLI_USAGE with the
 * mistake, and what may have been meant, told on stderr. On 0 the caller owes cli_args_deinit. */
int cli_args_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *ret_args) MUST_USE;
void cli_args_deinit(struct cli_args *args);

bool cli_args_has(const struct cli_args *args, const char *name);
const char *cli_args_value(const struct cli_args *args, const char *name); /* the last one given, or NULL */

/* --- what to say ------------------------------------------------------------------------------------------------------- */

/* "bide: …" on stderr: what happened and what it means. */
void cli_say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* An indented line below it: what to do. */
void cli_hint(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* "bide COMMAND: …" and where the help is. Returns CLI_USAGE. */
int cli_usage_error(const struct cli_command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The nearest of `candidates` to a word that is not among them, near enough to be meant; NULL when none is. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t count);
