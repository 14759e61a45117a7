/* Random events against a naive oracle: an array of jobs, searched and sorted anew for every question. */
#include "job/jobs_fixture.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

enum { MODELS = 300, QUEUES = 4, STEPS = 12000, ATTEMPTS = 3 };

struct model {
	bool known, expired, named;
	int queue;
	enum job_state state;
	unsigned attempt, max_attempts, revision, timeouts, failures, releases, lost;
	uint64_t priority, ready_at, until_ms, retain_ms, cancel_at_ms, ended_ms;
	bool body, result;
	int attempt_id; /* 0: none */
	uint64_t progress;
	size_t message_len;
};

static const struct slice queue_names[QUEUES] = {{"a", 1}, {"bb", 2}, {"ccc", 3}, {"dddd", 4}};
static struct world world;
static struct model models[MODELS + 1]; /* by number */
static bool paused[QUEUES];
static uint64_t submitted;
static struct buf before, after;

/* --- the oracle's rules --- */

static bool model_allows(const struct model *m, enum event_type type)
{
	bool held = m->state == JOB_OFFERED || m->state == JOB_RUNNING;
	bool ended = m->state == JOB_DONE || m->state == JOB_FAILED || m->state == JOB_CANCELED;

	if (m->expired)
		return type == EVENT_FORGOTTEN;
	switch ((unsigned)type) {
	case EVENT_READY:
		return m->state == JOB_DELAYED;
	case EVENT_OFFERED:
		return m->state == JOB_READY;
	case EVENT_LEASED:
	case EVENT_UNOFFERED:
		return m->state == JOB_OFFERED;
	case EVENT_CANCELED:
		return !ended;
	case EVENT_KICKED:
		return m->state == JOB_FAILED;
	case EVENT_EXPIRED:
		return ended;
	case EVENT_FORGOTTEN:
		return true;
	default:
		return held;
	}
}

static void model_back(struct model *m, const struct event *e)
{
	bool later = e->until_ms > e->time_ms;

	m->state = later ? JOB_DELAYED : JOB_READY;
	m->until_ms = later ? e->until_ms : 0;
	if (!later)
		m->ready_at = e->position;
	m->attempt_id = 0;
	m->progress = 0;
}

/* A beat is a new revision only when it tells something new. */
static void model_beat(struct model *m, const struct event *e)
{
	if (m->state == JOB_RUNNING && m->progress == e->progress && m->message_len == e->message.len)
		m->revision--;
	m->state = JOB_RUNNING;
	m->until_ms = e->until_ms;
	m->progress = e->progress;
	m->message_len = e->message.len;
}

static void model_end(struct model *m, enum job_state state)
{
	m->state = state;
	m->ended_ms = world.time_ms;
	m->attempt_id = 0;
	if (state != JOB_FAILED)
		m->body = false;
}

/* What a worker's hold brings about. */
static void model_held(struct model *m, const struct event *e)
{
	switch ((unsigned)e->type) {
	case EVENT_LEASED:
		m->state = JOB_RUNNING;
		m->until_ms = e->until_ms;
		break;
	case EVENT_BEAT:
		model_beat(m, e);
		break;
	case EVENT_UNOFFERED:
		m->state = JOB_READY;
		m->attempt--;
		m->lost++;
		m->attempt_id = 0;
		break;
	case EVENT_RELEASED:
		m->attempt--;
		m->releases++;
		model_back(m, e);
		break;
	case EVENT_RETRIED:
		m->failures++;
		model_back(m, e);
		break;
	case EVENT_TIMED_OUT:
		m->timeouts++;
		if (m->attempt < m->max_attempts)
			model_back(m, e);
		else
			model_end(m, JOB_FAILED);
		break;
	case EVENT_DONE:
		m->result = e->bytes.kind != BODY_NONE;
		m->progress = 1000001;
		model_end(m, JOB_DONE);
		break;
	case EVENT_FAILED:
		m->failures++;
		model_end(m, JOB_FAILED);
		break;
	}
}

