/* Requests on their way in: heads become exchanges, bodies go where the door wants them.
 *
 * A body lies in memory while it is short, then flows into a blob of the store: constant memory however long it is, because what
 * was read is written before more is read. The store's own thread tells when the blob is safe; until then nothing more is read
 * from that client. */
#include "http/exchange/engine_priv.h"

#include "base/mem.h"

#include <errno.h>

enum { SCRATCH_KEEP_BYTES = 16 * 1024, BODY_MEMORY_DEFAULT_BYTES = 64 << 20 };

static struct intake *intake_new(struct http_conn *conn)
{
	struct http_thread *thread = conn->thread;
	struct intake *intake = thread->spare_intake;
	struct buf scratch = {0};

	if (intake) {
		thread->spare_intake = intake->next_spare;
		scratch = intake->scratch;
	} else {
		intake = mem_alloc(sizeof(*intake));
		if (!intake)
			return NULL;
	}
	memset(intake, 0, offsetof(struct intake, space));
	intake->scratch = scratch;
	intake->h1 = h1_init(&intake->space, &thread->h1_limits, &intake->scratch, &intake->arena);
	return intake;
}

static void memory_release(struct http_thread *thread, struct intake *intake)
{
	thread->body_memory_bytes -= intake->body.cap;
	buf_deinit(&intake->body);
}

/* Done with it; whoever has the exchange keeps it. One intake is kept for the next request: its scratch is warm. */
static void intake_free(struct http_conn *conn)
{
	struct http_thread *thread = conn->thread;
	struct intake *intake = conn->intake;

	conn->intake = NULL;
	arena_deinit(&intake->arena);
	memory_release(thread, intake);
	if (thread->spare_intake || intake->scratch.cap > SCRATCH_KEEP_BYTES) {
		buf_deinit(&intake->scratch);
		mem_free(intake);
		return;
	}
	intake->next_spare = NULL;
	thread->spare_intake = intake;
}

static void blob_discard(struct intake *intake)
{
	if (intake->blob)
		intake->blob->ops->discard(intake->blob);
	intake->blob = NULL;
}

void intake_drop(struct http_conn *conn)
{
	struct intake *intake = conn->intake;

	if (!intake)
		return;
	blob_discard(intake);
	if (intake->seal)
		intake->seal->conn = NULL; /* the blob is let go when it comes back */
	intake_free(conn);
}

/* Is more to come than is worth reading, or may the client, who asked before sending it, never send it? */
static bool is_hopeless(const struct intake *intake, const struct exchange *ex)
{
	return ((intake->expect || ex->flags & EX_CONTINUE) && intake->got_bytes == 0) ||
	       (intake->length != UINT64_MAX && intake->length - intake->got_bytes > DISCARD_BYTES);
}

void intake_leave(struct http_conn *conn, struct exchange *ex)
{
	struct intake *intake = conn->intake;

	intake->ex = NULL;
	blob_discard(intake);
	memory_release(conn->thread, intake);
	if (intake->mode == INTAKE_SEALING) {
		intake->seal->conn = NULL;
		intake->seal = NULL;
		intake_free(conn);
		return;
	}
	if (intake->length == 0) {
		intake_free(conn);
		return;
	}
	if (is_hopeless(intake, ex))
		ex->flags |= EX_CLOSE;
	intake->mode = INTAKE_DISCARD;
	intake->limit = intake->got_bytes + DISCARD_BYTES;
}

void intake_fail(struct http_conn *conn, const struct h1_error *error)
{
	struct exchange *ex = conn->intake ? conn->intake->ex : NULL;

	conn->flags |= CONN_CLOSING;
	intake_drop(conn);
	if (ex) {
		ex = exchange_replace(ex);
	} else {
		ex = exchange_new(conn);
		if (!ex)
			conn_break(conn);
	}
	if (!ex)
		return;
	ex->flags |= EX_ENGINE | EX_CLOSE;
	answer_problem(ex, error->status, error->name, error->detail);
}

static void fail_with(struct http_conn *conn, int status, const char *name, const char *detail)
{
	intake_fail(conn, &(struct h1_error){status, name, detail});
}

static bool has_ended(const struct http_conn *conn, const struct intake *intake)
{
	return conn->intake != intake || conn->flags & CONN_BROKEN;
}

