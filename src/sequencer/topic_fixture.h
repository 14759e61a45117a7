/* Asking a sequencer about topics, in short: of the one topic "t", where nothing else is said. */
#pragma once

#include "sequencer/stream_fixture.h"

#define T_NAME SLICE("t")

enum outcome topic_change_as(enum command_kind kind, struct topic_change change, bool validate_only);
enum outcome make_topic(struct slice name, uint32_t partitions);
enum outcome drop_topic(struct slice name);
enum outcome set_topic(struct slice name, struct slice key, struct slice value); /* value.ptr NULL: no longer */

/* A batch of `count` records, all of the text, as a client sends it; its parts may be changed before it is sent. */
struct produce_partition batch_of(uint32_t partition, uint32_t count, const char *text);
struct produce_partition batch_by(uint64_t producer_id, int16_t epoch, uint64_t seq, uint32_t count);
/* Sends it; `p` has the answer. The command must have worked. */
enum outcome produce_as(struct produce_partition *p);
enum outcome produce(const char *text, uint64_t *ret_offset); /* one record to partition 0 */

/* "k1=v k2=w k3" and so on: a batch, a key without '=' has a null value; without a letter before '=' it has no key. */
struct produce_partition keyed(const char *records);

/* --- transactions --- */

struct txn_writer {
	struct slice id;
	int64_t producer_id;
	int16_t epoch;
	uint64_t seq;
};

void txn_init(struct txn_writer *writer, const char *id);
void txn_put(struct txn_writer *writer, const char *records); /* begins one if none is open */
void txn_finish(struct txn_writer *writer, bool commit);

/* All records that a Fetch from there gives, "offset=value " each, in `mine`; what a client would skip is left out. */
enum outcome fetch_all(uint32_t partition, uint64_t offset, bool committed);
void expect_fetch(uint32_t partition, uint64_t offset, const char *said);

/* A view of the topic, freed with ask_deinit. NULL: there is none. */
const struct topic_view *look_topic(struct slice name, struct ask *ask);
