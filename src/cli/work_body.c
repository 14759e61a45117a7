/* The body of a job, into the file that becomes the command's stdin. */
#include "base/mem.h"
#include "cli/base64.h"
#include "cli/work.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void body_failed(struct work_job *job, int error)
{
	work_tell(job, "released", "its body cannot be kept here: %s", strerror(-error));
	work_end_release(job, job->worker->release_delay_ms);
}

static void body_ready(struct work_job *job)
{
	int rc = work_child_start(job);

	if (rc) {
		/* Not this job's fault, and the next one would not fare better here. */
		cli_say("%s cannot be started: %s", job->worker->command[0], strerror(-rc));
		work_end_release(job, 0);
		work_claim_stop(job->worker);
		job->worker->stopping = 1;
		job->worker->exit_code = CLI_FAILED;
		return;
	}
	job->state = WORK_RUNNING;
}

static int body_sink(struct http_call *call, const char *ptr, size_t len)
{
	struct work_job *job = call->owner;
	long status = 0;
	int rc;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	/* Not the part that was asked for but the whole: what an earlier answer brought is written again. */
	if (status == 200 && !job->body_began)
		job->body_bytes = 0;
	job->body_began = true;
	rc = spool_write(job->in_fd, job->body_bytes, ptr, len);
	if (rc) {
		job->body_error = rc;
		return rc;
	}
	job->body_bytes += (off_t)len;
	return 0;
}

static void body_answered(struct http_call *call)
{
	struct work_job *job = call->owner;

	if (call->outcome == HTTP_ANSWERED && (call->status == 200 || call->status == 206)) {
		body_ready(job);
	} else if (call->outcome == HTTP_LOCAL) {
		body_failed(job, job->body_error ? job->body_error : -EIO);
	} else if (!work_job_refused(job, call)) {
		if (http_worth_retrying(call)) {
			work_call_retry(job, &job->body);
			return;
		}
		work_end_fail(job, true, "the body could not be fetched", call->error);
	}
}

void work_body_step(struct work_job *job, uint64_t now_ns)
{
	struct http_call *call = &job->body.call;

	if (job->body.due_ns > now_ns || (job->body.made && http_under_way(call)))
		return;
	work_job_call(job, &job->body, "GET", "/body");
	call->sink = body_sink;
	call->done = body_answered;
	if (job->body_bytes)
		http_call_header(call, "Range: bytes=%lld-", (long long)job->body_bytes);
	job->body.due_ns = UINT64_MAX;
	job->body_began = false;
	http_start(&job->worker->session->client, call);
}

void work_body_start(struct work_job *job, const json_t *claimed)
{
	const json_t *text = json_object_get(claimed, "body_base64");
	struct buf bytes = {0};
	int rc;

	job->in_fd = spool_open(job->size_bytes);
	if (job->in_fd < 0) {
		body_failed(job, job->in_fd);
		return;
	}
	if (job->body_url) {
		job->state = WORK_FETCHING;
		return;
	}
	rc = base64_decode(&bytes, slice_from(json_string_value(text), json_string_length(text)));
	if (!rc)
		rc = spool_write(job->in_fd, 0, bytes.ptr, bytes.len);
	buf_deinit(&bytes);
	if (rc)
		body_failed(job, rc);
	else
		body_ready(job);
}
