#include "cli/live.h"
#include "cli/cli_priv.h"
#include "cli/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static size_t drawn_count;

bool live_possible(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static struct winsize live_size(void)
{
	struct winsize size = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		size = (struct winsize){.ws_col = 80, .ws_row = 24};
	return size;
}

unsigned live_columns(void)
{
	return live_size().ws_col;
}

unsigned live_rows(void)
{
	return live_size().ws_row;
}

bool live_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

struct slice live_cut(struct slice line, unsigned columns)
{
	unsigned column = 0;
	bool escape = false;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.ptr[i];

		if (escape) {
			escape = c != 'm';
			continue;
		}
		if (c == '\033') {
			escape = true;
			continue;
		}
		if ((c & 0xc0) == 0x80)
			continue;
		if (++column > columns)
			return (struct slice){line.ptr, i};
	}
	return line;
}

static void live_erase(struct buf *out)
{
	if (!drawn_count)
		return;
	if (drawn_count > 1)
		buf_printf(out, "\033[%zuA", drawn_count - 1);
	buf_append_str(out, "\r\033[J");
	drawn_count = 0;
}

static void live_write(struct buf *out)
{
	size_t done = 0;

	while (!out->failed && done < out->len) {
		ssize_t n = write(STDERR_FILENO, out->ptr + done, out->len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	buf_deinit(out);
}

void live_draw(const struct slice *lines, size_t count)
{
	unsigned columns = live_columns();
	struct buf out = {0};

	if (count > live_rows())
		count = live_rows();
	live_erase(&out);
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_append_char(&out, '\n');
		buf_append_slice(&out, live_cut(lines[i], columns - 1));
		buf_append_str(&out, "\033[0m");
	}
	drawn_count = count;
	fflush(stderr);
	live_write(&out);
}

void live_clear(void)
{
	struct buf out = {0};

	if (!drawn_count)
		return;
	live_erase(&out);
	fflush(stderr);
	live_write(&out);
}

void live_bar(struct buf *out, double fraction, unsigned width)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	bool utf8 = live_utf8();
	unsigned steps, at = 0;

	fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
	steps = (unsigned)(fraction * width * 8);
	buf_append_char(out, '[');
	for (; at < steps / 8; at++)
		buf_append_str(out, utf8 ? "█" : "#");
	if (utf8 && steps % 8) {
		buf_append_str(out, eighths[steps % 8]);
		at++;
	}
	for (; at < width; at++)
		buf_append_char(out, utf8 ? ' ' : '.');
	buf_append_char(out, ']');
}

void live_text(struct buf *out, const char *text)
{
	struct slice rest = slice_str(text);

	while (rest.len) {
		const unsigned char *at = (const unsigned char *)rest.ptr;
		size_t len = utf8_sequence(rest);
		bool control = *at < 0x20 || *at == 0x7f || (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);

		if (!len)
			buf_append_char(out, '?');
		else if (control)
			buf_append_char(out, ' ');
		else
			buf_append(out, at, len);
		rest = slice_from(rest.ptr + (len ? len : 1), rest.len - (len ? len : 1));
	}
}
