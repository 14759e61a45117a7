/* Blobs: what was written comes back, and nothing else ever does, whatever happened to the file. */
#include "journal/blob.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/testing.h"
#include "base/wire.h"
#include "journal/journal_fixture.h"
#include "journal/journal_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = BLOB_CHUNK_BYTES, STRETCH = BLOB_STRETCH_BYTES };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fixture_init(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_deinit(*state);
	free(*state);
	return 0;
}

/* --- writing --- */

struct sealed {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
	int error;
	struct body_ref ref;
};

static void on_sealed(void *ctx, int error, const struct body_ref *ref)
{
	struct sealed *sealed = ctx;

	pthread_mutex_lock(&sealed->mutex);
	sealed->done = true;
	sealed->error = error;
	if (ref)
		sealed->ref = *ref;
	pthread_cond_signal(&sealed->cond);
	pthread_mutex_unlock(&sealed->mutex);
}

static int seal(struct blob *blob, struct body_ref *ret_ref)
{
	struct sealed sealed = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

	blob->ops->seal(blob, on_sealed, &sealed);
	pthread_mutex_lock(&sealed.mutex);
	while (!sealed.done)
		pthread_cond_wait(&sealed.cond, &sealed.mutex);
	pthread_mutex_unlock(&sealed.mutex);
	*ret_ref = sealed.ref;
	return sealed.error;
}

/* In writes of `step` bytes; it lives. */
static struct body_ref blob_made(struct fixture *f, struct slice content, size_t step)
{
	struct body_ref ref;
	struct blob *blob;

	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	for (size_t at = 0; at < content.len; at += step) {
		size_t len = content.len - at < step ? content.len - at : step;

		assert_int_equal(blob->ops->write(blob, slice_from(content.ptr + at, len)), 0);
	}
	assert_int_equal(blob->crc, crc32c(0, content.ptr, content.len));
	assert_int_equal(seal(blob, &ref), 0);
	assert_int_equal(ref.kind, BODY_BLOB);
	assert_int_equal(ref.size_bytes, content.len);
	assert_int_equal(ref.crc, crc32c(0, content.ptr, content.len));
	f->store->ops->body_retain(f->store, &ref);
	return ref;
}

static char *content_made(size_t len, uint32_t seed)
{
	char *content = malloc(len + 1);

	assert_non_null(content);
	fixture_fill(content, len, seed);
	return content;
}

/* --- its file --- */

static void file_path(const struct fixture *f, const struct body_ref *ref, char out[512])
{
	char name[JOURNAL_NAME_BYTES + 8];

	snprintf(name, sizeof(name), "blobs/%02x/%016llx", (unsigned)(ref->place & 0xff), (unsigned long long)ref->place);
	fixture_path(f, name, out);
}

static uint64_t file_bytes(const struct fixture *f, const struct body_ref *ref)
{
	char path[512];
	struct stat st;

	file_path(f, ref, path);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void file_load(const struct fixture *f, const struct body_ref *ref, uint64_t offset, void *out, size_t len)
{
	char path[512];
	int fd;

	file_path(f, ref, path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, out, len, (off_t)offset), len);
	close(fd);
}

