/* What a connection has to write: bytes, and parts of bodies that lie in the store, in the order of the requests. Bodies are sent
 * from where they lie; what cannot be seen there is read into the thread's buffer for each write, as bytes are copied there. So a
 * reader who stalls costs its pieces and nothing else.
 *
 * A body is looked at as a whole right before its first byte is written, since that is how it is held against its checksum. When
 * the socket takes only a part of it, the rest is known to be right. */
#include "kafka/api/api_priv.h"

#include <errno.h>

enum {
	COPY_BYTES = 16 * 1024, /* answers up to this share a piece */
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

/* Where the body lies, if it can be sent from there. */
static const char *piece_view(struct piece *piece)
{
	if (!piece->pin)
		return NULL;
	if (!piece->checked)
		piece->view = piece->pin->ops->view ? piece->pin->ops->view(piece->pin) : NULL;
	return piece->view;
}

/* For one write. */
struct gathered {
	struct iovec parts[WRITE_PARTS];
	int count;
	size_t len, used; /* in all; in the thread's buffer */
};

static void gathered_add(struct gathered *g, const char *at, size_t len)
{
	struct iovec *last = g->count ? &g->parts[g->count - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == at)
		last->iov_len += len;
	else if (len)
		g->parts[g->count++] = (struct iovec){(char *)(uintptr_t)at, len};
	g->len += len;
}

/* From the front of what there is. 0 or -EIO. */
static int gather(struct kafka_conn *conn, struct gathered *g)
{
	for (struct piece *piece = conn->out.first; piece; piece = piece->next) {
		size_t left = (size_t)(piece->end - piece->at), room = WRITE_BYTES - g->used;
		char *out = conn->thread->write_buffer + g->used;
		ssize_t part = (ssize_t)(left < room ? left : room);
		const char *view;

		if (g->len >= WRITE_ENOUGH_BYTES || g->count == WRITE_PARTS)
			break;
		view = piece_view(piece);
		if (view) {
			gathered_add(g, view + piece->at, left);
			continue;
		}
		if (piece->pin)
			part = read_part(piece, piece->at, out, room);
		else
			memcpy(out, piece->bytes.ptr + piece->at, (size_t)part);
		if (part < 0)
			return -EIO;
		gathered_add(g, out, (size_t)part);
		g->used += (size_t)part;
		if ((size_t)part < left)
			break;
	}
	return 0;
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
	struct gathered g = {.count = 0};
	ssize_t sent;

	if (gather(conn, &g) < 0) {
		kafka_conn_break(conn); /* too late for an error: its length was promised */
		return false;
	}
	sent = conn->stream.ops->write(&conn->stream, g.parts, g.count, false);
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
