/* The door's side: taking a body, answering, parking; and the line in which the exchanges of a connection stand. */
#include "http/exchange/engine_priv.h"

#include "base/panic.h"

#include <errno.h>

struct http_thread *exchange_thread(const struct exchange *ex)
{
	return ex->conn->thread;
}

bool exchange_is_parked(const struct exchange *ex)
{
	return ex->state == EX_PARKED;
}

static void deadline_expired(struct wheel_entry *entry)
{
	struct exchange *ex = container_of(entry, struct exchange, deadline);

	ex->state = EX_OPEN;
	ex->conn->thread->stats.parked--;
	ex->conn->thread->config.handler->on_deadline(ex);
}

struct exchange *exchange_new(struct http_conn *conn)
{
	struct exchange *ex = pool_take(&conn->thread->exchange_pool);

	if (!ex)
		return NULL;
	ex->conn = conn;
	ex->thread = (uint8_t)conn->thread->index;
	ex->deadline.expired = deadline_expired;
	list_push_back(&conn->exchanges, &ex->siblings);
	conn->exchange_count++;
	return ex;
}

static void forget_request(struct exchange *ex)
{
	arena_deinit(&ex->arena);
	ex->request = NULL;
}

void exchange_free(struct exchange *ex)
{
	forget_request(ex);
	pool_give(&ex->conn->thread->exchange_pool, ex);
}

void exchange_leave_line(struct exchange *ex)
{
	if (list_empty(&ex->siblings))
		return;
	list_remove(&ex->siblings);
	if (ex->conn->exchange_count)
		ex->conn->exchange_count--;
}

void exchange_unpark(struct exchange *ex)
{
	if (ex->state != EX_PARKED)
		return;
	wheel_remove(ex->conn->thread->wheel, &ex->deadline);
	ex->state = EX_OPEN;
	ex->conn->thread->stats.parked--;
}

/* True when the door is to be told. */
static bool lose(struct exchange *ex)
{
	struct http_conn *conn = ex->conn;
	bool known = !(ex->flags & EX_ENGINE) && (ex->state != EX_ANSWERED || ex->flags & EX_TELL);
	struct chain early = {.first = ex->answer};

	exchange_unpark(ex);
	exchange_leave_line(ex);
	ex->answer = NULL;
	for (struct piece *piece = early.first; piece; piece = piece->next)
		piece->tell = NULL; /* that is this exchange */
	chain_drop(conn, &early);
	ex->conn = &conn->thread->limbo;
	if (!known) {
		exchange_free(ex);
		return false;
	}
	ex->state = EX_LOST;
	list_push_back(&conn->thread->lost, &ex->siblings);
	return true;
}

void exchange_gone(struct exchange *ex)
{
	struct http_thread *thread = ex->conn->thread;

	if (lose(ex))
		thread->stats.gone_total++;
}

/* For what the engine says by itself in the place of an exchange that the door knows. */
struct exchange *exchange_replace(struct exchange *ex)
{
	struct http_conn *conn = ex->conn;
	struct exchange *instead = exchange_new(conn);

	if (!instead) {
		conn_break(conn);
		return NULL;
	}
	instead->flags = (ex->flags & (EX_HEAD | EX_HTTP10 | EX_CLOSE)) | EX_ENGINE;
	list_remove(&instead->siblings);
	list_push_back(&ex->siblings, &instead->siblings); /* before it */
	lose(ex);
	return instead;
}

void exchange_done(struct exchange *ex)
{
	ENSURE(ex->state == EX_GONE);
	list_remove(&ex->siblings);
	exchange_free(ex);
}

void exchange_take_body(struct exchange *ex, enum body_mode mode, uint64_t limit)
{
	struct http_conn *conn = ex->conn;
	struct intake *intake = conn->intake;
	uint64_t longest = conn->thread->config.limits.body_bytes;

	if (ex->state == EX_LOST)
		return; /* on_gone is about to come */
	ENSURE(ex->state == EX_OPEN && !(ex->flags & EX_TAKEN));
	ex->flags |= EX_TAKEN;
	if (!intake || intake->ex != ex) {
		/* The request was complete, without a body, before the door made up its mind. */
		ex->flags |= EX_EMPTY;
		conn_need(conn);
		return;
	}
	intake->limit = mode == BODY_TO_MEMORY || limit < longest ? limit : longest;
	if (intake->length != UINT64_MAX && intake->length > intake->limit)
		intake->mode = INTAKE_TOO_LARGE;
	else
		intake->mode = mode == BODY_TO_MEMORY ? INTAKE_MEMORY : mode == BODY_TO_STORE ? INTAKE_STORE : INTAKE_DISCARD;
	conn_need(conn);
}

