/* How a group goes on: group.h tells it as a whole. The rules are those of Apache Kafka's coordinator for its classic protocol
 * (KIP-62, KIP-345 for static members, KIP-814 for leaders that come back), because clients were written against it.
 *
 * A member that waits is alive. Its session begins anew when the wait is over, or when its client has gone. */
#include "group/group_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

/* --- waits and sessions --- */

static void keep_alive(struct groups *groups, struct member *member, uint64_t now_ms)
{
	member->alive_until_ms = now_ms + member->session_ms;
	/* Not moved at each beat: it is looked when the earlier one comes. */
	if (member->session_at_ms == 0 || member->session_at_ms > member->alive_until_ms) {
		member->session_at_ms = member->alive_until_ms;
		heap_moved(&groups->sessions, &member->session);
	}
}

static void end(struct groups *groups, struct group_wait *wait, enum outcome outcome)
{
	wait->outcome = outcome;
	wait->is_over = true;
	if (outcome != OUTCOME_OK)
		wait->member = NULL;
	list_push_back(&groups->over, &wait->over);
}

static void end_join(struct groups *groups, struct member *member, enum outcome outcome)
{
	if (!member->join)
		return;
	end(groups, member->join, outcome);
	member->join = NULL;
	member->group->join_count--;
}

static void end_sync(struct groups *groups, struct member *member, enum outcome outcome)
{
	if (!member->sync)
		return;
	end(groups, member->sync, outcome);
	member->sync = NULL;
}

static enum outcome park_join(struct groups *groups, struct member *member, struct group_wait *wait, uint64_t now_ms)
{
	end_join(groups, member, OUTCOME_REBALANCING); /* the same member again: the earlier one is void */
	*wait = (struct group_wait){.member = member};
	list_init(&wait->over);
	member->join = wait;
	member->group->join_count++;
	keep_alive(groups, member, now_ms);
	return OUTCOME_PARKED;
}

static enum outcome answer_now(struct groups *groups, struct member *member, struct group_wait *wait, uint64_t now_ms)
{
	*wait = (struct group_wait){.member = member, .is_over = true};
	list_init(&wait->over);
	member->is_told = true;
	keep_alive(groups, member, now_ms);
	return OUTCOME_OK;
}

struct group_wait *groups_over(struct groups *groups)
{
	struct group_wait *wait;

	if (list_empty(&groups->over))
		return NULL;
	wait = list_first(&groups->over, struct group_wait, over);
	list_remove(&wait->over);
	return wait;
}

static uint64_t longest_rebalance(const struct group *group)
{
	uint32_t longest = 0;

	list_each (node, &group->members) {
		const struct member *member = container_of(node, struct member, peers);

		if (member->rebalance_ms > longest)
			longest = member->rebalance_ms;
	}
	return longest;
}

static void rebalance(struct groups *groups, struct group *group, uint64_t now_ms)
{
	if (group->state == GROUP_PREPARING)
		return;
	list_each (node, &group->members)
		end_sync(groups, container_of(node, struct member, peers), OUTCOME_REBALANCING);
	group->state = GROUP_PREPARING;
	group->until_ms = now_ms + longest_rebalance(group);
	group->not_before_ms = now_ms;
}

/* --- join --- */

enum outcome group_judge(const struct groups *groups, const struct group *group, const struct group_who *who,
			 struct member **ret_member)
{
	struct member *member =
		who->instance.len ? member_find_instance(groups, group, who->instance) : member_find(groups, group, who->member);

	if (!member)
		return OUTCOME_NO_MEMBER;
	if (!slice_eq(member->id, who->member))
		return OUTCOME_FENCED;
	*ret_member = member;
	return OUTCOME_OK;
}

/* It was in the generation that a restart has interrupted, and has not joined since. */
static bool was_here(const struct group *group, const struct group_who *who)
{
	return who->is_known && group->awaited > 0 && who->generation >= 0 && (uint32_t)who->generation == group->generation;
}

