/* A random life of streams that keep not everything: forks of forks, retention, records with a time of their own or with a key
 * that replaces, small chunks gathered, sources deleted before their forks and after; all of it without memory now and then.
 * What is read must be what a naive list holds, from any place; and whatever the journal and a checkpoint taken amid all this
 * are played to must be the same. */
#include "sequencer/stream_kept_fixture.h"

#include "base/mem.h"
#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

enum { LIVES = 12, STEPS = 500, PATHS = 8 };

static const struct slice paths[PATHS] = {{"p", 1}, {"q/r", 3}, {"s", 1}, {"t/u/v", 5}, {"w", 1}, {"x", 1}, {"y", 1}, {"z", 1}};
static const struct slice json_type = {"application/json", 16};

static struct fixture twin, cut;
static struct buf other, batch;
static struct kept *kept;
static struct test_random random_state;
static uint64_t next_blob;

static size_t below(size_t bound)
{
	return test_random_below(&random_state, bound);
}

static struct slice any_path(void)
{
	return paths[below(PATHS)];
}

static struct kept_stream *any_stream(void)
{
	struct kept_stream *stream = kept_at(kept, any_path());

	return stream && !stream->gone ? stream : NULL;
}

/* --- commands, with and without memory --- */

static enum outcome ask_once(struct ask *ask, enum command_kind kind)
{
	enum outcome outcome;

	ask->c.kind = kind;
	outcome = fixture_ask(&f, ask, 0);
	return outcome;
}

/* Now and then each of its allocations fails before it is done; then nothing may have happened. */
static enum outcome ask_hard(struct ask *ask, enum command_kind kind)
{
	const struct command as_new = ask->c;
	enum outcome outcome;

	for (uint64_t n = below(8) ? UINT64_MAX : 1;; n++) {
		uint64_t end = f.end;

		ask->c = as_new;
		mem_fail_nth(n == UINT64_MAX ? 0 : n);
		outcome = ask_once(ask, kind);
		mem_fail_nth(0);
		kept_follow(kept);
		if (outcome != OUTCOME_NO_MEMORY)
			return outcome;
		assert_true(n != UINT64_MAX && f.end == end);
		ask_deinit(ask);
	}
}

static void create_plain(struct slice path)
{
	bool json = below(3) == 0;
	struct ask ask = {.c.in.stream_create = {.path = path, .content_type = json ? json_type : a_type, .json = json}};
	struct stream_create_in *in = &ask.c.in.stream_create;
	struct kept_stream *stream = kept_at(kept, path);
	enum outcome outcome;

	in->max_age_ms = below(3) ? 0 : 1000 + below(20000);
	in->max_bytes = below(3) ? 0 : 300 + below(2000);
	outcome = ask_hard(&ask, COMMAND_STREAM_CREATE);
	if (stream) {
		assert_true(outcome == OUTCOME_SAME || outcome == OUTCOME_CONFLICT);
	} else {
		assert_int_equal(outcome, OUTCOME_OK);
		stream = kept_add(kept, path, ask.c.out.stream->number);
		stream->json = json;
		stream->max_age_ms = in->max_age_ms;
		stream->max_bytes = in->max_bytes;
	}
	ask_deinit(&ask);
}

/* --- forks --- */

struct fork_point {
	uint64_t offset, sub;
	enum outcome outcome;
};

/* Where a fork with that offset and that much behind it begins. */
static struct fork_point fork_point(const struct kept_stream *source, uint64_t offset, uint64_t sub)
{
	size_t i = kept_find(kept, source, offset);
	struct fork_point point = {offset, 0, OUTCOME_OK};

	if (!sub)
		return point;
	if (i == source->count || sub > (source->json ? kept_append_end(kept, source, i) - offset : source->items[i].len))
		point.outcome = OUTCOME_RANGE;
	else if (source->json)
		point.offset += sub;
	else if (sub == source->items[i].len)
		point.offset++;
	else
		point.sub = sub;
	return point;
}

static void items_copy(struct kept_stream *fork, const struct kept_stream *source, const struct fork_point *point)
{
	fork->items = mem_zalloc((source->count + 1) * sizeof(*fork->items));
	fork->cap = source->count + 1;
	assert_non_null(fork->items);
	for (size_t i = 0; i < source->count; i++) {
		const struct kept_record *record = &kept->records[source->items[i].record];

		if (record->offset > point->offset || (record->offset == point->offset && !point->sub))
			continue;
		fork->items[fork->count] = source->items[i];
		if (record->offset == point->offset)
			fork->items[fork->count].len = (uint32_t)point->sub;
		fork->count++;
	}
}

