/* What the Kafka door asks about topics, their partitions and producers, and what comes back; part of command.h.
 *
 * A topic is a name with partitions; partition i is the stream at "NAME/i", made and deleted with its topic. Its records lie as
 * they came, in batches (stream/batch.h) that may be compressed; the sequencer sets base offset and leader epoch only, which lie
 * outside the checksum, and, where the topic says so, the time of the append.
 *
 * Commands about many topics or partitions answer each by itself, in the asker's own array (`outcome` and what follows it there);
 * those hold only when the command's outcome is OK or PARKED. Nothing that is answered rests on what is not durable: the end of a
 * partition is its high watermark. */
#pragma once

#include "sequencer/outcome.h"
#include "sequencer/store.h"
#include "topic/topic.h"

enum {
	TOPIC_LEADER_EPOCH = 0, /* of every partition, always */
};

/* A topic by its name, or, when that is empty, by its id. */
struct topic_ref {
	struct slice name;
	struct topic_id id;
};

enum topic_change_op { SETTING_SET, SETTING_DELETE, SETTING_APPEND, SETTING_SUBTRACT };

/* What is to be set; topic/topic_config.h has the table of all there is. */
struct topic_setting_change {
	struct topic_setting setting;
	enum topic_change_op op; /* CONFIG with `incremental`; APPEND and SUBTRACT of lists alone */
};

/* --- topics --- */

/* CREATE: OK; CONFLICT (there is one, or a stream lies at a partition's path), NAME (no name of a topic), PARTITIONS (a number
 * that cannot be), SETTING (`bad_key`: unknown, or its value makes no sense), FULL (limit of topics or streams), NO_SPACE,
 * NO_MEMORY. PARTITIONS: the same, and NOT_FOUND; it grows to `partitions` or is refused. CONFIG: OK, NOT_FOUND, SETTING. DELETE:
 * OK, NOT_FOUND. */
struct topic_change {
	struct topic_ref topic;
	uint32_t partitions; /* CREATE, PARTITIONS: how many there are to be */
	const struct topic_setting_change *settings;
	size_t setting_count;
	/* What became of it. */
	enum outcome outcome;
	struct topic_id id;
	struct slice bad_key; /* outcome SETTING: one of the asker's own */
};

struct topics_change_in { /* TOPIC_CREATE, TOPIC_PARTITIONS, TOPIC_CONFIG, TOPIC_DELETE */
	struct topic_change *changes;
	size_t count;
	bool validate_only; /* says what would become of it */
	bool incremental;   /* CONFIG: what is not named stays as it is; else it is no longer set */
};

struct topics_in {                      /* TOPICS */
	const struct topic_ref *topics; /* NULL: all, in the order in which they were made */
	size_t count;
	bool settings;  /* they are wanted, too */
	bool counted;   /* of partitions it is enough to know how many: `partitions` is NULL */
	uint64_t after; /* of all, a page: behind `next` of the page before, */
	uint32_t limit; /* and so many; 0: all */
};

struct partition_view {
	uint64_t stream; /* the stream's number: waits hang at stream_key of it */
	uint64_t earliest_offset, next_offset, bytes;
	uint64_t stable_offset; /* what lies before it belongs to no open transaction */
};

struct topic_view { /* one block; freed with the command's answer */
	struct slice name;
	struct topic_id id;
	uint32_t partition_count;
	uint32_t setting_count;
	const struct topic_setting *settings; /* those that were set, by key */
	const struct partition_view *partitions;
};

/* --- produce --- */

/* What the door has read in a batch's head, and checked: one whole batch, its length, magic 2 and checksum; last offset delta + 1
 * is `count` (>= 1), the number of records is the same; producer id and epoch fit together (both -1, or neither negative). */
