/* The partitions of all topics stand in one row: those of topic t from first[t] on. owners[] says whose each is.
 *
 * Where all subscribe to the same, how many each is to have follows from the numbers alone; those who have too many give up their
 * last, and what is nobody's goes round. Else whoever has most gives to whoever has least and may have it, again and again: each
 * move makes the sum of squares smaller, so it ends. */
#include "group/assign.h"

#include <errno.h>
#include <stdlib.h>

#define NOBODY UINT32_MAX

const struct slice assignor_names[ASSIGNOR_COUNT] = {
	[ASSIGN_UNIFORM] = SLICE_INIT("uniform"),
	[ASSIGN_RANGE] = SLICE_INIT("range"),
};

bool assignor_find(struct slice name, enum assignor *ret_assignor)
{
	for (unsigned i = 0; i < ASSIGNOR_COUNT; i++) {
		if (slice_eq(name, assignor_names[i])) {
			*ret_assignor = (enum assignor)i;
			return true;
		}
	}
	return false;
}

uint64_t assign_partitions(const struct assign *assign)
{
	uint64_t count = 0;

	for (uint32_t t = 0; t < assign->topic_count; t++)
		count += assign->topics[t].partition_count;
	return count;
}

struct work {
	struct assign *assign;
	uint32_t *first;  /* of each topic, and one more */
	uint32_t *owners; /* of each partition */
	uint32_t *loads;  /* of each member */
	/* Who subscribes: subscribers[from[t]] up to from[t + 1]. */
	uint32_t *from, *subscribers;
	uint32_t total;
};

static void list_subscribers(struct work *w)
{
	const struct assign *assign = w->assign;

	for (uint32_t m = 0; m < assign->member_count; m++) {
		for (uint32_t i = 0; i < assign->members[m].topic_count; i++)
			w->from[assign->members[m].topics[i] + 1]++;
	}
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->from[t + 1] += w->from[t];
	/* Filled from each topic's end down, so that from[] is as it should be afterwards: members in their order, backwards. */
	for (uint32_t m = assign->member_count; m-- > 0;) {
		for (uint32_t i = 0; i < assign->members[m].topic_count; i++)
			w->subscribers[--w->from[assign->members[m].topics[i] + 1]] = m;
	}
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->from[t] = w->from[t + 1];
}

static bool work_init(struct work *w, struct assign *assign, struct arena *arena)
{
	size_t subscriptions = 0, topics = (size_t)assign->topic_count + 1;

	for (uint32_t m = 0; m < assign->member_count; m++)
		subscriptions += assign->members[m].topic_count;
	*w = (struct work){.assign = assign, .total = (uint32_t)assign_partitions(assign)};
	w->first = arena_zalloc(arena, topics * sizeof(*w->first));
	w->owners = arena_alloc(arena, ((size_t)w->total + 1) * sizeof(*w->owners));
	w->loads = arena_zalloc(arena, ((size_t)assign->member_count + 1) * sizeof(*w->loads));
	w->from = arena_zalloc(arena, topics * sizeof(*w->from));
	w->subscribers = arena_alloc(arena, (subscriptions + 1) * sizeof(*w->subscribers));
	if (!w->first || !w->owners || !w->loads || !w->from || !w->subscribers)
		return false;
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->first[t + 1] = w->first[t] + assign->topics[t].partition_count;
	for (uint32_t p = 0; p < w->total; p++)
		w->owners[p] = NOBODY;
	list_subscribers(w);
	w->from[assign->topic_count] = (uint32_t)subscriptions;
	return true;
}

static void give(struct work *w, uint32_t partition, uint32_t member)
{
	if (w->owners[partition] != NOBODY)
		w->loads[w->owners[partition]]--;
	w->owners[partition] = member;
	if (member != NOBODY)
		w->loads[member]++;
}

/* --- what stays as it was --- */

static int by_number(const void *key, const void *topic)
{
	uint64_t a = *(const uint64_t *)key, b = ((const struct assign_topic *)topic)->number;

	return (a > b) - (a < b);
}

