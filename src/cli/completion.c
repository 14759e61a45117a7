/* Completion scripts, made from the command tables: commands, options, words an option takes, files where files go. */
#include "cli/completion.h"
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <string.h>

/* What may be completed behind an option or a command. */
enum value_kind { VALUE_NONE, VALUE_FILE, VALUE_DIR, VALUE_WORDS };

static enum value_kind value_kind(const char *arg)
{
	if (!arg)
		return VALUE_NONE;
	if (strstr(arg, "FILE"))
		return VALUE_FILE;
	if (strstr(arg, "DIR"))
		return VALUE_DIR;
	return strchr(arg, '|') ? VALUE_WORDS : VALUE_NONE;
}

/* Its argument, when that is another word of the command line. */
static const char *option_arg(const struct cli_option *option)
{
	return option->arg && option->arg[0] != '[' ? option->arg : NULL;
}

/* The lower-case words of "a|b|c", and of operands as "[pause|resume QUEUE]", with a blank before each. */
static void words_of(FILE *out, const char *arg)
{
	while (*arg) {
		size_t len = strspn(arg, "abcdefghijklmnopqrstuvwxyz-");

		if (len)
			fprintf(out, " %.*s", (int)len, arg);
		arg += len;
		arg += strcspn(arg, "abcdefghijklmnopqrstuvwxyz");
	}
}

/* "show|hide PATH": the first operand is one of these words. */
static bool begins_with_words(const char *usage)
{
	size_t len = usage ? strcspn(usage, " ") : 0;

	return len && usage[0] >= 'a' && usage[0] <= 'z' && memchr(usage, '|', len);
}

/* Text inside single quotes of a shell, without what would end them. */
static void quoted(FILE *out, const char *text, const char *avoid)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else if (strchr(avoid, *text))
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
}

/* --- bash -------------------------------------------------------------------------------------------------------------- */

static void bash_options(FILE *out, const struct cli_command *command, bool with_value)
{
	const struct cli_option *tables[CLI_TABLES + 1];

	cli_command_tables(command, tables);
	for (size_t t = 0; tables[t]; t++)
		for (const struct cli_option *option = tables[t]; option->name; option++) {
			if (with_value && !option_arg(option))
				continue;
			fprintf(out, " --%s", option->name);
			if (option->letter)
				fprintf(out, " -%c", option->letter);
		}
}

static void bash_values(FILE *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];

	cli_command_tables(command, tables);
	for (size_t t = 0; tables[t]; t++)
		for (const struct cli_option *option = tables[t]; option->name; option++) {
			enum value_kind kind = value_kind(option_arg(option));

			if (kind == VALUE_NONE)
				continue;
			fprintf(out, "\t%s:--%s", command->name, option->name);
			if (option->letter)
				fprintf(out, "|%s:-%c", command->name, option->letter);
			fputs(") ", out);
			if (kind == VALUE_WORDS) {
				fputs("COMPREPLY=($(compgen -W '", out);
				words_of(out, option_arg(option));
				fputs("' -- \"$cur\"))", out);
			} else {
				fprintf(out, "COMPREPLY=($(compgen %s -- \"$cur\"))", kind == VALUE_DIR ? "-d" : "-f");
			}
			fputs("; return ;;\n", out);
		}
}

static void bash_operands(FILE *out, const struct cli_command *command)
{
	if (!command->usage)
		return;
	if (!strcmp(command->name, "help")) {
		fputs("\thelp) COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")) ;;\n", out);
	} else if (strstr(command->usage, "FILE") && begins_with_words(command->usage)) {
		fprintf(out, "\t%s) COMPREPLY=($(compgen -f -W '", command->name);
		words_of(out, command->usage);
		fputs("' -- \"$cur\")) ;;\n", out);
	} else if (strstr(command->usage, "FILE")) {
		fprintf(out, "\t%s) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", command->name);
	} else if (strchr(command->usage, '|')) {
		fprintf(out, "\t%s) COMPREPLY=($(compgen -W '", command->name);
		words_of(out, command->usage);
		fputs("' -- \"$cur\")) ;;\n", out);
	}
}

