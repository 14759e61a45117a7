/* Events as bytes (Durable Streams protocol §5.8; WHATWG HTML §9.2). Whatever the bytes of a stream are, they stay within the
 * data of their event: each line break in a text, be it CR, LF or CRLF, begins a `data:` line (and is LF to the reader, as the
 * format has it), and one blank more stands before a line that begins with a blank, since readers drop the first. */
#include "http/api/stream_priv.h"

#include "base/text.h"

#define LINE "\ndata:"

bool sse_is_text(struct slice content_type)
{
	static const char text[] = "text/";
	size_t len = sizeof(text) - 1;

	return type_is_json(content_type) ||
	       (content_type.len >= len && slice_eq_nocase(slice_from(content_type.ptr, len), slice_from(text, len)));
}

void sse_data_begin(struct sse_data *data, struct buf *out, bool base64)
{
	*data = (struct sse_data){.base64 = base64};
	buf_append_str(out, "event: data" LINE);
}

/* Up to the next line break. */
static size_t line_len(struct slice s)
{
	size_t len = 0;

	while (len < s.len && s.ptr[len] != '\n' && s.ptr[len] != '\r')
		len++;
	return len;
}

static void add_text(struct sse_data *data, struct buf *out, struct slice bytes)
{
	while (bytes.len) {
		size_t len = line_len(bytes), past = len;

		if (len && !data->line_begun && bytes.ptr[0] == ' ')
			buf_append_char(out, ' ');
		buf_append(out, bytes.ptr, len);
		data->line_begun = data->line_begun || len;
		data->after_cr = data->after_cr && !len;
		if (len < bytes.len) {
			bool second = data->after_cr && bytes.ptr[len] == '\n'; /* of CRLF: said already */

			if (!second)
				buf_append_str(out, LINE);
			data->line_begun = false;
			data->after_cr = bytes.ptr[len] == '\r';
			past++;
		}
		bytes = slice_from(bytes.ptr + past, bytes.len - past);
	}
}

static void put_base64(struct buf *out, struct slice bytes)
{
	char *to = bytes.len ? buf_reserve(out, TEXT_BASE64_CHARS(bytes.len)) : NULL;

	if (to)
		out->len += text_base64(bytes, to);
}

/* Whole groups of three; a line for each piece. */
static void add_base64(struct sse_data *data, struct buf *out, struct slice bytes)
{
	char group[3];

	if (data->carry_len + bytes.len < sizeof(group)) {
		memcpy(data->carry + data->carry_len, bytes.ptr, bytes.len);
		data->carry_len = (uint8_t)(data->carry_len + bytes.len);
		return;
	}
	if (data->any)
		buf_append_str(out, LINE);
	data->any = true;
	if (data->carry_len) {
		size_t more = sizeof(group) - data->carry_len;

		memcpy(group, data->carry, data->carry_len);
		memcpy(group + data->carry_len, bytes.ptr, more);
		put_base64(out, slice_from(group, sizeof(group)));
		bytes = slice_from(bytes.ptr + more, bytes.len - more);
	}
	put_base64(out, slice_from(bytes.ptr, bytes.len - bytes.len % 3));
	data->carry_len = (uint8_t)(bytes.len % 3);
	memcpy(data->carry, bytes.ptr + bytes.len - data->carry_len, data->carry_len);
}

void sse_data_add(struct sse_data *data, struct buf *out, struct slice bytes)
{
	if (!bytes.len)
		return;
	if (data->base64)
		add_base64(data, out, bytes);
	else
		add_text(data, out, bytes);
}

void sse_data_end(struct sse_data *data, struct buf *out)
{
	put_base64(out, slice_from(data->carry, data->carry_len));
	buf_append_str(out, "\n\n");
}

void sse_control(struct buf *out, const struct sse_control *control)
{
	char place[PLACE_CHARS + 1];

	place_write(control->number, control->offset, place);
	buf_printf(out, "event: control" LINE "{\"streamNextOffset\":\"%s\"", place);
	if (!control->closed)
		buf_printf(out, ",\"streamCursor\":\"%llu\"", (unsigned long long)control->cursor);
	if (control->up_to_date)
		buf_append_str(out, ",\"upToDate\":true");
	if (control->closed)
		buf_append_str(out, ",\"streamClosed\":true");
	buf_append_str(out, "}\n\n");
}
