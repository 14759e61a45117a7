/* What a group subscribes to, as topics that there are; and whether what its members are to have is just that.
 *
 * Regular expressions are held against each topic once: which matched is remembered with the group, by the expression's text. */
#include "group/consumer.h"
#include "group/group_priv.h"
#include "group/pattern.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>
#include <stdlib.h>

struct matched {
	struct list peers; /* in patterns->all */
	struct pattern *pattern;
	uint64_t seen;    /* topics up to this number were held against it */
	uint64_t version; /* of the topics, when those that are gone were last let go */
	uint64_t *topics;
	size_t count, cap;
	bool used;
};

struct group_patterns {
	struct list all;
};

static struct matched *matched_free(struct matched *matched)
{
	list_remove(&matched->peers);
	pattern_free(matched->pattern);
	mem_free(matched->topics);
	return mem_free(matched);
}

struct group_patterns *group_patterns_free(struct group_patterns *patterns)
{
	if (!patterns)
		return NULL;
	list_each_safe (node, &patterns->all)
		matched_free(container_of(node, struct matched, peers));
	return mem_free(patterns);
}

static int matched_get(struct group *group, struct slice regex, struct matched **ret_matched)
{
	struct matched *matched;
	int r;

	if (!group->patterns) {
		group->patterns = mem_zalloc(sizeof(*group->patterns));
		if (!group->patterns)
			return -ENOMEM;
		list_init(&group->patterns->all);
	}
	list_each (node, &group->patterns->all) {
		*ret_matched = container_of(node, struct matched, peers);
		if (slice_eq(pattern_text((*ret_matched)->pattern), regex))
			return 0;
	}
	matched = mem_zalloc(sizeof(*matched));
	if (!matched)
		return -ENOMEM;
	list_init(&matched->peers);
	r = pattern_new(regex, &matched->pattern);
	if (r) {
		matched_free(matched);
		return r;
	}
	list_push_back(&group->patterns->all, &matched->peers);
	*ret_matched = matched;
	return 0;
}

static int matched_add(struct matched *matched, uint64_t topic)
{
	if (matched->count == matched->cap) {
		size_t cap = matched->cap ? 2 * matched->cap : 8;
		uint64_t *topics = mem_realloc(matched->topics, cap * sizeof(*topics));

		if (!topics)
			return -ENOMEM;
		matched->topics = topics;
		matched->cap = cap;
	}
	matched->topics[matched->count++] = topic;
	return 0;
}

/* Those that came since. What takes too long is an error only for who brings the expression: later topics do without. */
static int matched_follow(struct matched *matched, const struct topic_source *topics, bool is_new)
{
	struct group_topic topic;

	while (topics->next(topics->ctx, matched->seen, &topic)) {
		int r = pattern_matches(matched->pattern, topic.name);

		if (r == -ENOMEM || (r == -E2BIG && is_new))
			return r == -ENOMEM ? r : -EINVAL;
		if (r == 1 && matched_add(matched, topic.number))
			return -ENOMEM;
		matched->seen = topic.number;
	}
	return 0;
}

static void matched_let_go(struct matched *matched, const struct topic_source *topics)
{
	struct group_topic topic;
	size_t kept = 0;

	if (matched->version == topics->version)
		return;
	for (size_t i = 0; i < matched->count; i++) {
		if (topics->get(topics->ctx, matched->topics[i], &topic))
			matched->topics[kept++] = matched->topics[i];
	}
	matched->count = kept;
	matched->version = topics->version;
}

int group_regex_judge(struct group *group, struct slice regex, const struct topic_source *topics)
{
	struct matched *matched;
	int r = matched_get(group, regex, &matched);

	if (r || matched->seen)
		return r;
	r = matched_follow(matched, topics, true);
	if (r)
		matched_free(matched);
	return r;
}

/* --- all together --- */

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint32_t without_doubles(uint64_t *numbers, size_t count)
{
	uint32_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; i < count && sorted; i++)
		sorted = numbers[i - 1] <= numbers[i];
	if (!sorted)
		qsort(numbers, count, sizeof(*numbers), by_number);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || numbers[kept - 1] != numbers[i])
			numbers[kept++] = numbers[i];
	}
	return kept;
}

struct numbers {
	uint64_t *at;
	uint32_t count;
};

static size_t count_strings(struct slice strings)
{
	struct wire_reader r = wire_reader_of(strings);
	size_t count = 0;

	for (; r.at < r.end; count++)
		wire_string(&r);
	return count;
}

/* The topics that a member subscribes to. */
static int subscribed(struct group *group, const struct consumer *consumer, const struct topic_source *topics,
		      struct arena *arena, struct numbers *ret_numbers)
{
	struct wire_reader r = wire_reader_of(consumer->said->topics);
	size_t room = count_strings(consumer->said->topics), count = 0;
	struct matched *matched = NULL;
	struct group_topic topic;
	int error = 0;

