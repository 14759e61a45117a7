/* Of fetch.c, fetch_set.c, fetch_session.c, fetch_answer.c: the partitions that a Fetch reads, and where it stands with each.
 *
 *  1. A set has a spot for each partition. Spots that have to be looked at, or told of, are in `changed`, in the order in which
 * they are to be. Of a session the others have nothing at their offset, and nothing about them has changed since it was told.
 *  2. A spot that hangs on the board hears of each growth of its stream, which its thread follows.
 *  3. A set with an id is a session (KIP-227): it belongs to its connection, and to the call that goes on with it, which one at a
 * time does. One without belongs to its call, and all its spots are in `changed`. */
#pragma once

#include "kafka/api/api_priv.h"
#include "kafka/codec/messages_records.h"

struct fetch_spot {
	struct wait wait;    /* at its stream; first */
	struct list changed; /* in set->changed */
	struct fetch_topic *topic;
	uint64_t offset;
	uint64_t seen;     /* the end of its stream as it was told last */
	uint64_t earliest; /* its beginning, as it was looked at last */
	uint32_t unstable; /* how far before the end the first open transaction began then */
	int32_t partition;
	uint32_t max_bytes;
	int16_t error; /* what is wrong with it without a look */
	bool full;     /* it has max_bytes already: what comes does not count */
	bool news;     /* something but records is to be told of it */
};

struct fetch_topic {
	struct list peers;     /* in set->topics */
	struct hash_node node; /* of a session: by name, or by id */
	struct fetch_set *set;
	struct fetch_spot **spots; /* of a session: by partition */
	uint32_t spot_count, spot_cap;
	struct kafka_uuid id;
	uint32_t name_len;
	char name[];
};

/* A look at those that are in `changed`, while it is under way. */
struct fetch_look {
	struct kafka_ask ask;
	size_t spot_count;                  /* the first of them; others have come behind them since */
	struct fetch_partition *partitions; /* of those without an error, in their order */
	size_t count;
};

struct fetch_set {
	struct kafka_thread *thread;
	struct kafka_call *call; /* NULL: none goes on */
	unsigned refs;
	struct list topics, changed;
	size_t spot_count, hung_count;
	uint64_t until_ms, min_bytes, max_bytes;
	uint64_t missing_bytes; /* until there are min_bytes; what comes is taken off */
	uint64_t came_bytes;    /* while a look is under way */
	bool committed;
	bool woken; /* something came that ends the wait, whatever its bytes */
	bool heard; /* something came since it was looked at, or was there, so that it has to be looked at for an answer */
	/* Of a session. */
	bool ids;           /* its topics have ids, and no names */
	bool whole;         /* the next answer tells of all its spots */
	int32_t id, epoch;  /* 0: it is none; the epoch that is to come next */
	struct hash by_key; /* its topics */
};

/* --- fetch_set.c --- */
struct fetch_set *fetch_set_new(struct kafka_thread *thread); /* one reference; NULL: no memory */
struct fetch_set *fetch_set_unref(struct fetch_set *set);     /* NULL is fine */
/* What a request names, in its order: new spots, and of a session also known ones. 0; -ENOMEM; -ENOSPC: more than sessions may
 * have. */
int fetch_set_take(struct fetch_set *set, const struct kafka_fetch_request *request) MUST_USE;
void fetch_set_forget(struct fetch_set *set, const struct kafka_fetch_request *request);
void fetch_set_change_all(struct fetch_set *set); /* everything is to be looked at */
void fetch_spot_change(struct fetch_spot *spot);
/* Where a spot was looked at: it hears what comes. False: it does not. */
bool fetch_spot_hang(struct fetch_spot *spot, uint64_t stream) MUST_USE;
void fetch_spot_unhang(struct fetch_spot *spot);

/* --- fetch_session.c --- */
/* The set with which a request goes on, whose reference is the caller's; NULL and *ret_error: it cannot; KAFKA_NONE then: no
 * memory. */
struct fetch_set *fetch_set_for(struct kafka_call *call, const struct kafka_fetch_request *request, enum kafka_error *ret_error);
static inline struct fetch_spot *fetch_spot_of(struct list *changed)
{
	return container_of(changed, struct fetch_spot, changed);
}

/* --- fetch_answer.c --- */
/* From what the look told, whose views are used up. */
void fetch_answer(struct kafka_call *call, struct fetch_look *look);
