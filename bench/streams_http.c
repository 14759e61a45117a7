/*
 * Streams over HTTP: the Durable Streams protocol, which bide and the protocol's own server speak, and nchan's channels.
 */
#include "streams.h"

#include "http.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAKE_WINDOW 32

/* ---- the Durable Streams protocol ---- */

static void durable_request(struct conn *conn, const char *method, const char *prefix, uint32_t stream, uint32_t body_bytes)
{
	conn_printf(conn, "%s /v1/stream/%s/%u HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: %u\r\n\r\n",
		    method, prefix, stream, body_bytes);
}

static void durable_append(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes)
{
	durable_request(conn, "POST", prefix, stream, body_bytes);
	conn_write(conn, body, body_bytes);
}

static void durable_make_with(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes)
{
	durable_request(conn, "PUT", prefix, stream, body_bytes);
	conn_write(conn, body, body_bytes);
}

static size_t durable_ack(struct conn *conn, uint64_t *ret_kept)
{
	struct http_answer answer;
	size_t len = http_take(&conn->in, &answer);
	*ret_kept = 0;
	if (len > 0 && answer.status != 201)
		http_expect(&answer, 204, "append");
	return len;
}

struct making {
	uint32_t made_count;
	uint32_t wanted_count;
	bool done;
};

static void making_input(struct conn *conn, uint64_t now_ns)
{
	struct making *making = conn->owner;
	struct http_answer answer;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = http_take(&conn->in, &answer)) > 0) {
		http_expect(&answer, 201, "making a stream");
		bytes_consume(&conn->in, len);
		making->made_count++;
	}
	making->done = making->made_count == making->wanted_count;
}

static void durable_create_by(struct conn *conn, const char *prefix, uint32_t count, uint32_t window)
{
	struct making making = {0};
	conn->owner = &making;
	conn->on_input = making_input;
	while (making.wanted_count < count) {
		making.done = false;
		for (uint32_t i = 0; i < window && making.wanted_count < count; i++)
			durable_request(conn, "PUT", prefix, making.wanted_count++, 0);
		if (!loop_until(conn->loop, &making.done, loop_now_ns() + STREAM_TIMEOUT_NS))
			loop_die("streams were not made in a minute");
	}
}

static void bide_create(struct conn *conn, const char *prefix, uint32_t count)
{
	durable_create_by(conn, prefix, count, MAKE_WINDOW);
}

static void durable_create(struct conn *conn, const char *prefix, uint32_t count)
{
	durable_create_by(conn, prefix, count, 1);
}

static void durable_ask(struct stream_reader *reader)
{
	static const char *const live[] = {[STREAM_NOW] = "", [STREAM_WAIT] = "&live=long-poll", [STREAM_EVENTS] = "&live=sse"};
	conn_printf(&reader->conn, "GET /v1/stream/%s/%u?offset=%s%s HTTP/1.1\r\nHost: bench\r\n\r\n", reader->prefix,
		    reader->stream, reader->cursor[0] ? reader->cursor : "-1", live[reader->how]);
}

static size_t durable_answer(struct stream_reader *reader, uint64_t now_ns)
{
	struct http_answer answer;
	const char *value;
	size_t len = http_take(&reader->conn.in, &answer);
	if (len == 0)
		return 0;
	if (answer.status != 204)
		http_expect(&answer, 200, "read");
	if (!http_header_copy(&answer, "Stream-Next-Offset", reader->cursor, sizeof(reader->cursor)))
		loop_die("an answer without Stream-Next-Offset: %.*s", (int)answer.head_len, answer.head);
	reader->at_end = http_header(&answer, "Stream-Up-To-Date", &value) > 0;
	if (answer.body_len > 0)
		reader->on_records(reader, answer.body, answer.body_len, now_ns);
	return len;
}

static uint32_t bide_parked(struct conn *conn)
{
	static const char request[] = "GET /v1/info HTTP/1.1\r\nHost: bench\r\n\r\n";
	struct http_answer answer = http_ask(conn, request, sizeof(request) - 1);
	http_expect(&answer, 200, "/v1/info");
	struct json_cursor cursor = {answer.body, answer.body + answer.body_len};
	int64_t parked = json_next_number(&cursor, "parked");
	if (parked < 0)
		loop_die("/v1/info without \"parked\": %.*s", (int)answer.body_len, answer.body);
	return (uint32_t)parked;
}

