/* Finds the command and runs it. */
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <signal.h>
#include <string.h>

static const struct cli_command *const own_commands[] = {
	&submit_command, &wait_command,   &result_command,     &cancel_command,  &jobs_command,
	&queues_command, &work_command,   &stream_command,     &streams_command, &append_command,
	&tail_command,   &groups_command, &topic_command,      &topics_command,  &group_command,
	&top_command,    &help_command,   &completion_command, &version_command,
};

static const struct cli_option every_options[] = {
	{"help", 'h', NULL, "show this help"},
	{NULL, 0, NULL, NULL},
};

static const struct cli_option client_options[] = {
	{"server", 's', "URL", "the server to speak to; else BIDE_SERVER, else http://127.0.0.1:7080"},
	{"json", 0, NULL, "print JSON, made for programs, on stdout"},
	{"quiet", 'q', NULL, "no progress and no notices"},
	{"retry", 0, "DUR", "go on trying for so long when the server is away"},
	{NULL, 0, NULL, NULL},
};

static struct cli_registry registry = {own_commands, ARRAY_COUNT(own_commands), NULL, 0};

size_t cli_command_count(void)
{
	return registry.own_count + registry.extra_count;
}

const struct cli_command *cli_command_at(size_t place)
{
	return place < registry.own_count ? registry.own[place] : &registry.extra[place - registry.own_count];
}

const struct cli_command *cli_command_find(const char *name)
{
	for (size_t i = 0; i < cli_command_count(); i++)
		if (!strcmp(cli_command_at(i)->name, name))
			return cli_command_at(i);
	return NULL;
}

const char *cli_command_nearest(const char *name)
{
	const char *names[64];
	size_t count = 0;

	while (count < cli_command_count() && count < ARRAY_COUNT(names)) {
		names[count] = cli_command_at(count)->name;
		count++;
	}
	return cli_nearest(name, names, count);
}

void cli_command_tables(const struct cli_command *command, const struct cli_option *ret_tables[CLI_TABLES + 1])
{
	size_t count = 0;

	if (command->options)
		ret_tables[count++] = command->options;
	if (command->client)
		ret_tables[count++] = client_options;
	ret_tables[count++] = every_options;
	ret_tables[count] = NULL;
}

static bool option_is(const struct cli_option *option, const char *word)
{
	if (word[1] != '-')
		return option->letter == word[1] && !word[2];
	return !strcmp(option->name, word + 2);
}

/* Does this option, met before the command, take the next word as its value? */
static bool option_takes_next(const char *word)
{
	for (size_t i = 0; i < cli_command_count(); i++) {
		const struct cli_option *tables[CLI_TABLES + 1];

		cli_command_tables(cli_command_at(i), tables);
		for (size_t t = 0; tables[t]; t++)
			for (const struct cli_option *option = tables[t]; option->name; option++)
				if (option_is(option, word))
					return option->arg && option->arg[0] != '[';
	}
	return false;
}

/* Where the command stands in argv; argc when there is none. */
static int command_place(int argc, char **argv)
{
	int at = 1;

	for (; at < argc; at++) {
		if (argv[at][0] != '-' || !argv[at][1])
			break;
		if (!strcmp(argv[at], "--"))
			return at + 1 < argc ? at + 1 : argc;
		if (option_takes_next(argv[at]))
			at++;
	}
	return at < argc ? at : argc;
}

/* --help before "--", and not as another option's value: the mistakes around it do not matter then. */
static bool help_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
		if (argv[i][0] == '-' && argv[i][1] && option_takes_next(argv[i]))
			i++;
	}
	return false;
}

static int run_without_command(int argc, char **argv)
{
	char *version[] = {(char *)(uintptr_t) "version", NULL};

	if (help_wanted(argc, argv)) {
		help_print(stdout, NULL);
		return CLI_OK;
	}
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-V"))
			return version_command.run(1, version);
	}
	help_print(stderr, NULL);
	return CLI_USAGE;
}

static int run_command(const struct cli_command *command, int place, int argc, char **argv)
{
	char **own = cli_alloc(((size_t)argc + 1) * sizeof(*own));
	int count = 0;
	int rc;

	own[count++] = argv[place];
	for (int i = 1; i < argc; i++)
		if (i != place)
			own[count++] = argv[i];
	if (help_wanted(count, own)) {
		help_print(stdout, command);
		rc = CLI_OK;
	} else {
		rc = command->run(count, own);
	}
	mem_free(own);
	return rc;
}

int cli_main(int argc, char **argv, const struct cli_command *extra, size_t extra_count)
{
	const struct cli_command *command;
	int place, rc;

	registry.extra = extra;
	registry.extra_count = extra_count;
	place = command_place(argc, argv);
	if (place >= argc)
		return run_without_command(argc, argv);
	command = cli_command_find(argv[place]);
	if (!command)
		return help_unknown_command(argv[place]);
	rc = run_command(command, place, argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		cli_say("what was to be printed could not all be written");
		return rc ? rc : CLI_FAILED;
	}
	return rc;
}
