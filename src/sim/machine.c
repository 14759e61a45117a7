/* The machine they all talk to: loop threads, the sequencer's turn as the server takes it, the disk, and its bad days. */
#include "sim/world.h"

#include "base/mem.h"
#include "base/panic.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- lack of memory --- */

enum { MEMORY_SPAN = 12 };

bool memory_arm(struct world *world)
{
	if (world_is_calm(world) || world->groups.assignees.is_quiet ||
	    !random_permille(&world->random, world->theme->memory_permille))
		return false;
	mem_fail_nth(random_between(&world->random, 1, MEMORY_SPAN));
	world->memory_armed = true;
	return true;
}

/* Whether it has failed shows in whether it still would. */
void memory_disarm(struct world *world)
{
	bool would = false;

	for (unsigned i = 0; i < MEMORY_SPAN; i++) {
		void *ptr = mem_alloc(1);

		would = would || !ptr;
		mem_free(ptr);
	}
	mem_fail_nth(0);
	world->memory_armed = false;
	if (!would) {
		world->memory_failed = true;
		list_each (node, &world->claims) {
			struct claim_wait *claim = container_of(node, struct claim_wait, node);

			if (!claim->parked || !claim->served)
				continue;
			claim->uncertain = true;
			claim->taken = 0;
		}
	}
}

/* --- start and crash --- */

static void replay_model(struct world *world)
{
	model_deinit(&world->model);
	model_init(&world->model, world->config.tombstone_ms);
	for (size_t i = 0; i < sim_store_count(world->store); i++) {
		struct store_replay entry = sim_store_entry(world->store, i);

		CHECK(world, !model_apply(&world->model, &entry), "the journal cannot be folded");
	}
}

void machine_start(struct world *world, bool from_checkpoint)
{
	struct hash_key secret = {random_u64(&world->random), random_u64(&world->random)};
	uint8_t seed[16];
	int r;

	for (unsigned i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)random_u64(&world->random);
	replay_model(world);
	world->s = sequencer_new(&world->config, sim_store_interface(world->store), seed);
	ENSURE(world->s);
	r = sim_store_replay(world->store, world->s, from_checkpoint, UINT64_MAX);
	CHECK(world, r == 0, "recovery refuses to start: %d", r);
	world->cause = CAUSE_START;
	world->turned_ms = world->now_ms;
	CHECK(world, sequencer_start(world->s, world->now_ms) == 0, "the start failed");
	world->cause = CAUSE_NONE;
	model_streams_started(&world->model.streams, world->now_ms);
	group_crashed(world);
	for (unsigned i = 0; i < world->theme->loops; i++) {
		struct loop *loop = &world->loops[i];

		*loop = (struct loop){.world = world, .index = i, .wheel = wheel_new(world->now_ms)};
		ENSURE(loop->wheel);
		board_init(&loop->board, &secret);
		board_init(&loop->streams, &secret);
	}
	check_step(world);
}

/* All that was in memory is gone: what was asked, who waited, what was on its way. */
void machine_free(struct world *world)
{
	struct mail *mail;

	for (unsigned i = 0; i < world->theme->loops; i++) {
		while ((mail = mail_pop(&world->loops[i].inbox))) {
			struct message *message = container_of(mail, struct message, mail);

			if (message->kind != MESSAGE_COMMAND)
				message_free(message);
		}
	}
	while ((mail = mail_pop(&world->mailbox))) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind != MESSAGE_COMMAND)
			message_free(message);
	}
	compactor_crashes(world);
	world->s = sequencer_free(world->s);
	list_each_safe (node, &world->polls)
		poll_free(container_of(node, struct poll, node));
	workers_crash(world);
	readers_crash(world);
	writers_crash(world);
	topics_crash(world);
	groups_crash(world);
	asks_drop(world);
	for (unsigned i = 0; i < world->theme->loops; i++) {
		board_deinit(&world->loops[i].board);
		board_deinit(&world->loops[i].streams);
		wheel_free(world->loops[i].wheel);
	}
	world->syncing = world->checkpointing = false;
}

