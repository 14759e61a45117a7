/* Events become state: prepare allocates and judges, commit cannot fail. */
#include "subscription/subscription_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static bool is_new(const struct subscription_event *e)
{
	return e->type == SUB_CREATED || e->type == SUB_SNAP;
}

/* --- prepare --- */

static struct slice copy_to(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static int prepare_new(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	const struct subscription *other = subscription_find(subs, e->id);
	struct subscription *subscription;
	char *at;

	/* A checkpoint holds it already; or it is gone since, and the checkpoint holds another one of that id. */
	if (subscription_find_number(subs, e->number) || (other && other->number > e->number)) {
		p->skip = true;
		return 0;
	}
	if (!e->id.len || !e->kind || !e->lease_ttl_ms)
		return -EBADMSG;
	subscription = mem_zalloc(sizeof(*subscription) + e->id.len + e->pattern.len + e->url.len + e->origin.len +
				  e->wake_stream.len + e->description.len);
	if (!subscription)
		return -ENOMEM;
	p->subscription = subscription;
	p->new_subscription = true;
	list_init(&subscription->peers);
	list_init(&subscription->links);
	list_init(&subscription->pending);
	list_init(&subscription->waked);
	subscription->deadline_ms = UINT64_MAX;
	subscription->number = e->number;
	subscription->kind = (uint8_t)e->kind;
	at = subscription->strings;
	subscription->id = copy_to(&at, e->id);
	subscription->pattern = copy_to(&at, e->pattern);
	subscription->url = copy_to(&at, e->url);
	subscription->origin = copy_to(&at, e->origin);
	subscription->wake_stream = copy_to(&at, e->wake_stream);
	subscription->description = copy_to(&at, e->description);
	return subs->count >= UINT32_MAX - 1 || heap_reserve(&subs->deadlines, (uint32_t)subs->count + 1) ? -ENOMEM : 0;
}

static void prepare_known(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	p->subscription = subscription_find_number(subs, e->number);
	/* Gone since, or in the checkpoint already. An event that is being made now has no end yet (UINT64_MAX). */
	if (!p->subscription || (e->end && e->end <= p->subscription->changed_end))
		p->skip = true;
}

/* Only a checkpoint tells of links that a wake in flight has told. */
static bool may_be_waked(const struct subscription_event *e, const struct subscription_prepared *p)
{
	if (e->type == SUB_SNAP)
		return e->flags & SUB_FLIGHT;
	return e->type == SUB_SNAP_LINKS && p->subscription->flags & SUB_FLIGHT;
}

/* Memory for the links that are not there yet. */
static int prepare_links(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	struct slice rest = e->links;
	struct link_item item;

	while (rest.len) {
		struct subscription_link *link;

		if (link_get(&rest, &item) || (item.waked && !may_be_waked(e, p)))
			return -EBADMSG;
		if (!p->new_subscription && link_find(subs, p->subscription, item.path))
			continue;
		link = mem_zalloc(sizeof(*link) + item.path.len);
		if (!link)
			return -ENOMEM;
		list_push_back(&p->links, &link->peers);
		list_init(&link->pending);
		list_init(&link->waked_peers);
		link->path_len = (uint32_t)item.path.len;
		memcpy(link->path, item.path.ptr, item.path.len);
	}
	return 0;
}

static int places_sane(struct slice places)
{
	struct place_item item;

	while (places.len) {
		if (place_get(&places, &item))
			return -EBADMSG;
	}
	return 0;
}

/* Whether it can happen to what is there: a wake begins when none is in flight, and everything else about one while it is. */
static bool fits(const struct subscription_event *e, const struct subscription *subscription)
{
	bool flight = subscription->flags & SUB_FLIGHT;

	switch ((unsigned)e->type) {
	case SUB_WOKEN:
		return !flight && e->generation == subscription->generation + 1;
	case SUB_CLAIMED:
	case SUB_ACKED:
	case SUB_ENDED:
	case SUB_HOOKED:
		return flight;
	case SUB_SNAP:
		return e->flags & SUB_FLIGHT || (!e->until_ms && !e->holder.len && !(e->flags & SUB_DELIVERED));
	default:
		return true;
	}
}

static int prepare_change(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	int r = fits(e, p->subscription) ? prepare_links(subs, e, p) : -EBADMSG;

	if (!r)
		r = places_sane(e->places);
	if (!r && e->holder.len) {
		p->holder = mem_dup(e->holder.ptr, e->holder.len);
		r = p->holder && e->holder.len <= UINT32_MAX ? 0 : -ENOMEM;
	}
	return r;
}

int subscriptions_prepare(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	int r = 0;

	*p = (struct subscription_prepared){0};
	list_init(&p->links);
	if (e->type == SUB_SNAP_META)
		return 0;
	if (is_new(e))
		r = prepare_new(subs, e, p);
	else
		prepare_known(subs, e, p);
	if (!r && !p->skip)
		r = prepare_change(subs, e, p);
	if (r)
		subscriptions_unprepare(p);
	return r;
}

void subscriptions_unprepare(struct subscription_prepared *p)
{
	list_each_safe (node, &p->links)
		mem_free(container_of(node, struct subscription_link, peers));
	list_init(&p->links);
	if (p->new_subscription)
		subscription_free(p->subscription);
	mem_free(p->holder);
	p->holder = NULL;
	p->new_subscription = false;
}

/* --- commit --- */

static void let_go(struct subscriptions *subs, struct subscription *subscription)
{
	while (!list_empty(&subscription->links))
		link_leave(subs, list_first(&subscription->links, struct subscription_link, peers));
	hash_remove(&subs->ids, &subscription->by_id);
	hash_remove(&subs->numbers, &subscription->by_number);
	heap_remove(&subs->deadlines, &subscription->deadline);
	list_remove(&subscription->peers);
	subs->count--;
	subs->pattern_count -= subscription->pattern.len > 0;
	subscription_free(subscription);
}

static void commit_new(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	struct subscription *subscription = p->subscription;

	p->new_subscription = false;
	subscription->lease_ttl_ms = e->lease_ttl_ms;
	subscription->fingerprint = e->fingerprint;
	subscription->created_ms = e->type == SUB_SNAP ? e->created_ms : e->time_ms;
	ENSURE(hash_insert(&subs->ids, &subscription->by_id, id_hash(subs, subscription->id)) == 0);
	ENSURE(hash_insert(&subs->numbers, &subscription->by_number, number_hash(subs, subscription->number)) == 0);
	list_push_back(&subs->all, &subscription->peers);
	subs->count++;
	subs->pattern_count += subscription->pattern.len > 0;
	if (subscription->number >= subs->next_number)
		subs->next_number = subscription->number + 1;
}

static void commit_link(struct subscriptions *subs, const struct link_item *item, struct subscription_prepared *p)
{
	struct subscription_link *link = link_find(subs, p->subscription, item->path), *fresh = NULL;

	if (!list_empty(&p->links))
		fresh = list_first(&p->links, struct subscription_link, peers);
	if (fresh && slice_eq(link_path(fresh), item->path)) {
		list_remove(&fresh->peers);
		if (link) { /* the same path twice in one event */
			mem_free(fresh);
		} else {
			fresh->subscription = p->subscription;
			fresh->stream = item->stream;
			fresh->acked = item->acked;
			fresh->flags = (uint8_t)item->flags;
			link_enter(subs, fresh);
			link_set_waked(fresh, item->waked);
			return;
		}
	}
	ENSURE(link);
	if (link->stream != item->stream) {
		/* Becomes the youngest: whether it was gone meanwhile, which the journal does not tell, makes no difference. */
		link_bind(subs, link, item->stream, item->acked);
		list_remove(&link->peers);
		list_push_back(&p->subscription->links, &link->peers);
		link->flags = 0;
	}
	link->flags |= (uint8_t)item->flags;
}

static void commit_links(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	struct slice rest = e->links;
	struct link_item item;

	while (rest.len && link_get(&rest, &item) == 0)
		commit_link(subs, &item, p);
}

/* The subscription's link to that stream; NULL: there is none any more. */
static struct subscription_link *link_of(const struct subscriptions *subs, const struct subscription *subscription,
					 uint64_t stream)
{
	struct subscription_link *link = link_first(subs, stream);

	while (link && link->subscription != subscription)
		link = link_next(subs, link);
	return link;
}

static void commit_places(struct subscriptions *subs, const struct subscription_event *e, struct subscription *subscription)
{
	struct slice rest = e->places;
	struct place_item item;

	while (rest.len && place_get(&rest, &item) == 0) {
		struct subscription_link *link = link_of(subs, subscription, item.stream);

		if (link && e->type == SUB_WOKEN)
			link_set_waked(link, item.offset);
		else if (link)
			link_ack(link, item.offset);
	}
}

static void set_holder(struct subscription *subscription, const struct subscription_event *e, struct subscription_prepared *p)
{
	mem_free(subscription->holder);
	subscription->holder = p->holder;
	subscription->holder_len = p->holder ? (uint32_t)e->holder.len : 0;
	p->holder = NULL;
}

static void end_wake(struct subscription *subscription, const struct subscription_event *e, struct subscription_prepared *p)
{
	while (!list_empty(&subscription->waked))
		link_set_waked(list_first(&subscription->waked, struct subscription_link, waked_peers), 0);
	set_holder(subscription, e, p); /* an event that ends a wake has none */
	subscription->lease_until_ms = 0;
	subscription->flags &= (uint8_t) ~(SUB_FLIGHT | SUB_DELIVERED);
	subscription->under_way = false;
}

static void commit_acked(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	struct subscription *subscription = p->subscription;

	if (e->flags & SUB_TAILS) {
		list_each (node, &subscription->waked) {
			struct subscription_link *link = container_of(node, struct subscription_link, waked_peers);

			link_ack(link, link->waked);
		}
	}
	commit_places(subs, e, subscription);
	subscription->attempts = subscription->next_attempt_ms = 0;
	subscription->lease_until_ms = e->until_ms;
	subscription->flags |= SUB_DELIVERED;
	if (e->flags & SUB_DONE)
		end_wake(subscription, e, p);
}

static void commit_woken(struct subscriptions *subs, const struct subscription_event *e, struct subscription *subscription)
{
	subscription->generation = e->generation;
	subscription->lease_until_ms = e->until_ms;
	subscription->flags |= (uint8_t)(SUB_FLIGHT | (e->flags & SUB_DELIVERED));
	subscription->attempts = e->attempts;
	subscription->next_attempt_ms = e->next_attempt_ms;
	commit_places(subs, e, subscription);
}

static void commit_unlinked(struct subscriptions *subs, const struct subscription_event *e, struct subscription *subscription)
{
	struct subscription_link *link = link_find(subs, subscription, e->path);

	if (!link)
		return;
	link->flags = (uint8_t)(link->stream ? e->link_flags & LINK_GLOB : 0);
	if (!link->flags)
		link_leave(subs, link);
}

static void commit_change(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	struct subscription *subscription = p->subscription;

	switch (e->type) {
	case SUB_CREATED:
	case SUB_LINKED:
		subscription->flags = (uint8_t)((subscription->flags & ~(unsigned)SUB_MORE) | (e->flags & SUB_MORE));
		commit_links(subs, e, p);
		break;
	case SUB_UNLINKED:
		commit_unlinked(subs, e, subscription);
		break;
	case SUB_WOKEN:
		commit_woken(subs, e, subscription);
		break;
	case SUB_CLAIMED:
		subscription->lease_until_ms = e->until_ms;
		subscription->flags |= SUB_DELIVERED; /* whoever claims has heard of it */
		set_holder(subscription, e, p);
		break;
	case SUB_ACKED:
		commit_acked(subs, e, p);
		break;
	case SUB_ENDED:
		end_wake(subscription, e, p);
		subscription->attempts = e->attempts;
		subscription->next_attempt_ms = e->next_attempt_ms;
		break;
	case SUB_HOOKED:
		subscription->flags |= (uint8_t)(e->flags & SUB_DELIVERED);
		subscription->attempts = e->attempts;
		subscription->next_attempt_ms = e->next_attempt_ms;
		break;
	case SUB_SNAP:
		subscription->flags = (uint8_t)e->flags;
		subscription->generation = e->generation;
		subscription->lease_until_ms = e->until_ms;
		subscription->attempts = e->attempts;
		subscription->next_attempt_ms = e->next_attempt_ms;
		subscription->changed_end = e->changed_end;
		set_holder(subscription, e, p);
		commit_links(subs, e, p);
		break;
	case SUB_SNAP_LINKS:
		commit_links(subs, e, p);
		break;
	case SUB_DELETED:
	case SUB_SNAP_META:
		break;
	}
}

void subscriptions_commit(struct subscriptions *subs, const struct subscription_event *e, struct subscription_prepared *p)
{
	if (e->type == SUB_SNAP_META && e->next_number > subs->next_number)
		subs->next_number = e->next_number;
	if (p->skip || e->type == SUB_SNAP_META) {
		subscriptions_unprepare(p);
		return;
	}
	if (p->new_subscription)
		commit_new(subs, e, p);
	if (e->type == SUB_DELETED) {
		let_go(subs, p->subscription);
	} else {
		commit_change(subs, e, p);
		if (e->end && e->type <= SUB_HOOKED)
			p->subscription->changed_end = e->end;
	}
	subscriptions_unprepare(p);
}