struct produce_batch {
	char *bytes; /* changed in place */
	size_t size_bytes;
	uint32_t count;
	int64_t first_time_ms, max_time_ms; /* of its records; -1: they have none */
	int64_t producer_id;                /* -1: none */
	int16_t producer_epoch;
	int32_t base_sequence;
	bool transactional;
	bool no_key; /* a record without a key is in it: refused where the topic is compacted */
	bool packed; /* whether there is has not been looked at: it is compressed */
};

/* OK: appended. SAME: it has been before, at base_offset (error 0 for the client). NOT_FOUND; TOO_LARGE (max.message.bytes); GAP
 * (a sequence was left out); STALE (the producer's epoch is over); TIME (too far from the server's); RECORD (compacted topic, no
 * key); PACKED (compacted topic, `packed`: it is to be looked into, and sent again); TXN (transactional, and the partition is not
 * in the producer's transaction, or not transactional while one is open); NO_SPACE; NO_MEMORY; STORAGE. */
struct produce_partition {
	struct topic_ref topic;
	uint32_t partition;
	struct produce_batch batch;
	/* What became of it. */
	enum outcome outcome;
	uint64_t base_offset, log_start_offset;
	int64_t append_time_ms; /* -1, unless the topic's time is that of the append */
};

struct produce_in { /* PRODUCE */
	struct produce_partition *partitions;
	size_t count;
	struct slice transactional_id; /* empty: none */
	bool adds; /* what is not in the id's transaction is added to it (KIP-890); BUSY: one is being ended, ask again */
};

/* --- fetch --- */

struct aborted_transaction {
	int64_t producer_id;
	uint64_t first_offset;
};

/* OK; NOT_FOUND; RANGE (before the earliest or behind the end; log_start_offset and high_watermark hold). `view`: the chunks from
 * the one that has `offset` on up to the one in which max_bytes are reached, so batches before it may come first, and batches
 * that are too many may follow: whoever answers leaves out both. NULL: no records. What may be answered ends at high_watermark,
 * for committed readers at stable_offset. */
struct fetch_partition {
	struct topic_ref topic;
	uint32_t partition;
	uint64_t offset;
	uint64_t max_bytes;
	/* What became of it. */
	enum outcome outcome;
	uint64_t stream; /* its number */
	void *found;     /* the sequencer's own */
	uint64_t log_start_offset, high_watermark, stable_offset;
	uint64_t bytes;                      /* how many there are, max_bytes at most, and no more than were of interest */
	struct stream_view *view;            /* whoever uses it takes it over and sets NULL here */
	struct aborted_transaction *aborted; /* committed readers; by first offset; freed with the command's answer */
	size_t aborted_count;
};

/* OK: answer it, be it empty. PARKED: less than min_bytes and no error. From then on the asker's thread follows all these
 * partitions (MESSAGE_STREAM_GREW, none of which is left out between the look and the answer), and so it does after OK if
 * `follow`. Partitions are looked at from the first on; the first with records has one chunk at least, and a chunk that is only
 * partly within max_bytes is among what is told. */
struct fetch_in { /* FETCH */
	struct fetch_partition *partitions;
	size_t count;
	uint64_t min_bytes, max_bytes;
	bool committed; /* isolation level read_committed */
	bool watch;     /* may be parked */
	bool follow;
	/* What became of it. */
	uint64_t missing_bytes; /* PARKED: until there are min_bytes */
};

/* --- offsets --- */

enum { OFFSET_LATEST = -1, OFFSET_EARLIEST = -2, OFFSET_MAX_TIME = -3 };

/* OK; NOT_FOUND; BUSY: so much was looked at for those before it that it has to be asked about again. `offset` is -1 when there
 * is no such record, and so is `time_ms` where it means nothing. By time and for MAX_TIME `view` may come: then the record lies
 * in the batch at `offset`, which the sequencer could not read (it is compressed), in the view's only chunk, and `time_ms` is
 * that batch's latest. */
