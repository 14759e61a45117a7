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

size_t http_head_parse(const char *data, size_t len, struct http_answer *ret_answer)
{
	const char *blank = len >= 4 ? memmem(data, len, "\r\n\r\n", 4) : NULL;
	if (!blank)
		return 0;
	struct http_answer answer = {.head = data, .head_len = (size_t)(blank - data) + 2};
	if (len < 13 || memcmp(data, "HTTP/1.", 7) != 0)
		loop_die("not an HTTP/1 answer: %.*s", (int)(len > 80 ? 80 : len), data);
	answer.status = (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
	answer.body = blank + 4;
	*ret_answer = answer;
	return answer.head_len + 2;
}

size_t http_parse(const char *data, size_t len, struct http_answer *ret_answer)
{
	struct http_answer answer;
	size_t head_len = http_head_parse(data, len, &answer);
	if (head_len == 0)
		return 0;
	const char *value;
	size_t value_len = http_header(&answer, "content-length", &value);
	if (value_len > 0) {
		char text[24] = {0};
		memcpy(text, value, value_len < sizeof(text) ? value_len : sizeof(text) - 1);
		answer.body_len = strtoull(text, NULL, 10);
	} else if (answer.status != 204 && answer.status != 304 && answer.status >= 200) {
		loop_die("an answer without Content-Length: %.*s", (int)answer.head_len, answer.head);
	}
	size_t total = head_len + answer.body_len;
	if (total > len)
		return 0;
	*ret_answer = answer;
	return total;
}

/* ---- chunked ---- */

size_t http_chunk_head(const char *data, size_t len, size_t *ret_chunk_len)
{
	const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
	char *stop;
	if (!end)
		return 0;
	unsigned long chunk_len = strtoul(data, &stop, 16);
	if (stop == data || (*stop != '\r' && *stop != ';'))
		loop_die("not a chunk: %.*s", (int)(end - data), data);
	*ret_chunk_len = chunk_len;
	return (size_t)(end - data) + 1;
}

/* Where the last chunk ends, from `at` on; 0 when it is not all there. */
static size_t http_chunks_end(const char *data, size_t len, size_t at)
{
	size_t chunk_len;
	size_t head_len;
	while ((head_len = http_chunk_head(data + at, len - at, &chunk_len)) > 0) {
		at += head_len + chunk_len + 2;
		if (at > len)
			return 0;
		if (chunk_len == 0)
			return at;
	}
	return 0;
}

static size_t http_chunks_join(char *data, size_t at, size_t end)
{
	size_t from = at;
	size_t to = at;
	size_t chunk_len;
	for (;;) {
		from += http_chunk_head(data + from, end - from, &chunk_len);
		if (chunk_len == 0)
			return to - at;
		memmove(data + to, data + from, chunk_len);
		to += chunk_len;
		from += chunk_len + 2;
	}
}

size_t http_take(struct bytes *in, struct http_answer *ret_answer)
{
	struct http_answer answer;
	const char *value;
	char *data = in->data + in->start;
	size_t len = bytes_len(in);
	size_t head_len = http_head_parse(data, len, &answer);
	if (head_len == 0)
		return 0;
	size_t value_len = http_header(&answer, "transfer-encoding", &value);
	if (value_len == 0)
		return http_parse(data, len, ret_answer);
	if (value_len != 7 || strncasecmp(value, "chunked", 7) != 0)
		loop_die("an answer coded as %.*s", (int)value_len, value);
	size_t total = http_chunks_end(data, len, head_len);
	if (total == 0)
		return 0;
	answer.body_len = http_chunks_join(data, head_len, total);
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
	ask->total = http_take(&conn->in, &ask->answer);
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
