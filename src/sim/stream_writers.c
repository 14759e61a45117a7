/* Those who append: idempotent producers, some of which share an id and fence each other; writers with a Stream-Seq; writers that
 * have neither and so say nothing twice; liars. Answers get lost, and servers crash: then the same is said again. */
#include "sim/world.h"

#include "base/panic.h"
#include "stream/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *stream_path_name(unsigned path)
{
	static const char *const names[STREAM_PATHS] = {"a", "b/c", "d", "e/f/g", "h", "i/j"};

	return names[path % STREAM_PATHS];
}

/* One path's streams live long and grow beyond what one snapshot event holds. */
static bool lives_long(unsigned path)
{
	return path == 0;
}

static size_t appends_max(unsigned path)
{
	return lives_long(path) ? 300 : 40;
}

bool stream_left_alone(struct world *world, unsigned path)
{
	const struct model_stream *stream = model_stream_at(&world->model.streams, slice_str(stream_path_name(path)));

	return stream && stream->flags & STREAM_HAS_TTL && !lives_long(path) && !random_permille(&world->random, 30);
}

void streams_begin(struct world *world)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &world->streams.writers[i];

		*w = (struct writer){.path = i % STREAM_PATHS, .type = "text/plain", .epoch = ++world->streams.epoch};
		if (i < 2 * STREAM_PATHS) /* two for each path; every other pair shares an id */
			snprintf(w->id, sizeof(w->id), "%c", i % 2 ? 'p' + (int)(i / STREAM_PATHS) : 'p');
		w->sequenced = i >= 2 * STREAM_PATHS && i % 2;
	}
	for (unsigned i = 0; i < READERS; i++)
		world->streams.readers[i] = (struct reader){.world = world, .path = i % STREAM_PATHS};
}

void streams_end(struct world *world)
{
	for (uint64_t i = 0; i < world->streams.told_cap; i++)
		free(world->streams.told[i].chunks);
	free(world->streams.told);
}

static bool can_repeat(const struct writer *w)
{
	return w->id[0] || w->sequenced;
}

void writers_crash(struct world *world)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &world->streams.writers[i];

		if (w->ask && !can_repeat(w))
			w->has = false;
		w->ask = NULL;
	}
}

/* --- records --- */

static struct slice message_text(struct ask *ask, const struct writer *w)
{
	static const char letters[] = "whatever there is to say of it, and then some more";

	return ask_text(ask, "%" PRIu64 " by %s%u: %.*s", w->serial, w->id, w->path, (int)(w->serial % (sizeof(letters) - 1)),
			letters);
}

enum { BATCH_MS = 1 }; /* the same message said again has the same bytes */

struct records_in stream_records(struct ask *ask, struct slice text, uint32_t count, struct slice key)
{
	struct batch_record records[MODEL_RECORDS_MAX];
	struct buf batch = {0};
	struct slice bytes;

	for (uint32_t i = 0; i < count; i++)
		records[i] = (struct batch_record){.key = key, .value = slice_from(text.ptr, i ? i : text.len)};
	batch_encode(&batch, BATCH_MS, records, count);
	ENSURE(!batch.failed && batch.len < TEXT_MAX - ask->used);
	bytes = slice_from(ask->text + ask->used, batch.len);
	memcpy(ask->text + ask->used, batch.ptr, batch.len);
	ask->used += batch.len;
	buf_deinit(&batch);
	return (struct records_in){.batch = (char *)(uintptr_t)bytes.ptr, .batch_bytes = bytes.len, .count = count};
}

static struct records_in records_make(struct world *world, struct ask *ask, const struct writer *w, struct slice key)
{
	if (!w->count)
		return (struct records_in){0};
	if (w->blob)
		return (struct records_in){.blob = sim_store_blob(world->store, message_text(ask, w)), .count = 1};
	return stream_records(ask, message_text(ask, w), w->count, key);
}

static void message_make(struct world *world, struct writer *w)
{
	struct random *random = &world->random;

	w->has = true;
	w->serial = ++world->streams.serial;
	w->blob = random_permille(random, 120);
	w->count = w->blob ? 1 : (uint32_t)random_between(random, 1, 4);
	w->closes = random_permille(random, lives_long(w->path) ? 1 : 15);
	if (w->closes && random_permille(random, 500))
		w->count = w->blob = 0;
	w->ttl_ms = w->count && random_permille(random, 120) ? random_between(random, 1, 5000) : 0;
	w->key = w->count && !w->blob && random_permille(random, 250) ? (char)('A' + random_below(random, 3)) : 0;
	if (w->key)
		w->count = 1;
}

/* --- making, deleting, looking --- */

static void created(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct records_in *records = &c->in.stream_create.records;
	const struct stream_view *view = c->out.stream;

	if (c->outcome != OUTCOME_OK)
		return;
	if (records->count)
		told_chunk(world, view->number, view->next_offset - records->count, records->count,
			   records->batch ? stream_batch_content(slice_from(records->batch, records->batch_bytes))
					  : stream_blob_content(&records->blob));
	if (view->closed)
		told_closed(world, view->number, view->next_offset);
}

