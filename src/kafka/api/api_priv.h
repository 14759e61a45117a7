/* Inside the Kafka door: connections, the requests on them (calls), and what handlers of requests are given.
 *
 *  1. A connection is freed in kafka_conn_attend only, which kafka_thread_flush calls; until then a dead one is CONN_BROKEN.
 * Whatever has to be done later for a connection puts it into its thread's `work`; once is enough.
 *  2. `calls` holds, in the order of the requests, those whose answer has not been moved to `out`. Only the first may move.
 *  3. A call with commands under way outlives its connection: `conn` is NULL then, and it is freed when the last has come back.
 *     Whatever is answered to it meanwhile is dropped.
 *  4. A call is answered once, by kafka_call_answer… or kafka_call_close. A parked one waits for kafka_call_unpark, by a wake,
 * its deadline, a request that comes behind it (`waits->behind`), or its end (`waits->gone`).
 *  5. A call owns its frame, into which its request points, and its arena. One that `sheds` has neither while it is parked, and
 * a new arena for its answer. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "kafka/api/error.h"
#include "kafka/api/kafka_thread.h"
#include "kafka/api/quota.h"
#include "kafka/codec/request.h"
#include "net/stream.h"
#include "wait/board.h"

enum {
	READ_BYTES = 64 * 1024, /* one read */
	READS_A_TURN = 8,       /* of one connection */
	WRITES_A_TURN = 8,
	WRITE_BYTES = STORE_BODY_MAX,    /* read for one write: what lies in the journal is read and checked as a whole */
	WRITE_ENOUGH_BYTES = 256 * 1024, /* one write has no more pieces than this takes */
	WRITE_PARTS = 64,
	CONNS_A_TURN = 4096,
	REQUEST_ROOM_BYTES = 16 << 20, /* what one request may take, decoded: so much … */
	REQUEST_ROOM_SHARE = 32,       /* … or, if that is less, so much for each of its bytes */
	/* What compressed batches may become that one request brings or asks about, all together: a few bytes may stand for very
	 * many. Clients ask again for the rest. */
	REQUEST_OPENED_BYTES = 256 << 20,
};

#define KAFKA_OFFER KAFKA_OFFER_ALL

/* There is one server, and it leads every partition (TOPIC_LEADER_EPOCH). */
enum { NODE_ID = 1 };
#define CLUSTER_ID SLICE("bide")

/* Who may do what is not looked at, so everybody may do all of it: bits by the numbers of operations. */
enum {
	TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
	CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
};

enum conn_flag {
	CONN_FIN = 1,       /* read to its end */
	CONN_RDHUP = 2,     /* the client sends no more, but not everything was read */
	CONN_BROKEN = 4,    /* neither read nor written any more; ends at the next attention */
	CONN_CLOSING = 8,   /* no further request is taken from it */
	CONN_READABLE = 16, /* the socket may have more for us */
	CONN_BLOCKED = 32,  /* the socket takes no more until it says so */
	CONN_GOT = 64,      /* bytes came since the timer was set */
	CONN_SENT = 128,    /* bytes went since the timer was set */
	CONN_LAST = 256,    /* the answer behind which it ends is in `out` */
};

enum timer_kind { TIMER_NONE /* and not in the wheel */, TIMER_READ, TIMER_WRITE, TIMER_IDLE, TIMER_MUTE };

/* A part of what a connection has to write: bytes, or a part of a body that lies in the store. */
struct piece {
	struct piece *next;
	struct buf bytes;
	struct store_pin *pin; /* NULL: `bytes` */
	uint64_t at, end;      /* what is left of either */
	bool checked;          /* some of the body was written, so all of it was looked at and is right */
	const char *view;      /* of the body: store.h; NULL: it is read */
};

struct chain {
	struct piece *first, *last;
};

struct kafka_conn {
	struct loop_source source;
	struct stream stream;
	struct kafka_thread *thread;
	struct list all, work, calls;
	struct list held; /* in the thread's `held`, with the size of its next request: it waits for memory */
	struct wheel_entry timer;
	struct kafka_call *incoming; /* whose frame is being read; in no list */
	struct buf rest;             /* what was read and cannot be used now */
	struct fetch_set *session;   /* NULL: none */
	uint64_t muted_until_ms;     /* nothing is read from it before: quota.h */
	struct chain out;
	uint64_t out_bytes;           /* in `out` and in early answers */
	uint64_t held_bytes;          /* frames of its calls */
	uint32_t call_count, holding; /* of its calls those that hold back what comes behind them */
	uint16_t flags;
	uint8_t timer_kind, size_len;
	char size[KAFKA_SIZE_BYTES];
};

