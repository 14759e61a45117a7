/* Readers who follow a stream by events (live=sse): what is there first, at the reader's pace, then what comes.
 *
 *  1. Catching up, a reader has a struct sse in its exchange's arena and asks for the stream piece by piece, each behind the
 * event before, once the socket has taken most of that. A long record flows from its pin as one event. So a reader costs at most
 *     EXCHANGE_DRAIN_BYTES and one event of what was read at once, however slow it is.
 *  2. At the end it is parked and hangs on the board of the streams, under the complement of the stream's key (who waits for one
 *     answer hangs under the key itself), and has nothing but its place and cursor. A wake's event is formatted once for all who
 *     stand at its beginning; who stands elsewhere, or has not read what came before, leaves the board and catches up again.
 *  3. A wake uses up the thread's watch: one command sets it again, for all, from where the wake ended. What was appended
 * meanwhile comes back with it, and is as good as a wake.
 *  4. Whatever cannot be gone on with (no memory, the stream is deleted, the journal failed) ends the answer between two events,
 * or within one, which readers then drop: they come back with the offset of the last control event, and hear why. */
#include "http/api/stream_priv.h"

#include "base/mem.h"

#include <errno.h>

enum {
	SSE_MS = 60000,              /* the protocol's (§5.8, §10.2): caches collapse those who come back then */
	SSE_BEYOND_WAIT_MS = 5000,   /* but not longer than the longest wait and this */
	SSE_READ_BYTES = 64 * 1024,  /* of the stream, at once, unless an append is longer */
	SSE_EVENT_KEEP = 256 * 1024, /* of the thread's buffer, between events */
};

/* One that catches up. */
struct sse {
	struct ask ask; /* first; asked again and again */
	uint64_t until_ms;
	bool told;             /* that it has come to the end */
	struct sse_control at; /* what the next control event says */
	/* A long record on its way. */
	struct store_pin *pin;
	uint64_t sent_bytes, pin_bytes;
	struct sse_data data;
};

static struct sse *sse_of(const struct call *call)
{
	return container_of(call->ask, struct sse, ask);
}

static uint64_t now_ms(const struct exchange *ex)
{
	return http_thread_now_ms(exchange_thread(ex));
}

static void pin_drop(struct sse *sse)
{
	if (sse->pin)
		sse->pin->ops->unpin(sse->pin);
	sse->pin = NULL;
}

void stream_sse_gone(struct exchange *ex)
{
	struct call *call = call_of(ex);

	stream_wait_left(ex);
	if (call->flags & CALL_BOARD)
		wait_leave(ex);
	else
		pin_drop(sse_of(call));
}

void stream_sse_close(struct exchange *ex)
{
	stream_sse_gone(ex);
	exchange_stream_end(ex);
}

/* --- the beginning --- */

bool stream_sse_wait(struct exchange *ex, struct ask *ask)
{
	const struct api_thread *api = api_of(ex);
	uint64_t longest_ms = api->config.max_wait_ms + SSE_BEYOND_WAIT_MS;

	if (!input_wait(ex, ask, UINT64_MAX, 0))
		return false;
	if (ask->told_s == WAIT_UNTOLD)
		ask->wait_ms = api->draining ? 0 : longest_ms < SSE_MS ? longest_ms : SSE_MS;
	return true;
}

static void sse_was_read(struct exchange *ex, struct ask *ask);

void stream_sse_send(struct exchange *ex, struct ask *ask)
{
	struct sse *sse = arena_zalloc(&ex->arena, sizeof(*sse));
	struct stream_read_in *in = &ask->command.in.stream_read;

	if (!sse) {
		call_no_memory(ex);
		return;
	}
	if (in->max_bytes > SSE_READ_BYTES)
		in->max_bytes = SSE_READ_BYTES;
	sse->ask = *ask;
	sse->ask.answered = sse_was_read;
	/* One that does not wait still hears all there is. */
	sse->until_ms = now_ms(ex) + (ask->wait_ms ? ask->wait_ms : SSE_MS);
	call_of(ex)->ask = &sse->ask;
	ask_send(ex, &sse->ask);
}

static bool tells_base64(const struct stream_view *view, enum format format)
{
	return format == FORMAT_VALUES && !sse_is_text(view->content_type);
}

static void sse_begin(struct exchange *ex, const struct sse *sse, const struct stream_view *view)
{
	struct reply reply;

	stream_reply_init(&reply, 200);
	reply.answer.content_type = SLICE("text/event-stream");
	reply.answer.flags = EXCHANGE_CACHEABLE;
	reply_header(&reply, SLICE("Cache-Control"), SLICE("no-cache"));
	reply_header(&reply, SLICE("X-Accel-Buffering"), SLICE("no")); /* nginx would hold events back until a buffer is full */
	reply_wait(&reply, sse->ask.told_s);
	if (tells_base64(view, (enum format)sse->ask.format))
		reply_header(&reply, SLICE("Stream-SSE-Data-Encoding"), SLICE("base64"));
	if (sse->ask.format == FORMAT_RECORDS)
		reply_header(&reply, SLICE("Stream-Content-Type"), view->content_type);
	call_of(ex)->flags |= CALL_SSE;
	exchange_stream_begin(ex, &reply.answer);
}

