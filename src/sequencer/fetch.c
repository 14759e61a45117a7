/* What Kafka consumers ask of partitions: records, offsets, and that some be let go.
 *
 * A Fetch is looked at twice: whether it is to be answered now follows from the chunks alone; only then are views made, which pin
 * bytes. A chunk of many batches is told whole: where one begins that is wanted only its bytes say, and those the asker reads.
 * Whoever is to wait hears from then on what comes (follow.c), and need not ask before that is enough. */
#include "sequencer/sequencer_priv.h"

#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>
#include <stdlib.h>

/* --- fetch --- */

/* Behind what is told to this reader. */
static uint64_t visible_end(const struct stream *stream, bool committed)
{
	return committed ? stream_stable(stream) : stream->next_offset;
}

static enum outcome fetch_place(const struct sequencer *s, const struct topic *topic, struct fetch_partition *p)
{
	struct stream *stream = partition_find(s, topic, p->partition);

	p->found = stream;
	if (!stream)
		return OUTCOME_NOT_FOUND;
	p->stream = stream->number;
	p->log_start_offset = stream_earliest(stream);
	p->high_watermark = stream->next_offset;
	p->stable_offset = stream_stable(stream);
	return p->offset < p->log_start_offset || p->offset > p->high_watermark ? OUTCOME_RANGE : OUTCOME_OK;
}

/* How many bytes there are for it, counted up to `enough`; of a chunk in the middle of which it begins a share. */
static uint64_t bytes_from(const struct stream *stream, const struct fetch_partition *p, uint64_t end, uint64_t enough)
{
	uint64_t bytes = 0, offset = p->offset;
	struct chunk_place place;

	if (enough > p->max_bytes)
		enough = p->max_bytes;
	while (bytes < enough && stream_chunk_from(stream, offset, &place) && place.from < end) {
		uint64_t count = place.chunk->count, left = place.end - place.from;

		bytes += left == count ? place.chunk->size_bytes : place.chunk->size_bytes / count * left + 1;
		offset = place.end;
	}
	return bytes < p->max_bytes ? bytes : p->max_bytes;
}

/* The same words: partitions of a topic come one behind the other. */
static bool same_ref(const struct topic_ref *a, const struct topic_ref *b)
{
	return a->name.ptr == b->name.ptr && a->name.len == b->name.len && memcmp(&a->id, &b->id, sizeof(a->id)) == 0;
}

/* Whether it is to be answered, be it with errors. */
static bool is_ready(const struct sequencer *s, struct fetch_in *in)
{
	uint64_t enough = in->min_bytes < in->max_bytes ? in->min_bytes : in->max_bytes, bytes = 0;
	bool ready = !in->watch || in->count == 0;
	const struct topic *topic = NULL;

	for (size_t i = 0; i < in->count; i++) {
		struct fetch_partition *p = &in->partitions[i];

		if (i == 0 || !same_ref(&p->topic, &in->partitions[i - 1].topic))
			topic = topic_of(s, &p->topic);
		p->outcome = fetch_place(s, topic, p);
		p->bytes = 0;
		if (p->outcome != OUTCOME_OK)
			ready = true;
		else if (bytes < enough)
			p->bytes = bytes_from(p->found, p, visible_end(p->found, in->committed), enough - bytes);
		bytes += p->bytes;
	}
	in->missing_bytes = bytes < enough ? enough - bytes : 0;
	return ready || bytes >= enough;
}

static int by_first(const void *a, const void *b)
{
	const struct aborted_transaction *x = a, *y = b;

	return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

/* Those aborted that have records or their marker at [offset, end); by where they begin. */
static int list_aborted(const struct stream *stream, uint64_t end, struct fetch_partition *p)
{
	const struct stream_sequences *sequences = stream_more(stream)->sequences;
	size_t count = 0;

	for (uint32_t i = 0; sequences && i < sequences->aborted_count; i++)
		count += sequences->aborted->items[i].last >= p->offset && sequences->aborted->items[i].first < end;
	if (!count)
		return 0;
	p->aborted = mem_alloc(count * sizeof(*p->aborted));
	if (!p->aborted)
		return -ENOMEM;
	for (uint32_t i = 0; i < sequences->aborted_count; i++) {
		const struct aborted *one = &sequences->aborted->items[i];

		if (one->last >= p->offset && one->first < end)
			p->aborted[p->aborted_count++] = (struct aborted_transaction){(int64_t)one->producer_id, one->first};
	}
	/* They lie in the order of their ends, which whoever writes may make the other way round. */
	qsort(p->aborted, p->aborted_count, sizeof(*p->aborted), by_first);
	return 0;
}

static uint64_t bytes_of(const struct stream_view *view)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < view->chunk_count; i++)
		bytes += view->chunks[i].ref.size_bytes;
	return bytes;
}

