/* GET /v1/openapi.json: the table of routes as OpenAPI 3.1, so that it cannot tell of what is not served. */
#include "http/api/api_priv.h"

#include "base/json.h"

static const struct parameter {
	const char *name, *in, *schema, *text;
} parameters[] = {
	{"wait", "query", "duration", "Hold the answer so long: 30, 30s, 1500ms. 0: do not wait. Goes before Prefer."},
	{"Prefer", "header", "string", "wait=N: hold the answer for N seconds (RFC 7240)."},
	{"revision", "query", "integer", "Hold the answer until anything has changed since this revision."},
	{"until", "query", "string", "Hold the answer until the job has come so far: started or done."},
	{"forget", "query", "boolean", "true: drop the record, whatever its state."},
	{"queue", "query", "string", "Only jobs of this queue."},
	{"state", "query", "string", "Only jobs in this state; several with commas."},
	{"limit", "query", "integer", "At most so many (1000)."},
	{"prefix", "query", "string", "Only streams whose path begins so."},
	{"offset", "query", "string", "-1 (the start), now (the end), or what an answer told as Stream-Next-Offset."},
	{"live", "query", "string",
	 "long-poll: hold the answer until there is something; sse: events as they come. Goes with an offset."},
	{"cursor", "query", "string", "Stream-Cursor of the answer before, for caches on the way."},
	{"format", "query", "string", "records: an array of objects, with the offset, time and key of each."},
	{"max_bytes", "query", "integer", "About so many bytes an answer (1 MiB); one append at least."},
	{"tail", "query", "integer", "Begin with the last so many records."},
	{"at", "query", "string", "Begin with the first record not before this time (RFC 3339)."},
	{"key", "query", "string", "Only records with this Record-Key; waits are woken by them alone."},
	{"min_bytes", "query", "integer", "Hold the answer until there is about so much, or the wait is over."},
	{"If-None-Match", "header", "string", "ETag of an earlier answer: 304 when nothing is different."},
	{"Stream-TTL", "header", "integer", "Deleted when neither read nor written for so many seconds."},
	{"Stream-Expires-At", "header", "string", "Deleted at this time (RFC 3339)."},
	{"Stream-Max-Age", "header", "integer", "Records older than so many seconds are no longer kept."},
	{"Stream-Max-Bytes", "header", "integer", "The oldest records go when there is more than this."},
	{"Stream-Forked-From", "header", "string", "Path of the stream whose records it shares, /v1/stream/…"},
	{"Stream-Fork-Offset", "header", "string", "What lies before it is shared; unless said, all."},
	{"Stream-Fork-Sub-Offset", "header", "integer", "And so many more bytes, or records of JSON."},
	{"Record-Key", "header", "string", "The key of what is appended."},
	{"Record-Replace", "header", "string", "true: the last record appended so with the same key is no longer kept."},
	{"Record-TTL", "header", "integer", "Kept for so many seconds only."},
	{"Record-Keep", "header", "string", "waiting: kept only if somebody waits at the stream."},
	{"Stream-Closed", "header", "string", "true: nothing more will come."},
	{"Stream-Seq", "header", "string", "Must be greater than that of the append before, byte by byte."},
	{"Producer-Id", "header", "string", "Who writes; with the two others, an append may be repeated."},
	{"Producer-Epoch", "header", "integer", "Goes up when the producer begins anew."},
	{"Producer-Seq", "header", "integer", "0, 1, 2 …: the appends of an epoch."},
	{"after", "query", "string", "`next` of the page before."},
	{"lease", "query", "duration", "How long the worker may be silent."},
	{"Range", "header", "string", "A part of the bytes (RFC 9110 section 14)."},
	{"Content-Type", "header", "string", "Kept with the bytes, and told with them."},
	{"Idempotency-Key", "header", "string", "The same key with the same request gives the same handle."},
	{"Job-Delay", "header", "duration", "Not before so long from now."},
	{"Job-Priority", "header", "integer", "Smaller goes first (1000)."},
	{"Job-Max-Attempts", "header", "integer", "How often it is tried (5)."},
	{"Job-Lease", "header", "duration", "How long a worker may be silent (60s)."},
	{"Job-Retain", "header", "duration", "How long it is kept after its end (24h)."},
	{"Cancel-After", "header", "duration", "Canceled by itself if not over by then."},
	{"Job-Token", "header", "string", "The lease, as the claim told it. Needed."},
	{"Authorization", "header", "string", "Bearer, and the token that the wake or the claim told. Needed."},
	{"Job-Worker", "header", "string", "The worker's name, for people."},
	{"Job-Attempt-Id", "header", "string", "Makes the claim repeatable: the same id gets the same job and token."},
};

static void schema_json(struct buf *out, const char *type)
{
	json_key(out, "schema");
	json_open(out, '{');
	json_key(out, "type");
	if (slice_eq(slice_str(type), SLICE("duration"))) {
		json_str(out, SLICE("string"));
		json_key(out, "pattern");
		json_str(out, SLICE("^[0-9]+(\\.[0-9]{1,3})?(ms|s|m|h|d)?$"));
	} else {
		json_str(out, slice_str(type));
	}
	json_close(out, '}');
}

static void parameter_json(struct buf *out, const char *in, struct slice name, const char *schema, const char *text,
			   bool required)
{
	json_open(out, '{');
	json_key(out, "name");
	json_str(out, name);
	json_key(out, "in");
	json_str(out, slice_str(in));
	json_key(out, "required");
	json_bool(out, required);
	if (text) {
		json_key(out, "description");
		json_str(out, slice_str(text));
	}
	schema_json(out, schema);
	json_close(out, '}');
}

