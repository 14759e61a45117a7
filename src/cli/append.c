#include "cli/append.h"
#include "base/mem.h"
#include "cli/mime.h"

#include <string.h>

void append_draw_producer(struct append *append)
{
	snprintf(append->drawn, sizeof(append->drawn), "bide-%016llx%016llx", (unsigned long long)cli_random(),
		 (unsigned long long)cli_random());
	append->producer = append->drawn;
}

void append_call(const struct append *append, struct http_call *call, uint64_t seq)
{
	stream_call(&append->at, call, "POST");
	http_call_header(call, "Content-Type: %s", append->type);
	for (size_t i = 0; i < append->header_count; i++)
		http_call_header(call, "%s", append->headers[i]);
	if (!append->producer)
		return;
	http_call_header(call, "Producer-Id: %s", append->producer);
	http_call_header(call, "Producer-Epoch: %llu", (unsigned long long)append->epoch);
	http_call_header(call, "Producer-Seq: %llu", (unsigned long long)seq);
}

bool append_ok(const struct http_call *call)
{
	return call->outcome == HTTP_ANSWERED && (call->status == 200 || call->status == 204);
}

void append_taken(struct append *append, const char *offset, bool closed, const char *woken)
{
	uint64_t count;

	if (woken && !slice_u64(slice_str(woken), &count))
		append->woken += count;
	if (*offset)
		snprintf(append->offset, sizeof(append->offset), "%s", offset);
	if (closed)
		append->closed = true;
}

/* --- the stream's type ------------------------------------------------------------------------------------------------------ */

static int append_create(struct append *append)
{
	const char *type = append->type        ? append->type
			   : append->body.path ? mime_of(append->body.path)
					       : "application/octet-stream";
	struct http_call call;
	char doing[200];
	int rc = 0;

	stream_call(&append->at, &call, "PUT");
	http_call_header(&call, "Content-Type: %s", type);
	session_run(append->session, &call, true);
	snprintf(doing, sizeof(doing), "create %s", append->path);
	if (call.outcome != HTTP_ANSWERED || (call.status != 200 && call.status != 201))
		rc = stream_report(append->session, &call, doing);
	else if (!append->type)
		append->type = cli_dup(type);
	http_call_deinit(&call);
	return rc;
}

/* An append must name the stream's type: unless it is said, the stream is asked for it. */
static int append_look(struct append *append)
{
	bool create = cli_args_has(&append->session->args, "create");
	struct http_call call;
	char doing[200];
	const char *type;
	int rc = 0;

	if (append->type && !create)
		return 0;
	stream_call(&append->at, &call, "HEAD");
	session_run(append->session, &call, true);
	type = http_answer_header(&call, "Content-Type");
	snprintf(doing, sizeof(doing), "append to %s", append->path);
	if (call.outcome == HTTP_ANSWERED && call.status == 404 && create)
		rc = append_create(append);
	else if (call.outcome != HTTP_ANSWERED || call.status != 200)
		rc = stream_report(append->session, &call, doing);
	else if (!append->type)
		append->type = cli_dup(type ? type : "application/octet-stream");
	http_call_deinit(&call);
	return rc;
}

/* --- one append ---------------------------------------------------------------------------------------------------------------
 */

static int append_once(struct append *append)
{
	const char *seq = cli_args_value(&append->session->args, "seq");
	struct http_call call;
	char doing[200];
	int rc = 0;

	/* With a number of its own an append whose answer was lost can be sent again without being taken twice. */
	if (!append->producer && append->session->retry.budget_ms)
		append_draw_producer(append);
	append_call(append, &call, append->seq);
	if (seq)
		http_call_header(&call, "Stream-Seq: %s", seq);
	if (append->close)
		http_call_header(&call, "Stream-Closed: true");
	if (append->body.size)
		http_call_source(&call, append->body.fd, append->body.start, append->body.size);
	session_run(append->session, &call, append->producer || !append->body.size);
	if (append_ok(&call)) {
		append_taken(append, stream_offset(&call), stream_flag(&call, "Stream-Closed"),
			     http_answer_header(&call, "Stream-Woken"));
		append->count = append->body.size ? 1 : 0;
		append->duplicate = append->producer && append->count && call.status == 204;
	} else {
		snprintf(doing, sizeof(doing), "append to %s", append->path);
		rc = stream_report(append->session, &call, doing);
	}
	http_call_deinit(&call);
	return rc;
}

