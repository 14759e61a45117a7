/* NATS JetStream: one stream of the server's for a run, a subject in it for each of ours. Only appended to. */
#include "streams.h"

#include "nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void nats_stream_create(struct conn *unused, const char *prefix, uint32_t count)
{
	struct nats_setup setup;
	struct conn conn;
	char call[128];
	char request[256];
	(void)count;
	nats_setup_open(&conn, &setup, unused->loop);
	snprintf(call, sizeof(call), "STREAM.CREATE.%s", prefix);
	snprintf(request, sizeof(request),
		 "{\"name\":\"%s\",\"subjects\":[\"%s.*\"],\"retention\":\"limits\",\"storage\":\"file\"}", prefix, prefix);
	nats_api(&conn, call, request);
	conn_close(&conn);
}

/* Each connection hears its acknowledgements on a subject of its own. */
static void nats_greet(struct conn *conn)
{
	nats_introduce(conn);
	conn_printf(conn, "SUB ack.%d %d\r\n", conn->fd, NATS_SID_ACK);
}

static void nats_append(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes)
{
	char subject[128];
	char inbox[32];
	snprintf(subject, sizeof(subject), "%s.%u", prefix, stream);
	snprintf(inbox, sizeof(inbox), "ack.%d", conn->fd);
	nats_publish(conn, subject, inbox, body, body_bytes);
}

/* Whatever else comes (INFO, PING) is passed over. An acknowledgement says which message of the run it was. */
static size_t nats_ack(struct conn *conn, uint64_t *ret_kept)
{
	struct nats_message message;
	size_t len;
	*ret_kept = 0;
	while ((len = nats_parse(conn, &message)) > 0 && message.sid != NATS_SID_ACK)
		bytes_consume(&conn->in, len);
	if (len == 0)
		return 0;
	nats_check_ack(&message);
	const char *at = memmem(message.payload, message.payload_len, "\"seq\":", 6);
	*ret_kept = at ? strtoull(at + 6, NULL, 10) : 0;
	return len;
}

const struct stream_peer stream_nats = {.name = "nats",
					.create = nats_stream_create,
					.greet = nats_greet,
					.append = nats_append,
					.ack = nats_ack,
					.tells = STREAM_TELLS_ALL};
