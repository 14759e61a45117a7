/*
 * What long polling is for: the same jobs, at the same rate, taking the same times, and clients that learn of the result by
 *   short    asking again every --interval-ms,
 *   long     one GET that waits,
 *   submit   the submit itself waiting (Prefer: wait).
 * Counted are the requests and bytes of the clients, both ways, the submit included; the delay runs from the moment the worker
 * sends its result to the moment the client has it. The server's CPU is all of it, the workers' part included, which is the
 * same for each style. Jobs start at fixed times (open loop), each on a connection of its own while it lasts.
 */
#include "http.h"
#include "json.h"
#include "options.h"
#include "proc.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE           "polling"
#define CLIENTS_MAX     8192
#define FINISHERS_COUNT 8
#define SERVICE_MIN_MS  50
#define SERVICE_MAX_MS  500
#define END_TIMEOUT_NS  20000000000ull
#define JOB_NONE        UINT32_MAX

enum style { STYLE_SHORT, STYLE_LONG, STYLE_SUBMIT };

struct polled_job {
	struct polling *polling;
	uint32_t number;
	uint64_t service_ns;
	uint64_t finished_ns; /* when the worker sent the result */
	char path[96];        /* the client's: /v1/jobs/… */
	char id[64];          /* the worker's */
	char token[64];
};

struct client {
	struct conn conn;
	uint32_t job; /* JOB_NONE: free */
};

struct polling {
	const struct options *options;
	enum style style;
	struct loop loop;
	struct proc_set procs;
	struct client **clients; /* owned */
	uint32_t clients_count;
	uint32_t *idle; /* owned: a stack of free clients */
	uint32_t idle_count;
	struct conn claimer;
	struct conn finishers[FINISHERS_COUNT];
	struct polled_job *jobs; /* owned */
	uint32_t jobs_count;
	uint32_t started_count;
	uint32_t known_count;
	uint64_t start_ns;
	uint64_t interval_ns;
	uint64_t requests_count;
	struct hist delay_hist;
	bool all_known;
};

/* ---- clients ---- */

static void client_poll(struct client *client)
{
	struct polling *polling = client->conn.owner;
	const char *wait = polling->style == STYLE_SHORT ? "0" : "30s";
	conn_printf(&client->conn, "GET %s/result?wait=%s HTTP/1.1\r\nHost: bench\r\n\r\n", polling->jobs[client->job].path,
		    wait);
	polling->requests_count++;
}

static void client_poll_again(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	client_poll(arg);
}

static void client_known(struct client *client, const struct http_answer *answer, uint64_t now_ns)
{
	struct polling *polling = client->conn.owner;
	const struct polled_job *job = &polling->jobs[client->job];
	char expected[16];
	int len = snprintf(expected, sizeof(expected), "%08u", client->job);
	if (answer->body_len < (size_t)len || memcmp(answer->body, expected, (size_t)len) != 0)
		loop_die("the wrong result: %.*s", (int)answer->body_len, answer->body);
	if (job->finished_ns == 0)
		loop_die("a result before its job was done");
	hist_add(&polling->delay_hist, now_ns - job->finished_ns);
	client->job = JOB_NONE;
	polling->idle[polling->idle_count++] = client->conn.index;
	polling->all_known = ++polling->known_count == polling->jobs_count;
}

static void client_input(struct conn *conn, uint64_t now_ns)
{
	struct polling *polling = conn->owner;
	struct client *client = polling->clients[conn->index];
	struct http_answer answer;
	size_t len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	if (len == 0)
		return;
	if (client->job == JOB_NONE)
		loop_die("an answer to no request");
	if (answer.status == 200) {
		client_known(client, &answer, now_ns);
	} else {
		http_expect(&answer, 202, "submit or poll");
		char *path = polling->jobs[client->job].path;
		if (*path == 0 && !http_header_copy(&answer, "Location", path, sizeof(polling->jobs[0].path)))
			loop_die("a submit's answer without Location: %.*s", (int)answer.head_len, answer.head);
		uint64_t next_ns = now_ns + (uint64_t)polling->options->interval_ms * 1000000;
		if (polling->style == STYLE_SHORT)
			loop_timer(&polling->loop, (struct timer){next_ns, client_poll_again, client});
		else
			client_poll(client);
	}
	bytes_consume(&conn->in, len);
}

