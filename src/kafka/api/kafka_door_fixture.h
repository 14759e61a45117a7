/* The Kafka door before a real sequencer on a journal in memory, for the tests: turns are taken by hand, and what clients ask is
 * made with the same tables that read it. */
#pragma once

#include "kafka/api/kafka_thread.h"
#include "kafka/codec/request.h"
#include "sequencer/sequencer_fixture.h"

struct door_fixture {
	struct loop *loop;
	struct kafka_thread *thread;
	struct fixture f;
	struct mail_list outgoing;
	struct kafka_config config; /* may be changed between door_init and door_begin */
	uint64_t commands;          /* sent to the sequencer */
};

extern struct door_fixture door;

void door_init(void);
void door_begin(void);
void door_end(void);
void door_turn(void);
struct kafka_thread_stats door_stats(void);
int door_connect(void); /* the client's end of a new connection */

struct request {
	enum kafka_key key;
	int16_t version;
	const void *message;
};

void request_put(struct buf *out, const struct request *request);
