/* `bide tail`: long polls from offset to offset until the stream is closed. The offset moves on only when all that stands before
 * it has been written, and is what a server that was away is asked for again. */
#include "cli/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A server that is about to stop answers polls at once, with nothing: it is not asked again faster than this. */
enum { HASTE_MS = 100 };

/* --- waiting -------------------------------------------------------------------------------------------------------------------
 */

static void tail_turn(struct tail *tail, uint64_t wait_ms)
{
	struct curl_waitfd extra = {.fd = tail->signal_fd, .events = CURL_WAIT_POLLIN};
	struct signalfd_siginfo info;

	http_turn(&tail->session->client, &extra, tail->signal_fd >= 0 ? 1 : 0, wait_ms < 1000 ? (int)wait_ms : 1000);
	if (tail->signal_fd >= 0 && read(tail->signal_fd, &info, sizeof(info)) == sizeof(info))
		tail->stopped = true;
}

static void tail_pause(struct tail *tail, uint64_t ms)
{
	uint64_t until_ns = cli_now_ns() + ms * 1000000;

	for (uint64_t now_ns = cli_now_ns(); now_ns < until_ns && !tail->stopped; now_ns = cli_now_ns())
		tail_turn(tail, (until_ns - now_ns + 999999) / 1000000);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- one answer ----------------------------------------------------------------------------------------------------------------
 */

static int tail_sink(struct http_call *call, const char *ptr, size_t len)
{
	return tail_take(call->owner, call, ptr, len);
}

/* Where "now" is, or any other start that is told in words, must be known before anything is waited for, or what comes while a
 * server is away would be missed. */
static bool tail_is_live(const struct tail *tail)
{
	return tail->follow && !tail->start && !tail->alone && strcmp(tail->offset, "now") != 0;
}

/* The names in the order of the alphabet, for the sake of caches (protocol §10). */
static void tail_ask(struct tail *tail, struct http_call *call)
{
	uint64_t now_ns = cli_now_ns(), left_ms = tail->deadline_ns > now_ns ? (tail->deadline_ns - now_ns) / 1000000 : 0;
	bool live = tail_is_live(tail), finds = tail->start != NULL;

	stream_call(&tail->at, call, "GET");
	if (finds && !strcmp(tail->start, "at"))
		http_call_query(call, "at", tail->start_value);
	if (live && *tail->cursor)
		http_call_query(call, "cursor", tail->cursor);
	if (finds || (tail->records && !tail->alone))
		http_call_query(call, "format", "records");
	http_call_query(call, "key", tail->key);
	if (finds)
		http_call_query(call, "limit", "1");
	if (live)
		http_call_query(call, "live", "long-poll");
	if (finds)
		http_call_query(call, "max_bytes", "1");
	else
		http_call_query(call, "offset", tail->offset);
	if (finds && !strcmp(tail->start, "tail"))
		http_call_query(call, "tail", tail->start_value);
	if (live)
		http_call_query_ms(call, "wait", left_ms < SESSION_WAIT_MS ? left_ms : SESSION_WAIT_MS);
	call->patience_ms = SESSION_WAIT_MS + 15000;
	call->owner = tail;
	call->sink = tail_sink;
	tail_take_again(tail);
	http_start(&tail->session->client, call);
}

static int tail_local_error(struct tail *tail, struct http_call *call)
{
	char doing[200];

	if (tail->refused) {
		cli_say("%s holds no text, and this is a terminal", tail->path);
		cli_hint("Put it into a file with -o FILE, or into a pipe.");
		return CLI_FAILED;
	}
	if (tail->too_long) {
		cli_say("an append to %s is longer than %d MiB; that is read without --json and --format only", tail->path,
			HTTP_ANSWER_LIMIT >> 20);
		return CLI_FAILED;
	}
	if (tail->output.error == EPIPE && !tail->output.path)
		return CLI_FAILED; /* whoever read it has enough */
	if (tail->output.error) {
		cli_say("cannot write %s: %s", tail->output.path ? tail->output.path : "to stdout", strerror(tail->output.error));
		return CLI_FAILED;
	}
	snprintf(doing, sizeof(doing), "read %s", tail->path);
	return stream_report(tail->session, call, doing);
}

static int tail_refused(struct tail *tail, struct http_call *call)
{
	const char *earliest = http_answer_header(call, "Stream-Earliest-Offset");
	char doing[200];

	if (tail->of_job && call->status == 410 && earliest) { /* the job was kicked, and its output begins anew */
		snprintf(tail->offset, sizeof(tail->offset), "%s", earliest);
		tail->written = 0;
		return 0;
	}
	if (tail->of_job)
		return session_exit_code(call);
	if (call->status == 410 && earliest) {
		cli_say("cannot read %s from %s: that is of a stream that was there before, or no longer kept", tail->path,
			tail->offset);
		cli_hint("What is there now begins at:  --from %s", earliest);
		return CLI_EXPIRED;
	}
	snprintf(doing, sizeof(doing), "read %s", tail->path);
	return stream_report(tail->session, call, doing);
}

static int tail_away(struct tail *tail, struct http_call *call)
{
	struct retry *retry = &tail->session->retry;
	int64_t delay_ms = retry_next_ms(retry, http_answer_retry_after_ms(call));

	if (delay_ms < 0 && call->outcome == HTTP_ANSWERED && call->status < 300) {
		cli_say("%s does not answer like a server of streams", tail->at.base);
		return CLI_FAILED;
	}
	if (delay_ms < 0)
		return tail_refused(tail, call);
	session_notice_away(tail->session, call, retry);
	tail_pause(tail, (uint64_t)delay_ms);
	return 0;
}

static int tail_answered(struct tail *tail, struct http_call *call, uint64_t asked_ns)
{
	const char *cursor = http_answer_header(call, "Stream-Cursor"), *offset = stream_offset(call);
	bool live = tail_is_live(tail), found = tail->start, nothing = !tail->taken && !strcmp(offset, tail->offset);

	if (call->status != 200 && call->status != 204)
		return tail_refused(tail, call);
	if (!*offset) /* a head that broke off */
		return tail_away(tail, call);
	retry_reset(&tail->session->retry);
	if (tail_take_end(tail, offset))
		return tail_local_error(tail, call);
	if (found || tail->alone)
		return 0;
	snprintf(tail->offset, sizeof(tail->offset), "%s", offset);
	snprintf(tail->cursor, sizeof(tail->cursor), "%s", cursor ? cursor : "");
	tail->ended = stream_flag(call, "Stream-Closed") || (!tail->follow && stream_flag(call, "Stream-Up-To-Date"));
	if (nothing && live && !tail->ended && cli_now_ns() - asked_ns < HASTE_MS * 1000000ULL)
		tail_pause(tail, HASTE_MS);
	return 0;
}

static int tail_once(struct tail *tail)
{
	uint64_t asked_ns = cli_now_ns();
	struct http_call call;
	int rc = 0;

	tail_ask(tail, &call);
	while (http_under_way(&call) && !tail->stopped)
		tail_turn(tail, 1000);
	if (http_under_way(&call))
		http_stop(&call);
	else if (call.outcome == HTTP_LOCAL)
		rc = tail_local_error(tail, &call);
	else if (http_worth_retrying(&call))
		rc = tail_away(tail, &call);
	else
		rc = tail_answered(tail, &call, asked_ns);
	http_call_deinit(&call);
	return rc;
}

int tail_read(struct tail *tail)
{
	int rc = 0;

	while (!rc && !tail->ended && !tail->stopped && cli_now_ns() < tail->deadline_ns)
		rc = tail_once(tail);
	return rc;
}

/* --- the command ---------------------------------------------------------------------------------------------------------------
 */

/* A file grows as the bytes come: what follows is not whole before the stream is closed. */
static int tail_open(struct output *output, const char *path)
{
	*output = (struct output){.fd = STDOUT_FILENO};
	if (!path || !strcmp(path, "-"))
		return 0;
	output->path = path;
	output->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (output->fd >= 0)
		return 0;
	cli_say("cannot write to %s: %s", path, strerror(errno));
	return CLI_FAILED;
}

/* Where it can be gone on with, unless that is known: at the end of a closed stream there is nothing more. */
static void tail_tell(const struct tail *tail, int rc)
{
	if (tail->session->quiet || (!rc && !tail->stopped) || rc == CLI_EXPIRED || strlen(tail->offset) < 4)
		return;
	if (tail->written)
		cli_say("stopped in the middle of an append, %llu bytes behind %s", (unsigned long long)tail->written,
			tail->offset);
	else
		cli_say("to go on from here:  bide tail %s --from %s", tail->path, tail->offset);
}

static int tail_run_open(struct tail *tail)
{
	int rc = tail_open(&tail->output, cli_args_value(&tail->session->args, "output"));

	if (rc)
		return rc;
	tail->signal_fd = signals_open();
	rc = tail_read(tail);
	tail_tell(tail, rc);
	if (!rc)
		rc = output_commit(&tail->output);
	output_abort(&tail->output);
	if (tail->signal_fd >= 0)
		close(tail->signal_fd);
	buf_deinit(&tail->body);
	return rc;
}

/* "2026-03-02", and perhaps a time behind it. */
static bool is_time(const char *text)
{
	static const char form[] = "0000-00-00";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return !text[strlen(form)] || text[strlen(form)] == 'T' || text[strlen(form)] == 't';
}

static int tail_from(struct tail *tail, const char *from)
{
	uint64_t count = 0;

	if (!from || !strcmp(from, "start"))
		from = "-1";
	else if (!strcmp(from, "end"))
		from = "now";
	else if (from[0] == '-' && (slice_u64(slice_str(from + 1), &count) || !count || strlen(from) > 16))
		return cli_usage_error(tail->session->command, "--from %s: of the last N records begin at the first with -N",
				       from);
	else if (!*from || strlen(from) >= sizeof(tail->offset) ||
		 (is_time(from) && strlen(from) + 11 > sizeof(tail->start_text)))
		return cli_usage_error(tail->session->command,
				       "--from is start, end, -N, a time, or an offset that was told before");
	else if (count || is_time(from)) {
		tail->start = count ? "tail" : "at";
		snprintf(tail->start_text, sizeof(tail->start_text), "%s%s", count ? from + 1 : from,
			 !count && strlen(from) == 10 ? "T00:00:00Z" : "");
		tail->start_value = tail->start_text;
		return 0;
	}
	snprintf(tail->offset, sizeof(tail->offset), "%s", from);
	return 0;
}

static int tail_checked(struct session *session)
{
	struct tail tail = {.session = session, .signal_fd = -1, .deadline_ns = UINT64_MAX};
	int rc;

	if (session->args.operand_count != 1)
		return cli_usage_error(session->command, "one stream, please");
	tail.follow = !cli_args_has(&session->args, "no-follow");
	tail.key = cli_args_value(&session->args, "key");
	tail.format = cli_args_value(&session->args, "format");
	tail.records = tail.format || session->json;
	if (tail.format && session->json)
		return cli_usage_error(session->command, "--format or --json, not both");
	if (!tail.follow && cli_args_has(&session->args, "follow"))
		return cli_usage_error(session->command, "--follow or --no-follow, not both");
	rc = tail.format ? tail_format_check(session, tail.format) : 0;
	if (!rc)
		rc = tail_from(&tail, cli_args_value(&session->args, "from"));
	tail.path = session->args.operands[0];
	if (!rc)
		rc = stream_at_init(&tail.at, session, tail.path);
	if (rc)
		return rc;
	rc = tail_run_open(&tail);
	stream_at_deinit(&tail.at);
	return rc;
}

static int tail_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &tail_command, argc, argv, TAIL_RETRY_MS);

	return rc ? rc : session_close(&session, tail_checked(&session));
}

