#include "http/codec/encode.h"

static const struct {
	int status;
	struct slice reason;
} reasons[] = {
#define REASON(status, text)                                                                                                     \
	{                                                                                                                        \
		status, SLICE_INIT(text)                                                                                         \
	}
	REASON(100, "Continue"),
	REASON(200, "OK"),
	REASON(201, "Created"),
	REASON(202, "Accepted"),
	REASON(204, "No Content"),
	REASON(206, "Partial Content"),
	REASON(304, "Not Modified"),
	REASON(400, "Bad Request"),
	REASON(401, "Unauthorized"),
	REASON(403, "Forbidden"),
	REASON(404, "Not Found"),
	REASON(405, "Method Not Allowed"),
	REASON(406, "Not Acceptable"),
	REASON(408, "Request Timeout"),
	REASON(409, "Conflict"),
	REASON(410, "Gone"),
	REASON(411, "Length Required"),
	REASON(412, "Precondition Failed"),
	REASON(413, "Content Too Large"),
	REASON(414, "URI Too Long"),
	REASON(415, "Unsupported Media Type"),
	REASON(416, "Range Not Satisfiable"),
	REASON(417, "Expectation Failed"),
	REASON(421, "Misdirected Request"),
	REASON(422, "Unprocessable Content"),
	REASON(429, "Too Many Requests"),
	REASON(431, "Request Header Fields Too Large"),
	REASON(500, "Internal Server Error"),
	REASON(501, "Not Implemented"),
	REASON(502, "Bad Gateway"),
	REASON(503, "Service Unavailable"),
	REASON(504, "Gateway Timeout"),
	REASON(505, "HTTP Version Not Supported"),
	REASON(507, "Insufficient Storage"),
#undef REASON
};

struct slice encode_reason(int status)
{
	for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return (struct slice){0};
}

bool encode_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static bool is_clean(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0')
			return false;
	}
	return true;
}

static void field(struct buf *out, struct slice name, struct slice value)
{
	if (!is_clean(value) || !is_clean(name))
		return;
	buf_append_slice(out, name);
	buf_append(out, ": ", 2);
	buf_append_slice(out, value);
	buf_append(out, "\r\n", 2);
}

static void status_line(struct buf *out, int status)
{
	char line[] = "HTTP/1.1 200 ";

	line[9] = (char)('0' + status / 100 % 10);
	line[10] = (char)('0' + status / 10 % 10);
	line[11] = (char)('0' + status % 10);
	buf_append(out, line, sizeof(line) - 1);
	buf_append_slice(out, encode_reason(status));
	buf_append(out, "\r\n", 2);
}

void encode_head(struct buf *out, const struct answer_head *head)
{
	status_line(out, head->status);
	field(out, SLICE("Date"), head->date);
	if (head->content_type.len)
		field(out, SLICE("Content-Type"), head->content_type);
	for (size_t i = 0; i < head->header_count; i++)
		field(out, head->headers[i].name, head->headers[i].value);
	if (head->no_store)
		buf_append_str(out, "Cache-Control: no-store\r\n");
	buf_append_slice(out, head->extra);
	if (encode_has_body(head->status) && head->framing == FRAMING_CHUNKED)
		buf_append_str(out, "Transfer-Encoding: chunked\r\n");
	if (encode_has_body(head->status) && head->framing == FRAMING_LENGTH) {
		buf_append_str(out, "Content-Length: ");
		buf_append_u64(out, head->content_length);
		buf_append(out, "\r\n", 2);
	}
}

struct slice encode_tail(enum answer_connection connection)
{
	static const struct slice tails[CONNECTION_KINDS] = {
		[CONNECTION_DEFAULT] = {"\r\n", 2},
		[CONNECTION_CLOSE] = {"Connection: close\r\n\r\n", 21},
		[CONNECTION_KEEP_ALIVE] = {"Connection: keep-alive\r\n\r\n", 26},
	};

	return tails[connection];
}
