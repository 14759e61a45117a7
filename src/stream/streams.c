/* Where streams are found, and their invariants. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

/* With these a path of up to 8 bytes, then 16 more a size, fills its object to the byte. */
enum { STREAM_PATH_FIRST = 8, STREAM_PATH_STEP = 16 };

const struct stream_more stream_more_none = {
	.deadline_ms = UINT64_MAX, .life_ms = UINT64_MAX, .trim_ms = UINT64_MAX, .compact_ms = UINT64_MAX};

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct stream_more, deadline)->deadline_ms <
	       container_of(b, const struct stream_more, deadline)->deadline_ms;
}

int streams_init(struct streams *streams, struct store *store, const struct hash_key *hash_key)
{
	*streams = (struct streams){.store = store, .hash_key = *hash_key, .next_number = 1};
	list_init(&streams->page_list);
	heap_init(&streams->deadlines, deadline_before);
	for (unsigned i = 0; i < STREAM_SIZES; i++)
		pool_init(&streams->pools[i], sizeof(struct stream) + STREAM_PATH_STEP * i + STREAM_PATH_FIRST);
	if (hash_init_sure(&streams->table) || hash_init_sure(&streams->pages) || hash_init_sure(&streams->types) ||
	    hash_init_sure(&streams->producers) || hash_init_sure(&streams->keys) || hash_init_sure(&streams->key_places) ||
	    hash_init_sure(&streams->sequences)) {
		streams_deinit(streams);
		return -ENOMEM;
	}
	return 0;
}

/* Which pool a stream with such a path is from; NULL: none, it is too long. */
static struct pool *pool_of(struct streams *streams, size_t path_len)
{
	size_t size =
		path_len <= STREAM_PATH_FIRST ? 0 : (path_len - STREAM_PATH_FIRST + STREAM_PATH_STEP - 1) / STREAM_PATH_STEP;

	return size < STREAM_SIZES ? &streams->pools[size] : NULL;
}

struct stream *stream_new(struct streams *streams, struct slice path)
{
	struct pool *pool = pool_of(streams, path.len);
	struct stream *stream = pool ? pool_take(pool) : mem_zalloc(sizeof(*stream) + path.len);

	if (!stream)
		return NULL;
	stream->path_len = (uint16_t)path.len;
	memcpy(stream->path, path.ptr, path.len);
	return stream;
}

void stream_free(struct streams *streams, struct stream *stream)
{
	struct pool *pool = pool_of(streams, stream->path_len);
	struct stream_more *more = stream->more;

	if (more) {
		list_each_safe (node, &more->producers)
			mem_free(container_of(node, struct producer, peers));
		list_each_safe (node, &more->keys)
			mem_free(container_of(node, struct stream_keyed, peers));
		sequences_free(more->sequences);
		mem_free(more->stream_seq);
		mem_free(more);
	}
	if (stream->many)
		mem_free(stream->array);
	if (pool)
		pool_give(pool, stream);
	else
		mem_free(stream);
}

/* The store is not told: this is the end of the process or of a simulated one. */
void streams_deinit(struct streams *streams)
{
	list_each_safe (node, &streams->page_list) {
		struct stream_page *page = container_of(node, struct stream_page, peers);

		for (unsigned i = 0; i < STREAM_PAGE; i++) {
			if (!page->streams[i])
				continue;
			type_give(streams, page->streams[i]->content_type);
			stream_free(streams, page->streams[i]);
		}
		mem_free(page);
	}
	hash_deinit(&streams->table);
	hash_deinit(&streams->pages);
	hash_deinit(&streams->types);
	hash_deinit(&streams->producers);
	hash_deinit(&streams->keys);
	hash_deinit(&streams->sequences);
	hash_deinit(&streams->key_places);
	heap_deinit(&streams->deadlines);
	for (unsigned i = 0; i < STREAM_SIZES; i++)
		pool_deinit(&streams->pools[i]);
}

