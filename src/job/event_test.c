#include "job/event.h"

#include "base/mem.h"
#include "base/testing.h"

#include <errno.h>

enum kind { NUMBER, TEXT, BODY };

/* Which fields each type carries, written down from doc/journal-format.md and not from the encoder's table. */
#define F_number         (1ULL << 0)
#define F_queue          (1ULL << 1)
#define F_name           (1ULL << 2)
#define F_key            (1ULL << 3)
#define F_content_type   (1ULL << 4)
#define F_message        (1ULL << 5)
#define F_error          (1ULL << 6)
#define F_worker         (1ULL << 7)
#define F_attempt_id     (1ULL << 8)
#define F_secret         (1ULL << 9)
#define F_fingerprint    (1ULL << 10)
#define F_token          (1ULL << 11)
#define F_until_ms       (1ULL << 12)
#define F_retain_ms      (1ULL << 13)
#define F_cancel_at_ms   (1ULL << 14)
#define F_priority       (1ULL << 15)
#define F_max_attempts   (1ULL << 16)
#define F_lease_ms       (1ULL << 17)
#define F_progress       (1ULL << 18)
#define F_paused         (1ULL << 19)
#define F_blob           (1ULL << 20)
#define F_body           (1ULL << 21)
#define F_result         (1ULL << 22)
#define F_result_type    (1ULL << 23)
#define F_state          (1ULL << 24)
#define F_revision       (1ULL << 25)
#define F_attempt        (1ULL << 26)
#define F_expired        (1ULL << 27)
#define F_timeouts       (1ULL << 28)
#define F_failures       (1ULL << 29)
#define F_releases       (1ULL << 30)
#define F_lost_handoffs  (1ULL << 31)
#define F_created_ms     (1ULL << 32)
#define F_updated_ms     (1ULL << 33)
#define F_changed_end    (1ULL << 34)
#define F_ready_position (1ULL << 35)
#define F_ready_ms       (1ULL << 36)
#define F_next_number    (1ULL << 37)
#define F_total          (1ULL << 38)
#define F_own_lease_ms   (1ULL << 39)

#define ANY  UINT64_MAX
#define U32  UINT32_MAX
#define TIME (UINT64_MAX / 4 - 1)

struct member {
	size_t offset;
	uint64_t bit;
	uint64_t max; /* the largest value that may be read */
	enum kind kind;
	size_t count; /* numbers in a row */
};

#define M(name, kind, max)                                                                                                       \
	{                                                                                                                        \
		offsetof(struct event, name), F_##name, max, kind, 1                                                             \
	}
static const struct member members[] = {
	M(number, NUMBER, UINT64_MAX / 2 - 1),
	M(queue, TEXT, 0),
	M(name, TEXT, 0),
	M(key, TEXT, 0),
	M(content_type, TEXT, 0),
	M(message, TEXT, 0),
	M(error, TEXT, 0),
	M(worker, TEXT, 0),
	M(attempt_id, TEXT, 0),
	M(secret, TEXT, EVENT_SECRET_BYTES),
	M(fingerprint, NUMBER, ANY),
	M(token, NUMBER, ANY),
	M(until_ms, NUMBER, TIME),
	M(retain_ms, NUMBER, TIME),
	M(cancel_at_ms, NUMBER, TIME),
	M(priority, NUMBER, U32),
	M(max_attempts, NUMBER, U32),
	M(lease_ms, NUMBER, U32),
	M(progress, NUMBER, 1000001),
	M(paused, NUMBER, ANY),
	M(blob, BODY, 0),
	M(body, BODY, 0),
	M(result, BODY, 0),
	M(result_type, TEXT, 0),
	M(state, NUMBER, JOB_STATE_COUNT - 1),
	M(revision, NUMBER, U32),
	M(attempt, NUMBER, U32),
	M(expired, NUMBER, ANY),
	M(timeouts, NUMBER, U32),
	M(failures, NUMBER, U32),
	M(releases, NUMBER, U32),
	M(lost_handoffs, NUMBER, U32),
	M(created_ms, NUMBER, ANY),
	M(updated_ms, NUMBER, TIME),
	M(changed_end, NUMBER, ANY),
	M(ready_position, NUMBER, ANY),
	M(ready_ms, NUMBER, ANY),
	M(own_lease_ms, NUMBER, U32),
	M(next_number, NUMBER, ANY),
	{offsetof(struct event, total), F_total, ANY, NUMBER, QUEUE_TOTAL_COUNT},
};

