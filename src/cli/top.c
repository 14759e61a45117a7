/* `bide top`: on a terminal the whole screen, drawn anew every interval; elsewhere plain lines, or JSON lines. */
#include "cli/top.h"
#include "base/mem.h"
#include "cli/fmt.h"
#include "cli/live.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

struct top {
	struct session *session;
	bool screen;
	uint64_t interval_ms, count;
	struct termios saved;
	bool raw;
};

static volatile sig_atomic_t signal_seen;

static void on_signal(int signal)
{
	signal_seen = signal;
}

/* --- the terminal ------------------------------------------------------------------------------------------------------------
 */

static void screen_open(struct top *top)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	struct termios raw;

	for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
		sigaction(signals[i], &action, NULL);
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &top->saved)) {
		raw = top->saved;
		raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
		top->raw = !tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
	fflush(stdout);
}

static void screen_close(struct top *top)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (top->raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &top->saved);
}

/* Waits out the interval; true when it is time to leave. */
static bool screen_pause(struct top *top, uint64_t until_ns)
{
	struct curl_waitfd fd = {.fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN};
	char key;

	for (uint64_t now_ns = cli_now_ns(); now_ns < until_ns && !signal_seen; now_ns = cli_now_ns()) {
		fd.revents = 0;
		curl_multi_poll(top->session->client.multi, &fd, top->raw ? 1 : 0, (int)((until_ns - now_ns) / 1000000 + 1),
				NULL);
		if (!(fd.revents & CURL_WAIT_POLLIN))
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == '\033' || key == 4)
			return true;
		break; /* any other key: look again now */
	}
	return signal_seen != 0;
}

/* --- looking -----------------------------------------------------------------------------------------------------------------
 */

/* All three at once: they are one picture. Returns 0, or the exit code without telling. */
static int top_look(struct top *top, struct top_view *view, struct http_call *failed)
{
	static const char *const paths[] = {"/v1/info", "/v1/queues", "/v1/jobs?state=running&limit=50"};
	struct http_call calls[ARRAY_COUNT(paths)];
	json_t *answers[ARRAY_COUNT(paths)] = {NULL};
	bool all = true;

	for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
		http_call_init(&calls[i], "GET", top->session->server);
		http_call_path(&calls[i], paths[i]);
		calls[i].timeout_ms = 10000;
		http_start(&top->session->client, &calls[i]);
	}
	while (top->session->client.running_count && !signal_seen)
		http_turn(&top->session->client, NULL, 0, 250);
	for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
		if (!http_under_way(&calls[i]) && calls[i].outcome == HTTP_ANSWERED && calls[i].status == 200)
			answers[i] = http_answer_json(&calls[i]);
		if (!answers[i] && all) {
			all = false;
			snprintf(view->away, sizeof(view->away), "%s",
				 calls[i].outcome == HTTP_ANSWERED ? "it does not answer like a bide server" : calls[i].error);
			*failed = calls[i];
			calls[i] = (struct http_call){0};
		}
		if (calls[i].easy)
			http_call_deinit(&calls[i]);
	}
	if (all) {
		view->info = json_incref(answers[0]);
		view->queues = json_incref(json_object_get(answers[1], "queues"));
		view->running = json_incref(json_object_get(answers[2], "jobs"));
	}
	for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
		json_decref(answers[i]);
	return all ? 0 : CLI_UNREACHABLE;
}

static void top_print_json(const struct top_view *view)
{
	json_t *all = json_pack("{s:O, s:O, s:O}", "info", view->info, "queues", view->queues, "running", view->running);

	if (!all)
		cli_out_of_memory();
	session_print_json(all);
	json_decref(all);
}

static void top_show(struct top *top, const struct top_view *view)
{
	struct buf out = {0};

	if (top->session->json) {
		top_print_json(view);
		return;
	}
	top_render(&out, top->session, view, top->screen ? live_rows() : 0, top->interval_ms);
	fputs(cli_text(&out), stdout);
	fflush(stdout);
	buf_deinit(&out);
}

/* Away: a screen says so and goes on; anything else has the patience that --retry gave. */
static int top_away(struct top *top, struct top_view *view, struct http_call *failed)
{
	struct retry *retry = &top->session->retry;
	int64_t delay_ms;

	if (top->screen) {
		top_show(top, view);
		return 0;
	}
	delay_ms = http_worth_retrying(failed) ? retry_next_ms(retry, http_answer_retry_after_ms(failed)) : -1;
	if (delay_ms < 0)
		return session_report(top->session, failed, "look at the server");
	session_notice_away(top->session, failed, retry);
	session_sleep(top->session, (uint64_t)delay_ms);
	return 0;
}

static int top_loop(struct top *top)
{
	uint64_t shown = 0;
	int rc = 0;

	while (!rc && !signal_seen && shown < top->count) {
		uint64_t next_ns = cli_now_ns() + top->interval_ms * 1000000;
		struct http_call failed = {0};
		struct top_view view = {0};
		bool away = top_look(top, &view, &failed) != 0;

		if (signal_seen) {
			rc = 0;
		} else if (away) {
			rc = top_away(top, &view, &failed);
		} else {
			retry_reset(&top->session->retry);
			top_show(top, &view);
			shown++;
		}
		if (failed.easy)
			http_call_deinit(&failed);
		top_view_deinit(&view);
		if (!rc && (top->screen || !away) && shown < top->count && screen_pause(top, next_ns))
			break;
	}
	return rc;
}

static int top_checked(struct session *session)
{
	struct top top = {.session = session, .interval_ms = 1000, .count = UINT64_MAX};
	int rc;

	if (session->args.operand_count)
		return cli_usage_error(session->command, "nothing can follow it");
	rc = session_duration(session, "interval", &top.interval_ms);
	if (!rc)
		rc = session_number(session, "count", 1, UINT32_MAX, &top.count);
	if (!rc && (top.interval_ms < 100 || top.interval_ms > 3600000))
		rc = cli_usage_error(session->command, "--interval: from 100ms to 1h");
	if (rc)
		return rc;
	top.screen = !session->json && isatty(STDOUT_FILENO) && live_possible();
	if (top.screen)
		screen_open(&top);
	rc = top_loop(&top);
	if (top.screen)
		screen_close(&top);
	return rc;
}

static int top_run(int argc, char **argv)
{
	struct session session;
	int rc = session_open(&session, &top_command, argc, argv, 0);

	return rc ? rc : session_close(&session, top_checked(&session));
}

static const struct cli_option top_table[] = {
	{"interval", 'i', "DUR", "look again every so often (default 1s)"},
	{"count", 'n', "N", "look so many times, then end"},
	{NULL, 0, NULL, NULL},
};

const struct cli_command top_command = {
	.name = "top",
	.summary = "watch a server: queues, running jobs, waits",
	.options = top_table,
	.run = top_run,
	.detail =
		"On a terminal it takes the whole screen; q quits, any other key looks again at once. Elsewhere it prints plain\n"
		"lines, with --json a line of JSON for every look.",
	.group = "Look",
	.client = true,
};
