/* POST /v1/queues/{queue}/jobs, and PUT under a name. */
#include "http/api/api_priv.h"

enum { PRIORITY_DEFAULT = 1000, ATTEMPTS_DEFAULT = 5, LEASE_DEFAULT_MS = 60000 };
#define RETAIN_DEFAULT_MS (24ULL * 3600 * 1000)

/* The job as it is, whatever became of it: for those who did not ask to wait. */
static void accepted(struct exchange *ex, const struct ask *ask, const struct job_view *view)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	buf_clear(out);
	reply_init(&reply, 202);
	reply_wait(&reply, ask->told_s);
	reply_header_fmt(&reply, SLICE("Location"), "/v1/jobs/%.*s", JOB_HANDLE_CHARS, view->handle);
	reply_header(&reply, SLICE("Retry-After"), SLICE("1"));
	job_json(out, view);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

static void refused(struct exchange *ex, enum outcome outcome)
{
	if (outcome == OUTCOME_CONFLICT)
		call_problem(ex, PROBLEM_CONFLICT,
			     "The name belongs to a job that was submitted with another body or other settings.");
	else
		call_outcome(ex, outcome);
}

static void submitted(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct job_view *view = c->out.view;
	enum outcome outcome = c->outcome;

	c->out.view = NULL;
	command_answer_deinit(c);
	if (outcome != OUTCOME_OK)
		blob_let_go(api_of(ex), &c->in.submit.blob);
	if (outcome != OUTCOME_OK && outcome != OUTCOME_SAME)
		refused(ex, outcome);
	else if (!ask->wait_ms)
		accepted(ex, ask, view);
	else if (job_state_is_terminal(view->state))
		look_answer(ex, WAIT_SUBMIT, ask->told_s, view, (struct slice){0});
	else
		wait_park(ex, ask, view, UNTIL_DONE, 0);
	job_view_unref(view);
}

static bool submit_headers(struct exchange *ex, struct submit_in *in)
{
	return input_content_type(ex, (struct slice){0}, &in->content_type) &&
	       input_header_text(ex, "Idempotency-Key", KEY_BYTES_MAX, &in->key) &&
	       input_header_duration(ex, "Job-Delay", 0, UINT64_MAX, &in->delay_ms) &&
	       input_header_duration(ex, "Job-Retain", 0, UINT64_MAX, &in->retain_ms) &&
	       input_header_duration(ex, "Cancel-After", 0, UINT64_MAX, &in->cancel_after_ms) &&
	       input_header_u32(ex, "Job-Priority", 0, &in->priority) &&
	       input_header_u32(ex, "Job-Max-Attempts", 1, &in->max_attempts);
}

static void submit(struct exchange *ex, struct slice queue, struct slice name)
{
	uint64_t lease_ms = LEASE_DEFAULT_MS;
	struct submit_in *in;
	struct ask *ask;

	if (!queue_is_valid(queue)) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "A queue's name is 1 to %d letters, digits, . _ ~ -, and no dot at the start.", NAME_BYTES_MAX);
		return;
	}
	ask = ask_new(ex, COMMAND_SUBMIT, submitted);
	if (!ask)
		return;
	ask->kind = WAIT_SUBMIT;
	in = &ask->command.in.submit;
	*in = (struct submit_in){
		.queue = queue,
		.name = name,
		.retain_ms = RETAIN_DEFAULT_MS,
		.priority = PRIORITY_DEFAULT,
		.max_attempts = ATTEMPTS_DEFAULT,
	};
	if (!submit_headers(ex, in) || !input_header_duration(ex, "Job-Lease", 1, UINT32_MAX, &lease_ms) ||
	    !input_wait(ex, ask, UINT64_MAX, 0))
		return;
	in->lease_ms = (uint32_t)lease_ms;
	in->watch = ask->wait_ms > 0;
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_STORE, api_of(ex)->config.body_bytes);
}

void submit_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	submit(ex, params[0], (struct slice){0});
}

void submit_named_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	if (name_is_valid(params[1]))
		submit(ex, params[0], params[1]);
	else
		call_problem(ex, PROBLEM_BAD_REQUEST, "A job's name is 1 to %d letters, digits, . _ ~ -.", NAME_BYTES_MAX);
}

void submit_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;

	ask->command.in.submit.body = body->bytes;
	ask->command.in.submit.blob = body->blob;
	ask_send(ex, ask);
}
