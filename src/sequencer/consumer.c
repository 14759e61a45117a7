/* Consumers: what they ask, and what becomes of them in time.
 *
 * A beat is four steps, each of which is events, or none: what the member says; what all are to have, if that is not so any more;
 * what this one has from now on; that it is alive. Each event leaves a state that is sound; who is told of an error beats again,
 * and the steps that are done are not done twice.
 *
 * That topics were made, have grown or are gone is seen at the next beat of any member. */
#include "sequencer/sequencer_priv.h"

#include <errno.h>

enum { RETRY_MS = 1000, TARGETS_BYTES = 1 << 16 };

/* --- topics --- */

static struct group_topic told(const struct topic *topic)
{
	return (struct group_topic){topic->number, topic_name(topic), topic->partition_count};
}

static bool source_find(void *ctx, struct slice name, struct group_topic *ret_topic)
{
	const struct sequencer *s = ctx;
	const struct topic *topic = topic_find(&s->topics, name);

	if (topic)
		*ret_topic = told(topic);
	return topic;
}

static bool source_get(void *ctx, uint64_t number, struct group_topic *ret_topic)
{
	const struct sequencer *s = ctx;
	const struct topic *topic = topic_find_number(&s->topics, number);

	if (topic)
		*ret_topic = told(topic);
	return topic;
}

static bool source_next(void *ctx, uint64_t after, struct group_topic *ret_topic)
{
	const struct sequencer *s = ctx;
	const struct topic *topic = topic_find_number(&s->topics, after + 1);
	const struct list *node;

	if (topic) {
		*ret_topic = told(topic);
		return true;
	}
	topic = topic_find_number(&s->topics, after);
	for (node = topic ? topic->peers.next : s->topics.all.next; node != &s->topics.all; node = node->next) {
		topic = container_of(node, struct topic, peers);
		if (topic->number > after) {
			*ret_topic = told(topic);
			return true;
		}
	}
	return false;
}

/* --- a beat --- */

struct beating {
	struct sequencer *s;
	struct consumer_beat *beat;
	struct group *group;
	struct consumer *consumer; /* NULL: not in it yet */
	struct topic_source topics;
	struct arena arena;
	bool has_moved; /* it holds something else than before */
};

static enum outcome judge_beat(const struct sequencer *s, const struct consumer_beat *beat)
{
	size_t bytes = beat->instance.len + beat->rack.len + beat->regex.len + beat->assignor.len;
	enum assignor assignor;

	if (!beat->group.len || beat->group.len > GROUP_ID_MAX || beat->member.len > CONSUMER_ID_MAX ||
	    beat->instance.len > GROUP_INSTANCE_MAX || beat->rack.len > CONSUMER_ID_MAX)
		return OUTCOME_NAME;
	if (beat->topic_count > s->config.group_topics_max || beat->regex.len > s->config.group_regex_max)
		return OUTCOME_TOO_LARGE;
	for (size_t i = 0; i < beat->topic_count; i++)
		bytes += beat->topics[i].len + 3;
	if (bytes > s->config.group_member_bytes_max || bytes > CONSUMER_SAID_BYTES)
		return OUTCOME_TOO_LARGE;
	return beat->assignor.ptr && !assignor_find(beat->assignor, &assignor) ? OUTCOME_ASSIGNOR : OUTCOME_OK;
}

/* The partitions that it says it has, of topics that there are. */
static enum outcome read_owned(struct beating *b, const struct consumer_beat_in *in)
{
	struct places *owned = &b->beat->owned;
	size_t count = 0;

	for (size_t i = 0; i < in->owned_count; i++)
		count += in->owned[i].count;
	if (count > UINT32_MAX)
		return OUTCOME_TOO_LARGE;
	owned->at = arena_alloc(&b->arena, (count + 1) * sizeof(*owned->at));
	if (!owned->at)
		return OUTCOME_NO_MEMORY;
	for (size_t i = 0; i < in->owned_count; i++) {
		const struct topic *topic = topic_find_id(&b->s->topics, &in->owned[i].topic);

		for (size_t p = 0; topic && p < in->owned[i].count; p++)
			owned->at[owned->count++] = (struct place){topic->number, (uint32_t)in->owned[i].partitions[p]};
	}
	places_sort(owned);
	return OUTCOME_OK;
}

