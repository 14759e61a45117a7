/* Producers with transactional ids, in short: writing to the topic "t" of three partitions. */
#pragma once

#include "sequencer/topic_fixture.h"

int txn_setup(void **state);
int txn_teardown(void **state);

struct writer {
	struct slice id;
	int64_t producer_id;
	int16_t epoch;
	uint64_t seq[3];
};

/* InitProducerId; what came of it is in the writer. */
enum outcome init_as(struct writer *writer, struct producer_id_in in);
enum outcome init(struct writer *writer, struct slice id);
enum outcome add(const struct writer *writer, uint32_t partition);
enum outcome end(const struct writer *writer, bool commit);
/* One record to a partition that was added. */
enum outcome write_to(struct writer *writer, uint32_t partition, const char *text);
/* As newer clients do: partitions need not be added, and each transaction has an epoch of its own. */
enum outcome write_adding(struct writer *writer, uint32_t partition, const char *text, bool adds);
enum outcome end_renewing(struct writer *writer, bool commit);

/* What a reader of committed records finds in the partition, "text " each, in `mine`. */
void read_committed(uint32_t partition);
void expect_committed(uint32_t partition, const char *said);
