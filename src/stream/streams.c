/* Where streams are found, and their invariants. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct stream, deadline)->deadline_ms <
	       container_of(b, const struct stream, deadline)->deadline_ms;
}

/* A table's first insert is the only one that can fail; it is made here. */
static int table_init(struct hash *table)
{
	struct hash_node node;

	hash_init(table);
	if (hash_insert(table, &node, 0))
		return -ENOMEM;
	hash_remove(table, &node);
	return 0;
}

int streams_init(struct streams *streams, struct store *store, const struct hash_key *hash_key)
{
	*streams = (struct streams){.store = store, .hash_key = *hash_key, .next_number = 1};
	list_init(&streams->all);
	streams->snapped = &streams->all;
	heap_init(&streams->deadlines, deadline_before);
	if (table_init(&streams->table) || table_init(&streams->numbers) || table_init(&streams->types) ||
	    table_init(&streams->producers)) {
		streams_deinit(streams);
		return -ENOMEM;
	}
	return 0;
}

void stream_free(struct stream *stream)
{
	list_each_safe (node, &stream->producers)
		mem_free(container_of(node, struct producer, peers));
	mem_free(stream->chunks);
	mem_free(stream->stream_seq);
	mem_free(stream);
}

/* The store is not told: this is the end of the process or of a simulated one. */
void streams_deinit(struct streams *streams)
{
	list_each_safe (node, &streams->all) {
		struct stream *stream = container_of(node, struct stream, peers);

		type_give(streams, stream->content_type);
		stream_free(stream);
	}
	hash_deinit(&streams->table);
	hash_deinit(&streams->numbers);
	hash_deinit(&streams->types);
	hash_deinit(&streams->producers);
	heap_deinit(&streams->deadlines);
}

uint64_t path_hash(const struct streams *streams, struct slice path)
{
	return hash_bytes(&streams->hash_key, path.ptr, path.len);
}

static uint64_t number_hash(const struct streams *streams, uint64_t number)
{
	return hash_u64(&streams->hash_key, number, 1);
}

uint64_t producer_hash(const struct streams *streams, uint64_t stream_number, struct slice id)
{
	return hash_u64(&streams->hash_key, stream_number, hash_bytes(&streams->hash_key, id.ptr, id.len));
}

struct stream *stream_find(const struct streams *streams, struct slice path)
{
	uint64_t hash = path_hash(streams, path);

	for (struct hash_node *n = hash_first(&streams->table, hash); n; n = hash_next(&streams->table, n)) {
		struct stream *stream = container_of(n, struct stream, node);

		if (n->hash == hash && slice_eq(stream_path(stream), path))
			return stream;
	}
	return NULL;
}

struct stream *stream_find_number(const struct streams *streams, uint64_t number)
{
	uint64_t hash = number_hash(streams, number);

	for (struct hash_node *n = hash_first(&streams->numbers, hash); n; n = hash_next(&streams->numbers, n)) {
		struct stream *stream = container_of(n, struct stream, by_number);

		if (n->hash == hash && stream->number == number)
			return stream;
	}
	return NULL;
}

struct stream *stream_next_after(const struct streams *streams, uint64_t number)
{
	struct stream *stream = number ? stream_find_number(streams, number) : NULL;
	struct list *node = stream ? stream->peers.next : streams->all.next;

	/* A number that nobody has any more was passed by whoever was made later. */
	for (; node != &streams->all; node = node->next) {
		stream = container_of(node, struct stream, peers);
		if (stream->number > number)
			return stream;
	}
	return NULL;
}

struct producer *producer_find(const struct streams *streams, const struct stream *stream, struct slice id)
{
	uint64_t hash = producer_hash(streams, stream->number, id);

	for (struct hash_node *n = hash_first(&streams->producers, hash); n; n = hash_next(&streams->producers, n)) {
		struct producer *producer = container_of(n, struct producer, node);

		if (n->hash == hash && producer->stream == stream && slice_eq(slice_from(producer->id, producer->len), id))
			return producer;
	}
	return NULL;
}

uint64_t stream_earliest(const struct stream *stream)
{
	uint64_t earliest;

	if (!stream->source)
		return stream->earliest_offset;
	earliest = stream_earliest(stream->source);
	return earliest < stream->fork_offset ? earliest : stream->fork_offset;
}

