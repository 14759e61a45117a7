#include "group/place.h"

#include "base/wire.h"

#include <errno.h>
#include <stdlib.h>

bool places_have(const struct places *places, struct place place)
{
	uint32_t from = 0, to = places->count;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		int order = place_order(places->at[middle], place);

		if (order == 0)
			return true;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

bool places_eq(const struct places *a, const struct places *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		if (place_order(a->at[i], b->at[i]))
			return false;
	}
	return true;
}

static int by_order(const void *a, const void *b)
{
	return place_order(*(const struct place *)a, *(const struct place *)b);
}

void places_sort(struct places *places)
{
	uint32_t count = 0;

	if (places->count)
		qsort(places->at, places->count, sizeof(*places->at), by_order);
	for (uint32_t i = 0; i < places->count; i++) {
		if (count == 0 || place_order(places->at[count - 1], places->at[i]))
			places->at[count++] = places->at[i];
	}
	places->count = count;
}

static void put_further(struct buf *out, const struct place *at, uint32_t count)
{
	for (uint32_t i = 1, run = 0; i < count; i += run ? run : 1) {
		for (run = 0; i + run < count && at[i + run].partition == at[i + run - 1].partition + 1;)
			run++;
		if (run > 1) {
			wire_put_varint(out, 0);
			wire_put_varint(out, run);
		} else {
			wire_put_varint(out, at[i].partition - at[i - 1].partition);
		}
	}
}

void places_put(struct buf *out, const struct places *places)
{
	uint64_t before = 0;

	for (uint32_t i = 0; i < places->count;) {
		uint64_t topic = places->at[i].topic;
		uint32_t end = i + 1;

		while (end < places->count && places->at[end].topic == topic)
			end++;
		wire_put_varint(out, topic - before);
		wire_put_varint(out, end - i);
		wire_put_varint(out, places->at[i].partition);
		put_further(out, &places->at[i], end - i);
		before = topic;
		i = end;
	}
}

/* The partitions of one topic; `ret_at` may be NULL. false: they are none. */
static bool get_topic(struct wire_reader *r, uint64_t topic, uint32_t *count, struct place *ret_at)
{
	uint64_t left = wire_varint(r), partition = wire_varint(r), run = 1;

	if (left == 0 || left > PLACES_MAX - *count)
		return false;
	while (true) {
		uint64_t further;

		if (r->failed || run == 0 || run > left || partition > INT32_MAX || run - 1 > INT32_MAX - partition)
			return false;
		for (uint64_t i = 0; i < run && ret_at; i++)
			ret_at[*count + i] = (struct place){topic, (uint32_t)(partition + i)};
		*count += (uint32_t)run;
		left -= run;
		if (left == 0)
			return true;
		further = wire_varint(r);
		if (further > INT32_MAX)
			return false;
		partition += run - 1 + (further ? further : 1);
		run = further ? 1 : wire_varint(r);
	}
}

static int get(struct slice bytes, uint32_t *count, struct place *ret_at)
{
	struct wire_reader r = wire_reader_of(bytes);
	uint64_t topic = 0;

	while (r.at < r.end) {
		uint64_t further = wire_varint(&r);

		if (further == 0 || further >= UINT64_MAX / 4 || topic + further >= UINT64_MAX / 4)
			return -EBADMSG;
		topic += further;
		if (!get_topic(&r, topic, count, ret_at))
			return -EBADMSG;
	}
	return r.failed ? -EBADMSG : 0;
}

int places_measure(struct slice bytes, uint32_t *ret_count)
{
	uint32_t count = 0;
	int r = get(bytes, &count, NULL);

	if (!r)
		*ret_count = count;
	return r;
}

void places_get(struct slice bytes, struct place *ret_at)
{
	uint32_t count = 0;

	(void)get(bytes, &count, ret_at);
}

void target_put(struct buf *out, struct slice member, struct slice places)
{
	wire_put_string(out, member);
	wire_put_string(out, places);
}

int target_get(struct slice *targets, struct slice *ret_member, struct slice *ret_places)
{
	struct wire_reader r = wire_reader_of(*targets);
	struct slice member = wire_string(&r), places = wire_string(&r);

	if (r.failed)
		return -EBADMSG;
	*targets = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_member = member;
	*ret_places = places;
	return 0;
}
