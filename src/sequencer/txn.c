/* Transactions of Kafka producers.
 *
 * A transactional id has one producer id and an epoch that goes up whenever somebody new takes it over, so whoever had it before
 * is fenced. A transaction is a set of partitions that are named before anything is written to them. It ends in three steps: the
 * decision is journalled, then a marker goes to each partition with records of it, then the id is free for the next one. All
 * three are done at once; what a full disk, a lack of memory or a crash cuts off there is taken up again, for what is decided
 * stays so. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>
#include <stdlib.h>

enum { EPOCH_LAST = INT16_MAX - 1, RETRY_TXN_MS = 1000 };

/* Its state as it is, to be changed and emitted. `streams` belongs to the event. */
static void event_of(const struct sequencer *s, const struct txn *txn, struct buf *streams, struct topic_event *ret_event)
{
	txn_snapshot(txn, streams, ret_event);
	ret_event->changed_ms = s->now_ms;
}

static enum outcome emit_event(struct sequencer *s, struct topic_event *e, struct buf *streams)
{
	enum outcome outcome = streams->failed ? OUTCOME_NO_MEMORY : topic_emit(s, e, NULL);

	buf_deinit(streams);
	return outcome;
}

/* --- the end --- */

static enum outcome put_marker(struct sequencer *s, const struct txn *txn, struct stream *stream)
{
	bool commit = txn->state == TXN_COMMITTING;
	struct stream_event e = {
		.type = STREAM_PRODUCED,
		.offset = stream->next_offset,
		.count = 1,
		.producer_id = txn->producer_id,
		.epoch = txn->epoch,
		.txn = commit ? STREAM_TXN_COMMIT : STREAM_TXN_ABORT,
	};
	struct buf marker = {0};
	enum outcome outcome = OUTCOME_NO_MEMORY;

	batch_encode_marker(&marker, s->now_ms, &(struct batch_marker){(int64_t)txn->producer_id, (int16_t)txn->epoch, commit});
	if (!marker.failed) {
		batch_set_base(marker.ptr, stream->next_offset);
		outcome = stream_emit(s, &e, stream, buf_slice(&marker));
	}
	buf_deinit(&marker);
	if (outcome == OUTCOME_OK && stream_more(stream)->compacted) /* what was open may be now */
		stream_compact_soon(s, stream);
	return outcome;
}

/* Another epoch, or, after the last one, another id. */
static void renew(const struct sequencer *s, struct topic_event *e)
{
	if (e->epoch < EPOCH_LAST) {
		e->epoch++;
	} else {
		e->producer_id = s->topics.next_producer_id;
		e->epoch = 0;
	}
}

/* `by` is a producer id and 1. */
static bool is_who(const struct txn *txn, uint64_t by, uint64_t epoch)
{
	return by == txn->producer_id + 1 && epoch == txn->epoch;
}

/* What was decided is done, as far as it is not. */
static enum outcome finish(struct sequencer *s, struct txn *txn)
{
	enum outcome outcome = OUTCOME_OK;
	struct topic_event e;
	struct buf streams = {0};

	for (uint32_t i = 0; i < txn->stream_count && outcome == OUTCOME_OK; i++) {
		struct stream *stream = stream_find_number(&s->streams, txn->streams[i]);
		const struct sequence *sequence = stream ? sequence_find(&s->streams, stream, txn->producer_id) : NULL;

		if (sequence && sequence->txn_first != UINT64_MAX)
			outcome = put_marker(s, txn, stream);
	}
	if (outcome == OUTCOME_OK && txn->state == TXN_COMMITTING && txn->offsets_len)
		outcome = group_commit_txn(s, txn_offsets(txn));
	if (outcome != OUTCOME_OK)
		return outcome;
	event_of(s, txn, &streams, &e);
	e.state = txn->state == TXN_COMMITTING ? TXN_COMMITTED : TXN_ABORTED;
	e.streams = e.offsets = (struct slice){0};
	if (is_who(txn, txn->ended_by, txn->ended_epoch))
		renew(s, &e);
	return emit_event(s, &e, &streams);
}

