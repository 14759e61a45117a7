/* Entries lie in an array, a crash cuts it. Memory of its own is not base/mem.h's: an injected lack of memory is meant for the
 * core, and only where the store's contract lets it fail (append, pin) does it ask there. */
#include "sim/sim_store.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>

enum { FRAME_BYTES = 32 };

struct sim_entry {
	struct store_replay replay;
	char *bytes; /* fields, then body */
};

struct sim_body {
	struct hash_node node;
	struct body_ref ref;
	uint64_t lives; /* how often it is retained: 0 or 1 */
	struct slice blob;
};

struct entries {
	struct sim_entry *at;
	size_t count, cap;
};

struct sim_store {
	struct store store;
	struct entries journal;
	struct entries snapshot, snapshot_new;
	uint64_t end, durable;
	uint64_t snapshot_start, snapshot_new_start, snapshot_new_end; /* new_end: 0 while still being written */
	bool snapshotting, full, failed;
	struct hash bodies;
	struct sim_body **all; /* every body there ever was */
	size_t body_count, body_cap;
	uint64_t next_blob;
	void (*tap)(void *ctx, const struct store_replay *entry);
	void *tap_ctx;
};

struct sim_pin {
	struct store_pin pin;
	const char *bytes;
};

static const struct hash_key key = {1, 2};

static struct sim_store *sim_of(const struct store *store)
{
	return container_of(store, struct sim_store, store);
}

static void entries_add(struct entries *entries, const struct sim_entry *entry)
{
	if (entries->count == entries->cap) {
		entries->cap = entries->cap ? entries->cap * 2 : 64;
		entries->at = realloc(entries->at, entries->cap * sizeof(*entries->at));
		ENSURE(entries->at);
	}
	entries->at[entries->count++] = *entry;
}

static void entries_cut(struct entries *entries, size_t count)
{
	while (entries->count > count)
		mem_free(entries->at[--entries->count].bytes);
}

static void entries_free(struct entries *entries)
{
	entries_cut(entries, 0);
	mem_free(entries->at);
	*entries = (struct entries){0};
}

static struct sim_body *body_find(const struct sim_store *sim, const struct body_ref *ref)
{
	uint64_t hash = hash_u64(&key, ref->place, ref->kind);

	for (struct hash_node *n = hash_first(&sim->bodies, hash); n; n = hash_next(&sim->bodies, n)) {
		struct sim_body *body = container_of(n, struct sim_body, node);

		if (body->ref.place == ref->place && body->ref.kind == ref->kind)
			return body;
	}
	return NULL;
}

static struct sim_body *body_add(struct sim_store *sim, const struct body_ref *ref)
{
	struct sim_body *body = calloc(1, sizeof(*body));

	ENSURE(body);
	body->ref = *ref;
	if (sim->body_count == sim->body_cap) {
		sim->body_cap = sim->body_cap ? sim->body_cap * 2 : 64;
		sim->all = realloc(sim->all, sim->body_cap * sizeof(struct sim_body *));
		ENSURE(sim->all);
	}
	sim->all[sim->body_count++] = body;
	ENSURE(hash_insert(&sim->bodies, &body->node, hash_u64(&key, ref->place, ref->kind)) == 0);
	return body;
}

/* --- the store's operations --- */

static int op_append(struct store *store, const struct store_entry *entry, struct store_appended *ret)
{
	struct sim_store *sim = sim_of(store);
	struct sim_entry e = {0};

	if (sim->failed)
		return -EIO;
	if (sim->full && !entry->reserve)
		return STORE_NO_SPACE;
	e.bytes = mem_alloc(entry->fields.len + entry->body.len + 1);
	if (!e.bytes)
		return -ENOMEM;
	if (entry->fields.len)
		memcpy(e.bytes, entry->fields.ptr, entry->fields.len);
	if (entry->body.len)
		memcpy(e.bytes + entry->fields.len, entry->body.ptr, entry->body.len);
	e.replay = (struct store_replay){
		.position = sim->end,
		.end = (sim->end + FRAME_BYTES + entry->fields.len + entry->body.len + 7) & ~7ULL,
		.body_place = entry->body.len ? sim->end + FRAME_BYTES + entry->fields.len : 0,
		.body_bytes = entry->body.len,
		.body_crc = crc32c(0, entry->body.ptr, entry->body.len),
		.time_ms = entry->time_ms,
		.fields = {e.bytes, entry->fields.len},
		.type = entry->type,
		.shard = entry->shard,
	};
	entries_add(&sim->journal, &e);
	sim->end = e.replay.end;
	*ret = (struct store_appended){.position = e.replay.position, .end = e.replay.end};
	if (entry->body.len)
		ret->body = (struct body_ref){e.replay.body_place, entry->body.len, e.replay.body_crc, BODY_INLINE};
	if (sim->tap)
		sim->tap(sim->tap_ctx, &e.replay);
	return 0;
}

