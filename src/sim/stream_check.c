/* The invariants of streams: who caused an event, what leaves when, who waits in vain, and what was told once for all. */
#include "sim/world.h"

#include "base/panic.h"
#include "stream/batch.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- each event as it is appended: who made it, and was it right? --- */

static void tap_records(struct world *world, const struct stream_event *e, struct slice body, const struct records_in *in)
{
	CHECK(world, e->count == in->count, "another number of records than was sent");
	if (in->blob.kind)
		CHECK(world, e->blob.kind == BODY_BLOB && e->blob.place == in->blob.place && !body.len, "another blob");
	else if (in->batch)
		CHECK(world, body.len == in->batch_bytes && memcmp(body.ptr + 8, in->batch + 8, body.len - 8) == 0,
		      "other bytes than were sent");
}

static void tap_appended(struct world *world, const struct stream_event *e, struct slice body, const struct model_stream *stream)
{
	const struct command *c = world->cause == CAUSE_COMMAND ? &world->applying->command : NULL;
	const struct stream_append_in *in = c ? &c->in.stream_append : NULL;

	CHECK(world, c && c->kind == COMMAND_STREAM_APPEND && stream && slice_eq(in->path, slice_str(stream->path)),
	      "stream %" PRIu64 ": an append by nobody", e->number);
	CHECK(world,
	      slice_eq(e->producer, in->producer.id) && slice_eq(e->stream_seq, in->stream_seq) &&
		      (!in->producer.id.len || (e->epoch == in->producer.epoch && e->seq == in->producer.seq)),
	      "stream %" PRIu64 ": an append by somebody else", e->number);
	CHECK(world, in->close == ((e->flags & STREAM_CLOSED) != 0), "stream %" PRIu64 ": closed by nobody", e->number);
	CHECK(world, slice_eq(e->key, in->replace ? in->key : (struct slice){0}), "stream %" PRIu64 ": another key", e->number);
	CHECK(world, e->expires_at_ms == (in->ttl_ms && e->count ? world->now_ms + in->ttl_ms : 0),
	      "stream %" PRIu64 ": records with another time", e->number);
	tap_records(world, e, body, &in->records);
	world->streams.appends++;
	if (stream->count + 1 > world->streams.longest)
		world->streams.longest = stream->count + 1;
}

static void tap_deleted(struct world *world, const struct stream_event *e, const struct model_stream *stream)
{
	if (!stream)
		return;
	if (world->cause == CAUSE_COMMAND) {
		CHECK(world,
		      world->applying->command.kind == COMMAND_STREAM_DELETE &&
			      slice_eq(world->applying->command.in.stream_read.path, slice_str(stream->path)),
		      "stream %" PRIu64 " was deleted by nobody", e->number);
		return;
	}
	CHECK(world, world->cause == CAUSE_TURN && model_stream_due_ms(stream) <= world->now_ms,
	      "stream %" PRIu64 " expired %" PRIu64 " ms too early", e->number, model_stream_due_ms(stream) - world->now_ms);
	world->streams.expired++;
}

/* A run goes when it is too old, or when there is too much: no more than must, and never the last. */
static void tap_trimmed(struct world *world, const struct stream_event *e, const struct model_stream *stream)
{
	struct model_run *runs;
	size_t count = model_runs(stream, stream->earliest, &runs);
	uint64_t bytes = model_bytes(stream);
	bool too_long = stream->max_bytes && bytes > stream->max_bytes + stream->max_bytes / 16;

	CHECK(world, !stream->deleted_end, "stream %" PRIu64 ": trimmed, and deleted", e->number);
	for (size_t i = 0; i < count && runs[i].from < e->offset; i++) {
		bool too_old = stream->max_age_ms && runs[i].time_ms + stream->max_age_ms <= world->now_ms;
		const struct model_chunk *chunk = model_chunk(runs[i].owner, runs[i].from);

		too_old = too_old || (chunk->expires_ms && chunk->expires_ms <= world->now_ms);
		CHECK(world, runs[i].end <= e->offset, "stream %" PRIu64 ": trimmed within bytes", e->number);
		CHECK(world, too_old || (too_long && bytes > stream->max_bytes && runs[i].end < stream->next_offset),
		      "stream %" PRIu64 ": %" PRIu64 " was let go, neither old nor too much", e->number, runs[i].from);
		bytes -= runs[i].owner == stream ? runs[i].ref.size_bytes : 0;
	}
	free(runs);
	world->streams.trimmed++;
}

