/* Groups, rule by rule. */
#include "sequencer/group_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

static struct client a, b, c;
static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	a = client_of("a", "range,roundrobin");
	b = client_of("b", "roundrobin,range");
	c = client_of("c", "range");
	assert_int_equal(topic_tell(COMMAND_TOPIC_CREATE), OUTCOME_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_gone(&a);
	client_gone(&b);
	client_gone(&c);
	client_deinit(&a);
	client_deinit(&b);
	client_deinit(&c);
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

/* The journal, replayed, is the state; and so is a checkpoint. */
static void expect_replays(void)
{
	for (int from_checkpoint = 0; from_checkpoint < 2; from_checkpoint++) {
		if (from_checkpoint) {
			fixture_checkpoint_drop(&f);
			while (fixture_checkpoint(&f, 1))
				;
		}
		fixture_twin(&f, &twin, from_checkpoint);
		fixture_dump(&f, &mine);
		fixture_dump(&twin, &other);
		assert_int_equal(mine.len, other.len);
		assert_memory_equal(mine.ptr, other.ptr, mine.len);
		fixture_deinit(&twin);
	}
}

static void restart(void)
{
	fixture_restart(&f);
	a.joins = a.syncs = b.joins = b.syncs = c.joins = c.syncs = false;
}

static struct slice assignment(const struct client *client)
{
	return client->sync.c.out.group->assignment;
}

static void expect_assigned(const struct client *client, const char *what)
{
	struct slice got = assignment(client);

	assert_true(slice_starts_with(got, slice_str(what)));
	assert_true(slice_eq(slice_from(got.ptr + strlen(what), got.len - strlen(what)), client_id(client)));
}

/* a leads, b follows, both are in. */
static void two_are_in(void)
{
	assert_int_equal(client_come(&a), OUTCOME_OK);
	assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
	assert_int_equal(client_come(&b), OUTCOME_PARKED);
	assert_int_equal(client_beat(&a), OUTCOME_REBALANCING);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
	assert_int_equal(client_sync(&b, "-"), OUTCOME_PARKED);
	assert_int_equal(client_sync(&a, "2:"), OUTCOME_OK);
	assert_int_equal(client_synced(&b), OUTCOME_OK);
}

static void a_first_member_asks_for_an_id_and_leads(void **state)
{
	const struct group_view *view;

	(void)state;
	assert_int_equal(client_join(&a), OUTCOME_MEMBER_ID);
	assert_int_equal(f.s->groups.count, 0); /* nothing is kept of who only asked */
	assert_true(slice_starts_with(client_id(&a), SLICE("a-")));
	assert_int_equal(client_id(&a).len, 2 + 36);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	view = a.join.c.out.group;
	assert_int_equal(view->generation, 1);
	assert_true(slice_eq(view->leader, client_id(&a)) && slice_eq(view->protocol, SLICE("range")));
	assert_true(slice_eq(view->protocol_type, SLICE("consumer")));
	assert_int_equal(view->member_count, 1);
	assert_true(slice_eq(view->members[0].metadata, SLICE("range of a")));
	assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
	expect_assigned(&a, "1:");
	assert_int_equal(client_beat(&a), OUTCOME_OK);
	expect_replays();
}

static void an_id_is_ours_or_nobody(void **state)
{
	(void)state;
	snprintf(a.id, sizeof(a.id), "%s", "a-01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(client_join(&a), OUTCOME_NO_MEMBER);
	a.id[0] = 0;
	assert_int_equal(client_come(&a), OUTCOME_OK);
	/* Of another group, or changed. */
	assert_false(member_id_known(f.s, SLICE("others"), client_id(&a)));
	assert_true(member_id_known(f.s, a_group, client_id(&a)));
	a.id[0] = 'b';
	assert_false(member_id_known(f.s, a_group, client_id(&a)));
	assert_int_equal(client_join(&a), OUTCOME_NO_MEMBER);
	assert_int_equal(client_beat(&a), OUTCOME_NO_MEMBER);
	a.id[0] = 'a';
	assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
}

static void a_second_one_makes_all_join_again(void **state)
{
	const struct group_view *view;

	(void)state;
	two_are_in();
	assert_int_equal(a.generation, 2);
	assert_int_equal(b.generation, 2);
	view = a.join.c.out.group;
	assert_int_equal(view->member_count, 2);
	assert_true(slice_eq(b.join.c.out.group->leader, client_id(&a)));
	assert_int_equal(b.join.c.out.group->member_count, 0);
	expect_assigned(&a, "2:");
	expect_assigned(&b, "2:");
	/* Again, as if the answer had been lost. */
	assert_int_equal(client_sync(&b, "-"), OUTCOME_OK);
	expect_assigned(&b, "2:");
	assert_int_equal(client_join(&b), OUTCOME_OK);
	assert_int_equal(b.generation, 2);
	expect_replays();
}

static void a_protocol_is_what_all_know(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_come(&c), OUTCOME_PARKED);
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_OK);
	assert_true(slice_eq(b.join.c.out.group->protocol, SLICE("range")));
	c.protocols = "sticky";
	client_joined(&c);
	assert_int_equal(client_join(&c), OUTCOME_PROTOCOL);
	c.protocols = "";
	assert_int_equal(client_join(&c), OUTCOME_PROTOCOL);
}

