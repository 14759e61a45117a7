/* Commands of members: join, sync, beat, leave. Those that must wait are held by the group until it says that they are over. */
#include "sequencer/sequencer_priv.h"

static bool id_is_sane(struct slice id)
{
	return id.len > 0 && id.len <= GROUP_ID_MAX;
}

static void answer(struct sequencer *s, struct command *c, enum outcome outcome)
{
	reply(s, c, outcome, s->appended_end);
}

static void answer_member(struct sequencer *s, struct command *c, const struct member *member)
{
	bool leads = c->kind == COMMAND_GROUP_JOIN && member == member->group->leader;

	c->out.group = group_view_new(member->group, member, leads && !c->in.group_join.wait.is_quiet);
	if (c->out.group && c->kind == COMMAND_GROUP_JOIN) {
		c->out.group->skip_assignment = c->in.group_join.wait.is_skip;
		if (c->in.group_join.wait.is_quiet)
			c->out.group->leader = (struct slice){0};
	}
	answer(s, c, c->out.group ? OUTCOME_OK : OUTCOME_NO_MEMORY);
}

static void note_known(const struct sequencer *s, struct group_who *who)
{
	who->is_known = member_id_known(s, who->group, who->member);
}

/* --- join --- */

static enum outcome judge_join(const struct sequencer *s, const struct group_join *join)
{
	size_t bytes = 0;

	if (!id_is_sane(join->who.group) || join->who.instance.len > GROUP_INSTANCE_MAX)
		return OUTCOME_NAME;
	if (join->session_ms < s->config.group_session_min_ms || join->session_ms > s->config.group_session_max_ms)
		return OUTCOME_RANGE;
	if (!join->protocol_type.len || join->protocol_type.len > GROUP_PROTOCOL_MAX || join->protocol_count == 0 ||
	    join->protocol_count > GROUP_PROTOCOLS_MAX)
		return OUTCOME_PROTOCOL;
	for (size_t i = 0; i < join->protocol_count; i++) {
		if (!join->protocols[i].name.len || join->protocols[i].name.len > GROUP_PROTOCOL_MAX)
			return OUTCOME_PROTOCOL;
		bytes += join->protocols[i].name.len + join->protocols[i].metadata.len;
	}
	return bytes > s->config.group_member_bytes_max ? OUTCOME_TOO_LARGE : OUTCOME_OK;
}

static struct slice id_make(struct sequencer *s, const struct group_join *join, char ret_id[GROUP_MEMBER_ID_MAX])
{
	return member_id_make(s, join->who.group, join->who.instance.len ? join->who.instance : join->client_id, ret_id);
}

static void give_id(struct sequencer *s, struct command *c)
{
	char bytes[GROUP_MEMBER_ID_MAX];

	c->out.group = group_view_id(id_make(s, &c->in.group_join.join, bytes));
	answer(s, c, c->out.group ? OUTCOME_MEMBER_ID : OUTCOME_NO_MEMORY);
}

static bool is_new(const struct sequencer *s, const struct group *group, const struct group_who *who)
{
	if (who->instance.len)
		return !member_find_instance(&s->groups, group, who->instance);
	return !who->member.len || !member_find(&s->groups, group, who->member);
}

static enum outcome join(struct sequencer *s, struct command *c, struct group *group)
{
	struct group_join_in *in = &c->in.group_join;
	char bytes[GROUP_MEMBER_ID_MAX];
	struct group_joining joining = {
		.join = &in->join,
		.id = id_make(s, &in->join, bytes),
		.now_ms = s->now_ms,
		.first_delay_ms = s->config.group_first_delay_ms,
	};

	if (group->consumer_count)
		return OUTCOME_PROTOCOL;
	if (group->member_count >= s->config.group_members_max && is_new(s, group, &in->join.who))
		return OUTCOME_FULL;
	return group_join(&s->groups, group, &joining, &in->wait);
}

void command_group_join(struct sequencer *s, struct command *c)
{
	struct group_join_in *in = &c->in.group_join;
	struct group *group = group_find(&s->groups, in->join.who.group);
	enum outcome outcome = judge_join(s, &in->join);

	note_known(s, &in->join.who);
	if (outcome == OUTCOME_OK && !group && in->join.who.member.len && (!in->join.who.is_known || in->join.who.instance.len))
		outcome = OUTCOME_NO_MEMBER;
	if (outcome != OUTCOME_OK) {
		answer(s, c, outcome);
		return;
	}
	if (in->needs_id && !in->join.who.member.len && !in->join.who.instance.len) {
		give_id(s, c);
		return;
	}
	outcome = group_get(s, in->join.who.group, &group);
	if (outcome == OUTCOME_OK)
		outcome = join(s, c, group);
	if (outcome == OUTCOME_OK)
		answer_member(s, c, in->wait.member);
	else if (outcome != OUTCOME_PARKED)
		answer(s, c, outcome);
	if (group)
		group_settle(s, group);
}

