/* An event on its way into the state: what it needs is allocated, and whether it fits is judged, before anything changes. */
#include "stream/stream_priv.h"

#include "base/mem.h"

#include <errno.h>

static bool is_new(const struct stream_event *e)
{
	return e->type == STREAM_CREATED || e->type == STREAM_SNAP;
}

/* What it is forked from. 0: go on; p->skip: both are gone since, as the journal tells further on; -EBADMSG. */
static int prepare_source(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	if (!e->source)
		return 0;
	p->source = stream_find_number(streams, e->source);
	if (!p->source) {
		p->skip = true;
		p->replaced = NULL;
		return 0;
	}
	if (p->source == p->replaced || p->source->number >= e->number || stream_more(p->source)->fork_depth >= FORK_DEPTH_MAX)
		return -EBADMSG;
	/* In a checkpoint the source may be as it was before it had come so far. */
	return e->type == STREAM_CREATED && e->fork_offset + (e->fork_sub > 0) > p->source->next_offset ? -EBADMSG : 0;
}

static int prepare_page(struct streams *streams, uint64_t number, struct stream_prepared *p)
{
	if (page_find(streams, number))
		return 0;
	p->page = mem_zalloc(sizeof(*p->page));
	if (!p->page)
		return -ENOMEM;
	p->page->base = number - number % STREAM_PAGE;
	return 0;
}

static int prepare_new(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream;
	int r;

	if (stream_find_number(streams, e->number)) {
		p->skip = true; /* a checkpoint holds it already */
		return 0;
	}
	if (!e->number || !e->path.len || e->path.len > UINT16_MAX)
		return -EBADMSG;
	/* While a checkpoint was taken the path was given up and taken anew. Of the two streams the checkpoint may hold the later
	 * one only, or both; the earlier one's end stands in the journal. */
	p->replaced = stream_find(streams, e->path);
	if (p->replaced && p->replaced->number > e->number) {
		p->replaced = NULL;
		p->skip = true;
		return 0;
	}
	/* One that is there for forks alone is there no more: they went while the checkpoint was taken. */
	if (p->replaced && e->type != STREAM_SNAP && !(p->replaced->flags & STREAM_GONE))
		return -EBADMSG;
	r = prepare_source(streams, e, p);
	if (r || p->skip)
		return r;
	stream = stream_new(streams, e->path);
	if (!stream)
		return -ENOMEM;
	p->stream = stream;
	p->new_stream = true;
	stream->number = e->number;
	r = prepare_page(streams, e->number, p);
	return r ? r : type_take(streams, e->content_type, &p->type);
}

static int prepare_known(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	p->stream = stream_find_number(streams, e->number);
	/* Gone since, or in the checkpoint already. An event that is being made now has no end yet (UINT64_MAX). */
	if (!p->stream || (e->end && e->end <= p->stream->changed_end))
		p->skip = true;
	return 0;
}

/* Room for `more` chunks behind those that are there. */
static int prepare_chunks(struct stream_prepared *p, uint32_t more)
{
	const struct stream *stream = p->stream;
	uint32_t cap = chunk_cap(stream);

	if (more > UINT32_MAX / 4 || stream->chunk_count > UINT32_MAX / 4)
		return -ENOMEM;
	if (stream->chunk_count + more <= cap)
		return 0;
	while (cap < stream->chunk_count + more)
		cap = cap < 8 ? cap * 2 : cap + cap / 2;
	p->array = mem_alloc(sizeof(*p->array) + cap * sizeof(struct chunk));
	if (!p->array)
		return -ENOMEM;
	p->array->cap = cap;
	return 0;
}

static bool needs_more(const struct stream_event *e)
{
	if (e->type == STREAM_CREATED || e->type == STREAM_SNAP) {
		if (e->flags & (STREAM_HAS_TTL | STREAM_TOPIC) || e->expires_at_ms || e->max_age_ms || e->max_bytes ||
		    e->source || e->earliest_offset)
			return true;
	}
	return e->type == STREAM_TRIMMED || e->type == STREAM_COMPACTED || e->type == STREAM_PRODUCED ||
	       e->type == STREAM_SNAP_KEY || e->type == STREAM_SNAP_SEQUENCE || e->type == STREAM_SNAP_ABORTED ||
	       e->producer.len || e->stream_seq.len || e->key.len || (e->type == STREAM_APPENDED && e->expires_at_ms);
}

