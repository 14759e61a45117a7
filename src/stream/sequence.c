/* Where Kafka producers stand in a stream. An event that names one is prepared and committed with the rest of it. */
#include "stream/stream_priv.h"

#include "base/mem.h"
#include "base/panic.h"

#include <errno.h>

static uint64_t sequence_hash(const struct streams *streams, const struct stream *stream, uint64_t producer_id)
{
	return hash_u64(&streams->hash_key, stream->number, producer_id);
}

struct sequence *sequence_find(const struct streams *streams, const struct stream *stream, uint64_t producer_id)
{
	uint64_t hash = sequence_hash(streams, stream, producer_id);

	for (struct hash_node *n = hash_first(&streams->sequences, hash); n; n = hash_next(&streams->sequences, n)) {
		struct sequence *sequence = container_of(n, struct sequence, node);

		if (sequence->stream == stream && sequence->producer_id == producer_id)
			return sequence;
	}
	return NULL;
}

uint64_t stream_stable(const struct stream *stream)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;

	uint64_t first;

	if (!sequences || list_empty(&sequences->open))
		return stream->next_offset;
	first = list_first(&sequences->open, struct sequence, open)->txn_first;
	return first > stream_earliest(stream) ? first : stream_earliest(stream);
}

/* --- prepare --- */

/* What a checkpoint does not tell counts as not shown yet. */
static int prepare_sequences(const struct stream_event *e, struct stream_prepared *p)
{
	if (stream_more(p->stream)->sequences)
		return 0;
	p->sequences = mem_zalloc(sizeof(*p->sequences));
	if (!p->sequences)
		return -ENOMEM;
	list_init(&p->sequences->all);
	list_init(&p->sequences->open);
	p->sequences->shown_first = e->type == STREAM_PRODUCED ? UINT64_MAX : 0;
	return 0;
}

/* Room for `more` aborted transactions. */
static int prepare_aborted(struct stream_prepared *p, uint32_t more)
{
	const struct stream_sequences *sequences = stream_more(p->stream)->sequences;
	uint32_t count = sequences ? sequences->aborted_count : 0;
	uint32_t cap = sequences && sequences->aborted ? sequences->aborted->cap : 0;

	if (more > UINT32_MAX / 4 || count > UINT32_MAX / 4)
		return -ENOMEM;
	if (count + more <= cap)
		return 0;
	cap = count + more + count / 2;
	p->aborted = mem_alloc(sizeof(*p->aborted) + cap * sizeof(struct aborted));
	if (!p->aborted)
		return -ENOMEM;
	p->aborted->cap = cap;
	return 0;
}

static int count_items(const struct stream_event *e, uint32_t *ret_count)
{
	struct slice batches = e->batches, list = e->aborted;
	struct sequence_batch batch;
	struct aborted aborted;
	uint32_t batch_count = 0;

	*ret_count = 0;
	for (; batches.len; batch_count++) {
		if (sequence_batch_get(&batches, &batch) || batch_count == SEQUENCE_BATCHES)
			return -EBADMSG;
	}
	for (; list.len; ++*ret_count) {
		if (aborted_get(&list, &aborted))
			return -EBADMSG;
	}
	return 0;
}

int sequence_prepare(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	const struct sequence *known = sequence_find(streams, p->stream, e->producer_id);
	uint32_t aborted;
	int r = count_items(e, &aborted);

	if (r)
		return r;
	if (e->type == STREAM_SNAP_SEQUENCE && known)
		return -EBADMSG;
	if (e->type == STREAM_PRODUCED && e->txn == STREAM_TXN_ABORT && known && known->txn_first != UINT64_MAX)
		aborted = 1;
	r = prepare_sequences(e, p);
	if (!r && aborted)
		r = prepare_aborted(p, aborted);
	if (r || known || e->type == STREAM_SNAP_ABORTED)
		return r;
	p->sequence = mem_zalloc(sizeof(*p->sequence));
	return p->sequence ? 0 : -ENOMEM;
}

/* --- commit --- */

/* What was prepared gets its place. */
static struct stream_sequences *place(struct stream_prepared *p)
{
	struct stream_sequences *sequences;

	if (p->sequences)
		p->stream->more->sequences = p->sequences;
	p->sequences = NULL;
	sequences = p->stream->more->sequences;
	if (p->aborted) {
		if (sequences->aborted_count)
			memcpy(p->aborted->items, sequences->aborted->items, sequences->aborted_count * sizeof(struct aborted));
		mem_free(sequences->aborted);
		sequences->aborted = p->aborted;
		p->aborted = NULL;
	}
	return sequences;
}