static void who_does_not_join_again_is_out(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_come(&c), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_PARKED);
	for (uint64_t ms = 0; ms + 1000 < REBALANCE_MS; ms += 5000) {
		assert_int_equal(client_joined(&c), OUTCOME_PARKED);
		assert_int_equal(client_beat(&a), OUTCOME_REBALANCING); /* alive, but it does not come */
		fixture_later(&f, 5000);
	}
	assert_int_equal(client_joined(&c), OUTCOME_OK);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
	assert_int_equal(b.join.c.out.group->member_count, 2);
	assert_int_equal(client_beat(&a), OUTCOME_NO_MEMBER);
	assert_int_equal(client_commit(&a, 0, 1), OUTCOME_NO_MEMBER);
	assert_int_equal(client_sync(&c, "-"), OUTCOME_PARKED);
	/* Who leads does not divide: it is out, too, and the other one begins anew. */
	for (uint64_t ms = 0; ms < REBALANCE_MS; ms += 5000) {
		assert_int_equal(client_synced(&c), OUTCOME_PARKED);
		client_beat(&b);
		fixture_later(&f, 5000);
	}
	assert_int_equal(client_synced(&c), OUTCOME_REBALANCING);
	assert_int_equal(client_beat(&b), OUTCOME_NO_MEMBER);
	assert_int_equal(client_join(&c), OUTCOME_OK);
	assert_int_equal(c.join.c.out.group->member_count, 1);
}

static void who_is_silent_is_out(void **state)
{
	(void)state;
	two_are_in();
	fixture_later(&f, SESSION_MS - 1);
	assert_int_equal(client_beat(&a), OUTCOME_OK);
	fixture_later(&f, 1);
	assert_int_equal(client_beat(&a), OUTCOME_REBALANCING);
	assert_int_equal(client_beat(&b), OUTCOME_NO_MEMBER);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(a.generation, 3);
	fixture_later(&f, SESSION_MS);
	assert_int_equal(f.s->groups.member_count, 0);
	expect_replays();
}

static void who_leaves_makes_room(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_leave(&a), OUTCOME_OK);
	assert_int_equal(client_leave(&a), OUTCOME_NO_MEMBER);
	assert_int_equal(client_beat(&b), OUTCOME_REBALANCING);
	assert_int_equal(client_join(&b), OUTCOME_OK);
	assert_true(slice_eq(b.join.c.out.group->leader, client_id(&b)));
	assert_int_equal(client_leave(&b), OUTCOME_OK);
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_OK);
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_NOT_FOUND);
	expect_replays();
}

