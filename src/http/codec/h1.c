/* llhttp decodes the fields and the body; what it is fed is cut at line ends, so that a guard of our own sees every line first:
 *
 *  1. Every line of a head, of a chunk's frame and of a trailer ends in CR LF, has no other CR or LF, and does not begin with a
 *     blank (obsolete folding, which llhttp takes) nor with a colon (a field without a name, which it takes, too).
 *  2. No piece fed to llhttp holds bytes of two kinds (head and body, chunk frame and chunk data): llhttp and this file must
 *     agree on where each begins, else the request is refused. Two decoders that have to agree are hard to smuggle past.
 *  3. Lines are bounded: the head by its limits, a chunk's line with its extensions by CHUNK_LINE_BYTES, trailers by the head's
 *     limits once more; trailers are dropped.
 *  4. Each byte meets the same checks in the same order (its place, the limit, the guard, llhttp) however it comes: of a piece
 *     that breaks a rule somewhere, what stands before that is decoded first. Else a message with two faults would be refused
 *     for the one or the other, depending on how the network cut it.
 *
 * llhttp itself gets a made-up request line; the real one is h1_head.c's. */
#include "http/codec/field.h"
#include "http/codec/h1_priv.h"

enum { CHUNK_LINE_BYTES = 256, BLANK_LINES_MAX = 2, LINE_EXTRA_BYTES = 64 };

_Static_assert(sizeof(struct h1) <= H1_BYTES, "H1_BYTES");

static struct h1 *h1_of(llhttp_t *llhttp)
{
	return container_of(llhttp, struct h1, llhttp);
}

static int stop(struct h1 *h1)
{
	(void)h1;
	return -1;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct h1 *h1 = h1_of(llhttp);

	if (h1->head_done)
		return 0; /* a trailer */
	if (h1->in_value || h1->field_count == 0) {
		if (h1->field_count > 0)
			buf_append_char(h1->scratch, '\0');
		h1->field_count++;
		h1->in_value = false;
	}
	buf_append(h1->scratch, at, len);
	return 0;
}

/* The name's NUL is appended here, since a value may be empty and then come in no piece at all. */
static int on_field_complete(llhttp_t *llhttp)
{
	struct h1 *h1 = h1_of(llhttp);

	if (h1->head_done)
		return 0;
	buf_append_char(h1->scratch, '\0');
	h1->in_value = true;
	return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct h1 *h1 = h1_of(llhttp);

	if (!h1->head_done)
		buf_append(h1->scratch, at, len);
	return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
	struct h1 *h1 = h1_of(llhttp);

	if (h1->field_count > 0)
		buf_append_char(h1->scratch, '\0');
	if (h1->scratch->failed) {
		h1_fail(h1, 503, "server-full", "The server is out of memory.");
		return stop(h1);
	}
	if (!h1_finish_head(h1))
		return stop(h1);
	/* RFC 9110 §7.8: an Upgrade may be ignored. llhttp would take what follows for another protocol. */
	llhttp->upgrade = 0;
	h1->head_done = true;
	return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
	h1_of(llhttp)->body = slice_from(at, len);
	return 0;
}

static int on_chunk_header(llhttp_t *llhttp)
{
	struct h1 *h1 = h1_of(llhttp);

	h1->left = llhttp->content_length;
	/* A length is looked at before a byte of it is waited for. */
	if (__builtin_add_overflow(h1->announced_bytes, h1->left, &h1->announced_bytes) ||
	    (h1->limits->body_bytes && h1->announced_bytes > h1->limits->body_bytes)) {
		h1_fail(h1, 413, "too-large", "The request's body is longer than this server takes.");
		return stop(h1);
	}
	return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
	h1_of(llhttp)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_field_complete = on_field_complete,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_message_complete = on_message_complete,
};

struct h1 *h1_init(struct h1_space *space, const struct h1_limits *limits, struct buf *scratch, struct arena *arena)
{
	struct h1 *h1 = (struct h1 *)(void *)space->bytes;

	memset(h1, 0, sizeof(*h1));
	h1->limits = limits;
	h1->scratch = scratch;
	h1->arena = arena;
	buf_clear(scratch);
	return h1;
}

bool h1_begun(const struct h1 *h1)
{
	return h1->state != H1_STATE_START;
}

static bool bad(struct h1 *h1, const char *detail)
{
	return h1_fail(h1, 400, "bad-request", detail);
}

