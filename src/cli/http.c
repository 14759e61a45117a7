#include "cli/http.h"
#include "base/mem.h"
#include "cli/cli_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void http_client_init(struct http_client *client)
{
	static bool started;

	/* A peer that goes away while we write is an error code, not a signal. */
	signal(SIGPIPE, SIG_IGN);
	if (!started && curl_global_init(CURL_GLOBAL_DEFAULT))
		cli_out_of_memory();
	started = true;
	*client = (struct http_client){.multi = curl_multi_init()};
	if (!client->multi)
		cli_out_of_memory();
}

void http_client_deinit(struct http_client *client)
{
	curl_multi_cleanup(client->multi);
	client->multi = NULL;
}

/* --- bytes in both directions ------------------------------------------------------------------------------------------ */

static size_t call_take(char *ptr, size_t size, size_t count, void *context)
{
	struct http_call *call = context;
	size_t len = size * count;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->sink && (status == 200 || status == 206))
		return call->sink(call, ptr, len) ? 0 : len;
	if (call->answer.len + len > HTTP_ANSWER_LIMIT)
		return 0;
	buf_append(&call->answer, ptr, len);
	return call->answer.failed ? 0 : len;
}

static size_t call_give(char *ptr, size_t size, size_t count, void *context)
{
	struct http_call *call = context;
	size_t len = size * count;
	ssize_t n;

	if (!call->source_stream && (off_t)len > call->source_size - call->source_at)
		len = (size_t)(call->source_size - call->source_at);
	if (!len)
		return 0;
	do {
		if (call->source_stream)
			n = read(call->source_fd, ptr, len);
		else
			n = pread(call->source_fd, ptr, len, call->source_start + call->source_at);
	} while (n < 0 && errno == EINTR);
	if (n < 0 || (n == 0 && !call->source_stream)) {
		call->source_error = n < 0 ? errno : ENODATA; /* it has become shorter */
		return CURL_READFUNC_ABORT;
	}
	call->source_at += n;
	return (size_t)n;
}

static int call_seek(void *context, curl_off_t offset, int origin)
{
	struct http_call *call = context;

	if (origin != SEEK_SET || (call->source_stream && call->source_at != (off_t)offset))
		return CURL_SEEKFUNC_CANTSEEK;
	call->source_at = (off_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int call_moved(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct http_call *call = context;

	if (call->moved && up)
		call->moved(call, (uint64_t)up, (uint64_t)up_total, true);
	if (call->moved && down)
		call->moved(call, (uint64_t)down, (uint64_t)down_total, false);
	return 0;
}

/* --- the request --------------------------------------------------------------------------------------------------------- */

/* A proxy from the environment is for the world outside, never for this machine. */
static bool url_is_local(const char *url)
{
	static const char *const locals[] = {"127.", "localhost:", "localhost/", "[::1]"};
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	for (size_t i = 0; i < ARRAY_COUNT(locals); i++)
		if (!strncasecmp(host, locals[i], strlen(locals[i])))
			return true;
	return false;
}

void http_call_init(struct http_call *call, const char *method, const char *base)
{
	*call = (struct http_call){.easy = curl_easy_init(), .source_fd = -1, .patience_ms = 60000};
	if (!call->easy)
		cli_out_of_memory();
	buf_append_str(&call->url, base);
	curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "bide/" BIDE_VERSION);
	curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(call->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, call_take);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_XFERINFOFUNCTION, call_moved);
	curl_easy_setopt(call->easy, CURLOPT_XFERINFODATA, call);
	curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (url_is_local(base))
		curl_easy_setopt(call->easy, CURLOPT_PROXY, "");
}

void http_call_path(struct http_call *call, const char *text)
{
	buf_append_str(&call->url, text);
}

static void url_escaped(struct http_call *call, const char *text)
{
	char *escaped = curl_easy_escape(call->easy, text, 0);

	if (!escaped)
		cli_out_of_memory();
	buf_append_str(&call->url, escaped);
	curl_free(escaped);
}

void http_call_segment(struct http_call *call, const char *text)
{
	buf_append_char(&call->url, '/');
	url_escaped(call, text);
}

void http_call_query(struct http_call *call, const char *name, const char *value)
{
	if (!value)
		return;
	buf_append_char(&call->url, memchr(call->url.ptr, '?', call->url.len) ? '&' : '?');
	buf_append_str(&call->url, name);
	buf_append_char(&call->url, '=');
	url_escaped(call, value);
}

void http_call_query_u64(struct http_call *call, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	http_call_query(call, name, text);
}

void http_call_query_ms(struct http_call *call, const char *name, uint64_t value_ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%llums", (unsigned long long)value_ms);
	http_call_query(call, name, text);
}

static void call_header_add(struct http_call *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);

	if (!longer)
		cli_out_of_memory();
	call->headers = longer;
}

void http_call_header(struct http_call *call, const char *fmt, ...)
{
	char *line;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&line, fmt, args);
	va_end(args);
	if (len < 0)
		cli_out_of_memory();
	/* A line end from an argument must not begin another header. */
	for (char *at = line; *at; at++)
		if (*at == '\r' || *at == '\n')
			*at = ' ';
	call_header_add(call, line);
	free(line);
}

void http_call_json(struct http_call *call, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (!text)
		cli_out_of_memory();
	json_decref(body);
	buf_clear(&call->text);
	buf_append_str(&call->text, text);
	free(text);
	call->has_text = true;
	call_header_add(call, "Content-Type: application/json");
}

void http_call_source(struct http_call *call, int fd, off_t start, off_t size)
{
	call->source_fd = fd;
	call->source_start = start;
	call->source_size = size;
	call->source_stream = size < 0;
	call->source_at = 0;
}

