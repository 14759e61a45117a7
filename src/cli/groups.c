/* `bide groups` and `bide group`: groups of Kafka consumers are listed, looked at, set anew and deleted. */
#include "cli/fmt.h"
#include "cli/session.h"

#include <string.h>

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* --- groups ---------------------------------------------------------------------------------------------------------------- */

static void groups_print(const struct session *session, const json_t *groups, bool first)
{
	static const char *const names[] = {"GROUP", "TYPE", "STATE", "PROTOCOL", "GENERATION", "MEMBERS", "OFFSETS"};
	struct table table = {0};
	const json_t *group;
	size_t i;

	if (session->json) {
		json_array_foreach(groups, i, group) session_print_json(group);
		return;
	}
	table_heading(&table, names, ARRAY_COUNT(names), 4);
	json_array_foreach(groups, i, group)
	{
		table_cell(&table, "%s", job_string(group, "group"));
		table_cell(&table, "%s", job_string(group, "type"));
		table_cell(&table, "%s", job_string(group, "state"));
		table_cell(&table, "%s", or_dash(job_string(group, "protocol")));
		table_cell(&table, "%.0f", job_number(group, "generation", 0));
		table_cell(&table, "%.0f", job_number(group, "members", 0));
		table_cell(&table, "%.0f", job_number(group, "offsets", 0));
	}
	table_out(&table, first);
}

static int groups_run(int argc, char **argv)
{
	static const struct session_list list = {"/v1/groups", "groups", "list the groups", groups_print};
	struct session session;
	int rc = session_open(&session, &groups_command, argc, argv, 0);

	if (rc)
		return rc;
	if (session.args.operand_count)
		rc = cli_usage_error(session.command, "it takes no operands; to look at one: bide group info %s",
				     session.args.operands[0]);
	return session_close(&session, rc ? rc : session_list_all(&session, &list));
}

const struct cli_command groups_command = {
	.name = "groups",
	.summary = "list groups of Kafka consumers, oldest first",
	.run = groups_run,
	.detail = "With --json a group a line.",
	.group = "Look",
	.client = true,
};

/* --- group ----------------------------------------------------------------------------------------------------------------- */

static void group_call(const struct session *session, struct http_call *call, const char *method)
{
	http_call_init(call, method, session->server);
	http_call_path(call, "/v1/groups");
	http_call_segment(call, session->args.operands[1]);
}

/* How many partitions a member has; a dash where its leader knows alone. */
static void assigned_cell(struct table *table, const json_t *member)
{
	const json_t *assigned = json_object_get(member, "assigned"), *topic;
	size_t i, count = 0;

	json_array_foreach(assigned, i, topic) count += json_array_size(json_object_get(topic, "partitions"));
	if (assigned)
		table_cell(table, "%zu", count);
	else
		table_cell(table, "-");
}

static void members_print(const json_t *members)
{
	static const char *const names[] = {"CLIENT", "HOST", "INSTANCE", "PARTITIONS", "MEMBER"};
	struct table table = {0};
	const json_t *member;
	size_t i;

	if (!json_array_size(members))
		return;
	putchar('\n');
	table_heading(&table, names, ARRAY_COUNT(names), ARRAY_COUNT(names));
	json_array_foreach(members, i, member)
	{
		table_cell(&table, "%s", or_dash(job_string(member, "client")));
		table_cell(&table, "%s", or_dash(job_string(member, "host")));
		table_cell(&table, "%s", or_dash(job_string(member, "instance")));
		assigned_cell(&table, member);
		table_cell(&table, "%s%s", job_string(member, "id"),
			   json_is_true(json_object_get(member, "leader")) ? " (leads)" : "");
	}
	table_out(&table, true);
}

