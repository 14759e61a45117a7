/* What compaction may leave out, by the oracle. An event tells what is left of some chunks; each batch and record that is not
 * there any more must be one that nobody needs, and each that is there must be what it was. Why is asked again of all that lies
 * in the partition, not of what the core says it has found.
 *
 * During a pass more is known than the journal tells: up to where it may look, and when a step of it was taken. A replay knows
 * only that it happened. */
#include "sim/topic_model.h"

#include "base/panic.h"
#include "sim/model.h"
#include "stream/batch.h"

enum { KEYS_MAX = 32 };

struct folding {
	struct model_partition *partition;
	const struct stream_event *e;
	const struct model_pass *pass; /* NULL: a replay */
	uint64_t until;                /* what lies behind stays as it is */
	uint64_t now_ms;               /* of the step */
};

/* --- of a stream: where its bytes lie --- */

const char *model_stream_compacted(struct model_stream *stream, const struct stream_event *e, struct slice body)
{
	uint64_t at = e->offset, first = 0, end = 0, latest_ms = 0;
	struct batch_head head;
	struct slice batch;

	for (size_t i = 0; i < stream->count && e->count; i++) {
		struct model_chunk *chunk = &stream->chunks[i];

		if (chunk->dropped || chunk->offset < e->offset || chunk->offset >= e->offset + e->count)
			continue;
		if (at == e->offset && chunk->offset != at)
			return "compacted from where no chunk begins";
		at = chunk->offset + chunk->count;
		chunk->dropped = !body.len || stream_batch_base(body) != chunk->offset;
		chunk->ref = chunk->dropped ? (struct body_ref){0} : e->bytes;
		if (chunk->dropped)
			continue;
		if (batch_cut(&body, &batch) != 1 || batch_head_read(batch, &head))
			return "what is left is no batch";
		chunk->content_now = stream_batch_content(batch);
		chunk->time_ms = (uint64_t)head.max_time_ms;
		latest_ms = chunk->time_ms > latest_ms ? chunk->time_ms : latest_ms;
		first = end ? first : chunk->offset;
		end = at;
	}
	if (at != e->offset + e->count)
		return "compacted up to where no chunk ends";
	if (body.len)
		return "bytes of nothing that was there";
	if (e->kept_count != end - first || (end && (e->kept_offset != first || e->max_time_ms != latest_ms)))
		return "what is left lies elsewhere, or is of another time";
	return NULL;
}

/* --- records --- */

bool model_records_read(struct model_record records[MODEL_RECORDS_MAX], const struct stream_event *e, struct slice body)
{
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset, i = 0;

	if (batch_open(&reader, body))
		return false;
	for (; i < MODEL_RECORDS_MAX && batch_next(&reader, &record, &offset) == 1; i++) {
		if (offset != e->offset + i)
			return false;
		records[i] = (struct model_record){.content = model_string(reader.record_rest),
						   .key = record.key.ptr ? model_string(record.key) : 0,
						   .time_ms = reader.record_time_ms,
						   .null = !record.value.ptr};
	}
	return i == e->count;
}

static bool is_committed(const struct model_batch *batch)
{
	return batch->kind == STREAM_TXN_NONE || (batch->kind == STREAM_TXN_RECORDS && batch->fate == FATE_COMMITTED);
}

/* Nobody reads it any more. */
static bool is_let_go(const struct model_partition *partition, const struct model_batch *batch)
{
	return batch->offset + batch->count <= partition->stream->earliest;
}

/* Another one with its key follows, which the pass has seen. */
static bool is_superseded(const struct folding *f, size_t i, uint64_t k)
{
	const struct model_partition *partition = f->partition;
	uint64_t key = partition->records[i][k].key;

	for (k++; i < partition->count && partition->batches[i].offset < f->until; i++, k = 0) {
		const struct model_batch *batch = &partition->batches[i];

		for (; k < batch->count && is_committed(batch) && batch->offset + k < f->until; k++) {
			if (partition->records[i][k].key == key)
				return true;
		}
	}
	return false;
}

