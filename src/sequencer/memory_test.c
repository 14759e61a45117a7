/* Each command with the k-th allocation failing: it comes back once, the invariants hold, and who hears that memory was short is
 * right that nothing has changed. Two are excused: a claim may have offered what nobody hears of (the delivery lease brings it
 * back, and no attempt is counted), and forgetting an open job cancels it first. */
#include "sequencer/sequencer_fixture.h"

#include "base/mem.h"
#include "base/testing.h"

static struct fixture f;
static struct buf before, after;
static const struct slice q = {"q", 1};

static struct job_ref job;
static struct grant grant;
static struct slice handle;

/* A job, one that runs, one that failed, somebody who waits elsewhere, somebody who watches. */
static void scene(void)
{
	struct slice p = SLICE("p");
	struct ask park = {.c = {.kind = COMMAND_CLAIM, .in.claim = claim_of(&p)}};
	struct grant failed;

	fixture_init(&f);
	fixture_start(&f);
	fixture_job(&f, q);
	failed = fixture_run(&f, q);
	fixture_tell(&f, COMMAND_FAIL, worker_of(&failed));
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	job = fixture_job(&f, q);
	handle = handle_of(&job);
	park.c.in.claim.wait = true;
	assert_int_equal(fixture_ask(&f, &park, 1), OUTCOME_PARKED);
	fixture_watch(&f, &job, UNTIL_DONE, 0, 1);
	fixture_watch(&f, &grant.job, UNTIL_CHANGED, 1000, 1);
}

typedef void (*fill)(struct command *c);

/* The outcomes for every k; how often memory was short. */
static unsigned each_allocation(fill make, bool excused)
{
	unsigned short_count = 0;

	for (uint64_t k = 1; k <= 30; k++) {
		struct ask ask = {0};

		scene();
		make(&ask.c);
		fixture_dump(&f, &before);
		mem_fail_nth(k);
		fixture_send(&f, &ask, 0);
		mem_fail_nth(0);
		fixture_settle(&f);
		assert_int_equal(ask.back, 1);
		if (ask.c.outcome == OUTCOME_NO_MEMORY) {
			short_count++;
			fixture_dump(&f, &after);
			assert_true(excused || (before.len == after.len && memcmp(before.ptr, after.ptr, before.len) == 0));
		} else {
			assert_true(ask.c.outcome == OUTCOME_OK || ask.c.outcome == OUTCOME_PARKED);
		}
		ask_deinit(&ask);
		/* Life goes on, and all pins are given back. */
		fixture_later(&f, 20000);
		fixture_job(&f, SLICE("p"));
		fixture_deinit(&f);
	}
	return short_count;
}

static void submit(struct command *c)
{
	c->kind = COMMAND_SUBMIT;
	c->in.submit = submit_of(SLICE("new"), SLICE("body"));
	c->in.submit.name = SLICE("a name");
	c->in.submit.key = SLICE("a key");
	c->in.submit.content_type = SLICE("text/x-new");
	c->in.submit.watch = true;
}

static void jobs(struct command *c)
{
	c->kind = COMMAND_JOBS;
	c->in.jobs = (struct jobs_in){.handles = &handle, .count = 1, .watch = true};
}

static void cancel(struct command *c)
{
	c->kind = COMMAND_CANCEL;
	c->in.cancel.handle = handle;
}

static void forget(struct command *c)
{
	cancel(c);
	c->in.cancel.forget = true;
}

static void list(struct command *c)
{
	c->kind = COMMAND_LIST;
	c->in.list.limit = 10;
}

static void claim(struct command *c)
{
	c->kind = COMMAND_CLAIM;
	c->in.claim = claim_of(&q);
	c->in.claim.attempt_id = SLICE("attempt");
	c->in.claim.worker = SLICE("new worker");
}

static void claim_and_wait(struct command *c)
{
	static const struct slice queues[] = {{"new", 3}, {"newer", 5}};

	claim(c);
	c->in.claim.queues = queues;
	c->in.claim.queue_count = 2;
	c->in.claim.wait = true;
	c->in.claim.claim_id = 77;
}

static void worker(struct command *c, enum command_kind kind)
{
	c->kind = kind;
	c->in.worker = worker_of(&grant);
	c->in.worker.body = SLICE("result");
	c->in.worker.content_type = SLICE("text/x-new");
	c->in.worker.message = SLICE("message");
	c->in.worker.error = SLICE("\"error\"");
	c->in.worker.retry = true;
}

static void body(struct command *c)
{
	worker(c, COMMAND_BODY);
}

static void beat(struct command *c)
{
	worker(c, COMMAND_BEAT);
}

static void done(struct command *c)
{
	worker(c, COMMAND_DONE);
}

