/* A connection: reading, deadlines, the end. */
#include "http/exchange/engine_priv.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

/* Of all threads: the limit is the server's. */
static _Atomic uint32_t connections_open;

void conn_need(struct http_conn *conn)
{
	if (list_empty(&conn->work))
		list_push_back(&conn->thread->work, &conn->work);
}

void conn_break(struct http_conn *conn)
{
	conn->flags |= CONN_BROKEN;
	conn_need(conn);
}

/* Answers are kept for it that it has not taken yet, up to the limit. One that flows from a pin has one piece in memory at most,
 * and counts as that. */
static bool output_is_long(const struct http_conn *conn)
{
	uint64_t bytes = conn->out_bytes;

	for (const struct piece *piece = conn->out.first; piece; piece = piece->next)
		bytes += piece->kind == PIECE_PINNED ? PIECE_BYTES : 0;
	return bytes > conn->thread->config.limits.output_bytes;
}

bool conn_wants_input(const struct http_conn *conn)
{
	const struct http_limits *limits = &conn->thread->config.limits;

	if (conn->flags & (CONN_BROKEN | CONN_LINGER | CONN_LAST))
		return false;
	if (conn->intake && conn->intake->mode != INTAKE_HEAD)
		return !intake_is_held(conn) && (conn->intake->ex || !output_is_long(conn));
	if (conn->intake)
		return !(conn->flags & CONN_CLOSING) && !output_is_long(conn);
	return !(conn->flags & CONN_CLOSING) && !conn->thread->draining && conn->exchange_count < limits->pipeline &&
	       !output_is_long(conn);
}

/* --- deadlines --- */

/* Is it the client that everyone is waiting for? Not before it has heard `100 Continue`. */
static bool is_slow_body(const struct http_conn *conn)
{
	const struct exchange *ex = conn->intake->ex;

	return conn_wants_input(conn) && !(ex && ex->flags & EX_CONTINUE);
}

static enum timer_kind timer_wanted(const struct http_conn *conn)
{
	if (conn->flags & CONN_LINGER)
		return TIMER_LINGER;
	if (conn->out.first && conn->flags & CONN_BLOCKED)
		return TIMER_WRITE;
	if (conn->intake && conn->intake->mode != INTAKE_HEAD)
		return is_slow_body(conn) ? TIMER_BODY : TIMER_NONE;
	if (conn->intake && h1_begun(conn->intake->h1))
		return conn_wants_input(conn) ? TIMER_HEAD : TIMER_NONE;
	return list_empty(&conn->exchanges) && !conn->out.first ? TIMER_IDLE : TIMER_NONE;
}

static uint64_t timer_ms(const struct http_conn *conn, enum timer_kind kind)
{
	const struct http_limits *limits = &conn->thread->config.limits;

	switch (kind) {
	case TIMER_HEAD:
		return limits->header_timeout_ms;
	case TIMER_BODY:
		return limits->body_timeout_ms;
	case TIMER_WRITE:
		return limits->write_timeout_ms;
	case TIMER_IDLE:
		return limits->idle_timeout_ms;
	case TIMER_LINGER:
		return LINGER_MS;
	case TIMER_NONE:
		break;
	}
	return 0;
}

/* The deadlines of a head and of lingering are absolute; the others begin anew whenever bytes moved their way. */
static bool timer_moves(const struct http_conn *conn, enum timer_kind kind)
{
	switch (kind) {
	case TIMER_BODY:
		return conn->flags & CONN_GOT;
	case TIMER_WRITE:
		return conn->flags & CONN_SENT;
	case TIMER_IDLE:
		return conn->flags & (CONN_GOT | CONN_SENT);
	case TIMER_HEAD:
	case TIMER_LINGER:
	case TIMER_NONE:
		break;
	}
	return false;
}

void conn_stop_timer(struct http_conn *conn)
{
	wheel_remove(conn->thread->wheel, &conn->timer);
	conn->timer_kind = TIMER_NONE;
}

