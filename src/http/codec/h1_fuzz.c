/* Any bytes as requests: the decoder says the same however they are cut, and takes no head that a second, naive reader of
 * RFC 9112 would frame differently. Then the same bytes as the value of a field and as a URI.
 *
 *     byte 0        bit 0 = small limits; bits 1 to 7 = seed of the cuts
 *     the rest      what a client sends */
#include "base/mem.h"
#include "http/codec/date.h"
#include "http/codec/field.h"
#include "http/codec/h1_trace.h"
#include "http/codec/uri.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS_MAX = 16, EVERY_BYTE_MAX = 512 };

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

/* --- pieces --- */

static void fuzz_pieces(const struct h1_trace *whole, const struct h1_limits *limits, struct slice bytes, uint32_t seed)
{
	size_t cuts[EVERY_BYTE_MAX], count = 0;

	for (size_t at = 0; count < CUTS_MAX;) {
		seed = seed * 1103515245 + 12345;
		at += seed >> 16 & (seed & 1 << 30 ? 3 : 63);
		if (at >= bytes.len)
			break;
		if (at > 0)
			cuts[count++] = at;
		at++;
	}
	MUST(h1_trace_same(whole, limits, bytes, cuts, count));
	if (bytes.len == 0 || bytes.len > EVERY_BYTE_MAX)
		return;
	for (size_t at = 1; at < bytes.len; at++)
		cuts[at - 1] = at;
	MUST(h1_trace_same(whole, limits, bytes, cuts, bytes.len - 1));
}

/* --- the naive reader --- */

struct naive {
	unsigned lengths, encodings, hosts;
	uint64_t length;
	bool chunked;
};

/* Plain loops, nothing of what the decoder is made of. */
static bool same_name(struct slice s, const char *name)
{
	size_t i = 0;

	for (; i < s.len && name[i]; i++)
		if (s.ptr[i] != name[i] && s.ptr[i] != name[i] - ('a' - 'A'))
			return false;
	return i == s.len && !name[i];
}

