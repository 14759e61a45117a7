/* Which of a topic's partitions a key goes to, as Java's producer chooses unless told otherwise (murmur2, as Apache Kafka's
 * clients have it: seed 0x9747b28c): so whoever writes, the same key lies in the same partition. Pure. */
#pragma once

#include "base/slice.h"

/* 0 … partition_count - 1; partition_count is at least 1. */
uint32_t partition_of_key(struct slice key, uint32_t partition_count);
