/* Queues: figures, pause, kick, lists. */
#include "sequencer/sequencer_fixture.h"

#include "base/testing.h"

static struct fixture f;
static const struct slice q = {"q", 1}, p = {"p", 1}, body = {"body", 4};

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	return 0;
}

static void run_and_fail(struct slice queue)
{
	struct grant grant = fixture_run(&f, queue);

	assert_int_equal(fixture_tell(&f, COMMAND_FAIL, worker_of(&grant)), OUTCOME_OK);
}

static void figures(void **state)
{
	struct submit_in late = submit_of(q, body);
	struct queue_view view;
	struct grant grant;
	uint64_t since;

	(void)state;
	late.delay_ms = 100000;
	fixture_submit(&f, late);
	for (int i = 0; i < 6; i++)
		fixture_job(&f, q);
	since = f.now_ms;
	fixture_later(&f, 10);
	grant = fixture_run(&f, q);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	run_and_fail(q);
	fixture_run(&f, q);
	fixture_claim(&f, q);
	view = fixture_queue(&f, q);
	assert_true(view.count[JOB_DELAYED] == 1 && view.count[JOB_READY] == 2 && view.count[JOB_OFFERED] == 1);
	assert_true(view.count[JOB_RUNNING] == 1 && view.count[JOB_DONE] == 1 && view.count[JOB_FAILED] == 1);
	assert_true(view.submitted == 7 && view.done == 1 && view.failed == 1 && !view.paused && view.waiting_workers == 0);
	assert_true(view.oldest_ready_ms == since && view.now_ms == f.now_ms);
	assert_true(view.submitted_rate > 0.1 && view.done_rate > 0.01);
	fixture_claim(&f, q);
	fixture_claim(&f, q);
	assert_int_equal(fixture_queue(&f, q).oldest_ready_ms, 0);
}

static void all_queues_by_name(void **state)
{
	static const char *const names[] = {"b", "aa", "a", "c", "ab"};
	static const char *const sorted[] = {"a", "aa", "ab", "b", "c"};
	struct ask ask = {.c = {.kind = COMMAND_QUEUES}};

	(void)state;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.queue_count, 0);
	ask_deinit(&ask);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		fixture_job(&f, slice_str(names[i]));
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.queue_count, ARRAY_COUNT(names));
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		assert_true(slice_eq(ask.c.out.queues[i].name, slice_str(sorted[i])));
		assert_true(ask.c.out.queues[i].count[JOB_READY] == 1);
	}
	ask_deinit(&ask);
}

static void pages_of_queues(void **state)
{
	enum { COUNT = 60 };
	char names[COUNT][8], seen[COUNT][8];
	struct ask ask = {.c = {.kind = COMMAND_QUEUES}};

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "q%02u", i * 37 % COUNT); /* in no order, each once */
		fixture_job(&f, slice_str(names[i]));
	}
	for (uint32_t limit = 1; limit <= COUNT + 1; limit++) {
		struct slice after = {0};
		size_t count = 0;
		bool more;

		do {
			ask.c.in.queues = (struct queues_in){.after = after, .limit = limit};
			assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
			more = ask.c.out.next != 0;
			assert_true(ask.c.out.queue_count == (more ? limit : COUNT - count));
			for (size_t i = 0; i < ask.c.out.queue_count; i++, count++)
				snprintf(seen[count], sizeof(seen[0]), "%.*s", (int)ask.c.out.queues[i].name.len,
					 ask.c.out.queues[i].name.ptr);
			ask_deinit(&ask);
			after = slice_str(seen[count - 1]);
		} while (more);
		assert_int_equal(count, COUNT);
		for (unsigned i = 0; i < COUNT; i++)
			assert_int_equal(strtoul(seen[i] + 1, NULL, 10), i);
	}
}

static void no_such_queue(void **state)
{
	struct ask ask = {.c = {.kind = COMMAND_QUEUE, .in.queue.queue = q}};

	(void)state;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_NOT_FOUND);
	ask.c.kind = COMMAND_KICK;
	ask.c.in.kick = (struct kick_in){q, 1};
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_NOT_FOUND);
	assert_int_equal(fixture_pause(&f, q, false), OUTCOME_NOT_FOUND); /* not paused, as wanted: nothing is made */
}

static void pause_and_go_on(void **state)
{
	size_t entries;

	(void)state;
	assert_int_equal(fixture_pause(&f, q, true), OUTCOME_OK);
	entries = f.entry_count;
	assert_int_equal(fixture_pause(&f, q, true), OUTCOME_OK);
	assert_int_equal(f.entry_count, entries); /* as it was: no event */
	assert_true(fixture_queue(&f, q).paused);
	fixture_job(&f, q); /* work may come in meanwhile */
	assert_int_equal(fixture_pause(&f, q, false), OUTCOME_OK);
	assert_false(fixture_queue(&f, q).paused);
	fixture_claim(&f, q);
}

/* Work that is out already is not hindered. */
static void pause_leaves_running_work(void **state)
{
	struct grant grant;

	(void)state;
	fixture_job(&f, q);
	grant = fixture_run(&f, q);
	fixture_pause(&f, q, true);
	assert_int_equal(fixture_tell(&f, COMMAND_BEAT, worker_of(&grant)), OUTCOME_OK);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
}

