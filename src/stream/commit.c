/* Events become state; prepare.c has seen to it that this cannot fail. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static void keyed_free(struct streams *streams, struct stream_keyed *keyed)
{
	hash_remove(&streams->keys, &keyed->node);
	hash_remove(&streams->key_places, &keyed->by_place);
	list_remove(&keyed->peers);
	mem_free(keyed);
}

static void leave_tables(struct streams *streams, struct stream *stream)
{
	struct stream_more *more = stream->more;

	if (!stream->nameless)
		hash_remove(&streams->table, &stream->node);
	page_remove(streams, stream);
	if (!more)
		return;
	list_each (node, &more->producers)
		hash_remove(&streams->producers, &container_of(node, struct producer, peers)->node);
	sequences_leave(streams, stream);
	list_each_safe (node, &more->keys)
		keyed_free(streams, container_of(node, struct stream_keyed, peers));
	heap_remove(&streams->deadlines, &more->deadline);
	list_remove(&more->compacting);
	streams->compacted_changes += more->compacted;
	streams->more_count--;
}

/* Returns its source. */
static struct stream *let_go(struct streams *streams, struct stream *stream)
{
	struct stream *source = stream_more(stream)->source;

	chunks_release(streams, stream);
	leave_tables(streams, stream);
	type_give(streams, stream->content_type);
	streams->count--;
	stream_free(streams, stream);
	return source;
}

/* One that forks still read stays for them; the last of them takes along whatever stayed for it alone. */
static void commit_deleted(struct streams *streams, struct stream *stream)
{
	if (stream->fork_count > 0) {
		stream->flags |= STREAM_GONE;
		if (stream->more) {
			stream_set_life(streams, stream, UINT64_MAX);
			stream_plan_trim(streams, stream); /* by their own time records go for forks, too */
		}
		return;
	}
	do {
		stream = let_go(streams, stream);
		if (!stream)
			return;
		stream->fork_count--;
	} while (stream->fork_count == 0 && stream->flags & STREAM_GONE);
	if (!stream->fork_count)
		chunks_shed(streams, stream);
}

/* Sources have smaller numbers than their forks. */
int streams_replayed(struct streams *streams)
{
	struct stream *stream;
	uint64_t number = 0;

	while ((stream = stream_next_after(streams, number))) {
		const struct stream_more *more = stream_more(stream);

		if (more->source && more->own_offset > more->source->next_offset)
			return -EBADMSG;
		number = stream->number;
		stream_plan_trim(streams, stream);
		if (stream->fork_count)
			continue;
		if (stream->flags & STREAM_GONE)
			commit_deleted(streams, stream);
		else
			chunks_shed(streams, stream);
	}
	return 0;
}

static void commit_more(struct streams *streams, struct stream_prepared *p)
{
	if (!p->more)
		return;
	p->stream->more = p->more;
	p->more = NULL;
	streams->more_count++;
}

static void commit_life(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream *source)
{
	struct stream_more *more = stream->more;

	more->ttl_s = e->ttl_s;
	more->expires_at_ms = e->expires_at_ms;
	more->max_age_ms = e->max_age_ms;
	more->max_bytes = e->max_bytes;
	more->source = source;
	if (source) {
		more->fork_offset = e->fork_offset;
		more->fork_sub = e->fork_sub;
		more->own_offset = e->fork_offset + (e->fork_sub > 0);
		more->fork_depth = stream_more(source)->fork_depth + 1;
		more->earliest_offset = stream_earliest(source) < e->fork_offset ? stream_earliest(source) : e->fork_offset;
		stream->next_offset = more->own_offset;
		source->fork_count++;
	}
	if (e->type == STREAM_SNAP)
		more->earliest_offset = e->earliest_offset;
	if (more->expires_at_ms && !(stream->flags & STREAM_GONE))
		stream_set_life(streams, stream, more->expires_at_ms);
	if (source && e->type == STREAM_CREATED)
		stream_plan_trim(streams, stream); /* what it inherits may be old already */
}

static void commit_new(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	p->new_stream = false;
	stream->content_type = p->type;
	p->type = NULL;
	stream->flags = (uint8_t)e->flags;
	stream->created_s = (uint32_t)((e->type == STREAM_SNAP ? e->created_ms : e->time_ms) / 1000);
	if (p->page)
		page_add(streams, p->page);
	p->page = NULL;
	page_put(page_find(streams, stream->number), stream);
	/* Only a table's first insert can lack memory, and that was made at the start. */
	ENSURE(hash_insert(&streams->table, &stream->node, path_hash(streams, stream_path(stream))) == 0);
	streams->count++;
	if (stream->more)
		commit_life(streams, stream, e, p->source);
}