/* --- catching up --- */

/* Ends it; one that has heard nothing yet hears why. */
static void sse_fail(struct exchange *ex, struct sse *sse, int error)
{
	if (call_of(ex)->flags & CALL_SSE) {
		stream_sse_close(ex);
		return;
	}
	pin_drop(sse);
	stream_answer_failed(ex, error);
}

/* Onto the board, at the end of the stream. */
static void sse_park(struct exchange *ex, const struct sse *sse, uint64_t key)
{
	const struct stream_read_in *in = &sse->ask.command.in.stream_read;
	struct stream_place place = {in->number, in->offset};
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	uint64_t now = now_ms(ex), left_ms = sse->until_ms > now ? sse->until_ms - now : 0;

	call->waiter = (struct waiter){.kind = WAIT_SSE};
	if (board_add(&api->streams, &call->waiter.wait, ~key)) {
		stream_sse_close(ex);
		return;
	}
	memcpy(call->handle, &place, sizeof(place));
	call->cursor = sse->ask.cursor;
	call->format = sse->ask.format;
	call->flags |= CALL_BOARD;
	wait_count(api, WAIT_SSE, 1);
	call_park(ex, left_ms);
}

_Static_assert((int)BLOB_CHUNK_BYTES > (int)EXCHANGE_DRAIN_BYTES, "a piece that is not the last fills the answer");

/* Behind an event, or a piece of one: asks for what follows, when the socket has taken most of it. */
static void sse_go_on(struct exchange *ex, struct sse *sse)
{
	const struct api_thread *api = api_of(ex);
	bool over = now_ms(ex) >= sse->until_ms || api->draining || (sse->told && !sse->ask.command.in.stream_read.watch);

	if (sse->pin) {
		(void)exchange_stream_is_full(ex); /* on_drained goes on; or on_gone comes */
	} else if (sse->at.closed || over) {
		if (!sse->at.closed)
			wait_ended(api_of(ex));
		stream_sse_close(ex);
	} else if (!exchange_stream_is_full(ex)) {
		ask_send(ex, &sse->ask);
	}
}

static void control_add(struct exchange *ex, struct sse *sse, struct buf *out)
{
	const struct api_thread *api = api_of(ex);

	sse->at.cursor = cursor_next(api->config.unix_ms(api->ctx), sse->ask.cursor, stream_chance());
	sse_control(out, &sse->at);
	sse->told = sse->at.up_to_date;
}

/* The next piece of a long record, into `out`; behind the last one what ends the event. */
static int record_add(struct exchange *ex, struct sse *sse, struct buf *out)
{
	uint64_t left = sse->pin_bytes - sse->sent_bytes;
	size_t len = left < BLOB_CHUNK_BYTES ? (size_t)left : BLOB_CHUNK_BYTES;
	char *piece = mem_alloc(len + 1);
	int error = piece ? sse->pin->ops->read(sse->pin, sse->sent_bytes, piece, len) : -ENOMEM;

	if (!error)
		sse_data_add(&sse->data, out, slice_from(piece, len));
	mem_free(piece);
	sse->sent_bytes += len;
	if (!error && len == left) {
		sse_data_end(&sse->data, out);
		control_add(ex, sse, out);
		pin_drop(sse);
	}
	return error;
}

/* Where it stands once it has heard what comes before `after`. */
static void place_set(struct sse *sse, const struct stream_view *view, uint64_t after)
{
	struct stream_read_in *in = &sse->ask.command.in.stream_read;

	sse->at = (struct sse_control){.number = view->number, .offset = after, .up_to_date = after == view->next_offset};
	sse->at.closed = sse->at.up_to_date && view->closed;
	in->from = STREAM_FROM_OFFSET;
	in->number = view->number;
	in->offset = after;
}

