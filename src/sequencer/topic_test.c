/* Topics as the sequencer keeps them: partitions that come and go with them, what is set of them. */
#include "sequencer/topic_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"
#include "topic/partitioner.h"

static struct fixture twin;
static struct buf other;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f);
	f.config.streams_max = 20;
	f.config.topics_max = 4;
	f.config.topic_partitions_max = 8;
	f.config.producers_max = 3;
	fixture_start(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(f.commands_out, 0);
	assert_int_equal(f.pins, 0);
	fixture_deinit(&f);
	buf_deinit(&mine);
	buf_deinit(&other);
	mine = other = (struct buf){0};
	return 0;
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

static void checkpoint(void)
{
	while (fixture_checkpoint(&f, 2))
		;
}

/* --- topics --- */

static void made_and_deleted_with_its_partitions(void **state)
{
	const struct topic_view *view;
	struct topic_id id;
	struct ask ask;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 3), OUTCOME_OK);
	view = look_topic(T_NAME, &ask);
	assert_true(view->partition_count == 3 && view->setting_count == 0 && slice_eq(view->name, T_NAME));
	for (unsigned i = 0; i < 3; i++)
		assert_true(view->partitions[i].stream && view->partitions[i].next_offset == 0);
	id = view->id;
	ask_deinit(&ask);
	assert_true(number_of(SLICE("t/2")) > 0 && number_of(SLICE("t/3")) == 0);
	assert_int_equal(make_topic(T_NAME, 3), OUTCOME_CONFLICT);
	expect_same_state(false);

	assert_int_equal(topic_change_as(COMMAND_TOPIC_DELETE, (struct topic_change){.topic.id = id}, false), OUTCOME_OK);
	assert_null(look_topic(T_NAME, &ask));
	ask_deinit(&ask);
	assert_true(f.s->streams.count == 0);
	assert_int_equal(drop_topic(T_NAME), OUTCOME_NOT_FOUND);

	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	view = look_topic(T_NAME, &ask);
	assert_memory_not_equal(view->id.bytes, id.bytes, sizeof(id.bytes));
	ask_deinit(&ask);
	checkpoint();
	expect_same_state(true);
}

static void names_and_numbers_are_looked_at(void **state)
{
	char longest[TOPIC_NAME_MAX + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(make_topic(SLICE(""), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("."), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("a/b"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("a b"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("__jobs"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("__ds"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("__consumer_offsets"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(SLICE("__transaction_state"), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(slice_from(longest, sizeof(longest)), 1), OUTCOME_NAME);
	assert_int_equal(make_topic(slice_from(longest, TOPIC_NAME_MAX), 1), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("a"), 0), OUTCOME_PARTITIONS);
	assert_int_equal(make_topic(SLICE("a"), 9), OUTCOME_PARTITIONS);
	assert_int_equal(make_topic(SLICE("__a"), 8), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("b"), 8), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("c"), 8), OUTCOME_FULL); /* of streams */
	assert_int_equal(make_topic(SLICE("c"), 1), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("d"), 1), OUTCOME_FULL); /* of topics */
}

static void only_looked_at(void **state)
{
	(void)state;
	assert_int_equal(
		topic_change_as(COMMAND_TOPIC_CREATE, (struct topic_change){.topic.name = T_NAME, .partitions = 2}, true),
		OUTCOME_OK);
	assert_true(f.s->topics.count == 0 && f.s->streams.count == 0);
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(
		topic_change_as(COMMAND_TOPIC_PARTITIONS, (struct topic_change){.topic.name = T_NAME, .partitions = 2}, true),
		OUTCOME_OK);
	assert_int_equal(topic_change_as(COMMAND_TOPIC_DELETE, (struct topic_change){.topic.name = T_NAME}, true), OUTCOME_OK);
	assert_true(f.s->topics.count == 1 && f.s->streams.count == 1);
}

static enum outcome grow(uint32_t partitions)
{
	return topic_change_as(COMMAND_TOPIC_PARTITIONS, (struct topic_change){.topic.name = T_NAME, .partitions = partitions},
			       false);
}

static void it_grows(void **state)
{
	struct produce_partition p;

	(void)state;
	assert_int_equal(grow(2), OUTCOME_NOT_FOUND);
	assert_int_equal(make_topic(T_NAME, 2), OUTCOME_OK);
	p = batch_of(3, 1, "x");
	assert_int_equal(produce_as(&p), OUTCOME_NOT_FOUND);
	assert_int_equal(grow(2), OUTCOME_PARTITIONS);
	assert_int_equal(create(SLICE("t/5")), OUTCOME_OK); /* a stream of somebody's */
	assert_int_equal(grow(6), OUTCOME_CONFLICT);
	assert_int_equal(grow(5), OUTCOME_OK);
	p = batch_of(3, 1, "x");
	assert_int_equal(produce_as(&p), OUTCOME_OK);
	expect_fetch(3, 0, "0=x ");
	expect_same_state(false);
	checkpoint();
	expect_same_state(true);
}

static void what_is_set_of_it(void **state)
{
	const struct topic_view *view;
	struct stream *stream;
	struct ask ask;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	stream = stream_find(&f.s->streams, SLICE("t/0"));
	assert_true(stream->more->max_age_ms == 604800000 && stream->more->max_bytes == 0);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.ms"), SLICE("1000")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.bytes"), SLICE("5000")), OUTCOME_OK);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("delete")), OUTCOME_OK);
	assert_true(stream->more->max_age_ms == 1000 && stream->more->max_bytes == 5000);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.mss"), SLICE("1000")), OUTCOME_SETTING);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.ms"), SLICE("-2")), OUTCOME_SETTING);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.ms"), SLICE("1e3")), OUTCOME_SETTING);
	expect_same_state(false);
	checkpoint();
	expect_same_state(true);

	view = look_topic(T_NAME, &ask);
	assert_true(view->setting_count == 3 && slice_eq(view->settings[0].key, SLICE("cleanup.policy")) &&
		    slice_eq(view->settings[2].key, SLICE("retention.ms")) && slice_eq(view->settings[2].value, SLICE("1000")));
	ask_deinit(&ask);
	assert_int_equal(set_topic(T_NAME, SLICE("retention.ms"), (struct slice){0}), OUTCOME_OK);
	assert_true(stream->more->max_age_ms == 604800000);
	assert_int_equal(set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("compact")), OUTCOME_OK);
	assert_true(stream->more->max_age_ms == 0 && stream->more->max_bytes == 0);
}