static void model_apply(struct model *m, const struct event *e)
{
	m->revision++;
	switch ((unsigned)e->type) {
	case EVENT_READY:
		m->state = JOB_READY;
		m->ready_at = e->position;
		break;
	case EVENT_OFFERED:
		m->state = JOB_OFFERED;
		m->attempt++;
		m->until_ms = e->until_ms;
		m->attempt_id = e->attempt_id.len ? e->attempt_id.ptr[0] : 0;
		break;
	case EVENT_CANCELED:
		model_end(m, JOB_CANCELED);
		break;
	case EVENT_KICKED:
		m->state = JOB_READY;
		m->attempt = 0;
		m->progress = 0;
		m->ready_at = e->position;
		break;
	case EVENT_EXPIRED:
		m->expired = true;
		m->body = m->result = m->named = false;
		m->message_len = 0;
		m->until_ms = e->time_ms + WORLD_TOMBSTONE_MS;
		break;
	case EVENT_FORGOTTEN:
		*m = (struct model){0};
		break;
	default:
		model_held(m, e);
		break;
	}
}

static uint64_t model_deadline(const struct model *m)
{
	uint64_t at = UINT64_MAX;

	if (m->expired)
		return m->until_ms;
	if (m->state == JOB_DONE || m->state == JOB_FAILED || m->state == JOB_CANCELED)
		return m->ended_ms + m->retain_ms;
	if (m->state != JOB_READY)
		at = m->until_ms;
	return m->cancel_at_ms && m->cancel_at_ms < at ? m->cancel_at_ms : at;
}

/* --- comparing --- */

static void compare_job(uint64_t number)
{
	const struct model *m = &models[number];
	const struct job *job = jobs_find(&world.jobs, number);
	char name[16];
	struct slice s = slice_from(name, (size_t)snprintf(name, sizeof(name), "n%u", (unsigned)number));

	if (!m->known) {
		assert_null(job);
		return;
	}
	assert_non_null(job);
	assert_true(slice_eq(atom_slice(job->queue->name), queue_names[m->queue]));
	assert_true(job->state == m->state && job->expired == m->expired);
	assert_true(job->attempt == m->attempt && job->max_attempts == m->max_attempts && job->revision == m->revision);
	assert_true(job->timeouts == m->timeouts && job->failures == m->failures && job->releases == m->releases &&
		    job->lost_handoffs == m->lost);
	assert_true((job->body.kind != BODY_NONE) == m->body && (job->result.kind != BODY_NONE) == m->result);
	assert_true(job->deadline_ms == model_deadline(m) && job->progress == m->progress);
	assert_int_equal(text_slice(job->message).len, m->message_len);
	assert_int_equal(job->attempt_id ? job->attempt_id->bytes[0] : 0, m->attempt_id);
	assert_ptr_equal(jobs_find_name(&world.jobs, queue_names[m->queue], s), m->named ? job : NULL);
}

static void compare_queue(int q)
{
	const struct queue *queue = queue_find(&world.jobs, queue_names[q]);
	uint64_t count[JOB_STATE_COUNT] = {0}, expired = 0, held = paused[q], best = 0;

	for (uint64_t n = 1; n <= MODELS; n++) {
		const struct model *m = &models[n], *b = &models[best];

		if (!m->known || m->queue != q)
			continue;
		held++;
		expired += m->expired;
		count[m->state] += !m->expired;
		if (m->state == JOB_READY &&
		    (!best || m->priority < b->priority || (m->priority == b->priority && m->ready_at < b->ready_at)))
			best = n;
	}
	if (!held) {
		assert_null(queue);
		return;
	}
	assert_non_null(queue);
	assert_true(queue->expired_count == expired && queue->paused == paused[q]);
	assert_memory_equal(queue->count, count, sizeof(count));
	assert_true((queue_first_ready(queue) ? queue_first_ready(queue)->number : 0) == best);
}

