/* The last offset of each key; of a fixed size. */
#pragma once

#include "base/slice.h"

struct key_slot {
	uint64_t high, low; /* of the key's hashes */
	uint64_t offset;    /* and 1; 0: the slot is free */
};

struct key_map {
	struct key_slot *slots;
	uint64_t count, cap;
};

/* For `keys` keys, or as many as fit in so many bytes; empty. 0 or -ENOMEM. */
int key_map_init(struct key_map *map, uint64_t keys, uint64_t bytes_max) MUST_USE;
void key_map_deinit(struct key_map *map);

/* A greater offset than any before. False: it is full, and does not know the key. */
bool key_map_put(struct key_map *map, uint64_t high, uint64_t low, uint64_t offset);
/* Whether the key has a record behind that offset. */
bool key_map_is_behind(const struct key_map *map, uint64_t high, uint64_t low, uint64_t offset);
