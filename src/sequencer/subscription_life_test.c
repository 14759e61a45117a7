/* A random life of subscriptions, against what a list of links says; over restarts, checkpoints and torn tails; and without
 * memory. */
#include "sequencer/subscription_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "subscription/glob.h"

enum { PATHS = 6, SUBS = 3, STEPS = 3000 };

static const struct slice paths[PATHS] = {{"events/a", 8}, {"events/b", 8}, {"events/x/y", 10},
					  {"other/c", 7},  {"d", 1},        {"wake", 4}};
static const struct slice sub_a = {"hooked", 6}, path_a = {"events/a", 8};
static struct fixture twin;
static struct buf other;

struct naive_link {
	bool linked, is_explicit;
	uint64_t number, acked;
};

struct naive_sub {
	bool there;
	struct subscription_in in;
	struct naive_link links[PATHS];
	struct subscription_view *held; /* the last wake that was told */
	uint64_t generation;
};

struct naive_stream {
	uint64_t number, count; /* 0: it is not there */
};

static struct naive_sub subs[SUBS];
static struct naive_stream streams[PATHS];
static struct test_random dice;

static size_t below(size_t bound)
{
	return test_random_below(&dice, bound);
}

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	memset(streams, 0, sizeof(streams));
	subs[0] = (struct naive_sub){.in = hook_of(sub_a)};
	subs[1] = (struct naive_sub){.in = pull_of(SLICE("pulled"))};
	subs[1].in.pattern = SLICE("**");
	subs[2] = (struct naive_sub){.in = hook_of(SLICE("listed"))};
	subs[2].in.pattern = (struct slice){0};
	subs[2].in.streams = &paths[3];
	subs[2].in.stream_count = 2;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < SUBS; i++)
		subs[i].held = subscription_view_free(subs[i].held);
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

/* --- the naive one --- */

static bool matches(const struct naive_sub *sub, size_t p)
{
	return sub->in.pattern.len && glob_match(sub->in.pattern, paths[p]) && !slice_eq(paths[p], sub->in.wake_stream);
}

static uint64_t tail_of(size_t p)
{
	return streams[p].number ? streams[p].count : 0;
}

static void naive_link_at(struct naive_sub *sub, size_t p, uint64_t acked, bool is_explicit)
{
	struct naive_link *link = &sub->links[p];

	if (!link->linked)
		*link = (struct naive_link){true, is_explicit, streams[p].number, acked};
	link->is_explicit |= is_explicit;
}

static void naive_create(size_t i)
{
	struct naive_sub *sub = &subs[i];

	assert_int_equal(sub_create(sub->in), sub->there ? OUTCOME_SAME : OUTCOME_OK);
	if (sub->there)
		return;
	sub->there = true;
	sub->generation = 0;
	memset(sub->links, 0, sizeof(sub->links));
	for (size_t p = 0; p < PATHS; p++) {
		for (size_t s = 0; s < sub->in.stream_count; s++) {
			if (slice_eq(paths[p], sub->in.streams[s]))
				naive_link_at(sub, p, tail_of(p), true);
		}
		if (streams[p].number && matches(sub, p))
			naive_link_at(sub, p, tail_of(p), false);
	}
}

static void naive_links(size_t i)
{
	struct naive_sub *sub = &subs[i];
	size_t p = below(PATHS);

	if (below(2)) {
		assert_int_equal(sub_link(COMMAND_SUB_LINK, sub->in.id, paths[p]), sub->there ? OUTCOME_OK : OUTCOME_NOT_FOUND);
		if (sub->there)
			naive_link_at(sub, p, tail_of(p), true);
		return;
	}
	assert_int_equal(sub_link(COMMAND_SUB_UNLINK, sub->in.id, paths[p]), sub->there ? OUTCOME_OK : OUTCOME_NOT_FOUND);
	if (sub->links[p].is_explicit) {
		sub->links[p].is_explicit = false;
		sub->links[p].linked = streams[p].number && matches(sub, p);
	}
}

/* Its own wakes come to a stream, too: how many is the sequencer's to say, and looked at as the others' are. */
static void naive_grown(size_t p, uint64_t count)
{
	for (size_t i = 0; i < SUBS && count && !streams[p].count; i++) {
		if (subs[i].there && matches(&subs[i], p))
			naive_link_at(&subs[i], p, 0, false);
	}
	streams[p].count += count;
}

static void naive_wakes_written(void)
{
	struct stream_read_in in = {.path = paths[PATHS - 1], .look = true};
	struct ask ask;

	if (read_as(in, &ask, 0) == OUTCOME_OK && streams[PATHS - 1].number)
		naive_grown(PATHS - 1, ask.c.out.stream->next_offset - streams[PATHS - 1].count);
	ask_deinit(&ask);
}

