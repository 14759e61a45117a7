/* Batches of records as clients send them: what is looked at before the sequencer hears of one. */
#pragma once

#include "kafka/api/error.h"

/* One whole batch (magic 2) and nothing else, with its checksum right, of a known compression, no control batch, whose numbers of
 * records agree. What it holds is read when it is not compressed. 0 and the batch, which lies in `records`; or the error that the
 * client is told. */
enum kafka_error batch_in(struct slice records, struct produce_batch *ret_batch);

/* What a compressed one holds is read, too: 0, and it is `packed` no more; or the error that the client is told. What it becomes
 * is taken off *left; when nothing is left of that before, the client is told to try again. */
enum kafka_error batch_in_open(struct produce_batch *batch, uint64_t *left);

enum { BATCH_IN_OPENED_MAX = 64 << 20 }; /* what it may become */
