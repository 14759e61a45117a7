/* Those who want work done: submitters, pollers who come and go, cancelers, an operator. */
#include "sim/world.h"

#include "base/crc32c.h"
#include "base/panic.h"

#include <inttypes.h>
#include <stdlib.h>

const char *queue_name(unsigned queue)
{
	static const char *const names[QUEUE_COUNT] = {"alpha", "beta", "gamma", "delta", "rare"};

	return names[queue % QUEUE_COUNT];
}

struct loop *any_loop(struct world *world)
{
	return &world->loops[random_below(&world->random, world->theme->loops)];
}

/* The last ones told of are asked about most. */
bool known_any(struct world *world, struct known *ret_job)
{
	size_t span = world->known_count < KNOWN_MAX ? world->known_count : KNOWN_MAX;
	uint64_t back;

	if (span == 0)
		return false;
	back = random_below(&world->random, random_between(&world->random, 1, span));
	*ret_job = world->known[(world->known_count - 1 - back) % KNOWN_MAX];
	return true;
}

void known_add(struct world *world, const struct job_view *view)
{
	struct known *known = &world->known[world->known_count++ % KNOWN_MAX];

	known->number = view->number;
	memcpy(known->handle, view->handle, sizeof(known->handle));
}

/* --- submitters --- */

static struct slice any_body(struct world *world, struct ask *ask, uint64_t which)
{
	static const char letters[] =
		"the body of a job, and of a result, however long it may be; it is held against its checksum";

	if (which % 7 == 0)
		return (struct slice){0};
	(void)world;
	return ask_text(ask, "%" PRIu64 ": %.*s", which, (int)(which % (sizeof(letters) - 1)), letters);
}

static void poll_start_parked(struct world *world, struct loop *loop, const struct job_view *view);

static void submit_returned(struct world *world, struct ask *ask)
{
	const struct command *c = &ask->command;

	if (c->outcome != OUTCOME_OK && c->outcome != OUTCOME_SAME)
		return;
	known_add(world, c->out.view);
	if (c->in.submit.watch && !job_state_is_terminal(c->out.view->state))
		poll_start_parked(world, &world->loops[c->message.thread], c->out.view);
}

/* Everything is a function of `which`, so that a key or name can be sent again, the same or different. */
static void fill_submit(struct world *world, struct ask *ask, uint64_t which)
{
	struct submit_in *in = &ask->command.in.submit;
	struct random own = {which * 2654435761u};
	struct slice body = any_body(world, ask, which);

	in->queue =
		ask_text(ask, "%s", queue_name(random_below(&own, 100) < 5 ? QUEUE_COUNT - 1 : (unsigned)random_below(&own, 4)));
	in->content_type = random_below(&own, 3) ? ask_text(ask, "text/%" PRIu64, random_below(&own, 4)) : (struct slice){0};
	in->delay_ms = random_below(&own, 4) ? 0 : random_below(&own, 400);
	in->retain_ms = random_below(&own, world->theme->keep_ms);
	in->cancel_after_ms = random_below(&own, 12) ? 0 : random_between(&own, 1, 1500);
	in->lease_ms = (uint32_t)random_between(&own, 20, 600);
	in->priority = random_below(&own, 3) ? 5 : (uint32_t)random_below(&own, 10);
	in->max_attempts = (uint32_t)random_between(&own, 1, 4);
	if (body.len > 60)
		in->blob = sim_store_blob(world->store, body);
	else
		in->body = body;
}

void submitter_acts(struct world *world)
{
	struct random *random = &world->random;
	struct loop *loop = any_loop(world);
	struct ask *ask;
	uint64_t which = random_u64(random) >> 16, id = random_below(random, 40);

	if (world->model.live_count > world->theme->jobs && !random_permille(random, 100))
		return;
	ask = ask_new(world, loop, COMMAND_SUBMIT);
	ask->returned = submit_returned;
	switch (random_below(random, 4)) {
	case 0: /* once more, perhaps: by key */
		which = id + (random_permille(random, 100) ? 1000 : 0);
		fill_submit(world, ask, which);
		ask->command.in.submit.key = ask_text(ask, "key-%" PRIu64, id);
		break;
	case 1: /* by name */
		which = id + (random_permille(random, 100) ? 3000 : 2000);
		fill_submit(world, ask, which);
		ask->command.in.submit.name = ask_text(ask, "name-%" PRIu64, id);
		if (random_permille(random, 100))
			ask->command.in.submit.key = ask_text(ask, "key-%" PRIu64, id);
		break;
	default:
		fill_submit(world, ask, which);
		break;
	}
	ask->command.in.submit.watch = random_permille(random, 300);
	ask_send(world, ask);
}

