/* A worker about its job: body, beat, done, fail, release. Each word carries the token of its lease. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "http/api/json_in.h"

static struct ask *worker_ask(struct exchange *ex, struct slice handle, enum command_kind kind,
			      void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct slice token;
	struct ask *ask;

	if (!input_handle(ex, handle) || !input_token(ex, &token))
		return NULL;
	ask = ask_new(ex, kind, answered);
	if (!ask)
		return NULL;
	ask->command.in.worker = (struct worker_in){.handle = handle, .token = token, .progress = -1, .delay_ms = UINT64_MAX};
	call_of(ex)->ask = ask;
	return ask;
}

/* The rest of it stands in a JSON body. */
static void json_verb_head(struct exchange *ex, struct slice handle, enum command_kind kind,
			   void (*answered)(struct exchange *ex, struct ask *ask))
{
	if (worker_ask(ex, handle, kind, answered))
		exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

/* Nothing to say but that it is so. Repeated: still so. */
static void acknowledged(struct exchange *ex, struct ask *ask)
{
	enum outcome outcome = ask->command.outcome;

	command_answer_deinit(&ask->command);
	if (outcome == OUTCOME_OK || outcome == OUTCOME_SAME)
		call_answer(ex, &(struct answer){.status = 204});
	else
		call_outcome(ex, outcome);
}

/* --- body --- */

static void body_there(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct job_view *view = c->out.view;
	enum outcome outcome = c->outcome;
	struct reply reply;

	c->out.view = NULL;
	command_answer_deinit(c);
	if (outcome != OUTCOME_OK) {
		call_outcome(ex, outcome);
	} else {
		struct store_pin *pin = view->pin;

		reply_init(&reply, 200);
		reply.answer.content_type = view->content_type;
		reply_header(&reply, SLICE("Accept-Ranges"), SLICE("bytes"));
		view->pin = NULL;
		if (pin)
			pin_answer(ex, &reply, pin, request_header(ex->request, SLICE("Range")));
		else
			reply_send(ex, &reply, NULL);
	}
	job_view_unref(view);
}

void body_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = worker_ask(ex, params[0], COMMAND_BODY, body_there);

	if (ask)
		ask_send(ex, ask);
}

/* --- beat --- */

static void beaten(struct exchange *ex, struct ask *ask)
{
	struct api_thread *api = api_of(ex);
	struct command *c = &ask->command;
	struct reply reply;

	if (c->outcome != OUTCOME_OK) {
		acknowledged(ex, ask);
		return;
	}
	buf_clear(&api->out);
	json_open(&api->out, '{');
	json_key(&api->out, "deadline");
	if (c->out.deadline_ms)
		json_time(&api->out, c->out.deadline_ms);
	else
		json_nil(&api->out);
	json_key(&api->out, "cancel");
	json_bool(&api->out, c->out.cancel);
	json_key(&api->out, "drain");
	json_bool(&api->out, api->draining);
	json_close(&api->out, '}');
	command_answer_deinit(c);
	reply_init(&reply, 200);
	reply_json(&reply, &api->out);
	reply_send(ex, &reply, &api->out);
}

void beat_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	json_verb_head(ex, params[0], COMMAND_BEAT, beaten);
}

void beat_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct worker_in *worker = &ask->command.in.worker;
	struct beat_request request;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, true);
	beat_read(&in, &request);
	if (!json_in_answer(ex, &in))
		return;
	worker->progress = request.progress;
	worker->message = request.message;
	worker->lease_ms = (uint32_t)request.lease_ms;
	ask_send(ex, ask);
}

/* --- done --- */

static void done(struct exchange *ex, struct ask *ask)
{
	if (ask->command.outcome != OUTCOME_OK)
		blob_let_go(api_of(ex), &ask->command.in.worker.blob);
	acknowledged(ex, ask);
}

void done_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = worker_ask(ex, params[0], COMMAND_DONE, done);

	if (ask && input_content_type(ex, SLICE("application/octet-stream"), &ask->command.in.worker.content_type))
		exchange_take_body(ex, BODY_TO_STORE, api_of(ex)->config.body_bytes);
}

void done_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;

	ask->command.in.worker.body = body->bytes;
	ask->command.in.worker.blob = body->blob;
	ask_send(ex, ask);
}

/* --- fail, release --- */

void fail_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	json_verb_head(ex, params[0], COMMAND_FAIL, acknowledged);
}

void fail_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct fail_request request;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, true);
	fail_read(&in, &request);
	if (!json_in_answer(ex, &in))
		return;
	ask->command.in.worker.error = request.error;
	ask->command.in.worker.retry = request.retry;
	ask->command.in.worker.delay_ms = request.delay_ms;
	ask_send(ex, ask);
}

void release_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	json_verb_head(ex, params[0], COMMAND_RELEASE, acknowledged);
}

void release_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, true);
	release_read(&in, &ask->command.in.worker.delay_ms);
	if (json_in_answer(ex, &in))
		ask_send(ex, ask);
}
