/* Asking a sequencer about streams, in short. */
#include "sequencer/stream_fixture.h"

#include "base/testing.h"
#include "sequencer/sequencer_priv.h"
#include "stream/batch.h"

struct fixture f;
struct buf mine;

/* What looks like a batch to the sequencer: room for the base offset, then what the test recognises it by. */
static char batch[64];

struct records_in records_of(uint32_t count, const char *what)
{
	memset(batch, 0, 8);
	snprintf(batch + 8, sizeof(batch) - 8, "%s", what);
	return (struct records_in){.batch = batch, .batch_bytes = 8 + strlen(what), .count = count};
}

enum outcome create_as(struct stream_create_in in)
{
	struct ask ask = {.c = {.kind = COMMAND_STREAM_CREATE, .in.stream_create = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

enum outcome create(struct slice at)
{
	return create_as((struct stream_create_in){.path = at, .content_type = a_type});
}

/* The answer's view, without chunks, in *ret_view where it is wanted. */
enum outcome append_as(struct stream_append_in in, struct stream_view *ret_view)
{
	struct ask ask = {.c = {.kind = COMMAND_STREAM_APPEND, .in.stream_append = in}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	if (ret_view)
		*ret_view = ask.c.out.stream ? *ask.c.out.stream : (struct stream_view){0};
	ask_deinit(&ask);
	return outcome;
}

struct stream_append_in append_of(uint32_t count, const char *what)
{
	return (struct stream_append_in){.path = a_path, .content_type = a_type, .records = records_of(count, what)};
}

enum outcome append(uint32_t count, const char *what)
{
	return append_as(append_of(count, what), NULL);
}

enum outcome append_by(const char *producer, uint64_t epoch, uint64_t seq, struct stream_view *ret_view)
{
	struct stream_append_in in = append_of(1, "p");

	in.producer = (struct producer_in){slice_str(producer), epoch, seq};
	return append_as(in, ret_view);
}

enum outcome delete (struct slice at) {
	struct ask ask = {.c = {.kind = COMMAND_STREAM_DELETE, .in.stream_read.path = at}};
	enum outcome outcome = fixture_ask(&f, &ask, 0);

	ask_deinit(&ask);
	return outcome;
}

struct stream_read_in read_of(enum stream_from from)
{
	return (struct stream_read_in){.path = a_path, .from = from, .max_bytes = 1 << 20};
}

enum outcome read_as(struct stream_read_in in, struct ask *ask, unsigned thread)
{
	*ask = (struct ask){.c = {.kind = COMMAND_STREAM_READ, .in.stream_read = in}};
	return fixture_ask(&f, ask, thread);
}

/* "offset:count=bytes" of each chunk. */
void say(const struct stream_view *view, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < view->chunk_count; i++) {
		const struct stream_chunk_view *chunk = &view->chunks[i];
		char bytes[64] = {0};

		assert_true(chunk->ref.size_bytes < sizeof(bytes));
		assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
		buf_printf(out, "%llu:%u=%s ", (unsigned long long)chunk->first_offset, chunk->count, bytes + 8);
	}
	buf_append_char(out, '\0');
}

void expect_read(struct stream_read_in in, const char *said, uint64_t after)
{
	struct ask ask;

	assert_int_equal(read_as(in, &ask, 0), OUTCOME_OK);
	say(ask.c.out.stream, &mine);
	assert_string_equal(mine.ptr, said);
	assert_true(ask.c.out.stream->after_offset == after);
	ask_deinit(&ask);
}

uint64_t number_of(struct slice at)
{
	struct stream_read_in in = {.path = at, .look = true};
	struct ask ask;
	uint64_t number = 0;

	if (read_as(in, &ask, 0) == OUTCOME_OK)
		number = ask.c.out.stream->number;
	ask_deinit(&ask);
	return number;
}

/* --- real records --- */

enum { WORDS_MAX = 16 };

struct records_in words_of(const char *words, char key, uint64_t time_ms)
{
	static char bytes[1024];
	struct batch_record records[WORDS_MAX];
	struct buf made = {0};
	uint32_t count = 0;
	size_t len;

