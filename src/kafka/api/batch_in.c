#include "kafka/api/batch_in.h"

#include "base/crc32c.h"
#include "kafka/codec/bytes.h"
#include "kafka/codec/compression.h"
#include "stream/batch.h"

#include <errno.h>

enum { CHECKED_FROM = 21 }; /* the checksum is over what follows it */
enum batch_attribute { BATCH_TRANSACTIONAL = 16, BATCH_CONTROL = 32 };

struct head_in {
	uint64_t base_offset, base_time_ms, max_time_ms, producer_id;
	uint32_t length, leader_epoch, crc, last_delta, base_sequence, count;
	uint16_t attributes, producer_epoch;
	uint8_t magic;
};

static struct head_in head_get(struct wire_reader *r)
{
	struct head_in head;

	head.base_offset = kafka_get_u64(r);
	head.length = kafka_get_u32(r);
	head.leader_epoch = kafka_get_u32(r);
	head.magic = wire_u8(r);
	head.crc = kafka_get_u32(r);
	head.attributes = kafka_get_u16(r);
	head.last_delta = kafka_get_u32(r);
	head.base_time_ms = kafka_get_u64(r);
	head.max_time_ms = kafka_get_u64(r);
	head.producer_id = kafka_get_u64(r);
	head.producer_epoch = kafka_get_u16(r);
	head.base_sequence = kafka_get_u32(r);
	head.count = kafka_get_u32(r);
	return head;
}

static enum kafka_error head_check(const struct head_in *head, struct slice records)
{
	bool produced = (int64_t)head->producer_id >= 0;

	if (head->magic != 2)
		return KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT;
	if (head->length != records.len - 12)
		return head->length < records.len - 12 && head->length >= BATCH_HEAD_BYTES - 12 ? KAFKA_INVALID_RECORD
												: KAFKA_CORRUPT_MESSAGE;
	if (head->crc != crc32c(0, records.ptr + CHECKED_FROM, records.len - CHECKED_FROM))
		return KAFKA_CORRUPT_MESSAGE;
	if ((head->attributes & KAFKA_COMPRESSION_MASK) > KAFKA_COMPRESSION_ZSTD)
		return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
	if (head->attributes & BATCH_CONTROL || head->count == 0 || head->count > INT32_MAX ||
	    head->last_delta != head->count - 1)
		return KAFKA_INVALID_RECORD;
	/* Without a producer, its epoch and sequence say nothing; kafkajs has zeros there. */
	if (produced && ((int16_t)head->producer_epoch < 0 || (int32_t)head->base_sequence < 0))
		return KAFKA_INVALID_RECORD;
	if (head->attributes & BATCH_TRANSACTIONAL && !produced)
		return KAFKA_INVALID_RECORD;
	return KAFKA_NONE;
}

/* Each record is there, and whether all have a key. */
static enum kafka_error records_read(struct batch_reader *reader, bool *ret_no_key)
{
	struct batch_record record;
	uint64_t offset;
	int r;

	*ret_no_key = false;
	while ((r = batch_next(reader, &record, &offset)) == 1)
		*ret_no_key |= !record.key.ptr;
	return r ? KAFKA_INVALID_RECORD : KAFKA_NONE;
}

static enum kafka_error plain_read(struct slice records, bool *ret_no_key)
{
	struct batch_reader reader;

	/* head_check has held it against its checksum. */
	return batch_open_checked(&reader, records) ? KAFKA_INVALID_RECORD : records_read(&reader, ret_no_key);
}

enum kafka_error batch_in_open(struct produce_batch *batch, uint64_t *left)
{
	struct slice head = slice_from(batch->bytes, BATCH_HEAD_BYTES);
	struct slice records = slice_from(batch->bytes + BATCH_HEAD_BYTES, batch->size_bytes - BATCH_HEAD_BYTES);
	unsigned compression = (uint8_t)batch->bytes[CHECKED_FROM + 1] & KAFKA_COMPRESSION_MASK;
	enum kafka_error error = KAFKA_INVALID_RECORD;
	struct batch_reader reader;
	struct buf opened = {0};
	uint64_t became;
	int r;

	if (*left == 0)
		return KAFKA_STORAGE_ERROR;
	r = kafka_decompress(compression, records, BATCH_IN_OPENED_MAX, &opened);
	became = r == -E2BIG ? BATCH_IN_OPENED_MAX : opened.len;
	*left -= became < *left ? became : *left;
	if (r)
		error = r == -ENOMEM ? KAFKA_STORAGE_ERROR : r == -E2BIG ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_CORRUPT_MESSAGE;
	else if (!batch_open_unpacked(&reader, head, buf_slice(&opened)))
		error = records_read(&reader, &batch->no_key);
	if (!error)
		batch->packed = false;
	buf_deinit(&opened);
	return error;
}

enum kafka_error batch_in(struct slice records, struct produce_batch *ret_batch)
{
	struct wire_reader r = wire_reader_of(records);
	struct head_in head = head_get(&r);
	enum kafka_error error;
	bool no_key = false, packed;

	if (records.len == 0)
		return KAFKA_INVALID_RECORD;
	if (r.failed)
		return KAFKA_CORRUPT_MESSAGE;
	error = head_check(&head, records);
	packed = (head.attributes & KAFKA_COMPRESSION_MASK) != KAFKA_COMPRESSION_NONE;
	if (error == KAFKA_NONE && !packed)
		error = plain_read(records, &no_key);
	if (error)
		return error;
	*ret_batch = (struct produce_batch){
		.bytes = (char *)(uintptr_t)records.ptr,
		.size_bytes = records.len,
		.count = head.count,
		.first_time_ms = (int64_t)head.base_time_ms,
		.max_time_ms = (int64_t)head.max_time_ms,
		.producer_id = (int64_t)head.producer_id < 0 ? -1 : (int64_t)head.producer_id,
		.producer_epoch = (int16_t)head.producer_epoch,
		.base_sequence = (int32_t)head.base_sequence,
		.transactional = head.attributes & BATCH_TRANSACTIONAL,
		.no_key = no_key,
		.packed = packed,
	};
	return KAFKA_NONE;
}
