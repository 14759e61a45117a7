/* Readers who wait at the end of a stream for records with a certain key (key=), or until there are so many bytes (min_bytes=).
 *
 * Those of one stream hang together, and those who want a key besides under its hash. A wake looks at the keys of what came, and
 * counts its bytes: only who waits for one of them, or has enough now, is woken; the others stay as they are, and all that is
 * kept of it is how far this thread has seen the stream, and how many bytes each has. So a wait costs next to nothing while
 * records come that do not end it, and the offset told at the end of one for a key lies behind them.
 *
 * Whoever is woken asks for its records itself, from where it stands. When a wake before this one lacked memory, or the stream
 * was closed, all do. */
#include "http/api/stream_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#define PICK_MARK 0x6b657973776169ULL

/* A stream that is so waited for, on this thread. */
struct pick_stream {
	struct wait place; /* first; on the board */
	struct list keys;  /* of picks: for a key */
	struct list sizes; /* of picks: for so many bytes */
	size_t count;      /* of picks that name it */
	uint64_t seen;     /* before this offset nothing is new to those who hang here */
};

struct pick {
	struct wait by_key; /* first; on the board if it is for a key */
	struct list peers;
	struct pick_stream *stream;
	struct exchange *ex;
	uint64_t cursor, until_ms;
	uint64_t min_bytes, bytes, counted; /* there are so many, up to that offset */
	size_t len;
	char text[]; /* the key; with min_bytes the stream's path, to read what is there at the end */
};

static struct slice text_of(const struct pick *pick)
{
	return slice_from(pick->text, pick->len);
}

static uint64_t now_ms(const struct exchange *ex)
{
	return http_thread_now_ms(exchange_thread(ex));
}

static uint64_t key_hash(const struct api_thread *api, uint64_t stream, struct slice key)
{
	return hash_u64(&api->streams.secret, stream, hash_bytes(&api->streams.secret, key.ptr, key.len));
}

/* --- on and off --- */

static struct pick_stream *stream_of(struct api_thread *api, uint64_t key)
{
	struct wait *wait = board_find(&api->streams, key ^ PICK_MARK);

	return wait ? container_of(wait, struct pick_stream, place) : NULL;
}

static struct pick_stream *stream_take(struct api_thread *api, const struct stream_view *view)
{
	struct pick_stream *stream = stream_of(api, view->key);

	if (stream)
		return stream;
	stream = mem_zalloc(sizeof(*stream));
	if (!stream)
		return NULL;
	list_init(&stream->keys);
	list_init(&stream->sizes);
	stream->seen = view->next_offset;
	if (board_add(&api->streams, &stream->place, view->key ^ PICK_MARK))
		return mem_free(stream);
	return stream;
}

static void stream_give(struct api_thread *api, struct pick_stream *stream)
{
	if (stream->count > 0)
		return;
	board_remove(&api->streams, &stream->place);
	mem_free(stream);
}

/* What of a view lies behind the offset. A chunk on both sides of it counts: who is woken too early looks for himself. */
static uint64_t bytes_behind(const struct stream_view *view, uint64_t offset)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < view->chunk_count; i++) {
		if (view->chunks[i].first_offset + view->chunks[i].count > offset)
			bytes += view->chunks[i].ref.size_bytes;
	}
	return bytes;
}

static bool pick_hang(struct exchange *ex, struct ask *ask, const struct stream_view *view)
{
	struct api_thread *api = api_of(ex);
	struct pick_stream *stream = stream_take(api, view);
	struct slice text = ask->key.ptr ? ask->key : view->path;
	struct pick *pick = stream ? mem_zalloc(sizeof(*pick) + text.len) : NULL;

	if (pick && ask->key.ptr && board_add(&api->streams, &pick->by_key, key_hash(api, view->key, ask->key)))
		pick = mem_free(pick);
	if (!pick) {
		if (stream)
			stream_give(api, stream);
		return false;
	}
	pick->ex = ex;
	pick->stream = stream;
	pick->cursor = ask->cursor;
	pick->until_ms = ask->until_ms;
	pick->min_bytes = ask->command.in.stream_read.min_bytes;
	/* Where the view is cut short whatever comes may be enough. */
	pick->bytes = view->after_offset < view->next_offset ? pick->min_bytes : bytes_behind(view, 0);
	pick->counted = view->next_offset;
	pick->len = text.len;
	memcpy(pick->text, text.ptr, text.len);
	stream->count++;
	list_push_back(ask->key.ptr ? &stream->keys : &stream->sizes, &pick->peers);
	call_of(ex)->pick = pick;
	return true;
}

