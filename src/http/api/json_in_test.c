/* What clients say in JSON: what is taken, what is refused and with which words, and what a lack of memory does. */
#include "base/testing.h"
#include "http/api/api_priv.h"
#include "http/api/json_in.h"

static struct arena arena;

static bool refused(struct json_in *in, const char *why)
{
	bool ok = json_in_close(in);

	if (!ok && !strstr(in->detail, why))
		print_message("\"%s\" does not say \"%s\"\n", in->detail, why);
	return !ok && in->bad && strstr(in->detail, why);
}

static void open_text(struct json_in *in, const char *text)
{
	json_in_open(in, &arena, slice_str(text), false);
}

static void test_a_claim_has_defaults(void **state)
{
	struct claim_request r;
	struct json_in in;

	(void)state;
	open_text(&in, "{\"queues\":[\"a\",\"b.c\"]}");
	claim_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_int_equal(r.queue_count, 2);
	assert_true(slice_eq(r.queues[1], SLICE("b.c")));
	assert_int_equal(r.max, 1);
	assert_int_equal(r.lease_ms, 0);
	assert_true(r.wait_ms == UINT64_MAX);
	assert_int_equal(r.worker.len + r.attempt_id.len, 0);
}

static void test_durations_are_strings_or_seconds(void **state)
{
	static const struct {
		const char *json;
		uint64_t ms;
	} cases[] = {
		{"\"30s\"", 30000}, {"\"1500ms\"", 1500},        {"\"2\"", 2000}, {"7", 7000}, {"0.25", 250},
		{"0", 0},           {"315360000", 315360000000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t ms = UINT64_MAX;
		struct json_in in;
		char text[64];

		snprintf(text, sizeof(text), "{\"d\":%s}", cases[i].json);
		open_text(&in, text);
		json_in_duration(&in, "d", 0, UINT64_MAX, &ms);
		assert_true(json_in_close(&in));
		assert_true(ms == cases[i].ms);
	}
}

static void test_what_makes_no_sense_is_refused_with_the_member_s_name(void **state)
{
	static const char *const bad[] = {
		"{\"d\":\"soon\"}", "{\"d\":-1}",   "{\"d\":1e300}",      "{\"d\":315360001}",
		"{\"d\":[]}",       "{\"d\":true}", "{\"d\":\"11000d\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		uint64_t ms = 5;
		struct json_in in;

		open_text(&in, bad[i]);
		json_in_duration(&in, "d", 0, UINT64_MAX, &ms);
		assert_true(refused(&in, "\"d\""));
		assert_int_equal(ms, 5);
	}
}

static void test_the_first_error_stays(void **state)
{
	struct claim_request r;
	struct json_in in;

	(void)state;
	open_text(&in, "{\"queues\":[\".hidden\"],\"max\":0,\"lease\":\"x\"}");
	claim_read(&in, &r);
	assert_true(refused(&in, "\"queues\""));
	open_text(&in, "[]");
	claim_read(&in, &r);
	assert_true(refused(&in, "must be a JSON object"));
	open_text(&in, "{\"queues\":[\"a\"],\"queues\":[\"b\"]}");
	claim_read(&in, &r);
	assert_true(refused(&in, "not JSON"));
	open_text(&in, "");
	claim_read(&in, &r);
	assert_true(refused(&in, "not JSON"));
	json_in_open(&in, &arena, SLICE("{\"queues\":[\"a\"]}\0{"), false);
	claim_read(&in, &r);
	assert_true(refused(&in, "NUL"));
}

static void test_limits(void **state)
{
	char text[ERROR_BYTES_MAX + 64];
	struct fail_request fail;
	struct json_in in;
	uint32_t count;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "{\"error\":\"", 10);
	memcpy(text + 10 + ERROR_BYTES_MAX - 2, "\"}", 3); /* with its quotes exactly at the limit */
	open_text(&in, text);
	fail_read(&in, &fail);
	assert_true(json_in_close(&in));
	assert_int_equal(fail.error.len, ERROR_BYTES_MAX);
	memcpy(text + 10 + ERROR_BYTES_MAX - 1, "\"}", 3);
	text[10 + ERROR_BYTES_MAX - 2] = 'x';
	open_text(&in, text);
	fail_read(&in, &fail);
	assert_true(refused(&in, "\"error\""));
	open_text(&in, "{\"n\":4000000000}");
	kick_read(&in, &count);
	assert_true(json_in_close(&in));
	assert_int_equal(count, KICK_MAX);
}

