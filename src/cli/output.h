/* Where result bytes go: stdout, or a file that appears under its name only when it is whole. */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
	const char *path; /* NULL: stdout */
	char *temp;       /* the file's name until then; NULL when it is written in place (a device, a pipe) */
	int fd;
	uint64_t written_bytes;
	int error; /* errno of what failed first */
};

/* `path` NULL or "-" is stdout. 0, or the exit code, told. */
int output_open(struct output *output, const char *path) MUST_USE;
int output_put(struct output *output, const char *ptr, size_t len) MUST_USE; /* 0, or -errno, kept in `error` */
/* Everything is there: gives the file its name. 0, or the exit code, told. */
int output_commit(struct output *output) MUST_USE;
void output_abort(struct output *output); /* leaves nothing behind; nothing after a commit */
bool output_is_terminal(const struct output *output);
