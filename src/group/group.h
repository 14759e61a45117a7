/* Groups of Kafka's consumers: the offsets they have come to, and who is in them.
 *
 * The offsets, the generation's number and how many began it are what the journal's events fold into (groups_prepare,
 * groups_commit: as with jobs, the first allocates and can fail, the second cannot). Members are memory only. After a restart a
 * group is empty, but it remembers how many were in it: members come back with the ids they had, their commits in the generation
 * that was are taken until the next one begins, and that waits until all are back, or their sessions are over.
 *
 * A rebalance: somebody joins, leaves or is silent → PREPARING: all others are told to join again, and joins wait until all have,
 * or for the longest rebalance timeout, and who has not by then is out. → A generation begins (GROUP_BEGUN), joins are over: the
 * leader hears who is there. → COMPLETING: syncs wait for that of the leader, which brings everyone's assignment. → STABLE.
 *
 * What is answered later lies in `over` when it is over: whoever calls anything here that may end a wait takes all of it from
 * there (groups_over) before the state changes again.
 *
 * Invariants (checked by groups_check):
 *  1. a group is in `numbers`, `ids` and `all`, its offsets in `places`, its members in `members`, and, those that are static, in
 *     `instances`;
 *  2. EMPTY: no member, no leader. COMPLETING, STABLE: the leader is one of them;
 *  3. joins wait in PREPARING only, syncs in COMPLETING only;
 *  4. a wait is held by one member, and knows it; once over it is held by none.
 *
 * A group may be one of consumers instead, to whom the server assigns partitions: consumer.h. */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "group/group_ask.h"
#include "group/group_event.h"

struct group_offset {
	struct hash_node by_place; /* by group, topic and partition */
	struct list peers;         /* in group->offsets, by their last commit */
	struct group *group;
	uint64_t offset, committed_ms;
	uint32_t partition;
	int32_t leader_epoch;
	uint32_t topic_len, metadata_len;
	char strings[];
};

struct member {
	struct hash_node by_id, by_instance; /* the latter: of a static one */
	struct list peers;                   /* in group->members, the oldest first */
	struct heap_node session;            /* in groups->sessions */
	uint64_t session_at_ms;              /* when it is looked whether it is still alive */
	uint64_t alive_until_ms;
	struct group *group;
	struct group_wait *join, *sync; /* that wait; or NULL */
	uint32_t session_ms, rebalance_ms;
	bool is_told;                                                     /* the client knows its id */
	bool is_synced;                                                   /* in this generation */
	struct slice id, instance, client_id, client_host, protocol_type; /* in `strings` */
	struct slice protocols;                                           /* owned; read by member_protocol */
	struct slice assignment, next_assignment;                         /* owned */
	char strings[];
};

struct group {
	struct hash_node by_id, by_number;
	struct list peers;         /* in groups->all, by number */
	struct heap_node deadline; /* in groups->deadlines */
	uint64_t deadline_ms;      /* UINT64_MAX: none */
	/* What the journal knows. */
	uint64_t number, used_ms, changed_end;
	uint32_t generation, begun_members, begun_session_ms;
	struct list offsets;
	uint64_t offset_count;
	struct slice protocol_type, protocol; /* in `protocols`; empty: none */
	char *protocols;
	bool is_consumer; /* of consumers, or it was when somebody was last in it; `generation` is its epoch then */
	struct list consumers;
	uint32_t consumer_count, assignment_epoch;
	uint8_t assignor; /* enum assignor: of that assignment */
	/* Memory only. */
	enum group_state state;
	struct list members;
	uint32_t member_count, join_count; /* all; those whose join waits */
	uint32_t awaited;                  /* after a restart: so many were in it; 0 once a generation has begun … */
	uint64_t awaited_until_ms;         /* … or their sessions are over */
	struct member *leader;
	uint64_t until_ms;      /* PREPARING, COMPLETING: it ends then */
	uint64_t not_before_ms; /* PREPARING: not before that, either */
	uint64_t idle_ms;       /* since when it is empty, as far as this start knows */
	struct group_patterns *patterns;
	uint64_t topics_version; /* of what there was when it was last looked whether the assignment fits; 0: never */
	uint64_t assigned_hash;  /* group_topics_hash of what was assigned then; 0: not known */
	uint32_t id_len;
	char id[];
};

struct groups {
	struct hash_key hash_key;
	struct hash ids, numbers, places, members, instances;
	struct hash consumers, consumer_instances, held;
	struct list all, over;
	struct heap deadlines, sessions, consumer_sessions;
	uint64_t count, offset_count, member_count, consumer_count, next_number;
};

struct consumer;
struct consumer_said;
struct consumer_target;
struct holding;
struct stretch;

struct group_prepared {
	struct group *group;
	struct list offsets; /* new ones, in the event's order, by `peers` */
	char *protocols;
	struct consumer *consumer;
	struct consumer_said *said;
	struct holding *holding;
	struct stretch *stretches;
	struct consumer_target *targets;
	uint32_t target_count;
	bool new_group, new_consumer, skip;
};

int groups_init(struct groups *groups, const struct hash_key *hash_key) MUST_USE;
void groups_deinit(struct groups *groups); /* waits are not touched */