/* 0 or -ENOMEM, also when bytes are gone. What is taken is taken off *left. */
static int fetch_records(struct sequencer *s, const struct fetch_in *in, struct fetch_partition *p, uint64_t *left, bool *first)
{
	const struct stream *stream = p->found;
	struct stream_read_in read = {
		.max_bytes = p->max_bytes < *left ? p->max_bytes : *left,
		.until_offset = visible_end(stream, in->committed),
		.across = true,
	};
	uint64_t bytes;

	if (p->offset >= read.until_offset || (read.max_bytes == 0 && !*first))
		return 0;
	p->view = stream_view_from(s, stream, p->offset, &read);
	if (!p->view)
		return -ENOMEM;
	if (!p->view->chunk_count) {
		p->view = stream_view_unref(p->view);
		return 0;
	}
	bytes = bytes_of(p->view);
	*left -= bytes < *left ? bytes : *left;
	*first = false;
	return in->committed ? list_aborted(stream, p->view->after_offset, p) : 0;
}

static int follow_all(struct sequencer *s, const struct command *c)
{
	int r = 0;

	for (size_t i = 0; i < c->in.fetch.count && !r; i++) {
		const struct fetch_partition *p = &c->in.fetch.partitions[i];

		if (p->outcome != OUTCOME_NOT_FOUND)
			r = follow_begin(s, p->found, c->message.thread);
	}
	return r;
}

/* 0, or -ENOMEM. */
static int fetch_all(struct sequencer *s, const struct fetch_in *in)
{
	uint64_t left = in->max_bytes;
	bool first = true;
	int r = 0;

	for (size_t i = 0; i < in->count && !r; i++) {
		if (in->partitions[i].outcome == OUTCOME_OK)
			r = fetch_records(s, in, &in->partitions[i], &left, &first);
	}
	return r;
}

void command_fetch(struct sequencer *s, struct command *c)
{
	struct fetch_in *in = &c->in.fetch;
	bool ready;
	int r = 0;

	for (size_t i = 0; i < in->count; i++) { /* of a question asked again */
		in->partitions[i].view = NULL;
		in->partitions[i].aborted = NULL;
		in->partitions[i].aborted_count = 0;
	}
	ready = is_ready(s, in);
	if (!ready || in->follow)
		r = follow_all(s, c);
	if (ready && !r)
		r = fetch_all(s, in);
	if (r)
		command_answer_deinit(c);
	reply(s, c, r ? OUTCOME_NO_MEMORY : ready ? OUTCOME_OK : OUTCOME_PARKED, r ? 0 : s->appended_end);
}

/* --- offsets --- */

/* What one question may have looked at by time, in bytes of chunks: whoever names more gets the rest when he asks again. The
 * first partition is looked at in any case. */
enum { SEARCHED_BYTES_MAX = 128 << 20, SEARCHED_CHUNK_BYTES = 64 };

struct search {
	uint64_t *left; /* of that */
	int64_t at;     /* unix ms, or OFFSET_MAX_TIME */
	uint64_t from, end;
	bool found, packed; /* packed: what was found is a batch that cannot be read here */
	uint64_t offset;
	int64_t time_ms;
};

static bool is_better(const struct search *search, int64_t time_ms, uint64_t offset)
{
	if (search->at >= 0)
		return time_ms >= search->at;
	return !search->found || time_ms > search->time_ms || (time_ms == search->time_ms && offset < search->offset);
}

/* The chunk with the latest time, and the first of those with the same, behind *place in that order. */
static bool chunk_latest(const struct stream *stream, uint64_t end, uint64_t *left, struct chunk_place *place)
{
	const struct chunk *before = place->chunk;
	uint64_t offset = stream_earliest(stream);
	struct chunk_place at;
	bool found = false;

	for (; stream_chunk_from(stream, offset, &at) && at.from < end; offset = at.end) {
		uint64_t time_ms = at.chunk->max_time_ms;

		*left -= *left < SEARCHED_CHUNK_BYTES ? *left : SEARCHED_CHUNK_BYTES;
		if (before &&
		    (time_ms > before->max_time_ms || (time_ms == before->max_time_ms && at.chunk->offset <= before->offset)))
			continue;
		if (found && time_ms <= place->chunk->max_time_ms)
			continue;
		*place = at;
		found = true;
	}
	return found;
}

/* The next chunk to be looked into, behind *place; its chunk is NULL at first. A chunk's latest time may be a marker's, or of a
 * record that is no longer told, or not yet: so whatever was found, a chunk with a later time may have a better one. */
static bool chunk_next(const struct stream *stream, const struct search *search, struct chunk_place *place)
{
	uint64_t offset = place->chunk ? place->end : search->from;

	if (search->at < 0)
		return chunk_latest(stream, search->end, search->left, place) &&
		       is_better(search, (int64_t)place->chunk->max_time_ms, place->chunk->offset);
	return !search->found && stream_chunk_since(stream, offset, (uint64_t)search->at, place) && place->from < search->end;
}

