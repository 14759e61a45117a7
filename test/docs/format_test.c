/* Holds doc/journal-format.md to the code: what is encoded is read back here by nothing but the tables on that page.
 *
 * The page names fields, their kinds and their order; this file knows which member of `struct event` a name stands for, and how a
 * kind is read. A field that is missing on the page, too much on it, in another place or of another kind, and an offset or a size
 * that is not so, all show as a value that is not the one that was put in. */
#include "base/testing.h"

#include "base/crc32c.h"
#include "base/wire.h"
#include "job/event.h"
#include "journal/blob.h"
#include "journal/entry.h"
#include "page.h"

#include <string.h>

enum { FIELDS_MAX = 64 };

/* --- events --- */

/* The members by name. */
#define MEMBER(name)                                                                                                             \
	{                                                                                                                        \
#name, offsetof(struct event, name)                                                                              \
	}
static const struct {
	const char *name;
	size_t offset;
} members[] = {
	MEMBER(number),       MEMBER(queue),       MEMBER(name),           MEMBER(key),
	MEMBER(content_type), MEMBER(message),     MEMBER(error),          MEMBER(worker),
	MEMBER(attempt_id),   MEMBER(secret),      MEMBER(fingerprint),    MEMBER(token),
	MEMBER(until_ms),     MEMBER(retain_ms),   MEMBER(cancel_at_ms),   MEMBER(priority),
	MEMBER(max_attempts), MEMBER(lease_ms),    MEMBER(progress),       MEMBER(paused),
	MEMBER(blob),         MEMBER(body),        MEMBER(result),         MEMBER(result_type),
	MEMBER(state),        MEMBER(revision),    MEMBER(attempt),        MEMBER(expired),
	MEMBER(timeouts),     MEMBER(failures),    MEMBER(releases),       MEMBER(lost_handoffs),
	MEMBER(created_ms),   MEMBER(updated_ms),  MEMBER(changed_end),    MEMBER(own_lease_ms),
	MEMBER(ready_ms),     MEMBER(next_number), MEMBER(ready_position), MEMBER(total),
};

#define NAMED(name) [EVENT_##name] = #name
static const char *const event_names[EVENT_TYPE_COUNT] = {
	NAMED(INIT),         NAMED(SUBMITTED), NAMED(READY),      NAMED(OFFERED),   NAMED(LEASED),    NAMED(UNOFFERED),
	NAMED(BEAT),         NAMED(RELEASED),  NAMED(RETRIED),    NAMED(TIMED_OUT), NAMED(DONE),      NAMED(FAILED),
	NAMED(CANCELED),     NAMED(KICKED),    NAMED(EXPIRED),    NAMED(FORGOTTEN), NAMED(QUEUE_SET), NAMED(BODY_MOVED),
	NAMED(RESULT_MOVED), NAMED(SNAP_META), NAMED(SNAP_QUEUE), NAMED(SNAP_JOB),
};

struct field {
	char name[64];
	char kind[16];
	size_t offset;
	char text[16]; /* what a string of that name holds */
};

struct fields {
	struct field field[FIELDS_MAX];
	size_t count;
};

static size_t member_offset(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(members); i++)
		if (strcmp(members[i].name, name) == 0)
			return members[i].offset;
	fail_msg("%s: an event has no field %s", path, name);
	return 0;
}

static void fields_read(struct page *page, struct fields *fields)
{
	const char *at;

	fields->count = 0;
	page_find(page, "field", "kind");
	while (page_row(page)) {
		struct field *field = &fields->field[fields->count];

		assert_true(fields->count < FIELDS_MAX);
		at = page->cell[0];
		assert_true(next_name(&at, field->name));
		snprintf(field->kind, sizeof(field->kind), "%.15s", page->cell[1]);
		snprintf(field->text, sizeof(field->text), "text %zu", fields->count);
		field->offset = member_offset(field->name);
		for (size_t i = 0; i < fields->count; i++)
			assert_string_not_equal(fields->field[i].name, field->name);
		fields->count++;
	}
	assert_int_equal(fields->count, ARRAY_COUNT(members));
}

