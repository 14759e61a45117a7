/* What a connection has to write: copied bytes, shared answers, pinned bodies, in the order of the requests. Neighbours are
 * gathered into one write; a pinned body flows by sendfile where stream and store can, else through the thread's buffer, and has
 * nothing of its own but its piece. */
#include "http/exchange/engine_priv.h"

#include <errno.h>
#include <limits.h>

enum { PARTS_MAX = 32 };

struct piece *piece_new(struct http_thread *thread, enum piece_kind kind)
{
	struct piece *piece;

	if (kind == PIECE_COPY && thread->spare_pieces) {
		piece = thread->spare_pieces;
		thread->spare_pieces = piece->next;
		thread->spare_piece_count--;
		piece->next = NULL;
		return piece;
	}
	piece = pool_take(&thread->piece_pool);
	if (piece)
		piece->kind = (uint8_t)kind;
	return piece;
}

void piece_free(struct http_thread *thread, struct piece *piece)
{
	switch ((enum piece_kind)piece->kind) {
	case PIECE_COPY:
		if (piece->buf.cap <= SPARE_BUF_BYTES && !piece->buf.failed && thread->spare_piece_count < SPARE_PIECES) {
			struct buf buf = piece->buf;

			buf_clear(&buf);
			*piece = (struct piece){.next = thread->spare_pieces, .kind = PIECE_COPY, .buf = buf};
			thread->spare_pieces = piece;
			thread->spare_piece_count++;
			return;
		}
		buf_deinit(&piece->buf);
		break;
	case PIECE_SHARED:
		shared_answer_unref(piece->shared);
		break;
	case PIECE_PINNED:
		piece->pinned.pin->ops->unpin(piece->pinned.pin);
		break;
	}
	pool_give(&thread->piece_pool, piece);
}

void chain_add(struct chain *chain, struct piece *piece)
{
	piece->next = NULL;
	if (chain->last)
		chain->last->next = piece;
	else
		chain->first = piece;
	chain->last = piece;
}

struct buf *chain_buf(struct http_thread *thread, struct chain *chain)
{
	struct piece *last = chain->last;

	if (!last || last->kind != PIECE_COPY || last->tell || last->buf.len >= PIECE_BYTES) {
		last = piece_new(thread, PIECE_COPY);
		if (!last)
			return NULL;
		chain_add(chain, last);
	}
	return &last->buf;
}

static uint64_t piece_bytes(const struct piece *piece)
{
	switch ((enum piece_kind)piece->kind) {
	case PIECE_COPY:
		return piece->buf.len - piece->at;
	case PIECE_SHARED:
		return shared_bytes(piece->shared, piece->connection, piece->without_body) - piece->at;
	case PIECE_PINNED:
		break;
	}
	return 0;
}

uint64_t chain_bytes(const struct chain *chain)
{
	uint64_t bytes = 0;

	for (const struct piece *piece = chain->first; piece; piece = piece->next)
		bytes += piece_bytes(piece);
	return bytes;
}

uint64_t exchange_left_bytes(const struct exchange *ex)
{
	uint64_t bytes = 0;

	for (const struct piece *piece = ex->conn->out.first; piece; piece = piece->next) {
		bytes += piece->kind == PIECE_PINNED ? piece->pinned.left : piece_bytes(piece);
		if (piece->tell == ex)
			return bytes;
	}
	/* Its turn has not come. */
	for (const struct piece *piece = ex->answer; piece; piece = piece->next)
		bytes += piece->kind == PIECE_PINNED ? piece->pinned.left : piece_bytes(piece);
	return bytes;
}

void chain_drop(struct http_conn *conn, struct chain *chain)
{
	struct piece *piece = chain->first;

	*chain = (struct chain){0};
	while (piece) {
		struct piece *next = piece->next;
		struct exchange *tell = piece->tell;

		piece_free(conn->thread, piece);
		if (tell)
			exchange_gone(tell);
		piece = next;
	}
}

/* A socket takes bytes for one that has gone, too. One that ends its side the moment it has its answer, as a program does that
 * asks once, may have done so before we look: it has been told, and its job must not go to another. */
static bool told_nobody(const struct http_conn *conn, struct stream *stream)
{
	if (conn->flags & (CONN_FIN | CONN_RDHUP))
		return true; /* known before the bytes were written */
	return stream->ops->peer_left(stream) && !stream->ops->peer_has_all(stream);
}

