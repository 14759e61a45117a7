#include "sequencer/sequencer_fixture.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"
#include "job/event.h"
#include "sequencer/sequencer_priv.h"

#include <errno.h>
#include <stdlib.h>

struct fixture_pin {
	struct store_pin pin;
	struct fixture *f;
};

static struct fixture *fixture_of(const struct store *store)
{
	return container_of(store, struct fixture, store);
}

/* --- the store --- */

/* In memory of the fixture's own: the k-th allocation that fails is always the sequencer's. */
static void entry_add(struct fixture *f, struct fixture_entry *entries, size_t *count, struct store_replay replay,
		      struct slice body)
{
	char *bytes = f->bytes + f->bytes_used;

	f->bytes_used += replay.fields.len + body.len;
	ENSURE(f->bytes_used <= FIXTURE_BYTES && *count < FIXTURE_ENTRIES);
	if (replay.fields.len)
		memcpy(bytes, replay.fields.ptr, replay.fields.len);
	if (body.len)
		memcpy(bytes + replay.fields.len, body.ptr, body.len);
	replay.fields.ptr = bytes;
	entries[(*count)++] = (struct fixture_entry){replay, slice_from(bytes + replay.fields.len, body.len)};
}

static int op_append(struct store *store, const struct store_entry *entry, struct store_appended *ret)
{
	struct fixture *f = fixture_of(store);
	struct store_replay replay = {
		.position = f->end,
		.end = (f->end + 40 + entry->fields.len + entry->body.len) & ~7ULL,
		.body_place = entry->body.len ? f->end + 32 + entry->fields.len : 0,
		.body_bytes = entry->body.len,
		.body_crc = crc32c(0, entry->body.ptr, entry->body.len),
		.time_ms = entry->time_ms,
		.fields = entry->fields,
		.type = entry->type,
	};
	void *memory;

	if (f->broken)
		return -EIO;
	if (f->full && !entry->reserve)
		return STORE_NO_SPACE;
	memory = mem_alloc(1); /* the one that fails, when one is to */
	if (!memory)
		return -ENOMEM;
	mem_free(memory);
	entry_add(f, f->entries, &f->entry_count, replay, entry->body);
	f->end = replay.end;
	*ret = (struct store_appended){.position = replay.position, .end = replay.end};
	if (entry->body.len)
		ret->body = (struct body_ref){replay.body_place, replay.body_bytes, replay.body_crc, BODY_INLINE};
	return 0;
}

static uint64_t op_durable(const struct store *store)
{
	return fixture_of(store)->durable;
}

static struct body_ref *body_find(struct fixture *f, const struct body_ref *ref)
{
	for (size_t i = 0; i < f->body_count; i++) {
		if (f->bodies[i].kind == ref->kind && f->bodies[i].place == ref->place)
			return &f->bodies[i];
	}
	return NULL;
}

static void op_retain(struct store *store, const struct body_ref *ref)
{
	struct fixture *f = fixture_of(store);

	if (ref->kind == BODY_NONE)
		return;
	ENSURE(!body_find(f, ref) && f->body_count < FIXTURE_BODIES);
	f->bodies[f->body_count++] = *ref;
}

/* A blob that no event named may be let go, too. */
static void op_release(struct store *store, const struct body_ref *ref)
{
	struct fixture *f = fixture_of(store);
	struct body_ref *at = body_find(f, ref);

	ENSURE(at || ref->kind == BODY_BLOB);
	if (at)
		*at = f->bodies[--f->body_count];
}

static int pin_read(struct store_pin *pin, uint64_t offset, void *out, size_t len)
{
	const struct fixture_pin *p = container_of(pin, struct fixture_pin, pin);

	for (size_t i = 0; i < p->f->entry_count; i++) {
		const struct fixture_entry *entry = &p->f->entries[i];

		if (entry->replay.body_place == pin->ref.place && pin->ref.kind == BODY_INLINE) {
			ENSURE(offset + len <= entry->body.len);
			memcpy(out, entry->body.ptr + offset, len);
			return 0;
		}
	}
	return -EIO;
}

static int pin_read_whole(struct store_pin *pin, void *out)
{
	return pin_read(pin, 0, out, pin->ref.size_bytes);
}

