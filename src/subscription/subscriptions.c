/* Where subscriptions and their links are found, and their invariants. */
#include "subscription/subscription_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

/* --- tables --- */

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct subscription, deadline)->deadline_ms <
	       container_of(b, const struct subscription, deadline)->deadline_ms;
}

int subscriptions_init(struct subscriptions *subs, const struct hash_key *hash_key)
{
	*subs = (struct subscriptions){.hash_key = *hash_key, .next_number = 1};
	list_init(&subs->all);
	heap_init(&subs->deadlines, deadline_before);
	if (hash_init_sure(&subs->ids) || hash_init_sure(&subs->numbers) || hash_init_sure(&subs->paths) ||
	    hash_init_sure(&subs->streams)) {
		subscriptions_deinit(subs);
		return -ENOMEM;
	}
	return 0;
}

void subscription_free(struct subscription *subscription)
{
	mem_free(subscription->holder);
	mem_free(subscription);
}

void subscriptions_deinit(struct subscriptions *subs)
{
	list_each_safe (node, &subs->all) {
		struct subscription *subscription = container_of(node, struct subscription, peers);

		list_each_safe (peer, &subscription->links)
			mem_free(container_of(peer, struct subscription_link, peers));
		subscription_free(subscription);
	}
	hash_deinit(&subs->ids);
	hash_deinit(&subs->numbers);
	hash_deinit(&subs->paths);
	hash_deinit(&subs->streams);
	heap_deinit(&subs->deadlines);
}

uint64_t id_hash(const struct subscriptions *subs, struct slice id)
{
	return hash_bytes(&subs->hash_key, id.ptr, id.len);
}

uint64_t number_hash(const struct subscriptions *subs, uint64_t number)
{
	return hash_u64(&subs->hash_key, number, 1);
}

static uint64_t path_hash(const struct subscriptions *subs, uint64_t number, struct slice path)
{
	return hash_u64(&subs->hash_key, number, hash_bytes(&subs->hash_key, path.ptr, path.len));
}

static uint64_t stream_hash(const struct subscriptions *subs, uint64_t stream, struct slice path)
{
	return stream ? hash_u64(&subs->hash_key, stream, 2) : hash_bytes(&subs->hash_key, path.ptr, path.len);
}

struct subscription *subscription_find(const struct subscriptions *subs, struct slice id)
{
	struct hash_node *node = hash_first(&subs->ids, id_hash(subs, id));

	for (; node; node = hash_next(&subs->ids, node)) {
		struct subscription *subscription = container_of(node, struct subscription, by_id);

		if (slice_eq(subscription->id, id))
			return subscription;
	}
	return NULL;
}

struct subscription *subscription_find_number(const struct subscriptions *subs, uint64_t number)
{
	struct hash_node *node = hash_first(&subs->numbers, number_hash(subs, number));

	for (; node; node = hash_next(&subs->numbers, node)) {
		struct subscription *subscription = container_of(node, struct subscription, by_number);

		if (subscription->number == number)
			return subscription;
	}
	return NULL;
}

struct subscription_link *link_find(const struct subscriptions *subs, const struct subscription *subscription, struct slice path)
{
	struct hash_node *node = hash_first(&subs->paths, path_hash(subs, subscription->number, path));

	for (; node; node = hash_next(&subs->paths, node)) {
		struct subscription_link *link = container_of(node, struct subscription_link, by_path);

		if (link->subscription == subscription && slice_eq(link_path(link), path))
			return link;
	}
	return NULL;
}

static struct subscription_link *link_of_stream(const struct subscriptions *subs, struct hash_node *node, uint64_t stream,
						struct slice path)
{
	for (; node; node = hash_next(&subs->streams, node)) {
		struct subscription_link *link = container_of(node, struct subscription_link, by_stream);

		if (link->stream == stream && (stream || slice_eq(link_path(link), path)))
			return link;
	}
	return NULL;
}

struct subscription_link *link_first(const struct subscriptions *subs, uint64_t stream)
{
	return link_of_stream(subs, hash_first(&subs->streams, stream_hash(subs, stream, (struct slice){0})), stream,
			      (struct slice){0});
}

struct subscription_link *link_first_unbound(const struct subscriptions *subs, struct slice path)
{
	return link_of_stream(subs, hash_first(&subs->streams, stream_hash(subs, 0, path)), 0, path);
}

struct subscription_link *link_next(const struct subscriptions *subs, struct subscription_link *link)
{
	return link_of_stream(subs, hash_next(&subs->streams, &link->by_stream), link->stream, link_path(link));
}

/* --- links --- */

void link_set_tail(struct subscription_link *link, uint64_t tail)
{
	link->tail = tail;
	if (tail <= link->acked)
		list_remove(&link->pending);
	else if (list_empty(&link->pending))
		list_push_back(&link->subscription->pending, &link->pending);
}

