/* PUT, POST and DELETE /v1/stream/{path}: streams are made, appended to, closed and removed (Durable Streams protocol §5.1 to
 * §5.4).
 *
 * Whether records are JSON texts is what the request's Content-Type says; that it is the stream's own, too, is the sequencer's to
 * see. */
#include "http/api/stream_priv.h"

/* What every method begins with. NULL: that has been answered. */
static struct ask *stream_ask(struct exchange *ex, struct slice raw, enum command_kind kind,
			      void (*answered)(struct exchange *ex, struct ask *ask), struct slice *ret_path)
{
	if (!input_stream_path(ex, raw, ret_path))
		return NULL;
	return ask_new(ex, kind, answered);
}

/* JSON is held in memory as a whole: what says itself that it is too long for that is refused before it is sent. */
void stream_take_body(struct exchange *ex, struct ask *ask, bool json, uint64_t most_bytes)
{
	uint64_t length = ex->request->content_length;

	if (json && length != UINT64_MAX && length > BODY_INLINE_MAX) {
		call_problem(ex, PROBLEM_TOO_LARGE, "JSON may have %d bytes an append; send its messages in several.",
			     BODY_INLINE_MAX);
		return;
	}
	call_of(ex)->ask = ask;
	exchange_take_body(ex, BODY_TO_STORE, most_bytes);
}

/* --- PUT --- */

/* The stream's URL as the client sees it: an absolute one when it told by which name it came. False: that has been answered. */
static bool reply_location(struct exchange *ex, struct reply *reply)
{
	struct slice origin, path = ex->request->path;
	char *url;

	if (!input_origin(ex, &origin))
		return false;
	url = arena_alloc(&ex->arena, origin.len + path.len);
	if (!url) {
		call_no_memory(ex);
		return false;
	}
	if (origin.len)
		memcpy(url, origin.ptr, origin.len);
	memcpy(url + origin.len, path.ptr, path.len);
	reply_header(reply, SLICE("Location"), slice_from(url, origin.len + path.len));
	return true;
}

static void answer_created(struct exchange *ex, const struct stream_view *view, bool is_new)
{
	struct reply reply;

	stream_reply_init(&reply, is_new ? 201 : 200);
	if (is_new && !(call_of(ex)->flags & CALL_GONE) && !reply_location(ex, &reply))
		return;
	reply.answer.content_type = view->content_type;
	stream_reply_place(&reply, SLICE("Stream-Next-Offset"), view->number, view->next_offset);
	if (view->closed)
		stream_reply_closed(&reply);
	reply_send(ex, &reply, NULL);
}

static void created(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct stream_view *view = c->out.stream;
	enum outcome outcome = c->outcome;

	c->out.stream = NULL;
	command_answer_deinit(c);
	if (outcome != OUTCOME_OK)
		blob_let_go(api_of(ex), &c->in.stream_create.records.blob);
	if ((outcome == OUTCOME_OK || outcome == OUTCOME_SAME) && view)
		answer_created(ex, view, outcome == OUTCOME_OK);
	else if (outcome == OUTCOME_CONFLICT)
		call_problem(
			ex, PROBLEM_CONFLICT,
			"There is a stream at that path with another content type, life or closure than this request asks for.");
	else
		stream_outcome(ex, outcome, view);
	stream_view_unref(view);
}

void stream_create_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct stream_create_in *in;
	struct slice path;
	struct ask *ask = stream_ask(ex, params[0], COMMAND_STREAM_CREATE, created, &path);

	if (!ask)
		return;
	in = &ask->command.in.stream_create;
	*in = (struct stream_create_in){.path = path, .closed = input_closes(ex)};
	if (!input_stream_fork(ex, in) ||
	    !input_content_type(ex, in->source.len ? (struct slice){0} : SLICE("application/octet-stream"), &in->content_type) ||
	    !input_stream_life(ex, in))
		return;
	in->json = type_is_json(in->content_type);
	stream_take_body(ex, ask, in->json, api_of(ex)->config.body_bytes);
}

void stream_create_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct stream_create_in *in = &ask->command.in.stream_create;

	if (!in->content_type.len && (body->blob.kind == BODY_BLOB || body->bytes.len)) {
		blob_let_go(api_of(ex), &body->blob);
		call_problem(ex, PROBLEM_BAD_REQUEST, "Content-Type is missing: a fork's first records have that of its source.");
		return;
	}
	if (records_from_body(ex, body, in->json, (struct slice){0}, true, &in->records))
		ask_send(ex, ask);
}

/* --- POST --- */

/* What an answer says besides the stream. */
struct appended {
	uint32_t woken, partition;
	bool chosen;
};

