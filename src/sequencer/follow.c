/* Streams that are followed: a loop thread at which many wait for long hears of each change without asking again.
 *
 * Once a turn, and once for each thread, one message tells what has come of a stream since the one before (struct stream_growth),
 * however many appends that were and however many wait there. Who follows is not journalled. Nobody says that it no longer does
 * until a growth comes for which nobody is there; it is sent back then, and counts unless somebody began to follow in between:
 * that is what the stamp is for. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

struct followed {
	struct hash_node node; /* by number */
	struct list peers;     /* in s->grown while there is something to tell, else in s->calm */
	uint64_t number, stamp;
	uint32_t threads; /* a bit each */
	bool trimmed, deleted;
	uint64_t bytes;  /* appended since it was told */
	uint64_t stable; /* the stable end as it was told */
	uint64_t gate;
};

static uint64_t hash_of(const struct sequencer *s, uint64_t number)
{
	return hash_u64(&s->streams.hash_key, number, 11);
}

static struct followed *find(const struct sequencer *s, uint64_t number)
{
	uint64_t hash = hash_of(s, number);

	for (struct hash_node *node = hash_first(&s->followed, hash); node; node = hash_next(&s->followed, node)) {
		struct followed *f = container_of(node, struct followed, node);

		if (f->number == number)
			return f;
	}
	return NULL;
}

static void drop(struct sequencer *s, struct followed *f)
{
	struct stream *stream = stream_find_number(&s->streams, f->number);

	if (stream)
		stream->followed = false;
	hash_remove(&s->followed, &f->node);
	list_remove(&f->peers);
	mem_free(f);
}

void follows_init(struct sequencer *s)
{
	hash_init(&s->followed);
	list_init(&s->calm);
	list_init(&s->grown);
}

void follows_free(struct sequencer *s)
{
	list_splice(&s->calm, &s->grown);
	while (!list_empty(&s->calm))
		drop(s, list_first(&s->calm, struct followed, peers));
	hash_deinit(&s->followed);
}

int follow_begin(struct sequencer *s, struct stream *stream, unsigned thread)
{
	struct followed *f = stream->followed ? find(s, stream->number) : mem_zalloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	if (!stream->followed) {
		f->number = stream->number;
		f->stable = stream_stable(stream);
		if (hash_insert(&s->followed, &f->node, hash_of(s, stream->number))) {
			mem_free(f);
			return -ENOMEM;
		}
		list_push_back(&s->calm, &f->peers);
		stream->followed = true;
	}
	f->threads |= 1u << thread;
	f->stamp = ++s->follow_stamp;
	return 0;
}

void follow_end(struct sequencer *s, const struct stream_growth *growth)
{
	struct followed *f = find(s, growth->number);

	if (!f || f->stamp != growth->stamp)
		return;
	f->threads &= ~(1u << growth->message.thread);
	if (!f->threads)
		drop(s, f);
}

void follow_event(struct sequencer *s, const struct stream_event *e, uint64_t bytes)
{
	struct followed *f = find(s, e->number);

	if (e->type == STREAM_APPENDED || e->type == STREAM_PRODUCED)
		f->bytes += bytes;
	else if (e->type == STREAM_TRIMMED)
		f->trimmed = true;
	else if (e->type == STREAM_DELETED)
		f->deleted = true;
	else
		return;
	f->gate = e->end;
	list_remove(&f->peers);
	list_push_back(&s->grown, &f->peers);
}

/* Of what lies between two ends. A chunk belongs to where it begins: a transaction's end may lie within one that was gathered. */
static uint64_t bytes_between(const struct stream *stream, uint64_t from, uint64_t end)
{
	struct chunk_place place;
	uint64_t bytes = 0;

	for (; from < end && stream_chunk_from(stream, from, &place) && place.from < end; from = place.end)
		bytes += place.chunk->size_bytes;
	return bytes;
}

static void fill(const struct followed *f, const struct stream *stream, struct stream_growth *growth)
{
	growth->number = f->number;
	growth->key = stream_key(f->number);
	growth->stamp = f->stamp;
	growth->deleted = f->deleted;
	growth->trimmed = f->trimmed;
	growth->bytes = f->bytes;
	if (!stream)
		return;
	growth->next_offset = stream->next_offset;
	growth->earliest_offset = stream_earliest(stream);
	growth->stable_offset = stream_stable(stream);
	growth->stable_bytes = bytes_between(stream, f->stable, growth->stable_offset);
}

/* False: no memory for one of them. Whoever heard of it hears of it again. */
static bool tell(struct sequencer *s, const struct followed *f, const struct stream *stream)
{
	for (unsigned t = 0; f->threads >> t; t++) {
		struct stream_growth *growth;

		if (!(f->threads >> t & 1))
			continue;
		growth = mem_zalloc(sizeof(*growth));
		if (!growth)
			return false;
		fill(f, stream, growth);
		growth->message = (struct message){.kind = MESSAGE_STREAM_GREW, .thread = (uint8_t)t, .door = DOOR_KAFKA};
		s->stats.wakes_total++;
		message_send(s, &growth->message, f->gate);
	}
	return true;
}

void follows_settle(struct sequencer *s)
{
	struct list again;

	list_init(&again);
	while (!list_empty(&s->grown)) {
		struct followed *f = list_first(&s->grown, struct followed, peers);
		const struct stream *stream = f->deleted ? NULL : stream_find_number(&s->streams, f->number);
		bool told = tell(s, f, stream);

		list_remove(&f->peers);
		if (!told) {
			list_push_back(&again, &f->peers);
		} else if (f->deleted) {
			list_push_back(&s->calm, &f->peers);
			drop(s, f);
		} else {
			f->bytes = 0;
			f->trimmed = false;
			f->stable = stream_stable(stream);
			list_push_back(&s->calm, &f->peers);
		}
	}
	list_splice(&s->grown, &again);
}

void follows_check(const struct sequencer *s)
{
	size_t count = 0;

	list_each (node, &s->calm) {
		const struct followed *f = container_of(node, struct followed, peers);
		const struct stream *stream = stream_find_number(&s->streams, f->number);

		ENSURE(f->threads && !f->deleted && !f->bytes && stream && stream->followed);
		count++;
	}
	list_each (node, &s->grown) {
		ENSURE(container_of(node, struct followed, peers)->threads);
		count++;
	}
	ENSURE(count == s->followed.count);
}
