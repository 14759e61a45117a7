/* `bide append --lines`: many appends are on their way at once, each numbered by an idempotent producer.
 *
 *   1. Every append keeps its number until it is taken, however often it is sent: a repetition is answered as taken (204).
 *   2. The server takes number n only after n - 1. So behind one that was refused, or has not arrived, nothing is taken.
 *   3. While all goes well they go through a pipe (append_pipe.c). After anything else the first that was not taken is sent by
 * itself, with the patience of every other command; what is wrong with it, if anything, is then told. Then there is a new pipe.
 *
 * Rejected: several lines in one append; the line would not be the unit any more that is taken or refused. Several connections;
 * requests overtake each other, and four of five were refused as a gap. */
#include "base/mem.h"
#include "cli/append.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
	WINDOW = 64,            /* lines on their way, and… */
	WINDOW_BYTES = 4 << 20, /* …about so many bytes, but one line at least */
	READ_BYTES = 64 << 10,
	LINE_BYTES_MAX = 64 << 20,
	SILENT_MS = 60000, /* a pipe in which nothing moves for so long is none */
	PIPES_IN_VAIN = 3, /* so many that carried nothing: something on the way does not like them */
};

struct pending {
	struct buf text;
	uint64_t line; /* of the input, from 1 */
};

struct lines {
	struct append *append;
	struct pending window[WINDOW];
	uint64_t base, next; /* all before base are taken; next has not been read yet */
	uint64_t piped;      /* those from base up to here are in the pipe */
	size_t window_bytes;
	struct append_pipe pipe;
	unsigned in_vain; /* pipes that carried nothing */
	struct buf in;    /* what was read; up to `at` it has become appends, up to `seen` there is no line end */
	size_t at, seen;
	uint64_t line;
	bool json, ended;
	int rc;
};

/* --- the input ----------------------------------------------------------------------------------------------------------------
 */

static void lines_read(struct lines *lines)
{
	char *room;
	ssize_t n;

	buf_consume(&lines->in, lines->at);
	lines->seen -= lines->at;
	lines->at = 0;
	room = buf_reserve(&lines->in, READ_BYTES);
	if (!room)
		cli_out_of_memory();
	n = read(lines->append->body.fd, room, READ_BYTES);
	if (n > 0) {
		lines->in.len += (size_t)n;
	} else if (!n) {
		lines->ended = true;
	} else if (errno != EINTR && errno != EAGAIN) {
		cli_say("cannot read %s: %s", lines->append->body.path ? lines->append->body.path : "stdin", strerror(errno));
		lines->rc = CLI_FAILED;
	}
}

/* The next line, with its end. False when there is none yet, or no more. */
static bool lines_line(struct lines *lines, struct slice *ret_line)
{
	size_t rest_len = lines->in.len - lines->seen;
	const char *end = rest_len ? memchr(lines->in.ptr + lines->seen, '\n', rest_len) : NULL;

	if (!end) {
		lines->seen = lines->in.len;
		if (lines->seen - lines->at > LINE_BYTES_MAX) {
			cli_say("line %llu is longer than %d MiB", (unsigned long long)lines->line + 1, LINE_BYTES_MAX >> 20);
			lines->rc = CLI_FAILED;
		}
		if (lines->rc || !lines->ended || lines->at == lines->in.len)
			return false;
		end = lines->in.ptr + lines->in.len - 1;
	}
	*ret_line = slice_from(lines->in.ptr + lines->at, (size_t)(end + 1 - (lines->in.ptr + lines->at)));
	lines->at = lines->seen = (size_t)(end + 1 - lines->in.ptr);
	lines->line++;
	return true;
}

static bool is_blank(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!line.ptr[i] || !strchr(" \t\r\n", line.ptr[i]))
			return false;
	return true;
}

/* The next line that is an append: a blank one is no JSON, and elsewhere at least its end. */
static bool lines_next(struct lines *lines, struct slice *ret_line)
{
	while (lines_line(lines, ret_line))
		if (!lines->json || !is_blank(*ret_line))
			return true;
	return false;
}

/* --- the window ----------------------------------------------------------------------------------------------------------------
 */

static bool lines_have_room(const struct lines *lines)
{
	return lines->next - lines->base < WINDOW && (lines->next == lines->base || lines->window_bytes < WINDOW_BYTES);
}

static void lines_fill(struct lines *lines)
{
	struct slice line;

	while (lines_have_room(lines) && lines_next(lines, &line)) {
		struct pending *pending = &lines->window[lines->next++ % WINDOW];

		buf_append_slice(&pending->text, line);
		if (pending->text.failed)
			cli_out_of_memory();
		pending->line = lines->line;
		lines->window_bytes += line.len;
	}
}