static void a_client_that_goes_waits_no_more(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_come(&c), OUTCOME_PARKED);
	client_gone(&c); /* it knows its id: it may come back, until its session is over */
	assert_int_equal(c.join.c.outcome, OUTCOME_CANCELED);
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_PARKED);
	fixture_later(&f, SESSION_MS);
	assert_int_equal(client_joined(&a), OUTCOME_OK);
	assert_int_equal(a.join.c.out.group->member_count, 2);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
	assert_int_equal(client_sync(&b, "-"), OUTCOME_PARKED);
	client_gone(&b);
	assert_int_equal(client_sync(&a, "3:"), OUTCOME_OK);
	/* It comes back, and asks again. */
	assert_int_equal(client_sync(&b, "-"), OUTCOME_OK);
	expect_assigned(&b, "3:");
	client_gone(&b); /* nothing waits */
}

static void who_never_learned_its_id_is_out_with_its_connection(void **state)
{
	(void)state;
	two_are_in();
	c.instance = SLICE("c1");
	assert_int_equal(client_join(&c), OUTCOME_PARKED);
	client_gone(&c);
	assert_int_equal(f.s->groups.member_count, 2);
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_OK);
}

static void static_members_come_back_without_a_rebalance(void **state)
{
	struct client older;

	(void)state;
	a.instance = SLICE("a1");
	b.instance = SLICE("b1");
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
	assert_int_equal(client_join(&b), OUTCOME_PARKED);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
	assert_int_equal(client_sync(&a, "2:"), OUTCOME_OK);
	assert_int_equal(client_sync(&b, "-"), OUTCOME_OK);
	older = b;
	b.id[0] = 0;
	assert_int_equal(client_join(&b), OUTCOME_OK);
	assert_int_equal(b.generation, 2);
	assert_false(slice_eq(client_id(&older), client_id(&b)));
	assert_int_equal(client_sync(&b, "-"), OUTCOME_OK);
	assert_true(slice_starts_with(assignment(&b), SLICE("2:")));
	assert_int_equal(client_beat(&older), OUTCOME_FENCED);
	assert_int_equal(client_commit(&older, 0, 1), OUTCOME_FENCED);
	assert_int_equal(client_beat(&a), OUTCOME_OK);
	/* The leader, too: it is told who is there, and that nothing is to be done. */
	older = a;
	a.id[0] = 0;
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_true(a.join.c.out.group->skip_assignment);
	assert_int_equal(a.join.c.out.group->member_count, 2);
	assert_true(slice_eq(a.join.c.out.group->leader, client_id(&a)));
	assert_int_equal(client_leave(&older), OUTCOME_FENCED);
	memset(older.id, 0, sizeof(older.id));
	assert_int_equal(client_leave(&older), OUTCOME_OK); /* by its instance alone */
	assert_int_equal(client_beat(&a), OUTCOME_NO_MEMBER);
}

static void offsets_are_for_who_is_in_the_generation(void **state)
{
	struct group_place places[] = {
		{.topic = a_topic, .partition = 1, .offset = 7, .leader_epoch = 0, .metadata = SLICE("so far")},
		{.topic = a_topic, .partition = 9, .offset = 1},
	};
	struct client nobody = client_of("", "range");

	(void)state;
	two_are_in();
	assert_int_equal(client_commit(&a, 0, 5), OUTCOME_OK);
	assert_int_equal(commit_as((struct group_commit_in){who_of(&b), places, 2}), OUTCOME_OK);
	assert_int_equal(places[0].outcome, OUTCOME_OK);
	assert_int_equal(places[1].outcome, OUTCOME_NOT_FOUND);
	expect_offsets(a_group, "t/0=5 t/1=7:so far ");
	expect_replays();
	a.generation = 1;
	assert_int_equal(client_commit(&a, 0, 6), OUTCOME_GENERATION);
	assert_int_equal(client_beat(&a), OUTCOME_GENERATION);
	assert_int_equal(client_sync(&a, "-"), OUTCOME_GENERATION);
	a.generation = 2;
	assert_int_equal(client_commit(&nobody, 0, 6), OUTCOME_NO_MEMBER);
	assert_int_equal(client_come(&c), OUTCOME_PARKED);
	assert_int_equal(client_commit(&a, 0, 6), OUTCOME_OK); /* before it joins again */
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_OK);
	client_joined(&a);
	assert_int_equal(client_commit(&b, 0, 8), OUTCOME_REBALANCING); /* what it has now nobody knows */
	expect_offsets(a_group, "t/0=6 t/1=7:so far ");
	client_joined(&c);
	client_leave(&a);
	client_leave(&b);
	client_leave(&c);
	assert_int_equal(client_commit(&nobody, 0, 3), OUTCOME_OK); /* set by hand */
	expect_offsets(a_group, "t/0=3 t/1=7:so far ");
	expect_replays();
}

