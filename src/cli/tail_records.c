/* `bide tail` record by record. The server tells each as an object, {"offset":…,"next":…,"timestamp":…,"key":…,"value":…}, the
 * value last; of one that is too long for that the size instead. Of the objects all but the value is read; a value of JSON is
 * written as it came, whatever numbers are in it. */
#include "base/json.h"
#include "base/json_scan.h"
#include "base/mem.h"
#include "cli/base64.h"
#include "cli/fetch.h"
#include "cli/fmt.h"
#include "cli/tail.h"
#include "cli/utf8.h"

#include <string.h>

struct record {
	const char *offset, *next, *time; /* "" where there is none */
	struct slice key, value;          /* as bytes */
};

/* --- as a format says ----------------------------------------------------------------------------------------------------------
 */

static const char directives[] = "ontkv%", escapes[] = "ntr0\\", escaped[] = "\n\t\r\0\\";

int tail_format_check(const struct session *session, const char *format)
{
	for (; *format; format++) {
		if (*format == '%' && (!*++format || !strchr(directives, *format)))
			return cli_usage_error(session->command,
					       "--format: there is no %%%.1s; there are %%o %%n %%t %%k %%v and %%%%", format);
		if (*format == '\\' && (!*++format || !strchr(escapes, *format)))
			return cli_usage_error(session->command,
					       "--format: there is no \\%.1s; there are \\n \\t \\r \\0 and \\\\", format);
	}
	return 0;
}

static void format_directive(struct buf *out, char directive, const struct record *record)
{
	switch (directive) {
	case 'o':
		buf_append_str(out, record->offset);
		break;
	case 'n':
		buf_append_str(out, record->next);
		break;
	case 't':
		buf_append_str(out, record->time);
		break;
	case 'k':
		buf_append_slice(out, record->key);
		break;
	case 'v':
		buf_append_slice(out, record->value);
		break;
	default:
		buf_append_char(out, directive);
		break;
	}
}

static void format_put(struct tail *tail, struct buf *out, const struct record *record)
{
	if (output_is_terminal(&tail->output) && !fetch_is_text(tail->type, record->value.ptr, record->value.len))
		tail->refused = true;
	for (const char *at = tail->format; *at; at++) {
		if (*at == '%')
			format_directive(out, *++at, record);
		else if (*at == '\\')
			buf_append_char(out, escaped[strchr(escapes, *++at) - escapes]);
		else
			buf_append_char(out, *at);
	}
}

/* --- what the server tells
 * ------------------------------------------------------------------------------------------------------ */

/* A string, or {"base64":…}; `room` holds its bytes. */
static struct slice bytes_of(const json_t *told, struct buf *room)
{
	const char *base64 = json_string_value(json_object_get(told, "base64"));

	if (json_is_string(told))
		return slice_from(json_string_value(told), json_string_length(told));
	if (base64 && base64_decode(room, slice_str(base64)))
		buf_clear(room);
	if (room->failed)
		cli_out_of_memory();
	return buf_slice(room);
}

static json_t *object_load(struct slice text)
{
	return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

/* An object without its value, which is last; the caller's reference. NULL: it is none of the server's. */
static json_t *record_head(struct slice object, struct slice *ret_value)
{
	static const char mark[] = ",\"value\":";
	/* Within a string the quotes would have a backslash before them. */
	const char *found = memmem(object.ptr, object.len, mark, sizeof(mark) - 1);
	size_t len = found ? (size_t)(found - object.ptr) : object.len - 1;
	struct buf text = {0};
	json_t *head;

	*ret_value = (struct slice){0};
	if (found)
		*ret_value = slice_from(found + sizeof(mark) - 1, object.len - len - sizeof(mark));
	buf_append(&text, object.ptr, len);
	buf_append_char(&text, '}');
	if (text.failed)
		cli_out_of_memory();
	head = object_load(buf_slice(&text));
	buf_deinit(&text);
	return head;
}

static void record_format(struct tail *tail, struct buf *out, const json_t *head, struct slice value)
{
	json_t *text = tail->json ? NULL : object_load(value);
	struct buf key = {0}, bytes = {0};
	struct record record = {
		.offset = job_string(head, "offset"),
		.next = job_string(head, "next"),
		.time = job_string(head, "timestamp"),
		.key = bytes_of(json_object_get(head, "key"), &key),
	};

	if (tail->json)
		tail_json_line(&bytes, value);
	record.value = tail->json ? buf_slice(&bytes) : bytes_of(text, &bytes);
	format_put(tail, out, &record);
	json_decref(text);
	buf_deinit(&bytes);
	buf_deinit(&key);
}

static void record_put(struct tail *tail, struct buf *out, struct slice object)
{
	struct slice value;
	json_t *head = record_head(object, &value);

	if (!value.ptr && *job_string(head, "offset")) {
		tail->alone = true;
		snprintf(tail->offset, sizeof(tail->offset), "%s", job_string(head, "offset"));
	} else if (tail->format) {
		record_format(tail, out, head, value);
	} else {
		tail_json_line(out, object);
		buf_append_char(out, '\n');
	}
	json_decref(head);
}

void tail_records_put(struct tail *tail, struct buf *out)
{
	struct slice body = buf_slice(&tail->body), object;
	size_t at = 0;

	if (json_scan(body))
		return;
	while (!tail->alone && json_scan_next(body, &at, &object))
		record_put(tail, out, object);
}

/* --- one by itself
 * --------------------------------------------------------------------------------------------------------------- */

static bool is_utf8(struct slice text)
{
	while (text.len) {
		size_t len = utf8_sequence(text);

		if (!len)
			return false;
		text = slice_from(text.ptr + len, text.len - len);
	}
	return true;
}

static void alone_json(struct buf *out, const struct record *record)
{
	struct buf line = {0};

	json_open(&line, '{');
	json_key(&line, "offset");
	json_str(&line, slice_str(record->offset));
	json_key(&line, "next");
	json_str(&line, slice_str(record->next));
	json_key(&line, "timestamp");
	json_nil(&line);
	json_key(&line, "key");
	json_nil(&line);
	json_key(&line, "value");
	if (is_utf8(record->value)) {
		json_str(&line, record->value);
	} else {
		json_open(&line, '{');
		json_key(&line, "base64");
		json_base64(&line, record->value);
		json_close(&line, '}');
	}
	json_close(&line, '}');
	if (line.failed)
		cli_out_of_memory();
	buf_append_slice(out, buf_slice(&line));
	buf_append_char(out, '\n');
	buf_deinit(&line);
}

void tail_alone_put(struct tail *tail, struct buf *out, const char *next)
{
	struct record record = {.offset = tail->offset, .next = next, .time = "", .value = buf_slice(&tail->body)};

	tail->alone = false;
	if (tail->format)
		format_put(tail, out, &record);
	else
		alone_json(out, &record);
}

/* --- where it begins
 * --------------------------------------------------------------------------------------------------------------- */

void tail_start_found(struct tail *tail, const char *otherwise)
{
	struct slice body = buf_slice(&tail->body), object = {0}, value;
	bool any = false;
	size_t at = 0;
	json_t *head;

	if (!json_scan(body))
		any = json_scan_next(body, &at, &object);
	head = any ? record_head(object, &value) : NULL;
	snprintf(tail->offset, sizeof(tail->offset), "%s", *job_string(head, "offset") ? job_string(head, "offset") : otherwise);
	json_decref(head);
	tail->start = NULL;
}
