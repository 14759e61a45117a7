/* A journal in memory that fails on purpose: it loses its unsynced tail, runs full, refuses to sync. It keeps the store's
 * contract (sequencer/store.h) and panics when the sequencer breaks its own side of it. */
#pragma once

#include "sequencer/sequencer.h"

struct sim_store;

struct sim_store *sim_store_new(void);
struct sim_store *sim_store_free(struct sim_store *sim);
struct store *sim_store_interface(struct sim_store *sim);

uint64_t sim_store_end(const struct sim_store *sim);
uint64_t sim_store_durable(const struct sim_store *sim);

/* What was appended until `position` becomes durable (a sync that began when the end was there has returned). */
void sim_store_sync(struct sim_store *sim, uint64_t position);

/* Power is cut: of what was not durable, the entries that end at or before `keep_until` reached the disk all the same; the rest
 * is gone, and with it who retained what. */
void sim_store_crash(struct sim_store *sim, uint64_t keep_until);

/* Appends without reserve are refused while full; with failed set, all. */
void sim_store_set_full(struct sim_store *sim, bool full);
void sim_store_set_failed(struct sim_store *sim, bool failed);

/* Replays the checkpoint, if there is one, and the entries behind it. 0 or what the sequencer said. */
int sim_store_replay(struct sim_store *sim, struct sequencer *s) MUST_USE;

/* --- checkpoint, as the server takes it --- */
void sim_store_checkpoint_begin(struct sim_store *sim);
int sim_store_checkpoint_add(void *sim, uint8_t type, struct slice fields); /* as sequencer_snapshot wants it */
void sim_store_checkpoint_end(struct sim_store *sim); /* valid once durable reaches the present end */
bool sim_store_checkpointing(const struct sim_store *sim);

/* Hands every old entry with a body to `each`, as the tidier does with a segment. */
void sim_store_walk(struct sim_store *sim, uint64_t until, void (*each)(void *ctx, const struct store_replay *entry), void *ctx);

uint64_t sim_store_bodies(const struct sim_store *sim); /* bodies that live */

/* A blob of these bytes, sealed. */
struct body_ref sim_store_blob(struct sim_store *sim, struct slice bytes);
