/* Events become state: prepare allocates and judges, commit cannot fail. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

enum { CHUNKS_FIRST = 1 };

/* --- prepare --- */

static bool is_new(const struct stream_event *e)
{
	return e->type == STREAM_CREATED || e->type == STREAM_SNAP;
}

static int prepare_new(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream;

	if (stream_find_number(streams, e->number)) {
		p->skip = true; /* a checkpoint holds it already */
		return 0;
	}
	if (!e->path.len || e->path.len > UINT32_MAX)
		return -EBADMSG;
	/* While a checkpoint was taken the path was given up and taken anew. Of the two streams the checkpoint may hold the later
	 * one only, or both; the earlier one's end stands in the journal. */
	p->replaced = stream_find(streams, e->path);
	if (p->replaced && p->replaced->number > e->number) {
		p->replaced = NULL;
		p->skip = true;
		return 0;
	}
	if (p->replaced && e->type != STREAM_SNAP)
		return -EBADMSG;
	p->source = e->source ? stream_find_number(streams, e->source) : NULL;
	if (e->source && !p->source) {
		/* Both are gone since; the journal tells so further on. */
		p->skip = true;
		p->replaced = NULL;
		return 0;
	}
	if (p->source && (p->source == p->replaced || e->fork_offset > p->source->next_offset ||
			  (e->fork_sub && e->fork_offset >= p->source->next_offset)))
		return -EBADMSG;
	stream = mem_zalloc(sizeof(*stream) + e->path.len);
	if (!stream)
		return -ENOMEM;
	p->stream = stream;
	p->new_stream = true;
	list_init(&stream->peers);
	list_init(&stream->producers);
	stream->deadline_ms = UINT64_MAX;
	stream->number = e->number;
	stream->path_len = (uint32_t)e->path.len;
	memcpy(stream->path, e->path.ptr, e->path.len);
	if (streams->count >= UINT32_MAX - 1 || heap_reserve(&streams->deadlines, (uint32_t)streams->count + 1))
		return -ENOMEM;
	return type_take(streams, e->content_type, &p->type);
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
	uint32_t cap = stream->chunk_cap ? stream->chunk_cap : CHUNKS_FIRST;

	if (more > UINT32_MAX / 4 || stream->chunk_count > UINT32_MAX / 4)
		return -ENOMEM;
	if (stream->chunk_count + more <= stream->chunk_cap)
		return 0;
	while (cap < stream->chunk_count + more)
		cap = cap < 8 ? cap * 2 : cap + cap / 2;
	p->chunks = mem_alloc(cap * sizeof(*p->chunks));
	p->chunk_cap = cap;
	return p->chunks ? 0 : -ENOMEM;
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

static int prepare_seq(const struct stream_event *e, struct stream_prepared *p)
{
	if (!e->stream_seq.len)
		return 0;
	p->stream_seq = mem_dup(e->stream_seq.ptr, e->stream_seq.len);
	return p->stream_seq ? 0 : -ENOMEM;
}

/* The chunks of a snapshot: sound, and one behind the other. */
static int snapshot_chunks(const struct stream *stream, const struct stream_event *e, uint32_t *ret_count)
{
	uint64_t offset, count,
		want = stream->chunk_count
			       ? stream->chunks[stream->chunk_count - 1].offset + stream->chunks[stream->chunk_count - 1].count
			       : UINT64_MAX;
	struct slice rest = e->chunks;
	struct body_ref ref;

	*ret_count = 0;
	while (rest.len) {
		if (stream_chunk_get(&rest, &offset, &count, &ref) || (want != UINT64_MAX && offset != want))
			return -EBADMSG;
		want = offset + count;
		(*ret_count)++;
	}
	return 0;
}

static int prepare_change(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	uint32_t more = 0;
	int r = 0;

	switch ((unsigned)e->type) {
	case STREAM_CREATED:
		more = e->count > 0;
		break;
	case STREAM_APPENDED:
		if (e->end != UINT64_MAX && (p->stream->flags & STREAM_CLOSED || e->offset != p->stream->next_offset))
			return -EBADMSG;
		more = e->count > 0;
		break;
	case STREAM_SNAP:
	case STREAM_SNAP_CHUNKS:
		r = snapshot_chunks(p->stream, e, &more);
		break;
	default:
		break;
	}
	if (!r)
		r = prepare_chunks(p, more);
	if (!r && e->type != STREAM_CREATED)
		r = prepare_producer(streams, e, p);
	return r ? r : prepare_seq(e, p);
}

int streams_prepare(struct streams *streams, const struct stream_event *e, struct stream_prepared *ret_prepared)
{
	struct stream_prepared p = {0};
	int r = 0;

	if (e->type == STREAM_SNAP_META)
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
		stream_free(p->stream);
	type_give(streams, p->type);
	mem_free(p->producer);
	mem_free(p->chunks);
	mem_free(p->stream_seq);
	*p = (struct stream_prepared){0};
}

/* --- commit --- */

/* Returns its source. */
static struct stream *let_go(struct streams *streams, struct stream *stream)
{
	struct stream *source = stream->source;

	for (uint32_t i = 0; i < stream->chunk_count; i++)
		streams->store->ops->body_release(streams->store, &stream->chunks[i].ref);
	list_each (node, &stream->producers)
		hash_remove(&streams->producers, &container_of(node, struct producer, peers)->node);
	if (!stream->nameless)
		hash_remove(&streams->table, &stream->node);
	hash_remove(&streams->numbers, &stream->by_number);
	heap_remove(&streams->deadlines, &stream->deadline);
	if (streams->snapped == &stream->peers)
		streams->snapped = stream->peers.prev;
	list_remove(&stream->peers);
	type_give(streams, stream->content_type);
	streams->count--;
	stream_free(stream);
	return source;
}

/* One that forks still read stays for them; the last of them takes along whatever stayed for it alone. */
static void commit_deleted(struct streams *streams, struct stream *stream)
{
	if (stream->fork_count > 0) {
		stream->flags |= STREAM_GONE;
		stream_set_deadline(streams, stream, UINT64_MAX);
		return;
	}
	do {
		stream = let_go(streams, stream);
		if (!stream)
			return;
		stream->fork_count--;
	} while (stream->fork_count == 0 && stream->flags & STREAM_GONE);
}

static void commit_new(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	p->new_stream = false;
	stream->content_type = p->type;
	p->type = NULL;
	stream->flags = (uint8_t)e->flags;
	stream->ttl_s = e->ttl_s;
	stream->expires_at_ms = e->expires_at_ms;
	stream->created_ms = e->type == STREAM_SNAP ? e->created_ms : e->time_ms;
	stream->fork_offset = e->fork_offset;
	stream->fork_sub = e->fork_sub;
	stream->own_offset = e->fork_offset + (e->fork_sub > 0);
	stream->earliest_offset = stream->next_offset = stream->own_offset;
	stream->source = p->source;
	if (stream->source)
		stream->source->fork_count++;
	/* Only a table's first insert can lack memory, and that was made at the start. */
	ENSURE(hash_insert(&streams->table, &stream->node, path_hash(streams, stream_path(stream))) == 0);
	ENSURE(hash_insert(&streams->numbers, &stream->by_number, hash_u64(&streams->hash_key, stream->number, 1)) == 0);
	list_push_back(&streams->all, &stream->peers);
	streams->count++;
	if (stream->number >= streams->next_number)
		streams->next_number = stream->number + 1;
	if (stream->expires_at_ms && !(stream->flags & STREAM_GONE))
		stream_set_deadline(streams, stream, stream->expires_at_ms);
}

static void grow(struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	if (!p->chunks)
		return;
	if (stream->chunk_count)
		memcpy(p->chunks, stream->chunks, stream->chunk_count * sizeof(*stream->chunks));
	mem_free(stream->chunks);
	stream->chunks = p->chunks;
	stream->chunk_cap = p->chunk_cap;
	p->chunks = NULL;
}

static void chunk_add(struct streams *streams, struct stream *stream, uint64_t offset, uint64_t count, const struct body_ref *ref)
{
	if (!stream->chunk_count && offset != stream->next_offset) /* of a snapshot */
		stream->earliest_offset = stream->next_offset = offset;
	stream->chunks[stream->chunk_count++] = (struct chunk){.offset = offset, .ref = *ref, .count = (uint32_t)count};
	stream->next_offset = offset + count;
	streams->store->ops->body_retain(streams->store, ref);
}

static void producer_set(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	struct producer *producer = p->producer;

	if (!e->producer.len)
		return;
	if (producer) {
		p->producer = NULL;
		producer->stream = stream;
		list_push_back(&stream->producers, &producer->peers);
		stream->producer_count++;
		ENSURE(hash_insert(&streams->producers, &producer->node, producer_hash(streams, stream->number, e->producer)) ==
		       0);
	} else {
		producer = producer_find(streams, stream, e->producer);
	}
	if (e->type == STREAM_SNAP) { /* the one that closed it; its own state follows */
		stream->closer = producer;
		stream->closer_epoch = e->epoch;
		stream->closer_seq = e->seq;
		return;
	}
	producer->epoch = e->epoch;
	producer->seq = e->seq;
	if (e->flags & STREAM_CLOSED) {
		stream->closer = producer;
		stream->closer_epoch = e->epoch;
		stream->closer_seq = e->seq;
	}
}

static void seq_set(struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	if (!p->stream_seq)
		return;
	mem_free(stream->stream_seq);
	stream->stream_seq = p->stream_seq;
	stream->stream_seq_len = (uint32_t)e->stream_seq.len;
	p->stream_seq = NULL;
}

static void commit_snapshot_chunks(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	struct slice rest = e->chunks;
	uint64_t offset, count;
	struct body_ref ref;

	while (rest.len && stream_chunk_get(&rest, &offset, &count, &ref) == 0)
		chunk_add(streams, stream, offset, count, &ref);
}

static void commit_moved(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	struct chunk *chunk;

	if (e->offset < stream->earliest_offset || e->offset >= stream->next_offset)
		return;
	chunk = (struct chunk *)(uintptr_t)stream_chunk_at(stream, e->offset).chunk; /* its own, from earliest_offset on */
	streams->store->ops->body_release(streams->store, &chunk->ref);
	chunk->ref = e->bytes;
	streams->store->ops->body_retain(streams->store, &chunk->ref);
}

static void commit_append(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	const struct body_ref *ref = e->blob.kind ? &e->blob : &e->bytes;

	if (e->count)
		chunk_add(streams, stream, stream->next_offset, e->count, ref);
	stream->flags |= (uint8_t)(e->flags & STREAM_CLOSED);
	if (e->type == STREAM_APPENDED)
		producer_set(streams, stream, e, p);
	seq_set(stream, e, p);
	stream_touch(streams, stream, e->time_ms);
}

void streams_commit(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	if (e->type == STREAM_SNAP_META && e->next_number > streams->next_number)
		streams->next_number = e->next_number;
	if (p->skip || e->type == STREAM_SNAP_META) {
		/* What a skipped event brought along is not the state's; the snapshot named it. */
		streams_unprepare(streams, p);
		return;
	}
	if (p->replaced) {
		/* Its end, and that of its forks, is told by the journal further on; until then it is there without its path. */
		hash_remove(&streams->table, &p->replaced->node);
		p->replaced->nameless = true;
	}
	if (p->new_stream)
		commit_new(streams, e, p);
	grow(p);
	switch (e->type) {
	case STREAM_CREATED:
	case STREAM_APPENDED:
		commit_append(streams, stream, e, p);
		break;
	case STREAM_DELETED:
		if (stream->fork_count > 0)
			stream->changed_end = e->end;
		commit_deleted(streams, stream);
		stream = NULL;
		break;
	case STREAM_MOVED:
		commit_moved(streams, stream, e);
		break;
	case STREAM_SNAP:
		stream->earliest_offset = stream->next_offset = e->earliest_offset;
		commit_snapshot_chunks(streams, stream, e);
		producer_set(streams, stream, e, p);
		seq_set(stream, e, p);
		stream->changed_end = e->changed_end;
		break;
	case STREAM_SNAP_CHUNKS:
		commit_snapshot_chunks(streams, stream, e);
		break;
	case STREAM_SNAP_PRODUCER:
		producer_set(streams, stream, e, p);
		break;
	case STREAM_SNAP_META:
		break;
	}
	if (stream && e->end && e->type <= STREAM_MOVED)
		stream->changed_end = e->end;
	streams_unprepare(streams, p);
}
