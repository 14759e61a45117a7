/* Those who do the work of a subscription: claim, ack and release of pull-wake, callback of webhooks (Durable Streams protocol
 * §7). */
#include "http/api/subscription_priv.h"

#include "base/json.h"

/* --- claim --- */

static void claimed(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct subscription_view *view = c->out.subscription;
	enum outcome outcome = c->outcome;
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	c->out.subscription = NULL;
	command_answer_deinit(c);
	if (outcome == OUTCOME_OK && view) {
		buf_clear(out);
		subscription_claim_json(out, view);
		stream_reply_init(&reply, 200);
		reply_json(&reply, out);
		reply_send(ex, &reply, out);
	} else if (outcome == OUTCOME_BUSY && view) {
		subscription_answer_busy(ex, view);
	} else {
		subscription_outcome(ex, outcome);
	}
	subscription_view_free(view);
}

void subscription_claim_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = input_subscription_id(ex, params[0]) ? ask_new(ex, COMMAND_SUB_CLAIM, claimed) : NULL;

	if (!ask)
		return;
	ask->command.in.subscription_claim.id = params[0];
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void subscription_claim_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct json_in json;

	json_in_open(&json, &ex->arena, body->bytes, false);
	subscription_claim_read(&json, &ask->command.in.subscription_claim);
	if (json_in_answer(ex, &json))
		ask_send(ex, ask);
}

/* --- ack, release, callback --- */

static void acked(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct buf *out = &api_of(ex)->out;
	bool next_wake = c->out.next_wake;
	struct reply reply;

	command_answer_deinit(c);
	if (c->outcome != OUTCOME_OK) {
		subscription_outcome(ex, c->outcome);
		return;
	}
	if (c->kind == COMMAND_SUB_RELEASE) {
		stream_reply_init(&reply, 204);
		reply_send(ex, &reply, NULL);
		return;
	}
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "ok");
	json_bool(out, true);
	json_key(out, "next_wake");
	json_bool(out, next_wake);
	json_close(out, '}');
	stream_reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

static void ack_head(struct exchange *ex, struct slice id, enum command_kind kind, bool callback)
{
	struct subscription_ack_in *in;
	struct ask *ask;

	if (!input_subscription_id(ex, id))
		return;
	ask = ask_new(ex, kind, acked);
	if (!ask)
		return;
	in = &ask->command.in.subscription_ack;
	*in = (struct subscription_ack_in){.id = id, .callback = callback};
	if (!input_bearer(ex, &in->token))
		return;
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void subscription_ack_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	ack_head(ex, params[0], COMMAND_SUB_ACK, false);
}

void subscription_callback_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	ack_head(ex, params[0], COMMAND_SUB_ACK, true);
}

void subscription_release_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	ack_head(ex, params[0], COMMAND_SUB_RELEASE, false);
}

void subscription_ack_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct json_in json;

	json_in_open(&json, &ex->arena, body->bytes, false);
	subscription_ack_read(&json, &ask->command.in.subscription_ack);
	if (json_in_answer(ex, &json))
		ask_send(ex, ask);
}
