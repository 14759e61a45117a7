/* `bide topics` and `bide topic`: topics of Kafka clients are listed, made, looked at, altered and deleted. */
#include "cli/fmt.h"
#include "cli/session.h"

#include "base/mem.h"

#include <string.h>

/* --- topics ---------------------------------------------------------------------------------------------------------------- */

static void bytes_cell(struct table *table, double bytes)
{
	struct buf text = {0};

	fmt_bytes(&text, (uint64_t)bytes);
	table_cell(table, "%s", cli_text(&text));
	buf_deinit(&text);
}

/* "a=1 b=2"; "-" when nothing is set. */
static void settings_text(struct buf *out, json_t *settings)
{
	const char *key;
	json_t *value;

	json_object_foreach(settings, key, value)
		buf_printf(out, "%s%s=%s", out->len ? " " : "", key, json_string_value(value) ? json_string_value(value) : "");
	if (!out->len)
		buf_append_char(out, '-');
}

static void topics_print(const struct session *session, const json_t *topics, bool first)
{
	static const char *const names[] = {"TOPIC", "PARTITIONS", "OFFSETS", "BYTES", "SETTINGS"};
	struct table table = {0};
	const json_t *topic;
	size_t i;

	if (session->json) {
		json_array_foreach(topics, i, topic) session_print_json(topic);
		return;
	}
	table_heading(&table, names, ARRAY_COUNT(names), 1);
	table.right[4] = false;
	json_array_foreach(topics, i, topic)
	{
		struct buf settings = {0};

		settings_text(&settings, json_object_get(topic, "settings"));
		table_cell(&table, "%s", job_string(topic, "topic"));
		table_cell(&table, "%.0f", job_number(topic, "partitions", 0));
		table_cell(&table, "%.0f", job_number(topic, "offsets", 0));
		bytes_cell(&table, job_number(topic, "bytes", 0));
		table_cell(&table, "%s", cli_text(&settings));
		buf_deinit(&settings);
	}
	table_out(&table, first);
}

static int topics_run(int argc, char **argv)
{
	static const struct session_list list = {"/v1/topics", "topics", "list the topics", topics_print};
	struct session session;
	int rc = session_open(&session, &topics_command, argc, argv, 0);

	if (rc)
		return rc;
	if (session.args.operand_count)
		rc = cli_usage_error(session.command, "it takes no operands; to look at one: bide topic info %s",
				     session.args.operands[0]);
	return session_close(&session, rc ? rc : session_list_all(&session, &list));
}

const struct cli_command topics_command = {
	.name = "topics",
	.summary = "list topics of Kafka clients, oldest first",
	.run = topics_run,
	.detail = "With --json a topic a line.",
	.group = "Look",
	.client = true,
};

/* --- topic ----------------------------------------------------------------------------------------------------------------- */

static void topic_call(const struct session *session, struct http_call *call, const char *method)
{
	http_call_init(call, method, session->server);
	http_call_path(call, "/v1/topics");
	http_call_segment(call, session->args.operands[1]);
}

static void partitions_print(const json_t *partitions)
{
	static const char *const names[] = {"PARTITION", "EARLIEST", "END", "STABLE", "BYTES"};
	struct table table = {0};
	const json_t *partition;
	size_t i;

	putchar('\n');
	table_heading(&table, names, ARRAY_COUNT(names), 0);
	json_array_foreach(partitions, i, partition)
	{
		table_cell(&table, "%.0f", job_number(partition, "partition", 0));
		table_cell(&table, "%.0f", job_number(partition, "earliest", 0));
		table_cell(&table, "%.0f", job_number(partition, "end", 0));
		table_cell(&table, "%.0f", job_number(partition, "stable", 0));
		bytes_cell(&table, job_number(partition, "bytes", 0));
	}
	table_out(&table, true);
}

static void topic_print(const json_t *topic)
{
	const char *key;
	json_t *value;

	printf("%-12s%s\n", "topic", job_string(topic, "topic"));
	printf("%-12s%s\n", "id", job_string(topic, "id"));
	json_object_foreach(json_object_get(topic, "settings"), key, value)
		printf("%-12s%s=%s\n", "setting", key, json_string_value(value) ? json_string_value(value) : "");
	partitions_print(json_object_get(topic, "partitions"));
}