static void tap_dropped(struct world *world, const struct stream_event *e, const struct model_stream *stream)
{
	const struct model_chunk *chunk = model_chunk(stream, e->offset);

	CHECK(world, world->cause == CAUSE_TURN && chunk && chunk->expires_ms && chunk->expires_ms <= world->now_ms,
	      "stream %" PRIu64 ": %" PRIu64 " was dropped before its time", e->number, e->offset);
	world->streams.dropped++;
}

/* What the core does of its own. */
void tap_kept(struct world *world, const struct stream_event *e, const struct model_stream *stream)
{
	CHECK(world, stream, "an event of no stream");
	switch ((unsigned)e->type) {
	case STREAM_TRIMMED:
		tap_trimmed(world, e, stream);
		return;
	case STREAM_DROPPED:
		tap_dropped(world, e, stream);
		return;
	case STREAM_GATHERED:
		CHECK(world, world->cause == CAUSE_COMMAND, "stream %" PRIu64 ": gathered, and nobody appended", e->number);
		world->streams.gathered++;
		return;
	default:
		CHECK(world, world->cause == CAUSE_RESCUE, "stream %" PRIu64 ": moved by nobody", e->number);
		world->streams.moved++;
	}
}

static void tap_created(struct world *world, const struct stream_event *e, struct slice body)
{
	const struct stream_create_in *in = &world->applying->command.in.stream_create;
	const struct model_stream *source = model_stream_at(&world->model.streams, in->source);

	CHECK(world, world->cause == CAUSE_COMMAND && world->applying->command.kind == COMMAND_STREAM_CREATE,
	      "stream %" PRIu64 " was made by nobody", e->number);
	CHECK(world, in->source.len ? source && e->source == source->number : !e->source, "stream %" PRIu64 ": another source",
	      e->number);
	world->streams.forks += e->source != 0;
	tap_records(world, e, body, &in->records);
}

void check_stream_tap(struct world *world, const struct store_replay *entry)
{
	struct stream_event e = {.type = (enum stream_event_type)entry->type};
	const struct model_stream *stream;
	const char *wrong;

	CHECK(world, stream_event_decode(&e, entry->fields) == 0, "an event of a stream that nobody can read");
	stream = model_stream(&world->model.streams, e.number);
	world_trace(world, "event %u of stream %" PRIu64 ", until position %" PRIu64, entry->type, e.number, entry->end);
	if (e.type == STREAM_CREATED ? e.flags & STREAM_TOPIC : stream && stream->flags & STREAM_TOPIC) {
		topic_stream_tap(world, &e, sim_store_body(entry), stream);
	} else if (output_tap(world, &e)) {
		if (e.count)
			tap_records(world, &e, sim_store_body(entry), &world->applying->command.in.stream_append.records);
	} else if (e.type == STREAM_CREATED) {
		tap_created(world, &e, sim_store_body(entry));
	} else if (e.type == STREAM_APPENDED) {
		tap_appended(world, &e, sim_store_body(entry), stream);
	} else if (e.type == STREAM_DELETED) {
		tap_deleted(world, &e, stream);
	} else {
		tap_kept(world, &e, stream);
	}
	wrong = model_apply(&world->model, entry);
	CHECK(world, !wrong, "stream %" PRIu64 ", event %u: %s", e.number, entry->type, wrong);
}

/* --- what leaves, and what is read --- */

