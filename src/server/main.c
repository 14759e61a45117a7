/* The program: the client commands, and the server's own three. */
#include "cli/cli.h"
#include "server/server.h"

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

enum { OPTIONS_MAX = 80 };

/* Made from the settings, so that a flag cannot be forgotten: --config first, then all of them. */
static struct cli_option options[OPTIONS_MAX] = {
	{"config", 0, "FILE", "read settings from FILE: name = value, # comments (also BIDE_CONFIG)"},
};
static struct cli_option doctor_options[OPTIONS_MAX] = {
	{"config", 0, "FILE", "read settings from FILE"},
	{"json", 0, NULL, "one JSON document"},
};
static struct cli_option show_options[OPTIONS_MAX] = {
	{"config", 0, "FILE", "read settings from FILE"},
	{"origin", 0, NULL, "say where each value comes from"},
	{"json", 0, NULL, "one JSON document"},
};

static void options_fill(struct cli_option *table, size_t at)
{
	for (size_t i = 0; i < setting_count && at + 1 < OPTIONS_MAX; i++)
		table[at++] = (struct cli_option){settings[i].name, 0, settings[i].arg, settings[i].help};
}

static int serve_run(int argc, char **argv);
static int doctor_main(int argc, char **argv);
static int config_main(int argc, char **argv);

static struct cli_command commands[] = {
	{.name = "serve",
	 .summary = "run the server",
	 .options = options,
	 .run = serve_run,
	 .detail =
		 "Runs in the foreground until SIGTERM or SIGINT, which answer all waits and stop. SIGHUP reads the\n"
		 "configuration again. Prints \"listening http ADDR:PORT\" when it is ready, and \"listening kafka\n"
		 "ADDR:PORT\" if --kafka asks for that.\n\n"
		 "Each flag is also a key in the configuration file and a variable: --max-wait, max-wait = 55s, BIDE_MAX_WAIT."},
	{.name = "doctor",
	 .summary = "look whether this machine is fit for the server",
	 .options = doctor_options,
	 .run = doctor_main,
	 .detail = "Measures the disk, and looks at space, limits, clock and address. Exit code 1 when something would not do."},
	{.name = "config",
	 .summary = "show the configuration that serve would use",
	 .usage = "show",
	 .options = show_options,
	 .run = config_main,
	 .detail = "Flags go before the environment (BIDE_…), that before the file, and the file before what is built in."},
};

/* What serve was started with, for SIGHUP. */
static struct config_flags started_with;

static int load(const struct cli_args *args, struct config *ret_config, struct config_origins *ret_origins)
{
	static const char *values[OPTIONS_MAX];

	for (size_t i = 0; i < setting_count; i++) {
		values[i] = cli_args_value(args, settings[i].name);
		if (!values[i] && cli_args_has(args, settings[i].name))
			values[i] = "true";
	}
	started_with = (struct config_flags){cli_args_value(args, "config"), values};
	return config_load(&started_with, stderr, ret_config, ret_origins);
}

static int reload(struct config *ret_config)
{
	struct config_origins origins;

	return config_load(&started_with, stderr, ret_config, &origins);
}

static int serve_run(int argc, char **argv)
{
	struct config_origins origins = {0};
	struct config config;
	struct cli_args args;
	int r = cli_args_parse(&commands[0], argc, argv, &args);

	if (r)
		return r;
	if (args.operand_count)
		r = cli_usage_error(&commands[0], "it takes no operands, but \"%s\" was given", args.operands[0]);
	else if (load(&args, &config, &origins))
		r = CLI_USAGE;
	if (!r) {
		r = server_run(&config, reload);
		config_deinit(&config);
	}
	cli_args_deinit(&args);
	return r;
}

static int doctor_main(int argc, char **argv)
{
	struct config_origins origins = {0};
	struct config config;
	struct cli_args args;
	int r = cli_args_parse(&commands[1], argc, argv, &args);

	if (r)
		return r;
	if (args.operand_count)
		r = cli_usage_error(&commands[1], "it takes no operands, but \"%s\" was given", args.operands[0]);
	else
		r = load(&args, &config, &origins) ? CLI_USAGE : 0;
	if (!r) {
		r = doctor_run(&config, cli_args_has(&args, "json"));
		config_deinit(&config);
	}
	cli_args_deinit(&args);
	return r;
}

static void origin_text(const struct config_origins *origins, size_t i, char *out, size_t size)
{
	switch (origins->origin[i]) {
	case ORIGIN_DEFAULT:
		snprintf(out, size, "default");
		return;
	case ORIGIN_FILE:
		snprintf(out, size, "file, line %d", origins->line[i]);
		return;
	case ORIGIN_ENVIRONMENT:
		snprintf(out, size, "environment");
		return;
	case ORIGIN_FLAG:
		snprintf(out, size, "flag");
		return;
	}
}

static void show_json(const struct config *config, const struct config_origins *origins)
{
	char value[4096], origin[64];
	struct buf out = {0};

	json_open(&out, '{');
	for (size_t i = 0; i < setting_count; i++) {
		config_value(config, &settings[i], value, sizeof(value));
		origin_text(origins, i, origin, sizeof(origin));
		json_key(&out, settings[i].name);
		json_open(&out, '{');
		json_key(&out, "value");
		json_str(&out, slice_str(value));
		json_key(&out, "origin");
		json_str(&out, slice_str(origin));
		json_close(&out, '}');
	}
	json_close(&out, '}');
	printf("%.*s\n", (int)out.len, out.ptr ? out.ptr : "");
	buf_deinit(&out);
}

static void show_human(const struct config *config, const struct config_origins *origins, bool with_origin)
{
	char value[4096], origin[64];

	for (size_t i = 0; i < setting_count; i++) {
		config_value(config, &settings[i], value, sizeof(value));
		origin_text(origins, i, origin, sizeof(origin));
		if (with_origin)
			printf("%-18s = %-18s # %s\n", settings[i].name, value, origin);
		else
			printf("%-18s = %s\n", settings[i].name, value);
	}
}

static int config_main(int argc, char **argv)
{
	struct config_origins origins = {0};
	struct config config;
	struct cli_args args;
	int r = cli_args_parse(&commands[2], argc, argv, &args);

	if (r)
		return r;
	if (args.operand_count != 1 || strcmp(args.operands[0], "show") != 0)
		r = cli_usage_error(&commands[2], "say \"bide config show\"");
	else
		r = load(&args, &config, &origins) ? CLI_USAGE : 0;
	if (!r) {
		if (cli_args_has(&args, "json"))
			show_json(&config, &origins);
		else
			show_human(&config, &origins, cli_args_has(&args, "origin"));
		config_deinit(&config);
	}
	cli_args_deinit(&args);
	return r;
}

int main(int argc, char **argv)
{
	options_fill(options, 1);
	options_fill(doctor_options, 2);
	options_fill(show_options, 3);
	return cli_main(argc, argv, commands, ARRAY_COUNT(commands));
}
