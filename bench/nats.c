#include "nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_TIMEOUT_NS 10000000000ull

/* MSG subject sid [reply] bytes, HMSG subject sid [reply] header-bytes bytes */
static size_t nats_message_parse(struct nats_message *message, size_t available)
{
	const char *words[6];
	size_t lens[6];
	uint32_t count = 0;
	const char *at = message->line;
	const char *end = message->line + message->line_len - 2;
	while (at < end && count < 6) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		words[count] = at;
		lens[count++] = (size_t)((space ? space : end) - at);
		at = space ? space + 1 : end;
	}
	bool headers = message->line[0] == 'H';
	uint32_t fixed = headers ? 5 : 4;
	if (count != fixed && count != fixed + 1)
		loop_die("nats: %.*s", (int)message->line_len, message->line);
	message->sid = (uint32_t)strtoul(words[2], NULL, 10);
	if (count == fixed + 1) {
		message->reply = words[3];
		message->reply_len = lens[3];
	}
	message->headers_len = headers ? strtoul(words[count - 2], NULL, 10) : 0;
	message->payload = end + 2;
	message->payload_len = strtoul(words[count - 1], NULL, 10);
	size_t total = message->line_len + message->payload_len + 2;
	return total <= available ? total : 0;
}

size_t nats_parse(struct conn *conn, struct nats_message *ret_message)
{
	const char *data = bytes_head(&conn->in);
	size_t len = bytes_len(&conn->in);
	const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
	if (!end)
		return 0;
	*ret_message = (struct nats_message){.line = data, .line_len = (size_t)(end - data) + 1};
	if (memcmp(data, "-ERR", 4) == 0)
		loop_die("nats: %.*s", (int)ret_message->line_len, data);
	if (memcmp(data, "PING", 4) == 0)
		conn_write(conn, "PONG\r\n", 6);
	if (memcmp(data, "MSG ", 4) == 0 || memcmp(data, "HMSG", 4) == 0)
		return nats_message_parse(ret_message, len);
	return ret_message->line_len;
}

void nats_introduce(struct conn *conn)
{
	conn_printf(conn, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"lang\":\"c\",\"version\":\"1\"}\r\n");
}

void nats_open(struct conn *conn, struct loop *loop)
{
	conn_open(conn, loop, 0);
	nats_introduce(conn);
}

void nats_publish(struct conn *conn, const char *subject, const char *reply, const char *payload, size_t payload_len)
{
	conn_printf(conn, "PUB %s %s %zu\r\n", subject, reply, payload_len);
	conn_write(conn, payload, payload_len);
	conn_write(conn, "\r\n", 2);
}

void nats_check_ack(const struct nats_message *message)
{
	if (message->headers_len > 0 || memmem(message->payload, message->payload_len, "\"error\"", 7))
		loop_die("nats refused: %.*s", (int)message->payload_len, message->payload);
}

/* ---- setting up ---- */

static void nats_setup_input(struct conn *conn, uint64_t now_ns)
{
	struct nats_setup *setup = conn->owner;
	struct nats_message message;
	size_t len;
	(void)now_ns;
	while ((len = nats_parse(conn, &message)) > 0) {
		if (message.sid == NATS_SID_ACK) {
			/* Deleting what is not there is the one refusal to expect. */
			if (!memmem(message.payload, message.payload_len, "stream not found", 16))
				nats_check_ack(&message);
			setup->answered = true;
		}
		bytes_consume(&conn->in, len);
	}
}

void nats_setup_open(struct conn *conn, struct nats_setup *setup, struct loop *loop)
{
	*setup = (struct nats_setup){0};
	*conn = (struct conn){.owner = setup, .on_input = nats_setup_input};
	nats_open(conn, loop);
	conn_printf(conn, "SUB api %d\r\n", NATS_SID_ACK);
}

void nats_api(struct conn *conn, const char *call, const char *request)
{
	struct nats_setup *setup = conn->owner;
	char subject[128];
	snprintf(subject, sizeof(subject), "$JS.API.%s", call);
	setup->answered = false;
	nats_publish(conn, subject, "api", request, strlen(request));
	if (!loop_until(conn->loop, &setup->answered, loop_now_ns() + SETUP_TIMEOUT_NS))
		loop_die("nats does not answer to %s", call);
}