static void check_wake_gone(struct world *world, uint64_t key, uint64_t durable)
{
	const struct model_streams *streams = &world->model.streams;

	for (uint64_t number = 1; number < streams->next_number; number++) {
		const struct model_stream *stream = model_stream(streams, number);

		if (stream && stream_key(number) == key && stream->deleted_end && stream->deleted_end <= durable)
			return;
	}
	CHECK(world, false, "a stream was said to be gone, and is not, durably");
}

/* A wake tells what was there when it was made; all of that is durable by now. */
void check_stream_wake(struct world *world, const struct stream_wake *wake, uint64_t durable)
{
	const struct stream_view *view = wake->view;
	const struct model_stream *stream = view ? model_stream(&world->model.streams, view->number) : NULL;
	const struct model_chunk *last;

	if (output_wake(world, wake, durable))
		return;
	if (!view) {
		check_wake_gone(world, wake->key, durable);
		return;
	}
	CHECK(world, stream && view->key == stream_key(view->number), "a wake for no stream");
	last = view->next_offset ? model_chunk(stream, view->next_offset - 1) : NULL;
	CHECK(world,
	      view->next_offset == stream->own_offset ||
		      (last && last->offset + last->count == view->next_offset && last->end <= durable),
	      "stream %" PRIu64 ": a wake tells of %" PRIu64 ", which is not durable", view->number, view->next_offset);
	CHECK(world, !view->closed || (stream->closed_end && stream->closed_end <= durable),
	      "stream %" PRIu64 " was said to be closed, and is not, durably", view->number);
	CHECK(world, view->after_offset <= view->next_offset, "stream %" PRIu64 ": a wake goes beyond its end", view->number);
}

/* One append, as somebody reads it. */
static void check_append(struct world *world, const struct model_stream *stream, uint64_t offset, uint64_t content)
{
	const struct model_stream *owner = model_owner(stream, offset);
	const struct model_chunk *should = model_chunk(owner, offset);

	CHECK(world, should && should->offset == offset && should->content == content,
	      "stream %" PRIu64 ": other records at %" PRIu64 " than were appended", stream->number, offset);
	told_append(world, owner, offset);
}

static void check_chunk_bytes(struct world *world, const struct stream_view *view, const struct stream_chunk_view *chunk)
{
	const struct model_stream *stream = model_stream(&world->model.streams, view->number);
	char *bytes = malloc(chunk->ref.size_bytes + 1);
	struct slice body = {bytes, chunk->ref.size_bytes}, batch;
	uint64_t at = chunk->first_offset, end = chunk->first_offset + chunk->count;

	ENSURE(bytes);
	CHECK(world, stream, "records of no stream");
	CHECK(world, chunk->pin->ops->read_whole(chunk->pin, bytes) == 0, "stream %" PRIu64 ": wrong bytes", view->number);
	if (chunk->ref.kind == BODY_BLOB) {
		check_append(world, stream, at, stream_blob_content(&chunk->ref));
		at = end;
	}
	while (at < end && batch_cut(&body, &batch) == 1) {
		const struct model_chunk *append = model_chunk(model_owner(stream, at), at);

		CHECK(world, stream_batch_base(batch) == at, "stream %" PRIu64 ": a batch at the wrong offset", view->number);
		check_append(world, stream, at, stream_batch_content(batch));
		at += append ? append->count : 0;
	}
	CHECK(world, at >= end, "stream %" PRIu64 ": records until %" PRIu64 " were promised, %" PRIu64 " are there",
	      view->number, end, at);
	free(bytes);
}

void check_stream_bytes(struct world *world, const struct stream_view *view)
{
	for (size_t i = 0; i < view->chunk_count; i++)
		check_chunk_bytes(world, view, &view->chunks[i]);
	if (view->closed && view->number)
		told_closed(world, view->number, view->next_offset);
	if (view->number && view->earliest_offset > told_of(world, view->number)->earliest)
		told_of(world, view->number)->earliest = view->earliest_offset;
}

/* --- who waits --- */

