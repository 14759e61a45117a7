/* A connection: reading, deadlines, the end. */
#include "kafka/api/api_priv.h"

#include "kafka/codec/bytes.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Of all threads: the limit is the door's. */
static _Atomic uint32_t connections_open;

void kafka_conn_need(struct kafka_conn *conn)
{
	if (list_empty(&conn->work))
		list_push_back(&conn->thread->work, &conn->work);
}

void kafka_conn_break(struct kafka_conn *conn)
{
	conn->flags |= CONN_BROKEN;
	kafka_conn_need(conn);
}

/* Its client had more than it may. */
static bool is_muted(const struct kafka_conn *conn)
{
	return conn->muted_until_ms > loop_now_ms(conn->thread->loop);
}

/* A request is taken up when what is unanswered is not too much already; one that has begun is read to its end. */
static bool wants_input(const struct kafka_conn *conn)
{
	const struct kafka_limits *limits = &conn->thread->config.limits;

	if (conn->flags & (CONN_BROKEN | CONN_CLOSING | CONN_FIN))
		return false;
	if (conn->incoming)
		return true;
	if (!list_empty(&conn->held) || is_muted(conn))
		return false;
	return !conn->thread->draining && !conn->holding && conn->call_count < limits->pipeline &&
	       conn->out_bytes <= limits->output_bytes && conn->held_bytes <= limits->frame_bytes;
}

/* --- deadlines --- */

static enum timer_kind timer_wanted(const struct kafka_conn *conn)
{
	if (conn->out.first && conn->flags & CONN_BLOCKED)
		return TIMER_WRITE;
	if (is_muted(conn) && !conn->incoming)
		return TIMER_MUTE;
	if (conn->incoming || conn->size_len)
		return wants_input(conn) ? TIMER_READ : TIMER_NONE;
	return list_empty(&conn->calls) && !conn->out.first ? TIMER_IDLE : TIMER_NONE;
}

static uint64_t timer_ms(const struct kafka_conn *conn, enum timer_kind kind)
{
	const struct kafka_limits *limits = &conn->thread->config.limits;

	switch (kind) {
	case TIMER_READ:
		return limits->read_timeout_ms;
	case TIMER_WRITE:
		return limits->write_timeout_ms;
	case TIMER_IDLE:
		return limits->idle_timeout_ms;
	case TIMER_MUTE:
		return conn->muted_until_ms - loop_now_ms(conn->thread->loop);
	case TIMER_NONE:
		break;
	}
	return 0;
}

static bool timer_moves(const struct kafka_conn *conn, enum timer_kind kind)
{
	unsigned by = kind == TIMER_READ ? CONN_GOT : kind == TIMER_WRITE ? CONN_SENT : CONN_GOT | CONN_SENT;

	return kind != TIMER_NONE && conn->flags & by;
}

/* The timer that is right now. */
static void settle(struct kafka_conn *conn)
{
	enum timer_kind kind = timer_wanted(conn);
	bool same = kind == conn->timer_kind && !timer_moves(conn, kind);
	uint64_t deadline_ms = loop_now_ms(conn->thread->loop) + timer_ms(conn, kind);

	conn->flags &= (uint16_t) ~(CONN_GOT | CONN_SENT);
	if (same || (kind == conn->timer_kind && conn->timer.deadline_ms == deadline_ms))
		return;
	wheel_remove(conn->thread->wheel, &conn->timer);
	conn->timer_kind = (uint8_t)kind;
	if (kind == TIMER_NONE)
		return;
	conn->timer.deadline_ms = deadline_ms;
	wheel_add(conn->thread->wheel, &conn->timer);
}

static void timer_expired(struct wheel_entry *entry)
{
	struct kafka_conn *conn = container_of(entry, struct kafka_conn, timer);

	if (conn->timer_kind == TIMER_MUTE) {
		conn->timer_kind = TIMER_NONE;
		kafka_conn_need(conn);
		return;
	}
	if (conn->timer_kind != TIMER_IDLE)
		conn->thread->stats.timeouts_total++;
	conn->timer_kind = TIMER_NONE;
	kafka_conn_break(conn);
}

/* --- reading --- */