static void first_joins(struct group *group, const struct group_joining *joining)
{
	group->until_ms = joining->now_ms + joining->join->rebalance_ms;
	group->not_before_ms = joining->now_ms + joining->first_delay_ms;
	if (group->awaited && group->awaited_until_ms < group->until_ms)
		group->until_ms = group->awaited_until_ms;
}

static enum outcome join_new(struct groups *groups, struct group *group, const struct group_joining *joining,
			     struct group_wait *wait)
{
	const struct slice given = joining->join->who.member;
	bool is_first = group->state == GROUP_EMPTY;
	struct member *member = member_new(groups, group, joining->join, given.len ? given : joining->id);

	if (!member)
		return OUTCOME_NO_MEMORY;
	member->is_told = given.len > 0;
	rebalance(groups, group, joining->now_ms);
	if (is_first)
		first_joins(group, joining);
	return park_join(groups, member, wait, joining->now_ms);
}

static enum outcome join_again(struct groups *groups, struct member *member, const struct group_joining *joining,
			       struct group_wait *wait)
{
	struct group *group = member->group;
	bool same = member_says_same(member, joining->join);

	if (same && (group->state == GROUP_COMPLETING || (group->state == GROUP_STABLE && member != group->leader)))
		return answer_now(groups, member, wait, joining->now_ms); /* the earlier answer was lost, or it asks needlessly */
	if (!member_update(member, joining->join))
		return OUTCOME_NO_MEMORY;
	rebalance(groups, group, joining->now_ms);
	return park_join(groups, member, wait, joining->now_ms);
}

/* A static member begins anew, and gets another id. While nothing else changes it goes on with what it was assigned. */
static enum outcome join_static(struct groups *groups, struct member *old, const struct group_joining *joining,
				struct group_wait *wait)
{
	struct group *group = old->group;
	struct member *member = member_alloc(joining->join, joining->id);
	enum outcome outcome;
	bool leads;

	if (!member)
		return OUTCOME_NO_MEMORY;
	end_join(groups, old, OUTCOME_FENCED);
	end_sync(groups, old, OUTCOME_FENCED);
	member_replace(groups, old, member);
	leads = member == group->leader;
	if (group->state != GROUP_STABLE || !slice_eq(group_choose(group), group->protocol)) {
		rebalance(groups, group, joining->now_ms);
		return park_join(groups, member, wait, joining->now_ms);
	}
	outcome = answer_now(groups, member, wait, joining->now_ms);
	wait->is_skip = leads && joining->join->knows_skip;
	wait->is_quiet = leads && !joining->join->knows_skip;
	return outcome;
}

void group_await(struct group *group, uint64_t now_ms)
{
	group->idle_ms = now_ms;
	group->awaited = group->begun_members;
	group->awaited_until_ms = now_ms + group->begun_session_ms;
}

enum outcome group_join(struct groups *groups, struct group *group, const struct group_joining *joining, struct group_wait *wait)
{
	const struct group_who *who = &joining->join->who;
	struct member *member = NULL;

	if (who->member.len) {
		enum outcome outcome = group_judge(groups, group, who, &member);
		bool may_come = who->is_known && (!who->instance.len || group->awaited > 0);

		if (outcome != OUTCOME_OK && (outcome != OUTCOME_NO_MEMBER || !may_come))
			return outcome;
	} else if (who->instance.len) {
		member = member_find_instance(groups, group, who->instance);
	}
	if (!group_supports(group, joining->join, member))
		return OUTCOME_PROTOCOL;
	if (!member)
		return join_new(groups, group, joining, wait);
	return who->member.len ? join_again(groups, member, joining, wait) : join_static(groups, member, joining, wait);
}

bool group_is_ready(const struct group *group, uint64_t now_ms)
{
	if (group->state != GROUP_PREPARING)
		return false;
	if (now_ms >= group->until_ms)
		return true;
	return now_ms >= group->not_before_ms && group->join_count == group->member_count && group->join_count >= group->awaited;
}

