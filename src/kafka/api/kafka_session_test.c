/* Fetch sessions: partitions are named once, what is told is what is new, nothing is left out, and there are no more than there
 * may be. */
#include "base/testing.h"
#include "kafka/api/kafka_fetch_fixture.h"
#include "stream/batch.h"

#include <unistd.h>

/* Of the partitions from the `from`-th on, `count` of them, in the session at that epoch. */
static struct kafka_fetch_request on(int32_t session, int32_t epoch, uint32_t from, uint32_t count)
{
	struct kafka_fetch_request request = ask_all(60000, 1);

	request.session_id = session;
	request.session_epoch = epoch;
	asked_topic.partitions.at = asked + from;
	asked_topic.partitions.count = count;
	request.topics.count = count ? 1 : 0;
	return request;
}

static uint32_t told_count(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < reader.answer->responses.count; i++)
		count += reader.answer->responses.at[i].partitions.count;
	return count;
}

/* Of all partitions, which are answered at once. */
static int32_t open_session(uint32_t count)
{
	struct kafka_fetch_request request = on(0, 0, 0, count);

	request.max_wait_ms = 0;
	ask(&request);
	hear();
	assert_true(reader.answer->error_code == 0 && told_count() == count);
	return reader.answer->session_id;
}

static void a_session_is_asked_and_told_only_what_is_new(void **state)
{
	struct kafka_fetch_request request;
	uint64_t before;
	int32_t id;

	(void)state;
	fetch_begin();
	id = open_session(PARTITIONS);
	assert_true(id > 0 && door_stats().sessions == 1 && door_stats().session_partitions == PARTITIONS);
	/* Nothing is new: nobody is asked. */
	before = door.commands;
	request = on(id, 1, 0, 0);
	ask(&request);
	until_parked();
	assert_true(door.commands == before);
	write_to(5, 1);
	hear();
	assert_true(reader.answer->session_id == id && told_count() == 1 && heard(5)->records.len > 0);
	assert_true(heard(5)->high_watermark == 1);
	/* It comes again until its offset moves on. */
	request = on(id, 2, 0, 0);
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(5)->records.len > 0);
	request = on(id, 3, 5, 1);
	asked[5].fetch_offset = 1;
	ask(&request);
	until_parked();
	/* What came between two polls is there at once. */
	request = on(id, 4, 0, 0);
	ask(&request); /* ends the one before */
	hear();
	assert_true(told_count() == 0 && reader.answer->error_code == 0);
	until_parked();
	write_to(6, 1);
	hear();
	assert_true(told_count() == 1 && heard(6));
	write_to(7, 1);
	request = on(id, 5, 6, 1);
	asked[6].fetch_offset = 1;
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(7)->records.len > 0);
}

static void a_session_forgets_and_learns(void **state)
{
	int32_t gone[] = {0, 1, 39};
	struct kafka_forgotten_topic forgotten = {.topic = SLICE_INIT("t"), .partitions = {.at = gone, .count = 3}};
	struct kafka_fetch_request request;
	int32_t id;

	(void)state;
	fetch_begin();
	id = open_session(PARTITIONS);
	request = on(id, 1, 0, 0);
	request.forgotten_topics_data.at = &forgotten;
	request.forgotten_topics_data.count = 1;
	ask(&request);
	until_parked();
	assert_true(door_stats().session_partitions == PARTITIONS - 3);
	write_to(1, 1);
	write_to(39, 1);
	write_to(2, 1);
	hear();
	assert_true(told_count() == 1 && heard(2));
	request = on(id, 2, 1, 2);
	asked[2].fetch_offset = 1;
	ask(&request);
	hear();
	assert_true(told_count() == 1 && heard(1)->records.len > 0);
	assert_true(door_stats().session_partitions == PARTITIONS - 2);
	/* A new one in error is told at once, again and again; then it is put right. */
	asked[0].fetch_offset = 7;
	for (int32_t epoch = 3; epoch < 5; epoch++) {
		request = on(id, epoch, 0, 2);
		asked[0].fetch_offset = 7;
		asked[1].fetch_offset = 1;
		ask(&request);
		hear();
		assert_true(told_count() == 1 && heard(0)->error_code == KAFKA_OFFSET_OUT_OF_RANGE);
	}
	request = on(id, 5, 0, 1);
	ask(&request);
	until_parked();
}