static const uint64_t fields_of[EVENT_TYPE_COUNT] = {
	[EVENT_INIT] = F_secret,
	[EVENT_SUBMITTED] = F_number | F_queue | F_name | F_key | F_fingerprint | F_content_type | F_priority | F_max_attempts |
			    F_lease_ms | F_retain_ms | F_until_ms | F_cancel_at_ms | F_blob,
	[EVENT_READY] = F_number,
	[EVENT_OFFERED] = F_number | F_token | F_lease_ms | F_until_ms | F_worker | F_attempt_id,
	[EVENT_LEASED] = F_number | F_until_ms,
	[EVENT_UNOFFERED] = F_number,
	[EVENT_BEAT] = F_number | F_until_ms | F_lease_ms | F_progress | F_message,
	[EVENT_RELEASED] = F_number | F_until_ms,
	[EVENT_RETRIED] = F_number | F_until_ms | F_error,
	[EVENT_TIMED_OUT] = F_number,
	[EVENT_DONE] = F_number | F_content_type | F_blob,
	[EVENT_FAILED] = F_number | F_error,
	[EVENT_CANCELED] = F_number,
	[EVENT_KICKED] = F_number,
	[EVENT_EXPIRED] = F_number,
	[EVENT_FORGOTTEN] = F_number,
	[EVENT_QUEUE_SET] = F_queue | F_paused,
	[EVENT_BODY_MOVED] = F_number,
	[EVENT_RESULT_MOVED] = F_number,
	[EVENT_SNAP_META] = F_secret | F_next_number,
	[EVENT_SNAP_QUEUE] = F_queue | F_paused | F_changed_end | F_total,
	[EVENT_SNAP_JOB] = F_number | F_queue | F_name | F_key | F_fingerprint | F_content_type | F_priority | F_max_attempts |
			   F_lease_ms | F_retain_ms | F_until_ms | F_cancel_at_ms | F_state | F_expired | F_revision | F_attempt |
			   F_token | F_worker | F_attempt_id | F_progress | F_message | F_error | F_result_type | F_body |
			   F_result | F_timeouts | F_failures | F_releases | F_lost_handoffs | F_created_ms | F_updated_ms |
			   F_changed_end | F_ready_position | F_ready_ms | F_own_lease_ms,
};

static char long_text[70000];

static uint64_t *number_at(struct event *event, const struct member *m)
{
	return (uint64_t *)(void *)((char *)event + m->offset);
}

static struct slice *text_at(struct event *event, const struct member *m)
{
	return (struct slice *)(void *)((char *)event + m->offset);
}

static struct body_ref *body_at(struct event *event, const struct member *m)
{
	return (struct body_ref *)(void *)((char *)event + m->offset);
}

static bool same_body(const struct body_ref *a, const struct body_ref *b)
{
	return a->kind == b->kind && a->place == b->place && a->size_bytes == b->size_bytes && a->crc == b->crc;
}

/* What the type carries came through; what it does not carry is zero. */
static void expect_same(struct event *sent, struct event *read)
{
	struct event zero = {0};

	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		const struct member *m = &members[i];
		struct event *from = fields_of[sent->type] & m->bit ? sent : &zero;

		if (m->kind == TEXT)
			assert_true(slice_eq(*text_at(read, m), *text_at(from, m)));
		else if (m->kind == BODY)
			assert_true(same_body(body_at(read, m), body_at(from, m)));
		for (size_t n = 0; m->kind == NUMBER && n < m->count; n++)
			assert_true(number_at(read, m)[n] == number_at(from, m)[n]);
	}
}