static int pin_file(struct store_pin *pin, uint64_t *ret_offset)
{
	(void)pin;
	(void)ret_offset;
	return -EBADF;
}

/* Some can be seen, some have to be read. */
static const char *pin_view(struct store_pin *pin)
{
	const struct fixture_pin *p = container_of(pin, struct fixture_pin, pin);

	for (size_t i = 0; i < p->f->entry_count; i++) {
		const struct fixture_entry *entry = &p->f->entries[i];

		if (entry->replay.body_place == pin->ref.place && pin->ref.kind == BODY_INLINE)
			return entry->body.len >= FIXTURE_VIEW_BYTES ? entry->body.ptr : NULL;
	}
	return NULL;
}

static void pin_unpin(struct store_pin *pin)
{
	struct fixture_pin *p = container_of(pin, struct fixture_pin, pin);

	ENSURE(p->f->pins-- > 0);
	mem_free(p);
}

static const struct store_pin_ops pin_ops = {
	.read = pin_read, .read_whole = pin_read_whole, .file = pin_file, .view = pin_view, .unpin = pin_unpin};

static struct store_pin *op_pin(struct store *store, const struct body_ref *ref)
{
	struct fixture *f = fixture_of(store);
	struct fixture_pin *p = mem_alloc(sizeof(*p));

	ENSURE(body_find(f, ref));
	if (!p)
		return NULL;
	*p = (struct fixture_pin){{&pin_ops, *ref}, f};
	f->pins++;
	return &p->pin;
}

static const struct store_ops ops = {
	.append = op_append,
	.durable_position = op_durable,
	.body_retain = op_retain,
	.body_release = op_release,
	.pin = op_pin,
};

/* --- life --- */

void fixture_init(struct fixture *f)
{
	*f = (struct fixture){.store.ops = &ops, .end = 64, .durable = 64, .now_ms = 1700000000000};
	f->entries = mem_alloc(FIXTURE_ENTRIES * sizeof(*f->entries));
	f->checkpoint = mem_alloc(FIXTURE_ENTRIES * sizeof(*f->checkpoint));
	f->bytes = mem_alloc(FIXTURE_BYTES);
	ENSURE(f->entries && f->checkpoint && f->bytes);
	f->config = sequencer_defaults;
	f->config.gather_chunks = UINT32_MAX; /* chunks are as they were appended, unless a test says otherwise */
	f->config.gather_bytes = UINT64_MAX;
	f->config.tombstone_ms = 30000;
}

void fixture_start(struct fixture *f)
{
	f->s = sequencer_new(&f->config, &f->store, (const uint8_t *)"sixteen bytes...");
	ENSURE(f->s && sequencer_start(f->s, f->now_ms) == 0);
	fixture_sync(f);
}

void fixture_deinit(struct fixture *f)
{
	fixture_drop_sent(f);
	f->s = sequencer_free(f->s);
	ENSURE(f->pins == 0);
	mem_free(f->bytes);
	mem_free(f->entries);
	mem_free(f->checkpoint);
}

/* --- turns --- */

static void deliver(struct fixture *f)
{
	sequencer_release(f->s);
	for (unsigned t = 0; t < COMMAND_THREADS_MAX; t++) {
		struct mail_list list = sequencer_take(f->s, t);
		struct mail *mail;

		while ((mail = mail_pop(&list))) {
			struct message *message = container_of(mail, struct message, mail);

			struct command *c =
				message->kind == MESSAGE_COMMAND ? container_of(message, struct command, message) : NULL;

			ENSURE(message->thread == t && f->sent_count < FIXTURE_SENT);
			/* That the journal failed rests on nothing. */
			ENSURE(message->gate <= f->durable || (c && c->outcome == OUTCOME_STORAGE));
			if (c) {
				ENSURE(container_of(c, struct ask, c)->back++ == 0);
				/* whoever hears of no leases looks for none to free */
				ENSURE(c->out.lease_count > 0 || !c->out.leases);
				f->commands_out--;
			}
			f->sent[f->sent_count++] = (struct sent){message, message->kind, message->thread};
		}
	}
}

