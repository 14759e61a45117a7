#include "base/mem.h"
#include "cli/fetch.h"
#include "cli/fmt.h"
#include "cli/tail.h"

#include <string.h>

static void result_tell(const struct session *session, const struct fetch *fetch, const struct handle *handle)
{
	struct buf line = {0};

	if (session->json) {
		json_t *told = json_pack("{s:s, s:s, s:I, s:s}", "id", handle->id, "file", fetch->output->path, "size",
					 (json_int_t)fetch->output->written_bytes, "content_type", fetch->content_type);

		if (!told)
			cli_out_of_memory();
		session_print_json(told);
		json_decref(told);
	} else if (session->live && fetch->output->path) {
		fmt_bytes(&line, fetch->output->written_bytes);
		fprintf(stderr, "%s: %s, %s\n", fetch->output->path, cli_text(&line), fetch->content_type);
		buf_deinit(&line);
	}
}

static int result_fetch(struct session *session, const struct handle *handle, uint64_t timeout_ms)
{
	struct output output;
	struct fetch fetch = {.session = session, .output = &output, .deadline_ns = UINT64_MAX};
	int rc;

	if (timeout_ms < UINT64_MAX / 2000000)
		fetch.deadline_ns = cli_now_ns() + timeout_ms * 1000000;
	rc = output_open(&output, cli_args_value(&session->args, "output"));
	if (rc)
		return rc;
	if (cli_args_has(&session->args, "follow"))
		tail_job_output(session, handle, fetch.deadline_ns);
	rc = fetch_result(&fetch, handle);
	if (!rc)
		rc = output_commit(&output);
	if (!rc)
		result_tell(session, &fetch, handle);
	output_abort(&output);
	return rc;
}

static int result_checked(struct session *session)
{
	const char *path = cli_args_value(&session->args, "output");
	uint64_t timeout_ms = SESSION_FOREVER_MS;
	struct handle handle;
	int rc;

	if (session->args.operand_count != 1)
		return cli_usage_error(session->command, "one handle, please");
	if (session->json && (!path || !strcmp(path, "-")))
		return cli_usage_error(session->command, "with --json the result needs a place of its own: -o FILE");
	rc = session_duration(session, "timeout", &timeout_ms);
	if (!rc)
		rc = handle_init(&handle, session, session->args.operands[0]);
	if (rc)
		return rc;
	rc = result_fetch(session, &handle, timeout_ms);
	handle_deinit(&handle);
	return rc;
}

static int result_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &result_command, argc, argv, 60000);

	return rc ? rc : session_close(&session, result_checked(&session));
}

static const struct cli_option result_table[] = {
	{"output", 'o', "FILE", "write it there; the file appears only when it is whole (default: stdout)"},
	{"follow", 0, NULL, "show on stderr what the job's workers write, as it comes"},
	{"timeout", 't', "DUR", "wait so long for the job to be done; 0: not at all (default: forever)"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command result_command = {
	.name = "result",
	.summary = "fetch the result of a job, waiting until there is one",
	.usage = "HANDLE",
	.options = result_table,
	.run = result_run,
	.detail = "Streams the bytes, however many. When the connection breaks in the middle it goes on where it stopped\n"
		  "(--retry, default 60s). A job that failed, was canceled or is past its retention exits with 10, 11 or 12.",
	.group = "Jobs",
	.client = true,
};
