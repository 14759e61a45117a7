/* The partitions of all topics stand in one row: those of topic t from first[t] on. owners[] says whose each is. Members that
 * subscribe to the same are a kind: mostly there are few, so that what a topic's subscribers are asked for is not asked of each.
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

struct kind {
	const uint32_t *topics;
	uint32_t topic_count;
	uint32_t from, count; /* its members: w->members[from …] */
};

struct work {
	struct assign *assign;
	uint32_t *first;  /* of each topic, and one more */
	uint32_t *owners; /* of each partition */
	uint32_t *loads;  /* of each member */
	struct kind *kinds;
	uint32_t kind_count;
	uint32_t *members, *kind_of; /* kind by kind, each in their order; and of each member */
	/* Which kinds subscribe: subscribers[from[t]] up to from[t + 1]. */
	uint32_t *from, *subscribers;
	uint32_t total;
	uint32_t *places; /* of each member in w->members, where each kind is a heap; NULL: none is */
};

static int by_topics(const struct assign_member *a, const struct assign_member *b)
{
	if (a->topic_count != b->topic_count)
		return a->topic_count < b->topic_count ? -1 : 1;
	return a->topics == b->topics || !a->topic_count ? 0 : memcmp(a->topics, b->topics, a->topic_count * sizeof(*a->topics));
}

static int by_kind(const void *x, const void *y)
{
	const struct assign_member *a = *(const struct assign_member *const *)x, *b = *(const struct assign_member *const *)y;
	int order = by_topics(a, b);

	return order ? order : (a > b) - (a < b);
}

static bool find_kinds(struct work *w, struct arena *arena)
{
	const struct assign *assign = w->assign;
	uint32_t count = assign->member_count;
	const struct assign_member **sorted = arena_alloc(arena, count * sizeof(struct assign_member *));

	w->kinds = arena_alloc(arena, count * sizeof(*w->kinds));
	w->members = arena_alloc(arena, count * sizeof(*w->members));
	w->kind_of = arena_alloc(arena, count * sizeof(*w->kind_of));
	if (!sorted || !w->kinds || !w->members || !w->kind_of)
		return false;
	for (uint32_t m = 0; m < count; m++)
		sorted[m] = &assign->members[m];
	qsort(sorted, count, sizeof(struct assign_member *), by_kind);
	for (uint32_t i = 0; i < count; i++) {
		w->members[i] = (uint32_t)(sorted[i] - assign->members);
		if (i == 0 || by_topics(sorted[i - 1], sorted[i]))
			w->kinds[w->kind_count++] = (struct kind){sorted[i]->topics, sorted[i]->topic_count, i, 0};
		w->kinds[w->kind_count - 1].count++;
		w->kind_of[w->members[i]] = w->kind_count - 1;
	}
	return true;
}

static bool list_subscribers(struct work *w, struct arena *arena)
{
	const struct assign *assign = w->assign;
	size_t subscriptions = 0;

	for (uint32_t k = 0; k < w->kind_count; k++)
		subscriptions += w->kinds[k].topic_count;
	w->from = arena_zalloc(arena, ((size_t)assign->topic_count + 1) * sizeof(*w->from));
	w->subscribers = arena_alloc(arena, (subscriptions + 1) * sizeof(*w->subscribers));
	if (!w->from || !w->subscribers)
		return false;
	for (uint32_t k = 0; k < w->kind_count; k++) {
		for (uint32_t i = 0; i < w->kinds[k].topic_count; i++)
			w->from[w->kinds[k].topics[i] + 1]++;
	}
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->from[t + 1] += w->from[t];
	/* Filled from each topic's end down, so that from[] is as it should be afterwards: kinds in their order, backwards. */
	for (uint32_t k = w->kind_count; k-- > 0;) {
		for (uint32_t i = 0; i < w->kinds[k].topic_count; i++)
			w->subscribers[--w->from[w->kinds[k].topics[i] + 1]] = k;
	}
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->from[t] = w->from[t + 1];
	w->from[assign->topic_count] = (uint32_t)subscriptions;
	return true;
}

static bool work_init(struct work *w, struct assign *assign, struct arena *arena)
{
	*w = (struct work){.assign = assign, .total = (uint32_t)assign_partitions(assign)};
	w->first = arena_zalloc(arena, ((size_t)assign->topic_count + 1) * sizeof(*w->first));
	w->owners = arena_alloc(arena, ((size_t)w->total + 1) * sizeof(*w->owners));
	w->loads = arena_zalloc(arena, ((size_t)assign->member_count + 1) * sizeof(*w->loads));
	if (!w->first || !w->owners || !w->loads || !find_kinds(w, arena) || !list_subscribers(w, arena))
		return false;
	for (uint32_t t = 0; t < assign->topic_count; t++)
		w->first[t + 1] = w->first[t] + assign->topics[t].partition_count;
	memset(w->owners, 0xff, w->total * sizeof(*w->owners));
	return true;
}

