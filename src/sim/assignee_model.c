/* Events about consumers to whom the server assigns, folded naively; and what must hold of them in whatever order they come:
 *
 *  1. the group's epoch goes up by one with whoever comes, goes, or subscribes to something else, and by nothing else but topics;
 *  2. an assignment gives each partition of the topics that are subscribed to to one member, who subscribes to it;
 *  3. what one holds, to be given up or not, no other holds; and it gets only what it is to have;
 *  4. a member's own epoch goes up to the assignment's, or stays. */
#include "sim/assignee_model.h"

#include "base/panic.h"
#include "base/wire.h"
#include "sim/model.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

/* --- sets --- */

static size_t place_in(const struct place_set *set, struct place place)
{
	size_t i = 0;

	while (i < set->count && place_order(set->at[i], place) != 0)
		i++;
	return i;
}

bool place_set_has(const struct place_set *set, struct place place)
{
	return place_in(set, place) < set->count;
}

void place_set_add(struct place_set *set, struct place place, uint32_t since)
{
	if (place_set_has(set, place))
		return;
	ENSURE(set->count < ASSIGNEE_PLACES_MAX);
	set->since[set->count] = since;
	set->at[set->count++] = place;
}

void place_set_drop(struct place_set *set, struct place place)
{
	size_t i = place_in(set, place);

	if (i == set->count)
		return;
	set->count--;
	set->at[i] = set->at[set->count];
	set->since[i] = set->since[set->count];
}

bool place_set_meets(const struct place_set *a, const struct place_set *b)
{
	for (size_t i = 0; i < a->count; i++) {
		if (place_set_has(b, a->at[i]))
			return true;
	}
	return false;
}

bool place_set_holds(const struct place_set *all, const struct place_set *some)
{
	for (size_t i = 0; i < some->count; i++) {
		if (!place_set_has(all, some->at[i]))
			return false;
	}
	return true;
}

static bool set_read(struct place_set *set, struct slice bytes)
{
	struct place places[ASSIGNEE_PLACES_MAX];
	uint32_t count = 0;

	if (places_measure(bytes, &count) || count > ASSIGNEE_PLACES_MAX)
		return false;
	places_get(bytes, places);
	*set = (struct place_set){0};
	for (uint32_t i = 0; i < count; i++)
		place_set_add(set, places[i], 0);
	return true;
}

/* --- who is in --- */

struct model_assignee *model_assignee(const struct model_group *group, struct slice id)
{
	for (size_t i = 0; group && i < group->assignee_count; i++) {
		if (slice_eq(slice_str(group->assignees[i]->id), id))
			return group->assignees[i];
	}
	return NULL;
}

struct model_assignee *model_assignee_instance(const struct model_group *group, struct slice instance)
{
	for (size_t i = 0; group && instance.len && i < group->assignee_count; i++) {
		if (slice_eq(slice_str(group->assignees[i]->instance), instance))
			return group->assignees[i];
	}
	return NULL;
}

static void keep(char *to, size_t size, struct slice s)
{
	ENSURE(s.len < size);
	memset(to, 0, size);
	if (s.len)
		memcpy(to, s.ptr, s.len);
}

static uint64_t rest_of(const struct group_event *e)
{
	return model_string(e->rack) ^ 3 * model_string(e->client_id) ^ 5 * model_string(e->client_host);
}

static void say(struct model_assignee *m, const struct group_event *e)
{
	keep(m->id, sizeof(m->id), e->member);
	keep(m->instance, sizeof(m->instance), e->instance);
	keep(m->regex, sizeof(m->regex), e->regex);
	keep(m->assignor, sizeof(m->assignor), e->assignor);
	keep(m->topics, sizeof(m->topics), e->topics);
	m->topics_len = e->topics.len;
	m->rest = rest_of(e);
	m->rebalance_ms = e->rebalance_ms;
}

