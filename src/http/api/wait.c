/* What is parked. A wait hangs on its thread's board under its job's key; those that wait for any change, or for a stage, under
 * the key's complement, so that a beat never touches the thousands that wait for the end only.
 *
 * A wake takes all that hang under a key in the order in which they came, and formats each kind of answer once however many want
 * it. Results too long for that are pinned for each reader on its own. */
#include "http/api/api_priv.h"

#include "base/mem.h"
#include "base/text.h"

#include <time.h>

enum { SHARED_RESULT_BYTES = 64 * 1024, SHARED_KINDS = 4, LOOK_RETRY_MS = 1000 };

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- on and off the board --- */

static uint64_t board_key(uint64_t key, enum job_until until)
{
	return until == UNTIL_DONE ? key : ~key;
}

static struct board *board_of(struct api_thread *api, const struct waiter *waiter)
{
	bool stream = waiter->kind == WAIT_STREAM || waiter->kind == WAIT_SSE || waiter->kind == WAIT_MANY_STREAM;

	return stream ? &api->streams : &api->board;
}

bool waiter_add(struct api_thread *api, struct waiter *waiter, uint64_t key)
{
	return board_add(board_of(api, waiter), &waiter->wait, board_key(key, (enum job_until)waiter->until)) == 0;
}

void waiter_remove(struct api_thread *api, struct waiter *waiter)
{
	board_remove(board_of(api, waiter), &waiter->wait);
}

void wait_leave(struct exchange *ex)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);

	if (!(call->flags & CALL_BOARD))
		return;
	call->flags &= (uint8_t)~CALL_BOARD;
	if (call->waiter.kind == WAIT_PICK)
		stream_pick_leave(ex);
	else
		waiter_remove(api, &call->waiter);
	wait_count(api, (enum wait_kind)call->waiter.kind, -1);
}

void wait_park(struct exchange *ex, struct ask *ask, const struct job_view *view, enum job_until until, uint32_t revision)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);
	uint64_t wait_ms = ask->wait_ms;

	if (call->flags & CALL_GONE) {
		exchange_done(ex);
		return;
	}
	call->waiter = (struct waiter){.revision = revision, .kind = ask->kind, .until = (uint8_t)until, .told_s = ask->told_s};
	if (text_base32_decode(slice_from(view->handle, JOB_HANDLE_CHARS), call->handle) ||
	    !waiter_add(api, &call->waiter, view->key)) {
		call_no_memory(ex);
		return;
	}
	call->flags |= CALL_BOARD;
	wait_count(api, (enum wait_kind)call->waiter.kind, 1);
	call_park(ex, wait_ms);
}

/* --- looking once more --- */

void wait_look_again(struct exchange *ex, void (*answered)(struct exchange *ex, struct ask *ask))
{
	struct call *call = call_of(ex);
	struct ask *ask = ask_new(ex, COMMAND_JOBS, answered);
	struct slice *handle = ask ? arena_alloc(&ex->arena, sizeof(*handle)) : NULL;
	char *text = handle ? arena_alloc(&ex->arena, JOB_HANDLE_CHARS) : NULL;

	if (!ask)
		return;
	if (!text) {
		call_no_memory(ex);
		return;
	}
	text_base32(call->handle, HANDLE_BYTES, text);
	*handle = slice_from(text, JOB_HANDLE_CHARS);
	ask->kind = call->waiter.kind;
	ask->told_s = call->waiter.told_s;
	ask->command.in.jobs = (struct jobs_in){.handles = handle, .count = 1, .pin_result = call->waiter.kind != WAIT_JOB};
	ask_send(ex, ask);
}

static void looked_again(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct job_view *view = c->out.view_count ? c->out.views[0] : NULL;
	enum outcome outcome = c->outcome;

	if (view)
		c->out.views[0] = NULL;
	command_answer_deinit(c);
	if (view)
		look_answer(ex, (enum wait_kind)ask->kind, ask->told_s, view, (struct slice){0});
	else
		call_outcome(ex, outcome);
	job_view_unref(view);
}

/* --- waking --- */

/* Answers made in one wake, each kind once. */
struct shared {
	struct {
		struct shared_answer *answer;
		uint8_t kind;
		uint16_t told_s;
	} made[SHARED_KINDS];
	size_t count;
	struct buf result; /* the result's bytes, read once */
	bool has_result;
};