static bool wake_is_near(const struct loop *loop, uint64_t key)
{
	for (const struct mail *mail = loop->inbox.first; mail; mail = mail->next) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind == MESSAGE_STREAM_WAKE && container_of(message, struct stream_wake, message)->key == key)
			return true;
	}
	return false;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The end of the last durable event that ends a wait at `offset`; 0: there is none. */
static uint64_t wait_ended(const struct model_stream *stream, uint64_t offset, uint64_t durable)
{
	uint64_t end = 0;

	for (size_t i = stream->count; i > 0 && stream->chunks[i - 1].offset >= offset; i--) {
		if (stream->chunks[i - 1].end <= durable)
			end = later(end, stream->chunks[i - 1].end);
	}
	if (stream->closed_end && stream->closed_end <= durable)
		end = later(end, stream->closed_end);
	if (stream->deleted_end && stream->deleted_end <= durable)
		end = later(end, stream->deleted_end);
	return end;
}

static void check_reader(struct world *world, const struct reader *reader)
{
	const struct model_stream *stream = model_stream(&world->model.streams, reader->number);
	uint64_t end;

	if (reader->state != READER_PARKED)
		return;
	CHECK(world, stream, "somebody waits for stream %" PRIu64 ", which never was", reader->number);
	end = wait_ended(stream, reader->offset, sim_store_durable(world->store));
	CHECK(world, end <= stream->wake_short_end || world->memory_failed || wake_is_near(reader->loop, reader->wait.key),
	      "a wake is lost: stream %" PRIu64 ", offset %" PRIu64, reader->number, reader->offset);
}

enum { OVERDUE_MS = 2500 }; /* a deadline that could not be handled comes again a second later */

/* Nothing stays beyond its time. By age it may be late by a sixteenth. */
static void check_kept(struct world *world, const struct model_stream *stream)
{
	uint64_t now_ms = world->now_ms - OVERDUE_MS;
	struct model_run *runs;

	for (size_t i = 0; i < stream->count; i++) {
		const struct model_chunk *chunk = &stream->chunks[i];

		CHECK(world,
		      chunk->dropped || !chunk->expires_ms || chunk->expires_ms > now_ms ||
			      chunk->offset + chunk->count <= model_read_from(&world->model.streams, stream),
		      "stream %" PRIu64 ": %" PRIu64 " is kept beyond its time", stream->number, chunk->offset);
	}
	if (stream->deleted_end || !stream->max_age_ms || stream->flags & STREAM_TOPIC || stream->created_ms + 1000 > now_ms)
		return; /* a fork may inherit what is too old for it already */
	if (model_runs(stream, stream->earliest, &runs))
		CHECK(world, runs[0].time_ms + stream->max_age_ms + stream->max_age_ms / 16 > now_ms,
		      "stream %" PRIu64 ": %" PRIu64 " is too old", stream->number, runs[0].from);
	free(runs);
}

void check_stream_turn(struct world *world)
{
	const struct model_streams *streams = &world->model.streams;

	for (unsigned i = 0; i < READERS; i++)
		check_reader(world, &world->streams.readers[i]);
	for (uint64_t number = 1; number < streams->next_number; number++) {
		const struct model_stream *stream = model_stream(streams, number);
		uint64_t due = stream && !stream->deleted_end ? model_stream_due_ms(stream) : UINT64_MAX;

		CHECK(world, due == UINT64_MAX || later(due, world->streams.overdue_ms) + OVERDUE_MS > world->now_ms,
		      "stream %" PRIu64 " should have expired", number);
		if (!stream || stream->freed_end || world->streams.overdue_ms + OVERDUE_MS >= world->now_ms)
			continue;
		check_kept(world, stream);
		if (!stream->deleted_end)
			output_check(world, stream);
	}
}

void check_stream_memory(struct world *world)
{
	struct model_streams *streams = &world->model.streams;

	world->streams.overdue_ms = world->now_ms;
	for (uint64_t number = 1; number < streams->next_number; number++) {
		struct model_stream *stream = model_stream(streams, number);

		if (stream && stream->changed_end > world->step_end)
			stream->wake_short_end = stream->changed_end;
	}
}

