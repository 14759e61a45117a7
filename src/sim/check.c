/* The invariants, asked after every step. */
#include "sim/world.h"

#include "base/crc32c.h"
#include "base/panic.h"
#include "job/event.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- each event as it is appended: who made it, and was it right? --- */

static void tap_lease_word(struct world *world, const struct event *e, const struct version *v)
{
	static const uint8_t of[EVENT_TYPE_COUNT] = {[EVENT_BEAT] = COMMAND_BEAT,
						     [EVENT_DONE] = COMMAND_DONE,
						     [EVENT_RETRIED] = COMMAND_FAIL,
						     [EVENT_FAILED] = COMMAND_FAIL,
						     [EVENT_RELEASED] = COMMAND_RELEASE};
	const struct ask *ask = world->applying;

	CHECK(world, world->cause == CAUSE_COMMAND && ask->command.kind == (enum command_kind)of[e->type],
	      "job %" PRIu64 ": an event that no worker caused", e->number);
	CHECK(world, ask->numbers[0] == e->number && v->token != 0 && ask->token == v->token && version_is_held(v),
	      "job %" PRIu64 ": somebody without the valid token was heard", e->number);
	if (e->type == EVENT_DONE) {
		const struct worker_in *in = &ask->command.in.worker;
		const struct body_ref *result = e->blob.kind ? &e->blob : &e->bytes;
		uint32_t crc = in->blob.kind ? in->blob.crc : crc32c(0, in->body.ptr, in->body.len);

		CHECK(world, result->size_bytes == (in->blob.kind ? in->blob.size_bytes : in->body.len), "the result's length");
		CHECK(world, result->size_bytes == 0 || result->crc == crc, "the result's bytes");
	}
}

static void tap_time(struct world *world, const struct event *e, const struct model_job *job, const struct version *v)
{
	uint64_t due = v->until_ms;

	if (e->type == EVENT_EXPIRED)
		due = v->updated_ms + job->retain_ms;
	else if (e->type == EVENT_CANCELED)
		due = job->cancel_at_ms ? job->cancel_at_ms : UINT64_MAX;
	CHECK(world, world->cause == CAUSE_TURN, "job %" PRIu64 ": an event of time, and time did not move", e->number);
	CHECK(world, due <= world->now_ms, "job %" PRIu64 ": %" PRIu64 " ms too early", e->number, due - world->now_ms);
}

static void tap_offered(struct world *world, const struct event *e, const struct model_job *job)
{
	const struct model_job *first = model_next_ready(&world->model, job->queue);
	struct claim_wait *claim;
	uint64_t id = 0;

	ENSURE(slice_u64(e->worker, &id) == 0);
	claim = claim_find(world, id);
	CHECK(world, claim, "job %" PRIu64 " was offered to a claim that is over", e->number);
	CHECK(world, world->cause == CAUSE_COMMAND || world->cause == CAUSE_SETTLE, "job %" PRIu64 " was offered by chance",
	      e->number);
	CHECK(world, first == job, "job %" PRIu64 " was offered before its turn", e->number);
	CHECK(world, ++claim->taken <= claim->max || world->memory_armed, "claim %" PRIu64 " got more than it wanted", id);
	world_trace(world, "job %" PRIu64 " goes to claim %" PRIu64 "%s", e->number, id, claim->parked ? ", which waits" : "");
	claim->offer_end = e->end;
	for (size_t i = 0; i < job->count; i++)
		CHECK(world, job->versions[i].type != EVENT_OFFERED || job->versions[i].token != e->token,
		      "job %" PRIu64 " has a token that somebody else had", e->number);
	if (claim->parked)
		claim->served = true;
	for (unsigned i = 0; i < claim->queue_count && claim->queues[i] != job->queue; i++)
		CHECK(world, world->memory_armed || !model_next_ready(&world->model, claim->queues[i]),
		      "claim %" PRIu64 " prefers %s", id, queue_name(claim->queues[i]));
	list_each (node, &world->claims) {
		const struct claim_wait *other = container_of(node, struct claim_wait, node);

		if (!other->parked || other->served || other->uncertain || (claim->parked && other->parked >= claim->parked))
			continue;
		for (unsigned i = 0; i < other->queue_count; i++)
			CHECK(world, other->queues[i] != job->queue || world->memory_armed,
			      "claim %" PRIu64 " was served before %" PRIu64 ", which waits longer for %s", id, other->id,
			      queue_name(job->queue));
	}
}

