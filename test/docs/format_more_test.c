/* Holds the events of streams, of subscriptions, of topics and of groups on doc/journal-format.md to the code, as format_test.c
 * does those of jobs: what is encoded is read back by nothing but the rows on that page. */
#include "base/testing.h"

#include "base/wire.h"
#include "group/group_event.h"
#include "page.h"
#include "stream/stream_event.h"
#include "subscription/subscription_event.h"
#include "topic/topic_event.h"

#include <string.h>

/* As the prose below the tables says it. */
enum kind { NUMBER, FIXED, TEXT, REF };

struct member {
	const char *name;
	size_t offset;
	enum kind kind;
};

struct family {
	const char *heading; /* of its section */
	const struct member *members;
	size_t count;
	const char *const *names; /* by type */
	unsigned first, end;
	void (*encode)(const void *event, struct buf *out);
};

#define ROOM_BYTES 1024

#define S(name, kind)                                                                                                            \
	{                                                                                                                        \
#name, offsetof(struct stream_event, name), kind                                                                 \
	}
static const struct member stream_members[] = {
	S(number, NUMBER),      S(path, TEXT),
	S(content_type, TEXT),  S(stream_seq, TEXT),
	S(producer, TEXT),      S(flags, NUMBER),
	S(ttl_s, NUMBER),       S(expires_at_ms, NUMBER),
	S(max_age_ms, NUMBER),  S(max_bytes, NUMBER),
	S(source, NUMBER),      S(fork_offset, NUMBER),
	S(fork_sub, NUMBER),    S(offset, NUMBER),
	S(count, NUMBER),       S(epoch, NUMBER),
	S(seq, NUMBER),         S(max_time_ms, NUMBER),
	S(key, TEXT),           S(blob, REF),
	S(next_offset, NUMBER), S(earliest_offset, NUMBER),
	S(changed_end, NUMBER), S(created_ms, NUMBER),
	S(next_number, NUMBER), S(chunks, TEXT),
	S(producer_id, NUMBER), S(txn, NUMBER),
	S(forgotten, NUMBER),   S(last_ms, NUMBER),
	S(txn_first, NUMBER),   S(batches, TEXT),
	S(aborted, TEXT),       S(kept_offset, NUMBER),
	S(kept_count, NUMBER),  S(clean_offset, NUMBER),
	S(horizon_ms, NUMBER),
};

#define U(name, kind)                                                                                                            \
	{                                                                                                                        \
#name, offsetof(struct subscription_event, name), kind                                                           \
	}
static const struct member subscription_members[] = {
	U(number, NUMBER),       U(id, TEXT),
	U(pattern, TEXT),        U(url, TEXT),
	U(origin, TEXT),         U(wake_stream, TEXT),
	U(description, TEXT),    U(kind, NUMBER),
	U(lease_ttl_ms, NUMBER), U(fingerprint, FIXED),
	U(flags, NUMBER),        U(links, TEXT),
	U(path, TEXT),           U(link_flags, NUMBER),
	U(generation, NUMBER),   U(until_ms, NUMBER),
	U(holder, TEXT),         U(places, TEXT),
	U(attempts, NUMBER),     U(next_attempt_ms, NUMBER),
	U(created_ms, NUMBER),   U(changed_end, NUMBER),
	U(next_number, NUMBER),
};

#define T(name, kind)                                                                                                            \
	{                                                                                                                        \
#name, offsetof(struct topic_event, name), kind                                                                  \
	}
static const struct member topic_members[] = {
	T(number, NUMBER),
	T(name, TEXT),
	T(id, TEXT),
	T(stream, NUMBER),
	T(count, NUMBER),
	T(settings, TEXT),
	T(producer_id, NUMBER),
	T(partitions, TEXT),
	T(changed_end, NUMBER),
	T(next_number, NUMBER),
	T(next_producer_id, NUMBER),
	T(transactional_id, TEXT),
	T(epoch, NUMBER),
	T(state, NUMBER),
	T(timeout_ms, NUMBER),
	T(started_ms, NUMBER),
	T(changed_ms, NUMBER),
	T(ended_by, NUMBER),
	T(ended_epoch, NUMBER),
	T(streams, TEXT),
	T(offsets, TEXT),
};