struct waking {
	struct api_thread *api;
	struct job_view *view; /* NULL: forgotten */
	struct shared shared;
	bool alone; /* one wait only: nothing is worth sharing */
	bool again; /* somebody wants to hear of the next change */
	uint64_t latency_us, answered;
};

static bool is_there(const struct waiter *waiter, const struct job_view *view)
{
	if (!view || job_state_is_terminal(view->state))
		return true;
	switch ((enum job_until)waiter->until) {
	case UNTIL_DONE:
		break;
	case UNTIL_STARTED:
		return view->state == JOB_RUNNING;
	case UNTIL_CHANGED:
		return view->revision > waiter->revision;
	}
	return false;
}

/* The result's bytes, to be shared; false: too long, or not readable. */
static bool result_read(struct waking *w)
{
	struct store_pin *pin = w->view->pin;
	char *at;

	if (w->shared.has_result)
		return true;
	if (!pin || pin->ref.kind != BODY_INLINE || pin->ref.size_bytes > SHARED_RESULT_BYTES)
		return false;
	at = buf_reserve(&w->shared.result, (size_t)pin->ref.size_bytes);
	if (!at || pin->ops->read_whole(pin, at))
		return false;
	w->shared.result.len += (size_t)pin->ref.size_bytes;
	w->shared.has_result = true;
	return true;
}

/* NULL: this kind of answer cannot be shared. */
static struct shared_answer *shared_make(struct waking *w, struct exchange *ex, const struct waiter *waiter)
{
	struct api_thread *api = w->api;
	struct reply reply;

	if (!look_reply(&reply, &api->out, (enum wait_kind)waiter->kind, waiter->told_s, w->view)) {
		if (!result_read(w))
			return NULL;
		reply.answer.body = buf_slice(&w->shared.result);
	}
	return api->out.failed ? NULL : shared_answer_new(exchange_thread(ex), &reply.answer);
}

static struct shared_answer *shared_find(struct waking *w, struct exchange *ex, const struct waiter *waiter)
{
	struct shared *shared = &w->shared;
	struct shared_answer *answer;

	for (size_t i = 0; i < shared->count; i++) {
		if (shared->made[i].kind == waiter->kind && shared->made[i].told_s == waiter->told_s)
			return shared->made[i].answer;
	}
	if (shared->count == SHARED_KINDS)
		return NULL;
	answer = shared_make(w, ex, waiter);
	if (!answer)
		return NULL;
	shared->made[shared->count].answer = answer;
	shared->made[shared->count].kind = waiter->kind;
	shared->made[shared->count++].told_s = waiter->told_s;
	return answer;
}

static void wake_one(struct waking *w, struct call *call)
{
	struct exchange *ex = call_exchange(call);
	struct waiter *waiter = &call->waiter;
	struct shared_answer *answer;

	wait_leave(ex);
	exchange_unpark(ex);
	w->api->stats.answered_total++;
	w->answered++;
	if (!w->view) {
		call_outcome(ex, OUTCOME_NOT_FOUND);
		return;
	}
	answer = w->alone ? NULL : shared_find(w, ex, waiter);
	if (answer)
		exchange_answer_shared(ex, answer);
	else if (waiter->kind == WAIT_JOB || w->view->state != JOB_DONE || w->view->result.kind == BODY_NONE || w->view->pin)
		look_answer(ex, (enum wait_kind)waiter->kind, waiter->told_s, w->view, (struct slice){0});
	else
		wait_look_again(ex, looked_again); /* the pin is another's by now: one of its own */
}

/* All that hang under the key: those that are far enough leave the board, the others go back to it in their order. */
static void wake_key(struct waking *w, uint64_t key)
{
	struct wait *first = board_find(&w->api->board, key);
	struct list stay;

	if (!first)
		return;
	w->alone = board_next(first, first) == NULL;
	list_init(&stay);
	while ((first = board_find(&w->api->board, key))) {
		struct waiter *waiter = container_of(first, struct waiter, wait);

		if (!is_there(waiter, w->view)) {
			board_remove(&w->api->board, first);
			list_init(&first->peers);
			list_push_back(&stay, &first->peers);
		} else if (waiter->kind == WAIT_MANY) {
			many_job_woken(w->api, waiter, w->view);
		} else {
			wake_one(w, container_of(waiter, struct call, waiter));
		}
	}
	w->again = w->again || !list_empty(&stay);
	while (!list_empty(&stay)) {
		struct wait *wait = container_of(stay.next, struct wait, peers);

		list_remove(&wait->peers);
		wait->peers = (struct list){NULL, NULL};
		/* The table has held it a moment ago, so there is room. */
		(void)!board_add(&w->api->board, wait, key);
	}
}

