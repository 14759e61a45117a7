/* Those who do it: they claim, wait, get leases (or lose them on the way), beat, finish, fail, release, vanish, and say the same
 * twice; their tokens are right, stale or foreign. A crash of the server leaves them what they hold. */
#include "sim/world.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- claims --- */

struct claim_wait *claim_find(struct world *world, uint64_t id)
{
	list_each (node, &world->claims) {
		struct claim_wait *claim = container_of(node, struct claim_wait, node);

		if (claim->id == id)
			return claim;
	}
	return NULL;
}

void claim_free(struct claim_wait *claim)
{
	wheel_remove(claim->loop->wheel, &claim->timer);
	list_remove(&claim->node);
	free(claim);
}

/* Leases come to a worker's socket after a while, or never; the door says which. */
static void deliver(struct world *world, struct loop *loop, struct claim_wait *claim, struct lease *leases, size_t count,
		    bool gone)
{
	struct delivery *delivery = calloc(1, sizeof(*delivery) + count * sizeof(struct lease));
	struct random *random = &world->random;

	ENSURE(delivery);
	delivery->loop = loop;
	delivery->attempt_id = claim->attempt_id;
	delivery->arrives = !gone && random_permille(random, 850);
	delivery->at_ms = world->now_ms + random_below(random, random_permille(random, 50) ? 1000 : 20);
	delivery->count = count;
	for (size_t i = 0; i < count; i++) {
		struct lease *lease = &leases[i];

		check_pin(world, lease->view, &lease->view->body);
		delivery->leases[i] = *lease;
		delivery->leases[i].view = job_view_ref(lease->view);
	}
	list_push_back(&world->deliveries, &delivery->node);
}

static void cancel_returned(struct world *world, struct ask *ask)
{
	struct claim_wait *claim = claim_find(world, ask->command.in.claim_cancel.claim_id);

	ENSURE(claim && claim->state == CLAIM_CANCELING);
	if (ask->command.outcome == OUTCOME_OFFERED && !claim->offered)
		claim->state = CLAIM_PARKED; /* it is on its way */
	else
		claim_free(claim);
}

static void claim_cancel(struct claim_wait *claim)
{
	struct ask *ask = ask_new(claim->world, claim->loop, COMMAND_CLAIM_CANCEL);

	claim->state = CLAIM_CANCELING;
	wheel_remove(claim->loop->wheel, &claim->timer);
	ask->command.in.claim_cancel.claim_id = claim->id;
	ask->returned = cancel_returned;
	ask_send(claim->world, ask);
}

static void claim_returned(struct world *world, struct ask *ask)
{
	struct command *c = &ask->command;
	struct claim_wait *claim = claim_find(world, c->in.claim.claim_id);

	ENSURE(claim && claim->state == CLAIM_ASKED);
	if (c->outcome == OUTCOME_OK) {
		world->offers++;
		deliver(world, &world->loops[c->message.thread], claim, c->out.leases, c->out.lease_count, claim->client_left);
	}
	if (c->outcome != OUTCOME_PARKED) {
		claim_free(claim);
		return;
	}
	claim->state = CLAIM_PARKED;
	if (claim->client_left || list_empty(&claim->timer.node))
		claim_cancel(claim);
}

void claim_offered(struct world *world, struct loop *loop, struct offer *offer)
{
	struct claim_wait *claim = claim_find(world, offer->claim_id);

	CHECK(world, claim && claim->loop == loop, "an offer for claim %" PRIu64 ", which does not wait here", offer->claim_id);
	CHECK(world, claim->state == CLAIM_PARKED || claim->state == CLAIM_CANCELING, "claim %" PRIu64 " was offered twice",
	      claim->id);
	CHECK(world, !claim->offered, "claim %" PRIu64 " was offered twice", claim->id);
	world->offers++;
	claim->offered = true;
	deliver(world, loop, claim, offer->leases, offer->lease_count, claim->client_left);
	if (claim->state == CLAIM_PARKED)
		claim_free(claim);
}

static void claim_expired(struct wheel_entry *entry)
{
	struct claim_wait *claim = container_of(entry, struct claim_wait, timer);
	struct world *world = claim->world;

	CHECK(world, world->now_ms >= entry->deadline_ms && world->now_ms <= entry->deadline_ms + TICK_MS,
	      "a claim was to end at %" PRIu64 ", it is %" PRIu64, entry->deadline_ms, world->now_ms);
	world->waits_expired++;
	if (claim->state == CLAIM_PARKED)
		claim_cancel(claim);
}

void worker_leaves(struct world *world)
{
	uint64_t skip = random_below(&world->random, 6);

	list_each (node, &world->claims) {
		struct claim_wait *claim = container_of(node, struct claim_wait, node);

		if (skip-- > 0)
			continue;
		claim->client_left = true;
		if (claim->state == CLAIM_PARKED && !list_empty(&claim->timer.node))
			claim_cancel(claim);
		return;
	}
}

