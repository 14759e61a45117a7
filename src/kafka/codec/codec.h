/* Messages of the Kafka protocol to bytes and back: one interpreter over the tables of fields (table.h), for every message and
 * version. What a version has, the tables say; whoever calls this never asks for one.
 *
 * Nothing a peer sends is believed: a length or a count is held against the bytes that are left before memory is taken, memory is
 * charged to a limit, and how deep structures nest is a matter of the tables. Tagged fields that nobody knows are read over, as
 * KIP-482 asks. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "kafka/codec/table.h"

/* How a message is written. */
struct kafka_format {
	int16_t version;
	bool flexible; /* compact lengths and tagged fields (KIP-482) */
};

/* Where what is decoded lies. */
struct kafka_room {
	struct arena *arena;
	size_t left_bytes; /* what may still be taken from it */
};

/* All members as a reader takes them who was told nothing: to be called before an answer is filled in, since many a number's
 * default is -1. */
void kafka_defaults(const struct kafka_table *table, void *message);

/* Reads `bytes`, all of them, into `ret_message`, which points into `bytes` and the arena afterwards. 0; -EBADMSG: they are no
 * such message; -E2BIG: it would take more memory than there may be; -ENOMEM. In case of an error what stands in it means
 * nothing. */
int kafka_decode(const struct kafka_table *table, struct kafka_format format, struct slice bytes, struct kafka_room *room,
		 void *ret_message) MUST_USE;

/* Places where records belong that are not copied, so that they can be sent from where they lie. */
struct kafka_gap {
	size_t at;          /* in the buffer: the records belong before this byte */
	size_t records_len; /* their length is in the buffer already */
};
struct kafka_gaps {
	struct kafka_gap *at;
	size_t count, max;
};

/* Appends the message. With `gaps`, records are left out and listed there in their order, empty ones not; without, they are
 * copied. The buffer's sticky failure is the only error: memory is short, a string is longer than 32767 bytes, something is
 * longer than INT32_MAX, or there are more gaps than may be. */
void kafka_encode(const struct kafka_table *table, struct kafka_format format, const void *message, struct buf *out,
		  struct kafka_gaps *gaps);
