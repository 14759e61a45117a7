/* Reading streams: what follows an offset, now or when it comes. Views carry pins of the bytes; nobody copies them here. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

#include <errno.h>

static struct slice put(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

uint64_t stream_key(uint64_t number)
{
	return number * 0x9e3779b97f4a7c15u;
}

struct stream_view *stream_view_room(size_t strings_bytes, size_t chunk_count)
{
	return mem_zalloc(sizeof(struct stream_view) + chunk_count * sizeof(struct stream_chunk_view) + strings_bytes);
}

void stream_view_fill(struct stream_view *view, const struct stream *stream, size_t chunk_count)
{
	const struct stream_more *more = stream_more(stream);
	struct slice path = stream_path(stream), type = stream_type_slice(stream);
	char *at = (char *)(view + 1) + chunk_count * sizeof(struct stream_chunk_view);

	view->refs = 1;
	view->number = stream->number;
	view->key = stream_key(stream->number);
	view->next_offset = view->from_offset = view->after_offset = stream->next_offset;
	view->earliest_offset = stream_earliest(stream);
	view->stable_offset = stream_stable(stream);
	view->created_ms = stream_created_ms(stream);
	view->bytes = stream->bytes;
	view->waits = stream->waits;
	view->expires_at_ms = more->expires_at_ms;
	view->ttl_s = more->ttl_s;
	view->max_age_ms = more->max_age_ms;
	view->max_bytes = more->max_bytes;
	view->has_ttl = (stream->flags & STREAM_HAS_TTL) != 0;
	view->closed = (stream->flags & STREAM_CLOSED) != 0;
	view->topic = (stream->flags & STREAM_TOPIC) != 0;
	view->json = (stream->flags & STREAM_JSON) != 0;
	view->path = put(&at, path);
	view->content_type = put(&at, type);
}

struct stream_view *stream_view_new(struct sequencer *s, const struct stream *stream, size_t chunk_count)
{
	struct stream_view *view = stream_view_room(stream_path(stream).len + stream_type_slice(stream).len, chunk_count);

	(void)s;
	if (view)
		stream_view_fill(view, stream, chunk_count);
	return view;
}

struct stream_view *stream_view_ref(struct stream_view *view)
{
	view->refs++;
	return view;
}

struct stream_view *stream_view_unref(struct stream_view *view)
{
	if (!view || --view->refs > 0)
		return NULL;
	for (size_t i = 0; i < view->chunk_count; i++) {
		if (view->chunks[i].pin)
			view->chunks[i].pin->ops->unpin(view->chunks[i].pin);
	}
	mem_free(view->aborted);
	return mem_free(view);
}

static uint64_t end_of(const struct stream *stream, const struct stream_read_in *in)
{
	return in->committed ? stream_readable(stream) : stream->next_offset;
}

/* How many chunks from `offset` on are to be told. */
static size_t chunks_wanted(const struct stream *stream, uint64_t offset, const struct stream_read_in *in)
{
	size_t most = in->max_chunks && in->max_chunks < STREAM_CHUNKS_MAX ? in->max_chunks : STREAM_CHUNKS_MAX, count = 0;
	struct chunk_place place;
	uint64_t bytes = 0;

	while (count < most && stream_chunk_from(stream, offset, &place) && place.from < end_of(stream, in) &&
	       (!in->until_offset || place.from < in->until_offset)) {
		bytes += place.chunk->size_bytes;
		if (in->across && bytes >= in->max_bytes)
			return count + 1;
		if (bytes > in->max_bytes && (count > 0 || (in->strict && place.chunk->kind != BODY_BLOB)))
			break;
		offset = place.end;
		count++;
	}
	return count;
}

/* Of what lies at [from, end). 0 or -ENOMEM. */
static int tell_aborted(const struct stream *stream, uint64_t from, uint64_t end, struct stream_view *view)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	uint32_t count = sequences ? sequences->aborted_count : 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct aborted *one = &sequences->aborted->items[i];

		if (one->last < from || one->first >= end)
			continue;
		if (!view->aborted)
			view->aborted = mem_alloc((count - i) * sizeof(*view->aborted));
		if (!view->aborted)
			return -ENOMEM;
		view->aborted[view->aborted_count++] = *one;
	}
	return 0;
}