static int by_value(const void *key, const void *value)
{
	uint32_t a = *(const uint32_t *)key, b = *(const uint32_t *)value;

	return (a > b) - (a < b);
}

static void keep(struct work *w, uint32_t m)
{
	const struct assign *assign = w->assign;
	const struct assign_member *member = &assign->members[m];

	for (uint32_t i = 0; i < member->had.count && assign->topic_count && member->topic_count; i++) {
		struct place place = member->had.at[i];
		const struct assign_topic *topic =
			bsearch(&place.topic, assign->topics, assign->topic_count, sizeof(*topic), by_number);
		uint32_t t = topic ? (uint32_t)(topic - assign->topics) : 0;

		if (!topic || place.partition >= topic->partition_count || w->owners[w->first[t] + place.partition] != NOBODY)
			continue;
		if (bsearch(&t, member->topics, member->topic_count, sizeof(t), by_value))
			give(w, w->first[t] + place.partition, m);
	}
}

/* --- uniform, all subscribe to the same --- */

static bool all_same(const struct assign *assign)
{
	const struct assign_member *one = &assign->members[0];

	for (uint32_t m = 1; m < assign->member_count; m++) {
		const struct assign_member *other = &assign->members[m];

		if (other->topic_count != one->topic_count ||
		    (one->topic_count && memcmp(one->topics, other->topics, one->topic_count * sizeof(*one->topics)) != 0))
			return false;
	}
	return true;
}

/* How many each is to have: all as many, some one more, and that are those who have more already, as far as it goes. */
static void set_quotas(const struct work *w, uint32_t *quotas)
{
	uint32_t count = w->assign->member_count, least = w->total / count, more = w->total % count;

	for (uint32_t m = 0; m < count; m++) {
		quotas[m] = least;
		if (more && w->loads[m] > least) {
			quotas[m]++;
			more--;
		}
	}
	for (uint32_t m = 0; m < count && more; m++) {
		if (quotas[m] == least) {
			quotas[m]++;
			more--;
		}
	}
}

static bool uniform_same(struct work *w, struct arena *arena)
{
	uint32_t count = w->assign->member_count, next = 0;
	uint32_t *quotas = arena_alloc(arena, count * sizeof(*quotas));

	if (!quotas)
		return false;
	set_quotas(w, quotas);
	for (uint32_t p = w->total; p-- > 0;) {
		uint32_t owner = w->owners[p];

		if (owner != NOBODY && w->loads[owner] > quotas[owner])
			give(w, p, NOBODY);
	}
	for (uint32_t p = 0; p < w->total; p++) {
		if (w->owners[p] != NOBODY)
			continue;
		while (w->loads[next] >= quotas[next])
			next = (next + 1) % count;
		give(w, p, next);
		next = (next + 1) % count;
	}
	return true;
}

/* --- uniform, each subscribes to its own --- */

static uint32_t least_loaded(const struct work *w, uint32_t topic)
{
	uint32_t best = w->subscribers[w->from[topic]];

	for (uint32_t i = w->from[topic] + 1; i < w->from[topic + 1]; i++) {
		if (w->loads[w->subscribers[i]] < w->loads[best])
			best = w->subscribers[i];
	}
	return best;
}

/* How many subscribe to topic t, and t: the few first, since they have less choice. */
static int by_choice(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool give_what_is_nobodys(struct work *w, struct arena *arena)
{
	uint32_t count = w->assign->topic_count;
	uint64_t *order = arena_alloc(arena, ((size_t)count + 1) * sizeof(*order));

	if (!order)
		return false;
	for (uint32_t t = 0; t < count; t++)
		order[t] = (uint64_t)(w->from[t + 1] - w->from[t]) << 32 | t;
	qsort(order, count, sizeof(*order), by_choice);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t t = (uint32_t)order[i];

		for (uint32_t p = w->first[t]; p < w->first[t + 1]; p++) {
			if (w->owners[p] == NOBODY)
				give(w, p, least_loaded(w, t));
		}
	}
	return true;
}