static uint64_t op_durable(const struct store *store)
{
	return sim_of(store)->durable;
}

static void op_retain(struct store *store, const struct body_ref *ref)
{
	struct sim_store *sim = sim_of(store);
	struct sim_body *body;

	if (ref->kind == BODY_NONE)
		return;
	body = body_find(sim, ref);
	if (!body)
		body = body_add(sim, ref);
	ENSURE(body->lives == 0);
	body->lives = 1;
}

static void op_release(struct store *store, const struct body_ref *ref)
{
	struct sim_body *body = body_find(sim_of(store), ref);

	ENSURE(body && (body->lives == 1 || ref->kind == BODY_BLOB));
	body->lives = 0;
}

static const char *body_bytes(const struct sim_store *sim, const struct body_ref *ref)
{
	size_t low = 0, high = sim->journal.count;

	if (ref->kind == BODY_BLOB)
		return body_find(sim, ref)->blob.ptr;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (sim->journal.at[middle].replay.end <= ref->place)
			low = middle + 1;
		else
			high = middle;
	}
	ENSURE(low < sim->journal.count && sim->journal.at[low].replay.body_place == ref->place);
	return sim->journal.at[low].bytes + sim->journal.at[low].replay.fields.len;
}

static int pin_read(struct store_pin *pin, uint64_t offset, void *out, size_t len)
{
	const struct sim_pin *p = container_of(pin, struct sim_pin, pin);

	if (offset > pin->ref.size_bytes || len > pin->ref.size_bytes - offset)
		return -EIO;
	memcpy(out, p->bytes + offset, len);
	return 0;
}

static int pin_read_whole(struct store_pin *pin, void *out)
{
	int r = pin_read(pin, 0, out, pin->ref.size_bytes);

	return r || crc32c(0, out, pin->ref.size_bytes) == pin->ref.crc ? r : -EIO;
}

static int pin_file(struct store_pin *pin, uint64_t *ret_offset)
{
	(void)pin;
	(void)ret_offset;
	return -EBADF;
}

static void pin_unpin(struct store_pin *pin)
{
	mem_free(container_of(pin, struct sim_pin, pin));
}

static const struct store_pin_ops pin_ops = {
	.read = pin_read, .read_whole = pin_read_whole, .file = pin_file, .unpin = pin_unpin};

static struct store_pin *op_pin(struct store *store, const struct body_ref *ref)
{
	struct sim_store *sim = sim_of(store);
	struct sim_body *body = body_find(sim, ref);
	struct sim_pin *pin;

	ENSURE(body && body->lives);
	ENSURE(ref->kind != BODY_BLOB || body->blob.ptr);
	pin = mem_alloc(sizeof(*pin));
	if (!pin)
		return NULL;
	*pin = (struct sim_pin){{&pin_ops, *ref}, body_bytes(sim, ref)};
	return &pin->pin;
}

static int op_blob_open(struct store *store, struct blob **ret_blob)
{
	(void)store;
	(void)ret_blob;
	return -EIO; /* doors write blobs; the simulator has its own way (sim_store_blob) */
}

static const struct store_ops ops = {op_append, op_durable, op_retain, op_release, op_pin, op_blob_open};

/* --- what the simulator does with it --- */

struct sim_store *sim_store_new(void)
{
	struct sim_store *sim = calloc(1, sizeof(*sim));
	struct hash_node node;

	ENSURE(sim);
	sim->store.ops = &ops;
	sim->next_blob = 1;
	sim->end = sim->durable = 64; /* no entry lies at 0 */
	hash_init(&sim->bodies);
	ENSURE(hash_insert(&sim->bodies, &node, 0) == 0); /* only the first insert can lack memory */
	hash_remove(&sim->bodies, &node);
	return sim;
}

struct sim_store *sim_store_free(struct sim_store *sim)
{
	if (!sim)
		return NULL;
	entries_free(&sim->journal);
	entries_free(&sim->snapshot);
	entries_free(&sim->snapshot_new);
	for (size_t i = 0; i < sim->body_count; i++) {
		mem_free((char *)(uintptr_t)sim->all[i]->blob.ptr);
		mem_free(sim->all[i]);
	}
	mem_free(sim->all);
	hash_deinit(&sim->bodies);
	return mem_free(sim);
}

struct store *sim_store_interface(struct sim_store *sim)
{
	return &sim->store;
}

uint64_t sim_store_end(const struct sim_store *sim)
{
	return sim->end;
}

uint64_t sim_store_durable(const struct sim_store *sim)
{
	return sim->durable;
}

