#include "cli/fmt.h"
#include "cli/live.h"
#include "cli/queues.h"
#include "cli/top.h"

#include <string.h>
#include <time.h>

static double info_number(const struct top_view *view, const char *group, const char *name)
{
	return job_number(json_object_get(view->info, group), name, 0);
}

static double rates_sum(const struct top_view *view, const char *name)
{
	const json_t *queue;
	double sum = 0;
	size_t i;

	json_array_foreach(view->queues, i, queue) sum += job_number(json_object_get(queue, "rates"), name, 0);
	return sum;
}

static void render_head(struct buf *out, const struct session *session, const struct top_view *view, bool screen)
{
	const json_t *draining = json_object_get(view->info, "draining");
	double segments = info_number(view, "journal", "segments"), threads = job_number(view->info, "threads", 0);

	buf_printf(out, "%sbide %s%s  %s  up ", screen ? "\033[1m" : "", job_string(view->info, "version"),
		   screen ? "\033[0m" : "", session->server);
	fmt_duration(out, job_number(view->info, "uptime", 0));
	buf_printf(out, "%s\n", json_is_true(draining) ? "  DRAINING" : "");
	buf_printf(out, "jobs in %.1f/s, out %.1f/s  %.0f waits parked, %.0f of them workers  %.0f connections\n",
		   rates_sum(view, "submitted"), rates_sum(view, "done"), info_number(view, "waits", "parked"),
		   info_number(view, "waits", "claims"), job_number(view->info, "connections", 0));
	buf_append_str(out, "journal ");
	fmt_bytes(out, (uint64_t)info_number(view, "journal", "bytes"));
	buf_printf(out, " in %.0f segment%s, sync %s  %.0f thread%s, pid %.0f\n", segments, segments == 1 ? "" : "s",
		   job_string(view->info, "sync"), threads, threads == 1 ? "" : "s", job_number(view->info, "pid", 0));
}

static void running_row(struct table *table, const json_t *job, unsigned bar_width)
{
	double progress = job_number(job, "progress", -1);
	struct buf bar = {0}, age = {0};
	uint64_t created_ms;

	if (progress >= 0) {
		live_bar(&bar, progress, bar_width);
		buf_printf(&bar, " %3.0f%%", progress * 100);
	}
	if (!fmt_time_parse(job_string(job, "created"), &created_ms))
		fmt_duration(&age, ((double)fmt_now_ms() - (double)created_ms) / 1000);
	table_cell(table, "%s", job_string(job, "id"));
	table_cell(table, "%s", job_string(job, "queue"));
	table_cell(table, "%.0f", job_number(job, "attempt", 0));
	table_cell(table, "%s", cli_text(&age));
	table_cell(table, "%s", cli_text(&bar));
	table_cell(table, "%.60s", job_string(job, "message"));
	buf_deinit(&bar);
	buf_deinit(&age);
}

static void render_running(struct buf *out, const struct top_view *view, bool screen)
{
	static const char *const names[] = {"RUNNING", "QUEUE", "ATTEMPT", "AGE", "PROGRESS", "MESSAGE"};
	static const unsigned char spare[] = {2, 3, 1}; /* on a narrow screen the handle, how far it is and what it says matter */
	struct table table = {.columns = ARRAY_COUNT(names), .right = {[2] = true, [3] = true}};
	unsigned bar_width = !screen || live_columns() > 100 ? 16 : 6;
	const json_t *job;
	size_t i;

	if (screen) {
		table.fit = live_columns();
		table.spare = spare;
		table.spare_count = ARRAY_COUNT(spare);
	}

	if (!json_array_size(view->running))
		return;
	for (i = 0; i < ARRAY_COUNT(names); i++)
		table_cell(&table, "%s", names[i]);
	json_array_foreach(view->running, i, job) running_row(&table, job, bar_width);
	buf_append_char(out, '\n');
	table_print(&table, out, true, screen);
	table_deinit(&table);
}

static void render_queues(struct buf *out, const struct top_view *view, bool screen)
{
	/* Totals first, then what waits: on a narrow screen what goes on now matters. */
	static const unsigned char spare[] = {6, 4, 2, 7, 8};
	struct table table = {0};

	if (!json_array_size(view->queues)) {
		buf_append_str(out, "no queues yet; the first job makes one\n");
		return;
	}
	queues_table(&table, view->queues);
	if (screen) {
		table.fit = live_columns();
		table.spare = spare;
		table.spare_count = ARRAY_COUNT(spare);
	}
	table_print(&table, out, true, screen);
	table_deinit(&table);
}

/* Fits the lines onto a screen: no line longer than it is wide, no more lines than it is high, the foot at the end. */
static void screen_fit(struct buf *out, struct slice text, unsigned rows, const char *foot)
{
	unsigned columns = live_columns();
	unsigned row = 1;

	buf_append_str(out, "\033[H");
	while (text.len && row < rows) {
		buf_append_slice(out, live_cut(slice_cut(&text, '\n'), columns));
		buf_append_str(out, "\033[0m\033[K\r\n");
		row++;
	}
	buf_append_str(out, "\033[J");
	buf_append_slice(out, live_cut(slice_str(foot), columns));
	buf_append_str(out, "\033[K");
}

void top_render(struct buf *out, const struct session *session, const struct top_view *view, unsigned rows, uint64_t interval_ms)
{
	char foot[96], clock[16];
	struct buf text = {0};
	time_t now = time(NULL);
	struct tm tm;

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	if (!rows)
		buf_printf(&text, "-- %s\n", clock);
	if (view->info) {
		render_head(&text, session, view, rows > 0);
		buf_append_char(&text, '\n');
		render_queues(&text, view, rows > 0);
		render_running(&text, view, rows > 0);
	} else {
		buf_printf(&text, "%s\n\nNo server answers there: ", session->server);
		live_text(&text, view->away);
		buf_append_str(&text, "\nTrying again…\n");
	}
	cli_text(&text);
	if (rows) {
		snprintf(foot, sizeof(foot), "%s, every %.1f s   q quits", clock, (double)interval_ms / 1000);
		screen_fit(out, buf_slice(&text), rows, foot);
	} else {
		buf_append_slice(out, buf_slice(&text));
	}
	buf_deinit(&text);
}

void top_view_deinit(struct top_view *view)
{
	json_decref(view->info);
	json_decref(view->queues);
	json_decref(view->running);
	*view = (struct top_view){0};
}