/* What the view has as one event, or the beginning of a long one. */
static int event_make(struct exchange *ex, struct sse *sse, struct stream_view *view, struct buf *out)
{
	enum format format = (enum format)sse->ask.format;
	bool base64 = tells_base64(view, format), told = sse->told;
	struct buf *values = &api_of(ex)->out;
	uint64_t after = stream_after(view, format);
	int error;

	if (stream_flows_first(view, format)) {
		sse->pin = view->chunks[0].pin;
		view->chunks[0].pin = NULL;
		sse->sent_bytes = 0;
		sse->pin_bytes = stream_blob_bytes(&view->chunks[0]);
		place_set(sse, view, after);
		sse_data_begin(&sse->data, out, base64);
		return record_add(ex, sse, out);
	}
	if (view->chunk_count) {
		struct stream_part part = {.from = view->from_offset, .limit = sse->ask.limit, .format = format};

		error = stream_body(values, view, &part);
		if (error)
			return error;
		after = part.after;
		if (part.count) {
			sse_data_begin(&sse->data, out, base64);
			sse_data_add(&sse->data, out, buf_slice(values));
			sse_data_end(&sse->data, out);
		}
		if (values->cap > SSE_EVENT_KEEP)
			buf_deinit(values);
	}
	place_set(sse, view, after);
	if (view->chunk_count || !told || sse->at.closed)
		control_add(ex, sse, out);
	return 0;
}

static void sse_tell(struct exchange *ex, struct sse *sse, struct stream_view *view, bool parked)
{
	struct buf event = {0};
	int error;

	/* Begun as text, before the first append told what a job's output is: whoever comes back hears it in base64. */
	if (call_of(ex)->flags & CALL_SSE && sse->ask.command.in.stream_read.number == 0 &&
	    tells_base64(view, (enum format)sse->ask.format)) {
		stream_sse_close(ex);
		return;
	}
	error = event_make(ex, sse, view, &event);
	if (!error && event.failed)
		error = -ENOMEM;
	if (error) {
		buf_deinit(&event);
		sse_fail(ex, sse, error);
		return;
	}
	if (!(call_of(ex)->flags & CALL_SSE))
		sse_begin(ex, sse, view);
	exchange_stream_write(ex, buf_slice(&event));
	buf_deinit(&event);
	if (parked && !api_of(ex)->draining)
		sse_park(ex, sse, view->key);
	else
		sse_go_on(ex, sse);
}

static void sse_was_read(struct exchange *ex, struct ask *ask)
{
	struct sse *sse = container_of(ask, struct sse, ask);
	struct command *c = &ask->command;
	struct stream_view *view = c->out.stream;
	enum outcome outcome = c->outcome;

	c->out.stream = NULL;
	command_answer_deinit(c);
	if (call_of(ex)->flags & CALL_GONE)
		exchange_done(ex);
	else if (outcome == OUTCOME_OK || outcome == OUTCOME_PARKED)
		sse_tell(ex, sse, view, outcome == OUTCOME_PARKED);
	else if (call_of(ex)->flags & CALL_SSE)
		stream_sse_close(ex);
	else
		stream_outcome(ex, outcome, view);
	stream_view_unref(view);
}

static void record_go_on(struct exchange *ex, struct sse *sse)
{
	struct buf event = {0};

	if (record_add(ex, sse, &event) || event.failed) {
		buf_deinit(&event);
		stream_sse_close(ex);
		return;
	}
	exchange_stream_write(ex, buf_slice(&event));
	buf_deinit(&event);
	sse_go_on(ex, sse);
}

void stream_sse_drained(struct exchange *ex)
{
	struct call *call = call_of(ex);

	if (call->flags & (CALL_ASKING | CALL_BOARD))
		return;
	if (sse_of(call)->pin)
		record_go_on(ex, sse_of(call));
	else
		sse_go_on(ex, sse_of(call));
}

/* --- waking --- */

struct sse_waking {
	struct api_thread *api;
	struct stream_view *view; /* NULL: the stream is gone */
	uint64_t key, unix_ms, chance, told;
	/* What was appended, as an event, for each format. */
	struct sse_made {
		struct buf event;  /* and behind it the control event of the reader at hand */
		size_t data_bytes; /* of the first; 0: not made yet */
		bool none;         /* it cannot be made, or is too long to be held for all */
	} made[FORMAT_COUNT];
};

static bool has_event(struct sse_waking *w, enum format format)
{
	struct sse_made *made = &w->made[format];
	struct buf *values = &w->api->out;
	struct stream_part part = {.from = w->view->chunks[0].first_offset, .limit = UINT64_MAX, .format = format};
	struct sse_data data;

	if (made->data_bytes || made->none)
		return !made->none;
	made->none = stream_flows(&w->view->chunks[0], format) || stream_body(values, w->view, &part);
	if (made->none)
		return false;
	if (part.count) { /* else all was aborted */
		sse_data_begin(&data, &made->event, tells_base64(w->view, format));
		sse_data_add(&data, &made->event, buf_slice(values));
		sse_data_end(&data, &made->event);
	}
	if (values->cap > SSE_EVENT_KEEP)
		buf_deinit(values);
	made->data_bytes = made->event.len;
	made->none = made->event.failed;
	return !made->none;
}

