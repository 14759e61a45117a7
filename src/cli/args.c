/* Options in any place. The command has to be found before its options are known, so cli_main looks an option that stands
 * before the command up in the tables of all (dispatch.c); from there on only the command's own tables count. */
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli_priv.h"

#include <string.h>

struct parse {
	const struct cli_command *command;
	const struct cli_option *tables[CLI_TABLES + 1];
	struct cli_args args;
	int argc;
	char **argv;
	int at;
};

static const struct cli_option *option_find(const struct parse *parse, const char *name, size_t len)
{
	for (size_t t = 0; parse->tables[t]; t++)
		for (const struct cli_option *option = parse->tables[t]; option->name; option++)
			if (strlen(option->name) == len && !memcmp(option->name, name, len))
				return option;
	return NULL;
}

static const struct cli_option *option_find_letter(const struct parse *parse, char letter)
{
	for (size_t t = 0; parse->tables[t]; t++)
		for (const struct cli_option *option = parse->tables[t]; option->name; option++)
			if (option->letter == letter)
				return option;
	return NULL;
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t len = strlen(word);
	unsigned best = (unsigned)(len < 3 ? 1 : len < 6 ? 2 : len / 3) + 1; /* more edits are not a slip */
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned distance = text_distance(slice_str(word), slice_str(candidates[i]));

		/* A word that was not finished is meant too, however much is missing. */
		if (len >= 3 && distance >= best && !strncmp(word, candidates[i], len))
			distance = best - 1;
		if (distance < best) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

static const char *option_nearest(const struct parse *parse, const char *name)
{
	const char *names[256];
	size_t count = 0;

	for (size_t t = 0; parse->tables[t]; t++)
		for (const struct cli_option *option = parse->tables[t]; option->name; option++)
			if (count < ARRAY_COUNT(names))
				names[count++] = option->name;
	return cli_nearest(name, names, count);
}

static int parse_unknown(const struct parse *parse, const char *name, size_t len)
{
	char *word = mem_dup(name, len);
	const char *nearest;
	int rc;

	if (!word)
		cli_out_of_memory();
	nearest = option_nearest(parse, word);
	if (nearest)
		rc = cli_usage_error(parse->command, "there is no option --%s. Did you mean --%s?", word, nearest);
	else
		rc = cli_usage_error(parse->command, "there is no option --%s", word);
	mem_free(word);
	return rc;
}

static void parse_keep(struct parse *parse, const struct cli_option *option, const char *value)
{
	parse->args.given[parse->args.given_count++] = (struct cli_given){option, value};
}

static int parse_long(struct parse *parse, char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct cli_option *option = option_find(parse, word, len);

	if (!option)
		return parse_unknown(parse, word, len);
	if (!option->arg && equals)
		return cli_usage_error(parse->command, "--%s takes no value", option->name);
	if (option->arg && option->arg[0] == '[') {
		parse_keep(parse, option, equals ? equals + 1 : NULL);
		return 0;
	}
	if (option->arg && !equals && parse->at + 1 >= parse->argc)
		return cli_usage_error(parse->command, "--%s needs a value: %s", option->name, option->arg);
	if (option->arg)
		parse_keep(parse, option, equals ? equals + 1 : parse->argv[++parse->at]);
	else
		parse_keep(parse, option, NULL);
	return 0;
}

static int parse_short(struct parse *parse, char *letters)
{
	for (; *letters; letters++) {
		const struct cli_option *option = option_find_letter(parse, *letters);

		if (!option)
			return cli_usage_error(parse->command, "there is no option -%c", *letters);
		if (!option->arg || option->arg[0] == '[') {
			parse_keep(parse, option, NULL);
			continue;
		}
		if (letters[1])
			parse_keep(parse, option, letters + 1);
		else if (parse->at + 1 < parse->argc)
			parse_keep(parse, option, parse->argv[++parse->at]);
		else
			return cli_usage_error(parse->command, "-%c needs a value: %s", *letters, option->arg);
		break;
	}
	return 0;
}

static int parse_word(struct parse *parse, char *word, bool *ended)
{
	if (*ended || word[0] != '-' || !word[1]) {
		parse->args.operands[parse->args.operand_count++] = word;
		return 0;
	}
	if (!strcmp(word, "--")) {
		*ended = true;
		parse->args.rest = parse->args.operand_count;
		return 0;
	}
	return word[1] == '-' ? parse_long(parse, word + 2) : parse_short(parse, word + 1);
}

/* How many options a command line can hold: each letter of each word may be one. */
static size_t given_limit(int argc, char **argv)
{
	size_t limit = 1;

	for (int i = 1; i < argc; i++)
		limit += argv[i][0] != '-' ? 0 : argv[i][1] == '-' ? 1 : strlen(argv[i]);
	return limit;
}

int cli_args_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *ret_args)
{
	struct parse parse = {.command = command, .argc = argc, .argv = argv, .at = 1};
	bool ended = false;
	int rc = 0;

	cli_command_tables(command, parse.tables);
	parse.args.given = cli_alloc(given_limit(argc, argv) * sizeof(*parse.args.given));
	parse.args.operands = cli_alloc(((size_t)argc + 1) * sizeof(*parse.args.operands));
	for (; !rc && parse.at < argc; parse.at++)
		rc = parse_word(&parse, argv[parse.at], &ended);
	if (rc) {
		cli_args_deinit(&parse.args);
		return rc;
	}
	if (!ended)
		parse.args.rest = parse.args.operand_count;
	*ret_args = parse.args;
	return 0;
}

void cli_args_deinit(struct cli_args *args)
{
	args->given = mem_free(args->given);
	args->operands = mem_free(args->operands);
}

bool cli_args_has(const struct cli_args *args, const char *name)
{
	for (size_t i = 0; i < args->given_count; i++)
		if (!strcmp(args->given[i].option->name, name))
			return true;
	return false;
}

const char *cli_args_value(const struct cli_args *args, const char *name)
{
	for (size_t i = args->given_count; i-- > 0;)
		if (!strcmp(args->given[i].option->name, name))
			return args->given[i].value;
	return NULL;
}