/* Gives llhttp one piece. False: error set. */
static bool feed(struct h1 *h1, const char *at, size_t len)
{
	llhttp_errno_t error = llhttp_execute(&h1->llhttp, at, len);

	if (h1->state == H1_STATE_ERROR)
		return false;
	if (error == HPE_OK)
		return h1->scratch->failed ? h1_fail(h1, 503, "server-full", "The server is out of memory.") : true;
	if (error == HPE_PAUSED && h1->complete)
		return true;
	return bad(h1, h1->head_done ? "The body's framing is broken." : "A field of the request's head is broken.");
}

/* How much of the input is a sound piece of the present line, its end included; at most `room` bytes, which is not 0. 0: the
 * first byte is what breaks the line (error set). */
static size_t guard_line(struct h1 *h1, struct slice input, size_t room, bool *ret_ended)
{
	size_t len = input.len < room ? input.len : room, used;
	const char *lf = memchr(input.ptr, '\n', len), *cr;

	if (h1->after_cr) {
		used = lf == input.ptr ? 1 : 0;
		*ret_ended = used == 1;
		h1->after_cr = false;
	} else {
		cr = memchr(input.ptr, '\r', lf ? (size_t)(lf - input.ptr) : len);
		*ret_ended = cr && cr + 1 == lf;
		used = cr ? (size_t)(cr - input.ptr) + 1 + *ret_ended : lf ? (size_t)(lf - input.ptr) : len;
		h1->after_cr = cr && !*ret_ended;
	}
	if (!used)
		bad(h1, "A line does not end in CR LF, or has a CR or LF in it.");
	h1->line_bytes += (uint32_t)used;
	return used;
}

static struct slice skip(struct slice s, size_t len)
{
	return slice_from(s.ptr + len, s.len - len);
}

/* Blank lines before the request line: RFC 9112 §2.2. */
static bool step_start(struct h1 *h1, struct slice *input)
{
	char c = input->ptr[0];

	if (c == '\r' && !h1->after_cr) {
		h1->after_cr = true;
	} else if (c == '\n' && h1->after_cr) {
		h1->after_cr = false;
		if (++h1->blank_lines > BLANK_LINES_MAX)
			return bad(h1, "Blank lines stand where a request was expected.");
	} else if (!h1->after_cr && field_is_token(slice_from(&c, 1))) {
		h1->state = H1_STATE_LINE;
		return true;
	} else {
		return bad(h1, "What was sent is not HTTP.");
	}
	*input = skip(*input, 1);
	return true;
}

static bool begin_fields(struct h1 *h1)
{
	static const char line[2][18] = {"POST / HTTP/1.0\r\n", "POST / HTTP/1.1\r\n"};

	h1->scratch->len -= 2; /* CR LF */
	if (!h1_parse_line(h1))
		return false;
	llhttp_init(&h1->llhttp, HTTP_REQUEST, &settings);
	h1->state = H1_STATE_FIELDS;
	h1->line_bytes = 0;
	return feed(h1, line[h1->minor], sizeof(line[0]) - 1);
}

static bool step_line(struct h1 *h1, struct slice *input)
{
	size_t room = (size_t)h1->limits->target_bytes + LINE_EXTRA_BYTES - h1->line_bytes, len;
	bool ended;

	if (room == 0)
		return h1_fail(h1, 414, "uri-too-long", "The request's target is longer than this server takes.");
	len = guard_line(h1, *input, room, &ended);
	if (!len)
		return false;
	buf_append(h1->scratch, input->ptr, len);
	h1->head_bytes += (uint32_t)len;
	*input = skip(*input, len);
	if (h1->scratch->failed)
		return h1_fail(h1, 503, "server-full", "The server is out of memory.");
	return ended ? begin_fields(h1) : true;
}

static bool begin_body(struct h1 *h1)
{
	h1->left = h1->request->content_length;
	if (h1->left == UINT64_MAX) {
		h1->state = H1_STATE_CHUNK;
		h1->left = 0;
	} else {
		h1->state = h1->left ? H1_STATE_SIZED : H1_STATE_END;
	}
	h1->head_bytes = 0; /* trailers are counted anew */
	/* llhttp and we must mean the same. */
	return h1->complete == (h1->state == H1_STATE_END) ? true : bad(h1, "The request's framing is broken.");
}

/* At the first byte of a line of the head or of the trailers. */
static bool begin_field(struct h1 *h1, char first)
{
	if (first == ' ' || first == '\t')
		return bad(h1, "A line of the head begins with a blank (obsolete folding).");
	if (first == ':')
		return bad(h1, "A field has no name.");
	if (h1->state == H1_STATE_FIELDS && first != '\r' && h1->field_count >= h1->limits->header_count)
		return h1_fail(h1, 431, "headers-too-large", "The request has more fields than this server takes.");
	return true;
}