/* Closes behind the last line. It may be repeated, so it needs no number. */
static int append_close(struct append *append)
{
	struct http_call call;
	char doing[200];
	int rc = 0;

	stream_call(&append->at, &call, "POST");
	http_call_header(&call, "Stream-Closed: true");
	session_run(append->session, &call, true);
	snprintf(doing, sizeof(doing), "close %s", append->path);
	if (append_ok(&call))
		append_taken(append, stream_offset(&call), stream_flag(&call, "Stream-Closed"),
			     http_answer_header(&call, "Stream-Woken"));
	else
		rc = stream_report(append->session, &call, doing);
	http_call_deinit(&call);
	return rc;
}

/* --- what is said of records
 * ----------------------------------------------------------------------------------------------------- */

static void append_header(struct append *append, const char *name, const char *value)
{
	struct buf line = {0};

	buf_printf(&line, "%s: %s", name, value);
	append->headers[append->header_count++] = cli_dup(cli_text(&line));
	buf_deinit(&line);
}

static int append_headers(struct append *append)
{
	const struct session *session = append->session;
	const char *key = cli_args_value(&session->args, "key");
	uint64_t ttl_ms = 0;
	char text[32];
	int rc = session_duration(session, "ttl", &ttl_ms);

	if (rc)
		return rc;
	if (key && !*key)
		return cli_usage_error(session->command, "--key needs a text");
	if (cli_args_has(&session->args, "replace") && !key)
		return cli_usage_error(session->command, "--replace is of the record with the same key: give --key as well");
	if (ttl_ms == SESSION_FOREVER_MS || (!ttl_ms && cli_args_has(&session->args, "ttl")))
		return cli_usage_error(session->command,
				       "--ttl needs a time; without it a record is kept as the stream's others");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(ttl_ms / 1000 + (ttl_ms % 1000 != 0)));
	if (key)
		append_header(append, "Record-Key", key);
	if (ttl_ms)
		append_header(append, "Record-TTL", text);
	if (cli_args_has(&session->args, "if-waiting"))
		append_header(append, "Record-Keep", "waiting");
	if (cli_args_has(&session->args, "replace"))
		append_header(append, "Record-Replace", "true");
	return 0;
}

/* --- the command ---------------------------------------------------------------------------------------------------------------
 */

static int append_producer(struct append *append, bool lines)
{
	const struct session *session = append->session;
	const uint64_t most = (1ULL << 53) - 1;
	const char *seq = cli_args_value(&session->args, "seq");
	int rc;

	append->producer = cli_args_value(&session->args, "producer");
	if (append->producer && !*append->producer)
		return cli_usage_error(session->command, "--producer needs a name");
	if (seq && !*seq)
		return cli_usage_error(session->command, "--seq needs a text");
	if (seq && lines)
		return cli_usage_error(session->command, "--seq is of one append, and --lines makes many");
	if (!append->producer && (cli_args_has(&session->args, "epoch") || cli_args_has(&session->args, "producer-seq")))
		return cli_usage_error(session->command, "--epoch and --producer-seq are a producer's: give --producer as well");
	if (append->producer && !lines && !cli_args_has(&session->args, "producer-seq"))
		return cli_usage_error(session->command, "which append of this producer is it? Give --producer-seq");
	rc = session_number(session, "epoch", 0, most, &append->epoch);
	return rc ? rc : session_number(session, "producer-seq", 0, most, &append->seq);
}

static void append_tell(const struct append *append, bool lines)
{
	json_t *told;

	if (!append->session->json) {
		if (*append->offset)
			puts(append->offset);
		if (cli_args_has(&append->session->args, "verbose"))
			cli_say("woke %llu wait%s", (unsigned long long)append->woken, append->woken == 1 ? "" : "s");
		return;
	}
	told = json_pack("{s:s?, s:I, s:b, s:I}", "offset", *append->offset ? append->offset : NULL, "appended",
			 (json_int_t)append->count, "closed", append->closed, "woken", (json_int_t)append->woken);
	if (!told || (!lines && json_object_set_new(told, "duplicate", json_boolean(append->duplicate))))
		cli_out_of_memory();
	session_print_json(told);
	json_decref(told);
}

