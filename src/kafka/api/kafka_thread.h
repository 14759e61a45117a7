/* The Kafka door (doc/kafka.md) of one loop thread: its connections, the requests on them, and their waits. No rule about topics
 * or groups lives here: requests become commands for the sequencer, and what comes back is encoded. */
#pragma once

#include "net/loop.h"
#include "sequencer/command.h"

struct kafka_thread;
struct kafka_quotas;

struct kafka_limits {                      /* each is a configuration key; all have a test */
	uint32_t frame_bytes;              /* longest request */
	uint32_t fetch_bytes;              /* most that one answer to Fetch has */
	uint32_t pipeline;                 /* requests of one connection that are not answered */
	uint32_t connections;              /* of all threads together; 0 = as many as descriptors allow */
	uint32_t read_timeout_ms;          /* between two reads of a request */
	uint32_t idle_timeout_ms;          /* without a request */
	uint32_t write_timeout_ms;         /* a reader that takes nothing for so long is cut */
	uint32_t output_bytes;             /* answers waiting for a slow reader; beyond it reading stops */
	uint64_t max_wait_ms;              /* longer waits are cut to it */
	uint64_t memory_bytes;             /* long requests of one thread together; the next ones wait */
	uint64_t answer_bytes;             /* what it may take to answer one request, records left out */
	uint32_t topic_partitions;         /* of a topic whose maker does not say how many */
	uint32_t sessions;                 /* of Fetch, on one thread */
	uint32_t session_partitions;       /* in all of these */
	uint64_t produce_rate, fetch_rate; /* bytes a second of one client; 0: as many as it likes */
	uint32_t quota_clients;            /* that are known to have a rate; of all threads */
	uint32_t wait_items;               /* partitions at which Fetch requests of one thread wait, sessions left out */
	uint64_t consumer_session_ms, consumer_beat_ms; /* of groups whose partitions the server assigns, to be told */
	bool auto_create;                               /* whoever asks for a topic that is not there makes it */
};

struct kafka_config {
	struct kafka_limits limits;
	struct kafka_quotas *quotas; /* of all threads (quota.h); NULL: rates do not count */
	struct slice host;           /* by which clients are told to come */
	uint16_t port;
	/* All are called with the `ctx` of kafka_thread_new. */
	void (*send)(void *ctx, struct command *command); /* comes back by kafka_thread_message */
	void (*send_message)(void *ctx, struct message *message);
	uint64_t (*unix_ms)(void *ctx);
	/* Such a topic may be compacted, so whether its records have keys must be looked at. */
	bool (*keys_count)(void *ctx, struct slice topic);
	void (*diag)(void *ctx, const char *line); /* a message for whoever runs the server; NULL: nobody does */
};

/* Why a connection was ended for what was sent on it. */
enum kafka_broken {
	KAFKA_BROKEN_LENGTH,    /* a request cannot be so long, or so short */
	KAFKA_BROKEN_UNKNOWN,   /* its key or version is not offered */
	KAFKA_BROKEN_MALFORMED, /* it does not fit its frame */
	KAFKA_BROKEN_MEMORY,    /* it would take more than it may */
	KAFKA_BROKEN_COUNT
};

struct kafka_thread_stats {
	uint64_t connections_open, connections_total, connections_refused;
	uint64_t requests_total;
	uint64_t parked;                       /* waits, now */
	uint64_t sessions, session_partitions; /* of Fetch, now */
	uint64_t held;                         /* connections whose next request waits for memory, now */
	uint64_t bytes_in_total, bytes_out_total;
	uint64_t broken_total[KAFKA_BROKEN_COUNT];
	uint64_t throttled_total; /* answers that told a client to wait */
	uint64_t timeouts_total;  /* senders and readers cut for slowness */
};

/* 0 or -ENOMEM. `config` may be replaced later by kafka_thread_configure on the same thread. */
int kafka_thread_new(struct loop *loop, unsigned index, const struct kafka_config *config, void *ctx,
		     struct kafka_thread **ret_thread) MUST_USE;
void kafka_thread_configure(struct kafka_thread *thread, const struct kafka_config *config);

/* Takes over an accepted socket (non-blocking). */
void kafka_thread_accept(struct kafka_thread *thread, int fd);

/* A command of this door's that comes back. */
void kafka_thread_message(struct kafka_thread *thread, struct message *message);
/* What has come of a partition that is followed; the message is taken over. */
void kafka_thread_grew(struct kafka_thread *thread, struct stream_growth *growth);

/* The last step of a turn: writes what the turn's answers left, one write a connection. Returns true when there is more to do at
 * once (bounded work a turn). */
bool kafka_thread_flush(struct kafka_thread *thread);

/* The server leaves: waits are answered, spread over `drain_ms`; connections close behind what they were asked. */
void kafka_thread_drain(struct kafka_thread *thread, uint64_t drain_ms);
/* The journal failed: every connection ends. */
void kafka_thread_fail(struct kafka_thread *thread);

void kafka_thread_stats(const struct kafka_thread *thread, struct kafka_thread_stats *ret_stats);
/* Closes everything without a word. No command of this door's may be under way any more. */
struct kafka_thread *kafka_thread_free(struct kafka_thread *thread);