static void completion_bash(FILE *out)
{
	fputs("# bash completion for bide:  source <(bide completion bash)\n"
	      "_bide() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i options= valued=\n"
	      "\tlocal commands='",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++)
		fprintf(out, "%s%s", i ? " " : "", cli_command_at(i)->name);
	fputs("'\n"
	      "\tCOMPREPLY=()\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\t[[ ${COMP_WORDS[i]} == -- ]] && { compopt -o default; return; }\n"
	      "\t\t[[ -z $cmd && \" $commands \" == *\" ${COMP_WORDS[i]} \"* ]] && cmd=${COMP_WORDS[i]}\n"
	      "\tdone\n"
	      "\tcase $cmd in\n"
	      "\t'') COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")); return ;;\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++) {
		fprintf(out, "\t%s) options='", cli_command_at(i)->name);
		bash_options(out, cli_command_at(i), false);
		fputs("' valued='", out);
		bash_options(out, cli_command_at(i), true);
		fputs(" ' ;;\n", out);
	}
	fputs("\tesac\n"
	      "\tcase $cmd:$prev in\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++)
		bash_values(out, cli_command_at(i));
	fputs("\tesac\n"
	      "\t[[ $valued == *\" $prev \"* ]] && return\n"
	      "\tif [[ $cur == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase $cmd in\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++)
		bash_operands(out, cli_command_at(i));
	fputs("\tesac\n"
	      "}\n"
	      "complete -F _bide bide\n",
	      out);
}

/* --- zsh --------------------------------------------------------------------------------------------------------------- */

static void zsh_action(FILE *out, const char *arg)
{
	enum value_kind kind = value_kind(arg);

	if (kind == VALUE_FILE)
		fputs(":_files", out);
	else if (kind == VALUE_DIR)
		fputs(":_files -/", out);
	else if (kind == VALUE_WORDS) {
		fputs(":(", out);
		words_of(out, arg);
		fputs(")", out);
	} else {
		fputs(":", out);
	}
}

static void zsh_option(FILE *out, const struct cli_option *option)
{
	fputs(" \\\n\t\t\t", out);
	if (option->letter)
		fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}", option->letter, option->name, option->letter,
			option_arg(option) ? "+" : "", option->name, option_arg(option) ? "=" : "");
	else
		fprintf(out, "--%s%s", option->name, option_arg(option) ? "=" : "");
	fputs("'[", out);
	quoted(out, option->help, "[]:\\");
	fputc(']', out);
	if (option_arg(option)) {
		fputc(':', out);
		quoted(out, option_arg(option), ":\\");
		zsh_action(out, option_arg(option));
	}
	fputc('\'', out);
}

static void zsh_command(FILE *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];
	const char *usage = command->usage;

	cli_command_tables(command, tables);
	fprintf(out, "\t%s)\n\t\t_arguments -s -S", command->name);
	for (size_t t = 0; tables[t]; t++)
		for (const struct cli_option *option = tables[t]; option->name; option++)
			zsh_option(out, option);
	if (!strcmp(command->name, "help")) {
		fputs(" \\\n\t\t\t'1:command:($names)'", out);
	} else if (usage && *usage) {
		if (begins_with_words(usage) && strstr(usage, "FILE")) {
			fputs(" \\\n\t\t\t'1:what:(", out);
			words_of(out, usage);
			fputs(")'", out);
		}
		fputs(" \\\n\t\t\t'*:", out);
		quoted(out, usage, ":\\");
		zsh_action(out, usage);
		fputc('\'', out);
	}
	fputs(" ;;\n", out);
}

