#include "job/jobs_fixture.h"

#include "base/panic.h"
#include "base/wire.h"

static struct world *world_of(const struct store *store)
{
	return container_of(store, struct world, store);
}

static struct body_ref *body_at(struct world *w, const struct body_ref *ref)
{
	for (size_t i = 0; i < w->body_count; i++) {
		if (w->bodies[i].kind == ref->kind && w->bodies[i].place == ref->place)
			return &w->bodies[i];
	}
	return NULL;
}

static void op_retain(struct store *store, const struct body_ref *ref)
{
	struct world *w = world_of(store);

	if (ref->kind == BODY_NONE)
		return;
	ENSURE(!body_at(w, ref) && w->body_count < WORLD_BODIES_MAX);
	w->bodies[w->body_count++] = *ref;
}

static void op_release(struct store *store, const struct body_ref *ref)
{
	struct world *w = world_of(store);
	struct body_ref *at = body_at(w, ref);

	ENSURE(at && at->size_bytes == ref->size_bytes && at->crc == ref->crc);
	*at = w->bodies[--w->body_count];
}

static const struct store_ops ops = {.body_retain = op_retain, .body_release = op_release};

void world_init(struct world *w)
{
	*w = (struct world){.store.ops = &ops, .position = 64, .time_ms = 1000000};
	ENSURE(jobs_init(&w->jobs, &w->store, &(struct hash_key){3, 4}, WORLD_TOMBSTONE_MS) == 0);
}

void world_deinit(struct world *w)
{
	jobs_deinit(&w->jobs);
}

/* Invariant 5: what the jobs name is what lives. */
static void check_bodies(const struct world *w)
{
	size_t named = 0;

	for (struct job *job = jobs_from(&w->jobs, 0); job; job = jobs_from(&w->jobs, job->number + 1)) {
		const struct body_ref *refs[] = {&job->body, &job->result};

		for (size_t i = 0; i < ARRAY_COUNT(refs); i++) {
			if (refs[i]->kind == BODY_NONE)
				continue;
			ENSURE(body_at(world_of(w->jobs.store), refs[i]));
			named++;
		}
	}
	ENSURE(named == w->body_count);
}

int world_try(struct world *w, struct event *e, struct slice body)
{
	struct prepared prepared;
	int r;

	e->time_ms = w->time_ms;
	e->position = w->position;
	e->end = w->position + 64 + body.len;
	if (body.len)
		e->bytes = (struct body_ref){e->position + 32, body.len, (uint32_t)body.len * 7, BODY_INLINE};
	r = jobs_prepare(&w->jobs, e, &prepared);
	if (r)
		return r;
	jobs_commit(&w->jobs, e, &prepared);
	w->position = e->end;
	jobs_check(&w->jobs);
	check_bodies(w);
	return 0;
}

void world_apply(struct world *w, struct event *e, struct slice body)
{
	ENSURE(world_try(w, e, body) == 0);
}

void world_plain(struct world *w, enum event_type type, uint64_t number)
{
	world_apply(w, &(struct event){.type = type, .number = number}, (struct slice){0});
}

void world_offer(struct world *w, uint64_t number, struct slice attempt_id)
{
	struct event e = {
		.type = EVENT_OFFERED,
		.number = number,
		.token = 1000 + w->position,
		.lease_ms = 1000,
		.until_ms = w->time_ms + 1000,
		.worker = SLICE("kitchen"),
		.attempt_id = attempt_id,
	};

	world_apply(w, &e, (struct slice){0});
}

struct job *world_job(struct world *w, struct slice queue, enum job_state state)
{
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = w->jobs.next_number,
		.queue = queue,
		.content_type = SLICE("text/plain"),
		.max_attempts = 3,
		.lease_ms = 1000,
		.retain_ms = 1000,
		.until_ms = state == JOB_DELAYED ? w->time_ms + 1000 : 0,
	};

	world_apply(w, &e, SLICE("body"));
	if (state == JOB_CANCELED)
		world_plain(w, EVENT_CANCELED, e.number);
	if (state == JOB_OFFERED || state == JOB_RUNNING || state == JOB_DONE || state == JOB_FAILED)
		world_offer(w, e.number, (struct slice){0});
	if (state == JOB_RUNNING)
		world_apply(w, &(struct event){.type = EVENT_LEASED, .number = e.number, .until_ms = w->time_ms + 1000},
			    (struct slice){0});
	if (state == JOB_DONE)
		world_apply(w, &(struct event){.type = EVENT_DONE, .number = e.number, .content_type = SLICE("image/png")},
			    SLICE("result"));
	if (state == JOB_FAILED)
		world_apply(w, &(struct event){.type = EVENT_FAILED, .number = e.number, .error = SLICE("\"why\"")},
			    (struct slice){0});
	ENSURE(jobs_find(&w->jobs, e.number)->state == state);
	return jobs_find(&w->jobs, e.number);
}

static void dump_list(const struct list *list, struct buf *out)
{
	list_each (node, list)
		wire_put_u64(out, container_of(node, struct job, place)->number);
	wire_put_u64(out, UINT64_MAX);
}

static void dump_queue(const struct queue *queue, struct buf *out)
{
	struct job *first = queue_first_ready(queue);
	struct event e;

	queue_snapshot(queue, &e);
	event_encode(&e, out);
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
		wire_put_u64(out, queue->count[i]);
	wire_put_u64(out, queue->expired_count);
	wire_put_u64(out, first ? first->number : 0);
	dump_list(&queue->waiting, out);
	dump_list(&queue->dead, out);
}

void world_dump(const struct world *w, struct buf *out)
{
	const struct jobs *jobs = &w->jobs;
	const uint64_t figures[] = {
		jobs->count,           jobs->next_number,     jobs->queue_count, jobs->queue_table.count,
		jobs->atoms.count,     jobs->names.count,     jobs->keys.count,  jobs->attempts.count,
		jobs->deadlines.count, jobs->pool.live_count, jobs->has_secret,  w->body_count,
	};
	struct event e;

	buf_clear(out);
	for (size_t i = 0; i < ARRAY_COUNT(figures); i++)
		wire_put_u64(out, figures[i]);
	for (unsigned i = 0; i < JOB_STATE_COUNT; i++)
		wire_put_u64(out, jobs->count_by_state[i]);
	for (struct job *job = jobs_from(jobs, 0); job; job = jobs_from(jobs, job->number + 1)) {
		job_snapshot(job, &e);
		event_encode(&e, out);
		wire_put_u64(out, job->deadline_ms);
	}
	list_each (node, &jobs->queues)
		dump_queue(container_of(node, struct queue, peers), out);
	ENSURE(!out->failed);
}
