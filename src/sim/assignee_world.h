/* Consumers to whom the server assigns partitions (KIP-848) in the simulated world: what each has, and what it was told and said
 * of that. They are in groups of their own, and in one that is of the classic protocol by turns. Part of group_world.h. */
#pragma once

#include "group/group_ask.h"
#include "sim/assignee_model.h"

struct world;
struct ask;
struct group_commit_in;
struct consumer_places_view;

enum {
	ASSIGNEES = 14,
	ASSIGNEE_GROUPS = 5, /* as GROUP_NAMES */
	ASSIGNEE_SESSION_MS = 900,
	ASSIGNEE_REBALANCE_LEAST_MS = 300,
	ASSIGNEES_SEEN = 64,
	SHIFT_MS = 5000, /* for so long a group that turns is of one kind */
};

/* It owns what it `has`, from when it takes it up until it gave it up; and may take up at any time what it was told. */
struct assignee {
	struct ask *ask; /* under way, or NULL */
	unsigned index, group;
	char instance[8], id[ASSIGNEE_ID_CHARS];
	int32_t epoch;
	bool is_in;
	unsigned lost; /* answers in a row, a crash being one */
	bool says_all; /* an answer was lost, or it cannot know what became of its word */
	struct place_set has, told, said;
	unsigned topics, regex, assignor; /* bits; places in tables */
	bool wants_new;                   /* it subscribes to something else than it said */
	uint32_t rebalance_ms;
	uint64_t rests_until_ms;
};

/* Who is in, or may be, as of the answers that were made: those that nobody got are taken back by a crash only. */
struct seen_assignee {
	char id[ASSIGNEE_ID_CHARS];
	unsigned group;
	uint32_t epoch, before;         /* told last; what was known then */
	struct place_set told, pending; /* with when it got each; pending: it was not told any more, and is to give up */
	struct place_set owns;          /* as it said last, and whatever it may have heard of since */
	uint64_t heard_ms, words_ms;    /* when it was believed; when it was heard at all */
	/* Since when it is to give something up, at the earliest and latest; 0: nothing. */
	uint64_t moving_ms, moving_since_ms, rebalance_ms;
	bool away, knows; /* knows: it has said the epoch that it was told last */
	uint64_t unsure_ms;
	bool unsure; /* memory was short at its last word, or there was a crash: it is not known how far that came */
};

struct assignee_world {
	struct assignee each[ASSIGNEES];
	struct seen_assignee seen[ASSIGNEES_SEEN];
	uint64_t serial, started_ms;
	bool has_left[ASSIGNEE_GROUPS]; /* by group: somebody of the classic protocol, since the start */
	bool is_quiet;                  /* nothing else happens: it is seen whether they come to rest */
	/* What was seen. */
	uint64_t joins, beats, moves, given_up, stale, gone, committed, refused, lost, unreleased, rests, out, turned;
};

/* --- assignee_people.c --- */
void assignees_begin(struct world *world);
void assignees_crash(struct world *world);
void assignees_say(const struct world *world);
void assignee_acts(struct world *world);
void assignee_obeys(struct assignee *a);
void assignee_beats(struct world *world, struct assignee *a); /* as it should */
bool assignees_have_shift(const struct world *world, unsigned group);
struct place_set assignee_places(const struct world *world, const struct consumer_places_view *view);
bool assignee_regex_is_sane(struct slice regex);
/* Somebody in a transaction or from outside, who may be in or not. */
struct group_who assignee_who(struct world *world, struct ask *ask, unsigned group);

/* --- assignee_check.c: what they may be told --- */
void assignee_expect(struct world *world, struct ask *ask); /* before the sequencer has it */
void assignee_applied(struct world *world, struct ask *ask);
void assignee_check_committer(struct world *world, const struct group_commit_in *in, enum outcome outcome);
void assignee_check_reader(struct world *world, const struct ask *ask);
void assignee_check_view(struct world *world, const struct ask *ask);

/* --- assignee_seen.c: who is in, and has what --- */
struct seen_assignee *assignee_seen(struct world *world, unsigned group, struct slice id); /* made, if need be */
void assignee_tap(struct world *world, const struct group_event *e);
void assignees_check_turn(struct world *world);
void assignees_check_owners(struct world *world, unsigned group);
void assignees_crashed(struct world *world);
void assignee_is_dead(struct world *world, const struct assignee *a); /* so it owns nothing */
void assignees_rest(struct world *world);                             /* nothing else happens until they have come to rest */
