/* Of fetch.c, fetch_set.c, fetch_answer.c: the partitions that a Fetch reads, and where it stands with each.
 *
 *  1. A set has a spot for each partition. Spots that have to be looked at (or told of) are in `changed`, in the order in which
 * they are to be; those that are not have nothing at their offset.
 *  2. A spot that hangs on the board hears of each growth of its stream, which its thread follows.
 *  3. A set belongs to its call, and lives as long. */
#pragma once

#include "kafka/api/api_priv.h"
#include "kafka/codec/messages_records.h"

struct fetch_spot {
	struct wait wait;    /* at its stream; first */
	struct list changed; /* in set->changed */
	struct fetch_topic *topic;
	uint64_t offset;
	uint64_t seen; /* the end of its stream as it was told last */
	int32_t partition;
	uint32_t max_bytes;
	int16_t error; /* what is wrong with it without a look */
	bool full;     /* it has max_bytes already: what comes does not count */
};

struct fetch_topic {
	struct list peers; /* in set->topics */
	struct fetch_set *set;
	struct kafka_uuid id;
	uint32_t name_len;
	char name[];
};

/* A look at those that are in `changed`, while it is under way. */
struct fetch_look {
	struct kafka_ask ask;
	struct fetch_partition *partitions; /* of the spots without an error, in their order */
	size_t count;
};

struct fetch_set {
	struct kafka_thread *thread;
	struct kafka_call *call; /* NULL: none goes on */
	struct list topics, changed;
	size_t spot_count, hung_count;
	uint64_t until_ms, min_bytes, max_bytes;
	uint64_t missing_bytes; /* until there are min_bytes; what comes is taken off */
	bool committed;
	bool woken; /* something came that ends the wait, whatever its bytes */
};

/* --- fetch_set.c --- */
struct fetch_set *fetch_set_new(struct kafka_thread *thread); /* NULL: no memory */
struct fetch_set *fetch_set_free(struct fetch_set *set);
/* The request's partitions, in its order. False: no memory. */
bool fetch_set_fill(struct fetch_set *set, const struct kafka_fetch_request *request) MUST_USE;
/* Where a spot was looked at: it hears what comes. False: it does not. */
bool fetch_spot_hang(struct fetch_spot *spot, uint64_t stream) MUST_USE;
void fetch_spot_unhang(struct fetch_spot *spot);

static inline struct fetch_spot *fetch_spot_of(struct list *changed)
{
	return container_of(changed, struct fetch_spot, changed);
}

/* --- fetch_answer.c --- */
/* From what the look told, whose views are used up. */
void fetch_answer(struct kafka_call *call, struct fetch_look *look);
