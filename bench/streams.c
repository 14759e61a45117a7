#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILL_CONNS_COUNT 4
#define FILL_WINDOW      64 /* requests under way on a connection */

static const struct stream_peer *const stream_peers[] = {&stream_bide, &stream_durable, &stream_nchan, &stream_redis,
							 &stream_nats};

const struct stream_peer *stream_peer_find(const char *name)
{
	for (size_t i = 0; i < sizeof(stream_peers) / sizeof(stream_peers[0]); i++)
		if (strcmp(stream_peers[i]->name, name) == 0)
			return stream_peers[i];
	loop_die("no server with streams called %s", name);
}

enum stream_how stream_how_of(const char *style)
{
	static const char *const names[] = {[STREAM_NOW] = "short", [STREAM_WAIT] = "long", [STREAM_EVENTS] = "sse"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], style) == 0)
			return (enum stream_how)i;
	loop_die("no style called %s: short, long or sse", style);
}

/* ---- records ---- */

static const char hex_digits[] = "0123456789abcdef";

void stream_tag_write(char *tag, uint32_t writer, uint32_t number)
{
	for (int i = 7; i >= 0; i--, writer >>= 4, number >>= 4) {
		tag[i] = hex_digits[writer & 15];
		tag[8 + i] = hex_digits[number & 15];
	}
}

void stream_tag_read(const char *tag, uint32_t *ret_writer, uint32_t *ret_number)
{
	uint32_t numbers[2] = {0};
	for (int i = 0; i < STREAM_TAG_BYTES; i++) {
		const char *digit = memchr(hex_digits, tag[i], 16);
		if (!digit)
			loop_die("not a record of ours: %.16s", tag);
		numbers[i / 8] = numbers[i / 8] << 4 | (uint32_t)(digit - hex_digits);
	}
	*ret_writer = numbers[0];
	*ret_number = numbers[1];
}

const char *stream_body(char *body, uint32_t writer, uint32_t number)
{
	stream_tag_write(body, writer, number);
	return body;
}

uint64_t stream_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void *stream_alloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory)
		loop_die("out of memory");
	return memory;
}

static void control_input(struct conn *conn, uint64_t now_ns)
{
	(void)now_ns;
	bytes_consume(&conn->in, bytes_len(&conn->in));
}

void stream_control_open(struct conn *conn, struct loop *loop)
{
	*conn = (struct conn){.on_input = control_input};
	conn_open(conn, loop, 0);
}

/* ---- readers ---- */

static void reader_answer_over(struct stream_reader *reader, uint64_t now_ns)
{
	reader->asking = false;
	if (reader->on_answer)
		reader->on_answer(reader, now_ns);
	else
		stream_reader_ask(reader);
}

static void reader_events(struct stream_reader *reader, uint64_t now_ns)
{
	struct sse_event event;
	size_t len;
	sse_feed(&reader->sse, &reader->conn);
	while ((len = sse_next(&reader->sse, &event)) > 0) {
		bool control = event.name_len == 7 && memcmp(event.name, "control", 7) == 0;
		if (event.data_len > 0 && !control)
			reader->on_records(reader, event.data, event.data_len, now_ns);
		bytes_consume(&reader->sse.text, len);
	}
	if (reader->sse.ended)
		loop_die("the server ended its events");
}

static void reader_input(struct conn *conn, uint64_t now_ns)
{
	struct stream_reader *reader = conn->owner;
	size_t len;
	if (!reader->asking)
		loop_die("an answer to no request: %.*s", (int)bytes_len(&conn->in), bytes_head(&conn->in));
	if (reader->how == STREAM_EVENTS) {
		reader_events(reader, now_ns);
		return;
	}
	if ((len = reader->peer->answer(reader, now_ns)) == 0)
		return;
	bytes_consume(&conn->in, len);
	reader_answer_over(reader, now_ns);
}

void stream_reader_open(struct stream_reader *reader, struct loop *loop, uint32_t source)
{
	reader->conn = (struct conn){.owner = reader, .on_input = reader_input};
	conn_open(&reader->conn, loop, source);
	if (reader->peer->greet)
		reader->peer->greet(&reader->conn);
}

void stream_reader_ask(struct stream_reader *reader)
{
	reader->asking = true;
	reader->asked_ns = loop_now_ns();
	reader->requests_count++;
	reader->peer->ask(reader);
}

void stream_reader_close(struct stream_reader *reader)
{
	conn_close(&reader->conn);
	sse_reset(&reader->sse);
}

struct whole_state {
	const struct stream_whole *whole;
	bool done;
};

static void whole_records(struct stream_reader *reader, const char *data, size_t len, uint64_t now_ns)
{
	struct whole_state *state = reader->owner;
	/* The user sees its own owner. */
	reader->owner = state->whole->owner;
	state->whole->on_records(reader, data, len, now_ns);
	reader->owner = state;
}