/* The name in "{name}" or "{name*}". */
static struct slice path_parameter(struct slice segment)
{
	struct slice name = slice_from(segment.ptr + 1, segment.len - 2);

	return slice_cut(&name, '*');
}

/* OpenAPI has no word for the rest of a path: its slashes are there as they are. */
static void path_key(struct buf *out, const char *path)
{
	struct slice rest = slice_str(path), part = slice_cut(&rest, '*');
	char key[128] = {0};

	if (part.len + rest.len >= sizeof(key))
		return;
	memcpy(key, part.ptr, part.len);
	if (rest.len)
		memcpy(key + part.len, rest.ptr, rest.len);
	json_key(out, key);
}

static void parameters_json(struct buf *out, const struct route *route)
{
	struct slice names = slice_str(route->parameters), path = slice_str(route->path);

	json_key(out, "parameters");
	json_open(out, '[');
	while (path.len) {
		struct slice segment = slice_cut(&path, '/');

		if (segment.len > 2 && segment.ptr[0] == '{')
			parameter_json(out, "path", path_parameter(segment), "string", NULL, true);
	}
	while (names.len) {
		struct slice name = slice_cut(&names, ' ');

		for (size_t i = 0; i < ARRAY_COUNT(parameters); i++) {
			if (slice_eq(name, slice_str(parameters[i].name)))
				parameter_json(out, parameters[i].in, name, parameters[i].schema, parameters[i].text,
					       slice_eq(name, SLICE("Job-Token")) || slice_eq(name, SLICE("Authorization")));
		}
	}
	json_close(out, ']');
}

static void body_json(struct buf *out, const struct route *route)
{
	if (route->body_kind == ROUTE_NO_BODY)
		return;
	json_key(out, "requestBody");
	json_raw(out, route->body_kind == ROUTE_JSON
			      ? SLICE("{\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\"}}}}")
			      : SLICE("{\"content\":{\"*/*\":{}}}"));
}

static void answers_json(struct buf *out, const struct route *route)
{
	static const struct slice schema = SLICE_INIT("{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}");
	struct slice answers = slice_str(route->answers);

	json_key(out, "responses");
	json_open(out, '{');
	while (answers.len) {
		struct slice status = slice_cut(&answers, ' ');
		uint64_t number = 0;
		char key[4] = {0};

		if (status.len >= sizeof(key) || slice_u64(status, &number))
			continue;
		memcpy(key, status.ptr, status.len);
		json_key(out, key);
		json_open(out, '{');
		json_key(out, "description");
		json_str(out, encode_reason((int)number));
		if (number >= 400) {
			json_key(out, "content");
			json_open(out, '{');
			/* Those that have a code of the Durable Streams protocol's are told as it shows them. */
			json_key(out,
				 route_is_subscription(route) && number < 500 ? "application/json" : "application/problem+json");
			json_raw(out, schema);
			json_close(out, '}');
		}
		json_close(out, '}');
	}
	json_close(out, '}');
}

static void operation_json(struct buf *out, const struct route *route)
{
	static const char *const methods[] = {
		[HTTP_GET] = "get",     [HTTP_HEAD] = "head",     [HTTP_POST] = "post",       [HTTP_PUT] = "put",
		[HTTP_PATCH] = "patch", [HTTP_DELETE] = "delete", [HTTP_OPTIONS] = "options", [HTTP_OTHER] = "other",
	};

	json_key(out, methods[route->method]);
	json_open(out, '{');
	json_key(out, "operationId");
	json_str(out, slice_str(route->id));
	json_key(out, "tags");
	json_open(out, '[');
	json_str(out, slice_str(route->tag));
	json_close(out, ']');
	json_key(out, "summary");
	json_str(out, slice_str(route->summary));
	parameters_json(out, route);
	body_json(out, route);
	answers_json(out, route);
	json_close(out, '}');
}

static bool path_is(const struct route *route, const char *path)
{
	return slice_eq(slice_str(route->path), slice_str(path));
}

static void paths_json(struct buf *out)
{
	json_key(out, "paths");
	json_open(out, '{');
	for (size_t i = 0; i < route_count; i++) {
		bool told = false;

		for (size_t j = 0; j < i; j++)
			told = told || path_is(&routes[j], routes[i].path);
		if (told)
			continue;
		path_key(out, routes[i].path);
		json_open(out, '{');
		for (size_t j = i; j < route_count; j++) {
			if (path_is(&routes[j], routes[i].path))
				operation_json(out, &routes[j]);
		}
		json_close(out, '}');
	}
	json_close(out, '}');
}

void openapi_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	struct api_thread *api = api_of(ex);
	struct buf *out = &api->out;
	struct reply reply;

	(void)params;
	buf_clear(out);
	buf_append_str(
		out,
		"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"bide\",\"summary\":\"A durable long-polling server\",\"version\":");
	json_str(out, slice_str(api->config.version));
	buf_append_str(out, ",\"license\":{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}}");
	paths_json(out);
	buf_append_str(
		out,
		",\"components\":{\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\"],"
		"\"properties\":{\"type\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"title\":{\"type\":\"string\"},"
		"\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"}}}}}}");
	reply_init(&reply, 200);
	reply_json(&reply, out);
	reply.answer.flags = EXCHANGE_CACHEABLE;
	reply_send(ex, &reply, out);
}
