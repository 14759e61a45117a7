#include "sse.h"

#include "http.h"

#include <string.h>

static void sse_begin(struct sse *sse, struct conn *conn)
{
	struct http_answer answer;
	const char *value;
	size_t len = http_head_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	if (len == 0)
		return;
	http_expect(&answer, 200, "events");
	size_t value_len = http_header(&answer, "content-type", &value);
	if (value_len < 17 || memcmp(value, "text/event-stream", 17) != 0)
		loop_die("not events: %.*s", (int)answer.head_len, answer.head);
	sse->begun = true;
	sse->chunked = http_header(&answer, "transfer-encoding", &value) > 0;
	bytes_consume(&conn->in, len);
}

/* As much of the chunk under way as is there, its line end included; false when nothing could be done. */
static bool sse_chunk(struct sse *sse, struct conn *conn)
{
	size_t len = bytes_len(&conn->in);
	if (sse->chunk_left == 0) {
		size_t head_len = http_chunk_head(bytes_head(&conn->in), len, &sse->chunk_left);
		if (head_len == 0)
			return false;
		bytes_consume(&conn->in, head_len);
		sse->ended = sse->chunk_left == 0;
		sse->chunk_left += 2;
		return true;
	}
	/* The last two bytes of it are its line end. */
	size_t take = len < sse->chunk_left ? len : sse->chunk_left;
	size_t text = sse->chunk_left > 2 ? sse->chunk_left - 2 : 0;
	bytes_append(&sse->text, bytes_head(&conn->in), take < text ? take : text);
	bytes_consume(&conn->in, take);
	sse->chunk_left -= take;
	return true;
}

void sse_feed(struct sse *sse, struct conn *conn)
{
	if (!sse->begun && bytes_len(&conn->in) > 0)
		sse_begin(sse, conn);
	if (!sse->begun)
		return;
	if (!sse->chunked) {
		bytes_append(&sse->text, bytes_head(&conn->in), bytes_len(&conn->in));
		bytes_consume(&conn->in, bytes_len(&conn->in));
		return;
	}
	while (bytes_len(&conn->in) > 0 && !(sse->ended && sse->chunk_left == 0) && sse_chunk(sse, conn))
		;
}

static void sse_line(struct sse_event *event, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	if (!colon)
		return;
	const char *value = colon + 1;
	const char *end = line + len;
	if (value < end && *value == ' ')
		value++;
	if (colon - line == 4 && memcmp(line, "data", 4) == 0) {
		event->data = value;
		event->data_len = (size_t)(end - value);
	} else if (colon - line == 5 && memcmp(line, "event", 5) == 0) {
		event->name = value;
		event->name_len = (size_t)(end - value);
	}
}

size_t sse_next(const struct sse *sse, struct sse_event *ret_event)
{
	size_t len = bytes_len(&sse->text);
	const char *data = bytes_head(&sse->text);
	const char *blank = len > 1 ? memmem(data, len, "\n\n", 2) : NULL;
	if (!blank)
		return 0;
	*ret_event = (struct sse_event){.name = "message", .name_len = 7};
	for (const char *line = data; line <= blank;) {
		const char *end = memchr(line, '\n', (size_t)(blank + 1 - line));
		sse_line(ret_event, line, (size_t)(end - line));
		line = end + 1;
	}
	return (size_t)(blank - data) + 2;
}

void sse_reset(struct sse *sse)
{
	bytes_free(&sse->text);
	*sse = (struct sse){0};
}