static const char *record_goes(const struct folding *f, size_t i, uint64_t k)
{
	const struct model_batch *batch = &f->partition->batches[i];
	struct model_record *record = &f->partition->records[i][k];

	if (record->gone)
		return NULL;
	record->gone = true;
	if (is_let_go(f->partition, batch))
		return NULL;
	if (batch->offset + k >= f->until)
		return "a record behind what is compacted is left out";
	if (batch->fate == FATE_OPEN)
		return "a record of an open transaction is left out";
	if (batch->fate == FATE_ABORTED || !record->key || is_superseded(f, i, k))
		return NULL;
	if (!record->null)
		return "the last record of a key is left out";
	return batch->horizon_ms <= f->now_ms ? NULL : "a null value is left out before its time";
}

/* --- markers --- */

/* Whether something is left of the transaction that the i-th batch ends. */
static bool has_records(const struct model_partition *partition, size_t i)
{
	int64_t producer_id = partition->batches[i].producer_id;

	while (i-- > 0) {
		const struct model_batch *batch = &partition->batches[i];

		if (batch->producer_id != producer_id || batch->kind == STREAM_TXN_NONE)
			continue;
		if (batch->kind > STREAM_TXN_RECORDS)
			return false;
		if (!batch->gone && !is_let_go(partition, batch))
			return true;
	}
	return false;
}

static const char *marker_goes(const struct folding *f, size_t i)
{
	const struct model_batch *batch = &f->partition->batches[i];

	if (is_let_go(f->partition, batch))
		return NULL;
	if (batch->offset >= f->until)
		return "a marker behind what is compacted is left out";
	if (has_records(f->partition, i))
		return "a marker is left out, and there are records of its transaction";
	return batch->horizon_ms <= f->now_ms ? NULL : "a marker is left out before its time";
}

/* Those of whom it is said that nothing is left; and no others have lost their marker. */
static const char *aborted_go(struct model_partition *partition, struct slice gone)
{
	struct aborted one;

	while (gone.len) {
		size_t i = 0;

		if (aborted_get(&gone, &one))
			return "what was aborted nobody can read";
		if (one.last < partition->stream->earliest) /* let go since the step was taken */
			continue;
		while (i < partition->aborted_count && partition->aborted[i].last != one.last)
			i++;
		if (i == partition->aborted_count || partition->aborted[i].first != one.first ||
		    partition->aborted[i].producer_id != one.producer_id)
			return "forgotten is what was not aborted";
		if (!model_batch(partition, one.last)->gone)
			return "an aborted transaction is forgotten, and its marker is there";
		memmove(&partition->aborted[i], &partition->aborted[i + 1],
			(--partition->aborted_count - i) * sizeof(*partition->aborted));
	}
	for (size_t i = 0; i < partition->aborted_count; i++) {
		if (model_batch(partition, partition->aborted[i].last)->gone)
			return "the marker of an aborted transaction is gone, and that is told";
	}
	return NULL;
}

/* --- batches --- */

/* Records that are left are those that were there; *ret_latest_ms: of them. */
static const char *records_stay(const struct folding *f, size_t i, struct slice bytes, bool *ret_changed, uint64_t *ret_latest_ms)
{
	const struct model_batch *batch = &f->partition->batches[i];
	struct batch_reader reader;
	struct batch_record record;
	uint64_t offset, next = 0;
	const char *wrong = NULL;

	if (batch_open(&reader, bytes))
		return "records that nobody can read";
	if (!reader.count)
		return "a batch of which nothing is left";
	while (!wrong && batch_next(&reader, &record, &offset) == 1) {
		uint64_t k = offset - batch->offset;
		const struct model_record *should = &f->partition->records[i][k];

		if (k < next || k >= batch->count || should->gone)
			return "a record where there was none";
		for (; next < k && !wrong; next++) {
			*ret_changed |= !f->partition->records[i][next].gone;
			wrong = record_goes(f, i, next);
		}
		next = k + 1;
		if (should->content != model_string(reader.record_rest) || should->time_ms != reader.record_time_ms)
			return "a record is another one than before, or of another time";
		*ret_latest_ms = should->time_ms > *ret_latest_ms ? should->time_ms : *ret_latest_ms;
	}
	for (; next < batch->count && !wrong; next++) {
		*ret_changed |= !f->partition->records[i][next].gone;
		wrong = record_goes(f, i, next);
	}
	return wrong;
}