	if (consumer->said->regex.len) {
		error = matched_get(group, consumer->said->regex, &matched);
		if (error == -EINVAL)
			matched = NULL; /* it was one when it came; another library thinks otherwise */
		else if (error || matched_follow(matched, topics, false))
			return -ENOMEM;
	}
	if (matched) {
		matched->used = true;
		matched_let_go(matched, topics);
		room += matched->count;
	}
	ret_numbers->at = arena_alloc(arena, (room + 1) * sizeof(uint64_t));
	if (!ret_numbers->at)
		return -ENOMEM;
	while (r.at < r.end) {
		if (topics->find(topics->ctx, wire_string(&r), &topic))
			ret_numbers->at[count++] = topic.number;
	}
	for (size_t i = 0; matched && i < matched->count; i++)
		ret_numbers->at[count++] = matched->topics[i];
	ret_numbers->count = without_doubles(ret_numbers->at, count);
	return 0;
}

static void drop_unused(struct group *group)
{
	if (!group->patterns)
		return;
	list_each_safe (node, &group->patterns->all) {
		struct matched *matched = container_of(node, struct matched, peers);

		if (!matched->used)
			matched_free(matched);
		else
			matched->used = false;
	}
}

/* Members that subscribe to the same are a kind: a group of many, which mostly do, is no more work than one. */
struct kind {
	const struct consumer *one;
	struct numbers numbers;
	uint32_t *topics; /* places in assign->topics */
	uint32_t topic_count;
};

struct kinds {
	struct kind *at;
	uint32_t count;
	uint32_t *of; /* each member's, in their order */
};

static bool subscribe_alike(const struct consumer *a, const struct consumer *b)
{
	return a->said->subscription == b->said->subscription && slice_eq(a->said->topics, b->said->topics) &&
	       slice_eq(a->said->regex, b->said->regex);
}

static int find_kinds(const struct group *group, struct arena *arena, struct kinds *kinds)
{
	uint32_t size = 2, m = 0, *table; /* at the place of a hash, or behind it: a kind and 1; 0: none */

	while (size < 2 * group->consumer_count)
		size *= 2;
	table = arena_zalloc(arena, size * sizeof(*table));
	kinds->at = arena_zalloc(arena, ((size_t)group->consumer_count + 1) * sizeof(*kinds->at));
	kinds->of = arena_alloc(arena, ((size_t)group->consumer_count + 1) * sizeof(*kinds->of));
	if (!table || !kinds->at || !kinds->of)
		return -ENOMEM;
	list_each (node, &group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);
		uint32_t at = (uint32_t)consumer->said->subscription & (size - 1);

		while (table[at] && !subscribe_alike(kinds->at[table[at] - 1].one, consumer))
			at = (at + 1) & (size - 1);
		if (!table[at]) {
			kinds->at[kinds->count].one = consumer;
			table[at] = ++kinds->count;
		}
		kinds->of[m++] = table[at] - 1;
	}
	return 0;
}

/* What these kinds subscribe to, all together. */
static int unite(const struct kind *kinds, uint32_t count, struct arena *arena, struct numbers *ret)
{
	struct numbers a, b, both = {0};

	if (count == 1) {
		*ret = kinds[0].numbers;
		return 0;
	}
	if (unite(kinds, count / 2, arena, &a) || unite(kinds + count / 2, count - count / 2, arena, &b))
		return -ENOMEM;
	both.at = arena_alloc(arena, ((size_t)a.count + b.count + 1) * sizeof(*both.at));
	if (!both.at)
		return -ENOMEM;
	for (uint32_t i = 0, n = 0; i < a.count || n < b.count;) {
		uint64_t next = n == b.count || (i < a.count && a.at[i] <= b.at[n]) ? a.at[i] : b.at[n];

		i += i < a.count && a.at[i] == next;
		n += n < b.count && b.at[n] == next;
		both.at[both.count++] = next;
	}
	*ret = both;
	return 0;
}

static int list_topics(const struct topic_source *topics, const struct kinds *kinds, struct arena *arena, struct assign *assign)
{
	struct numbers all = {0};
	struct group_topic topic;

	if (kinds->count && unite(kinds->at, kinds->count, arena, &all))
		return -ENOMEM;
	assign->topics = arena_alloc(arena, ((size_t)all.count + 1) * sizeof(*assign->topics));
	if (!assign->topics)
		return -ENOMEM;
	for (uint32_t i = 0; i < all.count; i++) {
		if (topics->get(topics->ctx, all.at[i], &topic))
			assign->topics[assign->topic_count++] = (struct assign_topic){topic.number, topic.partition_count};
	}
	return 0;
}

