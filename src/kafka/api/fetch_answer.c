/* The answer to Fetch: what each partition has, with the records sent from where they lie in the store.
 *
 * Batches are whole, and no more than what the partition and the whole answer may have; but the first one that is there comes
 * however long it is, or its reader would never get any further. */
#include "kafka/api/fetch_priv.h"

#include "base/crc32c.h"
#include "kafka/codec/bytes.h"

enum { HEAD_BYTES = 61, LENGTH_AT = 8, DELTA_AT = 23, LENGTH_FROM = 12 };

/* What was gathered so far. */
struct gathering {
	struct kafka_call *call;
	struct kafka_fetched_topic *topics;
	struct kafka_fetched_partition *partitions;
	struct kafka_part *parts;
	size_t topic_count, partition_count, part_count;
	const struct fetch_topic *topic; /* of the last partition */
	uint64_t left;                   /* bytes the answer may still have */
	bool failed;
};

/* What of a chunk is wanted. */
struct cut {
	uint64_t from, until; /* offsets: batches that end before, or begin at or behind it, are left out */
	uint64_t room;        /* bytes */
	bool must;            /* the first one, whatever its length */
};

/* Of the batches at `bytes`, one behind the other: which are wanted. False: there was no room for all of them. */
static bool batches_cut(struct slice bytes, const struct cut *cut, uint64_t *ret_begin, uint64_t *ret_end)
{
	uint64_t at = 0;

	*ret_begin = *ret_end = 0;
	while (bytes.len - at >= HEAD_BYTES) {
		struct wire_reader r = wire_reader_of(slice_from(bytes.ptr + at, HEAD_BYTES));
		uint64_t base = kafka_get_u64(&r), size = LENGTH_FROM + (uint64_t)kafka_get_u32(&r), last;
		bool first = *ret_begin == *ret_end;

		(void)wire_bytes(&r, DELTA_AT - LENGTH_FROM);
		last = base + kafka_get_u32(&r);
		if (size > bytes.len - at || base >= cut->until)
			return true;
		at += size;
		if (last < cut->from) {
			*ret_begin = *ret_end = at;
			continue;
		}
		if (at - *ret_begin > cut->room && !(first && cut->must))
			return false;
		*ret_end = at;
	}
	return true;
}

static bool is_sound(struct store_pin *pin, char *buffer)
{
	uint32_t crc = 0;

	if (pin->ops->view && pin->ops->view(pin))
		return true;
	for (uint64_t at = 0; at < pin->ref.size_bytes; at += WRITE_BYTES) {
		uint64_t left = pin->ref.size_bytes - at;
		size_t len = left < WRITE_BYTES ? (size_t)left : WRITE_BYTES;

		if (pin->ops->read(pin, at, buffer, len))
			return false;
		crc = crc32c(crc, buffer, len);
	}
	return crc == pin->ref.crc;
}

/* A whole chunk, or those of its batches that belong to the answer. Takes its pin. False: there is no room for more. */
static bool part_add(struct gathering *g, struct stream_chunk_view *chunk, const struct cut *cut)
{
	struct kafka_part part = {.pin = chunk->pin, .to = chunk->ref.size_bytes};
	char *buffer = g->call->thread->write_buffer;
	bool whole = chunk->first_offset >= cut->from && chunk->first_offset + chunk->count <= cut->until && part.to <= cut->room;
	bool more = true;

	chunk->pin = NULL;
	if (!part.pin) {
		g->failed = true;
		return false;
	}
	if (part.to > WRITE_BYTES) {
		/* One batch, which does not pass the buffer as a whole: it is held against its checksum here. */
		more = part.to <= cut->room || cut->must;
		if (!more)
			part.from = part.to;
		else if (!is_sound(part.pin, buffer))
			g->failed = true;
	} else if (!whole) {
		if (part.pin->ops->read_whole(part.pin, buffer))
			g->failed = true;
		else
			more = batches_cut(slice_from(buffer, (size_t)part.to), cut, &part.from, &part.to);
	}
	if (g->failed || part.from == part.to)
		part.pin->ops->unpin(part.pin);
	else
		g->parts[g->part_count++] = part;
	return more && !g->failed;
}

