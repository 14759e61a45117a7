/* What is said about subscriptions in JSON: what it means, what is refused, and what they are told. */
#include "base/testing.h"

#include "base/mem.h"
#include "http/api/hook.h"
#include "http/api/subscription_priv.h"

static struct arena arena;

static int forget(void **state)
{
	(void)state;
	arena_deinit(&arena);
	arena = (struct arena){0};
	return 0;
}

static void open_text(struct json_in *in, const char *text)
{
	json_in_open(in, &arena, slice_str(text), false);
}

static void expect_refused(const char *text, void (*read)(struct json_in *in), const char *why)
{
	struct json_in in;

	open_text(&in, text);
	read(&in);
	if (json_in_close(&in) || !in.bad || !strstr(in.detail, why))
		fail_msg("%s: \"%s\" does not say %s", text, in.detail, why);
}

static void read_subscription(struct json_in *in)
{
	struct subscription_in r = {0};

	subscription_read(in, &r);
}

static void read_ack(struct json_in *in)
{
	struct subscription_ack_in r = {0};

	subscription_ack_read(in, &r);
}

static void a_webhook(void **state)
{
	struct subscription_in r = {.id = SLICE("kept")};
	struct json_in in;

	(void)state;
	open_text(&in, "{\"type\":\"webhook\",\"pattern\":\"/events/*/\",\"streams\":[\"/a/b\",\"c\"],\"webhook\":{\"url\":"
		       "\"https://a.example/\",\"more\":1},\"description\":\"d\",\"more\":[]}");
	subscription_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_int_equal(r.type, SUBSCRIPTION_WEBHOOK);
	assert_true(slice_eq(r.id, SLICE("kept")));
	assert_true(slice_eq(r.pattern, SLICE("events/*")));
	assert_int_equal(r.stream_count, 2);
	assert_true(slice_eq(r.streams[0], SLICE("a/b")) && slice_eq(r.streams[1], SLICE("c")));
	assert_true(slice_eq(r.url, SLICE("https://a.example/")));
	assert_true(slice_eq(r.description, SLICE("d")));
	assert_int_equal(r.lease_ttl_ms, 30000);
	assert_int_equal(r.wake_stream.len, 0);
}

/* What the other kind has is not looked at. */
static void a_pull_wake(void **state)
{
	struct subscription_in r = {0};
	struct json_in in;

	(void)state;
	open_text(&in, "{\"type\":\"pull-wake\",\"pattern\":\"**\",\"streams\":[],\"wake_stream\":\"/wake/pool\","
		       "\"lease_ttl_ms\":600000,\"webhook\":null,\"description\":null}");
	subscription_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_int_equal(r.type, SUBSCRIPTION_PULL);
	assert_int_equal(r.stream_count + r.url.len + r.description.len, 0);
	assert_true(slice_eq(r.wake_stream, SLICE("wake/pool")));
	assert_int_equal(r.lease_ttl_ms, 600000);
}

static void what_makes_no_subscription(void **state)
{
#define PULL "{\"type\":\"pull-wake\",\"wake_stream\":\"w\","
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"{}", "\"type\""},
		{"{\"type\":\"push\",\"pattern\":\"a\"}", "\"type\""},
		{PULL "\"pattern\":\"\"}", "\"streams\" is missing"},
		{PULL "\"streams\":[]}", "\"streams\" is missing"},
		{PULL "\"streams\":\"a\"}", "\"streams\""},
		{PULL "\"streams\":[1]}", "\"streams\""},
		{PULL "\"streams\":[\"\"]}", "\"streams\""},
		{PULL "\"streams\":[\"a//b\"]}", "\"streams\""},
		{PULL "\"streams\":[\"../b\"]}", "\"streams\""},
		{PULL "\"streams\":[\"__ds/a\"]}", "\"streams\""},
		{PULL "\"streams\":[\"__jobs/a\"]}", "\"streams\""},
		{PULL "\"pattern\":\"a//*\"}", "\"pattern\""},
		{PULL "\"pattern\":[\"a\"]}", "\"pattern\""},
		{PULL "\"pattern\":\"a\",\"lease_ttl_ms\":999}", "\"lease_ttl_ms\""},
		{PULL "\"pattern\":\"a\",\"lease_ttl_ms\":600001}", "\"lease_ttl_ms\""},
		{PULL "\"pattern\":\"a\",\"lease_ttl_ms\":1000.5}", "\"lease_ttl_ms\""},
		{PULL "\"pattern\":\"a\",\"lease_ttl_ms\":-1}", "\"lease_ttl_ms\""},
		{PULL "\"pattern\":\"a\",\"description\":1}", "\"description\""},
		{"{\"type\":\"pull-wake\",\"pattern\":\"a\"}", "\"wake_stream\""},
		{"{\"type\":\"pull-wake\",\"pattern\":\"a\",\"wake_stream\":\"__ds\"}", "\"wake_stream\""},
		{"{\"type\":\"webhook\",\"pattern\":\"a\"}", "\"webhook.url\""},
		{"{\"type\":\"webhook\",\"pattern\":\"a\",\"webhook\":{}}", "\"webhook.url\""},
		{"{\"type\":\"webhook\",\"pattern\":\"a\",\"webhook\":\"https://a\"}", "\"webhook\""},
		{"{\"type\":\"webhook\",\"pattern\":\"a\",\"webhook\":{\"url\":[]}}", "\"url\""},
	};
