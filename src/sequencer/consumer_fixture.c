#include "sequencer/consumer_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"

struct reader a, b, c;
static struct fixture twin;
static struct buf other;

static const char topic_names[READER_TOPICS] = {'t', 'u', 'v', 'w'};

struct reader reader_of(const char *name, const char *topics)
{
	return (struct reader){.name = name, .topics = topics, .rebalance_ms = REBALANCE_MS};
}

places_mask all_of(unsigned topic, uint32_t partitions)
{
	places_mask mask = 0;

	for (uint32_t p = 0; p < partitions; p++)
		mask |= place_bit(topic, p);
	return mask;
}

unsigned count_of(places_mask mask)
{
	return (unsigned)__builtin_popcountll(mask);
}

static places_mask mask_of(const struct consumer_places_view *view)
{
	places_mask mask = 0;

	for (uint32_t i = 0; i < view->count; i++) {
		const char *name = memchr(topic_names, view->topics[i].name.ptr[0], READER_TOPICS);

		assert_non_null(name);
		assert_true(topic_find_id(&f.s->topics, &view->topics[i].id) == topic_find(&f.s->topics, view->topics[i].name));
		for (uint32_t p = 0; p < view->topics[i].count; p++)
			mask |= place_bit((unsigned)(name - topic_names), (unsigned)view->topics[i].partitions[p]);
	}
	return mask;
}

static size_t owned_of(places_mask mask, struct consumer_owned *owned, int32_t partitions[][READER_PARTITIONS])
{
	size_t count = 0;

	for (unsigned t = 0; t < READER_TOPICS; t++) {
		const struct topic *topic = topic_find(&f.s->topics, slice_from(&topic_names[t], 1));
		struct consumer_owned *one = &owned[count];

		*one = (struct consumer_owned){.partitions = partitions[count]};
		for (int32_t p = 0; p < READER_PARTITIONS; p++) {
			if (mask & place_bit(t, (unsigned)p))
				partitions[count][one->count++] = p;
		}
		if (topic)
			one->topic = topic->id;
		count += one->count > 0;
	}
	return count;
}

struct consumer_beat beat_of(const struct reader *reader)
{
	return (struct consumer_beat){
		.group = a_group,
		.member = slice_str(reader->id),
		.epoch = reader->epoch,
		.instance = reader->instance,
		.client_id = slice_str(reader->name),
		.client_host = SLICE("/127.0.0.1"),
		.rebalance_ms = -1,
	};
}

static void hear(struct reader *reader, const struct consumers_view *view)
{
	assert_non_null(view);
	assert_int_equal(view->count, 1);
	assert_int_equal(view->interval_ms, f.config.consumer_beat_ms);
	assert_true(view->at[0].id.len < sizeof(reader->id));
	memset(reader->id, 0, sizeof(reader->id));
	memcpy(reader->id, view->at[0].id.ptr, view->at[0].id.len);
	reader->epoch = (int32_t)view->at[0].epoch;
	reader->moved = view->has_assigned;
	if (view->has_assigned)
		reader->told = mask_of(&view->at[0].assigned);
	reader->has |= reader->told;
}

enum outcome reader_say(struct reader *reader, struct consumer_beat beat, bool says_owned)
{
	struct consumer_owned owned[READER_TOPICS];
	int32_t partitions[READER_TOPICS][READER_PARTITIONS];
	struct ask ask = {.c = {.kind = COMMAND_CONSUMER_BEAT, .in.consumer_beat = {.beat = beat}}};
	enum outcome outcome;

	ask.c.in.consumer_beat.beat.has_owned = says_owned;
	ask.c.in.consumer_beat.owned = owned;
	ask.c.in.consumer_beat.owned_count = says_owned ? owned_of(reader->has, owned, partitions) : 0;
	outcome = fixture_ask(&f, &ask, 0);
	if (outcome == OUTCOME_OK && beat.epoch >= 0)
		hear(reader, ask.c.out.consumers);
	ask_deinit(&ask);
	return outcome;
}

