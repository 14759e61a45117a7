/* What may be said to consumers to whom the server assigns: an epoch that is over is fenced, one that is not is not; what one has
 * is what it subscribes to, and what is told of it follows from what was told before; and offsets are theirs alone who are in. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>

enum { SINCE_KNOWN = 200 }; /* so many epochs back it is certain since when one has something */

static const struct model_group *group_named(const struct world *world, struct slice id)
{
	return model_group(&world->model.groups, id);
}

/* A topic that is gone is nobody's: what one says of it is not heard, and it is not told of. */
static struct place_set living(const struct world *world, const struct place_set *set)
{
	struct place_set living = {0};

	for (size_t i = 0; i < set->count; i++) {
		if (!world->model.topics.at[set->at[i].topic]->deleted_end)
			place_set_add(&living, set->at[i], set->since[i]);
	}
	return living;
}

/* --- before --- */

void assignee_expect(struct world *world, struct ask *ask)
{
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	const struct model_group *group = group_named(world, beat->group);
	const struct model_assignee *holder = model_assignee_instance(group, beat->instance);
	struct question *q = question_of(ask);

	q->was_in = model_assignee(group, beat->member);
	q->was_count = group ? group->assignee_count : 0;
	q->was_held = holder && !slice_eq(slice_str(holder->id), beat->member);
	q->was_away = holder && holder->state == HOLDING_AWAY;
	q->said_owned = living(world, &q->said_owned);
	if (q->was_in) /* what it says counts from now on: it may be given away by the same word */
		assignee_seen(world, group_of_name(beat->group), beat->member)->owns = q->may_own;
}

/* --- refused --- */

/* Whether its epoch is the one that it was told last; or the one before, when that may be all it knows. */
static bool must_be_believed(const struct seen_assignee *m, const struct consumer_beat *beat, const struct question *q)
{
	if (m->unsure || m->away)
		return false;
	if ((uint32_t)beat->epoch == m->epoch)
		return true;
	return !m->knows && (uint32_t)beat->epoch == m->before && beat->has_owned && place_set_holds(&m->told, &q->said_owned);
}

static void check_refusal(struct world *world, const struct ask *ask, const struct seen_assignee *m)
{
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	const struct question *q = question_of(ask);
	struct assignee_world *w = &world->groups.assignees;

	switch ((unsigned)ask->command.outcome) {
	case OUTCOME_NO_MEMBER:
		CHECK(world, !q->was_in && beat->epoch != CONSUMER_JOINS, "%s was said not to be in", m->id);
		w->gone++;
		return;
	case OUTCOME_FENCED:
		CHECK(world, q->was_held, "%s was fenced, and has its instance", m->id);
		return;
	case OUTCOME_MEMBER_EPOCH:
		CHECK(world, q->was_in && beat->epoch > 0 && !must_be_believed(m, beat, q), "%s was fenced at epoch %d", m->id,
		      beat->epoch);
		w->stale++;
		return;
	case OUTCOME_UNRELEASED:
		CHECK(world, beat->epoch == CONSUMER_JOINS && q->was_held && !q->was_away, "%s may have its instance", m->id);
		w->unreleased++;
		return;
	case OUTCOME_NOT_FOUND:
		CHECK(world, q->was_count == 0 && group_of_name(beat->group) != GROUP_ASSIGNED,
		      "%s was said to be in a group of the classic protocol", m->id);
		return;
	case OUTCOME_FULL:
		CHECK(world, !q->was_in && !q->was_held && q->was_count == GROUP_MEMBERS_MOST, "%s found a group full", m->id);
		return;
	case OUTCOME_REGEX:
		CHECK(world, !assignee_regex_is_sane(beat->regex), "%s: a regular expression was refused", m->id);
		return;
	default:
		CHECK(world, ask->command.outcome == OUTCOME_ASSIGNOR && slice_eq(beat->assignor, SLICE("best")),
		      "%s came to outcome %d", m->id, (int)ask->command.outcome);
	}
}

/* --- believed --- */

static void check_believed(struct world *world, const struct consumer_beat *beat, const struct question *q,
			   const struct seen_assignee *m)
{
	uint32_t epoch = (uint32_t)beat->epoch;

	CHECK(world, assignee_regex_is_sane(beat->regex) && !slice_eq(beat->assignor, SLICE("best")), "%s: nonsense was taken",
	      m->id);
	CHECK(world, !q->was_held || (beat->epoch == CONSUMER_JOINS && q->was_away), "%s was believed, and is fenced", m->id);
	if (beat->epoch == CONSUMER_JOINS)
		return;
	CHECK(world, q->was_in && !m->away, "%s was believed, and is not in", m->id);
	CHECK(world, m->unsure || epoch == m->epoch || epoch == m->before, "%s was believed at epoch %d, it was told %u", m->id,
	      beat->epoch, m->epoch);
	CHECK(world, m->unsure || epoch == m->epoch || (beat->has_owned && place_set_holds(&m->told, &q->said_owned)),
	      "%s was believed at the epoch before, and owns what it was not told", m->id);
}

