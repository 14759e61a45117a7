/* What stays of a chunk: batch by batch, behind what stayed of those before. */
#include "compaction/compaction_priv.h"

#include "base/mem.h"
#include "kafka/codec/compression.h"
#include "stream/stream_event.h"

#include <errno.h>

/* --- transactions of which something stays --- */

static struct kept_producer *kept_find(const struct compaction *c, uint64_t id)
{
	uint64_t hash = hash_u64(&c->step->keys[0], id, 0);

	for (struct hash_node *n = hash_first(&c->producers, hash); n; n = hash_next(&c->producers, n)) {
		struct kept_producer *kept = container_of(n, struct kept_producer, node);

		if (kept->id == id)
			return kept;
	}
	return NULL;
}

static int kept_add(struct compaction *c, uint64_t id)
{
	struct kept_producer *kept;

	if (kept_find(c, id))
		return 0;
	kept = mem_zalloc(sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	kept->id = id;
	if (hash_insert(&c->producers, &kept->node, hash_u64(&c->step->keys[0], id, 0))) {
		mem_free(kept);
		return -ENOMEM;
	}
	list_push_back(&c->kept, &kept->peers);
	return 0;
}

static void kept_remove(struct compaction *c, struct kept_producer *kept)
{
	hash_remove(&c->producers, &kept->node);
	list_remove(&kept->peers);
	mem_free(kept);
}

void compaction_forget_producers(struct compaction *c)
{
	while (!list_empty(&c->kept))
		kept_remove(c, list_first(&c->kept, struct kept_producer, peers));
}

/* --- what stays --- */

/* A batch that stays, whatever of it. */
static int stays(struct compaction *c, const struct batch_head *head, int64_t last_ms)
{
	uint64_t max_time_ms = last_ms < 0 ? UINT64_MAX : (uint64_t)last_ms;
	struct compact_step *step = c->step;

	if (!step->kept_count)
		step->kept_offset = head->base_offset;
	step->kept_count = head->base_offset + head->count - step->kept_offset;
	if (max_time_ms > step->max_time_ms)
		step->max_time_ms = max_time_ms;
	return head->transactional && !head->control ? kept_add(c, (uint64_t)head->producer_id) : 0;
}

static int stays_whole(struct compaction *c, struct slice batch, const struct batch_head *head)
{
	buf_append_slice(&c->step->bytes, batch);
	return stays(c, head, head->max_time_ms);
}

/* What has a horizon, and that is over. */
static bool is_over(const struct compact_step *step, const struct batch_head *head)
{
	return head->horizon_ms >= 0 && (uint64_t)head->horizon_ms <= step->now_ms;
}

static void tell_horizon(struct compact_step *step, int64_t horizon_ms)
{
	uint64_t at_ms = horizon_ms > 0 ? (uint64_t)horizon_ms : 1;

	if (!step->horizon_ms || at_ms < step->horizon_ms)
		step->horizon_ms = at_ms;
}

static int64_t new_horizon(const struct compact_step *step)
{
	return (int64_t)(step->now_ms + step->retention_ms);
}

/* Of the aborted transactions, that of this marker. */
static void tell_gone(struct compact_step *step, const struct batch_head *head)
{
	for (size_t i = 0; i < step->aborted_count; i++) {
		if (step->aborted[i].last == head->base_offset)
			aborted_put(&step->gone, &step->aborted[i]);
	}
}

/* A marker: once nothing of its transaction is left it has a horizon, and then it goes. */
static int filter_marker(struct compaction *c, struct slice batch, const struct batch_head *head)
{
	struct compact_step *step = c->step;
	struct kept_producer *kept = kept_find(c, (uint64_t)head->producer_id);

	if (kept) {
		kept_remove(c, kept);
		return stays_whole(c, batch, head);
	}
	if (is_over(step, head)) {
		step->changed = true;
		tell_gone(step, head);
		return 0;
	}
	if (head->horizon_ms >= 0) {
		tell_horizon(step, head->horizon_ms);
		return stays_whole(c, batch, head);
	}
	step->changed = true;
	tell_horizon(step, new_horizon(step));
	batch_rewrite_marker(batch, new_horizon(step), &step->bytes);
	return stays(c, head, head->max_time_ms);
}

/* What becomes of a batch's records. */
struct sorted {
	uint32_t kept, nulls; /* nulls: of those kept */
	bool bad;             /* one cannot be read */
};

/* Whether it stays whatever its value is. */
static bool is_last(struct compaction *c, const struct batch_record *record, uint64_t offset)
{
	struct key_hash hash;

	if (!record->key.ptr)
		return false;
	hash = compaction_hash(c->step, record->key);
	return !key_map_is_behind(&c->map, hash.high, hash.low, offset);
}

static struct sorted sort(struct compaction *c, struct batch_reader *reader, bool nulls_go, bool keep)
{
	const struct compact_step *step = c->step;
	struct sorted sorted = {0};
	struct batch_record record;
	uint64_t offset;
	int r;

	while ((r = batch_next(reader, &record, &offset)) == 1) {
		bool settled = offset < step->until, null = settled && !record.value.ptr;

		if (settled && (!is_last(c, &record, offset) || (null && nulls_go)))
			continue;
		sorted.kept++;
		sorted.nulls += null;
		if (keep)
			batch_rewrite_keep(&c->rewrite, reader);
	}
	sorted.bad = r < 0;
	return sorted;
}

/* Those that stay, as a batch of their own. */
static int rewrite(struct compaction *c, struct slice batch, const struct batch_head *head, struct batch_reader *reader,
		   int64_t horizon_ms)
{
	struct slice records;
	int r = 0;

	batch_rewrite_begin(&c->rewrite, batch, horizon_ms);
	(void)sort(c, reader, is_over(c->step, head), true);
	if (c->rewrite.records.failed)
		return -ENOMEM;
	records = buf_slice(&c->rewrite.records);
	if (head->compression) {
		buf_clear(&c->packed);
		r = kafka_compress(head->compression, records, &c->packed);
		records = buf_slice(&c->packed);
	}
	if (r)
		return r == -ENOMEM ? r : -EIO;
	batch_rewrite_end(&c->rewrite, batch, records, &c->step->bytes);
	return stays(c, head, head->append_time ? head->max_time_ms : c->rewrite.max_time_ms);
}

static int filter_batch(struct compaction *c, struct slice batch, const struct batch_head *head)
{
	struct compact_step *step = c->step;
	struct batch_reader reader, again;
	struct sorted sorted;
	int64_t horizon_ms = -1;
	int r = compaction_open(c, batch, head, &reader);

	if (r)
		return r < 0 ? r : stays_whole(c, batch, head);
	again = reader;
	sorted = sort(c, &reader, is_over(step, head), false);
	if (sorted.bad)
		return stays_whole(c, batch, head);
	if (sorted.nulls && head->horizon_ms < 0 && head->base_offset + head->count <= step->until)
		horizon_ms = new_horizon(step);
	if (sorted.nulls && (horizon_ms >= 0 || head->horizon_ms >= 0))
		tell_horizon(step, horizon_ms >= 0 ? horizon_ms : head->horizon_ms);
	if (sorted.kept == again.count && horizon_ms < 0)
		return stays_whole(c, batch, head);
	step->changed = true;
	return sorted.kept ? rewrite(c, batch, head, &again, horizon_ms) : 0;
}

int compaction_filter(struct compaction *c, struct slice batches)
{
	struct compact_step *step = c->step;
	struct batch_head head;
	struct slice batch;
	int r = 0;

	while (!r && batch_cut(&batches, &batch) == 1) {
		if (batch_head_read(batch, &head))
			return -EIO; /* none of ours: whatever it is, it is not understood */
		if (head.base_offset >= step->until)
			r = stays_whole(c, batch, &head);
		else if (head.base_offset + head.count <= step->earliest_offset || compaction_is_aborted(step, &head))
			step->changed = true;
		else if (head.control)
			r = filter_marker(c, batch, &head);
		else
			r = filter_batch(c, batch, &head);
	}
	return r;
}
