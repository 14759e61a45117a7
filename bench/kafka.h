#pragma once
/*
 * The Kafka protocol from a client's side, so cheap that what is measured is the server: requests of fixed versions, made and
 * read by the server's own tables of messages (src/kafka/codec), batches by its own writer of batches. Both are held against
 * clients that others wrote elsewhere; here each answer is checked, and what was acknowledged is counted at the end.
 *
 * Topics are named by the run's --prefix. One has up to KAFKA_TOPIC_PARTITIONS partitions; more make more topics, the first of
 * which is called as the prefix, the others with a number behind it.
 */
#include "loop.h"
#include "options.h"
#include "proc.h"

#include "base/arena.h"
#include "base/buf.h"
#include "kafka/codec/api_keys.h"
#include "kafka/codec/messages_records.h"

#define KAFKA_TOPIC_PARTITIONS 1000
#define KAFKA_TIMEOUT_NS       120000000000ull

/* Queues a request; of a version that this project's server and Kafka's both know. */
void kafka_send(struct conn *conn, enum kafka_key key, const void *request);
/* Appends its frame instead. */
void kafka_frame(struct buf *out, enum kafka_key key, const void *request);

/* The first whole answer: its length with its size, or 0. What was read lies in conn->in and in the arena. */
size_t kafka_answer(struct conn *conn, enum kafka_key key, struct arena *arena, void *ret_response);

/* A connection for questions, one at a time. */
void kafka_control_open(struct conn *conn, struct loop *loop);
/* Waits for the answer, which lives as long as the arena, and until the next question. */
void kafka_ask(struct conn *control, enum kafka_key key, const void *request, struct arena *arena, void *ret_response);

/* Makes topics with so many partitions in all, and waits until each is there. */
void kafka_topics_make(struct conn *control, const char *prefix, uint32_t partitions_count);
/* How many there are for so many partitions, and their names: into `name`, which has 64 bytes. */
uint32_t kafka_topics_count(uint32_t partitions_count);
struct slice kafka_topic_name(char *name, const char *prefix, uint32_t topic);

/* Records in the first topic: of all its partitions, by what the server says of their ends; each end into `ret_ends`, unless
 * NULL. */
uint64_t kafka_ends(struct conn *control, const char *prefix, uint32_t partitions_count, int64_t *ret_ends);

/* One batch of so many records, with values of so many bytes; the first begins with what `tag` says, in 8 bytes. */
void kafka_batch(struct buf *out, uint64_t tag, uint32_t records_count, uint32_t body_bytes);
/* What that was: of a batch with one record. */
uint64_t kafka_batch_tag(struct slice batch, uint32_t body_bytes);

/* The next of several batches: where it begins and how many records; false at the end, and where the last one is not whole. */
bool kafka_batch_next(struct slice *rest, struct slice *ret_batch, uint64_t *ret_offset, uint32_t *ret_count);

/* A consumer's request: all partitions from [first topic, …), each from its offset (NULL: 0). Kept between requests. */
struct kafka_asking {
	struct kafka_fetch_request request;
	uint32_t partitions_count;
	struct kafka_fetch_topic *topics;         /* owned */
	struct kafka_fetch_partition *partitions; /* owned */
	char *names;                              /* owned */
};
void kafka_asking_init(struct kafka_asking *asking, const char *prefix, uint32_t partitions_count);
void kafka_asking_free(struct kafka_asking *asking);
/* As a consumer does whose session the server keeps (KIP-227): what the answer says of it goes into the next request. */
void kafka_asking_session(struct kafka_asking *asking, const struct kafka_fetch_response *response);

/* The server's CPU time, from its process on. */
void kafka_procs_find(struct proc_set *procs, const struct options *options);