static int append_send(struct append *append, bool lines)
{
	const struct cli_args *args = &append->session->args;
	const char *type = cli_args_value(args, "content-type");
	int rc = stream_body_open(&append->body, append->session, args->operand_count > 1 ? args->operands[1] : NULL, !lines);

	if (rc)
		return rc;
	if (!lines && !append->body.size && !append->close)
		return cli_usage_error(append->session->command, "there is nothing to append");
	append->type = type ? cli_dup(type) : NULL;
	rc = append_look(append);
	if (rc)
		return rc;
	if (!lines)
		rc = append_once(append);
	else
		rc = append_lines(append);
	if (!rc && lines && append->close)
		rc = append_close(append);
	if (!rc)
		append_tell(append, lines);
	return rc;
}

static int append_checked(struct session *session)
{
	struct append append = {.session = session, .body = {.fd = -1}, .close = cli_args_has(&session->args, "close")};
	bool lines = cli_args_has(&session->args, "lines");
	int rc;

	if (!session->args.operand_count || session->args.operand_count > 2)
		return cli_usage_error(session->command, "which stream, and which file? One of each at most");
	append.path = session->args.operands[0];
	if (lines && !cli_args_has(&session->args, "retry"))
		session->retry.budget_ms = APPEND_LINES_RETRY_MS;
	rc = append_producer(&append, lines);
	if (!rc)
		rc = append_headers(&append);
	if (!rc)
		rc = stream_at_init(&append.at, session, append.path);
	if (!rc)
		rc = append_send(&append, lines);
	stream_body_close(&append.body);
	stream_at_deinit(&append.at);
	for (size_t i = 0; i < append.header_count; i++)
		mem_free(append.headers[i]);
	mem_free(append.type);
	return rc;
}

static int append_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &append_command, argc, argv, 0);

	return rc ? rc : session_close(&session, append_checked(&session));
}

static const struct cli_option append_table[] = {
	{"content-type", 'c', "TYPE", "what it is (default: the stream is asked)"},
	{"lines", 'l', NULL, "each line is an append; none is lost or doubled when the server restarts"},
	{"create", 0, NULL, "make the stream if there is none"},
	{"close", 0, NULL, "nothing more will come after this"},
	{"key", 'k', "KEY", "the key of what is appended"},
	{"ttl", 0, "DUR", "kept for so long, whatever the stream keeps"},
	{"if-waiting", 0, NULL, "only if somebody waits for it; else it is not kept"},
	{"replace", 0, NULL, "the record that was appended so with the same key goes"},
	{"verbose", 'v', NULL, "tell how many waits it woke"},
	{"seq", 0, "TEXT", "refused unless greater, byte by byte, than that of the append before"},
	{"producer", 0, "ID", "who numbers its appends, so that each is taken once (--lines: drawn at random)"},
	{"epoch", 0, "N", "the producer's epoch; a higher one shuts out the lower ones (default 0)"},
	{"producer-seq", 0, "N", "the append's number in the epoch; with --lines that of the first line (default 0)"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command append_command = {
	.name = "append",
	.summary = "append to a stream, as a whole or line by line",
	.usage = "PATH [FILE|-]",
	.options = append_table,
	.run = append_run,
	.detail = "Appends FILE, or stdin, and prints the offset of the stream's new end once it is on the server's disk.\n\n"
		  "With --lines each line is sent as it comes, with its line end unless the stream is one of JSON, several at a\n"
		  "time, in order. A server that is away is waited for (--retry, default 60s). With --producer, and the same\n"
		  "numbers, the same input may be sent once more: what was taken before is not taken again.\n\n"
		  "  tail -f app.log | bide append logs/app --lines --create -c text/plain",
	.group = "Streams",
	.client = true,
};