static void sequence_add(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct sequence *sequence = p->sequence;

	p->sequence = NULL;
	sequence->stream = p->stream;
	sequence->producer_id = e->producer_id;
	sequence->txn_first = UINT64_MAX;
	list_init(&sequence->open);
	list_push_back(&p->stream->more->sequences->all, &sequence->peers);
	p->stream->more->sequences->count++;
	/* Only a table's first insert can lack memory, and that was made at the start. */
	ENSURE(hash_insert(&streams->sequences, &sequence->node, sequence_hash(streams, p->stream, e->producer_id)) == 0);
}

static void sequence_remove(struct streams *streams, struct sequence *sequence)
{
	hash_remove(&streams->sequences, &sequence->node);
	list_remove(&sequence->peers);
	list_remove(&sequence->open);
	sequence->stream->more->sequences->count--;
	mem_free(sequence);
}

static void batch_add(struct sequence *sequence, const struct sequence_batch *batch)
{
	if (sequence->batch_count == SEQUENCE_BATCHES)
		memmove(sequence->batches, sequence->batches + 1, --sequence->batch_count * sizeof(*batch));
	sequence->batches[sequence->batch_count++] = *batch;
}

static void open_txn(struct stream_sequences *sequences, struct sequence *sequence, uint64_t first)
{
	struct list *before = sequences->open.prev;

	while (before != &sequences->open && container_of(before, struct sequence, open)->txn_first > first)
		before = before->prev;
	sequence->txn_first = first;
	list_push_front(before, &sequence->open);
}

static void end_txn(struct stream_sequences *sequences, struct sequence *sequence, const struct stream_event *e)
{
	if (sequence->txn_first == UINT64_MAX)
		return;
	if (e->txn == STREAM_TXN_ABORT)
		sequences->aborted->items[sequences->aborted_count++] =
			(struct aborted){e->producer_id, sequence->txn_first, e->offset};
	else
		sequences_shown(sequences, sequence->txn_first, e->offset);
	sequence->txn_first = UINT64_MAX;
	list_remove(&sequence->open);
}

static void produced(struct stream_sequences *sequences, struct sequence *sequence, const struct stream_event *e)
{
	list_remove(&sequence->peers);
	list_push_back(&sequences->all, &sequence->peers);
	sequence->last_ms = e->time_ms;
	if (sequence->epoch != e->epoch) {
		sequence->epoch = (uint16_t)e->epoch;
		sequence->batch_count = 0;
	}
	if (e->txn == STREAM_TXN_COMMIT || e->txn == STREAM_TXN_ABORT) {
		end_txn(sequences, sequence, e);
		return;
	}
	batch_add(sequence, &(struct sequence_batch){e->offset, (uint32_t)e->seq, (uint32_t)e->count});
	if (e->txn == STREAM_TXN_RECORDS && sequence->txn_first == UINT64_MAX)
		open_txn(sequences, sequence, e->offset);
}

static void restored(struct stream_sequences *sequences, struct sequence *sequence, const struct stream_event *e)
{
	struct slice rest = e->batches;
	struct sequence_batch batch;

	sequence->last_ms = e->last_ms;
	sequence->epoch = (uint16_t)e->epoch;
	while (rest.len && sequence_batch_get(&rest, &batch) == 0)
		batch_add(sequence, &batch);
	if (e->txn_first)
		open_txn(sequences, sequence, e->txn_first - 1);
}

void sequence_commit(struct streams *streams, const struct stream_event *e, struct stream_prepared *p)
{
	struct stream_sequences *sequences = place(p);
	struct sequence *forgotten = e->forgotten ? sequence_find(streams, p->stream, e->forgotten - 1) : NULL;

	if (forgotten && e->forgotten - 1 != e->producer_id)
		sequence_remove(streams, forgotten);
	if (p->sequence)
		sequence_add(streams, e, p);
	if (e->type == STREAM_PRODUCED)
		produced(sequences, sequence_find(streams, p->stream, e->producer_id), e);
	else
		restored(sequences, sequence_find(streams, p->stream, e->producer_id), e);
}

void aborted_commit(const struct stream_event *e, struct stream_prepared *p)
{
	struct stream_sequences *sequences = place(p);
	struct slice rest = e->aborted;

	while (rest.len && aborted_get(&rest, &sequences->aborted->items[sequences->aborted_count]) == 0)
		sequences->aborted_count++;
}

