#include "sequencer/stream_kept_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

void kept_free(struct kept *kept)
{
	for (size_t i = 0; i < kept->stream_count; i++)
		mem_free(kept->streams[i].items);
	mem_free(kept);
}

struct kept_stream *kept_at(struct kept *kept, struct slice path)
{
	for (size_t i = 0; i < kept->stream_count; i++) {
		if (kept->streams[i].there && slice_eq(kept->streams[i].path, path))
			return &kept->streams[i];
	}
	return NULL;
}

struct kept_stream *kept_number(struct kept *kept, uint64_t number)
{
	for (size_t i = 0; i < kept->stream_count; i++) {
		if (kept->streams[i].number == number)
			return &kept->streams[i];
	}
	return NULL;
}

struct kept_stream *kept_add(struct kept *kept, struct slice path, uint64_t number)
{
	struct kept_stream *stream = &kept->streams[kept->stream_count++];

	assert_true(kept->stream_count <= KEPT_STREAMS_MAX && number > 0);
	*stream = (struct kept_stream){.there = true, .path = path, .number = number};
	return stream;
}

static void item_add(struct kept_stream *stream, struct kept_item item)
{
	if (stream->count == stream->cap) {
		stream->cap = stream->cap ? stream->cap * 2 : 16;
		stream->items = mem_realloc(stream->items, stream->cap * sizeof(*stream->items));
		assert_non_null(stream->items);
	}
	stream->items[stream->count++] = item;
}

void kept_fork(struct kept_stream *fork, struct kept_stream *source, uint64_t offset, uint64_t sub)
{
	fork->source = source;
	fork->json = source->json;
	fork->fork_offset = offset;
	fork->own_offset = fork->next_offset = offset + (sub > 0);
	fork->earliest = source->earliest < offset ? source->earliest : offset;
	source->forks++;
}

void kept_append(struct kept *kept, struct kept_stream *stream, const struct kept_record *record)
{
	struct kept_record *copy = &kept->records[kept->record_count];

	assert_true(kept->record_count < KEPT_RECORDS_MAX);
	for (size_t i = stream->count; record->replaces && i > 0; i--) {
		struct kept_record *before = &kept->records[stream->items[i - 1].record];

		if (before->offset < stream->own_offset || before->offset < stream->earliest)
			break;
		if (before->replaces && before->key == record->key)
			before->dead = true;
	}
	*copy = *record;
	copy->offset = stream->next_offset++;
	item_add(stream, (struct kept_item){kept->record_count++, record->len});
}

void kept_delete(struct kept_stream *stream)
{
	stream->gone = true;
	while (stream && stream->gone && !stream->forks) {
		stream->there = false;
		stream = stream->source;
		if (stream)
			stream->forks--;
	}
}

/* --- finding --- */

const struct kept_record *kept_visible(const struct kept *kept, const struct kept_stream *stream, size_t i)
{
	const struct kept_record *record = &kept->records[stream->items[i].record];

	return !record->dead && record->offset >= stream->earliest ? record : NULL;
}

size_t kept_find(const struct kept *kept, const struct kept_stream *stream, uint64_t offset)
{
	size_t i = 0;

	for (; i < stream->count; i++) {
		const struct kept_record *record = kept_visible(kept, stream, i);

		if (record && record->offset == offset)
			break;
	}
	return i;
}

uint64_t kept_append_end(const struct kept *kept, const struct kept_stream *stream, size_t i)
{
	uint32_t append = kept->records[stream->items[i].record].append;

	while (i + 1 < stream->count && kept->records[stream->items[i + 1].record].append == append)
		i++;
	return kept->records[stream->items[i].record].offset + 1;
}

bool kept_place(const struct kept_stream *stream, uint64_t number, uint64_t offset)
{
	const struct kept_stream *at = stream;
	uint64_t most = UINT64_MAX;

	if (!number && !offset)
		return true;
	for (; at && at->number != number; at = at->source)
		most = at->source && at->fork_offset < most ? at->fork_offset : most;
	return at && offset <= most && offset >= stream->earliest;
}