	for (const char *end; *words; words = *end ? end + 1 : end, count++) {
		end = strchrnul(words, ' ');
		assert_true(count < WORDS_MAX);
		records[count] = (struct batch_record){.key = slice_from(key ? &key : NULL, key ? 1 : 0),
						       .value = slice_from(words, (size_t)(end - words))};
	}
	batch_encode(&made, time_ms ? time_ms : f.now_ms, records, count);
	assert_true(!made.failed && made.len <= sizeof(bytes));
	len = made.len;
	memcpy(bytes, made.ptr, len);
	buf_deinit(&made);
	return (struct records_in){.batch = bytes, .batch_bytes = len, .max_time_ms = time_ms, .count = count};
}

enum outcome append_words(struct slice path, const char *words)
{
	return append_as((struct stream_append_in){.path = path, .content_type = a_type, .records = words_of(words, 0, 0)}, NULL);
}

/* Those behind *at, which moves on. */
static void say_words(const struct stream_chunk_view *chunk, uint64_t *at)
{
	struct batch_reader reader;
	struct batch_record record;
	struct slice rest, one;
	uint64_t offset;
	char bytes[4096];

	assert_true(chunk->ref.size_bytes <= sizeof(bytes));
	assert_int_equal(chunk->pin->ops->read_whole(chunk->pin, bytes), 0);
	rest = slice_from(bytes, chunk->ref.size_bytes);
	while (batch_cut(&rest, &one) == 1) {
		assert_int_equal(batch_open(&reader, one), 0);
		while (batch_next(&reader, &record, &offset) == 1) {
			if (offset < *at || offset < chunk->first_offset || offset >= chunk->first_offset + chunk->count)
				continue;
			if (record.value.len > chunk->value_bytes)
				record.value.len = chunk->value_bytes;
			buf_printf(&mine, "%llu:%.*s ", (unsigned long long)offset, (int)record.value.len, record.value.ptr);
			*at = offset + 1;
		}
	}
}

void expect_words(struct stream_read_in in, const char *said)
{
	struct ask ask;
	uint64_t at = 0;

	buf_clear(&mine);
	in.max_chunks = 2;
	for (bool more = true; more; in.offset = at) {
		const struct stream_view *view;

		assert_int_equal(read_as(in, &ask, 0), OUTCOME_OK);
		view = ask.c.out.stream;
		at = view->from_offset;
		for (size_t i = 0; i < view->chunk_count; i++)
			say_words(&view->chunks[i], &at);
		at = view->after_offset;
		more = view->chunk_count > 0;
		in.from = STREAM_FROM_OFFSET;
		in.number = view->number;
		ask_deinit(&ask);
	}
	buf_append_char(&mine, '\0');
	assert_string_equal(mine.ptr, said);
}

void expect_words_at(struct slice path, const char *said)
{
	expect_words((struct stream_read_in){.path = path, .from = STREAM_FROM_START, .max_bytes = 1 << 20}, said);
}

void expect_same_after_replay(bool from_checkpoint)
{
	static struct fixture twin;
	struct buf other = {0};

	fixture_twin(&f, &twin, from_checkpoint);
	fixture_dump(&f, &mine);
	fixture_dump(&twin, &other);
	assert_int_equal(mine.len, other.len);
	assert_memory_equal(mine.ptr, other.ptr, mine.len);
	fixture_deinit(&twin);
	buf_deinit(&other);
}

const struct stream *stream_at(struct slice at)
{
	return stream_find(&f.s->streams, at);
}

size_t events_of(enum stream_event_type type)
{
	size_t count = 0;

	for (size_t i = 0; i < f.entry_count; i++)
		count += f.entries[i].replay.type == type;
	return count;
}
