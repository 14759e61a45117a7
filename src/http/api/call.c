/* Asking the sequencer, and answering whoever asked us. */
#include "http/api/api_priv.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

/* --- asking --- */

struct ask *ask_new(struct exchange *ex, enum command_kind kind, void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct ask *ask = arena_zalloc(&ex->arena, sizeof(*ask));

	if (!ask) {
		call_no_memory(ex);
		return NULL;
	}
	ask->command.kind = kind;
	ask->command.owner = ex;
	ask->answered = answered;
	ask->told_s = WAIT_UNTOLD;
	return ask;
}

void ask_send(struct exchange *ex, struct ask *ask)
{
	struct api_thread *api = api_of(ex);

	ENSURE(!(call_of(ex)->flags & CALL_ASKING));
	call_of(ex)->flags |= CALL_ASKING;
	api->config.send(api->ctx, &ask->command);
}

void *ask_own(size_t bytes, enum command_kind kind, void (*own)(struct api_thread *api, struct ask *ask))
{
	struct ask *ask = mem_zalloc(bytes);

	if (!ask)
		return NULL;
	ask->command.kind = kind;
	ask->own = own;
	return ask;
}

void ask_send_own(struct api_thread *api, struct ask *ask)
{
	list_push_back(&api->asks, &ask->peers);
	api->config.send(api->ctx, &ask->command);
}

void blob_let_go(struct api_thread *api, const struct body_ref *blob)
{
	struct blob_release *release;

	if (blob->kind != BODY_BLOB)
		return;
	release = mem_zalloc(sizeof(*release));
	if (!release)
		return; /* nothing names it: the next start removes it */
	release->message.kind = MESSAGE_RELEASE;
	release->blob = *blob;
	api->config.send_message(api->ctx, &release->message);
}

/* --- answering --- */

void wait_count(struct api_thread *api, enum wait_kind kind, int by)
{
	uint64_t *const parked[] = {
		[WAIT_JOB] = &api->stats.parked_job,       [WAIT_RESULT] = &api->stats.parked_result,
		[WAIT_SUBMIT] = &api->stats.parked_submit, [WAIT_CLAIM] = &api->stats.parked_claim,
		[WAIT_MANY] = &api->stats.parked_many,     [WAIT_STREAM] = &api->stats.parked_stream,
		[WAIT_SSE] = &api->stats.parked_stream,    [WAIT_PICK] = &api->stats.parked_stream,
	};

	*parked[kind] += (uint64_t)(int64_t)by;
}

void call_answer(struct exchange *ex, const struct answer *answer)
{
	if (!(call_of(ex)->flags & CALL_GONE)) {
		exchange_answer(ex, answer);
		return;
	}
	if (answer->pin)
		answer->pin->ops->unpin(answer->pin);
	exchange_done(ex);
}

void call_park(struct exchange *ex, uint64_t timeout_ms)
{
	exchange_park(ex, timeout_ms);
}

/* In the shape that the Durable Streams protocol has for errors about subscriptions, beside ours. */
static void reply_coded(struct reply *reply, struct buf *out, const struct problem_row *row, struct slice detail)
{
	reply->answer.status = row->status;
	buf_clear(out);
	json_open(out, '{');
	problem_members(out, row, row->status, detail);
	json_key(out, "error");
	json_open(out, '{');
	json_key(out, "code");
	json_str(out, slice_str(row->code));
	json_key(out, "message");
	json_str(out, detail);
	json_close(out, '}');
	json_close(out, '}');
	reply_json(reply, out);
	if (row->status == 401)
		reply_header(reply, SLICE("WWW-Authenticate"), SLICE("Bearer"));
}

void call_problem(struct exchange *ex, enum problem problem, const char *detail_fmt, ...)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;
	char detail[512];
	va_list args;

	va_start(args, detail_fmt);
	vsnprintf(detail, sizeof(detail), detail_fmt, args);
	va_end(args);
	reply_init(&reply, 0);
	if (route_is_stream(call_of(ex)->route) || route_is_subscription(call_of(ex)->route))
		stream_reply_headers(&reply);
	if (route_is_subscription(call_of(ex)->route) && problems[problem].code)
		reply_coded(&reply, out, &problems[problem], slice_str(detail));
	else
		reply_problem(&reply, out, problem, detail);
	reply_send(ex, &reply, out);
}