/* Decodes from a block of exactly that size, so that a byte read too many is seen. */
static int decode(enum event_type type, struct slice fields, struct event *ret_event, char **ret_block)
{
	char *block = mem_alloc(fields.len);
	int r;

	assert_non_null(block);
	if (fields.len)
		memcpy(block, fields.ptr, fields.len);
	*ret_event = (struct event){.type = type};
	r = event_decode(ret_event, slice_from(block, fields.len));
	*ret_block = block;
	return r;
}

static int decode_only(enum event_type type, struct slice fields)
{
	struct event event;
	char *block;
	int r = decode(type, fields, &event, &block);

	mem_free(block);
	return r;
}

static void expect_round_trip(struct event *event)
{
	struct buf out = {0};
	struct event read;
	char *block;

	event_encode(event, &out);
	assert_false(out.failed);
	assert_int_equal(decode(event->type, buf_slice(&out), &read, &block), 0);
	expect_same(event, &read);
	mem_free(block);
	buf_deinit(&out);
}

static uint64_t some_number(struct test_random *random, uint64_t max)
{
	uint64_t number = test_random_u64(random) >> test_random_below(random, 64);

	switch (test_random_below(random, 8)) {
	case 0:
		return 0;
	case 1:
		return max;
	default:
		return max == UINT64_MAX ? number : number % (max + 1);
	}
}

static struct slice some_text(struct test_random *random, const struct member *m)
{
	static const size_t lengths[] = {0, 1, 2, 16, 127, 128, 300, 16383, 16384, sizeof(long_text)};
	size_t len = m->max ? test_random_below(random, 2) * m->max : lengths[test_random_below(random, ARRAY_COUNT(lengths))];

	return slice_from(long_text + test_random_below(random, sizeof(long_text) - len + 1), len);
}

static struct body_ref some_body(struct test_random *random)
{
	switch (test_random_below(random, 3)) {
	case 0:
		return (struct body_ref){0};
	case 1:
		return (struct body_ref){test_random_u64(random), some_number(random, BODY_INLINE_MAX),
					 (uint32_t)test_random_u64(random), BODY_INLINE};
	default:
		return (struct body_ref){some_number(random, ANY), some_number(random, ANY), UINT32_MAX, BODY_BLOB};
	}
}

static struct event some_event(struct test_random *random, enum event_type type)
{
	struct event event = {.type = type};

	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		const struct member *m = &members[i];

		if (m->kind == TEXT)
			*text_at(&event, m) = some_text(random, m);
		else if (m->kind == BODY)
			*body_at(&event, m) = some_body(random);
		for (size_t n = 0; m->kind == NUMBER && n < m->count; n++)
			number_at(&event, m)[n] = some_number(random, m->max);
	}
	return event;
}

static int setup(void **state)
{
	struct test_random random = {7};

	(void)state;
	test_random_bytes(&random, long_text, sizeof(long_text));
	return 0;
}

static void round_trip(void **state)
{
	struct test_random random = test_random_start("event");

	(void)state;
	for (unsigned type = 1; type < EVENT_TYPE_COUNT; type++) {
		struct event empty = {.type = (enum event_type)type};

		assert_true(fields_of[type] != 0);
		expect_round_trip(&empty);
		for (int n = 0; n < 300; n++) {
			struct event event = some_event(&random, (enum event_type)type);

			expect_round_trip(&event);
		}
	}
}

/* The largest value of each number is read, the next one is not. */
static void limits_of_numbers(void **state)
{
	(void)state;
	for (unsigned type = 1; type < EVENT_TYPE_COUNT; type++) {
		for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
			const struct member *m = &members[i];
			struct event event = {.type = (enum event_type)type};
			struct buf out = {0};

			if (m->kind != NUMBER || !(fields_of[type] & m->bit))
				continue;
			*number_at(&event, m) = m->max;
			expect_round_trip(&event);
			if (m->max == ANY)
				continue;
			*number_at(&event, m) = m->max + 1;
			event_encode(&event, &out);
			assert_int_equal(decode_only(event.type, buf_slice(&out)), -EBADMSG);
			buf_deinit(&out);
		}
	}
}