static void lines_taken(struct lines *lines, uint64_t count)
{
	for (; count && lines->base < lines->next; count--) {
		struct pending *pending = &lines->window[lines->base++ % WINDOW];

		lines->window_bytes -= pending->text.len;
		buf_deinit(&pending->text);
		lines->append->count++;
	}
	if (lines->piped < lines->base)
		lines->piped = lines->base;
}

/* --- sending -------------------------------------------------------------------------------------------------------------------
 */

/* The first of the window by itself, again and again while that may help. */
static void lines_send_one(struct lines *lines)
{
	struct append *append = lines->append;
	struct pending *pending = &lines->window[lines->base % WINDOW];
	struct http_call call;
	char doing[200];

	append_call(append, &call, append->seq + lines->base);
	buf_append_slice(&call.text, buf_slice(&pending->text));
	call.has_text = true;
	session_run(append->session, &call, true);
	if (append_ok(&call)) {
		append_taken(append, stream_offset(&call), stream_flag(&call, "Stream-Closed"),
			     http_answer_header(&call, "Stream-Woken"));
		lines_taken(lines, 1);
	} else {
		snprintf(doing, sizeof(doing), "append line %llu to %s", (unsigned long long)pending->line, append->path);
		lines->rc = stream_report(append->session, &call, doing);
	}
	http_call_deinit(&call);
}

static void pipe_drop(struct lines *lines)
{
	if (lines->pipe.taken)
		lines->in_vain = 0;
	else if (lines->piped > lines->base)
		lines->in_vain++;
	append_pipe_close(&lines->pipe);
	lines->piped = lines->base;
}

/* Sends and takes what can be; the pipe is gone when it is of no use any more. */
static void pipe_move(struct lines *lines, bool readable)
{
	struct append_pipe *pipe = &lines->pipe;

	for (; lines->piped < lines->next; lines->piped++)
		append_pipe_put(pipe, lines->append, lines->append->seq + lines->piped,
				buf_slice(&lines->window[lines->piped % WINDOW].text));
	append_pipe_write(pipe);
	if (readable)
		lines_taken(lines, append_pipe_read(pipe, lines->append));
	if (pipe->broken || (lines->piped > lines->base && cli_now_ns() - pipe->moved_ns > SILENT_MS * 1000000ULL))
		pipe_drop(lines);
}

/* Waits for answers, for the pipe to take more, and for input where there is room for it. */
static void lines_wait(struct lines *lines)
{
	bool reads = !lines->ended && lines_have_room(lines), pipe = lines->pipe.open;
	short events = (short)(POLLIN | (pipe && lines->pipe.out.len ? POLLOUT : 0));
	struct pollfd fds[2] = {{.fd = reads ? lines->append->body.fd : -1, .events = POLLIN},
				{.fd = pipe ? lines->pipe.fd : -1, .events = events}};

	if (poll(fds, 2, pipe && lines->piped > lines->base ? 1000 : -1) < 0)
		return;
	if (fds[0].revents)
		lines_read(lines);
	if (pipe)
		pipe_move(lines, fds[1].revents & ~POLLOUT);
}

static void lines_turn(struct lines *lines)
{
	lines_fill(lines);
	if (!lines->pipe.open && lines->base < lines->next) {
		/* A first line may be the only one for long, and a pipe that broke is to be explained. */
		lines_send_one(lines);
		if (lines->rc || lines->in_vain >= PIPES_IN_VAIN)
			return;
		if (append_pipe_open(&lines->pipe, lines->append)) {
			lines->in_vain++;
			return;
		}
		lines->piped = lines->base;
		pipe_move(lines, false);
		return;
	}
	if (lines->pipe.open && lines->piped < lines->next)
		pipe_move(lines, false);
	else if (!lines->ended || lines->base < lines->next)
		lines_wait(lines);
}

int append_lines(struct append *append)
{
	struct lines *lines = cli_alloc(sizeof(*lines));
	int rc;

	if (!append->producer)
		append_draw_producer(append);
	lines->append = append;
	lines->json = !strncasecmp(append->type, "application/json", strlen("application/json"));
	while (!lines->rc && (!lines->ended || lines->base < lines->next || lines->at < lines->in.len))
		lines_turn(lines);
	if (lines->rc && !append->session->quiet)
		cli_say("taken before that: %llu line%s", (unsigned long long)append->count, append->count == 1 ? "" : "s");
	append_pipe_close(&lines->pipe);
	for (size_t i = 0; i < WINDOW; i++)
		buf_deinit(&lines->window[i].text);
	buf_deinit(&lines->in);
	rc = lines->rc;
	mem_free(lines);
	return rc;
}
