/* Record batches, magic 2, as Apache Kafka keeps and sends them ("Record Batch" in its protocol guide): the form in which the
 * records of every stream lie in the journal, whichever door they came by. Written without compression; read so, too.
 *
 * A record's offset is the batch's base offset and its own delta. The base offset and the leader epoch lie outside the checksum,
 * so whoever orders the records sets the base offset in a finished batch (batch_set_base). Pure. */
#pragma once

#include "base/buf.h"

enum { BATCH_HEAD_BYTES = 61 };

struct batch_record {
	struct slice key;   /* ptr == NULL: none */
	struct slice value; /* ptr == NULL: none */
};

/* Appends one batch of `count` records (1 … INT32_MAX), all of the same time, base offset 0, no producer. The buffer's sticky
 * failure is the only error: memory is short, or that would be more than INT32_MAX bytes; nothing is appended then. */
void batch_encode(struct buf *out, uint64_t time_ms, const struct batch_record *records, size_t count);

/* In the first 8 bytes of a batch. */
void batch_set_base(char *batch, uint64_t base_offset);

/* The partition leader epoch; likewise. */
void batch_set_epoch(char *batch, uint32_t epoch);

/* The time of all its records becomes that of the append; its checksum is made anew. `len`: of the whole batch. */
void batch_set_append_time(char *batch, size_t len, uint64_t time_ms);

/* What lies behind the head has been decompressed; its checksum is not made anew. `len`: of the whole batch. */
void batch_set_plain(char *batch, size_t len);

/* The end of a producer's transaction: one control record (KIP-98). Base offset 0; the buffer's sticky failure is the only error.
 */
struct batch_marker {
	int64_t producer_id;
	int16_t producer_epoch;
	bool commit; /* else abort */
};
void batch_encode_marker(struct buf *out, uint64_t time_ms, const struct batch_marker *marker);

/* What a batch says of itself. */
struct batch_head {
	uint64_t base_offset;
	uint32_t count;       /* of offsets: the last one's delta, and 1; of a compacted batch more than it has records */
	unsigned compression; /* 0: none */
	bool append_time, transactional, control;
	int64_t max_time_ms;
	int64_t horizon_ms;  /* when what it has of null values, or it as a marker, may go (KIP-534); -1: not said */
	int64_t producer_id; /* -1: none */
	int16_t producer_epoch;
	int32_t base_sequence;
};

/* The head of a whole batch, which may be compressed: 0, or -EBADMSG. Of what lies behind it only its length is looked at. */
int batch_head_read(struct slice bytes, struct batch_head *ret_head) MUST_USE;

/* The first of several batches one behind the other: 1, and `bytes` goes on behind it; 0 at the end; -EBADMSG. Only its length is
 * looked at. */
int batch_cut(struct slice *bytes, struct slice *ret_batch) MUST_USE;

struct batch_reader {
	struct slice rest;
	uint64_t base_offset, time_ms;
	uint64_t record_time_ms; /* unix; of the record read last */
	bool append_time;        /* the time of all of them */
	uint32_t count, left;    /* records in all, and not read yet */
	uint32_t next_delta, last_delta;
	/* Of the record read last, as they lie there. */
	struct slice record_headers; /* their number, and they: batch_header_next */
	struct slice record_rest;    /* key, value and headers */
	int64_t time_delta_ms;
	uint8_t record_attributes;
};

/* One whole batch and nothing behind it; what a marker holds is no record to be read: magic, length, CRC-32C and number of
 * records are checked before anything is believed. 0, or -EBADMSG, also for compressed ones. */
int batch_open(struct batch_reader *reader, struct slice bytes) MUST_USE;
/* The same for bytes whose checksum whoever read them has held them against already. */
int batch_open_checked(struct batch_reader *reader, struct slice bytes) MUST_USE;
/* The same of one that is compressed: `records` is what lies behind its head once that is decompressed. */
int batch_open_unpacked(struct batch_reader *reader, struct slice head, struct slice records) MUST_USE;

/* The next record, which lies in the batch, and its offset. 1; 0 at the end; -EBADMSG: it, or what follows the last one, is none.
 */
int batch_next(struct batch_reader *reader, struct batch_record *ret_record, uint64_t *ret_offset) MUST_USE;

struct batch_header {
	struct slice key, value; /* value.ptr == NULL: none */
};

/* The first header of `headers`, which begins as reader->record_headers and goes on behind it; *left is set to how many are left,
 * and is UINT32_MAX before the first. 1; 0: there is no more. They have been read over when the record was. */
int batch_header_next(struct slice *headers, uint32_t *left, struct batch_header *ret_header);