static void grow(struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	struct chunk_array *array = p->array;

	if (!array)
		return;
	memcpy(array->chunks, stream_chunks(stream), stream->chunk_count * sizeof(struct chunk));
	array->dead_count = stream->many ? stream->array->dead_count : 0;
	array->gathered = stream->many ? stream->array->gathered : 0;
	if (stream->many)
		mem_free(stream->array);
	stream->array = array;
	stream->many = true;
	p->array = NULL;
}

static void producer_set(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	struct producer *producer = p->producer;

	if (!e->producer.len)
		return;
	if (producer) {
		p->producer = NULL;
		producer->stream = stream;
		list_push_back(&stream->more->producers, &producer->peers);
		stream->more->producer_count++;
		ENSURE(hash_insert(&streams->producers, &producer->node, producer_hash(streams, stream->number, e->producer)) ==
		       0);
	} else {
		producer = producer_find(streams, stream, e->producer);
	}
	if (e->type != STREAM_SNAP) { /* there it is the one that closed it; its own state follows */
		producer->epoch = e->epoch;
		producer->seq = e->seq;
	}
	if (e->type == STREAM_SNAP || e->flags & STREAM_CLOSED) {
		stream->more->closer = producer;
		stream->more->closer_epoch = e->epoch;
		stream->more->closer_seq = e->seq;
	}
}

static void seq_set(struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	if (!p->stream_seq)
		return;
	mem_free(stream->more->stream_seq);
	stream->more->stream_seq = p->stream_seq;
	stream->more->stream_seq_len = (uint32_t)e->stream_seq.len;
	p->stream_seq = NULL;
}

/* The record at e->offset is the last with that key. */
static void key_set(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream_keyed *keyed = p->keyed;

	if (keyed) {
		p->keyed = NULL;
		keyed->stream = stream;
		ENSURE(hash_insert(&streams->keys, &keyed->node, producer_hash(streams, stream->number, e->key)) == 0);
	} else {
		keyed = stream_keyed_find(streams, stream, e->key);
		list_remove(&keyed->peers);
		hash_remove(&streams->key_places, &keyed->by_place);
		if (e->type == STREAM_APPENDED)
			chunk_drop(streams, stream, chunk_index(stream, keyed->offset));
	}
	keyed->offset = e->offset;
	list_push_back(&stream->more->keys, &keyed->peers);
	ENSURE(hash_insert(&streams->key_places, &keyed->by_place, place_hash(streams, stream->number, e->offset)) == 0);
}

/* Keys whose records lie before the earliest offset name nothing any more. */
static void keys_forget(struct streams *streams, struct stream *stream)
{
	list_each_safe (node, &stream->more->keys) {
		struct stream_keyed *keyed = container_of(node, struct stream_keyed, peers);

		if (keyed->offset >= stream_earliest(stream))
			return;
		keyed_free(streams, keyed);
	}
}

static void commit_dropped(struct streams *streams, struct stream *stream, uint64_t offset)
{
	struct stream_keyed *keyed = keyed_at(streams, stream, offset);
	uint32_t i = chunk_index(stream, offset);

	if (keyed)
		keyed_free(streams, keyed);
	if (i < stream->chunk_count && stream_chunks(stream)[i].offset == offset && stream_chunks(stream)[i].kind != BODY_NONE)
		chunk_drop(streams, stream, i);
}

static void commit_snapshot_chunks(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	struct slice rest = e->chunks;
	struct chunk chunk;

	while (rest.len && stream_chunk_get(&rest, &chunk) == 0)
		chunk_add(streams, stream, &chunk);
}

static void commit_moved(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	uint32_t i = chunk_index(stream, e->offset);
	struct chunk *chunk = &stream_chunks(stream)[i];
	struct body_ref old;

	if (i == stream->chunk_count || chunk->offset != e->offset || chunk->kind != BODY_INLINE ||
	    chunk->size_bytes != e->bytes.size_bytes)
		return;
	old = chunk_ref(chunk);
	streams->store->ops->body_release(streams->store, &old);
	chunk->place = e->bytes.place;
	chunk->crc = e->bytes.crc;
	streams->store->ops->body_retain(streams->store, &e->bytes);
}

static void commit_compacted(struct streams *streams, struct stream *stream, const struct stream_event *e)
{
	if (e->count == 0) {
		stream->more->clean_offset = e->clean_offset;
		stream->more->horizon_ms = e->horizon_ms;
		return;
	}
	chunks_compact(streams, stream, e);
	aborted_forget(stream, e->aborted);
	stream_plan_trim(streams, stream);
}

static void plan_chunk(struct streams *streams, struct stream *stream, const struct chunk *chunk)
{
	uint64_t at_ms = chunk_ends_ms(stream->more, chunk);

	if (at_ms < stream->more->trim_ms && !(stream->flags & STREAM_GONE))
		stream_set_trim(streams, stream, at_ms);
}