static bool subscribes_anew(const struct consumer *consumer, const struct group_event *e)
{
	const struct consumer_said *said = consumer ? consumer->said : NULL;

	return !said || !slice_eq(said->topics, e->topics) || !slice_eq(said->regex, e->regex) ||
	       !slice_eq(said->assignor, e->assignor);
}

static enum outcome judge_regex(struct beating *b, const struct group_event *e)
{
	int r;

	if (!e->regex.len || (b->consumer && slice_eq(b->consumer->said->regex, e->regex)))
		return OUTCOME_OK;
	r = group_regex_judge(b->group, e->regex, &b->topics);
	return r == 0 ? OUTCOME_OK : r == -EINVAL ? OUTCOME_REGEX : OUTCOME_NO_MEMORY;
}

static enum outcome hear(struct beating *b)
{
	struct buf topics = {0};
	struct group_event e;
	enum outcome outcome = OUTCOME_OK;
	int r = consumer_says(b->consumer, b->beat, &topics, &e);

	if (r < 0)
		outcome = OUTCOME_NO_MEMORY;
	if (r > 0) {
		e.generation = (uint64_t)b->group->generation + subscribes_anew(b->consumer, &e);
		outcome = e.generation > INT32_MAX ? OUTCOME_FULL : judge_regex(b, &e);
		if (outcome == OUTCOME_OK)
			outcome = group_emit(b->s, &e, b->group);
		if (outcome == OUTCOME_OK)
			b->consumer = consumer_find(&b->s->groups, b->group, b->beat->member);
	}
	buf_deinit(&topics);
	return outcome;
}

/* --- who is to have what --- */

static enum outcome tell_targets(struct beating *b, struct buf *targets)
{
	struct group_event e = {.type = GROUP_TARGET, .targets = buf_slice(targets)};
	enum outcome outcome = OUTCOME_OK;

	if (targets->failed)
		outcome = OUTCOME_NO_MEMORY;
	else if (targets->len)
		outcome = group_emit(b->s, &e, b->group);
	buf_clear(targets);
	return outcome;
}

static enum outcome tell_assignment(struct beating *b, const struct assign *assign)
{
	struct buf targets = {0}, one = {0};
	enum outcome outcome = OUTCOME_OK;
	uint32_t m = 0;

	list_each (node, &b->group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);
		const struct places *gets = &assign->members[m++].gets;

		if (outcome != OUTCOME_OK || places_eq(gets, &consumer->target))
			continue;
		if (targets.len >= TARGETS_BYTES)
			outcome = tell_targets(b, &targets);
		buf_clear(&one);
		places_put(&one, gets);
		if (one.len > CONSUMER_PLACES_BYTES || gets->count > PLACES_MAX)
			outcome = OUTCOME_FULL;
		target_put(&targets, consumer->said->id, buf_slice(&one));
		targets.failed |= one.failed;
	}
	if (outcome == OUTCOME_OK)
		outcome = tell_targets(b, &targets);
	buf_deinit(&one);
	buf_deinit(&targets);
	return outcome;
}

static enum outcome tell_epoch(struct beating *b, uint64_t epoch, uint64_t assignment_epoch, enum assignor assignor)
{
	struct group_event e = {.type = GROUP_EPOCH,
				.generation = epoch,
				.assignment_epoch = assignment_epoch,
				.assignor = assignor_names[assignor]};

	return epoch > INT32_MAX ? OUTCOME_FULL : group_emit(b->s, &e, b->group);
}

static enum outcome assign_anew(struct beating *b, struct assign *assign)
{
	struct group *group = b->group;
	enum assignor assignor = group_assignor(group);
	enum outcome outcome = OUTCOME_OK;

	if (assign_partitions(assign) > b->s->config.group_partitions_max)
		return OUTCOME_FULL;
	if (assign_make(assign, assignor, &b->arena))
		return OUTCOME_NO_MEMORY;
	/* First that it is not as it was: whoever is interrupted here begins again. */
	if (group->generation == group->assignment_epoch)
		outcome = tell_epoch(b, (uint64_t)group->generation + 1, group->assignment_epoch, (enum assignor)group->assignor);
	if (outcome == OUTCOME_OK)
		outcome = tell_assignment(b, assign);
	if (outcome == OUTCOME_OK)
		outcome = tell_epoch(b, group->generation, group->generation, assignor);
	b->s->stats.assignments_total += outcome == OUTCOME_OK;
	return outcome;
}