void stream_pick_park(struct exchange *ex, struct ask *ask, const struct stream_view *view)
{
	struct stream_place place = {view->number, view->chunk_count ? view->from_offset : view->after_offset};
	struct call *call = call_of(ex);
	uint64_t at_ms = now_ms(ex), left_ms;

	if (!ask->until_ms)
		ask->until_ms = at_ms + ask->wait_ms;
	left_ms = ask->until_ms > at_ms ? ask->until_ms - at_ms : 0;
	if (!pick_hang(ex, ask, view)) {
		call_no_memory(ex);
		return;
	}
	call->waiter = (struct waiter){.kind = WAIT_PICK, .told_s = ask->told_s};
	call->keep = ask->keep;
	call->format = ask->format;
	memcpy(call->handle, &place, sizeof(place));
	call->flags |= CALL_BOARD;
	wait_count(api_of(ex), WAIT_PICK, 1);
	call_park(ex, left_ms);
}

/* Off the boards; the caller frees it. */
static struct pick *pick_take(struct exchange *ex)
{
	struct api_thread *api = api_of(ex);
	struct pick *pick = call_of(ex)->pick;

	board_remove(&api->streams, &pick->by_key);
	list_remove(&pick->peers);
	pick->stream->count--;
	stream_give(api, pick->stream);
	pick->stream = NULL;
	call_of(ex)->pick = NULL;
	return pick;
}

void stream_pick_leave(struct exchange *ex)
{
	mem_free(pick_take(ex));
}

/* --- the end of a wait --- */

static void pick_ask(struct exchange *ex, const struct pick *pick, struct slice path, uint64_t seen, bool over)
{
	struct call *call = call_of(ex);
	struct stream_place place = stream_place_of(call);
	struct ask *ask = ask_new(ex, COMMAND_STREAM_READ, stream_was_read);
	uint64_t at_ms = now_ms(ex);

	if (!ask)
		return;
	path = arena_dup(&ex->arena, path);
	if (!pick->min_bytes)
		ask->key = arena_dup(&ex->arena, text_of(pick));
	if (!path.ptr || (!pick->min_bytes && !ask->key.ptr)) {
		call_no_memory(ex);
		return;
	}
	ask->kind = WAIT_PICK;
	ask->told_s = call->waiter.told_s;
	ask->cursor = pick->cursor;
	ask->limit = UINT64_MAX;
	ask->keep = call->keep;
	ask->format = call->format;
	ask->until_ms = pick->until_ms;
	ask->wait_ms = over || api_of(ex)->draining || at_ms >= pick->until_ms ? 0 : pick->until_ms - at_ms;
	ask->command.in.stream_read = (struct stream_read_in){
		.path = path,
		.from = STREAM_FROM_OFFSET,
		.number = place.number,
		.offset = !pick->min_bytes && seen > place.offset ? seen : place.offset,
		.min_bytes = over ? 0 : pick->min_bytes,
		.max_bytes = READ_BYTES_MAX,
		.watch = ask->wait_ms > 0,
	};
	ask_send(ex, ask);
}

/* Off the boards, to read for itself from where it stands: what it waits for is there, or its time is over. */
static void pick_read(struct exchange *ex, struct slice path, uint64_t seen, bool over)
{
	struct pick *pick = pick_take(ex);

	call_of(ex)->flags &= (uint8_t)~CALL_BOARD;
	wait_count(api_of(ex), WAIT_PICK, -1);
	pick_ask(ex, pick, path.ptr ? path : text_of(pick), seen, over);
	mem_free(pick);
}

void stream_pick_expired(struct exchange *ex)
{
	struct call *call = call_of(ex);
	struct pick *pick = call->pick;
	struct stream_place place = stream_place_of(call);
	struct reading reading = {.cursor = pick->cursor, .told_s = call->waiter.told_s, .live = true};

	stream_wait_left(ex);
	if (pick->min_bytes) {
		pick_read(ex, (struct slice){0}, 0, true);
		return;
	}
	if (pick->stream->seen > place.offset)
		place.offset = pick->stream->seen;
	wait_leave(ex);
	stream_answer_none(ex, &reading, place.number, place.offset, false);
}

/* --- waking --- */

static void hit(struct api_thread *api, uint64_t stream, struct slice key, struct list *hits)
{
	struct wait *first = board_find(&api->streams, key_hash(api, stream, key));

	for (struct wait *wait = first; wait; wait = board_next(first, wait)) {
		struct pick *pick = container_of(wait, struct pick, by_key);

		if (!slice_eq(text_of(pick), key))
			continue;
		list_remove(&pick->peers);
		list_push_back(hits, &pick->peers);
	}
}

