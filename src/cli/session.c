#include "cli/session.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/live.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char default_server[] = "http://127.0.0.1:7080";

static char *server_url(const struct session *session)
{
	const char *text = cli_args_value(&session->args, "server");
	struct buf url = {0};
	char *copy;

	if (!text)
		text = getenv("BIDE_SERVER");
	if (!text || !*text)
		text = default_server;
	buf_printf(&url, "%s%s", strstr(text, "://") ? "" : "http://", text);
	while (url.len && url.ptr[url.len - 1] == '/')
		url.len--;
	copy = cli_dup(cli_text(&url));
	buf_deinit(&url);
	return copy;
}

int session_open(struct session *session, const struct cli_command *command, int argc, char **argv, uint64_t default_retry_ms)
{
	int rc;

	*session = (struct session){.command = command, .retry = {.budget_ms = default_retry_ms}};
	rc = cli_args_parse(command, argc, argv, &session->args);
	if (rc)
		return rc;
	rc = session_duration(session, "retry", &session->retry.budget_ms);
	if (rc) {
		cli_args_deinit(&session->args);
		return rc;
	}
	session->json = cli_args_has(&session->args, "json");
	session->quiet = cli_args_has(&session->args, "quiet");
	session->live = !session->quiet && live_possible();
	session->server = server_url(session);
	http_client_init(&session->client);
	return 0;
}

int session_close(struct session *session, int rc)
{
	live_clear();
	http_client_deinit(&session->client);
	session->server = mem_free(session->server);
	cli_args_deinit(&session->args);
	return rc;
}

int session_duration(const struct session *session, const char *name, uint64_t *ret_ms)
{
	const char *value = cli_args_value(&session->args, name);

	if (!value)
		return 0;
	if (!strcmp(value, "forever")) {
		*ret_ms = SESSION_FOREVER_MS;
		return 0;
	}
	if (text_duration_ms(slice_str(value), ret_ms))
		return cli_usage_error(session->command, "--%s %s is no duration (like 30s, 1500ms, 5m, 2h, 7d)", name, value);
	return 0;
}

int session_number(const struct session *session, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *value = cli_args_value(&session->args, name);
	uint64_t number;

	if (!value)
		return 0;
	if (slice_u64(slice_str(value), &number) || number < min || number > max)
		return cli_usage_error(session->command, "--%s %s is not a number from %llu to %llu", name, value,
				       (unsigned long long)min, (unsigned long long)max);
	*ret = number;
	return 0;
}

enum { PAGE_MAX = 1000 };

/* --- trying again --------------------------------------------------------------------------------------------------------- */

int64_t retry_next_ms(struct retry *retry, uint64_t hint_ms)
{
	enum { FIRST_MS = 100, LAST_MS = 5000 };
	uint64_t now_ns = cli_now_ns();
	uint64_t delay_ms = retry->count < 6 ? (uint64_t)FIRST_MS << retry->count : LAST_MS;
	uint64_t passed_ms;

	if (!retry->first_ns)
		retry->first_ns = now_ns;
	passed_ms = (now_ns - retry->first_ns) / 1000000;
	if (passed_ms >= retry->budget_ms)
		return -1;
	if (delay_ms > LAST_MS)
		delay_ms = LAST_MS;
	/* Half of it is drawn, so that clients which lost a server together do not come back together. */
	delay_ms = delay_ms / 2 + cli_random() % (delay_ms / 2 + 1);
	if (delay_ms < hint_ms)
		delay_ms = hint_ms + cli_random() % (hint_ms / 4 + 1);
	/* The last try comes when patience ends, not before. */
	if (delay_ms > retry->budget_ms - passed_ms)
		delay_ms = retry->budget_ms - passed_ms;
	retry->count++;
	return (int64_t)delay_ms;
}

void retry_reset(struct retry *retry)
{
	retry->first_ns = 0;
	retry->count = 0;
}

void session_sleep(struct session *session, uint64_t ms)
{
	uint64_t until_ns = cli_now_ns() + ms * 1000000;

	for (uint64_t now_ns = cli_now_ns(); now_ns < until_ns; now_ns = cli_now_ns())
		curl_multi_poll(session->client.multi, NULL, 0, (int)((until_ns - now_ns + 999999) / 1000000), NULL);
}