/* Whoever is first in line and answered moves to `out`. */
static void answer_moves(struct http_conn *conn, struct exchange *ex)
{
	struct piece *piece = ex->answer;

	ex->answer = NULL;
	while (piece) {
		struct piece *next = piece->next;

		chain_add(&conn->out, piece);
		piece = next;
	}
	exchange_leave_line(ex);
	if (ex->flags & EX_CLOSE)
		conn->flags |= CONN_LAST | CONN_CLOSING;
	if (!(ex->flags & EX_TELL))
		exchange_free(ex);
}

static bool say_continue(struct http_conn *conn, struct exchange *ex)
{
	struct buf *out = chain_buf(conn->thread, &conn->out);
	size_t before = out ? out->len : 0;

	ex->flags &= (uint16_t)~EX_CONTINUE;
	if (out)
		buf_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
	if (!out || out->failed)
		return false;
	conn->out_bytes += (uint32_t)(out->len - before);
	return true;
}

void line_advance(struct http_conn *conn)
{
	while (!list_empty(&conn->exchanges) && !(conn->flags & CONN_LAST)) {
		struct exchange *ex = list_first(&conn->exchanges, struct exchange, siblings);

		if (ex->flags & EX_CONTINUE && !say_continue(conn, ex))
			conn_break(conn);
		ongoing_release(conn, ex);
		if (ex->state != EX_ANSWERED)
			return;
		answer_moves(conn, ex);
	}
}

/* Before its answer is made: what the connection will be behind it. */
void answer_decides_close(struct exchange *ex, unsigned flags)
{
	struct http_conn *conn = ex->conn;

	if (conn->intake && conn->intake->ex == ex)
		intake_leave(conn, ex);
	ex->flags &= (uint16_t)~EX_CONTINUE;
	if (flags & EXCHANGE_CLOSE)
		ex->flags |= EX_CLOSE;
	if (flags & EXCHANGE_TELL)
		ex->flags |= EX_TELL;
	/* The last in line when the server leaves, or when the client will send no more. */
	if ((conn->thread->draining || conn->flags & CONN_FIN) && conn->exchanges.prev == &ex->siblings)
		ex->flags |= EX_CLOSE;
	if (ex->flags & EX_CLOSE)
		conn->flags |= CONN_CLOSING; /* RFC 9112 §9.6: no request behind it is looked at */
}

/* True when nobody will read the answer. With EXCHANGE_TELL it waits to be told that it is gone, else it is over. */
bool answer_is_void(struct exchange *ex, struct store_pin *pin, unsigned flags)
{
	struct http_conn *conn = ex->conn;

	ENSURE(ex->state != EX_ANSWERED && ex->state != EX_GONE);
	exchange_unpark(ex);
	if (ex->state != EX_LOST && !(conn->flags & (CONN_BROKEN | CONN_LAST)))
		return false;
	if (pin)
		pin->ops->unpin(pin);
	if (flags & EXCHANGE_TELL) {
		ex->flags |= EX_TELL;
		if (ex->state != EX_LOST)
			ex->state = EX_ANSWERED;
		return true;
	}
	if (conn->intake && conn->intake->ex == ex)
		intake_leave(conn, ex);
	exchange_leave_line(ex);
	exchange_free(ex);
	return true;
}

/* What stood in the way of an answer whose body is pinned: an error is said in its place. */
static void answer_unreadable(struct exchange *ex, struct store_pin *pin, int error)
{
	struct exchange *instead = exchange_replace(ex);

	pin->ops->unpin(pin);
	if (!instead)
		return;
	if (error == -ENOMEM)
		answer_problem(instead, 503, "server-full", "The server is out of memory.");
	else
		answer_problem(instead, 503, "storage-failed",
			       "The stored bytes could not be read, or are not those that were stored.");
}

/* The answer stands at the end of `chain`, which is all of the connection's output when the exchange is the first in line. */
void answer_made(struct exchange *ex, struct chain *chain)
{
	struct http_conn *conn = ex->conn;

	if (ex->flags & EX_TELL)
		chain->last->tell = ex;
	forget_request(ex);
	if (conn->exchanges.next == &ex->siblings) {
		conn->out = *chain;
		answer_moves(conn, ex);
		line_advance(conn);
	} else {
		ex->answer = chain->first;
	}
	conn_need(conn);
}