/* The first piece is out. */
static void out_pop(struct http_conn *conn)
{
	struct piece *piece = conn->out.first;

	conn->out.first = piece->next;
	if (!conn->out.first)
		conn->out.last = NULL;
	if (piece->tell && told_nobody(conn, &conn->stream)) {
		exchange_gone(piece->tell);
	} else if (piece->tell) {
		piece->tell->conn = &conn->thread->limbo; /* the connection may end before the door is told */
		list_push_back(&conn->thread->told, &piece->tell->siblings);
	}
	piece_free(conn->thread, piece);
}

static void out_consume(struct http_conn *conn, size_t sent)
{
	conn->out_bytes -= (uint32_t)sent;
	while (conn->out.first && conn->out.first->kind != PIECE_PINNED) {
		struct piece *piece = conn->out.first;
		uint64_t bytes = piece_bytes(piece);

		if (sent < bytes) {
			piece->at += sent;
			return;
		}
		sent -= (size_t)bytes;
		out_pop(conn);
	}
}

/* What the stream said; true: go on. */
static bool wrote(struct http_conn *conn, ssize_t sent)
{
	if (sent > 0) {
		conn->thread->stats.bytes_out_total += (uint64_t)sent;
		conn->flags |= CONN_SENT;
		return true;
	}
	if (sent == -EAGAIN)
		conn->flags |= CONN_BLOCKED;
	else
		conn_break(conn);
	return false;
}

static bool write_gathered(struct http_conn *conn)
{
	struct iovec parts[PARTS_MAX + 3];
	struct piece *piece = conn->out.first;
	size_t total = 0;
	ssize_t sent;
	int count = 0;

	for (; piece && piece->kind != PIECE_PINNED && count < PARTS_MAX; piece = piece->next) {
		if (piece->kind == PIECE_SHARED)
			count += shared_parts(piece, parts + count);
		else
			parts[count++] = (struct iovec){piece->buf.ptr + piece->at, piece->buf.len - piece->at};
	}
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (total == 0) {
		out_consume(conn, 0);
		return true;
	}
	sent = conn->stream.ops->write(&conn->stream, parts, count, piece != NULL);
	if (!wrote(conn, sent))
		return false;
	/* After a part only, the next attempt is told EAGAIN: only then is the edge sure to come. */
	out_consume(conn, (size_t)sent);
	return true;
}

static ssize_t send_by_copy(struct http_conn *conn, struct store_pin *pin, uint64_t offset, size_t len)
{
	struct iovec part = {conn->thread->read_buffer, len};

	if (pin->ops->read(pin, offset, conn->thread->read_buffer, len))
		return -EIO; /* too late for a status: the connection breaks before the length that was promised */
	return conn->stream.ops->write(&conn->stream, &part, 1, false);
}

static bool write_pinned(struct http_conn *conn)
{
	struct piece *piece = conn->out.first;
	struct store_pin *pin = piece->pinned.pin;
	size_t room = PIECE_BYTES - (size_t)(piece->at % PIECE_BYTES); /* not into the next chunk, which would be read twice */
	size_t len = piece->pinned.left < room ? (size_t)piece->pinned.left : room;
	uint64_t base = 0;
	int file = pin->ops->file ? pin->ops->file(pin, &base) : -ENOTSUP;
	ssize_t sent = -ENOTSUP;

	if (file >= 0)
		sent = conn->stream.ops->send_file(&conn->stream, file, base + piece->at, len);
	if (sent == -ENOTSUP)
		sent = send_by_copy(conn, pin, piece->at, len);
	if (!wrote(conn, sent))
		return false;
	piece->at += (uint64_t)sent;
	piece->pinned.left -= (uint64_t)sent;
	if (piece->pinned.left == 0)
		out_pop(conn);
	return true;
}

void output_write(struct http_conn *conn)
{
	int pieces = PIECES_A_TURN;

	while (conn->out.first && !(conn->flags & (CONN_BLOCKED | CONN_BROKEN))) {
		if (conn->out.first->kind != PIECE_PINNED) {
			if (!write_gathered(conn))
				return;
		} else if (pieces-- == 0) {
			conn_need(conn); /* others first */
			return;
		} else if (!write_pinned(conn)) {
			return;
		}
	}
}
