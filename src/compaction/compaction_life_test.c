/* A random life: producers, transactions, compaction a step at a time, gathering, the tidier, checkpoints and crashes amid all
 * that, held against the list of all that was ever written. */
#include "compaction/compaction_fixture.h"

#include "base/testing.h"
#include "stream/stream.h"

#include <stdlib.h>

enum { RECORDS = 4096, KEYS = 6, WRITERS = 2, STEPS = 600, LIVES = 8 };

enum fate { FATE_COMMITTED, FATE_OPEN, FATE_ABORTED };

static struct {
	unsigned key;   /* KEYS: none of these: the last one, or a marker */
	unsigned value; /* 0: null */
	enum fate fate;
	unsigned writer;
} records[RECORDS];
static uint64_t record_end;
static struct txn_writer writers[WRITERS];
static bool open[WRITERS];
static unsigned values;
static const char *const ids[WRITERS] = {"one", "two"};

static void remember(uint64_t offset, unsigned key, unsigned value, enum fate fate, unsigned writer)
{
	assert_true(offset < RECORDS);
	for (; record_end <= offset; record_end++)
		records[record_end].key = KEYS;
	records[offset].key = key;
	records[offset].value = value;
	records[offset].fate = fate;
	records[offset].writer = writer;
}

static unsigned some_text(struct test_random *random, char text[128], unsigned keys[4], unsigned of[4])
{
	unsigned count = 1 + (unsigned)test_random_below(random, 4);
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		keys[i] = (unsigned)test_random_below(random, KEYS);
		of[i] = test_random_below(random, 5) == 0 ? 0 : ++values;
		len += (size_t)(of[i] ? snprintf(text + len, 128 - len, "%sk%u=%u", i ? " " : "", keys[i], of[i])
				      : snprintf(text + len, 128 - len, "%sk%u", i ? " " : "", keys[i]));
	}
	return count;
}

static void write_some(struct test_random *random)
{
	unsigned keys[4], of[4];
	char text[128];
	unsigned count = some_text(random, text, keys, of), writer = (unsigned)test_random_below(random, WRITERS);
	uint64_t offset = stream_at(SLICE("t/0"))->next_offset;
	bool txn = test_random_below(random, 3) == 0;

	if (txn) {
		txn_put(&writers[writer], text);
		open[writer] = true;
	} else {
		struct produce_partition p = keyed_packed(text, (unsigned)test_random_below(random, 5));

		assert_int_equal(produce_as(&p), OUTCOME_OK);
	}
	for (unsigned i = 0; i < count; i++)
		remember(offset + i, keys[i], of[i], txn ? FATE_OPEN : FATE_COMMITTED, writer);
}

static void end_one(unsigned writer, bool commit)
{
	if (!open[writer])
		return;
	txn_finish(&writers[writer], commit);
	open[writer] = false;
	for (uint64_t i = 0; i < record_end; i++) {
		if (records[i].key < KEYS && records[i].fate == FATE_OPEN && records[i].writer == writer)
			records[i].fate = commit ? FATE_COMMITTED : FATE_ABORTED;
	}
}

/* What is read is what was written and committed, and of each key the last one is there. */
static void expect_sound(bool clean)
{
	static bool seen[RECORDS];
	uint64_t stable = stream_stable(stream_at(SLICE("t/0")));
	const char *at;

	memset(seen, 0, sizeof(seen));
	read_all();
	for (at = mine.ptr; *at; at = strchr(at, ' ') + 1) {
		char *end;
		unsigned long long offset = strtoull(at, &end, 10);
		unsigned long key = strtoul(end + 2, &end, 10), value = *end == '=' ? strtoul(end + 1, NULL, 10) : 0;

		assert_true(offset < stable && records[offset].key == key && records[offset].value == value);
		assert_true(records[offset].fate == FATE_COMMITTED);
		seen[offset] = true;
	}
	for (unsigned key = 0; key < KEYS; key++) {
		uint64_t last = UINT64_MAX;
		unsigned count = 0;

		for (uint64_t i = 0; i < record_end && i < stable; i++) {
			if (records[i].key != key || records[i].fate != FATE_COMMITTED)
				continue;
			last = i;
			count += seen[i];
		}
		if (last == UINT64_MAX)
			continue;
		if (!seen[last])
			assert_true(records[last].value == 0 && count == 0);
		if (clean)
			assert_true(count <= 1 && (count == 0 || records[last].value));
	}
}