bool group_close_joins(struct groups *groups, struct group *group, uint64_t now_ms)
{
	list_each_safe (node, &group->members) {
		struct member *member = container_of(node, struct member, peers);

		if (!member->join && !member->instance.len)
			member_leave(groups, member);
	}
	if (group->member_count == 0 || group->join_count > 0)
		return true;
	/* None but static ones, which are silent: until they come, or their sessions are over. */
	group->until_ms = now_ms + longest_rebalance(group);
	return false;
}

void group_begin(struct groups *groups, struct group *group, uint64_t now_ms)
{
	group->awaited = 0;
	if (group->member_count == 0) {
		group->state = GROUP_EMPTY;
		group->idle_ms = now_ms;
		return;
	}
	if (group->leader && !group->leader->join)
		group->leader = NULL;
	list_each (node, &group->members) {
		struct member *member = container_of(node, struct member, peers);

		if (!group->leader && member->join)
			group->leader = member;
		member->is_synced = false;
		slice_drop(&member->assignment);
		if (member->join) {
			member->is_told = true;
			keep_alive(groups, member, now_ms);
			end_join(groups, member, OUTCOME_OK);
		}
	}
	group->state = GROUP_COMPLETING;
	group->until_ms = now_ms + longest_rebalance(group);
}

/* --- sync --- */

static void drop_next(struct group *group)
{
	list_each (node, &group->members)
		slice_drop(&container_of(node, struct member, peers)->next_assignment);
}

/* What the leader says for each, or for none. Whom it does not name gets nothing. */
static enum outcome assign(struct groups *groups, struct group *group, const struct group_sync *sync)
{
	for (size_t i = 0; i < sync->assignment_count; i++) {
		const struct slice assignment = sync->assignments[i].assignment;
		struct member *member = member_find(groups, group, sync->assignments[i].member);
		char *copy;

		if (!member || !assignment.len)
			continue;
		copy = mem_dup(assignment.ptr, assignment.len);
		if (!copy) {
			drop_next(group);
			return OUTCOME_NO_MEMORY;
		}
		slice_drop(&member->next_assignment);
		member->next_assignment = slice_from(copy, assignment.len);
	}
	list_each (node, &group->members) {
		struct member *member = container_of(node, struct member, peers);

		slice_drop(&member->assignment);
		member->assignment = member->next_assignment;
		member->next_assignment = (struct slice){0};
	}
	return OUTCOME_OK;
}

static enum outcome sync_leader(struct groups *groups, struct group *group, const struct group_sync *sync, uint64_t now_ms)
{
	enum outcome outcome = assign(groups, group, sync);

	if (outcome != OUTCOME_OK)
		return outcome;
	group->state = GROUP_STABLE;
	list_each (node, &group->members) {
		struct member *member = container_of(node, struct member, peers);

		if (member->sync)
			keep_alive(groups, member, now_ms);
		end_sync(groups, member, OUTCOME_OK);
	}
	return OUTCOME_OK;
}

/* The member, if it is in this generation. */
static enum outcome present(const struct groups *groups, const struct group *group, const struct group_who *who,
			    struct member **ret_member)
{
	enum outcome outcome = group_judge(groups, group, who, ret_member);

	if (outcome == OUTCOME_NO_MEMBER && was_here(group, who))
		return OUTCOME_REBALANCING; /* so that it joins again, as who it is */
	if (outcome == OUTCOME_OK && (who->generation < 0 || (uint32_t)who->generation != group->generation))
		return OUTCOME_GENERATION;
	return outcome;
}

static bool differs(struct slice said, struct slice is)
{
	return said.len && !slice_eq(said, is);
}

enum outcome group_sync(struct groups *groups, struct group *group, const struct group_sync *sync, uint64_t now_ms,
			struct group_wait *wait)
{
	struct member *member;
	enum outcome outcome = present(groups, group, &sync->who, &member);

