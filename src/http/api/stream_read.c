/* GET and HEAD /v1/stream/{path}: what a stream is, and what follows an offset (Durable Streams protocol §5.5 to §5.7, §10).
 *
 * An answer is made of whole appends ("chunks"). Batches are opened here and their values joined, for a JSON stream into one
 * array; a long record, which lies in a blob of its own, is answered alone and flows from its pin. */
#include "http/api/stream_priv.h"

#include "base/json.h"
#include "base/mem.h"
#include "http/codec/uri.h"

#include <errno.h>
#include <time.h>

enum { CACHE_S = 60 };

/* --- parts of answers --- */

void stream_reply_headers(struct reply *reply)
{
	reply_header(reply, SLICE("X-Content-Type-Options"), SLICE("nosniff"));
	reply_header(reply, SLICE("Cross-Origin-Resource-Policy"), SLICE("cross-origin"));
}

void stream_reply_init(struct reply *reply, int status)
{
	reply_init(reply, status);
	stream_reply_headers(reply);
}

void stream_reply_place(struct reply *reply, struct slice name, uint64_t number, uint64_t offset)
{
	char place[PLACE_CHARS + 1];

	place_write(number, offset, place);
	reply_header_fmt(reply, name, "%s", place);
}

void stream_reply_closed(struct reply *reply)
{
	reply_header(reply, SLICE("Stream-Closed"), SLICE("true"));
}

void stream_outcome(struct exchange *ex, enum outcome outcome, const struct stream_view *view)
{
	static const char *const details[OUTCOME_COUNT] = {
		[OUTCOME_NO_SOURCE] = "There is no stream at the path that Stream-Forked-From names.",
		[OUTCOME_RANGE] = "Stream-Fork-Offset, with what Stream-Fork-Sub-Offset adds, is no place in the source stream.",
		[OUTCOME_GONE] = "The stream was deleted; only its forks still read what was in it.",
		[OUTCOME_NOT_FOUND] = "There is no stream at that path.",
		[OUTCOME_CLOSED] = "The stream was closed; it takes no more.",
		[OUTCOME_TYPE] = "The Content-Type is not the stream's.",
		[OUTCOME_SEQ] = "Stream-Seq must be greater than that of the append before, byte by byte.",
		[OUTCOME_EPOCH_START] = "A new Producer-Epoch begins with Producer-Seq 0.",
		[OUTCOME_OTHER] = "The offset is of a stream that was here before, or of records that are no longer kept; "
				  "Stream-Earliest-Offset tells where reading can begin.",
		[OUTCOME_TOPIC] =
			"The stream is a topic's partition: it goes with the topic, takes no forks, and each append is one "
			"record of bytes, of no more than 1 MiB, that stays as long as the others.",
		[OUTCOME_TOO_LARGE] = "The record is longer than the topic's max.message.bytes allows.",
		[OUTCOME_RECORD] = "The topic is compacted: each of its records needs a Record-Key.",
		[OUTCOME_OUTPUT_FULL] = "The output would be longer than max-output-bytes allows.",
		[OUTCOME_FULL] = "The server holds as many streams as it may, or the stream as many producers.",
	};
	bool of_job = !route_is_stream(call_of(ex)->route) && (outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_GONE);
	struct buf *out = &api_of(ex)->out;
	struct reply reply;

	if (!details[outcome] || of_job) {
		call_outcome(ex, outcome);
		return;
	}
	stream_reply_init(&reply, 0);
	if (outcome == OUTCOME_CLOSED)
		stream_reply_closed(&reply);
	if (outcome == OUTCOME_CLOSED && view)
		stream_reply_place(&reply, SLICE("Stream-Next-Offset"), view->number, view->next_offset);
	if (outcome == OUTCOME_OTHER && view)
		stream_reply_place(&reply, SLICE("Stream-Earliest-Offset"), view->number, view->earliest_offset);
	reply_problem(&reply, out, problem_of_outcome(outcome), details[outcome]);
	reply_send(ex, &reply, out);
}

/* Answers may be kept as the protocol says, but no longer than the stream lives: caches count whole seconds, hence one less. A
 * reader behind a cache shows the TTL a sign of life often enough when half of it is the longest. What tells only that there is
 * nothing yet is asked for again each time. */
