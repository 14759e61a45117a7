#include "cli/queues.h"
#include "base/mem.h"
#include "cli/session.h"

#include <string.h>
#include <unistd.h>

void queues_table(struct table *table, const json_t *queues)
{
	static const char *const names[] = {"QUEUE",    "READY",        "DELAYED", "RUNNING", "DONE", "FAILED",
					    "CANCELED", "WORKERS WAIT", "OLDEST",  "IN/S",    "OUT/S"};
	static const char *const counts[] = {"ready", "delayed", "running", "done", "failed", "canceled"};
	const json_t *queue;
	size_t i;

	table->columns = ARRAY_COUNT(names);
	for (i = 0; i < ARRAY_COUNT(names); i++) {
		table->right[i] = i > 0;
		table_cell(table, "%s", names[i]);
	}
	json_array_foreach(queues, i, queue)
	{
		const json_t *count = json_object_get(queue, "counts");
		const json_t *rates = json_object_get(queue, "rates");
		double oldest = job_number(queue, "oldest_ready_age", -1);
		struct buf age = {0};

		table_cell(table, "%s%s", job_string(queue, "queue"),
			   json_is_true(json_object_get(queue, "paused")) ? " (paused)" : "");
		for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
			/* An offered job is on its way to a worker. */
			double on_its_way = !strcmp(counts[c], "running") ? job_number(count, "offered", 0) : 0;

			table_cell(table, "%.0f", job_number(count, counts[c], 0) + on_its_way);
		}
		table_cell(table, "%.0f", job_number(queue, "waiting_workers", 0));
		if (oldest >= 0)
			fmt_duration(&age, oldest);
		table_cell(table, "%s", oldest >= 0 ? cli_text(&age) : "-");
		table_cell(table, "%.1f", job_number(rates, "submitted", 0));
		table_cell(table, "%.1f", job_number(rates, "done", 0));
		buf_deinit(&age);
	}
}

static void queues_print(const json_t *queues)
{
	struct table table = {0};

	queues_table(&table, queues);
	table_out(&table, true);
}

/* GET of a path with perhaps a name; the caller's reference, or NULL with the failure told and *ret_rc set. */
static json_t *queues_get(struct session *session, const char *name, const char *after, int *ret_rc)
{
	struct http_call call;
	json_t *answer;

	http_call_init(&call, "GET", session->server);
	http_call_path(&call, "/v1/queues");
	if (name)
		http_call_segment(&call, name);
	http_call_query(&call, "after", after);
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (!answer)
		*ret_rc = session_report(session, &call, name ? "look at the queue" : "list the queues");
	http_call_deinit(&call);
	return answer;
}

/* All pages as one answer; NULL with *ret_rc set. */
static json_t *queues_get_all(struct session *session, int *ret_rc)
{
	json_t *all = json_array(), *page;
	char *after = NULL;

	do {
		page = queues_get(session, NULL, after, ret_rc);
		if (!page)
			break;
		json_array_extend(all, json_object_get(page, "queues"));
		mem_free(after);
		after = json_is_string(json_object_get(page, "next")) ? cli_dup(json_string_value(json_object_get(page, "next")))
								      : NULL;
		json_decref(page);
	} while (after);
	if (*ret_rc) {
		mem_free(after);
		json_decref(all);
		return NULL;
	}
	return json_pack("{s:o}", "queues", all);
}

static int queues_list(struct session *session)
{
	int rc = 0;
	json_t *answer = queues_get_all(session, &rc);
	const json_t *queues = json_object_get(answer, "queues");

	if (rc)
		return rc;
	if (session->json)
		session_print_json(answer);
	else if (json_array_size(queues))
		queues_print(queues);
	else if (!session->quiet)
		cli_say("no queues yet; the first job makes one");
	json_decref(answer);
	return 0;
}

static int queues_show(struct session *session, const char *name)
{
	int rc = 0;
	json_t *answer = queues_get(session, name, NULL, &rc);
	json_t *one;

	if (rc)
		return rc;
	one = json_pack("[O]", answer);
	if (session->json)
		session_print_json(answer);
	else if (one)
		queues_print(one);
	json_decref(one);
	json_decref(answer);
	return 0;
}

