/* How many bytes a second a client may send and be sent (`produce-byte-rate`, `fetch-byte-rate`), by its client id, on whichever
 * connections of whichever threads. Who had more is told so in the answer (throttle_time_ms), and nothing is read from its
 * connection for as long (KIP-219).
 *
 * Of a client it is known when what it had will be paid for. It may have a second's worth in advance. Those who were silent
 * longest are forgotten when there are too many. */
#pragma once

#include "base/slice.h"

enum { QUOTA_BURST_MS = 1000, QUOTA_WAIT_MAX_MS = 30000 };
enum quota_kind { QUOTA_PRODUCE, QUOTA_FETCH, QUOTA_COUNT };

struct kafka_quotas;

struct kafka_quotas *kafka_quotas_new(void); /* NULL: no memory. All else may be called on any thread. */
struct kafka_quotas *kafka_quotas_free(struct kafka_quotas *quotas);

/* A client by its id. Never 0. */
uint64_t kafka_quota_client(const struct kafka_quotas *quotas, struct slice client_id);

struct quota_charge {
	uint64_t client;
	enum quota_kind kind;
	uint64_t rate_bytes; /* a second; not 0 */
	uint64_t bytes;
	uint64_t now_ms;
	uint32_t clients_max;
};

/* How long it is to wait before it may have more; QUOTA_WAIT_MAX_MS at most, and what is left is asked for the next time. */
uint32_t kafka_quota_charge(struct kafka_quotas *quotas, const struct quota_charge *charge);