static enum outcome settle_targets(struct beating *b)
{
	struct group *group = b->group;
	enum outcome outcome = OUTCOME_OK;
	bool fits = group->generation == group->assignment_epoch;
	struct assign assign;
	uint64_t hash;

	if (fits && group->topics_version == b->topics.version)
		return OUTCOME_OK;
	if (group_subscriptions(group, &b->topics, &b->arena, &assign))
		return OUTCOME_NO_MEMORY;
	hash = group_topics_hash(&b->s->groups, &assign);
	if (fits)
		fits = group->assigned_hash == hash ||
		       (!group->assigned_hash && group_targets_cover(&b->s->groups, group, &assign));
	if (!fits)
		outcome = assign_anew(b, &assign);
	if (outcome == OUTCOME_OK) {
		group->topics_version = b->topics.version;
		group->assigned_hash = hash;
	}
	return outcome;
}

/* --- who has what --- */

static void set_revoke(struct sequencer *s, struct consumer *consumer)
{
	consumer_set_revoke(&s->groups, consumer,
			    consumer->state == HOLDING_UNREVOKED ? s->now_ms + consumer->said->rebalance_ms : UINT64_MAX);
}

/* A word about everything, as after a connection was lost: it may not know what it was told before. */
static bool says_all(const struct consumer_beat *beat)
{
	return beat->rebalance_ms >= 0 && (beat->has_topics || beat->regex.ptr) && beat->has_owned;
}

static enum outcome hold(struct beating *b)
{
	struct consumer_next next = {.known_epoch = b->beat->epoch > 0 ? (uint32_t)b->beat->epoch : b->consumer->epoch,
				     .joins = b->beat->epoch == CONSUMER_JOINS,
				     .repeats = b->beat->epoch != CONSUMER_JOINS && says_all(b->beat)};
	struct group_event e;
	enum outcome outcome = OUTCOME_OK;
	int r;

	if (b->beat->has_owned)
		consumer_owns(b->consumer, &b->beat->owned);
	r = consumer_next(&b->s->groups, b->consumer, b->beat->has_owned ? &b->beat->owned : NULL, &next, &e);

	if (r < 0)
		outcome = OUTCOME_NO_MEMORY;
	if (r > 0)
		outcome = group_emit(b->s, &e, b->group);
	if (r > 0 && outcome == OUTCOME_OK) {
		b->has_moved = true;
		b->consumer->has_let_go = next.lacks;
		b->consumer->has_taken_up &= b->consumer->state == HOLDING_UNREVOKED;
		b->consumer->has_repeated = false;
		set_revoke(b->s, b->consumer);
	} else if (r == 0 && b->consumer->state == HOLDING_UNREVOKED) {
		b->consumer->has_let_go = next.lacks;
		b->consumer->has_repeated |= next.repeats;
	}
	consumer_next_deinit(&next);
	return outcome;
}

static bool is_classic(const struct group *group)
{
	return group->state != GROUP_EMPTY || group->member_count || group->awaited;
}

static enum outcome find(struct beating *b)
{
	const struct sequencer *s = b->s;
	enum outcome outcome = OUTCOME_OK;

	if (b->group && is_classic(b->group))
		return OUTCOME_NOT_FOUND;
	if (!b->group && b->beat->epoch != CONSUMER_JOINS)
		return OUTCOME_NO_MEMBER;
	outcome = group_get(b->s, b->beat->group, &b->group);
	if (outcome == OUTCOME_OK)
		outcome = consumer_judge(&s->groups, b->group, b->beat, &b->consumer);
	if (outcome == OUTCOME_OK && !b->consumer && b->group->consumer_count >= s->config.group_members_max)
		outcome = OUTCOME_FULL;
	return outcome;
}

static enum outcome beat(struct beating *b, struct command *c)
{
	const struct consumer_beat *said = b->beat;
	enum outcome outcome = read_owned(b, &c->in.consumer_beat);
	bool all;

