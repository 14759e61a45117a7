/* A job and its result: looked at now, or when there is something to see; cancelled; listed. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "http/codec/field.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

enum { LIST_DEFAULT = 100, LIST_BYTES = 1 << 20 };

/* --- what is answered about a job --- */

static void location(struct reply *reply, const struct job_view *view)
{
	reply_header_fmt(reply, SLICE("Location"), "/v1/jobs/%.*s", JOB_HANDLE_CHARS, view->handle);
}

static void reply_not_yet(struct reply *reply, struct buf *out, const struct job_view *view)
{
	reply->answer.status = 202;
	location(reply, view);
	reply_header(reply, SLICE("Retry-After"), SLICE("1"));
	job_json(out, view);
	reply_json(reply, out);
}

/* 400 … 599 from a problem object's own status, else 500. */
static int status_of(const json_t *error)
{
	json_t *status = json_object_get(error, "status");
	json_int_t value = json_is_integer(status) ? json_integer_value(status) : 0;

	return value >= 400 && value <= 599 ? (int)value : 500;
}

/* The problem that the worker stored; a string becomes a problem's detail. */
static void reply_failed(struct reply *reply, struct buf *out, const struct job_view *view)
{
	json_t *error = json_loadb(view->error.ptr ? view->error.ptr : "", view->error.len, JSON_DECODE_ANY, NULL);

	reply->answer.status = status_of(error);
	if (json_is_object(error)) {
		buf_append_slice(out, view->error);
	} else {
		struct slice detail = {0};

		if (json_is_string(error))
			detail = slice_from(json_string_value(error), json_string_length(error));
		problem_json(out, &problems[PROBLEM_JOB_FAILED], reply->answer.status, detail);
	}
	json_decref(error);
	reply_header(reply, SLICE("Job-State"), SLICE("failed"));
	reply->answer.content_type = SLICE("application/problem+json");
	reply->answer.body = buf_slice(out);
}

/* Of a job that is not done, or done with an empty result. */
static void reply_result(struct reply *reply, struct buf *out, enum wait_kind kind, const struct job_view *view)
{
	switch (view->state) {
	case JOB_DONE:
		reply->answer.status = 200;
		reply->answer.content_type = view->result_type;
		reply_header(reply, SLICE("Accept-Ranges"), SLICE("bytes"));
		if (kind == WAIT_SUBMIT)
			location(reply, view);
		return;
	case JOB_FAILED:
		reply_failed(reply, out, view);
		return;
	case JOB_CANCELED:
		reply_header(reply, SLICE("Job-State"), SLICE("canceled"));
		reply_problem(reply, out, PROBLEM_CANCELED, "The job was canceled.");
		return;
	case JOB_DELAYED:
	case JOB_READY:
	case JOB_OFFERED:
	case JOB_RUNNING:
		reply_not_yet(reply, out, view);
		return;
	}
}

bool look_reply(struct reply *reply, struct buf *out, enum wait_kind kind, uint16_t told_s, const struct job_view *view)
{
	buf_clear(out);
	reply_init(reply, 0);
	reply_wait(reply, told_s);
	if (view->expired) {
		reply_problem(reply, out, PROBLEM_GONE, "The job is past its retention.");
		return true;
	}
	if (kind == WAIT_JOB) {
		reply->answer.status = 200;
		job_json(out, view);
		reply_json(reply, out);
		return true;
	}
	reply_result(reply, out, kind, view);
	return view->state != JOB_DONE || view->result.kind == BODY_NONE;
}

