/* Answers as bytes: head, body, the Connection field that is right for the exchange; problems that the engine tells by itself;
 * answers shared by many exchanges; CORS (Fetch standard, §3.2). */
#include "http/exchange/engine_priv.h"

#include "base/mem.h"
#include "base/panic.h"
#include "http/codec/date.h"

#include <errno.h>
#include <time.h>

/* What every page may send, and read, when CORS is configured. */
#define CORS_METHODS "GET, HEAD, POST, PUT, PATCH, DELETE"
#define CORS_REQUEST_HEADERS                                                                                                     \
	"Authorization, Content-Type, Prefer, Idempotency-Key, Range, Cancel-After, Job-Delay, Job-Priority, Job-Max-Attempts, " \
	"Job-Lease, Job-Retain, Job-Token, Job-Worker, Job-Attempt-Id, If-None-Match, Stream-TTL, Stream-Expires-At, "           \
	"Stream-Closed, Stream-Forked-From, Stream-Fork-Offset, Stream-Fork-Sub-Offset, Stream-Seq, Producer-Id, "               \
	"Producer-Epoch, Producer-Seq, Stream-Max-Age, Stream-Max-Bytes, Record-Key, Record-TTL, Record-Keep, Record-Replace"
#define CORS_ANSWER_HEADERS                                                                                                      \
	"Location, Retry-After, Preference-Applied, Content-Range, Accept-Ranges, Job-Id, Job-Queue, Job-State, Job-Token, "     \
	"Job-Attempt, Job-Deadline, ETag, Stream-Next-Offset, Stream-Earliest-Offset, Stream-Up-To-Date, Stream-Closed, "        \
	"Stream-Cursor, Stream-TTL, Stream-Expires-At, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, "                    \
	"Producer-Received-Seq, Stream-SSE-Data-Encoding, Stream-Content-Type, Stream-Woken, Stream-Max-Age, Stream-Max-Bytes"

struct shared_answer {
	uint32_t refs;
	uint32_t head_bytes; /* without the blank line */
	uint32_t body_bytes;
	unsigned flags;
	char bytes[]; /* head, blank line, body: as it goes out to most */
};

enum { BLANK_LINE_BYTES = 2 };

static struct slice thread_date(struct http_thread *thread)
{
	uint64_t now_ms = loop_now_ms(thread->loop);

	if (now_ms >= thread->date_ms) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		date_format((uint64_t)now.tv_sec, thread->date);
		thread->date_ms = now_ms + 1000 - (uint64_t)now.tv_nsec / 1000000;
	}
	return slice_from(thread->date, DATE_BYTES);
}

int answer_configure(struct http_thread *thread)
{
	struct slice origin = thread->config.cors_origin;
	struct buf cors = {0};

	if (origin.len) {
		buf_append_str(&cors, "Access-Control-Allow-Origin: ");
		buf_append_slice(&cors, origin);
		buf_append_str(&cors, "\r\nAccess-Control-Expose-Headers: " CORS_ANSWER_HEADERS "\r\n");
		if (!slice_eq(origin, SLICE("*")))
			buf_append_str(&cors, "Vary: Origin\r\n");
	}
	if (cors.failed) {
		buf_deinit(&cors);
		return -ENOMEM;
	}
	buf_deinit(&thread->cors);
	thread->cors = cors;
	return 0;
}

static void encode_answer_head(struct http_thread *thread, const struct answer *answer, enum answer_framing framing,
			       uint64_t length, struct buf *out)
{
	/* HTTP-API.md: 204 and every error say no-store, whatever the door thinks of caching. */
	bool no_store = !(answer->flags & EXCHANGE_CACHEABLE) || answer->status == 204 || answer->status >= 400;
	struct answer_head head = {
		.status = answer->status,
		.date = thread_date(thread),
		.content_type = answer->content_type,
		.headers = answer->headers,
		.header_count = answer->header_count,
		.framing = framing,
		.content_length = length,
		.extra = buf_slice(&thread->cors),
		.no_store = no_store,
	};

	encode_head(out, &head);
}

enum answer_connection answer_connection(const struct exchange *ex)
{
	if (ex->flags & EX_CLOSE)
		return CONNECTION_CLOSE;
	return ex->flags & EX_HTTP10 ? CONNECTION_KEEP_ALIVE : CONNECTION_DEFAULT;
}

