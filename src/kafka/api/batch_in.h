/* Batches of records as clients send them: what is looked at before the sequencer hears of one. */
#pragma once

#include "kafka/api/error.h"

/* One whole batch (magic 2) and nothing else, with its checksum right, of a known compression, no control batch, whose numbers of
 * records agree. What it holds is read when it is not compressed. 0 and the batch, which lies in `records`; or the error that the
 * client is told. */
enum kafka_error batch_in(struct slice records, struct produce_batch *ret_batch);
