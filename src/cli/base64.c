#include "cli/base64.h"

#include <errno.h>

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct buf *out, struct slice text)
{
	size_t padding = 0;

	if (text.len % 4)
		return -EINVAL;
	while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
		padding++;
	for (size_t at = 0; at < text.len; at += 4) {
		size_t digits = at + 4 == text.len ? 4 - padding : 4;
		uint32_t group = 0;

		for (size_t i = 0; i < 4; i++) {
			int value = i < digits ? digit_value(text.ptr[at + i]) : 0;

			if (value < 0)
				return -EINVAL;
			group = group << 6 | (uint32_t)value;
		}
		for (size_t i = 0; i + 1 < digits; i++)
			buf_append_char(out, (char)(group >> (16 - 8 * i)));
	}
	return out->failed ? -ENOMEM : 0;
}
