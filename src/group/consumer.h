/* Consumers: members of a group to whom the server assigns partitions (KIP-848). Everything here is what the journal's events
 * fold into (80 and up, group_event.h), but for when a member was last heard of. So after a restart they go on as if nothing had
 * been.
 *
 * Three numbers go up. The group's epoch (group->generation), whenever its members, what they subscribe to, or topics change.
 * The epoch of the assignment, which follows it: an assignor (assign.h) has said anew what each is to have, its *target*. Each
 * member's own, which follows that: at a beat it is told what it has *now*, and moves towards its target.
 *
 * A member that has what its target has not is told to give it up (UNREVOKED), and stays at its epoch until it says that it has;
 * what it said before it was told does not count, since it may just be taking up what it was told earlier. Nor does the first
 * word in which it repeats everything, as after an answer that did not come, unless it had said that it has taken all of it up.
 * Then it comes to the assignment's epoch, and has of its target what nobody else has; if something is missing it is UNRELEASED,
 * and gets that at a later beat. So no partition is ever two members'. Who does not give up within its rebalance timeout is out,
 * and who is silent for the session timeout.
 *
 * Invariants (checked by groups_check):
 *  1. a consumer is in its group's `consumers`, in groups->consumers by its id, and, if static, in groups->consumer_instances;
 *  2. what it holds is in groups->held (holders.h), and no partition of a group is held twice;
 *  3. it is to give something up iff it is UNREVOKED;
 *  4. a group has members of one kind at a time. */
#pragma once

#include "group/assign.h"
#include "group/consumer_ask.h"
#include "group/group.h"

struct consumer_said { /* one block */
	struct slice id, instance, rack, client_id, client_host, regex, assignor;
	struct slice topics;   /* encoded: strings, by bytes, none twice */
	uint64_t subscription; /* a hash of topics and expression */
	uint32_t rebalance_ms;
	char strings[];
};

enum { HELD_AGE_MAX = UINT8_MAX };

struct held {
	struct place place;
	uint32_t since; /* the member's epoch when it got it; at most HELD_AGE_MAX ago */
	bool revoking;
};

struct holding {
	uint32_t count, revoking_count;
	struct held at[]; /* by place */
};

struct consumer {
	struct hash_node by_id, by_instance;
	struct list peers; /* in group->consumers, the oldest first */
	struct heap_node session;
	uint64_t look_at_ms, alive_until_ms;
	uint64_t revoke_until_ms; /* UNREVOKED; else UINT64_MAX */
	bool has_let_go;          /* UNREVOKED: of that it had none when it last said what it has */
	bool has_taken_up;        /* of what it may have it said that it has all */
	bool has_repeated;        /* UNREVOKED: it has said everything since then, and so been told again */
	struct group *group;
	struct consumer_said *said;
	struct places target;    /* owned */
	struct holding *holding; /* NULL: nothing */
	uint32_t epoch, previous_epoch;
	enum holding_state state;
};

/* What is subscribed to by regular expressions in a group, remembered (subscribe.c). */
struct group_patterns;

struct consumer *consumer_find(const struct groups *groups, const struct group *group, struct slice id);
struct consumer *consumer_find_instance(const struct groups *groups, const struct group *group, struct slice instance);
bool consumer_has(const struct consumer *consumer, struct place place); /* and need not give it up */

static inline uint32_t consumer_assigned_count(const struct consumer *consumer)
{
	return consumer->holding ? consumer->holding->count - consumer->holding->revoking_count : 0;
}

/* It is as far as it can be told: somebody of the classic protocol may be about to join. */
static inline bool group_is_of_consumers(const struct group *group)
{
	return group->is_consumer && group->member_count == 0;
}

/* --- beats (consumer.c) --- */

/* Who that is: OK; NO_MEMBER; FENCED (another one has its instance); MEMBER_EPOCH (not what it is told to be); UNRELEASED (it
 * joins as a static member that is still there). *ret: NULL when it is new; a static one that is away when it takes its place. */
enum outcome consumer_judge(const struct groups *groups, const struct group *group, const struct consumer_beat *beat,
			    struct consumer **ret_consumer) MUST_USE;
enum outcome consumer_judge_leave(const struct groups *groups, const struct group *group, const struct consumer_beat *beat,
				  struct consumer **ret_consumer) MUST_USE;