static void compare_rest(void)
{
	uint64_t first = UINT64_MAX, found[ATTEMPTS + 1] = {0}, wanted[ATTEMPTS + 1] = {0};

	for (uint64_t n = 1; n <= MODELS; n++) {
		if (models[n].known && model_deadline(&models[n]) < first)
			first = model_deadline(&models[n]);
		wanted[models[n].attempt_id] += models[n].attempt_id != 0;
	}
	assert_true((jobs_next_deadline(&world.jobs) ? jobs_next_deadline(&world.jobs)->deadline_ms : UINT64_MAX) == first);
	for (char id = 1; id <= ATTEMPTS; id++) {
		struct slice s = slice_from(&id, 1);

		for (struct job *j = jobs_find_attempt(&world.jobs, s, NULL); j; j = jobs_find_attempt(&world.jobs, s, j))
			found[(int)id]++;
	}
	assert_memory_equal(found, wanted, sizeof(found));
}

/* --- steps --- */

static void submit(struct test_random *random, uint64_t number)
{
	struct model *m = &models[number];
	char name[16];
	struct event e = {
		.type = EVENT_SUBMITTED,
		.number = number,
		.content_type = test_random_below(random, 2) ? SLICE("text/plain") : SLICE(""),
		.priority = test_random_below(random, 3),
		.max_attempts = 1 + test_random_below(random, 3),
		.retain_ms = test_random_below(random, 2000),
		.until_ms = test_random_below(random, 3) ? 0 : world.time_ms + test_random_below(random, 300),
		.cancel_at_ms = test_random_below(random, 3) ? 0 : world.time_ms + test_random_below(random, 5000) + 1,
	};
	struct slice body = slice_from("body", test_random_below(random, 5));

	*m = (struct model){
		.known = true, .queue = (int)test_random_below(random, QUEUES), .named = test_random_below(random, 2)};
	e.queue = queue_names[m->queue];
	if (m->named)
		e.name = slice_from(name, (size_t)snprintf(name, sizeof(name), "n%u", (unsigned)number));
	world_apply(&world, &e, body);
	m->body = body.len > 0;
	m->priority = e.priority;
	m->max_attempts = (unsigned)e.max_attempts;
	m->retain_ms = e.retain_ms;
	m->cancel_at_ms = e.cancel_at_ms;
	model_back(m, &e);
	m->revision = 1;
}

static void pause_or_go(struct test_random *random)
{
	int q = (int)test_random_below(random, QUEUES);
	struct event e = {.type = EVENT_QUEUE_SET, .queue = queue_names[q], .paused = test_random_below(random, 2)};

	world_apply(&world, &e, (struct slice){0});
	paused[q] = e.paused;
}

static struct event some_event(struct test_random *random, uint64_t number)
{
	static const char ids[] = {1, 2, 3};
	struct event e = {
		.type = (enum event_type)(EVENT_READY + test_random_below(random, EVENT_FORGOTTEN - EVENT_READY + 1)),
		.number = number,
		.until_ms = test_random_below(random, 2) ? 0 : world.time_ms + 1 + test_random_below(random, 300),
		.token = 1 + test_random_u64(random) / 2,
		.worker = test_random_below(random, 2) ? SLICE("w1") : SLICE("w2"),
		.attempt_id = slice_from(&ids[test_random_below(random, ATTEMPTS)], test_random_below(random, 2)),
		.progress = test_random_below(random, 3),
		.message = slice_from("message", test_random_below(random, 3)),
		.error = slice_from("\"error\"", test_random_below(random, 2) * 7),
		.content_type = SLICE("text/html"),
	};

	/* Jobs live long enough to see something. */
	if ((e.type == EVENT_FORGOTTEN || e.type == EVENT_CANCELED) && test_random_below(random, 4))
		e.type = EVENT_OFFERED;
	/* The sequencer fails a job instead of trying it more often than it may. */
	if (e.type == EVENT_RETRIED && models[number].attempt >= models[number].max_attempts)
		e.type = EVENT_FAILED;
	if (e.type == EVENT_TIMED_OUT)
		e.until_ms = 0;
	if (e.type == EVENT_OFFERED || e.type == EVENT_LEASED || e.type == EVENT_BEAT)
		e.until_ms = world.time_ms + 1 + test_random_below(random, 300);
	return e;
}

