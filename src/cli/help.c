/* Help, made from the command tables; `help --json` gives the tables to programs (the check of the man page is one). */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* As wide as the terminal, but no wider than lines are read with ease; elsewhere as wide as most terminals are. */
enum { HELP_NARROWEST = 40, HELP_WIDTH = 80, HELP_WIDEST = 100 };

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

static int help_width(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) || !size.ws_col)
		return HELP_WIDTH;
	return size.ws_col < HELP_NARROWEST ? HELP_NARROWEST : size.ws_col > HELP_WIDEST ? HELP_WIDEST : size.ws_col;
}

static int columns_of(const char *text, size_t len)
{
	int columns = 0;

	for (size_t i = 0; i < len; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return columns;
}

/* Words up to `end`, broken at the width, the lines behind the first indented to `column`, where the first one stands as well. A
 * line's end counts as a blank. */
static void help_wrap_part(FILE *out, const char *text, const char *end, int column)
{
	int at = column, width = help_width(out);

	while (text < end) {
		size_t len = strcspn(text, " \n");
		int columns = columns_of(text, len);

		if (at > column && at + 1 + columns > width) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		}
		fprintf(out, "%s%.*s", at > column ? " " : "", (int)len, text);
		at += columns + (at > column);
		text += len;
		text += strspn(text, " \n");
	}
	fputc('\n', out);
}

static void help_wrap(FILE *out, const char *text, int column)
{
	help_wrap_part(out, text, text + strlen(text), column);
}

/* Paragraphs are wrapped; a line that begins with a blank is an example, and stays as it is. */
static void help_detail(FILE *out, const char *text)
{
	while (*text) {
		size_t line = strcspn(text, "\n");
		const char *end = text + line;

		if (!line || *text == ' ') {
			fprintf(out, "%.*s\n", (int)line, text);
		} else {
			while (*end && end[1] != '\n' && end[1] != ' ' && end[1])
				end += 1 + strcspn(end + 1, "\n");
			help_wrap_part(out, text, end, 0);
		}
		text = *end ? end + 1 : end;
	}
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
	const int column = help_width(out) < HELP_WIDTH ? 10 : 30;
	char label[128];

	for (; options->name; options++) {
		int width = option_label(options, label, sizeof(label));

		fputs(label, out);
		if (width + 2 > column) {
			fputc('\n', out);
			width = 0;
		}
		fprintf(out, "%*s", column - width, "");
		help_wrap(out, options->help, column);
	}
}

static void help_command_print(FILE *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];
	const char *usage = command->usage ? command->usage : "";

	fprintf(out, "bide %s — ", command->name);
	help_wrap(out, command->summary, 8 + (int)strlen(command->name));
	help_heading(out, "Usage");
	fprintf(out, "  bide %s [OPTION…]%s%s\n", command->name, *usage ? " " : "", usage);
	if (command->detail) {
		fputc('\n', out);
		help_detail(out, command->detail);
	}
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

		if (strcmp(command_group(command), group) != 0)
			continue;
		fprintf(out, "  %-12s ", command->name);
		help_wrap(out, command->summary, 15);
	}
}

static void help_all_print(FILE *out)
{
	fputs("bide — a durable long-polling server, and its client\n", out);
	help_heading(out, "Usage");
	fputs("  bide COMMAND [OPTION…] [OPERAND…]   options may stand anywhere; -- ends them\n", out);
	for (size_t i = 0; i < cli_command_count(); i++)
		if (group_is_first(i))
			help_group(out, command_group(cli_command_at(i)));
	help_heading(out, "Try");
	fputs("  bide serve --data ./data                  a server, on http://127.0.0.1:7080\n"
	      "  bide work shout -- tr a-z A-Z             any program is a worker\n"
	      "  echo hello | bide submit shout --wait     HELLO\n"
	      "  echo hi | bide append chats/7 --create    then  bide tail chats/7\n"
	      "\n"
	      "More on one command: bide COMMAND --help. The whole manual: man bide.\n",
	      out);
	help_wrap(out,
		  "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 timed out or empty, "
		  "7 unreachable, 10 job failed, 11 canceled, 12 expired.",
		  0);
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