static void tap_job(struct world *world, const struct event *e)
{
	const struct model_job *job = model_live(&world->model, e->number);
	const struct version *v;

	if (!job)
		return;
	v = model_last(job);
	switch ((unsigned)e->type) {
	case EVENT_BEAT:
	case EVENT_DONE:
	case EVENT_RETRIED:
	case EVENT_FAILED:
	case EVENT_RELEASED:
		tap_lease_word(world, e, v);
		return;
	case EVENT_READY:
	case EVENT_TIMED_OUT:
	case EVENT_EXPIRED:
		tap_time(world, e, job, v);
		return;
	case EVENT_CANCELED:
		if (world->cause != CAUSE_COMMAND)
			tap_time(world, e, job, v);
		else
			CHECK(world, world->applying->command.kind == COMMAND_CANCEL, "canceled by nobody");
		return;
	case EVENT_OFFERED:
		tap_offered(world, e, job);
		return;
	case EVENT_BODY_MOVED:
	case EVENT_RESULT_MOVED:
		CHECK(world, world->cause == CAUSE_RESCUE, "job %" PRIu64 ": moved by nobody", e->number);
		return;
	case EVENT_KICKED:
		CHECK(world, world->cause == CAUSE_COMMAND && world->applying->command.kind == COMMAND_KICK, "kicked by nobody");
		return;
	default:
		return;
	}
}

