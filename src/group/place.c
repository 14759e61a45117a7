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
		for (i++; i < end; i++)
			wire_put_varint(out, places->at[i].partition - places->at[i - 1].partition);
		before = topic;
	}
}

/* The partitions of one topic; `ret_at` may be NULL. false: they are none. */
static bool get_topic(struct wire_reader *r, uint64_t topic, uint32_t *count, struct place *ret_at)
{
	uint64_t left = wire_varint(r), partition = 0;

	if (left == 0 || left > (uint64_t)(r->end - r->at))
		return false;
	for (uint64_t i = 0; i < left; i++) {
		uint64_t further = wire_varint(r);

		partition += further;
		if (r->failed || (i && !further) || further > INT32_MAX || partition > INT32_MAX || *count == UINT32_MAX)
			return false;
		if (ret_at)
			ret_at[*count] = (struct place){topic, (uint32_t)partition};
		++*count;
	}
	return true;
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

void target_put(struct buf *out, struct slice member, const struct places *places)
{
	struct buf bytes = {0};

	places_put(&bytes, places);
	wire_put_string(out, member);
	wire_put_string(out, buf_slice(&bytes));
	out->failed |= bytes.failed;
	buf_deinit(&bytes);
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
