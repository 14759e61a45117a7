/*
 * bide-bench: the load generator behind `./dev bench`. Each subcommand measures one thing against a server that is already
 * running and prints one JSON object per result. bench/run starts the servers, repeats, and makes the tables.
 */
#include "loop.h"
#include "options.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#ifdef BENCH_HAS_RDKAFKA
#include <librdkafka/rdkafka.h>
#endif

static const struct {
	const char *name;
	int (*run)(const struct options *options);
	const char *help;
} commands[] = {
	{"facts", facts_main, "fdatasync and loopback of this machine: --dir"},
	{"floor", floor_main, "the bare server: parks sockets, answers them by a loop of write()s: --answer-bytes"},
	{"park", park_main, "many parked waits, driven by commands on stdin: --peer --port --pid --waiters"},
	{"jobs", jobs_main, "jobs through a queue and back: --peer --port --pid --clients --workers --depth --rate"},
	{"polling", polling_main, "short and long polling on the same work: --style --interval-ms --rate"},
	{"append", stream_append_main, "appends in a closed loop: --clients --streams --body-bytes"},
	{"tail", stream_tail_main, "appends at a rate, each to a stream with a parked reader: --streams --rate"},
	{"fill", stream_fill_main, "fills streams, fast: --streams --records --body-bytes"},
	{"read", stream_read_main, "reads streams whole and checks them: --streams --records --body-bytes"},
	{"idle", stream_idle_main, "memory of streams, and of waits on some: --streams --waiters"},
	{"pull", stream_pull_main, "one writer, readers by short poll, long poll or events, some slow: --style --slow"},
	{"bytes", bytes_floor_main, "the bare server of the same bytes: --style sendfile|writev --records --body-bytes"},
	{"kafka-produce", kafka_produce_main,
	 "Kafka: producers of batches: --clients --depth --streams --records --body-bytes --total"},
	{"kafka-read", kafka_read_main, "Kafka: a topic read from its start: --streams"},
	{"kafka-tail", kafka_tail_main, "Kafka: records at a rate, to a consumer that waits: --rate"},
	{"kafka-idle", kafka_idle_main, "Kafka: a consumer waits on partitions where nothing happens: --streams"},
	{"kafka-wake", kafka_wake_main, "Kafka: consumers that wait for the same record: --waiters --rounds"},
#ifdef BENCH_HAS_RDKAFKA
	{"kafka-client", kafka_client_main,
	 "Kafka: librdkafka as client: --style produce|consume --streams --total --body-bytes"},
#endif
};

enum option_kind { OPTION_TEXT, OPTION_NUMBER };

static const struct {
	const char *name;
	enum option_kind kind;
	size_t offset;
} option_table[] = {
	{"--peer", OPTION_TEXT, offsetof(struct options, peer)},
	{"--dir", OPTION_TEXT, offsetof(struct options, dir)},
	{"--style", OPTION_TEXT, offsetof(struct options, style)},
	{"--prefix", OPTION_TEXT, offsetof(struct options, prefix)},
	{"--port", OPTION_NUMBER, offsetof(struct options, port)},
	{"--pid", OPTION_NUMBER, offsetof(struct options, pid)},
	{"--waiters", OPTION_NUMBER, offsetof(struct options, waiters_count)},
	{"--clients", OPTION_NUMBER, offsetof(struct options, clients_count)},
	{"--workers", OPTION_NUMBER, offsetof(struct options, workers_count)},
	{"--depth", OPTION_NUMBER, offsetof(struct options, depth)},
	{"--rate", OPTION_NUMBER, offsetof(struct options, rate)},
	{"--interval-ms", OPTION_NUMBER, offsetof(struct options, interval_ms)},
	{"--duration-ms", OPTION_NUMBER, offsetof(struct options, duration_ms)},
	{"--warmup-ms", OPTION_NUMBER, offsetof(struct options, warmup_ms)},
	{"--body-bytes", OPTION_NUMBER, offsetof(struct options, body_bytes)},
	{"--answer-bytes", OPTION_NUMBER, offsetof(struct options, answer_bytes)},
	{"--rounds", OPTION_NUMBER, offsetof(struct options, rounds_count)},
	{"--plain", OPTION_NUMBER, offsetof(struct options, plain)},
	{"--streams", OPTION_NUMBER, offsetof(struct options, streams_count)},
	{"--records", OPTION_NUMBER, offsetof(struct options, records_count)},
	{"--burst", OPTION_NUMBER, offsetof(struct options, burst)},
	{"--slow", OPTION_NUMBER, offsetof(struct options, slow_count)},
	{"--stay", OPTION_NUMBER, offsetof(struct options, stay)},
	{"--total", OPTION_NUMBER, offsetof(struct options, total_count)},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static _Noreturn void usage(void)
{
	fputs("usage: bide-bench COMMAND [--option value]…\n\ncommands:\n", stderr);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		fprintf(stderr, "  %-13s %s\n", commands[i].name, commands[i].help);
#ifdef BENCH_HAS_RDKAFKA
	fprintf(stderr, "\nwith librdkafka %s\n", rd_kafka_version_str());
#endif
	exit(2);
}

static void option_set(struct options *options, const char *name, const char *value)
{
	for (size_t i = 0; i < COUNT_OF(option_table); i++) {
		if (strcmp(option_table[i].name, name) != 0)
			continue;
		char *place = (char *)options + option_table[i].offset;
		if (option_table[i].kind == OPTION_TEXT) {
			memcpy(place, &value, sizeof(value));
			return;
		}
		char *end;
		unsigned long number = strtoul(value, &end, 10);
		if (*value == 0 || *end != 0 || number > UINT32_MAX)
			loop_die("%s wants a number, not %s", name, value);
		uint32_t narrow = (uint32_t)number;
		memcpy(place, &narrow, sizeof(narrow));
		return;
	}
	loop_die("unknown option %s", name);
}

static void process_prepare(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Timers to the microsecond, and no child of a killed run left behind. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options options = {.peer = "bide",
				  .dir = ".",
				  .style = "long",
				  .prefix = "bench",
				  .waiters_count = 15000,
				  .clients_count = 1,
				  .workers_count = 1,
				  .depth = 1,
				  .interval_ms = 1000,
				  .duration_ms = 1000,
				  .warmup_ms = 200,
				  .body_bytes = 100,
				  .answer_bytes = 300,
				  .rounds_count = 5,
				  .streams_count = 1};
	if (argc < 2 || argc % 2 != 0)
		usage();
	for (int i = 2; i < argc; i += 2)
		option_set(&options, argv[i], argv[i + 1]);
	process_prepare();
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, argv[1]) == 0)
			return commands[i].run(&options);
	usage();
}
