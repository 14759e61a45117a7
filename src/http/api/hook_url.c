/* The URL is taken apart by libcurl, which also goes there later: two readers of one text might disagree about its host. */
#include "http/api/hook_url.h"

#include "base/attr.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>

/* --- addresses --- */

struct prefix {
	uint8_t bits;
	uint8_t bytes[16];
};

/* What is not the public Internet: the special-purpose registries of RFC 6890, and multicast. */
static const struct prefix inner_v4[] = {
	{8, {0}},             /* this network */
	{8, {10}},            /* private */
	{10, {100, 64}},      /* carriers' */
	{8, {127}},           /* loopback */
	{16, {169, 254}},     /* link-local; the metadata services of clouds */
	{12, {172, 16}},      /* private */
	{24, {192, 0, 0}},    /* protocol assignments */
	{24, {192, 0, 2}},    /* documentation */
	{24, {192, 88, 99}},  /* relays of 6to4 */
	{16, {192, 168}},     /* private */
	{15, {198, 18}},      /* benchmarks */
	{24, {198, 51, 100}}, /* documentation */
	{24, {203, 0, 113}},  /* documentation */
	{4, {224}},           /* multicast */
	{4, {240}},           /* reserved, broadcast */
};

/* Of 2000::/3, outside of which nothing is public. */
static const struct prefix global_v6 = {3, {0x20}};
static const struct prefix inner_v6[] = {
	{23, {0x20, 0x01}},             /* protocol assignments, Teredo among them */
	{32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
	{16, {0x20, 0x02}},             /* 6to4 */
	{20, {0x3f, 0xff}},             /* documentation */
};

/* Addresses that stand for one of IPv4, in their last four bytes. */
static const struct prefix v4_in_v6[] = {
	{96, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, /* mapped */
	{96, {0, 0x64, 0xff, 0x9b}},                      /* NAT64 */
};

static bool is_within(const uint8_t *address, const struct prefix *prefix)
{
	unsigned whole = prefix->bits / 8u, rest = prefix->bits % 8u;

	if (memcmp(address, prefix->bytes, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_within_any(const uint8_t *address, const struct prefix *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_within(address, &table[i]))
			return true;
	}
	return false;
}

static bool v4_allowed(const uint8_t address[4], enum hook_reach reach)
{
	if (reach == HOOK_REACH_LOOPBACK)
		return address[0] == 127;
	return !is_within_any(address, inner_v4, ARRAY_COUNT(inner_v4));
}

static bool v6_allowed(const uint8_t address[16], enum hook_reach reach)
{
	if (is_within_any(address, v4_in_v6, ARRAY_COUNT(v4_in_v6)))
		return v4_allowed(address + 12, reach);
	if (reach == HOOK_REACH_LOOPBACK)
		return memcmp(address, &in6addr_loopback, 16) == 0;
	return is_within(address, &global_v6) && !is_within_any(address, inner_v6, ARRAY_COUNT(inner_v6));
}

bool hook_address_allowed(const struct sockaddr *address, enum hook_reach reach)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return reach == HOOK_REACH_ANY || v4_allowed((const uint8_t *)&v4.sin_addr, reach);
	}
	if (address->sa_family == AF_INET6) {
		memcpy(&v6, address, sizeof(v6));
		return reach == HOOK_REACH_ANY || v6_allowed(v6.sin6_addr.s6_addr, reach);
	}
	return false;
}

/* --- URLs --- */

/* As curl gives it: an IPv6 address stands in brackets. */
static bool host_is_address(const char *host, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	size_t len = strlen(host);
	char inner[INET6_ADDRSTRLEN + 1];

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(ret_address, &v4, sizeof(v4));
		return true;
	}
	if (len < 3 || len - 2 >= sizeof(inner) || host[0] != '[' || host[len - 1] != ']')
		return false;
	memcpy(inner, host + 1, len - 2);
	inner[len - 2] = '\0';
	if (inet_pton(AF_INET6, inner, &v6.sin6_addr) != 1)
		return false;
	memcpy(ret_address, &v6, sizeof(v6));
	return true;
}

