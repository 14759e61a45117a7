/* Subscriptions, step by step: what is linked, who is woken, who is fenced, and what time does to them. */
#include "sequencer/subscription_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static const struct slice sub = {"sub", 3}, ev_a = {"events/a", 8}, ev_b = {"events/b", 8}, other_c = {"other/c", 7};

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
	mine = (struct buf){0};
	return 0;
}

static void the_same_again_is_confirmed(void **state)
{
	const struct slice one[] = {ev_a, other_c}, other[] = {other_c, ev_a, other_c};
	struct subscription_in in = hook_of(sub), differs[7];

	(void)state;
	in.streams = one;
	in.stream_count = 2;
	assert_int_equal(sub_create(in), OUTCOME_OK);
	assert_int_equal(sub_create(in), OUTCOME_SAME);
	in.streams = other; /* in another order, and one of them twice */
	in.stream_count = 3;
	assert_int_equal(sub_create(in), OUTCOME_SAME);
	in.origin = SLICE("http://elsewhere");
	assert_int_equal(sub_create(in), OUTCOME_SAME);
	for (size_t i = 0; i < ARRAY_COUNT(differs); i++)
		differs[i] = in;
	differs[0].pattern = SLICE("**");
	differs[1].url = SLICE("https://there/other");
	differs[2].description = SLICE("d");
	differs[3].lease_ttl_ms++;
	differs[4].stream_count = 1;
	differs[5].type = SUBSCRIPTION_PULL;
	differs[6].wake_stream = SLICE("w");
	for (size_t i = 0; i < ARRAY_COUNT(differs); i++)
		assert_int_equal(sub_create(differs[i]), OUTCOME_CONFLICT);
	sub_expect(sub, "events/a:e- other/c:e- ");
}

static void what_is_told_of_it(void **state)
{
	struct subscription_in in = hook_of(sub);
	struct subscription_view *view;

	(void)state;
	in.description = SLICE("what it is");
	assert_int_equal(sub_create(in), OUTCOME_OK);
	view = sub_look(sub);
	assert_true(slice_eq(view->id, sub) && slice_eq(view->pattern, in.pattern) && slice_eq(view->url, in.url));
	assert_true(slice_eq(view->origin, in.origin) && slice_eq(view->description, in.description));
	assert_true(view->wake_stream.len == 0 && view->holder.len == 0 && view->lease_ttl_ms == 5000);
	assert_true(view->type == SUBSCRIPTION_WEBHOOK && view->created_ms == f.now_ms && !view->failed && !view->in_flight);
	assert_true(view->generation == 0 && view->token[0] == '\0' && view->wake_id[0] == '\0');
	subscription_view_free(view);
	assert_int_equal(sub_tell(COMMAND_SUB_DELETE, sub), OUTCOME_OK);
	assert_null(sub_look(sub));
	assert_int_equal(sub_tell(COMMAND_SUB_DELETE, sub), OUTCOME_NOT_FOUND);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, ev_a), OUTCOME_NOT_FOUND);
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub, ev_a), OUTCOME_NOT_FOUND);
}

static void what_was_before_is_not_told(void **state)
{
	(void)state;
	make_stream(ev_a);
	make_stream(ev_b);
	make_stream(other_c);
	add_to(ev_a, 1);
	add_to(ev_a, 1);
	assert_int_equal(sub_create(hook_of(sub)), OUTCOME_OK);
	sub_expect(sub, "events/a:g2/2 events/b:g0/0 ");
	assert_null(hook_take(&f));
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, other_c), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, other_c), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_LINK, sub, ev_b), OUTCOME_OK); /* takes precedence… */
	sub_expect(sub, "events/a:g2/2 events/b:e0/0 other/c:e0/0 ");
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub, ev_b), OUTCOME_OK); /* …and leaves what the pattern linked */
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub, ev_b), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub, other_c), OUTCOME_OK);
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub, SLICE("never")), OUTCOME_OK);
	sub_expect(sub, "events/a:g2/2 events/b:g0/0 ");
}

