/* Batches as published clients compressed them (test/vectors/kafka/compressed.txt), bombs, lies, and pieces of all that. */
#include "base/mem.h"
#include "base/testing.h"
#include "kafka/codec/compression.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { BOMB_BYTES = 64 << 20, LIMIT_BYTES = 1 << 20, KINDS = 5 };

static const char *const names[KINDS] = {"none", "gzip", "snappy", "lz4", "zstd"};

static struct slice copy_of(struct slice bytes)
{
	char *copy = malloc(bytes.len ? bytes.len : 1);

	assert_non_null(copy);
	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return slice_from(copy, bytes.len);
}

static void drop(struct slice copy)
{
	free((void *)(uintptr_t)copy.ptr);
}

static void gzip_make(struct slice plain, struct buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)plain.ptr, .avail_in = (uInt)plain.len};
	size_t bound = compressBound(plain.len) + 64;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (Bytef *)buf_reserve(out, bound);
	z.avail_out = (uInt)bound;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += bound - z.avail_out;
	deflateEnd(&z);
}

static void make(unsigned kind, struct slice plain, struct buf *out)
{
	size_t bound = snappy_max_compressed_length(plain.len) + LZ4F_compressFrameBound(plain.len, NULL) +
		       ZSTD_compressBound(plain.len);
	size_t len = bound;

	switch (kind) {
	case KAFKA_COMPRESSION_NONE:
		buf_append_slice(out, plain);
		return;
	case KAFKA_COMPRESSION_GZIP:
		gzip_make(plain, out);
		return;
	case KAFKA_COMPRESSION_SNAPPY:
		assert_int_equal(snappy_compress(plain.ptr, plain.len, buf_reserve(out, bound), &len), SNAPPY_OK);
		break;
	case KAFKA_COMPRESSION_LZ4:
		len = LZ4F_compressFrame(buf_reserve(out, bound), bound, plain.ptr, plain.len, NULL);
		assert_false(LZ4F_isError(len));
		break;
	default:
		len = ZSTD_compress(buf_reserve(out, bound), bound, plain.ptr, plain.len, 3);
		assert_false(ZSTD_isError(len));
	}
	out->len += len;
}

/* From a copy that ends where its memory ends. */
static int run(unsigned kind, struct slice bytes, size_t max_bytes, struct buf *out)
{
	struct slice copy = copy_of(bytes);
	size_t len = out->len;
	int r = kafka_decompress(kind, copy, max_bytes, out);

	if (r)
		assert_int_equal(out->len, len);
	assert_true(out->len - len <= max_bytes);
	assert_false(out->failed);
	drop(copy);
	return r;
}

static int run_only(unsigned kind, struct slice bytes, size_t max_bytes)
{
	struct buf out = {0};
	int r = run(kind, bytes, max_bytes, &out);

	buf_deinit(&out);
	return r;
}

static void test_there_and_back(void **state)
{
	struct test_random random = test_random_start(__func__);
	static const size_t lens[] = {0, 1, 100, 65535, 65536, 65537, 300000};

	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++)
		for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
			char *plain = malloc(lens[i] + 1);
			struct buf packed = {0}, out = {0};

			assert_non_null(plain);
			test_random_bytes(&random, plain, lens[i]);
			for (size_t at = lens[i] / 2; at < lens[i]; at++)
				plain[at] = plain[at % 50];
			make(kind, slice_from(plain, lens[i]), &packed);
			buf_append_str(&out, "before");
			assert_int_equal(run(kind, buf_slice(&packed), lens[i], &out), 0);
			assert_int_equal(out.len, 6 + lens[i]);
			assert_memory_equal(out.ptr + 6, plain, lens[i]);
			if (lens[i])
				assert_int_equal(run(kind, buf_slice(&packed), lens[i] - 1, &out), -E2BIG);
			free(plain);
			buf_deinit(&packed);
			buf_deinit(&out);
		}
}