/* Whether it may commit, or read, offsets: OK, NO_MEMBER, STALE. *ret_later, which may be NULL: the member of which that is an
 * earlier epoch, so that it may commit what it has had since then alone (consumer_had); else NULL. */
bool consumer_had(const struct consumer *consumer, struct place place, int32_t epoch);
enum outcome consumer_may_commit(const struct groups *groups, const struct group *group, const struct group_who *who,
				 const struct consumer **ret_later) MUST_USE;

/* What the member says now, as GROUP_MEMBER: 1; 0: nothing that was not known; -ENOMEM. `topics` gets what the event points
 * into. *ret_subscribes: it subscribes to something else than before. */
int consumer_says(const struct consumer *consumer, const struct consumer_beat *beat, struct buf *topics,
		  struct group_event *ret_event) MUST_USE;

/* What it is to hold next, as GROUP_HELD: 1; 0: as now; -ENOMEM. `next` gets what the event points into. `owned`: what it says
 * that it has; NULL: it does not say. */
struct consumer_next {
	uint32_t known_epoch; /* the member's, as far as it is known to know */
	bool joins;           /* it begins anew, and has nothing */
	bool repeats;         /* it says everything: what it was told last may not have come */
	bool lacks;           /* what comes back: of what it is to give up it says that it has none */
	struct buf assigned, revoking;
};
int consumer_next(const struct groups *groups, const struct consumer *consumer, const struct places *owned,
		  struct consumer_next *next, struct group_event *ret_event) MUST_USE;
/* That it owns just that: before it is asked what is next. */
void consumer_owns(struct consumer *consumer, const struct places *owned);
/* A static one leaves to come back. */
int consumer_pauses(const struct consumer *consumer, struct consumer_next *next, struct group_event *ret_event) MUST_USE;
void consumer_next_deinit(struct consumer_next *next);

void consumer_keep_alive(struct groups *groups, struct consumer *consumer, uint64_t until_ms);
void consumer_set_revoke(struct groups *groups, struct consumer *consumer, uint64_t until_ms);
struct consumer *groups_next_consumer(const struct groups *groups); /* who is to be looked at next; NULL: nobody */
/* That came due: whether it is out. */
bool consumer_look(struct groups *groups, struct consumer *consumer, uint64_t now_ms);
/* It is out, but that could not be written; it comes again then. */
void consumer_postpone(struct groups *groups, struct consumer *consumer, uint64_t until_ms);

/* --- what the group subscribes to, and who is to have it (subscribe.c) --- */

struct group_topic {
	uint64_t number;
	struct slice name;
	uint32_t partition_count;
};

struct topic_source {
	bool (*find)(void *ctx, struct slice name, struct group_topic *ret_topic); /* false: there is none */
	bool (*get)(void *ctx, uint64_t number, struct group_topic *ret_topic);    /* the same */
	bool (*next)(void *ctx, uint64_t after, struct group_topic *ret_topic);    /* by numbers; false: that was the last */
	void *ctx;
	uint64_t version; /* another one whenever a topic is made, grows or goes */
};

/* Whether a member may bring that regular expression: 0, -ENOMEM; -EINVAL (it is none, or takes too long). */
int group_regex_judge(struct group *group, struct slice regex, const struct topic_source *topics) MUST_USE;
/* Everything that is subscribed to, in the arena: 0 or -ENOMEM. */
int group_subscriptions(struct group *group, const struct topic_source *topics, struct arena *arena,
			struct assign *ret_assign) MUST_USE;
/* Whether the targets, all together, are just that. */
bool group_targets_cover(const struct groups *groups, const struct group *group, const struct assign *assign);
/* Of these topics and how many partitions each has; never 0. */
uint64_t group_topics_hash(const struct groups *groups, const struct assign *assign);
enum assignor group_assignor(const struct group *group); /* the one that most of its members want */
struct group_patterns *group_patterns_free(struct group_patterns *patterns);

/* --- the fold (consumer_change.c) --- */
int consumers_prepare(struct groups *groups, const struct group_event *event, struct group_prepared *prepared) MUST_USE;
void consumers_commit(struct groups *groups, const struct group_event *event, struct group_prepared *prepared);
void consumers_unprepare(struct group_prepared *prepared);
void consumer_free(struct consumer *consumer);
void consumers_check(const struct groups *groups, const struct group *group);
