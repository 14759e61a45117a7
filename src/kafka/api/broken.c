/* Why a connection was ended for what was sent on it: counted by reason, and told in the server's messages, since a client that
 * is cut sees nothing but that. A thread tells of one a second; of the others how many there were. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

enum { TELL_EVERY_MS = 1000, LINE_BYTES = 400, CLIENT_ID_BYTES = 64 };

/* "10.0.0.7:52110", "[::1]:52110"; "somebody" when that is not known. */
static void peer_text(int fd, char *text, size_t size)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN];

	snprintf(text, size, "somebody");
	if (getpeername(fd, &address.any, &len))
		return;
	if (address.any.sa_family == AF_INET && inet_ntop(AF_INET, &address.in.sin_addr, host, sizeof(host)))
		snprintf(text, size, "%s:%u", host, ntohs(address.in.sin_port));
	else if (address.any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &address.in6.sin6_addr, host, sizeof(host)))
		snprintf(text, size, "[%s]:%u", host, ntohs(address.in6.sin6_port));
}

void kafka_conn_broken(struct kafka_conn *conn, enum kafka_broken reason, const char *fmt, ...)
{
	struct kafka_thread *thread = conn->thread;
	uint64_t now_ms = loop_now_ms(thread->loop);
	char peer[64], what[LINE_BYTES / 2], line[LINE_BYTES], others[48] = "";
	va_list args;

	thread->stats.broken_total[reason]++;
	if (!thread->config.diag || now_ms < thread->tell_ms) {
		thread->untold++;
		return;
	}
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	peer_text(conn->stream.fd, peer, sizeof(peer));
	if (thread->untold)
		snprintf(others, sizeof(others), " (and %llu others)", (unsigned long long)thread->untold);
	snprintf(line, sizeof(line), "Kafka client %s: connection ended: %s%s", peer, what, others);
	thread->config.diag(thread->ctx, line);
	thread->untold = 0;
	thread->tell_ms = now_ms + TELL_EVERY_MS;
}

/* What a client calls itself, where that can be printed. */
static const char *client_text(const struct kafka_call *call, char *text, size_t size)
{
	struct slice id = call->request.client_id;

	if (id.len > CLIENT_ID_BYTES)
		id.len = CLIENT_ID_BYTES;
	for (size_t i = 0; i < id.len; i++) {
		if (id.ptr[i] < ' ' || id.ptr[i] > '~')
			return "";
	}
	if (!id.len)
		return "";
	snprintf(text, size, " of \"%.*s\"", (int)id.len, id.ptr);
	return text;
}

void kafka_call_broken(struct kafka_call *call, int error)
{
	struct wire_reader r = wire_reader_of(buf_slice(&call->frame));
	int16_t key = (int16_t)kafka_get_u16(&r), version = (int16_t)kafka_get_u16(&r);
	const struct kafka_api *api = kafka_api_find(KAFKA_OFFER, key);
	char client[CLIENT_ID_BYTES + 16] = "";

	if (!api || !kafka_handler_find(key) || error == -ENOTSUP)
		kafka_conn_broken(call->conn, KAFKA_BROKEN_UNKNOWN,
				  "a request with key %d%s%s%s in version %d, which is not offered", key, api ? " (" : "",
				  api ? api->name : "", api ? ")" : "", version);
	else if (error == -ENOMEM || error == -E2BIG)
		kafka_conn_broken(call->conn, KAFKA_BROKEN_MEMORY, "%s %d%s of %zu bytes would take more memory than it may",
				  api->name, version, client_text(call, client, sizeof(client)), call->frame.len);
	else
		kafka_conn_broken(call->conn, KAFKA_BROKEN_MALFORMED,
				  "%s %d%s of %zu bytes cannot be read: a length, a count or a field does not fit", api->name,
				  version, client_text(call, client, sizeof(client)), call->frame.len);
}