void worker_claims(struct world *world)
{
	struct random *random = &world->random;
	struct claim_wait *claim = calloc(1, sizeof(*claim));
	struct loop *loop = any_loop(world);
	struct ask *ask = ask_new(world, loop, COMMAND_CLAIM);
	struct claim_in *in = &ask->command.in.claim;
	unsigned first = (unsigned)random_below(random, QUEUE_COUNT);

	ENSURE(claim);
	*claim = (struct claim_wait){.world = world, .loop = loop, .id = ++world->next_id};
	claim->timer =
		(struct wheel_entry){.deadline_ms = world->now_ms + random_between(random, 1, 2000), .expired = claim_expired};
	list_init(&claim->timer.node);
	list_push_back(&world->claims, &claim->node);
	wheel_add(loop->wheel, &claim->timer);
	claim->queue_count = (unsigned)random_between(random, 1, CLAIM_QUEUES_MAX);
	for (unsigned i = 0; i < claim->queue_count; i++) {
		claim->queues[i] = model_queue(&world->model, slice_str(queue_name(first + i)));
		ask->slices[i] = ask_text(ask, "%s", queue_name(first + i));
	}
	claim->max = random_permille(random, 600) ? 1 : (uint32_t)random_between(random, 2, 8);
	*in = (struct claim_in){
		.queues = ask->slices,
		.queue_count = claim->queue_count,
		.max = claim->max,
		.lease_ms = random_permille(random, 500) ? (uint32_t)random_between(random, 20, 800) : 0,
		.wait = random_permille(random, 800),
		.claim_id = claim->id,
	};
	in->worker = ask_text(ask, "%" PRIu64, claim->id);
	if (random_permille(random, 300)) {
		in->attempt_id = ask_text(ask, "attempt-%" PRIu64,
					  random_permille(random, 500) ? random_below(random, 10) : claim->id + 100);
		claim->attempt_id = model_string(in->attempt_id);
	}
	ask->returned = claim_returned;
	ask_send(world, ask);
}

/* --- deliveries --- */

/* Two may hold one token only when the second asked as the first. */
static void hold(struct world *world, const struct delivery *delivery, const struct lease *lease)
{
	struct holding *holding = calloc(1, sizeof(*holding));

	ENSURE(holding);
	list_each (node, &world->holdings) {
		struct holding *other = container_of(node, struct holding, node);

		CHECK(world,
		      other->job.number != lease->number || memcmp(other->token, lease->token, TOKEN_CHARS) != 0 ||
			      (delivery->attempt_id && other->attempt_id == delivery->attempt_id),
		      "job %" PRIu64 " was given twice under one token", lease->number);
	}
	holding->job.number = lease->number;
	memcpy(holding->job.handle, lease->view->handle, JOB_HANDLE_CHARS);
	memcpy(holding->token, lease->token, sizeof(holding->token));
	holding->attempt_id = delivery->attempt_id;
	list_push_back(&world->holdings, &holding->node);
}

static void delivered_returned(struct world *world, struct ask *ask)
{
	(void)world;
	free(ask->who);
}

static void delivery_ends(struct world *world, struct delivery *delivery)
{
	struct ask *ask = ask_new(world, delivery->loop, COMMAND_DELIVERED);

	list_remove(&delivery->node);
	for (size_t i = 0; i < delivery->count; i++) {
		if (delivery->arrives)
			hold(world, delivery, &delivery->leases[i]);
		job_view_unref(delivery->leases[i].view);
		delivery->leases[i].view = NULL;
	}
	ask->command.in.delivered =
		(struct delivered_in){.leases = delivery->leases, .count = delivery->count, .delivered = delivery->arrives};
	ask->who = delivery;
	ask->returned = delivered_returned;
	ask_send(world, ask);
}

void deliveries_due(struct world *world, bool all)
{
	list_each_safe (node, &world->deliveries) {
		struct delivery *delivery = container_of(node, struct delivery, node);

		if (all || delivery->at_ms <= world->now_ms)
			delivery_ends(world, delivery);
	}
}

uint64_t deliveries_next_ms(const struct world *world)
{
	uint64_t next = UINT64_MAX;

	list_each (node, &world->deliveries) {
		const struct delivery *delivery = container_of(node, struct delivery, node);

		if (delivery->at_ms < next)
			next = delivery->at_ms;
	}
	return next;
}

/* What was on its way never came; of what DELIVERED said nobody knows. */
void workers_crash(struct world *world)
{
	list_each_safe (node, &world->deliveries) {
		struct delivery *delivery = container_of(node, struct delivery, node);

		list_remove(node);
		for (size_t i = 0; i < delivery->count; i++)
			job_view_unref(delivery->leases[i].view);
		free(delivery);
	}
	list_each (node, &world->asks) {
		struct ask *ask = container_of(node, struct ask, node);

		if (ask->returned == delivered_returned)
			free(ask->who);
	}
	list_each_safe (node, &world->claims)
		claim_free(container_of(node, struct claim_wait, node));
}