/* The open transaction is aborted; with another epoch, so that its producer writes no more. */
static enum outcome abort_fenced(struct sequencer *s, struct txn *txn)
{
	struct topic_event e;
	struct buf streams = {0};
	enum outcome outcome;

	event_of(s, txn, &streams, &e);
	e.state = TXN_ABORTING;
	e.epoch += e.epoch < INT16_MAX;
	e.ended_by = e.ended_epoch = 0;
	outcome = emit_event(s, &e, &streams);
	return outcome == OUTCOME_OK ? finish(s, txn) : outcome;
}

bool txns_turn(struct sequencer *s, unsigned *limit)
{
	struct txn *txn;

	while ((txn = txns_next_deadline(&s->topics)) && txn->deadline_ms <= s->now_ms) {
		enum outcome outcome;

		if (s->failed)
			return false;
		if (*limit == 0)
			return true;
		--*limit;
		outcome = txn->state == TXN_ONGOING ? abort_fenced(s, txn) : finish(s, txn);
		if (outcome != OUTCOME_OK)
			txn_postpone(&s->topics, txn, s->now_ms + RETRY_TXN_MS);
	}
	return false;
}

uint64_t txns_next_ms(const struct sequencer *s)
{
	const struct txn *txn = txns_next_deadline(&s->topics);

	return txn ? txn->deadline_ms : UINT64_MAX;
}

/* --- who it is --- */

static enum outcome judge_producer(const struct txn *txn, const struct producer_id_in *in)
{
	if (in->producer_id < 0)
		return OUTCOME_OK;
	return (uint64_t)in->producer_id == txn->producer_id && in->producer_epoch == txn->epoch ? OUTCOME_OK : OUTCOME_FENCED;
}

/* Whoever has been idle longest makes room. */
static enum outcome make_room(struct sequencer *s)
{
	struct topic_event e;
	struct buf streams = {0};

	if (s->topics.txn_count < s->config.transactional_ids_max)
		return OUTCOME_OK;
	if (list_empty(&s->topics.idle))
		return OUTCOME_FULL;
	event_of(s, list_first(&s->topics.idle, struct txn, idle), &streams, &e);
	e.state = TXN_FORGOTTEN;
	return emit_event(s, &e, &streams);
}

static enum outcome init_new(struct sequencer *s, const struct producer_id_in *in)
{
	struct topic_event e = {
		.type = TOPIC_TXN,
		.transactional_id = in->transactional_id,
		.producer_id = s->topics.next_producer_id,
		.timeout_ms = in->timeout_ms,
		.changed_ms = s->now_ms,
	};
	enum outcome outcome = make_room(s);

	return outcome == OUTCOME_OK ? topic_emit(s, &e, NULL) : outcome;
}

static enum outcome init_again(struct sequencer *s, const struct producer_id_in *in, struct txn *txn)
{
	enum outcome outcome = judge_producer(txn, in);
	struct topic_event e;
	struct buf streams = {0};

	if (outcome != OUTCOME_OK)
		return outcome;
	if (txn->state == TXN_ONGOING)
		outcome = abort_fenced(s, txn);
	else if (txn_is_open(txn))
		outcome = finish(s, txn);
	if (outcome != OUTCOME_OK)
		return outcome == OUTCOME_NO_SPACE || outcome == OUTCOME_STORAGE ? outcome : OUTCOME_BUSY;
	event_of(s, txn, &streams, &e);
	e.state = TXN_EMPTY;
	e.timeout_ms = in->timeout_ms;
	e.ended_by = e.ended_epoch = 0;
	renew(s, &e);
	return emit_event(s, &e, &streams);
}

static enum outcome init_transactional(struct sequencer *s, const struct producer_id_in *in)
{
	struct txn *txn = txn_find(&s->topics, in->transactional_id);

