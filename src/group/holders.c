/* What changes hands is written where it lies; the order is that first all is taken, then the rest is let go, so that no stretch
 * goes between. */
#include "group/holders.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static uint32_t first_of(struct place place)
{
	return place.partition - place.partition % STRETCH_PLACES;
}

static uint64_t stretch_hash(const struct groups *groups, const struct group *group, struct place place)
{
	return hash_u64(&groups->hash_key, hash_u64(&groups->hash_key, group->number, place.topic), first_of(place));
}

static bool lies_in(const struct stretch *stretch, struct place place)
{
	return stretch->topic == place.topic && stretch->first == first_of(place);
}

/* `near`: the one before, or NULL; mostly it is the same. */
static struct stretch *stretch_find(const struct groups *groups, const struct group *group, struct place place,
				    struct stretch *near)
{
	struct hash_node *node;

	if (near && lies_in(near, place))
		return near;
	node = hash_first(&groups->held, stretch_hash(groups, group, place));
	for (; node; node = hash_next(&groups->held, node)) {
		struct stretch *stretch = container_of(node, struct stretch, by_place);

		if (stretch->group == group && lies_in(stretch, place))
			return stretch;
	}
	return NULL;
}

struct consumer *holder_find(const struct groups *groups, const struct group *group, struct place place, struct stretch **near)
{
	*near = stretch_find(groups, group, place, *near);
	return *near ? (*near)->holders[place.partition % STRETCH_PLACES] : NULL;
}

static bool add_fresh(const struct group *group, struct place place, struct stretch **fresh)
{
	struct stretch *stretch;

	if (*fresh && lies_in(*fresh, place))
		return true;
	stretch = mem_zalloc(sizeof(*stretch));
	if (!stretch)
		return false;
	stretch->group = group;
	stretch->topic = place.topic;
	stretch->first = first_of(place);
	stretch->next = *fresh;
	*fresh = stretch;
	return true;
}

int holders_prepare(const struct groups *groups, const struct consumer *consumer, const struct holding *next,
		    struct stretch **ret_fresh)
{
	struct stretch *near = NULL;

	*ret_fresh = NULL;
	for (uint32_t i = 0; i < next->count; i++) {
		struct place place = next->at[i].place;
		const struct consumer *holder;

		near = *ret_fresh && lies_in(*ret_fresh, place) ? NULL : stretch_find(groups, consumer->group, place, near);
		holder = near ? near->holders[place.partition % STRETCH_PLACES] : NULL;
		if (holder && holder != consumer)
			return -EBADMSG;
		if (!near && !add_fresh(consumer->group, place, ret_fresh))
			return -ENOMEM;
	}
	return 0;
}

struct stretch *stretches_free(struct stretch *fresh)
{
	while (fresh) {
		struct stretch *next = fresh->next;

		mem_free(fresh);
		fresh = next;
	}
	return NULL;
}

static void take_all(struct groups *groups, struct consumer *consumer, const struct holding *next)
{
	struct stretch *near = NULL;

	for (uint32_t i = 0; next && i < next->count; i++) {
		struct place place = next->at[i].place;
		struct consumer **holder;

		near = stretch_find(groups, consumer->group, place, near);
		holder = &near->holders[place.partition % STRETCH_PLACES];
		near->count += !*holder;
		*holder = consumer;
	}
}

static void let_go_of_rest(struct groups *groups, struct consumer *consumer, const struct holding *next)
{
	const struct holding *before = consumer->holding;
	struct stretch *near = NULL;

	for (uint32_t i = 0, n = 0; before && i < before->count; i++) {
		struct place place = before->at[i].place;

		while (next && n < next->count && place_order(next->at[n].place, place) < 0)
			n++;
		if (next && n < next->count && place_order(next->at[n].place, place) == 0)
			continue;
		near = stretch_find(groups, consumer->group, place, near);
		near->holders[place.partition % STRETCH_PLACES] = NULL;
		if (--near->count == 0) {
			hash_remove(&groups->held, &near->by_place);
			near = mem_free(near);
		}
	}
}

void holders_set(struct groups *groups, struct consumer *consumer, const struct holding *next, struct stretch **fresh)
{
	while (*fresh) {
		struct stretch *stretch = *fresh;
		struct place place = {stretch->topic, stretch->first};

		*fresh = stretch->next;
		ENSURE(hash_insert(&groups->held, &stretch->by_place, stretch_hash(groups, stretch->group, place)) == 0);
	}
	take_all(groups, consumer, next);
	let_go_of_rest(groups, consumer, next);
}

void holders_check(const struct groups *groups, const struct consumer *consumer)
{
	for (uint32_t i = 0; consumer->holding && i < consumer->holding->count; i++) {
		struct place place = consumer->holding->at[i].place;
		const struct stretch *stretch = stretch_find(groups, consumer->group, place, NULL);
		uint32_t count = 0;

		ENSURE(stretch && stretch->holders[place.partition % STRETCH_PLACES] == consumer);
		for (uint32_t n = 0; n < STRETCH_PLACES; n++)
			count += stretch->holders[n] != NULL;
		ENSURE(count == stretch->count);
	}
}
