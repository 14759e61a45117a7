/* What a request that waited for many is told, as JSON. A record that lies in a blob is told as the place where it can be had. */
#include "http/api/many_priv.h"

#include "base/json.h"
#include "http/codec/uri.h"

#include <errno.h>

/* --- jobs --- */

static void ids_json(struct buf *out, const char *key, const struct many *many, enum item_state state)
{
	json_key(out, key);
	json_open(out, '[');
	for (size_t i = 0; i < many->job_count; i++) {
		if (many->items[i].state == state)
			json_str(out, many->items[i].name);
	}
	json_close(out, ']');
}

static void jobs_json(struct buf *out, const struct many *many)
{
	json_key(out, "jobs");
	json_open(out, '[');
	for (size_t i = 0; i < many->job_count; i++) {
		if (many->items[i].state == ITEM_OVER)
			job_json(out, many->items[i].job);
	}
	json_close(out, ']');
	ids_json(out, "pending", many, ITEM_PENDING);
	ids_json(out, "missing", many, ITEM_MISSING);
}

/* --- streams --- */

static void large_json(struct buf *out, const struct many_stream *stream)
{
	const struct stream_view *view = stream->view;
	char place[PLACE_CHARS + 1];

	place_write(view->number, view->from_offset, place);
	json_key(out, "large");
	json_open(out, '{');
	json_key(out, "size");
	json_u64(out, stream_blob_bytes(&view->chunks[0]));
	json_key(out, "url");
	buf_append_str(out, "\"/v1/stream/");
	uri_encode(stream->path, "/", out);
	buf_printf(out, "?offset=%s&limit=1\"", place);
	json_close(out, '}');
}

static void state_json(struct buf *out, bool up_to_date, bool closed)
{
	json_key(out, "up_to_date");
	json_bool(out, up_to_date);
	json_key(out, "closed");
	json_bool(out, closed);
}

/* What the view has. 0, -EIO or -ENOMEM. */
static int read_json(struct buf *out, const struct many_stream *stream, enum format format)
{
	const struct stream_view *view = stream->view;
	struct stream_part part = {.from = view->from_offset, .limit = UINT64_MAX, .format = format};
	bool large = stream_flows_first(view, format);
	uint64_t after;
	int error;

	json_key(out, "records");
	error = stream_body_add(out, view, &part);
	after = part.after;
	if (large)
		large_json(out, stream);
	stream_place_json(out, "cursor", view->number, after);
	state_json(out, after == view->next_offset, after == view->next_offset && view->closed);
	return error;
}

/* One that was parked at its end until now. */
static void none_json(struct buf *out, const struct many_stream *stream)
{
	json_key(out, "records");
	json_open(out, '[');
	json_close(out, ']');
	stream_place_json(out, "cursor", stream->number, stream->offset);
	state_json(out, true, false);
}

static void problem_part(struct buf *out, enum outcome outcome, const struct stream_view *view)
{
	static const char *const details[OUTCOME_COUNT] = {
		[OUTCOME_NOT_FOUND] = "There is no stream at that path.",
		[OUTCOME_GONE] = "The stream was deleted; only its forks still read what was in it.",
		[OUTCOME_OTHER] =
			"The cursor is of a stream that was here before, or of records that are no longer kept; reading "
			"can begin at `earliest`.",
		[OUTCOME_STORAGE] = "The stored bytes could not be read.",
	};
	const struct problem_row *row = &problems[problem_of_outcome(outcome)];

	json_key(out, "error");
	problem_json(out, row, row->status, slice_str(details[outcome] ? details[outcome] : ""));
	if (outcome == OUTCOME_OTHER && view)
		stream_place_json(out, "earliest", view->number, view->earliest_offset);
}

static int stream_json(struct buf *out, const struct many_stream *stream, enum format format)
{
	size_t begin = out->len;
	int error = 0;

	if (stream->outcome != OUTCOME_OK && stream->outcome != OUTCOME_PARKED)
		problem_part(out, stream->outcome, stream->view);
	else if (stream->view)
		error = read_json(out, stream, format);
	else
		none_json(out, stream);
	if (error != -EIO)
		return error;
	/* One stream's damage is no reason to tell nothing of the others. */
	out->len = begin;
	problem_part(out, OUTCOME_STORAGE, NULL);
	stream_place_json(out, "cursor", stream->number, stream->offset);
	return 0;
}

static int streams_json(struct buf *out, const struct many *many)
{
	int error = 0;

	json_key(out, "streams");
	json_open(out, '{');
	for (size_t i = many->job_count; i < many->count && !error; i++) {
		json_str(out, many->items[i].name);
		buf_append_char(out, ':');
		json_open(out, '{');
		error = stream_json(out, &many->items[i].stream, many->format);
		json_close(out, '}');
	}
	json_close(out, '}');
	return error;
}

int many_json(struct buf *out, const struct many *many)
{
	int error;

	json_open(out, '{');
	error = many->with_streams ? streams_json(out, many) : 0;
	jobs_json(out, many);
	json_key(out, "done");
	json_bool(out, many_is_over(many));
	json_close(out, '}');
	return error;
}