/* What was sent is no request: the connection ends behind the answers to those before it. */
static void refuse_input(struct kafka_conn *conn)
{
	conn->flags |= CONN_CLOSING;
	kafka_conn_need(conn);
}

/* Long frames of one thread share its memory. Who gets none waits, in the order in which they came; those who have some are read
 * to their end or cut for slowness, so nobody waits for ever: while others wait, a frame comes as a whole within the time that
 * else is between two reads of it. One that is longer than all there is may be alone. */
static bool holds_back(struct kafka_conn *conn, size_t frame_bytes)
{
	struct kafka_thread *thread = conn->thread;

	if (frame_bytes <= KAFKA_FRAME_EARLY_MAX_BYTES || !thread->long_bytes ||
	    thread->long_bytes + frame_bytes <= thread->config.limits.memory_bytes)
		return false;
	list_push_back(&thread->held, &conn->held);
	thread->stats.held++;
	return true;
}

static void let_in(struct kafka_conn *conn)
{
	if (list_empty(&conn->held))
		return;
	list_remove(&conn->held);
	conn->thread->stats.held--;
}

void kafka_memory_given(struct kafka_thread *thread, uint64_t bytes)
{
	thread->long_bytes -= bytes;
	while (!list_empty(&thread->held)) {
		struct kafka_conn *conn = list_first(&thread->held, struct kafka_conn, held);

		let_in(conn);
		kafka_conn_need(conn);
	}
}

static void refuse_length(struct kafka_conn *conn)
{
	struct wire_reader r = wire_reader_of(slice_from(conn->size, KAFKA_SIZE_BYTES));

	kafka_conn_broken(conn, KAFKA_BROKEN_LENGTH, "a request cannot have %d bytes (max-frame is %u); a client of Kafka's?",
			  (int32_t)kafka_get_u32(&r), conn->thread->config.limits.frame_bytes);
	refuse_input(conn);
}

static void frame_watch(struct kafka_call *call);

static void frame_late(struct wheel_entry *entry)
{
	struct kafka_call *call = container_of(entry, struct kafka_call, deadline);

	if (list_empty(&call->thread->held)) {
		frame_watch(call);
		return;
	}
	call->thread->stats.timeouts_total++;
	kafka_conn_break(call->conn);
}

static void frame_watch(struct kafka_call *call)
{
	call->deadline.expired = frame_late;
	call->deadline.deadline_ms = loop_now_ms(call->thread->loop) + call->thread->config.limits.read_timeout_ms;
	wheel_add(call->thread->wheel, &call->deadline);
}

/* Its size is known. */
static void frame_begin(struct kafka_conn *conn)
{
	size_t frame_bytes;

	if (kafka_frame_size(conn->size, conn->thread->config.limits.frame_bytes, &frame_bytes)) {
		conn->size_len = 0;
		refuse_length(conn);
		return;
	}
	if (holds_back(conn, frame_bytes))
		return;
	conn->size_len = 0;
	conn->incoming = kafka_call_new(conn, frame_bytes);
	if (!conn->incoming)
		kafka_conn_break(conn);
	else if (frame_bytes > KAFKA_FRAME_EARLY_MAX_BYTES)
		frame_watch(conn->incoming);
}

static size_t take_size(struct kafka_conn *conn, struct slice input)
{
	size_t missing = KAFKA_SIZE_BYTES - conn->size_len, used = input.len < missing ? input.len : missing;

	memcpy(conn->size + conn->size_len, input.ptr, used);
	conn->size_len = (uint8_t)(conn->size_len + used);
	if (conn->size_len == KAFKA_SIZE_BYTES)
		frame_begin(conn);
	return used;
}

static void frame_grew(struct kafka_conn *conn)
{
	struct kafka_call *call = conn->incoming;

	if (call->frame.failed) {
		kafka_conn_break(conn);
		return;
	}
	if (call->frame.len < call->frame_bytes) {
		if (call->frame_bytes > KAFKA_FRAME_EARLY_MAX_BYTES && !kafka_call_may_be_long(call)) {
			kafka_call_broken(call, -ENOTSUP);
			refuse_input(conn);
		}
		return;
	}
	wheel_remove(conn->thread->wheel, &call->deadline);
	conn->incoming = NULL;
	conn->call_count++;
	list_push_back(&conn->calls, &call->siblings);
	kafka_call_run(call);
	kafka_conn_need(conn);
}

