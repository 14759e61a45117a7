#pragma once

#include "cli/fmt.h"

/* The table of queues, as `bide queues` and `bide top` show it. `queues` is an array of queue objects. */
void queues_table(struct table *table, const json_t *queues);
