/* What becomes of an answer's bytes: written as they come; or kept until the answer is whole, and written as lines of the records
 * of a JSON stream, or record by record (tail_records.c).
 *
 * Every byte once: what stands behind an offset never changes, so after a cut the same offset is asked for again, and as many
 * bytes as were written before are skipped. */
#include "base/json_scan.h"
#include "cli/fetch.h"
#include "cli/tail.h"

#include <string.h>

/* Whether it is of use only when it is there as a whole. */
static bool tail_whole(const struct tail *tail)
{
	return tail->json || tail->records || tail->start;
}

static int tail_begin(struct tail *tail, struct http_call *call, const char *ptr, size_t len)
{
	const char *type = http_answer_header(call, "Stream-Content-Type");

	if (!type)
		type = http_answer_header(call, "Content-Type");
	snprintf(tail->type, sizeof(tail->type), "%s", type ? type : "application/octet-stream");
	tail->json = !strncasecmp(tail->type, "application/json", strlen("application/json"));
	tail->refused = !tail_whole(tail) && output_is_terminal(&tail->output) && !fetch_is_text(tail->type, ptr, len);
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
	tail->last = ptr[len - 1];
	tail->taken += len - skip_len;
	tail->written = tail->taken;
	return 0;
}

int tail_take(struct tail *tail, struct http_call *call, const char *ptr, size_t len)
{
	if (!tail->taken && tail_begin(tail, call, ptr, len))
		return -1;
	if (!tail_whole(tail))
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

void tail_json_line(struct buf *out, struct slice json)
{
	size_t start = out->len;

	buf_append_slice(out, json);
	for (size_t i = start; i < out->len; i++)
		if (out->ptr[i] == '\n' || out->ptr[i] == '\r')
			out->ptr[i] = ' ';
}

static void print_values(struct tail *tail, struct buf *out)
{
	struct slice body = buf_slice(&tail->body), value;
	size_t at = 0;

	if (json_scan(body))
		return;
	while (json_scan_next(body, &at, &value)) {
		tail_json_line(out, value);
		buf_append_char(out, '\n');
	}
}

int tail_take_end(struct tail *tail, const char *offset)
{
	struct buf out = {0};
	int rc = 0;

	if (tail->start)
		tail_start_found(tail, offset);
	else if (tail->alone)
		tail_alone_put(tail, &out, offset);
	else if (tail->records)
		tail_records_put(tail, &out);
	else if (tail->json)
		print_values(tail, &out);
	else /* A later answer to the same offset may end sooner than the one that was cut: the rest is then skipped in the next.
	      */
		tail->written = tail->written > tail->taken ? tail->written - tail->taken : 0;
	if (out.failed)
		cli_out_of_memory();
	if (tail->refused)
		rc = -1;
	else if (out.len)
		rc = output_put(&tail->output, out.ptr, out.len) ? -1 : 0;
	buf_deinit(&out);
	tail_take_again(tail);
	return rc;
}
