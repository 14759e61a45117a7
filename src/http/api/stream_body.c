/* What a view of a stream holds, as the body of an answer: batches are opened, and the values of their records joined, for a
 * stream of JSON into one array; or each record becomes an object (format=records). A long record, which lies in a blob of its
 * own, flows from its pin and is in no such body, but for format=records, which tells that it is there. */
#include "http/api/stream_priv.h"

#include "base/json.h"
#include "base/mem.h"
#include "stream/batch.h"

#include <errno.h>

/* A body being made. */
struct values {
	struct buf *out;
	const struct stream_view *view;
	struct stream_part *part;
	char *room;           /* for the longest chunk */
	struct buf unpacked;  /* a batch that was compressed */
	uint64_t left, until; /* until: an offset */
};

static void value_add(struct values *v, const struct batch_record *record, uint64_t offset, const struct batch_reader *reader)
{
	if (v->part->format == FORMAT_RECORDS)
		stream_record_json(v->out, v->view, record, offset, reader);
	else if (v->view->json)
		json_raw(v->out, record->value.len ? record->value : SLICE("null"));
	else if (v->part->format == FORMAT_STRINGS)
		stream_bytes_json(v->out, record->value);
	else
		buf_append_slice(v->out, record->value);
}

static bool is_wanted(const struct stream_part *part, const struct batch_record *record)
{
	return !part->key.ptr || (record->key.ptr && slice_eq(record->key, part->key));
}

/* 1: there is to be no more of this chunk; 0: all of the batch; -EIO. */
static int batch_values(struct values *v, const struct stream_chunk_view *chunk, struct batch_reader *reader)
{
	struct batch_record record;
	uint64_t offset;
	int r;

	while ((r = batch_next(reader, &record, &offset)) > 0) {
		if (offset < v->part->after)
			continue; /* two chunks of a view may be the same bytes, when a fork has a part of a record in them */
		if (!v->left || offset >= v->until || offset - chunk->first_offset >= chunk->count)
			return 1; /* the view's chunk may end before its batches do */
		v->part->after = offset + 1;
		if (!is_wanted(v->part, &record))
			continue;
		if (record.value.len > chunk->value_bytes)
			record.value.len = (size_t)chunk->value_bytes;
		value_add(v, &record, offset, reader);
		v->left--;
		v->part->count++;
	}
	return r < 0 ? -EIO : 0;
}

static int chunk_values(struct values *v, const struct stream_chunk_view *chunk)
{
	struct slice rest = slice_from(v->room, (size_t)chunk->ref.size_bytes), batch;
	struct batch_reader reader;
	int r;

	if (chunk->ref.kind == BODY_BLOB) {
		if (v->part->key.ptr)
			return 0; /* long records have none */
		stream_blob_json(v->out, v->view, chunk);
		v->left--;
		v->part->count++;
		v->part->after = chunk->first_offset + 1;
		return 0;
	}
	r = chunk->pin->ops->read_whole(chunk->pin, v->room);
	if (r)
		return -EIO;
	while (!r && (r = batch_cut(&rest, &batch)) > 0) {
		if (stream_batch_is_void(v->view, batch)) {
			r = 0;
			continue;
		}
		r = stream_batch_open(&reader, batch, &v->unpacked);
		if (!r)
			r = batch_values(v, chunk, &reader);
	}
	return r == -ENOMEM ? r : r < 0 ? -EIO : 0;
}

/* How many of the view's chunks can be in one answer: those before the next that flows alone. */
static size_t chunks_joined(const struct stream_view *view, enum format format)
{
	size_t count = 0;

	while (count < view->chunk_count && !stream_flows(&view->chunks[count], format))
		count++;
	return count;
}

uint64_t stream_after(const struct stream_view *view, enum format format)
{
	size_t count = stream_flows_first(view, format) ? 1 : chunks_joined(view, format);

	return count < view->chunk_count ? view->chunks[count].first_offset : view->after_offset;
}

int stream_body_chunk(struct buf *out, const struct stream_view *view, const struct stream_part *part, size_t chunk)
{
	const struct body_ref *ref = &view->chunks[chunk].ref;
	struct stream_part again = *part;
	struct values v = {.out = out, .view = view, .part = &again, .left = UINT64_MAX, .until = part->after};
	uint64_t begin = chunk ? view->chunks[chunk - 1].first_offset + view->chunks[chunk - 1].count : 0;
	int error;

	again.after = begin > part->from ? begin : part->from;
	v.room = mem_alloc(ref->kind == BODY_INLINE ? (size_t)ref->size_bytes : 1);
	if (!v.room)
		return -ENOMEM;
	error = chunk_values(&v, &view->chunks[chunk]);
	mem_free(v.room);
	buf_deinit(&v.unpacked);
	return error ? error : out->failed ? -ENOMEM : 0;
}

int stream_body_add(struct buf *out, const struct stream_view *view, struct stream_part *part)
{
	size_t used = chunks_joined(view, part->format);
	struct values v = {.out = out, .view = view, .part = part, .left = part->limit, .until = UINT64_MAX};
	bool array = view->json || part->format != FORMAT_VALUES;
	uint64_t longest = 1;
	int error = 0;

	part->after = part->from;
	part->count = 0;
	if (array)
		buf_append_char(out, '[');
	for (size_t i = 0; i < used; i++) {
		if (!view->chunks[i].pin)
			return -EIO;
		if (view->chunks[i].ref.kind == BODY_INLINE && view->chunks[i].ref.size_bytes > longest)
			longest = view->chunks[i].ref.size_bytes;
	}
	v.room = mem_alloc((size_t)longest);
	if (!v.room)
		return -ENOMEM;
	for (size_t i = 0; i < used && !error; i++) {
		if (v.left)
			error = chunk_values(&v, &view->chunks[i]);
		if (part->ends)
			part->ends[i] = (uint32_t)out->len;
	}
	mem_free(v.room);
	buf_deinit(&v.unpacked);
	if (array)
		buf_append_char(out, ']');
	if (v.left)
		part->after = stream_after(view, part->format);
	return error ? error : out->failed ? -ENOMEM : 0;
}

int stream_body(struct buf *out, const struct stream_view *view, struct stream_part *part)
{
	buf_clear(out);
	return stream_body_add(out, view, part);
}
