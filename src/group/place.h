/* Places: partitions of topics, by the topic's number. Sets of them are sorted and have none twice. */
#pragma once

#include "base/buf.h"

struct place {
	uint64_t topic;
	uint32_t partition;
};

struct places {
	struct place *at;
	uint32_t count;
};

static inline int place_order(struct place a, struct place b)
{
	if (a.topic != b.topic)
		return a.topic < b.topic ? -1 : 1;
	return (a.partition > b.partition) - (a.partition < b.partition);
}

bool places_have(const struct places *places, struct place place);
bool places_eq(const struct places *a, const struct places *b);
void places_sort(struct places *places); /* any array becomes a set; its memory stays as it is */

enum { PLACES_MAX = 100000 }; /* in one set that is read as bytes: what one member may be assigned */

/* For each topic: by how much its number is larger than that before, how many partitions, the first, and how much further each of
 * the others is than that before; 0: a number follows, of so many that are each one further. Varints. */
void places_put(struct buf *out, const struct places *places);
/* How many there are: 0, or -EBADMSG when the bytes are no such set. */
int places_measure(struct slice bytes, uint32_t *ret_count) MUST_USE;
/* As many as measured. */
void places_get(struct slice bytes, struct place *ret_at);

/* What a member is to have, one behind the other: its id, and places as bytes, both strings. */
void target_put(struct buf *out, struct slice member, struct slice places);
int target_get(struct slice *targets, struct slice *ret_member, struct slice *ret_places) MUST_USE; /* 0 or -EBADMSG */
