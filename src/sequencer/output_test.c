/* A job's output: written by who holds the lease, there for who waits before the first word, closed iff the job is over; and all
 * that over restarts, over a journal that ends between the job's event and the output's, and without memory. */
#include "sequencer/stream_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

enum { PATH_CHARS = sizeof(OUTPUT_ROOT) - 1 + JOB_HANDLE_CHARS };

static struct fixture twin;
static struct buf other;
static const struct slice q = {"q", 1};
static char path_bytes[PATH_CHARS];

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 4;
	f.config.output_bytes_max = 100;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

static struct slice path_of(const struct job_ref *job)
{
	memcpy(path_bytes, OUTPUT_ROOT, sizeof(OUTPUT_ROOT) - 1);
	memcpy(path_bytes + sizeof(OUTPUT_ROOT) - 1, job->handle, JOB_HANDLE_CHARS);
	return slice_from(path_bytes, PATH_CHARS);
}

static struct stream_append_in writes(const struct grant *grant, const char *what)
{
	return (struct stream_append_in){
		.path = path_of(&grant->job),
		.token = slice_str(grant->lease.token),
		.content_type = a_type,
		.records = records_of(1, what),
	};
}

static enum outcome write_as(struct stream_append_in in, uint64_t *ret_number)
{
	struct ask ask = {.c = {.kind = COMMAND_OUTPUT_APPEND, .in.stream_append = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	if (ret_number && ask.c.out.stream)
		*ret_number = ask.c.out.stream->number;
	ask_deinit(&ask);
	return outcome;
}

static enum outcome write_to(const struct grant *grant, const char *what)
{
	return write_as(writes(grant, what), NULL);
}

static struct stream_read_in reads(const struct job_ref *job)
{
	return (struct stream_read_in){.path = path_of(job), .max_bytes = 1 << 20};
}

/* "0:1=what … end" with a bar behind it when it is closed. */
static void expect_output(const struct job_ref *job, const char *said)
{
	struct ask ask;

	assert_int_equal(read_as(reads(job), &ask, 0), OUTCOME_OK);
	say(ask.c.out.stream, &mine);
	mine.len--;
	if (ask.c.out.stream->closed)
		buf_append_char(&mine, '|');
	buf_append_char(&mine, '\0');
	assert_string_equal(mine.ptr, said);
	ask_deinit(&ask);
}

static enum outcome watches(const struct job_ref *job, unsigned thread, uint64_t *ret_key)
{
	struct stream_read_in in = reads(job);
	struct ask ask;
	enum outcome outcome;

