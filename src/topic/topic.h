/* Topics: the state that the journal's events about them fold into. A topic is a name and an id, what is set of it, and its
 * partitions, which are streams: this folder knows their numbers alone.
 *
 * Invariants (checked by topics_check):
 *  1. a topic is in `all`, in the order of numbers, and in `names`, `ids` and `numbers`;
 *  2. it has at least one partition; no stream is one of two;
 *  3. a transactional id is in `txns`, and by its names; in `deadlines` iff its transaction is open, else in `idle`.
 *
 * As with jobs a change is made in two steps: topics_prepare allocates and can fail, topics_commit cannot. */
#pragma once

#include "base/hash.h"
#include "base/list.h"
#include "topic/topic_config.h"
#include "topic/topic_event.h"
#include "topic/txn.h"

struct topic_id {
	uint8_t bytes[TOPIC_ID_BYTES]; /* all 0: none */
};

struct topic {
	struct hash_node by_name, by_id, by_number;
	struct list peers; /* in topics->all, by number */
	uint64_t number, changed_end;
	struct topic_id id;
	struct topic_limits limits;
	uint32_t partition_count, partition_cap;
	uint32_t turn;        /* whose it is to take a record without a key; not written down */
	uint64_t *partitions; /* numbers of streams */
	char *settings;       /* encoded; NULL: nothing is set */
	uint32_t settings_len;
	uint32_t name_len;
	char name[];
};

struct topics {
	struct hash_key hash_key;
	struct hash names, ids, numbers;
	struct list all;
	uint64_t count, next_number;
	uint64_t next_producer_id;
	struct hash txn_ids, txn_producers;
	struct list txns, idle;
	struct heap deadlines;
	uint64_t txn_count, last_place;
};

struct topic_prepared {
	struct topic *topic;
	struct topic *replaced; /* of a checkpoint: it had the name before, and is gone since */
	uint64_t *partitions;   /* a larger array */
	uint32_t partition_cap;
	char *settings;
	struct topic_limits limits;
	struct txn *txn;
	uint64_t *streams;
	uint32_t stream_count;
	char *offsets;
	bool new_topic, new_txn, skip;
};

int topics_init(struct topics *topics, const struct hash_key *hash_key) MUST_USE;
void topics_deinit(struct topics *topics);

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state. After 0 call exactly one of the other two. */
int topics_prepare(struct topics *topics, const struct topic_event *event, struct topic_prepared *ret_prepared) MUST_USE;
void topics_commit(struct topics *topics, const struct topic_event *event, struct topic_prepared *prepared);
void topics_unprepare(struct topic_prepared *prepared);

struct topic *topic_find(const struct topics *topics, struct slice name);
struct topic *topic_find_id(const struct topics *topics, const struct topic_id *id);
struct topic *topic_find_number(const struct topics *topics, uint64_t number);

struct txn *txn_find(const struct topics *topics, struct slice id);
struct txn *txn_find_producer(const struct topics *topics, uint64_t producer_id);
/* Its deadline could not be handled; it comes again at `at_ms`. */
void txn_postpone(struct topics *topics, struct txn *txn, uint64_t at_ms);

static inline struct txn *txns_next_deadline(const struct topics *topics)
{
	struct heap_node *top = heap_top(&topics->deadlines);

	return top ? container_of(top, struct txn, deadline) : NULL;
}

/* Everything as it is now, in an event; `streams` is where its partitions are written. */
void txn_snapshot(const struct txn *txn, struct buf *streams, struct topic_event *ret_event);

/* Letters, digits, '.', '_' and '-', and neither "." nor "..". */
bool topic_name_valid(struct slice name);

/* Everything as it is now, in an event of type TOPIC_SNAP; `runs` is where its partitions are written. */
void topic_snapshot(const struct topic *topic, struct buf *runs, struct topic_event *ret_event);

static inline struct slice topic_name(const struct topic *topic)
{
	return slice_from(topic->name, topic->name_len);
}

static inline struct slice topic_settings(const struct topic *topic)
{
	return slice_from(topic->settings, topic->settings_len);
}

/* Walks everything and panics at the first broken invariant. For tests and the simulator. */
void topics_check(const struct topics *topics);
