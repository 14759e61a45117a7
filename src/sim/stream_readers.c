/* Those who read: each keeps a cursor, reads on from it a little at a time, waits at the end, goes away and comes back, on
 * another thread perhaps. What it reads must follow what it has. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

static void reader_away(struct reader *reader)
{
	if (reader->ask)
		reader->ask->who = NULL;
	reader->ask = NULL;
	if (reader->state == READER_PARKED) {
		board_remove(&reader->loop->streams, &reader->wait);
		wheel_remove(reader->loop->wheel, &reader->timer);
	}
	reader->state = READER_AWAY;
}

void readers_crash(struct world *world)
{
	for (unsigned i = 0; i < READERS; i++)
		reader_away(&world->streams.readers[i]);
}

/* Its stream is gone: it begins anew, with whatever is there now. */
static void reader_forgets(struct reader *reader)
{
	if (reader->number)
		told_gone(reader->world, reader->number);
	reader->number = reader->offset = 0;
}

/* Between the cursor and what follows it nothing is kept. */
static void reader_passes(struct reader *reader, uint64_t to)
{
	const struct model_stream *stream = model_stream(&reader->world->model.streams, reader->number);

	CHECK(reader->world, !model_has(stream, reader->offset, to),
	      "stream %" PRIu64 ": %" PRIu64 " follows, the cursor is %" PRIu64, reader->number, to, reader->offset);
}

/* The records behind the cursor, each once and in order; the first may lie within its bytes. */
static void reader_takes(struct reader *reader, const struct stream_view *view)
{
	struct world *world = reader->world;

	CHECK(world, !reader->number || view->number == reader->number, "a reader of stream %" PRIu64 " gets records of %" PRIu64,
	      reader->number, view->number);
	if (!reader->number) {
		reader->number = view->number;
		reader->offset = view->from_offset;
	}
	for (size_t i = 0; i < view->chunk_count; i++) {
		uint64_t first = view->chunks[i].first_offset, end = first + view->chunks[i].count;

		CHECK(world, reader->offset < end,
		      "stream %" PRIu64 ": the cursor is %" PRIu64 ", and until %" PRIu64 " comes again", view->number,
		      reader->offset, end);
		if (first > reader->offset) {
			reader_passes(reader, first);
			reader->offset = first;
		}
		world->streams.records += end - reader->offset;
		reader->offset = end;
	}
	CHECK(world, reader->offset <= view->after_offset && view->after_offset <= view->next_offset,
	      "stream %" PRIu64 ": the cursor %" PRIu64 " after %" PRIu64, view->number, view->after_offset, reader->offset);
	if (view->after_offset > reader->offset)
		reader_passes(reader, view->after_offset);
	reader->offset = view->after_offset;
}

/* --- waiting --- */

static void reader_expired(struct wheel_entry *entry)
{
	struct reader *reader = container_of(entry, struct reader, timer);
	struct world *world = reader->world;

	CHECK(world, world->now_ms >= entry->deadline_ms && world->now_ms <= entry->deadline_ms + TICK_MS,
	      "a reader's wait was to end at %" PRIu64 ", it is %" PRIu64, entry->deadline_ms, world->now_ms);
	world->waits_expired++;
	reader_away(reader);
}

static void reader_parks(struct reader *reader, const struct stream_view *view)
{
	struct world *world = reader->world;

	reader->state = READER_PARKED;
	reader->timer = (struct wheel_entry){.deadline_ms = world->now_ms + random_between(&world->random, 1, 2000),
					     .expired = reader_expired};
	list_init(&reader->timer.node);
	ENSURE(board_add(&reader->loop->streams, &reader->wait, view->key) == 0);
	wheel_add(reader->loop->wheel, &reader->timer);
}

static void reader_looks(struct reader *reader, bool watch);

