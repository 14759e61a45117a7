/* What a connection has to write: bytes, and parts of bodies that lie in the store, in the order of the requests. Both are
 * gathered in the thread's buffer for each write, so that a reader who stalls costs its pieces and nothing else.
 *
 * A body is read as a whole before its first byte is written, since that is how it is held against its checksum; the bytes that
 * the socket takes at once go from there. The rest of it, which is known to be right, is sent from the file and not copied any
 * more. To check a body through a mapping and to send all of it from the file was measured, and costs more than the copy. */
#include "kafka/api/api_priv.h"

#include <errno.h>

enum {
	COPY_BYTES = 16 * 1024, /* answers up to this share a piece */
	FILE_BYTES = 16 * 1024, /* less of a file is copied along with what comes behind it */
};

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
	thread->kept_bytes -= piece->bytes.len;
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
	thread->kept_bytes += bytes.len;
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

/* What is left of a body into `out`, as much as there is room for. What lies in the journal is held against its checksum before
 * its first byte is written, which asks for room for all of it. Returns how much, or -EIO. */
static ssize_t read_part(const struct piece *piece, uint64_t at, char *out, size_t room)
{
	struct store_pin *pin = piece->pin;
	uint64_t left = piece->end - at;
	size_t len = left < room ? (size_t)left : room;
	bool check = pin->ref.kind == BODY_INLINE && !piece->checked && pin->ref.size_bytes <= WRITE_BYTES;

	if (!check)
		return pin->ops->read(pin, at, out, len) ? -EIO : (ssize_t)len;
	if (pin->ref.size_bytes > room)
		return 0;
	if (pin->ops->read_whole(pin, out))
		return -EIO;
	if (at)
		memmove(out, out + at, (size_t)left);
	return (ssize_t)left;
}

/* The rest of a body whose beginning has been written. */
static bool goes_from_file(const struct piece *piece)
{
	return piece->pin && piece->checked && piece->end - piece->at >= FILE_BYTES;
}

/* -ENOTSUP: it has to be read. */
static ssize_t write_from_file(struct kafka_conn *conn)
{
	const struct piece *piece = conn->out.first;
	uint64_t base = 0;
	int file = goes_from_file(piece) && piece->pin->ops->file ? piece->pin->ops->file(piece->pin, &base) : -ENOTSUP;

	if (file < 0)
		return -ENOTSUP;
	return conn->stream.ops->send_file(&conn->stream, file, base + piece->at, (size_t)(piece->end - piece->at));
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
			piece->checked |= sent > 0 && piece->pin && piece->pin->ref.kind == BODY_INLINE;
			return;
		}
		sent -= (size_t)left;
		chain_pop(conn->thread, &conn->out);
	}
}

static bool write_some(struct kafka_conn *conn)
{
	ssize_t sent = write_from_file(conn), len;

	if (sent == -ENOTSUP) {
		len = collect(conn);
		if (len < 0) {
			kafka_conn_break(conn); /* too late for an error: its length was promised */
			return false;
		}
		sent = conn->stream.ops->write(&conn->stream, &(struct iovec){conn->thread->write_buffer, (size_t)len}, 1, false);
	}
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

/* --- answers that nobody takes --- */

static uint64_t chain_kept(const struct chain *chain)
{
	uint64_t bytes = 0;

	for (const struct piece *piece = chain->first; piece; piece = piece->next)
		bytes += piece->bytes.len;
	return bytes;
}

static uint64_t conn_kept(const struct kafka_conn *conn)
{
	uint64_t bytes = chain_kept(&conn->out);

	list_each (node, &conn->calls)
		bytes += chain_kept(&container_of(node, struct kafka_call, siblings)->answer);
	return bytes;
}

/* Who has nothing but the newest answer, which it had no time to take. */
static bool is_new(const struct kafka_conn *conn, const struct kafka_call *newest, uint64_t kept)
{
	return conn == newest->conn && !(conn->flags & CONN_BLOCKED) && kept == chain_kept(&newest->answer);
}

/* Whose socket takes no more comes before others, however much they have. */
static bool is_worse(const struct kafka_conn *conn, uint64_t kept, const struct kafka_conn *than, uint64_t than_kept)
{
	if ((conn->flags ^ than->flags) & CONN_BLOCKED)
		return conn->flags & CONN_BLOCKED;
	return kept > than_kept;
}

/* With no more than what each may have nobody is cut. Returns false when it is not too much any more, or nobody is left. */
static bool cut_one(const struct kafka_call *newest)
{
	const struct kafka_thread *thread = newest->thread;
	struct kafka_conn *worst = NULL;
	uint64_t most = 0, all = thread->kept_bytes;

	list_each (node, &thread->conns) {
		struct kafka_conn *conn = container_of(node, struct kafka_conn, all);
		uint64_t kept = conn->out_bytes > thread->config.limits.output_bytes ? conn_kept(conn) : 0;

		if (conn->flags & CONN_BROKEN)
			all -= kept;
		else if (kept <= thread->config.limits.output_bytes || is_new(conn, newest, kept))
			continue;
		if (conn->flags & CONN_BROKEN || (worst && !is_worse(conn, kept, worst, most)))
			continue;
		worst = conn;
		most = kept;
	}
	if (!worst || all <= thread->config.limits.memory_bytes)
		return false;
	kafka_conn_broken(worst, KAFKA_BROKEN_MEMORY, "it leaves %llu bytes of answers unread, and kafka-memory is used up",
			  (unsigned long long)most);
	kafka_conn_break(worst);
	return true;
}

void kafka_output_limit(const struct kafka_call *call)
{
	while (call->thread->kept_bytes > call->thread->config.limits.memory_bytes && cut_one(call))
		;
}
