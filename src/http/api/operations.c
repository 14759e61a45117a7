/* What operators ask: alive, ready, figures, limits; and what a problem's name means. */
#include "http/api/api_priv.h"

#include "base/json.h"

static void text(struct exchange *ex, int status, struct slice body)
{
	call_answer(ex, &(struct answer){.status = status, .content_type = SLICE("text/plain; charset=utf-8"), .body = body});
}

void health_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	(void)params;
	text(ex, 200, SLICE("alive\n"));
}

void ready_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	const struct api_thread *api = api_of(ex);

	(void)params;
	if (api->config.ready(api->ctx))
		text(ex, 200, SLICE("ready\n"));
	else if (api->config.draining(api->ctx))
		call_problem(ex, PROBLEM_DRAINING, "The server is leaving.");
	else
		call_problem(ex, PROBLEM_SERVER_FULL, "The server is not ready yet.");
}

void metrics_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct api_thread *api = api_of(ex);
	struct reply reply;

	(void)params;
	buf_clear(&api->out);
	api->config.metrics(api->ctx, &api->out);
	reply_init(&reply, 200);
	reply.answer.content_type = SLICE("text/plain; version=0.0.4; charset=utf-8");
	reply.answer.body = buf_slice(&api->out);
	reply_send(ex, &reply, &api->out);
}

void info_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct api_thread *api = api_of(ex);
	struct buf *out = &api->out;
	struct reply reply;

	(void)params;
	buf_clear(out);
	json_open(out, '{');
	json_key(out, "name");
	json_str(out, SLICE("bide"));
	json_key(out, "version");
	json_str(out, slice_str(api->config.version));
	api->config.info(api->ctx, out);
	json_close(out, '}');
	reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

void problem_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	const struct problem_row *row = problem_find(params[0]);
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	if (!row) {
		call_problem(ex, PROBLEM_NOT_FOUND, "There is no problem of that name.");
		return;
	}
	buf_clear(out);
	buf_printf(out, "%s (%d): %s.\n\n%s\n", row->name, row->status, row->title, row->advice);
	reply_init(&reply, 200);
	reply.answer.content_type = SLICE("text/plain; charset=utf-8");
	reply.answer.body = buf_slice(out);
	reply.answer.flags = EXCHANGE_CACHEABLE;
	reply_send(ex, &reply, out);
}