static void lists_are_added_to(void **state)
{
	struct topic_setting_change settings[] = {
		{{SLICE("cleanup.policy"), SLICE("compact")}, SETTING_APPEND},
		{{SLICE("cleanup.policy"), SLICE("delete")}, SETTING_SUBTRACT},
		{{SLICE("retention.ms"), SLICE("5")}, SETTING_APPEND},
	};
	struct topic_change change = {.topic.name = T_NAME, .settings = settings, .setting_count = 1};
	const struct topic_view *view;
	struct ask ask;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	assert_int_equal(topic_change_as(COMMAND_TOPIC_CONFIG, change, false), OUTCOME_OK);
	view = look_topic(T_NAME, &ask);
	assert_true(slice_eq(view->settings[0].value, SLICE("delete,compact")));
	ask_deinit(&ask);
	change.setting_count = 2;
	assert_int_equal(topic_change_as(COMMAND_TOPIC_CONFIG, change, false), OUTCOME_OK);
	view = look_topic(T_NAME, &ask);
	assert_true(slice_eq(view->settings[0].value, SLICE("compact")));
	ask_deinit(&ask);
	change.setting_count = 3; /* no list */
	assert_int_equal(topic_change_as(COMMAND_TOPIC_CONFIG, change, false), OUTCOME_SETTING);
}

/* What the other door may do with a partition. */
static void a_partition_is_a_stream(void **state)
{
	struct stream_append_in in = {.path = SLICE("t/0"), .content_type = SLICE("application/octet-stream")};
	struct stream_create_in fork = {.path = SLICE("fork"), .source = SLICE("t/0")};

	(void)state;
	assert_int_equal(make_topic(T_NAME, 1), OUTCOME_OK);
	in.records = (struct records_in){.batch = batch_of(0, 1, "http").batch.bytes, .batch_bytes = 0, .count = 1};
	in.records.batch_bytes = BATCH_HEAD_BYTES + 8 + 3;
	assert_int_equal(append_as(in, NULL), OUTCOME_OK);
	expect_fetch(0, 0, "0=http ");
	in.close = true;
	assert_int_equal(append_as(in, NULL), OUTCOME_TOPIC);
	in.close = false;
	in.replace = true;
	assert_int_equal(append_as(in, NULL), OUTCOME_TOPIC);
	assert_int_equal(delete (SLICE("t/0")), OUTCOME_TOPIC);
	assert_int_equal(create_as(fork), OUTCOME_TOPIC);
	assert_int_equal(create(SLICE("t/0")), OUTCOME_CONFLICT);
	assert_int_equal(create(SLICE("u/1")), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("u"), 1), OUTCOME_OK);
	assert_int_equal(make_topic(SLICE("u2"), 1), OUTCOME_OK);
}

