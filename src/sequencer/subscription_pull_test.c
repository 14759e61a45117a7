/* Pull-wake subscriptions, step by step; and the limits of all. */
#include "sequencer/subscription_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static const struct slice sub = {"sub", 3}, ev_a = {"events/a", 8}, ev_b = {"events/b", 8}, other_c = {"other/c", 7},
			  wake_path = {"wake", 4};
static struct buf said;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.subscriptions_max = 4;
	f.config.subscription_links_max = 4;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&said);
	mine = said = (struct buf){0};
	return 0;
}

/* --- pull-wake --- */

static void workers_claim_what_the_wake_stream_tells(void **state)
{
	struct subscription_view *view, *busy;
	struct subscription_ack ack;
	char want[256];
	bool next;

	(void)state;
	make_stream(wake_path);
	sub_create(pull_of(sub));
	assert_int_equal(sub_claim(sub, &view), OUTCOME_EMPTY);
	make_stream(ev_a);
	add_to(ev_a, 1);
	assert_true(last_of(wake_path, &said) == 1);
	snprintf(want, sizeof(want),
		 "{\"type\":\"wake\",\"subscription_id\":\"sub\",\"stream\":\"events/a\",\"generation\":1,\"ts\":%llu}",
		 (unsigned long long)f.now_ms);
	assert_string_equal(said.ptr, want);
	add_to(ev_a, 1);
	fixture_later(&f, 100000); /* no lease runs before it is claimed */
	assert_true(last_of(wake_path, &said) == 1);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	assert_true(view->generation == 1 && view->streams[0].tail_offset == 2 && slice_eq(view->holder, SLICE("w1")));
	assert_int_equal(sub_claim(sub, &busy), OUTCOME_BUSY);
	assert_true(slice_eq(busy->holder, SLICE("w1")) && busy->generation == 1);
	subscription_view_free(busy);
	ack = (struct subscription_ack){ev_a, view->streams[0].number, 1};
	assert_int_equal(sub_ack(ack_of(view, &ack, true), &next), OUTCOME_OK);
	assert_true(next && last_of(wake_path, &said) == 2);
	assert_int_equal(sub_ack(ack_of(view, &ack, true), NULL), OUTCOME_FENCED);
	assert_int_equal(sub_release(ack_of(view, NULL, false)), OUTCOME_FENCED);
	subscription_view_free(view);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	assert_true(view->generation == 2);
	assert_int_equal(sub_release(ack_of(view, NULL, false)), OUTCOME_OK);
	assert_true(last_of(wake_path, &said) == 3);
	subscription_view_free(view);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	fixture_later(&f, 5000);
	assert_true(last_of(wake_path, &said) == 4);
	assert_int_equal(sub_ack(ack_of(view, NULL, false), NULL), OUTCOME_FENCED);
	subscription_view_free(view);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	ack.offset = 2;
	assert_int_equal(sub_ack(ack_of(view, &ack, true), &next), OUTCOME_OK);
	assert_true(!next && last_of(wake_path, &said) == 4);
	subscription_view_free(view);
}

static void a_wake_stream_that_is_not_there(void **state)
{
	struct subscription_view *view, *now;

	(void)state;
	sub_create(pull_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	now = sub_look(sub);
	assert_true(now->failed && now->in_flight && now->attempts == 1);
	create(wake_path); /* of a type that is not for this */
	fixture_later(&f, now->next_attempt_ms - f.now_ms);
	subscription_view_free(now);
	delete (wake_path);
	make_stream(wake_path);
	now = sub_look(sub);
	assert_true(now->failed && now->attempts == 2 && now->generation == 1);
	fixture_later(&f, now->next_attempt_ms - f.now_ms);
	subscription_view_free(now);
	assert_true(last_of(wake_path, &said) == 1);
	now = sub_look(sub);
	assert_true(!now->failed && now->generation == 1);
	subscription_view_free(now);
	/* It can be claimed all the same. */
	delete (wake_path);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	assert_int_equal(sub_release(ack_of(view, NULL, false)), OUTCOME_OK);
	subscription_view_free(view);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_OK);
	assert_true(view->generation == 2);
	fixture_later(&f, 4000); /* nor is it told once it is held */
	assert_int_equal(sub_ack(ack_of(view, NULL, false), NULL), OUTCOME_OK);
	subscription_view_free(view);
}

