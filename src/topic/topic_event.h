/* What can happen to topics, as the journal keeps it. The state is a fold of these; doc/journal-format.md lists their fields. The
 * frame's type tells them from other events: they begin at TOPIC_EVENT_FIRST. */
#pragma once

#include "base/buf.h"

enum topic_event_type {
	TOPIC_EVENT_FIRST = 64,
	TOPIC_CREATED = 64, /* its partitions are `count` streams from `stream` on, which were made just before */
	TOPIC_GROWN = 65,   /* `count` partitions more, likewise */
	TOPIC_CONFIGURED = 66,
	TOPIC_DELETED = 67,
	TOPIC_PRODUCER = 68, /* a producer has got its id */
	/* Only in checkpoints: */
	TOPIC_SNAP_META = 69,
	TOPIC_SNAP = 70,
	/* In both: all that is to be known of a transactional id from then on. */
	TOPIC_TXN = 71,
};
enum { TOPIC_EVENT_END = 72 };

enum { TOPIC_NAME_MAX = 249, TOPIC_ID_BYTES = 16, TOPIC_PARTITIONS_MAX = 10000, TRANSACTIONAL_ID_MAX = 1024 };

struct topic_event {
	/* From the entry's frame. */
	enum topic_event_type type;
	uint64_t time_ms, end;

	uint64_t number;
	struct slice name, id;
	uint64_t stream, count; /* numbers of streams: the first, and how many one behind the other */
	struct slice settings;  /* encoded: topic_setting_put; all that are set */
	uint64_t producer_id;
	struct slice transactional_id;
	uint64_t epoch, state, timeout_ms, started_ms, changed_ms; /* as in struct txn */
	struct slice streams, offsets;                             /* encoded: txn_stream_put, txn_offset_put */
	uint64_t ended_by, ended_epoch;                            /* as in struct txn */
	/* Snapshots. */
	struct slice partitions; /* encoded: partition_run_put */
	uint64_t changed_end, next_number, next_producer_id;
};

void topic_event_encode(const struct topic_event *event, struct buf *out);
int topic_event_decode(struct topic_event *event, struct slice fields) MUST_USE; /* 0 or -EBADMSG; event->type is set */

/* Partitions whose streams' numbers follow each other. */
struct partition_run {
	uint64_t stream, count;
};

void partition_run_put(struct buf *out, const struct partition_run *run);
int partition_run_get(struct slice *runs, struct partition_run *ret_run) MUST_USE; /* 1; 0 at the end; -EBADMSG */
