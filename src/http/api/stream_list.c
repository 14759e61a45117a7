/* GET /v1/streams: which streams there are, the oldest first. */
#include "http/api/stream_priv.h"

#include "base/json.h"
#include "http/codec/uri.h"

enum { LIST_DEFAULT = 100, LIST_BYTES = 1 << 20 };

static void number_json(struct buf *out, const char *key, bool is_there, uint64_t value)
{
	json_key(out, key);
	if (is_there)
		json_u64(out, value);
	else
		json_nil(out);
}

static void stream_json(struct buf *out, const struct stream_view *view)
{
	json_open(out, '{');
	json_key(out, "path");
	json_str(out, view->path);
	json_key(out, "url");
	buf_append_str(out, "\"/v1/stream/");
	uri_encode(view->path, "/", out);
	buf_append_char(out, '"');
	json_key(out, "content_type");
	json_str(out, view->content_type);
	stream_place_json(out, "earliest_offset", view->number, view->earliest_offset);
	stream_place_json(out, "next_offset", view->number, view->next_offset);
	json_key(out, "records");
	json_u64(out, view->next_offset - view->earliest_offset);
	json_key(out, "bytes");
	json_u64(out, view->bytes);
	json_key(out, "waits");
	json_u64(out, view->waits);
	json_key(out, "closed");
	json_bool(out, view->closed);
	json_key(out, "created");
	json_time(out, view->created_ms);
	number_json(out, "ttl", view->has_ttl, view->ttl_s);
	number_json(out, "max_age", view->max_age_ms, view->max_age_ms / 1000);
	number_json(out, "max_bytes", view->max_bytes, view->max_bytes);
	json_key(out, "expires_at");
	if (view->expires_at_ms)
		json_time(out, view->expires_at_ms);
	else
		json_nil(out);
	json_close(out, '}');
}

static void page_json(struct buf *out, const struct command *c)
{
	uint64_t next = c->out.next;

	buf_clear(out);
	json_open(out, '{');
	json_key(out, "streams");
	json_open(out, '[');
	/* However long paths are, a page stays a page. */
	for (size_t i = 0; i < c->out.stream_count; i++) {
		stream_json(out, c->out.streams[i]);
		if (out->len >= LIST_BYTES && i + 1 < c->out.stream_count) {
			next = c->out.streams[i]->number;
			break;
		}
	}
	json_close(out, ']');
	json_key(out, "next");
	if (next)
		buf_printf(out, "\"%llu\"", (unsigned long long)next);
	else
		json_nil(out);
	json_close(out, '}');
}

static void listed(struct exchange *ex, struct ask *ask)
{
	struct buf *out = &api_of(ex)->out;
	enum outcome outcome = ask->command.outcome;
	struct reply reply;

	if (outcome == OUTCOME_OK)
		page_json(out, &ask->command);
	command_answer_deinit(&ask->command);
	if (outcome != OUTCOME_OK) {
		call_outcome(ex, outcome);
		return;
	}
	stream_reply_init(&reply, 200);
	reply_json(&reply, out);
	reply_send(ex, &reply, out);
}

void streams_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct ask *ask = ask_new(ex, COMMAND_STREAM_LIST, listed);
	struct stream_list_in *in = ask ? &ask->command.in.stream_list : NULL;
	uint64_t limit = LIST_DEFAULT;
	bool found;

	(void)params;
	if (!ask || !input_query(ex, "prefix", &in->prefix, &found) || !input_query_u64(ex, "limit", 1, &limit) ||
	    !input_query_u64(ex, "after", 0, &in->after))
		return;
	in->limit = limit > COMMAND_LIST_MAX ? COMMAND_LIST_MAX : (uint32_t)limit;
	ask_send(ex, ask);
}
