/* `bide append --lines`: a window of appends is under way at once, each numbered by an idempotent producer.
 *
 *   1. Every append keeps its number until it is taken, however often it is sent: a repetition is answered as taken (204).
 *   2. The server takes number n only after n - 1. So requests that overtake each other, or follow one that was refused, are
 *      refused as a gap and are sent again when something before them was taken: the order is the input's.
 *   3. Therefore after a refusal that is final nothing behind it can have been taken.
 *
 * Rejected: several lines in one append; the line would not be the unit any more that is taken or refused, and readers who wait
 * would see it later. */
#include "base/mem.h"
#include "cli/append.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 16, READ_BYTES = 64 << 10, LINE_BYTES_MAX = 64 << 20, TURN_MS = 1000 };

enum slot_state {
	SLOT_FREE,
	SLOT_ASKED,
	SLOT_GAP,  /* refused because something before it was not there yet */
	SLOT_AWAY, /* to be sent again when the server may be back */
	SLOT_TAKEN,
};

struct slot {
	struct lines *lines;
	struct http_call call;
	enum slot_state state;
	uint64_t index;      /* which append */
	uint64_t line;       /* of the input, from 1 */
	uint64_t asked_base; /* the window's base when it was sent */
};

struct lines {
	struct append *append;
	struct slot slots[WINDOW];
	uint64_t base, next; /* all before base are taken; next has not been read yet */
	uint64_t limit;      /* none from here on is wanted */
	uint64_t resume_ns;  /* the server is away; not before this */
	struct buf in;       /* what was read; up to `at` it has become appends, up to `seen` there is no line end */
	size_t at, seen;
	uint64_t line;
	bool json, ended;
	int rc;
};

/* --- the input ----------------------------------------------------------------------------------------------------------------
 */

static void lines_fail(struct lines *lines, int rc, uint64_t limit)
{
	if (!lines->rc)
		lines->rc = rc;
	if (limit < lines->limit)
		lines->limit = limit;
	lines->ended = true;
}

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
	if (n > 0)
		lines->in.len += (size_t)n;
	else if (!n)
		lines->ended = true;
	else if (errno != EINTR && errno != EAGAIN) {
		cli_say("cannot read %s: %s", lines->append->body.path ? lines->append->body.path : "stdin", strerror(errno));
		lines_fail(lines, CLI_FAILED, lines->next);
	}
}