static int prepare_more(struct streams *streams, struct stream_prepared *p)
{
	struct stream_more *more;

	if (p->stream->more || p->more)
		return 0;
	if (streams->more_count >= UINT32_MAX - 1 || heap_reserve(&streams->deadlines, (uint32_t)streams->more_count + 1))
		return -ENOMEM;
	more = mem_alloc(sizeof(*more));
	if (!more)
		return -ENOMEM;
	*more = stream_more_none;
	more->stream = p->stream;
	list_init(&more->producers);
	list_init(&more->keys);
	list_init(&more->compacting);
	p->more = more;
	return 0;
}

static int prepare_producer(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	if (!e->producer.len || producer_find(streams, p->stream, e->producer))
		return 0;
	p->producer = mem_zalloc(sizeof(*p->producer) + e->producer.len);
	if (!p->producer)
		return -ENOMEM;
	p->producer->len = (uint32_t)e->producer.len;
	memcpy(p->producer->id, e->producer.ptr, e->producer.len);
	return 0;
}

static int prepare_key(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	if (e->type == STREAM_SNAP_KEY && keyed_at(streams, p->stream, e->offset))
		return -EBADMSG; /* a record has one key */
	if (!e->key.len || stream_keyed_find(streams, p->stream, e->key))
		return 0;
	p->keyed = mem_zalloc(sizeof(*p->keyed) + e->key.len);
	if (!p->keyed)
		return -ENOMEM;
	p->keyed->len = (uint32_t)e->key.len;
	memcpy(p->keyed->key, e->key.ptr, e->key.len);
	return 0;
}

static int prepare_seq(const struct stream_event *e, struct stream_prepared *p)
{
	if (!e->stream_seq.len)
		return 0;
	p->stream_seq = mem_dup(e->stream_seq.ptr, e->stream_seq.len);
	return p->stream_seq ? 0 : -ENOMEM;
}

/* The chunks of a snapshot: sound, and one behind the other. *ret_more: one has a time of its own. */
static int snapshot_chunks(const struct stream *stream, const struct stream_event *e, uint32_t *ret_count, bool *ret_more)
{
	bool first = e->type == STREAM_SNAP;
	uint64_t at = first ? e->source ? e->fork_offset + (e->fork_sub > 0) : 0 : stream_more(stream)->own_offset;
	uint64_t end = first ? e->next_offset : stream->next_offset;
	struct slice rest = e->chunks;
	struct chunk chunk;

	if (at > end || (first && e->earliest_offset > end))
		return -EBADMSG;
	if (stream->chunk_count)
		at = chunk_end(&stream_chunks(stream)[stream->chunk_count - 1]);
	*ret_count = 0;
	while (rest.len) {
		if (stream_chunk_get(&rest, &chunk) || chunk.offset < at || chunk_end(&chunk) > end)
			return -EBADMSG;
		at = chunk_end(&chunk);
		*ret_more |= chunk.expires_s != 0;
		(*ret_count)++;
	}
	return 0;
}

/* It is the last one's, and keys come in the order of their records. */
static bool names_record(const struct stream *stream, const struct stream_event *e)
{
	uint32_t i = chunk_index(stream, e->offset);
	const struct chunk *chunk = &stream_chunks(stream)[i];
	const struct stream_more *more = stream_more(stream);

	if (!e->key.len || i == stream->chunk_count || chunk->offset != e->offset || !chunk->keyed ||
	    e->offset < more->earliest_offset)
		return false;
	return !stream->more || list_empty(&more->keys) ||
	       container_of(more->keys.prev, const struct stream_keyed, peers)->offset < e->offset;
}