static int topic_info(struct session *session)
{
	struct http_call call;
	json_t *answer;
	int rc = 0;

	topic_call(session, &call, "GET");
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	if (!answer)
		rc = session_report(session, &call, "look at the topic");
	else if (session->json)
		session_print_json(answer);
	else
		topic_print(answer);
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

static int topic_change(struct session *session, const char *method, json_t *body, const char *doing)
{
	struct http_call call;
	int rc = 0;

	topic_call(session, &call, method);
	if (body)
		http_call_json(&call, body);
	session_run(session, &call, true);
	if (call.outcome != HTTP_ANSWERED || call.status / 100 != 2)
		rc = session_report(session, &call, doing);
	http_call_deinit(&call);
	return rc;
}

/* "KEY=VALUE" into an object. */
static int setting_add(const struct session *session, json_t *settings, const char *given)
{
	const char *equals = strchr(given, '=');
	char *key = equals ? mem_dup(given, (size_t)(equals - given)) : NULL;
	int rc = 0;

	if (!equals || equals == given)
		rc = cli_usage_error(session->command, "--set %s: it wants KEY=VALUE, as retention.ms=3600000", given);
	else if (!key || json_object_set_new(settings, key, json_string(equals + 1)))
		cli_out_of_memory();
	mem_free(key);
	return rc;
}

/* What the options say, as create and alter send it. */
static int body_fill(const struct session *session, json_t *body)
{
	json_t *settings = json_object(), *unset = json_array();
	uint64_t partitions = 0;
	int rc = session_number(session, "partitions", 1, INT32_MAX, &partitions);

	if (!settings || !unset || json_object_set_new(body, "settings", settings) || json_object_set_new(body, "unset", unset))
		cli_out_of_memory();
	for (size_t i = 0; i < session->args.given_count && !rc; i++) {
		const struct cli_given *given = &session->args.given[i];

		if (!strcmp(given->option->name, "set"))
			rc = setting_add(session, settings, given->value);
		else if (!strcmp(given->option->name, "unset") && json_array_append_new(unset, json_string(given->value)))
			cli_out_of_memory();
	}
	if (partitions && json_object_set_new(body, "partitions", json_integer((json_int_t)partitions)))
		cli_out_of_memory();
	return rc;
}

static int topic_set(struct session *session, bool create)
{
	json_t *body = json_object();
	int rc;

	if (!body)
		cli_out_of_memory();
	rc = body_fill(session, body);
	if (rc) {
		json_decref(body);
		return rc;
	}
	return topic_change(session, create ? "PUT" : "PATCH", body, create ? "make the topic" : "alter the topic");
}

static int topic_checked(struct session *session)
{
	const struct cli_args *args = &session->args;
	const char *name = args->operand_count ? args->operands[0] : "";
	bool info = !strcmp(name, "info"), create = !strcmp(name, "create"), alter = !strcmp(name, "alter");
	bool set = cli_args_has(args, "set") || cli_args_has(args, "partitions"), unset = cli_args_has(args, "unset");

	if (!info && !create && !alter && strcmp(name, "delete") != 0)
		return cli_usage_error(session->command, "%s%screate, info, alter or delete?", name, *name ? ": " : "");
	if (args->operand_count != 2)
		return cli_usage_error(session->command, args->operand_count < 2 ? "which topic?" : "one topic at a time");
	if (!create && !alter && (set || unset))
		return cli_usage_error(session->command, "--partitions, --set and --unset are for create and alter");
	if (create && unset)
		return cli_usage_error(session->command, "--unset is for alter");
	if (alter && !set && !unset)
		return cli_usage_error(session->command, "alter what? --partitions N, --set KEY=VALUE or --unset KEY");
	if (info)
		return topic_info(session);
	return create || alter ? topic_set(session, create) : topic_change(session, "DELETE", NULL, "delete the topic");
}

static int topic_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &topic_command, argc, argv, 0);

	return rc ? rc : session_close(&session, topic_checked(&session));
}

static const struct cli_option topic_table[] = {
	{"partitions", 'p', "N", "create, alter: how many there are to be"},
	{"set", 0, "KEY=VALUE", "create, alter: as retention.ms=3600000; may be repeated"},
	{"unset", 0, "KEY", "alter: as it is where nothing is set; may be repeated"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command topic_command = {
	.name = "topic",
	.summary = "make, look at, alter or delete a topic of Kafka clients",
	.usage = "create|info|alter|delete TOPIC",
	.options = topic_table,
	.run = topic_run,
	.detail = "  create   with partitions and settings; also when it is there just so\n"
		  "  info     what is set, where each partition begins and ends\n"
		  "  alter    settings, and more partitions\n"
		  "  delete   it and all its records are gone",
	.group = "Look",
	.client = true,
};
