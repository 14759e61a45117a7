#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the value of member `key` begins, or NULL. */
static const char *json_value(const struct json_cursor *cursor, const char *key)
{
	char quoted[64];
	int quoted_len = snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	const char *at = cursor->at;
	while ((at = memmem(at, (size_t)(cursor->end - at), quoted, (size_t)quoted_len))) {
		at += quoted_len;
		while (at < cursor->end && *at == ' ')
			at++;
		if (at == cursor->end || *at != ':')
			continue;
		at++;
		while (at < cursor->end && *at == ' ')
			at++;
		return at < cursor->end ? at : NULL;
	}
	return NULL;
}

bool json_next_text(struct json_cursor *cursor, const char *key, const char **ret_text, size_t *ret_len)
{
	const char *value = json_value(cursor, key);
	if (!value || *value != '"')
		return false;
	value++;
	const char *close = memchr(value, '"', (size_t)(cursor->end - value));
	if (!close)
		return false;
	*ret_text = value;
	*ret_len = (size_t)(close - value);
	cursor->at = close + 1;
	return true;
}

bool json_next_copy(struct json_cursor *cursor, const char *key, char *ret_text, size_t capacity)
{
	const char *text;
	size_t len;
	if (!json_next_text(cursor, key, &text, &len) || len >= capacity)
		return false;
	memcpy(ret_text, text, len);
	ret_text[len] = 0;
	return true;
}

int64_t json_next_number(struct json_cursor *cursor, const char *key)
{
	const char *value = json_value(cursor, key);
	if (!value || *value < '0' || *value > '9')
		return -1;
	int64_t number = 0;
	while (value < cursor->end && *value >= '0' && *value <= '9')
		number = number * 10 + (*value++ - '0');
	cursor->at = value;
	return number;
}

static int json_base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t json_base64(const char *text, size_t len, char *ret_bytes, size_t capacity)
{
	uint32_t bits = 0;
	uint32_t bits_count = 0;
	size_t made = 0;
	for (size_t i = 0; i < len && made < capacity; i++) {
		int digit = json_base64_digit(text[i]);
		if (digit < 0)
			break;
		bits = bits << 6 | (uint32_t)digit;
		bits_count += 6;
		if (bits_count >= 8) {
			bits_count -= 8;
			ret_bytes[made++] = (char)(bits >> bits_count);
		}
	}
	return made;
}
