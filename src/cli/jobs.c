#include "cli/fmt.h"
#include "cli/session.h"

#include <string.h>
#include <unistd.h>

static void jobs_heading(struct table *table)
{
	static const char *const names[] = {"HANDLE", "QUEUE", "STATE", "PROGRESS", "ATTEMPT", "AGE", "MESSAGE"};

	table->columns = ARRAY_COUNT(names);
	table->right[3] = table->right[4] = table->right[5] = true;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		table_cell(table, "%s", names[i]);
}

static void jobs_row(struct table *table, const json_t *job)
{
	double progress = job_number(job, "progress", -1);
	struct buf age = {0}, said = {0};
	uint64_t created_ms;

	if (!fmt_time_parse(job_string(job, "created"), &created_ms))
		fmt_duration(&age, ((double)fmt_now_ms() - (double)created_ms) / 1000);
	job_error(&said, job);
	table_cell(table, "%s", job_string(job, "id"));
	table_cell(table, "%s", job_string(job, "queue"));
	table_cell(table, "%s", job_string(job, "state"));
	if (progress >= 0)
		table_cell(table, "%.0f%%", progress * 100);
	else
		table_cell(table, "-");
	table_cell(table, "%.0f", job_number(job, "attempt", 0));
	table_cell(table, "%s", cli_text(&age));
	table_cell(table, "%.60s", said.len ? cli_text(&said) : job_string(job, "message"));
	buf_deinit(&age);
	buf_deinit(&said);
}

static void jobs_print(const struct session *session, const json_t *jobs, bool first)
{
	struct table table = {0};
	const json_t *job;
	size_t i;

	if (session->json) {
		json_array_foreach(jobs, i, job) session_print_json(job);
		return;
	}
	jobs_heading(&table);
	json_array_foreach(jobs, i, job) jobs_row(&table, job);
	table_out(&table, first);
}

/* One page; *after becomes the cursor of the next one, NULL at the end. */
static int jobs_page(struct session *session, uint64_t limit, json_t **after, size_t *count)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "GET", session->server);
	http_call_path(&call, "/v1/jobs");
	http_call_query(&call, "queue", cli_args_value(&session->args, "queue"));
	http_call_query(&call, "state", cli_args_value(&session->args, "state"));
	http_call_query_u64(&call, "limit", limit);
	http_call_query(&call, "after", json_string_value(*after));
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (json_is_array(json_object_get(answer, "jobs"))) {
		const json_t *jobs = json_object_get(answer, "jobs");

		if (json_array_size(jobs))
			jobs_print(session, jobs, *count == 0);
		*count += json_array_size(jobs);
		json_decref(*after);
		*after = json_incref(json_object_get(answer, "next"));
	} else {
		rc = session_report(session, &call, "list the jobs");
	}
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

static int jobs_list(struct session *session)
{
	bool all = cli_args_has(&session->args, "all");
	const char *start = cli_args_value(&session->args, "after");
	json_t *after = start ? json_pack("s", start) : NULL;
	uint64_t limit = all ? 500 : 50;
	size_t count = 0;
	int rc;

	if (session->args.operand_count)
		return cli_usage_error(session->command, "it takes no operands; for one queue: --queue %s",
				       session->args.operands[0]);
	rc = session_number(session, "limit", 1, 10000, &limit);
	do {
		if (!rc)
			rc = jobs_page(session, limit, &after, &count);
	} while (!rc && all && json_is_string(after));
	if (!rc && json_is_string(after) && !session->quiet)
		cli_say("there are more: --all, or --after %s", json_string_value(after));
	else if (!rc && !count && !session->quiet && !session->json)
		cli_say("no such jobs");
	json_decref(after);
	return rc;
}

static int jobs_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &jobs_command, argc, argv, 0);

	return rc ? rc : session_close(&session, jobs_list(&session));
}

static const struct cli_option jobs_table[] = {
	{"queue", 0, "QUEUE", "only of this queue"},
	{"state", 0, "delayed|ready|offered|running|done|failed|canceled", "only in this state"},
	{"limit", 'n', "N", "so many, or with --all so many a page (default 50)"},
	{"after", 0, "CURSOR", "go on where an earlier list ended"},
	{"all", 'a', NULL, "follow the pages to the end"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command jobs_command = {
	.name = "jobs",
	.summary = "list jobs, newest first",
	.options = jobs_table,
	.run = jobs_run,
	.detail = "With --json a job a line.",
	.group = "Look",
	.client = true,
};
