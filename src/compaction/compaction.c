#include "compaction/compaction_priv.h"

#include "base/mem.h"
#include "kafka/codec/compression.h"

#include <errno.h>

enum { KEEP_BYTES = 2 << 20 }; /* a longer buffer is given back */

struct compaction *compaction_new(uint64_t memory_bytes)
{
	struct compaction *c = mem_zalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->memory_bytes = memory_bytes;
	hash_init(&c->producers);
	list_init(&c->kept);
	return c;
}

void compaction_rest(struct compaction *c)
{
	key_map_deinit(&c->map);
	compaction_forget_producers(c);
	hash_deinit(&c->producers);
	hash_init(&c->producers);
	buf_deinit(&c->chunk);
	buf_deinit(&c->opened);
	buf_deinit(&c->packed);
	batch_rewrite_deinit(&c->rewrite);
}

struct compaction *compaction_free(struct compaction *c)
{
	if (!c)
		return NULL;
	compaction_rest(c);
	return mem_free(c);
}

struct key_hash compaction_hash(const struct compact_step *step, struct slice key)
{
	return (struct key_hash){hash_bytes(&step->keys[0], key.ptr, key.len), hash_bytes(&step->keys[1], key.ptr, key.len)};
}

bool compaction_is_aborted(const struct compact_step *step, const struct batch_head *head)
{
	for (size_t i = 0; i < step->aborted_count && head->transactional; i++) {
		const struct aborted *aborted = &step->aborted[i];

		if (aborted->producer_id == (uint64_t)head->producer_id && aborted->first <= head->base_offset &&
		    head->base_offset < aborted->last)
			return true;
	}
	return false;
}

/* What a client sent that does not open, before its topic was compacted, opens for no reader either: it stays. What opens to too
 * much for this server a reader may still be able to read: then nothing is done at all. */
int compaction_open(struct compaction *c, struct slice batch, const struct batch_head *head, struct batch_reader *ret_reader)
{
	struct slice records = slice_from(batch.ptr + BATCH_HEAD_BYTES, batch.len - BATCH_HEAD_BYTES);
	int r = 0;

	if (head->compression) {
		buf_clear(&c->opened);
		r = kafka_decompress(head->compression, records, COMPACTION_OPENED_MAX, &c->opened);
		records = buf_slice(&c->opened);
	}
	if (r == -ENOMEM || r == -E2BIG)
		return r == -ENOMEM ? r : -EIO;
	return r || batch_open_unpacked(ret_reader, slice_from(batch.ptr, BATCH_HEAD_BYTES), records) ? 1 : 0;
}

/* --- keys --- */

/* 0; 1: the map is full. */
static int map_batch(struct compaction *c, struct batch_reader *reader)
{
	struct compact_step *step = c->step;
	struct batch_record record;
	uint64_t offset;

	while (batch_next(reader, &record, &offset) == 1) {
		struct key_hash hash;

		if (offset < step->from || offset >= step->until || !record.key.ptr)
			continue;
		hash = compaction_hash(step, record.key);
		if (!key_map_put(&c->map, hash.high, hash.low, offset)) {
			step->mapped = offset;
			return 1;
		}
	}
	return 0;
}

/* 0; 1: the map is full; -ENOMEM or -EIO. */
static int map_chunk(struct compaction *c, struct slice batches)
{
	const struct compact_step *step = c->step;
	struct batch_reader reader;
	struct batch_head head;
	struct slice batch;
	int r = 0;

	while (!r && batch_cut(&batches, &batch) == 1) {
		if (batch_head_read(batch, &head) || head.control || head.base_offset + head.count <= step->from ||
		    head.base_offset >= step->until || compaction_is_aborted(step, &head))
			continue;
		r = compaction_open(c, batch, &head, &reader);
		r = r == 0 ? map_batch(c, &reader) : r < 0 ? r : 0;
	}
	return r;
}

/* --- a step --- */

static int begin(struct compaction *c)
{
	const struct compact_step *step = c->step;

	compaction_forget_producers(c);
	key_map_deinit(&c->map);
	return key_map_init(&c->map, step->until > step->from ? step->until - step->from : 0, c->memory_bytes);
}

static int chunk_read(struct compaction *c, struct store_pin *pin)
{
	char *at;

	buf_clear(&c->chunk);
	at = buf_reserve(&c->chunk, (size_t)pin->ref.size_bytes);
	if (!at)
		return -ENOMEM;
	if (pin->ops->read_whole(pin, at))
		return -EIO;
	c->chunk.len = (size_t)pin->ref.size_bytes;
	return 0;
}

static int run(struct compaction *c)
{
	struct compact_step *step = c->step;
	int r = step->begins ? begin(c) : 0;

	if (step->anew)
		compaction_forget_producers(c);
	for (size_t i = 0; i < step->chunk_count && !r; i++) {
		r = chunk_read(c, step->chunks[i].pin);
		if (!r && step->phase == COMPACT_MAP)
			r = map_chunk(c, buf_slice(&c->chunk));
		else if (!r)
			r = compaction_filter(c, buf_slice(&c->chunk));
	}
	if (!r && (step->bytes.failed || step->gone.failed))
		r = -ENOMEM;
	return r < 0 ? r : 0;
}

static void shed(struct buf *buf)
{
	if (buf->cap > KEEP_BYTES)
		buf_deinit(buf);
}

void compaction_run(struct compaction *c, struct compact_step *step)
{
	c->step = step;
	step->mapped = step->until;
	step->error = run(c);
	c->step = NULL;
	shed(&c->chunk);
	shed(&c->opened);
	shed(&c->packed);
	shed(&c->rewrite.records);
}
