/* What becomes of an answer's bytes: written as they come; or kept until the answer is whole and written as lines, of the records
 * of a JSON stream, or with --json.
 *
 * Every byte once: what stands behind an offset never changes, so after a cut the same offset is asked for again, and as many
 * bytes as were written before are skipped. */
#include "base/json.h"
#include "base/json_scan.h"
#include "base/text.h"
#include "cli/fetch.h"
#include "cli/tail.h"

#include <string.h>

static int tail_begin(struct tail *tail, struct http_call *call, const char *ptr, size_t len)
{
	const char *type = http_answer_header(call, "Content-Type");

	if (!type)
		type = "application/octet-stream";
	tail->json = !strncasecmp(type, "application/json", strlen("application/json"));
	tail->refused =
		!tail->json && !tail->session->json && output_is_terminal(&tail->output) && !fetch_is_text(type, ptr, len);
	return tail->refused ? -1 : 0;
}

static int tail_write(struct tail *tail, const char *ptr, size_t len)
{
	uint64_t skip = tail->written > tail->taken ? tail->written - tail->taken : 0;
	size_t skip_len = skip < len ? (size_t)skip : len;

	tail->taken += skip_len;
	if (len == skip_len)
		return 0;
	if (output_put(&tail->output, ptr + skip_len, len - skip_len))
		return -1;
	tail->taken += len - skip_len;
	tail->written = tail->taken;
	return 0;
}

int tail_take(struct tail *tail, struct http_call *call, const char *ptr, size_t len)
{
	if (!tail->taken && tail_begin(tail, call, ptr, len))
		return -1;
	if (!tail->json && !tail->session->json)
		return tail_write(tail, ptr, len);
	if (tail->body.len + len > HTTP_ANSWER_LIMIT) {
		tail->too_long = true;
		return -1;
	}
	buf_append(&tail->body, ptr, len);
	tail->taken += len;
	return tail->body.failed ? -1 : 0;
}

void tail_take_again(struct tail *tail)
{
	buf_clear(&tail->body);
	tail->taken = 0;
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

/* A record on one line. A line end in JSON is a blank between tokens, so another blank does as well. */
static void record_append(struct buf *out, struct slice record)
{
	size_t start = out->len;

	buf_append_slice(out, record);
	for (size_t i = start; i < out->len; i++)
		if (out->ptr[i] == '\n' || out->ptr[i] == '\r')
			out->ptr[i] = ' ';
}

/* {"offset":…,"value":…}: there is an offset to go on from with the last record of an answer only. */
static void record_json(struct buf *out, struct slice record, const char *offset)
{
	buf_append_str(out, "{\"offset\":");
	if (offset)
		buf_printf(out, "\"%s\"", offset);
	else
		buf_append_str(out, "null");
	buf_append_str(out, ",\"value\":");
	record_append(out, record);
	buf_append_char(out, '}');
}

static void print_records(struct tail *tail, struct buf *out, const char *offset)
{
	struct slice body = buf_slice(&tail->body), record, next;
	size_t at = 0;
	bool more = !json_scan(body) && json_scan_next(body, &at, &record);

	while (more) {
		more = json_scan_next(body, &at, &next);
		if (tail->session->json)
			record_json(out, record, more ? NULL : offset);
		else
			record_append(out, record);
		buf_append_char(out, '\n');
		record = next;
	}
}

static void print_answer(struct tail *tail, struct buf *out, const char *offset)
{
	struct slice body = buf_slice(&tail->body);
	struct buf line = {0};

	json_open(&line, '{');
	json_key(&line, "offset");
	json_str(&line, slice_str(offset));
	if (is_utf8(body)) {
		json_key(&line, "text");
		json_str(&line, body);
	} else {
		json_key(&line, "base64");
		json_base64(&line, body);
	}
	json_close(&line, '}');
	if (line.failed)
		cli_out_of_memory();
	buf_append_slice(out, buf_slice(&line));
	buf_append_char(out, '\n');
	buf_deinit(&line);
}

int tail_take_end(struct tail *tail, const char *offset)
{
	struct buf out = {0};
	int rc = 0;

	/* A later answer to the same offset may end sooner than the one that was cut: the rest is then skipped in the next. */
	if (!tail->json && !tail->session->json)
		tail->written = tail->written > tail->taken ? tail->written - tail->taken : 0;
	else if (tail->json && tail->body.len)
		print_records(tail, &out, offset);
	else if (tail->body.len)
		print_answer(tail, &out, offset);
	if (out.failed)
		cli_out_of_memory();
	if (out.len)
		rc = output_put(&tail->output, out.ptr, out.len) ? -1 : 0;
	buf_deinit(&out);
	tail_take_again(tail);
	return rc;
}
