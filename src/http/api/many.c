/* POST /v1/jobs/wait: any or all of many handles. One place on the board for each, whoever is over first or last ends the wait.
 */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "base/mem.h"
#include "http/api/json_in.h"

#include <errno.h>

/* Of one thread together, so that no number of clients can make us keep more than some tens of megabytes. */
enum { MANY_ITEMS_MAX = 250000 };

enum item_state { ITEM_PENDING, ITEM_OVER, ITEM_MISSING };

struct many_item {
	struct waiter waiter;
	struct many *many;
	struct job_view *view; /* ITEM_OVER: one reference */
	struct slice id;
	uint8_t state;
};

struct many {
	struct exchange *ex;
	size_t count, over_count;
	uint16_t told_s;
	bool all;
	struct many_item items[]; /* the ids' characters behind them */
};

static bool is_over(const struct many *many)
{
	return many->all ? many->over_count == many->count : many->over_count > 0;
}

void many_free(struct exchange *ex)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	struct many *many = call->many;

	for (size_t i = 0; i < many->count; i++) {
		waiter_remove(api, &many->items[i].waiter);
		job_view_unref(many->items[i].view);
	}
	if (call->flags & CALL_BOARD)
		wait_count(api, WAIT_MANY, -1);
	call->flags &= (uint8_t)~CALL_BOARD;
	api->many_items -= many->count;
	call->many = mem_free(many);
}

static void ids_json(struct buf *out, const char *key, const struct many *many, enum item_state state)
{
	json_key(out, key);
	json_open(out, '[');
	for (size_t i = 0; i < many->count; i++) {
		if (many->items[i].state == state)
			json_str(out, many->items[i].id);
	}
	json_close(out, ']');
}

void many_answer(struct exchange *ex)
{
	struct many *many = call_of(ex)->many;
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	buf_clear(out);
	json_open(out, '{');
	json_key(out, "jobs");
	json_open(out, '[');
	for (size_t i = 0; i < many->count; i++) {
		if (many->items[i].state == ITEM_OVER)
			job_json(out, many->items[i].view);
	}
	json_close(out, ']');
	ids_json(out, "pending", many, ITEM_PENDING);
	ids_json(out, "missing", many, ITEM_MISSING);
	json_key(out, "done");
	json_bool(out, is_over(many));
	json_close(out, '}');
	reply_init(&reply, 200);
	reply_wait(&reply, many->told_s);
	reply_json(&reply, out);
	many_free(ex);
	reply_send(ex, &reply, out);
}

static void item_ends(struct many_item *item, struct job_view *view)
{
	item->state = view ? ITEM_OVER : ITEM_MISSING;
	item->view = view;
	item->many->over_count++;
}

void many_item_over(struct api_thread *api, struct waiter *waiter, struct job_view *view)
{
	struct many_item *item = container_of(waiter, struct many_item, waiter);
	struct many *many = item->many;

	waiter_remove(api, waiter);
	item_ends(item, view ? job_view_ref(view) : NULL);
	if (!is_over(many))
		return;
	api->stats.answered_total++;
	exchange_unpark(many->ex);
	many_answer(many->ex);
}

/* --- the beginning --- */

/* Takes over what the look found. 0 or -ENOMEM. */
static int many_fill(struct many *many, struct command *c)
{
	for (size_t i = 0; i < many->count; i++) {
		struct many_item *item = &many->items[i];
		enum outcome outcome = c->out.outcomes[i];

		if (outcome == OUTCOME_NO_MEMORY)
			return -ENOMEM;
		if (outcome == OUTCOME_PARKED) {
			item->waiter.wait.key = c->out.views[i]->key;
			continue;
		}
		item_ends(item, outcome == OUTCOME_OK ? c->out.views[i] : NULL);
		if (outcome == OUTCOME_OK)
			c->out.views[i] = NULL;
	}
	return 0;
}

static int many_hang(struct api_thread *api, struct many *many)
{
	for (size_t i = 0; i < many->count; i++) {
		struct many_item *item = &many->items[i];

		if (item->state == ITEM_PENDING && !waiter_add(api, &item->waiter, item->waiter.wait.key))
			return -ENOMEM;
	}
	return 0;
}

static void many_looked(struct exchange *ex, struct ask *ask)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	struct many *many = call->many;
	struct command *c = &ask->command;
	enum outcome outcome = c->outcome;
	int r = c->out.outcomes ? many_fill(many, c) : -EIO;

	command_answer_deinit(c);
	if (!r && (is_over(many) || !ask->wait_ms || call->flags & CALL_GONE)) {
		many_answer(ex);
		return;
	}
	if (!r)
		r = many_hang(api, many);
	if (r) {
		many_free(ex);
		call_outcome(ex, r == -ENOMEM ? OUTCOME_NO_MEMORY : outcome);
		return;
	}
	call->waiter.kind = WAIT_MANY;
	call->flags |= CALL_BOARD;
	wait_count(api, WAIT_MANY, 1);
	call_park(ex, ask->wait_ms);
}

static struct many *many_new(struct exchange *ex, const struct wait_request *request)
{
	struct many *many;
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < request->count; i++)
		bytes += request->ids[i].len;
	many = mem_zalloc(sizeof(*many) + request->count * sizeof(many->items[0]) + bytes);
	if (!many)
		return NULL;
	many->ex = ex;
	many->count = request->count;
	many->all = request->all;
	at = (char *)&many->items[many->count];
	for (size_t i = 0; i < many->count; i++) {
		struct many_item *item = &many->items[i];

		item->many = many;
		item->waiter.kind = WAIT_MANY;
		item->waiter.until = UNTIL_DONE;
		item->id = slice_from(at, request->ids[i].len);
		memcpy(at, request->ids[i].ptr, request->ids[i].len);
		at += request->ids[i].len;
	}
	api_of(ex)->many_items += many->count;
	return many;
}

void many_body(struct exchange *ex, const struct request_body *body)
{
	struct api_thread *api = api_of(ex);
	struct wait_request request;
	struct json_in in;
	struct ask *ask;

	json_in_open(&in, &ex->arena, body->bytes, false);
	wait_read(&in, &request);
	if (!json_in_answer(ex, &in))
		return;
	ask = ask_new(ex, COMMAND_JOBS, many_looked);
	if (!ask || !input_wait(ex, ask, request.wait_ms, api->config.default_wait_ms))
		return;
	if (api->many_items + request.count > MANY_ITEMS_MAX) {
		call_problem(ex, PROBLEM_SERVER_FULL, "As many handles are waited for in groups as may be.");
		return;
	}
	call_of(ex)->many = many_new(ex, &request);
	if (!call_of(ex)->many) {
		call_no_memory(ex);
		return;
	}
	call_of(ex)->many->told_s = ask->told_s;
	ask->command.in.jobs = (struct jobs_in){.handles = request.ids, .count = request.count, .watch = ask->wait_ms > 0};
	ask_send(ex, ask);
}
