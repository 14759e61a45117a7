/* The HTTP engine of one loop thread: its connections, their exchanges, its deadlines. */
#pragma once

#include "http/exchange/exchange.h"
#include "net/loop.h"

struct http_limits {                /* each is a configuration key; all have a test */
	uint32_t header_count;      /* fields in a request; 64 */
	uint32_t header_bytes;      /* request line and fields together; 16 KiB */
	uint32_t target_bytes;      /* 8 KiB */
	uint32_t pipeline;          /* unanswered exchanges of one connection; 64 */
	uint32_t connections;       /* of all threads together; 0 = as many as descriptors allow */
	uint32_t header_timeout_ms; /* first byte of a request to the end of its head; 10 s */
	uint32_t body_timeout_ms;   /* between two reads of a body; 30 s */
	uint32_t idle_timeout_ms;   /* kept alive without a request; 75 s */
	uint32_t write_timeout_ms;  /* a reader that takes nothing for so long is cut; 30 s */
	uint32_t output_bytes;      /* answers waiting for a slow reader, per connection; beyond it reading stops; 256 KiB */
	uint64_t body_bytes;        /* longest body at all; 64 GiB */
	uint64_t body_memory_bytes; /* bodies on their way in, of one thread, in memory; beyond it they go to blobs; 0 = 64 MiB */
};

struct http_config {
	struct http_limits limits;
	const struct exchange_handler *handler;
	struct store *store; /* blob_open is used, from any thread */
	/* Releases a sealed blob that no event names: posts to the sequencer's thread. */
	void (*blob_release)(void *ctx, const struct body_ref *blob);
	/* A sealed blob comes back from the store's thread through the loop's mailbox: the owner of the loop hands every mail
	 * whose kind it does not know to http_thread_mail (see below). */
	void *ctx;
	struct slice cors_origin; /* "" = no CORS; "*" or one origin */
};

struct http_thread_stats {
	uint64_t connections_open, connections_total, connections_refused;
	uint64_t requests_total;
	uint64_t parked;
	uint64_t bytes_in_total, bytes_out_total;
	uint64_t gone_total;     /* exchanges whose client left first */
	uint64_t timeouts_total; /* senders and readers cut for slowness */
};

/* `index` < 64. `config` may be replaced later by http_thread_configure on the same thread (SIGHUP). */
int http_thread_new(struct loop *loop, unsigned index, const struct http_config *config, void *door,
		    struct http_thread **ret_thread) MUST_USE;
void http_thread_configure(struct http_thread *thread, const struct http_config *config);

/* Takes over an accepted socket (non-blocking). */
void http_thread_accept(struct http_thread *thread, int fd);

/* Mail of the engine's own begins with this; everything that travels through a loop's mailbox begins with a `struct mail` and a
 * kind (`struct message` in sequencer/command.h); the engine's kind is MESSAGE_HTTP. */
void http_thread_mail(struct http_thread *thread, struct mail *mail);

/* The last step of a turn: writes what the turn's answers left, one write a connection. Callbacks on_gone and on_written that
 * are due are made before and after, never in between. Returns true when there is more to do at once (bounded work a turn). */
bool http_thread_flush(struct http_thread *thread);

/* Drain: idle connections close, the others close behind their next answer. */
void http_thread_drain(struct http_thread *thread);
/* Calls `each` for every parked exchange (which it may answer). */
void http_thread_each_parked(struct http_thread *thread, void (*each)(struct exchange *ex, void *ctx), void *ctx);

void http_thread_stats(const struct http_thread *thread, struct http_thread_stats *ret_stats);
/* Closes every connection without a word, and none to the door: its exchanges, gone ones that it is not done with, too, are
 * freed. */
void http_thread_free(struct http_thread *thread);