static size_t take_frame(struct kafka_conn *conn, struct slice input)
{
	struct kafka_call *call = conn->incoming;
	size_t missing = call->frame_bytes - call->frame.len, used = input.len < missing ? input.len : missing;

	buf_append(&call->frame, input.ptr, used);
	frame_grew(conn);
	return used;
}

static size_t take(struct kafka_conn *conn, struct slice input)
{
	size_t used = 0;

	while (used < input.len && wants_input(conn)) {
		struct slice rest = slice_from(input.ptr + used, input.len - used);

		used += conn->incoming ? take_frame(conn, rest) : take_size(conn, rest);
	}
	return used;
}

/* What was read before and could not be used. */
static void take_rest(struct kafka_conn *conn)
{
	size_t used = take(conn, buf_slice(&conn->rest));

	if (used == conn->rest.len)
		buf_deinit(&conn->rest);
	else
		buf_consume(&conn->rest, used);
}

static bool got(struct kafka_conn *conn, ssize_t count, size_t room)
{
	if (count > 0) {
		conn->thread->stats.bytes_in_total += (uint64_t)count;
		conn->flags |= CONN_GOT;
		if ((size_t)count < room && !(conn->flags & CONN_RDHUP))
			conn->flags &= (uint16_t)~CONN_READABLE;
		return true;
	}
	if (count == 0)
		conn->flags = (uint16_t)((conn->flags | CONN_FIN | CONN_CLOSING) & ~CONN_READABLE);
	else if (count == -EAGAIN)
		conn->flags &= (uint16_t)~CONN_READABLE;
	else
		conn->flags |= CONN_BROKEN;
	if (count != -EAGAIN)
		kafka_conn_need(conn);
	return false;
}

/* Long frames are read to where they belong. Their memory grows with what has come of them, not with what was announced. */
static void read_frame(struct kafka_conn *conn)
{
	struct kafka_call *call = conn->incoming;
	size_t missing = call->frame_bytes - call->frame.len;
	size_t room = missing < READ_BYTES ? missing : READ_BYTES;
	char *at = buf_reserve(&call->frame, room);
	ssize_t count;

	if (!at) {
		kafka_conn_break(conn);
		return;
	}
	count = conn->stream.ops->read(&conn->stream, at, room);
	if (!got(conn, count, room))
		return;
	call->frame.len += (size_t)count;
	frame_grew(conn);
}

static void read_some(struct kafka_conn *conn)
{
	char *buffer = conn->thread->read_buffer;
	ssize_t count = conn->stream.ops->read(&conn->stream, buffer, READ_BYTES);
	size_t used;

	if (!got(conn, count, READ_BYTES))
		return;
	used = take(conn, slice_from(buffer, (size_t)count));
	if (used == (size_t)count || conn->flags & (CONN_CLOSING | CONN_BROKEN))
		return;
	buf_append(&conn->rest, buffer + used, (size_t)count - used);
	if (conn->rest.failed)
		kafka_conn_break(conn);
}

static void conn_read(struct kafka_conn *conn)
{
	int reads = READS_A_TURN;

	if (conn->size_len == KAFKA_SIZE_BYTES && wants_input(conn))
		frame_begin(conn);
	if (conn->rest.len)
		take_rest(conn);
	while (conn->flags & CONN_READABLE && !conn->rest.len && wants_input(conn)) {
		if (reads-- == 0) {
			kafka_conn_need(conn); /* others first */
			return;
		}
		if (conn->incoming && conn->incoming->frame_bytes - conn->incoming->frame.len >= READ_BYTES)
			read_frame(conn);
		else
			read_some(conn);
	}
}