static const char *horizon_given(const struct folding *f, size_t i, uint64_t horizon_ms)
{
	struct model_batch *batch = &f->partition->batches[i];

	if (batch->horizon_ms != UINT64_MAX)
		return "another time at which it may go than before";
	if (batch->offset + batch->count > f->until)
		return "what is not compacted may go some time";
	if (batch->kind > STREAM_TXN_RECORDS && has_records(f->partition, i))
		return "a marker may go some time, and there are records of its transaction";
	if (f->pass && horizon_ms != f->now_ms + f->pass->retention_ms)
		return "the time for which null values are kept is another";
	batch->horizon_ms = horizon_ms;
	return NULL;
}

static const char *batch_stays(const struct folding *f, size_t i, struct slice bytes)
{
	struct model_batch *batch = &f->partition->batches[i];
	bool marker = batch->kind > STREAM_TXN_RECORDS, changed = false;
	uint64_t latest_ms = batch->append_time || marker ? batch->time_ms : 0, horizon_ms;
	struct batch_head head;
	const char *wrong;

	if (batch_head_read(bytes, &head) || head.base_offset != batch->offset || head.count != batch->count ||
	    head.producer_id != batch->producer_id || head.control != marker || head.append_time != batch->append_time ||
	    head.transactional != (batch->kind != STREAM_TXN_NONE) || head.compression ||
	    (batch->producer_id >= 0 &&
	     ((uint64_t)head.producer_epoch != batch->epoch || (!marker && (uint64_t)head.base_sequence != batch->seq))))
		return "a batch has another head than before";
	wrong = marker ? NULL : records_stay(f, i, bytes, &changed, &latest_ms);
	horizon_ms = head.horizon_ms < 0 ? UINT64_MAX : (uint64_t)head.horizon_ms;
	if (!wrong && (uint64_t)head.max_time_ms != latest_ms)
		wrong = "the latest time of a batch is that of no record in it";
	if (!wrong && horizon_ms != batch->horizon_ms) {
		wrong = horizon_given(f, i, horizon_ms);
		changed = true;
	}
	if (!wrong && !changed && topic_batch_content(bytes) != batch->content_now)
		wrong = "other bytes of a batch that stays as it is";
	batch->time_ms = latest_ms;
	batch->size_bytes = bytes.len;
	batch->content_now = topic_batch_content(bytes);
	return wrong;
}

static const char *batch_goes(const struct folding *f, size_t i)
{
	struct model_batch *batch = &f->partition->batches[i];
	const char *wrong = batch->kind > STREAM_TXN_RECORDS ? marker_goes(f, i) : NULL;

	for (uint64_t k = 0; k < batch->count && batch->kind <= STREAM_TXN_RECORDS && !wrong; k++)
		wrong = record_goes(f, i, k);
	batch->gone = true;
	return wrong;
}

/* --- events --- */

bool model_has_null(const struct model_partition *partition, size_t i)
{
	bool has = partition->batches[i].kind > STREAM_TXN_RECORDS;

	for (uint64_t k = 0; k < partition->batches[i].count && !has; k++)
		has = partition->records[i][k].null && !partition->records[i][k].gone;
	return has;
}

/* How far it is done; and when something is to be left out next. */
static const char *clean_moves(const struct folding *f)
{
	struct model_partition *partition = f->partition;
	const struct stream_event *e = f->e;
	uint64_t first_ms = UINT64_MAX;

	if (e->clean_offset < partition->clean_offset || e->clean_offset > model_stable(partition))
		return "it is compacted up to where it cannot be";
	if (f->pass && e->clean_offset != partition->clean_offset && e->clean_offset > f->until)
		return "it is compacted further than the pass went";
	for (size_t i = 0; i < partition->count; i++) {
		const struct model_batch *batch = &partition->batches[i];

		if (!batch->gone && !is_let_go(partition, batch) && batch->horizon_ms < first_ms && model_has_null(partition, i))
			first_ms = batch->horizon_ms;
	}
	/* What may go by now was not told before this pass: another one is to come. */
	if (first_ms != UINT64_MAX && (!e->horizon_ms || (e->horizon_ms > first_ms && first_ms > e->time_ms)))
		return "nobody will look when a null value or a marker may go";
	partition->clean_offset = e->clean_offset;
	partition->horizon_ms = e->horizon_ms;
	return NULL;
}

