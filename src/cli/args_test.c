#include "base/testing.h"
#include "cli/cli_priv.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option table[] = {
	{"output", 'o', "FILE", "where"},   {"all", 'a', NULL, "everything"},    {"any", 'n', NULL, "something"},
	{"wait", 'w', "[=DUR]", "perhaps"}, {"content-type", 0, "TYPE", "what"}, {NULL, 0, NULL, NULL},
};

static int seen_argc;
static char *seen_argv[16];

static int remember(int argc, char **argv)
{
	seen_argc = argc;
	for (int i = 0; i < argc && i < 16; i++)
		seen_argv[i] = argv[i];
	return 42;
}

static const struct cli_command extra[] = {
	{.name = "probe", .summary = "for tests", .usage = "[X]", .options = table, .run = remember},
};

/* What is told on stderr while `run` runs; the caller frees nothing, the text is good until the next call. */
static char told[4096];

static int quietly(int (*run)(int argc, char **argv), int argc, char **argv)
{
	int pipe_fds[2], saved = dup(STDERR_FILENO), rc;
	ssize_t n;

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK), 0);
	fflush(stderr);
	dup2(pipe_fds[1], STDERR_FILENO);
	rc = run(argc, argv);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	n = read(pipe_fds[0], told, sizeof(told) - 1);
	told[n > 0 ? n : 0] = '\0';
	close(saved);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return rc;
}

static int run_main(int argc, char **argv)
{
	return cli_main(argc, argv, extra, ARRAY_COUNT(extra));
}

static struct cli_args parsed;

static int run_parse(int argc, char **argv)
{
	return cli_args_parse(&extra[0], argc, argv, &parsed);
}

#define ARGV(...)                                                                                                                \
	(char *[])                                                                                                               \
	{                                                                                                                        \
		__VA_ARGS__, NULL                                                                                                \
	}
#define PARSE(...) quietly(run_parse, (int)(ARRAY_COUNT(ARGV(__VA_ARGS__)) - 1), ARGV(__VA_ARGS__))
#define MAIN(...)  quietly(run_main, (int)(ARRAY_COUNT(ARGV(__VA_ARGS__)) - 1), ARGV(__VA_ARGS__))

static char *word(const char *text)
{
	static char words[32][64];
	static unsigned next;
	char *copy = words[next++ % 32];

	snprintf(copy, sizeof(words[0]), "%s", text);
	return copy;
}

static void flags_stand_anywhere(void **state)
{
	(void)state;
	assert_int_equal(
		PARSE(word("probe"), word("-o"), word("f"), word("x"), word("--all"), word("y"), word("--content-type=a/b")), 0);
	assert_int_equal(parsed.operand_count, 2);
	assert_string_equal(parsed.operands[0], "x");
	assert_string_equal(parsed.operands[1], "y");
	assert_null(parsed.operands[2]);
	assert_int_equal(parsed.rest, 2);
	assert_string_equal(cli_args_value(&parsed, "output"), "f");
	assert_string_equal(cli_args_value(&parsed, "content-type"), "a/b");
	assert_true(cli_args_has(&parsed, "all"));
	assert_false(cli_args_has(&parsed, "any"));
	cli_args_deinit(&parsed);
}

static void two_dashes_end_them(void **state)
{
	(void)state;
	assert_int_equal(PARSE(word("probe"), word("q"), word("--"), word("cmd"), word("--all"), word("--"), word("-x")), 0);
	assert_int_equal(parsed.operand_count, 5);
	assert_int_equal(parsed.rest, 1);
	assert_string_equal(parsed.operands[2], "--all");
	assert_string_equal(parsed.operands[3], "--");
	assert_false(cli_args_has(&parsed, "all"));
	cli_args_deinit(&parsed);
}

static void short_ones_cluster(void **state)
{
	(void)state;
	assert_int_equal(PARSE(word("probe"), word("-anofile"), word("-"), word("-o"), word("-")), 0);
	assert_true(cli_args_has(&parsed, "all") && cli_args_has(&parsed, "any"));
	assert_string_equal(parsed.given[2].value, "file");
	assert_string_equal(cli_args_value(&parsed, "output"), "-"); /* the last one counts */
	assert_int_equal(parsed.operand_count, 1);
	cli_args_deinit(&parsed);
}