/* --- sync --- */

static enum outcome judge_sync(const struct sequencer *s, const struct group_sync *sync)
{
	for (size_t i = 0; i < sync->assignment_count; i++) {
		if (sync->assignments[i].assignment.len > s->config.group_member_bytes_max)
			return OUTCOME_TOO_LARGE;
	}
	return OUTCOME_OK;
}

void command_group_sync(struct sequencer *s, struct command *c)
{
	struct group_sync_in *in = &c->in.group_sync;
	struct group *group = group_find(&s->groups, in->sync.who.group);
	enum outcome outcome = group ? judge_sync(s, &in->sync) : OUTCOME_NO_MEMBER;

	note_known(s, &in->sync.who);
	if (outcome == OUTCOME_OK)
		outcome = group_sync(&s->groups, group, &in->sync, s->now_ms, &in->wait);
	if (outcome == OUTCOME_OK)
		answer_member(s, c, in->wait.member);
	else if (outcome != OUTCOME_PARKED)
		answer(s, c, outcome);
	if (group)
		group_settle(s, group);
}

/* It comes back behind what it cancels, be that answered already: their gates are in order. */
void command_group_cancel(struct sequencer *s, struct command *c)
{
	struct command *of = c->in.group_cancel.of;
	struct group *group = group_wait_cancel(&s->groups, &of->in.group_join.wait, s->now_ms);

	if (group) {
		answer(s, of, OUTCOME_CANCELED);
		group_settle(s, group);
	}
	answer(s, c, OUTCOME_OK);
}

/* --- the rest --- */

void command_group_beat(struct sequencer *s, struct command *c)
{
	struct group_who *who = &c->in.group_who;
	struct group *group = group_find(&s->groups, who->group);

	note_known(s, who);
	answer(s, c, group ? group_beat(&s->groups, group, who, s->now_ms) : OUTCOME_NO_MEMBER);
}

/* Somebody takes it out: its own way to leave is a beat. */
static enum outcome leave_consumer(struct sequencer *s, struct group *group, const struct group_leaving *leaving)
{
	struct consumer *consumer = leaving->instance.len ? consumer_find_instance(&s->groups, group, leaving->instance)
							  : consumer_find(&s->groups, group, leaving->member);

	if (!consumer)
		return OUTCOME_NO_MEMBER;
	if (leaving->member.len && !slice_eq(consumer->said->id, leaving->member))
		return OUTCOME_FENCED;
	return consumer_leave(s, group, consumer);
}

static enum outcome leave(struct sequencer *s, struct group *group, const struct group_leaving *leaving)
{
	struct group_who who = {.group = group_id(group), .member = leaving->member, .instance = leaving->instance};
	struct member *member;
	enum outcome outcome = OUTCOME_OK;

	if (group->consumer_count)
		return leave_consumer(s, group, leaving);
	if (who.instance.len && !who.member.len) {
		member = member_find_instance(&s->groups, group, who.instance);
		outcome = member ? OUTCOME_OK : OUTCOME_NO_MEMBER;
	} else {
		outcome = group_judge(&s->groups, group, &who, &member);
	}
	note_known(s, &who);
	if (outcome == OUTCOME_OK) {
		group_leave(&s->groups, group, member, s->now_ms);
	} else if (outcome == OUTCOME_NO_MEMBER && who.is_known && group->awaited) {
		group->awaited--; /* since a restart it was not heard of */
		outcome = OUTCOME_OK;
	}
	return outcome;
}

void command_group_leave(struct sequencer *s, struct command *c)
{
	struct group_leave_in *in = &c->in.group_leave;
	struct group *group = group_find(&s->groups, in->group);

	for (size_t i = 0; i < in->count; i++)
		in->members[i].outcome = group ? leave(s, group, &in->members[i]) : OUTCOME_NO_MEMBER;
	if (group)
		group_settle(s, group);
	answer(s, c, id_is_sane(in->group) ? OUTCOME_OK : OUTCOME_NAME);
}
