/* `bide streams`: which there are, the oldest first. */
#include "cli/fmt.h"
#include "cli/session.h"

#include <string.h>
#include <unistd.h>

enum { PAGE_MAX = 1000 };

struct streams {
	struct session *session;
	uint64_t limit; /* UINT64_MAX: all */
	uint64_t count; /* that were printed */
	json_t *after;  /* where the next page begins; NULL or null: there is none */
};

static void streams_heading(struct table *table)
{
	static const char *const names[] = {"RECORDS", "SIZE", "WAITS", "STATE", "AGE", "ENDS", "TYPE", "PATH"};

	table->columns = ARRAY_COUNT(names);
	table->right[0] = table->right[1] = table->right[2] = table->right[4] = true;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		table_cell(table, "%s", names[i]);
}

static void duration_since(struct buf *out, const char *time, bool until)
{
	uint64_t at_ms;
	double since_s;

	if (fmt_time_parse(time, &at_ms))
		return;
	since_s = ((double)fmt_now_ms() - (double)at_ms) / 1000;
	fmt_duration(out, until ? -since_s : since_s);
}

/* When it will be deleted by itself. */
static void end_cell(struct table *table, const json_t *stream)
{
	double ttl_s = job_number(stream, "ttl", -1);
	struct buf text = {0};

	if (ttl_s >= 0) {
		buf_append_str(&text, "idle ");
		fmt_duration(&text, ttl_s);
	} else if (*job_string(stream, "expires_at")) {
		buf_append_str(&text, "in ");
		duration_since(&text, job_string(stream, "expires_at"), true);
	}
	table_cell(table, "%s", text.len ? cli_text(&text) : "-");
	buf_deinit(&text);
}

static void streams_row(struct table *table, const json_t *stream)
{
	struct buf age = {0}, size = {0};

	fmt_bytes(&size, (uint64_t)job_number(stream, "bytes", 0));
	duration_since(&age, job_string(stream, "created"), false);
	table_cell(table, "%.0f", job_number(stream, "records", 0));
	table_cell(table, "%s", cli_text(&size));
	table_cell(table, "%.0f", job_number(stream, "waits", 0));
	table_cell(table, "%s", json_is_true(json_object_get(stream, "closed")) ? "closed" : "open");
	table_cell(table, "%s", cli_text(&age));
	end_cell(table, stream);
	table_cell(table, "%s", job_string(stream, "content_type"));
	table_cell(table, "%s", job_string(stream, "path"));
	buf_deinit(&age);
	buf_deinit(&size);
}

static void streams_print(const struct streams *streams, const json_t *page)
{
	struct table table = {0};
	const json_t *stream;
	size_t i;

	if (streams->session->json) {
		json_array_foreach(page, i, stream) session_print_json(stream);
		return;
	}
	streams_heading(&table);
	json_array_foreach(page, i, stream) streams_row(&table, stream);
	table_out(&table, streams->count == 0);
}

static int streams_page(struct streams *streams)
{
	struct session *session = streams->session;
	uint64_t left = streams->limit - streams->count;
	struct http_call call;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "GET", session->server);
	http_call_path(&call, "/v1/streams");
	http_call_query(&call, "prefix", cli_args_value(&session->args, "prefix"));
	http_call_query_u64(&call, "limit", left < PAGE_MAX ? left : PAGE_MAX);
	http_call_query(&call, "after", json_string_value(streams->after));
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (json_is_array(json_object_get(answer, "streams"))) {
		const json_t *page = json_object_get(answer, "streams");

		if (json_array_size(page))
			streams_print(streams, page);
		streams->count += json_array_size(page);
		json_decref(streams->after);
		streams->after = json_incref(json_object_get(answer, "next"));
	} else {
		rc = session_report(session, &call, "list the streams");
	}
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

/* A page may be short, or empty, though there are more: the server looks at so many streams at once and no more. */
static int streams_list(struct session *session)
{
	const char *after = cli_args_value(&session->args, "after");
	struct streams streams = {.session = session, .limit = UINT64_MAX, .after = after ? json_string(after) : NULL};
	int rc;

	if (session->args.operand_count)
		return cli_usage_error(session->command, "it takes no operands; for some of them: --prefix %s",
				       session->args.operands[0]);
	rc = session_number(session, "limit", 1, UINT32_MAX, &streams.limit);
	do {
		if (!rc)
			rc = streams_page(&streams);
	} while (!rc && streams.count < streams.limit && json_is_string(streams.after));
	if (!rc && json_is_string(streams.after) && !session->quiet)
		cli_say("there are more: --after %s", json_string_value(streams.after));
	else if (!rc && !streams.count && !session->quiet && !session->json)
		cli_say("no such streams");
	json_decref(streams.after);
	return rc;
}

static int streams_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &streams_command, argc, argv, 0);

	return rc ? rc : session_close(&session, streams_list(&session));
}

static const struct cli_option streams_table[] = {
	{"prefix", 'p', "PATH", "only those whose path begins so"},
	{"limit", 'n', "N", "so many (default: all)"},
	{"after", 0, "CURSOR", "go on where an earlier list ended"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command streams_command = {
	.name = "streams",
	.summary = "list streams, oldest first",
	.options = streams_table,
	.run = streams_run,
	.detail = "With --json a stream a line.",
	.group = "Streams",
	.client = true,
};
