#include "cli/fetch.h"
#include "cli/fmt.h"
#include "cli/live.h"

#include <string.h>

enum { DRAW_EVERY_NS = 100 * 1000 * 1000 };

void transfer_draw(const struct transfer *transfer)
{
	double seconds = (double)(cli_now_ns() - transfer->began_ns) / 1e9;
	double rate = seconds > 0.2 ? (double)transfer->now_bytes / seconds : 0;
	unsigned columns = live_columns();
	struct buf line = {0};
	struct slice slice;

	buf_printf(&line, "%s ", transfer->verb);
	live_text(&line, transfer->name);
	buf_append_char(&line, ' ');
	if (transfer->total_bytes) {
		double fraction = (double)transfer->now_bytes / (double)transfer->total_bytes;

		live_bar(&line, fraction, columns > 100 ? 30 : 16);
		buf_printf(&line, " %3.0f%%  ", fraction * 100);
	}
	fmt_bytes(&line, transfer->now_bytes);
	if (transfer->total_bytes) {
		buf_append_str(&line, " of ");
		fmt_bytes(&line, transfer->total_bytes);
	}
	if (rate > 0) {
		buf_append_str(&line, "  ");
		fmt_bytes(&line, (uint64_t)rate);
		buf_append_str(&line, "/s");
	}
	slice = buf_slice(&line);
	live_draw(&slice, 1);
	buf_deinit(&line);
}

static void fetch_moved(struct http_call *call, uint64_t now_bytes, uint64_t total_bytes, bool upload)
{
	struct fetch *fetch = call->owner;
	uint64_t now_ns = cli_now_ns();

	if (upload || !fetch->session->live || !fetch->started || output_is_terminal(fetch->output))
		return;
	if (now_ns - fetch->drawn_ns < DRAW_EVERY_NS && now_bytes < total_bytes)
		return;
	fetch->drawn_ns = now_ns;
	transfer_draw(&(struct transfer){.verb = "fetching",
					 .name = fetch->output->path ? fetch->output->path : "the result",
					 .now_bytes = fetch->output->written_bytes,
					 .total_bytes = fetch->size_bytes,
					 .began_ns = fetch->began_ns});
}

static bool type_is_text(const char *type)
{
	return !strncmp(type, "text/", 5) || strstr(type, "json") || strstr(type, "xml") || strstr(type, "javascript") ||
	       strstr(type, "x-www-form-urlencoded");
}

static bool bytes_are_text(const char *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)ptr[i];

		if ((c < 0x20 && !(c >= '\a' && c <= '\r')) || c == 0x7f)
			return false;
	}
	return true;
}

bool fetch_is_text(const char *type, const char *ptr, size_t len)
{
	return type_is_text(type) || bytes_are_text(ptr, len);
}

/* The head of an answer: what it is, where its bytes begin, and whether they may go where they would go. */
static int fetch_begin(struct fetch *fetch, struct http_call *call, const char *ptr, size_t len)
{
	const char *type = http_answer_header(call, "Content-Type");
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	fetch->skip_bytes = status == 206 ? 0 : fetch->output->written_bytes;
	fetch->size_bytes = length > 0 ? (uint64_t)length + (status == 206 ? fetch->output->written_bytes : 0) : 0;
	snprintf(fetch->content_type, sizeof(fetch->content_type), "%s", type ? type : "application/octet-stream");
	fetch->started = true;
	if (output_is_terminal(fetch->output) && !fetch_is_text(fetch->content_type, ptr, len)) {
		fetch->refused = true;
		return -1;
	}
	return 0;
}

int fetch_take(struct fetch *fetch, struct http_call *call, const char *ptr, size_t len)
{
	if (!fetch->started && fetch_begin(fetch, call, ptr, len))
		return -1;
	if (fetch->skip_bytes) {
		size_t skip = fetch->skip_bytes < len ? (size_t)fetch->skip_bytes : len;

		fetch->skip_bytes -= skip;
		ptr += skip;
		len -= skip;
	}
	return output_put(fetch->output, ptr, len);
}

