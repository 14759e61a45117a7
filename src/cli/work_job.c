/* The life of a job at a worker: fetching, running, ending; and the ways it can be taken away. */
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/work.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { STRAGGLER_NS = 1000 * 1000 * 1000 };

/* --- requests ----------------------------------------------------------------------------------------------------------------
 */

void work_job_call(struct work_job *job, struct work_call *call, const char *method, const char *tail)
{
	const struct handle handle = {.base = job->worker->session->server, .id = job->id};

	if (call->made)
		http_call_deinit(&call->call);
	call->made = true;
	handle_call(&handle, &call->call, method, tail);
	http_call_header(&call->call, "Job-Token: %s", job->token);
	call->call.owner = job;
}

void work_call_retry(struct work_job *job, struct work_call *call)
{
	int64_t delay_ms = retry_next_ms(&call->retry, http_answer_retry_after_ms(&call->call));

	if (call->retry.count == 1 && job->state == WORK_ENDING && call == &job->end)
		work_tell(job, "waiting", "the verdict could not be told (%s); it is kept and told again",
			  call->call.outcome == HTTP_ANSWERED ? "the server is not ready" : call->call.error);
	call->due_ns = cli_now_ns() + (uint64_t)delay_ms * 1000000;
}

bool work_job_refused(struct work_job *job, struct http_call *call)
{
	if (call->outcome != HTTP_ANSWERED)
		return false;
	if (http_answer_is(call, "canceled")) {
		work_job_cancel(job);
		return true;
	}
	if (call->status != 404 && call->status != 409 && call->status != 410)
		return false;
	work_job_lose(job, http_answer_is(call, "already-done") ? "another result came first"
			   : call->status == 409                ? "the lease has passed on to another worker"
								: "the server no longer knows it");
	return true;
}

/* --- the end -----------------------------------------------------------------------------------------------------------------
 */

void work_job_over(struct work_job *job)
{
	work_beat_stop(job);
	work_output_stop(job);
	if (job->body.made)
		http_stop(&job->body.call);
	if (job->end.made)
		http_stop(&job->end.call);
	job->state = WORK_OVER;
}

static void job_taken_away(struct work_job *job)
{
	work_output_stop(job);
	if (job->state != WORK_RUNNING || job->exited)
		work_job_over(job);
	else
		work_beat_stop(job);
}

void work_job_cancel(struct work_job *job)
{
	if (job->canceled || job->lost || job->state == WORK_OVER)
		return;
	job->canceled = true;
	work_tell(job, "canceled", "%s", job->state == WORK_RUNNING && !job->exited ? "ending the command" : "");
	job->worker->job_code = CLI_CANCELED;
	if (job->state == WORK_RUNNING && !job->exited) {
		work_child_signal(job, SIGTERM);
		job->kill_ns = cli_now_ns() + job->worker->grace_ms * 1000000;
	}
	job_taken_away(job);
}

void work_job_lose(struct work_job *job, const char *why)
{
	if (job->lost || job->state == WORK_OVER)
		return;
	job->lost = true;
	work_tell(job, "lost", "%s", why);
	job->worker->job_code = CLI_CONFLICT;
	/* Another worker may have it by now: two of them must not go on side by side. */
	work_child_signal(job, SIGKILL);
	job_taken_away(job);
}

void work_job_give_back(struct work_job *job)
{
	if (job->state == WORK_FETCHING)
		work_end_release(job, 0);
	if (job->state == WORK_RUNNING && !job->kill_ns && !job->exited) {
		work_child_signal(job, SIGTERM);
		job->kill_ns = cli_now_ns() + (job->worker->grace_ms < 2000 ? job->worker->grace_ms : 2000) * 1000000;
	}
}

static void job_fail(struct work_job *job, bool retry)
{
	const char *slash = strrchr(job->worker->command[0], '/');
	const char *program = slash ? slash + 1 : job->worker->command[0];
	struct buf title = {0}, tail = {0};

	if (WIFSIGNALED(job->wait_status))
		buf_printf(&title, "%s was ended by signal %d (%s)", program, WTERMSIG(job->wait_status),
			   strsignal(WTERMSIG(job->wait_status)));
	else
		buf_printf(&title, "%s ended with exit code %d", program, WEXITSTATUS(job->wait_status));
	work_child_tail(job, &tail);
	work_end_fail(job, retry, cli_text(&title), cli_text(&tail));
	buf_deinit(&title);
	buf_deinit(&tail);
}

void work_job_exited(struct work_job *job)
{
	int code = WIFEXITED(job->wait_status) ? WEXITSTATUS(job->wait_status) : -1;

	if (job->canceled || job->lost)
		work_job_over(job);
	else if (job->worker->stopping == 2 && job->kill_ns)
		work_end_release(job, 0); /* we ended it: whatever it wrote is not the whole */
	else if (job->out_error)
		work_end_fail(job, true, "the result could not be kept", strerror(job->out_error));
	else if (code == 0)
		work_end_done(job);
	else if (code == WORK_EX_TEMPFAIL)
		work_end_release(job, job->worker->release_delay_ms);
	else
		job_fail(job, code < 0 || !job->worker->no_retry[code]);
}