/* A journal that ends before the topic is made, or before its last stream is gone. */
static void half_a_topic_is_none(void **state)
{
	size_t whole;

	(void)state;
	assert_int_equal(make_topic(T_NAME, 3), OUTCOME_OK);
	whole = f.entry_count;
	f.entry_count = whole - 1;
	fixture_twin(&f, &twin, false);
	assert_true(twin.s->topics.count == 0 && twin.s->streams.count == 0);
	fixture_deinit(&twin);
	f.entry_count = whole;
	assert_int_equal(drop_topic(T_NAME), OUTCOME_OK);
	whole = f.entry_count;
	f.entry_count = whole - 2;
	fixture_twin(&f, &twin, false);
	assert_true(twin.s->topics.count == 0 && twin.s->streams.count == 0);
	fixture_deinit(&twin);
	f.entry_count = whole;
}

/* --- without memory --- */

typedef enum outcome try_once(void);

static enum outcome try_create(void)
{
	struct topic_setting_change setting = {{SLICE("retention.ms"), SLICE("1000")}, SETTING_SET};

	return topic_change_as(
		COMMAND_TOPIC_CREATE,
		(struct topic_change){.topic.name = T_NAME, .partitions = 3, .settings = &setting, .setting_count = 1}, false);
}

static enum outcome try_grow(void)
{
	return grow(6);
}

static enum outcome try_set(void)
{
	return set_topic(T_NAME, SLICE("retention.bytes"), SLICE("100000"));
}

static struct produce_partition to_produce;

static enum outcome try_produce(void)
{
	return produce_as(&to_produce);
}

static enum outcome try_fetch(void)
{
	struct fetch_partition p = {.topic.name = T_NAME, .max_bytes = 1 << 20};
	struct ask ask = {.c = {.kind = COMMAND_FETCH, .in.fetch = {.partitions = &p, .count = 1, .max_bytes = 1 << 20}}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static enum outcome append_to_topic(struct slice key, uint32_t *ret_partition)
{
	struct stream_append_in in = {.path = T_NAME, .content_type = SLICE("application/octet-stream"), .key = key};
	struct ask ask = {.c = {.kind = COMMAND_STREAM_APPEND}};
	enum outcome outcome;

