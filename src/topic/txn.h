/* Transactional ids of Kafka producers, and where their transactions are. Part of topic.h.
 *
 * One event tells all that is to be known of an id from then on; the last one holds. What a transaction has written lies in its
 * partitions, which streams tell apart by the producer's id (stream/sequence.h); offsets of groups that are to be committed with
 * it lie here until then. */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"

enum txn_state {
	TXN_EMPTY,
	TXN_ONGOING,
	TXN_COMMITTING, /* decided; markers are to be written yet */
	TXN_ABORTING,
	TXN_COMMITTED,
	TXN_ABORTED,
	TXN_FORGOTTEN, /* in events alone: nothing is known of the id any more */
	TXN_STATE_COUNT
};

struct txn {
	struct hash_node by_id, by_producer;
	struct list peers; /* in topics->txns, in the order in which they were made */
	struct list idle;  /* in topics->idle while no transaction is open, the one first that changed longest ago */
	struct heap_node deadline;
	uint64_t deadline_ms; /* UINT64_MAX: none */
	uint64_t place;       /* grows along topics->txns; not journalled */
	uint64_t producer_id, timeout_ms;
	uint64_t started_ms; /* when its open transaction began */
	uint64_t changed_ms;
	/* Who ended the last transaction and got another epoch for the next one (KIP-890), so that it is told the same again:
	 * its producer id and 1; 0: nobody. Where that is who the id has now, the other epoch comes when the end is done. */
	uint64_t ended_by;
	uint16_t ended_epoch;
	uint16_t epoch;
	uint8_t state; /* enum txn_state */
	uint32_t id_len, stream_count, offsets_len;
	uint64_t *streams; /* numbers of the partitions that are in it */
	char *offsets;     /* encoded: txn_offset_put; NULL: none */
	char id[];
};

/* An offset of a group that is committed with the transaction. */
struct txn_offset {
	struct slice group, topic, metadata;
	uint64_t partition, offset;
	uint64_t leader_epoch; /* and 1; 0: not known */
};

void txn_offset_put(struct buf *out, const struct txn_offset *offset);
int txn_offset_get(struct slice *offsets, struct txn_offset *ret_offset) MUST_USE; /* 1; 0 at the end; -EBADMSG */

void txn_stream_put(struct buf *out, uint64_t number);
int txn_stream_get(struct slice *streams, uint64_t *ret_number) MUST_USE; /* 1; 0 at the end; -EBADMSG */

static inline struct slice txn_id(const struct txn *txn)
{
	return slice_from(txn->id, txn->id_len);
}

static inline struct slice txn_offsets(const struct txn *txn)
{
	return slice_from(txn->offsets, txn->offsets_len);
}

static inline bool txn_is_open(const struct txn *txn)
{
	return txn->state == TXN_ONGOING || txn->state == TXN_COMMITTING || txn->state == TXN_ABORTING;
}

static inline bool txn_has_stream(const struct txn *txn, uint64_t number)
{
	for (uint32_t i = 0; i < txn->stream_count; i++) {
		if (txn->streams[i] == number)
			return true;
	}
	return false;
}
