#include "page.h"

#include "base/testing.h"

#include <string.h>

void page_open(struct page *page)
{
	page->file = fopen(path, "re");
	assert_non_null(page->file);
}

void page_close(struct page *page)
{
	fclose(page->file);
}

static void cell_put(char *out, const char *from, size_t len)
{
	while (len && *from == ' ') {
		from++;
		len--;
	}
	while (len && from[len - 1] == ' ')
		len--;
	assert_true(len < CELL_BYTES);
	memcpy(out, from, len);
	out[len] = '\0';
}

/* The cells of a line "| a | b |"; 0 when it is none. */
static size_t cells_of(struct page *page, const char *line)
{
	const char *end;
	size_t count = 0;

	if (*line++ != '|')
		return 0;
	for (; count < CELLS_MAX && (end = strchr(line, '|')); line = end + 1)
		cell_put(page->cell[count++], line, (size_t)(end - line));
	return count;
}

void page_find(struct page *page, const char *first, const char *second)
{
	char line[2048];

	while (fgets(line, sizeof(line), page->file)) {
		if (cells_of(page, line) >= 2 && strcmp(page->cell[0], first) == 0 && strcmp(page->cell[1], second) == 0) {
			assert_non_null(fgets(line, sizeof(line), page->file));
			return;
		}
	}
	fail_msg("%s: no table with %s and %s", path, first, second);
}

bool page_row(struct page *page)
{
	char line[2048];

	return fgets(line, sizeof(line), page->file) && cells_of(page, line) >= 2;
}

bool next_name(const char **text, char out[64])
{
	const char *begin = strchr(*text, '`'), *end = begin ? strchr(begin + 1, '`') : NULL;

	if (!end)
		return false;
	assert_true(end - begin - 1 < 64);
	memcpy(out, begin + 1, (size_t)(end - begin - 1));
	out[end - begin - 1] = '\0';
	*text = end + 1;
	return true;
}
