#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ASK_TIMEOUT_NS 30000000000ull

size_t http_header(const struct http_answer *answer, const char *name, const char **ret_value)
{
	size_t name_len = strlen(name);
	const char *end = answer->head + answer->head_len;
	const char *line = memchr(answer->head, '\n', answer->head_len);
	while (line && ++line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		if (!next)
			return 0;
		if ((size_t)(next - line) > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0) {
			const char *value = line + name_len + 1;
			while (value < next && *value == ' ')
				value++;
			const char *stop = next;
			while (stop > value && (stop[-1] == '\r' || stop[-1] == ' '))
				stop--;
			*ret_value = value;
			return (size_t)(stop - value);
		}
		line = next;
	}
	return 0;
}

bool http_header_copy(const struct http_answer *answer, const char *name, char *ret_text, size_t capacity)
{
	const char *value;
	size_t len = http_header(answer, name, &value);
	if (len == 0 || len >= capacity)
		return false;
	memcpy(ret_text, value, len);
	ret_text[len] = 0;
	return true;
}

size_t http_parse(const char *data, size_t len, struct http_answer *ret_answer)
{
	const char *blank = len >= 4 ? memmem(data, len, "\r\n\r\n", 4) : NULL;
	if (!blank)
		return 0;
	struct http_answer answer = {.head = data, .head_len = (size_t)(blank - data) + 2};
	if (len < 13 || memcmp(data, "HTTP/1.", 7) != 0)
		loop_die("not an HTTP/1 answer: %.*s", (int)(len > 80 ? 80 : len), data);
	answer.status = (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
	answer.body = blank + 4;
	const char *value;
	size_t value_len = http_header(&answer, "content-length", &value);
	if (value_len > 0) {
		char text[24] = {0};
		memcpy(text, value, value_len < sizeof(text) ? value_len : sizeof(text) - 1);
		answer.body_len = strtoull(text, NULL, 10);
	} else if (answer.status != 204 && answer.status != 304 && answer.status >= 200) {
		loop_die("an answer without Content-Length: %.*s", (int)answer.head_len, answer.head);
	}
	size_t total = answer.head_len + 2 + answer.body_len;
	if (total > len)
		return 0;
	*ret_answer = answer;
	return total;
}

void http_expect(const struct http_answer *answer, int status, const char *what)
{
	if (answer->status == status)
		return;
	loop_die("%s: expected %d, got: %.*s\n%.*s", what, status, (int)answer->head_len, answer->head,
		 (int)(answer->body_len > 500 ? 500 : answer->body_len), answer->body);
}

struct ask {
	bool done;
	size_t total;
	struct http_answer answer;
};

static void ask_input(struct conn *conn, uint64_t now_ns)
{
	(void)now_ns;
	struct ask *ask = conn->owner;
	ask->total = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &ask->answer);
	ask->done = ask->total > 0;
}

struct http_answer http_ask(struct conn *conn, const char *request, size_t request_len)
{
	struct ask ask = {0};
	void *owner = conn->owner;
	void (*on_input)(struct conn *, uint64_t) = conn->on_input;
	bytes_consume(&conn->in, bytes_len(&conn->in)); /* the answer of the call before */
	conn->owner = &ask;
	conn->on_input = ask_input;
	conn_write(conn, request, request_len);
	if (!loop_until(conn->loop, &ask.done, loop_now_ns() + ASK_TIMEOUT_NS))
		loop_die("no answer in 30 s to: %.*s", (int)(request_len > 200 ? 200 : request_len), request);
	conn->owner = owner;
	conn->on_input = on_input;
	return ask.answer;
}