void conn_settle(struct http_conn *conn)
{
	enum timer_kind kind = timer_wanted(conn);
	bool same = kind == conn->timer_kind && !timer_moves(conn, kind);
	uint64_t deadline_ms = loop_now_ms(conn->thread->loop) + timer_ms(conn, kind);

	conn->flags &= (uint16_t) ~(CONN_GOT | CONN_SENT);
	if (same || (kind == conn->timer_kind && conn->timer.deadline_ms == deadline_ms))
		return;
	conn_stop_timer(conn);
	if (kind == TIMER_NONE)
		return;
	conn->timer_kind = (uint8_t)kind;
	conn->timer.deadline_ms = deadline_ms;
	wheel_add(conn->thread->wheel, &conn->timer);
}

static void timer_expired(struct wheel_entry *entry)
{
	static const struct h1_error slow_head = {408, "timeout", "The request's head did not come in time."};
	static const struct h1_error slow_body = {408, "timeout", "The request's body did not come in time."};
	struct http_conn *conn = container_of(entry, struct http_conn, timer);
	enum timer_kind kind = conn->timer_kind;

	conn->timer_kind = TIMER_NONE;
	if (kind == TIMER_HEAD || kind == TIMER_BODY || kind == TIMER_WRITE)
		conn->thread->stats.timeouts_total++;
	if (kind == TIMER_HEAD && conn->intake) {
		intake_fail(conn, &slow_head);
	} else if (kind == TIMER_BODY && conn->intake && conn->intake->ex) {
		intake_fail(conn, &slow_body);
	} else if (kind == TIMER_IDLE) {
		/* Nothing was asked, so nothing is said. */
		conn->flags |= CONN_CLOSING;
		intake_drop(conn);
	} else {
		conn_break(conn);
	}
	conn_need(conn);
}

/* --- reading --- */

static void leftover_free(struct http_conn *conn)
{
	conn->leftover = mem_free(conn->leftover);
}

/* What was read and cannot be used now. */
static void leftover_keep(struct http_conn *conn, struct slice rest)
{
	struct leftover *leftover;

	if (!rest.len || conn->flags & (CONN_BROKEN | CONN_LAST | CONN_LINGER) || (conn->flags & CONN_CLOSING && !conn->intake))
		return;
	leftover = mem_alloc(sizeof(*leftover) + rest.len);
	if (!leftover) {
		conn_break(conn);
		return;
	}
	*leftover = (struct leftover){.len = rest.len};
	memcpy(leftover->bytes, rest.ptr, rest.len);
	conn->leftover = leftover;
}

static void take_leftover(struct http_conn *conn)
{
	struct leftover *leftover = conn->leftover;

	leftover->at += intake_take(conn, slice_from(leftover->bytes + leftover->at, leftover->len - leftover->at));
	if (leftover->at == leftover->len || (conn->flags & CONN_CLOSING && !conn->intake))
		leftover_free(conn);
}

/* The client has said all it will. Whoever is parked is gone, and with it whatever comes behind it; what is being worked on is
 * still answered. */
static void read_end(struct http_conn *conn)
{
	conn->flags = (uint16_t)((conn->flags | CONN_FIN | CONN_RDHUP | CONN_CLOSING) & ~CONN_READABLE);
	if (conn->intake && conn->intake->mode != INTAKE_SEALING &&
	    !(conn->intake->mode == INTAKE_WAITING && conn->intake->length == 0)) {
		struct exchange *ex = conn->intake->ex;

		/* A request that will never be whole. */
		intake_drop(conn);
		if (ex)
			exchange_gone(ex);
	}
	conn_need(conn);
}

static void read_some(struct http_conn *conn)
{
	struct http_thread *thread = conn->thread;
	bool body = conn->intake && conn->intake->mode != INTAKE_HEAD;
	size_t room = body ? READ_BODY_BYTES : READ_HEAD_BYTES, used;
	ssize_t count = conn->stream.ops->read(&conn->stream, thread->read_buffer, room);

	if (count > 0) {
		thread->stats.bytes_in_total += (uint64_t)count;
		conn->flags |= CONN_GOT;
		/* Less than asked for: empty, unless an end is behind it. */
		if ((size_t)count < room && !(conn->flags & CONN_RDHUP))
			conn->flags &= (uint16_t)~CONN_READABLE;
		used = intake_take(conn, slice_from(thread->read_buffer, (size_t)count));
		leftover_keep(conn, slice_from(thread->read_buffer + used, (size_t)count - used));
	} else if (count == 0) {
		read_end(conn);
	} else if (count == -EAGAIN) {
		conn->flags &= (uint16_t)~CONN_READABLE;
	} else {
		conn_break(conn);
	}
}