/* The next line, with its end. False when there is none yet, or no more. */
static bool lines_line(struct lines *lines, struct slice *ret_line)
{
	const char *rest = lines->in.ptr + lines->seen;
	size_t rest_len = lines->in.len - lines->seen;
	const char *end = rest_len ? memchr(rest, '\n', rest_len) : NULL;

	if (!end) {
		lines->seen = lines->in.len;
		if (lines->seen - lines->at > LINE_BYTES_MAX) {
			cli_say("line %llu is longer than %d MiB", (unsigned long long)lines->line + 1, LINE_BYTES_MAX >> 20);
			lines_fail(lines, CLI_FAILED, lines->next);
			return false;
		}
		if (!lines->ended || lines->at == lines->in.len)
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
		if (!strchr(" \t\r\n", line.ptr[i]) || !line.ptr[i])
			return false;
	return true;
}

/* The next line that is an append: a blank one is no JSON, and elsewhere at least its end. */
static bool lines_next(struct lines *lines, struct slice *ret_line)
{
	while (lines->next < lines->limit && lines_line(lines, ret_line))
		if (!lines->json || !is_blank(*ret_line))
			return true;
	return false;
}

/* --- the window ----------------------------------------------------------------------------------------------------------------
 */

static struct slot *slot_at(struct lines *lines, uint64_t index)
{
	return &lines->slots[index % WINDOW];
}

static void slot_free(struct slot *slot)
{
	if (slot->state != SLOT_FREE)
		http_call_deinit(&slot->call);
	slot->state = SLOT_FREE;
}

/* The server could not be reached, or wants to be left alone for a moment: all that failed in this moment wait together. False
 * when patience is used up. */
static bool lines_back_off(struct lines *lines, struct http_call *call)
{
	struct session *session = lines->append->session;
	uint64_t now_ns = cli_now_ns();
	int64_t delay_ms;

	if (lines->resume_ns > now_ns)
		return true;
	delay_ms = retry_next_ms(&session->retry, http_answer_retry_after_ms(call));
	if (delay_ms < 0)
		return false;
	session_notice_away(session, call, &session->retry);
	lines->resume_ns = now_ns + (uint64_t)delay_ms * 1000000 + 1;
	return true;
}

static void slot_refused(struct slot *slot)
{
	struct lines *lines = slot->lines;
	char doing[200];

	if (!lines->rc) {
		snprintf(doing, sizeof(doing), "append line %llu to %s", (unsigned long long)slot->line, lines->append->path);
		lines_fail(lines, stream_report(lines->append->session, &slot->call, doing), slot->index);
	}
	lines_fail(lines, lines->rc, slot->index);
	for (uint64_t i = slot->index; i < lines->next; i++)
		if (slot_at(lines, i) != slot)
			slot_free(slot_at(lines, i));
	slot->state = SLOT_TAKEN; /* freed with the rest */
}

static void slot_answered(struct http_call *call)
{
	struct slot *slot = call->owner;
	struct lines *lines = slot->lines;

	if (append_ok(call)) {
		append_taken(lines->append, call);
		retry_reset(&lines->append->session->retry);
		slot->state = SLOT_TAKEN;
	} else if (call->outcome == HTTP_ANSWERED && call->status == 409 && slot->asked_base < slot->index &&
		   http_answer_is(call, "producer-gap")) {
		slot->state = SLOT_GAP;
	} else if (http_worth_retrying(call) && lines_back_off(lines, call)) {
		slot->state = SLOT_AWAY;
	} else {
		slot_refused(slot);
	}
	while (lines->base < lines->next && lines->base < lines->limit && slot_at(lines, lines->base)->state == SLOT_TAKEN) {
		lines->append->count++;
		lines->base++;
	}
}

static void slot_ask(struct slot *slot)
{
	slot->state = SLOT_ASKED;
	slot->asked_base = slot->lines->base;
	http_start(&slot->lines->append->session->client, &slot->call);
}

static bool slot_due(const struct slot *slot, uint64_t now_ns)
{
	if (slot->state == SLOT_GAP)
		return slot->lines->base > slot->asked_base;
	return slot->state == SLOT_AWAY && now_ns >= slot->lines->resume_ns;
}

/* Sends what is to be sent again, in order, and then what is new. */
static void lines_ask(struct lines *lines)
{
	uint64_t now_ns = cli_now_ns();
	struct slice line;

	for (uint64_t i = lines->base; i < lines->next && i < lines->limit; i++)
		if (slot_due(slot_at(lines, i), now_ns))
			slot_ask(slot_at(lines, i));
	while (lines->next - lines->base < WINDOW && now_ns >= lines->resume_ns && lines_next(lines, &line)) {
		struct slot *slot = slot_at(lines, lines->next);

		slot_free(slot);
		slot->lines = lines;
		slot->index = lines->next++;
		slot->line = lines->line;
		append_call(lines->append, &slot->call, lines->append->seq + slot->index);
		buf_append_slice(&slot->call.text, line);
		slot->call.has_text = true;
		slot->call.owner = slot;
		slot->call.done = slot_answered;
		slot_ask(slot);
	}
}

/* Waits for answers, for the time to try again, and for input when there is room for it. */
static void lines_turn(struct lines *lines)
{
	struct session *session = lines->append->session;
	uint64_t now_ns = cli_now_ns();
	bool wants = !lines->ended && lines->next - lines->base < WINDOW && lines->resume_ns <= now_ns;
	struct curl_waitfd extra = {.fd = lines->append->body.fd, .events = CURL_WAIT_POLLIN};
	struct pollfd input = {.fd = lines->append->body.fd, .events = POLLIN};
	uint64_t wait_ms = lines->resume_ns > now_ns ? (lines->resume_ns - now_ns) / 1000000 + 1 : TURN_MS;

	http_turn(&session->client, &extra, wants ? 1 : 0, wait_ms < TURN_MS ? (int)wait_ms : TURN_MS);
	if (wants && !lines->ended && poll(&input, 1, 0) > 0)
		lines_read(lines);
}

int append_lines(struct append *append)
{
	struct lines *lines = cli_alloc(sizeof(*lines));
	int rc;

	if (!append->producer)
		append_draw_producer(append);
	lines->append = append;
	lines->limit = UINT64_MAX;
	lines->json = !strncasecmp(append->type, "application/json", strlen("application/json"));
	while (lines->base < lines->limit && (!lines->ended || lines->base < lines->next || lines->at < lines->in.len)) {
		lines_ask(lines);
		if (lines->ended && lines->base == lines->next)
			break;
		lines_turn(lines);
	}
	if (lines->rc && !append->session->quiet)
		cli_say("taken before that: %llu line%s", (unsigned long long)append->count, append->count == 1 ? "" : "s");
	for (size_t i = 0; i < WINDOW; i++)
		slot_free(&lines->slots[i]);
	buf_deinit(&lines->in);
	rc = lines->rc;
	mem_free(lines);
	return rc;
}