struct offset_partition {
	struct topic_ref topic;
	uint32_t partition;
	int64_t at; /* one of the above, or unix ms: the first record not before it */
	/* What became of it. */
	enum outcome outcome;
	int64_t offset, time_ms;
	struct stream_view *view;
};

struct list_offsets_in { /* LIST_OFFSETS */
	struct offset_partition *partitions;
	size_t count;
	bool committed; /* the latest is the last stable offset */
};

/* OK: log_start_offset is what it is now; NOT_FOUND; RANGE (behind the end). */
struct delete_records_partition {
	struct topic_ref topic;
	uint32_t partition;
	int64_t offset; /* -1: all there are */
	enum outcome outcome;
	uint64_t log_start_offset;
};

struct delete_records_in { /* DELETE_RECORDS */
	struct delete_records_partition *partitions;
	size_t count;
};

/* --- producers --- */

/* OK: `out` has what it is from now on. FENCED (not the id and epoch that the transactional id has); BUSY (its transaction is
 * being ended: ask again); TIMEOUT (longer than may be); NAME (too long); FULL. */
struct producer_id_in {                /* PRODUCER_ID */
	struct slice transactional_id; /* empty: an idempotent producer, which gets a new id */
	uint32_t timeout_ms;           /* of its transactions */
	int64_t producer_id;           /* which it has; -1: none yet */
	int16_t producer_epoch;
};

struct producer_id_out {
	int64_t producer_id;
	int16_t producer_epoch;
};

/* --- transactions --- */

enum { TXN_PARTITIONS_MAX = 4000, TXN_OFFSETS_BYTES_MAX = 1 << 17, TXN_OFFSETS_MAX = 2000 /* of one question */ };

struct txn_partition {
	struct topic_ref topic;
	uint32_t partition;
	enum outcome outcome; /* OK, NOT_FOUND */
};

/* ADD: OK: all are in it, and it is open, also without any partition. PARTITIONS: none is, since there is not each of them (their
 * outcomes tell which). END: OK, also when it ended so before; TXN (there is none that could end so). Both: NOT_FOUND (no such
 * transactional id with that producer's id); FENCED (another epoch); BUSY (it is being ended: ask again); FULL; NO_SPACE;
 * NO_MEMORY. END with `renews`: out.producer_id is who its producer is from now on, another epoch or id for each transaction, so
 * that nothing late is taken for the next one (KIP-890); and there need not be one that is aborted. */
struct txn_in { /* TXN_ADD, TXN_END */
	struct slice transactional_id;
	int64_t producer_id;
	int16_t producer_epoch;
	struct txn_partition *partitions; /* ADD */
	size_t partition_count;
	bool commit; /* END: else it is aborted */
	bool renews; /* END */
};

/* --- looking at them --- */

struct txn_partition_view {
	struct slice topic;
	uint32_t partition;
};

struct txn_view {
	struct slice id;
	enum txn_state state;
	uint64_t producer_id, timeout_ms, started_ms;
	uint16_t epoch;
	bool found;                                  /* of those asked for by name: else only `id` holds */
	const struct txn_partition_view *partitions; /* of an open one; not where all are listed */
	uint32_t partition_count;
};

struct txns_view { /* one block; freed with the command's answer */
	size_t count;
	struct txn_view at[];
};

/* TXNS: OK, NO_MEMORY; `txns`: one for each, or all. */
struct txns_in {
	const struct slice *ids; /* NULL: all, in the order in which they were made */
	size_t count;
};

struct producer_view {
	int64_t producer_id, last_ms, txn_first; /* -1: no transaction is open here */
	uint16_t epoch;
	int32_t last_sequence; /* -1: none in this epoch */
};

/* OK; NOT_FOUND. */
struct producers_partition {
	struct topic_ref topic;
	uint32_t partition;
	/* What became of it. */
	enum outcome outcome;
	struct producer_view *producers; /* freed with the command's answer */
	size_t count;
};

struct producers_in { /* PRODUCERS */
	struct producers_partition *partitions;
	size_t count;
};