static void reader_returned(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct stream_view *view = c->out.stream;
	struct reader *reader = ask->who;

	if (view && c->outcome != OUTCOME_STORAGE)
		check_stream_bytes(world, view);
	if (!reader)
		return;
	reader->ask = NULL;
	reader->state = READER_AWAY;
	world->streams.reads++;
	world->streams.others += c->outcome == OUTCOME_OTHER;
	switch ((unsigned)c->outcome) {
	case OUTCOME_OK:
		reader_takes(reader, view);
		if (view->closed && reader->offset == view->next_offset && random_permille(&world->random, 200))
			reader->number = reader->offset = 0; /* all of it once more */
		return;
	case OUTCOME_PARKED:
		reader_takes(reader, view);
		reader_parks(reader, view);
		return;
	case OUTCOME_OTHER:
		if (view->number == reader->number) { /* what was there is no longer kept: it begins with what is */
			CHECK(world, reader->offset < view->earliest_offset, "stream %" PRIu64 ": the cursor %" PRIu64 " is good",
			      reader->number, reader->offset);
			world->streams.behind++;
			reader->number = reader->offset = 0;
			return;
		}
		reader_forgets(reader);
		return;
	case OUTCOME_NOT_FOUND:
	case OUTCOME_GONE:
		reader_forgets(reader);
		return;
	default:
		return;
	}
}

static void reader_looks(struct reader *reader, bool watch)
{
	struct world *world = reader->world;
	struct ask *ask = ask_new(world, reader->loop, COMMAND_STREAM_READ);

	reader->state = READER_LOOKING;
	reader->ask = ask;
	ask->who = reader;
	ask->returned = reader_returned;
	ask->command.in.stream_read = (struct stream_read_in){
		.path = ask_text(ask, "%s", stream_path_name(reader->path)),
		.from = reader->number                         ? STREAM_FROM_OFFSET
			: random_permille(&world->random, 850) ? STREAM_FROM_START
							       : STREAM_FROM_NOW,
		.number = reader->number,
		.offset = reader->offset,
		.max_bytes = random_between(&world->random, 1, 1000),
		.watch = watch,
	};
	ask_send(world, ask);
}

/* Cursors that nobody gave out: of no stream, beyond the end. */
static void stranger_looks(struct world *world)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_STREAM_READ);

	ask->returned = reader_returned;
	ask->command.in.stream_read = (struct stream_read_in){
		.path = ask_text(ask, "%s", stream_path_name((unsigned)random_below(&world->random, STREAM_PATHS))),
		.from = STREAM_FROM_OFFSET,
		.number = random_between(&world->random, 0, world->model.streams.next_number),
		.offset = random_below(&world->random, 200),
		.max_bytes = random_below(&world->random, 1000),
		.watch = random_permille(&world->random, 300),
	};
	ask_send(world, ask);
}

void reader_acts(struct world *world)
{
	struct reader *reader = &world->streams.readers[random_below(&world->random, READERS)];

	if (random_permille(&world->random, 50))
		stranger_looks(world);
	if (reader->state != READER_AWAY || stream_left_alone(world, reader->path))
		return;
	reader->loop = any_loop(world);
	reader_looks(reader, random_permille(&world->random, 700));
}

void reader_leaves(struct world *world)
{
	reader_away(&world->streams.readers[random_below(&world->random, READERS)]);
}

/* As the door does: all that wait here are answered, or read again when the wake's records are not those behind their cursor. */
void reader_woken(struct world *world, struct loop *loop, struct stream_wake *wake)
{
	const struct stream_view *view = wake->view;
	struct wait *wait;

	if (view)
		check_stream_bytes(world, view);
	while ((wait = board_find(&loop->streams, wake->key))) {
		struct reader *reader = container_of(wait, struct reader, wait);

		reader_away(reader);
		world->streams.wakes++;
		if (!view) {
			reader_forgets(reader);
			continue;
		}
		CHECK(world, view->next_offset > reader->offset || view->closed, "stream %" PRIu64 ": a wake for nothing",
		      view->number);
		if (view->next_offset <= reader->offset)
			continue;
		if (view->chunk_count && view->from_offset == reader->offset)
			reader_takes(reader, view);
		else
			reader_looks(reader, false);
	}
}