static void secret_has_its_length(void **state)
{
	(void)state;
	for (size_t len = 0; len < 40; len++) {
		struct event event = {.type = EVENT_INIT, .secret = slice_from(long_text, len)};
		struct buf out = {0};

		event_encode(&event, &out);
		assert_int_equal(decode_only(EVENT_INIT, buf_slice(&out)), len == 0 || len == EVENT_SECRET_BYTES ? 0 : -EBADMSG);
		buf_deinit(&out);
	}
}

static void bodies_that_cannot_be(void **state)
{
	struct event event = {.type = EVENT_DONE, .number = 1};
	struct buf out = {0};

	(void)state;
	event.blob = (struct body_ref){5, BODY_INLINE_MAX + 1, 7, BODY_INLINE};
	event_encode(&event, &out);
	assert_int_equal(decode_only(EVENT_DONE, buf_slice(&out)), -EBADMSG);
	buf_clear(&out);
	event.blob = (struct body_ref){5, 6, 7, (enum body_kind)3};
	event_encode(&event, &out);
	assert_int_equal(decode_only(EVENT_DONE, buf_slice(&out)), -EBADMSG);
	buf_deinit(&out);
}

static void cut_or_longer(void **state)
{
	struct test_random random = test_random_start("event cut");

	(void)state;
	for (unsigned type = 1; type < EVENT_TYPE_COUNT; type++) {
		for (int n = 0; n < 12; n++) {
			struct event event = some_event(&random, (enum event_type)type);
			struct buf out = {0};

			for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
				/* Every cut is tried: no longer than it must be. */
				if (members[i].kind == TEXT && text_at(&event, &members[i])->len > 300)
					text_at(&event, &members[i])->len = 130;
			}
			event_encode(&event, &out);
			assert_int_equal(decode_only(event.type, buf_slice(&out)), 0);
			for (size_t len = 0; len < out.len; len++)
				assert_int_equal(decode_only(event.type, slice_from(out.ptr, len)), -EBADMSG);
			for (unsigned byte = 0; byte < 256; byte += 51) {
				buf_append_char(&out, (char)byte);
				assert_int_equal(decode_only(event.type, buf_slice(&out)), -EBADMSG);
				out.len--;
			}
			buf_deinit(&out);
		}
	}
}

static void unknown_types(void **state)
{
	static const unsigned types[] = {0, EVENT_TYPE_COUNT, EVENT_TYPE_COUNT + 1, 127, 128, 255, 65536, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
		assert_int_equal(decode_only((enum event_type)types[i], (struct slice){0}), -EBADMSG);
		assert_int_equal(decode_only((enum event_type)types[i], SLICE("\x01")), -EBADMSG);
	}
}

/* What random bytes decode to, if to anything, is encoded to something that decodes to the same. */
static void expect_sober(enum event_type type, struct slice fields)
{
	struct event event;
	char *block;
	int r = decode(type, fields, &event, &block);

	if (r == 0)
		expect_round_trip(&event);
	else
		assert_int_equal(r, -EBADMSG);
	mem_free(block);
}

static void random_bytes(void **state)
{
	struct test_random random = test_random_start("event bytes");
	char bytes[64];

	(void)state;
	for (int n = 0; n < 100000; n++) {
		test_random_bytes(&random, bytes, sizeof(bytes));
		if (n % 2) {
			/* Small numbers: lengths that fit. */
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = (char)(bytes[i] & 3);
		}
		expect_sober((enum event_type)test_random_below(&random, EVENT_TYPE_COUNT + 2),
			     slice_from(bytes, test_random_below(&random, sizeof(bytes) + 1)));
	}
}

static void damaged_bytes(void **state)
{
	struct test_random random = test_random_start("event damage");

	(void)state;
	for (int n = 0; n < 20000; n++) {
		struct event event = some_event(&random, (enum event_type)(1 + test_random_below(&random, EVENT_TYPE_COUNT - 1)));
		struct buf out = {0};

		if (event.type == EVENT_SNAP_JOB && n % 4)
			continue;
		event_encode(&event, &out);
		for (int k = 0; k < 3; k++)
			out.ptr[test_random_below(&random, out.len)] ^= (char)(1 << test_random_below(&random, 8));
		expect_sober(event.type, buf_slice(&out));
		buf_deinit(&out);
	}
}

