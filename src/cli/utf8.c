#include "cli/utf8.h"

size_t utf8_sequence(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0; /* overlong */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90; /* overlong */
	else if (p[0] == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	if (s.len < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

void utf8_append(struct buf *out, struct slice s)
{
	while (s.len && is_continuation(s.ptr[0]))
		s = slice_from(s.ptr + 1, s.len - 1);
	while (s.len) {
		size_t len = utf8_sequence(s);

		if (len && s.ptr[0]) {
			buf_append(out, s.ptr, len);
		} else {
			size_t rest = 1;

			while (rest < s.len && is_continuation(s.ptr[rest]))
				rest++;
			if (rest == s.len && rest < 4 && s.ptr[0])
				return; /* cut off */
			buf_append_char(out, '?');
		}
		s = slice_from(s.ptr + (len ? len : 1), s.len - (len ? len : 1));
	}
}
