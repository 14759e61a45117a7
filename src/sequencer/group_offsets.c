/* Commands about what groups have come to, and about groups as a whole. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "base/wire.h"

#include <stdlib.h>

static void answer(struct sequencer *s, struct command *c, enum outcome outcome)
{
	reply(s, c, outcome, s->appended_end);
}

/* --- commit and forget --- */

/* Places on their way into events: as many as one can hold go in each. */
struct telling {
	struct sequencer *s;
	struct group *group;
	enum group_event_type type;
	struct buf items;
	struct slice topic;
};

static enum outcome tell(struct telling *t)
{
	struct group_event e = {.type = t->type, .offsets = buf_slice(&t->items)};
	enum outcome outcome = OUTCOME_OK;

	if (t->items.failed)
		outcome = OUTCOME_NO_MEMORY;
	else if (t->items.len)
		outcome = group_emit(t->s, &e, t->group);
	buf_clear(&t->items);
	t->topic = (struct slice){0};
	return outcome;
}

static enum outcome tell_of(struct telling *t, const struct offset_item *item)
{
	enum outcome outcome = t->items.len >= GROUP_OFFSETS_BYTES ? tell(t) : OUTCOME_OK;

	offset_put(&t->items, item, &t->topic);
	return outcome;
}

static enum outcome tell_places(struct telling *t, const struct group_commit_in *in)
{
	enum outcome outcome = OUTCOME_OK;

	for (size_t i = 0; i < in->count && outcome == OUTCOME_OK; i++) {
		const struct group_place *place = &in->places[i];
		struct offset_item item = {.topic = place->topic, .partition = place->partition, .leader_epoch = -1};

		if (place->outcome != OUTCOME_OK)
			continue;
		if (t->type == GROUP_COMMITTED) {
			item.offset = place->offset;
			item.leader_epoch = place->leader_epoch < 0 ? -1 : place->leader_epoch;
			item.metadata = place->metadata;
		}
		outcome = tell_of(t, &item);
	}
	if (outcome == OUTCOME_OK)
		outcome = tell(t);
	buf_deinit(&t->items);
	return outcome;
}

/* Judges each; how many of them may be. */
static uint64_t judge_places(const struct sequencer *s, const struct group_commit_in *in)
{
	const struct topic *topic = NULL;
	uint64_t taken = 0;

	for (size_t i = 0; i < in->count; i++) {
		struct group_place *place = &in->places[i];

		if (i == 0 || !slice_eq(place->topic, place[-1].topic))
			topic = topic_find(&s->topics, place->topic);
		place->outcome = OUTCOME_OK;
		if (place->metadata.len > s->config.group_metadata_max)
			place->outcome = OUTCOME_TOO_LARGE;
		else if (place->offset > INT64_MAX)
			place->outcome = OUTCOME_RANGE;
		else if (!partition_find(s, topic, place->partition))
			place->outcome = OUTCOME_NOT_FOUND;
		else
			taken++;
	}
	return taken;
}

/* Whether the group has room for those that are new to it; each is looked up only when that is not plain. */
static bool has_room(const struct sequencer *s, const struct group *group, const struct group_commit_in *in, uint64_t taken)
{
	uint64_t there = group ? group->offset_count : 0, fresh = 0;

	if (there + taken <= s->config.group_offsets_max)
		return true;
	for (size_t i = 0; i < in->count; i++) {
		const struct group_place *place = &in->places[i];

		fresh += place->outcome == OUTCOME_OK &&
			 (!group || !offset_find(&s->groups, group, place->topic, place->partition));
	}
	return fresh == 0 || there + fresh <= s->config.group_offsets_max;
}

/* By an epoch that is over only what the member has had since then: nobody else can have committed it meanwhile. It may not know
 * of its present one yet. */
static enum outcome judge_consumer(const struct sequencer *s, const struct group *group, const struct group_commit_in *in)
{
	const struct consumer *later;
	enum outcome outcome = consumer_may_commit(&s->groups, group, &in->who, &later);

	for (size_t i = 0; later && i < in->count; i++) {
		const struct topic *topic = topic_find(&s->topics, in->places[i].topic);

		if (!topic || !consumer_had(later, (struct place){topic->number, in->places[i].partition}, in->who.generation))
			return OUTCOME_STALE;
	}
	return outcome;
}

enum outcome group_commit_judge(struct sequencer *s, struct group_commit_in *in, struct group *group, bool *ret_any)
{
	enum outcome outcome = OUTCOME_OK;
	uint64_t taken;