static void reply_cache(struct reply *reply, const struct reading *reading, const struct stream_view *view, bool nothing_yet,
			uint64_t unix_ms)
{
	const char *whose = reading->keep == KEEP_OWN ? "private" : "public";
	uint64_t age_s = CACHE_S, left_ms;

	if (reading->keep == KEEP_NONE)
		return; /* no-store is the engine's word for all that says nothing */
	reply->answer.flags = EXCHANGE_CACHEABLE;
	if (nothing_yet) {
		reply_header(reply, SLICE("Cache-Control"), SLICE("no-cache"));
		return;
	}
	if (view->has_ttl && view->ttl_s / 2 < age_s)
		age_s = view->ttl_s / 2;
	left_ms = view->expires_at_ms > unix_ms + 1000 ? view->expires_at_ms - unix_ms - 1000 : 0;
	if (view->expires_at_ms && left_ms / 1000 < age_s)
		age_s = left_ms / 1000;
	if (view->has_ttl || view->expires_at_ms)
		reply_header_fmt(reply, SLICE("Cache-Control"), "%s, max-age=%u", whose, (unsigned)age_s);
	else
		reply_header_fmt(reply, SLICE("Cache-Control"), "%s, max-age=%u, stale-while-revalidate=300", whose,
				 (unsigned)age_s);
}

void stream_reply_read(struct reply *reply, const struct reading *reading, const struct stream_view *view, uint64_t from,
		       uint64_t after, uint64_t unix_ms, uint64_t chance)
{
	bool up_to_date = after == view->next_offset, closed = up_to_date && view->closed;
	char etag[ETAG_BYTES];
	struct slice tag = etag_write(etag, view->number, from, after, closed);

	stream_reply_init(reply, 200);
	reply->answer.content_type = view->content_type;
	if (reading->format == FORMAT_RECORDS) {
		reply->answer.content_type = SLICE("application/json");
		reply_header(reply, SLICE("Stream-Content-Type"), view->content_type);
	}
	reply_wait(reply, reading->told_s);
	stream_reply_place(reply, SLICE("Stream-Next-Offset"), view->number, after);
	if (up_to_date)
		reply_header(reply, SLICE("Stream-Up-To-Date"), SLICE("true"));
	if (closed)
		stream_reply_closed(reply);
	if (reading->live && !closed)
		reply_header_fmt(reply, SLICE("Stream-Cursor"), "%llu",
				 (unsigned long long)cursor_next(unix_ms, reading->cursor, chance));
	if (reading->keep != KEEP_NONE)
		reply_header_fmt(reply, SLICE("ETag"), "%.*s", (int)tag.len, tag.ptr);
	reply_cache(reply, reading, view, from == after && !closed, unix_ms);
}

void stream_answer_none(struct exchange *ex, const struct reading *reading, uint64_t number, uint64_t offset, bool closed)
{
	struct api_thread *api = api_of(ex);
	struct reply reply;

	stream_reply_init(&reply, 204);
	reply_wait(&reply, reading->told_s);
	stream_reply_place(&reply, SLICE("Stream-Next-Offset"), number, offset);
	if (!reading->more)
		reply_header(&reply, SLICE("Stream-Up-To-Date"), SLICE("true"));
	if (closed)
		stream_reply_closed(&reply);
	else
		reply_header_fmt(
			&reply, SLICE("Stream-Cursor"), "%llu",
			(unsigned long long)cursor_next(api->config.unix_ms(api->ctx), reading->cursor, stream_chance()));
	reply_send(ex, &reply, NULL);
}

uint64_t stream_chance(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_nsec / 1000;
}

/* --- answers --- */

void stream_answer_failed(struct exchange *ex, int error)
{
	if (error == -ENOMEM)
		call_no_memory(ex);
	else
		call_problem(ex, PROBLEM_STORAGE, "The stored bytes could not be read.");
}

static bool not_modified(const struct exchange *ex, const struct reading *reading, const struct stream_view *view, uint64_t after)
{
	struct slice sent = ex->request ? request_header(ex->request, SLICE("If-None-Match")) : (struct slice){0};
	char etag[ETAG_BYTES];

	if (!sent.len || reading->live || reading->keep == KEEP_NONE)
		return false;
	return etag_matches(sent,
			    etag_write(etag, view->number, view->from_offset, after, after == view->next_offset && view->closed));
}

