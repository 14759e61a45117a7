/* Who fetches: clients with one offset for each of their partitions, which they move behind what they were given; they wait, come
 * and go. What they get is held against what the model has, as a client sees it: with what was aborted left out by the list that
 * comes along. */
#include "sim/world.h"

#include "base/panic.h"
#include "stream/batch.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ABORTED_MAX = 64 };

/* --- ends: known to somebody, they never go back --- */

static struct told_ends *ends_of(struct world *world, uint64_t stream)
{
	struct topic_world *topics = &world->topics;

	if (stream >= topics->ends_cap) {
		uint64_t cap = (stream + 1) * 2;

		topics->ends = realloc(topics->ends, cap * sizeof(*topics->ends));
		ENSURE(topics->ends);
		memset(topics->ends + topics->ends_cap, 0, (cap - topics->ends_cap) * sizeof(*topics->ends));
		topics->ends_cap = cap;
	}
	return &topics->ends[stream];
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void ends_told(struct world *world, uint64_t stream, struct told_ends ends)
{
	struct told_ends *told = ends_of(world, stream);

	*told = (struct told_ends){later(told->high, ends.high), later(told->stable, ends.stable),
				   later(told->start, ends.start)};
}

void ends_check(struct world *world)
{
	for (uint64_t stream = 0; stream < world->topics.ends_cap; stream++) {
		const struct told_ends *told = &world->topics.ends[stream];
		const struct model_partition *partition = model_partition(&world->model.topics, stream);

		if (!told->high && !told->stable && !told->start)
			continue;
		CHECK(world, partition, "partition %" PRIu64 " was told of, and is lost", stream);
		CHECK(world, told->high <= partition->stream->next_offset, "partition %" PRIu64 ": its end went back", stream);
		CHECK(world, told->start <= partition->stream->earliest, "partition %" PRIu64 ": its begin went back", stream);
		CHECK(world, partition->stream->deleted_end || told->stable <= model_stable(partition),
		      "partition %" PRIu64 ": its stable end went back", stream);
	}
}

/* --- records, as a client takes them --- */

struct taking {
	struct world *world;
	const struct fetch_partition *p;
	const struct model_partition *partition;
	bool committed, began, over;
	uint64_t bound, next;
	size_t aborted_at, active_count;
	int64_t active[ABORTED_MAX]; /* producers whose records are void at this point */
};

static bool is_void(struct taking *t, const struct batch_head *head)
{
	for (; t->aborted_at < t->p->aborted_count; t->aborted_at++) {
		const struct aborted_transaction *aborted = &t->p->aborted[t->aborted_at];

		if (aborted->first_offset > head->base_offset + head->count - 1)
			break;
		CHECK(t->world, t->active_count < ABORTED_MAX, "too many aborted transactions");
		t->active[t->active_count++] = aborted->producer_id;
	}
	for (size_t i = 0; i < t->active_count; i++) {
		if (t->active[i] != head->producer_id)
			continue;
		if (head->control) /* once for each that was aborted */
			t->active[i] = t->active[--t->active_count];
		return true;
	}
	return false;
}

/* The first that holds the offset, or lies behind it, and is there; NULL: none. */
static const struct model_batch *next_batch(const struct model_partition *partition, uint64_t offset)
{
	const struct model_batch *found = NULL;

	for (size_t i = partition->count; i > 0 && partition->batches[i - 1].offset + partition->batches[i - 1].count > offset;
	     i--) {
		if (!partition->batches[i - 1].gone)
			found = &partition->batches[i - 1];
	}
	return found;
}

static void take_batch(struct taking *t, struct slice bytes)
{
	struct world *world = t->world;
	uint64_t number = t->partition->stream->number;
	const struct model_batch *should;
	struct batch_reader reader;
	struct batch_head head;
	bool is_hidden = false;

	CHECK(world, batch_head_read(bytes, &head) == 0 && batch_open(&reader, bytes) == 0, "partition %" PRIu64 ": wrong bytes",
	      number);
	if (t->over || head.base_offset + head.count <= t->p->offset)
		return;
	t->over = head.base_offset >= t->bound;
	if (t->over)
		return;
	should = model_batch(t->partition, head.base_offset);
	CHECK(world,
	      should && should->offset == head.base_offset && should->count == head.count && !should->gone &&
		      should->content_now == topic_batch_content(bytes),
	      "partition %" PRIu64 ": other records at %" PRIu64 " than were sent", number, head.base_offset);
	CHECK(world, !t->began || head.base_offset >= t->next, "partition %" PRIu64 ": %" PRIu64 " is told twice", number,
	      head.base_offset);
	CHECK(world, should == next_batch(t->partition, t->next), "partition %" PRIu64 ": there is a hole before %" PRIu64,
	      number, head.base_offset);
	CHECK(world, head.base_offset + head.count <= t->bound, "partition %" PRIu64 ": a batch beyond what may be read", number);
	CHECK(world, !head.append_time || (uint64_t)head.max_time_ms == should->time_ms, "partition %" PRIu64 ": another time",
	      number);
	t->began = true;
	t->next = head.base_offset + head.count;
	if (!t->committed)
		return;
	is_hidden = is_void(t, &head);
	if (head.control)
		return;
	CHECK(world, should->fate != FATE_OPEN && is_hidden == (should->fate == FATE_ABORTED),
	      "partition %" PRIu64 ": the records at %" PRIu64 ", whose fate is %d, are %s", number, head.base_offset,
	      (int)should->fate, is_hidden ? "left out" : "read");
	world->topics.hidden += is_hidden;
	world->topics.records += !is_hidden;
}

/* Where it goes on behind them. */
static uint64_t take_records(struct taking *t)
{
	const struct stream_view *view = t->p->view;

	t->next = t->p->offset;
	CHECK(t->world, view->number == t->partition->stream->number, "a view of another partition");
	for (size_t i = 0; i < view->chunk_count; i++) {
		const struct stream_chunk_view *chunk = &view->chunks[i];
		char *bytes = malloc(chunk->ref.size_bytes + 1);
		struct slice rest = {bytes, chunk->ref.size_bytes}, batch;

		ENSURE(bytes);
		CHECK(t->world, chunk->pin->ops->read_whole(chunk->pin, bytes) == 0, "wrong bytes");
		while (batch_cut(&rest, &batch) == 1)
			take_batch(t, batch);
		free(bytes);
	}
	CHECK(t->world, t->began, "partition %" PRIu64 ": an answer without what was asked for", view->number);
	return t->next;
}

/* --- what a fetch comes to --- */

static uint64_t bound_of(const struct model_partition *partition, bool committed)
{
	return committed ? model_stable(partition) : partition->stream->next_offset;
}

/* How many bytes there are for somebody at `offset`, of events that end by `durable`. */
static uint64_t bytes_for(const struct model_partition *partition, uint64_t offset, uint64_t bound, uint64_t durable)
{
	uint64_t bytes = 0;

	for (size_t i = partition->count; i > 0; i--) {
		const struct model_batch *batch = &partition->batches[i - 1];

		if (batch->offset + batch->count <= offset)
			break;
		if (batch->offset < bound && batch->end <= durable && !batch->gone)
			bytes += batch->size_bytes;
	}
	return bytes;
}

/* Bytes of a chunk in whose middle somebody begins are counted by share, whatever has gone from it. */
static uint64_t share_of(const struct model_partition *partition, const struct model_batch *first)
{
	size_t i = first ? (size_t)(first - partition->batches) : 0;

	return first ? partition->stream->chunks[i].ref.size_bytes : 0;
}

static enum outcome expect_place(const struct model_partition *partition, const struct fetch_partition *p)
{
	if (!partition)
		return OUTCOME_NOT_FOUND;
	return p->offset < partition->stream->earliest || p->offset > partition->stream->next_offset ? OUTCOME_RANGE : OUTCOME_OK;
}

static void check_ends(struct world *world, const struct fetch_partition *p, const struct model_partition *partition)
{
	uint64_t number = partition->stream->number;
	const struct told_ends *told = ends_of(world, number);

	CHECK(world,
	      p->stream == number && p->high_watermark == partition->stream->next_offset &&
		      p->log_start_offset == partition->stream->earliest && p->stable_offset == model_stable(partition),
	      "partition %" PRIu64 ": %" PRIu64 " … %" PRIu64 " … %" PRIu64 " was told, it is %" PRIu64 " … %" PRIu64
	      " … %" PRIu64,
	      number, p->log_start_offset, p->stable_offset, p->high_watermark, partition->stream->earliest,
	      model_stable(partition), partition->stream->next_offset);
	CHECK(world, p->high_watermark >= told->high && p->stable_offset >= told->stable && p->log_start_offset >= told->start,
	      "partition %" PRIu64 ": what was told of its ends went back", number);
}

void fetch_check(struct world *world, const struct ask *ask)
{
	const struct fetch_in *in = &ask->command.in.fetch;
	struct question *q = question_of(ask);
	bool wrong = false, views = false, data = false;
	uint64_t bytes = 0, slack = 0, enough = in->min_bytes < in->max_bytes ? in->min_bytes : in->max_bytes;

	if (ask->command.outcome != OUTCOME_OK && ask->command.outcome != OUTCOME_PARKED) {
		CHECK(world, topic_excused(world, ask->command.outcome), "a fetch came to outcome %d", (int)ask->command.outcome);
		return;
	}
	for (size_t i = 0; i < in->count; i++) {
		struct fetch_partition *p = &in->partitions[i];
		const struct model_partition *partition = model_partition_of(&world->model.topics, &p->topic, p->partition);
		uint64_t bound = partition ? bound_of(partition, in->committed) : 0;

		CHECK(world, p->outcome == expect_place(partition, p), "a fetch: outcome %d, the oracle says %d", (int)p->outcome,
		      (int)expect_place(partition, p));
		q->streams[i] = partition ? partition->stream->number : 0;
		q->should_offset[i] = p->offset;
		if (partition)
			check_ends(world, p, partition);
		wrong = wrong || p->outcome != OUTCOME_OK;
		if (p->outcome == OUTCOME_OK) {
			const struct model_batch *first = next_batch(partition, p->offset);
			uint64_t there = bytes_for(partition, p->offset, bound, UINT64_MAX);

			bytes += there < p->max_bytes ? there : p->max_bytes;
			slack += share_of(partition, first);
			data = data || (first && later(first->offset, p->offset) < bound);
		}
		if (!p->view)
			continue;
		views = true;
		q->should_offset[i] = take_records(&(struct taking){
			.world = world, .p = p, .partition = partition, .committed = in->committed, .bound = bound});
	}
	CHECK(world, ask->command.outcome != OUTCOME_PARKED || (in->watch && !wrong && !views),
	      "a fetch was parked with an answer");
	CHECK(world, ask->command.outcome != OUTCOME_PARKED || (in->min_bytes <= 1 ? !data : bytes < enough + slack + 1),
	      "a fetch was parked, and there are %" PRIu64 " bytes", bytes);
	CHECK(world,
	      ask->command.outcome != OUTCOME_OK || !in->watch || wrong || !in->min_bytes ||
		      (data && bytes + slack + in->count >= enough),
	      "a fetch was answered with nothing");
	CHECK(world, ask->command.outcome != OUTCOME_OK || views == data, "a fetch was answered %s records, and there are %s",
	      views ? "with" : "without", data ? "some" : "none");
}

/* --- offsets --- */

static bool is_better(int64_t at, uint64_t time_ms, int64_t found_ms)
{
	return at >= 0 ? time_ms >= (uint64_t)at : (int64_t)time_ms > found_ms;
}

/* By the times of records that are there; where that of the append is all records', the batch is one. */
static void expect_time(const struct model_partition *partition, const struct offset_partition *p, uint64_t bound,
			int64_t *ret_offset, int64_t *ret_time)
{
	uint64_t earliest = partition->stream->earliest;

	for (size_t i = 0; i < partition->count; i++) {
		const struct model_batch *batch = &partition->batches[i];

		if (batch->kind > STREAM_TXN_RECORDS || batch->gone || batch->offset + batch->count <= earliest ||
		    later(batch->offset, earliest) >= bound)
			continue;
		for (uint64_t k = 0; k < batch->count; k++) {
			const struct model_record *record = &partition->records[i][k];

			if (batch->offset + k < earliest || (record->gone && !batch->append_time) ||
			    !is_better(p->at, record->time_ms, *ret_time))
				continue;
			*ret_offset = (int64_t)(batch->offset + k);
			*ret_time = (int64_t)record->time_ms;
			if (p->at >= 0)
				return;
		}
	}
}

void list_offsets_check(struct world *world, const struct ask *ask)
{
	const struct list_offsets_in *in = &ask->command.in.list_offsets;
	struct question *q = question_of(ask);

	for (size_t i = 0; i < in->count && ask->command.outcome == OUTCOME_OK; i++) {
		const struct offset_partition *p = &in->partitions[i];
		const struct model_partition *partition = model_partition_of(&world->model.topics, &p->topic, p->partition);
		int64_t offset = -1, time_ms = -1;

		q->streams[i] = partition ? partition->stream->number : 0;
		if (topic_excused(world, p->outcome))
			continue;
		CHECK(world, p->outcome == (partition ? OUTCOME_OK : OUTCOME_NOT_FOUND), "an offset: outcome %d",
		      (int)p->outcome);
		if (partition && p->at == OFFSET_EARLIEST)
			offset = (int64_t)partition->stream->earliest;
		else if (partition && p->at == OFFSET_LATEST)
			offset = (int64_t)bound_of(partition, in->committed);
		else if (partition)
			expect_time(partition, p, bound_of(partition, in->committed), &offset, &time_ms);
		CHECK(world, p->offset == offset && p->time_ms == time_ms,
		      "partition %" PRIu64 ": for %" PRId64 " the offset %" PRId64 " of %" PRId64 " was told, it is %" PRId64
		      " of %" PRId64,
		      q->streams[i], p->at, p->offset, p->time_ms, offset, time_ms);
	}
}

/* --- the clients --- */

static void fetcher_away(struct fetcher *fetcher)
{
	if (fetcher->state == FETCHER_PARKED && !list_empty(&fetcher->timer.node))
		wheel_remove(fetcher->loop->wheel, &fetcher->timer);
	if (fetcher->ask)
		fetcher->ask->who = NULL;
	fetcher->ask = NULL;
	fetcher->state = FETCHER_AWAY;
}

static void fetcher_asks(struct fetcher *fetcher, bool watch);

static void fetcher_expired(struct wheel_entry *entry)
{
	struct fetcher *fetcher = container_of(entry, struct fetcher, timer);

	fetcher->world->waits_expired++;
	fetcher_away(fetcher);
	fetcher_asks(fetcher, false);
}

/* What was read is known from now on. */
static void records_told(struct world *world, uint64_t number, uint64_t from, uint64_t to)
{
	const struct model_partition *partition = model_partition(&world->model.topics, number);

	for (size_t i = partition->count; i > 0; i--) {
		const struct model_batch *batch = &partition->batches[i - 1];

		if (batch->offset + batch->count <= from ||
		    from >= to) /* a place within a batch may have been asked for in vain */
			return;
		if (batch->offset < to)
			told_append(world, partition->stream, batch->offset);
	}
}

static void fetcher_takes(struct fetcher *fetcher, const struct question *q, size_t i)
{
	const struct fetch_partition *p = &q->fetch[i];
	bool other = fetcher->streams[i] && fetcher->streams[i] != q->streams[i];

	fetcher->streams[i] = q->streams[i];
	if (p->outcome == OUTCOME_NOT_FOUND || other)
		fetcher->offsets[i] = 0;
	else if (p->outcome == OUTCOME_RANGE)
		fetcher->offsets[i] = p->log_start_offset;
	else if (p->outcome == OUTCOME_OK)
		fetcher->offsets[i] = q->should_offset[i];
}

static void fetcher_returned(struct world *world, struct ask *ask)
{
	const struct question *q = question_of(ask);
	const struct fetch_in *in = &ask->command.in.fetch;
	struct fetcher *fetcher = ask->who;

	for (size_t i = 0; i < in->count && ask->command.outcome == OUTCOME_OK; i++) {
		const struct fetch_partition *p = &in->partitions[i];

		if (p->outcome == OUTCOME_NOT_FOUND)
			continue;
		ends_told(world, q->streams[i], (struct told_ends){p->high_watermark, p->stable_offset, p->log_start_offset});
		records_told(world, q->streams[i], p->offset, q->should_offset[i]);
	}
	if (!fetcher)
		return;
	fetcher->ask = NULL;
	fetcher->state = FETCHER_AWAY;
	world->topics.fetched++;
	for (size_t i = 0; i < in->count && ask->command.outcome == OUTCOME_OK; i++)
		fetcher_takes(fetcher, q, i);
	if (ask->command.outcome != OUTCOME_PARKED)
		return;
	for (size_t i = 0; i < in->count; i++) {
		fetcher->streams[i] = q->streams[i];
		fetcher->seen[i] = in->partitions[i].high_watermark;
		fetcher->full[i] = in->partitions[i].bytes >= in->partitions[i].max_bytes;
	}
	fetcher->missing_bytes = in->missing_bytes;
	CHECK(world, in->missing_bytes > 0, "a fetch was parked, and nothing is missing");
	world->topics.parked++;
	world_trace(world, "fetcher %u waits: partition %" PRIu64 " and others", (unsigned)(fetcher - world->topics.fetchers),
		    fetcher->streams[0]);
	fetcher->state = FETCHER_PARKED;
	fetcher->timer = (struct wheel_entry){.deadline_ms = world->now_ms + random_between(&world->random, 1, 2000),
					      .expired = fetcher_expired};
	list_init(&fetcher->timer.node);
	wheel_add(fetcher->loop->wheel, &fetcher->timer);
}

static void fetcher_asks(struct fetcher *fetcher, bool watch)
{
	struct world *world = fetcher->world;
	struct ask *ask = question_new(world, fetcher->loop, COMMAND_FETCH);
	struct question *q = question_of(ask);

	fetcher->state = FETCHER_LOOKING;
	fetcher->ask = ask;
	ask->who = fetcher;
	ask->returned = fetcher_returned;
	for (size_t i = 0; i < fetcher->count; i++)
		q->fetch[i] = (struct fetch_partition){.topic = any_ref(world, ask, fetcher->topics[i]),
						       .partition = fetcher->partitions[i],
						       .offset = fetcher->offsets[i],
						       .max_bytes = random_between(&world->random, 1, 3000)};
	ask->command.in.fetch = (struct fetch_in){.partitions = q->fetch,
						  .count = fetcher->count,
						  .min_bytes = fetcher->min_bytes,
						  .max_bytes = random_between(&world->random, 1, 4000),
						  .committed = fetcher->committed,
						  .watch = watch};
	ask_send(world, ask);
}

static void partition_grew(struct fetcher *fetcher, size_t i, const struct stream_growth *growth)
{
	uint64_t came = fetcher->committed ? growth->stable_bytes : growth->bytes;

	if (growth->deleted || (growth->trimmed && fetcher->offsets[i] < growth->earliest_offset))
		fetcher->missing_bytes = 0;
	if (growth->deleted || growth->next_offset <= fetcher->seen[i])
		return;
	fetcher->seen[i] = growth->next_offset;
	if (!fetcher->full[i])
		fetcher->missing_bytes -= came < fetcher->missing_bytes ? came : fetcher->missing_bytes;
}

/* As the door does: whoever has enough now looks again; where nobody waits, nothing more is to be told. */
bool fetchers_grew(struct world *world, struct loop *loop, const struct stream_growth *growth)
{
	bool waited = false;

	for (unsigned i = 0; i < TOPIC_FETCHERS; i++) {
		struct fetcher *fetcher = &world->topics.fetchers[i];
		bool mine = false;

		for (size_t n = 0; n < fetcher->count && fetcher->loop == loop && fetcher->state == FETCHER_PARKED; n++) {
			if (fetcher->streams[n] != growth->number)
				continue;
			mine = waited = true;
			partition_grew(fetcher, n, growth);
		}
		if (!mine || fetcher->missing_bytes)
			continue;
		world->topics.woken++;
		world_trace(world, "fetcher %u is woken", i);
		fetcher_away(fetcher);
		fetcher_asks(fetcher, true);
	}
	return waited || growth->deleted;
}

void fetcher_acts(struct world *world)
{
	struct random *random = &world->random;
	struct fetcher *fetcher = &world->topics.fetchers[random_below(random, TOPIC_FETCHERS)];

	if (fetcher->state != FETCHER_AWAY)
		return;
	fetcher->loop = any_loop(world);
	fetcher->min_bytes = random_permille(random, 700) ? 1 : random_below(random, 3000);
	if (random_permille(random, 30)) { /* a place that nobody told it */
		size_t i = random_below(random, fetcher->count);

		fetcher->offsets[i] = random_below(random, 300);
	}
	fetcher_asks(fetcher, random_permille(random, 800));
}

void fetcher_leaves(struct world *world)
{
	fetcher_away(&world->topics.fetchers[random_below(&world->random, TOPIC_FETCHERS)]);
}
