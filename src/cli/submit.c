/* `bide submit`: one request that streams the body, and with --wait everything up to the result. */
#include "base/mem.h"
#include "base/text.h"
#include "cli/fetch.h"
#include "cli/fmt.h"
#include "cli/follow.h"
#include "cli/live.h"
#include "cli/mime.h"
#include "cli/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAW_EVERY_NS = 100 * 1000 * 1000, GLANCE_MS = 1000 };

struct submit {
	struct session *session;
	const char *queue;
	const char *text; /* --text, or NULL */
	const char *path; /* NULL: stdin */
	int fd;
	bool wait;
	bool follow; /* shows what the job's workers write meanwhile */
	uint64_t deadline_ns;
	struct output output;
	struct fetch fetch;
	struct handle handle; /* once it is known */
	uint64_t began_ns, drawn_ns;
};

/* Options that become headers as they are. */
static const struct {
	const char *option, *header;
	bool duration;
} header_options[] = {
	{"delay", "Job-Delay", true}, {"priority", "Job-Priority", false}, {"max-attempts", "Job-Max-Attempts", false},
	{"lease", "Job-Lease", true}, {"retain", "Job-Retain", true},      {"cancel-after", "Cancel-After", true},
};

static int submit_headers(const struct submit *submit, struct http_call *call)
{
	for (size_t i = 0; i < ARRAY_COUNT(header_options); i++) {
		const char *name = header_options[i].option;
		const char *value = cli_args_value(&submit->session->args, name);
		uint64_t number = 0;
		int rc = header_options[i].duration ? session_duration(submit->session, name, &number)
						    : session_number(submit->session, name, 0, UINT32_MAX, &number);

		if (rc)
			return rc;
		if (value && number == SESSION_FOREVER_MS)
			return cli_usage_error(submit->session->command, "--%s cannot be forever", name);
		if (value)
			http_call_header(call, "%s: %s", header_options[i].header, value);
	}
	return 0;
}

/* --- the body ------------------------------------------------------------------------------------------------------------ */

