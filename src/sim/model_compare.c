/* The sequencer's state, as its own snapshot tells it, against the model's. */
#include "sim/model.h"

#include "base/panic.h"
#include "job/job.h"
#include "sequencer/sequencer.h"
#include "stream/stream_event.h"
#include "subscription/subscription_event.h"

#include <inttypes.h>
#include <stdio.h>

struct comparison {
	const struct model *model;
	const struct sim_store *store;
	uint32_t claimed;
	uint64_t jobs, bodies;
	uint32_t queues; /* a bit for each that was seen */
	struct stream_comparison streams;
	struct topic_comparison topics;
	struct group_comparison groups;
	char wrong[256];
};

static void differ(struct comparison *c, const char *what, uint64_t number, uint64_t is, uint64_t should)
{
	if (!c->wrong[0])
		snprintf(c->wrong, sizeof(c->wrong), "job %" PRIu64 ": %s is %" PRIu64 ", should be %" PRIu64, number, what, is,
			 should);
}

#define SAME(what, is, should)                                                                                                   \
	do {                                                                                                                     \
		if ((uint64_t)(is) != (uint64_t)(should))                                                                        \
			differ(c, what, e->number, (uint64_t)(is), (uint64_t)(should));                                          \
	} while (0)

static void compare_ref(struct comparison *c, const struct event *e, const char *what, const struct body_ref *is,
			const struct body_ref *should)
{
	SAME(what, is->kind, should->kind);
	SAME(what, is->place, should->place);
	SAME(what, is->size_bytes, should->size_bytes);
	SAME(what, is->crc, should->crc);
	if (is->kind == BODY_NONE)
		return;
	c->bodies++;
	if (!sim_store_lives(c->store, is))
		differ(c, "a body is named, but not retained", e->number, 0, 1);
}

static void compare_times(struct comparison *c, const struct event *e, const struct model_job *job, const struct version *v)
{
	SAME("retain", e->retain_ms, job->retain_ms);
	SAME("cancel_at", e->cancel_at_ms, job->cancel_at_ms);
	SAME("created", e->created_ms, job->created_ms);
	SAME("updated", e->updated_ms, v->updated_ms);
	SAME("until", e->until_ms, v->until_ms);
	SAME("ready_ms", e->ready_ms, v->ready_ms);
	SAME("ready_position", e->ready_position, v->ready_position);
	SAME("changed_end", e->changed_end, v->end);
	SAME("lease", e->lease_ms, v->lease_ms);
	SAME("own_lease", e->own_lease_ms, job->own_lease_ms);
}

static void compare_job(struct comparison *c, const struct event *e)
{
	const struct model_job *job = model_live(c->model, e->number);
	const struct version *v;

	c->jobs++;
	if (!job) {
		differ(c, "it is there", e->number, 1, 0);
		return;
	}
	v = model_last(job);
	SAME("state", e->state, v->state);
	SAME("expired", e->expired, v->expired);
	SAME("revision", e->revision, v->revision);
	SAME("attempt", e->attempt, version_attempt(v));
	SAME("token", e->token, v->token);
	SAME("queue", slice_eq(e->queue, slice_str(c->model->queues[job->queue].name)), 1);
	SAME("name", model_string(e->name), v->name);
	SAME("key", model_string(e->key), v->key);
	SAME("content_type", model_string(e->content_type), job->content_type);
	SAME("priority", e->priority, job->priority);
	SAME("max_attempts", e->max_attempts, job->max_attempts);
	SAME("worker", model_string(e->worker), v->worker);
	SAME("attempt_id", model_string(e->attempt_id), v->attempt_id);
	SAME("progress", e->progress, v->progress);
	SAME("message", model_string(e->message), v->message);
	SAME("error", model_string(e->error), v->error);
	SAME("result_type", model_string(e->result_type), v->result_type);
	SAME("timeouts", e->timeouts, v->timeouts);
	SAME("failures", e->failures, v->failures);
	SAME("releases", e->releases, v->releases);
	SAME("lost_handoffs", e->lost_handoffs, v->lost_handoffs);
	compare_times(c, e, job, v);
	compare_ref(c, e, "body", &e->body, &v->body);
	compare_ref(c, e, "result", &e->result, &v->result);
}