static const struct field *field_find(const struct fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (strcmp(fields->field[i].name, name) == 0)
			return &fields->field[i];
	fail_msg("%s: field %s is used and not explained", path, name);
	return NULL;
}

/* Every field has a value of its own, made from its place on the page; integers need more than one byte. */
static uint64_t number_in(const struct fields *fields, const struct field *field)
{
	return 1000 + 300 * (uint64_t)(field - fields->field);
}

static void event_fill(const struct fields *fields, struct event *event)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->field[i];
		void *at = (char *)event + field->offset;
		uint64_t n = number_in(fields, field);

		if (strcmp(field->kind, "string") == 0)
			*(struct slice *)at = slice_str(field->text);
		else if (strcmp(field->kind, "reference") == 0)
			*(struct body_ref *)at = (struct body_ref){n, n + 1, (uint32_t)n + 2, BODY_BLOB};
		else if (strcmp(field->kind, "totals") == 0)
			for (size_t t = 0; t < QUEUE_TOTAL_COUNT; t++)
				((uint64_t *)at)[t] = n + t;
		else
			*(uint64_t *)at = n;
	}
}

/* Reads one field as its kind on the page says. */
static void field_check(const struct fields *fields, const struct field *field, struct wire_reader *r)
{
	uint64_t n = number_in(fields, field);

	if (strcmp(field->kind, "varint") == 0) {
		assert_int_equal(wire_varint(r), n);
	} else if (strcmp(field->kind, "fixed64") == 0) {
		assert_int_equal(wire_u64(r), n);
	} else if (strcmp(field->kind, "string") == 0) {
		assert_true(slice_eq(wire_string(r), slice_str(field->text)));
	} else if (strcmp(field->kind, "reference") == 0) {
		assert_int_equal(wire_u8(r), 2);
		assert_int_equal(wire_varint(r), n);
		assert_int_equal(wire_varint(r), n + 1);
		assert_int_equal(wire_u32(r), n + 2);
	} else if (strcmp(field->kind, "totals") == 0) {
		for (size_t t = 0; t < 8; t++)
			assert_int_equal(wire_varint(r), n + t);
	} else {
		fail_msg("%s: field %s is of no kind that is known: %s", path, field->name, field->kind);
	}
}

static void event_check(const struct fields *fields, unsigned type, const char *listed)
{
	struct event event = {.type = (enum event_type)type};
	struct buf out = {0};
	struct wire_reader r;
	char name[64];

	event_fill(fields, &event);
	event_encode(&event, &out);
	r = wire_reader_of(buf_slice(&out));
	while (next_name(&listed, name)) {
		field_check(fields, field_find(fields, name), &r);
		if (r.failed)
			fail_msg("%s: event %u has no field %s, or it is not there", path, type, name);
	}
	if (!wire_ok(&r))
		fail_msg("%s: event %u has more fields than are listed", path, type);
	buf_deinit(&out);
}

static void every_event_is_encoded_as_the_page_says(void **state)
{
	bool seen[EVENT_TYPE_COUNT] = {false};
	struct fields fields;
	struct page page;

	(void)state;
	page_open(&page); /* the fields are explained behind the events */
	fields_read(&page, &fields);
	page_close(&page);
	page_open(&page);
	page_find(&page, "type", "event");
	while (page_row(&page)) {
		unsigned type = (unsigned)strtoul(page.cell[0], NULL, 10);
		const char *at = page.cell[1];
		char name[64];

		assert_true(type > 0 && type < EVENT_TYPE_COUNT && !seen[type]);
		assert_true(next_name(&at, name));
		assert_string_equal(name, event_names[type]);
		event_check(&fields, type, page.cell[3]);
		seen[type] = true;
	}
	page_close(&page);
	for (unsigned type = 1; type < EVENT_TYPE_COUNT; type++)
		assert_true(seen[type]);
}

/* --- headers --- */

/* What stands in a place of that size, little-endian. */
static uint64_t load(const char *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i-- > 0;)
		value = value << 8 | (uint8_t)at[i];
	return value;
}

