/* Groups in the simulated world: consumers that join, beat, commit, fall silent and come back; and what each of them was told,
 * since no journal says who is in a group. Part of world.h. */
#pragma once

#include "sim/assignee_world.h"
#include "sim/group_model.h"
#include "sim/topic_world.h"

enum {
	GROUP_NAMES = 5,
	GROUP_SELDOM = 2,   /* left alone so long that it is let go */
	GROUP_ASSIGNED = 3, /* the server assigns in it, and in the last one by turns */
	GROUP_TURNING = 4,
	GROUP_CONSUMERS = 18,
	GROUP_MEMBERS_MOST = 8, /* of one group */
	GROUP_SESSION_MOST_MS = 900,
	GROUP_REBALANCE_LEAST_MS = 200,
	GROUP_REBALANCE_MOST_MS = 700,
	GROUP_KEPT_MS = 1000,
	MEMBER_ID_CHARS = 80,
};

enum consumer_state { CONSUMER_OUT, CONSUMER_JOINED, CONSUMER_IN };

struct consumer {
	struct ask *ask; /* under way, or NULL */
	unsigned index, group;
	char instance[8]; /* static; empty: not */
	char id[MEMBER_ID_CHARS];
	int32_t generation;
	enum consumer_state state;
	bool odd; /* knows one protocol only, which others do not like best */
	unsigned version;
	uint32_t session_ms, rebalance_ms;
	char members[GROUP_MEMBERS_MOST][MEMBER_ID_CHARS]; /* of whom it is to lead */
	size_t member_count;
	uint64_t rests_until_ms;
};

/* Whoever has got an id. Times are those of the words it was heard with. */
struct seen_member {
	char id[MEMBER_ID_CHARS], instance[8];
	unsigned group, consumer;
	uint64_t number;            /* of the group it joined; 0: it never did */
	uint64_t generation;        /* that it was told last */
	uint64_t told_ms;           /* when */
	uint64_t life_ms, words_ms; /* when it was heard and believed; when it was heard at all */
	uint64_t ok_ms;             /* when it was said to be in, and that no rebalance is under way */
	uint32_t session_ms;
	const struct ask *waits; /* its join or sync that is not over */
	bool left, replaced, restarted, synced;
};

/* A generation of a group, as members were told of it. */
struct seen_round {
	uint64_t number, generation;
	char leader[MEMBER_ID_CHARS];
	bool assigned;
	bool unsure; /* memory was short when it was divided: it may have been, or not */
	struct {
		char id[MEMBER_ID_CHARS], what[48];
	} assignments[GROUP_MEMBERS_MOST];
	size_t assignment_count;
};

/* A commit that was acknowledged. */
struct told_commit {
	char group[8], topic[16];
	uint32_t partition;
	uint64_t number, offset, end, topic_number;
};

struct group_world {
	struct consumer consumers[GROUP_CONSUMERS];
	struct seen_member *members;
	size_t member_count, member_cap;
	struct seen_round *rounds;
	size_t round_count, round_cap;
	struct told_commit *commits;
	size_t commit_count, commit_cap;
	uint64_t *generations; /* told, by the group's number */
	uint64_t generation_cap;
	uint64_t started_ms, serial;
	struct assignee_world assignees;
	/* What was seen. */
	uint64_t joins, begun, assigned, beats, rebalances, committed, refused, fenced, silent, canceled, deleted, let_go, looked;
};

/* --- group_check.c --- */
bool group_command(const struct ask *ask);
bool group_waits(const struct ask *ask);                  /* a join or sync that is held */
void group_applied(struct world *world, struct ask *ask); /* it, and whoever's wait it ended */
void group_waits_over(struct world *world);
void group_tap(struct world *world, const struct group_event *e);
void group_check_turn(struct world *world);
void group_told_check(struct world *world);
void group_crashed(struct world *world);                                               /* the journal was cut */
struct seen_member *seen_member(struct world *world, struct slice id, unsigned group); /* NULL: nobody was given it */

/* --- group_words.c: what may be said to a member --- */
void group_check_word(struct world *world, struct ask *ask);
uint64_t group_rests_on(const struct world *world, const struct ask *ask);
bool member_may_be_in(const struct world *world, const struct seen_member *m, const struct model_group *group);
bool member_must_be_in(const struct world *world, const struct seen_member *m, const struct model_group *group);

/* --- group_people.c --- */
const char *group_name_of(unsigned group);
unsigned group_of_name(struct slice name);
void groups_begin(struct world *world);
void groups_end(struct world *world);
void groups_crash(struct world *world);
void groups_leave(struct world *world); /* all who wait give up */
void groups_say(const struct world *world);
void consumer_acts(struct world *world);
void group_committed(struct world *world, const struct ask *ask); /* what is told by it */
void group_epoch_told(struct world *world, uint64_t number, uint64_t generation);
size_t group_some_places(struct world *world, struct ask *ask, uint64_t txn);
/* The offsets that a transaction commits are those of a group. */
void offsets_in_transaction(struct world *world, struct ask *ask, uint64_t txn);
