/* Who compacts: the thread that does steps, one at a time, as the server has it. It takes one, does it, gives it back, and
 * between any two of these all the others go on: so what it gives back may come too late, for a partition that is gone, was cut
 * off, or is not compacted any more. Whether what a step brings about is right the oracle says (compact_model.c); here is when
 * there may be one, and of what. */
#include "sim/world.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMORY_SMALL = 256, MEMORY_LARGE = 1 << 20, REST_MS = 2000 };

static const struct model_topic *topic_of(const struct world *world, uint64_t stream)
{
	const struct model_topics *topics = &world->model.topics;

	for (uint64_t i = 0; i < topics->cap; i++) {
		const struct model_topic *topic = topics->at[i];

		for (uint32_t n = 0; topic && !topic->deleted_end && n < topic->partition_count; n++) {
			if (topic->partitions[n] == stream)
				return topic;
		}
	}
	return NULL;
}

/* --- events --- */

/* The last chunk stays as it is, whatever is in it. */
static bool is_last(const struct model_stream *stream, uint64_t end)
{
	uint64_t first, last;

	for (size_t i = stream->count; i > 0; i--) {
		if (stream->chunks[i - 1].dropped)
			continue;
		model_extent(stream, &stream->chunks[i - 1], &first, &last);
		return end > first;
	}
	return true;
}

void compactor_tap(struct world *world, const struct stream_event *e, const struct model_stream *stream)
{
	const struct compactor *c = &world->compactor;
	const struct compact_step *step = c->step;
	const struct model_topic *topic = topic_of(world, e->number);

	CHECK(world, world->cause == CAUSE_COMPACTION && stream && !stream->deleted_end,
	      "partition %" PRIu64 ": compacted by nobody", e->number);
	CHECK(world, topic && topic->compact, "partition %" PRIu64 ": compacted, and its topic is not to be", e->number);
	/* A pass may find nothing to be read; then it gets nowhere. */
	CHECK(world,
	      c->pass.stream == e->number ||
		      (!e->count && e->clean_offset == model_partition(&world->model.topics, e->number)->clean_offset),
	      "partition %" PRIu64 ": compacted, and no step was taken", e->number);
	if (!e->count) {
		world->compactor.passes++;
		return;
	}
	CHECK(world,
	      step && step->phase == COMPACT_FILTER && step->chunks[0].offset == e->offset &&
		      step->chunks[step->chunk_count - 1].end == e->offset + e->count,
	      "partition %" PRIu64 ": compacted is what no step has read", e->number);
	CHECK(world, !is_last(stream, e->offset + e->count), "partition %" PRIu64 ": the last chunk is compacted", e->number);
	world->compactor.applied++;
	world->compactor.emptied += e->kept_count == 0;
}

/* --- steps --- */

static void pass_begins(struct world *world, const struct compact_step *step, const struct model_partition *partition,
			const struct model_topic *topic)
{
	uint64_t lag_ms = topic->lag_ms < world->turned_ms ? topic->lag_ms : world->turned_ms;

	world->compactor.pass = (struct model_pass){
		.stream = step->stream,
		.bound = model_compact_bound(partition, sim_store_durable(world->store), world->turned_ms - lag_ms),
		.retention_ms = topic->delete_retention_ms,
	};
}

static void check_step_taken(struct world *world, const struct compact_step *step)
{
	const struct model_partition *partition = model_partition(&world->model.topics, step->stream);
	const struct model_topic *topic = topic_of(world, step->stream);
	struct model_pass *pass = &world->compactor.pass;

	CHECK(world, partition && topic && topic->compact, "a step of a partition that is not compacted");
	if (step->begins)
		pass_begins(world, step, partition, topic);
	CHECK(world, pass->stream == step->stream, "partition %" PRIu64 ": a step of no pass", step->stream);
	CHECK(world, step->until <= pass->bound, "partition %" PRIu64 ": compacted until %" PRIu64 ", and from %" PRIu64 " on %s",
	      step->stream, step->until, pass->bound, "it may not be");
	CHECK(world,
	      step->from <= partition->clean_offset || step->from <= partition->stream->earliest || step->from >= step->until,
	      "partition %" PRIu64 ": nobody looks at the keys before %" PRIu64, step->stream, step->from);
	CHECK(world, step->now_ms == world->turned_ms && step->retention_ms == pass->retention_ms && step->chunk_count,
	      "partition %" PRIu64 ": a step of another time", step->stream);
	pass->until = step->until;
	pass->taken_ms = world->turned_ms;
	for (size_t i = 0; i < step->chunk_count; i++) {
		const struct body_ref *ref = &step->chunks[i].pin->ref;

		CHECK(world, ref->place + ref->size_bytes <= sim_store_durable(world->store),
		      "partition %" PRIu64 ": a step reads what is not durable", step->stream);
	}
}

static void takes(struct world *world)
{
	struct compactor *c = &world->compactor;
	bool armed = memory_arm(world);

	world->cause = CAUSE_COMPACTION;
	world->model.topics.pass = &c->pass;
	c->step = sequencer_compact_take(world->s);
	world->model.topics.pass = NULL;
	world->cause = CAUSE_NONE;
	if (armed)
		memory_disarm(world);
	if (!c->step) {
		if (c->work && sequencer_compact_is_idle(world->s))
			compaction_rest(c->work);
		return;
	}
	c->is_done = false;
	c->steps++;
	check_step_taken(world, c->step);
	world_trace(world, "partition %" PRIu64 ": a step of compaction, %s", c->step->stream,
		    c->step->phase == COMPACT_MAP ? "for keys" : "for what goes");
}

