#include "base/testing.h"

#include "http/api/hook_url.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* Under which settings a URL passes: p, l, a. */
struct url_case {
	const char *url, *passes;
};

static void check_urls(const struct url_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (int allow = HOOK_ALLOW_PUBLIC; allow <= HOOK_ALLOW_ANY; allow++) {
			enum hook_reach reach = HOOK_REACH_ANY;
			const char *why = NULL;
			bool expected = strchr(cases[i].passes, "pla"[allow]);
			int r = hook_url_judge(slice_str(cases[i].url), (enum hook_allow)allow, &reach, &why);

			if ((r == 0) != expected)
				fail_msg("%s under %c: %s", cases[i].url, "pla"[allow], r ? why : "passes");
			assert_int_equal(r == HOOK_REFUSED, why != NULL);
			if (r == 0 && allow != HOOK_ALLOW_ANY)
				assert_int_equal(reach, strncasecmp(cases[i].url, "https", 5) == 0 ? HOOK_REACH_PUBLIC
												   : HOOK_REACH_LOOPBACK);
			if (r == 0 && allow == HOOK_ALLOW_ANY)
				assert_int_equal(reach, HOOK_REACH_ANY);
		}
	}
}

static void urls_of_the_public_internet_are_https(void **state)
{
	static const struct url_case cases[] = {
		{"https://worker.example/hooks", "pla"},
		{"https://worker.example", "pla"},
		{"https://worker.example:8443/hooks?key=a%20b", "pla"},
		{"https://worker.example./hooks", "pla"},
		{"HTTPS://WORKER.EXAMPLE/", "pla"},
		{"https://8.8.8.8/", "pla"},
		{"https://[2606:4700::1111]/", "pla"},
		{"https://xn--bcher-kva.example/", "pla"},
		{"http://worker.example/hooks", "a"},
		{"http://8.8.8.8/", "a"},
		{"http://10.0.0.1/hook", "a"},
		{"http://[::1]:80/", "a"},
	};

	(void)state;
	check_urls(cases, ARRAY_COUNT(cases));
}

static void the_exception_for_development_is_http_to_loopback(void **state)
{
	static const struct url_case cases[] = {
		{"http://localhost/", "la"},      {"http://localhost:9000/a", "la"},  {"http://LOCALHOST/", "la"},
		{"http://127.0.0.1:9000/", "la"}, {"http://127.0.0.9/", "la"},        {"https://localhost/", "a"},
		{"https://localhost./", "a"},     {"https://a.localhost/", "a"},      {"https://127.0.0.1/", "a"},
		{"http://a.localhost/", "a"},     {"http://localhost.example/", "a"}, {"http://127.0.0.1.example/", "a"},
		{"http://128.0.0.1/", "a"},       {"http://0.0.0.0/", "a"},           {"https://localhost.example/", "pla"},
	};

	(void)state;
	check_urls(cases, ARRAY_COUNT(cases));
}

/* However an address is spelled, it is judged as one, or refused. */
static void inner_addresses_are_refused_in_every_spelling(void **state)
{
	static const struct url_case cases[] = {
		{"https://10.0.0.1/", "a"},
		{"https://172.16.0.1/", "a"},
		{"https://192.168.1.1/", "a"},
		{"https://169.254.169.254/latest/meta-data", "a"},
		{"https://100.64.0.1/", "a"},
		{"https://0.0.0.0/", "a"},
		{"https://224.0.0.1/", "a"},
		{"https://255.255.255.255/", "a"},
		{"https://[::1]/", "a"},
		{"https://[::]/", "a"},
		{"https://[fc00::1]/", "a"},
		{"https://[fe80::1]/", "a"},
		{"https://[::ffff:10.0.0.1]/", "a"},
		{"https://[::ffff:a00:1]/", "a"},
		{"https://[64:ff9b::a00:1]/", "a"},
		{"https://[::10.0.0.1]/", "a"},
	};
	static const char *const spelled[] = {
		"https://167772161/",
		"https://0xa000001/",
		"https://0xa.0.0.1/",
		"https://012.0.0.1/",
		"https://10.1/",
		"https://10.0.1/",
		"https://2130706433",
		"https://0x7f.1/",
		"https://0177.0.0.1/",
		"https://127.1/",
		"https://10.0.0.1./",
		"https://0x7f000001/",
		"https://%31%30.0.0.1/",
		"https://[::1%25lo]/",
		"https://1.2.3.4.5/",
		"https://0300.0250.1.1/",
		"https://[0:0:0:0:0:0:0:1]",
		"https://0/",
		"https://0x0/",
		"https://a.1/",
	};

	(void)state;
	check_urls(cases, ARRAY_COUNT(cases));
	for (size_t i = 0; i < ARRAY_COUNT(spelled); i++) {
		enum hook_reach reach;
		const char *why;

		if (hook_url_judge(slice_str(spelled[i]), HOOK_ALLOW_LOOPBACK, &reach, &why) != HOOK_REFUSED)
			fail_msg("%s passes", spelled[i]);
	}
}

