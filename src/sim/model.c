#include "sim/model.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/panic.h"
#include "job/job.h"

#include <stdlib.h>

static const struct hash_key key = {3, 5};

void model_init(struct model *model, uint64_t tombstone_ms)
{
	*model = (struct model){.tombstone_ms = tombstone_ms, .next_number = 1};
}

void model_deinit(struct model *model)
{
	for (uint64_t i = 0; i < model->cap; i++) {
		if (model->jobs[i]) {
			free(model->jobs[i]->versions);
			free(model->jobs[i]);
		}
	}
	free(model->jobs);
	free(model->live);
	model_streams_deinit(&model->streams);
	model_topics_deinit(&model->topics);
	model_groups_deinit(&model->groups);
	*model = (struct model){0};
}

/* --- finding --- */

uint64_t model_string(struct slice s)
{
	return s.len ? hash_bytes(&key, s.ptr, s.len) | 1 : 0;
}

unsigned model_queue(struct model *model, struct slice name)
{
	unsigned i = 0;

	ENSURE(name.len < MODEL_QUEUE_CHARS);
	while (i < MODEL_QUEUES_MAX && model->queues[i].name[0] && !slice_eq(slice_str(model->queues[i].name), name))
		i++;
	ENSURE(i < MODEL_QUEUES_MAX);
	memcpy(model->queues[i].name, name.ptr, name.len);
	return i;
}

struct model_job *model_job(const struct model *model, uint64_t number)
{
	return number < model->cap ? model->jobs[number] : NULL;
}

struct model_job *model_live(const struct model *model, uint64_t number)
{
	struct model_job *job = model_job(model, number);

	return job && !model_last(job)->forgotten ? job : NULL;
}

static struct model_job *by_string(struct model *model, struct slice queue, uint64_t name, uint64_t key_id)
{
	unsigned q = model_queue(model, queue);

	for (size_t i = 0; i < model->live_count; i++) {
		const struct version *v = model_last(model->live[i]);

		if (model->live[i]->queue == q && ((name && v->name == name) || (key_id && v->key == key_id)))
			return model->live[i];
	}
	return NULL;
}

struct model_job *model_by_name(struct model *model, struct slice queue, struct slice name)
{
	return by_string(model, queue, model_string(name), 0);
}

struct model_job *model_by_key(struct model *model, struct slice queue, struct slice key_string)
{
	return by_string(model, queue, 0, model_string(key_string));
}

uint64_t model_queue_jobs(const struct model *model, unsigned queue, int state)
{
	uint64_t count = 0;

	for (size_t i = 0; i < model->live_count; i++) {
		const struct version *v = model_last(model->live[i]);

		count += model->live[i]->queue == queue && !v->expired && (state < 0 || v->state == state);
	}
	return count;
}

bool model_queue_stands(const struct model *model, unsigned queue)
{
	bool stands = model->queues[queue].paused;

	for (size_t i = 0; i < model->live_count && !stands; i++)
		stands = model->live[i]->queue == queue;
	return stands;
}

struct model_job *model_next_ready(const struct model *model, unsigned queue)
{
	struct model_job *best = NULL;

	for (size_t i = 0; i < model->live_count && !model->queues[queue].paused; i++) {
		struct model_job *job = model->live[i];
		const struct version *v = model_last(job);

		if (job->queue != queue || v->state != JOB_READY)
			continue;
		if (!best || job->priority < best->priority ||
		    (job->priority == best->priority && v->ready_position < model_last(best)->ready_position))
			best = job;
	}
	return best;
}

const struct version *model_at(const struct model_job *job, uint64_t end)
{
	for (size_t i = job->count; i > 0; i--) {
		if (job->versions[i - 1].end <= end)
			return &job->versions[i - 1];
	}
	return NULL;
}

const struct version *model_revision(const struct model_job *job, uint32_t revision)
{
	for (size_t i = 0; i < job->count; i++) {
		if (job->versions[i].revision == revision)
			return &job->versions[i];
	}
	return NULL;
}

/* --- what makes two submits the same --- */

static uint64_t request(struct slice content_type, uint64_t size, uint32_t crc, const uint64_t numbers[6])
{
	uint64_t hash = hash_u64(&key, model_string(content_type), size);

	hash = hash_u64(&key, hash, crc);
	for (unsigned i = 0; i < 6; i++)
		hash = hash_u64(&key, hash, numbers[i]);
	return hash;
}