	if (in->timeout_ms == 0 || in->timeout_ms > s->config.transaction_ms_max)
		return OUTCOME_TIMEOUT;
	if (in->transactional_id.len > TRANSACTIONAL_ID_MAX)
		return OUTCOME_NAME;
	return txn ? init_again(s, in, txn) : init_new(s, in);
}

void command_producer_id(struct sequencer *s, struct command *c)
{
	const struct producer_id_in *in = &c->in.producer_id;
	struct topic_event e = {.type = TOPIC_PRODUCER, .producer_id = s->topics.next_producer_id};
	enum outcome outcome = in->transactional_id.len ? init_transactional(s, in) : topic_emit(s, &e, NULL);
	const struct txn *txn = in->transactional_id.len ? txn_find(&s->topics, in->transactional_id) : NULL;

	c->out.producer_id = (struct producer_id_out){.producer_id = -1, .producer_epoch = -1};
	if (outcome == OUTCOME_OK && txn)
		c->out.producer_id = (struct producer_id_out){(int64_t)txn->producer_id, (int16_t)txn->epoch};
	else if (outcome == OUTCOME_OK)
		c->out.producer_id = (struct producer_id_out){(int64_t)e.producer_id, 0};
	reply(s, c, outcome, s->appended_end);
}

/* --- what is in it --- */

/* The id's transaction, for its producer; OK: it may be changed. */
static enum outcome txn_of(const struct sequencer *s, const struct txn_in *in, struct txn **ret_txn)
{
	struct txn *txn = txn_find(&s->topics, in->transactional_id);

	if (!txn || in->producer_id < 0 || (uint64_t)in->producer_id != txn->producer_id)
		return OUTCOME_NOT_FOUND;
	*ret_txn = txn;
	if (in->producer_epoch != txn->epoch)
		return OUTCOME_FENCED;
	return txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING ? OUTCOME_BUSY : OUTCOME_OK;
}

static void begin(const struct sequencer *s, const struct txn *txn, struct topic_event *e)
{
	if (txn->state == TXN_ONGOING)
		return;
	e->state = TXN_ONGOING;
	e->started_ms = s->now_ms;
	e->ended_by = e->ended_epoch = 0;
}

/* The partitions that are not in it yet, appended to `streams`. OK: all are there. */
static enum outcome add_partitions(struct sequencer *s, const struct txn_in *in, const struct txn *txn, struct buf *streams)
{
	enum outcome outcome = OUTCOME_OK;
	size_t count = txn->stream_count;

	if (in->partition_count > TXN_PARTITIONS_MAX)
		return OUTCOME_FULL;
	for (size_t i = 0; i < in->partition_count; i++) {
		struct txn_partition *p = &in->partitions[i];
		const struct stream *stream = partition_find(s, topic_of(s, &p->topic), p->partition);

		p->outcome = stream ? OUTCOME_OK : OUTCOME_NOT_FOUND;
		if (!stream)
			outcome = OUTCOME_NOT_FOUND;
		else if (!txn_has_stream(txn, stream->number) && count++ < TXN_PARTITIONS_MAX)
			txn_stream_put(streams, stream->number);
	}
	return outcome == OUTCOME_OK && count > TXN_PARTITIONS_MAX ? OUTCOME_FULL : outcome;
}

static enum outcome txn_add(struct sequencer *s, const struct txn_in *in)
{
	struct txn *txn;
	enum outcome outcome = txn_of(s, in, &txn);
	struct topic_event e;
	struct buf streams = {0};

	if (outcome != OUTCOME_OK)
		return outcome;
	event_of(s, txn, &streams, &e);
	outcome = add_partitions(s, in, txn, &streams);
	if (outcome != OUTCOME_OK) {
		buf_deinit(&streams);
		return outcome == OUTCOME_NOT_FOUND ? OUTCOME_PARTITIONS : outcome;
	}
	e.streams = buf_slice(&streams);
	begin(s, txn, &e);
	return emit_event(s, &e, &streams);
}