/* Twice is never. */
static void file_flip(const struct fixture *f, const struct body_ref *ref, uint64_t offset, uint8_t bit)
{
	char path[512], byte;
	int fd;

	file_path(f, ref, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte = (char)(byte ^ bit);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

static void file_cut(const struct fixture *f, const struct body_ref *ref, uint64_t bytes)
{
	char path[512];

	file_path(f, ref, path);
	assert_int_equal(truncate(path, (off_t)bytes), 0);
}

/* --- reading --- */

/* One read through a pin of its own. */
static int read_once(struct fixture *f, const struct body_ref *ref, uint64_t offset, void *out, size_t len)
{
	struct store_pin *pin = f->store->ops->pin(f->store, ref);
	int r;

	assert_non_null(pin);
	r = pin->ops->read(pin, offset, out, len);
	pin->ops->unpin(pin);
	return r;
}

static int read_byte(struct fixture *f, const struct body_ref *ref, uint64_t offset)
{
	char byte;

	return read_once(f, ref, offset, &byte, 1);
}

static void expect_range(struct fixture *f, const struct body_ref *ref, struct slice content, uint64_t from, size_t len)
{
	char *out = malloc(len + 1);

	assert_non_null(out);
	out[len] = 0x5a;
	assert_int_equal(read_once(f, ref, from, out, len), 0);
	assert_memory_equal(out, content.ptr + from, len);
	assert_int_equal(out[len], 0x5a);
	free(out);
}

static void a_blob_comes_back(struct fixture *f, size_t size, size_t step)
{
	char *bytes = content_made(size, (uint32_t)size);
	struct slice content = slice_from(bytes, size);
	struct body_ref ref = blob_made(f, content, step);
	const size_t edges[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 77, size / 2, size > 0 ? size - 1 : 0, size};
	struct store_pin *pin;
	uint64_t offset;

	assert_int_equal(file_bytes(f, &ref), size + (size + CHUNK - 1) / CHUNK * 4);
	fixture_expect_body(f, &ref, content);
	for (size_t i = 0; i < ARRAY_COUNT(edges); i++)
		for (size_t k = 0; k < ARRAY_COUNT(edges); k++)
			if (edges[i] <= edges[k] && edges[k] <= size)
				expect_range(f, &ref, content, edges[i], edges[k] - edges[i]);
	pin = f->store->ops->pin(f->store, &ref);
	assert_int_equal(pin->ops->read(pin, size, bytes, 1), -EIO);
	assert_int_equal(pin->ops->read(pin, size + 1, bytes, 0), -EIO);
	assert_int_equal(pin->ops->read(pin, 0, bytes, size + 1), -EIO);
	assert_int_equal(pin->ops->read(pin, UINT64_MAX, bytes, 2), -EIO);
	assert_int_equal(pin->ops->file(pin, &offset), -ENOTSUP); /* sendfile checks nothing */
	pin->ops->unpin(pin);
	free(bytes);
}

static void sizes_around_chunks_and_limits_come_back(void **state)
{
	const size_t sizes[] = {0,
				1,
				CHUNK - 1,
				CHUNK,
				CHUNK + 1,
				2 * CHUNK,
				BODY_INLINE_MAX - 1,
				BODY_INLINE_MAX,
				BODY_INLINE_MAX + 1,
				BODY_INLINE_MAX + CHUNK,
				3 * BODY_INLINE_MAX + 12345};
	const size_t steps[] = {SIZE_MAX / 2, CHUNK, CHUNK - 1, 7777};
	struct fixture *f = *state;

	fixture_start(f);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
		for (size_t k = 0; k < ARRAY_COUNT(steps); k++)
			a_blob_comes_back(f, sizes[i], steps[k]);
}

/* The format as doc/journal-format.md has it, without any of blob.h's arithmetic. */
static void expect_format(const struct fixture *f, const struct body_ref *ref, struct slice content)
{
	const size_t stretch_bytes = (size_t)64 << 20, chunk_bytes = 64 << 10;
	uint64_t at = 0;
	char *out = malloc(chunk_bytes), sum[4];

	assert_non_null(out);
	for (size_t begin = 0; begin < content.len; begin += stretch_bytes) {
		size_t stretch = content.len - begin < stretch_bytes ? content.len - begin : stretch_bytes;

		for (size_t chunk = 0, k = 0; chunk < stretch; chunk += chunk_bytes, k++) {
			size_t len = stretch - chunk < chunk_bytes ? stretch - chunk : chunk_bytes;

			file_load(f, ref, at + chunk, out, len);
			assert_memory_equal(out, content.ptr + begin + chunk, len);
			file_load(f, ref, at + stretch + 4 * k, sum, 4);
			assert_int_equal(wire_load_u32(sum), crc32c(0, out, len));
		}
		at += stretch + (stretch + chunk_bytes - 1) / chunk_bytes * 4;
	}
	assert_int_equal(file_bytes(f, ref), at);
	free(out);
}

static bool prepared(struct fixture *f)
{
	return atomic_load(&f->journal->next) != NULL && !atomic_load(&f->journal->prepare_posted);
}

static void sizes_around_a_stretch_come_back(void **state)
{
	const size_t sizes[] = {STRETCH - 1, STRETCH, STRETCH + 1, STRETCH + CHUNK + 1};
	struct fixture *f = *state;
	char *bytes = content_made(STRETCH + CHUNK + 1, 5);

	fixture_start(f);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct slice content = slice_from(bytes, sizes[i]);
		struct body_ref ref = blob_made(f, content, i % 2 ? 3 * CHUNK + 1 : SIZE_MAX / 2);

		fixture_expect_body(f, &ref, content);
		expect_range(f, &ref, content, STRETCH - CHUNK - 1, sizes[i] - (STRETCH - CHUNK - 1));
		expect_format(f, &ref, content);
		for (uint64_t at = sizes[i] - 1;; at = STRETCH - 1) {
			file_flip(f, &ref, blob_place(at), 4);
			assert_int_equal(read_byte(f, &ref, at), -EIO);
			file_flip(f, &ref, blob_place(at), 4);
			if (at <= STRETCH - 1)
				break;
		}
		f->store->ops->body_release(f->store, &ref);
	}
	free(bytes);
}

/* However long it is: what memory it takes is taken when it is opened. */
static void memory_is_constant(void **state)
{
	struct fixture *f = *state;
	char *bytes = content_made(CHUNK, 6), *out = malloc(CHUNK);
	struct body_ref ref;
	struct blob *blob;
	struct store_pin *pin;
	void *none;

	assert_non_null(out);
	fixture_start(f);
	fixture_until(f, prepared);
	assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
	mem_fail_nth(1);
	for (size_t i = 0; i <= BLOB_STRETCH_CHUNKS; i++)
		assert_int_equal(blob->ops->write(blob, slice_from(bytes, CHUNK)), 0);
	assert_int_equal(seal(blob, &ref), 0);
	none = mem_alloc(1);
	assert_null(none); /* it was the next one all the time */
	f->store->ops->body_retain(f->store, &ref);
	pin = f->store->ops->pin(f->store, &ref);
	mem_fail_nth(1);
	for (size_t i = 0; i <= BLOB_STRETCH_CHUNKS; i++)
		assert_int_equal(pin->ops->read(pin, i * CHUNK + 5, out, CHUNK - 9), 0);
	none = mem_alloc(1);
	assert_null(none);
	pin->ops->unpin(pin);
	free(bytes);
	free(out);
}

/* --- damage --- */

enum { DAMAGED_BYTES = BODY_INLINE_MAX + 3 * CHUNK + 100, DAMAGED_CHUNKS = 20 };

/* Chunk by chunk: the one that is damaged is not given out, by no read that touches it, and all others are. */
static void a_damaged_chunk_is_never_given_out(void **state)
{
	struct fixture *f = *state;
	struct test_random random = test_random_start("blob_test");
	char *bytes = content_made(DAMAGED_BYTES, 7), *out = malloc(DAMAGED_BYTES);
	struct slice content = slice_from(bytes, DAMAGED_BYTES);
	struct body_ref ref;

	assert_non_null(out);
	fixture_start(f);
	ref = blob_made(f, content, CHUNK);
	for (uint64_t chunk = 0; chunk < DAMAGED_CHUNKS; chunk++) {
		uint64_t begin = chunk * CHUNK;
		uint32_t len = blob_chunk_bytes(DAMAGED_BYTES, begin);
		uint64_t at = begin + test_random_below(&random, len);
		uint8_t bit = (uint8_t)(1 << test_random_below(&random, 8));

		file_flip(f, &ref, at, bit);
		for (uint64_t other = 0; other < DAMAGED_CHUNKS; other++) {
			uint32_t other_len = blob_chunk_bytes(DAMAGED_BYTES, other * CHUNK);

			assert_int_equal(read_once(f, &ref, other * CHUNK, out, other_len), other == chunk ? -EIO : 0);
			assert_int_equal(read_byte(f, &ref, other * CHUNK + other_len / 2), other == chunk ? -EIO : 0);
		}
		assert_int_equal(read_byte(f, &ref, begin), -EIO);
		assert_int_equal(read_byte(f, &ref, begin + len - 1), -EIO);
		if (chunk > 0)
			assert_int_equal(read_once(f, &ref, begin - 1, out, 2), -EIO);
		assert_int_equal(read_once(f, &ref, 0, out, DAMAGED_BYTES), -EIO);
		file_flip(f, &ref, at, bit);
	}
	fixture_expect_body(f, &ref, content);
	free(bytes);
	free(out);
}

static int replayed(void *ctx, const struct store_replay *entry)
{
	(void)ctx;
	(void)entry;
	return 0;
}

/* What replay would do: one owner. */
static void restart_with(struct fixture *f, const struct body_ref *ref)
{
	fixture_stop(f);
	assert_int_equal(journal_open(&f->config, &f->journal), 0);
	f->store = journal_store(f->journal);
	f->store->ops->body_retain(f->store, ref);
	assert_int_equal(journal_recover(f->journal, &(struct journal_replay){.entry = replayed}), 0);
}

static void damaged_sums_are_told_at_the_first_byte(void **state)
{
	struct fixture *f = *state;
	char *bytes = content_made(DAMAGED_BYTES, 8);
	struct slice content = slice_from(bytes, DAMAGED_BYTES);
	struct body_ref ref;

	fixture_start(f);
	ref = blob_made(f, content, CHUNK);
	for (uint64_t at = DAMAGED_BYTES; at < DAMAGED_BYTES + 4 * DAMAGED_CHUNKS; at++) {
		restart_with(f, &ref); /* nobody has looked at them */
		file_flip(f, &ref, at, 0x10);
		assert_int_equal(read_byte(f, &ref, 0), -EIO);
		assert_int_equal(read_byte(f, &ref, DAMAGED_BYTES - 1), -EIO);
		file_flip(f, &ref, at, 0x10);
	}
	fixture_expect_body(f, &ref, content);
	/* Later, too, but for what they do not concern. */
	file_flip(f, &ref, DAMAGED_BYTES + 4, 1);
	assert_int_equal(read_byte(f, &ref, CHUNK), -EIO);
	assert_int_equal(read_byte(f, &ref, 0), 0);
	file_flip(f, &ref, DAMAGED_BYTES + 4, 1);
	free(bytes);
}

/* A sound blob in the place of another one of its size, as after a repair that went wrong. */
static void another_blob_is_not_taken_for_it(void **state)
{
	struct fixture *f = *state;
	char *bytes = content_made(DAMAGED_BYTES, 9), from[512], to[512];
	struct body_ref one, other;

	fixture_start(f);
	one = blob_made(f, slice_from(bytes, DAMAGED_BYTES), CHUNK);
	bytes[DAMAGED_BYTES / 2] ^= 1;
	other = blob_made(f, slice_from(bytes, DAMAGED_BYTES), CHUNK);
	file_path(f, &other, from);
	file_path(f, &one, to);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(read_byte(f, &one, 0), -EIO);
	/* And the one that is missing now. */
	assert_int_equal(read_byte(f, &other, 0), -EIO);
	restart_with(f, &one);
	assert_int_equal(read_byte(f, &one, 0), -EIO);
	restart_with(f, &other);
	assert_true(fixture_said(f, "is missing: reading it will fail"));
	assert_int_equal(read_byte(f, &other, 0), -EIO);
	free(bytes);
}

static void another_length_is_told_at_the_first_byte(void **state)
{
	const uint64_t lengths[] = {0,
				    1,
				    CHUNK,
				    DAMAGED_BYTES,
				    DAMAGED_BYTES + 4 * DAMAGED_CHUNKS - 1,
				    DAMAGED_BYTES + 4 * DAMAGED_CHUNKS + 1,
				    2 * DAMAGED_BYTES};
	struct fixture *f = *state;
	char *bytes = content_made(DAMAGED_BYTES, 10);
	struct slice content = slice_from(bytes, DAMAGED_BYTES);

	fixture_start(f);
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		struct body_ref ref = blob_made(f, content, CHUNK);

		if (i % 2)
			fixture_expect_body(f, &ref, content); /* whether or not it was right before */
		file_cut(f, &ref, lengths[i]);
		assert_int_equal(read_byte(f, &ref, 0), -EIO);
		assert_int_equal(read_byte(f, &ref, DAMAGED_BYTES - 1), -EIO);
		buf_clear(&f->said);
		restart_with(f, &ref);
		assert_true(fixture_said(f, ": reading it will fail"));
		assert_int_equal(read_byte(f, &ref, 0), -EIO);
	}
	free(bytes);
}