void pin_answer(struct exchange *ex, struct reply *reply, struct store_pin *pin, struct slice range)
{
	uint64_t size = pin->ref.size_bytes;

	reply->answer.pin = pin;
	reply->answer.range_bytes = size;
	switch (range.len ? range_parse(range, size, &reply->answer.range_from, &reply->answer.range_bytes) : RANGE_NONE) {
	case RANGE_NONE:
		reply->answer.range_from = 0;
		reply->answer.range_bytes = size;
		break;
	case RANGE_PART:
		reply->answer.status = 206;
		reply_header_fmt(
			reply, SLICE("Content-Range"), "bytes %llu-%llu/%llu", (unsigned long long)reply->answer.range_from,
			(unsigned long long)(reply->answer.range_from + reply->answer.range_bytes - 1), (unsigned long long)size);
		break;
	case RANGE_UNSATISFIABLE:
		pin->ops->unpin(pin);
		reply_init(reply, 0);
		reply_header_fmt(reply, SLICE("Content-Range"), "bytes */%llu", (unsigned long long)size);
		reply_problem(reply, &api_of(ex)->out, PROBLEM_RANGE, "The range begins behind the end.");
		reply_send(ex, reply, &api_of(ex)->out);
		return;
	}
	reply_send(ex, reply, NULL);
}

void look_answer(struct exchange *ex, enum wait_kind kind, uint16_t told_s, struct job_view *view, struct slice range)
{
	struct buf *out = &api_of(ex)->out;
	struct store_pin *pin = view->pin;
	struct reply reply;

	if (look_reply(&reply, out, kind, told_s, view)) {
		reply_send(ex, &reply, out);
		return;
	}
	view->pin = NULL;
	if (!pin) {
		call_problem(ex, PROBLEM_STORAGE, "The stored bytes could not be found.");
		return;
	}
	pin_answer(ex, &reply, pin, range);
}

/* --- GET /v1/jobs/{id} and its result --- */

static void looked(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct job_view *view = c->outcome <= OUTCOME_PARKED || c->outcome == OUTCOME_GONE ? c->out.views[0] : NULL;
	enum outcome outcome = c->outcome;

	if (view)
		c->out.views[0] = NULL;
	command_answer_deinit(c);
	if (outcome == OUTCOME_PARKED && ask->wait_ms)
		wait_park(ex, ask, view, c->in.jobs.until, c->in.jobs.revision);
	else if (view)
		look_answer(ex, (enum wait_kind)ask->kind, ask->told_s, view, request_header(ex->request, SLICE("Range")));
	else
		call_outcome(ex, outcome);
	job_view_unref(view);
}

static bool look_until(struct exchange *ex, struct jobs_in *in, bool *ret_held)
{
	struct slice text;
	uint64_t revision;
	bool found;

	*ret_held = false;
	if (!input_query(ex, "until", &text, &found))
		return false;
	if (found && slice_eq(text, SLICE("started"))) {
		in->until = UNTIL_STARTED;
	} else if (found && !slice_eq(text, SLICE("done"))) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "until is started or done.");
		return false;
	}
	*ret_held = found;
	if (!input_query(ex, "revision", &text, &found))
		return false;
	if (!found)
		return true;
	if (*ret_held || slice_u64(text, &revision) || revision > UINT32_MAX) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "revision is the number that an earlier answer told, and goes without until.");
		return false;
	}
	in->until = UNTIL_CHANGED;
	in->revision = (uint32_t)revision;
	*ret_held = true;
	return true;
}

static void look_head(struct exchange *ex, struct slice handle, enum wait_kind kind)
{
	struct ask *ask;
	bool held = false;

	if (!input_handle(ex, handle))
		return;
	ask = ask_new(ex, COMMAND_JOBS, looked);
	if (!ask)
		return;
	ask->kind = (uint8_t)kind;
	if (kind == WAIT_JOB && !look_until(ex, &ask->command.in.jobs, &held))
		return;
	if (!input_wait(ex, ask, UINT64_MAX, held ? api_of(ex)->config.default_wait_ms : 0))
		return;
	ask->command.in.jobs.handles = arena_zalloc(&ex->arena, sizeof(struct slice));
	if (!ask->command.in.jobs.handles) {
		call_no_memory(ex);
		return;
	}
	*(struct slice *)(uintptr_t)ask->command.in.jobs.handles = handle;
	ask->command.in.jobs.count = 1;
	ask->command.in.jobs.watch = ask->wait_ms > 0;
	ask->command.in.jobs.pin_result = kind == WAIT_RESULT;
	ask_send(ex, ask);
}