static void life_make(struct world *world, unsigned path, struct stream_create_in *in)
{
	struct random *random = &world->random;

	if (lives_long(path)) {
		in->has_ttl = random_permille(random, 200);
		in->ttl_s = in->has_ttl ? 3600 : 0;
	} else if (random_permille(random, world->theme->idle_permille)) {
		in->has_ttl = true;
		in->ttl_s = random_below(random, 3);
	} else if (random_permille(random, 200)) {
		in->expires_at_ms = world->now_ms + random_below(random, 4000);
	}
	if (random_permille(random, 350))
		in->max_age_ms = random_between(random, 100, 6000);
	if (random_permille(random, 350))
		in->max_bytes = random_between(random, 200, 3000);
}

static void stream_create(struct world *world, unsigned path)
{
	struct random *random = &world->random;
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_CREATE);
	struct stream_create_in *in = &ask->command.in.stream_create;
	struct writer first = {.path = path, .id = "first"};

	in->path = ask_text(ask, "%s", stream_path_name(path));
	in->content_type = random_permille(random, 800)   ? SLICE("text/plain")
			   : random_permille(random, 500) ? SLICE("Text/Plain")
							  : SLICE("text/other");
	in->closed = random_permille(random, lives_long(path) ? 0 : 30);
	in->json = random_permille(random, 100);
	life_make(world, path, in);
	if (random_permille(random, 300)) {
		message_make(world, &first);
		in->records = records_make(world, ask, &first, (struct slice){0});
	}
	ask->returned = created;
	ask_send(world, ask);
}

/* From anywhere in what some stream has, or has from others; and from where it has nothing. */
static void stream_fork(struct world *world, unsigned path)
{
	struct random *random = &world->random;
	unsigned from = (unsigned)random_below(random, STREAM_PATHS);
	const struct model_stream *source = model_stream_at(&world->model.streams, slice_str(stream_path_name(from)));
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_CREATE);
	struct stream_create_in *in = &ask->command.in.stream_create;

	in->path = ask_text(ask, "%s", stream_path_name(path));
	in->source = ask_text(ask, "%s", stream_path_name(from));
	if (random_permille(random, 200))
		in->content_type = SLICE("text/plain");
	if (random_permille(random, 200))
		life_make(world, path, in);
	in->has_fork_offset = random_permille(random, 700);
	if (in->has_fork_offset && source) {
		in->fork_offset = random_between(random, source->earliest, source->next_offset + random_permille(random, 50));
		in->fork_sub = random_permille(random, 400) ? random_below(random, 20) : 0;
		while (source->source && random_permille(random, 300))
			source = source->source;
		in->fork_number = source->number;
	}
	ask->returned = created;
	ask_send(world, ask);
}

static void deleted(struct world *world, struct ask *ask)
{
	if (ask->command.outcome == OUTCOME_OK)
		told_gone(world, ask->numbers[0]);
}

/* Which stream it will be is not known before it is applied: ask->numbers[0] is set then. */
static void stream_delete(struct world *world, unsigned path)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_DELETE);

	ask->command.in.stream_read.path = ask_text(ask, "%s", stream_path_name(path));
	ask->returned = deleted;
	ask_send(world, ask);
}

static void stream_look(struct world *world, unsigned path)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_READ);

	ask->command.in.stream_read = (struct stream_read_in){.path = ask_text(ask, "%s", stream_path_name(path)), .look = true};
	ask_send(world, ask);
}

static void streams_list(struct world *world)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_LIST);

	ask->command.in.stream_list =
		(struct stream_list_in){.prefix = random_permille(&world->random, 700) ? (struct slice){0} : SLICE("b"),
					.limit = (uint32_t)random_between(&world->random, 1, 12),
					.after = random_permille(&world->random, 600)
							 ? 0
							 : random_below(&world->random, world->model.streams.next_number + 2)};
	ask_send(world, ask);
}

void stream_operator_acts(struct world *world)
{
	unsigned path = (unsigned)random_below(&world->random, STREAM_PATHS);

	if (stream_left_alone(world, path))
		return;
	if (random_permille(&world->random, 300) && !lives_long(path)) {
		stream_fork(world, path);
		return;
	}
	switch (random_below(&world->random, 9)) {
	case 8:
		streams_list(world);
		return;
	case 0:
		if (!lives_long(path) || random_permille(&world->random, 50))
			stream_delete(world, path);
		return;
	case 1:
	case 2:
	case 3:
		stream_look(world, path);
		return;
	default:
		stream_create(world, path);
		return;
	}
}

/* --- appending --- */

/* Begins anew, as nobody who was there before. */
static void writer_renew(struct world *world, struct writer *w)
{
	w->has = false;
	w->epoch = ++world->streams.epoch;
	w->seq = 0;
}

