#include "cli/follow.h"
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/live.h"

#include <string.h>

enum { FOLLOW_GRACE_MS = 5000 };

/* The stages in their order; a job that is further on has reached the earlier ones as well. */
static const struct {
	const char *name;
	int rank;
} stages[] = {{"delayed", 0}, {"ready", 1}, {"offered", 2}, {"running", 3},
	      {"started", 3}, {"done", 4},  {"failed", 4},  {"canceled", 4}};

static int stage_rank(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(stages); i++)
		if (!strcmp(stages[i].name, name))
			return stages[i].rank;
	return -1;
}

bool follow_until_known(const char *until)
{
	return stage_rank(until) >= 0;
}

bool follow_reached(const json_t *job, const char *until)
{
	int wanted = until ? stage_rank(until) : 4;

	if (job_is_over(job))
		return true;
	/* A job that waits to be tried again has been running before. */
	if (wanted == 3 && job_number(job, "attempt", 0) > 1)
		return true;
	return stage_rank(job_string(job, "state")) >= wanted;
}

/* --- showing ------------------------------------------------------------------------------------------------------------- */

static void show_state(struct buf *out, const json_t *job)
{
	const char *message = job_string(job, "message");
	const char *state = job_string(job, "state");

	if (*message) {
		live_text(out, message);
	} else if (!strcmp(state, "ready") && job_number(job, "attempt", 0) > 0) {
		buf_append_str(out, "waiting to be tried again");
	} else if (!strcmp(state, "ready")) {
		buf_append_str(out, "waiting for a worker");
	} else {
		live_text(out, state);
	}
}

static void show_bar(const struct follow *follow, const struct follow_job *job, struct buf *out)
{
	double progress = job_number(job->job, "progress", -1);
	double attempt = job_number(job->job, "attempt", 0);

	if (follow->count > 1)
		buf_printf(out, "%.8s… ", job->handle.id);
	if (progress >= 0) {
		live_bar(out, progress, live_columns() > 100 ? 30 : 16);
		buf_printf(out, " %3.0f%%  ", progress * 100);
	}
	show_state(out, job->job);
	if (attempt > 1)
		buf_printf(out, "  (attempt %.0f)", attempt);
	buf_append_str(out, "  ");
	fmt_duration(out, (double)(cli_now_ns() - follow->began_ns) / 1e9);
}

static void follow_draw(const struct follow *follow)
{
	struct slice lines[FOLLOW_LIMIT];
	struct buf texts[FOLLOW_LIMIT] = {0};
	size_t count = 0;

	for (size_t i = 0; i < follow->count && count < FOLLOW_LIMIT; i++) {
		if (!follow->jobs[i].job || follow->jobs[i].over)
			continue;
		show_bar(follow, &follow->jobs[i], &texts[count]);
		lines[count] = buf_slice(&texts[count]);
		count++;
	}
	if (count)
		live_draw(lines, count);
	while (count-- > 0)
		buf_deinit(&texts[count]);
}

/* A change as a line, unless it looks the same as before. */
static void follow_line(struct follow_job *job)
{
	double progress = job_number(job->job, "progress", -1);
	struct buf line = {0};

	buf_printf(&line, "%s %s ", job->handle.id, job_string(job->job, "state"));
	if (progress >= 0)
		buf_printf(&line, "%.0f%% ", progress * 100);
	live_text(&line, job_string(job->job, "message"));
	while (line.len && line.ptr[line.len - 1] == ' ')
		line.len--;
	if (!job->shown || strcmp(job->shown, cli_text(&line)) != 0) {
		mem_free(job->shown);
		job->shown = cli_dup(cli_text(&line));
		fprintf(stderr, "%s\n", job->shown);
	}
	buf_deinit(&line);
}

static void follow_show_change(struct follow_job *job)
{
	switch (job->follow->show) {
	case FOLLOW_LIVE:
		follow_draw(job->follow);
		break;
	case FOLLOW_LINES:
		follow_line(job);
		break;
	case FOLLOW_JSON:
		if (!follow_reached(job->job, job->follow->until)) /* the end is the command's to print */
			session_print_json(job->job);
		break;
	case FOLLOW_SILENT:
		break;
	}
}

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static void job_over(struct follow_job *job, int exit_code)
{
	job->over = true;
	job->exit_code = exit_code;
	job->follow->over_count++;
	if (job->follow->on_over)
		job->follow->on_over(job);
}

static void job_seen(struct follow_job *job, json_t *seen)
{
	json_decref(job->job);
	job->job = seen;
	retry_reset(&job->retry);
	job->resume_ns = 0;
	follow_show_change(job);
	if (follow_reached(job->job, job->follow->until))
		job_over(job, job_is_over(job->job) ? job_exit_code(job->job) : CLI_OK);
}