static struct stream_create_in fork_in(const struct kept_stream *source, struct slice path)
{
	struct stream_create_in in = {.path = path, .source = source->path, .has_fork_offset = below(4) > 0};
	const struct kept_stream *place = source;

	in.max_age_ms = below(4) ? 0 : 1000 + below(20000);
	in.max_bytes = below(4) ? 0 : 300 + below(2000);
	if (!in.has_fork_offset)
		return in;
	while (place->source && below(3) == 0)
		place = place->source;
	in.fork_number = place->number;
	in.fork_offset = source->earliest + below(source->next_offset - source->earliest + 2);
	if (source->count && below(3))
		in.fork_offset = kept->records[source->items[below(source->count)].record].offset;
	in.fork_sub = below(2) ? below(8) : 0;
	return in;
}

static void create_fork(struct slice path)
{
	struct kept_stream *source = kept_at(kept, any_path()), *fork = kept_at(kept, path);
	struct ask ask = {0};
	struct stream_create_in *in = &ask.c.in.stream_create;
	struct fork_point point;
	enum outcome outcome;

	if (!source)
		return;
	*in = fork_in(source, path);
	point = fork_point(source, in->has_fork_offset ? in->fork_offset : source->next_offset, in->fork_sub);
	if (source->gone && !(fork && fork->source == source))
		point.outcome = OUTCOME_CONFLICT;
	else if (in->has_fork_offset &&
		 (!kept_place(source, in->fork_number, in->fork_offset) || in->fork_offset > source->next_offset))
		point.outcome = OUTCOME_RANGE;
	outcome = ask_hard(&ask, COMMAND_STREAM_CREATE);
	if (fork) {
		assert_true(outcome == OUTCOME_SAME || outcome == OUTCOME_CONFLICT || outcome == point.outcome);
	} else {
		assert_int_equal(outcome, point.outcome);
	}
	if (!fork && outcome == OUTCOME_OK) {
		fork = kept_add(kept, path, ask.c.out.stream->number);
		fork->max_age_ms = in->max_age_ms;
		fork->max_bytes = in->max_bytes;
		kept_fork(fork, source, point.offset, point.sub);
		items_copy(fork, source, &point);
	}
	ask_deinit(&ask);
}

/* --- appends --- */

static void record_make(struct kept_record *record)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwx";

	record->len = 1 + (uint32_t)below(KEPT_VALUE_MAX - 1);
	for (uint32_t i = 0; i < record->len; i++)
		record->value[i] = letters[below(sizeof(letters) - 1)];
}

static struct kept_record records[4];

/* What is to be appended, in `records`: how many. */
static uint32_t append_make(struct stream_append_in *in)
{
	struct kept_record base = {.time_ms = f.now_ms, .append = ++kept->append_count};
	struct batch_record made[ARRAY_COUNT(records)];
	uint32_t count = 1 + (uint32_t)below(ARRAY_COUNT(records));

	if (below(8) == 0) {
		in->ttl_ms = 1 + below(9000);
		base.expires_ms = (f.now_ms + in->ttl_ms + 999) / 1000 * 1000;
	}
	if (below(8) == 0)
		base.time_ms = f.now_ms - below(3000);
	else if (below(4) == 0) /* a door's clock may be ahead */
		base.time_ms = f.now_ms + below(3);
	if (below(3) == 0) {
		count = 1;
		base.key = (char)('A' + below(4));
		in->key = slice_from(&base.key, 1);
		in->replace = base.replaces = below(2);
	}
	for (uint32_t i = 0; i < count; i++) {
		records[i] = base;
		record_make(&records[i]);
		made[i] = (struct batch_record){.key = slice_from(base.key ? &records[i].key : NULL, base.key ? 1 : 0),
						.value = slice_from(records[i].value, records[i].len)};
	}
	if (in->key.len)
		in->key.ptr = &records[0].key;
	buf_clear(&batch);
	batch_encode(&batch, base.time_ms, made, count);
	assert_false(batch.failed);
	in->records =
		(struct records_in){.batch = batch.ptr, .batch_bytes = batch.len, .count = count, .max_time_ms = base.time_ms};
	return count;
}

static void blob_make(struct stream_append_in *in)
{
	records[0] = (struct kept_record){.time_ms = f.now_ms, .append = ++kept->append_count, .len = 20, .blob = ++next_blob};
	in->records = (struct records_in){.blob = {records[0].blob, 20, 0, BODY_BLOB}, .count = 1};
}