static void rescue_some(struct test_random *random)
{
	const struct fixture_entry *entry = &f.entries[test_random_below(random, f.entry_count)];

	if (entry->replay.body_bytes && entry->replay.end <= f.durable)
		assert_int_equal(sequencer_rescue(f.s, &entry->replay), 0);
	fixture_settle(&f);
}

static void step_on(void)
{
	struct compact_step *step = sequencer_compact_take(f.s);

	if (!step)
		return;
	if (!worker)
		worker = compaction_new(1 << 16);
	compaction_run(worker, step);
	assert_int_equal(step->error, 0);
	sequencer_compact_give(f.s, step);
	sequencer_check(f.s);
	fixture_settle(&f);
}

/* A step is under way while something happens. */
static void step_amid(struct test_random *random)
{
	struct compact_step *step = sequencer_compact_take(f.s);

	if (step)
		compaction_run(worker ? worker : (worker = compaction_new(1 << 16)), step);
	if (test_random_below(random, 2))
		rescue_some(random);
	else
		write_some(random);
	if (step)
		sequencer_compact_give(f.s, step);
	sequencer_check(f.s);
	fixture_settle(&f);
}

static void something_happens(struct test_random *random)
{
	switch (test_random_below(random, 16)) {
	case 0:
		end_one((unsigned)test_random_below(random, WRITERS), test_random_below(random, 2));
		break;
	case 1:
		fixture_later(&f, test_random_below(random, 3000));
		break;
	case 2:
		fixture_later(&f, 20000);
		break;
	case 3:
	case 4:
	case 5:
		step_on();
		break;
	case 6:
		step_amid(random);
		break;
	case 7:
		rescue_some(random);
		break;
	case 8:
		if (test_random_below(random, 4) == 0) {
			fixture_restart(&f);
			worker = compaction_free(worker);
		}
		break;
	case 9:
		fixture_checkpoint(&f, 1 + (unsigned)test_random_below(random, 3));
		break;
	default:
		write_some(random);
		break;
	}
}

static void a_random_life(void **state)
{
	struct test_random random = test_random_start("compaction");

	(void)state;
	for (unsigned life = 0; life < LIVES; life++) {
		compaction_teardown(NULL);
		compaction_setup(NULL);
		f.config.gather_chunks = 4 + (uint32_t)test_random_below(&random, 8);
		f.config.gather_bytes = 4096;
		sequencer_configure(f.s, &f.config);
		if (life % 2)
			assert_int_equal(set_topic(T_NAME, SLICE("max.compaction.lag.ms"), SLICE("5000")), OUTCOME_OK);
		record_end = 0;
		for (unsigned i = 0; i < WRITERS; i++) {
			txn_init(&writers[i], ids[i]);
			open[i] = false;
		}
		for (unsigned step = 0; step < STEPS && record_end < RECORDS - 64; step++) {
			something_happens(&random);
			if (step % 20 == 19)
				expect_sound(false);
			if (step % 150 == 149) {
				expect_same_after_replay(false);
				while (fixture_checkpoint(&f, 100))
					;
				expect_same_after_replay(true);
				fixture_checkpoint_drop(&f);
			}
			fixture_drop_sent(&f);
		}
		for (unsigned i = 0; i < WRITERS; i++)
			end_one(i, false);
		put_last();
		put_last();
		compact_later(1000);
		compact_later(100000);
		compact_later(100000);
		expect_sound(true);
		assert_int_equal(aborted_told(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_random_life, compaction_setup, compaction_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