void wait_latency(struct api_thread *api, uint64_t sent_us, uint64_t waits)
{
	struct api_stats *stats = &api->stats;
	uint64_t now = now_us(), us = now > sent_us ? now - sent_us : 0;
	unsigned bucket = 0;

	if (!waits)
		return;

	while (bucket + 1 < API_LATENCY_BUCKETS && us > (64ULL << bucket))
		bucket++;
	stats->wake_bucket[bucket] += waits;
	stats->wake_count += waits;
	stats->wake_sum_us += us * waits;
}

/* --- watching again --- */

struct rewatch {
	struct ask ask; /* first */
	struct slice handle;
	char text[JOB_HANDLE_CHARS];
};

static void wake_all(struct api_thread *api, struct job_view *view, uint64_t key, uint64_t sent_us);

static void rewatched(struct api_thread *api, struct ask *ask)
{
	struct rewatch *rewatch = container_of(ask, struct rewatch, ask);
	struct command *c = &ask->command;
	uint64_t key = handle_key(rewatch->handle);

	/* It changed while we were asking: the same as a wake. */
	if (c->outcome == OUTCOME_NOT_FOUND)
		wake_all(api, NULL, key, now_us());
	else if (c->outcome == OUTCOME_OK || c->outcome == OUTCOME_GONE)
		wake_all(api, c->out.views[0], key, now_us());
	command_answer_deinit(c);
	mem_free(rewatch);
}

/* Without memory for it, the waits' own deadlines look. */
static void watch_again(struct api_thread *api, const struct job_view *view)
{
	struct rewatch *rewatch = ask_own(sizeof(*rewatch), COMMAND_JOBS, rewatched);

	if (!rewatch)
		return;
	memcpy(rewatch->text, view->handle, JOB_HANDLE_CHARS);
	rewatch->handle = slice_from(rewatch->text, JOB_HANDLE_CHARS);
	rewatch->ask.command.in.jobs = (struct jobs_in){.handles = &rewatch->handle,
							.count = 1,
							.until = UNTIL_CHANGED,
							.revision = view->revision,
							.watch = true,
							.pin_result = true};
	ask_send_own(api, &rewatch->ask);
}

static void wake_all(struct api_thread *api, struct job_view *view, uint64_t key, uint64_t sent_us)
{
	struct waking w = {.api = api, .view = view};

	wake_key(&w, ~key);
	w.again = w.again && view;
	if (!view || job_state_is_terminal(view->state))
		wake_key(&w, key);
	if (w.again)
		watch_again(api, view);
	for (size_t i = 0; i < w.shared.count; i++)
		shared_answer_unref(w.shared.made[i].answer);
	buf_deinit(&w.shared.result);
	wait_latency(api, sent_us, w.answered);
	/* Whoever keeps the view (a wait for many) has no use for the result's bytes. */
	if (view && view->pin) {
		view->pin->ops->unpin(view->pin);
		view->pin = NULL;
	}
}

void wait_woken(struct api_thread *api, struct wake *wake, uint64_t sent_us)
{
	wake_all(api, wake->view, wake->key, sent_us);
	message_free(&wake->message);
}

/* --- the end of a wait --- */

void wait_ended(struct api_thread *api)
{
	if (api->draining)
		api->stats.drained_total++;
	else
		api->stats.expired_total++;
}

void wait_expired(struct exchange *ex)
{
	struct api_thread *api = api_of(ex);
	struct call *call = call_of(ex);

	wait_ended(api);
	if (call->waiter.kind == WAIT_MANY) {
		many_expired(ex);
		return;
	}
	if (call->waiter.kind == WAIT_STREAM) {
		stream_wait_expired(ex);
		return;
	}
	if (call->waiter.kind == WAIT_PICK) {
		stream_pick_expired(ex);
		return;
	}
	if (call->waiter.kind == WAIT_SSE) {
		stream_sse_close(ex);
		return;
	}
	wait_leave(ex);
	wait_look_again(ex, looked_again);
}