static int by_topic(const void *key, const void *topic)
{
	return by_number(key, &((const struct assign_topic *)topic)->number);
}

/* The topic's place in assign->topics; mostly it is the next one. */
static const struct assign_topic *topic_at(const struct assign *assign, uint64_t number, uint32_t next)
{
	if (next < assign->topic_count && assign->topics[next].number == number)
		return &assign->topics[next];
	return assign->topic_count ? bsearch(&number, assign->topics, assign->topic_count, sizeof(assign->topics[0]), by_topic)
				   : NULL;
}

/* `before`: another kind, or NULL; expressions differ, and may mean the same. */
static int kind_topics(struct kind *kind, const struct kind *before, const struct assign *assign, struct arena *arena)
{
	uint32_t next = 0;

	kind->topics = arena_alloc(arena, (kind->numbers.count + 1) * sizeof(*kind->topics));
	if (!kind->topics)
		return -ENOMEM;
	for (uint32_t i = 0; i < kind->numbers.count; i++) {
		const struct assign_topic *topic = topic_at(assign, kind->numbers.at[i], next);

		if (!topic)
			continue;
		kind->topics[kind->topic_count++] = (uint32_t)(topic - assign->topics);
		next = (uint32_t)(topic - assign->topics) + 1;
	}
	if (before && before->topic_count == kind->topic_count &&
	    memcmp(before->topics, kind->topics, kind->topic_count * sizeof(*kind->topics)) == 0)
		kind->topics = before->topics;
	return 0;
}

static int kinds_subscribe(struct group *group, const struct topic_source *topics, struct arena *arena, struct kinds *kinds,
			   struct assign *assign)
{
	int r = find_kinds(group, arena, kinds);

	for (uint32_t k = 0; k < kinds->count && !r; k++)
		r = subscribed(group, kinds->at[k].one, topics, arena, &kinds->at[k].numbers);
	drop_unused(group);
	if (!r)
		r = list_topics(topics, kinds, arena, assign);
	for (uint32_t k = 0; k < kinds->count && !r; k++)
		r = kind_topics(&kinds->at[k], k ? &kinds->at[k - 1] : NULL, assign, arena);
	return r;
}

int group_subscriptions(struct group *group, const struct topic_source *topics, struct arena *arena, struct assign *ret_assign)
{
	struct assign assign = {.member_count = group->consumer_count};
	struct kinds kinds = {0};
	uint32_t m = 0;
	int r = kinds_subscribe(group, topics, arena, &kinds, &assign);

	if (r)
		return r;
	assign.members = arena_zalloc(arena, ((size_t)group->consumer_count + 1) * sizeof(*assign.members));
	if (!assign.members)
		return -ENOMEM;
	list_each (node, &group->consumers) {
		const struct kind *kind = &kinds.at[kinds.of[m]];

		assign.members[m++] = (struct assign_member){.topics = kind->topics,
							     .topic_count = kind->topic_count,
							     .had = container_of(node, struct consumer, peers)->target};
	}
	*ret_assign = assign;
	return 0;
}

uint64_t group_topics_hash(const struct groups *groups, const struct assign *assign)
{
	uint64_t hash = 1;

	for (uint32_t t = 0; t < assign->topic_count; t++)
		hash = hash_u64(&groups->hash_key, hash ^ assign->topics[t].number, assign->topics[t].partition_count);
	return hash ? hash : 1;
}

bool group_targets_cover(const struct groups *groups, const struct group *group, const struct assign *assign)
{
	uint64_t wanted = 0, had = 0;

	for (uint32_t t = 0; t < assign->topic_count; t++) {
		for (uint32_t p = 0; p < assign->topics[t].partition_count; p++)
			wanted += hash_u64(&groups->hash_key, assign->topics[t].number, p);
	}
	list_each (node, &group->consumers) {
		const struct places *target = &container_of(node, const struct consumer, peers)->target;

		for (uint32_t i = 0; i < target->count; i++)
			had += hash_u64(&groups->hash_key, target->at[i].topic, target->at[i].partition);
	}
	return wanted == had;
}

enum assignor group_assignor(const struct group *group)
{
	uint32_t votes[ASSIGNOR_COUNT] = {0};
	enum assignor best = ASSIGN_UNIFORM, one;

	list_each (node, &group->consumers) {
		if (assignor_find(container_of(node, const struct consumer, peers)->said->assignor, &one))
			votes[one]++;
	}
	for (unsigned i = 0; i < ASSIGNOR_COUNT; i++) {
		if (votes[i] > votes[best])
			best = (enum assignor)i;
	}
	return best;
}