static const struct chunk *own_chunk(const struct stream *stream, uint64_t offset)
{
	size_t low = 0, high = stream->chunk_count;

	ENSURE(offset >= stream->earliest_offset && offset < stream->next_offset);
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (stream->chunks[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &stream->chunks[low];
}

struct chunk_place stream_chunk_at(const struct stream *stream, uint64_t offset)
{
	struct chunk_place place = {.end = UINT64_MAX, .value_bytes = UINT64_MAX};

	while (stream->source && offset < stream->own_offset) {
		uint64_t end = offset < stream->fork_offset ? stream->fork_offset : stream->own_offset;

		if (offset >= stream->fork_offset && stream->fork_sub < place.value_bytes)
			place.value_bytes = stream->fork_sub;
		if (end < place.end)
			place.end = end;
		stream = stream->source;
	}
	place.chunk = own_chunk(stream, offset);
	if (place.chunk->offset + place.chunk->count < place.end)
		place.end = place.chunk->offset + place.chunk->count;
	return place;
}

/* --- content types --- */

int type_take(struct streams *streams, struct slice s, struct stream_type **ret_type)
{
	uint64_t hash = hash_bytes(&streams->hash_key, s.ptr, s.len);
	struct stream_type *type;

	*ret_type = NULL;
	if (!s.len)
		return 0;
	for (struct hash_node *n = hash_first(&streams->types, hash); n; n = hash_next(&streams->types, n)) {
		type = container_of(n, struct stream_type, node);
		if (n->hash == hash && slice_eq(slice_from(type->bytes, type->len), s)) {
			type->refs++;
			*ret_type = type;
			return 0;
		}
	}
	type = mem_alloc(sizeof(*type) + s.len);
	if (!type || hash_insert(&streams->types, &type->node, hash)) {
		mem_free(type);
		return -ENOMEM;
	}
	type->refs = 1;
	type->len = (uint32_t)s.len;
	memcpy(type->bytes, s.ptr, s.len);
	*ret_type = type;
	return 0;
}

void type_give(struct streams *streams, struct stream_type *type)
{
	if (!type || --type->refs > 0)
		return;
	hash_remove(&streams->types, &type->node);
	mem_free(type);
}

/* --- time --- */

void stream_set_deadline(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	stream->deadline_ms = at_ms;
	if (at_ms == UINT64_MAX)
		heap_remove(&streams->deadlines, &stream->deadline);
	else if (heap_holds(&stream->deadline))
		heap_moved(&streams->deadlines, &stream->deadline);
	else
		ENSURE(heap_push(&streams->deadlines, &stream->deadline) == 0);
}

void stream_touch(struct streams *streams, struct stream *stream, uint64_t now_ms)
{
	if (stream->flags & STREAM_HAS_TTL && !(stream->flags & STREAM_GONE))
		stream_set_deadline(streams, stream, now_ms + stream->ttl_s * 1000);
}

void stream_postpone(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	stream_set_deadline(streams, stream, at_ms);
}

/* --- invariants --- */

static void stream_check(const struct streams *streams, const struct stream *stream)
{
	uint64_t offset = stream->earliest_offset;
	uint32_t producers = 0;

	for (uint32_t i = 0; i < stream->chunk_count; i++) {
		ENSURE(stream->chunks[i].offset == offset && stream->chunks[i].count > 0);
		ENSURE(stream->chunks[i].ref.kind != BODY_NONE);
		offset += stream->chunks[i].count;
	}
	ENSURE(offset == stream->next_offset);
	ENSURE(stream->chunk_count <= stream->chunk_cap);
	ENSURE(stream->nameless || stream_find(streams, stream_path(stream)) == stream);
	ENSURE(stream_find_number(streams, stream->number) == stream);
	ENSURE(heap_holds(&stream->deadline) == (stream->deadline_ms != UINT64_MAX));
	ENSURE(stream->number < streams->next_number);
	ENSURE(!stream->source || (stream->earliest_offset == stream->own_offset && stream->source->number < stream->number &&
				   stream->own_offset == stream->fork_offset + (stream->fork_sub > 0) &&
				   stream->own_offset <= stream->source->next_offset));
	ENSURE(!(stream->flags & STREAM_GONE) || stream->fork_count > 0);
	list_each (node, &stream->producers) {
		const struct producer *producer = container_of(node, struct producer, peers);

		ENSURE(producer->stream == stream);
		ENSURE(producer_find(streams, stream, slice_from(producer->id, producer->len)) == producer);
		producers++;
	}
	ENSURE(producers == stream->producer_count);
}

void streams_check(const struct streams *streams)
{
	uint64_t count = 0, named = 0, forks = 0, counted = 0;

	list_each (node, &streams->all) {
		const struct stream *stream = container_of(node, struct stream, peers);

		stream_check(streams, stream);
		forks += stream->source != NULL;
		counted += stream->fork_count;
		named += !stream->nameless;
		count++;
	}
	ENSURE(forks == counted);
	ENSURE(count == streams->count);
	ENSURE(streams->table.count == named && streams->numbers.count == count);
}