	in.records = words_of("word", key.ptr ? key.ptr[0] : 0, 0);
	ask.c.in.stream_append = in;
	outcome = fixture_ask(&f, &ask, 0);
	*ret_partition = ask.c.out.chosen ? ask.c.out.partition : UINT32_MAX;
	ask_deinit(&ask);
	return outcome;
}

/* An append to the topic itself; those without a key go round. */
static void the_key_chooses(void **state)
{
	uint32_t first, again, turn;

	(void)state;
	assert_int_equal(append_to_topic(SLICE("a"), &first), OUTCOME_NOT_FOUND);
	make_topic(T_NAME, 4);
	assert_int_equal(append_to_topic(SLICE("a"), &first), OUTCOME_OK);
	assert_int_equal(first, partition_of_key(SLICE("a"), 4));
	assert_int_equal(append_to_topic(SLICE("a"), &again), OUTCOME_OK);
	assert_int_equal(again, first);
	for (uint32_t i = 0; i < 9; i++) {
		assert_int_equal(append_to_topic((struct slice){0}, &turn), OUTCOME_OK);
		assert_int_equal(turn, i % 4);
	}
	set_topic(T_NAME, SLICE("cleanup.policy"), SLICE("compact"));
	assert_int_equal(append_to_topic((struct slice){0}, &turn), OUTCOME_RECORD);
	set_topic(T_NAME, SLICE("max.message.bytes"), SLICE("8"));
	assert_int_equal(append_to_topic(SLICE("a"), &again), OUTCOME_TOO_LARGE);
	expect_same_state(false);
	drop_topic(T_NAME);
}

/* What is listed from `after` on, at most `limit`: names' first letters. */
static const char *page_of(uint64_t *after, uint32_t limit)
{
	struct ask ask = {.c = {.kind = COMMAND_TOPICS, .in.topics = {.after = *after, .limit = limit}}};

	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	buf_clear(&mine);
	for (size_t i = 0; i < ask.c.out.topic_count; i++)
		buf_append_char(&mine, ask.c.out.topics[i]->name.ptr[0]);
	buf_append_char(&mine, '\0');
	*after = ask.c.out.next;
	ask_deinit(&ask);
	return mine.ptr;
}

/* However often a topic is named, the answer has its limit. */
static void answers_have_a_limit(void **state)
{
	struct topic_ref refs[100] = {0};
	struct ask ask = {.c = {.kind = COMMAND_TOPICS, .in.topics = {.topics = refs, .count = ARRAY_COUNT(refs)}}};

	(void)state;
	make_topic(T_NAME, 8);
	for (size_t i = 0; i < ARRAY_COUNT(refs); i++)
		refs[i].name = T_NAME;
	f.config.views_bytes_max = 10000;
	sequencer_configure(f.s, &f.config);
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_NO_MEMORY);
	ask_deinit(&ask);
	ask.c = (struct command){.kind = COMMAND_TOPICS, .in.topics = {.topics = refs, .count = 10}};
	assert_int_equal(fixture_ask(&f, &ask, 0), OUTCOME_OK);
	ask_deinit(&ask);
}

/* Nor have all that wait for who asked. */
static void answers_under_way_have_a_limit(void **state)
{
	enum { FIT = VIEWS_AT_ONCE };
	struct topic_ref refs[24];
	struct ask asks[FIT + 1];

	(void)state;
	make_topic(T_NAME, 8);
	f.config.views_bytes_max = 10000;
	sequencer_configure(f.s, &f.config);
	for (size_t i = 0; i < ARRAY_COUNT(refs); i++)
		refs[i] = (struct topic_ref){.name = T_NAME};
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_COUNT(asks); i++) {
			asks[i] = (struct ask){.c = {.kind = COMMAND_TOPICS, .in.topics = {.topics = refs, .count = 24}}};
			fixture_send(&f, &asks[i], 0);
		}
		fixture_settle(&f);
		for (size_t i = 0; i < ARRAY_COUNT(asks); i++) {
			assert_int_equal(asks[i].c.outcome, i < FIT ? OUTCOME_OK : OUTCOME_NO_MEMORY);
			ask_deinit(&asks[i]);
		}
	}
}

static void listed_in_pages(void **state)
{
	uint64_t after = 0;

	(void)state;
	for (const char *name = "abcd"; *name; name++)
		make_topic(slice_from(name, 1), 1);
	drop_topic(SLICE("b"));
	assert_string_equal(page_of(&after, 2), "ac");
	drop_topic(SLICE("c"));
	assert_string_equal(page_of(&after, 2), "d");
	assert_int_equal(after, 0);
	assert_string_equal(page_of(&after, 2), "ad");
	assert_int_equal(after, 0);
	assert_string_equal(page_of(&after, 0), "ad");
}

static enum outcome try_look(void)
{
	struct ask ask = {.c = {.kind = COMMAND_TOPICS, .in.topics.settings = true}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

static enum outcome try_delete(void)
{
	return drop_topic(T_NAME);
}

static void every_allocation(void **state)
{
	try_once *const tries[] = {try_create, try_grow, try_set, try_produce, try_fetch, try_look, try_delete};

	(void)state;
	to_produce = batch_by(1, 0, 0, 2);
	for (size_t i = 0; i < ARRAY_COUNT(tries); i++) {
		for (uint64_t n = 1;; n++) {
			uint64_t next_number = f.s->streams.next_number;
			enum outcome outcome;

			fixture_dump(&f, &mine);
			mem_fail_nth(n);
			outcome = tries[i]();
			mem_fail_nth(0);
			sequencer_check(f.s);
			if (outcome == OUTCOME_OK)
				break;
			assert_int_equal(outcome, OUTCOME_NO_MEMORY);
			f.s->streams.next_number = next_number; /* of what was made and deleted again no more is left */
			fixture_dump(&f, &other);
			assert_int_equal(mine.len, other.len);
			assert_memory_equal(mine.ptr, other.ptr, mine.len);
		}
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(made_and_deleted_with_its_partitions),
		TEST(names_and_numbers_are_looked_at),
		TEST(only_looked_at),
		TEST(it_grows),
		TEST(what_is_set_of_it),
		TEST(lists_are_added_to),
		TEST(a_partition_is_a_stream),
		TEST(half_a_topic_is_none),
		TEST(the_key_chooses),
		TEST(listed_in_pages),
		TEST(answers_have_a_limit),
		TEST(answers_under_way_have_a_limit),
		TEST(every_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