/* Who waits for one of the keys in these chunks. False: that cannot be seen. */
static bool find_hits(struct api_thread *api, const struct stream_view *view, struct list *hits)
{
	struct buf room = {0};

	for (size_t i = 0; i < view->chunk_count; i++) {
		const struct stream_chunk_view *chunk = &view->chunks[i];
		char *bytes = chunk->ref.kind == BODY_INLINE && chunk->pin ? mem_alloc((size_t)chunk->ref.size_bytes + 1) : NULL;
		struct slice rest = slice_from(bytes, (size_t)chunk->ref.size_bytes), batch;
		struct batch_record record;
		struct batch_reader reader;
		uint64_t offset;

		if (chunk->ref.kind == BODY_BLOB)
			continue; /* has no key */
		if (!bytes || chunk->pin->ops->read_whole(chunk->pin, bytes)) {
			mem_free(bytes);
			buf_deinit(&room);
			return false;
		}
		while (batch_cut(&rest, &batch) == 1 && !stream_batch_open(&reader, batch, &room)) {
			while (!stream_batch_is_void(view, batch) && batch_next(&reader, &record, &offset) == 1) {
				if (record.key.ptr && offset < chunk->first_offset + chunk->count)
					hit(api, view->key, record.key, hits);
			}
		}
		mem_free(bytes);
	}
	buf_deinit(&room);
	return true;
}

/* With a view they read for themselves; without one the outcome is what they hear. */
static void wake_list(struct list *picks, const struct stream_view *view, uint64_t seen, enum outcome outcome)
{
	while (!list_empty(picks)) {
		struct exchange *ex = list_first(picks, struct pick, peers)->ex;

		api_of(ex)->stats.answered_total++;
		exchange_unpark(ex);
		if (view) {
			pick_read(ex, view->path, seen, false);
			continue;
		}
		wait_leave(ex);
		stream_outcome(ex, outcome, NULL);
	}
}

/* The stream cannot be watched: it is gone, or has let go of what was not seen yet, or memory was short. */
static void wake_all(struct api_thread *api, uint64_t key, const struct stream_view *view, enum outcome outcome)
{
	struct pick_stream *stream = stream_of(api, key);
	struct list all;

	if (!stream)
		return;
	list_init(&all);
	list_splice(&all, &stream->sizes);
	list_splice(&all, &stream->keys);
	wake_list(&all, view, stream->seen, outcome);
}

/* Who has enough now. */
static void find_filled(const struct pick_stream *stream, const struct stream_view *view, struct list *hits)
{
	list_each_safe (node, &stream->sizes) {
		struct pick *pick = container_of(node, struct pick, peers);

		pick->bytes += bytes_behind(view, pick->counted);
		if (view->after_offset > pick->counted)
			pick->counted = view->after_offset;
		if (pick->bytes < pick->min_bytes)
			continue;
		list_remove(&pick->peers);
		list_push_back(hits, &pick->peers);
	}
}

static void looked_again(struct api_thread *api, uint64_t key, struct stream_view *view, enum outcome outcome)
{
	if (outcome == OUTCOME_OK)
		(void)stream_pick_woken(api, key, view);
	else
		wake_all(api, key, view, outcome);
}

uint64_t stream_pick_woken(struct api_thread *api, uint64_t key, struct stream_view *view)
{
	struct pick_stream *stream = stream_of(api, key);
	struct list hits;
	uint64_t seen, told = 0;

	if (!stream)
		return 0;
	list_init(&hits);
	seen = stream->seen;
	if (!view || view->closed || view->from_offset > seen) {
		list_splice(&hits, &stream->sizes);
		list_splice(&hits, &stream->keys);
	} else {
		find_filled(stream, view, &hits);
		if (!list_empty(&stream->keys) && !find_hits(api, view, &hits))
			list_splice(&hits, &stream->keys);
		if (view->after_offset > seen)
			stream->seen = view->after_offset;
	}
	list_each (node, &hits)
		told++;
	/* For those who were not woken. Without memory they find what comes at their next poll. */
	if (view && !(list_empty(&stream->keys) && list_empty(&stream->sizes)))
		(void)stream_watch_again(api, view, stream->seen, (uint32_t)(stream->count - told), looked_again);
	wake_list(&hits, view, seen, OUTCOME_NOT_FOUND);
	return told;
}