/* The topic of a partition; they are asked for in their order, and `t` is that of the one before. */
static uint32_t topic_of(const struct work *w, uint32_t partition, uint32_t t)
{
	uint32_t to = w->assign->topic_count;

	while (partition >= w->first[t + 1]) {
		uint32_t middle;

		if (partition < w->first[++t + 1])
			break;
		middle = t + (to - t) / 2;
		if (partition < w->first[middle])
			to = middle;
		else
			t = middle;
	}
	return t;
}

/* --- the least loaded of a kind: a heap --- */

static bool has_less(const struct work *w, uint32_t a, uint32_t b)
{
	return w->loads[a] != w->loads[b] ? w->loads[a] < w->loads[b] : a < b;
}

static void put_at(struct work *w, uint32_t place, uint32_t member)
{
	w->members[place] = member;
	w->places[member] = place;
}

static void sift_up(struct work *w, uint32_t member)
{
	uint32_t from = w->kinds[w->kind_of[member]].from, at = w->places[member] - from;

	for (; at > 0 && has_less(w, member, w->members[from + (at - 1) / 2]); at = (at - 1) / 2)
		put_at(w, from + at, w->members[from + (at - 1) / 2]);
	put_at(w, from + at, member);
}

static void sift_down(struct work *w, uint32_t member)
{
	const struct kind *kind = &w->kinds[w->kind_of[member]];
	const uint32_t *heap = &w->members[kind->from];
	uint32_t at = w->places[member] - kind->from;

	for (uint32_t child; (child = 2 * at + 1) < kind->count; at = child) {
		child += child + 1 < kind->count && has_less(w, heap[child + 1], heap[child]);
		if (!has_less(w, heap[child], member))
			break;
		put_at(w, kind->from + at, heap[child]);
	}
	put_at(w, kind->from + at, member);
}

static bool make_heaps(struct work *w, struct arena *arena)
{
	uint32_t count = w->assign->member_count;

	w->places = arena_alloc(arena, count * sizeof(*w->places));
	if (!w->places)
		return false;
	for (uint32_t i = 0; i < count; i++)
		w->places[w->members[i]] = i;
	for (uint32_t i = count; i-- > 0;)
		sift_down(w, w->members[i]);
	return true;
}

static void give(struct work *w, uint32_t partition, uint32_t member)
{
	uint32_t before = w->owners[partition];

	w->owners[partition] = member;
	if (before != NOBODY) {
		w->loads[before]--;
		if (w->places)
			sift_up(w, before);
	}
	if (member != NOBODY) {
		w->loads[member]++;
		if (w->places)
			sift_down(w, member);
	}
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

/* Its place in the row; NOBODY: there is no such topic, or the member does not subscribe to it. */
static uint32_t find_topic(const struct work *w, const struct kind *kind, uint64_t number)
{
	const struct assign *assign = w->assign;
	const struct assign_topic *topic =
		bsearch(&number, assign->topics, assign->topic_count, sizeof(assign->topics[0]), by_number);
	uint32_t t = topic ? (uint32_t)(topic - assign->topics) : NOBODY;

	if (!topic || kind->topic_count == assign->topic_count)
		return t;
	return bsearch(&t, kind->topics, kind->topic_count, sizeof(t), by_value) ? t : NOBODY;
}

static void keep(struct work *w, uint32_t m)
{
	const struct places *had = &w->assign->members[m].had;
	const struct kind *kind = &w->kinds[w->kind_of[m]];
	uint32_t t = NOBODY;

	if (kind->topic_count == 0)
		return;
	for (uint32_t i = 0; i < had->count; i++) {
		struct place place = had->at[i];

		if (i == 0 || place.topic != had->at[i - 1].topic)
			t = find_topic(w, kind, place.topic);
		if (t != NOBODY && place.partition < w->assign->topics[t].partition_count &&
		    w->owners[w->first[t] + place.partition] == NOBODY)
			give(w, w->first[t] + place.partition, m);
	}
}

/* --- uniform, all subscribe to the same --- */

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
	uint32_t count = w->assign->member_count, with_room = 0, next = 0, kept = 0;
	uint32_t *quotas = arena_alloc(arena, count * sizeof(*quotas));
	uint32_t *rooms = arena_alloc(arena, count * sizeof(*rooms)); /* who may have more, round and round */

	if (!quotas || !rooms)
		return false;
	set_quotas(w, quotas);
	for (uint32_t p = w->total; p-- > 0;) {
		uint32_t owner = w->owners[p];

		if (owner != NOBODY && w->loads[owner] > quotas[owner])
			give(w, p, NOBODY);
	}
	for (uint32_t m = 0; m < count; m++) {
		if (w->loads[m] < quotas[m])
			rooms[with_room++] = m;
	}
	for (uint32_t p = 0; p < w->total; p++) {
		if (w->owners[p] != NOBODY)
			continue;
		give(w, p, rooms[next]);
		if (w->loads[rooms[next]] < quotas[rooms[next]])
			rooms[kept++] = rooms[next];
		if (++next == with_room) {
			with_room = kept;
			next = kept = 0;
		}
	}
	return true;
}

/* --- uniform, each subscribes to its own --- */