/* --- what the sequencer did of its own --- */

static uint64_t bytes_of(const struct kept_stream *stream)
{
	return stream_find_number(&f.s->streams, stream->number)->bytes;
}

/* Each record that goes is too old, or there may have been too much. */
static void follow_trim(struct kept *kept, struct kept_stream *stream, uint64_t offset)
{
	assert_true(stream && stream->there && !stream->gone && offset > stream->earliest && offset <= stream->next_offset);
	for (size_t i = 0; i < stream->count; i++) {
		const struct kept_record *record = kept_visible(kept, stream, i);

		if (!record || record->offset >= offset)
			continue;
		assert_true((stream->max_age_ms && record->time_ms + stream->max_age_ms <= f.now_ms) ||
			    (record->expires_ms && record->expires_ms <= f.now_ms) ||
			    (stream->max_bytes && offset < stream->next_offset));
	}
	stream->earliest = offset;
	kept->trimmed++;
}

/* All that came with the append there. */
static void follow_drop(struct kept *kept, const struct kept_stream *stream, uint64_t offset)
{
	uint32_t append = 0;

	assert_non_null(stream);
	for (size_t i = 0; i < stream->count; i++) {
		struct kept_record *record = &kept->records[stream->items[i].record];

		if (record->offset == offset && offset >= stream->own_offset)
			append = record->append;
		if (!append || record->append != append)
			continue;
		assert_true(record->expires_ms && record->expires_ms <= f.now_ms);
		record->dead = true;
	}
	kept->dropped++;
}

void kept_follow(struct kept *kept)
{
	for (; kept->entries_seen < f.entry_count; kept->entries_seen++) {
		const struct store_replay *entry = &f.entries[kept->entries_seen].replay;
		struct stream_event e = {.type = (enum stream_event_type)entry->type};

		if (entry->type < STREAM_EVENT_FIRST)
			continue;
		assert_int_equal(stream_event_decode(&e, entry->fields), 0);
		if (e.type == STREAM_TRIMMED)
			follow_trim(kept, kept_number(kept, e.number), e.offset);
		else if (e.type == STREAM_DROPPED)
			follow_drop(kept, kept_number(kept, e.number), e.offset);
		kept->gathered += e.type == STREAM_GATHERED;
		kept->moved += e.type == STREAM_MOVED;
	}
}

static void check_stream(const struct kept *kept, const struct kept_stream *stream)
{
	const struct kept_record *first = NULL, *last = NULL;
	struct chunk_place place;
	uint64_t latest_ms;

	for (size_t i = 0; i < stream->count; i++) {
		const struct kept_record *record = kept_visible(kept, stream, i);

		if (!record)
			continue;
		assert_true(!record->expires_ms || record->expires_ms > f.now_ms);
		first = first ? first : record;
		last = record;
	}
	if (stream->gone || !first)
		return;
	/* The first of some that lie together goes with the last of them, and one that came after a younger one with that. */
	assert_true(stream_chunk_from(stream_find_number(&f.s->streams, stream->number), stream->earliest, &place));
	latest_ms = place.chunk->max_time_ms; /* of records that a fork has not, too */
	for (size_t i = 0; i < stream->count && kept->records[stream->items[i].record].offset < chunk_end(place.chunk); i++) {
		if (kept->records[stream->items[i].record].time_ms > latest_ms)
			latest_ms = kept->records[stream->items[i].record].time_ms;
	}
	if (stream->max_age_ms)
		assert_true(latest_ms + stream->max_age_ms + stream->max_age_ms / 16 + 1 > f.now_ms);
	if (stream->max_bytes && first->append != last->append)
		assert_true(bytes_of(stream) <= stream->max_bytes + stream->max_bytes / 16 + f.config.gather_bytes);
}

void kept_check(const struct kept *kept)
{
	uint64_t there = 0;

	for (size_t i = 0; i < kept->stream_count; i++) {
		if (kept->streams[i].there)
			check_stream(kept, &kept->streams[i]);
		there += kept->streams[i].there;
	}
	assert_true(f.s->streams.count == there);
}

