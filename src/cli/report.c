/* How a failure is told: what happened, what it means, what to do. */
#include "base/mem.h"
#include "cli/live.h"
#include "cli/session.h"

#include <string.h>

struct advice {
	const char *problem; /* the last part of the problem's type */
	int exit_code;
	const char *what_to_do; /* NULL: the server's own words say it all */
};

static const struct advice advices[] = {
	{"not-found", CLI_NOT_FOUND,
	 "No such job, queue or stream there: check its name and --server. Jobs are forgotten some time after they end."},
	{"conflict", CLI_CONFLICT,
	 "That name already stands for another request. Take another name, or send the same request again."},
	{"idempotency-mismatch", CLI_CONFLICT, "That --key was used for another request. Take a new key for a new job."},
	{"fenced", CLI_CONFLICT, "The lease has passed on to another worker; what this one did no longer counts."},
	{"already-done", CLI_CONFLICT, "The job already has a result, and it stays as it is."},
	{"stream-closed", CLI_CONFLICT, "What it holds can be read all the same:  bide tail PATH"},
	{"content-type", CLI_CONFLICT, "Without --content-type the stream is asked what it holds:  bide stream info PATH"},
	{"sequence", CLI_CONFLICT, NULL},
	{"producer-gap", CLI_CONFLICT, "A producer numbers its appends one by one, each epoch from 0: see --producer-seq."},
	{"producer-fenced", CLI_CONFLICT, "To take over from whoever writes now, give a higher --epoch and --producer-seq 0."},
	{"canceled", CLI_CANCELED, NULL},
	{"gone", CLI_EXPIRED,
	 "The result was kept for as long as the job's --retain said. Submit the job again if it is still wanted."},
	{"too-large", CLI_FAILED, "The server takes no body of this size; see its limits in:  bide top --json"},
	{"output-full", CLI_FAILED, NULL},
	{"queue-full", CLI_FAILED, "Too many jobs wait in this queue. Try later, add workers, or wait for room with --retry 5m."},
	{"server-full", CLI_UNREACHABLE, "The server is at its limits. Try later, or with --retry 1m."},
	{"draining", CLI_UNREACHABLE, "The server is about to stop. Try again once it is back, or with --retry 1m."},
	{"storage-failed", CLI_UNREACHABLE,
	 "The server's disk failed, so it stops rather than forget. Look at its output, then start it again."},
	{"no-space", CLI_FAILED,
	 "The server's disk is full. Writing resumes by itself once there is room; --retry 5m waits for that."},
	{"job-failed", CLI_JOB_FAILED, NULL},
	{"bad-request", CLI_FAILED, NULL},
	{"range-not-satisfiable", CLI_FAILED, NULL},
};

static const char *status_meaning(long status)
{
	switch (status) {
	case 400:
		return "the server could not make sense of the request";
	case 401:
	case 403:
	case 407:
		return "not allowed";
	case 404:
		return "not found";
	case 408:
	case 504:
		return "the time ran out on the way";
	case 409:
		return "conflict with what is already there";
	case 410:
		return "gone";
	case 413:
		return "too large";
	case 429:
		return "too many requests";
	case 501:
		return "this server cannot do that";
	case 502:
	case 503:
		return "the server is not ready to answer";
	case 507:
		return "the server's disk is full";
	default:
		return status >= 500 ? "the server failed" : "the server refused";
	}
}

static int status_exit_code(long status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return CLI_NOT_ALLOWED;
	case 404:
		return CLI_NOT_FOUND;
	case 408:
		return CLI_TIMED_OUT;
	case 409:
	case 422:
		return CLI_CONFLICT;
	case 410:
		return CLI_EXPIRED;
	case 502:
	case 503:
	case 504:
		return CLI_UNREACHABLE;
	default:
		return CLI_FAILED;
	}
}

static const struct advice *advice_find(const char *type)
{
	const char *name = type ? strrchr(type, '/') : NULL;

	for (size_t i = 0; name && i < ARRAY_COUNT(advices); i++)
		if (!strcmp(advices[i].problem, name + 1))
			return &advices[i];
	return NULL;
}

