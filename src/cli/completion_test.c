#include "base/testing.h"
#include "cli/cli_priv.h"
#include "cli/completion.h"

#include <string.h>
#include <unistd.h>

static char *script(const char *shell)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(completion_print(out, shell), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void every_shell_knows_every_command_and_option(void **state)
{
	static const char *const shells[] = {"bash", "zsh", "fish"};

	(void)state;
	for (size_t s = 0; s < ARRAY_COUNT(shells); s++) {
		char *text = script(shells[s]);

		for (size_t i = 0; i < cli_command_count(); i++) {
			const struct cli_option *tables[CLI_TABLES + 1];

			if (!strstr(text, cli_command_at(i)->name))
				fail_msg("%s: no %s", shells[s], cli_command_at(i)->name);
			cli_command_tables(cli_command_at(i), tables);
			for (size_t t = 0; tables[t]; t++)
				for (const struct cli_option *option = tables[t]; option->name; option++)
					if (!strstr(text, option->name))
						fail_msg("%s: no --%s", shells[s], option->name);
		}
		free(text);
	}
	assert_int_equal(completion_print(stdout, "csh"), 1);
}

/* Runs a bash that has the script, with `words` on its command line, and compares what it offers. */
static void expect_offer(const char *words, int place, const char *want)
{
	char *text = script("bash");
	char command[512], offered[4096];
	FILE *in;
	char path[] = "/tmp/bide-completion-XXXXXX";
	int fd = mkstemp(path);
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	snprintf(command, sizeof(command), "bash -c '. %s; COMP_WORDS=(%s); COMP_CWORD=%d; _bide; echo \"${COMPREPLY[*]}\"'",
		 path, words, place);
	in = popen(command, "r");
	assert_non_null(in);
	n = fread(offered, 1, sizeof(offered) - 1, in);
	offered[n] = '\0';
	if (pclose(in) || !strstr(offered, want) || (!*want && strcmp(offered, "\n") != 0))
		fail_msg("%s offered \"%s\", not \"%s\"", words, offered, want);
	unlink(path);
	free(text);
}

static void bash_offers_what_fits(void **state)
{
	(void)state;
	if (system("bash -c true"))
		skip();
	expect_offer("bide sub", 1, "submit\n");
	expect_offer("bide --server x wo", 3, "work\n");
	expect_offer("bide jobs --st", 2, "--state\n");
	expect_offer("bide jobs --state fa", 3, "failed\n");
	expect_offer("bide jobs --limit \"\"", 3, "");
	expect_offer("bide queues pa", 2, "pause\n");
	expect_offer("bide stream inf", 2, "info\n");
	expect_offer("bide tail x --from en", 4, "end\n");
	expect_offer("bide append x --prod", 3, "--producer --producer-seq\n");
	expect_offer("bide completion \"\"", 2, "bash zsh fish\n");
	expect_offer("bide help versi", 2, "version\n");
	expect_offer("bide submit q --wa", 3, "--wait\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shell_knows_every_command_and_option),
		cmocka_unit_test(bash_offers_what_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