uint64_t path_hash(const struct streams *streams, struct slice path)
{
	return hash_bytes(&streams->hash_key, path.ptr, path.len);
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

struct stream_keyed *stream_keyed_find(const struct streams *streams, const struct stream *stream, struct slice key)
{
	uint64_t hash = producer_hash(streams, stream->number, key);

	for (struct hash_node *n = hash_first(&streams->keys, hash); n; n = hash_next(&streams->keys, n)) {
		struct stream_keyed *keyed = container_of(n, struct stream_keyed, node);

		if (n->hash == hash && keyed->stream == stream && slice_eq(slice_from(keyed->key, keyed->len), key))
			return keyed;
	}
	return NULL;
}

uint64_t place_hash(const struct streams *streams, uint64_t stream_number, uint64_t offset)
{
	return hash_u64(&streams->hash_key, stream_number, offset);
}

struct stream_keyed *keyed_at(const struct streams *streams, const struct stream *stream, uint64_t offset)
{
	uint64_t hash = place_hash(streams, stream->number, offset);

	for (struct hash_node *n = hash_first(&streams->key_places, hash); n; n = hash_next(&streams->key_places, n)) {
		struct stream_keyed *keyed = container_of(n, struct stream_keyed, by_place);

		if (keyed->stream == stream && keyed->offset == offset)
			return keyed;
	}
	return NULL;
}

/* --- by number --- */

static uint64_t page_hash(const struct streams *streams, uint64_t base)
{
	return hash_u64(&streams->hash_key, base, 1);
}

struct stream_page *page_find(const struct streams *streams, uint64_t number)
{
	uint64_t base = number - number % STREAM_PAGE, hash = page_hash(streams, base);

	for (struct hash_node *n = hash_first(&streams->pages, hash); n; n = hash_next(&streams->pages, n)) {
		struct stream_page *page = container_of(n, struct stream_page, node);

		if (n->hash == hash && page->base == base)
			return page;
	}
	return NULL;
}

/* Nearly always the last. */
void page_add(struct streams *streams, struct stream_page *page)
{
	struct list *before = streams->page_list.prev;

	while (before != &streams->page_list && container_of(before, struct stream_page, peers)->base > page->base)
		before = before->prev;
	list_push_front(before, &page->peers);
	/* Only a table's first insert can lack memory, and that was made at the start. */
	ENSURE(hash_insert(&streams->pages, &page->node, page_hash(streams, page->base)) == 0);
}

void page_put(struct stream_page *page, struct stream *stream)
{
	page->streams[stream->number % STREAM_PAGE] = stream;
	page->count++;
}

void page_remove(struct streams *streams, const struct stream *stream)
{
	struct stream_page *page = page_find(streams, stream->number);

	page->streams[stream->number % STREAM_PAGE] = NULL;
	if (--page->count > 0)
		return;
	hash_remove(&streams->pages, &page->node);
	list_remove(&page->peers);
	mem_free(page);
}

struct stream *stream_find_number(const struct streams *streams, uint64_t number)
{
	const struct stream_page *page = page_find(streams, number);

	return page ? page->streams[number % STREAM_PAGE] : NULL;
}

static struct stream_page *page_of(struct list *node)
{
	return container_of(node, struct stream_page, peers);
}

/* The first page with numbers from there on. When its own is gone: from the front, or number by number, whichever is nearer. */
static struct list *page_from(const struct streams *streams, uint64_t number)
{
	uint64_t first = number - number % STREAM_PAGE;
	struct list *node = streams->page_list.next;

	for (uint64_t base = first; base < streams->next_number; base += STREAM_PAGE) {
		struct stream_page *page = page_find(streams, base);

		if (page)
			return &page->peers;
		if (node == &streams->page_list || page_of(node)->base >= first)
			return node;
		node = node->next;
	}
	return (struct list *)(uintptr_t)&streams->page_list;
}

struct stream *stream_next_after(const struct streams *streams, uint64_t number)
{
	for (struct list *node = page_from(streams, number); node != &streams->page_list; node = node->next) {
		const struct stream_page *page = page_of(node);

		for (uint64_t i = page->base > number ? 0 : number - page->base + 1; i < STREAM_PAGE; i++) {
			if (page->streams[i])
				return page->streams[i];
		}
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

static void plan(struct streams *streams, struct stream_more *more, uint64_t at_ms)
{
	more->deadline_ms = at_ms;
	if (at_ms == UINT64_MAX)
		heap_remove(&streams->deadlines, &more->deadline);
	else if (heap_holds(&more->deadline))
		heap_moved(&streams->deadlines, &more->deadline);
	else
		ENSURE(heap_push(&streams->deadlines, &more->deadline) == 0);
}

static void replan(struct streams *streams, struct stream_more *more)
{
	uint64_t at_ms = more->life_ms < more->trim_ms ? more->life_ms : more->trim_ms;

	plan(streams, more, at_ms < more->compact_ms ? at_ms : more->compact_ms);
}

void stream_set_life(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	stream->more->life_ms = at_ms;
	replan(streams, stream->more);
}

/* The time of records in a topic is the producer's: what was old when it came is there to be read for a while all the same. */
void stream_set_trim(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	if (stream->flags & STREAM_TOPIC && at_ms < streams->last_ms)
		at_ms = streams->last_ms + TOPIC_LATE_MS;
	stream->more->trim_ms = at_ms;
	replan(streams, stream->more);
}

void stream_set_compact(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	stream->more->compact_ms = at_ms;
	replan(streams, stream->more);
}

void stream_touch(struct streams *streams, struct stream *stream, uint64_t now_ms)
{
	if (stream->flags & STREAM_HAS_TTL && !(stream->flags & STREAM_GONE))
		stream_set_life(streams, stream, now_ms + stream->more->ttl_s * 1000);
}

void stream_postpone(struct streams *streams, struct stream *stream, uint64_t at_ms)
{
	plan(streams, stream->more, at_ms);
}

void stream_retain(struct streams *streams, struct stream *stream, uint64_t max_age_ms, uint64_t max_bytes)
{
	stream->more->max_age_ms = max_age_ms;
	stream->more->max_bytes = max_bytes;
	stream_plan_trim(streams, stream);
}

/* --- invariants --- */

static uint64_t check_chunks(const struct stream *stream)
{
	uint64_t offset = stream_more(stream)->own_offset, bytes = 0;
	uint32_t dead = 0, expiring = 0;

	for (uint32_t i = 0; i < stream->chunk_count; i++) {
		const struct chunk *chunk = &stream_chunks(stream)[i];

		ENSURE(chunk->offset >= offset && chunk->count > 0);
		ENSURE(stream->fork_count || chunk->kind == BODY_NONE || chunk_end(chunk) > stream_earliest(stream));
		offset = chunk_end(chunk);
		dead += chunk->kind == BODY_NONE;
		expiring += chunk->expires_s != 0;
		if (offset > stream_earliest(stream))
			bytes += chunk->size_bytes;
	}
	ENSURE(offset <= stream->next_offset && stream_earliest(stream) <= stream->next_offset);
	ENSURE(stream->chunk_count <= chunk_cap(stream));
	ENSURE(dead == (stream->many ? stream->array->dead_count : 0) && expiring == stream_more(stream)->expiring_count &&
	       bytes == stream->bytes);
	return offset;
}

static void check_more(const struct streams *streams, const struct stream *stream)
{
	const struct stream_more *more = stream->more;
	uint32_t producers = 0;

	ENSURE(more->stream == stream);
	ENSURE(heap_holds(&more->deadline) == (more->deadline_ms != UINT64_MAX));
	list_each (node, &more->producers) {
		const struct producer *producer = container_of(node, struct producer, peers);

		ENSURE(producer->stream == stream);
		ENSURE(producer_find(streams, stream, slice_from(producer->id, producer->len)) == producer);
		producers++;
	}
	ENSURE(producers == more->producer_count);
	sequences_check(streams, stream);
	list_each (node, &more->keys) {
		const struct stream_keyed *keyed = container_of(node, struct stream_keyed, peers);
		uint32_t i = chunk_index(stream, keyed->offset);

		ENSURE(keyed->stream == stream && keyed->offset >= more->earliest_offset);
		ENSURE(stream_keyed_find(streams, stream, slice_from(keyed->key, keyed->len)) == keyed);
		ENSURE(keyed_at(streams, stream, keyed->offset) == keyed);
		ENSURE(i < stream->chunk_count && stream_chunks(stream)[i].offset == keyed->offset &&
		       stream_chunks(stream)[i].keyed);
	}
	ENSURE(!more->source ||
	       (more->source->number < stream->number && more->own_offset == more->fork_offset + (more->fork_sub > 0) &&
		more->own_offset <= more->source->next_offset));
}

static void stream_check(const struct streams *streams, const struct stream *stream)
{
	check_chunks(stream);
	ENSURE(stream->nameless || stream_find(streams, stream_path(stream)) == stream);
	ENSURE(stream->number < streams->next_number);
	ENSURE(!(stream->flags & STREAM_GONE) || stream->fork_count > 0);
	if (stream->more)
		check_more(streams, stream);
}

struct totals {
	uint64_t count, named, forks, counted, more;
};

static void page_check(const struct streams *streams, const struct stream_page *page, struct totals *totals)
{
	uint32_t count = 0;

	ENSURE(page_find(streams, page->base) == page);
	for (unsigned i = 0; i < STREAM_PAGE; i++) {
		const struct stream *stream = page->streams[i];

		if (!stream)
			continue;
		ENSURE(stream->number == page->base + i);
		stream_check(streams, stream);
		totals->forks += stream_more(stream)->source != NULL;
		totals->counted += stream->fork_count;
		totals->named += !stream->nameless;
		totals->more += stream->more != NULL;
		count++;
	}
	ENSURE(count == page->count && count > 0);
	totals->count += count;
}

void streams_check(const struct streams *streams)
{
	struct totals totals = {0};
	uint64_t base = 0;

	list_each (node, &streams->page_list) {
		const struct stream_page *page = container_of(node, struct stream_page, peers);

		ENSURE(page->base >= base);
		base = page->base + STREAM_PAGE;
		page_check(streams, page, &totals);
	}
	ENSURE(totals.forks == totals.counted);
	ENSURE(totals.count == streams->count && totals.more == streams->more_count);
	ENSURE(streams->table.count == totals.named && streams->keys.count == streams->key_places.count);
}
