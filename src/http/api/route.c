/* The table of routes: what is served, and what the description (openapi.c) tells of it. */
#include "http/api/api_priv.h"

#include "http/codec/uri.h"

#include <errno.h>
#include <stdio.h>

#define SUBMIT_HEADERS                                                                                                           \
	"wait Prefer Content-Type Idempotency-Key Job-Delay Job-Priority Job-Max-Attempts Job-Lease Job-Retain Cancel-After"

#define SUBSCRIPTION "/v1/stream/__ds/subscriptions/{subscription}"

const struct route routes[] = {
	{HTTP_POST, "/v1/queues/{queue}/jobs", ROUTE_STORE, submit_head, submit_body, "submit", "jobs",
	 "Submit a job; with a wait, hold the answer for its result", "202 200 400 413 422 429 503 507", SUBMIT_HEADERS},
	{HTTP_PUT, "/v1/queues/{queue}/jobs/{name}", ROUTE_STORE, submit_named_head, submit_body, "submitNamed", "jobs",
	 "Submit a job under a name of your choosing; may be repeated", "202 200 400 409 413 422 429 503 507", SUBMIT_HEADERS},
	{HTTP_GET, "/v1/jobs", ROUTE_NO_BODY, list_head, NULL, "listJobs", "jobs", "List jobs, the newest first", "200 400 503",
	 "queue state limit after"},
	{HTTP_POST, "/v1/jobs/wait", ROUTE_JSON, json_head, jobs_wait_body, "waitForJobs", "jobs",
	 "Wait until one, or all, of many are over", "200 400 413 503", "wait Prefer"},
	{HTTP_POST, "/v1/wait", ROUTE_JSON, json_head, wait_body, "wait", "waiting",
	 "Wait for any, or all, of many streams and jobs; answered with what is there for each, and a cursor for every stream",
	 "200 400 413 503", "wait Prefer"},
	{HTTP_GET, "/v1/jobs/{id}", ROUTE_NO_BODY, job_head, NULL, "getJob", "jobs",
	 "How a job stands: now, when it is over, when anything has changed, when it has started", "200 400 404 410 503",
	 "wait Prefer revision until"},
	{HTTP_DELETE, "/v1/jobs/{id}", ROUTE_NO_BODY, cancel_head, NULL, "cancelJob", "jobs", "Cancel a job, or forget it",
	 "200 204 400 404 409 410 503", "forget"},
	{HTTP_GET, "/v1/jobs/{id}/result", ROUTE_NO_BODY, result_head, NULL, "getResult", "jobs",
	 "The worker's bytes, now or when they are there", "200 202 206 400 404 410 416 500 503", "wait Prefer Range"},
	{HTTP_GET, "/v1/jobs/{id}/output", ROUTE_NO_BODY, output_get_head, NULL, "readOutput", "jobs",
	 "What the job's workers write while they run, from an offset on, now or when there is more; HEAD: how it stands",
	 "200 204 304 400 404 410 503",
	 "offset tail at live cursor key format wait min_bytes max_bytes limit Prefer If-None-Match"},
	{HTTP_POST, "/v1/claim", ROUTE_JSON, json_head, claim_body, "claim", "workers",
	 "Take jobs, of several queues and many at once", "200 204 400 413 503", "wait Prefer"},
	{HTTP_POST, "/v1/queues/{queue}/claim", ROUTE_NO_BODY, claim_head, NULL, "claimOne", "workers",
	 "Take one job: its body is the answer's own", "200 204 400 503", "wait lease Prefer Job-Worker Job-Attempt-Id"},
	{HTTP_GET, "/v1/jobs/{id}/body", ROUTE_NO_BODY, body_head, NULL, "getBody", "workers", "The submitted bytes",
	 "200 206 400 404 409 416 503", "Job-Token Range"},
	{HTTP_POST, "/v1/jobs/{id}/beat", ROUTE_JSON, beat_head, beat_body, "beat", "workers",
	 "Still at it: extends the lease, tells progress, hears of cancellation", "200 400 404 409 413 503", "Job-Token"},
	{HTTP_POST, "/v1/jobs/{id}/output", ROUTE_STORE, output_append_head, stream_append_body, "appendOutput", "workers",
	 "Append to the job's output, which whoever has the handle may follow; it closes when the job is over",
	 "200 204 400 403 404 409 413 503 507", "Job-Token Content-Type Producer-Id Producer-Epoch Producer-Seq"},
	{HTTP_POST, "/v1/jobs/{id}/done", ROUTE_STORE, done_head, done_body, "done", "workers",
	 "The job is done; the body is its result", "204 400 404 409 413 503 507", "Job-Token Content-Type"},
	{HTTP_POST, "/v1/jobs/{id}/fail", ROUTE_JSON, fail_head, fail_body, "fail", "workers", "The attempt failed",
	 "204 400 404 409 413 503", "Job-Token"},
	{HTTP_POST, "/v1/jobs/{id}/release", ROUTE_JSON, release_head, release_body, "release", "workers",
	 "Give the job back; the attempt does not count", "204 400 404 409 413 503", "Job-Token"},
	{HTTP_GET, "/v1/queues", ROUTE_NO_BODY, queues_head, NULL, "listQueues", "queues", "Queues and their figures, by name",
	 "200 400 503", "limit after"},
	{HTTP_GET, "/v1/queues/{queue}", ROUTE_NO_BODY, queue_head, NULL, "getQueue", "queues", "One queue's figures",
	 "200 400 404 503", ""},
	{HTTP_PATCH, "/v1/queues/{queue}", ROUTE_JSON, queue_set_head, queue_set_body, "setQueue", "queues",
	 "Pause or resume a queue", "200 400 413 503", ""},
	{HTTP_POST, "/v1/queues/{queue}/kick", ROUTE_JSON, kick_head, kick_body, "kick", "queues", "Make failed jobs ready again",
	 "200 400 404 413 503", ""},
	{HTTP_GET, "/v1/topics", ROUTE_NO_BODY, topics_head, NULL, "listTopics", "topics",
	 "Topics of Kafka clients, the oldest first", "200 400 503", "limit after"},
	{HTTP_PUT, "/v1/topics/{topic}", ROUTE_JSON, topic_create_head, topic_create_body, "createTopic", "topics",
	 "Make a topic, or see that it is there", "201 200 400 409 413 503 507", ""},
	{HTTP_GET, "/v1/topics/{topic}", ROUTE_NO_BODY, topic_head, NULL, "getTopic", "topics",
	 "A topic: what is set of it, and its partitions", "200 400 404 503", ""},
	{HTTP_PATCH, "/v1/topics/{topic}", ROUTE_JSON, topic_alter_head, topic_alter_body, "alterTopic", "topics",
	 "Set, or no longer set, what can be set of a topic; give it more partitions", "204 400 404 413 503 507", ""},
	{HTTP_DELETE, "/v1/topics/{topic}", ROUTE_NO_BODY, topic_delete_head, NULL, "deleteTopic", "topics",
	 "Delete a topic and all that is in it", "204 400 404 503 507", ""},
	{HTTP_GET, "/v1/groups", ROUTE_NO_BODY, groups_head, NULL, "listGroups", "groups",
	 "Groups of Kafka consumers, the oldest first", "200 400 503", "limit after"},
	{HTTP_GET, "/v1/groups/{group}", ROUTE_NO_BODY, group_head, NULL, "getGroup", "groups",
	 "A group: its members, and how far it has come in each partition", "200 400 404 503", ""},
	{HTTP_PATCH, "/v1/groups/{group}", ROUTE_JSON, group_reset_head, group_reset_body, "resetGroup", "groups",
	 "Set how far a group without members has come in a topic", "204 400 404 409 413 503 507", ""},
	{HTTP_DELETE, "/v1/groups/{group}", ROUTE_NO_BODY, group_delete_head, NULL, "deleteGroup", "groups",
	 "Forget a group without members, and its offsets", "204 400 404 409 503", ""},
	{HTTP_GET, "/v1/streams", ROUTE_NO_BODY, streams_head, NULL, "listStreams", "streams", "List streams, the oldest first",
	 "200 400 503", "prefix limit after"},
	{HTTP_PUT, SUBSCRIPTION, ROUTE_JSON, subscription_create_head, subscription_create_body, "createSubscription",
	 "subscriptions", "Make a subscription, or see that it is there", "201 200 400 409 413 503 507", ""},
	{HTTP_GET, SUBSCRIPTION, ROUTE_NO_BODY, subscription_get_head, NULL, "getSubscription", "subscriptions",
	 "A subscription, with what is acked of each stream", "200 400 404 503", ""},
	{HTTP_DELETE, SUBSCRIPTION, ROUTE_NO_BODY, subscription_delete_head, NULL, "deleteSubscription", "subscriptions",
	 "Delete a subscription; its streams stay", "204 400 503 507", ""},
	{HTTP_POST, SUBSCRIPTION "/streams", ROUTE_JSON, subscription_link_head, subscription_link_body, "linkStreams",
	 "subscriptions", "Add streams to a subscription", "204 400 404 413 503 507", ""},
	{HTTP_DELETE, SUBSCRIPTION "/streams/{path*}", ROUTE_NO_BODY, subscription_unlink_head, NULL, "unlinkStream",
	 "subscriptions", "Take a stream out of a subscription, unless its pattern matches", "204 400 404 503 507", ""},
	{HTTP_POST, SUBSCRIPTION "/callback", ROUTE_JSON, subscription_callback_head, subscription_ack_body, "callback",
	 "subscriptions", "A webhook's receiver acks, asks for more time, or is done", "200 400 401 404 409 413 503 507",
	 "Authorization"},
	{HTTP_POST, SUBSCRIPTION "/claim", ROUTE_JSON, subscription_claim_head, subscription_claim_body, "claimSubscription",
	 "subscriptions", "Take what is pending, on a lease", "200 400 404 409 413 503 507", ""},
	{HTTP_POST, SUBSCRIPTION "/ack", ROUTE_JSON, subscription_ack_head, subscription_ack_body, "ack", "subscriptions",
	 "Ack what is done; extend the lease, or end it", "200 400 401 404 409 413 503 507", "Authorization"},
	{HTTP_POST, SUBSCRIPTION "/release", ROUTE_JSON, subscription_release_head, subscription_ack_body, "releaseSubscription",
	 "subscriptions", "Give a claim back", "204 400 401 404 409 413 503 507", "Authorization"},
	{HTTP_GET, "/v1/stream/__ds/jwks.json", ROUTE_NO_BODY, jwks_head, NULL, "webhookKeys", "subscriptions",
	 "The public key that webhooks are signed with, as a JSON Web Key Set", "200 503", ""},
	{HTTP_PUT, "/v1/stream/{path*}", ROUTE_STORE, stream_create_head, stream_create_body, "createStream", "streams",
	 "Make a stream, or see that it is there; the body is its first content", "201 200 400 409 413 501 503 507",
	 "Content-Type Stream-TTL Stream-Expires-At Stream-Max-Age Stream-Max-Bytes Stream-Closed Stream-Forked-From "
	 "Stream-Fork-Offset Stream-Fork-Sub-Offset"},
	{HTTP_POST, "/v1/stream/{path*}", ROUTE_STORE, stream_append_head, stream_append_body, "appendToStream", "streams",
	 "Append to a stream, close it, or both at once", "204 200 400 403 404 409 413 501 503 507",
	 "Content-Type Stream-Closed Stream-Seq Producer-Id Producer-Epoch Producer-Seq Record-Key Record-Replace Record-TTL "
	 "Record-Keep"},
	{HTTP_GET, "/v1/stream/{path*}", ROUTE_NO_BODY, stream_get_head, NULL, "readStream", "streams",
	 "Read a stream from an offset on, now or when there is more; HEAD: how it stands", "200 204 304 400 404 410 501 503",
	 "offset tail at live cursor key format wait min_bytes max_bytes limit Prefer If-None-Match"},
	{HTTP_DELETE, "/v1/stream/{path*}", ROUTE_NO_BODY, stream_delete_head, NULL, "deleteStream", "streams",
	 "Delete a stream and all that is in it", "204 400 404 501 503 507", ""},
	{HTTP_GET, "/v1/info", ROUTE_NO_BODY, info_head, NULL, "info", "operations", "Version, limits, journal, waits", "200",
	 ""},
	{HTTP_GET, "/v1/openapi.json", ROUTE_NO_BODY, openapi_head, NULL, "openapi", "operations", "This description", "200", ""},
	{HTTP_GET, "/healthz", ROUTE_NO_BODY, health_head, NULL, "healthz", "operations", "Alive", "200", ""},
	{HTTP_GET, "/readyz", ROUTE_NO_BODY, ready_head, NULL, "readyz", "operations", "Ready for work", "200 503", ""},
	{HTTP_GET, "/metrics", ROUTE_NO_BODY, metrics_head, NULL, "metrics", "operations", "Figures as Prometheus text", "200",
	 ""},
	{HTTP_GET, "/problems/{name}", ROUTE_NO_BODY, problem_head, NULL, "problem", "operations", "What a problem's type means",
	 "200 404", ""},
};
const size_t route_count = ARRAY_COUNT(routes);