static void offsets_print(const json_t *offsets)
{
	static const char *const names[] = {"TOPIC", "PARTITION", "OFFSET", "END", "LAG"};
	struct table table = {0};
	const json_t *offset;
	size_t i;

	if (!json_array_size(offsets))
		return;
	putchar('\n');
	table_heading(&table, names, ARRAY_COUNT(names), 1);
	json_array_foreach(offsets, i, offset)
	{
		table_cell(&table, "%s", job_string(offset, "topic"));
		table_cell(&table, "%.0f", job_number(offset, "partition", 0));
		table_cell(&table, "%.0f", job_number(offset, "offset", 0));
		if (json_is_number(json_object_get(offset, "end")))
			table_cell(&table, "%.0f", job_number(offset, "end", 0));
		else
			table_cell(&table, "-");
		table_cell(&table, "%.0f", job_number(offset, "lag", 0));
	}
	table_out(&table, true);
}

static int group_info(struct session *session)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	group_call(session, &call, "GET");
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (!answer) {
		rc = session_report(session, &call, "look at the group");
	} else if (session->json) {
		session_print_json(answer);
	} else {
		printf("%-12s%s\n", "type", job_string(answer, "type"));
		printf("%-12s%s\n", "state", job_string(answer, "state"));
		printf("%-12s%s\n", "protocol", or_dash(job_string(answer, "protocol")));
		printf("%-12s%.0f\n", "generation", job_number(answer, "generation", 0));
		members_print(json_object_get(answer, "members"));
		offsets_print(json_object_get(answer, "offsets"));
	}
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

static int group_change(struct session *session, const char *method, json_t *body, const char *doing)
{
	struct http_call call;
	int rc = 0;

	group_call(session, &call, method);
	if (body)
		http_call_json(&call, body);
	session_run(session, &call, true);
	if (call.outcome != HTTP_ANSWERED || call.status != 204)
		rc = session_report(session, &call, doing);
	http_call_deinit(&call);
	return rc;
}

static int group_reset(struct session *session)
{
	const char *topic = cli_args_value(&session->args, "topic"), *to = cli_args_value(&session->args, "to");
	uint64_t partition = UINT64_MAX;
	json_t *body;
	int rc = session_number(session, "partition", 0, INT32_MAX, &partition);

	if (rc)
		return rc;
	if (!topic || !to)
		return cli_usage_error(session->command, "reset needs --topic NAME and --to earliest, latest or an offset");
	body = json_pack("{s:s, s:s}", "topic", topic, "to", to);
	if (!body)
		cli_out_of_memory();
	if (partition != UINT64_MAX && json_object_set_new(body, "partition", json_integer((json_int_t)partition)))
		cli_out_of_memory();
	return group_change(session, "PATCH", body, "reset the group");
}

static int group_checked(struct session *session)
{
	const struct cli_args *args = &session->args;
	const char *name = args->operand_count ? args->operands[0] : "";
	bool info = !strcmp(name, "info"), reset = !strcmp(name, "reset");

	if (!info && !reset && strcmp(name, "delete") != 0)
		return cli_usage_error(session->command, "%s%sinfo, reset or delete?", name, *name ? ": " : "");
	if (args->operand_count != 2)
		return cli_usage_error(session->command, args->operand_count < 2 ? "which group?" : "one group at a time");
	if (!reset && (cli_args_has(args, "topic") || cli_args_has(args, "partition") || cli_args_has(args, "to")))
		return cli_usage_error(session->command, "--topic, --partition and --to are for reset");
	if (info)
		return group_info(session);
	return reset ? group_reset(session) : group_change(session, "DELETE", NULL, "delete the group");
}

static int group_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &group_command, argc, argv, 0);

	return rc ? rc : session_close(&session, group_checked(&session));
}

static const struct cli_option group_table[] = {
	{"topic", 0, "NAME", "reset: in which topic"},
	{"partition", 0, "N", "reset: only there (default: all)"},
	{"to", 0, "WHERE", "reset: earliest, latest, or an offset"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command group_command = {
	.name = "group",
	.summary = "look at, reset or delete a group of Kafka consumers",
	.usage = "info|reset|delete GROUP",
	.options = group_table,
	.run = group_run,
	.detail = "  info     its members, where it stands in each partition, how far behind\n"
		  "  reset    where it reads on; it must have no members\n"
		  "  delete   it and its offsets are gone; it must have no members",
	.group = "Look",
	.client = true,
};
