#include "cli/fmt.h"
#include "base/mem.h"
#include "cli/cli_priv.h"
#include "cli/live.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void fmt_bytes(struct buf *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
		value /= 1024;
		unit++;
	}
	buf_printf(out, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void fmt_duration(struct buf *out, double seconds)
{
	unsigned long long whole = seconds > 0 ? (unsigned long long)seconds : 0;

	if (seconds < 10)
		buf_printf(out, "%.1f s", seconds > 0 ? seconds : 0);
	else if (whole < 60)
		buf_printf(out, "%llu s", whole);
	else if (whole < 3600)
		buf_printf(out, "%llu min %llu s", whole / 60, whole % 60);
	else if (whole < 86400)
		buf_printf(out, "%llu h %llu min", whole / 3600, whole / 60 % 60);
	else
		buf_printf(out, "%llu d %llu h", whole / 86400, whole / 3600 % 24);
}

int fmt_time_parse(const char *text, uint64_t *ret_unix_ms)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	unsigned ms = 0, scale = 100;
	time_t seconds;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (unsigned)(*rest - '0') * scale;
	}
	if (strcmp(rest, "Z") != 0)
		return -EINVAL;
	seconds = timegm(&tm);
	if (seconds < 0)
		return -EINVAL;
	*ret_unix_ms = (uint64_t)seconds * 1000 + ms;
	return 0;
}

uint64_t fmt_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- tables ---------------------------------------------------------------------------------------------------------------- */

void table_cell(struct table *table, const char *fmt, ...)
{
	va_list args;
	char *cell;

	va_start(args, fmt);
	if (vasprintf(&cell, fmt, args) < 0)
		cli_out_of_memory();
	va_end(args);
	if (table->count == table->cap) {
		table->cap = table->cap ? table->cap * 2 : 64;
		table->starts = mem_realloc(table->starts, table->cap * sizeof(*table->starts));
		if (!table->starts)
			cli_out_of_memory();
	}
	table->starts[table->count++] = table->text.len;
	live_text(&table->text, cell);
	buf_append_char(&table->text, '\0');
	free(cell);
}

static unsigned text_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* How the columns are printed: width 0 leaves one out. Every column is at least as wide as its heading. */
static void table_widths(const struct table *table, unsigned widths[TABLE_COLUMNS])
{
	unsigned total = 0, last;

	for (size_t i = 0; i < table->count; i++) {
		unsigned width = text_width(table->text.ptr + table->starts[i]);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	last = widths[table->columns - 1];
	for (unsigned c = 0; c + 1 < table->columns; c++)
		total += widths[c] + 2;
	total += last < TABLE_LAST ? last : TABLE_LAST;
	for (size_t i = 0; table->fit && total > table->fit && i < table->spare_count; i++) {
		total -= widths[table->spare[i]] + 2;
		widths[table->spare[i]] = 0;
	}
}

static void table_row(const struct table *table, struct buf *out, size_t first, const unsigned *widths)
{
	for (unsigned c = 0; c < table->columns; c++) {
		const char *cell = table->text.ptr + table->starts[first + c];
		unsigned pad;

		if (!widths[c])
			continue;
		pad = widths[c] - text_width(cell);
		if (table->right[c])
			buf_printf(out, "%*s", (int)pad, "");
		buf_append_str(out, cell);
		if (c + 1 < table->columns)
			buf_printf(out, "%*s", (int)((table->right[c] ? 0 : pad) + 2), "");
	}
}

void table_print(struct table *table, struct buf *out, bool heading, bool bold)
{
	unsigned widths[TABLE_COLUMNS] = {0};

	if (table->text.failed)
		cli_out_of_memory();
	table_widths(table, widths);
	for (size_t i = 0; i + table->columns <= table->count; i += table->columns) {
		if (i == 0 && !heading)
			continue;
		if (i == 0 && bold)
			buf_append_str(out, "\033[1m");
		table_row(table, out, i, widths);
		if (i == 0 && bold)
			buf_append_str(out, "\033[0m");
		buf_append_char(out, '\n');
	}
}

void table_deinit(struct table *table)
{
	buf_deinit(&table->text);
	table->starts = mem_free(table->starts);
}

void table_heading(struct table *table, const char *const *names, unsigned count, unsigned right_from)
{
	table->columns = count;
	for (unsigned i = 0; i < count; i++) {
		table->right[i] = i >= right_from;
		table_cell(table, "%s", names[i]);
	}
}

void table_out(struct table *table, bool heading)
{
	struct buf out = {0};

	table_print(table, &out, heading, isatty(STDOUT_FILENO));
	fputs(cli_text(&out), stdout);
	table_deinit(table);
	buf_deinit(&out);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------- */

const char *job_string(const json_t *job, const char *name)
{
	const char *value = json_string_value(json_object_get(job, name));

	return value ? value : "";
}

double job_number(const json_t *job, const char *name, double otherwise)
{
	const json_t *value = json_object_get(job, name);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool job_is_over(const json_t *job)
{
	const char *state = job_string(job, "state");

	return !strcmp(state, "done") || !strcmp(state, "failed") || !strcmp(state, "canceled");
}

int job_exit_code(const json_t *job)
{
	const char *state = job_string(job, "state");

	return !strcmp(state, "done") ? CLI_OK : !strcmp(state, "failed") ? CLI_JOB_FAILED : CLI_CANCELED;
}

void job_error(struct buf *out, const json_t *job)
{
	const json_t *error = json_object_get(job, "error");
	const char *title = job_string(error, "title");
	const char *detail = job_string(error, "detail");

	if (json_is_string(error)) {
		live_text(out, json_string_value(error));
	} else if (*title || *detail) {
		live_text(out, title);
		if (*title && *detail)
			buf_append_str(out, ": ");
		live_text(out, detail);
	}
}