/* --- pollers --- */

static void poll_look(struct poll *poll, bool last);

void poll_free(struct poll *poll)
{
	if (poll->ask)
		poll->ask->who = NULL;
	board_remove(&poll->loop->board, &poll->wait);
	wheel_remove(poll->loop->wheel, &poll->timer);
	list_remove(&poll->node);
	free(poll);
}

static void poll_answered(struct poll *poll)
{
	poll->world->waits_answered++;
	/* Some come back at once, with the same handle, to another thread. */
	poll_free(poll);
}

static void poll_expired(struct wheel_entry *entry)
{
	struct poll *poll = container_of(entry, struct poll, timer);
	struct world *world = poll->world;

	CHECK(world, world->now_ms >= entry->deadline_ms && world->now_ms <= entry->deadline_ms + TICK_MS,
	      "a wait was to end at %" PRIu64 ", it is %" PRIu64, entry->deadline_ms, world->now_ms);
	world->waits_expired++;
	if (poll->ask)
		poll->ask->who = NULL;
	poll->ask = NULL;
	poll_look(poll, true);
}

static void poll_returned(struct world *world, struct ask *ask)
{
	struct poll *poll = ask->who;
	const struct command *c = &ask->command;
	struct job_view *view = c->outcome != OUTCOME_STORAGE && c->out.view_count ? c->out.views[0] : NULL;

	if (view && view->pin)
		check_pin(world, view, &view->result);
	if (!poll)
		return;
	poll->ask = NULL;
	if (poll->state == POLL_LOOKING && c->outcome == OUTCOME_PARKED)
		poll->state = POLL_PARKED;
	else
		poll_answered(poll);
}

static void poll_look(struct poll *poll, bool last)
{
	struct ask *ask = ask_new(poll->world, poll->loop, COMMAND_JOBS);

	poll->state = last ? POLL_LAST_LOOK : POLL_LOOKING;
	poll->ask = ask;
	ask->who = poll;
	ask->returned = poll_returned;
	ask_handle(ask, 0, &poll->job);
	ask->command.in.jobs = (struct jobs_in){
		.handles = ask->slices,
		.count = 1,
		.until = poll->until,
		.revision = poll->revision,
		.watch = !last,
		.pin_result = true,
	};
	ask_send(poll->world, ask);
}

static struct poll *poll_new(struct world *world, struct loop *loop, const struct known *job)
{
	struct poll *poll = calloc(1, sizeof(*poll));

	ENSURE(poll);
	poll->world = world;
	poll->loop = loop;
	poll->job = *job;
	poll->timer = (struct wheel_entry){.deadline_ms = world->now_ms + random_between(&world->random, 1, 3000),
					   .expired = poll_expired};
	list_init(&poll->timer.node);
	list_push_back(&world->polls, &poll->node);
	/* Register, then look: whatever happens from here on is heard. */
	ENSURE(board_add(&loop->board, &poll->wait, handle_key(slice_from(job->handle, JOB_HANDLE_CHARS))) == 0);
	wheel_add(loop->wheel, &poll->timer);
	return poll;
}

/* A submit with a wait: the sequencer watches already. */
static void poll_start_parked(struct world *world, struct loop *loop, const struct job_view *view)
{
	struct known job = {.number = view->number};
	struct poll *poll;

	memcpy(job.handle, view->handle, sizeof(job.handle));
	poll = poll_new(world, loop, &job);
	poll->state = POLL_PARKED;
	poll->until = UNTIL_DONE;
}

/* Many jobs at once, one of them nobody's. */
static void look_at_many(struct world *world)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_JOBS);
	struct known job = {.number = 0};
	size_t count = 0;

	while (count < 4 && known_any(world, &job))
		ask_handle(ask, count++, &job);
	job.number = 0;
	job.handle[3] = job.handle[3] == 'a' ? 'b' : 'a';
	ask_handle(ask, count++, &job);
	ask->command.in.jobs = (struct jobs_in){.handles = ask->slices, .count = count, .until = UNTIL_DONE};
	ask_send(world, ask);
}