void command_txn_add(struct sequencer *s, struct command *c)
{
	enum outcome outcome = txn_add(s, &c->in.txn);

	reply(s, c, outcome, s->appended_end);
}

/* --- offsets in a transaction --- */

static int order_of(struct slice topic, uint64_t partition, struct slice other_topic, uint64_t other_partition)
{
	int order = (partition > other_partition) - (partition < other_partition);

	if (!order)
		order = (topic.len > other_topic.len) - (topic.len < other_topic.len);
	return order || !topic.len ? order : memcmp(topic.ptr, other_topic.ptr, topic.len);
}

/* The places of a question that may be, each once, sorted. */
struct asked {
	struct group_place **at;
	size_t count;
};

static int by_place(const void *x, const void *y)
{
	const struct group_place *a = *(struct group_place *const *)x, *b = *(struct group_place *const *)y;
	int order = order_of(a->topic, a->partition, b->topic, b->partition);

	return order ? order : (a > b) - (a < b);
}

/* The same place twice in a question: the last one counts. */
static bool sort_asked(const struct group_commit_in *in, struct asked *asked)
{
	size_t kept = 0;

	*asked = (struct asked){mem_alloc((in->count + 1) * sizeof(*asked->at)), 0};
	if (!asked->at)
		return false;
	for (size_t i = 0; i < in->count; i++) {
		if (in->places[i].outcome == OUTCOME_OK)
			asked->at[asked->count++] = &in->places[i];
	}
	qsort(asked->at, asked->count, sizeof(*asked->at), by_place);
	for (size_t i = 0; i < asked->count; i++) {
		struct group_place *place = asked->at[i], *next = i + 1 < asked->count ? asked->at[i + 1] : NULL;

		if (next && order_of(place->topic, place->partition, next->topic, next->partition) == 0)
			place->outcome = OUTCOME_SAME;
		else
			asked->at[kept++] = place;
	}
	asked->count = kept;
	return true;
}

static int offset_and_asked(const void *key, const void *at)
{
	const struct txn_offset *offset = key;
	const struct group_place *place = *(struct group_place *const *)at;

	return order_of(offset->topic, offset->partition, place->topic, place->partition);
}

/* Those of a group lie one behind the other: others first, then the group's that stay, then the new ones. */
static void merge_offsets(const struct txn *txn, const struct group_commit_in *in, const struct asked *asked, struct buf *out)
{
	struct txn_offset one;

	for (int mine = 0; mine < 2; mine++) {
		for (struct slice rest = txn_offsets(txn); txn_offset_get(&rest, &one) == 1;) {
			if (slice_eq(one.group, in->who.group) != (mine == 1))
				continue;
			if (!mine || !asked->count ||
			    !bsearch(&one, asked->at, asked->count, sizeof(*asked->at), offset_and_asked))
				txn_offset_put(out, &one);
		}
	}
	for (size_t i = 0; i < in->count; i++) {
		const struct group_place *place = &in->places[i];

		if (place->outcome != OUTCOME_OK)
			continue;
		txn_offset_put(out, &(struct txn_offset){
					    .group = in->who.group,
					    .topic = place->topic,
					    .partition = place->partition,
					    .offset = place->offset,
					    .leader_epoch = (uint64_t)(place->leader_epoch < 0 ? 0 : place->leader_epoch + 1),
					    .metadata = place->metadata});
	}
}

static enum outcome add_offsets(struct sequencer *s, const struct txn *txn, const struct group_commit_in *in)
{
	struct buf streams = {0}, offsets = {0};
	enum outcome outcome = OUTCOME_NO_MEMORY;
	struct topic_event e;
	struct asked asked;