static int submit_open(struct submit *submit)
{
	const struct cli_args *args = &submit->session->args;
	const char *path = args->operand_count > 1 ? args->operands[1] : NULL;
	struct stat st;

	submit->text = cli_args_value(args, "text");
	if (submit->text && path)
		return cli_usage_error(submit->session->command, "--text or a file, not both");
	if (submit->text)
		return 0;
	submit->fd = STDIN_FILENO;
	if (path && strcmp(path, "-") != 0) {
		submit->path = path;
		submit->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (submit->fd < 0 || fstat(submit->fd, &st)) {
		cli_say("cannot read %s: %s", path ? path : "stdin", strerror(errno));
		return errno == ENOENT ? CLI_NOT_FOUND : CLI_FAILED;
	}
	if (S_ISDIR(st.st_mode)) {
		cli_say("%s is a directory; a job's body is one stream of bytes", path ? path : "stdin");
		cli_hint("For example:  tar c %s | bide submit %s", path ? path : "DIR", submit->queue);
		return CLI_FAILED;
	}
	if (isatty(submit->fd) && !submit->session->quiet)
		cli_say("reading the body from the terminal; Ctrl-D ends it");
	return 0;
}

static void submit_body(const struct submit *submit, struct http_call *call)
{
	struct stat st;
	off_t start;

	if (submit->text) {
		buf_append_str(&call->text, submit->text);
		call->has_text = true;
		return;
	}
	if (!fstat(submit->fd, &st) && S_ISREG(st.st_mode)) {
		start = lseek(submit->fd, 0, SEEK_CUR);
		start = start < 0 ? 0 : start;
		http_call_source(call, submit->fd, start, st.st_size > start ? st.st_size - start : 0);
	} else {
		http_call_source(call, submit->fd, 0, -1);
	}
}

static const char *submit_type(const struct submit *submit)
{
	const char *type = cli_args_value(&submit->session->args, "content-type");

	if (type)
		return type;
	if (submit->text)
		return "text/plain; charset=utf-8";
	return submit->path ? mime_of(submit->path) : "application/octet-stream";
}

static void submit_moved(struct http_call *call, uint64_t now_bytes, uint64_t total_bytes, bool upload)
{
	struct submit *submit = call->owner;
	uint64_t now_ns = cli_now_ns();

	if (!upload || submit->fetch.started || (now_ns - submit->drawn_ns < DRAW_EVERY_NS && now_bytes != total_bytes))
		return;
	if (now_bytes == total_bytes && submit->drawn_ns == UINT64_MAX)
		return;
	/* The full bar is drawn once, and then left alone: what follows is the server's work. */
	submit->drawn_ns = now_bytes == total_bytes ? UINT64_MAX : now_ns;
	transfer_draw(&(struct transfer){.verb = "uploading",
					 .name = submit->path   ? submit->path
						 : submit->text ? "the text"
								: "stdin",
					 .now_bytes = now_bytes,
					 .total_bytes = total_bytes,
					 .began_ns = submit->began_ns});
}

static int submit_sink(struct http_call *call, const char *ptr, size_t len)
{
	struct submit *submit = call->owner;

	return fetch_take(&submit->fetch, call, ptr, len);
}

/* --- the request --------------------------------------------------------------------------------------------------------- */

/* How long the submit itself is held for the result; 0: not at all. Where progress is shown only for a moment, because
 * polls show it and this does not. */
static uint64_t submit_held_ms(const struct submit *submit)
{
	uint64_t now_ns = cli_now_ns();
	uint64_t left_ms = submit->deadline_ns > now_ns ? (submit->deadline_ns - now_ns) / 1000000 : 0;
	uint64_t most_ms = submit->session->live ? GLANCE_MS : SESSION_WAIT_MS;

	if (!submit->wait || submit->follow || submit->session->json)
		return 0;
	return left_ms < most_ms ? left_ms : most_ms;
}

static int submit_identity(const struct submit *submit, struct http_call *call, bool *ret_repeatable)
{
	const char *key = cli_args_value(&submit->session->args, "key");

	*ret_repeatable = key || cli_args_has(&submit->session->args, "name");
	if (key && (strpbrk(key, "\"\\") || !*key))
		return cli_usage_error(submit->session->command, "--key takes neither quotes nor backslashes, and not nothing");
	if (key)
		http_call_header(call, "Idempotency-Key: \"%s\"", key);
	/* With a key of our own a request whose answer was lost can be sent again without making a second job. */
	if (!*ret_repeatable && submit->session->retry.budget_ms && !call->source_stream) {
		http_call_header(call, "Idempotency-Key: \"%016llx%016llx\"", (unsigned long long)cli_random(),
				 (unsigned long long)cli_random());
		*ret_repeatable = true;
	}
	return 0;
}

static int submit_call(struct submit *submit, struct http_call *call, bool *ret_repeatable)
{
	const char *name = cli_args_value(&submit->session->args, "name");
	uint64_t held_ms = submit_held_ms(submit);
	int rc;

	http_call_init(call, name ? "PUT" : "POST", submit->session->server);
	http_call_path(call, "/v1/queues");
	http_call_segment(call, submit->queue);
	http_call_path(call, "/jobs");
	if (name)
		http_call_segment(call, name);
	http_call_header(call, "Content-Type: %s", submit_type(submit));
	if (held_ms)
		http_call_query_ms(call, "wait", held_ms);
	submit_body(submit, call);
	rc = submit_headers(submit, call);
	if (!rc)
		rc = submit_identity(submit, call, ret_repeatable);
	call->owner = submit;
	call->patience_ms = held_ms + 60000;
	if (submit->session->live)
		call->moved = submit_moved;
	if (held_ms)
		call->sink = submit_sink;
	return rc;
}

/* --- what comes of it ------------------------------------------------------------------------------------------------------ */

static int submit_follow(struct submit *submit, json_t **ret_job)
{
	struct follow_job job = {.handle = {cli_dup(submit->handle.base), cli_dup(submit->handle.id)}};
	struct follow follow = {
		.session = submit->session,
		.jobs = &job,
		.count = 1,
		.show = submit->session->live ? FOLLOW_LIVE : FOLLOW_SILENT,
		.deadline_ns = submit->deadline_ns,
	};
	int rc = follow_run(&follow);

	if (!rc)
		rc = job.exit_code;
	else if (!submit->session->quiet)
		cli_say("time is up; the job is still there:  bide result %s", submit->handle.id);
	*ret_job = json_incref(job.job);
	follow_deinit(&follow);
	return rc;
}

static int submit_await(struct submit *submit)
{
	json_t *job = NULL;
	int rc = 0;

	if (!submit->session->quiet && !submit->session->json)
		cli_say("submitted as %s", submit->handle.id);
	if (submit->follow)
		tail_job_output(submit->session, &submit->handle, submit->deadline_ns);
	if (submit->session->live || submit->session->json)
		rc = submit_follow(submit, &job);
	if (submit->session->json && job)
		session_print_json(job);
	json_decref(job);
	/* What a failed job says comes with its result. */
	if ((rc && rc != CLI_JOB_FAILED && rc != CLI_CANCELED) || (submit->session->json && (rc || !submit->output.path)))
		return rc;
	return fetch_result(&submit->fetch, &submit->handle);
}

static int submit_accepted(struct submit *submit, struct http_call *call)
{
	json_t *job = http_answer_json(call);
	const char *id = job_string(job, "id");
	const char *location = http_answer_header(call, "Location");
	int rc = 0;

	if (!*id && !location) {
		cli_say("%s does not answer like a bide server", submit->session->server);
		rc = CLI_FAILED;
	} else {
		rc = handle_init(&submit->handle, submit->session, *id ? id : location);
	}
	if (!rc && submit->wait) {
		rc = submit_await(submit);
	} else if (!rc && submit->session->json) {
		session_print_json(job);
	} else if (!rc) {
		live_clear();
		puts(submit->handle.id);
	}
	json_decref(job);
	return rc;
}

/* The answer was the result, but broke off: the rest is fetched under the handle. */
static int submit_cut(struct submit *submit, struct http_call *call)
{
	int rc = handle_init(&submit->handle, submit->session, http_answer_header(call, "Location"));

	return rc ? rc : fetch_result(&submit->fetch, &submit->handle);
}

static int submit_send(struct submit *submit)
{
	struct http_call call;
	bool repeatable = false;
	char doing[200];
	int rc = submit_call(submit, &call, &repeatable);

	if (!rc) {
		submit->began_ns = cli_now_ns();
		session_run(submit->session, &call, repeatable);
		live_clear();
		/* What is accepted is worth some patience, whatever --retry said about the submit. */
		if (!cli_args_has(&submit->session->args, "retry"))
			submit->session->retry.budget_ms = 60000;
		snprintf(doing, sizeof(doing), "submit to %s", submit->queue);
		if (call.outcome == HTTP_LOCAL && (submit->fetch.refused || submit->output.error))
			rc = fetch_local_error(&submit->fetch, &call);
		else if (call.outcome == HTTP_CUT && call.status == 200 && http_answer_header(&call, "Location"))
			rc = submit_cut(submit, &call);
		else if (call.outcome == HTTP_ANSWERED && call.status == 202)
			rc = submit_accepted(submit, &call);
		else if (call.outcome == HTTP_ANSWERED && call.status == 200 && !call.sink)
			rc = submit_accepted(submit, &call);
		else if (call.outcome != HTTP_ANSWERED || call.status != 200)
			rc = session_report(submit->session, &call, doing);
	}
	http_call_deinit(&call);
	return rc;
}

/* --- the command ----------------------------------------------------------------------------------------------------------- */

static int submit_options(struct submit *submit)
{
	const struct cli_args *args = &submit->session->args;
	const char *output = cli_args_value(args, "output");
	uint64_t wait_ms = SESSION_FOREVER_MS;

	if (!args->operand_count || args->operand_count > 2)
		return cli_usage_error(submit->session->command, "which queue, and which file? One of each at most");
	submit->queue = args->operands[0];
	submit->wait = cli_args_has(args, "wait");
	if (output && !submit->wait)
		return cli_usage_error(submit->session->command, "-o is for the result, so it needs --wait");
	submit->follow = cli_args_has(args, "follow");
	if (submit->follow && !submit->wait)
		return cli_usage_error(submit->session->command, "--follow needs --wait");
	if (submit->wait && session_duration(submit->session, "wait", &wait_ms))
		return CLI_USAGE;
	submit->deadline_ns = wait_ms < UINT64_MAX / 2000000 ? cli_now_ns() + wait_ms * 1000000 : UINT64_MAX;
	return 0;
}

static int submit_checked(struct submit *submit)
{
	const char *output = cli_args_value(&submit->session->args, "output");
	int rc = submit_options(submit);

	if (!rc)
		rc = submit_open(submit);
	if (rc)
		return rc;
	rc = output_open(&submit->output, output);
	if (rc)
		return rc;
	submit->fetch = (struct fetch){.session = submit->session,
				       .output = &submit->output,
				       .deadline_ns = submit->deadline_ns,
				       .began_ns = cli_now_ns()};
	rc = submit_send(submit);
	if (!rc)
		rc = output_commit(&submit->output);
	output_abort(&submit->output);
	handle_deinit(&submit->handle);
	return rc;
}

static int submit_run(int argc, char **argv)
{
	struct session session;
	struct submit submit = {.session = &session, .fd = -1};
	int rc = session_open(&session, &submit_command, argc, argv, 0);

	if (rc)
		return rc;
	rc = submit_checked(&submit);
	if (submit.path && submit.fd >= 0)
		close(submit.fd);
	return session_close(&session, rc);
}

static const struct cli_option submit_table[] = {
	{"text", 0, "TEXT", "the body, instead of a file"},
	{"content-type", 'c', "TYPE", "what the body is (default: by the file's name)"},
	{"wait", 'w', "[=DUR]", "wait for the result and write it to stdout; with =DUR not longer than that"},
	{"follow", 0, NULL, "with --wait: show on stderr what the job's workers write, as it comes"},
	{"output", 'o', "FILE", "with --wait: write the result there; it appears only when it is whole"},
	{"name", 0, "NAME", "a name of your choosing: the same request under it gives the same job, never a second"},
	{"key", 'k', "KEY", "an idempotency key: the same, for a request without a name"},
	{"delay", 0, "DUR", "hand it to no worker before so long"},
	{"priority", 0, "N", "0 to 4294967295, smaller goes first (default 1000)"},
	{"max-attempts", 0, "N", "failed after so many attempts (default 5)"},
	{"lease", 0, "DUR", "how long a worker may be silent (default 60s)"},
	{"retain", 0, "DUR", "keep the result for so long (default 24h)"},
	{"cancel-after", 0, "DUR", "cancel it when it is not done by then"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command submit_command = {
	.name = "submit",
	.summary = "put a job into a queue; print its handle, or wait for its result",
	.usage = "QUEUE [FILE|-]",
	.options = submit_table,
	.run = submit_run,
	.detail = "The body is FILE, of any size, or stdin. The handle is good until the result's retention ends, from any\n"
		  "machine: bide wait HANDLE, bide result HANDLE.\n\n"
		  "  bide submit thumbnails cat.jpg --wait -o small.jpg\n"
		  "  tar c src | bide submit build --wait=10m >build.log",
	.group = "Jobs",
	.client = true,
};
