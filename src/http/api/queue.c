/* Queues: their figures, pause and resume, dead letters made ready again. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "http/api/json_in.h"

static bool queue_param(struct exchange *ex, struct slice name)
{
	if (queue_is_valid(name))
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST, "That is not a name of a queue.");
	return false;
}

/* True when there was an error, and it has been answered. */
static bool refused(struct exchange *ex, struct ask *ask)
{
	enum outcome outcome = ask->command.outcome;

	if (outcome == OUTCOME_OK)
		return false;
	command_answer_deinit(&ask->command);
	if (outcome == OUTCOME_NOT_FOUND)
		call_problem(ex, PROBLEM_NOT_FOUND, "Nobody uses a queue of that name.");
	else
		call_outcome(ex, outcome);
	return true;
}

static void json_sent(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	command_answer_deinit(&ask->command);
	reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

static void queues_told(struct exchange *ex, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct buf *out = &api_of(ex)->out;

	if (refused(ex, ask))
		return;
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "queues");
	json_open(out, '[');
	for (size_t i = 0; i < c->out.queue_count; i++)
		queue_json(out, &c->out.queues[i]);
	json_close(out, ']');
	json_key(out, "next");
	if (c->out.next)
		json_str(out, c->out.queues[c->out.queue_count - 1].name);
	else
		json_nil(out);
	json_close(out, '}');
	json_sent(ex, ask);
}

void queues_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_QUEUES, queues_told);
	uint64_t limit = COMMAND_QUEUES_MAX;
	bool found;

	(void)params;
	if (!ask || !input_query(ex, "after", &ask->command.in.queues.after, &found) || !input_query_u64(ex, "limit", 1, &limit))
		return;
	ask->command.in.queues.limit = limit > COMMAND_QUEUES_MAX ? COMMAND_QUEUES_MAX : (uint32_t)limit;
	ask_send(ex, ask);
}

static void queue_told(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;

	if (refused(ex, ask))
		return;
	buf_clear(out);
	queue_json(out, &ask->command.out.queues[0]);
	json_sent(ex, ask);
}

static struct ask *queue_ask(struct exchange *ex, struct slice name, enum command_kind kind)
{
	struct ask *ask = queue_param(ex, name) ? ask_new(ex, kind, queue_told) : NULL;

	if (ask)
		ask->command.in.queue.queue = name;
	return ask;
}

void queue_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = queue_ask(ex, params[0], COMMAND_QUEUE);

	if (ask)
		ask_send(ex, ask);
}

/* --- PATCH --- */

void queue_set_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = queue_ask(ex, params[0], COMMAND_QUEUE_SET);

	call_of(ex)->ask = ask;
	if (ask)
		exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void queue_set_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, false);
	pause_read(&in, &ask->command.in.queue.paused);
	if (json_in_answer(ex, &in))
		ask_send(ex, ask);
}

/* --- kick --- */

static void kicked(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;

	if (refused(ex, ask))
		return;
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "kicked");
	json_u64(out, ask->command.out.count);
	json_close(out, '}');
	json_sent(ex, ask);
}

void kick_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = queue_param(ex, params[0]) ? ask_new(ex, COMMAND_KICK, kicked) : NULL;

	if (!ask)
		return;
	ask->command.in.kick.queue = params[0];
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}

void kick_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, true);
	kick_read(&in, &ask->command.in.kick.count);
	if (json_in_answer(ex, &in))
		ask_send(ex, ask);
}
