#include "bytes.h"

#include "loop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bytes_room(struct bytes *bytes, size_t want)
{
	if (bytes->capacity - bytes->end >= want)
		return bytes->data + bytes->end;
	size_t len = bytes_len(bytes);
	if (bytes->start > 0) {
		memmove(bytes->data, bytes->data + bytes->start, len);
		bytes->start = 0;
		bytes->end = len;
	}
	if (bytes->capacity - len < want) {
		size_t capacity = bytes->capacity ? bytes->capacity : 512;
		while (capacity - len < want)
			capacity *= 2;
		char *data = realloc(bytes->data, capacity);
		if (!data)
			loop_die("out of memory");
		bytes->data = data;
		bytes->capacity = capacity;
	}
	return bytes->data + bytes->end;
}

void bytes_grew(struct bytes *bytes, size_t count)
{
	bytes->end += count;
}

void bytes_append(struct bytes *bytes, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(bytes_room(bytes, len), data, len);
	bytes->end += len;
}

void bytes_printf(struct bytes *bytes, const char *format, ...)
{
	size_t want = 256;
	for (;;) {
		char *room = bytes_room(bytes, want);
		va_list args;
		va_start(args, format);
		int len = vsnprintf(room, want, format, args);
		va_end(args);
		if (len < 0)
			loop_die("cannot format");
		if ((size_t)len < want) {
			bytes->end += (size_t)len;
			return;
		}
		want = (size_t)len + 1;
	}
}

void bytes_consume(struct bytes *bytes, size_t count)
{
	bytes->start += count;
	if (bytes->start == bytes->end)
		bytes->start = bytes->end = 0;
}

void bytes_free(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){0};
}