static void offsets_are_let_go(void **state)
{
	struct group_place places[] = {{.topic = a_topic, .partition = 1}, {.topic = a_topic, .partition = 5}};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_FORGET, .in.group_commit = {{.group = a_group}, places, 2}}};
	struct client nobody = client_of("", "range");

	(void)state;
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_NOT_FOUND);
	assert_int_equal(client_commit(&nobody, 0, 3), OUTCOME_OK);
	assert_int_equal(client_commit(&nobody, 1, 4), OUTCOME_OK);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	expect_offsets(a_group, "t/0=3 ");
	expect_replays();
	assert_int_equal(topic_tell(COMMAND_TOPIC_DELETE), OUTCOME_OK);
	expect_offsets(a_group, "");
	expect_replays();
	assert_int_equal(topic_tell(COMMAND_TOPIC_CREATE), OUTCOME_OK);
	assert_int_equal(client_commit(&nobody, 1, 4), OUTCOME_OK);
	expect_replays();
	/* What its members follow nobody else takes from it. */
	a.protocols = "range";
	assert_int_equal(client_come(&a), OUTCOME_OK);
	assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
	assert_int_equal(client_commit(&a, 0, 3), OUTCOME_OK);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(places[0].outcome, OUTCOME_OK); /* what "a" said names no topic */
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_BUSY);
}

static void after_a_restart_members_come_back_as_who_they_were(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_commit(&a, 0, 5), OUTCOME_OK);
	restart();
	assert_int_equal(client_commit(&b, 1, 6), OUTCOME_OK); /* nobody else can have that partition */
	assert_int_equal(client_beat(&a), OUTCOME_REBALANCING);
	assert_int_equal(client_beat(&b), OUTCOME_REBALANCING);
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_BUSY);
	assert_int_equal(client_join(&b), OUTCOME_PARKED); /* the other one is awaited */
	assert_int_equal(client_commit(&a, 0, 7), OUTCOME_OK);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
	assert_int_equal(a.generation, 3);
	expect_offsets(a_group, "t/0=7 t/1=6 ");
	/* Not for longer than its session. */
	restart();
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	fixture_later(&f, SESSION_MS - 1);
	assert_int_equal(client_joined(&a), OUTCOME_PARKED);
	fixture_later(&f, 1);
	assert_int_equal(client_joined(&a), OUTCOME_OK);
	assert_int_equal(client_commit(&b, 1, 9), OUTCOME_NO_MEMBER);
	/* Nobody comes: it is empty. */
	restart();
	fixture_later(&f, SESSION_MS);
	assert_int_equal(client_commit(&a, 0, 9), OUTCOME_NO_MEMBER);
	expect_replays();
	/* One left meanwhile. */
	assert_int_equal(client_join(&a), OUTCOME_OK);
	assert_int_equal(client_sync(&a, "-"), OUTCOME_OK);
	restart();
	assert_int_equal(client_leave(&a), OUTCOME_OK);
	assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_OK);
}

static void the_first_one_waits_for_more_when_told_to(void **state)
{
	(void)state;
	f.config.group_first_delay_ms = 3000;
	sequencer_configure(f.s, &f.config);
	assert_int_equal(client_come(&a), OUTCOME_PARKED);
	fixture_later(&f, 1000);
	assert_int_equal(client_come(&b), OUTCOME_PARKED);
	fixture_later(&f, 1999);
	assert_int_equal(client_joined(&a), OUTCOME_PARKED);
	fixture_later(&f, 1);
	assert_int_equal(client_joined(&a), OUTCOME_OK);
	assert_int_equal(client_joined(&b), OUTCOME_OK);
}