/* --- what was told --- */

struct told *told_of(struct world *world, uint64_t number)
{
	struct stream_world *streams = &world->streams;

	if (number >= streams->told_cap) {
		uint64_t cap = (number + 1) * 2;

		streams->told = realloc(streams->told, cap * sizeof(*streams->told));
		ENSURE(streams->told);
		memset(streams->told + streams->told_cap, 0, (cap - streams->told_cap) * sizeof(*streams->told));
		streams->told_cap = cap;
	}
	return &streams->told[number];
}

void told_chunk(struct world *world, uint64_t number, uint64_t offset, uint64_t count, uint64_t content)
{
	struct told *told = told_of(world, number);

	for (size_t i = 0; i < told->count; i++) {
		const struct told_chunk *chunk = &told->chunks[i];

		if (chunk->offset == offset && chunk->count == count && chunk->content == content)
			return;
		CHECK(world, offset >= chunk->offset + chunk->count || offset + count <= chunk->offset,
		      "stream %" PRIu64 ": two were told different things of offset %" PRIu64, number, offset);
		CHECK(world, chunk->content != content, "stream %" PRIu64 ": the same append at %" PRIu64 " and %" PRIu64, number,
		      chunk->offset, offset);
	}
	if (told->count == told->cap) {
		told->cap = told->cap ? told->cap * 2 : 16;
		told->chunks = realloc(told->chunks, told->cap * sizeof(*told->chunks));
		ENSURE(told->chunks);
	}
	told->chunks[told->count++] = (struct told_chunk){offset, count, content};
}

/* In a topic the same may lie twice, by producers without an id, who were forgotten, or by the server itself. */
static uint64_t told_content(const struct model_stream *stream, const struct model_chunk *chunk)
{
	return stream->flags & STREAM_TOPIC ? chunk->content ^ (chunk->offset + 1) * 0x9e3779b97f4a7c15u : chunk->content;
}

void told_append(struct world *world, const struct model_stream *stream, uint64_t offset)
{
	const struct model_chunk *chunk = model_chunk(stream, offset);

	told_chunk(world, stream->number, chunk->offset, chunk->count, told_content(stream, chunk));
}

void told_closed(struct world *world, uint64_t number, uint64_t at)
{
	struct told *told = told_of(world, number);

	CHECK(world, !told->closed || told->closed_at == at, "stream %" PRIu64 " was closed at two ends", number);
	told->closed = true;
	told->closed_at = at;
}

void told_gone(struct world *world, uint64_t number)
{
	told_of(world, number)->gone = true;
}

/* After a start: nothing that somebody was told has become untrue. */
void told_check(struct world *world)
{
	for (uint64_t number = 0; number < world->streams.told_cap; number++) {
		const struct told *told = &world->streams.told[number];
		const struct model_stream *stream = model_stream(&world->model.streams, number);

		if (!told->count && !told->gone && !told->closed && !told->earliest)
			continue;
		CHECK(world, stream, "stream %" PRIu64 " was acknowledged and is lost", number);
		CHECK(world, told->earliest <= stream->earliest, "stream %" PRIu64 ": what was let go is back", number);
		CHECK(world, !told->gone || stream->deleted_end, "stream %" PRIu64 " was deleted and is back", number);
		CHECK(world, !told->closed || (stream->closed_end && stream->next_offset == told->closed_at),
		      "stream %" PRIu64 " was closed and is not", number);
		for (size_t i = 0; i < told->count; i++) {
			const struct model_chunk *chunk = model_chunk(stream, told->chunks[i].offset);

			CHECK(world,
			      chunk && chunk->offset == told->chunks[i].offset && chunk->count == told->chunks[i].count &&
				      told_content(stream, chunk) == told->chunks[i].content,
			      "stream %" PRIu64 ": what was acknowledged at %" PRIu64 " is lost", number, told->chunks[i].offset);
		}
	}
}