void session_notice_away(struct session *session, const struct http_call *call, const struct retry *retry)
{
	char for_how_long[48] = "until it is back";

	if (session->quiet || retry->count != 1)
		return;
	if (retry->budget_ms != SESSION_FOREVER_MS)
		snprintf(for_how_long, sizeof(for_how_long), "for %llu s", (unsigned long long)(retry->budget_ms + 999) / 1000);
	if (call->outcome == HTTP_ANSWERED)
		cli_say("the server asks to come again later (status %ld); trying %s", call->status, for_how_long);
	else
		cli_say("the server is away (%s); trying again %s", call->error, for_how_long);
}

enum http_outcome session_run(struct session *session, struct http_call *call, bool repeatable)
{
	for (;;) {
		int64_t delay_ms;

		http_run(&session->client, call);
		if (!http_worth_retrying(call)) {
			retry_reset(&session->retry);
			return call->outcome;
		}
		if (call->outcome == HTTP_CUT && (!repeatable || (call->sink && call->status == 200)))
			return call->outcome;
		if (call->source_stream && call->source_at)
			return call->outcome;
		delay_ms = retry_next_ms(&session->retry, http_answer_retry_after_ms(call));
		if (delay_ms < 0)
			return call->outcome;
		session_notice_away(session, call, &session->retry);
		session_sleep(session, (uint64_t)delay_ms);
	}
}

/* One page; *after is where the next one begins, NULL or null at the end. */
static int list_page(struct session *session, const struct session_list *list, json_t **after, size_t *count)
{
	struct http_call call;
	const json_t *page;
	json_t *answer;
	int rc = 0;

	http_call_init(&call, "GET", session->server);
	http_call_path(&call, list->path);
	http_call_query_u64(&call, "limit", PAGE_MAX);
	http_call_query(&call, "after", json_string_value(*after));
	session_run(session, &call, true);
	answer = call.outcome == HTTP_ANSWERED && call.status == 200 ? http_answer_json(&call) : NULL;
	page = json_object_get(answer, list->name);
	if (json_is_array(page)) {
		if (json_array_size(page))
			list->print(session, page, *count == 0);
		*count += json_array_size(page);
		json_decref(*after);
		*after = json_incref(json_object_get(answer, "next"));
	} else {
		rc = session_report(session, &call, list->doing);
	}
	json_decref(answer);
	http_call_deinit(&call);
	return rc;
}

int session_list_all(struct session *session, const struct session_list *list)
{
	json_t *after = NULL;
	size_t count = 0;
	int rc;

	do {
		rc = list_page(session, list, &after, &count);
	} while (!rc && json_is_string(after));
	if (!rc && !count && !session->quiet && !session->json)
		cli_say("no %s", list->name);
	json_decref(after);
	return rc;
}

void session_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

/* --- handles --------------------------------------------------------------------------------------------------------------- */

static const char jobs_path[] = "/v1/jobs/";

int handle_init(struct handle *handle, const struct session *session, const char *text)
{
	const char *path = strstr(text, jobs_path);
	const char *id = path ? path + strlen(jobs_path) : text;
	size_t len = strcspn(id, "/?#");

	if (!len || (!path && id[len])) {
		return cli_usage_error(session->command, "\"%s\" is no handle: give a job's id, or its URL …%s<id>", text,
				       jobs_path);
	}
	handle->id = mem_dup(id, len);
	handle->base = path && path > text ? mem_dup(text, (size_t)(path - text)) : cli_dup(session->server);
	if (!handle->id || !handle->base)
		cli_out_of_memory();
	return 0;
}

void handle_deinit(struct handle *handle)
{
	handle->id = mem_free(handle->id);
	handle->base = mem_free(handle->base);
}

void handle_call(const struct handle *handle, struct http_call *call, const char *method, const char *tail)
{
	http_call_init(call, method, handle->base);
	http_call_path(call, "/v1/jobs");
	http_call_segment(call, handle->id);
	http_call_path(call, tail);
}