/* Now and then without memory: then nothing changes, and it is tried once more. */
static int try_event(struct test_random *random, struct event *e, struct slice body)
{
	struct event copy = *e;
	int r;

	if (test_random_below(random, 20) == 0) {
		world_dump(&world, &before);
		mem_fail_nth(1 + test_random_below(random, 3));
		r = world_try(&world, &copy, body);
		mem_fail_nth(0);
		if (r != -ENOMEM) {
			*e = copy;
			return r;
		}
		world_dump(&world, &after);
		assert_true(before.len == after.len && memcmp(before.ptr, after.ptr, before.len) == 0);
	}
	return world_try(&world, e, body);
}

static void step(struct test_random *random)
{
	uint64_t number = 1 + test_random_below(random, submitted ? submitted : 1);
	struct event e = some_event(random, number);
	struct model *m = &models[number];
	bool allowed = m->known && model_allows(m, e.type);
	int r;

	world.time_ms += test_random_below(random, 20);
	e.until_ms = e.until_ms ? e.until_ms + 20 : 0;
	if (submitted < MODELS && test_random_below(random, 20) == 0) {
		submit(random, ++submitted);
		return;
	}
	if (test_random_below(random, 50) == 0) {
		pause_or_go(random);
		return;
	}
	r = try_event(random, &e, e.type == EVENT_DONE ? slice_from("result", test_random_below(random, 7)) : (struct slice){0});
	assert_int_equal(r, !m->known || allowed ? 0 : -EBADMSG);
	if (allowed)
		model_apply(m, &e);
}

static void model(void **state)
{
	struct test_random random = test_random_start("jobs");

	(void)state;
	world_init(&world);
	for (int n = 0; n < STEPS; n++) {
		step(&random);
		compare_job(1 + test_random_below(&random, MODELS));
		compare_queue((int)test_random_below(&random, QUEUES));
		if (n % 100 == 0) {
			for (uint64_t i = 1; i <= MODELS; i++)
				compare_job(i);
			compare_rest();
		}
	}
	/* Nothing stays behind. */
	for (uint64_t n = 1; n <= submitted; n++) {
		if (models[n].known)
			world_plain(&world, EVENT_FORGOTTEN, n);
	}
	for (int q = 0; q < QUEUES; q++)
		world_apply(&world, &(struct event){.type = EVENT_QUEUE_SET, .queue = queue_names[q]}, (struct slice){0});
	assert_int_equal(world.jobs.count + world.jobs.queue_count + world.jobs.atoms.count + world.jobs.names.count, 0);
	assert_int_equal(world.jobs.attempts.count + world.jobs.deadlines.count + world.jobs.pool.live_count + world.body_count,
			 0);
	world_deinit(&world);
	buf_deinit(&before);
	buf_deinit(&after);
}

/* The ready heap gives all jobs out by priority, then by the position that made them ready. */
static void ready_order(void **state)
{
	struct test_random random = test_random_start("ready order");
	uint64_t last_priority = 0, last_ready = 0;
	struct queue *queue;
	struct job *job;

	(void)state;
	world_init(&world);
	for (uint64_t n = 1; n <= 2000; n++) {
		struct event e = {.type = EVENT_SUBMITTED, .number = n, .queue = SLICE("q"), .max_attempts = 1};

		e.priority = test_random_below(&random, 5) ? test_random_below(&random, 4) : UINT32_MAX;
		world_apply(&world, &e, (struct slice){0});
		if (test_random_below(&random, 3) == 0) {
			world_offer(&world, n, (struct slice){0});
			world_plain(&world, test_random_below(&random, 2) ? EVENT_UNOFFERED : EVENT_RELEASED, n);
		}
	}
	queue = queue_find(&world.jobs, SLICE("q"));
	for (size_t n = 0; n < 2000; n++) {
		job = queue_first_ready(queue);
		assert_true(job->priority > last_priority ||
			    (job->priority == last_priority && job->ready_position >= last_ready));
		last_priority = job->priority;
		last_ready = job->ready_position;
		world_offer(&world, job->number, (struct slice){0});
	}
	assert_null(queue_first_ready(queue));
	world_deinit(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(ready_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