static void limits(void **state)
{
	struct client nobody = client_of("", "range");
	struct group_place place = {.topic = a_topic, .metadata = SLICE("12345")};

	(void)state;
	f.config.groups_max = 1;
	f.config.group_members_max = 2;
	f.config.group_member_bytes_max = 100;
	f.config.group_offsets_max = 1;
	f.config.group_metadata_max = 4;
	sequencer_configure(f.s, &f.config);
	assert_int_equal(commit_as((struct group_commit_in){who_of(&nobody), &place, 1}), OUTCOME_TOO_LARGE);
	assert_int_equal(client_commit(&nobody, 0, 1), OUTCOME_OK);
	assert_int_equal(client_commit(&nobody, 0, 2), OUTCOME_OK);
	assert_int_equal(client_commit(&nobody, 1, 1), OUTCOME_FULL);
	place.metadata = (struct slice){0};
	assert_int_equal(commit_as((struct group_commit_in){{.group = SLICE("more"), .generation = -1}, &place, 1}),
			 OUTCOME_FULL);
	assert_int_equal(commit_as((struct group_commit_in){{.generation = -1}, &place, 1}), OUTCOME_NAME);
	two_are_in();
	assert_int_equal(client_come(&c), OUTCOME_FULL);
	assert_int_equal(client_join(&a), OUTCOME_PARKED); /* who is in may join again: the leader asks for a rebalance */
	c.session_ms = 5999;
	assert_int_equal(client_join(&c), OUTCOME_RANGE);
	c.session_ms = 1800001;
	assert_int_equal(client_join(&c), OUTCOME_RANGE);
	c = client_of("c", "a-protocol-with-quite-a-long-name-indeed,and-another-one-that-is-not-much-shorter-either");
	assert_int_equal(client_join(&c), OUTCOME_TOO_LARGE);
}

static void who_is_not_used_is_gone(void **state)
{
	struct client nobody = client_of("", "range");

	(void)state;
	f.config.group_retention_ms = 24 * 3600 * 1000;
	sequencer_configure(f.s, &f.config);
	assert_int_equal(client_commit(&nobody, 0, 1), OUTCOME_OK);
	fixture_later(&f, f.config.group_retention_ms - 1);
	assert_int_equal(client_commit(&nobody, 0, 2), OUTCOME_OK);
	fixture_later(&f, f.config.group_retention_ms - 1);
	assert_int_equal(group_tell(COMMAND_GROUP_GET, a_group), OUTCOME_OK);
	fixture_later(&f, 1);
	assert_int_equal(group_tell(COMMAND_GROUP_GET, a_group), OUTCOME_NOT_FOUND);
	assert_int_equal(client_come(&a), OUTCOME_OK);
	assert_int_equal(client_leave(&a), OUTCOME_OK);
	fixture_later(&f, 599999);
	assert_int_equal(group_tell(COMMAND_GROUP_GET, a_group), OUTCOME_OK);
	fixture_later(&f, 1); /* without offsets there is nothing to be kept */
	assert_int_equal(group_tell(COMMAND_GROUP_GET, a_group), OUTCOME_NOT_FOUND);
	expect_replays();
}

static void a_full_disk_stops_no_group(void **state)
{
	(void)state;
	two_are_in();
	f.full = true;
	assert_int_equal(client_commit(&a, 0, 1), OUTCOME_NO_SPACE);
	assert_int_equal(client_leave(&b), OUTCOME_OK);
	assert_int_equal(client_join(&a), OUTCOME_OK);
	f.full = false;
}