void check_tap(void *ctx, const struct store_replay *entry)
{
	struct world *world = ctx;
	struct event e = {
		.type = (enum event_type)entry->type, .time_ms = entry->time_ms, .position = entry->position, .end = entry->end};
	const char *wrong;

	CHECK(world, !world->failed, "an event after the journal has failed");
	CHECK(world, entry->time_ms <= world->now_ms, "an event of the future");
	if (entry->type >= TOPIC_EVENT_FIRST) {
		topic_tap(world, entry);
		return;
	}
	if (entry->type >= STREAM_EVENT_FIRST) {
		check_stream_tap(world, entry);
		return;
	}
	if (entry->body_bytes)
		e.bytes = (struct body_ref){entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	CHECK(world, event_decode(&e, entry->fields) == 0, "an event that nobody can read");
	world_trace(world, "event %u of job %" PRIu64 ", until position %" PRIu64, entry->type, e.number, entry->end);
	tap_job(world, &e);
	wrong = model_apply(&world->model, entry);
	CHECK(world, !wrong, "job %" PRIu64 ", event %u: %s", e.number, entry->type, wrong);
}

/* --- what is told --- */

void check_pin(struct world *world, struct job_view *view, const struct body_ref *should)
{
	char *bytes;

	CHECK(world, (view->pin != NULL) == (should->kind != BODY_NONE), "job %" PRIu64 ": its bytes", view->number);
	if (!view->pin)
		return;
	CHECK(world, view->pin->ref.place == should->place && view->pin->ref.crc == should->crc, "job %" PRIu64 ": other bytes",
	      view->number);
	bytes = malloc(should->size_bytes + 1);
	ENSURE(bytes);
	CHECK(world, view->pin->ops->read_whole(view->pin, bytes) == 0, "job %" PRIu64 ": wrong bytes", view->number);
	free(bytes);
}

/* A view is some version of the job that is durable; UINT64_MAX: of the present state, durable later. */
void check_view(struct world *world, const struct job_view *view, uint64_t durable)
{
	const struct model_job *job = model_job(&world->model, view->number);
	const struct version *v = job ? model_revision(job, view->revision) : NULL;
	bool result_there = view->state == JOB_DONE && !view->expired;

	CHECK(world, v, "job %" PRIu64 " never had revision %u", view->number, view->revision);
	CHECK(world, v->end <= durable, "job %" PRIu64 ": revision %u was told before it is durable", view->number,
	      view->revision);
	if (durable == UINT64_MAX)
		CHECK(world, v->revision == model_last(job)->revision, "job %" PRIu64 ": revision %u was told, it has %u",
		      view->number, view->revision, model_last(job)->revision);
	CHECK(world, view->state == (enum job_state)v->state && view->expired == v->expired, "job %" PRIu64 ": its state",
	      view->number);
	CHECK(world, view->attempt == version_attempt(v), "job %" PRIu64 ": its attempt", view->number);
	CHECK(world,
	      view->timeouts == v->timeouts && view->failures == v->failures && view->releases == v->releases &&
		      view->lost_handoffs == v->lost_handoffs,
	      "job %" PRIu64 ": its counts", view->number);
	CHECK(world, !result_there || view->result.crc == v->result.crc, "job %" PRIu64 ": its result", view->number);
	CHECK(world, model_string(view->message) == v->message && model_string(view->error) == v->error,
	      "job %" PRIu64 ": its words", view->number);
	CHECK(world, handle_key(slice_from(view->handle, JOB_HANDLE_CHARS)) == view->key, "job %" PRIu64 ": its key",
	      view->number);
}

/* One thread hears of a job in the order in which things happened to it. */
static void check_order(struct world *world, const struct loop *loop, const struct job_view *view)
{
	struct model_job *job = view ? model_job(&world->model, view->number) : NULL;

	if (!job)
		return;
	CHECK(world, view->revision >= job->told[loop->index], "thread %u hears of revision %u of job %" PRIu64 " after %u",
	      loop->index, view->revision, job->number, job->told[loop->index]);
	job->told[loop->index] = view->revision;
}

static void check_lease(struct world *world, const struct loop *loop, const struct lease *lease, uint64_t durable)
{
	CHECK(world, lease->view && lease->view->number == lease->number, "a lease without a job");
	check_view(world, lease->view, durable);
	check_order(world, loop, lease->view);
	CHECK(world, lease->attempt == lease->view->attempt, "job %" PRIu64 ": the lease's attempt", lease->number);
}

static void check_wake(struct world *world, const struct wake *wake, uint64_t durable)
{
	const struct model_job *job;

	if (wake->view) {
		CHECK(world, wake->view->key == wake->key, "a wake for another job");
		check_view(world, wake->view, durable);
		return;
	}
	for (uint64_t number = 1; number < world->model.cap; number++) {
		job = model_job(&world->model, number);
		if (job && model_last(job)->forgotten && model_last(job)->end <= durable)
			return;
	}
	CHECK(world, false, "a job was said to be forgotten, and none is, durably");
}

void check_message(struct world *world, const struct loop *loop, struct message *message)
{
	uint64_t durable = sim_store_durable(world->store);

	CHECK(world, message->thread == loop->index, "a message for thread %u came to thread %u", message->thread, loop->index);
	if (message->kind == MESSAGE_COMMAND) {
		struct ask *ask = container_of(message, struct ask, command.message);

		CHECK(world, ask->applied, "a command came back unheard");
		if (ask->command.outcome == OUTCOME_STORAGE) {
			CHECK(world, world->failed, "the journal has not failed");
			return;
		}
		CHECK(world, ask->rests_on <= durable,
		      "an answer (kind %d, job %" PRIu64 ") rests on %" PRIu64 ", durable is %" PRIu64, (int)ask->command.kind,
		      ask->numbers[0], ask->rests_on, durable);
		check_order(world, loop, ask->command.out.view);
		for (size_t i = 0; i < ask->command.out.view_count; i++)
			check_order(world, loop, ask->command.out.views[i]);
		for (size_t i = 0; i < ask->command.out.lease_count; i++)
			check_lease(world, loop, &ask->command.out.leases[i], durable);
	} else if (message->kind == MESSAGE_OFFER) {
		struct offer *offer = container_of(message, struct offer, message);

		CHECK(world, offer->lease_count > 0, "an offer of nothing");
		for (size_t i = 0; i < offer->lease_count; i++)
			check_lease(world, loop, &offer->leases[i], durable);
	} else if (message->kind == MESSAGE_STREAM_GREW) {
		check_growth(world, container_of(message, struct stream_growth, message), durable);
	} else if (message->kind == MESSAGE_STREAM_WAKE) {
		check_stream_wake(world, container_of(message, struct stream_wake, message), durable);
	} else {
		CHECK(world, message->kind == MESSAGE_WAKE, "a message of kind %u", message->kind);
		check_wake(world, container_of(message, struct wake, message), durable);
		check_order(world, loop, container_of(message, struct wake, message)->view);
	}
}

/* --- after each step, after each turn --- */

uint32_t check_claimed(struct world *world)
{
	uint32_t bits = 0;

	if (world->failed) /* claims that leave are not heard any more */
		return UINT32_MAX;
	list_each (node, &world->claims) {
		const struct claim_wait *claim = container_of(node, struct claim_wait, node);

		for (unsigned i = 0; i < claim->queue_count && ((claim->parked && !claim->served) || claim->uncertain); i++)
			bits |= 1u << claim->queues[i];
	}
	return bits;
}

/* Who was not woken for want of memory is at the next change, or looks at his own deadline. */
static void excuse_wakes(struct world *world)
{
	for (uint64_t number = 1; number < world->model.next_number; number++) {
		struct model_job *job = model_job(&world->model, number);

		if (job && model_last(job)->end > world->step_end)
			job->wake_short_revision = model_last(job)->revision;
	}
}

void check_step(struct world *world)
{
	const char *wrong;

	if (world->memory_failed) {
		excuse_wakes(world);
		check_stream_memory(world);
	}

	if (!world->failed)
		sequencer_check(world->s);
	wrong = model_compare(&world->model, world->s, check_claimed(world), world->store);
	CHECK(world, !wrong, "the state is not what the events say: %s", wrong);
}

static bool wake_is_near(const struct loop *loop, uint64_t key)
{
	for (const struct mail *mail = loop->inbox.first; mail; mail = mail->next) {
		struct message *message = container_of(mail, struct message, mail);

		if (message->kind == MESSAGE_WAKE && container_of(message, struct wake, message)->key == key)
			return true;
	}
	return false;
}

static void check_poll(struct world *world, struct poll *poll)
{
	const struct model_job *job = model_job(&world->model, poll->job.number);
	const struct version *v = model_at(job, sim_store_durable(world->store));

	if (poll->state != POLL_PARKED)
		return;
	CHECK(world, v, "somebody waits for job %" PRIu64 ", which is not durable", poll->job.number);
	if (v->revision <= job->wake_short_revision)
		return;
	if (!version_far_enough(v, poll->until, poll->revision) || wake_is_near(poll->loop, poll->wait.key))
		return;
	CHECK(world, world->memory_failed, "a wake is lost: job %" PRIu64 ", state %s, until %d", poll->job.number,
	      job_state_name((enum job_state)v->state), (int)poll->until);
}

void check_turn(struct world *world)
{
	check_stream_turn(world);
	topic_check_turn(world);
	group_check_turn(world);
	list_each (node, &world->polls)
		check_poll(world, container_of(node, struct poll, node));
	list_each (node, &world->claims) {
		const struct claim_wait *claim = container_of(node, struct claim_wait, node);

		for (unsigned i = 0; i < claim->queue_count && claim->parked && !claim->served; i++)
			CHECK(world,
			      !model_next_ready(&world->model, claim->queues[i]) || world->memory_failed || claim->uncertain,
			      "claim %" PRIu64 " waits, and %s has work", claim->id, queue_name(claim->queues[i]));
	}
}

/* Two sequencers that begin from nothing come to the same, which is what the events up to the durable position say. */
void check_replay(struct world *world)
{
	uint64_t durable = sim_store_durable(world->store);
	struct model model;
	const uint8_t seed[16] = {7};

	model_init(&model, world->config.tombstone_ms);
	for (size_t i = 0; i < sim_store_count(world->store); i++) {
		struct store_replay entry = sim_store_entry(world->store, i);

		if (entry.end <= durable)
			CHECK(world, !model_apply(&model, &entry), "the journal cannot be folded");
	}
	for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
		struct sim_store *store = sim_store_new();
		struct sequencer *s = sequencer_new(&world->config, sim_store_interface(store), seed);
		const char *wrong;
		int r;

		ENSURE(s);
		r = sim_store_replay(world->store, s, checkpoint, durable);
		CHECK(world, r == 0, "replay %s refuses to start: %d", checkpoint ? "from the checkpoint" : "of the journal", r);
		CHECK(world, sequencer_replayed(s) == 0, "what was replayed contradicts itself");
		sequencer_check(s);
		wrong = model_compare(&model, s, 0, store);
		CHECK(world, !wrong, "replay %s: %s", checkpoint ? "from the checkpoint" : "of the journal", wrong);
		sequencer_free(s);
		sim_store_free(store);
	}
	model_deinit(&model);
}