static void a_stream_is_linked_before_its_first_records(void **state)
{
	struct subscription_view *view;

	(void)state;
	assert_int_equal(sub_create(hook_of(sub)), OUTCOME_OK);
	make_stream(ev_a);
	sub_expect(sub, "");
	add_to(ev_a, 2);
	sub_expect(sub, "events/a:g0/2 ");
	create_as((struct stream_create_in){.path = ev_b, .content_type = a_type, .records = records_of(3, "xyz")});
	create_as((struct stream_create_in){.path = other_c, .content_type = a_type, .records = records_of(3, "xyz")});
	sub_expect(sub, "events/a:g0/2 events/b:g0/3 ");
	view = hook_take(&f); /* of the first one alone; the second came while it was in flight */
	assert_true(view->generation == 1 && view->stream_count == 1 && view->streams[0].tail_offset == 2);
	subscription_view_free(view);
	assert_null(hook_take(&f));
}

static void links_follow_their_paths(void **state)
{
	(void)state;
	assert_int_equal(sub_create(hook_of(sub)), OUTCOME_OK);
	sub_link(COMMAND_SUB_LINK, sub, other_c);
	sub_expect(sub, "other/c:e- ");
	make_stream(other_c);
	sub_expect(sub, "other/c:e0/0 ");
	add_to(other_c, 1);
	make_stream(ev_a);
	add_to(ev_a, 1);
	sub_expect(sub, "other/c:e0/1 events/a:g0/1 ");
	delete (other_c);
	delete (ev_a);
	sub_expect(sub, "other/c:e- ");
	make_stream(ev_a);
	make_stream(other_c);
	add_to(other_c, 3);
	sub_expect(sub, "other/c:e0/3 ");
	add_to(ev_a, 1);
	sub_expect(sub, "other/c:e0/3 events/a:g0/1 ");
}

/* Whoever went on reading at what is acked would find it gone. */
static void what_is_no_longer_kept_counts_as_acked(void **state)
{
	static struct fixture twin;
	static struct buf mirror;

	(void)state;
	sub_create(hook_of(sub));
	create_as((struct stream_create_in){.path = ev_a, .content_type = a_type, .max_age_ms = 10000});
	append_as((struct stream_append_in){.path = ev_a, .content_type = a_type, .records = records_of(2, "xx")}, NULL);
	fixture_later(&f, 6000);
	append_as((struct stream_append_in){.path = ev_a, .content_type = a_type, .records = records_of(1, "x")}, NULL);
	sub_expect(sub, "events/a:g0/3 ");
	fixture_later(&f, 5000);
	sub_expect(sub, "events/a:g2/3 ");
	fixture_later(&f, 6000);
	sub_expect(sub, "events/a:g3/3 ");
	fixture_twin(&f, &twin, false);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &mirror);
	assert_int_equal(mine.len, mirror.len);
	assert_memory_equal(mine.ptr, mirror.ptr, mine.len);
	fixture_deinit(&twin);
	buf_deinit(&mirror);
	fixture_drop_sent(&f);
}

static void done_acks_what_was_told(void **state)
{
	struct subscription_view *view;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	view = hook_take(&f);
	assert_true(view->in_flight && view->streams[0].has_pending && view->streams[0].tail_offset == 1);
	assert_true(view->lease_until_ms == f.now_ms + 5000 && slice_eq(view->url, SLICE("https://there/hook")));
	add_to(ev_a, 1); /* not told yet */
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_OK);
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_FENCED);
	subscription_view_free(view);
	sub_expect(sub, "events/a:g1/2 ");
	view = hook_take(&f);
	assert_true(view->generation == 2 && view->streams[0].acked_offset == 1 && view->streams[0].tail_offset == 2);
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_OK);
	subscription_view_free(view);
	sub_expect(sub, "events/a:g2/2 ");
	assert_null(hook_take(&f));
}

