/* POST /v1/jobs/wait and /v1/wait: any or all of many jobs and streams. Each item has a place of its own on a board; whoever is
 * over first, or last, ends the wait.
 *
 *  1. All are looked at, and watched, by one command: so nothing is missed between looking and hanging the items on the boards.
 *  2. A parked wait holds no bytes of streams. A wake that ends it brings those of its own stream, and when they are all there is
 * to tell (any) they are told at once. Else all streams are looked at once more: what came to those that were over before (all),
 *     what lies elsewhere than where the wait stood (a wake before this one lacked memory), whether a stream is gone or new.
 *  3. When a wait ends by time and no stream is over, what it knows is told, and nobody has to be asked. */
#include "http/api/many_priv.h"

#include "base/mem.h"
#include "http/api/json_in.h"

#include <errno.h>

static void unhang(struct api_thread *api, struct many *many)
{
	for (size_t i = 0; i < many->count; i++)
		waiter_remove(api, &many->items[i].waiter);
}

/* Off the boards, out of the figures. */
static void many_leave(struct exchange *ex)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);

	unhang(api, call->many);
	if (call->flags & CALL_BOARD)
		wait_count(api, WAIT_MANY, -1);
	call->flags &= (uint8_t)~CALL_BOARD;
}

/* The streams' waits are counted: who ends without a wake says so. Without memory the count stays too high until the next wake.
 */
static void tell_left(struct api_thread *api, struct many *many)
{
	for (size_t i = many->job_count; i < many->count; i++) {
		struct many_stream *stream = &many->items[i].stream;
		struct stream_left *left = stream->watched ? mem_zalloc(sizeof(*left)) : NULL;

		stream->watched = false;
		if (!left)
			continue;
		left->message.kind = MESSAGE_STREAM_LEFT;
		left->number = stream->number;
		left->waits = 1;
		api->config.send_message(api->ctx, &left->message);
	}
}

static void drop_views(struct many *many)
{
	for (size_t i = many->job_count; i < many->count; i++)
		many->items[i].stream.view = stream_view_unref(many->items[i].stream.view);
}

/* One that no exchange names any more. */
static void many_drop(struct api_thread *api, struct many *many)
{
	tell_left(api, many);
	drop_views(many);
	for (size_t i = 0; i < many->job_count; i++)
		job_view_unref(many->items[i].job);
	api->many_items -= many->count;
	mem_free(many);
}

void many_free(struct exchange *ex)
{
	struct many *many = call_of(ex)->many;

	many_leave(ex);
	call_of(ex)->many = NULL;
	many_drop(api_of(ex), many);
}

static void many_answer(struct exchange *ex)
{
	struct many *many = call_of(ex)->many;
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	buf_clear(out);
	reply_init(&reply, 200);
	reply_wait(&reply, many->told_s);
	if (many_json(out, many)) {
		many_free(ex);
		call_no_memory(ex);
		return;
	}
	reply_json(&reply, out);
	many_free(ex);
	reply_send(ex, &reply, out);
}

/* --- looking --- */

static void job_ends(struct many_item *item, struct job_view *view)
{
	item->state = view ? ITEM_OVER : ITEM_MISSING;
	item->job = view;
	item->many->over_count++;
}

/* Takes over what was found of the jobs that are not over yet: those that were asked about. 0 or -ENOMEM. */
static int fill_jobs(struct many *many, struct command *c)
{
	size_t asked = 0;

	for (size_t i = 0; i < many->job_count; i++) {
		struct many_item *item = &many->items[i];
		struct job_view **view = &c->out.views[asked];
		enum outcome outcome;

		if (item->state != ITEM_PENDING)
			continue;
		outcome = c->out.outcomes[asked++];
		if (outcome == OUTCOME_NO_MEMORY)
			return -ENOMEM;
		if (outcome == OUTCOME_PARKED) {
			item->waiter.wait.key = (*view)->key;
			continue;
		}
		job_ends(item, outcome == OUTCOME_OK ? *view : NULL);
		if (outcome == OUTCOME_OK)
			*view = NULL;
	}
	return 0;
}

static void stream_found(struct many_item *item, enum outcome outcome, struct stream_view *view)
{
	struct many_stream *stream = &item->stream;
	bool read = outcome == OUTCOME_OK || outcome == OUTCOME_PARKED;
	bool nothing = read && !view->chunk_count && view->after_offset == view->next_offset;

	stream->view = view;
	stream->outcome = outcome;
	stream->watched = outcome == OUTCOME_PARKED;
	if (read) {
		item->waiter.wait.key = view->key;
		stream->from = STREAM_FROM_OFFSET;
		stream->number = view->number;
		stream->offset = nothing ? view->next_offset : view->from_offset;
	}
	item->state = nothing && !view->closed ? ITEM_PENDING : ITEM_OVER;
	item->many->over_count += item->state == ITEM_OVER;
}

