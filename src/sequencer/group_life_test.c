/* A random life of a group in virtual time: members join, leave, crash, lose their connections, and the server restarts; without
 * memory now and then. What must hold meanwhile:
 *
 *  1. there is one generation at a time, with one leader, whom all of it name alike;
 *  2. each member gets what its generation's leader assigned to it;
 *  3. nobody waits beyond the rebalance timeout;
 *  4. who beats or commits with success is in the present generation, and nobody else's commits count;
 *  5. the journal and a checkpoint, replayed, are the state. */
#include "sequencer/group_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

enum { MEMBERS = 6, STEPS = 6000, STEP_MS = 3000, PARTITIONS = 2 };
enum phase { OUT, JOINING, JOINED, SYNCING, IN, CRASHED };

struct life {
	struct client client;
	enum phase phase;
	uint64_t since_ms; /* when it asked what it waits for; CRASHED: until when it does nothing */
};

static struct life lives[MEMBERS];
static struct {
	int32_t generation;
	char leader[GROUP_MEMBER_ID_MAX + 1];
	bool led; /* the leader has heard that it leads */
} seen;           /* of the newest generation that was told */
static uint64_t offsets[PARTITIONS];
static uint64_t generations, restarts, refused;
static bool short_of_memory; /* in this step */
static struct test_random dice;
static struct fixture twin;
static struct buf other;

static size_t below(size_t bound)
{
	return test_random_below(&dice, bound);
}

static const struct group *the_group(void)
{
	return group_find(&f.s->groups, a_group);
}

/* --- what is told --- */

static void forget_id(struct life *life)
{
	memset(life->client.id, 0, sizeof(life->client.id));
	life->client.generation = -1;
	life->phase = OUT;
}

/* Anything but success. */
static void on_error(struct life *life, enum outcome outcome)
{
	refused++;
	life->phase = OUT;
	switch ((unsigned)outcome) {
	case OUTCOME_NO_MEMBER:
		forget_id(life);
		return;
	case OUTCOME_GENERATION:
	case OUTCOME_REBALANCING:
	case OUTCOME_CANCELED:
	case OUTCOME_MEMBER_ID:
		return;
	case OUTCOME_NO_MEMORY:
		assert_true(short_of_memory);
		return;
	default:
		fail_msg("outcome %u", (unsigned)outcome);
	}
}

static void on_joined(struct life *life)
{
	const struct group_view *view = life->client.join.c.out.group;
	bool leads = slice_eq(view->leader, client_id(&life->client));

	life->phase = JOINED;
	assert_int_equal(view->generation, the_group()->generation);
	if (life->client.generation > seen.generation) {
		seen.generation = life->client.generation;
		seen.led = false;
		memset(seen.leader, 0, sizeof(seen.leader));
		memcpy(seen.leader, view->leader.ptr, view->leader.len);
		generations++;
	}
	assert_int_equal(life->client.generation, seen.generation);
	if (view->skip_assignment) { /* a static leader that came back has another id */
		assert_true(leads);
		memset(seen.leader, 0, sizeof(seen.leader));
		memcpy(seen.leader, view->leader.ptr, view->leader.len);
	}
	assert_true(slice_eq(view->leader, slice_str(seen.leader)));
	assert_int_equal(view->member_count > 0, leads);
	assert_true(view->member_count <= MEMBERS);
}

static void on_synced(struct life *life)
{
	struct slice got = life->client.sync.c.out.group->assignment;
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%d:", life->client.generation);
	assert_true(slice_starts_with(got, slice_str(prefix)));
	got = slice_from(got.ptr + strlen(prefix), got.len - strlen(prefix));
	/* A static one has what its predecessor was assigned. */
	assert_true(life->client.instance.len || slice_eq(got, client_id(&life->client)));
	life->phase = IN;
}

static void after(struct life *life, enum outcome outcome)
{
	if (outcome == OUTCOME_PARKED)
		assert_true(f.now_ms - life->since_ms <= REBALANCE_MS + STEP_MS + 1000);
	else if (outcome != OUTCOME_OK)
		on_error(life, outcome);
	else if (life->phase == JOINING)
		on_joined(life);
	else
		on_synced(life);
}

static void look(void)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		if (lives[i].phase == JOINING)
			after(&lives[i], client_joined(&lives[i].client));
		else if (lives[i].phase == SYNCING)
			after(&lives[i], client_synced(&lives[i].client));
		else if (lives[i].phase == CRASHED && lives[i].since_ms <= f.now_ms)
			forget_id(&lives[i]);
	}
}

/* --- what they do --- */

static void join(struct life *life)
{
	life->phase = JOINING;
	life->since_ms = f.now_ms;
	client_come(&life->client);
}

static void sync(struct life *life)
{
	char what[16];

	snprintf(what, sizeof(what), "%d:", life->client.generation);
	life->phase = SYNCING;
	life->since_ms = f.now_ms;
	client_sync(&life->client, what);
}

static bool is_present(const struct life *life)
{
	return life->client.generation >= 0 && (uint32_t)life->client.generation == the_group()->generation;
}

static void commit(struct life *life)
{
	uint32_t partition = (uint32_t)below(PARTITIONS);
	uint64_t offset = below(1000);
	enum outcome outcome = client_commit(&life->client, partition, offset);

	if (outcome == OUTCOME_OK) {
		assert_true(is_present(life));
		offsets[partition] = offset;
	} else {
		on_error(life, outcome);
	}
}

