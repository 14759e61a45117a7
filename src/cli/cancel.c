#include "cli/fmt.h"
#include "cli/session.h"

#include <string.h>

static void cancel_tell(const struct session *session, const struct handle *handle, struct http_call *call, bool forget)
{
	json_t *job = http_answer_json(call);

	if (session->json && job) {
		session_print_json(job);
	} else if (session->json) {
		json_t *told = json_pack("{s:s, s:b}", "id", handle->id, "forgotten", forget);

		if (!told)
			cli_out_of_memory();
		session_print_json(told);
		json_decref(told);
	} else if (!session->quiet) {
		printf("%s %s\n", handle->id, forget ? "forgotten" : "canceled");
	}
	json_decref(job);
}

static int cancel_one(struct session *session, const char *text)
{
	bool forget = cli_args_has(&session->args, "forget");
	struct handle handle;
	struct http_call call;
	char doing[160];
	int rc = handle_init(&handle, session, text);

	if (rc)
		return rc;
	handle_call(&handle, &call, "DELETE", "");
	if (forget)
		http_call_query(&call, "forget", "true");
	session_run(session, &call, true);
	if (call.outcome == HTTP_ANSWERED && call.status >= 200 && call.status < 300) {
		cancel_tell(session, &handle, &call, forget);
	} else if (call.outcome == HTTP_ANSWERED && call.status == 409) {
		cli_say("%s is over already, so there is nothing to cancel", handle.id);
		cli_hint("Drop its record and result with:  bide cancel --forget %s", handle.id);
		rc = CLI_CONFLICT;
	} else {
		snprintf(doing, sizeof(doing), "cancel %s", handle.id);
		rc = session_report(session, &call, doing);
	}
	http_call_deinit(&call);
	handle_deinit(&handle);
	return rc;
}

static int cancel_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &cancel_command, argc, argv, 0);
	int worst = 0;

	if (rc)
		return rc;
	if (!session.args.operand_count)
		worst = cli_usage_error(&cancel_command, "which job? Give its handle");
	for (size_t i = 0; i < session.args.operand_count; i++) {
		rc = cancel_one(&session, session.args.operands[i]);
		if (rc > worst)
			worst = rc;
	}
	return session_close(&session, worst);
}

static const struct cli_option cancel_table[] = {
	{"forget", 0, NULL, "drop the job's record as well, and its result"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command cancel_command = {
	.name = "cancel",
	.summary = "cancel jobs, or drop what is kept of them",
	.usage = "HANDLE…",
	.options = cancel_table,
	.run = cancel_run,
	.detail = "A job is canceled at once; a worker that has it learns so at its next beat. Canceling twice is fine.",
	.group = "Jobs",
	.client = true,
};