#define G(name, kind)                                                                                                            \
	{                                                                                                                        \
#name, offsetof(struct group_event, name), kind                                                                  \
	}
static const struct member group_members[] = {
	G(number, NUMBER),
	G(id, TEXT),
	G(generation, NUMBER),
	G(members, NUMBER),
	G(session_ms, NUMBER),
	G(protocol_type, TEXT),
	G(protocol, TEXT),
	G(offsets, TEXT),
	G(used_ms, NUMBER),
	G(changed_end, NUMBER),
	G(next_number, NUMBER),
	G(member, TEXT),
	G(instance, TEXT),
	G(rack, TEXT),
	G(client_id, TEXT),
	G(client_host, TEXT),
	G(rebalance_ms, NUMBER),
	G(topics, TEXT),
	G(regex, TEXT),
	G(assignor, TEXT),
	G(assignment_epoch, NUMBER),
	G(epoch, NUMBER),
	G(previous_epoch, NUMBER),
	G(state, NUMBER),
	G(assigned, TEXT),
	G(revoking, TEXT),
	G(since, TEXT),
	G(targets, TEXT),
};

#define NAMED(name) [name] = #name
static const char *const stream_names[STREAM_EVENT_END] = {
	NAMED(STREAM_CREATED),  NAMED(STREAM_APPENDED),      NAMED(STREAM_DELETED),       NAMED(STREAM_MOVED),
	NAMED(STREAM_GATHERED), NAMED(STREAM_TRIMMED),       NAMED(STREAM_DROPPED),       NAMED(STREAM_SNAP_META),
	NAMED(STREAM_SNAP),     NAMED(STREAM_SNAP_CHUNKS),   NAMED(STREAM_SNAP_PRODUCER), NAMED(STREAM_SNAP_KEY),
	NAMED(STREAM_PRODUCED), NAMED(STREAM_SNAP_SEQUENCE), NAMED(STREAM_SNAP_ABORTED),  NAMED(STREAM_COMPACTED),
};
static const char *const subscription_names[SUB_EVENT_END] = {
	NAMED(SUB_CREATED), NAMED(SUB_DELETED), NAMED(SUB_LINKED), NAMED(SUB_UNLINKED),  NAMED(SUB_WOKEN), NAMED(SUB_CLAIMED),
	NAMED(SUB_ACKED),   NAMED(SUB_ENDED),   NAMED(SUB_HOOKED), NAMED(SUB_SNAP_META), NAMED(SUB_SNAP),  NAMED(SUB_SNAP_LINKS),
};

static const char *const topic_names[TOPIC_EVENT_END] = {
	NAMED(TOPIC_CREATED),  NAMED(TOPIC_GROWN),     NAMED(TOPIC_CONFIGURED), NAMED(TOPIC_DELETED),
	NAMED(TOPIC_PRODUCER), NAMED(TOPIC_SNAP_META), NAMED(TOPIC_SNAP),       NAMED(TOPIC_TXN),
};

static const char *const group_names[GROUP_EVENT_END] = {
	NAMED(GROUP_CREATED),   NAMED(GROUP_DELETED), NAMED(GROUP_BEGUN),        NAMED(GROUP_COMMITTED), NAMED(GROUP_FORGOT),
	NAMED(GROUP_SNAP_META), NAMED(GROUP_SNAP),    NAMED(GROUP_SNAP_OFFSETS), NAMED(GROUP_MEMBER),    NAMED(GROUP_LEFT),
	NAMED(GROUP_TARGET),    NAMED(GROUP_EPOCH),   NAMED(GROUP_HELD),
};

static void stream_encode(const void *event, struct buf *out)
{
	stream_event_encode(event, out);
}

static void subscription_encode(const void *event, struct buf *out)
{
	subscription_event_encode(event, out);
}

static void topic_encode(const void *event, struct buf *out)
{
	topic_event_encode(event, out);
}

static void group_encode(const void *event, struct buf *out)
{
	group_event_encode(event, out);
}

