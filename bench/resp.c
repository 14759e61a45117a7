#include "resp.h"

#include <stdlib.h>
#include <string.h>

/* A reply's first line: its kind, its number and where the next line starts; 0 when the line is not all there. */
static size_t resp_line(const char *data, size_t len, long long *ret_number)
{
	const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
	if (!end)
		return 0;
	*ret_number = (data[0] == '+' || data[0] == '-') ? 0 : strtoll(data + 1, NULL, 10);
	return (size_t)(end - data) + 1;
}

size_t resp_parse(const char *data, size_t len)
{
	size_t at = 0;
	/* Replies still wanted; an array wants one more for each of its elements. */
	long long wanted = 1;
	while (wanted > 0) {
		long long number;
		size_t line = resp_line(data + at, len - at, &number);
		if (line == 0)
			return 0;
		char kind = data[at];
		if (kind == '-')
			loop_die("redis: %.*s", (int)line, data + at);
		at += line;
		wanted--;
		if (kind == '*' && number > 0)
			wanted += number;
		if (kind == '$' && number >= 0)
			at += (size_t)number + 2;
		if (at > len)
			return 0;
	}
	return at;
}

bool resp_string(const char *reply, size_t len, size_t *at, const char **ret_text, size_t *ret_text_len)
{
	while (*at < len) {
		long long number;
		char kind = reply[*at];
		size_t line = resp_line(reply + *at, len - *at, &number);
		if (line == 0)
			return false;
		*at += line;
		if (kind == '$' && number >= 0) {
			*ret_text = reply + *at;
			*ret_text_len = (size_t)number;
			*at += (size_t)number + 2;
			return true;
		}
	}
	return false;
}

void resp_command(struct conn *conn, const char *const *words, uint32_t count)
{
	conn_printf(conn, "*%u\r\n", count);
	for (uint32_t i = 0; i < count; i++)
		conn_printf(conn, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}