/* --- work --- */

static void word_returned(struct world *world, struct ask *ask)
{
	struct command *c = &ask->command;

	if (c->out.view && c->out.view->pin)
		check_pin(world, c->out.view, &c->out.view->body);
	if (c->kind == COMMAND_DONE && c->outcome == OUTCOME_OK)
		world->dones++;
}

static void say_done(struct world *world, struct ask *ask, struct holding *holding)
{
	struct worker_in *in = &ask->command.in.worker;
	struct slice result;

	if (!holding->said || random_permille(&world->random, 200))
		snprintf(holding->result, sizeof(holding->result), "result %" PRIu64, random_below(&world->random, 1u << 30));
	holding->said = true;
	result = ask_text(ask, "%s", holding->result);
	in->content_type = SLICE("text/result");
	if (result.len % 3 == 0)
		in->blob = sim_store_blob(world->store, result);
	else if (result.len % 5 != 0)
		in->body = result;
}

static void fill_word(struct world *world, struct ask *ask, struct holding *holding)
{
	struct worker_in *in = &ask->command.in.worker;
	struct random *random = &world->random;

	switch ((unsigned)ask->command.kind) {
	case COMMAND_BEAT:
		in->progress = random_permille(random, 500) ? -1 : (double)random_below(random, 1001) / 1000;
		in->lease_ms = random_permille(random, 300) ? (uint32_t)random_between(random, 50, 500) : 0;
		if (random_permille(random, 300))
			in->message = ask_text(ask, "step %" PRIu64, random_below(random, 9));
		return;
	case COMMAND_DONE:
		say_done(world, ask, holding);
		return;
	case COMMAND_FAIL:
		in->retry = random_permille(random, 700);
		in->error = random_permille(random, 700) ? SLICE("\"no luck\"") : (struct slice){0};
		in->delay_ms = random_permille(random, 500) ? UINT64_MAX : random_below(random, 100);
		return;
	case COMMAND_RELEASE:
		in->delay_ms = random_permille(random, 500) ? UINT64_MAX : random_below(random, 100);
		return;
	default:
		return;
	}
}

/* Its own; seldom that of another lease, or none at all. */
static struct slice some_token(struct world *world, struct ask *ask, const struct holding *holding)
{
	const struct holding *other = container_of(world->holdings.next, struct holding, node);

	if (!random_permille(&world->random, 50))
		return ask_text(ask, "%s", holding->token);
	return random_permille(&world->random, 500) ? ask_text(ask, "%s", other->token) : SLICE("nonsense");
}

static uint64_t token_number(struct slice text)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t token = 0;

	if (text.len != TOKEN_CHARS)
		return 0;
	for (size_t i = 0; i < text.len; i++)
		token = token << 5 | (uint64_t)(strchr(digits, text.ptr[i]) - digits);
	return token;
}

void worker_works(struct world *world)
{
	static const enum command_kind kinds[] = {COMMAND_BEAT,          COMMAND_BEAT,         COMMAND_BODY, COMMAND_DONE,
						  COMMAND_DONE,          COMMAND_DONE,         COMMAND_FAIL, COMMAND_RELEASE,
						  COMMAND_OUTPUT_APPEND, COMMAND_OUTPUT_APPEND};
	uint64_t skip = random_below(&world->random, random_between(&world->random, 1, 30));
	struct holding *holding = NULL;
	struct slice token;
	struct ask *ask;

	if (random_permille(&world->random, 50))
		output_looks(world);
	list_each (node, &world->holdings) {
		holding = container_of(node, struct holding, node);
		if (skip-- == 0)
			break;
	}
	if (!holding)
		return;
	if (random_permille(&world->random, 100)) { /* vanishes */
		list_remove(&holding->node);
		free(holding);
		return;
	}
	ask = ask_new(world, any_loop(world), kinds[random_below(&world->random, ARRAY_COUNT(kinds))]);
	ask->returned = word_returned;
	ask_handle(ask, 0, &holding->job);
	token = some_token(world, ask, holding);
	ask->token = token_number(token);
	if (ask->command.kind == COMMAND_OUTPUT_APPEND) {
		ask->command.in.stream_append.token = token;
		output_write(world, ask);
		ask_send(world, ask);
		return;
	}
	ask->command.in.worker.handle = ask->slices[0];
	ask->command.in.worker.token = token;
	fill_word(world, ask, holding);
	ask_send(world, ask);
	/* Who has said the last word often forgets; some say it again later. */
	if (ask->command.kind != COMMAND_BEAT && ask->command.kind != COMMAND_BODY && random_permille(&world->random, 700)) {
		list_remove(&holding->node);
		free(holding);
	}
}
