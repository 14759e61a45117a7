/* System calls on files, with the loops that each of them needs. 0 or -errno; every descriptor is close-on-exec. */
#pragma once

#include "base/slice.h"

/* All of it, at `offset`; a write that makes no progress is -EIO. */
int disk_write(int fd, const void *ptr, size_t len, uint64_t offset) MUST_USE;

/* Up to `len` bytes; fewer only at the end of the file. */
int disk_read(int fd, void *out, size_t len, uint64_t offset, size_t *ret_len) MUST_USE;

/* Opens the directory, made first (0700, and its parent synced) when it is missing. */
int disk_open_dir(int parent_fd, const char *name, int *ret_fd) MUST_USE;

/* Calls `each` for every name but . and .., which may remove it; stops at its first error and returns that. */
int disk_list(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx) MUST_USE;

/* 16 lower-case hexadecimal digits and then exactly `suffix`. */
bool disk_name_parse(const char *name, const char *suffix, uint64_t *ret_number) MUST_USE;