static void a_failed_journal_answers_all_who_wait(void **state)
{
	(void)state;
	two_are_in();
	assert_int_equal(client_come(&c), OUTCOME_PARKED);
	assert_int_equal(client_join(&b), OUTCOME_PARKED);
	sequencer_fail(f.s);
	fixture_sync(&f);
	assert_int_equal(client_joined(&b), OUTCOME_STORAGE);
	assert_int_equal(client_joined(&c), OUTCOME_STORAGE);
	assert_int_equal(client_join(&a), OUTCOME_STORAGE);
}

/* Nothing is said before it is durable; and an answer that waits for that is not overtaken by its cancel. */
static void nothing_is_told_too_early(void **state)
{
	struct ask cancel = {.c = {.kind = COMMAND_GROUP_CANCEL, .in.group_cancel = {&a.join.c}}};

	(void)state;
	assert_int_equal(client_join(&a), OUTCOME_MEMBER_ID);
	f.hold = true;
	assert_int_equal(client_join(&a), OUTCOME_PARKED);
	fixture_send(&f, &cancel, 0);
	fixture_settle(&f);
	assert_int_equal(a.join.back + cancel.back, 0);
	f.hold = false;
	fixture_settle(&f);
	assert_int_equal(client_joined(&a), OUTCOME_OK);
	assert_int_equal(cancel.back, 1);
	assert_ptr_equal(f.sent[f.sent_count - 1].message, &cancel.c.message);
}

/* A generation that could not begin does so a second later. */
static enum outcome come(void)
{
	enum outcome outcome = client_come(&a);

	if (outcome != OUTCOME_PARKED)
		return outcome;
	fixture_later(&f, 1000);
	return client_joined(&a) == OUTCOME_OK ? OUTCOME_NO_MEMORY : client_joined(&a);
}

/* With each allocation failing: whoever hears so asks again, and comes to the same. */
static void every_allocation(void **state)
{
	(void)state;
	for (uint64_t n = 1, fine = 0; fine < 2; n++) {
		enum outcome outcomes[5];

		a = client_of("a", "range,roundrobin");
		mem_fail_nth(n);
		outcomes[0] = come();
		outcomes[1] = come();
		outcomes[2] = client_sync(&a, "1:");
		outcomes[3] = client_commit(&a, 0, n);
		outcomes[4] = group_tell(COMMAND_GROUP_GET, a_group);
		mem_fail_nth(0);
		sequencer_check(f.s);
		fine++;
		for (size_t i = 0; i < 5; i++)
			fine = outcomes[i] == OUTCOME_OK ? fine : 0;
		if (outcomes[2] != OUTCOME_OK) {
			assert_int_equal(come(), OUTCOME_OK);
			assert_int_equal(client_sync(&a, "1:"), OUTCOME_OK);
		}
		assert_int_equal(client_commit(&a, 0, n + 1000), OUTCOME_OK);
		expect_replays();
		assert_int_equal(client_leave(&a), OUTCOME_OK);
		client_deinit(&a);
		a = client_of("a", "range");
		fixture_drop_sent(&f);
		assert_int_equal(group_tell(COMMAND_GROUP_DELETE, a_group), OUTCOME_OK);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_first_member_asks_for_an_id_and_leads),
		TEST(an_id_is_ours_or_nobody),
		TEST(a_second_one_makes_all_join_again),
		TEST(a_protocol_is_what_all_know),
		TEST(who_does_not_join_again_is_out),
		TEST(who_is_silent_is_out),
		TEST(who_leaves_makes_room),
		TEST(a_client_that_goes_waits_no_more),
		TEST(who_never_learned_its_id_is_out_with_its_connection),
		TEST(static_members_come_back_without_a_rebalance),
		TEST(offsets_are_for_who_is_in_the_generation),
		TEST(offsets_are_let_go),
		TEST(after_a_restart_members_come_back_as_who_they_were),
		TEST(the_first_one_waits_for_more_when_told_to),
		TEST(limits),
		TEST(who_is_not_used_is_gone),
		TEST(a_full_disk_stops_no_group),
		TEST(a_failed_journal_answers_all_who_wait),
		TEST(nothing_is_told_too_early),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