void http_call_deinit(struct http_call *call)
{
	http_stop(call);
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	if (call->easy)
		curl_easy_cleanup(call->easy);
	call->easy = NULL;
	buf_deinit(&call->url);
	buf_deinit(&call->text);
	buf_deinit(&call->answer);
}

void http_call_again(struct http_call *call)
{
	buf_clear(&call->answer);
	call->status = 0;
	call->code = CURLE_OK;
	call->error[0] = '\0';
	call->source_at = 0;
	call->source_error = 0;
}

/* --- under way ------------------------------------------------------------------------------------------------------------ */

static void call_body_set(struct http_call *call)
{
	CURL *easy = call->easy;

	if (call->source_fd >= 0) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, call_give);
		curl_easy_setopt(easy, CURLOPT_READDATA, call);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, call_seek);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->source_size);
	} else if (call->has_text) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, cli_text(&call->text));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->text.len);
	}
}

void http_start(struct http_client *client, struct http_call *call)
{
	CURL *easy = call->easy;

	http_call_again(call);
	call_body_set(call);
	curl_easy_setopt(easy, CURLOPT_URL, cli_text(&call->url));
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, call->moved ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, call->sink ? 256L * 1024 : 16L * 1024);
	/* A server that is silent for longer than it may park us is gone, even if the network does not say so. */
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(call->patience_ms / 1000 + 1));
	if (curl_multi_add_handle(client->multi, easy))
		cli_out_of_memory();
	call->client = client;
	client->running_count++;
}

void http_stop(struct http_call *call)
{
	if (!call->client)
		return;
	curl_multi_remove_handle(call->client->multi, call->easy);
	call->client->running_count--;
	call->client = NULL;
}

bool http_under_way(const struct http_call *call)
{
	return call->client != NULL;
}

/* A head that broke off looks like one whose body ends with the connection, and the library takes it for whole. No HTTP/1.1
 * server that knows its trade ends a body so. */
static bool is_framed(struct http_call *call)
{
	long version = 0;

	curl_easy_getinfo(call->easy, CURLINFO_HTTP_VERSION, &version);
	return version != CURL_HTTP_VERSION_1_1 || call->status == 204 || http_answer_header(call, "Content-Length") ||
	       http_answer_header(call, "Transfer-Encoding");
}

static enum http_outcome call_outcome(struct http_call *call)
{
	long sent = 0;

	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
	switch ((int)call->code) {
	case CURLE_OK:
		return is_framed(call) ? HTTP_ANSWERED : HTTP_CUT;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_UNREACHABLE;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WRITE_ERROR:
	case CURLE_ABORTED_BY_CALLBACK:
	case CURLE_READ_ERROR:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_PEER_FAILED_VERIFICATION:
		return HTTP_LOCAL;
	default:
		return sent ? HTTP_CUT : HTTP_UNREACHABLE;
	}
}

static void call_finish(struct http_call *call, CURLcode code)
{
	call->code = code;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
	call->outcome = call_outcome(call);
	/* An upload that the server refuses is answered before all of it was taken: the answer counts, not the broken pipe. */
	if (call->outcome == HTTP_CUT && call->status >= 400 && call->answer.len)
		call->outcome = HTTP_ANSWERED;
	if (!call->error[0])
		snprintf(call->error, sizeof(call->error), "%s", curl_easy_strerror(code));
	http_stop(call);
}

void http_turn(struct http_client *client, struct curl_waitfd *extra, unsigned extra_count, int timeout_ms)
{
	int running, left;
	CURLMsg *message;

	curl_multi_perform(client->multi, &running);
	if ((unsigned)running == client->running_count) {
		curl_multi_poll(client->multi, extra, extra_count, timeout_ms, NULL);
		curl_multi_perform(client->multi, &running);
	}
	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct http_call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call_finish(call, message->data.result);
		if (call->done)
			call->done(call);
	}
}

enum http_outcome http_run(struct http_client *client, struct http_call *call)
{
	http_start(client, call);
	while (http_under_way(call))
		http_turn(client, NULL, 0, 1000);
	return call->outcome;
}

/* --- the answer ----------------------------------------------------------------------------------------------------------- */

const char *http_answer_header(struct http_call *call, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

json_t *http_answer_json(struct http_call *call)
{
	return json_loadb(call->answer.ptr, call->answer.len, 0, NULL);
}

bool http_answer_is(struct http_call *call, const char *problem)
{
	json_t *answer = http_answer_json(call);
	const char *type = json_string_value(json_object_get(answer, "type"));
	const char *name = type ? strrchr(type, '/') : NULL;
	bool is = name && !strcmp(name + 1, problem);

	json_decref(answer);
	return is;
}

uint64_t http_answer_retry_after_ms(struct http_call *call)
{
	const char *value = call->outcome == HTTP_ANSWERED ? http_answer_header(call, "Retry-After") : NULL;
	uint64_t seconds;

	/* Only the form in seconds (RFC 9110 §10.2.3); a date would need a clock that agrees with the server's. */
	if (!value || slice_u64(slice_str(value), &seconds) || seconds > 3600)
		return 0;
	return seconds * 1000;
}

bool http_worth_retrying(struct http_call *call)
{
	if (call->outcome == HTTP_LOCAL)
		return false;
	if (call->outcome != HTTP_ANSWERED)
		return true;
	if (http_answer_header(call, "Job-State")) /* the status is the worker's verdict, not the server's state */
		return false;
	return call->status == 408 || call->status == 429 || (call->status >= 502 && call->status <= 504) || call->status == 507;
}
