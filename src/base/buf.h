/* A growing byte buffer with a sticky failure: appends that lack memory set `failed` and change nothing; the caller looks
 * once at the end. Zero-initialised is empty; buf_deinit frees. */
#pragma once

#include "base/slice.h"

struct buf {
	char *ptr;
	size_t len;
	size_t cap;
	bool failed;
};

void buf_deinit(struct buf *buf);

/* Forgets the content, keeps the memory. */
static inline void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

static inline struct slice buf_slice(const struct buf *buf)
{
	return (struct slice){buf->ptr, buf->len};
}

/* Room for `len` more bytes behind the content, or NULL (and `failed`). What is written there counts once `buf->len` is
 * raised. */
char *buf_reserve(struct buf *buf, size_t len);

void buf_append(struct buf *buf, const void *ptr, size_t len);
void buf_append_slice(struct buf *buf, struct slice s);
void buf_append_str(struct buf *buf, const char *str);
void buf_append_char(struct buf *buf, char c);
void buf_append_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops `len` bytes at the front; the rest moves up. */
void buf_consume(struct buf *buf, size_t len);
