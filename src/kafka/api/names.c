#include "kafka/api/names.h"

#include <stdlib.h>

static int by_bytes(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct kafka_name *x = a, *y = b;
	int order = by_bytes(x->name, y->name);

	return order ? order : (x->place > y->place) - (x->place < y->place);
}

void kafka_names_sort(struct kafka_name *names, size_t count)
{
	if (count)
		qsort(names, count, sizeof(*names), by_name);
}

const struct kafka_name *kafka_names_find(const struct kafka_name *names, size_t count, struct slice name)
{
	size_t from = 0, to = count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (by_bytes(names[middle].name, name) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from < count && slice_eq(names[from].name, name) ? &names[from] : NULL;
}