/* Lists of partitions by their owners: the next in the same list, or NOBODY. */
struct lists {
	uint32_t *heads, *next;
};

static void lists_fill(const struct work *w, struct lists *lists)
{
	for (uint32_t m = 0; m < w->assign->member_count; m++)
		lists->heads[m] = NOBODY;
	for (uint32_t p = w->total; p-- > 0;) {
		lists->next[p] = lists->heads[w->owners[p]];
		lists->heads[w->owners[p]] = p;
	}
}

/* Gives away what makes it more even; whether there was any. Partitions of a topic follow each other in the list. */
static bool unload(struct work *w, uint32_t m, const struct lists *lists)
{
	uint32_t t = 0;
	bool moved = false;

	for (uint32_t p = lists->heads[m]; p != NOBODY; p = lists->next[p]) {
		uint32_t to;

		while (p >= w->first[t + 1])
			t++;
		to = least_loaded(w, t);
		if (w->loads[to] + 1 >= w->loads[m]) {
			while (lists->next[p] != NOBODY && lists->next[p] < w->first[t + 1])
				p = lists->next[p];
			continue;
		}
		give(w, p, to);
		moved = true;
	}
	return moved;
}

static bool uniform_each(struct work *w, struct arena *arena)
{
	uint32_t count = w->assign->member_count;
	uint64_t *order = arena_alloc(arena, count * sizeof(*order));
	struct lists lists = {arena_alloc(arena, count * sizeof(uint32_t)),
			      arena_alloc(arena, ((size_t)w->total + 1) * sizeof(uint32_t))};
	bool moved = true;

	if (!order || !lists.heads || !lists.next || !give_what_is_nobodys(w, arena))
		return false;
	while (moved) {
		moved = false;
		lists_fill(w, &lists);
		for (uint32_t m = 0; m < count; m++)
			order[m] = (uint64_t)(UINT32_MAX - w->loads[m]) << 32 | m;
		qsort(order, count, sizeof(*order), by_choice);
		for (uint32_t i = 0; i < count; i++)
			moved |= unload(w, (uint32_t)order[i], &lists);
	}
	return true;
}

/* --- range --- */

static void range(struct work *w)
{
	for (uint32_t t = 0; t < w->assign->topic_count; t++) {
		uint32_t members = w->from[t + 1] - w->from[t], partitions = w->first[t + 1] - w->first[t], p = w->first[t];

		for (uint32_t i = 0; i < members; i++) {
			uint32_t share = partitions / members + (i < partitions % members);

			while (share-- > 0)
				give(w, p++, w->subscribers[w->from[t] + i]);
		}
	}
}

/* --- all together --- */

static bool tell(struct work *w, struct arena *arena)
{
	struct assign *assign = w->assign;
	uint32_t t = 0;

	for (uint32_t m = 0; m < assign->member_count; m++) {
		assign->members[m].gets = (struct places){arena_alloc(arena, (w->loads[m] + 1) * sizeof(struct place)), 0};
		if (!assign->members[m].gets.at)
			return false;
	}
	for (uint32_t p = 0; p < w->total; p++) {
		struct places *gets = &assign->members[w->owners[p]].gets;

		while (p >= w->first[t + 1])
			t++;
		gets->at[gets->count++] = (struct place){assign->topics[t].number, p - w->first[t]};
	}
	return true;
}

int assign_make(struct assign *assign, enum assignor assignor, struct arena *arena)
{
	struct work w;
	bool ok = true;

	if (assign->member_count == 0)
		return 0;
	if (!work_init(&w, assign, arena))
		return -ENOMEM;
	if (assignor == ASSIGN_RANGE) {
		range(&w);
	} else {
		for (uint32_t m = 0; m < assign->member_count; m++)
			keep(&w, m);
		ok = all_same(assign) ? uniform_same(&w, arena) : uniform_each(&w, arena);
	}
	return ok && tell(&w, arena) ? 0 : -ENOMEM;
}