/* --- the beginning ------------------------------------------------------------------------------------------------------------
 */

static char *field_dup(const json_t *claimed, const char *name)
{
	return cli_dup(job_string(claimed, name));
}

static void job_describe(struct work_job *job, const json_t *claimed)
{
	const char *url = json_string_value(json_object_get(claimed, "body_url"));

	job->id = field_dup(claimed, "id");
	job->queue = field_dup(claimed, "queue");
	job->token = field_dup(claimed, "token");
	job->content_type = field_dup(claimed, "content_type");
	job->name = field_dup(json_object_get(claimed, "headers"), "name");
	job->body_url = url ? cli_dup(url) : NULL;
	job->attempt = (unsigned)job_number(claimed, "attempt", 1);
	job->size_bytes = (uint64_t)job_number(claimed, "size", 0);
}

void work_job_new(struct worker *worker, const json_t *claimed, uint64_t lease_ms)
{
	struct work_job *job = cli_alloc(sizeof(*job));
	struct buf words = {0};

	*job = (struct work_job){
		.worker = worker,
		.lease_ms = lease_ms,
		.began_ns = cli_now_ns(),
		.in_fd = -1,
		.out_fd = -1,
		.progress_fd = -1,
		.stderr_fd = -1,
		.stdout_fd = -1,
		.progress = {.fraction = -1},
		.body = {.retry = {.budget_ms = SESSION_FOREVER_MS}},
		.beat = {.retry = {.budget_ms = SESSION_FOREVER_MS}},
		.end = {.retry = {.budget_ms = SESSION_FOREVER_MS}},
	};
	list_init(&job->node);
	list_push_back(&worker->jobs, &job->node);
	worker->job_count++;
	job_describe(job, claimed);
	job->beaten_ns = job->began_ns;
	job->beat.due_ns = job->began_ns + job->lease_ms / 3 * 1000000;
	if (worker->stopping) {
		work_end_release(job, 0);
		return;
	}
	fmt_bytes(&words, job->size_bytes);
	work_tell(job, "started", "attempt %u, %s %s", job->attempt, cli_text(&words), job->content_type);
	buf_deinit(&words);
	work_body_start(job, claimed);
}

/* --- moving on ----------------------------------------------------------------------------------------------------------------
 */

static bool job_pipes_open(const struct work_job *job)
{
	return job->stderr_fd >= 0 || job->stdout_fd >= 0 || job->progress_fd >= 0 || job->chunk_len;
}

static void job_step_running(struct work_job *job, uint64_t now_ns)
{
	bool exited = work_child_reap(job);

	work_child_read(job);
	if (!exited) {
		if (job->kill_ns && now_ns >= job->kill_ns)
			work_child_signal(job, SIGKILL);
		return;
	}
	/* What its pipes still hold is read to the end; a process that left the group and keeps them open is not waited for. */
	if (job_pipes_open(job) && now_ns < job->exited_ns + STRAGGLER_NS)
		return;
	if (!work_output_busy(job, now_ns))
		work_job_exited(job);
}

void work_job_step(struct work_job *job, uint64_t now_ns)
{
	if (job->state == WORK_RUNNING)
		job_step_running(job, now_ns);
	if (job->state == WORK_RUNNING)
		work_output_step(job, now_ns);
	if (job->state == WORK_FETCHING)
		work_body_step(job, now_ns);
	if (job->state == WORK_ENDING)
		work_end_step(job, now_ns);
	if (job->state != WORK_OVER)
		work_beat_step(job, now_ns);
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t work_job_due_ns(const struct work_job *job)
{
	uint64_t due_ns = UINT64_MAX;

	if (!job->canceled && !job->lost)
		due_ns = job->beat.due_ns;
	if (job->state == WORK_FETCHING)
		due_ns = earlier(due_ns, job->body.due_ns);
	if (job->state == WORK_ENDING)
		due_ns = earlier(due_ns, job->end.due_ns);
	if (job->state == WORK_RUNNING && job->kill_ns && !job->exited)
		due_ns = earlier(due_ns, job->kill_ns);
	if (job->state == WORK_RUNNING && job->exited && !work_output_waits(job))
		due_ns = earlier(due_ns, job->exited_ns + STRAGGLER_NS);
	if (job->state == WORK_RUNNING)
		due_ns = earlier(due_ns, work_output_due_ns(job));
	return due_ns;
}

void work_job_free(struct work_job *job)
{
	int fds[] = {job->in_fd, job->out_fd, job->progress_fd, job->stderr_fd, job->stdout_fd};
	struct work_call *calls[] = {&job->body, &job->beat, &job->end};

	for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++)
		if (calls[i]->made)
			http_call_deinit(&calls[i]->call);
	work_output_free(job);
	list_remove(&job->node);
	job->worker->job_count--;
	mem_free(job->id);
	mem_free(job->queue);
	mem_free(job->token);
	mem_free(job->content_type);
	mem_free(job->name);
	mem_free(job->body_url);
	mem_free(job->error_title);
	mem_free(job->error_detail);
	mem_free(job);
}
