/* What may be said to a member: that it is in only if it can be, that it is out only if it must be; offsets as they are; and that
 * a generation that is over moves nothing. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

/* Sessions are looked at in turns, a share in each; and a second later again when memory was short. */
enum { LATE_MS = 1200, LATE_CALM_MS = 200 };

/* --- who is in --- */

static bool is_waiting(const struct seen_member *m)
{
	return m->waits != NULL;
}

/* Nothing was heard that would speak against it. */
bool member_may_be_in(const struct world *world, const struct seen_member *m, const struct model_group *group)
{
	uint64_t since = m->words_ms > world->topics.short_ms ? m->words_ms : world->topics.short_ms;

	return group && m->number == group->number && !m->left && !m->replaced && !m->restarted &&
	       (is_waiting(m) || since + m->session_ms + (world_is_calm(world) ? LATE_CALM_MS : LATE_MS) > world->now_ms);
}

/* It is in the group's present generation, and was heard in time. */
bool member_must_be_in(const struct world *world, const struct seen_member *m, const struct model_group *group)
{
	uint64_t now_ms = world->now_ms;
	bool synced_in_time = m->synced || m->told_ms + GROUP_REBALANCE_LEAST_MS > now_ms;

	if (!group || m->number != group->number || m->left || m->replaced || m->restarted)
		return false;
	if (world->topics.short_ms && world->topics.short_ms + LATE_MS > now_ms)
		return false; /* a generation may have failed to begin, and who did not join for it is out */
	if (is_waiting(m))
		return true;
	return m->generation == group->generation && synced_in_time && m->ok_ms + GROUP_REBALANCE_LEAST_MS > now_ms &&
	       m->life_ms + m->session_ms > now_ms;
}

static bool somebody_must_be_in(const struct world *world, const struct model_group *group)
{
	for (size_t i = 0; i < world->groups.member_count; i++) {
		if (member_must_be_in(world, &world->groups.members[i], group))
			return true;
	}
	return false;
}

/* --- what is said to who says to be somebody --- */

static void check_in(struct world *world, const struct group_who *who, const struct model_group *group, struct seen_member *m)
{
	CHECK(world, group && who->generation >= 0 && (uint64_t)who->generation == group->generation,
	      "a word of generation %d was believed", who->generation);
	CHECK(world, m && member_may_be_in(world, m, group), "group %s: somebody who is not in it was believed", group->id);
}

static void check_refusal(struct world *world, const struct group_who *who, enum outcome outcome, const struct model_group *group,
			  struct seen_member *m)
{
	switch ((unsigned)outcome) {
	case OUTCOME_NO_MEMBER:
		CHECK(world, !m || !member_must_be_in(world, m, group), "member %s was said to be out", m->id);
		world->groups.refused++;
		return;
	case OUTCOME_GENERATION:
		CHECK(world, !group || who->generation < 0 || (uint64_t)who->generation != group->generation,
		      "member %s was told that its generation is over", m ? m->id : "?");
		world->groups.refused++;
		return;
	case OUTCOME_FENCED:
		CHECK(world, who->instance.len && (!m || !member_must_be_in(world, m, group)), "member %s was fenced",
		      m ? m->id : "?");
		world->groups.fenced++;
		return;
	case OUTCOME_REBALANCING:
		CHECK(world, m && (m->restarted || member_may_be_in(world, m, group)), "somebody was told to join who is not in");
		world->groups.rebalances++;
		return;
	default:
		CHECK(world, false, "a member came to outcome %d", (int)outcome);
	}
}

static void check_join(struct world *world, const struct ask *ask, struct seen_member *m, const struct model_group *group)
{
	const struct group_who *who = &ask->command.in.group_join.join.who;

	switch ((unsigned)ask->command.outcome) {
	case OUTCOME_MEMBER_ID:
		CHECK(world, !who->member.len && !who->instance.len, "an id was given to somebody who has one");
		return;
	case OUTCOME_NO_MEMBER: /* an id that was given is known as long as the journal; or he was put out while he waited */
		CHECK(world, !m || who->instance.len || question_of(ask)->parked_ms, "member %s was said to be nobody", m->id);
		return;
	case OUTCOME_FULL:
	case OUTCOME_PROTOCOL:
		CHECK(world, group || ask->command.outcome == OUTCOME_FULL, "a group of nobody has a protocol");
		return;
	case OUTCOME_FENCED:
		CHECK(world, who->instance.len, "somebody without an instance was fenced");
		world->groups.fenced++;
		return;
	default:
		CHECK(world, ask->command.outcome == OUTCOME_REBALANCING && question_of(ask)->parked_ms,
		      "a join came to outcome %d", (int)ask->command.outcome);
	}
}