static void whole_answer(struct stream_reader *reader, uint64_t now_ns)
{
	struct whole_state *state = reader->owner;
	(void)now_ns;
	state->done = reader->at_end;
	if (!state->done)
		stream_reader_ask(reader);
}

uint64_t stream_read_whole(struct loop *loop, const struct stream_whole *whole)
{
	struct whole_state state = {.whole = whole};
	struct stream_reader reader = {.peer = whole->peer,
				       .prefix = whole->prefix,
				       .stream = whole->stream,
				       .how = STREAM_NOW,
				       .owner = &state,
				       .on_records = whole_records,
				       .on_answer = whole_answer};
	stream_reader_open(&reader, loop, 0);
	stream_reader_ask(&reader);
	if (!loop_until(loop, &state.done, loop_now_ns() + STREAM_TIMEOUT_NS))
		loop_die("a stream was not read to its end in a minute");
	stream_reader_close(&reader);
	return reader.requests_count;
}

/* ---- filling ---- */

struct filling {
	const struct stream_fill *fill;
	char *body; /* owned */
	struct conn conns[FILL_CONNS_COUNT];
	uint64_t next[FILL_CONNS_COUNT]; /* the number of the connection's next record, among those of its streams */
	uint32_t under_way[FILL_CONNS_COUNT];
	uint64_t acked_count;
	bool done;
};

/*
 * A connection has the streams whose number is its own modulo the connections, so that what belongs to one stream goes over one
 * connection, in order. Its `at`-th record: which stream, and which number in it. False when there is none.
 */
static bool filling_record(const struct filling *filling, uint32_t conn, uint64_t at, uint32_t *ret_stream, uint32_t *ret_number)
{
	const struct stream_fill *fill = filling->fill;
	uint32_t streams = (fill->streams_count + FILL_CONNS_COUNT - 1 - conn) / FILL_CONNS_COUNT;
	if (streams == 0)
		return false;
	uint32_t stream = (uint32_t)(at % streams) * FILL_CONNS_COUNT + conn;
	uint64_t number = at / streams;
	if (number * fill->streams_count + stream >= fill->records_count)
		return false;
	*ret_stream = stream;
	*ret_number = (uint32_t)number;
	return true;
}

static void filling_go_on(struct filling *filling, uint32_t index)
{
	const struct stream_fill *fill = filling->fill;
	uint32_t stream;
	uint32_t number;
	uint32_t window = fill->peer->shuffles ? 1 : FILL_WINDOW;
	while (filling->under_way[index] < window && filling_record(filling, index, filling->next[index], &stream, &number)) {
		struct conn *conn = &filling->conns[index];
		const char *body = stream_body(filling->body, 0, number);
		if (fill->together && number == 0 && fill->peer->make_with)
			fill->peer->make_with(conn, fill->prefix, stream, body, fill->body_bytes);
		else
			fill->peer->append(conn, fill->prefix, stream, body, fill->body_bytes);
		filling->next[index]++;
		filling->under_way[index]++;
	}
}

static void filling_input(struct conn *conn, uint64_t now_ns)
{
	struct filling *filling = conn->owner;
	uint64_t kept;
	size_t len;
	(void)now_ns;
	while (bytes_len(&conn->in) > 0 && (len = filling->fill->peer->ack(conn, &kept)) > 0) {
		bytes_consume(&conn->in, len);
		filling->under_way[conn->index]--;
		filling->done = ++filling->acked_count == filling->fill->records_count;
	}
	if (filling->under_way[conn->index] <= FILL_WINDOW / 2)
		filling_go_on(filling, conn->index);
}

void stream_fill(struct loop *loop, const struct stream_fill *fill)
{
	struct filling filling = {.fill = fill, .body = stream_alloc(1, fill->body_bytes)};
	memset(filling.body, 'r', fill->body_bytes);
	if (!fill->together && fill->peer->create) {
		struct conn conn;
		stream_control_open(&conn, loop);
		fill->peer->create(&conn, fill->prefix, fill->streams_count);
		conn_close(&conn);
	}
	for (uint32_t i = 0; i < FILL_CONNS_COUNT; i++) {
		filling.conns[i] = (struct conn){.owner = &filling, .index = i, .on_input = filling_input};
		conn_open(&filling.conns[i], loop, 0);
		if (fill->peer->greet)
			fill->peer->greet(&filling.conns[i]);
		filling_go_on(&filling, i);
	}
	uint64_t before;
	do {
		before = filling.acked_count;
		loop_until(loop, &filling.done, loop_now_ns() + STREAM_TIMEOUT_NS / 4);
	} while (!filling.done && filling.acked_count > before);
	if (!filling.done)
		loop_die("%llu of %llu records were acknowledged", (unsigned long long)filling.acked_count,
			 (unsigned long long)fill->records_count);
	for (uint32_t i = 0; i < FILL_CONNS_COUNT; i++)
		conn_close(&filling.conns[i]);
	free(filling.body);
}