/* Whatever somebody was told must still be there, at least as far. */
void machine_crash(struct world *world)
{
	uint64_t durable = sim_store_durable(world->store), end = sim_store_end(world->store);
	uint64_t keep = random_between(&world->random, durable, end);
	bool from_checkpoint = random_permille(&world->random, 600);

	world_trace(world, "crash: durable %" PRIu64 ", of %" PRIu64 ", kept until %" PRIu64, durable, end, keep);
	world->crashes++;
	machine_free(world);
	sim_store_crash(world->store, keep);
	CHECK(world, sim_store_end(world->store) >= durable, "the disk lost what it had synced");
	world->failed = false;
	if (random_permille(&world->random, 300))
		world->now_ms += random_below(&world->random, 500);
	machine_start(world, from_checkpoint);
	told_check(world);
	topic_told_check(world, false);
	group_told_check(world);
	for (size_t i = 0; i < KNOWN_MAX && i < world->known_count; i++)
		CHECK(world, model_job(&world->model, world->known[i].number), "job %" PRIu64 " was acknowledged and is lost",
		      world->known[i].number);
}

/* --- the disk --- */

static void machine_fails(struct world *world)
{
	world_trace(world, "the sync failed");
	world->failed = true;
	sim_store_set_failed(world->store, true);
	sequencer_fail(world->s);
}

void machine_sync_end(struct world *world)
{
	if (!world->syncing || world->now_ms < world->sync_at_ms)
		return;
	world->syncing = false;
	if (world->sync_fails)
		machine_fails(world);
	else if (!world->failed)
		sim_store_sync(world->store, world->sync_position);
}

static uint64_t commit_at(struct world *world)
{
	uint64_t at_ms = UINT64_MAX;

	if (world->failed || world->syncing)
		return world->syncing ? world->sync_at_ms : UINT64_MAX;
	return sequencer_wants_commit(world->s, &at_ms) ? world->now_ms : at_ms;
}

static void commit(struct world *world)
{
	if (world->syncing || world->failed || commit_at(world) > world->now_ms)
		return;
	world->syncing = true;
	world->sync_position = sim_store_end(world->store);
	world->sync_fails = !world->groups.assignees.is_quiet && !(world_is_calm(world) && world->seed % 4 == 1) &&
			    random_permille(&world->random, world->theme->sync_fail_permille);
	world->sync_at_ms = world->now_ms + random_below(&world->random, world->theme->sync_ms + 1);
	machine_sync_end(world); /* a quick disk is synced in place */
}

/* --- turns --- */

static void apply(struct world *world, struct ask *ask)
{
	uint64_t end = sim_store_end(world->store);
	struct expected should = expect(world, ask);
	bool armed = memory_arm(world);

	world->cause = CAUSE_COMMAND;
	world->applying = ask;
	sequencer_message(world->s, &ask->command.message);
	if (armed)
		memory_disarm(world);
	world->cause = CAUSE_NONE;
	world->applying = NULL;
	ask_check(world, ask, &should);
	ask_applied(world, ask, end);
}

static void read_mailbox(struct world *world)
{
	struct mail *mail;

	while ((mail = mail_pop(&world->mailbox))) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind == MESSAGE_COMMAND)
			apply(world, container_of(message, struct ask, command.message));
		else
			sequencer_message(world->s, message);
		if (random_permille(&world->random, 50))
			return;
	}
}

static void left_the_line(struct world *world)
{
	list_each (node, &world->claims) {
		struct claim_wait *claim = container_of(node, struct claim_wait, node);

		if (claim->served && !claim->uncertain)
			claim->parked = 0;
	}
}

static void send_out(struct world *world)
{
	for (unsigned i = 0; i < world->theme->loops; i++) {
		struct mail_list list = sequencer_take(world->s, i);
		struct mail *mail;

		while ((mail = mail_pop(&list))) {
			check_message(world, &world->loops[i], container_of(mail, struct message, mail));
			mail_push(&world->loops[i].inbox, mail);
		}
	}
}