/* What is said of a compaction fits together, and with the chunks. */
static bool judge_compacted(const struct stream *stream, const struct stream_event *e, bool has_place)
{
	struct slice rest = e->aborted;
	struct aborted aborted;

	while (rest.len) {
		if (aborted_get(&rest, &aborted))
			return false;
	}
	if (stream->flags & STREAM_GONE || e->clean_offset > stream->next_offset || (e->kept_count && !has_place))
		return false;
	return e->count ? chunks_can_compact(stream, e) : e->kept_count == 0;
}

/* Only of what the journal says; what is made now has been judged. */
static int judge(const struct stream *stream, const struct stream_event *e)
{
	/* Of what is made now the bytes get their place when it is appended. */
	bool has_place = e->end == UINT64_MAX || e->bytes.kind == BODY_INLINE, good = true;

	switch ((unsigned)e->type) {
	case STREAM_APPENDED:
		good = !(stream->flags & (STREAM_CLOSED | STREAM_GONE)) && e->offset == stream->next_offset &&
		       (!e->key.len || e->count == 1) && e->expires_at_ms <= EXPIRES_MAX_MS;
		break;
	case STREAM_PRODUCED:
		good = e->offset == stream->next_offset && e->count && e->epoch <= INT16_MAX && e->seq < SEQUENCE_MODULO;
		break;
	case STREAM_MOVED:
		good = has_place;
		break;
	case STREAM_GATHERED:
		good = has_place && !(stream->flags & STREAM_GONE) && chunks_can_gather(stream, e);
		break;
	case STREAM_COMPACTED:
		good = judge_compacted(stream, e, has_place);
		break;
	case STREAM_TRIMMED:
		/* It may lie before the beginning: that of a fork is its source's, and a checkpoint may hold a later one's. */
		good = !(stream->flags & STREAM_GONE) && e->offset <= stream->next_offset;
		break;
	case STREAM_SNAP_KEY:
		good = names_record(stream, e);
		break;
	default:
		break;
	}
	return good ? 0 : -EBADMSG;
}

static int prepare_change(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	bool with_more = needs_more(e);
	uint32_t chunks = 0;
	int r = judge(p->stream, e);

	if (!r && (e->type == STREAM_CREATED || e->type == STREAM_APPENDED || e->type == STREAM_PRODUCED))
		chunks = e->count > 0;
	else if (!r && (e->type == STREAM_SNAP || e->type == STREAM_SNAP_CHUNKS))
		r = snapshot_chunks(p->stream, e, &chunks, &with_more);
	if (!r)
		r = prepare_chunks(p, chunks);
	if (!r && with_more)
		r = prepare_more(streams, p);
	if (!r && e->type != STREAM_CREATED)
		r = prepare_producer(streams, e, p);
	if (!r && (e->type == STREAM_PRODUCED || e->type == STREAM_SNAP_SEQUENCE || e->type == STREAM_SNAP_ABORTED))
		r = sequence_prepare(streams, e, p);
	if (!r)
		r = prepare_key(streams, e, p);
	return r ? r : prepare_seq(e, p);
}

int streams_prepare(struct streams *streams, const struct stream_event *e, struct stream_prepared *ret_prepared)
{
	struct stream_prepared p = {0};
	int r = 0;

	/* What a replay would refuse must never be written. */
	if (!stream_event_is_in_range(e))
		r = -EBADMSG;
	else if (e->type == STREAM_SNAP_META)
		p.skip = false;
	else if (is_new(e))
		r = prepare_new(streams, e, &p);
	else
		r = prepare_known(streams, e, &p);
	if (!r && !p.skip && p.stream)
		r = prepare_change(streams, e, &p);
	if (r) {
		streams_unprepare(streams, &p);
		return r;
	}
	*ret_prepared = p;
	return 0;
}

void streams_unprepare(struct streams *streams, struct stream_prepared *p)
{
	if (p->new_stream)
		stream_free(streams, p->stream);
	type_give(streams, p->type);
	mem_free(p->more);
	mem_free(p->page);
	mem_free(p->producer);
	mem_free(p->keyed);
	mem_free(p->array);
	sequences_free(p->sequences);
	mem_free(p->sequence);
	mem_free(p->aborted);
	mem_free(p->stream_seq);
	*p = (struct stream_prepared){0};
}