static bool says_same(const struct model_assignee *m, const struct group_event *e)
{
	return slice_eq(slice_from(m->topics, m->topics_len), e->topics) && slice_eq(slice_str(m->regex), e->regex) &&
	       slice_eq(slice_str(m->assignor), e->assignor);
}

/* Of the classic protocol nothing holds any more. */
static void becomes_assigned(struct model_group *group)
{
	if (group->is_assigned)
		return;
	group->is_assigned = true;
	group->members = group->session_ms = group->assignment_epoch = 0;
	group->protocol_type[0] = group->protocol[0] = '\0';
	keep(group->assignor, sizeof(group->assignor), SLICE("uniform"));
}

static const char *came(struct model_group *group, const struct group_event *e)
{
	struct model_assignee *m = model_assignee(group, e->member);
	bool is_anew;

	if (!m)
		m = model_assignee_instance(group, e->instance);
	if (m && !slice_eq(slice_str(m->id), e->member) && m->state != HOLDING_AWAY)
		return "an instance was taken over that is there";
	is_anew = !m || !says_same(m, e);
	if (e->generation != group->generation + is_anew)
		return is_anew ? "somebody came, or wants something else, and the epoch did not go up by one"
			       : "the epoch went up, and nothing has changed";
	if (!m) {
		ENSURE(group->assignee_count < MODEL_ASSIGNEES_MAX);
		m = group->assignees[group->assignee_count++] = calloc(1, sizeof(*m));
		ENSURE(m);
	}
	say(m, e);
	becomes_assigned(group);
	group->generation = e->generation;
	return NULL;
}

static const char *went(struct model_group *group, const struct group_event *e)
{
	size_t i = 0;

	while (i < group->assignee_count && !slice_eq(slice_str(group->assignees[i]->id), e->member))
		i++;
	if (i == group->assignee_count)
		return "somebody left who was not there";
	if (e->generation != group->generation + 1)
		return "somebody left, and the epoch did not go up by one";
	group->generation = e->generation;
	free(group->assignees[i]);
	group->assignee_count--;
	memmove(&group->assignees[i], &group->assignees[i + 1], (group->assignee_count - i) * sizeof(group->assignees[0]));
	return NULL;
}

/* --- who is to have what --- */

static bool matches(const char *expression, const char *name)
{
	char whole[32];
	regex_t regex;
	bool is;

	if (!expression[0])
		return false;
	snprintf(whole, sizeof(whole), "^(%s)$", expression);
	ENSURE(regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB) == 0);
	is = regexec(&regex, name, 0, NULL, 0) == 0;
	regfree(&regex);
	return is;
}

bool model_assignee_names(const struct model_assignee *m, struct slice topic)
{
	struct wire_reader r = wire_reader_of(slice_from(m->topics, m->topics_len));

	while (r.at < r.end) {
		if (slice_eq(wire_string(&r), topic))
			return true;
	}
	return false;
}

bool model_assignee_follows(const struct model_assignee *m, const struct model_topic *topic)
{
	return model_assignee_names(m, slice_str(topic->name)) || matches(m->regex, topic->name);
}

static const struct model_topic *topic_numbered(const struct model *model, uint64_t number)
{
	const struct model_topic *topic = number < model->topics.cap ? model->topics.at[number] : NULL;

	return topic && !topic->deleted_end ? topic : NULL;
}

static const char *check_targets(const struct model *model, const struct model_group *group)
{
	size_t wanted = 0, had = 0;

	for (uint64_t n = 0; n < model->topics.cap; n++) {
		const struct model_topic *topic = topic_numbered(model, n);
		bool is_followed = false;

		for (size_t i = 0; i < group->assignee_count && topic && !is_followed; i++)
			is_followed = model_assignee_follows(group->assignees[i], topic);
		wanted += is_followed ? topic->partition_count : 0;
	}
	for (size_t i = 0; i < group->assignee_count; i++) {
		const struct place_set *target = &group->assignees[i]->target;

		had += target->count;
		for (size_t n = 0; n < target->count; n++) {
			const struct model_topic *topic = topic_numbered(model, target->at[n].topic);

			if (!topic || target->at[n].partition >= topic->partition_count ||
			    !model_assignee_follows(group->assignees[i], topic))
				return "somebody is to have what he did not subscribe to, or there is not";
		}
		for (size_t n = 0; n < i; n++) {
			if (place_set_meets(target, &group->assignees[n]->target))
				return "two are to have the same";
		}
	}
	return had == wanted ? NULL : "a partition that is subscribed to is to be nobody's";
}

