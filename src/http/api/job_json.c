/* Jobs and queues as JSON. */
#include "http/api/api_priv.h"

#include "base/json.h"

static void text_or_null(struct buf *out, struct slice s)
{
	if (s.len)
		json_str(out, s);
	else
		json_nil(out);
}

void job_url_json(struct buf *out, const struct job_view *view, const char *below)
{
	buf_append_str(out, "\"/v1/jobs/");
	buf_append(out, view->handle, JOB_HANDLE_CHARS);
	buf_append_str(out, below);
	buf_append_char(out, '"');
}

static void result_json(struct buf *out, const struct job_view *view)
{
	if (view->state != JOB_DONE || view->expired) {
		json_nil(out);
		return;
	}
	json_open(out, '{');
	json_key(out, "size");
	json_u64(out, view->result.size_bytes);
	json_key(out, "content_type");
	text_or_null(out, view->result_type);
	json_key(out, "url");
	job_url_json(out, view, "/result");
	json_close(out, '}');
}

static void counts_json(struct buf *out, const struct job_view *view)
{
	json_key(out, "counts");
	json_open(out, '{');
	json_key(out, "timeouts");
	json_u64(out, view->timeouts);
	json_key(out, "failures");
	json_u64(out, view->failures);
	json_key(out, "releases");
	json_u64(out, view->releases);
	json_key(out, "lost_handoffs");
	json_u64(out, view->lost_handoffs);
	json_close(out, '}');
}

static void time_json(struct buf *out, const char *key, uint64_t unix_ms)
{
	if (!unix_ms)
		return;
	json_key(out, key);
	json_time(out, unix_ms);
}

void job_json(struct buf *out, const struct job_view *view)
{
	json_open(out, '{');
	json_key(out, "id");
	json_str(out, slice_from(view->handle, JOB_HANDLE_CHARS));
	json_key(out, "queue");
	json_str(out, view->queue);
	if (view->name.len) {
		json_key(out, "name");
		json_str(out, view->name);
	}
	json_key(out, "state");
	json_str(out, slice_str(job_state_name(view->state)));
	json_key(out, "done");
	json_bool(out, job_state_is_terminal(view->state));
	json_key(out, "revision");
	json_u64(out, view->revision);
	json_key(out, "attempt");
	json_u64(out, view->attempt);
	json_key(out, "progress");
	if (view->progress < 0)
		json_nil(out);
	else
		json_fixed(out, view->progress, 6);
	json_key(out, "message");
	text_or_null(out, view->message);
	time_json(out, "created", view->created_ms);
	time_json(out, "updated", view->updated_ms);
	time_json(out, "delayed_until", view->delay_until_ms);
	time_json(out, "deadline", view->deadline_ms);
	json_key(out, "error");
	if (view->error.len)
		json_raw(out, view->error);
	else
		json_nil(out);
	json_key(out, "result");
	result_json(out, view);
	counts_json(out, view);
	json_close(out, '}');
}

static void totals_json(struct buf *out, const struct queue_view *view)
{
	const struct {
		const char *name;
		uint64_t value;
	} totals[] = {
		{"submitted", view->submitted}, {"done", view->done},
		{"failed", view->failed},       {"canceled", view->canceled},
		{"timeouts", view->timeouts},   {"retries", view->retries},
		{"releases", view->releases},   {"lost_handoffs", view->lost_handoffs},
	};

	json_key(out, "totals");
	json_open(out, '{');
	for (size_t i = 0; i < ARRAY_COUNT(totals); i++) {
		json_key(out, totals[i].name);
		json_u64(out, totals[i].value);
	}
	json_close(out, '}');
}

void queue_json(struct buf *out, const struct queue_view *view)
{
	uint64_t age_ms = view->now_ms > view->oldest_ready_ms ? view->now_ms - view->oldest_ready_ms : 0;

	json_open(out, '{');
	json_key(out, "queue");
	json_str(out, view->name);
	json_key(out, "paused");
	json_bool(out, view->paused);
	json_key(out, "counts");
	json_open(out, '{');
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++) {
		json_key(out, job_state_name((enum job_state)i));
		json_u64(out, view->count[i]);
	}
	json_close(out, '}');
	json_key(out, "waiting_workers");
	json_u64(out, view->waiting_workers);
	json_key(out, "oldest_ready_age");
	if (view->oldest_ready_ms)
		json_fixed(out, (double)age_ms / 1000, 3);
	else
		json_nil(out);
	totals_json(out, view);
	json_key(out, "rates");
	json_open(out, '{');
	json_key(out, "submitted");
	json_fixed(out, view->submitted_rate, 3);
	json_key(out, "done");
	json_fixed(out, view->done_rate, 3);
	json_close(out, '}');
	json_close(out, '}');
}

void page_next_json(struct buf *out, uint64_t next)
{
	json_key(out, "next");
	if (next)
		buf_printf(out, "\"%llu\"", (unsigned long long)next);
	else
		json_nil(out);
}