static struct client *client_take(struct polling *polling)
{
	if (polling->idle_count > 0)
		return polling->clients[polling->idle[--polling->idle_count]];
	if (polling->clients_count == CLIENTS_MAX)
		loop_die("more than %d jobs under way", CLIENTS_MAX);
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		loop_die("out of memory");
	client->conn = (struct conn){.owner = polling, .index = polling->clients_count, .on_input = client_input};
	polling->clients[polling->clients_count++] = client;
	conn_open(&client->conn, &polling->loop, 0);
	return client;
}

static void polling_pace(void *arg, uint64_t now_ns)
{
	struct polling *polling = arg;
	uint64_t due_ns = polling->start_ns + polling->started_count * polling->interval_ns;
	while (polling->started_count < polling->jobs_count && due_ns <= now_ns) {
		struct client *client = client_take(polling);
		client->job = polling->started_count++;
		conn_printf(&client->conn,
			    "POST /v1/queues/" QUEUE "/jobs HTTP/1.1\r\nHost: bench\r\n%sContent-Length: 8\r\n\r\n%08u",
			    polling->style == STYLE_SUBMIT ? "Prefer: wait=30\r\n" : "", client->job);
		polling->requests_count++;
		due_ns += polling->interval_ns;
	}
	if (polling->started_count < polling->jobs_count)
		loop_timer(&polling->loop, (struct timer){due_ns, polling_pace, polling});
}

/* ---- workers ---- */

static void worker_claim(struct polling *polling)
{
	static const char body[] = "{\"queues\":[\"" QUEUE "\"],\"max\":64,\"wait\":\"30s\"}";
	conn_printf(&polling->claimer,
		    "POST /v1/claim HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		    sizeof(body) - 1, body);
}

static void worker_finish(void *arg, uint64_t now_ns)
{
	struct polled_job *job = arg;
	struct conn *conn = &job->polling->finishers[job->number % FINISHERS_COUNT];
	job->finished_ns = now_ns;
	conn_printf(conn,
		    "POST /v1/jobs/%s/done HTTP/1.1\r\nHost: bench\r\nJob-Token: %s\r\nContent-Type: text/plain\r\n"
		    "Content-Length: 100\r\n\r\n%08u%092u",
		    job->id, job->token, job->number, 0u);
	conn_flush(conn);
}

static void worker_claim_input(struct conn *conn, uint64_t now_ns)
{
	struct polling *polling = conn->owner;
	struct http_answer answer;
	size_t len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer);
	if (len == 0)
		return;
	if (answer.status != 204)
		http_expect(&answer, 200, "claim");
	struct json_cursor cursor = {answer.body, answer.body + answer.body_len};
	struct polled_job taken;
	const char *text;
	size_t text_len;
	while (json_next_copy(&cursor, "id", taken.id, sizeof(taken.id))) {
		char number[9] = {0};
		if (!json_next_copy(&cursor, "token", taken.token, sizeof(taken.token)) ||
		    !json_next_text(&cursor, "body_base64", &text, &text_len) || json_base64(text, text_len, number, 8) != 8)
			loop_die("a claim without token or body: %.*s", (int)answer.body_len, answer.body);
		unsigned long index = strtoul(number, NULL, 10);
		if (index >= polling->jobs_count)
			loop_die("not a job of ours: %s", number);
		struct polled_job *job = &polling->jobs[index];
		memcpy(job->id, taken.id, sizeof(job->id));
		memcpy(job->token, taken.token, sizeof(job->token));
		loop_timer(&polling->loop, (struct timer){now_ns + job->service_ns, worker_finish, job});
	}
	bytes_consume(&conn->in, len);
	worker_claim(polling);
}