static void commit_append(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	const struct body_ref *ref = e->blob.kind ? &e->blob : &e->bytes;
	bool append = e->type == STREAM_APPENDED;

	if (append && e->key.len) /* first: who is replaced leaves room */
		key_set(streams, stream, e, p);
	if (e->count) {
		chunk_add(streams, stream,
			  &(struct chunk){
				  .offset = stream->next_offset,
				  .place = ref->place,
				  .kind = (uint8_t)ref->kind,
				  .size_bytes = ref->size_bytes & CHUNK_BYTES_MAX,
				  .max_time_ms = e->max_time_ms ? e->max_time_ms : e->time_ms,
				  .crc = ref->crc,
				  .count = (uint32_t)e->count,
				  .expires_s = append ? (uint32_t)((e->expires_at_ms + 999) / 1000) : 0,
				  .keyed = e->key.len > 0,
			  });
		stream->next_offset += e->count;
	}
	stream->flags |= (uint8_t)(e->flags & STREAM_CLOSED);
	if (e->type == STREAM_PRODUCED)
		sequence_commit(streams, e, p);
	if (e->count && stream_more(stream)->sequences && e->txn == STREAM_TXN_NONE)
		sequences_shown(stream->more->sequences, e->offset, stream->next_offset);
	if (append)
		producer_set(streams, stream, e, p);
	seq_set(stream, e, p);
	stream_touch(streams, stream, e->time_ms);
	if (e->count && stream->more)
		plan_chunk(streams, stream, &stream_chunks(stream)[stream->chunk_count - 1]);
}

static void commit_snap(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	stream->next_offset = e->next_offset;
	commit_snapshot_chunks(streams, stream, e);
	producer_set(streams, stream, e, p);
	seq_set(stream, e, p);
	stream->changed_end = e->changed_end;
}

/* Whoever had its path before in a checkpoint: its end, and that of its forks, is told by the journal further on; until then it
 * is there without its path. */
static void lose_name(struct streams *streams, struct stream *stream)
{
	hash_remove(&streams->table, &stream->node);
	stream->nameless = true;
}

static void commit_change(struct streams *streams, struct stream *stream, const struct stream_event *e, struct stream_prepared *p)
{
	switch (e->type) {
	case STREAM_CREATED:
	case STREAM_APPENDED:
	case STREAM_PRODUCED:
		commit_append(streams, stream, e, p);
		break;
	case STREAM_MOVED:
		commit_moved(streams, stream, e);
		break;
	case STREAM_GATHERED:
		chunks_gather(streams, stream, e);
		break;
	case STREAM_COMPACTED:
		commit_compacted(streams, stream, e);
		break;
	case STREAM_TRIMMED:
		chunks_trim(streams, stream, e->offset);
		keys_forget(streams, stream);
		aborted_trim(stream);
		stream_plan_trim(streams, stream);
		break;
	case STREAM_DROPPED:
		commit_dropped(streams, stream, e->offset);
		break;
	case STREAM_SNAP:
		commit_snap(streams, stream, e, p);
		break;
	case STREAM_SNAP_CHUNKS:
		commit_snapshot_chunks(streams, stream, e);
		break;
	case STREAM_SNAP_PRODUCER:
		producer_set(streams, stream, e, p);
		break;
	case STREAM_SNAP_KEY:
		key_set(streams, stream, e, p);
		break;
	case STREAM_SNAP_SEQUENCE:
		sequence_commit(streams, e, p);
		break;
	case STREAM_SNAP_ABORTED:
		aborted_commit(e, p);
		break;
	case STREAM_DELETED:
	case STREAM_SNAP_META:
		break;
	}
}

void streams_commit(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream *stream = p->stream;

	if (e->time_ms > streams->last_ms)
		streams->last_ms = e->time_ms;
	if (e->type == STREAM_SNAP_META && e->next_number > streams->next_number)
		streams->next_number = e->next_number;
	if ((e->type == STREAM_CREATED || e->type == STREAM_SNAP) && e->number >= streams->next_number)
		streams->next_number = e->number + 1; /* also of one that is gone since */
	if (p->skip || e->type == STREAM_SNAP_META) {
		/* What a skipped event brought along is not the state's; the snapshot named it. */
		streams_unprepare(streams, p);
		return;
	}
	if (p->replaced)
		lose_name(streams, p->replaced);
	commit_more(streams, p);
	if (p->new_stream)
		commit_new(streams, e, p);
	grow(p);
	commit_change(streams, stream, e, p);
	/* Of one that goes, or stays for its forks alone. */
	if (e->end && (e->type < STREAM_SNAP_META || e->type == STREAM_COMPACTED))
		stream->changed_end = e->end;
	if (e->type == STREAM_DELETED)
		commit_deleted(streams, stream);
	streams_unprepare(streams, p);
}
