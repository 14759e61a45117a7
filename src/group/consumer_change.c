/* Events about consumers become state; change.c calls this. */
#include "group/consumer.h"
#include "group/group_priv.h"
#include "group/holders.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"

#include <errno.h>

struct consumer_target {
	struct consumer *consumer;
	struct places places;
};

/* --- prepare --- */

static struct slice copy_to(char **at, struct slice s)
{
	struct slice copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct consumer_said *said_new(const struct groups *groups, const struct group_event *e)
{
	struct consumer_said *said = mem_zalloc(sizeof(*said) + e->member.len + e->instance.len + e->rack.len + e->client_id.len +
						e->client_host.len + e->regex.len + e->assignor.len + e->topics.len);
	char *at;

	if (!said)
		return NULL;
	at = said->strings;
	said->id = copy_to(&at, e->member);
	said->instance = copy_to(&at, e->instance);
	said->rack = copy_to(&at, e->rack);
	said->client_id = copy_to(&at, e->client_id);
	said->client_host = copy_to(&at, e->client_host);
	said->regex = copy_to(&at, e->regex);
	said->assignor = copy_to(&at, e->assignor);
	said->topics = copy_to(&at, e->topics);
	said->subscription = group_hash(groups, hash_bytes(&groups->hash_key, e->topics.ptr, e->topics.len), e->regex, 0);
	said->rebalance_ms = (uint32_t)e->rebalance_ms;
	return said;
}

static bool are_strings(struct slice bytes)
{
	struct wire_reader r = wire_reader_of(bytes);

	while (!r.failed && r.at < r.end)
		wire_string(&r);
	return !r.failed;
}

static int consumer_new(struct groups *groups, struct group_prepared *p)
{
	struct consumer *consumer;

	if (groups->consumer_count >= UINT32_MAX - 1 ||
	    heap_reserve(&groups->consumer_sessions, (uint32_t)groups->consumer_count + 1))
		return -ENOMEM;
	consumer = mem_zalloc(sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	list_init(&consumer->peers);
	consumer->group = p->group;
	consumer->look_at_ms = consumer->alive_until_ms = consumer->revoke_until_ms = UINT64_MAX;
	p->consumer = consumer;
	p->new_consumer = true;
	return 0;
}

static int prepare_member(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct consumer *by_id = consumer_find(groups, p->group, e->member), *by_instance = NULL;

	if (e->instance.len)
		by_instance = consumer_find_instance(groups, p->group, e->instance);
	if (!e->member.len || !are_strings(e->topics) || p->group->member_count)
		return -EBADMSG;
	if (by_id && !slice_eq(by_id->said->instance, e->instance))
		return -EBADMSG;
	p->consumer = by_id ? by_id : by_instance;
	p->said = said_new(groups, e);
	if (!p->said)
		return -ENOMEM;
	return p->consumer ? 0 : consumer_new(groups, p);
}

static int prepare_target(const struct groups *groups, struct slice member, struct slice bytes, struct group_prepared *p)
{
	struct consumer_target *target = &p->targets[p->target_count];
	int r = places_measure(bytes, &target->places.count);

	target->consumer = consumer_find(groups, p->group, member);
	if (r || !target->consumer)
		return -EBADMSG;
	target->places.at = mem_alloc(target->places.count * sizeof(struct place));
	if (!target->places.at)
		return -ENOMEM;
	places_get(bytes, target->places.at);
	p->target_count++;
	return 0;
}

static int prepare_targets(const struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct slice rest = e->targets, member, places;
	size_t count = 0;
	int r = 0;

	for (; rest.len; count++) {
		if (target_get(&rest, &member, &places))
			return -EBADMSG;
	}
	p->targets = mem_zalloc((count + 1) * sizeof(*p->targets));
	if (!p->targets)
		return -ENOMEM;
	rest = e->targets;
	while (!r && rest.len && target_get(&rest, &member, &places) == 0)
		r = prepare_target(groups, member, places, p);
	return r;
}

static void merge(struct holding *holding, struct place *assigned, uint32_t assigned_count)
{
	/* `at` has those to be given up at its end; the others come between them. */
	struct held *at = holding->at;
	uint32_t a = 0, r = assigned_count, to = 0;

	while (a < assigned_count || r < holding->count) {
		bool takes = r == holding->count || (a < assigned_count && place_order(assigned[a], at[r].place) < 0);

		at[to].revoking = !takes;
		at[to++].place = takes ? assigned[a++] : at[r++].place;
	}
}

/* Both sets into one, by place; none may be in both. */
static int holding_fill(struct holding *holding, const struct group_event *e)
{
	uint32_t assigned_count = holding->count - holding->revoking_count;
	struct place *both = mem_alloc((holding->count + 1) * sizeof(*both));

	if (!both)
		return -ENOMEM;
	places_get(e->assigned, both);
	places_get(e->revoking, both + assigned_count);
	for (uint32_t i = 0; i < holding->revoking_count; i++)
		holding->at[assigned_count + i].place = both[assigned_count + i];
	merge(holding, both, assigned_count);
	mem_free(both);
	for (uint32_t i = 1; i < holding->count; i++) {
		if (place_order(holding->at[i - 1].place, holding->at[i].place) == 0)
			return -EBADMSG;
	}
	return 0;
}

/* What it held before it has had since then; anything else since now. A checkpoint says it. Of long ago it is told as less long:
 * an old epoch is refused sooner then, and a checkpoint has a byte for each. */
static int set_since(struct holding *holding, const struct group_event *e, const struct consumer *consumer)
{
	const struct holding *before = consumer->holding;
	uint32_t epoch = (uint32_t)e->epoch, old = 0;

	if (e->since.len && e->since.len != holding->count)
		return -EBADMSG;
	for (uint32_t i = 0; i < holding->count; i++) {
		struct held *held = &holding->at[i];
		uint32_t age = e->since.len ? (uint8_t)e->since.ptr[i] : 0;

		while (before && old < before->count && place_order(before->at[old].place, held->place) < 0)
			old++;
		if (!e->since.len && before && old < before->count && place_order(before->at[old].place, held->place) == 0)
			age = epoch - before->at[old].since;
		if (age > epoch)
			return -EBADMSG;
		held->since = epoch - (age < HELD_AGE_MAX ? age : HELD_AGE_MAX);
	}
	return 0;
}

static int prepare_held(const struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	uint32_t assigned = 0, revoking = 0;
	int r;

	p->consumer = consumer_find(groups, p->group, e->member);
	if (!p->consumer || e->state >= HOLDING_STATE_COUNT || places_measure(e->assigned, &assigned) ||
	    places_measure(e->revoking, &revoking) || (revoking > 0) != (e->state == HOLDING_UNREVOKED))
		return -EBADMSG;
	if (assigned + revoking == 0)
		return 0;
	p->holding = mem_zalloc(sizeof(*p->holding) + ((size_t)assigned + revoking) * sizeof(struct held));
	if (!p->holding)
		return -ENOMEM;
	p->holding->count = assigned + revoking;
	p->holding->revoking_count = revoking;
	r = holding_fill(p->holding, e);
	if (!r)
		r = set_since(p->holding, e, p->consumer);
	return r ? r : holders_prepare(groups, p->consumer, p->holding, &p->stretches);
}

int consumers_prepare(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	enum assignor assignor;

	switch ((unsigned)e->type) {
	case GROUP_MEMBER:
		return e->generation < p->group->generation ? -EBADMSG : prepare_member(groups, e, p);
	case GROUP_LEFT:
		p->consumer = consumer_find(groups, p->group, e->member);
		return p->consumer && e->generation >= p->group->generation ? 0 : -EBADMSG;
	case GROUP_TARGET:
		return prepare_targets(groups, e, p);
	case GROUP_EPOCH:
		return e->generation >= p->group->generation && e->assignment_epoch <= e->generation && !p->group->member_count &&
				       assignor_find(e->assignor, &assignor)
			       ? 0
			       : -EBADMSG;
	case GROUP_HELD:
		return prepare_held(groups, e, p);
	default:
		return -EBADMSG;
	}
}

void consumers_unprepare(struct group_prepared *p)
{
	for (uint32_t i = 0; i < p->target_count; i++)
		mem_free(p->targets[i].places.at);
	mem_free(p->targets);
	mem_free(p->said);
	mem_free(p->holding);
	p->stretches = stretches_free(p->stretches);
	if (p->new_consumer)
		mem_free(p->consumer);
	p->targets = NULL;
	p->target_count = 0;
	p->said = NULL;
	p->holding = NULL;
	p->new_consumer = false;
}

/* --- commit --- */

static void hold(struct groups *groups, struct consumer *consumer, struct group_prepared *p)
{
	holders_set(groups, consumer, p->holding, &p->stretches);
	mem_free(consumer->holding);
	consumer->holding = p->holding;
	p->holding = NULL;
}

static void out_of_tables(struct groups *groups, struct consumer *consumer)
{
	hash_remove(&groups->consumers, &consumer->by_id);
	if (consumer->said->instance.len)
		hash_remove(&groups->consumer_instances, &consumer->by_instance);
}

static void into_tables(struct groups *groups, struct consumer *consumer)
{
	uint64_t number = consumer->group->number;
	const struct consumer_said *said = consumer->said;

	ENSURE(hash_insert(&groups->consumers, &consumer->by_id, group_hash(groups, number, said->id, 0)) == 0);
	if (said->instance.len)
		ENSURE(hash_insert(&groups->consumer_instances, &consumer->by_instance,
				   group_hash(groups, number, said->instance, 0)) == 0);
}

static void commit_member(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct consumer *consumer = p->consumer;

	if (p->new_consumer) {
		list_push_back(&p->group->consumers, &consumer->peers);
		p->group->consumer_count++;
		groups->consumer_count++;
		ENSURE(heap_push(&groups->consumer_sessions, &consumer->session) == 0);
		p->new_consumer = false;
	} else {
		out_of_tables(groups, consumer);
		mem_free(consumer->said);
	}
	consumer->said = p->said;
	p->said = NULL;
	into_tables(groups, consumer);
	p->group->is_consumer = true;
	p->group->generation = (uint32_t)e->generation;
}

void consumer_free(struct consumer *consumer)
{
	mem_free(consumer->said);
	mem_free(consumer->target.at);
	mem_free(consumer->holding);
	mem_free(consumer);
}

static void commit_left(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct consumer *consumer = p->consumer;

	hold(groups, consumer, p);
	out_of_tables(groups, consumer);
	heap_remove(&groups->consumer_sessions, &consumer->session);
	list_remove(&consumer->peers);
	p->group->consumer_count--;
	groups->consumer_count--;
	p->group->generation = (uint32_t)e->generation;
	consumer_free(consumer);
}

static void commit_held(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	struct consumer *consumer = p->consumer;

	hold(groups, consumer, p);
	consumer->epoch = (uint32_t)e->epoch;
	consumer->previous_epoch = (uint32_t)e->previous_epoch;
	consumer->state = (enum holding_state)e->state;
}

void consumers_commit(struct groups *groups, const struct group_event *e, struct group_prepared *p)
{
	enum assignor assignor = ASSIGN_UNIFORM;

	switch ((unsigned)e->type) {
	case GROUP_MEMBER:
		commit_member(groups, e, p);
		break;
	case GROUP_LEFT:
		commit_left(groups, e, p);
		break;
	case GROUP_TARGET:
		for (uint32_t i = 0; i < p->target_count; i++) {
			mem_free(p->targets[i].consumer->target.at);
			p->targets[i].consumer->target = p->targets[i].places;
			p->targets[i].places = (struct places){0};
		}
		break;
	case GROUP_EPOCH:
		ENSURE(assignor_find(e->assignor, &assignor));
		p->group->is_consumer = true;
		p->group->generation = (uint32_t)e->generation;
		p->group->assignment_epoch = (uint32_t)e->assignment_epoch;
		p->group->assignor = (uint8_t)assignor;
		break;
	case GROUP_HELD:
		commit_held(groups, e, p);
		break;
	default:
		break;
	}
}

/* --- invariants --- */

static void check_holding(const struct groups *groups, const struct consumer *consumer)
{
	uint32_t revoking = 0;

	holders_check(groups, consumer);
	for (uint32_t i = 0; consumer->holding && i < consumer->holding->count; i++) {
		const struct held *held = &consumer->holding->at[i];

		ENSURE(i == 0 || place_order(held[-1].place, held->place) < 0);
		revoking += held->revoking;
	}
	ENSURE(!consumer->holding || revoking == consumer->holding->revoking_count);
	ENSURE((revoking > 0) == (consumer->state == HOLDING_UNREVOKED));
}

void consumers_check(const struct groups *groups, const struct group *group)
{
	uint32_t count = 0;

	list_each (node, &group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);

		ENSURE(consumer->group == group && heap_holds(&consumer->session));
		ENSURE(consumer_find(groups, group, consumer->said->id) == consumer);
		ENSURE(!consumer->said->instance.len ||
		       consumer_find_instance(groups, group, consumer->said->instance) == consumer);
		ENSURE(consumer->look_at_ms <= consumer->alive_until_ms && consumer->look_at_ms <= consumer->revoke_until_ms);
		check_holding(groups, consumer);
		count++;
	}
	ENSURE(count == group->consumer_count);
	ENSURE(count == 0 || (group->is_consumer && group->member_count == 0));
	ENSURE(group->assignment_epoch <= group->generation);
}
