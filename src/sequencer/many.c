/* Looking at many jobs and streams at one moment. Each is looked at, and watched, as the command about one would do it; what is
 * shared is the room in the answer.
 *
 * The share of a stream is what is left divided by how many have not had theirs, so what one leaves goes to those behind it. The
 * order goes round from `turn` on, and whoever comes first has one chunk at least. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

struct room {
	uint64_t bytes;
	size_t chunks, sharers; /* that have something, and had no share yet */
	bool first;
};

static uint64_t bytes_of(const struct stream_view *view)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < view->chunk_count; i++) {
		if (view->chunks[i].ref.kind == BODY_INLINE)
			bytes += view->chunks[i].ref.size_bytes;
	}
	return bytes;
}

static void take_share(struct room *room, const struct stream_view *view)
{
	uint64_t bytes = bytes_of(view);

	room->bytes -= bytes < room->bytes ? bytes : room->bytes;
	room->chunks -= view->chunk_count < room->chunks ? view->chunk_count : room->chunks;
	room->sharers--;
	room->first = false;
}

static void look_stream(struct sequencer *s, struct command *c, size_t i, struct room *room, uint64_t *gate)
{
	struct stream_read_in in = c->in.many.streams.reads[i];
	struct stream_view **view = &c->out.streams[i];
	bool shares = room->sharers && stream_has_more(s, &in);

	if (shares) {
		in.max_bytes = room->bytes / room->sharers;
		in.max_chunks = room->chunks / room->sharers ? room->chunks / room->sharers : 1;
		in.strict = !room->first;
	}
	c->out.outcomes[c->out.view_count + i] = stream_look(s, &in, c->message.thread, view, gate);
	if (shares && *view)
		take_share(room, *view);
}

static void look_streams(struct sequencer *s, struct command *c, uint64_t *gate)
{
	const struct streams_in *in = &c->in.many.streams;
	struct room room = {.bytes = in->max_bytes, .chunks = MANY_CHUNKS_MAX, .first = true};

	for (size_t i = 0; i < in->count; i++)
		room.sharers += stream_has_more(s, &in->reads[i]);
	for (size_t n = 0; n < in->count; n++)
		look_stream(s, c, (size_t)((in->turn % in->count + n) % in->count), &room, gate);
}

void command_many(struct sequencer *s, struct command *c)
{
	size_t jobs = c->in.many.jobs.count, streams = c->in.many.streams.count;
	uint64_t gate = 0;

	c->out.views = mem_zalloc(jobs * sizeof(*c->out.views));
	c->out.streams = mem_zalloc(streams * sizeof(*c->out.streams));
	c->out.outcomes = mem_zalloc((jobs + streams) * sizeof(*c->out.outcomes));
	if (!c->out.views || !c->out.streams || !c->out.outcomes) {
		command_answer_deinit(c);
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	c->out.view_count = jobs;
	c->out.stream_count = streams;
	for (size_t i = 0; i < jobs; i++)
		c->out.outcomes[i] = job_look(s, &c->in.many.jobs, i, c, &gate);
	look_streams(s, c, &gate);
	reply(s, c, OUTCOME_OK, gate);
}