static const struct cli_option tail_table[] = {
	{"from", 'f', "start|end|-N|TIME|CURSOR",
	 "where to begin: at the last N records; with what came since TIME, like 2026-03-02T16:20:00Z; or at an offset that was "
	 "told "
	 "before (default start)"},
	{"key", 'k', "KEY", "only records that have this key"},
	{"format", 0, "FORMAT", "how a record is written: %o offset, %n the one behind it, %t time, %k key, %v value"},
	{"follow", 0, NULL, "go on until the stream is closed (the default)"},
	{"no-follow", 0, NULL, "end where the stream ends now"},
	{"output", 'o', "FILE", "write it there, as it comes (default: stdout)"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command tail_command = {
	.name = "tail",
	.summary = "read a stream, and follow it until it is closed",
	.usage = "PATH",
	.options = tail_table,
	.run = tail_run,
	.detail =
		"Writes the bytes as they come, each once: a server that is away is waited for (--retry, default 60s) and asked\n"
		"for what follows. Of a stream of JSON a record a line. Ctrl-C ends it, and tells where to go on.\n\n"
		"With --json each record is a line {\"offset\":…,\"next\":…,\"timestamp\":…,\"key\":…,\"value\":…}; --from NEXT "
		"goes\n"
		"on behind it. A value is JSON in a stream of JSON, else a string, or {\"base64\":…} for what is no UTF-8.\n\n"
		"  bide tail logs/app --from -10 --format '%t %v\\n'",
	.group = "Streams",
	.client = true,
};