/* Where it will end can be told beforehand unless records are counted. */
static bool answer_not_modified(struct exchange *ex, const struct reading *reading, const struct stream_view *view)
{
	struct api_thread *api = api_of(ex);
	uint64_t after = stream_after(view, reading->format);
	struct reply reply;

	if (reading->limit != UINT64_MAX || !not_modified(ex, reading, view, after))
		return false;
	stream_reply_read(&reply, reading, view, view->from_offset, after, api->config.unix_ms(api->ctx), stream_chance());
	reply.answer.status = 304;
	reply.answer.content_type = (struct slice){0};
	reply_send(ex, &reply, NULL);
	return true;
}

/* A long record, which flows from its pin. */
static void answer_flow(struct exchange *ex, const struct reading *reading, struct stream_view *view)
{
	struct api_thread *api = api_of(ex);
	struct reply reply;

	stream_reply_read(&reply, reading, view, view->from_offset, stream_after(view, reading->format),
			  api->config.unix_ms(api->ctx), stream_chance());
	reply.answer.pin = view->chunks[0].pin;
	reply.answer.range_bytes = stream_blob_bytes(&view->chunks[0]);
	view->chunks[0].pin = NULL;
	reply_send(ex, &reply, NULL);
}

/* One who waits for a key goes on while nothing with it has come, and there is time; so does one who waits for anything, where
 * what came was aborted. */
static bool goes_on(struct exchange *ex, struct ask *ask, const struct stream_view *view, const struct stream_part *part)
{
	struct stream_read_in *in = &ask->command.in.stream_read;
	uint64_t now_ms = http_thread_now_ms(exchange_thread(ex));

	if (part->count || !ask->wait_ms || (part->after == view->next_offset && view->closed))
		return false;
	if (!ask->until_ms)
		ask->until_ms = now_ms + ask->wait_ms;
	if (now_ms >= ask->until_ms || api_of(ex)->draining)
		return false;
	if (!part->key.ptr)
		ask->wait_ms = ask->until_ms - now_ms;
	in->from = STREAM_FROM_OFFSET;
	in->number = view->number;
	in->offset = part->after;
	ask_send(ex, ask);
	return true;
}

/* The body that was made, at hand or, when it is long, made again as the reader takes it. */
static void answer_body(struct exchange *ex, const struct reading *reading, struct stream_view *view,
			const struct stream_part *part)
{
	struct api_thread *api = api_of(ex);
	struct buf *out = &api->out;
	struct reply reply;

	stream_reply_read(&reply, reading, view, part->from, part->after, api->config.unix_ms(api->ctx), stream_chance());
	reply.answer.body = buf_slice(out);
	reply.answer.range_bytes = out->len;
	if (out->len > FLOW_BYTES)
		reply.answer.pin = stream_flow(api, view, part, out);
	if (reply.answer.range_bytes > FLOW_BYTES && !reply.answer.pin)
		call_no_memory(ex);
	else
		reply_send(ex, &reply, out);
}

static void answer_read(struct exchange *ex, struct ask *ask, struct reading *reading, struct stream_view *view)
{
	uint32_t ends[STREAM_CHUNKS_MAX] = {0};
	struct stream_part part = {
		.from = view->from_offset, .limit = reading->limit, .key = reading->key, .format = reading->format, .ends = ends};
	struct buf *out = &api_of(ex)->out;
	int error;

	if (answer_not_modified(ex, reading, view))
		return;
	if (stream_flows_first(view, reading->format) && !reading->key.ptr) {
		answer_flow(ex, reading, view);
		return;
	}
	error = stream_body(out, view, &part);
	if (error) {
		stream_answer_failed(ex, error);
		return;
	}
	/* A blob before which nothing else lies, and which has no key: it is passed over. */
	if (stream_flows_first(view, reading->format))
		part.after = stream_after(view, reading->format);
	if (goes_on(ex, ask, view, &part))
		return;
	if (reading->live && !part.count) {
		reading->more = part.after < view->next_offset;
		stream_answer_none(ex, reading, view->number, part.after, part.after == view->next_offset && view->closed);
		return;
	}
	answer_body(ex, reading, view, &part);
}

static bool has_credentials(const struct exchange *ex)
{
	return ex->request &&
	       (request_header(ex->request, SLICE("Authorization")).ptr || request_header(ex->request, SLICE("Cookie")).ptr);
}

