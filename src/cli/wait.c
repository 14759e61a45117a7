/* `bide wait`. Up to FOLLOW_LIMIT handles have a long poll each, so that their progress shows; more are waited for together,
 * with POST /v1/jobs/wait. */
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/follow.h"
#include "cli/live.h"
#include "cli/tail.h"

#include <stdlib.h>
#include <string.h>

struct wait_request {
	struct session *session;
	struct handle *handles;
	size_t count;
	bool any;
	const char *until;
	enum follow_show show;
	bool follow; /* what the job's workers write is shown meanwhile */
	uint64_t deadline_ns;
	size_t over_count;
	int exit_code; /* of the jobs that are over: the gravest */
};

static double job_seconds(const json_t *job)
{
	uint64_t created_ms, updated_ms;

	if (fmt_time_parse(job_string(job, "created"), &created_ms) || fmt_time_parse(job_string(job, "updated"), &updated_ms))
		return -1;
	return updated_ms > created_ms ? (double)(updated_ms - created_ms) / 1000 : 0;
}

/* "<id> done  4.1 MiB video/mp4  in 12 s" */
static void wait_print(const json_t *job)
{
	const json_t *result = json_object_get(job, "result");
	double seconds = job_seconds(job);
	struct buf line = {0};

	buf_printf(&line, "%s ", job_string(job, "id"));
	live_text(&line, job_string(job, "state"));
	if (json_is_object(result)) {
		buf_append_str(&line, "  ");
		fmt_bytes(&line, (uint64_t)job_number(result, "size", 0));
		buf_append_char(&line, ' ');
		live_text(&line, job_string(result, "content_type"));
	}
	if (json_object_get(job, "error") && !json_is_null(json_object_get(job, "error")) &&
	    strcmp(job_string(job, "state"), "done") != 0) {
		buf_append_str(&line, "  ");
		job_error(&line, job);
	}
	if (job_is_over(job) && seconds >= 0) {
		buf_append_str(&line, "  in ");
		fmt_duration(&line, seconds);
	}
	puts(cli_text(&line));
	fflush(stdout);
	buf_deinit(&line);
}

static void wait_job_over(struct wait_request *wait, const json_t *job, int exit_code)
{
	wait->over_count++;
	if (wait->any ? wait->over_count == 1 : exit_code > wait->exit_code)
		wait->exit_code = exit_code;
	if (!job)
		return;
	live_clear();
	if (wait->session->json)
		session_print_json(job);
	else
		wait_print(job);
}

/* --- a poll for each ------------------------------------------------------------------------------------------------------- */

static void wait_on_over(struct follow_job *job)
{
	struct wait_request *wait = job->follow->owner;

	if (wait->any && wait->over_count)
		return;
	wait_job_over(wait, job->job, job->exit_code);
}

static int wait_each(struct wait_request *wait)
{
	struct follow_job *jobs = cli_alloc(wait->count * sizeof(*jobs));
	struct follow follow = {
		.session = wait->session,
		.jobs = jobs,
		.count = wait->count,
		.any = wait->any,
		.until = wait->until,
		.show = wait->show,
		.deadline_ns = wait->deadline_ns,
		.on_over = wait_on_over,
		.owner = wait,
	};
	int rc;

	for (size_t i = 0; i < wait->count; i++) {
		jobs[i].handle = wait->handles[i];
		wait->handles[i] = (struct handle){NULL, NULL};
	}
	rc = follow_run(&follow);
	follow_deinit(&follow);
	mem_free(jobs);
	return rc ? rc : wait->exit_code;
}

/* --- all in one ------------------------------------------------------------------------------------------------------------ */

static json_t *wait_body(const struct wait_request *wait, uint64_t wait_ms)
{
	json_t *ids = json_array();
	char text[32];

	for (size_t i = 0; ids && i < wait->count; i++)
		if (wait->handles[i].id && json_array_append_new(ids, json_pack("s", wait->handles[i].id)))
			cli_out_of_memory();
	snprintf(text, sizeof(text), "%llums", (unsigned long long)wait_ms);
	/* "any", also where all are wanted: each is told when it is over, and then no longer asked for. */
	return json_pack("{s:o, s:s, s:s}", "ids", ids, "mode", "any", "wait", text);
}

static void wait_forget(struct wait_request *wait, const char *id)
{
	for (size_t i = 0; i < wait->count; i++)
		if (wait->handles[i].id && !strcmp(wait->handles[i].id, id))
			wait->handles[i].id = mem_free(wait->handles[i].id);
}

static void wait_heard(struct wait_request *wait, const json_t *answer)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(answer, "jobs"), i, value)
	{
		if (!job_is_over(value) || (wait->any && wait->over_count))
			continue;
		wait_job_over(wait, value, job_exit_code(value));
		wait_forget(wait, job_string(value, "id"));
	}
	json_array_foreach(json_object_get(answer, "missing"), i, value)
	{
		const char *id = json_string_value(value);

		if (!id || (wait->any && wait->over_count))
			continue;
		cli_say("there is no job %s", id);
		wait_job_over(wait, NULL, CLI_NOT_FOUND);
		wait_forget(wait, id);
	}
}