static void test_compress(void **state)
{
	struct test_random random = test_random_start(__func__);
	static const size_t lens[] = {1, 100, 65536, 300000};

	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++)
		for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
			char *plain = malloc(lens[i]);
			struct buf packed = {0}, out = {0};

			assert_non_null(plain);
			test_random_bytes(&random, plain, lens[i]);
			for (size_t at = lens[i] / 2; at < lens[i]; at++)
				plain[at] = plain[at % 50];
			buf_append_str(&packed, "before");
			assert_int_equal(kafka_compress(kind, slice_from(plain, lens[i]), &packed), 0);
			assert_int_equal(run(kind, slice_from(packed.ptr + 6, packed.len - 6), lens[i], &out), 0);
			assert_int_equal(out.len, lens[i]);
			assert_memory_equal(out.ptr, plain, lens[i]);
			for (uint64_t n = 1; n <= 2; n++) {
				size_t len = packed.len;
				int r;

				buf_deinit(&out);
				buf_append_str(&out, "x");
				mem_fail_nth(n);
				r = kafka_compress(kind, slice_from(plain, lens[i]), &out);
				mem_fail_nth(0);
				assert_true((r == -ENOMEM && out.len == 1 && !out.failed) || (r == 0 && out.len > 1));
				assert_int_equal(packed.len, len);
			}
			/* Java clients read no blocks that lean on others: bit 5 of the first byte behind the magic. */
			if (kind == KAFKA_COMPRESSION_LZ4)
				assert_true(packed.ptr[6 + 4] & 0x20);
			free(plain);
			buf_deinit(&packed);
			buf_deinit(&out);
		}
	assert_int_equal(kafka_compress(5, SLICE("x"), &(struct buf){0}), -EBADMSG);
}

static void test_bombs(void **state)
{
	char *zeros = calloc(1, BOMB_BYTES);

	(void)state;
	assert_non_null(zeros);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct buf bomb = {0}, out = {0};

		make(kind, slice_from(zeros, BOMB_BYTES), &bomb);
		assert_int_equal(run(kind, buf_slice(&bomb), LIMIT_BYTES, &out), -E2BIG);
		assert_true(out.cap <= 4 * LIMIT_BYTES);
		buf_deinit(&bomb);
		buf_deinit(&out);
	}
	free(zeros);
}

/* Heads that promise what the rest does not keep. */
static void test_lies(void **state)
{
	static const struct {
		unsigned kind;
		struct slice bytes;
		int result;
	} rows[] = {
		/* snappy: 4 GiB - 1; a length that does not end; 2000 bytes out of one; a literal that is not there */
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\xff\xff\xff\xff\x0f\x00"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\xff\xff\xff\xff\xff\xff"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\xd0\x0f\x00"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x05\x10x"), -EBADMSG},
		/* xerial: a head alone is empty; cut off; a block longer than what is there; of no bytes */
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1"), 0},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1\x7f\xff\xff\xff\x01\x00x"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\0"), -EBADMSG},
		{KAFKA_COMPRESSION_SNAPPY, SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\3\1\0x"), 0},
		/* zstd: a frame of 1 GiB and a window to match, empty; one that says 4 GiB and has 128 KiB */
		{KAFKA_COMPRESSION_ZSTD, SLICE_INIT("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"), 0},
		{KAFKA_COMPRESSION_ZSTD, SLICE_INIT("\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff\x03\x00\x10x"), -EBADMSG},
		/* lz4: blocks of up to 4 MiB, and none comes */
		{KAFKA_COMPRESSION_LZ4, SLICE_INIT("\x04\x22\x4d\x18\x60\x70\x73\0\0\0\0"), 0},
		{KAFKA_COMPRESSION_LZ4, SLICE_INIT("\x04\x22\x4d\x18\x60\x70\x73\xff\xff\xff\x7f"), -EBADMSG},
		/* gzip: zlib's head instead */
		{KAFKA_COMPRESSION_GZIP, SLICE_INIT("\x78\x9c\x03\x00\x00\x00\x00\x01"), -EBADMSG},
		/* no such kinds */
		{5, SLICE_INIT("x"), -EBADMSG},
		{7, SLICE_INIT("x"), -EBADMSG},
		{8, SLICE_INIT("x"), -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		int r = run_only(rows[i].kind, rows[i].bytes, LIMIT_BYTES);

		if (r != rows[i].result)
			fail_msg("row %zu gives %d", i, r);
	}
	for (unsigned kind = 1; kind < KINDS; kind++)
		assert_int_equal(run_only(kind, SLICE(""), LIMIT_BYTES), -EBADMSG);
}