static void compare_queue(struct comparison *c, const struct event *e)
{
	unsigned q = 0;

	while (q < MODEL_QUEUES_MAX && !slice_eq(e->queue, slice_str(c->model->queues[q].name)))
		q++;
	ENSURE(q < MODEL_QUEUES_MAX);
	c->queues |= 1u << q;
	if (!model_queue_stands(c->model, q) && !(c->claimed & 1u << q))
		differ(c, "a queue that nothing holds is there", q, 1, 0);
	SAME("queue paused", e->paused, c->model->queues[q].paused);
	for (unsigned i = 0; i < MODEL_TOTALS; i++)
		SAME("a queue's total", e->total[i], c->model->queues[q].total[i]);
}

/* Nobody subscribes in this world. */
static void compare_later(struct comparison *c, uint8_t type, struct slice fields)
{
	if (type >= GROUP_EVENT_FIRST)
		group_compare(&c->groups, type, fields);
	else if (type >= TOPIC_EVENT_FIRST || type == STREAM_SNAP_SEQUENCE || type == STREAM_SNAP_ABORTED ||
		 type == STREAM_COMPACTED)
		topic_compare(&c->topics, type, fields);
	else if (type < SUB_EVENT_FIRST)
		stream_compare(&c->streams, type, fields);
	if (type == STREAM_SNAP)
		topic_compare_stream(&c->topics, c->streams.stream ? c->streams.stream->number : 0);
}

static int compare(void *ctx, uint8_t type, struct slice fields)
{
	struct comparison *c = ctx;
	struct event e = {.type = (enum event_type)type};

	if (type >= STREAM_EVENT_FIRST) {
		compare_later(c, type, fields);
		return 0;
	}
	ENSURE(event_decode(&e, fields) == 0);
	if (type == EVENT_SNAP_JOB)
		compare_job(c, &e);
	else if (type == EVENT_SNAP_QUEUE)
		compare_queue(c, &e);
	else if (e.next_number != c->model->next_number)
		differ(c, "next_number", 0, e.next_number, c->model->next_number);
	return 0;
}

const char *model_compare(struct model *model, struct sequencer *s, uint32_t claimed, const struct sim_store *store)
{
	static struct comparison c;
	int r;

	c = (struct comparison){.model = model, .store = store, .claimed = claimed};
	c.streams = (struct stream_comparison){.model = &model->streams, .store = store};
	c.topics = (struct topic_comparison){.model = model};
	c.groups = (struct group_comparison){.model = &model->groups};
	r = sequencer_snapshot_whole(s, compare, &c);
	stream_compare_end(&c.streams);
	topic_compare_end(&c.topics);
	group_compare_end(&c.groups);
	c.bodies += c.streams.bodies;
	if (r)
		differ(&c, "the snapshot failed", 0, (uint64_t)-r, 0);
	if (c.jobs != model->live_count)
		differ(&c, "how many jobs there are", 0, c.jobs, model->live_count);
	for (unsigned q = 0; q < MODEL_QUEUES_MAX && model->queues[q].name[0]; q++) {
		if (model_queue_stands(model, q) && !(c.queues & 1u << q))
			differ(&c, "a queue is there", q, 0, 1);
	}
	if (c.bodies != sim_store_bodies(store))
		differ(&c, "how many bodies are retained", 0, sim_store_bodies(store), c.bodies);
	if (c.streams.wrong[0])
		return c.streams.wrong;
	if (c.topics.wrong[0] || c.groups.wrong[0])
		return c.topics.wrong[0] ? c.topics.wrong : c.groups.wrong;
	return c.wrong[0] ? c.wrong : NULL;
}