static void records_fill(struct gathering *g, struct fetch_partition *seen, struct kafka_fetched_partition *partition)
{
	const struct fetch_set *set = g->call->own;
	struct cut cut = {.from = seen->offset, .until = set->committed ? seen->stable_offset : seen->high_watermark};
	uint64_t most = seen->max_bytes < g->left ? seen->max_bytes : g->left;
	bool more = true;

	for (size_t i = 0; seen->view && i < seen->view->chunk_count && more; i++) {
		struct stream_chunk_view *chunk = &seen->view->chunks[i];
		size_t before = g->part_count;

		if (chunk->first_offset >= cut.until)
			break;
		cut.room = partition->records.len < most ? most - partition->records.len : 0;
		cut.must = before == 0;
		more = part_add(g, chunk, &cut);
		if (g->part_count > before)
			partition->records.len += g->parts[before].to - g->parts[before].from;
	}
	g->left -= partition->records.len < g->left ? partition->records.len : g->left;
}

static void aborted_fill(struct gathering *g, const struct fetch_partition *seen, struct kafka_fetched_partition *partition)
{
	struct kafka_aborted_transaction *aborted = kafka_call_alloc(g->call, seen->aborted_count * sizeof(*aborted));

	if (!aborted) {
		g->failed = true;
		return;
	}
	for (size_t i = 0; i < seen->aborted_count; i++) {
		aborted[i].producer_id = seen->aborted[i].producer_id;
		aborted[i].first_offset = (int64_t)seen->aborted[i].first_offset;
	}
	partition->aborted_transactions.at = aborted;
	partition->aborted_transactions.count = (uint32_t)seen->aborted_count;
}

static enum kafka_error seen_error(const struct fetch_partition *seen)
{
	if (seen->outcome == OUTCOME_NOT_FOUND && !seen->topic.name.len)
		return KAFKA_UNKNOWN_TOPIC_ID;
	return kafka_error_of(seen->outcome);
}

static void partition_fill(struct gathering *g, struct fetch_partition *seen, struct kafka_fetched_partition *partition)
{
	const struct fetch_set *set = g->call->own;

	partition->error_code = (int16_t)seen_error(seen);
	if (partition->error_code && seen->outcome != OUTCOME_RANGE)
		return;
	partition->high_watermark = (int64_t)seen->high_watermark;
	partition->last_stable_offset = (int64_t)seen->stable_offset;
	partition->log_start_offset = (int64_t)seen->log_start_offset;
	if (partition->error_code)
		return;
	records_fill(g, seen, partition);
	if (set->committed)
		aborted_fill(g, seen, partition);
}

/* The next partition, with its topic if it is another one than before. */
static struct kafka_fetched_partition *partition_add(struct gathering *g, const struct fetch_spot *spot)
{
	struct kafka_fetched_partition *partition = &g->partitions[g->partition_count++];

	if (g->topic != spot->topic) {
		g->topic = spot->topic;
		g->topics[g->topic_count++] = (struct kafka_fetched_topic){
			.topic = slice_from(g->topic->name, g->topic->name_len),
			.topic_id = g->topic->id,
			.partitions.at = partition,
		};
	}
	g->topics[g->topic_count - 1].partitions.count++;
	*partition = (struct kafka_fetched_partition){
		.partition_index = spot->partition,
		.error_code = spot->error,
		.high_watermark = -1,
		.last_stable_offset = -1,
		.log_start_offset = -1,
		.diverging_epoch = {-1, -1},
		.current_leader = {-1, -1},
		.snapshot_id = {-1, -1},
		.preferred_read_replica = -1,
		.records = KAFKA_EMPTY,
	};
	return partition;
}

