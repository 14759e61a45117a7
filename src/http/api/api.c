/* The door of one loop thread: its life, what the engine calls, what the sequencer sends. */
#include "http/api/api_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "http/api/json_in.h"
#include "http/exchange/http_thread.h"

#include <errno.h>

struct api_thread *api_thread_new(unsigned index, const struct api_config *config, void *ctx)
{
	struct api_thread *api = mem_zalloc(sizeof(*api));
	/* Only jobs that exist are hung on the board, and their keys look like chance already. */
	const struct hash_key key = {index, (uint64_t)(uintptr_t)api};

	if (!api)
		return NULL;
	json_in_init();
	api->config = *config;
	api->ctx = ctx;
	api->index = index;
	api->look.expired = deliveries_look;
	list_init(&api->asks);
	list_init(&api->deliveries);
	list_init(&api->deliveries_over);
	board_init(&api->board, &key);
	board_init(&api->streams, &key);
	return api;
}

struct api_thread *api_thread_free(struct api_thread *api)
{
	if (!api)
		return NULL;
	deliveries_free(api);
	/* Nobody will answer them any more. */
	list_each_safe (node, &api->asks)
		mem_free(container_of(node, struct ask, peers));
	board_deinit(&api->board);
	board_deinit(&api->streams);
	buf_deinit(&api->out);
	buf_deinit(&api->made.bytes);
	return mem_free(api);
}

void api_thread_configure(struct api_thread *api, const struct api_config *config)
{
	api->config = *config;
}

void api_thread_stats(const struct api_thread *api, struct api_stats *ret_stats)
{
	*ret_stats = api->stats;
}

/* --- what the engine calls --- */

static void on_head(struct exchange *ex)
{
	route_head(ex);
}

static void on_body(struct exchange *ex, const struct request_body *body)
{
	call_of(ex)->route->body(ex, body);
}

static void on_body_failed(struct exchange *ex, int error)
{
	if (error == STORE_NO_SPACE)
		call_outcome(ex, OUTCOME_NO_SPACE);
	else if (error == -ENOMEM)
		call_no_memory(ex);
	else
		call_outcome(ex, OUTCOME_STORAGE);
}

static void on_deadline(struct exchange *ex)
{
	if (call_of(ex)->flags & CALL_CLAIMED)
		claim_cancel(ex);
	else
		wait_expired(ex);
}

static void on_gone(struct exchange *ex)
{
	struct call *call = call_of(ex);

	if (call->flags & (CALL_BOARD | CALL_CLAIMED))
		api_of(ex)->stats.gone_total++;
	call->flags |= CALL_GONE;
	if (call->flags & CALL_ASKING)
		return; /* what comes back finds it gone */
	if (call->flags & CALL_CLAIMED) {
		claim_cancel(ex);
		return;
	}
	if (call->flags & CALL_DELIVERY)
		delivery_ended(ex, false);
	else if (call->flags & CALL_BOARD && call->waiter.kind == WAIT_MANY)
		many_free(ex);
	else if (call->flags & CALL_SSE)
		stream_sse_gone(ex);
	else {
		stream_wait_left(ex);
		wait_leave(ex);
	}
	exchange_done(ex);
}

static void on_written(struct exchange *ex)
{
	if (call_of(ex)->flags & CALL_DELIVERY)
		delivery_ended(ex, true);
}

static void on_drained(struct exchange *ex)
{
	if (call_of(ex)->flags & CALL_SSE)
		stream_sse_drained(ex);
}

static void on_problem(struct buf *out, int status, const char *name, const char *detail)
{
	const struct problem_row *row = problem_find(slice_str(name));

	problem_json(out, row ? row : &problems[PROBLEM_BAD_REQUEST], status, slice_str(detail));
}

const struct exchange_handler *api_handler(void)
{
	static const struct exchange_handler handler = {
		.on_head = on_head,
		.on_body = on_body,
		.on_body_failed = on_body_failed,
		.on_deadline = on_deadline,
		.on_gone = on_gone,
		.on_written = on_written,
		.on_drained = on_drained,
		.problem = on_problem,
	};

	return &handler;
}

