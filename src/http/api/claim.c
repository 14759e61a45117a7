/* Workers ask for jobs. A claim that finds none waits in the sequencer, in its queues' lines; the exchange is parked here.
 *
 * When its deadline comes, or its client leaves, the claim is canceled. That may cross an offer which is under way already: then
 * the exchange waits for the offer, and gives it to its client if that is still there, else back. */
#include "http/api/api_priv.h"

#include "http/api/json_in.h"

enum { AWAIT_OFFER_MS = 10000, CANCEL_RETRY_MS = 200 };

static void empty(struct exchange *ex, uint16_t told_s)
{
	struct reply reply;

	reply_init(&reply, 204);
	reply_wait(&reply, told_s);
	reply_send(ex, &reply, NULL);
}

/* --- a claim that waits --- */

static void claim_park(struct exchange *ex, uint64_t wait_ms)
{
	struct call *call = call_of(ex);

	call->waiter.kind = WAIT_CLAIM;
	call->flags |= CALL_CLAIMED;
	call->offer = NULL;
	wait_count(api_of(ex), WAIT_CLAIM, 1);
	if (call->flags & CALL_GONE)
		claim_cancel(ex);
	else
		call_park(ex, wait_ms);
}

/* The claim is over in the sequencer. */
static void claim_ends(struct exchange *ex)
{
	call_of(ex)->flags &= (uint8_t)~CALL_CLAIMED;
	wait_count(api_of(ex), WAIT_CLAIM, -1);
}

static void claim_deliver(struct exchange *ex, struct offer *offer)
{
	struct api_thread *api = api_of(ex);

	claim_ends(ex);
	if (call_of(ex)->flags & CALL_GONE) {
		delivery_lost(api, offer->leases, offer->lease_count, offer);
		exchange_done(ex);
		return;
	}
	exchange_unpark(ex);
	api->stats.answered_total++;
	delivery_begin(ex, offer->leases, offer->lease_count, offer);
}

void claim_offered(struct api_thread *api, struct offer *offer)
{
	struct exchange *ex = (struct exchange *)(uintptr_t)offer->claim_id;

	/* Once the journal has failed everyone was answered, and nobody may hear of new work. */
	if (api->failed)
		message_free(&offer->message);
	else if (call_of(ex)->flags & CALL_ASKING) /* the cancel crosses it */
		call_of(ex)->offer = offer;
	else
		claim_deliver(ex, offer);
}

static void claim_canceled(struct exchange *ex, struct ask *ask)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	uint16_t told_s = call->waiter.told_s;

	command_answer_deinit(&ask->command);
	if (api->failed || ask->command.outcome == OUTCOME_STORAGE) {
		/* Nobody is given work any more, so no offer can be on its way; one that has come is not told. */
		if (call->offer)
			message_free(&call->offer->message);
		claim_ends(ex);
		call_outcome(ex, OUTCOME_STORAGE);
	} else if (ask->command.outcome == OUTCOME_OK) {
		claim_ends(ex);
		if (!(call->flags & CALL_GONE))
			wait_ended(api);
		empty(ex, told_s);
	} else if (call->offer) {
		claim_deliver(ex, call->offer);
	} else if (!(call->flags & CALL_GONE)) {
		call_park(ex, AWAIT_OFFER_MS);
	}
}

void claim_cancel(struct exchange *ex)
{
	struct ask *ask = arena_zalloc(&ex->arena, sizeof(*ask));

	if (!ask) {
		/* Who has left is found out when an offer comes; who has not tries again. */
		if (!(call_of(ex)->flags & CALL_GONE))
			call_park(ex, CANCEL_RETRY_MS);
		return;
	}
	ask->command.kind = COMMAND_CLAIM_CANCEL;
	ask->command.owner = ex;
	ask->command.in.claim_cancel.claim_id = (uint64_t)(uintptr_t)ex;
	ask->answered = claim_canceled;
	ask_send(ex, ask);
}

/* --- the beginning --- */

static void claimed(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	enum outcome outcome = c->outcome;
	struct lease *leases = c->out.leases;
	size_t count = c->out.lease_count;
	uint64_t wait_ms = ask->wait_ms;
	uint16_t told_s = ask->told_s;

	c->out.leases = NULL;
	c->out.lease_count = 0;
	command_answer_deinit(c);
	call_of(ex)->waiter.told_s = told_s;
	if (outcome == OUTCOME_PARKED) {
		claim_park(ex, wait_ms);
	} else if (outcome == OUTCOME_EMPTY) {
		empty(ex, told_s);
	} else if (outcome != OUTCOME_OK) {
		call_outcome(ex, outcome);
	} else if (call_of(ex)->flags & CALL_GONE) {
		delivery_lost(api_of(ex), leases, count, NULL);
		exchange_done(ex);
	} else {
		delivery_begin(ex, leases, count, NULL);
	}
}

static void claim_send(struct exchange *ex, struct ask *ask)
{
	struct claim_in *in = &ask->command.in.claim;

	if (api_of(ex)->draining) {
		call_outcome(ex, OUTCOME_DRAINING);
		return;
	}
	in->wait = ask->wait_ms > 0;
	in->claim_id = (uint64_t)(uintptr_t)ex;
	ask_send(ex, ask);
}

/* POST /v1/queues/{queue}/claim: all in query and headers, for curl and shell. */
void claim_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_CLAIM, claimed);
	struct slice *queue, text;
	struct claim_in *in;
	uint64_t lease_ms = 0;
	bool found;

	if (!ask)
		return;
	in = &ask->command.in.claim;
	if (!queue_is_valid(params[0])) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "That is not a name of a queue.");
		return;
	}
	if (!input_query(ex, "lease", &text, &found))
		return;
	if (found && (input_duration_ms(text, &lease_ms) || lease_ms == 0 || lease_ms > UINT32_MAX)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "lease is a duration like 60s, and not 0.");
		return;
	}
	if (!input_header_text(ex, "Job-Worker", NAME_BYTES_MAX, &in->worker) ||
	    !input_header_text(ex, "Job-Attempt-Id", NAME_BYTES_MAX, &in->attempt_id) ||
	    !input_wait(ex, ask, UINT64_MAX, api_of(ex)->config.default_wait_ms))
		return;
	queue = arena_alloc(&ex->arena, sizeof(*queue));
	if (!queue) {
		call_no_memory(ex);
		return;
	}
	*queue = params[0];
	in->queues = queue;
	in->queue_count = 1;
	in->max = 1;
	in->lease_ms = (uint32_t)lease_ms;
	claim_send(ex, ask);
}

/* POST /v1/claim */
void claim_body(struct exchange *ex, const struct request_body *body)
{
	struct claim_request request;
	struct json_in json;
	struct ask *ask;

	json_in_open(&json, &ex->arena, body->bytes, false);
	claim_read(&json, &request);
	if (!json_in_answer(ex, &json))
		return;
	ask = ask_new(ex, COMMAND_CLAIM, claimed);
	if (!ask || !input_wait(ex, ask, request.wait_ms, api_of(ex)->config.default_wait_ms))
		return;
	call_of(ex)->flags |= CALL_JSON;
	ask->command.in.claim = (struct claim_in){
		.queues = request.queues,
		.queue_count = request.queue_count,
		.worker = request.worker,
		.attempt_id = request.attempt_id,
		.max = request.max,
		.lease_ms = (uint32_t)request.lease_ms,
	};
	claim_send(ex, ask);
}
