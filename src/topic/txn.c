/* Events about transactional ids on their way into the state. */
#include "topic/topic_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/wire.h"

#include <errno.h>

void txn_offset_put(struct buf *out, const struct txn_offset *offset)
{
	wire_put_string(out, offset->group);
	wire_put_string(out, offset->topic);
	wire_put_varint(out, offset->partition);
	wire_put_varint(out, offset->offset);
	wire_put_varint(out, offset->leader_epoch);
	wire_put_string(out, offset->metadata);
}

int txn_offset_get(struct slice *offsets, struct txn_offset *ret_offset)
{
	struct wire_reader r = wire_reader_of(*offsets);
	struct txn_offset offset;

	if (!offsets->len)
		return 0;
	offset.group = wire_string(&r);
	offset.topic = wire_string(&r);
	offset.partition = wire_varint(&r);
	offset.offset = wire_varint(&r);
	offset.leader_epoch = wire_varint(&r);
	offset.metadata = wire_string(&r);
	if (r.failed || offset.partition >= TOPIC_PARTITIONS_MAX || offset.offset > UINT64_MAX / 4 ||
	    offset.leader_epoch > (uint64_t)INT32_MAX + 1)
		return -EBADMSG;
	*offsets = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_offset = offset;
	return 1;
}

void txn_stream_put(struct buf *out, uint64_t number)
{
	wire_put_varint(out, number);
}

int txn_stream_get(struct slice *streams, uint64_t *ret_number)
{
	struct wire_reader r = wire_reader_of(*streams);
	uint64_t number = wire_varint(&r);

	if (!streams->len)
		return 0;
	if (r.failed || number > UINT64_MAX / 4)
		return -EBADMSG;
	*streams = slice_from(r.at, (size_t)(r.end - r.at));
	*ret_number = number;
	return 1;
}

/* --- tables --- */

static bool deadline_before(const struct heap_node *a, const struct heap_node *b)
{
	return container_of(a, const struct txn, deadline)->deadline_ms <
	       container_of(b, const struct txn, deadline)->deadline_ms;
}

int txns_init(struct topics *topics)
{
	list_init(&topics->txns);
	list_init(&topics->idle);
	heap_init(&topics->deadlines, deadline_before);
	return hash_init_sure(&topics->txn_ids) || hash_init_sure(&topics->txn_producers) ? -ENOMEM : 0;
}

static void txn_free(struct txn *txn)
{
	mem_free(txn->streams);
	mem_free(txn->offsets);
	mem_free(txn);
}

void txns_deinit(struct topics *topics)
{
	list_each_safe (node, &topics->txns)
		txn_free(container_of(node, struct txn, peers));
	hash_deinit(&topics->txn_ids);
	hash_deinit(&topics->txn_producers);
	heap_deinit(&topics->deadlines);
}

static uint64_t txn_hash(const struct topics *topics, struct slice id)
{
	return hash_bytes(&topics->hash_key, id.ptr, id.len);
}

static uint64_t producer_hash(const struct topics *topics, uint64_t producer_id)
{
	return hash_u64(&topics->hash_key, producer_id, 2);
}

struct txn *txn_find(const struct topics *topics, struct slice id)
{
	struct hash_node *node = hash_first(&topics->txn_ids, txn_hash(topics, id));

	for (; node; node = hash_next(&topics->txn_ids, node)) {
		struct txn *txn = container_of(node, struct txn, by_id);

		if (slice_eq(txn_id(txn), id))
			return txn;
	}
	return NULL;
}

struct txn *txn_find_producer(const struct topics *topics, uint64_t producer_id)
{
	struct hash_node *node = hash_first(&topics->txn_producers, producer_hash(topics, producer_id));

	for (; node; node = hash_next(&topics->txn_producers, node)) {
		struct txn *txn = container_of(node, struct txn, by_producer);

		if (txn->producer_id == producer_id)
			return txn;
	}
	return NULL;
}

