/* Streams in the order in which they were made, a page at a time. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

/* Streams a listing looks at before it gives the rest to the next page, so that no question stops the house. */
enum { LIST_LOOK_MAX = 5000 };

/* Paths like "__ds/…" are the server's own. */
static bool is_reserved(struct slice path)
{
	return slice_starts_with(path, SLICE("__"));
}

static bool list_wants(const struct stream *stream, const struct stream_list_in *in)
{
	struct slice path = stream_path(stream);

	return !(stream->flags & STREAM_GONE) && !is_reserved(path) && slice_starts_with(path, in->prefix);
}

void command_stream_list(struct sequencer *s, struct command *c)
{
	const struct stream_list_in *in = &c->in.stream_list;
	uint64_t after = in->after, gate = s->forgotten_end;
	struct stream *stream;

	c->out.streams = mem_zalloc(in->limit * sizeof(*c->out.streams));
	if (!c->out.streams) {
		reply(s, c, OUTCOME_NO_MEMORY, 0);
		return;
	}
	for (size_t looks = 0; (stream = stream_next_after(&s->streams, after)); looks++) {
		if (c->out.stream_count == in->limit || looks == LIST_LOOK_MAX) {
			c->out.next = after;
			break;
		}
		after = stream->number;
		if (stream->changed_end > gate)
			gate = stream->changed_end;
		if (!list_wants(stream, in))
			continue;
		c->out.streams[c->out.stream_count] = stream_view_new(s, stream, 0);
		if (!c->out.streams[c->out.stream_count]) { /* half a page would look like the last one */
			command_answer_deinit(c);
			reply(s, c, OUTCOME_NO_MEMORY, 0);
			return;
		}
		c->out.stream_count++;
	}
	reply(s, c, OUTCOME_OK, gate);
}