void poller_acts(struct world *world)
{
	const struct model_job *model_job_now;
	struct known job;
	struct poll *poll;

	if (!known_any(world, &job))
		return;
	if (random_permille(&world->random, 100)) {
		look_at_many(world);
		return;
	}
	poll = poll_new(world, any_loop(world), &job);
	poll->until = (enum job_until)random_below(&world->random, 3);
	model_job_now = model_live(&world->model, job.number);
	/* What they knew may be old. */
	if (model_job_now)
		poll->revision = model_last(model_job_now)->revision - (random_permille(&world->random, 200) ? 1 : 0);
	poll_look(poll, false);
}

void poller_leaves(struct world *world)
{
	uint64_t skip = random_below(&world->random, 8);

	list_each (node, &world->polls) {
		if (skip-- == 0) {
			poll_free(container_of(node, struct poll, node));
			return;
		}
	}
}

static bool view_far_enough(const struct poll *poll, const struct job_view *view)
{
	struct version v = {.state = (uint8_t)view->state, .revision = view->revision};

	return version_far_enough(&v, poll->until, poll->revision);
}

/* As the door does: one wake for all that wait here; who wants more looks, and so watches, again. */
void poll_woken(struct world *world, struct loop *loop, struct wake *wake)
{
	struct wait *wait = board_find(&loop->board, wake->key), *first = wait;
	struct poll *polls[64];
	size_t count = 0;

	if (wake->view && wake->view->pin)
		check_pin(world, wake->view, &wake->view->result);
	for (; wait && count < 64; wait = board_next(first, wait))
		polls[count++] = container_of(wait, struct poll, wait);
	for (size_t i = 0; i < count; i++) {
		struct poll *poll = polls[i];

		if (!wake->view || view_far_enough(poll, wake->view)) {
			poll_answered(poll);
		} else if (poll->state == POLL_PARKED) {
			poll_look(poll, false);
		}
	}
}

/* --- cancelers and the operator --- */

void canceler_acts(struct world *world)
{
	struct known job;
	struct ask *ask;

	if (!known_any(world, &job))
		return;
	ask = ask_new(world, any_loop(world), COMMAND_CANCEL);
	ask_handle(ask, 0, &job);
	ask->command.in.cancel = (struct cancel_in){.handle = ask->slices[0], .forget = random_permille(&world->random, 300)};
	ask_send(world, ask);
}

static void operator_lists(struct world *world)
{
	struct ask *ask = ask_new(world, any_loop(world), COMMAND_LIST);
	struct list_in *in = &ask->command.in.list;

	in->limit = (uint32_t)random_between(&world->random, 1, 20);
	if (random_permille(&world->random, 500))
		in->queue = ask_text(ask, "%s", queue_name((unsigned)random_below(&world->random, QUEUE_COUNT)));
	in->state_mask = random_permille(&world->random, 500) ? (unsigned)random_below(&world->random, 128) : 0;
	if (random_permille(&world->random, 500))
		in->after = random_between(&world->random, 1, world->model.next_number);
	ask_send(world, ask);
}

void operator_acts(struct world *world)
{
	static const enum command_kind kinds[] = {COMMAND_QUEUE, COMMAND_QUEUE_SET, COMMAND_KICK, COMMAND_QUEUES, COMMAND_LIST};
	enum command_kind kind = kinds[random_below(&world->random, 5)];
	struct ask *ask;
	struct slice name;

	if (kind == COMMAND_LIST) {
		operator_lists(world);
		return;
	}
	ask = ask_new(world, any_loop(world), kind);
	name = ask_text(ask, "%s", queue_name((unsigned)random_below(&world->random, QUEUE_COUNT)));
	if (kind == COMMAND_KICK)
		ask->command.in.kick = (struct kick_in){.queue = name, .count = (uint32_t)random_between(&world->random, 1, 5)};
	else
		ask->command.in.queue = (struct queue_in){.queue = name, .paused = random_permille(&world->random, 250)};
	ask_send(world, ask);
}
