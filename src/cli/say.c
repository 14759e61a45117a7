#include "base/mem.h"
#include "cli/cli_priv.h"
#include "cli/live.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void cli_say(const char *fmt, ...)
{
	va_list args;

	live_clear();
	fputs("bide: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void cli_hint(const char *fmt, ...)
{
	va_list args;

	fputs("  ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
{
	va_list args;

	live_clear();
	fprintf(stderr, "bide %s: ", command->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	cli_hint("Usage:  bide %s [OPTION…] %s", command->name, command->usage ? command->usage : "");
	cli_hint("All about it:  bide %s --help", command->name);
	return CLI_USAGE;
}

void cli_out_of_memory(void)
{
	live_clear();
	fputs("bide: out of memory\n", stderr);
	exit(CLI_FAILED);
}

void *cli_alloc(size_t size_bytes)
{
	void *ptr = mem_zalloc(size_bytes);

	if (!ptr)
		cli_out_of_memory();
	return ptr;
}

char *cli_dup(const char *str)
{
	char *copy = mem_dup(str, strlen(str));

	if (!copy)
		cli_out_of_memory();
	return copy;
}

const char *cli_text(struct buf *buf)
{
	char *end = buf_reserve(buf, 1);

	if (!end || buf->failed)
		cli_out_of_memory();
	*end = '\0';
	return buf->ptr;
}

uint64_t cli_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t cli_random(void)
{
	uint64_t value;

	/* Up to 256 bytes come whole or not at all (getrandom(2)). */
	while (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
		if (errno != EINTR) {
			cli_say("the system gives no random bytes: %s", strerror(errno));
			exit(CLI_FAILED);
		}
	}
	return value;
}
