/* Many names of one request, sorted, so that finding one, or those that are named twice, takes no look at all the others. */
#pragma once

#include "base/slice.h"

struct kafka_name {
	struct slice name;
	uint32_t place; /* where it stands in its request */
};

void kafka_names_sort(struct kafka_name *names, size_t count); /* by name; the same ones by their place */

/* The first of that name; NULL: it is not there. */
const struct kafka_name *kafka_names_find(const struct kafka_name *names, size_t count, struct slice name);