static void completion_zsh(FILE *out)
{
	fputs("#compdef bide\n"
	      "# zsh completion for bide:  bide completion zsh >\"${fpath[1]}/_bide\"\n"
	      "_bide() {\n"
	      "\tlocal -a commands names\n"
	      "\tlocal i cmd=\n"
	      "\tcommands=(\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++) {
		fprintf(out, "\t\t'%s:", cli_command_at(i)->name);
		quoted(out, cli_command_at(i)->summary, ":\\");
		fputs("'\n", out);
	}
	fputs("\t)\n"
	      "\tnames=(${commands%%:*})\n"
	      "\tfor ((i = 2; i < CURRENT; i++)); do\n"
	      "\t\tif (( ${names[(Ie)${words[i]}]} )); then cmd=${words[i]}; break; fi\n"
	      "\tdone\n"
	      "\tif [[ -z $cmd ]]; then _describe 'command' commands; return; fi\n"
	      "\twords=(\"$cmd\" \"${(@)words[2,i-1]}\" \"${(@)words[i+1,-1]}\")\n"
	      "\t(( CURRENT-- ))\n"
	      "\tcase $cmd in\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++)
		zsh_command(out, cli_command_at(i));
	fputs("\tesac\n"
	      "}\n"
	      "if [[ $funcstack[1] == _bide ]]; then _bide \"$@\"; else compdef _bide bide; fi\n",
	      out);
}

/* --- fish -------------------------------------------------------------------------------------------------------------- */

static void fish_option(FILE *out, const struct cli_command *command, const struct cli_option *option)
{
	enum value_kind kind = value_kind(option_arg(option));

	fprintf(out, "complete -c bide -n '__fish_seen_subcommand_from %s' -l %s", command->name, option->name);
	if (option->letter)
		fprintf(out, " -s %c", option->letter);
	if (kind == VALUE_FILE || kind == VALUE_DIR)
		fputs(" -r -F", out);
	else if (option_arg(option))
		fputs(" -x", out);
	if (kind == VALUE_WORDS) {
		fputs(" -a '", out);
		words_of(out, option_arg(option));
		fputc('\'', out);
	}
	fputs(" -d '", out);
	for (const char *at = option->help; *at; at++)
		fprintf(out, "%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
	fputs("'\n", out);
}

static void fish_command(FILE *out, const struct cli_command *command)
{
	const struct cli_option *tables[CLI_TABLES + 1];
	const char *usage = command->usage ? command->usage : "";

	fprintf(out, "complete -c bide -n __fish_use_subcommand -a %s -d '", command->name);
	for (const char *at = command->summary; *at; at++)
		fprintf(out, "%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
	fputs("'\n", out);
	cli_command_tables(command, tables);
	for (size_t t = 0; tables[t]; t++)
		for (const struct cli_option *option = tables[t]; option->name; option++)
			fish_option(out, command, option);
	if (strstr(usage, "FILE"))
		fprintf(out, "complete -c bide -n '__fish_seen_subcommand_from %s' -F\n", command->name);
	if (strstr(usage, "FILE") ? begins_with_words(usage) : strchr(usage, '|') != NULL) {
		fprintf(out, "complete -c bide -n '__fish_seen_subcommand_from %s' -a '", command->name);
		words_of(out, usage);
		fputs("'\n", out);
	}
}

static void completion_fish(FILE *out)
{
	fputs("# fish completion for bide:  bide completion fish >~/.config/fish/completions/bide.fish\n"
	      "complete -c bide -f\n",
	      out);
	for (size_t i = 0; i < cli_command_count(); i++)
		fish_command(out, cli_command_at(i));
}

static const struct {
	const char *name;
	void (*print)(FILE *out);
} shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};

int completion_print(FILE *out, const char *shell)
{
	for (size_t i = 0; i < ARRAY_COUNT(shells); i++) {
		if (!strcmp(shells[i].name, shell)) {
			shells[i].print(out);
			return 0;
		}
	}
	return 1;
}

static int completion_run(int argc, char **argv)
{
	struct cli_args args;
	int rc = cli_args_parse(&completion_command, argc, argv, &args);

	if (rc)
		return rc;
	if (args.operand_count != 1)
		rc = cli_usage_error(&completion_command, "which shell? bash, zsh or fish");
	else if (completion_print(stdout, args.operands[0]))
		rc = cli_usage_error(&completion_command, "no completion for %s; there is bash, zsh and fish", args.operands[0]);
	cli_args_deinit(&args);
	return rc;
}

const struct cli_command completion_command = {
	.name = "completion",
	.summary = "print a completion script for a shell",
	.usage = "bash|zsh|fish",
	.run = completion_run,
	.detail = "  bash   source <(bide completion bash)      in ~/.bashrc\n"
		  "  zsh    source <(bide completion zsh)       in ~/.zshrc, after compinit\n"
		  "  fish   bide completion fish >~/.config/fish/completions/bide.fish",
	.group = "Help",
};