/* A worker that comes for a wake of which nothing is left uses it up. */
static void nothing_is_left_to_claim(void **state)
{
	struct subscription_view *view;

	(void)state;
	make_stream(wake_path);
	sub_create(pull_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	delete (ev_a);
	assert_int_equal(sub_claim(sub, &view), OUTCOME_EMPTY);
	make_stream(ev_b);
	add_to(ev_b, 1);
	assert_true(last_of(wake_path, &said) == 2);
}

static void wakes_wake_nobody_twice(void **state)
{
	struct subscription_in in = pull_of(sub), other = pull_of(SLICE("other"));

	(void)state;
	in.pattern = other.pattern = SLICE("**"); /* its own wake stream, too */
	other.wake_stream = SLICE("wake2");
	make_stream(wake_path);
	make_stream(SLICE("wake2"));
	sub_create(in);
	sub_create(other);
	sub_expect(sub, "wake2:g0/0 ");
	make_stream(ev_a);
	add_to(ev_a, 1);
	assert_true(last_of(wake_path, &said) == 1 && last_of(SLICE("wake2"), &said) == 1);
	sub_expect(sub, "wake2:g0/1 events/a:g0/1 ");
	sub_expect(SLICE("other"), "wake:g0/1 events/a:g0/1 ");
}

/* --- limits --- */

static void limits(void **state)
{
	char id[2] = "a", path[] = "events/1";
	const struct slice many[] = {{"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}, {"5", 1}};
	struct subscription_in in = hook_of(sub);

	(void)state;
	in.pattern = (struct slice){0};
	in.streams = many;
	in.stream_count = 5;
	assert_int_equal(sub_create(in), OUTCOME_FULL);
	assert_null(sub_look(sub));
	in.stream_count = 4;
	assert_int_equal(sub_create(in), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, many[3]), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, many[4]), OUTCOME_FULL);
	for (unsigned i = 0; i < 3; i++, id[0]++)
		assert_int_equal(sub_create(hook_of(slice_from(id, 1))), OUTCOME_OK);
	assert_int_equal(sub_create(hook_of(SLICE("x"))), OUTCOME_FULL);
	assert_int_equal(sub_tell(COMMAND_SUB_DELETE, sub), OUTCOME_OK);
	assert_int_equal(sub_create(hook_of(SLICE("x"))), OUTCOME_OK);
	for (unsigned i = 0; i < 5; i++, path[7]++) {
		make_stream(slice_str(path));
		assert_int_equal(add_to(slice_str(path), 1),
				 OUTCOME_OK); /* whose link finds no room is appended to nevertheless */
	}
	sub_expect(SLICE("x"), "events/1:g0/1 events/2:g0/1 events/3:g0/1 events/4:g0/1 ");
}

enum { LONG_PATHS = 300, LONG_BYTES = 1000 };

/* Links that fill several events: all are there, or there is no subscription, whatever stops them on the way. */
static void more_links_than_one_event_holds(void **state)
{
	static char bytes[LONG_PATHS][LONG_BYTES];
	static struct slice many[LONG_PATHS];
	static struct fixture twin;
	struct subscription_in in = hook_of(sub);
	size_t before = f.entry_count, after;

	(void)state;
	f.config.subscription_links_max = LONG_PATHS;
	sequencer_configure(f.s, &f.config);
	for (size_t i = 0; i < LONG_PATHS; i++) {
		memset(bytes[i], 'x', LONG_BYTES);
		snprintf(bytes[i], LONG_BYTES, "events/%03zu/", i);
		bytes[i][strlen(bytes[i])] = 'x';
		many[i] = slice_from(bytes[i], LONG_BYTES);
	}
	in.streams = many;
	in.stream_count = LONG_PATHS;
	for (uint64_t n = 1;; n += 40) {
		enum outcome outcome;

		mem_fail_nth(n);
		outcome = sub_create(in);
		mem_fail_nth(0);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		assert_true(!sub_look(sub) && f.s->subs.count == 0);
		before = f.entry_count;
	}
	after = f.entry_count;
	assert_true(after >= before + 4);
	for (; f.entry_count >= before; f.entry_count--) {
		fixture_twin(&f, &twin, false);
		fixture_later(&twin, 0);
		assert_int_equal(twin.s->subs.count, f.entry_count == after);
		assert_int_equal(twin.s->subs.link_count, f.entry_count == after ? LONG_PATHS : 0);
		fixture_deinit(&twin);
	}
	f.entry_count = after;
	while (fixture_checkpoint(&f, 1))
		;
	fixture_twin(&f, &twin, true);
	assert_int_equal(twin.s->subs.link_count, LONG_PATHS);
	fixture_deinit(&twin);
}

static void a_full_disk(void **state)
{
	struct subscription_view *view;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	view = hook_take(&f);
	f.full = true;
	assert_int_equal(sub_create(hook_of(SLICE("x"))), OUTCOME_NO_SPACE);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, other_c), OUTCOME_NO_SPACE);
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_OK); /* an end needs no room */
	assert_int_equal(sub_tell(COMMAND_SUB_DELETE, sub), OUTCOME_OK);
	f.full = false;
	subscription_view_free(view);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(workers_claim_what_the_wake_stream_tells),
		TEST(a_wake_stream_that_is_not_there),
		TEST(nothing_is_left_to_claim),
		TEST(wakes_wake_nobody_twice),
		TEST(limits),
		TEST(more_links_than_one_event_holds),
		TEST(a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