/* Found when it is half read: what comes behind is not given out. */
static void cut_while_it_is_read(void **state)
{
	struct fixture *f = *state;
	char *bytes = content_made(DAMAGED_BYTES, 11), *out = malloc(CHUNK);
	struct store_pin *pin;
	struct body_ref ref;

	assert_non_null(out);
	fixture_start(f);
	ref = blob_made(f, slice_from(bytes, DAMAGED_BYTES), CHUNK);
	pin = f->store->ops->pin(f->store, &ref);
	assert_int_equal(pin->ops->read(pin, 0, out, CHUNK), 0);
	file_cut(f, &ref, 2 * CHUNK - 1);
	assert_int_equal(pin->ops->read(pin, CHUNK, out, CHUNK), -EIO);
	pin->ops->unpin(pin);
	free(bytes);
	free(out);
}

/* --- space --- */

static uint64_t disk_bytes(struct fixture *f)
{
	struct journal_stats stats;

	journal_stats(f->journal, &stats);
	return stats.disk_bytes;
}

static bool no_blobs(struct fixture *f)
{
	return atomic_load(&f->journal->blob_count) == 0;
}

static bool reserved(struct fixture *f)
{
	return prepared(f) && atomic_load(&f->journal->reserve_bytes);
}

static void sums_are_counted_and_given_back(void **state)
{
	const uint64_t file = DAMAGED_BYTES + 4 * DAMAGED_CHUNKS;
	struct fixture *f = *state;
	char *bytes = content_made(DAMAGED_BYTES, 12);
	struct body_ref ref;
	uint64_t before;

	fixture_start(f);
	fixture_until(f, reserved);
	before = disk_bytes(f);
	ref = blob_made(f, slice_from(bytes, DAMAGED_BYTES), CHUNK);
	assert_int_equal(file_bytes(f, &ref), file);
	assert_int_equal(disk_bytes(f), before + file);
	f->store->ops->body_release(f->store, &ref);
	fixture_append(f, 1, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, no_blobs);
	assert_int_equal(disk_bytes(f), before);
	/* Found at a start. */
	ref = blob_made(f, slice_from(bytes, DAMAGED_BYTES), CHUNK);
	restart_with(f, &ref);
	fixture_until(f, reserved);
	assert_int_equal(disk_bytes(f), before + file);
	assert_false(fixture_said(f, "reading it will fail"));
	f->store->ops->body_release(f->store, &ref);
	fixture_append(f, 1, "released", (struct slice){0});
	fixture_commit(f);
	fixture_until(f, no_blobs);
	assert_int_equal(disk_bytes(f), before);
	free(bytes);
}

