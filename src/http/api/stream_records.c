/* Bodies as records. Short ones become one batch, in the exchange's memory: one record with the whole body, or, of JSON, one for
 * each element of a top-level array. What is too long for the journal itself is a blob by now, and one record; JSON cannot be,
 * since its elements are looked for here. */
#include "http/api/stream_priv.h"

#include "base/json_scan.h"
#include "base/mem.h"
#include "stream/batch.h"

enum { SCRATCH_KEEP_BYTES = 256 * 1024 };

static bool batch_make(struct exchange *ex, const struct batch_record *records, size_t count, struct records_in *ret_records)
{
	struct api_thread *api = api_of(ex);
	uint64_t now_ms = api->config.unix_ms(api->ctx);
	struct buf *out = &api->out;
	bool failed, long_one;

	buf_clear(out);
	batch_encode(out, now_ms, records, count);
	failed = out->failed;
	long_one = out->len > STORE_BODY_MAX;
	if (!failed && !long_one) {
		ret_records->batch = arena_alloc(&ex->arena, out->len);
		failed = !ret_records->batch;
	}
	if (!failed && !long_one) {
		memcpy(ret_records->batch, out->ptr, out->len);
		ret_records->batch_bytes = out->len;
		ret_records->count = (uint32_t)count;
		ret_records->max_time_ms = now_ms;
	}
	if (out->cap > SCRATCH_KEEP_BYTES)
		buf_deinit(out);
	if (failed)
		call_no_memory(ex);
	else if (long_one)
		call_problem(ex, PROBLEM_TOO_LARGE, "So many small records are too long together; send them in several appends.");
	return !failed && !long_one;
}

static size_t json_count(struct slice text)
{
	struct slice element;
	size_t at = 0, count = 0;

	while (json_scan_next(text, &at, &element))
		count++;
	return count;
}

static bool json_records(struct exchange *ex, struct slice text, struct slice key, bool may_be_none,
			 struct records_in *ret_records)
{
	struct batch_record *records;
	size_t count, at = 0;
	bool made;

	if (json_scan(text)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "The body is not JSON (RFC 8259), or nested deeper than %d.",
			     JSON_DEPTH_MAX);
		return false;
	}
	count = json_count(text);
	if (!count && may_be_none)
		return true;
	if (!count || count > RECORDS_MAX) {
		if (count)
			call_problem(ex, PROBLEM_TOO_LARGE, "One append may have %d records.", RECORDS_MAX);
		else
			call_problem(ex, PROBLEM_BAD_REQUEST, "An empty array appends nothing.");
		return false;
	}
	records = mem_alloc(count * sizeof(*records));
	if (!records) {
		call_no_memory(ex);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		records[i] = (struct batch_record){.key = key};
		(void)!json_scan_next(text, &at, &records[i].value);
	}
	made = batch_make(ex, records, count, ret_records);
	mem_free(records);
	return made;
}

bool records_from_body(struct exchange *ex, const struct request_body *body, bool json, struct slice key, bool may_be_none,
		       struct records_in *ret_records)
{
	*ret_records = (struct records_in){0};
	if (body->blob.kind == BODY_BLOB && key.ptr) {
		blob_let_go(api_of(ex), &body->blob);
		call_problem(ex, PROBLEM_TOO_LARGE, "A record with a key may have %d bytes.", BODY_INLINE_MAX);
		return false;
	}
	if (body->blob.kind == BODY_BLOB && json) {
		blob_let_go(api_of(ex), &body->blob);
		call_problem(ex, PROBLEM_TOO_LARGE, "JSON may have %d bytes an append; send its messages in several.",
			     BODY_INLINE_MAX);
		return false;
	}
	if (body->blob.kind == BODY_BLOB) {
		ret_records->blob = body->blob;
		ret_records->count = 1;
		return true;
	}
	if (!body->bytes.len)
		return true;
	if (json)
		return json_records(ex, body->bytes, key, may_be_none, ret_records);
	return batch_make(ex, &(struct batch_record){.key = key, .value = body->bytes}, 1, ret_records);
}
