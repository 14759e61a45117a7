#pragma once
/* A growing byte queue: appended at the end, consumed at the front. Running out of memory ends the generator. */
#include <stddef.h>
#include <stdint.h>

struct bytes {
	char *data; /* owned */
	size_t start;
	size_t end;
	size_t capacity;
};

static inline const char *bytes_head(const struct bytes *bytes)
{
	return bytes->data + bytes->start;
}

static inline size_t bytes_len(const struct bytes *bytes)
{
	return bytes->end - bytes->start;
}

/* Room for `want` more bytes at the returned place; bytes_grew says how many were put there. */
char *bytes_room(struct bytes *bytes, size_t want);
void bytes_grew(struct bytes *bytes, size_t count);

void bytes_append(struct bytes *bytes, const void *data, size_t len);
void bytes_printf(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bytes_consume(struct bytes *bytes, size_t count);
void bytes_free(struct bytes *bytes);
