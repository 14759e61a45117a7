#include "http/api/problem.h"

#include "base/json.h"

const struct problem_row problems[PROBLEM_COUNT] = {
	[PROBLEM_BAD_REQUEST] =
		{"bad-request", 400, 0, "The request makes no sense",
		 "Something in the request is missing, malformed or out of range; `detail` says what. Mend it; the same "
		 "request will be refused again.",
		 "INVALID_REQUEST"},
	[PROBLEM_WEBHOOK_URL] = {"webhook-url", 400, 0, "Webhooks are not sent there",
				 "Webhooks go to https URLs of the public Internet, and, unless the setting webhook-allow says "
				 "otherwise, to http://localhost and http://127.0.0.x.",
				 "WEBHOOK_URL_REJECTED"},
	[PROBLEM_TOKEN] = {"token", 401, 0, "The token is not good for that",
			   "Send the callback_token of the wake, or the token of the claim, as Authorization: Bearer.",
			   "TOKEN_INVALID"},
	[PROBLEM_NOT_FOUND] =
		{"not-found", 404, 0, "There is no such thing",
		 "No job, queue, stream or path of that name. A handle is 32 lower-case letters and digits, and only the server "
		 "that made it knows it. A job that is past its retention is forgotten after a while.",
		 "SUBSCRIPTION_NOT_FOUND"},
	[PROBLEM_METHOD_NOT_ALLOWED] =
		{"method-not-allowed", 405, 0, "That method does nothing here",
		 "The path exists, but not for this method. `Allow` lists those that it has. Claiming is a POST, "
		 "never a GET, since proxies repeat GETs.",
		 NULL},
	[PROBLEM_TIMEOUT] =
		{"timeout", 408, 0, "The request came too slowly",
		 "The head or the body of the request did not arrive within header-timeout or body-timeout. Nothing was "
		 "done; send it again.",
		 NULL},
	[PROBLEM_CONFLICT] =
		{"conflict", 409, 0, "It is too late for that, or the name is taken",
		 "The name belongs to a job with a different body or different settings; or a job that is done or failed "
		 "was to be canceled; or the subscription of that id is configured otherwise.",
		 "SUBSCRIPTION_ALREADY_EXISTS"},
	[PROBLEM_STREAM_CLOSED] =
		{"stream-closed", 409, 0, "The stream was closed",
		 "Its writer has said that nothing more will come. What is in it can be read; Stream-Next-Offset "
		 "tells where it ends.",
		 NULL},
	[PROBLEM_CONTENT_TYPE] = {"content-type", 409, 0, "The stream has another content type",
				  "All that is appended to a stream has the content type with which it was made; HEAD tells it.",
				  NULL},
	[PROBLEM_SEQUENCE] =
		{"sequence", 409, 0, "The sequence does not go up",
		 "Stream-Seq must be greater, byte by byte, than that of the append before: another writer was here first, or "
		 "this append was made already.",
		 NULL},
	[PROBLEM_PRODUCER_FENCED] =
		{"producer-fenced", 403, 0, "The producer's epoch is over",
		 "A producer of the same Producer-Id has begun a later epoch, which Producer-Epoch tells. Stop writing, or take "
		 "over with an epoch beyond it and Producer-Seq 0.",
		 NULL},
	[PROBLEM_PRODUCER_GAP] =
		{"producer-gap", 409, 0, "An append is missing",
		 "The producer's appends are numbered one by one, and Producer-Expected-Seq comes next. Send what is missing "
		 "first.",
		 NULL},
	[PROBLEM_OFFSET] = {"offset", 409, 0, "That is no offset to ack",
			    "Acks go forward, of streams that the subscription has, and no further than their end. None of the "
			    "request's acks was taken.",
			    "INVALID_OFFSET"},
	[PROBLEM_CLAIMED] = {"claimed", 409, 0, "Another worker has claimed it",
			     "current_holder works on it until it is done, gives it back, or its lease runs out.",
			     "ALREADY_CLAIMED"},
	[PROBLEM_NO_WORK] = {"no-work", 409, 0, "There is nothing to do",
			     "Read the wake stream, and claim when it tells of a wake.", "NO_PENDING_WORK"},
	[PROBLEM_FENCED] =
		{"fenced", 409, 0, "The lease is somebody else's now",
		 "The Job-Token is not that of the present lease: the lease ran out, or was given back, or never was yours. "
		 "Nothing was changed. Drop the work: whoever holds the job now will do it. Of a subscription: that wake is "
		 "over, and what was left comes with another one.",
		 "FENCED"},
	[PROBLEM_CANCELED] = {"canceled", 410, 0, "The job was canceled", "Nobody works on it, and there will be no result.",
			      NULL},
	[PROBLEM_CANCELED_WORK] = {"canceled", 409, 0, "The job was canceled", "Nobody wants the result any more. Drop the work.",
				   NULL},
	[PROBLEM_ALREADY_DONE] = {"already-done", 409, 0, "The job has ended otherwise",
				  "This lease has ended the job before, with a different result. The first one stands.", NULL},
	[PROBLEM_GONE] =
		{"gone", 410, 0, "It is past its retention",
		 "The job ended longer ago than it was to be kept (Job-Retain), and its bytes are gone. After a while the "
		 "handle is unknown. Of a stream: the offset is of one that was at this path before, or lies before what is "
		 "kept; "
		 "begin at Stream-Earliest-Offset.",
		 NULL},
	[PROBLEM_TOO_LARGE] =
		{"too-large", 413, 0, "The body is too long",
		 "Bodies and results may be as long as the setting max-body; JSON that the server itself reads may have "
		 "256 KiB.",
		 NULL},
	[PROBLEM_OUTPUT_FULL] =
		{"output-full", 413, 0, "The job has as much output as it may",
		 "What the workers of one job write while they run may be as long as the setting max-output-bytes. What is there "
		 "stays, and the job goes on: its beats and its result are not touched. Write no more.",
		 NULL},
	[PROBLEM_URI_TOO_LONG] = {"uri-too-long", 414, 0, "The target is too long", "See the setting max-target-bytes.", NULL},
	[PROBLEM_RANGE] = {"range-not-satisfiable", 416, 0, "The range lies behind the end",
			   "Content-Range tells how many bytes there are.", NULL},
	[PROBLEM_EXPECTATION] = {"expectation-failed", 417, 0, "That expectation cannot be met",
				 "Only `Expect: 100-continue` is understood.", NULL},
	[PROBLEM_MISMATCH] =
		{"idempotency-mismatch", 422, 0, "The key was used for a different request",
		 "An Idempotency-Key stands for one request: the same body, content type and settings. Take a new key for a "
		 "new request.",
		 NULL},
	[PROBLEM_QUEUE_FULL] = {"queue-full", 429, 1, "The queue is full",
				"It holds as many jobs as the setting max-queue-jobs allows, finished ones too. Try again after "
				"Retry-After; a shorter Job-Retain, or forgetting what was fetched, makes room.",
				NULL},
	[PROBLEM_HEADERS_TOO_LARGE] = {"headers-too-large", 431, 0, "The head is too long",
				       "See the settings max-header-count and max-header-bytes.", NULL},
	[PROBLEM_JOB_FAILED] =
		{"job-failed", 500, 0, "The job failed",
		 "Its attempts are used up, or its worker said that trying again is no use. `detail` is what the worker "
		 "said last. It can be made ready again with POST /v1/queues/{queue}/kick.",
		 NULL},
	[PROBLEM_NOT_IMPLEMENTED] = {"not-implemented", 501, 0, "That is not implemented",
				     "The request uses a part of HTTP that this server does not have.", NULL},
	[PROBLEM_SERVER_FULL] =
		{"server-full", 503, 1, "The server is full",
		 "It is at one of its limits (jobs, queues, claims, connections) or short of memory. Nothing was changed. "
		 "Try again after Retry-After.",
		 NULL},
	[PROBLEM_DRAINING] =
		{"draining", 503, 1, "The server is leaving",
		 "It has been told to stop, and hands out no more work. Try again after Retry-After: it, or the one that "
		 "takes its place, knows all that was acknowledged.",
		 NULL},
	[PROBLEM_STORAGE] =
		{"storage-failed", 503, 1, "The disk failed",
		 "A write, a sync or a read of the journal failed. Rather than promise what it cannot keep the server stops; "
		 "what was acknowledged is safe. The operator should look at the disk.",
		 NULL},
	[PROBLEM_VERSION] = {"version-not-supported", 505, 0, "That version of HTTP is not spoken here",
			     "HTTP/1.1 and HTTP/1.0 are.", NULL},
	[PROBLEM_NO_SPACE] =
		{"no-space", 507, 5, "The disk is full",
		 "New work is refused until there is room. Waiting, reading, ending and deleting jobs go on; deleting makes "
		 "room. Try again after Retry-After.",
		 NULL},
};