static void does(struct world *world)
{
	struct compactor *c = &world->compactor;
	bool armed;

	if (!c->work)
		c->work = compaction_new(world->seed % 3 ? MEMORY_LARGE : MEMORY_SMALL);
	ENSURE(c->work);
	armed = memory_arm(world);
	compaction_run(c->work, c->step);
	if (armed)
		memory_disarm(world);
	CHECK(world, !c->step->error || (c->step->error == -ENOMEM && world->memory_failed),
	      "partition %" PRIu64 ": a step comes to %d", c->step->stream, c->step->error);
	c->is_done = true;
}

static void gives(struct world *world)
{
	struct compactor *c = &world->compactor;
	bool cuts = c->step->phase == COMPACT_MAP && !c->step->error && c->step->mapped < c->step->until;
	bool brings = c->step->phase == COMPACT_FILTER && !c->step->error && c->step->changed;
	uint64_t mapped = c->step->mapped, before = c->applied;
	bool armed = memory_arm(world);

	world->cause = CAUSE_COMPACTION;
	world->model.topics.pass = &c->pass;
	sequencer_compact_give(world->s, c->step);
	world->model.topics.pass = NULL;
	world->cause = CAUSE_NONE;
	if (armed)
		memory_disarm(world);
	c->step = NULL;
	c->late += brings && c->applied == before;
	if (!cuts)
		return;
	c->cut++;
	c->pass.until = mapped;
}

void compactor_acts(struct world *world)
{
	struct compactor *c = &world->compactor;

	if (c->step && c->is_done)
		gives(world);
	else if (c->step)
		does(world);
	else if (!world->failed)
		takes(world);
}

/* --- rest --- */

/* What is dirty, as a share of all: whole chunks behind what is clean, as far as it may be looked at, but for the last. */
static bool is_dirty(const struct model_partition *partition, const struct model_topic *topic, uint64_t bound)
{
	uint64_t dirty = 0, clean = 0;
	struct model_run *runs;
	size_t count = model_runs(partition->stream, partition->stream->earliest, &runs);

	for (size_t i = 0; i + 1 < count && runs[i].end <= bound; i++) {
		if (runs[i].end <= partition->clean_offset)
			clean += runs[i].ref.size_bytes;
		else
			dirty += runs[i].ref.size_bytes;
	}
	free(runs);
	if (partition->stream->earliest > 0) /* what is let go makes the rest the dirtier; that is seen with the next append */
		return false;
	return (double)dirty > (double)(dirty + clean) * topic->dirty_ratio;
}

static void check_rest(struct world *world, const struct model_partition *partition, const struct model_topic *topic)
{
	uint64_t late_ms = world->now_ms - REST_MS / 2, number = partition->stream->number;
	uint64_t lag_ms = topic->lag_ms < late_ms ? topic->lag_ms : late_ms;

	for (size_t i = 0; i < partition->count; i++) {
		const struct model_batch *batch = &partition->batches[i];

		CHECK(world,
		      batch->gone || batch->horizon_ms > late_ms || !model_has_null(partition, i) ||
			      batch->offset + batch->count <= partition->stream->earliest,
		      "partition %" PRIu64 ": what may go at %" PRIu64 " stays for ever", number, batch->offset);
	}
	CHECK(world,
	      !is_dirty(partition, topic, model_compact_bound(partition, sim_store_durable(world->store), late_ms - lag_ms)),
	      "partition %" PRIu64 " is dirty, and nobody compacts it", number);
}

/* Nobody does anything but compact: soon there is nothing more to be done. */
void compactor_rests(struct world *world)
{
	const struct model_topics *topics = &world->model.topics;
	uint64_t until_ms = world->now_ms + REST_MS;

	while (world->now_ms < until_ms && !world->failed) {
		world_moves(world);
		for (unsigned i = 0; i < 100 && (world->compactor.step || !sequencer_compact_is_idle(world->s)); i++)
			compactor_acts(world);
		machine_time(world);
		check_step(world);
	}
	for (uint64_t i = 0; i < topics->partition_cap && !world->failed; i++) {
		const struct model_topic *topic = topics->partitions[i] ? topic_of(world, i) : NULL;

		if (topic && topic->compact)
			check_rest(world, topics->partitions[i], topic);
	}
}

void compactor_crashes(struct world *world)
{
	struct compactor *c = &world->compactor;

	compact_step_free(c->step);
	c->step = NULL;
	c->work = compaction_free(c->work);
	c->pass = (struct model_pass){0};
}

void compactor_say(const struct world *world)
{
	const struct compactor *c = &world->compactor;
	const struct model_topics *topics = &world->model.topics;
	uint64_t records = 0, nulls = 0, markers = 0;

	for (uint64_t i = 0; i < topics->partition_cap; i++) {
		const struct model_partition *partition = topics->partitions[i];

		for (size_t n = 0; partition && n < partition->count; n++) {
			const struct model_batch *batch = &partition->batches[n];

			markers += batch->gone && batch->kind > STREAM_TXN_RECORDS;
			for (uint64_t k = 0; k < batch->count; k++) {
				records += partition->records[n][k].gone;
				nulls += partition->records[n][k].gone && batch->horizon_ms != UINT64_MAX;
			}
		}
	}
	printf("sim:   compaction: %" PRIu64 " steps, %" PRIu64 " brought something, of %" PRIu64 " nothing was left, %" PRIu64
	       " came too late, %" PRIu64 " passes, %" PRIu64 " cut for memory; %" PRIu64 " records gone, %" PRIu64
	       " where null values may, %" PRIu64 " markers\n",
	       c->steps, c->applied, c->emptied, c->late, c->passes, c->cut, records, nulls, markers);
}
