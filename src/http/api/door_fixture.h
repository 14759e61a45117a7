/* The door on a stage: a real engine with real sockets, the door's own handler behind it, and a sequencer on a journal in memory
 * whose every entry is durable at once; all of it in the test's thread, and all of its memory through base/mem.h. */
#pragma once

#include "http/api/api.h"
#include "http/exchange/exchange_fixture.h"

int door_setup(void **state); /* *state: the stage */
int door_teardown(void **state);
/* Everything anew: no stream, no job, no connection. `many_items`: how many places on the board waits for many may take. */
void door_reset(struct stage *stage, uint64_t many_items);

/* A job that waits in a queue; its handle. */
struct slice door_job(void);

/* The last webhook that was to be called, and what came of it. */
struct door_hook {
	unsigned count; /* so many were, in all */
	uint64_t number, generation;
	char wake_id[WAKE_ID_CHARS + 1], token[SUBSCRIPTION_TOKEN_CHARS + 1];
};
const struct door_hook *door_hook(void);
void door_hooked(enum hook_result result);

void door_later(uint64_t ms); /* time moves for the sequencer */

uint64_t door_parked(void); /* waits of all kinds */
size_t door_pins(void);     /* of stored bytes, open now */
