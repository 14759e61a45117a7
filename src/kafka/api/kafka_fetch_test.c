/* Fetch as the long poll it is: what is asked of the sequencer for a wait, what a parked call keeps, and what is answered. */
#include "base/testing.h"
#include "kafka/api/kafka_fetch_fixture.h"

#include "kafka/codec/bytes.h"

#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- waiting --- */

static void an_append_costs_a_waiter_no_question(void **state)
{
	struct kafka_fetch_request request = ask_all(60000, 10000);
	uint64_t before;
	size_t size = 0;

	(void)state;
	fetch_begin();
	ask(&request);
	until_parked();
	assert_true(door.thread->hung_spots == PARTITIONS);
	for (unsigned i = 0; size < 8000; i++) {
		before = door.commands;
		size += write_to((int32_t)(i % PARTITIONS), 1);
		door_turn();
		assert_true(door.commands == before + 1 && door_stats().parked == 1); /* the writer's */
	}
	before = door.commands;
	while (size < 10000)
		size += write_to(3, 1);
	hear();
	assert_true(size < 10200 && reader.answer->error_code == 0);
	assert_true(heard(3)->records.len && heard(3)->high_watermark > 0 && heard(PARTITIONS - 1)->error_code == 0);
}

static uint64_t growths(void)
{
	struct sequencer_stats stats;

	sequencer_stats(door.f.s, &stats);
	return stats.wakes_total;
}

static void nobody_there_and_no_more_growths_come(void **state)
{
	struct kafka_fetch_request request = ask_all(60000, 1);
	uint64_t wakes;

	(void)state;
	fetch_begin();
	ask(&request);
	until_parked();
	write_to(0, 1);
	hear();
	assert_true(door.thread->hung_spots == 0);
	wakes = growths();
	for (int i = 0; i < 5; i++)
		write_to(1, 1);
	door_turn();
	assert_true(growths() == wakes + 1);
}

static void a_parked_fetch_is_small(void **state)
{
	struct kafka_fetch_request request = ask_all(60000, 1);
	struct mallinfo2 before, after;
	struct buf bytes = {0};
	int clients[32];
	size_t each;

	(void)state;
	fetch_begin();
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		clients[i] = door_connect();
	asked_topic.partitions.count = 1;
	ask_put(&bytes, &request);
	for (int i = 0; i < 3; i++)
		door_turn();
	before = mallinfo2();
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		assert_true(send(clients[i], bytes.ptr, bytes.len, 0) > 0);
	for (int turns = 0; door_stats().parked < ARRAY_COUNT(clients); turns++) {
		assert_true(turns < TURNS_MAX);
		door_turn();
	}
	after = mallinfo2();
	each = (after.uordblks - before.uordblks) / ARRAY_COUNT(clients);
	/* The first spots' and the board's memory comes in one piece; sanitizers' allocators tell nothing. */
	assert_true(each < 768 + (64 * 1024 + 4096) / ARRAY_COUNT(clients));
	assert_true(sizeof(struct kafka_call) + sizeof(struct fetch_set) + sizeof(struct fetch_topic) <= 512);
	assert_true(sizeof(struct fetch_spot) <= 104);
	for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
		close(clients[i]);
	buf_deinit(&bytes);
}

static void too_many_partitions_wait_and_are_looked_at_in_the_end(void **state)
{
	struct kafka_fetch_request request = ask_all(200, 1);

	(void)state;
	door.config.limits.wait_items = 3;
	fetch_begin();
	ask(&request);
	until_parked();
	assert_true(door.thread->hung_spots == 3);
	assert_false(container_of(container_of(door.thread->conns.next, struct kafka_conn, all)->calls.next, struct kafka_call,
				  siblings)
			     ->sheds);
	write_to(PARTITIONS - 1, 1);
	assert_true(door_stats().parked == 1);
	hear();
	assert_true(heard(PARTITIONS - 1)->records.len > 0);
}

