/* What a connection has to write: bytes, and parts of bodies that lie in the store, in the order of the requests. Both are
 * gathered in the thread's buffer for each write; what the socket does not take of it is gathered again, so that a reader who
 * stalls costs its pieces and nothing else. */
#include "kafka/api/api_priv.h"

#include <errno.h>

enum { COPY_BYTES = 16 * 1024 }; /* answers up to this share a piece */

static struct piece *piece_new(struct kafka_thread *thread, struct chain *chain)
{
	struct piece *piece = pool_take(&thread->piece_pool);

	if (!piece)
		return NULL;
	if (chain->last)
		chain->last->next = piece;
	else
		chain->first = piece;
	chain->last = piece;
	return piece;
}

static void piece_free(struct kafka_thread *thread, struct piece *piece)
{
	if (piece->pin)
		piece->pin->ops->unpin(piece->pin);
	buf_deinit(&piece->bytes);
	pool_give(&thread->piece_pool, piece);
}

int kafka_chain_append(struct kafka_thread *thread, struct chain *chain, struct slice bytes)
{
	struct piece *piece = chain->last;

	if (bytes.len == 0)
		return 0;
	if (!piece || piece->pin || piece->bytes.len + bytes.len > COPY_BYTES)
		piece = piece_new(thread, chain);
	if (!piece)
		return -ENOMEM;
	buf_append_slice(&piece->bytes, bytes);
	if (piece->bytes.failed)
		return -ENOMEM;
	piece->end = piece->bytes.len;
	return 0;
}

int kafka_chain_append_part(struct kafka_thread *thread, struct chain *chain, const struct kafka_part *part)
{
	struct piece *piece = piece_new(thread, chain);

	if (!piece) {
		part->pin->ops->unpin(part->pin);
		return -ENOMEM;
	}
	piece->pin = part->pin;
	piece->at = part->from;
	piece->end = part->to;
	return 0;
}

uint64_t kafka_chain_bytes(const struct chain *chain)
{
	uint64_t bytes = 0;

	for (const struct piece *piece = chain->first; piece; piece = piece->next)
		bytes += piece->end - piece->at;
	return bytes;
}

void kafka_chain_move(struct chain *to, struct chain *from)
{
	if (!from->first)
		return;
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	*from = (struct chain){0};
}

static void chain_pop(struct kafka_thread *thread, struct chain *chain)
{
	struct piece *piece = chain->first;

	chain->first = piece->next;
	if (!chain->first)
		chain->last = NULL;
	piece_free(thread, piece);
}

void kafka_chain_drop(struct kafka_thread *thread, struct chain *chain)
{
	while (chain->first)
		chain_pop(thread, chain);
}

/* What is left of a body into `out`, as much as there is room for. What lies in the journal is held against its checksum when its
 * first byte is read, which asks for room for all of it. Returns how much, or -EIO. */
static ssize_t read_part(const struct piece *piece, uint64_t at, char *out, size_t room)
{
	struct store_pin *pin = piece->pin;
	uint64_t left = piece->end - at;
	size_t len = left < room ? (size_t)left : room;
	bool check = pin->ref.kind == BODY_INLINE && at == piece->at && pin->ref.size_bytes <= WRITE_BYTES;

	if (!check)
		return pin->ops->read(pin, at, out, len) ? -EIO : (ssize_t)len;
	if (pin->ref.size_bytes > room)
		return 0;
	if (pin->ops->read_whole(pin, out))
		return -EIO;
	memmove(out, out + at, (size_t)left);
	return (ssize_t)left;
}

/* Fills the thread's buffer from the front of what there is. Returns how much, or -EIO. */
static ssize_t collect(struct kafka_conn *conn)
{
	char *out = conn->thread->write_buffer;
	size_t len = 0;

	for (const struct piece *piece = conn->out.first; piece && len < READ_BYTES; piece = piece->next) {
		size_t left = (size_t)(piece->end - piece->at), room = WRITE_BYTES - len;
		ssize_t part = (ssize_t)(left < room ? left : room);

		if (piece->pin)
			part = read_part(piece, piece->at, out + len, room);
		else
			memcpy(out + len, piece->bytes.ptr + piece->at, (size_t)part);
		if (part < 0)
			return part;
		len += (size_t)part;
		if ((size_t)part < left)
			break;
	}
	return (ssize_t)len;
}

static void consume(struct kafka_conn *conn, size_t sent)
{
	conn->out_bytes -= sent;
	while (conn->out.first) {
		struct piece *piece = conn->out.first;
		uint64_t left = piece->end - piece->at;

		if (sent < left) {
			piece->at += sent;
			return;
		}
		sent -= (size_t)left;
		chain_pop(conn->thread, &conn->out);
	}
}

static bool write_some(struct kafka_conn *conn)
{
	ssize_t len = collect(conn), sent;
	struct iovec part;

	if (len < 0) {
		kafka_conn_break(conn); /* too late for an error: its length was promised */
		return false;
	}
	part = (struct iovec){conn->thread->write_buffer, (size_t)len};
	sent = conn->stream.ops->write(&conn->stream, &part, 1, false);
	if (sent > 0) {
		conn->thread->stats.bytes_out_total += (uint64_t)sent;
		conn->flags |= CONN_SENT;
		consume(conn, (size_t)sent);
		return true;
	}
	if (sent == -EAGAIN)
		conn->flags |= CONN_BLOCKED;
	else
		kafka_conn_break(conn);
	return false;
}

void kafka_output_write(struct kafka_conn *conn)
{
	int writes = WRITES_A_TURN;

	while (conn->out.first && !(conn->flags & (CONN_BLOCKED | CONN_BROKEN))) {
		if (writes-- == 0) {
			kafka_conn_need(conn); /* others first */
			return;
		}
		if (!write_some(conn))
			return;
	}
}
