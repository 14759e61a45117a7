/* Where a webhook may be sent to (Durable Streams protocol §6.2, §12.8): a server that posts to addresses which its clients
 * name must not be led to what only it can reach. Pure.
 *
 * A URL is judged when a subscription is made, and every address again when a connection to it is about to be made: what a
 * name resolves to is its owner's to change at any time, and only the second look binds. */
#pragma once

#include "base/slice.h"

#include <netinet/in.h>

/* The setting webhook-allow, in the order of its words. */
enum hook_allow {
	HOOK_ALLOW_PUBLIC,   /* https to public addresses */
	HOOK_ALLOW_LOOPBACK, /* the same, and http to localhost and 127.0.0.x */
	HOOK_ALLOW_ANY,      /* http and https to anywhere */
};

/* To what kind of address a URL may lead. */
enum hook_reach { HOOK_REACH_PUBLIC, HOOK_REACH_LOOPBACK, HOOK_REACH_ANY };

enum { HOOK_URL_MAX = 2048, HOOK_REFUSED = 1 };

/* 0, HOOK_REFUSED (*ret_why says why, a sentence) or -ENOMEM. An address written as one is judged here already, however it is
 * spelled. */
int hook_url_judge(struct slice url, enum hook_allow allow, enum hook_reach *ret_reach, const char **ret_why) MUST_USE;

/* May a connection be made? `address`: of AF_INET or AF_INET6; all others may not. */
bool hook_address_allowed(const struct sockaddr *address, enum hook_reach reach);
