#include "kafka/api/batch_look.h"

#include "kafka/codec/bytes.h"
#include "kafka/codec/compression.h"
#include "stream/batch.h"

#include <errno.h>

static void search(struct batch_reader *reader, struct batch_wanted *wanted)
{
	struct batch_record record;
	uint64_t offset;

	wanted->found_offset = wanted->found_time_ms = -1;
	while (batch_next(reader, &record, &offset) == 1) {
		int64_t time_ms = (int64_t)reader->record_time_ms;
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
	struct slice packed = slice_from(batch.ptr + BATCH_HEAD_BYTES, batch.len - BATCH_HEAD_BYTES);
	struct batch_reader reader;
	struct batch_head head;
	struct buf opened = {0};
	int r = batch_head_read(batch, &head);

	if (r)
		return r;
	r = kafka_decompress(head.compression, packed, BATCH_OPENED_MAX, &opened);
	wanted->opened_bytes = r == -E2BIG ? BATCH_OPENED_MAX : opened.len;
	if (!r)
		r = batch_open_unpacked(&reader, slice_from(batch.ptr, BATCH_HEAD_BYTES), buf_slice(&opened));
	if (!r)
		search(&reader, wanted);
	buf_deinit(&opened);
	return r;
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