void link_ack(struct subscription_link *link, uint64_t offset)
{
	if (offset > link->acked)
		link->acked = offset;
	link_set_tail(link, link->tail);
}

void link_set_waked(struct subscription_link *link, uint64_t tail)
{
	link->waked = tail;
	list_remove(&link->waked_peers);
	if (tail)
		list_push_back(&link->subscription->waked, &link->waked_peers);
}

static void place(struct subscriptions *subs, struct subscription_link *link, uint64_t stream, uint64_t acked)
{
	link->stream = stream;
	link->acked = link->tail = acked;
	list_remove(&link->pending);
	ENSURE(hash_insert(&subs->streams, &link->by_stream, stream_hash(subs, stream, link_path(link))) == 0);
}

void link_enter(struct subscriptions *subs, struct subscription_link *link)
{
	ENSURE(hash_insert(&subs->paths, &link->by_path, path_hash(subs, link->subscription->number, link_path(link))) == 0);
	place(subs, link, link->stream, link->acked);
	list_push_back(&link->subscription->links, &link->peers);
	link->subscription->link_count++;
	subs->link_count++;
}

void link_bind(struct subscriptions *subs, struct subscription_link *link, uint64_t stream, uint64_t acked)
{
	hash_remove(&subs->streams, &link->by_stream);
	link_set_waked(link, 0);
	place(subs, link, stream, acked);
}

void link_leave(struct subscriptions *subs, struct subscription_link *link)
{
	hash_remove(&subs->paths, &link->by_path);
	hash_remove(&subs->streams, &link->by_stream);
	list_remove(&link->peers);
	list_remove(&link->pending);
	list_remove(&link->waked_peers);
	link->subscription->link_count--;
	subs->link_count--;
	mem_free(link);
}

void links_let_go(struct subscriptions *subs, uint64_t stream)
{
	struct subscription_link *link;

	while ((link = link_first(subs, stream))) {
		link->flags &= LINK_EXPLICIT;
		if (link->flags)
			link_bind(subs, link, 0, 0);
		else
			link_leave(subs, link);
	}
}

void subscription_set_deadline(struct subscriptions *subs, struct subscription *subscription, uint64_t at_ms)
{
	subscription->deadline_ms = at_ms;
	if (at_ms == UINT64_MAX)
		heap_remove(&subs->deadlines, &subscription->deadline);
	else if (heap_holds(&subscription->deadline))
		heap_moved(&subs->deadlines, &subscription->deadline);
	else /* room was made when the subscription was */
		ENSURE(heap_push(&subs->deadlines, &subscription->deadline) == 0);
}

/* --- invariants --- */

static bool is_in(const struct list *head, const struct list *node)
{
	list_each (at, head) {
		if (at == node)
			return true;
	}
	return false;
}

static void link_check(const struct subscriptions *subs, const struct subscription *subscription,
		       const struct subscription_link *link)
{
	struct subscription_link *same = link_first(subs, link->stream);

	if (!link->stream)
		same = link_first_unbound(subs, link_path(link));
	while (same && same != link)
		same = link_next(subs, same);
	ENSURE(same == link && link->subscription == subscription);
	ENSURE(link_find(subs, subscription, link_path(link)) == link);
	ENSURE(link->flags && link->flags <= LINK_FLAGS);
	ENSURE(link->stream || (link->flags == LINK_EXPLICIT && link->acked == 0 && link->tail == 0));
	ENSURE(list_empty(&link->pending) == (link->tail <= link->acked));
	ENSURE(list_empty(&link->pending) || is_in(&subscription->pending, &link->pending));
	ENSURE(list_empty(&link->waked_peers) == (link->waked == 0));
	ENSURE(link->waked == 0 || subscription->flags & SUB_FLIGHT);
}

void subscriptions_check(const struct subscriptions *subs)
{
	uint64_t count = 0, links = 0, patterns = 0;

	list_each (node, &subs->all) {
		const struct subscription *subscription = container_of(node, struct subscription, peers);
		uint64_t here = 0;

		ENSURE(subscription_find(subs, subscription->id) == subscription);
		ENSURE(subscription_find_number(subs, subscription->number) == subscription);
		ENSURE(subscription->number < subs->next_number);
		ENSURE(heap_holds(&subscription->deadline) == (subscription->deadline_ms != UINT64_MAX));
		ENSURE(subscription->flags & SUB_FLIGHT ||
		       (!subscription->lease_until_ms && !subscription->holder && !(subscription->flags & SUB_DELIVERED)));
		list_each (peer, &subscription->links) {
			link_check(subs, subscription, container_of(peer, struct subscription_link, peers));
			here++;
		}
		ENSURE(here == subscription->link_count);
		links += here;
		patterns += subscription->pattern.len > 0;
		count++;
	}
	ENSURE(count == subs->count && links == subs->link_count && patterns == subs->pattern_count);
	ENSURE(subs->paths.count == links && subs->streams.count == links);
	ENSURE(subs->ids.count == count && subs->numbers.count == count);
}