static int fill_streams(struct many *many, struct command *c)
{
	const enum outcome *outcomes = c->out.outcomes + c->out.view_count;

	for (size_t i = 0; i < c->out.stream_count; i++) {
		struct many_item *item = &many->items[many->job_count + i];

		if (outcomes[i] == OUTCOME_NO_MEMORY)
			return -ENOMEM;
		many->over_count -= item->state == ITEM_OVER;
		stream_found(item, outcomes[i], c->out.streams[i]);
		c->out.streams[i] = NULL;
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

static void many_park(struct exchange *ex, uint64_t wait_ms)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);

	drop_views(call->many);
	if (many_hang(api, call->many)) {
		many_free(ex);
		call_no_memory(ex);
		return;
	}
	call->waiter.kind = WAIT_MANY;
	call->flags |= CALL_BOARD;
	wait_count(api, WAIT_MANY, 1);
	call_park(ex, wait_ms);
}

static void many_looked(struct exchange *ex, struct ask *ask)
{
	struct many *many = call_of(ex)->many;
	struct command *c = &ask->command;
	enum outcome outcome = c->outcome;
	int r = 0;

	if (outcome == OUTCOME_OK)
		r = fill_jobs(many, c);
	if (outcome == OUTCOME_OK && !r)
		r = fill_streams(many, c);
	command_answer_deinit(c);
	if (call_of(ex)->flags & CALL_GONE) {
		many_free(ex);
		exchange_done(ex);
	} else if (r || outcome != OUTCOME_OK) {
		many_free(ex);
		call_outcome(ex, r ? OUTCOME_NO_MEMORY : outcome);
	} else if (many_is_over(many) || !ask->wait_ms || api_of(ex)->draining) {
		many_answer(ex);
	} else {
		many_park(ex, ask->wait_ms);
	}
}

/* What the command is to look at: jobs that are not over, and all streams. */
static int many_ask(struct exchange *ex, struct ask *ask)
{
	const struct many *many = call_of(ex)->many;
	struct jobs_in *jobs = &ask->command.in.many.jobs;
	struct streams_in *streams = &ask->command.in.many.streams;
	struct slice *handles = arena_alloc(&ex->arena, many->job_count * sizeof(*handles));
	struct stream_read_in *reads = arena_alloc(&ex->arena, (many->count - many->job_count) * sizeof(*reads));

	if (!handles || !reads)
		return -ENOMEM;
	*jobs = (struct jobs_in){.handles = handles, .watch = ask->wait_ms > 0};
	*streams = (struct streams_in){.reads = reads, .max_bytes = many->max_bytes, .turn = stream_chance()};
	for (size_t i = 0; i < many->job_count; i++) {
		if (many->items[i].state == ITEM_PENDING)
			handles[jobs->count++] = many->items[i].name;
	}
	for (size_t i = many->job_count; i < many->count; i++) {
		const struct many_stream *stream = &many->items[i].stream;

		reads[streams->count++] = (struct stream_read_in){.path = stream->path,
								  .from = stream->from,
								  .number = stream->number,
								  .offset = stream->offset,
								  .watch = ask->wait_ms > 0};
	}
	ask_send(ex, ask);
	return 0;
}

/* --- the end of a wait --- */

static bool all_is_known(const struct many *many)
{
	for (size_t i = many->job_count; i < many->count; i++) {
		if (many->items[i].state == ITEM_OVER && !many->items[i].stream.view)
			return false;
	}
	return true;
}

static void look_again(struct exchange *ex, uint64_t wait_ms)
{
	struct many *many = call_of(ex)->many;
	struct api_thread *api = api_of(ex);
	struct ask *ask;

	tell_left(api, many);
	drop_views(many);
	ask = ask_new(ex, COMMAND_MANY, many_looked);
	if (!ask) { /* and the exchange is gone with its answer */
		many_drop(api, many);
		return;
	}
	ask->wait_ms = wait_ms;
	if (many_ask(ex, ask)) {
		many_free(ex);
		call_no_memory(ex);
	}
}

void many_expired(struct exchange *ex)
{
	many_leave(ex);
	if (all_is_known(call_of(ex)->many))
		many_answer(ex);
	else
		look_again(ex, 0);
}

/* One item more. Without memory for what is to be told of the others, or if they are not what they were, it may park again. */
static void item_over(struct api_thread *api, struct many *many)
{
	struct exchange *ex = many->ex;
	uint64_t now_ms = http_thread_now_ms(exchange_thread(ex)), until_ms = ex->deadline.deadline_ms;

	if (!many_is_over(many))
		return;
	api->stats.answered_total++;
	many_leave(ex);
	exchange_unpark(ex);
	if (all_is_known(many))
		many_answer(ex);
	else
		look_again(ex, until_ms > now_ms ? until_ms - now_ms : 0);
}

void many_job_woken(struct api_thread *api, struct waiter *waiter, struct job_view *view)
{
	struct many_item *item = container_of(waiter, struct many_item, waiter);

	waiter_remove(api, waiter);
	job_ends(item, view ? job_view_ref(view) : NULL);
	item_over(api, item->many);
}

