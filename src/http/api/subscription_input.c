#include "http/api/subscription_priv.h"

#include "base/text.h"

/* Slashes at the ends do not count. */
static struct slice trim_slashes(struct slice path)
{
	while (path.len && path.ptr[0] == '/')
		path = slice_from(path.ptr + 1, path.len - 1);
	while (path.len && path.ptr[path.len - 1] == '/')
		path.len--;
	return path;
}

/* Absent and empty are the same. */
static void path_read(struct json_in *in, const char *key, struct slice *path)
{
	json_in_string(in, key, STREAM_PATH_MAX, path);
	*path = trim_slashes(*path);
	if (path->len && !stream_path_is_valid(*path))
		json_in_fail(in, "\"%s\" is no path of a stream.", key);
}

void subscription_streams_read(struct json_in *in, struct subscription_in *request)
{
	struct slice *paths = NULL;

	json_in_strings(in, "streams", SUBSCRIPTION_ITEMS_MAX, STREAM_PATH_MAX, &paths, &request->stream_count);
	for (size_t i = 0; i < request->stream_count; i++) {
		paths[i] = trim_slashes(paths[i]);
		if (!stream_path_is_valid(paths[i]))
			json_in_fail(in, "\"streams\" holds what is no path of a stream.");
	}
	request->streams = paths;
}

void subscription_read(struct json_in *in, struct subscription_in *request)
{
	struct slice type = {0};
	bool webhook;

	json_in_string(in, "type", NAME_BYTES_MAX, &type);
	webhook = slice_eq(type, SLICE("webhook"));
	if (!webhook && !slice_eq(type, SLICE("pull-wake")))
		json_in_fail(in, "\"type\" must be \"webhook\" or \"pull-wake\".");
	request->type = webhook ? SUBSCRIPTION_WEBHOOK : SUBSCRIPTION_PULL;
	path_read(in, "pattern", &request->pattern);
	subscription_streams_read(in, request);
	if (!request->pattern.len && !request->stream_count)
		json_in_fail(in, "\"pattern\" or \"streams\" is missing: one of them there must be.");
	if (webhook) {
		if (json_in_enter(in, "webhook")) {
			json_in_string(in, "url", SUBSCRIPTION_URL_MAX, &request->url);
			json_in_leave(in);
		}
		json_in_need(in, request->url.len > 0, "webhook.url");
	} else {
		path_read(in, "wake_stream", &request->wake_stream);
		json_in_need(in, request->wake_stream.len > 0, "wake_stream");
	}
	request->lease_ttl_ms = 30000;
	json_in_u64(in, "lease_ttl_ms", SUBSCRIPTION_LEASE_MIN_MS, SUBSCRIPTION_LEASE_MAX_MS, &request->lease_ttl_ms);
	json_in_string(in, "description", SUBSCRIPTION_TEXT_MAX, &request->description);
}

void subscription_claim_read(struct json_in *in, struct subscription_claim_in *request)
{
	json_in_string(in, "worker", SUBSCRIPTION_TEXT_MAX, &request->worker);
	json_in_need(in, request->worker.len > 0, "worker");
}

/* An offset that is none of ours is told from one that is wrong by the sequencer: there is no stream of number 0, so it is
 * beyond the end of every one. */
static void ack_read(struct json_in *in, struct subscription_ack *ack)
{
	struct slice offset = {0};

	json_in_string(in, "stream", STREAM_PATH_MAX, &ack->path);
	if (!ack->path.len)
		json_in_string(in, "path", STREAM_PATH_MAX, &ack->path);
	ack->path = trim_slashes(ack->path);
	json_in_need(in, ack->path.len > 0, "stream");
	json_in_string(in, "offset", NAME_BYTES_MAX, &offset);
	json_in_need(in, offset.len > 0, "offset");
	if (place_read(offset, &ack->number, &ack->offset)) {
		ack->number = 0;
		ack->offset = UINT64_MAX;
	}
}

void subscription_ack_read(struct json_in *in, struct subscription_ack_in *request)
{
	struct subscription_ack *acks;
	uint64_t generation = 0;
	size_t count;

	json_in_string(in, "wake_id", NAME_BYTES_MAX, &request->wake_id);
	json_in_need(in, request->wake_id.len > 0, "wake_id");
	json_in_u64(in, "generation", 1, INT64_MAX, &generation);
	json_in_need(in, generation > 0, "generation");
	request->generation = generation;
	json_in_bool(in, "done", &request->done, NULL);
	count = json_in_items(in, "acks", SUBSCRIPTION_ITEMS_MAX);
	if (!count)
		return;
	acks = arena_zalloc(in->arena, count * sizeof(*acks));
	if (!acks) {
		in->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		json_in_enter_item(in, "acks", i);
		ack_read(in, &acks[i]);
		json_in_leave(in);
	}
	request->acks = acks;
	request->ack_count = count;
}

bool input_subscription_id(struct exchange *ex, struct slice id)
{
	struct slice rest = id;
	bool valid = id.len >= 1 && id.len <= SUBSCRIPTION_ID_MAX;

	while (valid && rest.len) {
		size_t len = text_utf8_len(rest);

		valid = len && (unsigned char)rest.ptr[0] >= ' ' && rest.ptr[0] != 0x7f;
		rest = slice_from(rest.ptr + len, rest.len - len);
	}
	if (valid)
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST, "A subscription's id is UTF-8 of 1 to %d bytes without control characters.",
		     SUBSCRIPTION_ID_MAX);
	return false;
}

bool input_bearer(struct exchange *ex, struct slice *ret_token)
{
	struct slice rest = request_header(ex->request, SLICE("Authorization"));
	struct slice scheme = slice_cut(&rest, ' ');

	*ret_token = slice_trim(rest);
	if (slice_eq_nocase(scheme, SLICE("Bearer")) && ret_token->len)
		return true;
	call_problem(ex, PROBLEM_TOKEN, "Authorization: Bearer is missing, with the token of the wake or the claim.");
	return false;
}
