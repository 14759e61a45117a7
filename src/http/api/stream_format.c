/* format=records: what is read comes as JSON objects, a record each, with its offset, the one behind it, time and key. Whatever
 * the stream's type is, one answer is one array. A value is JSON in a stream of JSON, else a string, or {"base64":…} where it is
 * no UTF-8. Of a topic's partition its headers are told, too. A record that lies in a blob tells its size instead: it is read by
 * itself, from its offset. */
#include "http/api/stream_priv.h"

#include "base/json.h"
#include "base/text.h"

bool input_stream_format(struct exchange *ex, struct ask *ask)
{
	struct slice text;
	bool found;

	if (!input_query(ex, "format", &text, &found))
		return false;
	if (found && !slice_eq(text, SLICE("records"))) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "format is records, or not there: the bytes as they are.");
		return false;
	}
	ask->format = found ? FORMAT_RECORDS : FORMAT_VALUES;
	return true;
}

static bool is_utf8(struct slice text)
{
	while (text.len) {
		size_t len = text_utf8_len(text);

		if (!len)
			return false;
		text = slice_from(text.ptr + len, text.len - len);
	}
	return true;
}

void stream_bytes_json(struct buf *out, struct slice bytes)
{
	if (!bytes.ptr) {
		json_nil(out);
	} else if (is_utf8(bytes)) {
		json_str(out, bytes);
	} else {
		json_open(out, '{');
		json_key(out, "base64");
		json_base64(out, bytes);
		json_close(out, '}');
	}
}

void stream_place_json(struct buf *out, const char *key, uint64_t number, uint64_t offset)
{
	char place[PLACE_CHARS + 1];

	place_write(number, offset, place);
	json_key(out, key);
	json_str(out, slice_from(place, PLACE_CHARS));
}

static void record_open(struct buf *out, const struct stream_view *view, uint64_t offset)
{
	json_open(out, '{');
	stream_place_json(out, "offset", view->number, offset);
	stream_place_json(out, "next", view->number, offset + 1);
	json_key(out, "timestamp");
}

/* Names may come more than once, and in an order. */
static void headers_json(struct buf *out, struct slice headers)
{
	struct batch_header header;
	uint32_t left = UINT32_MAX;

	json_key(out, "headers");
	json_open(out, '[');
	while (batch_header_next(&headers, &left, &header)) {
		json_open(out, '{');
		json_key(out, "key");
		stream_bytes_json(out, header.key);
		json_key(out, "value");
		stream_bytes_json(out, header.value);
		json_close(out, '}');
	}
	json_close(out, ']');
}

void stream_record_json(struct buf *out, const struct stream_view *view, const struct batch_record *record, uint64_t offset,
			const struct batch_reader *reader)
{
	record_open(out, view, offset);
	json_time(out, reader->record_time_ms);
	json_key(out, "key");
	stream_bytes_json(out, record->key);
	json_key(out, "value");
	if (view->json && record->value.len)
		json_raw(out, record->value);
	else
		stream_bytes_json(out, record->value);
	if (view->topic)
		headers_json(out, reader->record_headers);
	json_close(out, '}');
}

/* When it was appended stands nowhere. */
void stream_blob_json(struct buf *out, const struct stream_view *view, const struct stream_chunk_view *chunk)
{
	record_open(out, view, chunk->first_offset);
	json_nil(out);
	json_key(out, "key");
	json_nil(out);
	json_key(out, "size");
	json_u64(out, stream_blob_bytes(chunk));
	json_close(out, '}');
}