static void kick(void **state)
{
	struct job_ref jobs[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		jobs[i] = fixture_job(&f, q);
	for (size_t i = 0; i < 4; i++, fixture_later(&f, 1))
		run_and_fail(q);
	assert_int_equal(fixture_kick(&f, q, 3), 3);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fixture_look(&f, &jobs[i]).state, i < 3 ? JOB_READY : JOB_FAILED); /* longest failed first */
	assert_int_equal(fixture_look(&f, &jobs[0]).attempt, 0);
	assert_int_equal(fixture_kick(&f, q, 100), 1);
	assert_int_equal(fixture_kick(&f, q, 100), 0);
	for (size_t i = 0; i < 4; i++) {
		struct grant grant = fixture_run(&f, q);

		assert_true(grant.job.number == jobs[i].number && grant.lease.attempt == 1);
	}
}

/* What was kicked is kept as long as any open job: its retention begins at its next end. */
static void kicked_jobs_stay(void **state)
{
	struct job_ref job = fixture_job(&f, q);

	(void)state;
	run_and_fail(q);
	fixture_later(&f, 59000);
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	fixture_later(&f, 100000);
	assert_int_equal(fixture_look(&f, &job).state, JOB_READY);
	run_and_fail(q);
	fixture_later(&f, 59999);
	assert_int_equal(fixture_look(&f, &job).state, JOB_FAILED);
	assert_false(fixture_look(&f, &job).expired);
}

/* --- lists --- */

/* The numbers of a page, and where the next begins. */
static size_t list(struct list_in in, uint64_t *numbers, uint64_t *ret_next)
{
	struct ask ask = {.c = {.kind = COMMAND_LIST, .in.list = in}};
	size_t count;

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	count = ask.c.out.view_count;
	assert_true(count <= in.limit);
	for (size_t i = 0; i < count; i++)
		numbers[i] = ask.c.out.views[i]->number;
	*ret_next = ask.c.out.next;
	ask_deinit(&ask);
	return count;
}

static void newest_first_page_by_page(void **state)
{
	uint64_t numbers[100], next = 0, expected = 25;
	size_t pages = 0, count;

	(void)state;
	for (int i = 0; i < 25; i++)
		fixture_job(&f, q);
	do {
		count = list((struct list_in){.limit = 10, .after = next}, numbers, &next);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(numbers[i], expected--);
		pages++;
	} while (next);
	assert_true(expected == 0 && pages == 3);
	assert_int_equal(list((struct list_in){.limit = 100}, numbers, &next), 25);
	assert_int_equal(next, 0);
}

static void by_queue_and_state(void **state)
{
	uint64_t numbers[100], next;
	struct job_ref canceled;

	(void)state;
	fixture_job(&f, q);
	fixture_job(&f, p);
	canceled = fixture_job(&f, q);
	fixture_cancel(&f, &canceled, false);
	fixture_job(&f, q);
	fixture_run(&f, p);
	assert_int_equal(list((struct list_in){.queue = q, .limit = 100}, numbers, &next), 3);
	assert_int_equal(list((struct list_in){.queue = q, .state_mask = 1u << JOB_READY, .limit = 100}, numbers, &next), 2);
	assert_true(numbers[0] == 4 && numbers[1] == 1);
	assert_int_equal(
		list((struct list_in){.state_mask = 1u << JOB_CANCELED | 1u << JOB_RUNNING, .limit = 100}, numbers, &next), 2);
	assert_true(numbers[0] == 3 && numbers[1] == 2);
	assert_int_equal(list((struct list_in){.queue = SLICE("none"), .limit = 100}, numbers, &next), 0);
	fixture_later(&f, 60000);
	assert_int_equal(list((struct list_in){.queue = q, .limit = 100}, numbers, &next), 2); /* tombstones are not listed */
}

/* A question over very many numbers is answered in pieces, none of which stops the house; together they are the whole. */
static void long_lists_in_pieces(void **state)
{
	uint64_t numbers[100] = {0}, next = 0, found = 0, pages = 0;
	struct job_ref first = fixture_job(&f, q);

	(void)state;
	for (int i = 0; i < 25000; i++) {
		struct ask ask = {.c = {.kind = COMMAND_SUBMIT, .in.submit = submit_of(p, (struct slice){0})}};

		fixture_send(&f, &ask, 0);
		fixture_sync(&f);
		assert_int_equal(ask.c.outcome, OUTCOME_OK);
		ask_deinit(&ask);
		fixture_drop_sent(&f);
	}
	do {
		found += list((struct list_in){.queue = q, .limit = 100, .after = next}, numbers, &next);
		pages++;
	} while (next && pages < 1000);
	assert_true(found == 1 && pages == 2);
	assert_int_equal(numbers[0], first.number);
}

static void statistics(void **state)
{
	struct sequencer_stats stats;

	(void)state;
	fixture_job(&f, q);
	fixture_job(&f, p);
	fixture_run(&f, q);
	sequencer_stats(f.s, &stats);
	assert_true(stats.jobs == 2 && stats.queues == 2 && stats.claims_parked == 0 && stats.waiting_messages == 0);
	assert_true(stats.jobs_by_state[JOB_READY] == 1 && stats.jobs_by_state[JOB_RUNNING] == 1);
	assert_true(stats.events_total == f.entry_count && stats.offers_total == 1 && stats.leased_total == 1);
	assert_true(stats.commands_total == 4 && stats.refused_total[OUTCOME_EMPTY] == 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(figures),
		TEST(all_queues_by_name),
		TEST(pages_of_queues),
		TEST(no_such_queue),
		TEST(pause_and_go_on),
		TEST(pause_leaves_running_work),
		TEST(kick),
		TEST(kicked_jobs_stay),
		TEST(newest_first_page_by_page),
		TEST(by_queue_and_state),
		TEST(long_lists_in_pieces),
		TEST(statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
