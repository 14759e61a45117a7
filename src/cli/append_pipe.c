/* Requests are written one behind the other and answered in their order (RFC 9112 §9.3.2): the server takes those that have
 * arrived together with one write to its disk. Over several connections they would overtake each other, and most would be refused
 * as a gap. libcurl makes the connection, and TLS; it sends no second request before the first is answered, so the requests are
 * written here. */
#include "cli/append.h"

#include <string.h>

enum { HEAD_BYTES_MAX = 64 << 10, READ_BYTES = 16 << 10 };

int append_pipe_open(struct append_pipe *line, const struct append *append)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	/* A password in the URL would have to become a header. */
	if (strchr(append->at.base, '@'))
		return -1;
	*line = (struct append_pipe){.open = true};
	http_call_init(&line->call, "POST", append->at.base);
	curl_easy_setopt(line->call.easy, CURLOPT_URL, cli_text(&line->call.url));
	curl_easy_setopt(line->call.easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(line->call.easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	if (curl_easy_perform(line->call.easy) != CURLE_OK ||
	    curl_easy_getinfo(line->call.easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD) {
		append_pipe_close(line);
		return -1;
	}
	line->fd = fd;
	line->moved_ns = cli_now_ns();
	return 0;
}

void append_pipe_close(struct append_pipe *line)
{
	if (!line->open)
		return;
	http_call_deinit(&line->call);
	buf_deinit(&line->out);
	buf_deinit(&line->in);
	line->open = false;
}

/* What comes from the command line must not end the header it stands in. */
static void put_line(struct buf *out, const char *line)
{
	for (; *line; line++)
		buf_append_char(out, *line == '\r' || *line == '\n' ? ' ' : *line);
	buf_append_str(out, "\r\n");
}

static void put_header(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s: ", name);
	put_line(out, value);
}

void append_pipe_put(struct append_pipe *line, const struct append *append, uint64_t seq, struct slice text)
{
	const char *host = strstr(append->at.base, "://");
	struct buf *out = &line->out;
	size_t host_len;

	host = host ? host + 3 : append->at.base;
	host_len = strcspn(host, "/");
	buf_printf(out, "POST %s%s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: bide/" BIDE_VERSION "\r\n", host + host_len,
		   append->at.path, (int)host_len, host);
	put_header(out, "Content-Type", append->type);
	for (size_t i = 0; i < append->header_count; i++)
		put_line(out, append->headers[i]);
	put_header(out, "Producer-Id", append->producer);
	buf_printf(out, "Producer-Epoch: %llu\r\nProducer-Seq: %llu\r\nContent-Length: %zu\r\n\r\n",
		   (unsigned long long)append->epoch, (unsigned long long)seq, text.len);
	buf_append_slice(out, text);
	if (out->failed)
		cli_out_of_memory();
}

void append_pipe_write(struct append_pipe *line)
{
	while (line->out_at < line->out.len && !line->broken) {
		size_t n = 0;
		CURLcode code = curl_easy_send(line->call.easy, line->out.ptr + line->out_at, line->out.len - line->out_at, &n);

		if (code == CURLE_AGAIN)
			return;
		line->broken = code != CURLE_OK;
		line->out_at += n;
		line->moved_ns = cli_now_ns();
	}
	buf_clear(&line->out);
	line->out_at = 0;
}

/* A header's value in a head, whose lines end in CRLF; empty when there is none. */
static struct slice head_value(struct slice head, const char *name)
{
	size_t name_len = strlen(name);

	while (head.len) {
		const char *end = memchr(head.ptr, '\n', head.len);
		size_t len = end ? (size_t)(end + 1 - head.ptr) : head.len;

		if (len > name_len && head.ptr[name_len] == ':' && !strncasecmp(head.ptr, name, name_len)) {
			struct slice value = slice_from(head.ptr + name_len + 1, len - name_len - 1);

			while (value.len && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
				value.len--;
			return slice_trim(value);
		}
		head = slice_from(head.ptr + len, head.len - len);
	}
	return (struct slice){0};
}

/* Is it a success that has no body? */
static bool head_is_taken(struct slice head)
{
	if (slice_starts_with(head, SLICE("HTTP/1.1 204 ")))
		return true;
	return slice_starts_with(head, SLICE("HTTP/1.1 200 ")) && slice_eq(head_value(head, "Content-Length"), SLICE("0"));
}

/* The answers that are whole, up to one of another kind. */
static uint64_t pipe_answers(struct append_pipe *line, struct append *append)
{
	uint64_t count = 0;
	size_t at = 0;

	while (at < line->in.len && !line->broken) {
		const char *start = line->in.ptr + at, *end = memmem(start, line->in.len - at, "\r\n\r\n", 4);
		struct slice head, offset, woken;
		char text[72], number[24];

		if (!end)
			break;
		head = slice_from(start, (size_t)(end + 4 - start));
		line->broken = !head_is_taken(head);
		if (line->broken)
			break;
		offset = head_value(head, "Stream-Next-Offset");
		snprintf(text, sizeof(text), "%.*s", (int)offset.len, offset.len ? offset.ptr : "");
		woken = head_value(head, "Stream-Woken");
		snprintf(number, sizeof(number), "%.*s", (int)woken.len, woken.len ? woken.ptr : "");
		append_taken(append, text, slice_eq_nocase(head_value(head, "Stream-Closed"), SLICE("true")), number);
		at += head.len;
		count++;
	}
	buf_consume(&line->in, at);
	if (line->in.len > HEAD_BYTES_MAX)
		line->broken = true;
	return count;
}

uint64_t append_pipe_read(struct append_pipe *line, struct append *append)
{
	CURLcode code = CURLE_OK;
	uint64_t count;
	bool ended = false;

	while (code == CURLE_OK && !ended) {
		char *room = buf_reserve(&line->in, READ_BYTES);
		size_t n = 0;

		if (!room)
			cli_out_of_memory();
		code = curl_easy_recv(line->call.easy, room, READ_BYTES, &n);
		ended = code == CURLE_OK && !n;
		line->in.len += n;
		if (n)
			line->moved_ns = cli_now_ns();
	}
	count = pipe_answers(line, append);
	line->taken += count;
	if (ended || (code != CURLE_OK && code != CURLE_AGAIN))
		line->broken = true;
	return count;
}