void stream_was_read(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct stream_view *view = c->out.stream;
	enum outcome outcome = c->outcome;
	struct reading reading = {
		.cursor = ask->cursor,
		.limit = ask->limit,
		.key = ask->key,
		.told_s = ask->told_s,
		.live = ask->kind == WAIT_STREAM || ask->kind == WAIT_PICK,
		.keep = ask->keep,
		.format = ask->format,
	};

	c->out.stream = NULL;
	command_answer_deinit(c);
	if (call_of(ex)->flags & CALL_GONE)
		exchange_done(ex);
	else if (outcome == OUTCOME_PARKED && ask->wait_ms && ask->kind == WAIT_PICK)
		stream_pick_park(ex, ask, view);
	else if (outcome == OUTCOME_PARKED && ask->wait_ms)
		stream_wait_park(ex, ask, view);
	else if (outcome != OUTCOME_OK && outcome != OUTCOME_PARKED)
		stream_outcome(ex, outcome, view);
	else if (reading.live && !view->chunk_count)
		stream_answer_none(ex, &reading, view->number, view->after_offset, view->closed);
	else
		answer_read(ex, ask, &reading, view);
	stream_view_unref(view);
}

/* --- HEAD --- */

static void looked(struct exchange *ex, struct ask *ask)
{
	struct command *c = &ask->command;
	struct stream_view *view = c->out.stream;
	enum outcome outcome = c->outcome;
	struct reply reply;

	c->out.stream = NULL;
	command_answer_deinit(c);
	if (outcome != OUTCOME_OK) {
		stream_outcome(ex, outcome, view);
		stream_view_unref(view);
		return;
	}
	stream_reply_init(&reply, 200);
	reply.answer.content_type = view->content_type;
	stream_reply_place(&reply, SLICE("Stream-Next-Offset"), view->number, view->next_offset);
	stream_reply_place(&reply, SLICE("Stream-Earliest-Offset"), view->number, view->earliest_offset);
	if (view->max_age_ms)
		reply_header_fmt(&reply, SLICE("Stream-Max-Age"), "%llu", (unsigned long long)view->max_age_ms / 1000);
	if (view->max_bytes)
		reply_header_fmt(&reply, SLICE("Stream-Max-Bytes"), "%llu", (unsigned long long)view->max_bytes);
	if (view->has_ttl)
		reply_header_fmt(&reply, SLICE("Stream-TTL"), "%llu", (unsigned long long)view->ttl_s);
	if (view->expires_at_ms)
		reply_header_time(&reply, SLICE("Stream-Expires-At"), view->expires_at_ms);
	if (view->closed)
		stream_reply_closed(&reply);
	reply_send(ex, &reply, NULL);
	stream_view_unref(view);
}

/* --- GET --- */

/* `tail=N` or `at=TIME`, which take the place of an offset. *ret_found: one of them is there. */
static bool read_other_start(struct exchange *ex, struct stream_read_in *in, bool *ret_found)
{
	struct slice tail, at;
	bool has_tail, has_at;

	if (!input_query(ex, "tail", &tail, &has_tail) || !input_query(ex, "at", &at, &has_at))
		return false;
	*ret_found = has_tail || has_at;
	in->from = has_tail ? STREAM_FROM_TAIL : has_at ? STREAM_FROM_TIME : in->from;
	if (has_tail && has_at) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "tail or at, not both.");
		return false;
	}
	if (has_tail && slice_u64(tail, &in->count)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "tail is how many of the last records are wanted.");
		return false;
	}
	if (has_at && time_read(at, &in->time_ms)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "at is a time like 2030-01-02T03:04:05Z (RFC 3339).");
		return false;
	}
	return true;
}

/* `offset`, at most once: a token, "-1" or "now". */
static bool read_offset(struct exchange *ex, struct stream_read_in *in, bool *ret_found)
{
	struct slice query = ex->request->query, name, value, text;
	unsigned count = 0;
	bool other;

	while (uri_query_next(&query, &name, &value))
		count += slice_eq(name, SLICE("offset"));
	if (!read_other_start(ex, in, &other) || !input_query(ex, "offset", &text, ret_found))
		return false;
	if (other && *ret_found) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "offset, tail or at: one of them.");
		return false;
	}
	if (other) {
		*ret_found = true;
		return true;
	}
	if (count <= 1 && (!*ret_found || !offset_read(text, in)))
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST, "offset is -1, now, or what an answer told as Stream-Next-Offset, and once only.");
	return false;
}