static void writer_done(struct world *world, struct writer *w, const struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct records_in *records = &c->in.stream_append.records;
	const struct stream_view *view = c->out.stream;
	const struct model_stream *stream = model_stream(&world->model.streams, view->number);
	const struct model_chunk *chunk;
	uint64_t content = records->batch ? stream_batch_content(slice_from(records->batch, records->batch_bytes))
					  : stream_blob_content(&records->blob);

	w->has = false;
	w->seq++;
	world->streams.repeats += c->outcome == OUTCOME_SAME;
	if (view->closed)
		told_closed(world, view->number, view->next_offset);
	if (!records->count)
		return;
	chunk = model_chunk_content(stream, content);
	CHECK(world, chunk && chunk->count == records->count, "stream %" PRIu64 ": an append was acknowledged, and is not there",
	      view->number);
	CHECK(world, chunk->end <= sim_store_durable(world->store), "stream %" PRIu64 ": acknowledged, and not durable",
	      view->number);
	told_chunk(world, view->number, chunk->offset, chunk->count, content);
}

static void writer_returned(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct writer *w = ask->who;

	if (!w)
		return;
	w->ask = NULL;
	switch ((unsigned)c->outcome) {
	case OUTCOME_OK:
	case OUTCOME_SAME:
		writer_done(world, w, ask);
		return;
	case OUTCOME_NO_SPACE:
	case OUTCOME_NO_MEMORY:
		return; /* again, later */
	case OUTCOME_STORAGE:
		w->has = w->has && can_repeat(w);
		return;
	case OUTCOME_TYPE:
		snprintf(w->type, sizeof(w->type), "%.*s", (int)c->out.stream->content_type.len, c->out.stream->content_type.ptr);
		return;
	case OUTCOME_SEQ:
	case OUTCOME_NOT_FOUND:
		w->has = false;
		return;
	default:
		writer_renew(world, w);
		return;
	}
}

static struct ask *append_make(struct world *world, const struct writer *w)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_APPEND);
	struct stream_append_in *in = &ask->command.in.stream_append;

	in->path = ask_text(ask, "%s", stream_path_name(w->path));
	in->content_type = ask_text(ask, "%s", w->type);
	in->key = ask_text(ask, "%.*s", w->key ? 1 : 0, &w->key);
	in->replace = w->key != 0;
	in->ttl_ms = w->ttl_ms;
	in->records = records_make(world, ask, w, w->key ? in->key : (struct slice){0});
	in->close = w->closes;
	if (w->sequenced)
		in->stream_seq = ask_text(ask, "%012" PRIu64, w->serial);
	if (w->id[0])
		in->producer = (struct producer_in){ask_text(ask, "%s", w->id), w->epoch, w->seq};
	ask->returned = writer_returned;
	world_trace(world, "message %" PRIu64 ": %u records to %s by \"%s\" %" PRIu64 ":%" PRIu64, w->serial, w->count,
		    stream_path_name(w->path), w->id, w->epoch, w->seq);
	return ask;
}

/* Something that no honest writer says; nobody waits for the answer. */
static void lie(struct world *world, const struct writer *w)
{
	struct random *random = &world->random;
	struct writer liar = *w;

	message_make(world, &liar);
	liar.count += liar.count == 0; /* nothing at all has no type that could be wrong */
	switch (random_below(random, 4)) {
	case 0:
		snprintf(liar.type, sizeof(liar.type), "text/lie");
		break;
	case 1: /* one producer too many, or one that begins in the middle */
		snprintf(liar.id, sizeof(liar.id), "liar%u", (unsigned)random_below(random, 3));
		liar.seq = random_below(random, 2);
		liar.epoch = random_below(random, 3);
		break;
	case 2:
		liar.epoch = 0;
		break;
	default:
		liar.seq += 2 + random_below(random, 3);
		break;
	}
	ask_send(world, append_make(world, &liar));
}

void writer_acts(struct world *world)
{
	struct random *random = &world->random;
	struct writer *w = &world->streams.writers[random_below(random, WRITERS)];
	const struct model_stream *stream = model_stream_at(&world->model.streams, slice_str(stream_path_name(w->path)));

	if (stream_left_alone(world, w->path))
		return;
	if (w->ask) {
		if (!random_permille(random, 150))
			return;
		w->ask->who = NULL; /* its answer gets lost */
		w->ask = NULL;
		w->has = w->has && can_repeat(w);
		return;
	}
	if (!stream && random_permille(random, 600)) {
		if (random_permille(random, 300) && !lives_long(w->path))
			stream_fork(world, w->path);
		else
			stream_create(world, w->path);
		return;
	}
	if (stream && (stream->count >= appends_max(w->path) || (stream->closed_end && random_permille(random, 300)))) {
		stream_delete(world, w->path);
		return;
	}
	if (random_permille(random, 40)) {
		lie(world, w);
		return;
	}
	if (!w->has)
		message_make(world, w);
	w->ask = append_make(world, w);
	w->ask->who = w;
	ask_send(world, w->ask);
}