/* Off the board, to read from its place on for itself. */
static void sse_leave(struct sse_waking *w, struct exchange *ex)
{
	struct call *call = call_of(ex);
	struct stream_place place = stream_place_of(call);
	uint64_t until_ms = ex->deadline.deadline_ms, cursor = call->cursor;
	struct sse *sse = arena_zalloc(&ex->arena, sizeof(*sse));
	struct slice path = sse ? arena_dup(&ex->arena, w->view->path) : (struct slice){0};

	if (!path.ptr) {
		stream_sse_close(ex);
		return;
	}
	wait_leave(ex);
	exchange_unpark(ex);
	sse->until_ms = until_ms;
	sse->told = true;
	sse->ask = (struct ask){
		.command = {.kind = COMMAND_STREAM_READ, .owner = ex},
		.answered = sse_was_read,
		.told_s = WAIT_UNTOLD,
		.kind = WAIT_SSE,
		.cursor = cursor,
		.limit = UINT64_MAX,
		.format = call->format,
	};
	sse->ask.command.in.stream_read = (struct stream_read_in){
		.path = path,
		.from = STREAM_FROM_OFFSET,
		.number = place.number,
		.offset = place.offset,
		.max_bytes = SSE_READ_BYTES,
		.watch = true,
	};
	call->ask = &sse->ask;
	sse_go_on(ex, sse);
}

/* It has heard what `at` says. */
static void sse_move(struct sse_waking *w, struct exchange *ex, const struct sse_control *at)
{
	struct stream_place place = {at->number, at->offset};

	w->told++;
	if (!at->closed) {
		memcpy(call_of(ex)->handle, &place, sizeof(place));
		return;
	}
	w->api->stats.answered_total++;
	stream_sse_close(ex);
}

/* Where whoever has heard of what came stands then. */
static struct sse_control place_after(const struct stream_view *view, enum format format)
{
	uint64_t after = stream_after(view, format);
	bool at_end = after == view->next_offset;

	return (struct sse_control){
		.number = view->number, .offset = after, .up_to_date = at_end, .closed = at_end && view->closed};
}

static void wake_one(struct sse_waking *w, struct exchange *ex)
{
	struct stream_place place = stream_place_of(call_of(ex));
	bool at_end = place.offset >= w->view->next_offset;
	bool here = w->view->chunk_count && w->view->chunks[0].first_offset == place.offset;
	enum format format = (enum format)call_of(ex)->format;
	struct sse_control at = place_after(w->view, format);
	struct sse_made *made = &w->made[format];
	size_t from = 0;

	if (at_end && !w->view->closed)
		return;
	if (!at_end && (!here || exchange_stream_is_full(ex) || !has_event(w, format))) {
		sse_leave(w, ex);
		return;
	}
	if (at_end) {
		at = (struct sse_control){.number = place.number, .offset = place.offset, .up_to_date = true, .closed = true};
		from = made->data_bytes;
	}
	at.cursor = cursor_next(w->unix_ms, call_of(ex)->cursor, w->chance);
	made->event.len = made->data_bytes;
	sse_control(&made->event, &at);
	if (made->event.failed) {
		stream_sse_close(ex);
		return;
	}
	exchange_stream_write(ex, slice_from(made->event.ptr + from, made->event.len - from));
	sse_move(w, ex, &at);
}

/* --- watching again --- */

static void looked_again(struct api_thread *api, uint64_t key, struct stream_view *view, enum outcome outcome)
{
	(void)stream_sse_woken(api, key, outcome == OUTCOME_OK ? view : NULL);
}

static bool watch_again(const struct sse_waking *w)
{
	return stream_watch_again(w->api, w->view, stream_after(w->view, FORMAT_VALUES), (uint32_t)w->told, looked_again);
}

static void close_all(struct sse_waking *w)
{
	struct wait *first;

	while ((first = board_find(&w->api->streams, ~w->key))) {
		w->api->stats.answered_total++;
		w->told++;
		stream_sse_close(call_exchange(container_of(container_of(first, struct waiter, wait), struct call, waiter)));
	}
}

uint64_t stream_sse_woken(struct api_thread *api, uint64_t key, struct stream_view *view)
{
	struct sse_waking w = {.api = api, .view = view, .key = key};
	struct wait *first = board_find(&api->streams, ~key), *next;

	if (!first)
		return 0;
	if (!view) {
		close_all(&w);
		return w.told;
	}
	w.unix_ms = api->config.unix_ms(api->ctx);
	w.chance = stream_chance();
	for (struct wait *wait = first; wait; wait = next) {
		/* Whoever is first may leave, and another be first then. */
		next = board_next(board_find(&api->streams, ~key), wait);
		wake_one(&w, call_exchange(container_of(container_of(wait, struct waiter, wait), struct call, waiter)));
	}
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		buf_deinit(&w.made[i].event);
	if (board_find(&api->streams, ~key) && !watch_again(&w))
		close_all(&w);
	return w.told;
}