static void set_deadline(struct topics *topics, struct txn *txn, uint64_t at_ms)
{
	txn->deadline_ms = at_ms;
	if (at_ms == UINT64_MAX)
		heap_remove(&topics->deadlines, &txn->deadline);
	else if (heap_holds(&txn->deadline))
		heap_moved(&topics->deadlines, &txn->deadline);
	else
		ENSURE(heap_push(&topics->deadlines, &txn->deadline) == 0);
}

void txn_postpone(struct topics *topics, struct txn *txn, uint64_t at_ms)
{
	set_deadline(topics, txn, at_ms);
}

/* --- prepare --- */

static int prepare_streams(const struct topic_event *e, struct topic_prepared *p)
{
	struct slice rest = e->streams;
	uint64_t number;
	uint32_t count = 0;
	int r;

	while ((r = txn_stream_get(&rest, &number)) == 1)
		count++;
	if (r < 0)
		return r;
	p->stream_count = count;
	p->streams = mem_alloc((count + 1) * sizeof(*p->streams));
	if (!p->streams)
		return -ENOMEM;
	count = 0;
	for (rest = e->streams; txn_stream_get(&rest, &number) == 1;)
		p->streams[count++] = number;
	return 0;
}

static int prepare_offsets(const struct topic_event *e, struct topic_prepared *p)
{
	struct slice rest = e->offsets;
	struct txn_offset offset;
	int r;

	while ((r = txn_offset_get(&rest, &offset)) == 1)
		;
	if (r < 0 || !e->offsets.len)
		return r;
	p->offsets = mem_dup(e->offsets.ptr, e->offsets.len);
	return p->offsets ? 0 : -ENOMEM;
}

int txn_prepare(struct topics *topics, const struct topic_event *e, struct topic_prepared *p)
{
	struct txn *other = txn_find_producer(topics, e->producer_id);
	int r;

	if (!e->transactional_id.len || e->transactional_id.len > TRANSACTIONAL_ID_MAX)
		return -EBADMSG;
	p->txn = txn_find(topics, e->transactional_id);
	if (e->state == TXN_FORGOTTEN) {
		p->skip = !p->txn;
		return 0;
	}
	if (other && other != p->txn)
		return -EBADMSG;
	r = prepare_streams(e, p);
	if (!r)
		r = prepare_offsets(e, p);
	if (r || p->txn)
		return r;
	if (heap_reserve(&topics->deadlines, (uint32_t)topics->txn_count + 1))
		return -ENOMEM;
	p->txn = mem_zalloc(sizeof(*p->txn) + e->transactional_id.len);
	if (!p->txn)
		return -ENOMEM;
	p->new_txn = true;
	p->txn->id_len = (uint32_t)e->transactional_id.len;
	memcpy(p->txn->id, e->transactional_id.ptr, e->transactional_id.len);
	return 0;
}

void txn_unprepare(struct topic_prepared *p)
{
	if (p->new_txn)
		txn_free(p->txn);
	mem_free(p->streams);
	mem_free(p->offsets);
}

/* --- commit --- */

static void txn_remove(struct topics *topics, struct txn *txn)
{
	hash_remove(&topics->txn_ids, &txn->by_id);
	hash_remove(&topics->txn_producers, &txn->by_producer);
	heap_remove(&topics->deadlines, &txn->deadline);
	list_remove(&txn->peers);
	list_remove(&txn->idle);
	topics->txn_count--;
	txn_free(txn);
}

/* Only a table's first insert can lack memory, and those were made at the start. */
static void txn_add(struct topics *topics, const struct topic_event *e, struct txn *txn)
{
	list_init(&txn->idle);
	txn->deadline_ms = UINT64_MAX;
	txn->place = ++topics->last_place;
	txn->producer_id = e->producer_id;
	list_push_back(&topics->txns, &txn->peers);
	ENSURE(hash_insert(&topics->txn_ids, &txn->by_id, txn_hash(topics, txn_id(txn))) == 0);
	ENSURE(hash_insert(&topics->txn_producers, &txn->by_producer, producer_hash(topics, txn->producer_id)) == 0);
	topics->txn_count++;
}