static void callbacks_and_who_may_make_them(void **state)
{
	struct subscription_view *view, *later;
	struct subscription_ack ack;
	struct subscription_ack_in in;
	bool next;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 2);
	view = hook_take(&f);
	assert_int_equal(sub_hooked(view, HOOK_ANSWERED), OUTCOME_OK);
	ack = (struct subscription_ack){ev_a, view->streams[0].number, 1};
	in = ack_of(view, &ack, false);
	in.callback = false;
	assert_int_equal(sub_ack(in, NULL), OUTCOME_TYPE);
	in.callback = true;
	in.token = SLICE("0000000000001000000000000000000000000000");
	assert_int_equal(sub_ack(in, NULL), OUTCOME_TOKEN);
	in.token = SLICE("000000000000100000000000000000000000000");
	assert_int_equal(sub_ack(in, NULL), OUTCOME_TOKEN);
	in = ack_of(view, &ack, false);
	in.generation++;
	assert_int_equal(sub_ack(in, NULL), OUTCOME_FENCED);
	in.generation--;
	in.wake_id = SLICE("w_0000000000000");
	assert_int_equal(sub_ack(in, NULL), OUTCOME_FENCED);
	in.wake_id = slice_str(view->wake_id);
	in.id = SLICE("sux");
	assert_int_equal(sub_ack(in, NULL), OUTCOME_NOT_FOUND);
	in.id = sub;
	assert_int_equal(sub_ack(in, &next), OUTCOME_OK);
	assert_false(next);
	sub_expect(sub, "events/a:g1/2 ");
	fixture_later(&f, 4999);
	assert_int_equal(sub_ack(in, NULL), OUTCOME_OK); /* the same again, and a sign of life */
	fixture_later(&f, 4999);
	in.done = true;
	assert_int_equal(sub_ack(in, &next), OUTCOME_OK);
	assert_true(next);
	assert_int_equal(sub_ack(in, NULL), OUTCOME_FENCED); /* that wake is over… */
	later = hook_take(&f);
	assert_true(later->generation == 2);
	in = ack_of(later, &ack, true);
	in.token = slice_str(view->token); /* …and its token, too */
	assert_int_equal(sub_ack(in, NULL), OUTCOME_FENCED);
	ack.offset = 2;
	in = ack_of(later, &ack, true);
	assert_int_equal(sub_ack(in, &next), OUTCOME_OK);
	assert_false(next);
	subscription_view_free(view);
	subscription_view_free(later);
	sub_tell(COMMAND_SUB_DELETE, sub);
	assert_int_equal(sub_ack((struct subscription_ack_in){.id = sub, .token = SLICE("x")}, NULL), OUTCOME_NOT_FOUND);
}

static void only_what_is_there_can_be_acked(void **state)
{
	struct subscription_view *view;
	struct subscription_ack ack;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	make_stream(other_c);
	add_to(ev_a, 3);
	view = hook_take(&f);
	ack = (struct subscription_ack){ev_a, view->streams[0].number, 2};
	assert_int_equal(sub_ack(ack_of(view, &ack, false), NULL), OUTCOME_OK);
	ack.offset = 1;
	assert_int_equal(sub_ack(ack_of(view, &ack, false), NULL), OUTCOME_RANGE);
	ack.offset = 4;
	assert_int_equal(sub_ack(ack_of(view, &ack, false), NULL), OUTCOME_RANGE);
	ack.offset = 3;
	ack.number++;
	assert_int_equal(sub_ack(ack_of(view, &ack, false), NULL), OUTCOME_RANGE);
	ack = (struct subscription_ack){other_c, number_of(other_c), 0};
	assert_int_equal(sub_ack(ack_of(view, &ack, true), NULL), OUTCOME_RANGE);
	sub_expect(sub, "events/a:g2/3 "); /* nothing of what was refused */
	subscription_view_free(view);
}

static void a_deleted_one_s_tokens_are_void(void **state)
{
	struct subscription_view *view;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	view = hook_take(&f);
	sub_tell(COMMAND_SUB_DELETE, sub);
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_FENCED);
	sub_create(hook_of(sub));
	assert_int_equal(sub_ack(ack_of(view, NULL, true), NULL), OUTCOME_TOKEN);
	assert_int_equal(sub_hooked(view, HOOK_DONE), OUTCOME_FENCED);
	sub_expect(sub, "events/a:g1/1 ");
	subscription_view_free(view);
}