/* --- reading --- */

struct reading {
	const struct kept *kept;
	const struct kept_stream *stream;
	uint64_t from; /* what lies before it was read, or not asked for */
	size_t next;   /* the item that must come next */
};

static void pass_invisible(struct reading *r)
{
	while (r->next < r->stream->count) {
		const struct kept_record *record = kept_visible(r->kept, r->stream, r->next);

		if (record && record->offset >= r->from)
			return;
		r->next++;
	}
}

/* The record that came must be the next one. */
static void take(struct reading *r, uint64_t offset, struct batch_record got, uint64_t time_ms)
{
	const struct kept_record *record;

	pass_invisible(r);
	assert_true(r->next < r->stream->count);
	record = kept_visible(r->kept, r->stream, r->next);
	assert_true(offset == record->offset);
	assert_true(time_ms == record->time_ms);
	assert_true(got.value.len == r->stream->items[r->next].len);
	assert_memory_equal(got.value.ptr, record->value, got.value.len);
	assert_true(record->key ? got.key.len == 1 && *got.key.ptr == record->key : got.key.ptr == NULL);
	r->next++;
	r->from = offset + 1;
}

static void take_blob(struct reading *r, const struct stream_chunk_view *chunk)
{
	const struct kept_record *record;

	pass_invisible(r);
	assert_true(r->next < r->stream->count);
	record = kept_visible(r->kept, r->stream, r->next);
	assert_true(record->blob == chunk->ref.place && record->offset == chunk->first_offset && chunk->count == 1);
	assert_true(r->stream->items[r->next].len == record->len || r->stream->items[r->next].len == chunk->value_bytes);
	r->next++;
	r->from = record->offset + 1;
}

/* As a door does: of what lies in the batches, that behind the cursor and before the chunk's end. */
static void take_chunk(struct reading *r, const struct stream_chunk_view *chunk)
{
	struct batch_reader reader;
	struct batch_record record;
	struct slice rest, batch;
	uint64_t offset;
	char *bytes;

	if (chunk->ref.kind == BODY_BLOB) {
		take_blob(r, chunk);
		return;
	}
	bytes = mem_alloc(chunk->ref.size_bytes);
	assert_non_null(bytes);
	assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
	rest = slice_from(bytes, chunk->ref.size_bytes);
	while (batch_cut(&rest, &batch) == 1) {
		assert_int_equal(batch_open(&reader, batch), 0);
		while (batch_next(&reader, &record, &offset) == 1) {
			if (offset < r->from || offset < chunk->first_offset || offset >= chunk->first_offset + chunk->count)
				continue;
			if (record.value.len > chunk->value_bytes)
				record.value.len = chunk->value_bytes;
			take(r, offset, record, reader.record_time_ms);
		}
		assert_int_equal(reader.left, 0);
	}
	assert_int_equal(rest.len, 0);
	mem_free(bytes);
}

void kept_expect_read(const struct kept *kept, const struct kept_stream *stream, struct stream_read_in in)
{
	struct reading r = {.kept = kept, .stream = stream};
	struct ask ask;

	for (bool first = true;; first = false) {
		const struct stream_view *view;

		assert_int_equal(read_as(in, &ask, 0), OUTCOME_OK);
		view = ask.c.out.stream;
		assert_true(view->next_offset == stream->next_offset && view->earliest_offset == stream->earliest);
		assert_true(view->number == stream->number && view->closed == stream->closed);
		if (first)
			r.from = view->from_offset;
		for (size_t i = 0; i < view->chunk_count; i++)
			take_chunk(&r, &view->chunks[i]);
		if (!view->chunk_count)
			break;
		assert_true(view->after_offset > view->from_offset);
		in.from = STREAM_FROM_OFFSET;
		in.number = view->number;
		in.offset = view->after_offset;
		ask_deinit(&ask);
	}
	assert_true(ask.c.out.stream->after_offset == stream->next_offset);
	ask_deinit(&ask);
	pass_invisible(&r);
	assert_true(r.next == stream->count);
}
