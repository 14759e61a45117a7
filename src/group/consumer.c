/* A consumer's beat: who it is, what it says, and what it is to hold next. consumer.h tells it as a whole; the rules are those of
 * KIP-848, because clients were written against it. */
#include "group/consumer.h"
#include "group/group_priv.h"
#include "group/holders.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>
#include <stdlib.h>

/* --- where they are found --- */

struct consumer *consumer_find(const struct groups *groups, const struct group *group, struct slice id)
{
	struct hash_node *node = hash_first(&groups->consumers, group_hash(groups, group->number, id, 0));

	for (; node; node = hash_next(&groups->consumers, node)) {
		struct consumer *consumer = container_of(node, struct consumer, by_id);

		if (consumer->group == group && slice_eq(consumer->said->id, id))
			return consumer;
	}
	return NULL;
}

struct consumer *consumer_find_instance(const struct groups *groups, const struct group *group, struct slice instance)
{
	struct hash_node *node = hash_first(&groups->consumer_instances, group_hash(groups, group->number, instance, 0));

	for (; node; node = hash_next(&groups->consumer_instances, node)) {
		struct consumer *consumer = container_of(node, struct consumer, by_instance);

		if (consumer->group == group && slice_eq(consumer->said->instance, instance))
			return consumer;
	}
	return NULL;
}