static void an_argument_may_be_left_out(void **state)
{
	(void)state;
	assert_int_equal(PARSE(word("probe"), word("--wait"), word("30s")), 0);
	assert_true(cli_args_has(&parsed, "wait"));
	assert_null(cli_args_value(&parsed, "wait"));
	assert_int_equal(parsed.operand_count, 1);
	cli_args_deinit(&parsed);
	assert_int_equal(PARSE(word("probe"), word("--wait=30s"), word("-wa")), 0);
	assert_string_equal(parsed.given[0].value, "30s");
	assert_true(cli_args_has(&parsed, "all"));
	cli_args_deinit(&parsed);
}

static void mistakes_are_told(void **state)
{
	(void)state;
	assert_int_equal(PARSE(word("probe"), word("--contnet-type"), word("x")), CLI_USAGE);
	assert_non_null(strstr(told, "Did you mean --content-type?"));
	assert_int_equal(PARSE(word("probe"), word("--outp=x")), CLI_USAGE);
	assert_non_null(strstr(told, "Did you mean --output?"));
	assert_int_equal(PARSE(word("probe"), word("--zzzzzzzzz")), CLI_USAGE);
	assert_null(strstr(told, "Did you mean"));
	assert_int_equal(PARSE(word("probe"), word("--all=yes")), CLI_USAGE);
	assert_int_equal(PARSE(word("probe"), word("--output")), CLI_USAGE);
	assert_int_equal(PARSE(word("probe"), word("-ao")), CLI_USAGE);
	assert_int_equal(PARSE(word("probe"), word("-x")), CLI_USAGE);
}

static void the_command_is_found_behind_options(void **state)
{
	(void)state;
	assert_int_equal(MAIN(word("bide"), word("-o"), word("wait"), word("--all"), word("probe"), word("x")), 42);
	assert_int_equal(seen_argc, 5);
	assert_string_equal(seen_argv[0], "probe");
	assert_string_equal(seen_argv[2], "wait");
	assert_string_equal(seen_argv[4], "x");
	assert_int_equal(MAIN(word("bide"), word("--server"), word("http://h"), word("probe")), 42);
	assert_int_equal(MAIN(word("bide"), word("prboe")), CLI_USAGE);
	assert_non_null(strstr(told, "bide probe"));
	assert_int_equal(MAIN(word("bide")), CLI_USAGE);
	assert_int_equal(MAIN(word("bide"), word("submit"), word("--sevrer"), word("x")), CLI_USAGE);
	assert_non_null(strstr(told, "--server"));
}

/* Or `bide --name x submit` could not be read: the command is not known yet when --name is met. */
static void names_mean_the_same_number_of_words_everywhere(void **state)
{
	const struct cli_option *one[CLI_TABLES + 1], *other[CLI_TABLES + 1];

	(void)state;
	for (size_t a = 0; a < cli_command_count(); a++) {
		for (size_t b = 0; b < a; b++) {
			cli_command_tables(cli_command_at(a), one);
			cli_command_tables(cli_command_at(b), other);
			for (size_t i = 0; one[i]; i++)
				for (const struct cli_option *x = one[i]; x->name; x++)
					for (size_t j = 0; other[j]; j++)
						for (const struct cli_option *y = other[j]; y->name; y++) {
							bool same = (x->arg && x->arg[0] != '[') == (y->arg && y->arg[0] != '[');

							if (!strcmp(x->name, y->name) && !same)
								fail_msg("--%s of %s and of %s", x->name, cli_command_at(a)->name,
									 cli_command_at(b)->name);
						}
		}
	}
}

static void no_letter_is_taken_twice(void **state)
{
	const struct cli_option *tables[CLI_TABLES + 1];

	(void)state;
	for (size_t i = 0; i < cli_command_count(); i++) {
		const char *taken[128] = {NULL};

		cli_command_tables(cli_command_at(i), tables);
		for (size_t t = 0; tables[t]; t++)
			for (const struct cli_option *option = tables[t]; option->name; option++) {
				unsigned char letter = (unsigned char)option->letter;

				if (letter && taken[letter % 128])
					fail_msg("-%c of %s is --%s and --%s", letter, cli_command_at(i)->name,
						 taken[letter % 128], option->name);
				taken[letter % 128] = option->name;
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_stand_anywhere),
		cmocka_unit_test(two_dashes_end_them),
		cmocka_unit_test(short_ones_cluster),
		cmocka_unit_test(an_argument_may_be_left_out),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(the_command_is_found_behind_options),
		cmocka_unit_test(names_mean_the_same_number_of_words_everywhere),
		cmocka_unit_test(no_letter_is_taken_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