/* Letters, digits, dashes and dots; and the last label is no number: that would be an address in some spelling. */
static bool host_is_name(struct slice host)
{
	struct slice rest = host, label = {0};

	if (host.len && host.ptr[host.len - 1] == '.')
		rest.len--;
	if (!rest.len || rest.len > 253)
		return false;
	for (size_t i = 0; i < rest.len; i++) {
		char c = rest.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		      c == '.'))
			return false;
	}
	while (rest.len)
		label = slice_cut(&rest, '.');
	return label.len && !(label.ptr[0] >= '0' && label.ptr[0] <= '9');
}

static bool host_is_localhost(struct slice host)
{
	static const struct slice tail = SLICE_INIT(".localhost");

	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	if (slice_eq_nocase(host, SLICE("localhost")))
		return true;
	return host.len > tail.len && slice_eq_nocase(slice_from(host.ptr + host.len - tail.len, tail.len), tail);
}

/* Why not; NULL: it may be. */
static const char *host_judge(const char *host, bool https, enum hook_allow allow, enum hook_reach *ret_reach)
{
	struct sockaddr_storage address = {0};
	struct slice name = slice_str(host);
	bool is_address = host_is_address(host, &address);

	if (!is_address && !host_is_name(name))
		return "the host is neither a name nor an address in its usual form";
	if (allow == HOOK_ALLOW_ANY) {
		*ret_reach = HOOK_REACH_ANY;
		return NULL;
	}
	if (!https) {
		bool loopback = is_address ? address.ss_family == AF_INET &&
						     hook_address_allowed((const struct sockaddr *)&address, HOOK_REACH_LOOPBACK)
					   : slice_eq_nocase(name, SLICE("localhost"));

		if (allow == HOOK_ALLOW_PUBLIC)
			return "it must be https";
		if (!loopback)
			return "it must be https, or http to localhost or 127.0.0.x";
		*ret_reach = HOOK_REACH_LOOPBACK;
		return NULL;
	}
	if (is_address ? !hook_address_allowed((const struct sockaddr *)&address, HOOK_REACH_PUBLIC) : host_is_localhost(name))
		return "the host is not on the public Internet";
	*ret_reach = HOOK_REACH_PUBLIC;
	return NULL;
}

static const char *parts_judge(CURLU *parts, enum hook_allow allow, enum hook_reach *ret_reach)
{
	char *scheme = NULL, *host = NULL;
	const char *why = "it has no host";

	if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		bool https = strcmp(scheme, "https") == 0;

		why = https || strcmp(scheme, "http") == 0 ? host_judge(host, https, allow, ret_reach)
							   : "it must be an https URL";
	}
	curl_free(scheme);
	curl_free(host);
	return why;
}

int hook_url_judge(struct slice url, enum hook_allow allow, enum hook_reach *ret_reach, const char **ret_why)
{
	char text[HOOK_URL_MAX + 1];
	CURLU *parts;
	CURLUcode code;

	*ret_why = "it is no URL, or longer than 2048 bytes, or holds blanks or what is not ASCII";
	if (!url.len || url.len > HOOK_URL_MAX)
		return HOOK_REFUSED;
	for (size_t i = 0; i < url.len; i++) {
		if (url.ptr[i] <= ' ' || url.ptr[i] == 0x7f || url.ptr[i] == '\\')
			return HOOK_REFUSED;
	}
	memcpy(text, url.ptr, url.len);
	text[url.len] = '\0';
	parts = curl_url();
	if (!parts)
		return -ENOMEM;
	code = curl_url_set(parts, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	if (code == CURLUE_OK)
		*ret_why = parts_judge(parts, allow, ret_reach);
	else if (code == CURLUE_USER_NOT_ALLOWED)
		*ret_why = "it must hold no user or password";
	curl_url_cleanup(parts);
	if (code == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	return *ret_why ? HOOK_REFUSED : 0;
}
