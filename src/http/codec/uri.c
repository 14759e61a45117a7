#include "http/codec/uri.h"

#include <errno.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character at s[*at], decoded, with *at moved behind it; negative: broken. */
static int next_char(struct slice s, size_t *at)
{
	int high, low;

	if (s.ptr[*at] != '%')
		return (unsigned char)s.ptr[(*at)++];
	if (s.len - *at < 3)
		return -EINVAL;
	high = hex(s.ptr[*at + 1]);
	low = hex(s.ptr[*at + 2]);
	/* %00 has no use here and has fooled many. */
	if (high < 0 || low < 0 || high + low == 0)
		return -EINVAL;
	*at += 3;
	return high << 4 | low;
}

int uri_decode(struct slice s, struct arena *arena, struct slice *ret_decoded)
{
	size_t len = 0;
	char *out;

	if (!s.len || !memchr(s.ptr, '%', s.len)) {
		*ret_decoded = s;
		return 0;
	}
	out = arena_alloc(arena, s.len);
	if (!out)
		return -ENOMEM;
	for (size_t at = 0; at < s.len;) {
		int c = next_char(s, &at);

		if (c < 0)
			return c;
		out[len++] = (char)c;
	}
	*ret_decoded = slice_from(out, len);
	return 0;
}

void uri_encode(struct slice s, const char *kept, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    (c && (strchr("-._~", c) || strchr(kept, c)))) {
			buf_append_char(out, (char)c);
		} else {
			buf_append_char(out, '%');
			buf_append_char(out, digits[c >> 4]);
			buf_append_char(out, digits[c & 15]);
		}
	}
}

bool uri_query_next(struct slice *query, struct slice *ret_name, struct slice *ret_value)
{
	while (query->len) {
		struct slice value = slice_cut(query, '&');

		if (value.len) {
			*ret_name = slice_cut(&value, '=');
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* 1: equal; 0: not; -EINVAL. */
static int name_is(struct slice encoded, struct slice name)
{
	size_t at = 0, i = 0;

	while (at < encoded.len) {
		int c = next_char(encoded, &at);

		if (c < 0)
			return c;
		if (i == name.len || (char)c != name.ptr[i++])
			return 0;
	}
	return i == name.len;
}

int uri_query_get(struct slice query, struct slice name, struct arena *arena, struct slice *ret_value)
{
	struct slice key, value;

	while (uri_query_next(&query, &key, &value)) {
		int same = name_is(key, name);

		if (same < 0)
			return same;
		if (same)
			return uri_decode(value, arena, ret_value);
	}
	return URI_ABSENT;
}