void machine_turn(struct world *world)
{
	bool armed = memory_arm(world);

	machine_sync_end(world);
	world->cause = CAUSE_TURN;
	world->turned_ms = world->now_ms;
	sequencer_turn(world->s, world->now_ms, (unsigned)random_between(&world->random, 1, 50));
	if (armed)
		memory_disarm(world);
	world->cause = CAUSE_NONE;
	group_waits_over(world);
	read_mailbox(world);
	armed = memory_arm(world);
	world->cause = CAUSE_SETTLE;
	sequencer_settle(world->s);
	if (armed)
		memory_disarm(world);
	world->cause = CAUSE_NONE;
	left_the_line(world);
	commit(world);
	sequencer_release(world->s);
	send_out(world);
	if (!world->failed)
		check_turn(world);
}

/* What lies in a thread's inbox is handled; what it asks goes to the sequencer. */
void machine_loop(struct world *world, struct loop *loop)
{
	struct mail *mail;

	while ((mail = mail_pop(&loop->inbox))) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind == MESSAGE_COMMAND) {
			ask_returned(world, container_of(message, struct ask, command.message));
			continue;
		}
		if (message->kind == MESSAGE_STREAM_GREW) {
			if (!fetchers_grew(world, loop, container_of(message, struct stream_growth, message))) {
				mail_push(&world->mailbox, &message->mail); /* no more of it */
				continue;
			}
		} else if (message->kind == MESSAGE_STREAM_WAKE)
			reader_woken(world, loop, container_of(message, struct stream_wake, message));
		else if (message->kind == MESSAGE_WAKE)
			poll_woken(world, loop, container_of(message, struct wake, message));
		else
			claim_offered(world, loop, container_of(message, struct offer, message));
		message_free(message);
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Time goes no further than to the next thing that is due, which then happens. */
void machine_time(struct world *world)
{
	uint64_t next = earlier(commit_at(world), deliveries_next_ms(world));
	uint64_t step = random_below(&world->random, random_permille(&world->random, 200) ? 60 : 6);

	if (!world->failed)
		next = earlier(next, sequencer_next_ms(world->s));
	for (unsigned i = 0; i < world->theme->loops; i++)
		next = earlier(next, wheel_next_ms(world->loops[i].wheel));
	if (next <= world->now_ms)
		next = world->now_ms + 1;
	world->now_ms = earlier(world->now_ms + step, next);
	for (unsigned i = 0; i < world->theme->loops; i++) {
		while (wheel_advance(world->loops[i].wheel, world->now_ms, 16))
			;
	}
	deliveries_due(world, false);
}

/* --- upkeep --- */

void machine_checkpoint(struct world *world)
{
	bool armed;
	int r;

	if (world->failed || (!world->checkpointing && sim_store_checkpointing(world->store)))
		return;
	if (!world->checkpointing) {
		sim_store_checkpoint_begin(world->store);
		world->checkpointing = true;
		world->cursor = 0;
	}
	armed = memory_arm(world);
	r = sequencer_snapshot(world->s, &world->cursor, (unsigned)random_between(&world->random, 1, world->theme->snapshot),
			       sim_store_checkpoint_add, world->store);
	if (armed)
		memory_disarm(world);
	if (r == 1)
		return;
	world->checkpointing = false;
	if (r == 0) {
		world->checkpoints++;
		sim_store_checkpoint_end(world->store);
	} else {
		CHECK(world, world->memory_failed, "the snapshot failed: %d", r);
		sim_store_checkpoint_abort(world->store);
	}
}

void machine_tidy(struct world *world)
{
	size_t count = sim_store_count(world->store);
	struct store_replay entry;
	uint64_t end;
	bool armed;

	if (world->failed || count == 0)
		return;
	entry = sim_store_entry(world->store, count - 1 - random_below(&world->random, random_between(&world->random, 1, count)));
	end = sim_store_end(world->store);
	if (entry.body_bytes == 0 || entry.end > sim_store_durable(world->store))
		return;
	armed = memory_arm(world);
	world->cause = CAUSE_RESCUE;
	if (sequencer_rescue(world->s, &entry) == 0 && sim_store_end(world->store) > end)
		world->rescues++;
	if (armed)
		memory_disarm(world);
	world->cause = CAUSE_NONE;
}