static void heard(struct world *world, struct seen_member *m, enum outcome outcome)
{
	if (!m)
		return;
	m->words_ms = world->now_ms;
	if (outcome == OUTCOME_OK)
		m->ok_ms = world->now_ms;
	if (outcome == OUTCOME_OK || (outcome == OUTCOME_REBALANCING && !m->restarted))
		m->life_ms = world->now_ms;
}

static void check_beat(struct world *world, const struct ask *ask, const struct model_group *group, struct seen_member *m)
{
	const struct group_who *who = &ask->command.in.group_who;

	if (ask->command.outcome == OUTCOME_OK)
		check_in(world, who, group, m);
	else
		check_refusal(world, who, ask->command.outcome, group, m);
	world->groups.beats++;
	heard(world, m, ask->command.outcome);
}

/* --- offsets --- */

static void check_places(struct world *world, const struct group_commit_in *in, bool now)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct group_place *place = &in->places[i];
		const struct topic_ref ref = {.name = place->topic};
		bool there = model_partition_of(&world->model.topics, &ref, place->partition);
		const struct model_offset *offset =
			model_offset(&world->model.groups, in->who.group, place->topic, place->partition);

		CHECK(world,
		      place->metadata.len > world->config.group_metadata_max ? place->outcome == OUTCOME_TOO_LARGE
		      : place->outcome == OUTCOME_SAME                       ? !now
						       : place->outcome == (there ? OUTCOME_OK : OUTCOME_NOT_FOUND),
		      "an offset came to outcome %d", (int)place->outcome);
		if (place->outcome != OUTCOME_OK || !now)
			continue;
		CHECK(world,
		      offset && offset->offset == place->offset && slice_eq(slice_str(offset->metadata), place->metadata) &&
			      offset->leader_epoch == (place->leader_epoch < 0 ? -1 : place->leader_epoch),
		      "an offset was committed, and is not what it is");
		world->groups.committed++;
	}
}

/* Whether he may commit: OK only for a member of the present generation, or, without one, where nobody is in. */
static void check_committer(struct world *world, const struct group_commit_in *in, enum outcome outcome,
			    const struct model_group *group)
{
	const struct group_who *who = &in->who;
	struct seen_member *m = seen_member(world, who->member, group_of_name(who->group));
	bool empty = !group || !somebody_must_be_in(world, group);

	if (outcome == OUTCOME_FULL)
		return;
	if (group && group->assignee_count) {
		assignee_check_committer(world, in, outcome);
		return;
	}
	if (outcome != OUTCOME_OK) {
		if (who->generation < 0 && outcome == OUTCOME_NO_MEMBER && !who->member.len)
			return; /* somebody is in it, or may come back */
		check_refusal(world, who, outcome, group, m);
	} else if (who->generation < 0) {
		CHECK(world, empty || (m && member_may_be_in(world, m, group)), "offsets were set for a group that has members");
	} else if (!m || !m->restarted) {
		check_in(world, who, group, m);
	} else {
		CHECK(world, group && (uint64_t)who->generation == group->generation, "a word of generation %d was believed",
		      who->generation);
	}
	heard(world, m, outcome);
}

/* What the acknowledgement will tell of. */
static void commit_known(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct group_commit_in *in = &ask->command.in.group_commit;
	struct question *q = question_of(ask);

	check_places(world, in, true);
	for (size_t i = 0; i < in->count; i++) {
		const struct topic_ref ref = {.name = in->places[i].topic};

		if (in->places[i].outcome != OUTCOME_OK)
			continue;
		q->group_number = group->number;
		q->topic_number = model_topic(&world->model.topics, &ref)->number;
		q->commit_end =
			model_offset(&world->model.groups, in->who.group, in->places[i].topic, in->places[i].partition)->end;
	}
}