void call_outcome(struct exchange *ex, enum outcome outcome)
{
	static const char *const details[OUTCOME_COUNT] = {
		[OUTCOME_NOT_FOUND] = "There is no such job.",
		[OUTCOME_GONE] = "The job is past its retention.",
		[OUTCOME_FENCED] = "The Job-Token is not that of the job's present lease.",
		[OUTCOME_CONFLICT] = "The job is done or failed already, or its name belongs to a different request.",
		[OUTCOME_MISMATCH] = "The Idempotency-Key was used for a request with another body, type or settings.",
		[OUTCOME_CANCELED] = "The job was canceled; nobody wants its result.",
		[OUTCOME_ALREADY] = "The job has ended already, and not like this.",
		[OUTCOME_QUEUE_FULL] = "The queue holds as many jobs as it may (max-queue-jobs).",
		[OUTCOME_FULL] = "The server holds as many jobs, queues or waiting claims as it may.",
		[OUTCOME_NO_SPACE] = "There is no room on the server's disk for new work.",
		[OUTCOME_STORAGE] = "The journal could not be written; the server is about to stop.",
		[OUTCOME_NO_MEMORY] = "The server is short of memory; nothing was changed.",
		[OUTCOME_DRAINING] = "The server is leaving and hands out no more work.",
	};
	const char *detail = details[outcome];

	call_problem(ex, problem_of_outcome(outcome), "%s", detail ? detail : "");
}

/* Says it without needing memory of its own. */
void call_no_memory(struct exchange *ex)
{
	static const char text[] = "{\"type\":\"/problems/server-full\",\"title\":\"The server is full\",\"status\":503,"
				   "\"detail\":\"The server is short of memory; nothing was changed.\"}";
	static const struct answer_header retry = {{"Retry-After", 11}, {"1", 1}};

	call_answer(ex, &(struct answer){
				.status = 503,
				.content_type = SLICE("application/problem+json"),
				.headers = &retry,
				.header_count = 1,
				.body = slice_from(text, sizeof(text) - 1),
			});
}

/* --- replies --- */

void reply_init(struct reply *reply, int status)
{
	reply->answer = (struct answer){.status = status, .headers = reply->headers};
	reply->text_used = 0;
}

void reply_header(struct reply *reply, struct slice name, struct slice value)
{
	ENSURE(reply->answer.header_count < REPLY_HEADERS_MAX);
	reply->headers[reply->answer.header_count++] = (struct answer_header){name, value};
}

void reply_header_fmt(struct reply *reply, struct slice name, const char *fmt, ...)
{
	char *at = reply->text + reply->text_used;
	size_t room = sizeof(reply->text) - reply->text_used;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(at, room, fmt, args);
	va_end(args);
	ENSURE(len >= 0 && (size_t)len < room);
	reply->text_used += (size_t)len + 1;
	reply_header(reply, name, slice_from(at, (size_t)len));
}

void reply_header_time(struct reply *reply, struct slice name, uint64_t unix_ms)
{
	char text[TEXT_TIME_BYTES];
	struct slice time = text_time(unix_ms, text);

	reply_header_fmt(reply, name, "%.*s", (int)time.len, time.ptr);
}

void reply_wait(struct reply *reply, uint16_t told_s)
{
	if (told_s != WAIT_UNTOLD)
		reply_header_fmt(reply, SLICE("Preference-Applied"), "wait=%u", told_s);
}

void reply_json(struct reply *reply, const struct buf *json)
{
	reply->answer.content_type = SLICE("application/json");
	reply->answer.body = buf_slice(json);
}

void reply_problem(struct reply *reply, struct buf *out, enum problem problem, const char *detail)
{
	const struct problem_row *row = &problems[problem];

	if (!reply->answer.status)
		reply->answer.status = row->status;
	buf_clear(out);
	problem_json(out, row, reply->answer.status, slice_str(detail));
	reply->answer.content_type = SLICE("application/problem+json");
	reply->answer.body = buf_slice(out);
	if (row->retry_after_s)
		reply_header_fmt(reply, SLICE("Retry-After"), "%d", row->retry_after_s);
}

enum { OUT_KEEP_BYTES = 256 * 1024 };

void reply_send(struct exchange *ex, struct reply *reply, const struct buf *out)
{
	struct api_thread *api = api_of(ex);

	if (!out || !out->failed) {
		call_answer(ex, &reply->answer);
	} else {
		if (reply->answer.pin)
			reply->answer.pin->ops->unpin(reply->answer.pin);
		call_no_memory(ex);
	}
	if (api->out.cap > OUT_KEEP_BYTES)
		buf_deinit(&api->out);
}

void ask_answer_json(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	command_answer_deinit(&ask->command);
	reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

void ask_answer_done(struct exchange *ex, struct ask *ask)
{
	struct reply reply;

	command_answer_deinit(&ask->command);
	reply_init(&reply, 204);
	reply_send(ex, &reply, NULL);
}