static void naive_stream_made(size_t p)
{
	assert_int_equal(make_stream(paths[p]), streams[p].number ? OUTCOME_SAME : OUTCOME_OK);
	if (streams[p].number)
		return;
	streams[p] = (struct naive_stream){.number = number_of(paths[p])};
	for (size_t i = 0; i < SUBS; i++) {
		if (subs[i].there && subs[i].links[p].linked)
			subs[i].links[p].number = streams[p].number;
	}
}

static void naive_stream_gone(size_t p)
{
	assert_int_equal(delete (paths[p]), streams[p].number ? OUTCOME_OK : OUTCOME_NOT_FOUND);
	streams[p] = (struct naive_stream){0};
	for (size_t i = 0; i < SUBS; i++) {
		struct naive_link *link = &subs[i].links[p];

		*link = (struct naive_link){.linked = link->is_explicit, .is_explicit = link->is_explicit};
	}
}

static void naive_streams(void)
{
	size_t p = below(PATHS);

	switch (below(12)) {
	case 0:
		naive_stream_gone(p);
		break;
	case 1:
	case 2:
		naive_stream_made(p);
		break;
	default:
		if (p == PATHS - 1) /* its records are wakes */
			break;
		assert_int_equal(add_to(paths[p], 2), streams[p].number ? OUTCOME_OK : OUTCOME_NOT_FOUND);
		if (streams[p].number)
			naive_grown(p, 2);
		break;
	}
}

/* What the one who holds the last wake may expect; `now` is how it stands. */
static enum outcome naive_judge(const struct naive_sub *sub, const struct subscription_view *now)
{
	if (!now)
		return OUTCOME_NOT_FOUND;
	if (now->number != sub->held->number)
		return OUTCOME_TOKEN;
	return now->in_flight && now->generation == sub->held->generation ? OUTCOME_OK : OUTCOME_FENCED;
}

static bool is_pending(const struct naive_sub *sub)
{
	bool pending = false;

	for (size_t p = 0; p < PATHS; p++)
		pending |= sub->links[p].linked && sub->links[p].acked < tail_of(p);
	return pending;
}

static void naive_ack(struct naive_sub *sub, const struct subscription_view *now)
{
	size_t p = below(PATHS);
	struct naive_link *link = &sub->links[p];
	struct subscription_ack ack = {paths[p], streams[p].number + (below(8) == 0), tail_of(p) + 1 - below(4)};
	enum outcome outcome = naive_judge(sub, now);
	bool done = below(2), next;

	if (outcome == OUTCOME_OK &&
	    (!link->linked || !link->number || ack.number != link->number || ack.offset < link->acked || ack.offset > tail_of(p)))
		outcome = OUTCOME_RANGE;
	assert_int_equal(sub_ack(ack_of(sub->held, &ack, done), &next), outcome);
	if (outcome != OUTCOME_OK)
		return;
	link->acked = ack.offset;
	assert_int_equal(next, done && is_pending(sub));
}

static void naive_hooked(struct naive_sub *sub, const struct subscription_view *now)
{
	enum hook_result result = (enum hook_result)below(3);
	enum outcome outcome = naive_judge(sub, now);

	assert_int_equal(sub_hooked(sub->held, result), outcome == OUTCOME_OK ? OUTCOME_OK : OUTCOME_FENCED);
	for (size_t i = 0; i < sub->held->stream_count && outcome == OUTCOME_OK && result == HOOK_DONE; i++) {
		const struct subscription_stream_view *told = &sub->held->streams[i];

		for (size_t p = 0; p < PATHS; p++) {
			struct naive_link *link = &sub->links[p];

			if (link->linked && link->number && link->number == told->number && told->has_pending &&
			    told->tail_offset > link->acked)
				link->acked = told->tail_offset;
		}
	}
}

static void naive_claim(struct naive_sub *sub, const struct subscription_view *now)
{
	struct subscription_view *view;
	bool pending = is_pending(sub);
	enum outcome outcome = sub_claim(sub->in.id, &view);

	if (!now)
		assert_int_equal(outcome, OUTCOME_NOT_FOUND);
	else if (sub->in.type != SUBSCRIPTION_PULL)
		assert_int_equal(outcome, OUTCOME_TYPE);
	else
		assert_int_equal(outcome, now->holder.len ? OUTCOME_BUSY : pending ? OUTCOME_OK : OUTCOME_EMPTY);
	subscription_view_free(outcome == OUTCOME_OK ? sub->held : view);
	sub->held = outcome == OUTCOME_OK ? view : sub->held;
}

static void naive_worker(size_t i)
{
	struct naive_sub *sub = &subs[i];
	struct subscription_view *now = sub_look(sub->in.id);

	if (below(4) == 0 || !sub->held)
		naive_claim(sub, now);
	else if (sub->in.type == SUBSCRIPTION_PULL && below(4) == 0)
		assert_int_equal(sub_release(ack_of(sub->held, NULL, false)), naive_judge(sub, now));
	else if (sub->in.type == SUBSCRIPTION_WEBHOOK && below(2))
		naive_hooked(sub, now);
	else
		naive_ack(sub, now);
	subscription_view_free(now);
}

