/* The oracle of topics: what the events say of topics, of Kafka producers and of their transactions, folded by other code than
 * the core's, with the whole past kept. A partition is a stream, and where its bytes lie stream_model.h knows; here is what its
 * batches say.
 *
 * A record names the client's transaction it was sent in. So whether a transaction was done as a whole follows from what lies in
 * the partitions alone: no two of its batches may have come to different ends. */
#pragma once

#include "sim/stream_model.h"
#include "stream/sequence.h"
#include "topic/topic.h"

enum {
	MODEL_PARTITIONS_MAX = 16,
	MODEL_SEQUENCES_MAX = 32,
	MODEL_TXNS_MAX = 16,
	MODEL_TXN_BYTES = 2048,
	MODEL_SETTINGS_BYTES = 512,
	CONTENT_FROM = 43, /* of a batch, from the producer's id on: what lies before the server may set */
};

enum fate { FATE_NONE, FATE_OPEN, FATE_COMMITTED, FATE_ABORTED };

struct model_batch {
	uint64_t offset, count, end, time_ms, size_bytes;
	int64_t producer_id; /* -1: none */
	uint64_t epoch, seq;
	uint64_t content;
	uint64_t txn; /* the client's number of it; 0: none */
	uint8_t kind; /* enum stream_txn */
	uint8_t fate; /* of records in a transaction */
	/* What compaction has made of it; `content` stays what was sent. */
	uint64_t horizon_ms; /* UINT64_MAX: none is said */
	uint64_t content_now;
	bool append_time, gone; /* gone: nothing of it is left */
};

struct model_record {
	uint64_t content; /* of key, value and headers */
	uint64_t key;     /* 0: none */
	uint64_t time_ms;
	bool null, gone; /* gone: by compaction */
};

struct model_sequence {
	uint64_t producer_id, epoch, last_ms, used;
	uint64_t txn_first; /* UINT64_MAX: none is open here */
	uint64_t since;     /* the offset from which on it is known */
	unsigned count;
	struct sequence_batch last[SEQUENCE_BATCHES]; /* the oldest first */
};

struct model_partition {
	struct model_stream *stream;
	struct model_batch *batches;
	struct model_record (*records)[MODEL_RECORDS_MAX]; /* of each batch; a marker has none */
	size_t count, cap;
	uint64_t clean_offset, horizon_ms; /* how far it is compacted; when something of that may go */
	struct model_sequence sequences[MODEL_SEQUENCES_MAX];
	size_t sequence_count;
	struct aborted *aborted; /* by their markers */
	size_t aborted_count, aborted_cap;
};

struct model_topic {
	uint64_t number, changed_end, deleted_end;
	char name[MODEL_STREAM_CHARS];
	struct topic_id id;
	uint64_t partitions[MODEL_PARTITIONS_MAX]; /* numbers of streams */
	uint32_t partition_count;
	char settings[MODEL_SETTINGS_BYTES];
	size_t settings_len;
	uint64_t retention_ms, retention_bytes, max_message_bytes, delete_retention_ms, lag_ms;
	double dirty_ratio;
	bool compact, append_time;
};

struct model_txn {
	char id[MODEL_STREAM_CHARS];
	uint64_t producer_id, epoch, state, timeout_ms, started_ms, changed_ms, changed_end;
	uint64_t streams[MODEL_PARTITIONS_MAX];
	size_t stream_count;
	char offsets[MODEL_TXN_BYTES];
	size_t offsets_len;
};

/* A pass of compaction, as whoever does it sees it: what of a partition may be left out, and when its step was taken. */
struct model_pass {
	uint64_t stream, until;
	uint64_t bound; /* of `until`, by the oracle */
	uint64_t taken_ms, retention_ms;
};

struct model_topics {
	const struct model_pass *pass;       /* of which events are told now; NULL: they are replayed, or not of one */
	struct model_partition **partitions; /* by the stream's number */
	uint64_t partition_cap;
	struct model_topic **at; /* by number */
	uint64_t cap, next_number, live;
	struct model_txn txns[MODEL_TXNS_MAX];
	size_t txn_count;
	uint64_t next_producer_id, used;
	uint8_t *fates; /* by the client's number of the transaction */
	uint64_t fate_cap;
	uint64_t forgotten_end; /* of the last event with which a topic went */
};

struct model;

void model_topics_deinit(struct model_topics *topics);

/* An event about a partition, behind model_stream_apply; and one about topics. NULL, or what is wrong with it. */
const char *model_partition_apply(struct model *model, const struct stream_event *e, struct slice body) MUST_USE;
const char *model_topic_apply(struct model *model, const struct store_replay *entry) MUST_USE;
const char *model_txn_apply(struct model *model, const struct topic_event *e) MUST_USE; /* txn_model.c */

struct model_partition *model_partition(const struct model_topics *topics, uint64_t stream); /* also one that is gone; or NULL */
struct model_topic *model_topic(const struct model_topics *topics, const struct topic_ref *ref); /* NULL: there is none */
/* NULL: there is none now. */
struct model_partition *model_partition_of(const struct model_topics *topics, const struct topic_ref *ref, uint32_t partition);
struct model_txn *model_txn(struct model_topics *topics, struct slice id);
struct model_txn *model_txn_producer(struct model_topics *topics, uint64_t producer_id);
/* An open transaction will commit it, or will not. */
bool model_txn_holds(const struct model_topics *topics, struct slice group, struct slice topic, uint32_t partition);
bool model_txn_has(const struct model_txn *txn, uint64_t stream);
struct model_sequence *model_sequence(struct model_partition *partition, uint64_t producer_id);
uint64_t model_sequence_next(const struct model_sequence *sequence);
uint64_t model_stable(const struct model_partition *partition);
const struct model_batch *model_batch(const struct model_partition *partition, uint64_t offset); /* that holds it; or NULL */
uint8_t *model_fate(struct model_topics *topics, uint64_t txn);

uint64_t topic_batch_content(struct slice batch);

/* --- compact_model.c: what compaction leaves out --- */
const char *model_compacted(struct model *model, struct model_partition *partition, const struct stream_event *e,
			    struct slice body) MUST_USE;
/* Whether of each key the last committed record is there, and of what is compacted nothing else. */
const char *model_compact_check(const struct model_partition *partition) MUST_USE;
/* Something that has a time at which it may go, a null value or a marker. */
bool model_has_null(const struct model_partition *partition, size_t batch);
/* As far as a pass that begins now may get. */
uint64_t model_compact_bound(const struct model_partition *partition, uint64_t durable, uint64_t young_ms);
bool model_records_read(struct model_record records[MODEL_RECORDS_MAX], const struct stream_event *e, struct slice body);

/* --- topic_compare.c: what the sequencer's snapshot says of them --- */
struct topic_comparison {
	struct model *model;
	struct model_partition *partition; /* of the last stream */
	size_t sequences, aborted;
	bool clean; /* how far it is compacted was told */
	uint64_t topics, txns;
	char wrong[256];
};
void topic_compare_stream(struct topic_comparison *c, uint64_t stream); /* what follows is of it; 0: all were told */
void topic_compare(struct topic_comparison *c, uint8_t type, struct slice fields);
void topic_compare_end(struct topic_comparison *c);