/* A new one is told an epoch that nobody there was told before. */
static void check_epoch(struct world *world, const struct question *q, const struct seen_assignee *m,
			const struct model_group *group, uint32_t epoch)
{
	CHECK(world, epoch >= m->epoch || !q->was_in, "%s was told epoch %u, and %u before", m->id, epoch, m->epoch);
	CHECK(world, group->generation == group->assignment_epoch && epoch <= group->generation,
	      "group %s is at epoch %" PRIu64 ", what they are to have is of %" PRIu64, group->id, group->generation,
	      group->assignment_epoch);
	for (size_t i = 0; i < group->assignee_count && !q->was_in && !q->was_held; i++) {
		const struct seen_assignee *other = assignee_seen(world, m->group, slice_str(group->assignees[i]->id));

		CHECK(world, other == m || other->epoch < epoch, "%s is new, and is told epoch %u as %s was", m->id, epoch,
		      other->id);
	}
}

static void check_told(struct world *world, const struct seen_assignee *m, const struct model_group *group,
		       const struct place_set *told)
{
	const struct model_assignee *is = model_assignee(group, slice_str(m->id));

	/* Before it gives up what it was told to, nothing else is taken from it. */
	for (size_t i = 0; i < told->count && is->epoch == group->assignment_epoch; i++) {
		const struct model_topic *topic = world->model.topics.at[told->at[i].topic];

		CHECK(world, topic && topic->partition_count > told->at[i].partition && model_assignee_follows(is, topic),
		      "%s has what it does not subscribe to", m->id);
	}
}

/* When it got each: it may commit what it has had since an epoch by that one. */
static void set_since(struct seen_assignee *m, struct place_set *told, uint32_t epoch)
{
	const struct place_set *before[] = {&m->told, &m->pending};

	for (size_t i = 0; i < told->count; i++) {
		told->since[i] = epoch;
		for (unsigned s = 0; s < ARRAY_COUNT(before); s++) {
			for (size_t n = 0; n < before[s]->count; n++) {
				if (place_order(before[s]->at[n], told->at[i]) == 0)
					told->since[i] = before[s]->since[n];
			}
		}
	}
}

static void add_missing(struct place_set *to, const struct place_set *from, const struct place_set *but)
{
	for (size_t i = 0; i < from->count; i++) {
		if (!place_set_has(but, from->at[i]))
			place_set_add(to, from->at[i], from->since[i]);
	}
}

static void is_told(struct world *world, struct seen_assignee *m, struct place_set *told, uint32_t epoch, bool joins)
{
	struct place_set lost = {0}, pending = {0};

	set_since(m, told, epoch);
	add_missing(&lost, &m->told, told);
	if (epoch == m->epoch && !joins) {
		/* Of a topic that is gone it is not told, whether it has given up the rest or not. */
		add_missing(&pending, &lost, told);
		if (living(world, &lost).count == 0)
			add_missing(&pending, &m->pending, told);
		if (lost.count)
			m->moving_since_ms = world->now_ms;
		if (lost.count && (!m->moving_ms || living(world, &lost).count))
			m->moving_ms = world->now_ms;
	}
	if (!pending.count)
		m->moving_ms = 0;
	world->groups.assignees.moves += lost.count > 0 || told->count > m->told.count;
	world->groups.assignees.given_up += m->pending.count && !pending.count;
	m->pending = pending;
	m->told = *told;
}

/* What it was not told of before, it learns now. */
static void is_sure(const struct world *world, struct seen_assignee *m, const struct model_assignee *is)
{
	m->before = (uint32_t)is->previous_epoch;
	m->told = is->assigned;
	m->pending = is->revoking;
	if (!m->pending.count)
		m->moving_ms = 0;
	else if (!m->moving_ms || m->moving_ms > m->unsure_ms)
		m->moving_ms = m->unsure_ms;
	m->moving_since_ms = world->now_ms;
}

