#include "server/webhook_post.h"

#include "base/mem.h"
#include "http/api/hook.h"
#include "http/api/json_in.h"
#include "server/server_priv.h"

#include <stdio.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 64 * 1024, CONNECT_TIMEOUT_MS = 10000 };

/* Each address as it is about to be used, whatever the name resolved to when it was looked at before. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct post *post = ctx;

	if (purpose != CURLSOCKTYPE_IPCXN || !hook_address_allowed(&address->addr, post->reach))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take(char *bytes, size_t size, size_t count, void *ctx)
{
	struct post *post = ctx;
	size_t len = size * count;

	if (len > ANSWER_BYTES_MAX - post->answer.len) {
		post->too_long = true;
		return 0;
	}
	buf_append(&post->answer, bytes, len);
	return post->answer.failed ? 0 : len;
}

static bool add_header(struct post *post, const char *line)
{
	struct curl_slist *longer = curl_slist_append(post->headers, line);

	if (longer)
		post->headers = longer;
	return longer;
}

static bool add_headers(struct post *post, struct hook_signer *signer)
{
	struct buf signature = {0};
	bool ok;

	buf_append_str(&signature, "Webhook-Signature: ");
	/* The receiver holds it against its own clock, so it is the wall's. */
	ok = !hook_sign(signer, clock_unix_ms() / 1000, buf_slice(&post->body), &signature);
	buf_append_char(&signature, '\0');
	ok = ok && !signature.failed && add_header(post, signature.ptr) && add_header(post, "Content-Type: application/json") &&
	     add_header(post, "Expect:");
	buf_deinit(&signature);
	return ok;
}

static bool set_up(struct post *post, const char *url, uint64_t timeout_ms, const char *ca_file)
{
	CURL *easy = post->easy;
	CURLcode bad = curl_easy_setopt(easy, CURLOPT_URL, url);

	bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, post->reach == HOOK_REACH_PUBLIC ? "https" : "http,https");
	bad |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	bad |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "bide/" BIDE_VERSION);
	bad |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body.ptr);
	bad |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.len);
	bad |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
	if (ca_file[0])
		bad |= curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	if (bad)
		return false;
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, post);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, post);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, post);
	return true;
}

struct post *post_new(const struct subscription_view *view, const struct webhooks_config *config, uint64_t timeout_ms)
{
	struct post *post = mem_zalloc(sizeof(*post));
	const char *why;
	char *url;
	bool ok;

	if (!post)
		return NULL;
	post->again = view->attempts > 0;
	post->hooked = (struct hooked_in){.number = view->number, .generation = view->generation};
	hook_body(&post->body, view);
	post->easy = curl_easy_init();
	url = mem_dup(view->url.ptr, view->url.len);
	/* Judged anew: what is allowed may have changed since the subscription was made. */
	ok = url && post->easy && !post->body.failed && !hook_url_judge(view->url, config->allow, &post->reach, &why) &&
	     add_headers(post, config->signer) && set_up(post, url, timeout_ms, config->ca_file);
	mem_free(url);
	return ok ? post : post_free(post);
}

struct post *post_free(struct post *post)
{
	if (!post)
		return NULL;
	curl_easy_cleanup(post->easy);
	curl_slist_free_all(post->headers);
	buf_deinit(&post->body);
	buf_deinit(&post->answer);
	return mem_free(post);
}

/* `{"done": true}`; anything else is none. */
static bool says_done(struct slice answer)
{
	struct arena arena = {0};
	struct json_in in;
	bool done = false;

	json_in_open(&in, &arena, answer, true);
	json_in_bool(&in, "done", &done, NULL);
	done = json_in_close(&in) && done;
	arena_deinit(&arena);
	return done;
}

void post_ended(struct post *post, CURLcode code)
{
	long status = 0;

	curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
	post->hooked.result = HOOK_FAILED;
	if (status >= 200 && status <= 299 && (code == CURLE_OK || post->too_long))
		post->hooked.result = !post->too_long && says_done(buf_slice(&post->answer)) ? HOOK_DONE : HOOK_ANSWERED;
}
