#include "http/codec/h1_trace.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                                                          \
	do {                                                                                                                     \
		if (!(condition)) {                                                                                              \
			fprintf(stderr, "h1_trace: %s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			abort();                                                                                                 \
		}                                                                                                                \
	} while (0)

enum { CUT_ALL_BYTES = 2000 };

struct player {
	struct h1_trace *trace;
	const struct h1_limits *limits;
	struct h1_space space;
	struct h1 *h1;
	struct buf scratch, body;
	struct arena arena;
	struct h1_head head; /* request NULL: not yet */
	size_t given;        /* bytes of pieces before this one */
};

static void begin(struct player *p)
{
	arena_deinit(&p->arena);
	buf_clear(&p->body);
	p->head = (struct h1_head){0};
	p->h1 = h1_init(&p->space, p->limits, &p->scratch, &p->arena);
	MUST(!h1_begun(p->h1));
}

static void put_slice(struct buf *out, const char *before, struct slice s)
{
	buf_append_str(out, before);
	buf_append_slice(out, s);
}

static void say_head(struct player *p)
{
	const struct request *request = p->head.request;
	struct buf *out = &p->trace->text;

	put_slice(out, "HEAD ", request->method_name);
	put_slice(out, " ", request->path);
	put_slice(out, " ? ", request->query);
	buf_printf(out, " method=%d minor=%d length=%llu keep=%d expect=%d\n", (int)request->method, request->minor,
		   (unsigned long long)request->content_length, p->head.keep_alive, p->head.expect_continue);
	for (size_t i = 0; i < request->header_count; i++) {
		put_slice(out, " ", request->headers[i].name);
		put_slice(out, ": ", request->headers[i].value);
		buf_append_char(out, '\n');
	}
}

static void say_body(struct player *p)
{
	if (p->body.len)
		put_slice(&p->trace->text, "BODY ", buf_slice(&p->body));
	buf_append_char(&p->trace->text, '\n');
}

static void on_body(struct player *p, struct slice piece, struct slice body)
{
	uint64_t length = p->head.request->content_length;

	MUST(body.len > 0 && body.ptr >= piece.ptr && body.ptr + body.len <= piece.ptr + piece.len);
	buf_append_slice(&p->body, body);
	MUST(length == UINT64_MAX || p->body.len <= length);
}

/* The head once more: the pieces it came in are gone by now, or soon will be. */
static void on_end(struct player *p, size_t used)
{
	uint64_t length = p->head.request->content_length;

	MUST(length == UINT64_MAX || p->body.len == length);
	say_body(p);
	say_head(p);
	buf_append_str(&p->trace->text, "END\n");
	p->trace->message_count++;
	p->trace->keep_alive = p->head.keep_alive;
	p->trace->used = used;
	p->trace->begun = false;
}

/* Refused for good, whatever comes. */
static void on_error(struct player *p, const struct h1_error *error)
{
	struct slice more = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	struct h1_out out;

	say_body(p);
	buf_printf(&p->trace->text, "ERROR %d %s %s\n", error->status, error->name, error->detail);
	p->trace->error = *error;
	MUST(h1_next(p->h1, &more, &out) == H1_ERROR);
	MUST(out.error.status == error->status && out.error.detail == error->detail);
}

/* False: nothing more is to be decoded. */
static bool play_piece(struct player *p, struct slice piece)
{
	struct slice rest = piece;
	struct h1_out out;

	for (;;) {
		enum h1_event event = h1_next(p->h1, &rest, &out);

		MUST(rest.ptr >= piece.ptr && rest.ptr + rest.len == piece.ptr + piece.len);
		p->trace->begun = h1_begun(p->h1);
		p->trace->last = event;
		switch (event) {
		case H1_MORE:
			MUST(rest.len == 0);
			return true;
		case H1_HEAD:
			MUST(!p->head.request && out.head.request);
			p->head = out.head;
			say_head(p);
			break;
		case H1_BODY:
			on_body(p, piece, out.body);
			break;
		case H1_END:
			on_end(p, p->given + (size_t)(rest.ptr - piece.ptr));
			if (!p->head.keep_alive)
				return false;
			begin(p);
			break;
		case H1_ERROR:
			on_error(p, &out.error);
			return false;
		}
	}
}

void h1_trace_play(struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes, const size_t *cuts,
		   size_t cut_count)
{
	struct player p = {.trace = trace, .limits = limits};
	bool more = true;

	*trace = (struct h1_trace){0};
	begin(&p);
	for (size_t i = 0; more && i <= cut_count; i++) {
		size_t end = i < cut_count ? cuts[i] : bytes.len;
		char *piece = malloc(end - p.given + 1); /* not mem_alloc: it is not to fail with the decoder's */

		MUST(piece && end >= p.given && end <= bytes.len);
		if (end > p.given) {
			/* At the end of its memory, so that a sanitizer sees a read beyond it. */
			memcpy(piece + 1, bytes.ptr + p.given, end - p.given);
			more = play_piece(&p, slice_from(piece + 1, end - p.given));
		}
		free(piece);
		p.given = end;
	}
	if (more && p.body.len)
		say_body(&p);
	arena_deinit(&p.arena);
	buf_deinit(&p.scratch);
	buf_deinit(&p.body);
	MUST(!trace->text.failed);
}

bool h1_trace_same(const struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes, const size_t *cuts,
		   size_t cut_count)
{
	struct h1_trace cut;
	bool same;

	h1_trace_play(&cut, limits, bytes, cuts, cut_count);
	same = slice_eq(buf_slice(&trace->text), buf_slice(&cut.text)) && trace->last == cut.last && trace->used == cut.used &&
	       trace->begun == cut.begun;
	if (!same)
		fprintf(stderr, "cut in %zu, first at %zu:\n%.*s\n--- and whole:\n%.*s\n", cut_count + 1, cut_count ? cuts[0] : 0,
			(int)cut.text.len, cut.text.ptr, (int)trace->text.len, trace->text.ptr);
	h1_trace_deinit(&cut);
	return same;
}

bool h1_trace_play_all(struct h1_trace *trace, const struct h1_limits *limits, struct slice bytes)
{
	size_t *every = malloc((bytes.len + 1) * sizeof(*every));
	bool same = true;

	MUST(every);
	h1_trace_play(trace, limits, bytes, NULL, 0);
	for (size_t at = 1; same && at < bytes.len; at++) {
		if (bytes.len <= CUT_ALL_BYTES || at < 300 || at > bytes.len - 60 || at % (bytes.len / 64) == 0)
			same = h1_trace_same(trace, limits, bytes, &at, 1);
		every[at - 1] = at;
	}
	if (same && bytes.len > 1)
		same = h1_trace_same(trace, limits, bytes, every, bytes.len - 1);
	free(every);
	return same;
}

void h1_trace_deinit(struct h1_trace *trace)
{
	buf_deinit(&trace->text);
}