	if (!sort_asked(in, &asked))
		return OUTCOME_NO_MEMORY;
	event_of(s, txn, &streams, &e);
	merge_offsets(txn, in, &asked, &offsets);
	mem_free(asked.at);
	e.offsets = buf_slice(&offsets);
	begin(s, txn, &e);
	if (offsets.len > TXN_OFFSETS_BYTES_MAX)
		outcome = OUTCOME_FULL;
	if (offsets.failed || outcome == OUTCOME_FULL)
		buf_deinit(&streams);
	else
		outcome = emit_event(s, &e, &streams);
	buf_deinit(&offsets);
	return outcome;
}

static enum outcome txn_commit_offsets(struct sequencer *s, struct txn_offsets_in *in, struct group *group)
{
	struct txn *txn;
	enum outcome outcome = txn_of(s, &in->txn, &txn);
	bool any = false;

	if (outcome == OUTCOME_OK && in->commit.count > TXN_OFFSETS_MAX)
		outcome = OUTCOME_FULL;
	if (outcome != OUTCOME_OK)
		return outcome;
	outcome = group_commit_judge(s, &in->commit, group, &any);
	if (outcome == OUTCOME_STALE) /* which would be the producer's own epoch */
		return OUTCOME_GENERATION;
	if (outcome != OUTCOME_OK)
		return outcome == OUTCOME_FENCED ? OUTCOME_NO_MEMBER : outcome;
	return add_offsets(s, txn, &in->commit);
}

void command_txn_offsets(struct sequencer *s, struct command *c)
{
	struct txn_offsets_in *in = &c->in.txn_offsets;
	struct group *group = group_find(&s->groups, in->commit.who.group);
	enum outcome outcome = txn_commit_offsets(s, in, group);

	if (group)
		group_settle(s, group);
	reply(s, c, outcome, s->appended_end);
}

static int by_offset(const void *x, const void *y)
{
	const struct txn_offset *a = x, *b = y;

	return order_of(a->topic, a->partition, b->topic, b->partition);
}

/* What open transactions, which all have a deadline, may set in that group: as many as there is room for, if there is; how many
 * there are. */
static size_t held_offsets(const struct sequencer *s, struct slice group, struct txn_offset *ret_held)
{
	const struct heap *open = &s->topics.deadlines;
	struct txn_offset one;
	size_t count = 0;

	for (uint32_t i = 0; i < open->count; i++) {
		const struct txn *txn = container_of(open->nodes[i], struct txn, deadline);
		struct slice rest = txn_is_open(txn) ? txn_offsets(txn) : (struct slice){0};

		while (txn_offset_get(&rest, &one) == 1) {
			if (!slice_eq(one.group, group))
				continue;
			if (ret_held)
				ret_held[count] = one;
			count++;
		}
	}
	return count;
}

bool txn_mark_unstable(const struct sequencer *s, struct slice group, struct group_offsets_view *view)
{
	size_t count = held_offsets(s, group, NULL);
	struct txn_offset *held;

	if (count == 0)
		return true;
	held = mem_alloc(count * sizeof(*held));
	if (!held)
		return false;
	held_offsets(s, group, held);
	qsort(held, count, sizeof(*held), by_offset);
	for (size_t i = 0; i < view->count; i++) {
		const struct txn_offset key = {.topic = view->at[i].topic, .partition = view->at[i].partition};

		view->at[i].unstable = bsearch(&key, held, count, sizeof(*held), by_offset);
	}
	mem_free(held);
	return true;
}

/* Whether the same was asked before: who asked has another epoch since, or will have. */
static bool is_repeated(const struct txn *txn, const struct txn_in *in)
{
	return in->renews && in->producer_id >= 0 && txn->ended_by == (uint64_t)in->producer_id + 1 &&
	       txn->ended_epoch == in->producer_epoch;
}

static enum outcome ended_so(const struct txn *txn, bool commit)
{
	if (txn_is_open(txn))
		return OUTCOME_BUSY;
	return txn->state == (commit ? TXN_COMMITTED : TXN_ABORTED) ? OUTCOME_OK : OUTCOME_TXN;
}