static void append_some(struct slice path)
{
	struct kept_stream *stream = kept_at(kept, path);
	struct ask ask = {.c.in.stream_append = {.path = path, .content_type = stream && stream->json ? json_type : a_type}};
	struct stream_append_in *in = &ask.c.in.stream_append;
	enum outcome should = OUTCOME_OK;
	uint32_t count = 1;

	if (below(12) == 0)
		blob_make(in);
	else
		count = append_make(in);
	in->close = below(150) == 0;
	if (!stream)
		should = OUTCOME_NOT_FOUND;
	else if (stream->gone)
		should = OUTCOME_GONE;
	else if (stream->closed)
		should = OUTCOME_CLOSED;
	/* What goes for what comes is told behind it. */
	for (uint32_t i = 0; i < count && should == OUTCOME_OK; i++)
		kept_append(kept, stream, &records[i]);
	assert_int_equal(ask_hard(&ask, COMMAND_STREAM_APPEND), should);
	if (should == OUTCOME_OK)
		stream->closed = in->close;
	ask_deinit(&ask);
}

/* --- the other steps --- */

static void delete_one(struct slice path)
{
	struct kept_stream *stream = kept_at(kept, path);
	struct ask ask = {.c.in.stream_read.path = path};
	enum outcome should = !stream ? OUTCOME_NOT_FOUND : stream->gone ? OUTCOME_GONE : OUTCOME_OK;

	assert_int_equal(ask_hard(&ask, COMMAND_STREAM_DELETE), should);
	if (should == OUTCOME_OK)
		kept_delete(stream);
	ask_deinit(&ask);
}

static void time_passes(void)
{
	uint64_t ms = below(4) ? below(800) : below(6000);

	if (below(6) == 0) {
		mem_fail_nth(1 + below(6));
		fixture_later(&f, ms);
		mem_fail_nth(0);
		kept_follow(kept);
		ms = 2000; /* what could not be done comes again */
	}
	fixture_later(&f, ms);
	kept_follow(kept);
	kept_check(kept);
}

static void tidier_rescues(void)
{
	const struct fixture_entry *entry = &f.entries[below(f.entry_count)];

	if (!entry->replay.body_bytes)
		return;
	if (below(4) == 0)
		mem_fail_nth(1 + below(4));
	(void)!sequencer_rescue(f.s, &entry->replay);
	mem_fail_nth(0);
	fixture_settle(&f);
	kept_follow(kept);
}

static struct stream_read_in reading(const struct kept_stream *stream, enum stream_from from)
{
	return (struct stream_read_in){.path = stream->path, .from = from, .max_bytes = below(400), .max_chunks = below(3)};
}

/* From a place of its own or of one before it; some are none. */
static void read_from_place(const struct kept_stream *stream)
{
	const struct kept_stream *at = stream;
	struct stream_read_in in = reading(stream, STREAM_FROM_OFFSET);
	struct ask ask;

	while (at->source && below(2))
		at = at->source;
	in.number = at->number;
	in.offset = below(stream->next_offset + 1);
	if (kept_place(stream, in.number, in.offset)) {
		kept_expect_read(kept, stream, in);
		return;
	}
	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OTHER);
	ask_deinit(&ask);
}

static void expect_from(const struct stream_read_in *in, uint64_t offset)
{
	struct ask ask;

	assert_int_equal(read_as(*in, &ask, 0), OUTCOME_OK);
	assert_true(ask.c.out.stream->from_offset == offset);
	ask_deinit(&ask);
}

static void read_from_time(const struct kept_stream *stream)
{
	struct stream_read_in in = reading(stream, STREAM_FROM_TIME);
	uint64_t should = stream->next_offset;

	in.time_ms = f.now_ms - below(20000);
	for (size_t i = stream->count; i > 0; i--) {
		const struct kept_record *record = kept_visible(kept, stream, i - 1);

		if (record && record->time_ms >= in.time_ms)
			should = record->offset;
	}
	expect_from(&in, should);
	kept_expect_read(kept, stream, in);
}