static const char *targets_told(struct model_group *group, const struct group_event *e)
{
	struct slice rest = e->targets, id, places;

	if (group->generation == group->assignment_epoch)
		return "another assignment under the epoch of the one before";
	while (rest.len) {
		struct model_assignee *m;

		if (target_get(&rest, &id, &places))
			return "a target that nobody can read";
		m = model_assignee(group, id);
		if (!m || !set_read(&m->target, places))
			return "a target of nobody";
	}
	return NULL;
}

static const char *epoch_told(const struct model *model, struct model_group *group, const struct group_event *e)
{
	bool is_assigned = e->assignment_epoch != group->assignment_epoch;

	if (e->generation != group->generation && (e->generation != group->generation + 1 || is_assigned))
		return "the epoch went anywhere";
	if (is_assigned && e->assignment_epoch != e->generation)
		return "the assignment has an epoch that is not the group's";
	becomes_assigned(group);
	group->generation = e->generation;
	group->assignment_epoch = e->assignment_epoch;
	keep(group->assignor, sizeof(group->assignor), e->assignor);
	return is_assigned ? check_targets(model, group) : NULL;
}

/* --- who has what --- */

static const char *check_held(const struct model_group *group, const struct model_assignee *m, const struct model_assignee *next)
{
	if (place_set_meets(&next->assigned, &next->revoking))
		return "something is to be given up, and is not";
	if ((next->revoking.count > 0) != (next->state == HOLDING_UNREVOKED))
		return "something is to be given up by somebody who is not to give up anything";
	if (next->epoch != m->epoch && (next->epoch != group->assignment_epoch || next->epoch < m->epoch))
		return "a member's epoch went anywhere";
	for (size_t i = 0; i < group->assignee_count; i++) {
		const struct model_assignee *other = group->assignees[i];

		if (other != m &&
		    (place_set_meets(&next->assigned, &other->assigned) || place_set_meets(&next->assigned, &other->revoking) ||
		     place_set_meets(&next->revoking, &other->assigned) || place_set_meets(&next->revoking, &other->revoking)))
			return "two hold the same";
	}
	for (size_t i = 0; i < next->assigned.count; i++) {
		if (!place_set_has(&m->assigned, next->assigned.at[i]) && !place_set_has(&m->target, next->assigned.at[i]))
			return "somebody got what he is not to have";
	}
	return NULL;
}

static uint32_t since_of(const struct model_assignee *m, struct place place, uint64_t epoch)
{
	const struct place_set *sets[] = {&m->assigned, &m->revoking};

	for (unsigned s = 0; s < ARRAY_COUNT(sets); s++) {
		size_t i = place_in(sets[s], place);

		if (i < sets[s]->count)
			return epoch - sets[s]->since[i] > UINT8_MAX ? (uint32_t)epoch - UINT8_MAX : sets[s]->since[i];
	}
	return (uint32_t)epoch;
}

static const char *held_told(struct model_group *group, const struct group_event *e)
{
	struct model_assignee *m = model_assignee(group, e->member), next;
	const char *wrong;

	if (!m)
		return "nobody holds something";
	next = *m;
	next.epoch = e->epoch;
	next.previous_epoch = e->previous_epoch;
	next.state = e->state;
	if (!set_read(&next.assigned, e->assigned) || !set_read(&next.revoking, e->revoking))
		return "places that nobody can read";
	wrong = check_held(group, m, &next);
	for (size_t i = 0; i < next.assigned.count; i++)
		next.assigned.since[i] = since_of(m, next.assigned.at[i], e->epoch);
	for (size_t i = 0; i < next.revoking.count; i++)
		next.revoking.since[i] = since_of(m, next.revoking.at[i], e->epoch);
	*m = next;
	return wrong;
}

