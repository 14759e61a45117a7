/* The request line and the meaning of the fields. llhttp sees neither: it knows a closed list of methods, and says apart in prose
 * only what is a bad token, an unknown method or another version. */
#include "http/codec/field.h"
#include "http/codec/h1_priv.h"

bool h1_fail(struct h1 *h1, int status, const char *name, const char *detail)
{
	h1->error = (struct h1_error){status, name, detail};
	h1->state = H1_STATE_ERROR;
	return false;
}

static bool bad(struct h1 *h1, const char *detail)
{
	return h1_fail(h1, 400, "bad-request", detail);
}

bool h1_is_token(struct slice s)
{
	return field_is_token(s);
}

/* Visible ASCII only (RFC 3986 has no other), and no '#': a fragment is never sent. */
static bool is_target(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '#')
			return false;
	}
	return s.len > 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9112 §2.3. */
static bool parse_version(struct h1 *h1, struct slice version)
{
	if (version.len != 8 || !slice_starts_with(version, SLICE("HTTP/")) || !is_digit(version.ptr[5]) ||
	    version.ptr[6] != '.' || !is_digit(version.ptr[7]))
		return bad(h1, "The request line does not end in a protocol version.");
	/* A higher minor version is answered as the highest that is known (RFC 9110 §2.5), but none has ever been defined. */
	if (version.ptr[5] != '1' || version.ptr[7] > '1')
		return h1_fail(h1, 505, "version-not-supported", "This server speaks HTTP/1.1 and HTTP/1.0.");
	h1->minor = (uint8_t)(version.ptr[7] - '0');
	return true;
}

bool h1_parse_line(struct h1 *h1)
{
	struct slice rest = buf_slice(h1->scratch), method = slice_cut(&rest, ' '), target = slice_cut(&rest, ' ');

	if (!h1_is_token(method))
		return bad(h1, "The request line does not begin with a method.");
	if (!parse_version(h1, rest))
		return false;
	if (target.len > h1->limits->target_bytes)
		return h1_fail(h1, 414, "uri-too-long", "The request's target is longer than this server takes.");
	if (!is_target(target))
		return bad(h1, "The request's target has characters that no URI has.");
	/* What follows the target in the scratch is dropped: it was read. */
	h1->scratch->ptr[method.len] = '\0';
	h1->scratch->ptr[method.len + 1 + target.len] = '\0';
	h1->scratch->len = method.len + target.len + 2;
	return true;
}

static enum http_method method_from(struct slice name)
{
	static const struct {
		struct slice name;
		enum http_method method;
	} methods[] = {
		{{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST},     {{"PUT", 3}, HTTP_PUT},
		{{"HEAD", 4}, HTTP_HEAD},       {{"DELETE", 6}, HTTP_DELETE}, {{"PATCH", 5}, HTTP_PATCH},
		{{"OPTIONS", 7}, HTTP_OPTIONS},
	};

	for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
		if (slice_eq(methods[i].name, name))
			return methods[i].method;
	}
	return HTTP_OTHER;
}

/* RFC 9112 §3.2: origin-form, absolute-form (reduced to its path), asterisk-form for OPTIONS. No CONNECT. */
static bool split_target(struct h1 *h1, struct request *request, struct slice target)
{
	const char *slashes;

	if (slice_eq(target, SLICE("*")) && request->method == HTTP_OPTIONS) {
		request->path = target;
		return true;
	}
	if (target.ptr[0] != '/') {
		slashes = memmem(target.ptr, target.len, "://", 3);
		if (!slashes || (!slice_eq_nocase(slice_from(target.ptr, (size_t)(slashes - target.ptr)), SLICE("http")) &&
				 !slice_eq_nocase(slice_from(target.ptr, (size_t)(slashes - target.ptr)), SLICE("https"))))
			return bad(h1, "The request's target is neither a path nor an http URI.");
		target = slice_from(slashes + 3, target.len - (size_t)(slashes + 3 - target.ptr));
		while (target.len && target.ptr[0] != '/' && target.ptr[0] != '?')
			target = slice_from(target.ptr + 1, target.len - 1);
	}
	request->query = target;
	request->path = slice_cut(&request->query, '?');
	if (request->path.len == 0)
		request->path = SLICE("/");
	return true;
}

/* uri-host [ ":" port ] (RFC 9110 §7.2), loosely: no blanks, no path, no user. Empty is allowed. */
static bool is_host(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!(is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-._~%!$&'()*+,;=:[]", c)) ||
		    c == '\0')
			return false;
	}
	return true;
}

struct seen {
	unsigned hosts, lengths, encodings;
	struct slice host, encoding;
	bool close, keep_alive;
};

