#include "base/json.h"

#include "base/text.h"

static void json_comma(struct buf *out)
{
	char last = out->len ? out->ptr[out->len - 1] : '[';

	if (last != '{' && last != '[' && last != ':')
		buf_append_char(out, ',');
}

void json_open(struct buf *out, char bracket)
{
	json_comma(out);
	buf_append_char(out, bracket);
}

void json_close(struct buf *out, char bracket)
{
	buf_append_char(out, bracket);
}

void json_key(struct buf *out, const char *key)
{
	json_comma(out);
	buf_append_char(out, '"');
	buf_append_str(out, key);
	buf_append(out, "\":", 2);
}

static void json_escape(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	for (const char *pair = "\"\"\\\\\nn\rr\tt\bb\ff"; *pair; pair += 2) {
		if ((unsigned char)pair[0] == c) {
			buf_append_char(out, '\\');
			buf_append_char(out, pair[1]);
			return;
		}
	}
	buf_append(out, text, sizeof(text));
}

void json_str(struct buf *out, struct slice s)
{
	json_comma(out);
	buf_append_char(out, '"');
	for (size_t i = 0; i < s.len;) {
		size_t run = i;

		while (run < s.len) {
			unsigned char c = (unsigned char)s.ptr[run];
			size_t len = c < 0x80 ? 1 : text_utf8_len((struct slice){s.ptr + run, s.len - run});

			if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f || len == 0)
				break;
			run += len;
		}
		buf_append(out, s.ptr + i, run - i);
		if (run < s.len) {
			if ((unsigned char)s.ptr[run] < 0x80)
				json_escape(out, (unsigned char)s.ptr[run]);
			else
				buf_append_str(out, "\xef\xbf\xbd");
			run++;
		}
		i = run;
	}
	buf_append_char(out, '"');
}

void json_u64(struct buf *out, uint64_t v)
{
	json_comma(out);
	buf_append_u64(out, v);
}

void json_fixed(struct buf *out, double v, int decimals)
{
	json_comma(out);
	buf_printf(out, "%.*f", decimals, v);
	if (decimals == 0 || out->failed)
		return;
	while (out->ptr[out->len - 1] == '0')
		out->len--;
	if (out->ptr[out->len - 1] == '.')
		out->len--;
}

void json_bool(struct buf *out, bool v)
{
	json_raw(out, v ? SLICE("true") : SLICE("false"));
}

void json_nil(struct buf *out)
{
	json_raw(out, SLICE("null"));
}

void json_raw(struct buf *out, struct slice json)
{
	json_comma(out);
	buf_append_slice(out, json);
}

void json_time(struct buf *out, uint64_t unix_ms)
{
	char text[TEXT_TIME_BYTES];

	json_str(out, text_time(unix_ms, text));
}

void json_base64(struct buf *out, struct slice bytes)
{
	char *to;

	json_comma(out);
	buf_append_char(out, '"');
	to = buf_reserve(out, TEXT_BASE64_CHARS(bytes.len) + 1);
	if (!to)
		return;
	out->len += text_base64(bytes, to);
	buf_append_char(out, '"');
}