/* A body in a pin that is to be held against its checksum as a whole. */
static int read_checked(struct store_pin *pin, uint64_t from, uint64_t bytes, struct buf *out)
{
	char *whole, *to = out ? buf_reserve(out, (size_t)bytes) : NULL;
	int error;

	if (out && !to)
		return -ENOMEM;
	if (out && from == 0 && bytes == pin->ref.size_bytes) {
		error = pin->ops->read_whole(pin, to);
	} else {
		whole = mem_alloc((size_t)pin->ref.size_bytes);
		if (!whole)
			return -ENOMEM;
		error = pin->ops->read_whole(pin, whole);
		if (!error && out)
			memcpy(to, whole + from, (size_t)bytes);
		mem_free(whole);
	}
	if (!error && out)
		out->len += (size_t)bytes;
	return error;
}

/* The rest of an answer whose body is pinned, behind its head. Takes the pin over when it succeeds. */
static int encode_pinned(struct http_thread *thread, const struct answer *answer, struct chain *chain)
{
	struct store_pin *pin = answer->pin;
	struct piece *piece;
	int error = 0;
	char first;

	if (pin->ref.kind == BODY_INLINE && pin->ref.size_bytes <= INLINE_AT_ONCE_BYTES) {
		error = read_checked(pin, answer->range_from, answer->range_bytes, &chain->last->buf);
		if (!error)
			pin->ops->unpin(pin);
		return error;
	}
	if (pin->ref.kind == BODY_INLINE)
		error = read_checked(pin, 0, 0, NULL);
	else /* checks the first chunk, while there is still a status to say */
		error = pin->ops->read(pin, answer->range_from, &first, 1);
	piece = error ? NULL : piece_new(thread, PIECE_PINNED);
	if (!piece)
		return error ? error : -ENOMEM;
	piece->at = answer->range_from;
	piece->pinned.pin = pin;
	piece->pinned.left = answer->range_bytes;
	chain_add(chain, piece);
	return 0;
}

static int encode_body(struct exchange *ex, const struct answer *answer, uint64_t length, struct chain *chain)
{
	struct store_pin *pin = answer->pin;

	if (length == 0 || (ex->flags & EX_HEAD)) {
		if (pin)
			pin->ops->unpin(pin);
		return 0;
	}
	if (pin)
		return encode_pinned(ex->conn->thread, answer, chain);
	buf_append_slice(&chain->last->buf, answer->body);
	return 0;
}

int answer_encode(struct exchange *ex, const struct answer *answer, struct chain *chain)
{
	struct http_thread *thread = ex->conn->thread;
	uint64_t length = answer->pin ? answer->range_bytes : answer->body.len;
	struct buf *out = chain_buf(thread, chain);
	size_t before;
	int error;

	if (!out)
		return -ENOMEM;
	before = out->len;
	encode_answer_head(thread, answer, FRAMING_LENGTH, length, out);
	buf_append_slice(out, encode_tail(answer_connection(ex)));
	if (out->failed)
		return -ENOMEM; /* sticky: the connection cannot go on */
	error = encode_body(ex, answer, encode_has_body(answer->status) ? length : 0, chain);
	if (!error && out->failed && !answer->pin)
		error = -ENOMEM;
	if (error && !out->failed)
		out->len = before; /* something else can be said in its place */
	return error;
}

int answer_encode_ongoing(struct exchange *ex, const struct answer *head, struct chain *chain)
{
	struct http_thread *thread = ex->conn->thread;
	struct buf *out = chain_buf(thread, chain);

	if (!out)
		return -ENOMEM;
	encode_answer_head(thread, head, ex->flags & EX_HTTP10 ? FRAMING_CLOSE : FRAMING_CHUNKED, 0, out);
	buf_append_slice(out, encode_tail(answer_connection(ex)));
	return out->failed ? -ENOMEM : 0;
}

void answer_problem(struct exchange *ex, int status, const char *name, const char *detail)
{
	const struct http_thread *thread = ex->conn->thread;
	struct buf body = {0};
	struct answer answer = {.status = status};
	static const struct answer_header retry = {{"Retry-After", 11}, {"1", 1}};

	if (thread->config.handler->problem)
		thread->config.handler->problem(&body, status, name, detail);
	if (!body.failed && body.len) {
		answer.content_type = SLICE("application/problem+json");
		answer.body = buf_slice(&body);
	}
	if (status == 503 || status == 507) {
		answer.headers = &retry;
		answer.header_count = 1;
	}
	exchange_answer(ex, &answer);
	buf_deinit(&body);
}