void job_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	look_head(ex, params[0], WAIT_JOB);
}

void result_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	look_head(ex, params[0], WAIT_RESULT);
}

/* --- DELETE /v1/jobs/{id} --- */

static void canceled(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct job_view *view = c->out.view;
	enum outcome outcome = c->outcome;

	c->out.view = NULL;
	command_answer_deinit(c);
	if (outcome == OUTCOME_OK && view)
		look_answer(ex, WAIT_JOB, WAIT_UNTOLD, view, (struct slice){0});
	else if (outcome == OUTCOME_OK)
		call_answer(ex, &(struct answer){.status = 204});
	else if (outcome == OUTCOME_CONFLICT)
		call_problem(ex, PROBLEM_CONFLICT, "The job has ended already; ?forget=true drops its record.");
	else
		call_outcome(ex, outcome);
	job_view_unref(view);
}

void cancel_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct slice text;
	struct ask *ask;
	bool found;

	if (!input_handle(ex, params[0]))
		return;
	if (!input_query(ex, "forget", &text, &found))
		return;
	if (found && !slice_eq(text, SLICE("true")) && !slice_eq(text, SLICE("false"))) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "forget is true or false.");
		return;
	}
	ask = ask_new(ex, COMMAND_CANCEL, canceled);
	if (!ask)
		return;
	ask->command.in.cancel.handle = params[0];
	ask->command.in.cancel.forget = found && slice_eq(text, SLICE("true"));
	ask_send(ex, ask);
}

/* --- GET /v1/jobs --- */

static void listed(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;
	struct command *c = &ask->command;
	uint64_t next = c->out.next;
	struct reply reply;

	if (c->outcome != OUTCOME_OK) {
		enum outcome outcome = c->outcome;

		command_answer_deinit(c);
		call_outcome(ex, outcome);
		return;
	}
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "jobs");
	json_open(out, '[');
	/* However much jobs have to say, a page stays a page. */
	for (size_t i = 0; i < c->out.view_count; i++) {
		job_json(out, c->out.views[i]);
		if (out->len >= LIST_BYTES && i + 1 < c->out.view_count) {
			next = c->out.views[i]->number;
			break;
		}
	}
	json_close(out, ']');
	page_next_json(out, next);
	json_close(out, '}');
	command_answer_deinit(c);
	reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

/* "ready", or several: "ready,running". */
static int states_parse(struct slice text, unsigned *ret_mask)
{
	unsigned mask = 0;

	while (text.len) {
		enum job_state state;

		if (job_state_from(slice_cut(&text, ','), &state))
			return -EINVAL;
		mask |= 1u << state;
	}
	*ret_mask = mask;
	return mask ? 0 : -EINVAL;
}

void list_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_LIST, listed);
	uint64_t limit = LIST_DEFAULT;
	struct slice text;
	bool found;

	(void)params;
	if (!ask || !input_query(ex, "queue", &text, &found))
		return;
	if (found && !queue_is_valid(text)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "queue is not a name of a queue.");
		return;
	}
	if (found)
		ask->command.in.list.queue = text;
	if (!input_query(ex, "state", &text, &found))
		return;
	if (found && states_parse(text, &ask->command.in.list.state_mask)) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "state is one of delayed, ready, offered, running, done, failed, canceled, or several with commas.");
		return;
	}
	if (!input_query_u64(ex, "limit", 1, &limit) || !input_query_u64(ex, "after", 0, &ask->command.in.list.after))
		return;
	ask->command.in.list.limit = limit > COMMAND_LIST_MAX ? COMMAND_LIST_MAX : (uint32_t)limit;
	ask_send(ex, ask);
}