	in->who.is_known = member_id_known(s, in->who.group, in->who.member);
	if (!in->who.group.len || in->who.group.len > GROUP_ID_MAX)
		return OUTCOME_NAME;
	if (group && group->consumer_count)
		outcome = judge_consumer(s, group, in);
	else if (group)
		outcome = group_may_commit(&s->groups, group, &in->who, s->now_ms);
	else if (in->who.generation >= 0)
		outcome = OUTCOME_GENERATION;
	if (outcome != OUTCOME_OK)
		return outcome;
	taken = judge_places(s, in);
	*ret_any = taken > 0;
	return has_room(s, group, in, taken) ? OUTCOME_OK : OUTCOME_FULL;
}

static enum outcome commit(struct sequencer *s, struct group_commit_in *in, struct group **group)
{
	bool any = false;
	enum outcome outcome = group_commit_judge(s, in, *group, &any);

	if (outcome != OUTCOME_OK || (!*group && !any))
		return outcome;
	outcome = group_get(s, in->who.group, group);
	if (outcome != OUTCOME_OK)
		return outcome;
	return tell_places(&(struct telling){.s = s, .group = *group, .type = GROUP_COMMITTED}, in);
}

void command_group_commit(struct sequencer *s, struct command *c)
{
	struct group_commit_in *in = &c->in.group_commit;
	struct group *group = group_find(&s->groups, in->who.group);
	enum outcome outcome = commit(s, in, &group);

	if (group)
		group_settle(s, group); /* it is used */
	answer(s, c, outcome);
}

static enum outcome tell_last(struct telling *t)
{
	enum outcome outcome = tell(t);

	group_settle(t->s, t->group); /* it is used */
	return outcome;
}

enum outcome group_commit_txn(struct sequencer *s, struct slice offsets)
{
	struct telling t = {.s = s, .type = GROUP_COMMITTED};
	enum outcome outcome = OUTCOME_OK;
	struct txn_offset one;

	while (outcome == OUTCOME_OK && txn_offset_get(&offsets, &one) == 1) {
		struct offset_item item = {.topic = one.topic,
					   .partition = (uint32_t)one.partition,
					   .offset = one.offset,
					   .leader_epoch = (int32_t)one.leader_epoch - 1,
					   .metadata = one.metadata};

		if (!partition_find(s, topic_find(&s->topics, one.topic), item.partition))
			continue; /* gone since */
		if (t.group && !slice_eq(group_id(t.group), one.group))
			outcome = tell_last(&t);
		if (outcome == OUTCOME_OK)
			outcome = group_get(s, one.group, &t.group);
		if (outcome == OUTCOME_OK)
			outcome = tell_of(&t, &item);
	}
	if (outcome == OUTCOME_OK && t.group)
		outcome = tell_last(&t);
	buf_deinit(&t.items);
	return outcome;
}

static uint64_t big_endian(struct wire_reader *r, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | wire_u8(r);
	return value;
}

/* Places by their topics, so that what members follow is found among them, however many either are. */
struct topics_index {
	struct group_place **at;
	size_t count;
};

