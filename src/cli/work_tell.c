#include "cli/fmt.h"
#include "cli/live.h"
#include "cli/work.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

static void tell_json(const struct work_job *job, const char *event, const char *text)
{
	json_t *told = json_pack("{s:s, s:s, s:s, s:i, s:s, s:f}", "event", event, "id", job->id, "queue", job->queue, "attempt",
				 (int)job->attempt, "text", text, "seconds", (double)(cli_now_ns() - job->began_ns) / 1e9);

	if (!told)
		return;
	session_print_json(told);
	json_decref(told);
}

static void tell_people(const struct work_job *job, const char *event, const char *text)
{
	time_t now = time(NULL);
	struct buf line = {0};
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	buf_printf(&line, "%s %s %s: %s", clock, job->queue, job->id, event);
	if (*text) {
		buf_append_str(&line, ", ");
		live_text(&line, text);
	}
	buf_append_char(&line, '\n');
	fputs(cli_text(&line), stderr);
	buf_deinit(&line);
}

void work_tell(const struct work_job *job, const char *event, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		cli_out_of_memory();
	va_end(args);
	if (job->worker->session->json)
		tell_json(job, event, text);
	else if (!job->worker->session->quiet)
		tell_people(job, event, text);
	free(text);
}