static uint32_t least_loaded(const struct work *w, uint32_t topic)
{
	uint32_t best = w->members[w->kinds[w->subscribers[w->from[topic]]].from];

	for (uint32_t i = w->from[topic] + 1; i < w->from[topic + 1]; i++) {
		uint32_t other = w->members[w->kinds[w->subscribers[i]].from];

		if (has_less(w, other, best))
			best = other;
	}
	return best;
}

static uint32_t count_subscribers(const struct work *w, uint32_t topic)
{
	uint32_t count = 0;

	for (uint32_t i = w->from[topic]; i < w->from[topic + 1]; i++)
		count += w->kinds[w->subscribers[i]].count;
	return count;
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
		order[t] = (uint64_t)count_subscribers(w, t) << 32 | t;
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
	uint32_t *least; /* of each topic: none of its subscribers, but who is being unloaded, has less */
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
	const struct kind *kind = &w->kinds[w->kind_of[m]];
	uint32_t t = 0;
	bool moved = false;

	for (uint32_t p = lists->heads[m]; p != NOBODY; p = lists->next[p]) {
		uint32_t to = NOBODY;

		t = topic_of(w, p, t);
		if (lists->least[t] + 1 < w->loads[m]) {
			to = least_loaded(w, t);
			lists->least[t] = w->loads[to];
		}
		if (lists->least[t] + 1 < w->loads[m]) {
			give(w, p, to);
			moved = true;
			continue;
		}
		while (lists->next[p] != NOBODY && lists->next[p] < w->first[t + 1])
			p = lists->next[p];
	}
	for (uint32_t i = 0; i < kind->topic_count && moved; i++) {
		uint32_t *least = &lists->least[kind->topics[i]];

		*least = *least < w->loads[m] ? *least : w->loads[m];
	}
	return moved;
}

static bool uniform_each(struct work *w, struct arena *arena)
{
	uint32_t count = w->assign->member_count;
	uint64_t *order = arena_alloc(arena, count * sizeof(*order));
	struct lists lists = {arena_alloc(arena, count * sizeof(uint32_t)),
			      arena_alloc(arena, ((size_t)w->total + 1) * sizeof(uint32_t)),
			      arena_zalloc(arena, ((size_t)w->assign->topic_count + 1) * sizeof(uint32_t))};
	bool moved = true;

	if (!order || !lists.heads || !lists.next || !lists.least || !make_heaps(w, arena) || !give_what_is_nobodys(w, arena))
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

/* The members that subscribe to topic t, in their order; the same kinds as to the topic before are the same members. */
static uint32_t gather(const struct work *w, uint32_t t, uint32_t *members, bool *marks, uint32_t count)
{
	uint32_t kinds = w->from[t + 1] - w->from[t];

	if (t && kinds == w->from[t] - w->from[t - 1] &&
	    memcmp(&w->subscribers[w->from[t - 1]], &w->subscribers[w->from[t]], kinds * sizeof(*w->subscribers)) == 0)
		return count;
	for (uint32_t i = w->from[t]; i < w->from[t + 1]; i++) {
		const struct kind *kind = &w->kinds[w->subscribers[i]];

		for (uint32_t n = 0; n < kind->count; n++)
			marks[w->members[kind->from + n]] = true;
	}
	count = 0;
	for (uint32_t m = 0; m < w->assign->member_count; m++) {
		if (marks[m])
			members[count++] = m;
		marks[m] = false;
	}
	return count;
}

static bool range(struct work *w, struct arena *arena)
{
	uint32_t *members = arena_alloc(arena, w->assign->member_count * sizeof(*members)), count = 0;
	bool *marks = arena_zalloc(arena, w->assign->member_count * sizeof(*marks));

	if (!members || !marks)
		return false;
	for (uint32_t t = 0; t < w->assign->topic_count; t++) {
		uint32_t partitions = w->first[t + 1] - w->first[t], p = w->first[t];

		count = gather(w, t, members, marks, count);
		for (uint32_t i = 0; i < count && p < w->first[t + 1]; i++) {
			uint32_t share = partitions / count + (i < partitions % count);

			while (share-- > 0)
				give(w, p++, members[i]);
		}
	}
	return true;
}

/* --- all together --- */

static bool tell(struct work *w, struct arena *arena)
{
	struct assign *assign = w->assign;
	struct place *at = arena_alloc(arena, ((size_t)w->total + 1) * sizeof(*at));

	if (!at)
		return false;
	for (uint32_t m = 0; m < assign->member_count; at += w->loads[m++])
		assign->members[m].gets = (struct places){at, 0};
	for (uint32_t t = 0; t < assign->topic_count; t++) {
		for (uint32_t p = w->first[t]; p < w->first[t + 1]; p++) {
			struct places *gets = &assign->members[w->owners[p]].gets;

			gets->at[gets->count++] = (struct place){assign->topics[t].number, p - w->first[t]};
		}
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
		ok = range(&w, arena);
	} else {
		for (uint32_t m = 0; m < assign->member_count; m++)
			keep(&w, m);
		ok = w.kind_count == 1 ? uniform_same(&w, arena) : uniform_each(&w, arena);
	}
	return ok && tell(&w, arena) ? 0 : -ENOMEM;
}