static int fetch_sink(struct http_call *call, const char *ptr, size_t len)
{
	return fetch_take(call->owner, call, ptr, len);
}

/* One request: what is missing, or the whole. */
static void fetch_ask(struct fetch *fetch, const struct handle *handle, struct http_call *call)
{
	uint64_t now_ns = cli_now_ns();
	uint64_t left_ms = fetch->deadline_ns > now_ns ? (fetch->deadline_ns - now_ns) / 1000000 : 0;
	uint64_t wait_ms = left_ms < SESSION_WAIT_MS ? left_ms : SESSION_WAIT_MS;

	handle_call(handle, call, "GET", "/result");
	http_call_query_ms(call, "wait", wait_ms);
	call->patience_ms = SESSION_WAIT_MS + 30000;
	call->owner = fetch;
	call->sink = fetch_sink;
	call->moved = fetch_moved;
	/* A result never changes, so bytes of another answer go on where this one stopped. */
	if (fetch->output->written_bytes)
		http_call_header(call, "Range: bytes=%llu-", (unsigned long long)fetch->output->written_bytes);
	fetch->started = false;
	if (!fetch->began_ns)
		fetch->began_ns = now_ns;
}

int fetch_local_error(struct fetch *fetch, struct http_call *call)
{
	if (fetch->refused) {
		cli_say("the result is %s, and this is a terminal", fetch->content_type);
		cli_hint("Put it into a file with -o FILE, or into a pipe.");
		return CLI_FAILED;
	}
	if (fetch->output->error) {
		cli_say("cannot write %s: %s", fetch->output->path ? fetch->output->path : "to stdout",
			strerror(fetch->output->error));
		return CLI_FAILED;
	}
	return session_report(fetch->session, call, "fetch the result");
}

static int fetch_answered(struct fetch *fetch, struct http_call *call, bool *ret_again)
{
	const char *type;

	if (call->status == 200 || call->status == 206) {
		type = http_answer_header(call, "Content-Type");
		if (!fetch->started) /* an empty result has no bytes to look at */
			snprintf(fetch->content_type, sizeof(fetch->content_type), "%s",
				 type ? type : "application/octet-stream");
		return 0;
	}
	/* Cut exactly at the end: there is nothing left to ask for. */
	if (call->status == 416 && fetch->output->written_bytes)
		return 0;
	if (call->status != 202)
		return session_report(fetch->session, call, "fetch the result");
	if (cli_now_ns() >= fetch->deadline_ns) {
		cli_say("the job is not done yet");
		cli_hint("Ask again with the same handle, with a longer --timeout; nothing is lost meanwhile.");
		return CLI_TIMED_OUT;
	}
	*ret_again = true;
	return 0;
}

/* Waits before the same is asked again; the exit code when there is no patience left. */
static int fetch_retry(struct fetch *fetch, struct http_call *call)
{
	struct retry *retry = &fetch->session->retry;
	int64_t delay_ms = retry_next_ms(retry, http_answer_retry_after_ms(call));

	if (delay_ms < 0)
		return session_report(fetch->session, call, "fetch the result");
	session_notice_away(fetch->session, call, retry);
	session_sleep(fetch->session, (uint64_t)delay_ms);
	return 0;
}

int fetch_result(struct fetch *fetch, const struct handle *handle)
{
	bool again = true;
	int rc = 0;

	while (again && !rc) {
		struct http_call call;
		uint64_t before_bytes = fetch->output->written_bytes;

		again = false;
		fetch_ask(fetch, handle, &call);
		http_run(&fetch->session->client, &call);
		if (call.outcome == HTTP_ANSWERED || fetch->output->written_bytes > before_bytes)
			retry_reset(&fetch->session->retry);
		if (call.outcome == HTTP_LOCAL) {
			rc = fetch_local_error(fetch, &call);
		} else if (http_worth_retrying(&call)) {
			rc = fetch_retry(fetch, &call);
			again = true;
		} else {
			rc = fetch_answered(fetch, &call, &again);
		}
		http_call_deinit(&call);
	}
	live_clear();
	return rc;
}
