#include "stream/batch_rewrite.h"

#include "base/crc32c.h"
#include "stream/batch_priv.h"

void batch_rewrite_begin(struct batch_rewrite *rewrite, struct slice batch, int64_t horizon_ms)
{
	struct buf records = rewrite->records;

	buf_clear(&records);
	*rewrite = (struct batch_rewrite){.records = records, .set_horizon = horizon_ms >= 0, .max_time_ms = INT64_MIN};
	rewrite->old_base_ms = (int64_t)get_u64(batch.ptr + AT_BASE_TIME);
	rewrite->new_base_ms = horizon_ms >= 0 ? horizon_ms : rewrite->old_base_ms;
}

/* Times come from clients, and may be anything: sums wrap, and come out as they were. */
static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

void batch_rewrite_keep(struct batch_rewrite *rewrite, const struct batch_reader *reader)
{
	int64_t time_ms = add(rewrite->old_base_ms, reader->time_delta_ms);
	int64_t time_delta = (int64_t)((uint64_t)time_ms - (uint64_t)rewrite->new_base_ms), delta = reader->next_delta - 1;
	size_t len = 1 + varint_bytes(time_delta) + varint_bytes(delta) + reader->record_rest.len;
	size_t total = varint_bytes((int64_t)len) + len;
	char *at = buf_reserve(&rewrite->records, total);

	if (!at)
		return;
	at = put_varint(at, (int64_t)len);
	*at++ = (char)reader->record_attributes;
	at = put_varint(at, time_delta);
	at = put_varint(at, delta);
	memcpy(at, reader->record_rest.ptr, reader->record_rest.len);
	rewrite->records.len += total;
	rewrite->count++;
	if (time_ms > rewrite->max_time_ms)
		rewrite->max_time_ms = time_ms;
}

static void put_horizon(char *head, int64_t horizon_ms)
{
	head[AT_ATTRIBUTES + 1] = (char)(head[AT_ATTRIBUTES + 1] | HORIZON);
	put_u64(head + AT_BASE_TIME, (uint64_t)horizon_ms);
}

static void put_sum(char *head, size_t len)
{
	put_u32(head + AT_CRC, crc32c(0, head + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
}

void batch_rewrite_end(const struct batch_rewrite *rewrite, struct slice batch, struct slice records, struct buf *out)
{
	size_t total = BATCH_HEAD_BYTES + records.len;
	char *head = total <= INT32_MAX ? buf_reserve(out, total) : NULL;

	if (!head) {
		out->failed = true;
		return;
	}
	memcpy(head, batch.ptr, BATCH_HEAD_BYTES);
	if (records.len)
		memcpy(head + BATCH_HEAD_BYTES, records.ptr, records.len);
	put_u32(head + AT_LENGTH, (uint32_t)(total - AT_EPOCH));
	put_u32(head + AT_COUNT, rewrite->count);
	if (!(head[AT_ATTRIBUTES + 1] & APPEND_TIME))
		put_u64(head + AT_MAX_TIME, (uint64_t)rewrite->max_time_ms);
	if (rewrite->set_horizon)
		put_horizon(head, rewrite->new_base_ms);
	put_sum(head, total);
	out->len += total;
}

void batch_rewrite_deinit(struct batch_rewrite *rewrite)
{
	buf_deinit(&rewrite->records);
}

/* Its one record keeps its time as well as it can be kept: nobody reads it. */
void batch_rewrite_marker(struct slice batch, int64_t horizon_ms, struct buf *out)
{
	size_t before = out->len;

	buf_append_slice(out, batch);
	if (out->failed)
		return;
	put_horizon(out->ptr + before, horizon_ms);
	put_sum(out->ptr + before, batch.len);
}