/* "{name*}". */
static bool takes_rest(struct slice want)
{
	return want.len > 2 && want.ptr[0] == '{' && want.ptr[want.len - 2] == '*';
}

static bool takes_rest_last(const struct route *route)
{
	struct slice path = slice_str(route->path), last = path;

	while (path.len)
		last = slice_cut(&path, '/');
	return takes_rest(last);
}

bool route_is_stream(const struct route *route)
{
	return route && slice_eq(slice_str(route->tag), SLICE("streams"));
}

bool route_is_subscription(const struct route *route)
{
	return route && slice_eq(slice_str(route->tag), SLICE("subscriptions"));
}

/* What is below the reserved segment is no stream, whatever the method. */
static bool is_reserved(const struct route *route, struct slice rest)
{
	return route_is_stream(route) && slice_eq(slice_cut(&rest, '/'), SLICE("__ds"));
}

/* Takes the raw path apart along the pattern; `params` are not decoded yet. */
static bool route_matches(const struct route *route, struct slice path, struct slice params[PARAMS_MAX])
{
	struct slice pattern = slice_str(route->path);
	size_t count = 0;

	if (path.len > 1 && path.ptr[path.len - 1] == '/' && !takes_rest_last(route))
		return false;
	while (pattern.len && path.len) {
		struct slice want = slice_cut(&pattern, '/'), have;

		if (takes_rest(want)) {
			params[count] = path;
			return !is_reserved(route, path);
		}
		have = slice_cut(&path, '/');
		if (want.len && want.ptr[0] == '{')
			params[count++] = have;
		else if (!slice_eq(want, have))
			return false;
	}
	return pattern.len == 0 && path.len == 0;
}