static int wait_together_once(struct wait_request *wait, uint64_t wait_ms)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "POST", wait->handles[0].base);
	http_call_path(&call, "/v1/jobs/wait");
	http_call_json(&call, wait_body(wait, wait_ms));
	call.patience_ms = wait_ms + 15000;
	session_run(wait->session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (answer)
		wait_heard(wait, answer);
	else
		rc = session_report(wait->session, &call, "wait for the jobs");
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

static int wait_together(struct wait_request *wait)
{
	for (size_t i = 1; i < wait->count; i++)
		if (strcmp(wait->handles[i].base, wait->handles[0].base) != 0)
			return cli_usage_error(wait->session->command, "more than %d handles must be of one server",
					       FOLLOW_LIMIT);
	for (;;) {
		uint64_t now_ns = cli_now_ns();
		uint64_t left_ms = wait->deadline_ns > now_ns ? (wait->deadline_ns - now_ns) / 1000000 : 0;
		int rc = wait_together_once(wait, left_ms < SESSION_WAIT_MS ? left_ms : SESSION_WAIT_MS);

		if (rc)
			return rc;
		if (wait->over_count == wait->count || (wait->any && wait->over_count))
			return wait->exit_code;
		if (!left_ms)
			return CLI_TIMED_OUT;
	}
}

/* --- the command ----------------------------------------------------------------------------------------------------------- */

static int wait_options(struct wait_request *wait)
{
	const struct cli_args *args = &wait->session->args;
	uint64_t timeout_ms = SESSION_FOREVER_MS;
	bool progress = cli_args_has(args, "progress");
	int rc = session_duration(wait->session, "timeout", &timeout_ms);

	if (rc)
		return rc;
	wait->deadline_ns = timeout_ms < UINT64_MAX / 2000000 ? cli_now_ns() + timeout_ms * 1000000 : UINT64_MAX;
	wait->any = cli_args_has(args, "any");
	wait->until = cli_args_value(args, "until");
	if (!args->operand_count)
		return cli_usage_error(wait->session->command, "which job? Give its handle");
	if (wait->any && cli_args_has(args, "all"))
		return cli_usage_error(wait->session->command, "--any or --all, not both");
	if (wait->until && !follow_until_known(wait->until))
		return cli_usage_error(wait->session->command,
				       "--until %s is no state: ready, running (or started), done, failed, canceled",
				       wait->until);
	wait->follow = cli_args_has(args, "follow");
	if (wait->follow && (wait->until || args->operand_count > 1))
		return cli_usage_error(wait->session->command, "--follow is for one job, to its end");
	if (wait->until && args->operand_count > FOLLOW_LIMIT)
		return cli_usage_error(wait->session->command, "--until is for up to %d handles", FOLLOW_LIMIT);
	if (wait->session->json)
		wait->show = progress ? FOLLOW_JSON : wait->session->live ? FOLLOW_LIVE : FOLLOW_SILENT;
	else
		wait->show = wait->session->live ? FOLLOW_LIVE : progress ? FOLLOW_LINES : FOLLOW_SILENT;
	return 0;
}

/* A handle given twice is waited for once. */
static bool wait_has(const struct wait_request *wait, const struct handle *handle)
{
	for (size_t i = 0; i < wait->count; i++)
		if (!strcmp(wait->handles[i].id, handle->id) && !strcmp(wait->handles[i].base, handle->base))
			return true;
	return false;
}

static int wait_handles(struct wait_request *wait)
{
	const struct cli_args *args = &wait->session->args;

	wait->handles = cli_alloc(args->operand_count * sizeof(*wait->handles));
	for (size_t i = 0; i < args->operand_count; i++) {
		struct handle handle;
		int rc = handle_init(&handle, wait->session, args->operands[i]);

		if (rc)
			return rc;
		if (wait_has(wait, &handle))
			handle_deinit(&handle);
		else
			wait->handles[wait->count++] = handle;
	}
	return 0;
}

static int wait_run(int argc, char **argv)
{
	struct session session;
	struct wait_request wait = {.session = &session};
	int rc = session_open(&session, &wait_command, argc, argv, 60000);

	if (rc)
		return rc;
	rc = wait_options(&wait);
	if (!rc)
		rc = wait_handles(&wait);
	if (!rc && wait.follow)
		tail_job_output(&session, &wait.handles[0], wait.deadline_ns);
	if (!rc)
		rc = wait.count > FOLLOW_LIMIT ? wait_together(&wait) : wait_each(&wait);
	if (rc == CLI_TIMED_OUT && !session.quiet) {
		live_clear();
		cli_say("time is up; the %s still there, and nothing is lost", wait.count > 1 ? "rest is" : "job is");
	}
	for (size_t i = 0; i < wait.count; i++)
		handle_deinit(&wait.handles[i]);
	mem_free(wait.handles);
	return session_close(&session, rc);
}

static const struct cli_option wait_table[] = {
	{"any", 0, NULL, "the first job that is over ends it, and its exit code is the command's"},
	{"all", 0, NULL, "wait until all are over (the default)"},
	{"timeout", 't', "DUR", "give up after so long, exit code 6; 0: only look (default: forever)"},
	{"follow", 0, NULL, "show on stderr what the job's workers write, as it comes; for one job"},
	{"until", 0, "ready|running|started|done|failed|canceled", "wait only until the job has come as far as this"},
	{"progress", 'p', NULL, "show every change: as lines where stderr is no terminal, as JSON lines with --json"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command wait_command = {
	.name = "wait",
	.summary = "wait until jobs are over, showing their progress",
	.usage = "HANDLE…",
	.options = wait_table,
	.run = wait_run,
	.detail = "Holds a long poll for each job and prints a line as each is over. A server that goes away is asked again\n"
		  "(--retry, default 60s). Exit code: 0 done, 10 failed, 11 canceled, 3 unknown, 12 forgotten; of several jobs\n"
		  "the highest of these.",
	.group = "Jobs",
	.client = true,
};
