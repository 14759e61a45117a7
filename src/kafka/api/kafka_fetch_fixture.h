/* A client that fetches from topic "t" and one that writes there, before the door of kafka_door_fixture.h. */
#pragma once

#include "kafka/api/fetch_priv.h"
#include "kafka/api/kafka_door_fixture.h"

enum { TURNS_MAX = 200000, PARTITIONS = 40 };

/* A client, and the answer it had last. */
struct talk {
	int fd;
	struct buf in;
	struct arena arena;
	struct kafka_fetch_response *answer;
};

extern struct talk reader, writer;
extern int16_t fetch_version;
extern struct kafka_fetch_partition asked[PARTITIONS]; /* what is asked for: changed between the two below */
extern struct kafka_fetch_topic asked_topic;

int fetch_setup(void **state);
void fetch_begin(void); /* between the two the door's limits may be changed */
int fetch_teardown(void **state);

/* Of all partitions, at their beginning. */
struct kafka_fetch_request ask_all(int32_t wait_ms, int32_t min_bytes);
void ask_put(struct buf *out, const struct kafka_fetch_request *request);
void ask(const struct kafka_fetch_request *request);
void until_parked(void);

const struct kafka_fetch_response *hear(void);                  /* the next answer to the reader, for which turns are taken */
const struct kafka_fetch_response *heard_now(void);             /* NULL: it is not there yet */
const struct kafka_fetched_partition *heard(int32_t partition); /* of that answer; NULL: it is not told of */

size_t write_to(int32_t partition, unsigned count); /* one batch of so many records; returns its length */
