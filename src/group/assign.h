/* Who gets which partition: the assignors. Pure functions of who subscribes to what and of who has what; whom they are about they
 * do not know.
 *
 * Both give every partition to exactly one of those who subscribe to its topic.
 *  - uniform: as evenly as can be, and as few partitions move as can while that is so; where members do not all subscribe to the
 *    same, no partition could move to make two members more even.
 *  - range: each topic's partitions in runs, to its members in their order; so topics with as many partitions lie alike. */
#pragma once

#include "base/arena.h"
#include "group/place.h"

struct assign_topic {
	uint64_t number;
	uint32_t partition_count; /* at least one */
};

struct assign_member {
	const uint32_t *topics; /* places in assign->topics, sorted: what it subscribes to */
	uint32_t topic_count;
	struct places had; /* until now */
	struct places gets;
};

struct assign {
	struct assign_topic *topics; /* by number; somebody subscribes to each */
	uint32_t topic_count;
	struct assign_member *members;
	uint32_t member_count;
};

enum assignor { ASSIGN_UNIFORM, ASSIGN_RANGE };
enum { ASSIGNOR_COUNT = ASSIGN_RANGE + 1 };

extern const struct slice assignor_names[ASSIGNOR_COUNT];
bool assignor_find(struct slice name, enum assignor *ret_assignor);

uint64_t assign_partitions(const struct assign *assign); /* how many there are in all */

/* Fills in what each gets, in the arena: 0 or -ENOMEM. At most UINT32_MAX - 1 partitions. */
int assign_make(struct assign *assign, enum assignor assignor, struct arena *arena) MUST_USE;