void fixture_send(struct fixture *f, struct ask *ask, unsigned thread)
{
	ask->back = 0;
	ask->c.message.kind = MESSAGE_COMMAND;
	ask->c.message.thread = (uint8_t)thread;
	f->commands_out++;
	sequencer_message(f->s, &ask->c.message);
}

void fixture_settle(struct fixture *f)
{
	sequencer_settle(f->s);
	if (!f->hold)
		f->durable = f->end;
	deliver(f);
	if (!f->unchecked)
		sequencer_check(f->s);
}

void fixture_sync(struct fixture *f)
{
	f->durable = f->end;
	deliver(f);
}

void fixture_later(struct fixture *f, uint64_t ms)
{
	f->now_ms += ms;
	while (sequencer_turn(f->s, f->now_ms, 10))
		;
	fixture_settle(f);
}

enum outcome fixture_ask(struct fixture *f, struct ask *ask, unsigned thread)
{
	fixture_send(f, ask, thread);
	fixture_settle(f);
	ENSURE(ask->back == 1);
	return ask->c.outcome;
}

void ask_deinit(struct ask *ask)
{
	command_answer_deinit(&ask->c);
}

static struct message *take(struct fixture *f, unsigned thread, enum message_kind kind)
{
	for (size_t i = 0; i < f->sent_count; i++) {
		struct message *message = f->sent[i].message;

		if (message && f->sent[i].kind == kind && f->sent[i].thread == thread) {
			f->sent[i].message = NULL;
			return message;
		}
	}
	return NULL;
}

struct wake *fixture_take_wake(struct fixture *f, unsigned thread)
{
	struct message *message = take(f, thread, MESSAGE_WAKE);

	return message ? container_of(message, struct wake, message) : NULL;
}

struct offer *fixture_take_offer(struct fixture *f, unsigned thread)
{
	struct message *message = take(f, thread, MESSAGE_OFFER);

	return message ? container_of(message, struct offer, message) : NULL;
}

void fixture_drop_sent(struct fixture *f)
{
	for (size_t i = 0; i < f->sent_count; i++) {
		if (f->sent[i].message && f->sent[i].kind != MESSAGE_COMMAND)
			message_free(f->sent[i].message);
	}
	f->sent_count = 0;
}

/* --- replay --- */

static int checkpoint_add(void *ctx, uint8_t type, struct slice fields)
{
	struct fixture *f = ctx;

	entry_add(f, f->checkpoint, &f->checkpoint_count, (struct store_replay){.type = type, .fields = fields},
		  (struct slice){0});
	return 0;
}

bool fixture_checkpoint(struct fixture *f, unsigned limit)
{
	int r;

	if (f->checkpoint_count == 0)
		f->checkpoint_start = f->end;
	r = sequencer_snapshot(f->s, &f->checkpoint_cursor, limit, checkpoint_add, f);
	ENSURE(r == 0 || r == 1);
	return r == 1;
}

void fixture_checkpoint_drop(struct fixture *f)
{
	f->checkpoint_count = 0;
	f->checkpoint_cursor = 0;
}

void fixture_twin(const struct fixture *f, struct fixture *twin, bool from_checkpoint)
{
	fixture_init(twin);
	twin->config = f->config;
	twin->now_ms = f->now_ms;
	twin->end = twin->durable = f->end;
	twin->s = sequencer_new(&twin->config, &twin->store, (const uint8_t *)"another seed now");
	ENSURE(twin->s);
	for (size_t i = 0; from_checkpoint && i < f->checkpoint_count; i++)
		ENSURE(sequencer_replay(twin->s, &f->checkpoint[i].replay) == 0);
	for (size_t i = 0; i < f->entry_count; i++) {
		const struct fixture_entry *entry = &f->entries[i];

		entry_add(twin, twin->entries, &twin->entry_count, entry->replay, entry->body);
		if (!from_checkpoint || entry->replay.position >= f->checkpoint_start)
			ENSURE(sequencer_replay(twin->s, &entry->replay) == 0);
	}
	ENSURE(sequencer_start(twin->s, twin->now_ms) == 0);
	sequencer_check(twin->s);
}
