/* Beats: at a third of the lease, and soon after there is progress to tell. */
#include "cli/fmt.h"
#include "cli/work.h"

#include <curl/curl.h>
#include <string.h>

uint64_t work_lease_ms(struct http_call *call, const char *deadline, uint64_t otherwise_ms)
{
	enum { SHORTEST_MS = 1000, DEFAULT_MS = 60000 };
	const char *date = http_answer_header(call, "Date");
	time_t server_now = date ? curl_getdate(date, NULL) : -1;
	uint64_t deadline_ms, now_ms = server_now > 0 ? (uint64_t)server_now * 1000 : fmt_now_ms();

	if (otherwise_ms)
		return otherwise_ms;
	if (fmt_time_parse(deadline, &deadline_ms))
		return DEFAULT_MS;
	return deadline_ms > now_ms + SHORTEST_MS ? deadline_ms - now_ms : SHORTEST_MS;
}

static uint64_t beat_interval_ns(const struct work_job *job)
{
	return job->lease_ms / 3 * 1000000;
}

static void beat_answered(struct http_call *call)
{
	struct work_job *job = call->owner;
	struct worker *worker = job->worker;
	json_t *answer;

	if (call->outcome != HTTP_ANSWERED || call->status != 200) {
		if (work_job_refused(job, call))
			return;
		job->progress.news = true; /* what it told was perhaps not heard */
		work_call_retry(job, &job->beat);
		return;
	}
	answer = http_answer_json(call);
	retry_reset(&job->beat.retry);
	job->lease_ms = work_lease_ms(call, job_string(answer, "deadline"), worker->lease_ms);
	job->beat.due_ns = job->beaten_ns + beat_interval_ns(job);
	if (json_is_true(json_object_get(answer, "cancel")))
		work_job_cancel(job);
	json_decref(answer);
}

static json_t *beat_body(const struct work_job *job)
{
	const struct work_progress *progress = &job->progress;
	json_t *body = json_object();

	if (progress->news && progress->fraction >= 0 &&
	    json_object_set_new(body, "progress", json_pack("f", progress->fraction)))
		cli_out_of_memory();
	if (progress->news && progress->message[0] && json_object_set_new(body, "message", json_pack("s", progress->message)))
		cli_out_of_memory();
	if (job->worker->lease && json_object_set_new(body, "lease", json_pack("s", job->worker->lease)))
		cli_out_of_memory();
	return body;
}

void work_beat_step(struct work_job *job, uint64_t now_ns)
{
	struct http_call *call = &job->beat.call;
	uint64_t soon_ns = job->beaten_ns + WORK_BEAT_EVERY_MS * 1000000ULL;

	if (job->canceled || job->lost || (job->beat.made && http_under_way(call)))
		return;
	if (job->progress.news && !job->beat.retry.count && soon_ns < job->beat.due_ns)
		job->beat.due_ns = soon_ns;
	if (job->beat.due_ns > now_ns)
		return;
	work_job_call(job, &job->beat, "POST", "/beat");
	http_call_json(call, beat_body(job));
	call->done = beat_answered;
	call->timeout_ms = job->lease_ms / 3 < 2000 ? 2000 : job->lease_ms / 3 > 10000 ? 10000 : job->lease_ms / 3;
	job->progress.news = false;
	job->beaten_ns = now_ns;
	job->beat.due_ns = UINT64_MAX;
	http_start(&job->worker->session->client, call);
}

void work_beat_stop(struct work_job *job)
{
	if (job->beat.made)
		http_stop(&job->beat.call);
	job->beat.due_ns = UINT64_MAX;
}