static void check_offsets(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct group_offsets_in *in = &ask->command.in.group_offsets;
	const struct group_offsets_view *view = ask->command.out.offsets;

	assignee_check_reader(world, ask);
	if (!view)
		return;
	CHECK(world, view->count == (in->places ? in->count : group ? group->offset_count : 0), "another number of offsets");
	for (size_t i = 0; i < view->count; i++) {
		const struct group_offset_view *at = &view->at[i];
		const struct topic_ref ref = {.name = at->topic};
		const struct model_offset *offset = model_offset(&world->model.groups, in->group, at->topic, at->partition);
		const struct model_partition *partition = model_partition_of(&world->model.topics, &ref, at->partition);

		CHECK(world,
		      !in->places || (slice_eq(at->topic, in->places[i].topic) && at->partition == in->places[i].partition),
		      "another place than was asked for");
		CHECK(world, at->offset == (offset ? (int64_t)offset->offset : -1), "an offset was said to be %" PRId64,
		      at->offset);
		CHECK(world,
		      !in->stable || at->unstable == model_txn_holds(&world->model.topics, in->group, at->topic, at->partition),
		      "an offset was said to be %s", at->unstable ? "unstable" : "stable");
		if (!offset)
			continue;
		CHECK(world,
		      slice_eq(at->metadata, slice_str(offset->metadata)) && at->leader_epoch == offset->leader_epoch &&
			      at->committed_ms == offset->committed_ms,
		      "an offset with something else beside it");
		CHECK(world, at->end_offset == (partition ? (int64_t)partition->stream->next_offset : -1),
		      "an offset with another end");
	}
}

/* --- groups as a whole --- */

static void check_get(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct group_view *view = ask->command.out.group;

	CHECK(world, ask->command.outcome == (group ? OUTCOME_OK : OUTCOME_NOT_FOUND), "a group that is there, or not");
	if (!view)
		return;
	world->groups.looked++;
	assignee_check_view(world, ask);
	CHECK(world,
	      view->number == group->number && view->generation == group->generation && view->offset_count == group->offset_count,
	      "group %s: another view of it", group->id);
	CHECK(world, view->state != GROUP_EMPTY || view->member_count == 0, "group %s is empty, and is not", group->id);
	for (size_t i = 0; i < view->member_count; i++) {
		const struct seen_member *m = seen_member(world, view->members[i].id, group_of_name(view->id));

		CHECK(world, !m || member_may_be_in(world, m, group), "group %s: %s is not in it", group->id, m->id);
		for (size_t n = 0; n < i; n++)
			CHECK(world, !slice_eq(view->members[i].id, view->members[n].id), "group %s: a member twice", group->id);
	}
	for (size_t i = 0; i < world->groups.member_count; i++) {
		const struct seen_member *m = &world->groups.members[i];
		bool told = false;

		for (size_t n = 0; n < view->member_count; n++)
			told = told || slice_eq(view->members[n].id, slice_str(m->id));
		CHECK(world, told || !member_must_be_in(world, m, group), "group %s: %s is not told of", group->id, m->id);
	}
}

static void check_leave(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct group_leaving *leaving = &question_of(ask)->leaving;
	struct seen_member *m = seen_member(world, leaving->member, group_of_name(ask->command.in.group_leave.group));
	struct group_who who = {.instance = leaving->instance, .generation = -1};

	if (question_of(ask)->is_assignee) {
		CHECK(world, leaving->outcome != OUTCOME_OK || !model_assignee(group, leaving->member),
		      "%.*s was taken out, and is in", (int)leaving->member.len, leaving->member.ptr);
		return;
	}
	if (leaving->outcome == OUTCOME_OK)
		world->groups.assignees.has_left[group_of_name(ask->command.in.group_leave.group)] = true;
	if (leaving->outcome != OUTCOME_OK)
		check_refusal(world, &who, leaving->outcome, group, m);
	else if (m)
		m->left = true;
	for (size_t i = 0; i < world->groups.member_count && leaving->outcome == OUTCOME_OK && !leaving->member.len; i++) {
		struct seen_member *one = &world->groups.members[i];

		if (one->group == group_of_name(ask->command.in.group_leave.group) &&
		    slice_eq(slice_str(one->instance), leaving->instance))
			one->left = true;
	}
}

static void check_deletion(struct world *world, const struct ask *ask, const struct model_group *group)
{
	CHECK(world, ask->command.outcome != OUTCOME_OK || !group, "group %s was said to be deleted, and is not", group->id);
	CHECK(world, ask->command.outcome != OUTCOME_NOT_FOUND || !group, "group %s was said not to be there", group->id);
	CHECK(world, ask->command.outcome != OUTCOME_BUSY || group, "a group that is not there is busy");
}

static void check_forgotten(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct group_commit_in *in = &ask->command.in.group_commit;

	if (ask->command.outcome == OUTCOME_NOT_FOUND) {
		CHECK(world, !group, "group %s was said not to be there", group->id);
		return;
	}
	for (size_t i = 0; i < in->count; i++) {
		const struct group_place *place = &in->places[i];

		for (size_t n = 0; n < group->assignee_count; n++)
			CHECK(world, place->outcome == OUTCOME_BUSY || !model_assignee_names(group->assignees[n], place->topic),
			      "group %s forgets what is followed", group->id);
		CHECK(world, place->outcome != OUTCOME_OK || !somebody_must_be_in(world, group),
		      "group %s forgets what its members follow", group->id);
		CHECK(world,
		      place->outcome == OUTCOME_BUSY ||
			      !model_offset(&world->model.groups, in->who.group, place->topic, place->partition),
		      "group %s: an offset was said to be gone", group->id);
	}
}

