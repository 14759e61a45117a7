#include "http/api/stream_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* The protocol's: intervals of 20 s since 2024-10-09T00:00:00Z; a cursor that would repeat goes up to an hour beyond. */
#define CURSOR_EPOCH_MS 1728432000000ULL
enum { CURSOR_INTERVAL_MS = 20000, CURSOR_JITTER = 3600 / 20, NUMBER_CHARS = 16 };
#define CURSOR_MAX (1ULL << 53)

void place_write(uint64_t number, uint64_t offset, char out[PLACE_CHARS + 1])
{
	snprintf(out, PLACE_CHARS + 1, "%016" PRIx64 "_%016" PRIx64, number, offset);
}

/* Lower case only: there is one way to write a place. */
static int hex_read(struct slice text, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

int place_read(struct slice text, uint64_t *ret_number, uint64_t *ret_offset)
{
	uint64_t number, offset;

	if (text.len != PLACE_CHARS || text.ptr[NUMBER_CHARS] != '_' || hex_read(slice_from(text.ptr, NUMBER_CHARS), &number) ||
	    hex_read(slice_from(text.ptr + NUMBER_CHARS + 1, NUMBER_CHARS), &offset))
		return -EINVAL;
	*ret_number = number;
	*ret_offset = offset;
	return 0;
}

int offset_read(struct slice text, struct stream_read_in *in)
{
	if (slice_eq(text, SLICE("-1"))) {
		in->from = STREAM_FROM_START;
		return 0;
	}
	if (slice_eq(text, SLICE("now"))) {
		in->from = STREAM_FROM_NOW;
		return 0;
	}
	in->from = STREAM_FROM_OFFSET;
	return place_read(text, &in->number, &in->offset);
}

uint64_t cursor_next(uint64_t unix_ms, uint64_t client, uint64_t chance)
{
	uint64_t now = unix_ms > CURSOR_EPOCH_MS ? (unix_ms - CURSOR_EPOCH_MS) / CURSOR_INTERVAL_MS : 0;

	return client < now ? now : client + 1 + chance % CURSOR_JITTER;
}

uint64_t cursor_read(struct slice text)
{
	uint64_t value;

	return slice_u64(text, &value) || value > CURSOR_MAX ? 0 : value;
}

struct slice etag_write(char out[ETAG_BYTES], uint64_t number, uint64_t from, uint64_t after, bool closed)
{
	int len = snprintf(out, ETAG_BYTES, "\"%" PRIx64 ":%" PRIx64 ":%" PRIx64 "%s\"", number, from, after, closed ? ":c" : "");

	return slice_from(out, (size_t)len);
}

bool etag_matches(struct slice if_none_match, struct slice etag)
{
	while (if_none_match.len) {
		struct slice item = slice_trim(slice_cut(&if_none_match, ','));

		if (slice_starts_with(item, SLICE("W/")))
			item = slice_from(item.ptr + 2, item.len - 2);
		if (slice_eq(item, etag) || slice_eq(item, SLICE("*")))
			return true;
	}
	return false;
}
