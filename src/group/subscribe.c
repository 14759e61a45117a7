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
	uint64_t seen; /* topics up to this number were held against it */
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

	if (count)
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

/* What all of them subscribe to and there is. */
static int unite(const struct topic_source *topics, const struct numbers *each, size_t count, struct arena *arena,
		 struct assign *assign)
{
	struct group_topic topic;
	size_t total = 0, at = 0;
	uint64_t *all;

	for (size_t m = 0; m < count; m++)
		total += m && each[m].at == each[m - 1].at ? 0 : each[m].count;
	all = arena_alloc(arena, (total + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t m = 0; m < count; m++) {
		if (m && each[m].at == each[m - 1].at)
			continue;
		if (each[m].count)
			memcpy(all + at, each[m].at, each[m].count * sizeof(*all));
		at += each[m].count;
	}
	total = without_doubles(all, total);
	assign->topics = arena_alloc(arena, (total + 1) * sizeof(*assign->topics));
	if (!assign->topics)
		return -ENOMEM;
	for (size_t i = 0; i < total; i++) {
		if (topics->next(topics->ctx, all[i] - 1, &topic) && topic.number == all[i])
			assign->topics[assign->topic_count++] = (struct assign_topic){topic.number, topic.partition_count};
	}
	return 0;
}

static int by_topic(const void *key, const void *topic)
{
	return by_number(key, &((const struct assign_topic *)topic)->number);
}

static int member_topics(const struct numbers *numbers, struct arena *arena, const struct assign *assign,
			 struct assign_member *member)
{
	uint32_t *places = arena_alloc(arena, (numbers->count + 1) * sizeof(*places));

	if (!places)
		return -ENOMEM;
	member->topics = places;
	for (uint32_t i = 0; i < numbers->count && assign->topic_count; i++) {
		const struct assign_topic *topic =
			bsearch(&numbers->at[i], assign->topics, assign->topic_count, sizeof(*topic), by_topic);

		if (topic)
			places[member->topic_count++] = (uint32_t)(topic - assign->topics);
	}
	return 0;
}

static bool subscribe_alike(const struct consumer *a, const struct consumer *b)
{
	return slice_eq(a->said->topics, b->said->topics) && slice_eq(a->said->regex, b->said->regex);
}

/* Members that subscribe to the same share what that is: a group of many, which mostly do, is no more work than one. */
static int each_subscribes(struct group *group, const struct topic_source *topics, struct arena *arena, struct numbers *each)
{
	const struct consumer *before = NULL;
	size_t m = 0;
	int r = 0;

	list_each (node, &group->consumers) {
		const struct consumer *consumer = container_of(node, struct consumer, peers);

		if (before && subscribe_alike(before, consumer))
			each[m] = each[m - 1];
		else
			r = subscribed(group, consumer, topics, arena, &each[m]);
		if (r)
			break;
		before = consumer;
		m++;
	}
	drop_unused(group);
	return r;
}

int group_subscriptions(struct group *group, const struct topic_source *topics, struct arena *arena, struct assign *ret_assign)
{
	struct numbers *each = arena_zalloc(arena, ((size_t)group->consumer_count + 1) * sizeof(*each));
	struct assign assign = {.member_count = group->consumer_count};
	uint32_t m = 0;
	int r = -ENOMEM;

	assign.members = arena_zalloc(arena, ((size_t)group->consumer_count + 1) * sizeof(*assign.members));
	if (!each || !assign.members)
		return r;
	r = each_subscribes(group, topics, arena, each);
	if (!r)
		r = unite(topics, each, group->consumer_count, arena, &assign);
	list_each (node, &group->consumers) {
		struct assign_member *member = &assign.members[m];

		member->had = container_of(node, struct consumer, peers)->target;
		if (!r && m && each[m].at == each[m - 1].at) {
			member->topics = member[-1].topics;
			member->topic_count = member[-1].topic_count;
		} else if (!r) {
			r = member_topics(&each[m], arena, &assign, member);
		}
		m++;
	}
	*ret_assign = assign;
	return r;
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