static void a_sessions_partitions_take_turns(void **state)
{
	struct kafka_fetch_request request;
	unsigned seen = 0;
	size_t size;
	int32_t id;

	(void)state;
	fetch_begin();
	id = open_session(3);
	for (int32_t i = 0; i < 3; i++)
		size = write_to(i, 1);
	for (int32_t epoch = 1; epoch <= 3; epoch++) {
		request = on(id, epoch, 0, 0);
		request.max_bytes = (int32_t)size;
		ask(&request);
		hear();
		for (int32_t i = 0; i < 3; i++)
			seen |= heard(i) && heard(i)->records.len ? 1u << i : 0;
	}
	assert_int_equal(seen, 7);
}

static int16_t error_of(int32_t session, int32_t epoch)
{
	struct kafka_fetch_request request = on(session, epoch, 0, 1);

	request.max_wait_ms = 0;
	ask(&request);
	return hear()->error_code;
}

static void what_is_wrong_with_a_session(void **state)
{
	int32_t id, other;

	(void)state;
	fetch_begin();
	assert_int_equal(error_of(0, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(77, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	id = open_session(1);
	assert_int_equal(error_of(id, 2), KAFKA_INVALID_FETCH_SESSION_EPOCH);
	assert_true(reader.answer->session_id == 0 && told_count() == 0);
	assert_int_equal(error_of(id, 1), KAFKA_NONE);
	assert_int_equal(error_of(id + 1, 2), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(id, 2), KAFKA_NONE);
	fetch_version = 13;
	assert_int_equal(error_of(id, 3), KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);
	fetch_version = 12;
	/* A new one ends the one before; without a session none is ended, unless it is named. */
	other = open_session(2);
	assert_true(other != id && door_stats().sessions == 1 && door_stats().session_partitions == 2);
	assert_int_equal(error_of(id, 3), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(error_of(0, -1), KAFKA_NONE);
	assert_true(door_stats().sessions == 1);
	assert_int_equal(error_of(other, -1), KAFKA_NONE);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
	assert_int_equal(error_of(other, 1), KAFKA_FETCH_SESSION_ID_NOT_FOUND);
}

static void there_are_so_many_sessions_and_partitions_in_them(void **state)
{
	struct kafka_fetch_request request;
	int32_t id;
	int first;

	(void)state;
	door.config.limits.sessions = 1;
	door.config.limits.session_partitions = 10;
	fetch_begin();
	assert_int_equal(open_session(11), 0);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
	id = open_session(8);
	assert_true(id > 0);
	first = reader.fd;
	reader.fd = door_connect();
	assert_int_equal(open_session(1), 0);
	close(reader.fd);
	reader.fd = first;
	request = on(id, 1, 8, 3);
	ask(&request);
	assert_int_equal(hear()->error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	assert_true(door_stats().sessions == 0 && door_stats().session_partitions == 0);
}

/* --- a reader who misses nothing, and is told nothing twice --- */

enum { STEPS = 4000 };

static struct naive {
	struct test_random random;
	int64_t end[PARTITIONS], read[PARTITIONS];
	bool named[PARTITIONS], moved[PARTITIONS]; /* in the session; to be named anew */
	int32_t session, epoch;
	bool waits;
} naive;

static void naive_takes(const struct kafka_fetched_partition *told)
{
	struct slice rest = told->records, one;
	int32_t p = told->partition_index;

	assert_int_equal(told->error_code, KAFKA_NONE);
	assert_true(told->high_watermark <= naive.end[p]);
	while (batch_cut(&rest, &one) == 1) {
		struct batch_head head;

		assert_int_equal(batch_head_read(one, &head), 0);
		assert_true((int64_t)head.base_offset == naive.read[p]);
		naive.read[p] += head.count;
		naive.moved[p] = true;
	}
}

static void naive_hears(void)
{
	if (!naive.waits || !heard_now())
		return;
	naive.waits = false;
	assert_int_equal(reader.answer->error_code, KAFKA_NONE);
	for (uint32_t i = 0; i < reader.answer->responses.count; i++) {
		for (uint32_t j = 0; j < reader.answer->responses.at[i].partitions.count; j++)
			naive_takes(&reader.answer->responses.at[i].partitions.at[j]);
	}
	naive.session = reader.answer->session_id;
}

/* What the session does not know yet, or no longer as it is; now and then some of them are taken out, or all is begun anew. */
static void naive_asks(int32_t wait_ms)
{
	static int32_t gone[PARTITIONS];
	struct kafka_forgotten_topic forgotten = {.topic = SLICE_INIT("t"), .partitions = {.at = gone}};
	struct kafka_fetch_request request = ask_all(wait_ms, 1 + (int32_t)test_random_below(&naive.random, 400));
	bool anew = naive.session == 0 || test_random_below(&naive.random, 50) == 0;
	uint32_t count = 0;

	naive.epoch = anew ? 0 : naive.epoch + 1;
	for (int32_t p = 0; p < PARTITIONS; p++) {
		if (!anew && p > 0 && naive.named[p] && test_random_below(&naive.random, 100) == 0) {
			gone[forgotten.partitions.count++] = p;
			naive.named[p] = false;
			continue;
		}
		if (!anew && naive.named[p] && !naive.moved[p])
			continue;
		asked[count] = asked[p];
		asked[count].fetch_offset = naive.read[p];
		asked[count].partition_max_bytes = p == 0 ? 1000 : 1 + (int32_t)test_random_below(&naive.random, 1000);
		naive.named[p] = true;
		naive.moved[p] = false;
		count++;
	}
	asked_topic.partitions.count = count;
	request.topics.count = count ? 1 : 0;
	request.forgotten_topics_data.at = &forgotten;
	request.forgotten_topics_data.count = forgotten.partitions.count ? 1 : 0;
	request.max_bytes = 1 + (int32_t)test_random_below(&naive.random, 3000);
	request.session_id = anew ? 0 : naive.session;
	request.session_epoch = naive.epoch;
	ask(&request);
	naive.waits = true;
}

/* Partition 0 is always among those it waits at, and gets as much as it wants. */
static void naive_is_woken(void)
{
	for (int turns = 0; naive.waits; turns++) {
		assert_true(turns < TURNS_MAX);
		if (turns % 20 == 19) {
			naive.end[0]++;
			write_to(0, 1);
		}
		door_turn();
		naive_hears();
	}
}

static void a_random_life(void **state)
{
	(void)state;
	fetch_begin();
	naive = (struct naive){.random = test_random_start("sessions")};
	for (unsigned step = 0; step < STEPS; step++) {
		size_t what = test_random_below(&naive.random, 10);

		if (what < 3) {
			int32_t p = (int32_t)test_random_below(&naive.random, PARTITIONS);
			unsigned count = 1 + (unsigned)test_random_below(&naive.random, 3);

			write_to(p, count);
			naive.end[p] += count;
		} else if (what < 6 && !naive.waits) {
			naive_asks(what < 4 ? 0 : 60000);
		} else if (what == 9 && test_random_below(&naive.random, 5) == 0) {
			naive_is_woken();
		} else {
			door_turn();
		}
		naive_hears();
	}
	for (int rounds = 0, quiet = 0; quiet < 3; rounds++) {
		assert_true(rounds < 10000);
		quiet++;
		if (!naive.waits)
			naive_asks(0);
		naive_is_woken();
		for (int32_t p = 0; p < PARTITIONS; p++)
			quiet = naive.read[p] < naive.end[p] ? 0 : quiet;
	}
	assert_true(door_stats().session_partitions <= PARTITIONS);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, fetch_setup, fetch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_session_is_asked_and_told_only_what_is_new),
		TEST(a_session_forgets_and_learns),
		TEST(a_sessions_partitions_take_turns),
		TEST(what_is_wrong_with_a_session),
		TEST(there_are_so_many_sessions_and_partitions_in_them),
		TEST(a_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