static void conn_ready(struct loop_source *source, uint32_t events)
{
	struct kafka_conn *conn = container_of(source, struct kafka_conn, source);

	if (events & (EPOLLERR | EPOLLHUP)) {
		kafka_conn_break(conn);
		return;
	}
	if (events & EPOLLRDHUP)
		conn->flags |= CONN_RDHUP;
	if (events & (EPOLLIN | EPOLLRDHUP))
		conn->flags |= CONN_READABLE;
	if (events & EPOLLOUT && conn->flags & CONN_BLOCKED) {
		conn->flags &= (uint16_t)~CONN_BLOCKED;
		kafka_conn_need(conn);
	}
	conn_read(conn);
	if (!list_empty(&conn->work))
		return;
	if (conn->flags & (CONN_RDHUP | CONN_CLOSING) || conn->thread->draining)
		kafka_conn_need(conn);
	else
		settle(conn);
}

/* --- the end --- */

/* From there on. */
static void line_gone(struct kafka_conn *conn, struct list *from)
{
	while (from != &conn->calls) {
		struct list *next = from->next;

		kafka_call_gone(container_of(from, struct kafka_call, siblings));
		from = next;
	}
}

static void drop_incoming(struct kafka_conn *conn)
{
	if (conn->incoming)
		kafka_call_free(conn->incoming);
	conn->incoming = NULL;
	conn->size_len = 0;
	let_in(conn);
	buf_deinit(&conn->rest);
}

void kafka_conn_end(struct kafka_conn *conn)
{
	struct kafka_thread *thread = conn->thread;

	drop_incoming(conn);
	line_gone(conn, conn->calls.next);
	fetch_session_end(conn);
	kafka_chain_drop(thread, &conn->out);
	wheel_remove(thread->wheel, &conn->timer);
	loop_forget(thread->loop, &conn->source);
	conn->stream.ops->close(&conn->stream);
	list_remove(&conn->all);
	list_remove(&conn->work);
	pool_give(&thread->conn_pool, conn);
	thread->stats.connections_open--;
	atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
}

/* The client sends no more: who waits on its behalf is gone, and so is what comes behind. */
static void drop_parked(struct kafka_conn *conn)
{
	list_each (node, &conn->calls) {
		if (!kafka_call_is_parked(container_of(node, struct kafka_call, siblings)))
			continue;
		conn->flags |= CONN_CLOSING;
		line_gone(conn, node);
		return;
	}
}

static bool is_over(const struct kafka_conn *conn)
{
	if (conn->out.first)
		return false;
	return conn->flags & CONN_LAST ||
	       (list_empty(&conn->calls) && !conn->incoming && (conn->flags & CONN_CLOSING || conn->thread->draining));
}

void kafka_conn_attend(struct kafka_conn *conn)
{
	bool full;

	if (!(conn->flags & CONN_BROKEN)) {
		kafka_line_advance(conn);
		conn_read(conn);
		if (conn->flags & CONN_FIN || (conn->flags & CONN_RDHUP && !wants_input(conn)))
			drop_parked(conn);
		if (conn->flags & CONN_CLOSING)
			drop_incoming(conn);
		kafka_line_advance(conn);
		full = !wants_input(conn);
		kafka_output_write(conn);
		if (full && wants_input(conn))
			kafka_conn_need(conn); /* there is room again */
	}
	if (conn->flags & CONN_BROKEN || is_over(conn))
		kafka_conn_end(conn);
	else
		settle(conn);
}

/* --- the beginning --- */

static bool conn_count(struct kafka_thread *thread)
{
	uint32_t limit = thread->config.limits.connections;
	uint32_t open = atomic_fetch_add_explicit(&connections_open, 1, memory_order_relaxed) + 1;

	if (limit == 0 || open <= limit)
		return true;
	atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
	return false;
}

/* There are no words for it in the protocol. */
static void refuse(struct kafka_thread *thread, int fd)
{
	close(fd);
	thread->stats.connections_refused++;
}

void kafka_conn_new(struct kafka_thread *thread, int fd)
{
	struct kafka_conn *conn;

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
	list_init(&conn->calls);
	list_init(&conn->held);
	stream_init_plain(&conn->stream, fd);
	list_push_back(&thread->conns, &conn->all);
	thread->stats.connections_open++;
	thread->stats.connections_total++;
	if (loop_add(thread->loop, fd, &conn->source))
		kafka_conn_break(conn);
	else
		settle(conn);
}