static void take_head(struct http_conn *conn, struct intake *intake, const struct h1_head *head)
{
	struct http_thread *thread = conn->thread;
	struct exchange *ex = exchange_new(conn);

	if (!ex) {
		conn_break(conn);
		return;
	}
	thread->stats.requests_total++;
	ex->arena = intake->arena;
	intake->arena = (struct arena){0};
	ex->request = head->request;
	ex->flags = (uint16_t)((head->request->method == HTTP_HEAD ? EX_HEAD : 0) | (head->request->minor == 0 ? EX_HTTP10 : 0) |
			       (head->keep_alive ? 0 : EX_CLOSE));
	if (!head->keep_alive)
		conn->flags |= CONN_CLOSING; /* its body is still read */
	intake->ex = ex;
	intake->length = head->request->content_length;
	intake->expect = head->expect_continue && intake->length != 0;
	intake->mode = INTAKE_WAITING;
	if (answer_is_preflight(ex)) {
		ex->flags |= EX_ENGINE;
		answer_preflight(ex);
	} else {
		thread->config.handler->on_head(ex);
	}
}

/* A body could not be kept. The rest of it is not read before the door has answered. */
static void body_failed(struct http_conn *conn, struct intake *intake)
{
	struct exchange *ex = intake->ex;

	intake->mode = INTAKE_WAITING;
	blob_discard(intake);
	memory_release(conn->thread, intake);
	conn->thread->config.handler->on_body_failed(ex, intake->error);
}

static bool to_memory(struct http_conn *conn, struct intake *intake, struct slice bytes)
{
	struct http_thread *thread = conn->thread;

	thread->body_memory_bytes -= intake->body.cap;
	buf_append_slice(&intake->body, bytes);
	thread->body_memory_bytes += intake->body.cap;
	if (!intake->body.failed)
		return true;
	intake->error = -ENOMEM;
	return false;
}

static bool to_blob(struct intake *intake, struct slice bytes)
{
	intake->error = bytes.len ? intake->blob->ops->write(intake->blob, bytes) : 0;
	return intake->error == 0;
}

static bool memory_is_short(const struct http_thread *thread)
{
	uint64_t most = thread->config.limits.body_memory_bytes;

	return thread->body_memory_bytes > (most ? most : BODY_MEMORY_DEFAULT_BYTES);
}

/* What was in memory goes ahead of it. */
static bool begin_blob(struct http_conn *conn, struct intake *intake)
{
	struct store *store = conn->thread->config.store;

	intake->error = store->ops->blob_open(store, &intake->blob);
	if (intake->error)
		return false;
	intake->mode = INTAKE_BLOB;
	if (!to_blob(intake, buf_slice(&intake->body)))
		return false;
	memory_release(conn->thread, intake);
	return true;
}

static bool store_bytes(struct http_conn *conn, struct intake *intake, struct slice bytes)
{
	bool known_long = intake->length != UINT64_MAX && intake->length > BODY_INLINE_MAX;

	if (intake->mode == INTAKE_STORE &&
	    (known_long || intake->body.len + bytes.len > BODY_INLINE_MAX || memory_is_short(conn->thread)) &&
	    !begin_blob(conn, intake))
		return false;
	return intake->mode == INTAKE_BLOB ? to_blob(intake, bytes) : to_memory(conn, intake, bytes);
}

/* False: this body cannot be kept (error set). */
static bool keep_bytes(struct http_conn *conn, struct intake *intake, struct slice bytes)
{
	switch ((enum intake_mode)intake->mode) {
	case INTAKE_MEMORY:
		if (memory_is_short(conn->thread)) {
			intake->error = -ENOMEM;
			return false;
		}
		return to_memory(conn, intake, bytes);
	case INTAKE_STORE:
	case INTAKE_BLOB:
		return store_bytes(conn, intake, bytes);
	case INTAKE_HEAD:
	case INTAKE_WAITING:
	case INTAKE_SEALING:
	case INTAKE_DISCARD:
	case INTAKE_TOO_LARGE:
		break;
	}
	return true;
}

static void take_bytes(struct http_conn *conn, struct intake *intake, struct slice bytes)
{
	intake->got_bytes += bytes.len;
	if (intake->got_bytes > intake->limit) {
		/* Nobody wants it and it does not end: what was answered is on its way, that was the last word. */
		if (!intake->ex) {
			conn->flags |= CONN_CLOSING | CONN_CUT;
			intake_drop(conn);
		} else {
			fail_with(conn, 413, "too-large", "The request's body is longer than this server takes here.");
		}
		return;
	}
	if (!keep_bytes(conn, intake, bytes))
		body_failed(conn, intake);
}

/* On the store's thread. */
static void seal_done(void *ctx, int error, const struct body_ref *ref)
{
	struct seal *seal = ctx;

	seal->error = error;
	if (!error)
		seal->ref = *ref;
	loop_send(seal->loop, &seal->message.mail);
}

static void seal_blob(struct http_conn *conn, struct intake *intake)
{
	struct blob *blob = intake->blob;
	struct seal *seal = mem_zalloc(sizeof(*seal));

	if (!seal) {
		intake->error = -ENOMEM;
		body_failed(conn, intake);
		return;
	}
	seal->message.kind = MESSAGE_HTTP;
	seal->message.thread = (uint8_t)conn->thread->index;
	seal->loop = conn->thread->loop;
	seal->conn = conn;
	intake->seal = seal;
	intake->blob = NULL;
	intake->mode = INTAKE_SEALING;
	blob->ops->seal(blob, seal_done, seal);
}

