/* Readers who wait at the end of a stream (live=long-poll). They hang on a board of their own under the stream's key; a wake
 * brings what was appended, or that the stream was closed or is gone, and answers all of them.
 *
 * What was appended is read once and made into one answer for all who want the same; a long record, and whatever lies elsewhere
 * than at a reader's place (when a wake before this one lacked memory), is asked for anew by each. */
#include "http/api/stream_priv.h"

#include "base/mem.h"

enum { SHARED_ANSWERS = 8, REWATCH_BYTES = 64 * 1024 };

void stream_wait_park(struct exchange *ex, struct ask *ask, const struct stream_view *view)
{
	struct stream_place place = {view->number, view->after_offset};
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	uint64_t wait_ms = ask->wait_ms;

	call->waiter = (struct waiter){.kind = WAIT_STREAM, .told_s = ask->told_s};
	call->cursor = ask->cursor;
	memcpy(call->handle, &place, sizeof(place));
	call->keep = ask->keep;
	call->format = ask->format;
	if (board_add(&api->streams, &call->waiter.wait, view->key)) {
		call_no_memory(ex);
		return;
	}
	call->flags |= CALL_BOARD;
	wait_count(api, WAIT_STREAM, 1);
	call_park(ex, wait_ms);
}

static struct reading reading_of(const struct call *call)
{
	return (struct reading){
		.cursor = call->cursor,
		.limit = UINT64_MAX,
		.told_s = call->waiter.told_s,
		.live = true,
		.keep = (enum keep)call->keep,
		.format = (enum format)call->format,
	};
}

/* --- waking --- */

struct stream_waking {
	struct api_thread *api;
	struct stream_view *view; /* NULL: the stream is gone */
	uint64_t unix_ms, chance, answered;
	struct {
		struct buf bytes;
		uint64_t after;  /* where that ends */
		bool made, none; /* none: it cannot be made, or has nothing, since all was aborted */
	} body[FORMAT_COUNT];    /* what was appended, as an answer's body */
	struct {
		struct shared_answer *answer;
		uint64_t cursor; /* that it tells */
		uint16_t told_s;
		enum keep keep;
		enum format format;
	} made[SHARED_ANSWERS];
	size_t count;
};

/* Whether this wake's bytes are what the reader waits for, read once for each format. */
static bool has_body(struct stream_waking *w, const struct stream_place *place, enum format format)
{
	struct stream_part part = {.from = place->offset, .limit = UINT64_MAX, .format = format};
	const struct stream_view *view = w->view;

	if (!view->chunk_count || view->chunks[0].first_offset != place->offset || w->body[format].none)
		return false;
	if (w->body[format].made)
		return true;
	if (stream_flows(&view->chunks[0], format) || stream_body(&w->body[format].bytes, view, &part) || !part.count)
		w->body[format].none = true;
	else
		w->body[format].made = true;
	w->body[format].after = part.after;
	return w->body[format].made;
}

static void wake_reply(struct stream_waking *w, struct reply *reply, const struct reading *reading,
		       const struct stream_place *place)
{
	stream_reply_read(reply, reading, w->view, place->offset, w->body[reading->format].after, w->unix_ms, w->chance);
	reply->answer.body = buf_slice(&w->body[reading->format].bytes);
}

static struct shared_answer *shared_find(struct stream_waking *w, struct exchange *ex, const struct reading *reading,
					 const struct stream_place *place)
{
	uint64_t cursor = cursor_next(w->unix_ms, reading->cursor, w->chance);
	struct shared_answer *answer;
	struct reply reply;

	for (size_t i = 0; i < w->count; i++) {
		if (w->made[i].cursor == cursor && w->made[i].told_s == reading->told_s && w->made[i].keep == reading->keep &&
		    w->made[i].format == reading->format)
			return w->made[i].answer;
	}
	if (w->count == SHARED_ANSWERS)
		return NULL;
	wake_reply(w, &reply, reading, place);
	answer = shared_answer_new(exchange_thread(ex), &reply.answer);
	if (!answer)
		return NULL;
	w->made[w->count].answer = answer;
	w->made[w->count].cursor = cursor;
	w->made[w->count].told_s = reading->told_s;
	w->made[w->count].format = reading->format;
	w->made[w->count++].keep = reading->keep;
	return answer;
}

/* The stream's bytes from the reader's place on, for this reader alone; if there are none after all it waits on. */
static void read_again(struct exchange *ex, const struct stream_view *view, const struct reading *reading,
		       const struct stream_place *place, uint64_t until_ms)
{
	uint64_t now_ms = http_thread_now_ms(exchange_thread(ex));
	struct ask *ask = ask_new(ex, COMMAND_STREAM_READ, stream_was_read);
	struct slice path = ask ? arena_dup(&ex->arena, view->path) : (struct slice){0};

	if (!ask)
		return;
	if (!path.ptr) {
		call_no_memory(ex);
		return;
	}
	ask->kind = WAIT_STREAM;
	ask->until_ms = until_ms;
	ask->wait_ms = until_ms > now_ms && !api_of(ex)->draining ? until_ms - now_ms : 0;
	ask->told_s = reading->told_s;
	ask->cursor = reading->cursor;
	ask->limit = reading->limit;
	ask->keep = (uint8_t)reading->keep;
	ask->format = (uint8_t)reading->format;
	ask->command.in.stream_read = (struct stream_read_in){
		.path = path,
		.from = STREAM_FROM_OFFSET,
		.number = place->number,
		.offset = place->offset,
		.max_bytes = READ_BYTES_MAX,
		.watch = ask->wait_ms > 0,
	};
	ask_send(ex, ask);
}

