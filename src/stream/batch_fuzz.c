/* Any bytes read as a batch, and as batches one behind the other: each as it is, and all once more with magic, length and
 * checksum put right, since random bytes never get past those. Whatever is read lies inside, in the order of offsets; and what
 * was read to the end, encoded anew, gives the same records, and encoded once more the same bytes. */
#include "base/crc32c.h"
#include "stream/batch.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

static bool same(struct slice a, struct slice b)
{
	return !a.ptr == !b.ptr && slice_eq(a, b);
}

static bool lies_in(struct slice inner, struct slice outer)
{
	return !inner.ptr || (inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len);
}

/* All records, NULL if one of them is bad. To be freed. */
static struct batch_record *read_all(struct batch_reader *reader, struct slice bytes)
{
	struct batch_record *records = calloc(reader->count, sizeof(*records));
	uint64_t offset, at = reader->base_offset;
	uint32_t n = 0;
	int r;

	MUST(records);
	MUST(reader->count > 0 && reader->count == reader->left);
	while ((r = batch_next(reader, &records[n == reader->count ? 0 : n], &offset)) == 1) {
		MUST(n < reader->count);
		MUST(offset >= at && offset <= reader->base_offset + reader->last_delta);
		at = offset + 1;
		MUST(lies_in(records[n].key, bytes) && lies_in(records[n].value, bytes));
		n++;
		MUST(reader->left == reader->count - n);
	}
	if (r == 0) {
		MUST(n == reader->count);
		return records;
	}
	free(records);
	return NULL;
}

static void look(struct slice bytes)
{
	struct batch_reader reader, again;
	struct batch_record *records, *read_again;
	struct buf first = {0}, second = {0};

	if (batch_open(&reader, bytes))
		return;
	if (reader.left == 0) { /* a marker: nothing of it is read */
		MUST(reader.count > 0 && reader.rest.len == 0);
		return;
	}
	records = read_all(&reader, bytes);
	if (!records)
		return;
	batch_encode(&first, reader.time_ms, records, reader.count);
	MUST(!first.failed);
	batch_set_base(first.ptr, reader.base_offset);
	MUST(batch_open(&again, buf_slice(&first)) == 0);
	MUST(again.count == reader.count && again.base_offset == reader.base_offset && again.time_ms == reader.time_ms);
	read_again = read_all(&again, buf_slice(&first));
	MUST(read_again);
	for (uint32_t i = 0; i < reader.count; i++)
		MUST(same(records[i].key, read_again[i].key) && same(records[i].value, read_again[i].value));
	batch_encode(&second, reader.time_ms, read_again, reader.count);
	batch_set_base(second.ptr, reader.base_offset);
	MUST(slice_eq(buf_slice(&first), buf_slice(&second)));
	buf_deinit(&first);
	buf_deinit(&second);
	free(records);
	free(read_again);
}

/* Cut into batches: each behind the one before, until the end or the first that is none, which is left as it was. */
static void cut(struct slice bytes)
{
	struct slice rest = bytes, batch = {0};
	const char *at = bytes.ptr;
	int r;

	while ((r = batch_cut(&rest, &batch)) == 1) {
		MUST(batch.ptr == at && batch.len >= BATCH_HEAD_BYTES);
		at += batch.len;
		MUST(rest.ptr == at && at + rest.len == bytes.ptr + bytes.len);
		look(batch);
	}
	MUST(r == 0 ? rest.len == 0 : rest.len > 0);
	MUST(rest.len == 0 || rest.ptr == at);
}

static void put_u32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *mended;

	look(slice_from(data, size));
	cut(slice_from(data, size));
	if (size < BATCH_HEAD_BYTES)
		return 0;
	mended = malloc(size);
	MUST(mended);
	memcpy(mended, data, size);
	put_u32(mended + 8, (uint32_t)size - 12);
	mended[16] = 2;
	put_u32(mended + 17, crc32c(0, mended + 21, size - 21));
	look(slice_from(mended, size));
	free(mended);
	return 0;
}