	if (outcome == OUTCOME_OK)
		outcome = find(b);
	if (outcome == OUTCOME_OK && said->epoch > 0 && b->consumer->previous_epoch != b->consumer->epoch)
		b->has_moved = (uint32_t)said->epoch == b->consumer->previous_epoch;
	if (outcome == OUTCOME_OK)
		outcome = hear(b);
	if (outcome == OUTCOME_OK)
		consumer_keep_alive(&b->s->groups, b->consumer, b->s->now_ms + b->s->config.consumer_session_ms);
	if (outcome == OUTCOME_OK)
		outcome = settle_targets(b);
	if (outcome == OUTCOME_OK)
		outcome = hold(b);
	if (outcome != OUTCOME_OK)
		return outcome;
	all = said->epoch == CONSUMER_JOINS || says_all(said) || b->has_moved;
	c->out.consumers = consumer_view_new(b->s, b->consumer);
	if (!c->out.consumers)
		return OUTCOME_NO_MEMORY;
	c->out.consumers->has_assigned = all;
	c->out.consumers->interval_ms = (uint32_t)b->s->config.consumer_beat_ms;
	return OUTCOME_OK;
}

/* --- leaving --- */

enum outcome consumer_leave(struct sequencer *s, struct group *group, struct consumer *consumer)
{
	struct group_event e = {.type = GROUP_LEFT, .member = consumer->said->id, .generation = (uint64_t)group->generation + 1};
	enum outcome outcome;

	if (group->generation == INT32_MAX)
		e.generation = INT32_MAX;
	outcome = group_emit(s, &e, group);
	if (group->consumer_count == 0)
		group->idle_ms = s->now_ms;
	return outcome;
}

static enum outcome leave_to_come_back(struct sequencer *s, struct group *group, struct consumer *consumer)
{
	struct consumer_next next = {0};
	struct group_event e;
	enum outcome outcome = OUTCOME_NO_MEMORY;

	if (consumer_pauses(consumer, &next, &e) > 0)
		outcome = group_emit(s, &e, group);
	if (outcome == OUTCOME_OK) {
		consumer_keep_alive(&s->groups, consumer, s->now_ms + s->config.consumer_session_ms);
		set_revoke(s, consumer);
	}
	consumer_next_deinit(&next);
	return outcome;
}

static enum outcome leave(struct beating *b)
{
	struct consumer *consumer;
	enum outcome outcome = OUTCOME_NO_MEMBER;

	if (b->group)
		outcome = consumer_judge_leave(&b->s->groups, b->group, b->beat, &consumer);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (b->beat->epoch == CONSUMER_PAUSES && consumer->said->instance.len)
		return leave_to_come_back(b->s, b->group, consumer);
	return consumer_leave(b->s, b->group, consumer);
}

void command_consumer_beat(struct sequencer *s, struct command *c)
{
	struct beating b = {
		.s = s,
		.beat = &c->in.consumer_beat.beat,
		.group = group_find(&s->groups, c->in.consumer_beat.beat.group),
		.topics = {source_find, source_get, source_next, s, s->topics_version},
	};
	enum outcome outcome = judge_beat(s, b.beat);
	char id[GROUP_MEMBER_ID_MAX];

	if (!b.beat->member.len)
		b.beat->member = member_id_make(s, b.beat->group, b.beat->client_id, id);
	if (outcome == OUTCOME_OK)
		outcome = b.beat->epoch < 0 ? leave(&b) : beat(&b, c);
	if (b.group)
		group_settle(s, b.group);
	arena_deinit(&b.arena);
	b.beat->owned = (struct places){0};
	reply(s, c, outcome, s->appended_end);
}

/* --- time --- */

void consumers_start(struct sequencer *s, struct group *group)
{
	list_each (node, &group->consumers) {
		struct consumer *consumer = container_of(node, struct consumer, peers);

		consumer_keep_alive(&s->groups, consumer, s->now_ms + s->config.consumer_session_ms);
		set_revoke(s, consumer);
	}
}

bool consumers_turn(struct sequencer *s, unsigned *limit)
{
	struct consumer *consumer;

	while ((consumer = groups_next_consumer(&s->groups)) && consumer->look_at_ms <= s->now_ms) {
		struct group *group = consumer->group;

		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		if (!consumer_look(&s->groups, consumer, s->now_ms))
			continue;
		if (consumer_leave(s, group, consumer) == OUTCOME_OK)
			group_settle(s, group);
		else
			consumer_postpone(&s->groups, consumer, s->now_ms + RETRY_MS);
	}
	return false;
}

uint64_t consumers_next_ms(const struct sequencer *s)
{
	const struct consumer *consumer = groups_next_consumer(&s->groups);

	return consumer ? consumer->look_at_ms : UINT64_MAX;
}