/* What a parked call waits for, and how it stops. */
struct kafka_waits {
	void (*expired)(struct kafka_call *call); /* its deadline came: unparked already, to be answered */
	/* A request came behind it. NULL: that one waits. May answer; is still parked. */
	void (*behind)(struct kafka_call *call);
	void (*gone)(struct kafka_call *call); /* its client left: unparked already, freed when this returns. May be NULL */
};

enum call_state {
	CALL_READING, /* its frame is not whole */
	CALL_OPEN,    /* with its handler */
	CALL_PARKED,
	CALL_ANSWERED, /* its answer waits for its turn */
};

struct kafka_call {
	struct list siblings; /* of its connection, in order; or in the thread's `gone` */
	struct kafka_conn *conn;
	struct kafka_thread *thread;
	struct kafka_request request;
	struct buf frame;
	size_t frame_bytes; /* of the whole frame */
	struct arena arena;
	struct chain answer;
	const struct kafka_waits *waits; /* of a parked one */
	struct wheel_entry deadline;     /* of a parked one, and of a long frame that is being read */
	void *own;                       /* the handler's, in the arena unless `forget` gives it back */
	uint64_t client;                 /* whose quotas it counts for; 0: nobody's */
	uint64_t taken_bytes;            /* of what it may take to be answered */
	void (*forget)(struct kafka_call *call);
	uint32_t asking; /* commands under way */
	uint8_t state;
	bool closes; /* no answer: the connection ends in its place */
	bool holds;
	bool sheds; /* once it is parked nothing in its arena and in its frame is needed any more */
};

struct kafka_thread {
	struct loop *loop;
	struct wheel *wheel;
	struct kafka_config config;
	void *ctx;
	unsigned index;
	bool draining;
	struct list conns, work, gone, held;
	uint64_t long_bytes; /* of frames that are long */
	uint64_t kept_bytes; /* of answers that have not been taken by their readers, records in the store left out */
	struct pool conn_pool, piece_pool, spot_pool;
	size_t hung_spots; /* partitions at which Fetch requests wait */
	uint64_t sessions_made;
	struct board board; /* waits, by the key of what they wait for */
	struct buf out;     /* the answer being made */
	struct kafka_thread_stats stats;
	uint64_t tell_ms, untold; /* broken.c: when it tells again, and of how many it did not */
	char read_buffer[READ_BYTES];
	char write_buffer[WRITE_BYTES];
};

/* Bytes [from, to) of a body that lies in the store. */
struct kafka_part {
	struct store_pin *pin;
	uint64_t from, to;
};

/* --- conn.c --- */
void kafka_conn_new(struct kafka_thread *thread, int fd);
void kafka_conn_need(struct kafka_conn *conn);  /* attention, at the next flush */
void kafka_conn_break(struct kafka_conn *conn); /* no word more in either direction; attention */
void kafka_conn_attend(struct kafka_conn *conn);
void kafka_conn_end(struct kafka_conn *conn); /* closes and frees it; its calls are gone */

void kafka_memory_given(struct kafka_thread *thread, uint64_t bytes); /* of a long frame that is no more */