static const struct family families[] = {
	{"### Events of streams\n", stream_members, ARRAY_COUNT(stream_members), stream_names, STREAM_EVENT_FIRST,
	 STREAM_EVENT_END, stream_encode},
	{"### Events of subscriptions\n", subscription_members, ARRAY_COUNT(subscription_members), subscription_names,
	 SUB_EVENT_FIRST, SUB_EVENT_END, subscription_encode},
	{"### Events of topics\n", topic_members, ARRAY_COUNT(topic_members), topic_names, TOPIC_EVENT_FIRST, TOPIC_EVENT_END,
	 topic_encode},
	{"### Events of groups\n", group_members, ARRAY_COUNT(group_members), group_names, GROUP_EVENT_FIRST, GROUP_EVENT_END,
	 group_encode},
};

/* Every field has a value of its own; integers need more than one byte. */
static void fill(const struct family *family, char *event)
{
	for (size_t i = 0; i < family->count; i++) {
		void *at = event + family->members[i].offset;
		uint64_t n = 1000 + 300 * i;

		switch (family->members[i].kind) {
		case NUMBER:
		case FIXED:
			*(uint64_t *)at = n;
			break;
		case TEXT:
			*(struct slice *)at = slice_str(family->members[i].name);
			break;
		case REF:
			*(struct body_ref *)at = (struct body_ref){n, n + 1, (uint32_t)n + 2, BODY_BLOB};
			break;
		}
	}
}

static void read_one(const struct family *family, const char *name, struct wire_reader *r)
{
	size_t i = 0;

	while (i < family->count && strcmp(family->members[i].name, name) != 0)
		i++;
	if (i == family->count)
		fail_msg("%s: an event has no field %s", path, name);
	switch (family->members[i].kind) {
	case NUMBER:
		assert_int_equal(wire_varint(r), 1000 + 300 * i);
		break;
	case FIXED:
		assert_int_equal(wire_u64(r), 1000 + 300 * i);
		break;
	case TEXT:
		assert_true(slice_eq(wire_string(r), slice_str(name)));
		break;
	case REF:
		assert_int_equal(wire_u8(r), 2);
		assert_int_equal(wire_varint(r), 1000 + 300 * i);
		assert_int_equal(wire_varint(r), 1000 + 300 * i + 1);
		assert_int_equal(wire_u32(r), 1000 + 300 * i + 2);
		break;
	}
}

static void check_row(const struct family *family, unsigned type, const char *listed)
{
	_Alignas(max_align_t) char event[ROOM_BYTES] = {0};
	struct wire_reader r;
	struct buf out = {0};
	char name[64];

	fill(family, event);
	*(unsigned *)(void *)event = type; /* the first member of either */
	family->encode(event, &out);
	r = wire_reader_of(buf_slice(&out));
	while (next_name(&listed, name)) {
		read_one(family, name, &r);
		if (r.failed)
			fail_msg("%s: event %u has no field %s, or it is not there", path, type, name);
	}
	if (!wire_ok(&r))
		fail_msg("%s: event %u has more fields than are listed", path, type);
	buf_deinit(&out);
}

static void check_family(const struct family *family)
{
	bool seen[256] = {false};
	char line[2048] = "";
	struct page page;

	page_open(&page);
	while (strcmp(line, family->heading) != 0)
		assert_non_null(fgets(line, sizeof(line), page.file));
	page_find(&page, "type", "what happened");
	while (page_row(&page)) {
		unsigned type = (unsigned)strtoul(page.cell[0], NULL, 10);
		const char *at = page.cell[0];
		char name[64];

		assert_true(type >= family->first && type < family->end && !seen[type]);
		assert_true(next_name(&at, name));
		assert_string_equal(name, family->names[type]);
		check_row(family, type, page.cell[2]);
		seen[type] = true;
	}
	page_close(&page);
	for (unsigned type = family->first; type < family->end; type++)
		assert_int_equal(seen[type], family->names[type] != NULL);
}

static void every_event_is_encoded_as_the_page_says(void **state)
{
	(void)state;
	_Static_assert(sizeof(struct stream_event) <= ROOM_BYTES && sizeof(struct subscription_event) <= ROOM_BYTES, "room");
	_Static_assert(offsetof(struct stream_event, type) == 0 && offsetof(struct subscription_event, type) == 0, "first");
	for (size_t i = 0; i < ARRAY_COUNT(families); i++)
		check_family(&families[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_is_encoded_as_the_page_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