static int topic_order(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

static int by_topic(const void *a, const void *b)
{
	return topic_order((*(struct group_place *const *)a)->topic, (*(struct group_place *const *)b)->topic);
}

static void mark_followed(const struct topics_index *index, struct slice topic)
{
	size_t from = 0, to = index->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (topic_order(index->at[middle]->topic, topic) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < index->count && slice_eq(index->at[from]->topic, topic); from++) {
		if (index->at[from]->outcome == OUTCOME_BUSY)
			return; /* marked before, and so are the others */
		index->at[from]->outcome = OUTCOME_BUSY;
	}
}

/* What a member of Kafka's "consumer" protocol follows: its metadata begins with a version and the names. */
static void mark_of_member(const struct topics_index *index, const struct group *group, const struct member *member)
{
	struct slice metadata, topic;
	struct wire_reader r;

	if (!member_protocol(member, group->protocol, &metadata))
		return;
	r = wire_reader_of(metadata);
	big_endian(&r, 2);
	for (uint64_t count = big_endian(&r, 4); count > 0 && !r.failed; count--) {
		topic = wire_bytes(&r, big_endian(&r, 2));
		if (!r.failed)
			mark_followed(index, topic);
	}
}

/* By a regular expression, too: then some of it is to be somebody's. */
static void mark_of_consumer(const struct sequencer *s, const struct topics_index *index, const struct consumer *consumer)
{
	struct wire_reader r = wire_reader_of(consumer->said->topics);

	while (r.at < r.end)
		mark_followed(index, wire_string(&r));
	for (uint32_t i = 0; i < consumer->target.count; i++) {
		uint64_t number = consumer->target.at[i].topic;
		const struct topic *topic =
			i && consumer->target.at[i - 1].topic == number ? NULL : topic_find_number(&s->topics, number);

		if (topic)
			mark_followed(index, topic_name(topic));
	}
}

/* BUSY: members follow the topic; OK: there is such an offset. False: no memory. */
static bool judge_forgotten(const struct sequencer *s, const struct group *group, const struct group_commit_in *in)
{
	bool unknown = group->member_count && !slice_eq(group->protocol_type, SLICE("consumer"));
	struct topics_index index = {mem_alloc((in->count + 1) * sizeof(struct group_place *)), in->count};

	if (!index.at)
		return false;
	for (size_t i = 0; i < in->count; i++) {
		struct group_place *place = index.at[i] = &in->places[i];

		place->outcome = OUTCOME_BUSY; /* nobody knows what they follow */
		if (!unknown)
			place->outcome =
				offset_find(&s->groups, group, place->topic, place->partition) ? OUTCOME_OK : OUTCOME_NOT_FOUND;
	}
	qsort(index.at, index.count, sizeof(struct group_place *), by_topic);
	list_each (node, &group->consumers)
		mark_of_consumer(s, &index, container_of(node, struct consumer, peers));
	list_each (node, &group->members)
		mark_of_member(&index, group, container_of(node, struct member, peers));
	mem_free(index.at);
	return true;
}

void command_group_forget(struct sequencer *s, struct command *c)
{
	struct group_commit_in *in = &c->in.group_commit;
	struct group *group = group_find(&s->groups, in->who.group);
	enum outcome outcome = OUTCOME_NOT_FOUND;

	if (group) {
		outcome = OUTCOME_NO_MEMORY;
		if (judge_forgotten(s, group, in))
			outcome = tell_places(&(struct telling){.s = s, .group = group, .type = GROUP_FORGOT}, in);
		group_settle(s, group);
	}
	answer(s, c, outcome);
}

/* --- looking --- */

void command_group_offsets(struct sequencer *s, struct command *c)
{
	const struct group_offsets_in *in = &c->in.group_offsets;
	const struct group *group = group_find(&s->groups, in->group);
	enum outcome outcome = OUTCOME_OK;

	if (group && group->consumer_count && (in->member.len || in->epoch > 0))
		outcome = consumer_may_commit(&s->groups, group,
					      &(struct group_who){.member = in->member, .generation = in->epoch}, NULL);
	if (outcome == OUTCOME_OK) {
		c->out.offsets = group_offsets_view_new(s, group, in);
		outcome = c->out.offsets && views_take(s, c, c->out.offsets->bytes) ? OUTCOME_OK : OUTCOME_NO_MEMORY;
	}
	if (outcome == OUTCOME_NO_MEMORY)
		command_answer_deinit(c);
	answer(s, c, outcome);
}

static bool got_all(struct sequencer *s, struct command *c)
{
	if (!c->out.group || !c->out.consumers || (c->in.group.offsets && !c->out.offsets))
		return false;
	return views_take(s, c, c->out.group->bytes + (c->out.offsets ? c->out.offsets->bytes : 0));
}

void command_group_get(struct sequencer *s, struct command *c)
{
	const struct group *group = group_find(&s->groups, c->in.group.group);
	enum outcome outcome = OUTCOME_NOT_FOUND;

	if (group) {
		c->out.group = group_view_new(group, NULL, true);
		c->out.consumers = consumers_view_new(s, group);
		if (c->in.group.offsets)
			c->out.offsets = group_offsets_view_new(s, group, &(struct group_offsets_in){0});
		outcome = got_all(s, c) ? OUTCOME_OK : OUTCOME_NO_MEMORY;
	}
	if (outcome == OUTCOME_NO_MEMORY)
		command_answer_deinit(c);
	answer(s, c, outcome);
}

void command_groups(struct sequencer *s, struct command *c)
{
	const struct groups_in *in = &c->in.groups;
	uint64_t limit = in->limit && in->limit < s->groups.count ? in->limit : s->groups.count;

	c->out.groups = mem_zalloc((limit + 1) * sizeof(*c->out.groups));
	if (!c->out.groups) {
		answer(s, c, OUTCOME_NO_MEMORY);
		return;
	}
	list_each (node, &s->groups.all) {
		const struct group *group = container_of(node, struct group, peers);
		struct group_view *view;

		if (group->number <= in->after)
			continue;
		if (c->out.group_count == limit) {
			c->out.next = c->out.groups[limit - 1]->number;
			break;
		}
		view = group_view_new(group, NULL, false);
		if (!view) {
			command_answer_deinit(c);
			answer(s, c, OUTCOME_NO_MEMORY);
			return;
		}
		c->out.groups[c->out.group_count++] = view;
	}
	answer(s, c, OUTCOME_OK);
}

void command_group_delete(struct sequencer *s, struct command *c)
{
	struct group *group = group_find(&s->groups, c->in.group.group);
	enum outcome outcome = OUTCOME_NOT_FOUND;

	if (group && (group->state != GROUP_EMPTY || group->awaited || group->consumer_count))
		outcome = OUTCOME_BUSY;
	else if (group)
		outcome = group_emit(s, &(struct group_event){.type = GROUP_DELETED}, group);
	answer(s, c, outcome);
}