/* Held for the default time unless the request says how long; told only when it did. */
static bool read_wait(struct exchange *ex, struct ask *ask)
{
	const struct api_thread *api = api_of(ex);
	uint64_t wait_ms =
		api->config.default_wait_ms < api->config.max_wait_ms ? api->config.default_wait_ms : api->config.max_wait_ms;

	if (!input_wait(ex, ask, UINT64_MAX, 0))
		return false;
	if (ask->told_s == WAIT_UNTOLD)
		ask->wait_ms = api->draining ? 0 : wait_ms;
	return true;
}

static bool read_live(struct exchange *ex, struct ask *ask, bool has_offset)
{
	struct slice text;
	bool found;

	if (!input_query(ex, "live", &text, &found))
		return false;
	if (!found)
		return true;
	ask->kind = slice_eq(text, SLICE("sse")) ? WAIT_SSE : WAIT_STREAM;
	if ((ask->kind == WAIT_STREAM && !slice_eq(text, SLICE("long-poll"))) || !has_offset) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "live is long-poll or sse, and goes with an offset.");
		return false;
	}
	if (!input_query(ex, "cursor", &text, &found))
		return false;
	if (found)
		ask->cursor = cursor_read(text);
	return ask->kind == WAIT_SSE ? stream_sse_wait(ex, ask) : read_wait(ex, ask);
}

/* Only records with a key, or none before there are so many bytes. */
static bool read_pick(struct exchange *ex, struct ask *ask)
{
	struct stream_read_in *in = &ask->command.in.stream_read;
	bool has_key;

	if (!input_query(ex, "key", &ask->key, &has_key) || !input_query_u64(ex, "min_bytes", 0, &in->min_bytes))
		return false;
	if (!has_key)
		ask->key = (struct slice){0};
	if (ask->kind == WAIT_SSE && (has_key || in->min_bytes)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "key and min_bytes do not go with live=sse.");
		return false;
	}
	if (has_key && (!ask->key.len || ask->key.len > RECORD_KEY_MAX || in->min_bytes)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "key has 1 to %d bytes, and does not go with min_bytes.", RECORD_KEY_MAX);
		return false;
	}
	if (in->min_bytes > READ_BYTES_MAX)
		in->min_bytes = READ_BYTES_MAX;
	if (ask->kind == WAIT_STREAM && (has_key || in->min_bytes))
		ask->kind = WAIT_PICK;
	return true;
}

static void read_head(struct exchange *ex, struct slice path)
{
	struct ask *ask = ask_new(ex, COMMAND_STREAM_READ, stream_was_read);
	struct stream_read_in *in = ask ? &ask->command.in.stream_read : NULL;
	uint64_t most;
	bool has_offset;

	if (!ask)
		return;
	in->path = path;
	in->max_bytes = READ_BYTES_MAX;
	ask->limit = UINT64_MAX;
	if (!read_offset(ex, in, &has_offset) || !read_live(ex, ask, has_offset) ||
	    !input_query_u64(ex, "max_bytes", 1, &in->max_bytes) || !input_query_u64(ex, "limit", 1, &ask->limit) ||
	    !input_stream_format(ex, ask) || !read_pick(ex, ask))
		return;
	most = ask->format == FORMAT_RECORDS ? READ_RECORDS_MAX : READ_BYTES_MAX;
	if (in->max_bytes > most)
		in->max_bytes = most;
	ask->keep = in->from >= STREAM_FROM_NOW ? KEEP_NONE : has_credentials(ex) ? KEEP_OWN : KEEP_ALL;
	in->watch = ask->wait_ms > 0;
	if (ask->kind == WAIT_SSE)
		stream_sse_send(ex, ask);
	else
		ask_send(ex, ask);
}

void stream_tell(struct exchange *ex, struct slice path)
{
	struct ask *ask;

	if (ex->request->method != HTTP_HEAD) {
		read_head(ex, path);
		return;
	}
	ask = ask_new(ex, COMMAND_STREAM_READ, looked);
	if (!ask)
		return;
	ask->command.in.stream_read.path = path;
	ask->command.in.stream_read.look = true;
	ask_send(ex, ask);
}

void stream_get_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct slice path;

	if (input_stream_path(ex, params[0], &path))
		stream_tell(ex, path);
}