/* ---- nchan: a channel is a stream, kept in memory; one message an answer ---- */

static void nchan_append(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes)
{
	conn_printf(conn, "POST /spub?id=%s-%u HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: %u\r\n\r\n",
		    prefix, stream, body_bytes);
	conn_write(conn, body, body_bytes);
}

/* It says how many messages the channel keeps. */
static size_t nchan_ack(struct conn *conn, uint64_t *ret_kept)
{
	static const char label[] = "queued messages: ";
	struct http_answer answer;
	size_t len = http_take(&conn->in, &answer);
	if (len == 0)
		return 0;
	if (answer.status != 201 && answer.status != 202)
		http_expect(&answer, 202, "publish");
	const char *at = memmem(answer.body, answer.body_len, label, sizeof(label) - 1);
	*ret_kept = at ? strtoull(at + sizeof(label) - 1, NULL, 10) : 0;
	return len;
}

/* The cursor: Last-Modified, a bar, Etag. */
static void nchan_ask(struct stream_reader *reader)
{
	const char *bar = strchr(reader->cursor, '|');
	conn_printf(&reader->conn, "GET /%s?id=%s-%u HTTP/1.1\r\nHost: bench\r\n%s",
		    reader->how == STREAM_EVENTS ? "ssse" : "ssub", reader->prefix, reader->stream,
		    reader->how == STREAM_EVENTS ? "Accept: text/event-stream\r\n" : "");
	if (bar)
		conn_printf(&reader->conn, "If-Modified-Since: %.*s\r\nIf-None-Match: %s\r\n", (int)(bar - reader->cursor),
			    reader->cursor, bar + 1);
	conn_printf(&reader->conn, "\r\n");
}

static size_t nchan_answer(struct stream_reader *reader, uint64_t now_ns)
{
	struct http_answer answer;
	char modified[40];
	char tag[40];
	size_t len = http_take(&reader->conn.in, &answer);
	if (len == 0)
		return 0;
	http_expect(&answer, 200, "subscribe");
	if (!http_header_copy(&answer, "Last-Modified", modified, sizeof(modified)) ||
	    !http_header_copy(&answer, "Etag", tag, sizeof(tag)))
		loop_die("an answer without Last-Modified and Etag: %.*s", (int)answer.head_len, answer.head);
	snprintf(reader->cursor, sizeof(reader->cursor), "%s|%s", modified, tag);
	reader->at_end = false; /* it does not tell */
	reader->on_records(reader, answer.body, answer.body_len, now_ns);
	return len;
}

static void nchan_forget(struct conn *conn, const char *prefix, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char request[256];
		int len = snprintf(request, sizeof(request), "DELETE /spub?id=%s-%u HTTP/1.1\r\nHost: bench\r\n\r\n", prefix, i);
		http_ask(conn, request, (size_t)len); /* of one that is not there, too */
	}
}

static uint32_t nchan_parked(struct conn *conn)
{
	static const char request[] = "GET /status HTTP/1.1\r\nHost: bench\r\n\r\n";
	static const char label[] = "subscribers: ";
	struct http_answer answer = http_ask(conn, request, sizeof(request) - 1);
	const char *at = memmem(answer.body, answer.body_len, label, sizeof(label) - 1);
	if (!at)
		loop_die("no subscribers in: %.*s", (int)answer.body_len, answer.body);
	return (uint32_t)strtoul(at + sizeof(label) - 1, NULL, 10);
}

const struct stream_peer stream_bide = {.name = "bide",
					.create = bide_create,
					.make_with = durable_make_with,
					.append = durable_append,
					.ack = durable_ack,
					.ask = durable_ask,
					.answer = durable_answer,
					.end = "now",
					.parked = bide_parked};
const struct stream_peer stream_durable = {.name = "durable",
					   .shuffles = true,
					   .create = durable_create,
					   .make_with = durable_make_with,
					   .append = durable_append,
					   .ack = durable_ack,
					   .ask = durable_ask,
					   .answer = durable_answer};
const struct stream_peer stream_nchan = {.name = "nchan",
					 .tells = STREAM_TELLS_STREAM,
					 .append = nchan_append,
					 .ack = nchan_ack,
					 .ask = nchan_ask,
					 .answer = nchan_answer,
					 .forget = nchan_forget,
					 .parked = nchan_parked};
