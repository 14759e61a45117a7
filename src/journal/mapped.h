/* A file's bytes in memory, for reading. Where the disk fails or the file is cut short, that comes as SIGBUS, in the middle of a
 * read from memory. It is taken around the one look at them that is taken here, and told as an error; anywhere else it ends the
 * process as ever. The system, when it is to read there, answers -EFAULT. */
#pragma once

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

const char *mapped_new(int fd, size_t len) MUST_USE; /* from the file's start; NULL: it cannot be had */
void mapped_free(const char *mapped, size_t len);    /* NULL is fine */

/* 0; -EIO: not all of it can be read. Any thread that does not block SIGBUS. */
int mapped_crc32c(const char *at, size_t len, uint32_t *ret_crc) MUST_USE;