const char *model_compacted(struct model *model, struct model_partition *partition, const struct stream_event *e,
			    struct slice body)
{
	const struct model_pass *pass = model->topics.pass;
	struct folding f = {partition, e, pass, pass ? pass->until : model_stable(partition), pass ? pass->taken_ms : e->time_ms};
	const char *wrong = NULL;
	struct slice batch;

	if (!e->count)
		return clean_moves(&f);
	for (size_t i = 0; i < partition->count && !wrong; i++) {
		const struct model_batch *is = &partition->batches[i];

		if (is->gone || is->offset < e->offset || is->offset >= e->offset + e->count)
			continue;
		if (!body.len || stream_batch_base(body) != is->offset)
			wrong = batch_goes(&f, i);
		else
			wrong = batch_cut(&body, &batch) == 1 ? batch_stays(&f, i, batch) : "what is left is no batch";
	}
	if (!wrong)
		wrong = aborted_go(partition, e->aborted);
	return wrong ? wrong : model_compact_check(partition);
}

/* --- what must hold at any time --- */

struct key_seen {
	uint64_t key, kept, clean;
	bool last_gone, last_null;
};

struct keys_seen {
	struct key_seen at[KEYS_MAX];
	size_t count;
};

static struct key_seen *key_seen(struct keys_seen *keys, uint64_t key)
{
	size_t i = 0;

	while (i < keys->count && keys->at[i].key != key)
		i++;
	ENSURE(i < KEYS_MAX);
	if (i == keys->count)
		keys->at[keys->count++] = (struct key_seen){.key = key};
	return &keys->at[i];
}

static const char *check_record(struct keys_seen *keys, const struct model_partition *partition, size_t i, uint64_t k)
{
	const struct model_batch *batch = &partition->batches[i];
	const struct model_record *record = &partition->records[i][k];
	bool clean = batch->offset + k < partition->clean_offset;
	struct key_seen *key;

	if (!record->key)
		return clean && !record->gone ? "a record without a key is left in what is compacted" : NULL;
	key = key_seen(keys, record->key);
	if (record->null && !record->gone && batch->horizon_ms != UINT64_MAX && key->kept)
		return "a null value may go some time, and what it hides is there";
	key->kept += !record->gone;
	key->clean += clean && !record->gone;
	key->last_gone = record->gone;
	key->last_null = record->null;
	return NULL;
}

const char *model_compact_check(const struct model_partition *partition)
{
	uint64_t stable = model_stable(partition);
	struct keys_seen keys = {.count = 0};
	const char *wrong = NULL;

	for (size_t i = 0; i < partition->count && partition->batches[i].offset < stable && !wrong; i++) {
		const struct model_batch *batch = &partition->batches[i];

		if (batch->fate == FATE_ABORTED && !batch->gone && !is_let_go(partition, batch) &&
		    batch->offset + batch->count <= partition->clean_offset)
			wrong = "aborted records are left in what is compacted";
		for (uint64_t k = 0; k < batch->count && is_committed(batch) && !wrong; k++) {
			if (batch->offset + k >= partition->stream->earliest)
				wrong = check_record(&keys, partition, i, k);
		}
	}
	for (size_t i = 0; i < keys.count && !wrong; i++) {
		const struct key_seen *key = &keys.at[i];

		if (key->last_gone && !key->last_null)
			wrong = "the last record of a key is not there";
		else if (key->last_gone && key->kept)
			wrong = "a key that was deleted is back";
		else if (key->clean > 1)
			wrong = "a key has two records in what is compacted";
	}
	return wrong;
}

uint64_t model_compact_bound(const struct model_partition *partition, uint64_t durable, uint64_t young_ms)
{
	uint64_t bound = model_stable(partition);

	for (size_t i = 0; i < partition->count; i++) {
		const struct model_batch *batch = &partition->batches[i];
		const struct model_chunk *chunk = &partition->stream->chunks[i];

		ENSURE(chunk->offset == batch->offset);
		if (batch->gone || batch->offset < partition->clean_offset || is_let_go(partition, batch))
			continue;
		if (batch->offset < bound && (batch->time_ms > young_ms || chunk->ref.place + chunk->ref.size_bytes > durable))
			bound = batch->offset;
	}
	return bound;
}