static void beat(struct life *life)
{
	enum outcome outcome = client_beat(&life->client);

	if (outcome == OUTCOME_OK)
		assert_true(is_present(life));
	else
		on_error(life, outcome);
}

static void crash(struct life *life)
{
	if (below(2))
		client_gone(&life->client);
	if (life->client.joins || life->client.syncs)
		return; /* its connection stands: it waits on */
	life->phase = CRASHED;
	life->since_ms = f.now_ms + below(3 * SESSION_MS);
}

static void leave(struct life *life)
{
	enum outcome outcome = client_leave(&life->client);

	assert_true(outcome == OUTCOME_OK || outcome == OUTCOME_NO_MEMBER);
	forget_id(life);
}

static void lose_connection(struct life *life)
{
	client_gone(&life->client);
	after(life, life->phase == JOINING ? client_joined(&life->client) : client_synced(&life->client));
}

static void act(struct life *life)
{
	switch (life->phase) {
	case OUT:
		join(life);
		break;
	case JOINED:
		sync(life);
		break;
	case IN:
		if (below(40) == 0)
			leave(life);
		else if (below(40) == 0)
			crash(life);
		else if (below(2))
			commit(life);
		else
			beat(life);
		break;
	case JOINING:
	case SYNCING:
		if (below(20) == 0)
			lose_connection(life);
		break;
	case CRASHED:
		break;
	}
}

/* --- the test --- */

static void expect_same_state(void)
{
	for (int from_checkpoint = 0; from_checkpoint < 2; from_checkpoint++) {
		if (from_checkpoint && f.checkpoint_count == 0)
			return;
		while (from_checkpoint && fixture_checkpoint(&f, 1))
			;
		fixture_twin(&f, &twin, from_checkpoint);
		fixture_dump(&f, &mine);
		fixture_dump(&twin, &other);
		assert_int_equal(mine.len, other.len);
		assert_memory_equal(mine.ptr, other.ptr, mine.len);
		fixture_deinit(&twin);
	}
	fixture_checkpoint_drop(&f);
}

static void restart(void)
{
	expect_same_state();
	for (size_t i = 0; i < MEMBERS; i++) {
		struct life *life = &lives[i];

		life->client.joins = life->client.syncs = false;
		if (life->phase == JOINING || life->phase == SYNCING)
			life->phase = OUT;
	}
	fixture_restart(&f);
	restarts++;
}

static void expect_offsets_as_committed(void)
{
	struct group_place places[PARTITIONS] = {{.topic = a_topic}, {.topic = a_topic, .partition = 1}};
	struct ask ask = {.c = {.kind = COMMAND_GROUP_OFFSETS,
				.in.group_offsets = {.group = a_group, .places = places, .count = PARTITIONS}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	for (size_t i = 0; i < PARTITIONS; i++)
		assert_int_equal(ask.c.out.offsets->at[i].offset, offsets[i]);
	ask_deinit(&ask);
}

static void step(unsigned number)
{
	short_of_memory = below(20) == 0;
	if (short_of_memory)
		mem_fail_nth(1 + below(12));
	act(&lives[below(MEMBERS)]);
	mem_fail_nth(0);
	look();
	if (below(3) == 0)
		fixture_later(&f, below(STEP_MS));
	/* What memory was short for is told late, and not as a failure. */
	look();
	short_of_memory = false;
	if (number % 50 == 0 && f.checkpoint_count == 0)
		fixture_checkpoint(&f, 1);
	if (number % 50 == 25)
		expect_offsets_as_committed();
	if (below(700) == 0)
		restart();
	fixture_drop_sent(&f);
}

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_start(&f);
	assert_int_equal(topic_tell(COMMAND_TOPIC_CREATE), OUTCOME_OK);
	for (size_t i = 0; i < MEMBERS; i++)
		lives[i].client = client_of((const char *[]){"a", "b", "c", "d", "e", "f"}[i], i % 2 ? "x,y" : "y,x,z");
	lives[0].client.instance = SLICE("first");
	lives[1].client.instance = SLICE("second");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < MEMBERS; i++) {
		client_gone(&lives[i].client);
		client_deinit(&lives[i].client);
	}
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	return 0;
}

static void a_random_life(void **state)
{
	struct group_place places[PARTITIONS] = {{.topic = a_topic}, {.topic = a_topic, .partition = 1}};

	(void)state;
	dice = test_random_start("group_life");
	assert_int_equal(commit_as((struct group_commit_in){{.group = a_group, .generation = -1}, places, 2}), OUTCOME_OK);
	for (unsigned i = 1; i <= STEPS; i++)
		step(i);
	print_message("%u generations, %u refused, %u restarts\n", (unsigned)generations, (unsigned)refused, (unsigned)restarts);
	assert_true(generations > 20);
	/* Left alone they come to rest: all are in, in one generation. */
	for (unsigned i = 0; i < 400; i++) {
		struct life *life = &lives[i % MEMBERS];

		if (life->phase == IN)
			beat(life);
		else if (life->phase == OUT || life->phase == JOINED)
			act(life);
		look();
		fixture_later(&f, 500);
		look();
	}
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(lives[i].phase, IN);
	expect_same_state();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(a_random_life, setup, teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