/* Room for the content, none for the sums: at the seal, and within a write that ends a stretch. */
static void no_room_for_the_sums(void **state)
{
	struct fixture *f = *state;
	char *bytes = content_made(CHUNK, 13);
	struct body_ref ref = {0};
	struct blob *blob;

	for (int whole = 0; whole < 2; whole++) {
		uint64_t writes = whole ? BLOB_STRETCH_CHUNKS : 3;
		struct faults *faults;

		fixture_start(f);
		fixture_until(f, reserved);
		faults = &f->journal->faults;
		faults->space_from = faults->space_to = atomic_load(&faults->space_count) + writes + 1;
		assert_int_equal(f->store->ops->blob_open(f->store, &blob), 0);
		for (uint64_t i = 1; i <= writes; i++)
			assert_int_equal(blob->ops->write(blob, slice_from(bytes, CHUNK)),
					 whole && i == writes ? STORE_NO_SPACE : 0);
		assert_int_equal(seal(blob, &ref), STORE_NO_SPACE);
		assert_true(no_blobs(f));
		fixture_stop(f);
		assert_int_equal(fixture_files(f, "blobs/tmp"), 0);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(sizes_around_chunks_and_limits_come_back),
		TEST(sizes_around_a_stretch_come_back),
		TEST(memory_is_constant),
		TEST(a_damaged_chunk_is_never_given_out),
		TEST(damaged_sums_are_told_at_the_first_byte),
		TEST(another_blob_is_not_taken_for_it),
		TEST(another_length_is_told_at_the_first_byte),
		TEST(cut_while_it_is_read),
		TEST(sums_are_counted_and_given_back),
		TEST(no_room_for_the_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