static const char *method_text(enum http_method method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET, HEAD", [HTTP_HEAD] = "",         [HTTP_POST] = "POST", [HTTP_PUT] = "PUT",
		[HTTP_PATCH] = "PATCH",   [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "",  [HTTP_OTHER] = "",
	};

	return names[method];
}

/* The methods of a path as a value of Allow; empty: there is no such path. */
static struct slice allowed(struct slice path, bool any, char *out, size_t size)
{
	bool seen[HTTP_OTHER + 1] = {0};
	struct slice params[PARAMS_MAX];
	size_t len = 0;

	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &routes[i];

		if (seen[route->method] || (!any && !route_matches(route, path, params)))
			continue;
		seen[route->method] = true;
		len += (size_t)snprintf(out + len, size - len, "%s, ", method_text(route->method));
	}
	if (len)
		len += (size_t)snprintf(out + len, size - len, "OPTIONS");
	return slice_from(out, len);
}

static void route_missed(struct exchange *ex)
{
	const struct request *request = ex->request;
	bool all = slice_eq(request->path, SLICE("*"));
	struct buf *out = &api_of(ex)->out;
	struct reply reply;
	char text[64];
	struct slice allow = allowed(request->path, all, text, sizeof(text));

	if (!allow.len) {
		call_problem(ex, PROBLEM_NOT_FOUND, "Nothing is served at that path; /v1/openapi.json lists what is.");
		return;
	}
	reply_init(&reply, 0);
	reply_header(&reply, SLICE("Allow"), allow);
	if (request->method == HTTP_OPTIONS)
		reply.answer.status = 204;
	else
		reply_problem(&reply, out, PROBLEM_METHOD_NOT_ALLOWED, "That path has other methods; see Allow.");
	reply_send(ex, &reply, request->method == HTTP_OPTIONS ? NULL : out);
}