/* --- delivery that fails --- */

static void deliveries_are_tried_again_later_and_later(void **state)
{
	static const uint64_t bases[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct subscription_in in = hook_of(sub);
	struct subscription_view *view, *now;

	(void)state;
	in.lease_ttl_ms = 600000;
	sub_create(in);
	make_stream(ev_a);
	add_to(ev_a, 1);
	for (size_t i = 0; i < ARRAY_COUNT(bases); i++) {
		uint64_t due;

		view = hook_take(&f);
		assert_non_null(view);
		assert_true(view->generation == 1 && view->streams[0].tail_offset == 1); /* the same wake, as it was */
		add_to(ev_a, 1);
		assert_int_equal(sub_hooked(view, HOOK_FAILED), OUTCOME_OK);
		subscription_view_free(view);
		now = sub_look(sub);
		assert_true(now->failed && now->attempts == i + 1 && now->in_flight);
		due = now->next_attempt_ms - f.now_ms;
		assert_in_range(due, bases[i] - bases[i] / 5, bases[i] + bases[i] / 5);
		subscription_view_free(now);
		fixture_later(&f, due - 1);
		assert_null(hook_take(&f));
		fixture_later(&f, 1);
	}
	view = hook_take(&f);
	assert_int_equal(sub_hooked(view, HOOK_ANSWERED), OUTCOME_OK);
	now = sub_look(sub);
	assert_true(!now->failed && now->next_attempt_ms == 0);
	subscription_view_free(now);
	assert_int_equal(sub_ack(ack_of(view, NULL, false), NULL), OUTCOME_OK);
	subscription_view_free(view);
}

static void the_schedule_survives_the_lease_and_a_restart(void **state)
{
	struct subscription_view *view, *now;
	static struct fixture twin;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	for (unsigned i = 0; i < 4; i++) {
		view = hook_take(&f);
		sub_hooked(view, HOOK_FAILED);
		subscription_view_free(view);
		now = sub_look(sub);
		if (i < 3)
			fixture_later(&f, now->next_attempt_ms - f.now_ms);
		else
			view = now;
		if (i < 3)
			subscription_view_free(now);
	}
	fixture_later(&f, 5000); /* the lease is over: the wake is void, and the next one comes when it is due */
	assert_null(hook_take(&f));
	now = sub_look(sub);
	assert_true(!now->in_flight && now->failed && now->next_attempt_ms == view->next_attempt_ms);
	subscription_view_free(now);
	fixture_twin(&f, &twin, false);
	twin.now_ms = view->next_attempt_ms - 1;
	fixture_later(&twin, 0);
	assert_null(hook_take(&twin));
	fixture_later(&twin, 1);
	now = hook_take(&twin);
	assert_true(now->generation == view->generation + 1 && now->attempts == 4);
	subscription_view_free(now);
	subscription_view_free(view);
	fixture_deinit(&twin);
}

static void a_lease_runs_out(void **state)
{
	struct subscription_view *view, *later, *now;
	struct subscription_ack ack;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	add_to(ev_a, 1);
	view = hook_take(&f);
	sub_hooked(view, HOOK_ANSWERED);
	fixture_later(&f, 4999);
	assert_null(hook_take(&f));
	fixture_later(&f, 1); /* it answered, and never called back */
	later = hook_take(&f);
	assert_true(later->generation == 2 && !later->failed);
	assert_int_equal(sub_ack(ack_of(view, NULL, true), NULL), OUTCOME_FENCED);
	assert_int_equal(sub_hooked(view, HOOK_FAILED), OUTCOME_FENCED);
	subscription_view_free(view);
	fixture_later(&f, 5000); /* nothing was heard of that one: a failure */
	assert_null(hook_take(&f));
	now = sub_look(sub);
	assert_true(now->failed && !now->in_flight && now->attempts == 1);
	fixture_later(&f, now->next_attempt_ms - f.now_ms);
	subscription_view_free(now);
	subscription_view_free(later);
	later = hook_take(&f);
	assert_true(later->generation == 3);
	ack = (struct subscription_ack){ev_a, later->streams[0].number, 1};
	assert_int_equal(sub_ack(ack_of(later, &ack, false), NULL), OUTCOME_OK); /* a callback before the answer */
	assert_int_equal(sub_hooked(later, HOOK_FAILED), OUTCOME_OK);            /* is proof enough that it was delivered */
	fixture_later(&f, 5000);                                                 /* nothing is pending: no further wake */
	assert_null(hook_take(&f));
	now = sub_look(sub);
	assert_true(!now->in_flight && !now->failed);
	subscription_view_free(now);
	subscription_view_free(later);
}

/* Nobody hears of a wake that a crash could take back; after one it is told again. */
static void a_wake_is_durable_before_it_is_told(void **state)
{
	struct subscription_view *view, *again;
	static struct fixture twin;

	(void)state;
	sub_create(hook_of(sub));
	make_stream(ev_a);
	f.hold = true;
	{
		struct ask ask = {.c = {.kind = COMMAND_STREAM_APPEND,
					.in.stream_append = {.path = ev_a,
							     .content_type = SLICE("application/json"),
							     .records = records_of(1, "x")}}};

		fixture_send(&f, &ask, 0);
		fixture_settle(&f);
		assert_int_equal(ask.back, 0);
		assert_null(hook_take(&f));
		fixture_sync(&f);
		ask_deinit(&ask);
	}
	f.hold = false;
	view = hook_take(&f);
	assert_non_null(view);
	fixture_twin(&f, &twin, false);
	fixture_later(&twin, 0);
	again = hook_take(&twin);
	assert_true(again->generation == view->generation && strcmp(again->token, view->token) == 0);
	assert_true(strcmp(again->wake_id, view->wake_id) == 0 && again->lease_until_ms == view->lease_until_ms);
	subscription_view_free(again);
	subscription_view_free(view);
	fixture_deinit(&twin);
}

/* A crash between an append and what it leads to. */
static void what_a_torn_tail_took_is_made_good(void **state)
{
	static struct fixture twin;
	struct subscription_view *view;
	size_t entries, streams;

	(void)state;
	sub_create(hook_of(sub));
	sub_link(COMMAND_SUB_LINK, sub, other_c);
	make_stream(ev_a);
	entries = f.entry_count;
	add_to(ev_a, 1);
	make_stream(other_c);
	for (streams = entries; f.entries[streams].replay.type >= SUB_EVENT_FIRST; streams++)
		;
	assert_true(f.entry_count > streams + 2);
	for (size_t i = entries; i < f.entry_count; i++) { /* the events about streams alone are left */
		if (f.entries[i].replay.type < SUB_EVENT_FIRST)
			f.entries[entries++] = f.entries[i];
	}
	f.entry_count = entries;
	fixture_twin(&f, &twin, false);
	fixture_later(&twin, 0);
	view = hook_take(&twin);
	assert_true(view->stream_count == 2 && view->generation == 1);
	assert_true(slice_eq(view->streams[1].path, ev_a) || slice_eq(view->streams[0].path, ev_a));
	subscription_view_free(view);
	fixture_deinit(&twin);
	subscription_view_free(hook_take(&f));
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_same_again_is_confirmed),
		TEST(what_is_told_of_it),
		TEST(what_was_before_is_not_told),
		TEST(a_stream_is_linked_before_its_first_records),
		TEST(links_follow_their_paths),
		TEST(what_is_no_longer_kept_counts_as_acked),
		TEST(done_acks_what_was_told),
		TEST(callbacks_and_who_may_make_them),
		TEST(only_what_is_there_can_be_acked),
		TEST(a_deleted_one_s_tokens_are_void),
		TEST(deliveries_are_tried_again_later_and_later),
		TEST(the_schedule_survives_the_lease_and_a_restart),
		TEST(a_lease_runs_out),
		TEST(a_wake_is_durable_before_it_is_told),
		TEST(what_a_torn_tail_took_is_made_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
