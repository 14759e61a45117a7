/* What is told of transactional ids, and of the producers that write to a partition. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"

/* --- transactions --- */

/* What a view of so many needs; a dry run of what fills it. */
struct txns_room {
	size_t partitions, text_bytes;
};

/* A partition of an open transaction: the topic's name, and which; false: it is no more. */
static bool partition_of(const struct sequencer *s, uint64_t stream_number, struct txn_partition_view *ret_partition)
{
	const struct stream *stream = stream_find_number(&s->streams, stream_number);
	const struct topic *topic = stream ? topic_of_partition(s, stream, &ret_partition->partition) : NULL;

	if (!topic)
		return false;
	ret_partition->topic = topic_name(topic);
	return true;
}

static void room_add(const struct sequencer *s, const struct txn *txn, bool partitions, struct txns_room *room)
{
	struct txn_partition_view partition;

	room->text_bytes += txn->id_len;
	for (uint32_t i = 0; partitions && i < txn->stream_count; i++) {
		if (!partition_of(s, txn->streams[i], &partition))
			continue;
		room->partitions++;
		room->text_bytes += partition.topic.len;
	}
}

static size_t room_bytes(const struct txns_room *room)
{
	return room->partitions * sizeof(struct txn_partition_view) + room->text_bytes;
}

/* Where the view's parts are written next. */
struct txns_fill {
	struct txns_view *view;
	struct txn_partition_view *partition;
	char *text;
};

static struct slice text_put(struct txns_fill *fill, struct slice text)
{
	struct slice put = slice_from(fill->text, text.len);

	if (text.len)
		memcpy(fill->text, text.ptr, text.len);
	fill->text += text.len;
	return put;
}

static void view_add(const struct sequencer *s, struct txns_fill *fill, const struct txn *txn, bool partitions)
{
	struct txn_view *view = &fill->view->at[fill->view->count++];

	*view = (struct txn_view){
		.id = text_put(fill, txn_id(txn)),
		.state = (enum txn_state)txn->state,
		.producer_id = txn->producer_id,
		.epoch = txn->epoch,
		.timeout_ms = txn->timeout_ms,
		.started_ms = txn->started_ms,
		.found = true,
		.partitions = fill->partition,
	};
	for (uint32_t i = 0; partitions && i < txn->stream_count; i++) {
		if (!partition_of(s, txn->streams[i], fill->partition))
			continue;
		fill->partition->topic = text_put(fill, fill->partition->topic);
		fill->partition++;
		view->partition_count++;
	}
}

static struct txns_view *txns_view_new(struct sequencer *s, struct command *c)
{
	const struct txns_in *in = &c->in.txns;
	size_t count = in->ids ? in->count : s->topics.txn_count;
	struct txns_room room = {0};
	struct txns_fill fill;
	size_t bytes;

	list_each (node, &s->topics.txns) {
		if (!in->ids)
			room_add(s, container_of(node, struct txn, peers), false, &room);
	}
	for (size_t i = 0; in->ids && i < count && room_bytes(&room) <= s->config.views_bytes_max; i++) {
		const struct txn *txn = txn_find(&s->topics, in->ids[i]);

		if (txn)
			room_add(s, txn, true, &room);
	}
	bytes = sizeof(*fill.view) + count * sizeof(fill.view->at[0]) + room_bytes(&room);
	fill.view = views_take(s, c, bytes) ? mem_zalloc(bytes) : NULL;
	if (!fill.view)
		return NULL;
	fill.partition = (struct txn_partition_view *)(fill.view->at + count);
	fill.text = (char *)(fill.partition + room.partitions);
	list_each (node, &s->topics.txns) {
		if (!in->ids)
			view_add(s, &fill, container_of(node, struct txn, peers), false);
	}
	for (size_t i = 0; in->ids && i < count; i++) {
		const struct txn *txn = txn_find(&s->topics, in->ids[i]);

		if (txn)
			view_add(s, &fill, txn, true);
		else
			fill.view->at[fill.view->count++].id = in->ids[i];
	}
	return fill.view;
}

void command_txns(struct sequencer *s, struct command *c)
{
	c->out.txns = txns_view_new(s, c);
	reply(s, c, c->out.txns ? OUTCOME_OK : OUTCOME_NO_MEMORY, c->out.txns ? s->appended_end : 0);
}

/* --- producers --- */

static struct producer_view producer_of(const struct sequence *sequence)
{
	bool open = sequence->txn_first != UINT64_MAX;

	return (struct producer_view){
		.producer_id = (int64_t)sequence->producer_id,
		.epoch = sequence->epoch,
		.last_ms = (int64_t)sequence->last_ms,
		.txn_first = open ? (int64_t)sequence->txn_first : -1,
		.last_sequence =
			sequence->batch_count ? (int32_t)((sequence_next(sequence) + SEQUENCE_MODULO - 1) % SEQUENCE_MODULO) : -1,
	};
}

/* *room: what those of all partitions may take yet. False: no memory. */
static bool look_at_producers(const struct sequencer *s, struct producers_partition *p, uint64_t *room)
{
	const struct stream *stream = partition_find(s, topic_of(s, &p->topic), p->partition);
	const struct stream_sequences *sequences = stream ? stream_more(stream)->sequences : NULL;

	p->outcome = stream ? OUTCOME_OK : OUTCOME_NOT_FOUND;
	p->producers = NULL;
	p->count = 0;
	if (!sequences || !sequences->count)
		return true;
	if (sequences->count * sizeof(*p->producers) <= *room)
		p->producers = mem_alloc(sequences->count * sizeof(*p->producers));
	if (!p->producers)
		return false;
	*room -= sequences->count * sizeof(*p->producers);
	list_each (node, &sequences->all)
		p->producers[p->count++] = producer_of(container_of(node, struct sequence, peers));
	return true;
}

void command_producers(struct sequencer *s, struct command *c)
{
	const struct producers_in *in = &c->in.producers;
	uint64_t room = s->config.views_bytes_max;
	bool ok = true;

	for (size_t i = 0; i < in->count && ok; i++)
		ok = look_at_producers(s, &in->partitions[i], &room);
	if (!ok || !views_take(s, c, s->config.views_bytes_max - room)) {
		ok = false;
		command_answer_deinit(c);
	}
	reply(s, c, ok ? OUTCOME_OK : OUTCOME_NO_MEMORY, ok ? s->appended_end : 0);
}

void txn_answer_deinit(struct command *c)
{
	mem_free(c->out.txns);
	for (size_t i = 0; c->kind == COMMAND_PRODUCERS && i < c->in.producers.count; i++) {
		struct producers_partition *partition = &c->in.producers.partitions[i];

		partition->producers = mem_free(partition->producers);
		partition->count = 0;
	}
}