static void test_cut_off_anywhere(void **state)
{
	static const char plain[] = "what is cut off is never taken for whole, whole, whole, whole, whole, whole";

	(void)state;
	for (unsigned kind = 1; kind < KINDS; kind++) {
		struct buf packed = {0};

		make(kind, SLICE(plain), &packed);
		for (size_t len = 0; len < packed.len; len++)
			assert_int_equal(run_only(kind, slice_from(packed.ptr, len), LIMIT_BYTES), -EBADMSG);
		buf_append_str(&packed, "xyz1");
		assert_int_equal(run_only(kind, buf_slice(&packed), LIMIT_BYTES), -EBADMSG);
		buf_deinit(&packed);
	}
}

/* Members, frames and heads may follow on each other. */
static void test_one_behind_the_other(void **state)
{
	static const struct slice xerial =
		SLICE_INIT("\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\4\2\4ab\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\4\2\4ab");

	(void)state;
	for (unsigned kind = 1; kind < KINDS; kind++) {
		struct buf packed = {0}, out = {0};

		if (kind == KAFKA_COMPRESSION_SNAPPY) {
			buf_append_slice(&packed, xerial);
		} else {
			make(kind, SLICE("ab"), &packed);
			make(kind, SLICE("ab"), &packed);
		}
		assert_int_equal(run(kind, buf_slice(&packed), 4, &out), 0);
		assert_true(slice_eq(buf_slice(&out), SLICE("abab")));
		assert_int_equal(run(kind, buf_slice(&packed), 3, &out), -E2BIG);
		buf_deinit(&packed);
		buf_deinit(&out);
	}
}

static void test_too_little_memory(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct buf packed = {0};

		make(kind, SLICE("some bytes that somebody sent"), &packed);
		for (uint64_t k = 1;; k++) {
			struct buf out = {0};
			int r;

			mem_fail_nth(k);
			r = run(kind, buf_slice(&packed), LIMIT_BYTES, &out);
			mem_fail_nth(0);
			buf_deinit(&out);
			if (r == 0) {
				assert_true(k > 1);
				break;
			}
			assert_int_equal(r, -ENOMEM);
		}
		buf_deinit(&packed);
	}
}

static size_t unhex(const char *hex, struct buf *to)
{
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		buf_append_char(to, (char)byte);
	return to->len;
}

static void test_what_clients_send(void **state)
{
	FILE *file = fopen("test/vectors/kafka/compressed.txt", "r");
	struct buf plain = {0};
	char *line = NULL, client[32], how[8];
	size_t room = 0, seen[KINDS] = {0};

	(void)state;
	assert_non_null(file);
	while (getline(&line, &room, file) >= 0) {
		struct buf packed = {0}, out = {0};
		unsigned kind = 0;
		int at;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		assert_int_equal(sscanf(line, "%31s %7s %n", client, how, &at), 2);
		while (strcmp(names[kind], how) != 0)
			assert_true(++kind < KINDS);
		assert_true(unhex(line + at, &packed) > 0);
		if (kind == KAFKA_COMPRESSION_NONE) {
			buf_clear(&plain);
			buf_append_slice(&plain, buf_slice(&packed));
		}
		assert_int_equal(run(kind, buf_slice(&packed), plain.len, &out), 0);
		assert_true(slice_eq(buf_slice(&out), buf_slice(&plain)));
		seen[kind]++;
		buf_deinit(&packed);
		buf_deinit(&out);
	}
	for (unsigned kind = 0; kind < KINDS; kind++)
		assert_true(seen[kind] >= 3);
	free(line);
	fclose(file);
	buf_deinit(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_compress),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_cut_off_anywhere),
		cmocka_unit_test(test_one_behind_the_other),
		cmocka_unit_test(test_too_little_memory),
		cmocka_unit_test(test_what_clients_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