static void test_a_wait_is_for_streams_or_jobs(void **state)
{
	struct wait_request r;
	struct json_in in;

	(void)state;
	open_text(&in, "{\"streams\":{\"a/b\":\"now\",\"c\":\"\"},\"jobs\":[\"x\"],\"mode\":\"all\",\"max_bytes\":7,\"wait\":5}");
	wait_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_true(r.stream_count == 2 && r.count == 1 && r.all && r.max_bytes == 7 && r.wait_ms == 5000);
	assert_true(slice_eq(r.streams[0].key, SLICE("a/b")) && slice_eq(r.streams[0].value, SLICE("now")));
	assert_true(slice_eq(r.streams[1].key, SLICE("c")) && r.streams[1].value.len == 0);
	open_text(&in, "{\"streams\":{\"a\":\"now\"},\"jobs\":[]}");
	wait_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_true(r.stream_count == 1 && r.count == 0 && !r.all && r.max_bytes >= UINT32_MAX && r.wait_ms == UINT64_MAX);
	open_text(&in, "{\"jobs\":[],\"streams\":{}}");
	wait_read(&in, &r);
	assert_true(refused(&in, "\"streams\" nor \"jobs\""));
	open_text(&in, "{\"streams\":{\"a\":3}}");
	wait_read(&in, &r);
	assert_true(refused(&in, "\"streams\""));
	open_text(&in, "{\"streams\":[]}");
	wait_read(&in, &r);
	assert_true(refused(&in, "\"streams\""));
}

static void test_an_empty_body_is_an_empty_object_where_all_is_optional(void **state)
{
	struct beat_request beat;
	struct fail_request fail;
	struct json_in in;

	(void)state;
	json_in_open(&in, &arena, (struct slice){0}, true);
	beat_read(&in, &beat);
	fail_read(&in, &fail);
	assert_true(json_in_close(&in));
	assert_true(beat.progress < 0 && !beat.message.ptr && beat.lease_ms == 0);
	assert_true(fail.retry && !fail.error.len && fail.delay_ms == UINT64_MAX);
}

static void test_null_is_the_same_as_absent(void **state)
{
	struct fail_request fail;
	struct json_in in;
	bool paused;

	(void)state;
	open_text(&in, "{\"error\":null,\"retry\":null,\"delay\":null}");
	fail_read(&in, &fail);
	assert_true(json_in_close(&in));
	assert_true(fail.retry && !fail.error.len);
	open_text(&in, "{\"paused\":null}");
	pause_read(&in, &paused);
	assert_true(refused(&in, "\"paused\" is missing"));
}

static void test_reset(void **state)
{
	struct reset_request reset;
	struct json_in in;

	(void)state;
	open_text(&in, "{\"topic\":\"t\",\"to\":\"latest\",\"partition\":3}");
	reset_read(&in, &reset);
	assert_true(json_in_close(&in));
	assert_true(slice_eq(reset.topic, SLICE("t")) && reset.to == RESET_LATEST && reset.partition == 3);
	open_text(&in, "{\"topic\":\"t\",\"to\":\"17\"}");
	reset_read(&in, &reset);
	assert_true(json_in_close(&in));
	assert_true(reset.to == RESET_OFFSET && reset.offset == 17 && reset.partition == UINT64_MAX);
	open_text(&in, "{\"topic\":\"t\",\"to\":\"9223372036854775808\"}");
	reset_read(&in, &reset);
	assert_true(refused(&in, "\"to\" must be"));
	open_text(&in, "{\"to\":\"latest\"}");
	reset_read(&in, &reset);
	assert_true(refused(&in, "\"topic\" is missing"));
}

static void test_every_problem_has_a_row_and_every_refusal_a_problem(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROBLEM_COUNT; i++) {
		const struct problem_row *row = &problems[i];

		assert_non_null(row->name);
		assert_in_range(row->status, 400, 599);
		assert_true(strlen(row->title) > 5 && strlen(row->advice) > 10);
		assert_int_equal(row->retry_after_s != 0, row->status == 429 || row->status == 503 || row->status == 507);
		assert_ptr_equal(problem_find(slice_str(row->name))->name, row->name);
	}
	for (int outcome = OUTCOME_NOT_FOUND; outcome < OUTCOME_COUNT; outcome++)
		assert_in_range(problem_of_outcome((enum outcome)outcome), 0, PROBLEM_COUNT - 1);
	assert_null(problem_find(SLICE("no-such-problem")));
}

static int teardown(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_claim_has_defaults, teardown),
		cmocka_unit_test_teardown(test_durations_are_strings_or_seconds, teardown),
		cmocka_unit_test_teardown(test_what_makes_no_sense_is_refused_with_the_member_s_name, teardown),
		cmocka_unit_test_teardown(test_the_first_error_stays, teardown),
		cmocka_unit_test_teardown(test_limits, teardown),
		cmocka_unit_test_teardown(test_a_wait_is_for_streams_or_jobs, teardown),
		cmocka_unit_test_teardown(test_an_empty_body_is_an_empty_object_where_all_is_optional, teardown),
		cmocka_unit_test_teardown(test_null_is_the_same_as_absent, teardown),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_every_problem_has_a_row_and_every_refusal_a_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
