/* What requests say in their query and headers. Every length and number is checked here, before anyone believes it. */
#include "http/api/api_priv.h"

#include "base/text.h"
#include "http/api/json_in.h"
#include "http/codec/field.h"
#include "http/codec/uri.h"

#include <errno.h>

enum { TOKEN_SENT_MAX = 128 };
#define DURATION_MAX_MS (10ULL * 365 * 24 * 3600 * 1000)

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '~' ||
	       c == '-';
}

bool name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (!is_name_char(name.ptr[i]))
			return false;
	}
	return name.len >= 1 && name.len <= NAME_BYTES_MAX;
}

bool queue_is_valid(struct slice name)
{
	return name_is_valid(name) && name.ptr[0] != '.';
}

int input_duration_ms(struct slice s, uint64_t *ret_ms)
{
	uint64_t ms;

	if (text_duration_ms(s, &ms) || ms > DURATION_MAX_MS)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

bool input_query(struct exchange *ex, const char *name, struct slice *ret_value, bool *ret_found)
{
	int r = uri_query_get(ex->request->query, slice_str(name), &ex->arena, ret_value);

	*ret_found = r == URI_FOUND;
	if (r == URI_FOUND || r == URI_ABSENT)
		return true;
	if (r == -ENOMEM)
		call_no_memory(ex);
	else
		call_problem(ex, PROBLEM_BAD_REQUEST, "The query holds a broken percent-encoding.");
	return false;
}

bool input_query_u64(struct exchange *ex, const char *name, uint64_t min, uint64_t *value)
{
	struct slice text;
	bool found;

	if (!input_query(ex, name, &text, &found))
		return false;
	if (!found || slice_u64(text, value) == 0) {
		if (*value >= min)
			return true;
	}
	call_problem(ex, PROBLEM_BAD_REQUEST, "%s must be a whole number, at least %llu.", name, (unsigned long long)min);
	return false;
}

/* --- how long to wait --- */

static void prefer_of(const struct request *request, struct prefer *prefer)
{
	for (size_t i = 0; i < request->header_count; i++) {
		if (slice_eq_nocase(request->headers[i].name, SLICE("Prefer")))
			prefer_parse(request->headers[i].value, prefer);
	}
}

bool input_wait(struct exchange *ex, struct ask *ask, uint64_t body_ms, uint64_t default_ms)
{
	const struct api_thread *api = api_of(ex);
	struct prefer prefer = {0};
	uint64_t wait_ms = default_ms;
	bool found, told = true;
	struct slice text;

	if (!input_query(ex, "wait", &text, &found))
		return false;
	if (found && text_duration_ms(text, &wait_ms)) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "wait is a duration like 30, 30s or 1500ms.");
		return false;
	}
	if (!found && body_ms != UINT64_MAX) {
		wait_ms = body_ms;
	} else if (!found) {
		prefer_of(ex->request, &prefer);
		if (prefer.has_wait)
			wait_ms = prefer.wait_s > UINT64_MAX / 1000 ? UINT64_MAX : prefer.wait_s * 1000;
		else
			told = default_ms != 0;
	}
	if (wait_ms > api->config.max_wait_ms)
		wait_ms = api->config.max_wait_ms;
	/* Who leaves holds nobody. */
	ask->wait_ms = api->draining ? 0 : wait_ms;
	ask->told_s = told ? (uint16_t)((ask->wait_ms + 999) / 1000) : (uint16_t)WAIT_UNTOLD;
	return true;
}

/* --- headers --- */

static bool header(const struct exchange *ex, const char *name, struct slice *ret_value)
{
	*ret_value = request_header(ex->request, slice_str(name));
	return ret_value->ptr != NULL;
}