static void answer_appended(struct exchange *ex, const struct command *c, const struct stream_view *view,
			    const struct appended *told)
{
	const struct stream_append_in *in = &c->in.stream_append;
	bool is_new = c->outcome == OUTCOME_OK;
	struct reply reply;

	/* A producer tells from 200 that its records are new (§5.2.1); closing by itself is 204 whoever does it (§5.3). */
	stream_reply_init(&reply, in->producer.id.len && in->records.count && is_new ? 200 : 204);
	stream_reply_place(&reply, SLICE("Stream-Next-Offset"), view->number, view->next_offset);
	if (view->closed)
		stream_reply_closed(&reply);
	if (in->producer.id.len && view->producer_known) {
		reply_header_fmt(&reply, SLICE("Producer-Epoch"), "%llu", (unsigned long long)view->producer_epoch);
		reply_header_fmt(&reply, SLICE("Producer-Seq"), "%llu", (unsigned long long)view->producer_seq);
	}
	if (c->outcome != OUTCOME_SAME)
		reply_header_fmt(&reply, SLICE("Stream-Woken"), "%u", told->woken);
	if (told->chosen)
		reply_header_fmt(&reply, SLICE("Stream-Partition"), "%u", told->partition);
	reply_send(ex, &reply, NULL);
}

static void answer_stale(struct exchange *ex, const struct stream_view *view)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	stream_reply_init(&reply, 0);
	reply_header_fmt(&reply, SLICE("Producer-Epoch"), "%llu", (unsigned long long)view->producer_epoch);
	reply_problem(&reply, out, PROBLEM_PRODUCER_FENCED, "A later epoch of this producer has written already.");
	reply_send(ex, &reply, out);
}

static void answer_gap(struct exchange *ex, const struct stream_append_in *in, const struct stream_view *view)
{
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	stream_reply_init(&reply, 0);
	reply_header_fmt(&reply, SLICE("Producer-Expected-Seq"), "%llu",
			 view->producer_known ? (unsigned long long)view->producer_seq + 1 : 0ULL);
	reply_header_fmt(&reply, SLICE("Producer-Received-Seq"), "%llu", (unsigned long long)in->producer.seq);
	reply_problem(&reply, out, PROBLEM_PRODUCER_GAP, "An append before this one has not arrived.");
	reply_send(ex, &reply, out);
}

void stream_appended(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	const struct stream_append_in *in = &c->in.stream_append;
	struct stream_view *view = c->out.stream;
	enum outcome outcome = c->outcome;
	struct appended told = {.woken = c->out.woken, .partition = c->out.partition, .chosen = c->out.chosen};

	c->out.stream = NULL;
	command_answer_deinit(c);
	if (outcome != OUTCOME_OK)
		blob_let_go(api_of(ex), &in->records.blob);
	if ((outcome == OUTCOME_OK || outcome == OUTCOME_SAME || outcome == OUTCOME_EMPTY) && view)
		answer_appended(ex, c, view, &told);
	else if (outcome == OUTCOME_STALE && view)
		answer_stale(ex, view);
	else if (outcome == OUTCOME_GAP && view)
		answer_gap(ex, in, view);
	else
		stream_outcome(ex, outcome, view);
	stream_view_unref(view);
}

void stream_append_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct stream_append_in *in;
	struct slice path;
	struct ask *ask = stream_ask(ex, params[0], COMMAND_STREAM_APPEND, stream_appended, &path);

	if (!ask)
		return;
	in = &ask->command.in.stream_append;
	*in = (struct stream_append_in){.path = path, .close = input_closes(ex)};
	if (!input_content_type(ex, (struct slice){0}, &in->content_type) || !input_stream_producer(ex, &in->producer) ||
	    !input_stream_seq(ex, &in->stream_seq) || !input_records(ex, in))
		return;
	stream_take_body(ex, ask, type_is_json(in->content_type), api_of(ex)->config.body_bytes);
}

void stream_append_body(struct exchange *ex, const struct request_body *body)
{
	struct ask *ask = call_of(ex)->ask;
	struct stream_append_in *in = &ask->command.in.stream_append;
	bool empty = body->blob.kind != BODY_BLOB && !body->bytes.len;

	if (empty && !in->close) {
		call_problem(ex, PROBLEM_BAD_REQUEST,
			     "An empty body appends nothing; with Stream-Closed: true it closes the stream.");
		return;
	}
	if (!empty && !in->content_type.len) {
		blob_let_go(api_of(ex), &body->blob);
		call_problem(ex, PROBLEM_BAD_REQUEST, "Content-Type is missing: it must be the stream's.");
		return;
	}
	if (!records_from_body(ex, body, type_is_json(in->content_type), in->key, false, &in->records))
		return;
	if (in->replace && in->records.count != 1) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Record-Replace goes with one record an append.");
		return;
	}
	ask_send(ex, ask);
}

/* --- DELETE --- */

static void deleted(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	enum outcome outcome = c->outcome;
	struct reply reply;

	command_answer_deinit(c);
	if (outcome != OUTCOME_OK) {
		stream_outcome(ex, outcome, NULL);
		return;
	}
	stream_reply_init(&reply, 204);
	reply_send(ex, &reply, NULL);
}

void stream_delete_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct slice path;
	struct ask *ask = stream_ask(ex, params[0], COMMAND_STREAM_DELETE, deleted, &path);

	if (!ask)
		return;
	ask->command.in.stream_read.path = path;
	ask_send(ex, ask);
}
