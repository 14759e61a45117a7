/* A hashed timing wheel: 16384 slots of 4 ms (DESIGN: at most one tick late, never early). Adding and removing are O(1); the next
 * deadline is found through a bitmap; while nothing is due nothing ticks. Entries are a `struct list` and a deadline of their
 * owner's: no memory of the wheel's own. Pure: time comes in. */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct wheel;

struct wheel_entry {
	struct list node; /* zeroed, or as list_init leaves it: in no wheel */
	uint64_t deadline_ms;
	void (*expired)(struct wheel_entry *entry); /* may add and remove any entry */
};

struct wheel *wheel_new(uint64_t now_ms);
struct wheel *wheel_free(struct wheel *wheel);                     /* entries are not touched */
void wheel_add(struct wheel *wheel, struct wheel_entry *entry);    /* not in a wheel; a deadline in the past is due at once */
void wheel_remove(struct wheel *wheel, struct wheel_entry *entry); /* harmless when it is in none */
uint64_t wheel_next_ms(const struct wheel *wheel); /* no entry is due before this; UINT64_MAX: none at all. Never too late */
/* Calls what is due at now_ms, at most `limit` entries; true when more are due. */
bool wheel_advance(struct wheel *wheel, uint64_t now_ms, unsigned limit);