/* The bytes on disk, for ever: who changes one of these changes the format. */
static void bytes_on_disk(void **state)
{
	static const struct {
		struct event event;
		const char *bytes;
		size_t len;
	} rows[] = {
#define BYTES(literal) literal, sizeof(literal) - 1
		{{.type = EVENT_READY, .number = 300}, BYTES("\xac\x02")},
		{{.type = EVENT_QUEUE_SET, .queue = {"ab", 2}, .paused = 1}, BYTES("\2ab\1")},
		{{.type = EVENT_LEASED, .number = 1, .until_ms = 128}, BYTES("\1\x80\1")},
		{{.type = EVENT_OFFERED,
		  .number = 2,
		  .token = 0x0102030405060708,
		  .lease_ms = 3,
		  .until_ms = 4,
		  .worker = {"w", 1},
		  .attempt_id = {"id", 2}},
		 BYTES("\2\x08\7\6\5\4\3\2\1\3\4\1w\2id")},
		{{.type = EVENT_BEAT, .number = 1, .until_ms = 2, .lease_ms = 3, .progress = 4, .message = {"m", 1}},
		 BYTES("\1\2\3\4\1m")},
		{{.type = EVENT_RETRIED, .number = 1, .until_ms = 2, .error = {"e", 1}}, BYTES("\1\2\1e")},
		{{.type = EVENT_DONE, .number = 1, .content_type = {"t", 1}}, BYTES("\1\1t\0")},
		{{.type = EVENT_DONE, .number = 1, .blob = {2, 3, 0x0a0b0c0d, BODY_BLOB}}, BYTES("\1\0\2\2\3\x0d\x0c\x0b\x0a")},
		{{.type = EVENT_SUBMITTED,
		  .number = 1,
		  .queue = {"q", 1},
		  .name = {"n", 1},
		  .key = {"k", 1},
		  .fingerprint = 0x1122334455667788,
		  .content_type = {"t", 1},
		  .priority = 2,
		  .max_attempts = 3,
		  .lease_ms = 4,
		  .retain_ms = 5,
		  .until_ms = 6,
		  .cancel_at_ms = 7},
		 BYTES("\1\1q\1n\1k\x88\x77\x66\x55\x44\x33\x22\x11\1t\2\3\4\5\6\7\0")},
		{{.type = EVENT_SNAP_META, .secret = {"0123456789abcdef", 16}, .next_number = 9},
		 BYTES("\x10"
		       "0123456789abcdef\x09")},
		{{.type = EVENT_SNAP_QUEUE, .queue = {"q", 1}, .paused = 1, .changed_end = 2, .total = {3, 4, 5, 6, 7, 8, 9, 10}},
		 BYTES("\1q\1\2\3\4\5\6\7\x08\x09\x0a")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct buf out = {0};

		event_encode(&rows[i].event, &out);
		assert_int_equal(out.len, rows[i].len);
		assert_memory_equal(out.ptr, rows[i].bytes, rows[i].len);
		buf_deinit(&out);
	}
}

static void encoding_without_memory(void **state)
{
	struct event event = {.type = EVENT_QUEUE_SET, .queue = slice_from(long_text, sizeof(long_text))};
	struct buf out = {0};

	(void)state;
	for (uint64_t k = 1;; k++) {
		mem_fail_nth(k);
		event_encode(&event, &out);
		mem_fail_nth(0);
		if (!out.failed)
			break;
		assert_true(k < 10);
		buf_deinit(&out);
		out = (struct buf){0};
	}
	assert_int_equal(decode_only(event.type, buf_slice(&out)), 0);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(limits_of_numbers),
		cmocka_unit_test(secret_has_its_length),
		cmocka_unit_test(bodies_that_cannot_be),
		cmocka_unit_test(cut_or_longer),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(damaged_bytes),
		cmocka_unit_test(bytes_on_disk),
		cmocka_unit_test(encoding_without_memory),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
