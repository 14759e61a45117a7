/* What the Kafka door asks about groups (group/group.h says what they are), and what comes back; part of command.h.
 *
 * JOIN and SYNC come back when the rebalance is over, which may be minutes later. Until then the sequencer holds them: whoever no
 * longer wants the answer sends GROUP_CANCEL, which never comes back before the command that it is about. So each comes back
 * once, and a command's memory stays until it is back. */
#pragma once

#include "base/arena.h"
#include "group/consumer_ask.h"
#include "group/group_ask.h"
#include "sequencer/topic_command.h"

enum { GROUP_MEMBER_ID_MAX = GROUP_CLIENT_MAX + 1 + 36 }; /* a client's or instance's id, and a UUID */

/* GROUP_JOIN: OK; MEMBER_ID (not in it yet: group->member_id is the id to join with); NO_MEMBER, FENCED, PROTOCOL; RANGE (the
 * session timeout); NAME (of the group or instance); FULL (limit of groups or members); TOO_LARGE (limit of bytes of a member).
 * `group`: all but the state and assignment; the members for the leader alone. */
struct group_join_in {
	struct group_wait wait; /* the sequencer's; zeroed */
	struct group_join join;
	bool needs_id; /* whoever has no id gets one first (MEMBER_ID) */
};

/* GROUP_SYNC: OK, with group->assignment; NO_MEMBER, FENCED, GENERATION, PROTOCOL, REBALANCING, TOO_LARGE. */
struct group_sync_in {
	struct group_wait wait; /* the sequencer's; zeroed */
	struct group_sync sync;
};

struct command;

struct group_cancel_in {
	struct command *of; /* a GROUP_JOIN or GROUP_SYNC, sent before */
};

/* GROUP_LEAVE: OK; each has an outcome: OK, NO_MEMBER, FENCED. */
struct group_leaving {
	struct slice member, instance; /* one may be empty */
	enum outcome outcome;
};

struct group_leave_in {
	struct slice group;
	struct group_leaving *members;
	size_t count;
};

/* GROUP_BEAT (`in.group_who`): OK, NO_MEMBER, FENCED, GENERATION, REBALANCING. */

/* CONSUMER_BEAT: a member to whom the server assigns partitions (group/consumer.h) joins, beats or leaves: OK, with `consumers`;
 * NO_MEMBER, FENCED, MEMBER_EPOCH, UNRELEASED, ASSIGNOR, REGEX; NOT_FOUND (the group is of the classic protocol, and somebody is
 * in it); NAME (of the group, member, instance or rack); FULL (limit of groups, members or partitions); TOO_LARGE (limit of
 * topics, bytes of a member, or of an expression). */
struct consumer_owned {
	struct topic_id topic;
	const int32_t *partitions;
	size_t count;
};

struct consumer_beat_in {
	struct consumer_beat beat; /* `owned` is the sequencer's */
	const struct consumer_owned *owned;
	size_t owned_count;
};

struct consumer_topic_view {
	struct topic_id id;
	struct slice name;
	const int32_t *partitions;
	uint32_t count;
};

struct consumer_places_view {
	const struct consumer_topic_view *topics;
	uint32_t count;
};

struct consumer_view {
	struct slice id, instance, rack, client_id, client_host, regex;
	const struct slice *topics; /* subscribed to, by name */
	uint32_t topic_count;
	uint32_t epoch;
	bool is_away; /* static: it left to come back */
	struct consumer_places_view assigned, target;
};

/* CONSUMER_BEAT: `at[0]` is the asker, its id, epoch and assigned partitions; GROUP_GET: all there are. */
struct consumers_view {     /* freed with the command's answer */
	struct arena arena; /* everything else lies there */
	uint32_t assignment_epoch;
	uint32_t interval_ms; /* BEAT: so long until the next one */
	bool has_assigned;    /* BEAT: what is assigned has changed, or is told anyway */
	uint32_t count;
	struct consumer_view *at;
};

/* GROUP_COMMIT: OK, and each has an outcome: OK, NOT_FOUND (no such partition), TOO_LARGE (metadata), RANGE
 * (no offset). Otherwise none was taken:
 * NO_MEMBER, FENCED, GENERATION, STALE (of a consumer: not its epoch), REBALANCING, NAME, FULL (limit of groups, or of offsets).
 * GROUP_FORGET: the same offsets, of which only topic and partition count, are let go: OK, and each has OK, NOT_FOUND or BUSY (a
 * member follows that topic); NOT_FOUND: there is no such group. */
struct group_place {
	struct slice topic;
	uint32_t partition;
	uint64_t offset;
	int32_t leader_epoch; /* -1: not known */
	struct slice metadata;
	enum outcome outcome;
};

struct group_commit_in {
	struct group_who who;
	struct group_place *places;
	size_t count;
};

/* TXN_OFFSETS: the same offsets, committed when the transaction is: what of both commands may come back, but NOT_FOUND, FENCED
 * and BUSY are about the transactional id only (topic_command.h), a member's instance that was taken over is NO_MEMBER. */
struct txn_offsets_in {
	struct txn_in txn; /* without partitions */
	struct group_commit_in commit;
};

/* GROUP_OFFSETS: NO_MEMBER, STALE (as for COMMIT, if `member` is there and the group is one of consumers); OK; `offsets`: one for
 * each place asked for, in that order, with offset -1 where there is none; or all there are, by topic and partition. */
struct group_offsets_in {
	struct slice group;
	const struct group_place *places; /* NULL: all */
	size_t count;
	bool stable; /* those that an open transaction may set are told so */
	struct slice member;
	int32_t epoch;
};

struct group_offset_view {
	struct slice topic, metadata;
	uint32_t partition;
	int64_t offset;
	int32_t leader_epoch;
	uint64_t committed_ms; /* unix; 0: there is none */
	int64_t end_offset;    /* of the partition; -1: there is none */
	bool unstable;
};

struct group_offsets_view { /* one block; freed with the command's answer */
	size_t bytes;       /* all of it */
	size_t count;
	struct group_offset_view at[];
};

/* GROUP_GET: OK, NOT_FOUND. GROUP_DELETE: OK, NOT_FOUND, BUSY (somebody is in it), for one. GROUPS: those there are, the
 * oldest first; next: 0 at the end. */
struct group_in {
	struct slice group;
	bool offsets; /* GROUP_GET: `offsets` are wanted, too */
};

struct groups_in {
	uint64_t after; /* `next` of the page before */
	uint32_t limit; /* 0: all */
};

struct group_member_view {
	struct slice id, instance, client_id, client_host;
	struct slice metadata; /* for the protocol that was chosen */
	struct slice assignment;
};

struct group_view { /* one block; freed with the command's answer */
	struct slice id, protocol_type, protocol, leader;
	struct slice member_id;  /* JOIN: the asker's */
	struct slice assignment; /* SYNC: the asker's */
	size_t bytes;            /* all of it */
	uint64_t number;
	uint32_t generation;
	enum group_state state;
	bool is_consumer;     /* the server assigns: `protocol` is the assignor; GROUP_GET has its members in `consumers` */
	bool skip_assignment; /* JOIN */
	uint64_t offset_count;
	size_t member_count; /* GROUPS: how many there are; `members` has none */
	struct group_member_view members[];
};
