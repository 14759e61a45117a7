/* What can happen to subscriptions, as the journal keeps it. The state is a fold of these; doc/journal-format.md lists their
 * fields. The frame's type tells them from other events: they begin at SUB_EVENT_FIRST. */
#pragma once

#include "base/buf.h"

enum subscription_event_type {
	SUB_EVENT_FIRST = 48,
	SUB_CREATED = 48,
	SUB_DELETED = 49,
	SUB_LINKED = 50,   /* or bound to another stream at that path */
	SUB_UNLINKED = 51, /* flags: what is left of the link */
	SUB_WOKEN = 52,    /* a wake begins; `places` are the tails it tells */
	SUB_CLAIMED = 53,
	SUB_ACKED = 54,  /* and a sign of life; with SUB_DONE the wake ends */
	SUB_ENDED = 55,  /* given back, or the lease ran out */
	SUB_HOOKED = 56, /* the wake was delivered, or it was not */
	/* Only in checkpoints: */
	SUB_SNAP_META = 57,
	SUB_SNAP = 58,
	SUB_SNAP_LINKS = 59, /* further links of the subscription before */
};
enum { SUB_EVENT_END = 60, SUB_LINKS_BYTES = 1 << 16, SUB_PLACES_MAX = 8192 };

enum subscription_flag {
	SUB_MORE = 1,      /* CREATED, LINKED: further links follow; without them it never was */
	SUB_DELIVERED = 2, /* the wake: the webhook answered, the wake stream has it */
	SUB_DONE = 4,      /* ACKED: the wake ends */
	SUB_TAILS = 8,     /* ACKED: what the wake told is acked */
	SUB_FLIGHT = 16,   /* SNAP: a wake is in flight */
	SUB_FLAGS = 31,
};

enum link_flag { LINK_EXPLICIT = 1, LINK_GLOB = 2, LINK_FLAGS = 3 };

struct subscription_event {
	/* From the entry's frame. */
	enum subscription_event_type type;
	uint64_t time_ms, end;

	uint64_t number;
	struct slice id, pattern, url, origin, wake_stream, description;
	uint64_t kind; /* enum subscription_type */
	uint64_t lease_ttl_ms, fingerprint;
	uint64_t flags;      /* enum subscription_flag */
	struct slice links;  /* encoded: link_put */
	struct slice path;   /* UNLINKED, with… */
	uint64_t link_flags; /* …what is left: 0 or LINK_GLOB */
	uint64_t generation;
	uint64_t until_ms;   /* the lease's end; 0: none */
	struct slice holder; /* the worker that has it */
	struct slice places; /* encoded: place_put */
	uint64_t attempts, next_attempt_ms;
	/* Snapshots. */
	uint64_t created_ms, changed_end, next_number;
};

void subscription_event_encode(const struct subscription_event *event, struct buf *out);
int subscription_event_decode(struct subscription_event *event, struct slice fields) MUST_USE; /* 0 or -EBADMSG; type is set */

struct link_item {
	uint64_t flags;
	uint64_t stream; /* its number; 0: there is none */
	uint64_t acked;
	uint64_t waked; /* the tail that the wake in flight tells; 0: it tells nothing of this one */
	struct slice path;
};

void link_put(struct buf *out, const struct link_item *item);
int link_get(struct slice *links, struct link_item *ret_item) MUST_USE; /* 0 or -EBADMSG */

struct place_item {
	uint64_t stream, offset;
};

void place_put(struct buf *out, const struct place_item *item);
int place_get(struct slice *places, struct place_item *ret_item) MUST_USE; /* 0 or -EBADMSG */