static void believed(struct world *world, struct ask *ask)
{
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	const struct consumers_view *view = ask->command.out.consumers;
	const struct model_group *group = group_named(world, beat->group);
	struct question *q = question_of(ask);
	struct seen_assignee *m;
	struct place_set told, before;

	CHECK(world, view && view->count == 1 && (!q->member.len || slice_eq(view->at[0].id, q->member)),
	      "a beat is answered to another");
	CHECK(world, model_assignee(group, view->at[0].id), "%.*s is told that it is in, and is not", (int)view->at[0].id.len,
	      view->at[0].id.ptr);
	m = assignee_seen(world, group_of_name(beat->group), view->at[0].id);
	q->group_number = group->number;
	check_believed(world, beat, q, m);
	check_epoch(world, q, m, group, view->at[0].epoch);
	told = assignee_places(world, &view->at[0].assigned);
	if (!q->was_in && !q->was_held) /* it is new, whatever it was told before a crash */
		m->told = m->pending = (struct place_set){0};
	before = living(world, &m->told);
	check_told(world, m, group, &told);
	CHECK(world,
	      view->has_assigned || m->unsure ||
		      (place_set_holds(&told, &before) && place_set_holds(&before, &told) && beat->epoch == (int32_t)m->epoch),
	      "%s has something else, and was not told", m->id);
	if (!view->has_assigned)
		told = m->told;
	world_trace(world, "%s is told epoch %u, %zu partitions%s", m->id, view->at[0].epoch, told.count,
		    view->has_assigned ? "" : ", as before");
	m->owns = q->may_own;
	for (size_t i = 0; i < told.count; i++)
		place_set_add(&m->owns, told.at[i], 0);
	is_told(world, m, &told, view->at[0].epoch, beat->epoch == CONSUMER_JOINS);
	m->knows = view->at[0].epoch == m->epoch && (m->knows || beat->epoch == (int32_t)m->epoch);
	if (view->at[0].epoch != m->epoch)
		m->before = beat->epoch > 0 ? (uint32_t)beat->epoch : m->epoch;
	m->epoch = view->at[0].epoch;
	if (m->unsure)
		is_sure(world, m, model_assignee(group, slice_str(m->id)));
	m->unsure = m->away = false;
	if (beat->rebalance_ms >= 0)
		m->rebalance_ms = (uint64_t)beat->rebalance_ms;
	m->heard_ms = m->words_ms = world->now_ms;
	assignees_check_owners(world, m->group);
	world->groups.assignees.joins += beat->epoch == CONSUMER_JOINS;
	world->groups.assignees.beats += beat->epoch != CONSUMER_JOINS;
}

static void went(struct world *world, const struct ask *ask, struct seen_assignee *m)
{
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	const struct model_assignee *is = model_assignee(group_named(world, beat->group), beat->member);

	CHECK(world, question_of(ask)->was_in, "%s left, and was not in", m->id);
	CHECK(world, beat->epoch == CONSUMER_PAUSES ? is && is->state == HOLDING_AWAY : !is, "%s left, and is in, or is not",
	      m->id);
	m->away = beat->epoch == CONSUMER_PAUSES;
	m->pending = (struct place_set){0};
	m->moving_ms = 0;
	m->words_ms = m->heard_ms = world->now_ms;
}

void assignee_applied(struct world *world, struct ask *ask)
{
	const struct consumer_beat *beat = &ask->command.in.consumer_beat.beat;
	struct question *q = question_of(ask);
	struct seen_assignee *m = q->member.len ? assignee_seen(world, group_of_name(beat->group), q->member) : NULL;
	enum outcome outcome = ask->command.outcome;

	if (topic_excused(world, outcome)) {
		if (m) {
			m->unsure_ms = m->unsure ? m->unsure_ms : world->now_ms;
			m->unsure = true;
			m->words_ms = world->now_ms;
		}
		return;
	}
	if (outcome == OUTCOME_OK && beat->epoch >= 0)
		believed(world, ask);
	else if (outcome == OUTCOME_OK)
		went(world, ask, m);
	else if (m)
		check_refusal(world, ask, m);
	if (m && outcome != OUTCOME_OK)
		m->words_ms = world->now_ms;
}

/* --- offsets --- */

static bool has_since(const struct place_set *set, struct place place, int32_t epoch)
{
	for (size_t i = 0; i < set->count; i++) {
		if (place_order(set->at[i], place) == 0)
			return set->since[i] <= (uint32_t)epoch;
	}
	return false;
}