static bool see_length(struct h1 *h1, struct seen *seen, struct slice value)
{
	/* UINT64_MAX stands for "chunked". */
	if (slice_u64(value, &h1->request->content_length) || h1->request->content_length == UINT64_MAX)
		return bad(h1, "Content-Length is not a number.");
	if (++seen->lengths > 1)
		return bad(h1, "Content-Length is given twice.");
	return true;
}

static void see_connection(struct seen *seen, struct slice value)
{
	struct slice item;

	while (field_list_next(&value, &item)) {
		if (slice_eq_nocase(item, SLICE("close")))
			seen->close = true;
		else if (slice_eq_nocase(item, SLICE("keep-alive")))
			seen->keep_alive = true;
	}
}

static bool see_field(struct h1 *h1, struct seen *seen, const struct http_header *field)
{
	struct slice name = field->name;

	if (name.len == 4 && slice_eq_nocase(name, SLICE("Host"))) {
		seen->hosts++;
		seen->host = field->value;
	} else if (name.len == 14 && slice_eq_nocase(name, SLICE("Content-Length"))) {
		return see_length(h1, seen, field->value);
	} else if (name.len == 17 && slice_eq_nocase(name, SLICE("Transfer-Encoding"))) {
		seen->encodings++;
		seen->encoding = field->value;
	} else if (name.len == 10 && slice_eq_nocase(name, SLICE("Connection"))) {
		see_connection(seen, field->value);
	} else if (name.len == 6 && slice_eq_nocase(name, SLICE("Expect"))) {
		if (!slice_eq_nocase(field->value, SLICE("100-continue")))
			return h1_fail(h1, 417, "expectation-failed",
				       "This server knows the expectation 100-continue and no other.");
		h1->expect_continue = h1->minor >= 1; /* of an HTTP/1.0 client it is ignored: RFC 9110 §10.1.1 */
	}
	return true;
}

/* RFC 9112 §6. */
static bool check_framing(struct h1 *h1, const struct seen *seen)
{
	struct slice rest = seen->encoding, first;

	if (!seen->encodings)
		return true;
	if (seen->lengths)
		return bad(h1, "Content-Length and Transfer-Encoding exclude each other.");
	if (h1->minor == 0)
		return bad(h1, "HTTP/1.0 has no Transfer-Encoding.");
	if (seen->encodings == 1 && slice_eq_nocase(seen->encoding, SLICE("chunked"))) {
		h1->request->content_length = UINT64_MAX;
		return true;
	}
	first = slice_trim(slice_cut(&rest, ','));
	if (seen->encodings > 1 || !field_is_token(first) || slice_eq_nocase(first, SLICE("chunked")))
		return bad(h1, "Transfer-Encoding is not exactly `chunked`.");
	return h1_fail(h1, 501, "not-implemented", "This server knows the transfer coding `chunked` and no other.");
}

static bool check_fields(struct h1 *h1)
{
	struct request *request = h1->request;
	struct seen seen = {0};

	for (size_t i = 0; i < request->header_count; i++) {
		if (!see_field(h1, &seen, &request->headers[i]))
			return false;
	}
	if (seen.hosts > 1 || (seen.hosts == 0 && h1->minor >= 1))
		return bad(h1, "A request has exactly one Host.");
	if (!is_host(seen.host))
		return bad(h1, "Host is not a host.");
	h1->keep_alive = !seen.close && (h1->minor >= 1 || seen.keep_alive);
	return check_framing(h1, &seen);
}

static struct slice next_text(const char **at)
{
	struct slice s = slice_str(*at);

	*at += s.len + 1;
	return s;
}

bool h1_finish_head(struct h1 *h1)
{
	size_t fields_bytes = h1->field_count * sizeof(struct http_header);
	struct request *request = arena_zalloc(h1->arena, sizeof(*request) + fields_bytes + h1->scratch->len);
	struct http_header *fields = (struct http_header *)(void *)(request + 1);
	const char *at;

	if (!request)
		return h1_fail(h1, 503, "server-full", "The server is out of memory.");
	memcpy((char *)fields + fields_bytes, h1->scratch->ptr, h1->scratch->len);
	at = (const char *)fields + fields_bytes;
	h1->request = request;
	request->minor = h1->minor;
	request->method_name = next_text(&at);
	request->method = method_from(request->method_name);
	if (!split_target(h1, request, next_text(&at)))
		return false;
	for (size_t i = 0; i < h1->field_count; i++) {
		fields[i].name = next_text(&at);
		fields[i].value = slice_trim(next_text(&at));
	}
	request->headers = fields;
	request->header_count = h1->field_count;
	return check_fields(h1);
}