struct stream_view *stream_view_from(struct sequencer *s, const struct stream *stream, uint64_t offset,
				     const struct stream_read_in *in)
{
	size_t count = chunks_wanted(stream, offset, in);
	struct stream_view *view = stream_view_new(s, stream, count);
	uint64_t end = end_of(stream, in);
	struct chunk_place place;

	if (!view)
		return NULL;
	view->from_offset = offset;
	view->after_offset = offset;
	for (size_t i = 0; i < count && stream_chunk_from(stream, view->after_offset, &place); i++) {
		struct stream_chunk_view *chunk = &view->chunks[i];

		if (place.end > end)
			place.end = end;
		*chunk = (struct stream_chunk_view){
			.first_offset = place.chunk->offset,
			.count = (uint32_t)(place.end - place.chunk->offset),
			.ref = chunk_ref(place.chunk),
			.value_bytes = place.value_bytes,
		};
		chunk->pin = s->store->ops->pin(s->store, &chunk->ref);
		if (!chunk->pin)
			return stream_view_unref(view);
		view->chunk_count++;
		view->after_offset = place.end;
	}
	/* Behind the last one there may be a gap, up to the end. */
	if ((!stream_chunk_from(stream, view->after_offset, &place) || place.from >= end) && view->after_offset < end)
		view->after_offset = end;
	if (in->committed)
		view->next_offset = end > offset ? end : offset;
	return in->committed && tell_aborted(stream, offset, view->after_offset, view) ? stream_view_unref(view) : view;
}

static bool wake(struct sequencer *s, const struct stream *stream, const struct stream_waking *w, unsigned thread)
{
	struct stream_wake *wake = mem_zalloc(sizeof(*wake));

	if (!wake)
		return false;
	wake->message = (struct message){.kind = MESSAGE_STREAM_WAKE, .thread = (uint8_t)thread};
	wake->key = stream_key(stream->number);
	if (!w->deleted) {
		/* Whoever waited stood at the end before this append. */
		wake->view = stream_view_from(s, stream, w->from,
					      &(struct stream_read_in){.max_bytes = UINT64_MAX, .committed = true});
		if (!wake->view) {
			mem_free(wake);
			return false;
		}
	}
	s->stats.wakes_total++;
	message_send(s, &wake->message, w->gate);
	return true;
}

/* Without memory the watch stays: the next change tries again, and the wait's own deadline looks anyway. */
void stream_wake_watchers(struct sequencer *s, struct stream *stream, const struct stream_waking *w)
{
	for (unsigned t = 0; stream->watch >> t; t++) {
		if ((stream->watch >> t & 1) && wake(s, stream, w, t))
			stream->watch &= ~(1u << t);
	}
	if (!stream->watch)
		stream->waits = 0;
}

bool stream_place_find(const struct stream *stream, uint64_t number, uint64_t *offset)
{
	const struct stream *at = stream;
	uint64_t most = UINT64_MAX;

	if (number == 0 && *offset == 0) {
		*offset = stream_earliest(stream);
		return true;
	}
	while (at && at->number != number) {
		const struct stream_more *more = stream_more(at);

		if (more->fork_offset < most)
			most = more->fork_offset;
		at = more->source;
	}
	return at && *offset <= most && *offset >= stream_earliest(stream);
}

/* The first record not before `time_ms`. Chunks tell their latest time; within the one it is in it is looked for. */
static enum outcome from_time(struct sequencer *s, const struct stream *stream, uint64_t time_ms, uint64_t *ret_offset)
{
	uint64_t offset = stream_earliest(stream);
	struct chunk_place place;
	int r;

	for (; stream_chunk_since(stream, offset, time_ms, &place); offset = place.end) {
		*ret_offset = place.from;
		r = place.chunk->kind == BODY_INLINE ? chunk_offset_at(s, &place, time_ms, ret_offset) : 0;
		if (r < 0)
			return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_STORAGE;
		if (r == 0)
			return OUTCOME_OK;
		/* Of a source's chunk, and the late ones lie behind what is inherited. */
	}
	*ret_offset = stream_readable(stream);
	return OUTCOME_OK;
}

/* So many before the end; what cannot be read yet does not count. */
static uint64_t tail_of(const struct stream *stream, uint64_t count)
{
	uint64_t more = stream->next_offset - stream_readable(stream);

	return stream_offset_before_end(stream, count < UINT64_MAX - more ? count + more : UINT64_MAX);
}

