/* What a command says on descriptor 3: "0.42 message", "42% message", "0.42", "42%", or a message alone. A number without "%"
 * counts only with a point in it, or alone, so that "1 file left" stays a message. */
#include "cli/utf8.h"
#include "cli/work.h"

#include <string.h>

/* Decimal digits with at most one point → its value; the end in *ret_end. False when there is no number. */
static bool number_parse(const char *text, double *ret_value, bool *ret_point, const char **ret_end)
{
	double value = 0, scale = 1;
	bool point = false, digits = false;

	for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
		if (*text == '.') {
			point = true;
			continue;
		}
		digits = true;
		if (point)
			scale /= 10;
		value = point ? value + (*text - '0') * scale : value * 10 + (*text - '0');
	}
	*ret_value = value;
	*ret_point = point;
	*ret_end = text;
	return digits;
}

static const char *blanks_skip(const char *text)
{
	return text + strspn(text, " \t");
}

/* The fraction that a line begins with, and where its message begins; -1 and the line itself when it begins with none. */
static double fraction_parse(const char *line, const char **ret_message)
{
	const char *end;
	double value;
	bool point;

	*ret_message = line;
	if (!number_parse(line, &value, &point, &end))
		return -1;
	if (*end == '%') {
		end++;
		value /= 100;
		point = true;
	}
	if (value > 1 || (*end && *end != ' ' && *end != '\t'))
		return -1;
	end = blanks_skip(end);
	if (!point && *end)
		return -1;
	*ret_message = end;
	return value;
}

void work_progress_line(struct work_progress *progress, const char *line)
{
	struct buf clean = {0};
	const char *message;
	double fraction;

	line = blanks_skip(line);
	if (!*line)
		return;
	fraction = fraction_parse(line, &message);
	if (fraction >= 0)
		progress->fraction = fraction;
	if (*message) {
		utf8_append(&clean, slice_str(message));
		snprintf(progress->message, sizeof(progress->message), "%s", cli_text(&clean));
		buf_deinit(&clean);
	}
	progress->news = true;
}

void work_progress_feed(struct work_progress *progress, const char *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (ptr[i] == '\n' || ptr[i] == '\r') {
			progress->line[progress->len] = '\0';
			work_progress_line(progress, progress->line);
			progress->len = 0;
		} else if (progress->len + 1 < sizeof(progress->line) && ptr[i]) {
			progress->line[progress->len++] = ptr[i];
		}
	}
}