static struct slice group_of(const struct command *c)
{
	switch ((unsigned)c->kind) {
	case COMMAND_GROUP_JOIN:
		return c->in.group_join.join.who.group;
	case COMMAND_GROUP_SYNC:
		return c->in.group_sync.sync.who.group;
	case COMMAND_GROUP_BEAT:
		return c->in.group_who.group;
	case COMMAND_GROUP_LEAVE:
		return c->in.group_leave.group;
	case COMMAND_CONSUMER_BEAT:
		return c->in.consumer_beat.beat.group;
	case COMMAND_GROUP_COMMIT:
	case COMMAND_GROUP_FORGET:
		return c->in.group_commit.who.group;
	case COMMAND_TXN_OFFSETS:
		return c->in.txn_offsets.commit.who.group;
	case COMMAND_GROUP_OFFSETS:
		return c->in.group_offsets.group;
	default:
		return c->in.group.group;
	}
}

static void check_txn_offsets(struct world *world, const struct ask *ask, const struct model_group *group)
{
	const struct txn_offsets_in *in = &ask->command.in.txn_offsets;
	enum outcome outcome = ask->command.outcome, should = question_of(ask)->should_all;

	if (should != OUTCOME_OK || outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_BUSY || outcome == OUTCOME_FENCED) {
		CHECK(world, outcome == should, "offsets of a transaction: outcome %d, the oracle says %d", (int)outcome,
		      (int)should);
		return;
	}
	check_committer(world, &in->commit, outcome, group);
	if (outcome == OUTCOME_OK)
		check_places(world, &in->commit, false);
}

void group_check_word(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;
	struct slice name = group_of(c);
	const struct model_group *group = model_group(&world->model.groups, name);

	if (topic_excused(world, c->outcome) || c->kind == COMMAND_GROUPS || c->kind == COMMAND_GROUP_CANCEL ||
	    c->kind == COMMAND_CONSUMER_BEAT)
		return;
	switch ((unsigned)c->kind) {
	case COMMAND_GROUP_JOIN:
		check_join(world, ask, seen_member(world, c->in.group_join.join.who.member, group_of_name(name)), group);
		return;
	case COMMAND_GROUP_SYNC:
		check_refusal(world, &c->in.group_sync.sync.who, c->outcome, group,
			      seen_member(world, c->in.group_sync.sync.who.member, group_of_name(name)));
		return;
	case COMMAND_GROUP_BEAT:
		check_beat(world, ask, group, seen_member(world, c->in.group_who.member, group_of_name(name)));
		return;
	case COMMAND_GROUP_COMMIT:
		check_committer(world, &c->in.group_commit, c->outcome, group);
		if (c->outcome == OUTCOME_OK)
			commit_known(world, ask, group);
		return;
	case COMMAND_TXN_OFFSETS:
		check_txn_offsets(world, ask, group);
		return;
	case COMMAND_GROUP_LEAVE:
		check_leave(world, ask, group);
		return;
	case COMMAND_GROUP_OFFSETS:
		check_offsets(world, ask, group);
		return;
	case COMMAND_GROUP_FORGET:
		check_forgotten(world, ask, group);
		return;
	case COMMAND_GROUP_GET:
		check_get(world, ask, group);
		return;
	default:
		check_deletion(world, ask, group);
	}
}

/* Joins and syncs tell of their generation, which whoever looks at what they came to has noted. */
uint64_t group_rests_on(const struct world *world, const struct ask *ask)
{
	const struct command *c = &ask->command;
	const struct model_group *group = model_group(&world->model.groups, group_of(c));

	switch ((unsigned)c->kind) {
	case COMMAND_GROUP_COMMIT:
		return c->outcome == OUTCOME_OK ? question_of(ask)->commit_end : 0;
	case COMMAND_GROUP_FORGET:
	case COMMAND_GROUP_OFFSETS:
	case COMMAND_GROUP_GET:
	case COMMAND_GROUP_DELETE:
	case COMMAND_CONSUMER_BEAT:
		return group ? group->changed_end : world->model.groups.deleted_end;
	default:
		return 0;
	}
}