static bool gathering_init(struct gathering *g, const struct fetch_look *look)
{
	const struct fetch_set *set = g->call->own;
	size_t chunks = 0;

	for (size_t i = 0; i < look->count; i++)
		chunks += look->partitions[i].view ? look->partitions[i].view->chunk_count : 0;
	g->left = set->max_bytes;
	g->topics = kafka_call_alloc(g->call, look->spot_count * sizeof(*g->topics));
	g->partitions = g->topics ? kafka_call_alloc(g->call, look->spot_count * sizeof(*g->partitions)) : NULL;
	g->parts = g->partitions ? kafka_call_alloc(g->call, chunks * sizeof(*g->parts)) : NULL;
	return g->parts != NULL;
}

/* Of a session, what has nothing new is not told. */
static bool is_told(const struct fetch_set *set, const struct fetch_spot *spot, const struct kafka_fetched_partition *partition)
{
	return !set->id || set->whole || spot->news || partition->error_code || partition->records.len;
}

static void take_back(struct gathering *g)
{
	struct kafka_fetched_topic *topic = &g->topics[g->topic_count - 1];

	g->partition_count--;
	if (--topic->partitions.count)
		return;
	g->topic_count--;
	g->topic = NULL;
}

/* A session's spot after it was told of: it has to be looked at again if there is more, or something is wrong, behind the others;
 * else when it hears that something came. */
static void settle(struct fetch_spot *spot, const struct fetch_partition *seen, const struct kafka_fetched_partition *partition)
{
	uint64_t end = spot->topic->set->committed ? seen->stable_offset : seen->high_watermark;
	bool more = partition->error_code || spot->offset < end;

	spot->news = partition->error_code != KAFKA_NONE;
	if (seen->outcome == OUTCOME_NOT_FOUND) {
		fetch_spot_unhang(spot);
	} else {
		spot->seen = seen->high_watermark;
		more |= !fetch_spot_hang(spot, seen->stream);
	}
	if (!more || partition->records.len)
		list_remove(&spot->changed);
	if (more)
		fetch_spot_change(spot);
}

static void gather(struct gathering *g, const struct fetch_look *look)
{
	struct fetch_set *set = g->call->own;
	struct fetch_partition *seen = look->partitions;
	size_t left = look->spot_count;

	list_each_safe (node, &set->changed) {
		struct fetch_spot *spot = fetch_spot_of(node);
		struct kafka_fetched_partition *partition;

		if (left-- == 0 || g->failed)
			return;
		partition = partition_add(g, spot);
		if (!spot->error) {
			spot->news |= seen->outcome == OUTCOME_OK && spot->seen != seen->high_watermark;
			partition_fill(g, seen, partition);
		}
		if (!is_told(set, spot, partition))
			take_back(g);
		if (!spot->error && set->id && !g->failed)
			settle(spot, seen, partition);
		seen += !spot->error;
	}
}

void fetch_answer(struct kafka_call *call, struct fetch_look *look)
{
	struct kafka_fetch_response *response = kafka_call_response(call);
	struct fetch_set *set = call->own;
	struct gathering g = {.call = call};
	uint64_t bytes = 0;

	set->call = NULL;
	if (!response || !gathering_init(&g, look))
		return;
	gather(&g, look);
	set->whole = false;
	for (size_t i = 0; i < g.part_count; i++)
		bytes += g.parts[i].to - g.parts[i].from;
	response->throttle_time_ms = (int32_t)kafka_call_charge(call, QUOTA_FETCH, bytes);
	response->session_id = set->id;
	response->responses.at = g.topics;
	response->responses.count = (uint32_t)g.topic_count;
	if (!g.failed) {
		kafka_call_answer_stored(call, response, g.parts, g.part_count);
		return;
	}
	for (size_t i = 0; i < g.part_count; i++)
		g.parts[i].pin->ops->unpin(g.parts[i].pin);
	if (!kafka_call_is_answered(call))
		kafka_call_close(call);
}