static void read_from_tail(const struct kept_stream *stream)
{
	struct stream_read_in in = reading(stream, STREAM_FROM_TAIL);
	uint64_t left = in.count = 1 + below(12), should = stream->next_offset;

	for (size_t i = stream->count; i > 0 && left > 0; i--) {
		const struct kept_record *record = kept_visible(kept, stream, i - 1);

		if (!record || record->offset < stream->own_offset)
			continue;
		should = record->offset;
		left--;
	}
	if (left > 0)
		should = stream->own_offset > left ? stream->own_offset - left : 0;
	expect_from(&in, should > stream->earliest ? should : stream->earliest);
	kept_expect_read(kept, stream, in);
}

static void read_one(void)
{
	const struct kept_stream *stream = any_stream();

	if (!stream)
		return;
	switch (below(4)) {
	case 0:
		read_from_time(stream);
		return;
	case 1:
		read_from_tail(stream);
		return;
	case 2:
		kept_expect_read(kept, stream, reading(stream, STREAM_FROM_START));
		return;
	default:
		read_from_place(stream);
		return;
	}
}

static void step(void)
{
	struct slice path = any_path();

	switch (below(24)) {
	case 0:
		create_plain(path);
		break;
	case 1:
	case 2:
		create_fork(path);
		break;
	case 3:
		delete_one(path);
		break;
	case 4:
	case 5:
		time_passes();
		break;
	case 6:
	case 7:
		tidier_rescues();
		break;
	case 8:
	case 9:
	case 10:
		read_one();
		break;
	default:
		append_some(path);
		break;
	}
	kept_follow(kept);
	sequencer_check(f.s);
	fixture_drop_sent(&f);
}

/* --- replay --- */

static void expect_same_dump(struct fixture *a, struct fixture *b)
{
	fixture_dump(a, &mine);
	fixture_dump(b, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
}

/* The journal ends earlier, at any entry behind the checkpoint: from it or from the beginning, it is the same. */
static void expect_same_when_cut(size_t entries)
{
	static struct fixture whole;

	cut = f;
	cut.entry_count = entries;
	cut.end = cut.durable = entries ? f.entries[entries - 1].replay.end : 64;
	fixture_twin(&cut, &whole, false);
	fixture_twin(&cut, &twin, true);
	expect_same_dump(&whole, &twin);
	fixture_deinit(&whole);
	fixture_deinit(&twin);
}

static void expect_same_state(bool from_checkpoint)
{
	fixture_twin(&f, &twin, from_checkpoint);
	expect_same_dump(&f, &twin);
	fixture_deinit(&twin);
}

static void read_everything(void)
{
	for (size_t i = 0; i < PATHS; i++) {
		const struct kept_stream *stream = kept_at(kept, paths[i]);

		if (stream && !stream->gone)
			kept_expect_read(kept, stream, reading(stream, STREAM_FROM_START));
	}
}

/* --- */

static void life_start(void)
{
	fixture_init(&f);
	f.config.gather_chunks = 3 + (uint32_t)below(4);
	f.config.gather_bytes = 400 + (uint32_t)below(1500);
	fixture_start(&f);
	kept = mem_zalloc(sizeof(*kept));
	assert_non_null(kept);
}

static void life_end(void)
{
	assert_int_equal(f.commands_out, 0);
	kept_free(kept);
	fixture_deinit(&f);
}

static void live(void)
{
	for (unsigned n = 0; n < STEPS; n++) {
		size_t checkpoint_entries;

		step();
		/* A piece at a time, and the world goes on between the pieces. */
		if (n % 5 || fixture_checkpoint(&f, 1))
			continue;
		checkpoint_entries = f.entry_count;
		for (unsigned more = (unsigned)below(12); more > 0; more--)
			step();
		expect_same_state(false);
		expect_same_state(true);
		expect_same_when_cut(checkpoint_entries + below(f.entry_count - checkpoint_entries + 1));
		read_everything();
		fixture_checkpoint_drop(&f);
	}
}

static void a_random_life(void **state)
{
	uint64_t trimmed = 0, dropped = 0, gathered = 0, moved = 0;

	(void)state;
	random_state = test_random_start("streams that keep");
	for (unsigned i = 0; i < LIVES; i++) {
		life_start();
		live();
		trimmed += kept->trimmed;
		dropped += kept->dropped;
		gathered += kept->gathered;
		moved += kept->moved;
		life_end();
	}
	print_message("%llu trims, %llu drops, %llu gathered, %llu moved\n", (unsigned long long)trimmed,
		      (unsigned long long)dropped, (unsigned long long)gathered, (unsigned long long)moved);
	assert_true(trimmed && dropped && gathered && moved);
	buf_deinit(&mine);
	buf_deinit(&other);
	buf_deinit(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