/* Free of its intake, so that the door may do with it what it wants. */
static void give_body(struct http_conn *conn, struct intake *intake)
{
	struct exchange *ex = intake->ex;
	struct request_body body = {0};

	if (intake->body.len) {
		body.bytes = arena_dup(&ex->arena, buf_slice(&intake->body));
		if (!body.bytes.ptr) {
			intake->error = -ENOMEM;
			body_failed(conn, intake);
			return;
		}
	}
	intake_free(conn);
	conn->thread->config.handler->on_body(ex, &body);
}

static void take_end(struct http_conn *conn, struct intake *intake)
{
	switch ((enum intake_mode)intake->mode) {
	case INTAKE_MEMORY:
	case INTAKE_STORE:
		give_body(conn, intake);
		return;
	case INTAKE_BLOB:
		seal_blob(conn, intake);
		return;
	case INTAKE_DISCARD:
		if (intake->ex) /* the door asked for it to be thrown away, and hears of its end */
			give_body(conn, intake);
		else
			intake_free(conn);
		return;
	case INTAKE_WAITING: /* there was none; whatever the door decides, it needs no intake */
		intake_free(conn);
		return;
	case INTAKE_HEAD:
	case INTAKE_SEALING:
	case INTAKE_TOO_LARGE:
		break;
	}
}

/* `100 Continue` as soon as it is known that the body is wanted, unless it has begun to come without. */
static void want_body(struct http_conn *conn, struct intake *intake)
{
	if (!intake->expect || intake->got_bytes)
		return;
	intake->expect = false;
	intake->ex->flags |= EX_CONTINUE;
	line_advance(conn);
	conn_need(conn);
}

void intake_go_on(struct http_conn *conn)
{
	struct intake *intake = conn->intake;

	if (intake && intake->mode == INTAKE_TOO_LARGE) {
		fail_with(conn, 413, "too-large", "The request's body is longer than this server takes here.");
		return;
	}
	if (intake && intake->ex && intake->mode != INTAKE_WAITING && intake->mode != INTAKE_SEALING)
		want_body(conn, intake);
}

/* Is the intake, if any, waiting for someone other than the client? */
static bool is_held(const struct intake *intake)
{
	/* Before the head is complete and for a body that is wanted (or not) it goes on; a request without a body ends at once.
	 */
	return intake->mode == INTAKE_SEALING || intake->mode == INTAKE_TOO_LARGE ||
	       (intake->mode == INTAKE_WAITING && intake->length != 0);
}

bool intake_is_held(const struct http_conn *conn)
{
	return conn->intake && is_held(conn->intake);
}

static void take_event(struct http_conn *conn, struct intake *intake, enum h1_event event, const struct h1_out *out)
{
	switch (event) {
	case H1_HEAD:
		take_head(conn, intake, &out->head);
		if (!has_ended(conn, intake))
			intake_go_on(conn);
		return;
	case H1_BODY:
		take_bytes(conn, intake, out->body);
		return;
	case H1_END:
		take_end(conn, intake);
		return;
	case H1_ERROR:
		intake_fail(conn, &out->error);
		return;
	case H1_MORE:
		return;
	}
}

size_t intake_take(struct http_conn *conn, struct slice input)
{
	struct slice rest = input;

	while (conn_wants_input(conn)) {
		struct intake *intake = conn->intake;
		struct h1_out out;
		enum h1_event event;

		if (!intake) {
			if (!rest.len)
				break;
			intake = conn->intake = intake_new(conn);
			if (!intake) {
				conn_break(conn);
				break;
			}
			if (conn->timer_kind == TIMER_HEAD)
				conn_stop_timer(conn); /* a new request, a new deadline */
		}
		event = h1_next(intake->h1, &rest, &out);
		if (event == H1_MORE)
			break;
		take_event(conn, intake, event, &out);
	}
	return input.len - rest.len;
}

void intake_sealed(struct http_thread *thread, struct seal *seal)
{
	struct http_conn *conn = seal->conn;
	struct request_body body = {.blob = seal->ref};
	struct exchange *ex;
	int error = seal->error;

	mem_free(seal);
	if (!conn) {
		if (!error)
			thread->config.blob_release(thread->config.ctx, &body.blob);
		return;
	}
	ex = conn->intake->ex;
	intake_free(conn);
	conn_need(conn);
	if (error)
		thread->config.handler->on_body_failed(ex, error);
	else
		thread->config.handler->on_body(ex, &body);
}