/* --- it is as the list says --- */

static void take_hooks(void)
{
	struct subscription_view *view;

	while ((view = hook_take(&f))) {
		for (size_t i = 0; i < SUBS; i++) {
			if (slice_eq(subs[i].in.id, view->id)) {
				subscription_view_free(subs[i].held);
				subs[i].held = view;
			}
		}
	}
}

static void expect_link(const struct naive_sub *sub, const struct subscription_stream_view *view)
{
	for (size_t p = 0; p < PATHS; p++) {
		const struct naive_link *link = &sub->links[p];

		if (!slice_eq(view->path, paths[p]))
			continue;
		assert_true(link->linked && link->is_explicit == view->is_explicit && link->number == view->number);
		assert_true(link->acked == view->acked_offset);
		assert_true(!link->number || tail_of(p) == view->tail_offset);
		return;
	}
	fail_msg("a link that nobody made");
}

static void expect_sub(struct naive_sub *sub)
{
	struct subscription_view *view = sub_look(sub->in.id);
	size_t linked = 0;

	assert_int_equal(view != NULL, sub->there);
	if (!view)
		return;
	for (size_t p = 0; p < PATHS; p++)
		linked += sub->links[p].linked;
	assert_int_equal(view->stream_count, linked);
	for (size_t i = 0; i < view->stream_count; i++)
		expect_link(sub, &view->streams[i]);
	/* Nothing pending is forgotten: it is told, or put off, and by no more than a minute and its jitter. */
	assert_true(!is_pending(sub) || view->in_flight || view->next_attempt_ms > f.now_ms);
	assert_true(view->next_attempt_ms <= f.now_ms + 72000);
	assert_true(view->generation == sub->generation || view->generation == sub->generation + 1 ||
		    view->generation == sub->generation + 2);
	assert_true(!view->lease_until_ms || (view->in_flight && view->lease_until_ms > f.now_ms));
	assert_true(view->in_flight || !view->holder.len);
	sub->generation = view->generation;
	subscription_view_free(view);
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
}

/* The journal may end anywhere: what comes up is sound, and nothing pending is forgotten. */
static void expect_sound_after_a_crash(void)
{
	size_t entries = f.entry_count;

	f.entry_count -= below(entries < 40 ? entries : 40);
	fixture_twin(&f, &twin, false);
	f.entry_count = entries;
	fixture_later(&twin, 0);
	list_each (node, &twin.s->subs.all) {
		const struct subscription *subscription = container_of(node, struct subscription, peers);

		assert_true(list_empty(&subscription->pending) || subscription->flags & SUB_FLIGHT ||
			    subscription->next_attempt_ms > twin.now_ms);
		for (struct stream *stream = stream_next_after(&twin.s->streams, 0); stream;
		     stream = stream_next_after(&twin.s->streams, stream->number)) {
			if (stream->next_offset > 0 && subscription_matches(subscription, stream_path(stream)))
				assert_non_null(link_find(&twin.s->subs, subscription, stream_path(stream)));
		}
	}
	fixture_deinit(&twin);
}

static void step(void)
{
	size_t i = below(SUBS);

	switch (below(16)) {
	case 0:
		naive_create(i);
		break;
	case 1:
		if (below(5))
			break;
		assert_int_equal(sub_tell(COMMAND_SUB_DELETE, subs[i].in.id), subs[i].there ? OUTCOME_OK : OUTCOME_NOT_FOUND);
		subs[i].there = false;
		memset(subs[i].links, 0, sizeof(subs[i].links));
		break;
	case 2:
		naive_links(i);
		break;
	case 3:
		fixture_later(&f, below(4000));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		naive_streams();
		break;
	default:
		naive_worker(i);
		break;
	}
	naive_wakes_written();
}

/* When receivers do what they should, all is acked in the end. */
static void settle_all(void)
{
	for (unsigned round = 0; round < 8; round++) {
		fixture_later(&f, 100000); /* leases are over, and what was put off is told */
		take_hooks();
		for (size_t i = 0; i < SUBS; i += 2)
			(void)(subs[i].held && sub_hooked(subs[i].held, HOOK_DONE));
	}
	for (size_t i = 0; i < SUBS; i++) {
		struct subscription_view *view = sub_look(subs[i].in.id);

		for (size_t s = 0; view && view->type == SUBSCRIPTION_WEBHOOK && s < view->stream_count; s++)
			assert_false(view->streams[s].has_pending);
		subscription_view_free(view);
	}
}