	in.watch = true;
	outcome = read_as(in, &ask, thread);
	if (ret_key)
		*ret_key = ask.c.out.stream->key;
	ask_deinit(&ask);
	return outcome;
}

/* What was sent to that thread: one wake under that key, or (0) none. How it stands then is said in *ret_view. */
static void expect_wake(unsigned thread, uint64_t key, struct stream_view *ret_view)
{
	const struct stream_wake *found = NULL;

	for (size_t i = 0; i < f.sent_count; i++) {
		if (!f.sent[i].message || f.sent[i].kind != MESSAGE_STREAM_WAKE || f.sent[i].thread != thread)
			continue;
		assert_null(found);
		found = container_of(f.sent[i].message, struct stream_wake, message);
	}
	assert_true((found ? found->key : 0) == key);
	*ret_view = found && found->view ? *found->view : (struct stream_view){0};
	fixture_drop_sent(&f);
}

static struct grant running(void)
{
	fixture_job(&f, q);
	return fixture_run(&f, q);
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	sequencer_check(twin.s);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

static void ends_with_its_job(void **state)
{
	struct grant grant = running();

	(void)state;
	expect_output(&grant.job, "");
	assert_int_equal(write_to(&grant, "one"), OUTCOME_OK);
	assert_int_equal(write_to(&grant, "two"), OUTCOME_OK);
	expect_output(&grant.job, "0:1=one 1:1=two ");
	expect_same_state(false);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	expect_output(&grant.job, "0:1=one 1:1=two |");
	assert_int_equal(write_to(&grant, "late"), OUTCOME_ALREADY);
	expect_same_state(false);
	fixture_later(&f, 60001); /* its retention */
	assert_true(f.s->streams.count == 0);
	sequencer_check(f.s);
	expect_same_state(false);
}

static void canceled_and_forgotten(void **state)
{
	struct grant grant = running();
	struct ask ask;

	(void)state;
	write_to(&grant, "one");
	assert_int_equal(fixture_cancel(&f, &grant.job, false), OUTCOME_OK);
	expect_output(&grant.job, "0:1=one |");
	assert_int_equal(write_to(&grant, "late"), OUTCOME_CANCELED);
	assert_int_equal(fixture_cancel(&f, &grant.job, true), OUTCOME_OK);
	assert_true(f.s->streams.count == 0);
	assert_int_equal(read_as(reads(&grant.job), &ask, 0), OUTCOME_NOT_FOUND);
	ask_deinit(&ask);
	assert_int_equal(write_to(&grant, "later"), OUTCOME_NOT_FOUND);
	grant = running();
	write_to(&grant, "two");
	assert_int_equal(fixture_cancel(&f, &grant.job, true), OUTCOME_OK); /* open, and gone in one step */
	assert_true(f.s->streams.count == 0);
	expect_same_state(false);
}

static void attempts_share_it(void **state)
{
	struct grant first = running(), second;

	(void)state;
	write_to(&first, "one");
	fixture_later(&f, 10001); /* the lease is over */
	second = fixture_run(&f, q);
	assert_int_equal(write_to(&first, "stale"), OUTCOME_FENCED);
	assert_int_equal(write_to(&second, "two"), OUTCOME_OK);
	expect_output(&second.job, "0:1=one 1:1=two ");
	for (unsigned i = 0; i < 2; i++) {
		struct worker_in in = worker_of(&second);

		in.retry = i == 0;
		in.delay_ms = 0;
		assert_int_equal(fixture_tell(&f, COMMAND_FAIL, in), OUTCOME_OK);
		expect_output(&second.job, i == 0 ? "0:1=one 1:1=two " : "0:1=one 1:1=two |");
		if (i == 0)
			second = fixture_run(&f, q);
	}
	expect_same_state(false);
}

static void a_kick_begins_a_new_one(void **state)
{
	struct grant grant = running();
	struct stream_read_in in;
	uint64_t number, again;
	struct ask ask;

	(void)state;
	assert_int_equal(write_as(writes(&grant, "one"), &number), OUTCOME_OK);
	fixture_tell(&f, COMMAND_FAIL, worker_of(&grant));
	expect_output(&grant.job, "0:1=one |");
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	expect_output(&grant.job, "");
	in = reads(&grant.job);
	in.from = STREAM_FROM_OFFSET;
	in.number = number;
	in.offset = 1;
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OTHER); /* not the end of nothing */
	ask_deinit(&ask);
	grant = fixture_run(&f, q);
	assert_int_equal(write_as(writes(&grant, "anew"), &again), OUTCOME_OK);
	assert_true(again > number);
	in.path = path_of(&grant.job);
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OTHER);
	ask_deinit(&ask);
	expect_output(&grant.job, "0:1=anew ");
	expect_same_state(false);
}

static void waiting_for_the_first_word(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct stream_view view;
	struct grant grant;
	uint64_t key, number;

	(void)state;
	assert_int_equal(watches(&job, 0, &key), OUTCOME_PARKED);
	assert_int_equal(watches(&job, 1, NULL), OUTCOME_PARKED);
	assert_true(f.s->streams.count == 0);
	grant = fixture_run(&f, q);
	fixture_drop_sent(&f);
	assert_int_equal(write_as(writes(&grant, "one"), &number), OUTCOME_OK);
	write_to(&grant, "two");
	for (unsigned thread = 1; thread < 2; thread--) {
		struct stream_wake *wake = NULL;

		for (size_t i = 0; i < f.sent_count; i++) {
			if (f.sent[i].message && f.sent[i].kind == MESSAGE_STREAM_WAKE && f.sent[i].thread == thread)
				wake = container_of(f.sent[i].message, struct stream_wake, message);
		}
		assert_non_null(wake);
		assert_true(wake->key == key && wake->view->number == number && wake->view->next_offset == 1);
		assert_true(slice_eq(wake->view->path, path_of(&job)));
	}
	fixture_drop_sent(&f);
	assert_int_equal(watches(&job, 1, &key), OUTCOME_OK); /* there is something */
	fixture_tell(&f, COMMAND_DONE, worker_of(&grant));
	expect_wake(1, 0, &view);
}

static void an_end_without_a_word(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct stream_view view;
	uint64_t key;

	(void)state;
	for (unsigned forget = 0; forget < 2; forget++) {
		assert_int_equal(watches(&job, 2, &key), OUTCOME_PARKED);
		assert_int_equal(fixture_cancel(&f, &job, forget), OUTCOME_OK);
		if (!forget) {
			expect_wake(2, key, &view);
			assert_true(view.closed && view.next_offset == 0);
			expect_output(&job, "|");
			assert_int_equal(watches(&job, 2, NULL), OUTCOME_OK);
			job = fixture_job(&f, q);
			continue;
		}
		/* Canceled first, so that is what it hears. */
		expect_wake(2, key, &view);
		assert_true(view.closed);
	}
	assert_true(f.s->outputs.count == 0 && f.s->streams.count == 0);
}

static void a_late_look(void **state)
{
	struct job_ref job = fixture_job(&f, q);
	struct ask ask;

	(void)state;
	fixture_cancel(&f, &job, false);
	fixture_later(&f, 60001);
	assert_int_equal(read_as(reads(&job), &ask, 0), OUTCOME_GONE);
	ask_deinit(&ask);
	job.handle[5] ^= 1;
	assert_int_equal(read_as(reads(&job), &ask, 0), OUTCOME_NOT_FOUND);
	ask_deinit(&ask);
	job.handle[5] ^= 1;
	fixture_later(&f, 10 * 3600 * 1000);
	assert_int_equal(read_as(reads(&job), &ask, 0), OUTCOME_NOT_FOUND);
	ask_deinit(&ask);
}

static void repeated_by_number(void **state)
{
	struct grant grant = running();
	struct stream_append_in in = writes(&grant, "one");

	(void)state;
	in.producer = (struct producer_in){SLICE("w"), 0, 0};
	assert_int_equal(write_as(in, NULL), OUTCOME_OK);
	assert_int_equal(write_as(in, NULL), OUTCOME_SAME);
	in.producer.seq = 2;
	assert_int_equal(write_as(in, NULL), OUTCOME_GAP);
	in.content_type = SLICE("application/json");
	in.producer.seq = 1;
	assert_int_equal(write_as(in, NULL), OUTCOME_TYPE);
	expect_output(&grant.job, "0:1=one ");
}

static void limits(void **state)
{
	struct grant grant = running(), another;
	struct stream_append_in in = writes(&grant, "0123456789012345678901234567890123456789"); /* 48 bytes */

	(void)state;
	in.producer = (struct producer_in){SLICE("w"), 0, 0};
	assert_int_equal(write_as(in, NULL), OUTCOME_OK);
	in.producer.seq = 1;
	assert_int_equal(write_as(in, NULL), OUTCOME_OK);
	in.producer.seq = 2;
	assert_int_equal(write_as(in, NULL), OUTCOME_OUTPUT_FULL);
	in.producer.seq = 1;
	assert_int_equal(write_as(in, NULL), OUTCOME_SAME); /* that one was taken */
	assert_int_equal(write_as(writes(&grant, ""), NULL), OUTCOME_OUTPUT_FULL);
	fixture_twin(&f, &twin, false);
	fixture_deinit(&twin);
	assert_int_equal(fixture_tell(&f, COMMAND_DONE, worker_of(&grant)), OUTCOME_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(create(slice_from(&"abc"[i], 1)), OUTCOME_OK);
	another = running();
	assert_int_equal(write_to(&another, "x"), OUTCOME_FULL);
	sequencer_check(f.s);
	assert_int_equal(delete (SLICE("a")), OUTCOME_OK);
	assert_int_equal(write_to(&another, "x"), OUTCOME_OK);
}

/* The limit holds over a restart. */
static void a_full_one_stays_full(void **state)
{
	struct grant grant = running();
	struct fixture first;

	(void)state;
	while (write_to(&grant, "0123456789") == OUTCOME_OK)
		;
	fixture_twin(&f, &twin, false);
	first = f;
	f = twin;
	assert_int_equal(write_to(&grant, "0123456789"), OUTCOME_OUTPUT_FULL);
	twin = f;
	f = first;
	fixture_deinit(&twin);
}

/* The journal ends behind the job's last event, and the output's was not written. */
static void mended_at_the_start(void **state)
{
	static const enum command_kind ends[] = {COMMAND_DONE, COMMAND_FAIL};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		struct grant grant = running();

		write_to(&grant, "one");
		fixture_tell(&f, ends[i], worker_of(&grant));
		assert_int_equal(f.entries[f.entry_count - 1].replay.type, STREAM_APPENDED);
		f.entry_count--;
		fixture_twin(&f, &twin, false);
		sequencer_check(twin.s);
		fixture_deinit(&twin);
		f.entry_count++;
		expect_same_state(false);
	}
	assert_int_equal(fixture_kick(&f, q, 1), 1);
	assert_int_equal(f.entries[f.entry_count - 1].replay.type, STREAM_DELETED);
	f.entry_count--;
	fixture_twin(&f, &twin, false);
	sequencer_check(twin.s);
	assert_true(twin.s->streams.count == 1);
	fixture_deinit(&twin);
	f.entry_count++;
	fixture_later(&f, 60001);
	for (size_t n = 0; n < f.entry_count; n++) { /* wherever it ends */
		size_t all = f.entry_count;

		f.entry_count = n + 1;
		fixture_twin(&f, &twin, false);
		sequencer_check(twin.s);
		fixture_deinit(&twin);
		f.entry_count = all;
	}
}

static void from_a_checkpoint(void **state)
{
	struct grant grant = running();

	(void)state;
	write_to(&grant, "one");
	while (fixture_checkpoint(&f, 1))
		write_to(&grant, "m");
	fixture_tell(&f, COMMAND_DONE, worker_of(&grant));
	expect_same_state(true);
}

/* A disk that is full takes no output, and lets jobs end with what they have. */
static void on_a_full_disk(void **state)
{
	struct grant grant = running();

	(void)state;
	write_to(&grant, "one");
	f.full = true;
	assert_int_equal(write_to(&grant, "two"), OUTCOME_NO_SPACE);
	assert_int_equal(fixture_cancel(&f, &grant.job, false), OUTCOME_OK);
	expect_output(&grant.job, "0:1=one |");
	f.full = false;
}

/* --- without memory --- */

/* Whoever hears that there was none may say it again. */
static void every_allocation_of_an_append(void **state)
{
	struct grant grant = running();
	struct stream_append_in in;
	uint64_t n = 1, failed = 0;

	(void)state;
	assert_int_equal(watches(&grant.job, 1, NULL), OUTCOME_PARKED);
	for (enum outcome outcome = OUTCOME_NO_MEMORY; outcome != OUTCOME_OK; n++) {
		in = writes(&grant, "x");
		in.producer = (struct producer_in){SLICE("p"), 0, 0};
		mem_fail_nth(n);
		outcome = write_as(in, NULL);
		mem_fail_nth(0);
		sequencer_check(f.s);
		assert_true(outcome == OUTCOME_OK || outcome == OUTCOME_NO_MEMORY);
		failed += outcome != OUTCOME_OK;
	}
	assert_true(failed >= 3);
	expect_output(&grant.job, "0:1=x ");
	expect_same_state(false);
}

/* A job's end stands whether or not there is memory to close its output; that is made up for. */
static void every_allocation_of_an_end(void **state)
{
	uint64_t late = 0;

	(void)state;
	f.config.output_bytes_max = 1000;
	sequencer_configure(f.s, &f.config);
	for (uint64_t n = 1; n < 30; n++) {
		struct grant grant = running();
		enum outcome outcome;

		write_to(&grant, "x");
		mem_fail_nth(n);
		outcome = fixture_tell(&f, n % 2 ? COMMAND_DONE : COMMAND_FAIL, worker_of(&grant));
		mem_fail_nth(0);
		sequencer_check(f.s);
		late += !list_empty(&f.s->outputs_late);
		if (outcome == OUTCOME_OK || fixture_look(&f, &grant.job).state >= JOB_DONE) {
			fixture_later(&f, 1000);
			expect_output(&grant.job, "0:1=x |");
		}
		mem_fail_nth(n);
		fixture_cancel(&f, &grant.job, true);
		mem_fail_nth(0);
		fixture_later(&f, 1000);
		sequencer_check(f.s);
		fixture_cancel(&f, &grant.job, true);
		assert_true(f.s->streams.count == 0);

		grant = running();
		mem_fail_nth(n);
		(void)watches(&grant.job, 0, NULL);
		mem_fail_nth(0);
		fixture_cancel(&f, &grant.job, true);
		assert_true(f.s->outputs.count == 0);
		fixture_drop_sent(&f);
	}
	assert_true(late > 0);
	expect_same_state(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_with_its_job, setup, teardown),
		cmocka_unit_test_setup_teardown(canceled_and_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(attempts_share_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kick_begins_a_new_one, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_for_the_first_word, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_without_a_word, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_look, setup, teardown),
		cmocka_unit_test_setup_teardown(repeated_by_number, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_one_stays_full, setup, teardown),
		cmocka_unit_test_setup_teardown(mended_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(from_a_checkpoint, setup, teardown),
		cmocka_unit_test_setup_teardown(on_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(every_allocation_of_an_append, setup, teardown),
		cmocka_unit_test_setup_teardown(every_allocation_of_an_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