const char *model_assignee_apply(struct model *model, struct model_group *group, const struct group_event *e)
{
	switch ((unsigned)e->type) {
	case GROUP_MEMBER:
		return came(group, e);
	case GROUP_LEFT:
		return went(group, e);
	case GROUP_TARGET:
		return targets_told(group, e);
	case GROUP_EPOCH:
		return epoch_told(model, group, e);
	case GROUP_HELD:
		return held_told(group, e);
	default:
		return "not an event of this world";
	}
}

/* --- against the core's state --- */

static void differ(struct group_comparison *c, const char *what, const char *id)
{
	if (!c->wrong[0])
		snprintf(c->wrong, sizeof(c->wrong), "group %s: %s of %s is not as it should be", c->group->id, what, id);
}

#define SAME(what, is)                                                                                                           \
	do {                                                                                                                     \
		if (!(is))                                                                                                       \
			differ(c, what, m->id);                                                                                  \
	} while (0)

static bool set_is(const struct place_set *set, struct slice bytes)
{
	struct place_set other;

	return set_read(&other, bytes) && other.count == set->count && place_set_holds(set, &other);
}

/* Since when it has each, by place, of both sets. */
static bool since_is(const struct model_assignee *m, const struct group_event *e)
{
	struct place places[2 * ASSIGNEE_PLACES_MAX];
	struct places all = {places, 0};

	for (size_t i = 0; i < m->assigned.count; i++)
		places[all.count++] = m->assigned.at[i];
	for (size_t i = 0; i < m->revoking.count; i++)
		places[all.count++] = m->revoking.at[i];
	places_sort(&all);
	for (uint32_t i = 0; i < all.count && i < e->since.len; i++) {
		if (m->epoch - since_of(m, all.at[i], m->epoch) != (uint8_t)e->since.ptr[i])
			return false;
	}
	return e->since.len == all.count;
}

static void compare_member(struct group_comparison *c, const struct group_event *e)
{
	const struct model_assignee *m;

	if (c->assignees == c->group->assignee_count) {
		differ(c, "how many there are", "all");
		return;
	}
	m = c->assignee = c->group->assignees[c->assignees++];
	SAME("the id", slice_eq(e->member, slice_str(m->id)));
	SAME("the instance", slice_eq(e->instance, slice_str(m->instance)));
	SAME("what is subscribed to", says_same(m, e));
	SAME("the rest of what was said", m->rest == rest_of(e) && m->rebalance_ms == e->rebalance_ms);
	SAME("the group's epoch", e->generation == c->group->generation);
}

void assignee_compare(struct group_comparison *c, const struct group_event *e)
{
	const struct model_assignee *m = c->assignee;
	struct slice targets = e->targets, id, places;

	if (!c->group)
		return;
	if (e->type == GROUP_MEMBER) {
		compare_member(c, e);
	} else if (e->type == GROUP_EPOCH) {
		c->epochs++;
		if (e->assignment_epoch != c->group->assignment_epoch || !slice_eq(e->assignor, slice_str(c->group->assignor)))
			differ(c, "the assignment", "all");
	} else if (m && e->type == GROUP_TARGET) {
		SAME("the target",
		     target_get(&targets, &id, &places) == 0 && slice_eq(id, slice_str(m->id)) && set_is(&m->target, places));
	} else if (m && e->type == GROUP_HELD) {
		SAME("the epoch", e->epoch == m->epoch && e->previous_epoch == m->previous_epoch);
		SAME("the state", e->state == m->state);
		SAME("what is held", set_is(&m->assigned, e->assigned) && set_is(&m->revoking, e->revoking));
		SAME("since when it is held", since_is(m, e));
	}
}