bool input_header_duration(struct exchange *ex, const char *name, uint64_t min_ms, uint64_t max_ms, uint64_t *value_ms)
{
	struct slice text;
	uint64_t ms;

	if (!header(ex, name, &text))
		return true;
	if (input_duration_ms(text, &ms) || ms < min_ms || ms > max_ms) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "%s is a duration like 30s, 1500ms or 2h%s.", name,
			     min_ms ? ", and not 0" : "");
		return false;
	}
	*value_ms = ms;
	return true;
}

bool input_header_u32(struct exchange *ex, const char *name, uint32_t min, uint32_t *value)
{
	struct slice text;
	uint64_t number;

	if (!header(ex, name, &text))
		return true;
	if (slice_u64(text, &number) || number < min || number > UINT32_MAX) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "%s is a whole number from %u to %u.", name, min, UINT32_MAX);
		return false;
	}
	*value = (uint32_t)number;
	return true;
}

/* A token, or a string in quotes. */
bool input_header_text(struct exchange *ex, const char *name, size_t max_bytes, struct slice *value)
{
	struct slice text;
	size_t len = 0;
	char *out;

	if (!header(ex, name, &text))
		return true;
	out = arena_alloc(&ex->arena, text.len + 1);
	if (!out) {
		call_no_memory(ex);
		return false;
	}
	if (field_unquote(text, out, &len) || len == 0 || len > max_bytes) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "%s is a word, or a string in quotes, of 1 to %zu bytes.", name, max_bytes);
		return false;
	}
	*value = slice_from(out, len);
	return true;
}

bool input_content_type(struct exchange *ex, struct slice fallback, struct slice *ret_type)
{
	struct slice type;

	if (!header(ex, "Content-Type", &type) || !type.len)
		type = fallback;
	if (type.len > TYPE_BYTES_MAX) {
		call_problem(ex, PROBLEM_BAD_REQUEST, "Content-Type may have %d bytes.", TYPE_BYTES_MAX);
		return false;
	}
	*ret_type = type;
	return true;
}

bool input_token(struct exchange *ex, struct slice *ret_token)
{
	if (header(ex, "Job-Token", ret_token) && ret_token->len > 0 && ret_token->len <= TOKEN_SENT_MAX)
		return true;
	call_problem(ex, PROBLEM_BAD_REQUEST, "Job-Token is missing: it is the lease that the claim's answer told.");
	return false;
}

bool input_origin(struct exchange *ex, struct slice *ret_origin)
{
	struct slice host = request_header(ex->request, SLICE("Host"));
	bool tls = slice_eq_nocase(request_header(ex->request, SLICE("X-Forwarded-Proto")), SLICE("https"));
	struct slice scheme = tls ? SLICE("https://") : SLICE("http://");
	char *out;

	*ret_origin = (struct slice){0};
	if (!host.len)
		return true;
	out = arena_alloc(&ex->arena, scheme.len + host.len);
	if (!out) {
		call_no_memory(ex);
		return false;
	}
	memcpy(out, scheme.ptr, scheme.len);
	memcpy(out + scheme.len, host.ptr, host.len);
	*ret_origin = slice_from(out, scheme.len + host.len);
	return true;
}

bool input_handle(struct exchange *ex, struct slice handle)
{
	if (handle_key(handle))
		return true;
	call_problem(ex, PROBLEM_NOT_FOUND, "That is no handle of this server.");
	return false;
}

bool json_in_answer(struct exchange *ex, struct json_in *in)
{
	if (json_in_close(in))
		return true;
	if (in->no_memory)
		call_no_memory(ex);
	else
		call_problem(ex, PROBLEM_BAD_REQUEST, "%s", in->detail);
	return false;
}

bool input_page(struct exchange *ex, uint32_t *ret_limit, uint64_t *after)
{
	uint64_t limit = 100;

	if (!input_query_u64(ex, "limit", 1, &limit) || !input_query_u64(ex, "after", 0, after))
		return false;
	*ret_limit = limit > COMMAND_LIST_MAX ? COMMAND_LIST_MAX : (uint32_t)limit;
	return true;
}
