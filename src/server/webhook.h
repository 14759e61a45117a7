/* The deliverer of webhooks: takes hooks from the sequencer's thread, posts each to its URL, and sends it back there with what
 * became of it, once each.
 *
 * One thread of its own, over libcurl, begun with the first hook; without any there is neither thread nor curl. What is asked
 * of a receiver is bounded: how long it may take, how much it may answer, how many are asked at once; the others wait in line.
 * Those who failed before may take half of the places, so that however many receivers are dead, the living are called. A hook
 * whose lease is over is not posted any more: its wake is void, and another one stands behind it in line. Redirects are not
 * followed and no proxy is asked, since either would lead past the look at each address (http/api/hook_url.h). */
#pragma once

#include "http/api/hook_sign.h"
#include "http/api/hook_url.h"
#include "sequencer/command.h"

struct webhooks;

struct webhooks_config {
	enum hook_allow allow;
	unsigned at_once_max;
	uint64_t timeout_ms;
	const char *ca_file; /* of the authorities that certificates are held against; empty: the system's */
	struct hook_signer *signer;
	uint64_t (*unix_ms)(void *ctx);                            /* the sequencer's time; on whichever thread */
	void (*report)(void *ctx, const struct hooked_in *hooked); /* on whichever thread */
	void *ctx;
};

struct webhooks *webhooks_new(const struct webhooks_config *config); /* NULL: no memory */
/* Those that are under way are broken off, without a word. */
struct webhooks *webhooks_free(struct webhooks *w);

struct webhooks_stats {
	uint64_t pending; /* in line or under way */
	uint64_t done_total, answered_total, failed_total;
};
void webhooks_stats(struct webhooks *w, struct webhooks_stats *ret_stats); /* any thread */

/* The sequencer's thread. Takes it over. */
void webhooks_send(struct webhooks *w, struct hook *hook);
