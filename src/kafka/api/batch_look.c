#include "kafka/api/batch_look.h"

#include "kafka/codec/bytes.h"
#include "kafka/codec/compression.h"
#include "stream/batch.h"

#include <errno.h>

enum { APPEND_TIME = 8 }; /* attribute: all records have the batch's latest time */

static void search(struct batch_reader *reader, bool append_time, uint64_t max_time_ms, struct batch_wanted *wanted)
{
	struct batch_record record;
	uint64_t offset;

	wanted->found_offset = wanted->found_time_ms = -1;
	while (batch_next(reader, &record, &offset) == 1) {
		int64_t time_ms = (int64_t)(append_time ? max_time_ms : reader->record_time_ms);
		bool better = wanted->latest ? time_ms > wanted->found_time_ms : time_ms >= wanted->time_ms;

		if (!better)
			continue;
		wanted->found_offset = (int64_t)offset;
		wanted->found_time_ms = time_ms;
		if (!wanted->latest)
			return;
	}
}

static int look_into(struct slice batch, struct batch_wanted *wanted)
{
	struct wire_reader r = wire_reader_of(batch);
	struct batch_reader reader = {.base_offset = kafka_get_u64(&r)};
	struct buf opened = {0};
	uint64_t max_time_ms;
	uint16_t attributes;
	int error;

	(void)wire_bytes(&r, 13); /* length, epoch, magic, checksum */
	attributes = kafka_get_u16(&r);
	(void)wire_bytes(&r, 4);
	reader.time_ms = kafka_get_u64(&r);
	max_time_ms = kafka_get_u64(&r);
	(void)wire_bytes(&r, 14);
	reader.count = reader.left = kafka_get_u32(&r);
	if (r.failed)
		return -EBADMSG;
	error = kafka_decompress(attributes & KAFKA_COMPRESSION_MASK,
				 slice_from(batch.ptr + BATCH_HEAD_BYTES, batch.len - BATCH_HEAD_BYTES), BATCH_OPENED_MAX,
				 &opened);
	if (!error) {
		reader.rest = buf_slice(&opened);
		search(&reader, attributes & APPEND_TIME, max_time_ms, wanted);
	}
	buf_deinit(&opened);
	return error;
}

int batch_look(struct store_pin *pin, char *buffer, size_t buffer_bytes, struct batch_wanted *wanted)
{
	struct slice rest = slice_from(buffer, (size_t)pin->ref.size_bytes), batch;

	if (pin->ref.size_bytes > buffer_bytes || pin->ops->read_whole(pin, buffer))
		return -EIO;
	while (batch_cut(&rest, &batch) == 1) {
		struct wire_reader r = wire_reader_of(batch);

		if (kafka_get_u64(&r) == wanted->batch_offset)
			return look_into(batch, wanted);
	}
	return -EBADMSG;
}