uint64_t model_request(const struct submit_in *in)
{
	bool blob = in->blob.kind == BODY_BLOB;
	uint64_t numbers[6] = {in->delay_ms, in->retain_ms, in->cancel_after_ms, in->lease_ms, in->priority, in->max_attempts};

	return request(in->content_type, blob ? in->blob.size_bytes : in->body.len,
		       blob ? in->blob.crc : crc32c(0, in->body.ptr, in->body.len), numbers);
}

/* --- the fold --- */

static struct model_job *job_new(struct model *model, uint64_t number)
{
	struct model_job *job = calloc(1, sizeof(*job));

	ENSURE(job);
	if (number >= model->cap) {
		uint64_t cap = number * 2 + 64;

		model->jobs = realloc(model->jobs, cap * sizeof(struct model_job *));
		model->live = realloc(model->live, cap * sizeof(struct model_job *));
		ENSURE(model->jobs && model->live);
		memset(model->jobs + model->cap, 0, (cap - model->cap) * sizeof(struct model_job *));
		model->cap = cap;
	}
	model->jobs[number] = job;
	job->number = number;
	job->place = model->live_count;
	model->live[model->live_count++] = job;
	if (number >= model->next_number)
		model->next_number = number + 1;
	return job;
}

static struct version *version_new(struct model_job *job)
{
	if (job->count == job->cap) {
		job->cap = job->cap ? job->cap * 2 : 8;
		job->versions = realloc(job->versions, job->cap * sizeof(*job->versions));
		ENSURE(job->versions);
	}
	job->versions[job->count] = job->count ? job->versions[job->count - 1] : (struct version){0};
	return &job->versions[job->count++];
}

static void becomes_ready(struct version *v, const struct event *e)
{
	if (e->until_ms > e->time_ms) {
		v->state = JOB_DELAYED;
		v->until_ms = e->until_ms;
		return;
	}
	v->state = JOB_READY;
	v->until_ms = 0;
	v->ready_position = e->position;
	v->ready_ms = e->time_ms;
}

static void comes_back(struct version *v, const struct event *e)
{
	v->attempting = false;
	v->attempt_id = 0;
	v->progress = 0;
	becomes_ready(v, e);
}

static void ends(struct version *v, enum job_state state)
{
	v->state = (uint8_t)state;
	v->until_ms = 0;
	v->attempt_id = 0;
	if (state != JOB_FAILED)
		v->body = (struct body_ref){0};
}

static void submitted(struct model *model, struct model_job *job, struct version *v, const struct event *e)
{
	const struct body_ref *body = e->blob.kind ? &e->blob : &e->bytes;
	uint64_t numbers[6] = {e->until_ms ? e->until_ms - e->time_ms : 0,
			       e->retain_ms,
			       e->cancel_at_ms ? e->cancel_at_ms - e->time_ms : 0,
			       e->lease_ms,
			       e->priority,
			       e->max_attempts};

	job->queue = model_queue(model, e->queue);
	job->content_type = model_string(e->content_type);
	job->request = request(e->content_type, body->size_bytes, body->crc, numbers);
	job->created_ms = e->time_ms;
	job->retain_ms = e->retain_ms;
	job->cancel_at_ms = e->cancel_at_ms;
	job->priority = (uint32_t)e->priority;
	job->max_attempts = (uint32_t)e->max_attempts;
	v->name = model_string(e->name);
	v->key = model_string(e->key);
	job->own_lease_ms = (uint32_t)e->lease_ms;
	v->lease_ms = (uint32_t)e->lease_ms;
	v->body = *body;
	becomes_ready(v, e);
}

/* A beat that tells nothing new only makes the lease longer. */
static bool is_news(const struct version *v, const struct event *e)
{
	return e->type != EVENT_BEAT || v->state != JOB_RUNNING || v->progress != e->progress ||
	       v->message != model_string(e->message);
}

