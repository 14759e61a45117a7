/* Batches that Kafka clients wrote, compressed or in transactions, to be read as all others. */
#include "http/api/stream_priv.h"

#include "kafka/codec/compression.h"
#include "stream/batch.h"
#include "stream/sequence.h"

#include <errno.h>

enum { UNPACKED_BYTES_MAX = 64 << 20 };

bool stream_batch_is_void(const struct stream_view *view, struct slice batch)
{
	struct batch_head head;

	if (!view->aborted_count || batch_head_read(batch, &head) || !head.transactional)
		return false;
	for (size_t i = 0; i < view->aborted_count; i++) {
		const struct aborted *one = &view->aborted[i];

		if (one->producer_id == (uint64_t)head.producer_id && one->first <= head.base_offset &&
		    head.base_offset < one->last)
			return true;
	}
	return false;
}

int stream_batch_open(struct batch_reader *reader, struct slice batch, struct buf *room)
{
	struct batch_head head;
	int r;

	if (batch_head_read(batch, &head))
		return -EBADMSG;
	if (!head.compression || head.control)
		return batch_open_checked(reader, batch);
	buf_clear(room);
	buf_append(room, batch.ptr, BATCH_HEAD_BYTES);
	r = kafka_decompress(head.compression, slice_from(batch.ptr + BATCH_HEAD_BYTES, batch.len - BATCH_HEAD_BYTES),
			     UNPACKED_BYTES_MAX, room);
	if (!r && room->failed)
		r = -ENOMEM;
	if (r)
		return r;
	batch_set_plain(room->ptr, room->len);
	return batch_open_checked(reader, buf_slice(room));
}