	if (outcome != OUTCOME_OK)
		return outcome;
	if (differs(sync->protocol_type, group->protocol_type) || differs(sync->protocol, group->protocol))
		return OUTCOME_PROTOCOL;
	if (group->state == GROUP_PREPARING)
		return OUTCOME_REBALANCING;
	if (group->state == GROUP_COMPLETING && member == group->leader) {
		outcome = sync_leader(groups, group, sync, now_ms);
		if (outcome != OUTCOME_OK)
			return outcome;
	}
	if (group->state == GROUP_COMPLETING)
		end_sync(groups, member, OUTCOME_REBALANCING);
	member->is_synced = true;
	if (group->state == GROUP_STABLE)
		return answer_now(groups, member, wait, now_ms);
	*wait = (struct group_wait){.member = member};
	list_init(&wait->over);
	member->sync = wait;
	return OUTCOME_PARKED;
}

void group_drop_unsynced(struct groups *groups, struct group *group, uint64_t now_ms)
{
	list_each_safe (node, &group->members) {
		struct member *member = container_of(node, struct member, peers);

		if (!member->is_synced)
			group_leave(groups, group, member, now_ms);
	}
	rebalance(groups, group, now_ms);
}

/* --- the rest of a member's life --- */

enum outcome group_beat(struct groups *groups, struct group *group, const struct group_who *who, uint64_t now_ms)
{
	struct member *member;
	enum outcome outcome = present(groups, group, who, &member);

	if (outcome != OUTCOME_OK)
		return outcome;
	keep_alive(groups, member, now_ms);
	return group->state == GROUP_PREPARING ? OUTCOME_REBALANCING : OUTCOME_OK;
}

enum outcome group_may_commit(struct groups *groups, struct group *group, const struct group_who *who, uint64_t now_ms)
{
	struct member *member;
	enum outcome outcome;

	if (who->generation < 0 && group->state == GROUP_EMPTY && !group->awaited)
		return OUTCOME_OK; /* somebody who divides the partitions by himself, or sets offsets for others */
	if (was_here(group, who) && group_judge(groups, group, who, &member) == OUTCOME_NO_MEMBER)
		return OUTCOME_OK; /* no other generation has begun: its partitions are its own */
	outcome = present(groups, group, who, &member);
	if (outcome != OUTCOME_OK)
		return outcome;
	keep_alive(groups, member, now_ms);
	return group->state == GROUP_COMPLETING ? OUTCOME_REBALANCING : OUTCOME_OK;
}

void group_leave(struct groups *groups, struct group *group, struct member *member, uint64_t now_ms)
{
	end_join(groups, member, OUTCOME_NO_MEMBER);
	end_sync(groups, member, OUTCOME_NO_MEMBER);
	member_leave(groups, member);
	rebalance(groups, group, now_ms);
}

struct group *group_wait_cancel(struct groups *groups, struct group_wait *wait, uint64_t now_ms)
{
	struct member *member = wait->member;
	struct group *group = member ? member->group : NULL;

	if (!member || wait->is_over)
		return NULL;
	wait->member = NULL;
	wait->is_over = true;
	if (member->join == wait) {
		member->join = NULL;
		group->join_count--;
	} else {
		member->sync = NULL;
	}
	if (member->is_told)
		keep_alive(groups, member, now_ms);
	else /* nobody can ever come back as it */
		group_leave(groups, group, member, now_ms);
	return group;
}

void group_wait_fail(struct groups *groups, struct group *group)
{
	list_each (node, &group->members) {
		end_join(groups, container_of(node, struct member, peers), OUTCOME_STORAGE);
		end_sync(groups, container_of(node, struct member, peers), OUTCOME_STORAGE);
	}
}

bool member_look(struct groups *groups, struct member *member, uint64_t now_ms)
{
	if (member->join || member->sync)
		member->alive_until_ms = now_ms + member->session_ms;
	if (member->alive_until_ms <= now_ms) {
		group_leave(groups, member->group, member, now_ms);
		return true;
	}
	member->session_at_ms = member->alive_until_ms;
	heap_moved(&groups->sessions, &member->session);
	return false;
}