int session_exit_code(struct http_call *call)
{
	const char *state;
	const struct advice *advice;
	json_t *problem;
	int rc;

	if (call->outcome == HTTP_UNREACHABLE || call->outcome == HTTP_CUT)
		return CLI_UNREACHABLE;
	if (call->outcome == HTTP_LOCAL)
		return CLI_FAILED;
	state = http_answer_header(call, "Job-State");
	if (state && !strcmp(state, "failed"))
		return CLI_JOB_FAILED;
	if (state && !strcmp(state, "canceled"))
		return CLI_CANCELED;
	problem = http_answer_json(call);
	advice = advice_find(json_string_value(json_object_get(problem, "type")));
	rc = advice ? advice->exit_code : status_exit_code(call->status);
	json_decref(problem);
	return rc;
}

static int report_unanswered(const struct session *session, const struct http_call *call, const char *doing)
{
	bool local = strstr(session->server, "127.0.0.1") || strstr(session->server, "localhost");

	if (call->source_error) {
		cli_say("cannot %s: reading the body failed: %s", doing, strerror(call->source_error));
		return CLI_FAILED;
	}
	if (call->outcome == HTTP_LOCAL) {
		cli_say("cannot %s: %s", doing, call->error);
		if (call->code == CURLE_URL_MALFORMAT || call->code == CURLE_UNSUPPORTED_PROTOCOL)
			cli_hint("The server is named by --server or BIDE_SERVER, as http://host:port; it is now: %s",
				 session->server);
		return call->code == CURLE_URL_MALFORMAT ? CLI_USAGE : CLI_FAILED;
	}
	if (call->outcome == HTTP_CUT) {
		cli_say("cannot %s: the connection to %s broke before the answer came: %s", doing, session->server, call->error);
		cli_hint("Whether the server did it is not known. Asking again tells; --retry 60s asks again by itself.");
		return CLI_UNREACHABLE;
	}
	cli_say("cannot %s: no server answers at %s: %s", doing, session->server, call->error);
	if (local)
		cli_hint("Start one:  bide serve --data DIR");
	cli_hint("Another server is named by --server URL or BIDE_SERVER; --retry 60s waits for one to come up.");
	return CLI_UNREACHABLE;
}

/* The server's words: title and detail of a problem, else the beginning of whatever text it sent. */
static void problem_words(struct buf *out, struct http_call *call, const json_t *problem)
{
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *type = http_answer_header(call, "Content-Type");

	if (title || detail) {
		live_text(out, title ? title : detail);
		if (title && detail) {
			buf_append_str(out, ": ");
			live_text(out, detail);
		}
	} else if (call->answer.len && type && (!strncmp(type, "text/", 5) || strstr(type, "json"))) {
		char text[201];
		size_t len = call->answer.len < sizeof(text) - 1 ? call->answer.len : sizeof(text) - 1;

		memcpy(text, call->answer.ptr, len);
		text[len] = '\0';
		live_text(out, text);
	} else {
		buf_append_str(out, status_meaning(call->status));
	}
}

int session_report(const struct session *session, struct http_call *call, const char *doing)
{
	const struct advice *advice;
	struct buf words = {0};
	json_t *problem;
	int rc;

	if (call->outcome != HTTP_ANSWERED)
		return report_unanswered(session, call, doing);
	rc = session_exit_code(call);
	problem = http_answer_json(call);
	advice = advice_find(json_string_value(json_object_get(problem, "type")));
	problem_words(&words, call, problem);
	if (rc == CLI_JOB_FAILED)
		cli_say("the job failed: %s", cli_text(&words));
	else if (rc == CLI_CANCELED)
		cli_say("the job was canceled: %s", cli_text(&words));
	else
		cli_say("cannot %s: %s (status %ld)", doing, cli_text(&words), call->status);
	if (advice && advice->what_to_do)
		cli_hint("%s", advice->what_to_do);
	else if (rc == CLI_NOT_ALLOWED)
		cli_hint("Something between here and %s wants a permission; put it into the URL: http://user:password@host",
			 session->server);
	if (session->json && problem)
		session_print_json(problem);
	json_decref(problem);
	buf_deinit(&words);
	return rc;
}
