/* What is told about subscriptions (Durable Streams protocol §6.3, §7.2). */
#include "http/api/subscription_priv.h"

#include "base/json.h"
#include "http/codec/uri.h"

static void text_or_nil(struct buf *out, const char *key, struct slice text)
{
	json_key(out, key);
	if (text.len)
		json_str(out, text);
	else
		json_nil(out);
}

static void stream_json(struct buf *out, const struct subscription_stream_view *stream, bool whole)
{
	json_open(out, '{');
	json_key(out, "path");
	json_str(out, stream->path);
	json_key(out, "link_type");
	json_str(out, stream->is_explicit ? SLICE("explicit") : SLICE("glob"));
	stream_place_json(out, "acked_offset", stream->number, stream->acked_offset);
	if (whole) {
		stream_place_json(out, "tail_offset", stream->number, stream->tail_offset);
		json_key(out, "has_pending");
		json_bool(out, stream->has_pending);
	}
	json_close(out, '}');
}

void subscription_streams_json(struct buf *out, const struct subscription_view *view, bool whole)
{
	json_key(out, "streams");
	json_open(out, '[');
	for (size_t i = 0; i < view->stream_count; i++) {
		if (!whole || view->streams[i].has_pending || view->stream_count <= SUBSCRIPTION_TOLD_MAX)
			stream_json(out, &view->streams[i], whole);
	}
	json_close(out, ']');
}

/* Only `id` needs escapes, and has them. */
void subscription_url(struct buf *out, struct slice origin, struct slice id, const char *below)
{
	buf_append_char(out, '"');
	buf_append_slice(out, origin);
	buf_append_str(out, "/v1/stream/__ds/");
	if (id.len) {
		buf_append_str(out, "subscriptions/");
		uri_encode(id, "", out);
		buf_append_char(out, '/');
	}
	buf_append_str(out, below);
	buf_append_char(out, '"');
}

static void webhook_json(struct buf *out, const struct subscription_view *view, struct slice origin, const char *kid)
{
	json_open(out, '{');
	json_key(out, "url");
	json_str(out, view->url);
	json_key(out, "signing");
	json_open(out, '{');
	json_key(out, "alg");
	json_str(out, SLICE("ed25519"));
	json_key(out, "kid");
	json_str(out, slice_str(kid));
	json_key(out, "jwks_url");
	subscription_url(out, origin, (struct slice){0}, "jwks.json");
	json_close(out, '}');
	json_close(out, '}');
}

void subscription_json(struct buf *out, const struct subscription_view *view, struct slice origin, const char *kid)
{
	json_open(out, '{');
	json_key(out, "id");
	json_str(out, view->id);
	json_key(out, "subscription_id");
	json_str(out, view->id);
	json_key(out, "type");
	json_str(out, view->type == SUBSCRIPTION_WEBHOOK ? SLICE("webhook") : SLICE("pull-wake"));
	text_or_nil(out, "pattern", view->pattern);
	subscription_streams_json(out, view, false);
	json_key(out, "webhook");
	if (view->type == SUBSCRIPTION_WEBHOOK)
		webhook_json(out, view, origin, kid);
	else
		json_nil(out);
	text_or_nil(out, "wake_stream", view->wake_stream);
	json_key(out, "lease_ttl_ms");
	json_u64(out, view->lease_ttl_ms);
	json_key(out, "created_at");
	json_time(out, view->created_ms);
	json_key(out, "status");
	json_str(out, view->failed ? SLICE("failed") : SLICE("active"));
	json_key(out, "next_attempt_at");
	if (view->next_attempt_ms)
		json_time(out, view->next_attempt_ms);
	else
		json_nil(out);
	text_or_nil(out, "description", view->description);
	json_close(out, '}');
}

void subscription_claim_json(struct buf *out, const struct subscription_view *view)
{
	json_open(out, '{');
	json_key(out, "wake_id");
	json_str(out, slice_str(view->wake_id));
	json_key(out, "generation");
	json_u64(out, view->generation);
	json_key(out, "token");
	json_str(out, slice_str(view->token));
	subscription_streams_json(out, view, true);
	json_key(out, "lease_ttl_ms");
	json_u64(out, view->lease_ttl_ms);
	json_close(out, '}');
}

/* --- what is refused --- */

void subscription_outcome(struct exchange *ex, enum outcome outcome)
{
	static const struct {
		enum outcome outcome;
		enum problem problem;
		const char *detail;
	} rows[] = {
		{OUTCOME_NOT_FOUND, PROBLEM_NOT_FOUND, "There is no subscription of that id."},
		{OUTCOME_CONFLICT, PROBLEM_CONFLICT, "There is a subscription of that id with another configuration."},
		{OUTCOME_TOKEN, PROBLEM_TOKEN, "That is no token of this subscription."},
		{OUTCOME_FENCED, PROBLEM_FENCED, "That wake is over: its lease ran out, or it was done or released."},
		{OUTCOME_EMPTY, PROBLEM_NO_WORK, "Nothing is pending in the streams of this subscription."},
		{OUTCOME_RANGE, PROBLEM_OFFSET,
		 "An ack is of a stream that is not linked, or its offset lies before what is acked or beyond the end."},
		{OUTCOME_TYPE, PROBLEM_BAD_REQUEST,
		 "Claim, ack and release are for pull-wake subscriptions, the callback is for webhooks."},
		{OUTCOME_FULL, PROBLEM_SERVER_FULL,
		 "The server holds as many subscriptions as it may, or this one as many streams."},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (rows[i].outcome == outcome) {
			call_problem(ex, rows[i].problem, "%s", rows[i].detail);
			return;
		}
	}
	call_outcome(ex, outcome);
}

void subscription_answer_busy(struct exchange *ex, const struct subscription_view *view)
{
	struct buf *out = &api_of(ex)->out;
	const struct problem_row *row = &problems[PROBLEM_CLAIMED];
	struct reply reply;

	stream_reply_init(&reply, row->status);
	buf_clear(out);
	json_open(out, '{');
	problem_members(out, row, row->status, SLICE("Another worker holds the lease."));
	json_key(out, "error");
	json_open(out, '{');
	json_key(out, "code");
	json_str(out, slice_str(row->code));
	json_key(out, "current_holder");
	json_str(out, view->holder);
	json_key(out, "generation");
	json_u64(out, view->generation);
	json_close(out, '}');
	json_close(out, '}');
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}