static void be_idle(struct topics *topics, struct txn *txn)
{
	struct list *before = topics->idle.prev;

	while (before != &topics->idle && container_of(before, struct txn, idle)->changed_ms > txn->changed_ms)
		before = before->prev;
	list_push_front(before, &txn->idle);
}

static void txn_set(struct topics *topics, const struct topic_event *e, struct txn *txn)
{
	if (txn->producer_id != e->producer_id) {
		hash_remove(&topics->txn_producers, &txn->by_producer);
		txn->producer_id = e->producer_id;
		ENSURE(hash_insert(&topics->txn_producers, &txn->by_producer, producer_hash(topics, txn->producer_id)) == 0);
	}
	txn->epoch = (uint16_t)e->epoch;
	txn->state = (uint8_t)e->state;
	txn->timeout_ms = e->timeout_ms;
	txn->started_ms = e->started_ms;
	txn->changed_ms = e->changed_ms;
	txn->ended_by = e->ended_by;
	txn->ended_epoch = (uint16_t)e->ended_epoch;
	list_remove(&txn->idle);
	if (!txn_is_open(txn))
		be_idle(topics, txn);
	if (txn->state == TXN_ONGOING)
		set_deadline(topics, txn, txn->started_ms + txn->timeout_ms);
	else
		set_deadline(topics, txn, txn_is_open(txn) ? 0 : UINT64_MAX);
}

void txn_commit(struct topics *topics, const struct topic_event *e, struct topic_prepared *p)
{
	struct txn *txn = p->txn;

	if (e->producer_id >= topics->next_producer_id)
		topics->next_producer_id = e->producer_id + 1;
	if (e->state == TXN_FORGOTTEN) {
		txn_remove(topics, txn);
		return;
	}
	if (p->new_txn)
		txn_add(topics, e, txn);
	p->new_txn = false;
	mem_free(txn->streams);
	mem_free(txn->offsets);
	txn->streams = p->streams;
	txn->stream_count = p->stream_count;
	txn->offsets = p->offsets;
	txn->offsets_len = (uint32_t)e->offsets.len;
	p->streams = NULL;
	p->offsets = NULL;
	txn_set(topics, e, txn);
}

void txn_snapshot(const struct txn *txn, struct buf *streams, struct topic_event *ret_event)
{
	buf_clear(streams);
	for (uint32_t i = 0; i < txn->stream_count; i++)
		txn_stream_put(streams, txn->streams[i]);
	*ret_event = (struct topic_event){
		.type = TOPIC_TXN,
		.transactional_id = txn_id(txn),
		.producer_id = txn->producer_id,
		.epoch = txn->epoch,
		.state = txn->state,
		.timeout_ms = txn->timeout_ms,
		.started_ms = txn->started_ms,
		.changed_ms = txn->changed_ms,
		.ended_by = txn->ended_by,
		.ended_epoch = txn->ended_epoch,
		.streams = buf_slice(streams),
		.offsets = txn_offsets(txn),
	};
}

void txns_check(const struct topics *topics)
{
	uint64_t count = 0, idle = 0, place = 0, changed_ms = 0;

	list_each (node, &topics->txns) {
		const struct txn *txn = container_of(node, struct txn, peers);

		ENSURE(txn->place > place && txn->place <= topics->last_place);
		place = txn->place;
		ENSURE(txn_find(topics, txn_id(txn)) == txn && txn_find_producer(topics, txn->producer_id) == txn);
		ENSURE(txn->producer_id < topics->next_producer_id && txn->state < TXN_FORGOTTEN);
		ENSURE(list_empty(&txn->idle) == txn_is_open(txn));
		ENSURE(heap_holds(&txn->deadline) == txn_is_open(txn));
		idle += !txn_is_open(txn);
		count++;
	}
	list_each (node, &topics->idle) {
		ENSURE(container_of(node, struct txn, idle)->changed_ms >= changed_ms);
		changed_ms = container_of(node, struct txn, idle)->changed_ms;
		idle--;
	}
	ENSURE(count == topics->txn_count && idle == 0);
}