bool answer_is_preflight(const struct exchange *ex)
{
	return ex->conn->thread->cors.len && ex->request->method == HTTP_OPTIONS &&
	       request_header(ex->request, SLICE("Origin")).ptr &&
	       request_header(ex->request, SLICE("Access-Control-Request-Method")).ptr;
}

void answer_preflight(struct exchange *ex)
{
	static const struct answer_header headers[] = {
		{{"Access-Control-Allow-Methods", 28}, {CORS_METHODS, sizeof(CORS_METHODS) - 1}},
		{{"Access-Control-Allow-Headers", 28}, {CORS_REQUEST_HEADERS, sizeof(CORS_REQUEST_HEADERS) - 1}},
		{{"Access-Control-Max-Age", 22}, {"86400", 5}},
	};
	struct answer answer = {.status = 204, .headers = headers, .header_count = ARRAY_COUNT(headers)};

	exchange_answer(ex, &answer);
}

void answer_refusal(struct http_thread *thread, struct buf *out)
{
	struct buf body = {0};

	if (thread->config.handler->problem)
		thread->config.handler->problem(&body, 503, "server-full", "The server has as many connections as it may.");
	buf_append_str(out, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nCache-Control: no-store\r\n"
			    "Content-Type: application/problem+json\r\nConnection: close\r\nContent-Length: ");
	buf_append_u64(out, body.len);
	buf_append_str(out, "\r\n\r\n");
	buf_append_slice(out, buf_slice(&body));
	if (out->failed || body.failed)
		buf_clear(out); /* the close says the same */
	buf_deinit(&body);
}

struct shared_answer *shared_answer_new(struct http_thread *thread, const struct answer *answer)
{
	struct buf head = {0};
	struct shared_answer *shared;

	ENSURE(!answer->pin);
	encode_answer_head(thread, answer, FRAMING_LENGTH, answer->body.len, &head);
	shared = head.failed ? NULL : mem_alloc(sizeof(*shared) + head.len + BLANK_LINE_BYTES + answer->body.len);
	if (shared) {
		bool body = encode_has_body(answer->status) && answer->body.len;

		*shared = (struct shared_answer){.refs = 1,
						 .head_bytes = (uint32_t)head.len,
						 .body_bytes = body ? (uint32_t)answer->body.len : 0,
						 .flags = answer->flags};
		memcpy(shared->bytes, head.ptr, head.len);
		memcpy(shared->bytes + head.len, "\r\n", BLANK_LINE_BYTES);
		if (body)
			memcpy(shared->bytes + head.len + BLANK_LINE_BYTES, answer->body.ptr, answer->body.len);
	}
	buf_deinit(&head);
	return shared;
}

struct shared_answer *shared_answer_ref(struct shared_answer *shared)
{
	shared->refs++;
	return shared;
}

struct shared_answer *shared_answer_unref(struct shared_answer *shared)
{
	if (shared && --shared->refs == 0)
		mem_free(shared);
	return NULL;
}

unsigned shared_flags(const struct shared_answer *shared)
{
	return shared->flags;
}

size_t shared_bytes(const struct shared_answer *shared, enum answer_connection connection, bool without_body)
{
	return shared->head_bytes + encode_tail(connection).len + (without_body ? 0 : shared->body_bytes);
}

int shared_parts(const struct piece *piece, struct iovec parts[3])
{
	struct shared_answer *shared = piece->shared;
	struct slice tail = encode_tail(piece->connection);
	size_t body = piece->without_body ? 0 : shared->body_bytes, skip = (size_t)piece->at;
	int count = 0;
	struct iovec all[3] = {
		{shared->bytes, shared->head_bytes},
		{(void *)(uintptr_t)tail.ptr, tail.len},
		{shared->bytes + shared->head_bytes + BLANK_LINE_BYTES, body},
	};

	if (piece->connection == CONNECTION_DEFAULT) {
		parts[0] = (struct iovec){shared->bytes + skip, shared->head_bytes + BLANK_LINE_BYTES + body - skip};
		return 1;
	}
	for (int i = 0; i < 3; i++) {
		if (skip >= all[i].iov_len) {
			skip -= all[i].iov_len;
			continue;
		}
		parts[count++] = (struct iovec){(char *)all[i].iov_base + skip, all[i].iov_len - skip};
		skip = 0;
	}
	return count;
}
