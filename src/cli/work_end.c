/* Verdicts: what has become of a job is told until the server takes it. */
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/utf8.h"
#include "cli/work.h"

#include <string.h>
#include <sys/stat.h>

static const char *const verdict_paths[] = {"/done", "/fail", "/release"};

static void end_begin(struct work_job *job, enum work_verdict verdict)
{
	if (job->end.made)
		http_stop(&job->end.call);
	job->verdict = verdict;
	job->state = WORK_ENDING;
	job->end.due_ns = 0;
	retry_reset(&job->end.retry);
}

void work_end_done(struct work_job *job)
{
	end_begin(job, WORK_DONE);
}

static char *clean_dup(const char *text)
{
	struct buf clean = {0};
	char *copy;

	utf8_append(&clean, slice_str(text));
	copy = cli_dup(cli_text(&clean));
	buf_deinit(&clean);
	return copy;
}

void work_end_fail(struct work_job *job, bool retry, const char *title, const char *detail)
{
	char *new_title = clean_dup(title), *new_detail = clean_dup(detail);

	mem_free(job->error_title);
	mem_free(job->error_detail);
	job->error_title = new_title;
	job->error_detail = new_detail;
	job->fail_retry = retry;
	end_begin(job, WORK_FAIL);
}

void work_end_release(struct work_job *job, uint64_t delay_ms)
{
	job->delay_ms = delay_ms;
	end_begin(job, WORK_RELEASE);
}

static void end_accepted(struct work_job *job)
{
	struct buf words = {0};

	switch (job->verdict) {
	case WORK_DONE:
		fmt_bytes(&words, (uint64_t)job->end.call.source_size);
		work_tell(job, "done", "%s in %.1f s", cli_text(&words), (double)(cli_now_ns() - job->began_ns) / 1e9);
		job->worker->job_code = CLI_OK;
		break;
	case WORK_FAIL:
		work_tell(job, "failed", "%s%s", job->error_title,
			  job->fail_retry ? "; it may be tried again" : "; not to be tried again");
		job->worker->job_code = CLI_JOB_FAILED;
		break;
	case WORK_RELEASE:
		work_tell(job, "released", "for another worker, or for later");
		job->worker->job_code = CLI_FAILED;
		break;
	}
	buf_deinit(&words);
	work_job_over(job);
}

/* The server will never take this verdict. A refused result becomes a failure that says so; a refused failure leaves the job
 * to its lease. */
static void end_refused(struct work_job *job, struct http_call *call)
{
	json_t *problem = http_answer_json(call);
	const char *detail = job_string(problem, "detail");
	char title[80];

	snprintf(title, sizeof(title), "the server refused the %s (status %ld)", job->verdict == WORK_DONE ? "result" : "verdict",
		 call->status);
	if (job->verdict == WORK_DONE) {
		work_end_fail(job, call->status != 413, title, detail);
	} else {
		work_tell(job, "lost", "%s: %s", title, detail);
		job->worker->job_code = CLI_FAILED;
		work_job_over(job);
	}
	json_decref(problem);
}

static void end_answered(struct http_call *call)
{
	struct work_job *job = call->owner;

	if (call->outcome == HTTP_ANSWERED && call->status >= 200 && call->status < 300)
		end_accepted(job);
	else if (call->source_error)
		work_end_fail(job, true, "the result could not be read back", strerror(call->source_error));
	else if (work_job_refused(job, call))
		return;
	else if (call->outcome == HTTP_ANSWERED && !http_worth_retrying(call))
		end_refused(job, call);
	else
		work_call_retry(job, &job->end);
}

static json_t *fail_body(const struct work_job *job)
{
	return json_pack("{s:{s:s, s:s}, s:b}", "error", "title", job->error_title, "detail", job->error_detail, "retry",
			 job->fail_retry);
}

static json_t *release_body(const struct work_job *job)
{
	char delay[32];

	snprintf(delay, sizeof(delay), "%llums", (unsigned long long)job->delay_ms);
	return json_pack("{s:s}", "delay", delay);
}

void work_end_step(struct work_job *job, uint64_t now_ns)
{
	struct http_call *call = &job->end.call;
	struct stat st;

	if (job->end.due_ns > now_ns || (job->end.made && http_under_way(call)))
		return;
	work_job_call(job, &job->end, "POST", verdict_paths[job->verdict]);
	if (job->verdict == WORK_DONE) {
		http_call_header(call, "Content-Type: %s", job->worker->content_type);
		http_call_source(call, job->out_fd, 0, fstat(job->out_fd, &st) ? 0 : st.st_size);
	} else {
		http_call_json(call, job->verdict == WORK_FAIL ? fail_body(job) : release_body(job));
	}
	call->done = end_answered;
	job->end.due_ns = UINT64_MAX;
	http_start(&job->worker->session->client, call);
}