static void held_event(const struct model_job *job, struct version *v, const struct event *e)
{
	switch ((unsigned)e->type) {
	case EVENT_BEAT:
		v->state = JOB_RUNNING;
		v->until_ms = e->until_ms;
		v->lease_ms = (uint32_t)e->lease_ms;
		v->progress = (uint32_t)e->progress;
		v->message = model_string(e->message);
		return;
	case EVENT_RELEASED:
		v->releases++;
		comes_back(v, e);
		return;
	case EVENT_RETRIED:
		v->failures++;
		v->spent++;
		v->error = model_string(e->error);
		comes_back(v, e);
		return;
	case EVENT_TIMED_OUT:
		v->timeouts++;
		v->spent++;
		v->attempting = false;
		v->token = 0;
		if (v->spent < job->max_attempts) {
			comes_back(v, e);
			return;
		}
		v->error = model_string(SLICE("\"the lease ran out on the last attempt\""));
		ends(v, JOB_FAILED);
		return;
	case EVENT_DONE:
		v->result = e->blob.kind ? e->blob : e->bytes;
		v->result_type = model_string(e->content_type);
		v->error = 0;
		v->progress = 1000001;
		ends(v, JOB_DONE);
		return;
	case EVENT_FAILED:
		v->failures++;
		v->spent++;
		v->attempting = false;
		v->error = model_string(e->error);
		ends(v, JOB_FAILED);
		return;
	}
}

static void expired(const struct model *model, struct version *v, const struct event *e)
{
	v->expired = true;
	v->until_ms = e->time_ms + model->tombstone_ms;
	v->body = v->result = (struct body_ref){0};
	v->name = v->key = v->message = v->error = 0;
}

static void other_event(const struct model *model, struct version *v, const struct event *e)
{
	switch ((unsigned)e->type) {
	case EVENT_READY:
		becomes_ready(v, e);
		return;
	case EVENT_OFFERED:
		v->state = JOB_OFFERED;
		v->attempting = true;
		v->token = e->token;
		v->until_ms = e->until_ms;
		v->lease_ms = (uint32_t)e->lease_ms;
		v->worker = model_string(e->worker);
		v->attempt_id = model_string(e->attempt_id);
		return;
	case EVENT_LEASED:
		v->state = JOB_RUNNING;
		v->until_ms = e->until_ms;
		return;
	case EVENT_UNOFFERED:
		v->lost_handoffs++;
		v->attempting = false;
		v->token = v->until_ms = v->attempt_id = 0;
		v->state = JOB_READY; /* in its old place */
		return;
	case EVENT_CANCELED:
		ends(v, JOB_CANCELED);
		return;
	case EVENT_KICKED:
		v->spent = 0;
		v->attempting = false;
		v->token = 0;
		v->progress = 0;
		becomes_ready(v, e);
		return;
	case EVENT_EXPIRED:
		expired(model, v, e);
		return;
	case EVENT_FORGOTTEN:
		v->forgotten = true;
		v->body = v->result = (struct body_ref){0};
		return;
	}
}

/* Which states an event may find, written down once more. */
static const char *impossible(const struct version *v, enum event_type type)
{
	bool held = version_is_held(v), ended = job_state_is_terminal((enum job_state)v->state);

	if (v->forgotten)
		return "an event about a forgotten job";
	switch ((unsigned)type) {
	case EVENT_READY:
		return v->state == JOB_DELAYED ? NULL : "READY, but it was not delayed";
	case EVENT_OFFERED:
		return v->state == JOB_READY ? NULL : "OFFERED, but it was not ready";
	case EVENT_LEASED:
	case EVENT_UNOFFERED:
		return v->state == JOB_OFFERED ? NULL : "LEASED or UNOFFERED, but it was not offered";
	case EVENT_CANCELED:
		return !ended ? NULL : "CANCELED, but it had ended";
	case EVENT_KICKED:
		return v->state == JOB_FAILED && !v->expired ? NULL : "KICKED, but it was not failed";
	case EVENT_EXPIRED:
		return ended && !v->expired ? NULL : "EXPIRED, but it had not ended, or twice";
	case EVENT_FORGOTTEN:
		return NULL;
	case EVENT_BODY_MOVED:
	case EVENT_RESULT_MOVED:
		return NULL;
	default:
		return held ? NULL : "a lease's event, but it was not on a lease";
	}
}