/* All that it would commit it has had since then. */
static bool had_all(struct world *world, const struct group_commit_in *in, const struct place_set *one,
		    const struct place_set *two)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct topic_ref ref = {.name = in->places[i].topic};
		const struct model_topic *topic = model_topic(&world->model.topics, &ref);
		struct place place = {topic ? topic->number : 0, in->places[i].partition};

		if (!topic || (!has_since(one, place, in->who.generation) && !has_since(two, place, in->who.generation)))
			return false;
	}
	return in->who.generation > 0;
}

void assignee_check_committer(struct world *world, const struct group_commit_in *in, enum outcome outcome)
{
	const struct model_assignee *is = model_assignee(group_named(world, in->who.group), in->who.member);
	const struct seen_assignee *m = is ? assignee_seen(world, group_of_name(in->who.group), in->who.member) : NULL;
	uint32_t epoch = (uint32_t)in->who.generation;

	if (outcome == OUTCOME_FULL)
		return;
	outcome = outcome == OUTCOME_GENERATION ? OUTCOME_STALE : outcome; /* as it is told in a transaction */
	world->groups.assignees.committed += outcome == OUTCOME_OK;
	world->groups.assignees.refused += outcome != OUTCOME_OK;
	if (outcome == OUTCOME_NO_MEMBER) {
		CHECK(world, !is, "%s may not commit, and is in", m->id);
	} else if (outcome == OUTCOME_STALE) {
		CHECK(world, is, "somebody who is not in was told that his epoch is over");
		CHECK(world, m->unsure || m->away || epoch != m->epoch, "%s may not commit at epoch %u", m->id, epoch);
		CHECK(world,
		      m->unsure || m->away || epoch > m->epoch || epoch + SINCE_KNOWN < m->epoch ||
			      !had_all(world, in, &m->told, &m->pending),
		      "%s may not commit at epoch %u what it has had since then", m->id, epoch);
	} else {
		CHECK(world, outcome == OUTCOME_OK, "a commit came to outcome %d", (int)outcome);
		CHECK(world, is, "somebody who is not in has committed");
		CHECK(world, !m->away && epoch <= is->epoch, "%s has committed at epoch %u, and is at %u", m->id, epoch,
		      m->epoch);
		CHECK(world,
		      (m->unsure ? epoch == is->epoch : epoch == m->epoch) ||
			      (m->unsure ? had_all(world, in, &is->assigned, &is->revoking)
					 : had_all(world, in, &m->told, &m->pending)),
		      "%s has committed at epoch %u, and is at %u", m->id, epoch, m->epoch);
	}
}

/* Offsets are told at the present epoch alone; to who says nothing of himself, always. */
void assignee_check_reader(struct world *world, const struct ask *ask)
{
	const struct group_offsets_in *in = &ask->command.in.group_offsets;
	const struct model_group *group = group_named(world, in->group);
	const struct model_assignee *is = model_assignee(group, in->member);
	const struct seen_assignee *m = is ? assignee_seen(world, group_of_name(in->group), in->member) : NULL;
	bool is_fresh = is && (uint32_t)in->epoch == (m->unsure ? is->epoch : m->epoch) && !m->away;

	if (!group || !group->assignee_count || (!in->member.len && in->epoch <= 0))
		CHECK(world, ask->command.outcome == OUTCOME_OK, "offsets came to outcome %d", (int)ask->command.outcome);
	else
		CHECK(world,
		      ask->command.outcome == (!is        ? OUTCOME_NO_MEMBER
					       : is_fresh ? OUTCOME_OK
							  : OUTCOME_STALE) ||
			      (is && m->unsure),
		      "offsets at epoch %d came to outcome %d", in->epoch, (int)ask->command.outcome);
}

/* --- who looks --- */

void assignee_check_view(struct world *world, const struct ask *ask)
{
	const struct consumers_view *view = ask->command.out.consumers;
	const struct model_group *group = group_named(world, ask->command.in.group.group);

	CHECK(world, view && view->count == group->assignee_count, "group %s: another number of members", group->id);
	for (uint32_t i = 0; i < view->count; i++) {
		const struct model_assignee *is = model_assignee(group, view->at[i].id);
		const struct seen_assignee *m =
			is ? assignee_seen(world, group_of_name(slice_str(group->id)), view->at[i].id) : NULL;
		struct place_set told = assignee_places(world, &view->at[i].assigned);

		CHECK(world, is, "group %s: somebody is told of who is not in", group->id);
		CHECK(world, m->unsure || m->away == view->at[i].is_away, "%s is away, or is not", m->id);
		CHECK(world, m->unsure || m->away || (m->epoch == view->at[i].epoch && place_set_holds(&m->told, &told)),
		      "%s is told of otherwise than it was told", m->id);
	}
}
