#pragma once
/* The client's half of NATS's text protocol, and of JetStream's calls that set things up. */
#include "loop.h"

#define NATS_SID_ACK 1 /* the subscription that acknowledgements and answers to calls come by */

/* One message, or one line of the protocol without a payload (sid 0). */
struct nats_message {
	uint32_t sid;
	const char *line;
	size_t line_len;
	const char *reply; /* where to answer; reply_len 0 when nowhere */
	size_t reply_len;
	const char *payload;
	size_t payload_len;
	size_t headers_len; /* a message with headers is a status: no job, no result */
};

/* What a client says first; nats_open connects and says it. */
void nats_introduce(struct conn *conn);
void nats_open(struct conn *conn, struct loop *loop);

/* The first whole message on a connection: its length, 0 when it is not all there. Answers PING. An error ends the run. */
size_t nats_parse(struct conn *conn, struct nats_message *ret_message);

void nats_publish(struct conn *conn, const char *subject, const char *reply, const char *payload, size_t payload_len);

/* Ends the run unless the message acknowledges what was published. */
void nats_check_ack(const struct nats_message *message);

/* Calls of JetStream's API, one after the other, over a connection of their own. */
struct nats_setup {
	bool answered;
};

void nats_setup_open(struct conn *conn, struct nats_setup *setup, struct loop *loop);
void nats_api(struct conn *conn, const char *call, const char *request);