static int params_decode(struct exchange *ex, struct slice params[PARAMS_MAX])
{
	for (size_t i = 0; i < PARAMS_MAX; i++) {
		int r = uri_decode(params[i], &ex->arena, &params[i]);

		if (r)
			return r;
	}
	return 0;
}

void route_head(struct exchange *ex)
{
	const struct request *request = ex->request;
	enum http_method method = request->method == HTTP_HEAD ? HTTP_GET : request->method;

	for (size_t i = 0; i < route_count; i++) {
		struct slice params[PARAMS_MAX] = {0};
		int r;

		if (routes[i].method != method || !route_matches(&routes[i], request->path, params))
			continue;
		r = takes_rest_last(&routes[i]) ? 0 : params_decode(ex, params);
		call_of(ex)->route = &routes[i];
		if (r == -ENOMEM)
			call_no_memory(ex);
		else if (r)
			call_problem(ex, PROBLEM_BAD_REQUEST, "The path holds a broken percent-encoding.");
		else
			routes[i].head(ex, params);
		return;
	}
	route_missed(ex);
}

void json_head(struct exchange *ex, const struct slice params[PARAMS_MAX])
{
	(void)params;
	exchange_take_body(ex, BODY_TO_MEMORY, JSON_BODY_BYTES);
}