/* The rest is a lack of room. */
static const struct {
	enum outcome outcome;
	enum problem problem;
} of_outcome[] = {
	{OUTCOME_NOT_FOUND, PROBLEM_NOT_FOUND},     {OUTCOME_GONE, PROBLEM_GONE},
	{OUTCOME_FENCED, PROBLEM_FENCED},           {OUTCOME_TOKEN, PROBLEM_FENCED},
	{OUTCOME_CONFLICT, PROBLEM_CONFLICT},       {OUTCOME_BUSY, PROBLEM_CONFLICT},
	{OUTCOME_TOO_LARGE, PROBLEM_TOO_LARGE},     {OUTCOME_RECORD, PROBLEM_BAD_REQUEST},
	{OUTCOME_TOPIC, PROBLEM_CONFLICT},          {OUTCOME_MISMATCH, PROBLEM_MISMATCH},
	{OUTCOME_CANCELED, PROBLEM_CANCELED_WORK},  {OUTCOME_ALREADY, PROBLEM_ALREADY_DONE},
	{OUTCOME_OUTPUT_FULL, PROBLEM_OUTPUT_FULL}, {OUTCOME_QUEUE_FULL, PROBLEM_QUEUE_FULL},
	{OUTCOME_NO_SPACE, PROBLEM_NO_SPACE},       {OUTCOME_STORAGE, PROBLEM_STORAGE},
	{OUTCOME_DRAINING, PROBLEM_DRAINING},       {OUTCOME_CLOSED, PROBLEM_STREAM_CLOSED},
	{OUTCOME_TYPE, PROBLEM_CONTENT_TYPE},       {OUTCOME_SEQ, PROBLEM_SEQUENCE},
	{OUTCOME_STALE, PROBLEM_PRODUCER_FENCED},   {OUTCOME_GAP, PROBLEM_PRODUCER_GAP},
	{OUTCOME_NO_SOURCE, PROBLEM_NOT_FOUND},     {OUTCOME_RANGE, PROBLEM_BAD_REQUEST},
	{OUTCOME_EPOCH_START, PROBLEM_BAD_REQUEST}, {OUTCOME_OTHER, PROBLEM_GONE},
};

enum problem problem_of_outcome(enum outcome outcome)
{
	for (size_t i = 0; i < sizeof(of_outcome) / sizeof(of_outcome[0]); i++) {
		if (of_outcome[i].outcome == outcome)
			return of_outcome[i].problem;
	}
	return PROBLEM_SERVER_FULL;
}

const struct problem_row *problem_find(struct slice name)
{
	for (size_t i = 0; i < PROBLEM_COUNT; i++) {
		if (slice_eq(name, slice_str(problems[i].name)))
			return &problems[i];
	}
	return NULL;
}

void problem_members(struct buf *out, const struct problem_row *row, int status, struct slice detail)
{
	json_key(out, "type");
	buf_append_str(out, "\"/problems/");
	buf_append_str(out, row->name);
	buf_append_char(out, '"');
	json_key(out, "title");
	json_str(out, slice_str(row->title));
	json_key(out, "status");
	json_u64(out, (uint64_t)status);
	if (detail.len) {
		json_key(out, "detail");
		json_str(out, detail);
	}
}

void problem_json(struct buf *out, const struct problem_row *row, int status, struct slice detail)
{
	json_open(out, '{');
	problem_members(out, row, status, detail);
	json_close(out, '}');
}