static void wake_one(struct stream_waking *w, struct call *call, bool alone)
{
	struct exchange *ex = call_exchange(call);
	struct stream_place place = stream_place_of(call);
	struct reading reading = reading_of(call);
	uint64_t until_ms = ex->deadline.deadline_ms;
	struct shared_answer *answer;
	struct reply reply;

	wait_leave(ex);
	exchange_unpark(ex);
	w->api->stats.answered_total++;
	w->answered++;
	if (!w->view) {
		stream_outcome(ex, OUTCOME_NOT_FOUND, NULL);
		return;
	}
	if (place.offset >= w->view->next_offset) {
		stream_answer_none(ex, &reading, place.number, place.offset, w->view->closed);
		return;
	}
	if (!has_body(w, &place, reading.format)) {
		read_again(ex, w->view, &reading, &place, until_ms);
		return;
	}
	answer = alone ? NULL : shared_find(w, ex, &reading, &place);
	if (answer) {
		exchange_answer_shared(ex, answer);
		return;
	}
	wake_reply(w, &reply, &reading, &place);
	reply_send(ex, &reply, NULL);
}

void stream_wait_woken(struct api_thread *api, struct stream_wake *wake, uint64_t sent_us)
{
	struct stream_waking w = {
		.api = api, .view = wake->view, .unix_ms = api->config.unix_ms(api->ctx), .chance = stream_chance()};
	struct wait *first = board_find(&api->streams, wake->key);
	bool alone = first && !board_next(first, first);

	while ((first = board_find(&api->streams, wake->key))) {
		struct waiter *waiter = container_of(first, struct waiter, wait);

		if (waiter->kind == WAIT_MANY_STREAM)
			many_stream_woken(api, waiter, wake->view);
		else
			wake_one(&w, container_of(waiter, struct call, waiter), alone);
	}
	for (size_t i = 0; i < w.count; i++)
		shared_answer_unref(w.made[i].answer);
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		buf_deinit(&w.body[i].bytes);
	w.answered += stream_sse_woken(api, wake->key, wake->view);
	w.answered += stream_pick_woken(api, wake->key, wake->view);
	wait_latency(api, sent_us, w.answered);
	message_free(&wake->message);
}

/* --- watching again --- */

struct rewatch {
	struct ask ask; /* first */
	uint64_t key;
	void (*heard)(struct api_thread *api, uint64_t key, struct stream_view *view, enum outcome outcome);
	char path[];
};

static void rewatched(struct api_thread *api, struct ask *ask)
{
	struct rewatch *rewatch = container_of(ask, struct rewatch, ask);
	struct command *c = &ask->command;

	if (c->outcome != OUTCOME_PARKED)
		rewatch->heard(api, rewatch->key, c->out.stream, c->outcome);
	command_answer_deinit(c);
	mem_free(rewatch);
}

bool stream_watch_again(struct api_thread *api, const struct stream_view *view, uint64_t from, uint32_t waits,
			void (*heard)(struct api_thread *api, uint64_t key, struct stream_view *view, enum outcome outcome))
{
	struct rewatch *rewatch = ask_own(sizeof(*rewatch) + view->path.len, COMMAND_STREAM_READ, rewatched);

	if (!rewatch)
		return false;
	memcpy(rewatch->path, view->path.ptr, view->path.len);
	rewatch->key = view->key;
	rewatch->heard = heard;
	rewatch->ask.command.in.stream_read = (struct stream_read_in){
		.path = slice_from(rewatch->path, view->path.len),
		.from = STREAM_FROM_OFFSET,
		.number = view->number,
		.offset = from,
		.max_bytes = REWATCH_BYTES,
		.watch = true,
		.waits = waits,
	};
	ask_send_own(api, &rewatch->ask);
	return true;
}

/* --- the end of a wait --- */

/* For a figure only: without memory it is not told. */
void stream_wait_left(struct exchange *ex)
{
	const struct call *call = call_of(ex);
	struct api_thread *api = api_of(ex);
	struct stream_left *left;

	if (!(call->flags & CALL_BOARD) ||
	    (call->waiter.kind != WAIT_STREAM && call->waiter.kind != WAIT_SSE && call->waiter.kind != WAIT_PICK))
		return;
	left = mem_zalloc(sizeof(*left));
	if (!left)
		return;
	left->message.kind = MESSAGE_STREAM_LEFT;
	left->number = stream_place_of(call).number;
	left->waits = 1;
	api->config.send_message(api->ctx, &left->message);
}

void stream_wait_expired(struct exchange *ex)
{
	struct call *call = call_of(ex);
	struct stream_place place = stream_place_of(call);
	struct reading reading = reading_of(call);

	stream_wait_left(ex);
	wait_leave(ex);
	stream_answer_none(ex, &reading, place.number, place.offset, false);
}