static const struct held *held_find(const struct consumer *consumer, struct place place)
{
	uint32_t from = 0, to = consumer->holding ? consumer->holding->count : 0;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		int order = place_order(consumer->holding->at[middle].place, place);

		if (order == 0)
			return &consumer->holding->at[middle];
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

bool consumer_has(const struct consumer *consumer, struct place place)
{
	const struct held *held = held_find(consumer, place);

	return held && !held->revoking;
}

/* --- who it is --- */

static bool owns_only_what_it_has(const struct consumer *consumer, const struct consumer_beat *beat)
{
	if (!beat->has_owned)
		return false;
	for (uint32_t i = 0; i < beat->owned.count; i++) {
		if (!consumer_has(consumer, beat->owned.at[i]))
			return false;
	}
	return true;
}

static enum outcome judge_epoch(const struct consumer *consumer, const struct consumer_beat *beat)
{
	uint32_t epoch = (uint32_t)beat->epoch;

	if (consumer->state == HOLDING_AWAY || epoch > consumer->epoch)
		return OUTCOME_MEMBER_EPOCH;
	if (epoch == consumer->epoch)
		return OUTCOME_OK;
	/* The answer that told it of its epoch may have been lost. */
	return epoch == consumer->previous_epoch && owns_only_what_it_has(consumer, beat) ? OUTCOME_OK : OUTCOME_MEMBER_EPOCH;
}

/* Who joins again, as who he was, has given up all he had: he says that he owns nothing. */
static enum outcome judge_join(const struct groups *groups, const struct group *group, const struct consumer_beat *beat,
			       struct consumer **ret_consumer)
{
	struct consumer *by_id = consumer_find(groups, group, beat->member), *by_instance = NULL;

	if (beat->instance.len)
		by_instance = consumer_find_instance(groups, group, beat->instance);
	if (by_id && by_id->said->instance.len && by_id != by_instance)
		return OUTCOME_FENCED;
	if (by_id && by_instance != by_id && beat->instance.len)
		return OUTCOME_FENCED; /* it was none with an instance */
	if (by_instance && by_instance != by_id && by_instance->state != HOLDING_AWAY)
		return OUTCOME_UNRELEASED;
	*ret_consumer = by_id ? by_id : by_instance;
	return OUTCOME_OK;
}

enum outcome consumer_judge(const struct groups *groups, const struct group *group, const struct consumer_beat *beat,
			    struct consumer **ret_consumer)
{
	struct consumer *consumer;

	*ret_consumer = NULL;
	if (beat->epoch == CONSUMER_JOINS)
		return judge_join(groups, group, beat, ret_consumer);
	consumer = beat->instance.len ? consumer_find_instance(groups, group, beat->instance)
				      : consumer_find(groups, group, beat->member);
	if (!consumer)
		return OUTCOME_NO_MEMBER;
	if (!slice_eq(consumer->said->id, beat->member))
		return OUTCOME_FENCED;
	*ret_consumer = consumer;
	return judge_epoch(consumer, beat);
}

enum outcome consumer_judge_leave(const struct groups *groups, const struct group *group, const struct consumer_beat *beat,
				  struct consumer **ret_consumer)
{
	struct consumer *consumer = beat->instance.len ? consumer_find_instance(groups, group, beat->instance)
						       : consumer_find(groups, group, beat->member);

	if (!consumer)
		return OUTCOME_NO_MEMBER;
	if (!slice_eq(consumer->said->id, beat->member))
		return OUTCOME_FENCED;
	*ret_consumer = consumer;
	return OUTCOME_OK;
}

bool consumer_had(const struct consumer *consumer, struct place place, int32_t epoch)
{
	const struct held *held = held_find(consumer, place);

	return held && epoch > 0 && held->since <= (uint32_t)epoch;
}

enum outcome consumer_may_commit(const struct groups *groups, const struct group *group, const struct group_who *who,
				 const struct consumer **ret_later)
{
	const struct consumer *consumer = consumer_find(groups, group, who->member);

	if (ret_later)
		*ret_later = NULL;
	if (!consumer)
		return OUTCOME_NO_MEMBER;
	if (consumer->state == HOLDING_AWAY || who->generation < 0 || (uint32_t)who->generation > consumer->epoch)
		return OUTCOME_STALE;
	if ((uint32_t)who->generation == consumer->epoch)
		return OUTCOME_OK;
	if (!ret_later)
		return OUTCOME_STALE;
	*ret_later = consumer;
	return OUTCOME_OK;
}

/* --- what it says --- */

static int by_bytes(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = len ? memcmp(x->ptr, y->ptr, len) : 0;

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int put_topics(const struct consumer_beat *beat, struct buf *out)
{
	struct slice *sorted = mem_alloc((beat->topic_count + 1) * sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	if (beat->topic_count)
		memcpy(sorted, beat->topics, beat->topic_count * sizeof(*sorted));
	qsort(sorted, beat->topic_count, sizeof(*sorted), by_bytes);
	for (size_t i = 0; i < beat->topic_count; i++) {
		if (i == 0 || !slice_eq(sorted[i - 1], sorted[i]))
			wire_put_string(out, sorted[i]);
	}
	mem_free(sorted);
	return out->failed ? -ENOMEM : 0;
}

static struct slice newer(struct slice said, struct slice before)
{
	return said.ptr ? said : before;
}

static struct slice cut(struct slice s)
{
	return slice_from(s.ptr, s.len < GROUP_CLIENT_MAX ? s.len : GROUP_CLIENT_MAX);
}

static bool says_the_same(const struct consumer_said *said, const struct group_event *e)
{
	return slice_eq(said->id, e->member) && slice_eq(said->rack, e->rack) && slice_eq(said->client_id, e->client_id) &&
	       slice_eq(said->client_host, e->client_host) && slice_eq(said->regex, e->regex) &&
	       slice_eq(said->assignor, e->assignor) && slice_eq(said->topics, e->topics) &&
	       said->rebalance_ms == (uint32_t)e->rebalance_ms;
}

int consumer_says(const struct consumer *consumer, const struct consumer_beat *beat, struct buf *topics,
		  struct group_event *ret_event)
{
	static const struct consumer_said nothing;
	const struct consumer_said *said = consumer ? consumer->said : &nothing;
	struct group_event e = {
		.type = GROUP_MEMBER,
		.member = beat->member,
		.instance = consumer ? said->instance : beat->instance,
		.rack = newer(beat->rack, said->rack),
		.client_id = cut(beat->client_id),
		.client_host = cut(beat->client_host),
		.regex = newer(beat->regex, said->regex),
		.assignor = newer(beat->assignor, said->assignor),
		.topics = said->topics,
		.rebalance_ms = beat->rebalance_ms < 0 ? said->rebalance_ms : (uint64_t)beat->rebalance_ms,
	};

	if (beat->has_topics) {
		if (put_topics(beat, topics))
			return -ENOMEM;
		e.topics = buf_slice(topics);
	} else if (beat->epoch == CONSUMER_JOINS) {
		e.topics = (struct slice){0};
	}
	*ret_event = e;
	return !consumer || !says_the_same(said, &e);
}

/* --- what it holds next --- */

static struct group_event held_event(const struct consumer *consumer, uint32_t epoch, enum holding_state state)
{
	return (struct group_event){
		.type = GROUP_HELD,
		.member = consumer->said->id,
		.epoch = epoch,
		.previous_epoch = consumer->epoch,
		.state = state,
	};
}

static bool still_owns_some(const struct places *revoking, const struct places *owned)
{
	for (uint32_t i = 0; i < revoking->count; i++) {
		if (!owned || places_have(owned, revoking->at[i]))
			return true;
	}
	return false;
}

/* Room for all three; what it holds is divided by its target. */
struct sets {
	struct places kept, lost; /* of what it holds and need not have given up before */
	struct places has;        /* kept, and what is free of its target */
	struct places pending;    /* what it was to give up already */
	bool misses;              /* something of its target that another one holds */
};

static void divide(const struct consumer *consumer, struct sets *sets)
{
	const struct places *target = &consumer->target;

	for (uint32_t i = 0, t = 0; consumer->holding && i < consumer->holding->count; i++) {
		const struct held *held = &consumer->holding->at[i];
		struct places *to = &sets->lost;

		while (t < target->count && place_order(target->at[t], held->place) < 0)
			t++;
		if (held->revoking)
			to = &sets->pending;
		else if (t < target->count && place_order(target->at[t], held->place) == 0)
			to = &sets->kept;
		to->at[to->count++] = held->place;
	}
}

static void add_free(const struct groups *groups, const struct consumer *consumer, struct sets *sets)
{
	struct stretch *near = NULL;

	for (uint32_t i = 0; i < consumer->target.count; i++) {
		struct place place = consumer->target.at[i];
		const struct consumer *holder = holder_find(groups, consumer->group, place, &near);

		if (holder && holder != consumer)
			sets->misses = true;
		else
			sets->has.at[sets->has.count++] = place;
	}
}

static int say(struct consumer_next *next, const struct places *assigned, const struct places *revoking, struct group_event *e)
{
	places_put(&next->assigned, assigned);
	places_put(&next->revoking, revoking);
	e->assigned = buf_slice(&next->assigned);
	e->revoking = buf_slice(&next->revoking);
	return next->assigned.failed || next->revoking.failed ? -ENOMEM : 1;
}

void consumer_owns(struct consumer *consumer, const struct places *owned)
{
	uint32_t i = 0, count = consumer->holding ? consumer->holding->count : 0;

	for (uint32_t o = 0; i < count && o < owned->count; o++)
		i += place_order(consumer->holding->at[i].place, owned->at[o]) == 0;
	if (consumer->state != HOLDING_UNREVOKED)
		consumer->has_taken_up = i == count;
	else
		consumer->has_taken_up |= i == count;
}

static bool has_given_up(const struct consumer *consumer, const struct places *pending, const struct places *owned,
			 struct consumer_next *next)
{
	next->lacks = owned ? !still_owns_some(pending, owned) : consumer->has_let_go;
	/* It may not know that it is to, and be about to take it up. */
	return next->lacks && (!next->repeats || consumer->has_taken_up || consumer->has_repeated);
}

static int next_of(const struct groups *groups, const struct consumer *consumer, const struct places *owned, struct sets *sets,
		   struct consumer_next *next, struct group_event *ret_event)
{
	static const struct places none;
	uint32_t to_epoch = consumer->group->assignment_epoch;
	enum holding_state state;

	divide(consumer, sets);
	if (consumer->state == HOLDING_UNREVOKED && !has_given_up(consumer, &sets->pending, owned, next))
		return 0;
	if (sets->lost.count && !next->joins) {
		next->lacks = !still_owns_some(&sets->lost, owned);
		*ret_event = held_event(consumer, consumer->epoch, HOLDING_UNREVOKED);
		ret_event->previous_epoch = consumer->previous_epoch;
		return say(next, &sets->kept, &sets->lost, ret_event);
	}
	add_free(groups, consumer, sets);
	state = sets->misses ? HOLDING_UNRELEASED : HOLDING_STABLE;
	if (state == consumer->state && to_epoch == consumer->epoch && sets->lost.count == 0 &&
	    sets->has.count == consumer_assigned_count(consumer))
		return 0;
	*ret_event = held_event(consumer, to_epoch, state);
	ret_event->previous_epoch = next->known_epoch;
	return say(next, &sets->has, &none, ret_event);
}

int consumer_next(const struct groups *groups, const struct consumer *consumer, const struct places *owned,
		  struct consumer_next *next, struct group_event *ret_event)
{
	size_t held = consumer->holding ? consumer->holding->count : 0;
	struct sets sets = {0};
	struct place *room;
	int r;

	if (consumer->state == HOLDING_STABLE && consumer->epoch == consumer->group->assignment_epoch)
		return 0;
	room = mem_alloc((3 * held + consumer->target.count) * sizeof(*room));
	if (!room)
		return -ENOMEM;
	sets.kept.at = room;
	sets.lost.at = room + held;
	sets.pending.at = room + 2 * held;
	sets.has.at = room + 3 * held;
	r = next_of(groups, consumer, owned, &sets, next, ret_event);
	mem_free(room);
	return r;
}

int consumer_pauses(const struct consumer *consumer, struct consumer_next *next, struct group_event *ret_event)
{
	static const struct places none;
	uint32_t count = consumer_assigned_count(consumer);
	struct places assigned = {mem_alloc(count * sizeof(struct place)), 0};
	int r;

	if (!assigned.at)
		return -ENOMEM;
	for (uint32_t i = 0; consumer->holding && i < consumer->holding->count; i++) {
		if (!consumer->holding->at[i].revoking)
			assigned.at[assigned.count++] = consumer->holding->at[i].place;
	}
	*ret_event = held_event(consumer, consumer->epoch, HOLDING_AWAY);
	r = say(next, &assigned, &none, ret_event);
	mem_free(assigned.at);
	return r;
}

void consumer_next_deinit(struct consumer_next *next)
{
	buf_deinit(&next->assigned);
	buf_deinit(&next->revoking);
}

/* --- time --- */

static void look_at(struct groups *groups, struct consumer *consumer)
{
	uint64_t at_ms =
		consumer->alive_until_ms < consumer->revoke_until_ms ? consumer->alive_until_ms : consumer->revoke_until_ms;

	/* Not moved further away at each beat: it is looked when the earlier one comes. */
	if (consumer->look_at_ms > at_ms) {
		consumer->look_at_ms = at_ms;
		heap_moved(&groups->consumer_sessions, &consumer->session);
	}
}

void consumer_keep_alive(struct groups *groups, struct consumer *consumer, uint64_t until_ms)
{
	consumer->alive_until_ms = until_ms;
	look_at(groups, consumer);
}

void consumer_set_revoke(struct groups *groups, struct consumer *consumer, uint64_t until_ms)
{
	consumer->revoke_until_ms = until_ms;
	look_at(groups, consumer);
}

struct consumer *groups_next_consumer(const struct groups *groups)
{
	struct heap_node *top = heap_top(&groups->consumer_sessions);

	return top ? container_of(top, struct consumer, session) : NULL;
}

bool consumer_look(struct groups *groups, struct consumer *consumer, uint64_t now_ms)
{
	if (consumer->alive_until_ms <= now_ms || consumer->revoke_until_ms <= now_ms)
		return true;
	consumer->look_at_ms =
		consumer->alive_until_ms < consumer->revoke_until_ms ? consumer->alive_until_ms : consumer->revoke_until_ms;
	heap_moved(&groups->consumer_sessions, &consumer->session);
	return false;
}

void consumer_postpone(struct groups *groups, struct consumer *consumer, uint64_t until_ms)
{
	consumer->alive_until_ms = consumer->look_at_ms = until_ms;
	if (consumer->revoke_until_ms < until_ms)
		consumer->revoke_until_ms = until_ms;
	heap_moved(&groups->consumer_sessions, &consumer->session);
}
