/* The answer to Fetch: what each partition has, with the records sent from where they lie in the store. */
#include "kafka/api/fetch_priv.h"

#include "kafka/codec/bytes.h"

enum { HEAD_BYTES = 61, LENGTH_AT = 8, DELTA_AT = 23, LENGTH_FROM = 12 };

/* The parts found so far. */
struct gathering {
	struct kafka_call *call;
	struct kafka_part *parts;
	size_t count;
	bool failed;
};

/* Of the batches at `bytes`, one behind the other: those that end before `from` and those that begin at `until` or later are left
 * out. */
static void batches_cut(struct slice bytes, uint64_t from, uint64_t until, uint64_t *ret_begin, uint64_t *ret_end)
{
	uint64_t at = 0;

	*ret_begin = *ret_end = 0;
	while (bytes.len - at >= HEAD_BYTES) {
		struct wire_reader r = wire_reader_of(slice_from(bytes.ptr + at, HEAD_BYTES));
		uint64_t base = kafka_get_u64(&r), size = LENGTH_FROM + (uint64_t)kafka_get_u32(&r), last;

		(void)wire_bytes(&r, DELTA_AT - LENGTH_FROM);
		last = base + kafka_get_u32(&r);
		if (size > bytes.len - at || base >= until)
			return;
		at += size;
		if (last < from)
			*ret_begin = at;
		*ret_end = at;
	}
}

/* A whole chunk, or those of its batches that belong to the answer. Takes its pin. */
static void part_add(struct gathering *g, struct stream_chunk_view *chunk, uint64_t from, uint64_t until)
{
	struct kafka_part part = {.pin = chunk->pin, .to = chunk->ref.size_bytes};
	char *buffer = g->call->thread->write_buffer;
	bool cut = chunk->first_offset < from || chunk->first_offset + chunk->count > until;

	chunk->pin = NULL;
	if (!part.pin) {
		g->failed = true;
		return;
	}
	if (cut && part.to <= WRITE_BYTES) {
		if (part.pin->ops->read_whole(part.pin, buffer))
			g->failed = true;
		else
			batches_cut(slice_from(buffer, (size_t)part.to), from, until, &part.from, &part.to);
	}
	if (g->failed || part.from == part.to)
		part.pin->ops->unpin(part.pin);
	else
		g->parts[g->count++] = part;
}

static void records_fill(struct gathering *g, const struct fetch *fetch, struct fetch_partition *seen,
			 struct kafka_fetched_partition *partition)
{
	uint64_t until = fetch->request->isolation_level == 1 ? seen->stable_offset : seen->high_watermark;
	size_t before = g->count;

	for (size_t i = 0; seen->view && i < seen->view->chunk_count; i++) {
		struct stream_chunk_view *chunk = &seen->view->chunks[i];

		if (chunk->first_offset >= until)
			break;
		part_add(g, chunk, seen->offset, until);
	}
	for (size_t i = before; i < g->count; i++)
		partition->records.len += g->parts[i].to - g->parts[i].from;
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
	const struct fetch *fetch = g->call->own;

	partition->error_code = (int16_t)seen_error(seen);
	if (partition->error_code && seen->outcome != OUTCOME_RANGE)
		return;
	partition->high_watermark = (int64_t)seen->high_watermark;
	partition->last_stable_offset = (int64_t)seen->stable_offset;
	partition->log_start_offset = (int64_t)seen->log_start_offset;
	if (partition->error_code)
		return;
	records_fill(g, fetch, seen, partition);
	if (fetch->request->isolation_level == 1)
		aborted_fill(g, seen, partition);
}

static bool topics_fill(struct gathering *g, struct kafka_fetch_response *response)
{
	const struct fetch *fetch = g->call->own;
	const struct kafka_fetch_request *request = fetch->request;
	struct kafka_fetched_topic *topics = kafka_call_alloc(g->call, request->topics.count * sizeof(*topics));
	struct fetch_partition *seen = fetch->partitions;
	const int16_t *error = fetch->errors;

	response->responses.at = topics;
	response->responses.count = request->topics.count;
	for (uint32_t i = 0; topics && i < request->topics.count; i++) {
		const struct kafka_fetch_topic *asked = &request->topics.at[i];
		struct kafka_fetched_partition *partitions =
			kafka_call_alloc(g->call, asked->partitions.count * sizeof(*partitions));

		topics[i].topic = asked->topic;
		topics[i].topic_id = asked->topic_id;
		topics[i].partitions.at = partitions;
		topics[i].partitions.count = asked->partitions.count;
		for (uint32_t j = 0; partitions && j < asked->partitions.count; j++, error++) {
			partitions[j] = (struct kafka_fetched_partition){
				.partition_index = asked->partitions.at[j].partition,
				.error_code = *error,
				.high_watermark = -1,
				.last_stable_offset = -1,
				.log_start_offset = -1,
				.diverging_epoch = {-1, -1},
				.current_leader = {-1, -1},
				.snapshot_id = {-1, -1},
				.preferred_read_replica = -1,
				.records = KAFKA_EMPTY,
			};
			if (*error == KAFKA_NONE)
				partition_fill(g, seen++, &partitions[j]);
		}
		g->failed |= !partitions;
	}
	return topics && !g->failed;
}

static size_t chunk_count(const struct fetch *fetch)
{
	size_t count = 0;

	for (size_t i = 0; i < fetch->count; i++)
		count += fetch->partitions[i].view ? fetch->partitions[i].view->chunk_count : 0;
	return count;
}

void fetch_answer(struct kafka_call *call)
{
	struct fetch *fetch = call->own;
	struct kafka_fetch_response *response = kafka_call_response(call);
	struct gathering g = {.call = call};

	g.parts = response ? kafka_call_alloc(call, chunk_count(fetch) * sizeof(*g.parts)) : NULL;
	if (!g.parts)
		return;
	if (topics_fill(&g, response)) {
		kafka_call_answer_stored(call, response, g.parts, g.count);
		return;
	}
	for (size_t i = 0; i < g.count; i++)
		g.parts[i].pin->ops->unpin(g.parts[i].pin);
	if (call->state != CALL_ANSWERED)
		kafka_call_close(call);
}