static void worker_finish_input(struct conn *conn, uint64_t now_ns)
{
	struct http_answer answer;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = http_parse(bytes_head(&conn->in), bytes_len(&conn->in), &answer)) > 0) {
		http_expect(&answer, 204, "completion");
		bytes_consume(&conn->in, len);
	}
}

/* ---- a run ---- */

static enum style style_of(const char *name)
{
	static const char *const names[] = {[STYLE_SHORT] = "short", [STYLE_LONG] = "long", [STYLE_SUBMIT] = "submit"};
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return (enum style)i;
	loop_die("no style called %s: short, long or submit", name);
}

/* Service times evenly spread, the same in every run. */
static void polling_make_jobs(struct polling *polling)
{
	uint64_t random = 0x2545f4914f6cdd1dull;
	polling->jobs = calloc(polling->jobs_count, sizeof(*polling->jobs));
	polling->clients = calloc(CLIENTS_MAX, sizeof(struct client *));
	polling->idle = calloc(CLIENTS_MAX, sizeof(*polling->idle));
	if (!polling->jobs || !polling->clients || !polling->idle)
		loop_die("out of memory");
	for (uint32_t i = 0; i < polling->jobs_count; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		uint64_t spread_us = random % ((SERVICE_MAX_MS - SERVICE_MIN_MS) * 1000);
		polling->jobs[i].service_ns = SERVICE_MIN_MS * 1000000ull + spread_us * 1000;
		polling->jobs[i].polling = polling;
		polling->jobs[i].number = i;
	}
}

static void polling_report(const struct polling *polling, uint64_t cpu_ns)
{
	uint64_t bytes = 0;
	double known = (double)polling->known_count;
	for (uint32_t i = 0; i < polling->clients_count; i++)
		bytes += polling->clients[i]->conn.bytes_in + polling->clients[i]->conn.bytes_out;
	report_begin();
	report_u64("results", polling->known_count);
	report_f64("requests_per_result", (double)polling->requests_count / known);
	report_f64("bytes_per_result", (double)bytes / known);
	report_f64("cpu_us_per_result", (double)cpu_ns / 1e3 / known);
	report_hist("delay", &polling->delay_hist);
	report_end();
}

int polling_main(const struct options *options)
{
	static struct polling polling;
	if (options->rate == 0 || strcmp(options->peer, "bide") != 0)
		loop_die("polling wants --rate, and bide as its peer");
	polling.options = options;
	polling.style = style_of(options->style);
	polling.interval_ns = 1000000000ull / options->rate;
	polling.jobs_count = (uint32_t)((uint64_t)options->rate * options->duration_ms / 1000);
	int r = proc_set_find((pid_t)options->pid, &polling.procs);
	if (r < 0 || polling.jobs_count == 0)
		loop_die("process %u: %s, or no jobs", options->pid, strerror(-r));
	polling_make_jobs(&polling);
	hist_reset(&polling.delay_hist);
	loop_init(&polling.loop, (uint16_t)options->port);
	polling.claimer = (struct conn){.owner = &polling, .on_input = worker_claim_input};
	conn_open(&polling.claimer, &polling.loop, 0);
	worker_claim(&polling);
	for (uint32_t i = 0; i < FINISHERS_COUNT; i++) {
		polling.finishers[i] = (struct conn){.owner = &polling, .index = i, .on_input = worker_finish_input};
		conn_open(&polling.finishers[i], &polling.loop, 0);
	}
	uint64_t cpu_ns = proc_set_cpu_ns(&polling.procs);
	polling.start_ns = loop_now_ns() + 10000000;
	loop_timer(&polling.loop, (struct timer){polling.start_ns, polling_pace, &polling});
	uint64_t deadline_ns = polling.start_ns + polling.jobs_count * polling.interval_ns + END_TIMEOUT_NS;
	if (!loop_until(&polling.loop, &polling.all_known, deadline_ns))
		loop_die("%u of %u results known", polling.known_count, polling.jobs_count);
	polling_report(&polling, proc_set_cpu_ns(&polling.procs) - cpu_ns);
	return 0;
}
