/* Redis streams: XADD and XREAD, each record one field of one entry. */
#include "streams.h"

#include "resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_COUNT "1000" /* entries an answer */

static void redis_append(struct conn *conn, const char *prefix, uint32_t stream, const char *body, uint32_t body_bytes)
{
	char key[96];
	int key_len = snprintf(key, sizeof(key), "%s:%u", prefix, stream);
	conn_printf(conn, "*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\nb\r\n$%u\r\n", key_len, key, body_bytes);
	conn_write(conn, body, body_bytes);
	conn_write(conn, "\r\n", 2);
}

static size_t redis_ack(struct conn *conn, uint64_t *ret_kept)
{
	*ret_kept = 0;
	return resp_parse(bytes_head(&conn->in), bytes_len(&conn->in));
}

static void redis_ask(struct stream_reader *reader)
{
	char key[96];
	const char *cursor = reader->cursor[0] ? reader->cursor : "0";
	snprintf(key, sizeof(key), "%s:%u", reader->prefix, reader->stream);
	if (reader->how == STREAM_EVENTS)
		loop_die("Redis has no events over HTTP");
	if (reader->how == STREAM_NOW)
		resp_command(&reader->conn, (const char *[]){"XREAD", "COUNT", READ_COUNT, "STREAMS", key, cursor}, 6);
	else
		resp_command(&reader->conn, (const char *[]){"XREAD", "COUNT", READ_COUNT, "BLOCK", "0", "STREAMS", key, cursor},
			     8);
}

/* [[key, [[id, ["b", record]], …]]], or nothing. */
static size_t redis_answer(struct stream_reader *reader, uint64_t now_ns)
{
	const char *data = bytes_head(&reader->conn.in);
	size_t len = resp_parse(data, bytes_len(&reader->conn.in));
	size_t at = 0;
	const char *text;
	size_t text_len;
	if (len == 0)
		return 0;
	bool some = resp_string(data, len, &at, &text, &text_len); /* the key */
	reader->at_end = !some;
	while (some && resp_string(data, len, &at, &text, &text_len)) {
		snprintf(reader->cursor, sizeof(reader->cursor), "%.*s", (int)text_len, text);
		if (!resp_string(data, len, &at, &text, &text_len) || !resp_string(data, len, &at, &text, &text_len))
			loop_die("an entry of a stream that is not one");
		reader->on_records(reader, text, text_len, now_ns);
	}
	return len;
}

/* ---- questions ---- */

struct redis_question {
	size_t len;
	bool done;
};

static void redis_question_input(struct conn *conn, uint64_t now_ns)
{
	struct redis_question *question = conn->owner;
	(void)now_ns;
	question->len = resp_parse(bytes_head(&conn->in), bytes_len(&conn->in));
	question->done = question->len > 0;
}

/* The reply's length; it lies at the front of conn->in. */
static size_t redis_question(struct conn *conn, const char *const *words, uint32_t count)
{
	struct redis_question question = {0};
	conn->owner = &question;
	conn->on_input = redis_question_input;
	resp_command(conn, words, count);
	if (!loop_until(conn->loop, &question.done, loop_now_ns() + STREAM_TIMEOUT_NS))
		loop_die("redis does not answer to %s", words[0]);
	return question.len;
}

/* Its streams are all there is. */
static void redis_forget(struct conn *conn, const char *prefix, uint32_t count)
{
	(void)prefix;
	(void)count;
	bytes_consume(&conn->in, redis_question(conn, (const char *[]){"FLUSHALL", "SYNC"}, 2));
}

static uint32_t redis_parked(struct conn *conn)
{
	static const char label[] = "blocked_clients:";
	size_t len = redis_question(conn, (const char *[]){"INFO", "clients"}, 2);
	const char *at = memmem(bytes_head(&conn->in), len, label, sizeof(label) - 1);
	uint32_t parked = at ? (uint32_t)strtoul(at + sizeof(label) - 1, NULL, 10) : 0;
	bytes_consume(&conn->in, len);
	return parked;
}

const struct stream_peer stream_redis = {.name = "redis",
					 .append = redis_append,
					 .ack = redis_ack,
					 .ask = redis_ask,
					 .answer = redis_answer,
					 .forget = redis_forget,
					 .end = "$",
					 .parked = redis_parked};