#undef PULL

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		expect_refused(cases[i].text, read_subscription, cases[i].why);
}

static void an_ack(void **state)
{
	struct subscription_ack_in r = {.token = SLICE("kept")};
	struct json_in in;

	(void)state;
	open_text(&in, "{\"wake_id\":\"w_1\",\"generation\":9223372036854775807,\"done\":true,\"acks\":["
		       "{\"stream\":\"/a/b\",\"offset\":\"0000000000000007_0000000000000009\"},"
		       "{\"path\":\"c\",\"offset\":\"-1\"}]}");
	subscription_ack_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_true(slice_eq(r.token, SLICE("kept")) && slice_eq(r.wake_id, SLICE("w_1")));
	assert_true(r.generation == INT64_MAX && r.done);
	assert_int_equal(r.ack_count, 2);
	assert_true(slice_eq(r.acks[0].path, SLICE("a/b")));
	assert_true(r.acks[0].number == 7 && r.acks[0].offset == 9);
	assert_true(slice_eq(r.acks[1].path, SLICE("c")));
	assert_true(r.acks[1].number == 0 && r.acks[1].offset == UINT64_MAX);
	r = (struct subscription_ack_in){0};
	open_text(&in, "{\"wake_id\":\"w_1\",\"generation\":1,\"acks\":[]}");
	subscription_ack_read(&in, &r);
	assert_true(json_in_close(&in));
	assert_true(r.ack_count == 0 && !r.done);
}

static void what_is_no_ack(void **state)
{
#define WAKE "{\"wake_id\":\"w\",\"generation\":1,"
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"{\"generation\":1}", "\"wake_id\""},
		{"{\"wake_id\":1,\"generation\":1}", "\"wake_id\""},
		{"{\"wake_id\":\"w\"}", "\"generation\""},
		{"{\"wake_id\":\"w\",\"generation\":\"1\"}", "\"generation\""},
		{"{\"wake_id\":\"w\",\"generation\":0}", "\"generation\""},
		{WAKE "\"done\":1}", "\"done\""},
		{WAKE "\"acks\":{}}", "\"acks\""},
		{WAKE "\"acks\":[{},1]}", "\"acks\""},
		{WAKE "\"acks\":[[]]}", "\"acks\""},
		{WAKE "\"acks\":[{}]}", "\"stream\""},
		{WAKE "\"acks\":[{\"stream\":\"a\"}]}", "\"offset\""},
		{WAKE "\"acks\":[{\"stream\":\"a\",\"offset\":1}]}", "\"offset\""},
		{WAKE "\"acks\":[{\"stream\":{},\"offset\":\"1\"}]}", "\"stream\""},
	};
#undef WAKE

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		expect_refused(cases[i].text, read_ack, cases[i].why);
}