void sim_store_sync(struct sim_store *sim, uint64_t position)
{
	ENSURE(position <= sim->end && position >= sim->durable);
	sim->durable = position;
	if (!sim->snapshotting && sim->snapshot_new_end && sim->durable >= sim->snapshot_new_end) {
		entries_free(&sim->snapshot);
		sim->snapshot = sim->snapshot_new;
		sim->snapshot_start = sim->snapshot_new_start;
		sim->snapshot_new = (struct entries){0};
		sim->snapshot_new_end = 0;
	}
}

void sim_store_crash(struct sim_store *sim, uint64_t keep_until)
{
	size_t keep = sim->journal.count;

	if (keep_until < sim->durable)
		keep_until = sim->durable;
	while (keep > 0 && sim->journal.at[keep - 1].replay.end > keep_until)
		keep--;
	entries_cut(&sim->journal, keep);
	sim->end = keep ? sim->journal.at[keep - 1].replay.end : 64;
	sim->durable = sim->end;
	for (size_t i = 0; i < sim->body_count; i++)
		sim->all[i]->lives = 0;
	entries_free(&sim->snapshot_new);
	sim->snapshot_new_end = 0;
	sim->snapshotting = false;
	sim->failed = false;
}

void sim_store_set_full(struct sim_store *sim, bool full)
{
	sim->full = full;
}

void sim_store_set_failed(struct sim_store *sim, bool failed)
{
	sim->failed = failed;
}

int sim_store_replay(const struct sim_store *sim, struct sequencer *s, bool from_checkpoint, uint64_t until)
{
	int r = 0;

	for (size_t i = 0; from_checkpoint && i < sim->snapshot.count && !r; i++)
		r = sequencer_replay(s, &sim->snapshot.at[i].replay);
	for (size_t i = 0; i < sim->journal.count && !r && sim->journal.at[i].replay.end <= until; i++) {
		if (!from_checkpoint || sim->journal.at[i].replay.position >= sim->snapshot_start)
			r = sequencer_replay(s, &sim->journal.at[i].replay);
	}
	return r;
}

void sim_store_checkpoint_begin(struct sim_store *sim)
{
	entries_free(&sim->snapshot_new);
	sim->snapshot_new_start = sim->end;
	sim->snapshot_new_end = 0;
	sim->snapshotting = true;
}

int sim_store_checkpoint_add(void *ctx, uint8_t type, struct slice fields)
{
	struct sim_store *sim = ctx;
	struct sim_entry e = {.bytes = mem_dup(fields.ptr, fields.len)};

	if (!e.bytes)
		return -ENOMEM;
	e.replay = (struct store_replay){.type = type, .fields = {e.bytes, fields.len}};
	entries_add(&sim->snapshot_new, &e);
	return 0;
}

void sim_store_checkpoint_end(struct sim_store *sim)
{
	sim->snapshotting = false;
	sim->snapshot_new_end = sim->end;
	sim_store_sync(sim, sim->durable);
}

void sim_store_checkpoint_abort(struct sim_store *sim)
{
	entries_free(&sim->snapshot_new);
	sim->snapshot_new_end = 0;
	sim->snapshotting = false;
}

bool sim_store_checkpointing(const struct sim_store *sim)
{
	return sim->snapshotting || sim->snapshot_new_end;
}

bool sim_store_has_checkpoint(const struct sim_store *sim)
{
	return sim->snapshot.count > 0;
}

size_t sim_store_count(const struct sim_store *sim)
{
	return sim->journal.count;
}

struct store_replay sim_store_entry(const struct sim_store *sim, size_t i)
{
	ENSURE(i < sim->journal.count);
	return sim->journal.at[i].replay;
}

void sim_store_tap(struct sim_store *sim, void (*tap)(void *ctx, const struct store_replay *entry), void *ctx)
{
	sim->tap = tap;
	sim->tap_ctx = ctx;
}

bool sim_store_lives(const struct sim_store *sim, const struct body_ref *ref)
{
	const struct sim_body *body = body_find(sim, ref);

	return body && body->lives;
}

uint64_t sim_store_bodies(const struct sim_store *sim)
{
	uint64_t count = 0;

	for (size_t i = 0; i < sim->body_count; i++)
		count += sim->all[i]->lives;
	return count;
}

struct body_ref sim_store_blob(struct sim_store *sim, struct slice bytes)
{
	struct body_ref ref = {sim->next_blob++, bytes.len, crc32c(0, bytes.ptr, bytes.len), BODY_BLOB};
	struct sim_body *body = body_add(sim, &ref);
	char *copy = malloc(bytes.len + 1);

	ENSURE(copy);
	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	body->blob = slice_from(copy, bytes.len);
	return ref;
}