static void count_totals(struct model_queue *queue, const struct event *e, const struct version *v)
{
	static const int8_t of[EVENT_TYPE_COUNT] = {
		[EVENT_SUBMITTED] = TOTAL_SUBMITTED + 1, [EVENT_DONE] = TOTAL_DONE + 1,
		[EVENT_FAILED] = TOTAL_FAILED + 1,       [EVENT_CANCELED] = TOTAL_CANCELED + 1,
		[EVENT_TIMED_OUT] = TOTAL_TIMEOUTS + 1,  [EVENT_RETRIED] = TOTAL_RETRIES + 1,
		[EVENT_RELEASED] = TOTAL_RELEASES + 1,   [EVENT_UNOFFERED] = TOTAL_LOST + 1,
	};

	if (of[e->type])
		queue->total[of[e->type] - 1]++;
	if (e->type == EVENT_TIMED_OUT && v->state == JOB_FAILED)
		queue->total[TOTAL_FAILED]++;
}

static void live_remove(struct model *model, struct model_job *job)
{
	struct model_job *last = model->live[--model->live_count];

	model->live[job->place] = last;
	last->place = job->place;
}

static const char *moved(struct version *v, const struct event *e)
{
	struct body_ref *at = e->type == EVENT_BODY_MOVED ? &v->body : &v->result;

	if (at->kind != BODY_INLINE || at->size_bytes != e->bytes.size_bytes || at->crc != e->bytes.crc)
		return "the tidier wrote other bytes than there were";
	*at = e->bytes;
	return NULL;
}

static const char *job_event(struct model *model, const struct event *e)
{
	struct model_job *job = model_job(model, e->number);
	struct model_queue *queue;
	const char *wrong = NULL;
	struct version *v;
	bool news;

	if (e->type == EVENT_SUBMITTED) {
		if (job)
			return "a number was given twice";
		job = job_new(model, e->number);
	} else {
		if (!job)
			return "an event about a job that never was";
		wrong = impossible(model_last(job), e->type);
		if (wrong)
			return wrong;
	}
	v = version_new(job);
	v->end = e->end;
	v->position = e->position;
	v->time_ms = e->time_ms;
	v->type = (uint8_t)e->type;
	if (e->type == EVENT_SUBMITTED)
		submitted(model, job, v, e);
	else if (e->type == EVENT_BODY_MOVED || e->type == EVENT_RESULT_MOVED)
		return moved(v, e);
	news = is_news(v, e);
	held_event(job, v, e);
	other_event(model, v, e);
	if (e->type != EVENT_EXPIRED && news)
		v->updated_ms = e->time_ms;
	v->revision += news;
	queue = &model->queues[job->queue];
	queue->changed_end = e->end;
	count_totals(queue, e, v);
	if (v->forgotten)
		live_remove(model, job);
	if (!model_queue_stands(model, job->queue))
		memset(queue->total, 0, sizeof(queue->total));
	return NULL;
}

static const char *stream_told(struct model *model, const struct store_replay *entry)
{
	struct stream_event e = {.type = (enum stream_event_type)entry->type, .time_ms = entry->time_ms, .end = entry->end};
	const char *wrong = model_stream_apply(&model->streams, entry);

	if (wrong)
		return wrong;
	ENSURE(stream_event_decode(&e, entry->fields) == 0);
	if (!(model_stream(&model->streams, e.number)->flags & STREAM_TOPIC))
		return NULL;
	return model_partition_apply(model, &e, sim_store_body(entry));
}

const char *model_apply(struct model *model, const struct store_replay *entry)
{
	struct event e = {
		.type = (enum event_type)entry->type, .time_ms = entry->time_ms, .position = entry->position, .end = entry->end};
	struct model_queue *queue;

	model->last_end = e.end;
	if (entry->type >= GROUP_EVENT_FIRST)
		return model_group_apply(model, entry);
	if (entry->type >= TOPIC_EVENT_FIRST)
		return model_topic_apply(model, entry);
	if (entry->type >= STREAM_EVENT_FIRST)
		return stream_told(model, entry);
	if (entry->body_bytes)
		e.bytes = (struct body_ref){entry->body_place, entry->body_bytes, entry->body_crc, BODY_INLINE};
	if (event_decode(&e, entry->fields))
		return "an event that nobody can read";
	if (e.type == EVENT_INIT)
		return NULL;
	if (e.type != EVENT_QUEUE_SET)
		return job_event(model, &e);
	queue = &model->queues[model_queue(model, e.queue)];
	queue->paused = e.paused;
	queue->changed_end = e.end;
	if (!model_queue_stands(model, (unsigned)(queue - model->queues)))
		memset(queue->total, 0, sizeof(queue->total));
	return NULL;
}
