/* Open addressing, one slot after the other. A quarter of the slots stays free, so that what is looked for is found soon. */
#include "compaction/key_map.h"

#include "base/mem.h"

#include <errno.h>

enum { SLOTS_MIN = 16 };

int key_map_init(struct key_map *map, uint64_t keys, uint64_t bytes_max)
{
	uint64_t cap = bytes_max / sizeof(struct key_slot), wanted = keys + keys / 3 + SLOTS_MIN;

	*map = (struct key_map){.cap = wanted < cap ? wanted : cap < SLOTS_MIN ? SLOTS_MIN : cap};
	map->slots = mem_zalloc((size_t)(map->cap * sizeof(struct key_slot)));
	return map->slots ? 0 : -ENOMEM;
}

void key_map_deinit(struct key_map *map)
{
	mem_free(map->slots);
	*map = (struct key_map){0};
}

/* Where it is, or could be. */
static struct key_slot *slot_of(const struct key_map *map, uint64_t high, uint64_t low)
{
	uint64_t i = (uint64_t)((unsigned __int128)high * map->cap >> 64);

	while (map->slots[i].offset && (map->slots[i].high != high || map->slots[i].low != low))
		i = i + 1 < map->cap ? i + 1 : 0;
	return &map->slots[i];
}

bool key_map_put(struct key_map *map, uint64_t high, uint64_t low, uint64_t offset)
{
	struct key_slot *slot = slot_of(map, high, low);

	if (!slot->offset && map->count >= map->cap - map->cap / 4)
		return false;
	map->count += !slot->offset;
	*slot = (struct key_slot){high, low, offset + 1};
	return true;
}

bool key_map_is_behind(const struct key_map *map, uint64_t high, uint64_t low, uint64_t offset)
{
	return map->cap && slot_of(map, high, low)->offset > offset + 1;
}