void exchange_answer(struct exchange *ex, const struct answer *answer)
{
	struct http_conn *conn = ex->conn;
	bool first = conn->exchanges.next == &ex->siblings;
	struct chain chain = {0};
	uint64_t before;
	int error;

	ENSURE(!(ex->flags & EX_STREAM));
	if (answer_is_void(ex, answer->pin, answer->flags))
		return;
	answer_decides_close(ex, answer->flags);
	ex->state = EX_ANSWERED;
	if (first)
		chain = conn->out;
	before = chain_bytes(&chain);
	error = answer_encode(ex, answer, &chain);
	if (!error) {
		conn->out_bytes += (uint32_t)(chain_bytes(&chain) - before);
		answer_made(ex, &chain);
		return;
	}
	if (first)
		conn->out = chain;
	else
		chain_drop(conn, &chain);
	if (answer->pin)
		answer_unreadable(ex, answer->pin, error);
	else
		conn_break(conn);
}

/* Straight to the socket, if nothing stands before it. True when all of it went. */
static bool write_shared(struct http_conn *conn, struct piece *piece)
{
	struct iovec parts[3];
	int count = shared_parts(piece, parts);
	size_t total = shared_bytes(piece->shared, piece->connection, piece->without_body);
	ssize_t sent = conn->stream.ops->write(&conn->stream, parts, count, false);

	if (sent > 0) {
		conn->thread->stats.bytes_out_total += (uint64_t)sent;
		conn->flags |= CONN_SENT;
		piece->at = (uint64_t)sent;
	} else if (sent != -EAGAIN) {
		conn_break(conn);
	}
	return piece->at == total;
}

static void queue_shared(struct exchange *ex, const struct piece *as, bool first)
{
	struct http_conn *conn = ex->conn;
	struct piece *piece = piece_new(conn->thread, PIECE_SHARED);
	struct chain chain = {0};

	if (!piece) {
		conn_break(conn);
		return;
	}
	*piece = *as;
	shared_answer_ref(piece->shared);
	conn->out_bytes += (uint32_t)(shared_bytes(as->shared, as->connection, as->without_body) - as->at);
	if (first)
		chain = conn->out;
	chain_add(&chain, piece);
	answer_made(ex, &chain);
}

void exchange_answer_shared(struct exchange *ex, struct shared_answer *shared)
{
	struct http_conn *conn = ex->conn;
	bool first = conn->exchanges.next == &ex->siblings;
	struct piece piece = {.kind = PIECE_SHARED, .shared = shared};

	ENSURE(!(ex->flags & EX_STREAM));
	if (answer_is_void(ex, NULL, shared_flags(shared)))
		return;
	answer_decides_close(ex, shared_flags(shared));
	ex->state = EX_ANSWERED;
	piece.connection = (uint8_t)answer_connection(ex);
	piece.without_body = (ex->flags & EX_HEAD) != 0;
	if (!first || conn->out.first || conn->flags & CONN_BLOCKED || ex->flags & EX_TELL || !write_shared(conn, &piece)) {
		if (!(conn->flags & CONN_BROKEN))
			queue_shared(ex, &piece, first);
		return;
	}
	answer_moves(conn, ex);
	line_advance(conn);
	/* The usual case, 15,000 times over: nothing is left to do. */
	if (list_empty(&conn->exchanges) && !conn->out.first && !conn->leftover && !conn->intake &&
	    !(conn->flags & (CONN_CLOSING | CONN_RDHUP | CONN_READABLE)) && !conn->thread->draining)
		conn_settle(conn);
	else
		conn_need(conn);
}

void exchange_park(struct exchange *ex, uint64_t timeout_ms)
{
	struct http_conn *conn = ex->conn;
	struct http_thread *thread = conn->thread;
	uint64_t now_ms = loop_now_ms(thread->loop);
	bool intake = conn->intake != NULL;

	if (ex->state == EX_LOST)
		return; /* on_gone is about to come */
	ENSURE(ex->state == EX_OPEN || ex->state == EX_PARKED);
	exchange_unpark(ex);
	if (conn->intake && conn->intake->ex == ex)
		intake_leave(conn, ex);
	forget_request(ex);
	ex->deadline.deadline_ms = timeout_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + timeout_ms;
	wheel_add(thread->wheel, &ex->deadline);
	ex->state = EX_PARKED;
	thread->stats.parked++;
	if (intake || conn->flags & (CONN_RDHUP | CONN_FIN | CONN_BROKEN))
		conn_need(conn);
}