/* One batch of those in the chunk. */
static void search_batch(struct search *search, struct slice batch)
{
	struct batch_reader reader;
	struct batch_record record;
	struct batch_head head;
	uint64_t offset;

	if (batch_head_read(batch, &head) || head.control || head.base_offset + head.count <= search->from ||
	    head.base_offset >= search->end || !is_better(search, head.max_time_ms, head.base_offset))
		return;
	if (head.compression || head.append_time || batch_open(&reader, batch)) {
		search->packed = head.compression != 0 && !head.append_time;
		search->offset = head.base_offset > search->from ? head.base_offset : search->from;
		search->time_ms = head.max_time_ms;
		search->found = true;
		return;
	}
	while (batch_next(&reader, &record, &offset) == 1) {
		if (offset < search->from || !is_better(search, (int64_t)reader.record_time_ms, offset))
			continue;
		search->found = true;
		search->packed = false;
		search->offset = offset;
		search->time_ms = (int64_t)reader.record_time_ms;
		if (search->at >= 0)
			return;
	}
}

/* 0, -ENOMEM or -EIO. */
static int search_chunk(struct sequencer *s, const struct chunk_place *place, struct search *search)
{
	struct slice rest, batch;
	char *bytes;
	int r = chunk_read(s, place->chunk, &bytes);

	if (r)
		return r;
	*search->left -= *search->left < place->chunk->size_bytes ? *search->left : place->chunk->size_bytes;
	rest = slice_from(bytes, (size_t)place->chunk->size_bytes);
	while (!(search->found && search->at >= 0) && batch_cut(&rest, &batch) == 1)
		search_batch(search, batch);
	mem_free(bytes);
	return 0;
}

/* By time: as many chunks are looked into as have times like the one wanted. */
static enum outcome offset_by_time(struct sequencer *s, const struct stream *stream, uint64_t end, struct offset_partition *p,
				   uint64_t *left)
{
	struct search search = {.left = left, .at = p->at, .from = stream_earliest(stream), .end = end};
	struct chunk_place place = {0};
	int r = 0;

	if (*left == 0)
		return OUTCOME_BUSY;
	while (!r && chunk_next(stream, &search, &place))
		r = search_chunk(s, &place, &search);
	if (r)
		return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_STORAGE;
	if (!search.found)
		return OUTCOME_OK;
	p->offset = (int64_t)search.offset;
	p->time_ms = search.time_ms;
	if (!search.packed)
		return OUTCOME_OK;
	p->view = stream_view_from(s, stream, search.offset, &(struct stream_read_in){.max_chunks = 1});
	return p->view ? OUTCOME_OK : OUTCOME_NO_MEMORY;
}

static enum outcome list_offset(struct sequencer *s, struct offset_partition *p, bool committed, uint64_t *left)
{
	const struct stream *stream = partition_find(s, topic_of(s, &p->topic), p->partition);

	p->offset = p->time_ms = -1;
	p->view = NULL;
	if (!stream)
		return OUTCOME_NOT_FOUND;
	if (p->at >= 0 || p->at == OFFSET_MAX_TIME)
		return offset_by_time(s, stream, visible_end(stream, committed), p, left);
	p->offset = (int64_t)(p->at == OFFSET_LATEST ? visible_end(stream, committed) : stream_earliest(stream));
	return OUTCOME_OK;
}

void command_list_offsets(struct sequencer *s, struct command *c)
{
	const struct list_offsets_in *in = &c->in.list_offsets;
	uint64_t left = SEARCHED_BYTES_MAX;

	for (size_t i = 0; i < in->count; i++)
		in->partitions[i].outcome = list_offset(s, &in->partitions[i], in->committed, &left);
	reply(s, c, OUTCOME_OK, s->appended_end);
}

/* --- letting go --- */

static enum outcome delete_records(struct sequencer *s, struct delete_records_partition *p)
{
	struct stream *stream = partition_find(s, topic_of(s, &p->topic), p->partition);
	struct stream_event e = {.type = STREAM_TRIMMED};
	enum outcome outcome = OUTCOME_OK;

	if (!stream)
		return OUTCOME_NOT_FOUND;
	e.offset = p->offset < 0 ? stream->next_offset : (uint64_t)p->offset;
	if (p->offset < -1 || e.offset > stream->next_offset)
		return OUTCOME_RANGE;
	if (e.offset > stream_earliest(stream))
		outcome = stream_emit(s, &e, stream, (struct slice){0});
	p->log_start_offset = stream_earliest(stream);
	return outcome;
}

void command_delete_records(struct sequencer *s, struct command *c)
{
	const struct delete_records_in *in = &c->in.delete_records;

	for (size_t i = 0; i < in->count; i++)
		in->partitions[i].outcome = delete_records(s, &in->partitions[i]);
	reply(s, c, OUTCOME_OK, s->appended_end);
}