/* 0, -ENOMEM, or -EBADMSG when the event contradicts the state. After 0 call exactly one of the other two. A group that is
 * deleted has no members. */
int groups_prepare(struct groups *groups, const struct group_event *event, struct group_prepared *ret_prepared) MUST_USE;
void groups_commit(struct groups *groups, const struct group_event *event, struct group_prepared *prepared);
void groups_unprepare(struct group_prepared *prepared);

/* A topic was deleted, by an event that ends there: nobody has come anywhere in it. */
void groups_forget_topic(struct groups *groups, struct slice topic, uint64_t end);

struct group *group_find(const struct groups *groups, struct slice id);
struct group *group_find_number(const struct groups *groups, uint64_t number);
struct group_offset *offset_find(const struct groups *groups, const struct group *group, struct slice topic, uint32_t partition);
void group_set_deadline(struct groups *groups, struct group *group, uint64_t at_ms);
struct group *groups_next_deadline(const struct groups *groups); /* NULL: none */
struct member *groups_next_session(const struct groups *groups); /* who is to be looked at next; NULL: nobody */

/* Walks everything and panics at the first broken invariant. For tests and the simulator. */
void groups_check(const struct groups *groups);

static inline struct slice group_id(const struct group *group)
{
	return slice_from(group->id, group->id_len);
}

static inline struct slice offset_topic(const struct group_offset *offset)
{
	return slice_from(offset->strings, offset->topic_len);
}

static inline struct slice offset_metadata(const struct group_offset *offset)
{
	return slice_from(offset->strings + offset->topic_len, offset->metadata_len);
}

/* --- members (members.c): who is in, and what they brought --- */
struct member *member_find(const struct groups *groups, const struct group *group, struct slice id);
struct member *member_find_instance(const struct groups *groups, const struct group *group, struct slice instance);
/* What it said of that protocol. false: it does not know it. */
bool member_protocol(const struct member *member, struct slice name, struct slice *ret_metadata);
/* The one that all know and most want; empty: there is none. */
struct slice group_choose(const struct group *group);

/* --- rebalance.c: how it goes on --- */

/* The member that `who` says to be: OK; NO_MEMBER; FENCED (another one has its instance). */
enum outcome group_judge(const struct groups *groups, const struct group *group, const struct group_who *who,
			 struct member **ret_member) MUST_USE;

/* PARKED: the wait is held, and a rebalance is under way. OK: over already, wait->member is it. NO_MEMBER, FENCED, PROTOCOL,
 * NO_MEMORY: nothing has changed. */
struct group_joining {
	const struct group_join *join;
	struct slice id; /* of whoever has none */
	uint64_t now_ms;
	uint64_t first_delay_ms; /* how long the first one waits for more */
};
enum outcome group_join(struct groups *groups, struct group *group, const struct group_joining *joining,
			struct group_wait *wait) MUST_USE;

/* PARKED; OK: the same. Also NO_MEMBER, FENCED, GENERATION, PROTOCOL, REBALANCING, NO_MEMORY. */
enum outcome group_sync(struct groups *groups, struct group *group, const struct group_sync *sync, uint64_t now_ms,
			struct group_wait *wait) MUST_USE;

/* Whether the member is in this generation, which keeps it alive: OK, NO_MEMBER, FENCED, GENERATION, REBALANCING. */
enum outcome group_beat(struct groups *groups, struct group *group, const struct group_who *who, uint64_t now_ms) MUST_USE;
/* Whether it may commit offsets, in a group that has no consumers: OK, NO_MEMBER, FENCED, GENERATION, REBALANCING. */
enum outcome group_may_commit(struct groups *groups, struct group *group, const struct group_who *who, uint64_t now_ms) MUST_USE;

void group_leave(struct groups *groups, struct group *group, struct member *member, uint64_t now_ms);
/* Who waits has gone. Harmless when it is over. Returns the group that this is about, or NULL. */
struct group *group_wait_cancel(struct groups *groups, struct group_wait *wait, uint64_t now_ms);
/* The session of that member came to be looked at: whether it was out. Its group is to be settled then. */
bool member_look(struct groups *groups, struct member *member, uint64_t now_ms);

/* After a restart, before anything else: who was in a group may come back. */
void group_await(struct group *group, uint64_t now_ms);

/* COMPLETING for too long: who has not synced is out, and a rebalance begins. */
void group_drop_unsynced(struct groups *groups, struct group *group, uint64_t now_ms);
/* PREPARING, and it may end: all have joined, or the time is over. */
bool group_is_ready(const struct group *group, uint64_t now_ms);
/* Who has not joined is out, unless static. Whether a generation may begin now; if not, it waits on. */
bool group_close_joins(struct groups *groups, struct group *group, uint64_t now_ms);
/* Its generation has begun, by GROUP_BEGUN: joins are over. */
void group_begin(struct groups *groups, struct group *group, uint64_t now_ms);

/* Whoever waits is answered with STORAGE. */
void group_wait_fail(struct groups *groups, struct group *group);
/* Takes the next wait that is over; NULL: none. */
struct group_wait *groups_over(struct groups *groups);
