/* Subscriptions: the state that the journal's events about them fold into (Durable Streams protocol §6 and §7).
 *
 * A subscription has a link for each stream that it is about. What a link knows of its stream are numbers: this folder knows
 * nothing of streams. Where a stream ends (`tail`) is told by the owner and is no part of the journal; at the end of a replay the
 * owner tells it of all (link_set_tail), and lets go of the links whose streams are gone (links_let_go).
 *
 * Invariants (checked by subscriptions_check):
 *  1. a subscription is in `numbers`, `ids` and `all`; its links are in `links`, in `paths` and in `streams`;
 *  2. a link is pending iff its tail lies behind what is acked;
 *  3. a link is `waked` iff a wake is in flight and told its tail;
 *  4. a lease or a holder is there only while a wake is in flight;
 *  5. a link to no stream is explicit, and has no place.
 *
 * As with jobs a change is made in two steps: subscriptions_prepare allocates and can fail, subscriptions_commit cannot. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "subscription/subscription_event.h"

struct subscription_link {
	struct hash_node by_path;   /* of the subscription */
	struct hash_node by_stream; /* by the stream's number; while there is none, by the path */
	struct list peers;          /* in subscription->links, the oldest first */
	struct list pending;        /* in subscription->pending, the one first that waits longest */
	struct list waked_peers;    /* in subscription->waked */
	struct subscription *subscription;
	uint64_t stream; /* number; 0: there is none at that path */
	uint64_t acked, tail;
	uint64_t waked; /* the tail that the wake in flight told; 0: none */
	uint32_t path_len;
	uint8_t flags; /* enum link_flag */
	char path[];
};

struct subscription {
	struct hash_node by_id, by_number;
	struct list peers; /* in subscriptions->all, by number */
	struct heap_node deadline;
	uint64_t deadline_ms; /* UINT64_MAX: none */
	bool under_way;       /* the owner's: the wake is being delivered */
	uint8_t kind;
	uint8_t flags; /* enum subscription_flag: MORE, DELIVERED, FLIGHT */
	uint64_t number, generation;
	uint64_t lease_ttl_ms, lease_until_ms; /* 0: no lease */
	uint64_t attempts, next_attempt_ms;    /* deliveries that failed in a row; 0: none is put off */
	uint64_t created_ms, changed_end, fingerprint;
	struct list links, pending, waked;
	uint64_t link_count;
	char *holder; /* NULL: none */
	uint32_t holder_len;
	struct slice id, pattern, url, origin, wake_stream, description; /* in `strings` */
	char strings[];
};

struct subscriptions {
	struct hash_key hash_key;
	struct hash ids, numbers, paths, streams;
	struct list all;
	struct heap deadlines;
	uint64_t count, next_number, link_count, pattern_count;
};

struct subscription_prepared {
	struct subscription *subscription;
	struct list links; /* new ones, in the event's order, by `peers` */
	char *holder;
	bool new_subscription, skip;
};

int subscriptions_init(struct subscriptions *subs, const struct hash_key *hash_key) MUST_USE;
void subscriptions_deinit(struct subscriptions *subs);

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state. After 0 call exactly one of the other two. */
int subscriptions_prepare(struct subscriptions *subs, const struct subscription_event *event,
			  struct subscription_prepared *ret_prepared) MUST_USE;
void subscriptions_commit(struct subscriptions *subs, const struct subscription_event *event,
			  struct subscription_prepared *prepared);
void subscriptions_unprepare(struct subscription_prepared *prepared);

struct subscription *subscription_find(const struct subscriptions *subs, struct slice id);
struct subscription *subscription_find_number(const struct subscriptions *subs, uint64_t number);
struct subscription_link *link_find(const struct subscriptions *subs, const struct subscription *subscription, struct slice path);

/* All links of a stream, whosesoever they are. NULL: no more. */
struct subscription_link *link_first(const struct subscriptions *subs, uint64_t stream);
/* One to a path at which there is no stream. */
struct subscription_link *link_first_unbound(const struct subscriptions *subs, struct slice path);
struct subscription_link *link_next(const struct subscriptions *subs, struct subscription_link *link);

void link_set_tail(struct subscription_link *link, uint64_t tail);
void link_ack(struct subscription_link *link,
	      uint64_t offset); /* never back; by an event, or what the owner can always tell anew */
/* The stream is gone: links by a pattern go, explicit ones wait for another one at their path. */
void links_let_go(struct subscriptions *subs, uint64_t stream);

void subscription_set_deadline(struct subscriptions *subs, struct subscription *subscription, uint64_t at_ms);

static inline struct subscription *subscriptions_next_deadline(const struct subscriptions *subs)
{
	struct heap_node *top = heap_top(&subs->deadlines);

	return top ? container_of(top, struct subscription, deadline) : NULL;
}

static inline struct slice link_path(const struct subscription_link *link)
{
	return slice_from(link->path, link->path_len);
}

static inline struct slice subscription_holder(const struct subscription *subscription)
{
	return slice_from(subscription->holder, subscription->holder_len);
}

/* Walks everything and panics at the first broken invariant. For tests and the simulator. */
void subscriptions_check(const struct subscriptions *subs);