static enum outcome txn_end(struct sequencer *s, const struct txn_in *in)
{
	struct txn *txn = txn_find(&s->topics, in->transactional_id);
	enum outcome outcome;
	struct topic_event e;
	struct buf streams = {0};

	if (txn && is_repeated(txn, in))
		return ended_so(txn, in->commit);
	outcome = txn_of(s, in, &txn);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (txn->state != TXN_ONGOING && !in->renews)
		return ended_so(txn, in->commit);
	if (txn->state != TXN_ONGOING && in->commit)
		return OUTCOME_TXN;
	event_of(s, txn, &streams, &e);
	e.state = in->commit ? TXN_COMMITTING : TXN_ABORTING;
	e.ended_by = in->renews ? txn->producer_id + 1 : 0;
	e.ended_epoch = in->renews ? txn->epoch : 0;
	outcome = emit_event(s, &e, &streams);
	if (outcome != OUTCOME_OK)
		return outcome;
	/* It is decided: if it cannot be done now, it will be, and whoever asks again is told to wait for that. */
	if (finish(s, txn) == OUTCOME_OK)
		return OUTCOME_OK;
	txn_postpone(&s->topics, txn, s->now_ms + RETRY_TXN_MS);
	return in->renews ? OUTCOME_BUSY : OUTCOME_OK;
}

void command_txn_end(struct sequencer *s, struct command *c)
{
	enum outcome outcome = txn_end(s, &c->in.txn);
	const struct txn *txn = txn_find(&s->topics, c->in.txn.transactional_id);

	c->out.producer_id = (struct producer_id_out){.producer_id = -1, .producer_epoch = -1};
	if (outcome == OUTCOME_OK && txn)
		c->out.producer_id = (struct producer_id_out){(int64_t)txn->producer_id, (int16_t)txn->epoch};
	reply(s, c, outcome, s->appended_end);
}

/* The stream is in the transaction from now on, which begins if none is open. */
static enum outcome add_stream(struct sequencer *s, const struct txn *txn, const struct stream *stream)
{
	struct buf streams = {0};
	struct topic_event e;

	if (txn->stream_count >= TXN_PARTITIONS_MAX)
		return OUTCOME_FULL;
	event_of(s, txn, &streams, &e);
	txn_stream_put(&streams, stream->number);
	e.streams = buf_slice(&streams);
	begin(s, txn, &e);
	return emit_event(s, &e, &streams);
}

enum outcome txn_may_produce(struct sequencer *s, const struct produce_in *in, const struct produce_batch *batch,
			     const struct stream *stream)
{
	const struct txn *txn = batch->producer_id >= 0 ? txn_find_producer(&s->topics, (uint64_t)batch->producer_id) : NULL;
	bool holds = txn && txn->state == TXN_ONGOING && txn_has_stream(txn, stream->number);

	if (!batch->transactional)
		return holds ? OUTCOME_TXN : OUTCOME_OK;
	if (!txn)
		return OUTCOME_TXN;
	if (batch->producer_epoch != txn->epoch)
		return OUTCOME_STALE;
	if (holds)
		return OUTCOME_OK;
	if (!in->adds || !slice_eq(txn_id(txn), in->transactional_id))
		return OUTCOME_TXN;
	return txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING ? OUTCOME_BUSY : add_stream(s, txn, stream);
}

/* --- checkpoint --- */

int txn_snapshot_put(struct sequencer *s, const struct txn *txn, const struct stream_sink *sink)
{
	struct buf streams = {0};
	struct topic_event e;
	int r = -ENOMEM;

	txn_snapshot(txn, &streams, &e);
	buf_clear(&s->fields);
	topic_event_encode(&e, &s->fields);
	if (!streams.failed && !s->fields.failed)
		r = sink->add(sink->ctx, (uint8_t)e.type, buf_slice(&s->fields));
	buf_deinit(&streams);
	return r;
}
