/* The HTTP door (doc/http-api.md): requests become commands for the sequencer, waits are parked, what comes back is encoded. No
 * rule about jobs lives here.
 *
 * One api_thread stands beside each loop thread's HTTP engine and belongs to that thread. Commands live in the arenas of their
 * exchanges; `send` takes them to the sequencer, api_thread_message brings them back, once each. */
#pragma once

#include "http/api/hook_url.h"
#include "http/exchange/exchange.h"
#include "sequencer/command.h"

struct api_thread;
struct hook_signer;

struct api_config {
	uint64_t default_wait_ms;   /* of claims and waits that do not say */
	uint64_t max_wait_ms;       /* longer ones are cut to it */
	uint64_t many_items;        /* that waits for many may have on one thread, together */
	uint64_t body_bytes;        /* longest body or result */
	uint64_t output_bytes;      /* the sequencer's: of one job's output; so an append that cannot fit is not taken in first */
	uint32_t topic_partitions;  /* of a topic whose maker does not say */
	uint64_t delivery_lease_ms; /* the sequencer's: an offer under way is confirmed or renewed more often */
	const char *version;
	struct hook_signer *hook_signer;
	enum hook_allow hook_allow;
	/* All are called with the `ctx` of api_thread_new. */
	void (*send)(void *ctx, struct command *command);
	void (*send_message)(void *ctx, struct message *message); /* of kind MESSAGE_RELEASE */
	void (*hook)(void *ctx, struct hook *hook);               /* a webhook is to be called; taken over */
	void (*metrics)(void *ctx, struct buf *out);              /* Prometheus text */
	void (*info)(void *ctx, struct buf *out);                 /* members of an open JSON object */
	bool (*ready)(void *ctx);
	bool (*draining)(void *ctx);
	uint64_t (*unix_ms)(void *ctx);
};

enum { API_LATENCY_BUCKETS = 16 }; /* bucket i: up to 64 µs << i; the last: the rest */

struct api_stats {
	uint64_t parked_job, parked_result, parked_submit, parked_claim, parked_many, parked_stream; /* now */
	uint64_t answered_total, expired_total, gone_total, drained_total;                           /* how waits ended */
	uint64_t wake_bucket[API_LATENCY_BUCKETS], wake_count, wake_sum_us; /* from durable to answered */
};

/* NULL: no memory. `index` is the loop thread's. */
struct api_thread *api_thread_new(unsigned index, const struct api_config *config, void *ctx);
struct api_thread *api_thread_free(struct api_thread *api); /* after its http_thread */
void api_thread_configure(struct api_thread *api, const struct api_config *config);

/* What the engine calls. */
const struct exchange_handler *api_handler(void);

/* A command that comes back, a wake or an offer. */
void api_thread_message(struct api_thread *api, struct message *message);
/* The same at the end of everything: whatever the message holds is let go. */
void api_message_drop(struct message *message);

/* The server leaves: parked waits are answered, spread over `drain_ms`; new ones do not wait. Before http_thread_drain. */
void api_thread_drain(struct api_thread *api, struct http_thread *http, uint64_t drain_ms);
/* The journal failed: whoever waits is told now. */
void api_thread_fail(struct api_thread *api, struct http_thread *http);

void api_thread_stats(const struct api_thread *api, struct api_stats *ret_stats);