static void conn_read(struct http_conn *conn)
{
	int reads = READS_A_TURN;

	if (conn->leftover && conn_wants_input(conn))
		take_leftover(conn);
	else if (conn->intake && conn_wants_input(conn))
		(void)intake_take(conn, (struct slice){0}); /* its end may have been read already */
	while (conn->flags & CONN_READABLE && !conn->leftover && conn_wants_input(conn)) {
		if (reads-- == 0) {
			conn_need(conn); /* others first */
			return;
		}
		read_some(conn);
	}
}

/* Reads what still comes, so that closing does not reset the connection before our last answer is read (RFC 9112 §9.6). */
static void linger_read(struct http_conn *conn)
{
	for (int reads = 0; conn->flags & CONN_READABLE && !(conn->flags & CONN_BROKEN); reads++) {
		ssize_t count = conn->stream.ops->read(&conn->stream, conn->thread->read_buffer, READ_BODY_BYTES);

		if (count == -EAGAIN)
			conn->flags &= (uint16_t)~CONN_READABLE;
		else if (count <= 0 || ++conn->lingered == UINT8_MAX)
			conn_break(conn);
		else if (reads == READS_A_TURN) {
			conn_need(conn);
			return;
		}
	}
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct http_conn *conn = container_of(source, struct http_conn, source);

	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_break(conn);
		return;
	}
	if (events & EPOLLRDHUP)
		conn->flags |= CONN_RDHUP;
	if (events & (EPOLLIN | EPOLLRDHUP))
		conn->flags |= CONN_READABLE;
	if (events & EPOLLOUT && conn->flags & CONN_BLOCKED) {
		conn->flags &= (uint16_t)~CONN_BLOCKED;
		conn_need(conn);
	}
	if (conn->flags & CONN_LINGER)
		linger_read(conn);
	else
		conn_read(conn);
	if (!list_empty(&conn->work))
		return;
	/* What was read may have been the last that it waited for. */
	if (conn->flags & (CONN_RDHUP | CONN_CLOSING) || conn->thread->draining)
		conn_need(conn);
	else
		conn_settle(conn);
}

/* --- the end --- */

static void conn_free(struct http_conn *conn)
{
	struct http_thread *thread = conn->thread;

	wheel_remove(thread->wheel, &conn->timer);
	loop_forget(thread->loop, &conn->source);
	conn->stream.ops->close(&conn->stream);
	list_remove(&conn->all);
	list_remove(&conn->work);
	pool_give(&thread->conn_pool, conn);
	thread->stats.connections_open--;
	atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
}

/* From there on. */
static void line_gone(struct http_conn *conn, struct list *from)
{
	while (from != &conn->exchanges) {
		struct list *next = from->next;

		exchange_gone(container_of(from, struct exchange, siblings));
		from = next;
	}
}

void conn_end(struct http_conn *conn)
{
	conn->flags |= CONN_BROKEN;
	intake_drop(conn);
	leftover_free(conn);
	line_gone(conn, conn->exchanges.next);
	chain_drop(conn, &conn->out);
	conn_free(conn);
}

/* The client has half closed: see read_end. An answer that goes on would never be told that nobody reads it. */
static void drop_parked(struct http_conn *conn)
{
	list_each (node, &conn->exchanges) {
		const struct exchange *ex = container_of(node, struct exchange, siblings);

		if (!exchange_is_parked(ex) && !(ex->flags & EX_STREAM))
			continue;
		/* Their answers could not leave before its own. */
		conn->flags |= CONN_CLOSING | CONN_FIN;
		intake_drop(conn);
		line_gone(conn, node);
		return;
	}
}

/* What came behind the last request that will be answered. */
static void drop_unasked(struct http_conn *conn)
{
	if (conn->flags & CONN_LAST) {
		intake_drop(conn);
		line_gone(conn, conn->exchanges.next);
	} else if (conn->flags & CONN_CLOSING && conn->intake && conn->intake->mode == INTAKE_HEAD) {
		intake_drop(conn);
	}
	if (!conn->intake && (conn->flags & CONN_CLOSING || conn->thread->draining))
		leftover_free(conn);
}

