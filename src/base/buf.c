#include "base/buf.h"

#include "base/mem.h"
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_deinit(struct buf *buf)
{
	mem_free(buf->ptr);
	*buf = (struct buf){0};
}

char *buf_reserve(struct buf *buf, size_t len)
{
	size_t need, cap = buf->cap ? buf->cap : BUF_FIRST_BYTES;
	char *ptr;

	if (buf->failed)
		return NULL;
	if (LIKELY(buf->cap - buf->len >= len && buf->ptr))
		return buf->ptr + buf->len;
	if (__builtin_add_overflow(buf->len, len, &need) || need > SIZE_MAX / 2) {
		buf->failed = true;
		return NULL;
	}
	while (cap < need)
		cap *= 2;
	ptr = mem_realloc(buf->ptr, cap);
	if (!ptr) {
		buf->failed = true;
		return NULL;
	}
	buf->ptr = ptr;
	buf->cap = cap;
	return ptr + buf->len;
}

void buf_append(struct buf *buf, const void *ptr, size_t len)
{
	char *to = len ? buf_reserve(buf, len) : NULL;

	if (!to)
		return;
	memcpy(to, ptr, len);
	buf->len += len;
}

void buf_append_slice(struct buf *buf, struct slice s)
{
	buf_append(buf, s.ptr, s.len);
}

void buf_append_str(struct buf *buf, const char *str)
{
	buf_append(buf, str, strlen(str));
}

void buf_append_char(struct buf *buf, char c)
{
	buf_append(buf, &c, 1);
}

void buf_append_u64(struct buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_append(buf, digits + at, sizeof(digits) - at);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args, again;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len >= 0) {
		char *to = buf_reserve(buf, (size_t)len + 1);

		if (to) {
			vsnprintf(to, (size_t)len + 1, fmt, again);
			buf->len += (size_t)len;
		}
	} else {
		buf->failed = true;
	}
	va_end(again);
}

void buf_consume(struct buf *buf, size_t len)
{
	ENSURE(len <= buf->len);
	buf->len -= len;
	if (buf->len)
		memmove(buf->ptr, buf->ptr + len, buf->len);
}