static enum outcome say_all(struct reader *reader, int32_t epoch)
{
	struct slice topics[8], rest = slice_str(reader->topics);
	struct consumer_beat beat = beat_of(reader);

	beat.epoch = epoch;
	beat.rebalance_ms = (int32_t)reader->rebalance_ms;
	beat.regex = reader->regex;
	beat.assignor = reader->assignor;
	beat.topics = topics;
	beat.has_topics = reader->topics;
	while (rest.len)
		topics[beat.topic_count++] = slice_cut(&rest, ',');
	return reader_say(reader, beat, true);
}

enum outcome reader_join(struct reader *reader)
{
	reader->has = reader->told = 0;
	return say_all(reader, CONSUMER_JOINS);
}

enum outcome reader_repeat(struct reader *reader)
{
	reader->has &= reader->told;
	return say_all(reader, reader->epoch);
}

enum outcome reader_beat(struct reader *reader)
{
	return reader_say(reader, beat_of(reader), false);
}

enum outcome reader_obey(struct reader *reader)
{
	reader->has &= reader->told;
	return reader_say(reader, beat_of(reader), true);
}

static enum outcome go(struct reader *reader, int32_t how)
{
	struct consumer_beat beat = beat_of(reader);

	beat.epoch = how;
	reader->has = reader->told = 0;
	return reader_say(reader, beat, false);
}

enum outcome reader_leave(struct reader *reader)
{
	return go(reader, reader->instance.len ? CONSUMER_PAUSES : CONSUMER_LEAVES);
}

enum outcome reader_quit(struct reader *reader)
{
	return go(reader, CONSUMER_LEAVES);
}

enum outcome reader_commit(struct reader *reader, uint64_t offset)
{
	struct group_place place = {.topic = a_topic, .offset = offset, .leader_epoch = -1};

	return commit_as((struct group_commit_in){
		{.group = a_group, .member = slice_str(reader->id), .generation = reader->epoch}, &place, 1});
}

static enum outcome change(enum command_kind kind, const char *name, uint32_t partitions)
{
	struct topic_change changed = {.topic.name = slice_str(name), .partitions = partitions};
	struct ask ask = {.c = {.kind = kind, .in.topics_change = {.changes = &changed, .count = 1}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
	return changed.outcome;
}

enum outcome topic_make(const char *name, uint32_t partitions)
{
	bool is_there = topic_find(&f.s->topics, slice_str(name));

	return change(is_there ? COMMAND_TOPIC_PARTITIONS : COMMAND_TOPIC_CREATE, name, partitions);
}

enum outcome topic_drop(const char *name)
{
	return change(COMMAND_TOPIC_DELETE, name, 0);
}

void expect_group(enum group_state state, uint32_t epoch)
{
	struct ask ask = {.c = {.kind = COMMAND_GROUP_GET, .in.group.group = a_group}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	assert_int_equal(ask.c.out.group->state, state);
	assert_true(ask.c.out.group->is_consumer);
	if (epoch)
		assert_int_equal(ask.c.out.group->generation, epoch);
	ask_deinit(&ask);
}

int readers_setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.consumer_session_ms = SESSION_MS;
	fixture_start(&f);
	a = reader_of("a", "t");
	b = reader_of("b", "t");
	c = reader_of("c", "t");
	assert_int_equal(topic_make("t", 4), OUTCOME_OK);
	return 0;
}

int readers_teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
}

void expect_replays(void)
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

void ok(enum outcome outcome)
{
	assert_int_equal(outcome, OUTCOME_OK);
}

void two_in(void)
{
	ok(reader_join(&a));
	ok(reader_join(&b));
	ok(reader_beat(&a));
	ok(reader_obey(&a));
	ok(reader_beat(&b));
	assert_int_equal(a.has | b.has, all_of(0, 4));
	assert_int_equal(a.has & b.has, 0);
	assert_int_equal(count_of(a.has), 2);
	expect_group(GROUP_STABLE, 0);
}
