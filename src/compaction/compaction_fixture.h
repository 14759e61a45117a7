/* Compaction of the one topic "t" with one partition, in short: produced with keys, compacted, read back. */
#pragma once

#include "compaction/compaction.h"
#include "sequencer/topic_fixture.h"

extern struct compaction *worker; /* NULL: the next step makes one, with memory for very many keys */

int compaction_setup(void **state);
int compaction_teardown(void **state);

/* As keyed, compressed. */
struct produce_partition keyed_packed(const char *records, unsigned compression);
uint64_t put(const char *records); /* must work; where it lies */
void put_last(void);               /* the last chunk, which compaction leaves alone: the key "-" */
void compact_step_once(void);      /* one step that must be there */
unsigned compact_now(void);        /* all that is to be done now; how many steps that were */
void compact_later(uint64_t ms);   /* time moves, and then that */

/* What is read from the start, "offset:key=value " each; null values as "key". As a consumer of committed records has it. */
void expect_kept(const char *said);
/* The same, and the last record ("-") is left out. */
void expect_kept_from(uint64_t offset, const char *said);
void read_all(void);                      /* the same into `mine` */
size_t aborted_told(void);                /* how many aborted transactions a reader of all is told of */
unsigned compression_at(uint64_t offset); /* of the batch there */
enum outcome delete_before(uint64_t offset);
uint64_t passes(void); /* that were done */