struct expected {
	const char *what; /* the cell begins with it */
	uint64_t value;
};

/* The next table with offsets, which must cover `len` bytes without a gap and hold what is expected, in order. */
static void offsets_check(struct page *page, const char *bytes, size_t len, const struct expected *expected, size_t count)
{
	size_t end = 0, row = 0;

	page_find(page, "OFFSET", "SIZE");
	for (; page_row(page); row++) {
		size_t offset = strtoul(page->cell[0], NULL, 10), size = strtoul(page->cell[1], NULL, 10);

		assert_true(row < count);
		assert_int_equal(offset, end);
		assert_memory_equal(page->cell[2], expected[row].what, strlen(expected[row].what));
		if (size <= 8)
			assert_int_equal(load(bytes + offset, size), expected[row].value);
		end = offset + size;
	}
	assert_int_equal(row, count);
	assert_int_equal(end, len);
}

static void file_header_check(struct page *page)
{
	struct file_header header = {.magic = FILE_SEGMENT, .segment_bytes = 11, .position = 22, .salt = 33, .made_ms = 44};
	char bytes[FILE_HEADER_BYTES];
	uint64_t magic;

	file_header_encode(&header, bytes);
	memcpy(&magic, "BIDESEGM", 8);
	offsets_check(page, bytes, sizeof(bytes),
		      (const struct expected[]){{"magic", wire_load_u64(&magic)},
						{"format version: 1", 1},
						{"zero", 0},
						{"segment: bytes", 11},
						{"segment: position", 22},
						{"salt", 33},
						{"made at", 44},
						{"zero", 0},
						{"CRC-32C of bytes 0 to 59", crc32c(0, bytes, 60)}},
		      9);
}

static void entry_header_check(struct page *page)
{
	struct entry entry = {.fields = SLICE("the fields"), .body = SLICE("the body"), .time_ms = 77, .shard = 3, .type = 9};
	uint64_t seed[2] = {0x1234, 4096}; /* this machine is little-endian, or the next line shows it */
	char bytes[64];

	assert_int_equal(load((const char *)seed, 8), 0x1234);
	entry.body_crc = crc32c(0, entry.body.ptr, entry.body.len);
	entry_encode(&entry, bytes);
	entry_seal(bytes, seed[0], seed[1], 1000);
	offsets_check(page, bytes, ENTRY_HEADER_BYTES,
		      (const struct expected[]){{"length", 36 + 10 + 8},
						{"CRC-32C of salt", crc32c(crc32c(0, seed, 16), bytes + 8, 28 + 10)},
						{"CRC-32C of the body", entry.body_crc},
						{"length of the fields", 10},
						{"time", 77},
						{"durable", 1000},
						{"shard", 3},
						{"type", 9},
						{"flags", 0}},
		      9);
}

static void headers_lie_as_the_page_says(void **state)
{
	struct page page;

	(void)state;
	page_open(&page);
	file_header_check(&page);
	entry_header_check(&page);
	page_close(&page);
}

/* What the file of a blob is made of with these sizes, blob_test.c shows. */
static void blobs_are_cut_as_the_page_says(void **state)
{
	static const struct {
		const char *what;
		unsigned bytes;
	} rows[] = {{"chunk", BLOB_CHUNK_BYTES}, {"stretch", BLOB_STRETCH_BYTES}, {"sum", BLOB_SUM_BYTES}};
	struct page page;
	size_t row = 0;

	(void)state;
	page_open(&page);
	page_find(&page, "in a blob", "bytes");
	for (; page_row(&page); row++) {
		assert_true(row < ARRAY_COUNT(rows));
		assert_string_equal(page.cell[0], rows[row].what);
		assert_int_equal(strtoul(page.cell[1], NULL, 10), rows[row].bytes);
	}
	assert_int_equal(row, ARRAY_COUNT(rows));
	page_close(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_is_encoded_as_the_page_says),
		cmocka_unit_test(headers_lie_as_the_page_says),
		cmocka_unit_test(blobs_are_cut_as_the_page_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