/* A line of the head or of the trailers. */
static bool step_field(struct h1 *h1, struct slice *input)
{
	bool ended, empty, trailer = h1->state == H1_STATE_TRAILER;
	size_t len;

	if (h1->line_bytes == 0 && !begin_field(h1, input->ptr[0]))
		return false;
	if (h1->head_bytes >= h1->limits->header_bytes)
		return h1_fail(h1, 431, "headers-too-large", "The request's head is longer than this server takes.");
	len = guard_line(h1, *input, h1->limits->header_bytes - h1->head_bytes, &ended);
	if (!len)
		return false;
	h1->head_bytes += (uint32_t)len;
	empty = ended && h1->line_bytes == 2;
	if (!feed(h1, input->ptr, len))
		return false;
	*input = skip(*input, len);
	if (ended)
		h1->line_bytes = 0;
	if (trailer) {
		if (h1->complete != empty)
			return bad(h1, "The trailers are broken.");
		if (empty)
			h1->state = H1_STATE_END;
		return true;
	}
	if (h1->head_done != empty)
		return bad(h1, "The request's head is broken.");
	return empty ? begin_body(h1) : true;
}

static bool step_sized(struct h1 *h1, struct slice *input)
{
	size_t len = input->len < h1->left ? input->len : (size_t)h1->left;

	if (!feed(h1, input->ptr, len))
		return false;
	*input = skip(*input, len);
	h1->left -= len;
	if (h1->complete != (h1->left == 0) || h1->body.len != len)
		return bad(h1, "The body's framing is broken.");
	if (h1->complete)
		h1->state = H1_STATE_END;
	return true;
}

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* chunk-size [ chunk-ext ] CRLF (RFC 9112 §7.1) */
static bool step_chunk(struct h1 *h1, struct slice *input)
{
	bool ended;
	size_t len;

	if (h1->line_bytes == 0 && !is_hex_digit(input->ptr[0]))
		return bad(h1, "A chunk does not begin with its size.");
	if (h1->line_bytes == CHUNK_LINE_BYTES)
		return bad(h1, "A chunk's extensions are longer than this server takes.");
	len = guard_line(h1, *input, CHUNK_LINE_BYTES - h1->line_bytes, &ended);
	if (!len)
		return false;
	h1->left = UINT64_MAX;
	if (!feed(h1, input->ptr, len))
		return false;
	*input = skip(*input, len);
	if (!ended)
		return true;
	h1->line_bytes = 0;
	if (h1->left > (uint64_t)INT64_MAX)
		return bad(h1, "A chunk's size is broken.");
	h1->state = h1->left ? H1_STATE_DATA : H1_STATE_TRAILER;
	if (h1->left)
		h1->left += 2;
	return true;
}

/* A chunk's bytes, then the line end behind them. */
static bool step_data(struct h1 *h1, struct slice *input)
{
	uint64_t data = h1->left > 2 ? h1->left - 2 : 0, want = data ? data : h1->left;
	size_t len = input->len < want ? input->len : (size_t)want;

	if (!feed(h1, input->ptr, len))
		return false;
	*input = skip(*input, len);
	if (h1->body.len != (data ? len : 0))
		return bad(h1, "The body's framing is broken.");
	h1->left -= len;
	if (h1->left == 0)
		h1->state = H1_STATE_CHUNK;
	return true;
}

static bool step(struct h1 *h1, struct slice *input)
{
	switch ((enum h1_state)h1->state) {
	case H1_STATE_START:
		return step_start(h1, input);
	case H1_STATE_LINE:
		return step_line(h1, input);
	case H1_STATE_FIELDS:
	case H1_STATE_TRAILER:
		return step_field(h1, input);
	case H1_STATE_SIZED:
		return step_sized(h1, input);
	case H1_STATE_CHUNK:
		return step_chunk(h1, input);
	case H1_STATE_DATA:
		return step_data(h1, input);
	case H1_STATE_END:
	case H1_STATE_ERROR:
		break;
	}
	return h1->state != H1_STATE_ERROR;
}

enum h1_event h1_next(struct h1 *h1, struct slice *input, struct h1_out *ret_out)
{
	while (h1->state != H1_STATE_ERROR) {
		bool in_head = !h1->head_done;

		if (h1->state == H1_STATE_END)
			return H1_END;
		if (input->len == 0)
			return H1_MORE;
		if (!step(h1, input))
			break;
		if (in_head && h1->head_done) {
			ret_out->head = (struct h1_head){h1->request, h1->keep_alive, h1->expect_continue};
			return H1_HEAD;
		}
		if (h1->body.len) {
			ret_out->body = h1->body;
			h1->body = (struct slice){0};
			return H1_BODY;
		}
	}
	ret_out->error = h1->error;
	return H1_ERROR;
}