/* Whether the wake says what follows where the wait stands. */
static bool wake_tells(const struct many_stream *stream, const struct stream_view *view)
{
	return view && view->from_offset == stream->offset && (view->chunk_count || view->closed);
}

void many_stream_woken(struct api_thread *api, struct waiter *waiter, struct stream_view *view)
{
	struct many_item *item = container_of(waiter, struct many_item, waiter);

	waiter_remove(api, waiter);
	item->stream.watched = false;
	item->state = ITEM_OVER;
	item->many->over_count++;
	if (many_is_over(item->many) && wake_tells(&item->stream, view)) {
		item->stream.view = stream_view_ref(view);
		item->stream.outcome = OUTCOME_OK;
	}
	item_over(api, item->many);
}

/* --- the beginning --- */

static char *put(char *at, struct slice s, struct slice *ret_copy)
{
	memcpy(at, s.ptr, s.len);
	*ret_copy = slice_from(at, s.len);
	return at + s.len;
}

static void item_init(struct many *many, size_t i, enum wait_kind kind)
{
	struct many_item *item = &many->items[i];

	item->many = many;
	item->waiter.kind = (uint8_t)kind;
	item->waiter.until = UNTIL_DONE;
}

static struct many *many_new(struct exchange *ex, const struct wait_request *request, const struct stream_read_in *reads)
{
	size_t count = request->count + request->stream_count, bytes = 0;
	struct many *many;
	uint64_t most;
	char *at;

	for (size_t i = 0; i < request->count; i++)
		bytes += request->ids[i].len;
	for (size_t i = 0; i < request->stream_count; i++)
		bytes += request->streams[i].key.len + reads[i].path.len;
	many = mem_zalloc(sizeof(*many) + count * sizeof(many->items[0]) + bytes);
	if (!many)
		return NULL;
	many->ex = ex;
	many->job_count = request->count;
	many->count = count;
	many->all = request->all;
	many->format = request->objects ? FORMAT_RECORDS : FORMAT_STRINGS;
	most = request->objects ? READ_RECORDS_MAX : READ_BYTES_MAX;
	many->max_bytes = request->max_bytes < most ? request->max_bytes : most;
	at = (char *)&many->items[count];
	for (size_t i = 0; i < many->job_count; i++) {
		item_init(many, i, WAIT_MANY);
		at = put(at, request->ids[i], &many->items[i].name);
	}
	for (size_t i = 0; i < request->stream_count; i++) {
		struct many_item *item = &many->items[many->job_count + i];

		item_init(many, many->job_count + i, WAIT_MANY_STREAM);
		at = put(at, request->streams[i].key, &item->name);
		at = put(at, reads[i].path, &item->stream.path);
		item->stream.from = reads[i].from;
		item->stream.number = reads[i].number;
		item->stream.offset = reads[i].offset;
	}
	api_of(ex)->many_items += many->count;
	return many;
}

/* Where a stream is read from: "start" is another word for -1. */
static bool input_from(struct exchange *ex, const struct json_pair *pair, struct stream_read_in *ret_read)
{
	if (!input_stream_path(ex, pair->key, &ret_read->path))
		return false;
	if (slice_eq(pair->value, SLICE("start")) || !offset_read(pair->value, ret_read))
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST,
		     "The cursor of a stream is \"start\" (or \"-1\"), \"now\", or what an answer told as its cursor.");
	return false;
}

static void begin(struct exchange *ex, const struct wait_request *request, bool with_streams)
{
	struct api_thread *api = api_of(ex);
	struct ask *ask = ask_new(ex, COMMAND_MANY, many_looked);
	struct stream_read_in *reads;
	struct many *many;

	if (!ask || !input_wait(ex, ask, request->wait_ms, api->config.default_wait_ms))
		return;
	reads = arena_zalloc(&ex->arena, request->stream_count * sizeof(*reads));
	if (!reads) {
		call_no_memory(ex);
		return;
	}
	for (size_t i = 0; i < request->stream_count; i++) {
		if (!input_from(ex, &request->streams[i], &reads[i]))
			return;
	}
	if (api->many_items + request->count + request->stream_count > api->config.many_items) {
		call_problem(ex, PROBLEM_SERVER_FULL, "As many jobs and streams are waited for in groups as may be.");
		return;
	}
	many = many_new(ex, request, reads);
	if (!many) {
		call_no_memory(ex);
		return;
	}
	call_of(ex)->many = many;
	many->told_s = ask->told_s;
	many->with_streams = with_streams;
	if (many_ask(ex, ask)) {
		many_free(ex);
		call_no_memory(ex);
	}
}

void jobs_wait_body(struct exchange *ex, const struct request_body *body)
{
	struct wait_request request;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, false);
	jobs_wait_read(&in, &request);
	if (json_in_answer(ex, &in))
		begin(ex, &request, false);
}

void wait_body(struct exchange *ex, const struct request_body *body)
{
	struct wait_request request;
	struct json_in in;

	json_in_open(&in, &ex->arena, body->bytes, false);
	wait_read(&in, &request);
	if (json_in_answer(ex, &in))
		begin(ex, &request, true);
}
