/* Help, made from the command tables; `help --json` gives the tables to programs (the check of the man page is one). */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELP_WIDTH = 100 };

static const char *const bold_on = "\033[1m", *const bold_off = "\033[0m";

static bool help_colored(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(fileno(out)) && !(no_color && *no_color);
}

static void help_heading(FILE *out, const char *text)
{
	bool colored = help_colored(out);

	fprintf(out, "\n%s%s%s\n", colored ? bold_on : "", text, colored ? bold_off : "");
}

/* Words broken at HELP_WIDTH, the lines behind the first indented to `column`. */
static void help_wrap(FILE *out, const char *text, int column)
{
	int at = column;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (at > column && at + 1 + len > HELP_WIDTH) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		}
		at += fprintf(out, "%s%.*s", at > column ? " " : "", len, text);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static int option_label(const struct cli_option *option, char *out, size_t size)
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	return snprintf(out, size, "  %s--%s%s%s", letter, option->name, option->arg && option->arg[0] != '[' ? " " : "",
			option->arg ? option->arg : "");
}

static void help_options(FILE *out, const struct cli_option *options)
{
	enum { COLUMN = 30 };
	char label[128];

	for (; options->name; options++) {
		int width = option_label(options, label, sizeof(label));

		fputs(label, out);
		if (width + 2 > COLUMN) {
			fputc('\n', out);
			width = 0;
		}
		fprintf(out, "%*s", COLUMN - width, "");
		help_wrap(out, options->help, COLUMN);
	}
}

static void help_command_print(FILE *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];
	const char *usage = command->usage ? command->usage : "";

	fprintf(out, "bide %s — %s\n", command->name, command->summary);
	help_heading(out, "Usage");
	fprintf(out, "  bide %s [OPTION…]%s%s\n", command->name, *usage ? " " : "", usage);
	if (command->detail)
		fprintf(out, "\n%s\n", command->detail);
	cli_command_tables(command, tables);
	help_heading(out, "Options");
	for (size_t t = 0; tables[t]; t++)
		help_options(out, tables[t]);
	if (command->client)
		fputs("\nDurations: 30 (seconds), 1500ms, 30s, 5m, 2h, 7d.\n", out);
}

static const char *command_group(const struct cli_command *command)
{
	return command->group ? command->group : "Server";
}

static bool group_is_first(size_t place)
{
	for (size_t i = 0; i < place; i++)
		if (!strcmp(command_group(cli_command_at(i)), command_group(cli_command_at(place))))
			return false;
	return true;
}

static void help_group(FILE *out, const char *group)
{
	help_heading(out, group);
	for (size_t i = 0; i < cli_command_count(); i++) {
		const struct cli_command *command = cli_command_at(i);

		if (!strcmp(command_group(command), group))
			fprintf(out, "  %-12s %s\n", command->name, command->summary);
	}
}

static void help_all_print(FILE *out)
{
	fputs("bide — a durable long-polling server, and its client\n", out);
	help_heading(out, "Usage");
	fputs("  bide COMMAND [OPTION…] [OPERAND…]      options may stand anywhere; -- ends them\n", out);
	for (size_t i = 0; i < cli_command_count(); i++)
		if (group_is_first(i))
			help_group(out, command_group(cli_command_at(i)));
	help_heading(out, "Try");
	fputs("  bide serve --data ./data                            a server, on http://127.0.0.1:7080\n"
	      "  bide work shout -- tr a-z A-Z                       any program is a worker\n"
	      "  echo hello | bide submit shout --wait               HELLO\n"
	      "  echo hi | bide append chats/7 --create              a stream, which  bide tail chats/7  follows\n"
	      "\n"
	      "More on one command: bide COMMAND --help. The whole manual: man bide.\n"
	      "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 timed out or empty,\n"
	      "7 unreachable, 10 job failed, 11 canceled, 12 expired.\n",
	      out);
}

void help_print(FILE *out, const struct cli_command *command)
{
	if (command)
		help_command_print(out, command);
	else
		help_all_print(out);
}

int help_unknown_command(const char *name)
{
	const char *nearest = cli_command_nearest(name);

	cli_say("there is no command %s", name);
	if (nearest)
		cli_hint("Did you mean:  bide %s", nearest);
	cli_hint("All commands:  bide help");
	return CLI_USAGE;
}

static void field_string(struct buf *out, const char *key, const char *value)
{
	json_key(out, key);
	if (value)
		json_str(out, slice_str(value));
	else
		json_nil(out);
}

static void help_json_option(struct buf *out, const struct cli_option *option)
{
	json_open(out, '{');
	field_string(out, "name", option->name);
	json_key(out, "letter");
	if (option->letter)
		json_str(out, slice_from(&option->letter, 1));
	else
		json_nil(out);
	field_string(out, "argument", option->arg);
	field_string(out, "help", option->help);
	json_close(out, '}');
}

static void help_json_command(struct buf *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];

	cli_command_tables(command, tables);
	json_open(out, '{');
	field_string(out, "name", command->name);
	field_string(out, "summary", command->summary);
	field_string(out, "usage", command->usage ? command->usage : "");
	json_key(out, "options");
	json_open(out, '[');
	for (size_t t = 0; tables[t]; t++)
		for (const struct cli_option *option = tables[t]; option->name; option++)
			help_json_option(out, option);
	json_close(out, ']');
	json_close(out, '}');
}

static void help_json(const struct cli_command *command)
{
	struct buf out = {0};

	if (command) {
		help_json_command(&out, command);
	} else {
		json_open(&out, '{');
		json_key(&out, "commands");
		json_open(&out, '[');
		for (size_t i = 0; i < cli_command_count(); i++)
			help_json_command(&out, cli_command_at(i));
		json_close(&out, ']');
		json_close(&out, '}');
	}
	puts(cli_text(&out));
	buf_deinit(&out);
}

static int help_run(int argc, char **argv)
{
	const struct cli_command *command = NULL;
	struct cli_args args;
	int rc = cli_args_parse(&help_command, argc, argv, &args);

	if (rc)
		return rc;
	if (args.operand_count)
		command = cli_command_find(args.operands[0]);
	if (args.operand_count > 1)
		rc = cli_usage_error(&help_command, "one command at a time");
	else if (args.operand_count && !command)
		rc = help_unknown_command(args.operands[0]);
	else if (cli_args_has(&args, "json"))
		help_json(command);
	else
		help_print(stdout, command);
	cli_args_deinit(&args);
	return rc;
}

static const struct cli_option help_table[] = {
	{"json", 0, NULL, "the tables of commands and options, as JSON"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command help_command = {
	.name = "help",
	.summary = "say what there is, or explain one command",
	.usage = "[COMMAND]",
	.options = help_table,
	.run = help_run,
	.group = "Help",
};