/* Where reading begins; OUTCOME_OTHER: the cursor is not of this stream, or of what it no longer has. */
static enum outcome from_of(struct sequencer *s, const struct stream *stream, const struct stream_read_in *in,
			    uint64_t *ret_offset)
{
	switch (in->from) {
	case STREAM_FROM_START:
		*ret_offset = stream_earliest(stream);
		return OUTCOME_OK;
	case STREAM_FROM_NOW:
		*ret_offset = stream_readable(stream);
		return OUTCOME_OK;
	case STREAM_FROM_TAIL:
		*ret_offset = tail_of(stream, in->count);
		return OUTCOME_OK;
	case STREAM_FROM_TIME:
		return from_time(s, stream, in->time_ms, ret_offset);
	case STREAM_FROM_OFFSET:
		break;
	}
	*ret_offset = in->offset;
	if (!stream_place_find(stream, in->number, ret_offset))
		return OUTCOME_OTHER;
	*ret_offset = *ret_offset < stream->next_offset ? *ret_offset : stream->next_offset;
	return OUTCOME_OK;
}

/* Whether there is so much behind the offset that nobody is to wait for more. */
static bool has_enough(const struct stream *stream, uint64_t offset, uint64_t min_bytes)
{
	struct chunk_place place;
	uint64_t bytes = 0;

	while (stream_chunk_from(stream, offset, &place) && place.from < stream_readable(stream)) {
		bytes += place.chunk->size_bytes;
		if (bytes >= min_bytes)
			return true;
		offset = place.end;
	}
	return false;
}

enum outcome stream_look(struct sequencer *s, const struct stream_read_in *in, unsigned thread, struct stream_view **ret_view,
			 uint64_t *gate)
{
	struct stream *stream = stream_find(&s->streams, in->path);
	uint64_t end = stream ? stream->changed_end : s->forgotten_end, offset = 0;
	struct stream_read_in bounds = *in;
	enum outcome outcome;

	if (end > *gate)
		*gate = end;
	if (!stream)
		return output_look(s, in, thread, ret_view, gate);
	if (in->look || stream->flags & STREAM_GONE) {
		outcome = stream->flags & STREAM_GONE ? OUTCOME_GONE : OUTCOME_OK;
		*ret_view = stream_view_new(s, stream, 0);
		if (*ret_view)
			(*ret_view)->next_offset = stream_readable(stream);
		return *ret_view ? outcome : OUTCOME_NO_MEMORY;
	}
	stream_touch(&s->streams, stream, s->now_ms);
	outcome = from_of(s, stream, in, &offset);
	if (outcome != OUTCOME_OK && outcome != OUTCOME_OTHER)
		return outcome;
	if (outcome != OUTCOME_OK)
		offset = stream->next_offset;
	bounds.committed = true;
	*ret_view = stream_view_from(s, stream, offset, &bounds);
	if (!*ret_view)
		return OUTCOME_NO_MEMORY;
	if (outcome == OUTCOME_OK && in->watch && !(stream->flags & STREAM_CLOSED) &&
	    !has_enough(stream, offset, in->min_bytes)) {
		stream->watch |= 1u << thread;
		stream->waits += in->waits ? in->waits : 1;
		outcome = OUTCOME_PARKED;
	}
	return outcome;
}

bool stream_has_more(struct sequencer *s, const struct stream_read_in *in)
{
	const struct stream *stream = stream_find(&s->streams, in->path);
	uint64_t offset = 0;

	return stream && !(stream->flags & STREAM_GONE) && from_of(s, stream, in, &offset) == OUTCOME_OK &&
	       has_enough(stream, offset, in->min_bytes);
}

void command_stream_read(struct sequencer *s, struct command *c)
{
	uint64_t gate = 0;
	enum outcome outcome = stream_look(s, &c->in.stream_read, c->message.thread, &c->out.stream, &gate);

	reply(s, c, outcome, gate);
}

void stream_left(struct sequencer *s, const struct stream_left *left)
{
	struct stream *stream = stream_find_number(&s->streams, left->number);

	if (stream)
		stream->waits -= left->waits < stream->waits ? left->waits : stream->waits;
}