static void naive_field(struct naive *naive, struct slice line)
{
	struct slice name = {line.ptr, 0}, value;

	while (name.len < line.len && line.ptr[name.len] != ':') {
		MUST(line.ptr[name.len] > ' ' && line.ptr[name.len] < 0x7f);
		name.len++;
	}
	MUST(name.len > 0 && name.len < line.len);
	value = slice_from(name.ptr + name.len + 1, line.len - name.len - 1);
	for (size_t i = 0; i < value.len; i++)
		MUST(value.ptr[i] == '\t' || (unsigned char)value.ptr[i] >= ' ');
	while (value.len && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
		value = slice_from(value.ptr + 1, value.len - 1);
	while (value.len && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
		value.len--;
	if (same_name(name, "content-length")) {
		naive->lengths++;
		MUST(value.len > 0);
		for (size_t i = 0; i < value.len; i++) {
			MUST(value.ptr[i] >= '0' && value.ptr[i] <= '9');
			naive->length = naive->length * 10 + (uint64_t)(value.ptr[i] - '0');
		}
	} else if (same_name(name, "transfer-encoding")) {
		naive->encodings++;
		naive->chunked = same_name(value, "chunked");
	} else if (same_name(name, "host")) {
		naive->hosts++;
	}
}

/* `bytes` begins with a message that was decoded to its end: its head has no second reading. Returns the head's length. */
static size_t naive_head(struct naive *naive, struct slice bytes)
{
	size_t at = 0, start;

	while (at + 1 < bytes.len && bytes.ptr[at] == '\r' && bytes.ptr[at + 1] == '\n')
		at += 2;
	for (bool first = true;; first = false) {
		for (start = at; at + 1 < bytes.len && !(bytes.ptr[at] == '\r' && bytes.ptr[at + 1] == '\n'); at++)
			MUST(bytes.ptr[at] != '\r' && bytes.ptr[at] != '\n');
		MUST(at + 1 < bytes.len);
		at += 2;
		if (at - start == 2)
			return at;
		if (!first)
			naive_field(naive, slice_from(bytes.ptr + start, at - 2 - start));
	}
}

static size_t naive_chunks(struct slice bytes, size_t at)
{
	for (;;) {
		uint64_t size = 0;

		for (; at < bytes.len && bytes.ptr[at] != ';' && bytes.ptr[at] != '\r'; at++) {
			char c = bytes.ptr[at];

			MUST((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
			size = size * 16 + (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		}
		while (at < bytes.len && bytes.ptr[at] != '\n')
			at++;
		MUST(at < bytes.len && bytes.ptr[at - 1] == '\r');
		at++;
		if (size == 0)
			break;
		MUST(size < bytes.len - at);
		at += size;
		MUST(bytes.len - at >= 2 && bytes.ptr[at] == '\r' && bytes.ptr[at + 1] == '\n');
		at += 2;
	}
	for (size_t start = at;; start = at) {
		while (at < bytes.len && bytes.ptr[at] != '\n')
			at++;
		MUST(at < bytes.len && bytes.ptr[at - 1] == '\r');
		at++;
		if (at - start == 2)
			return at;
	}
}

/* Each message that was taken ends where the naive reader says. */
static void fuzz_framing(const struct h1_trace *whole, struct slice bytes)
{
	size_t at = 0;

	for (size_t i = 0; i < whole->message_count; i++) {
		struct naive naive = {0};
		size_t head = at + naive_head(&naive, slice_from(bytes.ptr + at, bytes.len - at));

		MUST(naive.hosts <= 1 && naive.lengths + naive.encodings <= 1 && naive.chunked == (naive.encodings == 1));
		if (naive.chunked)
			at = naive_chunks(bytes, head);
		else
			at = head + naive.length;
		MUST(at <= bytes.len);
	}
	MUST(at == whole->used);
}

/* --- fields and URIs --- */

static void fuzz_lists(struct slice bytes)
{
	struct slice rest = bytes, item;

	while (field_list_next(&rest, &item)) {
		char *out = malloc(item.len);
		size_t len;

		MUST(item.len > 0 && out && item.ptr >= bytes.ptr && item.ptr + item.len <= bytes.ptr + bytes.len);
		MUST(item.ptr[0] != ' ' && item.ptr[item.len - 1] != '\t');
		if (field_unquote(item, out, &len) == 0)
			MUST(field_is_token(item) ? len == item.len : len + 2 <= item.len);
		free(out);
	}
	MUST(rest.len == 0);
}

static void fuzz_ranges(struct slice bytes, uint64_t size)
{
	uint64_t from = 7, count = 7;
	char text[80];

	switch (range_parse(bytes, size, &from, &count)) {
	case RANGE_PART:
		MUST(count > 0 && from < size && count <= size - from);
		snprintf(text, sizeof(text), "bytes=%llu-%llu", (unsigned long long)from, (unsigned long long)(from + count - 1));
		MUST(range_parse(slice_str(text), size, &from, &count) == RANGE_PART);
		break;
	case RANGE_NONE:
	case RANGE_UNSATISFIABLE:
		MUST(from == 7 && count == 7);
		break;
	}
}

static void fuzz_uri(struct slice bytes)
{
	struct arena arena = {0};
	struct slice decoded, name, value, query = bytes;

	if (uri_decode(bytes, &arena, &decoded) == 0) {
		MUST(decoded.len <= bytes.len);
		MUST(decoded.len == bytes.len || memchr(bytes.ptr, '%', bytes.len));
	}
	while (uri_query_next(&query, &name, &value)) {
		struct slice plain, found;

		MUST(name.len + value.len <= bytes.len);
		/* By its decoded name each is found, or one of the same name that stands before it. */
		if (uri_decode(name, &arena, &plain) == 0)
			MUST(uri_query_get(bytes, plain, &arena, &found) != URI_ABSENT);
	}
	arena_deinit(&arena);
}

static void fuzz_values(struct slice bytes)
{
	struct prefer prefer = {0};
	uint64_t number = 0;
	char date[DATE_BYTES];

	memcpy(&number, bytes.ptr, bytes.len < sizeof(number) ? bytes.len : sizeof(number));
	date_format(number, date);
	for (size_t i = 0; i < sizeof(date); i++)
		MUST(date[i] >= ' ' && date[i] <= 'z');
	prefer_parse(bytes, &prefer);
	MUST(prefer.has_wait || prefer.wait_s == 0);
	fuzz_lists(bytes);
	fuzz_ranges(bytes, 10);
	fuzz_ranges(bytes, number);
	fuzz_uri(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h1_limits limits[] = {
		{.header_count = 64, .header_bytes = 16 * 1024, .target_bytes = 8 * 1024},
		{.header_count = 4, .header_bytes = 120, .target_bytes = 20},
	};
	const struct h1_limits *chosen;
	struct slice bytes;
	struct h1_trace whole;

	if (size < 1)
		return 0;
	chosen = &limits[data[0] & 1];
	bytes = slice_from(data + 1, size - 1);
	h1_trace_play(&whole, chosen, bytes, NULL, 0);
	fuzz_pieces(&whole, chosen, bytes, data[0] >> 1);
	fuzz_framing(&whole, bytes);
	h1_trace_deinit(&whole);
	fuzz_values(bytes);
	return 0;
}