static void where_nothing_came_nobody_is_asked_in_the_end(void **state)
{
	struct kafka_fetch_request request = ask_all(100, 1000);
	uint64_t before;

	(void)state;
	fetch_begin();
	write_to(1, 2);
	write_to(2, 2);
	asked[1].fetch_offset = asked[2].fetch_offset = 2;
	before = door.commands;
	ask(&request);
	hear();
	assert_true(door.commands == before + 1);
	assert_true(heard(1)->high_watermark == 2 && heard(1)->last_stable_offset == 2 && heard(1)->log_start_offset == 0);
	assert_true(heard(1)->records.len == 0 && heard(1)->records.ptr && heard(3)->high_watermark == 0);
	/* Something was there, or came, but too little. */
	asked[2].fetch_offset = 0;
	ask(&request);
	hear();
	assert_true(heard(1)->records.len == 0 && heard(2)->records.len > 0);
	asked[2].fetch_offset = 2;
	ask(&request);
	until_parked();
	write_to(3, 1);
	hear();
	assert_true(heard(2)->records.len == 0 && heard(3)->records.len > 0);
}

/* --- how much --- */

static void batches_come_whole_and_within_the_limits(void **state)
{
	struct kafka_fetch_request request = ask_all(0, 0);
	size_t size;

	(void)state;
	fetch_begin();
	size = write_to(0, 2);
	for (int i = 0; i < 5; i++)
		write_to(0, 2);
	write_to(1, 2);
	/* Two of them and a part of the third. */
	asked[0].partition_max_bytes = (int32_t)(2 * size + size / 2);
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == 2 * size && heard(1)->records.len == size);
	/* The first one comes, however long it is; those of others do not. */
	asked[0].partition_max_bytes = asked[1].partition_max_bytes = 1;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0 && heard(1)->records.ptr);
	assert_true(heard(1)->high_watermark == 2);
	/* So it is with the whole answer: the partitions in the order of the request. */
	asked[0].partition_max_bytes = asked[1].partition_max_bytes = 1 << 20;
	request.max_bytes = (int32_t)(size + 1);
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0);
	asked[0].fetch_offset = 12;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == 0 && heard(1)->records.len == size);
	/* In the middle of a batch: all of it. */
	asked[0].fetch_offset = 11;
	request.max_bytes = 1;
	ask(&request);
	hear();
	assert_true(heard(0)->records.len == size && heard(1)->records.len == 0);
}

/* --- from where --- */

/* Batches one behind the other, from that offset to the end. */
static void expect_batches(struct slice records, uint64_t next, uint64_t end)
{
	while (records.len) {
		struct wire_reader r = wire_reader_of(records);
		size_t size;

		assert_int_equal(kafka_get_u64(&r), next);
		size = 12 + kafka_get_u32(&r);
		(void)wire_bytes(&r, 11);
		next += 1 + kafka_get_u32(&r);
		assert_true(!r.failed && size <= records.len);
		records = slice_from(records.ptr + size, records.len - size);
	}
	assert_int_equal(next, end);
}

static void what_can_be_seen_and_what_has_to_be_read_come_in_their_order(void **state)
{
	struct kafka_fetch_request request = ask_all(0, 0);
	size_t small = 0, big = 0;

	(void)state;
	fetch_begin();
	for (int i = 0; i < 200; i++) { /* in more parts than one write takes */
		small = write_to(0, 1);
		big = write_to(0, 16);
	}
	assert_true(small < FIXTURE_VIEW_BYTES && big >= FIXTURE_VIEW_BYTES);
	ask(&request);
	hear();
	assert_int_equal(heard(0)->records.len, 200 * (small + big));
	expect_batches(heard(0)->records, 0, 200 * 17);
	asked[0].fetch_offset = 18;
	ask(&request);
	hear();
	expect_batches(heard(0)->records, 18, 200 * 17);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, fetch_setup, fetch_teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_append_costs_a_waiter_no_question),
		TEST(nobody_there_and_no_more_growths_come),
		TEST(a_parked_fetch_is_small),
		TEST(too_many_partitions_wait_and_are_looked_at_in_the_end),
		TEST(where_nothing_came_nobody_is_asked_in_the_end),
		TEST(batches_come_whole_and_within_the_limits),
		TEST(what_can_be_seen_and_what_has_to_be_read_come_in_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