/* on_body for exchanges that took a body that was not there. */
static void give_empty(struct http_conn *conn)
{
	list_each (node, &conn->exchanges) {
		struct exchange *ex = container_of(node, struct exchange, siblings);

		if (!(ex->flags & EX_EMPTY))
			continue;
		ex->flags &= (uint16_t)~EX_EMPTY;
		if (ex->state == EX_OPEN)
			conn->thread->config.handler->on_body(ex, &(struct request_body){0});
		conn_need(conn); /* there may be more of them; the line has changed */
		return;
	}
}

static bool is_over(const struct http_conn *conn)
{
	if (conn->out.first || conn->intake)
		return false;
	if (conn->flags & CONN_LAST)
		return true;
	return list_empty(&conn->exchanges) && !conn->leftover && (conn->flags & CONN_CLOSING || conn->thread->draining);
}

/* Ends our side and waits a little for the client to have heard it. */
static void linger_begin(struct http_conn *conn)
{
	if (conn->flags & CONN_FIN || !(conn->flags & (CONN_LAST | CONN_CUT))) {
		conn_end(conn);
		return;
	}
	conn->flags |= CONN_LINGER;
	leftover_free(conn);
	conn->stream.ops->end(&conn->stream);
	linger_read(conn);
	conn_settle(conn);
}

void conn_attend(struct http_conn *conn)
{
	bool full;

	if (conn->flags & CONN_LINGER && !(conn->flags & CONN_BROKEN))
		linger_read(conn);
	if (!(conn->flags & (CONN_BROKEN | CONN_LINGER))) {
		intake_go_on(conn);
		give_empty(conn);
		conn_read(conn);
		if (conn->flags & CONN_RDHUP)
			drop_parked(conn);
		drop_unasked(conn);
		full = !conn_wants_input(conn);
		output_write(conn);
		ongoing_drained(conn);
		if (full && conn_wants_input(conn))
			conn_need(conn); /* there is room again */
	}
	if (conn->flags & CONN_BROKEN) {
		conn_end(conn);
		return;
	}
	if (!(conn->flags & CONN_LINGER) && is_over(conn)) {
		linger_begin(conn);
		return;
	}
	conn_settle(conn);
}

/* --- the beginning --- */

static bool conn_count(struct http_thread *thread)
{
	uint32_t limit = thread->config.limits.connections;
	uint32_t open = atomic_fetch_add_explicit(&connections_open, 1, memory_order_relaxed) + 1;

	if (limit == 0 || open <= limit)
		return true;
	atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
	return false;
}

static void refuse(struct http_thread *thread, int fd)
{
	struct buf answer = {0};
	struct iovec part;
	struct stream stream;

	answer_refusal(thread, &answer);
	part = (struct iovec){answer.ptr, answer.len};

	stream_init_plain(&stream, fd);
	(void)stream.ops->write(&stream, &part, 1, false); /* a fresh socket has room for it; if not, the close says the same */
	/* A request that has come already would make the close a reset, and the answer unread. */
	(void)stream.ops->read(&stream, thread->read_buffer, READ_HEAD_BYTES);
	stream.ops->end(&stream);
	stream.ops->close(&stream);
	buf_deinit(&answer);
	thread->stats.connections_refused++;
}

void conn_new(struct http_thread *thread, int fd)
{
	struct http_conn *conn;

	if (thread->draining || !conn_count(thread)) {
		refuse(thread, fd);
		return;
	}
	conn = pool_take(&thread->conn_pool);
	if (!conn) {
		atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
		refuse(thread, fd);
		return;
	}
	conn->source.ready = conn_ready;
	conn->thread = thread;
	conn->timer.expired = timer_expired;
	list_init(&conn->all);
	list_init(&conn->work);
	list_init(&conn->exchanges);
	stream_init_plain(&conn->stream, fd);
	list_push_back(&thread->conns, &conn->all);
	thread->stats.connections_open++;
	thread->stats.connections_total++;
	if (loop_add(thread->loop, fd, &conn->source))
		conn_break(conn);
	else
		conn_settle(conn);
}
