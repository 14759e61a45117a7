/* /v1/stream/__ds/…: subscriptions are made, told, changed and deleted (Durable Streams protocol §6). */
#include "http/api/subscription_priv.h"

#include "http/api/hook_sign.h"
#include "http/api/hook_url.h"
#include "http/codec/uri.h"

#include <errno.h>

/* A subscription's id in the path, and a command about it. NULL: that has been answered. */
static struct ask *subscription_ask(struct exchange *ex, struct slice id, enum command_kind kind,
				    void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct ask *ask = input_subscription_id(ex, id) ? ask_new(ex, kind, answered) : NULL;

	if (ask)
		ask->command.in.subscription = (struct subscription_in){.id = id};
	return ask;
}

static void told(struct exchange *ex, struct ask *ask)
{
	struct api_thread *api = api_of(ex);
	struct command *c = &ask->command;
	struct subscription_view *view = c->out.subscription;
	enum outcome outcome = c->outcome;
	char kid[HOOK_KID_CHARS + 1] = "";
	struct buf *out = &api->out;
	struct reply reply;
	int r = 0;

	c->out.subscription = NULL;
	command_answer_deinit(c);
	if ((outcome != OUTCOME_OK && outcome != OUTCOME_SAME) || !view) {
		subscription_view_free(view);
		subscription_outcome(ex, outcome);
		return;
	}
	if (view->type == SUBSCRIPTION_WEBHOOK)
		r = hook_kid(api->config.hook_signer, kid);
	buf_clear(out);
	subscription_json(out, view, c->in.subscription.origin, kid);
	subscription_view_free(view);
	if (r) {
		call_no_memory(ex);
		return;
	}
	stream_reply_init(&reply, c->kind == COMMAND_SUB_CREATE && outcome == OUTCOME_OK ? 201 : 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

static void done(struct exchange *ex, struct ask *ask)
{
	enum outcome outcome = ask->command.outcome;
	struct reply reply;

	command_answer_deinit(&ask->command);
	if (outcome != OUTCOME_OK && outcome != OUTCOME_SAME) {
		subscription_outcome(ex, outcome);
		return;
	}
	stream_reply_init(&reply, 204);
	reply_send(ex, &reply, NULL);
}

/* --- PUT --- */

void subscription_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = subscription_ask(ex, params[0], COMMAND_SUB_CREATE, told);

	if (!ask || !input_origin(ex, &ask->command.in.subscription.origin))
		return;
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

static bool webhook_is_fine(struct exchange *ex, const struct subscription_in *in)
{
	enum hook_reach reach;
	const char *why;
	int r = hook_url_judge(in->url, api_of(ex)->config.hook_allow, &reach, &why);

	if (r == -ENOMEM)
		call_no_memory(ex);
	else if (r)
		call_problem(ex, PROBLEM_WEBHOOK_URL, "webhook.url is refused: %s.", why);
	else if (!in->origin.len || in->origin.len > SUBSCRIPTION_ORIGIN_MAX)
		call_problem(ex, PROBLEM_BAD_REQUEST, "Host must tell in at most %d bytes where the webhook is to call back.",
			     SUBSCRIPTION_ORIGIN_MAX);
	else
		return true;
	return false;
}

void subscription_create_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct subscription_in *in = &ask->command.in.subscription;
	struct json_in json;

	json_in_open(&json, &ex->arena, body->bytes, false);
	subscription_read(&json, in);
	if (json_in_answer(ex, &json) && (in->type != SUBSCRIPTION_WEBHOOK || webhook_is_fine(ex, in)))
		ask_send(ex, ask);
}

/* --- GET, DELETE --- */

void subscription_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = subscription_ask(ex, params[0], COMMAND_SUB_GET, told);

	if (ask && input_origin(ex, &ask->command.in.subscription.origin))
		ask_send(ex, ask);
}

/* Deleting what is not there is deleting, too. */
static void deleted(struct exchange *ex, struct ask *ask)
{
	if (ask->command.outcome == OUTCOME_NOT_FOUND)
		ask->command.outcome = OUTCOME_OK;
	done(ex, ask);
}

void subscription_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = subscription_ask(ex, params[0], COMMAND_SUB_DELETE, deleted);

	if (ask)
		ask_send(ex, ask);
}

/* --- explicit links --- */

void subscription_link_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = subscription_ask(ex, params[0], COMMAND_SUB_LINK, done);

	if (!ask)
		return;
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void subscription_link_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct subscription_in *in = &ask->command.in.subscription;
	struct json_in json;

	json_in_open(&json, &ex->arena, body->bytes, false);
	subscription_streams_read(&json, in);
	json_in_need(&json, in->stream_count > 0, "streams");
	if (json_in_answer(ex, &json))
		ask_send(ex, ask);
}

/* The path's slashes may be encoded here: clients encode it as one segment. */
void subscription_unlink_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct slice *path = arena_alloc(&ex->arena, sizeof(*path)), id;
	struct ask *ask;
	int r = path ? uri_decode(params[0], &ex->arena, &id) : -ENOMEM;

	if (!r)
		r = uri_decode(params[1], &ex->arena, path);
	if (r == -ENOMEM) {
		call_no_memory(ex);
		return;
	}
	if (r || !stream_path_is_valid(*path)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "That is no path of a stream.");
		return;
	}
	ask = subscription_ask(ex, id, COMMAND_SUB_UNLINK, done);
	if (!ask)
		return;
	ask->command.in.subscription.streams = path;
	ask->command.in.subscription.stream_count = 1;
	ask_send(ex, ask);
}

/* --- the key --- */

void jwks_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct api_thread *api = api_of(ex);
	struct buf *out = &api->out;
	struct reply reply;

	(void)params;
	buf_clear(out);
	if (hook_jwks(api->config.hook_signer, out)) {
		call_no_memory(ex);
		return;
	}
	stream_reply_init(&reply, 200);
	reply_header(&reply, SLICE("Cache-Control"), SLICE("public, max-age=300"));
	reply_json(&reply, out);
	reply.answer.content_type = SLICE("application/jwk-set+json");
	reply.answer.flags = EXCHANGE_CACHEABLE;
	reply_send(ex, &reply, out);
}