/* "streams" and "acks" may hold so many, and no more. */
static void limits(void **state)
{
	static char text[64 * 1024];

	(void)state;
	for (size_t count = SUBSCRIPTION_ITEMS_MAX; count <= SUBSCRIPTION_ITEMS_MAX + 1; count++) {
		struct subscription_in streams = {0};
		struct subscription_ack_in acks = {0};
		struct json_in in;
		size_t len = (size_t)snprintf(text, sizeof(text), "{\"streams\":[\"a\"");

		for (size_t i = 1; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, ",\"a\"");
		snprintf(text + len, sizeof(text) - len, "]}");
		open_text(&in, text);
		subscription_streams_read(&in, &streams);
		assert_int_equal(json_in_close(&in), count == SUBSCRIPTION_ITEMS_MAX);
		len = (size_t)snprintf(text, sizeof(text), "{\"wake_id\":\"w\",\"generation\":1,\"acks\":[");
		for (size_t i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s{\"stream\":\"a\",\"offset\":\"0\"}",
						i ? "," : "");
		snprintf(text + len, sizeof(text) - len, "]}");
		open_text(&in, text);
		subscription_ack_read(&in, &acks);
		assert_int_equal(json_in_close(&in), count == SUBSCRIPTION_ITEMS_MAX);
	}
}

static void without_memory_nothing_is_believed(void **state)
{
	static const char *const texts[] = {
		"{\"type\":\"webhook\",\"pattern\":\"a\",\"streams\":[\"b\",\"c\"],\"webhook\":{\"url\":\"u\"},\"description\":"
		"\"d\"}",
		"{\"wake_id\":\"w\",\"generation\":1,\"acks\":[{\"stream\":\"a\",\"offset\":\"o\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		bool failed = true;

		for (uint64_t nth = 1; failed; nth++) {
			struct subscription_in r = {0};
			struct subscription_ack_in ack = {0};
			struct json_in in;

			forget(NULL);
			mem_fail_nth(nth);
			open_text(&in, texts[i]);
			if (i == 0)
				subscription_read(&in, &r);
			else
				subscription_ack_read(&in, &ack);
			mem_fail_nth(0);
			failed = !json_in_close(&in);
			assert_int_equal(failed, in.no_memory);
		}
	}
}

/* --- what they are told --- */

static struct subscription_view *view_of(enum subscription_type type)
{
	static union {
		struct subscription_view view;
		char room[sizeof(struct subscription_view) + 2 * sizeof(struct subscription_stream_view)];
	} all;
	struct subscription_view *view = &all.view;

	*view = (struct subscription_view){
		.type = type,
		.id = SLICE("a b/\"\xc3\xbc\""),
		.pattern = type == SUBSCRIPTION_WEBHOOK ? SLICE("events/*") : SLICE(""),
		.url = SLICE("https://worker.example/hooks"),
		.origin = SLICE("http://bide:7080"),
		.wake_stream = type == SUBSCRIPTION_WEBHOOK ? SLICE("") : SLICE("wake/pool"),
		.lease_ttl_ms = 1000,
		.created_ms = 1778284800000,
		.generation = 7,
		.failed = type == SUBSCRIPTION_WEBHOOK,
		.next_attempt_ms = type == SUBSCRIPTION_WEBHOOK ? 1778284801234 : 0,
		.wake_id = "w_1",
		.token = "t",
		.stream_count = 2,
	};
	view->streams[0] = (struct subscription_stream_view){
		.path = SLICE("events/a"), .has_pending = true, .number = 1, .acked_offset = 2, .tail_offset = 3};
	view->streams[1] = (struct subscription_stream_view){.path = SLICE("events/b"), .is_explicit = true};
	return view;
}

#define STREAMS(a, b)                                                                                                            \
	"\"streams\":[{\"path\":\"events/a\",\"link_type\":\"glob\",\"acked_offset\":\"0000000000000001_0000000000000002\"" a    \
	"},{\"path\":\"events/b\",\"link_type\":\"explicit\",\"acked_offset\":\"0000000000000000_0000000000000000\"" b "}]"
#define WHOLE                                                                                                                    \
	STREAMS(",\"tail_offset\":\"0000000000000001_0000000000000003\",\"has_pending\":true",                                   \
		",\"tail_offset\":\"0000000000000000_0000000000000000\",\"has_pending\":false")

static void expect_told(struct buf *out, const char *expected)
{
	buf_append_char(out, '\0');
	assert_false(out->failed);
	assert_string_equal(out->ptr, expected);
	buf_clear(out);
}

static void how_they_are_told(void **state)
{
	struct buf out = {0};

	(void)state;
	subscription_json(&out, view_of(SUBSCRIPTION_WEBHOOK), SLICE("https://front"), "ds_kid");
	expect_told(&out,
		    "{\"id\":\"a b/\\\"\xc3\xbc\\\"\",\"subscription_id\":\"a b/\\\"\xc3\xbc\\\"\",\"type\":\"webhook\","
		    "\"pattern\":\"events/*\"," STREAMS(
			    "", "") ",\"webhook\":{\"url\":\"https://worker.example/hooks\","
				    "\"signing\":{\"alg\":\"ed25519\",\"kid\":\"ds_kid\",\"jwks_url\":"
				    "\"https://front/v1/stream/__ds/jwks.json\"}},\"wake_stream\":null,\"lease_ttl_ms\":1000,"
				    "\"created_at\":\"2026-05-09T00:00:00.000Z\",\"status\":\"failed\","
				    "\"next_attempt_at\":\"2026-05-09T00:00:01.234Z\",\"description\":null}");
	subscription_json(&out, view_of(SUBSCRIPTION_PULL), SLICE("https://front"), "");
	expect_told(&out,
		    "{\"id\":\"a b/\\\"\xc3\xbc\\\"\",\"subscription_id\":\"a b/\\\"\xc3\xbc\\\"\",\"type\":\"pull-wake\","
		    "\"pattern\":null," STREAMS(
			    "", "") ",\"webhook\":null,\"wake_stream\":\"wake/pool\","
				    "\"lease_ttl_ms\":1000,\"created_at\":\"2026-05-09T00:00:00.000Z\",\"status\":\"active\","
				    "\"next_attempt_at\":null,\"description\":null}");
	subscription_claim_json(&out, view_of(SUBSCRIPTION_PULL));
	expect_told(&out, "{\"wake_id\":\"w_1\",\"generation\":7,\"token\":\"t\"," WHOLE ",\"lease_ttl_ms\":1000}");
	hook_body(&out, view_of(SUBSCRIPTION_WEBHOOK));
	expect_told(&out, "{\"subscription_id\":\"a b/\\\"\xc3\xbc\\\"\",\"wake_id\":\"w_1\",\"generation\":7," WHOLE
			  ",\"callback_url\":\"http://bide:7080/v1/stream/__ds/subscriptions/a%20b%2F%22%C3%BC%22/callback\","
			  "\"callback_token\":\"t\"}");
	buf_deinit(&out);
}

/* A wake of a subscription to very many streams is no longer than what there is to do. */
static void of_very_many_a_wake_tells_what_is_pending(void **state)
{
	size_t bytes = sizeof(struct subscription_view) + (SUBSCRIPTION_TOLD_MAX + 1) * sizeof(struct subscription_stream_view);
	struct subscription_view *view = mem_zalloc(bytes);
	struct buf out = {0};

	(void)state;
	*view = (struct subscription_view){.id = SLICE("s"), .stream_count = SUBSCRIPTION_TOLD_MAX};
	for (size_t i = 0; i <= SUBSCRIPTION_TOLD_MAX; i++)
		view->streams[i] = (struct subscription_stream_view){.path = SLICE("e"), .has_pending = i == 7};
	hook_body(&out, view);
	assert_true(out.len > SUBSCRIPTION_TOLD_MAX * strlen("{\"path\":\"e\""));
	view->stream_count++;
	buf_clear(&out);
	hook_body(&out, view);
	buf_append_char(&out, '\0');
	assert_non_null(strstr(out.ptr, "\"streams\":[{\"path\":\"e\",\"link_type\":\"glob\""));
	assert_non_null(strstr(out.ptr, "\"has_pending\":true}],"));
	assert_null(strstr(out.ptr, "\"has_pending\":false"));
	buf_clear(&out);
	subscription_json(&out, view, SLICE(""), "");
	assert_true(out.len > SUBSCRIPTION_TOLD_MAX * strlen("{\"path\":\"e\""));
	buf_deinit(&out);
	subscription_view_free(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_webhook, forget),
		cmocka_unit_test_teardown(a_pull_wake, forget),
		cmocka_unit_test_teardown(what_makes_no_subscription, forget),
		cmocka_unit_test_teardown(an_ack, forget),
		cmocka_unit_test_teardown(what_is_no_ack, forget),
		cmocka_unit_test_teardown(limits, forget),
		cmocka_unit_test_teardown(without_memory_nothing_is_believed, forget),
		cmocka_unit_test(how_they_are_told),
		cmocka_unit_test(of_very_many_a_wake_tells_what_is_pending),
	};

	json_in_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