void aborted_trim(struct stream *stream)
{
	struct stream_sequences *sequences = stream_more(stream)->sequences;
	uint32_t gone = 0;

	if (!sequences)
		return;
	while (gone < sequences->aborted_count && sequences->aborted->items[gone].last < stream_earliest(stream))
		gone++;
	if (!gone)
		return;
	sequences->aborted_count -= gone;
	memmove(sequences->aborted->items, sequences->aborted->items + gone, sequences->aborted_count * sizeof(struct aborted));
}

void aborted_forget(struct stream *stream, struct slice list)
{
	struct stream_sequences *sequences = stream_more(stream)->sequences;
	struct aborted gone = {0};
	uint32_t kept = 0;
	bool any = list.len && aborted_get(&list, &gone) == 0;

	for (uint32_t i = 0; sequences && i < sequences->aborted_count; i++) {
		while (any && gone.last < sequences->aborted->items[i].last)
			any = list.len && aborted_get(&list, &gone) == 0;
		if (!any || gone.last != sequences->aborted->items[i].last)
			sequences->aborted->items[kept++] = sequences->aborted->items[i];
	}
	if (sequences)
		sequences->aborted_count = kept;
}

/* --- what readers of committed records see --- */

void sequences_shown(struct stream_sequences *sequences, uint64_t offset, uint64_t end)
{
	if (offset < sequences->shown_first)
		sequences->shown_first = offset;
	if (end > sequences->shown_end)
		sequences->shown_end = end;
}

bool stream_shows(struct stream *stream, uint64_t from)
{
	struct stream_sequences *sequences = stream_more(stream)->sequences;
	uint64_t end = stream_readable(stream);
	bool shows;

	if (end <= from || !sequences)
		return end > from;
	shows = sequences->shown_first < end;
	if (shows)
		sequences->shown_first = sequences->shown_end > end ? end : UINT64_MAX;
	return shows;
}

void stream_not_shown(struct stream *stream, uint64_t from)
{
	struct stream_sequences *sequences = stream_more(stream)->sequences;

	if (sequences && from < sequences->shown_first)
		sequences->shown_first = from;
}

/* --- the end, and invariants --- */

void sequences_leave(struct streams *streams, struct stream *stream)
{
	if (!stream->more->sequences)
		return;
	list_each (node, &stream->more->sequences->all)
		hash_remove(&streams->sequences, &container_of(node, struct sequence, peers)->node);
}

void sequences_free(struct stream_sequences *sequences)
{
	if (!sequences)
		return;
	list_each_safe (node, &sequences->all)
		mem_free(container_of(node, struct sequence, peers));
	mem_free(sequences->aborted);
	mem_free(sequences);
}

static void sequence_check(const struct streams *streams, const struct stream *stream, const struct sequence *sequence)
{
	ENSURE(sequence->stream == stream && sequence->batch_count <= SEQUENCE_BATCHES);
	ENSURE(sequence_find(streams, stream, sequence->producer_id) == sequence);
	ENSURE(list_empty(&sequence->open) == (sequence->txn_first == UINT64_MAX));
	for (unsigned i = 0; i < sequence->batch_count; i++) {
		const struct sequence_batch *batch = &sequence->batches[i];

		ENSURE(batch->count > 0 && batch->offset + batch->count <= stream->next_offset);
		ENSURE(i == 0 || batch->offset >= batch[-1].offset + batch[-1].count);
	}
}

void sequences_check(const struct streams *streams, const struct stream *stream)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	uint64_t count = 0, open = 0, listed = 0, at = 0;

	if (!sequences)
		return;
	list_each (node, &sequences->all) {
		const struct sequence *sequence = container_of(node, struct sequence, peers);

		sequence_check(streams, stream, sequence);
		count++;
		open += sequence->txn_first != UINT64_MAX;
	}
	list_each (node, &sequences->open) {
		const struct sequence *sequence = container_of(node, struct sequence, open);

		ENSURE(sequence->txn_first >= at && sequence->txn_first < stream->next_offset);
		at = sequence->txn_first;
		listed++;
	}
	ENSURE(count == sequences->count && open == listed);
	ENSURE(sequences->aborted_count <= (sequences->aborted ? sequences->aborted->cap : 0));
	for (uint32_t i = 1; i < sequences->aborted_count; i++)
		ENSURE(sequences->aborted->items[i - 1].last < sequences->aborted->items[i].last);
}
