#include "cli/cli_priv.h"

#include <curl/curl.h>
#include <jansson.h>

static void version_json(void)
{
	json_t *version = json_pack("{s:s, s:s, s:s, s:s}", "name", "bide", "version", BIDE_VERSION, "libcurl",
				    curl_version_info(CURLVERSION_NOW)->version, "jansson", jansson_version_str());

	if (!version)
		cli_out_of_memory();
	json_dumpf(version, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(version);
}

static int version_run(int argc, char **argv)
{
	struct cli_args args;
	int rc = cli_args_parse(&version_command, argc, argv, &args);

	if (rc)
		return rc;
	if (args.operand_count)
		rc = cli_usage_error(&version_command, "nothing can follow it");
	else if (cli_args_has(&args, "json"))
		version_json();
	else
		puts("bide " BIDE_VERSION);
	cli_args_deinit(&args);
	return rc;
}

static const struct cli_option version_table[] = {
	{"json", 0, NULL, "as JSON, with the versions of the libraries"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command version_command = {
	.name = "version",
	.summary = "say which bide this is",
	.options = version_table,
	.run = version_run,
	.group = "Help",
};