static void a_random_life(void **state)
{
	(void)state;
	dice = test_random_start("subscriptions");
	for (unsigned n = 0; n < STEPS; n++) {
		step();
		take_hooks();
		for (size_t i = 0; i < SUBS; i++)
			expect_sub(&subs[i]);
		if (n % 7 == 0)
			(void)fixture_checkpoint(&f, 1 + (unsigned)below(2));
		if (n % 100 == 99)
			expect_sound_after_a_crash();
		if (n % 60 == 59) {
			expect_same_state(false);
			while (fixture_checkpoint(&f, 100))
				;
			step();
			take_hooks();
			expect_same_state(true);
			fixture_checkpoint_drop(&f);
		}
		fixture_drop_sent(&f);
	}
	settle_all();
}

/* --- without memory --- */

static struct subscription_view *held;

static enum outcome life_create(void)
{
	struct subscription_in in = subs[2].in;

	in.pattern = SLICE("**");
	return sub_create(in);
}

static enum outcome life_link(void)
{
	return sub_link(COMMAND_SUB_LINK, sub_a, paths[3]);
}

static enum outcome life_unlink(void)
{
	return sub_link(COMMAND_SUB_UNLINK, sub_a, paths[3]);
}

static enum outcome life_hooked(void)
{
	return sub_hooked(held, HOOK_FAILED);
}

static enum outcome life_ack(void)
{
	struct subscription_ack ack = {path_a, held->streams[0].number, 1};

	return sub_ack(ack_of(held, &ack, true), NULL);
}

static enum outcome life_claim(void)
{
	struct subscription_view *view;
	enum outcome outcome = sub_claim(subs[1].in.id, &view);

	subscription_view_free(outcome == OUTCOME_OK ? held : view);
	held = outcome == OUTCOME_OK ? view : held;
	return outcome;
}

static enum outcome life_release(void)
{
	return sub_release(ack_of(held, NULL, false));
}

static enum outcome life_delete(void)
{
	return sub_tell(COMMAND_SUB_DELETE, sub_a);
}

/* Repeats it with each allocation failing; whoever hears so has changed nothing. */
static void until_it_works(enum outcome (*tell)(void), bool to_the_letter)
{
	for (uint64_t n = 1;; n++) {
		enum outcome outcome;

		fixture_dump(&f, &mine);
		mem_fail_nth(n);
		outcome = tell();
		mem_fail_nth(0);
		sequencer_check(f.s);
		if (outcome == OUTCOME_OK)
			break;
		assert_int_equal(outcome, OUTCOME_NO_MEMORY);
		fixture_dump(&f, &other);
		if (to_the_letter) {
			assert_int_equal(mine.len, other.len);
			assert_memory_equal(mine.ptr, other.ptr, mine.len);
		} else {
			assert_null(sub_look(subs[2].in.id)); /* its number is used up */
		}
	}
}

static void every_allocation(void **state)
{
	(void)state;
	make_stream(paths[5]);
	make_stream(path_a);
	sub_create(hook_of(sub_a));
	until_it_works(life_create, false);
	until_it_works(life_link, true);
	until_it_works(life_unlink, true);
	add_to(path_a, 1);
	held = hook_take(&f);
	if (!slice_eq(held->id, sub_a)) {
		subscription_view_free(held);
		held = hook_take(&f);
	}
	until_it_works(life_hooked, true);
	until_it_works(life_ack, true);
	sub_create(pull_of(subs[1].in.id));
	add_to(path_a, 1);
	until_it_works(life_claim, true);
	until_it_works(life_release, true);
	until_it_works(life_delete, true);
	held = subscription_view_free(held);
	expect_same_state(false);
	fixture_drop_sent(&f);
}

/* What follows from an append may fail without anybody hearing of it; it is made good. */
static void an_append_without_memory_wakes_later(void **state)
{
	(void)state;
	for (uint64_t n = 1, seen = 0; seen < 3; n++) {
		struct subscription_view *view;
		enum outcome outcome;

		sub_create(hook_of(sub_a));
		make_stream(path_a);
		mem_fail_nth(n);
		outcome = add_to(path_a, 1);
		mem_fail_nth(0);
		sequencer_check(f.s);
		fixture_later(&f, 1000);
		fixture_later(&f, 1000);
		view = hook_take(&f);
		assert_int_equal(view != NULL, outcome == OUTCOME_OK);
		assert_true(!view || (view->stream_count == 1 && view->streams[0].acked_offset == 0));
		seen = outcome == OUTCOME_OK && view->generation == 1 && view->lease_until_ms == f.now_ms + 3000 ? seen + 1 : 0;
		subscription_view_free(view);
		delete (path_a);
		sub_tell(COMMAND_SUB_DELETE, sub_a);
		expect_same_state(false);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_random_life),
		TEST(every_allocation),
		TEST(an_append_without_memory_wakes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
