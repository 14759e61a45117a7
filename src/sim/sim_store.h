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

/* Replays the entries that end at or before `until`: all of them, or the checkpoint, if there is one, and those behind it. 0 or
 * what the sequencer said. The sequencer may stand on a store of its own, which then learns who retains what. */
int sim_store_replay(const struct sim_store *sim, struct sequencer *s, bool from_checkpoint, uint64_t until) MUST_USE;

/* --- checkpoint, as the server takes it --- */
void sim_store_checkpoint_begin(struct sim_store *sim);
int sim_store_checkpoint_add(void *sim, uint8_t type, struct slice fields); /* as sequencer_snapshot wants it */
void sim_store_checkpoint_end(struct sim_store *sim);                       /* valid once durable reaches the present end */
void sim_store_checkpoint_abort(struct sim_store *sim);
bool sim_store_checkpointing(const struct sim_store *sim);

bool sim_store_has_checkpoint(const struct sim_store *sim);

size_t sim_store_count(const struct sim_store *sim); /* of entries */
struct store_replay sim_store_entry(const struct sim_store *sim, size_t i);

/* `tap` hears of every entry as it is appended. */
void sim_store_tap(struct sim_store *sim, void (*tap)(void *ctx, const struct store_replay *entry), void *ctx);

bool sim_store_lives(const struct sim_store *sim, const struct body_ref *ref);
/* The bytes of an entry's body, as it was handed out or tapped; they lie behind its fields. */
static inline struct slice sim_store_body(const struct store_replay *entry)
{
	return slice_from(entry->fields.ptr + entry->fields.len, entry->body_bytes);
}
uint64_t sim_store_bodies(const struct sim_store *sim); /* bodies that live */

/* A blob of these bytes, sealed. */
struct body_ref sim_store_blob(struct sim_store *sim, struct slice bytes);
