/* Who holds which partition of a group of consumers; inside src/group only.
 *
 * Partitions lie in stretches of some, side by side in a topic: one place in the table for all of them, which is there as long as
 * somebody holds one. */
#pragma once

#include "group/consumer.h"

enum { STRETCH_PLACES = 16 };

struct stretch {
	struct hash_node by_place; /* in groups->held, by group, topic and `first` */
	struct stretch *next;      /* prepared, and in no table yet */
	const struct group *group;
	uint64_t topic;
	uint32_t first, count; /* of those in `holders` that are not NULL */
	struct consumer *holders[STRETCH_PLACES];
};

/* NULL: nobody. Places are asked for in their order: *near, NULL at first, is remembered from one to the next. */
struct consumer *holder_find(const struct groups *groups, const struct group *group, struct place place, struct stretch **near);
/* Whether the consumer may hold all that: 0, -ENOMEM, or -EBADMSG when another one holds some of it. *ret_fresh: what holders_set
 * needs; an error leaves it to be freed, too. */
int holders_prepare(const struct groups *groups, const struct consumer *consumer, const struct holding *next,
		    struct stretch **ret_fresh) MUST_USE;
/* It holds that, and no longer what it held; either may be NULL. Takes what was prepared. */
void holders_set(struct groups *groups, struct consumer *consumer, const struct holding *next, struct stretch **fresh);
struct stretch *stretches_free(struct stretch *fresh);
void holders_check(const struct groups *groups, const struct consumer *consumer);
