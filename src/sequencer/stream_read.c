/* Reading streams: what follows an offset, now or when it comes. Views carry pins of the bytes; nobody copies them here. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

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
	struct slice path = stream_path(stream), type = stream_type_slice(stream);
	char *at = (char *)(view + 1) + chunk_count * sizeof(struct stream_chunk_view);

	view->refs = 1;
	view->number = stream->number;
	view->key = stream_key(stream->number);
	view->next_offset = view->from_offset = view->after_offset = stream->next_offset;
	view->earliest_offset = stream_earliest(stream);
	view->created_ms = stream->created_ms;
	view->expires_at_ms = stream->expires_at_ms;
	view->ttl_s = stream->ttl_s;
	view->has_ttl = (stream->flags & STREAM_HAS_TTL) != 0;
	view->closed = (stream->flags & STREAM_CLOSED) != 0;
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
	return mem_free(view);
}

/* How many chunks from `offset` on are to be told. */
static size_t chunks_wanted(const struct stream *stream, uint64_t offset, const struct stream_read_in *in)
{
	size_t most = in->max_chunks && in->max_chunks < STREAM_CHUNKS_MAX ? in->max_chunks : STREAM_CHUNKS_MAX, count = 0;
	uint64_t bytes = 0;

	while (offset < stream->next_offset && count < most) {
		struct chunk_place place = stream_chunk_at(stream, offset);

		bytes += place.chunk->ref.size_bytes;
		if (bytes > in->max_bytes && (count > 0 || (in->strict && place.chunk->ref.kind != BODY_BLOB)))
			break;
		offset = place.end;
		count++;
	}
	return count;
}

/* A view with chunks and their pins. NULL: no memory, or bytes that are gone. */
static struct stream_view *view_from(struct sequencer *s, const struct stream *stream, uint64_t offset,
				     const struct stream_read_in *in)
{
	size_t count = chunks_wanted(stream, offset, in);
	struct stream_view *view = stream_view_new(s, stream, count);

	if (!view)
		return NULL;
	view->from_offset = offset;
	view->after_offset = offset;
	for (size_t i = 0; i < count; i++) {
		struct chunk_place place = stream_chunk_at(stream, view->after_offset);
		struct stream_chunk_view *chunk = &view->chunks[i];

		*chunk = (struct stream_chunk_view){
			.first_offset = place.chunk->offset,
			.count = (uint32_t)(place.end - place.chunk->offset),
			.ref = place.chunk->ref,
			.value_bytes = place.value_bytes,
			.pin = s->store->ops->pin(s->store, &place.chunk->ref),
		};
		if (!chunk->pin)
			return stream_view_unref(view);
		view->chunk_count++;
		view->after_offset = place.end;
	}
	return view;
}

static bool wake(struct sequencer *s, const struct stream *stream, unsigned thread, uint64_t gate, bool deleted)
{
	struct stream_wake *wake = mem_zalloc(sizeof(*wake));
	const struct chunk *last = stream->chunk_count ? &stream->chunks[stream->chunk_count - 1] : NULL;

	if (!wake)
		return false;
	wake->message = (struct message){.kind = MESSAGE_STREAM_WAKE, .thread = (uint8_t)thread};
	wake->key = stream_key(stream->number);
	if (!deleted) {
		/* Whoever waited stood at the end before this append: where the last chunk begins, unless nothing was appended.
		 */
		wake->view = view_from(s, stream, last ? last->offset : stream->next_offset,
				       &(struct stream_read_in){.max_bytes = UINT64_MAX});
		if (!wake->view) {
			mem_free(wake);
			return false;
		}
	}
	s->stats.wakes_total++;
	message_send(s, &wake->message, gate);
	return true;
}

/* Without memory the watch stays: the next change tries again, and the wait's own deadline looks anyway. */
void stream_wake_watchers(struct sequencer *s, struct stream *stream, uint64_t gate, bool deleted)
{
	for (unsigned t = 0; stream->watch >> t; t++) {
		if ((stream->watch >> t & 1) && wake(s, stream, t, gate, deleted))
			stream->watch &= ~(1u << t);
	}
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
		if (at->fork_offset < most)
			most = at->fork_offset;
		at = at->source;
	}
	return at && *offset <= most && *offset >= stream_earliest(stream);
}

/* Where reading begins; OUTCOME_OTHER: the cursor is not of this stream, or of what it no longer has. */
static enum outcome from_of(const struct stream *stream, const struct stream_read_in *in, uint64_t *ret_offset)
{
	switch (in->from) {
	case STREAM_FROM_START:
		*ret_offset = stream_earliest(stream);
		return OUTCOME_OK;
	case STREAM_FROM_NOW:
		*ret_offset = stream->next_offset;
		return OUTCOME_OK;
	case STREAM_FROM_OFFSET:
		break;
	}
	*ret_offset = in->offset;
	if (!stream_place_find(stream, in->number, ret_offset))
		return OUTCOME_OTHER;
	*ret_offset = *ret_offset < stream->next_offset ? *ret_offset : stream->next_offset;
	return OUTCOME_OK;
}

enum outcome stream_look(struct sequencer *s, const struct stream_read_in *in, unsigned thread, struct stream_view **ret_view,
			 uint64_t *gate)
{
	struct stream *stream = stream_find(&s->streams, in->path);
	uint64_t end = stream ? stream->changed_end : s->forgotten_end, offset = 0;
	enum outcome outcome;

	if (end > *gate)
		*gate = end;
	if (!stream)
		return OUTCOME_NOT_FOUND;
	if (in->look || stream->flags & STREAM_GONE) {
		outcome = stream->flags & STREAM_GONE ? OUTCOME_GONE : OUTCOME_OK;
		*ret_view = stream_view_new(s, stream, 0);
		return *ret_view ? outcome : OUTCOME_NO_MEMORY;
	}
	stream_touch(&s->streams, stream, s->now_ms);
	outcome = from_of(stream, in, &offset);
	if (outcome != OUTCOME_OK)
		offset = stream->next_offset;
	*ret_view = view_from(s, stream, offset, in);
	if (!*ret_view)
		return OUTCOME_NO_MEMORY;
	if (outcome == OUTCOME_OK && in->watch && offset == stream->next_offset && !(stream->flags & STREAM_CLOSED)) {
		stream->watch |= 1u << thread;
		outcome = OUTCOME_PARKED;
	}
	return outcome;
}

bool stream_has_more(const struct sequencer *s, const struct stream_read_in *in)
{
	const struct stream *stream = stream_find(&s->streams, in->path);
	uint64_t offset = 0;

	return stream && !(stream->flags & STREAM_GONE) && from_of(stream, in, &offset) == OUTCOME_OK &&
	       offset < stream->next_offset;
}

void command_stream_read(struct sequencer *s, struct command *c)
{
	uint64_t gate = 0;
	enum outcome outcome = stream_look(s, &c->in.stream_read, c->message.thread, &c->out.stream, &gate);

	reply(s, c, outcome, gate);
}