/* --- broken.c: connections that end for what was sent on them --- */
void kafka_conn_broken(struct kafka_conn *conn, enum kafka_broken reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
void kafka_call_broken(struct kafka_call *call, int error); /* its request, by what reading it gave */

/* --- output.c --- */
int kafka_chain_append(struct kafka_thread *thread, struct chain *chain, struct slice bytes) MUST_USE; /* 0 or -ENOMEM */
/* Takes the pin over; when it fails, too. */
int kafka_chain_append_part(struct kafka_thread *thread, struct chain *chain, const struct kafka_part *part) MUST_USE;
uint64_t kafka_chain_bytes(const struct chain *chain);
void kafka_chain_move(struct chain *to, struct chain *from);
void kafka_chain_drop(struct kafka_thread *thread, struct chain *chain);
void kafka_output_write(struct kafka_conn *conn); /* until the socket takes no more, or enough is done for one turn */
/* An answer has come to those that have not been taken: if all these are too much, who has most of them is cut. */
void kafka_output_limit(const struct kafka_call *call);

/* --- call.c: what engine and handlers do with a call --- */
struct kafka_call *kafka_call_new(struct kafka_conn *conn, size_t frame_bytes); /* NULL: no memory */
void kafka_call_free(struct kafka_call *call);
void kafka_call_run(struct kafka_call *call); /* the frame is whole: opens, decodes and dispatches it */
/* As far as it has come it is a request that is offered: nobody sends a long one that is not. */
bool kafka_call_may_be_long(const struct kafka_call *call);
void kafka_call_gone(struct kafka_call *call);    /* its connection ends */
void kafka_line_advance(struct kafka_conn *conn); /* moves to `out` whatever has its turn */

/* An answer of this call's kind with everything at its default; NULL: no memory, and then the call was closed. */
void *kafka_call_response(struct kafka_call *call) MUST_USE;
/* Memory that lives as long as the call; NULL: none, and then the call was closed. */
void *kafka_call_alloc(struct kafka_call *call, size_t size_bytes) MUST_USE;
/* A copy that does; empty when there was no memory, and then the call was closed. */
struct slice kafka_call_dup(struct kafka_call *call, struct slice s);
/* Where its client is, as Apache Kafka writes it: "/127.0.0.1"; empty: nobody knows, or there was no memory. */
struct slice kafka_call_host(struct kafka_call *call);

/* Whether it was answered or closed already, as by a lack of memory. */
static inline bool kafka_call_is_answered(const struct kafka_call *call)
{
	return call->state == CALL_ANSWERED;
}

void kafka_call_answer(struct kafka_call *call, const void *response);

/* The same, with records that lie in the store. In the answer, `records` have a length and any `ptr`; the parts, one behind the
 * other, are as long as all of them together. Pins are taken over. */
void kafka_call_answer_stored(struct kafka_call *call, const void *response, const struct kafka_part *parts, size_t part_count);

void kafka_call_close(struct kafka_call *call);   /* no answer: the connection ends in its place */
void kafka_call_unasked(struct kafka_call *call); /* no answer, and the connection goes on: Produce with acks=0 */
/* No request behind it is taken up before it is answered: it changes something in more than one step. */
void kafka_call_hold(struct kafka_call *call);
/* So many bytes count for its client. How long that has to wait now, which its connection does by itself and its answer tells. */
uint32_t kafka_call_charge(struct kafka_call *call, enum quota_kind kind, uint64_t bytes);
void kafka_call_park(struct kafka_call *call, const struct kafka_waits *waits, uint64_t timeout_ms);
void kafka_call_unpark(struct kafka_call *call);

static inline bool kafka_call_is_parked(const struct kafka_call *call)
{
	return call->state == CALL_PARKED;
}

/* Nobody hears what is answered to it. */
static inline bool kafka_call_is_gone(const struct kafka_call *call)
{
	return !call->conn;
}

/* A command with what shall be done when it comes back, unless the call's client has gone meanwhile. The answer in it is given
 * back behind `answered`, which may take views out of it. */
struct kafka_ask {
	struct command command;
	void (*answered)(struct kafka_call *call, struct kafka_ask *ask);
};

/* In the call's arena; NULL: no memory, and then the call was closed. A call may have several under way. */
struct kafka_ask *kafka_ask_new(struct kafka_call *call, enum command_kind kind,
				void (*answered)(struct kafka_call *call, struct kafka_ask *ask)) MUST_USE;
void kafka_ask_send(struct kafka_call *call, struct kafka_ask *ask);
enum { KAFKA_ASKS_UNDER_WAY = 16 };         /* of one call that asks about many things, each with an answer that may be large */
void kafka_ask_back(struct kafka_ask *ask); /* by the thread */

/* --- dispatch.c: who handles what --- */
typedef void kafka_handler(struct kafka_call *call, const void *request);
kafka_handler *kafka_handler_find(int16_t key); /* NULL: nobody does, and it is not offered */

/* --- versions.c --- */
kafka_handler api_versions_handle;

/* --- cluster.c, metadata.c --- */
kafka_handler metadata_handle, describe_cluster_handle, describe_log_dirs_handle;
kafka_handler sasl_handshake_handle, sasl_authenticate_handle, describe_acls_handle, create_acls_handle, delete_acls_handle;

/* --- produce.c, fetch.c, offsets.c --- */
kafka_handler produce_handle, fetch_handle, list_offsets_handle, offset_for_leader_epoch_handle, delete_records_handle;

void fetch_session_end(struct kafka_conn *conn);

/* --- topics.c, configs.c, producer_id.c --- */
kafka_handler create_topics_handle, delete_topics_handle, create_partitions_handle;
kafka_handler describe_configs_handle, alter_configs_handle, incremental_alter_configs_handle;
kafka_handler init_producer_id_handle;

/* --- txn.c, txn_view.c --- */
kafka_handler describe_transactions_handle, list_transactions_handle, describe_producers_handle;
kafka_handler add_partitions_to_txn_handle, add_offsets_to_txn_handle, txn_offset_commit_handle, end_txn_handle;

/* --- consumer.c --- */
kafka_handler consumer_group_heartbeat_handle;

/* --- group.c, group_offsets.c, group_admin.c --- */
kafka_handler find_coordinator_handle, join_group_handle, sync_group_handle, heartbeat_handle, leave_group_handle;
kafka_handler offset_commit_handle, offset_fetch_handle, offset_delete_handle;
kafka_handler describe_groups_handle, list_groups_handle, delete_groups_handle, consumer_group_describe_handle;
enum kafka_error kafka_group_error_of(enum outcome outcome); /* of a group as a whole */