static int queues_set_paused(struct session *session, const char *name, bool paused)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "PATCH", session->server);
	http_call_path(&call, "/v1/queues");
	http_call_segment(&call, name);
	http_call_json(&call, json_pack("{s:b}", "paused", paused));
	session_run(session, &call, true);
	if (call.outcome != HTTP_ANSWERED || call.status != 200) {
		rc = session_report(session, &call, paused ? "pause the queue" : "resume the queue");
	} else if (session->json) {
		answer = http_answer_json(&call);
		session_print_json(answer);
		json_decref(answer);
	} else if (!session->quiet) {
		printf("%s %s\n", name, paused ? "is paused: its workers get nothing until it is resumed" : "goes on");
	}
	http_call_deinit(&call);
	return rc;
}

static int queues_pause(struct session *session, const char *name)
{
	return queues_set_paused(session, name, true);
}

static int queues_resume(struct session *session, const char *name)
{
	return queues_set_paused(session, name, false);
}

static int queues_kick_some(struct session *session, const char *name, uint64_t count, uint64_t *kicked)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "POST", session->server);
	http_call_path(&call, "/v1/queues");
	http_call_segment(&call, name);
	http_call_path(&call, "/kick");
	http_call_json(&call, json_pack("{s:I}", "n", (json_int_t)count));
	session_run(session, &call, false);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (answer)
		*kicked = (uint64_t)job_number(answer, "kicked", 0);
	else
		rc = session_report(session, &call, "kick the failed jobs");
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

/* Without --count: as many as had failed when we looked, so that one which fails again at once is not kicked for ever. */
static int queues_kick(struct session *session, const char *name)
{
	enum { AT_ONCE = 1000 };
	uint64_t wanted = 0, kicked = 0, some = 1;
	int rc = session_number(session, "count", 1, UINT32_MAX, &wanted);

	if (!rc && !wanted) {
		json_t *queue = queues_get(session, name, NULL, &rc);

		wanted = (uint64_t)job_number(json_object_get(queue, "counts"), "failed", 0);
		json_decref(queue);
	}
	while (!rc && some && kicked < wanted) {
		some = 0;
		rc = queues_kick_some(session, name, wanted - kicked < AT_ONCE ? wanted - kicked : AT_ONCE, &some);
		kicked += some;
	}
	if (!rc && session->json)
		printf("{\"queue\":\"%s\",\"kicked\":%llu}\n", name, (unsigned long long)kicked);
	else if (!rc && !session->quiet)
		printf("%llu failed job%s of %s ready again\n", (unsigned long long)kicked, kicked == 1 ? "" : "s", name);
	return !rc && !kicked ? CLI_TIMED_OUT : rc;
}

static const struct {
	const char *name;
	int (*run)(struct session *session, const char *queue);
} actions[] = {{"show", queues_show}, {"pause", queues_pause}, {"resume", queues_resume}, {"kick", queues_kick}};

static int queues_act(struct session *session)
{
	const char *const names[] = {"list", "show", "pause", "resume", "kick"};
	char **operands = session->args.operands;
	const char *nearest;

	if (!session->args.operand_count || (session->args.operand_count == 1 && !strcmp(operands[0], "list")))
		return queues_list(session);
	for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
		if (strcmp(actions[i].name, operands[0]) != 0)
			continue;
		if (session->args.operand_count != 2)
			return cli_usage_error(session->command, "%s which queue?", operands[0]);
		return actions[i].run(session, operands[1]);
	}
	nearest = cli_nearest(operands[0], names, ARRAY_COUNT(names));
	if (nearest)
		return cli_usage_error(session->command, "it cannot %s. Did you mean %s?", operands[0], nearest);
	return cli_usage_error(session->command, "it cannot %s; for one queue: bide queues show %s", operands[0], operands[0]);
}

static int queues_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &queues_command, argc, argv, 0);

	return rc ? rc : session_close(&session, queues_act(&session));
}

static const struct cli_option queues_options[] = {
	{"count", 'n', "N", "kick: at most so many, the oldest first (default: all that have failed)"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command queues_command = {
	.name = "queues",
	.summary = "list the queues; pause, resume or kick one",
	.usage = "[list | show|pause|resume|kick QUEUE]",
	.options = queues_options,
	.run = queues_run,
	.detail = "A paused queue takes jobs but hands none out. kick makes failed jobs ready again; it exits with 6 when there\n"
		  "was none.",
	.group = "Look",
	.client = true,
};