/* --- what the sequencer sends --- */

static void command_back(struct api_thread *api, struct ask *ask)
{
	struct exchange *ex = ask->command.owner;

	if (!ex) {
		list_remove(&ask->peers);
		ask->own(api, ask);
		return;
	}
	call_of(ex)->flags &= (uint8_t)~CALL_ASKING;
	ask->answered(ex, ask);
}

void api_thread_message(struct api_thread *api, struct message *message)
{
	switch ((enum message_kind)message->kind) {
	case MESSAGE_COMMAND:
		command_back(api, container_of(container_of(message, struct command, message), struct ask, command));
		return;
	case MESSAGE_WAKE:
		wait_woken(api, container_of(message, struct wake, message), message->sent_us);
		return;
	case MESSAGE_STREAM_WAKE:
		stream_wait_woken(api, container_of(message, struct stream_wake, message), message->sent_us);
		return;
	case MESSAGE_OFFER:
		claim_offered(api, container_of(message, struct offer, message));
		return;
	case MESSAGE_HOOK:
		api->config.hook(api->ctx, container_of(message, struct hook, message));
		return;
	case MESSAGE_STREAM_LEFT:
	case MESSAGE_STREAM_GREW:
	case MESSAGE_RELEASE:
	case MESSAGE_HTTP:
	case MESSAGE_SERVER:
		break;
	}
	panic_at(__FILE__, __LINE__, "a message that is not the door's");
}

void api_message_drop(struct message *message)
{
	if (message->kind == MESSAGE_COMMAND)
		command_answer_deinit(container_of(message, struct command, message));
	else
		message_free(message);
}

/* --- leaving --- */

struct drain {
	uint64_t count, seen, over_ms, now_ms;
};

static void drain_count(struct exchange *ex, void *ctx)
{
	struct drain *drain = ctx;

	(void)ex;
	drain->count++;
}

/* The i-th of n at i/n of the time, unless its own deadline comes first: n clients do not come back all at once. */
static void drain_one(struct exchange *ex, void *ctx)
{
	struct drain *drain = ctx;
	uint64_t at_ms = drain->over_ms * ++drain->seen / drain->count;
	uint64_t left_ms = ex->deadline.deadline_ms > drain->now_ms ? ex->deadline.deadline_ms - drain->now_ms : 0;

	exchange_park(ex, at_ms < left_ms ? at_ms : left_ms);
}

void api_thread_drain(struct api_thread *api, struct http_thread *http, uint64_t drain_ms)
{
	struct drain drain = {.over_ms = drain_ms, .now_ms = http_thread_now_ms(http)};

	if (api->draining)
		return;
	api->draining = true;
	http_thread_each_parked(http, drain_count, &drain);
	http_thread_each_parked(http, drain_one, &drain);
}

static void fail_one(struct exchange *ex, void *ctx)
{
	struct call *call = call_of(ex);
	struct reply reply;
	struct buf *out = &api_of(ex)->out;

	(void)ctx;
	if (call->flags & CALL_SSE) {
		stream_sse_close(ex);
		return;
	}
	exchange_unpark(ex);
	if (call->flags & CALL_BOARD && call->waiter.kind == WAIT_MANY)
		many_free(ex);
	else if (call->flags & CALL_CLAIMED)
		wait_count(api_of(ex), WAIT_CLAIM, -1);
	else
		wait_leave(ex);
	reply_init(&reply, 0);
	reply_problem(&reply, out, PROBLEM_STORAGE, "The journal failed; the server is about to stop.");
	reply.answer.flags = EXCHANGE_CLOSE;
	reply_send(ex, &reply, out);
}

void api_thread_fail(struct api_thread *api, struct http_thread *http)
{
	api->failed = true;
	api->draining = true;
	http_thread_each_parked(http, fail_one, NULL);
}
