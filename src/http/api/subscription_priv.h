/* Inside src/http/api only: what the files about subscriptions share (Durable Streams protocol §6, §7).
 *
 * subscription.c makes, tells, changes and deletes them; subscription_work.c is for those who do the work: claim, ack, release,
 * callback. subscription_input.c reads what they send, subscription_json.c writes what they are told, and hook.c is a webhook's
 * part of both. */
#pragma once

#include "http/api/json_in.h"
#include "http/api/stream_priv.h"

enum {
	SUBSCRIPTION_ITEMS_MAX = 1000, /* streams or acks of one request */
	SUBSCRIPTION_TOLD_MAX = 1000,  /* of more streams a wake tells only those that have something */
};

/* --- subscription_input.c --- */

/* Pure: what the bodies mean; ids, tokens and origin are not in them. */
void subscription_read(struct json_in *in, struct subscription_in *request);
void subscription_streams_read(struct json_in *in, struct subscription_in *request);
void subscription_claim_read(struct json_in *in, struct subscription_claim_in *request);
void subscription_ack_read(struct json_in *in, struct subscription_ack_in *request);

/* False: it makes no sense, and that has been answered. */
bool input_subscription_id(struct exchange *ex, struct slice id);
bool input_bearer(struct exchange *ex, struct slice *ret_token);

/* --- subscription_json.c --- */

/* `origin`: by which address the client came; `kid`: of the key that signs webhooks. */
void subscription_json(struct buf *out, const struct subscription_view *view, struct slice origin, const char *kid);
/* `whole`: with what a worker needs to begin. */
void subscription_streams_json(struct buf *out, const struct subscription_view *view, bool whole);
void subscription_claim_json(struct buf *out, const struct subscription_view *view);
/* As a JSON string: what is below a subscription, or, without an id, below __ds. */
void subscription_url(struct buf *out, struct slice origin, struct slice id, const char *below);
/* What is refused, in the protocol's shape, with the problem's members beside it. */
void subscription_outcome(struct exchange *ex, enum outcome outcome);
void subscription_answer_busy(struct exchange *ex, const struct subscription_view *view);