static void retry(struct command *c)
{
	worker(c, COMMAND_FAIL);
}

static void release(struct command *c)
{
	worker(c, COMMAND_RELEASE);
}

static void kick(struct command *c)
{
	c->kind = COMMAND_KICK;
	c->in.kick = (struct kick_in){q, 1};
}

static void queue(struct command *c)
{
	c->kind = COMMAND_QUEUE;
	c->in.queue.queue = q;
}

static void queues(struct command *c)
{
	c->kind = COMMAND_QUEUES;
}

static void look_in_vain(void **state)
{
	(void)state;
	assert_int_equal(each_allocation(jobs, false), 3); /* two arrays, the view */
	assert_int_equal(each_allocation(list, false), 4); /* the array, three views */
	assert_int_equal(each_allocation(body, false), 2); /* the view, the pin */
	assert_int_equal(each_allocation(queue, false), 1);
	assert_int_equal(each_allocation(queues, false), 1);
}

static void change_in_vain(void **state)
{
	(void)state;
	assert_true(each_allocation(submit, false) >= 7);
	assert_true(each_allocation(cancel, false) >= 1);
	assert_true(each_allocation(beat, false) >= 2);
	assert_true(each_allocation(done, false) >= 2);
	assert_true(each_allocation(retry, false) >= 2);
	assert_true(each_allocation(release, false) >= 1);
	assert_true(each_allocation(kick, false) >= 1);
	assert_true(each_allocation(claim_and_wait, false) >= 5);
	assert_true(each_allocation(claim, true) >= 5);
	assert_true(each_allocation(forget, true) >= 2);
}

/* A claim is either answered with what it was given or told that memory was short: never an empty yes. */
static void no_empty_claims(void **state)
{
	(void)state;
	for (int again = 0; again < 2; again++) {
		for (uint64_t k = 1; k <= 20; k++) {
			struct ask first = {0}, ask = {0};

			scene();
			claim(&first.c);
			claim(&ask.c);
			if (again)
				assert_int_equal(fixture_ask(&f, &first, 0), OUTCOME_OK);
			mem_fail_nth(k);
			fixture_send(&f, &ask, 0);
			mem_fail_nth(0);
			fixture_settle(&f);
			assert_int_equal(ask.c.outcome == OUTCOME_OK, ask.c.out.lease_count == 1);
			ask_deinit(&first);
			ask_deinit(&ask);
			fixture_deinit(&f);
		}
	}
}

/* What was offered to nobody comes back, and costs no attempt. */
static void an_offer_without_memory(void **state)
{
	(void)state;
	for (uint64_t k = 1; k <= 20; k++) {
		struct ask ask = {0};
		struct job_view view;

		scene();
		claim(&ask.c);
		mem_fail_nth(k);
		fixture_send(&f, &ask, 0);
		mem_fail_nth(0);
		fixture_settle(&f);
		ask_deinit(&ask);
		fixture_later(&f, 5000);
		view = fixture_look(&f, &job);
		assert_true(view.state == JOB_READY && view.attempt == 0);
		fixture_deinit(&f);
	}
}

static void deadlines_without_memory(void **state)
{
	(void)state;
	for (uint64_t k = 1; k <= 20; k++) {
		scene();
		f.now_ms += 100000;
		mem_fail_nth(k);
		sequencer_turn(f.s, f.now_ms, 1000);
		mem_fail_nth(0);
		fixture_settle(&f);
		fixture_later(&f, 1000); /* what could not be handled comes again */
		assert_true(fixture_look(&f, &grant.job).timeouts == 1);
		fixture_deinit(&f);
	}
}

static void the_beginning(void **state)
{
	static const uint8_t seed[16] = {1};
	struct sequencer *s = NULL;
	uint64_t k = 1;

	(void)state;
	fixture_init(&f);
	for (; !s; k++) {
		mem_fail_nth(k);
		s = sequencer_new(&f.config, &f.store, seed);
		mem_fail_nth(0);
		assert_true(k < 60);
	}
	assert_true(k > 5);
	mem_fail_nth(1);
	assert_int_not_equal(sequencer_start(s, f.now_ms), 0);
	mem_fail_nth(0);
	assert_int_equal(sequencer_start(s, f.now_ms), 0);
	sequencer_free(s);
	fixture_deinit(&f);
}

static int teardown(void **state)
{
	(void)state;
	buf_deinit(&before);
	buf_deinit(&after);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look_in_vain),
		cmocka_unit_test(change_in_vain),
		cmocka_unit_test(no_empty_claims),
		cmocka_unit_test(an_offer_without_memory),
		cmocka_unit_test(deadlines_without_memory),
		cmocka_unit_test(the_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
