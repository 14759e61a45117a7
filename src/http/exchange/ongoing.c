/* Answers that go on. Their exchange stays in the line: as the first its bytes are the connection's output, else they are held
 * back in `answer`, which is a chain of pieces. At rest there is neither.
 *
 * Bytes for a parked one go straight to the socket when nothing stands before them: a wake for thousands makes no piece. All else
 * is gathered, and written when the turn ends. */
#include "http/exchange/engine_priv.h"

#include "base/panic.h"

#include <errno.h>
#include <stdio.h>

static bool is_first(const struct exchange *ex)
{
	return ex->conn->exchanges.next == &ex->siblings;
}

/* Nobody will read what is said to it; on_gone is about to come. */
static bool is_lost(const struct exchange *ex)
{
	return ex->state == EX_LOST || ex->conn->flags & (CONN_BROKEN | CONN_LAST);
}

/* Where its bytes are to be added. */
static struct chain chain_take(const struct exchange *ex)
{
	struct chain chain = {.first = ex->answer};

	if (is_first(ex))
		return ex->conn->out;
	for (struct piece *piece = chain.first; piece; piece = piece->next)
		chain.last = piece;
	return chain;
}

static void chain_put(struct exchange *ex, const struct chain *chain)
{
	if (is_first(ex))
		ex->conn->out = *chain;
	else
		ex->answer = chain->first;
}

void ongoing_release(struct http_conn *conn, struct exchange *ex)
{
	struct piece *piece = ex->answer;

	if (!(ex->flags & EX_STREAM))
		return;
	ex->answer = NULL;
	while (piece) {
		struct piece *next = piece->next;

		chain_add(&conn->out, piece);
		piece = next;
	}
}

void ongoing_drained(struct http_conn *conn)
{
	struct exchange *ex;

	if (list_empty(&conn->exchanges) || conn->flags & CONN_BROKEN)
		return;
	ex = list_first(&conn->exchanges, struct exchange, siblings);
	if (!(ex->flags & EX_FULL) || exchange_left_bytes(ex) > EXCHANGE_DRAIN_BYTES)
		return;
	ex->flags &= (uint16_t)~EX_FULL;
	if (conn->thread->config.handler->on_drained)
		conn->thread->config.handler->on_drained(ex);
}

void exchange_stream_begin(struct exchange *ex, const struct answer *head)
{
	struct http_conn *conn = ex->conn;
	struct chain chain;
	uint64_t before;
	int error;

	if (is_lost(ex))
		return;
	ENSURE((ex->state == EX_OPEN || ex->state == EX_PARKED) && !(ex->flags & EX_STREAM));
	exchange_unpark(ex);
	answer_decides_close(ex, head->flags & EXCHANGE_CLOSE || ex->flags & EX_HTTP10 ? EXCHANGE_CLOSE : 0);
	ex->flags |= EX_STREAM;
	if (!(ex->flags & EX_HTTP10))
		ex->flags |= EX_CHUNKED;
	chain = chain_take(ex);
	before = chain_bytes(&chain);
	error = answer_encode_ongoing(ex, head, &chain);
	conn->out_bytes += (uint32_t)(chain_bytes(&chain) - before);
	chain_put(ex, &chain);
	if (error)
		conn_break(conn);
	conn_need(conn);
}

/* True when all of it went, or nothing can go any more. `sent` counts on. */
static bool write_at_once(struct http_conn *conn, struct iovec *parts, int count, size_t total, size_t *sent)
{
	ssize_t r = conn->stream.ops->write(&conn->stream, parts, count, false);

	if (r > 0) {
		conn->thread->stats.bytes_out_total += (uint64_t)r;
		conn->flags |= CONN_SENT;
		*sent = (size_t)r;
	} else if (r != -EAGAIN) {
		conn_break(conn);
		return true;
	}
	return *sent == total;
}

/* All but the first `skip` bytes of the parts. */
static void gather(struct exchange *ex, const struct iovec *parts, int count, size_t skip)
{
	struct http_conn *conn = ex->conn;
	struct chain chain = chain_take(ex);
	struct buf *out = chain_buf(conn->thread, &chain);
	size_t before = out ? out->len : 0;

	for (int i = 0; i < count && out; i++) {
		size_t past = skip < parts[i].iov_len ? skip : parts[i].iov_len;

		buf_append(out, (const char *)parts[i].iov_base + past, parts[i].iov_len - past);
		skip -= past;
	}
	chain_put(ex, &chain);
	if (!out || out->failed)
		conn_break(conn);
	else
		conn->out_bytes += (uint32_t)(out->len - before);
	conn_need(conn);
}

static void send_parts(struct exchange *ex, struct iovec *parts, int count)
{
	struct http_conn *conn = ex->conn;
	bool at_once = ex->state == EX_PARKED && is_first(ex) && !conn->out.first && !(conn->flags & CONN_BLOCKED);
	size_t total = 0, sent = 0;

	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (at_once && write_at_once(conn, parts, count, total, &sent))
		return;
	gather(ex, parts, count, sent);
}

void exchange_stream_write(struct exchange *ex, struct slice bytes)
{
	char size[20];
	int len = snprintf(size, sizeof(size), "%zx\r\n", bytes.len);
	struct iovec parts[3] = {{size, (size_t)len}, {(void *)(uintptr_t)bytes.ptr, bytes.len}, {(char[]){'\r', '\n'}, 2}};

	/* An empty chunk would be the last. */
	if (is_lost(ex) || !bytes.len || ex->flags & EX_HEAD)
		return;
	ENSURE(ex->flags & EX_STREAM);
	if (ex->flags & EX_CHUNKED)
		send_parts(ex, parts, 3);
	else
		send_parts(ex, parts + 1, 1);
}

bool exchange_stream_is_full(struct exchange *ex)
{
	if (is_lost(ex) || exchange_left_bytes(ex) <= EXCHANGE_DRAIN_BYTES)
		return false;
	ex->flags |= EX_FULL;
	conn_need(ex->conn);
	return true;
}

void exchange_stream_end(struct exchange *ex)
{
	static const char last_chunk[] = "0\r\n\r\n";
	struct iovec part = {(void *)(uintptr_t)last_chunk, sizeof(last_chunk) - 1};
	struct chain chain = {.first = ex->answer};

	if (is_lost(ex)) {
		ex->answer = NULL;
		chain_drop(ex->conn, &chain);
	}
	if (answer_is_void(ex, NULL, 0))
		return;
	ENSURE(ex->flags & EX_STREAM);
	if (ex->flags & EX_CHUNKED && !(ex->flags & EX_HEAD))
		gather(ex, &part, 1, 0);
	ex->flags &= (uint16_t) ~(EX_STREAM | EX_FULL);
	ex->state = EX_ANSWERED;
	chain = chain_take(ex);
	answer_made(ex, &chain);
}