static void job_answered(struct http_call *call)
{
	struct follow_job *job = call->owner;
	json_t *answer = call->outcome == HTTP_ANSWERED && call->status == 200 ? http_answer_json(call) : NULL;
	int64_t delay_ms;

	if (answer && *job_string(answer, "state")) {
		job_seen(job, answer);
		return;
	}
	json_decref(answer);
	delay_ms = http_worth_retrying(call) ? retry_next_ms(&job->retry, http_answer_retry_after_ms(call)) : -1;
	if (cli_now_ns() >= job->follow->deadline_ns)
		delay_ms = -1;
	if (delay_ms < 0) {
		job_over(job, session_report(job->follow->session, call, "wait for the job"));
		return;
	}
	session_notice_away(job->follow->session, call, &job->retry);
	job->resume_ns = cli_now_ns() + (uint64_t)delay_ms * 1000000;
}

static void job_ask(struct follow_job *job, uint64_t now_ns)
{
	struct follow *follow = job->follow;
	uint64_t left_ms = follow->deadline_ns > now_ns ? (follow->deadline_ns - now_ns) / 1000000 : 0;
	bool every_change = follow->show != FOLLOW_SILENT || follow->until;

	if (job->asked)
		http_call_deinit(&job->call);
	job->asked = true;
	job->spent = left_ms == 0; /* past the deadline each job is looked at one last time: --timeout 0 is a plain look */
	handle_call(&job->handle, &job->call, "GET", "");
	/* The first answer is wanted at once where changes are shown; later ones when something is new. */
	if (job->job || !every_change)
		http_call_query_ms(&job->call, "wait", left_ms < SESSION_WAIT_MS ? left_ms : SESSION_WAIT_MS);
	if (job->job && every_change)
		http_call_query_u64(&job->call, "revision", (uint64_t)job_number(job->job, "revision", 0));
	job->call.patience_ms = SESSION_WAIT_MS + 15000;
	job->call.owner = job;
	job->call.done = job_answered;
	http_start(&follow->session->client, &job->call);
}

/* Asks where nothing is under way; returns when to look again at the latest. */
static uint64_t follow_ask_all(struct follow *follow, uint64_t now_ns)
{
	uint64_t next_ns = follow->deadline_ns;

	for (size_t i = 0; i < follow->count; i++) {
		struct follow_job *job = &follow->jobs[i];

		if (job->over || job->spent || (job->asked && http_under_way(&job->call)))
			continue;
		if (job->resume_ns <= now_ns)
			job_ask(job, now_ns);
		else if (job->resume_ns < next_ns)
			next_ns = job->resume_ns;
	}
	return next_ns;
}

/* Is there a job that may still be heard of? */
static bool follow_pending(const struct follow *follow)
{
	for (size_t i = 0; i < follow->count; i++) {
		const struct follow_job *job = &follow->jobs[i];

		if (!job->over && (!job->spent || http_under_way(&job->call)))
			return true;
	}
	return false;
}

static bool follow_finished(const struct follow *follow)
{
	return follow->over_count == follow->count || (follow->any && follow->over_count);
}

int follow_run(struct follow *follow)
{
	uint64_t now_ns = cli_now_ns();

	follow->began_ns = now_ns;
	for (size_t i = 0; i < follow->count; i++) {
		follow->jobs[i].follow = follow;
		follow->jobs[i].retry.budget_ms = follow->session->retry.budget_ms;
	}
	while (!follow_finished(follow) && follow_pending(follow)) {
		uint64_t next_ns = follow_ask_all(follow, now_ns);
		uint64_t wait_ms = next_ns > now_ns ? (next_ns - now_ns) / 1000000 + 1 : FOLLOW_GRACE_MS;

		http_turn(&follow->session->client, NULL, 0, wait_ms < 1000 ? (int)wait_ms : 1000);
		now_ns = cli_now_ns();
		if (follow->show == FOLLOW_LIVE)
			follow_draw(follow);
		/* The server answers at the deadline by itself; one that does not is not waited for much longer. */
		if (now_ns > follow->deadline_ns && now_ns - follow->deadline_ns > FOLLOW_GRACE_MS * 1000000ULL)
			break;
	}
	live_clear();
	return follow_finished(follow) ? 0 : CLI_TIMED_OUT;
}

void follow_deinit(struct follow *follow)
{
	for (size_t i = 0; i < follow->count; i++) {
		struct follow_job *job = &follow->jobs[i];

		if (job->asked)
			http_call_deinit(&job->call);
		json_decref(job->job);
		mem_free(job->shown);
		handle_deinit(&job->handle);
	}
}