static void what_is_no_plain_url_is_refused(void **state)
{
	static const struct url_case cases[] = {
		{"", ""},
		{"worker.example/hooks", ""},
		{"//worker.example/", ""},
		{"https:", ""},
		{"https://", ""},
		{"ftp://worker.example/", ""},
		{"file:///etc/passwd", ""},
		{"gopher://worker.example/", ""},
		{"https://user@worker.example/", ""},
		{"https://user:secret@worker.example/", ""},
		{"https://worker.example@10.0.0.1/", ""},
		{"https://worker.example /", ""},
		{"https://worker.example/a b", ""},
		{"https://worker.example/\r\nHost: a", ""},
		{"https://worker.example\\@10.0.0.1/", ""},
		{"https://b\xc3\xbc"
		 "cher.example/",
		 ""},
		{"https://worker.example:99999/", ""},
		{"https://a,b/", ""},
		{"https://./", ""},
	};
	char longest[HOOK_URL_MAX + 2];
	enum hook_reach reach;
	const char *why;

	(void)state;
	check_urls(cases, ARRAY_COUNT(cases));
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://worker.example/", 23);
	assert_int_equal(hook_url_judge(slice_from(longest, HOOK_URL_MAX), HOOK_ALLOW_PUBLIC, &reach, &why), 0);
	assert_int_equal(hook_url_judge(slice_from(longest, HOOK_URL_MAX + 1), HOOK_ALLOW_PUBLIC, &reach, &why), HOOK_REFUSED);
	assert_int_equal(hook_url_judge(slice_from("https://a\0b/", 12), HOOK_ALLOW_ANY, &reach, &why), HOOK_REFUSED);
}

/* First and last address of each range, and their neighbours. P: public, L: loopback, -: neither. */
static const struct {
	const char *address;
	char kind;
} addresses[] = {
	{"0.0.0.0", '-'},
	{"0.255.255.255", '-'},
	{"1.0.0.0", 'P'},
	{"9.255.255.255", 'P'},
	{"10.0.0.0", '-'},
	{"10.255.255.255", '-'},
	{"11.0.0.0", 'P'},
	{"100.63.255.255", 'P'},
	{"100.64.0.0", '-'},
	{"100.127.255.255", '-'},
	{"100.128.0.0", 'P'},
	{"126.255.255.255", 'P'},
	{"127.0.0.0", 'L'},
	{"127.0.0.1", 'L'},
	{"127.255.255.255", 'L'},
	{"128.0.0.0", 'P'},
	{"169.253.255.255", 'P'},
	{"169.254.0.0", '-'},
	{"169.254.169.254", '-'},
	{"169.254.255.255", '-'},
	{"169.255.0.0", 'P'},
	{"172.15.255.255", 'P'},
	{"172.16.0.0", '-'},
	{"172.31.255.255", '-'},
	{"172.32.0.0", 'P'},
	{"192.0.0.0", '-'},
	{"192.0.0.255", '-'},
	{"192.0.1.0", 'P'},
	{"192.0.2.1", '-'},
	{"192.88.99.1", '-'},
	{"192.167.255.255", 'P'},
	{"192.168.0.0", '-'},
	{"192.168.255.255", '-'},
	{"192.169.0.0", 'P'},
	{"198.17.255.255", 'P'},
	{"198.18.0.0", '-'},
	{"198.19.255.255", '-'},
	{"198.20.0.0", 'P'},
	{"198.51.100.7", '-'},
	{"203.0.113.7", '-'},
	{"223.255.255.255", 'P'},
	{"224.0.0.0", '-'},
	{"239.255.255.255", '-'},
	{"240.0.0.0", '-'},
	{"255.255.255.255", '-'},
	{"::", '-'},
	{"::1", 'L'},
	{"::2", '-'},
	{"::127.0.0.1", '-'},
	{"::8.8.8.8", '-'},
	{"::ffff:8.8.8.8", 'P'},
	{"::ffff:127.0.0.1", 'L'},
	{"::ffff:10.0.0.1", '-'},
	{"::ffff:169.254.169.254", '-'},
	{"::ffff:0:8.8.8.8", '-'},
	{"64:ff9b::8.8.8.8", 'P'},
	{"64:ff9b::10.0.0.1", '-'},
	{"64:ff9b::169.254.169.254", '-'},
	{"64:ff9b:1::8.8.8.8", '-'},
	{"100::1", '-'},
	{"1fff:ffff::1", '-'},
	{"2000::1", 'P'},
	{"2001::1", '-'},
	{"2001:1ff:ffff::1", '-'},
	{"2001:200::1", 'P'},
	{"2001:db8::1", '-'},
	{"2001:db9::1", 'P'},
	{"2002:a00:1::1", '-'},
	{"2003::1", 'P'},
	{"2606:4700::1111", 'P'},
	{"3ffe::1", 'P'},
	{"3fff:0fff::1", '-'},
	{"3fff:1000::1", 'P'},
	{"4000::1", '-'},
	{"5f00::1", '-'},
	{"fbff::1", '-'},
	{"fc00::1", '-'},
	{"fdff::1", '-'},
	{"fe80::1", '-'},
	{"fec0::1", '-'},
	{"ff02::1", '-'},
};

static void addresses_are_judged_by_their_range(void **state)
{
	struct sockaddr other = {.sa_family = AF_UNIX};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		const struct sockaddr *address = (const struct sockaddr *)(void *)&v4;

		if (inet_pton(AF_INET, addresses[i].address, &v4.sin_addr) != 1) {
			assert_int_equal(inet_pton(AF_INET6, addresses[i].address, &v6.sin6_addr), 1);
			address = (const struct sockaddr *)(void *)&v6;
		}
		if (hook_address_allowed(address, HOOK_REACH_PUBLIC) != (addresses[i].kind == 'P') ||
		    hook_address_allowed(address, HOOK_REACH_LOOPBACK) != (addresses[i].kind == 'L') ||
		    !hook_address_allowed(address, HOOK_REACH_ANY))
			fail_msg("%s", addresses[i].address);
	}
	assert_false(hook_address_allowed(&other, HOOK_REACH_ANY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_of_the_public_internet_are_https),
		cmocka_unit_test(the_exception_for_development_is_http_to_loopback),
		cmocka_unit_test(inner_addresses_are_refused_in_every_spelling),
		cmocka_unit_test(what_is_no_plain_url_is_refused),
		cmocka_unit_test(addresses_are_judged_by_their_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
