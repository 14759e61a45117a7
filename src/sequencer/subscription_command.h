/* What doors ask about subscriptions (Durable Streams protocol §6 and §7), and what comes back; part of command.h.
 *
 * A place is a pair (stream's number, offset), as everywhere: the offset is that of the next record, so "acked at a place" means
 * that reading goes on there. (0, 0) is the place in a stream that is not there yet. Paths are as streams have them.
 *
 * A subscription is idle, or a wake is in flight. Every wake has the next generation, and a wake id and a token that only the
 * journal's secret can make from the subscription and the generation. Of a webhook a wake is delivered by whoever receives the
 * `struct hook` (command.h); of a pull-wake it is written to the wake stream, and a worker claims it. What is linked is judged
 * when records come: a stream that matches the pattern is linked at its first append. */
#pragma once

#include "base/slice.h"

enum {
	SUBSCRIPTION_ID_MAX = 256,
	SUBSCRIPTION_PATTERN_MAX = 1024,
	SUBSCRIPTION_URL_MAX = 2048,
	SUBSCRIPTION_ORIGIN_MAX = 512,
	SUBSCRIPTION_TEXT_MAX = 1024, /* the description; a worker's name */
	SUBSCRIPTION_LEASE_MIN_MS = 1000,
	SUBSCRIPTION_LEASE_MAX_MS = 600000,
	SUBSCRIPTION_TOKEN_CHARS = 39,
	WAKE_ID_CHARS = 15, /* "w_" and 13 */
};

enum subscription_type { SUBSCRIPTION_WEBHOOK = 1, SUBSCRIPTION_PULL = 2 };

/* CREATE: all of it. LINK, UNLINK: id and streams. GET, DELETE: id. Streams and their order may repeat: twice is once. */
struct subscription_in {
	struct slice id;
	enum subscription_type type;
	struct slice pattern;        /* empty: none */
	const struct slice *streams; /* explicit ones: paths */
	size_t stream_count;
	struct slice url;         /* of a webhook; checked by the door */
	struct slice origin;      /* of a webhook: "http://host:port", as its maker sees us; callback URLs begin so. Kept from the
				   * CREATE that made it, and no part of what a repeated one is held against */
	struct slice wake_stream; /* of a pull-wake: a path */
	struct slice description; /* empty: none */
	uint64_t lease_ttl_ms;
};

struct subscription_claim_in {
	struct slice id, worker;
};

struct subscription_ack {
	struct slice path;
	uint64_t number, offset;
};

/* ACK (also a webhook's callback) and RELEASE, which has no acks. */
struct subscription_ack_in {
	struct slice id, token;
	struct slice wake_id;
	uint64_t generation;
	const struct subscription_ack *acks;
	size_t ack_count;
	bool done;
	bool callback; /* asked through the path of webhooks' callbacks: OUTCOME_TYPE when it is not one; and the other way round
			*/
};

/* HOOKED: what became of a hook. Whatever became of it, this must be said. */
enum hook_result {
	HOOK_FAILED,   /* no answer, or not a 2xx one: it comes again, later and later */
	HOOK_ANSWERED, /* 2xx: the receiver will call back before its lease is over */
	HOOK_DONE,     /* 2xx with {"done":true}: the tails the hook told are acked */
};

struct hooked_in {
	uint64_t number, generation; /* as in the hook's view */
	enum hook_result result;
};

/* One link. In a hook the tail is that of the wake, which "done" acks. */
struct subscription_stream_view {
	struct slice path;
	bool is_explicit; /* otherwise by the pattern */
	bool has_pending;
	uint64_t number; /* of the stream; 0: there is none now */
	uint64_t acked_offset, tail_offset;
};

/* A subscription as it was at one moment, in one piece of memory, which is its one owner's: message_free and
 * command_answer_deinit free it. */
struct subscription_view {
	uint64_t number; /* never used twice */
	enum subscription_type type;
	struct slice id, pattern, url, origin, wake_stream, description, holder;
	uint64_t lease_ttl_ms, created_ms;
	uint64_t generation;                /* of the last wake; 0: there was none */
	uint64_t lease_until_ms;            /* unix; 0: no lease is held */
	uint64_t attempts, next_attempt_ms; /* deliveries that failed in a row; when the next one is due (0: none) */
	bool failed;                        /* "status": a delivery failed, and it is tried again */
	bool in_flight;                     /* a wake is; then these two are its own. Show them to its receiver alone */
	char wake_id[WAKE_ID_CHARS + 1];
	char token[SUBSCRIPTION_TOKEN_CHARS + 1];
	size_t stream_count;
	struct subscription_stream_view streams[]; /* by link, the oldest first */
};

struct subscription_view *subscription_view_free(struct subscription_view *view); /* NULL is fine; returns NULL */
